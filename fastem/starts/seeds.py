"""Labels that components start from: those of the seeds nearest to rows, or of quantiles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Seeder = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], np.ndarray]


def kmeans_plus_plus(X: np.ndarray, weight: np.ndarray, n_components: int, random: np.random.Generator) -> np.ndarray:
    """Greedy k-means++ (Arthur & Vassilvitskii 2007): rows drawn by squared distance to those already drawn."""
    from sklearn.cluster import kmeans_plusplus

    centres, _ = kmeans_plusplus(X, n_components, sample_weight=weight, random_state=_legacy_seed(random))
    return centres


def kmeans(X: np.ndarray, weight: np.ndarray, n_components: int, random: np.random.Generator) -> np.ndarray:
    """Centres of k-means (Lloyd's iterations from k-means++)."""
    from sklearn.cluster import KMeans

    clustering = KMeans(n_components, n_init=1, random_state=_legacy_seed(random))
    return clustering.fit(X, sample_weight=weight).cluster_centers_


def random_rows(X: np.ndarray, weight: np.ndarray, n_components: int, random: np.random.Generator) -> np.ndarray:
    """Different rows, drawn by weight."""
    return X[random.choice(X.shape[0], size=n_components, replace=False, p=weight / weight.sum())]


def _legacy_seed(random: np.random.Generator) -> int:
    return int(random.integers(2**31 - 1))


def seeded_labels(
    X: np.ndarray, bulk: np.ndarray, weight: np.ndarray, n_components: int, seeder: Seeder, random: np.random.Generator
) -> np.ndarray:
    """Component (N,) of each of the rows X (N, D): that of the seed nearest to it.

    Each feature is centred, and scaled to unit variance of `bulk` (N, D): the rows, or what stands for far ones.
    """
    scaled = unit_scaled(X, bulk, weight)
    return nearest_seed(scaled, seeder(scaled, weight, n_components, random))


def unit_scaled(X: np.ndarray, bulk: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The rows X (N, D), each feature centred and scaled to unit variance of `bulk` (N, D)."""
    centre = np.average(bulk, axis=0, weights=weight)
    centred = bulk - centre
    # Divided by the largest value first: the square of 1e200 is not a number.
    largest = np.abs(centred).max(axis=0)
    scale = np.where(largest > 0, largest, 1.0)
    sd = np.sqrt(np.average(np.square(centred / scale), axis=0, weights=weight))
    scaled = (X - centre) / scale
    scaled /= np.where(sd > 0, sd, 1.0)
    return scaled


def nearest_seed(X: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Index (N,) of the seed nearest to each row, and to each seed at least as many rows as give a covariance."""
    n_rows = len(X)
    labels = np.empty(n_rows, dtype=np.intp)
    step = max(1, 2**20 // seeds.shape[0])
    for start in range(0, n_rows, step):
        part = X[start : start + step]
        # Centred differences, component by component: no expansion of the square, no N x K x D array.
        distances = np.stack([np.square(part - seed).sum(axis=1) for seed in seeds])
        labels[start : start + step] = distances.argmin(axis=0)
    give_enough_rows(labels, X, seeds)
    return labels


def give_enough_rows(labels: np.ndarray, X: np.ndarray, seeds: np.ndarray) -> None:
    """Change labels (N,) of the nearest seeds: none has fewer rows of X (N, D) than give a covariance.

    A seed that few rows are nearest to (an outlier) also takes its nearest neighbours, so that no
    component starts out collapsed.
    """
    n_rows, n_features = X.shape
    enough = min(2 * (n_features + 1), n_rows // seeds.shape[0])
    counts = np.bincount(labels, minlength=seeds.shape[0])
    for k in np.flatnonzero(counts < enough):
        neighbours = np.argpartition(np.square(X - seeds[k]).sum(axis=1), enough - 1)[:enough]
        labels[neighbours] = k


def quantile_labels(x: np.ndarray, weight: np.ndarray, n_components: int) -> np.ndarray:
    """Label (N,) of each value: which of K groups of equal weight it falls in."""
    order = np.argsort(x, kind="stable")
    cumulative = np.cumsum(weight[order])
    middle = cumulative - 0.5 * weight[order]
    labels = np.empty(x.shape[0], dtype=np.intp)
    labels[order] = np.minimum(n_components - 1, (n_components * middle / cumulative[-1]).astype(np.intp))
    return labels
