"""What every benchmark shares: profiles, workloads, seeded data, and slow independent values to check against."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning

from fastem import GaussianMixture
from fastem.families.gaussian.family import Gaussian
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params

# Least distance between two means, in standard deviations.
OVERLAPPING = 3.0
SEPARATED = 20.0

# Rows that are checked against values computed in the slow way; not a multiple of any block size.
CHECKED_ROWS = 2001
_PIECE_ROWS = 2**16
# With fewer rows the fixed costs of an iteration show; only the toy profile goes below.
_MIN_ROWS = 50_000


class Profile(NamedTuple):
    """How much to measure: the share of the full number of rows (at most `max_rows`), how long, and how often."""

    share: float
    max_rows: int
    max_iter: int
    rounds: int
    seconds: float


PROFILES = {
    "toy": Profile(share=1.0, max_rows=2500, max_iter=10, rounds=1, seconds=0.05),
    "regular": Profile(share=0.2, max_rows=10**7, max_iter=200, rounds=5, seconds=0.2),
    "large": Profile(share=1.0, max_rows=10**7, max_iter=200, rounds=5, seconds=0.5),
}
PROFILE = os.environ.get("FASTEM_BENCH", "regular")
if PROFILE not in PROFILES:
    raise ValueError(f"FASTEM_BENCH must be one of {sorted(PROFILES)}, got {PROFILE!r}.")


@dataclass(frozen=True, repr=False)
class Workload:
    """A mixture problem: its size, and how its rows lie in memory."""

    n_rows: int
    n_features: int
    n_components: int
    covariance_type: str = "full"
    dtype: str = "float64"
    order: str = "C"
    separation: float = OVERLAPPING

    def __repr__(self) -> str:
        size = f"{self.n_rows:.1e}".replace(".0e", "e").replace("e+0", "e")
        words = [f"D={self.n_features}", f"N={size}", f"K={self.n_components}", self.covariance_type]
        words += [self.dtype] * (self.dtype != "float64") + ["F-order"] * (self.order == "F")
        words += ["separated"] * (self.separation == SEPARATED)
        return " ".join(words)


def sized(workload: Workload, profile: str = PROFILE) -> Workload:
    """A workload in the size of a profile."""
    share, max_rows = PROFILES[profile][:2]
    n_rows = min(max(int(share * workload.n_rows), _MIN_ROWS), max_rows)
    # Components of fewer rows than features would collapse.
    n_components = min(workload.n_components, n_rows // (4 * workload.n_features))
    return replace(workload, n_rows=n_rows, n_components=n_components)


# The problems whose speed is stated in docs/performance.md.
_STATED = [
    Workload(10_000_000, 1, 3),
    Workload(1_000_000, 1, 10),
    Workload(2_000_000, 2, 5),
    Workload(1_000_000, 8, 16),
    Workload(200_000, 32, 32),
    Workload(50_000, 64, 64),
    Workload(500_000, 16, 64, "diag"),
    Workload(1_000_000, 16, 16, dtype="float32"),
    Workload(500_000, 16, 64, "diag", dtype="float32"),
    Workload(500_000, 16, 16, "tied"),
    Workload(500_000, 16, 16, "spherical"),
]


def stated_workloads(profile: str = PROFILE) -> list[Workload]:
    """Every problem whose speed is stated, in the sizes of a profile."""
    return [sized(workload, profile) for workload in _STATED]


def workloads(profile: str = PROFILE) -> list[Workload]:
    """The five of them that span the kernels: what is measured wherever peers are not."""
    return [sized(_STATED[index], profile) for index in (0, 2, 3, 6, 4)]


WORKLOADS = workloads()


# Settings of fastem that leave plain EM, for the maximum of the likelihood.
PLAIN: dict[str, Any] = {"schedule": "plain", "prior": None}


class Parameters(NamedTuple):
    """Parameters of a mixture: (K,), (K, D), and covariance matrices (K, D, D) whatever the covariance type."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    @classmethod
    def of_type(cls, covariance_type: str, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> Self:
        """Parameters whose covariances are given in scikit-learn's shape."""
        unit = np.eye(means.shape[1])
        matrices = {
            "full": lambda: covariances,
            "tied": lambda: np.broadcast_to(covariances, (means.shape[0], *unit.shape)),
            "diag": lambda: covariances[:, :, None] * unit,
            "spherical": lambda: covariances[:, None, None] * unit,
        }
        return cls(weights, means, matrices[covariance_type]())

    def covariances_as(self, covariance_type: str) -> np.ndarray:
        """The nearest covariances of a type, in scikit-learn's shape."""
        variances = np.diagonal(self.covariances, axis1=1, axis2=2)
        shapes = {
            "full": self.covariances,
            "tied": np.average(self.covariances, axis=0, weights=self.weights),
            "diag": variances,
            "spherical": variances.mean(axis=1),
        }
        return np.ascontiguousarray(shapes[covariance_type])

    def restricted(self, covariance_type: str) -> Self:
        """The nearest parameters of a type."""
        return self.of_type(covariance_type, self.weights, self.means, self.covariances_as(covariance_type))


def true_parameters(workload: Workload) -> Parameters:
    """The distribution that the rows are drawn from: means on a lattice, well-conditioned covariances."""
    random = np.random.default_rng(0)
    k, d = workload.n_components, workload.n_features
    side = int(np.ceil(k ** (1 / d)))
    lattice = np.array([[component // side**j % side for j in range(d)] for component in range(k)])
    factors = np.eye(d) + 0.15 * random.normal(size=(k, d, d)) / np.sqrt(d)
    covariances = factors @ np.swapaxes(factors, 1, 2)
    return Parameters(random.dirichlet(np.full(k, 10.0)), workload.separation * lattice, covariances)


@lru_cache(maxsize=1)
def rows_of(workload: Workload) -> np.ndarray:
    """Rows (N, D) drawn from the true distribution."""
    truth = true_parameters(workload)
    random = np.random.default_rng(1)
    component = random.choice(workload.n_components, size=workload.n_rows, p=truth.weights)
    X = random.standard_normal((workload.n_rows, workload.n_features))
    for k, (mean, factor) in enumerate(zip(truth.means, np.linalg.cholesky(truth.covariances), strict=True)):
        mine = np.flatnonzero(component == k)
        X[mine] = mean + X[mine] @ factor.T
    return np.asarray(X, dtype=workload.dtype, order=workload.order)


def start_of(workload: Workload) -> Parameters:
    """First parameters of a fit: the true ones, displaced and widened, with equal weights."""
    random = np.random.default_rng(2)
    truth = true_parameters(workload)
    weights = np.full(workload.n_components, 1.0 / workload.n_components)
    means = truth.means + 0.3 * random.normal(size=truth.means.shape)
    return Parameters(weights, means, 1.3 * truth.covariances).restricted(workload.covariance_type)


def start_settings(workload: Workload) -> dict[str, Any]:
    """Constructor arguments, of fastem and of scikit-learn, for a fit from `start_of`."""
    start = start_of(workload)
    precisions = start._replace(covariances=np.linalg.inv(start.covariances))
    return {
        "n_components": workload.n_components,
        "covariance_type": workload.covariance_type,
        "weights_init": start.weights,
        "means_init": start.means,
        "precisions_init": precisions.covariances_as(workload.covariance_type),
        "reg_covar": 0.0,
    }


def model_of(workload: Workload) -> tuple[Model, Params]:
    """The model inside the estimator, and `start_of` as its kernels read it."""
    start = start_of(workload)
    family = Gaussian(
        n_components=workload.n_components, n_features=workload.n_features, covariance_type=workload.covariance_type
    )
    model = Model(MixtureLatent(workload.n_components), family)
    family_params = family.params(start.means, start.covariances_as(workload.covariance_type))
    return model, Params(model.latent.params(start.weights), family_params)


def mixture_of(workload: Workload) -> GaussianMixture:
    """An estimator that scores and predicts with `start_of`."""
    start = start_of(workload)
    covariances = start.covariances_as(workload.covariance_type)
    return GaussianMixture.from_parameters(
        start.weights, start.means, covariances, covariance_type=workload.covariance_type
    )


def parameters_of(mixture: Any) -> Parameters:
    """The fitted parameters of an estimator of fastem or scikit-learn."""
    return Parameters.of_type(mixture.covariance_type, mixture.weights_, mixture.means_, mixture.covariances_)


# Slow values, of SciPy's densities, that share no code with the package.


def log_joint(X: np.ndarray, parameters: Parameters) -> np.ndarray:
    """log of weight * density (N, K)."""
    X = np.asarray(X, dtype=np.float64)
    densities = [
        np.reshape(multivariate_normal(mean, covariance).logpdf(X), -1)
        for mean, covariance in zip(parameters.means, parameters.covariances, strict=True)
    ]
    return np.stack(densities, axis=1) + np.log(parameters.weights)


def mean_log_likelihood(X: np.ndarray, parameters: Parameters) -> float:
    """Log-likelihood per row, in nats."""
    pieces = [X[start : start + _PIECE_ROWS] for start in range(0, X.shape[0], _PIECE_ROWS)]
    return float(sum(logsumexp(log_joint(piece, parameters), axis=1).sum() for piece in pieces) / X.shape[0])


def log_likelihood_error(X: np.ndarray, mixture: GaussianMixture) -> float:
    """Error of the log-likelihood that a fit claims for its parameters, relative to the slow value."""
    return relative_error(mixture.fit_report_.loglik, mean_log_likelihood(X, parameters_of(mixture)))


def em_step(X: np.ndarray, parameters: Parameters, covariance_type: str) -> Parameters:
    """Parameters after one iteration of EM."""
    X = np.asarray(X, dtype=np.float64)
    joint = log_joint(X, parameters)
    resp = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    weights = resp.mean(axis=0)
    means = resp.T @ X / resp.sum(axis=0)[:, None]
    covariances = np.array([np.atleast_2d(np.cov(X.T, aweights=column, bias=True)) for column in resp.T])
    return Parameters(weights, means, covariances).restricted(covariance_type)


def relative_error(value: Any, exact: Any) -> float:
    """Largest difference, relative to the largest exact value."""
    return float(np.max(np.abs(np.asarray(value) - exact)) / np.max(np.abs(exact)))


# Measuring.


def seconds_per_call(function: Callable[[], Any], seconds: float | None = None) -> float:
    """Median time of calls that are repeated for about `seconds`, by default those of the profile."""
    budget = PROFILES[PROFILE].seconds if seconds is None else seconds
    samples: list[float] = []
    while not samples or sum(samples) < budget:
        start = time.perf_counter()
        function()
        samples.append(time.perf_counter() - start)
    return float(np.median(samples))


def ratio_of_times(function: Callable[[], Any], other: Callable[[], Any]) -> float:
    """Median, over the rounds of the profile, of the time of one function divided by that of another."""
    # What only a first call does, compile or fetch pages, belongs to neither.
    function()
    other()
    rounds = range(PROFILES[PROFILE].rounds)
    return float(np.median([seconds_per_call(function) / seconds_per_call(other) for _ in rounds]))


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore warnings of fits that are stopped early on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
