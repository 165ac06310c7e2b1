"""Counts: Poisson regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastem.families._value import require_flag
from fastem.families.regression.family import Regression
from fastem.families.regression.records import PoissonResponseParams, RegressionStats
from fastem.families.regression.response import mean_of_log


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PoissonRegression(Regression):
    """A count whose mean is ``exp(intercept + coef' x)``, times its exposure where there is one.

    Rows are covariates, then the count, then the exposure if ``exposure=True``. It shows `coef_` (K, P) and
    `intercept_` (K,).

    Parameters
    ----------
    exposure : bool, default False
        Whether the last column multiplies the mean: a time, an area, a number of people.
    prior_weight : float, default 0
        Rows that each component is given beforehand, of the mean of the data and without an effect of the covariates.

    Raises
    ------
    ValueError
        For a negative prior_weight, or an exposure that is no truth value.

    References
    ----------
    Wedel & DeSarbo (1995), *A mixture likelihood approach for generalized linear models*, J. Classification 12, 21-55;
    Leisch (2004), *FlexMix*, J. Statistical Software 11(8).

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import PoissonRegression
    >>> random = np.random.default_rng(0)
    >>> x, kind = random.uniform(0, 3, 4000), random.integers(0, 2, 4000)
    >>> y = random.poisson(np.exp(np.where(kind, 0.5 + x, 3.0 - x)))
    >>> mixture = Mixture(PoissonRegression(), 2, random_state=0).fit(np.column_stack([x, y]))
    >>> np.sort(mixture.coef_[:, 0]).round().tolist()
    [-1.0, 1.0]
    """

    exposure: bool = False

    record_type = PoissonResponseParams
    is_discrete = True
    size = "exposure"
    kind_of_response = "a count, an integer from 0 up"
    options: ClassVar[tuple[str, ...]] = ("exposure", "prior_weight")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_flag("exposure", self.exposure)

    @property
    def has_size(self) -> bool:
        return bool(self.exposure)

    def mean(self, eta: np.ndarray) -> np.ndarray:
        return mean_of_log(eta)

    def link(self, mean: np.ndarray) -> np.ndarray:
        # A mean of no count at all is taken for one of half a count.
        return np.log(np.where(np.greater(mean, 0.0), mean, 0.5))

    def weigh(self, eta: np.ndarray, y: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean = size * mean_of_log(eta)
        return y - mean, mean, np.zeros_like(mean)

    def from_null(self, stats: RegressionStats) -> RegressionStats:
        ratio = max(stats.score[0, 0] + stats.mass[0], 0.5) / stats.mass[0]
        score = stats.score + (1.0 - ratio) * stats.information[:, 0]
        pivot = stats.pivot.copy()
        pivot[:, 0] += np.log(ratio)
        return stats._replace(
            score=score, mass=ratio * stats.mass, sx=ratio * stats.sx, sxx=ratio * stats.sxx, pivot=pivot
        )

    def variance(self, mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
        return mean

    def is_outside(self, y: np.ndarray, size: np.ndarray) -> np.ndarray:
        return (y < 0) | (np.floor(y) != y)

    def draw(self, mean: np.ndarray, size: np.ndarray, dispersion: float, random: np.random.Generator) -> np.ndarray:
        return random.poisson(np.minimum(mean * size, 1e15)).astype(np.float64)
