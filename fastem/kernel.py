"""The two parallel passes over rows: one that gathers statistics, one that scores.

They know lanes, blocks and scratch. Which family and latent they run is decided by the classes of the
parameter records (see `fastem.blocks`), at compile time. Whatever the dtype and memory order of the
rows, one compiled pass serves: each block is copied into features x rows float64 scratch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numba.core import types

from fastem import blocks
from fastem._jit import Pass, block_function
from fastem.blocks import BLOCK, STRIDE, accumulate_block, log_prob_block, posterior_block
from fastem.rows import NO_ROWS, Rows
from fastem.stats import ExpectedStats

# Consecutive blocks that one lane takes, so that memory is read in pieces of a few pages.
RUN = 8
MAX_LANES = 64
MIN_LANES = 16
_LANES_BUDGET = 32 * 2**20


class _Totals(NamedTuple):
    """The scalar sums of a pass, one entry for each lane: numba's parallel loops take no nested records."""

    loglik: np.ndarray
    weight: np.ndarray
    impossible: np.ndarray


def n_lanes(stats: ExpectedStats) -> int:
    """Number of private accumulators of a pass: a power of two, and a function of the model's size alone.

    It does not depend on the machine, so that neither do the bits of a result.
    """
    size = sum(np.asarray(field).nbytes for record in (stats.latent, stats.family) for field in record)
    lanes = MAX_LANES
    while lanes > MIN_LANES and lanes * size > _LANES_BUDGET:
        lanes //= 2
    return lanes


