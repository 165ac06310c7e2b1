"""The rows of the tracks of a unit: how they lie in blocks, and the vectors that a chain goes through side by side.

Row t of the block of track s stands in column ``t * n_tracks + s`` of the lines of a block, and in entry ``8 * t + s``
of what is kept step by step. A track that has no row for a step, or that there is not, weighs nothing there.
"""

from __future__ import annotations

import numpy as np

from fastem.passes.flags import block_function
from fastem.passes.units import TRACKS


@block_function
def start_of(units, sequence):
    return units.ends[sequence - 1] if sequence > 0 else 0


@block_function
def rows_of_track(units, track):
    return units.stop[track] - units.first[track]


@block_function
def longest_of(units, first_track, n_tracks):
    """The largest number of rows of some tracks."""
    n_rows = 0
    for s in range(n_tracks):
        n_rows = max(n_rows, rows_of_track(units, first_track + s))
    return n_rows


@block_function
def blocks_and_steps(units, block_rows):
    """How many blocks a unit has at most, or a single track, and how many steps."""
    n_blocks, n_steps = 0, 0
    for u in range(units.first_track.shape[0] - 1):
        n_tracks = units.first_track[u + 1] - units.first_track[u]
        longest, steps = longest_of(units, units.first_track[u], n_tracks), block_rows // n_tracks
        n_blocks, n_steps = max(n_blocks, (longest + steps - 1) // steps), max(n_steps, longest)
    return n_blocks, n_steps


@block_function
def _copy_track(flat, first, stride, last, n_steps, s, n_tracks, column):
    # Indices without a sign: numba tests the others for being negative.
    for t in range(min(n_steps, last + 1)):
        column[np.uint64(t * n_tracks + s)] = flat[np.uint64(first + t * stride)]
    for t in range(last + 1, n_steps):
        column[t * n_tracks + s] = flat[first + last * stride]


@block_function
def load_tracks(rows, units, first_track, n_tracks, step, n_steps, x):
    """Copy the rows of some steps into a block, transposed, into float64; repeat the last one where there is none."""
    for s in range(n_tracks):
        row = units.first[first_track + s]
        last = units.stop[first_track + s] - 1 - row
        # Of a track that has ended already, its last row.
        row, last = row + min(step, last), max(0, last - step)
        for j in range(rows.n_columns):
            first = rows.offset + row * rows.row_stride + j * rows.column_stride
            if rows.float64.shape[0] > 0:
                _copy_track(rows.float64, first, rows.row_stride, last, n_steps, s, n_tracks, x[j])
            else:
                _copy_track(rows.float32, first, rows.row_stride, last, n_steps, s, n_tracks, x[j])
    for j in range(rows.n_columns):
        for i in range(n_steps * n_tracks, x.shape[1]):
            x[j, i] = x[j, n_steps * n_tracks - 1]


@block_function
def mark_edges(units, weight, first_track, n_tracks, step, n_steps, sequence, begins, ends, weights):
    """Say of each column of a block whether a sequence begins, or ends, with the row there, and what the row weighs.

    `sequence` has those of the tracks' first rows, and then those of the rows behind the block.
    """
    for i in range(begins.shape[0]):
        begins[i] = ends[i] = 1.0
        weights[i] = 0.0
    for s in range(n_tracks):
        row, now = units.first[first_track + s] + step, sequence[s]
        for t in range(min(n_steps, units.stop[first_track + s] - row)):
            i, is_last = t * n_tracks + s, row + t + 1 == units.ends[now]
            begins[i] = 1.0 if row + t == start_of(units, now) else 0.0
            ends[i] = 1.0 if is_last else 0.0
            weights[i] = weight[row + t] if weight.shape[0] > 0 else 1.0
            while is_last and now + 1 < units.ends.shape[0] and units.ends[now] == row + t + 1:
                now += 1
        sequence[s] = now


@block_function
def spread_line(line, n_tracks, n_steps, other, out):
    """Copy a line of a block to what is kept step by step; `other` stands for a track that there is not."""
    for t in range(n_steps):
        for s in range(TRACKS):
            out[TRACKS * t + s] = line[t * n_tracks + s] if s < n_tracks else other


@block_function
def fill_missing(units, first_track, n_tracks, step, n_steps, lines, shift):
    """Let a step at which a track has no row tell nothing: a density of one in each state, and no logarithm."""
    for s in range(n_tracks):
        n_rows = max(0, rows_of_track(units, first_track + s) - step)
        for t in range(n_rows, n_steps):
            shift[t * n_tracks + s] = 0.0
            for k in range(lines.shape[0]):
                lines[k, t * n_tracks + s] = 1.0
    for i in range(n_steps * n_tracks, shift.shape[0]):
        shift[i] = 0.0


@block_function
def spread_lines(lines, n_tracks, n_steps, out):
    """Copy lines of a block to others, which have eight columns for each step; they are the same for eight tracks.

    States that fill up have zeros, and tracks that there are not have ones.
    """
    for k in range(lines.shape[0] if n_tracks == TRACKS else 0, out.shape[0]):
        for t in range(n_steps):
            for s in range(TRACKS):
                other = 0.0 if k >= lines.shape[0] else 1.0
                out[k, t * TRACKS + s] = lines[k, t * n_tracks + s] if k < lines.shape[0] and s < n_tracks else other


@block_function
def gather_lines(lines, n_tracks, first, begin, end, out):
    """Copy lines that have eight columns for each step, from step `first` on, to those of a block."""
    for k in range(out.shape[0] if n_tracks < TRACKS else 0):
        for t in range(begin, end):
            for s in range(n_tracks):
                out[k, t * n_tracks + s] = lines[k, (t - first) * TRACKS + s]


@block_function
def drop_track(s, n_filtered, n_tracks, emission, filtered, shift, norm, begins, ends, weight):
    """Let a track that is lost weigh nothing."""
    for i in range(s, n_filtered, TRACKS):
        filtered[i] = 1.0
    for i in range(s, emission.shape[0], TRACKS):
        emission[i] = 1.0
    for b in range(shift.shape[0]):
        for i in range(s, shift.shape[1], n_tracks):
            shift[b, i], norm[b, i], begins[b, i], ends[b, i], weight[b, i] = 0.0, 1.0, 0.0, 1.0, 0.0


@block_function
def lines_of(held, b, n_lines, n_columns):
    """The lines of a block, of which all have as many numbers."""
    size = n_lines * n_columns
    return held[b * size : (b + 1) * size].reshape(n_lines, n_columns)
