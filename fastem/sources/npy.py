"""Rows of a `.npy` file: mapped while nobody can change it, and read otherwise."""

from __future__ import annotations

import math
import mmap
import os
import signal
import tokenize
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import IO, Any

import numpy as np

from fastem.given import require_exact
from fastem.sources.reader import PIECE_BYTES, FileReader, NoRowsError, SourceError, Span
from fastem.sources.shared import cut, even_spans, is_numeric, piece_dtype, recycler, rows_text
from fastem.sources.sliced import SlicedReader

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


# To map a part takes as long as to read 2 MB, and it takes no memory of its own.
_MAPPED_BYTES = 32 * 2**20
# What is read at once stays in the cache until it is converted.
_READ_BYTES = 2**20


class NpyReader(FileReader):
    """Rows of a `.npy` file: an array (N, D) or (N,) of real numbers, in rows or in columns, of any byte order."""

    n_rows: int

    def __init__(self, path: str | os.PathLike[str]):
        super().__init__(path)
        shape, self._by_column, self._dtype, self._offset = _read_header(self.path, self.label)
        self.n_rows = shape[0]
        self.n_columns = shape[1] if len(shape) == 2 else 1
        self._row_bytes = self.n_columns * self._dtype.itemsize
        self.piece_bytes = _MAPPED_BYTES if self._can_be_mapped() else PIECE_BYTES
        size = os.stat(self.path).st_size
        if size < self._offset + self.n_rows * self._row_bytes:
            there = 0 if self._by_column else (size - self._offset) // self._row_bytes
            raise self._cut_short(there, self.n_rows)

    def spans(self) -> list[Span]:
        return even_spans(self.n_rows, self._row_bytes)

    def ids(self, column: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from SlicedReader(np.load(self.path, mmap_mode="r"), self.label).ids(column)

    def pieces(self, columns: Sequence[int], max_rows: int, span: Span | None = None) -> Iterator[np.ndarray]:
        start, stop = span or (0, self.n_rows)
        with open(self.path, "rb", buffering=0) as file:
            read = self._how_to_read(file, columns)
            for first in range(start, stop, max_rows):
                # No name here keeps the piece alive while the next one looks for memory.
                yield read(file, columns, first, min(stop, first + max_rows))

    def _can_be_mapped(self) -> bool:
        with open(self.path, "rb") as file, suppress(OSError):
            return self._is_plain(range(self.n_columns)) and Lease(file).is_held()
        return False

    def _how_to_read(self, file: IO[bytes], columns: Sequence[int]) -> Callable[..., np.ndarray]:
        if self._by_column:
            return self._read_columns
        if self._is_plain(columns):
            with suppress(OSError):
                lease = Lease(file)
                return lambda file, columns, start, stop: self._map_rows(lease, start, stop)
        return self._read_rows

    def _is_plain(self, columns: Sequence[int]) -> bool:
        """Whether the rows are in the file just as they are asked for."""
        is_every = list(columns) == list(range(self.n_columns))
        return is_every and not self._by_column and self._dtype == piece_dtype([self._dtype])

    def _map_rows(self, lease: Lease, start: int, stop: int) -> np.ndarray:
        file = lease.file
        if not lease.is_held():
            raise SourceError(
                f"{rows_text(self.label, start, stop)}: someone writes to the file. Read it again, and let nothing "
                "write to it meanwhile."
            )
        offset, n_bytes = self._offset + start * self._row_bytes, (stop - start) * self._row_bytes
        if os.fstat(file.fileno()).st_size < offset + n_bytes:
            raise self._cut_short(start, stop)
        return lease.map(offset, n_bytes).view(self._dtype).reshape(stop - start, self.n_columns)

    def _read_rows(self, file: IO[bytes], columns: Sequence[int], start: int, stop: int) -> np.ndarray:
        dtype = piece_dtype([self._dtype])
        everything = list(columns) == list(range(self.n_columns))
        file.seek(self._offset + start * self._row_bytes)
        piece = recycler.array((stop - start, len(columns)), dtype)
        if self._is_plain(columns):
            self._fill(file, piece, start, stop)
            return piece
        scratch = np.empty((min(stop - start, max(1, _READ_BYTES // self._row_bytes)), self.n_columns), self._dtype)
        for first, end in cut(0, stop - start, scratch.shape[0]):
            rows = scratch[: end - first]
            self._fill(file, rows, start + first, start + end)
            chosen = rows if everything else rows[:, list(columns)]
            require_exact(chosen, self.label)
            piece[first:end] = chosen
        return piece

    def _read_columns(self, file: IO[bytes], columns: Sequence[int], start: int, stop: int) -> np.ndarray:
        dtype = piece_dtype([self._dtype])
        piece = recycler.array((stop - start, len(columns)), dtype, order="F")
        scratch = None if dtype == self._dtype else np.empty(stop - start, self._dtype)
        for values, column in zip(piece.T, columns, strict=True):
            file.seek(self._offset + (column * self.n_rows + start) * self._dtype.itemsize)
            self._fill(file, values if scratch is None else scratch, start, stop)
            if scratch is not None:
                require_exact(scratch, self.label)
                values[:] = scratch
        return piece

    def _fill(self, file: IO[bytes], array: np.ndarray, start: int, stop: int) -> None:
        """Read an array that lies in one piece."""
        memory = array.reshape(-1).view(np.uint8).data
        done = 0
        while done < len(memory):
            n = file.readinto(memory[done : done + _READ_BYTES])  # type: ignore[attr-defined]
            if not n:
                raise self._cut_short(start, stop)
            done += n

    def _cut_short(self, start: int, stop: int) -> SourceError:
        return SourceError(
            f"{rows_text(self.label, start, stop)}: the file is cut short; its header announces {self.n_rows} rows. "
            "Write the file again."
        )


def _read_header(path: str, label: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether columns lie in one piece, dtype, and where the values begin."""
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, by_column, dtype = read(file)
            offset = file.tell()
    except (ValueError, TypeError, SyntaxError, EOFError, tokenize.TokenError) as error:
        raise SourceError(f"{label} is not a NumPy file of numbers, or it is damaged: {error}") from error
    if dtype.hasobject:
        raise SourceError(f"{label} is not a NumPy file of numbers: it holds Python objects.")
    if len(shape) not in (1, 2) or not is_numeric(dtype):
        raise SourceError(
            f"{label} holds an array of shape {shape} and dtype {dtype}; rows and columns of real numbers are expected."
        )
    if math.prod(shape) == 0 or min(shape) < 0:
        raise NoRowsError.of_shape(label, shape)
    return shape, by_column and len(shape) == 2, dtype, offset
