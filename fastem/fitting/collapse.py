"""Components that sit on a point, or on a plane: their likelihood knows no bound, and says nothing of the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.families.gaussian.location_scatter import LocationScatter
from fastem.fitting.notes import CollapseNote
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params

# A component is narrow in a direction where its variance is less than this part of that of the data.
_NARROW = 0.01
# It has collapsed there if so large a share of its rows agree, and no other value has more than the second share: rows
# that are rounded, and wider than the rounding, lie on neighbouring values.
_AGREE, _NEIGHBOUR = 0.8, 0.05
# Values that differ by less, relative to their size, agree.
_ROUNDING = 1e-9
# How often a direction is sought again among the rows that lie nearest to it.
_TRIMMED = 8
# Of fewer rows of a component in an excerpt nothing can be said.
_FEW = 5.0
# Numbers that are computed at a time.
_MOST_PIECE = 2**22
# Covariances of more numbers than this are not looked at.
_MOST_NUMBERS = 2**24


def collapsed(
    model: Model, params: Params, X: np.ndarray, weight: np.ndarray | None, is_whole: bool
) -> list[CollapseNote]:
    """The components of a fitted model that have collapsed onto rows that agree.

    Parameters
    ----------
    model : Model
    params : Params
    X : (N, D) ndarray
        Rows; those of a chain count as if they were independent.
    weight : (N,) ndarray or None
    is_whole : bool
        Whether these are all rows.
    """
    found: list[CollapseNote] = []
    resp = None
    for family, family_params, columns in _normal_parts(model.family, params.family):
        varies = np.flatnonzero(np.ptp(0.5 * X[:, columns], axis=0) > 0.0)
        if family.data_covariance is None or varies.size == 0 or family.n_components * varies.size**2 > _MOST_NUMBERS:
            continue
        directions = _narrow_directions(family, family_params, varies)
        if not any(values.size for values, _ in directions):
            continue
        if resp is None:
            resp = _posterior(model, params, X)
            weighted = resp if weight is None else resp * weight[:, None]
            enough = 0.0 if is_whole else _FEW * (1.0 if weight is None else float(weight.mean()))
        scaled = X[:, columns][:, varies] / family.data_scale()[varies]
        agree = [
            _agreement(scaled, weighted[:, k], axes, family.structure.is_matrix)
            if weighted[:, k].sum() > enough
            else np.zeros(len(axes))
            for k, (_, axes) in enumerate(directions)
        ]
        found += _verdicts(family.covariance_type, directions, agree, varies.size)
    return list({each.component: each for each in sorted(found, key=lambda each: -each.width)}.values())


def too_few_distinct(n_components: int, X: np.ndarray) -> bool:
    """Whether the rows X (N, D) hold fewer different ones than there are components."""
    head = X[: 8 * n_components]
    return len(np.unique(head, axis=0)) < n_components and len(np.unique(X, axis=0)) < n_components


def _normal_parts(family: Any, params: Any) -> list[tuple[Any, Any, Any]]:
    if hasattr(family, "parts"):
        parts = zip(family.parts, family.params_of(params), strict=True)
        return [(part.family, own, part.columns) for part, own in parts if isinstance(part.family, LocationScatter)]
    return [(family, params, slice(None))] if isinstance(family, LocationScatter) else []


def _narrow_directions(family: Any, params: Any, varies: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each component its small variances (M,), in units of the data's, and their directions (M, D)."""
    scale = family.data_scale()[varies]
    covariances = family.projected(params, np.eye(family.n_features)[varies]) / np.outer(scale, scale)
    directions = []
    for covariance in np.broadcast_to(covariances, (family.n_components, varies.size, varies.size)):
        if family.structure.is_matrix:
            values, vectors = np.linalg.eigh(covariance)
            axes = vectors.T
        else:
            values, axes = np.diagonal(covariance), np.eye(varies.size)
        directions.append((values[values < _NARROW], axes[values < _NARROW]))
    return directions


def _posterior(model: Model, params: Params, X: np.ndarray) -> np.ndarray:
    latent, own = model.latent, params.latent
    if latent.is_chain:
        latent = MixtureLatent(model.family.n_components)
        own = latent.params(np.maximum(model.latent.occupancy(params.latent), 1e-300))
    if isinstance(model.family, LocationScatter):
        return _posterior_by_numpy(model.family, params.family, own.log_weights, X)
    resp = np.empty((len(X), latent.n_components))
    Model(latent, model.family).posterior(Params(own, params.family), X, resp)
    return resp


def _posterior_by_numpy(family: Any, params: Any, log_weights: np.ndarray, X: np.ndarray) -> np.ndarray:
    """As `Model.posterior`, in NumPy: a first fit need not wait for the compilation of another pass."""
    joint = np.empty((len(X), log_weights.size))
    step = max(1, _MOST_PIECE // (log_weights.size * family.n_features))
    for start in range(0, len(X), step):
        with np.errstate(over="ignore"):
            joint[start : start + step] = family.log_prob(params, X[start : start + step]).T
    joint += log_weights
    # A row that no component reaches belongs to none.
    joint -= np.maximum(joint.max(axis=1, keepdims=True), -1e300)
    resp = np.exp(joint)
    return resp / np.maximum(resp.sum(axis=1, keepdims=True), 1e-300)


def _flattest(X: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The direction in which most rows vary least: that of all, and then of those that keep nearest to their middle."""
    kept = weight > 0.5 * weight.max()
    axis = np.eye(X.shape[1])[0]
    for _ in range(_TRIMMED):
        centred = X[kept] - np.average(X[kept], axis=0, weights=weight[kept])
        axis = np.linalg.eigh((centred * weight[kept, None]).T @ centred)[1][:, 0]
        along = X @ axis
        distance = np.abs(along - np.median(along[kept]))
        kept = distance <= np.quantile(distance, _AGREE)
    return np.asarray(axis)


def _agreement(X: np.ndarray, weight: np.ndarray, axes: np.ndarray, is_free: bool) -> np.ndarray:
    """The share (M,) of the rows that agree along each of the axes; zero where their neighbours have a share, too."""
    mine = weight > 1e-3 * weight.max()
    X, weight = X[mine], weight[mine]
    shares = np.zeros(len(axes))
    for index, axis in enumerate(axes):
        along = X @ (_flattest(X, weight) if is_free else axis)
        order = np.argsort(along)
        slack = _ROUNDING * np.abs(X).max()
        begins = np.flatnonzero(np.diff(along[order], prepend=-np.inf) > slack)
        groups = np.sort(np.add.reduceat(weight[order], begins))[::-1] / weight.sum()
        if groups[0] > _AGREE and groups[1:2].sum() <= _NEIGHBOUR:
            shares[index] = groups[0]
    return shares


def _verdicts(
    covariance_type: str, directions: list[tuple[np.ndarray, np.ndarray]], agree: list[np.ndarray], n_features: int
) -> list[CollapseNote]:
    if covariance_type == "tied":
        # All components are as narrow: one that has rows enough beyond the point speaks for the others.
        together = np.min(agree, axis=0)
        agree = [together for _ in agree]
    found = []
    for k, ((values, _), shares) in enumerate(zip(directions, agree, strict=True)):
        if covariance_type == "spherical" and (values.size < n_features or not shares.all()):
            continue
        if shares.any():
            found.append(CollapseNote(k, float(shares.max()), float(np.sqrt(max(0.0, values[shares > 0].min())))))
    return found
