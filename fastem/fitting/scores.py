"""What a fitted model says of the rows of a source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from fastem.executors.reduction import reduced
from fastem.fitting.checks import Checked
from fastem.model import Model, Params
from fastem.sources import Chunk, Source
from fastem.sources.segments import Segment, segments_of

# Numbers of this many rows are held at a time when only their sum is asked for.
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
    for chunk in Checked(source, model.family).chunks():
        values = room(model, len(chunk), what) if out is None else out[chunk.first_row : chunk.first_row + len(chunk)]
        its_model, its_params = model.for_rows(params, chunk.has_missing)
        with scoring():
            results.append(getattr(its_model, what)(its_params, chunk.X, values, chunk.lengths))
        if out is None:
            parts.append(values)
        del chunk
    return np.concatenate(parts) if out is None else out, results


class _RowSum:
    """The sum of a number of each row, in pieces of fixed length: it does not show how rows were cut into chunks."""

    def __init__(self) -> None:
        self._held = np.empty(_ROWS)
        self._n_held = 0
        self._total = 0.0

    def add(self, values: np.ndarray) -> None:
        """Add the numbers (N,) of the next rows."""
        while len(values):
            n = min(len(values), _ROWS - self._n_held)
            self._held[self._n_held : self._n_held + n] = values[:n]
            self._n_held, values = self._n_held + n, values[n:]
            if self._n_held == _ROWS:
                self._total, self._n_held = self.total(), 0

    def total(self) -> float:
        """Of all rows."""
        return self._total + float(self._held[: self._n_held].sum())


def weighted_sums(
    fill: Sequence[Callable[[Chunk, np.ndarray], None]], chunks: Iterable[Chunk]
) -> tuple[np.ndarray, float]:
    """Sums over rows of weight * value, one for each function, and of weight.

    `fill(chunk, values)` computes values of some rows; where the weight is zero they do not count, whatever they are.
    """

    def sums_of(segment: Segment) -> np.ndarray:
        sums, weights, n_rows = [_RowSum() for _ in fill], _RowSum(), 0
        for chunk in segment.chunks:
            values = np.empty(len(chunk))
            for total, function in zip(sums, fill, strict=True):
                function(chunk, values)
                total.add(weighted(values, chunk.weight))
            if chunk.weight is None:
                n_rows += len(chunk)
            else:
                weights.add(chunk.weight)
            del chunk
        return np.array([*(total.total() for total in sums), n_rows + weights.total()])

    *totals, weight = reduced(sums_of, segments_of(chunks))
    return np.array(totals), float(weight)


def weighted(values: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Numbers of rows times their weights; a row that does not count may have any density, zero included."""
    if weight is None:
        return values
    return np.multiply(values, weight, out=np.zeros(len(values)), where=weight > 0)


def total_weight(chunks: Iterable[Chunk]) -> float:
    """The weight of all rows."""
    return weighted_sums([], chunks)[1]


def weighted_sum(
    fill: Callable[[Model, Params, np.ndarray, np.ndarray], None],
    model: Model,
    params: Params,
    source: Source,
    scoring: Callable[[], AbstractContextManager[Any]],
) -> tuple[float, float]:
    """Sum over rows of weight * value, and of weight; `fill(model, params, X, values)` computes values of some rows."""

    def values_of(chunk: Chunk, values: np.ndarray) -> None:
        with scoring():
            fill(*model.for_rows(params, chunk.has_missing), chunk.X, values)

    (total,), weight = weighted_sums([values_of], Checked(source, model.family).chunks(_ROWS))
    return float(total), weight
