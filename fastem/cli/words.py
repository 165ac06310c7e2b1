"""Errors and warnings of estimators in the words of options and files."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import typer

from fastem.cli.options import (
    by_text_options,
)

_OPTIONS = {
    "n_components": "--components",
    "family": "--family",
    "init_params": "--init",
    "n_init": "--n-init",
    "n_threads": "--threads",
    "memory_limit": "--memory",
    "checkpoint": "--checkpoint",
    "batch_size": "--batch-size",
    "half_life": "--half-life",
    "max_iter": "--max-iter",
    "tol": "--tol",
    "reg_covar": "--reg-covar",
    "random_state": "--seed",
    "sample_weight": "--weight-column",
}

# What the estimator says of settings that are no options, and what stands for them here.
_PHRASES = {
    "columns=[...] or --columns": "--columns",
    "fastem.open_source(X, columns=[...])": "--columns",
    "schedule='incremental'": "--incremental",
    "Use resume=False": "Leave out --resume",
    "fit(..., resume=True)": "--resume",
    "resume=True": "--resume",
    "bins=None": "no --compress",
    "bins=": "--compress=",
    "; from here on schedule='batch' with warm_start=True is quicker": ", or leave out --online",
    "continue with warm_start=True": "to be able to go on from them, fit with --checkpoint and then --resume",
}


def by_options(message: str) -> str:
    """A message in which options stand for what is said in Python."""
    for phrase, ours in _PHRASES.items():
        message = message.replace(phrase, ours)
    return by_text_options(message)


def in_options(message: str, files: Sequence[Path]) -> str:
    """A message of the estimator, whose parameters bear the names of options, and whose X that of the file."""
    message = by_options(message)
    name = str(files[0]) if len(files) == 1 else f"one of {len(files)} files"
    message = re.sub(r"(?<!['\w])(Input )?X(?!['\w])", lambda _: name, message)
    names = "|".join(_OPTIONS)
    return re.sub(rf"(?<!['\w-])({names})(?!['\w])", lambda match: _OPTIONS[match[0]], message)


@contextmanager
def telling_warnings(files: Sequence[Path]) -> Iterator[list[str]]:
    """A list that holds afterwards what was warned of, in a user's words."""
    notices: list[str] = []
    # What a fit prints while it runs is not its result.
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(sys.stderr), in_a_users_words(files):
        warnings.simplefilter("always")
        yield notices
    notices.extend(in_options(str(warning.message), files) for warning in caught)


@contextmanager
def in_a_users_words(files: Sequence[Path]) -> Iterator[None]:
    """Tell errors by options, and on stderr what is compiled meanwhile."""
    from fastem.fitting.thread_limits import telling_compilations_to

    with telling_compilations_to(lambda line: typer.echo(line, err=True)):
        try:
            yield
        except ValueError as error:
            raise ValueError(in_options(str(error), files)) from error
