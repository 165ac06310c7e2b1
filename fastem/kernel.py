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
from fastem.stats import ExpectedStats

# Consecutive blocks that one lane takes, so that memory is read in pieces of a few pages.
RUN = 8
MAX_LANES = 64
MIN_LANES = 16
_LANES_BUDGET = 32 * 2**20


class Rows(NamedTuple):
    """A two-dimensional array of any memory order, as a kernel reads it.

    Element (i, j) is ``flat[offset + i * row_stride + j * column_stride]``, where `flat` is whichever
    of `float64` and `float32` is not empty. One type for every array: no memory order, dtype or
    read-only flag makes numba compile a pass again.
    """

    float64: np.ndarray
    float32: np.ndarray
    offset: int
    row_stride: int
    column_stride: int
    n_rows: int
    n_columns: int


class _Totals(NamedTuple):
    """The scalar sums of a pass, one entry for each lane: numba's parallel loops take no nested records."""

    loglik: np.ndarray
    weight: np.ndarray
    impossible: np.ndarray


_NOTHING = {dtype: np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape=(0,), writeable=False) for dtype in "df"}
NO_ROWS = Rows(_NOTHING["d"], _NOTHING["f"], 0, 0, 0, 0, 0)


def rows_of(array: np.ndarray) -> Rows:
    """Wrap a float32 or float64 array (N, D) for a pass, without a copy."""
    flips = tuple(slice(None, None, -1) if stride < 0 else slice(None) for stride in array.strides)
    lowest = array[flips]
    item = array.itemsize
    if any(stride % item for stride in array.strides):
        return rows_of(np.ascontiguousarray(array))
    spans = [(n - 1) * abs(stride) // item for n, stride in zip(array.shape, array.strides, strict=True)]
    extent = 1 + sum(spans) if array.size else 0
    offset = sum(span for span, stride in zip(spans, array.strides, strict=True) if stride < 0)
    flat = np.lib.stride_tricks.as_strided(lowest, shape=(extent,), strides=(item,), writeable=False)
    both = {**_NOTHING, array.dtype.char: flat}
    row_stride, column_stride = (stride // item for stride in array.strides)
    return Rows(both["d"], both["f"], offset, row_stride, column_stride, *array.shape)


def weights_of(weight: np.ndarray | None) -> np.ndarray:
    """Wrap row weights for a pass; an empty array stands for ones."""
    if weight is None:
        return _NOTHING["d"]
    return np.lib.stride_tricks.as_strided(np.ascontiguousarray(weight, dtype=np.float64), writeable=False)


def n_lanes(stats: ExpectedStats) -> int:
    """Number of private accumulators of a pass: a function of the model's size alone.

    It does not depend on the machine, so that neither do the bits of a result.
    """
    size = sum(np.asarray(field).nbytes for record in (stats.latent, stats.family) for field in record)
    return max(MIN_LANES, min(MAX_LANES, _LANES_BUDGET // max(size, 1)))


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


@block_function
def _pass_block(
    family_params,
    latent_params,
    rows,
    weight,
    given,
    start,
    x,
    resp,
    w,
    row_loglik,
    scratch,
    totals,
    latent_stats,
    family_stats,
    lane,
):
    _copy_block(rows, start, x)
    _copy_weight(weight, start, rows.n_rows, w)
    if given.n_columns > 0:
        _copy_block(given, start, resp)
        for k in range(resp.shape[0]):
            for i in range(BLOCK):
                resp[k, i] *= w[i]
    else:
        log_prob_block(family_params, x, resp, scratch)
        posterior_block(latent_params, resp, w, row_loglik, scratch, latent_stats, lane)
        loglik = 0.0
        impossible = 0.0
        for i in range(BLOCK):
            possible = row_loglik[i] != -np.inf
            loglik += w[i] * row_loglik[i] if possible else 0.0
            impossible += 0.0 if possible else w[i]
        totals.loglik[lane] += loglik
        totals.impossible[lane] += impossible
    accumulate_block(family_params, x, resp, scratch, family_stats, lane)
    total = 0.0
    for i in range(BLOCK):
        total += w[i]
    totals.weight[lane] += total


def _fused_pass(
    family_params, latent_params, rows, weight, given, first_block, scratch_rows, totals, latent_stats, family_stats
):
    n_lanes = totals.loglik.shape[0]
    n_components = latent_params[0].shape[0]
    end_block = first_block + (rows.n_rows + BLOCK - 1) // BLOCK
    first_run = first_block // RUN
    for strand in prange(n_lanes):
        # numba types the index of a parallel loop as unsigned there, and would compile every callee twice.
        lane = np.int64(strand)
        x = np.empty((rows.n_columns, STRIDE))
        resp = np.empty((n_components, STRIDE))
        w = np.empty(STRIDE)
        row_loglik = np.empty(STRIDE)
        scratch = np.empty((scratch_rows, STRIDE))
        run = first_run + (lane - first_run) % n_lanes
        while run * RUN < end_block:
            for block in range(max(run * RUN, first_block), min((run + 1) * RUN, end_block)):
                start = (block - first_block) * BLOCK
                _pass_block(
                    family_params,
                    latent_params,
                    rows,
                    weight,
                    given,
                    start,
                    x,
                    resp,
                    w,
                    row_loglik,
                    scratch,
                    totals,
                    latent_stats,
                    family_stats,
                    lane,
                )
            run += n_lanes


def _score_pass(family_params, latent_params, rows, scratch_rows, latent_stats, loglik, resp_out, label):
    n_components = latent_params[0].shape[0]
    n_blocks = (rows.n_rows + BLOCK - 1) // BLOCK
    n_strands = latent_stats[0].shape[0]
    for index in prange(n_strands):
        strand = np.int64(index)
        x = np.empty((rows.n_columns, STRIDE))
        resp = np.empty((n_components, STRIDE))
        w = np.ones(STRIDE)
        row_loglik = np.empty(STRIDE)
        scratch = np.empty((scratch_rows, STRIDE))
        for block in range(strand * n_blocks // n_strands, (strand + 1) * n_blocks // n_strands):
            start = block * BLOCK
            n = min(BLOCK, rows.n_rows - start)
            _copy_block(rows, start, x)
            log_prob_block(family_params, x, resp, scratch)
            posterior_block(latent_params, resp, w, row_loglik, scratch, latent_stats, strand)
            for i in range(min(n, loglik.shape[0])):
                loglik[start + i] = row_loglik[i]
            for i in range(min(n, resp_out.shape[0])):
                for k in range(n_components):
                    resp_out[start + i, k] = resp[k, i]
            for i in range(min(n, label.shape[0])):
                best = 0
                for k in range(1, n_components):
                    if resp[k, i] > resp[best, i]:
                        best = k
                label[start + i] = best


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
