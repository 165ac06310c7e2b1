"""Parameters of states that are mixtures: (S, M, ...) as users see them, and one component after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.families.gaussian.family import Gaussian, GaussianGrouped
from fastem.fitting.parameters import proper_params, read_array


def covars_shape(family: Gaussian, counts: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of `covars_` for so many states and components (S, M): tied components of a state have one covariance."""
    counts = counts[:1] if isinstance(family, GaussianGrouped) else counts
    return *counts, *family.covariance_shape()[1:]


def of_components(covars: np.ndarray, family: Gaussian, n_mix: int) -> np.ndarray:
    """Covariances of all components, from those in the shape of `covars_`."""
    if isinstance(family, GaussianGrouped):
        return np.repeat(covars, n_mix, axis=0)
    return covars.reshape(-1, *covars.shape[2:])


def mixed_params(family: Gaussian, counts: tuple[int, ...], params: Any, means: Any, covars: Any) -> Any:
    """Parameters of the family, with `means_` and `covars_` where they are given, and the rest of `params`."""
    shape = *counts, family.n_features
    means = params.means if means is None else read_array("means_", means, shape).reshape(-1, shape[-1])
    if covars is None:
        return proper_params(family, means, params.covariances, "covars_")
    covars = of_components(read_array("covars_", covars, covars_shape(family, counts)), family, counts[1])
    return proper_params(family, means, covars, "covars_")


def shown_of_mixed(family: Gaussian, params: Any, n_states: int) -> tuple[np.ndarray, np.ndarray]:
    """`means_` and `covars_` of so many states."""
    means = params.means.reshape(n_states, -1, params.means.shape[1])
    covars = params.covariances.reshape(n_states, -1, *params.covariances.shape[1:])
    return means, covars[:, 0] if isinstance(family, GaussianGrouped) else covars
