"""The fused pass over rows: responsibilities and statistics in one read."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.passes.blocks import (
    accumulate_block,
    by_arithmetic,
    log_prob_block,
    posterior_block,
    require_registered,
)
from fastem.passes.flags import block_function
from fastem.passes.lanes import Totals, add_totals, bits_reversed, fingerprint, useful_threads
from fastem.passes.loop import over_lanes
from fastem.passes.pruning import NO_PRUNING, Plan, Pruning, add_not_excluded, by_plan, list_nearest, new_sorter
from fastem.passes.reading import VECTOR, buffers_of, copy_block, layout_of, read_block, read_weight, sort_run
from fastem.passes.rows import NO_ROWS, Rows
from fastem.passes.shapes import require_given, require_lanes, require_params, require_weight, shapes_of
from fastem.passes.threads import Pass
from fastem.passes.units import BLOCK
from fastem.passes.vector_math import log_positive
from fastem.stats import ExpectedStats


def _log_prob_of_all(pruning, family_params, begin, end, buffers, sorter):
    log_prob_block(family_params, buffers.components, buffers.x, buffers.resp, buffers.scratch)
    return buffers.components.shape[0]


def _log_prob_pruned(pruning, family_params, begin, end, buffers, sorter):
    components, x, log_prob, scratch = buffers.components, buffers.x, buffers.resp, buffers.scratch
    n_nearest = list_nearest(sorter, begin, end, components)
    n_done, n = 0, n_nearest
    # One call for both the nearest components and the others: each call would be compiled, inlined, anew.
    while n_done < n:
        log_prob_block(family_params, components[n_done:n], x, log_prob[n_done:n], scratch)
        n_done = n
        if n == n_nearest:
            n = add_not_excluded(pruning, x, n, log_prob, components, scratch, sorter)
    return n


# Sets the log-densities of the rows in the buffers, and returns how many components are evaluated.
block_log_prob = by_plan(_log_prob_pruned, _log_prob_of_all, _log_prob_of_all)


@block_function
def block_posterior(latent_params, n_components, buffers, latent_stats, lane):
    """Turn the log-densities of the first `n_components` of the buffers' components into responsibilities."""
    posterior_block(
        latent_params, buffers.components[:n_components], buffers.resp[:n_components], buffers.weight, buffers.shift,
        buffers.norm, buffers.scratch, latent_stats, lane,
    )  # fmt: skip


def _no_offset(family_params, shift):
    pass


def _add_offset(family_params, shift):
    offset = family_params.offset[0]
    for i in range(shift.shape[0]):
        shift[i] += offset


# Adds to the log-likelihoods of rows what their log-densities lack: nothing in float64.
add_offset = by_arithmetic(_no_offset, _add_offset)


@block_function
def _given_posterior(given, start, buffers):
    """Read the responsibilities of a block, which are known."""
    copy_block(given, start, buffers.resp)
    for k in range(buffers.resp.shape[0]):
        for i in range(buffers.resp.shape[1]):
            buffers.resp[k, i] *= buffers.weight[i]
    for i in range(buffers.shift.shape[0]):
        buffers.shift[i] = 0.0
        buffers.norm[i] = 1.0


@block_function
def _sum_of_logs(norm):
    """Sum of the logarithms of a block of norms: one logarithm for each product of eight."""
    n = norm.shape[0] // 8
    a, b, c, d = norm[:n], norm[n : 2 * n], norm[2 * n : 3 * n], norm[3 * n : 4 * n]
    e, f, g, h = norm[4 * n : 5 * n], norm[5 * n : 6 * n], norm[6 * n : 7 * n], norm[7 * n :]
    total = 0.0
    for i in range(n):
        total += log_positive(((a[i] * b[i]) * (c[i] * d[i])) * ((e[i] * f[i]) * (g[i] * h[i])))
    return total


@block_function
def _add_totals(buffers, all_ones, totals, lane):
    """Add the log-likelihood and the weight of a block."""
    shift, norm, w = buffers.shift, buffers.norm, buffers.weight
    n_rows = shift.shape[0]
    loglik, weight = 0.0, 0.0
    if all_ones:
        weight = float(n_rows)
        for i in range(n_rows):
            loglik += shift[i]
        loglik += _sum_of_logs(norm)
    else:
        for i in range(n_rows):
            weight += w[i]
            loglik += w[i] * (shift[i] + log_positive(norm[i]))
    if loglik > -np.inf:
        totals.loglik[lane] += loglik
        totals.weight[lane] += weight
    else:
        add_totals(shift, norm, w, 0, n_rows, totals, lane)


