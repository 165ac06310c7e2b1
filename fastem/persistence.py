"""Models on disk: a .npz file of plain arrays and a JSON header. Nothing in it is ever executed.

Layout (version 1)::

    header            a JSON text: {"format": "fastem", "version": 1, "class": ..., "settings": {...},
                      "fitted": {...}}
    setting/NAME      constructor parameters, and their options, that are arrays
    latent/NAME       parameters of the latent structure
    family/NAME       parameters of the family
    constraint/NAME   limits that the data set, structure/NAME what the latent structure was told
    progress/PLACE    arrays of the state of an unfinished fit, in a checkpoint; the header's "progress" has the rest
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastem._replacing import replacing
from fastem._text import shown
from fastem.passes.signals import signals_waiting

FORMAT = "fastem"
VERSION = 1
_SUFFIXES = (".npz", ".ckpt")
# The longest axis of an array that holds nothing.
_MOST_EMPTY = 2**31


class ModelFileError(ValueError):
    """A file is not a model of this package, or not one that this version can read."""

    def __init__(self, message: str):
        # It may quote what is in the file.
        super().__init__(shown(message))


def require_model_name(path: str | os.PathLike[str]) -> None:
    """Raise ValueError for a name that promises something else than a model."""
    suffix = Path(path).suffix
    if suffix and suffix.lower() not in _SUFFIXES:
        raise ValueError(
            f"Cannot write the model as {path}: models are .npz files, not {suffix}. Name it "
            f"{Path(path).with_suffix('.npz')}, say."
        )


def write_archive(path: str | Path, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a header and arrays, as a whole or not at all."""
    text = json.dumps({"format": FORMAT, "version": VERSION, **header})
    # A zip file that is interrupted raises a ValueError about its handles instead, which would look like a failed fit.
    with signals_waiting(), replacing(path) as file:
        np.savez(file, allow_pickle=False, header=np.array(text), **arrays)


def read_archive(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a header and arrays; ModelFileError for a file that is damaged, no model, or of a newer version."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            with zipfile.ZipFile(file) as archive:
                arrays = _read_members(archive, size)
    except (
        zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, AttributeError, TypeError, SyntaxError,
        IndexError, OverflowError, RecursionError, NotImplementedError, RuntimeError, struct.error, MemoryError,
        tokenize.TokenError,
    ) as error:  # fmt: skip
        # NumPy's own words advise to load pickles, which no model of ours holds.
        raise ModelFileError(f"{path} is not a model file of fastem, or it is damaged: {error}.") from error
    try:
        header = json.loads(str(arrays.pop("header")))
    except (KeyError, ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelFileError(f"{path} is not a model file of fastem: it has no header of this format.")
    version = header.get("version")
    if type(version) is not int or version < 1:
        raise ModelFileError(f"{path} has the format version {version!r}, which no fastem writes: it is damaged.")
    if version > VERSION:
        raise ModelFileError(
            f"{path} has format version {header['version']}; this fastem reads up to {VERSION}. Upgrade fastem."
        )
    return header, arrays


def _read_members(archive: zipfile.ZipFile, size: int) -> dict[str, np.ndarray]:
    """The arrays of an archive of so many bytes. Nothing is larger than the file that holds it."""
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("it is compressed, which fastem never does")
    if sum(member.file_size for member in members) > size or any(m.compress_size != m.file_size for m in members):
        raise ValueError("it declares more bytes than it has")
    names = [member.filename for member in members]
    if len(set(names)) < len(names) or not all(name.endswith(".npy") for name in names):
        raise ValueError("it holds other things than arrays, or one of them twice")
    return {member.filename.removesuffix(".npy"): _array_of(archive.read(member)) for member in members}


def _array_of(content: bytes) -> np.ndarray:
    """The array of a file in NumPy's format; its header must say how many bytes follow."""
    file = io.BytesIO(content)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"it holds an array of format {version}")
    shape, is_fortran, dtype = readers[version](file)
    if dtype.kind not in "biufU" or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"it holds an array of dtype {dtype} and shape {shape}")
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"an array of dtype {dtype} and shape {shape} has {len(content) - file.tell()} bytes")
    if math.prod(shape) == 0 or dtype.itemsize == 0:
        if any(n > _MOST_EMPTY for n in shape):
            raise ValueError(f"it holds an array of shape {shape}")
        return np.empty(shape, dtype)
    # In memory of its own, which can be written.
    array = np.frombuffer(bytearray(content[file.tell() :]), dtype)
    return array.reshape(shape, order="F" if is_fortran else "C")


def pack(value: Any, place: str, arrays: dict[str, np.ndarray]) -> Any:
    """A value as JSON; its arrays are put into `arrays` under names that begin with `place`.

    It may be made of numbers, texts, None, arrays, lists, tuples, dictionaries, NamedTuples and dataclasses.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "__array__"):
        arrays[place] = np.asarray(value)
        return {"array": place}
    if isinstance(value, dict):
        return {"dict": {name: pack(item, f"{place}/{name}", arrays) for name, item in value.items()}}
    if is_dataclass(value) or hasattr(value, "_fields"):
        names = value._fields if hasattr(value, "_fields") else [field.name for field in fields(value) if field.init]
        packed = {name: pack(getattr(value, name), f"{place}/{name}", arrays) for name in names}
        return {"record": type(value).__name__, "fields": packed}
    items = [pack(item, f"{place}/{index}", arrays) for index, item in enumerate(value)]
    return {"tuple": items} if isinstance(value, tuple) else items


def unpack(packed: Any, arrays: Mapping[str, np.ndarray], classes: Iterable[type]) -> Any:
    """The value that `pack` was given; records are made of the given classes only, KeyError for others."""
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
