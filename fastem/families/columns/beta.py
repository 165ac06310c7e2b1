"""Columns between zero and one with beta distributions: shares, rates, scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import betaln, digamma, logit, polygamma

from fastem.families.columns.base import Columns
from fastem.families.columns.blocks import LOG, LOG_COMPLEMENT

# Rows that agree would draw the sum of both parameters to infinity.
_MOST_SUM = 1e6
_LEAST, _MOST = 1e-300, 1.0 - 0.5 * float(np.finfo(np.float64).eps)
_NEWTON_STEPS = 30


@dataclass(frozen=True, eq=False, kw_only=True)
class Beta(Columns):
    """Numbers between zero and one with beta distributions, independent across columns.

    It shows `alphas_` and `betas_`; the mean is alpha / (alpha + beta). Zero and one themselves have no density: where
    they occur, draw them in, as by ``(x * (N - 1) + 0.5) / N`` for N rows (Smithson & Verkuilen 2006).

    Parameters
    ----------
    prior_weight : float, default 0
        Rows of the parameters of the data that each component is given beforehand: a conjugate prior of both.

    Raises
    ------
    ValueError
        For a negative prior_weight.

    See Also
    --------
    scipy.stats.beta

    References
    ----------
    Minka (2000), *Estimating a Dirichlet distribution*.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import Beta
    >>> random = np.random.default_rng(0)
    >>> x = np.concatenate([random.beta(2.0, 20.0, 40_000), random.beta(15.0, 5.0, 60_000)])
    >>> mixture = Mixture(Beta(), 2, random_state=0).fit(x)
    >>> np.sort(mixture.alphas_[:, 0]).round().tolist()
    [2.0, 15.0]
    """

    shown = ("alphas", "betas")
    wanted = "must be positive, with a sum of at most 1e6"
    kind = "between 0 and 1, both of which are excluded"
    terms = (LOG, LOG_COMPLEMENT)
    ranges = ((1e-6, _MOST_SUM),)
    coordinate = "log"
    remedy = "its largest parameters were lowered to a sum of 1e6"
    spread = staticmethod(logit)

    def slopes(self, alpha: np.ndarray, beta: np.ndarray) -> Any:
        return alpha - 1.0, beta - 1.0

    def base(self, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
        return -betaln(alpha, beta)

    def averages(self, alpha: np.ndarray, beta: np.ndarray) -> Any:
        of_sum = digamma(alpha + beta)
        return digamma(alpha) - of_sum, digamma(beta) - of_sum

    def estimate(self, mean_log: np.ndarray, mean_log_complement: np.ndarray) -> Any:
        """Newton's method from geometric means (Johnson, Kotz & Balakrishnan 1995), by a factor of e at most."""
        x, y = np.exp(mean_log), np.exp(mean_log_complement)
        rest = 2.0 * np.maximum(1.0 - x - y, 0.5 / _MOST_SUM)
        alpha, beta = 0.5 + x / rest, 0.5 + y / rest
        for _ in range(_NEWTON_STEPS):
            of_sum, curve = digamma(alpha + beta), polygamma(1, alpha + beta)
            up_a, up_b = mean_log - digamma(alpha) + of_sum, mean_log_complement - digamma(beta) + of_sum
            curve_a, curve_b = polygamma(1, alpha), polygamma(1, beta)
            # The inverse of diag(curve_a, curve_b) - curve, of rank one (Sherman & Morrison).
            shared = curve * (up_a / curve_a + up_b / curve_b) / (1.0 - curve / curve_a - curve / curve_b)
            step_a, step_b = (up_a + shared) / (curve_a * alpha), (up_b + shared) / (curve_b * beta)
            alpha, beta = alpha * np.exp(np.clip(step_a, -1.0, 1.0)), beta * np.exp(np.clip(step_b, -1.0, 1.0))
            alpha, beta = np.clip(alpha, 1e-6, 1e8), np.clip(beta, 1e-6, 1e8)
            if max(np.abs(step_a).max(), np.abs(step_b).max()) < 1e-14:
                break
        return alpha, beta

    def bounded(self, alpha: np.ndarray, beta: np.ndarray) -> Any:
        ratio = np.minimum(_MOST_SUM / (alpha + beta), 1.0)
        return alpha * ratio, beta * ratio

    def means(self, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
        return alpha / (alpha + beta)

    def variances(self, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
        mean = alpha / (alpha + beta)
        return mean * (1.0 - mean) / (alpha + beta + 1.0)

    def of_moments(self, means: np.ndarray, variances: np.ndarray) -> Any:
        total = means * (1.0 - means) / variances - 1.0
        return means * total, (1.0 - means) * total

    def values_at(self, centre: np.ndarray) -> np.ndarray:
        centre = np.clip(centre, 0.05, 0.95)
        return self.joined((2.0 * centre, 2.0 * (1.0 - centre)))

    def is_outside(self, x: np.ndarray) -> np.ndarray:
        return (x < _LEAST) | (x > _MOST)

    def draw(self, values: Any, n_rows: int, random: np.random.Generator) -> np.ndarray:
        return np.clip(random.beta(values[0], values[1], (n_rows, self.n_features)), _LEAST, _MOST)
