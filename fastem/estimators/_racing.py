"""One start out of several: raced on a sample, and moved there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastem.estimators._problem import Problem
from fastem.estimators._report import MoveNote, RaceNote
from fastem.init.moves import Kept, moved
from fastem.init.race import race
from fastem.init.start import sample_size
from fastem.model import Model, Params
from fastem.schedules.accelerate import Squarem
from fastem.schedules.batch import fit_batch
from fastem.schedules.result import FitState
from fastem.sources import Source
from fastem.sources.source import Sample

# Rows of the sample that starts race on, at least and for each free parameter; and no more numbers than these. Of
# fewer, small components have too few rows to tell a good optimum from a bad one.
_LEAST_ROWS = 20_000
_ROWS_PER_PARAMETER = 50
_MOST_NUMBERS = 2**22
# The sample cannot tell optima apart that are nearer than this, in nats per unit of weight.
_TOL = 1e-6


def race_sample(source: Source, model: Model, random: np.random.Generator) -> Sample:
    """The rows that starts race on."""
    least = sample_size(model.latent.n_components, source.n_features)
    wanted = max(_LEAST_ROWS, _ROWS_PER_PARAMETER * model.n_parameters())
    return source.sample(max(least, min(wanted, _MOST_NUMBERS // source.n_features)), random)


@dataclass(frozen=True)
class RaceTrack:
    """A sample on which fits run.

    Parameters
    ----------
    model : Model
    sample : Sample
    """

    model: Model
    sample: Sample

    def run(self, starts: Sequence[Params], n_moves: int) -> tuple[Params, RaceNote]:
        """Race the starts; the winner is moved in at most so many rounds."""
        winner = race([FitState(params) for params in starts], self.advance)
        state = winner.contestant
        kept: list[Kept] = []
        if n_moves > 0:
            state, kept = moved(self.model.cautious(), self.sample, state, FitState, self.advance, n_moves)
        heats = tuple(tuple(heat) for heat in winner.heats)
        moves = tuple(note for step in kept for note in _notes(step))
        return state.params, RaceNote(len(self.sample.X), heats, winner.index, moves)

    def advance(self, state: FitState, n_iter: int) -> FitState:
        """Go on with a fit for at most so many iterations."""
        problem = Problem(self.model.cautious(), self.sample)
        fit_batch(problem, state, tol=_TOL, max_iter=state.n_iter + n_iter, accelerator=Squarem(self.model)).unbroken()
        return state


def _notes(step: Kept) -> list[MoveNote]:
    gain = step.gain / len(step.moves)
    return [
        MoveNote(move.removed, move.split, gain, was_empty)
        for move, was_empty in zip(step.moves, step.empty, strict=True)
    ]
