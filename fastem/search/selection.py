"""Candidates of a selection: how they are asked for, fitted together and compared, and what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple, Self

import numpy as np

from fastem._extras import require
from fastem._naming import named
from fastem._text import require_one_of
from fastem.families.gaussian.location_scatter import STRUCTURES
from fastem.fitting.scan import DataSummary
from fastem.fitting.spec import ModelSpec
from fastem.schedules.result import FitResult
from fastem.search.candidates import Candidates, Key
from fastem.search.comparison import compare
from fastem.search.heldout import hold_out
from fastem.search.sample_race import sample_of
from fastem.sources import Source

CRITERIA = ("bic", "aic", "caic", "sabic", "icl", "heldout", "blrt")


@dataclass(frozen=True, eq=False)
class Selection:
    """What `select` found. Print it to see the table.

    Attributes
    ----------
    criterion : {"bic", "aic", "caic", "sabic", "icl", "heldout", "blrt"}
    table : tuple of dict
        A row for each candidate: `covariance_type` of a Gaussian one, `n_components`, `n_parameters`; `loglik` of the
        rows that it was fitted to, in nats, and `bic` and `aic` of it (lower is better); `collapsed`, the number of
        components that sit on rows which agree; `caic`, `sabic`, `icl`, or `heldout` and `heldout_se` (nats per row,
        higher is better, and its standard error) where these were asked for; `blrt`, the p-value of the test against
        the next number of components; `n_iter`; `converged`.
    best_index_ : int
        The place of the chosen candidate in the table.
    best_estimator_ : GaussianMixture, or what was asked for
        Fitted to all rows.
    """

    criterion: str
    table: tuple[dict[str, Any], ...]
    best_index_: int
    best_estimator_: Any

    @property
    def best_params_(self) -> dict[str, Any]:
        """`n_components` of the chosen candidate, and `covariance_type` of a Gaussian one."""
        best = self.table[self.best_index_]
        return {name: best[name] for name in ("n_components", "covariance_type") if name in best}

    @property
    def best_score_(self) -> float:
        """The criterion of the chosen candidate."""
        return self.table[self.best_index_][self.criterion]

    def to_dict(self) -> dict[str, list[Any]]:
        """The table by columns."""
        return {name: [row[name] for row in self.table] for name in self.table[0]}

    def to_pandas(self) -> Any:
        """The table as a `pandas.DataFrame`; MissingExtraError without pandas."""
        return require("pandas", "pandas", "to_pandas()").DataFrame(self.to_dict())

    def plot(self, ax: Any = None) -> Any:
        """Draw the criterion against the number of components; see `fastem.plotting.fit.plot_selection`."""
        from fastem.plotting import plot_selection

        return plot_selection(self, ax=ax)

    def __str__(self) -> str:
        cells = [[f"{x:.8g}" if isinstance(x, float) else str(x) for x in row.values()] for row in self.table]
        table = [["", *self.to_dict()]]
        table += [["*" if index == self.best_index_ else "", *row] for index, row in enumerate(cells)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
        chosen = ", ".join(f"{name}={value!r}" for name, value in self.best_params_.items())
        return "\n".join([*lines, f"chosen by {self.criterion}: {chosen}"])


class Terms(NamedTuple):
    """Which sizes are candidates, and how these are compared; `fastem.select` says what each one is."""

    sizes: list[int]
    criterion: str
    min_gain: float
    validation_fraction: float
    max_rows: int | None
    allow_collapsed: bool
    n_replicates: int
    alpha: float

    @classmethod
    def read(cls, n_components: Any, *others: Any) -> Self:
        """Terms that a user gave; ValueError for what makes no sense."""
        given = [n_components] if isinstance(n_components, Integral) else n_components
        sizes = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else []
        _require("n_components", n_components, all(map(_is_count, sizes)) and sizes, "one or several positive integers")
        terms = cls(sorted({int(size) for size in sizes}), *others)
        require_one_of("criterion", terms.criterion, CRITERIA)
        gain, share, rows = terms.min_gain, terms.validation_fraction, terms.max_rows
        replicates, alpha = terms.n_replicates, terms.alpha
        _require("n_replicates", replicates, _is_count(replicates), "a positive integer")
        _require("alpha", alpha, isinstance(alpha, Real) and 0.0 < alpha < 1.0, "between 0 and 1")
        _require("min_gain", gain, isinstance(gain, Real) and gain >= 0.0, "at least 0")
        _require("validation_fraction", share, isinstance(share, Real) and 0.0 < share < 1.0, "between 0 and 1")
        _require("max_rows", rows, rows is None or _is_count(rows), "None or a positive integer")
        return terms


def read_kinds(covariance_types: Any, n_features: int, is_gaussian: bool, name: str) -> list[str]:
    """The covariance types of candidates; one empty word where their components have none to choose."""
    if not is_gaussian:
        if covariance_types is not None:
            raise ValueError(f"{named('covariance_types')} are of Gaussian components; {name} has none. Leave it out.")
        return [""]
    if covariance_types is None:
        return ["full", "tied"] if n_features == 1 else list(STRUCTURES)
    kinds = [covariance_types] if isinstance(covariance_types, str) else list(covariance_types)
    for kind in kinds:
        require_one_of("covariance_types", kind, STRUCTURES)
    if not kinds:
        raise ValueError(f"{named('covariance_types')} names none of {', '.join(STRUCTURES)}.")
    return list(dict.fromkeys(kinds))


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def _require(name: str, value: Any, is_usable: Any, wanted: str) -> None:
    if not is_usable:
        raise ValueError(f"{named(name)} must be {wanted}, got {value!r}.")


class Found(NamedTuple):
    """The chosen candidate, its fit, and the table.

    `summary` is that of the rows that it was fitted to; None where they were a part of all rows.
    """

    key: Key
    result: FitResult
    summary: DataSummary | None
    table: tuple[dict[str, Any], ...]
    best: int
    all_collapsed: bool


def choose(spec_of: Callable[[Key], ModelSpec], source: Source, kinds: Sequence[str], terms: Terms, seed: int) -> Found:
    """Fit all candidates together, and choose among them."""
    compared, heldout = source, None
    largest = spec_of(Key(kinds[0], max(terms.sizes)))
    if terms.max_rows is not None:
        compared = sample_of(largest, source, terms.max_rows, np.random.default_rng([seed, 3]))
    if terms.criterion == "heldout":
        compared, heldout = hold_out(compared, terms.validation_fraction, np.random.default_rng([seed, 4]))
    candidates = Candidates(spec_of, compared, terms.sizes, kinds, seed)
    n = len(candidates.keys())
    if largest.verbose:
        results = candidates.fit(_printer(n, largest.verbose_interval), _print_start)
    else:
        results = candidates.fit(lambda n_left: None, lambda key: None)
    choice = compare(candidates, results, terms.criterion, compared, heldout, terms.min_gain, terms.allow_collapsed)
    key = choice.keys[choice.best]
    summary = candidates.summary(key) if compared is source else None
    table = _shown(choice.table, terms.criterion, is_gaussian=bool(kinds[0]))
    return Found(key, results[key], summary, table, choice.best, choice.all_collapsed)


def _print_start(key: Key) -> None:
    """Print a line for each start: all are found before the first pass over all rows."""
    print(f"start found: {' '.join(str(part) for part in (key.covariance_type, key.n_components) if part)}", flush=True)


def _printer(n: int, interval: int) -> Callable[[int], None]:
    """Prints a line after every `interval` reads of the data."""
    n_reads = 0

    def notify(n_left: int) -> None:
        nonlocal n_reads
        n_reads += 1
        if n_reads % interval == 0:
            print(f"pass {n_reads}: {n_left} of {n} candidates still running", flush=True)

    return notify


def _shown(table: Sequence[Mapping[str, Any]], criterion: str, is_gaussian: bool) -> tuple[dict[str, Any], ...]:
    """The table with the columns that have something to say, in order."""
    given = ["covariance_type"] if is_gaussian else []
    order = (*given, "n_components", "n_parameters", "loglik", "aic", "bic", criterion, "heldout_se")
    names = [*dict.fromkeys(name for name in order if name in table[0]), "n_iter", "converged", "collapsed"]
    return tuple({name: row[name] for name in names} for row in table)


def unfinished(table: Sequence[Mapping[str, Any]], most: str) -> str:
    """Which candidates did not converge, in words, where `most` bounds their iterations; empty where all did."""
    open_ends = [row for row in table if not row["converged"]]
    if not open_ends:
        return ""
    names = ", ".join(f"{row.get('covariance_type', '')} {row['n_components']}".lstrip() for row in open_ends[:5])
    return (
        f"{len(open_ends)} of {len(table)} candidates did not converge ({names}{'...' * (len(open_ends) > 5)}). "
        f"Raise {most} or {named('tol')}."
    )
