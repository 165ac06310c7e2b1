"""Counts that vary more than Poisson counts do: claims, visits, cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaln

from fastem.families.columns.tabled import TabledCounts, mean_and_tails

# A size of so many means is that of a Poisson distribution.
_MOST_SIZE = 1e6
_NEWTON_STEPS = 60


@dataclass(frozen=True, eq=False, kw_only=True)
class NegativeBinomial(TabledCounts):
    """Counts with negative binomial distributions, independent across columns. It shows `means_` and `sizes_`.

    A Poisson count whose rate has a gamma distribution: the variance is mean + mean^2 / size. A size of one is the
    geometric distribution. Where counts vary no more than Poisson counts do, the size is a million means.

    Parameters
    ----------
    n_counts : int, array-like (D,) or None, default None
        Counts from 0 to n_counts - 1 have a probability in tables; larger ones are an error. None: twice the largest
        count that `fit` meets, and 64 more, which takes one more pass over files.
    prior_weight : float, default 0
        Rows of the distribution of the data that each component is given beforehand.

    Raises
    ------
    ValueError
        For a negative prior_weight, and n_counts that are no positive integers.

    See Also
    --------
    scipy.stats.nbinom : of parameters size and size / (size + mean).

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import NegativeBinomial
    >>> random = np.random.default_rng(0)
    >>> x = np.concatenate([random.poisson(random.gamma(4.0, 0.5, 40_000)), random.negative_binomial(9, 0.1, 60_000)])
    >>> mixture = Mixture(NegativeBinomial(), 2, random_state=0).fit(x)
    >>> np.sort(mixture.means_[:, 0]).round().tolist()
    [2.0, 81.0]
    """

    n_counts: Any = None

    shown = ("means", "sizes")
    wanted = "must be positive, sizes at most 1e6 means"
    kind = "a count, an integer from 0 up"
    ranges = ((1e-12, 1e12), (1e-6, 1e18))
    remedy = "it varies no more than Poisson counts, so that its size was set to a million means"

    def log_table(self, counts: np.ndarray, mean: np.ndarray, size: np.ndarray) -> np.ndarray:
        # A product in place of gamma functions, whose difference has no digits left where the size is large.
        rising = np.cumsum(np.log1p(np.maximum(counts - 1.0, 0.0) / size), axis=1)
        shrinkage = np.log1p(mean / size)
        return rising + counts * (np.log(mean) - shrinkage) - size * shrinkage - gammaln(counts + 1.0)

    def of_histogram(self, shares: np.ndarray) -> tuple[np.ndarray, ...]:
        """The mean; and the size, by Newton's method in its logarithm, from the shares of what is larger."""
        mean, tails = mean_and_tails(shares)
        mean = np.maximum(mean, 1e-12)
        counts = np.arange(shares.shape[1])
        excess = shares @ np.square(counts) - mean * mean - mean
        most = _MOST_SIZE * mean
        size = np.clip(np.where(excess > 0.0, mean * mean / np.where(excess > 0.0, excess, 1.0), most), 1e-6, most)
        for _ in range(_NEWTON_STEPS):
            inverse = 1.0 / (size[:, None] + counts)
            slope = (tails * inverse).sum(axis=1) - np.log1p(mean / size)
            curve = mean / (size * (size + mean)) - (tails * np.square(inverse)).sum(axis=1)
            # In the logarithm; uphill where the curve is not that of a maximum.
            bend = size * size * curve + size * slope
            step = np.where(bend < 0.0, -size * slope / np.where(bend < 0.0, bend, -1.0), np.sign(slope))
            size = np.clip(size * np.exp(np.clip(step, -1.0, 1.0)), 1e-6, most)
            if np.abs(step[(size > 1e-6) & (size < most)]).max(initial=0.0) < 1e-13:
                break
        return mean, size

    def bounded(self, mean: np.ndarray, size: np.ndarray) -> Any:
        return mean, np.minimum(size, _MOST_SIZE * mean)

    def at_limit(self, values: np.ndarray) -> np.ndarray:
        mean, size = self.by_name(values)
        return np.concatenate([np.zeros(mean.shape, dtype=bool), size > (1.0 - 1e-6) * _MOST_SIZE * mean], axis=1)

    def means(self, mean: np.ndarray, size: np.ndarray) -> np.ndarray:
        return mean

    def variances(self, mean: np.ndarray, size: np.ndarray) -> np.ndarray:
        return mean + mean * mean / size

    def of_moments(self, means: np.ndarray, variances: np.ndarray) -> Any:
        return means, np.square(means) / np.maximum(variances - means, means / _MOST_SIZE)

    def values_at(self, centre: np.ndarray) -> np.ndarray:
        centre = np.clip(centre, 0.5, 1e9)
        return self.joined((centre, centre))

    def draw(self, values: Any, n_rows: int, random: np.random.Generator) -> np.ndarray:
        mean, size = values
        rates = random.gamma(size, mean / size, (n_rows, self.n_features))
        return np.minimum(random.poisson(rates), self.group_sizes() - 1).astype(np.float64)
