"""Which reader reads which file: by suffixes, patterns and folders, or by what a stream begins with."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from fastem.sources.csv import CsvReader
from fastem.sources.csv_format import CsvFormat
from fastem.sources.folder import files_below, named
from fastem.sources.hdf5 import Hdf5Reader
from fastem.sources.ipc import IpcReader
from fastem.sources.npy import NpyReader
from fastem.sources.parquet import ParquetReader, parquet_folder
from fastem.sources.reader import Reader, SourceError
from fastem.sources.shared import NoRowsError
from fastem.sources.spool import Spool, SpooledReader, once
from fastem.sources.zarr import ZarrReader, is_zarr_folder

StrPath = str | os.PathLike[str]

_TEXT = {
    text + packed: CsvReader for text in (".csv", ".tsv", ".txt") for packed in ("", ".gz", ".bz2", ".zst")
}  # fmt: skip
_READERS: dict[str, Callable[[str], Reader]] = {
    ".npy": NpyReader,
    ".parquet": ParquetReader,
    ".pq": ParquetReader,
    ".arrow": IpcReader,
    ".feather": IpcReader,
    ".ipc": IpcReader,
    **_TEXT,
}
# Of these, `file::name` chooses an array within the file.
_NAMED: dict[str, Callable[[str, str | None], Reader]] = {
    ".h5": Hdf5Reader,
    ".hdf5": Hdf5Reader,
    ".zarr": ZarrReader,
    ".zarr.zip": ZarrReader,
}
# What files begin with that have no suffix; others are text.
_MAGIC: dict[bytes, Callable[[str], Reader]] = {
    b"\x93NUMPY": NpyReader,
    b"PAR1": ParquetReader,
    b"ARROW1": IpcReader,
    b"\xff\xff\xff\xff": IpcReader,
    b"\x89HDF": Hdf5Reader,
    b"PK\x03\x04": ZarrReader,
}


def readers_of(paths: StrPath | Iterable[StrPath], csv: CsvFormat | None = None) -> list[Reader]:
    """Readers of files, in order.

    Parameters
    ----------
    paths : path, open file, or iterable of these
        A path is a file, a pattern such as ``"part-*.parquet"``, or a folder: of Zarr, or of files of one kind, also in
        folders within it, which are read in the order of their names (those of Parquet may be partitioned).
        ``file.h5::name`` names an array within a file. A pipe, or ``"-"`` for the standard input, is kept in a
        temporary file. Files without rows are passed over where there are others.
    csv : CsvFormat, optional
        How text files are written. With it, files of an unknown suffix are text files.

    Raises
    ------
    OSError
        For files that cannot be opened, and for a pattern that no file matches.
    SourceError
        For files that are damaged, empty or of an unknown kind, and for folders of several kinds of files.
    """
    spooled = once(paths if isinstance(paths, str | os.PathLike | list | tuple) or hasattr(paths, "read") else [*paths])
    given = [spooled] if isinstance(spooled, str | os.PathLike) else list(spooled)
    if not given:
        raise SourceError("There are no files: the list of paths is empty.")
    readers = _Opener(csv).all(given)
    if csv is not None and not any(isinstance(getattr(one, "inner", one), CsvReader) for one in readers):
        raise SourceError(f"csv says how text files are written, but {readers[0].label} is none. Leave it out.")
    return readers


class _Opener:
    """Opens readers, of text files as the user said that they are written."""

    def __init__(self, csv: CsvFormat | None):
        self._csv = csv

    def all(self, given: Iterable[StrPath]) -> list[Reader]:
        """Readers of all that have rows."""
        readers: list[Reader] = []
        empty: list[NoRowsError] = []
        for path in given:
            try:
                readers.extend(self._path(path))
            except NoRowsError as error:
                empty.append(error)
        if readers:
            return readers
        if len(empty) > 1:
            raise NoRowsError(f"None of {len(empty)} files holds rows: {empty[0]}") from empty[0]
        raise empty[0]

    def _path(self, given: StrPath) -> list[Reader]:
        if isinstance(given, Spool):
            return [SpooledReader(given, self._by_content)]
        path, _, name = os.fspath(given).rpartition("::") if "::" in os.fspath(given) else (os.fspath(given), "", "")
        if not os.path.exists(path) and glob.has_magic(path):
            found = list(_matching(path))
            if not found:
                raise FileNotFoundError(errno.ENOENT, "No file matches this pattern", os.fspath(given))
            return self.all(f"{file}::{name}" if name else once(file) for file in found)
        return self._file(path, name)

    def _file(self, path: str, name: str) -> list[Reader]:
        suffix = _suffix(path, _NAMED)
        is_folder = os.path.isdir(path)
        if suffix or (is_folder and is_zarr_folder(Path(path))):
            return [_NAMED[suffix or ".zarr"](path, name or None)]
        if name:
            raise SourceError(f"{path}::{name}: only files of {', '.join(_NAMED)} hold arrays with names.")
        if is_folder:
            return self._folder(Path(path))
        suffix = _suffix(path, _READERS)
        if suffix is None and self._csv is None:
            with open(path, "rb"):  # A file that is not there is told first.
                known = ", ".join([*_READERS, *_NAMED])
                raise SourceError(
                    f"{path}: files of this kind cannot be read. Known suffixes: {known}. If it is text, say so by "
                    "csv=fastem.CsvFormat()."
                )
        return [self._reader(CsvReader if suffix is None else _READERS[suffix])(path)]

    def _folder(self, folder: Path) -> list[Reader]:
        files = files_below(folder, _suffix_of_file, _is_zarr)
        if not files:
            raise SourceError(f"{folder} is a directory without files of rows.")
        kinds: dict[str, Path] = {}
        for file in files:
            kinds.setdefault(_suffix_of_file(file) or file.suffix, file)
        if len(kinds) > 1:
            known = min((kind for kind in kinds if kind in _NAMED | _READERS), default=min(kinds))
            raise SourceError(
                f"{folder} is a directory with files of several kinds: {', '.join(sorted(kinds))} "
                f"({named([kinds[kind] for kind in sorted(kinds)], folder)}). None is left out silently: choose those "
                f"of one kind by a pattern, such as {folder / '**' / '*'}{known}"
            )
        if _READERS.get(next(iter(kinds))) is ParquetReader:
            return parquet_folder(folder, files)
        return self.all(str(file) for file in files)

    def _by_content(self, path: str) -> Reader:
        with open(path, "rb") as file:
            head = file.read(8)
        return self._reader(next((found for magic, found in _MAGIC.items() if head.startswith(magic)), CsvReader))(path)

    def _reader(self, reader: Any) -> Callable[[str], Reader]:
        return partial(CsvReader, form=self._csv) if reader is CsvReader else reader


def _matching(pattern: str) -> Iterator[str]:
    """What matches a pattern, in order; of ``**`` only the files, which it finds in all folders."""
    found = sorted(glob.glob(pattern, recursive=True))
    if "**" in pattern:
        # Links may lead to the same file again and again.
        nearest: dict[str, str] = {}
        for path in sorted(found, key=lambda path: (path.count(os.sep), path)):
            nearest.setdefault(os.path.realpath(path), path)
        found = sorted(nearest.values())
        whole = [path.rstrip(os.sep) + os.sep for path in found if os.path.isdir(path) and _is_zarr(Path(path))]
        found = [path for path in found if not any(path.startswith(folder) and path != folder for folder in whole)]
        found = [path for path in found if not os.path.isdir(path) or _is_zarr(Path(path))]
    for path in found:
        # A mark such as _SUCCESS, that holds no rows.
        if os.path.basename(path)[:1] != "_" or os.path.isdir(path) or _suffix(path, _NAMED | _READERS):
            yield path


def _is_zarr(path: Path) -> bool:
    return _suffix(str(path), _NAMED) is not None or is_zarr_folder(path)


def _suffix_of_file(path: Path) -> str | None:
    if path.is_dir():
        return _suffix(str(path), _NAMED) or ".zarr"
    return _suffix(str(path), _NAMED | _READERS)


def is_readable(path: StrPath) -> bool:
    """Whether a file is of a kind that holds rows, by its suffix."""
    return _suffix(os.fspath(path), [*_READERS, *_NAMED]) is not None


def _suffix(path: str, table: Iterable[str]) -> str | None:
    """The longest suffix of the table that a path has."""
    lower = path.rstrip("/\\").lower()
    return max((suffix for suffix in table if lower.endswith(suffix)), key=len, default=None)
