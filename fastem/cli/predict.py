"""`fastem predict` and `fastem score`: what a model says of rows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastem.cli.commands import Command, tell
from fastem.cli.options import (
    AsJson,
    Columns,
    DataFiles,
    Memory,
    ModelFile,
    RowsOutput,
    SequenceColumn,
    Threads,
    WeightColumn,
    with_text_options,
)
from fastem.cli.terminal import (
    criteria_facts,
    data_facts,
    facts_table,
    make_console,
    noun,
    print_json,
    print_shares,
    title,
)

if TYPE_CHECKING:
    import numpy as np

    from fastem.cli.marking import Marked
from fastem.cli.app import app
from fastem.cli.inputs import file_names, load_both, require_rows_output
from fastem.cli.words import in_a_users_words


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

    from fastem.cli.marking import Marked
    from fastem.cli.output import open_output

    require_rows_output(output, [model, *files])
    mixture, source = load_both(model, files, columns, sequence_column=sequence_column, text=text)
    mixture.set_params(n_threads=threads, memory_limit=memory)
    names = [f"{noun(mixture)} {k}" for k in range(mixture.n_components)] if proba else ["label"]
    counts = np.zeros(mixture.n_components)
    marked = Marked(mixture, source)
    kept: list[np.ndarray] = []
    with (
        nullcontext() if as_json and output is None else open_output(output, names) as writer,
        in_a_users_words(files),
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
        print_json({"file": file_names(files), "model": model, **facts, **result, **written})
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
    mixture, source = load_both(model, files, columns, weight_column, sequence_column, text)
    mixture.set_params(n_threads=threads, memory_limit=memory)
    from fastem.cli.marking import Marked

    marked = Marked(mixture, source)
    with in_a_users_words(files):
        criteria = marked.criteria()
    if as_json:
        counts = {"n_rows": marked.n_rows, "n_missing": marked.n_marked}
        print_json({"file": file_names(files), "model": model, **counts, **criteria})
    else:
        facts = {"model": f"{model}: {title(mixture)}", "score": f"{criteria['score']:.9g} nats per row"}
        facts |= data_facts(files, source, criteria["weight"], marked.n_rows, marked.n_marked)
        make_console().print(facts_table(facts | criteria_facts(criteria)))
    _tell_missing(marked, "left out of the score")


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
