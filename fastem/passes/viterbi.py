"""The most probable path of each sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.passes import blocks
from fastem.passes.blocks import log_prob_block, path_block
from fastem.passes.emissions import mix_densities, mixes
from fastem.passes.flags import block_function
from fastem.passes.lanes import MAX_LANES, fingerprint
from fastem.passes.loop import over_lanes
from fastem.passes.memory import new_memory
from fastem.passes.reading import VECTOR, copy_block
from fastem.passes.rows import Rows
from fastem.passes.shapes import require_output, require_params, require_units
from fastem.passes.threads import Pass
from fastem.passes.tracks import start_of
from fastem.passes.units import BLOCK, Units


@block_function
def _best_path(family_params, latent_params, rows, units, sequence, memory, path, loglik):
    """Write the most probable path of one sequence, and its log-density together with the rows."""
    first, stop, block_rows = start_of(units, sequence), units.ends[sequence], memory.x.shape[1]
    back = np.empty((stop - first, memory.message.shape[0]), dtype=np.int32)
    possible = True
    for start in range(first, stop, block_rows):
        n = min(block_rows, stop - start)
        copy_block(rows, start, memory.x)
        # Not in a function of its own, as in `emit`: it would cost short sequences a tenth.
        density = memory.density if mixes(latent_params) else memory.lines
        log_prob_block(family_params, memory.components, memory.x, density, memory.scratch)
        if mixes(latent_params):
            mix_densities(latent_params, density, memory.left, memory.lines, memory.share[0])
        possible &= path_block(
            latent_params, memory.lines, 0, n, start == first, memory.message, memory.work,
            back[start - first : start - first + n],
        )  # fmt: skip
    state = 0
    for k in range(1, memory.message.shape[0]):
        state = k if memory.message[k] > memory.message[state] else state
    loglik[sequence] = memory.message[state] if possible else -np.inf
    for i in range(stop - first - 1, -1, -1):
        path[first + i] = state
        if i > 0:
            state = back[i, state]


@block_function
def _path_lane(family_params, latent_params, rows, units, n_lanes, scratch_lines, vectors, path, loglik, lane):
    if lane < units.ends.shape[0]:
        memory = new_memory(1, 0, rows.n_columns, latent_params, scratch_lines, vectors * VECTOR)
        for sequence in range(lane, units.ends.shape[0], n_lanes):
            _best_path(family_params, latent_params, rows, units, sequence, memory, path, loglik)


_path_lanes = over_lanes(_path_lane)


def _path_pass(serial, family_params, latent_params, rows, units, n_lanes, scratch_lines, vectors, path, loglik):
    arguments = family_params, latent_params, rows, units, n_lanes, scratch_lines, vectors, path, loglik
    return _path_lanes(serial, n_lanes, arguments)


compiled_path_pass = Pass(_path_pass, fingerprint)


def path_pass(
    family_params: Any, latent_params: Any, rows: Rows, units: Units, path: np.ndarray, loglik: np.ndarray
) -> None:
    """Fill `path` (N,) int64 with the most probable path of each sequence, and `loglik` (S,) with its log-density.

    The density is that of the rows and the path together, in nats; minus infinity where no path is possible.
    """
    blocks.require_registered(family_params, latent_params, "chain")
    require_params(family_params, latent_params, rows, is_chain=True)
    require_units(units, rows.n_rows)
    require_output("path", path, (rows.n_rows,), np.int64)
    require_output("loglik", loglik, units.ends.shape, np.float64)
    sizes = blocks.scratch_lines(rows.n_columns), BLOCK // VECTOR
    compiled_path_pass(family_params, latent_params, rows, units, MAX_LANES, *sizes, path, loglik)
