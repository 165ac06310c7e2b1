"""The starts of a fit: those that are done, the best of them, and the one under way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from fastem.fitting.notes import RaceNote, RunNote
from fastem.schedules.result import FitResult
from fastem.stats import Repair


@dataclass
class Search:
    """How far a fit has come: all that it takes to go on from there.

    `random` is the state of the generator that later starts draw from. Of the starts that are done there are `runs`,
    and the `best` of them, with the state in which its schedule ended, and what had to be repaired at its start; of the
    one under way, the state of the schedule and the repairs. `races` tell how starts were chosen on a sample.
    """

    n_rows: int
    weight: float
    random: Mapping[str, Any]
    runs: list[RunNote] = field(default_factory=list)
    best: FitResult | None = None
    best_schedule: Any = None
    best_repairs: list[Repair] = field(default_factory=list)
    current: Any = None
    repairs: list[Repair] = field(default_factory=list)
    races: list[RaceNote] = field(default_factory=list)

    def begin(
        self, state: Any, repairs: list[Repair], generator: np.random.Generator, chosen: RaceNote | None = None
    ) -> None:
        """Take up a new start, chosen by a race where there was one."""
        self.current, self.repairs = state, repairs
        if chosen is not None:
            self.races.append(chosen)
        self.random = generator.bit_generator.state

    def generator(self) -> np.random.Generator:
        """What the next start draws from."""
        generator = np.random.default_rng()
        generator.bit_generator.state = self.random
        return generator

    def with_result(self, result: FitResult) -> Self:
        """This search with the result of the start under way; the earlier of equals stays the best."""
        note = RunNote(result.objective, result.n_iter, str(result.reason))
        done = replace(self, runs=[*self.runs, note], current=None, repairs=[])
        if self.best is None or result.objective > self.best.objective:
            done.best, done.best_repairs, done.best_schedule = result, self.repairs, self.current
        return done
