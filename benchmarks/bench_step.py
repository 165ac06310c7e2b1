"""What an iteration, and an online update, cost where rows are few: nearly all of it lies between two passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from sklearn.mixture import GaussianMixture as Peer

from benchmarks import common
from fastem import GaussianHMM, GaussianMixture, Mixture

# Components that overlap wholly: an iteration gains little, and there are many of them.
_ROWS = np.random.default_rng(0).normal(size=(150, 4))
_FEW, _MORE = 10, 60


def _seconds_per_iteration(fit: Callable[[int], Any]) -> float:
    """What an iteration more makes a fit longer; `fit` takes the number of iterations."""
    few, more = fit(_FEW).n_iter_, fit(_MORE).n_iter_
    longer = common.seconds_per_call(lambda: fit(_MORE)) - common.seconds_per_call(lambda: fit(_FEW))
    return longer / max(1, more - few)


class Iteration:
    """An iteration on 150 rows of 4 features, with 3 components."""

    params: ClassVar = [["full", "tied", "diag", "spherical"], ["plain", "batch"]]
    param_names: ClassVar = ["covariance_type", "schedule"]

    def fit(self, n_iter: int, covariance_type: str, schedule: str) -> GaussianMixture:
        settings: dict[str, Any] = {"schedule": schedule, "tol": 0.0, "n_init": 1, "random_state": 0}
        with common.quiet():
            return GaussianMixture(3, covariance_type=covariance_type, max_iter=n_iter, **settings).fit(_ROWS)

    def track_seconds(self, covariance_type: str, schedule: str) -> float:
        return _seconds_per_iteration(lambda n_iter: self.fit(n_iter, covariance_type, schedule))

    track_seconds.unit = "seconds"

    def track_ratio_to_scikit_learn(self, covariance_type: str, schedule: str) -> float:
        def peer(n_iter: int) -> Peer:
            settings: dict[str, Any] = {"tol": 0.0, "init_params": "random_from_data", "random_state": 0}
            with common.quiet():
                return Peer(3, covariance_type=covariance_type, max_iter=n_iter, **settings).fit(_ROWS)

        return self.track_seconds(covariance_type, schedule) / _seconds_per_iteration(peer)

    track_ratio_to_scikit_learn.unit = "time of an iteration / time of one of scikit-learn's"


class OtherIteration:
    """An iteration on 150 rows of columns, or of three sequences."""

    params: ClassVar = [["columns", "chain"]]
    param_names: ClassVar = ["model"]

    def fit(self, n_iter: int, model: str) -> Any:
        settings: dict[str, Any] = {"schedule": "plain", "tol": 0.0, "n_init": 1, "random_state": 0}
        with common.quiet():
            if model == "chain":
                return GaussianHMM(3, n_iter=n_iter, **settings).fit(_ROWS, lengths=[50, 50, 50])
            counts = np.floor(np.exp(_ROWS))
            return Mixture("poisson", 3, max_iter=n_iter, **settings).fit(counts)

    def track_seconds(self, model: str) -> float:
        return _seconds_per_iteration(lambda n_iter: self.fit(n_iter, model))

    track_seconds.unit = "seconds"


class Update:
    """`partial_fit` of 2000 rows."""

    def setup(self) -> None:
        self.X = np.random.default_rng(0).normal(size=(2000, 2))
        self.mixture = GaussianMixture(3, random_state=0).partial_fit(self.X)

    def time_partial_fit(self) -> None:
        self.mixture.partial_fit(self.X)

    def track_shortfall(self) -> float:
        """What the distribution of the rows is better than what was learnt from twenty such batches."""
        random = np.random.default_rng(1)
        mixture = GaussianMixture(3, random_state=0)
        for _ in range(20):
            mixture.partial_fit(random.normal(size=self.X.shape))
        return float(-np.mean(np.square(self.X).sum(axis=1)) / 2.0 - np.log(2.0 * np.pi)) - mixture.score(self.X)

    track_shortfall.unit = "nats per row"
    track_shortfall.bound = 0.02
