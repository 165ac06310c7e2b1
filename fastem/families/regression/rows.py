"""What regressions say of rows: which they take, what they expect of them, what they draw."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.families._marginal import Marginal
from fastem.families.regression.tangents import RegressionTangents


class RegressionRows(RegressionTangents):
    """Covariates, responses and sizes of rows; a mix-in for `Regression`."""

    def expected(self, params: Any, covariates: np.ndarray) -> np.ndarray:
        """Mean responses (N, K) of size one, of rows of covariates (N, P)."""
        return self.mean(self.predictors(params, covariates))

    def features(self, X: np.ndarray) -> np.ndarray:
        """Residuals of one regression of all rows, and their products with covariates: what coefficients differ by."""
        covariates, y, size = self.parts_of(X)
        if self.pooled_values is None or self.covariate_means is None:
            return X[:, : self.n_covariates + 1]
        z = (covariates - self.covariate_means) / self.covariate_scale()
        eta = self.pooled_values[0] + (covariates - self.covariate_means) @ self.pooled_values[1:]
        pull, weight, _ = self.weigh(eta, y, size)
        residual = pull / np.sqrt(np.maximum(weight, np.finfo(np.float64).tiny))
        return residual[:, None] * np.concatenate([np.ones((len(X), 1)), z], axis=1)

    def outside(self, X: np.ndarray) -> np.ndarray:
        covariates, y, size = self.parts_of(X)
        wrong = [np.zeros(covariates.shape, dtype=bool), self.is_outside(y, size)[:, None]]
        return np.concatenate([*wrong, ~(size > 0.0)[:, None]][: 2 + self.has_size], axis=1)

    def support(self, column: int) -> str:
        if column < self.n_covariates:
            return "finite"
        return self.kind_of_response if column == self.n_covariates else f"a positive {self.size}"

    def needed(self, X: np.ndarray) -> np.ndarray:
        is_missing = np.isnan(X)
        is_missing[:, self.n_covariates] = False
        # A row without any value says nothing anyway.
        return is_missing & ~np.isnan(X).all(axis=1, keepdims=True)

    def why_needed(self, column: int) -> str:
        return f"misses {'a covariate' if column < self.n_covariates else f'its {self.size}'}"

    def completed(
        self, params: Any, component: int, X: np.ndarray, random: np.random.Generator | None = None
    ) -> np.ndarray:
        filled = np.array(X, dtype=np.float64)
        # Of a row without any value nothing is expected: its covariates are not drawn from anywhere.
        is_known = ~np.isnan(np.delete(filled, self.n_covariates, axis=1)).any(axis=1)
        rows = np.flatnonzero(np.isnan(filled[:, self.n_covariates]) & is_known)
        covariates, _, size = self.parts_of(filled[rows])
        mean = self.expected(params, covariates)[:, component]
        if random is None:
            filled[rows, self.n_covariates] = mean * size
        else:
            filled[rows, self.n_covariates] = self.draw(mean, size, float(params.dispersion[component]), random)
        return filled

    def marginal(self, params: Any, column: int) -> Marginal:
        raise ValueError("A response is distributed in another way in each row, by its covariates: there is no curve.")

    def sample(self, params: Any, component: int, n_rows: int, random: np.random.Generator) -> np.ndarray:
        """Draw rows of one component; covariates are independent normal ones, with the means and scales of the data."""
        centre = self.centre_of(params)[component]
        covariates = centre + self.covariate_scale() * random.standard_normal((n_rows, self.n_covariates))
        mean, size = self.expected(params, covariates)[:, component], np.ones(n_rows)
        y = self.draw(mean, size, float(params.dispersion[component]), random)
        return np.concatenate([covariates, np.column_stack([y, size])[:, : 1 + self.has_size]], axis=1)
