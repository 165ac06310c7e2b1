"""The story of a fit, for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

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
        0 is the start.
    """

    component: int
    cause: str
    remedy: str
    first_iteration: int
    last_iteration: int

    def __str__(self) -> str:
        who = "the shared covariance" if self.component < 0 else f"component {self.component}"
        state = "was empty" if self.cause == "empty" else "had collapsed"
        first, last = self.first_iteration, self.last_iteration
        when = f"iteration {first}" if first == last else f"iterations {first} to {last}"
        return f"{who} {state} at {when}: {self.remedy}"


@dataclass(frozen=True)
class RunNote:
    """One start and where it led: objective in nats per unit of weight."""

    objective: float
    n_iter: int
    stop_reason: str


@dataclass(frozen=True)
class FitReport:
    """What happened during `fit`. Print it to read it.

    Attributes
    ----------
    stop_reason : {"converged", "max_iter", "objective_fell", "interrupted"}
    n_iter : int
    objective : float
        Log-likelihood per unit of weight, in nats.
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
    n_iter_compressed : int
        Iterations on compressed rows that came before those of `n_iter`, each of which reads every row; zero
        when rows were not compressed.
    """

    stop_reason: str
    n_iter: int
    objective: float
    remaining: float
    fall: float
    impossible_weight: float
    constraints: dict[str, Any]
    rescues: tuple[RescueNote, ...]
    runs: tuple[RunNote, ...]
    n_iter_compressed: int = 0

    def __str__(self) -> str:
        lines = [
            f"stopped: {self.stop_reason} after {self.n_iter} iterations",
            f"objective: {self.objective:.10g} nats per row; about {self.remaining:.2g} left to gain",
        ]
        if self.n_iter_compressed:
            lines.insert(0, f"rows were compressed: {self.n_iter_compressed} iterations read only the bins")
        if self.stop_reason == "objective_fell":
            lines.append(f"the last iteration was undone: it lowered the objective by {self.fall:.2g}")
        if self.impossible_weight > 0:
            lines.append(f"rows of total weight {self.impossible_weight:g} are impossible under every component")
        if len(self.runs) > 1:
            lines.append("starts: " + ", ".join(f"{run.objective:.8g} ({run.stop_reason})" for run in self.runs))
        lines.extend(f"rescued: {rescue}" for rescue in self.rescues)
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> FitReport:
        rescues = tuple(RescueNote(**note) for note in fields["rescues"])
        runs = tuple(RunNote(**note) for note in fields["runs"])
        return cls(**{**fields, "rescues": rescues, "runs": runs})


def report_on(
    best: FitResult, runs: Iterable[RunNote], start_rescues: Iterable[Rescue], constraints: dict[str, Any]
) -> FitReport:
    """Write the report of the run that was kept."""
    events = [(0, rescue) for rescue in start_rescues] + best.trace.rescues
    iterations: dict[Rescue, list[int]] = {}
    for iteration, rescue in events:
        iterations.setdefault(rescue, []).append(iteration)
    return FitReport(
        stop_reason=str(best.reason),
        n_iter=best.n_iter,
        objective=best.objective,
        remaining=best.trace.remaining,
        fall=best.trace.fall,
        impossible_weight=float(best.stats.impossible),
        constraints=constraints,
        rescues=tuple(RescueNote(*rescue, min(when), max(when)) for rescue, when in iterations.items()),
        runs=tuple(runs),
        n_iter_compressed=best.n_iter_ahead,
    )
