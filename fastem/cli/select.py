"""`fastem select`: how many components, and which covariances."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from fastem.cli.app import app
from fastem.cli.commands import Command, notify
from fastem.cli.inputs import open_rows, refuse, require_beside, require_outputs
from fastem.cli.options import (
    CRITERIA,
    AsJson,
    Covariances,
    Learning,
    Rows,
    WeightColumn,
    choice,
    flag,
    option,
    with_records,
)
from fastem.cli.tables import data_facts, describe, print_selection
from fastem.cli.terminal import print_json, written_facts
from fastem.cli.words import showing_warnings


@app.command("select", cls=Command)
@with_records
def select_command(
    rows: Rows,
    learning: Learning,
    components: Annotated[str, option("Numbers of components: 1-9, or 2,4,8.", "A-B", "--components", "-k")] = "1-9",
    covariances: Covariances = None,
    weight_column: WeightColumn = None,
    criterion: Annotated[str, choice(CRITERIA, "What the candidates are compared by", "NAME")] = "bic",
    min_gain: Annotated[
        float | None,
        option("With heldout: minimum gain per row of one more component. By default 0.001.", "NATS", min=0),
    ] = None,
    max_rows: Annotated[
        int | None, option("Compare on a random sample of this size. By default on all.", "N", min=1)
    ] = None,
    allow_collapsed: Annotated[bool, flag("--allow-collapsed", "Allow a model with a collapsed component.")] = False,
    as_json: AsJson = False,
) -> None:
    """Choose the number of components (states) and the type of covariances, and print what was compared.

    All candidates are fitted in the same reads of the data.

    Examples:

    [cyan]fastem select faithful.csv --components 1-6 --seed 0 --output model.npz[/]

    [cyan]fastem select visits.csv --family poisson,categorical,normal --components 1-6[/]

    [cyan]fastem select days.csv --hmm --columns return --sequence-column market --components 1-5[/]
    """
    from fastem import select

    require_outputs(rows, learning)
    if learning.family is not None:
        refuse({"--covariance": covariances}, "for Gaussian components only. Leave out --family, or this")
    learning.require_chain_for(rows)
    require_beside("--criterion heldout", criterion == "heldout", {"--min-gain": min_gain})
    sizes = _sizes(components)
    with showing_warnings(rows) as notices:
        source = open_rows(rows, weight_column)
        selection = select(
            source, learning.estimator()(), n_components=sizes, covariance_types=covariances, criterion=criterion,
            min_gain=1e-3 if min_gain is None else min_gain, max_rows=max_rows, allow_collapsed=allow_collapsed,
            **learning.settings(rows),
        )  # fmt: skip
    best = selection.best_estimator_
    if learning.output is not None:
        best.save(learning.output)
    if learning.plot is not None:
        from fastem.cli.output import draw_selection

        draw_selection(learning.plot, selection)
    if as_json:
        chosen = {"criterion": selection.criterion, "best": selection.best_params_, "candidates": selection.table}
        found = {"file": rows.file, "n_rows": source.n_rows, **chosen, "model": describe(best)}
        print_json({**found, "written": learning.written})
    else:
        facts = data_facts(rows, source, best.fit_report_.weight) | written_facts(learning.written)
        print_selection(selection, facts)
    for notice in notices:
        notify("warning", notice)


def _sizes(components: str) -> list[int]:
    """Numbers of components from a text such as 1-9, or 2,4,8."""
    sizes: list[int] = []
    for part in components.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)
        if match is None or int(match[1]) < 1 or int(match[2] or match[1]) < int(match[1]):
            raise typer.BadParameter(f"--components {components!r} is neither a range, as 1-9, nor a list, as 2,4,8.")
        sizes.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
    return sizes
