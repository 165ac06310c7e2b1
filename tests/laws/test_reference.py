"""Published and converged reference results, to the digits given."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from fastem import GaussianMixture, Mixture
from tests.conftest import ROOT

CLOSE = {"tol": 1e-13, "max_iter": 20_000}
TIGHT = {**CLOSE, "prior": None}


def total_loglik(mixture, X):
    return mixture.score(X) * len(X)


def test_faithful_waiting_equal_sd(faithful):
    """The mixtools vignette: normalmixEM(waiting, lambda=.5, mu=c(55, 80), sigma=5)."""
    waiting = faithful[:, 1]
    mixture = GaussianMixture(
        2, covariance_type="tied", weights_init=[0.5, 0.5], means_init=[55, 80], precisions_init=[1 / 25], **TIGHT
    ).fit(waiting)
    assert total_loglik(mixture, waiting) == pytest.approx(-1034.00176036, abs=2e-8)
    assert mixture.weights_[0] == pytest.approx(0.36084942, abs=2e-7)
    np.testing.assert_allclose(mixture.means_.ravel(), [54.61362569, 80.09030317], atol=2e-5)
    assert mixture.covariances_[0, 0] == pytest.approx(34.44623533, abs=2e-5)
    # The published fit was stopped early, from the same start: ours is at least as likely.
    assert total_loglik(mixture, waiting) >= -1034.002
    np.testing.assert_allclose(mixture.means_.ravel(), [54.61364, 80.09031], atol=5e-5)


def test_faithful_waiting_unequal_sd(faithful):
    waiting = faithful[:, 1]
    mixture = GaussianMixture(
        2, weights_init=[0.5, 0.5], means_init=[55, 80], precisions_init=[1 / 25, 1 / 25], **TIGHT
    ).fit(waiting)
    assert total_loglik(mixture, waiting) == pytest.approx(-1034.00174983, abs=2e-8)
    assert mixture.weights_[0] == pytest.approx(0.3608859, abs=2e-6)
    np.testing.assert_allclose(mixture.means_.ravel(), [54.61485044, 80.09106579], atol=5e-5)
    np.testing.assert_allclose(mixture.covariances_.ravel(), [34.47116011, 34.43034963], atol=5e-4)


def test_faithful_full(faithful):
    mixture = GaussianMixture(2, random_state=0, **TIGHT).fit(faithful)
    assert total_loglik(mixture, faithful) == pytest.approx(-1130.26396018, abs=2e-8)
    order = np.argsort(mixture.weights_)
    np.testing.assert_allclose(mixture.weights_[order], [0.35587286, 0.64412713], atol=2e-8)
    np.testing.assert_allclose(mixture.means_[order], [[2.03638847, 54.47851656], [4.28966199, 79.96811537]], atol=2e-6)
    assert mixture.bic(faithful) == pytest.approx(2322.191743, abs=1e-6)
    assert mixture.aic(faithful) == pytest.approx(2282.527920, abs=1e-6)


@pytest.mark.parametrize(
    ("covariance_type", "loglik", "n_parameters"),
    [("tied", -1140.18675944, 8), ("diag", -1147.80635254, 9), ("spherical", -1709.52928218, 7)],
)
def test_faithful_other_covariances(faithful, covariance_type, loglik, n_parameters):
    mixture = GaussianMixture(2, covariance_type=covariance_type, random_state=0, **TIGHT).fit(faithful)
    assert total_loglik(mixture, faithful) == pytest.approx(loglik, abs=2e-8)
    assert mixture.aic(faithful) == pytest.approx(-2 * loglik + 2 * n_parameters, abs=1e-6)


def test_faithful_three_tied_components(faithful):
    """mclust's EEE model: BIC 2314.316 and ICL 2357.824 in its vignette, where the fit stops a little early."""
    mixture = GaussianMixture(3, covariance_type="tied", random_state=0, n_init=3, **TIGHT).fit(faithful)
    assert total_loglik(mixture, faithful) == pytest.approx(-1126.31592782, abs=2e-8)
    assert mixture.bic(faithful) == pytest.approx(2314.295678, abs=1e-6)
    assert mixture.bic(faithful) <= 2314.316
    assert mixture.icl(faithful) == pytest.approx(2357.824, abs=0.6)


