"""One covariance matrix that all components share."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from fastem.families.gaussian.gaps import (
    NEGLIGIBLE,
    by_pattern,
    complete_rows,
    complete_scatter,
    into_block,
    log_prob_of_any,
)
from fastem.families.gaussian.matrices import log_norm
from fastem.families.gaussian.moments import CentralMoments, MatrixMoments
from fastem.families.gaussian.pooled import accumulate_pooled
from fastem.families.gaussian.small import MAX_SMALL, accumulate_small
from fastem.families.gaussian.structure import Matrices
from fastem.families.gaussian.tangents import scatter_gradients
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
from fastem.passes.flags import block_function


class TiedMoments(MatrixMoments):
    """Moments with one `sxx` (D, D), summed over components."""

    __slots__ = ()

    @staticmethod
    def spread(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a.T @ b

    def by_component(self, factors: np.ndarray) -> Self:
        """Scale each component; what all share, the scatter about the means, by the mean factor of the rows.

        The components have one covariance, so that each of them is expected to give scatter in proportion
        to its rows. The covariance of an M-step stays as it was.
        """
        record: Any = self
        more = {"u": record.u * factors} if "u" in record._fields else {}
        scaled = record._replace(n=self.n * factors, sx=self.sx * factors[:, None], **more)
        total = self.n.sum()
        mean_factor = scaled.n.sum() / total if total > 0 else 1.0
        offset = self.sx / np.where(self.mass > 0, self.mass, 1.0)[:, None]
        about_means = self.sxx - self.spread(self.sx, offset)
        return scaled._replace(sxx=mean_factor * about_means + self.spread(scaled.sx, offset))


@block_function
def _prepare(family_params, x, scratch):
    """Whiten the rows once for all components."""
    n_padded = padded(x.shape[0])
    centred, white = scratch[:n_padded], scratch[n_padded : 2 * n_padded]
    centre_block(x, family_params.centre, centred)
    whiten(family_params.tiles, centred, white)


@block_function
def _half_squares(family_params, k, top, x, out, scratch):
    n_padded = padded(x.shape[0])
    log_prob_of_white(scratch[n_padded : 2 * n_padded], family_params.white_means[k], top, out)


@block_function
def _half_squares_with_gaps(family_params, k, gaps, out, log_root, scratch):
    complete_rows(gaps, family_params.means[k], family_params.precision[0], family_params.flat[0], log_root)
    log_prob_of_any(gaps.x, family_params.means[k], family_params.tiles, 0.0, gaps.line[0], scratch)
    into_block(gaps, out)


@block_function
def _add_moments_with_gaps(family_params, components, gaps, resp, weighted, scratch, n, mass, sx, sxx):
    k = components[0]
    precision, flat = family_params.precision[0], family_params.flat[0]
    complete_scatter(gaps, family_params.means[k], precision, flat, resp, NEGLIGIBLE * n[k], sxx)
    by_pattern(gaps, weighted)
    _add_moments(family_params.means, components, gaps.x, gaps.line, scratch, mass, sx, sxx)


@block_function
def _add_moments(means, components, x, resp, scratch, n, sx, sxx):
    n_features = means.shape[1]
    # Few features or components are faster one component after the other.
    if n_features > MAX_SMALL and components.shape[0] > 2:
        accumulate_pooled(means, components, x, resp, scratch, n, sx, sxx)
        return
    for a in range(components.shape[0]):
        k = components[a]
        n[k] += sum_block(resp[a])
        if 1 < n_features <= MAX_SMALL:
            accumulate_small(x, means[k], resp[a], sx[k], sxx)
        else:
            accumulate_tiled(x, means[k], resp[a], sx[k], sxx, scratch)


class Tied(Matrices):
    """One matrix (D, D).

    Parameters have the shapes means, white_means (K, D); covariances, whitening (D, D); tiles (T, 16); centre (D,);
    log_norm (1,). ``white_means[k] = whitening @ (means[k] - centre)``, so that rows are whitened once for all.
    """

    name = "tied"
    is_shared = True
    fields = ("means", "covariances", "whitening", "tiles", "log_norm", "centre", "white_means")
    moments = TiedMoments
    prepare = staticmethod(_prepare)
    half_squares, add_moments = staticmethod(_half_squares), staticmethod(_add_moments)
    half_squares_with_gaps = staticmethod(_half_squares_with_gaps)
    add_moments_with_gaps = staticmethod(_add_moments_with_gaps)

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return d, d

    def shapes(self, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        return (k, d), (d, d), (d, d), (n_tiles(d), TILE * TILE), (1,), (d,), (k, d)

    def record(self, means: np.ndarray, covariances: np.ndarray, factors: np.ndarray) -> dict[str, np.ndarray]:
        norm, centre = log_norm(np.diagonal(factors)[None]), means.mean(axis=0)
        white_means = (means - centre) @ factors.T
        arrays = (means, covariances, factors, tiles_of(factors), norm, centre, white_means)
        return dict(zip(self.fields, arrays, strict=True))

    def scatter_of(self, covariances: np.ndarray, n: np.ndarray, d: int) -> np.ndarray:
        return covariances * n.sum()

    def estimate(self, moments: CentralMoments, d: int) -> np.ndarray:
        return moments.scatter / moments.total

    def gradients(self, white: np.ndarray, resp: np.ndarray) -> np.ndarray:
        # One component after the other: together they would fill K times the memory of the sum.
        each = [slice(k, k + 1) for k in range(resp.shape[1])]
        return sum(scatter_gradients(white[:, k], resp[:, k]) for k in each)  # type: ignore[return-value]
