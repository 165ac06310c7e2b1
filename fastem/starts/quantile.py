"""Start of one-dimensional mixtures: equal shares of the rows in order of size."""

from __future__ import annotations

import numpy as np


def quantile_labels(x: np.ndarray, weight: np.ndarray, n_components: int) -> np.ndarray:
    """Label (N,) of each value: which of K groups of equal weight it falls in."""
    order = np.argsort(x, kind="stable")
    cumulative = np.cumsum(weight[order])
    middle = cumulative - 0.5 * weight[order]
    labels = np.empty(x.shape[0], dtype=np.intp)
    labels[order] = np.minimum(n_components - 1, (n_components * middle / cumulative[-1]).astype(np.intp))
    return labels
