"""Which rows can be used: values that are finite, and that suit the family."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from fastem._naming import named
from fastem.sources import Chunk, Source

# More are hardly codes: each takes a probability for each component.
_MOST_CATEGORIES = 1_000_000

_ROWS_CHECKED = 4096


def checked(source: Source, family: Any, max_rows: int | None = None) -> Iterator[Chunk]:
    """The chunks of a source, whose values are finite and suit the family."""
    for chunk in source.chunks(max_rows):
        require_finite(chunk, source.labels)
        require_support(chunk, family, source.labels)
        yield chunk
        del chunk


def total_weight(chunks: Iterable[Chunk]) -> float:
    """The weight of all rows."""
    return math.fsum(len(chunk) if chunk.weight is None else float(chunk.weight.sum()) for chunk in chunks)


def require_finite(chunk: Chunk, labels: Sequence[str] | None = None) -> None:
    """Raise ValueError when a chunk holds NaN or infinity, naming the first place by the labels of the columns."""
    with np.errstate(over="ignore", invalid="ignore"):
        suspect = not np.isfinite(chunk.X.sum())
    if suspect:
        finite = np.isfinite(chunk.X)
        if not finite.all():
            _raise_not_finite(chunk, finite, labels)


def _raise_not_finite(chunk: Chunk, finite: np.ndarray, labels: Sequence[str] | None) -> NoReturn:
    row, column = np.argwhere(~finite)[0]
    kind = "NaN" if np.isnan(chunk.X[row, column]) else "infinity"
    raise ValueError(
        f"{named('Input X')} contains {kind} (NaN or inf is not supported): {_place(chunk, row, column, labels)}; "
        f"{_extent(chunk, ~finite)}. Drop these rows, or fill in the missing values."
    )


def _place(chunk: Chunk, row: int, column: int, labels: Sequence[str] | None) -> str:
    label = str(column) if labels is None else labels[column]
    return (
        f"row {chunk.first_row + row}, column {label if label.isdecimal() else repr(label)} is {chunk.X[row, column]}"
    )


def _extent(chunk: Chunk, wrong: np.ndarray) -> str:
    return f"{np.count_nonzero(wrong)} such value(s) in rows {chunk.first_row} to {chunk.first_row + len(chunk) - 1}"


def require_support(chunk: Chunk, family: Any, labels: Sequence[str] | None = None) -> None:
    """Raise ValueError when a chunk holds a finite value that no row of the family can have, naming the first place."""
    for start in range(0, len(chunk), _ROWS_CHECKED):
        part = chunk.X[start : start + _ROWS_CHECKED]
        wrong = family.outside(part)
        if wrong is None:
            return
        if wrong.any():
            require_finite(chunk, labels)
            row, column = np.argwhere(wrong)[0]
            which = "Negative values" if part[row, column] < 0 else "Some values"
            raise ValueError(
                f"{which} in data do not suit the distribution: {_place(chunk, start + row, column, labels)}, but must "
                f"be {family.support(column)}. Drop or mend such rows, or choose another distribution."
            )


def highest_codes(source: Source, coded: np.ndarray) -> np.ndarray:
    """The highest value (D,) of each column that holds codes, in one pass over a source.

    Raises
    ------
    ValueError
        For values that are not finite, or so large that they cannot be codes.
    """
    highest = np.zeros(source.n_features)
    for chunk in source.chunks():
        require_finite(chunk, source.labels)
        np.maximum(highest, chunk.X.max(axis=0, initial=0.0), out=highest)
    if highest[coded].max() >= _MOST_CATEGORIES:
        raise ValueError(
            f"{named('X')} holds the code {highest[coded].max():g}, but codes are the integers from 0 up, one for each "
            "category. Encode the columns, by sklearn.preprocessing.OrdinalEncoder, say."
        )
    return highest.astype(np.int64)
