"""Tables in files: columns of numbers read from CSV and .npy, and written to them."""

from __future__ import annotations

import csv
import gzip
import math
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

# What spreadsheets and statistics programs write for a value that is not there.
_MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
_BLOCK_ROWS = 2**16


@dataclass(frozen=True)
class Table:
    """Columns of a file.

    Attributes
    ----------
    X : (N, D) ndarray
        Maybe a memory map.
    weight : (N,) ndarray or None
    names : list of str or None
        Of the columns of X; None where the file gives no names.
    labels : list of str
        The names, or the positions of the columns in the file.
    """

    X: np.ndarray
    weight: np.ndarray | None
    names: list[str] | None
    labels: list[str]

    def require_finite(self) -> None:
        """Raise ValueError for the first value of X that is missing or infinite."""
        for start in range(0, self.X.shape[0], _BLOCK_ROWS):
            wrong = np.argwhere(~np.isfinite(self.X[start : start + _BLOCK_ROWS]))
            if wrong.size:
                row, column = wrong[0]
                raise ValueError(
                    f"Row {start + row}, column {self.labels[column]} (counted from 0): the value is missing or "
                    "infinite. Drop such rows, or fill in the values."
                )


@dataclass(frozen=True)
class CsvFile:
    """A text file of fields separated by commas, maybe compressed by gzip.

    Attributes
    ----------
    names : list of str or None
        The header, if there is one.
    n_skip : int
        Lines before the first row.
    """

    path: Path
    names: list[str] | None
    n_columns: int
    n_skip: int

    @classmethod
    def open(cls, path: Path) -> CsvFile:
        """Look at the first rows of a file.

        Raises
        ------
        ValueError
            When the file is not such a text, or holds no rows.
        """
        rows = _csv_rows(path)
        n_skip, first = next(rows, (0, []))
        _, second = next(rows, (0, []))
        if not first:
            raise ValueError(f"{path} is empty.")
        if not _is_header(first, second):
            return cls(path, None, len(first), 0)
        if not second:
            raise ValueError(f"{path} holds a header but no rows.")
        return cls(path, [name.strip() for name in first], len(first), n_skip)

    def load(self, indices: Sequence[int]) -> np.ndarray:
        """Columns as an array (N, len(indices)) of float64.

        Raises
        ------
        ValueError
            For text, missing values and rows of another length, telling where.
        """
        # NumPy checks the length of the rows only when it is asked for all of them.
        usecols = None if list(indices) == list(range(self.n_columns)) else indices
        try:
            values = np.loadtxt(
                self.path, delimiter=",", quotechar='"', comments=None, skiprows=self.n_skip, usecols=usecols,
                ndmin=2, encoding="utf-8-sig",
            )  # fmt: skip
        except (ValueError, OSError, EOFError, zlib.error):
            self._explain(indices)
            raise
        if not np.all(np.isfinite(values)):
            self._explain(indices)
        return values

    def _explain(self, indices: Sequence[int]) -> None:
        """Raise ValueError for what makes these columns unusable."""
        text: dict[int, tuple[int, str]] = {}
        missing: list[tuple[int, int, str]] = []
        for line, row in _csv_rows(self.path):
            if line <= self.n_skip:
                continue
            if len(row) != self.n_columns:
                raise ValueError(
                    f"{self.path}, line {line}: {len(row)} fields where the first line has {self.n_columns}. "
                    "Fields must be separated by commas."
                )
            for index in indices:
                if _is_text(row[index]):
                    text.setdefault(index, (line, row[index]))
                elif not math.isfinite(_number(row[index])):
                    missing.append((line, index, row[index]))
        if text:
            self._refuse_text(text, [index for index in indices if index not in text])
        if missing:
            line, index, field = missing[0]
            n_rows = len({line for line, _, _ in missing})
            raise ValueError(
                f"{self.path}, line {line}, column {label(self, index)}: the value is missing or infinite ({field!r}). "
                f"{n_rows} row{' has' if n_rows == 1 else 's have'} such values: drop them, or fill in the values."
            )

    def _refuse_text(self, text: dict[int, tuple[int, str]], numbers: Sequence[int]) -> NoReturn:
        columns = f"column{'s' if len(text) > 1 else ''} {', '.join(label(self, index) for index in text)}"
        line, field = next(iter(text.values()))
        remedy = "Encode text as numbers, and separate fields by commas"
        if numbers:
            choice = ", ".join(label(self, index) for index in numbers)
            remedy = f"Choose columns of numbers by --columns ({choice}), or encode text as numbers"
        raise ValueError(f"{self.path} holds text in {columns} (line {line}: {field!r}). {remedy}.")


@dataclass(frozen=True)
class NpyFile:
    """A NumPy array file (N, D) or (N,), read in place."""

    path: Path
    array: np.ndarray
    names: None = None

    @classmethod
    def open(cls, path: Path) -> NpyFile:
        """Map a file into memory.

        Raises
        ------
        ValueError
            When it is not an array of rows and columns.
        """
        if path.stat().st_size == 0:
            raise ValueError(f"{path} is empty.")
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path} is not a NumPy file of numbers, or it is damaged: {error}") from error
        if array.ndim not in (1, 2) or array.dtype.kind not in "biuf":
            raise ValueError(
                f"{path} holds an array of shape {array.shape} and dtype {array.dtype}; rows and columns of real "
                "numbers are expected."
            )
        if array.size == 0:
            raise ValueError(f"{path} holds no rows: its shape is {array.shape}.")
        return cls(path, array.reshape(array.shape[0], -1))

    @property
    def n_columns(self) -> int:
        return self.array.shape[1]

    def load(self, indices: Sequence[int]) -> np.ndarray:
        """Columns as an array (N, len(indices)): a view if they are evenly spaced, or else a copy."""
        first, step = indices[0], (indices[1] - indices[0] if len(indices) > 1 else 1)
        stop = first + step * len(indices)
        if step != 0 and list(indices) == list(range(first, stop, step)):
            return self.array[:, first : stop if stop >= 0 else None : step]
        return self.array[:, indices]


