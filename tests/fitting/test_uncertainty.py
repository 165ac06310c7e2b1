"""Standard errors, confidence intervals and the bootstrap: derivatives, closed forms, laws, simulation."""

from __future__ import annotations

import pickle
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastem import Fixed, GaussianMixture, Mixture, open_source
from fastem.families import Multinomial, Poisson
from fastem.families.gaussian.family import Gaussian
from fastem.fitting.information import (
    ParameterArrays,
    at_tangent,
    empirical_information,
    estimates,
    jvp,
    observed_information,
    row_gradients,
    total_gradient,
)
from fastem.fitting.intervals import intervals
from fastem.fitting.problem import Problem
from fastem.model import Model, Params
from fastem.sources import ArraySource, Chunk
from tests import naive
from tests.cases import GAUSSIAN_CASES, MIXTURE_CASES, PLAIN, e_step, memory_of

CASES = MIXTURE_CASES

SIZES = [(1, 1), (3, 1), (3, 2), (2, 4)]
KINDS = ["empirical", "observed", "robust"]
COVARIANCE_TYPES = ["full", "tied", "diag", "spherical"]
ATTRIBUTES = ["weights", "means", "covariances"]


def log_prob(model, params, X):
    out = np.empty(len(X))
    model.log_prob(params, X, out)
    return out


def arrays(value):
    """The arrays of an attribute that is one, or a list of them."""
    return [array for array in value if array is not None] if isinstance(value, list) else [value]


def two_processes(n_rows, seed=0):
    random = np.random.default_rng(seed)
    return np.where(random.uniform(size=n_rows) < 0.3, random.normal(20, 5, n_rows), random.normal(40, 5, n_rows))


def fitted(X, n_components=2, sample_weight=None, **settings):
    settings = {**PLAIN, "tol": 1e-10, "random_state": 0, "max_iter": 5000, **settings}
    return GaussianMixture(n_components, **settings).fit(X, sample_weight=sample_weight)


@pytest.fixture(scope="module")
def rows():
    """Three overlapping clusters of two correlated features."""
    random = np.random.default_rng(7)
    return random.normal(size=(1500, 2)) @ [[1.0, 0.5], [0.0, 1.0]] + 3.0 * random.integers(0, 3, (1500, 1))


@pytest.mark.parametrize(("n_components", "n_features"), SIZES)
def test_gradients_are_derivatives_of_the_log_likelihood(case, n_components, n_features):
    model = case.model(n_components, n_features)
    params, X = case.params(model), case.rows(model, 40, seed=0)
    h = 1e-5

    def after(tangent):
        return log_prob(model, at_tangent(model, params, tangent), X)

    numeric = [(after(h * tangent) - after(-h * tangent)) / 2 / h for tangent in np.eye(model.n_parameters())]
    gradients = row_gradients(model, params, X)
    np.testing.assert_allclose(gradients, np.reshape(numeric, (-1, len(X))).T, rtol=1e-6, atol=1e-7)
    # A single count of a known total tells nothing.
    if model.family.n_parameters() > 0:
        assert np.all(np.abs(gradients).max(axis=0) > 1e-3), "every move matters"


@pytest.mark.parametrize(("n_components", "n_features"), SIZES)
@pytest.mark.parametrize("gaussian", GAUSSIAN_CASES, ids=lambda case: case.name)
def test_gradients_are_those_of_the_slow_twin(gaussian, n_components, n_features):
    """By the chain rule: the derivatives by natural parameters, along what a move changes."""
    model = gaussian.model(n_components, n_features)
    params, X = gaussian.params(model), gaussian.rows(model, 40, seed=0)
    (weights, _), family = params.latent, params.family
    kind = model.family.covariance_type
    tangents = np.eye(model.n_parameters())
    n_latent = model.latent.n_parameters()
    of_weights, of_means, of_covariances = naive.gradients(X, weights, family.means, family.covariances, kind)
    expected = np.einsum("ik,mk->im", of_weights, model.latent.jvp(params.latent, tangents[:, :n_latent])["weights"])
    jvp = model.family.jvp(family, tangents[:, n_latent:])
    expected += np.einsum("ikd,mkd->im", of_means, jvp["means"])
    matrices = np.array(
        [
            [naive.covariance_matrix(kind, change, k, n_features) for k in range(n_components)]
            for change in jvp["covariances"]
        ]
    )
    expected += np.einsum("ikde,mkde->im", of_covariances, matrices)
    np.testing.assert_allclose(row_gradients(model, params, X), expected, rtol=1e-9, atol=1e-12)


def test_changes_are_what_small_moves_do(case):
    model = case.model(3, 2)
    params = case.params(model)
    shown, h = estimates(model, params), 1e-6
    for tangent in np.eye(model.n_parameters()):
        there, back = (estimates(model, at_tangent(model, params, t * h * tangent)) for t in (1, -1))
        found = jvp(model, params, tangent[None])
        assert found.keys() == shown.keys()
        for name, values in found.items():
            for change, a, b in zip(arrays(values), arrays(there[name]), arrays(back[name]), strict=True):
                np.testing.assert_allclose(change[0], (a - b) / 2 / h, atol=1e-7)


