"""Rows that a model cannot use, because of infinite values, say: they keep their places, and are counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fastem._naming import named
from fastem.estimators._views import fill_scores, fitted_of, loglik_of, room_for, rows_of, sequences_of
from fastem.fitting.checks import readable_rows, usable_rows
from fastem.fitting.criteria import criteria_of
from fastem.sources import Chunk, SequenceSource, Source
from fastem.sources.sequences import rows_of_runs
from fastem.sources.shuffle import taken

if TYPE_CHECKING:
    from fastem.estimators._em import BaseEM

# The label of a row that has none, where a file of integers must have one.
NO_LABEL = -1


@dataclass
class Marked:
    """What is said of all rows of a source of files, not read yet, and of how many nothing can be said.

    Of hidden Markov models, whole sequences are used, or not.
    """

    mixture: BaseEM
    source: Any
    n_rows: int = 0
    n_marked: int = 0

    def __post_init__(self) -> None:
        self.is_chain = hasattr(self.mixture, "transmat_")
        self._is_readable = partial(readable_rows, family=fitted_of(self.mixture)[0].family)

    def predicted(self, what: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Labels ("label") or probabilities ("posterior") of all rows, in order, and which rows (N,) have none."""
        self.n_rows = self.n_marked = 0
        for values, usable in self._of_sequences(what) if self.is_chain else self._of_rows(what):
            self.n_rows += usable.size
            self.n_marked += int(np.count_nonzero(~usable))
            values[~usable] = NO_LABEL if values.dtype.kind == "i" else np.nan
            yield values, ~usable

    def criteria(self) -> dict[str, float]:
        """Criteria of the rows that can be used.

        Raises
        ------
        ValueError
            When there are none.
        """
        if self.is_chain:
            sequences = sequences_of(self.mixture, self.source)
            usable = self._usable_rows(sequences)
            self.n_rows, self.n_marked = usable.size, int(np.count_nonzero(~usable))
            self._require_some("sequence")
            return self.mixture.criteria(_chosen(sequences, usable))
        readable = self.source.readable(self._is_readable)
        loglik, weight = loglik_of(self.mixture, readable)
        self.n_marked = readable.n_dropped
        self.n_rows = readable.n_rows + self.n_marked
        self._require_some("row")
        return criteria_of(fitted_of(self.mixture)[0], loglik, weight)

    def _require_some(self, what: str) -> None:
        if self.n_marked == self.n_rows:
            raise ValueError(f"Every {what} of {named('X')} has a value that cannot be used. Mend the values.")

    def _of_rows(self, what: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        mixture = self.mixture
        source, family = rows_of(mixture, self.source), fitted_of(mixture)[0].family
        for chunk in source.chunks():
            usable = usable_rows(chunk, family, source.labels)
            values = room_for(mixture, len(chunk), what)
            if usable.any():
                whole = _filled(chunk, usable)
                fill_scores(mixture, whole.X, what, values)
                del whole
            del chunk
            yield values, usable

    def _of_sequences(self, what: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        sequences = sequences_of(self.mixture, self.source)
        usable = self._usable_rows(sequences)
        predict: Any = self.mixture.predict if what == "label" else self.mixture.predict_proba
        values = room_for(self.mixture, usable.size, what)
        if usable.any():
            values[usable] = predict(_chosen(sequences, usable))
        yield values, usable

    def _usable_rows(self, sequences: SequenceSource) -> np.ndarray:
        """Which rows (N,) are of sequences all of whose rows can be read, after a pass."""
        parts = []
        for chunk in sequences.chunks():
            lengths: Any = chunk.lengths
            readable = self._is_readable(chunk.X)
            parts.append(np.repeat(np.logical_and.reduceat(readable, np.cumsum(lengths) - lengths), lengths))
            del chunk
        return np.concatenate(parts)


def _filled(chunk: Chunk, usable: np.ndarray) -> Chunk:
    """The rows, with one of those that can be used in the place of each that cannot."""
    if usable.all():
        return chunk
    X = chunk.X.copy()
    X[~usable] = X[np.argmax(usable)]
    return replace(chunk, X=X)


def _chosen(sequences: SequenceSource, usable: np.ndarray) -> Source:
    """The sequences that can be used; in memory, where there are others."""
    if usable.all():
        return sequences
    chosen = np.flatnonzero(usable[np.cumsum(sequences.lengths) - 1])
    return SequenceSource(taken(sequences.rows, rows_of_runs(sequences.lengths, chosen)), sequences.lengths[chosen])
