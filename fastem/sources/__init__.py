"""Where rows come from: arrays, memory maps and data frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.sources.array import ArraySource
from fastem.sources.frame import FrameSource, array_view, is_frame
from fastem.sources.source import Chunk, Source

__all__ = ["ArraySource", "Chunk", "FrameSource", "Source", "as_source"]


def as_source(X: Any, weight: np.ndarray | None = None) -> Source:
    """The source that reads `X`, an array (N, D) of real numbers or a data frame of numeric columns."""
    if not is_frame(X):
        return ArraySource(X, weight)
    view = array_view(X)
    return FrameSource(X, weight) if view is None else ArraySource(view, weight)
