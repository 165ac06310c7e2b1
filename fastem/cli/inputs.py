"""The files that a command reads, and the places that it writes to."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fastem.cli.options import Learning, Rows
from fastem.cli.tables import feature_names, is_chain

if TYPE_CHECKING:
    from fastem.estimators._em import BaseEM
    from fastem.sources import Source


def refuse(given: dict[str, Any], why: str) -> None:
    """A wrong usage when options are given that do not go with others."""
    names = [name for name, value in given.items() if value is not None and value is not False and value != []]
    if names:
        raise typer.BadParameter(f"{' and '.join(names)}: {why}.")


def require_beside(needed: str, is_there: Any, given: dict[str, Any]) -> None:
    """A wrong usage when options are given without the one that makes them count."""
    if not is_there:
        refuse(given, f"only with {needed}. Give {needed}, too, or leave this out")


def open_rows(rows: Rows, weight_column: str | None) -> Source:
    """The columns asked for, or all."""
    return _open(rows, rows.files, None, weight_column)


def load_both(model: Path, rows: Rows, weight_column: str | None = None) -> tuple[BaseEM, Source]:
    """A model, and rows in the columns that it knows."""
    from fastem import load
    from fastem.sources.spool import once

    mixture = load(model)
    if not is_chain(mixture):
        refuse({"--sequence-column": rows.sequence_column}, f"for hidden Markov models, and {model} is none")
    # A stream, which can be read once only, is kept in a temporary file.
    data = once(list(rows.files))
    chosen = _fitted_columns(mixture, data, rows) if rows.columns is None else None
    mixture.set_params(n_threads=rows.threads, memory_limit=rows.memory)
    return mixture, _open(rows, data, chosen, weight_column)


def _open(rows: Rows, data: Sequence[Any], chosen: list[str] | None, weight_column: str | None) -> Source:
    from fastem import open_source

    if rows.columns is not None:
        # A line of CSV: a name with a comma can be quoted.
        chosen = [name.strip() for name in next(csv.reader([rows.columns]), [])]
    files = list(data) if len(data) > 1 else data[0]
    return open_source(files, chosen, weight_column, sequence_column=rows.sequence_column, csv=rows.csv_format())


def _fitted_columns(mixture: BaseEM, files: Sequence[Any], rows: Rows) -> list[str] | None:
    """The columns that the model was fitted to, where it knows them and the files have names of columns."""
    from fastem.sources.files import readers_of

    fitted = feature_names(mixture)
    if fitted is None:
        return None
    for reader in readers_of(files, rows.csv_format()):
        if reader.names is None:
            return None
        missing = [name for name in fitted if name not in reader.names]
        if missing:
            raise ValueError(
                f"{reader.label} has no column {', '.join(missing)}, which the model was fitted to. Its columns: "
                f"{', '.join(reader.names)}. Choose columns by --columns."
            )
    return fitted


def require_outputs(rows: Rows, learning: Learning, checkpoint: Path | None = None) -> None:
    """Raise before any work when a file could not be written, or is not what its name promises."""
    from fastem.cli.output import require_picture, require_writable
    from fastem.persistence import require_model_name

    outputs = {"--output": learning.output, "--plot": learning.plot, "--checkpoint": checkpoint}
    require_writable(outputs, rows.files)
    if learning.output is not None:
        require_model_name(learning.output)
    if learning.plot is not None:
        require_picture(learning.plot)


def require_rows_output(output: Path | None, inputs: Sequence[Path]) -> None:
    """Raise before any work when rows could not be written to this place."""
    from fastem.cli.output import require_writable, writer_of

    require_writable({"--output": output}, inputs)
    if output is not None:
        writer_of(output)
