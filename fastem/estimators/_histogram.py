"""Fits of histograms, which are checked in their users' words."""

from __future__ import annotations

from typing import Any, Self

from fastem.estimators._mixture import BaseMixture
from fastem.fitting.histogram import read_histogram, require_for_bins, spec_for_bins, summaries_of_bins
from fastem.search.sample_race import starts_of
from fastem.sources import ArraySource


class HistogramMixture(BaseMixture):
    """A mixture that is fitted to rows, or to a histogram of one feature."""

    def fit_histogram(self, counts: Any, edges: Any) -> Self:
        """Estimate the parameters from a histogram of one feature, by exact expectation-maximisation.

        The likelihood of a bin is the probability of its interval, so that coarse bins bias nothing, and the cost is
        that of the bins, not of the rows.

        Parameters
        ----------
        counts : array-like (B,)
            Number, or weight, of the rows in each bin; not negative. A bin without rows counts for nothing.
        edges : array-like (B + 1,)
            Increasing; bin b lies between edges b and b + 1. The first edge may be -inf and the last one inf: give open
            bins rather than leave out rows beyond the edges.

        Returns
        -------
        self
            As after `fit` with one feature (labels and responsibilities in `init_params` are of bins). `lower_bound_`
            is the mean, over rows, of the log-probability of the row's bin, in nats.

        Raises
        ------
        ValueError
            For an unusable histogram, and for unusable parameters or options that are not in force.

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
        self._require_sensible()
        require_for_bins(self._option("schedule"), self.schedule)
        bins = read_histogram(counts, edges, self.n_components)
        middles = ArraySource(bins.midpoints()[:, None], bins.counts)
        with self._fitting(f"starts mixtures of {self._distributions()}"):
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
            self.n_features_in_ = 1
            spec = spec_for_bins(self._model_spec(), bins)
            summary, for_starts = summaries_of_bins(spec, bins)
            best = self._fit(spec, summary, middles, starts_of(spec, for_starts, middles))
        self._warn_of(best)
        return self
