"""Priors: what is maximised, by an independent optimiser and by formulas of the posterior mode."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from fastem import GaussianMixture, NormalInverseWishart
from fastem.families.gaussian.family import Gaussian
from fastem.fitting.problem import Problem
from fastem.fitting.summary import summary_of
from fastem.model import Params
from fastem.sources import ArraySource

COVARIANCE_TYPES = ["full", "tied", "diag", "spherical"]


@pytest.fixture
def X():
    random = np.random.default_rng(0)
    return np.concatenate([random.normal([0, 0], [1, 2], (150, 2)), random.normal([4, 1], [0.5, 1], (100, 2))])


# Priors.


def test_the_mode_of_a_normal_inverse_wishart_posterior(X):
    """One component, where the mode has a formula (Murphy 2012, eq. 4.213)."""
    m0, kappa, nu, scale = np.array([1.0, -1.0]), 3.0, 7.0, np.array([[2.0, 0.3], [0.3, 1.0]])
    mixture = GaussianMixture(
        prior=NormalInverseWishart(mean=m0, mean_precision=kappa, degrees_of_freedom=nu, covariance=scale)
    ).fit(X)
    n, mean = len(X), X.mean(axis=0)
    scatter = (X - mean).T @ (X - mean)
    expected = (n * mean + kappa * m0) / (n + kappa)
    shift = np.outer(mean - m0, mean - m0) * kappa * n / (kappa + n)
    np.testing.assert_allclose(mixture.means_[0], expected, rtol=1e-12)
    np.testing.assert_allclose(mixture.covariances_[0], (scale + scatter + shift) / (nu + n + 2 + 2), rtol=1e-12)


def test_the_objective_is_the_posterior_density_up_to_a_constant(X):
    """Differences between parameters, with the densities of SciPy."""
    m0, kappa, nu, scale = np.array([1.0, -1.0]), 3.0, 7.0, np.array([[2.0, 0.3], [0.3, 1.0]])
    mixture = GaussianMixture(
        2,
        prior=NormalInverseWishart(
            mean=m0, mean_precision=kappa, degrees_of_freedom=nu, covariance=scale, weight_concentration=3.0
        ),
    )
    source = ArraySource(X, None)
    model = summary_of(mixture._model_spec(), source).model

    def ours(weights, means, covariances):
        return Problem(model, source).e_step(
            Params(model.latent.params(weights), model.family.params(means, covariances))
        )

    def theirs(weights, means, covariances):
        prior = scipy.stats.dirichlet([3.0, 3.0]).logpdf(weights)
        for mean, covariance in zip(means, covariances, strict=True):
            prior += scipy.stats.invwishart(nu, scale).logpdf(covariance)
            prior += scipy.stats.multivariate_normal(m0, covariance / kappa).logpdf(mean)
        return prior

    random = np.random.default_rng(1)
    found = []
    for _ in range(3):
        weights = random.dirichlet([5.0, 5.0])
        means = random.normal(size=(2, 2))
        covariances = np.stack([scipy.stats.wishart(6, np.eye(2)).rvs(random_state=random) for _ in range(2)])
        stats = ours(weights, means, covariances)
        assert stats.objective == pytest.approx((stats.loglik + stats.log_prior) / len(X), rel=1e-14)
        found.append((stats.log_prior, theirs(weights, means, covariances)))
    ours_, theirs_ = np.array(found).T
    np.testing.assert_allclose(np.diff(ours_), np.diff(theirs_), rtol=1e-10)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_no_step_from_the_mode_raises_the_objective(covariance_type, X):
    prior = NormalInverseWishart(mean_precision=5.0, degrees_of_freedom=6.0, weight_concentration=4.0)
    settings = {"tol": 1e-13, "max_iter": 20_000, "random_state": 0}
    mixture = GaussianMixture(2, covariance_type=covariance_type, prior=prior, **settings).fit(X)
    model, problem = mixture._model, Problem(mixture._model, ArraySource(X, None))
    point = model.to_unconstrained(mixture._params)
    best = minimize(lambda p: -problem.e_step(model.from_unconstrained(p)).objective, point, method="BFGS")
    assert mixture.lower_bound_ == pytest.approx(-best.fun, abs=1e-8)
    assert mixture.lower_bound_ == pytest.approx(problem.e_step(mixture._params).objective, abs=1e-13)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_the_penalty_vanishes_and_follows_units(covariance_type, X):
    settings = {"covariance_type": covariance_type, "random_state": 0, "tol": 1e-10, "max_iter": 5000}
    penalised = GaussianMixture(2, **settings).fit(X)
    plain = GaussianMixture(2, prior=None, **settings).fit(X)
    assert plain.lower_bound_ == pytest.approx(plain.score(X), abs=1e-12)
    assert 0.0 < plain.score(X) - penalised.score(X) < 1e-5
    assert penalised.lower_bound_ < penalised.fit_report_.loglik == pytest.approx(penalised.score(X), abs=1e-12)
    assert "without prior or penalty" in str(penalised.fit_report_)
    scaled = GaussianMixture(2, **settings).fit(1e6 * X - 1e7)
    assert scaled.lower_bound_ + 2 * np.log(1e6) == pytest.approx(penalised.lower_bound_, abs=1e-9)
    np.testing.assert_allclose(scaled.weights_, penalised.weights_, rtol=1e-5)


def test_the_penalty_of_weights_of_any_scale(X):
    """Weights that sum to one are no single row."""
    settings = {"random_state": 0, "tol": 1e-9}
    counted, shared = (
        GaussianMixture(2, **settings).fit(X, sample_weight=np.full(len(X), w)) for w in (1.0, 1.0 / len(X))
    )
    np.testing.assert_allclose(shared.covariances_, counted.covariances_, rtol=1e-6)


def test_the_penalty_bounds_the_likelihood_of_a_component_on_one_row():
    random = np.random.default_rng(0)
    x = np.concatenate([random.normal(size=60), [1.2345]])
    labels = np.where(np.arange(61) == 60, 1, 0)
    mixture = GaussianMixture(2, init_params=labels, covariance_floor=0.0, max_iter=1).fit
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        report = mixture(x).fit_report_
    assert np.isfinite(report.objective)
    assert not report.repairs
    assert report.objective - report.loglik > -1.0


def test_an_empty_component_takes_the_covariance_of_its_prior(X):
    labels = np.zeros(len(X), dtype=int)
    with pytest.warns(ConvergenceWarning):
        mixture = GaussianMixture(2, init_params=labels, max_iter=1).fit(X)
    assert np.all(np.isfinite(mixture.covariances_))
    np.testing.assert_allclose(mixture.covariances_[1], np.cov(X.T, bias=True), rtol=1e-6)


def test_priors_about_zero_come_back_from_a_file():
    family = Gaussian(
        n_components=1, n_features=1, own_prior_means=np.zeros((1, 1)), own_prior_mean_rows=np.full(1, 9.0),
        fixed_means=np.zeros((1, 1)),
    )  # fmt: skip
    again = Gaussian(n_components=1, n_features=1).with_constraints(family.constraints())
    params = family.params(np.ones((1, 1)), np.ones((1, 1, 1)))
    assert again.log_prior(params, 10.0) == family.log_prior(params, 10.0) < 0.0
    assert again.n_parameters() == family.n_parameters() == 1


def test_online_em_counts_a_prior_once_however_often_rows_are_read(X):
    rows = np.repeat(X, 40, axis=0)
    settings = {"random_state": 0, "prior": NormalInverseWishart(mean=[20.0, 20.0], mean_precision=2000.0), "tol": 1e-4}
    batch = GaussianMixture(**settings).fit(rows)
    online = GaussianMixture(schedule="online", max_iter=5, **settings).fit(rows)
    incremental = GaussianMixture(schedule="incremental", **settings).fit(rows)
    assert abs(batch.means_ - rows.mean(axis=0)).min() > 1.0
    np.testing.assert_allclose(online.means_, batch.means_, rtol=0.01)
    np.testing.assert_allclose(incremental.means_, batch.means_, rtol=1e-10)
