"""What the command line says of models: their parameters, an account of their fits, how well they describe rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.table import Table as Grid

from fastem._text import shown
from fastem.cli.options import Rows
from fastem.cli.terminal import count, facts_table, grid, make_console, print_parts, share

if TYPE_CHECKING:
    import numpy as np

    from fastem import Selection
    from fastem.estimators._em import BaseEM
    from fastem.sources import Source

_REASONS = {
    "converged": "converged",
    "max_iter": "not converged: iterations ran out",
    "objective_decreased": "not converged: the objective fell",
    "interrupted": "not converged: interrupted",
    "failed": "not converged: the data could not be read to the end",
}
# What is shown of candidates that are compared by each criterion: no more than a terminal is wide.
_CRITERIA = {
    "bic": ("aic", "bic"),
    "aic": ("bic", "aic"),
    "icl": ("bic", "icl"),
    "caic": ("bic", "caic"),
    "sabic": ("bic", "sabic"),
    "blrt": ("bic", "blrt"),
    "heldout": ("heldout", "heldout_se"),
}
_PARAMETERS = (
    "weights_", "startprob_", "transmat_", "means_", "variances_", "covariances_", "covars_", "rates_", "lambdas_",
    "probabilities_", "emissionprob_", "shapes_", "scales_", "coef_", "intercept_",
)  # fmt: skip
_FIT_ATTRIBUTES = ("converged_", "stop_reason_", "n_iter_", "n_steps_", "lower_bound_", "lower_bounds_")
# A table of parameters with more columns than this is read by rows.
_WIDE_FEATURES = 6
_MOST_FEATURES = 20


def is_chain(mixture: BaseEM) -> bool:
    """Whether a model is a hidden Markov model."""
    return hasattr(mixture, "transmat_")


def noun(mixture: BaseEM) -> str:
    """What its parts are called."""
    return "state" if is_chain(mixture) else "component"


def title(mixture: BaseEM) -> str:
    """What kind of model it is."""
    kind = "hidden Markov model" if is_chain(mixture) else "mixture"
    components = count(mixture.n_components, noun(mixture))
    from fastem.estimators._views import distributions_of

    if hasattr(mixture, "covariance_type"):
        return f"Gaussian {kind}, {components}, {mixture.covariance_type} covariance"
    return f"{kind} of {distributions_of(mixture)}, {components}"


def feature_names(mixture: BaseEM) -> list[str] | None:
    """Names of the features that the model was fitted to."""
    names = getattr(mixture, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def feature_labels(mixture: BaseEM) -> list[str]:
    """Names of the features, made up where the model knows none."""
    return feature_names(mixture) or [f"feature {index}" for index in range(mixture.n_features_in_)]


def describe(mixture: BaseEM) -> dict[str, Any]:
    """Everything about a model."""
    known = [name for name in (*_PARAMETERS, *_FIT_ATTRIBUTES) if hasattr(mixture, name)]
    return {
        "class": type(mixture).__name__,
        "n_components": mixture.n_components,
        "n_features": mixture.n_features_in_,
        "feature_names": feature_names(mixture),
        "covariance_type": getattr(mixture, "covariance_type", None),
        **{name.removesuffix("_"): getattr(mixture, name) for name in known},
        "report": mixture.fit_report_.to_dict() if hasattr(mixture, "fit_report_") else None,
        "settings": mixture.get_params(deep=False),
    }


def settings(mixture: BaseEM) -> str:
    """Constructor parameters, on one line."""
    given = {name: value for name, value in mixture.get_params(deep=False).items() if value is not None}
    shapes = {name: f"an array of shape {value.shape}" for name, value in given.items() if hasattr(value, "shape")}
    return ", ".join(f"{name}={value}" for name, value in (given | shapes).items())


# The table of parameters.


class _Feature(NamedTuple):
    """What is told of a feature: a value and how it spreads, of each component."""

    is_category: bool
    cells: list[tuple[str, str]]


def _features(mixture: BaseEM) -> list[_Feature]:
    """Mean and standard deviation under each component, with the same decimals all down a feature.

    Of categories, the most probable one and its probability.
    """
    means, sds = _moments(mixture)
    tables: Any = getattr(mixture, "probabilities_", getattr(mixture, "emissionprob_", None))
    if tables is not None and mixture.n_features_in_ == 1 and not isinstance(tables, list):
        tables = [tables]
    features = []
    for j in range(mixture.n_features_in_):
        if math.isnan(means[0, j]):
            cells = [(f"category {table.argmax()}", f"{table.max():.4f}") for table in tables[j]]
            features.append(_Feature(True, cells))
            continue
        form = _number_format(means[:, j], sds[:, j])
        pairs = zip(means[:, j], sds[:, j], strict=True)
        features.append(_Feature(False, [(format(mean, form), format(sd, form)) for mean, sd in pairs]))
    return features


def _moments(mixture: BaseEM) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of each component and feature (K, D); NaN for categories."""
    import numpy as np

    from fastem.estimators._views import fitted_of

    model, params = fitted_of(mixture)
    moments = getattr(model.family, "moments", None)
    if moments is not None:
        means, variances = moments(params.family)
        return means, np.sqrt(variances)
    marginals = [mixture.marginal(column) for column in range(mixture.n_features_in_)]
    return np.stack([each.means for each in marginals], axis=1), np.stack([each.sds for each in marginals], axis=1)


