"""Gaussian components with one variance each, the same in every direction."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.matrices import floored_inverse_sd, log_norm, proper_inverse_sd
from fastem.families.gaussian.moments import CentralMoments, PivotedMoments
from fastem.families.gaussian.tiles import log_prob_of_scaled, moments_of_four, sum_block
from fastem.passes.blocks import register_family
from fastem.passes.rows import plain


class GaussianSphericalParams(NamedTuple):
    """Shapes: means (K, D); covariances (the variances) and log_norm (K,); inverse_sd (K, D), one value a row."""

    means: np.ndarray
    covariances: np.ndarray
    inverse_sd: np.ndarray
    log_norm: np.ndarray

    def shapes(self, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the fields for k components and d features."""
        return (k, d), (k,), (k, d), (k,)


class GaussianSphericalStats(PivotedMoments):
    """Moments with `sxx` (K,): sums of resp * |x - pivot|^2."""

    __slots__ = ()

    @staticmethod
    def spread(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.einsum("kd,kd->k", a, b)


class GaussianSpherical(Gaussian):
    """Normal rows whose covariance is a multiple of the identity for each component."""

    covariance_type = "spherical"
    stats_class = GaussianSphericalStats

    def covariance_shape(self) -> tuple[int, ...]:
        return (self.n_components,)

    def column_variances(self, covariances: np.ndarray) -> np.ndarray:
        return np.full(self.n_features, covariances[0])

    def covariances_of(self, moments: CentralMoments) -> np.ndarray:
        return super().covariances_of(moments) / self.n_features

    def scatter_of(self, covariances: np.ndarray, n: np.ndarray) -> np.ndarray:
        return super().scatter_of(covariances, n) * self.n_features

    def as_covariances(self, scatter: np.ndarray) -> np.ndarray:
        return scatter / self.n_features

    def factors_of(self, covariances: np.ndarray) -> np.ndarray:
        return proper_inverse_sd(covariances[:, None])[:, 0]

    def precisions_cholesky(self, params: GaussianSphericalParams) -> np.ndarray:
        return params.inverse_sd[:, 0]

    def n_covariance_parameters(self) -> int:
        return self.n_components

    def inner(self, params: GaussianSphericalParams, moments: np.ndarray) -> np.ndarray:
        return self.n_features * moments * np.square(params.inverse_sd[:, 0])

    def _squared_distances(self, params: GaussianSphericalParams, offset: np.ndarray) -> np.ndarray:
        return np.square(offset * params.inverse_sd).sum(axis=1)

    def cholesky(self, params: GaussianSphericalParams) -> np.ndarray:
        return np.sqrt(params.covariances)

    def of_cholesky(self, factors: np.ndarray) -> np.ndarray:
        return np.square(factors)

    def _scale(self) -> np.ndarray:
        scale = super()._scale()
        return np.full_like(scale, scale.mean())

    def _factor_coordinates(self, factors: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return super()._factor_coordinates(factors, scale[:1])

    def _factors_at(self, point: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return super()._factors_at(point, scale[:1])

    def sample(
        self, params: GaussianSphericalParams, component: int, n_rows: int, random: np.random.Generator
    ) -> np.ndarray:
        noise = random.standard_normal((n_rows, self.n_features))
        return params.means[component] + noise * np.sqrt(params.covariances[component])

    def mean_covariance(self, params: GaussianSphericalParams) -> np.ndarray:
        return params.covariances.mean() * np.eye(self.n_features)

    def projected(self, params: GaussianSphericalParams, axes: np.ndarray) -> np.ndarray:
        return params.covariances[:, None, None] * (axes @ axes.T)

    def whitened(self, params: GaussianSphericalParams, centred: np.ndarray) -> np.ndarray:
        return centred * params.inverse_sd[:, None, :]

    def covariance_gradients(self, white: np.ndarray, resp: np.ndarray) -> np.ndarray:
        return 0.5 * resp * (np.square(white).sum(axis=2) - self.n_features)

    def covariance_gradient(self, params: GaussianSphericalParams, stats: GaussianSphericalStats) -> np.ndarray:
        return 0.5 * (stats.sxx * np.square(params.inverse_sd[:, 0]) - self.n_features * stats.n)

    def changes(self, params: GaussianSphericalParams, moves: np.ndarray) -> dict[str, np.ndarray]:
        k, d = self.n_components, self.n_features
        of_means, stretch = moves[:, : k * d].reshape(-1, k, d), moves[:, k * d :]
        return {"means": of_means / params.inverse_sd, "covariances": stretch * params.covariances}

    def stretched_factors(self, params: GaussianSphericalParams, stretch: np.ndarray) -> np.ndarray:
        return params.inverse_sd[:, 0] / np.sqrt(1.0 + stretch)

    def _params(self, means: np.ndarray, covariances: np.ndarray, factors: np.ndarray) -> GaussianSphericalParams:
        inverse_sd = np.repeat(factors[:, None], self.n_features, axis=1)
        arrays = (means, covariances, inverse_sd, log_norm(inverse_sd))
        return GaussianSphericalParams(*map(plain, arrays))

    def _floored(self, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        floor = None if self.variance_floor is None else self.variance_floor.mean(keepdims=True)
        variances, inverse_sd, lifted = floored_inverse_sd(covariances[:, None], floor)
        return variances[:, 0], inverse_sd[:, 0], lifted


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
                family_stats.sxx[lane, k] += squares[p]


register_family(GaussianSphericalParams, log_prob_block=_log_prob_block, accumulate_block=_accumulate_block)
