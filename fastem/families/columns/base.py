"""What the families of independent columns share: their records, and the block operations, compiled once for all.

Each column is one of three forms, which the parameters list: linear (counts, binary and positive numbers), squared
(normal numbers) or coded (categories). A family of one kind has columns of one form; a product joins them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

from fastem.families._marginal import Marginal
from fastem.families.columns.blocks import (
    NO_EXPOSURE,
    add_count_terms,
    add_linear,
    add_of_codes,
    count_codes,
    exclude,
    has_large_counts,
    read_codes,
    read_exposure,
    subtract_deviances,
    subtract_squares,
    sum_linear,
    sum_squares,
)
from fastem.families.columns.gradients import ColumnMoves
from fastem.families.gaussian.family import STRAYED
from fastem.families.gaussian.moments import MIN_OCCUPANCY, Pivoted
from fastem.families.gaussian.tiles import sum_block
from fastem.passes.blocks import register_family
from fastem.passes.rows import plain
from fastem.stats import Rescue

# The least and largest positive parameters: their logarithms and sums are finite.
TINY, HUGE = float(np.finfo(np.float64).tiny), 1e300


class ColumnParams(NamedTuple):
    """Parameters of K components for D columns; L of these are linear, Q squared, C coded with S categories in all.

    Shapes::

        means              (K, D)  of each column; zero for coded ones
        base               (K,)    what the log-density of each row has of the component alone
        linear             (L,)    int64, these columns; counts come last
        slope              (K, L)  log-density per unit of the column
        required           (K, L)  the only value that is possible, zero for a rate of zero; -1 where there are others
        counted            (P,)    int64, the columns that are counts
        total              (K,)    sum of the means of counts, for one unit of exposure
        exposure           (1,)    int64, the column that multiplies the means of counts, or NO_ or TOTAL_EXPOSURE
        squared            (Q,)    int64
        variances          (K, Q)
        inverse_sd         (K, Q)
        coded              (C,)    int64
        first_code         (C + 1,) int64, where the categories of each column begin
        probabilities      (K, S)
        log_probabilities  (K, S)  minus infinity for categories that are impossible
    """

    means: np.ndarray
    base: np.ndarray
    linear: np.ndarray
    slope: np.ndarray
    required: np.ndarray
    counted: np.ndarray
    total: np.ndarray
    exposure: np.ndarray
    squared: np.ndarray
    variances: np.ndarray
    inverse_sd: np.ndarray
    coded: np.ndarray
    first_code: np.ndarray
    probabilities: np.ndarray
    log_probabilities: np.ndarray

    def shapes(self, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the fields for k components and d columns, of as many of each form as the lists name."""
        n_linear, n_squared, n_coded = self.linear.size, self.squared.size, self.coded.size
        n_categories = self.log_probabilities.size // k
        linear, squared, categories = (k, n_linear), (k, n_squared), (k, n_categories)
        # Counts are among the linear columns.
        lists = (n_linear,), (min(self.counted.size, n_linear),), (n_squared,), (n_coded,)
        return (
            (k, d), (k,), lists[0], linear, linear, lists[1], (k,), (1,), lists[2], squared, squared, lists[3],
            (n_coded + 1,), categories, categories,
        )  # fmt: skip


def column_params(means: np.ndarray, **fields: Any) -> ColumnParams:
    """Parameters of the given fields; what is not given is empty, or zero."""
    k = means.shape[0]
    nothing, nowhere = np.empty((k, 0)), np.empty(0, dtype=np.int64)
    every: dict[str, Any] = {
        "means": means,
        "base": np.zeros(k),
        "linear": nowhere,
        "slope": nothing,
        "counted": nowhere,
        "total": np.zeros(k),
        "exposure": np.array([NO_EXPOSURE]),
        "squared": nowhere,
        "variances": nothing,
        "inverse_sd": nothing,
        "coded": nowhere,
        "first_code": np.zeros(1, dtype=np.int64),
        "probabilities": nothing,
        "log_probabilities": nothing,
        **fields,
    }
    every.setdefault("required", np.full_like(every["slope"], -1.0))
    return ColumnParams(**{name: plain(value) for name, value in every.items()})


