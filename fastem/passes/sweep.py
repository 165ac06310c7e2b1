"""Forward and backward over the rows of one unit.

All tracks of a unit are gone through side by side, with scaled probabilities; one alone by itself. Those in which
float64 loses a state are gone through again, each by itself, in logarithms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.passes.alone import filter_alone, smooth_alone
from fastem.passes.blocks import (
    accumulate_block,
    backward_block,
    forward_block,
    log_prob_block,
)
from fastem.passes.emissions import mix_densities, mixes, share_out
from fastem.passes.flags import block_function
from fastem.passes.lanes import add_totals, bits_reversed, fingerprint
from fastem.passes.loop import over_lanes
from fastem.passes.memory import new_memory
from fastem.passes.outputs import write_rows
from fastem.passes.reading import VECTOR
from fastem.passes.threads import Pass
from fastem.passes.tracks import (
    blocks_and_steps,
    drop_track,
    fill_missing,
    gather_lines,
    lines_of,
    load_tracks,
    longest_of,
    mark_edges,
    rows_of_track,
    spread_line,
    spread_lines,
    start_of,
)
from fastem.passes.units import TRACKS
from fastem.passes.vector_math import exp_nonpositive, log_positive

# The logarithm of zero (see `fastem.passes.blocks`), and what is more than any sum with it.
_LOG_ZERO, LOG_LEAST = -1e300, -1e299

# How far apart, in nats, the parts of a message may be outside log space.
_RANGE = 400.0

# What is possible has at least this share of a row's highest density outside log space: no zero stands there
# for what is only improbable.
_LEAST_DENSITY = 1e-307


class Messages(NamedTuple):
    """What tracks know of the rest of their sequences: logarithms (T, S), in any scale, and whether they are known.

    `forward` is for the first row of a track, from the rows before it; `backward` for the row after its last one, from
    the rows after it.
    """

    forward: np.ndarray
    backward: np.ndarray
    forward_known: np.ndarray
    backward_known: np.ndarray


@block_function
def emit(family_params, latent_params, log_space, b, memory, lines):
    """Set lines (S, rows) to densities of the rows of a block, in each row's own scale, whose logarithm is `shift`."""
    # One call for components and for states: each would be compiled, inlined, anew.
    density = memory.density if mixes(latent_params) else lines
    log_prob_block(family_params, memory.components, memory.x, density, memory.scratch)
    if mixes(latent_params):
        mix_densities(latent_params, density, memory.left, lines, memory.share[b])
    shift = memory.shift[b]
    n_states, n_rows = lines.shape
    for i in range(n_rows):
        shift[i] = lines[0, i]
    for k in range(1, n_states):
        for i in range(n_rows):
            shift[i] = lines[k, i] if lines[k, i] > shift[i] else shift[i]
    for k in range(n_states):
        for i in range(n_rows):
            # A row of zero density in every state tells nothing.
            ratio = lines[k, i] - shift[i] if shift[i] > -np.inf else 0.0
            if log_space:
                lines[k, i] = max(ratio, _LOG_ZERO)
            else:
                lines[k, i] = max(exp_nonpositive(ratio), _LEAST_DENSITY) if ratio > LOG_LEAST else 0.0


@block_function
def is_wide(log_message):
    """Whether float64 would lose a part of a message that is not zero."""
    highest = log_message[0]
    for k in range(log_message.shape[0]):
        highest = max(highest, log_message[k])
    wide = False
    for k in range(log_message.shape[0]):
        wide = wide or (LOG_LEAST < log_message[k] < highest - _RANGE)
    return wide


@block_function
def load_message(log_message, log_space, message):
    """Set a message from its logarithms."""
    highest = log_message[0]
    for k in range(message.shape[0]):
        highest = max(highest, log_message[k])
    total = 0.0
    for k in range(message.shape[0]):
        message[k] = exp_nonpositive(log_message[k] - highest)
        total += message[k]
    for k in range(message.shape[0]):
        message[k] = log_message[k] - highest - log_positive(total) if log_space else message[k] / total


