"""The choice of the number of components: all candidates in the same reads, against a loop of fits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import fastem
from benchmarks import common
from benchmarks.common import PROFILE, PROFILES, Workload
from fastem import GaussianMixture

# True components, half as many as the largest candidate has.
ROWS = common.sized(Workload(1_000_000, 2, 4))
SIZES = range(1, 9)


class Select:
    """Components from one to eight, in memory and from rows that come in pieces."""

    params = (["select", "loop of fits"],)
    param_names = ("by",)

    def setup(self, by: str) -> None:
        self.X = common.rows_of(ROWS)
        self.n_reads = 0
        self.sizes = SIZES if PROFILE != "toy" else range(1, 4)
        self.settings = {"covariance_types": "full", "max_iter": PROFILES[PROFILE].max_iter, "random_state": 0}
        with common.quiet():
            fastem.select(self.X[: common.CHECKED_ROWS], n_components=[1, 2], **{**self.settings, "max_iter": 1})

    def pieces(self) -> Iterator[np.ndarray]:
        """The rows, as a source that can be read from its start only."""
        self.n_reads += 1
        return iter(np.array_split(self.X, 16))

    def best_bic(self, by: str, rows: object) -> float:
        with common.quiet():
            if by == "select":
                return fastem.select(rows, n_components=self.sizes, **self.settings).best_score_
            shared = {name: value for name, value in self.settings.items() if name != "covariance_types"}
            return min(GaussianMixture(size, **shared).fit(rows).bic(rows) for size in self.sizes)

    def time_best(self, by: str) -> None:
        self.best_bic(by, self.X)

    def track_reads(self, by: str) -> int:
        self.n_reads = 0
        self.best_bic(by, self.pieces)
        return self.n_reads

    track_reads.unit = "passes"

    def track_gap(self, by: str) -> float:
        """By how much the better of both ways has the lower BIC, relative to that of the chosen one."""
        bic = self.best_bic(by, self.X)
        best = min(bic, *(self.best_bic(other, self.X) for other in self.params[0] if other != by))
        return (bic - best) / abs(best)

    track_gap.unit = "relative"
    # A loop of single starts may end in a poor optimum; the chosen criterion must not lose by as much.
    track_gap.bound = 0.1
