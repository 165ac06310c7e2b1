"""How a text file is laid out: its delimiter, its header, its decimal mark, as its first lines show."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

from fastem._naming import named
from fastem.sources.csv_format import CsvFormat, Numbers, by_setting, has_comma_for_point, has_groups, is_integer
from fastem.sources.csv_text import Filter, TextFile, comment_filter, single_spaces, without_comments
from fastem.sources.reader import NoRowsError, SourceError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes", " ": "spaces"}
_LINES = 200
# Of wide files fewer lines are looked at.
_FEWEST_LINES, _LINE_CHARACTERS = 8, 1000
_LONGEST_FIELD = 2**24
# What no text has: a file of some other kind.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f]")

Row = tuple[int, list[str]]


class Layout(NamedTuple):
    """How a file is laid out."""

    delimiter: str  # one character; a space stands for runs of spaces and tabs
    numbers: Numbers
    names: list[str] | None
    n_fields: int  # of a line
    n_columns: int  # one less than fields where all lines end with a delimiter
    n_skip: int  # lines ahead of the first row: lines, not rows, as a quoted name may hold a line break
    line_bytes: int  # of the longest line that was seen


class _Reading(NamedTuple):
    """The first rows under one delimiter."""

    delimiter: str
    numbers: Numbers
    rows: list[Row]

    def is_table(self) -> bool:
        """Whether all rows have the same number of fields, two at least."""
        widths = {len(row) for _, row in self.rows}
        return len(widths) == 1 and max(widths) > 1

    def is_nearly_table(self) -> bool:
        """Whether half of the rows below the first, at least, have the same number of fields, two at least."""
        widths = Counter(len(row) for _, row in self.rows[1:])
        width, count = widths.most_common(1)[0] if widths else (0, 0)
        return width > 1 and 2 * count >= len(self.rows) - 1

    def is_numeric(self) -> bool:
        """Whether no field is text, but for those of the first row."""
        below = self.rows[1:] or self.rows
        return not any(self.numbers.is_text(field) for _, row in below for field in row)


def layout_of(file: TextFile, form: CsvFormat, usual: str | None) -> Layout:
    """The layout of a file: what the user said, and the rest by its first lines and its `usual` delimiter, if any.

    A file that is empty, or not text, or may be read in several ways, is a SourceError.
    """
    n_lines = _LINES
    while True:
        lines, is_whole = _head(file, n_lines, form)
        found = _Head(file.label, form, lines, is_whole)
        if not found.is_bare:
            reading = found.reading(usual)
            if len(reading.rows) > 2 or is_whole:
                return found.layout(reading)
        # A field within quotes may have many lines, and there may be many comments.
        n_lines *= 8


def filters_of(form: CsvFormat, delimiter: str | None) -> list[Filter]:
    """What makes the text readable: no comments, no runs of spaces."""
    filters = [comment_filter(form.comment, form.quote)] if form.comment else []
    return [*filters, single_spaces(form.quote)] if delimiter == " " else filters


def _head(file: TextFile, n_lines: int, form: CsvFormat) -> tuple[list[str], bool]:
    lines: list[str] = []
    n_characters = 0
    with file.lines() as text:
        for line in text:
            lines.append(line)
            n_characters += len(line)
            if len(lines) == n_lines or (len(lines) > _FEWEST_LINES and n_characters > n_lines * _LINE_CHARACTERS):
                break
        is_whole = not text.readline()
    known = _CONTROL.sub("", form.delimiter or "") == "" and form.delimiter
    for number, line in enumerate(lines, start=1):
        odd = _CONTROL.search(line.replace(known, "") if known else line)
        if odd:
            raise SourceError(
                f"{file.label} is not text in UTF-8: line {number} holds the control character {odd[0]!r}. If it is "
                f"text in another encoding, say so by {by_setting('encoding')}."
            )
    return lines, is_whole


class _Head:
    """The first lines of a file, and what they say."""

    def __init__(self, label: str, form: CsvFormat, lines: list[str], is_whole: bool):
        self._label, self._form, self._is_whole = label, form, is_whole
        sign = "#" if form.comment is None else form.comment
        n_ahead = 0
        self._comments: list[tuple[int, str]] = []
        for line in lines if sign else []:
            if line.lstrip().startswith(sign):
                self._comments.append((n_ahead + 1, line.lstrip().removeprefix(sign)))
            elif line.strip():
                break
            n_ahead += 1
        self._sign, self._n_ahead = sign, n_ahead
        body = lines[n_ahead:]
        self._body = list(without_comments(body, sign, form.quote)) if form.comment else body
        self.is_bare = not any(line.strip() for line in self._body)
        if self.is_bare and is_whole:
            if self._comments:
                raise SourceError(
                    f"{label} holds no rows: all lines begin with {sign!r} and count as comments. If they are rows, "
                    f"say so by {by_setting('comment', repr(''))}."
                )
            raise NoRowsError(f"{label} is empty.")

    def reading(self, usual: str | None) -> _Reading:
        """The rows under the delimiter that fits."""
        if self._form.delimiter is not None:
            return self._read(self._form.delimiter)
        first = usual or ","
        *others, spaces = (
            self._read(mark) for mark in sorted(DELIMITERS, key=lambda mark: (mark == " ", mark != first))
        )
        tables = [reading for reading in others if reading.is_table()]
        numeric = [reading for reading in [*tables, spaces] if reading.is_numeric() and reading.is_table()]
        if numeric:
            return numeric[0]
        if usual is not None and tables and tables[0].delimiter == usual:
            return tables[0]
        if len(tables) > 1:
            fields = " or ".join(f"{len(one.rows[0][1])} fields by {DELIMITERS[one.delimiter]}" for one in tables)
            raise SourceError(
                f"{self._label}: a line has {fields}. Say what separates fields, by {by_setting('delimiter')}."
            )
        if tables or spaces.is_table():
            return (tables or [spaces])[0]
        # The message about a line that differs counts fields by the delimiter of the others.
        ragged = [reading for reading in [*others, spaces] if reading.is_nearly_table()]
        return (ragged or others)[0]

    def _read(self, delimiter: str) -> _Reading:
        text = "".join(self._body)
        if delimiter == " ":
            text = b"".join(single_spaces(self._form.quote)(iter([text.encode()]))).decode()
        rows = list(parsed(io.StringIO(text, newline=""), delimiter, self._form.quote, self._label))
        if not self._is_whole and len(rows) > 2:
            # The last one may be cut.
            rows.pop()
        rows = [(line + self._n_ahead, row) for line, row in rows]
        return _Reading(delimiter, self._numbers(delimiter, rows), rows)

    def _numbers(self, delimiter: str, rows: list[Row]) -> Numbers:
        decimal, thousands = self._form.decimal, self._form.thousands
        if decimal is None:
            fields = [field for _, row in rows[1:] or rows for field in row]
            decimal = "," if thousands == "." or (thousands is None and _has_decimal_commas(delimiter, fields)) else "."
        return Numbers(decimal, thousands, self._form.missing_values)

    def layout(self, reading: _Reading) -> Layout:
        """Header and columns."""
        rows, numbers = reading.rows, reading.numbers
        first, below = rows[0][1], [row for _, row in rows[1:]]
        names: list[str] | None = None
        n_skip = self._n_ahead
        is_header = self._form.header
        if is_header is None:
            is_header = _is_header(first, below, numbers)
        commented = (
            None if is_header and any(numbers.is_text(field) for field in first) else self._header_in_comment(reading)
        )
        if self._form.header is not False and commented is not None:
            names = commented
        elif is_header:
            names, n_skip = [name.strip() for name in first], rows[0][0]
            if not below and self._is_whole:
                raise NoRowsError(f"{self._label} holds a header but no rows.")
        elif self._form.header is None and _may_be_names(first, below, numbers):
            raise SourceError(
                f"{self._label}, line {rows[0][0]}: {', '.join(first[:8])} may be the names of the columns, or a row. "
                f"Say which, by {named('csv=fastem.CsvFormat(header=True)')} or "
                f"{named('csv=fastem.CsvFormat(header=False)')}."
            )
        n_fields = len(first)
        n_columns = n_fields - _has_trailing_delimiter(names, below if names else [first, *below], n_fields)
        longest = max(len(line.encode()) for line in self._body)
        return Layout(reading.delimiter, numbers, names and names[:n_columns], n_fields, n_columns, n_skip, longest)

    def _header_in_comment(self, reading: _Reading) -> list[str] | None:
        """The names in the last comment ahead of the rows, if it holds names."""
        if not self._comments:
            return None
        line, text = self._comments[-1]
        if reading.delimiter == " ":
            text = " ".join(text.split())
        row = next((row for _, row in parsed(iter([text]), reading.delimiter, self._form.quote, self._label)), [])
        fields = [field.strip() for field in row]
        if len(fields) != len(reading.rows[0][1]):
            return None
        if all(field and reading.numbers.is_text(field) for field in fields):
            is_one_word = len(fields) > 1 or len(fields[0].split()) == 1
            return fields if is_one_word and len(set(fields)) == len(fields) else None
        if self._form.comment is None and not all(not field for field in fields):
            raise SourceError(
                f"{self._label}, line {line}: it begins with {self._sign!r}, as comments do, but may be a row. Say "
                f"which, by {by_setting('comment', repr('#'))} or {by_setting('comment', repr(''))}."
            )
        return None


def parsed(lines: Iterable[str], delimiter: str, quote: str, label: str) -> Iterator[Row]:
    """Rows that are not blank, each with the number of its last line."""
    # Text in a column that nobody reads may be long; a quote that is never closed is told before it fills the memory.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    quoting = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE, "quotechar": None}
    reader = csv.reader(lines, delimiter=delimiter, **quoting)
    try:
        for row in reader:
            if len(row) > 1 or (row and (row[0].strip() or row[0] == "")):
                yield reader.line_num, row
    except csv.Error as error:
        raise SourceError(
            f"{label} is not a CSV file, or it is damaged, near line {reader.line_num}: {error}. Maybe a quote is not "
            f"closed; {by_setting('quote', repr(''))} reads quotes as they stand."
        ) from error


def _has_decimal_commas(delimiter: str, fields: Sequence[str]) -> bool:
    """Whether commas are plainly decimal marks: numbers have them, none has a point, and not all may be thousands."""
    if delimiter == ",":
        return False
    commas = [field for field in fields if has_comma_for_point(field)]
    points = any("." in field and not Numbers().is_text(field) for field in fields)
    return bool(commas) and not points and not all(map(has_groups, commas))


def _is_header(first: Sequence[str], below: Sequence[Sequence[str]], numbers: Numbers) -> bool:
    """Whether the first row is all text, or has text above a number."""
    text = [column for column, field in enumerate(first) if numbers.is_text(field)]
    return len(text) == len(first) or any(_numbers_below(column, below, numbers, 1) for column in text)


def _numbers_below(column: int, below: Sequence[Sequence[str]], numbers: Numbers, n_most: int) -> list[str]:
    """Those fields that are numbers, among the first `n_most` of a column that are not missing."""
    fields = (row[column] for row in below if column < len(row))
    present = islice(((field, numbers.value(field)) for field in fields if not numbers.is_missing(field)), n_most)
    return [field for field, value in present if value is not None]


def _may_be_names(first: Sequence[str], below: Sequence[Sequence[str]], numbers: Numbers) -> bool:
    """Whether a first row of numbers looks like names, such as 0, 1, 2 or 2019, 2020, above numbers of another kind.

    Names are whole numbers that grow, above columns of decimals or far from all that stands below; no other row is so.
    """
    columns = [column for column, field in enumerate(first) if not numbers.is_text(field)]
    if not below or not _are_counting(first, columns):
        return False
    values = [int(first[column]) for column in columns]
    fields = [_numbers_below(column, below, numbers, len(below)) for column in columns]
    is_run = len(columns) > 1 and values == list(range(values[0], values[0] + len(values)))
    if is_run and all(map(_is_year, values)):
        return not any(_is_year(numbers.value(field)) for column in fields for field in column)
    if any(_are_counting(row, columns) for row in below) or (len(columns) == 1 and len(below) < 3):
        return False
    is_long_run = is_run and len(below) > 1
    return all(
        _are_decimals(column) or (is_long_run and _is_apart(value, [numbers.value(field) for field in column]))
        for value, column in zip(values, fields, strict=True)
    )


def _is_year(value: float | None) -> bool:
    return value is not None and 1800 <= value <= 2200


def _are_decimals(fields: Sequence[str]) -> bool:
    """Whether most fields, of one at least, are written otherwise than whole numbers."""
    n_whole = sum(re.fullmatch(r"\s*[+-]?[0-9]+\s*", field) is not None for field in fields)
    return 2 * n_whole <= len(fields) and len(fields) > 0


def _is_apart(value: float, others: Sequence[float | None]) -> bool:
    """Whether a value lies beyond all others."""
    found = [other for other in others if other is not None]
    return bool(found) and not min(found) <= value <= max(found)


def _are_counting(row: Sequence[str], columns: Sequence[int]) -> bool:
    """Whether these fields are whole numbers that grow."""
    fields = [row[column] for column in columns if column < len(row)]
    if len(fields) < len(columns) or not fields or not all(map(is_integer, fields)):
        return False
    values = list(map(int, fields))
    return all(low < high for low, high in pairwise(values))


def _has_trailing_delimiter(names: Sequence[str] | None, rows: Sequence[Sequence[str]], n_fields: int) -> bool:
    """Whether all lines end with a delimiter, so that a last column has neither name nor values."""
    rows = [row for row in rows if len(row) == n_fields]
    if n_fields < 2 or any(row[-1].strip() for row in rows):
        return False
    return not names[-1] if names else len(rows) > 1
