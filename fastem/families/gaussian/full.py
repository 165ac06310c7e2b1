"""Gaussian components, each with a covariance matrix of its own."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.gradients import (
    matrix_scales,
    stretch_gradient,
    stretch_gradients,
    stretched,
    symmetric_of,
)
from fastem.families.gaussian.matrices import (
    floored_whitening,
    log_norm,
    log_triangles,
    proper_whitening,
    symmetric,
    triangles_at,
)
from fastem.families.gaussian.moments import PivotedMoments
from fastem.families.gaussian.small import MAX_SMALL, accumulate_line, accumulate_small, log_prob_line, log_prob_small
from fastem.families.gaussian.tiles import TILE, accumulate_tiled, log_prob_tiled, n_tiles, sum_block, tiles_of
from fastem.passes.blocks import register_family
from fastem.passes.rows import plain


class GaussianFullParams(NamedTuple):
    """Shapes: means (K, D); covariances and whitening (K, D, D); tiles (K, T, 16); log_norm (K,).

    `whitening[k]` is lower triangular, with whitening[k] @ covariances[k] @ whitening[k].T = identity;
    `tiles` is the same in another order (see `tiles_of`).
    """

    means: np.ndarray
    covariances: np.ndarray
    whitening: np.ndarray
    tiles: np.ndarray
    log_norm: np.ndarray

    def shapes(self, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the fields for k components and d features."""
        return (k, d), (k, d, d), (k, d, d), (k, n_tiles(d), TILE * TILE), (k,)


class GaussianFullStats(PivotedMoments):
    """Moments with `sxx` (K, D, D). While they have lanes, only lower triangles are filled."""

    __slots__ = ()

    @staticmethod
    def spread(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a[:, :, None] * b[:, None, :]

    def collapse(self, n_filled: int | None = None) -> Self:
        total = super().collapse(n_filled)
        return total._replace(sxx=symmetric(total.sxx))


class GaussianFull(Gaussian):
    """Multivariate normal rows; one unrestricted covariance matrix for each component."""

    covariance_type = "full"
    stats_class = GaussianFullStats

    def covariance_shape(self) -> tuple[int, ...]:
        return self.n_components, self.n_features, self.n_features

    def unit_covariances(self) -> np.ndarray:
        return np.eye(self.n_features)

    def column_variances(self, covariances: np.ndarray) -> np.ndarray:
        return np.diagonal(covariances[0])

    def factors_of(self, covariances: np.ndarray) -> np.ndarray:
        return proper_whitening(covariances)

    def precisions_cholesky(self, params: GaussianFullParams) -> np.ndarray:
        return np.swapaxes(params.whitening, 1, 2)

    def of_precisions_cholesky(self, factors: np.ndarray) -> np.ndarray:
        inverse = np.linalg.inv(np.triu(factors))
        return symmetric(np.swapaxes(inverse, -1, -2) @ inverse)

    def n_covariance_parameters(self) -> int:
        return self.n_components * self.n_features * (self.n_features + 1) // 2

    def covariance_degrees(self) -> float:
        return self.n_features + 1.0

    def inner(self, params: GaussianFullParams, moments: np.ndarray) -> np.ndarray:
        return np.einsum("kij,kij->k", params.whitening @ moments, params.whitening)

    def _squared_distances(self, params: GaussianFullParams, offset: np.ndarray) -> np.ndarray:
        return np.square(np.einsum("kij,kj->ki", params.whitening, offset)).sum(axis=1)

    def cholesky(self, params: GaussianFullParams) -> np.ndarray:
        return np.linalg.inv(params.whitening)

    def of_cholesky(self, factors: np.ndarray) -> np.ndarray:
        return factors @ np.swapaxes(factors, -1, -2)

    def _factor_coordinates(self, factors: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return log_triangles(factors / scale[:, None])

    def _factors_at(self, point: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return triangles_at(point, self.covariance_shape()) * scale[:, None]

    def sample(
        self, params: GaussianFullParams, component: int, n_rows: int, random: np.random.Generator
    ) -> np.ndarray:
        factor = np.linalg.cholesky(params.covariances[component])
        return params.means[component] + random.standard_normal((n_rows, self.n_features)) @ factor.T

    def mean_covariance(self, params: GaussianFullParams) -> np.ndarray:
        return params.covariances.mean(axis=0)

    def projected(self, params: GaussianFullParams, axes: np.ndarray) -> np.ndarray:
        return axes @ params.covariances @ axes.T

    def whitened(self, params: GaussianFullParams, centred: np.ndarray) -> np.ndarray:
        return centred @ np.swapaxes(params.whitening, 1, 2)

    def covariance_gradients(self, white: np.ndarray, resp: np.ndarray) -> np.ndarray:
        return stretch_gradients(white, resp)

    def covariance_gradient(self, params: GaussianFullParams, stats: GaussianFullStats) -> np.ndarray:
        scatter = params.whitening @ stats.sxx @ np.swapaxes(params.whitening, 1, 2)
        return stretch_gradient(scatter, stats.n).ravel()

    def changes(self, params: GaussianFullParams, moves: np.ndarray) -> dict[str, np.ndarray]:
        k, d = self.n_components, self.n_features
        factors = params.covariances @ np.swapaxes(params.whitening, 1, 2)
        of_means, stretch = moves[:, : k * d].reshape(-1, k, d), moves[:, k * d :].reshape(len(moves), k, -1)
        return {
            "means": np.einsum("kij,mkj->mki", factors, of_means),
            "covariances": symmetric(factors @ symmetric_of(stretch, d) @ np.swapaxes(factors, 1, 2)),
        }

    def stretched_factors(self, params: GaussianFullParams, stretch: np.ndarray) -> np.ndarray:
        return stretched(params.whitening, stretch.reshape(self.n_components, -1))

    def covariance_scales(self) -> np.ndarray:
        return matrix_scales(self.n_features)

    def _params(self, means: np.ndarray, covariances: np.ndarray, factors: np.ndarray) -> GaussianFullParams:
        norm = log_norm(np.diagonal(factors, axis1=1, axis2=2))
        return GaussianFullParams(*map(plain, (means, covariances, factors, tiles_of(factors), norm)))

    def _floored(self, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return floored_whitening(covariances, self.variance_floor)


def _log_prob_block(family_params, components, x, log_prob, scratch):
    means, whitening, log_norm = family_params.means, family_params.whitening, family_params.log_norm
    n_features = means.shape[1]
    if n_features == 1:
        log_prob_line(components, x, means, whitening, log_norm, log_prob)
        return
    for a in range(components.shape[0]):
        k = components[a]
        if n_features <= MAX_SMALL:
            log_prob_small(x, means[k], family_params.tiles[k], log_norm[k], log_prob[a])
        else:
            log_prob_tiled(x, means[k], family_params.tiles[k], log_norm[k], log_prob[a], scratch)


def _accumulate_block(family_params, components, x, resp, scratch, family_stats, lane):
    means, n, sx, sxx = family_params.means, family_stats.n, family_stats.sx, family_stats.sxx
    n_features = means.shape[1]
    if n_features == 1:
        accumulate_line(components, x, means, resp, n[lane], sx[lane], sxx[lane])
        return
    for a in range(components.shape[0]):
        k = components[a]
        n[lane, k] += sum_block(resp[a])
        if n_features <= MAX_SMALL:
            accumulate_small(x, means[k], resp[a], sx[lane, k], sxx[lane, k])
        else:
            accumulate_tiled(x, means[k], resp[a], sx[lane, k], sxx[lane, k], scratch)


register_family(GaussianFullParams, log_prob_block=_log_prob_block, accumulate_block=_accumulate_block)
