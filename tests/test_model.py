"""A model hands everything that is computed from rows to its backend."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest

from fastem.fitting.problem import Problem
from fastem.passes.backend import COMPILED
from fastem.sources import ArraySource, Chunk
from tests.cases import CASES, fields

ROWS, CHAIN = (
    next(case for case in CASES if case.name == f"{kind} of exponential columns") for kind in ("mixture", "chain")
)


@dataclass(frozen=True)
class Mirrored:
    """Computes with the rows in reverse order, which a mixture does not mind."""

    def accumulator(self, latent, params, zero, pruning, begun, in_float32=None):
        return Reversing(COMPILED.accumulator(latent, params, zero, pruning, begun, in_float32))

    def score(self, latent, params, zero, X, lengths, pruning, **outputs):
        mirrored = {name: out.copy() for name, out in outputs.items()}
        COMPILED.score(latent, params, zero, X[::-1], lengths, pruning, **mirrored)
        for name, out in outputs.items():
            out[:] = mirrored[name][::-1]

    def best_path(self, params, X, lengths, out):
        raise NotImplementedError


class Reversing:
    def __init__(self, inner):
        self.inner, self.partial, self.total = inner, inner.partial, inner.total

    def add(self, chunk):
        self.inner.add(Chunk(chunk.X[::-1], None, chunk.first_row))


def test_another_backend_gives_the_same_to_rounding():
    model = ROWS.model()
    params, X = ROWS.params(model), ROWS.rows(model, 4001)
    other = replace(model, backend=Mirrored())
    found, expected = (Problem(one, ArraySource(X)).e_step(params) for one in (other, model))
    assert any(not np.array_equal(a, b) for (_, a), (_, b) in zip(fields(found), fields(expected), strict=True))
    for (name, a), (_, b) in zip(fields(found), fields(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, err_msg=name)
    for what, shape, dtype in (("log_prob", 4001, float), ("posterior", (4001, 3), float), ("label", 4001, np.int64)):
        ours, theirs = np.empty(shape, dtype), np.empty(shape, dtype)
        getattr(other, what)(params, X, ours)
        getattr(model, what)(params, X, theirs)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


class Refused(Exception):
    pass


class Refusing:
    def __getattr__(self, name):
        raise Refused(name)


@pytest.mark.parametrize("what", ["e_step", "log_prob", "posterior", "label", "filtered", "best_path"])
def test_nothing_is_computed_beside_the_backend(what):
    model = replace(CHAIN.model(), backend=Refusing())
    params, X = CHAIN.params(model), np.ones((5, 2))
    arguments = (Chunk(X, None, 0),) if what == "e_step" else (X, np.empty(5))
    with pytest.raises(Refused):
        getattr(model, what)(params, *arguments)


def test_a_pickled_model_has_its_backend():
    for backend in (Mirrored(), COMPILED):
        model = replace(ROWS.model(), backend=backend)
        assert pickle.loads(pickle.dumps(model)).backend == backend
