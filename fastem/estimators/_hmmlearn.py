"""What is hmmlearn's way of saying things: its monitor, its shapes of covariances, its priors."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastem.estimators._validation import read_array
from fastem.families.gaussian.family import Gaussian

# hmmlearn tells by a logger what fastem tells by a warning: both are there, and only one is shown by default.
_LOG = logging.getLogger("fastem")
_LOG.addHandler(logging.NullHandler())

# hmmlearn's defaults of a prior of covariances of which only one setting is given.
_COVARS_PRIOR, _COVARS_WEIGHT = 1e-2, 1.0


@dataclass(frozen=True)
class Monitor:
    """How a fit went, as hmmlearn's `ConvergenceMonitor` tells it.

    Attributes
    ----------
    history : list of float
        Objective of all rows together, in nats, at the start and after each iteration that was kept.
    iter : int
        Iterations that were run.
    converged : bool
        Whether nothing is left to gain. (hmmlearn's is true as well when iterations ran out.)
    tol : float
    n_iter : int
        Largest number of iterations.
    """

    history: list[float]
    iter: int
    converged: bool
    tol: float
    n_iter: int


def monitor_of(hmm: Any) -> Monitor:
    """The monitor of the last fit of a chain; an empty one before."""
    if not hasattr(hmm, "fit_report_"):
        return Monitor([], 0, False, hmm.tol, hmm.n_iter)
    history = [objective * hmm.fit_report_.weight for objective in hmm.lower_bounds_]
    return Monitor(history, hmm.n_iter_, hmm.converged_, hmm.tol, hmm.n_iter)


def tell_overwritten(name: str, letter: str) -> None:
    """Warn that a start that was set by hand is not used, in hmmlearn's words."""
    message = (
        f"Even though the {name!r} attribute is set, it will be overwritten during initialization because "
        f"'init_params' contains {letter!r}. Leave that letter out of init_params to start there."
    )
    _LOG.warning(message)
    warnings.warn(message, UserWarning, stacklevel=4)


def read_covars(given: Any, family: Gaussian) -> np.ndarray:
    """Covariances in the family's shape, from any shape that hmmlearn takes or shows.

    Axes of length one may be left out or added, and matrices (K, D, D) stand for whatever they are the matrices of.

    Raises
    ------
    ValueError
    """
    covars, shape = np.array(given, dtype=np.float64, order="C"), family.covariance_shape()
    n_components, n_features = family.n_components, family.n_features
    if covars.shape != shape and covars.shape == (n_components, n_features, n_features):
        covars = _of_matrices(covars, family.covariance_type)
    elif covars.shape == (n_components, n_features) and family.covariance_type == "spherical":
        covars = _of_equal(covars, "variances that differ between features", "diag")
    elif np.squeeze(covars).shape == np.squeeze(np.empty(shape)).shape:
        covars = covars.reshape(shape)
    return read_array("covars_", covars, shape)


def _of_matrices(matrices: np.ndarray, covariance_type: str) -> np.ndarray:
    """What a covariance type keeps of matrices (K, D, D), which must hold no more than that."""
    if covariance_type == "tied":
        if not np.array_equal(matrices, np.broadcast_to(matrices[0], matrices.shape)):
            raise ValueError("covars_ holds matrices that differ, but covariance_type='tied' has one. Use 'full'.")
        return matrices[0]
    variances = np.diagonal(matrices, axis1=1, axis2=2)
    if np.any(matrices != variances[:, :, None] * np.eye(matrices.shape[1])):
        raise ValueError(
            f"covars_ holds matrices that are not diagonal, but covariance_type={covariance_type!r} has no covariances "
            "of features. Use 'full'."
        )
    if covariance_type == "diag":
        return variances
    return _of_equal(variances, "variances that differ between features", "diag")


def _of_equal(variances: np.ndarray, what: str, remedy: str) -> np.ndarray:
    if np.any(variances != variances[:, :1]):
        raise ValueError(f"covars_ holds {what}, but covariance_type='spherical' has one. Use {remedy!r}.")
    return variances[:, 0]


def with_hmmlearn_priors(hmm: Any, family: Gaussian) -> Gaussian:
    """The family with the priors that `means_prior`, `means_weight`, `covars_prior` and `covars_weight` stand for.

    They are hmmlearn's: an M-step divides `means_weight * means_prior` and the sum of the rows by `means_weight` and
    their number, and adds `covars_prior` to the scatter, and `covars_weight`, less what a flat prior has, to the number
    of rows. What is not learnt needs no prior.

    Raises
    ------
    ValueError
    """
    if "m" in hmm._learnt and np.any(np.asarray(hmm.means_weight) != 0):
        family = replace(
            family,
            own_prior_means=_broadcast("means_prior", hmm.means_prior, (family.n_components, family.n_features)),
            own_prior_mean_rows=_per_state("means_weight", hmm.means_weight, family.n_components),
        )
    if "c" in hmm._learnt and has_covariance_prior(hmm):
        given = hmm.covars_prior if _is_given(hmm.covars_prior) else _COVARS_PRIOR
        weight = _COVARS_WEIGHT if hmm.covars_weight is None else float(hmm.covars_weight)
        flat = float(family.n_features) if family.structure.is_matrix else 1.0
        family = replace(family, own_prior_scatter=_scatter(given, family), own_prior_rows=max(weight - flat, 0.0))
    return family


def has_covariance_prior(hmm: Any) -> bool:
    """Whether a prior of covariances was asked for."""
    return _is_given(hmm.covars_prior) or hmm.covars_weight is not None


def _is_given(covars_prior: Any) -> bool:
    return covars_prior is not None and not isinstance(covars_prior, str)


def _scatter(given: Any, family: Gaussian) -> np.ndarray:
    """`covars_prior` in the shape of the covariances; none of it negative."""
    shape, k, d = family.covariance_shape(), family.n_components, family.n_features
    if family.covariance_type == "spherical":
        per_state = np.asarray(given, dtype=np.float64)
        per_state = per_state[:, None] if per_state.shape == (k,) else per_state
        scatter = _broadcast("covars_prior", per_state, (k, d)).mean(axis=1)
    else:
        scatter = _broadcast("covars_prior", given, shape)
    if not family.structure.is_matrix:
        if np.any(scatter < 0):
            raise ValueError("covars_prior must not be negative: it is added to sums of squares.")
        return scatter
    if not np.allclose(scatter, np.swapaxes(scatter, -1, -2), rtol=1e-8, atol=0):
        raise ValueError("covars_prior must hold symmetric matrices.")
    values = np.linalg.eigvalsh(scatter)
    if np.any(values < -1e-8 * np.abs(values).max()):
        raise ValueError("covars_prior must hold matrices without negative eigenvalues.")
    return scatter


def _per_state(name: str, given: Any, n_components: int) -> np.ndarray:
    values = np.asarray(given, dtype=np.float64)
    values = values[:, 0] if values.shape == (n_components, 1) else values
    rows = _broadcast(name, values, (n_components,))
    if np.any(rows < 0):
        raise ValueError(f"{name} must not be negative: it counts as so many rows.")
    return rows


def _broadcast(name: str, given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Finite numbers of a shape, or of one that NumPy repeats to it."""
    values = np.array(given, dtype=np.float64)
    try:
        values = np.ascontiguousarray(np.broadcast_to(values, shape))
    except ValueError:
        raise ValueError(f"{name} must be a number, or have the shape {shape}, got {values.shape}.") from None
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{name} must hold finite numbers.")
    return values
