"""Segments: fixed stretches of rows, each of which is summed from nothing.

A segment is `SEGMENT_ROWS` rows, counted from the first row of the source. Sequences are not cut: a segment then has
those that begin within so many rows, and ends where the last of these does. So segments, and the bits of sums over
them, depend on the number of rows and the lengths of sequences alone, and not on chunks, files or workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np

from fastem.passes.units import ROWS_PER_RUN
from fastem.sources.source import Chunk, joined

# Whole runs, and whole units of sequences.
SEGMENT_ROWS = 64 * ROWS_PER_RUN


class Segment(NamedTuple):
    """The rows of one segment, chunk by chunk; of a stream they are read before the next segment is asked for."""

    number: int
    chunks: Iterable[Chunk]


def segments_of(chunks: Iterable[Chunk], after: tuple[int, int] | None = None) -> Iterator[Segment]:
    """The segments of all rows, in order; at least one, which has no rows where there are none.

    Parameters
    ----------
    chunks : iterable of Chunk
    after : tuple of int, optional
        The first so many rows are left out; the segment of this number comes first, with what is left of it.

    Raises
    ------
    RuntimeError
        When a segment is asked for while the one before it still has rows: they would be lost.
    """
    pieces = _Pieces(iter(chunks) if after is None else _without(chunks, after[0]))
    number = (pieces.number() or 0) if after is None else after[1]
    while True:
        yield Segment(number, pieces.within(number))
        following = pieces.number()
        if following is None:
            return
        if following == number:
            raise RuntimeError(
                f"segment {number} was not read before the next one was asked for: an executor that maps parts of a "
                "stream at another time or place must hold their chunks first"
            )
        number = following


class _Pieces:
    """Chunks, cut where segments end, of which the next one is looked at before it is given."""

    def __init__(self, chunks: Iterator[Chunk]):
        self._pieces = _cut(chunks)
        self._next: list[Chunk] = []

    def number(self) -> int | None:
        """The segment of the next piece; None behind the last."""
        if not self._next:
            self._next.extend(islice(self._pieces, 1))
        return self._next[0].first_row // SEGMENT_ROWS if self._next else None

    def within(self, number: int) -> Iterator[Chunk]:
        """The next pieces, as long as they belong to a segment."""
        while self.number() == number:
            yield self._next.pop()


def _cut(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    for chunk in chunks:
        cuts = _cuts(chunk)
        if len(cuts) == 0:
            yield chunk
        else:
            yield from _pieces_of(chunk, cuts)
        del chunk


def _cuts(chunk: Chunk) -> np.ndarray | range:
    """Rows at which segments begin within a chunk, beyond its first row."""
    first = chunk.first_row
    if chunk.lengths is None:
        return range((first // SEGMENT_ROWS + 1) * SEGMENT_ROWS, first + len(chunk), SEGMENT_ROWS)
    starts = _starts(chunk)
    return starts[np.flatnonzero(np.diff(starts // SEGMENT_ROWS)) + 1]


def _starts(chunk: Chunk) -> np.ndarray:
    """The first rows of the sequences of a chunk."""
    lengths = np.asarray(chunk.lengths)
    return chunk.first_row + np.cumsum(lengths) - lengths


def _pieces_of(chunk: Chunk, cuts: np.ndarray | range) -> Iterator[Chunk]:
    first = chunk.first_row
    for start, stop in pairwise((first, *map(int, cuts), first + len(chunk))):
        piece = chunk.pick(slice(start - first, stop - first), start)
        if chunk.lengths is not None:
            starts = _starts(chunk)
            piece = replace(piece, lengths=chunk.lengths[(starts >= start) & (starts < stop)])
        yield piece


def _without(chunks: Iterable[Chunk], n_rows: int) -> Iterator[Chunk]:
    """The chunks without the first `n_rows` rows."""
    for chunk in chunks:
        n = min(max(0, n_rows - chunk.first_row), len(chunk))
        if n == 0:
            yield chunk
        elif n < len(chunk):
            yield chunk.after(n)
        del chunk


def in_pieces(chunks: Iterable[Chunk], n_rows: int) -> Iterator[Chunk]:
    """Independent rows, in pieces of `n_rows` each but for the last: sums over these do not show how rows were cut."""
    held: list[Chunk] = []
    n_held = 0
    for chunk in chunks:
        start = 0
        while start < len(chunk):
            stop = min(len(chunk), start + n_rows - n_held)
            held.append(chunk.pick(slice(start, stop), chunk.first_row + start))
            n_held, start = n_held + stop - start, stop
            if n_held == n_rows:
                yield joined(held)
                held, n_held = [], 0
        if held:
            # A few rows must not keep the memory of their chunk.
            held[-1] = _copy_of(held[-1])
        del chunk
    if held:
        yield joined(held)


def _copy_of(chunk: Chunk) -> Chunk:
    return replace(chunk, X=chunk.X.copy(), weight=None if chunk.weight is None else chunk.weight.copy())
