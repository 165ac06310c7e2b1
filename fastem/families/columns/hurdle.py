"""Counts that first have to be more than zero: whether, and then how many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaln

from fastem.families.columns.tabled import TabledCounts, rate_of_positive

_MOST_ZERO = 1.0 - 1e-12


@dataclass(frozen=True, eq=False, kw_only=True)
class HurdlePoisson(TabledCounts):
    """Counts that are zero with some probability, or else positive Poisson counts, independent across columns.

    It shows `rates_`, of the Poisson distribution that positive counts are cut from, and `zeros_`, the probabilities of
    zero, which may be fewer than Poisson counts have (of `ZeroInflatedPoisson` only more).

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
    Mullahy (1986), *Specification and testing of some modified count data models*, J. Econometrics 33, 341-365.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import HurdlePoisson
    >>> random = np.random.default_rng(0)
    >>> x = random.poisson(2.0, 50_000)
    >>> x = np.where(random.random(50_000) < 0.05, 0, x[x > 0][random.integers(0, 40_000, 50_000)])
    >>> mixture = Mixture(HurdlePoisson()).fit(x)
    >>> mixture.rates_.round(1).tolist(), mixture.zeros_.round(2).tolist()
    ([[2.0]], [[0.05]])
    """

    n_counts: Any = None

    shown = ("rates", "zeros")
    wanted = "must not be negative, zeros less than 1"
    kind = "a count, an integer from 0 up"
    ranges = ((1e-9, 1e12), (0.0, _MOST_ZERO))

    def log_table(self, counts: np.ndarray, rate: np.ndarray, zero: np.ndarray) -> np.ndarray:
        positive = counts * np.log(rate) - rate - gammaln(counts + 1.0) - np.log(-np.expm1(-rate))
        with np.errstate(divide="ignore"):
            return np.where(counts == 0, np.log(zero), np.log1p(-zero) + positive)

    def of_histogram(self, shares: np.ndarray) -> tuple[np.ndarray, ...]:
        zero = np.clip(shares[:, 0], 0.0, _MOST_ZERO)
        return rate_of_positive(shares @ np.arange(shares.shape[1]) / np.maximum(1.0 - shares[:, 0], 1e-12)), zero

    def at_limit(self, values: np.ndarray) -> np.ndarray:
        rate, zero = self.by_name(values)
        return np.concatenate([rate < 1e-8, zero < 1e-8], axis=1)

    def means(self, rate: np.ndarray, zero: np.ndarray) -> np.ndarray:
        return (1.0 - zero) * rate / -np.expm1(-rate)

    def variances(self, rate: np.ndarray, zero: np.ndarray) -> np.ndarray:
        mean = self.means(rate, zero)
        return mean * (1.0 + rate - mean)

    def of_moments(self, means: np.ndarray, variances: np.ndarray) -> Any:
        rate = np.maximum(variances / means + means - 1.0, 1e-9)
        return rate, np.clip(1.0 + means * np.expm1(-rate) / rate, 0.0, _MOST_ZERO)

    def values_at(self, centre: np.ndarray) -> np.ndarray:
        return self.joined((np.clip(centre, 0.5, 1e9), np.full_like(centre, 0.3)))

    def draw(self, values: Any, n_rows: int, random: np.random.Generator) -> np.ndarray:
        rate, zero = values
        # The distribution of positive counts, turned around.
        shares = np.exp(self.log_table(np.arange(1, max(self.group_sizes())), rate[:, None], np.zeros((rate.size, 1))))
        tails = np.cumsum(shares, axis=1)
        counts = np.stack([1 + np.searchsorted(tail, random.random(n_rows) * tail[-1]) for tail in tails], axis=1)
        counts[random.random(counts.shape) < zero] = 0
        return np.minimum(counts, self.group_sizes() - 1).astype(np.float64)
