"""Arrays as a compiled pass reads them: one type for every memory order, dtype and flag."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


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


_NOTHING = {dtype: np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape=(0,), writeable=False) for dtype in "df"}
NO_ROWS = Rows(_NOTHING["d"], _NOTHING["f"], 0, 0, 0, 0, 0)


def rows_of(array: np.ndarray) -> Rows:
    """Wrap a float32 or float64 array (N, D) for a pass, without a copy."""
    if array.flags.c_contiguous and array.flags.aligned:
        return _rows_in_order(array)
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


def _rows_in_order(array: np.ndarray) -> Rows:
    """Rows that follow each other: those of most passes, which are short where data are few."""
    flat = np.asarray(array).reshape(-1)
    flat.flags.writeable = False
    n_rows, n_columns = array.shape
    is_double = array.dtype.char == "d"
    float64, float32 = (flat, _NOTHING["f"]) if is_double else (_NOTHING["d"], flat)
    return Rows(float64, float32, 0, n_columns, 1, n_rows, n_columns)


def plain(array: np.ndarray) -> np.ndarray:
    """The array in the one form of parameters that passes are compiled for: C order, writable, no subclass."""
    flags = array.flags
    if type(array) is np.ndarray and flags.c_contiguous and flags.writeable:
        return array
    return np.require(array, requirements=["C", "W", "E"])


def weights_of(weight: np.ndarray | None) -> np.ndarray:
    """Wrap row weights for a pass; an empty array stands for ones."""
    if weight is None:
        return _NOTHING["d"]
    return np.lib.stride_tricks.as_strided(np.ascontiguousarray(weight, dtype=np.float64), writeable=False)
