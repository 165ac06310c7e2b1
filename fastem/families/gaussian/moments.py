"""Moments about a pivot that add up."""

from __future__ import annotations

from operator import add
from typing import Any, NamedTuple, Self

import numpy as np

from fastem.families.gaussian.matrices import symmetric
from fastem.stats import Additive

# A component lighter than this fraction of all rows has no mean or covariance of its own.
MIN_OCCUPANCY = 1e-10


class Pivoted(Additive):
    """Mix-in for statistics whose fields `n`, `sx` and `sxx` are moments about their field `pivot`.

    Shapes of the moments of a location and a scatter::

        n      (K,)     sum of resp
        sx     (K, D)   sum of resp * u * (x - pivot), where u is the density's weight of a row, 1 for Gaussians
        sxx    ...      sum of resp * u * (x - pivot)(x - pivot)', in the form of the covariance structure
        dof    (K,)     rows that count for a covariance only; data have none, a prior may
        pivot  (K, D)   the component's mean when the sums were taken
        u      (K,)     sum of resp * u, where it is not `n`

    Raw moments lose all digits of a variance when the mean is 1e8 standard deviations from zero; about
    a pivot near the data nothing cancels. Adding two records moves one to the other's pivot by exact
    algebra: to the pivot of whichever record is heavier, component by component.
    """

    __slots__ = ()
    shared = ("pivot",)
    n: Any
    sx: Any
    sxx: Any
    scatter_rows: Any
    pivot: Any

    @property
    def mass(self) -> np.ndarray:
        """What the sums of offsets are divided by (K,): the sum of the weights."""
        return getattr(self, "u", self.n)

    @staticmethod
    def spread(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The family's form of the outer product a b' of rows a, b (K, D)."""
        raise NotImplementedError

    def shapes(self, params: Any, k: int, n_lanes: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the fields with so many lanes, for rows of k components with these parameters."""
        of_means = params.means.shape
        every = {"sx": (n_lanes, *of_means), "sxx": (n_lanes, *params.covariances.shape), "pivot": of_means}
        return tuple(every.get(name, (n_lanes, k)) for name in self._fields)  # type: ignore[attr-defined]

    def with_rows(self, n: np.ndarray, **fields: np.ndarray) -> Self:
        """The record with `n` (K,) rows of mean weight."""
        record: Any = self
        return record._replace(n=n, **({"u": n} if "u" in record._fields else {}), **fields)

    def about(self, pivot: np.ndarray) -> Self:
        """The same moments about another pivot (K, D)."""
        shift = self.pivot - pivot
        n_shift = self.mass[:, None] * shift
        sxx = self.sxx + self.spread(self.sx, shift) + self.spread(shift, self.sx) + self.spread(n_shift, shift)
        record: Any = self
        return record._replace(sx=self.sx + n_shift, sxx=sxx, pivot=pivot)

    def aligned(self, other: Self) -> Self:
        return self if np.array_equal(self.pivot, other.pivot) else self.about(other.pivot)

    def __add__(self, other: Self) -> Self:  # type: ignore[override]
        if self.pivot is other.pivot or other._has_no_rows():
            return self._map(add, other)
        if np.array_equal(self.pivot, other.pivot):
            return super().__add__(other)
        heavier = (np.abs(self.n) >= np.abs(other.n))[:, None]
        pivot = np.where(heavier, self.pivot, other.pivot)
        return Additive.__add__(self.about(pivot), other.about(pivot))

    def _has_no_rows(self) -> bool:
        """Whether there is scatter at most, as of a prior of covariances: that is the same about any pivot."""
        return not (self.n.any() or self.sx.any() or self.mass.any())


class MatrixMoments(Pivoted):
    """Moments whose `sxx` are matrices. While they have lanes, only the lower triangles are filled."""

    __slots__ = ()

    def collapse(self, n_filled: int | None = None) -> Self:
        total: Any = super().collapse(n_filled)
        return total._replace(sxx=symmetric(total.sxx))


class CentralMoments(NamedTuple):
    """Moments about the weighted means.

    Shapes::

        share    (K,)    rows that the scatter is divided by; 1 where there are none, not even by a prior
        total    ()      the sum of these over all components
        means    (K, D)
        scatter  ...     sum of resp * u * (x - mean)(x - mean)', in the form of the covariance structure
        empty    (K,)    bool, without rows
        bare     (K,)    bool, without share
    """

    share: np.ndarray
    total: float
    means: np.ndarray
    scatter: np.ndarray
    empty: np.ndarray
    bare: np.ndarray


def central_moments(stats: Pivoted, fixed_means: np.ndarray | None = None) -> CentralMoments:
    """Weighted means and the scatter about them, or about means (K, D) that are fixed where they are not NaN.

    An empty component stays at its pivot, without scatter but for that of a prior.
    """
    share = stats.n + stats.scatter_rows
    total = float(share.sum())
    empty = stats.n <= MIN_OCCUPANCY * stats.n.sum()
    # Rows of a prior of the mean only (`n` has them, and `scatter_rows` takes them back) tell nothing of a covariance.
    bare = share <= MIN_OCCUPANCY * total
    mass = stats.mass
    without_mean = empty | (mass <= 0.0)
    if without_mean.any():
        mass = np.where(without_mean, 1.0, mass)
    offset = stats.sx / mass[:, None]
    if empty.any():
        offset[empty] = 0.0
    means = stats.pivot + offset
    if fixed_means is None:
        scatter = stats.sxx - stats.spread(mass[:, None] * offset, offset)
    else:
        means = np.where(np.isnan(fixed_means), means, fixed_means)
        scatter = stats.about(means).sxx
    if bare.any():
        share[bare] = 1.0
    return CentralMoments(share, total, means, scatter, empty, bare)
