"""Rows written to files as they come: .npy, Parquet, CSV, and CSV on the terminal."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from fastem._extras import require
from fastem.persistence import replacing


class Writer(Protocol):
    """Takes rows (N, D) or (N,) of one dtype."""

    def write(self, values: np.ndarray) -> None:
        """Append rows."""
        ...

    def close(self) -> None:
        """Write what is still missing."""
        ...


class _NpyWriter:
    """Numbers of rows come last: the header is written again, in the room that NumPy leaves for it to grow."""

    def __init__(self, file: IO[bytes], names: Sequence[str]):
        self._file = file
        self._shape: tuple[int, ...] = (0,)
        self._dtype = np.dtype(np.float64)

    def write(self, values: np.ndarray) -> None:
        if self._shape[0] == 0:
            self._shape, self._dtype = (0, *values.shape[1:]), values.dtype
            self._write_header()
        self._shape = (self._shape[0] + values.shape[0], *self._shape[1:])
        self._file.write(np.ascontiguousarray(values).data)

    def close(self) -> None:
        self._file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        descr = np.lib.format.dtype_to_descr(self._dtype)
        header = {"descr": descr, "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_1_0(self._file, header)


class _ArrowWriter:
    """Rows in columns, for the writers of pyarrow."""

    def __init__(self, file: IO[bytes], names: Sequence[str]):
        self._pyarrow = require("pyarrow", "io", "writing Parquet and CSV files")
        self._file, self._names = file, list(names)
        self._writer: Any = None

    def write(self, values: np.ndarray) -> None:
        columns = values.reshape(values.shape[0], -1).T
        arrays = [self._pyarrow.array(np.ascontiguousarray(column)) for column in columns]
        batch = self._pyarrow.RecordBatch.from_arrays(arrays, names=self._names)
        if self._writer is None:
            self._writer = self._open(batch.schema)
        self._writer.write_batch(batch)

    def _open(self, schema: Any) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _ParquetWriter(_ArrowWriter):
    def _open(self, schema: Any) -> Any:
        return require("pyarrow.parquet", "io", "writing Parquet files").ParquetWriter(self._file, schema)


class _CsvWriter(_ArrowWriter):
    def _open(self, schema: Any) -> Any:
        csv = require("pyarrow.csv", "io", "writing CSV files")
        self._file.write((",".join(_quoted(name) for name in self._names) + "\n").encode())
        return csv.CSVWriter(self._file, schema, write_options=csv.WriteOptions(include_header=False))


_WRITERS: dict[str, Any] = {".npy": _NpyWriter, ".parquet": _ParquetWriter, ".pq": _ParquetWriter}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(mark in name for mark in ',"\n\r') else name


@contextmanager
def open_output(path: Path | None, names: Sequence[str]) -> Iterator[Writer]:
    """A writer to a file, whose suffix says the format (CSV, if no other), or of CSV to the terminal.

    The file takes its place when all is written; after an error it is as it was.
    """
    if path is None:
        sys.stdout.flush()
        writer: Writer = _CsvWriter(_Terminal(), names)  # type: ignore[arg-type]
        yield writer
        writer.close()
        return
    with replacing(path) as file:
        is_packed = path.suffix.lower() == ".gz"
        with gzip.GzipFile(fileobj=file, mode="wb") if is_packed else nullcontext(file) as opened:
            result: Writer = _WRITERS.get(path.suffix.lower(), _CsvWriter)(opened, names)
            try:
                yield result
            finally:
                # Also after an error: a writer of Parquet writes its end, here or when its file is closed already.
                result.close()


class _Terminal:
    """Bytes of text for whatever stands for the standard output at the moment."""

    closed = False

    def write(self, data: Any) -> int:
        sys.stdout.write(bytes(data).decode())
        return len(data)

    def flush(self) -> None:
        sys.stdout.flush()

    def close(self) -> None:
        pass

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def require_writable(path: Path, inputs: Sequence[Path]) -> None:
    """Raise before any work is done when a result could not be written, or would replace what it is made from."""
    if path.is_dir():
        raise ValueError(f"Cannot write {path}: it is a directory.")
    if not path.parent.is_dir():
        raise ValueError(f"Cannot write {path}: there is no directory {path.parent}.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(f"Cannot write {path}: permission denied.")
    if path.exists() and any(given.exists() and path.samefile(given) for given in inputs):
        raise ValueError(f"Cannot write {path}: it would overwrite an input. Name another file.")
