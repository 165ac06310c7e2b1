"""Mixed data: independent columns of different families."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np

from fastem.families._marginal import Marginal
from fastem.families.columns.blocks import NO_EXPOSURE
from fastem.families.columns.gaps import ColumnGapsParams, column_gaps_params
from fastem.families.columns.gradients import ProductTangents
from fastem.families.columns.records import ColumnParams, ColumnStats, column_params
from fastem.families.gaussian.family import Gaussian, GaussianDiagStats
from fastem.families.gaussian.matrices import LOG_2PI
from fastem.stats import Repair


class Part(NamedTuple):
    """A family, and the columns of X that it describes, in its order."""

    family: Any
    columns: np.ndarray


class _Share(NamedTuple):
    """Which of the values, terms and squares of the whole belong to a part."""

    values: slice
    terms: np.ndarray
    squared: slice


@dataclass(frozen=True, eq=False)
class Product(ProductTangents):
    """Columns of different families, independent given the component.

    Parameters
    ----------
    parts : tuple of Part
        Their families are `Gaussian` of independent features ("diag") and families of independent columns, with the
        same number of components. Each column belongs to one part. Counts that have an exposure are the only counts.
    has_gaps : bool
        Whether rows may miss values, which are NaN.

    Notes
    -----
    The parts keep their own arithmetic: a product sends to each of them its columns. All products run on the
    compiled pass of the families of independent columns.
    """

    parts: tuple[Part, ...]
    has_gaps: bool = False

    def __post_init__(self) -> None:
        columns = np.sort(np.concatenate([part.columns for part in self.parts]))
        if not np.array_equal(columns, np.arange(columns.size)):
            raise ValueError(f"each column must belong to one part, got the columns {columns.tolist()}")
        counts = [pattern for pattern in self._patterns if pattern.counted.size]
        if len(counts) > 1 and any(pattern.exposure[0] != NO_EXPOSURE for pattern in counts):
            raise ValueError("counts with an exposure, or of a known total, must be the only counts of a product")
        weights = {part.family.prior_weight for part in self.parts if not isinstance(part.family, Gaussian)}
        normal = sum(isinstance(part.family, Gaussian) for part in self.parts)
        if len(weights) > 1 or normal > 1:
            raise ValueError("the parts of a product need the same prior_weight, and only one may be of normal columns")

    @property
    def n_components(self) -> int:
        return self.parts[0].family.n_components

    @property
    def n_features(self) -> int:
        return sum(part.columns.size for part in self.parts)

    @property
    def kind(self) -> str:
        return " and ".join(f"{part.family.kind} of the columns {part.columns.tolist()}" for part in self.parts)

    # Records of the whole, and those of the parts.

    @cached_property
    def _patterns(self) -> list[ColumnParams]:
        """Any parameters of each part: they tell its terms."""
        return [_as_columns(family.neutral_params(np.ones(columns.size))) for family, columns in self.parts]

    @cached_property
    def _order(self) -> np.ndarray:
        """The terms of the parts, side by side, in the order of the whole: plain ones, counts, derived ones, codes."""
        forms = []
        for p in self._patterns:
            n_plain = p.linear.size - p.source.size - p.counted.size
            n_codes = p.slope.shape[1] - p.linear.size
            forms.append(np.repeat([0, 1, 2, 3], [n_plain, p.counted.size, p.source.size, n_codes]))
        return np.argsort(np.concatenate(forms), kind="stable")

    @cached_property
    def _shares(self) -> list[_Share]:
        sizes = [(p.values.shape[1], p.slope.shape[1], p.squared.size) for p in self._patterns]
        ends = np.cumsum(sizes, axis=0)
        place = np.argsort(self._order)
        return [
            _Share(slice(first[0], last[0]), place[first[1] : last[1]], slice(first[2], last[2]))
            for first, last in zip((ends - sizes).tolist(), ends.tolist(), strict=True)
        ]

    def params_of(self, params: ColumnParams) -> list[Any]:
        return [
            _of_values(part.family, np.ascontiguousarray(params.values[:, share.values]))
            for part, share in zip(self.parts, self._shares, strict=True)
        ]

    def _stats_of(self, stats: ColumnStats) -> list[Any]:
        parts: list[Any] = []
        for (family, _), share in zip(self.parts, self._shares, strict=True):
            squared = share.squared
            moments = (stats.sx[:, squared], stats.sxx[:, squared], stats.scatter_rows, stats.pivot[:, squared])
            if isinstance(family, Gaussian):
                parts.append(GaussianDiagStats(stats.n, *moments))
            else:
                parts.append(ColumnStats(stats.n, stats.pseudo, stats.exposure, stats.sums[:, share.terms], *moments))
        return parts

    def _with_stats(self, stats: ColumnStats, parts_stats: list[Any]) -> ColumnStats:
        """Statistics whose sums are those of the parts, where they are not None."""
        joined = stats._replace(**{name: getattr(stats, name).copy() for name in ("sums", "sx", "sxx", "pivot")})
        for share, own in zip(self._shares, parts_stats, strict=True):
            if isinstance(own, ColumnStats):
                joined.sums[:, share.terms] = own.sums
            elif own is not None:
                joined.pivot[:, share.squared], joined.sx[:, share.squared] = own.pivot, own.sx
                joined.sxx[:, share.squared] = own.sxx
        return joined

    def _ask(self, method: str, *lists: Iterable[Any]) -> list[Any]:
        """What a method of each part says, with arguments for each."""
        return [getattr(part.family, method)(*own) for part, *own in zip(self.parts, *lists, strict=True)]

    def _columns(self, X: np.ndarray) -> list[np.ndarray]:
        """The columns of X (..., D) of each part."""
        return [X[..., part.columns] for part in self.parts]

    def _placed(self, parts_columns: Iterable[np.ndarray]) -> np.ndarray:
        """Arrays (..., columns) of the parts, as one for all columns (..., D)."""
        order = np.argsort(np.concatenate([part.columns for part in self.parts]))
        return np.concatenate(list(parts_columns), axis=-1)[..., order]

    # What a family says of itself: see `Columns`, where each method is documented.

    def params(self, parts_params: list[Any]) -> ColumnParams:
        """Parameters from those of each of `parts`, in their order."""
        every = [_as_columns(params) for params in parts_params]
        pairs = [(part.columns, params) for part, params in zip(self.parts, every, strict=True)]

        def beside(name: str) -> np.ndarray:
            return np.concatenate([getattr(params, name) for params in every], axis=-1)

        def columns_in(name: str) -> np.ndarray:
            return np.concatenate([columns[getattr(params, name)] for columns, params in pairs])

        # The lines of derived terms, and codes, are numbered anew: both stand in the order of parts.
        n_read = [p.linear.size - p.source.size for p in every]
        own = zip(pairs, n_read, strict=True)
        read = [np.pad(columns[p.linear[:n]], (0, p.slope.shape[1] - n)) for (columns, p), n in own]
        source = columns_in("source")
        linear = np.append(np.concatenate(read)[self._order[: sum(n_read)]], np.arange(source.size))
        sizes = np.concatenate([np.diff(p.first_code) for p in every])
        exposures = [columns[p.exposure] if p.exposure[0] >= 0 else p.exposure for columns, p in pairs]
        fields: dict[str, Any] = {
            "base": sum(p.base for p in every),
            "slope": beside("slope")[:, self._order],
            "required": beside("required")[:, self._order],
            "linear": linear,
            "source": source,
            "transform": beside("transform"),
            "counted": columns_in("counted"),
            "total": sum(p.total for p in every),
            "exposure": next((place for place in exposures if place[0] != NO_EXPOSURE), np.array([NO_EXPOSURE])),
            "squared": columns_in("squared"),
            "inverse_sd": beside("inverse_sd"),
            "coded": columns_in("coded"),
            "first_code": linear.size + np.append(0, np.cumsum(sizes)),
        }
        means, values = self._placed(p.means for p in every), beside("values")
        if not self.has_gaps:
            return column_params(means, values, **fields)
        bases = self._placed(map(_bases_of, every))
        # Those of counts have the mean already, which all of them would get again.
        if fields["exposure"][0] == NO_EXPOSURE:
            bases[:, fields["counted"]] += means[:, fields["counted"]]
        averages = np.concatenate(list(map(_averages_of, every)), axis=-1)[:, self._order]
        return column_gaps_params(means, values, bases, averages, **fields)

    def rebuilt(self, params: ColumnParams) -> ColumnParams:
        return self.params(self._ask("rebuilt", self.params_of(params)))

    def of_moments(self, means: np.ndarray, variances: np.ndarray, probabilities: Any) -> ColumnParams:
        """Parameters from what `moments` and `probabilities` show of them."""
        params = []
        for (family, columns), pattern in zip(self.parts, self._patterns, strict=True):
            own_means, own_variances = np.ascontiguousarray(means[:, columns]), variances[:, columns].copy()
            if isinstance(family, Gaussian):
                params.append(family.params(own_means, own_variances))
            elif pattern.coded.size and family.shown == ("probabilities",):
                params.append(family.params(np.concatenate([probabilities[column] for column in columns], axis=1)))
            else:
                observed = slice(family.n_observed)
                values = family.of_moments(own_means[:, observed], own_variances[:, observed])
                params.append(family.params(family.joined(values)))
        return self.params(params)

    def neutral_params(self, centre: np.ndarray) -> ColumnParams:
        return self.params(self._ask("neutral_params", self._columns(centre)))

    def moments(self, params: ColumnParams) -> tuple[np.ndarray, np.ndarray]:
        found = [
            (own.means, own.covariances) if isinstance(part.family, Gaussian) else part.family.moments(own)
            for part, own in zip(self.parts, self.params_of(params), strict=True)
        ]
        return self._placed(means for means, _ in found), self._placed(variances for _, variances in found)

    def marginal(self, params: ColumnParams, column: int) -> Marginal:
        for part, part_params in zip(self.parts, self.params_of(params), strict=True):
            own = np.flatnonzero(part.columns == column)
            if own.size:
                return part.family.marginal(part_params, int(own[0]))
        raise IndexError(column)

    def stats_of(self, params: ColumnParams, n: np.ndarray) -> ColumnStats:
        own = self._ask("stats_of", self.params_of(params), [n] * len(self.parts))
        return self._with_stats(self.zero_stats_like(params)._replace(n=n, exposure=n), own)

    def m_step(self, stats: ColumnStats, params: ColumnParams) -> tuple[ColumnParams, list[Repair]]:
        """Each part's M-step on its own columns; a component that is empty is told once."""
        found: list[Any] = []
        repairs: list[Repair] = []
        for best, part_repairs in self._ask("m_step", self._stats_of(stats), self.params_of(params)):
            found.append(best)
            told = {(repair.component, repair.cause) for repair in repairs}
            repairs += [repair for repair in part_repairs if (repair.component, repair.cause) not in told]
        return self.params(found), repairs

    def n_parameters(self) -> int:
        return sum(self._ask("n_parameters"))

    def features(self, X: np.ndarray) -> np.ndarray:
        return np.concatenate(self._ask("features", self._columns(X)), axis=1)

    def outside(self, X: np.ndarray) -> np.ndarray:
        columns = self._columns(X)
        found = zip(self._ask("outside", columns), columns, strict=True)
        return self._placed(np.zeros(x.shape, dtype=bool) if wrong is None else wrong for wrong, x in found)

    def support(self, column: int) -> str:
        family, columns = next(part for part in self.parts if column in part.columns)
        return family.support(int(np.flatnonzero(columns == column)[0]))

    def sample(self, params: ColumnParams, component: int, n_rows: int, random: np.random.Generator) -> np.ndarray:
        own = zip(self.parts, self.params_of(params), strict=True)
        return self._placed([part.family.sample(p, component, n_rows, random) for part, p in own])

    # Missing values.

    def needed(self, X: np.ndarray) -> np.ndarray:
        columns = self._columns(X)
        found = zip(self._ask("needed", columns), columns, strict=True)
        return self._placed(np.zeros(x.shape, dtype=bool) if needed is None else needed for needed, x in found)

    def why_needed(self, column: int) -> str:
        return next(part.family.why_needed(column) for part in self.parts if column in part.columns)

    def completed(
        self, params: Any, component: int, X: np.ndarray, random: np.random.Generator | None = None
    ) -> np.ndarray:
        own = zip(self.parts, self.params_of(params), self._columns(X), strict=True)
        return self._placed([part.family.completed(p, component, x, random) for part, p, x in own])

    def code_shares(self, params: Any, column: int) -> np.ndarray | None:
        for part, own in zip(self.parts, self.params_of(params), strict=True):
            place = np.flatnonzero(part.columns == column)
            if place.size:
                return part.family.code_shares(own, int(place[0]))
        raise IndexError(column)

    def mean_of(self, stats: ColumnStats) -> np.ndarray:
        return self._placed(self._ask("mean_of", self._stats_of(stats)))

    # The scale of the data, and priors.

    def may_stray(self) -> np.ndarray:
        return self._placed(self._ask("may_stray"))

    def with_bulk(self, stats: ColumnStats, bulk: ColumnStats) -> ColumnStats:
        """Each part decides on its own columns."""
        own = zip(self.parts, self._stats_of(stats), self._stats_of(bulk), strict=True)
        found = [p.family.with_bulk(all_, near) if p.family.may_stray().any() else None for p, all_, near in own]
        return self._with_stats(stats, found)

    def with_data_scale(self, stats: ColumnStats) -> Self:
        return self._with_families(self._ask("with_data_scale", self._stats_of(stats)))

    def constraints(self) -> dict[str, np.ndarray]:
        """What `with_data_scale` learnt from the data, by the number of the part and its name."""
        own = enumerate(self._ask("constraints"))
        return {f"{index}.{name}": value for index, found in own for name, value in found.items()}

    def with_constraints(self, constraints: dict[str, Any]) -> Self:
        own: list[dict[str, Any]] = [{} for _ in self.parts]
        for name, value in constraints.items():
            index, _, plain_name = name.partition(".")
            own[int(index)][plain_name] = value
        return self._with_families(self._ask("with_constraints", own))

    def _with_families(self, families: Iterable[Any]) -> Self:
        return replace(self, parts=tuple(map(Part, families, (part.columns for part in self.parts))))

    def with_gaps(self, has_gaps: bool = True) -> Self:
        # Normal columns have gaps in the pass of all columns, not in one of their own.
        families = [f if isinstance(f, Gaussian) else f.with_gaps(has_gaps) for f, _ in self.parts]
        return replace(self._with_families(families), has_gaps=has_gaps)

    def with_components(self, n_components: int) -> Self:
        return self._with_families(self._ask("with_components", [n_components] * len(self.parts)))

    def regularised(self) -> Self:
        return self._with_families(self._ask("regularised"))

    def at_start(self) -> Self:
        return self._with_families(self._ask("at_start"))

    def prior_stats(self, weight: float) -> ColumnStats | None:
        """The pseudo-rows of the parts' priors, side by side; None without a prior."""
        priors = self._ask("prior_stats", [weight] * len(self.parts))
        if all(prior is None for prior in priors):
            return None
        joined = self._with_stats(self.zero_stats_like(self.neutral_params(np.zeros(self.n_features))), priors)
        n, scatter_rows, rows = joined.n, joined.scatter_rows, np.zeros_like(joined.n)
        for prior in priors:
            if isinstance(prior, ColumnStats):
                rows = prior.pseudo
            elif prior is not None:
                n, scatter_rows = prior.n, prior.scatter_rows
        # Rows of a prior of normal columns count for the others, too: these have as many less of their own.
        return joined._replace(n=n, scatter_rows=scatter_rows, pseudo=rows - n, exposure=rows)

    def log_prior(self, params: ColumnParams, weight: float) -> float:
        return sum(self._ask("log_prior", self.params_of(params), [weight] * len(self.parts)))

    # Coordinates, for acceleration: those of each part.

    @cached_property
    def _n_unconstrained(self) -> list[int]:
        own = self._ask("neutral_params", self._columns(np.ones(self.n_features)))
        return [coordinates.size for coordinates in self._ask("to_unconstrained", own)]

    def to_unconstrained(self, params: ColumnParams) -> np.ndarray:
        return np.concatenate(self._ask("to_unconstrained", self.params_of(params)))

    def roots(self) -> np.ndarray:
        return np.concatenate(list(map(np.broadcast_to, self._ask("roots"), self._n_unconstrained)))

    def from_unconstrained(self, point: np.ndarray) -> ColumnParams:
        return self.params(self._ask("from_unconstrained", np.split(point, np.cumsum(self._n_unconstrained)[:-1])))


def _as_columns(params: Any) -> Any:
    """Parameters of a part as the compiled pass reads them."""
    if isinstance(params, ColumnParams | ColumnGapsParams):
        return params
    means, variances, inverse_sd, log_norm = params
    values = np.concatenate([means, variances], axis=1)
    return column_params(means, values, base=log_norm, squared=np.arange(means.shape[1]), inverse_sd=inverse_sd)


def _bases_of(params: Any) -> np.ndarray:
    """What the log-density of each column has of the component alone, (K, columns)."""
    if isinstance(params, ColumnGapsParams):
        return params.bases
    return np.log(params.inverse_sd) - 0.5 * LOG_2PI


def _averages_of(params: Any) -> np.ndarray:
    """The average of each term; squares are none."""
    return params.averages if isinstance(params, ColumnGapsParams) else params.slope


def _of_values(family: Any, values: np.ndarray) -> Any:
    """Parameters of a part from its own values."""
    if isinstance(family, Gaussian):
        return family.params(*map(np.ascontiguousarray, np.split(values, 2, axis=1)))
    return family.record(values)
