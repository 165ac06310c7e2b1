"""Gaussian components that share one covariance matrix."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from fastem.blocks import register_family
from fastem.families._gaussian import (
    CentralMoments,
    Gaussian,
    PivotedMoments,
    floored_whitening,
    log_norm,
    proper_whitening,
    symmetric,
)
from fastem.families._gaussian_blocks import (
    add_scatter,
    centre_block,
    log_prob_of_white,
    sum_block,
    triangular_product,
    weighted_centre_block,
)
from fastem.families._gaussian_small import MAX_SMALL, accumulate_small


class GaussianTiedParams(NamedTuple):
    """Shapes: means and white_means (K, D); covariances and whitening (D, D); centre (D,); log_norm (1,).

    `whitening` is lower triangular, with whitening @ covariances @ whitening.T = identity, and
    white_means[k] = whitening @ (means[k] - centre), so that rows are whitened once for all components.
    """

    means: np.ndarray
    covariances: np.ndarray
    whitening: np.ndarray
    log_norm: np.ndarray
    centre: np.ndarray
    white_means: np.ndarray


class GaussianTiedStats(PivotedMoments):
    """Moments with one `sxx` (D, D), summed over components. With lanes, only the lower triangle is filled."""

    __slots__ = ()

    @staticmethod
    def spread(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a.T @ b

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

    def factors_of(self, covariances: np.ndarray) -> np.ndarray:
        return proper_whitening(covariances[None])[0]

    def precisions_cholesky(self, params: GaussianTiedParams) -> np.ndarray:
        return params.whitening.T

    def n_parameters(self) -> int:
        d = self.n_features
        return self.n_components * d + d * (d + 1) // 2

    def sample(
        self, params: GaussianTiedParams, component: int, n_rows: int, random: np.random.Generator
    ) -> np.ndarray:
        factor = np.linalg.cholesky(params.covariances)
        return params.means[component] + random.standard_normal((n_rows, self.n_features)) @ factor.T

    def _params(self, means: np.ndarray, covariances: np.ndarray, factors: np.ndarray) -> GaussianTiedParams:
        centre = means.mean(axis=0)
        white_means = (means - centre) @ factors.T
        arrays = (means, covariances, factors, log_norm(np.diagonal(factors)[None]), centre, white_means)
        return GaussianTiedParams(*map(np.ascontiguousarray, arrays))

    def _floored(self, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        covariances, whitening, lifted = floored_whitening(covariances[None], self.variance_floor)
        return covariances[0], whitening[0], lifted


def _log_prob_block(family_params, x, log_prob, scratch):
    white_means = family_params.white_means
    n_components, n_features = white_means.shape
    centred, white = scratch[:n_features], scratch[n_features : 2 * n_features]
    centre_block(x, family_params.centre, centred)
    triangular_product(family_params.whitening, centred, white)
    for k in range(n_components):
        log_prob_of_white(white, white_means[k], family_params.log_norm[0], log_prob[k])


def _accumulate_block(family_params, x, resp, scratch, family_stats, lane):
    means, n, sx, sxx = family_params.means, family_stats.n, family_stats.sx, family_stats.sxx
    n_components, n_features = means.shape
    centred, weighted = scratch[:n_features], scratch[n_features : 2 * n_features]
    for k in range(n_components):
        n[lane, k] += sum_block(resp[k])
        if n_features <= MAX_SMALL:
            accumulate_small(x, means[k], resp[k], sx[lane, k], sxx[lane])
        else:
            weighted_centre_block(x, means[k], resp[k], centred, weighted, sx[lane, k])
            add_scatter(weighted, centred, sxx[lane])


register_family(GaussianTiedParams, log_prob_block=_log_prob_block, accumulate_block=_accumulate_block)
