"""Structures of independent features: a variance for each component and feature, or one for each component."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastem.families.gaussian.matrices import MOST_LOG, floored_inverse_sd, log_norm, proper_inverse_sd
from fastem.families.gaussian.moments import CentralMoments, Pivoted
from fastem.families.gaussian.structure import Structure
from fastem.families.gaussian.tiles import log_prob_of_scaled, moments_of_four, sum_block
from fastem.passes.flags import block_function
from fastem.passes.vector_math import log_positive


@block_function
def _half_squares_of_scaled(family_params, k, top, x, out, scratch):
    log_prob_of_scaled(x, family_params.means[k], family_params.inverse_sd[k], top, out)


@block_function
def _add_moments_of_scaled(means, components, x, resp, scratch, n, sx, sxx):
    n_components, n_features = means.shape
    squares_of = sxx.reshape(n_components, sxx.size // n_components)
    for a in range(components.shape[0]):
        k = components[a]
        n[k] += sum_block(resp[a])
        for j in range(0, n_features, 4):
            sums, squares = moments_of_four(x, means[k], resp[a], j)
            for p in range(min(4, n_features - j)):
                sx[k, j + p] += sums[p]
                # One sum for each feature, or one for all.
                squares_of[k, min(j + p, squares_of.shape[1] - 1)] += squares[p]


# Rows with missing values: of independent features the others tell nothing of one that is missing, whose expected value
# is the mean. Loops take four features at a time; any beyond the last repeats it, times zero.


class _Seen(NamedTuple):
    """A block of rows: `x` (D, rows), zero where a value is missing, and `seen` (D, rows), one where it is there."""

    x: np.ndarray
    seen: np.ndarray


@block_function
def _read_seen(x):
    tables = np.empty((2, *x.shape))
    for j in range(x.shape[0]):
        line, filled, seen = x[j], tables[0, j], tables[1, j]
        for i in range(line.shape[0]):
            seen[i] = 1.0 if line[i] == line[i] else 0.0
            filled[i] = line[i] if line[i] == line[i] else 0.0
    return _Seen(tables[0], tables[1])


@block_function
def _at(values, a, p, beyond):
    """Entry a + p, or what stands for one beyond the last."""
    return values[a + p] if a + p < values.shape[0] else beyond


@block_function
def _half_squares_with_gaps(family_params, k, gaps, out, log_root, scratch):
    mean, inverse_sd = family_params.means[k], family_params.inverse_sd[k]
    last = mean.shape[0] - 1
    for i in range(out.shape[0]):
        out[i] = 0.0
        log_root[i] = 0.0
    for a in range(0, last + 1, 4):
        j1, j2, j3 = min(a + 1, last), min(a + 2, last), min(a + 3, last)
        x0, x1, x2, x3 = gaps.x[a], gaps.x[j1], gaps.x[j2], gaps.x[j3]
        s0, s1, s2, s3 = gaps.seen[a], gaps.seen[j1], gaps.seen[j2], gaps.seen[j3]
        m0, m1, m2, m3 = mean[a], mean[j1], mean[j2], mean[j3]
        p0, p1, p2, p3 = (
            inverse_sd[a],
            _at(inverse_sd, a, 1, 0.0),
            _at(inverse_sd, a, 2, 0.0),
            _at(inverse_sd, a, 3, 0.0),
        )
        l0, l1 = -log_positive(p0), -log_positive(_at(inverse_sd, a, 1, 1.0))
        l2, l3 = -log_positive(_at(inverse_sd, a, 2, 1.0)), -log_positive(_at(inverse_sd, a, 3, 1.0))
        for i in range(out.shape[0]):
            z0, z1 = (x0[i] - m0 * s0[i]) * p0, (x1[i] - m1 * s1[i]) * p1
            z2, z3 = (x2[i] - m2 * s2[i]) * p2, (x3[i] - m3 * s3[i]) * p3
            out[i] -= 0.5 * ((z0 * z0 + z1 * z1) + (z2 * z2 + z3 * z3))
            log_root[i] += (l0 * (1.0 - s0[i]) + l1 * (1.0 - s1[i])) + (l2 * (1.0 - s2[i]) + l3 * (1.0 - s3[i]))


@block_function
def _add_moments_with_gaps(family_params, components, gaps, resp, weighted, scratch, n, mass, sx, sxx):
    k = components[0]
    mean, inverse_sd = family_params.means[k], family_params.inverse_sd[k]
    squares = sxx.reshape(sx.shape[0], sxx.size // sx.shape[0])[k]
    last = mean.shape[0] - 1
    mass[k] += sum_block(weighted)
    for a in range(0, last + 1, 4):
        j1, j2, j3 = min(a + 1, last), min(a + 2, last), min(a + 3, last)
        x0, x1, x2, x3 = gaps.x[a], gaps.x[j1], gaps.x[j2], gaps.x[j3]
        s0, s1, s2, s3 = gaps.seen[a], gaps.seen[j1], gaps.seen[j2], gaps.seen[j3]
        m0, m1, m2, m3 = mean[a], mean[j1], mean[j2], mean[j3]
        f0, f1, f2, f3 = 0.0, 0.0, 0.0, 0.0
        q0, q1, q2, q3 = 0.0, 0.0, 0.0, 0.0
        u0, u1, u2, u3 = 0.0, 0.0, 0.0, 0.0
        for i in range(weighted.shape[0]):
            c0, c1, c2, c3 = x0[i] - m0 * s0[i], x1[i] - m1 * s1[i], x2[i] - m2 * s2[i], x3[i] - m3 * s3[i]
            w0, w1, w2, w3 = weighted[i] * c0, weighted[i] * c1, weighted[i] * c2, weighted[i] * c3
            f0 += w0
            f1 += w1
            f2 += w2
            f3 += w3
            q0 += w0 * c0
            q1 += w1 * c1
            q2 += w2 * c2
            q3 += w3 * c3
            u0 += resp[i] * (1.0 - s0[i])
            u1 += resp[i] * (1.0 - s1[i])
            u2 += resp[i] * (1.0 - s2[i])
            u3 += resp[i] * (1.0 - s3[i])
        first, second, unseen = (f0, f1, f2, f3), (q0, q1, q2, q3), (u0, u1, u2, u3)
        for p in range(min(4, last + 1 - a)):
            j = a + p
            sx[k, j] += first[p]
            # One sum for each feature, or one for all.
            squares[min(j, squares.shape[0] - 1)] += second[p] + unseen[p] / (inverse_sd[j] * inverse_sd[j])


class Variances(Structure):
    """Variances of independent features: of each component and feature (K, D), or one a component (K,).

    The factors are inverse standard deviations, which parameters hold for all features: `inverse_sd` (K, D).
    """

    fields = ("means", "covariances", "inverse_sd", "log_norm")
    half_squares = staticmethod(_half_squares_of_scaled)
    add_moments = staticmethod(_add_moments_of_scaled)
    read_gaps = staticmethod(_read_seen)
    half_squares_with_gaps = staticmethod(_half_squares_with_gaps)
    add_moments_with_gaps = staticmethod(_add_moments_with_gaps)

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        raise NotImplementedError

    def shapes(self, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        return (k, d), self.shape(k, d), (k, d), (k,)

    def _each(self, variances: np.ndarray) -> np.ndarray:
        """The variances (K, D or 1)."""
        return variances.reshape(len(variances), -1)

    def _factors(self, params: Any) -> np.ndarray:
        width = self._each(params.covariances).shape[1]
        return params.inverse_sd[:, :width].reshape(params.covariances.shape)

    def proper_factors(self, covariances: np.ndarray) -> np.ndarray:
        return proper_inverse_sd(self._each(covariances)).reshape(covariances.shape)

    def floored(self, covariances: np.ndarray, floor: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        variances, inverse_sd, lifted = floored_inverse_sd(self._each(covariances), floor)
        return variances.reshape(covariances.shape), inverse_sd.reshape(covariances.shape), lifted

    def is_negative(self, covariances: np.ndarray) -> np.ndarray:
        return np.any(self._each(covariances) < 0.0, axis=1)

    def projected(self, params: Any, axes: np.ndarray) -> np.ndarray:
        return (axes * self._each(params.covariances)[:, None, :]) @ axes.T

    def whitened(self, params: Any, centred: np.ndarray) -> np.ndarray:
        return centred * params.inverse_sd[:, None, :]

    def coloured(self, params: Any, component: int, white: np.ndarray) -> np.ndarray:
        return white * np.sqrt(params.covariances[component])

    def precisions_cholesky(self, params: Any) -> np.ndarray:
        return self._factors(params)

    def of_precisions_cholesky(self, factors: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return 1.0 / np.square(factors)

    def to_unconstrained(self, params: Any, scale: np.ndarray) -> np.ndarray:
        variances = self._each(params.covariances)
        return np.log(np.sqrt(variances) / scale[: variances.shape[1]]).ravel()

    def from_unconstrained(self, point: np.ndarray, scale: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        logarithms = self._each(np.clip(point, -MOST_LOG, MOST_LOG).reshape(shape))
        return np.square(np.exp(logarithms) * scale[: logarithms.shape[1]]).reshape(shape)

    def unwhitened(self, params: Any, white: np.ndarray) -> np.ndarray:
        return white / params.inverse_sd

    def jvp(self, params: Any, scatter_tangent: np.ndarray) -> np.ndarray:
        return scatter_tangent.reshape(len(scatter_tangent), *params.covariances.shape) * params.covariances

    def factors_at(self, params: Any, scatter_tangent: np.ndarray) -> np.ndarray:
        factors = self._factors(params)
        return factors / np.sqrt(1.0 + scatter_tangent.reshape(factors.shape))


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


class SphericalMoments(Pivoted):
    """Moments with `sxx` (K,): sums of resp * |x - pivot|^2."""

    __slots__ = ()

    @staticmethod
    def spread(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.einsum("kd,kd->k", a, b)


class Spherical(Variances):
    """Variances (K,). Parameters have the shapes means (K, D); covariances, log_norm (K,); inverse_sd (K, D)."""

    name = "spherical"
    moments = SphericalMoments

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k,)

    def n_parameters(self, k: int, d: int) -> int:
        return k

    def record(self, means: np.ndarray, covariances: np.ndarray, factors: np.ndarray) -> dict[str, np.ndarray]:
        inverse_sd = np.repeat(factors[:, None], means.shape[1], axis=1)
        return dict(zip(self.fields, (means, covariances, inverse_sd, log_norm(inverse_sd)), strict=True))

    def as_scatter(self, covariance: np.ndarray, d: int) -> np.ndarray:
        return covariance * d

    def estimate(self, moments: CentralMoments, d: int) -> np.ndarray:
        return super().estimate(moments, d) / d

    def floored(self, covariances: np.ndarray, floor: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return super().floored(covariances, None if floor is None else floor.mean(keepdims=True))

    def column_variances(self, covariances: np.ndarray, d: int) -> np.ndarray:
        return np.full(d, covariances[0])

    def mean_matrix(self, params: Any) -> np.ndarray:
        return params.covariances.mean() * np.eye(params.means.shape[1])

    def traces(self, params: Any, scatter: np.ndarray) -> np.ndarray:
        return scatter * np.square(params.inverse_sd[:, 0])

    def gradients(self, white: np.ndarray, resp: np.ndarray) -> np.ndarray:
        return 0.5 * resp * (np.square(white).sum(axis=2) - white.shape[2])

    def gradient(self, params: Any, stats: Any) -> np.ndarray:
        return 0.5 * (self.traces(params, stats.sxx) - params.means.shape[1] * stats.n)
