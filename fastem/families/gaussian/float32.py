"""Gaussian components whose blocks compute in float32, where its error is bounded: for rows that are float32.

A float32 row is exact, and a mean is kept in two parts, `high` and `low`: so ``(row - high) - low`` has a relative
error of 2^-23, however far the data lie from zero. Factors are rounded, and `peaks` are the norms of the rounded ones:
it is the density of slightly other parameters that is computed, whose mean differs in the second order where it is
highest. Sums over one block are float32, those over blocks float64.

What whitening and the inverse of a scatter make of these errors is bounded by the inflation of the variances: see
`inflation`. A component beyond `MOST_INFLATION`, or out of range, is computed in float64, in the same blocks.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastem.families.gaussian.location_scatter import STRUCTURES
from fastem.families.gaussian.small import MAX_SMALL
from fastem.families.gaussian.tiles import (
    TILE,
    accumulate_tiled,
    add_moments,
    log_prob_tiled,
    moments_of_four,
    n_tiles,
    padded,
    subtract_squares,
    sum_block,
    tiles_of,
)
from fastem.families.gaussian.variances import Variances
from fastem.passes.blocks import register_family
from fastem.passes.flags import block_function, exact_function
from fastem.passes.precision import in_parts
from fastem.passes.rows import plain

# The mean over the features of 1 / (1 - R^2), where R^2 is what a regression on the other features explains.
MOST_INFLATION = 32.0
# Standard deviations whose squares, times responsibilities that matter, float32 holds.
_LEAST_SD, _LARGEST_SD = 1e-15, 1e15
# With fewer features, most of the time is not that of their arithmetic. Matrices of few have loops of their own.
_LEAST_FEATURES = 8
_ROOT_HALF = float(np.sqrt(0.5))


def inflation(whitening: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Mean (K,) of the variance inflation factors of covariances (K, D, D): of the diagonal of inverse correlations.

    Errors of a scatter of e standard deviations of the features become at most e * D^2 * inflation in those of the
    component's own axes, and errors of e of the differences from a mean e * D * sqrt(inflation) of the distance.
    """
    sd = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    return np.square(whitening * sd[:, None, :]).sum(axis=(1, 2)) / covariances.shape[1]


def _in_range(means: np.ndarray, sds: np.ndarray) -> np.ndarray:
    """Whether float32 holds components of these means and standard deviations (K, D), and their squares."""
    near = np.abs(means) <= np.finfo(np.float32).max
    return np.all(near & (sds >= _LEAST_SD) & (sds <= _LARGEST_SD), axis=1)


