"""Sequences by a column that names the sequence of each row: a number, a text, a date, a category."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastem.given import is_missing
from fastem.sources.reader import SourceError

IDS_AT_A_TIME = 2**16


def known_ids(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,), and whether each is missing (n,)."""
    return values, is_missing(values)


def run_lengths(parts: Iterable[tuple[np.ndarray, np.ndarray]], label: str, column: str | int) -> np.ndarray:
    """Lengths (S,) of the runs of equal values in a column, of which a reader's `ids` gave the parts.

    A value that is missing, or that comes back after another one, is a SourceError.
    """
    begins: dict[Any, int] = {}
    n_rows, last = 0, None
    for values, missing in parts:
        if missing.any():
            raise SourceError(
                f"{label}, row {n_rows + int(np.argmax(missing))}, column {column!r}: the name of the sequence is "
                "missing. Drop such rows, or fill in the names."
            )
        changes = np.flatnonzero(values[1:] != values[:-1]) + 1
        if not n_rows or values[0] != last:
            changes = np.concatenate([[0], changes])
        for change in changes.tolist():
            _begin(begins, values[change], n_rows + change, label, column)
        n_rows, last = n_rows + len(values), values[-1]
    return np.diff([*begins.values(), n_rows]).astype(np.int64)


def _begin(begins: dict[Any, int], name: Any, row: int, label: str, column: str | int) -> None:
    key = str(name) if isinstance(name, np.datetime64) else name
    try:
        before = begins.get(key)
    except TypeError:
        raise SourceError(
            f"{label}, column {column!r}: {name!r} names no sequence. Use numbers, texts, dates or categories."
        ) from None
    if before is not None:
        raise SourceError(
            f"{label}, column {column!r}: the sequence {key!s} begins at row {before}, and comes back at row {row} "
            "after another one. The rows of a sequence must follow each other: sort them by this column, with a "
            "sort that keeps the order of equal rows (kind='stable'), or give lengths."
        )
    begins[key] = row
