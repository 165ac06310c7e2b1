"""Loops over a block of rows that the regressions share.

A row has P covariates, a response y, and perhaps its size: an exposure, or a number of trials. Its linear predictor is
eta = intercept + coefficients' (x - centre). What a response adds is two functions of eta: its log-density, and what
rows weigh in the normal equations of a step from here (McCullagh & Nelder 1989, ch. 2).

A response that is missing, NaN, says nothing: its row has density one, and no weight.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastem.families.columns.blocks import (
    add_count_terms,
    has_large_counts,
    log_factorial,
    poisson_deviance,
    read_exposure,
)
from fastem.families.gaussian.small import MAX_SMALL, accumulate_line, accumulate_small
from fastem.families.gaussian.tiles import accumulate_tiled, sum_block
from fastem.passes.flags import block_function, exact_function
from fastem.passes.vector_math import exp_nonpositive, log1p_nonnegative, log_positive

# Linear predictors of means are within this range: the squares of what they are the logarithms of are finite.
MOST_ETA = 300.0
_TINY = 2.2250738585072014e-308
# What log-densities take from the rows alone: these lines of the scratch.
_TERM, _SIZE, _LOG_SIZE = 0, 1, 2


@exact_function
def _exp(eta):
    """exp(eta), within what a mean may be."""
    bounded = min(max(eta, -MOST_ETA), MOST_ETA)
    small = exp_nonpositive(-abs(bounded))
    return 1.0 / small if bounded > 0.0 else small


@block_function
def _without_missing(x, n_covariates):
    """Put ones beside responses that are missing, in the block's own memory: a row without any value has NaN there."""
    y = x[n_covariates]
    n_missing = 0
    for i in range(y.shape[0]):
        n_missing += 0 if y[i] == y[i] else 1
    if n_missing == 0:
        return
    for j in range(x.shape[0]):
        if j != n_covariates:
            for i in range(y.shape[0]):
                x[j, i] = x[j, i] if y[i] == y[i] else 1.0


@block_function
def predict(x, centre, values, line):
    """Set `line` to the linear predictor of each row, four covariates at a time."""
    n_covariates = centre.shape[0]
    for i in range(line.shape[0]):
        line[i] = values[0]
    last = n_covariates - 1
    for a in range(0, n_covariates, 4):
        j1, j2, j3 = min(a + 1, last), min(a + 2, last), min(a + 3, last)
        c0, c1, c2, c3 = centre[a], centre[j1], centre[j2], centre[j3]
        b0 = values[1 + a]
        b1 = values[1 + j1] if a + 1 <= last else 0.0
        b2 = values[1 + j2] if a + 2 <= last else 0.0
        b3 = values[1 + j3] if a + 3 <= last else 0.0
        for i in range(line.shape[0]):
            low = b0 * (x[a, i] - c0) + b1 * (x[j1, i] - c1)
            high = b2 * (x[j2, i] - c2) + b3 * (x[j3, i] - c3)
            line[i] += low + high


@block_function
def add_score(x, centre, pull, score):
    """Add the sums of ``pull`` and of ``pull * (x - centre)`` to `score` (1 + P,)."""
    n_covariates = centre.shape[0]
    score[0] += sum_block(pull)
    last = n_covariates - 1
    for a in range(0, n_covariates, 4):
        j1, j2, j3 = min(a + 1, last), min(a + 2, last), min(a + 3, last)
        c0, c1, c2, c3 = centre[a], centre[j1], centre[j2], centre[j3]
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        for i in range(pull.shape[0]):
            s0 += pull[i] * (x[a, i] - c0)
            s1 += pull[i] * (x[j1, i] - c1)
            s2 += pull[i] * (x[j2, i] - c2)
            s3 += pull[i] * (x[j3, i] - c3)
        sums = (s0, s1, s2, s3)
        for p in range(min(4, n_covariates - a)):
            score[1 + a + p] += sums[p]


@block_function
def add_information(x, centre, mass, scratch, total, sx, sxx, k):
    """Add the moments of ``x - centre`` with weights `mass` to entry k of `total`, `sx` and `sxx`."""
    n_covariates = centre.shape[0]
    if n_covariates == 1:
        accumulate_line(x, centre, mass, total, sx, sxx, k)
        return
    total[k] += sum_block(mass)
    if n_covariates == 0:
        return
    if n_covariates <= MAX_SMALL:
        accumulate_small(x, centre, mass, sx[k], sxx[k])
    else:
        accumulate_tiled(x, centre, mass, sx[k], sxx[k], scratch)