def _number_format(means: np.ndarray, sds: np.ndarray) -> str:
    """Decimals that show four digits of the smallest standard deviation, or powers of ten for extreme numbers."""
    least = sds.min()
    decimals = max(0, 3 - math.floor(math.log10(least))) if least > 0.0 else 4
    return f".{decimals}f" if decimals <= 9 and abs(means).max() < 1e12 and sds.max() < 1e12 else ".4e"


def _shares(mixture: BaseEM) -> list[str]:
    """Of the components; of the states of a chain, in the long run."""
    shares = mixture.get_stationary_distribution() if is_chain(mixture) else mixture.weights_
    return [share(weight) for weight in shares]


def _wide_table(mixture: BaseEM, labels: Sequence[str], features: Sequence[_Feature]) -> Grid:
    told = ["most probable" if feature.is_category else "mean ± sd" for feature in features]
    # A line break would be one of the table.
    names = [f"column {label}" if label.isdecimal() else shown(label) for label in labels]
    headings = (f"{name}\n{what}" for name, what in zip(names, told, strict=True))
    table = grid(noun(mixture), "share" if is_chain(mixture) else "weight", *headings)
    for k, weight in enumerate(_shares(mixture)):
        cells = [f" {':' if is_category else '±'} ".join(cells[k]) for is_category, cells in features]
        table.add_row(str(k), weight, *cells)
    return table


def _long_table(mixture: BaseEM, labels: Sequence[str], features: Sequence[_Feature]) -> Grid:
    told = ("mean", "sd")
    if any(feature.is_category for feature in features):
        told = ("mean, or category", "sd, or probability")
    table = grid(noun(mixture), "share", "column", *told)
    names = table.columns[2]
    names.justify, names.no_wrap, names.overflow = "left", False, "fold"
    more = len(labels) - _MOST_FEATURES
    for k, weight in enumerate(_shares(mixture)):
        beginning = (str(k), weight)
        for name, feature in list(zip(labels, features, strict=True))[:_MOST_FEATURES]:
            table.add_row(*beginning, name, *feature.cells[k])
            beginning = ("", "")
        if more > 0:
            table.add_row("", "", f"and {more} more (all by --json)", "", "")
        table.add_section()
    return table


def _coefficient_table(mixture: Any, labels: Sequence[str]) -> Grid:
    """Intercepts and coefficients, one line for each: there may be many covariates."""
    spreads = {"variances_": ("sd of the rest", math.sqrt), "shapes_": ("shape", float)}
    name = next((name for name in spreads if hasattr(mixture, name)), None)
    shares = _shares(mixture)
    heads = (f"{noun(mixture)} {k}\n{share}" for k, share in enumerate(shares))
    table = grid("coefficient of", *heads)
    table.columns[0].justify, table.columns[0].overflow = "left", "fold"
    table.add_row("(intercept)", *(f"{value:.6g}" for value in mixture.intercept_))
    for label, values in list(zip(labels, mixture.coef_.T, strict=False))[:_MOST_FEATURES]:
        table.add_row(f"column {label}" if label.isdecimal() else shown(label), *(f"{value:.6g}" for value in values))
    more = mixture.coef_.shape[1] - _MOST_FEATURES
    if more > 0:
        table.add_row(f"and {more} more (all by --json)", *[""] * len(shares))
    if name is not None:
        what, change = spreads[name]
        table.add_section()
        table.add_row(what, *(f"{change(value):.6g}" for value in getattr(mixture, name)))
    return table


def _parameter_table(mixture: BaseEM, labels: Sequence[str]) -> Grid:
    if hasattr(mixture, "coef_"):
        return _coefficient_table(mixture, labels)
    console, features = make_console(), _features(mixture)
    table = _wide_table(mixture, labels, features)
    # Measured without the limit of the terminal: a table that does not fit would be cut.
    width = console.measure(table, options=console.options.update(width=10_000)).maximum
    is_wide = len(labels) > _WIDE_FEATURES or width > console.width
    return _long_table(mixture, labels, features) if is_wide else table


