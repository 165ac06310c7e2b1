"""What is asked of a saved model: `predict` and `score` of rows, `sample`, `info`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastem.cli.app import app
from fastem.cli.commands import Command, notify
from fastem.cli.inputs import load_both, require_rows_output
from fastem.cli.options import (
    AsJson,
    ModelFile,
    Rows,
    RowsOutput,
    WeightColumn,
    flag,
    option,
    seed_option,
    with_records,
)
from fastem.cli.tables import (
    criteria_facts,
    data_facts,
    describe,
    feature_labels,
    is_chain,
    noun,
    print_model,
    print_shares,
    settings,
    title,
)
from fastem.cli.terminal import facts_table, make_console, print_json, written_facts
from fastem.cli.words import working_on

if TYPE_CHECKING:
    import numpy as np

    from fastem.cli.marking import Marked


@app.command("predict", cls=Command)
@with_records
def predict_command(
    model: ModelFile,
    rows: Rows,
    output: RowsOutput = None,
    proba: Annotated[bool, flag("--proba", "Write the probabilities of all components instead of a label.")] = False,
    as_json: AsJson = False,
) -> None:
    """Assign each row of a file to its most probable component, or to its state on the most probable path.

    Columns are found by the names that the model was fitted to, where the file has a header. With --output, the
    number of rows of each component is printed. Rows are read and written piece by piece; of a hidden Markov model, by
    whole sequences.

    Values that are missing are left to what is there. A row with an infinite value keeps its place, without a label:
    null in Parquet and JSON, an empty field in CSV, -1 in .npy (NaN for probabilities). How many there are is told on
    stderr. Of a hidden Markov model, all rows of such a sequence are without a state.

    Example: [cyan]fastem predict model.npz faithful.csv --output labels.csv[/]
    """
    from fastem.cli.marking import Marked

    require_rows_output(output, [model, *rows.files])
    with working_on(rows):
        mixture, source = load_both(model, rows)
        marked = Marked(mixture, source)
        counts, kept = _write_predictions(marked, output, proba, is_kept=as_json and output is None)
    written = {"output": output}
    if as_json:
        facts = {"n_rows": marked.n_rows, "n_unusable": marked.n_marked}
        result = {"proba" if proba else "labels": kept} if output is None else {"written": written}
        print_json({"file": rows.file, "model": model, **facts, **result})
    elif output is not None:
        print_shares(mixture, counts, written_facts(written))
    _notify_unusable(marked, f"kept in place, without {'probabilities' if proba else 'a label'}")


def _write_predictions(marked: Marked, output: Path | None, proba: bool, is_kept: bool) -> tuple[np.ndarray, list[Any]]:
    """How many rows each component has; and, where these are kept, what would be written, with None for nothing."""
    import numpy as np

    from fastem.cli.output import open_output

    n_components = marked.mixture.n_components
    names = [f"{noun(marked.mixture)} {k}" for k in range(n_components)] if proba else ["label"]
    counts = np.zeros(n_components, dtype=np.float64 if proba else np.int64)
    kept: list[Any] = []
    with nullcontext() if is_kept else open_output(output, names) as writer:
        for values, missing in marked.predicted("posterior" if proba else "label"):
            known = values[~missing]
            counts += known.sum(axis=0) if proba else np.bincount(known, minlength=n_components)
            if writer is not None:
                writer.write(values, missing)
            elif proba:
                kept.extend(values.tolist())
            else:
                kept.extend(None if gone else label for label, gone in zip(values.tolist(), missing, strict=True))
    return counts, kept


@app.command("score", cls=Command)
@with_records
def score_command(model: ModelFile, rows: Rows, weight_column: WeightColumn = None, as_json: AsJson = False) -> None:
    """Tell how well a model describes the rows of a file: log-likelihood, AIC and BIC.

    Rows with infinite values (of a hidden Markov model, sequences) are left out, and counted on stderr.

    Example: [cyan]fastem score model.npz faithful.csv[/]
    """
    from fastem.cli.marking import Marked

    with working_on(rows):
        mixture, source = load_both(model, rows, weight_column)
        marked = Marked(mixture, source)
        criteria = marked.criteria()
    if as_json:
        counts = {"n_rows": marked.n_rows, "n_unusable": marked.n_marked}
        print_json({"file": rows.file, "model": model, **counts, **criteria})
    else:
        facts = {"model": f"{model}: {title(mixture)}", "score": f"{criteria['score']:.9g} nats per row"}
        facts |= data_facts(rows, source, criteria["weight"], marked.n_rows, marked.n_marked)
        make_console().print(facts_table(facts | criteria_facts(criteria)))
    _notify_unusable(marked, "left out of the score")


def _notify_unusable(marked: Marked, what: str) -> None:
    if marked.n_marked:
        verb = "has" if marked.n_marked == 1 else "have"
        if is_chain(marked.mixture):
            verb = f"{'is' if marked.n_marked == 1 else 'are'} in sequences with"
        notify("warning", f"{marked.n_marked} of {marked.n_rows} rows {verb} values that cannot be used: {what}.")


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
