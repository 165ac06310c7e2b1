"""What is known before the data are seen, as fields of a family: priors, and parameters that are fixed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.moments import central_moments
from fastem.fitting.parameters import broadcast, read_array, read_mask, symmetric
from fastem.given import floats
from fastem.latents.mixture import MixtureLatent

# Those of hmmlearn where one of the two settings of a prior of covariances is given.
_COVARS_PRIOR, _COVARS_WEIGHT = 1e-2, 1.0


def mixture_of(prior: Any, fixed: Any, n_components: int, weights: np.ndarray | None) -> MixtureLatent:
    """The latent structure of a mixture with a prior, and with `weights` where they are fixed."""
    held = None
    if isinstance(fixed.weights, str):
        held = np.full(n_components, 1.0 / n_components)
    else:
        mask = read_mask("weights", fixed.weights, n_components)
        if mask.any():
            held = np.where(mask, _require("weights", "weights_init", weights), np.nan)
    concentration = prior.weight_concentration
    return MixtureLatent(n_components, 1.0 if concentration is None else float(concentration), held)


def with_fixed(fixed: Any, family: Gaussian, means: np.ndarray | None, covariances: np.ndarray | None) -> Gaussian:
    """The family with the means (K, D) and covariances that are fixed."""
    mask = read_mask("means", fixed.means, family.n_components)
    if mask.any():
        given = _require("means", "means_init", means)
        family = replace(family, fixed_means=np.where(mask[:, None], given, np.nan))
    mask = read_mask("covariances", fixed.covariances, family.n_components)
    if mask.any():
        given = _require("covariances", "precisions_init", covariances)
        if not family.structure.is_shared:
            given = np.where(mask.reshape(-1, *[1] * (given.ndim - 1)), given, np.nan)
        elif not mask.all():
            raise ValueError(
                "fixed=Fixed(covariances=...) must be True or False for covariance_type='tied': there is only one."
            )
        family = replace(family, fixed_covariances=given)
    return family


def _require(name: str, init: str, values: np.ndarray | None) -> np.ndarray:
    if values is None:
        raise ValueError(f"fixed=Fixed({name}=...) holds first values, but none are given. Give {init}.")
    return values


# Priors of Gaussian mixtures.


def with_priors(prior: Any, family: Gaussian, stats: Any, n_rows: int) -> Gaussian:
    """A family, scaled to data, with the prior that a `NormalInverseWishart` describes.

    `stats` are those of one component that takes all rows, of which `n_rows` have a positive weight.
    """
    if prior.mean is not None or prior.mean_precision is not None:
        mean = central_moments(stats).means[0]
        if prior.mean is not None:
            mean = read_array("mean of the prior", prior.mean, mean.shape)
        precision = prior.mean_precision
        family = replace(family, prior_mean=mean, prior_mean_rows=1.0 if precision is None else float(precision))
    is_scale = prior.covariance is not None and not isinstance(prior.covariance, str)
    if is_scale or prior.degrees_of_freedom is not None:
        return _with_wishart(prior, family, is_scale)
    return family if prior.covariance is None else with_penalty(family, stats, n_rows)


def _with_wishart(prior: Any, family: Gaussian, is_scale: bool) -> Gaussian:
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
        try:
            replace(family, n_components=1).params(np.zeros((1, d)), family.structure.as_single(scale))
        except np.linalg.LinAlgError:
            raise ValueError("covariance of the prior must be positive definite.") from None
    rows = family.wishart_rows(dof)
    return replace(family, prior_covariance=scale / rows, prior_rows=rows)


def with_penalty(family: Gaussian, stats: Any, n_rows: int) -> Gaussian:
    """The family with the vanishing penalty for `n_rows` rows, of the given one-component statistics."""
    weight = float(stats.n.sum())
    # Weights may be of any scale: when they sum to less than the number of rows, the rows count.
    return family.penalised(max(weight, float(n_rows)) / weight)


# hmmlearn's priors. An M-step divides `weight * mean` and the sum of the rows by `weight` and their number; it adds a
# prior of covariances to the scatter, and its weight, less what a flat prior has, to the number of rows.


def with_mean_prior(family: Gaussian, means: Any, weights: Any, counts: tuple[int, ...]) -> Gaussian:
    """The family with `means_prior` and `means_weight`, whose components have the shape `counts`."""
    weights = floats(weights, "means_weight")
    weights = weights[..., 0] if weights.shape == (*counts, 1) else weights
    rows = broadcast("means_weight", weights, counts)
    if np.any(rows < 0):
        raise ValueError("means_weight must not be negative: it is a number of rows.")
    means = broadcast("means_prior", means, (*counts, family.n_features)).reshape(-1, family.n_features)
    return replace(family, own_prior_means=means, own_prior_mean_rows=rows.ravel())


def covariance_prior(family: Gaussian, prior: Any, weight: float | None) -> tuple[np.ndarray, float]:
    """The scatter that `covars_prior` of a `GaussianHMM` adds, in the shape of its covariances, and its rows."""
    k, d = family.n_components, family.n_features
    given = _COVARS_PRIOR if prior is None else prior
    if family.covariance_type == "spherical":
        per_state = floats(given, "covars_prior")
        per_state = per_state[:, None] if per_state.shape == (k,) else per_state
        scatter = broadcast("covars_prior", per_state, (k, d)).mean(axis=1)
    else:
        scatter = broadcast("covars_prior", given, family.covariance_shape())
    flat = float(d) if family.structure.is_matrix else 1.0
    rows = max((_COVARS_WEIGHT if weight is None else float(weight)) - flat, 0.0)
    return _proper_scatter("covars_prior", scatter, family.structure.is_matrix), rows


def mixed_covariance_prior(
    kind: str, shape: tuple[int, ...], n_mix: int, d: int, prior: Any, weight: Any
) -> tuple[np.ndarray, float]:
    """The scatter that `covars_prior` and `covars_weight` of a `GMMHMM` add for each component, and of how many rows.

    For matrices the first is a scale and the second a count, as of an inverse Wishart distribution; otherwise it is
    the other way round, as of an inverse gamma distribution.
    """
    is_matrix = kind in ("full", "tied")
    of_scale, of_count = ("covars_prior", "covars_weight") if is_matrix else ("covars_weight", "covars_prior")
    scale, count = (prior, weight) if is_matrix else (weight, prior)
    # hmmlearn adds some rows besides the count, which a flat prior takes back; some divide all of it by themselves.
    beside = {"full": d + 2.0, "tied": n_mix + d + 1.0, "diag": 3.0, "spherical": d + 2.0}[kind]
    share = {"full": 1, "tied": n_mix, "diag": 1, "spherical": d}[kind]
    factor = 1.0 if is_matrix else 2.0
    if np.ndim(count) > 0:
        raise ValueError(f"{of_count} must be a number for covariance_type={kind!r}, got the shape {np.shape(count)}.")
    rows = 0.0 if count is None else factor * float(count) + beside
    if rows < 0.0:
        raise ValueError(f"{of_count} must be at least {-beside / factor:g}, which is a flat prior, got {count!r}.")
    scatter = factor * broadcast(of_scale, 0.0 if scale is None else scale, shape)
    return _proper_scatter(of_scale, scatter, is_matrix) / share, rows / share


def _proper_scatter(name: str, scatter: np.ndarray, is_matrix: bool) -> np.ndarray:
    least = scatter
    if is_matrix:
        scatter = symmetric(name, scatter)
        least = np.linalg.eigvalsh(scatter)
        least = least + 1e-8 * np.abs(least).max()
    if np.any(least < 0):
        raise ValueError(f"{name} must not be negative, and matrices must be without negative eigenvalues.")
    return scatter
