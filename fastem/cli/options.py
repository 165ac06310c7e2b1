"""What several commands of the command line are told by: files, columns, and names to choose from."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer


class Covariance(StrEnum):
    """Shapes of covariances, as the estimator names them."""

    FULL = "full"
    TIED = "tied"
    DIAG = "diag"
    SPHERICAL = "spherical"


class Criterion(StrEnum):
    """What candidates are compared by, as `fastem.select` names it."""

    BIC = "bic"
    AIC = "aic"
    ICL = "icl"
    HELDOUT = "heldout"


class Init(StrEnum):
    """Starts that need no arrays, as the estimator names them."""

    KMEANS_PLUS_PLUS = "k-means++"
    KMEANS = "kmeans"
    RANDOM_FROM_DATA = "random_from_data"
    RANDOM = "random"
    QUANTILE = "quantile"


def choices(options: type[StrEnum]) -> str:
    """The names, in words."""
    *others, last = options
    return f"{', '.join(others)} or {last}"


# Whether a file can be read is seen when it is opened: an error of the data (code 1), not of usage.
DataFiles = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE",
        help="Rows: .csv, .csv.gz, .npy, .parquet, .arrow, .h5, .zarr; a folder; a quoted pattern, 'a/*.csv'; or - "
        "for the standard input.",
        show_default=False,
        readable=False,
    ),
]
ModelFile = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A model written by fit.", show_default=False, readable=False)
]
Columns = Annotated[
    str | None,
    typer.Option(metavar="A,B,...", help="Columns to use, by name or by position from 0. By default all."),
]
WeightColumn = Annotated[
    str | None, typer.Option(metavar="A", help="Column of non-negative row weights; 2 counts a row twice.")
]
Hmm = Annotated[bool, typer.Option("--hmm", help="Rows follow each other: a hidden Markov model, of K states.")]
SequenceColumn = Annotated[
    str | None,
    typer.Option(metavar="A", help="Of hidden Markov models: column whose number changes where a sequence begins."),
]
RowsOutput = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", readable=False,
        help="Write .csv, .csv.gz, .npy or .parquet. By default CSV on stdout.",
    ),
]  # fmt: skip
Family = Annotated[
    str | None,
    typer.Option(
        "--family",
        metavar="KINDS",
        show_default=False,
        help="Independent columns instead, of kinds such as normal, poisson, categorical or gamma; one kind for all, "
        "or by commas one for each ('exposure' multiplies the rates of counts).",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option("--memory", metavar="SIZE", help="Most memory that rows may take at a time, such as 512MB."),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, metavar="N", help="Most threads; as many as numba may use by default."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]


def _text_option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel="Text files", show_default=False, **settings)


# How text files are written: the parameters of `fastem.CsvFormat`, which recognises what is not given.
_TEXT_OPTIONS = {
    "delimiter": Annotated[
        str | None, _text_option("--delimiter", metavar="CHAR", help="Between two fields: ';', '|', tab, space...")
    ],
    "decimal": Annotated[str | None, _text_option("--decimal", metavar="CHAR", help="Decimal mark: . or ,.")],
    "thousands": Annotated[
        str | None, _text_option("--thousands", metavar="CHAR", help="Between groups of three digits. By default none.")
    ],
    "encoding": Annotated[
        str | None, _text_option("--encoding", metavar="NAME", help="Such as latin-1. By default UTF-8, or UTF-16.")
    ],
    "comment": Annotated[
        str | None,
        _text_option("--comment", metavar="SIGN", help="Begins lines to pass over. By default # ahead of the rows."),
    ],
    "quote": Annotated[
        str | None, _text_option("--quote", metavar="CHAR", help="Around fields; '' stands for none. By default \".")
    ],
    "missing": Annotated[
        list[str] | None,
        _text_option("--missing", metavar="WORD", help="Stands for a missing value; may be given several times."),
    ],
    "header": Annotated[
        bool | None, _text_option("--header/--no-header", help="Whether the first line names columns.")
    ],
}
_SPELT_OUT = {"tab": "\t", "\\t": "\t", "space": " "}


def with_text_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command whose parameter `text`, a `fastem.CsvFormat` or None, is given by the options of text files."""
    signature = inspect.signature(command, eval_str=True)
    others = [parameter for name, parameter in signature.parameters.items() if name != "text"]
    ours = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation)
        for name, annotation in _TEXT_OPTIONS.items()
    ]

    @wraps(command)
    def wrapped(**given: Any) -> Any:
        said = {name: value for name in _TEXT_OPTIONS if (value := given.pop(name)) not in (None, [])}
        return command(**given, text=_text_format(said) if said else None)

    wrapped.__signature__ = signature.replace(parameters=[*others, *ours])  # type: ignore[attr-defined]
    return wrapped


def by_text_options(message: str) -> str:
    """A message in which options stand for settings of `fastem.CsvFormat`."""
    return re.sub(r"csv=fastem\.CsvFormat\((?:(\w+)=(\.\.\.|True|False|\[?'.*?'\]?))?\)", _option, message)


def _option(setting: re.Match[str]) -> str:
    name, value = setting[1] or "delimiter", setting[2] or "..."
    if name == "header":
        return "--header" if value == "True" else "--no-header"
    option = "--missing" if name == "missing_values" else f"--{name}"
    return option if value == "..." else f"{option} {value.strip('[]')}"


def _text_format(said: dict[str, Any]) -> Any:
    from fastem import CsvFormat

    if "missing" in said:
        said["missing_values"] = said.pop("missing")
    if "delimiter" in said:
        said["delimiter"] = _SPELT_OUT.get(said["delimiter"], said["delimiter"])
    return CsvFormat(**said)
