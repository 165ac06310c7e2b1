"""Fixed parameters stay what they are, and all others are at their best."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

import fastem
from fastem import Fixed, GaussianMixture, NormalInverseWishart
from fastem.fitting.problem import Problem
from fastem.fitting.summary import summary_of
from fastem.sources import ArraySource
from tests.fitting.test_priors import COVARIANCE_TYPES


@pytest.fixture
def X():
    random = np.random.default_rng(0)
    return np.concatenate([random.normal([0, 0], [1, 2], (150, 2)), random.normal([4, 1], [0.5, 1], (100, 2))])


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_what_is_fixed_stays_to_the_last_bit_and_the_rest_is_best(covariance_type, X):
    means = np.array([[0.5, 0.5], [4.0, 1.0]])
    mixture = GaussianMixture(
        2, covariance_type=covariance_type, means_init=means, prior=None,
        fixed=Fixed(means=[True, False], weights="equal"), random_state=0, tol=1e-12, max_iter=5000,
    ).fit(X)  # fmt: skip
    np.testing.assert_array_equal(mixture.means_[0], means[0])
    np.testing.assert_array_equal(mixture.weights_, [0.5, 0.5])
    assert not np.array_equal(mixture.means_[1], means[1])
    model, problem = mixture._model, Problem(mixture._model, ArraySource(X, None))
    point = model.to_unconstrained(mixture._params)
    best = minimize(lambda p: -problem.e_step(model.from_unconstrained(p)).objective, point, method="BFGS")
    assert mixture.lower_bound_ == pytest.approx(-best.fun, abs=1e-8)
    free = summary_of(GaussianMixture(2, covariance_type=covariance_type)._model_spec(), ArraySource(X, None)).model
    assert model.n_parameters() == free.n_parameters() - 1 - 2
    assert np.all(np.diff(mixture.lower_bounds_) >= 0)


def test_fixed_covariances(X):
    precisions = np.stack([np.diag([1.0, 0.25]), np.diag([4.0, 1.0])])
    mixture = GaussianMixture(2, precisions_init=precisions, fixed=Fixed(covariances=True), random_state=0).fit(X)
    np.testing.assert_allclose(mixture.covariances_, np.linalg.inv(precisions), rtol=1e-12)
    one = GaussianMixture(2, precisions_init=precisions, fixed=Fixed(covariances=[False, True]), random_state=0).fit(X)
    np.testing.assert_allclose(one.covariances_[1], np.linalg.inv(precisions[1]), rtol=1e-12)
    assert one.lower_bound_ > mixture.lower_bound_
    assert mixture._model.n_parameters() == 1 + 4
    assert one._model.n_parameters() == 1 + 4 + 3


def test_some_weights_are_fixed(X):
    mixture = GaussianMixture(
        3, weights_init=[0.2, 0.5, 0.3], fixed=Fixed(weights=[True, False, False]), random_state=0, max_iter=3000
    ).fit(X)
    assert mixture.weights_[0] == 0.2
    assert mixture.weights_.sum() == pytest.approx(1.0, abs=1e-14)
    assert mixture._model.n_parameters() == 3 * 5 + 1


def test_known_components_and_one_unknown(X):
    """The usual use: some components are known, a further one is looked for; a fitted model goes on with them."""
    known = GaussianMixture.from_parameters(
        [0.5, 0.5], [[0, 0], [4, 1]], [[1, 4], [0.25, 1]], covariance_type="diag", warm_start=True,
        fixed=Fixed(means=[True, False], covariances=[True, False]),
    )  # fmt: skip
    known.fit(X)
    np.testing.assert_array_equal(known.means_[0], [0, 0])
    np.testing.assert_array_equal(known.covariances_[0], [1, 4])
    assert not np.array_equal(known.means_[1], [4, 1])


def test_priors_and_fixed_parameters_survive_a_file(tmp_path, X):
    mixture = GaussianMixture(
        2,
        means_init=[[0.0, 0.0], [4.0, 1.0]],
        prior=NormalInverseWishart(mean_precision=2.0, degrees_of_freedom=9.0),
        fixed=Fixed(means=[True, False], weights="equal"),
        random_state=0,
    ).fit(X)
    mixture.save(tmp_path / "model.npz")
    again = fastem.load(tmp_path / "model.npz")
    assert again._model.n_parameters() == mixture._model.n_parameters()
    assert again._model.log_prior(again._params, 250.0) == mixture._model.log_prior(mixture._params, 250.0)
    np.testing.assert_array_equal(again.partial_fit(X[:100]).means_[0], [0.0, 0.0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fixed": Fixed(means=True)}, "Give means_init"),
        ({"fixed": Fixed(weights=True)}, "Give weights_init"),
        ({"fixed": Fixed(covariances=[True, False])}, "Give precisions_init"),
        ({"fixed": Fixed(means=[True, False, True]), "means_init": [[0, 0], [1, 1]]}, "one of these for each of 2"),
        (
            {"fixed": Fixed(covariances=[True, False]), "precisions_init": np.eye(2), "covariance_type": "tied"},
            "only one",
        ),
        ({"prior": NormalInverseWishart(degrees_of_freedom=0.5)}, "more than the number of features less one"),
        ({"prior": NormalInverseWishart(covariance=[[1.0, 2.0], [2.0, 1.0]])}, "positive definite"),
        ({"prior": NormalInverseWishart(covariance=[1.0, 2.0])}, "must have the shape"),
        ({"prior": NormalInverseWishart(mean=[1.0])}, "must have the shape"),
        ({"prior": "ridge"}, "'prior' parameter"),
    ],
)
def test_unusable_beliefs_are_named(settings, message, X):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(2, **settings).fit(X)
