"""The report of a fit."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fastem.fitting.collapse import collapsed
from fastem.fitting.notes import MoveNote, OnlineNote, RaceNote, RescueNote, RunNote, counted
from fastem.fitting.online import online_note
from fastem.fitting.runs import Search
from fastem.fitting.scan import Survey
from fastem.model import Model, Params
from fastem.schedules.online import OnlineState
from fastem.schedules.result import FitResult
from fastem.stats import Rescue


@dataclass(frozen=True)
class CollapseNote:
    """A component that sits on a point, or on a plane.

    Attributes
    ----------
    component : int
    share : float
        Of its rows that agree in some direction.
    width : float
        Its standard deviation there, in those of the data.
    """

    component: int
    share: float
    width: float

    def __str__(self) -> str:
        return (
            f"component {self.component} has collapsed: {self.share:.0%} of its rows agree in a direction in which it "
            f"is {self.width:.1g} times as wide as the data"
        )


@dataclass(frozen=True)
class FitReport:
    """What happened during `fit`, or during all calls of `partial_fit`. Print it to read it.

    Attributes
    ----------
    stop_reason : {"converged", "max_iter", "objective_fell", "interrupted", "failed", "partial_fit"}
    n_iter : int
        Zero after `partial_fit`.
    objective : float
        What was maximised: log-likelihood and log-prior, or penalty, per unit of weight, in nats. After `partial_fit`:
        of the last rows, before they were learnt from; NaN when there were none.
    loglik : float
        The log-likelihood alone, per unit of weight.
    remaining : float
        Estimate of what further iterations would gain, in the same unit; NaN when there is none.
    fall : float
        By how much a rejected last iteration lowered the objective.
    impossible_weight : float
        Weight of rows that have density zero under every component.
    constraints : dict of str to list
        Limits that the data's scale set, such as the `variance_floor` of each feature.
    rescues : tuple of RescueNote
        Of the run that was kept.
    runs : tuple of RunNote
        Every start, in order.
    n_rows : int
    weight : float
        Total weight of the rows.
    online : OnlineNote or None
        For online EM only.
    n_iter_ahead : int
        Iterations on bins or samples that came before those of `n_iter`, each of which reads every row.
    n_rows_sampled : int
        Rows of the largest of these samples; zero when there were none.
    n_dropped : int
        Iterations whose parameters were not kept, because an accelerated step went too far.
    races : tuple of RaceNote
        How starts were chosen on a sample, in order; empty where they were not.
    collapsed : tuple of CollapseNote
        Components on rows that agree: they say that these rows are alike, and hardly anything of the others.
    constant : tuple of int
        Columns that have one value, and tell components nothing.
    """

    stop_reason: str
    n_iter: int
    objective: float
    loglik: float
    remaining: float
    fall: float
    impossible_weight: float
    constraints: dict[str, Any]
    rescues: tuple[RescueNote, ...]
    runs: tuple[RunNote, ...]
    n_rows: int
    weight: float
    online: OnlineNote | None = None
    n_iter_ahead: int = 0
    n_rows_sampled: int = 0
    n_dropped: int = 0
    races: tuple[RaceNote, ...] = ()
    collapsed: tuple[CollapseNote, ...] = ()
    constant: tuple[int, ...] = ()

    def __str__(self) -> str:
        lines = [self._outcome(), *self._objective()]
        if self.n_rows_sampled:
            lines.insert(0, f"samples led: {self.n_iter_ahead} iterations on up to {self.n_rows_sampled} rows")
        elif self.n_iter_ahead:
            lines.insert(0, f"rows were compressed: {self.n_iter_ahead} iterations read only the bins")
        if self.n_dropped:
            lines.append(f"accelerated: {counted(self.n_dropped, 'step')} went too far, and counted for nothing")
        if self.stop_reason == "objective_fell":
            lines.append(f"the last iteration was undone: it lowered the objective by {self.fall:.2g}")
        if self.impossible_weight > 0:
            lines.append(f"rows of total weight {self.impossible_weight:g} are impossible under every component")
        if len(self.runs) > 1:
            lines.append("starts: " + ", ".join(f"{run.objective:.8g} ({run.stop_reason})" for run in self.runs))
        lines.extend(str(note) for note in self.races if str(note))
        if self.online is not None:
            updates = counted(self.online.n_updates, "update")
            lines.append(f"online: {updates}, by rows of total weight {self.online.weight:.10g}")
            lines.extend(f"drift: the rows changed by row {weight:.10g}" for weight in self.online.alarms)
            if self.online.skipped_weight > 0 or self.online.n_skipped:
                lines.append(
                    f"left out: rows of total weight {self.online.skipped_weight:g} that were impossible, and "
                    f"{self.online.n_skipped} batches whose statistics were not finite"
                )
        lines.extend(f"rescued: {rescue}" for rescue in self.told_rescues())
        lines.extend(str(note) for note in self.collapsed)
        if self.constant:
            lines.append(
                f"constant: {counted(len(self.constant), 'column')} of one value, the first is {self.constant[0]}"
            )
        return "\n".join(lines)

    def _outcome(self) -> str:
        if self.stop_reason == "partial_fit":
            return f"partial_fit: {counted(self.n_rows, 'row')} so far"
        return (
            f"stopped: {self.stop_reason} after {counted(self.n_iter, 'iteration' if self.online is None else 'epoch')}"
        )

    def _objective(self) -> list[str]:
        if self.stop_reason == "partial_fit":
            before = f"objective: {self.objective:.10g} nats per row, of the last rows before they were learnt from"
            return [] if math.isnan(self.objective) else [before]
        left = "an unknown amount" if math.isnan(self.remaining) else f"about {self.remaining:.2g}"
        lines = [f"objective: {self.objective:.10g} nats per row; {left} left to gain"]
        if self.loglik != self.objective:
            lines.append(f"log-likelihood: {self.loglik:.10g} nats per row, without prior or penalty")
        return lines

    def told_rescues(self) -> list[str]:
        """The rescues in words."""
        return [rescue.told("iteration" if self.online is None else "update") for rescue in self.rescues]

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings."""
        return asdict(self)


