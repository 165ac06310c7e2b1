"""Lanes: private accumulators, their number and the order of their sums."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.core import types

from fastem.passes import blocks
from fastem.passes.flags import block_function
from fastem.passes.reading import RUN
from fastem.passes.rows import Rows
from fastem.passes.units import BLOCK
from fastem.passes.vector_math import log_positive
from fastem.stats import ExpectedStats

MAX_LANES = 64

# More threads than lanes are idle.
MIN_LANES = 8

_LANES_BUDGET = 4 * 2**20

# What a thread must have to do, rows x components x (features + 2): about a tenth of a millisecond.
WORK_OF_THREAD = 2**17


class Totals(NamedTuple):
    """The scalar sums of a pass, one entry for each lane: numba's parallel loops take no nested records."""

    loglik: np.ndarray
    weight: np.ndarray
    zero_density: np.ndarray


def n_lanes(stats: ExpectedStats) -> int:
    """Number of private accumulators of a pass: a power of two, and a function of the model's size alone.

    It does not depend on the machine, so that neither do the bits of a result.
    """
    size = sum(np.asarray(field).nbytes for record in (stats.latent, stats.family) for field in record)
    lanes = MAX_LANES
    while lanes > MIN_LANES and lanes * size > _LANES_BUDGET:
        lanes //= 2
    return lanes


def lanes_filled(lanes: int, n_blocks: int) -> int:
    """How many of the lanes can hold anything after this many blocks: the first ones."""
    return min(lanes, -(-n_blocks // RUN))


@block_function
def bits_reversed(index, n):
    """The number below n, a power of two, whose binary digits are those of `index` in reverse."""
    reverse = 0
    while n > 1:
        reverse = 2 * reverse + index % 2
        index //= 2
        n //= 2
    return reverse


@block_function
def add_totals(shift, norm, weight, start, n, totals, lane):
    """Add the log-likelihood and the weight of n rows."""
    loglik, total, zero_density = 0.0, 0.0, 0.0
    for i in range(n):
        w = weight[start + i] if weight.shape[0] > 0 else 1.0
        total += w
        if shift[i] == -np.inf:
            zero_density += w
        else:
            loglik += w * (shift[i] + log_positive(norm[i]))
    totals.loglik[lane] += loglik
    totals.weight[lane] += total
    totals.zero_density[lane] += zero_density


def fingerprint(sig: tuple[Any, ...]) -> str:
    """Digest of the sources of all that is compiled into a pass over arguments of these numba types."""
    return blocks.fingerprint(*(t.instance_class for t in sig if isinstance(t, types.NamedTuple)))  # type: ignore[attr-defined]


def useful_threads(rows: Rows, n_components: int) -> int:
    """How many threads have enough to do: no more than there are runs of rows, which one lane takes; perhaps none.

    To wake a thread takes some ten microseconds, and milliseconds when other processes are busy.
    """
    work = rows.n_rows * n_components * (rows.n_columns + 2)
    return min(work // WORK_OF_THREAD, -(-rows.n_rows // (RUN * BLOCK)))
