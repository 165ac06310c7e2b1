"""Rows of a structured array of NumPy, whose fields are columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastem.given import converted, plain_array
from fastem.sources.ids import known_ids
from fastem.sources.reader import SourceError, Span
from fastem.sources.shared import NoRowsError, column_labels, cut, even_spans, is_numeric, piece_dtype


def is_records(X: Any) -> bool:
    """Whether X is an array of records (N,), each of which has fields."""
    return isinstance(X, np.ndarray) and X.dtype.names is not None and X.ndim == 1


class RecordsReader:
    """Rows of an array (N,) of records.

    Raises
    ------
    SourceError
        When there are none, and for fields that are arrays or records themselves.
    ValueError
        For masked values.
    """

    def __init__(self, records: np.ndarray, label: str = "the structured array"):
        self.label = label
        self._records = plain_array(records, label)
        self.names: list[str] | None = list(records.dtype.names or ())
        self._dtypes = [records.dtype[name] for name in self.names]
        self.n_rows, self.n_columns = len(records), len(self.names)
        if not (self.n_rows and self.n_columns):
            raise NoRowsError(f"{label} holds no rows: its shape is {(self.n_rows, self.n_columns)}.")
        nested = [name for name, dtype in zip(self.names, self._dtypes, strict=True) if dtype.shape or dtype.names]
        if nested:
            raise SourceError(f"{label}: the fields {nested} hold several values each. Make each of these a field.")

    def non_numeric(self, columns: Sequence[int]) -> list[str]:
        return column_labels(self.names, [column for column in columns if not is_numeric(self._dtypes[column])])

    def spans(self) -> list[Span]:
        return even_spans(self.n_rows, 8 * self.n_columns)

    def ids(self, column: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield known_ids(self._column(column))

    def stamp(self) -> Any:
        return None

    def pieces(self, columns: Sequence[int], max_rows: int, span: Span | None = None) -> Iterator[np.ndarray]:
        dtype = piece_dtype([self._dtypes[column] for column in columns])
        for start, stop in cut(*(span or (0, self.n_rows)), max_rows):
            parts = [converted(self._column(column)[start:stop], self.label, dtype) for column in columns]
            yield np.stack(parts, axis=1)

    def _column(self, column: int) -> np.ndarray:
        return self._records[(self.names or [])[column]]
