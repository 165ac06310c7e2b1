"""The method that suits the number of parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastem.schedules.accelerate.anderson import Anderson, AndersonState
from fastem.schedules.accelerate.protocol import Accelerator, Space
from fastem.schedules.accelerate.squarem import Squarem, SquaremState
from fastem.stats import ExpectedStats

_FEW_PARAMETERS = 32

# So many proposals in a row that are rejected tell that differences are no guide.
_PATIENCE = 3


@dataclass
class AutomaticState:
    """Where either method stands, and how many proposals in a row, of mixing, were rejected."""

    mixing: AndersonState = field(default_factory=AndersonState)
    squaring: SquaremState = field(default_factory=SquaremState)
    n_rejected: int = 0


@dataclass(frozen=True)
class Automatic:
    """Anderson's method where its differences span the space; SQUAREM for many free parameters, or where that fails."""

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


# Makes an accelerator of a model and `tol`.
ACCELERATORS: dict[str, Callable[[Any, float], Accelerator]] = {
    "auto": lambda model, tol: Automatic(model, model.n_parameters(), tol),
    "squarem": lambda model, tol: Squarem(model),
    "anderson": Anderson,
}
