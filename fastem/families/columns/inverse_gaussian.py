"""Positive columns with inverse Gaussian distributions: times until a drifting process first passes a limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import exp1

from fastem.families.columns.base import Columns
from fastem.families.columns.blocks import INVERSE, LOG, PLAIN

# The standard deviation is at least a thousandth of the mean: rows that agree would draw it to zero.
_MOST_SHAPE = 1e6
# Squares of means, and of their inverses, are finite.
_LEAST, _MOST = 1e-100, 1e100
_HALF_LOG_2PI = 0.5 * np.log(2.0 * np.pi)


@dataclass(frozen=True, eq=False, kw_only=True)
class InverseGaussian(Columns):
    """Positive numbers with inverse Gaussian (Wald) distributions, independent across columns.

    It shows `means_` and `shapes_`. The variance is mean^3 / shape: tails are heavier than those of a gamma
    distribution, and values near zero rarer.

    Parameters
    ----------
    prior_weight : float, default 0
        Rows of the mean and shape of the data that each component is given beforehand: a conjugate prior of both.

    Raises
    ------
    ValueError
        For a negative prior_weight.

    See Also
    --------
    scipy.stats.invgauss : of parameters mean / shape, and the shape for its scale.

    References
    ----------
    Tweedie (1957), *Statistical properties of inverse Gaussian distributions*, Ann. Math. Statist. 28, 362-377.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import InverseGaussian
    >>> random = np.random.default_rng(0)
    >>> x = np.concatenate([random.wald(1.0, 4.0, 40_000), random.wald(9.0, 90.0, 60_000)])
    >>> mixture = Mixture(InverseGaussian(), 2, random_state=0).fit(x)
    >>> np.sort(mixture.means_[:, 0]).round().tolist()
    [1.0, 9.0]
    """

    shown = ("means", "shapes")
    wanted = "must be positive, with shapes of at most 1e6 means"
    kind = "a positive number, from 1e-100 to 1e100"
    terms = (PLAIN, INVERSE, LOG)
    ranges = ((_LEAST, _MOST), (1e-6 * _LEAST, _MOST_SHAPE * _MOST))
    coordinate = "log"
    remedy = "its largest shapes were lowered to 1e6 means"
    strays = True
    spread = staticmethod(np.log)

    def slopes(self, mean: np.ndarray, shape: np.ndarray) -> Any:
        return -shape / (2.0 * mean * mean), -0.5 * shape, -1.5 + 0.0 * mean

    def base(self, mean: np.ndarray, shape: np.ndarray) -> np.ndarray:
        return 0.5 * np.log(shape) - _HALF_LOG_2PI + shape / mean

    def averages(self, mean: np.ndarray, shape: np.ndarray) -> Any:
        # Mean logarithms: Johnson, Kotz & Balakrishnan (1994), *Continuous univariate distributions* 1, ch. 15.
        z = np.minimum(2.0 * shape / mean, 500.0)
        return mean, 1.0 / mean + 1.0 / shape, np.log(mean) - np.exp(z) * exp1(z)

    def estimate(self, mean: np.ndarray, mean_inverse: np.ndarray, mean_log: np.ndarray) -> Any:
        mean = np.maximum(mean, _LEAST)
        return mean, 1.0 / np.maximum(mean_inverse - 1.0 / mean, 1e-9 / mean)

    def bounded(self, mean: np.ndarray, shape: np.ndarray) -> Any:
        return mean, np.minimum(shape, _MOST_SHAPE * mean)

    def at_limit(self, values: np.ndarray) -> np.ndarray:
        mean, shape = self.by_name(values)
        return np.concatenate([np.zeros(mean.shape, dtype=bool), shape > (1.0 - 1e-6) * _MOST_SHAPE * mean], axis=1)

    def means(self, mean: np.ndarray, shape: np.ndarray) -> np.ndarray:
        return mean

    def variances(self, mean: np.ndarray, shape: np.ndarray) -> np.ndarray:
        return mean / shape * np.square(mean)

    def of_moments(self, means: np.ndarray, variances: np.ndarray) -> Any:
        return means, means / variances * np.square(means)

    def values_at(self, centre: np.ndarray) -> np.ndarray:
        return super().values_at(np.clip(centre, 1e-40, 1e40))

    def is_outside(self, x: np.ndarray) -> np.ndarray:
        return (x < _LEAST) | (x > _MOST)

    def draw(self, values: Any, n_rows: int, random: np.random.Generator) -> np.ndarray:
        return np.clip(random.wald(values[0], values[1], (n_rows, self.n_features)), _LEAST, _MOST)
