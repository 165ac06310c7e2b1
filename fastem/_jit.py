"""Everything that fastem decides about numba: flags, the disk cache, threads and the pass lock.

No other module sets a compiler flag; a test greps for it.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, NullCache
from numba.core.sigutils import normalize_signature

# Sums may be reordered (it lets LLVM vectorise them) and multiplications contracted into FMAs.
# `nnan` and `ninf` are absent: log-densities of minus infinity and NaN in bad data are real here.
REORDERED = {"reassoc", "contract", "nsz", "arcp"}
# For code whose rounding errors cancel by design, such as range reduction in exp.
IN_ORDER = {"contract"}

BLOCK_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": REORDERED,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
PASS_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}

block_function = numba.njit(**BLOCK_OPTIONS)
exact_function = numba.njit(**{**BLOCK_OPTIONS, "fastmath": IN_ORDER})

_COMPILED_ROOMS = (
    "_jit", "_vector_math", "blocks", "rows", "reach", "reading", "kernel", "sequence_kernel", "families/*",
    "latents/*",
)  # fmt: skip

# Sources, and what tells one version of them from another.


def file_digest(*paths: Path) -> str:
    """Hexadecimal digest of the contents of files, which may lie inside a zip archive.

    Raises
    ------
    OSError
        When one cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        digest.update(_contents(path))
    return digest.hexdigest()


def source_digest(root: Path = Path(__file__).parent) -> str:
    """Digest of every file of the package whose code is compiled into a pass.

    Raises
    ------
    OSError
        When there are none, as in a frozen application.
    """
    paths = [path for path in _files_under(root) if _is_compiled(path.relative_to(root))]
    if not paths:
        raise FileNotFoundError(f"There are no sources in {root}.")
    return file_digest(*sorted(paths))


def _archive_of(path: Path) -> Path | None:
    """The zip archive that holds a path, or None for a path in the file system."""
    return next((parent for parent in path.parents if parent.is_file()), None)


def _contents(path: Path) -> bytes:
    archive = _archive_of(path)
    if archive is None:
        return path.read_bytes()
    with zipfile.ZipFile(archive) as members:
        return members.read(path.relative_to(archive).as_posix())


def _files_under(root: Path) -> list[Path]:
    archive = _archive_of(root)
    if archive is None:
        return list(root.rglob("*.*"))
    with zipfile.ZipFile(archive) as members:
        return [path for name in members.namelist() if (path := archive / name).is_relative_to(root)]


def _is_compiled(path: Path) -> bool:
    # Some installations hold bytecode only.
    return path.suffix in (".py", ".pyc") and any(path.with_suffix("").match(room) for room in _COMPILED_ROOMS)


# The disk cache.

_teller: ContextVar[Callable[[str | None], None] | None] = ContextVar("fastem_teller", default=None)


@contextmanager
def telling(tell: Callable[[str | None], None]) -> Iterator[None]:
    """Call `tell` before this thread compiles a pass, which takes seconds; not when it is found on disk.

    Parameters
    ----------
    tell : callable
        Takes the directory that will keep the machine code, or None when there is none that can be written.
    """
    token = _teller.set(tell)
    try:
        yield
    finally:
        _teller.reset(token)


def _tell(directory: str | None) -> None:
    tell = _teller.get()
    if tell is not None:
        tell(directory)


class _NoCache(NullCache):
    """For a pass that is compiled in every process, because no directory can keep it."""

    def load_overload(self, sig: Any, target_context: Any) -> None:
        _tell(None)


class _FingerprintedCache(FunctionCache):
    """numba's disk cache, whose key also holds the sources of the block functions.

    numba looks only at the file of the outermost function: after an edit of a family, or an upgrade
    that leaves that file alone, it would run old machine code. And it lets errors of the disk end a
    program that needs no disk.
    """

    def __init__(self, function: Callable[..., Any], fingerprint: Callable[[Any], str]):
        super().__init__(function)
        # For a zip archive numba names a directory without a trial.
        self._impl.locator.ensure_cache_path()
        self._fingerprint = fingerprint

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), self._fingerprint(sig))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            found = super().load_overload(sig, target_context)
        except OSError:
            found = None
        except Exception:
            # A damaged file can raise anything when it is unpickled. It is written anew.
            found = None
            with suppress(OSError):
                self.flush()
        # Two processes that save at the same time may give two passes one name; numba would run the wrong one.
        if found is not None and tuple(found.signature.args) != tuple(normalize_signature(sig)[0]):
            found = None
        if found is None:
            _tell(self.cache_path)
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        # The disk may be full, the directory gone, a source unreadable: the pass is compiled and runs.
        with suppress(OSError):
            super().save_overload(sig, data)


# Threads.

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
        raise ValueError(f"n_threads must be a positive integer, or None for all threads, got {n_threads!r}.")
    most = numba.config.NUMBA_NUM_THREADS
    # Whoever started a worker process (joblib, Dask) shared out the processors among its workers.
    if n_threads > most and multiprocessing.parent_process() is None:
        raise ValueError(
            f"n_threads={n_threads} is more than numba may start in this process, which is {most}. Ask for at most "
            f"{most}, or set the environment variable NUMBA_NUM_THREADS={n_threads} before Python starts."
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


class Pass:
    """The outermost function of a pass: compiled on first use, kept on disk, run by one Python thread at a time.

    Parameters
    ----------
    function : callable
        Holds the `prange` loop.
    fingerprint : callable
        Maps the tuple of numba argument types to a string that changes whenever the source of a
        block function for these types changes.

    Notes
    -----
    A cache directory that cannot be written is not an error: the pass is then compiled once in each process.
    """

    def __init__(self, function: Callable[..., None], fingerprint: Callable[[Any], str]):
        self._parallel = _compile(function, fingerprint, parallel=True)
        self._serial = _compile(function, fingerprint, parallel=False)

    def __call__(self, *arguments: Any) -> None:
        n_threads = _n_threads.get()
        with _state.lock:
            if _must_be_serial():
                self._serial(*arguments)
            else:
                with nullcontext() if n_threads is None else _masked(n_threads):
                    self._parallel(*arguments)


def _compile(function: Callable[..., None], fingerprint: Callable[[Any], str], *, parallel: bool) -> Any:
    dispatcher = numba.njit(parallel=parallel, **PASS_OPTIONS)(function)
    if not numba.config.DISABLE_JIT:
        dispatcher._cache = _NoCache()
        # numba found no directory that it can write to, or takes a path for that of a zip archive.
        with suppress(RuntimeError, ValueError, OSError):
            dispatcher._cache = _FingerprintedCache(function, lambda sig: f"{fingerprint(sig)} {parallel=}")
    return dispatcher


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
        threads after that. The same loop, compiled for one thread, gives the same numbers to rounding.
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
