"""How many rows go together: blocks, runs, and units of consecutive rows of sequences, each worked on by one thread.

The rows of a unit lie in up to eight *tracks*, which a chain goes through side by side: step by step, a row of each. A
track is a number of whole sequences, or a stretch of one that is long. Where it begins or ends inside a sequence, what
lies beyond is told by a *message* (see `fastem.passes.messages`).
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

# Rows of a block. Not a power of two: the lines of a block, one for each feature or component, would
# compete for the same few places in the cache.
BLOCK = 66 * 8
# Blocks of a run whose rows are sorted: the longer the run, the fewer components in a block.
SORTED_RUN = 32
# Chunks of whole runs give the same bits as one large chunk.
ROWS_PER_RUN = SORTED_RUN * BLOCK
# Tracks of a unit: numbers in a line of the cache, and in the widest vectors.
TRACKS = 8
# A sequence of more rows is cut into tracks.
TRACK_ROWS = 8 * BLOCK
# Rows of a track that sequences share, and of one of a sequence that is cut. Densities and filtered probabilities of a
# unit are held until its end.
_SHARED_ROWS = 4 * BLOCK
# A unit ends before a sequence that begins in the next so many rows of all data: where a segment may.
PERIOD = 512 * _SHARED_ROWS


class Units(NamedTuple):
    """The units of a chunk and their tracks, in order.

    Shapes::

        first_track  (U + 1,)  the first track of each unit; at last their number
        first, stop  (T,)      rows [first, stop) of the track
        sequence     (T,)      the first sequence of which it holds rows
        ends         (S,)      the row after the last one of each sequence
    """

    first_track: np.ndarray
    first: np.ndarray
    stop: np.ndarray
    sequence: np.ndarray
    ends: np.ndarray

    @property
    def n_units(self) -> int:
        return self.first_track.size - 1

    @property
    def begins_inside(self) -> np.ndarray:
        """Whether each track begins inside a sequence (T,)."""
        starts = self.ends - np.diff(self.ends, prepend=0)
        return self.first > starts[self.sequence]


def units_of(lengths: np.ndarray, first_row: int = 0) -> Units:
    """Cut the rows of sequences of the given lengths into units.

    `first_row` is the index, within all data, of the first row. Chunks that end where `unit_cuts` says have the
    units that one large chunk has.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    if lengths.ndim != 1 or (lengths.size and lengths.min() < 0):
        raise ValueError("The lengths of sequences must be a list of numbers, and none of them negative.")
    ends = np.cumsum(lengths)
    # Sequences without rows lie in no track.
    numbers = np.flatnonzero(lengths)
    lengths = lengths[numbers]
    starts = ends[numbers] - lengths
    is_long = lengths > TRACK_ROWS
    period = (starts + first_row) // PERIOD
    is_fence = np.ones(lengths.size, dtype=bool)
    is_fence[1:] = is_long[1:] | is_long[:-1] | (period[1:] != period[:-1])
    fences = np.flatnonzero(is_fence).tolist()
    first, sequence, n_tracks = [], [], []
    rows_before = memoryview(np.append(starts, ends[-1:]).data)
    for begin, end in zip(fences, [*fences[1:], lengths.size], strict=False):
        if is_long[begin]:
            start, n_rows = rows_before[begin], int(lengths[begin])
            cuts = _stretches(start, n_rows)
            first += cuts
            sequence += [begin] * len(cuts)
            n_tracks += [TRACKS] * (len(cuts) // TRACKS)
            continue
        while begin < end:
            tracks, begin = _whole_sequences(rows_before, begin, end)
            first += [rows_before[i] for i in tracks]
            sequence += tracks
            n_tracks.append(len(tracks))
    begins = np.array(first, dtype=np.int64)
    first_track = np.cumsum([0, *n_tracks])
    stops = np.append(begins[1:], ends[-1:])[: begins.size]
    return Units(first_track, begins, stops, numbers[np.array(sequence, dtype=np.int64)], ends)


def _stretches(start: int, n_rows: int) -> list[int]:
    """First rows of the tracks of a long sequence, which are equally long and make up whole units."""
    n = TRACKS * -(-n_rows // (TRACKS * _SHARED_ROWS))
    return [start + n_rows * i // n for i in range(n)]


def _whole_sequences(rows_before: Any, begin: int, end: int) -> tuple[list[int], int]:
    """The first sequence of each track of a unit that begins with a sequence, and the one behind it; before `end`."""
    tracks, behind = _filled(rows_before, begin, end, _SHARED_ROWS)
    longest = max(rows_before[b] - rows_before[a] for a, b in pairwise([*tracks, behind]))
    if longest > _SHARED_ROWS:
        # The other tracks may be as long as the one of a sequence that is longer.
        tracks, behind = _filled(rows_before, begin, end, longest)
    if behind < end or len(tracks) == TRACKS:
        return tracks, behind
    # Few rows: shorter tracks, as many as there may be.
    n_rows = -(-(rows_before[end] - rows_before[begin]) // TRACKS)
    while True:
        tracks, behind = _filled(rows_before, begin, end, n_rows)
        if behind == end:
            return tracks, end
        n_rows += 1 + n_rows // 8


def _filled(rows_before: Any, begin: int, end: int, n_rows: int) -> tuple[list[int], int]:
    """Tracks of at most so many rows, or of one sequence, as many as a unit has."""
    tracks: list[int] = []
    while begin < end and len(tracks) < TRACKS:
        tracks.append(begin)
        begin = max(begin + 1, bisect_right(rows_before, rows_before[begin] + n_rows, begin, end + 1) - 1)
    return tracks, begin


def unit_cuts(lengths: np.ndarray) -> np.ndarray:
    """Rows at which units end, and a sequence with them (C,), in order."""
    units = units_of(lengths)
    stops = units.stop[units.first_track[1:] - 1]
    return stops[np.isin(stops, units.ends)]
