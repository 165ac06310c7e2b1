"""Histograms that users give, checked, and what is fitted to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fastem._naming import named
from fastem.fitting.binned import Bins
from fastem.fitting.bins import HistogramStrategy
from fastem.fitting.scan import DataSummary
from fastem.fitting.spec import ModelSpec
from fastem.fitting.summary import summary_of
from fastem.given import converted, plain_array
from fastem.schedules.batch import Batch
from fastem.sources import ArraySource

# As for rows: the square of a larger value is not a number.
_LARGEST = 1e150


def spec_for_bins(spec: ModelSpec, bins: Bins) -> ModelSpec:
    """A spec whose starts are all taken to their end: passes over bins take no time."""

    def learning(summary: DataSummary) -> HistogramStrategy:
        return HistogramStrategy(tol=spec.tol, max_iter=spec.max_iter, acceleration=spec.acceleration, bins=bins)

    return replace(spec, races=False, make_learning=learning)


def summaries_of_bins(spec: ModelSpec, bins: Bins) -> tuple[DataSummary, DataSummary]:
    """What a fit of bins knows of them, and what its starts do.

    A start sees the midpoints only: it must not take the rows of a bin for equal.
    """
    values, weight = bins.spread()
    summary = summary_of(spec, ArraySource(values[:, None], weight))
    family = summary.model.family
    wide = replace(summary.model, family=replace(family, reg_covar=family.reg_covar + bins.typical_variance()))
    return summary, summary._replace(model=wide, strays=None)


def require_for_bins(schedule: Any, given: Any) -> None:
    """Raise ValueError for a schedule, or options of one, that a fit of bins does not heed; `given` stands for it."""
    if not isinstance(schedule, Batch):
        raise ValueError(
            f"fit_histogram learns by batch EM only, not by {named('schedule')}={given!r}: a pass over bins takes no "
            f"time. Use {named('schedule')}='batch'."
        )
    if schedule.bins is not None:
        raise ValueError(
            f"{named('schedule')}={given!r} says how many bins rows are put into, and fit_histogram is given bins. "
            f"Use {named('schedule=Batch(bins=None)')}."
        )
    if not isinstance(schedule.subsample, str | None):
        raise ValueError(
            f"{named('schedule')}={given!r} samples rows, and fit_histogram has none. "
            f"Use {named('schedule=Batch(subsample=None)')}."
        )


def read_histogram(counts: Any, edges: Any, n_components: int) -> Bins:
    """Check the counts (B,) and edges (B + 1,) of a histogram.

    Raises
    ------
    ValueError
        Naming what is wrong with them, and the remedy.
    """
    counts, edges = _read_line("counts", counts), _read_line("edges", edges)
    if edges.size != counts.size + 1:
        raise ValueError(
            f"edges must hold one value more than counts, got {edges.size} edges and {counts.size} counts. "
            "Give both ends of every bin, as numpy.histogram does."
        )
    if np.any(counts < 0) or not np.all(np.isfinite(counts)):
        bad = int(np.flatnonzero((counts < 0) | ~np.isfinite(counts))[0])
        raise ValueError(f"counts must be finite and not negative, but that of bin {bad} is {counts[bad]:g}.")
    if np.any(np.isnan(edges)):
        raise ValueError(f"edges must be numbers, but edge {int(np.flatnonzero(np.isnan(edges))[0])} is NaN.")
    if not np.all(edges[1:] > edges[:-1]):
        bad = int(np.flatnonzero(~(edges[1:] > edges[:-1]))[0])
        raise ValueError(
            f"edges must increase, but edge {bad} is {edges[bad]:g} and the next one {edges[bad + 1]:g}. "
            "Sort the bins, and merge those of no width with a neighbour."
        )
    finite = edges[np.isfinite(edges)]
    if finite.size < 2:
        raise ValueError(
            "No bin has two finite edges, so the scale of the data is unknown. Give finer bins; only the "
            "first edge may be -inf and only the last one inf."
        )
    if np.abs(finite).max() > _LARGEST:
        raise ValueError("edges are so large that their squares overflow. Divide them by a constant; 1e150 works.")
    if not counts.any():
        raise ValueError("All counts are zero: there are no rows to learn from. Give some bin a positive count.")
    with np.errstate(over="ignore"):
        total = counts.sum()
    if not np.isfinite(total):
        raise ValueError("The sum of counts is not a finite number. Divide them by a constant.")
    n_occupied = int(np.count_nonzero(counts))
    if n_occupied < n_components:
        raise ValueError(
            f"{named('n_components')}={n_components} is larger than {n_occupied}, the number of bins that hold rows. "
            "Ask for fewer components, or give finer bins."
        )
    return Bins(counts, edges)


def _read_line(name: str, given: Any) -> np.ndarray:
    array = plain_array(given, name)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must be one line of real numbers, got dtype {array.dtype} and shape {array.shape}. "
            "A histogram is of one feature."
        )
    return converted(array, name)
