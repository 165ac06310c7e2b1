"""Rows with missing values in independent columns: each of these counts as its component expects it.

A missing value takes nothing from a log-density, and adds the average of its terms to the statistics. Blocks without a
missing value take the loops for complete rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastem.families.columns.blocks import (
    FEW_CODES,
    NO_EXPOSURE,
    add_count_terms,
    add_linear,
    count_codes,
    derive,
    has_large_counts,
    read_codes,
    read_exposure,
    subtract_deviances,
    sum_linear,
)
from fastem.families.columns.records import ColumnParams, accumulate_block, log_prob_block, proper_fields
from fastem.families.gaussian.gaps import count_missing
from fastem.families.gaussian.tiles import sum_block
from fastem.passes.blocks import register_family
from fastem.passes.flags import block_function
from fastem.passes.rows import plain

_accumulate_complete, _log_prob_of_complete = map(block_function, (accumulate_block, log_prob_block))


class ColumnGapsParams(NamedTuple):
    """Parameters as in `ColumnParams`, for rows that may miss values.

    Shapes::

        bases     (K, D)      what the log-density of each column has of the component alone; of counts without an
                              exposure, that of zero
        averages  (K, L + S)  of each term, for one unit of exposure
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
    bases: np.ndarray
    averages: np.ndarray

    def shapes(self, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the fields for k components and d columns, of as many terms as the lists name."""
        complete = ColumnParams(*self[: len(ColumnParams._fields)]).shapes(k, d)
        return (*complete, (k, d), (k, self.slope.size // k))


def column_gaps_params(
    means: np.ndarray, values: np.ndarray, bases: np.ndarray, averages: np.ndarray, **fields: Any
) -> Any:
    """Parameters for rows that may miss values, as `column_params` makes them for complete ones."""
    of_complete = proper_fields(means, values, fields)
    if of_complete["exposure"][0] == NO_EXPOSURE:
        # What a count of zero has: the mean, for one unit of exposure, is part of it.
        counted = of_complete["counted"]
        bases = bases.copy()
        bases[:, counted] -= means[:, counted]
    return ColumnGapsParams(**of_complete, bases=plain(bases), averages=plain(averages))


class _Gaps(NamedTuple):
    """A block of rows, and what is missing there.

    Shapes::

        x            (D, rows)  zeros for what is missing
        is_missing   (D, rows)  1 where a value is missing, 0 elsewhere
        any_missing  (D,)       int64, the columns that miss values, and
        n_any        ()         how many these are
        exposed      (P, rows)  the exposure of a count where it is missing, 0 elsewhere; where all is one, no lines
        weights      (D + P,)   room for what missing values weigh
        codes        (C, rows)  int64
    """

    x: np.ndarray
    is_missing: np.ndarray
    any_missing: np.ndarray
    n_any: int
    exposed: np.ndarray
    weights: np.ndarray
    codes: np.ndarray


@block_function
def _read_gaps(x, p):
    n_features, n_rows = x.shape
    n_counted = 0 if p.exposure[0] == NO_EXPOSURE else p.counted.shape[0]
    tables, any_missing = np.empty((2 * n_features + n_counted, n_rows)), np.empty(n_features, dtype=np.int64)
    n_any = 0
    for j in range(n_features):
        line, filled, is_missing = x[j], tables[j], tables[n_features + j]
        total = 0.0
        for i in range(n_rows):
            is_missing[i] = 1.0 if line[i] != line[i] else 0.0
            filled[i] = line[i] if line[i] == line[i] else 0.0
            total += is_missing[i]
        if total > 0.0:
            any_missing[n_any] = j
            n_any += 1
    return _Gaps(
        tables[:n_features], tables[n_features : 2 * n_features], any_missing, n_any, tables[2 * n_features :],
        np.empty(n_features + n_counted), np.empty((p.coded.shape[0], n_rows), dtype=np.int64),
    )  # fmt: skip


@block_function
def _expose(gaps, counted, exposure):
    """Set the exposures of counts that are missing."""
    for b in range(gaps.exposed.shape[0]):
        exposed, is_missing = gaps.exposed[b], gaps.is_missing[counted[b]]
        for i in range(exposed.shape[0]):
            exposed[i] = is_missing[i] * exposure[i]


@block_function
def _clear(gaps, source, lines):
    """Set derived lines to zero where the column that they are made of is missing."""
    for b in range(source.shape[0]):
        line, is_missing = lines[b], gaps.is_missing[source[b]]
        for i in range(line.shape[0]):
            line[i] = line[i] if is_missing[i] == 0.0 else 0.0


@block_function
def _read_codes(gaps, p, row_term):
    """Set the codes of all columns, -1 for what is missing."""
    for c in range(p.coded.shape[0]):
        first, j, codes = p.first_code[c], p.coded[c], gaps.codes[c]
        read_codes(gaps.x[j], first, p.first_code[c + 1] - first, codes, row_term)
        is_missing = gaps.is_missing[j]
        for i in range(codes.shape[0]):
            codes[i] = codes[i] if is_missing[i] == 0.0 else -1


@block_function
def _exclude(gaps, columns, required, log_prob):
    """As `exclude`, for values that are there."""
    for b in range(columns.shape[0]):
        value = required[b]
        if value >= 0.0:
            x, is_missing = gaps.x[columns[b]], gaps.is_missing[columns[b]]
            for i in range(log_prob.shape[0]):
                log_prob[i] = log_prob[i] if x[i] == value or is_missing[i] > 0.0 else -np.inf


@block_function
def _subtract_squares(gaps, columns, mean, inverse_sd, log_prob):
    """As `subtract_squares`, for values that are there."""
    for b in range(columns.shape[0]):
        j = columns[b]
        x, is_missing, m, p = gaps.x[j], gaps.is_missing[j], mean[j], inverse_sd[b]
        for i in range(log_prob.shape[0]):
            z = (x[i] - m) * p if is_missing[i] == 0.0 else 0.0
            log_prob[i] -= 0.5 * (z * z)


@block_function
def _add_of_codes(codes, table, log_prob):
    for i in range(log_prob.shape[0]):
        # A read that does not depend on what is missing is one of many at a time.
        value = table[codes[i] if codes[i] >= 0 else 0]
        log_prob[i] += value if codes[i] >= 0 else 0.0


@block_function
def _take_back(gaps, k, p, log_prob):
    """Take back what missing values of each column added: its base and, of counts, the mean."""
    bases, rates, last = p.bases[k], p.means[k], gaps.n_any - 1
    for a in range(0, gaps.n_any, 4):
        j0, j1 = gaps.any_missing[a], gaps.any_missing[min(a + 1, last)]
        j2, j3 = gaps.any_missing[min(a + 2, last)], gaps.any_missing[min(a + 3, last)]
        u0, u1, u2, u3 = gaps.is_missing[j0], gaps.is_missing[j1], gaps.is_missing[j2], gaps.is_missing[j3]
        b0, b1 = bases[j0], bases[j1] if a + 1 <= last else 0.0
        b2, b3 = bases[j2] if a + 2 <= last else 0.0, bases[j3] if a + 3 <= last else 0.0
        for i in range(log_prob.shape[0]):
            log_prob[i] -= (u0[i] * b0 + u1[i] * b1) + (u2[i] * b2 + u3[i] * b3)
    for b in range(gaps.exposed.shape[0]):
        exposed, rate = gaps.exposed[b], rates[p.counted[b]]
        for i in range(log_prob.shape[0]):
            log_prob[i] += exposed[i] * rate


def _log_prob_block(family_params, components, x, log_prob, scratch):
    p = family_params
    n_rows = log_prob.shape[1]
    row_term, exposure, log_exposure = scratch[0], scratch[1], scratch[2]
    if not count_missing(x, row_term):
        _log_prob_of_complete(p, components, x, log_prob, scratch)
        return
    place, counted, n_derived = p.exposure[0], p.counted, p.source.shape[0]
    gaps, derived = _read_gaps(x, p), scratch[3:]
    for i in range(n_rows):
        row_term[i] = 0.0
        exposure[i] = 0.0
    are_large = False
    if counted.shape[0] > 0:
        read_exposure(gaps.x, place, counted, exposure, log_exposure)
        are_large = has_large_counts(gaps.x, counted)
        add_count_terms(gaps.x, counted, are_large, exposure, log_exposure, place, row_term)
        _expose(gaps, counted, exposure)
    derive(gaps.x, p.source, p.transform, derived)
    _clear(gaps, p.source, derived)
    _read_codes(gaps, p, row_term)
    n_read = p.linear.shape[0] - n_derived
    n_plain = n_read - counted.shape[0]
    n_linear = n_plain if are_large else n_read
    for a in range(components.shape[0]):
        k = components[a]
        total = 0.0 if are_large else p.total[k]
        for i in range(n_rows):
            log_prob[a, i] = row_term[i] + (p.base[k] - exposure[i] * total)
        add_linear(gaps.x, p.linear[:n_linear], p.slope[k], log_prob[a])
        add_linear(derived, p.linear[n_read:], p.slope[k, n_read:], log_prob[a])
        if are_large:
            subtract_deviances(gaps.x, counted, p.means[k], p.slope[k, n_plain:], exposure, log_exposure, log_prob[a])
        _exclude(gaps, p.linear[:n_read], p.required[k], log_prob[a])
        _subtract_squares(gaps, p.squared, p.means[k], p.inverse_sd[k], log_prob[a])
        for c in range(p.coded.shape[0]):
            _add_of_codes(gaps.codes[c], p.slope[k], log_prob[a])
        _take_back(gaps, k, p, log_prob[a])


@block_function
def _weigh_missing(gaps, resp):
    """Set what missing values of each column weigh, and behind them what missing counts do, by their exposures."""
    weights, n_features = gaps.weights, gaps.x.shape[0]
    for j in range(weights.shape[0]):
        weights[j] = 0.0
    last = gaps.n_any - 1
    for a in range(0, gaps.n_any, 4):
        j0, j1 = gaps.any_missing[a], gaps.any_missing[min(a + 1, last)]
        j2, j3 = gaps.any_missing[min(a + 2, last)], gaps.any_missing[min(a + 3, last)]
        u0, u1, u2, u3 = gaps.is_missing[j0], gaps.is_missing[j1], gaps.is_missing[j2], gaps.is_missing[j3]
        w0, w1, w2, w3 = 0.0, 0.0, 0.0, 0.0
        for i in range(resp.shape[0]):
            w0 += resp[i] * u0[i]
            w1 += resp[i] * u1[i]
            w2 += resp[i] * u2[i]
            w3 += resp[i] * u3[i]
        # Columns that stand for one beyond the last are that one.
        weights[j3] = w3
        weights[j2] = w2
        weights[j1] = w1
        weights[j0] = w0
    for b in range(gaps.exposed.shape[0]):
        exposed, total = gaps.exposed[b], 0.0
        for i in range(resp.shape[0]):
            total += resp[i] * exposed[i]
        weights[n_features + b] = total


@block_function
def _sum_squares(gaps, columns, mean, inverse_sd, resp, sx, sxx):
    """As `sum_squares`; a missing value is at the mean, with its variance."""
    for b in range(columns.shape[0]):
        j = columns[b]
        x, is_missing, m = gaps.x[j], gaps.is_missing[j], mean[j]
        first, second = 0.0, 0.0
        for i in range(resp.shape[0]):
            d = x[i] - m if is_missing[i] == 0.0 else 0.0
            weighted = resp[i] * d
            first += weighted
            second += weighted * d
        sx[b] += first
        sxx[b] += second + gaps.weights[j] / (inverse_sd[b] * inverse_sd[b])


@block_function
def _count_codes(gaps, c, p, k, resp, counts):
    """As `count_codes`; a missing code is each of them, by its probability."""
    codes, first, after = gaps.codes[c], p.first_code[c], p.first_code[c + 1]
    weight = gaps.weights[p.coded[c]]
    if weight == 0.0 or after - first <= FEW_CODES:
        # Each category looks for its own code, which that of a missing value is not.
        count_codes(codes, first, after - first, resp, counts)
    else:
        for i in range(resp.shape[0]):
            if codes[i] >= 0:
                counts[codes[i]] += resp[i]
    for code in range(first, after):
        counts[code] += weight * p.averages[k, code]


def _accumulate_block(family_params, components, x, resp, scratch, family_stats, lane):
    p = family_params
    exposure, log_exposure = scratch[0], scratch[1]
    if not count_missing(x, exposure):
        _accumulate_complete(p, components, x, resp, scratch, family_stats, lane)
        return
    place, n_derived = p.exposure[0], p.source.shape[0]
    gaps, derived = _read_gaps(x, p), scratch[3:]
    if place != NO_EXPOSURE:
        read_exposure(gaps.x, place, p.counted, exposure, log_exposure)
        _expose(gaps, p.counted, exposure)
    derive(gaps.x, p.source, p.transform, derived)
    _clear(gaps, p.source, derived)
    _read_codes(gaps, p, scratch[2])
    n_read = p.linear.shape[0] - n_derived
    n_plain = n_read - p.counted.shape[0]
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
        sum_linear(gaps.x, p.linear[:n_read], resp[a], sums)
        sum_linear(derived, p.linear[n_read:], resp[a], sums[n_read:])
        _weigh_missing(gaps, resp[a])
        for b in range(p.linear.shape[0]):
            place_of = p.linear[b] if b < n_read else p.source[p.linear[b]]
            if n_plain <= b < n_read and place != NO_EXPOSURE:
                place_of = x.shape[0] + b - n_plain
            sums[b] += p.averages[k, b] * gaps.weights[place_of]
        sx, sxx = family_stats.sx[lane, k], family_stats.sxx[lane, k]
        _sum_squares(gaps, p.squared, p.means[k], p.inverse_sd[k], resp[a], sx, sxx)
        for c in range(p.coded.shape[0]):
            _count_codes(gaps, c, p, k, resp[a], sums)


register_family(ColumnGapsParams, log_prob_block=_log_prob_block, accumulate_block=_accumulate_block)
