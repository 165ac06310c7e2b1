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
from fastem.sources.csv_format import CsvFormat, by_setting
from fastem.sources.hdf5 import Hdf5Reader
from fastem.sources.ipc import IpcReader
from fastem.sources.npy import NpyReader
from fastem.sources.parquet import ParquetReader, parquet_folder
from fastem.sources.reader import NoRowsError, Reader, SourceError
from fastem.sources.spool import Spool, once
from fastem.sources.zarr import ZarrReader, is_zarr_folder

StrPath = str | os.PathLike[str]

_MOST_LISTED = 5

_TEXT = [text + packed for text in (".csv", ".tsv", ".txt") for packed in ("", ".gz", ".bz2", ".zst")]
_READERS: dict[str, Callable[[StrPath], Reader]] = {
    ".npy": NpyReader,
    ".parquet": ParquetReader,
    ".pq": ParquetReader,
    ".arrow": IpcReader,
    ".feather": IpcReader,
    ".ipc": IpcReader,
    **dict.fromkeys(_TEXT, CsvReader),
}
# Of these, `file::name` chooses an array within the file.
_NAMED: dict[str, Callable[[StrPath, str | None], Reader]] = {
    ".h5": Hdf5Reader,
    ".hdf5": Hdf5Reader,
    ".zarr": ZarrReader,
    ".zarr.zip": ZarrReader,
}
# What files begin with that have no suffix; others are text.
_MAGIC: dict[bytes, Callable[[StrPath], Reader]] = {
    b"\x93NUMPY": NpyReader,
    b"PAR1": ParquetReader,
    b"ARROW1": IpcReader,
    b"\xff\xff\xff\xff": IpcReader,
    b"\x89HDF": Hdf5Reader,
    b"PK\x03\x04": ZarrReader,
}


