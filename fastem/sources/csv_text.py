"""Text files as streams of lines: decompressed, in UTF-8, without comments, and with single spaces."""

from __future__ import annotations

import codecs
import io
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import IO, Any, AnyStr

from fastem._extras import require
from fastem.sources.csv_format import by_setting
from fastem.sources.reader import SourceError

# A filter of blocks of whole lines.
Filter = Callable[[Iterator[bytes]], Iterator[bytes]]

_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
# The marks of UTF-32 begin as those of UTF-16 do.
_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip
_BLOCK = 2**18
_LINES = 10_000
_EDGES = re.compile(rb"(?:(?<=[\r\n])|\A) +| +(?=[\r\n]|\Z)")


class TextFile:
    """A text file, maybe compressed, which its first bytes tell.

    Parameters
    ----------
    path : str
    label : str
        What messages call it.
    encoding : str or None
        None recognises UTF-8, UTF-16 and UTF-32.

    Raises
    ------
    OSError
    SourceError
        For a file that is damaged.
    """

    def __init__(self, path: str, label: str, encoding: str | None = None):
        self.path, self.label = path, label
        with open(path, "rb") as packed:
            self._compression = _told_by(packed.read(4), _COMPRESSIONS)
        with self._damage_told(), self._open_binary() as file:
            found = encoding or _told_by(file.read(4), _MARKS) or "utf-8"
        is_utf8 = found.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig", "ascii")
        #: Where it is not UTF-8.
        self._encoding = None if is_utf8 else found
        #: What blocks of whole lines pass through.
        self.filters: list[Filter] = []

    def lines(self) -> IO[str]:
        """The text, to be read once; line ends are those of the file.

        Bytes that are no UTF-8 are let through: columns of text need not be read.
        """
        blocks = io.BufferedReader(_Stream(self._blocks()))
        return io.TextIOWrapper(blocks, encoding="utf-8", errors="backslashreplace", newline="")

    def utf8(self) -> Any:
        """The same in UTF-8, for the reader of Arrow."""
        return self._open_packed() if self._encoding is None and not self.filters else _Stream(self._blocks())

    def _open_packed(self) -> Any:
        pyarrow = require("pyarrow", "io", "reading CSV files")
        return pyarrow.input_stream(self.path, compression=self._compression)

    def _open_binary(self) -> IO[bytes]:
        return open(self.path, "rb") if self._compression is None else self._open_packed()

    def _blocks(self) -> Iterator[bytes]:
        blocks = _whole_lines(self._encoded())
        for line_filter in self.filters:
            blocks = line_filter(blocks)
        with self._damage_told():
            yield from blocks

    def _encoded(self) -> Iterator[bytes]:
        with self._open_binary() as file:
            if self._encoding is None:
                block = file.read(_BLOCK).removeprefix(codecs.BOM_UTF8)
                while block:
                    yield block
                    block = file.read(_BLOCK)
            else:
                decoded = io.TextIOWrapper(file, encoding=self._encoding, newline="")
                while text := decoded.read(_BLOCK):
                    yield text.encode()

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        try:
            yield
        except UnicodeError as error:
            raise SourceError(
                f"{self.label} is not text in {self._encoding}: {error}. Say its encoding by {by_setting('encoding')}."
            ) from error
        except OSError as error:
            # What decompresses has no error of its own; errors of files have a number.
            if error.errno is not None:
                raise
            raise SourceError(f"{self.label} is not a CSV file, or it is damaged: {error}.") from error


def _told_by(head: bytes, names: dict[bytes, str]) -> str | None:
    return next((name for begin, name in names.items() if head.startswith(begin)), None)


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
    """The lines, with empty ones in place of comments, which do not begin within quotes: numbers of lines stay."""
    within = False
    for line in lines:
        if not within and line.lstrip().startswith(sign):
            yield line[len(line.rstrip()) :]
            continue
        if quote and line.count(quote) % 2:
            within = not within
        yield line


def comment_filter(sign: str, quote: str) -> Filter:
    """A filter that empties the lines which begin with `sign`."""

    def filtered(blocks: Iterator[bytes]) -> Iterator[bytes]:
        # A block ends with a line, so that the lines of all blocks follow each other.
        lines = (line for block in blocks for line in block.splitlines(keepends=True))
        kept = without_comments(lines, sign.encode(), quote.encode())
        while block := b"".join(islice(kept, _LINES)):
            yield block

    return filtered


def single_spaces(quote: str) -> Filter:
    """A filter that leaves one space where there are several, or tabs, and none at the ends of a line."""
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
