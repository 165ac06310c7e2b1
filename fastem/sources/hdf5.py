"""Rows of a dataset in an HDF5 file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastem._extras import require
from fastem.sources.reader import SourceError
from fastem.sources.sliced import StoredReader


class Hdf5Reader(StoredReader):
    """Rows of a dataset of numbers, by `name` such as "group/name"; by default the only one of the file."""

    @contextmanager
    def _open(self) -> Iterator[Any]:
        h5py = require("h5py", "io", "reading HDF5 files")
        try:
            file = h5py.File(self.path, "r")
        except OSError as error:
            raise SourceError(f"{self.path} is not an HDF5 file, or it is damaged: {error}") from error
        with file:
            yield file

    def _arrays(self, root: Any) -> dict[str, Any]:
        h5py = require("h5py", "io", "reading HDF5 files")
        arrays: dict[str, Any] = {}
        try:
            root.visititems(
                lambda name, item: arrays.update({name: item} if isinstance(item, h5py.Dataset) and item.shape else {})
            )
        except (OSError, RuntimeError, KeyError) as error:
            raise SourceError(f"{self.path} is damaged: {error}") from error
        return arrays
