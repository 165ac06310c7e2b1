"""Rows of Parquet files, by row groups, and of folders of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fastem._extras import require
from fastem.sources.arrow import Fields, ids_of, opened, pieces_of
from fastem.sources.ids import IDS_AT_A_TIME, known_ids
from fastem.sources.reader import Reader, SourceError, Span
from fastem.sources.shared import NoRowsError, column_labels, cut, file_stamp, recycler

SUFFIXES = (".parquet", ".pq")
# Columns of a row group are read by the page. Without this, and with what Arrow calls a pre-buffer, a pass holds
# all of the file at its end.
_BUFFER_BYTES = 2**18
# pandas stores an index that is not 0, 1, 2, ... as a column of this name.
_INDEX = "__index_level_"


class ParquetReader:
    """Rows of one Parquet file.

    Parameters
    ----------
    path : path
    constants : mapping of str to float, optional
        More columns, each of one value: the keys of a partitioned folder.

    Raises
    ------
    OSError
    SourceError
        For a file that is empty, damaged or no Parquet file.
    """

    keeps_missing = False

    def __init__(self, path: str | os.PathLike[str], constants: Mapping[str, float] | None = None):
        self.label = os.fspath(path)
        with self._open() as file:
            schema, metadata = file.schema_arrow, file.metadata
        names = [name for name in schema.names if not name.startswith(_INDEX)]
        if len(set(names)) < len(names):
            raise SourceError(f"{self.label} has several columns of one name: {', '.join(names)}.")
        self._fields = Fields(names, [schema.field(name).type for name in names])
        self._constants = {key: value for key, value in (constants or {}).items() if key not in names}
        self.names: list[str] | None = names + list(self._constants)
        self.n_columns = len(self.names)
        self.n_rows = metadata.num_rows
        if not (self.n_rows and names):
            raise NoRowsError(f"{self.label} holds no rows: its shape is {(self.n_rows, len(names))}.")
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self._groups = list(pairwise(accumulate(sizes, initial=0)))

    def _open(self) -> Any:
        def open_file() -> Any:
            parquet = require("pyarrow.parquet", "io", "reading Parquet files")
            return parquet.ParquetFile(self.label, buffer_size=_BUFFER_BYTES, pre_buffer=False)

        return opened(open_file, self.label, "Parquet")

    def non_numeric(self, columns: Sequence[int]) -> list[str]:
        return self._fields.non_numeric(self._stored(columns))

    def spans(self) -> list[Span]:
        return [group for group in self._groups if group[0] < group[1]]

    def ids(self, column: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if not self._stored([column]):
            yield from (known_ids(piece[:, 0]) for piece in self.pieces([column], IDS_AT_A_TIME))
            return
        with self._open() as file:
            yield from ids_of(file.iter_batches(IDS_AT_A_TIME, columns=[self._fields.names[column]]), 0, self.label)

    def stamp(self) -> Any:
        return file_stamp(self.label)

    def pieces(self, columns: Sequence[int], max_rows: int, span: Span | None = None) -> Iterator[np.ndarray]:
        span = span or (0, self.n_rows)
        stored = self._stored(columns)
        if len(stored) == len(columns):
            yield from self._stored_pieces(stored, max_rows, span)
        elif stored:
            for piece in self._stored_pieces(stored, max_rows, span):
                yield self._with_constants(iter(piece.T), columns, piece.shape[0])
        else:
            for start, stop in cut(*span, max_rows):
                yield self._with_constants(iter(()), columns, stop - start)

    def _stored(self, columns: Sequence[int]) -> list[int]:
        return [column for column in columns if column < len(self._fields.names)]

    def _stored_pieces(self, columns: Sequence[int], max_rows: int, span: Span) -> Iterator[np.ndarray]:
        self._fields.require_numeric(self.label, columns)
        names = column_labels(self._fields.names, columns)
        groups = [i for i, (start, stop) in enumerate(self._groups) if start < span[1] and stop > span[0]]
        with self._open() as file:
            batches = file.iter_batches(max(max_rows, 1024), row_groups=groups, columns=list(dict.fromkeys(names)))
            ordered = (batch.select(names) for batch in batches)
            positions, dtype = range(len(names)), self._fields.dtype(columns)
            first_row = self._groups[groups[0]][0]
            yield from pieces_of(
                ordered, positions, dtype, max_rows, names, self.label, first_row, span, self.keeps_missing
            )

    def _with_constants(self, stored: Iterator[np.ndarray], columns: Sequence[int], n_rows: int) -> np.ndarray:
        values = list(self._constants.values())
        n_stored = len(self._fields.names)
        piece = recycler.array((n_rows, len(columns)), np.dtype(np.float64), order="F")
        for place, column in zip(piece.T, columns, strict=True):
            place[:] = next(stored) if column < n_stored else values[column - n_stored]
        return piece


def parquet_folder(folder: Path, files: Sequence[Path]) -> list[Reader]:
    """Readers of the Parquet files of a folder, maybe partitioned by folders such as `year=2013`.

    Keys of numbers are columns as well; keys of text are left out, and so are files without rows.

    Raises
    ------
    OSError
    SourceError
        When there are no rows.
    """
    keys = [_partition_keys(file.relative_to(folder).parts[:-1]) for file in files]
    numeric = {key for key in set().union(*keys) if all(_number(of_file.get(key)) is not None for of_file in keys)}
    readers: list[Reader] = []
    for file, of_file in zip(files, keys, strict=True):
        with suppress(NoRowsError):
            readers.append(ParquetReader(file, {key: float(value) for key, value in of_file.items() if key in numeric}))
    if not readers:
        raise NoRowsError(f"{folder} holds no rows: all of its {len(files)} files are empty.")
    return readers


def _partition_keys(folders: Sequence[str]) -> dict[str, str]:
    return dict(folder.split("=", 1) for folder in folders if "=" in folder)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
