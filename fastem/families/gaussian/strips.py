"""Rows with missing values whose patterns are rare: a strip of them is worked on together, each with its own pattern.

Every line of a strip has one number for each of its rows, so that loops go over rows, whatever these miss. A row that
misses fewer values than another of its strip has equations of its own for the rest: feature D, of precision one, which
no other feature knows, nor another one of these: so the diagonal is kept apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.passes.flags import block_function
from fastem.passes.vector_math import log_positive

# Rows of a strip: with more, the lines of a strip leave the fastest cache.
WIDTH = 64
# A pivot is at least this part of the diagonal that it comes from: any less is rounding.
LEAST_PIVOT = 1e-15


class Strip(NamedTuple):
    """Memory for the strips of a block, whose rows miss at most M values.

    Shapes::

        place     (WIDTH,)            int64, of each row in the table of rows
        missing   (M, WIDTH)          int64, the features that each row misses
        offset    (M, WIDTH)          int64, where their rows of the precision begin
        y, u      (D, WIDTH)          rows less the mean; precision times y, then what to take from the mean
        factor    (M (M + 1) / 2, WIDTH)  lower triangles, row by row: of the Cholesky factor, its pivots inverted
        log_root  (WIDTH,)            half the logarithm of the determinant of the covariance of what is missing
        weight    (WIDTH,)
    """

    place: np.ndarray
    missing: np.ndarray
    offset: np.ndarray
    y: np.ndarray
    u: np.ndarray
    factor: np.ndarray
    log_root: np.ndarray
    weight: np.ndarray


def flat_precision(precision: np.ndarray) -> np.ndarray:
    """Rows of precisions (K, D, D), with a row and a column of zeros more, then their diagonals, and one."""
    k = len(precision)
    rows = np.pad(precision, ((0, 0), (0, 1), (0, 1))).reshape(k, -1)
    return np.concatenate([rows, np.diagonal(precision, axis1=1, axis2=2), np.ones((k, 1))], axis=1)


@block_function
def new_strip(n_features, most_missing):
    """Memory for strips of rows that miss at most so many values."""
    integers = np.empty((1 + 2 * most_missing, WIDTH), dtype=np.int64)
    n_lines = most_missing * (most_missing + 1) // 2
    lines = np.empty((2 * n_features + n_lines + most_missing + 2, WIDTH))
    return Strip(
        integers[0],
        integers[1 : 1 + most_missing],
        integers[1 + most_missing :],
        lines[:n_features],
        lines[n_features : 2 * n_features + most_missing],
        lines[2 * n_features + most_missing : 2 * n_features + most_missing + n_lines],
        lines[lines.shape[0] - 2],
        lines[lines.shape[0] - 1],
    )


@block_function
def _read(strip, x, features, rows, n, m, mean, width):
    """Read n rows, the last of them again up to the end of the strip; what is missing is at the mean."""
    for i in range(WIDTH):
        strip.place[i] = rows[i if i < n else n - 1]
    for a in range(m):
        missing, offset, line = strip.missing[a], strip.offset[a], features[a]
        for i in range(WIDTH):
            missing[i] = line[strip.place[i]]
            offset[i] = missing[i] * width
    for j in range(mean.shape[0]):
        y, line, center = strip.y[j], x[j], mean[j]
        for i in range(WIDTH):
            y[i] = line[strip.place[i]] - center
    for a in range(m):
        missing = strip.missing[a]
        for i in range(WIDTH):
            if missing[i] < mean.shape[0]:
                strip.y[missing[i], i] = 0.0


@block_function
def _multiply(precision, y, u):
    """Set ``u[j] = sum_d precision[j, d] * y[d]``, four d at a time."""
    n_features = y.shape[0]
    last = n_features - 1
    for j in range(n_features):
        line, row = u[j], precision[j]
        for i in range(WIDTH):
            line[i] = 0.0
        for d in range(0, n_features, 4):
            d1, d2, d3 = min(d + 1, last), min(d + 2, last), min(d + 3, last)
            p0 = row[d]
            p1 = row[d1] if d + 1 <= last else 0.0
            p2 = row[d2] if d + 2 <= last else 0.0
            p3 = row[d3] if d + 3 <= last else 0.0
            y0, y1, y2, y3 = y[d], y[d1], y[d2], y[d3]
            for i in range(WIDTH):
                line[i] += (p0 * y0[i] + p1 * y1[i]) + (p2 * y2[i] + p3 * y3[i])


@block_function
def _factor(strip, flat, m, diagonal):
    """Set the Cholesky factor of each row's block of the precision, and `log_root`.

    `flat` holds the rows of the precision, and from `diagonal` on its diagonal.
    """
    log_root = strip.log_root
    for i in range(WIDTH):
        log_root[i] = 0.0
    for a in range(m):
        row_a, offset = a * (a + 1) // 2, strip.offset[a]
        for b in range(a + 1):
            line, other, row_b = strip.factor[row_a + b], strip.missing[b], b * (b + 1) // 2
            for i in range(WIDTH):
                line[i] = flat[(offset[i] if b < a else diagonal) + other[i]]
            for c in range(b):
                left, right = strip.factor[row_a + c], strip.factor[row_b + c]
                for i in range(WIDTH):
                    line[i] -= left[i] * right[i]
            if b < a:
                pivot = strip.factor[row_b + b]
                for i in range(WIDTH):
                    line[i] *= pivot[i]
            else:
                for i in range(WIDTH):
                    least = LEAST_PIVOT * flat[diagonal + other[i]]
                    value = line[i] if line[i] > least else least
                    log_root[i] -= 0.5 * log_positive(value)
                    line[i] = 1.0 / np.sqrt(value)


@block_function
def _solve(strip, m, solution):
    """Set `solution` to the u of what each row misses, divided by its block of the precision."""
    for a in range(m):
        line, missing, row_a = solution[a], strip.missing[a], a * (a + 1) // 2
        for i in range(WIDTH):
            line[i] = strip.u[missing[i], i] if missing[i] < strip.y.shape[0] else 0.0
        for b in range(a):
            factor, other = strip.factor[row_a + b], solution[b]
            for i in range(WIDTH):
                line[i] -= factor[i] * other[i]
        pivot = strip.factor[row_a + a]
        for i in range(WIDTH):
            line[i] *= pivot[i]
    for a in range(m - 1, -1, -1):
        line = solution[a]
        for b in range(a + 1, m):
            factor, other = strip.factor[b * (b + 1) // 2 + a], solution[b]
            for i in range(WIDTH):
                line[i] -= factor[i] * other[i]
        pivot = strip.factor[a * (a + 1) // 2 + a]
        for i in range(WIDTH):
            line[i] *= pivot[i]


@block_function
def complete_strip(strip, x, features, rows, n, m, mean, precision, flat):
    """Fill in the n rows of the table x (D, rows) that `rows` names, which miss at most m values."""
    n_features = mean.shape[0]
    _read(strip, x, features, rows, n, m, mean, n_features + 1)
    _multiply(precision, strip.y, strip.u)
    _factor(strip, flat, m, (n_features + 1) * (n_features + 1))
    solution = strip.u[n_features:]
    _solve(strip, m, solution)
    for a in range(m):
        missing, line = strip.missing[a], solution[a]
        for i in range(n):
            if missing[i] < n_features:
                x[missing[i], strip.place[i]] = mean[missing[i]] - line[i]


@block_function
def _invert(strip, m):
    """Turn the factors into their inverses."""
    for b in range(m):
        for a in range(b + 1, m):
            row_a = a * (a + 1) // 2
            # Column b of the inverse, down to a; the factor's own entry is needed until then.
            line = strip.factor[row_a + b]
            first = strip.factor[b * (b + 1) // 2 + b]
            for i in range(WIDTH):
                line[i] *= first[i]
            for c in range(b + 1, a):
                left, right = strip.factor[row_a + c], strip.factor[c * (c + 1) // 2 + b]
                for i in range(WIDTH):
                    line[i] += left[i] * right[i]
            pivot = strip.factor[row_a + a]
            for i in range(WIDTH):
                line[i] *= -pivot[i]


@block_function
def add_conditional_of_strip(strip, m, n_features, scatter):
    """Add ``weight * C`` of the rows of the strip to the lower triangle of a scatter (D, D)."""
    _invert(strip, m)
    # Nobody needs the rows any more.
    product = strip.y[0]
    for a in range(m):
        for b in range(a + 1):
            for i in range(WIDTH):
                product[i] = 0.0
            for c in range(a, m):
                left, right = strip.factor[c * (c + 1) // 2 + a], strip.factor[c * (c + 1) // 2 + b]
                for i in range(WIDTH):
                    product[i] += left[i] * right[i]
            of_a, of_b = strip.missing[a], strip.missing[b]
            for i in range(WIDTH):
                if of_a[i] < n_features:
                    scatter[of_a[i], of_b[i]] += strip.weight[i] * product[i]
