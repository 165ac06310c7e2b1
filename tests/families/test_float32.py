"""Blocks in float32: within their bound of float64, and in float64 where there is none."""

from dataclasses import replace

import numba
import numpy as np
import pytest

from fastem.families.gaussian import family as gaussian_family
from fastem.families.gaussian import float32
from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.float32 import MOST_INFLATION, inflation
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.passes.precision import in_parts
from fastem.passes.pruning import NO_PRUNING, NoPruning
from fastem.passes.units import ROWS_PER_RUN
from fastem.sources import Chunk
from tests import naive

# What the promise is: of a standard deviation, of parameters; of a nat, per row.
PARAMETERS, LOGLIK = 1e-5, 1e-6


def correlated(n_features, inflated, random):
    """A correlation matrix whose variance inflation factors have this mean."""
    axes, _ = np.linalg.qr(random.normal(size=(n_features, n_features)))

    def correlation(decades):
        covariance = (axes * 10.0 ** -np.linspace(0.0, decades, n_features)) @ axes.T
        sd = np.sqrt(np.diag(covariance))
        return covariance / np.outer(sd, sd)

    low, high = 0.0, 10.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        is_low = np.trace(np.linalg.inv(correlation(middle))) / n_features < inflated
        low, high = (middle, high) if is_low else (low, middle)
    return correlation(low)


def problem(covariance_type, n_components, n_features, n_rows, *, inflated=(2.0,), offset=0.0, seed=0):
    """A model, parameters near those that rows are drawn from, and the rows, of float32."""
    random = np.random.default_rng(seed)
    sds = np.exp(0.5 * random.normal(size=(n_components, n_features)))
    matrices = np.array([correlated(n_features, inflated[k % len(inflated)], random) for k in range(n_components)])
    if covariance_type != "full":
        matrices[:] = np.eye(n_features)
    if covariance_type == "spherical":
        sds[:] = sds[:, :1]
    matrices *= sds[:, :, None] * sds[:, None, :]
    means = offset + random.normal(size=(n_components, n_features))
    X = np.concatenate(
        [random.multivariate_normal(*each, size=n_rows) for each in zip(means, matrices, strict=True)], dtype=np.float32
    )[random.permutation(n_components * n_rows)[:n_rows]]
    covariances = {
        "full": matrices,
        "diag": np.diagonal(matrices, axis1=1, axis2=2).copy(),
        "spherical": matrices[:, 0, 0].copy(),
    }
    family = Gaussian(n_components=n_components, n_features=n_features, covariance_type=covariance_type)
    model = Model(MixtureLatent(n_components), family)
    latent = model.latent.params(random.dirichlet(np.full(n_components, 5.0)))
    params = Params(latent, family.params(means, covariances[covariance_type]))
    for _ in range(3):
        params, _ = model.m_step(e_step(model, params, X, float32=False), params)
    return model, params, X


def e_step(model, params, X, weight=None, *, float32=True, pruning=NO_PRUNING, cuts=()):
    accumulator = model.accumulator(params, pruning, float32=float32)
    for start, stop in zip((0, *cuts), (*cuts, len(X)), strict=True):
        accumulator.add(Chunk(X[start:stop], None if weight is None else weight[start:stop], start))
    return accumulator.total()


def assert_same_bits(one, other):
    for a, b in zip((one.loglik, *one.latent, *one.family), (other.loglik, *other.latent, *other.family), strict=True):
        np.testing.assert_array_equal(a, b)


def differs(one, other):
    return not np.array_equal(one.family.sx, other.family.sx)


