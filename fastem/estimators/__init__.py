"""Public estimators, in scikit-learn's words. No formulas live here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastem.estimators._files import load_one_of
from fastem.estimators._select import select
from fastem.estimators._warmup import warmup
from fastem.estimators.column_hmms import CategoricalHMM, PoissonHMM
from fastem.estimators.gaussian_hmm import GaussianHMM
from fastem.estimators.gaussian_mixture import GaussianMixture
from fastem.estimators.gmm_hmm import GMMHMM
from fastem.estimators.hmm import HMM
from fastem.estimators.imputer import Imputer
from fastem.estimators.mixture import Mixture
from fastem.estimators.regression_mixture import RegressionMixture
from fastem.fitting.checkpoint import Checkpoint
from fastem.fitting.fixed import Fixed
from fastem.fitting.pooling import pool
from fastem.fitting.priors import Dirichlet, NormalInverseWishart
from fastem.schedules.batch import Batch, Subsample
from fastem.schedules.incremental import Incremental
from fastem.schedules.online import Online
from fastem.search.options import Race, Restarts
from fastem.search.selection import Selection

_ESTIMATORS = (Mixture, GaussianMixture, HMM, GaussianHMM, GMMHMM, PoissonHMM, CategoricalHMM)
_CLASSES: dict[str, type] = {estimator.__name__: estimator for estimator in _ESTIMATORS}

__all__ = [
    "GMMHMM",
    "HMM",
    "Batch",
    "CategoricalHMM",
    "Checkpoint",
    "Dirichlet",
    "Fixed",
    "GaussianHMM",
    "GaussianMixture",
    "Imputer",
    "Incremental",
    "Mixture",
    "NormalInverseWishart",
    "Online",
    "PoissonHMM",
    "Race",
    "RegressionMixture",
    "Restarts",
    "Selection",
    "Subsample",
    "load",
    "pool",
    "select",
    "warmup",
]


def load(path: str | Path) -> Any:
    """Read a model that its `save` method wrote.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    A fitted estimator, which predicts to the last bit as the one that was saved.

    Raises
    ------
    fastem.persistence.ModelFileError
        When the file is damaged, is not a model, or comes from a newer version.
    OSError
        When it cannot be opened.
    """
    return load_one_of(_CLASSES, path)
