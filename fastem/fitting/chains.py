"""Chains as users describe them: priors, impossible transitions, and probabilities that are set by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastem.fitting.parameters import numbers
from fastem.given import floats
from fastem.latents.hmm import HmmLatent


def chain_of(k: int, startprob_prior: Any, transmat_prior: Any, learnt: str, given: Mapping[str, Any]) -> HmmLatent:
    """The chain of `k` states with these priors, of which only those of `learnt` letters count.

    `given` holds probabilities that a fit starts from, by the names of the attributes: their zeros stay.
    """
    stationary = isinstance(startprob_prior, str)
    start_prior = 1.0 if stationary else dirichlet("startprob_prior", startprob_prior, (k,))
    allowed, transition_prior = _transitions(transmat_prior, k)
    if "transmat_" in given:
        allowed &= probabilities("transmat_", given["transmat_"], (k, k)) > 0
        if not allowed.any(axis=1).all():
            raise ValueError("transmat_ is zero wherever transmat_prior allows one in some row. Change one.")
    # A stationary start follows from the transitions alone.
    may_start = np.ones(k, dtype=bool)
    if "startprob_" in given and not stationary:
        may_start = probabilities("startprob_", given["startprob_"], (k,)) > 0
    elif isinstance(transmat_prior, str) and not stationary:
        may_start[1:] = False
    return HmmLatent(
        k,
        None if allowed.all() else allowed,
        None if may_start.all() else may_start,
        start_prior if "s" in learnt else 1.0,
        transition_prior if "t" in learnt else 1.0,
        stationary,
    )


def _transitions(given: Any, k: int) -> tuple[np.ndarray, Any]:
    """Which transitions (K, K) are possible, and the parameters of the Dirichlet priors of their probabilities."""
    if isinstance(given, str):
        return np.triu(np.ones((k, k), dtype=bool)), 1.0
    given = floats(given, "transmat_prior")
    if given.ndim == 0:
        return np.ones((k, k), dtype=bool), dirichlet("transmat_prior", given, (k, k))
    allowed = given != 0
    if given.shape != (k, k) or not allowed.any(axis=1).all():
        raise ValueError(
            f"transmat_prior must be a number, 'left-right', or of shape {(k, k)} with a positive value in every "
            f"row (zero stands for a transition that is impossible); got the shape {given.shape}."
        )
    prior = dirichlet("transmat_prior", np.where(allowed, given, 1.0), (k, k))
    return allowed, 1.0 if np.all(prior == 1.0) else prior


def dirichlet(name: str, given: Any, shape: tuple[int, ...]) -> float | np.ndarray:
    """Parameters of Dirichlet distributions: a number, or an array of the shape."""
    prior = floats(given, name)
    if prior.shape not in ((), shape) or not np.all(np.isfinite(prior) & (prior >= 1.0)):
        raise ValueError(f"{name} must be a finite number of at least 1, or hold such numbers in the shape {shape}.")
    return float(prior) if prior.ndim == 0 else prior


def probabilities(name: str, given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Probabilities that sum to one along the last axis."""
    values = np.array(numbers(name, given, shape))
    if values.shape != shape or not np.all(values >= 0) or not np.allclose(values.sum(axis=-1), 1.0, atol=1e-6):
        raise ValueError(f"{name} must have the shape {shape}, and rows of probabilities that sum to 1.")
    return values
