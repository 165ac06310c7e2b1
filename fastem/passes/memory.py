"""What a thread holds while it works on the units of a chain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.passes.emissions import components_of, mixes
from fastem.passes.flags import block_function
from fastem.passes.units import TRACKS

# Numbers that nobody uses, at both ends of an array of a few. LLVM compiles a loop for arrays that lie a few vectors
# apart (32 numbers), and once more for others. The two may add up in different orders: addresses would set the bits.
_APART = 64


class Memory(NamedTuple):
    """Scratch of one thread: blocks of a unit, and of the rows under way.

    Shapes, for B blocks of R rows, T steps, S states, F of them with those that fill up to a multiple of eight, K
    components and E entries::

        emission                (8 * T * F,)  densities of all tracks of a unit, block by block
        filtered                (8 * T * F,)  filtered probabilities, step by step
        begins, ends, weight    (B, R)  whether a sequence begins or ends with a row, and its weight
        shift, norm             (B, R)  see `forward_block`
        steps                   (3, 8 * R)  begins, ends and weight of a block, step by step
        norms                   (8 + 8 * R,)  the norms of the step before a block, and of its own
        matrix                  (F, F)
        start                   (F,)
        vectors                 (3, F * 8)
        tracks                  (F * 8,)  message of all tracks
        lost                    (8,)  whether float64 has lost a state of a track
        sequence                (8,)  the sequence that each track has come to
        x                       (D, R)
        lines                   (S, R)  densities of a block
        resp_of_states, smoothed, left, right  (F, R)
        message, work, reference  (S,)  of one sequence
        components              (K,)
        density, resp           (K, R)  of components that states draw from by entries; empty without any
        share                   (B, E, R)
    """

    emission: np.ndarray
    filtered: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    weight: np.ndarray
    shift: np.ndarray
    norm: np.ndarray
    steps: np.ndarray
    norms: np.ndarray
    matrix: np.ndarray
    start: np.ndarray
    vectors: np.ndarray
    tracks: np.ndarray
    lost: np.ndarray
    sequence: np.ndarray
    x: np.ndarray
    scratch: np.ndarray
    lines: np.ndarray
    resp_of_states: np.ndarray
    smoothed: np.ndarray
    left: np.ndarray
    right: np.ndarray
    message: np.ndarray
    work: np.ndarray
    reference: np.ndarray
    components: np.ndarray
    density: np.ndarray
    share: np.ndarray
    resp: np.ndarray


@block_function
def new_memory(n_blocks, n_steps, n_features, latent_params, scratch_lines, block_rows):
    """Memory for units of so many blocks and steps; no steps where none goes through its tracks."""
    n_states, n_components = latent_params[0].shape[0], components_of(latent_params)
    n_mixed, n_entries = n_components if mixes(latent_params) else 0, latent_params.entry_state.shape[0]
    n_filled = (n_states + 7) // 8 * 8
    size = n_filled * TRACKS if n_steps > 0 else 0
    # In logarithms a track is gone through by itself, in blocks.
    held = max((n_steps + block_rows) * size, n_blocks * n_states * block_rows)
    # Not `[:, begin:end]`, whose lines numba would not know to be contiguous.
    short, begin, end = np.empty((3, _APART + n_filled + _APART)), _APART, _APART + n_states
    per_row = np.empty((5, n_blocks, block_rows))
    return Memory(
        np.empty(held),
        np.empty(held),
        per_row[0],
        per_row[1],
        per_row[2],
        per_row[3],
        per_row[4],
        np.empty((3, TRACKS * block_rows)),
        np.empty(TRACKS + TRACKS * block_rows),
        np.empty((n_filled, n_filled)),
        np.empty(n_filled),
        np.empty((3, size)),
        np.empty(size + _APART)[:size],
        np.empty(TRACKS, dtype=np.bool_),
        np.empty(TRACKS, dtype=np.int64),
        np.empty((n_features, block_rows)),
        np.empty((scratch_lines, block_rows)),
        np.empty((n_states, block_rows)),
        np.empty((n_filled, block_rows)),
        np.empty((n_filled, block_rows)),
        np.empty((n_filled, block_rows)),
        np.empty((n_filled, block_rows)),
        short[0][begin:end],
        short[1][begin:end],
        short[2][begin:end],
        np.arange(n_components),
        np.empty((n_mixed, block_rows)),
        np.empty((n_blocks, n_entries, block_rows)),
        np.empty((n_mixed, block_rows)),
    )
