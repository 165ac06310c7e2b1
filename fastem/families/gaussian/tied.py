"""Gaussian components that share one covariance matrix."""

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
from fastem.families.gaussian.moments import CentralMoments, PivotedMoments
from fastem.families.gaussian.small import MAX_SMALL, accumulate_small
from fastem.families.gaussian.tiles import (
    TILE,
    accumulate_tiled,
    centre_block,
    log_prob_of_white,
    n_tiles,
    padded,
    sum_block,
    tiles_of,
    whiten,
)
from fastem.passes.blocks import register_family
from fastem.passes.rows import plain


class GaussianTiedParams(NamedTuple):
    """Shapes: means, white_means (K, D); covariances, whitening (D, D); tiles (T, 16); centre (D,); log_norm (1,).

    `whitening` is lower triangular, with whitening @ covariances @ whitening.T = identity, and
    white_means[k] = whitening @ (means[k] - centre), so that rows are whitened once for all components.
    """

    means: np.ndarray
    covariances: np.ndarray
    whitening: np.ndarray
    tiles: np.ndarray
    log_norm: np.ndarray
    centre: np.ndarray
    white_means: np.ndarray

    def shapes(self, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the fields for k components and d features."""
        return (k, d), (d, d), (d, d), (n_tiles(d), TILE * TILE), (1,), (d,), (k, d)


class GaussianTiedStats(PivotedMoments):
    """Moments with one `sxx` (D, D), summed over components. With lanes, only the lower triangle is filled."""

    __slots__ = ()

    @staticmethod
    def spread(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a.T @ b

    def by_component(self, factors: np.ndarray) -> Self:
        """Scale each component; what all share, the scatter about the means, by the mean factor of the rows.

        The components have one covariance, so that each of them is expected to give scatter in proportion
        to its rows. The covariance of an M-step stays as it was.
        """
        scaled = self._replace(n=self.n * factors, sx=self.sx * factors[:, None])
        total = self.n.sum()
        mean_factor = scaled.n.sum() / total if total > 0 else 1.0
        offset = self.sx / np.where(self.n > 0, self.n, 1.0)[:, None]
        about_means = self.sxx - self.spread(self.sx, offset)
        return scaled._replace(sxx=mean_factor * about_means + self.spread(scaled.sx, offset))

    def collapse(self, n_filled: int | None = None) -> Self:
        total = super().collapse(n_filled)
        return total._replace(sxx=symmetric(total.sxx))


class GaussianTied(Gaussian):
    """Multivariate normal rows; one covariance matrix shared by all components."""

    covariance_type = "tied"
    stats_class = GaussianTiedStats

    def covariance_shape(self) -> tuple[int, ...]:
        return self.n_features, self.n_features

    def unit_covariances(self) -> np.ndarray:
        return np.eye(self.n_features)

    def column_variances(self, covariances: np.ndarray) -> np.ndarray:
        return np.diagonal(covariances)

    def covariances_of(self, moments: CentralMoments) -> np.ndarray:
        return moments.scatter / moments.total

    def scatter_of(self, covariances: np.ndarray, n: np.ndarray) -> np.ndarray:
        return covariances * n.sum()

    def factors_of(self, covariances: np.ndarray) -> np.ndarray:
        return proper_whitening(covariances[None])[0]

    def precisions_cholesky(self, params: GaussianTiedParams) -> np.ndarray:
        return params.whitening.T

    def of_precisions_cholesky(self, factors: np.ndarray) -> np.ndarray:
        inverse = np.linalg.inv(np.triu(factors))
        return symmetric(np.swapaxes(inverse, -1, -2) @ inverse)

    def n_covariance_parameters(self) -> int:
        return self.n_features * (self.n_features + 1) // 2

    def is_shared(self) -> bool:
        return True

    def _one(self, covariances: np.ndarray) -> np.ndarray:
        return covariances

    def as_single(self, covariance: np.ndarray) -> np.ndarray:
        return covariance

    def covariance_degrees(self) -> float:
        return self.n_features + 1.0

    def inner(self, params: GaussianTiedParams, moments: np.ndarray) -> np.ndarray:
        return np.vdot(params.whitening @ moments, params.whitening)

    def _squared_distances(self, params: GaussianTiedParams, offset: np.ndarray) -> np.ndarray:
        return np.square(offset @ params.whitening.T).sum(axis=1)

    def cholesky(self, params: GaussianTiedParams) -> np.ndarray:
        return np.linalg.inv(params.whitening)

    def of_cholesky(self, factors: np.ndarray) -> np.ndarray:
        return factors @ np.swapaxes(factors, -1, -2)

    def _factor_coordinates(self, factors: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return log_triangles(factors / scale[:, None])

    def _factors_at(self, point: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return triangles_at(point, self.covariance_shape()) * scale[:, None]

    def sample(
        self, params: GaussianTiedParams, component: int, n_rows: int, random: np.random.Generator
    ) -> np.ndarray:
        factor = np.linalg.cholesky(params.covariances)
        return params.means[component] + random.standard_normal((n_rows, self.n_features)) @ factor.T

    def mean_covariance(self, params: GaussianTiedParams) -> np.ndarray:
        return params.covariances

    def projected(self, params: GaussianTiedParams, axes: np.ndarray) -> np.ndarray:
        return np.broadcast_to(axes @ params.covariances @ axes.T, (self.n_components, len(axes), len(axes)))

    def whitened(self, params: GaussianTiedParams, centred: np.ndarray) -> np.ndarray:
        return centred @ params.whitening.T

    def covariance_gradients(self, white: np.ndarray, resp: np.ndarray) -> np.ndarray:
        # One component after the other: together they would fill K times the memory of the sum.
        each = [slice(k, k + 1) for k in range(self.n_components)]
        return sum(stretch_gradients(white[:, k], resp[:, k]) for k in each)  # type: ignore[return-value]

    def covariance_gradient(self, params: GaussianTiedParams, stats: GaussianTiedStats) -> np.ndarray:
        return stretch_gradient(params.whitening @ stats.sxx @ params.whitening.T, stats.n.sum())

    def changes(self, params: GaussianTiedParams, moves: np.ndarray) -> dict[str, np.ndarray]:
        k, d = self.n_components, self.n_features
        factor = params.covariances @ params.whitening.T
        of_means, stretch = moves[:, : k * d].reshape(-1, k, d), moves[:, k * d :]
        return {
            "means": of_means @ factor.T,
            "covariances": symmetric(factor @ symmetric_of(stretch, d) @ factor.T),
        }

    def stretched_factors(self, params: GaussianTiedParams, stretch: np.ndarray) -> np.ndarray:
        return stretched(params.whitening, stretch)

    def covariance_owners(self) -> np.ndarray:
        return np.array([-1])

    def covariance_scales(self) -> np.ndarray:
        return matrix_scales(self.n_features)

    def _params(self, means: np.ndarray, covariances: np.ndarray, factors: np.ndarray) -> GaussianTiedParams:
        centre = means.mean(axis=0)
        white_means = (means - centre) @ factors.T
        arrays = (
            means,
            covariances,
            factors,
            tiles_of(factors),
            log_norm(np.diagonal(factors)[None]),
            centre,
            white_means,
        )
        return GaussianTiedParams(*map(plain, arrays))

    def _floored(self, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        covariances, whitening, lifted = floored_whitening(covariances[None], self.variance_floor)
        return covariances[0], whitening[0], lifted


def _log_prob_block(family_params, components, x, log_prob, scratch):
    white_means = family_params.white_means
    n_features = white_means.shape[1]
    n_padded = padded(n_features)
    centred, white = scratch[:n_padded], scratch[n_padded : 2 * n_padded]
    centre_block(x, family_params.centre, centred)
    whiten(family_params.tiles, centred, white)
    for a in range(components.shape[0]):
        log_prob_of_white(white, white_means[components[a]], family_params.log_norm[0], log_prob[a])


def _accumulate_block(family_params, components, x, resp, scratch, family_stats, lane):
    means, n, sx, sxx = family_params.means, family_stats.n, family_stats.sx, family_stats.sxx
    n_features = means.shape[1]
    for a in range(components.shape[0]):
        k = components[a]
        n[lane, k] += sum_block(resp[a])
        if 1 < n_features <= MAX_SMALL:
            accumulate_small(x, means[k], resp[a], sx[lane, k], sxx[lane])
        else:
            accumulate_tiled(x, means[k], resp[a], sx[lane, k], sxx[lane], scratch)


register_family(GaussianTiedParams, log_prob_block=_log_prob_block, accumulate_block=_accumulate_block)
