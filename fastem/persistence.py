"""Models on disk: a .npz file of plain arrays and a JSON header. Nothing in it is ever executed.

Layout (version 1)::

    header            a JSON text: {"format": "fastem", "version": 1, "class": ..., "settings": {...},
                      "fitted": {...}}
    setting/NAME      constructor parameters that are arrays
    latent/NAME       parameters of the latent structure
    family/NAME       parameters of the family
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = "fastem"
VERSION = 1


class ModelFileError(ValueError):
    """A file is not a model of this package, or not one that this version can read."""


def write_archive(path: str | Path, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a header and arrays, as a whole or not at all."""
    path = Path(path)
    text = json.dumps({"format": FORMAT, "version": VERSION, **header})
    handle, temporary = tempfile.mkstemp(dir=path.parent or ".", prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, allow_pickle=False, header=np.array(text), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_archive(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a header and arrays.

    Raises
    ------
    ModelFileError
        When the file is damaged, is not a model, or comes from a newer version.
    OSError
        When it cannot be opened.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, ValueError, EOFError, KeyError, AttributeError, TypeError) as error:
        # NumPy's own words advise to load pickles, which no model of ours holds.
        raise ModelFileError(f"{path} is not a model file of fastem, or it is damaged.") from error
    try:
        header = json.loads(str(arrays.pop("header")))
    except (KeyError, json.JSONDecodeError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelFileError(f"{path} is not a model file of fastem: it has no header of this format.")
    if header["version"] > VERSION:
        raise ModelFileError(
            f"{path} has format version {header['version']}; this fastem reads up to {VERSION}. Upgrade fastem."
        )
    return header, arrays