@block_function
def _load_behind(units, messages, track, log_space, log_message, message):
    """Set the message from behind a track, without the states that the rows before make impossible.

    Such a state may explain the rows behind so well that nothing would be left of the others.
    """
    following = track + 1
    ends_inside = False
    if following < units.first.shape[0]:
        ends_inside = units.first[following] > start_of(units, units.sequence[following])
    for k in range(log_message.shape[0]):
        log_message[k] = messages.backward[track, k]
        if ends_inside and messages.forward[following, k] <= LOG_LEAST:
            log_message[k] = _LOG_ZERO
    load_message(log_message, log_space, message)


@block_function
def _join_track(message, s, tracks):
    """Make a message that of a track, among the others."""
    for k in range(message.shape[0]):
        tracks[TRACKS * k + s] = message[k]


@block_function
def keep_message(message, log_space, log_message):
    """Set the logarithms of a message."""
    for k in range(message.shape[0]):
        log_message[k] = message[k] if log_space else (log_positive(message[k]) if message[k] > 0.0 else _LOG_ZERO)


@block_function
def _begin(units, messages, first_track, n_tracks, log_space, message, tracks, norms, lost, sequence):
    """Set the messages that the first rows of tracks have from the rows before."""
    for i in range(tracks.shape[0]):
        tracks[i] = 0.0
    for s in range(TRACKS):
        norms[s] = 1.0
        lost[s] = False
    for s in range(n_tracks):
        sequence[s] = units.sequence[first_track + s]
        if messages.forward_known.shape[0] > 0:
            lost[s] = is_wide(messages.forward[first_track + s])
            load_message(messages.forward[first_track + s], log_space, message)
            _join_track(message, s, tracks)


