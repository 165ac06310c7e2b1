"""Counts of failures before a success, with geometric distributions: the longest tails that counts mostly have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastem.families.columns.base import Columns


@dataclass(frozen=True, eq=False, kw_only=True)
class Geometric(Columns):
    """Counts from 0 up with geometric distributions, independent across columns. The fitted attribute is `means_`.

    The probability of a count n is p (1 - p)^n, where p = 1 / (1 + mean) is that of an end at each step; the variance
    is mean * (1 + mean). It is the distribution of a Poisson count whose rate is exponential.

    Parameters
    ----------
    prior_weight : float, default 0
        Rows of the mean of the data that each component is given beforehand: a beta prior of the probabilities.

    Raises
    ------
    ValueError
        For a negative prior_weight.

    See Also
    --------
    scipy.stats.geom : counts trials, the success included: one more.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import Geometric
    >>> random = np.random.default_rng(0)
    >>> x = np.concatenate([random.geometric(0.5, 40_000), random.geometric(0.02, 60_000)]) - 1
    >>> mixture = Mixture(Geometric(), 2, random_state=0).fit(x)
    >>> np.sort(mixture.means_[:, 0]).round().tolist()
    [1.0, 49.0]
    """

    shown = ("means",)
    kind = "a count, an integer from 0 up"
    is_discrete = True
    coordinate = "log"
    spread = staticmethod(np.sqrt)

    def slopes(self, values: np.ndarray) -> np.ndarray:
        positive = np.where(values == 0.0, 1.0, values)
        return np.log(positive / (1.0 + positive))

    def base(self, values: np.ndarray) -> np.ndarray:
        return -np.log(1.0 + values)

    def fields(self, values: np.ndarray) -> dict[str, np.ndarray]:
        return {"required": np.where(values == 0.0, 0.0, -1.0)}

    def variances(self, values: np.ndarray) -> np.ndarray:
        return values * (1.0 + values)

    def is_outside(self, x: np.ndarray) -> np.ndarray:
        return (x < 0) | (np.floor(x) != x)

    def draw(self, values: np.ndarray, n_rows: int, random: np.random.Generator) -> np.ndarray:
        return random.geometric(1.0 / (1.0 + values[0]), (n_rows, self.n_features)) - 1.0
