"""EM on a sample that stands for all rows: what differs between the two is measured, and taken into account."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fastem.schedules.accelerate.protocol import Accelerator, Space
from fastem.schedules.accelerate.squarem import Squarem
from fastem.schedules.batch import fit_batch
from fastem.schedules.result import FitResult, FitState, Problem, Reason
from fastem.stats import ExpectedStats, Repair

# The estimated remaining improvement on a sample of n rows need not be less than this part of p / 2n, by which the
# best parameters of the sample fall short of those of all rows.
_RESOLUTION = 0.1
# The sample is fitted more closely than is asked of all rows.
_CLOSER = 0.1
_MOST_ITERATIONS = 500
# Iterations on a corrected sample, between two passes over all rows: so many at first, at least so many, and so many
# times more or less after a success or a failure.
_FIRST, _LEAST, _FACTOR = 128, 16, 4
# And no more than take as long as so many passes.
_PASSES = 4


class Sampled(Space, Protocol):
    """A model of all rows, as seen from a sample."""

    def m_step(self, stats: ExpectedStats, params: Any) -> tuple[Any, list[Repair]]: ...

    def with_prior(self, stats: ExpectedStats, params: Any) -> ExpectedStats: ...

    def expected_log_prob(self, params: Any, stats: ExpectedStats) -> float: ...


class BlurredProblem(Problem, Protocol):
    """A problem whose E-steps may be less exact than float64."""

    def slack(self, objective: float) -> float:
        """The largest fall of the objective that rounding explains, in the arithmetic of the last two E-steps."""
        ...


def fit_samples(
    problems: Sequence[tuple[Callable[[FitState], BlurredProblem], float]],
    start: Any,
    n_parameters: int,
    accelerator: Accelerator | None,
    *,
    tol: float,
) -> tuple[Any, int]:
    """Fit samples of growing size in turn, each as closely as its number of rows, which stands beside it, makes sense.

    `problems` are made of the states of their fits.
    None is fitted more closely than to `tol`, in nats per unit of weight. The parameters, and how many iterations.
    """
    params, n_iter = start, 0
    for make, n_rows in problems:
        state = FitState(params)
        problem = make(state)
        least = max(tol, _RESOLUTION * n_parameters / (2.0 * n_rows))
        result = fit_batch(
            problem, state, tol=least, max_iter=_MOST_ITERATIONS, accelerator=accelerator, slack=problem.slack
        ).unbroken()
        params, n_iter = result.params, n_iter + result.n_iter
    return params, n_iter


@dataclass(frozen=True)
class _Corrected:
    """A sample whose statistics are those of all rows at one place, and change from there as the sample's do.

    The likelihood of the sample and a term linear in its natural parameters are maximised by EM as the likelihood alone
    is: the objective never falls.
    """

    model: Sampled
    sample: Problem
    # Of all rows.
    weight: float
    # Statistics of all rows less those of the sample, per unit of weight.
    difference: ExpectedStats

    def e_step(self, params: Any) -> ExpectedStats:
        stats = _per_row(self.sample.e_step(params))._replace(log_prior=0.0)
        loglik = stats.loglik + self.model.expected_log_prob(params, self.difference)
        corrected = self.weight * (stats + self.difference)
        return self.model.with_prior(corrected._replace(loglik=self.weight * loglik, zero_density=0.0), params)

    def m_step(self, stats: ExpectedStats, params: Any) -> tuple[Any, list[Repair]]:
        return self.model.m_step(stats, params)


@dataclass
class ControlVariateState:
    """How far the sample leads."""

    # The state of the accelerator that follows when the sample leads no further.
    after: Any
    # On the sample, between two passes over all rows, and what this may grow to; of few, the sample is not used.
    most_iterations: int = _FIRST
    limit: int = _MOST_ITERATIONS
    # Whether the last proposal is still in use.
    has_proposed: bool = False
    # The estimated remaining improvement, as far as the sample can tell, in nats per unit of weight.
    expected: float | None = None

    def fail(self, n_iter: int) -> None:
        """After so many iterations the sample was no guide any more."""
        self.most_iterations = self.limit = n_iter // _FACTOR


@dataclass(frozen=True)
class ControlVariate:
    """Proposes, after each pass over all rows, where EM would end on them, as far as a sample can tell.

    One pass measures by how much the statistics of all rows differ from those of the sample, at the same parameters.
    EM on the sample plus that difference ends where EM on all rows would, but for how the difference changes on the
    way: a large sample contracts the error manifold at each pass, however slow EM itself is. Where the sample is too
    small for some component, fewer iterations are taken on it; where it misleads, another accelerator goes on without
    it.

    References
    ----------
    The difference is the control variate of Johnson & Zhang (2013), *Accelerating stochastic gradient descent using
    predictive variance reduction*, and, for EM, Chen, Zhu, Teh & Zhang (2018), *Stochastic expectation maximization
    with variance reduction*; here whole fits are made between two passes, not steps.
    """

    model: Sampled
    # Without a prior of its own.
    sample: Problem
    # Of the fit of all rows.
    tol: float
    # What goes on where the sample misleads.
    after: Accelerator

    def begin(self) -> ControlVariateState:
        return ControlVariateState(self.after.begin())

    def propose(self, state: ControlVariateState, params: Any, image: Any, stats: ExpectedStats) -> Any | None:
        if state.has_proposed:
            state.most_iterations = min(state.limit, _FACTOR * state.most_iterations)
        state.has_proposed, state.expected = False, None
        if state.most_iterations < _LEAST:
            return self.after.propose(state.after, params, image, stats)
        sample_stats = self.sample.e_step(params)
        affordable = max(_LEAST, int(_PASSES * float(stats.weight / sample_stats.weight)))
        while state.most_iterations >= _LEAST:
            result = self._fit(params, stats, sample_stats, min(state.most_iterations, affordable))
            trace = result.trace
            # A component that collapses, or a fall, tells that the corrected statistics are of no rows at all.
            if result.reason in (Reason.CONVERGED, Reason.MAX_ITER) and not trace.repairs and trace.decrease == 0.0:
                left = trace.remaining if result.reason is Reason.MAX_ITER else 0.0
                state.expected = trace.objective[-1] - trace.objective[0] + left
                state.has_proposed = result.n_iter > 0
                return result.params if state.has_proposed else None
            state.fail(result.n_iter)
        return self.after.propose(state.after, params, image, stats)

    def _fit(self, params: Any, stats: ExpectedStats, sample_stats: ExpectedStats, max_iter: int) -> FitResult:
        """EM on the sample, corrected by what one pass over all rows at `params` has told."""
        difference = _per_row(stats) - _per_row(sample_stats)
        difference = difference._replace(loglik=0.0, weight=0.0, zero_density=0.0, log_prior=0.0)
        problem = _Corrected(self.model, self.sample, float(stats.weight), difference)
        tol = _CLOSER * self.tol
        return fit_batch(problem, params, tol=tol, max_iter=max_iter, accelerator=Squarem(self.model)).unbroken()

    def rejected(self, state: ControlVariateState) -> None:
        if not state.has_proposed:
            self.after.rejected(state.after)
            return
        state.has_proposed = False
        state.fail(state.most_iterations // _FACTOR)

    def remaining(self, state: ControlVariateState, objective: Sequence[float]) -> float | None:
        if state.most_iterations >= _LEAST:
            return state.expected
        return self.after.remaining(state.after, objective)


def _per_row(stats: ExpectedStats) -> ExpectedStats:
    return (1.0 / float(stats.weight)) * stats
