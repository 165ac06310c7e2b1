"""Positive columns: independent exponential distributions, such as waiting times."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from fastem.families._marginal import Marginal
from fastem.families.columns.base import HUGE, TINY, ColumnParams, Columns, ColumnStats, column_params
from fastem.stats import Rescue

_LEAST = 4.0 * TINY
# Means this near to the floor, in proportion, lie on it.
_FLOOR_MARGIN = 1e-6


@dataclass(frozen=True, eq=False)
class Exponential(Columns):
    """Exponential distributions, each with its mean.

    Parameters
    ----------
    mean_floor : (D,) ndarray, optional
        Least mean of a component, in units of the data: a component that holds only zeros has no likelihood maximum.

    See Also
    --------
    scipy.stats.expon
    """

    mean_floor: np.ndarray | None = None

    shown = "means"

    def _floor(self) -> Any:
        # The inverse of a mean is finite, too.
        return _LEAST if self.mean_floor is None else self.mean_floor

    def proper(self, values: np.ndarray) -> np.ndarray:
        return np.clip(values, _LEAST, 1.0 / _LEAST)

    def record(self, values: np.ndarray) -> ColumnParams:
        """The record of means (K, D), the inverse rates."""
        means = values
        return column_params(
            means, base=-np.log(means).sum(axis=1), linear=np.arange(self.n_features), slope=-1.0 / means
        )

    def to_coordinates(self, values: np.ndarray) -> np.ndarray:
        return np.log(values)

    def from_coordinates(self, coordinates: np.ndarray) -> np.ndarray:
        return np.exp(np.clip(coordinates, np.log(TINY), np.log(HUGE)))

    def estimate(self, stats: ColumnStats) -> np.ndarray:
        """Means, at least the floor."""
        return np.maximum(stats.sums / stats.rows[:, None], self._floor())

    def slopes(self, values: np.ndarray) -> np.ndarray:
        return 1.0 / values

    def at_limit(self, values: np.ndarray) -> np.ndarray:
        return values <= (1.0 + _FLOOR_MARGIN) * self._floor()

    def collapsed(self, stats: ColumnStats) -> list[Rescue]:
        lifted = np.any(stats.sums / stats.rows[:, None] < self._floor(), axis=1)
        return [
            Rescue(int(k), "collapsed", "its smallest means were lifted to the floor") for k in np.flatnonzero(lifted)
        ]

    def may_stray(self) -> np.ndarray:
        return np.ones(self.n_features, dtype=bool)

    def scaled_to(self, stats: ColumnStats, floor_ratio: float = 1e-10) -> Self:
        """This family with a floor, at `floor_ratio` times the mean of each column, and the mean of its prior."""
        means = stats.sums[0] / stats.rows[0]
        typical = means[means > 0].mean() if np.any(means > 0) else 1.0
        family = super().scaled_to(stats, floor_ratio)
        return replace(family, mean_floor=np.maximum(floor_ratio * np.where(means > 0, means, typical), _LEAST))

    def constraints(self) -> dict[str, np.ndarray]:
        floor = {} if self.mean_floor is None else {"mean_floor": self.mean_floor}
        return {**super().constraints(), **floor}

    def features(self, X: np.ndarray) -> np.ndarray:
        """Roots that make the distribution nearly normal (Wilson & Hilferty 1931), whatever its mean."""
        return np.sqrt(np.sqrt(X))

    def moments(self, params: ColumnParams) -> tuple[np.ndarray, np.ndarray]:
        return params.means, np.square(params.means)

    def marginal(self, params: ColumnParams, column: int) -> Marginal:
        means = params.means[:, column]

        def density(x: np.ndarray) -> np.ndarray:
            return np.where(x >= 0.0, np.exp(-np.maximum(x, 0.0) / means[:, None]) / means[:, None], 0.0)

        return Marginal(density, means, means)

    def outside(self, X: np.ndarray) -> np.ndarray:
        return X < 0

    def support(self, column: int) -> str:
        return "0 or positive"

    def sample(self, params: ColumnParams, component: int, n_rows: int, random: np.random.Generator) -> np.ndarray:
        return random.exponential(params.means[component], (n_rows, self.n_features))
