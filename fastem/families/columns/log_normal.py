"""Positive columns whose logarithms are normal: incomes, sizes, concentrations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastem.families.columns.base import Columns
from fastem.families.columns.blocks import LOG, SQUARED_LOG

# Of the logarithm, as for gamma columns: rows that agree would draw it to zero.
_LEAST_SD, _MOST_SD = 1e-3, 1e3
_LEAST, _MOST = 1e-300, 1e300
_HALF_LOG_2PI = 0.5 * np.log(2.0 * np.pi)


@dataclass(frozen=True, eq=False, kw_only=True)
class LogNormal(Columns):
    """Positive numbers with normal logarithms, independent across columns. It shows `mean_logs_` and `sd_logs_`.

    The median is exp(mean_log). Likelihoods are those of the numbers, not of their logarithms: they can be compared
    with those of gamma or normal columns.

    Parameters
    ----------
    prior_weight : float, default 0
        Rows of the mean and standard deviation of the data's logarithms that each component is given beforehand: a
        conjugate prior of both.

    Raises
    ------
    ValueError
        For a negative prior_weight.

    See Also
    --------
    scipy.stats.lognorm : of parameters sd_log, and exp(mean_log) for its scale.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import LogNormal
    >>> random = np.random.default_rng(0)
    >>> x = np.concatenate([random.lognormal(0.0, 0.5, 4000), random.lognormal(5.0, 1.0, 6000)])
    >>> mixture = Mixture(LogNormal(), 2, random_state=0).fit(x)
    >>> np.sort(mixture.mean_logs_[:, 0]).round().tolist()
    [-0.0, 5.0]
    """

    shown = ("mean_logs", "sd_logs")
    n_locations = 1
    wanted = "must be finite, sd_logs from 0.001 to 1000"
    kind = "a positive number, from 1e-300 to 1e300"
    terms = (LOG, SQUARED_LOG)
    ranges = ((-1e3, 1e3), (_LEAST_SD, _MOST_SD))
    coordinate = "log"
    remedy = "its smallest sd_logs were lifted to 0.001"
    strays = True
    spread = staticmethod(np.log)

    def slopes(self, mean: np.ndarray, sd: np.ndarray) -> Any:
        return mean / (sd * sd) - 1.0, -0.5 / (sd * sd)

    def base(self, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
        return -0.5 * np.square(mean / sd) - np.log(sd) - _HALF_LOG_2PI

    def averages(self, mean: np.ndarray, sd: np.ndarray) -> Any:
        return mean, np.square(mean) + np.square(sd)

    def estimate(self, mean_log: np.ndarray, mean_square: np.ndarray) -> Any:
        return mean_log, np.sqrt(np.maximum(mean_square - np.square(mean_log), 1e-9))

    def bounded(self, mean: np.ndarray, sd: np.ndarray) -> Any:
        return mean, np.clip(sd, _LEAST_SD, _MOST_SD)

    def location_units(self, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
        return sd

    def means(self, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
        return np.exp(np.minimum(mean + 0.5 * np.square(sd), 600.0))

    def variances(self, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
        return np.exp(np.minimum(2.0 * mean + np.square(sd), 600.0)) * np.expm1(np.minimum(np.square(sd), 100.0))

    def of_moments(self, means: np.ndarray, variances: np.ndarray) -> Any:
        square = np.log1p(variances / means / means)
        return np.log(means) - 0.5 * square, np.sqrt(square)

    def is_outside(self, x: np.ndarray) -> np.ndarray:
        return (x < _LEAST) | (x > _MOST)

    def draw(self, values: Any, n_rows: int, random: np.random.Generator) -> np.ndarray:
        logs = values[0] + values[1] * random.standard_normal((n_rows, self.n_features))
        return np.exp(np.clip(logs, -690.0, 690.0))
