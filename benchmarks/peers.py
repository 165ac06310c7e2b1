"""Other implementations of EM for Gaussian mixtures: how each is called, and what it cannot do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module, metadata
from typing import Any

import numpy as np
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

from benchmarks import armadillo, common
from benchmarks.common import Parameters, Workload

Fit = Callable[[np.ndarray, Workload, int], Parameters]


@dataclass(frozen=True)
class Peer:
    """An implementation that is compared with fastem.

    Parameters
    ----------
    version : callable
        Gives the installed version, or raises ImportError.
    fit : callable
        (X, workload, n_iter) -> fitted parameters after exactly `n_iter` iterations from `common.start_of(workload)`.
    limits : dict
        By covariance type: "cannot: ..." or "not comparable: ...", for the types that are not measured.
    max_posteriors : int or None
        Most rows x components that it gets; it then competes on fewer rows, as does fastem.
    own_start : bool
        Whether it insists on first parameters of its own, so that only its time can be compared.
    keeps_float32 : bool
        Whether it computes in single precision where the rows are float32.
    """

    version: Callable[[], str]
    fit: Fit
    limits: dict[str, str]
    max_posteriors: int | None = None
    own_start: bool = False
    keeps_float32: bool = False

    def is_usable(self) -> bool:
        """Whether it is installed, in a version that agrees with the others."""
        try:
            self.version()
        except ImportError:
            return False
        return True

    def n_rows(self, workload: Workload) -> int:
        """Rows of a workload that it is measured on."""
        if self.max_posteriors is None:
            return workload.n_rows
        return min(workload.n_rows, self.max_posteriors // workload.n_components)

    def tolerance(self, workload: Workload) -> float:
        """Relative difference of the log-likelihood that its arithmetic explains."""
        return 1e-5 if self.keeps_float32 and workload.dtype == "float32" else 1e-9


def version_of(module: str, distribution: str) -> str:
    import_module(module)
    return metadata.version(distribution)


def fit_estimator(estimator: type, X: np.ndarray, workload: Workload, n_iter: int) -> Parameters:
    """Fit fastem's or scikit-learn's estimator for exactly `n_iter` iterations."""
    # scikit-learn may run its default, k-means, even where every parameter is given.
    settings = {**common.start_settings(workload), "init_params": "random_from_data", "tol": 0.0}
    with common.quiet():
        mixture = estimator(**settings, max_iter=n_iter).fit(X)
    if mixture.n_iter_ != n_iter:
        raise RuntimeError(f"{estimator.__module__} stopped after {mixture.n_iter_} of {n_iter} iterations")
    return common.parameters_of(mixture)


def fit_daal4py(X: np.ndarray, workload: Workload, n_iter: int) -> Parameters:
    """Fit oneDAL's em_gmm (of the package scikit-learn-intelex) for exactly `n_iter` iterations."""
    from daal4py import em_gmm

    start = common.start_of(workload)
    diagonal = workload.covariance_type == "diag"
    covariances = start.covariances_as("diag")[:, None, :] if diagonal else start.covariances
    algorithm = em_gmm(
        workload.n_components,
        maxIterations=n_iter,
        accuracyThreshold=0.0,
        covarianceStorage="diagonal" if diagonal else "full",
        regularizationFactor=0.0,
    )
    result = algorithm.compute(X, start.weights[None, :], start.means, list(covariances))
    if int(result.nIterations[0, 0]) != n_iter:
        raise RuntimeError(f"em_gmm stopped after {int(result.nIterations[0, 0])} of {n_iter} iterations")
    fitted = np.array(result.covariances)
    fitted = fitted[:, 0, :] if diagonal else fitted
    return Parameters.of_type(workload.covariance_type, result.weights[0], result.means, fitted)


@contextmanager
def torch_default_dtype(dtype: Any) -> Iterator[None]:
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def fit_pomegranate(X: np.ndarray, workload: Workload, n_iter: int) -> Parameters:
    """Fit pomegranate's GeneralMixtureModel of Normal distributions for `n_iter` iterations."""
    import torch
    from pomegranate.distributions import Normal
    from pomegranate.gmm import GeneralMixtureModel

    start = common.start_of(workload)
    rows = torch.from_numpy(X)
    covariances = start.covariances_as(workload.covariance_type)
    if workload.covariance_type == "spherical":
        # A scalar variance fails its check of dimensions; equal variances of the features stay equal.
        covariances = np.repeat(covariances[:, None], workload.n_features, axis=1)
    kind = {"spherical": "sphere"}.get(workload.covariance_type, workload.covariance_type)
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
    fitted = fitted[:, 0] if workload.covariance_type == "spherical" else fitted
    return Parameters.of_type(workload.covariance_type, model.priors.numpy(), means, fitted)


def fit_opencv(X: np.ndarray, workload: Workload, n_iter: int) -> Parameters:
    """Fit OpenCV's cv2.ml.EM for `n_iter` iterations."""
    import cv2

    kinds = {"full": cv2.ml.EM_COV_MAT_GENERIC, "diag": cv2.ml.EM_COV_MAT_DIAGONAL}
    model = cv2.ml.EM_create()
    model.setClustersNumber(workload.n_components)
    model.setCovarianceMatrixType(kinds[workload.covariance_type])
    model.setTermCriteria((cv2.TERM_CRITERIA_MAX_ITER, n_iter, 0.0))
    # Responsibilities, because trainE sorts the variances of the diagonal covariances that it is given.
    model.trainM(X, common.mixture_of(workload).predict_proba(X))
    return Parameters(model.getWeights()[0], model.getMeans(), np.array(model.getCovs()))


def fit_mlpack(X: np.ndarray, workload: Workload, n_iter: int) -> Parameters:
    """Fit mlpack's gmm_train for `n_iter` iterations from its own k-means, which `input_model` does not replace."""
    from mlpack import gmm_train

    model = gmm_train(
        input_=X,
        gaussians=workload.n_components,
        diagonal_covariance=workload.covariance_type == "diag",
        kmeans_max_iterations=10,
        # It counts from one, and takes 0 to mean no limit.
        max_iterations=n_iter + 1,
        tolerance=0.0,
    )["output_model"].get_cpp_params()["GMM"]
    parts = model["dists"]
    means = np.array([part["mean"].ravel() for part in parts])
    return Parameters(model["weights"].ravel(), means, np.array([part["covariance"] for part in parts]))


_NO_TIED = {"tied": "cannot: no tied covariances"}
_FULL_AND_DIAGONAL = _NO_TIED | {"spherical": "cannot: no spherical covariances"}

PEERS = {
    "scikit-learn": Peer(
        partial(version_of, "sklearn.mixture", "scikit-learn"),
        partial(fit_estimator, SklearnGaussianMixture),
        limits={},
        keeps_float32=True,
    ),
    "oneDAL": Peer(partial(version_of, "daal4py", "scikit-learn-intelex"), fit_daal4py, _FULL_AND_DIAGONAL),
    "pomegranate": Peer(
        partial(version_of, "pomegranate.gmm", "pomegranate"), fit_pomegranate, _NO_TIED, keeps_float32=True
    ),
    "Armadillo": Peer(armadillo.version, armadillo.fit, _FULL_AND_DIAGONAL),
    "mlpack": Peer(partial(version_of, "mlpack", "mlpack"), fit_mlpack, _FULL_AND_DIAGONAL, own_start=True),
    "OpenCV": Peer(
        lambda: import_module("cv2.ml") and import_module("cv2").__version__,
        fit_opencv,
        _NO_TIED | {"spherical": "not comparable: its density leaves out the number of features"},
        max_posteriors=500_000,
    ),
}
