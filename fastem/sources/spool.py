"""Streams that are read once, such as pipes, kept in a temporary file: their rows are needed several times."""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import select
import shutil
import stat
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import IO, Any

from fastem.sources.reader import SourceError

STANDARD_INPUT = "-"
_BLOCK = 2**20
# A pipe without a writer is given up after so many seconds; that someone is waited for is told earlier.
NO_WRITER_SECONDS = 60.0
_TOLD_SECONDS = 3.0
# Left free on the disk, for others.
_SPARE_BYTES = 256 * 2**20
_BLOCKS_BETWEEN_LOOKS = 16
_DESCRIPTOR = re.compile(r"/dev/(?:fd/[0-9]+|stdin)$|/proc/self/fd/[0-9]+$")

_sink: ContextVar[Callable[[str], None]] = ContextVar("_sink", default=logging.getLogger("fastem").warning)


@contextmanager
def spool_lines_to(sink: Callable[[str], None]) -> Iterator[None]:
    """Hand lines about streams that are waited for, or kept in a file, to `sink`; by default they are logged."""
    token = _sink.set(sink)
    try:
        yield
    finally:
        _sink.reset(token)


class Spool(os.PathLike[str]):
    """What a stream gave, as a file that can be opened several times. It is gone when nothing refers to it any more.

    Messages call it by its `label`; `end` removes the file, or closes it.
    """

    def __init__(self, label: str, path: str, end: Callable[[], None]):
        self.label = label
        self._path = path
        weakref.finalize(self, end)

    def __fspath__(self) -> str:
        return self._path


def _kept(blocks: Iterator[bytes], label: str) -> Spool:
    """A temporary file of these blocks. On Linux it has no name, so that even a killed process leaves nothing."""
    folder = tempfile.gettempdir()
    writing, path = tempfile.mkstemp(prefix="fastem-", dir=folder)
    n_bytes = 0
    try:
        with open(writing, "wb") as file:
            if nameless := _is_linux():
                os.unlink(path)
            for number, block in enumerate(blocks):
                if number % _BLOCKS_BETWEEN_LOOKS == 0 and shutil.disk_usage(folder).free < _SPARE_BYTES:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                file.write(block)
                n_bytes += len(block)
            file.flush()
            spool = _opened_again(file.fileno(), label) if nameless else Spool(label, path, partial(os.unlink, path))
    except BaseException as error:
        if not nameless:
            os.unlink(path)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise SourceError(
                f"{label} does not fit into {folder}, where it is kept to be read several times: {_size(n_bytes)} "
                f"came, and {_size(shutil.disk_usage(folder).free)} are free. Name a folder with more room by the "
                "variable TMPDIR, or write the rows to a file."
            ) from error
        raise
    if n_bytes:
        _sink.get()(f"{label} is kept in a temporary file in {folder} ({_size(n_bytes)}), to be read several times")
    return spool


def _is_linux() -> bool:
    return sys.platform == "linux" and os.path.isdir("/proc/self/fd")


def _opened_again(descriptor: int, label: str) -> Spool:
    """The file of a descriptor, whatever its name, to be read from its start."""
    reading = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
    return Spool(label, f"/proc/self/fd/{reading}", partial(os.close, reading))


def is_file_object(X: Any) -> bool:
    """Whether X is an open file, or behaves as one."""
    return isinstance(X, io.IOBase) or (callable(getattr(X, "read", None)) and callable(getattr(X, "readline", None)))


def is_file(X: Any) -> bool:
    """Whether X is a path or an open file."""
    return isinstance(X, str | os.PathLike) or is_file_object(X)


def once(X: Any) -> Any:
    """X, or where it is a stream that can be read once only, a temporary file with its content.

    Terminals, devices, and pipes that nobody writes to are a SourceError. ``"-"`` is the standard input.
    """
    if isinstance(X, list | tuple) and any(map(is_file, X)):
        return [once(item) for item in X]
    if is_file_object(X):
        return _file_object(X)
    if not isinstance(X, str | os.PathLike) or isinstance(X, Spool):
        return X
    return _path(os.fspath(X))


