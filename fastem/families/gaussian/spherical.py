"""One variance for each component, the same in every direction."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.families.gaussian.matrices import log_norm
from fastem.families.gaussian.moments import CentralMoments, Pivoted
from fastem.families.gaussian.structure import Variances


class SphericalMoments(Pivoted):
    """Moments with `sxx` (K,): sums of resp * |x - pivot|^2."""

    __slots__ = ()

    @staticmethod
    def spread(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.einsum("kd,kd->k", a, b)


class Spherical(Variances):
    """Variances (K,). Parameters have the shapes means (K, D); covariances, log_norm (K,); inverse_sd (K, D)."""

    name = "spherical"
    moments = SphericalMoments

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k,)

    def n_parameters(self, k: int, d: int) -> int:
        return k

    def record(self, means: np.ndarray, covariances: np.ndarray, factors: np.ndarray) -> dict[str, np.ndarray]:
        inverse_sd = np.repeat(factors[:, None], means.shape[1], axis=1)
        return dict(zip(self.fields, (means, covariances, inverse_sd, log_norm(inverse_sd)), strict=True))

    def as_scatter(self, covariance: np.ndarray, d: int) -> np.ndarray:
        return covariance * d

    def estimate(self, moments: CentralMoments, d: int) -> np.ndarray:
        return super().estimate(moments, d) / d

    def floored(self, covariances: np.ndarray, floor: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return super().floored(covariances, None if floor is None else floor.mean(keepdims=True))

    def column_variances(self, covariances: np.ndarray, d: int) -> np.ndarray:
        return np.full(d, covariances[0])

    def mean_matrix(self, params: Any) -> np.ndarray:
        return params.covariances.mean() * np.eye(params.means.shape[1])

    def traces(self, params: Any, scatter: np.ndarray) -> np.ndarray:
        return scatter * np.square(params.inverse_sd[:, 0])

    def gradients(self, white: np.ndarray, resp: np.ndarray) -> np.ndarray:
        return 0.5 * resp * (np.square(white).sum(axis=2) - white.shape[2])

    def gradient(self, params: Any, stats: Any) -> np.ndarray:
        return 0.5 * (self.traces(params, stats.sxx) - params.means.shape[1] * stats.n)
