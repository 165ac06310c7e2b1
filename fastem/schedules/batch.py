"""Plain EM: an E-step over all data, an M-step, until nothing is left to gain."""

from __future__ import annotations

from typing import Any

from fastem.schedules.result import FitResult, FitState, Problem, Reason, Watch
from fastem.schedules.stopping import remaining_gain, rounding_slack


def fit_batch(problem: Problem, start: Any, *, tol: float, max_iter: int, watch: Watch | None = None) -> FitResult:
    """Iterate E- and M-steps from `start`.

    Parameters
    ----------
    problem : Problem
    start : parameters or FitState
        A state continues the fit that it comes from, to the same bits.
    tol : float
        Stop when Aitken's estimate of the gain still to come is below `tol` in two iterations running
        (one may be low by chance), in nats per unit of weight.
    max_iter : int
        Largest number of iterations.
    watch : callable, optional
        Called with the state at the start and after each iteration that is kept.

    Returns
    -------
    FitResult
        An iteration that lowered the objective is undone. When the fall is no more than rounding, it
        counts as converged: there is nothing left to gain. KeyboardInterrupt, or an error of the data,
        ends the fit with the parameters of the last whole iteration; before the first E-step is done,
        it is passed on.
    """
    state = start if isinstance(start, FitState) else FitState(start)
    try:
        return _iterate(problem, state, tol, max_iter, watch or (lambda state: None))
    except KeyboardInterrupt:
        if not state.trace.objective:
            raise
        return FitResult(state, Reason.INTERRUPTED, state.n_iter)
    except Exception as error:
        if not state.trace.objective:
            raise
        return FitResult(state, Reason.FAILED, state.n_iter, error)


def _iterate(problem: Problem, state: FitState, tol: float, max_iter: int, watch: Watch) -> FitResult:
    trace = state.trace
    while True:
        # Asked first, for a fit that is gone on with may have been at its end.
        if state.near >= 2 or trace.remaining == 0.0:
            return FitResult(state, Reason.CONVERGED, state.n_iter)
        if trace.objective and state.n_iter >= max_iter:
            return FitResult(state, Reason.MAX_ITER, state.n_iter)
        iteration = len(trace.objective)
        stats = problem.e_step(state.candidate)
        fall = trace.objective[-1] - stats.objective if iteration > 0 else 0.0
        if fall > 0.0:
            trace.fall = fall
            small = fall <= rounding_slack(stats.objective)
            return FitResult(state, Reason.CONVERGED if small else Reason.OBJECTIVE_FELL, iteration)
        candidate, rescues = problem.m_step(stats)
        state.params, state.impossible = state.candidate, float(stats.impossible)
        trace.objective.append(stats.objective)
        trace.rescues.extend((iteration, rescue) for rescue in state.rescues)
        trace.remaining = remaining_gain(trace.objective)
        state.candidate, state.rescues, state.e_step = candidate, rescues, None
        state.near = state.near + 1 if trace.remaining < tol else 0
        watch(state)
