"""What a source asks of a kind of data: its columns, and its rows piece by piece, as often as asked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastem.given import SourceError

Span = tuple[int, int]

# Small enough to stay in a processor's last cache between reading and computing, together with the piece that is
# read ahead: twice as fast as pieces that do not.
PIECE_BYTES = 8 * 2**20
# Rows of a column of names that are read at once.
IDS_AT_A_TIME = 2**16

__all__ = ["IDS_AT_A_TIME", "PIECE_BYTES", "FileReader", "NoRowsError", "Reader", "SourceError", "Span"]


class NoRowsError(SourceError):
    """Data without rows."""

    @classmethod
    def of_shape(cls, label: str, shape: tuple[int, ...]) -> NoRowsError:
        return cls(f"{label} holds no rows: its shape is {tuple(shape)}.")


class Reader:
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
    piece_bytes : int
        Size of the pieces that are read fastest.
    """

    label: str
    names: list[str] | None = None
    n_columns: int
    n_rows: int | None = None
    piece_bytes = PIECE_BYTES

    def non_numeric(self, columns: Sequence[int]) -> list[str]:
        """Names of those columns that are known not to hold real numbers or booleans."""
        return []

    def require_numeric(self, columns: Sequence[int]) -> None:
        """Raise SourceError for columns that are known not to hold numbers."""
        wrong = self.non_numeric(columns)
        if wrong:
            raise SourceError(
                f"{self.label}: columns {wrong} do not hold numbers. Select the numeric columns, or encode these as "
                "numbers."
            )

    def spans(self) -> list[Span] | None:
        """Natural parts [start, stop) that can be read in any order; None when rows come from the start only."""
        return None

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
        raise NotImplementedError

    def ids(self, column: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """A column as it is, numbers or not: in order, values (n,) and whether each is missing (n,)."""
        raise NotImplementedError

    def stamp(self) -> Any:
        """A value that stays equal as long as the data do not change; None when that is not known."""
        return None


class FileReader(Reader):
    """Rows of a file, which is opened anew by each pass. A path may have a `label`, as that of a stream has.

    Raises
    ------
    OSError
        By Python's own words, for a file that cannot be opened.
    NoRowsError
        For an empty one.
    """

    def __init__(self, path: str | os.PathLike[str]):
        # The file of a stream stays as long as its path.
        self._given = path
        self.path = os.fspath(path)
        self.label = getattr(path, "label", self.path)
        if not os.path.isdir(self.path):
            with open(self.path, "rb") as file:
                if not file.read(1):
                    raise NoRowsError(f"{self.label} is empty.")

    def stamp(self) -> Any:
        return file_stamp(self.path)


def file_stamp(path: str) -> tuple[int, int, int]:
    """What tells that a file was written again."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ino
