"""Starts of a larger model from a smaller one that was fitted: components that become several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from fastem.model import Model, Params
from fastem.starts.chain import chain_from_chunks, is_left_right
from fastem.starts.given import RowSource, start_from_chunks
from fastem.starts.several import side_by_side


def whole_start(model: Model, sample: RowSource, centre: np.ndarray) -> Params:
    """First parameters of a model of one component, which all rows belong to."""
    return _start(model, sample, lambda chunk: np.ones((chunk.X.shape[0], 1)), centre)


def split_starts(larger: Model, smaller: Model, params: Params, sample: Any, most: int) -> Iterator[Params]:
    """First parameters of a larger model, several for each way to split components of a smaller one; see `divided`."""
    X, weight, _ = rows = rows_and_posterior(smaller, params, sample)
    centre = np.average(X, axis=0, weights=weight)
    for resp in divided(larger, rows, sample, most):
        yield _start(larger, sample, partial(_of_chunk, resp), centre)


def split_side_by_side(larger: Model, smaller: Model, params: Params, sample: Any, most: int) -> tuple[Params, int]:
    """The same starts, side by side, and how many they are."""
    X, weight, _ = rows = rows_and_posterior(smaller, params, sample)
    found = list(divided(larger, rows, sample, most))
    resp, centre = np.concatenate(found, axis=1), np.average(X, axis=0, weights=weight)
    return _start(side_by_side(larger, len(found)), sample, partial(_of_chunk, resp), centre), len(found)


def divided(
    larger: Model, rows: tuple[np.ndarray, np.ndarray, np.ndarray], sample: Any, most: int
) -> Iterator[np.ndarray]:
    """Responsibilities (N, K) of the components of a larger model, for each way to split those of a smaller one.

    The rows of a component are cut across either of their longest axes, or into an inner and an outer part: what lies
    side by side, and what lies within something wider. Those of a state of a left-right chain are cut in time.

    Parameters
    ----------
    larger : Model
    rows : tuple of ndarray
        What `rows_and_posterior` says of the smaller one.
    sample : ArraySource, or SequenceSource for chains
        In memory.
    most : int
        Where one component is to be split, so many are tried in turn, the heaviest ones first; where several are, the
        heaviest.
    """
    X, weight, resp = rows
    k, more = resp.shape[1], larger.latent.n_components - resp.shape[1]
    heaviest = np.argsort(-(weight @ resp), kind="stable").tolist()
    groups = [[component] for component in heaviest[:most]] if more == 1 else [heaviest[:more]]
    if is_left_right(larger.latent):
        cuts = {j: [_later(resp[:, j], sample.lengths)] for group in groups for j in group}
    else:
        scaled = _scaled(X, weight)
        cuts = {j: _cuts(scaled, resp[:, j] * weight) for group in groups for j in group}
    for group in groups:
        order = _order([*range(k), *group], larger)
        for cut in zip(*(cuts[j] for j in group), strict=True):
            beyond = np.stack([resp[:, j] * beyond for j, beyond in zip(group, cut, strict=True)], axis=1)
            whole = np.concatenate([resp, beyond], axis=1)
            whole[:, list(group)] -= beyond
            yield whole[:, order]


def rows_and_posterior(model: Model, params: Params, sample: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (N, D) of a sample in memory, their weights (N,), and the probability (N, K) of each component."""
    rows, lengths = (sample.rows, sample.lengths) if model.latent.is_chain else (sample, None)
    resp = np.empty((len(rows.X), model.latent.n_components))
    model.posterior(params, rows.X, resp, lengths)
    return rows.X, np.ones(len(resp)) if rows.weight is None else rows.weight, resp


def _of_chunk(resp: np.ndarray, chunk: Any) -> np.ndarray:
    return resp[chunk.first_row : chunk.first_row + chunk.X.shape[0]]


def _start(model: Model, rows: RowSource, responsibilities: Callable[[Any], np.ndarray], centre: np.ndarray) -> Params:
    make = chain_from_chunks if model.latent.is_chain else start_from_chunks
    return make(model, rows, responsibilities, centre)[0]


def _order(parents: list[int], larger: Model) -> np.ndarray:
    """The order of components that come from `parents`: the states of a chain follow the ones that they came from."""
    return np.argsort(parents, kind="stable") if larger.latent.is_chain else np.arange(len(parents))


def _scaled(X: np.ndarray, weight: np.ndarray) -> np.ndarray:
    centred = X - np.average(X, axis=0, weights=weight)
    sd = np.sqrt(np.average(np.square(centred), axis=0, weights=weight))
    return centred / np.where(sd > 0, sd, 1.0)


def _later(resp: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Which rows (N,) lie in the later half of what a component has of their sequence."""
    so_far = np.cumsum(resp)
    at_end = so_far[np.cumsum(lengths) - 1]
    middle = at_end - 0.5 * np.diff(at_end, prepend=0.0)
    return so_far - 0.5 * resp > np.repeat(middle, lengths)


def _cuts(X: np.ndarray, weight: np.ndarray) -> list[np.ndarray]:
    """Which rows (N,) lie beyond the mean on each of the two longest axes, and which are farther than the mean row."""
    total = weight.sum()
    if total <= 0.0:
        return [np.zeros(len(X), dtype=bool)]
    share = weight / total
    centred = X - share @ X
    values, axes = np.linalg.eigh((centred * share[:, None]).T @ centred)
    along = centred @ axes
    least = max(1e-12 * values[-1], np.finfo(np.float64).tiny)
    # Rows of other components may be as far as squares overflow.
    with np.errstate(over="ignore"):
        distance = (np.square(along) / np.maximum(values, least)).sum(axis=1)
    return [*(along[:, -2:].T > 0), distance > X.shape[1]]


def copied_start(larger: Model, smaller: Model, params: Params, rows: RowSource, centre: np.ndarray) -> Params:
    """One iteration of a smaller model, as the larger one, in which the heaviest components are there several times.

    It is no better a description than the smaller model, but no worse either.
    """
    k, more = smaller.latent.n_components, larger.latent.n_components - smaller.latent.n_components
    heaviest = np.argsort(-smaller.latent.occupancy(params.latent), kind="stable")
    parents = np.concatenate([np.arange(k), np.resize(heaviest, more)])
    parents = parents[_order(parents.tolist(), larger)]
    share = 1.0 / np.bincount(parents)

    def of_chunk(chunk: Any) -> np.ndarray:
        resp = np.empty((chunk.X.shape[0], k))
        smaller.posterior(params, chunk.X, resp, chunk.lengths)
        return (resp * share)[:, parents]

    start = _start(larger, rows, of_chunk, centre)
    if larger.latent.is_chain:
        start = start._replace(latent=larger.latent.of_copies(params.latent, parents))
    return start
