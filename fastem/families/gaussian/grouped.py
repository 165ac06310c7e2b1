"""Gaussian components in groups, each of which shares a covariance matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.full import Full
from fastem.families.gaussian.matrices import log_triangles, triangles_at
from fastem.families.gaussian.moments import CentralMoments


class Grouped(Full):
    """Matrices (K, D, D), of which `size` components that follow each other have the same."""

    def __init__(self, size: int):
        self.size = size

    def _size(self, n_components: int) -> int:
        """Components of a group, where there are so many in all: one takes all rows before a fit."""
        return min(self.size, n_components)

    def _of_groups(self, of_all: np.ndarray) -> np.ndarray:
        """Sums over the components of each group."""
        return of_all.reshape(-1, self._size(len(of_all)), *of_all.shape[1:]).sum(axis=1)

    def n_parameters(self, k: int, d: int) -> int:
        """Number of free parameters of the covariances of all groups."""
        return super().n_parameters(k, d) // self._size(k)

    def estimate(self, moments: CentralMoments, d: int) -> np.ndarray:
        """The pooled scatter of each group; a group without rows takes that of all."""
        share = self._of_groups(np.where(moments.bare, 0.0, moments.share))
        covariances = self._of_groups(moments.scatter) / np.where(share > 0.0, share, 1.0)[:, None, None]
        covariances[share <= 0.0] = moments.scatter.sum(axis=0) / moments.total
        return np.repeat(covariances, self._size(moments.share.size), axis=0)

    def to_unconstrained(self, params: Any, scale: np.ndarray) -> np.ndarray:
        """Factors of the covariance of each group."""
        first = params.whitening[:: self._size(len(params.whitening))]
        return log_triangles(np.linalg.inv(first) / scale[:, None])

    def from_unconstrained(self, point: np.ndarray, scale: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The covariances of all components at any point."""
        size = self._size(shape[0])
        factors = triangles_at(point, (shape[0] // size, *shape[1:])) * scale[:, None]
        return np.repeat(factors @ np.swapaxes(factors, -1, -2), size, axis=0)


@dataclass(frozen=True, eq=False, kw_only=True)
class GaussianGrouped(Gaussian):
    """Multivariate normal rows; `group_size` components that follow each other have one covariance matrix."""

    group_size: int = 1

    @property
    def structure(self) -> Grouped:
        """The covariance structure."""
        return Grouped(self.group_size)
