"""Records of the families of independent columns, and the block operations, compiled once for all of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastem.families.base import FamilyBase
from fastem.families.columns.blocks import (
    NO_EXPOSURE,
    add_count_terms,
    add_linear,
    add_of_codes,
    count_codes,
    derive,
    exclude,
    has_large_counts,
    read_codes,
    read_exposure,
    subtract_deviances,
    subtract_squares,
    sum_linear,
    sum_squares,
)
from fastem.families.gaussian.moments import MIN_OCCUPANCY
from fastem.families.gaussian.tiles import sum_block
from fastem.families.gaussian.variances import DiagMoments
from fastem.passes.blocks import register_family
from fastem.passes.rows import plain
from fastem.stats import Repair


class ColumnParams(NamedTuple):
    """Parameters of K components for D columns.

    The log-density of a row is a sum of *terms*, ``slope * T(x)`` each, where T(x) is a column, a function of one, or
    whether a column has a certain code; and of squares ``-((x - mean) * inverse_sd)^2 / 2``. There are L terms of
    numbers and S of codes.

    Shapes::

        means       (K, D)      of each column; zero for coded ones, one for covariates
        values      (K, V)      the families' own parameters, from which all else follows
        base        (K,)        what the log-density of each row has of the component alone
        slope       (K, L + S)  log-density per unit of each term; minus infinity for codes that are impossible
        required    (K, L + S)  the only value that is possible; -1 where there are others
        linear      (L,)        int64, the line of each term: columns of X, counts the last of them; then derived lines
        source      (M,)        int64, the column that each derived line is made of
        transform   (M,)        int64, by which function: see `blocks.derive`
        counted     (P,)        int64, the columns that are counts
        total       (K,)        sum of the means of counts, for one unit of exposure
        exposure    (1,)        int64, the column that multiplies the means of counts, or NO_ or TOTAL_EXPOSURE
        squared     (Q,)        int64, the columns of squares
        inverse_sd  (K, Q)
        coded       (C,)        int64, the columns of codes
        first_code  (C + 1,)    int64, where the terms of their codes begin
    """

    means: np.ndarray
    values: np.ndarray
    base: np.ndarray
    slope: np.ndarray
    required: np.ndarray
    linear: np.ndarray
    source: np.ndarray
    transform: np.ndarray
    counted: np.ndarray
    total: np.ndarray
    exposure: np.ndarray
    squared: np.ndarray
    inverse_sd: np.ndarray
    coded: np.ndarray
    first_code: np.ndarray

    def shapes(self, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the fields for k components and d columns, of as many terms as the lists name."""
        n_linear, n_derived, n_squared, n_coded = self.linear.size, self.source.size, self.squared.size, self.coded.size
        terms = k, max(n_linear, self.slope.size // k)
        # Counts are among the columns of linear terms.
        n_counted = min(self.counted.size, n_linear - n_derived)
        return (
            (k, d), (k, self.values.size // k), (k,), terms, terms, (n_linear,), (n_derived,), (n_derived,),
            (n_counted,), (k,), (1,), (n_squared,), (k, n_squared), (n_coded,), (n_coded + 1,),
        )  # fmt: skip


def column_params(means: np.ndarray, values: np.ndarray, **fields: Any) -> ColumnParams:
    """Parameters of the given fields; what is not given is empty, or zero."""
    return ColumnParams(**proper_fields(means, values, fields))


def proper_fields(means: np.ndarray, values: np.ndarray, fields: dict[str, Any]) -> dict[str, Any]:
    """All fields of a record, as passes read them."""
    k = means.shape[0]
    nothing, nowhere = np.empty((k, 0)), np.empty(0, dtype=np.int64)
    every: dict[str, Any] = {
        "base": np.zeros(k),
        "slope": nothing,
        "total": np.zeros(k),
        "exposure": np.array([NO_EXPOSURE]),
        "inverse_sd": nothing,
        "first_code": np.zeros(1, dtype=np.int64),
        **dict.fromkeys(("linear", "source", "transform", "counted", "squared", "coded"), nowhere),
        **{name: plain(value) for name, value in {"means": means, "values": values, **fields}.items()},
    }
    if "required" not in every:
        every["required"] = np.full_like(every["slope"], -1.0)
    return every


class _ColumnFields(NamedTuple):
    n: np.ndarray
    pseudo: np.ndarray
    exposure: np.ndarray
    sums: np.ndarray
    sx: np.ndarray
    sxx: np.ndarray
    scatter_rows: np.ndarray
    pivot: np.ndarray


class ColumnStats(DiagMoments, _ColumnFields):
    """Statistics of K components for the terms and squares of `ColumnParams`.

    Shapes::

        n              (K,)        sum of resp
        pseudo         (K,)        rows that count for terms only; data have none, a prior may
        exposure       (K,)        sum of resp * exposure
        sums           (K, L + S)  sum of resp * T(x)
        sx, sxx        (K, Q)      sums of resp * (x - pivot), and of its square
        dof            (K,)        rows that count for variances only, likewise
        pivot          (K, Q)      the component's means when the sums were taken
    """

    __slots__ = ()

    def shapes(self, params: ColumnParams, k: int, n_lanes: int) -> tuple[tuple[int, ...], ...]:
        each, squared, sums = (n_lanes, k), (n_lanes, *params.inverse_sd.shape), (n_lanes, *params.slope.shape)
        return each, each, each, sums, squared, squared, each, params.inverse_sd.shape

    @property
    def rows(self) -> np.ndarray:
        """Rows (K,) that sums are divided by."""
        return self.n + self.pseudo


class OfColumns(FamilyBase):
    """What families of independent columns, and their products, read from the records alone."""

    def zero_stats_like(self, params: ColumnParams) -> ColumnStats:
        n, pseudo, exposure, scatter_rows = np.zeros((4, params.means.shape[0]))
        sums, sx, sxx = map(np.zeros_like, (params.slope, params.inverse_sd, params.inverse_sd))
        pivot = np.ascontiguousarray(params.means[:, params.squared])
        return ColumnStats(n, pseudo, exposure, sums, sx, sxx, scatter_rows, pivot)

    def expected_log_prob(self, params: ColumnParams, stats: ColumnStats) -> float:
        """Without what does not depend on the parameters (factorials of counts)."""
        squares = stats.about(params.means[:, params.squared]).sxx * np.square(params.inverse_sd)
        by_component = stats.rows * params.base - stats.exposure * params.total
        # Of what is impossible, and was not seen, there is nothing to say.
        terms = stats.sums * np.where(stats.sums != 0, params.slope, 0.0)
        # Sums are of the same rows, in another order.
        expected = params.required * stats.rows[:, None]
        excluded = (params.required >= 0) & (np.abs(stats.sums - expected) > 1e-9 * np.abs(stats.rows[:, None]))
        return float(by_component.sum() + np.where(excluded, -np.inf, terms).sum() - 0.5 * squares.sum())


def filled(stats: ColumnStats) -> tuple[ColumnStats, list[Repair]]:
    """Statistics in which an empty component has those of all rows, and a message about it."""
    empty = stats.rows <= MIN_OCCUPANCY * stats.rows.sum()
    if not empty.any():
        return stats, []
    pooled = stats._map(lambda a: np.where(empty.reshape(-1, *[1] * (a.ndim - 1)), a.sum(axis=0), a))
    # Without any rows at all there is nothing to divide by.
    n, exposure = (np.where(pooled.rows > 0, field, 1.0) for field in (pooled.n, pooled.exposure))
    pooled = pooled._replace(n=n, exposure=exposure)
    return pooled, [Repair(int(k), "empty", "took the distribution of all rows") for k in np.flatnonzero(empty)]


# Scratch lines: what rows have for all components, their exposures and the logarithms of these, derived lines, codes.
_LINES = 3


def log_prob_block(family_params, components, x, log_prob, scratch):
    """Set the log-densities of a block of rows under some components."""
    p = family_params
    n_rows = log_prob.shape[1]
    row_term, exposure, log_exposure = scratch[0], scratch[1], scratch[2]
    place, counted, n_derived = p.exposure[0], p.counted, p.source.shape[0]
    derived, codes = scratch[_LINES:], scratch[_LINES + n_derived :]
    for i in range(n_rows):
        row_term[i] = 0.0
        exposure[i] = 0.0
    are_large = False
    if counted.shape[0] > 0:
        read_exposure(x, place, counted, exposure, log_exposure)
        are_large = has_large_counts(x, counted)
        add_count_terms(x, counted, are_large, exposure, log_exposure, place, row_term)
    derive(x, p.source, p.transform, derived)
    for c in range(p.coded.shape[0]):
        first = p.first_code[c]
        read_codes(x[p.coded[c]], first, p.first_code[c + 1] - first, codes[c].view(np.int64), row_term)
    n_read = p.linear.shape[0] - n_derived
    n_plain = n_read - counted.shape[0]
    n_linear = n_plain if are_large else n_read
    for a in range(components.shape[0]):
        k = components[a]
        total = 0.0 if are_large else p.total[k]
        for i in range(n_rows):
            log_prob[a, i] = row_term[i] + (p.base[k] - exposure[i] * total)
        add_linear(x, p.linear[:n_linear], p.slope[k], log_prob[a])
        add_linear(derived, p.linear[n_read:], p.slope[k, n_read:], log_prob[a])
        if are_large:
            subtract_deviances(x, counted, p.means[k], p.slope[k, n_plain:], exposure, log_exposure, log_prob[a])
        exclude(x, p.linear, p.required[k], log_prob[a])
        subtract_squares(x, p.squared, p.means[k], p.inverse_sd[k], log_prob[a])
        for c in range(p.coded.shape[0]):
            add_of_codes(codes[c].view(np.int64), p.slope[k], log_prob[a])


def accumulate_block(family_params, components, x, resp, scratch, family_stats, lane):
    """Add the statistics of a block of rows that belong to some components by `resp`."""
    p = family_params
    exposure, log_exposure = scratch[0], scratch[1]
    place, n_derived = p.exposure[0], p.source.shape[0]
    derived, codes = scratch[_LINES:], scratch[_LINES + n_derived :]
    if place != NO_EXPOSURE:
        read_exposure(x, place, p.counted, exposure, log_exposure)
    derive(x, p.source, p.transform, derived)
    for c in range(p.coded.shape[0]):
        first = p.first_code[c]
        read_codes(x[p.coded[c]], first, p.first_code[c + 1] - first, codes[c].view(np.int64), scratch[2])
    n_read = p.linear.shape[0] - n_derived
    for a in range(components.shape[0]):
        k = components[a]
        n = sum_block(resp[a])
        family_stats.n[lane, k] += n
        if place == NO_EXPOSURE:
            family_stats.exposure[lane, k] += n
        else:
            exposed = 0.0
            for i in range(resp.shape[1]):
                exposed += resp[a, i] * exposure[i]
            family_stats.exposure[lane, k] += exposed
        sums = family_stats.sums[lane, k]
        sum_linear(x, p.linear[:n_read], resp[a], sums)
        sum_linear(derived, p.linear[n_read:], resp[a], sums[n_read:])
        sum_squares(x, p.squared, p.means[k], resp[a], family_stats.sx[lane, k], family_stats.sxx[lane, k])
        for c in range(p.coded.shape[0]):
            first = p.first_code[c]
            count_codes(codes[c].view(np.int64), first, p.first_code[c + 1] - first, resp[a], sums)


register_family(ColumnParams, log_prob_block=log_prob_block, accumulate_block=accumulate_block)
