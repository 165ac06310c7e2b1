"""The files that a command reads, and the places that it writes to."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fastem.cli.terminal import (
    feature_names,
)

if TYPE_CHECKING:
    from fastem import CsvFormat
    from fastem.estimators._em import BaseEM
    from fastem.sources import Source
from fastem.cli.words import by_options

CHAINS_ONLY = "for hidden Markov models. Give --hmm, too"


def refuse(given: dict[str, bool], why: str) -> None:
    """A wrong usage when options are given that do not go with others."""
    names = [name for name, is_given in given.items() if is_given]
    if names:
        raise typer.BadParameter(f"{' and '.join(names)}: {why}.")


def open_files(
    files: Sequence[Path],
    columns: str | None,
    weight_column: str | None,
    sequence_column: str | None,
    text: CsvFormat | None,
) -> Source:
    """The columns asked for, or all."""
    chosen = None if columns is None else column_names(columns)
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
        raise ValueError(by_options(str(error))) from error


def column_names(columns: str) -> list[str]:
    """Names from a line of CSV, where one with a comma can be quoted."""
    return [name.strip() for name in next(csv.reader([columns]), [])]


def require_outputs(
    files: Sequence[Path], output: Path | None, plot: Path | None, checkpoint: Path | None = None
) -> None:
    """Raise before any work when a file could not be written, or is not what its name promises."""
    from fastem.cli.output import require_writable
    from fastem.cli.pictures import require_picture
    from fastem.persistence import require_model_name

    require_writable({"--output": output, "--plot": plot, "--checkpoint": checkpoint}, files)
    if output is not None:
        require_model_name(output)
    if plot is not None:
        require_picture(plot)


def require_rows_output(output: Path | None, inputs: Sequence[Path]) -> None:
    """Raise before any work when rows could not be written to this place."""
    from fastem.cli.output import require_rows_name, require_writable

    require_writable({"--output": output}, inputs)
    if output is not None:
        require_rows_name(output)


def file_names(files: Sequence[Path]) -> Any:
    """The file, or the list of them, as results name it."""
    return list(files) if len(files) > 1 else files[0]


def load_model(model: Path) -> BaseEM:
    """The model of a file."""
    from fastem import load

    return load(model)


def load_both(
    model: Path,
    files: Sequence[Path],
    columns: str | None,
    weight_column: str | None = None,
    sequence_column: str | None = None,
    text: CsvFormat | None = None,
) -> tuple[BaseEM, Source]:
    """A model, and the rows of files in the columns that it knows."""
    mixture = load_model(model)
    if not mixture._model.latent.is_chain:
        refuse({"--sequence-column": sequence_column is not None}, f"for hidden Markov models, and {model} is none")
    data = _spooled(files)
    chosen = _fitted_columns(mixture, data, text) if columns is None else column_names(columns)
    return mixture, _open_columns(data, chosen, weight_column, sequence_column, text)


def _spooled(files: Sequence[Path]) -> Sequence[Any]:
    """The files; a stream, which can be read once only, is kept in a temporary file."""
    from fastem._text import shown
    from fastem.sources.spool import once, telling_spools_to

    with telling_spools_to(lambda line: typer.echo(shown(line), err=True)):
        return once(list(files))


def _fitted_columns(mixture: BaseEM, files: Sequence[Any], text: CsvFormat | None) -> list[str] | None:
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


def kinds(family: str) -> str | list[str]:
    """One kind for all columns, or one for each, from a text such as poisson,normal."""
    kinds = [kind.strip() for kind in family.split(",")]
    return kinds[0] if len(kinds) == 1 else kinds