def test_the_gradient_of_statistics_is_the_sum_over_rows(case):
    model = case.model(3, 3)
    params, X = case.params(model), case.rows(model, 600, seed=0)
    weight = np.random.default_rng(0).uniform(0, 2, 600)
    total = total_gradient(model, params, e_step(model, params, X, weight))
    np.testing.assert_allclose(total, weight @ row_gradients(model, params, X), rtol=1e-10, atol=1e-10)
    information = empirical_information(model, params, [Chunk(X, weight, 0)])
    np.testing.assert_allclose(information.gradient, total, rtol=1e-10, atol=1e-10)


def test_information_adds_up_over_chunks_and_a_row_of_weight_two_is_the_row_twice(case):
    model = case.model(3, 2)
    params, X = case.params(model), case.rows(model, 700, seed=0)
    weight = np.random.default_rng(1).integers(0, 4, 700).astype(float)
    X[weight == 0] = 1e200
    whole = empirical_information(model, params, [Chunk(X, weight, 0)])
    cut = empirical_information(model, params, [Chunk(X[:123], weight[:123], 0), Chunk(X[123:], weight[123:], 123)])
    repeated = empirical_information(model, params, [Chunk(np.repeat(X, weight.astype(int), axis=0), None, 0)])
    for other in (cut, repeated):
        np.testing.assert_allclose(other.matrix, whole.matrix, rtol=1e-11, atol=1e-9)
        np.testing.assert_allclose(other.gradient, whole.gradient, rtol=1e-11, atol=1e-9)


def test_pieces_do_not_show(case, monkeypatch):
    model = case.model(3, 2)
    params, X = case.params(model), case.rows(model, 500, seed=0)
    whole = empirical_information(model, params, [Chunk(X, None, 0)])
    monkeypatch.setattr("fastem.fitting.information._PIECE_NUMBERS", 1000)
    pieces = empirical_information(model, params, [Chunk(X, np.ones(500), 0), Chunk(X[:50], np.zeros(50), 500)])
    np.testing.assert_allclose(pieces.matrix, whole.matrix, rtol=1e-11, atol=1e-10)


def test_curvature_is_that_of_the_log_likelihood(case):
    """Second differences of the log-likelihood itself, along tangents, at the maximum."""
    model = case.model(2, 2)
    params, X = case.params(model), case.rows(model, 800, seed=0)
    for _ in range(600):
        params, _ = model.m_step(e_step(model, params, X), params)
    problem = Problem(model, ArraySource(X))
    curvature = observed_information(model, params, lambda at: total_gradient(model, at, problem.e_step(at)))
    random, h = np.random.default_rng(0), 1e-3
    for _ in range(5):
        tangent = random.normal(size=model.n_parameters())
        a, b, c = (log_prob(model, at_tangent(model, params, t * h * tangent), X).sum() for t in (-1, 0, 1))
        assert -(a - 2 * b + c) / h**2 == pytest.approx(tangent @ curvature @ tangent, rel=1e-3)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_one_component_has_closed_forms(rows, covariance_type):
    """Moments of the rows: exactly, whatever their distribution, for the sandwich."""
    n = len(rows)
    mixture = fitted(rows, 1, covariance_type=covariance_type)
    errors = {kind: mixture.standard_errors(rows, information=kind) for kind in KINDS}
    centred = rows - rows.mean(axis=0)
    products = centred[:, :, None] * centred[:, None, :]
    pooled = np.square(centred).mean(axis=1)
    shown = {"full": products[:, None], "tied": products, "diag": centred[:, None] ** 2, "spherical": pooled[:, None]}
    robust = errors["robust"]
    np.testing.assert_allclose(robust.means[0], centred.std(axis=0) / np.sqrt(n), rtol=1e-6)
    np.testing.assert_allclose(robust.covariances, shown[covariance_type].std(axis=0) / np.sqrt(n), rtol=1e-5)
    model_sd = np.full(2, np.sqrt(pooled.mean())) if covariance_type == "spherical" else centred.std(axis=0)
    np.testing.assert_allclose(errors["observed"].means[0], model_sd / np.sqrt(n), rtol=1e-6)
    if covariance_type in ("full", "tied"):
        s = np.cov(rows.T, bias=True)
        wishart = np.sqrt((s * s + np.outer(np.diag(s), np.diag(s))) / n)
        np.testing.assert_allclose(np.squeeze(errors["observed"].covariances), wishart, rtol=1e-6)
    for found in errors.values():
        assert found.weights.tolist() == [0.0]
        assert found.newton_distance < 1e-6
    limits = mixture.confidence_intervals(rows)
    assert limits.lower.weights.tolist() == limits.upper.weights.tolist() == [1.0]


DRAW = {
    "normal": lambda random, group: random.normal(np.where(group, 0.0, 2.0), 1.0),
    "poisson": lambda random, group: random.poisson(np.where(group, 2.0, 6.0)),
    "bernoulli": lambda random, group: random.uniform(size=group.size) < np.where(group, 0.2, 0.7),
    "categorical": lambda random, group: random.binomial(2, np.where(group, 0.3, 0.8)),
    "exponential": lambda random, group: random.exponential(np.where(group, 1.0, 3.0)),
}
COLUMNS = list(DRAW)
MIXED = Mixture(COLUMNS, 2)
OTHERS = {
    "poisson": Mixture("poisson", 2),
    "bernoulli": Mixture("bernoulli", 2),
    "categorical": Mixture("categorical", 2),
    "exponential": Mixture("exponential", 2),
    "mixed": MIXED,
}


