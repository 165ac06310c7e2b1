"""Chains in which something is impossible: transitions, first states, symbols. Zeros are exact in any length."""

from __future__ import annotations

import numpy as np
import pytest

from fastem.families.columns.categorical import Categorical
from fastem.latents.hmm import HmmLatent
from fastem.model import Model, Params
from fastem.passes.units import TRACK_ROWS
from fastem.sources import Chunk
from tests import naive
from tests.cases import of_size
from tests.latents.test_chain import chain_of, emission_of, outputs_of, statistics

LONG = [2 * TRACK_ROWS + 1700, 40, TRACK_ROWS + 3, 1, 700]


def _left_right(random, k):
    return np.triu(random.dirichlet(np.ones(k), size=k)) + np.diag(random.choice([1.0, 50.0, 2000.0], size=k))


def _banded(random, k):
    near = np.abs(np.subtract.outer(np.arange(k), np.arange(k))) <= 1
    return near * random.dirichlet(np.ones(k), size=k)


def _periodic(random, k):
    return np.roll(np.eye(k), 1, axis=1)


def _reducible(random, k):
    matrix = random.dirichlet(np.ones(k), size=k)
    matrix[: k // 2, k // 2 :] = matrix[k // 2 :, : k // 2] = 0.0
    return matrix


def _absorbing(random, k):
    matrix = random.dirichlet(np.ones(k), size=k) + 30.0 * np.eye(k)
    matrix[-1] = np.arange(k) == k - 1
    return matrix


def _nearly_deterministic(random, k):
    return np.roll(np.eye(k), 1, axis=1) + random.choice([0.0, 1e-12, 1e-120], size=(k, k))


def _scattered(random, k):
    matrix = random.dirichlet(np.ones(k), size=k) * (random.random((k, k)) < 0.5)
    return matrix + np.diag(np.where(matrix.sum(axis=1) == 0.0, 1.0, 0.0))


STRUCTURES = {
    f.__name__.strip("_"): f
    for f in (_left_right, _banded, _periodic, _reducible, _absorbing, _nearly_deterministic, _scattered)
}


def _random_chain(structure, random, k, spread):
    """A chain of normal states, some of which no sequence begins in, and rows that need not suit it."""
    matrix = STRUCTURES[structure](random, k)
    start = random.dirichlet(np.ones(k)) * (random.random(k) < 0.6)
    start[0] += 0.0 if start.sum() > 0.0 else 1.0
    means = spread * random.permutation(k)
    model, params = chain_of(start / start.sum(), matrix / matrix.sum(axis=1, keepdims=True), means)
    regimes = np.repeat(random.choice(means, size=40), sum(LONG) // 40 + 1)[: sum(LONG)]
    return model, params, (regimes + random.normal(size=sum(LONG)))[:, None]


def _check_against_the_twin(model, params, X, emission, lengths):
    twins = [
        naive.chain(part, params.latent.startprob, params.latent.transmat)
        for part in np.split(emission, np.cumsum(lengths)[:-1])
    ]
    loglik, filtered, smoothed, label, path, best = outputs_of(model, params, X, np.array(lengths))
    expected = np.concatenate([twin.loglik for twin in twins])
    # Rows whose states differ by thousands of nats leave fewer digits.
    close = 1e-9
    np.testing.assert_array_equal(loglik == -np.inf, expected == -np.inf)
    np.testing.assert_allclose(loglik, expected, atol=close, rtol=1e-9)
    np.testing.assert_allclose(filtered, np.concatenate([twin.filtered for twin in twins]), atol=close)
    wanted = np.concatenate([twin.smoothed for twin in twins])
    np.testing.assert_allclose(smoothed, wanted, atol=close)
    np.testing.assert_allclose(smoothed.sum(axis=1), 1.0, atol=1e-9)
    np.testing.assert_array_equal(wanted[np.arange(len(X)), label] > wanted.max(axis=1) - 2 * close, True)
    stats = model.e_step(params, Chunk(X, None, 0, np.array(lengths)))
    transitions = sum(twin.transitions for twin in twins)
    np.testing.assert_allclose(stats.latent.transitions, transitions, atol=1e-7, rtol=1e-9)
    assert np.all(stats.latent.transitions[params.latent.transmat == 0.0] == 0.0)
    assert stats.is_finite()
    return path, best


@pytest.mark.parametrize("spread", [1.0, 7.0, 90.0])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_long_sequences_equal_the_twin_in_logarithms(structure, spread):
    """Rows favour a state by a nat, by tens, or by thousands of nats; stretches hand on what they know."""
    random = np.random.default_rng([len(structure), int(spread)])
    model, params, X = _random_chain(structure, random, int(random.integers(2, 6)), spread)
    emission = emission_of(params, X)
    path, best = _check_against_the_twin(model, params, X, emission, LONG)
    ends = np.cumsum(LONG)
    for start, stop, value in zip(ends - LONG, ends, best, strict=True):
        latent = params.latent
        expected, _ = naive.best_path_log_prob(emission[start:stop], latent.startprob, latent.transmat)
        assert value == pytest.approx(expected, rel=1e-10)
        states = path[start:stop]
        assert latent.startprob[states[0]] > 0.0
        assert np.all(latent.transmat[states[:-1], states[1:]] > 0.0)


@pytest.mark.parametrize("structure", ["left_right", "banded", "periodic", "scattered"])
def test_symbols_that_a_state_never_shows(structure):
    """Rows may be impossible in some states, in all of them, or in those that are left after the rows before."""
    random = np.random.default_rng(len(structure))
    k = 3
    matrix = STRUCTURES[structure](random, k)
    model = Model(HmmLatent(k), of_size(Categorical, k, 1, n_categories=4))
    symbols = np.array([[0.6, 0.4, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0], [0.3, 0.3, 0.4, 0.0]])
    params = Params(model.latent.params(np.array([1.0, 0.0, 0.0]), matrix), model.family.params(symbols))
    X = np.concatenate([model.sample(params, n, random)[0] for n in LONG])
    places = random.choice(len(X), size=60, replace=False)
    X[places, 0] = random.integers(0, 4, size=60)
    with np.errstate(divide="ignore"):
        emission = np.log(symbols)[:, X[:, 0].astype(int)].T
    path, best = _check_against_the_twin(model, params, X, emission, LONG)
    assert np.all(best[[0, 2]] == -np.inf)
    # The path goes on across what cannot be.
    states = path[: LONG[0]]
    assert np.all(params.latent.transmat[states[:-1], states[1:]] > 0.0)
    whole = statistics(model, params, X, LONG)
    parts = statistics(model, params, X, LONG, mixing=False)
    for name in ("transitions", "start"):
        np.testing.assert_allclose(getattr(whole.latent, name), getattr(parts.latent, name), rtol=1e-9, atol=1e-9)
    assert whole.zero_density == parts.zero_density > 0.0


@pytest.mark.parametrize("n_rows", [60, 3 * TRACK_ROWS])
@pytest.mark.parametrize("far", [1.0, 8.0, 500.0])
def test_a_state_that_cannot_be_reached_explains_nothing(n_rows, far):
    model, params = chain_of([0.0, 1.0], [[0.5, 0.5], [0.0, 1.0]], [0.0, far])
    X = np.resize([-1.0, 1.0], n_rows)[:, None]
    _, filtered, smoothed, label, path, best = outputs_of(model, params, X)
    assert np.all(smoothed == [0.0, 1.0])
    assert np.all(filtered == [0.0, 1.0])
    assert np.all(label == 1)
    assert np.all(path == 1)
    assert best[0] == pytest.approx(emission_of(params, X)[:, 1].sum(), rel=1e-12)
    stats = model.e_step(params, Chunk(X, None, 0, np.array([n_rows])))
    assert stats.family.n.tolist() == [0.0, n_rows]
    assert stats.latent.transitions.tolist() == [[0.0, 0.0], [0.0, n_rows - 1.0]]
    again, _ = model.m_step(stats, params)
    assert np.all(np.isfinite(again.family.means))


def test_a_way_that_rows_make_improbable_is_not_lost():
    """The only way to the last state leads through one that no row suits: thousands of nats against it, in all."""
    model, params = chain_of([1.0, 0.0, 0.0], [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]], [0.0, 44.0, 6.0])
    X = np.repeat([0.0, 3.5, 6.0], [100, 400, 400])[:, None]
    _check_against_the_twin(model, params, X, emission_of(params, X), [900])
