"""A covariance structure: how the covariances of K components are kept, factored, floored, estimated and moved.

A density (`Gaussian`, `StudentT`) has one of the four structures, and says what becomes of squared distances; what
follows from the structure alone is here. Structures hold nothing: they work on the arrays of a record of parameters.
Each is one of `Matrices` or of `variances.Variances`, with the same methods; `Matrices` and `Full` document them.

A *factor* P of a covariance has P' P = inverse covariance: a lower triangular matrix, or an inverse standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from fastem.families.gaussian import gaps, tangents
from fastem.families.gaussian.matrices import (
    floored_whitening,
    log_triangles,
    proper_whitening,
    symmetric,
    triangles_at,
)
from fastem.families.gaussian.moments import CentralMoments, Pivoted
from fastem.families.gaussian.strips import flat_precision
from fastem.passes.flags import block_function


@block_function
def _nothing(family_params, x, scratch):
    """A structure needs nothing of a block before its components."""


class Structure:
    """What the four structures have in common.

    Attributes
    ----------
    name : str
        The `covariance_type`.
    is_shared : bool
        Whether all components have one covariance.
    is_matrix : bool
        Whether features may be correlated.
    fields : tuple of str
        Of the record of parameters, in the order of `shapes`.
    moments : type
        Mix-in of the record of statistics.
    prepare, half_squares, add_moments : callable
        Compiled: what a block needs before any component; ``top - |factor @ (x - mean)|^2 / 2`` of one component;
        moments of all components.
    gap_fields : tuple of str
        Of the record of parameters for rows with missing values, besides `fields`.
    read_gaps, half_squares_with_gaps, add_moments_with_gaps : callable
        Compiled, for such rows (see `fastem.families.gaussian.gaps`): the rows as the other two read them; minus half
        the squared distances of completed rows, and half the logarithms of the determinants of what is missing, under
        one component; moments of one component.
    """

    name: ClassVar[str]
    is_shared: ClassVar[bool] = False
    is_matrix: ClassVar[bool] = False
    fields: ClassVar[tuple[str, ...]]
    moments: ClassVar[type[Pivoted]]
    prepare: ClassVar[Callable[..., Any]] = staticmethod(_nothing)
    half_squares: ClassVar[Callable[..., Any]]
    add_moments: ClassVar[Callable[..., Any]]
    gap_fields: ClassVar[tuple[str, ...]] = ()
    read_gaps: ClassVar[Callable[..., Any]]
    half_squares_with_gaps: ClassVar[Callable[..., Any]]
    add_moments_with_gaps: ClassVar[Callable[..., Any]]

    def n_parameters(self, k: int, d: int) -> int:
        return (1 if self.is_shared else k) * (d * (d + 1) // 2 if self.is_matrix else d)

    def gap_shapes(self, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of `gap_fields`."""
        return ()

    def gap_record(self, factors: np.ndarray) -> dict[str, np.ndarray]:
        """The `gap_fields` of parameters."""
        return {}

    def unit(self, d: int) -> np.ndarray:
        """Unit variances without correlation, in a form that broadcasts to the covariances."""
        return np.eye(d) if self.is_matrix else np.ones(1)

    def one(self, covariances: np.ndarray, k: int = 0) -> np.ndarray:
        return covariances if self.is_shared else covariances[k]

    def as_single(self, covariance: np.ndarray) -> np.ndarray:
        """The covariances of a model of one component."""
        return covariance if self.is_shared else covariance[None]

    def degrees(self, d: int) -> float:
        """Degrees of freedom that the mode of an inverse Wishart density counts besides its own."""
        return d + 1.0 if self.is_matrix else 2.0

    def tangent_components(self, k: int) -> np.ndarray:
        """The components that have a covariance; -1 for one that all of them share."""
        return np.array([-1]) if self.is_shared else np.arange(k)

    def scales(self, d: int) -> np.ndarray:
        """On which scale the estimate of each entry of a covariance is nearly normal."""
        return tangents.matrix_scales(d) if self.is_matrix else np.array("log")

    def squared_distances(self, params: Any, offset: np.ndarray) -> np.ndarray:
        """Mahalanobis' squared distances (K,) of offsets (K, D) from the means."""
        return np.square(self.whitened(params, offset[:, None, :])[:, 0]).sum(axis=1)  # type: ignore[attr-defined]

    def as_scatter(self, covariance: np.ndarray, d: int) -> np.ndarray:
        """The scatter of one row of a covariance, in the form that `add_moments` sums."""
        return covariance

    def scatter_of(self, covariances: np.ndarray, n: np.ndarray, d: int) -> np.ndarray:
        """Scatter of `n` (K,) rows of the components about their means: what `estimate` turns back."""
        return self.as_scatter(covariances * n.reshape(-1, *[1] * (covariances.ndim - 1)), d)

    def estimate(self, moments: CentralMoments, d: int) -> np.ndarray:
        """Sample covariances; an empty component takes that of its prior, or the pooled one."""
        share = moments.share.reshape(-1, *[1] * (moments.scatter.ndim - 1))
        covariances = moments.scatter / share
        if moments.bare.any():
            covariances[moments.bare] = moments.scatter.sum(axis=0) / moments.total
        return covariances


