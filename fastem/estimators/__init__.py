"""Public estimators, in scikit-learn's words. No formulas live here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastem.estimators._select import Selection, select
from fastem.estimators._warmup import warmup
from fastem.estimators.column_hmms import CategoricalHMM, PoissonHMM
from fastem.estimators.column_mixtures import (
    BernoulliMixture,
    CategoricalMixture,
    ExponentialMixture,
    MultinomialMixture,
    PoissonMixture,
)
from fastem.estimators.gaussian_hmm import GaussianHMM
from fastem.estimators.gaussian_mixture import GaussianMixture
from fastem.estimators.hmm import HMM
from fastem.estimators.mixture import Mixture
from fastem.fitting import archive

_ESTIMATORS = (
    Mixture,
    GaussianMixture,
    PoissonMixture,
    BernoulliMixture,
    CategoricalMixture,
    MultinomialMixture,
    ExponentialMixture,
    HMM,
    GaussianHMM,
    PoissonHMM,
    CategoricalHMM,
)
_CLASSES: dict[str, type] = {estimator.__name__: estimator for estimator in _ESTIMATORS}

__all__ = [
    "HMM",
    "BernoulliMixture",
    "CategoricalHMM",
    "CategoricalMixture",
    "ExponentialMixture",
    "GaussianHMM",
    "GaussianMixture",
    "Mixture",
    "MultinomialMixture",
    "PoissonHMM",
    "PoissonMixture",
    "Selection",
    "load",
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
    return archive.load(path, _CLASSES)
