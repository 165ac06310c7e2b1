"""Which reader reads which file: by suffixes, patterns and folders."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from fastem.sources.csv import CsvReader
from fastem.sources.hdf5 import Hdf5Reader
from fastem.sources.ipc import IpcReader
from fastem.sources.npy import NpyReader
from fastem.sources.parquet import ParquetReader, parquet_files, parquet_folder
from fastem.sources.reader import Reader, SourceError
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


def readers_of(paths: StrPath | Iterable[StrPath]) -> list[Reader]:
    """Readers of files, in order.

    Parameters
    ----------
    paths : path, or iterable of paths
        A path is a file, a pattern such as ``"part-*.parquet"``, or a folder: of Parquet files (maybe partitioned),
        of Zarr, or of files of one kind, which are read in the order of their names. ``file.h5::name`` names an
        array within a file.

    Raises
    ------
    OSError
        For files that cannot be opened, and for a pattern that no file matches.
    SourceError
        For files that are damaged or of an unknown kind.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not given:
        raise SourceError("There are no files: the list of paths is empty.")
    return [reader for path in given for reader in _readers_of_path(os.fspath(path))]


def _readers_of_path(given: str) -> list[Reader]:
    path, _, name = given.rpartition("::") if "::" in given else (given, "", "")
    if not os.path.exists(path) and glob.has_magic(path):
        found = sorted(glob.glob(path, recursive=True))
        if not found:
            raise FileNotFoundError(errno.ENOENT, "No file matches this pattern", given)
        return [reader for file in found for reader in _readers_of_file(file, name)]
    return _readers_of_file(path, name)


def _readers_of_file(path: str, name: str) -> list[Reader]:
    suffix = _suffix(path, _NAMED)
    is_folder = os.path.isdir(path)
    if suffix or (is_folder and is_zarr_folder(Path(path))):
        return [_NAMED[suffix or ".zarr"](path, name or None)]
    if name:
        raise SourceError(f"{path}::{name}: only files of {', '.join(_NAMED)} hold arrays with names.")
    if is_folder:
        return _readers_of_folder(Path(path))
    suffix = _suffix(path, _READERS)
    if suffix is None:
        with open(path, "rb"):  # A file that is not there is told first.
            known = ", ".join([*_READERS, *_NAMED])
            raise SourceError(f"{path}: files of this kind cannot be read. Known suffixes: {known}.")
    return [_READERS[suffix](path)]


def _readers_of_folder(folder: Path) -> list[Reader]:
    entries = sorted(entry for entry in folder.iterdir() if entry.name[0] not in "._")
    files = [entry for entry in entries if not entry.is_dir() or _suffix(str(entry), _NAMED)]
    kinds = {_suffix(str(file), _NAMED | _READERS) or file.suffix for file in files}
    if len(kinds) > 1:
        raise SourceError(
            f"{folder} is a directory with files of several kinds: {', '.join(sorted(kinds))}. Choose those of one "
            f"kind by a pattern, such as {folder / '*'}{min(kinds)}"
        )
    if parquet_files(folder):
        return parquet_folder(folder)
    if not files:
        raise SourceError(f"{folder} is a directory without files of rows.")
    return [reader for file in files for reader in _readers_of_file(str(file), "")]


def _suffix(path: str, table: Iterable[str]) -> str | None:
    """The longest suffix of the table that a path has."""
    lower = path.rstrip("/\\").lower()
    return max((suffix for suffix in table if lower.endswith(suffix)), key=len, default=None)
