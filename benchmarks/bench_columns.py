"""Passes over counts, binary values, categories and mixed columns, against normal columns of the same size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.stats
from scipy.special import logsumexp

from benchmarks import common
from benchmarks.common import CHECKED_ROWS, Workload
from fastem.families.columns.bernoulli import Bernoulli
from fastem.families.columns.beta import Beta
from fastem.families.columns.categorical import Categorical
from fastem.families.columns.exponential import Exponential
from fastem.families.columns.gamma import Gamma
from fastem.families.columns.inverse_gaussian import InverseGaussian
from fastem.families.columns.log_normal import LogNormal
from fastem.families.columns.negative_binomial import NegativeBinomial
from fastem.families.columns.poisson import Poisson
from fastem.families.columns.product import Part, Product
from fastem.families.columns.von_mises import VonMises
from fastem.families.gaussian.family import Gaussian
from fastem.fitting.information import empirical_information, total_gradient
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.sources import Chunk
from fastem.stats import ExpectedStats

_N_CODES, _N_COUNTS = 5, 600


def _of(family: Any) -> Callable[[int, int], Any]:
    """What makes a family of a size."""
    options = {
        Categorical: {"n_categories": _N_CODES},
        NegativeBinomial: {"n_counts": _N_COUNTS},
        Gaussian: {"covariance_type": "diag"},
    }.get(family, {})
    return lambda k, d: family(n_components=k, n_features=d, **options)


def _mixed(n_components: int, n_features: int) -> Product:
    """A normal column, counts, categories and binary values in turn."""
    families = (Gaussian, Poisson, Categorical, Bernoulli)
    columns = [np.arange(first, n_features, len(families)) for first in range(min(len(families), n_features))]
    return Product(tuple(Part(_of(family)(n_components, own.size), own) for family, own in zip(families, columns)))  # noqa: B905


FAMILIES: dict[str, Callable[[int, int], Any]] = {
    "normal": _of(Gaussian),
    "poisson": _of(Poisson),
    "large counts": _of(Poisson),
    "bernoulli": _of(Bernoulli),
    "categorical": _of(Categorical),
    "exponential": _of(Exponential),
    "gamma": _of(Gamma),
    "log-normal": _of(LogNormal),
    "inverse Gaussian": _of(InverseGaussian),
    "beta": _of(Beta),
    "von Mises": _of(VonMises),
    "negative binomial": _of(NegativeBinomial),
    "mixed": _mixed,
}
SIZES = [common.sized(Workload(*size, "diag")) for size in ((1_000_000, 1, 3), (500_000, 8, 16))]


def _params(family: Any, scale: float, random: np.random.Generator) -> Any:
    k, d = family.n_components, family.n_features
    if isinstance(family, Product):
        return family.params([_params(part.family, scale, random) for part in family.parts])
    if isinstance(family, Gaussian):
        return family.params(random.normal(size=(k, d)), random.uniform(0.5, 2.0, (k, d)))
    return family.params(scale * random.uniform(0.1, 0.9, family.values_shape()))


def _scipy_log_prob(kind: str, X: np.ndarray, params: Any, k: int) -> np.ndarray:
    """Log-densities (N,) of rows under one component."""
    if kind == "normal":
        return scipy.stats.norm(params.means[k], np.sqrt(params.covariances[k])).logpdf(X).sum(axis=1)
    if kind == "bernoulli":
        return scipy.stats.bernoulli(params.means[k]).logpmf(X).sum(axis=1)
    if kind == "exponential":
        return scipy.stats.expon(scale=params.means[k]).logpdf(X).sum(axis=1)
    if kind == "gamma":
        shape, scale = np.split(params.values[k], 2)
        return scipy.stats.gamma(shape, scale=scale).logpdf(X).sum(axis=1)
    if kind == "log-normal":
        mean, sd = np.split(params.values[k], 2)
        return scipy.stats.lognorm(sd, scale=np.exp(mean)).logpdf(X).sum(axis=1)
    if kind == "inverse Gaussian":
        mean, shape = np.split(params.values[k], 2)
        return scipy.stats.invgauss(mean / shape, scale=shape).logpdf(X).sum(axis=1)
    if kind == "beta":
        return scipy.stats.beta(*np.split(params.values[k], 2)).logpdf(X).sum(axis=1)
    if kind == "von Mises":
        direction, concentration = np.split(params.values[k], 2)
        return scipy.stats.vonmises(concentration, loc=direction).logpdf(X).sum(axis=1)
    if kind == "negative binomial":
        mean, size = np.split(params.values[k], 2)
        return scipy.stats.nbinom(size, size / (size + mean)).logpmf(X).sum(axis=1)
    if kind == "categorical":
        tables = params.slope[k].reshape(X.shape[1], -1)
        return tables[np.arange(X.shape[1]), X.astype(np.int64)].sum(axis=1)
    return scipy.stats.poisson(params.means[k]).logpmf(X).sum(axis=1)


class EStep:
    """One fused pass that gathers the expected statistics."""

    params = (SIZES, list(FAMILIES))
    param_names = ("size", "family")

    def setup(self, size: Workload, kind: str) -> None:
        random = np.random.default_rng(0)
        family = FAMILIES[kind](size.n_components, size.n_features)
        scale = {"poisson": 10.0, "negative binomial": 10.0, "large counts": 5000.0}.get(kind, 1.0)
        self.model = Model(MixtureLatent(size.n_components), family)
        latent = self.model.latent.params(np.ones(size.n_components))
        self.at = Params(latent, _params(family, scale, random))
        self.X = self.model.sample(self.at, size.n_rows, random)[0]
        self.e_step(self.X[:CHECKED_ROWS])

    def e_step(self, X: np.ndarray) -> ExpectedStats:
        return self.model.e_step(self.at, Chunk(X, None, 0))

    def time_e_step(self, size: Workload, kind: str) -> None:
        self.e_step(self.X)

    def track_ratio_to_normal(self, size: Workload, kind: str) -> float:
        """Time of the pass, divided by that of normal columns."""
        other = EStep()
        other.setup(size, "normal")
        return common.ratio_of_times(lambda: self.e_step(self.X), lambda: other.e_step(other.X))

    track_ratio_to_normal.unit = "time / time of normal columns"

    def track_log_likelihood_error(self, size: Workload, kind: str) -> float:
        """Against SciPy; mixed columns against the sum of their parts."""
        X, weights = self.X[:CHECKED_ROWS], self.at.latent.weights
        exact = np.log(weights) + np.column_stack([self._exact(kind, X, k) for k in range(size.n_components)])
        return common.relative_error(self.e_step(X).objective, logsumexp(exact, axis=1).mean())

    track_log_likelihood_error.unit = "relative"
    track_log_likelihood_error.bound = 1e-11

    def _exact(self, kind: str, X: np.ndarray, k: int) -> np.ndarray:
        if kind != "mixed":
            return _scipy_log_prob(kind, X, self.at.family, k)
        names = {Gaussian: "normal", Poisson: "poisson", Categorical: "categorical", Bernoulli: "bernoulli"}
        parts = zip(self.model.family.parts, self.model.family.params_of(self.at.family), strict=True)
        return sum(_scipy_log_prob(names[type(family)], X[:, columns], own, k) for (family, columns), own in parts)


class Information:
    """The squared gradients of all rows, which standard errors are made of."""

    params = (list(FAMILIES),)
    param_names = ("family",)

    def setup(self, kind: str) -> None:
        self.pass_of = EStep()
        self.pass_of.setup(SIZES[1], kind)
        self.information(self.pass_of.X[:CHECKED_ROWS])

    def information(self, X: np.ndarray) -> np.ndarray:
        return empirical_information(self.pass_of.model, self.pass_of.at, [Chunk(X, None, 0)]).gradient

    def time_information(self, kind: str) -> None:
        self.information(self.pass_of.X)

    def peakmem_information(self, kind: str) -> None:
        self.information(self.pass_of.X)

    def track_time_in_passes(self, kind: str) -> float:
        """Time divided by that of an E-step over the same rows."""
        X = self.pass_of.X
        return common.ratio_of_times(lambda: self.information(X), lambda: self.pass_of.e_step(X))

    track_time_in_passes.unit = "E-steps"

    def track_gradient_error(self, kind: str) -> float:
        """Difference of the sum of the rows' gradients from that of the statistics of the compiled pass."""
        X, model, at = self.pass_of.X[:CHECKED_ROWS], self.pass_of.model, self.pass_of.at
        by_rows, by_pass = self.information(X), total_gradient(model, at, self.pass_of.e_step(X))
        return float(np.abs(by_rows - by_pass).max() / np.abs(by_pass).max())

    track_gradient_error.unit = "relative"
    track_gradient_error.bound = 1e-9
