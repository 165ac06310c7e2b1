"""Where rows come from: a source yields chunks of rows, as often as it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a source.

    Attributes
    ----------
    X : (N, D) float32 or float64 ndarray
        Any memory order; maybe read-only.
    weight : (N,) float64 ndarray or None
        None stands for ones.
    first_row : int
        Index of the first row within the source.
    """

    X: np.ndarray
    weight: np.ndarray | None
    first_row: int

    def __len__(self) -> int:
        return self.X.shape[0]


class Source(Protocol):
    """What a schedule, a start and an estimator ask of data."""

    @property
    def n_rows(self) -> int: ...

    @property
    def n_features(self) -> int: ...

    def chunks(self, max_rows: int | None = None) -> Iterator[Chunk]:
        """All rows in order, cut into chunks of at most `max_rows`; every call starts again."""
        ...

    def sample(self, n_rows: int, random: np.random.Generator) -> Sample:
        """At most `n_rows` rows of positive weight, drawn without replacement."""
        ...


class Sample(Source, Protocol):
    """A source whose rows (N, D) and weights (N,) or None lie in memory."""

    @property
    def X(self) -> np.ndarray: ...

    @property
    def weight(self) -> np.ndarray | None: ...


# Rows of a run of blocks (see `fastem.reading`): chunks of whole runs give the same bits as one large chunk.
_ROWS_MULTIPLE = 16896


def chunk_rows(row_bytes: int, chunk_bytes: int, max_rows: int | None) -> int:
    """Number of rows that take about `chunk_bytes`: a multiple of the rows of a run, unless `max_rows` is smaller."""
    rows = max(1, chunk_bytes // (row_bytes * _ROWS_MULTIPLE)) * _ROWS_MULTIPLE
    return rows if max_rows is None else min(rows, max_rows)
