"""`fastem info` and `fastem sample`: what a saved model is, and rows drawn from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fastem.cli.commands import Command
from fastem.cli.options import (
    AsJson,
    ModelFile,
    RowsOutput,
)
from fastem.cli.terminal import (
    describe,
    feature_labels,
    print_json,
    print_model,
    print_shares,
    settings,
)

if TYPE_CHECKING:
    import numpy as np

from fastem.cli.app import app
from fastem.cli.inputs import load_model, require_rows_output


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
    from fastem.cli.output import open_output

    require_rows_output(output, [model])
    mixture = load_model(model)
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
    mixture = load_model(model)
    if as_json:
        print_json({"file": model, **describe(mixture)})
        return
    print_model(mixture, feature_labels(mixture), {"file": str(model), "settings": settings(mixture)})


def _counts(labels: np.ndarray, n_components: int) -> np.ndarray:
    import numpy as np

    return np.bincount(labels, minlength=n_components)
