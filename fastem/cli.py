"""The command line: fit, select, predict, score, sample and info on files, warmup and bench.

Numerical packages are imported inside commands.
"""

from __future__ import annotations

import csv
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from fastem._extras import MissingExtraError
from fastem._options import (
    AsJson,
    Columns,
    Covariance,
    Criterion,
    DataFiles,
    Family,
    Hmm,
    Init,
    Memory,
    ModelFile,
    RowsOutput,
    SequenceColumn,
    Threads,
    WeightColumn,
    choices,
)
from fastem._terminal import (
    criteria_facts,
    data_facts,
    describe,
    facts_table,
    feature_labels,
    make_console,
    noun,
    print_contest,
    print_json,
    print_model,
    print_selection,
    print_shares,
    settings,
    title,
    written_facts,
)

if TYPE_CHECKING:
    import numpy as np

    from fastem import Selection
    from fastem.estimators._mixture import BaseMixture
    from fastem.sources import Source

NOT_CONVERGED = 3
# What shells give to a process that an interrupt has ended; loops of a script stop at it.
INTERRUPTED = 130
_DRAWN_ROWS = 200_000
_CHAINS_ONLY = "for hidden Markov models. Give --hmm, too"
_OPTIONS = {
    "n_components": "--components",
    "family": "--family",
    "init_params": "--init",
    "n_init": "--n-init",
    "n_threads": "--threads",
    "memory_limit": "--memory",
    "checkpoint": "--checkpoint",
    "batch_size": "--batch-size",
    "half_life": "--half-life",
    "compress": "--compress",
    "max_iter": "--max-iter",
    "tol": "--tol",
    "reg_covar": "--reg-covar",
    "random_state": "--seed",
    "sample_weight": "--weight-column",
}
# What the estimator says of settings that are no options, and what stands for them here.
_PHRASES = {
    "fastem.open_source(X, columns=[...])": "--columns",
    "learning_method='incremental'": "--incremental",
    "Use resume=False": "Leave out --resume",
    "fit(..., resume=True)": "--resume",
    "resume=True": "--resume",
    "compress=None": "no --compress",
    "; from here on learning_method='batch' with warm_start=True is quicker": ", or leave out --online",
    "continue with warm_start=True": "to be able to go on from them, fit with --checkpoint and then --resume",
}


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
        except KeyboardInterrupt as error:
            _tell("error", "interrupted")
            raise typer.Exit(INTERRUPTED) from error


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _tell(kind: str, message: str) -> None:
    """One line on stderr."""
    typer.echo(f"{kind}: {' '.join(message.split())}", err=True)


