"""How a text file is written, as a user says it; and which fields are numbers."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from fastem._naming import named
from fastem.sources.reader import SourceError

# What spreadsheets and statistics programs write for a value that is not there.
_MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "+nan", "null", "none", "?"})
_INTEGER = re.compile("[0-9]+")


@dataclass(frozen=True)
class CsvFormat:
    """How a CSV file is written, for ``open_source(..., csv=CsvFormat(...))``. What is None is recognised.

    Parameters
    ----------
    delimiter : str, optional
        The character between two fields. A space stands for any run of spaces and tabs, as `numpy.savetxt` writes.
        By default commas, semicolons, tabs, pipes and spaces are recognised.
    decimal : "." or ",", optional
        The decimal mark. By default a point, or a comma where no field has a point and fields are not separated by
        commas.
    thousands : str, optional
        The character between groups of three digits, as in 1,234,567. By default there are no groups.
    encoding : str, optional
        A codec of Python, such as "latin-1". By default UTF-8, or UTF-16 or UTF-32 where the file begins with their
        mark. Other bytes in UTF-8 text are no error: they cannot be part of a number.
    comment : str, optional
        Lines that begin with this are comments; an empty text stands for no comments. By default lines that begin with
        ``#`` are comments ahead of the first row, and only there. The last comment ahead of the first row of numbers
        is the header if it is one (`numpy.savetxt` writes such headers).
    missing_values : sequence of str
        Further words for a missing value, beside an empty field, NA, N/A, NaN, null, none and ?. A word that is a
        number, such as "-999", stands for every field of the same value.
    header : bool, optional
        Whether the first line holds the names of the columns. By default it does if it is all text, or has text above
        a number.
    quote : str
        The character around fields that hold delimiters or line breaks; an empty text stands for none.

    Raises
    ------
    SourceError
        For settings that do not go together.

    Notes
    -----
    A number is a sign or none, digits 0 to 9 with at most one decimal mark, and maybe an exponent, as in ``-1.5e3``.
    Spaces around it do not count. Anything else is text: ``2020_01``, ``0x1F``, ``1d5``, ``--3``, ``1,234``.

    Examples
    --------
    >>> from fastem import CsvFormat
    >>> CsvFormat(delimiter=";", decimal=",", missing_values=["-999"]).missing_values
    ('-999',)
    """

    delimiter: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    comment: str | None = None
    missing_values: Iterable[str] = ()
    header: bool | None = None
    quote: str = '"'

    def __post_init__(self) -> None:
        words = self.missing_values
        object.__setattr__(self, "missing_values", (words,) if isinstance(words, str) else tuple(map(str, words)))
        self._require_characters()
        if self.decimal not in (None, ".", ","):
            raise SourceError(f"decimal must be '.' or ',', not {self.decimal!r}.")
        if self.header not in (None, True, False):
            raise SourceError(f"header must be True, False or None, not {self.header!r}.")
        if self.decimal is not None and self.decimal == self.delimiter:
            raise SourceError(f"decimal and delimiter are both {self.decimal!r}, so that no number could be read.")
        if self.thousands is not None and self.thousands in (self.decimal or "", self.delimiter):
            raise SourceError(f"thousands is {self.thousands!r}, which the decimal mark or the delimiter is already.")
        if self.encoding is not None:
            _require_codec(self.encoding)

    def _require_characters(self) -> None:
        for name, is_empty_allowed in (("delimiter", False), ("thousands", False), ("comment", True), ("quote", True)):
            value = getattr(self, name)
            if value is None and name != "quote":
                continue
            is_long = isinstance(value, str) and len(value) > 1 and name != "comment"
            if not isinstance(value, str) or is_long or not (value or is_empty_allowed) or set(value) & set("\r\n"):
                raise SourceError(f"{name} must be a single character, not {value!r}.")
            if name in ("delimiter", "quote") and not value.isascii():
                raise SourceError(f"{name} must be an ASCII character, not {value!r}.")
        if self.thousands is not None and re.fullmatch("[0-9+eE-]", self.thousands):
            raise SourceError(f"thousands must not be part of a number, as {self.thousands!r} is.")
        if self.delimiter is not None and self.delimiter == self.quote:
            raise SourceError(f"delimiter and quote are both {self.quote!r}.")


def _require_codec(encoding: str) -> None:
    try:
        codec = codecs.lookup(encoding)
    except (LookupError, TypeError) as error:
        raise SourceError(f"There is no encoding {encoding!r}. Name one of Python's, such as 'latin-1'.") from error
    if not getattr(codec, "_is_text_encoding", True):
        raise SourceError(f"{encoding!r} is no encoding of text. Name one of Python's, such as 'latin-1'.")


class Numbers:
    """Which fields are numbers, and which are missing values, beside those that are always understood."""

    def __init__(self, decimal: str = ".", thousands: str | None = None, missing_values: Iterable[str] = ()):
        self.decimal, self.thousands = decimal, thousands
        digits, mark = "[0-9]+", re.escape(decimal)
        if thousands is not None:
            digits = f"(?:[0-9]{{1,3}}(?:{re.escape(thousands)}[0-9]{{3}})+|[0-9]+)"
        finite = f"(?:{digits}(?:{mark}[0-9]*)?|{mark}[0-9]+)(?:[eE][+-]?[0-9]+)?"
        # ASCII: nor ſ nor ı is a letter of infinity.
        self._pattern = re.compile(f"(?ai:[ \t]*([+-]?(?:{finite}|inf|infinity))[ \t]*)")
        words = [word.strip().lower() for word in missing_values]
        self._missing = _MISSING.union(words)
        #: Numbers that stand for a missing value.
        self.codes = [value for word in words if (value := self._number(word)) is not None]

    def value(self, field: str) -> float | None:
        """The number in a field, NaN for a missing one, None for text."""
        number = self._number(field)
        if number is not None:
            return math.nan if number in self.codes else number
        return math.nan if field.strip().lower() in self._missing else None

    def is_text(self, field: str) -> bool:
        """Whether a field is neither a number nor missing."""
        return self.value(field) is None

    def words(self) -> list[str]:
        """Words for a missing value, in their usual spellings."""
        spellings = (str.lower, str.upper, str.capitalize, str.title)
        return sorted({spell(word) for word in self._missing for spell in spellings} | {"NaN", "-NaN", "+NaN"})

    def is_missing(self, field: str) -> bool:
        """Whether a field stands for a missing value."""
        value = self.value(field)
        return value is not None and math.isnan(value)

    def integer(self, field: str) -> int | None:
        """The integer of at most 64 bits that a field is written as; None for anything else.

        Longer ones are no counts or times of a machine, and are read as any number is.
        """
        text = field.strip() if self.thousands is None else field.strip().replace(self.thousands, "")
        return int(text) if len(text) <= 21 and _INTEGER.fullmatch(text.lstrip("+-")) else None

    def _number(self, field: str) -> float | None:
        match = self._pattern.fullmatch(field)
        if match is None:
            return None
        text = match[1] if self.thousands is None else match[1].replace(self.thousands, "")
        return float(text if self.decimal == "." else text.replace(self.decimal, "."))


def is_integer(field: str) -> bool:
    """Whether a field is digits and nothing else."""
    return _INTEGER.fullmatch(field.strip()) is not None


def has_comma_for_point(field: str) -> bool:
    """Whether a field is a number if its comma is a decimal mark."""
    return "," in field and not Numbers(",").is_text(field)


def has_groups(field: str) -> bool:
    """Whether the commas of a field may separate thousands as well: 1,234 is no plain decimal."""
    return re.fullmatch(r"[ \t]*[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+[ \t]*", field) is not None


def by_setting(name: str, value: str = "...") -> str:
    """How a user says a setting of `CsvFormat`, in a message."""
    words = f"csv=fastem.CsvFormat({name}=...)"
    option = named(words)
    if option == words:
        return words.replace("...", value)
    return option if value == "..." else f"{option} {value.strip('[]')}"
