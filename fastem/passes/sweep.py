"""Forward and backward over the rows of one unit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.passes.blocks import accumulate_block, backward_block, forward_block, log_prob_block
from fastem.passes.emissions import mix_densities, mixes, share_out
from fastem.passes.flags import block_function
from fastem.passes.lanes import add_totals, bits_reversed, fingerprint
from fastem.passes.loop import over_lanes
from fastem.passes.memory import new_memory
from fastem.passes.reading import VECTOR, copy_block
from fastem.passes.shapes import require_output
from fastem.passes.threads import Pass
from fastem.passes.vector_math import exp_nonpositive, log_positive

# The logarithm of zero (see `fastem.passes.blocks`), and what is more than any sum with it.
_LOG_ZERO, LOG_LEAST = -1e300, -1e299

# How far apart, in nats, the parts of a message may be outside log space.
_RANGE = 400.0

# What is possible has at least this share of a row's highest density outside log space: no zero stands there
# for what is only improbable.
_LEAST_DENSITY = 1e-307


class Messages(NamedTuple):
    """What units know of the rest of their sequences: logarithms (U, K), in any scale, and whether they are known.

    `forward` is for the first row of a unit, from the rows before it; `backward` for the row after its last one, from
    the rows after it.
    """

    forward: np.ndarray
    backward: np.ndarray
    forward_known: np.ndarray
    backward_known: np.ndarray


class Outputs(NamedTuple):
    """What a pass writes of each row of a chunk; an array of no rows is not asked for.

    Shapes: loglik, label (N,); filtered, smoothed (N, S), for S states.
    """

    loglik: np.ndarray
    label: np.ndarray
    filtered: np.ndarray
    smoothed: np.ndarray


NO_OUTPUTS = Outputs(np.empty(0), np.empty(0, dtype=np.int64), np.empty((0, 0)), np.empty((0, 0)))


@block_function
def blocks_of_largest(units, block_rows):
    n_rows = 0
    for u in range(units.first.shape[0]):
        n_rows = max(n_rows, units.stop[u] - units.first[u])
    return (n_rows + block_rows - 1) // block_rows


@block_function
def start_of(units, sequence):
    return units.ends[sequence - 1] if sequence > 0 else 0


@block_function
def emit(family_params, latent_params, rows, start, log_space, b, memory):
    """Densities of a block of rows from `start` on, in each row's own scale, whose logarithm is `shift`."""
    copy_block(rows, start, memory.x)
    # One call for components and for states: each would be compiled, inlined, anew.
    density = memory.density if mixes(latent_params) else memory.emission[b]
    log_prob_block(family_params, memory.components, memory.x, density, memory.scratch)
    if mixes(latent_params):
        mix_densities(latent_params, density, memory.left, memory.emission[b], memory.share[b])
    emission, shift = memory.emission[b], memory.shift[b]
    n_states, n_rows = emission.shape
    for i in range(n_rows):
        shift[i] = emission[0, i]
    for k in range(1, n_states):
        for i in range(n_rows):
            shift[i] = emission[k, i] if emission[k, i] > shift[i] else shift[i]
    for k in range(n_states):
        for i in range(n_rows):
            # A row of zero density in every state tells nothing.
            ratio = emission[k, i] - shift[i] if shift[i] > -np.inf else 0.0
            if log_space:
                emission[k, i] = max(ratio, _LOG_ZERO)
            else:
                emission[k, i] = max(exp_nonpositive(ratio), _LEAST_DENSITY) if ratio > LOG_LEAST else 0.0


@block_function
def is_wide(log_message):
    """Whether float64 would lose a part of a message that is not zero."""
    highest = log_message[0]
    for k in range(log_message.shape[0]):
        highest = max(highest, log_message[k])
    wide = False
    for k in range(log_message.shape[0]):
        wide = wide or (LOG_LEAST < log_message[k] < highest - _RANGE)
    return wide


@block_function
def load_message(log_message, log_space, message):
    """Set a message from its logarithms."""
    highest = log_message[0]
    for k in range(message.shape[0]):
        highest = max(highest, log_message[k])
    total = 0.0
    for k in range(message.shape[0]):
        message[k] = exp_nonpositive(log_message[k] - highest)
        total += message[k]
    for k in range(message.shape[0]):
        message[k] = log_message[k] - highest - log_positive(total) if log_space else message[k] / total


