"""Normal responses: linear regression."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from fastem.families._value import require_fraction
from fastem.families.gaussian.matrices import LOG_2PI
from fastem.families.regression.family import Regression
from fastem.families.regression.records import NormalResponseParams, RegressionStats

_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Linear(Regression):
    """A normal response whose mean is a straight line in the covariates: ``y = intercept + coef' x + noise``.

    Rows are covariates, then the response in the last column. It shows `coef_` (K, P), `intercept_` (K,) and
    `variances_` (K,), of the noise. `RegressionMixture` takes covariates and response apart.

    Parameters
    ----------
    prior_weight : float, default 0
        Rows that each component is given beforehand, of the mean and variance of the data and without an effect of the
        covariates: a conjugate prior, in the units of the data, that draws coefficients to zero.
    floor : float, default 1e-10
        Least variance of a component, as a fraction of that of the response.

    Raises
    ------
    ValueError
        For a negative prior_weight, or a floor that is no fraction.

    References
    ----------
    DeSarbo & Cron (1988), *A maximum likelihood methodology for clusterwise linear regression*, J. Classification 5,
    249-282.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import Linear
    >>> random = np.random.default_rng(0)
    >>> x, line = random.uniform(0, 10, 2000), random.integers(0, 2, 2000)
    >>> y = np.where(line, 3.0 * x, 20.0 - x) + random.normal(size=2000)
    >>> mixture = Mixture(Linear(), 2, random_state=0).fit(np.column_stack([x, y]))
    >>> np.sort(mixture.coef_[:, 0]).round().tolist()
    [-1.0, 3.0]
    """

    floor: float = 1e-10
    dispersion_floor: float = field(default=_TINY, repr=False)

    record_type = NormalResponseParams
    is_linear = has_dispersion = has_exact_m_step = True
    spread_name: ClassVar[str] = "variances"
    kind_of_response = "finite"
    options: ClassVar[tuple[str, ...]] = ("prior_weight", "floor")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_fraction("floor", self.floor)

    def mean(self, eta: np.ndarray) -> np.ndarray:
        return eta

    def link(self, mean: np.ndarray) -> np.ndarray:
        return mean

    def log_norm(self, dispersion: np.ndarray) -> np.ndarray:
        return -0.5 * (np.log(dispersion) + LOG_2PI)

    def weigh(self, eta: np.ndarray, y: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        residual = y - eta
        return residual, np.ones_like(residual), 0.5 * np.square(residual)

    def dispersion_of(self, mean_loss: np.ndarray) -> np.ndarray:
        return 2.0 * mean_loss

    def mean_loss(self, dispersion: np.ndarray) -> np.ndarray:
        return 0.5 * dispersion

    def bounded(self, dispersion: np.ndarray) -> np.ndarray:
        return np.maximum(dispersion, self.dispersion_floor)

    def floor_of(self, stats: RegressionStats) -> dict[str, float]:
        variance = 2.0 * (stats.loss[0] - 0.5 * np.square(stats.score[0, 0]) / stats.mass[0]) / stats.n[0]
        rounding = np.square(4.0 * np.finfo(np.float64).eps * stats.pivot[0, 0])
        return {"dispersion_floor": float(max(self.floor * variance, rounding, _TINY))}

    def constraints(self) -> dict[str, np.ndarray]:
        learnt = super().constraints()
        return learnt | ({"dispersion_floor": np.asarray(self.dispersion_floor)} if learnt else {})

    def expected_log_prob(self, params: NormalResponseParams, stats: RegressionStats) -> float:
        return self._log_prob_of(params, stats)

    def dispersion_gradient(self, dispersion: np.ndarray, loss: np.ndarray, n: np.ndarray) -> np.ndarray:
        return loss / dispersion - 0.5 * n

    def variance(self, mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
        return np.broadcast_to(dispersion, np.shape(mean))

    def is_outside(self, y: np.ndarray, size: np.ndarray) -> np.ndarray:
        return np.zeros(y.shape, dtype=bool)

    def draw(self, mean: np.ndarray, size: np.ndarray, dispersion: float, random: np.random.Generator) -> np.ndarray:
        return mean + np.sqrt(dispersion) * random.standard_normal(mean.shape)
