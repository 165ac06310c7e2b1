"""Matrix algebra of covariances: factors, floors, triangles."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.linalg import lapack

# Logarithms of standard deviations are no larger, so that variances are numbers.
MOST_LOG = 300.0

LOG_2PI = float(np.log(2.0 * np.pi))

# Next to one, an eigenvalue smaller than this is a sum of rounding errors.
ROUNDING_RATIO = 1e-14


def _least_variances(variances: np.ndarray, floor: np.ndarray | None) -> np.ndarray:
    """The floor (D,); without one, what rounding makes of a zero among variances (K, D)."""
    if floor is not None:
        return floor
    return np.maximum(ROUNDING_RATIO * variances.max(axis=0), np.finfo(np.float64).tiny)


def floored_whitening(covariances: np.ndarray, floor: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariances of at least the floor, and their inverse Cholesky factors.

    Among all covariances S with S - diag(floor) positive semi-definite, the likelihood of a Gaussian
    with sample covariance A is highest where the eigenvalues of A, in units of the floor, are lifted
    to one. So the floor keeps the M-step a maximisation, and the objective never falls.

    Parameters
    ----------
    covariances : (K, D, D) ndarray
        Only the lower triangles are read.
    floor : (D,) ndarray, optional

    Returns
    -------
    covariances : (K, D, D) ndarray
    whitening : (K, D, D) ndarray
        Lower triangular W with W S W' = I.
    lifted : (K,) bool ndarray
    """
    covariances = symmetric(covariances)
    sd = np.sqrt(_least_variances(np.diagonal(covariances, axis1=1, axis2=2), floor))
    unit = sd[:, None] * sd
    scaled = covariances / unit
    whitening = np.stack([_inverse_cholesky(each) for each in scaled])
    lifted = np.zeros(covariances.shape[0], dtype=bool)
    # The squared Frobenius norm of the inverse factor is the sum of the inverse eigenvalues; NaN where there is none.
    is_free = np.einsum("kij,kij->k", whitening, whitening) <= 1.0
    for k in () if is_free.all() else np.flatnonzero(~is_free):
        values, vectors = np.linalg.eigh(scaled[k])
        lifted[k] = values[0] < 1.0
        # Room for rounding: a matrix whose largest eigenvalue is 1e16 keeps no digit of a unit one.
        values = np.maximum(values, max(1.0, ROUNDING_RATIO * values[-1]))
        covariances[k] = symmetric((vectors * values) @ vectors.T * unit)
        whitening[k] = _inverse_factor(values, vectors)
    whitening /= sd
    return covariances, whitening, lifted


def floored_inverse_sd(variances: np.ndarray, floor: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variances (K, D) of at least the floor (D,), their inverse square roots, and which components were lifted."""
    floor = _least_variances(variances, floor)
    lifted = np.any(variances < floor, axis=1)
    variances = np.maximum(variances, floor)
    return variances, 1.0 / np.sqrt(variances), lifted


def proper_inverse_sd(variances: np.ndarray) -> np.ndarray:
    """Inverse square roots of variances (K, D) that a user gave; LinAlgError names a component without a proper one."""
    improper = ~np.all(variances > 0, axis=1)
    if improper.any():
        raise np.linalg.LinAlgError(f"a variance of component {np.argmax(improper)} is not positive")
    return 1.0 / np.sqrt(variances)


def proper_whitening(covariances: np.ndarray) -> np.ndarray:
    """Inverse Cholesky factors (K, D, D) of covariances that a user gave; LinAlgError names one that has none."""
    whitening = np.empty_like(covariances)
    for k, covariance in enumerate(covariances):
        sd = np.sqrt(np.abs(np.diagonal(covariance)))
        if np.all(sd > 0):
            whitening[k] = _inverse_cholesky(covariance / np.outer(sd, sd)) / sd
        if not np.all(sd > 0) or not np.all(np.isfinite(whitening[k])):
            raise np.linalg.LinAlgError(f"the covariance of component {k} is not positive definite")
    return whitening


def _inverse_cholesky(matrix: np.ndarray) -> np.ndarray:
    """Lower triangular inverse of the Cholesky factor; NaN when the matrix is not positive definite."""
    factor, failure = lapack.dpotrf(matrix, lower=1, clean=1)
    if not failure:
        inverse, failure = lapack.dtrtri(factor, lower=1)
    return np.full_like(matrix, np.nan) if failure else inverse


def _inverse_factor(values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Inverse Cholesky factor of vectors @ diag(values) @ vectors.T, for positive values.

    By an orthogonal factorisation of the matrix's square root, whose condition is the root of the
    matrix's own: it cannot fail where Cholesky's would.
    """
    upper = np.asarray(np.linalg.qr(np.sqrt(values)[:, None] * vectors.T, mode="r"))
    lower = upper.T * np.sign(np.diagonal(upper))
    return lapack.dtrtri(lower, lower=1)[0]


def symmetric(matrices: np.ndarray) -> np.ndarray:
    """Matrices (..., D, D) with their lower triangles mirrored to the upper."""
    return np.where(_is_lower(matrices.shape[-1]), matrices, np.swapaxes(matrices, -1, -2))


@lru_cache(maxsize=8)
def _is_lower(n_features: int) -> np.ndarray:
    """Which entries of a matrix (D, D) are on its diagonal, or below."""
    return np.tri(n_features, dtype=bool)


def log_norm(whitening_diagonal: np.ndarray) -> np.ndarray:
    """log of (2 pi)^(-D/2) |covariance|^(-1/2) from the diagonals (..., D) of inverse factors."""
    return np.log(whitening_diagonal).sum(axis=-1) - 0.5 * whitening_diagonal.shape[-1] * LOG_2PI


def log_triangles(factors: np.ndarray) -> np.ndarray:
    """Lower triangles (..., D, D) in one line of numbers, their diagonals by logarithm."""
    place, diagonal = _places_in_triangle(factors.shape[-1])
    lines = factors.reshape(*factors.shape[:-2], -1).take(place, axis=-1)
    lines[..., diagonal] = np.log(lines[..., diagonal])
    return lines.ravel()


def triangles_at(point: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The lower triangles, of the given shape, of which `log_triangles` makes these numbers."""
    place, diagonal = _places_in_triangle(shape[-1])
    lines = point.reshape(*shape[:-2], place.size).copy()
    lines[..., diagonal] = np.exp(np.minimum(np.maximum(lines[..., diagonal], -MOST_LOG), MOST_LOG))
    factors = np.zeros((*shape[:-2], shape[-1] ** 2))
    factors[..., place] = lines
    return factors.reshape(shape)


@lru_cache(maxsize=8)
def _places_in_triangle(n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the entries of a lower triangle stand in a matrix, row by row, and which of them are on the diagonal."""
    row, column = np.tril_indices(n_features)
    return row * n_features + column, np.flatnonzero(row == column)
