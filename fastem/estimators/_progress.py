"""What a long fit tells while it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from fastem._extras import require
from fastem.schedules.result import FitState, Trace
from fastem.schedules.stopping import iterations_left


class Watcher(Protocol):
    """Whoever follows a fit."""

    def rows(self, n_rows: int) -> None:
        """Be told that so many more rows were read."""
        ...

    def state(self, state: FitState) -> None:
        """Be told the state after an iteration."""
        ...


class _Lines:
    """Prints a line every `interval` iterations."""

    def __init__(self, interval: int | None):
        self._interval = interval

    def rows(self, n_rows: int) -> None:
        pass

    def state(self, state: FitState) -> None:
        if self._interval is not None and state.n_iter % self._interval == 0:
            print(f"iteration {state.n_iter}: {_words(state.trace)}", flush=True)


class _Bar:
    """A progress bar of the rows of an epoch, that begins again at each."""

    def __init__(self, bar: Any, tol: float, n_iter: int):
        self._bar, self._tol = bar, tol
        self._began = time.monotonic()
        self._done = 0
        self._bar.set_description_str(f"epoch {n_iter}")

    def rows(self, n_rows: int) -> None:
        self._bar.update(n_rows)

    def state(self, state: FitState) -> None:
        self._done += 1
        left = iterations_left(state.trace.objective, self._tol)
        seconds = left * (time.monotonic() - self._began) / self._done
        words = _words(state.trace) + ("" if math.isnan(seconds) else f", {self._bar.format_interval(seconds)} left")
        self._bar.set_postfix_str(words, refresh=False)
        self._bar.set_description_str(f"epoch {state.n_iter + 1}", refresh=False)
        self._bar.reset()


@contextmanager
def watching(
    verbose: int, interval: int, progress: bool, tol: float, n_rows: int | None, n_iter: int = 0
) -> Iterator[Watcher]:
    """A watcher that prints a line every `interval` iterations, or moves a bar of `n_rows` rows an epoch."""
    if not progress:
        yield _Lines(interval if verbose else None)
        return
    tqdm = require("tqdm", "progress", "the progress bar").tqdm
    with tqdm(total=n_rows, unit=" rows", unit_scale=True, dynamic_ncols=True) as bar:
        yield _Bar(bar, tol, n_iter)


def _words(trace: Trace) -> str:
    left = "" if math.isnan(trace.remaining) else f", about {trace.remaining:.1e} left to gain"
    return f"{trace.objective[-1]:.8g} nats per row{left}"
