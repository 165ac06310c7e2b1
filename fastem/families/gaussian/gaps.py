"""Rows with missing values under a covariance matrix: each of these counts as its expectation.

Of a row x the features m are missing. With y = x - mean, zero in m, the precision P, and u = (P y) in m, the expected
values of what is missing are ``mean - C u``, and their covariance is C, the inverse of P's block of m. The density
of what is there is that of the completed row, times ``(2 pi)^(|m| / 2) |C|^(1/2)``: the completed row is whitened, for
a difference of quadratic forms has no digits left where the covariance is nearly singular.

Rows of a block that miss the same features, which have one *pattern*, share a factor of P's block, and lie next to each
other in the tables here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.families.gaussian.small import MAX_SMALL, log_prob_line, log_prob_small
from fastem.families.gaussian.strips import (
    LEAST_PIVOT,
    WIDTH,
    Strip,
    add_conditional_of_strip,
    complete_strip,
    new_strip,
)
from fastem.families.gaussian.tiles import log_prob_tiled
from fastem.passes.flags import block_function
from fastem.passes.patterns import group_rows, is_common, new_grouped, order_rows, set_keys
from fastem.passes.vector_math import log_positive

# Rows that weigh less than this part of a component need no statistics there.
NEGLIGIBLE = 1e-18


class Gaps(NamedTuple):
    """The rows of a block by their patterns: those of G patterns that many have, then the others.

    Shapes::

        x          (D, rows)  rows of a pattern next to each other; what is missing is filled in for a component
        order      (rows,)    int64, where they come from in the block
        in_order   ()         whether that is where they are
        first      (G + 1,)   int64, where the rows of each pattern begin; the last one, where rare patterns do
        n_missing  (G,)       int64
        features   (G, D)     int64, those that are missing, then the others, in order
        of_row     (M, rows)  int64, the features that each row of a rare pattern misses; D where there are no more
        n_of_row   (rows,)    int64, how many those are
        rows       (rows,)    int64, room for places
        factor     (D, D)     room for the Cholesky factor of P's block
        lines      (D, rows)  room for u
        line       (1, rows)  room for what is known of each row
        strip                 room for rows of rare patterns
    """

    x: np.ndarray
    order: np.ndarray
    in_order: bool
    first: np.ndarray
    n_missing: np.ndarray
    features: np.ndarray
    of_row: np.ndarray
    n_of_row: np.ndarray
    rows: np.ndarray
    factor: np.ndarray
    lines: np.ndarray
    line: np.ndarray
    strip: Strip


@block_function
def _list_features(x, row, features):
    """List the features that a row misses, then the others."""
    n = 0
    for is_missing in (True, False):
        for j in range(x.shape[0]):
            if (x[j, row] != x[j, row]) == is_missing:
                features[n] = j
                n += 1


@block_function
def read_gaps(x):
    """The rows of a block x (D, rows) by their patterns."""
    n_features, n_rows = x.shape
    grouped, order = new_grouped(n_rows), np.empty(n_rows, dtype=np.int64)
    set_keys(x, grouped.keys)
    n_groups = group_rows(grouped, n_rows)
    rare = order_rows(grouped, n_groups, n_rows, order)
    n_common, most_missing = 0, 0
    for g in range(n_groups):
        if is_common(grouped, g):
            n_common += 1
        else:
            most_missing = max(most_missing, grouped.n_missing[g])
    first, n_missing = np.empty(n_common + 1, dtype=np.int64), np.empty(n_common, dtype=np.int64)
    features = np.empty((n_common, n_features), dtype=np.int64)
    first[0], g_common = 0, 0
    for g in range(n_groups):
        if is_common(grouped, g):
            first[g_common + 1] = first[g_common] + grouped.size[g]
            n_missing[g_common] = grouped.n_missing[g]
            _list_features(x, grouped.first_row[g], features[g_common])
            g_common += 1
    of_row = np.empty((most_missing, n_rows if most_missing > 0 else 0), dtype=np.int64)
    count = np.empty(n_rows, dtype=np.int64)
    for i in range(rare, n_rows):
        row, n = order[i], 0
        for j in range(n_features):
            if x[j, row] != x[j, row]:
                of_row[n, i] = j
                n += 1
        count[i] = n
        for a in range(n, most_missing):
            of_row[a, i] = n_features
    in_order = True
    for i in range(n_rows):
        in_order = in_order and order[i] == i
    tables = np.empty((2, n_features, n_rows))
    for j in range(n_features):
        take(x[j], order, in_order, tables[0][j])
    return Gaps(
        tables[0], order, in_order, first, n_missing, features, of_row, count, grouped.place,
        np.empty((n_features, n_features)), tables[1], np.empty((1, n_rows)), new_strip(n_features, most_missing),
    )  # fmt: skip


@block_function
def take(source, order, in_order, line):
    """Set ``line[i] = source[order[i]]``."""
    if in_order:
        for i in range(line.shape[0]):
            line[i] = source[i]
    else:
        for i in range(line.shape[0]):
            line[i] = source[order[i]]


@block_function
def _factor_block(precision, missing, factor):
    """Set the Cholesky factor of P's block, with inverse pivots; returns half the logarithm of |C|."""
    log_root = 0.0
    for a in range(missing.shape[0]):
        row = precision[missing[a]]
        for b in range(a):
            value = row[missing[b]]
            for c in range(b):
                value -= factor[a, c] * factor[b, c]
            factor[a, b] = value * factor[b, b]
        value = row[missing[a]]
        least = LEAST_PIVOT * value
        for c in range(a):
            value -= factor[a, c] * factor[a, c]
        value = value if value > least else least
        factor[a, a] = 1.0 / np.sqrt(value)
        log_root -= 0.5 * log_positive(value)
    return log_root


