"""Chains whose states are not the components of the family: tied states, mixtures, and both."""

from __future__ import annotations

import itertools

import numba
import numpy as np
import pytest

from fastem.families.gaussian.family import Gaussian
from fastem.latents.emissions import Emissions
from fastem.latents.hmm import HmmLatent
from fastem.model import Model, Params
from fastem.passes import units
from fastem.passes.units import TRACK_ROWS
from fastem.sources import Chunk
from tests import naive
from tests.cases import assert_close, assert_same_bits
from tests.latents.test_chain import outputs_of

MAPS = {
    "mixtures": Emissions.mixtures(3, 2),
    "one state": Emissions.mixtures(1, 3),
    "tied": Emissions.tied([1, 0, 1, 2]),
    "semi-continuous": Emissions([0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 2, 2]),
    "uneven": Emissions([0, 1, 1, 2, 0], [0, 0, 1, 1, 2]),
}
LENGTHS = np.array([250, 1, 330, 19])
LONG = np.array([2 * TRACK_ROWS + 1700, 40, TRACK_ROWS + 3])


def model_of(emissions, spread=2.0, seed=0, transmat=None, **structure):
    """A model of two features, and its parameters."""
    random = np.random.default_rng(seed)
    s, k = emissions.n_states, emissions.n_components
    model = Model(
        HmmLatent(s, emissions=emissions, **structure), Gaussian(n_components=k, n_features=2, covariance_type="diag")
    )
    transmat = random.dirichlet(np.ones(s), size=s) if transmat is None else transmat
    latent = model.latent.params(random.dirichlet(np.ones(s)), transmat, random.uniform(0.1, 1.0, emissions.state.size))
    family = model.family.params(spread * random.normal(size=(k, 2)), random.uniform(0.5, 2.0, (k, 2)))
    return model, Params(latent, family)


def log_prob_of(params, X):
    variances = params.family.covariances
    return (-0.5 * (np.square(X[:, None, :] - params.family.means) / variances + np.log(2 * np.pi * variances))).sum(
        axis=2
    )


def rows_of(model, params, lengths, seed=0):
    random = np.random.default_rng(seed)
    return np.concatenate([model.sample(params, n, random)[0] for n in lengths])


def sums(emissions, of_entries, to):
    """Sums over the entries of each state, or component, along the last axis."""
    return of_entries @ (getattr(emissions, to)[:, None] == np.arange(getattr(emissions, f"n_{to}s")))


