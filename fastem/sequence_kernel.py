"""The parallel passes over sequences: one that gathers statistics or scores, one that finds best paths.

They know lanes, units and blocks (see `fastem.units`), and messages between units. A unit is filtered
forwards, block by block, and smoothed backwards, with the statistics added on the way; what is held of it
is as large as the unit, and nothing is as large as a sequence or as their number.

A unit that begins or ends inside a sequence needs to know what lies beyond. Mostly that is forgotten after
some rows: a message that comes out the same, whatever state the sequence had a little further on, is *the*
message. Where it does not, it is handed from unit to unit in order.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastem import blocks
from fastem._jit import Pass, block_function, threads
from fastem._vector_math import exp_nonpositive, log_positive
from fastem.blocks import accumulate_block, backward_block, forward_block, log_prob_block, path_block, seek_block
from fastem.kernel import MAX_LANES, Totals, bits_reversed, fingerprint
from fastem.reading import BLOCK, VECTOR, copy_block
from fastem.rows import Rows, weights_of
from fastem.shapes import (
    require_lanes,
    require_output,
    require_params,
    require_rows,
    require_units,
    require_weight,
)
from fastem.stats import ExpectedStats
from fastem.units import Units

# Rows after which a message is looked at, whether it still depends on what came before; all lie in one block.
_WARM_UPS = np.array([32, 128, 512])
# Largest relative difference between messages that count as one. No later row makes it larger.
_AGREEMENT = 1e-12
# The logarithm of zero (see `fastem.blocks`), and what is more than any sum with it.
_LOG_ZERO, _LOG_LEAST = -1e300, -1e299
# How far apart, in nats, the parts of a message may be outside careful arithmetic.
_RANGE = 400.0
# What is possible has at least this share of a row's highest density outside careful arithmetic: no zero stands there
# for what is only improbable.
_LEAST_DENSITY = 1e-307


class Messages(NamedTuple):
    """What units know of the rest of their sequences: logarithms (U, K), in any scale, and whether they are known.

    `ahead` is for the first row of a unit, from the rows before it; `behind` for the row after its last one, from
    the rows after it.
    """

    ahead: np.ndarray
    behind: np.ndarray
    ahead_known: np.ndarray
    behind_known: np.ndarray


class Outputs(NamedTuple):
    """What a pass writes of each row of a chunk; an array of no rows is not asked for.

    Shapes: loglik, label (N,); filtered, smoothed (N, K).
    """

    loglik: np.ndarray
    label: np.ndarray
    filtered: np.ndarray
    smoothed: np.ndarray


NO_OUTPUTS = Outputs(np.empty(0), np.empty(0, dtype=np.int64), np.empty((0, 0)), np.empty((0, 0)))


class _Memory(NamedTuple):
    """Scratch of one thread: blocks of a unit, and of the rows under way."""

    emission: np.ndarray
    filtered: np.ndarray
    shift: np.ndarray
    norm: np.ndarray
    x: np.ndarray
    scratch: np.ndarray
    left: np.ndarray
    right: np.ndarray
    message: np.ndarray
    work: np.ndarray
    reference: np.ndarray
    components: np.ndarray


@block_function
def _new_memory(n_blocks, n_features, n_components, scratch_lines, block_rows):
    return _Memory(
        np.empty((n_blocks, n_components, block_rows)),
        np.empty((n_blocks, n_components, block_rows)),
        np.empty((n_blocks, block_rows)),
        np.empty((n_blocks, block_rows)),
        np.empty((n_features, block_rows)),
        np.empty((scratch_lines, block_rows)),
        np.empty((n_components, block_rows)),
        np.empty((n_components, block_rows)),
        np.empty(n_components),
        np.empty(n_components),
        np.empty(n_components),
        np.arange(n_components),
    )


@block_function
def _blocks_of_largest(units, block_rows):
    n_rows = 0
    for u in range(units.first.shape[0]):
        n_rows = max(n_rows, units.stop[u] - units.first[u])
    return (n_rows + block_rows - 1) // block_rows


@block_function
def _start_of(units, sequence):
    return units.ends[sequence - 1] if sequence > 0 else 0


@block_function
def _emit(family_params, rows, start, careful, emission, shift, memory):
    """Densities of a block of rows from `start` on, in each row's own scale, whose logarithm is `shift`."""
    copy_block(rows, start, memory.x)
    log_prob_block(family_params, memory.components, memory.x, emission, memory.scratch)
    n_components, n_rows = emission.shape
    for i in range(n_rows):
        shift[i] = emission[0, i]
    for k in range(1, n_components):
        for i in range(n_rows):
            shift[i] = emission[k, i] if emission[k, i] > shift[i] else shift[i]
    for k in range(n_components):
        for i in range(n_rows):
            # A row that is impossible in every state tells nothing.
            ratio = emission[k, i] - shift[i] if shift[i] > -np.inf else 0.0
            if careful:
                emission[k, i] = max(ratio, _LOG_ZERO)
            else:
                emission[k, i] = max(exp_nonpositive(ratio), _LEAST_DENSITY) if ratio > _LOG_LEAST else 0.0


