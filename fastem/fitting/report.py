"""The report of a fit."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fastem.fitting.collapse import collapsed
from fastem.fitting.notes import CollapseNote, MissingNote, OnlineNote, RaceNote, RepairNote, RunNote, SwapNote, counted
from fastem.fitting.online import online_note
from fastem.fitting.runs import Search
from fastem.fitting.scan import DataSummary
from fastem.model import Model, Params
from fastem.schedules.online import OnlineState
from fastem.schedules.result import FitResult
from fastem.stats import Repair


@dataclass(frozen=True)
class FitReport:
    """What happened during `fit`, or during all calls of `partial_fit`. Print it to read it.

    Attributes
    ----------
    stop_reason : {"converged", "max_iter", "objective_decreased", "interrupted", "failed", "partial_fit"}
    n_iter : int
        Zero after `partial_fit`.
    objective : float
        What was maximised: log-likelihood and log-prior, or penalty, per unit of weight, in nats. After `partial_fit`:
        of the last rows, before they were learnt from; NaN when there were none.
    loglik : float
        The log-likelihood alone, per unit of weight.
    remaining : float
        Estimate of what further iterations would gain, in the same unit; NaN when there is none.
    decrease : float
        By how much a rejected last iteration lowered the objective.
    zero_density_weight : float
        Weight of rows that have density zero under every component.
    constraints : dict of str to list
        Limits that the data's scale set, such as the `variance_floor` of each feature.
    repairs : tuple of RepairNote
        Of the run that was kept.
    runs : tuple of RunNote
        Every start, in order.
    n_rows : int
    weight : float
        Total weight of the rows.
    online : OnlineNote or None
        For online EM only.
    n_iter_reduced : int
        Iterations on bins or samples that came before those of `n_iter`, each of which reads every row.
    n_rows_subsample : int
        Rows of the largest of these samples; zero when there were none.
    n_rejected : int
        Iterations whose parameters were not kept, because an accelerated step went too far.
    races : tuple of RaceNote
        How starts were chosen on a sample, in order; empty where they were not.
    collapsed : tuple of CollapseNote
        Components on rows that agree: they say that these rows are alike, and hardly anything of the others.
    constant : tuple of int
        Columns that have one value, and tell components nothing.
    missing : MissingNote or None
        What was missing in the rows; None where nothing was, and after `partial_fit`.
    """

    stop_reason: str
    n_iter: int
    objective: float
    loglik: float
    remaining: float
    decrease: float
    zero_density_weight: float
    constraints: dict[str, Any]
    repairs: tuple[RepairNote, ...]
    runs: tuple[RunNote, ...]
    n_rows: int
    weight: float
    online: OnlineNote | None = None
    n_iter_reduced: int = 0
    n_rows_subsample: int = 0
    n_rejected: int = 0
    races: tuple[RaceNote, ...] = ()
    collapsed: tuple[CollapseNote, ...] = ()
    constant: tuple[int, ...] = ()
    missing: MissingNote | None = None

    def __str__(self) -> str:
        lines = [self._outcome(), *self._objective()]
        if self.n_rows_subsample:
            lines.insert(
                0, f"subsampling: {self.n_iter_reduced} iterations on up to {self.n_rows_subsample} rows first"
            )
        elif self.n_iter_reduced:
            lines.insert(0, f"binning: {self.n_iter_reduced} iterations on bins first")
        if self.n_rejected:
            lines.append(f"acceleration: {counted(self.n_rejected, 'step')} rejected")
        if self.stop_reason == "objective_decreased":
            lines.append(f"the last iteration lowered the objective by {self.decrease:.2g} and was undone")
        if self.zero_density_weight > 0:
            lines.append(f"rows of total weight {self.zero_density_weight:g} have zero density under every component")
        if len(self.runs) > 1:
            lines.append("starts: " + ", ".join(f"{run.objective:.8g} ({run.stop_reason})" for run in self.runs))
        lines.extend(str(note) for note in self.races if str(note))
        if self.online is not None:
            updates = counted(self.online.n_updates, "update")
            lines.append(f"online: {updates} on rows of total weight {self.online.weight:.10g}")
            lines.extend(f"drift: detected after rows of total weight {weight:.10g}" for weight in self.online.alarms)
            if self.online.skipped_weight > 0 or self.online.n_skipped:
                lines.append(
                    f"skipped: rows of zero density, total weight {self.online.skipped_weight:g}, and "
                    f"{self.online.n_skipped} batches with non-finite statistics"
                )
        lines.extend(f"repaired: {repair}" for repair in self.described_repairs())
        lines.extend(str(note) for note in self.collapsed)
        if self.constant:
            lines.append(
                f"constant: {counted(len(self.constant), 'column')} of one value, the first is {self.constant[0]}"
            )
        if self.missing is not None:
            lines.append(str(self.missing))
        return "\n".join(lines)

    def _outcome(self) -> str:
        if self.stop_reason == "partial_fit":
            return f"partial_fit: {counted(self.n_rows, 'row')} so far"
        return (
            f"stopped: {self.stop_reason} after {counted(self.n_iter, 'iteration' if self.online is None else 'epoch')}"
        )

    def _objective(self) -> list[str]:
        if self.stop_reason == "partial_fit":
            before = f"objective: {self.objective:.10g} nats per row on the latest rows, before learning from them"
            return [] if math.isnan(self.objective) else [before]
        left = "unknown" if math.isnan(self.remaining) else f"{self.remaining:.2g}"
        lines = [f"objective: {self.objective:.10g} nats per row; estimated remaining improvement {left}"]
        if self.loglik != self.objective:
            lines.append(f"log-likelihood: {self.loglik:.10g} nats per row, without prior or penalty")
        return lines

    def described_repairs(self) -> list[str]:
        return [repair.describe("iteration" if self.online is None else "update") for repair in self.repairs]

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings."""
        return asdict(self)


