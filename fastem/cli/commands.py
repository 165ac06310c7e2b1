"""What all commands share: how they tell errors and options, and how they end when they are asked to, as by Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from fastem._extras import MissingExtraError
from fastem._naming import naming
from fastem._replacing import discard_unfinished
from fastem._text import shown, writing_any_text
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


# How commands end when they are asked to: as after Ctrl-C, with what they have so far.

# What batch systems and containers send first, and what a terminal sends that is closed.
_ASKING = ("SIGTERM", "SIGHUP")
_WORDS = {"SIGTERM": "terminated", "SIGHUP": "the terminal was closed"}


class Ending(KeyboardInterrupt):
    """A signal asks the process to end. Whatever keeps its results after Ctrl-C keeps them after this."""


class Signals:
    """The signals that have arrived, for the exit code."""

    def __init__(self) -> None:
        self._first: int | None = None

    def arrive(self, number: int, _: FrameType | None) -> None:
        """Interrupt the work at the first signal, and end at once at the second."""
        if self._first is None:
            self._first = number
            raise Ending
        discard_unfinished()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    @property
    def has_ended(self) -> bool:
        return self._first is not None

    @property
    def code(self) -> int:
        """What shells give to a process that such a signal has ended; loops of a script stop at it."""
        return 128 + (signal.SIGINT if self._first is None else self._first)

    @property
    def words(self) -> str:
        return "interrupted" if self._first is None else _WORDS[signal.Signals(self._first).name]


@contextmanager
def ending_softly() -> Iterator[Signals]:
    """Let requests to end interrupt the block as Ctrl-C does; what is ignored, as under nohup, stays so."""
    signals = Signals()
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in _ASKING if hasattr(signal, name)):
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, signals.arrive)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            with suppress(Ending):
                signal.signal(number, handler)
