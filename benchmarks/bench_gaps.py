"""Passes over rows with missing values, against a pass over complete rows of the same shape in the same run."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from benchmarks import common
from benchmarks.common import Workload
from fastem.model import Model, Params
from fastem.sources import Chunk
from fastem.stats import ExpectedStats

_WORKLOAD = common.sized(Workload(200_000, 16, 16))
# Rows whose log-likelihood is computed in the slow way.
_CHECKED = 50


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
