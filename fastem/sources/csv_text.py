"""Text files as streams of lines: decompressed, in UTF-8, without comments, and with single spaces."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import re
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import IO, Any, AnyStr, cast

from fastem._extras import require
from fastem.sources.reader import SourceError

_PACKED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
# The marks of UTF-32 begin as those of UTF-16 do.
_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip
_BLOCK = 2**20
_LINES = 10_000
_EDGES = re.compile(rb"(?:(?<=[\r\n])|\A) +| +(?=[\r\n]|\Z)")


class TextFile:
    """A text file, maybe compressed.

    Parameters
    ----------
    path : str
        What is compressed is recognised by the suffix, or else by the first bytes.
    encoding : str or None
        None recognises UTF-8, UTF-16 and UTF-32.

    Raises
    ------
    OSError
    SourceError
        For a file that is damaged.
    """

    def __init__(self, path: str, encoding: str | None = None):
        self.path = path
        self.compression = _compression(path)
        # Bytes that are no UTF-8 are let through: columns of text need not be read.
        self._is_utf8, self._encoding, self._errors = True, "utf-8-sig", "backslashreplace"
        with self._damage_told(), self._open_binary() as file:
            head = file.read(4)
        found = encoding or next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
        if found is not None and found.lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig", "ascii"):
            self._is_utf8, self._encoding, self._errors = False, found, "strict"
        self._filters: list[Callable[[Iterator[bytes]], Iterator[bytes]]] = []

    def filtered(self, *filters: Callable[[Iterator[bytes]], Iterator[bytes]]) -> None:
        """Pass blocks of whole lines through these from now on."""
        self._filters = list(filters)

    @contextmanager
    def lines(self) -> Iterator[IO[str]]:
        """The text, to be read once; line ends are those of the file.

        Raises
        ------
        SourceError
        """
        with self._damage_told():
            if self._filters:
                stream = io.BufferedReader(_Stream(self._blocks()))
                with io.TextIOWrapper(stream, encoding="utf-8", errors="backslashreplace", newline="") as file:
                    yield file
            else:
                with self._open_text() as file:
                    yield file

    @contextmanager
    def utf8(self) -> Iterator[Any]:
        """The same in UTF-8, for the reader of Arrow."""
        if self._is_utf8 and not self._filters:
            pyarrow = require("pyarrow", "io", "reading CSV files")
            with pyarrow.input_stream(self.path, compression=self.compression) as stream:
                yield stream
        else:
            with _Stream(self._blocks()) as stream:
                yield stream

    def _open_binary(self) -> IO[bytes]:
        if self.compression == "gzip":
            return cast("IO[bytes]", gzip.open(self.path, "rb"))
        if self.compression == "bz2":
            return bz2.open(self.path, "rb")
        if self.compression == "zstd":
            open(self.path, "rb").close()
            pyarrow = require("pyarrow", "io", "reading compressed CSV files")
            return pyarrow.input_stream(self.path, compression="zstd")
        return open(self.path, "rb")

    def _open_text(self) -> IO[str]:
        return io.TextIOWrapper(self._open_binary(), encoding=self._encoding, errors=self._errors, newline="")

    def _blocks(self) -> Iterator[bytes]:
        blocks = _whole_lines(self._encoded())
        for line_filter in self._filters:
            blocks = line_filter(blocks)
        with self._damage_told():
            yield from blocks

    def _encoded(self) -> Iterator[bytes]:
        if self._is_utf8:
            with self._open_binary() as packed:
                block = packed.read(_BLOCK).removeprefix(codecs.BOM_UTF8)
                while block:
                    yield block
                    block = packed.read(_BLOCK)
            return
        with self._open_text() as file:
            while text := file.read(_BLOCK):
                yield text.encode()

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        try:
            yield
        except UnicodeError as error:
            raise SourceError(
                f"{self.path} is not text in {self._encoding}: {error}. Say its encoding by "
                "csv=fastem.CsvFormat(encoding=...)."
            ) from error
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SourceError(f"{self.path} is not a CSV file, or it is damaged: {error}.") from error
        except OSError as error:
            # The decompressors of bz2 and zstd have no error of their own; errors of files have a number.
            if error.errno is not None:
                raise
            raise SourceError(f"{self.path} is not a CSV file, or it is damaged: {error}.") from error


def _compression(path: str) -> str | None:
    suffix = next((suffix for suffix in _PACKED if path.lower().endswith(suffix)), None)
    if suffix is not None:
        return _PACKED[suffix]
    with open(path, "rb") as file:
        head = file.read(4)
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def _whole_lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, in blocks that end where a line does."""
    rest = b""
    for block in blocks:
        block = rest + block
        # A carriage return at the end may have a line feed behind it.
        end = max(block.rfind(b"\n"), block.rfind(b"\r", 0, -1)) + 1
        rest = block[end:]
        if end:
            yield block[:end]
    if rest:
        yield rest


def without_comments(lines: Iterable[AnyStr], sign: AnyStr, quote: AnyStr) -> Iterator[AnyStr]:
    """The lines, with empty ones in place of comments: the numbers of lines stay.

    A line that begins within quotes is no comment.
    """
    within = False
    for line in lines:
        if not within and line.lstrip().startswith(sign):
            yield line[len(line.rstrip()) :]
            continue
        if quote and line.count(quote) % 2:
            within = not within
        yield line


def comment_filter(sign: str, quote: str) -> Callable[[Iterator[bytes]], Iterator[bytes]]:
    """A filter of blocks that empties the lines which begin with `sign`."""

    def filtered(blocks: Iterator[bytes]) -> Iterator[bytes]:
        # A block ends with a line, so that the lines of all blocks follow each other.
        lines = (line for block in blocks for line in block.splitlines(keepends=True))
        kept = without_comments(lines, sign.encode(), quote.encode())
        while block := b"".join(islice(kept, _LINES)):
            yield block

    return filtered


def single_spaces(quote: str) -> Callable[[Iterator[bytes]], Iterator[bytes]]:
    """A filter of blocks with one space where there are several, or tabs; none begin or end a line."""
    mark = re.escape((quote or '"').encode())
    # What is quoted stays, where it begins a field.
    quoted = re.compile(rb"(?<![^ \t\r\n])%b(?:[^%b]|%b%b)*%b|[ \t]+" % (mark, mark, mark, mark, mark))

    def filtered(blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            if quote and quote.encode() in block:
                block = quoted.sub(lambda match: match[0] if match[0].strip() else b" ", block)
                yield _EDGES.sub(b"", block)
            else:
                # The quickest way by far.
                yield b"".join([b" ".join(line.split()) + b"\n" for line in block.splitlines()])

    return filtered


class _Stream(io.RawIOBase):
    """Blocks of bytes as a file; read and closed in different threads, as Arrow does."""

    def __init__(self, blocks: Iterator[bytes]):
        self._blocks = blocks
        self._rest = memoryview(b"")
        self._lock = threading.Lock()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._lock:
            while not self._rest:
                block = next(self._blocks, None)
                if block is None:
                    return 0
                self._rest = memoryview(block)
            n = min(len(buffer), len(self._rest))
            buffer[:n] = self._rest[:n]
            self._rest = self._rest[n:]
            return n

    def close(self) -> None:
        with self._lock:
            self._blocks.close()  # type: ignore[attr-defined]
        super().close()