def lanes_filled(lanes: int, n_blocks: int) -> int:
    """How many of the lanes hold anything after this many blocks: the first ones."""
    return min(lanes, -(-n_blocks // RUN))


@block_function
def _copy_block(rows, start, x):
    """Copy `BLOCK` rows from `start` on, transposed, into float64; repeat the last row past the end."""
    n = min(BLOCK, rows.n_rows - start)
    for j in range(rows.n_columns):
        first = rows.offset + start * rows.row_stride + j * rows.column_stride
        if rows.float64.shape[0] > 0:
            if rows.row_stride == 1:
                for i in range(n):
                    x[j, i] = rows.float64[first + i]
            else:
                for i in range(n):
                    x[j, i] = rows.float64[first + i * rows.row_stride]
        elif rows.row_stride == 1:
            for i in range(n):
                x[j, i] = rows.float32[first + i]
        else:
            for i in range(n):
                x[j, i] = rows.float32[first + i * rows.row_stride]
        for i in range(n, BLOCK):
            x[j, i] = x[j, n - 1]


@block_function
def _copy_weight(weight, start, n_rows, w):
    """Copy the weights of a block; rows past the end weigh nothing."""
    n = min(BLOCK, n_rows - start)
    for i in range(n):
        w[i] = weight[start + i] if weight.shape[0] > 0 else 1.0
    for i in range(n, BLOCK):
        w[i] = 0.0


class _Buffers(NamedTuple):
    """Memory for one block: rows, log-densities or responsibilities, and what the operations may use."""

    x: np.ndarray
    resp: np.ndarray
    weight: np.ndarray
    row_loglik: np.ndarray
    scratch: np.ndarray


@block_function
def _new_buffers(n_features, n_components, scratch_rows):
    return _Buffers(
        np.empty((n_features, STRIDE)),
        np.empty((n_components, STRIDE)),
        np.ones(STRIDE),
        np.empty(STRIDE),
        np.empty((scratch_rows, STRIDE)),
    )


@block_function
def _posterior(family_params, latent_params, rows, start, buffers, latent_stats, lane):
    """Read a block of rows, and leave its responsibilities and log-likelihoods in the buffers."""
    _copy_block(rows, start, buffers.x)
    log_prob_block(family_params, buffers.x, buffers.resp, buffers.scratch)
    posterior_block(
        latent_params, buffers.resp, buffers.weight, buffers.row_loglik, buffers.scratch, latent_stats, lane
    )


@block_function
def _given_posterior(rows, given, start, buffers):
    """Read a block of rows, and of responsibilities that are known."""
    _copy_block(rows, start, buffers.x)
    _copy_block(given, start, buffers.resp)
    for k in range(buffers.resp.shape[0]):
        for i in range(BLOCK):
            buffers.resp[k, i] *= buffers.weight[i]


@block_function
def _add_totals(buffers, totals, lane):
    loglik, impossible, weight = 0.0, 0.0, 0.0
    for i in range(BLOCK):
        possible = buffers.row_loglik[i] > -np.inf
        loglik += buffers.weight[i] * buffers.row_loglik[i] if possible else 0.0
        impossible += 0.0 if possible else buffers.weight[i]
        weight += buffers.weight[i]
    totals.loglik[lane] += loglik
    totals.impossible[lane] += impossible
    totals.weight[lane] += weight


@block_function
def _fill_lane(
    family_params,
    latent_params,
    rows,
    weight,
    given,
    first_block,
    scratch_rows,
    totals,
    latent_stats,
    family_stats,
    lane,
):
    """Add every block that belongs to a lane: runs of blocks go to the lanes in turn."""
    buffers = _new_buffers(rows.n_columns, latent_params[0].shape[0], scratch_rows)
    n_lanes = totals.loglik.shape[0]
    end_block = first_block + (rows.n_rows + BLOCK - 1) // BLOCK
    first_run = first_block // RUN
    run = first_run + (lane - first_run) % n_lanes
    while run * RUN < end_block:
        for block in range(max(run * RUN, first_block), min((run + 1) * RUN, end_block)):
            start = (block - first_block) * BLOCK
            _copy_weight(weight, start, rows.n_rows, buffers.weight)
            if given.n_columns > 0:
                _given_posterior(rows, given, start, buffers)
                buffers.row_loglik[:] = 0.0
            else:
                _posterior(family_params, latent_params, rows, start, buffers, latent_stats, lane)
            _add_totals(buffers, totals, lane)
            accumulate_block(family_params, buffers.x, buffers.resp, buffers.scratch, family_stats, lane)
        run += n_lanes


@block_function
def _bits_reversed(index, n):
    """The number below n, a power of two, whose binary digits are those of `index` in reverse."""
    reverse = 0
    while n > 1:
        reverse = 2 * reverse + index % 2
        index //= 2
        n //= 2
    return reverse


def _fused_pass(
    family_params, latent_params, rows, weight, given, first_block, scratch_rows, totals, latent_stats, family_stats
):
    n_lanes = totals.loglik.shape[0]
    for index in prange(n_lanes):
        # Each thread takes a stretch of indices: with their bits reversed, lanes next to each other go to
        # different threads, and few rows, which fill the first lanes only, to all of them.
        lane = _bits_reversed(np.int64(index), n_lanes)
        _fill_lane(
            family_params, latent_params, rows, weight, given, first_block, scratch_rows,
            totals, latent_stats, family_stats, lane,
        )  # fmt: skip


@block_function
def _most_probable(resp, highest, best):
    """Set `best` to the component of the highest responsibility of each row, the first one of equals."""
    for i in range(BLOCK):
        highest[i] = resp[0, i]
        best[i] = 0.0
    for k in range(1, resp.shape[0]):
        label = np.float64(k)
        for i in range(BLOCK):
            better = resp[k, i] > highest[i]
            best[i] = label if better else best[i]
            highest[i] = resp[k, i] if better else highest[i]


@block_function
def _score_strand(
    family_params, latent_params, rows, scratch_rows, latent_stats, loglik, resp_out, label, strand, first, last
):
    """Score the blocks `first` to `last - 1`; an output of no rows is not asked for."""
    n_components = latent_params[0].shape[0]
    buffers = _new_buffers(rows.n_columns, n_components, scratch_rows)
    resp = buffers.resp
    for block in range(first, last):
        start = block * BLOCK
        n = min(BLOCK, rows.n_rows - start)
        _posterior(family_params, latent_params, rows, start, buffers, latent_stats, strand)
        for i in range(min(n, loglik.shape[0])):
            loglik[start + i] = buffers.row_loglik[i]
        for i in range(min(n, resp_out.shape[0])):
            for k in range(n_components):
                resp_out[start + i, k] = resp[k, i]
        if label.shape[0] > 0:
            _most_probable(resp, buffers.scratch[0], buffers.scratch[1])
            for i in range(n):
                label[start + i] = np.int64(buffers.scratch[1, i])


def _score_pass(family_params, latent_params, rows, scratch_rows, latent_stats, loglik, resp_out, label):
    n_blocks = (rows.n_rows + BLOCK - 1) // BLOCK
    n_strands = latent_stats[0].shape[0]
    for index in prange(n_strands):
        # numba takes the index for unsigned in some places, and would compile every callee twice.
        strand = np.int64(index)
        first, last = strand * n_blocks // n_strands, (strand + 1) * n_blocks // n_strands
        _score_strand(
            family_params, latent_params, rows, scratch_rows, latent_stats, loglik, resp_out, label, strand, first, last
        )


def _fingerprint(sig: tuple[Any, ...]) -> str:
    return blocks.fingerprint(*(t.instance_class for t in sig if isinstance(t, types.NamedTuple)))  # type: ignore[attr-defined]


_compiled_fused_pass = Pass(_fused_pass, _fingerprint)
_compiled_score_pass = Pass(_score_pass, _fingerprint)


def fused_pass(
    family_params: Any,
    latent_params: Any,
    rows: Rows,
    weight: np.ndarray,
    lanes: ExpectedStats,
    first_block: int = 0,
    given: Rows = NO_ROWS,
) -> None:
    """Add the expected statistics of a chunk to `lanes`, in one read of the chunk.

    Parameters
    ----------
    family_params, latent_params : NamedTuple of arrays
        Of registered classes; the first field of `latent_params` has one entry for each component.
    rows : Rows
        The chunk, (N, D).
    weight : ndarray
        From `weights_of`.
    lanes : ExpectedStats
        With lanes; changed in place.
    first_block : int
        Number of blocks that earlier chunks added to the same lanes. With chunks of whole blocks, the
        sums then have the same bits however the rows are cut into chunks.
    given : Rows
        Known responsibilities (N, K), to be used in place of the posterior; none by default.
    """
    _require_registered(family_params, latent_params)
    scratch_rows = blocks.scratch_rows(rows.n_columns)
    totals = _Totals(lanes.loglik, lanes.weight, lanes.impossible)
    _compiled_fused_pass(
        family_params, latent_params, rows, weight, given, first_block, scratch_rows, totals, lanes.latent, lanes.family
    )


def score_pass(
    family_params: Any,
    latent_params: Any,
    rows: Rows,
    latent_stats: Any,
    *,
    loglik: np.ndarray | None = None,
    resp: np.ndarray | None = None,
    label: np.ndarray | None = None,
) -> None:
    """Fill the given outputs for the rows of a chunk, in one read of the chunk.

    Parameters
    ----------
    family_params, latent_params : NamedTuple of arrays
    rows : Rows
        The chunk, (N, D).
    latent_stats : Additive
        With lanes, one for each strand that may run in parallel; its sums are by-products.
    loglik : (N,) float64 ndarray, optional
        Log-likelihood of each row, in nats.
    resp : (N, K) float64 ndarray, optional
        Responsibilities.
    label : (N,) int64 ndarray, optional
        The component of highest responsibility.
    """
    _require_registered(family_params, latent_params)
    _compiled_score_pass(
        family_params,
        latent_params,
        rows,
        blocks.scratch_rows(rows.n_columns),
        latent_stats,
        np.empty(0) if loglik is None else loglik,
        np.empty((0, 0)) if resp is None else resp,
        np.empty(0, dtype=np.int64) if label is None else label,
    )


def _require_registered(family_params: Any, latent_params: Any) -> None:
    """Raise a clear error here, rather than a page of numba's from inside the compilation."""
    for operation in (log_prob_block, accumulate_block):
        blocks.implementation(operation, type(family_params))
    blocks.implementation(posterior_block, type(latent_params))
