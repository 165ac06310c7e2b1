"""Rows of text files of fields, maybe compressed."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NoReturn

import numpy as np

from fastem._extras import require
from fastem.given import EXACT, is_beyond, require_exact_integer
from fastem.sources.arrow import pieces_of
from fastem.sources.csv_format import CsvFormat, Numbers, has_comma_for_point
from fastem.sources.csv_layout import DELIMITERS, Row, filters_of, layout_of, parsed
from fastem.sources.csv_text import TextFile
from fastem.sources.ids import IDS_AT_A_TIME
from fastem.sources.reader import SourceError, Span
from fastem.sources.shared import column_labels, file_stamp

_BLOCK_BYTES = 2**20
# Rows with missing values are counted among so many rows behind the first of them.
_COUNTED_ROWS = 10**6


class CsvReader:
    """Rows of a CSV file, maybe compressed.

    Parameters
    ----------
    path : path
    form : CsvFormat, optional
        How it is written. What that leaves open is recognised by the first lines.

    Raises
    ------
    OSError
    SourceError
        When the file is not such a text, may be read in several ways, or holds no rows.
    """

    n_rows: int | None = None
    keeps_missing = False

    def __init__(self, path: str | os.PathLike[str], form: CsvFormat | None = None):
        self.label = os.fspath(path)
        form = form or CsvFormat()
        self._quote, self._comment = form.quote, form.comment
        self._file = TextFile(self.label, form.encoding)
        usual = "\t" if ".tsv" in os.path.basename(self.label).lower() else None
        layout = layout_of(self._file, form, usual)
        self._file.filtered(*filters_of(form, layout.delimiter))
        self._delimiter, self._numbers = layout.delimiter, layout.numbers
        self.names: list[str] | None = layout.names
        self.n_columns, self._n_fields = layout.n_columns, layout.n_fields
        # Lines, not rows: a quoted name may hold a line break.
        self._n_skip = layout.n_skip
        self._block_bytes = max(_BLOCK_BYTES, 8 * layout.line_bytes)
        # Arrow knows no groups of digits.
        self._needs_python = layout.numbers.thousands is not None

    def non_numeric(self, columns: Sequence[int]) -> list[str]:
        return []

    def spans(self) -> None:
        return None

    def ids(self, column: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rows = self._rows()
        while part := list(islice(rows, IDS_AT_A_TIME)):
            for line, row in part:
                if not self._is_whole(row):
                    self._refuse_row(line, row)
            fields = [row[column].strip() for _, row in part]
            values = (self._numbers.value(field) for field in fields)
            yield (
                np.array(fields, dtype=object),
                np.array([value is not None and math.isnan(value) for value in values]),
            )

    def stamp(self) -> Any:
        return file_stamp(self.label)

    def pieces(self, columns: Sequence[int], max_rows: int, span: Span | None = None) -> Iterator[np.ndarray]:
        n_rows = 0
        if not self._needs_python:
            try:
                for piece in self._parsed(columns, max_rows):
                    if not np.isfinite(piece).all() or self._has_codes(piece):
                        raise SourceError(f"{self.label}: a value is missing or infinite.")
                    if is_beyond(piece):
                        raise SourceError(f"{self.label}: an integer may have been rounded.")
                    n_rows += piece.shape[0]
                    yield piece
                    del piece
            except SourceError:
                # Python reads numbers, such as +1, and line breaks within quotes, that Arrow does not.
                pass
            else:
                return
        yield from self._read_slowly(columns, max_rows, n_rows)

    def _has_codes(self, piece: np.ndarray) -> bool:
        """Whether a number is there that stands for a missing value."""
        return bool(self._numbers.codes) and bool(np.isin(piece, self._numbers.codes).any())

    def _parsed(self, columns: Sequence[int], max_rows: int) -> Iterator[np.ndarray]:
        pyarrow = require("pyarrow", "io", "reading CSV files")
        arrow_csv = require("pyarrow.csv", "io", "reading CSV files")
        positions = [str(index) for index in range(self._n_fields)]
        chosen = list(dict.fromkeys(str(column) for column in columns))
        places = [chosen.index(str(column)) for column in columns]
        # Behind a delimiter at the end of a line there must be nothing.
        beyond = positions[self.n_columns :]

        def batches() -> Iterator[Any]:
            with self._file.utf8() as stream:
                for batch in arrow_csv.open_csv(
                    stream,
                    arrow_csv.ReadOptions(block_size=self._block_bytes, skip_rows=self._n_skip, column_names=positions),
                    arrow_csv.ParseOptions(delimiter=self._delimiter, quote_char=self._quote or False),
                    arrow_csv.ConvertOptions(
                        # Without words for missing values, each of them is an error, which is explained.
                        column_types=dict.fromkeys(chosen, pyarrow.float64()) | dict.fromkeys(beyond, pyarrow.binary()),
                        include_columns=chosen + beyond,
                        null_values=[],
                        decimal_point=self._numbers.decimal,
                    ),
                ):
                    if any(value.as_py() for name in beyond for value in batch.column(name).unique()):
                        raise SourceError(f"{self.label}: a line has a field more.")
                    yield batch

        labels = column_labels(self.names, columns)
        yield from pieces_of(batches(), places, np.dtype(np.float64), max_rows, labels, self.label)

    def _read_slowly(self, columns: Sequence[int], max_rows: int, n_given: int) -> Iterator[np.ndarray]:
        """All rows but the first `n_given`, by Python's reader; what cannot be read is explained."""
        values = islice(self._values(columns), n_given, None)
        while piece := list(islice(values, max_rows)):
            n_given += len(piece)
            yield np.array(piece, dtype=np.float64)

    def _values(self, columns: Sequence[int]) -> Iterator[list[float]]:
        value = self._numbers.value
        for n_rows, (_, row) in enumerate(self._rows()):
            numbers = [value(row[column]) for column in columns] if self._is_whole(row) else [None]
            if not all(number is not None and (self.keeps_missing or math.isfinite(number)) for number in numbers):
                self._explain(columns, n_rows)
            for column, number in zip(columns, numbers, strict=True):
                if abs(number) >= EXACT and (integer := self._numbers.integer(row[column])) is not None:  # type: ignore[arg-type]
                    require_exact_integer(integer, f"{self.label}, column {self._name(column)},")
            yield numbers  # type: ignore[misc]

    def _is_whole(self, row: Sequence[str]) -> bool:
        return len(row) == self._n_fields and not any(field.strip() for field in row[self.n_columns :])

    def _explain(self, columns: Sequence[int], n_given: int) -> NoReturn:
        """Raise SourceError for what makes these columns unusable, in rows that were not given yet."""
        text: dict[int, tuple[int, str]] = {}
        missing: tuple[int, int, str] | None = None
        n_missing = n_rows = 0
        for line, row in islice(self._rows(), n_given, None):
            if not self._is_whole(row):
                self._refuse_row(line, row)
            numbers = {column: self._numbers.value(row[column]) for column in columns}
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
        if missing is None:
            raise SourceError(f"{self.label} has changed while it was read. Let nothing write to it meanwhile.")
        line, column, field = missing
        at_least = "At least " if n_rows == _COUNTED_ROWS else ""
        raise SourceError(
            f"{self.label}, line {line}, column {self._name(column)}: the value is missing or infinite "
            f"({field!r}). {at_least}{n_missing} row{' has' if n_missing == 1 else 's have'} such "
            "values: drop them, or fill in the values."
        )

    def _refuse_row(self, line: int, row: list[str]) -> NoReturn:
        if len(row) == self._n_fields:
            raise SourceError(
                f"{self.label}, line {line}: there is {row[-1]!r} behind the last delimiter, where other lines have "
                "nothing. Write all lines with the same number of fields, and name all columns."
            )
        raise SourceError(
            f"{self.label}, line {line}: {len(row)} fields where the first line has {self._n_fields}. "
            f"Fields must be separated by {self._separators()}{self._hint(self._delimiter.join(row), row[0])}."
        )

    def _refuse_text(self, text: dict[int, tuple[int, str]], numbers: Sequence[int]) -> NoReturn:
        columns = f"column{'s' if len(text) > 1 else ''} {', '.join(map(self._name, text))}"
        line, field = next(iter(text.values()))
        remedy = f"Encode text as numbers, and separate fields by {self._separators()}"
        if numbers:
            choice = ", ".join(map(self._name, numbers))
            remedy = f"Choose columns of numbers by columns=[...] or --columns ({choice}), or encode text as numbers"
        hint = self._hint(field, field)
        if not hint and line > self._n_skip + 1 and not any(mark.isdigit() for mark in field):
            hint += _if("it stands for a missing value", f"missing_values=[{field.strip()!r}]")
        raise SourceError(f"{self.label} holds text in {columns} (line {line}: {field!r}). {remedy}{hint}.")

    def _hint(self, field: str, first: str) -> str:
        """What else a field may be, that the user would have to say."""
        hint = ""
        if self._comment is None and first.lstrip().startswith("#"):
            hint += _if("lines that begin with # are comments", "comment='#'")
        if self._numbers.decimal == "." and has_comma_for_point(field):
            hint += _if("its comma is a decimal mark", "decimal=','")
        other = "." if self._numbers.decimal == "," else ","
        if self._numbers.thousands is None and Numbers(self._numbers.decimal, other).value(field) is not None:
            hint += _if(f"its {other!r} separates thousands", f"thousands={other!r}")
        return hint

    def _separators(self) -> str:
        return DELIMITERS.get(self._delimiter, repr(self._delimiter))

    def _name(self, column: int) -> str:
        return column_labels(self.names, [column])[0]

    def _rows(self) -> Iterator[Row]:
        """Rows below the header that are not blank, each with the number of its last line."""
        with self._file.lines() as file:
            for line, row in parsed(file, self._delimiter, self._quote, self.label):
                if line > self._n_skip:
                    yield line, row


def _if(what: str, setting: str) -> str:
    return f"; if {what}, say so by csv=fastem.CsvFormat({setting})"
