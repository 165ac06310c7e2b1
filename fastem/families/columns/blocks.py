"""Loops over a block of rows that the families of independent columns share.

Terms come in three forms: *linear* ones add ``slope * T(x)`` to a log-density, where T(x) is a column or a function of
one, *squared* ones subtract ``((x - mean) / sd)^2 / 2``, *coded* ones look up the log-probability of a category. Loops
take four linear or squared lines at a time, any beyond the last with a coefficient of zero.
"""

from __future__ import annotations

import math

import numpy as np

from fastem.passes.flags import block_function, exact_function
from fastem.passes.vector_math import log_positive

# The functions T of a column that terms are linear in; the first is the column itself, which needs no line of its own.
PLAIN, LOG, LOG_COMPLEMENT, INVERSE, COSINE, SINE, SQUARED_LOG = range(7)
_FUNCTIONS = (
    np.asarray, np.log, lambda x: np.log1p(-x), np.reciprocal, np.cos, np.sin, lambda x: np.square(np.log(x)),
)  # fmt: skip
# Where the rows of a block have their exposure, when that is no column.
NO_EXPOSURE, TOTAL_EXPOSURE = -1, -2
# Categories up to which a sum over each of them is quicker than one addition for each row.
FEW_CODES = 8
# Log-densities of counts below this are sums of terms so small that nothing cancels.
_SMALL_COUNTS = 256
_LOG_FACTORIAL = np.array([math.lgamma(count + 1.0) for count in range(_SMALL_COUNTS)])
# n log n - n - log n! where Stirling's series is not exact to rounding.
_STIRLING_COUNTS = 16
_STIRLING = np.array([count * math.log(max(count, 1)) - count - math.lgamma(count + 1.0) for count in range(16)])
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_TINY = 2.2250738585072014e-308


@block_function
def _four(columns, a):
    """Columns a to a + 3 of a list, and how many there are; any beyond repeat the last."""
    last = columns.shape[0] - 1
    return (
        columns[a], columns[min(a + 1, last)], columns[min(a + 2, last)], columns[min(a + 3, last)],
        min(4, columns.shape[0] - a),
    )  # fmt: skip


@block_function
def _coefficient(values, a, p, n):
    return values[a + p] if p < n else 0.0


def transformed(x: np.ndarray, transform: int) -> np.ndarray:
    """A function T of values of any shape, as `derive` computes it."""
    return _FUNCTIONS[transform](x)


@block_function
def derive(x, source, transform, lines):
    """Set lines[b] to the function ``transform[b]`` of ``x[source[b]]``: once for all components.

    All are finite: rows of weight zero may hold values that a function does not have.
    """
    for b in range(source.shape[0]):
        column, line, function = x[source[b]], lines[b], transform[b]
        if function == LOG:
            for i in range(line.shape[0]):
                line[i] = log_positive(column[i] if column[i] > _TINY else _TINY)
        elif function == SQUARED_LOG:
            for i in range(line.shape[0]):
                log_x = log_positive(column[i] if column[i] > _TINY else _TINY)
                line[i] = log_x * log_x
        elif function == LOG_COMPLEMENT:
            for i in range(line.shape[0]):
                line[i] = np.log1p(-column[i]) if column[i] < 1.0 else -708.0
        elif function == INVERSE:
            for i in range(line.shape[0]):
                line[i] = 1.0 / (column[i] if column[i] != 0.0 else 1.0)
        else:
            for i in range(line.shape[0]):
                line[i] = np.cos(column[i]) if function == COSINE else np.sin(column[i])


@block_function
def add_linear(x, columns, slope, log_prob):
    """Add ``sum_b slope[b] * x[columns[b]]``."""
    for a in range(0, columns.shape[0], 4):
        j0, j1, j2, j3, n = _four(columns, a)
        s0, s1 = slope[a], _coefficient(slope, a, 1, n)
        s2, s3 = _coefficient(slope, a, 2, n), _coefficient(slope, a, 3, n)
        for i in range(log_prob.shape[0]):
            log_prob[i] += (s0 * x[j0, i] + s1 * x[j1, i]) + (s2 * x[j2, i] + s3 * x[j3, i])