# Each response: what rows bring (`read`), log-densities in the place of linear predictors (`log_density`), and in the
# place of these and of responsibilities what rows pull (`resp * d eta`) and weigh (`resp * d2 eta`), beside the loss.


@block_function
def _read_nothing(family_params, x, scratch):
    pass


@block_function
def _normal_log_density(family_params, k, x, y, scratch, line):
    top, scale = family_params.log_norm[k], -0.5 / family_params.dispersion[k]
    for i in range(line.shape[0]):
        residual = y[i] - line[i]
        line[i] = top + scale * (residual * residual) if y[i] == y[i] else 0.0


@block_function
def _normal_weigh(x, y, scratch, line, resp):
    loss = 0.0
    for i in range(line.shape[0]):
        residual = y[i] - line[i] if y[i] == y[i] else 0.0
        line[i] = resp[i] * residual
        loss += 0.5 * line[i] * residual
    return loss


@block_function
def _read_counts(family_params, x, scratch):
    """What log-densities of counts take from the count and the exposure alone."""
    row_term, exposure, log_exposure = scratch[_TERM], scratch[_SIZE], scratch[_LOG_SIZE]
    place, counted = family_params.exposure[0], family_params.counted
    read_exposure(x, place, counted, exposure, log_exposure)
    for i in range(row_term.shape[0]):
        row_term[i] = 0.0
    add_count_terms(x, counted, has_large_counts(x, counted), exposure, log_exposure, place, row_term)


@block_function
def _poisson_log_density(family_params, k, x, y, scratch, line):
    row_term, exposure, log_exposure = scratch[_TERM], scratch[_SIZE], scratch[_LOG_SIZE]
    counted = family_params.counted
    if has_large_counts(x, counted):
        for i in range(line.shape[0]):
            eta = min(max(line[i], -MOST_ETA), MOST_ETA)
            mean = exposure[i] * _exp(eta)
            deviance = poisson_deviance(y[i], mean if mean > _TINY else _TINY, eta + log_exposure[i])
            line[i] = row_term[i] - deviance if y[i] == y[i] else 0.0
        return
    for i in range(line.shape[0]):
        eta = min(max(line[i], -MOST_ETA), MOST_ETA)
        line[i] = row_term[i] + (y[i] * eta - exposure[i] * _exp(eta)) if y[i] == y[i] else 0.0


@block_function
def _poisson_weigh(x, y, scratch, line, resp):
    exposure = scratch[_SIZE]
    for i in range(line.shape[0]):
        mean = exposure[i] * _exp(line[i])
        line[i] = resp[i] * (y[i] - mean) if y[i] == y[i] else 0.0
        resp[i] = resp[i] * mean if y[i] == y[i] else 0.0
    return 0.0


@block_function
def _read_trials(family_params, x, scratch):
    """Logarithms of the numbers of ways to have so many successes; minus infinity for what is no such number."""
    row_term, trials = scratch[_TERM], scratch[_SIZE]
    place, y = family_params.exposure[0], x[family_params.counted[0]]
    for i in range(row_term.shape[0]):
        trials[i] = x[place, i] if place >= 0 else 1.0
        successes = y[i] if y[i] == y[i] else 0.0
        is_possible = 0.0 <= successes <= trials[i] and np.floor(successes) == successes
        row_term[i] = 0.0 if is_possible else -np.inf
    if place >= 0:
        for i in range(row_term.shape[0]):
            if row_term[i] == 0.0 and y[i] == y[i]:
                ways = log_factorial(trials[i]) - log_factorial(y[i])
                row_term[i] = ways - log_factorial(trials[i] - y[i])


@block_function
def _binomial_log_density(family_params, k, x, y, scratch, line):
    row_term, trials = scratch[_TERM], scratch[_SIZE]
    for i in range(line.shape[0]):
        eta = line[i]
        softplus = max(eta, 0.0) + log1p_nonnegative(exp_nonpositive(-abs(eta)))
        line[i] = row_term[i] + (y[i] * eta - trials[i] * softplus) if y[i] == y[i] else 0.0


