"""Rows without those that have a missing or infinite value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from fastem.sources.reader import Reader, Span


class CompleteReader:
    """Rows of another reader whose values are all finite.

    Attributes
    ----------
    n_dropped : int
        Rows that were left out in the last pass.
    """

    n_rows = None

    def __init__(self, reader: Reader):
        self.label, self.names, self.n_columns = reader.label, reader.names, reader.n_columns
        self.n_dropped = 0
        self._reader = reader

    def non_numeric(self, columns: Sequence[int]) -> list[str]:
        return self._reader.non_numeric(columns)

    def ids(self, column: int) -> NoReturn:
        raise NotImplementedError("Of sequences, those with missing values are left out as a whole.")

    def spans(self) -> None:
        return None

    def stamp(self) -> Any:
        return self._reader.stamp()

    def pieces(self, columns: Sequence[int], max_rows: int, span: Span | None = None) -> Iterator[np.ndarray]:
        self.n_dropped = 0
        for piece in self._reader.pieces(columns, max_rows, span):
            complete = np.isfinite(piece).all(axis=1)
            self.n_dropped += int(np.count_nonzero(~complete))
            if complete.any():
                yield piece if complete.all() else piece[complete]
            del piece
