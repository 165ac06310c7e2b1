"""Rows of a data frame of pandas or polars, without an import of either."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastem.sources.reader import SourceError, Span
from fastem.sources.shared import NoRowsError, column_labels, cut, even_spans, recycler


def is_frame(X: Any) -> bool:
    """Whether X is a data frame of pandas or polars."""
    return hasattr(X, "columns") and hasattr(X, "to_numpy") and (hasattr(X, "iloc") or hasattr(X, "to_arrow"))


def non_numeric_columns(frame: Any) -> list[str]:
    """Names of the columns that do not hold real numbers or booleans."""
    names = list(frame.columns)
    dtypes = [frame[name].dtype for name in names] if not hasattr(frame, "iloc") else list(frame.dtypes)
    return [str(name) for name, dtype in zip(names, dtypes, strict=True) if not _is_numeric(dtype)]


def _is_numeric(dtype: Any) -> bool:
    if hasattr(dtype, "is_numeric"):
        return dtype.is_numeric() or str(dtype) == "Boolean"
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
        self.names: list[str] | None = [str(name) for name in frame.columns]
        self.n_rows, self.n_columns = frame.shape
        if not (self.n_rows and self.n_columns):
            raise NoRowsError(f"{label} holds no rows: its shape is {frame.shape}.")

    def non_numeric(self, columns: Sequence[int]) -> list[str]:
        dtypes = self._dtypes()
        return column_labels(self.names, [column for column in columns if not _is_numeric(dtypes[column])])

    def spans(self) -> list[Span]:
        return even_spans(self.n_rows, 8 * self.n_columns)

    def stamp(self) -> Any:
        return None

    def pieces(self, columns: Sequence[int], max_rows: int, span: Span | None = None) -> Iterator[np.ndarray]:
        wrong = self.non_numeric(columns)
        if wrong:
            raise SourceError(f"{self.label} holds no numbers in the columns {', '.join(wrong)}.")
        names = [str(self._dtypes()[column]).lower() for column in columns]
        dtype = np.dtype(np.float32 if all(name in ("float16", "float32") for name in names) else np.float64)
        first, end = span or (0, self.n_rows)
        for start, stop in cut(first, end, max_rows):
            if hasattr(self._frame, "iloc"):
                yield self._frame.iloc[start:stop, list(columns)].to_numpy(dtype=dtype, na_value=np.nan)
            else:
                part = self._frame[start:stop]
                piece = recycler.array((stop - start, len(columns)), dtype, order="F")
                for values, column in zip(piece.T, columns, strict=True):
                    values[:] = np.asarray(part.to_series(column).to_numpy(), dtype=dtype)
                yield piece

    def _dtypes(self) -> list[Any]:
        return list(self._frame.dtypes)
