"""The one reduction: parts are mapped, and their totals are folded by a binary tree over their numbers.

What is computed from all rows is computed here. The tree depends on the number of parts alone, so who maps them, and
when, leaves no trace in the bits of a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import add as plus
from typing import Any, NamedTuple, Protocol

from fastem.contracts import Accumulator, Executor
from fastem.executors.serial import SERIAL
from fastem.stats import ExpectedStats

Add = Callable[[Any, Any], Any]


class Part(Protocol):
    """Some of the rows, which are read once."""

    @property
    def number(self) -> int:
        """The same whenever the rows are read; the next part has a larger one."""
        ...

    @property
    def chunks(self) -> Iterable[Any]:
        """The rows in order."""
        ...


class EpochState(NamedTuple):
    """How far a sum over parts has come.

    Attributes
    ----------
    n_rows : int
        Rows that were added; none before them is missing.
    n_parts : int
        Whole parts.
    nodes : tuple
        Of the tree of their totals: one for each binary digit 1 of `n_parts`, the largest first.
    part : int
        The number of the part under way; all its rows may have been added.
    sum : record
        What was added of it, as `Accumulator.partial` says it.
    """

    n_rows: int
    n_parts: int
    nodes: tuple[Any, ...]
    part: int
    sum: Any


class Tree:
    """Totals of parts, folded as they come: no more are held than `n_parts` has binary digits.

    The totals of parts 2i and 2i + 1 are added, then those of such pairs, and so on; one that is left over moves up.
    """

    def __init__(self, n_parts: int = 0, nodes: tuple[Any, ...] = (), add: Add = plus):
        self.n_parts, self.nodes, self._add = n_parts, nodes, add

    def take(self, total: Any) -> None:
        """Add the total of the next part."""
        nodes, n = self.nodes, self.n_parts
        while n % 2:
            total, nodes, n = self._add(nodes[-1], total), nodes[:-1], n // 2
        self.nodes, self.n_parts = (*nodes, total), self.n_parts + 1

    def total(self) -> Any:
        """Of all parts; there is at least one."""
        *others, total = self.nodes
        for node in reversed(others):
            total = self._add(node, total)
        return total


def reduced(
    function: Callable[[Any], Any],
    parts: Iterable[Any],
    add: Add = plus,
    *,
    executor: Executor = SERIAL,
    tree: Tree | None = None,
) -> Any:
    """Map a function over parts, and fold what it returns.

    Parameters
    ----------
    function : callable
        Of a part; it changes nothing that another part sees.
    parts : iterable
        At least one.
    add : callable
        Adds what the function returns for two parts, the earlier one first; a `tree` has its own.
    executor : Executor
        Who maps.
    tree : Tree, optional
        Of earlier parts, to go on from; it grows part by part.
    """
    tree = Tree(add=add) if tree is None else tree
    for total in executor.map(function, parts):
        tree.take(total)
    return tree.total()


def sum_over(
    parts: Iterable[Part],
    begin: Callable[[Any], Accumulator],
    begun: EpochState | None = None,
    watch: Callable[[int, EpochState], None] | None = None,
    *,
    executor: Executor = SERIAL,
) -> ExpectedStats:
    """Statistics of the rows of all parts; a sum that was broken off is gone on with, to the same bits.

    Parameters
    ----------
    parts : iterable of Part
        Those that `begun` lacks, the one under way first.
    begin : callable
        Makes an accumulator, which goes on from what was added of a part already; None: nothing.
    begun : EpochState, optional
    watch : callable
        Is told, after each chunk, its number of rows and how far the sum has come. The arrays of the state change
        with the next chunk.
    executor : Executor

    Raises
    ------
    ValueError
        For `watch` with an executor that may map parts ahead: only where one follows the other is it known.
    """
    if watch is not None and executor is not SERIAL:
        raise ValueError("How far a sum has come is known only where parts are mapped in turn: leave out watch.")
    tree = Tree() if begun is None else Tree(begun.n_parts, begun.nodes)

    def total_of(part: Part) -> ExpectedStats:
        accumulator = begin(begun.sum if begun is not None and begun.part == part.number else None)
        for chunk in part.chunks:
            n_rows, n_done = len(chunk), chunk.first_row + len(chunk)
            accumulator.add(chunk)
            # A source that reads ahead can then reuse its memory.
            del chunk
            if watch is not None:
                watch(n_rows, EpochState(n_done, tree.n_parts, tree.nodes, part.number, accumulator.partial()))
        return accumulator.total()

    return reduced(total_of, parts, executor=executor, tree=tree)


def sums_over(parts: Iterable[Part], begin: Callable[[], Sequence[Accumulator]]) -> list[ExpectedStats]:
    """Several sums over the same parts, each of which is read once."""

    def totals_of(part: Part) -> list[ExpectedStats]:
        accumulators = begin()
        for chunk in part.chunks:
            for accumulator in accumulators:
                accumulator.add(chunk)
            del chunk
        return [accumulator.total() for accumulator in accumulators]

    return reduced(totals_of, parts, add_each)


def add_each(one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    """Sums of what stands at the same place."""
    return [a + b for a, b in zip(one, other, strict=True)]