def print_model(mixture: BaseEM, labels: Sequence[str], facts: dict[str, str]) -> None:
    """Parameters and an account of a model."""
    parts = [_parameter_table(mixture, labels)]
    if is_chain(mixture):
        parts.append(grid("from state", *(f"to {k}" for k in range(mixture.n_components))))
        for k, row in enumerate(mixture.transmat_):
            parts[-1].add_row(str(k), *map(share, row))
    print_parts(*parts, facts_table(_fit_attributes(mixture) | facts), title=title(mixture))


def _fit_attributes(mixture: BaseEM) -> dict[str, str]:
    """What happened during the fit, for those models that were fitted."""
    if not hasattr(mixture, "fit_report_"):
        return {"fit": "none: the parameters were given"}
    report = mixture.fit_report_
    if report.stop_reason == "partial_fit":
        facts = {"fit": f"partial_fit of {count(report.n_rows, 'row')}"}
    else:
        passes = "iteration" if report.online is None else "epoch"
        facts = {"fit": f"{_REASONS[report.stop_reason]} after {count(report.n_iter, passes)}"}
    if report.n_iter_reduced:
        what = f"samples of up to {report.n_rows_subsample} rows" if report.n_rows_subsample else "bins"
        facts["fit"] += f", and {report.n_iter_reduced} before them on {what}"
    if report.online is not None:
        facts["fit"] += f", {count(report.online.n_updates, 'update')}"
    n_raced = [len(heat) for race in report.races for heat in race.heats]
    n_starts = max(len(report.runs), *n_raced, 1)
    if n_starts > 1:
        facts["fit"] += f"; best of {n_starts} starts"
    left = "" if math.isnan(report.remaining) else f"; estimated remaining improvement {report.remaining:.1g}"
    if not math.isnan(report.objective):
        facts["objective"] = f"{report.objective:.9g} nats per row{left}"
    if report.online is not None and report.online.alarms:
        rows = ", ".join(f"{weight:.9g}" for weight in report.online.alarms)
        facts["drift"] = f"detected after rows of total weight {rows}"
    if report.repairs:
        facts["repaired"] = "\n".join(report.described_repairs())
    if report.zero_density_weight > 0:
        facts["zero density"] = f"rows of total weight {report.zero_density_weight:g} have density zero"
    return facts


# Other tables, and facts.


def print_selection(selection: Selection, facts: dict[str, str]) -> None:
    """The candidates of a selection, and which of them was chosen."""
    numbers = ["loglik", *_CRITERIA[selection.criterion]]
    about = {"covariance_type": "covariance", "n_components": "components", "n_parameters": "parameters"}
    names = [name for name in about if name in selection.table[0]]
    table = grid("", *(about[name] for name in names), *(name.replace("_", " ") for name in numbers), "")
    for index, row in enumerate(selection.table):
        cells = [*(str(row[name]) for name in names), *(f"{row[name]:.7g}" for name in numbers)]
        state = ["not converged"] * (not row["converged"]) + ["collapsed"] * (row["collapsed"] > 0)
        table.add_row("*" if index == selection.best_index_ else "", *cells, ", ".join(state))
    chosen = f"chosen by {selection.criterion}: {title(selection.best_estimator_)}"
    print_parts(table, facts_table(facts), title=chosen)


def print_shares(mixture: BaseEM, counts: np.ndarray, facts: dict[str, str]) -> None:
    """Rows by component or state; expected numbers of rows when they are not whole."""
    table = grid(noun(mixture), "rows", "share")
    for k, n in enumerate(counts.tolist()):
        table.add_row(str(k), str(n) if isinstance(n, int) else f"{n:.1f}", share(n / counts.sum()))
    print_parts(table, facts_table(facts))


def data_facts(
    rows: Rows, source: Source, weight: float, n_rows: int | None = None, n_unusable: int = 0
) -> dict[str, str]:
    """What was read, and how many of the rows could not be used."""
    n_rows = (source.n_rows or 0) if n_rows is None else n_rows
    name = str(rows.file) if len(rows.files) == 1 else f"{len(rows.files)} files"
    weighted = "" if weight == n_rows - n_unusable else f" of total weight {weight:.9g}"
    left_out = f", {n_unusable} with values that cannot be used left out" if n_unusable else ""
    return {"data": f"{name}: {count(n_rows, 'row')}{weighted}, {count(source.n_features, 'column')}{left_out}"}


def criteria_facts(criteria: dict[str, float]) -> dict[str, str]:
    """How well a model describes the rows."""
    if "loglik" not in criteria:
        return {}
    return {
        "log-likelihood": f"{criteria['loglik']:.9g} nats",
        "AIC, BIC": f"{criteria['aic']:.9g}, {criteria['bic']:.9g} (lower is better)",
    }
