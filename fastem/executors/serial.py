"""The parts one after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Serial:
    """Maps in this process, and asks for a part when the one before it is done: parts may come from a stream."""

    def map(self, function: Callable[[Any], Any], parts: Iterable[Any], /) -> Iterator[Any]:
        return map(function, parts)


SERIAL = Serial()
