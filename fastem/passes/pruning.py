"""Leaving out components that are out of reach: provable bounds on the responsibilities of a block of rows.

With many separated components, almost all responsibilities are zero to rounding. A pass over such a
model takes runs of rows, sorts the rows of each run by a rough guess of their component (the *nearest* one),
and so makes blocks whose rows come from few components. The nearest components of a block are evaluated first. Any
other component is left out of the block when a bound shows that its share of every row is lost in the
rounding of float64.

The bound: in a few coordinates y = A (x - origin), along which the means differ most (Fisher's
discriminant directions), the squared Mahalanobis distance of x from component k is at least
``distance_scale[k] * |y - y_k|^2``, where 1 / distance_scale[k] is the largest eigenvalue of A covariance_k A'. The
guess is the component with the nearest y_k. It may be wrong: that costs time, and no digit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from fastem.passes.flags import BLOCK_OPTIONS, block_function
from fastem.passes.patterns import Patterns, PatternSorter, new_grouped
from fastem.passes.rows import plain

# With fewer components, sorting costs more than it saves.
MIN_COMPONENTS = 32
_MAX_COORDINATES = 8
# The share of all components, in a typical block, up to which the sorting of rows pays.
_WORTHWHILE_SHARE = 0.6
# A component is left out below this share of every row, divided by the number of components.
_NEGLIGIBLE = np.finfo(np.float64).eps
# Part of a squared distance that is given up for rounding errors, so that the bounds hold in spite of them.
_SLACK = 1e-3


class Pruning(NamedTuple):
    """What a pass must know to leave components out.

    Shapes::

        origin           (D,)
        axes             (P, D)  coordinates of a row: axes @ (row - origin)
        projected_means  (K, Q)  float32, coordinates of the means, filled up with zeros to four or eight
        half_squares     (K,)    float32, half the squares of the projected means
        log_share        (K,)    log of each component's share of all rows
        distance_scale   (K,)    float32, squared distances from k are at least this times those of the coordinates
        upper_bound      (K,)    float32, twice the log of the component's share of rows times its highest density
        margin           ()      a component is left out this far below another, in nats
    """

    origin: np.ndarray
    axes: np.ndarray
    projected_means: np.ndarray
    half_squares: np.ndarray
    log_share: np.ndarray
    distance_scale: np.ndarray
    upper_bound: np.ndarray
    margin: float


class NoPruning(NamedTuple):
    """In place of a `Pruning`: every component is evaluated for every row.

    A class of its own, so that passes without pruning are compiled without all that it needs, which
    takes as long as everything else. (numba takes no record without fields.)
    """

    nothing: int


NO_PRUNING = NoPruning(0)


# What a pass is told about the order of rows and about components: one class, one compiled pass.
Plan = Pruning | NoPruning | Patterns


def by_plan(
    pruned: Callable[..., Any], plain: Callable[..., Any], by_pattern: Callable[..., Any]
) -> Callable[..., Any]:
    """A function of a plan, first, and more: one of three; only that one is compiled."""
    functions = {Pruning: pruned, NoPruning: plain, Patterns: by_pattern}

    def any_of(plan: Plan, *arguments: Any) -> Any:
        return functions[type(plan)](plan, *arguments)

    @overload(any_of, jit_options=BLOCK_OPTIONS, strict=False)
    def _compiled(plan: Any, *arguments: Any) -> Callable[..., Any]:
        return functions[plan.instance_class]

    return any_of


def discriminant_axes(means: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Axes (P, D) along which means (K, D) differ most, in standard deviations of a covariance (D, D).

    Fisher (1936), Annals of Eugenics 7, 179-188. No axes for a covariance that is not positive definite.
    """
    try:
        inverse = np.linalg.inv(np.linalg.cholesky(within))
    except np.linalg.LinAlgError:
        return np.empty((0, means.shape[1]))
    offsets = (means - means.mean(axis=0)) @ inverse.T
    if not np.all(np.isfinite(offsets)):
        return np.empty((0, means.shape[1]))
    _, directions = np.linalg.eigh(offsets.T @ offsets)
    return directions[:, ::-1][:, :_MAX_COORDINATES].T @ inverse


