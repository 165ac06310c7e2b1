"""Positive columns with gamma distributions: amounts, durations, intensities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import digamma, gammaln

from fastem.families._special import gamma_shape
from fastem.families.columns.base import Columns
from fastem.families.columns.blocks import LOG, PLAIN

# The standard deviation is at least a thousandth of the mean: rows that agree would draw it to zero.
_MOST_SHAPE = 1e6
# Inverses of scales, and means, are finite.
_LEAST, _MOST = 1e-300, 1e290


@dataclass(frozen=True, eq=False, kw_only=True)
class Gamma(Columns):
    """Positive numbers with gamma distributions, independent across columns. It shows `shapes_` and `scales_`.

    The mean is shape * scale, the variance mean * scale, the rate 1 / scale.

    Parameters
    ----------
    prior_weight : float, default 0
        Rows of the shape and scale of the data that each component is given beforehand: a conjugate prior of both.

    Raises
    ------
    ValueError
        For a negative prior_weight.

    See Also
    --------
    scipy.stats.gamma

    References
    ----------
    Minka (2002), *Estimating a Gamma distribution*.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import Gamma
    >>> random = np.random.default_rng(0)
    >>> x = np.concatenate([random.gamma(3.0, 2.0, 40_000), random.gamma(30.0, 1.0, 60_000)])
    >>> mixture = Mixture(Gamma(), 2, random_state=0).fit(x)
    >>> np.sort(mixture.shapes_[:, 0]).round().tolist()
    [3.0, 30.0]
    """

    shown = ("shapes", "scales")
    wanted = "must be positive, shapes from 1e-6 to 1e12"
    kind = "a positive number, from 1e-300 to 1e290"
    terms = (PLAIN, LOG)
    ranges = ((1e-6, 1e12), (1e-6 * _LEAST, _MOST))
    coordinate = "log"
    remedy = "its largest shapes were lowered to 1e6"
    strays = True
    spread = staticmethod(np.cbrt)

    def slopes(self, shape: np.ndarray, scale: np.ndarray) -> Any:
        return -1.0 / scale, shape - 1.0

    def base(self, shape: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return -shape * np.log(scale) - gammaln(shape)

    def averages(self, shape: np.ndarray, scale: np.ndarray) -> Any:
        return shape * scale, digamma(shape) + np.log(scale)

    def estimate(self, mean: np.ndarray, mean_log: np.ndarray) -> Any:
        shape = gamma_shape(np.log(np.maximum(mean, _LEAST)) - mean_log)
        return shape, mean / shape

    def bounded(self, shape: np.ndarray, scale: np.ndarray) -> Any:
        is_low = shape <= _MOST_SHAPE
        return np.where(is_low, shape, _MOST_SHAPE), np.where(is_low, scale, shape * scale / _MOST_SHAPE)

    def variances(self, shape: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return shape * scale * scale

    def of_moments(self, means: np.ndarray, variances: np.ndarray) -> Any:
        return means / variances * means, variances / means

    def is_outside(self, x: np.ndarray) -> np.ndarray:
        return (x < _LEAST) | (x > _MOST)

    def draw(self, values: Any, n_rows: int, random: np.random.Generator) -> np.ndarray:
        return np.maximum(random.gamma(values[0], values[1], (n_rows, self.n_features)), _LEAST)