def two_groups(kind, n_rows, seed=0):
    """Columns of a kind, or one of each, of two groups that overlap, and the group of each row."""
    random = np.random.default_rng(seed)
    group = random.uniform(size=n_rows) < 0.4
    kinds = COLUMNS if kind == "mixed" else [kind] * 5
    return np.column_stack([DRAW[each](random, group) for each in kinds]), group.astype(int)


def fitted_other(kind, X, group, **settings):
    settings = {"init_params": group, "tol": 1e-9, "schedule": "plain", "max_iter": 5000, **settings}
    return clone(OTHERS[kind]).set_params(**settings).fit(X)


@pytest.mark.parametrize("kind", KINDS)
def test_one_component_of_columns_has_closed_forms(kind):
    X, _ = two_groups("mixed", 2000)
    n, mean, variance = len(X), X.mean(axis=0), X.var(axis=0)
    shares = np.bincount(X[:, 3].astype(int)) / n
    errors = Mixture(COLUMNS, 1).fit(X).standard_errors(X, information=kind)
    # Where the family is wrong the kinds differ: by the variance that it takes for granted.
    of_model = np.array([variance[0], mean[1], mean[2] * (1 - mean[2]), 0.0, mean[4] ** 2])
    squares = np.where(np.arange(5) == 3, np.nan, variance if kind == "robust" else of_model)
    if kind != "empirical":
        np.testing.assert_allclose(errors.means[0], np.sqrt(squares / n), rtol=1e-6)
        np.testing.assert_allclose(errors.probabilities[3][0], np.sqrt(shares * (1 - shares) / n), rtol=1e-6)
    assert errors.probabilities[:3] == [None] * 3
    if kind == "observed":
        np.testing.assert_allclose(errors.variances[0], [variance[0] * np.sqrt(2 / n), *[np.nan] * 4], rtol=1e-6)
    assert errors.names == (
        "weights[0]", "means[0, 0]", "means[0, 1]", "means[0, 2]", "means[0, 4]", "variances[0, 0]",
        "probabilities[3][0, 0]", "probabilities[3][0, 1]", "probabilities[3][0, 2]",
    )  # fmt: skip
    assert errors.newton_distance < 1e-6


def test_counts_have_closed_forms():
    random = np.random.default_rng(0)
    exposure = random.uniform(0.5, 2.0, 3000)
    counts = random.poisson(exposure[:, None] * [2.0, 3e8])
    X = np.column_stack([counts, exposure])
    poisson = Mixture(Poisson(exposure=True)).fit(X)
    errors = poisson.standard_errors(X, information="observed")
    np.testing.assert_allclose(errors.rates, np.sqrt(poisson.rates_ / exposure.sum()), rtol=1e-6)
    mixed = Mixture(["poisson", "exposure"], 1).fit(X[:, [0, 2]])
    errors = mixed.standard_errors(X[:, [0, 2]], information="observed")
    np.testing.assert_allclose(errors.means, [[np.sqrt(mixed.means_[0, 0] / exposure.sum()), np.nan]], rtol=1e-6)
    assert errors.names == ("weights[0]", "means[0, 0]")
    words = random.multinomial(1000, [0.5, 0.3, 0.2], size=500)
    multinomial = Mixture(Multinomial(n_trials=1000)).fit(words)
    p = multinomial.probabilities_
    for kind in ("observed", "empirical"):
        found = multinomial.standard_errors(words, information=kind).probabilities
        np.testing.assert_allclose(found, np.sqrt(p * (1 - p) / words.sum()), rtol=1e-6 if kind == "observed" else 0.1)


def test_the_curvature_of_large_counts_is_taken_nearby():
    """A rate of 1e10 is known to 1e-7: a difference over 1e-4 would reach beyond the other component."""
    random = np.random.default_rng(0)
    rates = np.array([[1e10], [1e10 + 3e5]])
    x = random.poisson(rates[(random.uniform(size=20_000) < 0.6).astype(int), 0]).astype(float)
    mixture = Mixture(
        "poisson", 2, params_init={"rates": rates}, weights_init=[0.4, 0.6], tol=1e-10, max_iter=5000
    ).fit(x)
    observed, empirical = (mixture.standard_errors(x, information=kind) for kind in ("observed", "empirical"))
    np.testing.assert_allclose(observed.rates, empirical.rates, rtol=0.02)
    np.testing.assert_allclose(observed.weights, empirical.weights, rtol=0.02)


