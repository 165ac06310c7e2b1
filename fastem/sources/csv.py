"""Rows of text files of fields separated by commas or tabs, maybe compressed."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import math
import os
import zlib
from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from typing import IO, Any, NoReturn

import numpy as np

from fastem._extras import require
from fastem.sources.arrow import pieces_of
from fastem.sources.reader import SourceError, Span
from fastem.sources.shared import NoRowsError, column_labels, file_stamp

# What spreadsheets and statistics programs write for a value that is not there.
_MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
_BLOCK_BYTES = 2**20
# Rows with missing values are counted among so many rows behind the first of them.
_COUNTED_ROWS = 10**6


class CsvReader:
    """Rows of a CSV file (`.csv`, `.txt`, or `.tsv` with tabs), maybe compressed (`.gz`, `.bz2`, `.zst`).

    The first row is a header if it is all text, or has text above a number.

    Raises
    ------
    OSError
    SourceError
        When the file is not such a text, or holds no rows.
    """

    n_rows: int | None = None

    def __init__(self, path: str | os.PathLike[str]):
        self.label = os.fspath(path)
        self._delimiter = "\t" if ".tsv" in os.path.basename(self.label).lower() else ","
        rows = self._rows()
        n_skip, first = next(rows, (0, []))
        _, second = next(rows, (0, []))
        rows.close()
        if not first:
            raise NoRowsError(f"{self.label} is empty.")
        has_header = _is_header(first, second)
        if has_header and not second:
            raise NoRowsError(f"{self.label} holds a header but no rows.")
        self.names: list[str] | None = [name.strip() for name in first] if has_header else None
        self.n_columns = len(first)
        # Lines, not rows: a quoted name may hold a line break.
        self._n_skip = n_skip if has_header else 0

    def non_numeric(self, columns: Sequence[int]) -> list[str]:
        return []

    def spans(self) -> None:
        return None

    def stamp(self) -> Any:
        return file_stamp(self.label)

    def pieces(self, columns: Sequence[int], max_rows: int, span: Span | None = None) -> Iterator[np.ndarray]:
        n_rows = 0
        try:
            for piece in self._parsed(columns, max_rows):
                if not np.isfinite(piece).all():
                    raise SourceError(f"{self.label}: a value is missing or infinite.")
                n_rows += piece.shape[0]
                yield piece
                del piece
        except SourceError:
            self._explain(columns, n_rows)
        else:
            return
        # Python reads numbers, such as +1, and line breaks within quotes, that Arrow does not.
        yield from self._read_slowly(columns, max_rows, n_rows)

    def _parsed(self, columns: Sequence[int], max_rows: int) -> Iterator[np.ndarray]:
        pyarrow = require("pyarrow", "io", "reading CSV files")
        arrow_csv = require("pyarrow.csv", "io", "reading CSV files")
        positions = [str(index) for index in range(self.n_columns)]
        chosen = list(dict.fromkeys(str(column) for column in columns))
        places = [chosen.index(str(column)) for column in columns]

        def batches() -> Iterator[Any]:
            with pyarrow.input_stream(self.label, compression=_compression(self.label)) as stream:
                yield from arrow_csv.open_csv(
                    stream,
                    arrow_csv.ReadOptions(block_size=_BLOCK_BYTES, skip_rows=self._n_skip, column_names=positions),
                    arrow_csv.ParseOptions(delimiter=self._delimiter),
                    arrow_csv.ConvertOptions(
                        # Without words for missing values, each of them is an error, which is explained.
                        column_types=dict.fromkeys(chosen, pyarrow.float64()),
                        include_columns=chosen,
                        null_values=[],
                    ),
                )

        labels = column_labels(self.names, columns)
        yield from pieces_of(batches(), places, np.dtype(np.float64), max_rows, labels, self.label)

    def _read_slowly(self, columns: Sequence[int], max_rows: int, n_given: int) -> Iterator[np.ndarray]:
        rows = (row for line, row in self._rows() if line > self._n_skip)
        values = islice(([float(row[column]) for column in columns] for row in rows), n_given, None)
        while piece := list(islice(values, max_rows)):
            yield np.array(piece)

    def _explain(self, columns: Sequence[int], n_given: int) -> None:
        """Raise SourceError for what makes these columns unusable, in rows that were not given yet."""
        text: dict[int, tuple[int, str]] = {}
        missing: tuple[int, int, str] | None = None
        n_missing = n_rows = 0
        rows = ((line, row) for line, row in self._rows() if line > self._n_skip)
        for line, row in islice(rows, n_given, None):
            if len(row) != self.n_columns:
                self._refuse_row(line, row)
            numbers = {column: _number(row[column]) for column in columns}
            text |= {c: (line, row[c]) for c, number in numbers.items() if number is None and c not in text}
            wrong = [c for c, number in numbers.items() if number is not None and not math.isfinite(number)]
            if wrong:
                missing = missing or (line, wrong[0], row[wrong[0]])
                n_missing += 1
            n_rows += bool(missing or text)
            if n_rows == _COUNTED_ROWS:
                break
        if text:
            self._refuse_text(text, [column for column in columns if column not in text])
        if missing:
            line, column, field = missing
            at_least = "At least " if n_rows == _COUNTED_ROWS else ""
            raise SourceError(
                f"{self.label}, line {line}, column {self._name(column)}: the value is missing or infinite "
                f"({field!r}). {at_least}{n_missing} row{' has' if n_missing == 1 else 's have'} such "
                "values: drop them, or fill in the values."
            )

    def _refuse_row(self, line: int, row: list[str]) -> NoReturn:
        raise SourceError(
            f"{self.label}, line {line}: {len(row)} fields where the first line has {self.n_columns}. "
            f"Fields must be separated by {self._separators()}."
        )

    def _refuse_text(self, text: dict[int, tuple[int, str]], numbers: Sequence[int]) -> NoReturn:
        columns = f"column{'s' if len(text) > 1 else ''} {', '.join(map(self._name, text))}"
        line, field = next(iter(text.values()))
        remedy = f"Encode text as numbers, and separate fields by {self._separators()}"
        if numbers:
            choice = ", ".join(map(self._name, numbers))
            remedy = f"Choose columns of numbers by --columns ({choice}), or encode text as numbers"
        raise SourceError(f"{self.label} holds text in {columns} (line {line}: {field!r}). {remedy}.")

    def _separators(self) -> str:
        return "tabs" if self._delimiter == "\t" else "commas"

    def _name(self, column: int) -> str:
        return column_labels(self.names, [column])[0]

    def _rows(self) -> Generator[tuple[int, list[str]], None, None]:
        """Rows that are not blank, each with the number of its last line."""
        damage = (csv.Error, EOFError, zlib.error, gzip.BadGzipFile)
        try:
            with _open_text(self.label) as file:
                reader = csv.reader(file, delimiter=self._delimiter)
                for row in reader:
                    if row:
                        yield reader.line_num, row
        except UnicodeDecodeError as error:
            raise SourceError(f"{self.label} is not text in UTF-8.") from error
        except damage as error:
            raise SourceError(f"{self.label} is not a CSV file, or it is damaged: {error}.") from error
        except OSError as error:
            # The decompressors of bz2 and zstd have no error of their own; errors of files have a number.
            if error.errno is not None:
                raise
            raise SourceError(f"{self.label} is not a CSV file, or it is damaged: {error}.") from error


def _open_text(path: str) -> IO[str]:
    compression = _compression(path)
    if compression == "gzip":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    if compression == "bz2":
        return bz2.open(path, "rt", encoding="utf-8-sig", newline="")
    if compression == "zstd":
        open(path, "rb").close()
        stream = require("pyarrow", "io", "reading compressed CSV files").input_stream(path, compression=compression)
        return io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


def _compression(path: str) -> str | None:
    return {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}.get(os.path.splitext(path)[1].lower())


def _is_header(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether the first row is all text, or has text above a number."""
    text = [_is_text(field) for field in first]
    return all(text) or any(above and not _is_text(field) for above, field in zip(text, second, strict=False))


def _is_text(field: str) -> bool:
    return _number(field) is None


def _number(field: str) -> float | None:
    """The number in a field, NaN for a missing one, None for text."""
    if field.strip().lower() in _MISSING:
        return math.nan
    try:
        return float(field)
    except ValueError:
        return None
