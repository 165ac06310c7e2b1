"""A huge column of numbers in a few thousand weighted ones with nearly the same likelihood."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from fastem.executors.reduction import reduced
from fastem.sources.segments import Segment, in_pieces, segments_of

# Rows that are binned at once stay in a core's cache.
_BLOCK_ROWS = 2**15


class Grid(NamedTuple):
    """Bins of the whole line: of equal width in u = 1 - sqrt(scale / (scale + |d|)), d = x - centre, on either side.

    Half of them lie within three times `scale` of the centre, and they grow with the 1.5th power of the
    distance beyond: no outlier, however far, takes the bins away from the others.
    """

    centre: float
    scale: float
    n_bins: int

    @classmethod
    def around(cls, values: np.ndarray, n_bins: int) -> Grid:
        centre = float(np.median(values))
        distance = np.abs(values - centre)
        scale = float(np.median(distance)) or float(np.mean(distance)) or 1.0
        return cls(centre, scale, n_bins)

    def bin_of(self, x: np.ndarray) -> np.ndarray:
        """The bin (N,) of each value."""
        d = x - self.centre
        u = np.abs(d)
        u += self.scale
        np.divide(self.scale, u, out=u)
        np.sqrt(u, out=u)
        np.subtract(1.0, u, out=u)
        np.copysign(u, d, out=u)
        u += 1.0
        u *= 0.5 * self.n_bins
        return np.minimum(u.astype(np.intp), self.n_bins - 1)

    def middles(self) -> np.ndarray:
        """A value (B,) within each bin."""
        u = (2.0 * np.arange(self.n_bins) + 1.0) / self.n_bins - 1.0
        return self.centre + np.copysign(self.scale * (1.0 / np.square(1.0 - np.abs(u)) - 1.0), u)


def compress(chunks: Iterable[Any], grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Stand-ins for all rows: for each bin two values of equal weight, with the bin's own mean and variance.

    Parameters
    ----------
    chunks : iterable
        Chunks of one feature.
    grid : Grid

    Returns
    -------
    values, weight : (M,) float64 ndarray
        M is at most twice the number of bins. The mean over them of a smooth function is that over the rows,
        up to the fourth power of a bin's width.
    """
    middles = grid.middles()

    def moments_of(segment: Segment) -> np.ndarray:
        # Moments about a point within the bin: nothing cancels, wherever the data lie.
        weight, first, second = moments = np.zeros((3, grid.n_bins))
        for piece in in_pieces(segment.chunks, _BLOCK_ROWS):
            x = piece.X[:, 0].astype(np.float64)
            # A missing value is a row without any, which weighs nothing.
            x[np.isnan(x)] = grid.centre
            index = grid.bin_of(x)
            x -= middles[index]
            weight += np.bincount(index, piece.weight, grid.n_bins)
            weighted = x if piece.weight is None else x * piece.weight
            first += np.bincount(index, weighted, grid.n_bins)
            second += np.bincount(index, weighted * x, grid.n_bins)
            del piece
        return moments

    weight, first, second = reduced(moments_of, segments_of(chunks))
    occupied = weight > 0
    weight = weight[occupied]
    offset = first[occupied] / weight
    mean = middles[occupied] + offset
    sd = np.sqrt(np.maximum(second[occupied] / weight - np.square(offset), 0.0))
    return np.concatenate([mean - sd, mean + sd]), np.tile(0.5 * weight, 2)
