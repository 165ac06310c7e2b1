"""Threads, the pass lock, and passes that are compiled on first use."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from numbers import Integral
from typing import Any

import numba
from numba.np.ufunc.parallel import _launch_threads

from fastem._naming import named
from fastem.passes.cache import KernelCache, on_compile
from fastem.passes.flags import parallel_function, pass_function
from fastem.passes.linking import generated_once
from fastem.passes.signals import signals_waiting

_n_threads: ContextVar[int | None] = ContextVar("fastem_n_threads", default=None)


@contextmanager
def threads(n_threads: int | None) -> Iterator[int | None]:
    """Let the passes that this thread runs use at most `n_threads` threads; None stands for all that numba may use.

    Yields the number that is allowed.

    Raises
    ------
    ValueError
        When it is not a positive integer, or is more than numba may start.
    """
    if n_threads is not None:
        n_threads = _allowed(n_threads)
    token = _n_threads.set(n_threads)
    try:
        yield n_threads
    finally:
        _n_threads.reset(token)


def _allowed(n_threads: int) -> int:
    if not isinstance(n_threads, Integral) or n_threads < 1:
        raise ValueError(
            f"{named('n_threads')} must be a positive integer, or None for all threads, got {n_threads!r}."
        )
    most = numba.config.NUMBA_NUM_THREADS
    # Whoever started a worker process (joblib, Dask) shared out the processors among its workers.
    if n_threads > most and multiprocessing.parent_process() is None:
        raise ValueError(
            f"{named('n_threads')}={n_threads} is more than numba may start in this process, which is {most}. Ask for "
            f"at most {most}, or set the environment variable NUMBA_NUM_THREADS={n_threads} before Python starts."
        )
    return min(int(n_threads), most)


@contextmanager
def _masked(n_threads: int) -> Iterator[None]:
    """Hold back all threads of numba but `n_threads`, for this Python thread."""
    before = numba.get_num_threads()
    numba.set_num_threads(n_threads)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def threads_for(n_useful: int) -> int | None:
    """How many threads a pass takes that has work for so many (one, for less); None for all that numba has."""
    if n_useful <= 1:
        return 1
    chosen = _n_threads.get()
    if chosen is not None:
        return min(n_useful, chosen)
    _load_openmp()
    # numba starts its threads to tell how many there are.
    return n_useful if n_useful < numba.get_num_threads() else None


@cache
def _load_openmp() -> None:
    """Let the threads of OpenMP sleep while they wait for the next pass, unless the user has said how they wait.

    By itself a thread spins for milliseconds: it takes the processor from M-steps, other fits and other programs.
    OpenMP reads this once, as it is loaded, and nobody else is to read it.
    """
    if not any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")):
        os.environ["OMP_WAIT_POLICY"] = "passive"
        try:
            with suppress(ImportError):
                import_module("numba.np.ufunc.omppool")
        finally:
            # Another thread may have been here at the same time.
            os.environ.pop("OMP_WAIT_POLICY", None)


class Pass:
    """The outermost function of a pass: compiled on first use, kept on disk, run by one Python thread at a time.

    Parameters
    ----------
    function : callable
        Its first argument tells whether it runs on this thread alone. It returns what `over_lanes` does, which holds
        both loops, so that a process that may start no threads runs what is compiled already.
    fingerprint : callable
        Maps the tuple of numba argument types to a string that changes whenever the source of a
        block function for these types changes.

    Notes
    -----
    A cache directory that cannot be written is not an error: the pass is then compiled once in each process.
    """

    def __init__(self, function: Callable[..., Any], fingerprint: Callable[[Any], str]):
        self.dispatcher = compiled(function, fingerprint)

    def __call__(self, *arguments: Any) -> None:
        """Run the pass on all threads that may be used."""
        self._run(_n_threads.get(), arguments)

    def on(self, n_useful: int, *arguments: Any) -> None:
        """Run the pass on no more than so many threads (one, for less)."""
        self._run(threads_for(n_useful), arguments)

    def _run(self, n_threads: int | None, arguments: tuple[Any, ...]) -> None:
        with _state.lock:
            # No thread of numba's waits, and spins, where this one does it all.
            if n_threads == 1 or _must_be_serial():
                self.dispatcher(True, *arguments)
                return
            with nullcontext() if n_threads is None else _masked(n_threads):
                if self.dispatcher(False, *arguments) is False:
                    raise RuntimeError(
                        f"A block function raised an exception in a parallel loop; {named('n_threads')}=1 tells which."
                    )


def compiled(function: Callable[..., Any], fingerprint: Callable[[Any], str], parallel: bool = False) -> Any:
    """A function that is compiled on first use and kept on disk; one with a parallel loop belongs to a pass."""
    dispatcher = (parallel_function if parallel else pass_function)(function)
    if not numba.config.DISABLE_JIT:
        dispatcher._cache = KernelCache(function, fingerprint)
        # Of the compilation of the pass itself is told already.
        told = partial(on_compile, _say_nothing) if parallel else nullcontext
        dispatcher.compile = _undisturbed(dispatcher.compile, told)
    return dispatcher


def _say_nothing(directory: str | None) -> None:
    """Take no notice of a compilation."""


def _undisturbed(
    compile_or_load: Callable[..., Any], told: Callable[[], AbstractContextManager[Any]]
) -> Callable[..., Any]:
    """An exception amid a compilation leaves numba and LLVM with code that is half made, for good."""

    def undisturbed(*arguments: Any) -> Any:
        _load_openmp()
        # What a pass calls of numba's threads must be there. numba sees to it for a pass on disk only where the loop
        # was compiled by the process that compiled the pass, and not where it came from disk itself.
        _launch_threads()
        with signals_waiting(), generated_once(), told():
            return compile_or_load(*arguments)

    return undisturbed


@dataclass
class _State:
    """What this process may do.

    Attributes
    ----------
    lock : lock
        Two Python threads inside a parallel kernel abort the interpreter under numba's workqueue layer
        (numba#9288, numba#10565). A pass uses every core anyway, so one at a time costs nothing.
        Re-entrant: while it waits for the end of a pass, a thread of TBB may take up another one.
    threads_lost : bool
        This process was forked from one that ran OpenMP threads. GNU OpenMP ends a process that starts
        threads after that; the loop then runs on one thread, and gives the same bits.
    """

    lock: Any = field(default_factory=threading.RLock)
    threads_lost: bool = False


_state = _State()


def _must_be_serial() -> bool:
    """Whether starting threads would end the process."""
    return _state.threads_lost or (_layer() == "workqueue" and _is_foreign())


def _layer() -> str | None:
    """numba's threading layer; None before threads were started."""
    try:
        return numba.threading_layer()
    except ValueError:
        return None


def _is_foreign() -> bool:
    """Whether Python did not start this thread: then it may be one of numba's own, inside a parallel loop."""
    return isinstance(threading.current_thread(), threading._DummyThread)


def _begin_in_child() -> None:
    """After a fork: the lock may be held by a thread that is not there any more."""
    _state.lock = threading.RLock()
    _state.threads_lost = _layer() == "omp"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)
