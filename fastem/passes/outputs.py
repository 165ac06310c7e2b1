"""What a pass over sequences writes of each row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.passes.flags import block_function
from fastem.passes.shapes import require_output
from fastem.passes.tracks import lines_of
from fastem.passes.units import TRACKS
from fastem.passes.vector_math import exp_nonpositive, log_positive


class Outputs(NamedTuple):
    """What a pass writes of each row of a chunk; an array of no rows is not asked for.

    Shapes: loglik, label (N,); filtered, smoothed (N, S), for S states.
    """

    loglik: np.ndarray
    label: np.ndarray
    filtered: np.ndarray
    smoothed: np.ndarray


NO_OUTPUTS = Outputs(np.empty(0), np.empty(0, dtype=np.int64), np.empty((0, 0)), np.empty((0, 0)))


@block_function
def _write_filtered(row, i, step, s, log_space, n_tracks, shift, norm, filtered, of_one, size, outputs):
    """Write what is asked of the row in column i of a block, given those before it."""
    if outputs.loglik.shape[0] > 0:
        outputs.loglik[row] = shift[i] + log_positive(norm[i])
    if outputs.filtered.shape[0] > 0:
        for k in range(of_one.shape[0]):
            value = of_one[k, i] if n_tracks == 1 else filtered[step * size + TRACKS * k + s]
            outputs.filtered[row, k] = exp_nonpositive(value) if log_space else value / norm[i]


@block_function
def _write_smoothed(row, i, resp, outputs):
    if outputs.smoothed.shape[0] > 0:
        for k in range(resp.shape[0]):
            outputs.smoothed[row, k] = resp[k, i]
    if outputs.label.shape[0] > 0:
        best = 0
        for k in range(1, resp.shape[0]):
            best = k if resp[k, i] > resp[best, i] else best
        outputs.label[row] = best


@block_function
def write_rows(units, first_track, n_tracks, step, n_steps, b, log_space, is_smoothed, memory, outputs):
    """Write what is asked of the rows of a block, before or after it is smoothed, but for the tracks that are lost."""
    n_states, n_columns = memory.lines.shape
    of_one = lines_of(memory.filtered, b, n_states, n_columns)
    for s in range(n_tracks):
        row = units.first[first_track + s] + step
        for t in range(min(n_steps, units.stop[first_track + s] - row) if log_space or not memory.lost[s] else 0):
            if is_smoothed:
                _write_smoothed(row + t, t * n_tracks + s, memory.resp_of_states[:n_states], outputs)
            else:
                _write_filtered(
                    row + t, t * n_tracks + s, step + t, s, log_space, n_tracks, memory.shift[b], memory.norm[b],
                    memory.filtered, of_one, memory.tracks.shape[0], outputs,
                )  # fmt: skip


def require_outputs(outputs: Outputs, n_rows: int, n_states: int) -> None:
    """Raise unless each output that is asked for has the shape and the dtype of what is written."""
    for name, out, none in zip(outputs._fields, outputs, NO_OUTPUTS, strict=True):
        if out is not none:
            shape = (n_rows,) if none.ndim == 1 else (n_rows, n_states)
            require_output(name, out, shape, none.dtype)
