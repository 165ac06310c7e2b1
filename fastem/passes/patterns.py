"""Rows by their patterns: which of their values are missing.

Rows of one pattern share what depends on it, so that runs of rows are brought into the order of their patterns.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.passes.flags import block_function

# So many rows of one pattern in a block are worked on together; fewer are rare.
COMMON = 8
_GOLDEN = 0x9E3779B97F4A7C15
# A key counts the missing values above so many bits.
_COUNT_BITS = 48
_ONE_MORE, _LOW = np.uint64(1 << _COUNT_BITS), np.uint64((1 << _COUNT_BITS) - 1)


class Patterns(NamedTuple):
    """In place of a `Pruning`: rows may miss values, and every component is evaluated for every row."""

    nothing: int


PATTERNS = Patterns(0)


class Grouped(NamedTuple):
    """Memory to bring rows into the order of their patterns.

    Shapes::

        keys       (N,)  uint64, a number for the pattern of each row
        group      (N,)  int64, the pattern of each row, by the order in which they appear
        first_row  (N,)  int64, the first row of each pattern
        size       (N,)  int64, how many rows each pattern has
        n_missing  (N,)  int64, and how many values these miss
        place      (N,)  int64, where the rows of each pattern begin
        table      (T,)  int64, of a hash of keys: the pattern, or -1
    """

    keys: np.ndarray
    group: np.ndarray
    first_row: np.ndarray
    size: np.ndarray
    n_missing: np.ndarray
    place: np.ndarray
    table: np.ndarray


@block_function
def new_grouped(n_rows):
    n_places = 1
    while n_places < 2 * n_rows:
        n_places *= 2
    integers = np.empty((5, n_rows), dtype=np.int64)
    return Grouped(
        np.empty(n_rows, dtype=np.uint64), integers[0], integers[1], integers[2], integers[3], integers[4],
        np.empty(n_places, dtype=np.int64),
    )  # fmt: skip


@block_function
def set_keys(x, keys):
    """Set a number for the pattern of each row x (D, rows), whose highest bits count the values that are missing.

    Up to 48 features different patterns have different numbers. With more, two of as many values have the same one by
    chance, once in a hundred million million.
    """
    for i in range(keys.shape[0]):
        keys[i] = np.uint64(0)
    for j in range(x.shape[0]):
        line = x[j]
        bit = np.uint64(1) << np.uint64(j) if j < _COUNT_BITS else (np.uint64(_GOLDEN) * np.uint64(2 * j + 1)) & _LOW
        for i in range(keys.shape[0]):
            keys[i] = (keys[i] ^ bit) + _ONE_MORE if line[i] != line[i] else keys[i]


@block_function
def group_rows(grouped, n):
    """Number the patterns of the first n rows, whose keys are set, as they appear; returns how many there are."""
    keys, group, table = grouped.keys, grouped.group, grouped.table
    mask = np.uint64(table.shape[0] - 1)
    for slot in range(table.shape[0]):
        table[slot] = -1
    n_groups = 0
    for i in range(n):
        if i > 0 and keys[i] == keys[i - 1]:
            group[i] = group[i - 1]
            continue
        slot = ((keys[i] * np.uint64(_GOLDEN)) >> np.uint64(32)) & mask
        while table[slot] >= 0 and keys[grouped.first_row[table[slot]]] != keys[i]:
            slot = (slot + np.uint64(1)) & mask
        if table[slot] < 0:
            table[slot] = n_groups
            grouped.first_row[n_groups] = i
            n_groups += 1
        group[i] = table[slot]
    for g in range(n_groups):
        grouped.size[g] = 0
        grouped.n_missing[g] = np.int64(keys[grouped.first_row[g]] >> np.uint64(_COUNT_BITS))
    for i in range(n):
        grouped.size[group[i]] += 1
    return n_groups


@block_function
def order_rows(grouped, n_groups, n, order):
    """Set the order of the first n rows: common patterns as they appear, then rare ones by how much they miss.

    Returns where the rare ones begin.
    """
    size, n_missing, place = grouped.size, grouped.n_missing, grouped.place
    begin, most = 0, 0
    for g in range(n_groups):
        if is_common(grouped, g):
            place[g] = begin
            begin += size[g]
        else:
            most = max(most, n_missing[g])
    rare = begin
    for m in range(1, most + 1):
        for g in range(n_groups):
            if n_missing[g] == m and not is_common(grouped, g):
                place[g] = begin
                begin += size[g]
    for i in range(n):
        g = grouped.group[i]
        order[place[g]] = i
        place[g] += 1
    return rare


@block_function
def is_common(grouped, g):
    """Whether many rows have a pattern, or nothing is missing."""
    return grouped.size[g] >= COMMON or grouped.n_missing[g] == 0


class PatternSorter(NamedTuple):
    """Memory to sort the rows of a run by their patterns."""

    order: np.ndarray
    grouped: Grouped


@block_function
def sort_by_pattern(sorter, n):
    """Set `order` to the first n rows, whose keys are set, by their patterns."""
    order_rows(sorter.grouped, group_rows(sorter.grouped, n), n, sorter.order)
