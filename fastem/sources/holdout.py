"""A source without some of its rows, which are held out of what is learnt, or say nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from fastem.sources.array import ArraySource
from fastem.sources.source import Chunk, Source


class WithoutEmpty:
    """The rows of a source, of which those without any value have weight zero: as if they were absent."""

    def __init__(self, source: Source):
        self._source = source
        self.n_features, self.names, self.labels = source.n_features, source.names, source.labels
        self.row_bytes, self.rows_per_chunk = source.row_bytes, source.rows_per_chunk
        self.is_weighted, self.allows_missing = True, source.allows_missing

    @property
    def n_rows(self) -> int | None:
        # Rows that are held out keep their place.
        return self._source.n_rows

    def chunks(self, max_rows: int | None = None) -> Iterator[Chunk]:
        yield from map(self._without, self._source.chunks(max_rows))

    def sample(self, n_rows: int, random: np.random.Generator) -> ArraySource:
        """At most `n_rows` rows of positive weight, those that the source itself would draw."""
        drawn = self._source.sample(n_rows, random)
        rows = ~np.isnan(drawn.X).all(axis=1)
        return ArraySource(drawn.X[rows], None if drawn.weight is None else drawn.weight[rows], self.names)

    def weighted(self, weight: np.ndarray | None) -> Source:
        return WithoutEmpty(self._source.weighted(weight))

    def parts(self) -> list[Any] | None:
        return self._source.parts()

    def chunks_of(self, part: Any) -> Iterator[Chunk]:
        yield from map(self._without, self._source.chunks_of(part))

    def _without(self, chunk: Chunk) -> Chunk:
        return without_weight_of_empty(chunk)


class WithoutRows(WithoutEmpty):
    """The rows of a source, of which those of sorted indices `held` (M,) have weight zero."""

    def __init__(self, source: Source, held: np.ndarray):
        super().__init__(source)
        self._heldout = held

    def sample(self, n_rows: int, random: np.random.Generator) -> ArraySource:
        """At most `n_rows` rows of positive weight, drawn without replacement, in one pass."""
        keys, kept = np.empty(0), ArraySource(np.empty((0, self.n_features)), np.empty(0), self.names)
        for chunk in self.chunks():
            drawn = random.random(len(chunk))
            weight = np.asarray(chunk.weight)
            # A row stays as long as its key is among the least.
            least = np.inf if keys.size < n_rows else keys.max()
            rows = np.flatnonzero((weight > 0) & (drawn < least))
            keys = np.concatenate([keys, drawn[rows]])
            X = np.concatenate([kept.X, chunk.X[rows].astype(np.float64)])
            stay = np.sort(np.argsort(keys)[:n_rows])
            keys, weight = keys[stay], np.concatenate([kept.weight, weight[rows]])[stay]
            kept = ArraySource(X[stay], weight, self.names)
            del chunk
        return kept

    def weighted(self, weight: np.ndarray | None) -> Source:
        return WithoutRows(self._source.weighted(weight), self._heldout)

    def _without(self, chunk: Chunk) -> Chunk:
        weight = np.ones(len(chunk)) if chunk.weight is None else chunk.weight.copy()
        weight[chunk.places_of(self._heldout)] = 0.0
        return replace(chunk, weight=weight)


def without_weight_of_empty(chunk: Chunk) -> Chunk:
    """A chunk whose rows without any value have weight zero; those of a chain are gaps in time, and keep theirs."""
    is_empty = np.isnan(chunk.X).all(axis=1)
    if chunk.lengths is not None or not is_empty.any():
        return chunk
    return replace(chunk, weight=np.where(is_empty, 0.0, 1.0 if chunk.weight is None else chunk.weight))
