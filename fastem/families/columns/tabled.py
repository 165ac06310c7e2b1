"""Counts of any distribution, by tables: the log-probability of each count, and how often it occurred."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import lambertw

from fastem.families._marginal import Marginal, table_marginal
from fastem.families.columns.coded import Coded

# Beyond the largest count of the data there is room for as many again, and some.
_ROOM = 64
# Steps of central differences in the logarithms of values.
_STEP = 1e-5


class TabledCounts(Coded):
    """Common part of the families of counts whose log-probabilities are no sums of terms.

    A component's statistics are a histogram, which tells all that there is to know: an M-step is exact, whatever the
    distribution. A family says its log-probabilities, its moments, and what a histogram is best described by.
    """

    size_name: ClassVar[str] = "n_counts"
    unknown_size: ClassVar[int] = 256
    coordinate = "log"
    spread = staticmethod(np.sqrt)

    # What a family says of itself; counts are (S,).

    def log_table(self, counts: np.ndarray, *values: np.ndarray) -> np.ndarray:
        """Log-probabilities (K, S) of counts, of values (K, 1) each."""
        raise NotImplementedError

    def of_histogram(self, shares: np.ndarray) -> tuple[np.ndarray, ...]:
        """The values (K,) of highest likelihood of counts that have these shares (K, S)."""
        raise NotImplementedError

    # What follows from it.

    @classmethod
    def size_for(cls, highest: Any) -> Any:
        return 2 * np.asarray(highest) + _ROOM

    def slopes(self, *values: np.ndarray) -> np.ndarray:
        sizes = self.group_sizes()
        tables = [
            self.log_table(np.arange(size), *(value[:, j : j + 1] for value in values)) for j, size in enumerate(sizes)
        ]
        return np.maximum(np.concatenate(tables, axis=1), -1e300)

    def averages(self, *values: np.ndarray) -> np.ndarray:
        """Probabilities of all counts; what lies beyond the table has those of its last count."""
        tables = np.exp(self.slopes(*values))
        ends = self.first_code[1:]
        beyond = np.maximum(1.0 - np.add.reduceat(tables, self.first_code[:-1], axis=1), 0.0)
        tables[:, ends - 1] += beyond
        return tables

    def estimate(self, shares: np.ndarray) -> Any:
        of_columns = [self.of_histogram(part) for part in np.split(shares, self.first_code[1:-1], axis=1)]
        return tuple(np.stack(each, axis=1) for each in zip(*of_columns, strict=True))

    def gradients(self, params: Any, X: np.ndarray, resp: np.ndarray) -> np.ndarray:
        by_values = self._slopes_by_values(params.values)
        codes = np.where(np.isnan(X), 0.0, X).astype(np.int64) + self.first_code[:-1]
        each = [np.where(np.isnan(X)[:, None], 0.0, np.swapaxes(by[:, codes], 0, 1)) for by in by_values]
        return (resp[:, :, None] * np.concatenate(each, axis=2)).reshape(len(X), -1)

    def gradient(self, params: Any, stats: Any) -> np.ndarray:
        starts = self.first_code[:-1]
        sums = [np.add.reduceat(stats.sums * by, starts, axis=1) for by in self._slopes_by_values(params.values)]
        return np.concatenate(sums, axis=1).ravel()

    def gradient_rounding(self, params: Any) -> float:
        return float(np.finfo(np.float64).eps) / _STEP

    def _slopes_by_values(self, values: np.ndarray) -> list[np.ndarray]:
        """Derivatives (K, S) of the log-probabilities by the logarithms of the values of each name."""
        own = self.by_name(values)
        found = []
        for name in range(len(own)):
            above, below = (
                self.slopes(*(value * np.exp(step) if n == name else value for n, value in enumerate(own)))
                for step in (_STEP, -_STEP)
            )
            found.append((above - below) / (2.0 * _STEP))
        return found

    def curve(self, values: np.ndarray, column: int) -> Marginal:
        own = [value[:, column, None] for value in self.by_name(values)]
        return table_marginal(np.exp(self.log_table(np.arange(self.group_sizes()[column]), *own)))

    def support(self, column: int) -> str:
        most = self.group_sizes()[column] - 1
        return f"a count, an integer from 0 to {most}, as far as its table goes (n_counts={most + 1})"


def mean_and_tails(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means (K,), and the shares (K, S) of what is larger than each count."""
    tails = np.cumsum(shares[:, ::-1], axis=1)[:, ::-1] - shares
    return shares @ np.arange(shares.shape[1]), np.maximum(tails, 0.0)


def rate_of_positive(mean: np.ndarray) -> np.ndarray:
    """The rate of Poisson counts of which those that are positive have this mean, more than one."""
    mean = np.maximum(mean, 1.0 + 1e-9)
    return np.maximum(mean + lambertw(-mean * np.exp(-mean)).real, 1e-9)
