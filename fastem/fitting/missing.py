"""Which values of the rows are missing, and how a sample is completed that seeds and clusters are found in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from fastem._naming import named
from fastem.fitting.batch import accelerator_of
from fastem.fitting.notes import MissingNote
from fastem.fitting.problem import SampleProblem
from fastem.model import Model, Params
from fastem.schedules.batch import fit_batch
from fastem.sources import ArraySource, Chunk, SequenceSource
from fastem.starts.given import Rows, start_from
from fastem.stats import ExpectedStats

# More patterns than these are not told apart.
_MOST_PATTERNS = 10_000
# Rows that are looked at together.
_PIECE_ROWS = 4096
# One component is to tell how columns go together, as far as a start needs to know.
_TOL, _ITERATIONS, _ROWS = 1e-6, 200, 4096


@dataclass(frozen=True)
class Missing:
    """What is missing in the rows that count: those of positive weight that have some value.

    Attributes
    ----------
    n_rows : int
    n_missing : (D,) int64 ndarray
        In each column.
    n_empty : int
        Rows without any value, beside these.
    together : (D, D) bool ndarray
        Whether some row has both columns.
    patterns : frozenset of bytes
        Which values a row misses, each way once; of more than `_MOST_PATTERNS`, any.
    """

    n_rows: int
    n_missing: np.ndarray
    n_empty: int
    together: np.ndarray
    patterns: frozenset[bytes]

    @classmethod
    def none(cls, n_features: int) -> Self:
        """Of no rows."""
        together = np.zeros((n_features, n_features), dtype=bool)
        return cls(0, np.zeros(n_features, dtype=np.int64), 0, together, frozenset())

    def __add__(self, other: Missing) -> Missing:
        patterns = self.patterns
        if len(patterns) <= _MOST_PATTERNS:
            patterns = patterns | other.patterns
        return Missing(
            self.n_rows + other.n_rows, self.n_missing + other.n_missing, self.n_empty + other.n_empty,
            self.together | other.together, patterns,
        )  # fmt: skip

    def with_chunk(self, chunk: Chunk) -> Missing:
        """These and the rows of a chunk."""
        total = self
        for start in range(0, len(chunk), _PIECE_ROWS):
            rows = slice(start, start + _PIECE_ROWS)
            is_missing = np.isnan(chunk.X[rows])
            counts = ~is_missing.all(axis=1)
            n_empty = int(np.count_nonzero(~counts))
            if chunk.weight is not None:
                counts &= chunk.weight[rows] > 0.0
            total = total + _counted(is_missing[counts], n_empty, total)
        return total

    def beside_complete(self, n_rows: int) -> Missing:
        """These among `n_rows` rows, of which the others miss nothing."""
        n_complete, d = n_rows - self.n_rows, self.n_missing.size
        if n_complete == 0:
            return self
        pattern = frozenset([bytes(np.packbits(np.zeros(d, dtype=bool)))])
        return self + Missing(n_complete, np.zeros(d, dtype=np.int64), 0, np.ones((d, d), dtype=bool), pattern)

    @property
    def n_patterns(self) -> int | None:
        """How many ways there are to miss values, that of complete rows included; None for too many to count."""
        return len(self.patterns) if len(self.patterns) <= _MOST_PATTERNS else None

    def require_values(self, labels: Sequence[str]) -> None:
        """Raise ValueError for columns without any value in the rows that count."""
        lost = [labels[j] for j in np.flatnonzero(self.n_missing == self.n_rows).tolist()]
        if lost:
            raise ValueError(
                f"{named('X')} has no value in column(s) {', '.join(lost)}: nothing can be learnt of them. Leave them "
                "out."
            )

    def note(self) -> MissingNote:
        """These in words and plain numbers."""
        apart = np.argwhere(np.triu(~self.together, k=1)).tolist()
        return MissingNote(
            tuple(self.n_missing.tolist()), self.n_patterns, self.n_empty, tuple((i, j) for i, j in apart)
        )


def _counted(is_missing: np.ndarray, n_empty: int, before: Missing) -> Missing:
    """Of rows (N, D), beside empty ones; what is known from `before` need not be looked for."""
    n_rows, together = len(is_missing), before.together
    if not together.all():
        seen = (~is_missing).astype(np.float32)
        together = together | (seen.T @ seen > 0.0)
    patterns: Any = []
    if n_rows and len(before.patterns) <= _MOST_PATTERNS:
        patterns = np.unique(np.packbits(is_missing, axis=1), axis=0)
    return Missing(n_rows, is_missing.sum(axis=0, dtype=np.int64), n_empty, together, frozenset(map(bytes, patterns)))


class OneComponent(NamedTuple):
    """One component for all rows, by which what is missing can be drawn: its model, made for such rows, and parameters.

    `stats` are those of the rows that it was fitted to.
    """

    model: Model
    params: Params
    stats: ExpectedStats

    def completed(self, sample: Any, random: np.random.Generator) -> Any:
        """A sample in memory whose missing values are drawn, given those that are there; itself where none is missing.

        Means in their place would make clusters of their own.
        """
        if isinstance(sample, SequenceSource):
            return SequenceSource(self.completed(sample.rows, random), sample.lengths)
        if not np.isnan(sample.X).any():
            return sample
        return ArraySource(
            self.model.family.completed(self.params.family, 0, sample.X, random), sample.weight, sample.names
        )


def one_component_of(single: Model, excerpt: ArraySource, extremes: np.ndarray) -> OneComponent:
    """Fit one component to an excerpt of the rows, of which some values are missing.

    `extremes` (S, D) are rows that have a value in every column, together: the excerpt need not.
    """
    thinned = slice(None, None, -(-len(excerpt.X) // _ROWS))
    excerpt = ArraySource(excerpt.X[thinned], None if excerpt.weight is None else excerpt.weight[thinned])
    filled = ArraySource(_shuffled_in(excerpt.X, extremes), excerpt.weight)
    start, _ = start_from(
        single, Rows(filled.X, filled.weight), lambda start, stop: np.ones((stop - start, 1)), filled.X.mean(axis=0)
    )
    model = single.with_gaps()
    problem = SampleProblem(model, excerpt)
    accelerator = accelerator_of("squarem", model, _TOL)
    end = fit_batch(problem, model.prepared(start), tol=_TOL, max_iter=_ITERATIONS, accelerator=accelerator).unbroken()
    return OneComponent(model, end.params, problem.e_step(end.params))


def _shuffled_in(X: np.ndarray, extremes: np.ndarray) -> np.ndarray:
    """Rows (N, D) in which other rows' values, one after the other, stand for those that are missing."""
    filled = X.copy()
    for column, values in zip(filled.T, extremes.T, strict=True):
        is_missing = np.isnan(column)
        if is_missing.any():
            seen = column[~is_missing] if not is_missing.all() else values[~np.isnan(values)]
            column[is_missing] = np.resize(seen, np.count_nonzero(is_missing))
    return filled