def _file_object(file: IO[Any]) -> Spool:
    name = getattr(file, "name", None)
    label = name if isinstance(name, str) else f"the {type(file).__name__}"
    if getattr(file, "isatty", bool)():
        raise _no_rows_from(label)
    return _kept(_of_file_object(file), label)


def _path(path: str) -> Any:
    if path == STANDARD_INPUT:
        return _standard_input()
    try:
        mode = os.stat(path)
    except (OSError, ValueError):
        return path
    if _is_linux() and stat.S_ISREG(mode.st_mode) and _DESCRIPTOR.match(path):
        return _of_open(_number_of(path), path, is_file=True)
    if stat.S_ISREG(mode.st_mode) or stat.S_ISDIR(mode.st_mode):
        return path
    _require_no_device(mode, path)
    # A pipe is opened without waiting for a writer.
    is_open = _DESCRIPTOR.match(path)
    descriptor = os.dup(_number_of(path)) if is_open else os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    return _kept(_of_descriptor(descriptor, path), path)


def _standard_input() -> Any:
    label = "the standard input"
    stream = getattr(sys.stdin, "buffer", sys.stdin)
    if stream is None or stream.closed:
        raise SourceError("The standard input is closed. Name a file.")
    try:
        descriptor = stream.fileno()
    except (OSError, AttributeError):
        return _kept(_of_file_object(stream), label)
    status = os.fstat(descriptor)
    _require_no_device(status, label)
    return _of_open(descriptor, label, stat.S_ISREG(status.st_mode))


def _of_open(descriptor: int, label: str, is_file: bool) -> Spool:
    """A file or a pipe that is open already, from where it has been read to."""
    if is_file and _is_linux() and os.lseek(descriptor, 0, os.SEEK_CUR) == 0:
        return _opened_again(descriptor, label)
    return _kept(_of_descriptor(os.dup(descriptor), label), label)


def _require_no_device(status: os.stat_result, label: str) -> None:
    is_device = stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)
    if is_device and status.st_rdev != os.stat(os.devnull).st_rdev:
        raise _no_rows_from(label)


def _no_rows_from(label: str) -> SourceError:
    return SourceError(
        f"{label} is a terminal or another device, from which no rows are read. Name a file, or send rows through a "
        "pipe, as in: zcat rows.csv.gz | fastem fit - -k 2"
    )


def _number_of(path: str) -> int:
    """The descriptor that a path such as /dev/fd/63 names."""
    return 0 if path.endswith("stdin") else int(path.rpartition("/")[2])


def _of_descriptor(descriptor: int, label: str) -> Iterator[bytes]:
    """What comes through a descriptor, which is closed at the end."""
    start, is_told, has_writer = time.monotonic(), False, os.get_blocking(descriptor)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while True:
            events = poll.poll(1000 * _TOLD_SECONDS)
            waited = time.monotonic() - start
            try:
                block = os.read(descriptor, _BLOCK) if events or not has_writer else None
            except BlockingIOError:
                has_writer, block = True, None
            if block:
                has_writer = True
                start = time.monotonic()
                yield block
            elif block == b"" and (events or has_writer):
                return
            elif block == b"" and waited > NO_WRITER_SECONDS:
                raise SourceError(f"{label} is a pipe that nobody writes to: fastem waited for {waited:.0f} seconds.")
            elif not is_told:
                is_told = True
                _sink.get()(f"waiting for rows from {label}; Ctrl-C ends it")
    finally:
        os.close(descriptor)


def _of_file_object(file: IO[Any]) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block.encode() if isinstance(block, str) else bytes(block)


def _size(n_bytes: int) -> str:
    for unit in ("bytes", "KB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes = n_bytes / 1000  # type: ignore[assignment]
    return f"{n_bytes:.3g} GB"
