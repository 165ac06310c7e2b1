"""Derivatives of the log-densities of independent columns, with respect to moves of the parameters.

A move adds to the natural parameter of a value: to the logarithm of a rate or of a mean, to the logit of a
probability. Of probabilities that sum to one each but the last is multiplied by exp(move), and the sum made one again.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, logit

# Values so small, in proportion, are zero: EM comes there step by step, and stops on the way.
_ZERO = 1e-8


class ColumnMoves:
    """What the families of independent columns say of moves; a mix-in for `Columns`.

    The order of moves: component by component, those of its values from the first column to the last.
    """

    n_components: int
    # What the values are called.
    shown: ClassVar[str]
    # On which scale an estimate is nearly normal.
    scale: ClassVar[str] = "log"

    # What a family says of itself.

    def values_of(self, params: Any) -> np.ndarray:
        """The family's own parameters (K, V)."""
        raise NotImplementedError

    def values_shape(self) -> tuple[int, int]:
        """Their shape."""
        raise NotImplementedError

    def observations(self, X: np.ndarray) -> np.ndarray:
        """Numbers (N, V) of each row, whose expectations are the values, for one unit of exposure."""
        return X

    def exposures(self, X: np.ndarray) -> np.ndarray:
        """What (N,) multiplies the expectations of each row."""
        return np.ones(len(X))

    def slopes(self, values: np.ndarray) -> np.ndarray:
        """Derivatives (K, V) of the log-density by a move, per unit of an observation above its expectation."""
        return np.ones_like(values)

    def totals(self, stats: Any) -> np.ndarray:
        """Sums (K, V) of the observations of each component."""
        return stats.sums

    def free_values(self) -> np.ndarray:
        """Which values (V,) have a move of their own."""
        return np.ones(self.values_shape()[1], dtype=bool)

    def moved_values(self, values: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """Values (K, V) after moves (K, V)."""
        return values * np.exp(moves)

    def value_changes(self, values: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """What small moves (M, K, V) change in the values."""
        return values * moves

    def at_limit(self, values: np.ndarray) -> np.ndarray:
        """Which of the values (K, V) are at the limit of what they may be."""
        return values < _ZERO * values.max(axis=0)

    def arranged(self, values: np.ndarray) -> Any:
        """Values (..., V) in the shape of the fitted attribute."""
        return values

    # What follows from it.

    def estimates(self, params: Any) -> dict[str, Any]:
        """What is shown of the parameters, by name."""
        return {self.shown: self.arranged(self.values_of(params))}

    def gradients(self, params: Any, X: np.ndarray, resp: np.ndarray) -> np.ndarray:
        """Derivatives (N, P) of the rows' expected log-density, in nats, by moves; rows X (N, D), resp (N, K)."""
        values, free = self.values_of(params), self.free_values()
        expected = self.exposures(X)[:, None, None] * values[:, free]
        above = (self.observations(X)[:, None, free] - expected) * self.slopes(values)[:, free]
        return (resp[:, :, None] * above).reshape(len(X), -1)

    def gradient(self, params: Any, stats: Any) -> np.ndarray:
        """Sum (P,) of the `gradients` of rows, from their expected statistics."""
        values = self.values_of(params)
        above = (self.totals(stats) - stats.exposure[:, None] * values) * self.slopes(values)
        return above[:, self.free_values()].ravel()

    def _of_values(self, moves: np.ndarray) -> np.ndarray:
        """Moves (..., P) as those of all values (..., K, V)."""
        free = self.free_values()
        every = np.zeros((*moves.shape[:-1], self.n_components, free.size))
        every[..., free] = moves.reshape(*moves.shape[:-1], self.n_components, -1)
        return every

    def changes(self, params: Any, moves: np.ndarray) -> dict[str, Any]:
        """What moves (M, P) change in what is shown."""
        return {self.shown: self.arranged(self.value_changes(self.values_of(params), self._of_values(moves)))}

    def moved(self, params: Any, move: np.ndarray) -> Any:
        """Parameters after a move (P,)."""
        return self.params(self.moved_values(self.values_of(params), self._of_values(move)))  # type: ignore[attr-defined]

    def free_moves(self) -> np.ndarray:
        """Which moves (P,) are of parameters that are not fixed: all."""
        return np.ones(self.n_components * int(self.free_values().sum()), dtype=bool)

    def resolution(self, params: Any) -> float:
        """What rounding of the parameters adds to a move."""
        return float(np.finfo(np.float64).eps)

    def owners(self) -> np.ndarray:
        """The component (P,) of which each move moves a parameter."""
        return np.repeat(np.arange(self.n_components), int(self.free_values().sum()))

    def scales(self) -> dict[str, Any]:
        """On which scale the estimate of each entry is nearly normal."""
        return {self.shown: self.arranged(np.full(self.values_shape(), self.scale))}

    def on_limit(self, params: Any) -> list[tuple[int, str]]:
        """The components that have values at their limits, and word of it."""
        wrong = self.at_limit(self.values_of(params)).any(axis=1)
        words = f"has {self.shown} at the limit of what they may be"
        remedy = "Fit with fewer components, or with prior_weight=1 where the estimator has it"
        return [(int(k), f"{words}, where standard errors mean nothing. {remedy}.") for k in np.flatnonzero(wrong)]


class ProbabilityMoves(ColumnMoves):
    """Of probabilities, each between zero and one by itself."""

    shown = "probabilities"
    scale = "logit"

    def moved_values(self, values: np.ndarray, moves: np.ndarray) -> np.ndarray:
        return expit(logit(values) + moves)

    def value_changes(self, values: np.ndarray, moves: np.ndarray) -> np.ndarray:
        return values * (1.0 - values) * moves

    def at_limit(self, values: np.ndarray) -> np.ndarray:
        return (values < _ZERO) | (values > 1.0 - _ZERO)


class ShareMoves(ProbabilityMoves):
    """Of probabilities that sum to one over each of several groups of values."""

    def group_sizes(self) -> np.ndarray:
        """Number of values of each group, in order."""
        raise NotImplementedError

    def free_values(self) -> np.ndarray:
        sizes = self.group_sizes()
        free = np.ones(sizes.sum(), dtype=bool)
        free[np.cumsum(sizes) - 1] = False
        return free

    def moved_values(self, values: np.ndarray, moves: np.ndarray) -> np.ndarray:
        return values * np.exp(moves)

    def value_changes(self, values: np.ndarray, moves: np.ndarray) -> np.ndarray:
        sizes = self.group_sizes()
        means = np.add.reduceat(values * moves, np.cumsum(sizes) - sizes, axis=-1)
        return values * (moves - np.repeat(means, sizes, axis=-1))

    def at_limit(self, values: np.ndarray) -> np.ndarray:
        # The only one of a group is certain, and no estimate.
        sizes = self.group_sizes()
        return super().at_limit(values) & np.repeat(sizes > 1, sizes)
