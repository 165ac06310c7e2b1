"""Swaps between optima: a component that is hardly missed is taken away, and one that is two in truth is split.

EM cannot do this: to bring two components from one cluster to another, it would have to pass through worse parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from fastem.model import Model, Params
from fastem.search.halving import Advance, race
from fastem.starts.given import Rows, one_hot, start_from
from fastem.starts.start import Sample

# Responsibilities are made for this many numbers at a time; smaller ones do not count for a split.
_PIECE_NUMBERS = 2**20
_LEAST_RESP = 1e-3
# A split is found by EM for two components on the rows of one: so many iterations.
_SPLIT_ITERATIONS = 12
# Changed models that race in one round; all of them run so long before the first ones are left behind.
_CANDIDATES = 4
_FIRST_HEAT = 8
# Between two rounds the incumbent comes nearer to its optimum.
_SETTLING = 30
# Swaps that gain less than this, in nats per unit of weight, are left out.
_LEAST_GAIN = 1e-5


class Swap(NamedTuple):
    """Component `split` becomes two; the second half takes the place of component `removed`.

    The gain, in nats per unit of weight, is certain when it is positive: one swap alone cannot gain less.
    """

    split: int
    removed: int
    gain: float


class AcceptedSwaps(NamedTuple):
    """Swaps that were made at once, their gain in nats per unit of weight of the sample, and which removed ones were
    empty."""

    swaps: list[Swap]
    gain: float
    empty: list[bool]


class Split(NamedTuple):
    """Two components in place of one: the model of two, its parameters, and the log-likelihood gained, in nats."""

    model: Model
    params: Params
    gain: float


class Runner(Protocol):
    """A fit of the sample on its way."""

    @property
    def params(self) -> Any: ...

    @property
    def objective(self) -> float: ...


R = TypeVar("R", bound=Runner)


@dataclass(frozen=True)
class Usage:
    """What the rows of a sample tell about the components of a model."""

    # Log-likelihood (K,) in nats that is lost, at most, when a component is removed.
    losses: np.ndarray
    # For each component: which rows it takes part in, and their weighted responsibilities.
    rows: list[np.ndarray]
    resp: list[np.ndarray]
    # Of all rows.
    weight: float
    n_rows: int

    def is_empty(self, component: int) -> bool:
        """Whether less than one row belongs to the component."""
        return bool(self.resp[component].sum() < self.weight / self.n_rows)


def with_swaps(
    model: Model, sample: Sample, incumbent: R, begin: Callable[[Params], R], advance: Advance[R], n_rounds: int
) -> tuple[R, list[AcceptedSwaps]]:
    """Improve a fit of a sample by swaps, as long as they raise its objective.

    In each round the incumbent races some changed models; it stays unless one of them wins. Components must be
    exchangeable: nothing is fixed. `begin` makes a fit from parameters, and `advance` lets one run on.

    References
    ----------
    Ueda, Nakano, Ghahramani & Hinton (2000), *SMEM algorithm for mixture models*, Neural Computation 12, 2109-2128;
    Zhao, Hautamäki, Kärkkäinen & Fränti (2012), *Random swap EM algorithm for Gaussian mixture models*, Pattern
    Recognition Letters 33, 2120-2126. Both swaps are scored here by what they change in the likelihood.
    """
    kept: list[AcceptedSwaps] = []
    for _ in range(n_rounds):
        incumbent = advance(incumbent, _SETTLING)
        usage = usage_of(model, incumbent.params, sample)
        splits = _splits(model, sample, usage)
        candidates = _candidates(ranked(usage, splits))
        if not candidates:
            break
        runners = [begin(apply(model, incumbent.params, sample, swaps, splits)) for swaps in candidates]
        before = incumbent.objective
        winner = race([incumbent, *runners], advance, _FIRST_HEAT)
        incumbent = winner.contestant
        if winner.index == 0 or not incumbent.objective - before > _LEAST_GAIN:
            break
        swaps = candidates[winner.index - 1]
        kept.append(
            AcceptedSwaps(swaps, incumbent.objective - before, [usage.is_empty(swap.removed) for swap in swaps])
        )
    return incumbent, kept


def usage_of(model: Model, params: Params, sample: Sample) -> Usage:
    """One pass over a sample, piece by piece."""
    n_components = model.latent.n_components
    losses = np.zeros(n_components)
    found: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(n_components)]
    weights = _weights_of(sample)
    step = max(1, _PIECE_NUMBERS // n_components)
    for first in range(0, len(sample.X), step):
        resp = _posterior(model, params, sample.X[first : first + step])
        weight = weights[first : first + step]
        # Without the component a row has 1 - resp of its density. Of rows that no other one reaches, much is lost.
        losses -= weight @ np.log(np.maximum(1.0 - resp, np.finfo(np.float64).eps))
        for k in range(n_components):
            rows = np.flatnonzero(resp[:, k] > _LEAST_RESP)
            found[k].append((first + rows, resp[rows, k] * weight[rows]))
    all_rows = [np.concatenate([rows for rows, _ in pieces]) for pieces in found]
    all_resp = [np.concatenate([resp for _, resp in pieces]) for pieces in found]
    return Usage(losses, all_rows, all_resp, float(weights.sum()), len(weights))


def ranked(usage: Usage, splits: dict[int, Split]) -> list[Swap]:
    """All swaps, the most promising first."""
    swaps = [
        Swap(k, j, (split.gain - float(loss)) / usage.weight)
        for k, split in splits.items()
        for j, loss in enumerate(usage.losses)
        if j != k
    ]
    return sorted(swaps, key=lambda swap: -swap.gain)


def _candidates(swaps: list[Swap]) -> list[list[Swap]]:
    """Sets of swaps to try: all that are certain to gain, as far as they do not share components, and single ones."""
    certain: list[Swap] = []
    for swap in swaps:
        if swap.gain > _LEAST_GAIN and not any({swap.split, swap.removed} & {m.split, m.removed} for m in certain):
            certain.append(swap)
    candidates = [certain] if len(certain) > 1 else []
    n_tried: dict[int, int] = {}
    for swap in swaps:
        # One split with one removed component or another: the first two say enough.
        if len(candidates) < _CANDIDATES and n_tried.get(swap.split, 0) < 2:
            n_tried[swap.split] = n_tried.get(swap.split, 0) + 1
            candidates.append([swap])
    return candidates


def _splits(model: Model, sample: Sample, usage: Usage) -> dict[int, Split]:
    """Each component that has rows enough for two, split."""
    least = 2 * (sample.X.shape[1] + 2)
    weights = zip(usage.rows, usage.resp, strict=True)
    return {k: split(model, sample.X[rows], resp) for k, (rows, resp) in enumerate(weights) if rows.size >= least}


def split(model: Model, X: np.ndarray, weight: np.ndarray) -> Split:
    """Two components for the rows X (N, D) of one, weighted by its responsibilities (N,).

    They begin on either side of the mean, across the direction in which the rows vary most, and are fitted to these
    rows alone. What they gain over one component is the least that the whole likelihood gains (Jensen's inequality).
    """
    one, two = _of_components(model, 1), _of_components(model, 2)
    rows = Rows(X, weight)
    centre = np.average(X, axis=0, weights=weight)
    alone, _ = start_from(one, rows, lambda start, stop: np.ones((stop - start, 1)), centre)
    side = _sides(X - centre, weight)
    params, _ = start_from(two, rows, lambda start, stop: one_hot(side[start:stop], 2), centre)
    for _ in range(_SPLIT_ITERATIONS):
        params, _ = two.m_step(two.e_step(params, rows), params)
    gain = two.e_step(params, rows).loglik - one.e_step(alone, rows).loglik
    return Split(two, params, float(gain))


def apply(model: Model, params: Params, sample: Sample, swaps: list[Swap], splits: dict[int, Split]) -> Params:
    """Parameters after swaps of different components: one M-step from responsibilities that have moved."""

    def responsibilities(start: int, stop: int) -> np.ndarray:
        X = sample.X[start:stop]
        resp = _posterior(model, params, X)
        resp[:, [swap.removed for swap in swaps]] = 0.0
        total = resp.sum(axis=1, keepdims=True)
        # A row that only removed components could explain goes to all others.
        resp = np.divide(resp, total, out=np.full_like(resp, 1.0 / resp.shape[1]), where=total > 0.0)
        for swap in swaps:
            share = _posterior(splits[swap.split].model, splits[swap.split].params, X)
            resp[:, swap.removed] = resp[:, swap.split] * share[:, 1]
            resp[:, swap.split] *= share[:, 0]
        return resp

    centre = np.average(sample.X, axis=0, weights=sample.weight)
    return start_from(model, sample, responsibilities, centre)[0]


def _of_components(model: Model, n_components: int) -> Model:
    """A model of the same kind."""
    return Model(replace(model.latent, n_components=n_components), model.family.with_components(n_components))


def _sides(centred: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """On which side (N,) of the mean rows lie, along their first principal component in units of their spread."""
    largest = np.abs(centred).max(axis=0)
    scaled = centred / np.where(largest > 0.0, largest, 1.0)
    sd = np.sqrt(np.average(np.square(scaled), axis=0, weights=weight))
    scaled /= np.where(sd > 0.0, sd, 1.0)
    _, axes = np.linalg.eigh((scaled * weight[:, None]).T @ scaled)
    return (scaled @ axes[:, -1] > 0.0).astype(np.intp)


def _posterior(model: Model, params: Params, X: np.ndarray) -> np.ndarray:
    resp = np.empty((len(X), model.latent.n_components))
    model.posterior(params, X, resp)
    return resp


def _weights_of(sample: Sample) -> np.ndarray:
    return np.ones(len(sample.X)) if sample.weight is None else sample.weight
