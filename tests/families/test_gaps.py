"""Rows with missing values under Gaussian and t-distributed components: each counts as it is expected."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from fastem.families import StudentT
from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.location_scatter import STRUCTURES
from fastem.latents.hmm import HmmLatent
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.passes import threads
from fastem.passes.patterns import COMMON
from fastem.sources import Chunk
from tests import naive
from tests.cases import of_size

KINDS = list(STRUCTURES)
K = 3


def family_of(density, kind, d):
    sized = of_size(density, K, d, covariance_type=kind, **({"df": 5.0} if density is StudentT else {}))
    return replace(sized, has_gaps=True)


def model_of(density, kind, d, spread=1.0, seed=0):
    """A model of rows with gaps, its parameters, and their covariance matrices (K, D, D)."""
    random = np.random.default_rng(seed)
    roots = random.normal(size=(K, d, 2 * d))
    matrices = roots @ np.swapaxes(roots, 1, 2) / d
    if kind == "tied":
        matrices[:] = matrices[0]
    if kind in ("diag", "spherical"):
        matrices = np.stack([np.diag(np.diag(m)) for m in matrices])
    if kind == "spherical":
        matrices = np.stack([m[0, 0] * np.eye(d) for m in matrices])
    covariances = {
        "full": matrices,
        "tied": matrices[0],
        "diag": np.diagonal(matrices, axis1=1, axis2=2),
        "spherical": matrices[:, 0, 0],
    }[kind]
    family = family_of(density, kind, d)
    params = family.params(spread * random.normal(size=(K, d)), np.array(covariances))
    model = Model(MixtureLatent(K), family)
    return model, Params(model.latent.params(np.array([0.2, 0.3, 0.5])), params), matrices


def rows_with_gaps(d, n_rows, share, seed=1):
    random = np.random.default_rng(seed)
    X = 2.0 * random.normal(size=(n_rows, d))
    X[random.random(X.shape) < share] = np.nan
    return X


def stats_of(model, params, X, weight=None):
    return model.e_step(params, Chunk(X, weight, 0))


@pytest.mark.parametrize("d", [1, 2, 5, 9])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("density", [Gaussian, StudentT])
def test_statistics_are_those_of_rows_as_they_are_expected(density, kind, d):
    model, params, matrices = model_of(density, kind, d)
    # One pattern that many rows have, many that few have, a row with nothing, and rows with all.
    X = rows_with_gaps(d, 100, 0.4)
    X[:40] = rows_with_gaps(d, 40, 0.0)
    X[:20, 0] = np.nan
    X[50] = np.nan
    weight = np.random.default_rng(2).uniform(0.0, 2.0, len(X))
    found = stats_of(model, params, X, weight)
    df = np.inf if density is Gaussian else 5.0
    means = params.family.means
    loglik, n, mass, sx, sxx = naive.e_step_with_gaps(X, weight, params.latent.weights, means, matrices, df)
    expected = {"n": n, "sx": sx, "sxx": naive.reduce_scatter(sxx, kind), "u": mass}
    np.testing.assert_allclose(found.loglik, loglik, rtol=1e-12)
    for name in {"n", "sx", "sxx", "u"} & set(found.family._fields):
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(getattr(found.family, name), expected[name], rtol=0, atol=1e-11 * scale)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("density", [Gaussian, StudentT])
def test_complete_rows_have_the_bits_that_they_have_without_gaps(density, kind):
    model, params, _ = model_of(density, kind, 9)
    X = rows_with_gaps(9, 700, 0.0)
    complete = replace(model.family, has_gaps=False)
    known = Params(params.latent, complete.rebuilt(params.family))
    one, other = stats_of(model, params, X), stats_of(Model(model.latent, complete), known, X)
    assert one.loglik == other.loglik
    for name, field in other.family._asdict().items():
        np.testing.assert_array_equal(getattr(one.family, name), field)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_with_nothing_tells_the_weights_and_changes_no_parameter(kind):
    model, params, _ = model_of(Gaussian, kind, 4)
    resp, loglik = np.empty((2, K)), np.empty(2)
    nothing = np.full((2, 4), np.nan)
    model.posterior(params, nothing, resp)
    model.log_prob(params, nothing, loglik)
    np.testing.assert_allclose(resp, np.tile(params.latent.weights, (2, 1)), rtol=1e-14)
    np.testing.assert_allclose(loglik, 0.0, atol=1e-12)
    found, repairs = model.m_step(stats_of(model, params, np.full((30, 4), np.nan)), params)
    assert not repairs
    np.testing.assert_allclose(found.family.means, params.family.means, rtol=1e-12)
    np.testing.assert_allclose(found.family.covariances, params.family.covariances, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.latent.weights, params.latent.weights, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_objective_never_falls(kind):
    model, params, _ = model_of(Gaussian, kind, 3)
    random = np.random.default_rng(5)
    X = np.concatenate([random.normal(size=(300, 3)) @ random.normal(size=(3, 3)) + 3.0 * k for k in range(K)])
    X[random.random(X.shape) < 0.3] = np.nan
    objectives = []
    for _ in range(30):
        stats = stats_of(model, params, X)
        objectives.append(stats.objective)
        params, _ = model.m_step(stats, params)
    assert all(later >= earlier - 1e-12 for earlier, later in pairwise(objectives))
    assert objectives[-1] > objectives[0] + 0.1


def test_a_bivariate_normal_has_both_of_its_maxima():
    """Murray's twelve rows (1977): two maxima at a correlation of one half, of either sign, and a saddle between."""
    nan = np.nan
    X = np.array([
        (1, 1), (1, -1), (-1, 1), (-1, -1), (2, nan), (2, nan), (-2, nan), (-2, nan), (nan, 2), (nan, 2), (nan, -2),
        (nan, -2),
    ])  # fmt: skip
    family = replace(of_size(Gaussian, 1, 2, covariance_type="full"), has_gaps=True)
    model = Model(MixtureLatent(1), family)
    for start, correlation, loglik in [(0.1, 0.5, -29.97428641), (-0.1, -0.5, -29.97428641), (0.0, 0.0, -30.03334239)]:
        params = Params(model.latent.uniform(), family.params(np.zeros((1, 2)), np.array([[[1, start], [start, 1]]])))
        for _ in range(300):
            stats = stats_of(model, params, X)
            params, _ = model.m_step(stats, params)
        covariance = params.family.covariances[0]
        found = covariance[0, 1] / covariance[0, 0]
        np.testing.assert_allclose(found, correlation, atol=1e-6)
        np.testing.assert_allclose(stats.loglik, loglik, rtol=1e-9)
        np.testing.assert_allclose(np.diag(covariance), 2.5 if correlation == 0.0 else 8.0 / 3.0, rtol=1e-6)