# What reports are made of, as files hold them.
RECORDS = (FitReport, RescueNote, RunNote, RaceNote, MoveNote, OnlineNote, CollapseNote)


def report_on(search: Search, model: Model, survey: Survey | None = None) -> FitReport:
    """Write the report of the best start of a search that has one; with the survey, also on components that collapsed.

    It names the columns that have one value, too.
    """
    best: FitResult = search.best  # type: ignore[assignment]
    schedule = search.best_schedule
    events = [(0, rescue) for rescue in search.best_rescues] + best.trace.rescues
    iterations: dict[Rescue, list[int]] = {}
    for iteration, rescue in events:
        iterations.setdefault(rescue, []).append(iteration)
    return FitReport(
        stop_reason=str(best.reason),
        n_iter=best.n_iter,
        objective=best.objective,
        loglik=best.objective - best.state.log_prior / search.weight,
        remaining=best.trace.remaining,
        fall=best.trace.fall,
        impossible_weight=best.state.impossible,
        constraints=_plain(model),
        rescues=tuple(RescueNote(*rescue, min(when), max(when)) for rescue, when in iterations.items()),
        runs=tuple(search.runs),
        n_rows=search.n_rows,
        weight=search.weight,
        online=online_note(schedule) if isinstance(schedule, OnlineState) else None,
        n_iter_ahead=best.state.n_iter_ahead,
        n_rows_sampled=best.state.n_rows_ahead,
        n_dropped=best.trace.n_dropped - (best.trace.fall > 0.0),
        races=tuple(search.races),
        **({} if survey is None else _agreement(model, best.params, survey)),
    )


def _agreement(model: Model, params: Params, survey: Survey) -> dict[str, Any]:
    """Which components sit on a point or a plane, and which columns have one value."""
    rows = survey.excerpt
    found = collapsed(model, params, rows.X, rows.weight, survey.is_whole)
    constant = np.flatnonzero(np.all(rows.X[:1] == rows.X, axis=0)) if survey.is_whole else ()
    return {"collapsed": tuple(CollapseNote(*each) for each in found), "constant": tuple(int(j) for j in constant)}


def _plain(model: Model) -> dict[str, Any]:
    return {name: value.tolist() for name, value in model.family.constraints().items()}


def report_on_stream(model: Model, state: OnlineState, n_rows: int) -> FitReport:
    """Write the report of all that a stream of so many rows has taught."""
    online = online_note(state)
    course = online.prequential_loglik
    return FitReport(
        stop_reason="partial_fit",
        n_iter=0,
        objective=course[-1] if course else math.nan,
        loglik=course[-1] if course else math.nan,
        remaining=math.nan,
        fall=0.0,
        impossible_weight=online.skipped_weight,
        constraints=_plain(model),
        rescues=tuple(RescueNote(*span.rescue, span.first, span.last) for span in state.rescues),
        runs=(),
        n_rows=n_rows,
        weight=online.weight,
        online=online,
    )
