"""What a long fit tells while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastem._extras import require
from fastem.schedules.result import Trace, Watch


@contextmanager
def watching(verbose: int, interval: int, progress: bool, max_iter: int) -> Iterator[Watch]:
    """A watch that prints a line every `interval` iterations, or moves a progress bar."""
    if not progress:
        yield lambda trace: _print_line(trace, interval) if verbose else None
        return
    tqdm = require("tqdm", "progress", "the progress bar").tqdm
    with tqdm(total=max_iter, unit="iteration", desc="EM") as bar:

        def advance(trace: Trace) -> None:
            bar.set_postfix_str(_state(trace), refresh=False)
            bar.update(len(trace.objective) - 1 - bar.n)

        yield advance


def _print_line(trace: Trace, interval: int) -> None:
    iteration = len(trace.objective) - 1
    if iteration % interval == 0:
        print(f"iteration {iteration}: {_state(trace)}", flush=True)


def _state(trace: Trace) -> str:
    left = "" if trace.remaining != trace.remaining else f", about {trace.remaining:.1e} left to gain"
    return f"{trace.objective[-1]:.8g} nats per row{left}"
