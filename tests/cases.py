"""The table that the laws run over: one row for each family under each latent structure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import log
from typing import Any

import numpy as np

from fastem import open_source
from fastem.families.columns.bernoulli import Bernoulli
from fastem.families.columns.beta import Beta
from fastem.families.columns.binomial import Binomial
from fastem.families.columns.categorical import Categorical
from fastem.families.columns.exponential import Exponential
from fastem.families.columns.gamma import Gamma
from fastem.families.columns.geometric import Geometric
from fastem.families.columns.hurdle import HurdlePoisson
from fastem.families.columns.inverse_gaussian import InverseGaussian
from fastem.families.columns.log_normal import LogNormal
from fastem.families.columns.multinomial import Multinomial
from fastem.families.columns.negative_binomial import NegativeBinomial
from fastem.families.columns.poisson import Poisson
from fastem.families.columns.product import Part, Product
from fastem.families.columns.von_mises import VonMises
from fastem.families.columns.zero_inflated import ZeroInflatedPoisson
from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.location_scatter import STRUCTURES
from fastem.families.gaussian.student import StudentT
from fastem.families.regression.binomial import BinomialRegression
from fastem.families.regression.gamma import GammaRegression
from fastem.families.regression.linear import Linear
from fastem.families.regression.poisson import PoissonRegression
from fastem.latents.emissions import Emissions
from fastem.latents.hmm import HmmLatent
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.sources import Chunk
from tests import naive


@dataclass(frozen=True)
class FamilyCase:
    """A family, how to draw parameters for it, and its slow twin.

    Attributes
    ----------
    family : callable
        Makes the family from numbers of components and features.
    params : callable
        Draws parameters of a family from a generator.
    log_prob : callable
        The naive log-density of a row under a component, from a family and its parameters.
    stats : callable
        The naive statistics, by name, of rows X with responsibilities, from a family and its parameters.
    equivariance : {"affine", "scale", ""}
        The maps of rows that parameters and iterations follow.
    has_pivots : bool
    tells_log_prob : bool
        Whether statistics give the log-likelihood at any parameters, up to a constant.
    """

    name: str
    family: Callable[[int, int], Any]
    params: Callable[[Any, np.random.Generator], Any]
    log_prob: Callable[[Any, Any], Callable[[np.ndarray, int], float]]
    stats: Callable[[Any, Any, np.ndarray, np.ndarray], dict[str, np.ndarray]]
    equivariance: str = ""
    has_pivots: bool = False
    tells_log_prob: bool = True


# Settings of an estimator that leave plain EM, of maximum likelihood.
PLAIN = {"schedule": "plain", "prior": None}


def _gaussian_params(family, random):
    k, d = family.n_components, family.n_features
    factors = np.tril(random.normal(size=(k, d, d))) / np.sqrt(d) + 0.7 * np.eye(d)
    full = factors @ np.swapaxes(factors, 1, 2)
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": np.diagonal(full, axis1=1, axis2=2),
        "spherical": full[:, 0, 0],
    }[family.covariance_type]
    return family.params(2.0 * random.normal(size=(k, d)), np.ascontiguousarray(covariances))


def _matrices(family, params):
    kind, d = family.covariance_type, family.n_features
    return [naive.covariance_matrix(kind, params.covariances, k, d) for k in range(family.n_components)]


def _gaussian_log_prob(family, params):
    matrices = _matrices(family, params)
    return lambda x, k: naive.log_prob(x, params.means[k], matrices[k])


def _student_log_prob(family, params):
    matrices = _matrices(family, params)
    return lambda x, k: naive.student_log_prob(x, params.means[k], matrices[k], float(params.df[0]))


def _gaussian_stats(family, params, X, resp):
    stats = naive.moments(X, resp, params.means)
    sxx = naive.reduce_scatter(stats.sxx, family.covariance_type)
    return {"n": stats.n, "sx": stats.sx, "sxx": sxx, "scatter_rows": np.zeros_like(stats.n)}


def _student_stats(family, params, X, resp):
    df = float(params.df[0])
    u = naive.student_weights(X, params.means, _matrices(family, params), df)
    stats = _gaussian_stats(family, params, X, resp * u)
    pull, bend = naive.df_derivatives(u, df, X.shape[1]) if family.df is None else (0.0 * u, 0.0 * u)
    return {
        **stats, "n": resp.sum(axis=0), "u": (resp * u).sum(axis=0), "pull": (resp * pull).sum(axis=0),
        "bend": (resp * bend).sum(axis=0),
    }  # fmt: skip


def _column_params(family, random):
    """Rates, probabilities or means: all are positive, and only some must be below one."""
    if isinstance(family, Categorical):
        return family.params(random.uniform(0.1, 1.0, size=family.values_shape()))
    size = {Bernoulli: 1.0, LogNormal: 2.0}.get(type(family), 12.0)
    values = random.uniform(0.05, 0.95, size=family.values_shape()) * size
    if isinstance(family, ZeroInflatedPoisson | HurdlePoisson):
        values[:, family.n_features :] /= size
    return family.params(values)


def _regression_params(family, random):
    k, p = family.n_components, family.n_covariates
    shown = {"normal": (0.5, 2.0), "gamma": (2.0, 9.0)}
    kind = "normal" if isinstance(family, Linear) else "gamma"
    spread = (random.uniform(*shown[kind], size=k),) if family.has_dispersion else ()
    return family.params(0.4 * random.normal(size=(k, p)), 0.3 + random.normal(size=k), *spread)


def _regression_log_prob(family, params):
    name, p = type(family).__name__, family.n_covariates

    def log_prob(x, k):
        eta = naive.eta_of(x[:p], params.means[k, :p], params.values[k])
        size = x[-1] if family.has_size else 1.0
        return naive.regression_log_prob(name, x[p], size, eta, params.dispersion[k])

    return log_prob


def _regression_stats(family, params, X, resp):
    name, centre = type(family).__name__, params.means[:, : family.n_covariates]
    return naive.regression_stats(name, X, resp, centre, params.values, family.has_size)


def _exposures(family, X):
    if isinstance(family, Multinomial):
        return X.sum(axis=1)
    return X[:, -1] if getattr(family, "exposure", False) else np.ones(len(X))


def _column_stats(family, params, X, resp):
    return naive.column_stats(X, resp, params, _exposures(family, X))


def _poisson_log_prob(family, params):
    rates = params.values
    return lambda x, k: sum(
        naive.poisson(n, rate * (x[-1] if family.exposure else 1.0)) for n, rate in zip(x, rates[k], strict=False)
    )


def _bernoulli_log_prob(family, params):
    return lambda x, k: sum(map(naive.bernoulli, x, params.means[k]))


def _exponential_log_prob(family, params):
    return lambda x, k: sum(map(naive.exponential, x, params.means[k]))


def _two_values(log_prob):
    """The log-density of columns, each with two values, those of all columns by the first name first."""
    return lambda family, params: lambda x, k: sum(map(log_prob, x, *np.split(params.values[k], 2)))


def _geometric_log_prob(family, params):
    return lambda x, k: sum(map(naive.geometric, x, params.means[k]))


def _categorical_log_prob(family, params):
    lists = [np.split(line, family.first_code[1:-1]) for line in params.values]
    return lambda x, k: sum(map(naive.categorical, x, lists[k]))


def _multinomial_log_prob(family, params):
    return lambda x, k: naive.multinomial(x, params.means[k])


def _product(n_components, n_features):
    """Columns of all kinds in turn; the first ones are counts."""
    kinds = [Poisson, partial(Gaussian, covariance_type="diag"), Categorical, Bernoulli, Gamma, Exponential]
    columns = [np.arange(first, n_features, len(kinds)) for first in range(len(kinds))]
    return Product(
        tuple(
            Part(_sized(kind, n_components, own.size), own)
            for kind, own in zip(kinds, columns, strict=True)
            if own.size
        )
    )


def _sized(kind, n_components, n_features):
    return of_size(kind, n_components, n_features, **({"n_categories": 2} if kind is Categorical else {}))


def _product_params(family, random):
    draw = {Gaussian: _gaussian_params}
    return family.params([draw.get(type(part.family), _column_params)(part.family, random) for part in family.parts])


def _product_log_prob(family, params):
    twins = [
        (part.columns, _LOG_PROB[type(part.family)](part.family, own))
        for part, own in zip(family.parts, family.params_of(params), strict=True)
    ]
    return lambda x, k: sum(log_prob(x[columns], k) for columns, log_prob in twins)


_LOG_PROB = {
    Poisson: _poisson_log_prob,
    Bernoulli: _bernoulli_log_prob,
    Exponential: _exponential_log_prob,
    Gamma: _two_values(naive.gamma),
    InverseGaussian: _two_values(naive.inverse_gaussian),
    LogNormal: _two_values(naive.log_normal),
    Beta: _two_values(naive.beta),
    VonMises: _two_values(naive.von_mises),
    Geometric: _geometric_log_prob,
    NegativeBinomial: _two_values(naive.negative_binomial),
    ZeroInflatedPoisson: _two_values(naive.zero_inflated_poisson),
    HurdlePoisson: _two_values(naive.hurdle_poisson),
    Binomial: lambda family, params: (
        lambda x, k: sum(naive.binomial(n, 15, log(m / (15 - m))) for n, m in zip(x, params.values[k], strict=True))
    ),
    Categorical: _categorical_log_prob,
    Multinomial: _multinomial_log_prob,
    Gaussian: _gaussian_log_prob,
}


def of_size(kind, n_components, n_features, **options):
    """A family of so many components and columns."""
    return kind(n_components=n_components, n_features=n_features, **options)


def _of_columns(name, kind, equivariance="", **options):
    def family(n_components, n_features):
        # Columns of up to a dozen categories: below and above eight they are counted in different ways.
        sizes = {"n_categories": 2 + np.arange(n_features) * 5 % 11} if kind is Categorical else {}
        return of_size(kind, n_components, n_features, **sizes, **options)

    return FamilyCase(name, family, _column_params, _LOG_PROB[kind], _column_stats, equivariance)


FAMILIES = [
    FamilyCase(
        f"{kind} {name}", partial(of_size, family, covariance_type=kind), _gaussian_params, log_prob, stats, "affine",
        has_pivots=True, tells_log_prob=family is Gaussian,
    )
    for name, family, log_prob, stats in (
        ("Gaussians", Gaussian, _gaussian_log_prob, _gaussian_stats),
        ("t-distributions", StudentT, _student_log_prob, _student_stats),
    )
    for kind in STRUCTURES
] + [
    FamilyCase(
        "full t-distributions of any df", partial(of_size, StudentT, covariance_type="full", df=None), _gaussian_params,
        _student_log_prob, _student_stats, "affine", has_pivots=True, tells_log_prob=False,
    )
] + [
    FamilyCase(
        name, partial(of_size, kind), _regression_params, _regression_log_prob, _regression_stats,
        has_pivots=True, tells_log_prob=kind is Linear,
    )
    for name, kind in (
        ("linear regressions", Linear),
        ("Poisson regressions", PoissonRegression),
        ("binomial regressions", BinomialRegression),
        ("gamma regressions", GammaRegression),
    )
] + [
    _of_columns("Poisson counts", Poisson),
    _of_columns("binary columns", Bernoulli),
    _of_columns("exponential columns", Exponential, "scale"),
    _of_columns("gamma columns", Gamma, "scale"),
    _of_columns("inverse Gaussian columns", InverseGaussian),
    _of_columns("log-normal columns", LogNormal),
    _of_columns("beta columns", Beta),
    _of_columns("angles", VonMises),
    _of_columns("geometric counts", Geometric),
    _of_columns("negative binomial counts", NegativeBinomial, n_counts=600),
    _of_columns("zero-inflated counts", ZeroInflatedPoisson, n_counts=60),
    _of_columns("counts over a hurdle", HurdlePoisson, n_counts=60),
    _of_columns("successes of trials", Binomial, n_trials=15),
    _of_columns("categories", Categorical),
    _of_columns("multinomial counts", Multinomial, n_trials=9),
    FamilyCase("mixed columns", _product, _product_params, _product_log_prob, _column_stats, has_pivots=True),
]  # fmt: skip


def _mixture_params(latent, random):
    return latent.params(random.uniform(0.5, 1.5, size=latent.n_components))


def _hmm_params(latent, random):
    k = latent.n_components
    return latent.params(random.uniform(0.5, 1.5, k), random.uniform(0.1, 1.0, (k, k)) + 2.0 * np.eye(k))


def mixed_chain(n_components):
    """As many states as components, each of which draws from its own component and from the next."""
    own = np.arange(n_components)
    pairs = sorted({(int(k), int(s)) for s in own for k in (s, (s + 1) % n_components)})
    component, state = np.array(pairs).T
    return HmmLatent(n_components, emissions=Emissions(state, component))


def _mixed_chain_params(latent, random):
    k, n_entries = latent.n_components, latent.emissions.state.size
    transmat = random.uniform(0.1, 1.0, (k, k)) + 2.0 * np.eye(k)
    return latent.params(random.uniform(0.5, 1.5, k), transmat, random.uniform(0.2, 1.0, n_entries))


@dataclass(frozen=True)
class Case:
    """A model, and how to draw parameters and rows for it."""

    name: str
    latent: Callable[[int], Any]
    latent_params: Callable[[Any, np.random.Generator], Any]
    observed: FamilyCase

    def model(self, n_components: int = 3, n_features: int = 2) -> Model:
        return Model(self.latent(n_components), self.observed.family(n_components, n_features))

    def params(self, model: Model, seed: int = 0) -> Params:
        random = np.random.default_rng(seed)
        return Params(self.latent_params(model.latent, random), self.observed.params(model.family, random))

    def rows(self, model: Model, n_rows: int, seed: int = 1) -> np.ndarray:
        return model.sample(self.params(model, seed), n_rows, np.random.default_rng(seed))[0]


# A chain meets a family in its two blocks only, and its kernels take longest to compile: the t-distributions of one
# structure stand for all.
_IN_CHAINS = [own for own in FAMILIES if own.name == "full t-distributions" or "t-distributions" not in own.name]

CASES = [
    Case(f"{name} of {observed.name}", latent, latent_params, observed)
    for name, latent, latent_params, families in (
        ("mixture", MixtureLatent, _mixture_params, FAMILIES),
        ("chain", HmmLatent, _hmm_params, _IN_CHAINS),
    )
    for observed in families
] + [
    # What a state draws from knows nothing of the family.
    Case(f"mixed chain of {observed.name}", mixed_chain, _mixed_chain_params, observed)
    for observed in (FAMILIES[0], FAMILIES[-1])
]
MIXTURE_CASES = [case for case in CASES if case.latent is MixtureLatent]
GAUSSIAN_CASES = [case for case in MIXTURE_CASES if case.observed.stats is _gaussian_stats]

# Of the sequences of a chain, in turn: some are single rows, some are longer than a block.
_LENGTHS = (1, 7, 40, 2, 150, 13, 1, 600, 60)


def unit_lengths(model, n_rows):
    """Rows that belong together, in order: single ones, or sequences (S,) of a chain."""
    if not model.latent.is_chain:
        return np.ones(n_rows, dtype=np.int64)
    lengths = np.resize(_LENGTHS, 1 + n_rows // min(_LENGTHS))
    before = np.cumsum(lengths) - lengths
    return np.minimum(lengths, n_rows - before)[before < n_rows]


def sequences(model, n_rows):
    """Lengths of the sequences of a chain; None for rows that are independent."""
    return unit_lengths(model, n_rows) if model.latent.is_chain else None


def unit_weights(model, n_rows, random):
    """Weights of rows (N,), the same for all that belong together."""
    lengths = unit_lengths(model, n_rows)
    return np.repeat(random.uniform(0.1, 2.0, lengths.size), lengths)


def chunks_of(model, X, weight=None, cuts=()):
    """Rows in chunks, cut at the given row numbers, or where the sequence ends that one of these lies in."""
    lengths = unit_lengths(model, X.shape[0])
    ends = np.cumsum(lengths)
    places = sorted({0, *(int(ends[np.searchsorted(ends, cut)]) for cut in cuts), X.shape[0]})
    for start, stop in pairwise(places):
        mine = lengths[(ends > start) & (ends <= stop)] if model.latent.is_chain else None
        yield Chunk(X[start:stop], None if weight is None else weight[start:stop], start, mine)


def e_step(model, params, X, weight=None, cuts=()):
    """Expected statistics of rows that arrive in chunks."""
    accumulator = model.accumulator(params)
    for chunk in chunks_of(model, X, weight, cuts):
        accumulator.add(chunk)
    return accumulator.total()


def fields(record, prefix=""):
    """All arrays of a nested record, by name."""
    for name, value in zip(record._fields, record, strict=True):
        if hasattr(value, "_fields"):
            yield from fields(value, f"{prefix}{name}.")
        else:
            yield prefix + name, np.asarray(value)


def memory_of(n_rows, X):
    """The `memory_limit` under which chunks have so many rows."""
    return 4 * n_rows * open_source(X).row_bytes


def assert_close(actual, expected, rtol=1e-10, scale=1.0):
    """Records agree to rounding: relative to the largest number of each field."""
    for (name, a), (_, b) in zip(fields(actual), fields(expected), strict=True):
        atol = rtol * max(scale, float(np.abs(b).max(initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=name)


def assert_same_bits(actual, expected):
    for (name, a), (_, b) in zip(fields(actual), fields(expected), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)
