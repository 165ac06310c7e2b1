"""EM on a small stand-in for the data first, then on all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastem.schedules.batch import fit_batch
from fastem.schedules.result import FitResult, Problem, Reason, Watch

# The stand-in is so cheap that it is fitted more closely than will be asked of all data.
_CLOSER = 0.1


def fit_ahead(
    stand_in: Problem, problem: Problem, start: Any, *, tol: float, max_iter: int, watch: Watch | None = None
) -> FitResult:
    """Fit a stand-in, and continue from there on the problem itself.

    The stand-in decides where the second fit starts, and nothing else: that one ends by its own rules, and the
    result is its own, except for `n_iter_ahead`.

    Parameters
    ----------
    stand_in, problem : Problem
        With the same parameters.
    start, tol, max_iter, watch
        As in `fit_batch`; `max_iter` is for each of the two fits, `watch` sees the second.
    """
    ahead = fit_batch(stand_in, start, tol=_CLOSER * tol, max_iter=max_iter)
    if ahead.reason is Reason.INTERRUPTED:
        raise KeyboardInterrupt
    result = fit_batch(problem, ahead.params, tol=tol, max_iter=max_iter, watch=watch)
    return replace(result, n_iter_ahead=ahead.n_iter)