def _in_options(message: str, files: Sequence[Path]) -> str:
    """A message of the estimator, whose parameters bear the names of options, and whose X that of the file."""
    for phrase, ours in _PHRASES.items():
        message = message.replace(phrase, ours)
    name = str(files[0]) if len(files) == 1 else f"one of {len(files)} files"
    message = re.sub(r"(?<!['\w])(Input )?X(?!['\w])", lambda _: name, message)
    names = "|".join(_OPTIONS)
    return re.sub(rf"(?<!['\w-])({names})(?!['\w])", lambda match: _OPTIONS[match[0]], message)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from fastem import __version__

        typer.echo(f"fastem {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: [bold]0[/] done; [bold]1[/] unusable file, data or option value (one line on stderr); "
    "[bold]2[/] wrong usage; [bold]3[/] not converged, under --strict; [bold]130[/] interrupted by Ctrl-C: "
    "[bold]fit[/] prints and writes the best model so far."
)
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Mixtures fitted by expectation-maximisation at the speed of the hardware.

    A FILE holds rows of numbers, maybe more than memory holds: [bold].csv[/] (also [bold].csv.gz[/]; separated by
    commas, with a header or without), [bold].npy[/], [bold].parquet[/], [bold].arrow[/], [bold].h5[/] or
    [bold].zarr[/]. It is read piece by piece.

    A MODEL is what [bold]fit --output[/] writes, and [bold]fastem.load[/] reads in Python.

    Example: [cyan]fastem fit faithful.csv --components 2 --output model.npz --plot fit.png[/]
    """


@app.command("fit")
def fit_command(
    files: DataFiles,
    components: Annotated[
        int, typer.Option("--components", "-k", min=1, metavar="K", help="Number of components.", show_default=False)
    ],
    covariance: Annotated[
        Covariance, typer.Option("--covariance", "-c", metavar="TYPE", help=f"Covariances: {choices(Covariance)}.")
    ] = Covariance.FULL,
    family: Family = None,
    hmm: Hmm = False,
    columns: Columns = None,
    sequence_column: SequenceColumn = None,
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
        Init, typer.Option(metavar="START", help=f"The start: {choices(Init)} (of one column).")
    ] = Init.KMEANS_PLUS_PLUS,
    n_init: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of starts, which race on a sample; the best is kept.")
    ] = 1,
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
    online: Annotated[
        bool, typer.Option("--online", help="Learn after each batch of shuffled rows; quickest from a poor start.")
    ] = False,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Learn after each block of rows, which may come in any order.")
    ] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Rows of a batch, with --online. By default up to 2000.")
    ] = None,
    half_life: Annotated[
        float | None, typer.Option(metavar="ROWS", help="With --online: after so many more rows, a row counts half.")
    ] = None,
    compress: Annotated[
        int | None,
        typer.Option(min=1, metavar="BINS", help="Fit so many bins of one column first, 4096 say; all rows last."),
    ] = None,
    memory: Memory = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="FILE", readable=False, help="Keep the state of the fit in this file, to resume it."),
    ] = None,
    checkpoint_interval: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Least time between two checkpoints.")
    ] = 60.0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint, if there is one.")] = False,
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

    [cyan]fastem fit 'data/*.parquet' -k 8 --memory 512MB --checkpoint fit.ckpt --resume --progress[/]

    [cyan]fastem fit large.parquet -k 50 --online --progress --output model.npz[/]

    [cyan]fastem fit column.npy -k 4 --compress 4096[/]

    [cyan]fastem fit visits.csv -k 3 --family poisson,categorical,normal --seed 0[/]

    [cyan]fastem fit days.csv -k 2 --hmm --columns return --sequence-column market --seed 0[/]

    Ctrl-C ends the fit with the best model so far, which is printed and written; the exit code is 130.
    """
    from fastem import HMM, GaussianHMM, GaussianMixture, Mixture
    from fastem._output import require_writable

    learning_method = _learning_method(online, incremental, batch_size, half_life, compress)
    for path in (output, plot, checkpoint):
        if path is not None:
            require_writable(path, files)
    if plot is not None:
        _require_picture(plot)
    given = {
        "--covariance": covariance is not Covariance.FULL, "--reg-covar": reg_covar > 0.0,
        "--compress": compress is not None,
    }  # fmt: skip
    if family is not None:
        if plot is not None and not hmm and not _have_curves(family):
            raise typer.BadParameter("--plot: counts of a given total or with an exposure have no curve. Leave it out.")
        _refuse(given, "for Gaussian mixtures only. Leave out --family, or this")
    if hmm:
        others = {"--online": online, "--init": init is not Init.KMEANS_PLUS_PLUS}
        _refuse(
            {**given, **others, "--plot": plot is not None, "--covariance": False},
            "for mixtures only. Leave out --hmm, or this",
        )
    else:
        _refuse({"--sequence-column": sequence_column is not None}, _CHAINS_ONLY)
    source = _open(files, columns, weight_column, sequence_column)
    shared: dict[str, Any] = {
        "n_init": n_init, "tol": tol, "random_state": seed, "learning_method": learning_method, "memory_limit": memory,
        "checkpoint": checkpoint, "checkpoint_interval": checkpoint_interval, "n_threads": threads,
        "verbose": int(verbose), "progress": progress,
    }  # fmt: skip
    if hmm:
        shared["n_iter"] = max_iter
    else:
        shared |= {"init_params": init.value, "max_iter": max_iter, "batch_size": batch_size, "half_life": half_life}
    mixture: BaseMixture
    if family is not None:
        mixture = (HMM if hmm else Mixture)(_kinds(family), components, **shared)
    elif hmm:
        mixture = GaussianHMM(components, covariance_type=covariance.value, **shared)
    else:
        mixture = GaussianMixture(
            components, covariance_type=covariance.value, reg_covar=reg_covar, compress=compress, **shared
        )
    notices = _fit(mixture, source, files, resume)
    if output is not None:
        mixture.save(output)
    if plot is not None:
        _draw(plot, mixture, source)
    written = {"model": output, "plot": plot}
    weight = mixture.fit_report_.weight
    is_exact = learning_method == "batch" or mixture.stop_reason_ != "interrupted"
    criteria = mixture._criteria(mixture.fit_report_.loglik * weight, weight) if is_exact else {"weight": weight}
    if as_json:
        print_json(
            {"file": _names(files), "n_rows": source.n_rows, **criteria, **describe(mixture), "written": written}
        )
    else:
        facts = data_facts(files, source, weight) | criteria_facts(criteria) | written_facts(written)
        print_model(mixture, source.labels, facts)
    for notice in notices:
        _tell("warning", notice)
    if mixture.fit_report_.runs[-1].stop_reason == "interrupted":
        raise typer.Exit(INTERRUPTED)
    if strict and not mixture.converged_:
        raise typer.Exit(NOT_CONVERGED)


