"""What is known before the rows: limits, what is fixed, and priors, which are rows that were never seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from fastem._options import Value
from fastem.families.base import FamilyBase

# What no data and no user changes once a family is made.
_CONSTANTS = ("n_components", "n_features", "covariance_type", "reg_covar", "has_gaps")


class _Prior(NamedTuple):
    """As many rows at a mean (D,), and of a covariance in the shape of one component's.

    `log_norm` is that of a Gaussian of this covariance.
    """

    mean: np.ndarray
    mean_rows: float
    covariance: np.ndarray
    rows: float
    log_norm: float


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Known(Value, FamilyBase):
    """What is known of a location and a scatter besides the rows: their form, limits, priors, and what is fixed.

    Parameters
    ----------
    n_components, n_features : int
        Zero until an estimator gives the family its size.
    covariance_type : {"full", "tied", "diag", "spherical"}
    reg_covar : float
        Added to the diagonal of every covariance in each M-step, in squared units of the data.
    variance_floor : (D,) ndarray, optional
        No covariance may give any direction less variance than this, in squared units of the data.
        Without it, no covariance may be singular to rounding.
    data_covariance : ndarray, optional
        Covariance of the data, in the shape of one component's: the unit of steps and of penalties.
    penalty : float
        Strength of the penalty of Chen and Tan: `penalty` / weight rows of the covariance of the data, which are added
        to each covariance; zero for none.
    prior_mean : (D,) ndarray, optional
    prior_mean_rows : float
        Normal prior of the means, as so many rows at `prior_mean`.
    prior_covariance : ndarray, optional
        In the shape of one component's covariance.
    prior_rows : float
        Inverse Wishart prior of the covariances, as so many rows of covariance `prior_covariance`, its mode.
    own_prior_means : (K, D) ndarray, optional
    own_prior_mean_rows : (K,) ndarray
        Normal priors of the means, one of each component, as so many rows at `own_prior_means`.
    own_prior_scatter : ndarray of the covariances' shape, optional
    own_prior_rows : float
        Inverse Wishart priors of the covariances, one of each component, as so many rows of this scatter. There may be
        scatter without rows.
    fixed_means : (K, D) ndarray, optional
    fixed_covariances : ndarray of the covariances' shape, optional
        Parameters that no M-step changes; NaN where they are free.
    has_gaps : bool
        Whether rows may miss values, which are NaN.

    References
    ----------
    Chen & Tan (2009), *Inference for multivariate normal mixtures*, J. Multivariate Analysis 100, 1367-1383;
    Fraley & Raftery (2007), *Bayesian regularization for normal mixture estimation and model-based clustering*,
    J. Classification 24, 155-181.
    """

    n_components: int = field(default=0, repr=False)
    n_features: int = field(default=0, repr=False)
    covariance_type: str = "full"
    reg_covar: float = 0.0
    variance_floor: np.ndarray | None = field(default=None, repr=False)
    data_covariance: np.ndarray | None = field(default=None, repr=False)
    penalty: float | np.ndarray = field(default=0.0, repr=False)
    prior_mean: np.ndarray | None = field(default=None, repr=False)
    prior_mean_rows: float | np.ndarray = field(default=0.0, repr=False)
    prior_covariance: np.ndarray | None = field(default=None, repr=False)
    prior_rows: float | np.ndarray = field(default=0.0, repr=False)
    own_prior_means: np.ndarray | None = field(default=None, repr=False)
    own_prior_mean_rows: float | np.ndarray = field(default=0.0, repr=False)
    own_prior_scatter: np.ndarray | None = field(default=None, repr=False)
    own_prior_rows: float | np.ndarray = field(default=0.0, repr=False)
    fixed_means: np.ndarray | None = field(default=None, repr=False)
    fixed_covariances: np.ndarray | None = field(default=None, repr=False)
    has_gaps: bool = field(default=False, repr=False)

    # What `LocationScatter` makes of them.
    structure: ClassVar[Any]
    zero_stats: ClassVar[Callable[..., Any]]
    scatter_of: ClassVar[Callable[..., np.ndarray]]
    params: ClassVar[Callable[..., Any]]

    def constraints(self) -> dict[str, np.ndarray]:
        """What was learnt from the data, priors and what is fixed, by the name of the field."""
        chosen = {each: getattr(self, each.name) for each in fields(Known) if each.name not in _CONSTANTS}
        return {
            each.name: np.asarray(value)
            for each, value in chosen.items()
            # A number that is zero means nothing, but an array of zeros does: a mean of zero is a mean.
            if value is not None and (each.default is None or np.any(value != 0.0))
        }

    def prior_stats(self, weight: float) -> Any:
        """The rows that priors and penalty stand for, besides data of this total weight; None for none."""
        penalty, others = self._penalty_stats_of_one, self._prior_stats
        if penalty is None:
            return others
        penalty = penalty.divided(weight)
        return penalty if others is None else others + penalty

    @cached_property
    def _penalty_stats_of_one(self) -> Any:
        """The rows that the penalty stands for, besides data of total weight one."""
        return None if self._penalty_of_one is None else self._stats_of_prior(self._penalty_of_one)

    @cached_property
    def _prior_stats(self) -> Any:
        """The rows that priors stand for, whatever the weight of the data."""
        own = self._own_prior_stats()
        if self._shared_prior is None:
            return own
        shared = self._stats_of_prior(self._shared_prior)
        return shared if own is None else own + shared

    def _stats_of_prior(self, prior: _Prior) -> Any:
        zero = self.zero_stats(np.repeat(prior.mean[None, :], self.n_components, axis=0))
        rows = np.full(self.n_components, prior.rows * self._share_of_one())
        n = np.full(self.n_components, prior.mean_rows)
        covariances = np.broadcast_to(prior.covariance, zero.sxx.shape)
        return zero.with_rows(n, scatter_rows=rows - n, sxx=self.scatter_of(covariances, rows))

    @cached_property
    def _has_own_prior(self) -> bool:
        given = self.own_prior_means is not None or self.own_prior_scatter is not None
        return given or bool(np.any(self.own_prior_rows))

    def _own_prior_stats(self) -> Any:
        means, scatter = self.own_prior_means, self.own_prior_scatter
        if means is None and scatter is None:
            return None
        zero = self.zero_stats(np.zeros((self.n_components, self.n_features)) if means is None else means)
        n = zero.n if means is None else self.own_prior_mean_rows
        share = np.full(self.n_components, self._share_of_one())
        sxx = zero.sxx if scatter is None else self.scatter_of(scatter, share)
        return zero.with_rows(n, scatter_rows=self.own_prior_rows * share - n, sxx=sxx)

    def _share_of_one(self) -> float:
        """The part of a covariance's prior that each component has: one that all share has one prior."""
        return 1.0 / (self.n_components if self.structure.is_shared else 1)

    def log_prior(self, params: Any, weight: float) -> float:
        """Logarithm of the priors' densities and of the penalty, up to a constant, in nats.

        Rows of covariance M count by how much less likely they are under a covariance S than under M, at best zero:
        the value does not depend on the unit of the data.
        """
        structure, d = self.structure, self.n_features
        total = self._log_own_prior(params) if self._has_own_prior else 0.0
        for prior in self._priors(weight):
            if prior.rows > 0.0:
                excess = 0.5 * (d - structure.traces(params, structure.as_scatter(prior.covariance, d)))
                total += prior.rows * float((params.log_norm - prior.log_norm + excess).sum())
            if prior.mean_rows > 0.0:
                offset = params.means - prior.mean
                total -= 0.5 * prior.mean_rows * float(structure.squared_distances(params, offset).sum())
        return total

    def _log_own_prior(self, params: Any) -> float:
        total, structure = 0.0, self.structure
        if self.own_prior_scatter is not None:
            # Without rows a scatter still keeps covariances from zero: an inverse gamma density of small shape.
            scatter = structure.as_scatter(self.own_prior_scatter, self.n_features)
            total -= 0.5 * float(np.sum(structure.traces(params, scatter)))
        if np.any(self.own_prior_rows):
            total += float(self.own_prior_rows) * float(params.log_norm.sum())
        if self.own_prior_means is not None:
            distances = structure.squared_distances(params, params.means - self.own_prior_means)
            total -= 0.5 * float((self.own_prior_mean_rows * distances).sum())
        return total

    def _priors(self, weight: float) -> list[_Prior]:
        penalty, prior = self._penalty_of_one, self._shared_prior
        priors = [] if penalty is None else [penalty._replace(rows=penalty.rows / weight)]
        return priors if prior is None else [*priors, prior]

    @cached_property
    def _penalty_of_one(self) -> _Prior | None:
        """The penalty of rows of total weight one."""
        if not np.any(self.penalty) or self.data_covariance is None:
            return None
        return self._prior_of(np.zeros(self.n_features), 0.0, self.data_covariance, float(self.penalty))

    @cached_property
    def _shared_prior(self) -> _Prior | None:
        """The prior that is the same for all components."""
        if self.prior_covariance is None and not np.any(self.prior_mean_rows):
            return None
        mean = np.zeros(self.n_features) if self.prior_mean is None else self.prior_mean
        covariance = self.prior_covariance
        if covariance is None:
            unit = np.broadcast_to(self.structure.unit(self.n_features), self.structure.shape(1, self.n_features))
            covariance = self.structure.one(unit)
        return self._prior_of(mean, float(self.prior_mean_rows), covariance, float(self.prior_rows))

    def _prior_of(self, mean: np.ndarray, mean_rows: float, covariance: np.ndarray, rows: float) -> _Prior:
        log_norm = 0.0
        if rows > 0.0:
            best = self.with_components(1).params(mean[None, :], self.structure.as_single(covariance))
            log_norm = float(best.log_norm[0])
        return _Prior(mean, mean_rows, covariance, rows, log_norm)

    def regularised(self) -> Self:
        """This family with a prior that keeps components from collapsing on a few rows of a small sample.

        As many rows as a covariance has degrees of freedom, whose covariance is that of the data, in equal parts of its
        volume for the components (Fraley & Raftery 2007). A prior that was given stays.
        """
        if self.data_covariance is None or self.prior_covariance is not None or self.own_prior_scatter is not None:
            return self
        share = self.n_components ** (-2.0 / self.n_features)
        return replace(self, prior_covariance=share * self.data_covariance, prior_rows=self.n_features + 2.0)

    def wishart_rows(self, degrees_of_freedom: float) -> float:
        """As how many rows an inverse Wishart prior of `degrees_of_freedom` counts in a covariance (its mode).

        A normal prior of a mean, whose covariance is in proportion, counts as one row more.
        """
        means = 0.0
        if np.any(self.prior_mean_rows):
            means = float(self.n_components) if self.structure.is_shared else 1.0
        return degrees_of_freedom + self.structure.degrees(self.n_features) + means

    def penalised(self, rows_per_weight: float) -> Self:
        """This family with a penalty of 2 a / n for each row, a = 1 / n, on n = weight * `rows_per_weight` rows.

        Chen and Tan subtract a (tr(S V^-1) + log|V|) from the log-likelihood for each covariance V, S being that of the
        data: 2 a rows of covariance S. With a = 1 / n the estimates are consistent, and hardly moved.
        """
        # Divided twice: the square of a weight below 1e-154 is not a number.
        return replace(self, penalty=2.0 / rows_per_weight / rows_per_weight)
