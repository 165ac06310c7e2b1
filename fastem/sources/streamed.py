"""Rows that are read piece by piece, again at every pass: files, tables, and objects that can be iterated again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Literal, NamedTuple

import numpy as np

from fastem.sources.array import ArraySource, gathered
from fastem.sources.reader import Reader, SourceError, Span
from fastem.sources.shared import column_labels, read_ahead
from fastem.sources.source import Chunk, chunk_rows, draw_rows


class Part(NamedTuple):
    """A span of rows of one reader, whose first row has the index `first_row` within the source."""

    reader: int
    span: Span
    first_row: int


class StreamedSource:
    """Rows of several readers of the same columns, one after the other.

    Parameters
    ----------
    readers : sequence of Reader
    columns : sequence of str or int, optional
        The features, by name or position; by default all columns but that of the weights.
    weight : (N,) float64 ndarray or str, optional
        Row weights, or the name of their column.

    Attributes
    ----------
    is_chosen : bool
        Whether `columns` were given.
    n_dropped : int
        Rows that the last pass left out (see `readable`).
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        columns: Sequence[str | int] | None = None,
        weight: np.ndarray | str | None = None,
    ):
        self._readers = list(readers)
        self.is_chosen = columns is not None
        self.weight = None if isinstance(weight, str) else weight
        self.weight_column = weight if isinstance(weight, str) else None
        in_order = self._names_in_first_order
        self._columns = [
            _positions(reader, in_order(reader) if columns is None else columns, self.weight_column)
            for reader in self._readers
        ]
        self.n_features = len(self._columns[0]) - (self.weight_column is not None)
        names, features = self._readers[0].names, self._columns[0][: self.n_features]
        self.names = None if names is None else [names[index] for index in features]
        self.labels = column_labels(names, features)
        self._require_same_columns()
        self._stamps = [reader.stamp() for reader in self._readers]
        self._counts = [reader.n_rows for reader in self._readers]
        # A piece may come as float64 whatever the columns are.
        self.row_bytes = 8 * len(self._columns[0])
        self.rows_per_chunk: int | None = None
        self.allows_missing = True
        self._piece_bytes = min(reader.piece_bytes for reader in self._readers)
        self._n_positive: int | None = None
        self._is_readable: Callable[[np.ndarray], np.ndarray] | None = None
        self.n_dropped = 0

    @property
    def n_rows(self) -> int | None:
        known = [count for count in self._counts if count is not None]
        return sum(known) if len(known) == len(self._counts) else None

    @property
    def is_weighted(self) -> bool:
        return self.weight is not None or self.weight_column is not None

    def chunks(self, max_rows: int | None = None) -> Iterator[Chunk]:
        """All rows in order, cut into chunks of equal size; the next one is read while one is used."""
        rows = chunk_rows(self, self._piece_bytes, max_rows)
        return read_ahead(self._chunks(rows))

    def reader_rows(self) -> list[int]:
        """Number of rows of each reader, after a pass over them where that takes one."""
        if self.n_rows is None:
            for _ in self.chunks():
                pass
        return [count or 0 for count in self._counts]

    def select(self, features: Sequence[int]) -> StreamedSource:
        """The same rows with some of the features, by their positions among these."""
        selected = copy(self)
        weight = slice(self.n_features, None)
        selected._columns = [[columns[j] for j in features] + columns[weight] for columns in self._columns]
        selected.n_features = len(features)
        selected.names = None if self.names is None else [self.names[j] for j in features]
        selected.labels = [self.labels[j] for j in features]
        selected.row_bytes = 8 * len(selected._columns[0])
        return selected

    def readable(self, is_readable: Callable[[np.ndarray], np.ndarray]) -> StreamedSource:
        """The rows (N, D) for which a function says so, (N,), from the start only."""
        readable = copy(self)
        readable._is_readable = is_readable
        readable._counts = [None] * len(self._readers)
        readable._n_positive = None
        return readable

    def weighted(self, weight: np.ndarray | None) -> StreamedSource:
        weighted = copy(self)
        weighted.weight, weighted._n_positive = weight, None
        return weighted

    def sample(self, n_rows: int, random: np.random.Generator) -> ArraySource:
        """At most `n_rows` rows of positive weight, in memory: those that an array of the same rows would give."""
        if self._n_positive is None:
            for _ in self.chunks():
                pass
        wanted = draw_rows(n_rows, self._n_positive or 0, None, random)
        picked: list[Chunk] = []
        n_seen = 0
        for chunk in self.chunks():
            rows = np.arange(len(chunk)) if chunk.weight is None else np.flatnonzero(chunk.weight)
            first, last = np.searchsorted(wanted, (n_seen, n_seen + rows.size))
            picked.append(chunk.pick(rows[wanted[first:last] - n_seen], 0))
            n_seen += rows.size
            if wanted.size and n_seen > wanted[-1]:
                break
        return gathered(picked, self.names)

    def parts(self) -> list[Part] | None:
        """The natural parts of the readers; None when one of them is read from its start only."""
        if self._is_readable is not None:
            return None
        parts: list[Part] = []
        offset = 0
        for index, reader in enumerate(self._readers):
            spans, n_rows = reader.spans(), reader.n_rows
            if spans is None or n_rows is None:
                return None
            parts.extend(Part(index, span, offset + span[0]) for span in spans)
            offset += n_rows
        return parts

    def chunks_of(self, part: Part) -> Iterator[Chunk]:
        self._require_unchanged(part.reader)
        reader, columns = self._readers[part.reader], self._columns[part.reader]
        first_row = part.first_row
        for piece in reader.pieces(columns, chunk_rows(self, self._piece_bytes, None), part.span):
            self._require_weights(reader, piece, part.span[0] + first_row - part.first_row)
            yield self._chunk(piece, first_row)
            first_row += piece.shape[0]

    def _chunks(self, n_rows: int) -> Iterator[Chunk]:
        first_row = n_positive = 0
        for table in _cut(self._pieces(n_rows), n_rows):
            chunk = self._chunk(table, first_row)
            n_positive += len(chunk) if chunk.weight is None else int(np.count_nonzero(chunk.weight))
            first_row += len(chunk)
            del table
            yield chunk
            del chunk
        self._n_positive = n_positive

    def _pieces(self, max_rows: int) -> Iterator[np.ndarray]:
        self.n_dropped = 0
        for index, reader in enumerate(self._readers):
            self._require_unchanged(index)
            n_rows = n_read = 0
            for piece in reader.pieces(self._columns[index], max_rows):
                self._require_weights(reader, piece, n_read)
                n_read += piece.shape[0]
                if self._is_readable is not None:
                    readable = self._is_readable(piece[:, : self.n_features])
                    self.n_dropped += int(np.count_nonzero(~readable))
                    piece = piece if readable.all() else piece[readable]
                n_rows += piece.shape[0]
                yield piece
                del piece
            self._require_unchanged(index)
            before, self._counts[index] = self._counts[index], n_rows
            if before not in (None, n_rows):
                self._counts[index] = before
                raise SourceError(
                    f"{reader.label} had rows 0 to {(before or 0) - 1} in an earlier pass, and now gives rows 0 to "
                    f"{n_rows - 1}. It must give the same rows at every pass."
                )

    def _require_unchanged(self, index: int) -> None:
        reader = self._readers[index]
        if reader.stamp() != self._stamps[index]:
            count = self._counts[index]
            last = "the last" if count is None else str(count - 1)
            raise SourceError(
                f"{reader.label} has changed since it was opened, so rows 0 to {last} may be others than before. "
                "Fit again, and let nothing write to it meanwhile."
            )

    def _chunk(self, table: np.ndarray, first_row: int) -> Chunk:
        if self.weight_column is None:
            weight = None if self.weight is None else self.weight[first_row : first_row + table.shape[0]]
            return Chunk(table, weight, first_row)
        weight = np.ascontiguousarray(table[:, -1], dtype=np.float64)
        return Chunk(table[:, :-1], weight, first_row)

    def _require_weights(self, reader: Reader, piece: np.ndarray, first_row: int) -> None:
        """Raise SourceError for weights of rows of a reader that cannot be; `first_row` is that of the reader."""
        if self.weight_column is None:
            return
        weight = piece[:, -1]
        improper = ~(np.isfinite(weight) & (weight >= 0))
        if improper.any():
            row = int(np.argmax(improper))
            value = "missing" if np.isnan(weight[row]) else f"{weight[row]}"
            raise SourceError(
                f"{reader.label}, row {first_row + row}: the weight in column {self.weight_column!r} is {value}. "
                "Weights must be finite and not negative."
            )

    def _names_in_first_order(self, reader: Reader) -> list[str] | None:
        """The features in the order of the first reader, where this one has the same columns in another order."""
        names, wanted = reader.names, self._readers[0].names
        if names is None or wanted is None or names == wanted or sorted(names) != sorted(wanted):
            return None
        return [name for name in wanted if name != self.weight_column]

    def _require_same_columns(self) -> None:
        first = self._readers[0]
        for reader, columns in zip(self._readers, self._columns, strict=True):
            if len(columns) != len(self._columns[0]):
                raise SourceError(
                    f"{reader.label} has {len(columns)} columns, but {first.label} has {len(self._columns[0])}. "
                    "Choose columns that all of them have."
                )
            names = None if reader.names is None else [reader.names[index] for index in columns[: self.n_features]]
            if names != self.names:
                raise SourceError(
                    f"The columns of {reader.label} are {names}, but those of {first.label} are {self.names}. "
                    "Choose columns that all of them have, in one order."
                )