@app.command("select")
def select_command(
    files: DataFiles,
    components: Annotated[
        str, typer.Option("--components", "-k", metavar="A-B", help="Numbers of components: 1-9, or 2,4,8.")
    ] = "1-9",
    covariances: Annotated[
        list[Covariance] | None,
        typer.Option(
            "--covariance", "-c", metavar="TYPE", show_default=False,
            help=f"Covariances: {choices(Covariance)}; may be given several times. By default all.",
        ),
    ] = None,
    family: Family = None,
    hmm: Hmm = False,
    criterion: Annotated[
        Criterion, typer.Option(metavar="NAME", help=f"What the candidates are compared by: {choices(Criterion)}.")
    ] = Criterion.BIC,
    min_gain: Annotated[
        float, typer.Option(min=0, metavar="NATS", help="With heldout: least gain per row of one more component.")
    ] = 1e-3,
    max_rows: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Compare on a sample of so many rows. By default on all.")
    ] = None,
    columns: Columns = None,
    sequence_column: SequenceColumn = None,
    weight_column: WeightColumn = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="MODEL", readable=False, help="Write the chosen model."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="PICTURE", readable=False, help="Draw the criterion: .png, .svg... Needs matplotlib."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, metavar="N", help="Make it repeatable.", show_default=False)
    ] = None,
    memory: Memory = None,
    threads: Threads = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Tell every 10 reads how many fits go on.")] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Choose the number of components (states) and the type of covariances, and print what was compared.

    All candidates are fitted in the same reads of the data.

    Examples:

    [cyan]fastem select faithful.csv --components 1-6 --seed 0 --output model.npz[/]

    [cyan]fastem select visits.csv --family poisson,categorical,normal --components 1-6[/]

    [cyan]fastem select days.csv --hmm --columns return --sequence-column market --components 1-5[/]
    """
    from fastem import HMM, GaussianHMM, Mixture, select
    from fastem._output import require_writable

    for path in (output, plot):
        if path is not None:
            require_writable(path, files)
    if plot is not None:
        _require_picture(plot)
    if family is not None:
        _refuse({"--covariance": bool(covariances)}, "for Gaussian components only. Leave out --family, or this")
    if not hmm:
        _refuse({"--sequence-column": sequence_column is not None}, _CHAINS_ONLY)
    source = _open(files, columns, weight_column, sequence_column)
    sizes = _sizes(components)
    estimator: BaseMixture | None = GaussianHMM() if hmm else None
    if family is not None:
        estimator = (HMM if hmm else Mixture)(_kinds(family))
    with _telling_warnings(files) as notices:
        selection = select(
            source, estimator, n_components=sizes,
            covariance_types=[kind.value for kind in covariances] if covariances else None,
            criterion=criterion.value, min_gain=min_gain, max_rows=max_rows, random_state=seed, memory_limit=memory,
            n_threads=threads, verbose=int(verbose),
        )  # fmt: skip
    best = selection.best_estimator_
    if output is not None:
        best.save(output)
    if plot is not None:
        _draw_selection(plot, selection)
    written = {"model": output, "plot": plot}
    if as_json:
        chosen = {"criterion": selection.criterion, "best": selection.best_params_, "candidates": selection.table}
        print_json(
            {"file": _names(files), "n_rows": source.n_rows, **chosen, "model": describe(best), "written": written}
        )
    else:
        print_selection(selection, data_facts(files, source, best.fit_report_.weight) | written_facts(written))
    for notice in notices:
        _tell("warning", notice)


@app.command("predict")
def predict_command(
    model: ModelFile,
    files: DataFiles,
    output: RowsOutput = None,
    proba: Annotated[bool, typer.Option("--proba", help="The probability of every component, not a label.")] = False,
    columns: Columns = None,
    sequence_column: SequenceColumn = None,
    memory: Memory = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Assign each row of a file to its most probable component, or to its state on the most probable path.

    Columns are found by the names that the model was fitted to, where the file has a header. With --output, the
    number of rows of each component is printed. Rows are read and written piece by piece; of a hidden Markov model, by
    whole sequences.

    Example: [cyan]fastem predict model.npz faithful.csv --output labels.csv[/]
    """
    import numpy as np

    from fastem._output import open_output, require_writable

    if output is not None:
        require_writable(output, [model, *files])
    mixture, source = _load_both(model, files, columns, sequence_column=sequence_column)
    mixture.set_params(n_threads=threads, memory_limit=memory)
    names = [f"{noun(mixture)} {k}" for k in range(mixture.n_components)] if proba else ["label"]
    counts = np.zeros(mixture.n_components)
    kept: list[np.ndarray] = []
    with (
        nullcontext() if as_json and output is None else open_output(output, names) as writer,
        _in_a_users_words(files),
    ):
        for values in _predicted(mixture, source, proba):
            counts += values.sum(axis=0) if proba else np.bincount(values, minlength=counts.size)
            if writer is None:
                kept.append(values)
            else:
                writer.write(values)
    if as_json:
        result = {"proba" if proba else "labels": np.concatenate(kept)} if output is None else {}
        written = {} if output is None else {"written": {"output": output}}
        print_json({"file": _names(files), "model": model, "n_rows": source.n_rows, **result, **written})
    elif output is not None:
        print_shares(mixture, counts if proba else counts.astype(np.int64), {"output": output})


