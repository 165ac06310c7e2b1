"""Incremental EM: the statistics of every block are kept, and renewed one block at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from fastem._options import Options
from fastem.schedules.result import FitResult, PartialProblem, Reason, Trace
from fastem.schedules.stopping import remaining_gain, rounding_slack
from fastem.stats import ExpectedStats, Repair


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Incremental(Options):
    """Incremental EM: parameters move after each block of rows, in the order of the data.

    The statistics of all blocks are kept; there is no step size, and rows may be sorted. An iteration is an epoch. It
    has no options: blocks have about N^(3/5) rows.

    References
    ----------
    Neal & Hinton (1998), in *Learning in Graphical Models*, 355-368.

    Examples
    --------
    >>> from fastem import GaussianMixture, Incremental
    >>> GaussianMixture(2, schedule=Incremental())
    GaussianMixture(n_components=2, schedule=Incremental())
    """


@dataclass
class IncrementalState:
    """Where incremental EM stands between two visits: all that it takes to go on from there."""

    # Of the last visit.
    params: Any
    # The objective of an epoch sums the log-likelihoods of its blocks, each at its visit: it lags behind that of the
    # parameters.
    trace: Trace = field(default_factory=Trace)
    # Statistics of every block at its last visit, and their sum.
    blocks: list[ExpectedStats] = field(default_factory=list)
    total: Any = None
    # Whole epochs, and visits of the present one, that were done.
    epoch: int = 0
    n_visited: int = 0
    # Epochs in a row after which the estimated remaining improvement was at most `tol`.
    near: int = 0
    # Of the present epoch.
    repairs: list[Repair] = field(default_factory=list)

    @property
    def n_iter(self) -> int:
        """M-steps on all blocks: one less than epochs."""
        return max(0, self.epoch - 1)


def fit_incremental(
    problem: PartialProblem,
    start: Any,
    blocks: Callable[[], Iterable[Any]],
    *,
    tol: float,
    max_epochs: int,
    min_rows: float = 0.0,
    watch: Callable[[IncrementalState], None] | None = None,
) -> FitResult:
    """Visit the blocks in turn, with an M-step before each visit.

    Every M-step, on the statistics that all blocks had at their last visit, raises the free energy of Neal and
    Hinton or leaves it: there is no step size, and rows may come in any order. In the first epoch the sum is built
    up from the blocks as they come, so that nothing of the start lingers. With one block this is batch EM, bit
    by bit.

    Parameters
    ----------
    problem : PartialProblem
        Such as a `Model`, when blocks are chunks.
    start : parameters or IncrementalState
        A state is gone on with, to the same bits: blocks of its present epoch that were visited are skipped.
    blocks : callable
        The blocks of an epoch, the same ones in the same order whenever it is asked.
    tol : float
        Stop when Aitken's estimate of the gain still to come is below `tol` at the end of two epochs running, in
        nats per unit of weight.
    max_epochs : int
        Largest number of epochs.
    min_rows : float
        In the first epoch, parameters stay where they are until every component has at least so many rows.
    watch : callable, optional
        Called with the state after each visit, and after each epoch.

    Returns
    -------
    FitResult
        KeyboardInterrupt, or an error of the data, ends the fit with the parameters of the last visit; before the
        first one it is passed on.

    Raises
    ------
    ValueError
        When there are no blocks.

    References
    ----------
    Neal & Hinton (1998), *A view of the EM algorithm that justifies incremental, sparse, and other variants*, in
    Learning in Graphical Models, 355-368.
    """
    state = start if isinstance(start, IncrementalState) else IncrementalState(start)
    notify = watch or (lambda state: None)
    try:
        while True:
            # Asked first, for a fit that is gone on with may have been at its end.
            if state.n_visited == 0 and _is_done(state):
                return FitResult(state, Reason.CONVERGED, state.n_iter)
            if state.epoch >= max_epochs:
                return FitResult(state, Reason.MAX_ITER, state.n_iter)
            before = state.params, state.total
            for block in islice(blocks(), state.n_visited, None):
                _visit(problem, state, block, min_rows)
                notify(state)
            reason = _end_epoch(problem, state, before, tol)
            notify(state)
            if reason is not None:
                return FitResult(state, reason, state.n_iter)
    except (KeyboardInterrupt, Exception) as error:
        return FitResult.broken_off(state, error, has_begun=state.total is not None)


def _visit(problem: PartialProblem, state: IncrementalState, block: Any, min_rows: float) -> None:
    """An M-step on all that is known, and an E-step on one block."""
    index, params, repairs = state.n_visited, state.params, list[Repair]()
    if state.epoch > 0 or (index > 0 and state.total.occupancy.min() >= min_rows):
        params, repairs = problem.m_step(state.total, params)
    stats = problem.e_step(params, block)
    if state.epoch > 0:
        total = (state.total - _last(state, index, stats)) + stats
        state.blocks[index] = stats
    else:
        total = stats if index == 0 else state.total + stats
        state.blocks.append(stats)
    state.params, state.total, state.n_visited = params, total, index + 1
    state.repairs.extend(repairs)


def _last(state: IncrementalState, index: int, stats: ExpectedStats) -> ExpectedStats:
    weight = state.blocks[index].weight if index < len(state.blocks) else 0.0
    if not math.isclose(weight, stats.weight, rel_tol=1e-9):
        raise ValueError(
            f"block {index} had rows of weight {weight:g}, and now {stats.weight:g}: "
            "incremental EM needs the same blocks in every epoch"
        )
    return state.blocks[index]


def _end_epoch(problem: PartialProblem, state: IncrementalState, before: tuple[Any, Any], tol: float) -> Reason | None:
    """Sum all blocks in order, since subtraction leaves rounding errors behind; tell whether an epoch was undone."""
    if state.n_visited == 0 or state.n_visited < len(state.blocks):
        raise ValueError(
            f"an epoch had {state.n_visited} blocks, and the first one {len(state.blocks)}: "
            "incremental EM needs the same blocks, at least one, in every epoch"
        )
    trace, is_batch = state.trace, state.n_visited == 1
    state.total = problem.with_prior(sum(state.blocks[1:], start=state.blocks[0]), state.params)
    state.epoch, state.n_visited = state.epoch + 1, 0
    objective = state.total.objective
    decrease = trace.objective[-1] - objective if trace.objective else 0.0
    if decrease > 0.0 and is_batch:
        # The objective of batch EM must not fall. That of several blocks may, near the end: it is not their
        # free energy.
        state.params, state.total = before
        if decrease <= rounding_slack(objective):
            trace.objective.append(trace.objective[-1])
            trace.remaining = 0.0
            return Reason.CONVERGED
        trace.decrease = decrease
        trace.n_rejected += 1
        return Reason.OBJECTIVE_DECREASED
    trace.objective.append(objective)
    trace.repairs.extend((state.epoch - 1, repair) for repair in dict.fromkeys(state.repairs))
    state.repairs = []
    trace.remaining = remaining_gain(trace.objective)
    if decrease > rounding_slack(objective):
        # Nothing is known better than this.
        trace.remaining = decrease
    state.near = state.near + 1 if trace.remaining < tol else 0
    return None


def _is_done(state: IncrementalState) -> bool:
    return state.near >= 2 or state.trace.remaining == 0.0
