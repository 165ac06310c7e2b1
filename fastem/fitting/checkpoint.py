"""The state of a fit on disk: it goes on from there after whatever ended it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastem._naming import named
from fastem._options import Allowed, Choice, Options, instance, numbers
from fastem._replacing import why_not
from fastem.fitting.archive import record_classes, require_state
from fastem.fitting.runs import Search
from fastem.model import Model
from fastem.persistence import ModelFileError, pack, read_archive, unpack
from fastem.schedules.result import Reason

# What files of arrays begin with.
_ARCHIVE = b"PK"
_MOST_LETTERS = 60


class Keeping(NamedTuple):
    """Where the state of a fit is kept, the least seconds between two times, and the settings that must be the same."""

    path: str | os.PathLike[str]
    every: float
    binding: Mapping[str, Any]


class CheckpointFile:
    """A file that holds the model so far, which `fastem.load` reads, and the state of its fit.

    `keeping` is None where nothing is kept, `data` is the digest of the rows, and `save(path, progress, arrays)` writes
    the model so far, with the progress of its fit.
    """

    def __init__(self, keeping: Keeping | None, model: Model, data: str, save: Callable[[Path, Any, Any], None]):
        self._model, self._save = model, save
        self._path = None if keeping is None else Path(keeping.path)
        self._every = 0.0 if keeping is None else keeping.every
        self._binding = {} if keeping is None else {**_in_order(keeping.binding), "data": data}
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether the interval since the last time is over."""
        return self._path is not None and time.monotonic() - self._last >= self._every

    def write(self, search: Search) -> None:
        """Write the state of the search, and the model so far; nothing where no file is named."""
        if self._path is None:
            return
        arrays: dict[str, np.ndarray] = {}
        progress = {"search": pack(search, "progress", arrays), "binding": self._binding}
        self._save(self._path, progress, arrays)
        self._last = time.monotonic()

    def read(self, new: Search) -> Search:
        """The search that the file holds, of the same data as the new one; the new one when there is no file.

        Raises
        ------
        ModelFileError
            When the file is damaged, or is no checkpoint.
        ValueError
            When it is that of another fit.
        """
        if self._path is None:
            raise ValueError(
                f"{named('resume=True')} continues from a {named('checkpoint')}, but none is named. "
                f"Set {named('checkpoint')} to its path."
            )
        if not self._path.exists():
            return new
        header, arrays = read_archive(self._path)
        if "progress" not in header:
            raise ModelFileError(f"{self._path} holds a model, but no fit to resume. {named('Use resume=False')}.")
        try:
            then = dict(header["progress"]["binding"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"{self._path} is damaged, or was written by another version: {error!r}") from error
        self._require_same_settings(then)
        try:
            search: Search = unpack(header["progress"]["search"], arrays, record_classes(self._model))
            require_state(search, Search, self._model)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
            raise ModelFileError(f"{self._path} is damaged, or was written by another version: {error!r}") from error
        if (search.n_rows, search.weight) != (new.n_rows, new.weight):
            raise ValueError(
                f"The checkpoint is of {search.n_rows} rows of total weight {search.weight:g}, but now there are "
                f"{new.n_rows} of {new.weight:g}. {self._remedy()}"
            )
        for name, value in self._model.family.constraints().items():
            if not np.array_equal(arrays.get(f"constraint/{name}", ()), value):
                raise ValueError(f"The checkpoint is of other data: their {name} was another. {self._remedy()}")
        if then.get("data") != self._binding["data"]:
            raise ValueError(f"The checkpoint is of other data, or of other sequences. {self._remedy()}")
        if search.best is not None:
            search.best = replace(search.best, reason=Reason(search.best.reason))
        return search

    def _require_same_settings(self, settings: dict[str, Any]) -> None:
        # An attribute that a fit started from may be missing now, or there for the first time.
        for name in [*self._binding, *sorted(set(settings) - set(self._binding))]:
            then, now = settings.get(name), self._binding.get(name)
            if name != "data" and now != then:
                raise ValueError(
                    f"The checkpoint is of a fit with {named(name)}={then}, but now it is {now}. {self._remedy()}"
                )

    def _remedy(self) -> str:
        return f"Fit the same data with the same settings, or begin anew with another checkpoint than {self._path}."


def require_place(path: str | os.PathLike[str]) -> None:
    """Raise when no checkpoint can be written there, or when it would replace something else, such as the rows.

    Raises
    ------
    OSError
    ModelFileError
    """
    reason = why_not(path)
    if not reason and os.path.exists(path) and not os.path.isfile(path):
        reason = "it is a pipe or a device, which keeps nothing"
    if reason:
        raise OSError(f"The checkpoint {path} cannot be written: {reason}. Name another file.")
    if not os.path.exists(path):
        return
    with open(path, "rb") as file:
        start = file.read(len(_ARCHIVE))
    if start not in (b"", _ARCHIVE):
        raise ModelFileError(f"{path} is not a model file of fastem, and no checkpoint replaces it. Name another file.")


def _in_order(binding: Mapping[str, Any]) -> dict[str, str]:
    """Settings in words; of those that differ the first is told."""
    return {name: _in_words(binding[name]) for name in sorted(binding, key=lambda name: name != "n_components")}


def _in_words(value: Any) -> str:
    """A text that is the same for equal values; of large arrays it ends with a digest."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return repr(value)
    if is_dataclass(value):
        own = {field.name: getattr(value, field.name) for field in fields(value) if field.repr}
        return f"{type(value).__name__}{_in_words(own)}"
    if isinstance(value, dict):
        return str({name: _in_words(item) for name, item in value.items()})
    if callable(value):
        return getattr(value, "__qualname__", type(value).__name__)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.size > _MOST_LETTERS:
        return f"an array of shape {value.shape} {digest_of(value.astype(np.float64))}"
    if isinstance(value, np.ndarray | list | tuple):
        items = value.tolist() if isinstance(value, np.ndarray) else value
        text = repr(_plain(items))
        return text if len(text) < _MOST_LETTERS else f"{text[:_MOST_LETTERS]}... {sha256(text.encode()).hexdigest()}"
    return _in_words(np.asarray(value))


def _plain(items: Any) -> Any:
    if isinstance(items, np.ndarray | np.generic):
        return _plain(items.tolist())
    return [_plain(item) for item in items] if isinstance(items, list | tuple) else items


def digest_of(*arrays: Any) -> str:
    """Digest of the bits of arrays."""
    digest = sha256()
    for array in arrays:
        digest.update(repr(np.shape(array)).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, repr=False, eq=False)
class Checkpoint(Options):
    """A file that keeps the state of a fit, for `fit(..., resume=True)`, and the model so far, for `fastem.load`.

    It is replaced as a whole, so that it is there at any moment.

    Parameters
    ----------
    path : str or Path
    every : float, default 60
        Least seconds between two checkpoints: what is lost at worst, with the iteration under way.

    Examples
    --------
    >>> from fastem import Checkpoint, GaussianMixture
    >>> GaussianMixture(2, checkpoint=Checkpoint("fit.npz", every=600.0)).checkpoint
    Checkpoint(path='fit.npz', every=600.0)
    """

    path: str | os.PathLike[str]
    every: float = 60.0

    _allowed: ClassVar[dict[str, tuple[Allowed, ...]]] = {
        "path": (instance(str, os.PathLike),),
        "every": (numbers(0.0, ends="[]"),),
    }


CHECKPOINTS = Choice((Checkpoint,), {None: None}, (str, os.PathLike))
