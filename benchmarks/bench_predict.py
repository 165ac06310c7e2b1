"""What a fitted model says of each row: log-likelihoods, labels, probabilities.

Rates are taken in one run, a pass of a fit and a prediction in turn, and so hold on a noisy machine too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks import common
from benchmarks.common import CHECKED_ROWS, WORKLOADS, Workload
from fastem.sources import Chunk


class Predict:
    """Predictions of all rows at once."""

    params = (WORKLOADS,)
    param_names = ("workload",)

    def setup(self, workload: Workload) -> None:
        self.X = common.rows_of(workload)
        self.checked = self.X[:CHECKED_ROWS]
        self.mixture = common.mixture_of(workload)
        self.mixture.predict(self.checked)
        self.model, self.start = common.model_of(workload)

    def rate(self, predict: Callable[[np.ndarray], np.ndarray]) -> float:
        """Rows per second of a prediction, relative to those of a pass of a fit."""
        chunk = Chunk(self.X, None, 0)
        return common.ratio_of_times(lambda: self.model.e_step(self.start, chunk), lambda: predict(self.X))

    def log_joint(self, workload: Workload) -> np.ndarray:
        return common.log_joint(self.checked, common.start_of(workload))

    def time_score_samples(self, workload: Workload) -> None:
        self.mixture.score_samples(self.X)

    def time_predict(self, workload: Workload) -> None:
        self.mixture.predict(self.X)

    def time_predict_proba(self, workload: Workload) -> None:
        self.mixture.predict_proba(self.X)

    def track_score_samples_rate(self, workload: Workload) -> float:
        return self.rate(self.mixture.score_samples)

    track_score_samples_rate.unit = "time of a pass / time of score_samples"

    def track_predict_rate(self, workload: Workload) -> float:
        return self.rate(self.mixture.predict)

    track_predict_rate.unit = "time of a pass / time of predict"

    def track_predict_proba_rate(self, workload: Workload) -> float:
        return self.rate(self.mixture.predict_proba)

    track_predict_proba_rate.unit = "time of a pass / time of predict_proba"

    def track_score_samples_error(self, workload: Workload) -> float:
        exact = np.logaddexp.reduce(self.log_joint(workload), axis=1)
        return common.relative_error(self.mixture.score_samples(self.checked), exact)

    track_score_samples_error.unit = "relative"
    track_score_samples_error.bound = 1e-11

    def track_predict_error(self, workload: Workload) -> float:
        """Largest log-odds by which another component than the predicted one is more probable."""
        joint = self.log_joint(workload)
        predicted = joint[np.arange(len(joint)), self.mixture.predict(self.checked)]
        return float(np.max(joint.max(axis=1) - predicted))

    track_predict_error.unit = "nats"
    track_predict_error.bound = 1e-9

    def track_predict_proba_error(self, workload: Workload) -> float:
        joint = self.log_joint(workload)
        exact = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
        return common.relative_error(self.mixture.predict_proba(self.checked), exact)

    track_predict_proba_error.unit = "relative"
    track_predict_proba_error.bound = 1e-10
