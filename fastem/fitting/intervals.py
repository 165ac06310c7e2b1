"""Confidence intervals from standard errors."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.special import expit, logit, ndtri

from fastem.fitting.information import ParameterArrays, Record, StandardErrors, estimates, mapped, ratio_of, scales_of
from fastem.fitting.numeric import with_gradients
from fastem.model import Model, Params


class ConfidenceIntervals(Record):
    """Limits between which each parameter lies with a given confidence, taken alone.

    Attributes
    ----------
    level : float
    lower, upper : ParameterArrays
    """


def intervals(model: Model, params: Params, errors: StandardErrors, level: float) -> ConfidenceIntervals:
    """Limits from standard errors, each on the scale on which its estimate is nearly normal."""
    require_level(level)
    half = float(ndtri(0.5 + 0.5 * level))
    model = with_gradients(model)
    shown, scales = estimates(model, params), scales_of(model)
    lower, upper = (
        ParameterArrays(
            **{name: mapped(partial(_limit, tail), shown[name], getattr(errors, name), s) for name, s in scales.items()}
        )
        for tail in (-half, half)
    )
    return ConfidenceIntervals(level=level, lower=lower, upper=upper)


def _limit(tail: float, estimate: np.ndarray, error: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Estimates moved by so many of their errors, along their scales."""
    distance = tail * error
    limit = estimate + distance
    with np.errstate(over="ignore"):
        log, share = scale == "log", scale == "logit"
        limit[log] = estimate[log] * np.exp(distance[log] / estimate[log])
        p, d = estimate[share], distance[share]
        # The share of the only component is one, and certain.
        limit[share] = np.where(p < 1.0, expit(logit(p) + ratio_of(d, p * (1.0 - p))), p)
    return limit


def require_level(level: float) -> None:
    """Raise ValueError for a level of confidence that is not between zero and one."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, such as 0.95; it is {level}.")
