"""Fits of histograms, which are checked in their users' words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np

from fastem.estimators._mixture import BaseMixture
from fastem.estimators._validation import read_weight
from fastem.estimators.options import Batch
from fastem.fitting.binned import Bins
from fastem.fitting.bins import HistogramStrategy
from fastem.fitting.summary import summary_of
from fastem.given import converted, plain_array
from fastem.search.sample_race import starts_of
from fastem.sources import ArraySource

# As for rows: the square of a larger value is not a number.
_LARGEST = 1e150


class HistogramMixture(BaseMixture):
    """A mixture that is fitted to rows, or to a histogram of one feature."""

    def fit_histogram(self, counts: Any, edges: Any) -> Self:
        """Estimate the parameters from a histogram of one feature, by exact expectation-maximisation.

        The likelihood of a bin is the probability of its interval, so that coarse bins bias nothing (midpoints
        taken for rows widen components and merge them), and the cost is that of the bins, not of the rows.

        Parameters
        ----------
        counts : array-like (B,)
            Number, or weight, of the rows in each bin; not negative. A bin without rows counts for nothing.
        edges : array-like (B + 1,)
            Increasing; bin b lies between edges b and b + 1. The first edge may be -inf and the last one inf:
            the tail beyond the first or last bin. All rows are taken to lie in some bin; give open bins
            rather than leave out rows beyond the edges.

        Returns
        -------
        self
            As after `fit` with one feature, in the same four covariance types and with the same starts (labels
            and responsibilities in `init_params` are of bins). `lower_bound_` is the mean, over rows, of the
            log-probability of the row's bin, in nats; it grows by the logarithm of their width when bins do.

        Raises
        ------
        ValueError
            For an unusable histogram or unusable parameters, naming the problem and the remedy.

        Warns
        -----
        ConvergenceWarning
            As `fit` does.

        References
        ----------
        McLachlan & Jones (1988), Biometrics 44, 571-578.

        Examples
        --------
        >>> import numpy as np
        >>> from fastem import GaussianMixture
        >>> random = np.random.default_rng(0)
        >>> x = np.concatenate([random.normal(20, 5, 30_000), random.normal(40, 5, 70_000)])
        >>> counts, edges = np.histogram(x, bins=12)
        >>> mixture = GaussianMixture(n_components=2, random_state=0).fit_histogram(counts, edges)
        >>> np.sort(mixture.means_[:, 0]).round().tolist()
        [20.0, 40.0]
        """
        self._validate_params()
        if not isinstance(self._option("schedule"), Batch):
            raise ValueError(
                f"fit_histogram learns by batch EM only, not by schedule={self.schedule!r}: a pass over bins takes no "
                "time. Use schedule='batch'."
            )
        return self._fit_bins(read_histogram(counts, edges, self.n_components))

    def _fit_bins(self, bins: Bins) -> Self:
        """Fit to bins that were checked."""
        values, weight = bins.spread()
        middles = ArraySource(bins.midpoints()[:, None], bins.counts)
        with self._fitting(f"starts mixtures of {self._distributions()}"):
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
            self.n_features_in_ = 1
            # Passes over bins take no time: every start is taken to its end.
            spec = replace(self._model_spec(), races=False, make_learning=lambda summary: self._learning_of(bins))
            summary = summary_of(spec, ArraySource(values[:, None], weight))
            # A start sees the midpoints only: it must not take the rows of a bin for equal.
            width = summary.model.family.reg_covar + bins.typical_variance()
            wide = replace(summary.model, family=replace(summary.model.family, reg_covar=width))
            starts = starts_of(spec, summary._replace(model=wide, strays=None), middles)
            best = self._fit(spec, summary, middles, starts)
        self._warn_of(best)
        return self

    def _learning_of(self, bins: Bins) -> HistogramStrategy:
        acceleration = self._option("schedule").acceleration
        return HistogramStrategy(tol=self.tol, max_iter=self.max_iter, acceleration=acceleration, bins=bins)


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
