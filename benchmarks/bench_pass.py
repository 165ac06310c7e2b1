"""Single passes over the rows at fixed parameters: the E-step, layouts of rows, float32, components out of reach.

Ratios are taken in one run, a pass of each kind in turn, and so hold on a noisy machine too.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
from scipy.special import logsumexp

from benchmarks import common
from benchmarks.common import CHECKED_ROWS, OVERLAPPING, PROFILE, SEPARATED, WORKLOADS, Workload
from fastem import GaussianMixture
from fastem.families.gaussian import student
from fastem.families.gaussian.location_scatter import STRUCTURES
from fastem.passes.pruning import NO_PRUNING, NoPruning
from fastem.sources import Chunk
from fastem.stats import ExpectedStats

_MIDDLE = WORKLOADS[2]
REGIMES = [replace(workload, covariance_type=name) for workload in WORKLOADS for name in STRUCTURES] + [
    replace(_MIDDLE, order="F"),
    replace(_MIDDLE, dtype="float32"),
    replace(_MIDDLE, dtype="float32", order="F"),
]
MANY_COMPONENTS = [
    common.sized(Workload(500_000, 16, 64, covariance_type, separation=separation))
    for covariance_type in (["diag"] if PROFILE == "toy" else ["diag", "full"])
    for separation in (OVERLAPPING, SEPARATED)
]
FLOAT32 = [
    common.sized(Workload(n_rows, n_features, n_components, covariance_type, dtype="float32"))
    for n_rows, n_features, n_components, covariance_type in (
        (1_000_000, 16, 16, "full"),
        (200_000, 32, 32, "full"),
        (500_000, 16, 64, "diag"),
        (500_000, 16, 16, "spherical"),
    )
]
LAID_OUT = [WORKLOADS[0], _MIDDLE, common.sized(Workload(1_000_000, 16, 16))]


def _mapped(X: np.ndarray, path: Path) -> np.ndarray:
    np.save(path, X)
    return np.load(path, mmap_mode="r")


class EStep:
    """One fused pass that gathers the expected statistics."""

    params = (REGIMES,)
    param_names = ("workload",)

    def setup(self, workload: Workload) -> None:
        self.X = common.rows_of(workload)
        self.checked = self.X[:CHECKED_ROWS]
        self.model, self.start = common.model_of(workload)
        self.e_step(self.checked)

    def e_step(self, X: np.ndarray) -> ExpectedStats:
        return self.model.e_step(self.start, Chunk(X, None, 0))

    def time_e_step(self, workload: Workload) -> None:
        self.e_step(self.X)

    def track_ns_per_row(self, workload: Workload) -> float:
        return 1e9 * common.seconds_per_call(lambda: self.e_step(self.X)) / workload.n_rows

    track_ns_per_row.unit = "ns"

    def track_growth(self, workload: Workload) -> float:
        """1 where the cost is linear in the rows; less where a fixed cost weighs on the smaller pass."""
        quarter = self.X[: workload.n_rows // 4]
        return common.ratio_of_times(lambda: self.e_step(self.X), lambda: self.e_step(quarter)) / 4

    track_growth.unit = "time for each of N rows / time for each of N/4 rows"

    def track_log_likelihood_error(self, workload: Workload) -> float:
        exact = common.mean_log_likelihood(self.checked, common.start_of(workload))
        return common.relative_error(self.e_step(self.checked).objective, exact)

    track_log_likelihood_error.unit = "relative"
    track_log_likelihood_error.bound = 1e-11

    def track_statistics_error(self, workload: Workload) -> float:
        """Error of the weights, means and covariances that an M-step makes of the statistics."""
        params, _ = self.model.m_step(self.e_step(self.checked), self.start)
        exact = common.em_step(self.checked, common.start_of(workload), workload.covariance_type)
        return max(
            common.relative_error(params.latent.weights, exact.weights),
            common.relative_error(params.family.means, exact.means),
            common.relative_error(params.family.covariances, exact.covariances_as(workload.covariance_type)),
        )

    track_statistics_error.unit = "relative"
    track_statistics_error.bound = 1e-10


class StudentT:
    """A pass over t-distributed components, against Gaussian ones at the same locations and scales, without pruning."""

    params = ([replace(workload, covariance_type=name) for workload in WORKLOADS for name in STRUCTURES], [4.0, None])
    param_names = ("workload", "df")

    def setup(self, workload: Workload, df: float | None) -> None:
        self.X = common.rows_of(workload)
        self.gaussian, at = common.model_of(workload)
        k, d = workload.n_components, workload.n_features
        family = student.StudentT(df=df, n_components=k, n_features=d, covariance_type=workload.covariance_type)
        self.heavy = replace(self.gaussian, family=family)
        self.at = at
        self.heavy_at = at._replace(family=family.params(at.family.means, at.family.covariances))

    def gaussian_e_step(self) -> ExpectedStats:
        accumulator = self.gaussian.accumulator(self.at, NO_PRUNING)
        accumulator.add(Chunk(self.X, None, 0))
        return accumulator.total()

    def track_ratio(self, workload: Workload, df: float | None) -> float:
        return common.ratio_of_times(
            lambda: self.heavy.e_step(self.heavy_at, Chunk(self.X, None, 0)), self.gaussian_e_step
        )

    track_ratio.unit = "time of t-distributions / time of Gaussians"

    def track_log_likelihood_error(self, workload: Workload, df: float | None) -> float:
        X, family = self.X[:CHECKED_ROWS], self.heavy.family
        joint = family.log_prob(self.heavy_at.family, X) + self.heavy_at.latent.log_weights[:, None]
        found = self.heavy.e_step(self.heavy_at, Chunk(X, None, 0)).objective
        return common.relative_error(found, logsumexp(joint, axis=0).mean())

    track_log_likelihood_error.unit = "relative"
    track_log_likelihood_error.bound = 1e-11


class Layouts:
    """A pass over rows in a file, in Fortran order or in single precision, against plain ones of equal values."""

    layouts: ClassVar = {
        "memmap": _mapped,
        "F-order": lambda X, path: np.asfortranarray(X),
        "float32": lambda X, path: X.astype(np.float32),
        "float32 F-order": lambda X, path: X.astype(np.float32, order="F"),
    }
    params = (LAID_OUT, list(layouts))
    param_names = ("workload", "layout")

    def setup(self, workload: Workload, layout: str) -> None:
        # Values that single precision holds, so that every layout must give the same bits.
        self.plain = np.asarray(common.rows_of(replace(workload, dtype="float32")), dtype=np.float64)
        self.directory = TemporaryDirectory()
        self.laid_out = self.layouts[layout](self.plain, Path(self.directory.name, "rows.npy"))
        self.model, self.start = common.model_of(workload)

    def teardown(self, workload: Workload, layout: str) -> None:
        del self.laid_out
        self.directory.cleanup()

    def e_step(self, X: np.ndarray) -> ExpectedStats:
        return self.model.e_step(self.start, Chunk(X, None, 0))

    def track_ratio(self, workload: Workload, layout: str) -> float:
        return common.ratio_of_times(lambda: self.e_step(self.laid_out), lambda: self.e_step(self.plain))

    track_ratio.unit = "time in this layout / time of C-ordered float64"

    def track_difference(self, workload: Workload, layout: str) -> float:
        ours, plain = (self.model.m_step(self.e_step(X), self.start)[0].family for X in (self.laid_out, self.plain))
        return max(
            common.relative_error(ours.means, plain.means), common.relative_error(ours.covariances, plain.covariances)
        )

    track_difference.unit = "relative difference of the fitted means and covariances"
    track_difference.bound = 0.0


class Float32:
    """A pass in float32, where its error is bounded, against one in float64, over the same float32 rows."""

    params = (FLOAT32,)
    param_names = ("workload",)

    def setup(self, workload: Workload) -> None:
        self.X = common.rows_of(workload)
        self.model, self.start = common.model_of(workload)

    def e_step(self, float32: bool) -> ExpectedStats:
        accumulator = self.model.accumulator(self.start, NO_PRUNING, float32=float32)
        accumulator.add(Chunk(self.X, None, 0))
        return accumulator.total()

    def track_gain(self, workload: Workload) -> float:
        return common.ratio_of_times(lambda: self.e_step(False), lambda: self.e_step(True))

    track_gain.unit = "time in float64 / time in float32"

    def track_log_likelihood_difference(self, workload: Workload) -> float:
        return abs(self.e_step(True).objective - self.e_step(False).objective)

    track_log_likelihood_difference.unit = "nats a row"
    track_log_likelihood_difference.bound = 1e-6

    def track_difference(self, workload: Workload) -> float:
        ours, exact = (self.model.m_step(self.e_step(each), self.start)[0].family for each in (True, False))
        return max(
            common.relative_error(ours.means, exact.means), common.relative_error(ours.covariances, exact.covariances)
        )

    track_difference.unit = "relative difference of the fitted means and covariances"
    track_difference.bound = 1e-6


class LeftOut:
    """A pass that leaves out the components out of reach, against one that evaluates all of them for every row."""

    params = (MANY_COMPONENTS,)
    param_names = ("workload",)

    def setup(self, workload: Workload) -> None:
        self.X = common.rows_of(workload)
        self.model, self.start = common.model_of(workload)

    def e_step(self, *pruning: NoPruning) -> ExpectedStats:
        accumulator = self.model.accumulator(self.start, *pruning)
        accumulator.add(Chunk(self.X, None, 0))
        return accumulator.total()

    def track_gain(self, workload: Workload) -> float:
        return common.ratio_of_times(lambda: self.e_step(NO_PRUNING), self.e_step)

    track_gain.unit = "time of all components / time of those in reach"

    def track_difference(self, workload: Workload) -> float:
        ours, all_of_them = (
            self.model.m_step(stats, self.start)[0].family for stats in (self.e_step(), self.e_step(NO_PRUNING))
        )
        return max(
            common.relative_error(ours.means, all_of_them.means),
            common.relative_error(ours.covariances, all_of_them.covariances),
        )

    track_difference.unit = "relative difference of the fitted means and covariances"
    track_difference.bound = 1e-12


class PeakMemory:
    """Peak memory of a process that holds the rows: from one size to the next only the data (and labels) may grow."""

    params = ([_MIDDLE, replace(_MIDDLE, n_rows=4 * _MIDDLE.n_rows)],)
    param_names = ("workload",)

    def setup_cache(self) -> dict[Workload, Path]:
        """Files with the rows, so that no other process pays for drawing them; and compiled kernels on disk."""
        files = {workload: Path(f"{workload.n_rows}.npy").absolute() for workload in self.params[0]}
        for workload, file in files.items():
            np.save(file, common.rows_of(workload))
            self.setup(files, workload)
        return files

    def setup(self, files: dict[Workload, Path], workload: Workload) -> None:
        self.X = np.load(files[workload])
        self.settings = {**common.start_settings(workload), **common.PLAIN, "tol": 0.0, "max_iter": 2}
        self.mixture = common.mixture_of(workload)
        self.mixture.predict(self.X[:CHECKED_ROWS])
        self.fit(self.X[:CHECKED_ROWS])

    def fit(self, X: np.ndarray) -> None:
        with common.quiet():
            GaussianMixture(**self.settings).fit(X)

    def peakmem_fit(self, files: dict[Workload, Path], workload: Workload) -> None:
        self.fit(self.X)

    def peakmem_predict(self, files: dict[Workload, Path], workload: Workload) -> None:
        self.mixture.predict(self.X)
