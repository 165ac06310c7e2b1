"""How many components, by tests: is one more than chance would bring?"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastem._naming import named
from fastem.estimators._em import BaseEM
from fastem.estimators._hmm import BaseHMM
from fastem.families.columns.product import Product
from fastem.fitting.criteria import criteria_of
from fastem.search.selection import Selection
from fastem.sources import Source

# With so many replicates beyond the statistic its p-value is known well enough (Besag & Clifford 1991).
_ENOUGH = 10


def require_testable(template: BaseEM, kinds: Sequence[str], source: Source, max_rows: int | None) -> None:
    """Raise ValueError for what a bootstrap test cannot compare."""
    if isinstance(template, BaseHMM):
        raise ValueError("criterion='blrt' is for mixtures, whose rows are independent. Use 'bic' for chains.")
    if len(kinds) > 1:
        raise ValueError(
            f"criterion='blrt' tests numbers of components of one covariance type, got {', '.join(kinds)}. Set "
            f"{named('covariance_types')} to one of them."
        )
    if source.is_weighted:
        raise ValueError("criterion='blrt' draws rows anew, which have no weights. Leave out sample_weight.")
    if max_rows is not None:
        raise ValueError("criterion='blrt' has no max_rows: pass a sample of the rows.")


def select_by_tests(
    template: BaseEM, source: Source, sizes: Sequence[int], kind: str, n_replicates: int, alpha: float, seed: int
) -> Selection:
    """The smallest number of components that a bootstrap likelihood-ratio test does not reject for the next one."""
    random = np.random.default_rng(seed)
    settings = {"covariance_type": kind} if kind else {}
    null, table = _fitted(template, source, sizes[0], settings, random), []
    _require_drawable(null)
    for larger in sizes[1:]:
        other = _fitted(template, source, larger, settings, random)
        table.append(_row(null, _p_value(template, source, null, other, settings, n_replicates, random)))
        if table[-1]["blrt"] > alpha:
            return Selection("blrt", tuple(table), len(table) - 1, null)
        null = other
    # Nothing larger was asked for.
    table.append(_row(null, float("nan")))
    return Selection("blrt", tuple(table), len(table) - 1, null)


def _require_drawable(mixture: Any) -> None:
    """Raise ValueError where rows like those of the fit cannot be drawn."""
    family = mixture._model.family
    each = [part.family for part in family.parts] if isinstance(family, Product) else [family]
    if any(getattr(one, "n_covariates", 0) for one in each):
        raise ValueError("criterion='blrt' draws rows anew, and knows no covariates or exposures to draw. Use 'bic'.")
    if mixture.fit_report_.missing is not None:
        raise ValueError("criterion='blrt' draws complete rows, but some values are missing. Use 'bic'.")


def _fitted(
    template: BaseEM, rows: Any, n_components: int, settings: dict[str, Any], random: np.random.Generator
) -> Any:
    seeded = {**settings, "n_components": n_components, "random_state": int(random.integers(2**31))}
    estimator: Any = clone(template).set_params(**seeded)
    return estimator.fit(rows)


def _loglik(mixture: Any) -> float:
    return mixture.fit_report_.loglik * mixture.fit_report_.weight


def _p_value(
    template: BaseEM,
    source: Source,
    null: Any,
    other: Any,
    settings: dict[str, Any],
    n_replicates: int,
    random: np.random.Generator,
) -> float:
    """How often rows of the smaller mixture gain as much by more components as the rows do."""
    gain, n_rows, n_above = _loglik(other) - _loglik(null), source.n_rows or 0, 0
    for n_done in range(1, n_replicates + 1):
        drawn, _ = null._model.sample(null._params, n_rows, random)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            smaller, larger = (_fitted(template, drawn, each.n_components, settings, random) for each in (null, other))
        n_above += _loglik(larger) - _loglik(smaller) >= gain
        if n_above == _ENOUGH:
            return n_above / n_done
    return (n_above + 1) / (n_replicates + 1)


def _row(mixture: Any, p_value: float) -> dict[str, Any]:
    criteria = criteria_of(mixture._model, _loglik(mixture), mixture.fit_report_.weight)
    kind = {"covariance_type": mixture.covariance_type} if hasattr(mixture, "covariance_type") else {}
    return {
        **kind,
        "n_components": mixture.n_components,
        "n_parameters": mixture._model.n_parameters(),
        **{name: criteria[name] for name in ("loglik", "aic", "bic")},
        "blrt": p_value,
        "n_iter": mixture.n_iter_,
        "converged": mixture.converged_,
        "collapsed": len(mixture.fit_report_.collapsed),
    }
