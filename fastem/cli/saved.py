"""`fastem info` and `fastem sample`: what a saved model is, and rows drawn from it."""

from __future__ import annotations

from typing import Annotated

from fastem.cli.app import app
from fastem.cli.commands import Command
from fastem.cli.inputs import require_rows_output
from fastem.cli.options import AsJson, ModelFile, RowsOutput, option, seed_option
from fastem.cli.tables import describe, feature_labels, print_model, print_shares, settings
from fastem.cli.terminal import print_json, written_facts


@app.command("sample", cls=Command)
def sample_command(
    model: ModelFile,
    n: Annotated[int, option("Number of rows.", "N", "-n", min=1, show_default=False)],
    output: RowsOutput = None,
    seed: Annotated[int | None, seed_option("Random seed. By default that of the fit, if any.")] = None,
    as_json: AsJson = False,
) -> None:
    """Draw rows from a model.

    Example: [cyan]fastem sample model.npz -n 1000 --seed 0 --output rows.csv[/]
    """
    import numpy as np

    from fastem import load
    from fastem.cli.output import open_output

    require_rows_output(output, [model])
    mixture = load(model)
    if seed is not None:
        mixture.set_params(random_state=seed)
    X, labels = mixture.sample(n)
    names, written = feature_labels(mixture), {"output": output}
    if output is not None or not as_json:
        with open_output(output, names) as writer:
            writer.write(X)
    if as_json:
        result = {"rows": X, "labels": labels} if output is None else {"written": written}
        print_json({"model": model, "n_rows": n, "columns": names, **result})
    elif output is not None:
        print_shares(mixture, np.bincount(labels, minlength=mixture.n_components), written_facts(written))


@app.command("info", cls=Command)
def info_command(model: ModelFile, as_json: AsJson = False) -> None:
    """Show a saved model: its parameters, its settings, and how it was fitted.

    Example: [cyan]fastem info model.npz[/]
    """
    from fastem import load

    mixture = load(model)
    if as_json:
        print_json({"file": model, **describe(mixture)})
        return
    print_model(mixture, feature_labels(mixture), {"file": str(model), "settings": settings(mixture)})
