"""Rows of Parquet files, by row groups, and of folders of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastem._extras import require
from fastem.sources.arrow import ArrowFileReader
from fastem.sources.reader import NoRowsError, Reader, SourceError, Span

# Columns of a row group are read by the page. Without this, and with what Arrow calls a pre-buffer, a pass holds
# all of the file at its end.
_BUFFER_BYTES = 2**18
# pandas stores an index that is not 0, 1, 2, ... as a column of this name.
_INDEX = "__index_level_"


class ParquetReader(ArrowFileReader):
    """Rows of one Parquet file, and `constants`: more columns, each of one value, as partitioned folders have."""

    def __init__(self, path: str | os.PathLike[str], constants: Mapping[str, float] | None = None):
        super().__init__(path)
        with self._open() as file:
            schema, metadata = file.schema_arrow, file.metadata
        names = [name for name in schema.names if not name.startswith(_INDEX)]
        if len(set(names)) < len(names):
            raise SourceError(f"{self.label} has several columns of one name: {', '.join(names)}.")
        if not names:
            raise NoRowsError.of_shape(self.label, (metadata.num_rows, 0))
        self._constants = {key: value for key, value in (constants or {}).items() if key not in names}
        types = [schema.field(name).type for name in names]
        float64 = require("pyarrow", "io", "reading Parquet files").float64()
        self._has_columns(names + list(self._constants), types + [float64] * len(self._constants))
        self._has_groups(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))

    def _open(self) -> Any:
        def open_file() -> Any:
            parquet = require("pyarrow.parquet", "io", "reading Parquet files")
            return parquet.ParquetFile(self.path, buffer_size=_BUFFER_BYTES, pre_buffer=False)

        return self._opened(open_file, "Parquet")

    def _batches(self, columns: Sequence[int], n_rows: int, span: Span | None) -> Iterator[Any]:
        names = [self.names[column] for column in columns]
        stored = [name for name in dict.fromkeys(names) if name not in self._constants]
        with self._open() as file:
            batches = file.iter_batches(max(n_rows, 1024), row_groups=self._groups_of(span), columns=stored)
            for batch in batches:
                yield self._with_constants(batch).select(names) if self._constants else batch.select(names)

    def _with_constants(self, batch: Any) -> Any:
        pyarrow = require("pyarrow", "io", "reading Parquet files")
        constants = [pyarrow.repeat(value, batch.num_rows) for value in self._constants.values()]
        return pyarrow.RecordBatch.from_arrays([*batch.columns, *constants], [*batch.schema.names, *self._constants])


def parquet_folder(folder: Path, files: Sequence[Path]) -> list[Reader]:
    """Readers of the Parquet files of a folder, maybe partitioned by folders such as `year=2013`.

    Keys of numbers are columns as well; keys of text are left out, and so are files without rows.
    """
    folders = [file.relative_to(folder).parts[:-1] for file in files]
    keys = [dict(name.split("=", 1) for name in names if "=" in name) for names in folders]
    numeric = {key for key in set().union(*keys) if all(_number(of_file.get(key)) is not None for of_file in keys)}
    readers: list[Reader] = []
    for file, of_file in zip(files, keys, strict=True):
        with suppress(NoRowsError):
            readers.append(ParquetReader(file, {key: float(value) for key, value in of_file.items() if key in numeric}))
    if not readers:
        raise NoRowsError(f"{folder} holds no rows: all of its {len(files)} files are empty.")
    return readers


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
