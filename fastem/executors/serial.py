"""Map chunks and sum the results in this process, one chunk after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from fastem.stats import ExpectedStats


class _Gathering(Protocol):
    def add(self, chunk: Any) -> None: ...

    def total(self) -> ExpectedStats: ...


def sum_over(
    chunks: Iterable[Any], start: Callable[[], _Gathering], tell: Callable[[int], None] | None = None
) -> ExpectedStats:
    """Statistics of all chunks: `start()` begins an empty sum, to which each chunk is added in order.

    `tell` is called with the number of rows of each chunk, after it was added.
    """
    return sums_over(chunks, [start()], tell)[0]


def sums_over(
    chunks: Iterable[Any], gatherings: Sequence[_Gathering], tell: Callable[[int], None] | None = None
) -> list[ExpectedStats]:
    """Several sums over the same chunks, each of which is read once."""
    for chunk in chunks:
        for gathering in gatherings:
            gathering.add(chunk)
        if tell is not None:
            tell(len(chunk))
        # A source that reads ahead can then reuse its memory.
        del chunk
    return [gathering.total() for gathering in gatherings]
