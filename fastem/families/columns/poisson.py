"""Counts with Poisson distributions, independent across columns; each row may have an exposure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, xlogy

from fastem.families._marginal import Marginal
from fastem.families._value import require_flag
from fastem.families.columns.base import Counts
from fastem.families.columns.blocks import NO_EXPOSURE


@dataclass(frozen=True, eq=False, kw_only=True)
class Poisson(Counts):
    """Counts with Poisson distributions, independent across columns. The fitted attribute is `rates_`.

    Parameters
    ----------
    exposure : bool, default False
        Whether the last column of X is the exposure of the row, a positive number (time at risk, area, population)
        that multiplies the rates. An offset, as generalised linear models have it, is the logarithm of an exposure.
        The column is no observation: it has no density, and `sample` draws rows of exposure one.
    prior_weight : float, default 0
        Rows of the mean of the data that each component is given beforehand: a gamma prior of the rates. With one or
        two of them no component excludes counts where it has seen none.

    Raises
    ------
    ValueError
        For a negative prior_weight, and for an exposure without counts.

    See Also
    --------
    scipy.stats.poisson

    References
    ----------
    Hasselblad (1969), *Estimation of finite mixtures of distributions from the exponential family*, J. Amer. Statist.
    Assoc. 64, 1459-1471.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import Poisson
    >>> random = np.random.default_rng(0)
    >>> hours = random.uniform(0.5, 8.0, 5000)
    >>> calls = random.poisson(np.where(np.arange(5000) < 2000, 2.0, 9.0) * hours)
    >>> mixture = Mixture(Poisson(exposure=True), 2, random_state=0).fit(np.column_stack([calls, hours]))
    >>> np.sort(mixture.rates_[:, 0]).round().tolist()  # in an hour
    [2.0, 9.0]
    """

    exposure: bool = False

    shown = ("rates",)
    strays = True
    # Square roots of rates, whose variances are about equal.
    spread = staticmethod(np.sqrt)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_flag("exposure", self.exposure)
        if self.exposure and self.n_features == 1:
            raise ValueError("exposure=True takes the last column for exposures, but X has only one. Add the counts.")

    @property
    def n_covariates(self) -> int:
        return int(self.exposure)

    def place_of_exposure(self) -> int:
        return self.n_observed if self.exposure else NO_EXPOSURE

    def variances(self, values: np.ndarray) -> np.ndarray:
        return values

    def curve(self, values: np.ndarray, column: int) -> Marginal:
        rates = values[:, column]

        def density(x: np.ndarray) -> np.ndarray:
            return np.exp(xlogy(x, rates[:, None]) - rates[:, None] - gammaln(x + 1.0))

        return Marginal(density, rates, np.sqrt(rates), is_discrete=True)

    def draw_at(self, values: np.ndarray, X: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return random.poisson(values * self.exposures(X)[:, None]).astype(np.float64)

    def draw(self, values: np.ndarray, n_rows: int, random: np.random.Generator) -> np.ndarray:
        return random.poisson(values[0], (n_rows, self.n_observed)).astype(np.float64)
