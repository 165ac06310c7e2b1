"""Map chunks and sum the results in this process, one chunk after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from fastem.stats import ExpectedStats


class _Accumulator(Protocol):
    def add(self, chunk: Any) -> None: ...

    def total(self) -> ExpectedStats: ...


def sum_over(
    chunks: Iterable[Any], start: Callable[[], _Accumulator], notify: Callable[[int], None] | None = None
) -> ExpectedStats:
    """Statistics of all chunks: `start()` begins an empty sum, to which each chunk is added in order.

    `notify` is called with the number of rows of each chunk, after it was added.
    """
    return sums_over(chunks, [start()], notify)[0]


def sums_over(
    chunks: Iterable[Any], accumulators: Sequence[_Accumulator], notify: Callable[[int], None] | None = None
) -> list[ExpectedStats]:
    """Several sums over the same chunks, each of which is read once."""
    for chunk in chunks:
        for accumulator in accumulators:
            accumulator.add(chunk)
        if notify is not None:
            notify(len(chunk))
        # A source that reads ahead can then reuse its memory.
        del chunk
    return [accumulator.total() for accumulator in accumulators]
