"""Parameters that users give: plain arrays of the right shape, or a ValueError in the users' own words."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem._naming import named
from fastem.families.gaussian.location_scatter import LocationScatter
from fastem.given import floats, plain_array

# Of entries of a matrix, relative to the roots of those on the diagonal.
_SYMMETRY_TOL = 1e-5
_TABLE = "(n_components, n_features)"


def numbers(name: str, given: Any, shape: Any) -> np.ndarray:
    """Numbers as float64; an error for what holds none names the shape that is expected, in numbers or in words."""
    if given is None:
        raise ValueError(f"{name} is missing. Give numbers of the shape {shape}.")
    try:
        np.shape(given)
    except ValueError:
        raise ValueError(f"{name} must have the shape {shape}, got lists of different lengths.") from None
    try:
        return floats(given, name)
    except (TypeError, ValueError) as error:
        # Other kinds of these errors take other arguments.
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name} must hold numbers in the shape {shape}: {error}") from None


def read_array(name: str, given: Any, shape: tuple[int, ...], may_miss: bool = False) -> np.ndarray:
    """Finite numbers of a shape, or NaN where some `may_miss`; one feature needs no axis of its own."""
    # Another memory order would compile the kernels again.
    array = np.array(numbers(name, given, shape), order="C")
    one_feature = shape[1:] == (1,) * (len(shape) - 1)
    if array.shape != shape and not (one_feature and array.shape == shape[:1]):
        raise ValueError(f"{name} must have the shape {shape}, got {array.shape}.")
    return array.reshape(shape) if may_miss else _finite(name, array).reshape(shape)


def _finite(name: str, array: np.ndarray) -> np.ndarray:
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must hold finite numbers.")
    return array


def broadcast(name: str, given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Finite numbers of a shape, or of one that NumPy repeats to it."""
    values = numbers(name, given, shape)
    try:
        values = np.array(np.broadcast_to(values, shape), order="C")
    except ValueError:
        raise ValueError(f"{name} must be a number, or have the shape {shape}, got {values.shape}.") from None
    return _finite(name, values)


def table_sizes(name: str, given: Any) -> tuple[int, int]:
    """Numbers of components and of features of parameters (K, D), or (K,) for one feature."""
    shape = numbers(name, given, _TABLE).shape
    if not 1 <= len(shape) <= 2 or 0 in shape:
        raise ValueError(f"{name} must have the shape {_TABLE}, got {shape}.")
    return shape[0], shape[1] if len(shape) == 2 else 1


def share_size(name: str, given: Any) -> int:
    """The number of components whose probabilities (K,) are given."""
    shape = numbers(name, given, "(n_components,)").shape
    if len(shape) != 1 or shape == (0,):
        raise ValueError(f"{name} must have the shape (n_components,), got {shape}.")
    return shape[0]


def read_means(given: Any) -> np.ndarray:
    """Means (K, D) of components whose number they tell; (K,) for one feature."""
    return numbers("means", given, _TABLE).reshape(table_sizes("means", given))


def sizes_of(name: str, given: Any, axes: tuple[str, ...]) -> tuple[int, ...]:
    """The shape of parameters that have just these axes, none of which is empty."""
    wanted = f"({', '.join(axes)})"
    shape = numbers(name, given, wanted).shape
    if len(shape) != len(axes) or 0 in shape:
        raise ValueError(f"{name} must have the shape {wanted}, got {shape}.")
    return shape


def read_weights(given: Any, n_components: int, name: str = "weights") -> np.ndarray:
    """Mixing weights (K,)."""
    weights = read_array(name, given, (n_components,))
    if np.any(weights < 0) or not np.isclose(weights.sum(), 1.0, atol=1e-6):
        raise ValueError(f"{name} must be between 0 and 1 and sum to 1, got {weights.tolist()}.")
    return weights


def read_mask(name: str, given: Any, n_components: int) -> np.ndarray:
    """Which components (K,) are meant by True, False, or a sequence of these."""
    mask = plain_array(given, name)
    if mask.dtype.kind != "b" or mask.shape not in ((), (n_components,)):
        raise ValueError(
            f"{named(f'fixed=Fixed({name}=...)')} must be True, False, or one of these for each of {n_components} "
            "components."
        )
    return np.broadcast_to(mask, (n_components,))