def check_against_the_twin(model, params, X, lengths, atol=1e-10):
    emissions = model.latent.emissions
    log_prob = log_prob_of(params, X)
    parts = np.split(log_prob, np.cumsum(lengths)[:-1])
    twins = [naive.chain_of_entries(part, params.latent, emissions.component) for part in parts]
    loglik, filtered, smoothed, label, _, best = outputs_of(model, params, X, lengths)
    entries = np.concatenate([twin.smoothed for twin in twins])
    np.testing.assert_allclose(loglik, np.concatenate([twin.loglik for twin in twins]), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(smoothed, sums(emissions, entries, "state"), atol=atol)
    of_filtered = np.concatenate([twin.filtered for twin in twins])
    np.testing.assert_allclose(filtered, sums(emissions, of_filtered, "state"), atol=atol)
    np.testing.assert_array_equal(label, smoothed.argmax(axis=1))
    for part, found in zip(parts, best, strict=True):
        emission = naive.mixed_emission(part, params.latent, emissions.component)
        expected, _ = naive.best_path_log_prob(emission, params.latent.startprob, params.latent.transmat)
        assert found == pytest.approx(expected, rel=1e-10)
    stats = model.e_step(params, Chunk(X, None, 0, lengths))
    assert stats.loglik == pytest.approx(sum(twin.loglik.sum() for twin in twins), rel=1e-11)
    close = {"rtol": 1e-8, "atol": 1e-8}
    np.testing.assert_allclose(stats.latent.entries, entries.sum(axis=0), **close)
    transitions = sum(twin.transitions for twin in twins)
    np.testing.assert_allclose(
        stats.latent.transitions, sums(emissions, sums(emissions, transitions, "state").T, "state").T, **close
    )
    expected = naive.moments(X, sums(emissions, entries, "component"), params.family.means)
    np.testing.assert_allclose(stats.family.n, expected.n, **close)
    np.testing.assert_allclose(stats.family.sx, expected.sx, rtol=1e-8, atol=1e-6)


@pytest.mark.parametrize("name", MAPS)
def test_any_map_is_a_chain_of_its_entries(name):
    model, params = model_of(MAPS[name])
    check_against_the_twin(model, params, rows_of(model, params, LENGTHS), LENGTHS)


@pytest.mark.parametrize("name", ["mixtures", "uneven"])
def test_long_sequences_and_states_far_apart(name):
    """Log-densities differ by thousands of nats, and messages go between the parts of long sequences."""
    s = MAPS[name].n_states
    model, params = model_of(MAPS[name], spread=50.0, transmat=np.full((s, s), 1e-3) + (1 - s * 1e-3) * np.eye(s))
    check_against_the_twin(model, params, rows_of(model, params, LONG), LONG)


def test_impossible_transitions_and_rare_densities():
    """A left-right chain, which takes logarithms: a state may only be the next, however improbable its rows are."""
    allowed = np.triu(np.ones((3, 3), dtype=bool))
    model, params = model_of(MAPS["mixtures"], transmat=np.triu(np.full((3, 3), 0.1)) + np.eye(3), allowed=allowed)
    X = rows_of(model, params, [400]) + 40.0 * np.repeat([0.0, 1.0, 0.0, 1.0], 100)[:, None]
    check_against_the_twin(model, params, X, np.array([400]), atol=1e-8)


@pytest.mark.parametrize("n_rows", [1, 2, 4])
def test_all_paths_of_tiny_chains(n_rows):
    model, params = model_of(Emissions.mixtures(2, 2))
    X = rows_of(model, params, [n_rows])
    emission = naive.mixed_emission(log_prob_of(params, X), params.latent, np.arange(4))
    joint = naive.log_prob_of_paths(emission, params.latent.startprob, params.latent.transmat)
    every = naive.paths(n_rows, 2)
    probability = np.exp(joint - np.logaddexp.reduce(joint))
    counts = np.zeros((2, 2))
    for path, p in zip(every, probability, strict=True):
        for a, b in itertools.pairwise(path):
            counts[a, b] += p
    stats = model.e_step(params, Chunk(X, None, 0))
    assert stats.loglik == pytest.approx(np.logaddexp.reduce(joint), rel=1e-12)
    np.testing.assert_allclose(stats.latent.transitions, counts, atol=1e-13)
    _, _, smoothed, _, path, best = outputs_of(model, params, X)
    expected = [[probability[every[:, t] == k].sum() for k in range(2)] for t in range(n_rows)]
    np.testing.assert_allclose(smoothed, expected, atol=1e-13)
    np.testing.assert_array_equal(path, every[joint.argmax()])
    assert best[0] == pytest.approx(joint.max(), rel=1e-12)


def test_tied_states_are_a_chain_of_components_with_equal_densities():
    tied, params = model_of(MAPS["tied"])
    component = np.array([1, 0, 1, 2])
    plain = Model(HmmLatent(4), Gaussian(n_components=4, n_features=2, covariance_type="diag"))
    family = plain.family.params(params.family.means[component], params.family.covariances[component])
    alike = Params(plain.latent.params(params.latent.startprob, params.latent.transmat), family)
    X = rows_of(tied, params, LENGTHS)
    chunk = Chunk(X, None, 0, LENGTHS)
    found, expected = tied.e_step(params, chunk), plain.e_step(alike, chunk)
    assert found.loglik == pytest.approx(expected.loglik, rel=1e-13)
    np.testing.assert_allclose(found.latent.transitions, expected.latent.transitions, rtol=1e-11)
    np.testing.assert_allclose(found.family.n, np.bincount(component, weights=expected.family.n), rtol=1e-11)
    assert tied.latent.n_parameters() == plain.latent.n_parameters()
    assert tied.latent.to_unconstrained(params.latent).size == plain.latent.n_unconstrained()


def test_one_component_a_state_is_the_plain_chain():
    mixed, params = model_of(Emissions.mixtures(3, 1))
    plain = Model(HmmLatent(3), mixed.family)
    alike = Params(plain.latent.params(params.latent.startprob, params.latent.transmat), params.family)
    chunk = Chunk(rows_of(mixed, params, LENGTHS), None, 0, LENGTHS)
    found, expected = mixed.e_step(params, chunk), plain.e_step(alike, chunk)
    assert_close(found.family, expected.family, rtol=1e-12)
    assert found.loglik == pytest.approx(expected.loglik, rel=1e-13)
    np.testing.assert_allclose(found.latent.entries, expected.family.n, rtol=1e-12)


@pytest.mark.parametrize("name", MAPS)
def test_any_number_of_threads_gives_the_same_bits(name):
    model, params = model_of(MAPS[name])
    X = rows_of(model, params, LONG)
    chunk = Chunk(X, None, 0, LONG)
    found = []
    before = numba.get_num_threads()
    try:
        for n in {1, before}:
            numba.set_num_threads(n)
            found.append((model.e_step(params, chunk), outputs_of(model, params, X, LONG)))
    finally:
        numba.set_num_threads(before)
    assert_same_bits(found[0][0], found[-1][0])
    for one, other in zip(found[0][1], found[-1][1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_whole_sequences_and_their_parts_agree(monkeypatch):
    model, params = model_of(MAPS["uneven"])
    X = rows_of(model, params, LONG)
    parts = model.e_step(params, Chunk(X, None, 0, LONG))
    monkeypatch.setattr(units, "TRACK_ROWS", 10**9)
    assert_close(parts, model.e_step(params, Chunk(X, None, 0, LONG)), rtol=1e-10)


def test_impossible_rows_teach_nothing():
    model, params = model_of(MAPS["mixtures"])
    X = rows_of(model, params, [40])
    X[[7, 39]] = 1e200
    stats = model.e_step(params, Chunk(X, np.full(40, 2.0), 0))
    assert stats.zero_density == 4.0
    assert stats.family.n.sum() == pytest.approx(76.0, rel=1e-12)
    assert stats.latent.entries.sum() == pytest.approx(76.0, rel=1e-12)
    assert stats.family.is_finite()


def test_a_component_of_weight_zero_has_no_rows():
    model, params = model_of(Emissions.mixtures(2, 2))
    latent = model.latent.params(params.latent.startprob, params.latent.transmat, np.array([1.0, 0.0, 0.5, 0.5]))
    params = params._replace(latent=latent)
    X = rows_of(model, params, [300])
    stats = model.e_step(params, Chunk(X, None, 0))
    assert stats.latent.entries[1] == 0.0
    check_against_the_twin(model, params, X, np.array([300]))
    assert np.isfinite(model.latent.expected_log_prob(params.latent, stats.latent))


def test_the_prior_of_weights_adds_pseudo_counts():
    latent = HmmLatent(2, emissions=Emissions.mixtures(2, 2, np.array([3.0, 1.0, 1.0, 2.0])))
    prior = latent.prior_stats(10.0)
    assert prior.entries.tolist() == [2.0, 0.0, 0.0, 1.0]
    params = latent.params(np.ones(2), np.ones((2, 2)), np.array([0.25, 0.75, 0.9, 0.1]))
    assert latent.log_prior(params, 10.0) == pytest.approx(2 * np.log(0.25) + np.log(0.1), rel=1e-12)
    counts = latent.zero_stats()._replace(entries=np.array([1.0, 3.0, 0.0, 0.0]))
    assert latent.m_step(counts + prior, params).weights[:2].tolist() == [0.5, 0.5]
    assert latent.m_step(counts, params).weights.tolist() == [0.25, 0.75, 0.5, 0.5]


@pytest.mark.parametrize("name", MAPS)
def test_coordinates_give_the_parameters_back(name):
    model, params = model_of(MAPS[name])
    point = model.latent.to_unconstrained(params.latent)
    assert point.shape == (model.latent.n_unconstrained(),)
    assert_close(model.latent.from_unconstrained(point), params.latent, rtol=1e-12)
    assert model.roots(model.to_unconstrained(params)).sum() == point.size


@pytest.mark.parametrize(
    ("state", "component"), [([0, 2], [0, 1]), ([0, 1], [1, 0]), ([0, 1], [0, 2]), ([], []), ([0], [0, 1])]
)
def test_maps_that_leave_something_out_are_named(state, component):
    with pytest.raises(ValueError, match="leave none out"):
        Emissions(np.array(state, dtype=int), np.array(component, dtype=int))


def test_records_that_do_not_fit_are_refused():
    model, params = model_of(MAPS["mixtures"])
    X = rows_of(model, params, [20])
    broken = params._replace(latent=params.latent._replace(weights=params.latent.weights[:-1]))
    with pytest.raises(ValueError, match="weights of HmmParams has the shape"):
        model.e_step(broken, Chunk(X, None, 0))
    few = Gaussian(n_components=5, n_features=2, covariance_type="diag")
    with pytest.raises(ValueError, match="6 components and rows of 2 columns"):
        model.e_step(Params(params.latent, few.neutral_params(np.zeros(2))), Chunk(X, None, 0))
