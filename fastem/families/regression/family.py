"""Regressions: a response of each row given its covariates, by a straight line, or by a generalised linear model.

One step of iteratively reweighted least squares in each M-step, from the coefficients of the E-step: it is the maximum
for normal responses, and for others it comes to the same fixed points (Lange 1995; McCullagh & Nelder 1989).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from fastem._options import Value
from fastem.families._value import require_not_negative
from fastem.families.regression.records import RegressionStats
from fastem.families.regression.rows import RegressionRows
from fastem.passes.rows import plain
from fastem.stats import Repair

# Directions of covariates with less than this part of the variance of the others determine no coefficient.
_LEAST_SHARE = 1e-10
# A step moves linear predictors by no more than this on average (root mean square): beyond it, no quadratic will do.
_LONGEST_STEP = 1.0
_UNDETERMINED = "kept its coefficients along directions in which its covariates do not vary"


@dataclass(frozen=True, eq=False, kw_only=True)
class Regression(RegressionRows, Value):
    """Common part of the regressions; a response says what its means and its log-density are.

    Rows hold the covariates, then the response, then its size, where there is one. Nothing is said of how covariates
    are distributed: log-densities are those of responses, given the covariates.

    Parameters
    ----------
    n_components, n_features : int
        Zero until an estimator gives the family its size.
    prior_weight : float
        Pseudo-rows that each component is given beforehand, of the regression of all rows without covariates.
    covariate_means, covariate_scales : (P,) ndarray, optional
        Centre and standard deviations of the covariates of the data.
    pooled_values, pooled_dispersion : (1 + P,) ndarray and float, optional
        Of one regression of all rows, about that centre.
    has_gaps : bool
        Whether responses may be missing, which are NaN.
    """

    n_components: int = field(default=0, repr=False)
    n_features: int = field(default=0, repr=False)
    prior_weight: float = 0.0
    covariate_means: np.ndarray | None = field(default=None, repr=False)
    covariate_scales: np.ndarray | None = field(default=None, repr=False)
    pooled_values: np.ndarray | None = field(default=None, repr=False)
    pooled_dispersion: float = field(default=1.0, repr=False)
    has_gaps: bool = field(default=False, repr=False)

    stats_type = RegressionStats

    def __post_init__(self) -> None:
        require_not_negative("prior_weight", self.prior_weight)

    # Parameters.

    def record(self, centre: np.ndarray, values: np.ndarray, dispersion: np.ndarray) -> Any:
        """Parameters about a centre (K, P) of the covariates."""
        means = np.ones((self.n_components, self.n_features))
        means[:, : self.n_covariates] = centre
        with np.errstate(over="ignore"):
            means[:, self.n_covariates] = self.mean(values[:, 0])
        fields = means, values, dispersion, self.log_norm(dispersion)
        counted, place = np.array([self.n_covariates]), np.array([self.n_features - 1 if self.has_size else -1])
        return self.record_type(*map(plain, fields), counted, place)

    def rebuilt(self, params: Any) -> Any:
        if not (np.all(params.dispersion > 0.0) and np.all(np.isfinite(params.values))):
            raise ValueError("coefficients must be finite, and dispersions positive.")
        return self.record(self.centre_of(params), params.values, params.dispersion)

    def params(self, coef: np.ndarray, intercept: np.ndarray, spread: np.ndarray | None = None) -> Any:
        """Parameters from coefficients (K, P), linear predictors (K,) where covariates are zero, and what is shown of
        dispersions (K,)."""
        centre = np.zeros(self.n_covariates) if self.covariate_means is None else self.covariate_means
        values = np.concatenate([(intercept + coef @ centre)[:, None], coef], axis=1)
        dispersion = np.ones(self.n_components) if spread is None else self.shown_dispersion(spread)
        return self.rebuilt(self.record(np.tile(centre, (self.n_components, 1)), values, dispersion))

    def estimates(self, params: Any) -> dict[str, Any]:
        coef = params.values[:, 1:]
        shown = {"coef": coef.copy(), "intercept": params.values[:, 0] - (coef * self.centre_of(params)).sum(axis=1)}
        if self.has_dispersion:
            shown[self.spread_name] = self.shown_dispersion(params.dispersion)
        return shown

    def neutral_params(self, centre: np.ndarray) -> Any:
        k = self.n_components
        size = centre[-1] if self.has_size else 1.0
        values = np.zeros((k, 1 + self.n_covariates))
        values[:, 0] = self.link(centre[self.n_covariates] / (size if size > 0.0 else 1.0))
        return self.record(np.tile(centre[: self.n_covariates], (k, 1)), values, np.ones(k))

    def n_parameters(self) -> int:
        return self.n_components * (1 + self.n_covariates + self.has_dispersion)

    # Statistics, and what an M-step makes of them.

    def zero_stats_like(self, params: Any) -> RegressionStats:
        k, q = params.values.shape
        n, loss, mass = np.zeros((3, k))
        sums = np.zeros((k, q)), mass, np.zeros((k, q - 1)), np.zeros((k, q - 1, q - 1))
        return RegressionStats(n, loss, *sums, np.ascontiguousarray(self.centre_of(params)), params.values)

    def stats_of(self, params: Any, n: np.ndarray) -> RegressionStats:
        eta = params.values[:, 0]
        mean = self.mean(eta)
        weight = self.weigh(eta, mean, np.ones_like(eta))[1]
        return self._at_rest(params, n, n * weight, n * self.mean_loss(params.dispersion))

    def _at_rest(self, params: Any, n: np.ndarray, mass: np.ndarray, loss: np.ndarray) -> RegressionStats:
        """Statistics of rows that pull nowhere; their covariates spread as those of the data do."""
        sxx = mass[:, None, None] * np.diag(np.square(self.covariate_scale()))
        return self.zero_stats_like(params)._replace(n=n, mass=mass, loss=loss, sxx=sxx)

    def m_step(self, stats: RegressionStats, params: Any) -> tuple[Any, list[Repair]]:
        """The coefficients that a step of least squares leads to, and the dispersion."""
        if not stats.mass.any():
            return params, []
        # The step is from the parameters, whatever the pivot of the sums.
        stats = stats.aligned(self.zero_stats_like(params))
        stats, repairs = stats.filled()
        step, undetermined = _least_squares(stats)
        repairs += [Repair(int(k), "undetermined", _UNDETERMINED) for k in np.flatnonzero(undetermined)]
        if self.is_linear:
            stats = stats.about(stats.pivot + step)
            values = stats.pivot
        else:
            values = stats.pivot + _shortened(stats, step)
        dispersion = np.ones(self.n_components)
        if self.has_dispersion:
            # Of responses that are not normal, the loss is known where it was summed: the dispersion follows from that,
            # and the next one from the new coefficients. Either step raises the likelihood (Meng & Rubin 1993).
            best = self.dispersion_of(np.maximum(stats.loss, 0.0) / np.where(stats.n > 0.0, stats.n, 1.0))
            dispersion = self.bounded(best)
            lifted = np.flatnonzero(dispersion > best)
            repairs += [Repair(int(k), "collapsed", "its dispersion was lifted to the least one") for k in lifted]
        return self.record(stats.centre, values, dispersion), repairs

    def _log_prob_of(self, params: Any, stats: RegressionStats) -> float:
        about = stats.centred(np.ascontiguousarray(self.centre_of(params))).about(params.values)
        return float((stats.n * params.log_norm - about.loss / params.dispersion).sum())

    # The scale of the data, and the prior.

    def with_data_scale(self, stats: RegressionStats) -> Self:
        if not stats.mass.any():
            return self
        one = replace(self.with_components(1), prior_weight=0.0)
        mean = stats.sx[0] / stats.mass[0]
        sd = np.sqrt(np.maximum(np.diagonal(stats.sxx[0]) / stats.mass[0] - np.square(mean), 0.0))
        centre = stats.centre[0] + mean
        scales = np.where(sd > 1e-12 * np.abs(centre), sd, 1.0)
        centred = stats.centred(centre[None])
        null = one.from_null(centred)
        pooled = one.m_step(null, one.record(null.centre, null.pivot, np.ones(1)))[0]
        learnt: dict[str, Any] = {
            "covariate_means": centre,
            "covariate_scales": scales,
            "pooled_values": pooled.values[0],
            "pooled_dispersion": float(pooled.dispersion[0]),
            **one.floor_of(centred),
        }
        return replace(self, **learnt)

    def constraints(self) -> dict[str, np.ndarray]:
        learnt = ("covariate_means", "covariate_scales", "pooled_values", "pooled_dispersion")
        return {} if self.pooled_values is None else {name: np.asarray(getattr(self, name)) for name in learnt}

    def with_constraints(self, constraints: dict[str, Any]) -> Self:
        learnt: Any = {name: float(value) if np.ndim(value) == 0 else value for name, value in constraints.items()}
        return replace(self, **learnt)

    def regularised(self) -> Self:
        """This family with a prior of at least one row, so that no component of a small sample is left without rest."""
        return replace(self, prior_weight=max(self.prior_weight, 1.0))

    at_start = regularised

    def prior_stats(self, weight: float) -> RegressionStats | None:
        if self.prior_weight == 0.0 or self.pooled_values is None or self.covariate_means is None:
            return None
        k = self.n_components
        values = np.zeros((k, 1 + self.n_covariates))
        values[:, 0] = self.pooled_values[0]
        centre, dispersion = np.tile(self.covariate_means, (k, 1)), np.full(k, self.pooled_dispersion)
        rows = np.full(k, float(self.prior_weight))
        stats = self.stats_of(self.record(centre, values, dispersion), rows)
        # Only of normal responses pseudo-rows say what the dispersion is.
        return stats if self.is_linear else stats._replace(n=np.zeros(k), loss=np.zeros(k))

    def log_prior(self, params: Any, weight: float) -> float:
        stats = self.prior_stats(weight)
        return 0.0 if stats is None else self._log_prob_of(params, stats)

    # Coordinates, for acceleration.

    def _coordinate_units(self) -> np.ndarray:
        unit = np.sqrt(self.pooled_dispersion) if self.is_linear else 1.0
        return unit / np.concatenate([[1.0], self.covariate_scale()])

    def to_unconstrained(self, params: Any) -> np.ndarray:
        values = params.values.copy()
        # About the centre of the data, whatever centre the parameters have.
        if self.covariate_means is not None:
            values[:, 0] += (values[:, 1:] * (self.covariate_means - self.centre_of(params))).sum(axis=1)
        values /= self._coordinate_units()
        logs = [np.log(params.dispersion)] if self.has_dispersion else []
        return np.concatenate([values.ravel(), *logs])

    def from_unconstrained(self, point: np.ndarray) -> Any:
        k, q = self.n_components, 1 + self.n_covariates
        values = point[: k * q].reshape(k, q) * self._coordinate_units()
        dispersion = np.exp(np.clip(point[k * q :], -600.0, 600.0)) if self.has_dispersion else np.ones(k)
        centre = np.zeros(q - 1) if self.covariate_means is None else self.covariate_means
        return self.record(np.tile(centre, (k, 1)), values, self.bounded(dispersion))

    def roots(self) -> np.ndarray:
        return np.zeros(self.n_parameters(), dtype=bool)


def _least_squares(stats: RegressionStats) -> tuple[np.ndarray, np.ndarray]:
    """Steps (K, 1 + P) that solve the normal equations, the shortest ones; and where coefficients are undetermined."""
    information = stats.information
    scale = np.sqrt(np.diagonal(information, axis1=1, axis2=2))
    scale = np.where(scale > 0.0, scale, 1.0)
    values, vectors = np.linalg.eigh(information / (scale[:, :, None] * scale[:, None, :]))
    known = values > _LEAST_SHARE * values[:, -1:]
    along = np.einsum("kij,ki->kj", vectors, stats.score / scale)
    step = np.einsum("kij,kj->ki", vectors, np.where(known, along / np.where(known, values, 1.0), 0.0))
    return step / scale, np.any(~known, axis=1)


def _shortened(stats: RegressionStats, step: np.ndarray) -> np.ndarray:
    """Steps that move linear predictors by no more than `_LONGEST_STEP`, in the mean over rows as they weigh."""
    moved = np.einsum("ki,kij,kj->k", step, stats.information, step) / np.where(stats.mass > 0.0, stats.mass, 1.0)
    return step / np.maximum(np.sqrt(np.maximum(moved, 0.0)) / _LONGEST_STEP, 1.0)[:, None]