class Matrices(Structure):
    """Covariance matrices: of each component (K, D, D), or a shared one (D, D).

    The factors are lower triangular `whitening` matrices, with whitening @ covariance @ whitening.T = identity.
    """

    is_matrix = True
    gap_fields = ("precision", "flat")
    read_gaps = staticmethod(gaps.read_gaps)

    def gap_shapes(self, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        n = 1 if self.is_shared else k
        return (n, d, d), (n, (d + 1) * (d + 2))

    def gap_record(self, factors: np.ndarray) -> dict[str, np.ndarray]:
        each = self._each(factors)
        precision = np.swapaxes(each, -1, -2) @ each
        return {"precision": precision, "flat": flat_precision(precision)}

    def _each(self, matrices: np.ndarray) -> np.ndarray:
        """The matrices (1 or K, D, D)."""
        return matrices[None] if self.is_shared else matrices

    def proper_factors(self, covariances: np.ndarray) -> np.ndarray:
        """Factors of covariances that a user gave; LinAlgError names the first one that is not positive definite."""
        return proper_whitening(self._each(covariances)).reshape(covariances.shape)

    def floored(self, covariances: np.ndarray, floor: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Covariances of at least the floor (D,), their factors, and which ones were lifted."""
        found, whitening, lifted = floored_whitening(self._each(covariances), floor)
        return found.reshape(covariances.shape), whitening.reshape(covariances.shape), lifted

    def is_negative(self, covariances: np.ndarray) -> np.ndarray:
        sd = np.sqrt(np.abs(np.diagonal(self._each(covariances), axis1=1, axis2=2)))
        scale = np.where(sd > 0.0, sd, 1.0)
        return np.linalg.eigvalsh(covariances / (scale[:, :, None] * scale[:, None, :]))[:, 0] < -1e-9

    def column_variances(self, covariances: np.ndarray, d: int) -> np.ndarray:
        """Variances (D,) of the features under the first component."""
        return np.diagonal(self.one(covariances))

    def mean_matrix(self, params: Any) -> np.ndarray:
        """Mean of the covariance matrices (D, D) of all components."""
        return self._each(params.covariances).mean(axis=0)

    def projected(self, params: Any, axes: np.ndarray) -> np.ndarray:
        """Covariances (K, P, P) of ``axes @ row`` under each component, for axes (P, D)."""
        return np.broadcast_to(axes @ params.covariances @ axes.T, (len(params.means), len(axes), len(axes)))

    def traces(self, params: Any, scatter: np.ndarray) -> np.ndarray:
        """Traces of scatter, of all components or of one for all, times inverse covariances."""
        return np.einsum("...ij,...ij->...", params.whitening @ scatter, params.whitening)

    def whitened(self, params: Any, centred: np.ndarray) -> np.ndarray:
        """Vectors of each component (K, N, D) in its standard deviations."""
        return centred @ np.swapaxes(params.whitening, -1, -2)

    def coloured(self, params: Any, component: int, white: np.ndarray) -> np.ndarray:
        """Vectors (N, D) of unit covariance with the covariance of a component."""
        return white @ np.linalg.cholesky(self.one(params.covariances, component)).T

    def precisions_cholesky(self, params: Any) -> np.ndarray:
        """The factors as scikit-learn keeps them: upper triangular matrices."""
        return np.swapaxes(params.whitening, -1, -2)

    def of_precisions_cholesky(self, factors: np.ndarray) -> np.ndarray:
        """The covariances of such factors."""
        inverse = np.linalg.inv(np.triu(factors))
        return symmetric(np.swapaxes(inverse, -1, -2) @ inverse)

    def to_unconstrained(self, params: Any, scale: np.ndarray) -> np.ndarray:
        """Factors of the covariances (P,), their diagonals by logarithm, in units of the features' scale (D,)."""
        return log_triangles(np.linalg.inv(params.whitening) / scale[:, None])

    def from_unconstrained(self, point: np.ndarray, scale: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The covariances, of the given shape, at any point."""
        factors = triangles_at(point, shape) * scale[:, None]
        return factors @ np.swapaxes(factors, -1, -2)

    def gradient(self, params: Any, stats: Any) -> np.ndarray:
        """Sum over rows of `gradients`, a vector, from their statistics about the means."""
        scatter = params.whitening @ stats.sxx @ np.swapaxes(params.whitening, -1, -2)
        return tangents.scatter_gradient(scatter, stats.n.sum() if self.is_shared else stats.n).ravel()

    def _roots(self, params: Any) -> np.ndarray:
        return params.covariances @ np.swapaxes(params.whitening, -1, -2)

    def unwhitened(self, params: Any, white: np.ndarray) -> np.ndarray:
        """Vectors (M, K, D) in standard deviations of the components as they are."""
        return np.swapaxes(np.swapaxes(white, 0, 1) @ np.swapaxes(self._roots(params), -1, -2), 0, 1)

    def jvp(self, params: Any, scatter_tangent: np.ndarray) -> np.ndarray:
        """What tangents (M, ...) change in the covariances."""
        roots, lead = self._roots(params), params.covariances.shape[:-2]
        matrices = tangents.symmetric_of(scatter_tangent.reshape(len(scatter_tangent), *lead, -1), roots.shape[-1])
        return symmetric(roots @ matrices @ np.swapaxes(roots, -1, -2))

    def factors_at(self, params: Any, scatter_tangent: np.ndarray) -> np.ndarray:
        """Factors after a step along a tangent."""
        return tangents.factors_at(params.whitening, scatter_tangent.reshape(*params.covariances.shape[:-2], -1))
