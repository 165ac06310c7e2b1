"""Anderson acceleration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastem.schedules.accelerate.protocol import Progress, Space, kept_inside, slowest_rate
from fastem.schedules.stopping import rounding_slack
from fastem.stats import ExpectedStats


@dataclass
class AndersonState:
    """The last points (P,), what an iteration changed there, and how many proposals came since a plain iteration."""

    points: list[np.ndarray] = field(default_factory=list)
    changes: list[np.ndarray] = field(default_factory=list)
    n_steps: int = 0
    has_stepped: bool = False
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True)
class Anderson:
    """Mixing of the last iterations, so that what they would change cancels as far as it can.

    References
    ----------
    Walker & Ni (2011), *Anderson acceleration for fixed-point iterations*, SIAM J. Numer. Anal. 49, 1715-1735;
    Henderson & Varadhan (2019), *Damped Anderson acceleration with restarts and monotonicity control for accelerating
    EM and EM-like algorithms*, J. Comput. Graph. Statist. 28, 834-846.
    """

    space: Space
    # A proposal that gains less than this, in nats per unit of weight, is followed by a plain iteration, which tells
    # the estimated remaining improvement.
    tol: float = 0.0
    # Differences between iterations that are mixed. After as many proposals comes a plain iteration, too.
    memory: int = 10

    def begin(self) -> AndersonState:
        return AndersonState()

    def propose(self, state: AndersonState, params: Any, image: Any, stats: ExpectedStats) -> Any | None:
        gain = stats.objective - state.progress.objective
        has_ended = state.n_steps == self.memory or (state.has_stepped and gain < self.tol)
        state.progress.observe(stats.objective, state.has_stepped)
        state.has_stepped = False
        if not state.progress.is_settled():
            return None
        here, there = self.space.to_unconstrained(params), self.space.to_unconstrained(image)
        state.points = [*state.points[-self.memory :], here]
        state.changes = [*state.changes[-self.memory :], there - here]
        if len(state.points) < 2 or has_ended:
            state.n_steps = 0
            return None
        rate, point = slowest_rate(state.points, state.changes), _mixed(state.points, state.changes)
        # Of noisy differences it may be anything: unless changes do grow, and gains are no rounding, one above 1 is
        # none.
        grows = np.linalg.norm(state.changes[-1]) > np.linalg.norm(state.changes[-2])
        if rate < 1.0 or (grows and state.progress.gain > rounding_slack(stats.objective)):
            state.progress.add_rate(rate)
        if not np.all(np.isfinite(point)):
            return None
        state.n_steps, state.has_stepped = state.n_steps + 1, True
        return self.space.from_unconstrained(kept_inside(self.space, point, there))

    def rejected(self, state: AndersonState) -> None:
        state.points, state.changes, state.n_steps, state.has_stepped = [], [], 0, False

    def remaining(self, state: AndersonState, objective: Sequence[float]) -> float | None:
        return state.progress.remaining(objective)


def _mixed(points: Sequence[np.ndarray], changes: Sequence[np.ndarray]) -> np.ndarray:
    """Where nothing would change any more, if a map that changes points (P,) by `jvp` were linear."""
    moved, changed = np.diff(points, axis=0).T, np.diff(changes, axis=0).T
    share = np.linalg.lstsq(changed, changes[-1], rcond=1e-10)[0]
    return points[-1] + changes[-1] - (moved + changed) @ share
