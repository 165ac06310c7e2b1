"""Missing values in independent columns: each takes nothing from a density, and counts as it is expected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import digamma

from fastem.families import Bernoulli, Categorical, Exponential, Gamma, Multinomial, Normal, Poisson
from fastem.families.columns.product import Part, Product
from fastem.fitting.information import at_tangent, total_gradient
from fastem.fitting.numeric import with_gradients
from fastem.latents.hmm import HmmLatent
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.passes import threads
from fastem.sources import Chunk

K, D = 3, 4
RANDOM = np.random.default_rng(0)
POSITIVE = RANDOM.uniform(0.5, 6.0, (K, D))
SHARES = RANDOM.dirichlet(np.ones(3), (K, D))
MIXED = (
    (Normal, [0, 5]), (Poisson, [1]), (Bernoulli, [2]), (Categorical, [3]), (Exponential, [4]), (Gamma, [6]),
)  # fmt: skip


def family_of(kind, d=D):
    settings = {"n_categories": 3} if kind is Categorical else {}
    return replace(kind(**settings), n_components=K, n_features=d)


def params_of(kind, family):
    d = family.n_features
    if kind is Normal:
        return family.params(POSITIVE[:, :d], 0.3 * POSITIVE[:, ::-1][:, :d])
    if kind is Bernoulli:
        return family.params(SHARES[:, :d, 0])
    if kind is Categorical:
        return family.params(SHARES[:, :d].reshape(K, -1))
    if kind is Gamma:
        return family.params(np.concatenate([POSITIVE[:, :d], POSITIVE[:, ::-1][:, :d]], axis=1))
    return family.params(POSITIVE[:, :d])


def log_prob_of(kind, shown, k, j, x):
    """Log-density of one value, by SciPy; `shown` are the estimates."""
    if kind is Normal:
        return stats.norm.logpdf(x, shown["means"][k, j], np.sqrt(shown["variances"][k, j]))
    if kind is Poisson:
        return stats.poisson.logpmf(x, shown["rates"][k, j])
    if kind is Bernoulli:
        return stats.bernoulli.logpmf(x, shown["probabilities"][k, j])
    if kind is Categorical:
        return np.log(shown["probabilities"][j][k, int(x)])
    if kind is Exponential:
        return stats.expon.logpdf(x, scale=next(iter(shown.values()))[k, j])
    return stats.gamma.logpdf(x, shown["shapes"][k, j], scale=shown["scales"][k, j])


def model_of(name):
    """A model for rows that may miss values, its parameters, and a naive log-likelihood of what rows show."""
    if name == "mixed":
        families = [(kind, family_of(kind, len(columns)), np.array(columns)) for kind, columns in MIXED]
        family = Product(tuple(Part(own, columns) for _, own, columns in families)).with_gaps()
        params = family.params(
            [params_of(kind, part.family) for (kind, _, _), part in zip(families, family.parts, strict=True)]
        )
        places = {
            int(j): (kind, index, place)
            for index, (kind, _, columns) in enumerate(families)
            for place, j in enumerate(columns)
        }

        def log_prob(params, k, j, x):
            kind, index, place = places[j]
            own = family.params_of(params)[index]
            return log_prob_of(kind, family.parts[index].family.estimates(own), k, place, x)

    else:
        kind = {"poisson": Poisson, "bernoulli": Bernoulli, "categorical": Categorical, "exponential": Exponential,
                "gamma": Gamma, "normal": Normal}[name]  # fmt: skip
        family = family_of(kind).with_gaps()
        params = params_of(kind, family)

        def log_prob(params, k, j, x):
            return log_prob_of(kind, family.estimates(params), k, j, x)

    latent = MixtureLatent(K)
    return Model(latent, family), Params(latent.params(np.array([0.2, 0.3, 0.5])), params), log_prob


KINDS = ["poisson", "bernoulli", "categorical", "exponential", "gamma", "normal", "mixed"]


def rows_of(model, params, n_rows, share, seed=0):
    random = np.random.default_rng(seed)
    X, _ = model.sample(params, n_rows, random)
    X[random.random(X.shape) < share] = np.nan
    return X


def naive_joint(log_prob, params, X):
    joint = np.empty((len(X), K))
    for i, row in enumerate(X):
        for k in range(K):
            seen = [log_prob(params.family, k, j, x) for j, x in enumerate(row) if not np.isnan(x)]
            joint[i, k] = np.log(params.latent.weights[k]) + sum(seen)
    return joint


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", KINDS)
def test_densities_are_those_of_what_is_there(name, share):
    model, params, log_prob = model_of(name)
    X = rows_of(model, params, 120, share)
    X[7] = np.nan
    joint = naive_joint(log_prob, params, X)
    found, resp = np.empty(len(X)), np.empty((len(X), K))
    model.log_prob(params, X, found)
    model.posterior(params, X, resp)
    total = np.logaddexp.reduce(joint, axis=1)
    np.testing.assert_allclose(found, total, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(resp, np.exp(joint - total[:, None]), atol=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_statistics_have_the_gradient_of_the_likelihood_of_what_is_there(name):
    """Fisher's identity: it holds only where missing values count as they are expected."""
    model, params, log_prob = model_of(name)
    X, weight = rows_of(model, params, 60, 0.4), np.random.default_rng(1).uniform(0.0, 2.0, 60)
    known = with_gradients(model)
    gradient = total_gradient(known, params, model.e_step(params, Chunk(X, weight, 0)))

    def loglik(tangent):
        return weight @ np.logaddexp.reduce(naive_joint(log_prob, at_tangent(known, params, tangent), X), axis=1)

    h = 1e-5
    differences = [(loglik(h * step) - loglik(-h * step)) / (2.0 * h) for step in np.eye(gradient.size)]
    np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_row_gradients_sum_up(name):
    model, params, _ = model_of(name)
    X = rows_of(model, params, 60, 0.4)
    resp = np.empty((60, K))
    model.posterior(params, X, resp)
    each = model.family.gradients(params.family, X, resp)
    stats_of_all = model.e_step(params, Chunk(X, None, 0)).family
    np.testing.assert_allclose(
        each.sum(axis=0), model.family.gradient(params.family, stats_of_all), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("name", KINDS)
def test_complete_blocks_and_other_numbers_of_threads_have_the_same_bits(name):
    model, params, _ = model_of(name)
    X = rows_of(model, params, 3000, 0.0)
    plain = model.with_gaps(False)
    one = plain.e_step(plain.prepared(params), Chunk(X, None, 0))
    other = model.e_step(params, Chunk(X, None, 0))
    for a, b in zip(one.family, other.family, strict=True):
        np.testing.assert_array_equal(a, b)
    X = rows_of(model, params, 3000, 0.3)
    whole = model.e_step(params, Chunk(X, None, 0))
    with threads.threads(1):
        single = model.e_step(params, Chunk(X, None, 0))
    for a, b in zip(whole.family, single.family, strict=True):
        np.testing.assert_array_equal(a, b)


def test_em_is_monotone_and_chains_take_gaps():
    model, params, _ = model_of("mixed")
    X = rows_of(model, params, 500, 0.3)
    course = []
    for _ in range(30):
        found = model.e_step(params, Chunk(X, None, 0))
        course.append(found.loglik)
        params = model.m_step(found, params)[0]
    assert np.all(np.diff(course) > -1e-9)
    latent = HmmLatent(K)
    chain, states = Model(latent, model.family), latent.params(np.ones(K) / K, np.full((K, K), 1.0 / K))
    # A chain without memory is a mixture of equal weights.
    out, of_mixture = np.empty(500), np.empty(500)
    chain.log_prob(Params(states, params.family), X, out)
    model.log_prob(params._replace(latent=model.latent.params(np.ones(K) / K)), X, of_mixture)
    np.testing.assert_allclose(out, of_mixture, rtol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_counts_with_exposures_count_as_exposed(scale):
    family = replace(Poisson(exposure=True), n_components=K, n_features=3).with_gaps()
    params = family.params(scale * POSITIVE[:, :2])
    model = Model(MixtureLatent(K), family)
    own = Params(model.latent.params(np.ones(K) / K), params)
    random = np.random.default_rng(0)
    exposure = random.uniform(0.5, 2.0, 200)
    X = np.column_stack([random.poisson(scale * 2.0 * exposure), random.poisson(scale * exposure), exposure]).astype(
        float
    )
    X[::3, 0], X[1::4, 1] = np.nan, np.nan
    joint = np.zeros((200, K))
    for k in range(K):
        for j in range(2):
            log_prob = stats.poisson.logpmf(X[:, j], scale * POSITIVE[k, j] * exposure)
            joint[:, k] += np.where(np.isnan(X[:, j]), 0.0, log_prob)
    found = np.empty(200)
    model.log_prob(own, X, found)
    np.testing.assert_allclose(found, np.logaddexp.reduce(joint - np.log(K), axis=1), rtol=1e-9, atol=1e-10)
    resp = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    counts = np.where(np.isnan(X[:, :2])[:, None, :], scale * POSITIVE[:, :2] * exposure[:, None, None], X[:, None, :2])
    np.testing.assert_allclose(
        model.e_step(own, Chunk(X, None, 0)).family.sums, np.einsum("nk,nkj->kj", resp, counts), rtol=1e-9
    )


def test_a_row_of_counts_of_which_all_are_missing_says_nothing():
    family = replace(Multinomial(), n_components=K, n_features=D).with_gaps()
    params = family.params(POSITIVE)
    model = Model(MixtureLatent(K), family)
    own = Params(model.latent.params(np.array([0.2, 0.3, 0.5])), params)
    X = np.array([[3.0, 1.0, 0.0, 5.0], [np.nan] * 4])
    out, resp = np.empty(2), np.empty((2, K))
    model.log_prob(own, X, out)
    model.posterior(own, X, resp)
    assert out[1] == pytest.approx(0.0, abs=1e-14)
    np.testing.assert_allclose(resp[1], [0.2, 0.3, 0.5], rtol=1e-14)


def test_impossible_values_stay_impossible_beside_missing_ones():
    family = replace(Bernoulli(), n_components=2, n_features=2).with_gaps()
    params = family.params(np.array([[1.0, 0.5], [0.0, 0.5]]))
    model = Model(MixtureLatent(2), family)
    own = Params(model.latent.params(np.array([0.5, 0.5])), params)
    resp = np.empty((3, 2))
    model.posterior(own, np.array([[1.0, np.nan], [0.0, np.nan], [np.nan, 1.0]]), resp)
    np.testing.assert_allclose(resp, [[1, 0], [0, 1], [0.5, 0.5]], atol=1e-15)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_completed_is_what_is_expected_or_drawn(name):
    model, params, _ = model_of(name)
    X = rows_of(model, params, 400, 0.5)
    missing = np.isnan(X)
    random = np.random.default_rng(3)
    for filled in (model.family.completed(params.family, 1, X), model.family.completed(params.family, 1, X, random)):
        np.testing.assert_array_equal(filled[~missing], X[~missing])
        assert not np.isnan(filled).any()
    drawn = model.family.completed(params.family, 1, np.full((40_000, X.shape[1]), np.nan), random)
    outside = model.family.outside(drawn)
    assert outside is None or not outside.any()
    if name not in ("categorical", "mixed"):
        expected = model.family.completed(params.family, 1, np.full((1, D), np.nan))[0]
        np.testing.assert_allclose(drawn.mean(axis=0), expected, atol=6 * drawn.std() / 200)
    if name == "gamma":
        shape, scale = POSITIVE[1], POSITIVE[1, ::-1]
        np.testing.assert_allclose(np.log(drawn).mean(axis=0), digamma(shape) + np.log(scale), atol=0.05)


def test_many_codes_are_counted_as_few_are():
    shares = np.random.default_rng(0).dirichlet(np.ones(12), (K, 2))
    family = replace(Categorical(n_categories=12), n_components=K, n_features=2).with_gaps()
    params = family.params(shares.reshape(K, -1))
    model = Model(MixtureLatent(K), family)
    own = Params(model.latent.params(np.ones(K) / K), params)
    X = np.random.default_rng(1).integers(0, 12, (300, 2)).astype(float)
    X[::3, 0], X[1::4, 1] = np.nan, np.nan
    density, terms = np.ones((300, K)), np.zeros((300, K, 2, 12))
    for j in range(2):
        seen = ~np.isnan(X[:, j])
        density[seen] *= shares[:, j, X[seen, j].astype(int)].T
        terms[seen, :, j] = np.eye(12)[X[seen, j].astype(int)][:, None, :]
        terms[~seen, :, j] = shares[:, j]
    resp = density / density.sum(axis=1, keepdims=True)
    found = model.e_step(own, Chunk(X, None, 0))
    np.testing.assert_allclose(found.family.sums, np.einsum("nk,nkjc->kjc", resp, terms).reshape(K, -1), rtol=1e-10)
    assert found.loglik == pytest.approx(np.log(density.mean(axis=1)).sum(), rel=1e-12)
