"""What a thread holds while it works on the units of a chain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.passes.emissions import components_of, mixes
from fastem.passes.flags import block_function

# Numbers that nobody uses, at both ends of an array of a few. LLVM compiles a loop for arrays that lie a few vectors
# apart (32 numbers), and once more for others. The two may add up in different orders: addresses would set the bits.
_APART = 64


class Memory(NamedTuple):
    """Scratch of one thread: blocks of a unit, and of the rows under way.

    `density`, `share` and `resp` are of components that states draw from by entries, and empty without any.
    """

    emission: np.ndarray
    filtered: np.ndarray
    shift: np.ndarray
    norm: np.ndarray
    x: np.ndarray
    scratch: np.ndarray
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
def new_memory(n_blocks, n_features, latent_params, scratch_lines, block_rows):
    n_states, n_components = latent_params[0].shape[0], components_of(latent_params)
    n_mixed, n_entries = n_components if mixes(latent_params) else 0, latent_params.entry_state.shape[0]
    # Not `[:, begin:end]`, whose lines numba would not know to be contiguous.
    short, begin, end = np.empty((3, _APART + (n_states + 7) // 8 * 8 + _APART)), _APART, _APART + n_states
    return Memory(
        np.empty((n_blocks, n_states, block_rows)),
        np.empty((n_blocks, n_states, block_rows)),
        np.empty((n_blocks, block_rows)),
        np.empty((n_blocks, block_rows)),
        np.empty((n_features, block_rows)),
        np.empty((scratch_lines, block_rows)),
        np.empty((n_states, block_rows)),
        np.empty((n_states, block_rows)),
        short[0][begin:end],
        short[1][begin:end],
        short[2][begin:end],
        np.arange(n_components),
        np.empty((n_mixed, block_rows)),
        np.empty((n_blocks, n_entries, block_rows)),
        np.empty((n_mixed, block_rows)),
    )
