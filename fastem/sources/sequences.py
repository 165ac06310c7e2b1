"""Rows that hang together in sequences: the rows of another source, and the lengths of the sequences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fastem.passes.units import unit_cuts
from fastem.sources.array import ArraySource
from fastem.sources.reader import SourceError
from fastem.sources.shuffle import taken
from fastem.sources.source import Chunk, Sample, Source, chunk_rows, joined

# Chunks of an array are views, those of anything else copies.
_CHUNK_BYTES = 8 * 2**20


class SequenceSource:
    """Sequences of positive `lengths` (S,), that follow each other in the rows of a source; no chunk cuts one."""

    def __init__(self, rows: Source, lengths: np.ndarray):
        self.rows = rows
        self.lengths = lengths
        self.n_features = rows.n_features
        self.names, self.labels = rows.names, rows.labels
        self.row_bytes = rows.row_bytes
        self.rows_per_chunk, self.allows_missing = rows.rows_per_chunk, rows.allows_missing

    @property
    def is_weighted(self) -> bool:
        return self.rows.is_weighted

    @property
    def n_rows(self) -> int:
        return int(self.lengths.sum())

    def chunks(self, max_rows: int | None = None) -> Iterator[Chunk]:
        """Whole sequences in chunks of about `max_rows` rows, or of one sequence that is longer."""
        wanted = chunk_rows(self, _CHUNK_BYTES, max_rows)
        edges = _edges(unit_cuts(self.lengths), wanted)
        ends = np.cumsum(self.lengths)
        first = 0
        for chunk in _cut_at(self.rows.chunks(wanted), edges):
            last = int(np.searchsorted(ends, chunk.first_row + len(chunk))) + 1
            lengths = self.lengths[first:last]
            _require_one_weight_each(chunk, lengths)
            yield Chunk(chunk.X, chunk.weight, chunk.first_row, lengths)
            first = last
            del chunk

    def sample(self, n_rows: int, random: np.random.Generator) -> Sample:
        return self.rows.sample(n_rows, random)

    def excerpt(self, n_rows: int, longest: int | None, random: np.random.Generator) -> SequenceSource:
        """Some of the sequences of positive weight, of at most `n_rows` rows together, but at least one; in memory.

        A sequence of more than `longest` rows is cut into pieces, which count as sequences; None cuts none.
        """
        lengths, has_weight = self.lengths, self.has_weight()
        if longest is not None:
            lengths = _pieces(self.lengths, longest)
            has_weight = np.repeat(has_weight, -(-self.lengths // longest))
        order = random.permutation(np.flatnonzero(has_weight))
        n_taken = max(1, int(np.searchsorted(np.cumsum(lengths[order]), n_rows, side="right")))
        chosen = np.sort(order[:n_taken])
        return SequenceSource(taken(self.rows, rows_of_runs(lengths, chosen)), lengths[chosen])

    def has_weight(self) -> np.ndarray:
        if not self.is_weighted:
            return np.ones(self.lengths.size, dtype=bool)
        # Of whole sequences, so that weights which differ within one are found here, at their rows.
        found = []
        for chunk in self.chunks():
            lengths = np.asarray(chunk.lengths)
            found.append(np.asarray(chunk.weight)[np.cumsum(lengths) - lengths] > 0)
            del chunk
        return np.concatenate(found)

    def row_weights(self) -> np.ndarray:
        """The weights (N,) of all rows, read in one pass; ones without any."""
        if not self.is_weighted:
            return np.ones(self.n_rows)
        return np.concatenate([np.asarray(chunk.weight) for chunk in self.rows.chunks()])

    def weighted(self, weight: np.ndarray | None) -> SequenceSource:
        return SequenceSource(self.rows.weighted(weight), self.lengths)

    def parts(self) -> list[Any] | None:
        return None

    def chunks_of(self, part: Any) -> Iterator[Chunk]:
        raise NotImplementedError("Sequences are read in order.")


def rows_of_runs(lengths: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Indices of the rows of some runs, of the lengths of all that follow each other."""
    begins = np.cumsum(lengths) - lengths
    return np.concatenate(
        [np.arange(begin, begin + n) for begin, n in zip(begins[chosen], lengths[chosen], strict=True)]
    )


