"""What readers share: reading ahead, memory used again, spans, the dtype of pieces, and words about rows."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextvars import copy_context
from functools import partial
from itertools import pairwise
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import Any, TypeVar

import numpy as np

from fastem.passes.units import ROWS_PER_RUN
from fastem.sources.reader import Span

SPAN_BYTES = 4 * 2**20
_KEPT_BYTES = 64 * 2**20


class Recycler:
    """Arrays in memory that is used again once nothing refers to it any more.

    Fresh memory is handed out by the operating system page by page, and that takes longer than a read.
    """

    def __init__(self, kept_bytes: int = _KEPT_BYTES):
        self._kept_bytes = kept_bytes
        self._buffers: list[np.ndarray] = []
        self._lock = threading.Lock()

    def array(self, shape: tuple[int, int], dtype: np.dtype[Any], order: Any = "C") -> np.ndarray:
        n_bytes = shape[0] * shape[1] * dtype.itemsize
        with self._lock:
            buffer = self._free_buffer(n_bytes)
            return buffer[:n_bytes].view(dtype).reshape(shape, order=order)

    def _free_buffer(self, n_bytes: int) -> np.ndarray:
        free = [i for i in range(len(self._buffers)) if _references(self._buffers, i) == _UNUSED]
        fitting = [i for i in free if n_bytes <= self._buffers[i].nbytes <= max(2 * n_bytes, SPAN_BYTES)]
        if fitting:
            return self._buffers[fitting[0]]
        buffer = np.empty(n_bytes, dtype=np.uint8)
        if sum(kept.nbytes for kept in self._buffers) + n_bytes > self._kept_bytes:
            self._buffers = [kept for i, kept in enumerate(self._buffers) if i not in free]
        if sum(kept.nbytes for kept in self._buffers) + n_bytes <= self._kept_bytes:
            self._buffers.append(buffer)
        return buffer


def _references(buffers: list[np.ndarray], i: int) -> int:
    # Views of a buffer refer to it, and so do views of views.
    return sys.getrefcount(buffers[i])


# Counted in the same way, because Python's versions differ in what a call adds.
_UNUSED = _references([np.empty(1)], 0)

# One for all readers: a folder of a thousand files needs no more memory than one file.
recycler = Recycler()


def piece_dtype(dtypes: Iterable[np.dtype[Any]]) -> np.dtype[Any]:
    """float32 where that holds all columns, and float64 otherwise."""
    single = all(dtype.kind == "f" and dtype.itemsize <= 4 for dtype in dtypes)
    return np.dtype(np.float32 if single else np.float64)


def is_numeric(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype holds real numbers or booleans."""
    return dtype.kind in "biuf"


def even_spans(n_rows: int, row_bytes: int, multiple: int | None = None) -> list[Span]:
    """Parts of about 4 MiB of rows, of a whole multiple of rows (by default, of the rows of a run where they fit)."""
    rows = max(1, SPAN_BYTES // row_bytes)
    if multiple is None:
        multiple = ROWS_PER_RUN if rows >= ROWS_PER_RUN else 1
    return cut(0, n_rows, max(1, rows // multiple) * multiple)


def cut(start: int, stop: int, n_rows: int) -> list[Span]:
    """Parts of at most `n_rows` rows, that meet at multiples of `n_rows`."""
    edges = [start, *range((start // n_rows + 1) * n_rows, stop, n_rows), stop]
    return list(pairwise(edges)) if start < stop else []


def rows_text(label: str, start: int, stop: int | None) -> str:
    """Rows of a file in words."""
    return f"{label}, rows from {start}" if stop is None else f"{label}, rows {start} to {stop - 1}"


def column_labels(names: Sequence[str] | None, columns: Iterable[int]) -> list[str]:
    """How to call columns: by their names, or by their positions."""
    return [(names[column] if names else "") or str(column) for column in columns]


T = TypeVar("T")


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each fetched in a thread while the one before is used; at most two exist at a time.

    An exception of `items` is raised where its item would have come. When the consumer stops early, the
    thread ends and `items` is closed before this generator is.
    """
    fetched: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
    free, stopping = Semaphore(1), Event()
    # In the context of this thread, which says how messages call settings.
    work = partial(copy_context().run, _fetch, items, fetched, free, stopping)
    thread = Thread(target=work, name="fastem-reader", daemon=True)
    thread.start()
    try:
        while True:
            is_item, item = fetched.get()
            if not is_item:
                break
            free.release()
            yield item
            # Before the next one is waited for: two chunks are held at a time, not three.
            del item
    finally:
        stopping.set()
        free.release()
        thread.join()
    if item is not None:
        raise item


def _fetch(items: Iterator[Any], fetched: SimpleQueue[tuple[bool, Any]], free: Semaphore, stopping: Event) -> None:
    """Put (True, item) for each item, and at the end (False, None), or (False, error)."""
    try:
        while True:
            free.acquire()
            if stopping.is_set():
                break
            fetched.put((True, next(items)))
    except StopIteration:
        fetched.put((False, None))
    except BaseException as error:
        fetched.put((False, error))
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()