def errors(model, params, X, weight=None):
    """Of a pass in float32: of the log-likelihood per row, and of means and covariances, whitened."""
    exact, found = (e_step(model, params, X, weight, float32=each) for each in (False, True))
    assert differs(exact, found)
    truth, near = (model.m_step(stats, params)[0].family for stats in (exact, found))
    k, d = truth.means.shape
    kind = model.family.covariance_type
    full, others = (
        np.array([naive.covariance_matrix(kind, each.covariances, a, d) for a in range(k)]) for each in (truth, near)
    )
    whitening = np.linalg.inv(np.linalg.cholesky(full))
    of_means = np.einsum("kij,kj->ki", whitening, near.means - truth.means)
    of_covariances = whitening @ (others - full) @ np.swapaxes(whitening, 1, 2)
    loglik = abs(found.loglik - exact.loglik) / exact.weight
    return loglik, np.abs(of_means).max(), np.linalg.norm(of_covariances, ord=2, axis=(1, 2)).max()


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
@pytest.mark.parametrize("n_features", [9, 11, 16])
def test_a_pass_equals_its_slow_twin(covariance_type, n_features):
    model, params, X = problem(covariance_type, 3, n_features, 700)
    weight = np.random.default_rng(1).integers(0, 3, 700).astype(float)
    found = e_step(model, params, X, weight)
    args = params.latent.weights, params.family.means, params.family.covariances, covariance_type
    expected = naive.e_step(X.astype(float), weight, *args)
    assert found.loglik == pytest.approx(expected.loglik, rel=1e-7)
    scale = np.abs(expected.sxx).max()
    np.testing.assert_allclose(found.family.n, expected.n, rtol=1e-5)
    np.testing.assert_allclose(found.family.sx, expected.sx, atol=1e-6 * scale)
    sxx = naive.reduce_scatter(expected.sxx, covariance_type)
    lower = (np.tril if covariance_type == "full" else np.asarray)(found.family.sxx)
    np.testing.assert_allclose(lower, np.tril(sxx) if covariance_type == "full" else sxx, atol=2e-6 * scale)


@pytest.mark.parametrize(
    ("covariance_type", "n_features", "inflated", "offset"),
    [
        ("full", 16, (1.1, 4.0), 0.0),
        ("full", 9, (0.9 * MOST_INFLATION,), 0.0),
        ("full", 16, (0.9 * MOST_INFLATION,), 0.0),
        ("full", 32, (0.9 * MOST_INFLATION,), 0.0),
        ("full", 16, (4.0,), 1e5),
        ("diag", 16, (1.0,), 0.0),
        ("diag", 13, (1.0,), -1e5),
        ("spherical", 16, (1.0,), 1e3),
    ],
)
def test_errors_are_as_small_as_promised(covariance_type, n_features, inflated, offset):
    model, params, X = problem(covariance_type, 3, n_features, 3000, inflated=inflated, offset=offset)
    weight = np.random.default_rng(2).exponential(size=len(X))
    for each in (None, weight):
        loglik, of_means, of_covariances = errors(model, params, X, each)
        assert loglik < LOGLIK
        assert max(of_means, of_covariances) < PARAMETERS


def test_norms_are_those_of_rounded_factors():
    half_log_2pi = 0.5 * np.log(2.0 * np.pi)
    model, params, _ = problem("diag", 3, 9, 900)
    record = model.family.in_float32(params.family)
    rounded = np.log(record.factors[:, :9].astype(float) / float32._ROOT_HALF).sum(axis=1) - 9 * half_log_2pi
    np.testing.assert_allclose(record.peaks + record.offset, rounded, rtol=0, atol=1e-12)
    model, params, _ = problem("full", 3, 12, 900)
    record = model.family.in_float32(params.family)
    # The tiles on the diagonal of three lines.
    diagonals = record.factors[:, [0, 1, 3]][:, :, [0, 5, 10, 15]].astype(float).reshape(3, 12)
    rounded = np.log(diagonals).sum(axis=1) - 12 * half_log_2pi
    np.testing.assert_allclose(record.peaks + record.offset, rounded, rtol=0, atol=1e-12)


def test_what_has_no_bound_is_computed_in_float64(monkeypatch):
    model, params, X = problem("full", 4, 12, 3000, inflated=(2.0, 1e6))
    assert np.array_equal(model.family.in_float32(params.family).is_exact, [False, True, False, True])
    loglik, of_means, of_covariances = errors(model, params, X)
    assert loglik < LOGLIK
    assert max(of_means, of_covariances) < PARAMETERS
    monkeypatch.setattr(float32, "MOST_INFLATION", np.inf)
    assert not model.family.in_float32(params.family).is_exact.any()
    assert max(errors(model, params, X)[1:]) > 100 * PARAMETERS


def test_inflation_is_that_of_variances():
    random = np.random.default_rng(0)
    covariance = np.cov(random.normal(size=(20, 5)), rowvar=False)
    family = Gaussian(n_components=1, n_features=5)
    params = family.params(np.zeros((1, 5)), covariance[None])
    factors = np.diag(np.linalg.inv(covariance)) * np.diag(covariance)
    assert inflation(params.whitening, params.covariances) == pytest.approx(factors.mean())


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_bits_depend_neither_on_threads_nor_on_chunks(covariance_type):
    model, params, X = problem(covariance_type, 3, 9, 40_000)
    whole, before = e_step(model, params, X), numba.get_num_threads()
    assert_same_bits(e_step(model, params, X, cuts=(ROWS_PER_RUN, 2 * ROWS_PER_RUN)), whole)
    assert_same_bits(e_step(model, params, np.asfortranarray(X)), whole)
    try:
        numba.set_num_threads(1)
        assert_same_bits(e_step(model, params, X), whole)
    finally:
        numba.set_num_threads(before)


