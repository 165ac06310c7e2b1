"""What one column looks like under each component: for pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import betaln


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


def student_marginal(locations: np.ndarray, scales: np.ndarray, df: float) -> Marginal:
    """Of t-distributions (K,) of so many degrees of freedom."""

    def density(x: np.ndarray) -> np.ndarray:
        z = (x - locations[:, None]) / scales[:, None]
        log_norm = -betaln(0.5, 0.5 * df) - 0.5 * np.log(df)
        return np.exp(log_norm - 0.5 * (df + 1.0) * np.log1p(z**2 / df)) / scales[:, None]

    return Marginal(density, locations, scales)


def table_marginal(probabilities: np.ndarray) -> Marginal:
    """Of the codes 0, 1, 2, ..., whose probabilities are (K, C)."""
    codes = np.arange(probabilities.shape[1])
    means = probabilities @ codes
    sds = np.sqrt(np.maximum(probabilities @ codes**2 - means**2, 0.0))

    def density(x: np.ndarray) -> np.ndarray:
        inside = (x >= 0) & (x < codes.size)
        return np.where(inside, probabilities[:, np.where(inside, x, 0).astype(np.int64)], 0.0)

    return Marginal(density, means, sds, is_discrete=True)


def mixed_marginal(components: Marginal, weights: np.ndarray) -> Marginal:
    """Of S states, each a mixture of as many components, which follow each other, with weights (S, M)."""

    def of_states(values: np.ndarray) -> np.ndarray:
        return np.einsum("sm,sm...->s...", weights, values.reshape(*weights.shape, *values.shape[1:]))

    means = of_states(components.means)
    sds = np.sqrt(np.maximum(of_states(components.sds**2 + components.means**2) - means**2, 0.0))
    return Marginal(lambda x: of_states(components.density(x)), means, sds, components.is_discrete)
