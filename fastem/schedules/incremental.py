"""Incremental EM: the statistics of every block are kept, and renewed one block at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from fastem.schedules.result import FitResult, PartialProblem, Reason, Trace, Watch
from fastem.schedules.stopping import remaining_gain, rounding_slack
from fastem.stats import ExpectedStats, Rescue


class _Sweep:
    """Parameters, the statistics of every block at its last visit, and the sum of these."""

    def __init__(self, problem: PartialProblem, params: Any, min_rows: float):
        self.problem = problem
        self.min_rows = min_rows
        self.params = params
        self.blocks: list[ExpectedStats] = []
        self.total: Any = None

    def visit(self, index: int, block: Any, epoch: int) -> list[Rescue]:
        """An M-step on all that is known, and an E-step on one block."""
        params, rescues = self.params, list[Rescue]()
        if epoch > 0 or (index > 0 and self.total.occupancy.min() >= self.min_rows):
            params, rescues = self.problem.m_step(self.total)
        stats = self.problem.e_step(params, block)
        if epoch > 0:
            total = (self.total - self._last(index, stats)) + stats
            self.blocks[index] = stats
        else:
            total = stats if index == 0 else self.total + stats
            self.blocks.append(stats)
        self.params, self.total = params, total
        return rescues

    def _last(self, index: int, stats: ExpectedStats) -> ExpectedStats:
        """The statistics of a block at its last visit."""
        weight = self.blocks[index].weight if index < len(self.blocks) else 0.0
        if not math.isclose(weight, stats.weight, rel_tol=1e-9):
            raise ValueError(
                f"block {index} had rows of weight {weight:g}, and now {stats.weight:g}: "
                "incremental EM needs the same blocks in every epoch"
            )
        return self.blocks[index]

    def end_epoch(self, n_visited: int) -> None:
        """Sum all blocks in order: subtraction leaves rounding errors behind."""
        if n_visited == 0 or n_visited < len(self.blocks):
            raise ValueError(
                f"an epoch had {n_visited} blocks, and the first one {len(self.blocks)}: "
                "incremental EM needs the same blocks, at least one, in every epoch"
            )
        self.total = sum(self.blocks[1:], start=self.blocks[0])


def fit_incremental(
    problem: PartialProblem,
    start: Any,
    blocks: Callable[[], Iterable[Any]],
    *,
    tol: float,
    max_epochs: int,
    min_rows: float = 0.0,
    watch: Watch | None = None,
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
    start : parameters
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
        Called with the trace after each epoch.

    Returns
    -------
    FitResult
        The objective of an epoch sums the log-likelihoods of its blocks, each at its visit: it lags behind that of
        the parameters. `params` are those of the last visit. `n_iter` counts M-steps on all blocks, one less than
        epochs. KeyboardInterrupt ends the fit with the parameters of the last visit.

    Raises
    ------
    ValueError
        When there are no blocks, or the blocks have changed.

    References
    ----------
    Neal & Hinton (1998), *A view of the EM algorithm that justifies incremental, sparse, and other variants*, in
    Learning in Graphical Models, 355-368.
    """
    trace, sweep = Trace(), _Sweep(problem, start, min_rows)
    reason = Reason.MAX_ITER
    epoch = near = 0
    try:
        for epoch in range(max_epochs):
            before, n_visited, rescues = (sweep.params, sweep.total), 0, list[Rescue]()
            for block in blocks():
                rescues.extend(sweep.visit(n_visited, block, epoch))
                n_visited += 1
            sweep.end_epoch(n_visited)
            objective = sweep.total.objective
            fall = trace.objective[-1] - objective if trace.objective else 0.0
            small = fall <= rounding_slack(objective)
            if fall > 0.0 and n_visited == 1:
                # This is batch EM, whose objective must not fall. That of several blocks may, near the end: it
                # is not their free energy.
                (sweep.params, sweep.total), trace.fall = before, fall
                reason = Reason.CONVERGED if small else Reason.OBJECTIVE_FELL
                break
            trace.objective.append(objective)
            trace.rescues.extend((epoch, rescue) for rescue in dict.fromkeys(rescues))
            trace.remaining = remaining_gain(trace.objective)
            if watch is not None:
                watch(trace)
            near = near + 1 if trace.remaining < tol else 0
            if near == 2 or (trace.remaining == 0.0 and small):
                reason = Reason.CONVERGED
                break
    except KeyboardInterrupt:
        if sweep.total is None:
            raise
        reason, epoch = Reason.INTERRUPTED, max(0, len(trace.objective) - 1)
    return FitResult(sweep.params, sweep.total, trace, reason, epoch)