def _parts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two float32 arrays whose sum is an array of float64, to 48 bits."""
    most = np.finfo(np.float32).max
    high = np.clip(values, -most, most).astype(np.float32)
    return high, np.clip(values - high, -most, most).astype(np.float32)


@exact_function
def _centre(x, high, low, centred):
    """Set ``centred[j, i] = x[j, i] - mean[j]``; lines of `centred` beyond the features become zero."""
    for j in range(high.shape[0]):
        first, second = high[j], low[j]
        for i in range(x.shape[1]):
            centred[j, i] = (x[j, i] - first) - second
    for j in range(high.shape[0], centred.shape[0]):
        for i in range(x.shape[1]):
            centred[j, i] = np.float32(0.0)


@block_function
def _set(value, line):
    for i in range(line.shape[0]):
        line[i] = value


@block_function
def _add(value, line):
    for i in range(line.shape[0]):
        line[i] += value


@block_function
def _widened(scratch):
    """Lines of float64 in the memory of twice as many of float32."""
    return scratch.reshape(scratch.size).view(np.float64).reshape(scratch.shape[0] // 2, scratch.shape[1])


# Matrices.


def _log_prob_of_matrices(family_params, components, x, log_prob, scratch):
    n_features = padded(x.shape[0])
    centred, product = scratch[:n_features], scratch[n_features : n_features + TILE]
    wide = _widened(scratch)
    line = wide[wide.shape[0] - 1]
    for a in range(components.shape[0]):
        k, out = components[a], log_prob[a]
        if family_params.is_exact[k]:
            log_prob_tiled(x, family_params.means[k], family_params.tiles[k], family_params.peaks[k], line, wide)
            for i in range(out.shape[0]):
                out[i] = line[i]
            continue
        coarse, fine = in_parts(family_params.peaks[k])
        _centre(x, family_params.high[k], family_params.low[k], centred)
        _set(fine, out)
        subtract_squares(family_params.factors[k], centred, product, out)
        _add(coarse, out)


def _accumulate_matrices(family_params, components, x, resp, scratch, family_stats, lane):
    n, sx, sxx = family_stats.n[lane], family_stats.sx[lane], family_stats.sxx[lane]
    n_features = padded(x.shape[0])
    centred, weighted = scratch[:n_features], scratch[n_features : n_features + TILE]
    for a in range(components.shape[0]):
        k = components[a]
        n[k] += sum_block(resp[a])
        if family_params.is_exact[k]:
            accumulate_tiled(x, family_params.means[k], resp[a], sx[k], sxx[k], _widened(scratch))
            continue
        _centre(x, family_params.high[k], family_params.low[k], centred)
        add_moments(centred, weighted, resp[a], sx[k], sxx[k])


def _of_matrices(params: Any) -> dict[str, np.ndarray] | None:
    if params.means.shape[1] <= MAX_SMALL:
        return None
    sds = np.sqrt(np.diagonal(params.covariances, axis1=1, axis2=2))
    is_exact = ~_in_range(params.means, sds) | (inflation(params.whitening, params.covariances) > MOST_INFLATION)
    if is_exact.all():
        return None
    factors = np.where(is_exact[:, None, None], 0.0, params.whitening).astype(np.float32)
    whole, rounded = (np.diagonal(each, axis1=1, axis2=2) for each in (params.whitening, factors))
    lost = np.log(np.where(is_exact[:, None], 1.0, rounded / whole)).sum(axis=1)
    return {"factors": tiles_of(factors).astype(np.float32), "is_exact": is_exact, "peaks": params.log_norm + lost}


# Variances.


@exact_function
def _subtract_four(x, high, scale, shift, a, log_prob):
    """Subtract the squares of features a to a + 3 from a line; any beyond is the last one, scaled by zero."""
    last = high.shape[0] - 1
    j1, j2, j3 = min(a + 1, last), min(a + 2, last), min(a + 3, last)
    h0, h1, h2, h3 = high[a], high[j1], high[j2], high[j3]
    p0, p1, p2, p3 = scale[a], scale[a + 1], scale[a + 2], scale[a + 3]
    q0, q1, q2, q3 = shift[a], shift[a + 1], shift[a + 2], shift[a + 3]
    for i in range(log_prob.shape[0]):
        z0, z1 = (x[a, i] - h0) * p0 + q0, (x[j1, i] - h1) * p1 + q1
        z2, z3 = (x[j2, i] - h2) * p2 + q2, (x[j3, i] - h3) * p3 + q3
        log_prob[i] -= (z0 * z0 + z1 * z1) + (z2 * z2 + z3 * z3)


def _log_prob_of_variances(family_params, components, x, log_prob, scratch):
    for a in range(components.shape[0]):
        k, out = components[a], log_prob[a]
        coarse, fine = in_parts(family_params.peaks[k])
        _set(fine, out)
        for j in range(0, x.shape[0], 4):
            _subtract_four(x, family_params.high[k], family_params.factors[k], family_params.shift[k], j, out)
        _add(coarse, out)


def _accumulate_variances(family_params, components, x, resp, scratch, family_stats, lane):
    n, sx, sxx = family_stats.n[lane], family_stats.sx[lane], family_stats.sxx[lane]
    n_components, n_features = family_params.means.shape
    squares_of = sxx.reshape(n_components, sxx.size // n_components)
    for a in range(components.shape[0]):
        k = components[a]
        n_rows = np.float64(sum_block(resp[a]))
        n[k] += n_rows
        for j in range(0, n_features, 4):
            sums, squares = moments_of_four(x, family_params.high[k], resp[a], j)
            for p in range(min(4, n_features - j)):
                # From the first part of the mean to the mean.
                low, total = np.float64(family_params.low[k, j + p]), np.float64(sums[p])
                sx[k, j + p] += total - n_rows * low
                column = min(j + p, squares_of.shape[1] - 1)
                squares_of[k, column] += squares[p] - low * (2.0 * total - n_rows * low)


def _of_variances(params: Any) -> dict[str, np.ndarray] | None:
    few = params.means.shape[1] < _LEAST_FEATURES
    if few or not _in_range(params.means, 1.0 / params.inverse_sd).all():
        return None
    n_components, n_features = params.means.shape
    # Multiplied by the root of a half, so that squares are half squares; filled up to whole fours.
    factors = np.zeros((n_components, n_features + -n_features % 4), dtype=np.float32)
    factors[:, :n_features] = _ROOT_HALF * params.inverse_sd
    shift = np.zeros_like(factors)
    shift[:, :n_features] = -factors[:, :n_features] * _parts(params.means)[1]
    lost = np.log(factors[:, :n_features] / (_ROOT_HALF * params.inverse_sd)).sum(axis=1)
    return {"factors": factors, "shift": shift, "peaks": params.log_norm + lost}


# Records.


class _Arithmetic(NamedTuple):
    """What a structure does in float32: the fields that are its own, their shapes, and what computes with them."""

    shapes: Callable[[int, int], dict[str, tuple[int, ...]]]
    fields_of: Callable[[Any], dict[str, np.ndarray] | None]
    log_prob_block: Callable[..., None]
    accumulate_block: Callable[..., None]


_MATRICES = _Arithmetic(
    lambda k, d: {"factors": (k, n_tiles(d), TILE * TILE), "is_exact": (k,)},
    _of_matrices,
    _log_prob_of_matrices,
    _accumulate_matrices,
)
_VARIANCES = _Arithmetic(
    lambda k, d: {"factors": (k, d + -d % 4), "shift": (k, d + -d % 4)},
    _of_variances,
    _log_prob_of_variances,
    _accumulate_variances,
)


def float32_record(name: str, module: str, covariance_type: str) -> tuple[Any, Callable[[Any], Any]]:
    """Make the class of parameters of Gaussians of a structure in float32, and register what is compiled for it.

    Besides it, a function that makes such a record of one in float64, or None where float32 is no good.
    """
    structure: Any = STRUCTURES[covariance_type]
    arithmetic = _VARIANCES if isinstance(structure, Variances) else _MATRICES
    shared = {"high": lambda k, d: (k, d), "low": lambda k, d: (k, d), "peaks": lambda k, d: (k,)}
    own = tuple(arithmetic.shapes(1, 1))
    fields = (*structure.fields, *shared, *own, "offset")

    def shapes(self: Any, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        of_own = arithmetic.shapes(k, d).values()
        return (*structure.shapes(k, d), *(shape(k, d) for shape in shared.values()), *of_own, (1,))

    base: Any = namedtuple(name, fields)  # type: ignore[misc]
    record = type(name, (base,), {"__slots__": (), "__module__": module, "shapes": shapes})
    register_family(
        record,
        log_prob_block=arithmetic.log_prob_block,
        accumulate_block=arithmetic.accumulate_block,
        float32=True,
    )

    def in_float32(params: Any) -> Any:
        found = arithmetic.fields_of(params)
        if found is None:
            return None
        high, low = _parts(params.means)
        offset = found["peaks"].max(keepdims=True)
        found |= {"high": high, "low": low, "peaks": found["peaks"] - offset, "offset": offset}
        return record(**params._asdict(), **{each: plain(value) for each, value in found.items()})

    return record, in_float32