def test_a_weight_of_two_is_the_row_twice_and_of_zero_none():
    model, params, X = problem("full", 3, 9, 900)
    times = np.arange(900) % 3
    weighted = e_step(model, params, X, 1.5 * times)
    repeated = np.repeat(X, times, axis=0)
    expected = e_step(model, params, repeated, np.full(len(repeated), 1.5))
    assert weighted.loglik == pytest.approx(expected.loglik, rel=1e-8)
    np.testing.assert_allclose(weighted.family.n, expected.family.n, rtol=1e-6)
    np.testing.assert_allclose(weighted.family.sxx, expected.family.sxx, atol=1e-6 * expected.family.sxx.max())


def test_an_excluded_component_has_no_rows():
    model, params, X = problem("diag", 3, 9, 900)
    params = params._replace(latent=model.latent.params(np.array([0.5, 0.0, 0.5])))
    found = e_step(model, params, X)
    assert found.family.n[1] == 0.0
    assert found.loglik == pytest.approx(e_step(model, params, X, float32=False).loglik, rel=1e-7)


@pytest.mark.parametrize("weight", [1e-30, 1e30])
def test_weights_of_another_size_are_of_float64(weight):
    model, params, X = problem("diag", 3, 9, 900)
    weights = np.where(np.arange(900) % 2, weight, 1.0)
    assert_same_bits(e_step(model, params, X, weights), e_step(model, params, X, weights, float32=False))


def test_other_rows_and_other_passes_are_of_float64():
    model, params, X = problem("diag", 40, 8, 4000)
    assert differs(e_step(model, params, X), e_step(model, params, X, float32=False))
    wide = X.astype(float)
    assert_same_bits(e_step(model, params, wide), e_step(model, params, wide, float32=False))
    pruning = model.family.pruning(params.family, params.latent.log_weights)
    assert not isinstance(pruning, NoPruning)
    left_out = [e_step(model, params, X, pruning=pruning, float32=each) for each in (True, False)]
    assert_same_bits(*left_out)
    assert_same_bits(model.e_step(params, Chunk(X, None, 0)), e_step(model, params, X, float32=False, pruning=None))


def test_parameters_that_float32_does_not_hold_are_of_float64():
    model, _, _ = problem("diag", 3, 9, 900)
    for means, variances in ((1e39, 1.0), (0.0, 1e-40), (0.0, 1e40)):
        family = model.family.params(np.full((3, 9), means), np.full((3, 9), variances))
        assert model.family.in_float32(family) is None
    full = replace(model.family, covariance_type="full")
    covariances = np.array([np.eye(9), 1e-40 * np.eye(9), 1e40 * np.eye(9)])
    means = np.array([0.0, 0.0, 1e39])[:, None] * np.ones((3, 9))
    assert np.array_equal(full.in_float32(full.params(means, covariances)).is_exact, [False, True, True])
    assert full.in_float32(full.params(means[[2, 2, 2]], covariances)) is None


def test_tied_covariances_and_few_features_are_of_float64():
    for covariance_type, n_features in (("tied", 16), ("full", 8), ("diag", 7)):
        family = Gaussian(n_components=2, n_features=n_features, covariance_type=covariance_type)
        assert family.in_float32(family.neutral_params(np.zeros(n_features))) is None
    assert set(gaussian_family._IN_FLOAT32) == {"full", "diag", "spherical"}


def test_a_constant_is_added_without_a_bias():
    @numba.njit
    def parts(value):
        return in_parts(value)

    for constant in (-3.14159, 0.0, 123.456, -1e-9):
        coarse, fine = parts(constant)
        assert coarse * 1024.0 == np.round(coarse * 1024.0)
        assert float(coarse) + float(fine) == pytest.approx(constant, abs=1e-10)
    assert parts(-np.inf) == (-np.inf, 0.0)
    # Numbers of one binade, whose sums with the constant lie in the next one.
    values = -np.random.default_rng(0).uniform(16.0, 20.0, 100_000).astype(np.float32)
    coarse, fine = parts(-20.1234567)
    bias = np.mean((((values + coarse) + np.float32(39.0)) + fine).astype(float) - (values.astype(float) + 18.8765433))
    assert abs(bias) < 2e-8