def _positions(reader: Reader, columns: Sequence[str | int] | None, weight_column: str | None) -> list[int]:
    """Positions of the features, and of the weights behind them."""
    weight = [] if weight_column is None else [column_position(reader, weight_column)]
    if columns is None:
        features = [index for index in range(reader.n_columns) if index not in weight]
    else:
        features = [column_position(reader, column) for column in columns]
    if not features:
        raise SourceError(f"{reader.label} has no column left to read.")
    reader.require_numeric(features + weight)
    return features + weight


def column_position(reader: Reader, column: str | int) -> int:
    """Where a column is: by its name, or else by its position; SourceError for none, or several of that name."""
    names = reader.names or []
    if isinstance(column, str):
        if names.count(column) > 1:
            where = [index for index, name in enumerate(names) if name == column]
            raise SourceError(f"{reader.label} has several columns {column!r}: choose one by its position, {where}.")
        if column in names:
            return names.index(column)
    if str(column).isdecimal() and int(column) < reader.n_columns:
        return int(column)
    positions = f"0 to {reader.n_columns - 1}" if reader.n_columns > 1 else "0"
    there = f"Its columns: {', '.join(names)}; or {positions}" if names else f"Its columns: {positions}"
    raise SourceError(f"{reader.label} has no column {column!r}. {there}.")


def _cut(pieces: Iterator[np.ndarray], n_rows: int) -> Iterator[np.ndarray]:
    """The same rows in tables of `n_rows` rows, the last one maybe shorter; a piece of that size passes as it is."""
    table: np.ndarray | None = None
    n_filled = 0
    for piece in pieces:
        start = 0
        while start < piece.shape[0]:
            if table is None and piece.shape[0] - start >= n_rows:
                yield piece[start : start + n_rows]
                start += n_rows
                continue
            if table is None:
                order: Literal["C", "F"] = "C" if piece.flags.c_contiguous else "F"
                table, n_filled = np.empty((n_rows, piece.shape[1]), piece.dtype, order), 0
            elif table.dtype != piece.dtype:
                table = table.astype(np.float64)
            n = min(n_rows - n_filled, piece.shape[0] - start)
            table[n_filled : n_filled + n] = piece[start : start + n]
            start, n_filled = start + n, n_filled + n
            if n_filled == n_rows:
                full, table = table, None
                yield full
                del full
        del piece
    if table is not None:
        yield table[:n_filled]
