"""What every schedule returns: the parameters, how the objective went, and why it stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, Self

from fastem.stats import ExpectedStats, Rescue

# Objectives that an estimate of what is left to gain is made of.
_REMEMBERED = 3


class Reason(StrEnum):
    """Why fitting stopped."""

    CONVERGED = "converged"
    MAX_ITER = "max_iter"
    OBJECTIVE_FELL = "objective_fell"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class Problem(Protocol):
    """What a schedule asks of a model and its data."""

    def e_step(self, params: Any) -> ExpectedStats:
        """Expected statistics of all data."""
        ...

    def m_step(self, stats: ExpectedStats, params: Any) -> tuple[Any, list[Rescue]]:
        """Parameters of highest expected likelihood given statistics at `params`, and what had to be rescued."""
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

    def m_step(self, stats: ExpectedStats, params: Any, /) -> tuple[Any, list[Rescue]]:
        """Parameters of highest expected likelihood given statistics at `params`, and what had to be rescued."""
        ...


@dataclass
class Trace:
    """The course of a fit.

    Attributes
    ----------
    objective : list of float
        Nats per unit of weight, at the start and after each iteration that was kept. That of batch EM never
        falls.
    rescues : list of (int, Rescue)
        The iteration, and what its M-step had to rescue.
    remaining : float
        Estimate of what further iterations would still gain, in nats per unit of weight; NaN when
        there is none.
    fall : float
        By how much the last, rejected iteration lowered the objective; zero when none was rejected.
    n_dropped : int
        Iterations that are not among the objectives, because they would have lowered them.
    """

    objective: list[float] = field(default_factory=list)
    rescues: list[tuple[int, Rescue]] = field(default_factory=list)
    remaining: float = float("nan")
    fall: float = 0.0
    n_dropped: int = 0


class Ending(NamedTuple):
    """How a fit ended that another one may go on from.

    Attributes
    ----------
    objective : tuple of float
        After the last iterations.
    near : int
        Iterations in a row after which no more than `tol` was left to gain.
    remaining : float
        Estimate of what further iterations would have gained.
    tol : float
    """

    objective: tuple[float, ...]
    near: int
    remaining: float
    tol: float


@dataclass
class FitState:
    """Where a fit stands between two iterations: all that it takes to go on from there.

    Attributes
    ----------
    params : parameters
        After the last iteration that was kept; the first ones before.
    trace : Trace
    near : int
        Iterations in a row after which no more than `tol` was left to gain.
    impossible : float
        Weight of the rows that have density zero under the parameters.
    n_iter_ahead : int
        Iterations that were run before the first one, on a stand-in for the data.
    n_rows_ahead : int
        Rows of that stand-in, when it was a sample.
    candidate : parameters
        Those that the next E-step is at; by default `params`.
    fallback : parameters or None
        Those of the last M-step, when the candidate is a proposal instead.
    is_on_trial : bool
        Whether the candidate came from an iteration at a proposal that was a little worse.
    rescues : list of Rescue
        Of the last M-step.
    acceleration : state of an accelerator, or None
    log_prior : float
        Of the parameters, in nats: what the objective counts besides the log-likelihood.
    e_step : whatever the problem makes of it
        How far the E-step under way has come; None where none is.
    was_lifted : bool
        Whether the fit was about to end at an edge, and went on off it.
    before : Ending or None
        Of the fit whose parameters this one starts from. It counts when the data turn out to be the same.
    """

    params: Any
    trace: Trace = field(default_factory=Trace)
    near: int = 0
    impossible: float = 0.0
    n_iter_ahead: int = 0
    n_rows_ahead: int = 0
    candidate: Any = None
    fallback: Any = None
    is_on_trial: bool = False
    rescues: list[Rescue] = field(default_factory=list)
    acceleration: Any = None
    log_prior: float = 0.0
    e_step: Any = None
    was_lifted: bool = False
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
        return max(0, len(self.trace.objective) + self.trace.n_dropped - 1)

    def course(self) -> tuple[float, ...]:
        """Objectives of this fit, after those of the one that it goes on from."""
        before = () if self.before is None else self.before.objective[:-1]
        return (*before, *self.trace.objective)

    def ending(self, tol: float) -> Ending:
        """What a fit that goes on from here has to know."""
        return Ending(self.course()[-_REMEMBERED:], self.near, self.trace.remaining, tol)


@dataclass(frozen=True)
class FitResult:
    """Parameters with the highest objective met, and the story of how they were found.

    Attributes
    ----------
    state : FitState, or the state of another schedule
        After the last iteration that was kept.
    reason : Reason
    n_iter : int
        Iterations that were run; the last one may have been undone.
    error : Exception or None
        What ended a fit that failed after its first E-step.
    """

    state: Any
    reason: Reason
    n_iter: int
    error: Exception | None = None

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
