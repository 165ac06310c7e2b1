"""SQUAREM: squared extrapolation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastem.schedules.accelerate.protocol import GROWTH, WORTHWHILE, Progress, Space, kept_inside
from fastem.stats import ExpectedStats


@dataclass
class SquaremState:
    """Where SQUAREM stands in its cycle of two plain iterations, a step, and an iteration that settles it."""

    # Coordinates (P,) before the first iteration of the cycle.
    origin: np.ndarray | None = None
    # The longest step, in iterations; whether the last one was as long; whether the last parameters were a proposal.
    longest: float = 1.0
    was_longest: bool = False
    has_stepped: bool = False
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True)
class Squarem:
    """Squared extrapolation along two iterations (scheme S3); steps shorter than so many iterations are left out.

    References
    ----------
    Varadhan & Roland (2008), *Simple and globally convergent methods for accelerating the convergence of any EM
    algorithm*, Scand. J. Statist. 35, 335-353.
    """

    space: Space
    shortest: float = WORTHWHILE

    def begin(self) -> SquaremState:
        return SquaremState()

    def propose(self, state: SquaremState, params: Any, image: Any, stats: ExpectedStats) -> Any | None:
        state.progress.observe(stats.objective, state.has_stepped)
        if state.has_stepped or not state.progress.is_settled():
            state.origin, state.has_stepped = None, False
            return None
        here = self.space.to_unconstrained(params)
        origin, state.origin = state.origin, here
        if origin is None:
            return None
        there = self.space.to_unconstrained(image)
        first, second = here - origin, there - here
        length = float(np.linalg.norm(first))
        if length == 0.0:
            return None
        state.progress.add_rate(float(np.linalg.norm(second)) / length)
        bend = second - first
        step = length / max(float(np.linalg.norm(bend)), math.ulp(length))
        if step < self.shortest:
            return None
        state.was_longest = step >= state.longest
        step = min(step, state.longest)
        if state.was_longest:
            state.longest *= GROWTH
        point = origin + 2.0 * step * first + step**2 * bend
        if step == 1.0 or not np.all(np.isfinite(point)):
            return None
        state.origin, state.has_stepped = None, True
        return self.space.from_unconstrained(kept_inside(self.space, point, there))

    def rejected(self, state: SquaremState) -> None:
        state.has_stepped = False
        if state.was_longest:
            state.longest = max(1.0, state.longest / GROWTH**2)

    def remaining(self, state: SquaremState, objective: Sequence[float]) -> float | None:
        return state.progress.remaining(objective)
