"""Batch EM over all rows, accelerated or plain."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

from fastem.contracts import HasExpectedLogProb, HasUnconstrained
from fastem.fitting.problem import Problem, SampleProblem
from fastem.model import Model, Params
from fastem.schedules.accelerate.automatic import ACCELERATORS
from fastem.schedules.accelerate.protocol import Accelerator
from fastem.schedules.accelerate.squarem import Squarem
from fastem.schedules.batch import Slack, fit_batch
from fastem.schedules.result import FitResult, FitState, Trace
from fastem.schedules.stopping import rounding_slack
from fastem.schedules.subsample import ControlVariate
from fastem.sources import ArraySource, Source

# Rows x features x components of a pass of some twenty milliseconds.
MUCH_WORK = 2**24


class Reporter(Protocol):
    """Who is told how a fit goes on."""

    def rows(self, n_rows: int) -> None:
        """So many more rows were read."""
        ...

    def step(self) -> None:
        """The state of the schedule has moved."""
        ...

    def epoch(self, n_done: int, trace: Trace) -> None:
        """All rows were read once more."""
        ...


class Strategy(Protocol):
    """One way to improve a start."""

    def begin(self, params: Params) -> Any:
        """The state of a schedule at its start."""
        ...

    def run(self, model: Model, source: Source, state: Any, seed: int, reporter: Reporter) -> FitResult:
        """Go on from a state; that of the result is the state of the schedule."""
        ...

    def finalised(self, model: Model, result: FitResult, source: Source | None) -> FitResult:
        """The result with a `FitState`, whose objective is exact when there is a source to read."""
        ...


def accelerator_of(name: str | None, model: Model, tol: float) -> Accelerator | None:
    """The accelerator of a name of `ACCELERATORS`; None: plain EM, also where the family has no coordinates."""
    if name is None or not isinstance(model.family, HasUnconstrained):
        return None
    return ACCELERATORS[name](model, tol)


def control_variate(sample: ArraySource, model: Model, tol: float, after: Accelerator | None) -> Accelerator | None:
    """The accelerator that a sample of all rows is; `after` goes on where it misleads.

    Only `after`, where the family does not know the log-density of statistics, by which a sample is corrected.
    """
    if not isinstance(model.family, HasExpectedLogProb) or not isinstance(model.family, HasUnconstrained):
        return after
    return ControlVariate(model, SampleProblem(model, sample), tol, after or Squarem(model))


@dataclass(kw_only=True)
class BatchStrategy:
    """EM over all rows.

    Parameters
    ----------
    acceleration : str or None
        A name of `ACCELERATORS`; None for plain EM.
    precision : {"auto", "float64"}
        Whether the first iterations over many float32 rows may be in float32 (see `Problem`).
    """

    tol: float
    max_iter: int
    acceleration: str | None = None
    precision: str = "float64"

    def begin(self, params: Params) -> FitState:
        return FitState(params)

    def run(self, model: Model, source: Source, state: FitState, seed: int, reporter: Reporter) -> FitResult:
        def notify(n_rows: int) -> None:
            reporter.rows(n_rows)
            state.e_step = problem.state
            reporter.step()

        accelerator = self._accelerator(model, source, state, seed)
        problem = Problem(model, source, notify, state.e_step, state if self._is_float32(model, source) else None)
        return self._improve(problem, state, reporter, accelerator, problem.slack)

    def _accelerator(self, model: Model, source: Source, state: FitState, seed: int) -> Accelerator | None:
        return accelerator_of(self.acceleration, model, self.tol)

    def _is_float32(self, model: Model, source: Source) -> bool:
        """Whether E-steps may be in float32: where passes take so long that kernels of their own pay."""
        much = source.n_rows is None or source.n_rows * source.n_features * model.latent.n_components >= MUCH_WORK
        return self.precision == "auto" and much

    def _is_at_start(self, state: FitState) -> bool:
        """Whether iterations on a stand-in for the rows are to come first: not where an earlier fit is gone on with."""
        return self.max_iter > 0 and state.before is None and not state.trace.objective and state.n_iter_reduced == 0

    def _improve(
        self,
        problem: Any,
        state: FitState,
        reporter: Reporter,
        accelerator: Accelerator | None,
        slack: Slack = rounding_slack,
    ) -> FitResult:
        def watch(state: FitState) -> None:
            reporter.epoch(state.n_iter, state.trace)
            reporter.step()

        return fit_batch(
            problem, state, tol=self.tol, max_iter=self.max_iter, accelerator=accelerator, watch=watch,
            slack=slack, halfway=problem.model.halfway(),
        )  # fmt: skip

    def finalised(self, model: Model, result: FitResult, source: Source | None) -> FitResult:
        if result.trace.objective:
            return result
        # Within the first E-step there is a model, but nothing is known of it.
        return replace(result, state=FitState(result.state.candidate, Trace([math.nan])))
