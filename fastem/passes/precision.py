"""Arithmetic in float32: loops that are written twice, and constants that are added without a bias."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import types
from numba.extending import overload

from fastem.passes.flags import BLOCK_OPTIONS, block_function

_COARSE = 1024.0


def by_dtype(in_float64: Callable[..., Any], in_float32: Callable[..., Any]) -> Callable[..., Any]:
    """A function of an array, first, and more: one of two, by the dtype of the array; only that one is compiled."""

    def either(array: Any, *arguments: Any) -> Any:
        return (in_float32 if array.dtype == np.float32 else in_float64)(array, *arguments)

    @overload(either, jit_options=BLOCK_OPTIONS, strict=False)
    def _compiled(array: Any, *arguments: Any) -> Callable[..., Any]:
        return in_float32 if array.dtype == types.float32 else in_float64

    return either


@block_function
def in_parts(constant):
    """A number in two parts of float32: a multiple of 1 / 1024, and the rest.

    Numbers that a constant is added to lie on a grid, and the sum lies on one: all sums would lack the same part of the
    constant. A coarse part is on every grid; the fine one is to be added where numbers are near zero.
    """
    if not np.isfinite(constant):
        return np.float32(constant), np.float32(0.0)
    coarse = np.floor(_COARSE * constant + 0.5) / _COARSE
    return np.float32(coarse), np.float32(constant - coarse)
