"""Hidden Markov chains below the estimators: forward-backward, messages between units, ranges, best paths."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from fastem.families.gaussian.family import Gaussian
from fastem.latents.hmm import HmmLatent, HmmStats, stationary_distribution
from fastem.model import Model, Params
from fastem.passes import sequence_pass, units
from fastem.passes.rows import rows_of, weights_of
from fastem.passes.units import TRACK_ROWS, units_of
from fastem.sources import Chunk
from tests import naive
from tests.cases import CASES, assert_close, e_step, sequences, unit_weights

CHAINS = [case for case in CASES if case.name.startswith("chain")]
LEFT_RIGHT = np.triu(np.ones((4, 4), dtype=bool)) & ~np.triu(np.ones((4, 4), dtype=bool), 2)


def chain_of(startprob, transmat, means, sd=1.0, **structure):
    """A model of one feature, and its parameters."""
    means = np.asarray(means, dtype=float).reshape(-1, 1)
    k = len(means)
    model = Model(HmmLatent(k, **structure), Gaussian(n_components=k, n_features=1, covariance_type="diag"))
    family = model.family.params(means, np.broadcast_to(np.square(sd), (k, 1)).astype(float).copy())
    return model, Params(model.latent.params(np.asarray(startprob, float), np.asarray(transmat, float)), family)


def emission_of(params, X):
    sd = np.sqrt(params.family.covariances[:, 0])
    return scipy.stats.norm.logpdf(X, params.family.means[:, 0], sd)


def outputs_of(model, params, X, lengths=None):
    """loglik, filtered, smoothed, label and best path of rows."""
    n, k = X.shape[0], model.latent.n_components
    loglik, filtered, smoothed = np.empty(n), np.empty((n, k)), np.empty((n, k))
    label, path = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    model.log_prob(params, X, loglik, lengths)
    model.filtered(params, X, filtered, lengths)
    model.posterior(params, X, smoothed, lengths)
    model.label(params, X, label, lengths)
    best = model.best_path(params, X, path, lengths)
    return loglik, filtered, smoothed, label, path, best


@pytest.mark.parametrize("chain", CHAINS, ids=lambda case: case.name)
@pytest.mark.parametrize(("n_components", "n_features"), [(1, 1), (2, 1), (3, 2), (5, 3), (4, 9)])
def test_one_iteration_equals_the_naive_twin(chain, n_components, n_features):
    model = chain.model(n_components, n_features)
    params, X = chain.params(model), chain.rows(model, 300)
    weight = unit_weights(model, 300, np.random.default_rng(0))
    lengths = sequences(model, 300)
    of_sequence = weight[np.cumsum(lengths) - lengths]
    twins = naive.chains(X, lengths, params.latent, chain.observed.log_prob(model.family, params.family))
    resp = np.concatenate([w * twin.smoothed for w, twin in zip(of_sequence, twins, strict=True)])
    expected = chain.observed.stats(model.family, params.family, X, resp)
    stats = e_step(model, params, X, weight)
    assert stats.loglik == pytest.approx(of_sequence @ [twin.loglik.sum() for twin in twins], rel=1e-12)
    assert stats.weight == pytest.approx(weight.sum(), rel=1e-14)
    start = sum(w * twin.smoothed[0] for w, twin in zip(of_sequence, twins, strict=True))
    transitions = sum(w * twin.transitions for w, twin in zip(of_sequence, twins, strict=True))
    np.testing.assert_allclose(stats.latent.start, start, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(stats.latent.transitions, transitions, rtol=1e-10, atol=1e-12)
    for name, value in expected.items():
        atol = 1e-11 * max(1.0, float(np.abs(value).max(initial=0.0)))
        np.testing.assert_allclose(getattr(stats.family, name), value, rtol=1e-10, atol=atol, err_msg=name)


@pytest.mark.parametrize("n_rows", [1, 2, 5])
@pytest.mark.parametrize("structure", ["dense", "left-right", "banded"])
def test_all_paths_of_tiny_chains(structure, n_rows):
    random = np.random.default_rng(n_rows)
    start, matrix = random.dirichlet(np.ones(3)), random.dirichlet(np.ones(3), size=3)
    if structure == "left-right":
        start, matrix = np.array([1.0, 0.0, 0.0]), np.triu(matrix)
    if structure == "banded":
        matrix[0, 2] = matrix[2, 0] = 0.0
    model, params = chain_of(start, matrix, [0.0, 1.0, 2.5])
    X = random.normal(1.0, 1.5, size=(n_rows, 1))
    joint = naive.log_prob_of_paths(emission_of(params, X), params.latent.startprob, params.latent.transmat)
    every = naive.paths(n_rows, 3)
    probability = np.exp(joint - np.logaddexp.reduce(joint))
    smoothed = np.array([[probability[every[:, t] == k].sum() for k in range(3)] for t in range(n_rows)])
    counts = np.zeros((3, 3))
    for path, p in zip(every, probability, strict=True):
        for a, b in itertools.pairwise(path):
            counts[a, b] += p

    stats = model.e_step(params, Chunk(X, None, 0))
    assert stats.loglik == pytest.approx(np.logaddexp.reduce(joint), rel=1e-12)
    np.testing.assert_allclose(stats.latent.transitions, counts, atol=1e-14)
    loglik, filtered, posterior, label, path, best = outputs_of(model, params, X)
    assert loglik.sum() == pytest.approx(np.logaddexp.reduce(joint), rel=1e-12)
    np.testing.assert_allclose(posterior, smoothed, atol=1e-14)
    np.testing.assert_allclose(filtered[-1], smoothed[-1], atol=1e-14)
    np.testing.assert_array_equal(label, smoothed.argmax(axis=1))
    np.testing.assert_array_equal(path, every[joint.argmax()])
    assert best[0] == pytest.approx(joint.max(), rel=1e-12)


def statistics(model, params, X, lengths, **settings):
    """Statistics of sequences, by the pass itself."""
    accumulator = model.accumulator(params)
    sequence_pass.sequence_pass(
        params.family, params.latent, rows_of(X), weights_of(None), units_of(np.asarray(lengths)), accumulator._lanes,
        **settings,
    )  # fmt: skip
    accumulator._n_blocks = 10**6
    return accumulator.total()


def serial(model, params, X, lengths, monkeypatch):
    """Statistics and outputs, when no sequence is cut into units."""
    with monkeypatch.context() as patch:
        patch.setattr(units, "TRACK_ROWS", 10**9)
        return statistics(model, params, X, lengths), outputs_of(model, params, X, np.asarray(lengths))


LONG = [300, 5 * TRACK_ROWS + 17, 2, 3 * TRACK_ROWS, 40]
MATRICES = {
    "lively": np.full((3, 3), 0.2) + 0.4 * np.eye(3),
    "sticky": np.full((3, 3), 0.0005) + 0.9985 * np.eye(3),
    "frozen": np.full((3, 3), 1e-9) + (1 - 3e-9) * np.eye(3),
    "left-right": np.triu(np.full((3, 3), 2e-4)) + np.diag([0.9994, 0.9996, 0.9998]),
    "cyclic": np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]),
}


def test_a_million_steps_do_not_underflow(monkeypatch):
    model, params = chain_of([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [0.0, 1.0])
    X = np.random.default_rng(0).normal(size=(1_000_000, 1))
    stats = model.e_step(params, Chunk(X, None, 0))
    assert stats.family.n.sum() == pytest.approx(1e6, rel=1e-10)
    assert stats.latent.transitions.sum() == pytest.approx(1e6 - 1, rel=1e-10)
    part = naive.chain(emission_of(params, X[:2000]), params.latent.startprob, params.latent.transmat)
    loglik = np.empty(1_000_000)
    model.log_prob(params, X, loglik)
    np.testing.assert_allclose(loglik[:2000], part.loglik, rtol=1e-9, atol=1e-9)


def test_densities_that_float64_cannot_hold():
    """Each row has a density of 1e-300 or less under every state, or of 1e-20000."""
    model, params = chain_of([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [0.0, 1.0])
    for far in (37.5, 300.0):
        X = far + np.random.default_rng(0).normal(size=(50, 1))
        expected = naive.chain(emission_of(params, X), params.latent.startprob, params.latent.transmat)
        loglik, filtered, smoothed, *_ = outputs_of(model, params, X)
        np.testing.assert_allclose(loglik, expected.loglik, rtol=1e-12)
        np.testing.assert_allclose(filtered, expected.filtered, rtol=1e-9, atol=1e-300)
        np.testing.assert_allclose(smoothed, expected.smoothed, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("n_rows", [60, 2 * TRACK_ROWS + 100])
def test_a_state_beyond_the_range_of_float64_is_not_lost(n_rows):
    """Rows favour the second state by e^50 each, and then the first one, from which alone one may come."""
    model, params = chain_of([0.5, 0.5], [[1.0 - 1e-3, 1e-3], [0.0, 1.0]], [0.0, 10.0])
    X = np.full((n_rows, 1), 0.0)
    X[: n_rows // 3] = 10.0
    expected = naive.chain(emission_of(params, X), params.latent.startprob, params.latent.transmat)
    assert expected.smoothed[0, 0] == pytest.approx(1.0), "the first state it is, in the light of all rows"
    loglik, filtered, smoothed, *_ = outputs_of(model, params, X)
    # The twin's own sums are 1e5 nats large.
    np.testing.assert_allclose(loglik, expected.loglik, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(filtered, expected.filtered, rtol=1e-7, atol=1e-300)
    np.testing.assert_allclose(smoothed, expected.smoothed, atol=1e-9)
    stats = model.e_step(params, Chunk(X, None, 0))
    np.testing.assert_allclose(stats.latent.transitions, expected.transitions, rtol=1e-7, atol=1e-12)


def test_an_impossible_row_is_reported_and_tells_nothing():
    model, params = chain_of([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [0.0, 3.0])
    X = model.sample(params, 40, np.random.default_rng(0))[0]
    X[[7, 39]] = 1e200
    emission = emission_of(params, np.where(X > 1e100, 0.0, X))
    emission[[7, 39]] = 0.0
    expected = naive.chain(emission, params.latent.startprob, params.latent.transmat)
    stats = model.e_step(params, Chunk(X, np.full(40, 2.0), 0))
    assert stats.zero_density == 4.0
    assert stats.objective == -np.inf
    assert stats.loglik == pytest.approx(2 * expected.loglik.sum(), rel=1e-12)
    np.testing.assert_allclose(stats.latent.transitions, 2 * expected.transitions, rtol=1e-12)
    assert stats.family.n.sum() == pytest.approx(76.0, rel=1e-12)
    loglik, _, smoothed, *_ = outputs_of(model, params, X)
    assert np.flatnonzero(loglik == -np.inf).tolist() == [7, 39]
    np.testing.assert_allclose(smoothed, expected.smoothed, atol=1e-12)


def test_rows_that_contradict_the_chain_are_reported():
    """From the second state nothing leads back, and the first row leaves no doubt."""
    model, params = chain_of([0.0, 1.0], [[0.5, 0.5], [0.0, 1.0]], [0.0, 1.0], sd=1e-3)
    stats = model.e_step(params, Chunk(np.array([[1.0], [0.0], [1.0]]), None, 0))
    assert stats.zero_density == 0.0, "a row at 1000 standard deviations is still possible"
    assert stats.family.n[1] == pytest.approx(3.0)


def test_zeros_stay_zeros():
    model = Model(
        HmmLatent(4, allowed=LEFT_RIGHT, allowed_start=np.arange(4) < 1, transition_prior=3.0),
        Gaussian(n_components=4, n_features=1, covariance_type="diag"),
    )
    params = Params(model.latent.uniform(), model.family.params(np.arange(4.0)[:, None], np.ones((4, 1))))
    X = np.random.default_rng(0).normal(np.repeat([0.0, 1.0, 2.0, 3.0], 30), 0.5)[:, None]
    for _ in range(5):
        stats = model.e_step(params, Chunk(X, None, 0, np.array([120])))
        prior = model.latent.prior_stats(stats.weight)
        params = Params(
            model.latent.m_step(stats.latent + prior, params.latent),
            model.family.m_step(stats.family, params.family)[0],
        )
    assert np.all(params.latent.transmat[~LEFT_RIGHT] == 0.0)
    assert np.all(params.latent.transmat[LEFT_RIGHT] > 0.0)
    assert params.latent.startprob.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert model.latent.n_parameters() == 3


def test_a_state_that_is_never_left_may_go_anywhere():
    latent = HmmLatent(2)
    stats = latent.zero_stats()._replace(transitions=np.array([[3.0, 1.0], [0.0, 0.0]]))
    params = latent.m_step(stats, latent.uniform())
    assert params.startprob.tolist() == [0.5, 0.5]
    assert params.transmat.tolist() == [[0.75, 0.25], [0.5, 0.5]]


def test_the_prior_adds_pseudo_counts_and_a_density():
    latent = HmmLatent(2, start_prior=np.array([3.0, 1.0]), transition_prior=2.0)
    prior = latent.prior_stats(10.0)
    assert prior.start.tolist() == [2.0, 0.0]
    assert prior.transitions.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    params = latent.params(np.array([0.25, 0.75]), np.array([[0.5, 0.5], [0.1, 0.9]]))
    expected = 2 * np.log(0.25) + 2 * np.log(0.5) + np.log(0.1) + np.log(0.9)
    assert latent.log_prior(params, 10.0) == pytest.approx(expected, rel=1e-12)
    assert HmmLatent(2).prior_stats(10.0) is None
    assert HmmLatent(2).log_prior(params, 10.0) == 0.0


@pytest.mark.parametrize("stationary", [False, True])
def test_coordinates_give_the_parameters_back(stationary):
    latent = HmmLatent(4, allowed=LEFT_RIGHT, allowed_start=np.arange(4) < 2, stationary=stationary)
    random = np.random.default_rng(0)
    params = latent.params(random.uniform(size=4), random.uniform(size=(4, 4)))
    point = latent.to_unconstrained(params)
    assert point.shape == (latent.n_unconstrained(),)
    assert_close(latent.from_unconstrained(point), params, rtol=1e-12)
    anywhere = latent.from_unconstrained(random.normal(scale=300.0, size=point.size))
    assert np.all(np.isfinite(anywhere.transmat))
    assert np.all(anywhere.transmat[~LEFT_RIGHT] == 0.0)
    np.testing.assert_allclose(anywhere.transmat.sum(axis=1), 1.0)
    tiny = latent.params(np.ones(4), np.where(np.eye(4) > 0, 1.0, 1e-320))
    assert np.all(np.isfinite(latent.to_unconstrained(tiny)))


def test_stationary_distributions():
    matrix = np.random.default_rng(0).dirichlet(np.ones(5), size=5)
    p = stationary_distribution(matrix)
    np.testing.assert_allclose(p @ matrix, p, atol=1e-15)
    np.testing.assert_allclose(stationary_distribution(MATRICES["cyclic"]), 1 / 3)
    absorbed = stationary_distribution(np.array([[0.5, 0.5], [0.0, 1.0]]))
    assert absorbed.tolist() == [0.0, 1.0]
    leaves_two = np.array([[0.9, 0.1, 0.0], [0.0, 0.25, 0.75], [0.0, 0.75, 0.25]])
    np.testing.assert_allclose(stationary_distribution(leaves_two), [0.0, 0.5, 0.5], rtol=1e-14)
    assert stationary_distribution(leaves_two)[0] == 0.0


ABSORBING = np.array([[True, True], [False, True]])


def test_a_stationary_start_of_an_absorbing_chain_is_the_absorbing_state():
    """First rows tell nothing of a state that is left for ever, whatever an earlier start made of them."""
    latent = HmmLatent(2, allowed=ABSORBING, stationary=True)
    before = latent.params(np.ones(2), np.array([[0.9, 0.1], [0.0, 1.0]]))
    stats = HmmStats(np.array([40.0, 1e-15]), np.array([[360.0, 40.0], [0.0, 760.0]]), np.empty(0))
    after = latent.m_step(stats, before)
    assert after.startprob.tolist() == [0.0, 1.0]
    np.testing.assert_allclose(after.transmat, [[0.9, 0.1], [0.0, 1.0]], atol=1e-7)


def test_a_stationary_start_that_no_transition_leads_back_to():
    """Shares of the counts would make the state that all sequences begin in impossible there."""
    latent = HmmLatent(2, stationary=True)
    before = latent.params(np.ones(2), np.array([[0.9, 0.1], [0.1, 0.9]]))
    stats = HmmStats(np.array([40.0, 0.0]), np.array([[360.0, 40.0], [1e-300, 760.0]]), np.empty(0))
    after = latent.m_step(stats, before)
    assert latent.expected_log_prob(after, stats) > latent.expected_log_prob(before, stats)


def test_statistics_give_back_a_chain_that_leaves_states_for_ever():
    latent = HmmLatent(2, allowed=ABSORBING)
    params = latent.params(np.array([0.5, 0.5]), np.array([[0.8, 0.2], [0.0, 1.0]]))
    assert_close(latent.m_step(latent.stats_of(params), params), params, rtol=1e-12)


def test_a_stationary_start_never_lowers_the_objective_and_beats_shares_of_counts():
    """Many short sequences, for which the first state matters."""
    free, params = chain_of([0.5, 0.5], [[0.6, 0.4], [0.2, 0.8]], [0.0, 2.0])
    model = replace(free, latent=HmmLatent(2, stationary=True))
    random = np.random.default_rng(0)
    lengths = np.full(200, 2)
    X = np.concatenate([free.sample(params, 2, random)[0] for _ in lengths])
    params = Params(model.latent.params(np.ones(2), [[0.7, 0.3], [0.5, 0.5]]), params.family)
    objective = []
    for _ in range(30):
        np.testing.assert_allclose(params.latent.startprob @ params.latent.transmat, params.latent.startprob)
        stats = model.e_step(params, Chunk(X, None, 0, lengths))
        objective.append(stats.objective)
        params = model.m_step(stats, params)[0]
    assert np.diff(objective).min() > -1e-11
    plain = free.latent.m_step(stats.latent, params.latent).transmat
    best = model.latent.m_step(stats.latent, params.latent).transmat

    def expected(matrix):
        start = stationary_distribution(matrix)
        return stats.latent.start @ np.log(start) + (stats.latent.transitions * np.log(matrix)).sum()

    assert expected(best) > expected(plain) + 1e-3
    for step in np.random.default_rng(1).normal(scale=1e-3, size=(20, 2)):
        nearby = best + np.column_stack([step, -step])
        assert expected(nearby) < expected(best)


def test_sampled_states_follow_the_chain():
    latent = HmmLatent(3)
    params = latent.params(np.array([0.2, 0.3, 0.5]), np.array([[0.5, 0.5, 0.0], [0.1, 0.6, 0.3], [0.4, 0.0, 0.6]]))
    states = latent.sample(params, 60_000, np.random.default_rng(0))
    counts = np.zeros((3, 3))
    np.add.at(counts, (states[:-1], states[1:]), 1)
    assert counts[0, 2] == counts[2, 1] == 0
    np.testing.assert_allclose(counts / counts.sum(axis=1, keepdims=True), params.transmat, atol=0.015)
    assert latent.sample(params, 5, np.random.default_rng(0), first=1)[0] == 1
