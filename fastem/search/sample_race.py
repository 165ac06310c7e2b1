"""One start out of several: raced on a sample, with swaps of components there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from fastem._naming import named
from fastem.fitting.batch import accelerator_of
from fastem.fitting.notes import RaceNote, SwapNote
from fastem.fitting.problem import Problem
from fastem.fitting.scan import DataSummary
from fastem.fitting.spec import AUTO, ModelSpec, Start, Starts
from fastem.fitting.starting import MixtureStart, is_bound
from fastem.model import Model, Params
from fastem.schedules.accelerate.protocol import Accelerator
from fastem.schedules.batch import fit_batch
from fastem.schedules.result import FitState
from fastem.search.automatic import n_in_turn, n_side_by_side
from fastem.search.halving import race
from fastem.search.side_by_side import race_side_by_side
from fastem.search.swaps import AcceptedSwaps, with_swaps
from fastem.sources import Source
from fastem.sources.sequences import SequenceSource
from fastem.sources.source import Sample
from fastem.starts.start import sample_size

# Rows of the sample that starts race on, at least and for each free parameter; and no more numbers than these. Of
# fewer, small components have too few rows to tell a good optimum from a bad one.
_LEAST_ROWS = 20_000
_ROWS_PER_PARAMETER = 50
_MOST_NUMBERS = 2**22
# Long sequences are cut into pieces of so many rows, which come from anywhere in time.
_PIECE_ROWS = 1000
# The sample cannot tell optima apart that are nearer than this, in nats per unit of weight.
_TOL = 1e-6
# Without caution a start is followed for so long.
_MOST_ITERATIONS = 1000


def starts_of(spec: ModelSpec, summary: DataSummary, source: Any) -> Starts:
    """The starts of a fit: each is made anew, or the best of several is found on a sample.

    Raises
    ------
    ValueError
        For swaps of components whose parameters are fixed.
    """
    model, strays = summary.model, summary.strays
    is_auto = spec.n_init == AUTO
    n_starts = (n_in_turn(spec, model, summary.n_rows) if spec.races else 1) if is_auto else int(spec.n_init)
    n_raced = n_starts if spec.races else 1
    # Swaps take longer than all that is done for few rows.
    n_swaps = 0 if is_auto and spec.swaps == "auto" else _most_swaps(spec.swaps, model, n_raced)
    n_together = n_side_by_side(spec, model, summary.n_rows) if is_auto and spec.races else 0

    def make_of_many(random: np.random.Generator) -> Start:
        sample: Any = source.sample(summary.n_rows, random)
        completed = summary.completed(sample, random)
        starts = cast(MixtureStart, spec.make_start).several(model, completed, n_together, random)
        track = RaceTrack(model, sample, completed, True)
        return track.run_side_by_side(starts, n_together, n_swaps, has_far_rows=strays is not None)

    def make(random: np.random.Generator) -> Start:
        if n_raced == 1 and n_swaps == 0:
            return spec.make_start(summary, source, source, random)
        sample: Any = race_sample(source, model, random)
        if strays is not None and not model.latent.is_chain:
            sample = strays.put_into(sample)
        starts = [spec.make_start(summary, source, sample, random) for _ in range(n_raced)]
        # Two fits to the end would take longer than the race of a few starts that nobody asked for.
        completed = summary.completed(sample, random)
        track = RaceTrack(model, sample, completed, not is_auto and sample.n_rows == source.n_rows)
        params, chosen = track.run([start.params for start in starts], n_swaps)
        return Start(params, starts[chosen.winner].repairs, chosen=chosen)

    return Starts(1 if n_raced > 1 else n_starts, make_of_many if n_together else make)


def _most_swaps(swaps: int | str, model: Model, n_raced: int) -> int:
    """The most rounds of swaps of a start."""
    if swaps == "auto":
        return model.latent.n_components if n_raced > 1 and not is_bound(model) else 0
    if swaps and is_bound(model):
        raise ValueError(
            f"{named('swaps')}={swaps} would move components whose parameters are fixed. "
            f"Use {named('search=Race(swaps=0)')}, or fix nothing."
        )
    return int(swaps)


def race_sample(source: Source, model: Model, random: np.random.Generator) -> Source:
    """The rows, or the sequences, that starts race on."""
    least = sample_size(model.latent.n_components, source.n_features)
    wanted = max(_LEAST_ROWS, _ROWS_PER_PARAMETER * model.n_parameters())
    n_rows = max(least, min(wanted, _MOST_NUMBERS // source.n_features))
    return _some_of(source, model.latent, n_rows, random)


def sample_of(spec: ModelSpec, source: Source, n_rows: int, random: np.random.Generator) -> Source:
    """A sample of so many rows for models of a spec; of sequences, or of pieces of long ones, for chains."""
    return _some_of(source, spec.make_latent(), n_rows, random)


def _some_of(source: Source, latent: Any, n_rows: int, random: np.random.Generator) -> Source:
    if not isinstance(source, SequenceSource):
        return source.sample(n_rows, random)
    # A piece may begin in any state, which a chain need not allow.
    return source.excerpt(n_rows, None if latent.allowed_start is not None else _PIECE_ROWS, random)


@dataclass(frozen=True)
class RaceTrack:
    """A sample on which fits run, the same without a missing value, and whether it holds all rows."""

    model: Model
    sample: Source
    completed: Source
    is_whole: bool = False

    def run(self, starts: Sequence[Params], n_swaps: int) -> tuple[Params, RaceNote]:
        """Race the starts; components of the winner are swapped in at most so many rounds.

        The race is run with caution, and short: where the sample holds all rows, the first start, which a fit from one
        start has, is taken nevertheless if it leads to more without caution.
        """
        winner = race([FitState(params) for params in starts], self.advance)
        state, kept = self._swapped(winner.contestant, n_swaps)
        heats = tuple(tuple(heat) for heat in winner.heats)
        # Caution may have led the first start elsewhere, even where it won.
        if self.is_whole and state.params is not starts[0] and self._end(starts[0]) > self._end(state.params):
            return starts[0], RaceNote(self.sample.n_rows or 0, heats, 0, ())
        return state.params, RaceNote(self.sample.n_rows or 0, heats, winner.index, _notes(kept))

    def run_side_by_side(self, starts: Params, n_starts: int, n_swaps: int, has_far_rows: bool) -> Start:
        """Race so many starts in the same passes over all rows, without caution; those that collapse come last."""
        rows = cast(Sample, self.sample)
        winner = race_side_by_side(self.model, rows, starts, n_starts, has_far_rows)
        state, kept = self._swapped(FitState(winner.lane.params), n_swaps)
        note = RaceNote(rows.n_rows or 0, winner.heats, winner.index, _notes(kept))
        return Start(state.params, winner.lane.repairs, chosen=note)

    def _swapped(self, state: FitState, n_swaps: int) -> tuple[FitState, list[AcceptedSwaps]]:
        if n_swaps == 0:
            return state, []
        # Only components of independent rows are swapped.
        rows = cast(Sample, self.completed)
        return with_swaps(self.model.regularised(), rows, state, FitState, self.advance, n_swaps)

    @property
    def _accelerator(self) -> Accelerator | None:
        return accelerator_of("squarem", self.model, _TOL)

    def _end(self, start: Params) -> float:
        """The objective that a start leads to without caution."""
        problem = Problem(self.model, self.sample)
        end = fit_batch(problem, start, tol=_TOL, max_iter=_MOST_ITERATIONS, accelerator=self._accelerator).unbroken()
        return end.objective

    def advance(self, state: FitState, n_iter: int) -> FitState:
        """Go on with a fit for at most so many iterations."""
        problem = Problem(self.model.regularised(), self.sample)
        fit_batch(problem, state, tol=_TOL, max_iter=state.n_iter + n_iter, accelerator=self._accelerator).unbroken()
        return state


def _notes(kept: Sequence[AcceptedSwaps]) -> tuple[SwapNote, ...]:
    return tuple(
        SwapNote(swap.removed, swap.split, step.gain / len(step.swaps), was_empty)
        for step in kept
        for swap, was_empty in zip(step.swaps, step.empty, strict=True)
    )
