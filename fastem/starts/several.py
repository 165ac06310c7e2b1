"""Several starts of a mixture at once: side by side they are one model, which is read and moved as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.passes.rows import plain
from fastem.starts.seeds import give_enough_rows, unit_scaled

# Lloyd's iterations of the starts that are clusters rather than the rows nearest to seeds.
_LLOYD = 10
# Directions with less variance than this, relative to the largest, count as noise: they are not stretched any more.
_LEAST_VARIANCE = 1e-3


class Points(NamedTuple):
    """Points Z (N, D), centred and scaled, their squared lengths (N,), and their weights (N,)."""

    Z: np.ndarray
    lengths: np.ndarray
    weight: np.ndarray

    def squared_distances(self, centres: np.ndarray) -> np.ndarray:
        """Of all points from centres (..., D), as (..., N). Scaled points are near enough to zero for the product."""
        of_centres = np.square(centres).sum(axis=-1)[..., None]
        return np.maximum(of_centres - 2.0 * (centres @ self.Z.T) + self.lengths, 0.0)

    def nearest(self, centres: np.ndarray) -> np.ndarray:
        """Which of the centres (S, K, D) of each start is nearest to each point, (S, N)."""
        closeness = 2.0 * (centres @ self.Z.T) - np.square(centres).sum(axis=-1)[..., None]
        best, labels = closeness[:, 0], np.zeros((len(centres), len(self.Z)), dtype=np.intp)
        for k in range(1, centres.shape[1]):
            labels[closeness[:, k] > best] = k
            best = np.maximum(best, closeness[:, k])
        return labels


def several_labels(
    X: np.ndarray, weight: np.ndarray, n_components: int, n_starts: int, random: np.random.Generator
) -> np.ndarray:
    """Components (S, N) of rows X (N, D) in so many starts; no value of X is far from all others.

    Starts are of four kinds in turn: clusters of k-means from seeds of k-means++, by distances in which each feature
    has unit variance, or each direction has; and the rows nearest to such seeds, by either distance. No one of them
    suits all data. Each component has at least as many rows as in `nearest_seed`.
    """
    unit = unit_scaled(X, X, weight)
    spaces = [unit, _whitened(unit, weight)]
    labels = np.empty((n_starts, len(X)), dtype=np.intp)
    for kind in range(min(4, n_starts)):
        of_kind = labels[kind::4]
        Z = spaces[kind % 2]
        points = Points(Z, np.square(Z).sum(axis=1), weight)
        centres = _seeds(points, n_components, len(of_kind), random)
        found = points.nearest(centres)
        if kind < 2:
            centres, found = _clustered(points, centres, found)
        for of_start, seeds in zip(found, centres, strict=True):
            give_enough_rows(of_start, Z, seeds)
        of_kind[:] = found
    return labels


def _whitened(Z: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Centred rows Z (N, D) along their principal axes, each scaled to unit variance."""
    variances, axes = np.linalg.eigh((Z * (weight / weight.sum())[:, None]).T @ Z)
    return Z @ axes / np.sqrt(np.maximum(variances, max(_LEAST_VARIANCE * variances[-1], np.finfo(np.float64).tiny)))


def _seeds(points: Points, n_components: int, n_starts: int, random: np.random.Generator) -> np.ndarray:
    """Seeds (S, K, D) of greedy k-means++ (Arthur & Vassilvitskii 2007)."""
    Z, weight = points.Z, points.weight
    n_trials = 2 + int(np.log(n_components))
    centres = np.empty((n_starts, n_components, Z.shape[1]))
    centres[:, 0] = Z[random.choice(len(Z), size=n_starts, p=weight / weight.sum())]
    nearest = points.squared_distances(centres[:, 0])
    starts = np.arange(n_starts)
    for k in range(1, n_components):
        cumulative = np.cumsum(nearest * weight, axis=1)
        drawn = random.random((n_starts, n_trials)) * cumulative[:, -1:]
        tried = np.stack([np.searchsorted(*each, side="right") for each in zip(cumulative, drawn, strict=True)])
        tried = np.minimum(tried, len(Z) - 1)
        closer = np.minimum(points.squared_distances(Z[tried]), nearest[:, None])
        best = (closer @ weight).argmin(axis=1)
        nearest, centres[:, k] = closer[starts, best], Z[tried[starts, best]]
    return centres


def _clustered(points: Points, centres: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (S, K, D) and labels (S, N) after some of Lloyd's iterations, or until nothing changes."""
    n_starts, k, d = centres.shape
    first = k * np.arange(n_starts)[:, None]
    weighted = np.concatenate([points.Z, np.ones((len(points.Z), 1))], axis=1) * points.weight[:, None]
    columns = [np.tile(column, n_starts) for column in weighted.T]
    for _ in range(_LLOYD):
        of_rows = (first + labels).ravel()
        sums = np.stack([np.bincount(of_rows, column, n_starts * k) for column in columns], axis=1)
        sums = sums.reshape(n_starts, k, d + 1)
        total = sums[..., d:]
        centres = np.where(total > 0.0, sums[..., :d] / np.where(total > 0.0, total, 1.0), centres)
        before, labels = labels, points.nearest(centres)
        if np.array_equal(before, labels):
            break
    return centres, labels


def side_by_side(model: Model, n_starts: int) -> Model:
    """The model of so many mixtures of one kind: each has its components, one mixture after the other."""
    n_components = n_starts * model.latent.n_components
    latent = MixtureLatent(n_components, model.latent.concentration)
    return replace(model, latent=latent, family=model.family.with_components(n_components))


def is_separable(model: Model) -> bool:
    """Whether the components of a mixture share no parameter, so that mixtures side by side do not, either."""
    family, one = model.family, model.family.with_components(1)
    if not isinstance(model.latent, MixtureLatent) or model.latent.fixed_weights is not None:
        return False
    if any(name.startswith(("fixed", "own")) for name in family.constraints()):
        return False
    centre, k = np.zeros(family.n_features), 2 * model.latent.n_components
    several, single = side_by_side(model, 2).family.neutral_params(centre), one.neutral_params(centre)
    return all(
        np.array_equal(a, b)
        if _is_layout(a)
        else bool(a.ndim) and (a.shape[0], b.shape[0]) == (k, 1) and a.shape[1:] == b.shape[1:]
        for a, b in zip(several, single, strict=True)
    )


def _is_layout(field: np.ndarray) -> bool:
    """Whether a field of a record holds no parameters, but says what columns they are of."""
    return field.dtype.kind in "iu"


def stacked(model: Model, starts: Sequence[Params]) -> Params:
    """The parameters of mixtures of `model`, side by side."""
    weights = np.concatenate([start.latent.weights for start in starts])
    fields = zip(*(start.family for start in starts), strict=True)
    family = type(starts[0].family)(*(each[0] if _is_layout(each[0]) else np.concatenate(each) for each in fields))
    return Params(side_by_side(model, len(starts)).latent.params(weights), family)


def apart(model: Model, params: Params, n_starts: int) -> list[Params]:
    """The parameters of each of the mixtures of `model` that stand side by side."""
    k = model.latent.n_components
    family, weights = params.family, params.latent.weights
    return [
        Params(
            model.latent.params(weights[begin : begin + k]),
            type(family)(*(field if _is_layout(field) else plain(field[begin : begin + k]) for field in family)),
        )
        for begin in range(0, n_starts * k, k)
    ]
