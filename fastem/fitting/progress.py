"""What a long fit tells while it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastem._extras import require
from fastem.schedules.result import Trace
from fastem.schedules.stopping import iterations_left


class NullReporter:
    """Tells nothing, and does after each step what it was given to do."""

    def __init__(self, after_step: Callable[[], None] = lambda: None):
        self._after_step = after_step

    def rows(self, n_rows: int) -> None:
        pass

    def epoch(self, n_done: int, trace: Trace) -> None:
        pass

    def step(self) -> None:
        self._after_step()


class _LineReporter(NullReporter):
    """Prints a line every `interval` iterations."""

    def __init__(self, after_step: Callable[[], None], interval: int):
        super().__init__(after_step)
        self._interval = interval

    def epoch(self, n_done: int, trace: Trace) -> None:
        if n_done % self._interval == 0:
            print(f"iteration {n_done}: {_words(trace)}", flush=True)


class _BarReporter(NullReporter):
    """A progress bar of the rows of an epoch, which is one pass over them; it begins again at each."""

    def __init__(self, after_step: Callable[[], None], bar: Any, tol: float):
        super().__init__(after_step)
        self._bar, self._tol = bar, tol
        self._began = time.monotonic()
        self._n_epochs, self._is_full = 0, False

    def rows(self, n_rows: int) -> None:
        # Not before: a full bar tells the rate of the whole epoch.
        if self._is_full:
            self._is_full = False
            self._bar.reset()
            self._bar.set_description_str(f"epoch {self._n_epochs + 1}", refresh=False)
        self._bar.update(n_rows)

    def epoch(self, n_done: int, trace: Trace) -> None:
        self._n_epochs, self._is_full = self._n_epochs + 1, True
        # Some rows may be held out, and the number of all may not have been known.
        self._bar.total = self._bar.n
        left = iterations_left(trace.objective, self._tol)
        seconds = left * (time.monotonic() - self._began) / self._n_epochs
        words = _words(trace) + ("" if math.isnan(seconds) else f", {self._bar.format_interval(seconds)} left")
        self._bar.set_postfix_str(words)


@contextmanager
def reporting(
    verbose: int, interval: int, tol: float, n_rows: int | None, after_step: Callable[[], None]
) -> Iterator[NullReporter]:
    """Who follows a fit: prints a line every `interval` iterations, or (2) moves a bar of `n_rows` rows an epoch."""
    if verbose < 2:
        yield _LineReporter(after_step, interval) if verbose else NullReporter(after_step)
        return
    tqdm = require("tqdm", "progress", "the progress bar").tqdm
    with tqdm(total=n_rows, unit=" rows", unit_scale=True, dynamic_ncols=True, desc="epoch 1") as bar:
        yield _BarReporter(after_step, bar, tol)


def _words(trace: Trace) -> str:
    left = "" if math.isnan(trace.remaining) else f", estimated remaining improvement {trace.remaining:.1e}"
    return f"{trace.objective[-1]:.8g} nats per row{left}"
