"""The bits of a result do not depend on where the memory of a pass lies.

LLVM compiles many a loop twice: for arrays that lie apart, and for others. Addresses tell which of the two runs, and
they may add up in different orders. What malloc returns lies elsewhere in each thread, and after each allocation.
"""

from __future__ import annotations

import ctypes
import sys
import threading

import numba
import numpy as np
import pytest

from fastem.passes import units
from fastem.passes.memory import new_memory
from fastem.passes.threads import threads
from tests.cases import CASES, assert_same_bits, e_step
from tests.latents.test_chain import outputs_of

# Numbers of components and of features; for four components and more LLVM has loops over components for vectors.
SIZES = {
    "chain of diag Gaussians": (4, 2),
    "chain of full Gaussians": (8, 3),
    "chain of mixed columns": (4, 9),
    "mixed chain of full Gaussians": (5, 2),
    "mixture of full Gaussians": (5, 9),
    "mixture of diag Gaussians": (4, 2),
    "mixture of mixed columns": (4, 9),
}
REPEATS = 16


def case_of(name):
    return next(case for case in CASES if case.name == name)


def shuffle_memory(random):
    """Let small arrays that are made on this thread lie next to each other, in any order."""
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    # Of each size no more than glibc keeps for the thread that frees them.
    blocks = [library.malloc(size) for size in range(16, 1024, 16) for _ in range(5)]
    for i in random.permutation(len(blocks)):
        library.free(blocks[i])


def on_shuffled_memory(run):
    """Call a function again and again, each time on a thread of its own, which begins with no memory."""
    random = np.random.default_rng(2)

    def shuffled():
        shuffle_memory(random)
        run()

    for _ in range(REPEATS):
        thread = threading.Thread(target=shuffled)
        thread.start()
        thread.join()


def results(model, params, X):
    """Statistics, and all that is written of rows that are one sequence."""
    if model.latent.is_chain:
        outputs = outputs_of(model, params, X)
    else:
        outputs = np.empty(len(X)), np.empty((len(X), model.latent.n_components))
        model.log_prob(params, X, outputs[0])
        model.posterior(params, X, outputs[1])
    return e_step(model, params, X), outputs


@pytest.mark.skipif(sys.platform == "win32", reason="the C library has no name there")
@pytest.mark.parametrize("name", SIZES)
def test_memory_that_lies_elsewhere_gives_the_same_bits(name, monkeypatch):
    # Many units, so that many messages go between them.
    monkeypatch.setattr(units, "TRACK_ROWS", 600)
    case = case_of(name)
    model = case.model(*SIZES[name])
    params, X = case.params(model), case.rows(model, 6000)
    found = []

    def run():
        with threads(1):
            found.append(results(model, params, X))

    on_shuffled_memory(run)
    stats, outputs = found[0]
    assert len(found) == REPEATS
    for other_stats, other_outputs in found[1:]:
        assert_same_bits(other_stats, stats)
        for one, other in zip(other_outputs, outputs, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(sys.platform == "win32", reason="the C library has no name there")
@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
@pytest.mark.parametrize("n_states", [1, 4, 8, 37])
def test_short_arrays_lie_apart(n_states):
    """By more than the vectors that one turn of a loop takes: four of eight numbers."""

    @numba.njit
    def made(latent_params):
        memory = new_memory(2, 100, 3, latent_params, 14, 528)
        return memory.message, memory.work, memory.reference

    case = case_of("chain of diag Gaussians")
    latent_params, found = case.params(case.model(n_states, 2)).latent, []
    on_shuffled_memory(lambda: found.append(made(latent_params)))
    assert len(found) == REPEATS
    for short in found:
        assert all(array.shape == (n_states,) and array.flags.c_contiguous for array in short)
        assert min(np.diff(sorted(array.ctypes.data for array in short))) >= 8 * (32 + n_states)