@app.command("score")
def score_command(
    model: ModelFile,
    files: DataFiles,
    columns: Columns = None,
    sequence_column: SequenceColumn = None,
    weight_column: WeightColumn = None,
    memory: Memory = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Tell how well a model describes the rows of a file: log-likelihood, AIC and BIC.

    Example: [cyan]fastem score model.npz faithful.csv[/]
    """
    mixture, source = _load_both(model, files, columns, weight_column, sequence_column)
    mixture.set_params(n_threads=threads, memory_limit=memory)
    with _in_a_users_words(files):
        criteria = mixture.criteria(source)
    if as_json:
        print_json({"file": _names(files), "model": model, "n_rows": source.n_rows, **criteria})
    else:
        facts = {"model": f"{model}: {title(mixture)}", "score": f"{criteria['score']:.9g} nats per row"}
        facts |= data_facts(files, source, criteria["weight"]) | criteria_facts(criteria)
        make_console().print(facts_table(facts))


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
    from fastem._output import open_output, require_writable

    if output is not None:
        require_writable(output, [model])
    mixture = _load(model)
    if seed is not None:
        mixture.set_params(random_state=seed)
    X, labels = mixture.sample(n)
    names = feature_labels(mixture)
    if output is not None or not as_json:
        with open_output(output, names) as writer:
            writer.write(X)
    if as_json:
        result = {"rows": X, "labels": labels} if output is None else {"written": {"output": output}}
        print_json({"model": model, "n_rows": n, "columns": names, **result})
    elif output is not None:
        print_shares(mixture, _counts(labels, mixture.n_components), {"output": output})


@app.command("info")
def info_command(model: ModelFile, as_json: AsJson = False) -> None:
    """Show a saved model: its parameters, its settings, and the story of its fit.

    Example: [cyan]fastem info model.npz[/]
    """
    mixture = _load(model)
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
            help=f"Covariances: {choices(Covariance)}; may be given several times. By default all.",
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


@app.command("bench")
def bench_command(
    seconds: Annotated[
        float, typer.Option(min=0, metavar="S", help="About how long to measure, beside what compilation takes.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Measure fastem against scikit-learn, and whatever peers are installed, on this machine: two minutes.

    The time of an iteration of EM from the same parameters, and the log-likelihood that is reached.

    Example: [cyan]fastem bench --json > bench.json[/]
    """
    from fastem.bench.contest import PROBLEMS, contest
    from fastem.bench.peers import PEERS
    from fastem.bench.versus import machine
    from fastem.estimators._running import telling_compilations_to

    def tell(line: str) -> None:
        typer.echo(line, err=True)

    usable = {name: peer for name, peer in PEERS.items() if peer.is_usable()}
    missing = [name for name in PEERS if name not in usable]
    with telling_compilations_to(tell):
        results = list(contest(PROBLEMS, usable, seconds, tell))
    facts = machine() | {"peers": {name: peer.version() for name, peer in usable.items()}, "not_installed": missing}
    if as_json:
        print_json({"machine": facts, "results": [result.to_dict() for result in results]})
    else:
        print_contest(results, facts)


# Work.


def _learning_method(
    online: bool, incremental: bool, batch_size: int | None, half_life: float | None, compress: int | None
) -> str:
    """How the estimator calls what was asked for; a wrong usage when it does not go together."""
    chosen = [name for name, is_on in (("--online", online), ("--incremental", incremental)) if is_on]
    if compress is not None:
        chosen.append("--compress")
    if len(chosen) > 1:
        raise typer.BadParameter(f"{' and '.join(chosen)} are different ways to learn. Give one of them.")
    for name, value in (("--batch-size", batch_size), ("--half-life", half_life)):
        if value is not None and not online:
            raise typer.BadParameter(f"{name} is for online EM. Give --online, too, or leave it out.")
    return "online" if online else "incremental" if incremental else "batch"


def _refuse(given: dict[str, bool], why: str) -> None:
    """A wrong usage when options are given that do not go with others."""
    names = [name for name, is_given in given.items() if is_given]
    if names:
        raise typer.BadParameter(f"{' and '.join(names)}: {why}.")


def _open(
    files: Sequence[Path], columns: str | None, weight_column: str | None, sequence_column: str | None = None
) -> Source:
    """The columns asked for, or all."""
    from fastem import open_source

    # A line of CSV, so that a name with a comma can be quoted.
    chosen = None if columns is None else [name.strip() for name in next(csv.reader([columns]), [])]
    data = list(files) if len(files) > 1 else files[0]
    return open_source(data, chosen, weight_column, sequence_column=sequence_column)


def _names(files: Sequence[Path]) -> Any:
    return list(files) if len(files) > 1 else files[0]


def _load(model: Path) -> BaseMixture:
    from fastem import load

    return load(model)


def _load_both(
    model: Path,
    files: Sequence[Path],
    columns: str | None,
    weight_column: str | None = None,
    sequence_column: str | None = None,
) -> tuple[BaseMixture, Source]:
    mixture = _load(model)
    if not mixture._model.latent.is_chain:
        _refuse({"--sequence-column": sequence_column is not None}, f"for hidden Markov models, and {model} is none")
    return mixture, _open(files, columns, weight_column, sequence_column)


def _predicted(mixture: BaseMixture, source: Source, proba: bool) -> Iterator[np.ndarray]:
    """Labels or probabilities of all rows, piece by piece."""
    if not mixture._model.latent.is_chain:
        for _, values in mixture._scores(mixture._rows(source), "posterior" if proba else "label"):
            yield values
        return
    yield mixture.predict_proba(source) if proba else mixture.predict(source)


def _fit(mixture: BaseMixture, source: Source, files: Sequence[Path], resume: bool) -> list[str]:
    """Fit, and return what the estimator warned of."""
    with _telling_warnings(files) as notices:
        mixture.fit(source, resume=resume)
    return notices


@contextmanager
def _telling_warnings(files: Sequence[Path]) -> Iterator[list[str]]:
    """A list that holds afterwards what was warned of, in a user's words."""
    notices: list[str] = []
    # What a fit prints while it runs is not its result.
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(sys.stderr), _in_a_users_words(files):
        warnings.simplefilter("always")
        yield notices
    notices.extend(_in_options(str(warning.message), files) for warning in caught)


def _kinds(family: str) -> str | list[str]:
    """One kind for all columns, or one for each, from a text such as poisson,normal."""
    kinds = [kind.strip() for kind in family.split(",")]
    return kinds[0] if len(kinds) == 1 else kinds


def _have_curves(family: str) -> bool:
    """Whether some kind of column has one distribution to draw, the same in each row."""
    kinds = {kind.strip() for kind in family.split(",")}
    return bool(kinds - {"multinomial", "exposure"} - ({"poisson"} if "exposure" in kinds else set()))


def _sizes(components: str) -> list[int]:
    """Numbers of components from a text such as 1-9, or 2,4,8."""
    sizes: list[int] = []
    for part in components.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)
        if match is None or int(match[1]) < 1 or int(match[2] or match[1]) < int(match[1]):
            raise typer.BadParameter(f"--components {components!r} is neither a range, as 1-9, nor a list, as 2,4,8.")
        sizes.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
    return sizes