# What reports are made of, as files hold them.
RECORDS = (FitReport, RepairNote, RunNote, RaceNote, SwapNote, OnlineNote, CollapseNote, MissingNote)


def report_on(search: Search, model: Model, summary: DataSummary | None = None) -> FitReport:
    """Write the report of the best start of a search that has one; with the summary of its rows, also on
    components that collapsed.

    It names the columns that have one value, too.
    """
    best: FitResult = search.best  # type: ignore[assignment]
    schedule = search.best_schedule
    events = [(0, repair) for repair in search.best_repairs] + best.trace.repairs
    iterations: dict[Repair, list[int]] = {}
    for iteration, repair in events:
        iterations.setdefault(repair, []).append(iteration)
    return FitReport(
        stop_reason=str(best.reason),
        n_iter=best.n_iter,
        objective=best.objective,
        loglik=best.objective - best.state.log_prior / search.weight,
        remaining=best.trace.remaining,
        decrease=best.trace.decrease,
        zero_density_weight=best.state.zero_density,
        constraints=_plain(model),
        repairs=tuple(RepairNote(*repair, min(when), max(when)) for repair, when in iterations.items()),
        runs=tuple(search.runs),
        n_rows=search.n_rows,
        weight=search.weight,
        online=online_note(schedule) if isinstance(schedule, OnlineState) else None,
        n_iter_reduced=best.state.n_iter_reduced,
        n_rows_subsample=best.state.n_rows_subsample,
        n_rejected=best.trace.n_rejected - (best.trace.decrease > 0.0),
        races=tuple(search.races),
        **({} if summary is None else _of_rows(model, best.params, summary)),
    )


def _of_rows(model: Model, params: Params, summary: DataSummary) -> dict[str, Any]:
    """Which components sit on a point or a plane, which columns have one value, and what is missing."""
    rows = summary.excerpt
    found = collapsed(model, params, rows.X, rows.weight, summary.is_whole)
    constant = np.flatnonzero(np.all(rows.X[:1] == rows.X, axis=0)) if summary.is_whole else ()
    missing = None if summary.missing is None else summary.missing.note()
    return {"collapsed": tuple(found), "constant": tuple(int(j) for j in constant), "missing": missing}


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
        decrease=0.0,
        zero_density_weight=online.skipped_weight,
        constraints=_plain(model),
        repairs=tuple(RepairNote(*span.repair, span.first, span.last) for span in state.repairs),
        runs=(),
        n_rows=n_rows,
        weight=online.weight,
        online=online,
    )
