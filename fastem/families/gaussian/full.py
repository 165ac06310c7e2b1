"""A covariance matrix for each component, or for each group of components."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.families.gaussian.gaps import (
    NEGLIGIBLE,
    by_pattern,
    complete_rows,
    complete_scatter,
    into_block,
    log_prob_of_any,
)
from fastem.families.gaussian.matrices import log_norm, log_triangles, triangles_at
from fastem.families.gaussian.moments import CentralMoments, MatrixMoments
from fastem.families.gaussian.small import MAX_SMALL, accumulate_line, accumulate_small
from fastem.families.gaussian.structure import Matrices
from fastem.families.gaussian.tangents import scatter_gradients
from fastem.families.gaussian.tiles import TILE, accumulate_tiled, n_tiles, sum_block, tiles_of
from fastem.passes.flags import block_function


class FullMoments(MatrixMoments):
    """Moments with `sxx` (K, D, D)."""

    __slots__ = ()

    @staticmethod
    def spread(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a[:, :, None] * b[:, None, :]


@block_function
def _half_squares(family_params, k, top, x, out, scratch):
    log_prob_of_any(x, family_params.means[k], family_params.tiles[k], top, out, scratch)


@block_function
def _half_squares_with_gaps(family_params, k, gaps, out, log_root, scratch):
    complete_rows(gaps, family_params.means[k], family_params.precision[k], family_params.flat[k], log_root)
    log_prob_of_any(gaps.x, family_params.means[k], family_params.tiles[k], 0.0, gaps.line[0], scratch)
    into_block(gaps, out)


@block_function
def _add_moments_with_gaps(family_params, components, gaps, resp, weighted, scratch, n, mass, sx, sxx):
    k = components[0]
    precision, flat = family_params.precision[k], family_params.flat[k]
    complete_scatter(gaps, family_params.means[k], precision, flat, resp, NEGLIGIBLE * n[k], sxx[k])
    by_pattern(gaps, weighted)
    _add_moments(family_params.means, components, gaps.x, gaps.line, scratch, mass, sx, sxx)


@block_function
def _add_moments(means, components, x, resp, scratch, n, sx, sxx):
    n_features = means.shape[1]
    for a in range(components.shape[0]):
        k = components[a]
        if n_features == 1:
            accumulate_line(x, means[k], resp[a], n, sx, sxx, k)
            continue
        n[k] += sum_block(resp[a])
        if n_features <= MAX_SMALL:
            accumulate_small(x, means[k], resp[a], sx[k], sxx[k])
        else:
            accumulate_tiled(x, means[k], resp[a], sx[k], sxx[k], scratch)


class Full(Matrices):
    """Matrices (K, D, D).

    Parameters have the shapes means (K, D); covariances and whitening (K, D, D); tiles (K, T, 16); log_norm (K,). The
    tiles are the whitening in another order (see `tiles_of`).
    """

    name = "full"
    fields = ("means", "covariances", "whitening", "tiles", "log_norm")
    moments = FullMoments
    half_squares, add_moments = staticmethod(_half_squares), staticmethod(_add_moments)
    half_squares_with_gaps = staticmethod(_half_squares_with_gaps)
    add_moments_with_gaps = staticmethod(_add_moments_with_gaps)

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        """Shape of the covariances of k components with d features."""
        return k, d, d

    def shapes(self, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the fields of parameters."""
        return (k, d), (k, d, d), (k, d, d), (k, n_tiles(d), TILE * TILE), (k,)

    def record(self, means: np.ndarray, covariances: np.ndarray, factors: np.ndarray) -> dict[str, np.ndarray]:
        """The fields of parameters; `log_norm` is that of Gaussians."""
        norm = log_norm(np.diagonal(factors, axis1=1, axis2=2))
        return dict(zip(self.fields, (means, covariances, factors, tiles_of(factors), norm), strict=True))

    def gradients(self, white: np.ndarray, resp: np.ndarray) -> np.ndarray:
        """Derivatives (N, ...) by tangents of the covariances, of whitened rows (N, K, D) that belong by `resp`."""
        return scatter_gradients(white, resp)


class Grouped(Full):
    """Matrices (K, D, D), of which `size` components that follow each other have the same."""

    def __init__(self, size: int):
        self.size = size

    def _size(self, n_components: int) -> int:
        """Components of a group, where there are so many in all: one takes all rows before a fit."""
        return min(self.size, n_components)

    def _of_groups(self, of_all: np.ndarray) -> np.ndarray:
        return of_all.reshape(-1, self._size(len(of_all)), *of_all.shape[1:]).sum(axis=1)

    def n_parameters(self, k: int, d: int) -> int:
        return super().n_parameters(k, d) // self._size(k)

    def estimate(self, moments: CentralMoments, d: int) -> np.ndarray:
        """The pooled scatter of each group; a group without rows takes that of all."""
        share = self._of_groups(np.where(moments.bare, 0.0, moments.share))
        covariances = self._of_groups(moments.scatter) / np.where(share > 0.0, share, 1.0)[:, None, None]
        covariances[share <= 0.0] = moments.scatter.sum(axis=0) / moments.total
        return np.repeat(covariances, self._size(moments.share.size), axis=0)

    def to_unconstrained(self, params: Any, scale: np.ndarray) -> np.ndarray:
        first = params.whitening[:: self._size(len(params.whitening))]
        return log_triangles(np.linalg.inv(first) / scale[:, None])

    def from_unconstrained(self, point: np.ndarray, scale: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        size = self._size(shape[0])
        factors = triangles_at(point, (shape[0] // size, *shape[1:])) * scale[:, None]
        return np.repeat(factors @ np.swapaxes(factors, -1, -2), size, axis=0)
