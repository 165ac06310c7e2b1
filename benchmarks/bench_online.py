"""Online EM: the time of an update and of an epoch, and what is learnt by then."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from benchmarks import common
from benchmarks.common import CHECKED_ROWS, PROFILE, Workload
from fastem import GaussianMixture
from fastem.schedules.online import OnlineSettings, OnlineState, batch_rows, online_update
from fastem.sources import Chunk

# A plane with three clusters, of which two are elongated: the example of ELKI's EM.
ELKI = common.Parameters(
    np.array([0.5, 0.3, 0.2]),
    np.array([[0.3, 0.3], [0.85, 0.35], [0.45, 0.85]]),
    np.array([np.diag(np.square(sd)) for sd in ([0.09, 0.09], [0.05, 0.1], [0.035, 0.035])]),
)
_ELKI_ROWS = common.sized(Workload(1_000_000, 2, 3)).n_rows

_SCHEDULES = {"online": "online", "batch": "plain"}


class Online:
    """Online EM from a start that knows nothing: a random label for each row."""

    # With few rows an epoch has few updates, and ten epochs are not enough: the toy profile asks less.
    _SHORTFALL: ClassVar = 1.2 if PROFILE == "toy" else 0.084

    def setup(self) -> None:
        random = np.random.default_rng(1)
        component = random.choice(3, size=_ELKI_ROWS, p=ELKI.weights)
        deviations = np.sqrt(np.diagonal(ELKI.covariances, axis1=1, axis2=2))[component]
        self.X = ELKI.means[component] + deviations * random.standard_normal((_ELKI_ROWS, 2))
        self.labels = random.integers(0, 3, _ELKI_ROWS)
        self.fitted = self.fit(1)
        self.state = OnlineState(self.fitted._params)
        self.batch = Chunk(self.X[: batch_rows(3, _ELKI_ROWS)], None, 0)
        self.update()

    def fit(self, n_epochs: int, method: str = "online") -> GaussianMixture:
        settings: dict[str, Any] = {"init_params": self.labels, "max_iter": n_epochs, "tol": 0.0, "random_state": 0}
        with common.quiet():
            return GaussianMixture(3, **common.PLAIN | {"schedule": _SCHEDULES[method]}, **settings).fit(self.X)

    def update(self) -> None:
        online_update(self.fitted._model, self.state, self.batch, OnlineSettings(min_rows=3.0))

    def time_update(self) -> None:
        self.update()

    def time_epoch(self) -> None:
        self.fit(1)

    def track_ratio_to_iteration(self) -> float:
        """Both with what surrounds them: the first pass, the start, the last pass."""
        return common.ratio_of_times(lambda: self.fit(1), lambda: self.fit(1, "batch"))

    track_ratio_to_iteration.unit = "time of a fit of one epoch / time of a fit of one batch iteration"

    def track_log_likelihood(self) -> float:
        """After ten epochs."""
        return self.fit(10).lower_bound_

    track_log_likelihood.unit = "nats per row"

    def track_shortfall(self) -> float:
        """What the true parameters are better than those after ten epochs."""
        return common.mean_log_likelihood(self.X, ELKI) - self.fit(10).lower_bound_

    track_shortfall.unit = "nats per row"
    track_shortfall.bound = _SHORTFALL

    def track_batch_shortfall(self) -> float:
        """The same after ten iterations of batch EM, for comparison."""
        return common.mean_log_likelihood(self.X, ELKI) - self.fit(10, "batch").lower_bound_

    track_batch_shortfall.unit = "nats per row"

    def track_log_likelihood_error(self) -> float:
        return common.log_likelihood_error(self.X, self.fitted)

    track_log_likelihood_error.unit = "relative"
    track_log_likelihood_error.bound = 1e-10


class OnlineWorth:
    """How many iterations of batch EM one epoch of online EM is worth, from one k-means++ start."""

    workload = common.sized(Workload(1_000_000, 3, 6))

    def setup(self) -> None:
        self.X = common.rows_of(self.workload)
        self.fit("batch", 1)

    def fit(self, method: str, max_iter: int) -> GaussianMixture:
        settings: dict[str, Any] = {"max_iter": max_iter, "tol": 0.0, "random_state": 0}
        with common.quiet():
            ways = common.PLAIN | {"schedule": _SCHEDULES[method]}
            return GaussianMixture(self.workload.n_components, **ways, **settings).fit(self.X)

    def track_worth_in_iterations(self) -> int:
        """Iterations that batch EM needs to come as far; the most that are tried, where it does not."""
        batch = self.fit("batch", common.PROFILES[PROFILE].max_iter)
        reached = np.flatnonzero(np.asarray(batch.lower_bounds_) >= self.fit("online", 1).lower_bound_)
        return int(reached[0]) if reached.size else batch.n_iter_

    track_worth_in_iterations.unit = "iterations"

    def track_distance(self) -> float:
        """What the true parameters are better than those after one epoch."""
        reached = common.mean_log_likelihood(self.X[:CHECKED_ROWS], common.parameters_of(self.fit("online", 1)))
        return common.mean_log_likelihood(self.X[:CHECKED_ROWS], common.true_parameters(self.workload)) - reached

    track_distance.unit = "nats per row"
    track_distance.bound = 10.0
