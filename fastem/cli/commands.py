"""What all commands of the command line share: how they end, and how they tell errors and options."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from fastem._extras import MissingExtraError
from fastem._naming import naming
from fastem._text import shown, writing_any_text
from fastem.cli.ending import ending_softly
from fastem.cli.words import OPTIONS

# A wrong usage of any kind; typer has no name of its own for it in all versions.
_UsageError: Any = typer.BadParameter.__base__
# What shells give to a process that Ctrl-C has ended.
INTERRUPTED = 130


class _WithoutTypes:
    """Options and arguments whose help shows no types of Python, such as <bool>."""

    def get_params(self, ctx: Any) -> list[Any]:
        params = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if param.param_type_name == "argument":
                param.display_type_rich = lambda ctx: ""
            elif param.is_flag:
                param.metavar = ""
        return params


class Command(_WithoutTypes, TyperCommand):
    """A command."""


class Commands(_WithoutTypes, TyperGroup):
    """Commands whose expected errors are one line on stderr, and exit code 1."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run, also on terminals that have few characters."""
        with writing_any_text(sys.stdout, sys.stderr):
            return super().main(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run a command, and end with the code of what has ended it."""
        with naming(OPTIONS), ending_softly() as signals:
            try:
                return super().invoke(ctx)
            except _UsageError as error:
                error.message = shown(error.message, kept="\n")
                raise
            except typer.Exit as end:
                raise typer.Exit(signals.code if end.exit_code == INTERRUPTED else end.exit_code) from end
            except KeyboardInterrupt as error:
                notify("error", signals.words)
                raise typer.Exit(signals.code) from error
            except (ValueError, TypeError, OSError, MissingExtraError) as error:
                # The reader of a pipe has seen enough; typer ends quietly.
                if isinstance(error, BrokenPipeError) and error.filename is None:
                    raise
                notify("error", _words(error))
                raise typer.Exit(signals.code if signals.has_ended else 1) from error


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def notify(kind: str, message: str) -> None:
    """One line on stderr; nothing where that is gone, with its terminal."""
    with suppress(OSError):
        # Not by typer, which takes few characters for a mistake, and writes UTF-8.
        print(f"{kind}: {shown(' '.join(message.split()))}", file=sys.stderr, flush=True)
