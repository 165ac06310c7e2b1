"""What every schedule returns: the parameters, how the objective went, and why it stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from fastem.stats import ExpectedStats, Rescue


class Reason(StrEnum):
    """Why fitting stopped."""

    CONVERGED = "converged"
    MAX_ITER = "max_iter"
    OBJECTIVE_FELL = "objective_fell"
    INTERRUPTED = "interrupted"


class Problem(Protocol):
    """What a schedule asks of a model and its data."""

    def e_step(self, params: Any) -> ExpectedStats:
        """Expected statistics of all data."""
        ...

    def m_step(self, stats: ExpectedStats) -> tuple[Any, list[Rescue]]:
        """Parameters of highest expected likelihood, and what had to be rescued."""
        ...


@dataclass
class Trace:
    """The course of a fit.

    Attributes
    ----------
    objective : list of float
        Nats per unit of weight, at the start and after each iteration that was kept; never falls.
    rescues : list of (int, Rescue)
        The iteration, and what its M-step had to rescue.
    remaining : float
        Estimate of what further iterations would still gain, in nats per unit of weight; NaN when
        there is none.
    fall : float
        By how much the last, rejected iteration lowered the objective; zero when none was rejected.
    """

    objective: list[float] = field(default_factory=list)
    rescues: list[tuple[int, Rescue]] = field(default_factory=list)
    remaining: float = float("nan")
    fall: float = 0.0


@dataclass(frozen=True)
class FitResult:
    """Parameters with the highest objective met, and the story of how they were found.

    `n_iter` counts the iterations that were run; the last one may have been undone. `n_iter_ahead` counts
    those that were run before on a stand-in for the data.
    """

    params: Any
    stats: ExpectedStats
    trace: Trace
    reason: Reason
    n_iter: int
    n_iter_ahead: int = 0

    @property
    def objective(self) -> float:
        return self.trace.objective[-1]


Watch = Callable[[Trace], None]
