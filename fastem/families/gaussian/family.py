"""What Gaussian families of every covariance structure share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from fastem.families._marginal import Marginal, normal_marginal
from fastem.families.gaussian.gradients import GaussianMoves
from fastem.families.gaussian.matrices import MOST_LOG
from fastem.families.gaussian.moments import CentralMoments, PivotedMoments, central_moments
from fastem.families.gaussian.priors import log_density_of_beliefs, stats_of_beliefs
from fastem.passes.pruning import NoReach, Reach, discriminant_axes, reach_of
from fastem.stats import Rescue

_CONSTRAINTS = (
    "variance_floor",
    "data_covariance",
    "penalty",
    "prior_mean",
    "prior_mean_rows",
    "prior_covariance",
    "prior_rows",
    "own_prior_means",
    "own_prior_mean_rows",
    "own_prior_scatter",
    "own_prior_rows",
    "fixed_means",
    "fixed_covariances",
)

# Values that make a variance more than so many times larger are no part of the scale of the data.
STRAYED = 1.5


class _Prior(NamedTuple):
    """As many rows at a mean (D,), and of a covariance in the shape of one component's."""

    mean: np.ndarray
    mean_rows: float
    covariance: np.ndarray
    rows: float


@dataclass(frozen=True, eq=False)
class Gaussian(GaussianMoves):
    """Common part of the Gaussian families.

    Parameters
    ----------
    n_components, n_features : int
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
    own_prior_scatter : ndarray of `covariance_shape()`, optional
    own_prior_rows : float
        Inverse Wishart priors of the covariances, one of each component, as so many rows of this scatter. There may be
        scatter without rows.
    fixed_means : (K, D) ndarray, optional
    fixed_covariances : ndarray of `covariance_shape()`, optional
        Parameters that no M-step changes; NaN where they are free.

    References
    ----------
    Chen & Tan (2009), *Inference for multivariate normal mixtures*, J. Multivariate Analysis 100, 1367-1383;
    Fraley & Raftery (2007), *Bayesian regularization for normal mixture estimation and model-based clustering*,
    J. Classification 24, 155-181.
    """

    n_components: int
    n_features: int
    reg_covar: float = 0.0
    variance_floor: np.ndarray | None = None
    data_covariance: np.ndarray | None = None
    penalty: float | np.ndarray = 0.0
    prior_mean: np.ndarray | None = None
    prior_mean_rows: float | np.ndarray = 0.0
    prior_covariance: np.ndarray | None = None
    prior_rows: float | np.ndarray = 0.0
    own_prior_means: np.ndarray | None = None
    own_prior_mean_rows: float | np.ndarray = 0.0
    own_prior_scatter: np.ndarray | None = None
    own_prior_rows: float | np.ndarray = 0.0
    fixed_means: np.ndarray | None = None
    fixed_covariances: np.ndarray | None = None

    covariance_type: ClassVar[str]
    stats_class: ClassVar[type[PivotedMoments]]

    # What a family says of itself.

    def covariance_shape(self) -> tuple[int, ...]:
        """Shape of the covariances of all components."""
        raise NotImplementedError

    def unit_covariances(self) -> np.ndarray:
        """Unit variances without correlation, in a form that broadcasts to `covariance_shape()`."""
        return np.ones(1)

    def column_variances(self, covariances: np.ndarray) -> np.ndarray:
        """Variances (D,) of the features under the first component."""
        raise NotImplementedError

    def factors_of(self, covariances: np.ndarray) -> np.ndarray:
        """Factors P with P' P = inverse covariance.

        Raises
        ------
        numpy.linalg.LinAlgError
            When a covariance is not positive definite.
        """
        raise NotImplementedError

    def precisions_cholesky(self, params: Any) -> np.ndarray:
        """The factors as scikit-learn keeps them: matrices are upper triangular."""
        raise NotImplementedError

    def n_covariance_parameters(self) -> int:
        """Number of parameters of all covariances."""
        raise NotImplementedError

    def cholesky(self, params: Any) -> np.ndarray:
        """Factors L with L L' = covariance: lower triangular, or standard deviations."""
        raise NotImplementedError

    def of_cholesky(self, factors: np.ndarray) -> np.ndarray:
        """The covariances of such factors."""
        raise NotImplementedError

    def inner(self, params: Any, moments: np.ndarray) -> np.ndarray:
        """Traces of moments, in the family's own shape or in that of one component, times inverse covariances."""
        raise NotImplementedError

    def as_covariances(self, scatter: np.ndarray) -> np.ndarray:
        """Sums of scatter, of which covariances are means, in the form of covariances."""
        return scatter

    def mean_covariance(self, params: Any) -> np.ndarray:
        """Mean of the covariance matrices (D, D) of all components."""
        raise NotImplementedError

    def projected(self, params: Any, axes: np.ndarray) -> np.ndarray:
        """Covariances (K, P, P) of ``axes @ row`` under each component, for axes (P, D)."""
        raise NotImplementedError

    def sample(self, params: Any, component: int, n_rows: int, random: np.random.Generator) -> np.ndarray:
        """Draw rows (n_rows, D) of one component."""
        raise NotImplementedError

    def _params(self, means: np.ndarray, covariances: np.ndarray, factors: np.ndarray) -> Any:
        raise NotImplementedError

    def _floored(self, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Covariances of at least the floor, their factors, and which ones were lifted."""
        raise NotImplementedError

    # What follows from it.

    def constraints(self) -> dict[str, np.ndarray]:
        """What was learnt from the data, priors and what is fixed, by the name of the field."""
        chosen = {name: getattr(self, name) for name in _CONSTRAINTS}
        return {name: np.asarray(value) for name, value in chosen.items() if value is not None and np.any(value != 0.0)}

    def n_parameters(self) -> int:
        """Number of free parameters of all means and covariances."""
        n_covariance, n_means = self.n_covariance_parameters(), self.n_components * self.n_features
        if self.fixed_means is not None:
            n_means = int(np.isnan(self.fixed_means).sum())
        if self.fixed_covariances is not None:
            free = np.isnan(self.fixed_covariances)
            n_covariance = round(n_covariance * free.sum() / free.size)
        return n_means + n_covariance

    def marginal(self, params: Any, column: int) -> Marginal:
        """One column under each component."""
        axis = np.eye(self.n_features)[column : column + 1]
        return normal_marginal(params.means[:, column], np.sqrt(self.projected(params, axis)[:, 0, 0]))

    def reach(self, params: Any, log_share: np.ndarray) -> Reach | NoReach:
        """What lets a pass leave out components that none of its rows can reach (see `fastem.passes.pruning`)."""
        axes = discriminant_axes(params.means, self.mean_covariance(params))
        peak = np.broadcast_to(params.log_norm, log_share.shape)
        return reach_of(params.means, axes, self.projected(params, axes), peak, log_share)

    def zero_stats(self, pivot: np.ndarray) -> PivotedMoments:
        """An empty record about the pivot (K, D)."""
        k, d = self.n_components, self.n_features
        return self.stats_class(np.zeros(k), np.zeros((k, d)), np.zeros(self.covariance_shape()), np.zeros(k), pivot)

    def zero_stats_like(self, params: Any) -> PivotedMoments:
        """An empty record for the statistics of an E-step at these parameters."""
        return self.zero_stats(params.means)

    def scatter_of(self, covariances: np.ndarray, n: np.ndarray) -> np.ndarray:
        """Scatter of `n` (K,) rows of the components about their means: what `covariances_of` turns back."""
        return covariances * n.reshape(-1, *[1] * (covariances.ndim - 1))

    def stats_of(self, params: Any, n: np.ndarray) -> PivotedMoments:
        """Statistics of `n` (K,) rows of the components, of which an M-step makes these parameters."""
        zero = self.zero_stats_like(params)
        return zero._replace(n=n, sxx=self.scatter_of(params.covariances, n))

    def params(self, means: np.ndarray, covariances: np.ndarray) -> Any:
        """Parameters from means (K, D) and covariances of `covariance_shape()`.

        Raises
        ------
        numpy.linalg.LinAlgError
            When a covariance is not positive definite.
        """
        return self._params(means, covariances, self.factors_of(covariances))

    def proper_params(self, means: np.ndarray, covariances: np.ndarray) -> Any:
        """Parameters from those that are known, to the bits that an M-step gave them.

        Raises
        ------
        numpy.linalg.LinAlgError
            When a covariance is not positive definite.
        """
        if self.variance_floor is None:
            return self.params(means, covariances)
        self._require_no_negative(covariances)
        covariances, factors, _ = self._floored(covariances)
        return self._params(means, covariances, factors)

    def _require_no_negative(self, covariances: np.ndarray) -> None:
        """Refuse what a floor would hide: variances that are negative in some direction, by more than rounding."""
        if self.covariance_type not in ("full", "tied"):
            negative = (covariances < 0.0).reshape(self.n_components, -1).any(axis=1)
            if negative.any():
                raise np.linalg.LinAlgError(f"a variance of component {np.argmax(negative)} is not positive")
            return
        for k, covariance in enumerate(covariances.reshape(-1, self.n_features, self.n_features)):
            sd = np.sqrt(np.abs(np.diagonal(covariance)))
            scale = np.where(sd > 0.0, sd, 1.0)
            if np.linalg.eigvalsh(covariance / np.outer(scale, scale))[0] < -1e-9:
                raise np.linalg.LinAlgError(f"the covariance of component {k} is not positive definite")

    def rebuilt(self, params: Any) -> Any:
        """Parameters made anew from the means and covariances of a record alone.

        Raises
        ------
        numpy.linalg.LinAlgError
            When a covariance is not positive definite.
        """
        return self.proper_params(params.means, params.covariances)

    def of_precisions_cholesky(self, factors: np.ndarray) -> np.ndarray:
        """The covariances of factors as scikit-learn keeps them."""
        with np.errstate(divide="ignore"):
            return 1.0 / np.square(factors)

    def first_look(self, centre: np.ndarray) -> Any:
        """Parameters to gather first statistics with: every mean at `centre` (D,), unit variances."""
        means = np.repeat(centre[None, :], self.n_components, axis=0)
        return self.params(means, np.broadcast_to(self.unit_covariances(), self.covariance_shape()).copy())

    def covariances_of(self, moments: CentralMoments) -> np.ndarray:
        """Sample covariances; an empty component takes that of its prior, or the pooled one."""
        share = moments.share.reshape(-1, *[1] * (moments.scatter.ndim - 1))
        covariances = moments.scatter / share
        covariances[moments.bare] = moments.scatter.sum(axis=0) / moments.total
        return covariances

    def m_step(self, stats: PivotedMoments) -> tuple[Any, list[Rescue]]:
        """Weighted means and covariances (Bishop 2006, eq. 9.24-9.25), at least the floor."""
        moments = central_moments(stats, self.fixed_means)
        covariances = self.covariances_of(moments) + self.reg_covar * self.unit_covariances()
        covariances, factors, lifted = self._floored(self._with_fixed(covariances))
        return self._params(moments.means, covariances, factors), _rescues(moments.empty, lifted)

    def with_components(self, n_components: int) -> Self:
        """This family with another number of components."""
        return replace(self, n_components=n_components)

    def constrained(self, constraints: dict[str, Any]) -> Self:
        """This family with what another one of the same kind learnt."""
        return replace(self, **constraints)

    def centre_of(self, stats: PivotedMoments) -> np.ndarray:
        """Mean (D,) of the rows of one-component statistics."""
        return stats.pivot[0] + stats.sx[0] / stats.n[0]

    def _with_fixed(self, covariances: np.ndarray) -> np.ndarray:
        """The covariances, with those that are fixed."""
        if self.fixed_covariances is None:
            return covariances
        return np.where(np.isnan(self.fixed_covariances), covariances, self.fixed_covariances)

    def prior_stats(self, weight: float) -> PivotedMoments | None:
        """The rows that priors and penalty stand for, besides data of this total weight; None for none."""
        found: Any = stats_of_beliefs(self)
        for prior in self._priors(weight):
            zero = self.zero_stats(np.repeat(prior.mean[None, :], self.n_components, axis=0))
            # A covariance that all components share has one prior.
            rows = np.full(self.n_components, prior.rows / (self.n_components if self.is_shared() else 1))
            n = np.full(self.n_components, prior.mean_rows)
            covariances = np.broadcast_to(prior.covariance, self.covariance_shape())
            stats = zero._replace(n=n, dof=rows - n, sxx=self.scatter_of(covariances, rows))
            found = stats if found is None else found + stats
        return found

    def expected_log_prob(self, params: Any, stats: PivotedMoments) -> float:
        """Sum of the log-densities, in nats, that rows of these statistics have under the components they belong to."""
        scatter = self.as_covariances(stats.about(params.means).sxx)
        return float((stats.n * params.log_norm).sum() - 0.5 * self.inner(params, scatter).sum())

    def log_prior(self, params: Any, weight: float) -> float:
        """Logarithm of the priors' densities and of the penalty, up to a constant, in nats.

        Rows of covariance M count by how much less likely they are under a covariance S than under M, at best zero:
        the value does not depend on the unit of the data.
        """
        total = log_density_of_beliefs(self, params)
        for prior in self._priors(weight):
            if prior.rows > 0.0:
                best = replace(self, n_components=1).params(prior.mean[None, :], self.as_single(prior.covariance))
                excess = 0.5 * (self.n_features - self.inner(params, prior.covariance))
                total += prior.rows * float((params.log_norm - best.log_norm[0] + excess).sum())
            if prior.mean_rows > 0.0:
                offset = params.means - prior.mean
                total -= 0.5 * prior.mean_rows * float(self._squared_distances(params, offset).sum())
        return total

    def _priors(self, weight: float) -> list[_Prior]:
        nowhere = np.zeros(self.n_features)
        priors = []
        if np.any(self.penalty) and self.data_covariance is not None:
            priors.append(_Prior(nowhere, 0.0, self.data_covariance, float(self.penalty) / weight))
        if self.prior_covariance is not None or np.any(self.prior_mean_rows):
            mean = nowhere if self.prior_mean is None else self.prior_mean
            one = self._one(np.broadcast_to(self.unit_covariances(), self.covariance_shape()))
            covariance = one if self.prior_covariance is None else self.prior_covariance
            priors.append(_Prior(mean, float(self.prior_mean_rows), covariance, float(self.prior_rows)))
        return priors

    def is_shared(self) -> bool:
        """Whether all components have one covariance."""
        return False

    def _one(self, covariances: np.ndarray) -> np.ndarray:
        """The covariance of the first component."""
        return covariances[0]

    def as_single(self, covariance: np.ndarray) -> np.ndarray:
        """The covariances of a family of one component."""
        return covariance[None]

    def _squared_distances(self, params: Any, offset: np.ndarray) -> np.ndarray:
        """Mahalanobis' squared distances (K,) of offsets (K, D) from the means."""
        raise NotImplementedError

    def _scale(self) -> np.ndarray:
        """Standard deviations (D,) of the features, or ones where they are not known."""
        if self.data_covariance is None:
            return np.ones(self.n_features)
        single = replace(self, n_components=1)
        return np.sqrt(single.column_variances(single.as_single(self.data_covariance)))

    def coordinates(self, params: Any) -> np.ndarray:
        """Means and factors of the covariances, their diagonals by logarithm, in units of the data's spread.

        Any point (P,) is valid.
        """
        scale = self._scale()
        factors = self.cholesky(params)
        return np.concatenate([(params.means / scale).ravel(), self._factor_coordinates(factors, scale)])

    def at_coordinates(self, point: np.ndarray) -> Any:
        """The parameters at any point (P,)."""
        scale, n_means = self._scale(), self.n_components * self.n_features
        means = point[:n_means].reshape(self.n_components, self.n_features) * scale
        if self.fixed_means is not None:
            means = np.where(np.isnan(self.fixed_means), means, self.fixed_means)
        covariances = self.of_cholesky(self._factors_at(point[n_means:], scale))
        covariances, factors, _ = self._floored(self._with_fixed(covariances))
        return self._params(means, covariances, factors)

    def _factor_coordinates(self, factors: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return np.log(factors / scale).ravel()

    def _factors_at(self, point: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return np.exp(np.clip(point, -MOST_LOG, MOST_LOG)).reshape(self.covariance_shape()) * scale

    def may_stray(self) -> np.ndarray:
        """In which columns (D,) single values may lie far from all others: in all."""
        return np.ones(self.n_features, dtype=bool)

    def with_bulk(self, stats: PivotedMoments, bulk: PivotedMoments) -> PivotedMoments:
        """One-component statistics that tell the scale of the data: of all rows, or of their bulk.

        The bulk counts where far values make the variance of a feature another one.
        """
        own, near = (self.column_variances(self.covariances_of(central_moments(each))) for each in (stats, bulk))
        return bulk if np.any((near > 0.0) & ~(own <= STRAYED * near)) else stats

    def scaled_to(self, stats: PivotedMoments, floor_ratio: float) -> Self:
        """This family with the variance floor that suits data of the given one-component statistics.

        The floor is `floor_ratio` times the variance of each feature, but never below the resolution of
        float64 at the feature's mean. A constant feature takes the floor of an average feature.
        """
        moments = central_moments(stats)
        variances = np.maximum(self.column_variances(self.covariances_of(moments)), 0.0)
        resolution = np.square(4.0 * np.finfo(np.float64).eps * np.abs(moments.means[0]))
        varied = variances > resolution
        typical = variances[varied].mean() if varied.any() else 1.0
        floor = np.maximum(floor_ratio * np.where(varied, variances, typical), resolution)
        floored = replace(self, variance_floor=np.maximum(floor, np.finfo(np.float64).tiny))
        covariances, _, _ = floored._floored(self.covariances_of(moments))
        return replace(floored, data_covariance=self._one(covariances))

    def cautious(self) -> Self:
        """This family with a prior that keeps components from collapsing on a few rows of a small sample.

        As many rows as a covariance has degrees of freedom, whose covariance is that of the data, in equal parts of its
        volume for the components (Fraley & Raftery 2007). A prior that was given stays.
        """
        if self.data_covariance is None or self.prior_covariance is not None or self.own_prior_scatter is not None:
            return self
        share = self.n_components ** (-2.0 / self.n_features)
        return replace(self, prior_covariance=share * self.data_covariance, prior_rows=self.n_features + 2.0)

    def wishart_rows(self, dof: float) -> float:
        """As how many rows an inverse Wishart prior of `dof` degrees of freedom counts in a covariance (its mode).

        A normal prior of a mean, whose covariance is in proportion, counts as one row more.
        """
        means = 0.0
        if np.any(self.prior_mean_rows):
            means = float(self.n_components) if self.is_shared() else 1.0
        return dof + self.covariance_degrees() + means

    def covariance_degrees(self) -> float:
        """Degrees of freedom that the mode of an inverse Wishart density counts besides its own."""
        return 2.0

    def penalised(self, rows_per_weight: float) -> Self:
        """This family with a penalty of 2 a / n for each row, a = 1 / n, on n = weight * `rows_per_weight` rows.

        Chen and Tan subtract a (tr(S V^-1) + log|V|) from the log-likelihood for each covariance V, S being that of the
        data: 2 a rows of covariance S. With a = 1 / n the estimates are consistent, and hardly moved.
        """
        # Divided twice: the square of a weight below 1e-154 is not a number.
        return replace(self, penalty=2.0 / rows_per_weight / rows_per_weight)


def _rescues(empty: np.ndarray, lifted: np.ndarray) -> list[Rescue]:
    """Report empty components (K,) and lifted covariances, (K,) or (1,) when all components share one."""
    own = lifted.size == empty.size
    return [
        Rescue(int(k), "empty", "kept its mean and took the pooled covariance of the other components")
        for k in np.flatnonzero(empty)
    ] + [
        Rescue(int(k) if own else -1, "collapsed", "its smallest variances were lifted to the variance floor")
        for k in np.flatnonzero(lifted & ~empty if own else lifted)
    ]
