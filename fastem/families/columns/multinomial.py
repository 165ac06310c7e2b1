"""Rows of counts, multinomial given their total, such as words in a document."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastem.families._marginal import Marginal
from fastem.families.columns.base import ColumnParams, Columns, ColumnStats, column_params
from fastem.families.columns.blocks import TOTAL_EXPOSURE
from fastem.families.columns.gradients import ShareMoves


@dataclass(frozen=True, eq=False)
class Multinomial(ShareMoves, Columns):
    """Multinomial counts: the total of each row is taken as given.

    Parameters
    ----------
    n_trials : int
        Total of the rows that are drawn.

    Notes
    -----
    Given their total, independent Poisson counts are multinomial. So a row's total is the exposure of its counts.

    See Also
    --------
    scipy.stats.multinomial
    """

    n_trials: int = 1

    def proper(self, values: np.ndarray) -> np.ndarray:
        """Probabilities (K, D) from any scale; equal ones where all are zero."""
        values = np.where(values.sum(axis=1, keepdims=True) > 0, values, 1.0)
        return values / values.sum(axis=1, keepdims=True)

    def record(self, values: np.ndarray) -> ColumnParams:
        """The record of probabilities (K, D)."""
        probabilities, is_zero = values, values == 0.0
        counted = np.arange(self.n_features)
        return column_params(
            probabilities,
            linear=counted,
            slope=np.log(np.where(is_zero, 1.0, probabilities)),
            required=np.where(is_zero, 0.0, -1.0),
            counted=counted,
            total=probabilities.sum(axis=1),
            exposure=np.array([TOTAL_EXPOSURE]),
        )

    def estimate(self, stats: ColumnStats) -> np.ndarray:
        """Shares of the columns; equal ones for a component whose rows are all empty."""
        return np.where(stats.exposure[:, None] > 0, stats.sums, 1.0)

    def exposures(self, X: np.ndarray) -> np.ndarray:
        return X.sum(axis=1)

    def group_sizes(self) -> np.ndarray:
        return np.array([self.n_features])

    def features(self, X: np.ndarray) -> np.ndarray:
        """Square roots of shares, whose variances are about equal."""
        return np.sqrt(X / np.maximum(X.sum(axis=1, keepdims=True), 1.0))

    def n_parameters(self) -> int:
        return self.n_components * (self.n_features - 1)

    def moments(self, params: ColumnParams) -> tuple[np.ndarray, np.ndarray]:
        """Means and variances (K, D) of rows of one trial."""
        return params.means, params.means * (1.0 - params.means)

    def marginal(self, params: ColumnParams, column: int) -> Marginal:
        raise ValueError("Counts of a given total are distributed in another way in each row: there is no curve.")

    def outside(self, X: np.ndarray) -> np.ndarray:
        return (X < 0) | (np.floor(X) != X)

    def support(self, column: int) -> str:
        return "a count, an integer from 0 up"

    def sample(self, params: ColumnParams, component: int, n_rows: int, random: np.random.Generator) -> np.ndarray:
        p = params.means[component]
        # The last category takes what rounding leaves of the others: it must not be an impossible one.
        possible = np.flatnonzero(p)
        X = np.zeros((n_rows, self.n_features))
        X[:, possible] = random.multinomial(self.n_trials, p[possible] / p.sum(), n_rows)
        return X
