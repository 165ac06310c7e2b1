"""A hidden Markov chain: the rows of a sequence come from states that follow each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.optimize import minimize

from fastem.contracts import Latent
from fastem.latents._chain_blocks import (
    LOG_ZERO,
    RARE,
    backward_alone_block,
    backward_block,
    forward_alone_block,
    forward_block,
    path_block,
    propagate_block,
)
from fastem.latents.emissions import Emissions
from fastem.passes.blocks import register_chain
from fastem.passes.rows import plain
from fastem.stats import Additive

_TINY = float(np.finfo(np.float64).tiny)
# The quotient of a number of sequences and this probability is far from overflow.
_RAREST_START = 1e-200
# Of two losses that are equal, in nats per row.
_ROUNDING = 1e-12
_NOTHING, _NO_ENTRIES = np.empty(0), np.empty(0, dtype=np.int64)


class HmmParams(NamedTuple):
    """Probabilities of the first state and of transitions, in the forms that passes read.

    Shapes: startprob, log_startprob (S,); transmat (from, to), transposed (to, from), and their logarithms (S, S);
    rarest (1,), the smallest transition probability. The logarithm of zero is -1e300.

    Where states are not the components of the family, the entries of component k are those from ``first_entry[k]`` on,
    (K + 1,); `entry_state`, `weights` and `log_weights`, (E,), are of the entries. The logarithm of a weight of zero is
    minus infinity. Otherwise all four are empty.
    """

    startprob: np.ndarray
    transmat: np.ndarray
    transposed: np.ndarray
    log_startprob: np.ndarray
    log_transmat: np.ndarray
    log_transposed: np.ndarray
    rarest: np.ndarray
    first_entry: np.ndarray
    entry_state: np.ndarray
    weights: np.ndarray
    log_weights: np.ndarray

    def shapes(self, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the fields for k states."""
        entries = (int(self.first_entry[-1]),) if self.first_entry.size else (0,)
        return (k,), (k, k), (k, k), (k,), (k, k), (k, k), (1,), self.first_entry.shape[:1], entries, entries, entries


class _HmmFields(NamedTuple):
    start: np.ndarray
    transitions: np.ndarray
    entries: np.ndarray


