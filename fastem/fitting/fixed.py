"""Models of which some parameters stay where they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastem.model import ChainGathering, Model, Params, Partial
from fastem.passes.pruning import NO_REACH
from fastem.stats import ExpectedStats

# A state lighter than this part of all rows has no statistics to hold anything with.
_NOTHING = 1e-9


@dataclass(frozen=True)
class HeldModel(Model):
    """A hidden Markov model whose M-step leaves some parameters alone.

    An E-step replaces what these are estimated from by statistics that give them back. So any schedule will do.

    Parameters
    ----------
    held : str
        "s" for the probabilities of the first state, "t" for those of transitions, and letters of the family.
    held_family : callable, optional
        Maps the family, its statistics, its parameters and `held` to the statistics that give these parameters back.
    """

    held: str = ""
    held_family: Callable[[Any, Any, Any, str], Any] | None = None

    def gathering(self, params: Params, reach: Any = None, begun: Partial | None = None) -> ChainGathering:
        """As of a `Model`; the sum is that of what is not held."""
        return _HeldGathering(self, params, begun)

    def hold(self, stats: ExpectedStats, params: Params) -> ExpectedStats:
        """The statistics, with those parts replaced."""
        latent, family = stats.latent, stats.family
        if "s" in self.held:
            latent = latent._replace(start=params.latent.startprob * max(latent.start.sum(), 1.0))
        if "t" in self.held:
            n = np.maximum(latent.transitions.sum(axis=1, keepdims=True), 1.0)
            latent = latent._replace(transitions=params.latent.transmat * n)
        if self.held_family is not None:
            family = self.held_family(self.family, family, params.family, self.held)
        return stats._replace(latent=latent, family=family)


class _HeldGathering(ChainGathering):
    def __init__(self, model: HeldModel, params: Params, begun: Partial | None):
        super().__init__(model, params, NO_REACH, begun)
        self._model = model

    def total(self) -> ExpectedStats:
        return self._model.hold(super().total(), self._params)


def hold_family(family: Any, stats: Any, params: Any, held: str) -> Any:
    """Hold all parameters of any family."""
    return family.stats_of(params, _positive(stats.n))


def hold_gaussian(family: Any, stats: Any, params: Any, held: str) -> Any:
    """Hold the means ("m") or the covariances ("c") of a Gaussian family; moments are about its means."""
    n = _positive(stats.n)
    sx = np.zeros_like(stats.sx) if "m" in held else stats.sx
    stats = stats._replace(n=n, sx=sx)
    if "c" not in held:
        return stats
    offset = sx / n[:, None]
    scatter = family.scatter_of(params.covariances, n) + stats.spread(n[:, None] * offset, offset)
    return stats._replace(sxx=scatter)


def _positive(n: np.ndarray) -> np.ndarray:
    return np.maximum(n, max(_NOTHING * float(n.sum()), float(np.finfo(np.float64).tiny)))
