"""Online EM over data that can be read again, an epoch at a time, until held-out rows gain nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import numpy as np

from fastem.schedules.online import EpochEnd, OnlineSettings, OnlineState, WeightedRows, estimate, online_update
from fastem.schedules.result import FitResult, PartialProblem, Reason

# One-sided 95 %.
_QUANTILE = 1.645

LogProb = Callable[[Any, Any], np.ndarray]


def fit_online(
    model: PartialProblem,
    start: Any,
    epochs: Callable[[int], Iterable[WeightedRows]],
    *,
    settings: OnlineSettings,
    tol: float,
    max_epochs: int,
    holdout: WeightedRows | None = None,
    log_prob: LogProb | None = None,
    watch: Callable[[OnlineState], None] | None = None,
) -> FitResult:
    """Online EM over data that can be read again.

    Parameters
    ----------
    model : PartialProblem
        Such as a `Model`: its E-step takes a batch.
    start : parameters or OnlineState
        A state is gone on with, to the same bits: batches of its present epoch that were done are skipped.
    epochs : callable
        The batches of an epoch, given its number from 0; the same batches whenever it is asked.
    settings : OnlineSettings
    tol : float
        Stop when, with 95 % confidence, the last epoch gained less than this on held-out rows, in nats per unit
        of weight.
    max_epochs : int
        Largest number of epochs, those of a given state included.
    holdout : Chunk, optional
        Rows that are never learnt from. Without them all epochs are run.
    log_prob : callable, optional
        log_prob(params, holdout) gives the log-likelihood (N,) of each row; needed with `holdout`.
    watch : callable, optional
        Called with the state after each batch and each epoch.

    Returns
    -------
    FitResult
        Its state is an `OnlineState`, of which `estimate` makes parameters; `n_iter` counts whole epochs. No
        objective is known: the caller, who can read all rows, makes one exact pass. KeyboardInterrupt, or an
        error of the data, ends the fit after the last whole batch; before the first one it is passed on.

    Raises
    ------
    ValueError
        When an epoch has no batches, or `log_prob` is missing.
    """
    if holdout is not None and log_prob is None:
        raise ValueError("log_prob is needed to compare parameters on the held-out rows")
    state = start if isinstance(start, OnlineState) else OnlineState(start)
    notify = watch or (lambda state: None)
    try:
        while True:
            # Asked first, for a fit that is gone on with may have been at its end.
            if state.n_batches == 0 and state.epochs and state.epochs[-1].bound < tol and not state.frozen:
                return FitResult(state, Reason.CONVERGED, state.epoch)
            if state.epoch >= max_epochs:
                return FitResult(state, Reason.MAX_ITER, state.epoch)
            for batch in islice(epochs(state.epoch), state.n_batches, None):
                online_update(model, state, batch, settings)
                notify(state)
            if state.n_batches == 0:
                raise ValueError(f"epoch {state.epoch} has no batches; `epochs` must give the rows anew for each epoch")
            _end_epoch(model, state, holdout, log_prob)
            notify(state)
    except (KeyboardInterrupt, Exception) as error:
        return FitResult.broken_off(state, error, has_begun=state.n_updates > 0)


def _end_epoch(
    model: PartialProblem, state: OnlineState, holdout: WeightedRows | None, log_prob: LogProb | None
) -> None:
    now = estimate(model, state)
    gain = bound = math.nan
    if holdout is not None and log_prob is not None:
        gain, bound = paired_gain(log_prob(state.before, holdout), log_prob(now, holdout), holdout.weight)
    loglik = state.epoch_loglik / state.epoch_weight if state.epoch_weight > 0 else math.nan
    vars(state).update(
        epochs=(*state.epochs, EpochEnd(state.n_updates, loglik, gain, bound)),
        before=now,
        epoch=state.epoch + 1,
        n_batches=0,
        epoch_loglik=0.0,
        epoch_weight=0.0,
    )


def paired_gain(before: np.ndarray, after: np.ndarray, weight: np.ndarray | None) -> tuple[float, float]:
    """Mean gain of the same rows under other parameters, and an upper confidence bound (95 %).

    Differences of the same rows vary far less than the rows. Rows of zero density under both parameters
    have gained nothing; the bound is not finite when a row has zero density under one of them.

    Parameters
    ----------
    before, after : (N,) ndarray
        Log-likelihoods of the rows, in nats.
    weight : (N,) ndarray, optional
        A row of weight two counts as two rows.
    """
    weight = np.ones(len(before)) if weight is None else weight
    with np.errstate(invalid="ignore"):
        gains = np.where(before == after, 0.0, after - before)
        total = weight.sum()
        mean = float(weight @ gains / total)
        error = float(np.sqrt(weight @ np.square(gains - mean)) / total)
    return mean, mean + _QUANTILE * error
