"""Files that nobody can change while they are mapped into memory."""

from __future__ import annotations

import mmap
import os
import signal
from typing import IO, Any

import numpy as np

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl: Any = None  # type: ignore[no-redef]


_FETCHED_BYTES = 2**20


class Lease:
    """A read lease on an open file (Linux): whoever wants to write to it or cut it short waits until it is given up.

    A file that is cut short under a map ends the process by SIGBUS; the lease gives the time to finish with the
    part that is mapped. It ends when the file is closed. There is none (OSError) where the system or the file system
    has no leases, the file is another user's, or it is open for writing. See "Leases" in fcntl(2).
    """

    def __init__(self, file: IO[bytes]):
        if not hasattr(fcntl, "F_SETLEASE"):
            raise OSError("no leases")
        self.file = file
        self._scratch = bytearray(_FETCHED_BYTES)
        # Of the signals that tell of a waiting writer the usual one would end the process; this one is ignored.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)

    def is_held(self) -> bool:
        """False as soon as someone waits to change the file."""
        return fcntl.fcntl(self.file, fcntl.F_GETLEASE) == fcntl.F_RDLCK

    def map(self, offset: int, n_bytes: int) -> np.ndarray:
        """A part of the file (n_bytes,) as bytes; its memory is given back when nothing refers to it."""
        self._fetch(offset, offset + n_bytes)
        extra = offset % mmap.ALLOCATIONGRANULARITY
        mapped = mmap.mmap(
            self.file.fileno(), n_bytes + extra, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ,
            offset=offset - extra,
        )  # fmt: skip
        return np.frombuffer(mapped, dtype=np.uint8)[extra:]

    def _fetch(self, start: int, stop: int) -> None:
        """Read what is not in the system's memory yet: while a map waits for the disk, all threads wait with it."""
        number = self.file.fileno()
        for place in range(start, stop, _FETCHED_BYTES):
            try:
                os.preadv(number, [memoryview(self._scratch)[:1]], place, os.RWF_NOWAIT)
            except BlockingIOError:
                os.preadv(number, [self._scratch], place)
            except OSError:
                # The file system cannot tell.
                return
