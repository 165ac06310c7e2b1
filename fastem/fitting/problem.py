"""A model and its data, as a schedule that reads all rows sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastem.executors.serial import sum_over, sums_over
from fastem.fitting.checks import require_finite
from fastem.model import Model, Params, Partial
from fastem.sources import ArraySource, Chunk, Source
from fastem.stats import ExpectedStats, Repair


class EpochState(NamedTuple):
    """How far an E-step over a source has come: rows that were added, and their sum."""

    n_rows: int
    sum: Partial


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
        n_done, begun = self.state or (0, None)
        accumulator = self.model.accumulator(params, begun=begun)

        def notify(n_rows: int) -> None:
            nonlocal n_done
            n_done += n_rows
            self.state = EpochState(n_done, accumulator.partial())
            self.notify(n_rows)

        stats = sum_over(_after(self.source.chunks(), n_done), lambda: accumulator, notify)
        self.state = None
        if np.isnan(stats.loglik):
            # Every value was finite when the fit began.
            for chunk in self.source.chunks():
                require_finite(chunk, self.source.labels)
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
        accumulators = [self.models[name].accumulator(params) for name, params in asked.items()]
        totals = dict(zip(asked, sums_over(self.source.chunks(), accumulators), strict=True))
        if any(np.isnan(stats.loglik) for stats in totals.values()):
            # Every value was finite when the fits began.
            for chunk in self.source.chunks():
                require_finite(chunk, self.source.labels)
        return {name: self.models[name].with_prior(stats, asked[name]) for name, stats in totals.items()}


def _after(chunks: Iterator[Chunk], n_rows: int) -> Iterator[Chunk]:
    """The chunks without the first `n_rows` rows."""
    for chunk in chunks:
        n = min(max(0, n_rows - chunk.first_row), len(chunk))
        if n == 0:
            yield chunk
        elif n < len(chunk):
            yield chunk.after(n)
        del chunk


@dataclass(frozen=True)
class SampleProblem:
    """A model and a sample in memory, without the prior: that counts once, with all rows."""

    model: Model
    sample: Source

    def e_step(self, params: Params) -> ExpectedStats:
        return sum_over(self.sample.chunks(), lambda: self.model.accumulator(params))

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
