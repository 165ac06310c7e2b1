"""Many fits in step: each read of the data makes the E-step of every fit that still goes on."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from fastem.schedules.accelerate.protocol import Accelerator
from fastem.schedules.batch import Halfway, Iterations, MStep, iterations
from fastem.schedules.result import FitResult, FitState, Reason
from fastem.stats import ExpectedStats

# Statistics of all data for each of the parameters, made in one read.
ESteps = Callable[[dict[Hashable, Any]], dict[Hashable, ExpectedStats]]


@dataclass(frozen=True)
class Course:
    """One of several fits; its state says where it starts, and where it stands later."""

    m_step: MStep
    state: FitState
    accelerator: Accelerator | None = None
    halfway: Halfway | None = None


def fit_together(
    courses: Mapping[Hashable, Course],
    e_steps: ESteps,
    *,
    tol: float,
    max_iter: int,
    watch: Callable[[int], None] = lambda n_left: None,
) -> dict[Hashable, FitResult]:
    """Iterate E- and M-steps of several fits, which share each read of the data; `tol`, `max_iter` as in `fit_batch`.

    `e_steps` takes the parameters of all fits that go on, by name, and returns their statistics of all data; `watch`
    is told after each read how many these are. The results are, to the bits, those of fits one after the other. An
    error or an interrupt ends them all, and is passed on.
    """
    steps: dict[Hashable, Iterations] = {
        name: iterations(course.m_step, course.state, tol, max_iter, course.accelerator, halfway=course.halfway)
        for name, course in courses.items()
    }
    reasons: dict[Hashable, Reason] = {}
    found: dict[Hashable, ExpectedStats | None] = dict.fromkeys(courses)
    while found:
        asked = {}
        for name, stats in found.items():
            try:
                asked[name] = steps[name].send(stats)  # type: ignore[arg-type]
            except StopIteration as end:
                reasons[name] = end.value
        found = dict(e_steps(asked)) if asked else {}
        watch(len(asked))
    return {name: FitResult(course.state, reasons[name], course.state.n_iter) for name, course in courses.items()}
