"""What the four Gaussian families share: pivoted moments, covariance floors, loops over blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from scipy.linalg import lapack

from fastem.reach import NoReach, Reach, discriminant_axes, reach_of
from fastem.stats import Additive, Rescue

LOG_2PI = float(np.log(2.0 * np.pi))
# A component lighter than this fraction of all rows has no mean or covariance of its own.
MIN_OCCUPANCY = 1e-10
# Next to one, an eigenvalue smaller than this is a sum of rounding errors.
ROUNDING_RATIO = 1e-14


class _MomentFields(NamedTuple):
    n: np.ndarray
    sx: np.ndarray
    sxx: np.ndarray
    pivot: np.ndarray


class Pivoted(Additive):
    """Mix-in for statistics whose fields `n`, `sx` and `sxx` are moments about their field `pivot`."""

    __slots__ = ()
    shared = ("pivot",)
    n: Any
    sx: Any
    sxx: Any
    pivot: Any

    @staticmethod
    def spread(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The family's form of the outer product a b' of rows a, b (K, D)."""
        raise NotImplementedError

    def about(self, pivot: np.ndarray) -> Self:
        """The same moments about another pivot (K, D)."""
        shift = self.pivot - pivot
        n_shift = self.n[:, None] * shift
        sxx = self.sxx + self.spread(self.sx, shift) + self.spread(shift, self.sx) + self.spread(n_shift, shift)
        record: Any = self
        return record._replace(sx=self.sx + n_shift, sxx=sxx, pivot=pivot)

    def aligned(self, other: Self) -> Self:
        return self if np.array_equal(self.pivot, other.pivot) else self.about(other.pivot)

    def __add__(self, other: Self) -> Self:  # type: ignore[override]
        if np.array_equal(self.pivot, other.pivot):
            return super().__add__(other)
        heavier = (np.abs(self.n) >= np.abs(other.n))[:, None]
        pivot = np.where(heavier, self.pivot, other.pivot)
        return Additive.__add__(self.about(pivot), other.about(pivot))


class PivotedMoments(Pivoted, _MomentFields):
    """Moments of the rows of each component, about a pivot near them.

    Shapes::

        n      (K,)     sum of resp
        sx     (K, D)   sum of resp * (x - pivot)
        sxx    ...      sum of resp * (x - pivot)(x - pivot)', in the family's own shape
        pivot  (K, D)   the component's mean when the sums were taken

    Raw moments lose all digits of a variance when the mean is 1e8 standard deviations from zero; about
    a pivot near the data nothing cancels. Adding two records moves one to the other's pivot by exact
    algebra: to the pivot of whichever record is heavier, component by component.
    """

    __slots__ = ()


class CentralMoments(NamedTuple):
    """Moments about the weighted means.

    Shapes::

        n        (K,)    sum of resp; 1 for an empty component
        total    ()      sum of resp over all components
        means    (K, D)
        scatter  ...     sum of resp * (x - mean)(x - mean)', in the family's own shape
        empty    (K,)    bool
    """

    n: np.ndarray
    total: float
    means: np.ndarray
    scatter: np.ndarray
    empty: np.ndarray


