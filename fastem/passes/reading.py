"""Reading rows into blocks: runs of rows, in their order or sorted, become features x rows scratch, float64 or float32.

Whatever the dtype and memory order of the rows, one compiled pass serves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.passes import blocks
from fastem.passes.blocks import by_arithmetic
from fastem.passes.flags import block_function
from fastem.passes.patterns import set_keys, sort_by_pattern
from fastem.passes.pruning import NoPruning, Plan, by_plan, guess_nearest, sort_by_nearest
from fastem.passes.units import BLOCK, SORTED_RUN

VECTOR = 8  # float64 numbers in a line of the cache, and in the widest vectors
# Blocks of a run, which one lane takes together: memory is read in pieces of a few pages.
RUN = 4


class Layout(NamedTuple):
    """Sizes that a compiled pass is told, because loops whose length it knew would be unrolled until they spill."""

    vectors_per_block: int
    blocks_per_run: int
    scratch_lines: int


def layout_of(n_features: int, pruning: Plan, n_rows: int = BLOCK) -> Layout:
    """The sizes of a pass over rows of so many features; blocks of fewer rows, where there are no more in all."""
    blocks_per_run = RUN if isinstance(pruning, NoPruning) else SORTED_RUN
    # Whole vectors, of float32, too.
    vectors_per_block = 2 * max(1, -(-min(n_rows, BLOCK) // (2 * VECTOR)))
    return Layout(vectors_per_block, blocks_per_run, blocks.scratch_lines(n_features))


@block_function
def _copy_column(flat, first, stride, n, column):
    """Copy n numbers into float64, and repeat the last one up to the end of the block."""
    if stride == 1:
        # Indices that begin at zero: numba tests every other index for being negative, and then LLVM
        # does not vectorise the loop.
        source = flat[first : first + n]
        for i in range(n):
            column[i] = source[i]
    else:
        for i in range(n):
            column[i] = flat[first + i * stride]
    for i in range(n, column.shape[0]):
        column[i] = column[n - 1]


@block_function
def copy_block(rows, start, x):
    """Copy a block of rows from `start` on, transposed, into float64; repeat the last row past the end."""
    n = min(x.shape[1], rows.n_rows - start)
    for j in range(rows.n_columns):
        first = rows.offset + start * rows.row_stride + j * rows.column_stride
        if rows.float64.shape[0] > 0:
            _copy_column(rows.float64, first, rows.row_stride, n, x[j])
        else:
            _copy_column(rows.float32, first, rows.row_stride, n, x[j])


@block_function
def _gather_block(rows, start, order, x):
    """Copy the rows ``start + order``, transposed, into float64; repeat the last one up to the end of the block."""
    n = order.shape[0]
    for j in range(rows.n_columns):
        first = rows.offset + start * rows.row_stride + j * rows.column_stride
        for i in range(n):
            projected_mean = first + order[i] * rows.row_stride
            x[j, i] = rows.float64[projected_mean] if rows.float64.shape[0] > 0 else rows.float32[projected_mean]
        for i in range(n, x.shape[1]):
            x[j, i] = x[j, n - 1]


class Buffers(NamedTuple):
    """Memory for one block: rows, log-densities or responsibilities, and what the operations may use.

    `components` begins with those that the block evaluates, in the order of the lines of `resp`.
    """

    x: np.ndarray
    resp: np.ndarray
    weight: np.ndarray
    shift: np.ndarray
    norm: np.ndarray
    scratch: np.ndarray
    components: np.ndarray


@block_function
def new_buffers(n_features, n_components, layout):
    # Said so that the compiler sees that no loop over rows leaves a rest.
    n_rows = layout.vectors_per_block * VECTOR
    lines = n_features + n_components + 3 + layout.scratch_lines
    memory = np.empty(lines * n_rows + VECTOR)
    # A vector that straddles two lines of the cache is read twice.
    first = (-memory.ctypes.data // memory.itemsize) % VECTOR
    table = memory[first : first + lines * n_rows].reshape(lines, n_rows)
    rest = n_features + n_components
    for i in range(n_rows):
        table[rest, i] = 1.0
    return Buffers(
        table[:n_features],
        table[n_features:rest],
        table[rest],
        table[rest + 1],
        table[rest + 2],
        table[rest + 3 :],
        np.arange(n_components),
    )


def _float64_buffers(family_params, n_features, n_components, layout):
    return new_buffers(n_features, n_components, layout)


def _float32_buffers(family_params, n_features, n_components, layout):
    # Said so that the compiler sees that no loop over rows, in vectors of twice as many numbers, leaves a rest.
    n_rows = layout.vectors_per_block // 2 * (2 * VECTOR)
    rest = n_features + n_components
    # In lines of float64: three of them stay so, and each of the others holds two of float32.
    lines = 3 + (rest + 1) // 2 + layout.scratch_lines
    memory = np.empty(lines * n_rows + VECTOR)
    first = (-memory.ctypes.data // memory.itemsize) % VECTOR
    wide = memory[first : first + 3 * n_rows].reshape(3, n_rows)
    flat = memory[first + 3 * n_rows : first + lines * n_rows].view(np.float32)
    table = flat.reshape(2 * (lines - 3), n_rows)
    for i in range(n_rows):
        wide[0, i] = 1.0
    return Buffers(
        table[:n_features],
        table[n_features:rest],
        wide[0],
        wide[1],
        wide[2],
        table[2 * ((rest + 1) // 2) :],
        np.arange(n_components),
    )


# Buffers in the arithmetic of the parameters of the family: rows, log-densities and scratch of float32, or all float64.
buffers_of = by_arithmetic(_float64_buffers, _float32_buffers)


@block_function
def read_weight(weight, start, order, n, buffers):
    """Copy the weights of a block of n rows; rows past the end weigh nothing. True when every weight is one."""
    w = buffers.weight
    if weight.shape[0] == 0 and n == w.shape[0]:
        return True
    # Loops, not assignments to slices: numba compiles seconds of error messages for each of those.
    for i in range(n):
        projected_mean = start + (order[i] if order.shape[0] > 0 else i)
        w[i] = weight[projected_mean] if weight.shape[0] > 0 else 1.0
    for i in range(n, w.shape[0]):
        w[i] = 0.0
    return False


def _keep_order(pruning, rows, start, n, buffers, sorter):
    pass


def _sort_by_nearest(pruning, rows, start, n, buffers, sorter):
    block_rows = buffers.x.shape[1]
    for begin in range(0, n, block_rows):
        copy_block(rows, start + begin, buffers.x)
        guess_nearest(pruning, buffers.x, buffers.scratch, sorter, sorter.nearest[begin : min(begin + block_rows, n)])
    sort_by_nearest(sorter, n)


def _sort_by_pattern(pruning, rows, start, n, buffers, sorter):
    block_rows = buffers.x.shape[1]
    for begin in range(0, n, block_rows):
        copy_block(rows, start + begin, buffers.x)
        set_keys(buffers.x, sorter.grouped.keys[begin : min(begin + block_rows, n)])
    sort_by_pattern(sorter, n)


# Bring the n rows from `start` on into the order of their nearest components, or of what they miss, or leave them.
sort_run = by_plan(_sort_by_nearest, _keep_order, _sort_by_pattern)


@block_function
def read_block(rows, start, begin, end, sorter, x):
    """Read rows `begin` to `end - 1` of the run that begins at `start`; in sorted order, if the run was sorted."""
    if sorter.order.shape[0] > 0:
        _gather_block(rows, start, sorter.order[begin:end], x)
    else:
        copy_block(rows, start + begin, x)
