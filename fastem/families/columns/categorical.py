"""Columns of categories, in codes 0, 1, 2, …: latent class analysis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastem.families._marginal import Marginal, table_marginal
from fastem.families.columns.base import TINY, ColumnParams, Columns, ColumnStats, column_params
from fastem.families.columns.gradients import ShareMoves


@dataclass(frozen=True, eq=False)
class Categorical(ShareMoves, Columns):
    """Independent categorical distributions.

    Parameters
    ----------
    n_categories : int or (D,) integer ndarray
        Number of categories of each column; its codes are the integers below.

    Notes
    -----
    The probabilities of all columns stand side by side, in lines of as many as there are categories in all.
    """

    n_categories: Any = 2

    @property
    def first_code(self) -> np.ndarray:
        """Where the categories of each column begin, (D + 1,)."""
        sizes = np.broadcast_to(np.asarray(self.n_categories, dtype=np.int64), (self.n_features,))
        return np.concatenate([[0], np.cumsum(sizes)])

    def proper(self, values: np.ndarray) -> np.ndarray:
        """Probabilities (K, S) from any scale for each column; equal ones where all of a column are zero."""
        first = self.first_code
        sizes = np.diff(first)
        totals = np.repeat(np.add.reduceat(values, first[:-1], axis=1), sizes, axis=1)
        return np.where(totals > 0, values, 1.0) / np.where(totals > 0, totals, np.repeat(sizes, sizes))

    def record(self, values: np.ndarray) -> ColumnParams:
        """The record of probabilities (K, S)."""
        logarithms = np.full_like(values, -np.inf)
        np.log(values, out=logarithms, where=values > 0)
        return column_params(
            np.zeros((values.shape[0], self.n_features)),
            coded=np.arange(self.n_features),
            first_code=self.first_code,
            probabilities=values,
            log_probabilities=logarithms,
        )

    def rebuilt(self, params: ColumnParams) -> ColumnParams:
        """Parameters made anew from the probabilities of a record, as they are, alone."""
        given = params.probabilities
        if np.any(given < 0) or not np.allclose(self.proper(given), given, rtol=1e-6, atol=TINY):
            raise ValueError("probabilities must not be negative, and sum to 1 for each component and column.")
        return self.record(given)

    def values_of(self, params: ColumnParams) -> np.ndarray:
        return params.probabilities

    def values_shape(self) -> tuple[int, int]:
        return self.n_components, int(self.first_code[-1])

    def estimate(self, stats: ColumnStats) -> np.ndarray:
        """Shares of the categories."""
        return stats.codes / stats.rows[:, None]

    def features(self, X: np.ndarray) -> np.ndarray:
        """An indicator of each category."""
        first = self.first_code
        return np.concatenate(
            [X[:, j : j + 1] == np.arange(first[j + 1] - first[j]) for j in range(X.shape[1])], axis=1
        )

    def observations(self, X: np.ndarray) -> np.ndarray:
        return self.features(X).astype(np.float64)

    def totals(self, stats: ColumnStats) -> np.ndarray:
        return stats.codes

    def group_sizes(self) -> np.ndarray:
        return np.diff(self.first_code)

    def arranged(self, values: np.ndarray) -> list[np.ndarray]:
        """A table (..., C) for each column."""
        return np.split(values, self.first_code[1:-1], axis=-1)

    def first_look(self, centre: np.ndarray) -> ColumnParams:
        return self.params(np.ones((self.n_components, self.first_code[-1])))

    def constraints(self) -> dict[str, np.ndarray]:
        return {**super().constraints(), "n_categories": np.diff(self.first_code)}

    def n_parameters(self) -> int:
        return self.n_components * int(self.first_code[-1] - self.n_features)

    def moments(self, params: ColumnParams) -> tuple[np.ndarray, np.ndarray]:
        nothing = np.full_like(params.means, np.nan)
        return nothing, nothing

    def marginal(self, params: ColumnParams, column: int) -> Marginal:
        return table_marginal(self.arranged(params.probabilities)[column])

    def outside(self, X: np.ndarray) -> np.ndarray:
        return (X < 0) | (np.diff(self.first_code) <= X) | (np.floor(X) != X)

    def support(self, column: int) -> str:
        return f"a code, an integer from 0 to {np.diff(self.first_code)[column] - 1}"

    def sample(self, params: ColumnParams, component: int, n_rows: int, random: np.random.Generator) -> np.ndarray:
        first = self.first_code
        X = np.empty((n_rows, self.n_features))
        for j in range(self.n_features):
            p = params.probabilities[component, first[j] : first[j + 1]]
            X[:, j] = random.choice(p.size, size=n_rows, p=p / p.sum())
        return X
