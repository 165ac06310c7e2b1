"""What is known before the data are seen, as fields of a family: priors, and parameters that are fixed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from fastem._naming import named
from fastem._options import ARRAY, NOTHING, Allowed, Choice, Options, numbers, texts
from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.moments import central_moments
from fastem.fitting.parameters import broadcast, read_array, read_mask, symmetric
from fastem.given import floats
from fastem.latents.mixture import MixtureLatent

# Those of hmmlearn where one of the two settings of a prior of covariances is given.
_COVARS_PRIOR, _COVARS_WEIGHT = 1e-2, 1.0


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class NormalInverseWishart(Options):
    """A conjugate prior of a Gaussian mixture; the fit finds the mode of the posterior density.

    Parameters
    ----------
    weight_concentration : float or None, default None
        Concentration, at least 1, of a symmetric Dirichlet prior of the weights.
    mean : array-like (D,), optional
        Mean of a normal prior of the means; by default that of the data, where `mean_precision` is given.
    mean_precision : float or None, default None
        As many rows at `mean` count for each mean; 1 where only `mean` is given.
    degrees_of_freedom : float or None, default None
        Of an inverse Wishart prior of the covariances, more than D - 1; D where only `covariance` is given.
    covariance : array-like, float, "vanishing" or None, default "vanishing"
        Scale matrix of that prior: (D, D) for "full" and "tied", (D,) for "diag", a number for "spherical"; by default
        the covariance of the data, where `degrees_of_freedom` is given. Otherwise "vanishing" stands for the penalty
        that `prior="vanishing"` is, and None for no prior of covariances.

    Raises
    ------
    ValueError
        For a value that is out of range; in `fit`, for one that does not suit the number of features.

    References
    ----------
    Fraley & Raftery (2007), J. Classification 24, 155-181.

    Examples
    --------
    >>> from fastem import GaussianMixture, NormalInverseWishart
    >>> mixture = GaussianMixture(2, prior=NormalInverseWishart(degrees_of_freedom=5.0))
    >>> mixture.set_params(prior__weight_concentration=2.0).prior
    NormalInverseWishart(weight_concentration=2.0, degrees_of_freedom=5.0)
    """

    weight_concentration: float | None = None
    mean: Any = None
    mean_precision: float | None = None
    degrees_of_freedom: float | None = None
    covariance: Any = "vanishing"

    _allowed: ClassVar[dict[str, tuple[Allowed, ...]]] = {
        "weight_concentration": (numbers(1.0), NOTHING),
        "mean": (ARRAY, NOTHING),
        "mean_precision": (numbers(0.0, ends="()"), NOTHING),
        "degrees_of_freedom": (numbers(0.0, ends="()"), NOTHING),
        "covariance": (ARRAY, numbers(0.0, ends="()"), texts("vanishing"), NOTHING),
    }


@dataclass(frozen=True, repr=False, eq=False)
class Dirichlet(Options):
    """A symmetric Dirichlet prior of the weights of a mixture.

    Parameters
    ----------
    weight_concentration : float, default 1
        At least 1, where there is no prior; each component counts as so many rows less one that were seen.

    Examples
    --------
    >>> from fastem import Dirichlet, Mixture
    >>> Mixture("poisson", 2, prior=Dirichlet(1.5)).prior
    Dirichlet(weight_concentration=1.5)
    """

    weight_concentration: float = 1.0

    _allowed: ClassVar[dict[str, tuple[Allowed, ...]]] = {"weight_concentration": (numbers(1.0),)}


GAUSSIAN_PRIORS = Choice(
    (NormalInverseWishart,), {"vanishing": NormalInverseWishart(), None: NormalInverseWishart(covariance=None)}
)
WEIGHT_PRIORS = Choice((Dirichlet,), {None: Dirichlet()})


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
                f"{named('fixed=Fixed(covariances=...)')} must be True or False for covariance_type='tied': there is "
                "only one."
            )
        family = replace(family, fixed_covariances=given)
    return family


def _require(name: str, init: str, values: np.ndarray | None) -> np.ndarray:
    if values is None:
        owner = named(f"fixed=Fixed({name}=...)")
        raise ValueError(f"{owner} holds first values, but none are given. Give {named(init)}.")
    return values


# Priors of Gaussian mixtures.


def with_priors(prior: Any, family: Gaussian, stats: Any, n_rows: int) -> Gaussian:
    """A family, scaled to data, with the prior that a `NormalInverseWishart` describes.

    `stats` are those of one component that takes all rows, of which `n_rows` have a positive weight.
    """
    if prior.mean is not None or prior.mean_precision is not None:
        mean = central_moments(stats).means[0]
        if prior.mean is not None:
            mean = read_array(_option("mean"), prior.mean, mean.shape)
        precision = prior.mean_precision
        family = replace(family, prior_mean=mean, prior_mean_rows=1.0 if precision is None else float(precision))
    is_scale = prior.covariance is not None and not isinstance(prior.covariance, str)
    if is_scale or prior.degrees_of_freedom is not None:
        return _with_wishart(prior, family, is_scale)
    return family if prior.covariance is None else with_penalty(family, stats, n_rows)


def _option(name: str) -> str:
    """What messages call an option of the prior."""
    return named(f"prior=NormalInverseWishart({name}=...)")


def _with_wishart(prior: Any, family: Gaussian, is_scale: bool) -> Gaussian:
    """The family with an inverse Wishart prior, of the scale that is given, or of the data's covariance."""
    d = family.n_features
    dof = float(d) if prior.degrees_of_freedom is None else float(prior.degrees_of_freedom)
    if dof <= d - 1.0:
        raise ValueError(
            f"{_option('degrees_of_freedom')} must be more than the number of features less one, {d - 1}; got {dof:g}."
        )
    scale = np.asarray(family.data_covariance)
    if is_scale:
        name = _option("covariance")
        scale = read_array(name, prior.covariance, scale.shape)
        scale = symmetric(name, scale) if scale.ndim == 2 else scale
        try:
            replace(family, n_components=1).params(np.zeros((1, d)), family.structure.as_single(scale))
        except np.linalg.LinAlgError:
            raise ValueError(f"{name} must be positive definite.") from None
    rows = family.wishart_rows(dof)
    return replace(family, prior_covariance=scale / rows, prior_rows=rows)


