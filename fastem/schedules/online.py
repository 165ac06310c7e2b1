"""Online EM: parameters move after every batch, along a running average of the statistics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np

from fastem.schedules.drift import PageHinkley
from fastem.schedules.prequential import Prequential
from fastem.schedules.result import FitResult, PartialProblem, Reason
from fastem.schedules.steps import Forgetting, StepSize
from fastem.stats import ExpectedStats, Rescue

# One-sided 95 %.
_QUANTILE = 1.645
# A batch whose possible rows weigh less than this part of it says nothing.
_NOTHING = 1e-12

# Rows of a batch: above, an epoch has fewer updates, which is what learning depends on; below, time goes to the
# work around an update rather than to rows.
MAX_ROWS = 2000
MIN_ROWS = 200
MIN_UPDATES = 200
MIN_ROWS_PER_COMPONENT = 20


def batch_rows(n_components: int, n_rows: int | None = None) -> int:
    """How many rows to learn from at once: fewer in a short epoch, of `n_rows`; more for many components."""
    rows = MAX_ROWS if n_rows is None else min(MAX_ROWS, max(MIN_ROWS, n_rows // MIN_UPDATES))
    return max(rows, MIN_ROWS_PER_COMPONENT * n_components)


class Batch(Protocol):
    """Rows with weights (N,) or None for ones."""

    @property
    def weight(self) -> np.ndarray | None: ...


class RescueSpan(NamedTuple):
    """A rescue, and the first and the last update that needed it, counted from 1."""

    rescue: Rescue
    first: int
    last: int


class EpochEnd(NamedTuple):
    """What is known at the end of an epoch.

    Attributes
    ----------
    n_updates : int
        Since the beginning.
    loglik : float
        Mean log-likelihood of the epoch's batches, each before it was learnt from, in nats per unit of weight.
    gain, bound : float
        Mean gain of the held-out rows over the epoch, and its upper confidence bound (95 %), in nats per unit of
        weight; NaN without held-out rows.
    """

    n_updates: int
    loglik: float
    gain: float
    bound: float


@dataclass(frozen=True)
class OnlineSettings:
    """What does not change during online EM.

    Parameters
    ----------
    step : StepSize or Forgetting
    min_rows : float
        Parameters stay where they are until every component has at least so many effective rows.
    patience : float, optional
        ... or until rows of this weight were seen: a component that is still empty is then rescued by its
        family. By default ten times `min_rows` for each component.
    average_after : int, optional
        From this number of updates on, the statistics are averaged, and the estimate comes from the average
        (Polyak & Ruppert). Before parameters have settled this does harm. By default never.
    """

    step: StepSize | Forgetting = field(default_factory=StepSize)
    min_rows: float = 0.0
    patience: float | None = None
    average_after: int | None = None


@dataclass(eq=False)
class OnlineState:
    """Where online EM stands: numbers, arrays, and (tuples of) NamedTuple records of them.

    No record is ever changed in place, so that `dataclasses.replace(state)` is a snapshot.

    Attributes
    ----------
    params : parameters
        At which the next batch is looked at.
    stats : ExpectedStats or None
        Running average, per unit of weight.
    n_updates : int
        Batches that were learnt from.
    weight : float
        Of all possible rows of these batches.
    most_rows : float
        Weight of all rows there are, when these are read more than once.
    n_rows_effective : float
        Rows that an ordinary average of the same variance would have.
    frozen : bool
        Whether the parameters still wait for enough rows.
    average, n_averaged : ExpectedStats or None, int
        Late average of `stats`, and of how many updates.
    skipped_weight : float
        Of rows that are impossible under every component.
    n_skipped : int
        Batches left out because their statistics were not finite.
    epoch, n_batches : int
        Whole epochs, and batches of the present one, that were done.
    epoch_loglik, epoch_weight : float
        Sums over the present epoch.
    epochs : tuple of EpochEnd
    before : parameters
        The estimate at the end of the last epoch; the first parameters before.
    trace : Prequential
        Log-likelihoods of batches before they were learnt from.
    drift : PageHinkley
    alarms : tuple of float
        Weight seen at each alarm.
    rescues : tuple of RescueSpan
    """

    params: Any
    stats: ExpectedStats | None = None
    n_updates: int = 0
    weight: float = 0.0
    most_rows: float = math.inf
    n_rows_effective: float = 0.0
    frozen: bool = True
    average: ExpectedStats | None = None
    n_averaged: int = 0
    skipped_weight: float = 0.0
    n_skipped: int = 0
    epoch: int = 0
    n_batches: int = 0
    epoch_loglik: float = 0.0
    epoch_weight: float = 0.0
    epochs: tuple[EpochEnd, ...] = ()
    before: Any = None
    trace: Prequential = field(default_factory=Prequential)
    drift: PageHinkley = field(default_factory=PageHinkley)
    alarms: tuple[float, ...] = ()
    rescues: tuple[RescueSpan, ...] = ()

    def __post_init__(self) -> None:
        if self.before is None:
            self.before = self.params

    @property
    def n_iter(self) -> int:
        return self.epoch


def online_update(model: PartialProblem, state: OnlineState, batch: Batch, settings: OnlineSettings) -> float:
    """Learn from one batch; `state` moves on.

    Parameters
    ----------
    model : PartialProblem
        Such as a `Model`: its E-step takes a batch.
    state : OnlineState
    batch : Chunk
    settings : OnlineSettings

    Returns
    -------
    float
        Mean log-likelihood of the possible rows before they were learnt from, in nats per unit of weight; NaN
        when the batch says nothing (no weight, no possible row, statistics that are not finite), and is left out.
    """
    stats = model.e_step(state.params, batch)
    weight = float(stats.weight - stats.impossible)
    changes: dict[str, Any] = {"n_batches": state.n_batches + 1}
    loglik = math.nan
    if not stats.is_finite():
        changes["n_skipped"] = state.n_skipped + 1
    else:
        changes["skipped_weight"] = state.skipped_weight + float(stats.impossible)
        if weight > _NOTHING * stats.weight:
            changes |= _learn(model, state, stats, weight, settings)
            loglik = float(stats.loglik) / weight
            changes |= _observe(state, loglik, weight)
        elif stats.weight > 0.0:
            # Nothing to learn from, but a sign that the rows have changed.
            changes |= _watched(state, -math.inf, float(stats.weight))
    # All at once: an interruption leaves the state before or after the batch, never between.
    vars(state).update(changes)
    return loglik


def _learn(
    model: PartialProblem, state: OnlineState, stats: ExpectedStats, weight: float, settings: OnlineSettings
) -> dict[str, Any]:
    """Blend a batch into the running average, and follow it with the parameters."""
    batch = (1.0 / weight) * stats._replace(weight=weight, impossible=0.0)
    seen, gain, running = state.weight, 1.0, batch
    if state.stats is not None:
        gain = settings.step.gain(seen, weight)
        running = settings.step.blend(state.stats, batch, seen, weight)
    variance = gain**2 / weight
    if gain < 1.0:
        variance += (1.0 - gain) ** 2 / state.n_rows_effective
    n_updates = state.n_updates + 1
    changes: dict[str, Any] = {
        "stats": running,
        "n_updates": n_updates,
        "weight": seen + weight,
        "n_rows_effective": 1.0 / variance,
    }
    if state.frozen and not _enough(running, 1.0 / variance, seen + weight, settings):
        return changes
    # The prior is told how many rows there are: they count once, however often they are read.
    params, rescues = model.m_step(min(seen + weight, state.most_rows) * running, state.params)
    changes |= {"params": params, "frozen": False, "rescues": _noted(state.rescues, rescues, n_updates)}
    if settings.average_after is not None and n_updates > settings.average_after:
        share = 1.0 / (state.n_averaged + 1)
        average = running
        if state.average is not None:
            average = (1.0 - share) * state.average.aligned(running) + share * running
        changes |= {"average": average, "n_averaged": state.n_averaged + 1}
    return changes


def _enough(stats: ExpectedStats, n_rows_effective: float, seen: float, settings: OnlineSettings) -> bool:
    """Whether parameters may follow the statistics."""
    occupancy = stats.occupancy
    patience = settings.patience
    if patience is None:
        patience = 10.0 * settings.min_rows * occupancy.size
    return bool(n_rows_effective * occupancy.min() >= settings.min_rows or seen >= patience)


def _noted(spans: tuple[RescueSpan, ...], rescues: list[Rescue], update: int) -> tuple[RescueSpan, ...]:
    if not rescues:
        return spans
    known = {span.rescue: span for span in spans}
    for rescue in rescues:
        known[rescue] = RescueSpan(rescue, known[rescue].first if rescue in known else update, update)
    return tuple(known.values())


def _observe(state: OnlineState, loglik: float, weight: float) -> dict[str, Any]:
    """Keep the books of how well a batch was predicted."""
    return {
        **_watched(state, loglik, weight),
        "trace": state.trace.after(loglik * weight, weight),
        "epoch_loglik": state.epoch_loglik + loglik * weight,
        "epoch_weight": state.epoch_weight + weight,
    }


def _watched(state: OnlineState, loglik: float, weight: float) -> dict[str, Any]:
    """Judge whether the rows have changed, by how well a batch was predicted."""
    drift, alarm = state.drift.after(loglik, weight)
    return {"drift": drift, "alarms": (*state.alarms, state.weight + weight) if alarm else state.alarms}


def estimate(model: PartialProblem, state: OnlineState) -> Any:
    """The parameters to hand out: of the late average if there is one, even when they are still frozen."""
    stats = state.stats if state.average is None else state.average
    if stats is None:
        return state.params
    return model.m_step(min(state.weight, state.most_rows) * stats, state.params)[0]


LogProb = Callable[[Any, Any], np.ndarray]


def fit_online(
    model: PartialProblem,
    start: Any,
    epochs: Callable[[int], Iterable[Batch]],
    *,
    settings: OnlineSettings,
    tol: float,
    max_epochs: int,
    holdout: Batch | None = None,
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
    tell = watch or (lambda state: None)
    try:
        while True:
            # Asked first, for a fit that is gone on with may have been at its end.
            if state.n_batches == 0 and state.epochs and state.epochs[-1].bound < tol and not state.frozen:
                return FitResult(state, Reason.CONVERGED, state.epoch)
            if state.epoch >= max_epochs:
                return FitResult(state, Reason.MAX_ITER, state.epoch)
            for batch in islice(epochs(state.epoch), state.n_batches, None):
                online_update(model, state, batch, settings)
                tell(state)
            if state.n_batches == 0:
                raise ValueError(f"epoch {state.epoch} has no batches; `epochs` must give the rows anew for each epoch")
            _end_epoch(model, state, holdout, log_prob)
            tell(state)
    except KeyboardInterrupt:
        if state.n_updates == 0:
            raise
        return FitResult(state, Reason.INTERRUPTED, state.epoch)
    except Exception as error:
        if state.n_updates == 0:
            raise
        return FitResult(state, Reason.FAILED, state.epoch, error)


def _end_epoch(model: PartialProblem, state: OnlineState, holdout: Batch | None, log_prob: LogProb | None) -> None:
    """Close the books of an epoch."""
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

    Differences of the same rows vary far less than the rows. Rows that are impossible under both parameters
    have gained nothing; the bound is not finite when a row is impossible under one of them.

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
