"""How well batches are predicted before they are learnt from: the course in bounded memory, and whether it fell."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

MAX_POINTS = 1000


class Prequential(NamedTuple):
    """Sums of weight and log-likelihood over `stride` batches each: when there are too many, neighbours merge."""

    # Weight and log-likelihood (n, 2) of each point, and how many batches the last one has, which may be incomplete.
    sums: np.ndarray = np.empty((0, 2))
    stride: int = 1
    n_open: int = 1

    def after(self, loglik: float, weight: float) -> Self:
        """The trace with one more batch."""
        sums, stride, n_open = self
        if n_open == stride and len(sums) == MAX_POINTS:
            sums, stride = sums[::2] + sums[1::2], 2 * stride
            n_open = stride
        point = np.array([[weight, loglik]])
        if n_open == stride:
            return type(self)(np.concatenate([sums, point]), stride, 1)
        return type(self)(np.concatenate([sums[:-1], sums[-1:] + point]), stride, n_open + 1)

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Weight seen at the end of each point, and the mean log-likelihood of its rows, in nats."""
        weight, loglik = self.sums.T
        return np.cumsum(weight), loglik / weight


# In standard deviations of the mean log-likelihood of a batch: what is tolerated of a batch, what alarms
# in sum, and the most that one batch, which may hold an outlier, can add.
TOLERANCE = 0.5
THRESHOLD = 10.0
MOST = 3.0
# In batches: how far back mean and deviation remember, and how many there must be before any alarm.
MEMORY = 100
WARM_UP = 30
# A difference of two batches counts as no more than this many deviations towards the deviation.
_MOST_DIFFERENCE = 6.0


class PageHinkley(NamedTuple):
    """Running test for a fall of the prequential log-likelihood.

    The falls below the running mean, less what is tolerated, are summed while the sum is positive. A rise, as
    at the beginning of learning, never alarms: the running mean lags behind it. The deviation comes from
    differences between neighbours, which a rise does not inflate. A batch that is to be judged hardly moves what it
    is judged by: mean and deviation take from it no more than from a batch at the limit of what is credible, so that
    a fall of any size alarms. A stream that does not change raises about one alarm in 100 000 batches.

    References
    ----------
    Page (1954), *Continuous inspection schemes*, Biometrika 41, 100-115; Hinkley (1971), *Inference about the
    change-point from cumulative sum tests*, Biometrika 58, 509-523.
    """

    # Batches since the last alarm, and the running mean of their mean log-likelihoods, in nats.
    n: int = 0
    mean: float = 0.0
    # Of one row, as if rows were independent: a batch of weight w has `variance` / w.
    variance: float = 0.0
    # The batch before.
    last: float = 0.0
    last_weight: float = 1.0
    # The sum, in standard deviations.
    excess: float = 0.0

    def after(self, value: float, weight: float) -> tuple[Self, bool]:
        """The test after a batch with this mean log-likelihood and weight, and whether it alarms.

        After an alarm it begins anew. The value is minus infinity where no row of the batch was possible.
        """
        cls = type(self)
        judges = self.n >= WARM_UP and self.variance > 0.0
        if not judges and not np.isfinite(value):
            return self, False
        if self.n == 0:
            return cls(1, value, 0.0, value, weight), False
        excess = self.excess
        if judges:
            sd = np.sqrt(self.variance / weight)
            fall = (self.mean - value) / sd
            excess = max(0.0, excess + float(np.clip(fall, -MOST, MOST)) - TOLERANCE)
            if excess > THRESHOLD:
                return cls(), True
            value = max(value, float(self.mean - MOST * sd))
        square = (value - self.last) ** 2 / (1.0 / weight + 1.0 / self.last_weight)
        if judges:
            square = min(square, _MOST_DIFFERENCE**2 * self.variance)
        n = self.n + 1
        return cls(
            n,
            self.mean + (value - self.mean) / min(n, MEMORY),
            self.variance + (square - self.variance) / min(n - 1, MEMORY),
            value,
            weight,
            excess,
        ), False