@pytest.mark.parametrize("kind", OTHERS)
def test_records_of_other_families_have_the_shapes_of_their_attributes(kind):
    X, group = two_groups(kind, 3000)
    mixture = fitted_other(kind, X, group)
    errors = mixture.standard_errors(X)
    limits = mixture.confidence_intervals(X, level=0.9)
    replicates = mixture.bootstrap(X, n_replicates=3)
    n_entries = 0
    for name in set(vars(errors)) - {"names", "covariance_matrix", "newton_distance"}:
        values, found = getattr(mixture, f"{name}_"), getattr(errors, name)
        assert isinstance(values, list) == isinstance(found, list)
        bounds = (arrays(getattr(side, name)) for side in (limits.lower, limits.upper))
        for value, error, lower, upper, many in zip(
            arrays(values), arrays(found), *bounds, arrays(getattr(replicates, name)), strict=True
        ):
            assert error.shape == value.shape == many.shape[1:]
            own = ~np.isnan(error)
            n_entries += own.sum()
            assert np.all(error[own] > 0)
            assert np.all((lower < value)[own] & (value < upper)[own])
            assert np.array_equal(np.isnan(many), np.broadcast_to(~own, many.shape))
            if name in ("probabilities", "weights"):
                assert np.all((lower > 0) & (upper < 1))
    assert len(errors.names) == len(set(errors.names)) == n_entries
    np.testing.assert_allclose(np.linalg.matrix_rank(errors.covariance_matrix), mixture._model.n_parameters())


@pytest.mark.parametrize("kind", OTHERS)
def test_errors_of_other_families_are_the_spread_of_estimates(kind):
    """Over 60 data sets, whose spread is known to 9 %, and that of the bootstrap of one of them."""
    estimated, errors = [], []
    for seed in range(60):
        X, group = two_groups(kind, 1500, seed)
        mixture = fitted_other(kind, X, group, tol=1e-7)
        estimated.append(flat_of(estimates(mixture._model, mixture._params)))
        errors.append(flat_of(vars(mixture.standard_errors(X))))
    ratio = np.sqrt(np.mean(np.square(errors), axis=0)) / np.std(estimated, axis=0)
    ratio = ratio[~np.isnan(ratio)]
    assert 0.65 < ratio.min() < ratio.max() < 1.5
    assert np.median(ratio) == pytest.approx(1.0, abs=0.1)
    replicates = mixture.set_params(random_state=0).bootstrap(X, n_replicates=80).standard_errors()
    ratio = flat_of(vars(replicates)) / errors[-1]
    assert np.nanmedian(ratio) == pytest.approx(1.0, abs=0.1)


def flat_of(record):
    names = ["weights", "means", "variances", "rates", "probabilities"]
    return np.concatenate([array.ravel() for name in names if name in record for array in arrays(record[name])])


FIXED = {
    "weights": lambda k, d: ({"fixed_weights": np.full(k, 1.0 / k)}, {}),
    "some weights": lambda k, d: ({"fixed_weights": np.array([np.nan, 0.2, np.nan, np.nan])[:k]}, {}),
    "means": lambda k, d: ({}, {"fixed_means": np.where(np.arange(k * d).reshape(k, d) < d, 1.0, np.nan)}),
    "covariances": lambda k, d: ({}, {"fixed_covariances": lambda shape: np.where(np.arange(k) < 2, 1.0, np.nan)}),
}


