"""What one column looks like under each component: for pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Marginal(NamedTuple):
    """Distribution of one column under each of K components.

    Attributes
    ----------
    density : callable
        density(x) gives the densities, or the probabilities of discrete values, (K, G) of values x (G,).
    means, sds : (K,) ndarray
        About where these are.
    is_discrete : bool
        Whether the values are integers.
    """

    density: Callable[[np.ndarray], np.ndarray]
    means: np.ndarray
    sds: np.ndarray
    is_discrete: bool = False


def normal_marginal(means: np.ndarray, sds: np.ndarray) -> Marginal:
    """Of normal distributions (K,)."""

    def density(x: np.ndarray) -> np.ndarray:
        z = (x - means[:, None]) / sds[:, None]
        return np.exp(-0.5 * z**2) / (np.sqrt(2 * np.pi) * sds[:, None])

    return Marginal(density, means, sds)


def table_marginal(probabilities: np.ndarray) -> Marginal:
    """Of the codes 0, 1, 2, ..., whose probabilities are (K, C)."""
    codes = np.arange(probabilities.shape[1])
    means = probabilities @ codes
    sds = np.sqrt(np.maximum(probabilities @ codes**2 - means**2, 0.0))

    def density(x: np.ndarray) -> np.ndarray:
        inside = (x >= 0) & (x < codes.size)
        return np.where(inside, probabilities[:, np.where(inside, x, 0).astype(np.int64)], 0.0)

    return Marginal(density, means, sds, is_discrete=True)
