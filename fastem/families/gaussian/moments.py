"""Moments about a pivot that add up."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from fastem.stats import Additive

# A component lighter than this fraction of all rows has no mean or covariance of its own.
MIN_OCCUPANCY = 1e-10


class _MomentFields(NamedTuple):
    n: np.ndarray
    sx: np.ndarray
    sxx: np.ndarray
    dof: np.ndarray
    pivot: np.ndarray


class Pivoted(Additive):
    """Mix-in for statistics whose fields `n`, `sx` and `sxx` are moments about their field `pivot`."""

    __slots__ = ()
    shared = ("pivot",)
    n: Any
    sx: Any
    sxx: Any
    pivot: Any

    @staticmethod
    def spread(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The family's form of the outer product a b' of rows a, b (K, D)."""
        raise NotImplementedError

    def about(self, pivot: np.ndarray) -> Self:
        """The same moments about another pivot (K, D)."""
        shift = self.pivot - pivot
        n_shift = self.n[:, None] * shift
        sxx = self.sxx + self.spread(self.sx, shift) + self.spread(shift, self.sx) + self.spread(n_shift, shift)
        record: Any = self
        return record._replace(sx=self.sx + n_shift, sxx=sxx, pivot=pivot)

    def aligned(self, other: Self) -> Self:
        return self if np.array_equal(self.pivot, other.pivot) else self.about(other.pivot)

    def __add__(self, other: Self) -> Self:  # type: ignore[override]
        if np.array_equal(self.pivot, other.pivot):
            return super().__add__(other)
        heavier = (np.abs(self.n) >= np.abs(other.n))[:, None]
        pivot = np.where(heavier, self.pivot, other.pivot)
        return Additive.__add__(self.about(pivot), other.about(pivot))


class PivotedMoments(Pivoted, _MomentFields):
    """Moments of the rows of each component, about a pivot near them.

    Shapes::

        n      (K,)     sum of resp
        sx     (K, D)   sum of resp * (x - pivot)
        sxx    ...      sum of resp * (x - pivot)(x - pivot)', in the family's own shape
        dof    (K,)     rows that count for a covariance only; data have none, a prior may
        pivot  (K, D)   the component's mean when the sums were taken

    Raw moments lose all digits of a variance when the mean is 1e8 standard deviations from zero; about
    a pivot near the data nothing cancels. Adding two records moves one to the other's pivot by exact
    algebra: to the pivot of whichever record is heavier, component by component.
    """

    __slots__ = ()

    def shapes(self, params: Any, k: int, n_lanes: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the fields with so many lanes, for rows of k components with these parameters."""
        of_means = params.means.shape
        return (n_lanes, k), (n_lanes, *of_means), (n_lanes, *params.covariances.shape), (n_lanes, k), of_means


class CentralMoments(NamedTuple):
    """Moments about the weighted means.

    Shapes::

        share    (K,)    rows that the scatter is divided by; 1 where there are none, not even by a prior
        total    ()      the sum of these over all components
        means    (K, D)
        scatter  ...     sum of resp * (x - mean)(x - mean)', in the family's own shape
        empty    (K,)    bool, without rows
        bare     (K,)    bool, without share
    """

    share: np.ndarray
    total: float
    means: np.ndarray
    scatter: np.ndarray
    empty: np.ndarray
    bare: np.ndarray


def central_moments(stats: PivotedMoments, fixed_means: np.ndarray | None = None) -> CentralMoments:
    """Weighted means and the scatter about them, or about means (K, D) that are fixed where they are not NaN.

    An empty component stays at its pivot, without scatter but for that of a prior.
    """
    share = stats.n + stats.dof
    total = share.sum()
    empty = stats.n <= MIN_OCCUPANCY * stats.n.sum()
    # Rows of a prior of the mean only (`n` has them, and `dof` takes them back) tell nothing of a covariance.
    bare = share <= MIN_OCCUPANCY * total
    n = np.where(empty, 1.0, stats.n)
    offset = np.where(empty[:, None], 0.0, stats.sx / n[:, None])
    means = stats.pivot + offset
    if fixed_means is None:
        scatter = stats.sxx - stats.spread(n[:, None] * offset, offset)
    else:
        means = np.where(np.isnan(fixed_means), means, fixed_means)
        scatter = stats.about(means).sxx
    return CentralMoments(np.where(bare, 1.0, share), float(total), means, scatter, empty, bare)
