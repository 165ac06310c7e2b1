"""What rows miss, given what is there, under one location and scatter, by NumPy: nothing is compiled for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

# Numbers of matrices that are held at a time.
_MOST_NUMBERS = 2**21


class Conditional(NamedTuple):
    """Some rows that miss as many values.

    Shapes::

        rows      (N,)       int64
        features  (N, M)     int64, those that each row misses
        means     (N, M)     of these, given the others, less the location
        roots     (N, M, M)  R with R R' the conditional scatter
        squares   (N,)       squared distance of the features that are there
        n_seen    ()         how many these are
    """

    rows: np.ndarray
    features: np.ndarray
    means: np.ndarray
    roots: np.ndarray
    squares: np.ndarray
    n_seen: int


def conditionals(y: np.ndarray, axes: np.ndarray) -> Iterator[Conditional]:
    """What rows miss of y (N, D), which are less the location; `axes` (D, D) are the whitened unit vectors.

    With the precision P, whose block of the missing features is P_mm, and u = P y where what is missing is zero, the
    expected values are ``-C u``, C being the inverse of P_mm (see `fastem.families.gaussian.gaps`).
    """
    d = y.shape[1]
    is_missing, precision = np.isnan(y), axes @ axes.T
    seen = np.where(is_missing, 0.0, y)
    n_missing = is_missing.sum(axis=1)
    for m in np.unique(n_missing[n_missing > 0]).tolist():
        of_count = np.flatnonzero(n_missing == m)
        step = max(1, _MOST_NUMBERS // m**2)
        for start in range(0, of_count.size, step):
            rows = of_count[start : start + step]
            features = np.nonzero(is_missing[rows])[1].reshape(-1, m)
            patterns, place = np.unique(features, axis=0, return_inverse=True)
            blocks = precision[patterns[:, :, None], patterns[:, None, :]]
            # P_mm = L L', so that C = R R' with R the transposed inverse of L.
            roots = np.swapaxes(np.linalg.inv(np.linalg.cholesky(blocks)), 1, 2)[place.ravel()]
            u = np.take_along_axis(seen[rows] @ precision, features, axis=1)
            means = -(roots @ (np.swapaxes(roots, 1, 2) @ u[:, :, None]))[:, :, 0]
            completed = seen[rows]
            np.put_along_axis(completed, features, means, axis=1)
            yield Conditional(rows, features, means, roots, np.square(completed @ axes).sum(axis=1), d - m)
