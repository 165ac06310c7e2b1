"""Rows of a NumPy array, in memory or in a memory map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fastem.given import converted
from fastem.sources.reader import Span
from fastem.sources.shared import even_spans
from fastem.sources.source import Chunk, chunk_rows, draw_rows, joined

# A memory map is read by the piece, so that all threads work in one neighbourhood of the file.
_NATIVE_CHUNK_BYTES = 256 * 2**20
# A converted copy of everything would not fit.
_CONVERTED_CHUNK_BYTES = 4 * 2**20


class ArraySource:
    """Rows of an array (N, D) of real numbers, with weights (N,) of float64 or None, and names or None.

    float32 and float64 are never copied, whatever their memory order; every other dtype is converted
    to float64 a few megabytes at a time, and integers that float64 would round are refused.
    """

    def __init__(self, X: np.ndarray, weight: np.ndarray | None = None, names: list[str] | None = None):
        self.X = X
        self.weight = weight
        self.names = names
        self.n_rows: int | None
        self.n_rows, self.n_features = X.shape
        self.labels = [str(index) for index in range(self.n_features)] if names is None else names
        # Whether kernels read the dtype without a conversion.
        self._native = X.dtype.isnative and X.dtype in (np.float32, np.float64)
        self.row_bytes = self.n_features * (X.itemsize if self._native else 8)
        self.rows_per_chunk: int | None = None
        self.allows_missing = True

    @property
    def is_weighted(self) -> bool:
        return self.weight is not None

    def chunks(self, max_rows: int | None = None) -> Iterator[Chunk]:
        step = chunk_rows(self, _NATIVE_CHUNK_BYTES if self._native else _CONVERTED_CHUNK_BYTES, max_rows)
        yield from self._cut(0, self.X.shape[0], step)

    def weighted(self, weight: np.ndarray | None) -> ArraySource:
        return ArraySource(self.X, weight, self.names)

    def sample(self, n_rows: int, random: np.random.Generator) -> ArraySource:
        rows = draw_rows(n_rows, self.X.shape[0], self.weight, random)
        X = np.ascontiguousarray(self.X[rows], dtype=np.float64)
        return ArraySource(X, None if self.weight is None else self.weight[rows], self.names)

    def parts(self) -> list[Span]:
        # Those of a file of the same rows, so that both are shuffled alike.
        return even_spans(self.X.shape[0], self.n_features * self.X.itemsize)

    def chunks_of(self, part: Span) -> Iterator[Chunk]:
        yield from self._cut(*part, chunk_rows(self, _CONVERTED_CHUNK_BYTES, None))

    def _cut(self, start: int, stop: int, step: int) -> Iterator[Chunk]:
        for first in range(start, stop, step):
            rows = slice(first, min(stop, first + step))
            X = np.asarray(self.X[rows]) if self._native else converted(self.X[rows])
            yield Chunk(X, None if self.weight is None else self.weight[rows], first)


def gathered(chunks: Sequence[Chunk], names: list[str] | None) -> ArraySource:
    """The rows of some chunks in one array of float64."""
    whole = joined(chunks)
    return ArraySource(np.ascontiguousarray(whole.X, dtype=np.float64), whole.weight, names)
