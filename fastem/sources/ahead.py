"""Reading ahead: a thread fetches the next item while the last one is worked on."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import Any, TypeVar

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
