"""Binary columns: independent Bernoulli distributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logit

from fastem.families._marginal import Marginal, table_marginal
from fastem.families.columns.base import Columns
from fastem.families.columns.gradients import ProbabilityTangents

# Nearer to zero or one no probability comes: its complement would be zero to rounding.
_LEAST = 0.5 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False, kw_only=True)
class Bernoulli(ProbabilityTangents, Columns):
    """Zeros and ones, independent across columns: latent classes of binary items. It shows `probabilities_` of ones.

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
    scipy.stats.bernoulli

    References
    ----------
    Bishop (2006), *Pattern Recognition and Machine Learning*, section 9.3.3.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import Bernoulli
    >>> random = np.random.default_rng(0)
    >>> X = random.random((5000, 12)) < np.repeat([[0.1], [0.8]], [2000, 3000], axis=0)
    >>> mixture = Mixture(Bernoulli(prior_weight=1), 2, random_state=0).fit(X)
    >>> np.sort(mixture.weights_).round(1).tolist()
    [0.4, 0.6]
    """

    kind = "0 or 1"
    wanted = "must be between 0 and 1"
    is_discrete = True
    ranges = ((0.0, 1.0),)
    coordinate = "angle"

    def slopes(self, values: np.ndarray) -> np.ndarray:
        return logit(_uncertain(values))

    def base(self, values: np.ndarray) -> np.ndarray:
        # What is certain takes nothing from the density of what is possible.
        return np.where(_is_certain(values), 0.0, np.log1p(-_uncertain(values)))

    def fields(self, values: np.ndarray) -> dict[str, Any]:
        return {"required": np.where(_is_certain(values), values, -1.0)}

    def floored(self, values: np.ndarray) -> np.ndarray:
        return np.clip(values, _LEAST, 1.0 - _LEAST)

    def variances(self, values: np.ndarray) -> np.ndarray:
        return values * (1.0 - values)

    def code_shares(self, params: Any, column: int) -> np.ndarray:
        return np.stack([1.0 - params.values[:, column], params.values[:, column]], axis=1)

    def curve(self, values: np.ndarray, column: int) -> Marginal:
        return table_marginal(np.stack([1.0 - values[:, column], values[:, column]], axis=1))

    def is_outside(self, x: np.ndarray) -> np.ndarray:
        return (x != 0) & (x != 1)

    def draw(self, values: np.ndarray, n_rows: int, random: np.random.Generator) -> np.ndarray:
        return (random.random((n_rows, self.n_features)) < values[0]).astype(np.float64)


def _is_certain(values: np.ndarray) -> np.ndarray:
    return (values == 0.0) | (values == 1.0)


def _uncertain(values: np.ndarray) -> np.ndarray:
    return np.where(_is_certain(values), 0.5, values)
