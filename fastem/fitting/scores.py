"""What a fitted model says of the rows of a source."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from fastem.fitting.checks import checked
from fastem.model import Model, Params
from fastem.sources import Source

# Scores of this many rows are held at a time when only their sum is asked for.
_ROWS = 2**18


def room(model: Model, n_rows: int, what: str) -> np.ndarray:
    """An array for what a method of `Model` says of so many rows."""
    shape = (n_rows, model.latent.n_components) if what in ("posterior", "filtered") else (n_rows,)
    return np.empty(shape, dtype=np.int64 if what in ("label", "best_path") else np.float64)


def said_of(
    model: Model, params: Params, source: Source, what: str, scoring: Callable[[], AbstractContextManager[Any]]
) -> tuple[np.ndarray, list[Any]]:
    """What a method of `Model` fills in for all rows of a source, and what it returns for each chunk.

    `scoring()` surrounds each pass.
    """
    out = None if source.n_rows is None else room(model, source.n_rows, what)
    parts, results = [room(model, 0, what)], []
    for chunk in checked(source, model.family):
        values = room(model, len(chunk), what) if out is None else out[chunk.first_row : chunk.first_row + len(chunk)]
        with scoring():
            results.append(getattr(model, what)(params, chunk.X, values, chunk.lengths))
        if out is None:
            parts.append(values)
        del chunk
    return np.concatenate(parts) if out is None else out, results


def weighted_sum(
    fill: Callable[[Model, Params, np.ndarray, np.ndarray], None],
    model: Model,
    params: Params,
    source: Source,
    scoring: Callable[[], AbstractContextManager[Any]],
) -> tuple[float, float]:
    """Sum over rows of weight * value, and of weight; `fill(model, params, X, values)` computes values of some rows."""
    total, weight = 0.0, 0.0
    values = np.empty(_ROWS if source.n_rows is None else min(_ROWS, source.n_rows))
    for chunk in checked(source, model.family, _ROWS):
        part = values[: len(chunk)]
        with scoring():
            fill(model, params, chunk.X, part)
        if chunk.weight is not None:
            part = np.multiply(part, chunk.weight, out=part, where=chunk.weight > 0)
            part[chunk.weight == 0] = 0.0
        total += part.sum()
        weight += len(chunk) if chunk.weight is None else chunk.weight.sum()
        del chunk
    return float(total), float(weight)
