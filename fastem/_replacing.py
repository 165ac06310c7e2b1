"""Files that are written as a whole or not at all, and what may be written to."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_PART = ".part"
_WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EPIPE)
# Opened by another name, a file that a process has open is the same open file: it can only be written into.
_DESCRIPTORS = re.compile(r"/proc/(\d+|self|thread-self)(/task/\d+)?/fd|/dev/fd")
# Files under way in this process, for `discard_unfinished`.
_unfinished: set[str] = set()


class OutputError(ValueError):
    """A place that cannot be written to; the message says why."""


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file that takes the place of another when all is written; after an error that one is as it was.

    A symbolic link stays, and the file that it leads to is replaced, with its mode. A pipe, a device, or a file of
    several names (hard links) stays as well: what was written is copied into it at the end. What cannot be written to
    is an OutputError before anything is written.
    """
    require_place(path)
    target = _followed(Path(path))
    try:
        if _is_replaced(target):
            with _written_beside(target) as file:
                yield file
        else:
            with _opened_in_place(target) as place, tempfile.TemporaryFile() as file:
                yield file
                file.seek(0)
                shutil.copyfileobj(file, place)
                if stat.S_ISREG(os.fstat(place.fileno()).st_mode):
                    place.truncate()
    except OSError as error:
        # An error of a write, such as that of a full disk, knows only the number of the file.
        if error.errno in _WRITE_ERRORS and error.filename is None:
            error.filename = str(path)
        raise


def require_place(path: str | os.PathLike[str]) -> None:
    """Raise OutputError for a path that cannot be written to, or must not be."""
    reason = why_not(path)
    if reason:
        raise OutputError(f"Cannot write {path}: {reason}.")


def why_not(path: str | os.PathLike[str]) -> str:
    """Why a path cannot be written to, or must not be; nothing if it can."""
    try:
        target = _followed(Path(path))
        is_replaced = _is_replaced(target)
        mode = os.stat(target).st_mode if target.exists() else 0
    except OSError as error:
        # A ring of links, or a folder that may not be looked into.
        return (error.strerror or str(error)).lower()
    if stat.S_ISDIR(mode):
        return "it is a directory"
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        return "it is a disk or a socket. Name a file"
    if mode and not os.access(target, os.W_OK):
        return "permission denied"
    if is_replaced and not target.parent.is_dir():
        return f"there is no directory {target.parent}"
    # The new file is written beside the old one.
    if is_replaced and not os.access(target.parent, os.W_OK | os.X_OK):
        return f"no file can be made in {target.parent}: permission denied"
    return ""


def same_place(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two paths lead to one file, which may not be there yet. Two devices are never one file."""
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other) and not stat.S_ISCHR(os.stat(one).st_mode)
    return os.path.realpath(one) == os.path.realpath(other)


def discard_unfinished() -> None:
    """Remove what this process has begun to write and not finished, before it ends at once."""
    for part in tuple(_unfinished):
        with suppress(OSError):
            os.unlink(part)


def _followed(path: Path) -> Path:
    """Where links lead, but for those that stand for an open file."""
    seen = set()
    while path.is_symlink():
        path = Path(os.path.realpath(path.parent)) / path.name
        if _DESCRIPTORS.fullmatch(str(path.parent)):
            return path
        if path in seen:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        seen.add(path)
        path = path.parent / os.readlink(path)
    return path


def _is_replaced(target: Path) -> bool:
    """Whether a new file takes the place of this one: there is none, or it is a plain file of one name."""
    if _DESCRIPTORS.fullmatch(os.path.realpath(target.parent)):
        return False
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return True
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _opened_in_place(target: Path) -> IO[bytes]:
    """A file that is written into, not yet emptied; a pipe only if somebody reads it, for nobody may ever come."""
    try:
        descriptor = os.open(target, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OutputError(f"Cannot write {target}: nobody reads this pipe. Start its reader first.") from error
        raise
    if hasattr(os, "set_blocking"):
        os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "wb")


@contextmanager
def _written_beside(target: Path) -> Iterator[IO[bytes]]:
    _remove_stale(target)
    before = os.stat(target) if target.exists() else None
    # A new file has the mode that the system gives it; one that replaces another is private until it is whole.
    handle, part = _create(target, 0o666 if before is None else 0o600)
    _unfinished.add(part)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if before is not None:
                # The owner is kept as far as that is allowed.
                if hasattr(os, "chown"):
                    with suppress(OSError):
                        os.chown(part, before.st_uid, before.st_gid)
                os.chmod(part, stat.S_IMODE(before.st_mode))
        os.replace(part, target)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    finally:
        _unfinished.discard(part)


def _create(target: Path, mode: int) -> tuple[int, str]:
    """A new file beside the target, locked as long as it is open, so that others know it is being written."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    while True:
        # Not of NumPy's or Python's generators, which a user may have seeded.
        part = str(target.parent / f".{_short(target.name)}.{secrets.token_hex(4)}{_PART}")
        try:
            handle = os.open(part, flags, mode)
        except FileExistsError:
            continue
        _lock(handle)
        # Another process may have taken it for a stale one before it was locked.
        if os.path.exists(part):
            return handle, part
        os.close(handle)


def _short(name: str) -> str:
    """A name with room for more within the length that file systems allow."""
    return name if len(os.fsencode(name)) <= 200 else os.fsdecode(os.fsencode(name)[:200])


def _remove_stale(target: Path) -> None:
    """Remove what processes that were killed had begun to write in place of the target."""
    pattern = re.compile(rf"\.{re.escape(_short(target.name))}\.[0-9a-z_]{{8}}{re.escape(_PART)}")
    # A folder in which files can be made need not be one that can be listed.
    names = os.listdir(target.parent) if os.access(target.parent, os.R_OK) else []
    for name in filter(pattern.fullmatch, names):
        with suppress(OSError), open(target.parent / name, "rb+") as file:
            if _lock(file.fileno()):
                os.unlink(file.name)


def _lock(handle: int) -> bool:
    """Lock an open file for this process; False where another holds it, or there are no locks."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True
