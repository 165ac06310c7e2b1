"""Successes of a known number of trials: answers right of ten, days of a week."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy

from fastem.families.columns.tabled import TabledCounts
from fastem.given import require_count


@dataclass(frozen=True, eq=False, kw_only=True)
class Binomial(TabledCounts):
    """Successes of `n_trials` trials, independent across columns. The fitted attribute is `means_`.

    The probability of a success is mean / n_trials. A mixture of K components needs 2 K - 1 trials in a column, or
    several columns: with fewer, other mixtures describe the rows as well (Teicher 1963).

    Parameters
    ----------
    n_trials : int, default 1
        The same for all columns.
    prior_weight : float, default 0
        Rows of the distribution of the data that each component is given beforehand: a beta prior.

    Raises
    ------
    ValueError
        For a negative prior_weight, and n_trials that are no positive integer.

    See Also
    --------
    fastem.families.BinomialRegression : where numbers of trials differ, or covariates matter.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import Binomial
    >>> random = np.random.default_rng(0)
    >>> x = random.binomial(10, np.where(random.random(20_000) < 0.4, 0.2, 0.7))
    >>> mixture = Mixture(Binomial(n_trials=10), 2, random_state=0).fit(x)
    >>> np.sort(mixture.means_[:, 0]).round().tolist()
    [2.0, 7.0]
    """

    n_trials: int = 1
    # One more than there are trials.
    n_counts: Any = field(default=None, repr=False)

    shown = ("means",)
    wanted = "must be between 0 and n_trials"
    kind = "a count of successes"
    options: ClassVar[tuple[str, ...]] = ("n_trials", "prior_weight")

    def __post_init__(self) -> None:
        require_count("n_trials", self.n_trials)
        if self.n_counts is None:
            object.__setattr__(self, "n_counts", int(self.n_trials) + 1)
        super().__post_init__()

    def proper(self, values: np.ndarray) -> np.ndarray:
        return np.clip(values, 0.0, self.n_trials)

    def floored(self, values: np.ndarray) -> np.ndarray:
        least = 1e-15 * self.n_trials
        return np.clip(values, least, self.n_trials - least)

    def log_table(self, counts: np.ndarray, mean: np.ndarray) -> np.ndarray:
        n, share = self.n_trials, mean / self.n_trials
        choose = gammaln(n + 1.0) - gammaln(counts + 1.0) - gammaln(n - counts + 1.0)
        return choose + xlogy(counts, share) + xlog1py(n - counts, -share)

    def of_histogram(self, shares: np.ndarray) -> tuple[np.ndarray, ...]:
        return (shares @ np.arange(shares.shape[1]),)

    def at_limit(self, values: np.ndarray) -> np.ndarray:
        share = values / self.n_trials
        return (share < 1e-8) | (share > 1.0 - 1e-8)

    def means(self, mean: np.ndarray) -> np.ndarray:
        return mean

    def variances(self, mean: np.ndarray) -> np.ndarray:
        return mean * (1.0 - mean / self.n_trials)

    def values_at(self, centre: np.ndarray) -> np.ndarray:
        return np.clip(centre, 0.1 * self.n_trials, 0.9 * self.n_trials)

    def support(self, column: int) -> str:
        return f"a number of successes, an integer from 0 to {self.n_trials}"

    def draw(self, values: Any, n_rows: int, random: np.random.Generator) -> np.ndarray:
        return random.binomial(self.n_trials, values[0] / self.n_trials, (n_rows, self.n_features)).astype(np.float64)