def pruning_of(
    means: np.ndarray, axes: np.ndarray, spread: np.ndarray, peak: np.ndarray, log_share: np.ndarray
) -> Pruning | NoPruning:
    """Complete a `Pruning` of means (K, D) and axes (P, D); without axes there is none.

    `spread` (K, P, P) are the covariances of the coordinates under each component, `peak` (K,) the log-densities at
    the means, `log_share` (K,) the logarithms of the components' shares of all rows.
    """
    n_components, n_coordinates = means.shape[0], axes.shape[0]
    if n_coordinates == 0:
        return NO_PRUNING
    origin = means.mean(axis=0)
    width = 4 if n_coordinates <= 4 else _MAX_COORDINATES
    projected_means = np.zeros((n_components, width))
    projected_means[:, :n_coordinates] = (means - origin) @ axes.T
    largest = np.linalg.eigvalsh(spread)[:, -1]
    distance_scale = 1.0 / np.maximum(largest, np.finfo(np.float32).tiny)
    # Single precision mistakes a distance d by up to blur, and (d - blur)^2 >= (1 - c) d^2 - blur^2 / c.
    blur = 4.0 * np.finfo(np.float32).eps * np.sqrt(width) * np.abs(projected_means).max()
    upper_bound = 2.0 * (peak + log_share) + distance_scale * blur**2 / _SLACK
    half_squares = 0.5 * np.square(projected_means).sum(axis=1)
    fields = origin, axes, projected_means, half_squares, log_share, (1.0 - 2.0 * _SLACK) * distance_scale, upper_bound
    # The one combination of types and memory orders that passes are compiled for.
    dtypes = "d", "d", "f", "f", "d", "f", "f"
    arrays = [plain(np.asarray(field, dtype=dtype)) for field, dtype in zip(fields, dtypes, strict=True)]
    return Pruning._make([*arrays, float(np.log(n_components / _NEGLIGIBLE))])


def is_worthwhile(pruning: Pruning | NoPruning, n_features: int, rows_per_block: int, rows_per_run: int) -> bool:
    """Whether a pass over rows of this model is likely to be faster if it leaves components out."""
    if isinstance(pruning, NoPruning):
        return False
    n_components = pruning.upper_bound.shape[0]
    projected_means = pruning.projected_means.astype(np.float64)
    # Some row of a block comes nearer than the mean of its nearest component by a few standard deviations, and some row
    # lies farther from its nearest component than most.
    gap = np.linalg.norm(projected_means[:, None, :] - projected_means[None, :, :], axis=2)
    nearest = np.maximum(gap - 3.0, 0.0)
    depth = n_features + 4.0 * np.sqrt(2.0 * n_features) + 2.0 * pruning.margin
    reachable = (
        pruning.upper_bound - pruning.distance_scale * np.square(nearest) >= (pruning.upper_bound - depth)[:, None]
    )
    share_of_nearest = min(float(np.exp(pruning.log_share) @ reachable.mean(axis=1)), 1.0)
    n_distinct = 1.0 + n_components * rows_per_block / rows_per_run
    return 1.0 - (1.0 - share_of_nearest) ** n_distinct < _WORTHWHILE_SHARE


class Sorter(NamedTuple):
    """Memory to sort the rows of a run: their nearest components, their order, and room for the bounds of a block."""

    nearest: np.ndarray
    order: np.ndarray
    first: np.ndarray
    coordinates: np.ndarray
    row_value: np.ndarray
    label: np.ndarray


class NoSorter(NamedTuple):
    """In place of a `Sorter`: the rows of a run stay in their order."""

    order: np.ndarray


def _new_no_sorter(pruning, rows_per_block, rows_per_run):
    return NoSorter(np.empty(0, dtype=np.int64))


def _new_sorter(pruning, rows_per_block, rows_per_run):
    n_components, width = pruning.projected_means.shape
    return Sorter(
        np.empty(rows_per_run, dtype=np.int64),
        np.empty(rows_per_run, dtype=np.int64),
        np.empty(n_components + 1, dtype=np.int64),
        np.zeros((width, rows_per_block), dtype=np.float32),
        np.empty(rows_per_block, dtype=np.float32),
        np.empty(rows_per_block, dtype=np.float32),
    )


def _new_pattern_sorter(pruning, rows_per_block, rows_per_run):
    return PatternSorter(np.empty(rows_per_run, dtype=np.int64), new_grouped(rows_per_run))


# A `Sorter` for runs of rows, by components or by patterns; a `NoSorter` for those in their order.
new_sorter = by_plan(_new_sorter, _new_no_sorter, _new_pattern_sorter)


@block_function
def _find_coordinates(pruning, x, scratch, coordinates):
    """Set the coordinates of the rows x (D, rows): differences and sums in double precision, then rounded."""
    y = scratch[0]
    for p in range(pruning.axes.shape[0]):
        for i in range(x.shape[1]):
            y[i] = 0.0
        for j in range(pruning.axes.shape[1]):
            axis, origin = pruning.axes[p, j], pruning.origin[j]
            for i in range(x.shape[1]):
                y[i] += axis * (x[j, i] - origin)
        for i in range(x.shape[1]):
            coordinates[p, i] = np.float32(y[i])


