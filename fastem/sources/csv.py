"""Rows of text files of fields, maybe compressed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NoReturn

import numpy as np

from fastem._extras import require
from fastem._naming import named
from fastem.given import EXACT, is_beyond, require_exact_integer
from fastem.sources.arrow import array_of, readable
from fastem.sources.csv_format import CsvFormat, Numbers, by_setting, has_comma_for_point
from fastem.sources.csv_layout import DELIMITERS, Row, filters_of, layout_of, parsed
from fastem.sources.csv_text import TextFile
from fastem.sources.reader import IDS_AT_A_TIME, FileReader, SourceError, Span
from fastem.sources.shared import column_labels

_BLOCK_BYTES = 2**20
# Columns of text are looked for in so many rows behind the first such one.
_COUNTED_ROWS = 10**6


class CsvReader(FileReader):
    """Rows of a CSV file, maybe compressed. What its `form` leaves open is recognised by the first lines."""

    def __init__(self, path: str | os.PathLike[str], form: CsvFormat | None = None):
        super().__init__(path)
        self._form = form or CsvFormat()
        self._file = TextFile(self.path, self.label, self._form.encoding)
        usual = "\t" if ".tsv" in os.path.basename(self.path).lower() else None
        self._layout = layout_of(self._file, self._form, usual)
        self._file.filters = filters_of(self._form, self._layout.delimiter)
        self._numbers = self._layout.numbers
        self.names, self.n_columns = self._layout.names, self._layout.n_columns

    def ids(self, column: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rows = self._rows()
        while part := list(islice(rows, IDS_AT_A_TIME)):
            for line, row in part:
                self._require_whole(line, row)
            fields = [row[column].strip() for _, row in part]
            missing = [self._numbers.is_missing(field) for field in fields]
            yield np.array(fields, dtype=object), np.array(missing)

    def pieces(self, columns: Sequence[int], max_rows: int, span: Span | None = None) -> Iterator[np.ndarray]:
        n_rows = 0
        try:
            for piece in self._read_by_arrow(columns, max_rows):
                n_rows += piece.shape[0]
                yield piece
                del piece
            return
        except SourceError:
            # Python reads what Arrow does not: numbers such as +1, groups of digits, line breaks within quotes. And
            # what cannot be read is explained.
            pass
        values = islice(self._values(columns), n_rows, None)
        while part := list(islice(values, max_rows)):
            yield np.array(part, dtype=np.float64)

    def _read_by_arrow(self, columns: Sequence[int], max_rows: int) -> Iterator[np.ndarray]:
        """Rows as long as nothing about them is in doubt; then SourceError."""
        if self._numbers.thousands is not None:
            raise SourceError(f"{self.label} has groups of digits.")
        pyarrow = require("pyarrow", "io", "reading CSV files")
        chosen = list(dict.fromkeys(columns))
        places = [chosen.index(column) for column in columns]
        for batch in readable(self._batches(pyarrow, list(map(str, chosen))), self.label, 0, None):
            for first in range(0, batch.num_rows, max_rows):
                piece = array_of(batch.slice(first, max_rows).select(places), np.dtype(np.float64), self.label)
                n_null = sum(batch.slice(first, max_rows).column(place).null_count for place in places)
                if is_beyond(piece) or np.count_nonzero(np.isnan(piece)) != n_null:
                    raise SourceError(f"{self.label}: a value is infinite, no number, or an integer that was rounded.")
                if self._numbers.codes:
                    piece[np.isin(piece, self._numbers.codes)] = np.nan
                yield piece
                del piece

    def _batches(self, pyarrow: Any, chosen: list[str]) -> Iterator[Any]:
        """Record batches of columns, named by their positions."""
        arrow_csv = require("pyarrow.csv", "io", "reading CSV files")
        layout = self._layout
        positions = [str(index) for index in range(layout.n_fields)]
        # Behind a delimiter at the end of a line there must be nothing.
        beyond = positions[self.n_columns :]
        read = arrow_csv.ReadOptions(
            block_size=max(_BLOCK_BYTES, 8 * layout.line_bytes), skip_rows=layout.n_skip, column_names=positions
        )
        parse = arrow_csv.ParseOptions(delimiter=layout.delimiter, quote_char=self._form.quote or False)
        convert = arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(chosen, pyarrow.float64()) | dict.fromkeys(beyond, pyarrow.binary()),
            include_columns=chosen + beyond,
            # Other spellings of these words are read by Python's reader.
            null_values=self._numbers.words(),
            decimal_point=self._numbers.decimal,
        )
        with self._file.utf8() as stream:
            for batch in arrow_csv.open_csv(stream, read, parse, convert):
                if any(value.as_py() for name in beyond for value in batch.column(name).unique()):
                    raise SourceError(f"{self.label}: a line has a field more.")
                yield batch

    def _values(self, columns: Sequence[int]) -> Iterator[list[float]]:
        """The numbers of each row, by Python's reader."""
        value = self._numbers.value
        for n_rows, (_, row) in enumerate(self._rows()):
            numbers = [value(row[column]) for column in columns] if self._is_whole(row) else [None]
            if any(number is None for number in numbers):
                self._explain(columns, n_rows)
            for column, number in zip(columns, numbers, strict=True):
                if abs(number) >= EXACT and (integer := self._numbers.integer(row[column])) is not None:  # type: ignore[arg-type]
                    require_exact_integer(integer, f"{self.label}, column {self._name(column)},")
            yield numbers  # type: ignore[misc]

    def _explain(self, columns: Sequence[int], n_given: int) -> NoReturn:
        """Raise SourceError for what makes these columns unusable, in rows that were not given yet."""
        text: dict[int, tuple[int, str]] = {}
        n_rows = 0
        for line, row in islice(self._rows(), n_given, None):
            self._require_whole(line, row)
            numbers = {column: self._numbers.value(row[column]) for column in columns}
            text |= {c: (line, row[c]) for c, number in numbers.items() if number is None and c not in text}
            n_rows += bool(text)
            if n_rows == _COUNTED_ROWS:
                break
        if text:
            self._refuse_text(text, [column for column in columns if column not in text])
        raise SourceError(f"{self.label} has changed while it was read. Let nothing write to it meanwhile.")

    def _is_whole(self, row: Sequence[str]) -> bool:
        return len(row) == self._layout.n_fields and not any(field.strip() for field in row[self.n_columns :])

    def _require_whole(self, line: int, row: list[str]) -> None:
        if self._is_whole(row):
            return
        if len(row) == self._layout.n_fields:
            raise SourceError(
                f"{self.label}, line {line}: there is {row[-1]!r} behind the last delimiter, where other lines have "
                "nothing. Write all lines with the same number of fields, and name all columns."
            )
        raise SourceError(
            f"{self.label}, line {line}: {len(row)} fields where the first line has {self._layout.n_fields}. Fields "
            f"must be separated by {self._separators()}{self._hint(self._layout.delimiter.join(row), row[0])}."
        )

    def _refuse_text(self, text: dict[int, tuple[int, str]], numbers: Sequence[int]) -> NoReturn:
        columns = f"column{'s' if len(text) > 1 else ''} {', '.join(map(self._name, text))}"
        line, field = next(iter(text.values()))
        remedy = f"Encode text as numbers, and separate fields by {self._separators()}"
        if numbers:
            choice = ", ".join(map(self._name, numbers))
            remedy = f"Choose columns of numbers by {named('columns=[...]')} ({choice}), or encode text as numbers"
        hint = self._hint(field, field)
        if not hint and line > self._layout.n_skip + 1 and not any(mark.isdigit() for mark in field):
            hint += _if("it stands for a missing value", "missing_values", f"[{field.strip()!r}]")
        raise SourceError(f"{self.label} holds text in {columns} (line {line}: {field!r}). {remedy}{hint}.")

    def _hint(self, field: str, first: str) -> str:
        """What else a field may be, that the user would have to say."""
        hint = ""
        if self._form.comment is None and first.lstrip().startswith("#"):
            hint += _if("lines that begin with # are comments", "comment", "'#'")
        if self._numbers.decimal == "." and has_comma_for_point(field):
            hint += _if("its comma is a decimal mark", "decimal", "','")
        other = "." if self._numbers.decimal == "," else ","
        if self._numbers.thousands is None and not Numbers(self._numbers.decimal, other).is_text(field):
            hint += _if(f"its {other!r} separates thousands", "thousands", repr(other))
        return hint

    def _separators(self) -> str:
        return DELIMITERS.get(self._layout.delimiter, repr(self._layout.delimiter))

    def _name(self, column: int) -> str:
        return column_labels(self.names, [column])[0]

    def _rows(self) -> Iterator[Row]:
        """Rows below the header that are not blank, each with the number of its last line."""
        with self._file.lines() as file:
            for line, row in parsed(file, self._layout.delimiter, self._form.quote, self.label):
                if line > self._layout.n_skip:
                    yield line, row


def _if(what: str, setting: str, value: str) -> str:
    return f"; if {what}, say so by {by_setting(setting, value)}"
