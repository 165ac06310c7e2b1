"""Gaussian components, each with a covariance matrix of its own."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from fastem._jit import block_function
from fastem.blocks import BLOCK, register_family
from fastem.families._gaussian import (
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
    sum_block,
    triangular_product,
    weighted_centre_block,
)
from fastem.families._gaussian_small import MAX_SMALL, accumulate_small, log_prob_small


class GaussianFullParams(NamedTuple):
    """Shapes: means (K, D); covariances and whitening (K, D, D); log_norm (K,).

    `whitening[k]` is lower triangular, with whitening[k] @ covariances[k] @ whitening[k].T = identity.
    """

    means: np.ndarray
    covariances: np.ndarray
    whitening: np.ndarray
    log_norm: np.ndarray


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

    def n_parameters(self) -> int:
        k, d = self.n_components, self.n_features
        return k * d + k * d * (d + 1) // 2

    def sample(
        self, params: GaussianFullParams, component: int, n_rows: int, random: np.random.Generator
    ) -> np.ndarray:
        factor = np.linalg.cholesky(params.covariances[component])
        return params.means[component] + random.standard_normal((n_rows, self.n_features)) @ factor.T

    def _params(self, means: np.ndarray, covariances: np.ndarray, factors: np.ndarray) -> GaussianFullParams:
        norm = log_norm(np.diagonal(factors, axis1=1, axis2=2))
        return GaussianFullParams(*map(np.ascontiguousarray, (means, covariances, factors, norm)))

    def _floored(self, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return floored_whitening(covariances, self.variance_floor)


def _log_prob_block(family_params, x, log_prob, scratch):
    means, whitening, log_norm = family_params.means, family_params.whitening, family_params.log_norm
    n_components, n_features = means.shape
    centred, white = scratch[:n_features], scratch[n_features : 2 * n_features]
    for k in range(n_components):
        if n_features <= MAX_SMALL:
            log_prob_small(x, means[k], whitening[k], log_norm[k], log_prob[k])
        else:
            centre_block(x, means[k], centred)
            triangular_product(whitening[k], centred, white)
            _log_prob_of_white(white, log_norm[k], log_prob[k])


@block_function
def _log_prob_of_white(white, log_norm, log_prob):
    """Standard normal log-density of whitened rows (D, rows), plus the log of the factor's determinant."""
    n_features = white.shape[0]
    whole = n_features - n_features % 4
    for i in range(BLOCK):
        log_prob[i] = log_norm
    for j in range(0, whole, 4):
        for i in range(BLOCK):
            z0, z1, z2, z3 = white[j, i], white[j + 1, i], white[j + 2, i], white[j + 3, i]
            log_prob[i] -= 0.5 * (z0 * z0 + z1 * z1 + z2 * z2 + z3 * z3)
    for j in range(whole, n_features):
        for i in range(BLOCK):
            log_prob[i] -= 0.5 * (white[j, i] * white[j, i])


def _accumulate_block(family_params, x, resp, scratch, family_stats, lane):
    means, n, sx, sxx = family_params.means, family_stats.n, family_stats.sx, family_stats.sxx
    n_components, n_features = means.shape
    centred, weighted = scratch[:n_features], scratch[n_features : 2 * n_features]
    for k in range(n_components):
        n[lane, k] += sum_block(resp[k])
        if n_features <= MAX_SMALL:
            accumulate_small(x, means[k], resp[k], sx[lane, k], sxx[lane, k])
        else:
            weighted_centre_block(x, means[k], resp[k], centred, weighted, sx[lane, k])
            add_scatter(weighted, centred, sxx[lane, k])


register_family(GaussianFullParams, log_prob_block=_log_prob_block, accumulate_block=_accumulate_block)
