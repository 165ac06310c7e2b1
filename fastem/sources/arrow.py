"""Rows of Arrow's record batches, and of its tables in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from fastem._extras import require
from fastem.given import require_exact
from fastem.sources.reader import SourceError, Span
from fastem.sources.shared import (
    NoRowsError,
    column_labels,
    even_spans,
    missing_value,
    piece_dtype,
    recycler,
    require_content,
    rows_text,
)


class Fields:
    """Names and Arrow types of columns."""

    def __init__(self, names: Sequence[str], types: Sequence[Any]):
        self.names = list(names)
        self._types = list(types)

    def non_numeric(self, columns: Sequence[int]) -> list[str]:
        """Names of the columns that do not hold real numbers or booleans."""
        wrong = [column for column in columns if not _is_numeric(self._types[column])]
        return column_labels(self.names, wrong)

    def require_numeric(self, label: str, columns: Sequence[int]) -> None:
        """Raise for columns of anything else."""
        wrong = self.non_numeric(columns)
        if wrong:
            raise SourceError(
                f"{label} holds no numbers in column{'s' if len(wrong) > 1 else ''} {', '.join(wrong)}. Choose other "
                "columns, or encode them as numbers."
            )

    def dtype(self, columns: Sequence[int]) -> np.dtype[Any]:
        """The dtype of pieces of these columns."""
        return piece_dtype([_numpy_dtype(self._types[column]) for column in columns])


def pieces_of(
    batches: Iterable[Any],
    positions: Sequence[int],
    dtype: np.dtype[Any],
    max_rows: int,
    labels: Sequence[str],
    label: str,
    first_row: int = 0,
    span: tuple[int, int | None] = (0, None),
    keeps_missing: bool = False,
) -> Iterator[np.ndarray]:
    """Rows of record batches as arrays (n, len(positions)), column by column in memory.

    Parameters
    ----------
    batches : iterable of RecordBatch
    positions : sequence of int
        Of the columns within the batches.
    dtype : dtype
    max_rows : int
    labels : sequence of str
        Of the columns, for messages.
    label : str
        Of the file.
    first_row : int
        Where the first batch begins.
    span : (int, int or None)
        The rows that are wanted; None for the stop takes all.
    keeps_missing : bool
        Whether a missing value is NaN, or an error.
    """
    start, stop = span
    row = first_row
    for batch in _readable(batches, label, row, stop):
        low, high = max(start, row), row + batch.num_rows if stop is None else min(stop, row + batch.num_rows)
        for first in range(low, high, max_rows):
            part = batch.slice(first - row, min(max_rows, high - first))
            yield _to_array([part.column(i) for i in positions], dtype, labels, label, first, keeps_missing)
        row += batch.num_rows
        if stop is not None and row >= stop:
            return
    if stop is not None:
        raise SourceError(f"{rows_text(label, row, stop)}: there are only {row} rows. Write the file again.")


def _readable(batches: Iterable[Any], label: str, row: int, stop: int | None) -> Iterator[Any]:
    """The batches; Arrow's errors tell of the file and the rows."""
    pyarrow = require("pyarrow", "io", "reading tables")
    iterator = iter(batches)
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except (pyarrow.ArrowException, OSError) as error:
            raise SourceError(f"{rows_text(label, row, stop)}: cannot be read, the file is damaged: {error}") from error
        row += batch.num_rows
        yield batch


def _to_array(
    columns: Sequence[Any],
    dtype: np.dtype[Any],
    labels: Sequence[str],
    label: str,
    first_row: int,
    keeps_missing: bool,
) -> np.ndarray:
    piece = recycler.array((len(columns[0]), len(columns)), dtype, order="F")
    for values, column, name in zip(piece.T, columns, labels, strict=True):
        if column.null_count and keeps_missing:
            column = column.cast("float64")
        elif column.null_count:
            row = int(np.argmin(column.is_valid().to_numpy(zero_copy_only=False)))
            raise missing_value(label, first_row + row, name)
        values[:] = _values(column, label)
    return piece