@block_function
def _binomial_weigh(x, y, scratch, line, resp):
    trials = scratch[_SIZE]
    for i in range(line.shape[0]):
        small = exp_nonpositive(-abs(line[i]))
        share = 1.0 / (1.0 + small)
        mean = trials[i] * (share if line[i] >= 0.0 else small * share)
        line[i] = resp[i] * (y[i] - mean) if y[i] == y[i] else 0.0
        resp[i] = resp[i] * (trials[i] * (small * share * share)) if y[i] == y[i] else 0.0
    return 0.0


@block_function
def _read_amounts(family_params, x, scratch):
    log_y, y = scratch[_TERM], x[family_params.values.shape[1] - 1]
    for i in range(log_y.shape[0]):
        log_y[i] = log_positive(y[i] if y[i] > _TINY else _TINY)


@block_function
def _gamma_log_density(family_params, k, x, y, scratch, line):
    log_y = scratch[_TERM]
    top, shape = family_params.log_norm[k], 1.0 / family_params.dispersion[k]
    for i in range(line.shape[0]):
        eta = min(max(line[i], -MOST_ETA), MOST_ETA)
        loss = (y[i] * _exp(-eta) - 1.0) - (log_y[i] - eta)
        line[i] = top - log_y[i] - shape * loss if y[i] == y[i] else 0.0


@block_function
def _gamma_weigh(x, y, scratch, line, resp):
    log_y = scratch[_TERM]
    total = 0.0
    for i in range(line.shape[0]):
        eta = min(max(line[i], -MOST_ETA), MOST_ETA)
        excess = y[i] * _exp(-eta) - 1.0 if y[i] == y[i] else 0.0
        loss = excess - (log_y[i] - eta) if y[i] == y[i] else 0.0
        line[i] = resp[i] * excess
        total += resp[i] * loss
    return total


class ResponseBlocks(NamedTuple):
    """What is compiled of a response."""

    read: Any
    log_density: Any
    weigh: Any


NORMAL = ResponseBlocks(_read_nothing, _normal_log_density, _normal_weigh)
POISSON = ResponseBlocks(_read_counts, _poisson_log_density, _poisson_weigh)
BINOMIAL = ResponseBlocks(_read_trials, _binomial_log_density, _binomial_weigh)
GAMMA = ResponseBlocks(_read_amounts, _gamma_log_density, _gamma_weigh)

# Lines of the scratch that a block needs besides what moments need.
_LINES = 4


def blocks_of(response: ResponseBlocks) -> tuple[Any, Any]:
    """`log_prob_block` and `accumulate_block` of regressions with this response."""
    read, log_density, weigh = response

    def log_prob_block(family_params, components, x, log_prob, scratch):
        n_covariates = family_params.values.shape[1] - 1
        _without_missing(x, n_covariates)
        read(family_params, x, scratch)
        for a in range(components.shape[0]):
            k = components[a]
            predict(x, family_params.means[k, :n_covariates], family_params.values[k], log_prob[a])
            log_density(family_params, k, x, x[n_covariates], scratch, log_prob[a])

    def accumulate_block(family_params, components, x, resp, scratch, family_stats, lane):
        n_covariates = family_params.values.shape[1] - 1
        _without_missing(x, n_covariates)
        read(family_params, x, scratch)
        y, line = x[n_covariates], scratch[_LINES - 1]
        for a in range(components.shape[0]):
            k, weight = components[a], resp[a]
            centre = family_params.means[k, :n_covariates]
            seen = 0.0
            for i in range(weight.shape[0]):
                weight[i] = weight[i] if y[i] == y[i] else 0.0
                seen += weight[i]
            family_stats.n[lane, k] += seen
            predict(x, centre, family_params.values[k], line)
            family_stats.loss[lane, k] += weigh(x, y, scratch, line, weight)
            add_score(x, centre, line, family_stats.score[lane, k])
            add_information(
                x, centre, weight, scratch[_LINES:], family_stats.mass[lane], family_stats.sx[lane],
                family_stats.sxx[lane], k,
            )  # fmt: skip

    return log_prob_block, accumulate_block
