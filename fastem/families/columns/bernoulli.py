"""Binary columns: independent Bernoulli distributions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from fastem.families._marginal import Marginal, table_marginal
from fastem.families.columns.base import ColumnParams, Columns, ColumnStats, column_params
from fastem.families.columns.gradients import ProbabilityMoves

# Nearer to zero or one no probability comes: its complement would be zero to rounding.
_LEAST = 0.5 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Bernoulli(ProbabilityMoves, Columns):
    """Zeros and ones, latent class analysis of binary items.

    See Also
    --------
    scipy.stats.bernoulli
    """

    def record(self, values: np.ndarray) -> ColumnParams:
        """The record of probabilities of ones (K, D)."""
        is_certain = (values == 0.0) | (values == 1.0)
        # What is certain takes nothing from the density of what is possible.
        p = np.where(is_certain, 0.5, values)
        return column_params(
            values,
            base=np.where(is_certain, 0.0, np.log1p(-p)).sum(axis=1),
            linear=np.arange(self.n_features),
            slope=logit(p),
            required=np.where(is_certain, values, -1.0),
        )

    def proper(self, values: np.ndarray) -> np.ndarray:
        return np.clip(values, 0.0, 1.0)

    def floored(self, values: np.ndarray) -> np.ndarray:
        return np.clip(values, _LEAST, 1.0 - _LEAST)

    def estimate(self, stats: ColumnStats) -> np.ndarray:
        """Shares of ones."""
        return stats.sums / stats.rows[:, None]

    def to_coordinates(self, values: np.ndarray) -> np.ndarray:
        return np.arcsin(np.sqrt(values))

    def from_coordinates(self, coordinates: np.ndarray) -> np.ndarray:
        return np.sin(coordinates) ** 2

    def moments(self, params: ColumnParams) -> tuple[np.ndarray, np.ndarray]:
        return params.means, params.means * (1.0 - params.means)

    def marginal(self, params: ColumnParams, column: int) -> Marginal:
        p = params.means[:, column]
        return table_marginal(np.stack([1.0 - p, p], axis=1))

    def outside(self, X: np.ndarray) -> np.ndarray:
        return (X != 0) & (X != 1)

    def support(self, column: int) -> str:
        return "0 or 1"

    def sample(self, params: ColumnParams, component: int, n_rows: int, random: np.random.Generator) -> np.ndarray:
        return (random.random((n_rows, self.n_features)) < params.means[component]).astype(np.float64)
