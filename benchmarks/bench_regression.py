"""Passes over regressions, against full Gaussians of as many columns; fits of lines that cross."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.stats
from scipy.special import expit, logsumexp

from benchmarks import common
from benchmarks.common import CHECKED_ROWS, Workload
from fastem import RegressionMixture
from fastem.families import BinomialRegression, GammaRegression, Linear, PoissonRegression
from fastem.families.gaussian.family import Gaussian
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.sources import Chunk
from fastem.stats import ExpectedStats

FAMILIES: dict[str, Any] = {
    "linear": Linear,
    "poisson": PoissonRegression,
    "binomial": BinomialRegression,
    "gamma": GammaRegression,
}
# Columns count the response.
SIZES = [common.sized(Workload(*size, "full")) for size in ((500_000, 3, 2), (200_000, 17, 8))]


def _log_prob(kind: str, y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Log-densities of responses, by SciPy; dispersions are one half."""
    if kind == "linear":
        return scipy.stats.norm(eta, np.sqrt(0.5)).logpdf(y)
    if kind == "poisson":
        return scipy.stats.poisson(np.exp(eta)).logpmf(y)
    if kind == "binomial":
        return scipy.stats.bernoulli(expit(eta)).logpmf(y)
    return scipy.stats.gamma(2.0, scale=np.exp(eta) / 2.0).logpdf(y)


class EStep:
    """One fused pass that gathers the sums of a step of least squares."""

    params = (SIZES, list(FAMILIES))
    param_names = ("size", "family")

    def setup(self, size: Workload, kind: str) -> None:
        random = np.random.default_rng(0)
        k, d = size.n_components, size.n_features
        family = FAMILIES[kind](n_components=k, n_features=d)
        self.model = Model(MixtureLatent(k), family)
        self.coef, self.intercept = 0.2 * random.normal(size=(k, d - 1)), random.normal(size=k)
        spread = {"linear": [np.full(k, 0.5)], "gamma": [np.full(k, 2.0)]}.get(kind, [])
        weights = self.model.latent.params(np.ones(k))
        self.at = Params(weights, family.params(self.coef, self.intercept, *spread))
        self.X = self.model.sample(self.at, size.n_rows, random)[0]
        self.gaussian = Model(MixtureLatent(k), Gaussian(n_components=k, n_features=d, covariance_type="full"))
        self.normal = Params(
            weights, self.gaussian.family.params(random.normal(size=(k, d)), np.tile(np.eye(d), (k, 1, 1)))
        )
        self.e_step(self.X[:CHECKED_ROWS])

    def e_step(self, X: np.ndarray) -> ExpectedStats:
        return self.model.e_step(self.at, Chunk(X, None, 0))

    def time_e_step(self, size: Workload, kind: str) -> None:
        self.e_step(self.X)

    def track_ratio_to_full_gaussian(self, size: Workload, kind: str) -> float:
        """Time of the pass, divided by that of full Gaussians of as many columns."""
        chunk = Chunk(self.X, None, 0)
        return common.ratio_of_times(lambda: self.e_step(self.X), lambda: self.gaussian.e_step(self.normal, chunk))

    track_ratio_to_full_gaussian.unit = "time / time of full Gaussians"

    def track_log_likelihood_error(self, size: Workload, kind: str) -> float:
        X = self.X[:CHECKED_ROWS]
        eta = self.intercept + X[:, :-1] @ self.coef.T
        exact = logsumexp(_log_prob(kind, X[:, -1:], eta) - np.log(size.n_components), axis=1).mean()
        return common.relative_error(self.e_step(X).objective, exact)

    track_log_likelihood_error.unit = "relative"
    track_log_likelihood_error.bound = 1e-11


class Fit:
    """Two lines that cross, from the default start."""

    def setup(self) -> None:
        random = np.random.default_rng(0)
        n_rows = common.sized(Workload(200_000, 2, 2, "full")).n_rows
        self.X, is_up = random.uniform(0.0, 10.0, (n_rows, 1)), random.integers(0, 2, n_rows)
        self.y = np.where(is_up, 3.0 * self.X[:, 0], 20.0 - self.X[:, 0]) + random.normal(size=n_rows)
        self.fit()

    def fit(self) -> RegressionMixture:
        return RegressionMixture(2, n_init=4, random_state=0).fit(self.X, self.y)

    def time_fit(self) -> None:
        self.fit()

    def peakmem_fit(self) -> None:
        self.fit()

    def track_slope_error(self) -> float:
        """Largest distance of a slope from the truth."""
        return float(np.abs(np.sort(self.fit().coef_[:, 0]) - [-1.0, 3.0]).max())

    track_slope_error.unit = "slope"
    track_slope_error.bound = 0.2
