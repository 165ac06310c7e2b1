"""Machine code on disk: where it is kept, under which names, and when it is removed.

numba's own cache is not used. It keeps code inside the installed package, where an uninstallation leaves it
behind; it looks at the file of the outermost function only, so that it would run old code after an edit of a
family; and it lists all code of a function in one index, which two processes may write at the same time, and
which a process without a user's family cannot read.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import sys
import tempfile
import time
import uuid
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.core.sigutils import normalize_signature

# Folders of other versions that stay, and how long any folder stays after its last use: processes that run may
# still load from it. (Where it goes all the same, they compile anew.)
KEPT_FOLDERS = 4
KEPT_SECONDS = 24 * 3600

_FOLDER = re.compile(r"fastem-[^-/]+-[0-9a-f]{32}")
_SUFFIX, _PART = ".kernel", ".part"

_COMPILED_ROOMS = ("passes/*", "families/*", "families/*/*", "latents/*")

# Sources, and what tells one version of them from another.


def file_digest(*paths: Path) -> str:
    """Hexadecimal digest of the contents of files, which may lie inside a zip archive; OSError without them."""
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        digest.update(_contents(path))
    return digest.hexdigest()


def source_digest(root: Path = Path(__file__).parents[1]) -> str:
    """Digest of every file whose code is compiled into a pass; OSError without any, as in a frozen application."""
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
    # Some installations hold bytecode only; what lies beside sources follows from them.
    is_source = path.suffix in (".py", ".pyc") and "__pycache__" not in path.parts
    return is_source and any(path.with_suffix("").match(room) for room in _COMPILED_ROOMS)


def _sources() -> str | None:
    try:
        return source_digest()
    except OSError:
        return None


# What is compiled is what was imported: files that change later, as in an upgrade, are not what this process runs.
_SOURCES = _sources()

# The callback before a compilation.

_notifier: ContextVar[Callable[[str | None], None] | None] = ContextVar("fastem_teller", default=None)


@contextmanager
def on_compile(notify: Callable[[str | None], None]) -> Iterator[None]:
    """Call `notify` before this thread compiles a pass, which takes seconds; not when it is found on disk.

    It takes the directory that will keep the machine code, or None when there is none that can be written.
    """
    token = _notifier.set(notify)
    try:
        yield
    finally:
        _notifier.reset(token)


def _notify(directory: str | None) -> None:
    notify = _notifier.get()
    if notify is not None:
        notify(directory)


# Where kernels are kept.


def _folders() -> list[Path]:
    """Where kernels of these sources may be, the first choice first: the user's word, then the user's cache."""
    if _SOURCES is None:
        return []
    try:
        name = f"fastem-{version('fastem').replace('-', '_')}-{_SOURCES}"
    except PackageNotFoundError:
        name = f"fastem-0-{_SOURCES}"
    named = Path(numba.config.CACHE_DIR).absolute() if numba.config.CACHE_DIR else None
    return [root / name for root in (named, _users_cache()) if root is not None]


def _users_cache() -> Path | None:
    """The directory that this platform has for fastem's files that can be made again; None for a user without one."""
    try:
        home = Path.home()
    except RuntimeError:
        home = Path()
    if sys.platform == "win32":
        place, below = os.environ.get("LOCALAPPDATA"), "AppData/Local"
    elif sys.platform == "darwin":
        place, below = None, "Library/Caches"
    else:
        place, below = os.environ.get("XDG_CACHE_HOME"), ".cache"
    if place and os.path.isabs(place):
        return Path(place) / "fastem"
    # A home that is not there is no mistake to be mended: it says that this user keeps nothing.
    return home / below / "fastem" if home.is_absolute() and home.is_dir() else None


def _can_be_written(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


class KernelCache(NullCache):
    """One file for each kernel, in a folder for each version of the sources.

    Errors of the disk end no program: what cannot be kept is compiled in each process.

    Parameters
    ----------
    function : callable
        The outermost function of a pass.
    fingerprint : callable
        Maps the tuple of numba argument types to a text that changes whenever the source of a block function for
        these types changes. Raises OSError where no source can be read: such kernels are not kept.
    """

    def __init__(self, function: Callable[..., Any], fingerprint: Callable[[Any], str]):
        self._function = function
        self._fingerprint = fingerprint

    @property
    def cache_path(self) -> str | None:
        """The directory that keeps what is compiled, or None."""
        return next((str(folder) for folder in _folders() if _can_be_written(folder)), None)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What was kept for these argument types, or None: then it is told that a compilation begins."""
        target_context.refresh()
        name = self._name(sig, target_context.codegen())
        for folder in _folders():
            if name is None:
                break
            found = _read(folder / name, sig, target_context)
            if found is not None:
                return found
            if _can_be_written(folder):
                _notify(str(folder))
                return None
        _notify(None)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled, where a directory can be written."""
        name, directory = self._name(sig, data.codegen), self.cache_path
        if name is None or directory is None:
            return
        if data.lifted or data.library.has_dynamic_globals:
            warnings.warn(
                "A compiled kernel cannot be kept on disk, since it holds addresses of this process: a block function "
                "refers to a ctypes pointer or a large global array. Every process will compile it.",
                RuntimeWarning,
                stacklevel=2,
            )
            return
        folder = Path(directory)
        # The disk may be full or the directory gone, or a record's class unknown to pickle: the pass runs all the same.
        with suppress(OSError, pickle.PickleError, TypeError):
            _write(folder / name, dumps(data._reduce()))
            _remove_old(folder)

    def _name(self, sig: Any, codegen: Any) -> str | None:
        """The file of the kernel for these argument types, on this kind of processor; None when none can be named."""
        try:
            fingerprint = self._fingerprint(sig)
        except OSError:
            return None
        python = sys.version_info[:2], getattr(sys, "abiflags", "")
        code = self._function.__code__.co_code
        key = (normalize_signature(sig)[0], fingerprint, code, codegen.magic_tuple(), numba.__version__, python)
        return f"{self._function.__name__}-{hashlib.blake2b(repr(key).encode(), digest_size=16).hexdigest()}{_SUFFIX}"


def _read(path: Path, sig: Any, target_context: Any) -> Any:
    try:
        data = path.read_bytes()
        found = CompileResult._rebuild(target_context, *pickle.loads(data))
    except Exception:
        # No file, or one that is damaged, which can raise anything. It will be written anew.
        return None
    # Two classes of records may have one name.
    if tuple(found.signature.args) != tuple(normalize_signature(sig)[0]):
        return None
    with suppress(OSError):
        os.utime(path.parent)
    return found


def _write(path: Path, data: bytes) -> None:
    """Write a file as a whole or not at all."""
    # Not a private file, as those of `tempfile` are: several users may share the directory that NUMBA_CACHE_DIR names.
    temporary = path.with_name(uuid.uuid4().hex + _PART)
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _remove_old(current: Path) -> None:
    """Remove kernels of other sources that nobody has used lately."""
    last_used = {}
    for folder in current.parent.iterdir():
        with suppress(OSError):
            if _FOLDER.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
                last_used[folder] = folder.stat().st_mtime
    for folder in sorted(last_used, key=last_used.__getitem__, reverse=True)[KEPT_FOLDERS:]:
        if last_used[folder] < time.time() - KEPT_SECONDS:
            # Another process may be doing the same.
            with suppress(OSError):
                for path in folder.iterdir():
                    if path.suffix in (_SUFFIX, _PART):
                        path.unlink(missing_ok=True)
                folder.rmdir()
