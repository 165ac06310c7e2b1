"""What a user knows before seeing the data: priors, and parameters that are fixed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fastem.estimators._validation import read_array, symmetric
from fastem.estimators.options import Fixed, NormalInverseWishart
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
    concentration = estimator._option("prior").weight_concentration
    held, fixed = estimator._option("fixed").weights, None
    if isinstance(held, str):
        fixed = np.full(n_components, 1.0 / n_components)
    else:
        mask = read_mask("weights", held, n_components)
        if mask.any():
            fixed = np.where(mask, _require("weights", "weights_init", weights), np.nan)
    return Mixture(n_components, 1.0 if concentration is None else float(concentration), fixed)


def with_priors(prior: NormalInverseWishart, family: Gaussian, stats: Any, n_rows: int) -> Gaussian:
    """A Gaussian family, scaled to data, with a prior.

    Parameters
    ----------
    prior : NormalInverseWishart
    family : Gaussian
        Already scaled to the data.
    stats : Pivoted
        Of one component that takes all rows.
    n_rows : int
        Rows of positive weight.

    Raises
    ------
    ValueError
    """
    d = family.n_features
    if prior.mean is not None or prior.mean_precision is not None:
        mean = central_moments(stats).means[0]
        if prior.mean is not None:
            mean = read_array("mean of the prior", prior.mean, (d,))
        precision = prior.mean_precision
        family = replace(family, prior_mean=mean, prior_mean_rows=1.0 if precision is None else float(precision))
    is_scale = prior.covariance is not None and not isinstance(prior.covariance, str)
    if is_scale or prior.degrees_of_freedom is not None:
        return _with_wishart(prior, family, is_scale)
    return family if prior.covariance is None else with_penalty(family, stats, n_rows)


def _with_wishart(prior: NormalInverseWishart, family: Gaussian, is_scale: bool) -> Gaussian:
    """The family with an inverse Wishart prior, of the scale that is given, or of the data's covariance."""
    d = family.n_features
    dof = float(d) if prior.degrees_of_freedom is None else float(prior.degrees_of_freedom)
    if dof <= d - 1.0:
        raise ValueError(
            f"degrees_of_freedom={dof:g} of the prior must be more than the number of features less one, {d - 1}."
        )
    scale = np.asarray(family.data_covariance)
    if is_scale:
        scale = read_array("covariance of the prior", prior.covariance, scale.shape)
        scale = symmetric("covariance of the prior", scale) if scale.ndim == 2 else scale
        _require_positive(family, scale)
    rows = family.wishart_rows(dof)
    return replace(family, prior_covariance=scale / rows, prior_rows=rows)


def with_penalty(family: Gaussian, stats: Any, n_rows: int) -> Gaussian:
    """The family with the vanishing penalty for `n_rows` rows, of the given one-component statistics."""
    weight = float(stats.n.sum())
    # Weights may be of any scale: when they sum to less than the number of rows, the rows count.
    return family.penalised(max(weight, float(n_rows)) / weight)


def with_fixed(fixed: Fixed, family: Gaussian, means: np.ndarray | None, covariances: np.ndarray | None) -> Gaussian:
    """The family with the means (K, D) and covariances that are fixed.

    Raises
    ------
    ValueError
    """
    mask = read_mask("means", fixed.means, family.n_components)
    if mask.any():
        given = _require("means", "means_init", means)
        family = replace(family, fixed_means=np.where(mask[:, None], given, np.nan))
    mask = read_mask("covariances", fixed.covariances, family.n_components)
    if mask.any():
        given = _require("covariances", "precisions_init", covariances)
        if family.structure.is_shared and not mask.all():
            raise ValueError(
                "fixed=Fixed(covariances=...) must be True or False for covariance_type='tied': there is only one."
            )
        if not family.structure.is_shared:
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
        raise ValueError(
            f"fixed=Fixed({name}=...) must be True, False, or one of these for each of {n_components} components."
        )
    return np.broadcast_to(mask, (n_components,))


def _require(name: str, init: str, values: np.ndarray | None) -> np.ndarray:
    if values is None:
        raise ValueError(f"fixed=Fixed({name}=...) holds first values, but none are given. Give {init}.")
    return values


def _require_positive(family: Gaussian, scale: np.ndarray) -> None:
    try:
        single = replace(family, n_components=1)
        single.params(np.zeros((1, family.n_features)), family.structure.as_single(scale))
    except np.linalg.LinAlgError:
        raise ValueError("covariance of the prior must be positive definite.") from None
