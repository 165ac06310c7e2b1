"""The files of a folder and of the folders within it: all of them, or an error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from fastem.sources.reader import SourceError

_NAMED_FILES = 5


def files_below(folder: Path, suffix_of: Callable[[Path], str | None], is_data: Callable[[Path], bool]) -> list[Path]:
    """The files below a folder, in the order of their paths.

    Hidden files and folders, whose names begin with a dot, are passed over, and so are marks of other programs, whose
    names begin with an underscore, such as ``_SUCCESS``. A file that is reached twice, by a link, comes once.

    Parameters
    ----------
    folder : Path
    suffix_of : callable
        The suffix of a file of rows; None for another.
    is_data : callable
        Whether a folder is a file of rows itself, as Zarr has them.

    Raises
    ------
    OSError
        For folders that cannot be opened.
    SourceError
        When a file of rows has a name that begins with an underscore, or something is no file.
    """
    found = sorted(_walk(folder, is_data, set()))
    marked = [file for file in found if any(part[0] == "_" for part in file.relative_to(folder).parts)]
    left_out = [file for file in marked if suffix_of(file) is not None]
    if left_out:
        raise SourceError(
            f"{folder} holds rows in files that begin with an underscore, or in such folders, where programs keep what "
            f"is not finished: {named(left_out, folder)}. Rename or remove them, or choose files by a pattern, such as "
            f"{folder / '*'}{suffix_of(left_out[0])}"
        )
    files = [file for file in found if file not in set(marked)]
    for file in files:
        if file.exists() and not (file.is_file() or file.is_dir()):
            raise SourceError(f"{file} is no file, but a pipe or a device, and cannot be read as a part of a folder.")
    return files


def _walk(folder: Path, is_data: Callable[[Path], bool], seen: set[str]) -> Iterator[Path]:
    seen.add(os.path.realpath(folder))
    for entry in sorted(folder.iterdir()):
        if entry.name[0] == ".":
            continue
        real = os.path.realpath(entry)
        if real in seen:
            continue
        if entry.is_dir() and not is_data(entry):
            yield from _walk(entry, is_data, seen)
        else:
            seen.add(real)
            yield entry


def named(files: list[Path], folder: Path) -> str:
    """The names of some files, as seen from a folder."""
    names = [str(file.relative_to(folder)) for file in files[:_NAMED_FILES]]
    more = len(files) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
