"""How many rows go together: blocks, runs, and units of consecutive rows of sequences, each worked on by one thread.

A unit is a number of whole sequences, or a stretch of one that is long. Where it begins or ends inside a
sequence, what lies beyond is told by a *message* (see `fastem.passes.messages`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Rows of a block. Not a power of two: the lines of a block, one for each feature or component, would
# compete for the same few places in the cache.
BLOCK = 66 * 8
# Blocks of a run whose rows are sorted: the longer the run, the fewer components in a block.
SORTED_RUN = 32
# Chunks of whole runs give the same bits as one large chunk.
ROWS_PER_RUN = SORTED_RUN * BLOCK
# Rows of a unit: whole sequences that begin within so many rows make one unit, and a longer sequence is cut into
# stretches of at most as many. Log-densities and filtered probabilities of a unit are held until its end.
UNIT_ROWS = 8 * BLOCK


class Units(NamedTuple):
    """The units of a chunk, in order.

    Shapes::

        first, stop  (U,)  rows [first, stop) of the unit
        sequence     (U,)  the first sequence of which it holds rows
        ends         (S,)  the row after the last one of each sequence
    """

    first: np.ndarray
    stop: np.ndarray
    sequence: np.ndarray
    ends: np.ndarray

    @property
    def begins_inside(self) -> np.ndarray:
        """Whether each unit begins inside a sequence (U,)."""
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
    starts = ends - lengths
    n_stretches = -(-lengths // UNIT_ROWS)
    is_long = n_stretches > 1
    begins = _begins_unit(starts + first_row, is_long)
    sequence = np.repeat(np.flatnonzero(begins), n_stretches[begins])
    # The how-manieth stretch of its sequence each unit is.
    index = np.arange(sequence.size) - np.searchsorted(sequence, sequence)
    first = starts[sequence] + lengths[sequence] * index // n_stretches[sequence]
    stop = np.append(first[1:], ends[-1:])
    return Units(first, stop, sequence, ends)


def unit_cuts(lengths: np.ndarray) -> np.ndarray:
    """Rows at which units of whole sequences end (U,), in order."""
    ends = np.cumsum(np.asarray(lengths, dtype=np.int64))
    begins = _begins_unit(ends - lengths, lengths > UNIT_ROWS)
    return np.append((ends - lengths)[begins][1:], ends[-1:])


def _begins_unit(starts: np.ndarray, is_long: np.ndarray) -> np.ndarray:
    """Whether a unit begins with each sequence (S,), for the rows at which they begin."""
    group = starts // UNIT_ROWS
    begins = np.ones(starts.size, dtype=bool)
    begins[1:] = (group[1:] != group[:-1]) | is_long[1:] | is_long[:-1]
    return begins
