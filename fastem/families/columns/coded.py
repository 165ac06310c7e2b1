"""Columns whose values are codes, the integers from 0 up: a table tells the log-probability of each."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from fastem.families.columns.base import Columns
from fastem.given import plain_array


class Coded(Columns):
    """Common part of the families of codes; a subclass has a field, `size_name`, of how many each column has.

    Inside, the codes of all columns stand side by side, in lines of as many as there are in all.
    """

    size_name: ClassVar[str]
    # How many codes there are where that is not known yet.
    unknown_size: ClassVar[int] = 1
    is_discrete = True

    def __post_init__(self) -> None:
        super().__post_init__()
        given = getattr(self, self.size_name)
        if given is None:
            return
        each = self.n_features
        try:
            sizes = plain_array(given, self.size_name)
        except (TypeError, ValueError):
            # Ragged lists and the like are no integers, either.
            sizes = np.empty(0)
        fits = sizes.ndim == 0 or (sizes.ndim == 1 and each in (0, sizes.size))
        if not fits or sizes.dtype.kind not in "iu" or np.any(sizes < 1):
            raise ValueError(
                f"{self.size_name} must be a positive integer, or one for each of the {each or ''} columns; got "
                f"{given!r}.".replace("  ", " ")
            )

    @classmethod
    def size_for(cls, highest: Any) -> Any:
        """How many codes a column has whose highest one is known."""
        return np.asarray(highest) + 1

    @property
    def first_code(self) -> np.ndarray:
        """Where the codes of each column begin, (D + 1,)."""
        given = getattr(self, self.size_name)
        known = self.unknown_size if given is None else given
        sizes = np.broadcast_to(np.asarray(known, dtype=np.int64), (self.n_features,))
        return np.concatenate([[0], np.cumsum(sizes)])

    def group_sizes(self) -> np.ndarray:
        return np.diff(self.first_code)

    @cached_property
    def lists(self) -> dict[str, Any]:
        return {"coded": np.arange(self.n_features), "first_code": self.first_code}

    def constraints(self) -> dict[str, np.ndarray]:
        return {**super().constraints(), self.size_name: self.group_sizes()}

    def statistics(self, X: np.ndarray) -> np.ndarray:
        """An indicator of each code; NaN for one that is missing."""
        codes = [X[:, j : j + 1] == np.arange(size) for j, size in enumerate(self.group_sizes())]
        indicators = np.concatenate(codes, axis=1).astype(np.float64)
        indicators[np.repeat(np.isnan(X), self.group_sizes(), axis=1)] = np.nan
        return indicators

    def is_outside(self, x: np.ndarray) -> np.ndarray:
        return (x < 0) | (self.group_sizes() <= x) | (np.floor(x) != x)
