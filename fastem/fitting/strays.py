"""Rows that lie far from all others: few, so that a sample misses them, and heavy, so that a start must know them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastem.sources import ArraySource
from fastem.starts.bulk import Bulk


class Strays(NamedTuple):
    """Far rows of the data, which samples get whether or not they drew them.

    Shapes::

        bulk     which rows are far
        X        (S, D) far rows
        weight   (S,)   of all rows that each stands for
        n_rows          number of all rows
    """

    bulk: Bulk
    X: np.ndarray
    weight: np.ndarray
    n_rows: int

    def put_into(self, sample: Any) -> Any:
        """A sample of rows whose far rows are these, in their proportion; the sample itself when it holds all rows."""
        if sample.n_rows >= self.n_rows:
            return sample
        near = ~self.bulk.far(sample.X).any(axis=1)
        weight = np.ones(sample.n_rows) if sample.weight is None else sample.weight
        share = sample.n_rows / self.n_rows
        return ArraySource(
            np.concatenate([sample.X[near], self.X]), np.concatenate([weight[near], share * self.weight]), sample.names
        )


def strays_of(bulk: Bulk, excerpt: ArraySource, extremes: tuple[np.ndarray, np.ndarray], n_rows: int) -> Strays | None:
    """Far rows of an excerpt, and those among the extreme rows (S, D) of all rows, with weights; None without any."""
    weight = np.ones(len(excerpt.X)) if excerpt.weight is None else excerpt.weight
    far, far_extremes = (bulk.far(X).any(axis=1) for X in (excerpt.X, extremes[0]))
    # An extreme row that the excerpt holds, too, counts once.
    known = {row.tobytes() for row in excerpt.X[far]}
    is_new = np.array([row.tobytes() not in known for row in extremes[0]], dtype=bool)
    X = np.concatenate([excerpt.X[far], extremes[0][is_new & far_extremes]])
    if len(X) == 0:
        return None
    of_all = n_rows / len(excerpt.X)
    return Strays(bulk, X, np.concatenate([of_all * weight[far], extremes[1][is_new & far_extremes]]), n_rows)