def central_moments(stats: PivotedMoments) -> CentralMoments:
    """Weighted means and the scatter about them; an empty component stays at its pivot, without scatter."""
    total = stats.n.sum()
    empty = stats.n <= MIN_OCCUPANCY * total
    n = np.where(empty, 1.0, stats.n)
    offset = np.where(empty[:, None], 0.0, stats.sx / n[:, None])
    scatter = stats.sxx - stats.spread(n[:, None] * offset, offset)
    return CentralMoments(n, float(total), stats.pivot + offset, scatter, empty)


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Common part of the Gaussian families.

    Parameters
    ----------
    n_components, n_features : int
    reg_covar : float
        Added to the diagonal of every covariance in each M-step, in squared units of the data.
    variance_floor : (D,) ndarray, optional
        No covariance may give any direction less variance than this, in squared units of the data.
        Without it, no covariance may be singular to rounding.
    """

    n_components: int
    n_features: int
    reg_covar: float = 0.0
    variance_floor: np.ndarray | None = None

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

    def n_parameters(self) -> int:
        """Number of free parameters of all means and covariances."""
        raise NotImplementedError

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
        """What `scaled_to` learnt from the data, by the name of the field."""
        return {} if self.variance_floor is None else {"variance_floor": self.variance_floor}

    def reach(self, params: Any, log_share: np.ndarray) -> Reach | NoReach:
        """What lets a pass leave out components that none of its rows can reach (see `fastem.reach`)."""
        axes = discriminant_axes(params.means, self.mean_covariance(params))
        peak = np.broadcast_to(params.log_norm, log_share.shape)
        return reach_of(params.means, axes, self.projected(params, axes), peak, log_share)

    def zero_stats(self, pivot: np.ndarray) -> PivotedMoments:
        """An empty record about the pivot (K, D)."""
        k, d = self.n_components, self.n_features
        return self.stats_class(np.zeros(k), np.zeros((k, d)), np.zeros(self.covariance_shape()), pivot)

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

    def first_look(self, centre: np.ndarray) -> Any:
        """Parameters to gather first statistics with: every mean at `centre` (D,), unit variances."""
        means = np.repeat(centre[None, :], self.n_components, axis=0)
        return self.params(means, np.broadcast_to(self.unit_covariances(), self.covariance_shape()).copy())

    def covariances_of(self, moments: CentralMoments) -> np.ndarray:
        """Sample covariances; an empty component takes the pooled one."""
        share = moments.n.reshape(-1, *[1] * (moments.scatter.ndim - 1))
        covariances = moments.scatter / share
        covariances[moments.empty] = moments.scatter.sum(axis=0) / moments.total
        return covariances

    def m_step(self, stats: PivotedMoments) -> tuple[Any, list[Rescue]]:
        """Weighted means and covariances (Bishop 2006, eq. 9.24-9.25), at least the floor."""
        moments = central_moments(stats)
        covariances = self.covariances_of(moments) + self.reg_covar * self.unit_covariances()
        covariances, factors, lifted = self._floored(covariances)
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

    def features(self, X: np.ndarray) -> np.ndarray:
        """Rows X (N, D) as points between which distances mean something, for starts."""
        return X

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
        return replace(self, variance_floor=np.maximum(floor, np.finfo(np.float64).tiny))


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


def _least_variances(variances: np.ndarray, floor: np.ndarray | None) -> np.ndarray:
    """The floor (D,); without one, what rounding makes of a zero among variances (K, D)."""
    if floor is not None:
        return floor
    return np.maximum(ROUNDING_RATIO * variances.max(axis=0), np.finfo(np.float64).tiny)


def floored_whitening(covariances: np.ndarray, floor: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariances of at least the floor, and their inverse Cholesky factors.

    Among all covariances S with S - diag(floor) positive semi-definite, the likelihood of a Gaussian
    with sample covariance A is highest where the eigenvalues of A, in units of the floor, are lifted
    to one. So the floor keeps the M-step a maximisation, and the objective never falls.

    Parameters
    ----------
    covariances : (K, D, D) ndarray
        Only the lower triangles are read.
    floor : (D,) ndarray, optional

    Returns
    -------
    covariances : (K, D, D) ndarray
    whitening : (K, D, D) ndarray
        Lower triangular W with W S W' = I.
    lifted : (K,) bool ndarray
    """
    covariances = symmetric(covariances)
    sd = np.sqrt(_least_variances(np.diagonal(covariances, axis1=1, axis2=2), floor))
    unit = np.outer(sd, sd)
    whitening = np.empty_like(covariances)
    lifted = np.zeros(covariances.shape[0], dtype=bool)
    for k, covariance in enumerate(covariances):
        scaled = covariance / unit
        inverse = _inverse_cholesky(scaled)
        # The squared Frobenius norm of the inverse factor is the sum of the inverse eigenvalues.
        if inverse is None or np.vdot(inverse, inverse) > 1.0:
            values, vectors = np.linalg.eigh(scaled)
            lifted[k] = values[0] < 1.0
            # Room for rounding: a matrix whose largest eigenvalue is 1e16 keeps no digit of a unit one.
            values = np.maximum(values, max(1.0, ROUNDING_RATIO * values[-1]))
            covariances[k] = symmetric((vectors * values) @ vectors.T * unit)
            inverse = _inverse_factor(values, vectors)
        whitening[k] = inverse / sd
    return covariances, whitening, lifted


