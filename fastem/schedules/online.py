"""Online EM, batch by batch: parameters move along a running average of the statistics."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from fastem._options import FUNCTION, NOTHING, Allowed, Options, integers, numbers
from fastem.schedules.prequential import PageHinkley, Prequential
from fastem.schedules.result import PartialProblem
from fastem.schedules.steps import Forgetting, StepSize
from fastem.stats import ExpectedStats, Repair

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


class WeightedRows(Protocol):
    """Rows with weights (N,) or None for ones."""

    @property
    def weight(self) -> np.ndarray | None: ...


class RepairSpan(NamedTuple):
    """A repair, and the first and the last update that needed it, counted from 1."""

    repair: Repair
    first: int
    last: int


class EpochEnd(NamedTuple):
    """What is known at the end of an epoch, in nats per unit of weight."""

    # Since the beginning.
    n_updates: int
    # Mean log-likelihood of the epoch's batches, each before it was learnt from.
    loglik: float
    # Mean gain of the held-out rows over the epoch, and its upper confidence bound (95 %); NaN without such rows.
    gain: float
    bound: float


@dataclass(frozen=True)
class OnlineSettings:
    """What does not change during online EM."""

    step: StepSize | Forgetting = field(default_factory=StepSize)
    # Parameters stay where they are until every component has at least so many effective rows, ...
    min_rows: float = 0.0
    # ... or until rows of this weight were seen: a component that is still empty is then repaired by its family. By
    # default ten times `min_rows` for each component.
    patience: float | None = None
    # From this number of updates on, the statistics are averaged, and the estimate comes from the average (Polyak &
    # Ruppert). Before parameters have settled this does harm. By default never.
    average_after: int | None = None


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Online(Options):
    """Online (stepwise) EM: parameters move after each batch of shuffled rows, along a running average of statistics.

    Quickest from a poor start. An iteration is an epoch, `tol` bounds what an epoch gains on held-out rows, and the
    objective of the result takes one more pass. `partial_fit` learns in this way, too.

    Parameters
    ----------
    batch_size : int or None, default None
        Rows of a batch; None stands for 2000, or fewer when there are few rows.
    decay, offset : float, default 0.6 and 2
        Steps are (t + offset) ** -decay after t batches; decay in (0.5, 1], offset at least 1.
    averaging_start : int or None, default None
        Number of updates after which statistics are averaged, and the estimate is made of the average. Before the
        parameters have settled this does harm. None: never.
    forgetting_factor : float or None, default None
        For streams that drift: every row is discounted by this factor, near 1, for each row that follows, and each
        component by its own rows. It takes the place of decay and offset.
    half_life : float or None, default None
        The same, as the number of rows after which a row counts half.
    on_drift : callable or None, default None
        Called with the estimator when the rows are found to have changed (test of Page & Hinkley on how well each
        batch was predicted); see also `fit_report_.online.alarms`.

    Raises
    ------
    ValueError
        For a value that is out of range, and for options that exclude each other.

    References
    ----------
    Cappé & Moulines (2009), J. R. Statist. Soc. B 71, 593-613.

    Examples
    --------
    >>> from fastem import GaussianMixture, Online
    >>> mixture = GaussianMixture(2, schedule=Online(batch_size=500))
    >>> mixture.get_params()["schedule__batch_size"]
    500
    """

    batch_size: int | None = None
    decay: float = 0.6
    offset: float = 2.0
    averaging_start: int | None = None
    forgetting_factor: float | None = None
    half_life: float | None = None
    on_drift: Callable[[Any], Any] | None = None

    _allowed: ClassVar[dict[str, tuple[Allowed, ...]]] = {
        "batch_size": (integers(1), NOTHING),
        "decay": (numbers(0.5, 1.0, "(]"),),
        "offset": (numbers(1.0),),
        "averaging_start": (integers(0), NOTHING),
        "forgetting_factor": (numbers(0.0, 1.0, "()"), NOTHING),
        "half_life": (numbers(0.0, ends="()"), NOTHING),
        "on_drift": (FUNCTION, NOTHING),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.forgetting_factor is not None and self.half_life is not None:
            raise ValueError("forgetting_factor and half_life say the same thing in two ways. Give one of them.")
        forgets = self.forgetting_factor is not None or self.half_life is not None
        if forgets and (self.decay, self.offset) != (Online.decay, Online.offset):
            raise ValueError(
                "decay and offset are not in force with forgetting_factor or half_life, which take their place. "
                "Leave out one or the other."
            )

    def settings(self, n_features: int) -> OnlineSettings:
        """What does not change while a model of so many features learns."""
        step: StepSize | Forgetting = StepSize(self.decay, self.offset)
        if self.forgetting_factor is not None:
            step = Forgetting(self.forgetting_factor)
        elif self.half_life is not None:
            step = Forgetting.from_half_life(self.half_life)
        return OnlineSettings(step, min_rows=n_features + 1.0, average_after=self.averaging_start)


@dataclass(eq=False)
class OnlineState:
    """Where online EM stands: numbers, arrays, and (tuples of) NamedTuple records of them.

    No record is ever changed in place, so that `dataclasses.replace(state)` is a snapshot.
    """

    # At which the next batch is looked at.
    params: Any
    # Running average, per unit of weight.
    stats: ExpectedStats | None = None
    # Batches that were learnt from, and the weight of all their possible rows.
    n_updates: int = 0
    weight: float = 0.0
    # Weight of all rows there are, when these are read more than once.
    most_rows: float = math.inf
    # Rows that an ordinary average of the same variance would have.
    n_rows_effective: float = 0.0
    # Whether the parameters still wait for enough rows.
    frozen: bool = True
    # Late average of `stats`, and of how many updates.
    average: ExpectedStats | None = None
    n_averaged: int = 0
    # Of rows of zero density under every component.
    skipped_weight: float = 0.0
    # Batches left out because their statistics were not finite.
    n_skipped: int = 0
    # Whole epochs, and batches of the present one, that were done; and its sums.
    epoch: int = 0
    n_batches: int = 0
    epoch_loglik: float = 0.0
    epoch_weight: float = 0.0
    epochs: tuple[EpochEnd, ...] = ()
    # The estimate at the end of the last epoch; the first parameters before.
    before: Any = None
    # Log-likelihoods of batches before they were learnt from.
    trace: Prequential = field(default_factory=Prequential)
    drift: PageHinkley = field(default_factory=PageHinkley)
    # Weight seen at each alarm.
    alarms: tuple[float, ...] = ()
    repairs: tuple[RepairSpan, ...] = ()

    def __post_init__(self) -> None:
        if self.before is None:
            self.before = self.params

    @property
    def n_iter(self) -> int:
        return self.epoch


def online_update(model: PartialProblem, state: OnlineState, batch: WeightedRows, settings: OnlineSettings) -> float:
    """Learn from one batch; `state` moves on.

    Returns
    -------
    float
        Mean log-likelihood of the possible rows before they were learnt from, in nats per unit of weight; NaN
        when the batch says nothing (no weight, no possible row, statistics that are not finite), and is left out.
    """
    stats = model.e_step(state.params, batch)
    weight = float(stats.weight - stats.zero_density)
    changes: dict[str, Any] = {"n_batches": state.n_batches + 1}
    loglik = math.nan
    if not stats.is_finite():
        changes["n_skipped"] = state.n_skipped + 1
    else:
        changes["skipped_weight"] = state.skipped_weight + float(stats.zero_density)
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
    batch = (1.0 / weight) * stats._replace(weight=weight, zero_density=0.0)
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
    params, repairs = model.m_step(min(seen + weight, state.most_rows) * running, state.params)
    changes |= {"params": params, "frozen": False, "repairs": _noted(state.repairs, repairs, n_updates)}
    if settings.average_after is not None and n_updates > settings.average_after:
        share = 1.0 / (state.n_averaged + 1)
        average = running
        if state.average is not None:
            average = (1.0 - share) * state.average.aligned(running) + share * running
        changes |= {"average": average, "n_averaged": state.n_averaged + 1}
    return changes


def _enough(stats: ExpectedStats, n_rows_effective: float, seen: float, settings: OnlineSettings) -> bool:
    occupancy = stats.occupancy
    patience = settings.patience
    if patience is None:
        patience = 10.0 * settings.min_rows * occupancy.size
    return bool(n_rows_effective * occupancy.min() >= settings.min_rows or seen >= patience)


def _noted(spans: tuple[RepairSpan, ...], repairs: list[Repair], update: int) -> tuple[RepairSpan, ...]:
    if not repairs:
        return spans
    known = {span.repair: span for span in spans}
    for repair in repairs:
        known[repair] = RepairSpan(repair, known[repair].first if repair in known else update, update)
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
    if stats is None or (state.average is None and not state.frozen):
        return state.params
    return model.m_step(min(state.weight, state.most_rows) * stats, state.params)[0]