# Gaussians.


def symmetric(name: str, matrices: np.ndarray) -> np.ndarray:
    """Matrices (..., D, D), made exactly symmetric; they may differ from it by the rounding of float32."""
    transposed = np.swapaxes(matrices, -1, -2)
    root = np.sqrt(np.abs(np.diagonal(matrices, axis1=-2, axis2=-1)))
    wrong = np.abs(matrices - transposed) > _SYMMETRY_TOL * root[..., :, None] * root[..., None, :]
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0].tolist())
        *_, row, column = place
        raise ValueError(
            f"{name} must be symmetric, but the entry {(row, column)} is {matrices[place]:g}, and {(column, row)} is "
            f"{transposed[place]:g}. Mend the matrix; where both mean the same, pass the mean of it and its transpose."
        )
    return 0.5 * matrices + 0.5 * transposed


def proper_params(
    family: LocationScatter, means: np.ndarray, covariances: np.ndarray, name: str = "covariances and precisions"
) -> Any:
    """Parameters of a family, from means and from covariances that a user gave by this name."""
    if family.structure.is_matrix:
        covariances = symmetric(name, covariances)
    try:
        return family.proper_params(means, covariances)
    except np.linalg.LinAlgError as error:
        raise ValueError(f"{name} must be positive definite: {error}.") from None


def inverse(family: LocationScatter, precisions: np.ndarray, name: str = "precisions_init") -> np.ndarray:
    """Covariances, from precisions that a user gave by this name."""
    if not family.structure.is_matrix:
        if np.any(precisions <= 0):
            raise ValueError(f"{name} must be positive.")
        return 1.0 / precisions
    try:
        inverse = np.linalg.inv(symmetric(name, precisions))
    except np.linalg.LinAlgError:
        raise ValueError(f"{name} must be positive definite; a matrix is singular.") from None
    return 0.5 * (inverse + np.swapaxes(inverse, -1, -2))


def read_covars(given: Any, family: LocationScatter) -> np.ndarray:
    """Covariances in the family's shape, from any shape that hmmlearn takes or shows.

    Axes of length one may be left out or added, and matrices (K, D, D) stand for whatever they are the matrices of.
    ValueError for covariances that the family does not have.
    """
    shape = family.covariance_shape()
    covars = numbers("covars_", given, shape)
    n_components, n_features = family.n_components, family.n_features
    if covars.shape != shape and covars.shape == (n_components, n_features, n_features):
        covars = _of_matrices(covars, family.covariance_type)
    elif covars.shape == (n_components, n_features) and family.covariance_type == "spherical":
        covars = _of_equal(covars)
    elif np.squeeze(covars).shape == np.squeeze(np.empty(shape)).shape:
        covars = covars.reshape(shape)
    return read_array("covars_", covars, shape)


def _of_matrices(matrices: np.ndarray, covariance_type: str) -> np.ndarray:
    """What a covariance type keeps of matrices (K, D, D), which must hold no more than that."""
    if covariance_type == "tied":
        if not np.array_equal(matrices, np.broadcast_to(matrices[0], matrices.shape)):
            raise ValueError("covars_ holds matrices that differ, but covariance_type='tied' has one. Use 'full'.")
        return matrices[0]
    variances = np.diagonal(matrices, axis1=1, axis2=2)
    if np.any(matrices != variances[:, :, None] * np.eye(matrices.shape[1])):
        raise ValueError(
            f"covars_ holds matrices that are not diagonal, but covariance_type={covariance_type!r} has no covariances "
            "of features. Use 'full'."
        )
    if covariance_type == "diag":
        return variances
    return _of_equal(variances)


def _of_equal(variances: np.ndarray) -> np.ndarray:
    if np.any(variances != variances[:, :1]):
        raise ValueError(
            "covars_ holds variances that differ between features, but covariance_type='spherical' has one. Use 'diag'."
        )
    return variances[:, 0]
