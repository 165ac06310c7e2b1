"""What surrounds the passes of a fit or of a prediction: its threads, and a message about a compilation."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from threadpoolctl import OpenBLASController, ThreadpoolController

from fastem.passes.cache import on_compile
from fastem.passes.threads import threads

REMEDY = "set the environment variable NUMBA_CACHE_DIR to a directory that can be written"

_sink: ContextVar[Callable[[str], None] | None] = ContextVar("fastem_sink", default=None)


@contextmanager
def thread_limit(n_threads: int | None, verbose: int, work: str) -> Iterator[int | None]:
    """Let passes use at most `n_threads` threads; when `verbose`, print a line before one is compiled.

    Parameters
    ----------
    n_threads : int, optional
    verbose : int
    work : str
        What the passes do, to be told: "fits full Gaussians".
    """
    sink = _sink.get() or (partial(print, flush=True) if verbose else None)
    told = nullcontext() if sink is None else on_compile(lambda directory: sink(_words(work, directory)))
    with threads(n_threads) as allowed, told:
        yield allowed


@contextmanager
def compilation_lines_to(sink: Callable[[str], None]) -> Iterator[None]:
    """Hand the line that precedes a compilation to `sink`, whether or not the estimator is verbose."""
    token = _sink.set(sink)
    try:
        yield
    finally:
        _sink.reset(token)


def _words(work: str, directory: str | None) -> str:
    how_often = "once for each machine and version of fastem"
    if directory is None:
        how_often = f"in every process, since no directory can keep it; {REMEDY}"
    return f"compiling the kernel that {work}, which takes 5 to 20 seconds, {how_often} ..."


@contextmanager
def blas_single_threaded(n_threads: int | None) -> Iterator[None]:
    """Keep the libraries that work between passes from starting threads that fight those of the passes.

    BLAS has one thread: its idle threads spin while a pass runs, and those of a pass while BLAS does.
    OpenMP, which scikit-learn's k-means uses, has `n_threads`.
    """
    _hold.begin()
    try:
        openmp = nullcontext() if n_threads is None else _libraries("openmp").limit(limits=n_threads)
        with _libraries("own blas").limit(limits=1), openmp:
            yield
    finally:
        _hold.end()


@cache
def _libraries(kind: str) -> ThreadpoolController:
    """Those of this process: to look for them takes 2 ms, to set them 0.01 ms.

    What runs between passes is loaded before the first fit.
    """
    every = ThreadpoolController()
    return every.select(filepath=[library["filepath"] for library in every.info() if _kind(library) == kind])


def _kind(library: dict[str, Any]) -> str:
    if library["user_api"] != "blas":
        return "openmp"
    # An OpenBLAS that is built on OpenMP has threads, and a limit of them, for each Python thread.
    own = library["internal_api"] == "openblas" and library.get("threading_layer") == "openmp"
    return "own blas" if own else "shared blas"


@dataclass
class _BlasHold:
    """BLAS at one thread while any fit runs; its number of threads belongs to the whole process.

    The first fit to begin sets the limit and the last one to end restores it, in whatever order fits
    on several Python threads come and go.

    Attributes
    ----------
    holders : Counter
        How many fits each Python thread, by its identity, has begun and not ended.
    """

    lock: Any = field(default_factory=threading.Lock)
    holders: Counter[int] = field(default_factory=Counter)
    limit: Any = None

    def begin(self) -> None:
        with self.lock:
            if not self.holders:
                _let_any_thread_control()
                self.limit = _libraries("shared blas").limit(limits=1)
            self.holders[threading.get_ident()] += 1

    def end(self) -> None:
        with self.lock:
            self.holders -= Counter([threading.get_ident()])
            self._restore_unless_held()

    def begin_in_child(self) -> None:
        """After a fork only the fits of the forking thread go on."""
        self.lock = threading.Lock()
        if self.holders:
            mine = threading.get_ident()
            self.holders = +Counter({mine: self.holders[mine]})
            self._restore_unless_held()

    def _restore_unless_held(self) -> None:
        if not self.holders:
            _let_any_thread_control()
            self.limit.restore_original_limits()
            _let_any_thread_control()


def _let_any_thread_control() -> None:
    """Undo that OpenBLAS obeys one Python thread only.

    Newer versions of threadpoolctl ignore, without a word, every thread but the first that set a limit; the
    fit that ends last need not run on it.
    """
    release = getattr(OpenBLASController, "clear_controlling_thread", None)
    if release is not None:
        release(force=True)


_hold = _BlasHold()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_hold.begin_in_child)
