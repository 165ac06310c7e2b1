"""The story of a fit, for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fastem.schedules.online import RescueSpan
from fastem.schedules.result import FitResult
from fastem.stats import Rescue


@dataclass(frozen=True)
class RescueNote:
    """A component that had to be kept proper.

    Attributes
    ----------
    component : int
        -1 when all components share the parameter.
    cause : {"empty", "collapsed"}
    remedy : str
    first_iteration, last_iteration : int
        0 is the start. Of online EM, updates are counted.
    """

    component: int
    cause: str
    remedy: str
    first_iteration: int
    last_iteration: int

    def __str__(self) -> str:
        return self.told("iteration")

    def told(self, step: str) -> str:
        """In words, with the word for what is counted."""
        who = "the shared covariance" if self.component < 0 else f"component {self.component}"
        state = "was empty" if self.cause == "empty" else "had collapsed"
        first, last = self.first_iteration, self.last_iteration
        when = f"{step} {first}" if first == last else f"{step}s {first} to {last}"
        return f"{who} {state} at {when}: {self.remedy}"


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
class RunNote:
    """One start and where it led: objective in nats per unit of weight."""

    objective: float
    n_iter: int
    stop_reason: str


@dataclass(frozen=True)
class MoveNote:
    """A component that was taken away where it was hardly missed, and put where it was needed.

    Attributes
    ----------
    component : int
    to : int
        The component that it took one half of.
    gain : float
        Of the move, in nats per unit of weight of the sample; of moves that were made at once, the mean.
    was_empty : bool
        Whether less than one row of the sample belonged to it.
    """

    component: int
    to: int
    gain: float
    was_empty: bool

    def __str__(self) -> str:
        state = ", which was empty," if self.was_empty else ""
        return f"component {self.component}{state} took one half of component {self.to}: {self.gain:+.2g} nats per row"


@dataclass(frozen=True)
class RaceNote:
    """How the start of a run was chosen, on a sample.

    Attributes
    ----------
    n_rows : int
        Of the sample.
    heats : tuple of tuple of float
        Objectives, in nats per unit of weight, of the starts that ran in each heat; the better half went on.
    winner : int
        Index of the start that won.
    moves : tuple of MoveNote
    """

    n_rows: int
    heats: tuple[tuple[float, ...], ...]
    winner: int
    moves: tuple[MoveNote, ...]

    def __str__(self) -> str:
        lines = []
        if self.heats:
            heats = " -> ".join(f"{len(heat)} from {min(heat):.6g} to {max(heat):.6g}" for heat in self.heats)
            lines.append(f"raced on {_count(self.n_rows, 'row')}: {heats}; start {self.winner} won")
        lines.extend(f"moved: {move}" for move in self.moves)
        return "\n".join(lines)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> RaceNote:
        heats = tuple(tuple(heat) for heat in fields["heats"])
        return cls(**{**fields, "heats": heats, "moves": tuple(MoveNote(**move) for move in fields["moves"])})


@dataclass(frozen=True)
class OnlineNote:
    """How online EM went.

    Attributes
    ----------
    n_updates : int
        Batches that were learnt from.
    weight : float
        Of their rows; each epoch counts.
    prequential_rows, prequential_loglik : tuple of float
        The course of the log-likelihood of batches before they were learnt from, in nats per row, against the
        weight seen; at most a thousand points.
    held_out_gains, held_out_bounds : tuple of float
        Mean gain of the held-out rows in each epoch, and its upper confidence bound (95 %), in nats per row; NaN
        without such rows.
    alarms : tuple of float
        The weight seen when rows were found to have changed (Page & Hinkley).
    skipped_weight : float
        Of rows that were impossible under every component.
    n_skipped : int
        Batches left out because their statistics were not finite.
    """

    n_updates: int
    weight: float
    prequential_rows: tuple[float, ...]
    prequential_loglik: tuple[float, ...]
    held_out_gains: tuple[float, ...]
    held_out_bounds: tuple[float, ...]
    alarms: tuple[float, ...]
    skipped_weight: float
    n_skipped: int


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
            lines.append(f"accelerated: {_count(self.n_dropped, 'step')} went too far, and counted for nothing")
        if self.stop_reason == "objective_fell":
            lines.append(f"the last iteration was undone: it lowered the objective by {self.fall:.2g}")
        if self.impossible_weight > 0:
            lines.append(f"rows of total weight {self.impossible_weight:g} are impossible under every component")
        if len(self.runs) > 1:
            lines.append("starts: " + ", ".join(f"{run.objective:.8g} ({run.stop_reason})" for run in self.runs))
        lines.extend(str(note) for note in self.races if str(note))
        if self.online is not None:
            updates = _count(self.online.n_updates, "update")
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
                f"constant: {_count(len(self.constant), 'column')} of one value, the first is {self.constant[0]}"
            )
        return "\n".join(lines)

    def _outcome(self) -> str:
        if self.stop_reason == "partial_fit":
            return f"partial_fit: {_count(self.n_rows, 'row')} so far"
        return (
            f"stopped: {self.stop_reason} after {_count(self.n_iter, 'iteration' if self.online is None else 'epoch')}"
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

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> FitReport:
        rescues = tuple(RescueNote(**note) for note in fields["rescues"])
        runs = tuple(RunNote(**note) for note in fields["runs"])
        online = fields["online"]
        if online is not None:
            lists = {name: tuple(value) for name, value in online.items() if isinstance(value, list)}
            online = OnlineNote(**{**online, **lists})
        races = tuple(RaceNote.from_dict(note) for note in fields.get("races", ()))
        return cls(
            **{**fields, "rescues": rescues, "runs": runs, "online": online, "races": races, **_collapse_of(fields)}
        )


def _collapse_of(fields: dict[str, Any]) -> dict[str, Any]:
    notes = tuple(CollapseNote(**note) for note in fields.get("collapsed", ()))
    return {"collapsed": notes, "constant": tuple(fields.get("constant", ()))}


def report_on(search: Any, constraints: Mapping[str, Any], online: OnlineNote | None = None) -> FitReport:
    """Write the report of the best start of a search that has one."""
    best: FitResult = search.best
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
        constraints={name: value.tolist() for name, value in constraints.items()},
        rescues=tuple(RescueNote(*rescue, min(when), max(when)) for rescue, when in iterations.items()),
        runs=tuple(search.runs),
        n_rows=search.n_rows,
        weight=search.weight,
        online=online,
        n_iter_ahead=best.state.n_iter_ahead,
        n_rows_sampled=best.state.n_rows_ahead,
        n_dropped=best.trace.n_dropped - (best.trace.fall > 0.0),
        races=tuple(search.races),
    )


def report_on_stream(
    constraints: Mapping[str, Any], n_rows: int, rescues: Sequence[RescueSpan], online: OnlineNote
) -> FitReport:
    """Write the report of all that `partial_fit` has learnt."""
    course = online.prequential_loglik
    return FitReport(
        stop_reason="partial_fit",
        n_iter=0,
        objective=course[-1] if course else math.nan,
        loglik=course[-1] if course else math.nan,
        remaining=math.nan,
        fall=0.0,
        impossible_weight=online.skipped_weight,
        constraints={name: value.tolist() for name, value in constraints.items()},
        rescues=tuple(RescueNote(*span.rescue, span.first, span.last) for span in rescues),
        runs=(),
        n_rows=n_rows,
        weight=online.weight,
        online=online,
    )


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
