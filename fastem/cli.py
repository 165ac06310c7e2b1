"""The command line: fit, predict, score, sample and info on files, and warmup.

Numerical packages are imported inside commands.
"""

from __future__ import annotations

import csv
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from fastem._extras import MissingExtraError
from fastem._terminal import (
    count,
    criteria_facts,
    data_facts,
    describe,
    facts_table,
    feature_labels,
    feature_names,
    make_console,
    print_json,
    print_model,
    print_shares,
    settings,
    title,
    written_facts,
)

if TYPE_CHECKING:
    import numpy as np

    from fastem import GaussianMixture
    from fastem._table import Table, TableFile

NOT_CONVERGED = 3
_OPTIONS = {
    "n_components": "--components",
    "init_params": "--init",
    "n_init": "--n-init",
    "n_threads": "--threads",
    "max_iter": "--max-iter",
    "tol": "--tol",
    "reg_covar": "--reg-covar",
    "random_state": "--seed",
    "sample_weight": "--weight-column",
}


class Covariance(StrEnum):
    """Shapes of covariances, as the estimator names them."""

    FULL = "full"
    TIED = "tied"
    DIAG = "diag"
    SPHERICAL = "spherical"


class Init(StrEnum):
    """Starts that need no arrays, as the estimator names them."""

    KMEANS_PLUS_PLUS = "k-means++"
    KMEANS = "kmeans"
    RANDOM_FROM_DATA = "random_from_data"
    RANDOM = "random"
    QUANTILE = "quantile"


def _choices(options: type[StrEnum]) -> str:
    *others, last = options
    return f"{', '.join(others)} or {last}"


class _Commands(TyperGroup):
    """Commands whose expected errors are one line on stderr, and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # The reader of a pipe has seen enough; typer ends quietly.
            raise
        except (ValueError, TypeError, OSError, MissingExtraError) as error:
            _tell("error", _words(error))
            raise typer.Exit(1) from error


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _tell(kind: str, message: str) -> None:
    """One line on stderr."""
    typer.echo(f"{kind}: {' '.join(message.split())}", err=True)


def _in_options(message: str) -> str:
    """A message of the estimator, whose parameters bear the names of options."""
    names = "|".join(_OPTIONS)
    return re.sub(rf"(?<!['\w])({names})(?!['\w])", lambda match: _OPTIONS[match[0]], message)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Whether a file can be read is seen when it is opened: an error of the data (code 1), not of usage.
DataFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="Rows: .csv, .csv.gz or .npy.", show_default=False, readable=False)
]
ModelFile = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A model written by fit.", show_default=False, readable=False)
]
Columns = Annotated[
    str | None,
    typer.Option(metavar="A,B,...", help="Columns to use, by name or by position from 0. By default all."),
]
WeightColumn = Annotated[
    str | None, typer.Option(metavar="A", help="Column of non-negative row weights; 2 counts a row twice.")
]
RowsOutput = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", readable=False, help="Write .csv, .csv.gz or .npy. By default CSV on stdout."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, metavar="N", help="Most threads; as many as numba may use by default."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from fastem import __version__

        typer.echo(f"fastem {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: [bold]0[/] done; [bold]1[/] unusable file, data or option value (one line on stderr); "
    "[bold]2[/] wrong usage; [bold]3[/] not converged, under --strict."
)
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Gaussian mixtures fitted by expectation-maximisation at the speed of the hardware.

    A FILE holds rows of numbers: [bold].csv[/] or [bold].csv.gz[/] (separated by commas, with a header or without),
    or [bold].npy[/] (read in place; it may be larger than memory).

    A MODEL is what [bold]fit --output[/] writes, and [bold]fastem.load[/] reads in Python.

    Example: [cyan]fastem fit faithful.csv --components 2 --output model.npz --plot fit.png[/]
    """


