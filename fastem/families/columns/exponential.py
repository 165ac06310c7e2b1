"""Positive columns: independent exponential distributions, such as waiting times."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from fastem.families._value import require_fraction
from fastem.families.columns.base import TINY, Columns
from fastem.families.columns.records import ColumnStats

_LEAST = 4.0 * TINY


@dataclass(frozen=True, eq=False, kw_only=True)
class Exponential(Columns):
    """Waiting times with exponential distributions, independent across columns. The fitted attribute is `means_`.

    Parameters
    ----------
    floor : float, default 1e-10
        Least mean of a component, as a fraction of the mean of the data: rows that are zero would draw one to them
        without end.
    prior_weight : float, default 0
        Rows of the mean of the data that each component is given beforehand: a gamma prior of the inverse means.

    Raises
    ------
    ValueError
        For a floor that is no fraction, and for a negative prior_weight.

    See Also
    --------
    scipy.stats.expon

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import Exponential
    >>> random = np.random.default_rng(0)
    >>> x = np.concatenate([random.exponential(1, 30_000), random.exponential(50, 70_000)])
    >>> mixture = Mixture(Exponential(floor=1e-6), 2, random_state=0).fit(x)
    >>> np.sort(mixture.means_[:, 0]).round().tolist()
    [1.0, 50.0]
    """

    floor: float = 1e-10
    # The least means (D,), in units of the data.
    mean_floor: np.ndarray | None = field(default=None, repr=False)

    shown = ("means",)
    kind = "0 or positive"
    wanted = "must be positive: values that are all zero have no exponential density"
    ranges = ((_LEAST, 1.0 / _LEAST),)
    coordinate = "log"
    remedy = "its smallest means were lifted to the floor"
    strays = True
    # Roots that make the distribution nearly normal (Wilson & Hilferty 1931), whatever its mean.
    spread = staticmethod(lambda x: np.sqrt(np.sqrt(x)))

    def __post_init__(self) -> None:
        super().__post_init__()
        require_fraction("floor", self.floor)

    def slopes(self, values: np.ndarray) -> np.ndarray:
        return -1.0 / values

    def base(self, values: np.ndarray) -> np.ndarray:
        return -np.log(values)

    def bounded(self, values: np.ndarray) -> np.ndarray:
        # The inverse of a mean is finite, too.
        return np.maximum(values, _LEAST if self.mean_floor is None else self.mean_floor)

    def with_data_scale(self, stats: ColumnStats) -> Self:
        """This family with a floor, at a fraction of the mean of each column, and the mean of its prior."""
        means = stats.sums[0] / stats.rows[0]
        typical = means[means > 0].mean() if np.any(means > 0) else 1.0
        family = super().with_data_scale(stats)
        return replace(family, mean_floor=np.maximum(self.floor * np.where(means > 0, means, typical), _LEAST))

    def constraints(self) -> dict[str, np.ndarray]:
        floor = {} if self.mean_floor is None else {"mean_floor": self.mean_floor}
        return {**super().constraints(), **floor}

    def variances(self, values: np.ndarray) -> np.ndarray:
        return np.square(values)

    def is_outside(self, x: np.ndarray) -> np.ndarray:
        return x < 0

    def draw(self, values: np.ndarray, n_rows: int, random: np.random.Generator) -> np.ndarray:
        return random.exponential(values[0], (n_rows, self.n_features))
