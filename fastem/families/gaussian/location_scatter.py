"""A location and a scatter: what densities of squared distances share, whatever the covariance structure.

A density is a subclass of `LocationScatter`: it says what becomes of Mahalanobis' squared distance of a row. The
structure of its covariances is a value of the field `covariance_type`. Any density has any structure.
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from fastem._naming import named
from fastem._text import unknown_choice
from fastem.families._marginal import Marginal
from fastem.families.gaussian.conditional import conditionals
from fastem.families.gaussian.full import Full
from fastem.families.gaussian.moments import Pivoted, central_moments
from fastem.families.gaussian.tangents import Tangents
from fastem.families.gaussian.tied import Tied
from fastem.families.gaussian.variances import Diag, Spherical
from fastem.passes.blocks import register_family
from fastem.passes.rows import plain
from fastem.stats import Repair

Covariance = Full | Tied | Diag | Spherical
STRUCTURES: dict[str, Covariance] = {each.name: each for each in (Full(), Tied(), Diag(), Spherical())}

# The statistics of rows of any density.
OF_ROWS = "n", "sx", "sxx", "scatter_rows", "pivot"

# Values that make a variance more than so many times larger are no part of the scale of the data.
STRAYED = 1.5


class Records(NamedTuple):
    """The records of a density with one structure: their classes are what a pass is compiled for.

    `gaps_params` are parameters for rows with missing values.
    """

    params: Any
    stats: Any
    gaps_params: Any


def records(
    density: str,
    module: str,
    covariance_type: str,
    blocks: Any,
    blocks_with_gaps: Any,
    more: tuple[str, ...] = (),
    by_count: tuple[str, ...] = (),
    learnt: tuple[str, ...] = (),
) -> Records:
    """Make the records of a density with a structure, and register what is compiled for them.

    The names of the classes begin with `density`; pickle finds them in `module`. `blocks` makes `log_prob_block` and
    `accumulate_block` from a structure, and `blocks_with_gaps` those for rows with missing values. Parameters have the
    fields `more`, (1,) each, besides those of the structure, and statistics the fields `learnt`, (K,) each. Parameters
    for rows with missing values have the fields `by_count`, too, (D + 1,) each, by the number of values a row misses.
    """
    structure, name = STRUCTURES[covariance_type], f"{density}{covariance_type.capitalize()}"

    def shapes(self: Any, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        return (*structure.shapes(k, d), *[(1,)] * len(more))

    def shapes_with_gaps(self: Any, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        more_shapes = *[(1,)] * len(more), *[(d + 1,)] * len(by_count)
        return (*structure.shapes(k, d), *structure.gap_shapes(k, d), *more_shapes)

    def kind(name: str, fields: tuple[str, ...], *bases: type, **members: Any) -> Any:
        base = namedtuple(name, fields)  # type: ignore[misc]
        return type(name, (*bases, base), {"__slots__": (), "__module__": module, **members})

    params = kind(f"{name}Params", (*structure.fields, *more), shapes=shapes)
    gap_fields = (*structure.fields, *structure.gap_fields, *more, *by_count)
    gaps_params = kind(f"{name}GapsParams", gap_fields, shapes=shapes_with_gaps)
    of_rows = (*OF_ROWS, *learnt)
    for record, make in ((params, blocks), (gaps_params, blocks_with_gaps)):
        log_prob_block, accumulate_block = make(structure)
        register_family(record, log_prob_block=log_prob_block, accumulate_block=accumulate_block)
    return Records(params, kind(f"{name}Stats", of_rows, structure.moments), gaps_params)


class LocationScatter(Tangents):
    """Common part of the densities of a squared distance; its parameters are those of `Known`."""

    # Records by covariance type.
    records: ClassVar[dict[str, Records]]

    def __post_init__(self) -> None:
        if not isinstance(self.covariance_type, str) or self.covariance_type not in STRUCTURES:
            raise ValueError(unknown_choice(named("covariance_type"), self.covariance_type, STRUCTURES))

    # What a density says of itself.

    def log_density(self, params: Any, squares: np.ndarray) -> np.ndarray:
        """Log-densities (K, N), in nats, at squared distances (K, N)."""
        raise NotImplementedError

    def noise(self, n_rows: int, random: np.random.Generator) -> np.ndarray:
        """Rows (n_rows, D) at the origin, of unit scatter."""
        return random.standard_normal((n_rows, self.n_features))

    def marginal_of(self, means: np.ndarray, sds: np.ndarray) -> Marginal:
        """One column of locations and scales (K,)."""
        raise NotImplementedError

    def more_fields(self, log_norm: np.ndarray) -> dict[str, np.ndarray]:
        """Fields of the parameters that are not those of a Gaussian whose `log_norm` is given."""
        return {}

    # What follows from it.

    @property
    def kind(self) -> str:
        return f"{super().kind} ({self.covariance_type})"

    @property
    def groups_patterns(self) -> bool:  # type: ignore[override]
        return self.structure.is_matrix and self.n_features > 1

    @property
    def structure(self) -> Covariance:
        return STRUCTURES[self.covariance_type]

    def _params(self, means: np.ndarray, covariances: np.ndarray, factors: np.ndarray) -> Any:
        fields = self.structure.record(means, covariances, factors)
        if self.has_gaps:
            fields |= self.structure.gap_record(factors)
        fields |= self.more_fields(fields["log_norm"])
        kinds = self.records[self.covariance_type]
        record = kinds.gaps_params if self.has_gaps else kinds.params
        return record(**{name: plain(field) for name, field in fields.items()})

    def covariance_shape(self) -> tuple[int, ...]:
        return self.structure.shape(self.n_components, self.n_features)

    def n_parameters(self) -> int:
        n_covariance = self.structure.n_parameters(self.n_components, self.n_features)
        n_means = self.n_components * self.n_features
        if self.fixed_means is not None:
            n_means = int(np.isnan(self.fixed_means).sum())
        if self.fixed_covariances is not None:
            free = np.isnan(self.fixed_covariances)
            n_covariance = round(n_covariance * free.sum() / free.size)
        return n_means + n_covariance

    def log_prob(self, params: Any, X: np.ndarray) -> np.ndarray:
        """Log-densities (K, N) of rows X (N, D), in nats, by NumPy: nothing is compiled for it."""
        white = self.structure.whitened(params, X - params.means[:, None, :])
        return self.log_density(params, np.square(white).sum(axis=2))

    def sample(self, params: Any, component: int, n_rows: int, random: np.random.Generator) -> np.ndarray:
        noise = self.noise(n_rows, random)
        return params.means[component] + self.structure.coloured(params, component, noise)

    def completed(
        self, params: Any, component: int, X: np.ndarray, random: np.random.Generator | None = None
    ) -> np.ndarray:
        filled, mean = np.array(X, dtype=np.float64), params.means[component]
        for of_rows in conditionals(filled - mean, self.white_axes(params)[component]):
            values = of_rows.means
            if random is not None:
                scale = self.conditional_scale(of_rows.squares, of_rows.n_seen, random)
                noise = random.standard_normal(values.shape) * scale[:, None]
                values = values + (of_rows.roots @ noise[:, :, None])[:, :, 0]
            filled[of_rows.rows[:, None], of_rows.features] = mean[of_rows.features] + values
        return filled

    def conditional_covariances(self, params: Any, component: int, X: np.ndarray) -> np.ndarray:
        """Covariances (N, D, D) of what rows X (N, D) miss under a component, given what is there; zero elsewhere."""
        covariances = np.zeros((*X.shape, X.shape[1]))
        for found in conditionals(X - params.means[component], self.white_axes(params)[component]):
            ratio = self.conditional_variance(found.squares, found.n_seen)[:, None, None]
            rows, features = found.rows[:, None, None], found.features
            matrices = ratio * (found.roots @ np.swapaxes(found.roots, 1, 2))
            covariances[rows, features[:, :, None], features[:, None, :]] = matrices
        return covariances

    def conditional_variance(self, squares: np.ndarray, n_seen: int) -> np.ndarray:
        """The mean (N,) of the squares of `conditional_scale`."""
        return np.ones(len(squares))

    def conditional_scale(self, squares: np.ndarray, n_seen: int, random: np.random.Generator) -> np.ndarray:
        """By how much (N,) draws of what is missing spread, at squared distances (N,) of the features that are there.

        In units of the conditional covariances of a Gaussian.
        """
        return np.ones(len(squares))

    def marginal(self, params: Any, column: int) -> Marginal:
        axis = np.eye(self.n_features)[column : column + 1]
        return self.marginal_of(params.means[:, column], np.sqrt(self.projected(params, axis)[:, 0, 0]))

    def projected(self, params: Any, axes: np.ndarray) -> np.ndarray:
        return self.structure.projected(params, axes)

    def zero_stats(self, pivot: np.ndarray) -> Any:
        """An empty record about the pivot (K, D)."""
        k, stats_class = len(pivot), self.records[self.covariance_type].stats
        more = [np.zeros(k)] * (len(stats_class._fields) - len(OF_ROWS))
        sums = np.zeros(k), np.zeros(pivot.shape), np.zeros(self.covariance_shape()), np.zeros(k)
        return stats_class(*sums, pivot, *more)

    def zero_stats_like(self, params: Any) -> Any:
        return self.zero_stats(params.means)

    def scatter_of(self, covariances: np.ndarray, n: np.ndarray) -> np.ndarray:
        """Scatter of `n` (K,) rows of the components about their means."""
        return self.structure.scatter_of(covariances, n, self.n_features)

    def stats_of(self, params: Any, n: np.ndarray) -> Any:
        return self.zero_stats_like(params).with_rows(n, sxx=self.scatter_of(params.covariances, n))

    def params(self, means: np.ndarray, covariances: np.ndarray) -> Any:
        """Parameters from means (K, D) and covariances of `covariance_shape()`.

        Raises
        ------
        numpy.linalg.LinAlgError
            When a covariance is not positive definite.
        """
        return self._params(means, covariances, self.structure.proper_factors(covariances))

    def proper_params(self, means: np.ndarray, covariances: np.ndarray) -> Any:
        """Parameters from those that are known, to the bits that an M-step gave them; raises as `params` does."""
        if self.variance_floor is None:
            return self.params(means, covariances)
        # A floor would hide variances that are negative in some direction, by more than rounding.
        negative = self.structure.is_negative(covariances)
        if negative.any():
            raise np.linalg.LinAlgError(f"the covariance of component {np.argmax(negative)} is not positive definite")
        covariances, factors, _ = self.structure.floored(covariances, self.variance_floor)
        return self._params(means, covariances, factors)

    def rebuilt(self, params: Any) -> Any:
        return self.proper_params(params.means, params.covariances)

    def neutral_params(self, centre: np.ndarray) -> Any:
        means = np.repeat(centre[None, :], self.n_components, axis=0)
        covariance = self.structure.unit(self.n_features)
        if self.has_gaps and self.data_covariance is not None:
            # Missing values count as what these parameters expect of them.
            covariance = self.data_covariance
        return self.params(means, np.broadcast_to(covariance, self.covariance_shape()).copy())

    def m_step(self, stats: Any, params: Any) -> tuple[Any, list[Repair]]:
        """Weighted means and covariances (Bishop 2006, eq. 9.24-9.25), at least the floor; of no rows, those given."""
        moments = central_moments(stats, self.fixed_means)
        if moments.bare.all() and not moments.total:
            return params, []
        covariances = self.structure.estimate(moments, self.n_features)
        if self.reg_covar:
            covariances = covariances + self.reg_covar * self.structure.unit(self.n_features)
        covariances, factors, lifted = self.structure.floored(self._with_fixed(covariances), self.variance_floor)
        repairs = _repairs(moments.empty, lifted) if lifted.any() or moments.empty.any() else []
        return self._params(moments.means, covariances, factors), repairs

    def mean_of(self, stats: Pivoted) -> np.ndarray:
        return stats.pivot[0] + stats.sx[0] / stats.mass[0]

    def _with_fixed(self, covariances: np.ndarray) -> np.ndarray:
        if self.fixed_covariances is None:
            return covariances
        return np.where(np.isnan(self.fixed_covariances), covariances, self.fixed_covariances)

    def data_scale(self) -> np.ndarray:
        """Standard deviations (D,) of the features, or ones where they are not known."""
        if self.data_covariance is None:
            return np.ones(self.n_features)
        single = self.structure.as_single(self.data_covariance)
        return np.sqrt(self.structure.column_variances(single, self.n_features))

    def to_unconstrained(self, params: Any) -> np.ndarray:
        """Means and factors of the covariances, their diagonals by logarithm, in units of the data's spread."""
        scale = self.data_scale()
        return np.concatenate([(params.means / scale).ravel(), self.structure.to_unconstrained(params, scale)])

    def from_unconstrained(self, point: np.ndarray) -> Any:
        scale, n_means = self.data_scale(), self.n_components * self.n_features
        means = point[:n_means].reshape(self.n_components, self.n_features) * scale
        if self.fixed_means is not None:
            means = np.where(np.isnan(self.fixed_means), means, self.fixed_means)
        covariances = self.structure.from_unconstrained(point[n_means:], scale, self.covariance_shape())
        covariances, factors, _ = self.structure.floored(self._with_fixed(covariances), self.variance_floor)
        return self._params(means, covariances, factors)

    def may_stray(self) -> np.ndarray:
        return np.ones(self.n_features, dtype=bool)

    def _sample_variances(self, stats: Pivoted) -> np.ndarray:
        covariances = self.structure.estimate(central_moments(stats), self.n_features)
        return self.structure.column_variances(covariances, self.n_features)

    def with_bulk(self, stats: Pivoted, bulk: Pivoted) -> Pivoted:
        """The bulk counts where far values make the variance of a feature another one."""
        own, near = self._sample_variances(stats), self._sample_variances(bulk)
        return bulk if np.any((near > 0.0) & ~(own <= STRAYED * near)) else stats

    def with_data_scale(self, stats: Pivoted, floor_ratio: float = 1e-10) -> Self:
        """This family with the variance floor that suits data of the given one-component statistics.

        The floor is `floor_ratio` times the variance of each feature, but never below the resolution of
        float64 at the feature's mean. A constant feature takes the floor of an average feature.
        """
        moments = central_moments(stats)
        variances = np.maximum(self._sample_variances(stats), 0.0)
        gradient_rounding = np.square(4.0 * np.finfo(np.float64).eps * np.abs(moments.means[0]))
        varied = variances > gradient_rounding
        typical = variances[varied].mean() if varied.any() else 1.0
        floor = np.maximum(floor_ratio * np.where(varied, variances, typical), gradient_rounding)
        floor = np.maximum(floor, np.finfo(np.float64).tiny)
        covariances, _, _ = self.structure.floored(self.structure.estimate(moments, self.n_features), floor)
        return replace(self, variance_floor=floor, data_covariance=self.structure.one(covariances))


def _repairs(empty: np.ndarray, lifted: np.ndarray) -> list[Repair]:
    """Report empty components (K,) and lifted covariances, (K,) or (1,) when all components share one."""
    own = lifted.size == empty.size
    return [
        Repair(int(k), "empty", "kept its mean and took the pooled covariance of the other components")
        for k in np.flatnonzero(empty)
    ] + [
        Repair(int(k) if own else -1, "collapsed", "its smallest variances were lifted to the variance floor")
        for k in np.flatnonzero(lifted & ~empty if own else lifted)
    ]
