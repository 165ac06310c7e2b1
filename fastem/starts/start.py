"""The starts by name: from a source and a model to first parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from fastem._naming import named
from fastem.model import Model, Params
from fastem.starts.bulk import Bulk, bulk_of
from fastem.starts.given import Rows, RowSource, one_hot, start_from
from fastem.starts.seeds import Seeder, kmeans, kmeans_plus_plus, quantile_labels, random_rows, seeded_labels
from fastem.starts.several import several_labels, side_by_side
from fastem.stats import Repair

_SEEDERS: dict[str, Seeder] = {
    "k-means++": kmeans_plus_plus,
    "kmeans": kmeans,
    "random_from_data": random_rows,
}
STARTS = (*_SEEDERS, "random", "quantile")
# Those that give another start each time.
DRAWN = (*_SEEDERS, "random")

# Seeds are found on a sample: this many rows for each component (or enough for its covariance), but no
# more numbers than stay in a few megabytes.
_ROWS_PER_COMPONENT = 300
_MAX_SAMPLE_NUMBERS = 2**21
# Where some rows are far, starts are compared after so many iterations.
_ITERATIONS = 30


class Sample(RowSource, Protocol):
    """Rows X (N, D) in float64 and their weights (N,) or None, in memory."""

    @property
    def X(self) -> np.ndarray: ...

    @property
    def weight(self) -> np.ndarray | None: ...


def sample_size(n_components: int, n_features: int) -> int:
    """Number of rows that a start looks at."""
    wanted = n_components * max(_ROWS_PER_COMPONENT, 2 * n_features * (n_features + 3))
    return max(2 * n_components, min(wanted, _MAX_SAMPLE_NUMBERS // n_features))


def start_from_sample(
    method: str, model: Model, sample: Sample, random: np.random.Generator
) -> tuple[Params, list[Repair]]:
    """First parameters of a model, from a sample of the rows.

    Parameters
    ----------
    method : {"k-means++", "kmeans", "random_from_data", "random", "quantile"}
    model : Model
    sample : Sample
    random : numpy.random.Generator

    Raises
    ------
    ValueError
        For quantiles of several features.

    Notes
    -----
    Distances are those of the family's `features`, each centred and scaled to unit variance, so that a start
    does not depend on the units of the data. Where some values lie far from all others, the scale is that of the
    others, and the start is the best of several ways to give those rows a component or none (see `_with_strays`).
    """
    n_components = model.latent.n_components
    at_start = replace(model, family=model.family.at_start())
    weight = np.ones(sample.X.shape[0]) if sample.weight is None else sample.weight
    centre = np.average(sample.X, axis=0, weights=weight)
    if method == "random":
        return start_from(at_start, sample, lambda a, b: _random_responsibilities(b - a, n_components, random), centre)
    if method == "quantile":
        if sample.X.shape[1] > 1:
            raise ValueError(
                f"{named('init_params')}='quantile' is for one feature, but {named('X')} has {sample.X.shape[1]}. "
                "Use 'k-means++', or pass labels."
            )
        labels = quantile_labels(sample.X[:, 0], weight, n_components)
        return start_from(at_start, sample, _of_labels(labels, n_components), centre)
    features = model.family.features(sample.X)
    strays = _strays(model, sample, features)
    seeder = _SEEDERS[method]
    if strays is None:
        labels = seeded_labels(features, features, weight, n_components, seeder, random)
        return start_from(at_start, sample, _of_labels(labels, n_components), centre)
    return _with_strays(model, at_start, sample, weight, features, strays, seeder, random)


def several_from_sample(
    method: str, model: Model, sample: Sample, n_starts: int, random: np.random.Generator
) -> tuple[Params, list[Repair]]:
    """As many starts at once, from a sample of the rows: parameters of `side_by_side(model, n_starts)`.

    `method` is one of `DRAWN`; "k-means++" stands for several kinds of starts from such seeds (see `several_labels`).
    Where some rows are far from all others, the starts take turns in the ways to give these a component or none.
    """
    k = model.latent.n_components
    together = side_by_side(model, n_starts)
    together = replace(together, family=together.family.at_start())
    weight = np.ones(sample.X.shape[0]) if sample.weight is None else sample.weight
    centre = np.average(sample.X, axis=0, weights=weight)
    if method == "random":
        drawn = [_random_responsibilities(len(weight), k, random) for _ in range(n_starts)]
        return start_from(together, sample, _stacked(np.concatenate(drawn, axis=1)), centre)
    features = model.family.features(sample.X)
    strays, seeder = _strays(model, sample, features), _SEEDERS[method]
    if strays is not None:
        labels = _labels_by_turns(features, strays, weight, k, n_starts, seeder, random)
        centre = bulk_of(sample.X, weight).centre
    elif method == "k-means++":
        labels = list(several_labels(features, weight, k, n_starts, random))
    else:
        labels = [seeded_labels(features, features, weight, k, seeder, random) for _ in range(n_starts)]
    return start_from(together, sample, _stacked(np.concatenate([one_hot(each, k) for each in labels], axis=1)), centre)


def _labels_by_turns(
    features: np.ndarray,
    bulk: Bulk,
    weight: np.ndarray,
    k: int,
    n_starts: int,
    seeder: Seeder,
    random: np.random.Generator,
) -> list[np.ndarray]:
    labels: list[np.ndarray] = []
    while len(labels) < n_starts:
        labels += _ways(features, bulk, weight, k, seeder, random)
    return labels[:n_starts]


def _stacked(resp: np.ndarray) -> Callable[[int, int], np.ndarray]:
    return lambda start, stop: resp[start:stop]


def _strays(model: Model, sample: Sample, features: np.ndarray) -> Bulk | None:
    """The bulk of the features, where some values lie far from it; None otherwise."""
    may = model.family.may_stray()
    if not may.any():
        return None
    bulk = bulk_of(features, sample.weight)
    if may.size == features.shape[1]:
        bulk = bulk._replace(reach=np.where(may, bulk.reach, np.inf))
    return bulk if bulk.far(features).any() else None


def _with_strays(
    model: Model,
    at_start: Model,
    sample: Sample,
    weight: np.ndarray,
    features: np.ndarray,
    bulk: Bulk,
    seeder: Seeder,
    random: np.random.Generator,
) -> tuple[Params, list[Repair]]:
    """The best of several starts of rows of which some are far, after some iterations on the sample."""
    k = model.latent.n_components
    rows = Rows(sample.X, sample.weight)
    found = []
    for labels in _ways(features, bulk, weight, k, seeder, random):
        start, repairs = start_from(at_start, rows, _of_labels(labels, k), bulk_of(sample.X, weight).centre)
        found.append((*_improved(model, start, rows), repairs))
    best = max(range(len(found)), key=lambda index: found[index][1])
    return found[best][0], found[best][2]


def _ways(
    features: np.ndarray, bulk: Bulk, weight: np.ndarray, k: int, seeder: Seeder, random: np.random.Generator
) -> list[np.ndarray]:
    """Labels (N,) of rows of which some are far, in several ways.

    Far rows may have seeds as others have; or all seeds are among the near rows, and far values count as the centre; or
    one component has all far rows, and the others none.
    """
    near = bulk.called_in(features)
    is_far = bulk.far(features).any(axis=1)
    ways = [
        seeded_labels(features, near, weight, k, seeder, random),
        seeded_labels(near, near, weight, k, seeder, random),
    ]
    if k > 1 and (~is_far).sum() >= k - 1:
        apart = np.full(len(features), k - 1)
        bulk_rows = near[~is_far]
        apart[~is_far] = seeded_labels(bulk_rows, bulk_rows, weight[~is_far], k - 1, seeder, random)
        ways.append(apart)
    return ways


def _improved(model: Model, params: Params, rows: Rows) -> tuple[Params, float]:
    """Parameters after some iterations, and their objective."""
    for _ in range(_ITERATIONS):
        params, _ = model.m_step(model.e_step(params, rows), params)
    objective = model.with_prior(model.e_step(params, rows), params).objective
    return params, -np.inf if np.isnan(objective) else objective


def _of_labels(labels: np.ndarray, n_components: int) -> Callable[[int, int], np.ndarray]:
    """Responsibilities of integer labels (N,)."""
    return lambda start, stop: one_hot(labels[start:stop], n_components)


def _random_responsibilities(n_rows: int, n_components: int, random: np.random.Generator) -> np.ndarray:
    resp = random.random((n_rows, n_components))
    return resp / resp.sum(axis=1, keepdims=True)
