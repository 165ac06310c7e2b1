"""Racing: several contestants, of which the better half goes on for twice as long, until one is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

# Iterations of the first heat; each later one is twice as long.
FIRST_HEAT = 5


class Contestant(Protocol):
    """What has run for a while, and how far it has come."""

    @property
    def objective(self) -> float: ...


C = TypeVar("C", bound=Contestant)
# Lets a contestant run for so many more iterations.
Advance = Callable[[C, int], C]


@dataclass(frozen=True)
class Winner(Generic[C]):
    """The contestant that is left, its index at the start, and the objectives of those that ran, after each heat."""

    contestant: C
    index: int
    heats: list[list[float]]


def race(contestants: Sequence[C], advance: Advance[C], first_heat: int = FIRST_HEAT) -> Winner[C]:
    """Successive halving: all run for `first_heat` iterations, the better half for twice as many more, and so on.

    Each heat costs as much as the first one, so that n contestants cost log2(n) + 1 times that. Of equals the
    earlier one goes on. One contestant alone does not run at all.

    References
    ----------
    Karnin, Koren & Somekh (2013), *Almost optimal exploration in multi-armed bandits*, ICML 30, 1238-1246;
    Biernacki, Celeux & Govaert (2003), *Choosing starting values for the EM algorithm*, Comput. Statist. Data Anal. 41,
    561-575, for short runs of EM as starts.
    """
    heats: list[list[float]] = []
    running, n_iter = list(enumerate(contestants)), first_heat
    while len(running) > 1:
        running = [(index, advance(contestant, n_iter)) for index, contestant in running]
        heats.append([contestant.objective for _, contestant in running])
        running.sort(key=lambda entry: _rank(entry[1]))
        running = running[: (len(running) + 1) // 2]
        n_iter *= 2
    index, contestant = running[0]
    return Winner(contestant, index, heats)


def _rank(contestant: Contestant) -> float:
    return math.inf if math.isnan(contestant.objective) else -contestant.objective
