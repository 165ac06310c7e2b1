"""`fastem fit`: a model from files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastem.cli.commands import INTERRUPTED, Command, tell
from fastem.cli.options import (
    AsJson,
    Columns,
    Covariance,
    DataFiles,
    Family,
    Hmm,
    Init,
    Memory,
    SequenceColumn,
    Threads,
    WeightColumn,
    choices,
    with_text_options,
)
from fastem.cli.terminal import (
    criteria_facts,
    data_facts,
    describe,
    print_json,
    print_model,
    written_facts,
)

if TYPE_CHECKING:
    from fastem.estimators._em import BaseEM
    from fastem.sources import Source
from fastem.cli.app import app
from fastem.cli.inputs import CHAINS_ONLY, file_names, kinds, open_files, refuse, require_outputs
from fastem.cli.words import telling_warnings

NOT_CONVERGED = 3


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
    from fastem import HMM, Checkpoint, GaussianHMM, GaussianMixture, Mixture

    schedule = _schedule(online, incremental, batch_size, half_life, compress)
    require_outputs(files, output, plot, checkpoint)
    given = {
        "--covariance": covariance is not Covariance.FULL, "--reg-covar": reg_covar > 0.0,
        "--compress": compress is not None,
    }  # fmt: skip
    if family is not None:
        if plot is not None and not hmm and not _have_curves(family):
            raise typer.BadParameter("--plot: counts of a given total or with an exposure have no curve. Leave it out.")
        refuse(given, "for Gaussian mixtures only. Leave out --family, or this")
    if hmm:
        others = {"--online": online, "--init": init is not Init.KMEANS_PLUS_PLUS}
        refuse(
            {**given, **others, "--plot": plot is not None, "--covariance": False},
            "for mixtures only. Leave out --hmm, or this",
        )
    else:
        refuse({"--sequence-column": sequence_column is not None}, CHAINS_ONLY)
    source = open_files(files, columns, weight_column, sequence_column, text)
    shared: dict[str, Any] = {
        "n_init": n_init, "tol": tol, "random_state": seed, "schedule": schedule, "memory_limit": memory,
        "checkpoint": checkpoint and Checkpoint(checkpoint, checkpoint_interval), "n_threads": threads,
        "verbose": 2 if progress else int(verbose),
    }  # fmt: skip
    if hmm:
        shared["n_iter"] = max_iter
    else:
        shared |= {"init_params": init.value, "max_iter": max_iter}
    mixture: BaseEM
    if family is not None:
        mixture = (HMM if hmm else Mixture)(kinds(family), components, **shared)
    elif hmm:
        mixture = GaussianHMM(components, covariance_type=covariance.value, **shared)
    else:
        mixture = GaussianMixture(components, covariance_type=covariance.value, reg_covar=reg_covar, **shared)
    notices = _fit(mixture, source, files, resume)
    if output is not None:
        mixture.save(output)
    if plot is not None:
        from fastem.cli.pictures import draw

        draw(plot, mixture, source)
    written = {"model": output, "plot": plot}
    weight = mixture.fit_report_.weight
    is_exact = not (online or incremental) or mixture.stop_reason_ != "interrupted"
    criteria = mixture._criteria(mixture.fit_report_.loglik * weight, weight) if is_exact else {"weight": weight}
    if as_json:
        print_json(
            {"file": file_names(files), "n_rows": source.n_rows, **criteria, **describe(mixture), "written": written}
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


def _schedule(
    online: bool, incremental: bool, batch_size: int | None, half_life: float | None, compress: int | None
) -> Any:
    """The schedule that was asked for; a wrong usage when options do not go together."""
    from fastem import Batch, Online

    chosen = [name for name, is_on in (("--online", online), ("--incremental", incremental)) if is_on]
    if compress is not None:
        chosen.append("--compress")
    if len(chosen) > 1:
        raise typer.BadParameter(f"{' and '.join(chosen)} are different ways to learn. Give one of them.")
    for name, value in (("--batch-size", batch_size), ("--half-life", half_life)):
        if value is not None and not online:
            raise typer.BadParameter(f"{name} is for online EM. Give --online, too, or leave it out.")
    if half_life is not None and not half_life > 0:
        raise typer.BadParameter(f"--half-life must be a positive number of rows, got {half_life:g}.")
    if online:
        return Online(batch_size=batch_size, half_life=half_life)
    if compress is not None:
        return Batch(bins=compress)
    return "incremental" if incremental else "batch"


def _fit(mixture: BaseEM, source: Source, files: Sequence[Path], resume: bool) -> list[str]:
    """Fit, and return what the estimator warned of."""
    with telling_warnings(files) as notices:
        mixture.fit(source, resume=resume)
    return notices


def _have_curves(family: str) -> bool:
    """Whether some kind of column has one distribution to draw, the same in each row."""
    kinds = {kind.strip() for kind in family.split(",")}
    return bool(kinds - {"multinomial", "exposure"} - ({"poisson"} if "exposure" in kinds else set()))