def floored_inverse_sd(variances: np.ndarray, floor: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variances (K, D) of at least the floor (D,), their inverse square roots, and which components were lifted."""
    floor = _least_variances(variances, floor)
    lifted = np.any(variances < floor, axis=1)
    variances = np.maximum(variances, floor)
    return variances, 1.0 / np.sqrt(variances), lifted


def proper_inverse_sd(variances: np.ndarray) -> np.ndarray:
    """Inverse square roots of variances (K, D) that a user gave.

    Raises
    ------
    numpy.linalg.LinAlgError
        Naming the first component with a variance that is not positive.
    """
    improper = ~np.all(variances > 0, axis=1)
    if improper.any():
        raise np.linalg.LinAlgError(f"a variance of component {np.argmax(improper)} is not positive")
    return 1.0 / np.sqrt(variances)


def proper_whitening(covariances: np.ndarray) -> np.ndarray:
    """Inverse Cholesky factors (K, D, D) of covariances that a user gave.

    Raises
    ------
    numpy.linalg.LinAlgError
        Naming the first covariance that is not positive definite.
    """
    whitening = np.empty_like(covariances)
    for k, covariance in enumerate(covariances):
        sd = np.sqrt(np.abs(np.diagonal(covariance)))
        inverse = _inverse_cholesky(covariance / np.outer(sd, sd)) if np.all(sd > 0) else None
        if inverse is None:
            raise np.linalg.LinAlgError(f"the covariance of component {k} is not positive definite")
        whitening[k] = inverse / sd
    return whitening


def _inverse_cholesky(matrix: np.ndarray) -> np.ndarray | None:
    """Lower triangular inverse of the Cholesky factor, or None when the matrix is not positive definite."""
    factor, failure = lapack.dpotrf(matrix, lower=1, clean=1)
    if failure:
        return None
    inverse, failure = lapack.dtrtri(factor, lower=1)
    return None if failure or not np.all(np.isfinite(inverse)) else inverse


def _inverse_factor(values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Inverse Cholesky factor of vectors @ diag(values) @ vectors.T, for positive values.

    By an orthogonal factorisation of the matrix's square root, whose condition is the root of the
    matrix's own: it cannot fail where Cholesky's would.
    """
    upper = np.asarray(np.linalg.qr(np.sqrt(values)[:, None] * vectors.T, mode="r"))
    lower = upper.T * np.sign(np.diagonal(upper))
    return lapack.dtrtri(lower, lower=1)[0]


def symmetric(matrices: np.ndarray) -> np.ndarray:
    """Matrices (..., D, D) with their lower triangles mirrored to the upper."""
    lower = np.tril(matrices)
    return lower + np.swapaxes(np.tril(matrices, -1), -1, -2)


def log_norm(whitening_diagonal: np.ndarray) -> np.ndarray:
    """log of (2 pi)^(-D/2) |covariance|^(-1/2) from the diagonals (..., D) of inverse factors."""
    return np.log(whitening_diagonal).sum(axis=-1) - 0.5 * whitening_diagonal.shape[-1] * LOG_2PI
