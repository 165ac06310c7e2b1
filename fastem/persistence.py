"""Models on disk: a .npz file of plain arrays and a JSON header. Nothing in it is ever executed.

Layout (version 1)::

    header            a JSON text: {"format": "fastem", "version": 1, "class": ..., "settings": {...},
                      "fitted": {...}}
    setting/NAME      constructor parameters that are arrays
    latent/NAME       parameters of the latent structure
    family/NAME       parameters of the family
    constraint/NAME   limits that the data set, structure/NAME what the latent structure was told
    progress/PLACE    arrays of the state of an unfinished fit, in a checkpoint; the header's "progress" has the rest
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

FORMAT = "fastem"
VERSION = 1


class ModelFileError(ValueError):
    """A file is not a model of this package, or not one that this version can read."""


def write_archive(path: str | Path, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a header and arrays, as a whole or not at all."""
    text = json.dumps({"format": FORMAT, "version": VERSION, **header})
    # A zip file that is interrupted raises a ValueError about its handles instead, which would look like a failed fit.
    with _interrupts_waiting(), replacing(path) as file:
        np.savez(file, allow_pickle=False, header=np.array(text), **arrays)


@contextmanager
def _interrupts_waiting() -> Iterator[None]:
    """Let a keyboard interrupt wait for the end of the block, where it would end it."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    waiting: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: waiting.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if waiting:
        raise KeyboardInterrupt


@contextmanager
def replacing(path: str | Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of another when all is written; after an error that one is as it was."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent or ".", prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
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


def pack(value: Any, place: str, arrays: dict[str, np.ndarray]) -> Any:
    """A value as JSON; its arrays are put into `arrays` under names that begin with `place`.

    It may be made of numbers, texts, None, arrays, lists, tuples, dictionaries, NamedTuples and dataclasses.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        arrays[place] = value
        return {"array": place}
    if isinstance(value, dict):
        return {"dict": {name: pack(item, f"{place}/{name}", arrays) for name, item in value.items()}}
    if is_dataclass(value) or hasattr(value, "_fields"):
        names = value._fields if hasattr(value, "_fields") else [field.name for field in fields(value)]
        packed = {name: pack(getattr(value, name), f"{place}/{name}", arrays) for name in names}
        return {"record": type(value).__name__, "fields": packed}
    items = [pack(item, f"{place}/{index}", arrays) for index, item in enumerate(value)]
    return {"tuple": items} if isinstance(value, tuple) else items


def unpack(packed: Any, arrays: Mapping[str, np.ndarray], classes: Iterable[type]) -> Any:
    """The value that `pack` was given; records are made of the given classes only.

    Raises
    ------
    KeyError
        For an array or a class that is not there.
    """
    by_name = {kind.__name__: kind for kind in classes}

    def unpacked(value: Any) -> Any:
        if isinstance(value, list):
            return [unpacked(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "array" in value:
            return arrays[value["array"]]
        if "tuple" in value:
            return tuple(unpacked(item) for item in value["tuple"])
        if "dict" in value:
            return {name: unpacked(item) for name, item in value["dict"].items()}
        return by_name[value["record"]](**{name: unpacked(item) for name, item in value["fields"].items()})

    return unpacked(packed)