def _pieces(lengths: np.ndarray, longest: int) -> np.ndarray:
    """Lengths of the pieces of sequences, all of `longest` rows but for the last of each."""
    n_whole, rest = np.divmod(lengths, longest)
    pieces = [np.append(np.full(n, longest), last) for n, last in zip(n_whole, rest, strict=True)]
    return np.concatenate([one[one > 0] for one in pieces]).astype(np.int64)


def _edges(cuts: np.ndarray, wanted: int) -> np.ndarray:
    """Rows at which chunks end: some of the cuts, about `wanted` rows apart."""
    edges, start = [], 0
    while start < cuts[-1]:
        index = int(np.searchsorted(cuts, start + wanted, side="right")) - 1
        if index < 0 or cuts[index] <= start:
            index += 1
        start = int(cuts[index])
        edges.append(start)
    return np.array(edges)


def _cut_at(chunks: Iterator[Chunk], edges: np.ndarray) -> Iterator[Chunk]:
    """The rows of all chunks, cut anew: where none of the old cuts lies between two edges, without a copy."""
    parts: list[Chunk] = []
    n_cut = n_rows = 0
    for chunk in chunks:
        n_rows = chunk.first_row + len(chunk)
        begin = 0
        while begin < len(chunk) and n_cut < len(edges):
            end = min(len(chunk), int(edges[n_cut]) - chunk.first_row)
            parts.append(chunk.pick(slice(begin, end), chunk.first_row + begin))
            begin = end
            if chunk.first_row + end == edges[n_cut]:
                whole, parts, n_cut = joined(parts), [], n_cut + 1
                yield whole
                del whole
        del chunk
    if n_rows != edges[-1]:
        raise SourceError(
            f"The lengths of the sequences sum to {edges[-1]}, but there are {n_rows} rows. Give the length of every "
            "sequence, in the order of the rows."
        )


def _require_one_weight_each(chunk: Chunk, lengths: np.ndarray) -> None:
    if chunk.weight is None:
        return
    starts = np.cumsum(lengths) - lengths
    differs = chunk.weight != np.repeat(chunk.weight[starts], lengths)
    if differs.any():
        raise SourceError(
            f"Rows of one sequence have different weights, at row {chunk.first_row + int(np.argmax(differs))}. A "
            "sequence counts as a whole: give all its rows the same weight."
        )


def lengths_of_files(source: Source) -> np.ndarray:
    """Rows of each file of a source that reads files, after a pass over them where that takes one."""
    if isinstance(source, ArraySource) or not hasattr(source, "reader_rows"):
        raise SourceError("lengths='files' takes each file for a sequence, but the rows do not come from files.")
    return np.array(source.reader_rows(), dtype=np.int64)


def run_lengths(parts: Iterable[tuple[np.ndarray, np.ndarray]], label: str, column: str | int) -> np.ndarray:
    """Lengths (S,) of the runs of equal values in a column, of which a reader's `ids` gave the parts.

    A value that is missing, or that comes back after another one, is a SourceError.
    """
    begins: dict[Any, int] = {}
    n_rows, last = 0, None
    for values, missing in parts:
        if missing.any():
            raise SourceError(
                f"{label}, row {n_rows + int(np.argmax(missing))}, column {column!r}: the name of the sequence is "
                "missing. Drop such rows, or fill in the names."
            )
        changes = np.flatnonzero(values[1:] != values[:-1]) + 1
        if not n_rows or values[0] != last:
            changes = np.concatenate([[0], changes])
        for change in changes.tolist():
            _begin(begins, values[change], n_rows + change, label, column)
        n_rows, last = n_rows + len(values), values[-1]
    return np.diff([*begins.values(), n_rows]).astype(np.int64)


def _begin(begins: dict[Any, int], name: Any, row: int, label: str, column: str | int) -> None:
    key = str(name) if isinstance(name, np.datetime64) else name
    try:
        before = begins.get(key)
    except TypeError:
        raise SourceError(
            f"{label}, column {column!r}: {name!r} names no sequence. Use numbers, texts, dates or categories."
        ) from None
    if before is not None:
        raise SourceError(
            f"{label}, column {column!r}: the sequence {key!s} begins at row {before}, and comes back at row {row} "
            "after another one. The rows of a sequence must follow each other: sort them by this column, with a "
            "sort that keeps the order of equal rows (kind='stable'), or give lengths."
        )
    begins[key] = row
