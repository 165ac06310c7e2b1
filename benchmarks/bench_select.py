"""The choice of the number of components: all candidates in the same reads, against a loop of fits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import fastem
from benchmarks import bench_hmm, common
from benchmarks.bench_hmm import Sequences
from benchmarks.common import PROFILE, PROFILES, Workload
from fastem import GaussianHMM, GaussianMixture
from fastem.estimators._mixture import BaseMixture

# True components and states, half as many as the largest candidate has.
ROWS = common.sized(Workload(1_000_000, 2, 4))
SEQUENCES = bench_hmm.sized(Sequences(100, 1_000, n_states=4, n_features=2))
SIZES = range(1, 9)


class Select:
    """Components, or states, from one to eight, in memory and from rows that come in pieces."""

    params = (["mixtures", "chains"], ["select", "loop of fits"])
    param_names = ("of", "by")

    def setup(self, of: str, by: str) -> None:
        self.n_reads = 0
        self.sizes = SIZES if PROFILE != "toy" else range(1, 4)
        settings = {"random_state": 0}
        if of == "chains":
            self.X, self.lengths = bench_hmm.rows_of(SEQUENCES)
            self.estimator: BaseMixture = GaussianHMM(n_iter=PROFILES[PROFILE].max_iter, **settings)
        else:
            self.X, self.lengths = common.rows_of(ROWS), None
            self.estimator = GaussianMixture(max_iter=PROFILES[PROFILE].max_iter, **settings)
        self.kind = self.estimator.covariance_type
        few = self.lengths[:10] if self.lengths is not None else None
        rows = self.X[: common.CHECKED_ROWS if few is None else few.sum()]
        with common.quiet():
            fastem.select(rows, self.estimator, n_components=[1, 2], covariance_types=self.kind, lengths=few)

    def pieces(self) -> Iterator[np.ndarray]:
        """The rows, as a source that can be read from its start only."""
        self.n_reads += 1
        return iter(np.array_split(self.X, 16))

    def best_bic(self, by: str, rows: object) -> float:
        with common.quiet():
            if by == "select":
                return fastem.select(
                    rows, self.estimator, n_components=self.sizes, covariance_types=self.kind, lengths=self.lengths
                ).best_score_
            lengths = () if self.lengths is None else (self.lengths,)
            fits = (self.estimator.set_params(n_components=size).fit(rows, *lengths) for size in self.sizes)
            return min(fit.bic(rows, *lengths) for fit in fits)

    def time_best(self, of: str, by: str) -> None:
        self.best_bic(by, self.X)

    def peakmem_best(self, of: str, by: str) -> None:
        self.best_bic(by, self.X)

    def track_reads(self, of: str, by: str) -> int:
        self.n_reads = 0
        self.best_bic(by, self.pieces)
        return self.n_reads

    track_reads.unit = "passes"

    def track_gap(self, of: str, by: str) -> float:
        """By how much the better of both ways has the lower BIC, relative to that of the chosen one."""
        bic = self.best_bic(by, self.X)
        best = min(bic, *(self.best_bic(other, self.X) for other in self.params[1] if other != by))
        return (bic - best) / abs(best)

    track_gap.unit = "relative"
    # A loop of single starts may end in a poor optimum; the chosen criterion must not lose by as much.
    track_gap.bound = 0.1
