"""Passes over rows with missing values, against a pass over complete rows of the same shape in the same run."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import ClassVar

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from benchmarks import common
from benchmarks.common import Workload
from fastem import Mixture
from fastem.estimators._views import fitted_of
from fastem.model import Model, Params
from fastem.sources import Chunk
from fastem.stats import ExpectedStats

_WORKLOAD = common.sized(Workload(200_000, 16, 16))
# Rows whose log-likelihood is computed in the slow way.
_CHECKED = 50


class Independent:
    """Values that are missing at random in columns that are independent given the component."""

    params: ClassVar = [["normal", "poisson", "categorical", "gamma"], [0.0, 0.1, 0.5]]
    param_names: ClassVar = ["columns", "share"]

    def setup(self, kind: str, share: float) -> None:
        random, n_rows = np.random.default_rng(0), _WORKLOAD.n_rows
        self.complete = {
            "normal": random.normal(size=(n_rows, 16)),
            "poisson": random.poisson(4.0, (n_rows, 16)).astype(np.float64),
            "categorical": random.integers(0, 4, (n_rows, 16)).astype(np.float64),
            "gamma": random.gamma(3.0, size=(n_rows, 16)),
        }[kind]
        self.X = np.where(random.random(self.complete.shape) < share, np.nan, self.complete)
        mixture = Mixture(kind, 16, random_state=0, n_init=1, max_iter=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model, self.start = fitted_of(mixture.fit(self.complete[:2000]))

    def e_step(self, X: np.ndarray) -> ExpectedStats:
        model, start = self.model.for_rows(self.start, X is self.X)
        return model.e_step(start, Chunk(X, None, 0))

    def track_ratio(self, kind: str, share: float) -> float:
        return common.ratio_of_times(lambda: self.e_step(self.X), lambda: self.e_step(self.complete))

    track_ratio.unit = "time / time of complete rows"


class Gaps:
    """Values that are missing at random, or after one of five patterns."""

    params: ClassVar = [[0.0, 0.02, 0.1, 0.5], ["random", "five patterns"]]
    param_names: ClassVar = ["share", "patterns"]

    def setup(self, share: float, patterns: str) -> None:
        self.complete, random = common.rows_of(_WORKLOAD), np.random.default_rng(0)
        n_patterns = len(self.complete) if patterns == "random" else 5
        missing = random.random((n_patterns, self.complete.shape[1])) < share
        if patterns != "random":
            missing = missing[random.integers(0, n_patterns, len(self.complete))]
        self.X = np.where(missing, np.nan, self.complete)
        self.model, self.start = common.model_of(_WORKLOAD)
        family = replace(self.model.family, has_gaps=True)
        self.with_gaps = Model(self.model.latent, family)
        self.start_with_gaps = Params(self.start.latent, family.rebuilt(self.start.family))

    def e_step(self, n_rows: int | None = None) -> ExpectedStats:
        return self.with_gaps.e_step(self.start_with_gaps, Chunk(self.X[:n_rows], None, 0))

    def track_ratio(self, share: float, patterns: str) -> float:
        return common.ratio_of_times(self.e_step, lambda: self.model.e_step(self.start, Chunk(self.complete, None, 0)))

    track_ratio.unit = "time / time of complete rows"

    def track_log_likelihood_error(self, share: float, patterns: str) -> float:
        means, covariances = self.start.family.means, self.start.family.covariances
        total = 0.0
        for x in self.X[:_CHECKED]:
            seen = np.flatnonzero(~np.isnan(x))
            densities = [
                multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)]).logpdf(x[seen]) if seen.size else 0.0
                for mean, covariance in zip(means, covariances, strict=True)
            ]
            total += float(logsumexp(self.start.latent.log_weights + np.array(densities)))
        return abs(float(self.e_step(_CHECKED).loglik) - total) / _CHECKED

    track_log_likelihood_error.unit = "nats a row"
    track_log_likelihood_error.bound = 1e-9
