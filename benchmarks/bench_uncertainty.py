"""Standard errors and the bootstrap: time, beside their agreement with values computed in another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks import common
from benchmarks.common import CHECKED_ROWS, WORKLOADS, Workload
from fastem import GaussianMixture
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
