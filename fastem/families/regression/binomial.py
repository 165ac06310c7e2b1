"""Successes of trials: logistic regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit, logit

from fastem.families._value import require_flag
from fastem.families.regression.family import Regression
from fastem.families.regression.records import BinomialResponseParams, RegressionStats


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class BinomialRegression(Regression):
    """Successes, each of which has the probability ``1 / (1 + exp(-intercept - coef' x))``: logistic regression.

    Rows are covariates, then the number of successes, 0 or 1, or of so many as the last column says if ``trials=True``.
    It shows `coef_` (K, P) and `intercept_` (K,).

    Parameters
    ----------
    trials : bool, default False
        Whether the last column is the number of trials of each row; otherwise there is one. A mixture of several
        components is only determined where rows have several trials, or belong together, as in a chain.
    prior_weight : float, default 0
        Rows of one trial that each component is given beforehand, of the mean of the data and without an effect of the
        covariates. It keeps coefficients finite where covariates separate successes from failures.

    Raises
    ------
    ValueError
        For a negative prior_weight, or trials that are no truth value.

    References
    ----------
    Follmann & Lambert (1989), *Generalizing logistic regression by nonparametric mixing*, JASA 84, 295-300.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import BinomialRegression
    >>> random = np.random.default_rng(0)
    >>> x, kind, trials = random.normal(size=4000), random.integers(0, 2, 4000), np.full(4000, 20)
    >>> successes = random.binomial(trials, 1 / (1 + np.exp(np.where(kind, 2 * x, 1 - x))))
    >>> rows = np.column_stack([x, successes, trials])
    >>> mixture = Mixture(BinomialRegression(trials=True), 2, random_state=0).fit(rows)
    >>> np.sort(mixture.coef_[:, 0]).round().tolist()
    [-2.0, 1.0]
    """

    trials: bool = False

    record_type = BinomialResponseParams
    is_discrete = True
    size = "number of trials"
    options: ClassVar[tuple[str, ...]] = ("trials", "prior_weight")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_flag("trials", self.trials)

    @property
    def has_size(self) -> bool:
        return bool(self.trials)

    @property
    def kind_of_response(self) -> str:  # type: ignore[override]
        return "an integer from 0 to the number of trials" if self.trials else "0 or 1"

    def mean(self, eta: np.ndarray) -> np.ndarray:
        return expit(eta)

    def link(self, mean: np.ndarray) -> np.ndarray:
        return logit(np.clip(mean, 0.1, 0.9))

    def weigh(self, eta: np.ndarray, y: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean = expit(eta)
        return y - size * mean, size * mean * expit(-eta), np.zeros_like(mean)

    def from_null(self, stats: RegressionStats) -> RegressionStats:
        before = expit(stats.pivot[0, 0])
        trials = stats.information[:, 0] / (before * (1.0 - before))
        share = (stats.score[0, 0] + before * trials[0, 0]) / trials[0, 0]
        least = 0.5 / max(trials[0, 0], 1.0)
        share = min(max(share, least), 1.0 - least)
        ratio = share * (1.0 - share) / (before * (1.0 - before))
        pivot = stats.pivot.copy()
        pivot[:, 0] = logit(share)
        return stats._replace(
            score=stats.score + (before - share) * trials,
            mass=ratio * stats.mass,
            sx=ratio * stats.sx,
            sxx=ratio * stats.sxx,
            pivot=pivot,
        )

    def variance(self, mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
        return mean * (1.0 - mean)

    def is_outside(self, y: np.ndarray, size: np.ndarray) -> np.ndarray:
        return (y < 0) | (y > size) | (np.floor(y) != y)

    def outside(self, X: np.ndarray) -> np.ndarray:
        wrong = super().outside(X)
        if self.trials:
            wrong[:, -1] |= np.floor(X[:, -1]) != X[:, -1]
        return wrong

    def draw(self, mean: np.ndarray, size: np.ndarray, dispersion: float, random: np.random.Generator) -> np.ndarray:
        return random.binomial(size.astype(np.int64), mean).astype(np.float64)
