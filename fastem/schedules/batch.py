"""Plain EM: an E-step over all data, an M-step, until nothing is left to gain."""

from __future__ import annotations

from typing import Any

from fastem.schedules.result import FitResult, Problem, Reason, Trace, Watch
from fastem.schedules.stopping import remaining_gain, rounding_slack


def fit_batch(problem: Problem, start: Any, *, tol: float, max_iter: int, watch: Watch | None = None) -> FitResult:
    """Iterate E- and M-steps from `start`.

    Parameters
    ----------
    problem : Problem
    start : parameters
    tol : float
        Stop when Aitken's estimate of the gain still to come is below `tol` in two iterations running
        (one may be low by chance), in nats per unit of weight.
    max_iter : int
        Largest number of iterations.
    watch : callable, optional
        Called with the trace at the start and after each iteration.

    Returns
    -------
    FitResult
        An iteration that lowered the objective is undone. When the fall is no more than rounding, it
        counts as converged: there is nothing left to gain. KeyboardInterrupt ends the fit with the
        parameters of the last whole iteration.
    """
    trace = Trace()
    params, stats, reason = start, None, Reason.MAX_ITER
    near = iteration = 0
    try:
        stats = problem.e_step(start)
        trace.objective.append(stats.objective)
        _tell(watch, trace)
        for iteration in range(1, max_iter + 1):
            next_params, rescues = problem.m_step(stats)
            next_stats = problem.e_step(next_params)
            fall = trace.objective[-1] - next_stats.objective
            if fall > 0.0:
                trace.fall = fall
                small = fall <= rounding_slack(next_stats.objective)
                reason = Reason.CONVERGED if small else Reason.OBJECTIVE_FELL
                break
            params, stats = next_params, next_stats
            trace.objective.append(stats.objective)
            trace.rescues.extend((iteration, rescue) for rescue in rescues)
            trace.remaining = remaining_gain(trace.objective)
            _tell(watch, trace)
            near = near + 1 if trace.remaining < tol else 0
            if near == 2 or trace.remaining == 0.0:
                reason = Reason.CONVERGED
                break
    except KeyboardInterrupt:
        if stats is None:
            raise
        reason = Reason.INTERRUPTED
        iteration = len(trace.objective) - 1
    return FitResult(params, stats, trace, reason, iteration)


def _tell(watch: Watch | None, trace: Trace) -> None:
    if watch is not None:
        watch(trace)
