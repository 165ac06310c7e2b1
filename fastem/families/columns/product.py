"""Mixed data: independent columns of different families."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

from fastem.families._marginal import Marginal
from fastem.families.columns.base import (
    ColumnParams,
    ColumnStats,
    column_log_prob,
    column_params,
    column_stats_of,
    zero_column_stats,
)
from fastem.families.columns.blocks import NO_EXPOSURE
from fastem.families.gaussian.diag import GaussianDiag, GaussianDiagStats
from fastem.stats import Rescue

# Fields of the parameters that hold numbers of columns, and lines of numbers for each component.
_LISTS = ("linear", "counted", "squared", "coded")
_TABLES = ("slope", "required", "variances", "inverse_sd", "probabilities", "log_probabilities")


class Part(NamedTuple):
    """A family, and the columns of X that it describes, in its order."""

    family: Any
    columns: np.ndarray


class _Share(NamedTuple):
    """A part, and which of the linear and squared columns and of the categories of the whole are its own."""

    family: Any
    columns: np.ndarray
    linear: slice
    squared: slice
    codes: slice


@dataclass(frozen=True, eq=False)
class Product:
    """Columns of different families, independent given the component.

    Parameters
    ----------
    parts : tuple of Part
        Their families are `GaussianDiag` and families of independent columns, with the same number of components.
        Each column belongs to one part. Counts that have an exposure are the only counts.

    Notes
    -----
    The parts keep their own arithmetic: a product sends to each of them its columns. All products run on the
    compiled pass of the families of independent columns.
    """

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        columns = np.sort(np.concatenate([part.columns for part in self.parts]))
        if not np.array_equal(columns, np.arange(columns.size)):
            raise ValueError(f"each column must belong to one part, got the columns {columns.tolist()}")
        patterns = [_pattern(part) for part in self.parts]
        counts = [pattern for pattern in patterns if pattern.counted.size]
        if len(counts) > 1 and any(pattern.exposure[0] != NO_EXPOSURE for pattern in counts):
            raise ValueError("counts with an exposure, or of a known total, must be the only counts of a product")
        weights = {part.family.prior_weight for part in self.parts if not isinstance(part.family, GaussianDiag)}
        normal = sum(isinstance(part.family, GaussianDiag) for part in self.parts)
        if len(weights) > 1 or normal > 1:
            raise ValueError("the parts of a product need the same prior_weight, and only one may be of normal columns")
        # In the records of parameters counts come last.
        order = sorted(range(len(patterns)), key=lambda index: patterns[index].counted.size > 0)
        object.__setattr__(self, "parts", tuple(self.parts[index] for index in order))

    @property
    def n_components(self) -> int:
        return self.parts[0].family.n_components

    @property
    def n_features(self) -> int:
        return sum(part.columns.size for part in self.parts)

    # Records of the whole, and those of the parts.

    def _shares(self) -> Iterator[_Share]:
        patterns = [_pattern(part) for part in self.parts]
        sizes = np.array([(p.linear.size, p.squared.size, p.probabilities.shape[1]) for p in patterns])
        ends = np.cumsum(sizes, axis=0)
        for part, begin, end in zip(self.parts, ends - sizes, ends, strict=True):
            yield _Share(*part, *(slice(a, b) for a, b in zip(begin.tolist(), end.tolist(), strict=True)))

    def params_of(self, params: ColumnParams) -> list[Any]:
        """Parameters of each of `parts`."""
        parts = []
        for family, columns, _, squared, codes in self._shares():
            means = np.ascontiguousarray(params.means[:, columns])
            if isinstance(family, GaussianDiag):
                parts.append(family.params(means, np.ascontiguousarray(params.variances[:, squared])))
            else:
                has_codes = codes.stop > codes.start
                parts.append(family.record(params.probabilities[:, codes]) if has_codes else family.params(means))
        return parts

    def _stats_of(self, stats: ColumnStats) -> list[Any]:
        """Statistics of each part."""
        parts: list[Any] = []
        for family, _, linear, squared, codes in self._shares():
            moments = (stats.sx[:, squared], stats.sxx[:, squared], stats.dof, stats.pivot[:, squared])
            if isinstance(family, GaussianDiag):
                parts.append(GaussianDiagStats(stats.n, *moments))
            else:
                sums, counts = stats.sums[:, linear], stats.codes[:, codes]
                parts.append(ColumnStats(stats.n, stats.pseudo, stats.exposure, sums, counts, *moments))
        return parts

    # What a family says of itself.

    def params(self, parts_params: list[Any]) -> ColumnParams:
        """Parameters from those of each of `parts`, in their order."""
        own = [part.columns for part in self.parts]
        every = [_as_columns(params) for params in parts_params]
        means = np.empty((every[0].means.shape[0], self.n_features))
        for columns, params in zip(own, every, strict=True):
            means[:, columns] = params.means
        sizes = [params.probabilities.shape[1] for params in every]
        begins = [params.first_code[:-1] + begin for params, begin in zip(every, np.cumsum([0, *sizes]), strict=False)]
        place = every[-1].exposure[0]
        lists = {
            name: np.concatenate([columns[getattr(p, name)] for columns, p in zip(own, every, strict=True)])
            for name in _LISTS
        }
        tables = {name: np.concatenate([getattr(params, name) for params in every], axis=1) for name in _TABLES}
        return column_params(
            means,
            base=sum(params.base for params in every),
            total=sum(params.total for params in every),
            exposure=np.array([own[-1][place] if place >= 0 else place]),
            first_code=np.append(np.concatenate(begins), sum(sizes)),
            **lists,
            **tables,
        )

    def rebuilt(self, params: ColumnParams) -> ColumnParams:
        """Parameters made anew from means, variances and probabilities of a record alone."""
        return self.params(self.params_of(params))

    def of_moments(self, means: np.ndarray, variances: np.ndarray, probabilities: Any) -> ColumnParams:
        """Parameters from what `moments` and `probabilities` show of them."""
        params = []
        for family, columns in self.parts:
            if isinstance(family, GaussianDiag):
                own: Any = family.params(np.ascontiguousarray(means[:, columns]), variances[:, columns].copy())
            elif _pattern(Part(family, columns)).coded.size:
                own = family.params(np.concatenate([probabilities[column] for column in columns], axis=1))
            else:
                own = family.params(means[:, columns])
            params.append(own)
        return self.params(params)

    def first_look(self, centre: np.ndarray) -> ColumnParams:
        """Parameters to gather first statistics with: every component at `centre` (D,)."""
        return self.params([part.family.first_look(centre[part.columns]) for part in self.parts])

    def moments(self, params: ColumnParams) -> tuple[np.ndarray, np.ndarray]:
        """Means and variances (K, D) of each column under each component; NaN for categories."""
        means, variances = np.full_like(params.means, np.nan), np.full_like(params.means, np.nan)
        for part, part_params in zip(self.parts, self.params_of(params), strict=True):
            if isinstance(part.family, GaussianDiag):
                means[:, part.columns], variances[:, part.columns] = part_params.means, part_params.covariances
            else:
                means[:, part.columns], variances[:, part.columns] = part.family.moments(part_params)
        return means, variances

    def marginal(self, params: ColumnParams, column: int) -> Marginal:
        """One column under each component."""
        for part, part_params in zip(self.parts, self.params_of(params), strict=True):
            own = np.flatnonzero(part.columns == column)
            if own.size:
                return part.family.marginal(part_params, int(own[0]))
        raise IndexError(column)

    def probabilities(self, params: ColumnParams) -> list[np.ndarray | None]:
        """Probabilities (K, C) of the categories of each column that has some."""
        lists: list[np.ndarray | None] = [None] * self.n_features
        tables = np.split(params.probabilities, params.first_code[1:-1], axis=1)
        for column, table in zip(params.coded, tables, strict=False):
            lists[column] = table
        return lists

    def zero_stats_like(self, params: ColumnParams) -> ColumnStats:
        """An empty record for the statistics of an E-step at these parameters."""
        return zero_column_stats(params)

    def stats_of(self, params: ColumnParams, n: np.ndarray) -> ColumnStats:
        """Statistics of `n` (K,) rows of the components, of which an M-step makes these parameters."""
        return column_stats_of(params, n)

    def m_step(self, stats: ColumnStats) -> tuple[ColumnParams, list[Rescue]]:
        """Each part's M-step on its own columns; a component that is empty is told once."""
        params: list[Any] = []
        rescues: list[Rescue] = []
        for part, part_stats in zip(self.parts, self._stats_of(stats), strict=True):
            part_params, part_rescues = part.family.m_step(part_stats)
            params.append(part_params)
            told = {(rescue.component, rescue.cause) for rescue in rescues}
            rescues += [rescue for rescue in part_rescues if (rescue.component, rescue.cause) not in told]
        return self.params(params), rescues

    def n_parameters(self) -> int:
        """Number of free parameters."""
        return sum(part.family.n_parameters() for part in self.parts)

    def features(self, X: np.ndarray) -> np.ndarray:
        """Rows X (N, D) as points between which distances mean something, for starts."""
        return np.concatenate([_features(part.family, X[:, part.columns]) for part in self.parts], axis=1)

    def outside(self, X: np.ndarray) -> np.ndarray:
        """Which values of X (N, D) no row can have, (N, D) bool; all are finite."""
        wrong = np.zeros(X.shape, dtype=bool)
        for family, columns in self.parts:
            # Any finite number may be one of a normal column.
            if hasattr(family, "outside"):
                wrong[:, columns] = family.outside(X[:, columns])
        return wrong

    def support(self, column: int) -> str:
        """What a value of the column must be, in words."""
        family, columns = next(part for part in self.parts if column in part.columns)
        return family.support(int(np.flatnonzero(columns == column)[0]))

    def sample(self, params: ColumnParams, component: int, n_rows: int, random: np.random.Generator) -> np.ndarray:
        """Draw rows (n_rows, D) of one component."""
        X = np.empty((n_rows, self.n_features))
        for part, part_params in zip(self.parts, self.params_of(params), strict=True):
            X[:, part.columns] = part.family.sample(part_params, component, n_rows, random)
        return X

    def centre_of(self, stats: ColumnStats) -> np.ndarray:
        """Mean (D,) of the rows of one-component statistics; zero where it means nothing."""
        return self.m_step(stats)[0].means[0]

    def may_stray(self) -> np.ndarray:
        """In which columns (D,) single values may lie far from all others."""
        may = np.zeros(self.n_features, dtype=bool)
        for family, columns in self.parts:
            may[columns] = family.may_stray()
        return may

    def with_bulk(self, stats: ColumnStats, bulk: ColumnStats) -> ColumnStats:
        """One-component statistics that tell the scale of the data; each part decides on its own columns."""
        joined = stats._replace(**{name: getattr(stats, name).copy() for name in ("sums", "sx", "sxx", "pivot")})
        parts = zip(self._shares(), self._stats_of(stats), self._stats_of(bulk), strict=True)
        for share, own, near in parts:
            if not share.family.may_stray().any():
                continue
            found = share.family.with_bulk(own, near)
            if isinstance(found, ColumnStats):
                joined.sums[:, share.linear] = found.sums
            else:
                joined.pivot[:, share.squared], joined.sx[:, share.squared] = found.pivot, found.sx
                joined.sxx[:, share.squared] = found.sxx
        return joined

    def scaled_to(self, stats: ColumnStats, floor_ratio: float = 1e-10) -> Self:
        """This family with what its parts take from data of the given one-component statistics."""
        own = zip(self.parts, self._stats_of(stats), strict=True)
        return self._with_families(part.family.scaled_to(part_stats, floor_ratio) for part, part_stats in own)

    def constraints(self) -> dict[str, np.ndarray]:
        """What `scaled_to` learnt from the data, by the number of the part and its name."""
        return {
            f"{index}.{name}": value
            for index, part in enumerate(self.parts)
            for name, value in part.family.constraints().items()
        }

    def _with_families(self, families: Iterable[Any]) -> Self:
        """The same columns, described by other families."""
        return replace(self, parts=tuple(map(Part, families, (part.columns for part in self.parts))))

    def with_components(self, n_components: int) -> Self:
        """This family with another number of components."""
        return self._with_families(part.family.with_components(n_components) for part in self.parts)

    def constrained(self, constraints: dict[str, Any]) -> Self:
        """This family with what another one of the same parts learnt."""
        families = []
        for index, part in enumerate(self.parts):
            prefix = f"{index}."
            own = {name.removeprefix(prefix): v for name, v in constraints.items() if name.startswith(prefix)}
            families.append(part.family.constrained(own))
        return self._with_families(families)

    def cautious(self) -> Self:
        """This family with a prior of at least one row, so that no component of a small sample excludes a value."""
        return self._with_families(part.family.cautious() for part in self.parts)

    def at_start(self) -> Self:
        """The family to start with: what is excluded by a few rows of a component would stay excluded for ever."""
        families = [part.family for part in self.parts]
        return self._with_families(f.at_start() if hasattr(f, "at_start") else f for f in families)

    def prior_stats(self, weight: float) -> ColumnStats | None:
        """The pseudo-rows of the parts' priors, side by side; None without a prior."""
        priors = [part.family.prior_stats(weight) for part in self.parts]
        if all(prior is None for prior in priors):
            return None
        # Rows of a prior of normal columns count for the others, too: these have as many less of their own.
        joined = self.zero_stats_like(self.first_look(np.zeros(self.n_features)))
        n, dof = joined.n.copy(), joined.dof.copy()
        rows = np.zeros_like(n)
        for prior, share in zip(priors, self._shares(), strict=True):
            if isinstance(prior, ColumnStats):
                rows = prior.pseudo
                joined.sums[:, share.linear], joined.codes[:, share.codes] = prior.sums, prior.codes
            elif prior is not None:
                n, dof = prior.n, prior.dof
                joined.pivot[:, share.squared], joined.sx[:, share.squared] = prior.pivot, prior.sx
                joined.sxx[:, share.squared] = prior.sxx
        return joined._replace(n=n, dof=dof, pseudo=rows - n, exposure=rows)

    def expected_log_prob(self, params: ColumnParams, stats: ColumnStats) -> float:
        """Sum of the log-densities, in nats, that rows of these statistics have under the components they belong to.

        Without what does not depend on the parameters (factorials of counts).
        """
        return column_log_prob(params, stats)

    def log_prior(self, params: ColumnParams, weight: float) -> float:
        """Logarithm of the prior's density at these parameters, up to a constant, in nats."""
        own = zip(self.parts, self.params_of(params), strict=True)
        return sum(part.family.log_prior(part_params, weight) for part, part_params in own)

    def coordinates(self, params: ColumnParams) -> np.ndarray:
        """Unconstrained coordinates (P,) of the parameters: those of each part."""
        parts_params = self.params_of(params)
        return np.concatenate([p.family.coordinates(own) for p, own in zip(self.parts, parts_params, strict=True)])

    def roots(self) -> np.ndarray:
        """Which coordinates (P,) are square roots: those of parts that know of any."""

        def of(part: Any) -> np.ndarray:
            family = part.family
            if hasattr(family, "roots"):
                return family.roots()
            n = family.coordinates(family.first_look(np.ones(part.columns.size))).size
            return np.zeros(n, dtype=bool)

        return np.concatenate([of(part) for part in self.parts])

    def at_coordinates(self, vector: np.ndarray) -> ColumnParams:
        """Parameters from coordinates (P,)."""
        params, begin = [], 0
        for part in self.parts:
            end = begin + part.family.coordinates(part.family.first_look(np.ones(part.columns.size))).size
            params.append(part.family.at_coordinates(vector[begin:end]))
            begin = end
        return self.params(params)

    # Moves: those of each part (see `families/columns/gradients.py`).

    def _split(self, moves: np.ndarray) -> list[np.ndarray]:
        """Moves (..., P) of each part."""
        sizes = [part.family.free_moves().size for part in self.parts]
        return np.split(moves, np.cumsum(sizes)[:-1], axis=-1)

    def _joined(self, shown: list[dict[str, Any]], missing: Any) -> dict[str, Any]:
        """What each part shows, by the names of the whole: `missing` where a column has no such parameter."""
        first = next(iter(shown[0].values()))
        lead = (first[0] if isinstance(first, list) else first).shape[:-1]
        means = np.full((*lead, self.n_features), missing)
        variances = means.copy()
        probabilities: list[np.ndarray | None] = [None] * self.n_features
        for (family, columns), own in zip(self.parts, shown, strict=True):
            if isinstance(family, GaussianDiag):
                means[..., columns], variances[..., columns] = own["means"], own["covariances"]
                continue
            values = own[family.shown]
            if isinstance(values, list):
                for column, table in zip(columns, values, strict=True):
                    probabilities[column] = table
            else:
                # An exposure has no mean that was estimated.
                means[..., columns[: values.shape[-1]]] = values
        return {"means": means, "variances": variances, "probabilities": probabilities}

    def estimates(self, params: ColumnParams) -> dict[str, Any]:
        """What is shown of the parameters, by name; NaN, or None, for those that a column has not."""
        own = zip(self.parts, self.params_of(params), strict=True)
        return self._joined([part.family.estimates(part_params) for part, part_params in own], np.nan)

    def gradients(self, params: ColumnParams, X: np.ndarray, resp: np.ndarray) -> np.ndarray:
        """Derivatives (N, P) of the rows' expected log-density, in nats, by moves; rows X (N, D), resp (N, K)."""
        own = zip(self.parts, self.params_of(params), strict=True)
        return np.concatenate([part.family.gradients(p, X[:, part.columns], resp) for part, p in own], axis=1)

    def gradient(self, params: ColumnParams, stats: ColumnStats) -> np.ndarray:
        """Sum (P,) of the `gradients` of rows, from their expected statistics."""
        own = zip(self.parts, self.params_of(params), self._stats_of(stats), strict=True)
        return np.concatenate([part.family.gradient(p, part_stats) for part, p, part_stats in own])

    def moved(self, params: ColumnParams, move: np.ndarray) -> ColumnParams:
        """Parameters after a move (P,)."""
        own = zip(self.parts, self.params_of(params), self._split(move), strict=True)
        return self.params([part.family.moved(p, part_move) for part, p, part_move in own])

    def changes(self, params: ColumnParams, moves: np.ndarray) -> dict[str, Any]:
        """What moves (M, P) change in what is shown."""
        own = zip(self.parts, self.params_of(params), self._split(moves), strict=True)
        return self._joined([part.family.changes(p, part_moves) for part, p, part_moves in own], np.nan)

    def free_moves(self) -> np.ndarray:
        """Which moves (P,) are of parameters that are not fixed: all."""
        return np.concatenate([part.family.free_moves() for part in self.parts])

    def owners(self) -> np.ndarray:
        """The component (P,) of which each move moves a parameter."""
        return np.concatenate([part.family.owners() for part in self.parts])

    def scales(self) -> dict[str, Any]:
        """On which scale the estimate of each entry is nearly normal; "none" where there is no parameter of its own."""
        return self._joined([part.family.scales() for part in self.parts], np.array("none", dtype="U8"))

    def resolution(self, params: ColumnParams) -> float:
        """What rounding of the parameters adds to a move."""
        return max(part.family.resolution(p) for part, p in zip(self.parts, self.params_of(params), strict=True))

    def on_limit(self, params: ColumnParams) -> list[tuple[int, str]]:
        """The components that have parameters at their limits, and word of it."""
        own = zip(self.parts, self.params_of(params), strict=True)
        return [found for part, p in own for found in part.family.on_limit(p)]


def _as_columns(params: Any) -> ColumnParams:
    """Parameters of a part as the compiled pass reads them."""
    if isinstance(params, ColumnParams):
        return params
    means, variances, inverse_sd, log_norm = params
    squared = np.arange(means.shape[1])
    return column_params(means, base=log_norm, squared=squared, variances=variances, inverse_sd=inverse_sd)


def _features(family: Any, X: np.ndarray) -> np.ndarray:
    return family.features(X) if hasattr(family, "features") else X


def _pattern(part: Part) -> ColumnParams:
    """Any parameters of a part: they tell its forms of columns."""
    return _as_columns(part.family.first_look(np.ones(part.columns.size)))
