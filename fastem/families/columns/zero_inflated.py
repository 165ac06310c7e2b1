"""Counts with more zeros than a Poisson distribution has: some rows could not have been anything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaln

from fastem.families.columns.tabled import TabledCounts, rate_of_positive

_LEAST_ZERO, _MOST_ZERO = 1e-300, 1.0 - 1e-12


@dataclass(frozen=True, eq=False, kw_only=True)
class ZeroInflatedPoisson(TabledCounts):
    """Counts that are zero with some probability, or else Poisson, independent across columns.

    It shows `rates_` of the Poisson counts and `zeros_`, the probabilities that a count is zero for another reason.
    Where counts are zero no more often than Poisson counts, that probability is zero. A mixture of several components
    needs several columns, or a chain: the zeros of one column do not say which component they are of.

    Parameters
    ----------
    n_counts : int, array-like (D,) or None, default None
        As of `NegativeBinomial`.
    prior_weight : float, default 0
        Rows of the distribution of the data that each component is given beforehand.

    Raises
    ------
    ValueError
        For a negative prior_weight, and n_counts that are no positive integers.

    References
    ----------
    Lambert (1992), *Zero-inflated Poisson regression*, Technometrics 34, 1-14.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import ZeroInflatedPoisson
    >>> random = np.random.default_rng(0)
    >>> x = np.where(random.random(10_000) < 0.3, 0, random.poisson(4.0, 10_000))
    >>> mixture = Mixture(ZeroInflatedPoisson()).fit(x)
    >>> mixture.rates_.round(1).tolist(), mixture.zeros_.round(1).tolist()
    ([[4.0]], [[0.3]])
    """

    n_counts: Any = None

    shown = ("rates", "zeros")
    wanted = "must not be negative, zeros less than 1"
    kind = "a count, an integer from 0 up"
    ranges = ((1e-12, 1e12), (0.0, _MOST_ZERO))

    def log_table(self, counts: np.ndarray, rate: np.ndarray, zero: np.ndarray) -> np.ndarray:
        poisson = counts * np.log(rate) - rate - gammaln(counts + 1.0)
        with np.errstate(divide="ignore"):
            return np.where(counts == 0, np.log(zero + (1.0 - zero) * np.exp(-rate)), np.log1p(-zero) + poisson)

    def of_histogram(self, shares: np.ndarray) -> tuple[np.ndarray, ...]:
        """In closed form: the mean of positive counts tells the rate, the share of zeros the rest."""
        mean = np.maximum(shares @ np.arange(shares.shape[1]), 1e-12)
        positive = np.maximum(1.0 - shares[:, 0], 1e-12)
        rate = rate_of_positive(mean / positive)
        zero = 1.0 - positive / -np.expm1(-rate)
        is_inflated = zero > 0.0
        return np.where(is_inflated, rate, mean), np.clip(np.where(is_inflated, zero, 0.0), 0.0, _MOST_ZERO)

    def floored(self, values: np.ndarray) -> np.ndarray:
        return np.maximum(values, _LEAST_ZERO)

    def at_limit(self, values: np.ndarray) -> np.ndarray:
        rate, zero = self.by_name(values)
        return np.concatenate([np.zeros(rate.shape, dtype=bool), zero < 1e-8], axis=1)

    def means(self, rate: np.ndarray, zero: np.ndarray) -> np.ndarray:
        return (1.0 - zero) * rate

    def variances(self, rate: np.ndarray, zero: np.ndarray) -> np.ndarray:
        return (1.0 - zero) * rate * (1.0 + zero * rate)

    def of_moments(self, means: np.ndarray, variances: np.ndarray) -> Any:
        ratio = np.maximum(variances / means - 1.0, 0.0)
        rate = means + ratio
        return rate, np.clip(ratio / rate, 0.0, _MOST_ZERO)

    def values_at(self, centre: np.ndarray) -> np.ndarray:
        return self.joined((np.clip(centre, 0.5, 1e9), np.full_like(centre, 0.2)))

    def draw(self, values: Any, n_rows: int, random: np.random.Generator) -> np.ndarray:
        counts = random.poisson(values[0], (n_rows, self.n_features))
        counts[random.random(counts.shape) < values[1]] = 0
        return np.minimum(counts, self.group_sizes() - 1).astype(np.float64)
