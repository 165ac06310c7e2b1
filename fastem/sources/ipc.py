"""Rows of Arrow IPC files (Feather files too), by record batches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from fastem._extras import require
from fastem.sources.arrow import Fields, ids_of, opened, pieces_of
from fastem.sources.reader import SourceError, Span
from fastem.sources.shared import NoRowsError, column_labels, file_stamp

_MAGIC = b"ARROW1"


class IpcReader:
    """Rows of an Arrow IPC file, in the format of files (any order) or of streams (from the start only).

    Raises
    ------
    OSError
    SourceError
        For a file that is empty, damaged or no Arrow file.
    """

    keeps_missing = False

    def __init__(self, path: str | os.PathLike[str]):
        self.label = os.fspath(path)
        with open(self.label, "rb") as file:
            self._is_stream = file.read(len(_MAGIC)) != _MAGIC
        with self._open() as batches:
            self._fields = Fields(batches.schema.names, batches.schema.types)
        self.names: list[str] | None = self._fields.names
        self.n_columns = len(self._fields.names)
        self._spans: list[Span] | None = None
        self.n_rows: int | None = None
        sizes = self._sizes() if self.n_columns else []
        if not sum(sizes):
            raise NoRowsError(f"{self.label} holds no rows: its shape is {(0, self.n_columns)}.")
        if not self._is_stream:
            self._spans = list(pairwise(accumulate(sizes, initial=0)))
            self.n_rows = sum(sizes)

    @contextmanager
    def _open(self, columns: Sequence[int] = ()) -> Iterator[Any]:
        """What reads some columns of its batches; all of them by default."""

        def open_file() -> tuple[Any, Any]:
            pyarrow, ipc = require("pyarrow", "io", "reading Arrow files"), require("pyarrow.ipc", "io", "")
            options = ipc.IpcReadOptions(included_fields=sorted(set(columns)))
            file = pyarrow.OSFile(self.label, "rb")
            try:
                return file, (ipc.open_stream if self._is_stream else ipc.open_file)(file, options=options)
            except BaseException:
                file.close()
                raise

        file, batches = opened(open_file, self.label, "Arrow")
        with file:
            yield batches

    def _sizes(self) -> list[int]:
        """Rows of the batches; of a stream, those of the first that has any."""
        pyarrow = require("pyarrow", "io", "reading Arrow files")
        try:
            # Only the first column is read.
            with self._open([0]) as batches:
                if self._is_stream:
                    return [next((batch.num_rows for batch in batches if batch.num_rows), 0)]
                return [batches.get_batch(i).num_rows for i in range(batches.num_record_batches)]
        except (pyarrow.ArrowException, OSError) as error:
            raise SourceError(f"{self.label} is not a file of Arrow, or it is damaged: {error}") from error

    def non_numeric(self, columns: Sequence[int]) -> list[str]:
        return self._fields.non_numeric(columns)

    def spans(self) -> list[Span] | None:
        return None if self._spans is None else [span for span in self._spans if span[0] < span[1]]

    def ids(self, column: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        with self._open([column]) as reader:
            batches = reader if self._is_stream else map(reader.get_batch, range(reader.num_record_batches))
            yield from ids_of(batches, 0, self.label)

    def stamp(self) -> Any:
        return file_stamp(self.label)

    def pieces(self, columns: Sequence[int], max_rows: int, span: Span | None = None) -> Iterator[np.ndarray]:
        self._fields.require_numeric(self.label, columns)
        stored = sorted(set(columns))
        positions = [stored.index(column) for column in columns]
        labels, dtype = column_labels(self.names, columns), self._fields.dtype(columns)
        keeps = self.keeps_missing
        with self._open(columns) as reader:
            if self._spans is None or self.n_rows is None:
                yield from pieces_of(reader, positions, dtype, max_rows, labels, self.label, keeps_missing=keeps)
                return
            start, stop = span or (0, self.n_rows)
            chosen = [i for i, (first, end) in enumerate(self._spans) if first < stop and end > start]
            batches = (reader.get_batch(i) for i in chosen)
            first_row = self._spans[chosen[0]][0]
            yield from pieces_of(
                batches, positions, dtype, max_rows, labels, self.label, first_row, (start, stop), keeps
            )
