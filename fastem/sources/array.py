"""Rows of a NumPy array, in memory or in a memory map."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastem.sources.source import Chunk, chunk_rows

# A memory map is read by the piece, so that all threads work in one neighbourhood of the file.
_NATIVE_CHUNK_BYTES = 256 * 2**20
# A converted copy of everything would not fit.
_CONVERTED_CHUNK_BYTES = 4 * 2**20


class ArraySource:
    """Rows of an array (N, D) of real numbers.

    float32 and float64 are never copied, whatever their memory order; every other dtype is converted
    to float64 a few megabytes at a time.

    Parameters
    ----------
    X : (N, D) ndarray
    weight : (N,) float64 ndarray, optional
    """

    def __init__(self, X: np.ndarray, weight: np.ndarray | None = None):
        self.X = X
        self.weight = weight
        self.n_rows, self.n_features = X.shape

    def chunks(self, max_rows: int | None = None) -> Iterator[Chunk]:
        native = _is_native(self.X.dtype)
        step = chunk_rows(
            self.n_features * (self.X.itemsize if native else 8),
            _NATIVE_CHUNK_BYTES if native else _CONVERTED_CHUNK_BYTES,
            max_rows,
        )
        for start in range(0, self.n_rows, step):
            rows = slice(start, start + step)
            X = np.asarray(self.X[rows]) if native else self.X[rows].astype(np.float64)
            yield Chunk(X, None if self.weight is None else self.weight[rows], start)

    def sample(self, n_rows: int, random: np.random.Generator) -> ArraySource:
        rows = draw_rows(n_rows, self.n_rows, self.weight, random)
        X = np.ascontiguousarray(self.X[rows], dtype=np.float64)
        return ArraySource(X, None if self.weight is None else self.weight[rows])


def _is_native(dtype: np.dtype[Any]) -> bool:
    """Whether kernels read this dtype without a conversion."""
    return dtype.isnative and dtype in (np.float32, np.float64)


def draw_rows(n: int, n_rows: int, weight: np.ndarray | None, random: np.random.Generator) -> np.ndarray:
    """Indices, in order, of at most `n` rows of positive weight, drawn without replacement."""
    if weight is not None:
        candidates = np.flatnonzero(weight > 0)
        return candidates[draw_rows(n, candidates.size, None, random)]
    if n >= n_rows:
        return np.arange(n_rows)
    return np.sort(random.choice(n_rows, size=n, replace=False))
