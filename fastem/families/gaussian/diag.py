"""Gaussian components whose features are independent: one variance for each component and feature."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.matrices import floored_inverse_sd, log_norm, proper_inverse_sd
from fastem.families.gaussian.moments import PivotedMoments
from fastem.families.gaussian.tiles import log_prob_of_scaled, moments_of_four, sum_block
from fastem.passes.blocks import register_family
from fastem.passes.rows import plain


class GaussianDiagParams(NamedTuple):
    """Shapes: means, covariances (the variances) and inverse_sd (K, D); log_norm (K,)."""

    means: np.ndarray
    covariances: np.ndarray
    inverse_sd: np.ndarray
    log_norm: np.ndarray

    def shapes(self, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the fields for k components and d features."""
        return (k, d), (k, d), (k, d), (k,)


class GaussianDiagStats(PivotedMoments):
    """Moments with `sxx` (K, D)."""

    __slots__ = ()

    @staticmethod
    def spread(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a * b


class GaussianDiag(Gaussian):
    """Normal rows with a diagonal covariance matrix for each component."""

    covariance_type = "diag"
    stats_class = GaussianDiagStats

    def covariance_shape(self) -> tuple[int, ...]:
        return self.n_components, self.n_features

    def column_variances(self, covariances: np.ndarray) -> np.ndarray:
        return covariances[0]

    def factors_of(self, covariances: np.ndarray) -> np.ndarray:
        return proper_inverse_sd(covariances)

    def precisions_cholesky(self, params: GaussianDiagParams) -> np.ndarray:
        return params.inverse_sd

    def n_covariance_parameters(self) -> int:
        return self.n_components * self.n_features

    def inner(self, params: GaussianDiagParams, moments: np.ndarray) -> np.ndarray:
        return (moments * np.square(params.inverse_sd)).sum(axis=1)

    def _squared_distances(self, params: GaussianDiagParams, offset: np.ndarray) -> np.ndarray:
        return np.square(offset * params.inverse_sd).sum(axis=1)

    def cholesky(self, params: GaussianDiagParams) -> np.ndarray:
        return np.sqrt(params.covariances)

    def of_cholesky(self, factors: np.ndarray) -> np.ndarray:
        return np.square(factors)

    def sample(
        self, params: GaussianDiagParams, component: int, n_rows: int, random: np.random.Generator
    ) -> np.ndarray:
        noise = random.standard_normal((n_rows, self.n_features))
        return params.means[component] + noise * np.sqrt(params.covariances[component])

    def mean_covariance(self, params: GaussianDiagParams) -> np.ndarray:
        return np.diag(params.covariances.mean(axis=0))

    def projected(self, params: GaussianDiagParams, axes: np.ndarray) -> np.ndarray:
        return (axes * params.covariances[:, None, :]) @ axes.T

    def whitened(self, params: GaussianDiagParams, centred: np.ndarray) -> np.ndarray:
        return centred * params.inverse_sd[:, None, :]

    def covariance_gradients(self, white: np.ndarray, resp: np.ndarray) -> np.ndarray:
        return 0.5 * resp[:, :, None] * (np.square(white) - 1.0)

    def covariance_gradient(self, params: GaussianDiagParams, stats: GaussianDiagStats) -> np.ndarray:
        return 0.5 * (stats.sxx * np.square(params.inverse_sd) - stats.n[:, None]).ravel()

    def changes(self, params: GaussianDiagParams, moves: np.ndarray) -> dict[str, np.ndarray]:
        of_means, stretch = moves.reshape(-1, 2, self.n_components, self.n_features).swapaxes(0, 1)
        return {"means": of_means / params.inverse_sd, "covariances": stretch * params.covariances}

    def stretched_factors(self, params: GaussianDiagParams, stretch: np.ndarray) -> np.ndarray:
        return params.inverse_sd / np.sqrt(1.0 + stretch.reshape(params.inverse_sd.shape))

    def _params(self, means: np.ndarray, covariances: np.ndarray, factors: np.ndarray) -> GaussianDiagParams:
        return GaussianDiagParams(*map(plain, (means, covariances, factors, log_norm(factors))))

    def _floored(self, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return floored_inverse_sd(covariances, self.variance_floor)


def _log_prob_block(family_params, components, x, log_prob, scratch):
    means, inverse_sd, log_norm = family_params.means, family_params.inverse_sd, family_params.log_norm
    for a in range(components.shape[0]):
        k = components[a]
        log_prob_of_scaled(x, means[k], inverse_sd[k], log_norm[k], log_prob[a])


def _accumulate_block(family_params, components, x, resp, scratch, family_stats, lane):
    means = family_params.means
    n_features = means.shape[1]
    for a in range(components.shape[0]):
        k = components[a]
        family_stats.n[lane, k] += sum_block(resp[a])
        for j in range(0, n_features, 4):
            sums, squares = moments_of_four(x, means[k], resp[a], j)
            for p in range(min(4, n_features - j)):
                family_stats.sx[lane, k, j + p] += sums[p]
                family_stats.sxx[lane, k, j + p] += squares[p]


register_family(GaussianDiagParams, log_prob_block=_log_prob_block, accumulate_block=_accumulate_block)