def _values(column: Any, label: str) -> np.ndarray:
    if "decimal" in str(column.type):
        column = column.cast("float64")
    values = column.to_numpy(zero_copy_only=False)
    require_exact(values, label)
    return values


def ids_of(batches: Iterable[Any], position: int, label: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A column of record batches as it is: values (n,), and whether each is missing (n,)."""
    for batch in _readable(batches, label, 0, None):
        column = batch.column(position)
        column = getattr(column, "dictionary_decode", lambda: column)()  # noqa: B023
        if len(column):
            missing = column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
            yield column.to_numpy(zero_copy_only=False), missing


def _is_numeric(arrow_type: Any) -> bool:
    types = require("pyarrow", "io", "reading tables").types
    # A column of Arrow's null type has no value at all, which is told by row.
    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    return any(test(arrow_type) for test in tests)


def _numpy_dtype(arrow_type: Any) -> np.dtype[Any]:
    return np.dtype(np.float32 if str(arrow_type) in ("float", "halffloat") else np.float64)


def opened(open_file: Callable[[], Any], label: str, kind: str) -> Any:
    """The result of opening a file of Arrow's.

    Raises
    ------
    OSError
    SourceError
        When it is empty, or not of this kind.
    """
    require_content(label)
    pyarrow = require("pyarrow", "io", f"reading {kind} files")
    try:
        return open_file()
    except (pyarrow.ArrowException, OSError) as error:
        raise SourceError(f"{label} is not a file of {kind}, or it is damaged: {error}") from error


def is_table(X: Any) -> bool:
    """Whether X is a Table, RecordBatch or Dataset of pyarrow."""
    return type(X).__module__.startswith("pyarrow") and hasattr(X, "schema") and hasattr(X, "take")


class TableReader:
    """Rows of a Table, RecordBatch or Dataset of pyarrow; those of a dataset are read from the start only.

    Raises
    ------
    SourceError
        When there are none.
    """

    keeps_missing = False

    def __init__(self, table: Any, label: str = "the table"):
        self.label = label
        self._table = table
        self._fields = Fields(table.schema.names, table.schema.types)
        self.names: list[str] | None = self._fields.names
        self.n_columns = len(self._fields.names)
        # A dataset of text files would have to be read to the end.
        self.n_rows: int | None = getattr(table, "num_rows", None)
        if self.n_rows == 0 or self.n_columns == 0:
            raise NoRowsError(f"{label} holds no rows: its shape is {(self.n_rows or 0, self.n_columns)}.")

    def non_numeric(self, columns: Sequence[int]) -> list[str]:
        return self._fields.non_numeric(columns)

    def spans(self) -> list[Span] | None:
        return None if self.n_rows is None else even_spans(self.n_rows, 8 * self.n_columns)

    def ids(self, column: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from ids_of(self._batches_of(self._table), column, self.label)

    def stamp(self) -> Any:
        return None

    def pieces(self, columns: Sequence[int], max_rows: int, span: Span | None = None) -> Iterator[np.ndarray]:
        self._fields.require_numeric(self.label, columns)
        labels, dtype = column_labels(self.names, columns), self._fields.dtype(columns)
        keeps = self.keeps_missing
        if self.n_rows is None:
            # Left to itself, a dataset reads ahead as far as hundreds of megabytes.
            batches = self._table.to_batches(
                columns=labels, batch_size=max(max_rows, 1024), batch_readahead=2, fragment_readahead=1
            )
            yield from pieces_of(batches, range(len(labels)), dtype, max_rows, labels, self.label, keeps_missing=keeps)
            return
        start, stop = span or (0, self.n_rows)
        part = self._table.slice(start, stop - start)
        batches = self._batches_of(part)
        yield from pieces_of(batches, columns, dtype, max_rows, labels, self.label, start, (start, stop), keeps)

    def _batches_of(self, part: Any) -> Iterable[Any]:
        return part.to_batches() if hasattr(part, "to_batches") else [part]
