"""What a user knows before seeing the data: priors, and parameters that are fixed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fastem.estimators._validation import read_array, symmetric
from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.moments import central_moments
from fastem.given import plain_array
from fastem.latents.mixture import Mixture


def mixture_of(estimator: Any, n_components: int, weights: np.ndarray | None) -> Mixture:
    """The latent structure of a mixture estimator, with its prior, and with `weights` where they are fixed.

    Raises
    ------
    ValueError
    """
    concentration = estimator.weight_concentration_prior
    fixed = None
    if isinstance(estimator.fix_weights, str):
        fixed = np.full(n_components, 1.0 / n_components)
    else:
        mask = read_mask("fix_weights", estimator.fix_weights, n_components)
        if mask.any():
            fixed = np.where(mask, _require("fix_weights", "weights_init", weights), np.nan)
    return Mixture(n_components, 1.0 if concentration is None else float(concentration), fixed)


def with_priors(estimator: Any, family: Gaussian, stats: Any, n_rows: int) -> Gaussian:
    """A Gaussian family, scaled to data, with the priors of the estimator.

    Parameters
    ----------
    estimator : GaussianMixture
    family : Gaussian
        Already scaled to the data.
    stats : PivotedMoments
        Of one component that takes all rows.
    n_rows : int
        Rows of positive weight.

    Raises
    ------
    ValueError
    """
    d = family.n_features
    has_covariance = estimator.covariance_prior is not None or estimator.degrees_of_freedom_prior is not None
    if estimator.mean_prior is not None or estimator.mean_precision_prior is not None:
        mean = central_moments(stats).means[0]
        if estimator.mean_prior is not None:
            mean = read_array("mean_prior", estimator.mean_prior, (d,))
        precision = estimator.mean_precision_prior
        family = replace(family, prior_mean=mean, prior_mean_rows=1.0 if precision is None else float(precision))
    if has_covariance:
        dof = float(d) if estimator.degrees_of_freedom_prior is None else float(estimator.degrees_of_freedom_prior)
        if dof <= d - 1.0:
            raise ValueError(
                f"degrees_of_freedom_prior={dof:g} must be more than the number of features less one, {d - 1}."
            )
        scale = np.asarray(family.data_covariance)
        if estimator.covariance_prior is not None:
            scale = read_array("covariance_prior", estimator.covariance_prior, scale.shape)
            scale = symmetric("covariance_prior", scale) if scale.ndim == 2 else scale
            _require_positive(family, scale)
        rows = family.wishart_rows(dof)
        return replace(family, prior_covariance=scale / rows, prior_rows=rows)
    return with_penalty(family, stats, n_rows) if estimator.regularization == "vanishing" else family


def with_penalty(family: Gaussian, stats: Any, n_rows: int) -> Gaussian:
    """The family with the vanishing penalty for `n_rows` rows, of the given one-component statistics."""
    weight = float(stats.n.sum())
    # Weights may be of any scale: when they sum to less than the number of rows, the rows count.
    return family.penalised(max(weight, float(n_rows)) / weight)


def with_fixed(estimator: Any, family: Gaussian, means: np.ndarray | None, covariances: np.ndarray | None) -> Gaussian:
    """The family with the means (K, D) and covariances that the estimator fixes.

    Raises
    ------
    ValueError
    """
    mask = read_mask("fix_means", estimator.fix_means, family.n_components)
    if mask.any():
        given = _require("fix_means", "means_init", means)
        family = replace(family, fixed_means=np.where(mask[:, None], given, np.nan))
    mask = read_mask("fix_covariances", estimator.fix_covariances, family.n_components)
    if mask.any():
        given = _require("fix_covariances", "precisions_init", covariances)
        if family.covariance_type == "tied" and not mask.all():
            raise ValueError("fix_covariances must be True or False for covariance_type='tied': there is only one.")
        if family.covariance_type != "tied":
            mask = mask.reshape(-1, *[1] * (given.ndim - 1))
            given = np.where(mask, given, np.nan)
        family = replace(family, fixed_covariances=given)
    return family


def read_mask(name: str, given: Any, n_components: int) -> np.ndarray:
    """Which components (K,) are meant by True, False, or a sequence of these.

    Raises
    ------
    ValueError
    """
    mask = plain_array(given, name)
    if mask.dtype.kind != "b" or mask.shape not in ((), (n_components,)):
        raise ValueError(f"{name} must be True, False, or one of these for each of {n_components} components.")
    return np.broadcast_to(mask, (n_components,))


def _require(name: str, init: str, values: np.ndarray | None) -> np.ndarray:
    if values is None:
        raise ValueError(f"{name} fixes parameters at their first values, but none are given. Give {init}.")
    return values


def _require_positive(family: Gaussian, scale: np.ndarray) -> None:
    try:
        single = replace(family, n_components=1)
        single.params(np.zeros((1, family.n_features)), single.as_single(scale))
    except np.linalg.LinAlgError:
        raise ValueError("covariance_prior must be positive definite.") from None
