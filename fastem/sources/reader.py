"""What a source asks of a kind of data: its columns, and its rows piece by piece, as often as asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from fastem.given import SourceError

Span = tuple[int, int]

# Small enough to stay in a processor's last cache between reading and computing, together with the piece that is
# read ahead: twice as fast as pieces that do not.
PIECE_BYTES = 8 * 2**20

__all__ = ["PIECE_BYTES", "Reader", "SourceError", "Span"]


class Reader(Protocol):
    """Rows of one file or object, in order.

    Attributes
    ----------
    label : str
        What messages call it: the path as the user wrote it.
    names : list of str or None
        Of all columns; None where they have none.
    n_columns : int
    n_rows : int or None
        None where it takes a pass to know.

    Where the format tells a missing value from NaN, it is an error, unless an attribute `keeps_missing` is set to true:
    then it is NaN.
    """

    label: str
    names: list[str] | None
    n_columns: int

    @property
    def n_rows(self) -> int | None: ...

    def non_numeric(self, columns: Sequence[int]) -> list[str]:
        """Names of those columns that are known not to hold real numbers or booleans."""
        ...

    def spans(self) -> list[Span] | None:
        """Natural parts [start, stop) that can be read in any order; None when rows come from the start only."""
        ...

    def pieces(self, columns: Sequence[int], max_rows: int, span: Span | None = None) -> Iterator[np.ndarray]:
        """Rows of the span, or all: arrays (n, len(columns)) of at most `max_rows` rows.

        They are of native float32 where all columns are, and of native float64 otherwise. A piece is
        recycled only when nothing refers to it any more.

        Raises
        ------
        SourceError
            For rows that are damaged or gone, and for values that are not numbers.
        OSError
        """
        ...

    def ids(self, column: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """A column as it is, numbers or not: in order, values (n,) and whether each is missing (n,)."""
        ...

    def stamp(self) -> Any:
        """A value that stays equal as long as the data do not change; None when that is not known."""
        ...
