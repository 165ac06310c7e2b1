"""Whole fits, from fixed first parameters to convergence.

``python -m benchmarks.bench_fit`` prints the table of docs/convergence.md.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

from benchmarks import common
from benchmarks.common import CHECKED_ROWS, PROFILE, PROFILES, SEPARATED, WORKLOADS, Workload
from fastem import Batch, GaussianMixture, Subsample

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


class SleepingThreads:
    """Processor time of a fit of few rows with all threads, over that with one: threads that wait are to sleep."""

    def setup(self) -> None:
        self.X = np.random.default_rng(0).normal(size=(10_000, 3))
        self.fit(None)

    def fit(self, n_threads: int | None) -> float:
        began = time.process_time()
        with common.quiet():
            GaussianMixture(6, max_iter=20, tol=0.0, random_state=0, n_threads=n_threads).fit(self.X)
        return time.process_time() - began

    def track_processor_time(self) -> float:
        pairs = [(self.fit(None), self.fit(1)) for _ in range(5)]
        return float(np.median([every / one for every, one in pairs]))

    track_processor_time.unit = "of the time of one thread"


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
            return GaussianMixture(**self.settings, schedule=Batch(bins=compress)).fit(self.X)

    def time_fit(self, compress: int | None) -> None:
        self.fit(compress)

    def track_passes(self, compress: int | None) -> int:
        """Passes over all rows: the scan, the compression, and one E-step for each iteration and the start."""
        return self.fit(compress).n_iter_ + 2 + (compress is not None)

    track_passes.unit = "passes"

    def track_objective_gap(self, compress: int | None) -> float:
        """By how much the plain fit is better."""
        return self.fit(None).lower_bound_ - self.fit(compress).lower_bound_

    track_objective_gap.unit = "nats per row"
    track_objective_gap.bound = 1e-5


class Record(NamedTuple):
    """What it took to come near the best known objective."""

    seconds: float
    passes: int
    gap: float
    error: float


WAYS: dict[str, dict[str, Any]] = {
    "plain": {"schedule": "plain"},
    "accelerated": {"schedule": Batch(subsample=None)},
    "led by samples": {"schedule": Batch(subsample=Subsample())},
}
PEER = "scikit-learn"
# In nats per row.
_NEAR = 1e-5
# What a fit is asked for: how near it is to come, or less where it stops too early with that.
_TOLERANCES = (_NEAR, 1e-6, 1e-7, 1e-9)


def records_of(workload: Workload) -> dict[str, Record]:
    """From the same start, each way as many iterations as bring it near the best that any of them ends at.

    scikit-learn makes the iterations of plain EM; so slow ones are reckoned from a few.
    """
    X = common.rows_of(workload)
    most = 15 * PROFILES[PROFILE].max_iter
    start = {**common.start_settings(workload), "random_state": 0}

    def fit(way: str, tol: float, max_iter: int) -> GaussianMixture:
        settings = {**start, **WAYS[way], "prior": None, "tol": tol, "max_iter": max_iter}
        with common.quiet():
            return GaussianMixture(**settings).fit(X)

    def of_peer(max_iter: int) -> None:
        with common.quiet():
            # Its default start, k-means, runs even where every parameter is given.
            SklearnGaussianMixture(**start, init_params="random_from_data", tol=0.0, max_iter=max_iter).fit(X)

    best = max(fit(way, _TOLERANCES[-1], most).lower_bound_ for way in WAYS)

    def is_near(way: str, tol: float, max_iter: int) -> bool:
        return fit(way, tol, max_iter).lower_bound_ >= best - _NEAR

    found = {}
    for way in WAYS:
        tol = next((tol for tol in _TOLERANCES if is_near(way, tol, most)), _TOLERANCES[-1])
        n_iter = 1 + bisect_left(range(1, most), True, key=partial(is_near, way, tol))
        seconds = common.seconds_per_call(partial(fit, way, tol, n_iter))
        mixture = fit(way, tol, n_iter)
        error = common.log_likelihood_error(X, mixture)
        found[way] = Record(seconds, n_iter + 2, best - mixture.lower_bound_, error)
    few, more = (common.seconds_per_call(lambda n=n: of_peer(n)) for n in (1, 4))
    plain = found["plain"]
    found[PEER] = plain._replace(seconds=max(few, few + (plain.passes - 3) * (more - few) / 3))
    return found


class ToQuality:
    """Components that overlap: what each way takes to come within 1e-5 nats a row of the best known objective."""

    params = ([*WAYS, PEER], [BLURRED, replace(WORKLOADS[2], separation=3.0)])
    param_names = ("way", "workload")

    def setup_cache(self) -> dict[Workload, dict[str, Record]]:
        return {workload: records_of(workload) for workload in self.params[1]}

    setup_cache.timeout = 7200

    def track_seconds(self, records: dict[Workload, dict[str, Record]], way: str, workload: Workload) -> float:
        return records[workload][way].seconds

    track_seconds.unit = "s"

    def track_ratio(self, records: dict[Workload, dict[str, Record]], way: str, workload: Workload) -> float:
        return records[workload][way].seconds / records[workload]["plain"].seconds

    track_ratio.unit = "time / time of plain EM"

    def track_passes(self, records: dict[Workload, dict[str, Record]], way: str, workload: Workload) -> int:
        """Passes over all rows: the scan, and one E-step for each iteration and the start."""
        return records[workload][way].passes

    track_passes.unit = "passes"

    def track_gap(self, records: dict[Workload, dict[str, Record]], way: str, workload: Workload) -> float:
        return records[workload][way].gap

    track_gap.unit = "nats per row"

    def track_log_likelihood_error(
        self, records: dict[Workload, dict[str, Record]], way: str, workload: Workload
    ) -> float:
        return records[workload][way].error

    track_log_likelihood_error.unit = "relative"
    track_log_likelihood_error.bound = 1e-10


def main() -> None:
    """Print the table of docs/convergence.md."""
    print("| problem | way | passes | seconds | time / plain EM's | gap, nats a row |\n|---|---|--:|--:|--:|--:|")
    for workload in ToQuality.params[1]:
        found = records_of(workload)
        for way, (seconds, passes, gap, _) in found.items():
            ratio = seconds / found["plain"].seconds
            print(f"| {workload} | {way} | {passes} | {seconds:.3g} | {ratio:.3g} | {gap:.1e} |", flush=True)


if __name__ == "__main__":
    main()
