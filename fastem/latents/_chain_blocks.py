"""The block operations of a Markov chain: scaled forward-backward, the same in logarithms, and Viterbi.

Probabilities are scaled at every row (Rabiner 1989). They leave the range of float64 only where a transition is
impossible, or nearly so, and a state that nothing leads back to becomes improbable beyond 1e-200; then logarithms
are taken, which cost several times as much.
"""

from __future__ import annotations

import numpy as np

from fastem.latents._chain_tracks import LEAST, LEAST_OF_ROW, fill_up, filter_tracks, smooth_tracks
from fastem.passes.flags import block_function
from fastem.passes.units import TRACKS
from fastem.passes.vector_math import exp_nonpositive, log_positive

# The logarithm of zero (see `fastem.passes.blocks`); sums with it stay below the second one.
LOG_ZERO = -1e300
_LOG_LEAST = -1e299
# A chain with no transition rarer than this keeps every state above `LEAST`, and every row above `LEAST_OF_ROW`. In one
# with rarer transitions, or none, logarithms are taken as soon as a state or a row falls below. The least density of a
# row that is possible (`fastem.passes.sweep`), divided by the latter, is below the former: what that floor adds to a
# state is never taken for the state.
RARE = 1e-100


@block_function
def times_matrix(vector, matrix, out):
    """Set ``out = vector @ matrix``."""
    n = vector.shape[0]
    whole = n - n % 4
    for j in range(n):
        out[j] = 0.0
    for i in range(0, whole, 4):
        a, b, c, d = vector[i], vector[i + 1], vector[i + 2], vector[i + 3]
        of_a, of_b, of_c, of_d = matrix[i], matrix[i + 1], matrix[i + 2], matrix[i + 3]
        for j in range(n):
            out[j] += (a * of_a[j] + b * of_b[j]) + (c * of_c[j] + d * of_d[j])
    for i in range(whole, n):
        a, of_a = vector[i], matrix[i]
        for j in range(n):
            out[j] += a * of_a[j]


@block_function
def log_times_matrix(log_vector, log_matrix, out):
    """Set ``out = log(exp(log_vector) @ exp(log_matrix))``; zeros are LOG_ZERO."""
    n = log_vector.shape[0]
    for j in range(n):
        out[j] = LOG_ZERO
    for j in range(n):
        highest = LOG_ZERO
        for i in range(n):
            highest = max(highest, log_vector[i] + log_matrix[i, j])
        if highest > _LOG_LEAST:
            total = 0.0
            for i in range(n):
                total += exp_nonpositive(log_vector[i] + log_matrix[i, j] - highest)
            out[j] = highest + log_positive(total)


@block_function
def log_sum(values):
    """log(sum(exp(values))); LOG_ZERO where all are zeros."""
    highest = LOG_ZERO
    for k in range(values.shape[0]):
        highest = max(highest, values[k])
    if not highest > _LOG_LEAST:
        return LOG_ZERO
    total = 0.0
    for k in range(values.shape[0]):
        total += exp_nonpositive(values[k] - highest)
    return highest + log_positive(total)


@block_function
def _leads_to(work, matrix, j):
    """Whether some state of a vector leads to state j; where none does, zero is no loss."""
    leads = False
    for k in range(work.shape[0]):
        leads = leads or (work[k] > 0.0 and matrix[k, j] > 0.0)
    return leads


@block_function
def _pass_on(matrix, guarded, emission, i, message, work):
    """Set `work` to a message times a row's densities, and the message to what a step of the chain makes of it.

    Returns the sum of `work`, by which the message is divided; zero when float64 may have lost a state.
    """
    n = message.shape[0]
    total = 0.0
    for k in range(n):
        joint = message[k] * emission[k, i]
        work[k] = joint
        total += joint
    if total <= LEAST_OF_ROW:
        return 0.0
    if guarded:
        for k in range(n):
            if work[k] == 0.0 and message[k] > 0.0 and emission[k, i] > 0.0:
                return 0.0
    times_matrix(work, matrix, message)
    scale = 1.0 / total
    for k in range(n):
        message[k] *= scale
    if guarded:
        for k in range(n):
            if message[k] < LEAST and _leads_to(work, matrix, k):
                return 0.0
    return total


