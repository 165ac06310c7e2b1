"""Proposals and the edges of a space: where a probability is zero, EM cannot come back from."""

from __future__ import annotations

from typing import Any

import numpy as np

# A proposal takes no more than this part of a square root away that the M-step would leave: EM multiplies what is small
# by a factor, and would need long to bring back what was nearly zero.
_LEAST_LEFT = 0.1
# Values below this that an iteration raises by so much are on their way back from an edge.
_SMALL, _RISE = 1e-3, 1.01


def kept_inside(space: Any, point: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A proposed point, moved off the edges that the plain iteration, which leads to `image`, does not go to."""
    if not hasattr(space, "roots"):
        return point
    # Roots of either sign stand for the same value.
    return np.where(space.roots(point), np.maximum(point, _LEAST_LEFT * image), point)


def lifted_off(space: Any, params: Any, image: Any) -> Any | None:
    """Parameters off the edges that an iteration, from `params` to `image`, moves away from; None when at none.

    Near an edge an iteration gains next to nothing, whatever is to be gained away from it.
    """
    if not hasattr(space, "roots"):
        return None
    here, there = space.to_unconstrained(params), space.to_unconstrained(image)
    rising = space.roots(here) & (here**2 < _SMALL) & (there**2 > _RISE * here**2)
    return space.from_unconstrained(np.where(rising, np.sqrt(_SMALL), there)) if rising.any() else None
