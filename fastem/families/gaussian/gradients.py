"""Derivatives of Gaussian log-densities, with respect to moves of the parameters.

A move has the units of its component: it displaces a mean by m standard deviations, mean + L m, and stretches a
covariance, L (I + S) L', where L is the Cholesky factor of the covariance. In these units derivatives are of order
one, whatever the scale and the condition of the covariance. Of the symmetric S the lower triangle moves, row by row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# Covariances this near to the variance floor, in proportion, lie on it.
_FLOOR_MARGIN = 1e-6
_COLLAPSED = (
    "has collapsed to covariance_floor, where standard errors mean nothing. Fit with fewer components, another start "
    "or a simpler covariance_type."
)


class GaussianMoves:
    """What the Gaussian families say of moves; a mix-in for `Gaussian`.

    The order of moves: those of the means, component by component, then those of the covariances.
    """

    n_components: int
    n_features: int

    # What a family says of itself.

    def whitened(self, params: Any, centred: np.ndarray) -> np.ndarray:
        """Vectors of each component (K, N, D) in its standard deviations, L^-1 x."""
        raise NotImplementedError

    def covariance_gradients(self, white: np.ndarray, resp: np.ndarray) -> np.ndarray:
        """Derivatives (N, ...) by moves of the covariances, of whitened rows (N, K, D) that belong by `resp` (N, K)."""
        raise NotImplementedError

    def covariance_gradient(self, params: Any, stats: Any) -> np.ndarray:
        """The same, summed over the rows of which these are the statistics about the means, as a vector."""
        raise NotImplementedError

    def changes(self, params: Any, moves: np.ndarray) -> dict[str, np.ndarray]:
        """What moves (M, P) change in the means (M, K, D), and in the covariances (M, ...) in their own shape."""
        raise NotImplementedError

    def stretched_factors(self, params: Any, stretch: np.ndarray) -> np.ndarray:
        """Factors P, with P' P the inverse covariance, after moves of the covariances."""
        raise NotImplementedError

    def covariance_owners(self) -> np.ndarray:
        """The components that have a covariance; -1 for one that all of them share."""
        return np.arange(self.n_components)

    def covariance_scales(self) -> np.ndarray:
        """Scale of each entry of a covariance (see `scales`)."""
        return np.array("log")

    # What follows from it.

    def gradients(self, params: Any, X: np.ndarray, resp: np.ndarray) -> np.ndarray:
        """Derivatives (N, P) of the rows' expected log-density, in nats, by moves of the parameters.

        Parameters
        ----------
        params : parameters
        X : (N, D) float64 ndarray
        resp : (N, K) ndarray
        """
        white = np.moveaxis(self.whitened(params, X - params.means[:, None, :]), 0, 1)
        # A row may lie so far from a component of which it is no part that squares overflow.
        white = np.where(resp[:, :, None] > 0, white, 0.0)
        of_means = (resp[:, :, None] * white).reshape(len(X), -1)
        return np.concatenate([of_means, self.covariance_gradients(white, resp).reshape(len(X), -1)], axis=1)

    def estimates(self, params: Any) -> dict[str, np.ndarray]:
        """What is shown of the parameters, by name."""
        return {"means": params.means, "covariances": params.covariances}

    def gradient(self, params: Any, stats: Any) -> np.ndarray:
        """Sum (P,) of the `gradients` of rows, from their expected statistics."""
        stats = stats.about(params.means)
        of_means = self.whitened(params, stats.sx[:, None, :])
        return np.concatenate([of_means.ravel(), self.covariance_gradient(params, stats)])

    def moved(self, params: Any, move: np.ndarray) -> Any:
        """Parameters after a move (P,)."""
        changes = self.changes(params, move[None])
        means, covariances = params.means + changes["means"][0], params.covariances + changes["covariances"][0]
        # To factor the covariances anew would lose what their condition takes.
        factors = self.stretched_factors(params, move[means.size :])
        return self._params(means, covariances, factors)  # type: ignore[attr-defined]

    def resolution(self, params: Any) -> float:
        """What rounding of the parameters adds to a move: that of the means, next to standard deviations."""
        each = self.whitened(params, params.means[:, None, :] * np.eye(self.n_features))
        return float(np.finfo(np.float64).eps * np.abs(each).sum(axis=1).max())

    def owners(self) -> np.ndarray:
        """The component (P,) of which each move moves a parameter; -1 where all components share it."""
        of_means = np.repeat(np.arange(self.n_components), self.n_features)
        of_covariances = self.covariance_owners()
        n_each = self.n_covariance_parameters() // of_covariances.size  # type: ignore[attr-defined]
        return np.concatenate([of_means, np.repeat(of_covariances, n_each)])

    def free_moves(self) -> np.ndarray:
        """Which moves (P,) are of parameters that are not fixed."""
        of_means, of_covariances = self.fixed_means, self.fixed_covariances  # type: ignore[attr-defined]
        free = np.ones(self.owners().size, dtype=bool)
        n_means = self.n_components * self.n_features
        if of_means is not None:
            free[:n_means] = np.isnan(of_means).ravel()
        if of_covariances is not None:
            each = np.isnan(of_covariances).reshape(self.covariance_owners().size, -1)[:, 0]
            free[n_means:] = np.repeat(each, (free.size - n_means) // each.size)
        return free

    def scales(self) -> dict[str, np.ndarray]:
        """On which scale the estimate of each entry is nearly normal: "identity", "log", or "none".

        An entry of no scale repeats another one.
        """
        covariances = np.broadcast_to(self.covariance_scales(), self.covariance_shape())  # type: ignore[attr-defined]
        return {"means": np.full((self.n_components, self.n_features), "identity"), "covariances": covariances}

    def on_limit(self, params: Any) -> list[tuple[int, str]]:
        """The components whose covariances lie on the variance floor, -1 for the one they share, and word of it."""
        lifted = self._floored((1.0 - _FLOOR_MARGIN) * params.covariances)[2]  # type: ignore[attr-defined]
        return [(int(k), _COLLAPSED) for k in self.covariance_owners()[lifted]]


def lower_triangle(matrices: np.ndarray) -> np.ndarray:
    """Entries (..., D (D + 1) / 2) of matrices (..., D, D) on and below the diagonal."""
    rows, columns = np.tril_indices(matrices.shape[-1])
    return matrices[..., rows, columns]


def symmetric_of(entries: np.ndarray, n_features: int) -> np.ndarray:
    """Symmetric matrices (..., D, D) of lower triangles."""
    rows, columns = np.tril_indices(n_features)
    matrices = np.empty((*entries.shape[:-1], n_features, n_features))
    matrices[..., rows, columns] = entries
    matrices[..., columns, rows] = entries
    return matrices


def stretch_gradients(white: np.ndarray, resp: np.ndarray) -> np.ndarray:
    """Derivatives (N, K, D (D + 1) / 2) of resp * log-density by the S of each component."""
    rows, columns = np.tril_indices(white.shape[-1])
    on_diagonal = rows == columns
    # An entry off the diagonal stands for two of the matrix.
    return (white[..., rows] * white[..., columns] - on_diagonal) * np.where(on_diagonal, 0.5, 1.0) * resp[:, :, None]


def stretch_gradient(white_scatter: np.ndarray, n: np.ndarray) -> np.ndarray:
    """The same summed over rows, (..., D (D + 1) / 2), of the sums of resp * white white' and of resp, `n` (...)."""
    unit = np.eye(white_scatter.shape[-1])
    return lower_triangle((white_scatter - np.multiply.outer(n, unit)) * (1.0 - 0.5 * unit))


def stretched(factors: np.ndarray, stretch: np.ndarray) -> np.ndarray:
    """Lower triangular inverse factors (..., D, D) of L (I + S) L', from those of L L' and the lower triangles of S."""
    n_features = factors.shape[-1]
    return np.linalg.solve(np.linalg.cholesky(np.eye(n_features) + symmetric_of(stretch, n_features)), factors)


def matrix_scales(n_features: int) -> np.ndarray:
    """Scales (D, D) of the entries of a covariance matrix."""
    scales = np.full((n_features, n_features), "identity")
    scales[np.triu_indices(n_features, 1)] = "none"
    np.fill_diagonal(scales, "log")
    return scales
