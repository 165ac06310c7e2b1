"""Rows of an object that can be iterated again and again over arrays, data frames or tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from fastem.given import in_reach, plain_array
from fastem.sources.arrow import TableReader, is_table
from fastem.sources.frame import FrameReader, RecordsReader, is_frame, is_records
from fastem.sources.reader import NoRowsError, Reader, SourceError, Span
from fastem.sources.shared import rows_text
from fastem.sources.sliced import SlicedReader


def reader_class(X: Any) -> Callable[..., Reader] | None:
    """What reads a table in memory; None for anything else."""
    if is_records(X):
        return RecordsReader
    if is_frame(X):
        return FrameReader
    return TableReader if is_table(X) else None


class IterableReader(Reader):
    """Rows of arrays (N_i, D), data frames or tables that come one by one, by a new iterator at each pass.

    The first of them is looked at to learn the columns; those without rows are passed over.
    """

    def __init__(self, make_iterator: Callable[[], Iterable[Any]], label: str):
        self.label = label
        self._make_iterator = make_iterator
        iterator = iter(make_iterator())
        try:
            first = next((reader for item in iterator if (reader := self._reader(item, 0))), None)
            if iter(make_iterator()) is iterator:
                raise SourceError(
                    f"{label} can be read once only, but its rows are needed many times. Return a new iterator by "
                    "each call."
                )
        finally:
            _close(iterator)
        if first is None:
            raise NoRowsError(f"{label} yields no rows.")
        self.names = first.names
        self.n_columns = first.n_columns
        self._not_numeric = {column: first.non_numeric([column]) for column in range(first.n_columns)}

    def non_numeric(self, columns: Sequence[int]) -> list[str]:
        return [name for column in columns for name in self._not_numeric[column]]

    def ids(self, column: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from self._read(
            lambda reader: ((values.copy(), gone) for values, gone in reader.ids(column)), lambda part: len(part[0])
        )

    def pieces(self, columns: Sequence[int], max_rows: int, span: Span | None = None) -> Iterator[np.ndarray]:
        # Rows are worked on while the next item is made, and that may be in the same memory.
        yield from self._read(lambda reader: (piece.copy(order="K") for piece in reader.pieces(columns, max_rows)), len)

    def _read(self, parts_of: Callable[[Reader], Iterator[Any]], n_rows_of: Callable[[Any], int]) -> Iterator[Any]:
        row = 0
        iterator = iter(self._make_iterator())
        try:
            for item in iterator:
                reader = self._reader(item, row)
                if reader is None:
                    continue
                self._require_same_columns(reader, row)
                n_rows = 0
                for part in parts_of(reader):
                    n_rows += n_rows_of(part)
                    yield part
                    del part
                row += n_rows
        finally:
            _close(iterator)
        if row == 0:
            raise SourceError(
                f"{self.label} yields no rows any more: it was exhausted by an earlier pass. Pass something that "
                "starts again, such as a function that returns a new iterator."
            )

    def _reader(self, item: Any, row: int) -> Reader | None:
        """What reads an item; None for one without rows."""
        label = f"{self.label}, in the table from row {row} on"
        item = in_reach(item, label)
        try:
            of_table = reader_class(item)
            if of_table is not None:
                return of_table(item, label)
            array = plain_array(item, label)
            if len(array.shape) == 1 and array.shape[0]:
                raise SourceError(
                    f"{label}: its shape is {tuple(array.shape)}, but rows and columns are expected. Reshape it: "
                    "array.reshape(-1, 1) is one column, and array.reshape(1, -1) one row."
                )
            return SlicedReader(array, label)
        except NoRowsError:
            return None

    def _require_same_columns(self, reader: Reader, row: int) -> None:
        if reader.n_columns == self.n_columns and reader.names == self.names:
            return
        stop = None if reader.n_rows is None else row + reader.n_rows
        raise SourceError(
            f"{rows_text(self.label, row, stop)}: {_columns_text(reader.n_columns, reader.names)}, where the first "
            f"rows have {_columns_text(self.n_columns, self.names)}. All need the same columns in the same order."
        )


def _columns_text(n_columns: int, names: list[str] | None) -> str:
    text = f"{n_columns} column{'' if n_columns == 1 else 's'}"
    return text if names is None else f"{text} ({', '.join(names)})"


def _close(iterator: Any) -> None:
    if hasattr(iterator, "close"):
        iterator.close()
