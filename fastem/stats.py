"""Expected sufficient statistics: records of arrays that can be added, subtracted and scaled.

This is the one idea of the package. Batch, out-of-core, distributed, online and incremental EM, and
conjugate priors, are all ways to sum such records.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

if TYPE_CHECKING:
    _Fields = tuple[Any, ...]
else:
    _Fields = object


class Additive(_Fields):
    """Mix-in for a NamedTuple of arrays that is added field by field.

    A record may carry *lanes*: a leading axis of private accumulators, one for each independent part
    of a parallel pass. `collapse` sums them in one fixed order, so that the result has the same bits
    whatever number of threads filled them.

    Attributes
    ----------
    shared : tuple of str
        Names of fields that describe the record and are not summed (and have no lanes).
    """

    __slots__ = ()
    shared: tuple[str, ...] = ()
    # A NumPy number times a record: NumPy would take the record for a sequence to make an array of.
    __array_ufunc__ = None

    def _map(self, change: Any, *others: Any) -> Self:
        """Replace each summed field by `change(field, *fields of the others)`."""
        record: Any = self
        changed: Iterable[Any] = map(change, self, *others)
        if self.shared:
            # What is shared is not to be changed at all: it may be no number.
            names, shared = record._fields, self.shared
            parts = zip(names, self, *others, strict=True)
            changed = (mine if name in shared else change(mine, *rest) for name, mine, *rest in parts)
        return record._make(changed)

    def __add__(self, other: Self) -> Self:  # type: ignore[override]
        for name in self.shared:
            mine, others = getattr(self, name), getattr(other, name)
            if mine is not others and not np.array_equal(mine, others):
                raise ValueError(
                    f"Two records of {type(self).__name__} differ in {name}, which describes them: their sums cannot "
                    "be added. Align one with the other first."
                )
        return self._map(add, other)

    def __sub__(self, other: Self) -> Self:
        return self + (-1.0) * other

    def __mul__(self, factor: float) -> Self:  # type: ignore[override]
        return self._map(lambda a: a * factor)

    __rmul__ = __mul__  # type: ignore[assignment]

    def divided(self, divisor: float) -> Self:
        """The sums divided by a number whose inverse may be none."""
        return self._map(lambda a: a / divisor)

    def by_component(self, factors: np.ndarray) -> Self:
        """Scale the statistics of each component by its own factor (K,); fields have one entry for each component."""
        return self._map(lambda a: a * factors.reshape(-1, *[1] * (np.ndim(a) - 1)))

    def aligned(self, other: Self) -> Self:
        """The same statistics, described by the `shared` fields of `other`. Nothing to do for a record without any."""
        return self

    def is_finite(self) -> bool:
        """Whether every summed number is finite."""
        return all(
            value.is_finite() if isinstance(value, Additive) else bool(np.isfinite(value).all())
            for name, value in zip(self._fields, self, strict=True)  # type: ignore[attr-defined]
            if name not in self.shared
        )

    def with_lanes(self, n_lanes: int) -> Self:
        """Zeros of the same shape, with `n_lanes` private accumulators."""
        return self._map(lambda a: np.zeros((n_lanes, *np.shape(a))))

    def more_lanes(self, n_lanes: int) -> Self:
        """The same lanes, and so many in all: the others are empty."""
        return self._map(partial(_followed_by_empty, n_lanes=n_lanes))

    def collapse(self, n_filled: int | None = None) -> Self:
        """Sum the lanes, or the first `n_filled` of them, in an order that depends on their number alone.

        The sum may be in the memory of the lanes: nothing is to be added to these any more.
        """
        return self._map(partial(_sum_of_lanes, n_filled=n_filled))


def _followed_by_empty(lanes: np.ndarray | Additive, n_lanes: int) -> Any:
    if isinstance(lanes, Additive):
        return lanes.more_lanes(n_lanes)
    more = np.zeros((n_lanes, *lanes.shape[1:]))
    more[: len(lanes)] = lanes
    return more


def _sum_of_lanes(lanes: np.ndarray | Additive, n_filled: int | None) -> Any:
    if isinstance(lanes, Additive):
        return lanes.collapse(n_filled)
    return lanes[0] if n_filled == 1 else np.add.reduce(lanes[:n_filled], axis=0)


class _ExpectedFields(NamedTuple):
    loglik: Any
    weight: Any
    zero_density: Any
    latent: Any
    family: Any
    log_prior: Any = 0.0


class ExpectedStats(Additive, _ExpectedFields):
    """Everything that one E-step gathers.

    Attributes
    ----------
    loglik : float
        Weighted log-likelihood in nats, summed over the rows that are possible.
    weight : float
        Total weight of all rows.
    zero_density : float
        Total weight of rows that have density zero under every component.
    latent, family : Additive
        Statistics of the hidden structure, and of the observed distribution.
    log_prior : float
        Logarithm of the prior density, or minus the penalty, of the parameters that the E-step was at; up to a
        constant, in nats. Zero for a part of the data, which has no prior of its own.
    """

    __slots__ = ()

    @property
    def objective(self) -> float:
        """What EM maximises: log-likelihood and log-prior per unit of weight, in nats.

        Minus infinity when a row has zero density.
        """
        if self.zero_density > 0:
            return -np.inf
        # A sample without any of the rows that have nearly all the weight may weigh next to nothing: the quotient of
        # Python's numbers may be infinite.
        weight = float(self.weight)
        return (float(self.loglik) + float(self.log_prior)) / weight if weight else np.nan

    @property
    def occupancy(self) -> np.ndarray:
        """Expected number of rows (K,) that the family's statistics of each component hold."""
        return np.asarray(self.family.n)

    def by_component(self, factors: np.ndarray) -> Self:
        """Scale the family's statistics only: what the components share stays as it is."""
        return self._replace(family=self.family.by_component(factors))

    def aligned(self, other: Self) -> Self:
        return self._replace(latent=self.latent.aligned(other.latent), family=self.family.aligned(other.family))

    def with_lanes(self, n_lanes: int) -> Self:
        zeros = np.zeros(n_lanes)
        return self._replace(
            loglik=zeros,
            weight=zeros.copy(),
            zero_density=zeros.copy(),
            log_prior=zeros.copy(),
            latent=self.latent.with_lanes(n_lanes),
            family=self.family.with_lanes(n_lanes),
        )


class Repair(NamedTuple):
    """What an M-step did to keep a component proper.

    Attributes
    ----------
    component : int
        Index of the component; -1 when all of them share the parameter.
    cause : {"empty", "collapsed", "undetermined"}
    remedy : str
        What was done, in a user's words.
    """

    component: int
    cause: str
    remedy: str
