"""How a start is improved: by which schedule, over which cut of the data, and what is shown of it meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, Protocol

import numpy as np

from fastem.binned import BinnedProblem, Bins
from fastem.compress import Grid, compress
from fastem.estimators._problem import Problem, SampleProblem, first_rows, shuffled_sample
from fastem.estimators._report import OnlineNote
from fastem.executors.serial import sum_over
from fastem.init.start import sample_size
from fastem.model import Model, Params
from fastem.schedules.accelerate import Accelerator, Anderson, Automatic, Squarem
from fastem.schedules.batch import fit_batch
from fastem.schedules.grow import Correction, fit_samples
from fastem.schedules.incremental import IncrementalState, fit_incremental
from fastem.schedules.online import OnlineSettings, OnlineState, batch_rows, estimate, fit_online
from fastem.schedules.result import FitResult, FitState, Reason, Trace
from fastem.schedules.steps import Forgetting, StepSize
from fastem.sources import ArraySource, Chunk, Source
from fastem.sources.shuffle import shuffled, taken
from fastem.sources.source import chunk_rows, draw_rows, whole_runs
from fastem.stats import ExpectedStats, Rescue

# Rows that online EM is judged by and never learns from: at most so many, and this part of all rows. When there
# are fewer than the last number, it is judged by the rows that it learns from.
_MOST_HELD, _PART_HELD, _FEW_ROWS = 10_000, 20, 1000
# Of fewer bins, some component may see only one, and collapse onto it.
_MIN_BINS = 32
_GRID_ROWS = 4096
_CLOSER = 0.1
# Blocks of incremental EM: statistics are kept of each.
_MOST_BLOCKS = 256
# Samples that lead the fit of all rows: each is so many times larger than the one before, and all rows at least so
# many times than the last.
_GROWTH, _PART_LEADING = 4, 8
_MANY_ROWS = 1_000_000
_LEAST_SAMPLE = 100_000
_ROWS_PER_PARAMETER, _LEAST_ROWS_PER_PARAMETER = 1000, 50
_CHUNK_BYTES = 8 * 2**20


class Follower(Protocol):
    """Who is told how a fit goes on."""

    def rows(self, n_rows: int) -> None:
        """So many more rows were read."""
        ...

    def step(self) -> None:
        """The state of the schedule has moved."""
        ...

    def epoch(self, n_done: int, trace: Trace) -> None:
        """All rows were read once more."""
        ...


class Learning(Protocol):
    """One way to improve a start."""

    def begin(self, params: Params) -> Any:
        """The state of a schedule at its start."""
        ...

    def run(self, model: Model, source: Source, state: Any, seed: int, follower: Follower) -> FitResult:
        """Go on from a state; that of the result is the state of the schedule."""
        ...

    def shown(self, model: Model, result: FitResult, source: Source | None) -> FitResult:
        """The result with a `FitState`, whose objective is exact when there is a source to read."""
        ...


ACCELERATORS: dict[str, Callable[[Model, float], Accelerator]] = {
    "auto": lambda model, tol: Automatic(model, model.n_parameters(), tol),
    "squarem": lambda model, tol: Squarem(model),
    "anderson": Anderson,
}


def accelerator_of(name: str | None, model: Model, tol: float) -> Accelerator | None:
    """The accelerator of a name of `ACCELERATORS`; None stands for plain EM."""
    return None if name is None else ACCELERATORS[name](model, tol)


def led_by(sample: ArraySource, model: Model, tol: float, after: Accelerator | None) -> Accelerator:
    """The accelerator that a sample of all rows is; `after` goes on where it misleads."""
    return Correction(model, SampleProblem(model, sample), tol, after or Squarem(model))


@dataclass(kw_only=True)
class BatchLearning:
    """EM over all rows.

    Parameters
    ----------
    acceleration : str or None
        A name of `ACCELERATORS`; None for plain EM.
    """

    tol: float
    max_iter: int
    acceleration: str | None = None

    def begin(self, params: Params) -> FitState:
        return FitState(params)

    def run(self, model: Model, source: Source, state: FitState, seed: int, follower: Follower) -> FitResult:
        def tell(n_rows: int) -> None:
            follower.rows(n_rows)
            state.e_step = problem.state
            follower.step()

        accelerator = self._accelerator(model, source, state, seed)
        problem = Problem(model, source, tell, state.e_step)
        return self._improve(problem, state, follower, accelerator)

    def _accelerator(self, model: Model, source: Source, state: FitState, seed: int) -> Accelerator | None:
        return accelerator_of(self.acceleration, model, self.tol)

    def _is_at_start(self, state: FitState) -> bool:
        """Whether iterations on a stand-in for the rows are to come first: not where an earlier fit is gone on with."""
        return self.max_iter > 0 and state.before is None and not state.trace.objective and state.n_iter_ahead == 0

    def _improve(self, problem: Any, state: FitState, follower: Follower, accelerator: Accelerator | None) -> FitResult:
        def watch(state: FitState) -> None:
            follower.epoch(state.n_iter, state.trace)
            follower.step()

        return fit_batch(problem, state, tol=self.tol, max_iter=self.max_iter, accelerator=accelerator, watch=watch)

    def shown(self, model: Model, result: FitResult, source: Source | None) -> FitResult:
        if result.trace.objective:
            return result
        # Within the first E-step there is a model, but nothing is known of it.
        return replace(result, state=FitState(result.state.candidate, Trace([math.nan])))


@dataclass(kw_only=True)
class GrowingLearning(BatchLearning):
    """EM on samples of growing size, and on all rows from where that ends, led by the largest sample.

    The samples decide where the fit of all rows goes, and nothing else: its stopping rule and its objective are those
    of all rows.

    Parameters
    ----------
    sample_bytes : int
        The largest sample takes no more memory.
    """

    sample_bytes: int

    def _accelerator(self, model: Model, source: Source, state: FitState, seed: int) -> Accelerator | None:
        after = super()._accelerator(model, source, state, seed)
        n_rows = sample_rows(source, [model], self.sample_bytes)
        if n_rows == 0:
            return after
        # Drawn by the seed: a fit that is gone on with finds the same rows.
        rows = shuffled_sample(source, n_rows, np.random.default_rng([seed, 0]))
        if self._is_at_start(state):
            problems = growing(model, rows)
            state.candidate, state.n_iter_ahead = fit_samples(
                problems, state.candidate, model.n_parameters(), model, tol=self.tol
            )
            state.n_rows_ahead = n_rows
        return led_by(rows, model, self.tol, after)


def sample_rows(source: Source, models: Sequence[Model], most_bytes: int) -> int:
    """Rows of the sample that leads the fits of all rows; zero when there are too few rows for it to pay.

    A family from outside may do without the log-density of statistics, by which a sample is corrected.
    """
    if not all(hasattr(model.family, "expected_log_prob") for model in models):
        return 0
    n_rows, n_parameters = source.n_rows or 0, max(model.n_parameters() for model in models)
    most = most_bytes // (8 * source.n_features)
    rows = min(n_rows // _PART_LEADING, max(_ROWS_PER_PARAMETER * n_parameters, _LEAST_SAMPLE), most)
    return rows if n_rows >= _MANY_ROWS and rows >= _LEAST_ROWS_PER_PARAMETER * n_parameters else 0


def growing(model: Model, rows: ArraySource) -> list[tuple[Problem, float]]:
    """Parts of a shuffled sample, each so many times larger than the one before, with their numbers of rows."""
    sizes = [len(rows.X)]
    while sizes[0] // _GROWTH >= sample_size(model.latent.n_components, rows.n_features):
        sizes.insert(0, sizes[0] // _GROWTH)
    cautious = model.cautious()
    return [(Problem(cautious, first_rows(rows, size)), size) for size in sizes]


@dataclass(kw_only=True)
class CompressedLearning(BatchLearning):
    """EM on the bins of one feature, and on all rows from where that ends.

    The bins decide where the fit of all rows starts, and nothing else.
    """

    n_bins: int
    stand_in: Source | None = None

    def run(self, model: Model, source: Source, state: FitState, seed: int, follower: Follower) -> FitResult:
        if self._is_at_start(state):
            if self.stand_in is None:
                self.stand_in = _bins_of(source, self.n_bins, model.latent.n_components)
            # The bins are so cheap that they are fitted more closely than will be asked of all rows.
            ahead = fit_batch(
                Problem(model, self.stand_in), state.candidate, tol=_CLOSER * self.tol, max_iter=self.max_iter,
                accelerator=self._accelerator(model, source, state, seed),
            )  # fmt: skip
            if ahead.reason is Reason.INTERRUPTED:
                raise KeyboardInterrupt
            state.candidate, state.n_iter_ahead = ahead.params, ahead.n_iter
        return super().run(model, source, state, seed, follower)


def _bins_of(source: Source, n_bins: int, n_components: int) -> Source:
    if source.n_features > 1:
        raise ValueError(f"compress={n_bins} is for one feature, but X has {source.n_features}. Use compress=None.")
    least = _MIN_BINS * n_components
    if n_bins < least:
        raise ValueError(
            f"compress={n_bins} bins are too few for n_components={n_components}. Use at least {least}, or "
            "compress=None."
        )
    # Roughly right is enough for a grid: it takes no part in the user's randomness.
    sample = source.sample(_GRID_ROWS, np.random.default_rng(0))
    values, weight = compress(source.chunks(), Grid.around(sample.X[:, 0], n_bins))
    return ArraySource(values[:, None], weight)


@dataclass(kw_only=True)
class HistogramLearning(BatchLearning):
    """Exact EM for a histogram."""

    bins: Bins

    def run(self, model: Model, source: Source, state: FitState, seed: int, follower: Follower) -> FitResult:
        accelerator = self._accelerator(model, source, state, seed)
        return self._improve(BinnedProblem(model, self.bins), state, follower, accelerator)


@dataclass(frozen=True)
class _Blocks:
    """A model whose E-step takes a block of several chunks."""

    model: Model
    follower: Follower

    def e_step(self, params: Params, chunks: Iterable[Chunk]) -> ExpectedStats:
        return sum_over(chunks, lambda: self.model.gathering(params), self.follower.rows)

    def m_step(self, stats: ExpectedStats) -> tuple[Params, list[Rescue]]:
        return self.model.m_step(stats)

    def with_prior(self, stats: ExpectedStats, params: Params) -> ExpectedStats:
        return self.model.with_prior(stats, params)


@dataclass(kw_only=True)
class IncrementalLearning:
    """Incremental EM over blocks of rows."""

    tol: float
    max_iter: int

    def begin(self, params: Params) -> IncrementalState:
        return IncrementalState(params)

    def run(self, model: Model, source: Source, state: IncrementalState, seed: int, follower: Follower) -> FitResult:
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
                follower.epoch(state.epoch, state.trace)
            follower.step()

        min_rows = source.n_features + 1.0
        return fit_incremental(
            _Blocks(model, follower),
            state,
            blocks,
            tol=self.tol,
            max_epochs=self.max_iter,
            min_rows=min_rows,
            watch=watch,
        )

    def shown(self, model: Model, result: FitResult, source: Source | None) -> FitResult:
        state = result.state
        trace = Trace(list(state.trace.objective), list(state.trace.rescues), state.trace.remaining, state.trace.fall)
        stats = state.total
        if source is not None:
            stats = Problem(model, source).e_step(state.params)
            trace.objective.append(stats.objective)
        elif not trace.objective:
            trace.objective.append(stats.objective)
        shown = FitState(state.params, trace, impossible=float(stats.impossible), log_prior=float(stats.log_prior))
        return FitResult(shown, result.reason, state.epoch, result.error)


@dataclass(kw_only=True)
class OnlineLearning:
    """Online EM over shuffled batches of rows.

    Parameters
    ----------
    settings : OnlineSettings
    weight : float
        Total weight of the rows.
    batch_size : int or None
    """

    tol: float
    max_iter: int
    settings: OnlineSettings
    weight: float
    batch_size: int | None = None

    def begin(self, params: Params) -> OnlineState:
        return OnlineState(params, most_rows=self.weight)

    def run(self, model: Model, source: Source, state: OnlineState, seed: int, follower: Follower) -> FitResult:
        n_rows = source.n_rows or 0
        size = self.batch_size or batch_rows(model.latent.n_components, n_rows)
        without = None
        if n_rows >= _FEW_ROWS:
            random = np.random.default_rng([seed, 0])
            without = draw_rows(min(_MOST_HELD, n_rows // _PART_HELD), n_rows, None, random)
        holdout = next(taken(source, np.arange(n_rows) if without is None else without).chunks())

        def batches(epoch: int) -> Iterator[Chunk]:
            for batch in shuffled(source, size, np.random.default_rng([seed, epoch + 1]), without):
                yield batch
                follower.rows(len(batch))
                del batch

        def watch(state: OnlineState) -> None:
            if state.n_batches == 0:
                follower.epoch(state.epoch, _online_trace(state))
            follower.step()

        def log_prob(params: Params, chunk: Chunk) -> np.ndarray:
            out = np.empty(len(chunk))
            model.log_prob(params, chunk.X, out)
            return out

        return fit_online(
            model, state, batches, settings=self.settings, tol=self.tol, max_epochs=self.max_iter, holdout=holdout,
            log_prob=log_prob, watch=watch,
        )  # fmt: skip

    def shown(self, model: Model, result: FitResult, source: Source | None) -> FitResult:
        state = result.state
        params = estimate(model, state)
        shown = FitState(params, _online_trace(state), impossible=state.skipped_weight)
        if source is not None:
            stats = Problem(model, source).e_step(params)
            shown.trace.objective.append(stats.objective)
            shown.impossible, shown.log_prior = float(stats.impossible), float(stats.log_prior)
        return FitResult(shown, result.reason, state.epoch, result.error)


def _online_trace(state: OnlineState) -> Trace:
    """The prequential log-likelihoods of whole epochs, and what is known of the gain to come."""
    rescues = [(when, span.rescue) for span in state.rescues for when in (span.first, span.last)]
    objective = [epoch.loglik for epoch in state.epochs] or [state.epoch_loglik / max(state.epoch_weight, 1e-300)]
    # A bound below zero says no more than that nothing is left; NaN stays.
    return Trace(objective, rescues, float(np.maximum(0.0, state.epochs[-1].bound)) if state.epochs else float("nan"))


def online_note(state: OnlineState) -> OnlineNote:
    """What happened on the way, for the report."""
    rows, loglik = state.trace.curve()
    return OnlineNote(
        n_updates=state.n_updates,
        weight=state.weight,
        prequential_rows=tuple(rows.tolist()),
        prequential_loglik=tuple(loglik.tolist()),
        held_out_gains=tuple(epoch.gain for epoch in state.epochs),
        held_out_bounds=tuple(epoch.bound for epoch in state.epochs),
        alarms=state.alarms,
        skipped_weight=state.skipped_weight,
        n_skipped=state.n_skipped,
    )


def block_size(source: Source) -> tuple[int, int]:
    """Rows of a chunk, and chunks of a block, of incremental EM.

    A block has about N^(3/5) rows, so that there are N^(2/5) of them (Ng & McLachlan 2003), but not too many.
    """
    n_rows = source.n_rows or 1
    wanted = math.ceil(max(n_rows / _MOST_BLOCKS, n_rows**0.6))
    rows = chunk_rows(source, _CHUNK_BYTES, whole_runs(wanted))
    return rows, math.ceil(wanted / rows)


def step_of(decay: float, offset: float, forgetting_factor: float | None, half_life: float | None) -> Any:
    """How much a batch counts."""
    if forgetting_factor is not None:
        return Forgetting(forgetting_factor)
    if half_life is not None:
        return Forgetting.from_half_life(half_life)
    return StepSize(decay, offset)
