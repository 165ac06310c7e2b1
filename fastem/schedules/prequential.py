"""How well batches were predicted before they were learnt from, in bounded memory."""

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
