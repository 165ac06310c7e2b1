"""Rows of a Zarr array, in a folder or a zip file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fastem._extras import require
from fastem.sources.reader import SourceError, file_stamp
from fastem.sources.sliced import StoredReader

_METADATA = ("zarr.json", ".zarray", ".zgroup")


class ZarrReader(StoredReader):
    """Rows of an array of numbers, by `name` such as "group/name"; by default the only one there."""

    @contextmanager
    def _open(self) -> Iterator[Any]:
        zarr = require("zarr", "io", "reading Zarr arrays")
        store = None
        try:
            store = self.path if os.path.isdir(self.path) else zarr.storage.ZipStore(self.path, mode="r")
            root = zarr.open(store, mode="r")
        # Zarr, its codecs and its stores raise whatever they meet.
        except Exception as error:
            _close(store)
            raise SourceError(f"{self.path} is not a Zarr array, or it is damaged: {error}") from error
        try:
            yield root
        finally:
            _close(store)

    def _arrays(self, root: Any) -> dict[str, Any]:
        return {"": root} if hasattr(root, "shape") else dict(_walk(root, ""))

    def stamp(self) -> Any:
        if not os.path.isdir(self.path):
            return super().stamp()
        # Chunks are files that are replaced one by one.
        n_files = n_bytes = newest = 0
        for folder, _, files in os.walk(self.path):
            for file in files:
                size, changed, _ = file_stamp(os.path.join(folder, file))
                n_files, n_bytes, newest = n_files + 1, n_bytes + size, max(newest, changed)
        return n_files, n_bytes, newest


def is_zarr_folder(path: Path) -> bool:
    """Whether a folder is an array or a group of Zarr."""
    return any((path / name).is_file() for name in _METADATA)


def _walk(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, array in group.arrays():
        yield prefix + name, array
    for name, inner in group.groups():
        yield from _walk(inner, f"{prefix}{name}/")


def _close(store: Any) -> None:
    # A zip file that could not be opened has nothing to close.
    with suppress(AttributeError):
        store.close()
