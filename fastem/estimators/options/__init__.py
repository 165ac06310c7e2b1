"""Options of estimators, as values: how a fit learns, where it starts, what is believed, what stays fixed."""

from __future__ import annotations

from fastem.estimators.options.base import Options
from fastem.estimators.options.priors import Dirichlet, Fixed, NormalInverseWishart
from fastem.estimators.options.running import Checkpoint, Race, Restarts
from fastem.estimators.options.schedules import Batch, Incremental, Online, Subsample

KINDS: dict[str, type[Options]] = {
    kind.__name__: kind
    for kind in (
        Batch, Checkpoint, Dirichlet, Fixed, Incremental, NormalInverseWishart, Online, Race, Restarts, Subsample,
    )
}  # fmt: skip

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
