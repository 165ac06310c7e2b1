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

from fastem._commands import INTERRUPTED, Command, Commands, tell
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
    by_text_options,
    choices,
    with_text_options,
)
from fastem._terminal import (
    criteria_facts,
    data_facts,
    describe,
    facts_table,
    feature_labels,
    feature_names,
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

    from fastem import CsvFormat
    from fastem._marking import Marked
    from fastem.estimators._mixture import BaseMixture
    from fastem.sources import Source

NOT_CONVERGED = 3
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
    "columns=[...] or --columns": "--columns",
    "fastem.open_source(X, columns=[...])": "--columns",
    "learning_method='incremental'": "--incremental",
    "Use resume=False": "Leave out --resume",
    "fit(..., resume=True)": "--resume",
    "resume=True": "--resume",
    "compress=None": "no --compress",
    "; from here on learning_method='batch' with warm_start=True is quicker": ", or leave out --online",
    "continue with warm_start=True": "to be able to go on from them, fit with --checkpoint and then --resume",
}


def _by_options(message: str) -> str:
    """A message in which options stand for what is said in Python."""
    for phrase, ours in _PHRASES.items():
        message = message.replace(phrase, ours)
    return by_text_options(message)


def _in_options(message: str, files: Sequence[Path]) -> str:
    """A message of the estimator, whose parameters bear the names of options, and whose X that of the file."""
    message = _by_options(message)
    name = str(files[0]) if len(files) == 1 else f"one of {len(files)} files"
    message = re.sub(r"(?<!['\w])(Input )?X(?!['\w])", lambda _: name, message)
    names = "|".join(_OPTIONS)
    return re.sub(rf"(?<!['\w-])({names})(?!['\w])", lambda match: _OPTIONS[match[0]], message)


app = typer.Typer(
    cls=Commands,
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
    "[bold]2[/] wrong usage; [bold]3[/] not converged, under --strict; [bold]130[/] interrupted by Ctrl-C, "
    "[bold]143[/] by SIGTERM, [bold]129[/] by SIGHUP: [bold]fit[/] prints and writes the best model so far."
)
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Mixtures and hidden Markov models, fitted by expectation-maximisation at the speed of the hardware.

    A FILE holds rows of numbers, maybe more than memory holds: [bold].csv[/] (also [bold].csv.gz[/]; separated by
    commas, semicolons, tabs or spaces, with a header or without), [bold].npy[/], [bold].parquet[/], [bold].arrow[/],
    [bold].h5[/] or [bold].zarr[/]. It is read piece by piece. [bold]-[/] stands for the standard input.

    A MODEL is what [bold]fit --output[/] writes, and [bold]fastem.load[/] reads in Python.

    Example: [cyan]fastem fit faithful.csv --components 2 --output model.npz --plot fit.png[/]
    """


@app.command("fit", cls=Command)
@with_text_options
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
        typer.Option("--output", "-o", metavar="MODEL", readable=False, help="Write the model, as .npz."),
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
    max_iter: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Stop each start after this number of iterations; 0: the start alone."),
    ] = 1000,
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
        float, typer.Option(min=0, metavar="SECONDS", help="Write the checkpoint no more often than this.")
    ] = 60.0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint, if there is one.")] = False,
    threads: Threads = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Tell the objective every 10 iterations.")] = False,
    progress: Annotated[bool, typer.Option("--progress", help="Show a progress bar. Needs tqdm.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 3 when the fit has not converged.")] = False,
    as_json: AsJson = False,
    text: Any = None,
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

    Ctrl-C, SIGTERM and SIGHUP end the fit with the best model so far, which is printed and written; the exit code is
    130, 143 or 129. A second signal ends it at once.
    """
    from fastem import HMM, GaussianHMM, GaussianMixture, Mixture

    learning_method = _learning_method(online, incremental, batch_size, half_life, compress)
    _require_outputs(files, output, plot, checkpoint)
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
    source = _open(files, columns, weight_column, sequence_column, text)
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
        from fastem._pictures import draw

        draw(plot, mixture, source)
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
        tell("warning", notice)
    if mixture.fit_report_.runs[-1].stop_reason == "interrupted":
        raise typer.Exit(INTERRUPTED)
    if strict and not mixture.converged_:
        raise typer.Exit(NOT_CONVERGED)


