"""What every schedule returns: the parameters, how the objective went, and why it stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, Self

from fastem.stats import ExpectedStats, Repair

# Objectives that the estimated remaining improvement is computed from.
_REMEMBERED = 3
# And those that an iteration looks at: what was known one iteration ago, too.
_LOOKED_AT = _REMEMBERED + 1


class Reason(StrEnum):
    """Why fitting stopped."""

    CONVERGED = "converged"
    MAX_ITER = "max_iter"
    OBJECTIVE_DECREASED = "objective_decreased"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class Problem(Protocol):
    """What a schedule asks of a model and its data."""

    def e_step(self, params: Any) -> ExpectedStats:
        """Expected statistics of all data."""
        ...

    def m_step(self, stats: ExpectedStats, params: Any) -> tuple[Any, list[Repair]]:
        """Parameters of highest expected likelihood given statistics at `params`, and what had to be repaired."""
        ...


class PartialProblem(Protocol):
    """What a schedule asks of a model when it looks at the data part by part.

    What a part is, only the E-step knows: a chunk for a `Model`.
    """

    def e_step(self, params: Any, part: Any, /) -> ExpectedStats:
        """Expected statistics of one part of the data."""
        ...

    def with_prior(self, stats: ExpectedStats, params: Any, /) -> ExpectedStats:
        """Statistics of all data at these parameters, whose objective counts the prior."""
        ...

    def m_step(self, stats: ExpectedStats, params: Any, /) -> tuple[Any, list[Repair]]:
        """Parameters of highest expected likelihood given statistics at `params`, and what had to be repaired."""
        ...


@dataclass
class Trace:
    """The course of a fit; objectives and gains in nats per unit of weight."""

    # At the start and after each iteration that was kept. That of batch EM never falls.
    objective: list[float] = field(default_factory=list)
    # The iteration, and what its M-step had to repair.
    repairs: list[tuple[int, Repair]] = field(default_factory=list)
    # Estimate of what further iterations would still gain; NaN when there is none.
    remaining: float = float("nan")
    # By how much the last, rejected iteration lowered the objective; zero when none was rejected.
    decrease: float = 0.0
    # Iterations that are not among the objectives, because they would have lowered them.
    n_rejected: int = 0


class Ending(NamedTuple):
    """How a fit ended that another one may go on from: the end of its trace, and `near` of its state."""

    objective: tuple[float, ...]
    near: int
    remaining: float
    tol: float


@dataclass
class FitState:
    """Where a fit stands between two iterations: all that it takes to go on from there."""

    # After the last iteration that was kept; the first ones before.
    params: Any
    trace: Trace = field(default_factory=Trace)
    # Iterations in a row after which the estimated remaining improvement was at most `tol`.
    near: int = 0
    # Weight of the rows that have density zero under the parameters.
    zero_density: float = 0.0
    # Iterations that were run before the first one, on a stand-in for the data; its rows, when it was a sample.
    n_iter_reduced: int = 0
    n_rows_subsample: int = 0
    # Parameters that the next E-step is at; those of the last M-step, when these are a proposal instead.
    candidate: Any = None
    fallback: Any = None
    # Whether the candidate came from an iteration at a proposal that was a little worse.
    is_on_trial: bool = False
    # Of the last M-step.
    repairs: list[Repair] = field(default_factory=list)
    # The state of the accelerator.
    acceleration: Any = None
    # Of the parameters, in nats: what the objective counts besides the log-likelihood.
    log_prior: float = 0.0
    # How far the E-step under way has come, as the problem says it; None where none is.
    e_step: Any = None
    # Whether the fit was about to end at an edge, and went on off it.
    was_lifted: bool = False
    # How often the step to the candidate was halved.
    n_halved: int = 0
    # How the fit ended whose parameters this one starts from. It counts when the data turn out to be the same.
    before: Ending | None = None

    def __post_init__(self) -> None:
        if self.candidate is None:
            self.candidate = self.params

    @property
    def objective(self) -> float:
        """Of the parameters; NaN before the first E-step."""
        return self.trace.objective[-1] if self.trace.objective else float("nan")

    @property
    def n_iter(self) -> int:
        """Iterations that were run, each with an E-step over all data; the first E-step is not counted."""
        return max(0, len(self.trace.objective) + self.trace.n_rejected - 1)

    def course(self) -> tuple[float, ...]:
        """The last objectives of this fit, after those of the one that it goes on from."""
        before = () if self.before is None else self.before.objective[:-1]
        return (*before, *self.trace.objective[-_LOOKED_AT:])[-_LOOKED_AT:]

    def ending(self, tol: float) -> Ending:
        """What a fit that goes on from here has to know."""
        return Ending(self.course()[-_REMEMBERED:], self.near, self.trace.remaining, tol)


@dataclass(frozen=True)
class FitResult:
    """Parameters with the highest objective met, and an account of how they were found."""

    # Of the schedule, after the last iteration that was kept.
    state: Any
    reason: Reason
    # Iterations that were run; the last one may have been undone.
    n_iter: int
    # What ended a fit that failed after its first E-step.
    error: Exception | None = None

    @classmethod
    def broken_off(cls, state: Any, error: BaseException, has_begun: bool) -> Self:
        """Of a fit that an interrupt, or an error of the data, ends; passed on when nothing is found yet."""
        if not has_begun:
            raise error
        if isinstance(error, Exception):
            return cls(state, Reason.FAILED, state.n_iter, error)
        return cls(state, Reason.INTERRUPTED, state.n_iter)

    @property
    def params(self) -> Any:
        return self.state.params

    @property
    def trace(self) -> Trace:
        return self.state.trace

    @property
    def objective(self) -> float:
        return self.trace.objective[-1]

    def unbroken(self) -> Self:
        """This result; what ended the fit from outside, where something did, is raised."""
        if self.reason is Reason.INTERRUPTED:
            raise KeyboardInterrupt
        if self.error is not None:
            raise self.error
        return self


Watch = Callable[[FitState], None]
