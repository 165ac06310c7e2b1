"""The starts of a fit: those that are done, the best of them, and the one under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np

from fastem.estimators._report import RunNote
from fastem.estimators._validation import require_finite
from fastem.executors.serial import sum_over
from fastem.model import Model, Params, Partial
from fastem.schedules.result import FitResult
from fastem.sources import Chunk, Source
from fastem.stats import ExpectedStats, Rescue


class EpochState(NamedTuple):
    """How far an E-step over a source has come: rows that were added, and their sum."""

    n_rows: int
    sum: Partial


@dataclass
class Problem:
    """A model and its data, as a schedule sees them.

    Attributes
    ----------
    tell : callable
        Is told the number of rows of each chunk that was read.
    state : EpochState or None
        Of the E-step under way. One that is given is gone on with.
    """

    model: Model
    source: Source
    tell: Callable[[int], None] = lambda n_rows: None
    state: EpochState | None = None

    def e_step(self, params: Params) -> ExpectedStats:
        n_done, begun = self.state or (0, None)
        gathering = self.model.gathering(params, begun=begun)

        def tell(n_rows: int) -> None:
            nonlocal n_done
            n_done += n_rows
            self.state = EpochState(n_done, gathering.partial())
            self.tell(n_rows)

        stats = sum_over(_after(self.source.chunks(), n_done), lambda: gathering, tell)
        self.state = None
        if np.isnan(stats.loglik):
            # Every value was finite when the fit began.
            for chunk in self.source.chunks():
                require_finite(chunk, self.source.labels)
        return stats

    def m_step(self, stats: ExpectedStats) -> tuple[Params, list[Rescue]]:
        return self.model.m_step(stats)


def _after(chunks: Iterator[Chunk], n_rows: int) -> Iterator[Chunk]:
    """The chunks without the first `n_rows` rows."""
    for chunk in chunks:
        n = min(max(0, n_rows - chunk.first_row), len(chunk))
        if n == 0:
            yield chunk
        elif n < len(chunk):
            yield Chunk(chunk.X[n:], None if chunk.weight is None else chunk.weight[n:], chunk.first_row + n)
        del chunk


@dataclass
class Stream:
    """What `partial_fit` has learnt.

    Attributes
    ----------
    state : OnlineState or None
        None while there are too few rows to start.
    held : list of (N, D) ndarray
        Rows that wait for a start.
    held_weight : list of (N,) ndarray
        Their weights.
    n_rows : int
        All rows so far.
    """

    state: Any = None
    held: list[np.ndarray] = field(default_factory=list)
    held_weight: list[np.ndarray] = field(default_factory=list)
    n_rows: int = 0


@dataclass
class Search:
    """How far a fit has come: all that it takes to go on from there.

    Attributes
    ----------
    n_rows : int
    weight : float
        Total weight of the rows.
    random : dict
        State of the generator that later starts draw from.
    runs : list of RunNote
        The starts that are done.
    best : FitResult or None
        The best of them.
    best_schedule : state of a schedule, or None
        Where it ended.
    best_rescues : list of Rescue
        What had to be rescued at its start.
    current : state of a schedule, or None
        The start under way.
    rescues : list of Rescue
        What had to be rescued at the start under way.
    """

    n_rows: int
    weight: float
    random: Mapping[str, Any]
    runs: list[RunNote] = field(default_factory=list)
    best: FitResult | None = None
    best_schedule: Any = None
    best_rescues: list[Rescue] = field(default_factory=list)
    current: Any = None
    rescues: list[Rescue] = field(default_factory=list)

    def begin(self, state: Any, rescues: list[Rescue], generator: np.random.Generator) -> None:
        """Take up a new start."""
        self.current, self.rescues = state, rescues
        self.random = generator.bit_generator.state

    def generator(self) -> np.random.Generator:
        """What the next start draws from."""
        generator = np.random.default_rng()
        generator.bit_generator.state = self.random
        return generator

    def with_result(self, result: FitResult) -> Self:
        """This search with the result of the start under way; the earlier of equals stays the best."""
        note = RunNote(result.objective, result.n_iter, str(result.reason))
        done = replace(self, runs=[*self.runs, note], current=None, rescues=[])
        if self.best is None or result.objective > self.best.objective:
            done.best, done.best_rescues, done.best_schedule = result, self.rescues, self.current
        return done