@app.command("fit")
def fit_command(
    file: DataFile,
    components: Annotated[
        int, typer.Option("--components", "-k", min=1, metavar="K", help="Number of components.", show_default=False)
    ],
    covariance: Annotated[
        Covariance, typer.Option("--covariance", "-c", metavar="TYPE", help=f"Covariances: {_choices(Covariance)}.")
    ] = Covariance.FULL,
    columns: Columns = None,
    weight_column: WeightColumn = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="MODEL", readable=False, help="Write the model, usually as .npz."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="PICTURE", readable=False, help="Draw data, density and objective: .png, .svg... Needs matplotlib."
        ),
    ] = None,
    init: Annotated[
        Init, typer.Option(metavar="START", help=f"The start: {_choices(Init)} (of one column).")
    ] = Init.KMEANS_PLUS_PLUS,
    n_init: Annotated[int, typer.Option(min=1, metavar="N", help="Number of starts; the best fit is kept.")] = 1,
    tol: Annotated[
        float, typer.Option(min=0, metavar="NATS", help="Stop when less than this is left to gain per row.")
    ] = 1e-5,
    max_iter: Annotated[int, typer.Option(min=1, metavar="N", help="Most iterations of a start.")] = 1000,
    reg_covar: Annotated[
        float, typer.Option(min=0, metavar="X", help="Added to variances, in squared units of the data.")
    ] = 0.0,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, metavar="N", help="Make the fit repeatable.", show_default=False)
    ] = None,
    threads: Threads = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Tell the objective every 10 iterations.")] = False,
    progress: Annotated[bool, typer.Option("--progress", help="Show a progress bar. Needs tqdm.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 3 when the fit has not converged.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fit a mixture to the rows of a file, and print its parameters.

    Examples:

    [cyan]fastem fit faithful.csv --components 2 --seed 0 --plot fit.png[/]

    [cyan]fastem fit rows.npy -k 16 --covariance diag --columns 0,2,5 --n-init 4 -o model.npz[/]
    """
    from fastem import GaussianMixture
    from fastem._table import open_table, require_writable

    for path in (output, plot):
        if path is not None:
            require_writable(path, [file])
    if plot is not None:
        _require_picture(plot)
    table = _read(open_table(file), columns, weight_column)
    mixture = GaussianMixture(
        components, covariance_type=covariance.value, init_params=init.value, n_init=n_init, tol=tol,
        max_iter=max_iter, reg_covar=reg_covar, random_state=seed, n_threads=threads, verbose=int(verbose),
        progress=progress,
    )  # fmt: skip
    notices = _fit(mixture, table)
    if output is not None:
        mixture.save(output)
    if plot is not None:
        _draw(plot, mixture, table)
    written = {"model": output, "plot": plot}
    criteria = _criteria(mixture, table)
    if as_json:
        print_json({"file": file, **criteria, **describe(mixture), "written": written})
    else:
        facts = data_facts(file, table) | criteria_facts(criteria) | written_facts(written)
        print_model(mixture, table.labels, facts)
    for notice in notices:
        _tell("warning", notice)
    if strict and not mixture.converged_:
        raise typer.Exit(NOT_CONVERGED)


@app.command("predict")
def predict_command(
    model: ModelFile,
    file: DataFile,
    output: RowsOutput = None,
    proba: Annotated[bool, typer.Option("--proba", help="The probability of every component, not a label.")] = False,
    columns: Columns = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Assign each row of a file to its most probable component.

    Columns are found by the names that the model was fitted to, where the file has a header. With --output, the
    number of rows of each component is printed.

    Example: [cyan]fastem predict model.npz faithful.csv --output labels.csv[/]
    """
    from fastem._table import require_writable, write_table

    if output is not None:
        require_writable(output, [model, file])
    mixture, table = _load_both(model, file, columns)
    mixture.set_params(n_threads=threads)
    with _rows_of(table):
        values = mixture.predict_proba(table.X) if proba else mixture.predict(table.X)
    names = [f"component {k}" for k in range(mixture.n_components)] if proba else ["label"]
    if output is not None or not as_json:
        write_table(output, names, values)
    if as_json:
        result = {"proba" if proba else "labels": values} if output is None else {"written": {"output": output}}
        print_json({"file": file, "model": model, "n_rows": len(values), **result})
    elif output is not None:
        counts = values.sum(axis=0) if proba else _counts(values, mixture.n_components)
        print_shares(counts, {"output": output})


@app.command("score")
def score_command(
    model: ModelFile,
    file: DataFile,
    columns: Columns = None,
    weight_column: WeightColumn = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Tell how well a model describes the rows of a file: log-likelihood, AIC and BIC.

    Example: [cyan]fastem score model.npz faithful.csv[/]
    """
    mixture, table = _load_both(model, file, columns, weight_column)
    mixture.set_params(n_threads=threads)
    criteria = _criteria(mixture, table)
    if as_json:
        print_json({"file": file, "model": model, **criteria})
    else:
        facts = {"model": f"{model}: {title(mixture)}", "score": f"{criteria['score']:.9g} nats per row"}
        make_console().print(facts_table(facts | data_facts(file, table) | criteria_facts(criteria)))


@app.command("sample")
def sample_command(
    model: ModelFile,
    n: Annotated[int, typer.Option("-n", min=1, metavar="N", help="Number of rows.", show_default=False)],
    output: RowsOutput = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=2**32 - 1, metavar="N", help="Make the rows repeatable. By default the seed of the fit, if any."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw rows from a model.

    Example: [cyan]fastem sample model.npz -n 1000 --seed 0 --output rows.csv[/]
    """
    from fastem import load
    from fastem._table import require_writable, write_table

    if output is not None:
        require_writable(output, [model])
    mixture = load(model)
    if seed is not None:
        mixture.set_params(random_state=seed)
    X, labels = mixture.sample(n)
    names = feature_labels(mixture)
    if output is not None or not as_json:
        write_table(output, names, X)
    if as_json:
        result = {"rows": X, "labels": labels} if output is None else {"written": {"output": output}}
        print_json({"model": model, "n_rows": n, "columns": names, **result})
    elif output is not None:
        print_shares(_counts(labels, mixture.n_components), {"output": output})


@app.command("info")
def info_command(model: ModelFile, as_json: AsJson = False) -> None:
    """Show a saved model: its parameters, its settings, and the story of its fit.

    Example: [cyan]fastem info model.npz[/]
    """
    from fastem import load

    mixture = load(model)
    if as_json:
        print_json({"file": model, **describe(mixture)})
        return
    print_model(mixture, feature_labels(mixture), {"file": str(model), "settings": settings(mixture)})


@app.command("warmup")
def warmup_command(
    covariances: Annotated[
        list[Covariance] | None,
        typer.Option(
            "--covariance", "--covariance-type", "-c", metavar="TYPE", show_default=False,
            help=f"Covariances: {_choices(Covariance)}; may be given several times. By default all.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Compile the kernels ahead, so that the first fit and the first prediction need not wait for it.

    They are kept on disk for every later process; those that are found there are not compiled again.

    Example: [cyan]fastem warmup --covariance full --covariance diag[/]
    """
    from fastem import warmup

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warmup([kind.value for kind in covariances or Covariance], verbose=True)
    for warning in caught:
        _tell("warning", str(warning.message))


# Work.


def _read(opened: TableFile, columns: str | None, weight_column: str | None, known: list[str] | None = None) -> Table:
    """Read the columns asked for, or those `known`, or all."""
    from fastem._table import read_table

    # A line of CSV, so that a name with a comma can be quoted.
    chosen = known if columns is None else next(csv.reader([columns]), [])
    return read_table(opened, chosen, weight_column)


def _load_both(
    model: Path, file: Path, columns: str | None, weight_column: str | None = None
) -> tuple[GaussianMixture, Table]:
    """A model, and a table with as many columns as it was fitted to."""
    from fastem import load
    from fastem._table import open_table

    mixture = load(model)
    opened = open_table(file)
    names = feature_names(mixture) if opened.names and columns is None else None
    missing = [name for name in names or [] if name not in (opened.names or [])]
    if missing:
        raise ValueError(
            f"{file} has no column {', '.join(missing)}, which {model} was fitted to. "
            f"Its columns: {', '.join(opened.names or [])}. Choose others by --columns."
        )
    table = _read(opened, columns, weight_column, names)
    n_columns, n_expected = table.X.shape[1], mixture.n_features_in_
    if n_columns != n_expected:
        raise ValueError(
            f"{model} was fitted to {count(n_expected, 'column')}, but {n_columns} would be taken from {file}. "
            f"Choose {n_expected} by --columns."
        )
    return mixture, table


def _fit(mixture: GaussianMixture, table: Table) -> list[str]:
    """Fit, and return what the estimator warned of."""
    import numpy as np

    # What the fit prints while it runs is not its result.
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(sys.stderr), _rows_of(table):
        warnings.simplefilter("always")
        mixture.fit(table.X, sample_weight=table.weight)
    if table.names:
        mixture.feature_names_in_ = np.array(table.names, dtype=object)
    return [_in_options(str(warning.message)) for warning in caught]


@contextmanager
def _rows_of(table: Table) -> Iterator[None]:
    """Tell errors by columns of the file and by options, and accept columns that were matched by name.

    What is compiled meanwhile is told on stderr.
    """
    from fastem.estimators._running import telling_compilations_to

    with warnings.catch_warnings(), telling_compilations_to(lambda line: typer.echo(line, err=True)):
        # The array bears no names; its columns were chosen by them.
        warnings.filterwarnings("ignore", message="X does not have valid feature names", category=UserWarning)
        try:
            yield
        except ValueError as error:
            table.require_finite()
            raise ValueError(_in_options(str(error))) from error


def _criteria(mixture: GaussianMixture, table: Table) -> dict[str, float]:
    n_rows = table.X.shape[0]
    weight = float(n_rows if table.weight is None else table.weight.sum())
    with _rows_of(table):
        score = mixture.score(table.X, sample_weight=table.weight)
        aic = mixture.aic(table.X, sample_weight=table.weight)
        bic = mixture.bic(table.X, sample_weight=table.weight)
    return {"n_rows": n_rows, "weight": weight, "score": score, "loglik": score * weight, "aic": aic, "bic": bic}


def _counts(labels: np.ndarray, n_components: int) -> np.ndarray:
    import numpy as np

    return np.bincount(labels, minlength=n_components)


def _require_picture(path: Path) -> None:
    """Raise before the fit when the picture could not be drawn."""
    from fastem._extras import require

    kinds = require("matplotlib.figure", "plot", "--plot").Figure().canvas.get_supported_filetypes()
    if path.suffix.lower().removeprefix(".") not in kinds:
        raise ValueError(f"Cannot draw {path}: its name must end in one of {', '.join(f'.{kind}' for kind in kinds)}.")


def _draw(path: Path, mixture: GaussianMixture, table: Table) -> None:
    from fastem._extras import require
    from fastem.plotting import plot_density, plot_objective

    # A figure apart from pyplot needs no display.
    figure = require("matplotlib.figure", "plot", "--plot").Figure(figsize=(12, 4.5), layout="constrained")
    density, objective = figure.subplots(1, 2)
    with _rows_of(table):
        plot_density(mixture, table.X, ax=density, sample_weight=table.weight)
    plot_objective(mixture, ax=objective)
    figure.savefig(path, dpi=150)
