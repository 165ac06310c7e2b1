"""Whole fits, from fixed first parameters to convergence."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import ClassVar

from benchmarks import common
from benchmarks.common import CHECKED_ROWS, PROFILE, PROFILES, SEPARATED, WORKLOADS, Workload
from fastem import GaussianMixture

# Components whose means are two standard deviations apart, for which EM needs hundreds of passes.
BLURRED = replace(WORKLOADS[0], separation=2.0)


class Fit:
    """A fit to convergence, of components that overlap and of components that do not."""

    params = (WORKLOADS + [replace(workload, separation=SEPARATED) for workload in WORKLOADS],)
    param_names = ("workload",)

    def setup(self, workload: Workload) -> None:
        self.X = common.rows_of(workload)
        self.settings = {**common.start_settings(workload), "max_iter": PROFILES[PROFILE].max_iter}
        with common.quiet():
            GaussianMixture(**{**self.settings, "max_iter": 1}).fit(self.X[:CHECKED_ROWS])

    def fit(self) -> GaussianMixture:
        with common.quiet():
            return GaussianMixture(**self.settings).fit(self.X)

    def time_fit(self, workload: Workload) -> None:
        self.fit()

    def track_n_iter(self, workload: Workload) -> int:
        return self.fit().n_iter_

    track_n_iter.unit = "iterations"

    def track_log_likelihood(self, workload: Workload) -> float:
        return self.fit().lower_bound_

    track_log_likelihood.unit = "nats per row"

    def track_log_likelihood_error(self, workload: Workload) -> float:
        return common.log_likelihood_error(self.X, self.fit())

    track_log_likelihood_error.unit = "relative"
    track_log_likelihood_error.bound = 1e-10


class HeldOut:
    """The time until a fit from k-means++ describes rows that it has not seen, to a hundredth of a nat per row."""

    params = (WORKLOADS,)
    param_names = ("workload",)
    _NEAR: ClassVar = 0.01

    def setup(self, workload: Workload) -> None:
        X = common.rows_of(workload)
        self.X, self.held_out = X[: -len(X) // 10], X[-len(X) // 10 :]
        self.workload = workload
        self.best = self.reached(PROFILES[PROFILE].max_iter)
        # The least number of iterations, because the held-out log-likelihood rises with few exceptions.
        counts = range(1, PROFILES[PROFILE].max_iter + 1)
        self.n_iter = 1 + bisect_left(counts, True, key=lambda n: self.reached(n) >= self.best - self._NEAR)

    def fit(self, max_iter: int) -> GaussianMixture:
        settings = {"covariance_type": self.workload.covariance_type, "tol": 0.0, "random_state": 0}
        with common.quiet():
            return GaussianMixture(self.workload.n_components, max_iter=max_iter, **settings).fit(self.X)

    def reached(self, max_iter: int) -> float:
        return self.fit(max_iter).score(self.held_out)

    def time_to_held_out(self, workload: Workload) -> None:
        self.fit(self.n_iter)

    def track_iterations_to_held_out(self, workload: Workload) -> int:
        return self.n_iter

    track_iterations_to_held_out.unit = "iterations"

    def track_shortfall(self, workload: Workload) -> float:
        """What the parameters of the last iteration are better than those at which the clock stops."""
        return self.best - self.reached(self.n_iter)

    track_shortfall.unit = "nats per row"
    track_shortfall.bound = _NEAR


class FitCompressed:
    """A fit of one huge column to convergence, on all rows from the start or on bins first."""

    params = ([None, 4096],)
    param_names = ("compress",)

    def setup(self, compress: int | None) -> None:
        self.X = common.rows_of(BLURRED)
        # Convergence is the point here: no profile cuts it short.
        self.settings = {**common.start_settings(BLURRED), "max_iter": 2000}
        with common.quiet():
            GaussianMixture(**{**self.settings, "max_iter": 1}).fit(self.X[:CHECKED_ROWS])

    def fit(self, compress: int | None) -> GaussianMixture:
        with common.quiet():
            return GaussianMixture(**self.settings, compress=compress).fit(self.X)

    def time_fit(self, compress: int | None) -> None:
        self.fit(compress)

    def track_passes(self, compress: int | None) -> int:
        """Passes over all rows: the survey, the compression, and one E-step for each iteration and the start."""
        return self.fit(compress).n_iter_ + 2 + (compress is not None)

    track_passes.unit = "passes"

    def track_objective_gap(self, compress: int | None) -> float:
        """By how much the plain fit is better."""
        return self.fit(None).lower_bound_ - self.fit(compress).lower_bound_

    track_objective_gap.unit = "nats per row"
    track_objective_gap.bound = 1e-5


class FitBlurred:
    """Components that overlap: plain, accelerated, and led by samples, each to the same promise of what is left."""

    params = (["plain", "accelerated", "growing"], [BLURRED, replace(WORKLOADS[2], separation=3.0)])
    param_names = ("way", "workload")
    ways: ClassVar = {
        "plain": {"acceleration": None, "growth": False},
        "accelerated": {"growth": False},
        "growing": {"growth": True},
    }

    def setup(self, way: str, workload: Workload) -> None:
        self.X = common.rows_of(workload)
        # Plain EM needs hundreds of iterations and more.
        max_iter = 15 * PROFILES[PROFILE].max_iter
        self.settings = {**common.start_settings(workload), **self.ways[way], "tol": 1e-6, "max_iter": max_iter}
        with common.quiet():
            GaussianMixture(**{**self.settings, "max_iter": 1}).fit(self.X[:CHECKED_ROWS])

    def fit(self) -> GaussianMixture:
        with common.quiet():
            return GaussianMixture(**self.settings).fit(self.X)

    def time_fit(self, way: str, workload: Workload) -> None:
        self.fit()

    def track_passes(self, way: str, workload: Workload) -> int:
        """Passes over all rows."""
        return self.fit().n_iter_ + 2

    track_passes.unit = "passes"

    def track_objective(self, way: str, workload: Workload) -> float:
        return self.fit().lower_bound_

    track_objective.unit = "nats per row"

    def track_log_likelihood_error(self, way: str, workload: Workload) -> float:
        return common.log_likelihood_error(self.X, self.fit())

    track_log_likelihood_error.unit = "relative"
    track_log_likelihood_error.bound = 1e-10
