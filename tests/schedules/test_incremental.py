"""Incremental EM: with one block batch EM, with many the same optimum, and never a lower free energy."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from fastem.schedules.batch import fit_batch
from fastem.schedules.incremental import fit_incremental
from fastem.schedules.result import Reason
from fastem.sources import Chunk
from tests import naive
from tests.cases import GAUSSIAN_CASES, assert_same_bits, e_step
from tests.schedules.test_online import Counting, cut, interrupt, overlapping

# Streams that drift are made of rows that can be moved.
CASES = GAUSSIAN_CASES


@pytest.fixture
def model(case):
    return case.model()


class Whole:
    """All rows as one problem for batch EM."""

    def __init__(self, model, X):
        self.model, self.chunk = model, Chunk(X, None, 0)
        self.m_step = model.m_step

    def e_step(self, params):
        return self.model.e_step(params, self.chunk)


@pytest.mark.parametrize(("tol", "n_iter"), [(1e-3, 400), (0.0, 12), (1e-12, 100)])
def test_incremental_em_with_one_block_is_batch_em(case, model, tol, n_iter):
    X, start = overlapping(case, model, 2000)
    batch = fit_batch(Whole(model, X), start, tol=tol, max_iter=n_iter)
    incremental = fit_incremental(model, start, lambda: cut(X, 2000), tol=tol, max_epochs=n_iter + 1, min_rows=3.0)
    assert_same_bits(incremental.params, batch.params)
    assert_same_bits(incremental.state.total, e_step(model, batch.params, X))
    assert incremental.trace == batch.trace
    assert (incremental.reason, incremental.n_iter) == (batch.reason, batch.n_iter)


def test_one_block_that_falls_is_undone_as_in_batch_em(case):
    """A regularisation that is no maximisation lowers the objective."""
    model = case.model()
    model = replace(model, family=replace(model.family, reg_covar=30.0))
    X, start = overlapping(case, model, 2000)
    batch = fit_batch(Whole(model, X), start, tol=0.0, max_iter=100)
    incremental = fit_incremental(model, start, lambda: cut(X, 2000), tol=0.0, max_epochs=101)
    assert incremental.reason is batch.reason is Reason.OBJECTIVE_DECREASED
    assert incremental.trace == batch.trace
    assert_same_bits(incremental.params, batch.params)


class Recording:
    """Remembers at which parameters each E-step was done."""

    def __init__(self, model):
        self.model, self.params = model, []
        self.m_step, self.with_prior = model.m_step, model.with_prior

    def e_step(self, params, block):
        self.params.append(params)
        return self.model.e_step(params, block)


def test_the_free_energy_never_falls(case, model):
    """Against responsibilities kept by a slow twin; blocks are sorted, the worst order."""
    X, start = overlapping(case, model, 240)
    X = X[np.argsort(X[:, 0])]
    recording = Recording(model)
    fit_incremental(recording, start, lambda: cut(X, 40), tol=0.0, max_epochs=6)

    def joint(params, rows):
        family = params.family
        return naive.log_joint(
            rows, params.latent.weights, family.means, family.covariances, model.family.covariance_type
        )

    blocks = [chunk.X for chunk in cut(X, 40)]
    resp, energy = {}, []
    for visit, params in enumerate(recording.params):
        # After the M-step that led here, then after the E-step on one more block.
        if len(resp) == 6:
            energy.append(sum(naive.free_energy(joint(params, blocks[b]), r) for b, r in resp.items()))
        resp[visit % 6] = naive.responsibilities(joint(params, blocks[visit % 6]))
        if len(resp) == 6:
            energy.append(sum(naive.free_energy(joint(params, blocks[b]), r) for b, r in resp.items()))
    gains = np.diff(energy)
    assert gains.min() > -1e-9 * abs(energy[-1])
    assert energy[-1] > energy[0] + 1.0


def test_incremental_em_ends_where_batch_em_does_in_fewer_epochs(case, model):
    X, start = overlapping(case, model, 2000)
    batch = fit_batch(Whole(model, X), start, tol=1e-7, max_iter=3000)
    incremental = fit_incremental(model, start, lambda: cut(X, 100), tol=1e-7, max_epochs=3000)
    assert incremental.reason is Reason.CONVERGED
    assert incremental.n_iter < batch.n_iter
    exact = e_step(model, incremental.params, X)
    assert exact.objective > batch.objective - 1e-5
    assert incremental.objective == pytest.approx(exact.objective, abs=1e-4)


def test_blocks_that_change_are_refused(case, model):
    X, start = overlapping(case, model, 400)

    def fit(*epochs):
        given = iter(epochs)
        return fit_incremental(model, start, lambda: next(given), tol=0.0, max_epochs=len(epochs))

    for epochs, message in (
        ((cut(X, 100), [cut(X, 100)[0], Chunk(X[:90], None, 0)]), "block 1 had rows of weight 100, and now 90"),
        ((cut(X, 100), cut(X, 100) + cut(X, 100)), "block 4 had rows of weight 0, and now 100"),
        ((cut(X, 100), cut(X, 100)[:2]), "an epoch had 2 blocks, and the first one 4"),
    ):
        result = fit(*epochs)
        assert result.reason is Reason.FAILED
        assert message in str(result.error)
    with pytest.raises(ValueError, match="at least one"):
        fit([])


@pytest.mark.parametrize("at", [2, 7, 10, 11, 23])
def test_interrupted_incremental_em_goes_on_to_the_same_bits(case, model, at):
    X, start = overlapping(case, model, 1000)
    options = {"tol": 0.0, "max_epochs": 5}
    whole = fit_incremental(model, start, lambda: cut(X, 100), **options)
    stopped = fit_incremental(Counting(model, at, interrupt), start, lambda: cut(X, 100), **options)
    state = pickle.loads(pickle.dumps(stopped.state))
    resumed = fit_incremental(model, state, lambda: cut(X, 100), **options)
    assert_same_bits(resumed.params, whole.params)
    assert resumed.trace == whole.trace


def test_incremental_em_that_is_gone_on_with_at_its_end_has_converged(case, model):
    X, start = overlapping(case, model, 1000)
    options = {"tol": 1e-3, "max_epochs": 500}
    kept = []
    whole = fit_incremental(
        model, start, lambda: cut(X, 100), watch=lambda state: kept.append(pickle.dumps(state)), **options
    )
    again = fit_incremental(model, pickle.loads(kept[-1]), lambda: cut(X, 100), **options)
    assert (again.reason, again.n_iter) == (whole.reason, whole.n_iter) == (Reason.CONVERGED, whole.n_iter)
    assert_same_bits(again.params, whole.params)


@pytest.mark.parametrize("at", [2, 7, 23])
def test_interrupted_incremental_em_keeps_the_last_visit(case, model, at):
    X, start = overlapping(case, model, 1000)
    recording = Recording(model)
    options = {"tol": 0.0, "max_epochs": 5}
    fit_incremental(recording, start, lambda: cut(X, 100), **options)
    result = fit_incremental(Counting(model, at, interrupt), start, lambda: cut(X, 100), **options)
    assert result.reason is Reason.INTERRUPTED
    assert_same_bits(result.params, recording.params[at - 2])
    assert len(result.trace.objective) == (at - 1) // 10
    with pytest.raises(KeyboardInterrupt):
        fit_incremental(Counting(model, 1, interrupt), start, lambda: cut(X, 100), **options)
