"""Standard errors and the bootstrap: time, beside their agreement with values computed in another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks import common
from benchmarks.common import CHECKED_ROWS, WORKLOADS, Workload
from fastem import GaussianHMM, GaussianMixture, select
from fastem.fitting.bootstrap import Bootstrap as Replicates
from fastem.fitting.information import row_gradients
from fastem.sources import Chunk

# At most some hundred parameters: the work grows with their square.
SMALL = [workload for workload in WORKLOADS if workload.n_features <= 8]


class StandardErrors:
    """Standard errors from the squared gradients of all rows."""

    params = (SMALL,)
    param_names = ("workload",)

    def setup(self, workload: Workload) -> None:
        self.X = common.rows_of(workload)
        self.mixture = common.mixture_of(workload)
        with common.quiet():
            self.errors()

    def errors(self) -> None:
        with common.quiet():
            self.mixture.standard_errors(self.X, max_rows=None)

    def time_standard_errors(self, workload: Workload) -> None:
        self.errors()

    def track_time_in_passes(self, workload: Workload) -> float:
        """Time divided by that of one E-step over the same rows."""
        model, params = self.mixture._model, self.mixture._params
        chunk = Chunk(self.X, None, 0)
        return common.ratio_of_times(self.errors, lambda: model.e_step(params, chunk))

    track_time_in_passes.unit = "E-steps"

    def track_gradient_error(self, workload: Workload) -> float:
        """Difference of the gradients of some rows by the weights from those of SciPy's densities."""
        X = self.X[:CHECKED_ROWS]
        model, params = self.mixture._model, self.mixture._params
        gradients = row_gradients(model, params, np.asarray(X, dtype=np.float64))
        return common.relative_error(gradients[:, : workload.n_components - 1], exact_gradients(X, workload))

    track_gradient_error.unit = "relative"
    track_gradient_error.bound = 1e-9


def exact_gradients(X: np.ndarray, workload: Workload) -> np.ndarray:
    """Derivatives of the log-likelihood of each row by the logits of the weights: responsibility less weight."""
    start = common.start_of(workload)
    joint = common.log_joint(X, start)
    resp = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    return (resp - start.weights)[:, :-1]


class Bootstrap:
    """Refits to randomly weighted rows of one column, of which a sample stands for all."""

    n_replicates = 10

    def setup(self) -> None:
        # Components that overlap more take hundreds of passes for each refit.
        workload = replace(WORKLOADS[0], separation=6.0)
        settings = {**common.start_settings(workload), "tol": 1e-9, "random_state": 0}
        self.X = common.rows_of(workload)
        self.mixture = GaussianMixture(**settings).fit(self.X)
        self.spread = self.mixture.standard_errors(self.X)

    def time_bootstrap(self) -> None:
        self.replicates()

    def replicates(self) -> Replicates:
        return self.mixture.bootstrap(self.X, n_replicates=self.n_replicates)

    def track_difference_from_standard_errors(self) -> float:
        """Largest relative difference of the replicates' spread from the standard errors; by chance some 0.4."""
        found = self.replicates().standard_errors()
        return max(float(np.abs(value / getattr(self.spread, name) - 1.0).max()) for name, value in vars(found).items())

    track_difference_from_standard_errors.unit = "relative"
    track_difference_from_standard_errors.bound = 1.0


class BootstrapOfSequences:
    """Refits of a hidden Markov model to randomly weighted sequences."""

    n_replicates, n_sequences, length = 10, 200, 50

    def setup(self) -> None:
        random = np.random.default_rng(0)
        stays = random.random((self.n_sequences, self.length)) < 0.9
        self.states = ((~stays).cumsum(axis=1) % 2).ravel()
        self.X = (8.0 * self.states + random.normal(size=self.states.size))[:, None]
        self.lengths = np.full(self.n_sequences, self.length)
        self.hmm = GaussianHMM(2, n_init=1, random_state=0).fit(self.X, self.lengths)
        self.replicates()

    def replicates(self) -> Replicates:
        return self.hmm.bootstrap(self.X, self.lengths, n_replicates=self.n_replicates)

    def time_bootstrap(self) -> None:
        self.replicates()

    def track_difference_from_known_states(self) -> float:
        """Relative difference of the errors of means from those of rows whose states are known; by chance some 0.4."""
        found = np.sort(self.replicates().standard_errors().means[:, 0])
        known = np.sort(1.0 / np.sqrt(np.bincount(self.states)))
        return float(np.abs(found / known - 1.0).max())

    track_difference_from_known_states.unit = "relative"
    track_difference_from_known_states.bound = 1.0


class BootstrapTest:
    """The bootstrap likelihood-ratio test of one component more, and of two."""

    def setup(self) -> None:
        random = np.random.default_rng(0)
        self.x = np.concatenate([random.normal(0.0, 1.0, 150), random.normal(6.0, 1.0, 150)])
        self.chosen()

    def chosen(self) -> int:
        terms = {"criterion": "blrt", "covariance_types": "full", "n_replicates": 9, "random_state": 1}
        return select(self.x, n_components=[1, 2, 3], alpha=0.1, **terms).best_estimator_.n_components

    def time_test(self) -> None:
        self.chosen()

    def track_components_too_many(self) -> float:
        return float(abs(self.chosen() - 2))

    track_components_too_many.unit = "components"
    track_components_too_many.bound = 1.0
