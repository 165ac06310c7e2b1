"""Rows of Arrow's record batches, and of its tables in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from fastem._extras import require
from fastem.given import require_exact
from fastem.sources.reader import IDS_AT_A_TIME, FileReader, NoRowsError, Reader, SourceError, Span
from fastem.sources.shared import column_labels, even_spans, recycler, rows_text


class ArrowReader(Reader):
    """Rows that come as record batches: of tables in memory, of Parquet and of IPC files."""

    names: list[str]
    # Rows of the parts of a file that are read as a whole.
    _groups: Sequence[Span] = ()

    def _has_columns(self, names: Sequence[str], types: Sequence[Any]) -> None:
        self.names, self._types = list(names), list(types)
        self.n_columns = len(self.names)

    def _has_groups(self, sizes: Iterable[int]) -> None:
        """Take note of the rows of the parts; NoRowsError for none."""
        self._groups = list(pairwise(accumulate(sizes, initial=0)))
        self.n_rows = self._groups[-1][1] if self._groups else 0
        if not (self.n_rows and self.n_columns):
            raise NoRowsError.of_shape(self.label, (self.n_rows, self.n_columns))

    def _batches(self, columns: Sequence[int], n_rows: int, span: Span | None) -> Iterator[Any]:
        """Batches of these columns, in this order, of all groups that have rows of the span; `n_rows` is a hint."""
        raise NotImplementedError

    def _groups_of(self, span: Span | None) -> list[int]:
        start, stop = span or (0, self._groups[-1][1])
        return [index for index, (first, end) in enumerate(self._groups) if first < stop and end > start]

    def non_numeric(self, columns: Sequence[int]) -> list[str]:
        return column_labels(self.names, [column for column in columns if not _is_numeric(self._types[column])])

    def spans(self) -> list[Span] | None:
        return [(start, stop) for start, stop in self._groups if start < stop] or None

    def ids(self, column: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for batch in readable(self._batches([column], IDS_AT_A_TIME, None), self.label, 0, None):
            values = batch.column(0)
            values = values.dictionary_decode() if hasattr(values, "dictionary_decode") else values
            if len(values):
                missing = values.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
                yield values.to_numpy(zero_copy_only=False), missing

    def pieces(self, columns: Sequence[int], max_rows: int, span: Span | None = None) -> Iterator[np.ndarray]:
        self.require_numeric(columns)
        start, stop = span or (0, self.n_rows)
        narrow = all(str(self._types[column]) in ("float", "halffloat") for column in columns)
        dtype = np.dtype(np.float32 if narrow else np.float64)
        row = max((first for first, _ in self._groups if first <= start), default=start)
        for batch in readable(self._batches(columns, max_rows, span), self.label, row, stop):
            low, high = max(start, row), row + batch.num_rows if stop is None else min(stop, row + batch.num_rows)
            for first in range(low, high, max_rows):
                yield array_of(batch.slice(first - row, min(max_rows, high - first)), dtype, self.label)
            row += batch.num_rows
            if stop is not None and row >= stop:
                return
        if stop is not None:
            raise SourceError(f"{rows_text(self.label, row, stop)}: there are only {row} rows. Write the file again.")


def array_of(batch: Any, dtype: np.dtype[Any], label: str) -> np.ndarray:
    """A record batch as an array (n, D), column by column in memory; a missing value is NaN."""
    piece = recycler.array((batch.num_rows, batch.num_columns), dtype, order="F")
    for values, column in zip(piece.T, batch.columns, strict=True):
        if column.null_count or "decimal" in str(column.type):
            column = _as_floats(column, label)
        array = column.to_numpy(zero_copy_only=False)
        require_exact(array, label)
        values[:] = array
    return piece


def _as_floats(column: Any, label: str) -> Any:
    """A column with missing values, or of decimals, as float64; integers must be exact there."""
    if "int" in str(column.type):
        require_exact(column.drop_null().to_numpy(zero_copy_only=False), label)
    return column.cast("float64", safe=False)


def readable(batches: Iterator[Any], label: str, row: int, stop: int | None) -> Iterator[Any]:
    """The batches from a row on; Arrow's errors tell of the file and the rows."""
    pyarrow = require("pyarrow", "io", "reading tables")
    while True:
        try:
            batch = next(batches, None)
        except (pyarrow.ArrowException, OSError) as error:
            raise SourceError(f"{rows_text(label, row, stop)}: cannot be read, the file is damaged: {error}") from error
        if batch is None:
            return
        row += batch.num_rows
        yield batch


def _is_numeric(arrow_type: Any) -> bool:
    types = require("pyarrow", "io", "reading tables").types
    # A column of Arrow's null type has no value at all, which is told by row.
    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    return any(test(arrow_type) for test in tests)


class ArrowFileReader(ArrowReader, FileReader):
    """Rows of a file that Arrow opens."""

    def _opened(self, open_file: Callable[[], Any], kind: str) -> Any:
        """What Arrow's own function gives; SourceError for a file of another kind."""
        pyarrow = require("pyarrow", "io", f"reading {kind} files")
        try:
            return open_file()
        except FileNotFoundError:
            raise
        except (pyarrow.ArrowException, OSError) as error:
            raise SourceError(f"{self.label} is not a file of {kind}, or it is damaged: {error}") from error


def is_table(X: Any) -> bool:
    """Whether X is a Table, RecordBatch or Dataset of pyarrow."""
    return type(X).__module__.startswith("pyarrow") and hasattr(X, "schema") and hasattr(X, "take")


class TableReader(ArrowReader):
    """Rows of a Table, RecordBatch or Dataset of pyarrow; those of a dataset are read from the start only."""

    def __init__(self, table: Any, label: str = "the table"):
        self.label = label
        self._table = table
        self._has_columns(table.schema.names, table.schema.types)
        # A dataset of text files would have to be read to the end.
        self.n_rows = getattr(table, "num_rows", None)
        if self.n_rows == 0 or self.n_columns == 0:
            raise NoRowsError.of_shape(label, (self.n_rows or 0, self.n_columns))

    def spans(self) -> list[Span] | None:
        return None if self.n_rows is None else even_spans(self.n_rows, 8 * self.n_columns)

    def _batches(self, columns: Sequence[int], n_rows: int, span: Span | None) -> Iterator[Any]:
        if self.n_rows is None:
            # Left to itself, a dataset reads ahead as far as hundreds of megabytes.
            names = column_labels(self.names, columns)
            return self._table.to_batches(
                columns=names, batch_size=max(n_rows, 1024), batch_readahead=2, fragment_readahead=1
            )
        start, stop = span or (0, self.n_rows)
        part = self._table.select(list(columns)).slice(start, stop - start)
        return iter(part.to_batches() if hasattr(part, "to_batches") else [part])
