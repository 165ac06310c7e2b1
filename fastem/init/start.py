"""The starts by name: from a source and a model to first parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from fastem.init.given import RowSource, one_hot, start_from
from fastem.init.quantile import quantile_labels
from fastem.init.seeds import Seeder, kmeans, kmeans_plus_plus, nearest_seed, random_rows
from fastem.model import Model, Params
from fastem.stats import Rescue

_SEEDERS: dict[str, Seeder] = {
    "k-means++": kmeans_plus_plus,
    "kmeans": kmeans,
    "random_from_data": random_rows,
}
STARTS = (*_SEEDERS, "random", "quantile")

# Seeds are found on a sample: this many rows for each component (or enough for its covariance), but no
# more numbers than stay in a few megabytes.
_ROWS_PER_COMPONENT = 300
_MAX_SAMPLE_NUMBERS = 2**21


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
) -> tuple[Params, list[Rescue]]:
    """First parameters of a model, from a sample of the rows.

    Parameters
    ----------
    method : {"k-means++", "kmeans", "random_from_data", "random", "quantile"}
    model : Model
    sample : Sample
    random : numpy.random.Generator

    Notes
    -----
    Distances are those of the family's `features`, each centred and scaled to unit variance, so that a start
    does not depend on the units of the data.
    """
    n_components = model.latent.n_components
    if hasattr(model.family, "at_start"):
        model = replace(model, family=model.family.at_start())
    weight = np.ones(sample.X.shape[0]) if sample.weight is None else sample.weight
    centre = np.average(sample.X, axis=0, weights=weight)
    if method == "random":
        return start_from(model, sample, lambda a, b: _random_responsibilities(b - a, n_components, random), centre)
    if method == "quantile":
        labels = quantile_labels(sample.X[:, 0], weight, n_components)
    else:
        features = model.family.features(sample.X)
        scaled = features - np.average(features, axis=0, weights=weight)
        # Divided by the largest value first: the square of 1e200 is not a number.
        scale = np.abs(scaled).max(axis=0)
        scaled /= np.where(scale > 0, scale, 1.0)
        sd = np.sqrt(np.average(np.square(scaled), axis=0, weights=weight))
        scaled /= np.where(sd > 0, sd, 1.0)
        labels = nearest_seed(scaled, _SEEDERS[method](scaled, weight, n_components, random))
    return start_from(model, sample, lambda a, b: one_hot(labels[a:b], n_components), centre)


def _random_responsibilities(n_rows: int, n_components: int, random: np.random.Generator) -> np.ndarray:
    resp = random.random((n_rows, n_components))
    return resp / resp.sum(axis=1, keepdims=True)
