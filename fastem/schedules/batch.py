"""EM over all data: an E-step, an M-step, until no improvement remains; plain, or along an accelerated path."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, ClassVar

from fastem._options import NOTHING, Allowed, Choice, Options, integers, texts
from fastem.schedules.accelerate.automatic import ACCELERATORS
from fastem.schedules.accelerate.protocol import Accelerator, lifted_off
from fastem.schedules.result import FitResult, FitState, Problem, Reason, Watch
from fastem.schedules.stopping import remaining_gain, rounding_slack
from fastem.stats import ExpectedStats, Repair

# A proposal that lowers the objective by no more than this, in nats per unit of weight, is gone on with for one
# iteration, and judged by where that leads: near a curved ridge all long steps end a little below it.
TOLERATED = 1e-5

MStep = Callable[[ExpectedStats, Any], tuple[Any, list[Repair]]]
# Takes the statistics of each parameters that it yields, and returns why it stopped.
Iterations = Generator[Any, ExpectedStats, Reason]
# The largest fall of an objective that rounding explains.
Slack = Callable[[float], float]
# Parameters between those of an iteration, and those that its M-step led to.
Halfway = Callable[[Any, Any], Any]
# A step that was halved so often and still lowers the objective is no step uphill.
_MOST_HALVINGS = 20


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Subsample(Options):
    """How the samples grow on which batch EM converges before it reads all rows.

    Parameters
    ----------
    min_rows : int, default 1000000
        Fewer rows are fitted without samples.
    sample_rows : int, default 100000
        The largest sample has at least this number of rows,
    rows_per_parameter : int, default 1000
        and this number for each free parameter,
    part : int, default 8
        but no more than one row in so many.
    min_rows_per_parameter : int, default 50
        With fewer rows in the sample for each free parameter, there is none.
    growth : int, default 4
        Each sample is this many times larger than the one before.

    Examples
    --------
    >>> from fastem import Batch, GaussianMixture, Subsample
    >>> GaussianMixture(3, schedule=Batch(subsample=Subsample(min_rows=100_000)))
    GaussianMixture(n_components=3,
                    schedule=Batch(subsample=Subsample(min_rows=100000)))
    """

    min_rows: int = 1_000_000
    sample_rows: int = 100_000
    rows_per_parameter: int = 1000
    part: int = 8
    min_rows_per_parameter: int = 50
    growth: int = 4

    _allowed: ClassVar[dict[str, tuple[Allowed, ...]]] = {
        "min_rows": (integers(1),),
        "sample_rows": (integers(1),),
        "rows_per_parameter": (integers(0),),
        "part": (integers(1),),
        "min_rows_per_parameter": (integers(0),),
        "growth": (integers(2),),
    }


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Batch(Options):
    """Batch EM: each iteration reads all rows, and then moves the parameters.

    Parameters
    ----------
    acceleration : {"auto", "squarem", "anderson"} or None, default "auto"
        How steps that are worth many iterations are found, once the first, quick gains are made: by squared
        extrapolation, or by mixing the last ten iterations; "auto" mixes where there are no more than 32 free
        parameters. A step that would lower the objective is undone. None: plain EM.
    subsample : "auto", None or Subsample, default "auto"
        EM of a million rows or more first converges on samples of growing size; each pass over all rows is then
        corrected by how much their statistics differ from those of the largest sample. Stopping rule and objective are
        those of all rows. "auto": unless `acceleration` is None. Mixtures only.
    bins : int or None, default None
        For one feature and very many rows: iterate on this number of bins first (4096, say; at least 32 for each
        component), until convergence, and on all rows from there: mostly three or four iterations. Stopping rule and
        objective are those of all rows; `max_iter` bounds either stage. `GaussianMixture` only.

    Raises
    ------
    ValueError
        For a value that is out of range, and for bins with a subsample.

    Examples
    --------
    >>> from fastem import Batch, GaussianMixture
    >>> mixture = GaussianMixture(2, schedule=Batch(acceleration="squarem"))
    >>> mixture.set_params(schedule__acceleration=None).schedule
    Batch(acceleration=None)
    """

    acceleration: str | None = "auto"
    subsample: str | Subsample | None = "auto"
    bins: int | None = None

    _allowed: ClassVar[dict[str, tuple[Allowed, ...]]] = {
        "acceleration": (texts(*ACCELERATORS), NOTHING),
        "bins": (integers(1), NOTHING),
    }
    _choices: ClassVar[dict[str, Choice]] = {"subsample": Choice((Subsample,), {"auto": Subsample(), None: None})}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bins is not None and isinstance(self.subsample, Subsample):
            raise ValueError("Batch takes bins or a subsample, not both: either stands for the rows at first.")

    def sampling(self) -> Subsample | None:
        """How samples grow; None without samples."""
        if self.subsample == "auto" and self.acceleration is None:
            return None
        return self._record("subsample", self.subsample)


def fit_batch(
    problem: Problem,
    start: Any,
    *,
    tol: float,
    max_iter: int,
    accelerator: Accelerator | None = None,
    watch: Watch | None = None,
    slack: Slack = rounding_slack,
    halfway: Halfway | None = None,
) -> FitResult:
    """Iterate E- and M-steps from `start`.

    Parameters
    ----------
    problem : Problem
    start : parameters or FitState
        A state continues the fit that it comes from, to the same bits.
    tol : float
        Stop when the estimate of the gain still to come is below `tol` in two iterations running
        (one may be low by chance), in nats per unit of weight.
    max_iter : int
        Largest number of iterations, each of which is an E-step over all data.
    accelerator : Accelerator, optional
        What proposes where the next E-step may be, other than at the parameters of the last M-step. A proposal
        that lowers the objective is dropped: it has cost one iteration.
    watch : callable, optional
        Called with the state at the start and after each iteration.
    slack : callable
        The largest fall of an objective that rounding explains; it may depend on the arithmetic of the last E-step.
    halfway : callable, optional
        For M-steps that are steps uphill rather than maxima: a step that lowers the objective is halved.

    Returns
    -------
    FitResult
        An iteration that lowered the objective is undone. When the fall is no more than rounding, the iteration
        counts as one that changed nothing, and the fit as converged. KeyboardInterrupt, or
        an error of the data, ends the fit with the parameters of the last whole iteration; before the first E-step
        is done, it is passed on.
    """
    state = start if isinstance(start, FitState) else FitState(start)
    try:
        steps = iterations(problem.m_step, state, tol, max_iter, accelerator, watch, slack, halfway)
        candidate = next(steps)
        while True:
            candidate = steps.send(problem.e_step(candidate))
    except StopIteration as end:
        return FitResult(state, end.value, state.n_iter)
    except (KeyboardInterrupt, Exception) as error:
        return FitResult.broken_off(state, error, has_begun=bool(state.trace.objective))


def iterations(
    m_step: MStep,
    state: FitState,
    tol: float,
    max_iter: int,
    accelerator: Accelerator | None = None,
    watch: Watch | None = None,
    slack: Slack = rounding_slack,
    halfway: Halfway | None = None,
) -> Iterations:
    """The course of `fit_batch`, for a caller who makes the E-steps: of several fits in one read of the data, say."""
    notify = watch or (lambda state: None)
    trace = state.trace
    if accelerator is not None and state.acceleration is None:
        state.acceleration = accelerator.begin()
    while True:
        # Asked first, for a fit that is gone on with may have been at its end.
        is_near = len(trace.objective) > 1 and (state.near >= 2 or trace.remaining == 0.0)
        if is_near and not _leaves_edge(state, accelerator, max_iter):
            return Reason.CONVERGED
        if trace.objective and state.n_iter >= max_iter:
            return Reason.MAX_ITER
        stats = yield state.candidate
        decrease = trace.objective[-1] - stats.objective if trace.objective else 0.0
        if state.fallback is not None and not decrease <= 0.0:
            if decrease <= TOLERATED and not state.is_on_trial:
                _try_on(state, m_step(stats, state.candidate)[0])
            else:
                _reject(state, accelerator)
            notify(state)
            continue
        if 0.0 < decrease <= slack(stats.objective):
            # The iteration has led to where it began, to rounding.
            trace.objective.append(trace.objective[-1])
            trace.remaining = 0.0
            continue
        if decrease > 0.0 and halfway is not None and state.n_halved < _MOST_HALVINGS:
            state.candidate, state.e_step = halfway(state.params, state.candidate), None
            state.n_halved += 1
            trace.n_rejected += 1
            notify(state)
            continue
        if decrease > 0.0:
            trace.decrease = decrease
            trace.n_rejected += 1
            return Reason.OBJECTIVE_DECREASED
        _keep(state, stats, m_step(stats, state.candidate), accelerator)
        goes_on = len(trace.objective) == 1 and _goes_on(state, tol, slack)
        left = None if goes_on else _remaining(state, accelerator)
        if left is not None:
            trace.remaining = left
            state.near = state.near + 1 if left < tol else 0
        notify(state)


def _keep(
    state: FitState, stats: ExpectedStats, image: tuple[Any, list[Repair]], accelerator: Accelerator | None
) -> None:
    trace, (plain, repairs) = state.trace, image
    trace.repairs.extend((len(trace.objective), repair) for repair in state.repairs)
    trace.objective.append(stats.objective)
    state.zero_density, state.log_prior = float(stats.zero_density), float(stats.log_prior)
    state.params, state.candidate, state.fallback, state.repairs = state.candidate, plain, None, repairs
    state.is_on_trial, state.e_step, state.n_halved = False, None, 0
    if accelerator is not None:
        proposal = accelerator.propose(state.acceleration, state.params, plain, stats)
        if proposal is not None:
            state.candidate, state.fallback = proposal, plain


def _leaves_edge(state: FitState, accelerator: Accelerator | None, max_iter: int) -> bool:
    """Whether the fit is to go on off an edge: once, for a proposal may have led there where EM would not."""
    if state.was_lifted or accelerator is None or state.n_iter + 1 >= max_iter or not state.trace.objective:
        return False
    image = state.candidate if state.fallback is None else state.fallback
    lifted = lifted_off(getattr(accelerator, "space", None), state.params, image)
    if lifted is None:
        return False
    state.candidate, state.fallback, state.is_on_trial, state.e_step = lifted, image, False, None
    # What was learnt at the edge is no guide off it.
    state.acceleration = accelerator.begin()
    state.was_lifted, state.near, state.trace.remaining = True, 0, math.nan
    return True


def _goes_on(state: FitState, tol: float, slack: Slack) -> bool:
    """Whether the fit before was of the same data; then its last iterations count, and this E-step tells nothing new.

    A loop of fits of one iteration each would not see convergence without them.
    """
    before, objective = state.before, state.trace.objective[0]
    if before is None or not abs(objective - before.objective[-1]) <= slack(objective):
        state.before = None
        return False
    if tol >= before.tol:
        state.near, state.trace.remaining = before.near, before.remaining
    return True


def _remaining(state: FitState, accelerator: Accelerator | None) -> float | None:
    """The estimated remaining improvement; None when the last iteration tells nothing new of it."""
    if accelerator is None:
        return remaining_gain(state.course())
    return accelerator.remaining(state.acceleration, state.course())


def _try_on(state: FitState, image: Any) -> None:
    """See where the iteration from a proposal leads that is hardly worse."""
    state.candidate, state.is_on_trial, state.e_step = image, True, None
    state.trace.n_rejected += 1


def _reject(state: FitState, accelerator: Accelerator | None) -> None:
    state.candidate, state.fallback, state.is_on_trial, state.e_step = state.fallback, None, False, None
    state.trace.n_rejected += 1
    if accelerator is not None:
        accelerator.rejected(state.acceleration)
