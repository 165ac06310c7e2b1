"""Incremental EM over blocks of a source."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from fastem.executors.reduction import EpochState, sum_over
from fastem.fitting.batch import Reporter
from fastem.fitting.problem import Problem
from fastem.model import Model, Params
from fastem.schedules.incremental import IncrementalState, fit_incremental
from fastem.schedules.result import FitResult, FitState, Trace
from fastem.sources import Chunk, Source
from fastem.sources.segments import segments_of
from fastem.sources.source import chunk_rows, whole_runs
from fastem.stats import ExpectedStats, Repair

_MOST_BLOCKS = 256

_CHUNK_BYTES = 8 * 2**20


@dataclass(frozen=True)
class _Blocks:
    """A model whose E-step takes a block of several chunks."""

    model: Model
    reporter: Reporter

    def e_step(self, params: Params, chunks: Iterable[Chunk]) -> ExpectedStats:
        pruning = self.model.pruning(params)

        def watch(n_rows: int, state: EpochState) -> None:
            self.reporter.rows(n_rows)

        return sum_over(segments_of(chunks), lambda begun: self.model.accumulator(params, pruning, begun), watch=watch)

    def m_step(self, stats: ExpectedStats, params: Params) -> tuple[Params, list[Repair]]:
        return self.model.m_step(stats, params)

    def with_prior(self, stats: ExpectedStats, params: Params) -> ExpectedStats:
        return self.model.with_prior(stats, params)


@dataclass(kw_only=True)
class IncrementalStrategy:
    """Incremental EM over blocks of rows."""

    tol: float
    max_iter: int

    def begin(self, params: Params) -> IncrementalState:
        return IncrementalState(params)

    def run(self, model: Model, source: Source, state: IncrementalState, seed: int, reporter: Reporter) -> FitResult:
        rows, n_chunks = block_size(source)

        def blocks() -> Iterator[Iterator[Chunk]]:
            chunks = source.chunks(rows)
            for first in chunks:
                block = chain([first], islice(chunks, n_chunks - 1))
                yield block
                # A block that is skipped is read nevertheless, to come to the next.
                for _ in block:
                    pass

        def watch(state: IncrementalState) -> None:
            if state.n_visited == 0:
                reporter.epoch(state.epoch, state.trace)
            reporter.step()

        min_rows = source.n_features + 1.0
        return fit_incremental(
            _Blocks(model, reporter),
            state,
            blocks,
            tol=self.tol,
            max_epochs=self.max_iter,
            min_rows=min_rows,
            watch=watch,
        )

    def finalised(self, model: Model, result: FitResult, source: Source | None) -> FitResult:
        state = result.state
        trace = Trace(
            list(state.trace.objective), list(state.trace.repairs), state.trace.remaining, state.trace.decrease
        )
        stats = state.total
        if source is not None:
            stats = Problem(model, source).e_step(state.params)
            trace.objective.append(stats.objective)
        elif not trace.objective:
            trace.objective.append(stats.objective)
        shown = FitState(state.params, trace, zero_density=float(stats.zero_density), log_prior=float(stats.log_prior))
        return FitResult(shown, result.reason, state.epoch, result.error)


def block_size(source: Source) -> tuple[int, int]:
    """Rows of a chunk, and chunks of a block, of incremental EM.

    A block has about N^(3/5) rows, so that there are N^(2/5) of them (Ng & McLachlan 2003), but not too many.
    """
    n_rows = source.n_rows or 1
    wanted = math.ceil(max(n_rows / _MOST_BLOCKS, n_rows**0.6))
    rows = chunk_rows(source, _CHUNK_BYTES, whole_runs(wanted))
    return rows, math.ceil(wanted / rows)
