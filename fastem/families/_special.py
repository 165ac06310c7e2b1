"""Equations of one number that several families solve."""

from __future__ import annotations

import numpy as np
from scipy.special import digamma, polygamma


def gamma_shape(gap: np.ndarray) -> np.ndarray:
    """The shape of a gamma distribution, where the logarithm of the mean exceeds the mean logarithm by a gap.

    By Newton's method for the inverse shape (Minka 2002, *Estimating a Gamma distribution*). Where all rows are equal,
    the gap is zero.
    """
    s = np.clip(gap, 1e-9, 1e6)
    shape = (3.0 - s + np.sqrt((s - 3.0) ** 2 + 24.0 * s)) / (12.0 * s)
    for _ in range(5):
        rise = np.log(shape) - digamma(shape) - s
        shape = 1.0 / (1.0 / shape + rise / (shape - np.square(shape) * polygamma(1, shape)))
    return shape
