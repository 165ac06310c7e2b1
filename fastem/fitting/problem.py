"""A model and its data, as a schedule that reads all rows sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastem.contracts import Accumulator
from fastem.executors.reduction import EpochState, sum_over, sums_over
from fastem.fitting.checks import Checked
from fastem.model import Model, Params
from fastem.schedules.result import FitState
from fastem.schedules.stopping import rounding_slack
from fastem.sources import ArraySource, Chunk, Source
from fastem.sources.segments import segments_of
from fastem.stats import ExpectedStats, Repair

# While the last two iterations gained more than this, in nats per unit of weight, the next one may be in float32: the
# noise of that in an objective is a hundredth of it, or less.
_FLOAT32_GAIN = 1e-6


@dataclass
class Problem:
    """A model and its data, as a schedule sees them.

    Attributes
    ----------
    notify : callable
        Is told the number of rows of each chunk that was read.
    state : EpochState or None
        Of the E-step under way. One that is given is gone on with.
    fit : FitState or None
        The fit whose E-steps these are, when they may be in float32 where rows are: the first ones, as long as the fit
        gains more than float32 blurs. The last ones, which decide when it stops and what it tells, are in float64.
    """

    model: Model
    source: Source
    notify: Callable[[int], None] = lambda n_rows: None
    state: EpochState | None = None
    fit: FitState | None = None
    # Whether there are float32 rows, and whether some E-step left the range of float32.
    _has_float32: bool = field(default=False, init=False)
    _is_wide: bool = field(default=False, init=False)

    def e_step(self, params: Params) -> ExpectedStats:
        float32 = not self._is_wide and self._gains_enough(0)
        stats = self._sum(params, float32)
        if float32 and self._has_float32 and (stats.zero_density > 0.0 or not stats.is_finite()):
            self._is_wide = True
            stats = self._sum(params, False)
        if np.isnan(stats.loglik):
            # Every value was usable when the fit began.
            Checked(self.source, self.model.family).look_over_again()
        return self.model.with_prior(stats, params)

    def slack(self, objective: float) -> float:
        """The largest fall of the objective that rounding explains, in the arithmetic of the last two E-steps."""
        if self.fit is None or not self._has_float32:
            return rounding_slack(objective)
        # What is known of an earlier fit may be of float32.
        is_first = self.fit.before is not None and len(self.fit.trace.objective) < 2
        is_blurred = is_first or self._gains_enough(0) or self._gains_enough(1)
        return _FLOAT32_GAIN if is_blurred else rounding_slack(objective)

    def _gains_enough(self, n_back: int) -> bool:
        """Whether the fit, as it was so many iterations ago, gained enough for an E-step in float32."""
        if self.fit is None:
            return False
        known, before = self.fit.course(), self.fit.before
        if before is not None and not self.fit.trace.objective:
            known = before.objective
        return bool(np.all(np.diff(known[: len(known) - n_back][-3:]) > _FLOAT32_GAIN))

    def _sum(self, params: Params, float32: bool) -> ExpectedStats:
        state, pruning = self.state, self.model.pruning(params)

        def watch(n_rows: int, state: EpochState) -> None:
            self.state = state
            self.notify(n_rows)

        def begin(begun: Any) -> Accumulator:
            return self.model.accumulator(params, pruning, begun, float32=float32)

        after = None if state is None else (state.n_rows, state.part)
        segments = segments_of(self._noted(self.source.chunks()), after)
        stats = sum_over(segments, begin, state, watch)
        self.state = None
        return stats

    def _noted(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            self._has_float32 |= chunk.X.dtype == np.float32
            yield chunk
            del chunk

    def m_step(self, stats: ExpectedStats, params: Params) -> tuple[Params, list[Repair]]:
        return self.model.m_step(stats, params)


@dataclass(frozen=True)
class SharedProblem:
    """Several models and the data that all of them see in the same read.

    Attributes
    ----------
    models : mapping of name to Model
    source : Source
    """

    models: Mapping[Any, Model]
    source: Source

    def e_steps(self, asked: Mapping[Any, Params]) -> dict[Any, ExpectedStats]:
        """Statistics of all rows for each of the parameters, by the name of their model."""
        models = [(self.models[name], params, self.models[name].pruning(params)) for name, params in asked.items()]

        def begin() -> list[Accumulator]:
            return [model.accumulator(params, pruning) for model, params, pruning in models]

        totals = dict(zip(asked, sums_over(segments_of(self.source.chunks()), begin), strict=True))
        if any(np.isnan(stats.loglik) for stats in totals.values()):
            # Every value was usable when the fits began.
            Checked(self.source, models[0][0].family).look_over_again()
        return {name: self.models[name].with_prior(stats, asked[name]) for name, stats in totals.items()}


@dataclass(frozen=True)
class SampleProblem:
    """A model and a sample in memory, without the prior: that counts once, with all rows."""

    model: Model
    sample: Source

    def e_step(self, params: Params) -> ExpectedStats:
        pruning = self.model.pruning(params)
        segments = segments_of(self.sample.chunks())
        return sum_over(segments, lambda begun: self.model.accumulator(params, pruning, begun))

    def m_step(self, stats: ExpectedStats, params: Params) -> tuple[Params, list[Repair]]:
        return self.model.m_step(stats, params)


def shuffled_sample(source: Source, n_rows: int, random: np.random.Generator) -> ArraySource:
    """Rows of positive weight, drawn without replacement, in an order that makes every part of them a sample, too."""
    sample = source.sample(n_rows, random)
    order = random.permutation(len(sample.X))
    return ArraySource(sample.X[order], None if sample.weight is None else sample.weight[order])


def first_rows(sample: ArraySource, n_rows: int) -> ArraySource:
    """The first rows of a sample."""
    return ArraySource(sample.X[:n_rows], None if sample.weight is None else sample.weight[:n_rows])
