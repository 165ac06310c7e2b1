"""Files that commands write: rows as they come (.npy, Parquet, CSV, and CSV on the terminal), and pictures."""

from __future__ import annotations

import glob
import gzip
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import combinations
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from fastem._extras import require
from fastem._replacing import OutputError, replacing, require_place, same_place
from fastem._text import shown
from fastem.sources.files import is_readable

if TYPE_CHECKING:
    from fastem import Selection
    from fastem.estimators._em import BaseEM
    from fastem.sources import Source

_DRAWN_ROWS = 200_000


class NpyWriter:
    """Rows (N, D) or (N,) in a file of NumPy.

    Their number comes last: the header is written again, in the room that NumPy leaves for it to grow.
    """

    def __init__(self, file: IO[bytes], names: Sequence[str]):
        self._file = file
        self._shape: tuple[int, ...] = (0,)
        self._dtype = np.dtype(np.float64)

    def write(self, values: np.ndarray, missing: np.ndarray | None = None) -> None:
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


class ParquetWriter:
    """Rows (N, D) or (N,) in columns, for the writers of pyarrow; `close` writes what is still missing."""

    def __init__(self, file: IO[bytes], names: Sequence[str]):
        self._pyarrow = require("pyarrow", "io", "writing Parquet and CSV files")
        self._file, self._names = file, list(names)
        self._writer: Any = None

    def write(self, values: np.ndarray, missing: np.ndarray | None = None) -> None:
        """Append rows of one dtype; those of the mask `missing` (N,) have no values."""
        columns = values[None] if values.ndim == 1 else values.T
        arrays = [self._pyarrow.array(np.ascontiguousarray(column), mask=missing) for column in columns]
        batch = self._pyarrow.RecordBatch.from_arrays(arrays, names=self._names)
        if self._writer is None:
            self._writer = self._open(batch.schema)
        self._writer.write_batch(batch)

    def _open(self, schema: Any) -> Any:
        return require("pyarrow.parquet", "io", "writing Parquet files").ParquetWriter(self._file, schema)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class CsvWriter(ParquetWriter):
    """Rows as text, with a header."""

    def write(self, values: np.ndarray, missing: np.ndarray | None = None) -> None:
        if missing is None or len(self._names) > 1 or not missing.any():
            super().write(values, missing)
            return
        # Many readers skip a line that is empty, and a row with it.
        super().write(values[:0])
        lines = (_NOTHING if gone else f"{value}\n" for value, gone in zip(values, missing, strict=True))
        self._file.write("".join(lines).encode())

    def _open(self, schema: Any) -> Any:
        csv = require("pyarrow.csv", "io", "writing CSV files")
        self._file.write((",".join(_quoted(name) for name in self._names) + "\n").encode())
        return csv.CSVWriter(self._file, schema, write_options=csv.WriteOptions(include_header=False))


# A line of one field that is not there.
_NOTHING = '""\n'
_WRITERS: dict[str, Any] = {
    ".csv": CsvWriter, ".csv.gz": CsvWriter, ".txt": CsvWriter, ".txt.gz": CsvWriter, ".npy": NpyWriter,
    ".parquet": ParquetWriter, ".pq": ParquetWriter,
}  # fmt: skip


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(mark in name for mark in ',"\n\r') else name


@contextmanager
def open_output(path: Path | None, names: Sequence[str]) -> Iterator[Any]:
    """A writer to a file, whose suffix says the format (CSV without one), or of CSV to the terminal.

    The file takes its place when all is written; after an error it is as it was.
    """
    if path is None:
        sys.stdout.flush()
        writer = CsvWriter(_Terminal(), names)  # type: ignore[arg-type]
        yield writer
        writer.close()
        return
    with replacing(path) as file:
        is_packed = path.suffix.lower() == ".gz"
        with gzip.GzipFile(fileobj=file, mode="wb") if is_packed else nullcontext(file) as opened:
            result = writer_of(path)(opened, names)
            try:
                yield result
            finally:
                # Also after an error: a writer of Parquet writes its end, here or when its file is closed already.
                result.close()