@block_function
def _is_wide(log_message):
    """Whether float64 would lose a part of a message that is not zero."""
    highest = log_message[0]
    for k in range(log_message.shape[0]):
        highest = max(highest, log_message[k])
    wide = False
    for k in range(log_message.shape[0]):
        wide = wide or (_LOG_LEAST < log_message[k] < highest - _RANGE)
    return wide


@block_function
def _load(log_message, careful, message):
    """Set a message from its logarithms."""
    highest = log_message[0]
    for k in range(message.shape[0]):
        highest = max(highest, log_message[k])
    total = 0.0
    for k in range(message.shape[0]):
        message[k] = exp_nonpositive(log_message[k] - highest)
        total += message[k]
    for k in range(message.shape[0]):
        message[k] = log_message[k] - highest - log_positive(total) if careful else message[k] / total


@block_function
def _load_behind(units, messages, unit, careful, memory):
    """Set the message from behind a unit, without the states that the rows before make impossible.

    Such a state may explain the rows behind so well that nothing would be left of the others.
    """
    following = unit + 1
    ends_inside = False
    if following < units.first.shape[0]:
        ends_inside = units.first[following] > _start_of(units, units.sequence[following])
    log_message = memory.work
    for k in range(log_message.shape[0]):
        log_message[k] = messages.behind[unit, k]
        if ends_inside and messages.ahead[following, k] <= _LOG_LEAST:
            log_message[k] = _LOG_ZERO
    _load(log_message, careful, memory.message)


@block_function
def _keep(message, careful, log_message):
    """Set the logarithms of a message."""
    for k in range(message.shape[0]):
        log_message[k] = message[k] if careful else (log_positive(message[k]) if message[k] > 0.0 else _LOG_ZERO)


