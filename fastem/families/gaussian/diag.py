"""Independent features: one variance for each component and feature."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.families.gaussian.matrices import log_norm
from fastem.families.gaussian.moments import Pivoted
from fastem.families.gaussian.structure import Variances


class DiagMoments(Pivoted):
    """Moments with `sxx` (K, D)."""

    __slots__ = ()

    @staticmethod
    def spread(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a * b


class Diag(Variances):
    """Variances (K, D). Parameters have the shapes means, covariances and inverse_sd (K, D); log_norm (K,)."""

    name = "diag"
    moments = DiagMoments

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return k, d

    def record(self, means: np.ndarray, covariances: np.ndarray, factors: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(self.fields, (means, covariances, factors, log_norm(factors)), strict=True))

    def column_variances(self, covariances: np.ndarray, d: int) -> np.ndarray:
        return covariances[0]

    def mean_matrix(self, params: Any) -> np.ndarray:
        return np.diag(params.covariances.mean(axis=0))

    def traces(self, params: Any, scatter: np.ndarray) -> np.ndarray:
        return (scatter * np.square(params.inverse_sd)).sum(axis=1)

    def gradients(self, white: np.ndarray, resp: np.ndarray) -> np.ndarray:
        return 0.5 * resp[:, :, None] * (np.square(white) - 1.0)

    def gradient(self, params: Any, stats: Any) -> np.ndarray:
        return 0.5 * (stats.sxx * np.square(params.inverse_sd) - stats.n[:, None]).ravel()