@block_function
def exclude(x, columns, required, log_prob):
    """Set minus infinity where ``x[columns[b]]`` is not ``required[b]``; a negative number requires nothing."""
    for b in range(columns.shape[0]):
        value = required[b]
        if value >= 0.0:
            j = columns[b]
            for i in range(log_prob.shape[0]):
                log_prob[i] = log_prob[i] if x[j, i] == value else -np.inf


@block_function
def subtract_squares(x, columns, mean, inverse_sd, log_prob):
    """Subtract half the squares of ``(x[j] - mean[j]) * inverse_sd[b]``, where j is ``columns[b]``."""
    for a in range(0, columns.shape[0], 4):
        j0, j1, j2, j3, n = _four(columns, a)
        m0, m1, m2, m3 = mean[j0], mean[j1], mean[j2], mean[j3]
        p0, p1 = inverse_sd[a], _coefficient(inverse_sd, a, 1, n)
        p2, p3 = _coefficient(inverse_sd, a, 2, n), _coefficient(inverse_sd, a, 3, n)
        for i in range(log_prob.shape[0]):
            z0, z1, z2, z3 = (x[j0, i] - m0) * p0, (x[j1, i] - m1) * p1, (x[j2, i] - m2) * p2, (x[j3, i] - m3) * p3
            log_prob[i] -= 0.5 * ((z0 * z0 + z1 * z1) + (z2 * z2 + z3 * z3))


@block_function
def sum_linear(x, columns, resp, sums):
    """Add ``sum_i resp[i] * x[columns[b], i]`` to ``sums[b]``."""
    for a in range(0, columns.shape[0], 4):
        j0, j1, j2, j3, n = _four(columns, a)
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        for i in range(resp.shape[0]):
            s0 += resp[i] * x[j0, i]
            s1 += resp[i] * x[j1, i]
            s2 += resp[i] * x[j2, i]
            s3 += resp[i] * x[j3, i]
        four = (s0, s1, s2, s3)
        for p in range(n):
            sums[a + p] += four[p]


@block_function
def sum_squares(x, columns, mean, resp, sx, sxx):
    """Add the sums of ``resp * d`` and ``resp * d^2``, where d is ``x[j] - mean[j]`` and j is ``columns[b]``."""
    for b in range(columns.shape[0]):
        j = columns[b]
        m = mean[j]
        first, second = 0.0, 0.0
        for i in range(resp.shape[0]):
            d = x[j, i] - m
            weighted = resp[i] * d
            first += weighted
            second += weighted * d
        sx[b] += first
        sxx[b] += second


# Categories.


@block_function
def read_codes(x, first, n_codes, codes, log_possible):
    """Set `codes` to ``first + x``; minus infinity is added to `log_possible` where x is no code."""
    for i in range(codes.shape[0]):
        code = np.int64(x[i]) if (x[i] >= 0.0 and x[i] < n_codes) else np.int64(0)
        codes[i] = first + code
        log_possible[i] += 0.0 if np.float64(code) == x[i] else -np.inf


@block_function
def add_of_codes(codes, table, log_prob):
    """Add ``table[codes[i]]``."""
    for i in range(log_prob.shape[0]):
        log_prob[i] += table[codes[i]]


@block_function
def count_codes(codes, first, n_codes, resp, counts):
    """Add ``resp[i]`` to ``counts[codes[i]]``."""
    if n_codes > FEW_CODES:
        for i in range(resp.shape[0]):
            counts[codes[i]] += resp[i]
        return
    for code in range(first, first + n_codes):
        total = 0.0
        for i in range(resp.shape[0]):
            total += resp[i] if codes[i] == code else 0.0
        counts[code] += total


# Counts: log-densities in the form of C. Loader (2000), *Fast and accurate computation of binomial probabilities*.
# x log m - m - log x! loses all digits of large counts. It is written as what depends on the count alone, which
# is the same for all components, and minus the deviance x log(x / m) + m - x.


