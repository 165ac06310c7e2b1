"""Agreement with independent implementations: the naive twin, SciPy and scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn.mixture
from sklearn.datasets import load_iris

from fastem import GaussianMixture
from tests import naive
from tests.cases import MIXTURE_CASES, PLAIN, e_step

# Chains have a twin of their own, in test_chain.py.
CASES = MIXTURE_CASES

COVARIANCE_TYPES = ["full", "tied", "diag", "spherical"]
SIZES = [(1, 1), (3, 1), (2, 2), (3, 3), (2, 4), (2, 5), (3, 6), (2, 8), (2, 11)]


@pytest.mark.parametrize(("n_components", "n_features"), SIZES)
def test_one_iteration_equals_the_naive_twin(case, n_components, n_features):
    model = case.model(n_components, n_features)
    params = case.params(model)
    X = case.rows(model, 300)
    weight = np.random.default_rng(0).uniform(0.0, 2.0, 300)

    twin = case.observed.log_prob(model.family, params.family)
    joint = naive.joint(X, params.latent.weights, twin)
    expected_resp, expected_loglik = naive.responsibilities(joint), naive.log_likelihood(joint)
    weighted = expected_resp * weight[:, None]
    expected = case.observed.stats(model.family, params.family, X, weighted)
    stats = e_step(model, params, X, weight)
    assert stats.loglik == pytest.approx(weight @ expected_loglik, rel=1e-12)
    assert stats.weight == pytest.approx(weight.sum(), rel=1e-14)
    np.testing.assert_allclose(stats.latent.n, weighted.sum(axis=0), rtol=1e-11, atol=1e-12)
    assert set(expected) == {name for name in stats.family._fields if name not in stats.family.shared}
    for name, value in expected.items():
        atol = 1e-12 * max(1.0, float(np.abs(value).max(initial=0.0)))
        np.testing.assert_allclose(getattr(stats.family, name), value, rtol=1e-11, atol=atol, err_msg=name)

    resp, loglik, label = np.empty((300, n_components)), np.empty(300), np.empty(300, dtype=np.int64)
    model.posterior(params, X, resp)
    model.log_prob(params, X, loglik)
    model.label(params, X, label)
    np.testing.assert_allclose(resp, expected_resp, rtol=1e-8, atol=1e-15)
    np.testing.assert_allclose(loglik, expected_loglik, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(label, joint.argmax(axis=1))


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_densities_equal_scipy(covariance_type):
    random = np.random.default_rng(0)
    X = random.normal(size=(500, 3)) * [1.0, 5.0, 0.2]
    mixture = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    densities = [
        weight
        * scipy.stats.multivariate_normal(
            mean, naive.covariance_matrix(covariance_type, mixture.covariances_, k, 3)
        ).pdf(X)
        for k, (weight, mean) in enumerate(zip(mixture.weights_, mixture.means_, strict=True))
    ]
    np.testing.assert_allclose(np.exp(mixture.score_samples(X)), np.sum(densities, axis=0), rtol=1e-10)


def sklearn_from(mixture, n_iter, reg_covar, start):
    return sklearn.mixture.GaussianMixture(
        mixture.n_components, covariance_type=mixture.covariance_type, tol=0.0, max_iter=n_iter,
        reg_covar=reg_covar, **start,
    )  # fmt: skip


@pytest.mark.parametrize("reg_covar", [0.0, 1e-3])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("n_features", [1, 2, 4, 9])
def test_parameters_equal_those_of_scikit_learn_after_the_same_iterations(covariance_type, n_features, reg_covar):
    random = np.random.default_rng(7)
    X = np.concatenate([random.normal(size=(400, n_features)), 2.0 + 1.5 * random.normal(size=(500, n_features))])
    start = {
        "weights_init": [0.5, 0.5],
        "means_init": np.stack([np.full(n_features, -1.0), np.full(n_features, 2.0)]),
        "precisions_init": {
            "full": np.stack([np.eye(n_features)] * 2),
            "tied": np.eye(n_features),
            "diag": np.ones((2, n_features)),
            "spherical": np.ones(2),
        }[covariance_type],
    }
    # With reg_covar the M-step does not maximise: after some iterations the objective falls, and ours stops.
    n_iter = 3 if reg_covar else 7
    ours = GaussianMixture(
        2, covariance_type=covariance_type, tol=0.0, max_iter=n_iter, reg_covar=reg_covar, **start, **PLAIN
    )
    theirs = sklearn_from(ours, n_iter, reg_covar, start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours.fit(X)
        theirs.fit(X)
    assert ours.n_iter_ == theirs.n_iter_ == n_iter
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-8, atol=1e-8, err_msg=name)
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-8)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-8)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-10)
    assert ours.bic(X) == pytest.approx(theirs.bic(X), rel=1e-10)
    assert ours.aic(X) == pytest.approx(theirs.aic(X), rel=1e-10)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_weighted_fit_equals_the_naive_twin(covariance_type):
    random = np.random.default_rng(3)
    X = np.concatenate([random.normal(size=(120, 2)), 3.0 + random.normal(size=(150, 2))])
    weight = random.uniform(0.0, 3.0, 270)
    means = np.array([[0.0, 0.5], [2.5, 3.0]])
    precisions = {
        "full": np.stack([np.eye(2)] * 2),
        "tied": np.eye(2),
        "diag": np.ones((2, 2)),
        "spherical": np.ones(2),
    }
    mixture = GaussianMixture(
        2, covariance_type=covariance_type, tol=0.0, max_iter=6, weights_init=[0.5, 0.5], means_init=means,
        precisions_init=precisions[covariance_type], **PLAIN,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixture.fit(X, sample_weight=weight)
    expected = naive.fit(X, np.array([0.5, 0.5]), means, precisions[covariance_type], covariance_type, 6, weight)
    for actual, wanted in zip((mixture.weights_, mixture.means_, mixture.covariances_), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_to_and_from_scikit_learn(covariance_type):
    X = load_iris().data
    mixture = GaussianMixture(3, covariance_type=covariance_type, random_state=0, tol=1e-3).fit(X)
    theirs = mixture.to_sklearn()
    assert isinstance(theirs, sklearn.mixture.GaussianMixture)
    np.testing.assert_allclose(theirs.score_samples(X), mixture.score_samples(X), rtol=1e-10)
    np.testing.assert_array_equal(theirs.predict(X), mixture.predict(X))
    assert theirs.bic(X) == pytest.approx(mixture.bic(X), rel=1e-12)
    theirs.means_[:] = 0.0
    assert np.abs(mixture.means_).min() > 0.0, "the copy shares no memory"
    back = GaussianMixture.from_sklearn(mixture.to_sklearn())
    np.testing.assert_allclose(back.score_samples(X), mixture.score_samples(X), rtol=1e-10)
    assert back.tol == mixture.tol
