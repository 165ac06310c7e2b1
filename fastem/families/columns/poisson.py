"""Counts with Poisson distributions, independent across columns; each row may have an exposure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, xlogy

from fastem.families._marginal import Marginal
from fastem.families.columns.base import ColumnParams, Columns, ColumnStats, column_params
from fastem.families.columns.blocks import NO_EXPOSURE


@dataclass(frozen=True, eq=False)
class Poisson(Columns):
    """Poisson counts.

    Parameters
    ----------
    exposure : bool
        Whether the last column of X is the exposure of the row (time at risk, area, population; positive), by which
        the rates are multiplied. An offset in nats is the logarithm of an exposure. The column is no observation:
        it has no density, and a row that is drawn has exposure one.

    See Also
    --------
    scipy.stats.poisson
    """

    exposure: bool = False

    shown = "rates"

    @property
    def _n_counts(self) -> int:
        return self.n_features - self.exposure

    def proper(self, values: np.ndarray) -> np.ndarray:
        return super().proper(values[:, : self._n_counts])

    def record(self, values: np.ndarray) -> ColumnParams:
        """The record of rates (K, C), for one unit of exposure; the mean of an exposure itself is one."""
        rates, is_zero = values, values == 0.0
        ones = np.ones((values.shape[0], self.n_features - self._n_counts))
        counted = np.arange(self._n_counts)
        return column_params(
            np.concatenate([rates, ones], axis=1),
            linear=counted,
            slope=np.log(np.where(is_zero, 1.0, rates)),
            required=np.where(is_zero, 0.0, -1.0),
            counted=counted,
            total=rates.sum(axis=1),
            exposure=np.array([self._n_counts if self.exposure else NO_EXPOSURE]),
        )

    def values_of(self, params: ColumnParams) -> np.ndarray:
        """Rates (K, number of counts)."""
        return params.means[:, : self._n_counts]

    def values_shape(self) -> tuple[int, int]:
        return self.n_components, self._n_counts

    def estimate(self, stats: ColumnStats) -> np.ndarray:
        """Counts per unit of exposure."""
        return stats.sums / stats.exposure[:, None]

    def observations(self, X: np.ndarray) -> np.ndarray:
        return X[:, : self._n_counts]

    def exposures(self, X: np.ndarray) -> np.ndarray:
        return X[:, -1] if self.exposure else super().exposures(X)

    def may_stray(self) -> np.ndarray:
        # A count says nothing without its exposure.
        return np.full(self.n_features, not self.exposure)

    def features(self, X: np.ndarray) -> np.ndarray:
        """Square roots of rates, whose variances are about equal."""
        return np.sqrt(X[:, : self._n_counts] / (X[:, -1:] if self.exposure else 1.0))

    def n_parameters(self) -> int:
        return self.n_components * self._n_counts

    def moments(self, params: ColumnParams) -> tuple[np.ndarray, np.ndarray]:
        """Means and variances (K, D) for one unit of exposure, which itself does not vary."""
        variances = params.means.copy()
        variances[:, self._n_counts :] = 0.0
        return params.means, variances

    def marginal(self, params: ColumnParams, column: int) -> Marginal:
        if self.exposure:
            raise ValueError("Counts with an exposure are distributed in another way in each row: there is no curve.")
        rates = params.means[:, column]

        def density(x: np.ndarray) -> np.ndarray:
            return np.exp(xlogy(x, rates[:, None]) - rates[:, None] - gammaln(x + 1.0))

        return Marginal(density, rates, np.sqrt(rates), is_discrete=True)

    def outside(self, X: np.ndarray) -> np.ndarray:
        wrong = (X < 0) | (np.floor(X) != X)
        if self.exposure:
            wrong[:, -1] = X[:, -1] <= 0
        return wrong

    def support(self, column: int) -> str:
        return "a positive exposure" if column == self._n_counts else "a count, an integer from 0 up"

    def sample(self, params: ColumnParams, component: int, n_rows: int, random: np.random.Generator) -> np.ndarray:
        X = np.ones((n_rows, self.n_features))
        X[:, : self._n_counts] = random.poisson(params.means[component, : self._n_counts], (n_rows, self._n_counts))
        return X
