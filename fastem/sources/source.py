"""Where rows come from: a source yields chunks of rows, as often as it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from fastem.passes.units import BLOCK, ROWS_PER_RUN


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
    lengths : (S,) int64 ndarray or None
        Of the sequences that the rows make up, one after the other; None for rows that are independent.
    has_missing : bool
        Whether some values are known to be missing, which are NaN (see `fastem.fitting.checks`).
    """

    X: np.ndarray
    weight: np.ndarray | None
    first_row: int
    lengths: np.ndarray | None = None
    has_missing: bool = False

    def __len__(self) -> int:
        return self.X.shape[0]

    def pick(self, rows: Any, first_row: int) -> Chunk:
        """Some rows, by a slice or by their places, as independent ones."""
        weight = None if self.weight is None else self.weight[rows]
        return Chunk(self.X[rows], weight, first_row, has_missing=self.has_missing)

    def places_of(self, rows: np.ndarray) -> np.ndarray:
        """Those of the rows, sorted indices within the source, that lie here, counted from the first row here."""
        first, last = np.searchsorted(rows, (self.first_row, self.first_row + len(self)))
        return rows[first:last] - self.first_row

    def after(self, n_rows: int) -> Chunk:
        """The rows without the first `n_rows`, which are those of whole sequences."""
        rest = self.pick(slice(n_rows, None), self.first_row + n_rows)
        lengths = None if self.lengths is None else self.lengths[np.cumsum(self.lengths) > n_rows]
        return replace(rest, lengths=lengths)


def joined(chunks: Sequence[Chunk]) -> Chunk:
    """Chunks of independent rows as one; no copy of one that is alone."""
    if len(chunks) == 1:
        return chunks[0]
    is_weighted = any(chunk.weight is not None for chunk in chunks)
    weights = [np.ones(len(chunk)) if chunk.weight is None else chunk.weight for chunk in chunks] if is_weighted else []
    X = np.concatenate([chunk.X for chunk in chunks])
    has_missing = any(chunk.has_missing for chunk in chunks)
    return Chunk(X, np.concatenate(weights) if weights else None, chunks[0].first_row, has_missing=has_missing)


class Source(Protocol):
    """What a schedule, a start and an estimator ask of data.

    Attributes
    ----------
    n_rows : int or None
        None where it takes a pass to know; a number after the first whole one.
    n_features : int
    names : list of str or None
        Of the features.
    is_weighted : bool
        Whether the rows have weights of their own.
    labels : list of str
        The names, or the positions of the features in the data.
    row_bytes : int
        Memory that one row takes in a chunk.
    rows_per_chunk : int or None
        Rows of a chunk, when the caller does not say; None leaves it to the source.
    allows_missing : bool
        Whether values may be missing, which are NaN.
    """

    n_features: int
    names: list[str] | None
    labels: list[str]
    row_bytes: int
    rows_per_chunk: int | None
    allows_missing: bool

    @property
    def is_weighted(self) -> bool: ...

    @property
    def n_rows(self) -> int | None: ...

    def chunks(self, max_rows: int | None = None) -> Iterator[Chunk]:
        """All rows in order, cut into chunks of at most `max_rows`; every call starts again."""
        ...

    def sample(self, n_rows: int, random: np.random.Generator) -> Sample:
        """At most `n_rows` rows of positive weight, drawn without replacement."""
        ...

    def weighted(self, weight: np.ndarray | None) -> Source:
        """The same rows with other weights (N,)."""
        ...

    def parts(self) -> list[Any] | None:
        """Parts of the rows that may be read in any order; None when rows come from the start only."""
        ...

    def chunks_of(self, part: Any) -> Iterator[Chunk]:
        """The rows of one part."""
        ...


class Sample(Source, Protocol):
    """A source whose rows (N, D) and weights (N,) or None lie in memory."""

    @property
    def X(self) -> np.ndarray: ...

    @property
    def weight(self) -> np.ndarray | None: ...


def whole_runs(rows: int) -> int:
    """As many rows, or a few less, that make whole runs; or whole blocks where they are less than a run."""
    for unit in (ROWS_PER_RUN, BLOCK):
        if rows >= unit:
            return rows // unit * unit
    return max(1, rows)


def chunk_rows(source: Source, chunk_bytes: int, max_rows: int | None) -> int:
    """Rows of a chunk: what the source was told, or what takes about `chunk_bytes`, but at most `max_rows`."""
    wanted = source.rows_per_chunk or max(ROWS_PER_RUN, whole_runs(chunk_bytes // source.row_bytes))
    return wanted if max_rows is None else min(wanted, max_rows)


def rows_in(source: Source) -> int:
    """The number of rows, after a pass over them where that takes one."""
    if source.n_rows is None:
        for _ in source.chunks():
            pass
    return source.n_rows or 0


def draw_rows(n: int, n_rows: int, weight: np.ndarray | None, random: np.random.Generator) -> np.ndarray:
    """Indices, in order, of at most `n` rows of positive weight, drawn without replacement."""
    if weight is not None:
        candidates = np.flatnonzero(weight > 0)
        return candidates[draw_rows(n, candidates.size, None, random)]
    if n >= n_rows:
        return np.arange(n_rows)
    return np.sort(random.choice(n_rows, size=n, replace=False))
