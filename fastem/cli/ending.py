"""How the command line ends when it is asked to: as after Ctrl-C, with what it has so far."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from fastem._replacing import discard_unfinished

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
        """Whether one has arrived."""
        return self._first is not None

    @property
    def code(self) -> int:
        """What shells give to a process that such a signal has ended; loops of a script stop at it."""
        return 128 + (signal.SIGINT if self._first is None else self._first)

    @property
    def words(self) -> str:
        """What has ended the work."""
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
