"""Rows of a data frame of pandas or polars, without an import of either."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastem.given import converted, holds_numbers, is_missing, plain_array
from fastem.sources.reader import SourceError, Span
from fastem.sources.shared import NoRowsError, column_labels, cut, even_spans, recycler


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
    if _holds_objects(dtype):
        return holds_numbers(frame.iloc[:, column].to_numpy(dtype=object))
    return getattr(dtype, "kind", "O") in "biuf"


def _holds_objects(dtype: Any) -> bool:
    """Whether a column of pandas holds objects that may be numbers, as decimals are."""
    return str(dtype).startswith(("object", "decimal"))


def _is_long_integer(dtype: Any) -> bool:
    """Whether float64 may round the values of a column."""
    return str(dtype).lower().removesuffix("[pyarrow]") in ("int64", "uint64", "int128", "uint128")


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


class FrameReader:
    """Rows of a data frame of pandas or polars; missing values become NaN.

    Raises
    ------
    SourceError
        When there are none.
    """

    def __init__(self, frame: Any, label: str = "the data frame"):
        self.label = label
        self._frame = frame
        self._numeric: set[int] = set()
        self.names: list[str] | None = [str(name) for name in frame.columns]
        self.n_rows, self.n_columns = frame.shape
        if not (self.n_rows and self.n_columns):
            raise NoRowsError(f"{label} holds no rows: its shape is {frame.shape}.")

    def non_numeric(self, columns: Sequence[int]) -> list[str]:
        wrong = [column for column in columns if column not in self._numeric and not _is_numeric(self._frame, column)]
        # To look through objects takes a pass.
        self._numeric |= set(columns) - set(wrong)
        return column_labels(self.names, wrong)

    def spans(self) -> list[Span]:
        return even_spans(self.n_rows, 8 * self.n_columns)

    def stamp(self) -> Any:
        return None

    def pieces(self, columns: Sequence[int], max_rows: int, span: Span | None = None) -> Iterator[np.ndarray]:
        wrong = self.non_numeric(columns)
        if wrong:
            raise SourceError(f"{self.label} holds no numbers in the columns {', '.join(wrong)}.")
        dtypes = [list(self._frame.dtypes)[column] for column in columns]
        narrow = all(str(dtype).lower() in ("float16", "float32") for dtype in dtypes)
        dtype = np.dtype(np.float32 if narrow else np.float64)
        alone = [column for column, kind in zip(columns, dtypes, strict=True) if self._is_read_alone(kind)]
        first, end = span or (0, self.n_rows)
        for start, stop in cut(first, end, max_rows):
            if alone or not hasattr(self._frame, "iloc"):
                piece = recycler.array((stop - start, len(columns)), dtype, order="F")
                for values, column in zip(piece.T, columns, strict=True):
                    values[:] = converted(self._column(column, start, stop), self.label, dtype)
                yield piece
                del piece
            else:
                yield self._frame.iloc[start:stop, list(columns)].to_numpy(dtype=dtype, na_value=np.nan)

    def ids(self, column: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        values = self._series(column, 0, self.n_rows)
        missing = values.isna() if hasattr(self._frame, "iloc") else values.is_null()
        values = values.to_numpy()
        yield values, missing.to_numpy() | is_missing(values)

    def _is_read_alone(self, dtype: Any) -> bool:
        return _holds_objects(dtype) or _is_long_integer(dtype)

    def _series(self, column: int, start: int, stop: int) -> Any:
        if hasattr(self._frame, "iloc"):
            return self._frame.iloc[start:stop, column]
        return self._frame[start:stop].to_series(column)

    def _column(self, column: int, start: int, stop: int) -> np.ndarray:
        """Values of some rows, in a dtype that rounds none of them."""
        values = self._series(column, start, stop)
        return plain_array(values, self.label)