@pytest.mark.parametrize("gaussian", GAUSSIAN_CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("fixed", FIXED)
def test_what_is_fixed_does_not_move(gaussian, fixed):
    k, d = 4, 2
    model = gaussian.model(k, d)
    params, X = gaussian.params(model), gaussian.rows(model, 60, seed=0)
    of_latent, of_family = FIXED[fixed](k, d)
    if "fixed_covariances" in of_family:
        shape = model.family.covariance_shape()
        is_tied = model.family.covariance_type == "tied"
        first = np.arange(k) < (k if is_tied else 2)
        of_family["fixed_covariances"] = np.where(
            first[:1] if is_tied else first.reshape(-1, *[1] * (len(shape) - 1)), params.family.covariances, np.nan
        )
    model = Model(replace(model.latent, **of_latent), replace(model.family, **of_family))
    params = Params(model.latent.params(params.latent.weights), params.family)
    if "fixed_weights" in of_latent:
        params = params._replace(latent=model.latent._params_of_shares(params.latent.weights))
    gradients, h = row_gradients(model, params, X), 1e-5
    assert gradients.shape == (60, model.n_parameters())
    for index, tangent in enumerate(np.eye(model.n_parameters())):
        there, back = (at_tangent(model, params, t * h * tangent) for t in (1, -1))
        numeric = (log_prob(model, there, X) - log_prob(model, back, X)) / 2 / h
        np.testing.assert_allclose(gradients[:, index], numeric, rtol=1e-6, atol=1e-7)
        found, a, b = jvp(model, params, tangent[None]), estimates(model, there), estimates(model, back)
        for name in ATTRIBUTES:
            np.testing.assert_allclose(found[name][0], (a[name] - b[name]) / 2 / h, atol=1e-7)
            held = of_latent.get(f"fixed_{name}", of_family.get(f"fixed_{name}"))
            if held is not None:
                assert np.all(a[name][~np.isnan(held)] == estimates(model, params)[name][~np.isnan(held)])
    total = total_gradient(model, params, e_step(model, params, X))
    np.testing.assert_allclose(total, gradients.sum(axis=0), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_fixed_parameters_have_no_error(kind):
    """Of a mean alone, where everything else is known: one over the root of its information."""
    x = two_processes(4000)[:, None]
    start = {"means_init": [[20.0], [40.0]], "precisions_init": [[[0.04]], [[0.04]]], "weights_init": [0.3, 0.7]}
    settings = {"fixed": Fixed(weights=True, means=[True, False], covariances=True)}
    mixture = fitted(x, **start, **settings)
    errors = mixture.standard_errors(x, information=kind)
    assert errors.weights.tolist() == [0.0, 0.0]
    assert errors.means[0, 0] == 0.0
    assert not errors.covariances.any()
    resp = mixture.predict_proba(x)[:, 1]
    score = resp * (x[:, 0] - mixture.means_[1, 0]) / 25.0
    curvature = (resp - resp * (1 - resp) * np.square(x[:, 0] - mixture.means_[1, 0]) / 25.0).sum() / 25.0
    expected = {"empirical": 1 / np.sqrt(score @ score), "observed": 1 / np.sqrt(curvature)}
    expected["robust"] = np.sqrt(score @ score) / curvature
    assert errors.means[1, 0] == pytest.approx(expected[kind], rel=1e-5)
    limits = mixture.confidence_intervals(x)
    assert limits.lower.means[0, 0] == limits.upper.means[0, 0] == 20.0
    assert mixture.bootstrap(x, n_replicates=3).means[:, 0, 0].tolist() == [20.0] * 3


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_records_have_the_shapes_of_the_fitted_attributes(rows, covariance_type):
    mixture = fitted(rows, 3, covariance_type=covariance_type)
    errors = mixture.standard_errors(rows)
    limits = mixture.confidence_intervals(rows, level=0.9)
    replicates = mixture.bootstrap(rows, n_replicates=3)
    for name in ATTRIBUTES:
        value = getattr(mixture, f"{name}_")
        assert getattr(errors, name).shape == value.shape
        assert np.all(getattr(errors, name) > 0)
        lower, upper = getattr(limits.lower, name), getattr(limits.upper, name)
        assert np.all((lower < value) & (value < upper))
        assert getattr(replicates, name).shape == (3, *value.shape)
    assert limits.level == 0.9
    matrix, names = errors.covariance_matrix, errors.names
    assert matrix.shape == (len(names), len(names))
    assert np.linalg.matrix_rank(matrix, hermitian=True) == mixture._model.n_parameters() == len(names) - 1
    for name, variance in zip(names, np.diagonal(matrix), strict=True):
        attribute, index = re.fullmatch(r"(\w+)\[([\d, ]+)\]", name).groups()
        error = getattr(errors, attribute)[tuple(map(int, index.split(", ")))]
        assert variance == pytest.approx(error**2, rel=1e-10)
    np.testing.assert_allclose(matrix[:3].sum(axis=0), 0.0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("scale", "offset"), [(1e-3, 1e9), (-1e-120, 0.0), (1e140, 0.0)])
def test_errors_have_the_units_of_the_data(rows, kind, scale, offset):
    rows = np.round(rows * 2**10) / 2**10
    base = fitted(rows, 3)
    weights, means, covariances = base.weights_, base.means_, base.covariances_
    other = GaussianMixture.from_parameters(weights, scale * means + offset, scale * covariances * scale)
    expected = base.standard_errors(rows, information=kind)
    found = other.standard_errors(scale * rows + offset, information=kind)
    # Rows and means at 1e9 are resolved to 1e-4 standard deviations.
    tolerance = 0.02 if offset else 1e-6
    np.testing.assert_allclose(found.weights, expected.weights, rtol=tolerance)
    np.testing.assert_allclose(found.means / abs(scale), expected.means, rtol=tolerance)
    np.testing.assert_allclose(found.covariances / scale / scale, expected.covariances, rtol=tolerance)


def test_an_ill_conditioned_covariance_loses_no_digits():
    """Components that are thin in some direction, by a rotation of ones that are not."""
    random = np.random.default_rng(3)
    X = random.normal(size=(2000, 2)) + 5.0 * random.integers(0, 2, (2000, 1))
    thin = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-4]])
    base = fitted(X)
    other = GaussianMixture.from_parameters(
        base.weights_, base.means_ @ thin.T, _symmetric(thin @ base.covariances_ @ thin.T)
    )
    for kind in KINDS:
        expected, found = base.standard_errors(X, information=kind), other.standard_errors(X @ thin.T, information=kind)
        np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-5)


