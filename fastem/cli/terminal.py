"""What the command line prints: tables for people, JSON for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from fastem._text import shown

if TYPE_CHECKING:
    import numpy as np

    from fastem import Selection
    from fastem.bench.contest import Result
    from fastem.estimators._em import BaseEM
    from fastem.sources import Source

_REASONS = {
    "converged": "converged",
    "max_iter": "not converged: iterations ran out",
    "objective_fell": "not converged: the objective fell",
    "interrupted": "not converged: interrupted",
    "failed": "not converged: the data could not be read to the end",
}
# What is shown of candidates that are compared by each criterion: no more than a terminal is wide.
_CRITERIA = {"bic": ("aic", "bic"), "aic": ("bic", "aic"), "icl": ("bic", "icl"), "heldout": ("heldout", "heldout_se")}
# A table of parameters with more columns than this is read by rows.
_WIDE_FEATURES = 6
_MOST_FEATURES = 20


def _moments(mixture: BaseEM) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of each component and feature (K, D); NaN for categories."""
    import numpy as np

    if hasattr(mixture, "n_mix"):
        # Of states that are mixtures themselves.
        marginals = [mixture.marginal(column) for column in range(mixture.n_features_in_)]
        return np.stack([each.means for each in marginals], axis=1), np.stack([each.sds for each in marginals], axis=1)
    if not hasattr(mixture, "covariance_type"):
        means, variances = mixture._model.family.moments(mixture._params.family)
        return means, np.sqrt(variances)
    means, variances = mixture._params.family.means, mixture._params.family.covariances
    if mixture.covariance_type in ("full", "tied"):
        variances = np.diagonal(variances, axis1=-2, axis2=-1)
    elif mixture.covariance_type == "spherical":
        variances = variances[:, None]
    return means, np.broadcast_to(np.sqrt(variances), means.shape)


def _parameters(mixture: BaseEM) -> dict[str, Any]:
    """Fitted parameters, by name."""
    names = (
        "weights_", "startprob_", "transmat_", "means_", "variances_", "covariances_", "covars_", "rates_", "lambdas_",
        "probabilities_", "emissionprob_", "shapes_", "scales_",
    )  # fmt: skip
    return {name.removesuffix("_"): getattr(mixture, name) for name in names if hasattr(mixture, name)}


