"""What a first pass over the data tells: their scale, how many rows there are, and whether every value is usable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastem.estimators._validation import require_finite, require_support
from fastem.latents.mixture import Mixture
from fastem.model import Model, Params
from fastem.sources import Source
from fastem.sources.shuffle import RowOrder


class Survey(NamedTuple):
    """What a first pass over the data tells: the model for them, their mean (D,), and how many they are."""

    model: Model
    centre: np.ndarray
    n_rows: int
    weight: float


class Look(NamedTuple):
    """What a pass over rows finds: statistics of one component about the first row (D,), and how many rows there are.

    `n_positive` counts those of positive weight.
    """

    centre: np.ndarray
    stats: Any
    n_rows: int
    n_positive: int
    weight: float


def look_over(source: Source, singles: Sequence[Model], order: RowOrder | None = None) -> list[Look]:
    """Statistics of all rows under several models of one component, in one pass.

    Raises
    ------
    ValueError
        When there are no rows, or the first has an unusable value.
    """
    first = next(source.chunks(max_rows=1), None)
    if first is None:
        raise ValueError("There are no rows to read.")
    require_finite(first, source.labels)
    centre = first.X[0].astype(np.float64)
    gatherings = [
        single.gathering(Params(single.latent.params(np.ones(1)), single.family.first_look(centre)))
        for single in singles
    ]
    n_rows = n_positive = 0
    for chunk in source.chunks():
        for gathering in gatherings:
            gathering.add_given(chunk, np.broadcast_to(np.float64(1.0), (len(chunk), 1)))
        if order is not None:
            order.add(chunk)
        for single in singles:
            require_support(chunk, single.family, source.labels)
        n_rows += len(chunk)
        n_positive += len(chunk) if chunk.weight is None else int(np.count_nonzero(chunk.weight))
        del chunk
    totals = [gathering.total() for gathering in gatherings]
    return [Look(centre, total.family, n_rows, n_positive, float(total.weight)) for total in totals]


def single_of(family: Any) -> Model:
    """One component of a family, that all rows belong to."""
    return Model(Mixture(1), family.with_components(1))