class _Terminal(io.RawIOBase):
    """Bytes of text for whatever stands for the standard output at the moment."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        # Names of columns; a line break within quotes is one of the format.
        sys.stdout.write(shown(bytes(data).decode(), kept="\n\t"))
        return len(data)


def require_writable(outputs: Mapping[str, Path | None], inputs: Sequence[Path]) -> None:
    """Raise before any work is done when a result could not be written, or would replace what must stay.

    Parameters
    ----------
    outputs : mapping of str to path or None
        By the names of the options; None for what is not asked for.
    inputs : sequence of path
        Files, folders and patterns that are read.
    """
    given = {option: path for option, path in outputs.items() if path is not None}
    for path in given.values():
        require_place(path)
        if _is_standard_stream(path):
            raise OutputError(f"Cannot write {path}: other things are printed there. Name a file.")
        if any(_is_read_from(path, place) for place in inputs):
            raise OutputError(f"Cannot write {path}: it would overwrite an input. Name another file.")
    for (one, path), (other, place) in combinations(given.items(), 2):
        if same_place(path, place):
            raise OutputError(f"{one} and {other} are one file, {path}. Give each a name of its own.")


def writer_of(path: Path) -> Any:
    """The kind of writer that a name promises; an error where rows are not written so."""
    name = path.name.lower()
    suffix = max((known for known in _WRITERS if name.endswith(known)), key=len, default=None)
    if suffix is None and path.suffix:
        raise OutputError(
            f"Cannot write {path}: rows are not written as {path.suffix}. Its name must end in one of "
            f"{', '.join(_WRITERS)}."
        )
    return _WRITERS[suffix or ".csv"]


def _is_standard_stream(path: Path) -> bool:
    """Whether a path is where this process prints, and not the null device."""
    if not path.exists() or (os.path.exists(os.devnull) and os.path.samefile(path, os.devnull)):
        return False
    status = os.stat(path)
    for descriptor in (1, 2):
        try:
            printed = os.fstat(descriptor)
        except OSError:
            continue
        if os.path.samestat(status, printed):
            return True
    return False


def _is_read_from(path: Path, place: Path) -> bool:
    """Whether an existing file is among those that a file, a folder or a pattern stands for."""
    if not path.exists():
        return False
    if place.is_dir():
        return is_readable(path) and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(place))
    name = str(place).partition("::")[0]
    files = [name] if os.path.exists(name) else glob.glob(name, recursive=True)
    return any(same_place(path, file) for file in files)


def require_picture(path: Path) -> None:
    """Raise before the fit when the picture could not be drawn."""
    kinds = _figure().canvas.get_supported_filetypes()
    if _kind(path) not in kinds:
        raise ValueError(f"Cannot draw {path}: its name must end in one of {', '.join(f'.{kind}' for kind in kinds)}.")


def draw(path: Path, mixture: BaseEM, source: Source) -> None:
    """Data and density, and the objective."""
    from fastem.plotting import plot_density, plot_objective

    figure = _figure(figsize=(12, 4.5), layout="constrained")
    density, objective = figure.subplots(1, 2)
    rows = source.sample(_DRAWN_ROWS, np.random.default_rng(0))
    plot_density(mixture, rows.X, ax=density, sample_weight=rows.weight)
    plot_objective(mixture, ax=objective)
    _write(figure, path)


def draw_selection(path: Path, selection: Selection) -> None:
    """The criterion of all candidates."""
    figure = _figure(figsize=(7, 4.5), layout="constrained")
    selection.plot(ax=figure.subplots())
    _write(figure, path)


def _figure(**options: Any) -> Any:
    # A figure apart from pyplot needs no display.
    return require("matplotlib.figure", "plot", "--plot").Figure(**options)


def _kind(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")


def _write(figure: Any, path: Path) -> None:
    with replacing(path) as file:
        figure.savefig(file, format=_kind(path), dpi=150)
