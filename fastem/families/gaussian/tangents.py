"""Local parameters of a location and a scatter, by which their log-densities are differentiated.

A tangent has the units of its component: it displaces a mean by m standard deviations, mean + L m, and stretches a
covariance, L (I + S) L', where L is the Cholesky factor of the covariance. In these units derivatives are of order
one, whatever the scale and the condition of the covariance. Of the symmetric S the lower triangle counts, row by row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.families.gaussian.conditional import conditionals
from fastem.families.gaussian.priors import Known

# Covariances this near to the variance floor, in proportion, lie on it.
_FLOOR_MARGIN = 1e-6
_COLLAPSED = (
    "has collapsed to covariance_floor, where standard errors mean nothing. Fit with fewer components, another start "
    "or a simpler covariance_type."
)


class Tangents(Known):
    """What the families of a location and a scatter say of tangents.

    The order of tangents: those of the means, component by component, then those of the covariances.
    """

    def weights(self, white: np.ndarray, n_seen: np.ndarray) -> Any:
        """The weight u of whitened rows (N, K, D) in the statistics, (N, K, 1); 1 for all rows of a Gaussian.

        Of so many values (N,) of each row that are there, the others being as expected.
        """
        return 1.0

    def white_axes(self, params: Any) -> np.ndarray:
        """The unit vectors (K, D, D), whitened under each component: the rows of W', with W' W the precision."""
        d = self.n_features
        return self.structure.whitened(params, np.broadcast_to(np.eye(d), (self.n_components, d, d)))

    def gradients(self, params: Any, X: np.ndarray, resp: np.ndarray) -> np.ndarray:
        offsets = X - params.means[:, None, :]
        n_missing = np.isnan(X).sum(axis=1)
        roots = self._fill_in(params, offsets, int(n_missing.max(initial=0)))
        white = np.moveaxis(self.structure.whitened(params, offsets), 0, 1)
        # A row may lie so far from a component of which it is no part that squares overflow.
        white = np.where(resp[:, :, None] > 0, white, 0.0)
        u = self.weights(white, self.n_features - n_missing)
        of_means = (resp[:, :, None] * u * white).reshape(len(X), -1)
        of_covariances = self.structure.gradients(np.sqrt(u) * white, resp)
        # What is missing is spread about what is expected of it.
        for root in roots:
            spread = np.where(resp[:, :, None] > 0, root, 0.0)
            of_covariances = of_covariances + self.structure.gradients(spread, resp)
            of_covariances = of_covariances - self.structure.gradients(np.zeros_like(spread), resp)
        return np.concatenate([of_means, of_covariances.reshape(len(X), -1)], axis=1)

    def _fill_in(self, params: Any, offsets: np.ndarray, most: int) -> np.ndarray:
        """Fill in what is expected of the values, at most `most` of a row, that rows (K, N, D) less the means miss.

        Returns roots (M, N, K, D): the sum of their products with themselves is the whitened covariance of the rest.
        """
        roots = np.zeros((most, offsets.shape[1], offsets.shape[0], offsets.shape[2]))
        for k, axes in enumerate(self.white_axes(params) if most else ()):
            for found in conditionals(offsets[k], axes):
                offsets[k][found.rows[:, None], found.features] = found.means
                of_missing = np.swapaxes(found.roots, 1, 2) @ axes[found.features]
                roots[: found.features.shape[1], found.rows, k] = np.moveaxis(of_missing, 1, 0)
        return roots

    def estimates(self, params: Any) -> dict[str, np.ndarray]:
        return {"means": params.means, "covariances": params.covariances}

    def gradient(self, params: Any, stats: Any) -> np.ndarray:
        stats = stats.about(params.means)
        of_means = self.structure.whitened(params, stats.sx[:, None, :])
        return np.concatenate([of_means.ravel(), self.structure.gradient(params, stats)])

    def jvp(self, params: Any, tangents: np.ndarray) -> dict[str, np.ndarray]:
        n_means = params.means.size
        of_means, scatter_tangent = tangents[:, :n_means].reshape(-1, *params.means.shape), tangents[:, n_means:]
        return {
            "means": self.structure.unwhitened(params, of_means),
            "covariances": self.structure.jvp(params, scatter_tangent),
        }

    def at_tangent(self, params: Any, tangent: np.ndarray) -> Any:
        # A family of columns has another name for the second.
        of_means, of_covariances = self.jvp(params, tangent[None]).values()
        means, covariances = params.means + of_means[0], params.covariances + of_covariances[0]
        # To factor the covariances anew would lose what their condition takes.
        factors = self.structure.factors_at(params, tangent[means.size :])
        return self._params(means, covariances, factors)  # type: ignore[attr-defined]

    def gradient_rounding(self, params: Any) -> float:
        """What rounding of the parameters adds to a tangent: that of the means, next to standard deviations."""
        each = self.structure.whitened(params, params.means[:, None, :] * np.eye(self.n_features))
        return float(np.finfo(np.float64).eps * np.abs(each).sum(axis=1).max())

    def tangent_components(self) -> np.ndarray:
        of_covariances = self.structure.tangent_components(self.n_components)
        n_each = self.structure.n_parameters(self.n_components, self.n_features) // of_covariances.size
        of_means = np.repeat(np.arange(self.n_components), self.n_features)
        return np.concatenate([of_means, np.repeat(of_covariances, n_each)])

    def free_tangents(self) -> np.ndarray:
        free = np.ones(self.tangent_components().size, dtype=bool)
        n_means = self.n_components * self.n_features
        if self.fixed_means is not None:
            free[:n_means] = np.isnan(self.fixed_means).ravel()
        if self.fixed_covariances is not None:
            n_covariances = self.structure.tangent_components(self.n_components).size
            each = np.isnan(self.fixed_covariances).reshape(n_covariances, -1)[:, 0]
            free[n_means:] = np.repeat(each, (free.size - n_means) // each.size)
        return free

    def scales(self) -> dict[str, np.ndarray]:
        k, d = self.n_components, self.n_features
        covariances = np.broadcast_to(self.structure.scales(d), self.structure.shape(k, d))
        return {"means": np.full((k, d), "identity"), "covariances": covariances}

    def at_boundary(self, params: Any) -> list[tuple[int, str]]:
        lifted = self.structure.floored((1.0 - _FLOOR_MARGIN) * params.covariances, self.variance_floor)[2]
        return [(int(k), _COLLAPSED) for k in self.structure.tangent_components(self.n_components)[lifted]]


def symmetric_of(entries: np.ndarray, n_features: int) -> np.ndarray:
    """Symmetric matrices (..., D, D) of lower triangles."""
    rows, columns = np.tril_indices(n_features)
    matrices = np.empty((*entries.shape[:-1], n_features, n_features))
    matrices[..., rows, columns] = entries
    matrices[..., columns, rows] = entries
    return matrices


def scatter_gradients(white: np.ndarray, resp: np.ndarray) -> np.ndarray:
    """Derivatives (N, K, D (D + 1) / 2) of resp * log-density by the S of each component."""
    rows, columns = np.tril_indices(white.shape[-1])
    on_diagonal = rows == columns
    # An entry off the diagonal stands for two of the matrix.
    return (white[..., rows] * white[..., columns] - on_diagonal) * np.where(on_diagonal, 0.5, 1.0) * resp[:, :, None]


def scatter_gradient(white_scatter: np.ndarray, n: np.ndarray) -> np.ndarray:
    """The same summed over rows, (..., D (D + 1) / 2), of the sums of resp * white white' and of resp, `n` (...)."""
    unit = np.eye(white_scatter.shape[-1])
    matrices = (white_scatter - np.multiply.outer(n, unit)) * (1.0 - 0.5 * unit)
    return matrices[..., *np.tril_indices(len(unit))]


def factors_at(factors: np.ndarray, scatter_tangent: np.ndarray) -> np.ndarray:
    """Lower triangular inverse factors (..., D, D) of L (I + S) L', from those of L L' and the lower triangles of S."""
    n_features = factors.shape[-1]
    return np.linalg.solve(np.linalg.cholesky(np.eye(n_features) + symmetric_of(scatter_tangent, n_features)), factors)


def matrix_scales(n_features: int) -> np.ndarray:
    """Scales (D, D) of the entries of a covariance matrix."""
    scales = np.full((n_features, n_features), "identity")
    scales[np.triu_indices(n_features, 1)] = "none"
    np.fill_diagonal(scales, "log")
    return scales
