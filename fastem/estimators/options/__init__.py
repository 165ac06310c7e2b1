"""Options of estimators, as values: how a fit learns, where it starts, what is believed, what stays fixed."""

from __future__ import annotations

from fastem.estimators.options.base import Options
from fastem.estimators.options.priors import Dirichlet, Fixed, NormalInverseWishart
from fastem.estimators.options.running import Checkpoint, Race, Restarts
from fastem.estimators.options.schedules import Batch, Incremental, Online, Subsample

__all__ = [
    "Batch",
    "Checkpoint",
    "Dirichlet",
    "Fixed",
    "Incremental",
    "NormalInverseWishart",
    "Online",
    "Race",
    "Restarts",
    "Subsample",
]

KINDS: dict[str, type[Options]] = {name: globals()[name] for name in __all__}