def feature_names(mixture: BaseEM) -> list[str] | None:
    """Names of the features that the model was fitted to."""
    names = getattr(mixture, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def feature_labels(mixture: BaseEM) -> list[str]:
    """Names of the features, made up where the model knows none."""
    return feature_names(mixture) or [f"feature {index}" for index in range(mixture.n_features_in_)]


def describe(mixture: BaseEM) -> dict[str, Any]:
    """Everything about a model."""
    story = ("converged_", "stop_reason_", "n_iter_", "n_steps_", "lower_bound_", "lower_bounds_")
    return {
        "class": type(mixture).__name__,
        "n_components": mixture.n_components,
        "n_features": mixture.n_features_in_,
        "feature_names": feature_names(mixture),
        "covariance_type": getattr(mixture, "covariance_type", None),
        **_parameters(mixture),
        **{name.removesuffix("_"): getattr(mixture, name) for name in story if hasattr(mixture, name)},
        "report": mixture.fit_report_.to_dict() if hasattr(mixture, "fit_report_") else None,
        "settings": mixture.get_params(deep=False),
    }


def print_json(value: dict[str, Any]) -> None:
    """One line of strict JSON on stdout."""
    typer.echo(json.dumps(_plain(value), allow_nan=False))


def _plain(value: Any) -> Any:
    """Values that JSON has; null for NaN and infinity, which it has not."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if hasattr(value, "get_params"):
        return {type(value).__name__: _plain(value.get_params(deep=False))}
    return value if isinstance(value, str | int | float | None) else str(value)


class _Harmless(Console):
    """A console whose texts, all of them, hold no control characters but line breaks."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(shown(text, kept="\n"), **options)


def make_console() -> Console:
    """A console that prints text as it is."""
    # Names of files and columns may hold what rich takes for markup or emoji.
    return _Harmless(markup=False, emoji=False, highlight=False)


def title(mixture: BaseEM) -> str:
    """What kind of model it is."""
    is_chain = mixture._model.latent.is_chain
    kind = "hidden Markov model" if is_chain else "mixture"
    components = count(mixture.n_components, noun(mixture))
    if hasattr(mixture, "covariance_type"):
        return f"Gaussian {kind}, {components}, {mixture.covariance_type} covariance"
    words = mixture._distributions().removeprefix("chains of ")
    return f"{kind} of {words}, {components}"


def noun(mixture: BaseEM) -> str:
    """What its parts are called."""
    return "state" if mixture._model.latent.is_chain else "component"


def _shares(mixture: BaseEM) -> np.ndarray:
    """Of the components; of the states of a chain, in the long run."""
    return mixture.get_stationary_distribution() if mixture._model.latent.is_chain else mixture.weights_


def count(n: int, noun: str) -> str:
    """A number and its noun."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def print_model(mixture: BaseEM, labels: Sequence[str], facts: dict[str, str]) -> None:
    """Parameters and the story of a model."""
    console = make_console()
    console.print(title(mixture), style="bold")
    table = _wide_parameters(mixture, labels)
    # Measured without the limit of the terminal: a table that does not fit would be cut.
    width = console.measure(table, options=console.options.update(width=10_000)).maximum
    if len(labels) > _WIDE_FEATURES or width > console.width:
        table = _long_parameters(mixture, labels)
    parts = [table]
    if mixture._model.latent.is_chain:
        transitions = _grid("from state", *(f"to {k}" for k in range(mixture.n_components)))
        for k, row in enumerate(mixture.transmat_):
            transitions.add_row(str(k), *map(_share, row))
        parts.append(transitions)
    _print_parts(console, *parts, facts_table(_story(mixture) | facts))


def print_selection(selection: Selection, facts: dict[str, str]) -> None:
    """The candidates of a selection, and which of them was chosen."""
    console = make_console()
    console.print(f"chosen by {selection.criterion}: {title(selection.best_estimator_)}", style="bold")
    shown = ["loglik", *_CRITERIA[selection.criterion]]
    about = {"covariance_type": "covariance", "n_components": "components", "n_parameters": "parameters"}
    names = [name for name in about if name in selection.table[0]]
    grid = _grid("", *(about[name] for name in names), *(name.replace("_", " ") for name in shown), "")
    for index, row in enumerate(selection.table):
        facts_of_row = (str(row[name]) for name in names)
        numbers = (f"{row[name]:.7g}" for name in shown)
        state = ", ".join(["not converged"] * (not row["converged"]) + ["collapsed"] * (row["collapsed"] > 0))
        grid.add_row("*" if index == selection.best_index_ else "", *facts_of_row, *numbers, state)
    _print_parts(console, grid, facts_table(facts))


def _print_parts(console: Console, *parts: Grid) -> None:
    for part in parts:
        console.print()
        console.print(part)


def _grid(*columns: str) -> Grid:
    """A table whose columns after the first hold numbers."""
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        grid.add_column(column, justify="right" if index else "left", no_wrap=True)
    return grid


def _wide_parameters(mixture: BaseEM, labels: Sequence[str]) -> Grid:
    grid = _grid(
        noun(mixture),
        "share" if mixture._model.latent.is_chain else "weight",
        *(f"{_heading(name)}\n{what}" for name, what in zip(labels, _told(mixture), strict=True)),
    )
    cells = _cells(mixture)
    signs = ["±" if what == "mean ± sd" else ":" for what in _told(mixture)]
    for k, weight in enumerate(_shares(mixture)):
        grid.add_row(
            str(k),
            _share(weight),
            *(f"{value} {sign} {spread}" for (value, spread), sign in zip(cells[k], signs, strict=True)),
        )
    return grid


def _long_parameters(mixture: BaseEM, labels: Sequence[str]) -> Grid:
    grid = _grid(noun(mixture), "share", "column", *_told_by_rows(mixture))
    names = grid.columns[2]
    names.justify, names.no_wrap, names.overflow = "left", False, "fold"
    shown = labels[:_MOST_FEATURES]
    for k, (weight, cells) in enumerate(zip(_shares(mixture), _cells(mixture), strict=True)):
        for index, (name, (mean, sd)) in enumerate(zip(shown, cells, strict=False)):
            grid.add_row(*((str(k), _share(weight)) if index == 0 else ("", "")), name, mean, sd)
        if len(labels) > len(shown):
            grid.add_row("", "", f"and {len(labels) - len(shown)} more (all by --json)", "", "")
        grid.add_section()
    return grid


def _told(mixture: BaseEM) -> list[str]:
    """What is told of each column."""
    means, _ = _moments(mixture)
    return ["most probable" if math.isnan(mean) else "mean ± sd" for mean in means[0]]


def _told_by_rows(mixture: BaseEM) -> tuple[str, str]:
    has_categories = "most probable" in _told(mixture)
    return ("mean, or category", "sd, or probability") if has_categories else ("mean", "sd")


def _heading(label: str) -> str:
    # A line break would be one of the table.
    return f"column {label}" if label.isdecimal() else shown(label)


def _cells(mixture: BaseEM) -> list[list[tuple[str, str]]]:
    """Mean and standard deviation of each component and feature, with the same decimals all down a feature.

    Of categories, the most probable one and its probability.
    """
    means, sds = _moments(mixture)
    tables: Any = getattr(mixture, "probabilities_", getattr(mixture, "emissionprob_", None))
    if tables is not None and mixture.n_features_in_ == 1 and not isinstance(tables, list):
        tables = [tables]
    columns = []
    for j in range(mixture.n_features_in_):
        if math.isnan(means[0, j]):
            columns.append([(f"category {table.argmax()}", f"{table.max():.4f}") for table in tables[j]])
            continue
        form = _number_format(means[:, j], sds[:, j])
        columns.append(
            [(format(mean, form), format(sd, form)) for mean, sd in zip(means[:, j], sds[:, j], strict=True)]
        )
    return [list(row) for row in zip(*columns, strict=True)]


def _number_format(means: np.ndarray, sds: np.ndarray) -> str:
    """Decimals that show four digits of the smallest standard deviation, or powers of ten for extreme numbers."""
    least = sds.min()
    decimals = max(0, 3 - math.floor(math.log10(least))) if least > 0.0 else 4
    return f".{decimals}f" if decimals <= 9 and abs(means).max() < 1e12 and sds.max() < 1e12 else ".4e"


def _share(weight: float) -> str:
    return f"{weight:.1e}" if 0 < weight < 1e-3 else f"{weight:.4f}"


def _story(mixture: BaseEM) -> dict[str, str]:
    """What happened during the fit, for those models that were fitted."""
    if not hasattr(mixture, "fit_report_"):
        return {"fit": "none: the parameters were given"}
    report = mixture.fit_report_
    if report.stop_reason == "partial_fit":
        facts = {"fit": f"partial_fit of {count(report.n_rows, 'row')}"}
    else:
        passes = "iteration" if report.online is None else "epoch"
        facts = {"fit": f"{_REASONS[report.stop_reason]} after {count(report.n_iter, passes)}"}
    if report.n_iter_ahead:
        what = f"samples of up to {report.n_rows_sampled} rows" if report.n_rows_sampled else "bins"
        facts["fit"] += f", and {report.n_iter_ahead} before them on {what}"
    if report.online is not None:
        facts["fit"] += f", {count(report.online.n_updates, 'update')}"
    n_raced = max((len(heat) for race in report.races for heat in race.heats), default=1)
    if max(len(report.runs), n_raced) > 1:
        facts["fit"] += f"; best of {max(len(report.runs), n_raced)} starts"
    left = "" if math.isnan(report.remaining) else f"; about {report.remaining:.1g} left to gain"
    if not math.isnan(report.objective):
        facts["objective"] = f"{report.objective:.9g} nats per row{left}"
    if report.online is not None and report.online.alarms:
        rows = ", ".join(f"{weight:.9g}" for weight in report.online.alarms)
        facts["drift"] = f"the rows changed by row {rows}"
    if report.rescues:
        facts["rescued"] = "\n".join(report.told_rescues())
    if report.impossible_weight > 0:
        facts["impossible"] = f"rows of total weight {report.impossible_weight:g} have density zero"
    return facts


def settings(mixture: BaseEM) -> str:
    """Constructor parameters, on one line."""
    settings = mixture.get_params(deep=False).items()
    return ", ".join(f"{name}={_one_line(value)}" for name, value in settings if value is not None)


def _one_line(value: Any) -> str:
    return f"an array of shape {value.shape}" if hasattr(value, "shape") else str(value)


def data_facts(
    files: Sequence[Path], source: Source, weight: float, n_rows: int | None = None, n_missing: int = 0
) -> dict[str, str]:
    """What was read, and how many of the rows could not be used."""
    n_rows = (source.n_rows or 0) if n_rows is None else n_rows
    name = str(files[0]) if len(files) == 1 else f"{len(files)} files"
    weighted = "" if weight == n_rows - n_missing else f" of total weight {weight:.9g}"
    left_out = f", {n_missing} with missing or infinite values left out" if n_missing else ""
    return {"data": f"{name}: {count(n_rows, 'row')}{weighted}, {count(source.n_features, 'column')}{left_out}"}


def criteria_facts(criteria: dict[str, float]) -> dict[str, str]:
    """How well a model describes the rows."""
    if "loglik" not in criteria:
        return {}
    return {
        "log-likelihood": f"{criteria['loglik']:.9g} nats",
        "AIC, BIC": f"{criteria['aic']:.9g}, {criteria['bic']:.9g} (lower is better)",
    }


def facts_table(facts: dict[str, str]) -> Grid:
    """Names and values in two columns."""
    grid = Grid.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        grid.add_row(name, value)
    return grid


def print_shares(mixture: BaseEM, counts: np.ndarray, written: dict[str, Path | None]) -> None:
    """Rows by component or state; expected numbers of rows when they are not whole."""
    grid = _grid(noun(mixture), "rows", "share")
    for k, count in enumerate(counts.tolist()):
        grid.add_row(str(k), str(count) if isinstance(count, int) else f"{count:.1f}", _share(count / counts.sum()))
    _print_parts(make_console(), grid, facts_table(written_facts(written)))


def written_facts(written: dict[str, Path | None]) -> dict[str, str]:
    """Which files were written."""
    return {name: f"written to {path}" for name, path in written.items() if path is not None}


def print_contest(results: Sequence[Result], machine: dict[str, Any]) -> None:
    """fastem against its peers, a line for each problem and peer."""
    from fastem.bench.versus import rounded

    grid = _grid("problem", "peer", "fastem", "peer", "ratio", "difference")
    grid.columns[1].justify = "left"
    for result in results:
        difference = "own start" if result.difference is None else f"{result.difference:.0e}"
        numbers = [rounded(value) for value in (result.ours, result.theirs, result.ratio)]
        grid.add_row(str(result.problem), result.peer, *numbers, difference)
    peers = ", ".join(f"{name} {version}" for name, version in machine["peers"].items())
    facts = {
        "problem": "D features, N rows, K components, type of covariance",
        "times": "ns per row and iteration; ratio: that of the peer / that of fastem",
        "difference": "relative, of the log-likelihoods that both reach from one start",
        "machine": f"{machine['processor']}, {count(machine['cores'], 'core')}, {machine['threads']} used by fastem",
        "versions": f"fastem {machine['fastem']}, numba {machine['numba']}, {peers}",
    }
    if machine["not_installed"]:
        facts["not installed"] = f"{', '.join(machine['not_installed'])} (pip install 'fastem[peers]')"
    _print_parts(make_console(), grid, facts_table(facts))