@app.command("select", cls=Command)
@with_text_options
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
    allow_collapsed: Annotated[
        bool, typer.Option("--allow-collapsed", help="Choose one with a component on rows that agree, too.")
    ] = False,
    columns: Columns = None,
    sequence_column: SequenceColumn = None,
    weight_column: WeightColumn = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="MODEL", readable=False, help="Write the chosen model, as .npz."),
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
    text: Any = None,
) -> None:  # fmt: skip
    """Choose the number of components (states) and the type of covariances, and print what was compared.

    All candidates are fitted in the same reads of the data.

    Examples:

    [cyan]fastem select faithful.csv --components 1-6 --seed 0 --output model.npz[/]

    [cyan]fastem select visits.csv --family poisson,categorical,normal --components 1-6[/]

    [cyan]fastem select days.csv --hmm --columns return --sequence-column market --components 1-5[/]
    """
    from fastem import HMM, GaussianHMM, Mixture, select

    _require_outputs(files, output, plot)
    if family is not None:
        _refuse({"--covariance": bool(covariances)}, "for Gaussian components only. Leave out --family, or this")
    if not hmm:
        _refuse({"--sequence-column": sequence_column is not None}, _CHAINS_ONLY)
    source = _open(files, columns, weight_column, sequence_column, text)
    sizes = _sizes(components)
    estimator: BaseMixture | None = GaussianHMM() if hmm else None
    if family is not None:
        estimator = (HMM if hmm else Mixture)(_kinds(family))
    with _telling_warnings(files) as notices:
        selection = select(
            source, estimator, n_components=sizes,
            covariance_types=[kind.value for kind in covariances] if covariances else None,
            criterion=criterion.value, min_gain=min_gain, max_rows=max_rows, random_state=seed, memory_limit=memory,
            allow_collapsed=allow_collapsed, n_threads=threads, verbose=int(verbose),
        )  # fmt: skip
    best = selection.best_estimator_
    if output is not None:
        best.save(output)
    if plot is not None:
        from fastem._pictures import draw_selection

        draw_selection(plot, selection)
    written = {"model": output, "plot": plot}
    if as_json:
        chosen = {"criterion": selection.criterion, "best": selection.best_params_, "candidates": selection.table}
        print_json(
            {"file": _names(files), "n_rows": source.n_rows, **chosen, "model": describe(best), "written": written}
        )
    else:
        print_selection(selection, data_facts(files, source, best.fit_report_.weight) | written_facts(written))
    for notice in notices:
        tell("warning", notice)


@app.command("predict", cls=Command)
@with_text_options
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
    text: Any = None,
) -> None:
    """Assign each row of a file to its most probable component, or to its state on the most probable path.

    Columns are found by the names that the model was fitted to, where the file has a header. With --output, the
    number of rows of each component is printed. Rows are read and written piece by piece; of a hidden Markov model, by
    whole sequences.

    A row with a missing or infinite value keeps its place, without a label: null in Parquet and JSON, an empty field in
    CSV, -1 in .npy (NaN for probabilities). How many there are is told on stderr. Of a hidden Markov model, all rows of
    such a sequence are without a state.

    Example: [cyan]fastem predict model.npz faithful.csv --output labels.csv[/]
    """
    import numpy as np

    from fastem._marking import Marked
    from fastem._output import open_output

    _require_rows_output(output, [model, *files])
    mixture, source = _load_both(model, files, columns, sequence_column=sequence_column, text=text)
    mixture.set_params(n_threads=threads, memory_limit=memory)
    names = [f"{noun(mixture)} {k}" for k in range(mixture.n_components)] if proba else ["label"]
    counts = np.zeros(mixture.n_components)
    marked = Marked(mixture, source)
    kept: list[np.ndarray] = []
    with (
        nullcontext() if as_json and output is None else open_output(output, names) as writer,
        _in_a_users_words(files),
    ):
        for values, missing in marked.predicted("posterior" if proba else "label"):
            known = values[~missing]
            counts += known.sum(axis=0) if proba else np.bincount(known, minlength=counts.size)
            if writer is None:
                kept.append(values if proba else np.where(missing, np.nan, values))
            else:
                writer.write(values, missing)
    if as_json:
        result = {"proba" if proba else "labels": _unfloated(kept, proba)} if output is None else {}
        written = {} if output is None else {"written": {"output": output}}
        facts = {"n_rows": marked.n_rows, "n_missing": marked.n_marked}
        print_json({"file": _names(files), "model": model, **facts, **result, **written})
    elif output is not None:
        print_shares(mixture, counts if proba else counts.astype(np.int64), {"output": output})
    _tell_missing(marked, f"kept in place, without {'probabilities' if proba else 'a label'}")


@app.command("score", cls=Command)
@with_text_options
def score_command(
    model: ModelFile,
    files: DataFiles,
    columns: Columns = None,
    sequence_column: SequenceColumn = None,
    weight_column: WeightColumn = None,
    memory: Memory = None,
    threads: Threads = None,
    as_json: AsJson = False,
    text: Any = None,
) -> None:
    """Tell how well a model describes the rows of a file: log-likelihood, AIC and BIC.

    Rows with missing or infinite values (of a hidden Markov model, sequences) are left out, and counted on stderr.

    Example: [cyan]fastem score model.npz faithful.csv[/]
    """
    mixture, source = _load_both(model, files, columns, weight_column, sequence_column, text)
    mixture.set_params(n_threads=threads, memory_limit=memory)
    from fastem._marking import Marked

    marked = Marked(mixture, source)
    with _in_a_users_words(files):
        criteria = marked.criteria()
    if as_json:
        counts = {"n_rows": marked.n_rows, "n_missing": marked.n_marked}
        print_json({"file": _names(files), "model": model, **counts, **criteria})
    else:
        facts = {"model": f"{model}: {title(mixture)}", "score": f"{criteria['score']:.9g} nats per row"}
        facts |= data_facts(files, source, criteria["weight"], marked.n_rows, marked.n_marked)
        make_console().print(facts_table(facts | criteria_facts(criteria)))
    _tell_missing(marked, "left out of the score")


