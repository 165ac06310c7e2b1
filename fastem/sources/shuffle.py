"""Rows in a random order, from data of which only a part is in memory at any time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastem.sources.array import ArraySource, gathered
from fastem.sources.shared import read_ahead
from fastem.sources.source import Chunk, Source, joined

# Rows are mixed within so many bytes of them; at least some parts.
_WINDOW_BYTES = 32 * 2**20
_WINDOW_PARTS = 8

# Rows of a chunk that are enough to know its mean by.
_LOOKED_AT = 1000
# Windows whose means vary by more than this part of the variance of a feature come sorted. The second number is how
# often the variation must be that of windows of shuffled rows, where the 10 000th part of it is chance.
_SORTED_PART, _SORTED_TIMES = 0.01, 30.0


def shuffled(
    source: Source, batch_rows: int, random: np.random.Generator, without: np.ndarray | None = None
) -> Iterator[Chunk]:
    """Batches of rows in a random order on two levels: the parts of the source, and the rows of several parts.

    A source that can be read from its start only is not shuffled beyond the rows that are held at a time. The last
    batch may have fewer rows, and rows of the sorted indices `without` (M,) are left out. The order depends on the
    generator alone. `first_row` of a batch counts the rows that came before it.
    """
    return read_ahead(_batches(_windows(source, random, without), batch_rows, random))


def taken(source: Source, rows: np.ndarray) -> ArraySource:
    """The rows of these sorted indices, in memory."""
    return gathered([chunk.pick(chunk.places_of(rows), 0) for chunk in source.chunks()], source.names)


class RowOrder:
    """Whether rows that can be read from the start only come in an order that shuffling by windows leaves.

    An analysis of variance: how much of the variance of a feature lies between windows.
    """

    def __init__(self) -> None:
        self._n_bytes = 0
        self._window: list[np.ndarray] = []
        # Rows, means and sums of squares about these, of each window.
        self._windows: list[tuple[int, np.ndarray, np.ndarray]] = []

    def add(self, chunk: Chunk) -> None:
        """Take note of the next rows."""
        self._window.append(chunk.X[:: max(1, len(chunk) // _LOOKED_AT)].astype(np.float64))
        self._n_bytes += chunk.X.nbytes
        if _is_window(len(self._window), self._n_bytes):
            self._end_window()

    def is_sorted(self) -> bool:
        """Whether windows differ far more than chance explains."""
        if self._window:
            self._end_window()
        if len(self._windows) < 2:
            return False
        n, mean, squares = (np.array(values) for values in zip(*self._windows, strict=True))
        n_rows, n_windows = int(n.sum()), len(n)
        between = n @ np.square(mean - n @ mean / n_rows)
        within = squares.sum(axis=0)
        by_chance = within / max(1, n_rows - n_windows) * (n_windows - 1)
        differ = (between - by_chance > _SORTED_PART * (between + within)) & (between > _SORTED_TIMES * by_chance)
        return bool(differ.any())

    def _end_window(self) -> None:
        rows = np.concatenate(self._window)
        mean = rows.mean(axis=0)
        self._windows.append((len(rows), mean, np.square(rows - mean).sum(axis=0)))
        self._window, self._n_bytes = [], 0


def _is_window(n_parts: int, n_bytes: int) -> bool:
    return n_bytes >= _WINDOW_BYTES and n_parts >= _WINDOW_PARTS


def _windows(source: Source, random: np.random.Generator, without: np.ndarray | None) -> Iterator[list[Chunk]]:
    """Chunks, several at a time, in a random order where the source can be read in any."""
    parts = source.parts()
    if parts is None:
        chunks = source.chunks()
    else:
        order = random.permutation(len(parts))
        chunks = (chunk for index in order for chunk in source.chunks_of(parts[index]))
    window: list[Chunk] = []
    n_bytes = 0
    for chunk in chunks:
        gone = () if without is None else chunk.places_of(without)
        kept = chunk.pick(np.delete(np.arange(len(chunk)), gone), chunk.first_row) if len(gone) else chunk
        window.append(kept)
        n_bytes += kept.X.nbytes
        if _is_window(len(window), n_bytes):
            yield window
            window, n_bytes = [], 0
    if window:
        yield window


def _batches(windows: Iterator[list[Chunk]], batch_rows: int, random: np.random.Generator) -> Iterator[Chunk]:
    n_given = 0
    rest: Chunk | None = None
    for window in windows:
        pool = joined(window if rest is None else [rest, *window])
        order = random.permutation(len(pool))
        whole = len(pool) // batch_rows * batch_rows
        for start in range(0, whole, batch_rows):
            yield pool.pick(order[start : start + batch_rows], n_given)
            n_given += batch_rows
        rest = pool.pick(order[whole:], n_given)
    if rest is not None and len(rest):
        yield rest
