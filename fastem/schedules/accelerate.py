"""Where the next E-step may be, other than at the parameters of the last M-step: steps that are worth many.

Every E-step tells the objective, so that a proposal costs nothing when it is kept, and one pass when it is not. No
pass is ever spent on a line search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from fastem.schedules.edges import kept_inside
from fastem.schedules.stopping import gain_of_rate, remaining_gain, rounding_slack
from fastem.stats import ExpectedStats

# Far from an optimum a long step may lead to another one than EM goes to: steps begin when an iteration gains less
# than this, in nats per unit of weight.
SETTLED = 1e-3
# Steps of less than this many iterations are not worth a proposal.
WORTHWHILE = 1.5
# The longest step grows by this factor when it was too short, and shrinks by its square when it was rejected.
_GROWTH = 4.0
# Rates of convergence are remembered for so many steps: the slowest of them bounds what is left to gain.
_MEMORY = 10
# Models of no more free parameters are few-dimensional.
_FEW_PARAMETERS = 32
# So many proposals in a row that are rejected tell that differences are no guide.
_PATIENCE = 3


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
        """What is left to gain, in nats per unit of weight; NaN when it cannot be told, None when nothing is new."""
        ...


class Space(Protocol):
    """Parameters as points, all of which are valid: a `Model` is one.

    Optional: `roots(point)` tells which coordinates are square roots, for proposals to stay off the edge.
    """

    def coordinates(self, params: Any) -> np.ndarray: ...

    def at_coordinates(self, point: np.ndarray) -> Any: ...


@dataclass
class Progress:
    """How EM goes on where it is not helped: what a plain iteration gains, and by how much changes shrink.

    Attributes
    ----------
    objective : float
        At the last parameters.
    gain : float
        Of the last plain iteration.
    ratio : float
        Of the last gain to the one before, when both iterations were plain; zero otherwise.
    rates : tuple of float
        By how much the last changes of the parameters were smaller than those before.
    is_plain : bool
        Whether the last parameters came from an M-step, not from a proposal.
    """

    objective: float = math.nan
    gain: float = math.nan
    ratio: float = 0.0
    rates: tuple[float, ...] = ()
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
        self.rates = (*self.rates[1 - _MEMORY :], rate)

    def remaining(self, objective: Sequence[float]) -> float | None:
        """By the slowest rate that was seen of late: a bound, where Aitken's rule sees only the present change."""
        if not self.is_plain:
            return None
        if not self.rates:
            return remaining_gain(objective)
        # The objective is nearly quadratic: its gains shrink by the square. Two plain iterations in a row may tell that
        # they shrink more slowly: then the rates are of other directions than those in which the gain is to come.
        return gain_of_rate(self.gain, max(max(self.rates) ** 2, self.ratio))