@block_function
def _add_products(mean, precision, seen, x, start, u):
    """Add ``sum_d precision[d] * (x[d] - mean[d])`` over the features that are there, four at a time."""
    last = seen.shape[0] - 1
    n = u.shape[0]
    for c in range(0, seen.shape[0], 4):
        d0, d1, d2, d3 = seen[c], seen[min(c + 1, last)], seen[min(c + 2, last)], seen[min(c + 3, last)]
        p0 = precision[d0]
        p1 = precision[d1] if c + 1 <= last else 0.0
        p2 = precision[d2] if c + 2 <= last else 0.0
        p3 = precision[d3] if c + 3 <= last else 0.0
        m0, m1, m2, m3 = mean[d0], mean[d1], mean[d2], mean[d3]
        x0, x1 = x[d0][start : start + n], x[d1][start : start + n]
        x2, x3 = x[d2][start : start + n], x[d3][start : start + n]
        for i in range(n):
            u[i] += (p0 * (x0[i] - m0) + p1 * (x1[i] - m1)) + (p2 * (x2[i] - m2) + p3 * (x3[i] - m3))


@block_function
def _subtract(factor, other, line):
    for i in range(line.shape[0]):
        line[i] -= factor * other[i]


@block_function
def _scale(factor, line):
    for i in range(line.shape[0]):
        line[i] *= factor


@block_function
def _solve(factor, m, n, lines):
    """Turn u into C u, by the factor of C's inverse."""
    for a in range(m):
        line = lines[a][:n]
        for b in range(a):
            _subtract(factor[a, b], lines[b][:n], line)
        _scale(factor[a, a], line)
    for a in range(m - 1, -1, -1):
        line = lines[a][:n]
        for b in range(a + 1, m):
            _subtract(factor[b, a], lines[b][:n], line)
        _scale(factor[a, a], line)


@block_function
def _complete(gaps, g, mean, precision):
    """Fill in the rows of pattern g under a component of this mean (D,) and precision (D, D).

    Returns half the logarithm of the determinant of C.
    """
    m, start = gaps.n_missing[g], gaps.first[g]
    n = gaps.first[g + 1] - start
    missing, seen, lines = gaps.features[g][:m], gaps.features[g][m:], gaps.lines
    log_root = _factor_block(precision, missing, gaps.factor)
    for a in range(m):
        u = lines[a][:n]
        for i in range(n):
            u[i] = 0.0
        _add_products(mean, precision[missing[a]], seen, gaps.x, start, u)
    _solve(gaps.factor, m, n, lines)
    for a in range(m):
        filled, center, offset = gaps.x[missing[a]][start : start + n], mean[missing[a]], lines[a][:n]
        for i in range(n):
            filled[i] = center - offset[i]
    return log_root


@block_function
def complete_rows(gaps, mean, precision, flat, log_root):
    """Fill in all rows under a component, and set half the logarithm of |C| of each row of the block."""
    for g in range(gaps.n_missing.shape[0]):
        value = _complete(gaps, g, mean, precision) if gaps.n_missing[g] > 0 else 0.0
        for i in range(gaps.first[g], gaps.first[g + 1]):
            log_root[gaps.order[i]] = value
    begin, n_rows = gaps.first[gaps.n_missing.shape[0]], gaps.order.shape[0]
    for i in range(begin, n_rows):
        gaps.rows[i] = i
    for start in range(begin, n_rows, WIDTH):
        rows = gaps.rows[start : min(start + WIDTH, n_rows)]
        n = rows.shape[0]
        m = gaps.n_of_row[rows[n - 1]]
        complete_strip(gaps.strip, gaps.x, gaps.of_row, rows, n, m, mean, precision, flat)
        for i in range(n):
            log_root[gaps.order[rows[i]]] = gaps.strip.log_root[i]


