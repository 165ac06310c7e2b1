"""What a response says of itself, and what follows for the columns of rows."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from fastem.families.base import FamilyBase
from fastem.families.regression.blocks import MOST_ETA
from fastem.families.regression.records import RegressionStats


class Response(FamilyBase):
    """The distribution of a response given its linear predictor eta, up to a dispersion; a mix-in for `Regression`.

    Attributes
    ----------
    record_type : type
        The record of parameters, for which its blocks are compiled.
    is_linear : bool
        Whether eta is the mean, and an M-step the maximum.
    has_dispersion : bool
        Whether the dispersion is a parameter, which is shown by `spread_name`.
    is_discrete : bool
    size, kind_of_response : str
        What the last column is, if it is no response; and what the response must be, in words.
    """

    record_type: ClassVar[Any]
    is_linear: ClassVar[bool] = False
    has_exact_m_step = False
    has_dispersion: ClassVar[bool] = False
    spread_name: ClassVar[str] = ""
    is_discrete: ClassVar[bool] = False
    size: ClassVar[str] = ""
    kind_of_response: str

    # Fields of `Regression`.
    covariate_means: np.ndarray | None
    covariate_scales: np.ndarray | None
    pooled_values: np.ndarray | None

    @property
    def has_size(self) -> bool:
        """Whether the last column is no covariate, but the size of the response."""
        return False

    def mean(self, eta: np.ndarray) -> np.ndarray:
        """The mean of a response of size one."""
        raise NotImplementedError

    def link(self, mean: np.ndarray) -> np.ndarray:
        """The linear predictor of a mean, of any number."""
        raise NotImplementedError

    def log_norm(self, dispersion: np.ndarray) -> np.ndarray:
        """What log-densities have of the component alone."""
        return np.zeros_like(dispersion)

    def weigh(self, eta: np.ndarray, y: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of responses: minus the derivative of the loss by eta, its second derivative, and the loss."""
        raise NotImplementedError

    def dispersion_of(self, mean_loss: np.ndarray) -> np.ndarray:
        """The dispersion of highest likelihood."""
        return np.ones_like(mean_loss)

    def bounded(self, dispersion: np.ndarray) -> np.ndarray:
        """Dispersions within limits."""
        return dispersion

    def variance(self, mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
        """Of a response of size one."""
        raise NotImplementedError

    def is_outside(self, y: np.ndarray, size: np.ndarray) -> np.ndarray:
        """Which responses there cannot be."""
        raise NotImplementedError

    def draw(self, mean: np.ndarray, size: np.ndarray, dispersion: float, random: np.random.Generator) -> np.ndarray:
        """Responses of these means of size one."""
        raise NotImplementedError

    def shown_dispersion(self, dispersion: np.ndarray) -> np.ndarray:
        """The dispersion as it is shown; its own inverse."""
        return dispersion

    def dispersion_gradient(self, dispersion: np.ndarray, loss: np.ndarray, n: np.ndarray) -> np.ndarray:
        """Derivatives by the logarithm of the dispersion, of `n` rows with these losses."""
        raise NotImplementedError

    def mean_loss(self, dispersion: np.ndarray) -> np.ndarray:
        """Of rows, of which `dispersion_of` makes this dispersion."""
        return np.zeros_like(dispersion)

    def from_null(self, stats: RegressionStats) -> RegressionStats:
        """One-component statistics at a mean that is the same for all rows, moved to the mean of all rows."""
        return stats

    def floor_of(self, stats: RegressionStats) -> dict[str, float]:
        """What else is learnt of the scale of the data, by name."""
        return {}

    def record(self, centre: np.ndarray, values: np.ndarray, dispersion: np.ndarray) -> Any:
        """Parameters of coefficients (K, 1 + P) about a centre (K, P) of the covariates, and of dispersions (K,)."""
        raise NotImplementedError

    # What follows from it.

    @property
    def n_covariates(self) -> int:
        """P."""
        return self.n_features - 1 - self.has_size

    @cached_property
    def shown(self) -> tuple[str, ...]:
        """Names of the fitted attributes."""
        return ("coef", "intercept", *((self.spread_name,) if self.has_dispersion else ()))

    def covariate_scale(self) -> np.ndarray:
        return np.ones(self.n_covariates) if self.covariate_scales is None else self.covariate_scales

    def centre_of(self, params: Any) -> np.ndarray:
        return params.means[:, : self.n_covariates]

    def parts_of(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Covariates (N, P), responses (N,) and sizes (N,) of rows."""
        p = self.n_covariates
        return X[:, :p], X[:, p], X[:, -1] if self.has_size else np.ones(len(X))

    def predictors(self, params: Any, covariates: np.ndarray) -> np.ndarray:
        """Linear predictors (N, K) of rows of covariates (N, P)."""
        centre, coef = self.centre_of(params), params.values[:, 1:]
        at_first = params.values[:, 0] + ((centre[0] - centre) * coef).sum(axis=1)
        return at_first + (covariates - centre[0]) @ coef.T

    def pulls(self, params: Any, X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pulls and losses (N, K) of rows, and (1, x - centre) (N, K, 1 + P)."""
        covariates, y, size = self.parts_of(X)
        pull, _, loss = self.weigh(self.predictors(params, covariates), y[:, None], size[:, None])
        x = np.concatenate([np.ones((*pull.shape, 1)), covariates[:, None] - self.centre_of(params)], axis=2)
        return pull, loss, x


def mean_of_log(eta: np.ndarray) -> np.ndarray:
    """exp(eta), within what a mean may be."""
    return np.exp(np.clip(eta, -MOST_ETA, MOST_ETA))