def forward_block(latent_params, emission, begins, message, filtered, norm, lost, matrix, start):
    """Filter tracks: see `fastem.passes.blocks`."""
    p = latent_params
    fill_up(p.transmat, matrix)
    for k in range(start.shape[0]):
        start[k] = p.startprob[k] if k < p.startprob.shape[0] else 0.0
    filter_tracks(matrix, start, p.rarest[0] < RARE, emission, begins, message, filtered, norm, lost)


def backward_block(
    latent_params, emission, begins, ends, weight, begin, end, message, vectors, filtered, left, right, resp, first,
    matrix, latent_stats, lane,
):  # fmt: skip
    """Smooth tracks, and count transitions and first states: see `fastem.passes.blocks`."""
    p = latent_params
    fill_up(p.transposed, matrix)
    smooth_tracks(
        matrix, emission, begins, ends, weight, begin, end, message, vectors, filtered, left, right, resp, first,
        latent_stats.start[lane],
    )  # fmt: skip
    _add_transitions(p.transmat, left, right, 0, (end - begin) * TRACKS, latent_stats.transitions[lane])


def propagate_block(latent_params, emission, begin, end, backwards, is_edge, state, message, work):
    """Carry a message through rows, up by the transition matrix, or down by the transposed one.

    Rows whose density is zero in some state may turn out to be impossible, and tell nothing then: what lies before
    them decides.
    """
    p, guarded = latent_params, latent_params.rarest[0] < RARE
    matrix = p.transposed if backwards else p.transmat
    for k in range(message.shape[0]):
        message[k] = matrix[state, k]
        if is_edge:
            message[k] = 1.0 if backwards else p.startprob[k]
    for step in range(end - begin):
        i = end - 1 - step if backwards else begin + step
        if _pass_on(matrix, guarded, emission, i, message, work) == 0.0:
            return False
    if backwards:
        for k in range(message.shape[0]):
            message[k] = work[k]
            if guarded and work[k] == 0.0:
                return False
    return True


def forward_alone_block(
    latent_params, emission, begin, end, is_first, log_space, message, work, filtered, shift, norm
):  # fmt: skip
    """Filter rows of one track: see `fastem.passes.blocks`."""
    p = latent_params
    if is_first:
        for k in range(message.shape[0]):
            message[k] = p.log_startprob[k] if log_space else p.startprob[k]
    if log_space:
        return _filter_log_space(p.log_transmat, emission, begin, end, message, work, filtered, shift, norm)
    return _filter(p.transmat, p.rarest[0] < RARE, emission, begin, end, message, work, filtered, norm)


@block_function
def _filter(transitions, guarded, emission, begin, end, message, work, filtered, norm):
    """Filter rows by scaled probabilities; False when they leave the range of float64."""
    n = message.shape[0]
    for i in range(begin, end):
        total = _pass_on(transitions, guarded, emission, i, message, work)
        if total == 0.0:
            return False
        norm[i] = total
        for k in range(n):
            filtered[k, i] = work[k]
    return True


@block_function
def _filter_log_space(log_transitions, emission, begin, end, message, work, filtered, shift, norm):
    """The same in logarithms, of any range. A row of zero density is taken for one that tells nothing."""
    n = message.shape[0]
    for i in range(begin, end):
        for k in range(n):
            work[k] = message[k] + emission[k, i]
        total = log_sum(work)
        if total <= _LOG_LEAST:
            for k in range(n):
                emission[k, i] = 0.0
                work[k] = message[k]
            total = log_sum(work)
            shift[i] = -np.inf
        shift[i] += total
        norm[i] = 1.0
        for k in range(n):
            work[k] -= total
            filtered[k, i] = work[k]
        log_times_matrix(work, log_transitions, message)
    return True


def backward_alone_block(
    latent_params, emission, begin, end, is_first, is_last, log_space, weight, message, work, filtered, left, right,
    latent_stats, lane,
):  # fmt: skip
    """Smooth rows of one track, and count transitions and first states: see `fastem.passes.blocks`."""
    p, counts = latent_params, latent_stats.transitions[lane]
    if log_space:
        _smooth_log_space(
            p.log_transmat, p.log_transposed, emission, begin, end, is_last, weight, message, work, filtered, counts
        )
    else:
        _smooth(p.transposed, emission, begin, end, is_last, weight, message, work, filtered, left, right)
        _add_transitions(p.transmat, left, right, begin, end, counts)
    if is_first:
        for k in range(filtered.shape[0]):
            latent_stats.start[lane, k] += filtered[k, begin]