class _ColumnFields(NamedTuple):
    n: np.ndarray
    pseudo: np.ndarray
    exposure: np.ndarray
    sums: np.ndarray
    codes: np.ndarray
    sx: np.ndarray
    sxx: np.ndarray
    dof: np.ndarray
    pivot: np.ndarray


class ColumnStats(Pivoted, _ColumnFields):
    """Statistics of K components for columns of the forms of `ColumnParams`.

    Shapes::

        n              (K,)    sum of resp
        pseudo         (K,)    rows that count for linear and coded columns only; data have none, a prior may
        exposure       (K,)    sum of resp * exposure
        sums           (K, L)  sum of resp * x
        codes          (K, S)  sum of resp of the rows of each category
        sx, sxx        (K, Q)  sums of resp * (x - pivot), and of its square
        dof            (K,)    rows that count for variances only, likewise
        pivot          (K, Q)  the component's means when the sums were taken
    """

    __slots__ = ()

    def shapes(self, params: ColumnParams, k: int, n_lanes: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the fields with so many lanes, for rows of k components with these parameters."""
        each, squared = (n_lanes, k), (n_lanes, *params.variances.shape)
        sums, codes = (n_lanes, *params.slope.shape), (n_lanes, *params.probabilities.shape)
        return each, each, each, sums, codes, squared, squared, each, params.variances.shape

    @property
    def rows(self) -> np.ndarray:
        """Rows (K,) that sums and counts of codes are divided by."""
        return self.n + self.pseudo

    @staticmethod
    def spread(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a * b


def zero_column_stats(params: ColumnParams) -> ColumnStats:
    """An empty record for the statistics of an E-step at these parameters."""
    n, pseudo, exposure, dof = np.zeros((4, params.means.shape[0]))
    lines = (params.slope, params.log_probabilities, params.variances, params.variances)
    sums, codes, sx, sxx = map(np.zeros_like, lines)
    pivot = np.ascontiguousarray(params.means[:, params.squared])
    return ColumnStats(n, pseudo, exposure, sums, codes, sx, sxx, dof, pivot)


def column_stats_of(params: ColumnParams, n: np.ndarray) -> ColumnStats:
    """Statistics of `n` (K,) rows of the components, of which an M-step makes these parameters."""
    rows = n[:, None]
    return zero_column_stats(params)._replace(
        n=n,
        exposure=n,
        sums=params.means[:, params.linear] * rows,
        codes=params.probabilities * rows,
        sxx=params.variances * rows,
    )


def column_log_prob(params: ColumnParams, stats: ColumnStats) -> float:
    """Sum of the log-densities of rows of these statistics, without what does not depend on the parameters."""
    squares = stats.about(params.means[:, params.squared]).sxx * np.square(params.inverse_sd)
    by_component = stats.rows * params.base - stats.exposure * params.total
    # Of what is impossible, and was not seen, there is nothing to say.
    codes = stats.codes * np.where(stats.codes != 0, params.log_probabilities, 0.0)
    # Sums are of the same rows, in another order.
    expected = params.required * stats.rows[:, None]
    excluded = (params.required >= 0) & (np.abs(stats.sums - expected) > 1e-9 * np.abs(stats.rows[:, None]))
    by_column = (np.where(excluded, -np.inf, stats.sums * params.slope), codes, -0.5 * squares)
    return float(by_component.sum() + sum(part.sum() for part in by_column))


def filled(stats: ColumnStats) -> tuple[ColumnStats, list[Rescue]]:
    """Statistics in which an empty component has those of all rows, and word of it."""
    empty = stats.rows <= MIN_OCCUPANCY * stats.rows.sum()
    if not empty.any():
        return stats, []
    pooled = stats._map(lambda a: np.where(empty.reshape(-1, *[1] * (a.ndim - 1)), a.sum(axis=0), a))
    # Without any rows at all there is nothing to divide by.
    n, exposure = (np.where(pooled.rows > 0, field, 1.0) for field in (pooled.n, pooled.exposure))
    pooled = pooled._replace(n=n, exposure=exposure)
    return pooled, [Rescue(int(k), "empty", "took the distribution of all rows") for k in np.flatnonzero(empty)]


@dataclass(frozen=True, eq=False)
class Columns(ColumnMoves):
    """Common part of the families of independent columns of one kind.

    Parameters
    ----------
    n_components, n_features : int
    prior_weight : float
        Pseudo-rows that each component has been given before the data: a conjugate prior, whose mode they are.
    prior_mean : ndarray, optional
        Their mean; by default that of the data (see `scaled_to`), and without data there is no prior.
    """

    n_components: int
    n_features: int
    prior_weight: float = 0.0
    prior_mean: np.ndarray | None = None

    # What a family says of itself.

    def params(self, values: np.ndarray) -> ColumnParams:
        """Parameters from the family's own, as they are given: means (K, D), or probabilities (K, S) in any scale."""
        return self.record(self.proper(values))

    def estimated(self, values: np.ndarray) -> ColumnParams:
        """Parameters from estimates: what was not seen is no reason to hold it impossible."""
        return self.record(self.floored(self.proper(values)))

    def record(self, values: np.ndarray) -> ColumnParams:
        """The record of proper values."""
        raise NotImplementedError

    def proper(self, values: np.ndarray) -> np.ndarray:
        """The family's own parameters, in their scale."""
        return np.clip(values, 0.0, HUGE)

    def floored(self, values: np.ndarray) -> np.ndarray:
        """Proper values, none of which excludes anything."""
        return np.maximum(values, TINY)

    def values_of(self, params: ColumnParams) -> np.ndarray:
        """The family's own parameters."""
        return params.means

    def rebuilt(self, params: ColumnParams) -> ColumnParams:
        """Parameters made anew from the family's own in a record alone."""
        return self.record(self.values_of(params))

    def values_shape(self) -> tuple[int, int]:
        """Shape of the family's own parameters."""
        return self.n_components, self.n_features

    def estimate(self, stats: ColumnStats) -> np.ndarray:
        """The family's own parameters of highest likelihood; every component has rows."""
        raise NotImplementedError

    def to_coordinates(self, values: np.ndarray) -> np.ndarray:
        """Unconstrained coordinates of the family's own parameters, in which the likelihood bends about alike."""
        return np.sqrt(values)

    def from_coordinates(self, coordinates: np.ndarray) -> np.ndarray:
        """The family's own parameters from coordinates of any size."""
        return np.clip(np.abs(coordinates), np.sqrt(TINY), np.sqrt(HUGE)) ** 2

    def moments(self, params: ColumnParams) -> tuple[np.ndarray, np.ndarray]:
        """Means and variances (K, D) of each column under each component; NaN for categories."""
        raise NotImplementedError

    def marginal(self, params: ColumnParams, column: int) -> Marginal:
        """One column under each component.

        Raises
        ------
        ValueError
            Where it has no distribution of its own.
        """
        raise NotImplementedError

    def outside(self, X: np.ndarray) -> np.ndarray:
        """Which values of X (N, D) no row can have, (N, D) bool; all are finite."""
        raise NotImplementedError

    def support(self, column: int) -> str:
        """What a value of the column must be, in words."""
        raise NotImplementedError

    def features(self, X: np.ndarray) -> np.ndarray:
        """Rows X (N, D) as points between which distances mean something, for starts."""
        return X

    def n_parameters(self) -> int:
        """Number of free parameters."""
        return self.n_components * self.n_features

    def sample(self, params: ColumnParams, component: int, n_rows: int, random: np.random.Generator) -> np.ndarray:
        """Draw rows (n_rows, D) of one component."""
        raise NotImplementedError

    # What follows from it.

    def constraints(self) -> dict[str, np.ndarray]:
        """What `scaled_to` learnt from the data, by name."""
        return {} if self.prior_mean is None else {"prior_mean": self.prior_mean}

    def with_components(self, n_components: int) -> Self:
        """This family with another number of components."""
        return replace(self, n_components=n_components)

    def constrained(self, constraints: dict[str, Any]) -> Self:
        """This family with what another one of the same kind learnt."""
        return replace(self, **constraints)

    def first_look(self, centre: np.ndarray) -> ColumnParams:
        """Parameters to gather first statistics with: every component at `centre` (D,)."""
        return self.estimated(np.repeat(centre[None, :], self.n_components, axis=0))

    def zero_stats_like(self, params: ColumnParams) -> ColumnStats:
        """An empty record for the statistics of an E-step at these parameters."""
        return zero_column_stats(params)

    def stats_of(self, params: ColumnParams, n: np.ndarray) -> ColumnStats:
        """Statistics of `n` (K,) rows of the components, of which an M-step makes these parameters."""
        return column_stats_of(params, n)

    def m_step(self, stats: ColumnStats) -> tuple[ColumnParams, list[Rescue]]:
        """Parameters of highest expected likelihood; an empty component takes those of all rows."""
        stats, rescues = filled(stats)
        return self.estimated(self.estimate(stats)), rescues + self.collapsed(stats)

    def collapsed(self, stats: ColumnStats) -> list[Rescue]:
        """Word of the components that have no likelihood maximum; every component has rows."""
        return []

    def centre_of(self, stats: ColumnStats) -> np.ndarray:
        """Mean (D,) of the rows of one-component statistics; zero where it means nothing."""
        return self.m_step(stats)[0].means[0]

    def may_stray(self) -> np.ndarray:
        """In which columns (D,) single values may lie far from all others."""
        return np.zeros(self.n_features, dtype=bool)

    def with_bulk(self, stats: ColumnStats, bulk: ColumnStats) -> ColumnStats:
        """One-component statistics that tell the scale of the data: of all rows, or of their bulk.

        The bulk counts where far values make the mean of a column another one.
        """
        own, near = stats.sums / stats.rows[:, None], bulk.sums / bulk.rows[:, None]
        return bulk if np.any((near > 0.0) & ~(own <= STRAYED * near)) else stats

    def scaled_to(self, stats: ColumnStats, floor_ratio: float = 0.0) -> Self:
        """This family with what it takes from data of the given one-component statistics: the mean of its prior."""
        if self.prior_mean is not None:
            return self
        return replace(self, prior_mean=self.values_of(self.m_step(stats)[0])[0])

    def cautious(self) -> Self:
        """This family with a prior of at least one row, so that no component of a small sample excludes a value."""
        return replace(self, prior_weight=max(self.prior_weight, 1.0))

    def at_start(self) -> Self:
        """The family to start with: what is excluded by a few rows of a component would stay excluded for ever."""
        return self.cautious()

    def prior_stats(self, weight: float) -> ColumnStats | None:
        """The prior's pseudo-rows, to be added to the statistics of rows of so much weight; None without a prior."""
        if self.prior_weight == 0.0 or self.prior_mean is None:
            return None
        params = self.estimated(np.repeat(self.prior_mean[None], self.n_components, axis=0))
        rows = np.full(self.n_components, float(self.prior_weight))
        return self.stats_of(params, rows)._replace(n=np.zeros_like(rows), pseudo=rows)

    def log_prior(self, params: ColumnParams, weight: float) -> float:
        """Logarithm of the prior's density at these parameters, up to a constant, in nats."""
        stats = self.prior_stats(weight)
        return 0.0 if stats is None else self.expected_log_prob(params, stats)

    def expected_log_prob(self, params: ColumnParams, stats: ColumnStats) -> float:
        """Sum of the log-densities, in nats, that rows of these statistics have under the components they belong to.

        Without what does not depend on the parameters (factorials of counts).
        """
        return column_log_prob(params, stats)

    def coordinates(self, params: ColumnParams) -> np.ndarray:
        """Unconstrained coordinates (P,) of the parameters: any such vector gives parameters."""
        return self.to_coordinates(self.values_of(params)).ravel()

    def roots(self) -> np.ndarray:
        """Which coordinates (P,) are square roots of values that must not be negative."""
        is_root = type(self).to_coordinates is Columns.to_coordinates
        return np.full(int(np.prod(self.values_shape())), is_root)

    def at_coordinates(self, vector: np.ndarray) -> ColumnParams:
        """Parameters from coordinates (P,)."""
        return self.estimated(self.from_coordinates(vector.reshape(self.values_shape())))


def _log_prob_block(family_params, components, x, log_prob, scratch):
    p = family_params
    n_rows = log_prob.shape[1]
    row_term, exposure, log_exposure = scratch[0], scratch[1], scratch[2]
    place, counted = p.exposure[0], p.counted
    for i in range(n_rows):
        row_term[i] = 0.0
        exposure[i] = 0.0
    are_large = False
    if counted.shape[0] > 0:
        read_exposure(x, place, counted, exposure, log_exposure)
        are_large = has_large_counts(x, counted)
        add_count_terms(x, counted, are_large, exposure, log_exposure, place, row_term)
    for c in range(p.coded.shape[0]):
        first = p.first_code[c]
        read_codes(x[p.coded[c]], first, p.first_code[c + 1] - first, scratch[3 + c].view(np.int64), row_term)
    n_linear = p.linear.shape[0] - (counted.shape[0] if are_large else 0)
    for a in range(components.shape[0]):
        k = components[a]
        total = 0.0 if are_large else p.total[k]
        for i in range(n_rows):
            log_prob[a, i] = row_term[i] + (p.base[k] - exposure[i] * total)
        add_linear(x, p.linear[:n_linear], p.slope[k], log_prob[a])
        if are_large:
            subtract_deviances(x, counted, p.means[k], p.slope[k, n_linear:], exposure, log_exposure, log_prob[a])
        exclude(x, p.linear, p.required[k], log_prob[a])
        subtract_squares(x, p.squared, p.means[k], p.inverse_sd[k], log_prob[a])
        for c in range(p.coded.shape[0]):
            add_of_codes(scratch[3 + c].view(np.int64), p.log_probabilities[k], log_prob[a])


def _accumulate_block(family_params, components, x, resp, scratch, family_stats, lane):
    p = family_params
    exposure, log_exposure = scratch[0], scratch[1]
    place = p.exposure[0]
    if place != NO_EXPOSURE:
        read_exposure(x, place, p.counted, exposure, log_exposure)
    for c in range(p.coded.shape[0]):
        first = p.first_code[c]
        read_codes(x[p.coded[c]], first, p.first_code[c + 1] - first, scratch[3 + c].view(np.int64), scratch[2])
    for a in range(components.shape[0]):
        k = components[a]
        n = sum_block(resp[a])
        family_stats.n[lane, k] += n
        if place == NO_EXPOSURE:
            family_stats.exposure[lane, k] += n
        else:
            exposed = 0.0
            for i in range(resp.shape[1]):
                exposed += resp[a, i] * exposure[i]
            family_stats.exposure[lane, k] += exposed
        sum_linear(x, p.linear, resp[a], family_stats.sums[lane, k])
        sum_squares(x, p.squared, p.means[k], resp[a], family_stats.sx[lane, k], family_stats.sxx[lane, k])
        for c in range(p.coded.shape[0]):
            first = p.first_code[c]
            count_codes(
                scratch[3 + c].view(np.int64), first, p.first_code[c + 1] - first, resp[a], family_stats.codes[lane, k]
            )


register_family(ColumnParams, log_prob_block=_log_prob_block, accumulate_block=_accumulate_block)
