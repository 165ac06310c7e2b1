"""The state of a fit on disk: it goes on from there after whatever ended it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fastem.estimators import _archive
from fastem.estimators._archive import record_classes
from fastem.estimators._search import Search
from fastem.model import Model
from fastem.persistence import ModelFileError, pack, read_archive, unpack
from fastem.schedules.result import Reason

# A fit that differs in one of these is another fit; the others only say how it is run.
_BINDING = (
    "n_components", "covariance_type", "reg_covar", "covariance_floor", "learning_method", "batch_size", "acceleration",
    "growth", "regularization", "weight_concentration_prior", "search", "n_moves",
)  # fmt: skip


class Checkpoint:
    """A file that holds the model so far, which `fastem.load` reads, and the state of its fit.

    Parameters
    ----------
    estimator : BaseMixture
    model : Model
    """

    def __init__(self, estimator: Any, model: Model):
        self._estimator, self._model = estimator, model
        self._path = None if estimator.checkpoint is None else Path(estimator.checkpoint)
        self._last = time.monotonic()
        if self._path is not None and (self._path.is_dir() or not self._path.parent.is_dir()):
            kind = "is a directory" if self._path.is_dir() else f"there is no directory {self._path.parent}"
            raise OSError(f"The checkpoint {self._path} cannot be written: {kind}. Name another file.")

    def is_due(self) -> bool:
        """Whether the interval since the last time is over."""
        return self._path is not None and time.monotonic() - self._last >= self._estimator.checkpoint_interval

    def write(self, search: Search) -> None:
        """Write the state of the search, and the model that the estimator has; nothing where no file is named."""
        if self._path is None:
            return
        arrays: dict[str, np.ndarray] = {}
        progress = pack(search, "progress", arrays)
        _archive.save(self._estimator, self._path, progress, arrays)
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
            raise ValueError("resume=True goes on from a checkpoint, but none is named. Set checkpoint to its path.")
        if not self._path.exists():
            return new
        header, arrays = read_archive(self._path)
        if "progress" not in header:
            raise ModelFileError(f"{self._path} holds a model, but no fit to go on with. Use resume=False.")
        self._require_same_settings(header["settings"])
        try:
            search: Search = unpack(header["progress"], arrays, record_classes(self._model))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"{self._path} is damaged, or was written by another version: {error!r}") from error
        if (search.n_rows, search.weight) != (new.n_rows, new.weight):
            raise ValueError(
                f"The checkpoint is of {search.n_rows} rows of total weight {search.weight:g}, but now there are "
                f"{new.n_rows} of {new.weight:g}. {self._remedy()}"
            )
        for name, value in self._model.family.constraints().items():
            if not np.array_equal(arrays.get(f"constraint/{name}", ()), value):
                raise ValueError(f"The checkpoint is of other data: their {name} was another. {self._remedy()}")
        if search.best is not None:
            search.best = replace(search.best, reason=Reason(search.best.reason))
        return search

    def _require_same_settings(self, settings: dict[str, Any]) -> None:
        for name in _BINDING:
            now, then = getattr(self._estimator, name), settings.get(name)
            if now != then:
                raise ValueError(
                    f"The checkpoint is of a fit with {name}={then!r}, but now it is {now!r}. {self._remedy()}"
                )

    def _remedy(self) -> str:
        return f"Fit the same data with the same settings, or begin anew with another checkpoint than {self._path}."
