"""What messages of the package call settings and rows here: options and files."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import typer

from fastem._naming import naming
from fastem._text import shown
from fastem.cli.options import Rows

# By what Python says.
OPTIONS = {
    **{
        name: f"--{name.replace('_', '-')}"
        for name in ("family", "n_init", "checkpoint", "max_iter", "tol", "reg_covar")
    },
    "n_components": "--components",
    "init_params": "--init",
    "n_threads": "--threads",
    "memory_limit": "--memory",
    "n_iter": "--max-iter",
    "random_state": "--seed",
    "bins": "--bins",
    "schedule=Batch(bins=None)": "no --bins",
    "resume=True": "--resume",
    "Use resume=False": "Leave out --resume",
    "continue with fit(..., resume=True)": "continue with --resume",
    "continue with warm_start=True": "to continue from them, fit with --checkpoint and then --resume",
    "schedule='incremental'": "--incremental",
    "; from here on schedule='batch' with warm_start=True is quicker": ", or leave out --online",
    "missing='error'": "--refuse-missing",
    "set missing='mar'": "leave out --refuse-missing",
    "columns=[...]": "--columns",
    "fastem.open_source(X, columns=[...])": "--columns",
    "csv=fastem.CsvFormat(header=True)": "--header",
    "csv=fastem.CsvFormat(header=False)": "--no-header",
    "csv=fastem.CsvFormat(missing_values=...)": "--missing",
    **{
        f"csv=fastem.CsvFormat({name}=...)": f"--{name}"
        for name in ("delimiter", "decimal", "thousands", "encoding", "comment", "quote")
    },
}


@contextmanager
def working_on(rows: Rows) -> Iterator[None]:
    """Let messages name the files; tell on stderr what is compiled, and which streams are kept in files."""
    from fastem.fitting.thread_limits import compilation_lines_to
    from fastem.sources.spool import spool_lines_to

    names = {"X": rows.name, "Input X": rows.name}
    with naming(names), compilation_lines_to(note), spool_lines_to(note):
        yield


def note(line: str) -> None:
    """A line on stderr about what takes its time."""
    typer.echo(shown(line), err=True)


@contextmanager
def showing_warnings(rows: Rows) -> Iterator[list[str]]:
    """A list that holds afterwards what was warned of during the work on some rows."""
    notices: list[str] = []
    # What a fit prints while it runs is not its result.
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(sys.stderr), working_on(rows):
        warnings.simplefilter("always")
        yield notices
    notices.extend(str(warning.message) for warning in caught)
