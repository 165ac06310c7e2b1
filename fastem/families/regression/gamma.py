"""Positive responses: gamma regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import digamma, gammaln

from fastem.families._special import gamma_shape
from fastem.families.regression.blocks import MOST_ETA
from fastem.families.regression.family import Regression
from fastem.families.regression.records import GammaResponseParams, RegressionStats
from fastem.families.regression.response import mean_of_log

_TINY = float(np.finfo(np.float64).tiny)
# A gamma response varies by at least a thousandth of its mean, and by no more than a thousand times.
_LEAST, _MOST = 1e-6, 1e6


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GammaRegression(Regression):
    """A positive response with a gamma distribution, whose mean is ``exp(intercept + coef' x)``: amounts, durations.

    Rows are covariates, then the response. It shows `coef_` (K, P), `intercept_` (K,) and `shapes_` (K,): the variance
    is mean^2 / shape.

    Parameters
    ----------
    prior_weight : float, default 0
        Rows that each component is given beforehand, of the mean of the data and without an effect of the covariates:
        they draw coefficients to zero, and leave the shapes to the data.

    Raises
    ------
    ValueError
        For a negative prior_weight.

    Notes
    -----
    Shapes are those of highest likelihood, not estimates from the deviance.

    References
    ----------
    McCullagh & Nelder (1989), *Generalized linear models*, ch. 8.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import GammaRegression
    >>> random = np.random.default_rng(0)
    >>> x, kind = random.uniform(0, 3, 4000), random.integers(0, 2, 4000)
    >>> y = random.gamma(8.0, np.exp(np.where(kind, x, 3.0 - x)) / 8.0)
    >>> mixture = Mixture(GammaRegression(), 2, random_state=0).fit(np.column_stack([x, y]))
    >>> np.sort(mixture.coef_[:, 0]).round().tolist(), mixture.shapes_.round(-1).tolist()
    ([-1.0, 1.0], [10.0, 10.0])
    """

    record_type = GammaResponseParams
    has_dispersion = True
    spread_name: ClassVar[str] = "shapes"
    kind_of_response = "a positive number"
    options: ClassVar[tuple[str, ...]] = ("prior_weight",)

    def mean(self, eta: np.ndarray) -> np.ndarray:
        return mean_of_log(eta)

    def link(self, mean: np.ndarray) -> np.ndarray:
        return np.log(np.where(np.greater(mean, 0.0), mean, 1.0))

    def log_norm(self, dispersion: np.ndarray) -> np.ndarray:
        shape = 1.0 / dispersion
        return shape * np.log(shape) - shape - gammaln(shape)

    def weigh(self, eta: np.ndarray, y: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        eta = np.clip(eta, -MOST_ETA, MOST_ETA)
        pull = y * np.exp(-eta) - 1.0
        return pull, np.ones_like(pull), pull - (np.log(np.maximum(y, _TINY)) - eta)

    def from_null(self, stats: RegressionStats) -> RegressionStats:
        rows = stats.information[:, 0]
        ratio = max((stats.score[0, 0] + stats.mass[0]) / stats.mass[0], _TINY)
        pivot = stats.pivot.copy()
        pivot[:, 0] += np.log(ratio)
        loss = stats.loss - stats.score[:, 0] + stats.n * np.log(ratio)
        return stats._replace(score=(stats.score + rows) / ratio - rows, loss=loss, pivot=pivot)

    def shown_dispersion(self, dispersion: np.ndarray) -> np.ndarray:
        return 1.0 / dispersion

    def dispersion_of(self, mean_loss: np.ndarray) -> np.ndarray:
        return 1.0 / gamma_shape(mean_loss)

    def mean_loss(self, dispersion: np.ndarray) -> np.ndarray:
        shape = 1.0 / dispersion
        return np.log(shape) - digamma(shape)

    def bounded(self, dispersion: np.ndarray) -> np.ndarray:
        return np.clip(dispersion, _LEAST, _MOST)

    def dispersion_gradient(self, dispersion: np.ndarray, loss: np.ndarray, n: np.ndarray) -> np.ndarray:
        shape = 1.0 / dispersion
        return shape * (loss - n * (np.log(shape) - digamma(shape)))

    def variance(self, mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
        return np.square(mean) * dispersion

    def is_outside(self, y: np.ndarray, size: np.ndarray) -> np.ndarray:
        return (y < 1e-300) | (y > 1e290)

    def draw(self, mean: np.ndarray, size: np.ndarray, dispersion: float, random: np.random.Generator) -> np.ndarray:
        return np.maximum(random.gamma(1.0 / dispersion, mean * dispersion), 1e-300)