@block_function
def complete_scatter(gaps, mean, precision, flat, resp, least, scatter):
    """Fill in all rows under a component, and add ``resp * C`` to the lower triangle of a scatter (D, D).

    Rows that weigh no more than `least` have the mean in the place of what is missing, and no C.
    """
    for g in range(gaps.n_missing.shape[0]):
        if gaps.n_missing[g] > 0:
            weight = 0.0
            for i in range(gaps.first[g], gaps.first[g + 1]):
                weight += resp[gaps.order[i]]
            if weight > least:
                _complete(gaps, g, mean, precision)
                _add_conditional(gaps, g, weight, scatter)
            else:
                for a in range(gaps.n_missing[g]):
                    j = gaps.features[g, a]
                    for i in range(gaps.first[g], gaps.first[g + 1]):
                        gaps.x[j, i] = mean[j]
    n_heavy = 0
    for i in range(gaps.first[gaps.n_missing.shape[0]], gaps.order.shape[0]):
        if resp[gaps.order[i]] > least:
            gaps.rows[n_heavy] = i
            n_heavy += 1
        else:
            for a in range(gaps.n_of_row[i]):
                gaps.x[gaps.of_row[a, i], i] = mean[gaps.of_row[a, i]]
    for start in range(0, n_heavy, WIDTH):
        rows = gaps.rows[start : min(start + WIDTH, n_heavy)]
        n = rows.shape[0]
        m = gaps.n_of_row[rows[n - 1]]
        complete_strip(gaps.strip, gaps.x, gaps.of_row, rows, n, m, mean, precision, flat)
        for i in range(WIDTH):
            gaps.strip.weight[i] = resp[gaps.order[rows[i]]] if i < n else 0.0
        add_conditional_of_strip(gaps.strip, m, mean.shape[0], scatter)


@block_function
def into_block(gaps, line):
    """Bring the line of the rows by pattern into the order of the block."""
    if gaps.in_order:
        for i in range(line.shape[0]):
            line[i] = gaps.line[0, i]
    else:
        for i in range(line.shape[0]):
            line[gaps.order[i]] = gaps.line[0, i]


@block_function
def by_pattern(gaps, line):
    """Bring a line of the block into the order of the rows by pattern."""
    take(line, gaps.order, gaps.in_order, gaps.line[0])


@block_function
def log_prob_of_any(x, mean, tiles, log_norm, log_prob, scratch):
    """Set ``log_prob = log_norm - |factor @ (x - mean)|^2 / 2`` for a factor (D, D) in tiles, of any size."""
    if mean.shape[0] == 1:
        log_prob_line(x, mean, tiles, log_norm, log_prob)
    elif mean.shape[0] <= MAX_SMALL:
        log_prob_small(x, mean, tiles, log_norm, log_prob)
    else:
        log_prob_tiled(x, mean, tiles, log_norm, log_prob, scratch)


@block_function
def count_missing(x, n_missing):
    """Set the number of values that each row (D, rows) misses, and return whether any is missing."""
    for i in range(n_missing.shape[0]):
        n_missing[i] = 0.0
    for j in range(x.shape[0]):
        line = x[j]
        for i in range(n_missing.shape[0]):
            n_missing[i] += 1.0 if line[i] != line[i] else 0.0
    total = 0.0
    for i in range(n_missing.shape[0]):
        total += n_missing[i]
    return total > 0.0


@block_function
def _add_conditional(gaps, g, weight, scatter):
    """Add `weight` times C to the lower triangle of a scatter (D, D); the factor is that of `complete`."""
    factor, m = gaps.factor, gaps.n_missing[g]
    missing = gaps.features[g][:m]
    # The factor becomes its inverse, column by column.
    for b in range(m):
        for a in range(b + 1, m):
            value = 0.0
            for c in range(b, a):
                value -= factor[a, c] * factor[c, b]
            factor[a, b] = value * factor[a, a]
    for a in range(m):
        for b in range(a + 1):
            value = 0.0
            for c in range(a, m):
                value += factor[c, a] * factor[c, b]
            scatter[missing[a], missing[b]] += weight * value