@dataclass
class SquaremState:
    """Where SQUAREM stands in its cycle of two plain iterations, a step, and an iteration that settles it.

    Attributes
    ----------
    origin : (P,) ndarray or None
        Coordinates before the first iteration of the cycle.
    longest : float
        The longest step, in iterations.
    was_longest : bool
        Whether the last step was as long as that.
    has_stepped : bool
        Whether the last parameters were a proposal.
    progress : Progress
    """

    origin: np.ndarray | None = None
    longest: float = 1.0
    was_longest: bool = False
    has_stepped: bool = False
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True)
class Squarem:
    """Squared extrapolation along two iterations (scheme S3).

    Parameters
    ----------
    space : Space
    shortest : float
        Steps of less than this many iterations are left out.

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
        here = self.space.coordinates(params)
        origin, state.origin = state.origin, here
        if origin is None:
            return None
        there = self.space.coordinates(image)
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
            state.longest *= _GROWTH
        point = origin + 2.0 * step * first + step**2 * bend
        if step == 1.0 or not np.all(np.isfinite(point)):
            return None
        state.origin, state.has_stepped = None, True
        return self.space.at_coordinates(kept_inside(self.space, point, there))

    def rejected(self, state: SquaremState) -> None:
        state.has_stepped = False
        if state.was_longest:
            state.longest = max(1.0, state.longest / _GROWTH**2)

    def remaining(self, state: SquaremState, objective: Sequence[float]) -> float | None:
        return state.progress.remaining(objective)


@dataclass
class AndersonState:
    """The last points and what an iteration changed there.

    Attributes
    ----------
    points, changes : list of (P,) ndarray
    n_steps : int
        Proposals since the last plain iteration.
    has_stepped : bool
        Whether the last parameters were a proposal.
    progress : Progress
    """

    points: list[np.ndarray] = field(default_factory=list)
    changes: list[np.ndarray] = field(default_factory=list)
    n_steps: int = 0
    has_stepped: bool = False
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True)
class Anderson:
    """Mixing of the last iterations, so that what they would change cancels as far as it can.

    Parameters
    ----------
    space : Space
    tol : float
        A proposal that gains less than this, in nats per unit of weight, is followed by a plain iteration, which tells
        what is left to gain.
    memory : int
        Differences between iterations that are mixed. After as many proposals comes a plain iteration, too.

    References
    ----------
    Walker & Ni (2011), *Anderson acceleration for fixed-point iterations*, SIAM J. Numer. Anal. 49, 1715-1735;
    Henderson & Varadhan (2019), *Damped Anderson acceleration with restarts and monotonicity control for accelerating
    EM and EM-like algorithms*, J. Comput. Graph. Statist. 28, 834-846.
    """

    space: Space
    tol: float = 0.0
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
        here, there = self.space.coordinates(params), self.space.coordinates(image)
        state.points = [*state.points[-self.memory :], here]
        state.changes = [*state.changes[-self.memory :], there - here]
        if len(state.points) < 2 or has_ended:
            state.n_steps = 0
            return None
        rate, point = _slowest_rate(state.points, state.changes), _mixed(state.points, state.changes)
        # Of noisy differences it may be anything: unless changes do grow, and gains are no rounding, one above 1 is
        # none.
        grows = np.linalg.norm(state.changes[-1]) > np.linalg.norm(state.changes[-2])
        if rate < 1.0 or (grows and state.progress.gain > rounding_slack(stats.objective)):
            state.progress.add_rate(rate)
        if not np.all(np.isfinite(point)):
            return None
        state.n_steps, state.has_stepped = state.n_steps + 1, True
        return self.space.at_coordinates(kept_inside(self.space, point, there))

    def rejected(self, state: AndersonState) -> None:
        state.points, state.changes, state.n_steps, state.has_stepped = [], [], 0, False

    def remaining(self, state: AndersonState, objective: Sequence[float]) -> float | None:
        return state.progress.remaining(objective)


@dataclass
class AutomaticState:
    """Where either method stands.

    Attributes
    ----------
    mixing : AndersonState
    squaring : SquaremState
    n_rejected : int
        Proposals in a row, of mixing, that were rejected.
    """

    mixing: AndersonState = field(default_factory=AndersonState)
    squaring: SquaremState = field(default_factory=SquaremState)
    n_rejected: int = 0


@dataclass(frozen=True)
class Automatic:
    """Anderson's method where its differences span the space; SQUAREM for many parameters, or where that fails.

    Parameters
    ----------
    space : Space
    n_parameters : int
        Free parameters.
    tol : float
        Of the fit.
    """

    space: Space
    n_parameters: int
    tol: float = 0.0

    def begin(self) -> AutomaticState:
        return AutomaticState()

    def _chosen(self, state: AutomaticState) -> tuple[Accelerator, Any]:
        if self.n_parameters <= _FEW_PARAMETERS and state.n_rejected < _PATIENCE:
            return Anderson(self.space, self.tol), state.mixing
        return Squarem(self.space), state.squaring

    def propose(self, state: AutomaticState, params: Any, image: Any, stats: ExpectedStats) -> Any | None:
        if state.mixing.has_stepped and state.n_rejected < _PATIENCE:
            state.n_rejected = 0
        method, its_state = self._chosen(state)
        return method.propose(its_state, params, image, stats)

    def rejected(self, state: AutomaticState) -> None:
        method, its_state = self._chosen(state)
        method.rejected(its_state)
        state.n_rejected += 1

    def remaining(self, state: AutomaticState, objective: Sequence[float]) -> float | None:
        method, its_state = self._chosen(state)
        return method.remaining(its_state, objective)


def _mixed(points: Sequence[np.ndarray], changes: Sequence[np.ndarray]) -> np.ndarray:
    """Where nothing would change any more, if a map that changes points (P,) by `changes` were linear."""
    moved, changed = np.diff(points, axis=0).T, np.diff(changes, axis=0).T
    share = np.linalg.lstsq(changed, changes[-1], rcond=1e-10)[0]
    return points[-1] + changes[-1] - (moved + changed) @ share


def _slowest_rate(points: Sequence[np.ndarray], changes: Sequence[np.ndarray]) -> float:
    """The largest rate at which errors shrink, of the directions that were moved in (Ritz values)."""
    moved, changed = np.diff(points, axis=0).T, np.diff(changes, axis=0).T
    projected = np.linalg.lstsq(moved, changed, rcond=1e-8)[0]
    return float(1.0 + np.linalg.eigvals(projected).real.max())