@contextmanager
def _in_a_users_words(files: Sequence[Path]) -> Iterator[None]:
    """Tell errors by options, and on stderr what is compiled meanwhile."""
    from fastem.estimators._running import telling_compilations_to

    with telling_compilations_to(lambda line: typer.echo(line, err=True)):
        try:
            yield
        except ValueError as error:
            raise ValueError(_in_options(str(error), files)) from error


def _counts(labels: np.ndarray, n_components: int) -> np.ndarray:
    import numpy as np

    return np.bincount(labels, minlength=n_components)


def _require_picture(path: Path) -> None:
    """Raise before the fit when the picture could not be drawn."""
    from fastem._extras import require

    kinds = require("matplotlib.figure", "plot", "--plot").Figure().canvas.get_supported_filetypes()
    if path.suffix.lower().removeprefix(".") not in kinds:
        raise ValueError(f"Cannot draw {path}: its name must end in one of {', '.join(f'.{kind}' for kind in kinds)}.")


def _draw(path: Path, mixture: BaseMixture, source: Source) -> None:
    import numpy as np

    from fastem._extras import require
    from fastem.plotting import plot_density, plot_objective

    # A figure apart from pyplot needs no display.
    figure = require("matplotlib.figure", "plot", "--plot").Figure(figsize=(12, 4.5), layout="constrained")
    density, objective = figure.subplots(1, 2)
    rows = source.sample(_DRAWN_ROWS, np.random.default_rng(0))
    plot_density(mixture, rows.X, ax=density, sample_weight=rows.weight)
    plot_objective(mixture, ax=objective)
    figure.savefig(path, dpi=150)


def _draw_selection(path: Path, selection: Selection) -> None:
    from fastem._extras import require

    figure = require("matplotlib.figure", "plot", "--plot").Figure(figsize=(7, 4.5), layout="constrained")
    selection.plot(ax=figure.subplots())
    figure.savefig(path, dpi=150)
