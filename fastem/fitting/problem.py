"""A model and its data, as a schedule that reads all rows sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastem.contracts import Accumulator
from fastem.executors.reduction import EpochState, sum_over, sums_over
from fastem.fitting.checks import Checked
from fastem.model import Model, Params
from fastem.sources import ArraySource, Source
from fastem.sources.segments import segments_of
from fastem.stats import ExpectedStats, Repair


@dataclass
class Problem:
    """A model and its data, as a schedule sees them.

    Attributes
    ----------
    notify : callable
        Is told the number of rows of each chunk that was read.
    state : EpochState or None
        Of the E-step under way. One that is given is gone on with.
    """

    model: Model
    source: Source
    notify: Callable[[int], None] = lambda n_rows: None
    state: EpochState | None = None

    def e_step(self, params: Params) -> ExpectedStats:
        state, pruning = self.state, self.model.pruning(params)

        def watch(n_rows: int, state: EpochState) -> None:
            self.state = state
            self.notify(n_rows)

        segments = segments_of(self.source.chunks(), None if state is None else (state.n_rows, state.part))
        stats = sum_over(segments, lambda begun: self.model.accumulator(params, pruning, begun), state, watch)
        self.state = None
        if np.isnan(stats.loglik):
            # Every value was usable when the fit began.
            Checked(self.source, self.model.family).look_over()
        return self.model.with_prior(stats, params)

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
            Checked(self.source, models[0][0].family).look_over()
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
