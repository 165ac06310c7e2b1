"""Normal columns, independent given the component, as one of several kinds of columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from fastem.families._value import require_fraction
from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.moments import Pivoted


@dataclass(frozen=True, eq=False, repr=False)
class Normal(Gaussian):
    """Numbers with normal distributions, independent across columns. It shows `means_` and `variances_`.

    `GaussianMixture` has more to offer where all columns are normal: covariances, priors, fixed parameters.

    Parameters
    ----------
    floor : float, default 1e-10
        Least variance of a component, as a fraction of the variance of the data.

    Raises
    ------
    ValueError
        For a floor that is no fraction.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import Categorical, Normal
    >>> random = np.random.default_rng(0)
    >>> group = np.repeat([0, 1], 500)
    >>> X = np.column_stack([random.normal(9.0 * group), random.integers(0, 3, 1000) + group])
    >>> mixture = Mixture([Normal(floor=1e-6), Categorical(4)], 2, random_state=0).fit(X)
    >>> np.sort(mixture.means_[:, 0]).round().astype(int).tolist()
    [0, 9]
    """

    covariance_type: str = field(default="diag", init=False)
    floor: float = 1e-10

    options: ClassVar[tuple[str, ...]] = ("floor",)

    def __post_init__(self) -> None:
        require_fraction("floor", self.floor)

    def with_data_scale(self, stats: Pivoted, floor_ratio: float | None = None) -> Self:
        """This family with the variance floor that suits data of the given one-component statistics."""
        return super().with_data_scale(stats, self.floor if floor_ratio is None else floor_ratio)

    def moments(self, params: Any) -> tuple[np.ndarray, np.ndarray]:
        """Means and variances (K, D) of each column under each component."""
        return params.means, params.covariances

    def of_moments(self, means: np.ndarray, variances: np.ndarray) -> Any:
        """Parameters from what `moments` shows of them."""
        return self.params(means, variances)

    # What is shown has the names of columns: variances, in the place of covariances.

    def estimates(self, params: Any) -> dict[str, np.ndarray]:
        """What is shown of the parameters, by name."""
        return _as_columns(super().estimates(params))

    def jvp(self, params: Any, tangents: np.ndarray) -> dict[str, np.ndarray]:
        """What tangents (M, P) change in what is shown."""
        return _as_columns(super().jvp(params, tangents))

    def scales(self) -> dict[str, np.ndarray]:
        """On which scale the estimate of each entry is nearly normal."""
        return _as_columns(super().scales())


def _as_columns(shown: dict[str, Any]) -> dict[str, Any]:
    return {"means": shown["means"], "variances": shown["covariances"]}
