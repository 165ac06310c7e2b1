"""Messages between the tracks of long sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.passes.blocks import propagate_block
from fastem.passes.flags import block_function
from fastem.passes.lanes import Totals, fingerprint
from fastem.passes.loop import over_lanes
from fastem.passes.memory import new_memory
from fastem.passes.outputs import NO_OUTPUTS
from fastem.passes.reading import VECTOR, copy_block
from fastem.passes.rows import Rows, weights_of
from fastem.passes.sweep import (
    Messages,
    emit,
    keep_message,
    last_sequence,
    sweep_tracks,
)
from fastem.passes.threads import Pass
from fastem.passes.tracks import blocks_and_steps, start_of
from fastem.passes.units import Units
from fastem.stats import ExpectedStats

# Rows after which a message is looked at, whether it still depends on what came before; all lie in one block.
_WARM_UPS = np.array([32, 128, 512])

# Largest relative difference between messages that count as one. No later row makes it larger.
_AGREEMENT = 1e-12


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
def _warm_start_forward(family_params, latent_params, rows, units, track, memory):
    """Find the message for the first row of a track from some rows before it; False when it takes more of them."""
    n_before = units.first[track] - start_of(units, units.sequence[track])
    n_read = min(memory.x.shape[1], n_before)
    copy_block(rows, units.first[track] - n_read, memory.x)
    emit(family_params, latent_params, False, 0, memory, memory.lines)
    for warm_up in _WARM_UPS:
        begin = max(0, n_read - warm_up)
        if _agree(latent_params, begin, n_read, False, n_read - begin == n_before, memory):
            return True
    return False


@block_function
def _warm_start_backward(family_params, latent_params, rows, units, track, memory):
    """Find the message for the row after a track from some rows from there on; False when it takes more of them."""
    n_after = units.ends[last_sequence(units, track)] - units.stop[track]
    copy_block(rows, units.stop[track], memory.x)
    emit(family_params, latent_params, False, 0, memory, memory.lines)
    for warm_up in _WARM_UPS:
        n = min(warm_up, n_after)
        if _agree(latent_params, 0, n, True, n == n_after, memory):
            return True
    return False


@block_function
def _agree(latent_params, begin, end, backwards, is_edge, memory):
    """Whether rows hand on the same message, the reference, from all states of the row beyond them."""
    for state in range(1 if is_edge else memory.message.shape[0]):
        if not propagate_block(
            latent_params, memory.lines, begin, end, backwards, is_edge, state, memory.message, memory.work
        ):
            return False
        if not _agrees(state, memory.message, memory.reference):
            return False
    return True


@block_function
def _warm_start(family_params, latent_params, rows, units, messages, track, memory):
    """Find the messages of a track that are not known, where some rows tell them."""
    if not messages.forward_known[track] and _warm_start_forward(
        family_params, latent_params, rows, units, track, memory
    ):
        keep_message(memory.reference, False, messages.forward[track])
        messages.forward_known[track] = True
    if not messages.backward_known[track] and _warm_start_backward(
        family_params, latent_params, rows, units, track, memory
    ):
        keep_message(memory.reference, False, messages.backward[track])
        messages.backward_known[track] = True


@block_function
def _warm_start_lane(family_params, latent_params, rows, units, messages, n_lanes, scratch_lines, vectors, lane):
    memory = new_memory(1, 0, rows.n_columns, latent_params, scratch_lines, vectors * VECTOR)
    for track in range(lane, units.first.shape[0], n_lanes):
        _warm_start(family_params, latent_params, rows, units, messages, track, memory)


_warm_start_lanes = over_lanes(_warm_start_lane)


def _warm_start_pass(serial, family_params, latent_params, rows, units, messages, n_lanes, scratch_lines, vectors):
    arguments = family_params, latent_params, rows, units, messages, n_lanes, scratch_lines, vectors
    return _warm_start_lanes(serial, n_lanes, arguments)


@block_function
def _propagate(
    family_params, latent_params, rows, weight, units, messages, first, last, outputs, memory, totals, latent_stats,
    family_stats, lane,
):  # fmt: skip
    """Find the messages of the tracks `first` to `last` of a sequence that are not known, each from its neighbour."""
    # Once up and once down; one call for both: each would be compiled, inlined, anew.
    for step in range(2 * (last - first)):
        is_up = step < last - first
        track = first + step if is_up else last - (step - (last - first))
        is_known = messages.forward_known[track + 1] if is_up else messages.backward_known[track - 1]
        if not is_known:
            log_space = sweep_tracks(
                family_params, latent_params, rows, weight, units, messages, track, 1, not is_up, False, outputs,
                memory, totals, latent_stats, family_stats, lane,
            )  # fmt: skip
            if is_up:
                keep_message(memory.message, log_space, messages.forward[track + 1])
                messages.forward_known[track + 1] = True
            else:
                keep_message(memory.message, log_space, messages.backward[track - 1])
                messages.backward_known[track - 1] = True


@block_function
def _propagate_lane(
    family_params, latent_params, rows, weight, units, messages, first, last, scratch_lines, vectors, outputs, totals,
    latent_stats, family_stats, lane,
):  # fmt: skip
    n_lanes = latent_stats[0].shape[0]
    if lane < first.shape[0]:
        n_blocks, n_steps = blocks_and_steps(units, vectors * VECTOR)
        memory = new_memory(n_blocks, n_steps, rows.n_columns, latent_params, scratch_lines, vectors * VECTOR)
        for s in range(lane, first.shape[0], n_lanes):
            _propagate(
                family_params, latent_params, rows, weight, units, messages, first[s], last[s], outputs, memory,
                totals, latent_stats, family_stats, lane,
            )  # fmt: skip


_propagate_lanes = over_lanes(_propagate_lane)


def _propagate_pass(
    serial, family_params, latent_params, rows, weight, units, messages, first, last, scratch_lines, vectors, outputs,
    totals, latent_stats, family_stats,
):  # fmt: skip
    arguments = (
        family_params, latent_params, rows, weight, units, messages, first, last, scratch_lines, vectors, outputs,
        totals, latent_stats, family_stats,
    )  # fmt: skip
    return _propagate_lanes(serial, latent_stats[0].shape[0], arguments)


compiled_warm_start_pass = Pass(_warm_start_pass, fingerprint)

_compiled_propagate_pass = Pass(_propagate_pass, fingerprint)


def unit_messages(
    family_params: Any, latent_params: Any, rows: Rows, units: Units, lanes: ExpectedStats, sizes: Any, mixing: bool
) -> Messages:
    """What the tracks know of the rest of their sequences; empty arrays where all sequences are whole."""
    begins_inside = units.begins_inside
    if not begins_inside.any():
        return Messages(np.empty((0, 0)), np.empty((0, 0)), np.empty(0, dtype=bool), np.empty(0, dtype=bool))
    ends_inside = np.append(begins_inside[1:], False)
    shape = units.first.size, latent_params[0].size
    messages = Messages(np.zeros(shape), np.zeros(shape), ~begins_inside, ~ends_inside)
    # Sums that nobody reads: these passes look for messages only.
    unread = 0.0 * lanes
    if mixing:
        compiled_warm_start_pass(family_params, latent_params, rows, units, messages, len(lanes.loglik), *sizes)
    unknown = ~(messages.forward_known & messages.backward_known)
    if unknown.any():
        first = np.flatnonzero(~begins_inside & ends_inside)
        last = np.flatnonzero(begins_inside & ~ends_inside)
        gaps = np.logical_or.reduceat(unknown, first)
        _compiled_propagate_pass(
            family_params, latent_params, rows, weights_of(None), units, messages, first[gaps], last[gaps], *sizes,
            NO_OUTPUTS, Totals(unread.loglik, unread.weight, unread.zero_density), unread.latent, unread.family,
        )  # fmt: skip
    return messages