@block_function
def _n_runs(rows, first_block, layout):
    """How many runs have rows of this chunk, from the one that `first_block` lies in."""
    n_blocks = -(-rows.n_rows // (layout.vectors_per_block * VECTOR))
    return (first_block + n_blocks - 1) // layout.blocks_per_run - first_block // layout.blocks_per_run + 1


@block_function
def _fill_lane(
    family_params, latent_params, pruning, rows, weight, given, first_block, layout, totals, latent_stats, family_stats,
    index,
):  # fmt: skip
    """Add every block that belongs to a lane: runs of blocks go to the lanes in turn."""
    n_lanes, first_run = totals.loglik.shape[0], first_block // layout.blocks_per_run
    if _n_runs(rows, first_block, layout) < n_lanes:
        lane = (first_run + index) % n_lanes
    else:
        # Each thread takes a stretch of indices: with their bits reversed, lanes next to each other go to different
        # threads, and so do those that take one run more than others.
        lane = bits_reversed(index, n_lanes)
    block_rows = layout.vectors_per_block * VECTOR
    rows_per_run = layout.blocks_per_run * block_rows
    run = first_run + (lane - first_run) % n_lanes
    # Rows of this chunk before the first run: it may have begun in an earlier chunk.
    offset = first_block * block_rows
    buffers = buffers_of(family_params, rows.n_columns, latent_params[0].shape[0], layout)
    sorter = new_sorter(pruning, block_rows, rows_per_run)
    while run * rows_per_run - offset < rows.n_rows:
        start = max(run * rows_per_run - offset, 0)
        n = min((run + 1) * rows_per_run - offset, rows.n_rows) - start
        sort_run(pruning, rows, start, n, buffers, sorter)
        for begin in range(0, n, block_rows):
            end = min(begin + block_rows, n)
            order = sorter.order[begin:end]
            first = start if order.shape[0] > 0 else start + begin
            all_ones = read_weight(weight, first, order, end - begin, buffers)
            read_block(rows, start, begin, end, sorter, buffers.x)
            if given.n_columns > 0:
                n_components = buffers.components.shape[0]
                _given_posterior(given, start + begin, buffers)
            else:
                n_components = block_log_prob(pruning, family_params, begin, end, buffers, sorter)
                block_posterior(latent_params, n_components, buffers, latent_stats, lane)
                add_offset(family_params, buffers.shift)
            _add_totals(buffers, all_ones, totals, lane)
            accumulate_block(
                family_params, buffers.components[:n_components], buffers.x, buffers.resp[:n_components],
                buffers.scratch, family_stats, lane,
            )  # fmt: skip
        run += n_lanes


_fill_lanes = over_lanes(_fill_lane)


def _fused_pass(
    serial, family_params, latent_params, pruning, rows, weight, given, first_block, layout, totals, latent_stats,
    family_stats,
):  # fmt: skip
    arguments = (
        family_params, latent_params, pruning, rows, weight, given, first_block, layout, totals, latent_stats,
        family_stats,
    )  # fmt: skip
    return _fill_lanes(serial, min(totals.loglik.shape[0], _n_runs(rows, first_block, layout)), arguments)


compiled_fused_pass = Pass(_fused_pass, fingerprint)


def fused_pass(
    family_params: Any,
    latent_params: Any,
    rows: Rows,
    weight: np.ndarray,
    lanes: ExpectedStats,
    first_block: int = 0,
    given: Rows = NO_ROWS,
    pruning: Plan = NO_PRUNING,
) -> None:
    """Add the expected statistics of a chunk of rows (N, D) to `lanes`, in one read of the chunk.

    Parameters
    ----------
    family_params, latent_params : NamedTuple of arrays
        Of registered classes; the first field of `latent_params` has one entry for each component.
    weight : ndarray
        From `weights_of`.
    first_block : int
        Number of blocks that earlier chunks added to the same lanes. With chunks of whole blocks (of
        whole runs, with pruning), the sums then have the same bits however the rows are cut into chunks.
    given : Rows
        Known responsibilities (N, K), to be used in place of the posterior; none by default.
    pruning : Plan
        Of these parameters, to leave components out; none by default.
    """
    require_registered(family_params, latent_params)
    n_components, _ = require_params(family_params, latent_params, rows)
    require_weight(weight, rows.n_rows)
    require_given(given, rows.n_rows, n_components)
    require_lanes(lanes, family_params, latent_params, n_components, n_components)
    require_reach(pruning, n_components, rows.n_columns)
    totals = Totals(lanes.loglik, lanes.weight, lanes.zero_density)
    layout = layout_of(rows.n_columns, pruning, rows.n_rows if first_block == 0 else BLOCK)
    compiled_fused_pass.on(
        useful_threads(rows, n_components), family_params, latent_params, pruning, rows, weight, given, first_block,
        layout, totals, lanes.latent, lanes.family,
    )  # fmt: skip


def require_reach(pruning: Plan, n_components: int, n_features: int) -> None:
    """Raise unless a pruning record is that of so many components and features."""
    if isinstance(pruning, Pruning):
        of_axes, of_projected_means = (
            (pruning.axes.shape[0], n_features),
            (n_components, pruning.projected_means.shape[1]),
        )
        expected = (n_features,), of_axes, of_projected_means, *((n_components,),) * 4
        if shapes_of(pruning[:-1]) != expected:
            raise ValueError(f"The pruning record is not that of {n_components} components with {n_features} features.")
