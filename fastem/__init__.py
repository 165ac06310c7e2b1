"""Expectation-maximisation at the speed of the hardware, on data that fits in memory and on data that does not.

Families that mixtures and hidden Markov models take as values (`Poisson`, `Categorical`, …) are in `fastem.families`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastem.estimators import (
        GMMHMM,
        HMM,
        Batch,
        CategoricalHMM,
        Checkpoint,
        Dirichlet,
        Fixed,
        GaussianHMM,
        GaussianMixture,
        Imputer,
        Incremental,
        Mixture,
        NormalInverseWishart,
        Online,
        PoissonHMM,
        Race,
        RegressionMixture,
        Restarts,
        Selection,
        Subsample,
        load,
        pool,
        select,
        warmup,
    )
    from fastem.sources import CsvFormat, open_source

__all__ = [
    "GMMHMM",
    "HMM",
    "Batch",
    "CategoricalHMM",
    "Checkpoint",
    "CsvFormat",
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
    "open_source",
    "pool",
    "select",
    "warmup",
]


def __getattr__(name: str) -> Any:
    """Import the estimators, and numba and scikit-learn with them, when they are first asked for."""
    if name in ("CsvFormat", "open_source"):
        return getattr(import_module("fastem.sources"), name)
    if name in __all__:
        return getattr(import_module("fastem.estimators"), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("fastem")
    raise AttributeError(f"module 'fastem' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