@block_function
def forward_rows(
    family_params, latent_params, rows, weight, units, messages, first_track, n_tracks, log_space, memory
):  # fmt: skip
    """Filter tracks side by side, or one by itself; return how many of them are not lost."""
    n_states, block_rows, size = memory.lines.shape[0], memory.x.shape[1], memory.tracks.shape[0]
    steps_of_block, n_steps = block_rows // n_tracks, longest_of(units, first_track, n_tracks)
    _begin(
        units, messages, first_track, n_tracks, log_space, memory.message, memory.tracks, memory.norms, memory.lost,
        memory.sequence,
    )  # fmt: skip
    for b in range((n_steps + steps_of_block - 1) // steps_of_block):
        step = b * steps_of_block
        n = min(steps_of_block, n_steps - step)
        load_tracks(rows, units, first_track, n_tracks, step, n, memory.x)
        mark_edges(
            units, weight, first_track, n_tracks, step, n, memory.sequence, memory.begins[b], memory.ends[b],
            memory.weight[b],
        )  # fmt: skip
        lines, emission = memory.lines, memory.lines
        if n_tracks > 1:
            emission = lines_of(memory.emission, b, size // TRACKS, steps_of_block * TRACKS)
            if n_tracks == TRACKS:
                # All of the block's rows, in the order in which the chain takes them.
                lines = emission[:n_states]
        emit(family_params, latent_params, log_space, b, memory, lines)
        fill_missing(units, first_track, n_tracks, step, n, lines, memory.shift[b])
        for i in range(block_rows):
            memory.norm[b, i] = 1.0
        if n_tracks == 1:
            if not filter_alone(
                latent_params, n, log_space, lines, memory.begins[b],
                lines_of(memory.emission, b, n_states, block_rows),
                lines_of(memory.filtered, b, n_states, block_rows), memory.message, memory.work, memory.shift[b],
                memory.norm[b],
            ):  # fmt: skip
                memory.lost[0] = True
                return 0
            continue
        spread_lines(lines, n_tracks, n, emission)
        spread_line(memory.begins[b], n_tracks, n, 1.0, memory.steps[0])
        forward_block(
            latent_params, emission, memory.steps[0], memory.tracks, memory.filtered[step * size : (step + n) * size],
            memory.norms[: (1 + n) * TRACKS], memory.lost, memory.matrix, memory.start,
        )  # fmt: skip
        for t in range(n):
            for s in range(n_tracks):
                memory.norm[b, t * n_tracks + s] = memory.norms[(1 + t) * TRACKS + s]
        for s in range(TRACKS):
            memory.norms[s] = memory.norms[n * TRACKS + s]
    n_left = n_tracks
    for s in range(n_tracks if not log_space else 0):
        if memory.lost[s]:
            n_left -= 1
            drop_track(
                s, n_steps * size, n_tracks, memory.emission, memory.filtered, memory.shift, memory.norm,
                memory.begins, memory.ends, memory.weight,
            )  # fmt: skip
    return n_left


@block_function
def _join_ended(units, messages, first_track, n_tracks, step, log_space, log_message, message, tracks):
    """Give the tracks that end before a step the message from behind; return the step that another one ends at."""
    before = 0
    for s in range(n_tracks):
        n_rows = rows_of_track(units, first_track + s)
        if n_rows == step and messages.backward_known.shape[0] > 0:
            _load_behind(units, messages, first_track + s, log_space, log_message, message)
            _join_track(message, s, tracks)
        before = max(before, n_rows) if n_rows < step else before
    return before


@block_function
def _drop_impossible(shift, n, resp):
    """A row of zero density teaches the family nothing."""
    for i in range(n):
        if shift[i] == -np.inf:
            for k in range(resp.shape[0]):
                resp[k, i] = 0.0


@block_function
def last_sequence(units, track):
    """The sequence of the last row of a track."""
    if track + 1 == units.first.shape[0]:
        return units.ends.shape[0] - 1
    following = units.sequence[track + 1]
    return following if units.stop[track] > start_of(units, following) else following - 1


@block_function
def backward_rows(
    family_params, latent_params, rows, units, messages, first_track, n_tracks, log_space, learns, outputs, memory,
    totals, latent_stats, family_stats, lane,
):  # fmt: skip
    """Smooth tracks that were filtered, and add their statistics."""
    n_states, block_rows, size = memory.lines.shape[0], memory.x.shape[1], memory.tracks.shape[0]
    steps_of_block, n_steps = block_rows // n_tracks, longest_of(units, first_track, n_tracks)
    writes = outputs.loglik.shape[0] + outputs.filtered.shape[0] + outputs.smoothed.shape[0] + outputs.label.shape[0]
    # Where there are eight tracks, the steps of a block are its rows in their order.
    smoothed = memory.resp_of_states if n_tracks == TRACKS else memory.smoothed
    for i in range(size):
        memory.tracks[i] = 0.0
    for b in range((n_steps + steps_of_block - 1) // steps_of_block - 1, -1, -1):
        step = b * steps_of_block
        n = min(steps_of_block, n_steps - step)
        spread_line(memory.begins[b], n_tracks, n, 0.0, memory.steps[0])
        spread_line(memory.ends[b], n_tracks, n, 1.0, memory.steps[1])
        spread_line(memory.weight[b], n_tracks, n, 0.0, memory.steps[2])
        add_totals(memory.shift[b], memory.norm[b], memory.weight[b], 0, n * n_tracks, totals, lane)
        # Before it is smoothed, and after.
        for is_smoothed in (False, True):
            end = 0 if is_smoothed else n
            if writes > 0:
                write_rows(units, first_track, n_tracks, step, n, b, log_space, is_smoothed, memory, outputs)
            # In pieces, at whose ends a track may end.
            while end > 0:
                ended = _join_ended(
                    units, messages, first_track, n_tracks, step + end, log_space, memory.work, memory.message,
                    memory.tracks,
                )  # fmt: skip
                begin = max(0, end - block_rows // TRACKS, ended - step)
                if n_tracks == 1:
                    begin = 0
                    smooth_alone(
                        latent_params, n, log_space, memory.begins[b], memory.ends[b], memory.weight[b],
                        lines_of(memory.emission, b, n_states, block_rows),
                        lines_of(memory.filtered, b, n_states, block_rows), memory.message, memory.work, memory.left,
                        memory.right, memory.resp_of_states, latent_stats, lane,
                    )  # fmt: skip
                else:
                    first = 0 if n_tracks == TRACKS else begin
                    backward_block(
                        latent_params, lines_of(memory.emission, b, size // TRACKS, steps_of_block * TRACKS),
                        memory.steps[0], memory.steps[1], memory.steps[2], begin, end, memory.tracks, memory.vectors,
                        memory.filtered[step * size : (step + n) * size], memory.left, memory.right, smoothed, first,
                        memory.matrix, latent_stats, lane,
                    )  # fmt: skip
                    gather_lines(smoothed, n_tracks, first, begin, end, memory.resp_of_states)
                end = begin
        resp = memory.resp_of_states[:n_states]
        for k in range(n_states):
            for i in range(n * n_tracks, block_rows):
                resp[k, i] = 0.0
        if learns:
            _drop_impossible(memory.shift[b], n * n_tracks, resp)
            if mixes(latent_params):
                share_out(latent_params, resp, memory.share[b], memory.resp, latent_stats.entries[lane])
            resp = memory.resp if mixes(latent_params) else resp
            load_tracks(rows, units, first_track, n_tracks, step, n, memory.x)
            accumulate_block(family_params, memory.components, memory.x, resp, memory.scratch, family_stats, lane)


@block_function
def sweep_tracks(
    family_params, latent_params, rows, weight, units, messages, first_track, n_tracks, smooths, learns, outputs,
    memory, totals, latent_stats, family_stats, lane,
):  # fmt: skip
    """Filter tracks, and smooth them if asked to: side by side, and those that are lost again by themselves.

    Returns whether the last one was gone through in logarithms.
    """
    first, n, log_space = first_track, n_tracks, False
    lost = 0
    while True:
        n_left = forward_rows(family_params, latent_params, rows, weight, units, messages, first, n, log_space, memory)
        if smooths and n_left > 0:
            backward_rows(
                family_params, latent_params, rows, units, messages, first, n, log_space, learns, outputs, memory,
                totals, latent_stats, family_stats, lane,
            )  # fmt: skip
        if not log_space:
            # The memory forgets them.
            for s in range(n_tracks):
                lost += 2**s if memory.lost[s] else 0
        following = 0
        while following < n_tracks and lost // 2**following % 2 == 0:
            following += 1
        if following == n_tracks:
            return log_space
        lost -= 2**following
        first, n, log_space = first_track + following, 1, True


@block_function
def _sweep_lane(
    family_params, latent_params, rows, weight, units, messages, first_unit, scratch_lines, vectors, learns, outputs,
    totals, latent_stats, family_stats, index,
):  # fmt: skip
    """Filter and smooth every unit that belongs to a lane: units go to the lanes in turn."""
    n_lanes, n_units = totals.loglik.shape[0], units.first_track.shape[0] - 1
    # Units next to each other, which are all there may be, go to different threads.
    lane = bits_reversed(index, n_lanes)
    unit = (lane - first_unit) % n_lanes
    if unit < n_units:
        n_blocks, n_steps = blocks_and_steps(units, vectors * VECTOR)
        memory = new_memory(n_blocks, n_steps, rows.n_columns, latent_params, scratch_lines, vectors * VECTOR)
        while unit < n_units:
            first_track = units.first_track[unit]
            sweep_tracks(
                family_params, latent_params, rows, weight, units, messages, first_track,
                units.first_track[unit + 1] - first_track, True, learns, outputs, memory, totals, latent_stats,
                family_stats, lane,
            )  # fmt: skip
            unit += n_lanes


_sweep_lanes = over_lanes(_sweep_lane)


def _sweep_pass(
    serial, family_params, latent_params, rows, weight, units, messages, first_unit, scratch_lines, vectors, learns,
    outputs, totals, latent_stats, family_stats,
):  # fmt: skip
    arguments = (
        family_params, latent_params, rows, weight, units, messages, first_unit, scratch_lines, vectors, learns,
        outputs, totals, latent_stats, family_stats,
    )  # fmt: skip
    return _sweep_lanes(serial, totals.loglik.shape[0], arguments)


compiled_sweep_pass = Pass(_sweep_pass, fingerprint)
