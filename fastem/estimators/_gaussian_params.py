"""Parameters of Gaussians that users give, checked in their own words."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.estimators._validation import symmetric
from fastem.families.gaussian.location_scatter import LocationScatter


def proper_params(
    family: LocationScatter, means: np.ndarray, covariances: np.ndarray, name: str = "covariances and precisions"
) -> Any:
    """Parameters of a family, from means and covariances that a user gave by this name.

    Raises
    ------
    ValueError
        For matrices that are not symmetric, or not positive definite.
    """
    if family.structure.is_matrix:
        covariances = symmetric(name, covariances)
    try:
        return family.proper_params(means, covariances)
    except np.linalg.LinAlgError as error:
        raise ValueError(f"{name} must be positive definite: {error}.") from None


def inverse(family: LocationScatter, precisions: np.ndarray, name: str = "precisions_init") -> np.ndarray:
    """Covariances, from precisions that a user gave by this name.

    Raises
    ------
    ValueError
    """
    if family.structure.is_matrix:
        precisions = symmetric("precisions_init", precisions)
        try:
            inverse = np.linalg.inv(precisions)
        except np.linalg.LinAlgError:
            raise ValueError(f"{name} must be positive definite; a matrix is singular.") from None
        return 0.5 * (inverse + np.swapaxes(inverse, -1, -2))
    if np.any(precisions <= 0):
        raise ValueError(f"{name} must be positive.")
    return 1.0 / precisions