@block_function
def _smooth(transposed, emission, begin, end, is_last, weight, message, work, filtered, left, right):
    """Smooth rows by scaled probabilities; see `smooth_tracks`."""
    n = message.shape[0]
    for i in range(end - 1, begin - 1, -1):
        if is_last and i == end - 1:
            for k in range(n):
                work[k] = 1.0
                right[k, i] = 0.0
        else:
            for k in range(n):
                right[k, i] = message[k]
            times_matrix(message, transposed, work)
        total = 0.0
        for k in range(n):
            total += filtered[k, i] * work[k]
        scale = 1.0 / total
        for k in range(n):
            later = work[k] * scale
            so_far = filtered[k, i]
            left[k, i] = so_far * (scale * weight)
            filtered[k, i] = so_far * later * weight
            message[k] = later * emission[k, i] if so_far > 0.0 else 0.0


@block_function
def _smooth_log_space(
    log_transitions, log_transposed, emission, begin, end, is_last, weight, message, work, filtered, counts
):
    """The same in logarithms; transitions are added to `counts` (K, K)."""
    n = message.shape[0]
    for i in range(end - 1, begin - 1, -1):
        at_end = is_last and i == end - 1
        if at_end:
            for k in range(n):
                work[k] = 0.0
        else:
            log_times_matrix(message, log_transposed, work)
        highest = LOG_ZERO
        for k in range(n):
            highest = max(highest, filtered[k, i] + work[k])
        total = 0.0
        for k in range(n):
            total += exp_nonpositive(filtered[k, i] + work[k] - highest)
        total = highest + log_positive(total)
        if not at_end:
            for j in range(n):
                for k in range(n):
                    log_joint = filtered[j, i] + log_transitions[j, k] + message[k] - total
                    counts[j, k] += weight * exp_nonpositive(min(0.0, log_joint))
        for k in range(n):
            so_far = filtered[k, i]
            filtered[k, i] = weight * exp_nonpositive(min(0.0, so_far + work[k] - total))
            message[k] = max(LOG_ZERO, work[k] - total + emission[k, i]) if so_far > _LOG_LEAST else LOG_ZERO


@block_function
def _products_of_four(left, right, n, j, k, begin, end):
    """Sums over rows of right[k] times the lines j to j + 3 of left; any beyond the n lines are the last one."""
    last = n - 1
    a, b, c, d = left[j], left[min(j + 1, last)], left[min(j + 2, last)], left[min(j + 3, last)]
    a, b, c, d, r = a[begin:end], b[begin:end], c[begin:end], d[begin:end], right[k][begin:end]
    of_a, of_b, of_c, of_d = 0.0, 0.0, 0.0, 0.0
    for i in range(r.shape[0]):
        of_a += a[i] * r[i]
        of_b += b[i] * r[i]
        of_c += c[i] * r[i]
        of_d += d[i] * r[i]
    return of_a, of_b, of_c, of_d


@block_function
def _add_transitions(transitions, left, right, begin, end, counts):
    """Add what `smooth_tracks` has left of the expected transitions to `counts` (K, K)."""
    n = transitions.shape[0]
    for j in range(0, n, 4):
        for k in range(n):
            sums = _products_of_four(left, right, n, j, k, begin, end)
            for q in range(min(4, n - j)):
                counts[j + q, k] += transitions[j + q, k] * sums[q]


def path_block(latent_params, log_prob, begin, end, is_first, message, work, back):
    """Extend the most probable path to each state, row by row (Viterbi 1967); the first of equals.

    A row of zero density on every path is taken for one that tells nothing; False when there is one.
    """
    n = message.shape[0]
    possible = True
    for i in range(begin, end):
        for k in range(n):
            if is_first and i == begin:
                work[k] = latent_params.log_startprob[k]
                continue
            into = latent_params.log_transposed[k]
            best, highest = 0, message[0] + into[0]
            for j in range(1, n):
                joint = message[j] + into[j]
                if joint > highest:
                    best, highest = j, joint
            back[i, k] = best
            work[k] = max(LOG_ZERO, highest)
        highest = LOG_ZERO
        for k in range(n):
            message[k] = max(LOG_ZERO, work[k] + log_prob[k, i])
            highest = max(highest, message[k])
        if not highest > _LOG_LEAST:
            possible = False
            for k in range(n):
                message[k] = work[k]
    return possible
