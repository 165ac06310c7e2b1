"""Rows of tables in memory with columns of several dtypes: frames of pandas and polars, and structured arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastem.given import converted, holds_numbers, is_missing, plain_array
from fastem.sources.reader import NoRowsError, Reader, SourceError, Span
from fastem.sources.shared import column_labels, cut, even_spans, is_numeric, piece_dtype, recycler

# Columns that may hold objects, as decimals are, or integers that float64 rounds.
_READ_ALONE = ("object", "decimal", "int64", "uint64", "int128", "uint128")


def is_frame(X: Any) -> bool:
    """Whether X is a data frame of pandas or polars."""
    return hasattr(X, "columns") and hasattr(X, "to_numpy") and (hasattr(X, "iloc") or hasattr(X, "to_arrow"))


def non_numeric_columns(frame: Any) -> list[str]:
    """Names of the columns that do not hold real numbers or booleans."""
    return [str(name) for column, name in enumerate(frame.columns) if not _is_numeric(frame, column)]


def _is_numeric(frame: Any, column: int) -> bool:
    dtype = list(frame.dtypes)[column]
    if hasattr(dtype, "is_numeric"):
        return dtype.is_numeric() or str(dtype) == "Boolean"
    if str(dtype).startswith(("object", "decimal")):
        return holds_numbers(frame.iloc[:, column].to_numpy(dtype=object))
    return getattr(dtype, "kind", "O") in "biuf"


def array_view(frame: Any) -> np.ndarray | None:
    """The frame as a float array that shares its memory, or None when that would take a copy."""
    try:
        if not hasattr(frame, "iloc"):
            view = frame.to_numpy(allow_copy=False)
        else:
            # Two rows tell whether all columns lie in one block of memory; asking the whole frame copies it.
            head = frame.iloc[:2]
            if not np.shares_memory(head.to_numpy(), head.iloc[:, 0].to_numpy()):
                return None
            view = frame.to_numpy()
    except (RuntimeError, ValueError, TypeError):
        return None
    return view if view.ndim == 2 and view.dtype.kind == "f" else None


class ColumnsReader(Reader):
    """Rows of a table that gives one column at a time."""

    n_rows: int

    def _has_columns(self, names: list[str], n_rows: int, label: str) -> None:
        self.names, self.label = names, label
        self.n_rows, self.n_columns = n_rows, len(names)
        if not (n_rows and names):
            raise NoRowsError.of_shape(label, (n_rows, len(names)))

    def _column(self, column: int, start: int, stop: int) -> np.ndarray:
        """Values of some rows, in a dtype that rounds none of them."""
        raise NotImplementedError

    def _dtype(self, columns: Sequence[int]) -> np.dtype[Any]:
        """The dtype of pieces of these columns."""
        raise NotImplementedError

    def spans(self) -> list[Span]:
        return even_spans(self.n_rows, 8 * self.n_columns)

    def pieces(self, columns: Sequence[int], max_rows: int, span: Span | None = None) -> Iterator[np.ndarray]:
        self.require_numeric(columns)
        dtype = self._dtype(columns)
        first, end = span or (0, self.n_rows)
        for start, stop in cut(first, end, max_rows):
            yield self._piece(columns, start, stop, dtype)

    def _piece(self, columns: Sequence[int], start: int, stop: int, dtype: np.dtype[Any]) -> np.ndarray:
        piece = recycler.array((stop - start, len(columns)), dtype, order="F")
        for values, column in zip(piece.T, columns, strict=True):
            values[:] = converted(self._column(column, start, stop), self.label, dtype)
        return piece


class FrameReader(ColumnsReader):
    """Rows of a data frame of pandas or polars, neither of which is imported; missing values become NaN."""

    def __init__(self, frame: Any, label: str = "the data frame"):
        self._frame = frame
        self._has_columns([str(name) for name in frame.columns], frame.shape[0], label)
        self._numeric: set[int] = set()

    def non_numeric(self, columns: Sequence[int]) -> list[str]:
        wrong = [column for column in columns if column not in self._numeric and not _is_numeric(self._frame, column)]
        # To look through objects takes a pass.
        self._numeric |= set(columns) - set(wrong)
        return column_labels(self.names, wrong)

    def ids(self, column: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        series = self._series(column, 0, self.n_rows)
        missing = series.isna() if hasattr(series, "isna") else series.is_null()
        values = series.to_numpy()
        yield values, missing.to_numpy() | is_missing(values)

    def _dtype(self, columns: Sequence[int]) -> np.dtype[Any]:
        dtypes = list(self._frame.dtypes)
        narrow = all(str(dtypes[column]).lower() in ("float16", "float32") for column in columns)
        return np.dtype(np.float32 if narrow else np.float64)

    def _piece(self, columns: Sequence[int], start: int, stop: int, dtype: np.dtype[Any]) -> np.ndarray:
        kinds = [str(kind).lower() for kind in self._frame.dtypes]
        if hasattr(self._frame, "iloc") and not any(kinds[column].startswith(_READ_ALONE) for column in columns):
            # Maybe without a copy.
            return self._frame.iloc[start:stop, list(columns)].to_numpy(dtype=dtype, na_value=np.nan)
        return super()._piece(columns, start, stop, dtype)

    def _column(self, column: int, start: int, stop: int) -> np.ndarray:
        return plain_array(self._series(column, start, stop), self.label)

    def _series(self, column: int, start: int, stop: int) -> Any:
        if hasattr(self._frame, "iloc"):
            return self._frame.iloc[start:stop, column]
        return self._frame[start:stop].to_series(column)


def is_records(X: Any) -> bool:
    """Whether X is an array of records (N,), each of which has fields."""
    return isinstance(X, np.ndarray) and X.dtype.names is not None and X.ndim == 1


class RecordsReader(ColumnsReader):
    """Rows of an array (N,) of records; fields that are arrays or records themselves are refused."""

    names: list[str]

    def __init__(self, records: np.ndarray, label: str = "the structured array"):
        self._records = plain_array(records, label)
        self._has_columns(list(records.dtype.names or ()), len(records), label)
        self._dtypes = [records.dtype[name] for name in self.names]
        nested = [name for name, dtype in zip(self.names, self._dtypes, strict=True) if dtype.shape or dtype.names]
        if nested:
            raise SourceError(f"{label}: the fields {nested} hold several values each. Make each of these a field.")

    def non_numeric(self, columns: Sequence[int]) -> list[str]:
        return column_labels(self.names, [column for column in columns if not is_numeric(self._dtypes[column])])

    def ids(self, column: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        values = self._column(column, 0, self.n_rows)
        yield values, is_missing(values)

    def _dtype(self, columns: Sequence[int]) -> np.dtype[Any]:
        return piece_dtype([self._dtypes[column] for column in columns])

    def _column(self, column: int, start: int, stop: int) -> np.ndarray:
        return self._records[self.names[column]][start:stop]
