"""How much memory rows may take while they are read and worked on."""

from __future__ import annotations

import re
from numbers import Integral

from fastem._naming import named
from fastem.sources import Source, in_chunks_of
from fastem.sources.source import whole_runs

# Chunks of a stream that are in memory at a time: one is worked on, and one is read, of two pieces at worst. A sample
# that leads a fit is as large as one of them at most, where memory is limited.
_CHUNKS_HELD = 3

_PARTS_HELD = _CHUNKS_HELD + 1

_SAMPLE_BYTES = 64 * 2**20

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def limited(source: Source, memory_limit: int | str | None) -> Source:
    """The source in chunks that a limit of memory allows; ValueError where it does not hold one row."""
    if memory_limit is None:
        return source
    rows = parse_bytes(memory_limit) // (_PARTS_HELD * source.row_bytes)
    if rows == 0:
        raise ValueError(
            f"{named('memory_limit')}={memory_limit!r} is too small for {_PARTS_HELD} chunks of one row of "
            f"{source.row_bytes} bytes. Raise it."
        )
    return in_chunks_of(source, whole_runs(rows))


def sample_bytes(memory_limit: int | str | None) -> int:
    """How much memory a sample may take that leads a fit."""
    return _SAMPLE_BYTES if memory_limit is None else min(_SAMPLE_BYTES, parse_bytes(memory_limit) // _PARTS_HELD)


def parse_bytes(size: int | str) -> int:
    """A number of bytes from a number, or from a text such as "512MB" (10^6) or "512MiB" (2^20)."""
    if isinstance(size, Integral):
        return int(size)
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([KMGT]?I?)B?\s*", str(size).upper())
    if match is None or match[2] not in _UNITS:
        raise ValueError(
            f"{size!r} is not a valid memory size. Give a number of bytes, or a text such as '512MB' or '2GiB'."
        )
    return int(float(match[1]) * _UNITS[match[2]])
