"""Histograms that users hand in, checked in their own words."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.estimators._validation import read_weight
from fastem.fitting.binned import Bins
from fastem.given import converted, plain_array

# As for rows: the square of a larger value is not a number.
_LARGEST = 1e150


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
            "No bin has two finite edges, so that nothing tells the scale of the data. Give finer bins; only the "
            "first edge may be -inf and only the last one inf."
        )
    if np.abs(finite).max() > _LARGEST:
        raise ValueError("edges are so large that their squares overflow. Divide them by a constant; 1e150 works.")
    if not counts.any():
        raise ValueError("All counts are zero: there are no rows to learn from. Give some bin a positive count.")
    read_weight(counts, counts.size)
    n_occupied = int(np.count_nonzero(counts))
    if n_occupied < n_components:
        raise ValueError(
            f"n_components={n_components} is larger than {n_occupied}, the number of bins that hold rows. "
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