@pytest.mark.parametrize(
    ("covariance_type", "loglik", "n_parameters"),
    [
        ("full", -180.18547713, 44),
        ("tied", -256.35404313, 24),
        ("diag", -306.86046051, 26),
        ("spherical", -384.31409506, 17),
    ],
)
def test_iris_from_the_species(covariance_type, loglik, n_parameters):
    X, species = load_iris(return_X_y=True)
    mixture = GaussianMixture(3, covariance_type=covariance_type, init_params=species, **TIGHT).fit(X)
    assert total_loglik(mixture, X) == pytest.approx(loglik, abs=2e-8)
    assert mixture.aic(X) == pytest.approx(-2 * loglik + 2 * n_parameters, abs=1e-6)


def test_iris_full_details():
    X, species = load_iris(return_X_y=True)
    mixture = GaussianMixture(3, init_params=species, **TIGHT).fit(X)
    assert mixture.bic(X) == pytest.approx(580.838907, abs=1e-6)
    assert mixture.aic(X) == pytest.approx(448.370954, abs=1e-6)
    np.testing.assert_allclose(mixture.weights_, [0.33333333, 0.29919323, 0.36747344], atol=2e-7)
    assert np.count_nonzero(mixture.predict(X) != species) == 5


def test_iris_two_components():
    X, species = load_iris(return_X_y=True)
    mixture = GaussianMixture(2, init_params=(species > 0).astype(int), **TIGHT).fit(X)
    assert total_loglik(mixture, X) == pytest.approx(-214.35470437, abs=2e-8)
    assert mixture.bic(X) == pytest.approx(574.0178, abs=1e-3)


def test_two_processes():
    """Weights .3/.7, means 20/40, sds 5/5 within sampling error, and labels mostly right."""
    random = np.random.default_rng(0)
    x = np.concatenate([random.normal(20, 5, 3000), random.normal(40, 5, 7000)])
    mixture = GaussianMixture(2, random_state=0).fit(x)
    order = np.argsort(mixture.means_.ravel())
    np.testing.assert_allclose(mixture.weights_[order], [0.3, 0.7], atol=0.02)
    np.testing.assert_allclose(mixture.means_.ravel()[order], [20, 40], atol=0.5)
    np.testing.assert_allclose(np.sqrt(mixture.covariances_.ravel())[order], [5, 5], atol=0.4)
    truth = np.repeat([0, 1], [3000, 7000])
    assert np.mean(np.argsort(order)[mixture.predict(x)] == truth) > 0.95


def test_hasselblad_death_notices():
    """Hasselblad (1969), table 3: two Poisson processes, on which plain EM takes thousands of iterations."""
    counts = np.repeat(np.arange(10), [162, 267, 271, 185, 111, 61, 27, 8, 3, 1])
    start = {"weights_init": [0.5, 0.5], "params_init": {"rates": [1.0, 3.0]}}
    mixture = Mixture("poisson", 2, **start, **CLOSE).fit(counts)
    assert mixture.n_iter_ <= 60, "it is accelerated: plain EM takes more than two thousand iterations"
    assert total_loglik(mixture, counts) == pytest.approx(-1989.945859883, abs=1e-8)
    assert mixture.weights_[0] == pytest.approx(0.3598853970, abs=2e-5)
    np.testing.assert_allclose(mixture.rates_.ravel(), [1.2560951012, 2.6634043566], atol=5e-5)
    with pytest.warns(ConvergenceWarning):
        stopped = Mixture("poisson", 2, **start, tol=0.0, max_iter=1500, schedule="plain").fit(counts)
    assert total_loglik(stopped, counts) == pytest.approx(-1989.945860141, abs=1e-8)
    assert mixture.aic(counts) == pytest.approx(-2 * total_loglik(mixture, counts) + 6)


@pytest.mark.parametrize(
    ("n_components", "loglik"), [(1, -391.918928), (2, -360.369044), (3, -356.848939), (4, -356.733701)]
)
def test_earthquakes(n_components, loglik):
    """Zucchini & MacDonald (2009), table 1.2: mixtures of the numbers of earthquakes from 1900 to 2006."""
    counts = np.loadtxt(ROOT / "examples" / "earthquakes.csv", delimiter=",", skiprows=1)[:, 1]
    mixture = Mixture("poisson", n_components, random_state=0, n_init=2, **CLOSE).fit(counts)
    assert total_loglik(mixture, counts) == pytest.approx(loglik, abs=1e-6)
    if n_components == 2:
        order = np.argsort(mixture.rates_[:, 0])
        assert mixture.weights_[order[0]] == pytest.approx(0.675725, abs=1e-5)
        np.testing.assert_allclose(mixture.rates_[order, 0], [15.777103, 26.839885], atol=1e-4)
