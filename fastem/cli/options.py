"""What several commands of the command line are told by: files, models, and names to choose from."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from fastem._text import unknown_choice

COVARIANCES = ("full", "tied", "diag", "spherical")
CRITERIA = ("bic", "aic", "caic", "sabic", "icl", "heldout", "blrt")
STARTS = ("k-means++", "kmeans", "random_from_data", "random", "quantile")


def option(help: str, metavar: str | None = None, *flags: str, **settings: Any) -> Any:
    """An option that takes a value."""
    return typer.Option(*flags, help=help, metavar=metavar, **settings)


def flag(name: str, help: str) -> Any:
    """An option that is given or not."""
    return typer.Option(name, help=help)


def place(help: str, metavar: str, *flags: str) -> Any:
    """An option that names a file to write. (Whether one can be read is seen when it is opened.)"""
    return typer.Option(*flags, help=help, metavar=metavar, readable=False)


def choice(names: tuple[str, ...], help: str, metavar: str, *flags: str, end: str = ".", **settings: Any) -> Any:
    """An option whose value is one of these names, which its help lists."""

    def parse(value: str) -> str:
        if value not in names:
            raise typer.BadParameter(unknown_choice("", value, names))
        return value

    told = f"{help}: {', '.join(names[:-1])} or {names[-1]}{end}"
    return option(told, metavar, *flags, parser=parse, **settings)


def count_or(word: str, help: str, metavar: str, *flags: str, **settings: Any) -> Any:
    """An option whose value is a positive integer, or a word."""

    def parse(value: str) -> int | str:
        if value == word:
            return value
        if not value.isdecimal() or int(value) < 1:
            raise typer.BadParameter(f"{value!r} is neither a positive integer nor '{word}'.")
        return int(value)

    return option(help, metavar, *flags, parser=parse, **settings)


def seed_option(help: str) -> Any:
    """An option that makes what is random repeatable."""
    return option(help, "N", "--seed", min=0, max=2**32 - 1, show_default=False)


def _of_text(help: str, metavar: str | None = None, *flags: str) -> Any:
    return option(help, metavar, *flags, rich_help_panel="Text files", show_default=False)


_MANY = "; may be given several times. By default all."
_FILES = (
    "Rows: .csv, .csv.gz, .npy, .parquet, .arrow, .h5, .zarr; a folder; a quoted pattern, 'a/*.csv'; or - for the "
    "standard input."
)
_KINDS = (
    "Kinds of independent columns instead, such as normal, poisson, categorical or gamma; one kind for all, or by "
    "commas one for each ('exposure' multiplies the rates of counts). Or a regression of the last column on "
    "the others: linear, poisson_regression, binomial_regression or gamma_regression."
)
_SPELT_OUT = {"tab": "\t", "\\t": "\t", "space": " "}

# Whether a file can be read is seen when it is opened: an error of the data (code 1), not of usage.
ModelFile = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A model written by fit.", show_default=False, readable=False)
]
WeightColumn = Annotated[str | None, option("Column of non-negative row weights; 2 counts a row twice.", "A")]
RowsOutput = Annotated[
    Path | None, place("Write .csv, .csv.gz, .npy or .parquet. By default CSV on stdout.", "FILE", "--output", "-o")
]
Covariances = Annotated[
    list[str] | None,
    choice(
        COVARIANCES, "Covariances", "TYPE", "--covariance", "--covariance-type", "-c", end=_MANY, show_default=False
    ),
]
AsJson = Annotated[bool, flag("--json", "Print JSON, and nothing else, on stdout.")]


@dataclass(frozen=True)
class Rows:
    """The rows that a command reads; and how text files are written, where `fastem.CsvFormat` must be told."""

    files: Annotated[list[Path], typer.Argument(metavar="FILE", show_default=False, readable=False, help=_FILES)]
    columns: Annotated[
        str | None, option("Columns to use, by name or by position from 0. By default all.", "A,B,...")
    ] = None
    sequence_column: Annotated[
        str | None, option("For hidden Markov models: column whose value changes where a sequence begins.", "A")
    ] = None
    memory: Annotated[str | None, option("Maximum memory for rows at a time, such as 512MB.", "SIZE")] = None
    threads: Annotated[
        int | None, option("Maximum number of threads. By default as many as numba may use.", "N", min=1)
    ] = None
    delimiter: Annotated[str | None, _of_text("Between two fields: ';', '|', tab, space...", "CHAR")] = None
    decimal: Annotated[str | None, _of_text("Decimal mark: . or ,.", "CHAR")] = None
    thousands: Annotated[str | None, _of_text("Between groups of three digits. By default none.", "CHAR")] = None
    encoding: Annotated[str | None, _of_text("Such as latin-1. By default UTF-8, or UTF-16.", "NAME")] = None
    comment: Annotated[
        str | None, _of_text("Sign that begins comment lines. By default # before the rows.", "SIGN")
    ] = None
    quote: Annotated[str | None, _of_text("Quote around fields; '' for none. By default \".", "CHAR")] = None
    missing: Annotated[
        list[str] | None, _of_text("Text that stands for a missing value; may be given several times.", "WORD")
    ] = None
    header: Annotated[bool | None, _of_text("Whether the first line names columns.", None, "--header/--no-header")] = (
        None
    )

    @property
    def file(self) -> Any:
        return self.files if len(self.files) > 1 else self.files[0]

    @property
    def name(self) -> str:
        """What messages call the rows."""
        return str(self.file) if len(self.files) == 1 else f"one of {len(self.files)} files"

    def csv_format(self) -> Any:
        """The `fastem.CsvFormat` that the options say; None when they say nothing."""
        from fastem import CsvFormat

        given = {
            "delimiter": _SPELT_OUT.get(self.delimiter or "", self.delimiter), "decimal": self.decimal,
            "thousands": self.thousands, "encoding": self.encoding, "comment": self.comment, "quote": self.quote,
            "missing_values": self.missing, "header": self.header,
        }  # fmt: skip
        said: Any = {name: value for name, value in given.items() if value not in (None, [])}
        return CsvFormat(**said) if said else None


@dataclass(frozen=True)
class Learning:
    """What is learnt from rows by `fit` and `select`, and where it goes."""

    family: Annotated[str | None, option(_KINDS, "KINDS", show_default=False)] = None
    hmm: Annotated[bool, flag("--hmm", "Fit a hidden Markov model with K states to sequences.")] = False
    tol: Annotated[float, option("Stop when the estimated remaining improvement is below this.", "NATS", min=0)] = 1e-5
    max_iter: Annotated[int, option("Maximum number of iterations of each start; 0: the start alone.", "N", min=0)] = (
        1000
    )
    seed: Annotated[int | None, seed_option("Make the result repeatable.")] = None
    refuse_missing: Annotated[bool, flag("--refuse-missing", "A missing value is an error.")] = False
    output: Annotated[Path | None, place("Write the model, as .npz.", "MODEL", "--output", "-o")] = None
    plot: Annotated[Path | None, place("Draw the result: .png, .svg... Needs matplotlib.", "PICTURE")] = None
    verbose: Annotated[bool, flag("--verbose", "Tell every 10 iterations how far the fits are.")] = False

    def require_chain_for(self, rows: Rows) -> None:
        """A wrong usage when sequences are given to a model that has none."""
        if rows.sequence_column is not None and not self.hmm:
            raise typer.BadParameter("--sequence-column: for hidden Markov models. Give --hmm, too.")

    def estimator(self) -> Callable[..., Any]:
        """The class of the model, told its kinds of columns where it has such."""
        from fastem import HMM, GaussianHMM, GaussianMixture, Mixture

        if self.family is None:
            return GaussianHMM if self.hmm else GaussianMixture
        kinds = [kind.strip() for kind in self.family.split(",")]
        return partial(HMM if self.hmm else Mixture, kinds[0] if len(kinds) == 1 else kinds)

    @property
    def written(self) -> dict[str, Path | None]:
        return {"model": self.output, "plot": self.plot}

    def settings(self, rows: Rows) -> dict[str, Any]:
        """Settings of the estimator that do not depend on the command."""
        return {
            "tol": self.tol, "n_iter" if self.hmm else "max_iter": self.max_iter, "random_state": self.seed,
            "memory_limit": rows.memory, "n_threads": rows.threads, "verbose": int(self.verbose),
            "missing": "error" if self.refuse_missing else "mar",
        }  # fmt: skip


def with_records(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command each of whose parameters that is a record, such as `Rows`, is given by an option for each field."""
    signature = inspect.signature(command, eval_str=True)
    records: dict[str, Any] = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if is_dataclass(parameter.annotation)
    }
    options = {name: inspect.signature(record, eval_str=True).parameters for name, record in records.items()}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        parameters.extend(options[name].values() if name in options else [parameter])

    @wraps(command)
    def wrapped(**given: Any) -> Any:
        for name, record in records.items():
            given[name] = record(**{option: given.pop(option) for option in options[name]})
        return command(**given)

    # In any order: options with defaults may come before others without.
    named = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    wrapped.__signature__ = signature.replace(parameters=named)  # type: ignore[attr-defined]
    return wrapped
