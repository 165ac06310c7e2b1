"""Starts from known responsibilities or labels: one M-step over rows whose components are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fastem.executors.reduction import reduced
from fastem.model import Model, Params
from fastem.passes.pruning import NO_PRUNING
from fastem.sources.segments import Segment, segments_of
from fastem.sources.source import Chunk
from fastem.stats import ExpectedStats, Repair

# Responsibilities are made for this many rows at a time.
PIECE_ROWS = 8192


class RowSource(Protocol):
    """What a start asks of a source."""

    def chunks(self, max_rows: int | None = None) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Rows(Chunk):
    """Some rows and their weights, as a source and as its only chunk."""

    first_row: int = 0

    def chunks(self, max_rows: int | None = None) -> Iterator[Chunk]:
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
    params = params_about(model, centre)

    def total_of(segment: Segment) -> ExpectedStats:
        # Responsibilities that are known leave no component out.
        accumulator = model.accumulator(params, NO_PRUNING)
        for chunk in segment.chunks:
            accumulator.add_given(chunk, responsibilities(chunk))
            del chunk
        return accumulator.total()

    stats = reduced(total_of, segments_of(rows.chunks(max_rows=PIECE_ROWS)))
    return model.m_step(stats, params)


def params_about(model: Model, centre: np.ndarray) -> Params:
    """Parameters that rows can be read with, whose moments are taken about a centre (D,)."""
    equal = model.latent.params(np.ones(model.latent.n_components))
    return Params(equal, model.family.neutral_params(centre))


def one_hot(labels: np.ndarray, n_components: int) -> np.ndarray:
    """Responsibilities (N, K) of integer labels (N,)."""
    resp = np.zeros((labels.shape[0], n_components))
    resp[np.arange(labels.shape[0]), labels] = 1.0
    return resp