def test_nearly_singular_covariances_keep_their_digits():
    """By a difference of quadratic forms a hundred thousandth of a nat would be lost."""
    d, condition = 6, 1e10
    random = np.random.default_rng(3)
    axes = np.linalg.qr(random.normal(size=(d, d)))[0]
    covariance = (axes * np.geomspace(1.0, 1.0 / condition, d)) @ axes.T
    family = replace(of_size(Gaussian, 1, d, covariance_type="full"), has_gaps=True)
    model = Model(MixtureLatent(1), family)
    params = Params(model.latent.uniform(), family.params(np.zeros((1, d)), covariance[None]))
    X = random.multivariate_normal(np.zeros(d), covariance, size=50)
    X[:, :2] = np.nan
    found = np.empty(50)
    model.log_prob(params, X, found)
    expected = [naive.log_prob(x[2:], np.zeros(4), covariance[2:, 2:]) for x in X]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_the_bits_are_the_same_for_any_number_of_threads_and_for_chunks_of_whole_runs(share):
    from fastem.passes.units import ROWS_PER_RUN

    model, params, _ = model_of(Gaussian, "full", 9)
    X = rows_with_gaps(9, 2 * ROWS_PER_RUN + 700, share)
    whole = stats_of(model, params, X)
    with threads.threads(1):
        alone = stats_of(model, params, X)
    accumulator = model.accumulator(params)
    for start in range(0, len(X), ROWS_PER_RUN):
        accumulator.add(Chunk(X[start : start + ROWS_PER_RUN], None, start))
    for other in (alone, accumulator.total()):
        assert other.loglik == whole.loglik
        np.testing.assert_array_equal(other.family.sxx, whole.family.sxx)


def test_the_order_of_rows_does_not_matter():
    model, params, _ = model_of(Gaussian, "full", 9)
    X = rows_with_gaps(9, 3000, 0.3)
    one, other = stats_of(model, params, X), stats_of(model, params, np.random.default_rng(0).permutation(X))
    np.testing.assert_allclose(one.loglik, other.loglik, rtol=1e-12)
    np.testing.assert_allclose(one.family.sxx, other.family.sxx, rtol=1e-9, atol=1e-9)
    scores = np.empty((2, len(X)))
    model.log_prob(params, X, scores[0])
    model.log_prob(params, X[::-1], scores[1])
    np.testing.assert_allclose(scores[0], scores[1][::-1], rtol=1e-12)


def test_more_features_than_a_key_has_bits():
    model, params, matrices = model_of(Gaussian, "full", 70)
    X = rows_with_gaps(70, 4 * COMMON, 0.0)
    X[:COMMON, 68] = np.nan
    X[COMMON : 2 * COMMON, 69] = np.nan
    X[-1] = rows_with_gaps(70, 1, 0.5)
    found = stats_of(model, params, X)
    weights = params.latent.weights
    loglik, n, *_ = naive.e_step_with_gaps(X, np.ones(len(X)), weights, params.family.means, matrices)
    np.testing.assert_allclose(found.loglik, loglik, rtol=1e-10)
    np.testing.assert_allclose(found.family.n, n, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_reads_through_gaps_in_time(kind):
    model, params, matrices = model_of(Gaussian, kind, 2)
    latent = HmmLatent(K)
    startprob, transmat = np.array([0.5, 0.2, 0.3]), np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]])
    chain = Model(latent, model.family)
    at = Params(latent.params(startprob, transmat), params.family)
    X = rows_with_gaps(2, 7, 0.3)
    X[2:4] = np.nan
    emission = np.zeros((7, K))
    for i, x in enumerate(X):
        seen = ~np.isnan(x)
        for k in range(K if seen.any() else 0):
            part = matrices[k][np.ix_(seen, seen)]
            emission[i, k] = naive.log_prob(x[seen], params.family.means[k][seen], part)
    loglik = np.logaddexp.reduce(naive.log_prob_of_paths(emission, startprob, transmat))
    np.testing.assert_allclose(chain.e_step(at, Chunk(X, None, 0)).loglik, loglik, rtol=1e-12)
