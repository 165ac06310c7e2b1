"""Everything that fastem decides about numba: flags, the disk cache, threads and the pass lock.

No other module sets a compiler flag; a test greps for it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

_COMPILED_ROOMS = ("_jit.py", "_vector_math.py", "blocks.py", "kernel.py", "families/*.py", "latents/*.py")


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


def compile_pass(function: Callable[..., Any], fingerprint: Callable[[Any], str], *, parallel: bool = True) -> Any:
    """Compile the outermost function of a pass on first use, and keep the machine code on disk.

    Parameters
    ----------
    function : callable
        Holds the `prange` loop.
    fingerprint : callable
        Maps the tuple of numba argument types to a string that changes whenever the source of a
        block function for these types changes.
    parallel : bool
        False compiles the same loop for one thread.

    Notes
    -----
    A cache directory that cannot be written is not an error: the pass is then compiled once in each process.
    """
    dispatcher = numba.njit(parallel=parallel, **PASS_OPTIONS)(function)
    if not numba.config.DISABLE_JIT:
        try:
            dispatcher._cache = _FingerprintedCache(function, fingerprint)
        except RuntimeError:
            pass
    return dispatcher


# Two Python threads inside a parallel kernel abort the interpreter under numba's workqueue layer
# (numba#9288, numba#10565). A pass uses every core anyway, so one at a time costs nothing.
_pass_lock = threading.RLock()


def _renew_pass_lock() -> None:
    global _pass_lock
    _pass_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    # A child forked while another thread of the parent was inside a pass would wait for ever.
    os.register_at_fork(after_in_child=_renew_pass_lock)


@contextmanager
def pass_lock() -> Iterator[None]:
    """Hold the one lock that every parallel pass runs under."""
    with _pass_lock:
        yield
