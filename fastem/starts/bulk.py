"""The bulk of the rows: centres and spreads that few rows cannot move, and the values that lie far from them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Half of the rows lie nearer to the median than the spread would tell of, and a quarter may lie anywhere: the spread is
# the distance that three in four rows keep. Where these have one value, more rows are asked.
_SHARES = (0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)
# A value is far that is so many spreads away from the median: 14 standard deviations of a normal distribution.
_FAR = 12.0
# Distances below this, relative to the values, are rounding; so are differences of sums of weights.
_ROUNDING = 1e-14
_SLACK = 1e-12


class Bulk(NamedTuple):
    """Where most rows are.

    Shapes::

        centre  (D,)    weighted medians
        reach   (D,)    values farther than this from the centre are far; infinite in a constant column
    """

    centre: np.ndarray
    reach: np.ndarray

    def far(self, X: np.ndarray) -> np.ndarray:
        """Which values of X (N, D) are far."""
        # Divided by two first: differences of the largest numbers overflow.
        return np.abs(0.5 * X - 0.5 * self.centre) > 0.5 * self.reach

    def called_in(self, X: np.ndarray) -> np.ndarray:
        """X (N, D), in which far values are at the centre; X itself when there are none."""
        far = self.far(X)
        return np.where(far, self.centre, X) if far.any() else X


def bulk_of(X: np.ndarray, weight: np.ndarray | None) -> Bulk:
    """The bulk of rows X (N, D) with weights (N,); a row of weight two counts as the row twice.

    References
    ----------
    Huber & Ronchetti (2009), *Robust Statistics*, chapter 5, for the median of the distances from the median, of which
    this is a form with a quarter in place of a half of the rows beyond.
    """
    centre = _quantiles(X, weight, (0.5,))[0]
    distances = 2.0 * np.abs(0.5 * X - 0.5 * centre)
    found = _quantiles(distances, weight, _SHARES)
    is_spread = found > _ROUNDING * np.abs(X).max(axis=0)
    first = np.argmax(is_spread, axis=0)
    spread = np.where(is_spread.any(axis=0), found[first, np.arange(X.shape[1])], np.inf)
    with np.errstate(over="ignore"):
        return Bulk(centre, _FAR * spread)


def _quantiles(X: np.ndarray, weight: np.ndarray | None, shares: tuple[float, ...]) -> np.ndarray:
    """For each share the least value of each column that so many rows do not exceed, (Q, D)."""
    if weight is None:
        last = np.ceil(np.array(shares) * len(X) * (1.0 - _SLACK)).astype(np.intp) - 1
        return np.sort(X, axis=0)[np.maximum(last, 0)]
    order = np.argsort(X, axis=0, kind="stable")
    below = np.cumsum(weight[order], axis=0)
    found = np.empty((len(shares), X.shape[1]))
    for column in range(X.shape[1]):
        wanted = np.array(shares) * below[-1, column] * (1.0 - _SLACK)
        rows = np.minimum(np.searchsorted(below[:, column], wanted), len(X) - 1)
        found[:, column] = X[order[rows, column], column]
    return found
