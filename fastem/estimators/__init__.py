"""Public estimators, in scikit-learn's words. No formulas live here."""

from __future__ import annotations

from pathlib import Path

from fastem.estimators import _archive
from fastem.estimators._select import Selection, select
from fastem.estimators._warmup import warmup
from fastem.estimators.gaussian_mixture import GaussianMixture

__all__ = ["GaussianMixture", "Selection", "load", "select", "warmup"]

_CLASSES: dict[str, type] = {"GaussianMixture": GaussianMixture}


def load(path: str | Path) -> GaussianMixture:
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
    return _archive.load(path, _CLASSES)
