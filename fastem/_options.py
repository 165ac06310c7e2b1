"""What several commands of the command line are told by: files, columns, and names to choose from."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

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
        metavar="FILE...",
        help="Rows: .csv, .csv.gz, .npy, .parquet, .arrow, .h5, .zarr; a folder; or a quoted pattern, 'a/*.csv'.",
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
        help="Independent columns instead: normal, poisson, bernoulli, categorical, exponential or multinomial; one "
        "kind for all, or by commas one for each ('exposure' multiplies the rates of counts).",
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
