"""Signals that wait for the end of what they must not cut short."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def signals_waiting() -> Iterator[None]:
    """Let signals wait for the end of the block; their handlers run then, and may raise.

    A handler that is a Python function runs between any two steps of the main thread, and may raise there:
    Python's own for Ctrl-C does, and so do those that time limits and batch systems are met with. Inside a
    function that C calls back, the exception would be printed and lost. Signals whose handler is not a Python
    function act at once, as ever; on other threads than the main one no handler runs.

    However often a signal arrives meanwhile, its handler runs once.
    """
    handled: list[int] = []
    if threading.current_thread() is threading.main_thread():
        handled = [number for number in signal.valid_signals() if callable(signal.getsignal(number))]
    with _all_waiting(handled):
        yield


@contextmanager
def _all_waiting(numbers: Sequence[int]) -> Iterator[None]:
    # One inside the other: a handler that raises while handlers are put back keeps none of them from its place.
    if not numbers:
        yield
        return
    with _waiting(numbers[0]), _all_waiting(numbers[1:]):
        yield


@contextmanager
def _waiting(number: int) -> Iterator[None]:
    handler: Any = signal.getsignal(number)
    arrived: list[Any] = []
    try:
        signal.signal(number, lambda *arguments: arrived.append(arguments))
        yield
    finally:
        signal.signal(number, handler)
        if arrived:
            handler(*arrived[-1])