def _symmetric(matrices):
    return 0.5 * (matrices + np.swapaxes(matrices, 1, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_count_as_rows(kind):
    x = two_processes(600)
    weight = np.random.default_rng(2).integers(0, 3, 600)
    mixture = fitted(np.repeat(x, weight))
    expected = mixture.standard_errors(np.repeat(x, weight), information=kind)
    found = mixture.standard_errors(x, weight, information=kind)
    for name in ATTRIBUTES:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-7)


def test_files_and_chunks_give_the_errors_of_an_array(rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    mixture = fitted(rows, 3)
    expected = mixture.standard_errors(rows, information="robust")
    source = open_source(lambda: iter([rows[:700], rows[700:]]))
    mixture.set_params(memory_limit=memory_of(100, rows))
    for X in (str(tmp_path / "rows.npy"), source):
        found = mixture.standard_errors(X, information="robust")
        for name in ATTRIBUTES:
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-6)


def test_a_sample_stands_for_all_rows(tmp_path):
    x = two_processes(60_000)
    weight = np.random.default_rng(0).uniform(0.5, 1.5, x.size)
    mixture = fitted(x, sample_weight=weight)
    np.save(tmp_path / "x.npy", x)
    for kind in KINDS:
        whole = mixture.standard_errors(x, weight, information=kind)
        sampled = mixture.standard_errors(x, weight, information=kind, max_rows=10_000)
        streamed = mixture.standard_errors(str(tmp_path / "x.npy"), weight, information=kind, max_rows=10_000)
        assert whole.newton_distance < 0.1
        assert np.isnan(sampled.newton_distance)
        for name in ATTRIBUTES:
            a, b = getattr(sampled, name), getattr(whole, name)
            np.testing.assert_allclose(a, b, rtol=0.05)
            assert np.any(a != b)
            np.testing.assert_allclose(getattr(streamed, name), a, rtol=1e-6)


def test_the_same_bits_for_any_number_of_threads(rows):
    mixture = fitted(rows, 3)
    for kind in KINDS:
        one, two = (mixture.set_params(n_threads=n).standard_errors(rows, information=kind) for n in (1, 2))
        np.testing.assert_array_equal(one.covariance_matrix, two.covariance_matrix)


# Simulation: what standard errors and intervals promise.


@pytest.fixture(scope="module")
def simulated():
    """Estimates, errors and intervals of fits to 200 data sets from one distribution."""
    truth = GaussianMixture.from_parameters([0.35, 0.65], [0.0, 3.0], [1.0, 0.6])
    estimates, errors, covered = [], {kind: [] for kind in KINDS}, {kind: [] for kind in KINDS}
    for seed in range(200):
        x = truth.set_params(random_state=seed).sample(500)[0]
        mixture = GaussianMixture(
            2, weights_init=truth.weights_, means_init=truth.means_, precisions_init=truth.precisions_, tol=1e-7
        ).fit(x)
        estimates.append(flat(mixture, "_"))
        for kind in KINDS:
            found = mixture.standard_errors(x, information=kind)
            errors[kind].append(flat(found))
            limits = intervals(mixture._model, mixture._params, found, 0.95)
            covered[kind].append((flat(limits.lower) < flat(truth, "_")) & (flat(truth, "_") < flat(limits.upper)))
    return np.array(estimates), errors, covered


def flat(record, suffix=""):
    return np.concatenate([getattr(record, name + suffix).ravel() for name in ATTRIBUTES])


@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_the_spread_of_estimates_over_data_sets(simulated, kind):
    estimates, errors, _ = simulated
    ratio = np.sqrt(np.mean(np.square(errors[kind]), axis=0)) / estimates.std(axis=0)
    # The spread of 200 is known to 5 %.
    np.testing.assert_allclose(ratio, 1.0, atol=0.15)


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_the_truth_as_often_as_they_say(simulated, kind):
    _, _, covered = simulated
    coverage = np.mean(covered[kind], axis=0)
    assert np.all(coverage > 0.90), coverage
    assert np.all(coverage < 0.985), coverage


def test_robust_errors_hold_where_the_family_is_wrong():
    """Round components, fitted to elongated ones: only the sandwich has the true spread of the means."""

    def draw(seed):
        random = np.random.default_rng(seed)
        return random.normal(size=(400, 2)) * [3.0, 0.3] + 12.0 * random.integers(0, 2, (400, 1))

    start = {"means_init": [[0.0, 0.0], [12.0, 12.0]], "covariance_type": "spherical", "tol": 1e-7}
    means = [GaussianMixture(2, **start).fit(draw(seed)).means_ for seed in range(100)]
    spread, X = np.std(means, axis=0), draw(1000)
    mixture = GaussianMixture(2, **start).fit(X)
    robust, observed = (mixture.standard_errors(X, information=kind).means for kind in ("robust", "observed"))
    np.testing.assert_allclose(robust, spread, rtol=0.2)
    assert np.all(observed[:, 1] > 5 * spread[:, 1])


# The bootstrap.


def test_the_bootstrap_agrees_with_standard_errors():
    x = two_processes(2000)
    mixture = fitted(x)
    replicates = mixture.bootstrap(x, n_replicates=300)
    found, expected = replicates.standard_errors(), mixture.standard_errors(x, information="robust")
    limits, normal = replicates.confidence_intervals(0.8), mixture.confidence_intervals(x, level=0.8)
    for name in ATTRIBUTES:
        error = getattr(expected, name)
        np.testing.assert_allclose(getattr(found, name), error, rtol=0.15)
        bias = getattr(replicates, name).mean(axis=0) - getattr(mixture, f"{name}_")
        assert np.all(np.abs(bias) < 0.25 * error)
        for side in ("lower", "upper"):
            a, b = getattr(getattr(limits, side), name), getattr(getattr(normal, side), name)
            assert np.all(np.abs(a - b) < 0.5 * error)


def test_a_bootstrap_of_a_sample_has_the_spread_of_all_rows():
    x = two_processes(40_000)
    mixture = fitted(x)
    replicates = mixture.bootstrap(x, n_replicates=150, max_rows=2000)
    expected = mixture.standard_errors(x)
    for name in ATTRIBUTES:
        error = getattr(expected, name)
        np.testing.assert_allclose(getattr(replicates.standard_errors(), name), error, rtol=0.25)
        middle = getattr(replicates, name).mean(axis=0)
        assert np.all(np.abs(middle - getattr(mixture, f"{name}_")) < 0.4 * error), "about the fitted parameters"


def test_a_bootstrap_counts_weights_as_rows():
    """Weights of four on a quarter of the rows: the spread of four times as many."""
    x = two_processes(1000)
    mixture = fitted(x)
    single = mixture.bootstrap(x, n_replicates=200).standard_errors()
    fourfold = mixture.bootstrap(x, np.full(1000, 4.0), n_replicates=200).standard_errors()
    for name in ATTRIBUTES:
        np.testing.assert_allclose(getattr(fourfold, name), getattr(single, name) / 2, rtol=0.2)


def test_a_bootstrap_follows_random_state(tmp_path):
    x = two_processes(800)
    mixture = fitted(x)
    first, again = mixture.bootstrap(x, n_replicates=4), mixture.bootstrap(x, n_replicates=4)
    np.testing.assert_array_equal(first.means, again.means)
    assert np.ptp(first.means[:, 0, 0]) > 0
    np.save(tmp_path / "x.npy", x)
    np.testing.assert_array_equal(mixture.bootstrap(str(tmp_path / "x.npy"), n_replicates=4).means, first.means)
    other = mixture.set_params(random_state=1).bootstrap(x, n_replicates=4)
    assert np.all(other.means != first.means)


def test_refits_that_do_not_converge_are_told():
    x = two_processes(800)
    mixture = fitted(x).set_params(max_iter=1)
    with pytest.warns(ConvergenceWarning, match="5 of 5 refits did not converge in max_iter=1"):
        mixture.bootstrap(x, n_replicates=4)


# What users may get wrong, and what data may.


def test_limits_stay_where_parameters_may_be():
    random = np.random.default_rng(0)
    x = np.concatenate([random.normal(0, 1, 300), [29.0, 30.0, 31.5]])
    mixture = fitted(x, means_init=[[0.0], [30.0]])
    limits = mixture.confidence_intervals(x, level=0.99999, information="observed")
    for side in (limits.lower, limits.upper):
        assert np.all((side.weights > 0) & (side.weights < 1))
        assert np.all(side.covariances > 0)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_collapsed_component_is_named(covariance_type):
    random = np.random.default_rng(0)
    X = np.concatenate([random.normal(size=(200, 2)), np.full((20, 2), 9.0)])
    if covariance_type == "tied":
        X[:, 1] = X[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture = fitted(X, means_init=[[0.0, 0.0], [9.0, 9.0]], covariance_type=covariance_type)
    name = "The shared covariance" if covariance_type == "tied" else "Component 1"
    for method in (mixture.standard_errors, mixture.confidence_intervals, mixture.bootstrap):
        with pytest.raises(ValueError, match=f"^{name} has collapsed to covariance_floor.*Fit with fewer components"):
            method(X)


@pytest.mark.parametrize(
    ("family", "values", "X", "message"),
    [
        ("bernoulli", {"probabilities": [[0.5, 0.2], [1.0, 0.7]]}, np.eye(2), "1 has probabilities"),
        ("categorical", {"probabilities": [[[0.5, 0.5, 0.0]]]}, [[0], [1]], "0 has probabilities"),
        ("poisson", {"rates": [[0.0], [3.0]]}, [[1], [2]], "0 has rates"),
    ],
)  # fmt: skip
def test_values_at_their_limits_are_named(family, values, X, message):
    mixture = Mixture.from_parameters(family, [1.0] if family == "categorical" else [0.5, 0.5], **values)
    for method in (mixture.standard_errors, mixture.bootstrap):
        with pytest.raises(
            ValueError, match=f"^Component {message} at the limit.*Fit with fewer components, or with prior"
        ):
            method(X)


def test_a_family_of_ones_own_must_say_which_numbers_are_free():
    X = two_groups("mixed", 300)[0][:, :1]
    mixture = Mixture(OwnFamily(covariance_type="diag"), 1).fit(X)
    for method in (mixture.standard_errors, mixture.confidence_intervals):
        with pytest.raises(
            TypeError,
            match=r"OwnFamily has 2 free parameters, but GaussianDiagParams holds 4 numbers.*fit\(X, sample_weight=",
        ):
            method(X)
    # Refits need no derivatives.
    assert mixture.bootstrap(X, n_replicates=5).standard_errors().means.shape == (1, 1)


class OwnFamily(Gaussian):
    """Everything but tangents, from another family."""

    gradients = None


@pytest.mark.parametrize("kind", KINDS)
def test_a_component_without_rows_is_named(rows, kind):
    mixture = GaussianMixture.from_parameters([0.5, 0.5], [[0, 0], [1e6, 0]], [np.eye(2), np.eye(2)])
    with pytest.raises(ValueError, match=r"parameters of component 1: the information about them is singular\. Give"):
        mixture.standard_errors(rows, information=kind)


def test_two_equal_components_are_not_determined(rows):
    one = fitted(rows, 1)
    mixture = GaussianMixture.from_parameters(
        [0.5, 0.5], np.repeat(one.means_, 2, axis=0), np.repeat(one.covariances_, 2, axis=0)
    )
    with pytest.raises(ValueError, match="do not determine the parameters of component"):
        mixture.standard_errors(rows)


def test_fewer_rows_than_parameters_are_not_enough(rows):
    mixture = fitted(rows, 3)
    with pytest.raises(ValueError, match="do not determine the parameters"):
        mixture.standard_errors(rows[:10])
    with pytest.raises(ValueError, match="do not determine the parameters"):
        mixture.standard_errors(rows, max_rows=10)


def test_a_fit_that_stopped_early_is_told(rows):
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        mixture = GaussianMixture(3, n_init=1, random_state=0, max_iter=3).fit(rows)
    with pytest.warns(ConvergenceWarning, match=r"about \d+\.\d standard errors from the fitted"):
        errors = mixture.standard_errors(rows)
    assert errors.newton_distance > 0.5


def test_the_distance_is_that_of_the_optimum():
    x = two_processes(5000)
    near, exact = fitted(x, tol=1e-6), fitted(x, tol=1e-13)
    errors = near.standard_errors(x, information="observed")
    way = np.abs(flat(near, "_") - flat(exact, "_")) / flat(errors)
    assert errors.newton_distance == pytest.approx(way.max(), rel=0.05)
    assert errors.newton_distance > 1e-3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: m.standard_errors(x, information="fisher"), "information='fisher' is not known"),
        (lambda m, x: m.standard_errors(x, max_rows=0), "max_rows must be a positive integer or None, got 0"),
        (lambda m, x: m.confidence_intervals(x, level=95), "level must be between 0 and 1, such as 0.95; it is 95"),
        (lambda m, x: m.standard_errors(x, max_rows=True), "max_rows must be a positive integer or None, got True"),
        (lambda m, x: m.sample(True), "n_samples must be a positive integer, got True"),
        (lambda m, x: m.bootstrap(x, n_replicates=1), "n_replicates must be an integer of at least 2, got 1"),
        (lambda m, x: m.bootstrap(x, max_rows=None), "max_rows must be a number for a bootstrap"),
        (lambda m, x: m.bootstrap(x, n_replicates=2).confidence_intervals(1.0), "level must be between 0 and 1"),
        (lambda m, x: m.standard_errors(np.append(x, np.inf)), "contains infinity: row 300, column 0"),
        (lambda m, x: m.standard_errors(np.append(x, np.inf), max_rows=10), "contains infinity: row 300, column 0"),
        (lambda m, x: m.bootstrap(np.append(x, np.inf), n_replicates=2), "contains infinity: row 300, column 0"),
        (lambda m, x: m.standard_errors(np.append(x, 1e160)), "rows of density zero"),
        (lambda m, x: m.standard_errors(np.append(x, 1e100)), "rows of density zero, or nearly zero, under the model"),
        (lambda m, x: m.standard_errors(np.ones((5, 2))), "has 2 features"),
        (lambda m, x: m.standard_errors(x, -np.ones(300)), "[Nn]egative"),
    ],
)  # fmt: skip
def test_errors_name_the_problem(call, message):
    x = two_processes(300)
    with pytest.raises(ValueError, match=message):
        call(fitted(x), x)