class HmmStats(Additive, _HmmFields):
    """Expected numbers of sequences that begin in each state (S,), transitions (S, S), and rows of entries (E,)."""

    __slots__ = ()

    def shapes(self, params: HmmParams, k: int, n_lanes: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the fields with so many lanes, for k states."""
        return (n_lanes, k), (n_lanes, k, k), (n_lanes, params.entry_state.size)


@dataclass(frozen=True, eq=False)
class HmmLatent(Latent):
    """Sequences of rows whose states are a Markov chain.

    Parameters
    ----------
    n_components : int
        Number of states K.
    allowed : (K, K) bool ndarray, optional
        Transitions that may have a probability; the others are zero and stay so (left-right and banded chains).
    allowed_start : (K,) bool ndarray, optional
        States that a sequence may begin in.
    start_prior : float or (K,) ndarray
        Parameters of a Dirichlet prior of the first state, at least 1, where there is none.
    transition_prior : float or (K, K) ndarray
        Parameters of Dirichlet priors of the rows of the transition matrix, at least 1.
    stationary : bool
        The first state has the stationary distribution of the chain.
    emissions : Emissions, optional
        From which components of the family each state draws its rows; by default from the one of its own number.

    References
    ----------
    Rabiner (1989), *A tutorial on hidden Markov models*, Proc. IEEE 77, 257-286.
    """

    n_components: int
    allowed: np.ndarray | None = None
    allowed_start: np.ndarray | None = None
    start_prior: float | np.ndarray = 1.0
    transition_prior: float | np.ndarray = 1.0
    stationary: bool = False
    emissions: Emissions | None = None

    # Rows hang together in sequences (see `fastem.passes.blocks`).
    is_chain: ClassVar[bool] = True

    def params(self, startprob: np.ndarray, transmat: np.ndarray, weights: np.ndarray | None = None) -> HmmParams:
        """Parameters from probabilities (S,), (S, S) and (E,), of each state in any scale; by default equal weights."""
        start = _distributions(np.where(self._may_start(), startprob, 0.0))
        matrix = _distributions(np.where(self._may_follow(), transmat, 0.0))
        if self.stationary:
            start = stationary_distribution(matrix)
        if self.emissions is None:
            return self._of(start, matrix, _NOTHING)
        weights = np.ones(self.emissions.state.size) if weights is None else weights
        return self._of(start, matrix, self.emissions.shares(weights))

    def probabilities(self, params: HmmParams) -> tuple[np.ndarray, ...]:
        """What `params` takes to make these parameters."""
        return params.startprob, params.transmat, params.weights

    def rebuilt(self, params: HmmParams) -> HmmParams:
        """Parameters made anew from the probabilities of a record, as they are, alone."""
        return self._of(*self.probabilities(params))

    def _of(self, start: np.ndarray, matrix: np.ndarray, weights: np.ndarray) -> HmmParams:
        log_start, log_matrix = _log(start), _log(matrix)
        rarest = np.array([matrix.min()])
        entries = (_NO_ENTRIES, _NO_ENTRIES)
        if self.emissions is not None:
            entries = self.emissions.first_entry, self.emissions.state
        log_weights = np.where(weights > 0.0, np.log(np.maximum(weights, _TINY)), -np.inf)
        fields = start, matrix, matrix.T, log_start, log_matrix, log_matrix.T, rarest, *entries, weights, log_weights
        return HmmParams(*map(plain, fields))

    def uniform(self) -> HmmParams:
        """All that is allowed has the same probability."""
        return self.params(np.ones(self.n_components), np.ones((self.n_components, self.n_components)))

    def of_copies(self, params: HmmParams, parents: np.ndarray) -> HmmParams:
        """Parameters of this chain, whose states (K,) are copies of states of another one, the `parents`.

        Sequences are as probable as under that chain when rows have the same density under all copies of a state, and
        each copy may be followed by some copy of every state that may follow the original.
        """
        copies = parents == np.arange(params.startprob.size)[:, None]
        may_start, may_follow = self._may_start() * 1.0, self._may_follow() * 1.0
        # What goes to a state is divided between those of its copies that may be gone to.
        start = params.startprob[parents] * may_start / np.maximum(copies @ may_start, 1.0)[parents]
        ways = np.maximum(may_follow @ copies.T, 1.0)
        return self.params(start, params.transmat[np.ix_(parents, parents)] * may_follow / ways[:, parents])

    def zero_stats(self) -> HmmStats:
        k = self.n_components
        return HmmStats(np.zeros(k), np.zeros((k, k)), np.zeros(self._n_entries()))

    def stats_of(self, params: HmmParams) -> HmmStats:
        """Statistics of which an M-step makes these parameters."""
        # Of a state that is left for ever, too.
        share = np.maximum(stationary_distribution(params.transmat), RARE)
        return HmmStats(params.startprob, params.transmat * share[:, None], params.weights * share[params.entry_state])

    def occupancy(self, params: HmmParams) -> np.ndarray:
        """Expected share (K,) that each component has of the rows of a long sequence."""
        share = stationary_distribution(params.transmat)
        if self.emissions is None:
            return share
        return self.emissions.by_component(share[params.entry_state] * params.weights)

    def m_step(self, stats: HmmStats, params: HmmParams) -> HmmParams:
        """Maximum likelihood: shares of the expected counts. A state that is never left may go anywhere allowed."""
        start = np.where(self._may_start(), stats.start, 0.0)
        transitions = np.where(self._may_follow(), stats.transitions, 0.0)
        start = start if start.sum() > 0.0 else self._may_start().astype(np.float64)
        never_left = transitions.sum(axis=1) <= 0.0
        transitions[never_left] = self._may_follow()[never_left]
        if self.stationary:
            transitions = _stationary_maximum(start, transitions, params.transmat)
        weights = None if self.emissions is None else self.emissions.m_step(stats.entries)
        return self.params(start, transitions, weights)

    def expected_log_prob(self, params: HmmParams, stats: HmmStats) -> float:
        """Log-probability, in nats, of state sequences that have these statistics."""
        start = np.where(stats.start > 0.0, stats.start * params.log_startprob, 0.0).sum()
        transitions = np.where(stats.transitions > 0.0, stats.transitions * params.log_transmat, 0.0).sum()
        entries = (stats.entries * np.where(stats.entries > 0.0, params.log_weights, 0.0)).sum()
        return float(start + transitions + entries)

    def constraints(self) -> dict[str, np.ndarray]:
        """What the model was told of its structure, by the name of the field."""
        given = {"allowed": self.allowed, "allowed_start": self.allowed_start}
        return {name: value for name, value in given.items() if value is not None}

    def n_parameters(self) -> int:
        free_rows = int((self._may_follow().sum(axis=1) - 1).sum())
        free_weights = max(0, self._n_entries() - self.n_components)
        return free_rows + free_weights + (0 if self.stationary else int(self._may_start().sum()) - 1)

    def prior_stats(self, weight: float) -> HmmStats | None:
        """Pseudo-counts of the Dirichlet priors; None without any. They do not grow with the data."""
        k = self.n_components
        start = np.broadcast_to(np.asarray(self.start_prior, dtype=np.float64) - 1.0, (k,))
        transitions = np.broadcast_to(np.asarray(self.transition_prior, dtype=np.float64) - 1.0, (k, k))
        entries = _NOTHING if self.emissions is None else self.emissions.prior_counts()
        if not (start.any() or transitions.any() or entries.any()):
            return None
        return HmmStats(
            np.where(self._may_start(), start, 0.0), np.where(self._may_follow(), transitions, 0.0), entries
        )

    def n_unconstrained(self) -> int:
        """Number of coordinates."""
        return sum(int(mask.sum()) for mask in self._masks()) + self._n_free_weights()

    def _masks(self) -> list[np.ndarray]:
        """Which probabilities are free: those of the first state, unless it is stationary, and of each row."""
        return [*([] if self.stationary else [self._may_start()]), *self._may_follow()]

    def _n_entries(self) -> int:
        return 0 if self.emissions is None else self.emissions.state.size

    def _n_free_weights(self) -> int:
        """Number of weights of entries, where some state has several of them."""
        n_entries = self._n_entries()
        return n_entries if n_entries > self.n_components else 0

    def to_unconstrained(self, params: HmmParams) -> np.ndarray:
        """Unconstrained coordinates (P,): square roots of the probabilities that are allowed, as of mixing weights."""
        start = [] if self.stationary else [params.startprob[self._may_start()]]
        weights = params.weights[: self._n_free_weights()]
        return np.sqrt(np.concatenate([*start, params.transmat[self._may_follow()], weights]))

    def from_unconstrained(self, point: np.ndarray) -> HmmParams:
        """Parameters at coordinates, of which any are valid."""
        masks = self._masks()
        rows = np.zeros((len(masks), self.n_components))
        *parts, weights = np.split(point, np.cumsum([mask.sum() for mask in masks]))
        for row, mask, part in zip(rows, masks, parts, strict=True):
            row[mask] = part**2
        start = np.ones(self.n_components) if self.stationary else rows[0]
        return self.params(start, rows[-self.n_components :], weights**2 if weights.size else None)

    def sample(
        self, params: HmmParams, n_rows: int, random: np.random.Generator, first: int | None = None
    ) -> np.ndarray:
        """States of the rows of one sequence, (n_rows,) integers; `first` is that of the first row, if given."""
        states = np.empty(n_rows, dtype=np.int64)
        uniform = random.random(n_rows)
        cumulative = np.cumsum(params.transmat, axis=1)
        row = np.cumsum(params.startprob)
        for i in range(n_rows):
            # The last sum may fall short of one by rounding.
            drawn = int(np.searchsorted(row, uniform[i] * row[-1], side="right"))
            states[i] = first if first is not None and i == 0 else drawn
            row = cumulative[states[i]]
        return states

    def components(self, params: HmmParams, states: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """The components (N,) that rows of these states come from; drawn, where a state has several."""
        return states if self.emissions is None else self.emissions.sample(params.weights, states, random)

    def _may_start(self) -> np.ndarray:
        return np.ones(self.n_components, dtype=bool) if self.allowed_start is None else self.allowed_start

    def _may_follow(self) -> np.ndarray:
        return np.ones((self.n_components,) * 2, dtype=bool) if self.allowed is None else self.allowed


def stationary_distribution(transmat: np.ndarray) -> np.ndarray:
    """Distribution (K,) that a step of the chain leaves as it is; of a chain with several, one that depends on all.

    States that the chain leaves for ever have exactly zero. Among the others it solves ``p @ transmat = p`` with
    ``sum(p) = 1``, by least squares, since one equation is superfluous.
    """
    stays = _are_recurrent(transmat > 0.0)
    k = int(stays.sum())
    closed = transmat[np.ix_(stays, stays)]
    equations = np.vstack([closed.T - np.eye(k), np.ones((1, k))])
    solution = np.linalg.lstsq(equations, np.append(np.zeros(k), 1.0), rcond=None)[0]
    solution = np.maximum(solution, 0.0)
    distribution = np.zeros(stays.size)
    distribution[stays] = solution / solution.sum()
    return distribution


def _are_recurrent(leads: np.ndarray) -> np.ndarray:
    """Which states (K,) can be returned to from all that they lead to, given which transitions (K, K) are possible."""
    reaches = leads | np.eye(leads.shape[0], dtype=bool)
    for _ in range(leads.shape[0].bit_length()):
        # Paths of twice the length.
        reaches = reaches @ reaches
    return np.logical_not((reaches & ~reaches.T).any(axis=1))


def _distributions(rows: np.ndarray) -> np.ndarray:
    return rows / rows.sum(axis=-1, keepdims=True)


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.where(probabilities > 0.0, np.log(np.maximum(probabilities, _TINY)), LOG_ZERO)


def _stationary_maximum(start: np.ndarray, transitions: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The transition matrix of highest expected likelihood when sequences begin in its stationary distribution.

    There is no closed form. From the shares of the counts, which would be right without the first states, the
    logarithms of the matrix climb by L-BFGS; a change dA moves the stationary distribution p by p dA Z, with
    Z = (I - A + 1 p)^-1. Where hardly any transition leads back to the state that sequences begin in, the shares are
    too far off to climb from: then they climb from the matrix `before`. A state that is left for ever has zero in p,
    whatever the matrix, and first rows tell nothing of it.
    """
    shares = _distributions(transitions)
    free = (shares > 0.0) | (before > 0.0)
    start = np.where(_are_recurrent(free), start, 0.0)
    total = transitions.sum() + start.sum()
    n = shares.shape[0]

    def matrix_at(logits: np.ndarray) -> np.ndarray:
        rows = np.full((n, n), -np.inf)
        rows[free] = logits
        rows = np.exp(rows - rows.max(axis=1, keepdims=True))
        return _distributions(rows)

    def loss(logits: np.ndarray) -> tuple[float, np.ndarray]:
        matrix = matrix_at(logits)
        stationary = np.maximum(stationary_distribution(matrix), _RAREST_START)
        value = transitions[free] @ np.log(np.maximum(matrix[free], _TINY)) + start @ np.log(stationary)
        later = np.linalg.lstsq(np.eye(n) - matrix + stationary, start / stationary, rcond=None)[0]
        slope = transitions + matrix * (stationary[:, None] * later)
        slope -= matrix * slope.sum(axis=1, keepdims=True)
        return -value / total, -slope[free] / total

    def climb_from(matrix: np.ndarray) -> tuple[np.ndarray, float]:
        """The best matrix that is found from this one, and its loss."""
        first = np.log(np.maximum(matrix[free], _TINY))
        best = minimize(loss, first, jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-12})
        least = loss(first)[0]
        return (matrix_at(best.x), best.fun) if best.fun <= least else (matrix, least)

    best, least = climb_from(shares)
    if least > loss(np.log(np.maximum(before[free], _TINY)))[0] + _ROUNDING:
        best = climb_from(before)[0]
    return best


register_chain(
    HmmParams,
    forward_block=forward_block,
    backward_block=backward_block,
    forward_alone_block=forward_alone_block,
    backward_alone_block=backward_alone_block,
    propagate_block=propagate_block,
    path_block=path_block,
)
