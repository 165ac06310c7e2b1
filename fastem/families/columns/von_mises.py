"""Angles with von Mises distributions: directions in the plane, times of day, seasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import i0e, i1e

from fastem.families.columns.base import Columns
from fastem.families.columns.blocks import COSINE, SINE

# Rows that agree would draw the concentration to infinity; rows all around leave none.
_LEAST, _MOST = 1e-6, 1e6
_NEWTON_STEPS = 12


@dataclass(frozen=True, eq=False, kw_only=True)
class VonMises(Columns):
    """Angles with von Mises distributions, independent across columns. It shows `directions_` and `concentrations_`.

    Angles are in radians, from any turn: times of day are ``2 * np.pi * hour / 24``. Fitted directions lie between -pi
    and pi. A concentration of zero is the uniform distribution on the circle, and a large one normal of the variance
    1 / concentration.

    Parameters
    ----------
    prior_weight : float, default 0
        Rows of the direction and concentration of the data that each component is given beforehand: a conjugate prior.

    Raises
    ------
    ValueError
        For a negative prior_weight.

    See Also
    --------
    scipy.stats.vonmises

    References
    ----------
    Mardia & Jupp (2000), *Directional statistics*, sections 5.3 and 5.5; Banerjee, Dhillon, Ghosh & Sra (2005),
    *Clustering on the unit hypersphere using von Mises-Fisher distributions*, JMLR 6, 1345-1382.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import VonMises
    >>> random = np.random.default_rng(0)
    >>> hours = np.concatenate([random.normal(8.0, 1.0, 4000), random.normal(23.5, 1.5, 6000)])
    >>> mixture = Mixture(VonMises(), 2, random_state=0).fit(2 * np.pi * hours / 24)
    >>> np.sort(mixture.directions_[:, 0] * 24 / (2 * np.pi)).round(1).tolist()
    [-0.5, 8.0]
    """

    shown = ("directions", "concentrations")
    n_locations = 1
    wanted = "must be from -pi to pi, and from 1e-6 to 1e6"
    kind = "an angle in radians"
    terms = (COSINE, SINE)
    ranges = ((-np.pi, np.pi), (_LEAST, _MOST))
    coordinate = "log"
    remedy = "its largest concentrations were lowered to 1e6"

    def slopes(self, direction: np.ndarray, concentration: np.ndarray) -> Any:
        return concentration * np.cos(direction), concentration * np.sin(direction)

    def base(self, direction: np.ndarray, concentration: np.ndarray) -> np.ndarray:
        return -np.log(2.0 * np.pi * i0e(concentration)) - concentration

    def averages(self, direction: np.ndarray, concentration: np.ndarray) -> Any:
        length = _length(concentration)
        return length * np.cos(direction), length * np.sin(direction)

    def estimate(self, mean_cosine: np.ndarray, mean_sine: np.ndarray) -> Any:
        return np.arctan2(mean_sine, mean_cosine), _concentration(np.hypot(mean_cosine, mean_sine))

    def bounded(self, direction: np.ndarray, concentration: np.ndarray) -> Any:
        return direction, np.clip(concentration, _LEAST, _MOST)

    def proper(self, values: np.ndarray) -> np.ndarray:
        n = self.n_location_values(values)
        turned = values[:, :n] - 2.0 * np.pi * np.round(values[:, :n] / (2.0 * np.pi))
        return np.concatenate([turned, np.clip(values[:, n:], _LEAST, _MOST)], axis=1)

    def location_units(self, direction: np.ndarray, concentration: np.ndarray) -> np.ndarray:
        return 1.0 / np.sqrt(1.0 + concentration)

    def means(self, direction: np.ndarray, concentration: np.ndarray) -> np.ndarray:
        return direction

    def variances(self, direction: np.ndarray, concentration: np.ndarray) -> np.ndarray:
        """Circular variances: one minus the length of the mean direction."""
        return 1.0 - _length(concentration)

    def of_moments(self, means: np.ndarray, variances: np.ndarray) -> Any:
        return means, _concentration(1.0 - variances)

    def values_at(self, centre: np.ndarray) -> np.ndarray:
        return self.joined((centre - 2.0 * np.pi * np.round(centre / (2.0 * np.pi)), np.full_like(centre, 0.5)))

    @staticmethod
    def spread(x: np.ndarray) -> np.ndarray:
        """Points on the circle."""
        return np.concatenate([np.cos(x), np.sin(x)], axis=1)

    def is_outside(self, x: np.ndarray) -> np.ndarray:
        return np.zeros(x.shape, dtype=bool)

    def draw(self, values: Any, n_rows: int, random: np.random.Generator) -> np.ndarray:
        return random.vonmises(values[0], values[1], (n_rows, self.n_features))


def _length(concentration: np.ndarray) -> np.ndarray:
    """Length of the mean of points on the circle."""
    return i1e(concentration) / i0e(concentration)


def _concentration(length: np.ndarray) -> np.ndarray:
    """The concentration of points whose mean has this length: Newton's method from Banerjee's approximation."""
    length = np.clip(length, 0.5 * _LEAST, 1.0 - 0.25 / _MOST)
    concentration = length * (2.0 - np.square(length)) / (1.0 - np.square(length))
    for _ in range(_NEWTON_STEPS):
        found = _length(concentration)
        slope = np.maximum(1.0 - found / concentration - np.square(found), 1e-14)
        step = (found - length) / slope
        concentration = np.clip(concentration - step, 0.5 * concentration, 2.0 * concentration)
    return concentration
