"""What an acceleration method does, and what they share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fastem.schedules.stopping import gain_of_rate, remaining_gain
from fastem.stats import ExpectedStats

# Far from an optimum a long step may lead to another one than EM goes to: steps begin when an iteration gains less
# than this, in nats per unit of weight.
SETTLED = 1e-3

# Steps of less than this many iterations are not worth a proposal.
WORTHWHILE = 1.5

# The longest step grows by this factor when it was too short, and shrinks by its square when it was rejected.
GROWTH = 4.0

# Rates of convergence are remembered for so many steps: the slowest of them bounds the estimated remaining improvement.
MEMORY = 10


class Accelerator(Protocol):
    """What proposes parameters to a schedule. Its state is changed in place; it holds numbers and arrays."""

    def begin(self) -> Any:
        """The state at the start of a fit."""
        ...

    def propose(self, state: Any, params: Any, image: Any, stats: ExpectedStats) -> Any | None:
        """Parameters for the next E-step; None for `image`, which the M-step made of those that were kept."""
        ...

    def rejected(self, state: Any) -> None:
        """The last proposal would have lowered the objective."""
        ...

    def remaining(self, state: Any, objective: Sequence[float]) -> float | None:
        """The estimated remaining improvement, in nats per unit of weight; NaN when it cannot be told, None when
        nothing is new."""
        ...


class Space(Protocol):
    """Parameters as points, all of which are valid: a `Model` is one."""

    def to_unconstrained(self, params: Any) -> np.ndarray: ...

    def from_unconstrained(self, point: np.ndarray) -> Any: ...

    def roots(self, point: np.ndarray) -> np.ndarray:
        """Which coordinates are square roots of what must not be negative: proposals stay off the edge."""
        ...


@dataclass
class Progress:
    """How EM goes on where it is not helped: what a plain iteration gains, and by how much changes shrink."""

    # At the last parameters; what the last plain iteration gained.
    objective: float = math.nan
    gain: float = math.nan
    # Of the last gain to the one before, when both iterations were plain; zero otherwise.
    ratio: float = 0.0
    # By how much the last changes of the parameters were smaller than those before.
    rates: tuple[float, ...] = ()
    # Whether the last parameters came from an M-step, not from a proposal.
    is_plain: bool = False

    def observe(self, objective: float, proposed: bool) -> None:
        """Note the objective of the parameters that were kept."""
        was_plain, self.is_plain, self.ratio = self.is_plain, not proposed, 0.0
        if self.is_plain:
            gain = objective - self.objective
            if was_plain and gain > 0.0 and math.isfinite(self.gain):
                self.ratio = gain / self.gain if self.gain > 0.0 else math.inf
            self.gain = gain
        self.objective = objective

    def is_settled(self) -> bool:
        """Whether a plain iteration gains little."""
        return self.gain < SETTLED

    def add_rate(self, rate: float) -> None:
        self.rates = (*self.rates[1 - MEMORY :], rate)

    def remaining(self, objective: Sequence[float]) -> float | None:
        """By the slowest rate that was seen of late: a bound, where Aitken's rule sees only the present change."""
        if not self.is_plain:
            return None
        if not self.rates:
            return remaining_gain(objective)
        # The objective is nearly quadratic: its gains shrink by the square. Two plain iterations in a row may tell that
        # they shrink more slowly: then the rates are of other directions than those in which the gain is to come.
        return gain_of_rate(self.gain, max(max(self.rates) ** 2, self.ratio))


def slowest_rate(points: Sequence[np.ndarray], changes: Sequence[np.ndarray]) -> float:
    """The largest rate at which errors shrink, of the directions that were moved in (Ritz values)."""
    moved, changed = np.diff(points, axis=0).T, np.diff(changes, axis=0).T
    projected = np.linalg.lstsq(moved, changed, rcond=1e-8)[0]
    return float(1.0 + np.linalg.eigvals(projected).real.max())


# A proposal takes no more than this part of a square root away that the M-step would leave: EM multiplies what is small
# by a factor, and would need long to bring back what was nearly zero.
_LEAST_LEFT = 0.1
# Values below this that an iteration raises by so much are on their way back from an edge.
_SMALL, _RISE = 1e-3, 1.01


def kept_inside(space: Space, point: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A proposed point, moved off the edges that the plain iteration, which leads to `image`, does not go to."""
    # Roots of either sign stand for the same value.
    return np.where(space.roots(point), np.maximum(point, _LEAST_LEFT * image), point)


def lifted_off(space: Space | None, params: Any, image: Any) -> Any | None:
    """Parameters off the edges that an iteration, from `params` to `image`, moves away from; None when at none.

    Near an edge an iteration gains next to nothing, whatever is to be gained away from it.
    """
    if space is None:
        return None
    here, there = space.to_unconstrained(params), space.to_unconstrained(image)
    rising = space.roots(here) & (here**2 < _SMALL) & (there**2 > _RISE * here**2)
    return space.from_unconstrained(np.where(rising, np.sqrt(_SMALL), there)) if rising.any() else None
