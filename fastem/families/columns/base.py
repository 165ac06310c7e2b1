"""What the families of independent columns share: everything that follows from a family's terms."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from fastem._options import Value
from fastem.families._marginal import Marginal
from fastem.families._value import require_not_negative
from fastem.families.columns.blocks import NO_EXPOSURE, PLAIN, transformed
from fastem.families.columns.gaps import column_gaps_params
from fastem.families.columns.gradients import ColumnTangents
from fastem.families.columns.records import ColumnParams, ColumnStats, column_params, filled
from fastem.families.gaussian.location_scatter import STRAYED
from fastem.stats import Repair

# The least and largest positive parameters: their logarithms and sums are finite.
TINY, HUGE = float(np.finfo(np.float64).tiny), 1e300
# Values to coordinates of any size and back, by name.
_TO_COORDINATES: dict[str, Any] = {"root": np.sqrt, "log": np.log, "angle": lambda values: np.arcsin(np.sqrt(values))}
_FROM_COORDINATES: dict[str, Any] = {
    "root": lambda point: np.clip(np.abs(point), np.sqrt(TINY), np.sqrt(HUGE)) ** 2,
    "log": lambda point: np.exp(np.clip(point, np.log(TINY), np.log(HUGE))),
    "angle": lambda point: np.sin(point) ** 2,
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Columns(ColumnTangents, Value):
    """Common part of the families of independent columns of one kind.

    The log-density of a row is ``sum slope * T(x) + base``, and the statistics are sums of T: all that a family says
    is which T each column has, how slopes and base follow from its own parameters, the *values* (K, V), what T is on
    average, and which values have given averages. The last columns may be covariates, which are no observations: an
    exposure multiplies what T is on average.

    Parameters
    ----------
    n_components, n_features : int
        Zero until an estimator gives the family its size.
    prior_weight : float
        Pseudo-rows that each component has been given before the data: a conjugate prior, whose mode they are.
    prior_mean : ndarray, optional
        Their values (V,); by default those of the data (see `with_data_scale`), and without data there is no prior.
    has_gaps : bool
        Whether rows may miss values, which are NaN.
    """

    n_components: int = field(default=0, repr=False)
    n_features: int = field(default=0, repr=False)
    prior_weight: float = 0.0
    prior_mean: np.ndarray | None = field(default=None, repr=False)
    has_gaps: bool = field(default=False, repr=False)

    # The functions T of each column: see `blocks.derive`. The plain one comes first.
    terms: ClassVar[tuple[int, ...]] = (PLAIN,)
    # The least and the largest values, by their names, that the arithmetic can take.
    ranges: ClassVar[tuple[tuple[float, float], ...]] = ((0.0, HUGE),)
    # Coordinates for acceleration, in which the likelihood bends about alike: "root", "log" or "angle".
    coordinate: ClassVar[str] = "root"
    # What a column must hold, in words.
    kind: ClassVar[str]
    # What values must be, in words.
    wanted: ClassVar[str] = "must not be negative"
    # Whether the columns hold integers.
    is_discrete: ClassVar[bool] = False
    # What an M-step did to values that `bounded` changed, in words.
    remedy: ClassVar[str] = ""
    # Whether single values may lie far from all others.
    strays: ClassVar[bool] = False
    # Makes of rows x (N, C), of counts for one unit of exposure, points (N, F) between which distances mean something.
    spread: ClassVar[Any] = staticmethod(np.asarray)

    def __post_init__(self) -> None:
        require_not_negative("prior_weight", self.prior_weight)

    # What a family says of itself. Its methods take values by their names, and averages of T: one array (K, C) each
    # for the C columns that are observed; and they give one array, or a tuple of these.

    @property
    def n_covariates(self) -> int:
        """Number of columns, the last ones, that are no observations."""
        return 0

    def slopes(self, *values: np.ndarray) -> Any:
        """Log-density per unit of each T."""
        raise NotImplementedError

    def base(self, *values: np.ndarray) -> np.ndarray:
        """What the log-density of each column has of the component alone."""
        return np.zeros_like(values[0])

    def fields(self, values: np.ndarray) -> dict[str, Any]:
        """Other fields of the record than terms, slopes and base."""
        return {}

    def averages(self, *values: np.ndarray) -> Any:
        """What each T is on average, for one unit of exposure."""
        return values

    def estimate(self, *averages: np.ndarray) -> Any:
        """The values of highest likelihood of rows whose T have these averages."""
        return averages

    def bounded(self, *values: np.ndarray) -> Any:
        """Estimates within the limits beyond which there is no likelihood maximum."""
        return values

    def variances(self, *values: np.ndarray) -> np.ndarray:
        """Variances of the columns, for one unit of exposure."""
        raise NotImplementedError

    def is_outside(self, x: np.ndarray) -> np.ndarray:
        """Which of the values x (N, C) no row can have, (N, C) bool; all are finite."""
        raise NotImplementedError

    def draw(self, values: Any, n_rows: int, random: np.random.Generator) -> np.ndarray:
        """Rows (n_rows, C) of one component, with an array (C,) for each name of values."""
        raise NotImplementedError

    def proper(self, values: np.ndarray) -> np.ndarray:
        """Values (K, V) within the limits of what the arithmetic can take, in their scale."""
        if len(self.ranges) == 1:
            return np.clip(values, *self.ranges[0])
        return np.clip(values, *np.repeat(self.ranges, values.shape[1] // len(self.ranges), axis=0).T)

    def are_proper(self, values: np.ndarray) -> bool:
        """Whether values that were given are proper as they are, to rounding."""
        proper = self.proper(values)
        return np.array_equal(np.sign(values), np.sign(proper)) and np.allclose(proper, values, rtol=1e-6, atol=TINY)

    def floored(self, values: np.ndarray) -> np.ndarray:
        """Proper values, none of which excludes anything: what was not seen is no reason to hold it impossible."""
        n = self.n_location_values(values)
        return (
            np.maximum(values, TINY) if n == 0 else np.concatenate([values[:, :n], np.maximum(values[:, n:], TINY)], 1)
        )

    def values_at(self, centre: np.ndarray) -> np.ndarray:
        """Values (V,) of rows about a centre (C,), as far from it as from zero."""
        centre = np.clip(centre, 1e-140, 1e140)
        return self.joined(self.of_moments(centre, np.square(centre)))

    def means(self, *values: np.ndarray) -> np.ndarray:
        found = self.averages(*values)
        return found[0] if isinstance(found, tuple) else found

    # Parameters.

    @property
    def n_observed(self) -> int:
        """Number of columns, the first ones, that are observations."""
        return self.n_features - self.n_covariates

    def values_shape(self) -> tuple[int, int]:
        return self.n_components, self.n_observed * len(self.shown)

    @cached_property
    def lists(self) -> dict[str, Any]:
        """Which columns the terms are made of, as fields of the record."""
        columns = np.arange(self.n_observed)
        derived = [transform for transform in self.terms if transform != PLAIN]
        plain = columns[: self.n_observed if PLAIN in self.terms else 0]
        return {
            "linear": np.concatenate([plain, np.arange(columns.size * len(derived))]),
            "source": np.tile(columns, len(derived)),
            "transform": np.repeat(np.array(derived, dtype=np.int64), columns.size),
        }

    def record(self, values: np.ndarray) -> ColumnParams:
        """The record of proper values; the mean of a covariate is one."""
        own = self.by_name(values)
        means = np.ones((values.shape[0], self.n_features))
        means[:, : self.n_observed] = self.means(*own)
        slope, base = self.joined(self.slopes(*own)), self.base(*own)
        fields = {"slope": slope, "base": base.sum(axis=1), **self.lists, **self.fields(values)}
        if not self.has_gaps:
            return column_params(means, values, **fields)
        # Of codes, whose base is zero, there are other numbers than of columns.
        bases = np.zeros_like(means)
        if base.any():
            bases[:, : self.n_observed] = base
        return column_gaps_params(means, values, bases, self.joined(self.averages(*own)), **fields)

    def params(self, values: np.ndarray) -> ColumnParams:
        """Parameters from the family's own, as they are given: probabilities in any scale."""
        return self.record(self.proper(values))

    def estimated(self, values: np.ndarray) -> ColumnParams:
        return self.record(self.floored(self.proper(values)))

    def rebuilt(self, params: ColumnParams) -> ColumnParams:
        if not self.are_proper(params.values):
            raise ValueError(f"{' and '.join(self.shown)} {self.wanted}.")
        return self.record(params.values)

    def neutral_params(self, centre: np.ndarray) -> ColumnParams:
        return self.estimated(np.tile(self.values_at(centre[: self.n_observed]), (self.n_components, 1)))

    # Statistics, and what an M-step makes of them.

    def stats_of(self, params: ColumnParams, n: np.ndarray) -> ColumnStats:
        sums = self.averages_of(params) * n[:, None]
        return self.zero_stats_like(params)._replace(n=n, exposure=n, sums=sums)

    def units(self, stats: ColumnStats) -> np.ndarray:
        """Sums (K,) of what multiplies the averages of T: rows, or their exposures."""
        return stats.rows

    def _best(self, stats: ColumnStats) -> tuple[np.ndarray, np.ndarray]:
        """The values (K, V) of highest likelihood, and those within limits; every component has rows."""
        units = self.units(stats)
        averages = stats.sums / np.where(units > 0, units, 1.0)[:, None]
        each = [averages] if len(self.terms) == 1 else np.split(averages, len(self.terms), axis=1)
        best = self.joined(self.estimate(*each))
        return best, self.joined(self.bounded(*self.by_name(best)))

    def m_step(self, stats: ColumnStats, params: ColumnParams) -> tuple[ColumnParams, list[Repair]]:
        """Parameters of highest expected likelihood; an empty component takes those of all rows."""
        stats, repairs = filled(stats)
        best, values = self._best(stats)
        lifted: Any = [] if values is best else np.flatnonzero((values != best).any(axis=1))
        return self.estimated(values), repairs + [Repair(int(k), "collapsed", self.remedy) for k in lifted]

    def of_one(self, stats: ColumnStats) -> ColumnParams:
        """Parameters that describe all rows of one-component statistics."""
        return self.estimated(self._best(filled(stats)[0])[1])

    def mean_of(self, stats: ColumnStats) -> np.ndarray:
        return self.of_one(stats).means[0]

    # The scale of the data, and priors.

    def may_stray(self) -> np.ndarray:
        # A count says nothing without its exposure.
        return np.full(self.n_features, self.strays and not self.n_covariates)

    def with_bulk(self, stats: ColumnStats, bulk: ColumnStats) -> ColumnStats:
        """The bulk counts where far values make the mean of a column another one."""
        own, near = self.mean_of(stats), self.mean_of(bulk)
        return bulk if np.any((near > 0.0) & ~(own <= STRAYED * near)) else stats

    def with_data_scale(self, stats: ColumnStats) -> Self:
        return self if self.prior_mean is not None else replace(self, prior_mean=self.of_one(stats).values[0])

    def constraints(self) -> dict[str, np.ndarray]:
        return {} if self.prior_mean is None else {"prior_mean": self.prior_mean}

    def regularised(self) -> Self:
        """This family with a prior of at least one row, so that no component of a small sample excludes a value."""
        return replace(self, prior_weight=max(self.prior_weight, 1.0))

    # What is excluded by a few rows of a component would stay excluded for ever.
    at_start = regularised

    def prior_stats(self, weight: float) -> ColumnStats | None:
        if self.prior_weight == 0.0 or self.prior_mean is None:
            return None
        params = self.estimated(np.tile(self.prior_mean, (self.n_components, 1)))
        rows = np.full(self.n_components, float(self.prior_weight))
        return self.stats_of(params, rows)._replace(n=np.zeros_like(rows), pseudo=rows)

    # Coordinates, for acceleration.

    def to_unconstrained(self, params: ColumnParams) -> np.ndarray:
        n = self.n_location_values(params.values)
        others = _TO_COORDINATES[self.coordinate](params.values[:, n:])
        return np.concatenate([params.values[:, :n], others], axis=1).ravel()

    def from_unconstrained(self, point: np.ndarray) -> ColumnParams:
        point = point.reshape(self.values_shape())
        n = self.n_location_values(point)
        return self.estimated(np.concatenate([point[:, :n], _FROM_COORDINATES[self.coordinate](point[:, n:])], axis=1))

    def roots(self) -> np.ndarray:
        roots = np.full(self.values_shape(), self.coordinate == "root")
        roots[:, : self.n_location_values(roots)] = False
        return roots.ravel()

    # Rows.

    def statistics(self, X: np.ndarray) -> np.ndarray:
        """The T (N, L) of rows X (N, D), whose sums are the statistics."""
        return np.concatenate([transformed(X[:, : self.n_observed], each) for each in self.terms], axis=1)

    def exposures(self, X: np.ndarray) -> np.ndarray:
        """What (N,) multiplies the averages of T in each row."""
        return X[:, -1] if self.n_covariates else np.ones(len(X))

    def needed(self, X: np.ndarray) -> np.ndarray | None:
        if not self.n_covariates:
            return None
        is_missing = np.isnan(X)
        is_missing[:, : self.n_observed] = False
        # A row without any value says nothing anyway.
        return is_missing & ~np.isnan(X).all(axis=1, keepdims=True)

    def why_needed(self, column: int) -> str:
        return "misses its exposure"

    def completed(
        self, params: ColumnParams, component: int, X: np.ndarray, random: np.random.Generator | None = None
    ) -> np.ndarray:
        filled = np.array(X, dtype=np.float64)
        observed, rows = filled[:, : self.n_observed], np.flatnonzero(np.isnan(filled).any(axis=1))
        if random is None:
            exposures = self.exposures(filled[rows])[:, None]
            known = exposures * params.means[component, : self.n_observed]
        else:
            known = self.draw_at(params.values[component], filled[rows], random)
        observed[rows] = np.where(np.isnan(observed[rows]), known, observed[rows])
        return filled

    def draw_at(self, values: np.ndarray, X: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Rows (N, C) of the observed columns under values (V,), for the exposures of rows X (N, D)."""
        return self.draw(self.by_name(values), len(X), random)

    def outside(self, X: np.ndarray) -> np.ndarray:
        observed, covariates = np.split(X, [self.n_observed], axis=1)
        return np.concatenate([self.is_outside(observed), covariates <= 0], axis=1)

    def support(self, column: int) -> str:
        return self.kind if column < self.n_observed else "a positive exposure"

    def features(self, X: np.ndarray) -> np.ndarray:
        x = X[:, : self.n_observed]
        return self.spread(x / X[:, -1:] if self.n_covariates else x)

    def moments(self, params: ColumnParams) -> tuple[np.ndarray, np.ndarray]:
        """Means and variances (K, D) of each column under each component; covariates do not vary."""
        variances = np.zeros_like(params.means)
        variances[:, : self.n_observed] = self.variances(*self.by_name(params.values))
        return params.means, variances

    def marginal(self, params: ColumnParams, column: int) -> Marginal:
        if self.n_covariates:
            raise ValueError("Counts with an exposure are distributed in another way in each row: there is no curve.")
        return self.curve(params.values, column)

    def curve(self, values: np.ndarray, column: int) -> Marginal:
        own = [value[:, column, None] for value in self.by_name(values)]
        slopes, base = self.slopes(*own), self.base(*own)

        def density(x: np.ndarray) -> np.ndarray:
            densities, inside = np.zeros((len(values), x.size)), ~self.is_outside(x[:, None])[:, 0]
            each = zip(slopes if isinstance(slopes, tuple) else (slopes,), self.terms, strict=True)
            log_density = sum((slope * transformed(x[inside], term) for slope, term in each), base)
            densities[:, inside] = np.exp(log_density)
            return densities

        return Marginal(density, self.means(*own)[:, 0], np.sqrt(self.variances(*own)[:, 0]))

    def sample(self, params: ColumnParams, component: int, n_rows: int, random: np.random.Generator) -> np.ndarray:
        drawn = self.draw(self.by_name(params.values[component]), n_rows, random)
        return np.concatenate([drawn, np.ones((n_rows, self.n_covariates))], axis=1)


class Counts(Columns):
    """Common part of the families of counts, which are Poisson given their exposure: values are means for one unit."""

    kind = "a count, an integer from 0 up"
    is_discrete = True

    def place_of_exposure(self) -> int:
        """The column of the exposure, or what stands for it."""
        return NO_EXPOSURE

    def slopes(self, values: np.ndarray) -> np.ndarray:
        return np.log(np.where(values == 0.0, 1.0, values))

    def fields(self, values: np.ndarray) -> dict[str, Any]:
        return {
            "required": np.where(values == 0.0, 0.0, -1.0),
            "counted": np.arange(self.n_observed),
            "total": values.sum(axis=1),
            "exposure": np.array([self.place_of_exposure()]),
        }

    def units(self, stats: ColumnStats) -> np.ndarray:
        return stats.exposure

    def at_limit(self, values: np.ndarray) -> np.ndarray:
        # EM comes to zero step by step, and stops on the way.
        return values < 1e-8 * values.max(axis=0)

    def is_outside(self, x: np.ndarray) -> np.ndarray:
        return (x < 0) | (np.floor(x) != x)