def test_results_are_read_only_and_pickle(rows):
    errors = fitted(rows, 1).standard_errors(rows)
    with pytest.raises(AttributeError, match="StandardErrors is a result and cannot be changed"):
        errors.means = 0
    copied = pickle.loads(pickle.dumps(errors))
    assert type(copied) is type(errors)
    np.testing.assert_array_equal(copied.covariance_matrix, errors.covariance_matrix)
    assert ParameterArrays(a=1).a == 1


def test_errors_of_old_faithful(faithful):
    """Waiting times: standard errors of mixtools' boot.se for a fit of this size are about 0.03, 0.7, 0.5."""
    mixture = fitted(faithful[:, 1], means_init=[[55.0], [80.0]])
    errors = mixture.standard_errors(faithful[:, 1], information="observed")
    assert errors.weights[0] == pytest.approx(0.0312, abs=0.002)
    assert errors.means.ravel() == pytest.approx([0.70, 0.50], abs=0.05)


def test_rows_of_a_group_are_weighted_together():
    """The error of a mean is that of the means of the groups; labels may be texts."""
    random = np.random.default_rng(0)
    group = np.repeat(np.arange(80), 5)
    x = random.normal(size=80)[group] + 0.5 * random.normal(size=400)
    mixture = GaussianMixture(random_state=0).fit(x)
    names = np.array([f"person {label}" for label in group])
    errors = mixture.bootstrap(x, groups=names, n_replicates=400).standard_errors()
    of_groups = x.reshape(80, 5).mean(axis=1)
    assert errors.means[0, 0] == pytest.approx(of_groups.std() / np.sqrt(80), rel=0.15)
    assert errors.means[0, 0] > 1.5 * mixture.bootstrap(x, n_replicates=100).standard_errors().means[0, 0]
    each = mixture.bootstrap(x, groups=np.arange(400), n_replicates=400).standard_errors()
    assert each.means[0, 0] == pytest.approx(x.std() / 20.0, rel=0.15)


@pytest.mark.parametrize(
    ("rows", "groups", "message"),
    [("array", np.zeros(9), "one label for each of the 10 rows"), ("array", np.zeros(10), "groups are all the same"),
     ("stream", np.arange(10), "X is read piece by piece")],
)  # fmt: skip
def test_groups_that_cannot_be_are_named(rows, groups, message):
    x = np.arange(10.0)[:, None]
    mixture = GaussianMixture().fit(x)
    with pytest.raises(ValueError, match=message):
        mixture.bootstrap(x if rows == "array" else (lambda: iter([x])), groups=groups)