def readers_of(paths: StrPath | Iterable[StrPath], csv: CsvFormat | None = None) -> list[Reader]:
    """Readers of files, in order, as `fastem.open_source` describes them; those without rows are passed over.

    A folder is one of Zarr, or has files of one kind, also in folders within it, which are read in the order of their
    names (those of Parquet may be partitioned). With `csv`, files of an unknown suffix are text files.

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
    if csv is not None and not any(isinstance(one, CsvReader) for one in readers):
        raise SourceError(f"csv says how text files are written, but {readers[0].label} is none. Leave it out.")
    return readers


class _Opener:
    """Opens readers, of text files as the user said that they are written."""

    def __init__(self, csv: CsvFormat | None):
        self._csv = csv

    def all(self, given: Iterable[StrPath]) -> list[Reader]:
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
            with open(given, "rb") as file:
                head = file.read(8)
            kind = next((found for magic, found in _MAGIC.items() if head.startswith(magic)), CsvReader)
            return [self._reader(kind)(given)]
        path, _, name = os.fspath(given).rpartition("::") if "::" in os.fspath(given) else (os.fspath(given), "", "")
        if not os.path.exists(path) and glob.has_magic(path):
            found = list(_matching(path))
            if not found:
                raise FileNotFoundError(errno.ENOENT, "No file matches this pattern", os.fspath(given))
            return self.all(f"{file}::{name}" if name else once(file) for file in found)
        return self._file(path, name)

    def _file(self, path: str, name: str) -> list[Reader]:
        if _is_named(path):
            return [_NAMED[_suffix(path, _NAMED) or ".zarr"](path, name or None)]
        if name:
            raise SourceError(f"{path}::{name}: only files of {', '.join(_NAMED)} hold arrays with names.")
        if os.path.isdir(path):
            return self._folder(Path(path))
        suffix = _suffix(path, _READERS)
        if suffix is None and self._csv is None:
            with open(path, "rb"):  # A file that is not there is told first.
                known = ", ".join([*_READERS, *_NAMED])
                raise SourceError(
                    f"{path}: files of this kind cannot be read. Known suffixes: {known}. If it is text, say so by "
                    f"{by_setting('delimiter')}."
                )
        return [self._reader(CsvReader if suffix is None else _READERS[suffix])(path)]

    def _folder(self, folder: Path) -> list[Reader]:
        files = _files_below(folder)
        if not files:
            raise SourceError(f"{folder} is a directory without files of rows.")
        kinds: dict[str, Path] = {}
        for file in files:
            kinds.setdefault(_kind(file) or file.suffix, file)
        if len(kinds) > 1:
            known = min((kind for kind in kinds if kind in _NAMED | _READERS), default=min(kinds))
            raise SourceError(
                f"{folder} is a directory with files of several kinds: {', '.join(sorted(kinds))} "
                f"({_listed([kinds[kind] for kind in sorted(kinds)], folder)}). None is left out silently: choose "
                f"those of one kind by a pattern, such as {folder / '**' / '*'}{known}"
            )
        if _READERS.get(next(iter(kinds))) is ParquetReader:
            return parquet_folder(folder, files)
        return self.all(str(file) for file in files)

    def _reader(self, reader: Any) -> Callable[[StrPath], Reader]:
        return partial(CsvReader, form=self._csv) if reader is CsvReader else reader


def _files_below(folder: Path) -> list[Path]:
    """The files below a folder, in the order of their paths; one that is reached twice, by a link, comes once.

    Hidden files and folders, whose names begin with a dot, are passed over, and so are marks of other programs, whose
    names begin with an underscore, such as ``_SUCCESS``.
    """
    found = sorted(_walk(folder, set()))
    marked = [file for file in found if any(part[0] == "_" for part in file.relative_to(folder).parts)]
    left_out = [file for file in marked if _kind(file) is not None]
    if left_out:
        raise SourceError(
            f"{folder} holds rows in files that begin with an underscore, or in such folders, where programs keep what "
            f"is not finished: {_listed(left_out, folder)}. Rename or remove them, or choose files by a pattern, such "
            f"as {folder / '*'}{_kind(left_out[0])}"
        )
    files = [file for file in found if file not in set(marked)]
    for file in files:
        if file.exists() and not (file.is_file() or file.is_dir()):
            raise SourceError(f"{file} is no file, but a pipe or a device, and cannot be read as a part of a folder.")
    return files


def _walk(folder: Path, seen: set[str]) -> Iterator[Path]:
    seen.add(os.path.realpath(folder))
    for entry in sorted(folder.iterdir()):
        real = os.path.realpath(entry)
        if entry.name[0] == "." or real in seen:
            continue
        if entry.is_dir() and not _is_named(entry):
            yield from _walk(entry, seen)
        else:
            seen.add(real)
            yield entry


def _listed(files: list[Path], folder: Path) -> str:
    names = ", ".join(str(file.relative_to(folder)) for file in files[:_MOST_LISTED])
    return names + (f" and {len(files) - _MOST_LISTED} more" if len(files) > _MOST_LISTED else "")


def _matching(pattern: str) -> Iterator[str]:
    """What matches a pattern, in order; of ``**`` only the files, which it finds in all folders."""
    found = sorted(glob.glob(pattern, recursive=True))
    if "**" in pattern:
        # Links may lead to the same file again and again.
        nearest: dict[str, str] = {}
        for path in sorted(found, key=lambda path: (path.count(os.sep), path)):
            nearest.setdefault(os.path.realpath(path), path)
        found = sorted(nearest.values())
        whole = [path.rstrip(os.sep) + os.sep for path in found if os.path.isdir(path) and _is_named(path)]
        found = [path for path in found if not any(path.startswith(folder) and path != folder for folder in whole)]
        found = [path for path in found if not os.path.isdir(path) or _is_named(path)]
    for path in found:
        # A mark such as _SUCCESS, that holds no rows.
        if os.path.basename(path)[:1] != "_" or os.path.isdir(path) or is_readable(path):
            yield path


def _is_named(path: StrPath) -> bool:
    """Whether a file, or a folder of Zarr, holds arrays with names."""
    return _suffix(path, _NAMED) is not None or (os.path.isdir(path) and is_zarr_folder(Path(path)))


def _kind(path: Path) -> str | None:
    """The suffix of a file of rows; None for another."""
    return ".zarr" if path.is_dir() else _suffix(path, _NAMED | _READERS)


def is_readable(path: StrPath) -> bool:
    """Whether a file is of a kind that holds rows, by its suffix."""
    return _suffix(path, _NAMED | _READERS) is not None


def _suffix(path: StrPath, table: Iterable[str]) -> str | None:
    """The longest suffix of the table that a path has."""
    lower = os.fspath(path).rstrip("/\\").lower()
    return max((suffix for suffix in table if lower.endswith(suffix)), key=len, default=None)