@block_function
def _load_behind(units, messages, unit, log_space, memory):
    """Set the message from behind a unit, without the states that the rows before make impossible.

    Such a state may explain the rows behind so well that nothing would be left of the others.
    """
    following = unit + 1
    ends_inside = False
    if following < units.first.shape[0]:
        ends_inside = units.first[following] > start_of(units, units.sequence[following])
    log_message = memory.work
    for k in range(log_message.shape[0]):
        log_message[k] = messages.backward[unit, k]
        if ends_inside and messages.forward[following, k] <= LOG_LEAST:
            log_message[k] = _LOG_ZERO
    load_message(log_message, log_space, memory.message)


@block_function
def keep_message(message, log_space, log_message):
    """Set the logarithms of a message."""
    for k in range(message.shape[0]):
        log_message[k] = message[k] if log_space else (log_positive(message[k]) if message[k] > 0.0 else _LOG_ZERO)


@block_function
def forward_rows(family_params, latent_params, rows, units, unit, log_space, memory):
    """Filter a unit; the message in the memory goes from its first row to the row after its last one."""
    block_rows = memory.x.shape[1]
    sequence = units.sequence[unit]
    for b in range((units.stop[unit] - units.first[unit] + block_rows - 1) // block_rows):
        start = units.first[unit] + b * block_rows
        n = min(block_rows, units.stop[unit] - start)
        emit(family_params, latent_params, rows, start, log_space, b, memory)
        begin = 0
        while begin < n:
            end = min(n, units.ends[sequence] - start)
            is_first = start + begin == start_of(units, sequence)
            if not forward_block(
                latent_params, memory.emission[b], begin, end, is_first, log_space, memory.message, memory.work,
                memory.filtered[b], memory.shift[b], memory.norm[b],
            ):  # fmt: skip
                return False
            sequence += 1 if start + end == units.ends[sequence] else 0
            begin = end
    return True


@block_function
def filter_rows(family_params, latent_params, rows, units, messages, unit, memory):
    """Filter a unit, in log space if need be; return whether it was done so."""
    has_message = messages.forward_known.shape[0] > 0
    log_space = has_message and is_wide(messages.forward[unit])
    while True:
        if has_message:
            load_message(messages.forward[unit], log_space, memory.message)
        if forward_rows(family_params, latent_params, rows, units, unit, log_space, memory) or log_space:
            return log_space
        log_space = True


@block_function
def _smooth_block(latent_params, units, weight, b, start, n, sequence, log_space, memory, latent_stats, lane):
    """Smooth a block of n rows, whose last one belongs to `sequence`; return the sequence of the row before it."""
    end = n
    while end > 0:
        begin = max(0, start_of(units, sequence) - start)
        is_first = start + begin == start_of(units, sequence)
        of_sequence = weight[start + begin] if weight.shape[0] > 0 else 1.0
        backward_block(
            latent_params, memory.emission[b], begin, end, is_first, start + end == units.ends[sequence], log_space,
            of_sequence, memory.message, memory.work, memory.filtered[b], memory.left, memory.right, latent_stats, lane,
        )  # fmt: skip
        sequence -= 1 if is_first else 0
        end = begin
    for k in range(memory.filtered.shape[1]):
        for i in range(n, memory.filtered.shape[2]):
            memory.filtered[b, k, i] = 0.0
    return sequence


@block_function
def _drop_impossible(shift, n, resp):
    """A row of zero density teaches the family nothing."""
    for i in range(n):
        if shift[i] == -np.inf:
            for k in range(resp.shape[0]):
                resp[k, i] = 0.0


@block_function
def last_sequence(units, unit):
    """The sequence of the last row of a unit."""
    if unit + 1 == units.first.shape[0]:
        return units.ends.shape[0] - 1
    following = units.sequence[unit + 1]
    return following if units.stop[unit] > start_of(units, following) else following - 1


@block_function
def _write_filtered(b, start, n, log_space, memory, outputs):
    for i in range(n):
        if outputs.loglik.shape[0] > 0:
            outputs.loglik[start + i] = memory.shift[b, i] + log_positive(memory.norm[b, i])
        if outputs.filtered.shape[0] > 0:
            for k in range(memory.filtered.shape[1]):
                value = memory.filtered[b, k, i]
                outputs.filtered[start + i, k] = exp_nonpositive(value) if log_space else value / memory.norm[b, i]


@block_function
def _write_smoothed(start, n, resp, outputs):
    for i in range(n):
        if outputs.smoothed.shape[0] > 0:
            for k in range(resp.shape[0]):
                outputs.smoothed[start + i, k] = resp[k, i]
        if outputs.label.shape[0] > 0:
            best = 0
            for k in range(1, resp.shape[0]):
                best = k if resp[k, i] > resp[best, i] else best
            outputs.label[start + i] = best


@block_function
def backward_rows(
    family_params, latent_params, rows, weight, units, messages, unit, log_space, learns, outputs, memory, totals,
    latent_stats, family_stats, lane,
):  # fmt: skip
    """Smooth a unit that was filtered, and add its statistics."""
    block_rows = memory.x.shape[1]
    if messages.backward_known.shape[0] > 0:
        _load_behind(units, messages, unit, log_space, memory)
    sequence = last_sequence(units, unit)
    for b in range((units.stop[unit] - units.first[unit] + block_rows - 1) // block_rows - 1, -1, -1):
        start = units.first[unit] + b * block_rows
        n = min(block_rows, units.stop[unit] - start)
        _write_filtered(b, start, n, log_space, memory, outputs)
        add_totals(memory.shift[b], memory.norm[b], weight, start, n, totals, lane)
        sequence = _smooth_block(
            latent_params, units, weight, b, start, n, sequence, log_space, memory, latent_stats, lane
        )
        resp = memory.filtered[b]
        _write_smoothed(start, n, resp, outputs)
        if learns:
            _drop_impossible(memory.shift[b], n, resp)
            if mixes(latent_params):
                share_out(latent_params, resp, memory.share[b], memory.resp, latent_stats.entries[lane])
            resp = memory.resp if mixes(latent_params) else resp
            copy_block(rows, start, memory.x)
            accumulate_block(family_params, memory.components, memory.x, resp, memory.scratch, family_stats, lane)


@block_function
def _sweep_lane(
    family_params, latent_params, rows, weight, units, messages, first_unit, scratch_lines, vectors, learns, outputs,
    totals, latent_stats, family_stats, index,
):  # fmt: skip
    """Filter and smooth every unit that belongs to a lane: units go to the lanes in turn."""
    n_lanes, n_units = totals.loglik.shape[0], units.first.shape[0]
    # Units next to each other, which are all there may be, go to different threads.
    lane = bits_reversed(index, n_lanes)
    unit = (lane - first_unit) % n_lanes
    if unit < n_units:
        n_blocks = blocks_of_largest(units, vectors * VECTOR)
        memory = new_memory(n_blocks, rows.n_columns, latent_params, scratch_lines, vectors * VECTOR)
        while unit < n_units:
            log_space = filter_rows(family_params, latent_params, rows, units, messages, unit, memory)
            backward_rows(
                family_params, latent_params, rows, weight, units, messages, unit, log_space, learns, outputs,
                memory, totals, latent_stats, family_stats, lane,
            )  # fmt: skip
            unit += n_lanes


_sweep_lanes = over_lanes(_sweep_lane)


def _sweep_pass(
    serial, family_params, latent_params, rows, weight, units, messages, first_unit, scratch_lines, vectors, learns,
    outputs, totals, latent_stats, family_stats,
):  # fmt: skip
    arguments = (
        family_params, latent_params, rows, weight, units, messages, first_unit, scratch_lines, vectors, learns,
        outputs, totals, latent_stats, family_stats,
    )  # fmt: skip
    return _sweep_lanes(serial, totals.loglik.shape[0], arguments)


compiled_sweep_pass = Pass(_sweep_pass, fingerprint)


def require_outputs(outputs: Outputs, n_rows: int, n_states: int) -> None:
    """Raise unless each output that is asked for has the shape and the dtype of what is written."""
    for name, out, none in zip(outputs._fields, outputs, NO_OUTPUTS, strict=True):
        if out is not none:
            shape = (n_rows,) if none.ndim == 1 else (n_rows, n_states)
            require_output(name, out, shape, none.dtype)