@app.command("sample", cls=Command)
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
    from fastem._output import open_output

    _require_rows_output(output, [model])
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


@app.command("info", cls=Command)
def info_command(model: ModelFile, as_json: AsJson = False) -> None:
    """Show a saved model: its parameters, its settings, and the story of its fit.

    Example: [cyan]fastem info model.npz[/]
    """
    mixture = _load(model)
    if as_json:
        print_json({"file": model, **describe(mixture)})
        return
    print_model(mixture, feature_labels(mixture), {"file": str(model), "settings": settings(mixture)})


@app.command("warmup", cls=Command)
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
        tell("warning", str(warning.message))


@app.command("bench", cls=Command)
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
    files: Sequence[Path],
    columns: str | None,
    weight_column: str | None,
    sequence_column: str | None,
    text: CsvFormat | None,
) -> Source:
    """The columns asked for, or all."""
    chosen = None if columns is None else _column_names(columns)
    return _open_columns(files, chosen, weight_column, sequence_column, text)


def _open_columns(
    files: Sequence[Any],
    chosen: list[str] | None,
    weight_column: str | None,
    sequence_column: str | None,
    text: CsvFormat | None,
) -> Source:
    from fastem import open_source
    from fastem._text import shown
    from fastem.sources.spool import telling_spools_to

    data = list(files) if len(files) > 1 else files[0]
    try:
        with telling_spools_to(lambda line: typer.echo(shown(line), err=True)):
            return open_source(data, chosen, weight_column, sequence_column=sequence_column, csv=text)
    except ValueError as error:
        raise ValueError(_by_options(str(error))) from error


def _column_names(columns: str) -> list[str]:
    """Names from a line of CSV, where one with a comma can be quoted."""
    return [name.strip() for name in next(csv.reader([columns]), [])]


def _require_outputs(
    files: Sequence[Path], output: Path | None, plot: Path | None, checkpoint: Path | None = None
) -> None:
    """Raise before any work when a file could not be written, or is not what its name promises."""
    from fastem._output import require_writable
    from fastem._pictures import require_picture
    from fastem.persistence import require_model_name

    require_writable({"--output": output, "--plot": plot, "--checkpoint": checkpoint}, files)
    if output is not None:
        require_model_name(output)
    if plot is not None:
        require_picture(plot)


def _require_rows_output(output: Path | None, inputs: Sequence[Path]) -> None:
    from fastem._output import require_rows_name, require_writable

    require_writable({"--output": output}, inputs)
    if output is not None:
        require_rows_name(output)


def _tell_missing(marked: Marked, what: str) -> None:
    """Say how many rows the model could not use."""
    if marked.n_marked:
        verb = "is in a sequence with" if marked.n_marked == 1 else "are in sequences with"
        if not marked.mixture._model.latent.is_chain:
            verb = "has" if marked.n_marked == 1 else "have"
        tell("warning", f"{marked.n_marked} of {marked.n_rows} rows {verb} missing or infinite values: {what}.")


def _unfloated(kept: Sequence[np.ndarray], proba: bool) -> list[Any]:
    """Probabilities, or labels as integers, null for those that are not there."""
    import numpy as np

    values = np.concatenate(kept).tolist()
    return values if proba else [None if label != label else int(label) for label in values]


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
    text: CsvFormat | None = None,
) -> tuple[BaseMixture, Source]:
    mixture = _load(model)
    if not mixture._model.latent.is_chain:
        _refuse({"--sequence-column": sequence_column is not None}, f"for hidden Markov models, and {model} is none")
    data = _spooled(files)
    chosen = _fitted_columns(mixture, data, text) if columns is None else _column_names(columns)
    return mixture, _open_columns(data, chosen, weight_column, sequence_column, text)


def _spooled(files: Sequence[Path]) -> Sequence[Any]:
    """The files; a stream, which can be read once only, is kept in a temporary file."""
    from fastem._text import shown
    from fastem.sources.spool import once, telling_spools_to

    with telling_spools_to(lambda line: typer.echo(shown(line), err=True)):
        return once(list(files))


def _fitted_columns(mixture: BaseMixture, files: Sequence[Any], text: CsvFormat | None) -> list[str] | None:
    """The columns that the model was fitted to, where it knows them and the files have names of columns."""
    from fastem.sources.files import readers_of

    fitted = feature_names(mixture)
    if fitted is None:
        return None
    for reader in readers_of(files, text):
        if reader.names is None:
            return None
        missing = [name for name in fitted if name not in reader.names]
        if missing:
            raise ValueError(
                f"{reader.label} has no column {', '.join(missing)}, which the model was fitted to. Its columns: "
                f"{', '.join(reader.names)}. Choose columns by --columns."
            )
    return fitted


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
