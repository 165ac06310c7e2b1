"""Starts of a larger mixture from a smaller one that was fitted: components that become several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastem.init.given import RowSource, start_from, start_from_chunks
from fastem.init.start import Sample
from fastem.model import Model, Params


def split_starts(
    larger: Model, smaller: Model, params: Params, sample: Sample, groups: Sequence[Sequence[int]]
) -> Iterator[Params]:
    """First parameters of a larger mixture, several for each group of components that are split.

    The rows of a component are cut across either of their longest axes, or into an inner and an outer part: what lies
    side by side, and what lies within something wider.

    Parameters
    ----------
    larger, smaller : Model
        The smaller one has as many components less as each group holds.
    params : Params
        Of the smaller one.
    sample : Sample
    groups : sequence of sequences of int
        Different components of the smaller one.
    """
    resp = np.empty((len(sample.X), smaller.latent.n_components))
    smaller.posterior(params, sample.X, resp)
    weight = np.ones(len(resp)) if sample.weight is None else sample.weight
    centre = np.average(sample.X, axis=0, weights=weight)
    centred = sample.X - centre
    sd = np.sqrt(np.average(np.square(centred), axis=0, weights=weight))
    scaled = centred / np.where(sd > 0, sd, 1.0)
    cuts = {k: _cuts(scaled, resp[:, k] * weight) for k in {k for group in groups for k in group}}
    for group in groups:
        for cut in zip(*(cuts[k] for k in group), strict=True):
            beyond = np.stack([resp[:, k] * beyond for k, beyond in zip(group, cut, strict=True)], axis=1)
            divided = np.concatenate([resp, beyond], axis=1)
            divided[:, list(group)] -= beyond
            yield start_from(larger, sample, lambda a, b, divided=divided: divided[a:b], centre)[0]  # type: ignore[misc]


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
    """One iteration of the smaller mixture, as the larger one, whose heaviest components are there several times.

    It is no better a description than the smaller mixture, but no worse either.
    """
    k, more = smaller.latent.n_components, larger.latent.n_components - smaller.latent.n_components
    heaviest = np.argsort(-smaller.latent.occupancy(params.latent), kind="stable")
    parents = np.concatenate([np.arange(k), np.resize(heaviest, more)])
    share = 1.0 / np.bincount(parents)

    def of_chunk(chunk: Any) -> np.ndarray:
        resp = np.empty((chunk.X.shape[0], k))
        smaller.posterior(params, chunk.X, resp)
        return (resp * share)[:, parents]

    return start_from_chunks(larger, rows, of_chunk, centre)[0]
