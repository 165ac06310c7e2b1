"""When to stop: by the estimated remaining improvement, not by the gain of the last iteration."""

from __future__ import annotations

import math
from collections.abc import Sequence

# Falls smaller than this, relative to the objective, are rounding.
ROUNDING = 1e-10


def remaining_gain(objective: Sequence[float]) -> float:
    """Aitken's estimate of how far the objective still has to rise, in its own unit.

    EM converges linearly: each gain is about a times the one before, so the gains still to come sum to
    gain * a / (1 - a). A small gain alone says little; at a = 0.99 a hundred times as much is left.

    Parameters
    ----------
    objective : sequence of float
        Values after successive iterations; the last three are read.

    Returns
    -------
    float
        NaN while there is no estimate: fewer than three values, a value that is not finite, or gains
        that do not shrink.

    References
    ----------
    Böhning et al. (1994), *The distribution of the likelihood ratio for mixtures of densities from the
    one-parameter exponential family*, Ann. Inst. Statist. Math. 46, 373-388.
    """
    if len(objective) < 3:
        return math.nan
    before, gain = objective[-2] - objective[-3], objective[-1] - objective[-2]
    if not (math.isfinite(before) and math.isfinite(gain)):
        return math.nan
    return gain_of_rate(gain, gain / before if before > 0.0 else math.inf)


def gain_of_rate(gain: float, rate: float) -> float:
    """The estimated remaining improvement after an iteration that gained `gain`, when each one gains `rate` times the
    one before.

    NaN when gains do not shrink, or are not known.
    """
    if gain <= 0.0:
        return 0.0
    return gain * rate / (1.0 - rate) if rate < 1.0 else math.nan


def iterations_left(objective: Sequence[float], tol: float) -> float:
    """Estimate of the iterations until the estimated remaining improvement is below `tol`; NaN while there is none.

    What is left shrinks by the factor a of Aitken's estimate in each iteration.
    """
    left = remaining_gain(objective)
    if not left > 0.0 or tol <= 0.0:
        return math.nan
    rate = (objective[-1] - objective[-2]) / (objective[-2] - objective[-3])
    return max(0.0, math.log(tol / left) / math.log(rate)) if rate > 0.0 else 0.0


def rounding_slack(objective: float) -> float:
    """The largest fall of the objective that rounding explains."""
    return ROUNDING * max(1.0, abs(objective))