@block_function
def _forward(family_params, latent_params, rows, units, unit, careful, memory):
    """Filter a unit; the message in the memory goes from its first row to the row after its last one."""
    block_rows = memory.x.shape[1]
    sequence = units.sequence[unit]
    for b in range((units.stop[unit] - units.first[unit] + block_rows - 1) // block_rows):
        start = units.first[unit] + b * block_rows
        n = min(block_rows, units.stop[unit] - start)
        _emit(family_params, rows, start, careful, memory.emission[b], memory.shift[b], memory)
        begin = 0
        while begin < n:
            end = min(n, units.ends[sequence] - start)
            is_first = start + begin == _start_of(units, sequence)
            if not forward_block(
                latent_params, memory.emission[b], begin, end, is_first, careful, memory.message, memory.work,
                memory.filtered[b], memory.shift[b], memory.norm[b],
            ):  # fmt: skip
                return False
            sequence += 1 if start + end == units.ends[sequence] else 0
            begin = end
    return True


@block_function
def _filter(family_params, latent_params, rows, units, messages, unit, memory):
    """Filter a unit, carefully if need be; return whether it was done so."""
    has_message = messages.ahead_known.shape[0] > 0
    careful = has_message and _is_wide(messages.ahead[unit])
    while True:
        if has_message:
            _load(messages.ahead[unit], careful, memory.message)
        if _forward(family_params, latent_params, rows, units, unit, careful, memory) or careful:
            return careful
        careful = True


@block_function
def _smooth_block(latent_params, units, weight, b, start, n, sequence, careful, memory, latent_stats, lane):
    """Smooth a block of n rows, whose last one belongs to `sequence`; return the sequence of the row before it."""
    end = n
    while end > 0:
        begin = max(0, _start_of(units, sequence) - start)
        is_first = start + begin == _start_of(units, sequence)
        of_sequence = weight[start + begin] if weight.shape[0] > 0 else 1.0
        backward_block(
            latent_params, memory.emission[b], begin, end, is_first, start + end == units.ends[sequence], careful,
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
    """A row that is impossible teaches the family nothing."""
    for i in range(n):
        if shift[i] == -np.inf:
            for k in range(resp.shape[0]):
                resp[k, i] = 0.0


@block_function
def _last_sequence(units, unit):
    """The sequence of the last row of a unit."""
    if unit + 1 == units.first.shape[0]:
        return units.ends.shape[0] - 1
    following = units.sequence[unit + 1]
    return following if units.stop[unit] > _start_of(units, following) else following - 1


@block_function
def _add_totals(shift, norm, weight, start, n, totals, lane):
    """Add the log-likelihood and the weight of n rows."""
    loglik, total, impossible = 0.0, 0.0, 0.0
    for i in range(n):
        w = weight[start + i] if weight.shape[0] > 0 else 1.0
        total += w
        if shift[i] == -np.inf:
            impossible += w
        else:
            loglik += w * (shift[i] + log_positive(norm[i]))
    totals.loglik[lane] += loglik
    totals.weight[lane] += total
    totals.impossible[lane] += impossible


@block_function
def _write_filtered(b, start, n, careful, memory, outputs):
    for i in range(n):
        if outputs.loglik.shape[0] > 0:
            outputs.loglik[start + i] = memory.shift[b, i] + log_positive(memory.norm[b, i])
        if outputs.filtered.shape[0] > 0:
            for k in range(memory.filtered.shape[1]):
                value = memory.filtered[b, k, i]
                outputs.filtered[start + i, k] = exp_nonpositive(value) if careful else value / memory.norm[b, i]


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
def _backward(
    family_params, latent_params, rows, weight, units, messages, unit, careful, learns, outputs, memory, totals,
    latent_stats, family_stats, lane,
):  # fmt: skip
    """Smooth a unit that was filtered, and add its statistics."""
    block_rows = memory.x.shape[1]
    if messages.behind_known.shape[0] > 0:
        _load_behind(units, messages, unit, careful, memory)
    sequence = _last_sequence(units, unit)
    for b in range((units.stop[unit] - units.first[unit] + block_rows - 1) // block_rows - 1, -1, -1):
        start = units.first[unit] + b * block_rows
        n = min(block_rows, units.stop[unit] - start)
        _write_filtered(b, start, n, careful, memory, outputs)
        _add_totals(memory.shift[b], memory.norm[b], weight, start, n, totals, lane)
        sequence = _smooth_block(
            latent_params, units, weight, b, start, n, sequence, careful, memory, latent_stats, lane
        )
        resp = memory.filtered[b]
        _write_smoothed(start, n, resp, outputs)
        if learns:
            _drop_impossible(memory.shift[b], n, resp)
            copy_block(rows, start, memory.x)
            accumulate_block(family_params, memory.components, memory.x, resp, memory.scratch, family_stats, lane)


@block_function
def _sweep_lane(
    family_params, latent_params, rows, weight, units, messages, first_unit, scratch_lines, vectors, learns, outputs,
    totals, latent_stats, family_stats, lane,
):  # fmt: skip
    """Filter and smooth every unit that belongs to a lane: units go to the lanes in turn."""
    n_lanes, n_units = totals.loglik.shape[0], units.first.shape[0]
    unit = (lane - first_unit) % n_lanes
    if unit < n_units:
        n_blocks = _blocks_of_largest(units, vectors * VECTOR)
        memory = _new_memory(n_blocks, rows.n_columns, latent_params[0].shape[0], scratch_lines, vectors * VECTOR)
        while unit < n_units:
            careful = _filter(family_params, latent_params, rows, units, messages, unit, memory)
            _backward(
                family_params, latent_params, rows, weight, units, messages, unit, careful, learns, outputs,
                memory, totals, latent_stats, family_stats, lane,
            )  # fmt: skip
            unit += n_lanes


def _sweep_pass(
    serial, family_params, latent_params, rows, weight, units, messages, first_unit, scratch_lines, vectors, learns,
    outputs, totals, latent_stats, family_stats,
):  # fmt: skip
    n_lanes = totals.loglik.shape[0]
    if serial:
        for lane in range(n_lanes):
            _sweep_lane(
                family_params, latent_params, rows, weight, units, messages, first_unit, scratch_lines, vectors,
                learns, outputs, totals, latent_stats, family_stats, lane,
            )  # fmt: skip
        return
    for index in prange(n_lanes):
        # Units next to each other, which are all there may be, go to different threads.
        lane = bits_reversed(np.int64(index), n_lanes)
        _sweep_lane(
            family_params, latent_params, rows, weight, units, messages, first_unit, scratch_lines, vectors, learns,
            outputs, totals, latent_stats, family_stats, lane,
        )  # fmt: skip


@block_function
def _differs(message, reference):
    """Whether a message differs from another one; both are scaled to sum to one first."""
    total, sum_of_reference = 0.0, 0.0
    for k in range(message.shape[0]):
        total += message[k]
        sum_of_reference += reference[k]
    differs = not total > 0.0
    for k in range(message.shape[0]):
        expected = reference[k] * total
        differs = differs or not abs(message[k] * sum_of_reference - expected) <= _AGREEMENT * expected
    return differs


@block_function
def _agrees(state, message, reference):
    """Keep the first message, and compare the others with it."""
    if state > 0:
        return not _differs(message, reference)
    for k in range(message.shape[0]):
        reference[k] = message[k]
    return True


@block_function
def _seek_ahead(family_params, latent_params, rows, units, unit, memory):
    """Find the message for the first row of a unit from some rows before it; False when it takes more of them."""
    n_before = units.first[unit] - _start_of(units, units.sequence[unit])
    n_read = min(memory.x.shape[1], n_before)
    _emit(family_params, rows, units.first[unit] - n_read, False, memory.emission[0], memory.shift[0], memory)
    for warm_up in _WARM_UPS:
        begin = max(0, n_read - warm_up)
        if _agree(latent_params, begin, n_read, False, n_read - begin == n_before, memory):
            return True
    return False


@block_function
def _seek_behind(family_params, latent_params, rows, units, unit, memory):
    """Find the message for the row after a unit from some rows from there on; False when it takes more of them."""
    n_behind = units.ends[_last_sequence(units, unit)] - units.stop[unit]
    _emit(family_params, rows, units.stop[unit], False, memory.emission[0], memory.shift[0], memory)
    for warm_up in _WARM_UPS:
        n = min(warm_up, n_behind)
        if _agree(latent_params, 0, n, True, n == n_behind, memory):
            return True
    return False


@block_function
def _agree(latent_params, begin, end, backwards, is_edge, memory):
    """Whether rows hand on the same message, the reference, from all states of the row beyond them."""
    for state in range(1 if is_edge else memory.message.shape[0]):
        if not seek_block(
            latent_params, memory.emission[0], begin, end, backwards, is_edge, state, memory.message, memory.work
        ):
            return False
        if not _agrees(state, memory.message, memory.reference):
            return False
    return True


@block_function
def _seek(family_params, latent_params, rows, units, messages, unit, memory):
    """Find the messages of a unit that are not known, where some rows tell them."""
    if not messages.ahead_known[unit] and _seek_ahead(family_params, latent_params, rows, units, unit, memory):
        _keep(memory.reference, False, messages.ahead[unit])
        messages.ahead_known[unit] = True
    if not messages.behind_known[unit] and _seek_behind(family_params, latent_params, rows, units, unit, memory):
        _keep(memory.reference, False, messages.behind[unit])
        messages.behind_known[unit] = True


@block_function
def _seek_lane(family_params, latent_params, rows, units, messages, n_lanes, scratch_lines, vectors, lane):
    memory = _new_memory(1, rows.n_columns, latent_params[0].shape[0], scratch_lines, vectors * VECTOR)
    for unit in range(lane, units.first.shape[0], n_lanes):
        _seek(family_params, latent_params, rows, units, messages, unit, memory)


def _seek_pass(serial, family_params, latent_params, rows, units, messages, n_lanes, scratch_lines, vectors):
    if serial:
        for lane in range(n_lanes):
            _seek_lane(family_params, latent_params, rows, units, messages, n_lanes, scratch_lines, vectors, lane)
        return
    for index in prange(n_lanes):
        _seek_lane(
            family_params, latent_params, rows, units, messages, n_lanes, scratch_lines, vectors, np.int64(index)
        )


@block_function
def _hand_over(
    family_params, latent_params, rows, weight, units, messages, first, last, outputs, memory, totals, latent_stats,
    family_stats, lane,
):  # fmt: skip
    """Find the messages of the units `first` to `last` of a sequence that are not known, each from its neighbour."""
    for unit in range(first + 1, last + 1):
        if not messages.ahead_known[unit]:
            careful = _filter(family_params, latent_params, rows, units, messages, unit - 1, memory)
            _keep(memory.message, careful, messages.ahead[unit])
            messages.ahead_known[unit] = True
    for unit in range(last - 1, first - 1, -1):
        if not messages.behind_known[unit]:
            careful = _filter(family_params, latent_params, rows, units, messages, unit + 1, memory)
            _backward(
                family_params, latent_params, rows, weight, units, messages, unit + 1, careful, False, outputs,
                memory, totals, latent_stats, family_stats, lane,
            )  # fmt: skip
            _keep(memory.message, careful, messages.behind[unit])
            messages.behind_known[unit] = True


@block_function
def _hand_over_lane(
    family_params, latent_params, rows, weight, units, messages, first, last, scratch_lines, vectors, outputs, totals,
    latent_stats, family_stats, lane,
):  # fmt: skip
    n_lanes = latent_stats[0].shape[0]
    if lane < first.shape[0]:
        n_blocks = _blocks_of_largest(units, vectors * VECTOR)
        memory = _new_memory(n_blocks, rows.n_columns, latent_params[0].shape[0], scratch_lines, vectors * VECTOR)
        for s in range(lane, first.shape[0], n_lanes):
            _hand_over(
                family_params, latent_params, rows, weight, units, messages, first[s], last[s], outputs, memory,
                totals, latent_stats, family_stats, lane,
            )  # fmt: skip


def _hand_over_pass(
    serial, family_params, latent_params, rows, weight, units, messages, first, last, scratch_lines, vectors, outputs,
    totals, latent_stats, family_stats,
):  # fmt: skip
    n_lanes = latent_stats[0].shape[0]
    if serial:
        for lane in range(n_lanes):
            _hand_over_lane(
                family_params, latent_params, rows, weight, units, messages, first, last, scratch_lines, vectors,
                outputs, totals, latent_stats, family_stats, lane,
            )  # fmt: skip
        return
    for index in prange(n_lanes):
        _hand_over_lane(
            family_params, latent_params, rows, weight, units, messages, first, last, scratch_lines, vectors, outputs,
            totals, latent_stats, family_stats, np.int64(index),
        )  # fmt: skip


@block_function
def _best_path(family_params, latent_params, rows, units, sequence, memory, path, loglik):
    """Write the most probable path of one sequence, and its log-density together with the rows."""
    first, stop, block_rows = _start_of(units, sequence), units.ends[sequence], memory.x.shape[1]
    back = np.empty((stop - first, memory.message.shape[0]), dtype=np.int32)
    possible = True
    for start in range(first, stop, block_rows):
        n = min(block_rows, stop - start)
        copy_block(rows, start, memory.x)
        log_prob_block(family_params, memory.components, memory.x, memory.emission[0], memory.scratch)
        possible &= path_block(
            latent_params, memory.emission[0], 0, n, start == first, memory.message, memory.work,
            back[start - first : start - first + n],
        )  # fmt: skip
    state = 0
    for k in range(1, memory.message.shape[0]):
        state = k if memory.message[k] > memory.message[state] else state
    loglik[sequence] = memory.message[state] if possible else -np.inf
    for i in range(stop - first - 1, -1, -1):
        path[first + i] = state
        if i > 0:
            state = back[i, state]


@block_function
def _path_lane(family_params, latent_params, rows, units, n_lanes, scratch_lines, vectors, path, loglik, lane):
    if lane < units.ends.shape[0]:
        memory = _new_memory(1, rows.n_columns, latent_params[0].shape[0], scratch_lines, vectors * VECTOR)
        for sequence in range(lane, units.ends.shape[0], n_lanes):
            _best_path(family_params, latent_params, rows, units, sequence, memory, path, loglik)


def _path_pass(serial, family_params, latent_params, rows, units, n_lanes, scratch_lines, vectors, path, loglik):
    if serial:
        for lane in range(n_lanes):
            _path_lane(family_params, latent_params, rows, units, n_lanes, scratch_lines, vectors, path, loglik, lane)
        return
    for index in prange(n_lanes):
        _path_lane(
            family_params, latent_params, rows, units, n_lanes, scratch_lines, vectors, path, loglik, np.int64(index)
        )


_compiled_sweep_pass = Pass(_sweep_pass, fingerprint)
_compiled_seek_pass = Pass(_seek_pass, fingerprint)
_compiled_hand_over_pass = Pass(_hand_over_pass, fingerprint)
_compiled_path_pass = Pass(_path_pass, fingerprint)


def sequence_pass(
    family_params: Any,
    latent_params: Any,
    rows: Rows,
    weight: np.ndarray,
    units: Units,
    lanes: ExpectedStats,
    first_unit: int = 0,
    outputs: Outputs = NO_OUTPUTS,
    *,
    learns: bool = True,
    forgets: bool = True,
) -> None:
    """Add the expected statistics of the sequences of a chunk to `lanes`, and write what is asked of their rows.

    Parameters
    ----------
    family_params, latent_params : NamedTuple of arrays
        Of registered classes; the first field of `latent_params` has one entry for each state.
    rows : Rows
        The chunk, (N, D).
    weight : ndarray
        From `weights_of`; the same for all rows of a sequence.
    units : Units
        All rows of the chunk.
    lanes : ExpectedStats
        With lanes; changed in place.
    first_unit : int
        Number of units that earlier chunks added to the same lanes.
    outputs : Outputs
    learns : bool
        Without, nothing is added to the statistics of the family.
    forgets : bool
        Without, units learn of the rest of their sequences from their neighbours only: slow, and a check.
    """
    _require_registered(family_params, latent_params)
    n_components = require_params(family_params, latent_params, rows)
    require_rows(rows)
    require_weight(weight, rows.n_rows)
    require_units(units, rows.n_rows)
    require_lanes(lanes, family_params, n_components)
    _require_outputs(outputs, rows.n_rows, n_components)
    totals = Totals(lanes.loglik, lanes.weight, lanes.impossible)
    sizes = blocks.scratch_lines(rows.n_columns), BLOCK // VECTOR
    messages = _messages(family_params, latent_params, rows, units, lanes, sizes, forgets)
    # As in `fused_pass`: to wake a thread that has nothing to do takes time.
    with threads(1) if units.first.size == 1 else nullcontext():
        _compiled_sweep_pass(
            family_params, latent_params, rows, weight, units, messages, first_unit, *sizes, learns, outputs, totals,
            lanes.latent, lanes.family,
        )  # fmt: skip


def _messages(
    family_params: Any, latent_params: Any, rows: Rows, units: Units, lanes: ExpectedStats, sizes: Any, forgets: bool
) -> Messages:
    """What the units know of the rest of their sequences; empty arrays where all sequences are whole."""
    begins_inside = units.begins_inside
    if not begins_inside.any():
        return Messages(np.empty((0, 0)), np.empty((0, 0)), np.empty(0, dtype=bool), np.empty(0, dtype=bool))
    ends_inside = np.append(begins_inside[1:], False)
    shape = units.first.size, latent_params[0].size
    messages = Messages(np.zeros(shape), np.zeros(shape), ~begins_inside, ~ends_inside)
    # Sums that nobody reads: these passes look for messages only.
    unread = 0.0 * lanes
    if forgets:
        _compiled_seek_pass(family_params, latent_params, rows, units, messages, len(lanes.loglik), *sizes)
    unknown = ~(messages.ahead_known & messages.behind_known)
    if unknown.any():
        first = np.flatnonzero(~begins_inside & ends_inside)
        last = np.flatnonzero(begins_inside & ~ends_inside)
        behind = np.logical_or.reduceat(unknown, first)
        _compiled_hand_over_pass(
            family_params, latent_params, rows, weights_of(None), units, messages, first[behind], last[behind], *sizes,
            NO_OUTPUTS, Totals(unread.loglik, unread.weight, unread.impossible), unread.latent, unread.family,
        )  # fmt: skip
    return messages


def path_pass(
    family_params: Any, latent_params: Any, rows: Rows, units: Units, path: np.ndarray, loglik: np.ndarray
) -> None:
    """Fill `path` (N,) int64 with the most probable path of each sequence, and `loglik` (S,) with its log-density.

    The density is that of the rows and the path together, in nats; minus infinity where no path is possible.
    """
    _require_registered(family_params, latent_params)
    require_params(family_params, latent_params, rows)
    require_rows(rows)
    require_units(units, rows.n_rows)
    require_output("path", path, (rows.n_rows,), np.int64)
    require_output("loglik", loglik, units.ends.shape, np.float64)
    sizes = blocks.scratch_lines(rows.n_columns), BLOCK // VECTOR
    _compiled_path_pass(family_params, latent_params, rows, units, MAX_LANES, *sizes, path, loglik)


def _require_outputs(outputs: Outputs, n_rows: int, n_components: int) -> None:
    """Raise unless each output that is asked for has the shape and the dtype of what is written."""
    for name, out, none in zip(outputs._fields, outputs, NO_OUTPUTS, strict=True):
        if out is not none:
            shape = (n_rows,) if none.ndim == 1 else (n_rows, n_components)
            require_output(name, out, shape, none.dtype)


def _require_registered(family_params: Any, latent_params: Any) -> None:
    """Raise a clear error here, rather than a page of numba's from inside the compilation."""
    of_family: list[Any] = [log_prob_block, accumulate_block]
    of_chain: list[Any] = [forward_block, backward_block, seek_block, path_block]
    for params, operations in ((family_params, of_family), (latent_params, of_chain)):
        for operation in operations:
            blocks.implementation(operation, type(params))
