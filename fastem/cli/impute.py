"""What is asked of a saved model: `impute` fills in what rows miss."""

from __future__ import annotations

from typing import Annotated

import typer

from fastem.cli.app import app
from fastem.cli.commands import Command
from fastem.cli.inputs import load_both, require_rows_output
from fastem.cli.options import AsJson, ModelFile, Rows, RowsOutput, choice, seed_option, with_records
from fastem.cli.tables import feature_labels
from fastem.cli.terminal import facts_table, make_console, print_json, written_facts
from fastem.cli.words import working_on

METHODS = ("mean", "draw", "mode")


@app.command("impute", cls=Command)
@with_records
def impute_command(
    model: ModelFile,
    rows: Rows,
    output: RowsOutput = None,
    method: Annotated[str, choice(METHODS, "Expectation, draw, or that of the likeliest component", "METHOD")] = (
        "mean"
    ),
    seed: Annotated[int | None, seed_option("Make draws repeatable.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fill in the missing values of a file, given what is there.

    The columns that the model knows are written, piece by piece; values that are there stay as they are. Of a hidden
    Markov model, whole sequences are used.

    Example: [cyan]fastem impute model.npz air.csv --output filled.parquet[/]
    """
    from fastem.cli.output import open_output
    from fastem.estimators._views import filled_pieces_of

    if as_json and output is None:
        raise typer.BadParameter("--json: rows are written to a file then. Give --output, too.")
    require_rows_output(output, [model, *rows.files])
    n_rows = n_filled = 0
    with working_on(rows):
        mixture, source = load_both(model, rows)
        with open_output(output, feature_labels(mixture)) as writer:
            for piece in filled_pieces_of(mixture, source, method, seed):
                writer.write(piece.X[0])
                n_rows, n_filled = n_rows + len(piece.X[0]), n_filled + piece.n_filled
    if as_json:
        facts = {"n_rows": n_rows, "n_filled": n_filled, "written": {"output": output}}
        print_json({"file": rows.file, "model": model, **facts})
    elif output is not None:
        told = {"rows": str(n_rows), "values filled in": str(n_filled)}
        make_console().print(facts_table(told | written_facts({"output": output})))