def with_penalty(family: Gaussian, stats: Any, n_rows: int) -> Gaussian:
    """The family with the vanishing penalty for `n_rows` rows, of the given one-component statistics."""
    weight = float(stats.n.sum())
    # Weights may be of any scale: when they sum to less than the number of rows, the rows count.
    return family.penalised(max(weight, float(n_rows)) / weight)


# hmmlearn's priors. An M-step divides `weight * mean` and the sum of the rows by `weight` and their number; it adds a
# prior of covariances to the scatter, and its weight, less what a flat prior has, to the number of rows.


def at_least(name: str, given: Any, least: float, shape: tuple[int, ...]) -> np.ndarray:
    """Finite numbers of a shape, or of one that NumPy repeats to it, none of which is below the least."""
    values = broadcast(name, given, shape)
    if np.any(values < least):
        raise ValueError(f"{name} must be a finite number of at least {least:g}, or hold such numbers.")
    return values


def with_mean_prior(family: Gaussian, means: Any, weights: Any, counts: tuple[int, ...]) -> Gaussian:
    """The family with `means_prior` and `means_weight`, whose components have the shape `counts`."""
    weights = floats(weights, "means_weight")
    weights = weights[..., 0] if weights.shape == (*counts, 1) else weights
    rows = at_least("means_weight", weights, 0.0, counts)
    means = broadcast("means_prior", means, (*counts, family.n_features)).reshape(-1, family.n_features)
    if not rows.any():
        return family
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
    if not (np.isfinite(rows) and rows >= 0.0):
        raise ValueError(
            f"{of_count} must be a finite number of at least {-beside / factor:g}, which is flat; got {count!r}."
        )
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
