"""Starts of chains whose states are mixtures: which components of a mixture of all rows make up a state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from fastem.model import Model, Params
from fastem.starts.chain import SequenceRows, count_labels
from fastem.starts.given import start_from_chunks
from fastem.stats import Repair

# Clusterings of the components that are tried, and iterations of each.
_TRIES, _ITERATIONS = 10, 20


def start_from_successors(
    model: Model,
    mixture: Model,
    params: Params,
    sequences: SequenceRows,
    sample: Any,
    centre: np.ndarray,
    n_rows: int,
    random: np.random.Generator,
) -> tuple[Any, list[Repair]]:
    """First parameters of the family of a mixed chain, from a mixture of all components at `params`.

    The components of a state are followed by the same others, with the same probabilities, wherever they lie. So
    components are put together by what follows them in some `n_rows` rows.
    """
    n_states = model.latent.n_components
    _, transitions = count_labels(mixture, params, sequences, n_rows)
    order = alike_in_rows(transitions, n_states, random)

    def responsibilities(chunk: Any) -> np.ndarray:
        resp = np.empty((len(chunk.X), order.size))
        mixture.posterior(params, chunk.X, resp)
        return resp[:, order]

    return _family_from(model, mixture, sample, responsibilities, centre)


def start_from_segments(
    model: Model,
    within: Model,
    params: Params,
    sequences: SequenceRows,
    segment: Callable[[int, int], np.ndarray],
    centre: np.ndarray,
) -> tuple[Any, list[Repair]]:
    """First parameters of the family, where time tells the states: each has parts of a mixture of all rows.

    `segment` maps a range of rows to the probabilities (rows, S) of their states; `within` is a mixture of as many
    components as a state has, at `params`.
    """

    def responsibilities(chunk: Any) -> np.ndarray:
        of_states = segment(chunk.first_row, chunk.first_row + len(chunk.X))
        resp = np.empty((len(chunk.X), within.latent.n_components))
        within.posterior(params, chunk.X, resp)
        return (of_states[:, :, None] * resp[:, None, :]).reshape(len(resp), -1)

    mixture = Model(within.latent, model.family)
    return _family_from(model, mixture, sequences, responsibilities, centre)


def _family_from(
    model: Model, mixture: Model, rows: Any, responsibilities: Callable[[Any], np.ndarray], centre: np.ndarray
) -> tuple[Any, list[Repair]]:
    whole = Model(type(mixture.latent)(model.family.n_components), model.family)
    params, repairs = start_from_chunks(whole, rows, responsibilities, centre)
    return params.family, repairs


def alike_in_rows(transitions: np.ndarray, n_groups: int, random: np.random.Generator) -> np.ndarray:
    """Order of components (K,) by `n_groups` equal groups, whose members are alike in their rows of counts (K, K).

    By k-means with groups of one size on the square roots of the rows' shares (distances of Hellinger).
    """
    weight = transitions.sum(axis=1) + 1.0
    rows = np.sqrt((transitions + 1.0 / len(transitions)) / weight[:, None])
    best, least = np.arange(len(rows)), np.inf
    for _ in range(_TRIES):
        slots, cost = _balanced(rows, weight, _seeds(rows, weight, n_groups, random))
        if cost < least:
            best, least = np.argsort(slots, kind="stable"), cost
    return best


def _seeds(rows: np.ndarray, weight: np.ndarray, n_groups: int, random: np.random.Generator) -> np.ndarray:
    """Rows to begin with, drawn by their distance to those before (k-means++)."""
    chosen = [int(random.choice(len(rows), p=weight / weight.sum()))]
    for _ in range(1, n_groups):
        distance = np.square(rows[:, None, :] - rows[chosen]).sum(axis=2).min(axis=1) * weight
        distance[chosen] = 0.0
        free = np.ones(len(rows))
        free[chosen] = 0.0
        share = distance if distance.sum() > 0.0 else free
        chosen.append(int(random.choice(len(rows), p=share / share.sum())))
    return rows[chosen]


def _balanced(rows: np.ndarray, weight: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, float]:
    """The group (K,) of each row, all of one size, and the sum of their squared distances to the means of groups."""
    size = len(rows) // len(centres)
    for _ in range(_ITERATIONS):
        distance = weight[:, None] * np.square(rows[:, None, :] - centres).sum(axis=2)
        _, slots = linear_sum_assignment(np.repeat(distance, size, axis=1))
        group = slots // size
        centres = np.stack(
            [np.average(rows[group == s], axis=0, weights=weight[group == s]) for s in range(len(centres))]
        )
    return group, float((weight[:, None] * np.square(rows - centres[group])).sum())
