"""Rows of anything that has a shape, a dtype and slices: datasets of h5py, arrays of Zarr, and the like."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from fastem.given import converted, holds_numbers, is_missing, plain_array
from fastem.sources.reader import IDS_AT_A_TIME, FileReader, NoRowsError, Reader, SourceError, Span
from fastem.sources.shared import column_labels, cut, even_spans, is_numeric, piece_dtype, rows_text


class SlicedReader(Reader):
    """Rows of an object with `shape` (N, D) or (N,), `dtype`, and slices along rows that NumPy understands."""

    n_rows: int

    def __init__(self, array: Any, label: str):
        self.label = label
        self._array = array
        shape, self._dtype = tuple(array.shape), np.dtype(array.dtype)
        is_readable = is_numeric(self._dtype) or (self._dtype.kind == "O" and isinstance(array, np.ndarray))
        if len(shape) not in (1, 2) or not is_readable:
            raise SourceError(
                f"{label} holds an array of shape {shape} and dtype {self._dtype}; rows and columns of real numbers "
                "are expected."
            )
        self.n_rows = shape[0]
        self.n_columns = shape[1] if len(shape) == 2 else 1
        if not (self.n_rows and self.n_columns):
            raise NoRowsError.of_shape(label, shape)
        self._chunks = (getattr(array, "chunks", None) or (None,))[0]

    def non_numeric(self, columns: Sequence[int]) -> list[str]:
        if self._dtype.kind != "O":
            return []
        table = self._array.reshape(self.n_rows, -1)
        return column_labels(self.names, [column for column in columns if not holds_numbers(table[:, column])])

    def ids(self, column: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start, stop in self._reads(IDS_AT_A_TIME, 0, self.n_rows):
            values = self._read(start, stop)[:, column]
            yield values, is_missing(values)

    def spans(self) -> list[Span]:
        if isinstance(self._chunks, tuple):
            return list(pairwise(accumulate(self._chunks, initial=0)))
        return even_spans(self.n_rows, self.n_columns * self._dtype.itemsize, self._chunks)

    def pieces(self, columns: Sequence[int], max_rows: int, span: Span | None = None) -> Iterator[np.ndarray]:
        dtype = piece_dtype([self._dtype])
        for start, stop in self._reads(max_rows, *(span or (0, self.n_rows))):
            rows = self._read(start, stop)
            if list(columns) != list(range(self.n_columns)):
                rows = rows[:, list(columns)]
            for first in range(0, stop - start, max_rows):
                yield converted(rows[first : first + max_rows], self.label, dtype)

    def _reads(self, max_rows: int, start: int, stop: int) -> list[Span]:
        """Parts that share no chunk, so that none is read (and decompressed) twice."""
        if isinstance(self._chunks, tuple):
            bounds = [(max(start, low), min(stop, high)) for low, high in self.spans()]
            return [(low, high) for low, high in bounds if low < high]
        chunk = self._chunks or 1
        return cut(start, stop, max(1, max_rows // chunk) * chunk)

    def _read(self, start: int, stop: int) -> np.ndarray:
        try:
            rows = plain_array(self._array[start:stop], self.label)
        # Whatever reads the array has errors of its own.
        except Exception as error:
            raise SourceError(f"{rows_text(self.label, start, stop)}: cannot be read: {error}") from error
        if rows.shape[0] != stop - start:
            raise SourceError(f"{rows_text(self.label, start, stop)}: there are only {start + rows.shape[0]} rows.")
        return rows.reshape(stop - start, -1)


class StoredReader(FileReader):
    """Rows of an array in a file that may hold several: its `name` may be left out when there is only one."""

    n_rows: int

    def __init__(self, path: str | os.PathLike[str], name: str | None = None):
        super().__init__(path)
        self.label += "" if name is None else f"::{name}"
        with self._open() as root:
            self._name = self._only_array(root) if name is None else name
            reader = self._reader(root)
        self.n_rows, self.n_columns, self._spans = reader.n_rows, reader.n_columns, reader.spans()

    def _open(self) -> AbstractContextManager[Any]:
        """What holds the arrays; SourceError for a file that is damaged."""
        raise NotImplementedError

    def _arrays(self, root: Any) -> dict[str, Any]:
        raise NotImplementedError

    def spans(self) -> list[Span]:
        return self._spans

    def pieces(self, columns: Sequence[int], max_rows: int, span: Span | None = None) -> Iterator[np.ndarray]:
        with self._open() as root:
            yield from self._reader(root).pieces(columns, max_rows, span or (0, self.n_rows))

    def ids(self, column: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        with self._open() as root:
            yield from self._reader(root).ids(column)

    def _reader(self, root: Any) -> SlicedReader:
        arrays = self._arrays(root)
        if self._name not in arrays:
            raise SourceError(f"{self.path} has no array {self._name!r}. It holds: {_listed(arrays)}.")
        return SlicedReader(arrays[self._name], self.label)

    def _only_array(self, root: Any) -> str:
        arrays = self._arrays(root)
        tables = [name for name, array in arrays.items() if len(array.shape) in (1, 2) and is_numeric(array.dtype)]
        if len(tables) != 1:
            raise SourceError(
                f"{self.path} holds {len(tables)} arrays of rows and columns of numbers (all arrays: "
                f"{_listed(arrays)}). Name one: {self.path}::{tables[0] if tables else 'name'}"
            )
        return tables[0]


def _listed(arrays: dict[str, Any]) -> str:
    texts = [f"{name} {tuple(array.shape)} {array.dtype}" for name, array in arrays.items()]
    return ", ".join(texts) or "nothing"
