"""`fastem select`: how many components, and which covariances."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastem.cli.commands import Command, tell
from fastem.cli.options import (
    AsJson,
    Columns,
    Covariance,
    Criterion,
    DataFiles,
    Family,
    Hmm,
    Memory,
    SequenceColumn,
    Threads,
    WeightColumn,
    choices,
    with_text_options,
)
from fastem.cli.terminal import (
    data_facts,
    describe,
    print_json,
    print_selection,
    written_facts,
)

if TYPE_CHECKING:
    from fastem.estimators._em import BaseEM
from fastem.cli.app import app
from fastem.cli.inputs import CHAINS_ONLY, file_names, kinds, open_files, refuse, require_outputs
from fastem.cli.words import telling_warnings


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

    require_outputs(files, output, plot)
    if family is not None:
        refuse({"--covariance": bool(covariances)}, "for Gaussian components only. Leave out --family, or this")
    if not hmm:
        refuse({"--sequence-column": sequence_column is not None}, CHAINS_ONLY)
    source = open_files(files, columns, weight_column, sequence_column, text)
    sizes = _sizes(components)
    estimator: BaseEM | None = GaussianHMM() if hmm else None
    if family is not None:
        estimator = (HMM if hmm else Mixture)(kinds(family))
    with telling_warnings(files) as notices:
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
        from fastem.cli.pictures import draw_selection

        draw_selection(plot, selection)
    written = {"model": output, "plot": plot}
    if as_json:
        chosen = {"criterion": selection.criterion, "best": selection.best_params_, "candidates": selection.table}
        print_json(
            {"file": file_names(files), "n_rows": source.n_rows, **chosen, "model": describe(best), "written": written}
        )
    else:
        print_selection(selection, data_facts(files, source, best.fit_report_.weight) | written_facts(written))
    for notice in notices:
        tell("warning", notice)


def _sizes(components: str) -> list[int]:
    """Numbers of components from a text such as 1-9, or 2,4,8."""
    sizes: list[int] = []
    for part in components.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)
        if match is None or int(match[1]) < 1 or int(match[2] or match[1]) < int(match[1]):
            raise typer.BadParameter(f"--components {components!r} is neither a range, as 1-9, nor a list, as 2,4,8.")
        sizes.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
    return sizes
