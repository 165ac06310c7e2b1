"""Rows of Arrow IPC files (Feather files too), by record batches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fastem._extras import require
from fastem.sources.arrow import ArrowFileReader
from fastem.sources.reader import NoRowsError, Span

_MAGIC = b"ARROW1"


class IpcReader(ArrowFileReader):
    """Rows of an Arrow IPC file, in the format of files (any order) or of streams (from the start only)."""

    def __init__(self, path: str | os.PathLike[str]):
        super().__init__(path)
        with open(self.path, "rb") as file:
            self._is_stream = file.read(len(_MAGIC)) != _MAGIC
        with self._open() as batches:
            self._has_columns(batches.schema.names, batches.schema.types)
        sizes = self._opened(self._sizes, "Arrow") if self.n_columns else []
        if not self._is_stream:
            self._has_groups(sizes)
        elif not sum(sizes):
            raise NoRowsError.of_shape(self.label, (0, self.n_columns))

    @contextmanager
    def _open(self, columns: Sequence[int] = ()) -> Iterator[Any]:
        """What reads some columns of its batches; all of them by default."""

        def open_file() -> tuple[Any, Any]:
            pyarrow, ipc = require("pyarrow", "io", "reading Arrow files"), require("pyarrow.ipc", "io", "")
            options = ipc.IpcReadOptions(included_fields=sorted(set(columns)))
            file = pyarrow.OSFile(self.path, "rb")
            try:
                return file, (ipc.open_stream if self._is_stream else ipc.open_file)(file, options=options)
            except BaseException:
                file.close()
                raise

        file, batches = self._opened(open_file, "Arrow")
        with file:
            yield batches

    def _sizes(self) -> list[int]:
        """Rows of the batches; of a stream, those of the first that has any."""
        # Only the first column is read.
        with self._open([0]) as batches:
            if self._is_stream:
                return [next((batch.num_rows for batch in batches if batch.num_rows), 0)]
            return [batches.get_batch(i).num_rows for i in range(batches.num_record_batches)]

    def _batches(self, columns: Sequence[int], n_rows: int, span: Span | None) -> Iterator[Any]:
        stored = sorted(set(columns))
        places = [stored.index(column) for column in columns]
        with self._open(columns) as file:
            batches = file if self._is_stream else map(file.get_batch, self._groups_of(span))
            for batch in batches:
                yield batch.select(places)
