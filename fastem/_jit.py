"""Everything that fastem decides about numba: flags, the disk cache, threads and the pass lock.

No other module sets a compiler flag; a test greps for it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache

# Sums may be reordered (it lets LLVM vectorise them) and multiplications contracted into FMAs.
# `nnan` and `ninf` are absent: log-densities of minus infinity and NaN in bad data are real here.
REORDERED = {"reassoc", "contract", "nsz", "arcp"}
# For code whose rounding errors cancel by design, such as range reduction in exp.
IN_ORDER = {"contract"}

BLOCK_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": REORDERED}
PASS_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}

block_function = numba.njit(**BLOCK_OPTIONS)
exact_function = numba.njit(**{**BLOCK_OPTIONS, "fastmath": IN_ORDER})

_COMPILED_ROOMS = (
    "_jit.py",
    "_vector_math.py",
    "blocks.py",
    "rows.py",
    "reach.py",
    "kernel.py",
    "families/*.py",
    "latents/*.py",
)


def file_digest(*paths: Path) -> str:
    """Hexadecimal digest of the contents of files that exist and can be read."""
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        try:
            digest.update(path.read_bytes())
        except OSError:
            digest.update(b"unreadable")
    return digest.hexdigest()


def source_digest() -> str:
    """Digest of every source file whose code is compiled into a pass."""
    root = Path(__file__).parent
    return file_digest(*(path for room in _COMPILED_ROOMS for path in sorted(root.glob(room))))


class _FingerprintedCache(FunctionCache):
    """numba's disk cache, whose key also holds the sources of the block functions.

    numba looks only at the file of the outermost function: after an edit of a family, or an upgrade
    that leaves that file alone, it would run old machine code.
    """

    def __init__(self, function: Callable[..., Any], fingerprint: Callable[[Any], str]):
        super().__init__(function)
        self._fingerprint = fingerprint

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), self._fingerprint(sig))


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
        with _state.lock:
            (self._serial if _state.threads_lost else self._parallel)(*arguments)


def _compile(function: Callable[..., None], fingerprint: Callable[[Any], str], *, parallel: bool) -> Any:
    dispatcher = numba.njit(parallel=parallel, **PASS_OPTIONS)(function)
    if not numba.config.DISABLE_JIT:
        # RuntimeError: numba found no directory that it can write to.
        with suppress(RuntimeError):
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
    threads_lost : bool
        This process was forked from one that ran OpenMP threads. GNU OpenMP ends a process that starts
        threads after that. The same loop, compiled for one thread, gives the same numbers to rounding.
    """

    lock: Any = field(default_factory=threading.Lock)
    threads_lost: bool = False


_state = _State()


def _begin_in_child() -> None:
    """After a fork: the lock may be held by a thread that is not there any more."""
    _state.lock = threading.Lock()
    # ValueError: no threads were started before the fork.
    with suppress(ValueError):
        _state.threads_lost = numba.threading_layer() == "omp"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)