TableFile = CsvFile | NpyFile


def open_table(path: Path) -> TableFile:
    """A `.npy` file, or a CSV file under any other name.

    Raises
    ------
    OSError, ValueError
    """
    if path.is_dir():
        raise ValueError(f"{path} is a directory; a .csv, .csv.gz or .npy file is expected.")
    return NpyFile.open(path) if path.suffix.lower() == ".npy" else CsvFile.open(path)


def read_table(file: TableFile, columns: Sequence[str] | None = None, weight_column: str | None = None) -> Table:
    """Read columns by name or by position.

    Parameters
    ----------
    file : TableFile
    columns : sequence of str, optional
        By default all but the weight column.
    weight_column : str, optional

    Raises
    ------
    ValueError
        For a column that is not there, and for values that are not numbers.
    """
    weight_index = [] if weight_column is None else [_column_index(file, weight_column)]
    if columns is None:
        indices = [index for index in range(file.n_columns) if index not in weight_index]
    else:
        indices = [_column_index(file, column) for column in columns]
    if not indices:
        raise ValueError(f"{file.path} has no column left to read.")
    values = file.load(indices + weight_index)
    return Table(
        X=values[:, : len(indices)],
        weight=values[:, -1] if weight_index else None,
        names=[file.names[index] for index in indices] if file.names else None,
        labels=[label(file, index) for index in indices],
    )


def label(file: TableFile, index: int) -> str:
    """How to call a column: by its name or its position."""
    return (file.names[index] if file.names else "") or str(index)


def _column_index(file: TableFile, column: str) -> int:
    names = file.names or []
    column = column.strip()
    if names.count(column) > 1:
        where = [index for index, name in enumerate(names) if name == column]
        raise ValueError(f"{file.path} has several columns {column!r}: choose one by its position, {where}.")
    if column in names:
        return names.index(column)
    if column.isdecimal() and int(column) < file.n_columns:
        return int(column)
    positions = f"0 to {file.n_columns - 1}" if file.n_columns > 1 else "0"
    there = f"Its columns: {', '.join(names)}; or {positions}" if names else f"Its columns: {positions}"
    raise ValueError(f"{file.path} has no column {column!r}. {there}.")


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, each with the number of its last line."""
    try:
        with _open_text(path, "r") as file:
            reader = csv.reader(file)
            for row in reader:
                if row:
                    yield reader.line_num, row
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8; a .csv, .csv.gz or .npy file is expected.") from error
    except (csv.Error, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is not a CSV file, or it is damaged: {error}.") from error


def _open_text(path: Path, mode: str) -> IO[str]:
    encoding = "utf-8-sig" if mode == "r" else "utf-8"
    if path.suffix.lower() == ".gz":
        return gzip.open(path, mode + "t", encoding=encoding, newline="")  # type: ignore[return-value]
    return open(path, mode, encoding=encoding, newline="")


def _is_header(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether the first row is all text, or has text above a number."""
    text = [_is_text(field) for field in first]
    return all(text) or any(above and not _is_text(field) for above, field in zip(text, second, strict=False))


def _is_text(field: str) -> bool:
    return _number(field) is None


def _number(field: str) -> Any:
    """The number in a field, NaN for a missing one, None for text."""
    if field.strip().lower() in _MISSING:
        return math.nan
    try:
        return float(field)
    except ValueError:
        return None


def require_writable(path: Path, inputs: Sequence[Path]) -> None:
    """Raise before any work is done when a result could not be written, or would replace what it is made from."""
    if path.is_dir():
        raise ValueError(f"Cannot write {path}: it is a directory.")
    if not path.parent.is_dir():
        raise ValueError(f"Cannot write {path}: there is no directory {path.parent}.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(f"Cannot write {path}: permission denied.")
    if path.exists() and any(given.exists() and path.samefile(given) for given in inputs):
        raise ValueError(f"Cannot write {path}: it would overwrite an input. Name another file.")


def write_table(path: Path | None, names: Sequence[str], values: np.ndarray) -> None:
    """Write an array (N, D) or (N,): to a `.npy` file, to a CSV file of any other name, or as CSV to the terminal."""
    if path is None:
        _write_csv(sys.stdout, names, values)
    elif path.suffix.lower() == ".npy":
        with open(path, "wb") as file:
            np.save(file, values, allow_pickle=False)
    else:
        with _open_text(path, "w") as text:
            _write_csv(text, names, values)


def _write_csv(file: IO[str], names: Sequence[str], values: np.ndarray) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    rows = values.reshape(values.shape[0], -1)
    for start in range(0, rows.shape[0], _BLOCK_ROWS):
        # Python's floats are written with as many digits as it takes to read the same number again.
        writer.writerows(rows[start : start + _BLOCK_ROWS].tolist())
