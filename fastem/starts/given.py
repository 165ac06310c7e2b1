"""Starts from known responsibilities or labels: one M-step over rows whose components are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from fastem.model import Model, Params
from fastem.stats import Repair

# Responsibilities are made for this many rows at a time.
_PIECE_ROWS = 8192


class RowSource(Protocol):
    """What a start asks of a source."""

    def chunks(self, max_rows: int | None = None) -> Iterator[Any]: ...


class Rows(RowSource):
    """Some rows and their weights, as a source and as its only chunk."""

    lengths = None

    def __init__(self, X: np.ndarray, weight: np.ndarray | None, first_row: int = 0):
        self.X, self.weight, self.first_row = X, weight, first_row

    def chunks(self, max_rows: int | None = None) -> Iterator[Any]:
        yield self


def start_from(
    model: Model, rows: RowSource, responsibilities: Callable[[int, int], np.ndarray], centre: np.ndarray
) -> tuple[Params, list[Repair]]:
    """Parameters of highest likelihood when the responsibilities are known.

    Parameters
    ----------
    model : Model
    rows : source
    responsibilities : callable
        Maps a range of rows (start, stop) to their responsibilities (stop - start, K).
    centre : (D,) ndarray
        A point amid the data, about which moments are taken.

    Returns
    -------
    Params, and what had to be repaired.
    """

    def of_chunk(chunk: Any) -> np.ndarray:
        return responsibilities(chunk.first_row, chunk.first_row + chunk.X.shape[0])

    return start_from_chunks(model, rows, of_chunk, centre)


def start_from_chunks(
    model: Model, rows: RowSource, responsibilities: Callable[[Any], np.ndarray], centre: np.ndarray
) -> tuple[Params, list[Repair]]:
    """As `start_from`, with responsibilities that follow from the rows of a chunk."""
    equal = model.latent.params(np.ones(model.latent.n_components))
    params = Params(equal, model.family.neutral_params(centre))
    accumulator = model.accumulator(params)
    for chunk in rows.chunks(max_rows=_PIECE_ROWS):
        accumulator.add_given(chunk, responsibilities(chunk))
    return model.m_step(accumulator.total(), params)


def one_hot(labels: np.ndarray, n_components: int) -> np.ndarray:
    """Responsibilities (N, K) of integer labels (N,)."""
    resp = np.zeros((labels.shape[0], n_components))
    resp[np.arange(labels.shape[0]), labels] = 1.0
    return resp
