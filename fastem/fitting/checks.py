"""Which rows can be used: values that are finite or missing, and that suit the family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from fastem._naming import named
from fastem.executors.reduction import reduced
from fastem.sources import Chunk, Source
from fastem.sources.holdout import without_weight_of_empty
from fastem.sources.segments import Segment, segments_of

# More are hardly codes: each takes a probability for each component.
_MOST_CATEGORIES = 1_000_000

_ROWS_CHECKED = 4096
_ALLOW = "set missing='mar'"


class Checked:
    """The rows of a source as a fit may use them: values that the family can have, or NaN where it may be missing.

    Chunks that miss some say so (`has_missing`); rows that miss all count as absent. Every value that is checked is
    checked here. Passes of a fit come after a first one through this gate, and read the source itself; where one ends
    in NaN nevertheless, `look_over` reads the rows again, to name the place.

    Parameters
    ----------
    source : Source
    family : Family, optional
        None as long as it is not known: any finite or missing value will do. It may be set while chunks are read.

    Raises
    ------
    ValueError
        From `chunks`, naming the first value that cannot be used.
    """

    def __init__(self, source: Source, family: Any = None):
        self._source, self.family = source, family

    def chunks(self, max_rows: int | None = None) -> Iterator[Chunk]:
        """The chunks of the source, once they are checked."""
        for chunk in self._source.chunks(max_rows):
            if _lacks_a_value(chunk, self._source.labels):
                self._require_allowed(chunk)
                chunk = without_weight_of_empty(replace(chunk, has_missing=True))
            if self.family is not None:
                _require_support(chunk, self.family, self._source.labels)
            yield chunk
            del chunk

    def look_over(self) -> bool:
        """Read all rows, and raise for a value that cannot be used; returns whether any value is missing."""
        has_missing = False
        for chunk in self.chunks():
            has_missing |= chunk.has_missing
            del chunk
        return has_missing

    def look_over_again(self) -> None:
        """Raise for a value that was usable when the fit began, and is not any more."""
        for chunk in self.chunks():
            if chunk.has_missing and not self.family.has_gaps:
                problem, remedy = "contains NaN, which was not there before", "Let nothing write to it meanwhile."
                _raise_for(chunk, np.isnan(chunk.X), problem, remedy, self._source.labels)
            del chunk

    def _require_allowed(self, chunk: Chunk) -> None:
        """Raise for a chunk that misses a value which must not be missing."""
        if not self._source.allows_missing:
            because = named("missing='error'")
            remedy = f"Drop these rows, fill in the values, or {named(_ALLOW)}."
        elif self.family is not None and not self.family.takes_gaps:
            because = f"{type(self.family).__name__} does not say what a row says that misses a value"
            remedy = "Drop these rows, fill in the values, or teach the family (docs/user_families.md says how)."
        else:
            self._require_needed(chunk)
            return
        _raise_for(chunk, np.isnan(chunk.X), f"contains NaN, and {because}", remedy, self._source.labels)

    def _require_needed(self, chunk: Chunk) -> None:
        needed = None if self.family is None else self.family.needed(chunk.X)
        if needed is not None and needed.any():
            problem = self.family.why_needed(int(np.argwhere(needed)[0, 1]))
            _raise_for(chunk, needed, problem, "Drop these rows, or fill in the values.", self._source.labels)


def usable_rows(chunk: Chunk, family: Any, labels: Sequence[str]) -> np.ndarray:
    """Which rows (N,) of a chunk a family can read: those without infinite values, nor missing ones it cannot do with.

    Raises
    ------
    ValueError
        For such a row that no component of the family can have.
    """
    usable = readable_rows(chunk.X, family)
    if usable.all():
        _require_support(chunk, family, labels)
    elif usable.any():
        _require_support(replace(chunk, X=chunk.X[usable]), family, labels, np.flatnonzero(usable))
    return usable


def readable_rows(X: np.ndarray, family: Any) -> np.ndarray:
    """Which rows (N,) of X (N, D) have no infinite value, nor a missing one that the family cannot do without."""
    if not family.takes_gaps:
        return np.isfinite(X).all(axis=1)
    needed = family.needed(X)
    readable = ~np.isinf(X).any(axis=1)
    return readable if needed is None else readable & ~needed.any(axis=1)


def _lacks_a_value(chunk: Chunk, labels: Sequence[str]) -> bool:
    """Whether a chunk holds NaN; infinity is a ValueError that names the first place by the labels of the columns."""
    with np.errstate(over="ignore", invalid="ignore"):
        suspect = not np.isfinite(chunk.X.sum())
    if not suspect:
        return False
    infinite = np.isinf(chunk.X)
    if infinite.any():
        _raise_for(chunk, infinite, "contains infinity", "Drop these rows, or mend the values.", labels)
    return bool(np.isnan(chunk.X).any())


def _raise_for(chunk: Chunk, wrong: np.ndarray, problem: str, remedy: str, labels: Sequence[str]) -> NoReturn:
    row, column = np.argwhere(wrong)[0]
    place = _place(chunk, row, chunk.X[row, column], column, labels)
    raise ValueError(f"{named('Input X')} {problem}: {place}; {_extent(chunk, wrong)}. {remedy}")


def _place(chunk: Chunk, row: int, value: float, column: int, labels: Sequence[str]) -> str:
    label = labels[column]
    return f"row {chunk.first_row + row}, column {label if label.isdecimal() else repr(label)} is {value}"


def _extent(chunk: Chunk, wrong: np.ndarray) -> str:
    return f"{np.count_nonzero(wrong)} such value(s) in rows {chunk.first_row} to {chunk.first_row + len(chunk) - 1}"


def _require_support(chunk: Chunk, family: Any, labels: Sequence[str], places: np.ndarray | None = None) -> None:
    """Raise ValueError when a chunk holds a value that no row of the family can have, naming the first place.

    `places` (N,) are those of the rows, counted from the first row of the chunk; None: they follow each other.
    """
    for start in range(0, len(chunk), _ROWS_CHECKED):
        part = chunk.X[start : start + _ROWS_CHECKED]
        wrong = family.outside(part)
        if wrong is None:
            return
        wrong &= ~np.isnan(part)
        if wrong.any():
            # Signs are what is told first: negative values are a mistake of their own.
            negative = wrong & (part < 0)
            row, column = np.argwhere(negative if negative.any() else wrong)[0]
            value = part[row, column]
            place = _place(chunk, start + row if places is None else places[start + row], value, column, labels)
            raise ValueError(
                f"{'Negative' if value < 0 else 'Some'} values in data do not suit the distribution: {place}, "
                f"but must be {family.support(column)}. Drop or mend such rows, or choose another distribution."
            )


def highest_codes(source: Source, coded: np.ndarray) -> np.ndarray:
    """The highest value (D,) of each column that holds codes, in one pass over a source.

    Raises
    ------
    ValueError
        For values that are infinite, or so large that they cannot be codes.
    """

    def highest_of(segment: Segment) -> np.ndarray:
        highest = np.zeros(source.n_features)
        for chunk in segment.chunks:
            np.maximum(highest, np.fmax.reduce(chunk.X, axis=0, initial=0.0), out=highest)
            del chunk
        return highest

    highest = reduced(highest_of, segments_of(Checked(source).chunks()), np.maximum)
    if highest[coded].max() >= _MOST_CATEGORIES:
        raise ValueError(
            f"{named('X')} holds the code {highest[coded].max():g}, but codes are the integers from 0 up, one for each "
            "category or count of a table. Encode categories, by sklearn.preprocessing.OrdinalEncoder, say; for counts "
            "as large as this take 'poisson', 'gamma' or 'log_normal'."
        )
    return highest.astype(np.int64)