@block_function
def read_exposure(x, place, counted, exposure, log_exposure):
    """Set the exposures of the rows, and their logarithms."""
    n_rows = exposure.shape[0]
    for i in range(n_rows):
        exposure[i] = 1.0 if place == NO_EXPOSURE else 0.0
    if place >= 0:
        for i in range(n_rows):
            exposure[i] = x[place, i]
    if place == TOTAL_EXPOSURE:
        for b in range(counted.shape[0]):
            for i in range(n_rows):
                exposure[i] += x[counted[b], i]
    for i in range(n_rows):
        log_exposure[i] = 0.0 if place == NO_EXPOSURE else log_positive(exposure[i] if exposure[i] > 0.0 else 1.0)


@block_function
def has_large_counts(x, counted):
    n_large = 0.0
    for b in range(counted.shape[0]):
        for i in range(x.shape[1]):
            n_large += 0.0 if x[counted[b], i] < _SMALL_COUNTS else 1.0
    return n_large > 0.0


@block_function
def _add_of_count(x, table, factor, row_term):
    """Add ``factor * table[x]`` of counts within the table, and minus infinity for what is no count."""
    for i in range(row_term.shape[0]):
        count = np.int64(x[i]) if (x[i] >= 0.0 and x[i] < 1e15) else np.int64(0)
        value = factor * table[count if count < table.shape[0] else 0]
        is_count = np.float64(count) == x[i] or x[i] >= 1e15
        row_term[i] += value if is_count else -np.inf


@exact_function
def _stirling(x):
    """x log x - x - log x! for x of at least 16."""
    inverse = 1.0 / x
    square = inverse * inverse
    series = square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square * (1.0 / 1188.0)))
    return -_HALF_LOG_2PI - 0.5 * log_positive(x) - inverse * (1.0 / 12.0 - square * (1.0 / 360.0) + square * series)


@exact_function
def log_factorial(x):
    """log x! of a count."""
    if x < _SMALL_COUNTS:
        return _LOG_FACTORIAL[np.int64(x)]
    return x * log_positive(x) - x - _stirling(x)


@exact_function
def poisson_deviance(x, mean, log_mean):
    """x log(x / mean) + mean - x, for x >= 0 and mean > 0, without cancellation where they are close."""
    difference = x - mean
    ratio = difference / (x + mean)
    square = ratio * ratio
    p = 1.0 / 19.0
    p = p * square + 1.0 / 17.0
    p = p * square + 1.0 / 15.0
    p = p * square + 1.0 / 13.0
    p = p * square + 1.0 / 11.0
    p = p * square + 1.0 / 9.0
    p = p * square + 1.0 / 7.0
    p = p * square + 1.0 / 5.0
    p = p * square + 1.0 / 3.0
    near = difference * ratio + 2.0 * x * ratio * square * p
    far = x * (log_positive(x if x > 1.0 else 1.0) - log_mean) - difference
    return near if square < 0.01 else far


@block_function
def add_count_terms(x, counted, are_large, exposure, log_exposure, place, row_term):
    """Add what the log-densities of counts take from the row alone."""
    for b in range(counted.shape[0]):
        count = x[counted[b]]
        if are_large:
            for i in range(row_term.shape[0]):
                row_term[i] += _stirling(count[i]) if count[i] >= _STIRLING_COUNTS else 0.0
            _add_of_count(count, _STIRLING, 1.0, row_term)
        else:
            _add_of_count(count, _LOG_FACTORIAL, -1.0, row_term)
            if place != NO_EXPOSURE:
                for i in range(row_term.shape[0]):
                    row_term[i] += count[i] * log_exposure[i]
    if place == TOTAL_EXPOSURE:
        # Given their total, the counts are multinomial: the probability of the total is divided out.
        for i in range(row_term.shape[0]):
            row_term[i] -= _stirling(exposure[i]) if exposure[i] >= _STIRLING_COUNTS else 0.0
        _add_of_count(exposure, _STIRLING, -1.0, row_term)


@block_function
def subtract_deviances(x, counted, rate, log_rate, exposure, log_exposure, log_prob):
    """Subtract the deviances of counts from their means, ``rate[j] * exposure``, where j is ``counted[b]``."""
    for b in range(counted.shape[0]):
        j = counted[b]
        count = x[j]
        for i in range(log_prob.shape[0]):
            mean = rate[j] * exposure[i]
            log_prob[i] -= poisson_deviance(count[i], mean if mean > _TINY else _TINY, log_rate[b] + log_exposure[i])
