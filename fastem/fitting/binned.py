"""Exact EM for a histogram of one feature: only the number of rows in each bin is known, not the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import erfcx, logsumexp, ndtr

from fastem.stats import ExpectedStats, Repair

_HALF_LOG_2PI = 0.5 * float(np.log(2.0 * np.pi))
# Further than any edge that matters, yet its square is a number.
_FAR = 1e100
# Within half a standard deviation, and where the density changes by no more than e^4 across the bin, ten
# nodes integrate it to rounding; beyond, the difference of two tails loses no digits.
_NODES, _SHARES = np.polynomial.legendre.leggauss(10)
_MAX_HALF_WIDTH, _MAX_SLOPE = 0.5, 2.0


@dataclass(frozen=True)
class Bins:
    """A histogram.

    Parameters
    ----------
    counts : (B,) float64 ndarray
        Weight of the rows of each bin; not negative.
    edges : (B + 1,) float64 ndarray
        Increasing; the first may be -inf, the last inf, and two or more are finite.
    """

    counts: np.ndarray
    edges: np.ndarray

    def closed_edges(self) -> np.ndarray:
        """Edges that are all finite: an open bin is as wide as the next bin of finite width."""
        edges = self.edges.copy()
        finite = edges[np.isfinite(edges)]
        if edges[0] == -np.inf:
            edges[0] = 2.0 * finite[0] - finite[1]
        if edges[-1] == np.inf:
            edges[-1] = 2.0 * finite[-1] - finite[-2]
        return edges

    def midpoints(self) -> np.ndarray:
        """A value (B,) within each bin."""
        edges = self.closed_edges()
        return edges[:-1] + 0.5 * np.diff(edges)

    def typical_variance(self) -> float:
        """Variance of rows spread evenly over a bin of median width."""
        return float(np.median(np.diff(self.closed_edges())[self.counts > 0]) ** 2 / 12.0)

    def spread(self) -> tuple[np.ndarray, np.ndarray]:
        """Values and weights (2 B,) with the means and variances of rows spread evenly over the bins."""
        middle, sd = self.midpoints(), np.diff(self.closed_edges()) / np.sqrt(12.0)
        return np.concatenate([middle - sd, middle + sd]), np.tile(0.5 * self.counts, 2)


class BinMoments(NamedTuple):
    """Of standard normal z in bins: the logarithm of the probability, E[z | bin] and E[z² | bin]."""

    log_prob: np.ndarray
    first: np.ndarray
    second: np.ndarray


def bin_moments(lower: np.ndarray, upper: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> BinMoments:
    """Moments of z = (x - mean) / sd, for normal x between `lower` and `upper`; the arguments broadcast.

    To rounding, relative to z and to the probability, in either tail and for bins of any width.
    """
    with np.errstate(over="ignore"):
        low, high = (np.clip((edge - mean) / sd, -_FAR, _FAR) for edge in (lower, upper))
        half = np.clip(0.5 * (upper - lower) / sd, np.finfo(np.float64).tiny, _FAR)
    # The left half of the line is the mirror of the right one, whose tails keep their digits.
    mirrored = low + high < 0.0
    low, high = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
    # Half a width is more exact than the difference of far edges.
    centre = low + half
    narrow = (half <= _MAX_HALF_WIDTH) & (half * centre <= _MAX_SLOPE)
    moments = np.empty((3, *low.shape))
    moments[:, narrow] = _narrow(centre[narrow], half[narrow])
    for part, formula in ((~narrow & (low > 0.0), _in_tail), (~narrow & (low <= 0.0), _across)):
        moments[:, part] = formula(low[part], high[part])
    log_prob, first, second = moments
    return BinMoments(log_prob, np.where(mirrored, -first, first), second)


_Moments = tuple[np.ndarray, np.ndarray, np.ndarray]


def _narrow(centre: np.ndarray, half: np.ndarray) -> _Moments:
    """By Gauss-Legendre quadrature about the centre."""
    total, first, second = np.zeros((3, *centre.shape))
    for node, share in zip(_NODES, 0.5 * _SHARES, strict=True):
        step = half * node
        mass = share * np.exp(-step * (centre + 0.5 * step))
        total += mass
        first += mass * step
        second += mass * np.square(centre + step)
    log_prob = np.log(total) + np.log(2.0 * half) - 0.5 * np.square(centre) - _HALF_LOG_2PI
    return log_prob, centre + first / total, second / total


def _in_tail(low: np.ndarray, high: np.ndarray) -> _Moments:
    """By Mills' ratios: everything is divided by the density at the lower edge, which may underflow."""
    exponent = -0.5 * (high - low) * (high + low)
    fall = np.exp(exponent)
    prob = _mills(low) - _mills(high) * fall
    log_prob = np.log(prob) - 0.5 * np.square(low) - _HALF_LOG_2PI
    return log_prob, -np.expm1(exponent) / prob, 1.0 + (low - high * fall) / prob


def _across(low: np.ndarray, high: np.ndarray) -> _Moments:
    """A wide bin around zero."""
    outside = ndtr(low) + ndtr(-high)
    at_low, at_high = (np.exp(-0.5 * np.square(edge) - _HALF_LOG_2PI) for edge in (low, high))
    prob = 1.0 - outside
    return np.log1p(-outside), (at_low - at_high) / prob, 1.0 + (low * at_low - high * at_high) / prob


def _mills(z: np.ndarray) -> np.ndarray:
    """Probability beyond z over the density at z."""
    return np.sqrt(0.5 * np.pi) * erfcx(z / np.sqrt(2.0))


@dataclass(frozen=True)
class BinnedProblem:
    """A mixture of Gaussians of one feature and a histogram, as a schedule sees them.

    The E-step is that of rows, with each row replaced by what its bin and component let expect of it, so the
    M-step and its floors are those of rows.

    References
    ----------
    McLachlan & Jones (1988), *Fitting mixture models to grouped and truncated data via the EM algorithm*,
    Biometrics 44, 571-578.
    """

    model: Any
    bins: Bins

    def e_step(self, params: Any) -> ExpectedStats:
        occupied = self.bins.counts > 0
        counts = self.bins.counts[occupied]
        lower, upper = (edges[occupied, None] for edges in (self.bins.edges[:-1], self.bins.edges[1:]))
        zero = self.model.family.zero_stats_like(params.family)
        variances = np.broadcast_to(np.ravel(params.family.covariances), zero.n.shape)
        sd = np.sqrt(variances)
        moments = bin_moments(lower, upper, params.family.means[:, 0], sd)
        joint = moments.log_prob + self.model.latent.log_share(params.latent)
        loglik = logsumexp(joint, axis=1)
        resp = counts[:, None] * np.exp(joint - loglik[:, None])
        sxx = variances * (resp * moments.second).sum(axis=0)
        family = zero._replace(
            n=resp.sum(axis=0),
            sx=(sd * (resp * moments.first).sum(axis=0))[:, None],
            # Components that share a variance share its sum.
            sxx=(sxx if zero.sxx.size == sxx.size else sxx.sum()).reshape(zero.sxx.shape),
        )
        latent = self.model.latent.given_stats(resp)
        stats = ExpectedStats(float((counts * loglik).sum()), float(counts.sum()), 0.0, latent, family)
        return self.model.with_prior(stats, params)

    def m_step(self, stats: ExpectedStats, params: Any) -> tuple[Any, list[Repair]]:
        return self.model.m_step(stats, params)