@block_function
def guess_nearest(pruning, x, scratch, sorter, nearest):
    """Set `nearest` to the component with the nearest mean, for the first rows of a block x (D, rows)."""
    y, highest, label = sorter.coordinates, sorter.row_value, sorter.label
    _find_coordinates(pruning, x, scratch, y)
    for i in range(highest.shape[0]):
        highest[i] = np.float32(-np.inf)
        label[i] = np.float32(0.0)
    for k in range(pruning.projected_means.shape[0]):
        # The nearest projected mean p has the highest y . p - p . p / 2. That cancels, but this is a guess.
        name, projected_mean, half_square = np.float32(k), pruning.projected_means[k], pruning.half_squares[k]
        p0, p1, p2, p3 = projected_mean[0], projected_mean[1], projected_mean[2], projected_mean[3]
        if projected_mean.shape[0] == 4:
            for i in range(highest.shape[0]):
                score = (y[0, i] * p0 + y[1, i] * p1) + (y[2, i] * p2 + y[3, i] * p3) - half_square
                higher = score > highest[i]
                label[i] = name if higher else label[i]
                highest[i] = score if higher else highest[i]
        else:
            p4, p5, p6, p7 = projected_mean[4], projected_mean[5], projected_mean[6], projected_mean[7]
            for i in range(highest.shape[0]):
                low = (y[0, i] * p0 + y[1, i] * p1) + (y[2, i] * p2 + y[3, i] * p3)
                score = low + ((y[4, i] * p4 + y[5, i] * p5) + (y[6, i] * p6 + y[7, i] * p7)) - half_square
                higher = score > highest[i]
                label[i] = name if higher else label[i]
                highest[i] = score if higher else highest[i]
    for i in range(nearest.shape[0]):
        nearest[i] = np.int64(label[i])


@block_function
def _count_not_excluded(y, projected_mean, distance_scale, upper_bound, slack):
    """Number of rows with coordinates y (Q, rows) that a component may reach: those that its bound does not exclude."""
    p0, p1, p2, p3 = projected_mean[0], projected_mean[1], projected_mean[2], projected_mean[3]
    n = np.float32(0.0)
    if projected_mean.shape[0] == 4:
        for i in range(slack.shape[0]):
            d0, d1, d2, d3 = y[0, i] - p0, y[1, i] - p1, y[2, i] - p2, y[3, i] - p3
            square = (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
            n += np.float32(0.0) if distance_scale * square > upper_bound + slack[i] else np.float32(1.0)
    else:
        p4, p5, p6, p7 = projected_mean[4], projected_mean[5], projected_mean[6], projected_mean[7]
        for i in range(slack.shape[0]):
            d0, d1, d2, d3 = y[0, i] - p0, y[1, i] - p1, y[2, i] - p2, y[3, i] - p3
            d4, d5, d6, d7 = y[4, i] - p4, y[5, i] - p5, y[6, i] - p6, y[7, i] - p7
            square = (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3) + ((d4 * d4 + d5 * d5) + (d6 * d6 + d7 * d7))
            n += np.float32(0.0) if distance_scale * square > upper_bound + slack[i] else np.float32(1.0)
    return n


@block_function
def sort_by_nearest(sorter, n):
    """Set `order` to the first n rows in order of their nearest components; rows with the same one keep theirs."""
    first, nearest, order = sorter.first, sorter.nearest, sorter.order
    for k in range(first.shape[0]):
        first[k] = 0
    for i in range(n):
        first[nearest[i] + 1] += 1
    for k in range(1, first.shape[0]):
        first[k] += first[k - 1]
    for i in range(n):
        order[first[nearest[i]]] = i
        first[nearest[i]] += 1


@block_function
def list_nearest(sorter, begin, end, components):
    """Write the nearest components of the rows ``order[begin:end]`` to `components`, and return their number."""
    n = 0
    for i in range(begin, end):
        nearest = sorter.nearest[sorter.order[i]]
        if n == 0 or components[n - 1] != nearest:
            components[n] = nearest
            n += 1
    return n


@block_function
def add_not_excluded(pruning, x, n_nearest, log_prob, components, scratch, sorter):
    """Append to the nearest components in `components` the others that are in reach of a row; return the number of all.

    `log_prob` (n_nearest or more, rows) has the log-densities of the rows x (D, rows) under the nearest components.
    """
    best, slack, y = scratch[1], sorter.row_value, sorter.coordinates
    _find_coordinates(pruning, x, scratch, y)
    for i in range(x.shape[1]):
        best[i] = -np.inf
    for a in range(n_nearest):
        log_share = pruning.log_share[components[a]]
        for i in range(x.shape[1]):
            joint = log_prob[a, i] + log_share
            best[i] = joint if joint > best[i] else best[i]
    for i in range(x.shape[1]):
        # A row of zero density has all the slack there is: every component is in its reach. A nat and a
        # millionth more than the margin, against rounding to single precision.
        slack[i] = np.float32(2.0 * (pruning.margin + 1.0 - best[i] + 1e-6 * abs(best[i])))
    n = n_nearest
    is_nearest = sorter.first
    for k in range(is_nearest.shape[0]):
        is_nearest[k] = 0
    for a in range(n_nearest):
        is_nearest[components[a]] = 1
    for k in range(pruning.projected_means.shape[0]):
        if (
            is_nearest[k] == 0
            and _count_not_excluded(
                y, pruning.projected_means[k], pruning.distance_scale[k], pruning.upper_bound[k], slack
            )
            > 0.0
        ):
            components[n] = k
            n += 1
    return n
