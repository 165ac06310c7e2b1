"""Other implementations of EM for Gaussian mixtures: how each is called, and what it cannot do."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module, metadata
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

from fastem.estimators import GaussianMixture


class Parameters(NamedTuple):
    """Parameters of a mixture: weights (K,), means (K, D), covariances in scikit-learn's shape for their type."""

    covariance_type: str
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


Fit = Callable[[np.ndarray, Parameters, int], Parameters]


@dataclass(frozen=True)
class Peer:
    """An implementation that is compared with fastem."""

    # The installed version; ImportError where there is none.
    version: Callable[[], str]
    # Parameters after exactly n_iter iterations: fit(X, start, n_iter).
    fit: Fit
    # By covariance type: "cannot: ..." or "not comparable: ...", for the types that are not measured.
    limits: dict[str, str]
    # Most rows x components that it gets; it then competes on fewer rows, as does fastem.
    max_posteriors: int | None = None
    # Whether it insists on first parameters of its own, so that only its time can be compared.
    own_start: bool = False
    # Whether it computes in single precision where the rows are float32.
    keeps_float32: bool = False

    def is_usable(self) -> bool:
        """Whether it is installed, in a version that agrees with the others."""
        try:
            self.version()
        except ImportError:
            return False
        return True

    def most_rows(self, n_rows: int, n_components: int) -> int:
        """How many of the rows it is measured on."""
        return n_rows if self.max_posteriors is None else min(n_rows, self.max_posteriors // n_components)

    def tolerance(self, dtype: str) -> float:
        return 1e-5 if self.keeps_float32 and dtype == "float32" else 1e-9


def version_of(module: str, distribution: str) -> str:
    """Version of a distribution whose module can be imported."""
    import_module(module)
    return metadata.version(distribution)


def fit_estimator(estimator: Callable[..., Any], X: np.ndarray, start: Parameters, n_iter: int) -> Parameters:
    """Fit an estimator with scikit-learn's names for exactly `n_iter` iterations."""
    kind, weights, means, covariances = start
    settings = {
        "covariance_type": kind,
        "weights_init": weights,
        "means_init": means,
        "precisions_init": np.linalg.inv(covariances) if kind in ("full", "tied") else 1.0 / covariances,
        # scikit-learn may run its default, k-means, even where every parameter is given.
        "init_params": "random_from_data",
        "reg_covar": 0.0,
        "tol": 0.0,
        "max_iter": n_iter,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture = estimator(len(weights), **settings).fit(X)
    if mixture.n_iter_ != n_iter:
        raise RuntimeError(f"{estimator.__module__} stopped after {mixture.n_iter_} of {n_iter} iterations")
    return Parameters(kind, mixture.weights_, mixture.means_, mixture.covariances_)


# What its peers do: plain EM, for the maximum of the likelihood.
fit_ours = partial(fit_estimator, partial(GaussianMixture, schedule="plain", prior=None))


def fit_daal4py(X: np.ndarray, start: Parameters, n_iter: int) -> Parameters:
    """Fit oneDAL's em_gmm (of the package scikit-learn-intelex) for exactly `n_iter` iterations."""
    from daal4py import em_gmm

    diagonal = start.covariance_type == "diag"
    covariances = start.covariances[:, None, :] if diagonal else start.covariances
    algorithm = em_gmm(
        len(start.weights),
        maxIterations=n_iter,
        accuracyThreshold=0.0,
        covarianceStorage="diagonal" if diagonal else "full",
        regularizationFactor=0.0,
    )
    result = algorithm.compute(X, start.weights[None, :], start.means, list(covariances))
    if int(result.nIterations[0, 0]) != n_iter:
        raise RuntimeError(f"em_gmm stopped after {int(result.nIterations[0, 0])} of {n_iter} iterations")
    fitted = np.array(result.covariances)
    return Parameters(start.covariance_type, result.weights[0], result.means, fitted[:, 0, :] if diagonal else fitted)


@contextmanager
def torch_default_dtype(dtype: Any) -> Iterator[None]:
    """Let PyTorch make tensors of a type unless told otherwise."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def fit_pomegranate(X: np.ndarray, start: Parameters, n_iter: int) -> Parameters:
    """Fit pomegranate's GeneralMixtureModel of Normal distributions for `n_iter` iterations."""
    import torch
    from pomegranate.distributions import Normal
    from pomegranate.gmm import GeneralMixtureModel

    rows = torch.from_numpy(X)
    kind, covariances = start.covariance_type, start.covariances
    if kind == "spherical":
        # A scalar variance fails its check of dimensions; equal variances of the features stay equal.
        kind, covariances = "sphere", np.repeat(covariances[:, None], X.shape[1], axis=1)
    # It sums the weights of components in torch's default dtype, whatever that of the rows.
    with torch_default_dtype(rows.dtype):
        parts = [torch.tensor(part, dtype=rows.dtype) for part in (start.means, covariances, start.weights)]
        distributions = [
            Normal(mean, covariance, covariance_type=kind, check_data=False)
            for mean, covariance in zip(*parts[:2], strict=True)
        ]
        model = GeneralMixtureModel(distributions, priors=parts[2], max_iter=n_iter, tol=-np.inf, check_data=False)
        model.fit(rows)
    means = np.stack([distribution.means.numpy() for distribution in distributions])
    fitted = np.stack([distribution.covs.numpy() for distribution in distributions])
    return start._replace(
        weights=model.priors.numpy(), means=means, covariances=fitted[:, 0] if kind == "sphere" else fitted
    )


def fit_opencv(X: np.ndarray, start: Parameters, n_iter: int) -> Parameters:
    """Fit OpenCV's cv2.ml.EM for `n_iter` iterations."""
    import cv2

    kinds = {"full": cv2.ml.EM_COV_MAT_GENERIC, "diag": cv2.ml.EM_COV_MAT_DIAGONAL}
    kind, *arrays = start
    model = cv2.ml.EM_create()
    model.setClustersNumber(len(start.weights))
    model.setCovarianceMatrixType(kinds[kind])
    model.setTermCriteria((cv2.TERM_CRITERIA_MAX_ITER, n_iter, 0.0))
    # Responsibilities, because trainE sorts the variances of the diagonal covariances that it is given.
    model.trainM(X, GaussianMixture.from_parameters(*arrays, covariance_type=kind).predict_proba(X))
    return Parameters(kind, model.getWeights()[0], model.getMeans(), _of_matrices(kind, np.array(model.getCovs())))


def fit_mlpack(X: np.ndarray, start: Parameters, n_iter: int) -> Parameters:
    """Fit mlpack's gmm_train for `n_iter` iterations from its own k-means, which `input_model` does not replace."""
    from mlpack import gmm_train

    kind = start.covariance_type
    model = gmm_train(
        input_=X,
        gaussians=len(start.weights),
        diagonal_covariance=kind == "diag",
        kmeans_max_iterations=10,
        # It counts from one, and takes 0 to mean no limit.
        max_iterations=n_iter + 1,
        tolerance=0.0,
    )["output_model"].get_cpp_params()["GMM"]
    parts = model["dists"]
    means = np.array([part["mean"].ravel() for part in parts])
    matrices = np.array([part["covariance"] for part in parts])
    return Parameters(kind, model["weights"].ravel(), means, _of_matrices(kind, matrices))


def _of_matrices(covariance_type: str, matrices: np.ndarray) -> np.ndarray:
    return matrices if covariance_type == "full" else np.diagonal(matrices, axis1=1, axis2=2)


def _version_of_opencv() -> str:
    # Version 5 has moved this part out of the main package.
    import_module("cv2.ml")
    return str(import_module("cv2").__version__)


NO_TIED = {"tied": "cannot: no tied covariances"}
FULL_AND_DIAGONAL = NO_TIED | {"spherical": "cannot: no spherical covariances"}

PEERS = {
    "scikit-learn": Peer(
        partial(version_of, "sklearn.mixture", "scikit-learn"),
        partial(fit_estimator, SklearnGaussianMixture),
        limits={},
        keeps_float32=True,
    ),
    "oneDAL": Peer(partial(version_of, "daal4py", "scikit-learn-intelex"), fit_daal4py, FULL_AND_DIAGONAL),
    "pomegranate": Peer(
        partial(version_of, "pomegranate.gmm", "pomegranate"), fit_pomegranate, NO_TIED, keeps_float32=True
    ),
    "mlpack": Peer(partial(version_of, "mlpack", "mlpack"), fit_mlpack, FULL_AND_DIAGONAL, own_start=True),
    "OpenCV": Peer(
        _version_of_opencv,
        fit_opencv,
        NO_TIED | {"spherical": "not comparable: its density leaves out the number of features"},
        max_posteriors=500_000,
    ),
}
