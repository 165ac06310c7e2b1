"""From which components of a family the states of a chain draw their rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class Emissions:
    """A list of entries: each names a state, a component that it may draw a row from, and has a weight there.

    A component may belong to one state (each state then has a mixture of its own) or to several (tied states).

    Parameters
    ----------
    state : (E,) int64 ndarray
    component : (E,) int64 ndarray
        In increasing order; every component, and every state, has an entry.
    prior : float or (E,) ndarray
        Parameters of a Dirichlet prior of the weights of each state, at least 1, where there is none.

    Raises
    ------
    ValueError
        For entries that leave out a state or a component.
    """

    state: np.ndarray
    component: np.ndarray
    prior: float | np.ndarray = 1.0

    def __post_init__(self) -> None:
        for name in ("state", "component"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.int64))
        is_sorted = self.state.shape == self.component.shape and np.all(np.diff(self.component) >= 0)
        for numbers in (self.state, self.component):
            if (
                not is_sorted
                or numbers.size == 0
                or not np.array_equal(np.unique(numbers), np.arange(max(numbers) + 1))
            ):
                raise ValueError(
                    "Each entry needs a state and a component. Sort them by component, number both from 0, and leave "
                    "none out."
                )

    @classmethod
    def tied(cls, component_of: np.ndarray) -> Emissions:
        """Each state draws from one component, ``component_of[state]``; several states may have the same one."""
        order = np.argsort(component_of, kind="stable")
        return cls(order, np.asarray(component_of)[order])

    @classmethod
    def mixtures(cls, n_states: int, n_mix: int, prior: float | np.ndarray = 1.0) -> Emissions:
        """Each state has `n_mix` components of its own: those of state s begin with number ``s * n_mix``."""
        return cls(np.repeat(np.arange(n_states), n_mix), np.arange(n_states * n_mix), prior)

    @property
    def n_states(self) -> int:
        return int(self.state.max()) + 1

    @property
    def n_components(self) -> int:
        return int(self.component[-1]) + 1

    @property
    def first_entry(self) -> np.ndarray:
        """The first entry of each component, and the number of all entries, (K + 1,)."""
        return np.searchsorted(self.component, np.arange(self.n_components + 1))

    def shares(self, values: np.ndarray) -> np.ndarray:
        """Weights (E,) in proportion to values: those of each state sum to one; equal ones where all are zero."""
        total = self.by_state(values)
        count = self.by_state(np.ones(self.state.size))
        values = np.where(total[self.state] > 0.0, values, 1.0)
        return values / np.where(total > 0.0, total, count)[self.state]

    def by_state(self, values: np.ndarray) -> np.ndarray:
        """Sums (S,) of values of entries (E,)."""
        return np.bincount(self.state, weights=values, minlength=self.n_states)

    def by_component(self, values: np.ndarray) -> np.ndarray:
        """Sums (K,) of values of entries (E,)."""
        return np.bincount(self.component, weights=values, minlength=self.n_components)

    def m_step(self, counts: np.ndarray) -> np.ndarray:
        """Weights (E,) of highest likelihood: that no row was seen is no reason to exclude a component."""
        return np.maximum(self.shares(counts), _TINY)

    def prior_counts(self) -> np.ndarray:
        """Pseudo-counts (E,) of the Dirichlet prior."""
        return np.broadcast_to(np.asarray(self.prior, dtype=np.float64) - 1.0, self.state.shape).copy()

    def sample(self, weights: np.ndarray, states: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Components (N,) of rows whose states (N,) are known."""
        components = np.empty(states.size, dtype=np.int64)
        for state in range(self.n_states):
            rows, mine = np.flatnonzero(states == state), self.state == state
            share = weights[mine] / weights[mine].sum()
            components[rows] = random.choice(self.component[mine], size=rows.size, p=share)
        return components
