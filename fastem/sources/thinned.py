"""Some rows of a source, spread evenly over it, that depend on nothing but the rows and their order."""

from __future__ import annotations

import numpy as np

from fastem.sources.source import Chunk

# At most so many rows, and no more numbers than these: but of very many columns a few rows for each.
_MOST_ROWS, _MOST_NUMBERS, _ROWS_PER_COLUMN, _LIMIT = 2**14, 2**21, 2, 2**24

# Rows that are looked at together.
_PIECE_ROWS = 2**16


class Thinned:
    """Gathers one row of each stretch of rows, chunk by chunk, and apart the rows of extreme values of each column.

    Stretches have the length one as long as all rows fit, then two, four, and so on: when two become one, either of
    their rows stays, as bits of a hash of the place decide, so that no rhythm of the rows is met. However the rows are
    cut into chunks, the same ones are kept. Rows of weight zero are not counted.
    """

    def __init__(self, n_features: int):
        least = min(_ROWS_PER_COLUMN * n_features, _LIMIT // n_features)
        self._most = max(1, min(_MOST_ROWS, max(_MOST_NUMBERS // n_features, least)))
        self._level = 0
        self._n_rows = 0
        self._rows: list[np.ndarray] = []
        self._weight: list[np.ndarray] = []
        self._places: list[np.ndarray] = []
        # Least values of the columns, and of their negatives; the rows and weights that have them.
        self._least = np.full((2, n_features), np.inf)
        self._extremes: dict[tuple[int, int], tuple[np.ndarray, float]] = {}

    @property
    def is_whole(self) -> bool:
        """Whether no row was left out."""
        return self._level == 0

    def add(self, chunk: Chunk) -> None:
        """Keep some rows of the next chunk."""
        # Piece by piece: a chunk may be all rows.
        for start in range(0, len(chunk), _PIECE_ROWS):
            piece = slice(start, start + _PIECE_ROWS)
            self._add(chunk.X[piece], None if chunk.weight is None else chunk.weight[piece])

    def _add(self, X: np.ndarray, weight: np.ndarray | None) -> None:
        counted = None if weight is None else np.flatnonzero(weight > 0.0)
        n_rows = len(X) if counted is None else counted.size
        first, self._n_rows = self._n_rows, self._n_rows + n_rows
        while self._n_rows >> self._level > self._most:
            self._level += 1
        places = _chosen(first, self._n_rows, self._level)
        rows = places - first if counted is None else counted[places - first]
        self._rows.append(np.asarray(X[rows], dtype=np.float64))
        self._weight.append(np.ones(rows.size) if weight is None else weight[rows])
        self._places.append(places)
        if counted is not None:
            X, weight = X[counted], weight[counted]  # type: ignore[index]
        self._look_for_extremes(X, weight)
        if sum(map(len, self._places)) > 2 * self._most:
            self._thin()

    def _look_for_extremes(self, X: np.ndarray, weight: np.ndarray | None) -> None:
        if len(X) == 0:
            return
        # Those of values that are there: a missing one is no extreme.
        least, most = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
        for side, found in enumerate((least, -most.astype(np.float64))):
            for column in np.flatnonzero(found < self._least[side]).tolist():
                self._least[side, column] = found[column]
                row = int(np.argmax(X[:, column] == (most if side else least)[column]))
                own = 1.0 if weight is None else float(weight[row])
                self._extremes[side, column] = np.array(X[row], dtype=np.float64), own

    def extremes(self) -> tuple[np.ndarray, np.ndarray]:
        """The extreme rows (S, D) in float64, each once, and their weights (S,)."""
        found = {row.tobytes(): (row, weight) for row, weight in self._extremes.values()}
        rows = [row for row, _ in found.values()]
        return np.array(rows).reshape(len(rows), self._least.shape[1]), np.array(
            [weight for _, weight in found.values()]
        )

    def _thin(self) -> None:
        """Leave out the rows that are not chosen any more."""
        places = np.concatenate(self._places) if self._places else np.empty(0, dtype=np.int64)
        stays = _is_chosen(places, self._level)
        self._rows = [np.concatenate(self._rows)[stays]]
        self._weight, self._places = [np.concatenate(self._weight)[stays]], [places[stays]]

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows (M, D) in float64, and their weights (M,)."""
        self._thin()
        return self._rows[0], self._weight[0]


def _chosen(first: int, stop: int, level: int) -> np.ndarray:
    """The places from `first` up to `stop` that are chosen when stretches have the length 2 ** level."""
    stretches = np.arange(first >> level, ((stop - 1) >> level) + 1 if stop > first else first >> level)
    places = stretches
    for height in range(level, 0, -1):
        places = 2 * places + _bit(places, height)
    return places[(places >= first) & (places < stop)]


def _is_chosen(places: np.ndarray, level: int) -> np.ndarray:
    stays = np.ones(places.size, dtype=bool)
    for height in range(1, level + 1):
        stretch = places >> height
        stays &= (places >> (height - 1)) & 1 == _bit(stretch, height)
    return stays


def _bit(stretches: np.ndarray, height: int) -> np.ndarray:
    """Zero or one for each stretch of the length 2 ** height, by a hash (Steele, Lea & Flood 2014, SplitMix64)."""
    with np.errstate(over="ignore"):
        value = stretches.astype(np.uint64) * np.uint64(64) + np.uint64(height)
        value = (value + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((value ^ (value >> np.uint64(31))) & np.uint64(1)).astype(np.int64)
