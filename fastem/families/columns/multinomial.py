"""Rows of counts, multinomial given their total, such as words in a document."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastem.families._marginal import Marginal
from fastem.families.columns.base import Counts
from fastem.families.columns.blocks import TOTAL_EXPOSURE
from fastem.families.columns.gradients import ShareTangents
from fastem.given import require_count


@dataclass(frozen=True, eq=False, kw_only=True)
class Multinomial(ShareTangents, Counts):
    """Rows of counts whose totals are taken as given, such as words in documents. It shows `probabilities_`.

    Parameters
    ----------
    n_trials : int, default 1
        Total of the counts of a row that `sample` draws.
    prior_weight : float, default 0
        Counts, in the shares of the data, that each component is given beforehand: a Dirichlet prior.

    Raises
    ------
    ValueError
        For n_trials that is no positive integer, and for a negative prior_weight.

    Notes
    -----
    Given their total, independent Poisson counts are multinomial. So a row's total is the exposure of its counts.

    See Also
    --------
    scipy.stats.multinomial

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import Multinomial
    >>> random = np.random.default_rng(0)
    >>> X = np.concatenate([random.multinomial(40, [0.7, 0.2, 0.1], 300), random.multinomial(40, [0.2, 0.2, 0.6], 700)])
    >>> mixture = Mixture(Multinomial(n_trials=40), 2, random_state=0).fit(X)
    >>> np.sort(mixture.weights_).round(1).tolist()
    [0.3, 0.7]
    """

    n_trials: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("n_trials", self.n_trials)

    def group_sizes(self) -> np.ndarray:
        return np.array([self.n_features])

    def place_of_exposure(self) -> int:
        return TOTAL_EXPOSURE

    def needed(self, X: np.ndarray) -> np.ndarray:
        # Without one of the counts their total is not known, of which the others are shares.
        is_missing = np.isnan(X)
        return is_missing & ~is_missing.all(axis=1, keepdims=True)

    def why_needed(self, column: int) -> str:
        return "misses one of the counts whose total is taken as given"

    def exposures(self, X: np.ndarray) -> np.ndarray:
        return X.sum(axis=1)

    def spread(self, x: np.ndarray) -> np.ndarray:
        """Square roots of shares, whose variances are about equal."""
        return np.sqrt(x / np.maximum(x.sum(axis=1, keepdims=True), 1.0))

    def variances(self, values: np.ndarray) -> np.ndarray:
        """Of rows of one trial."""
        return values * (1.0 - values)

    def curve(self, values: np.ndarray, column: int) -> Marginal:
        raise ValueError("Counts of a given total are distributed in another way in each row: there is no curve.")

    def draw(self, values: np.ndarray, n_rows: int, random: np.random.Generator) -> np.ndarray:
        # The last category takes what rounding leaves of the others: it must not be an impossible one.
        (p,) = values
        possible = np.flatnonzero(p)
        x = np.zeros((n_rows, self.n_features))
        x[:, possible] = random.multinomial(self.n_trials, p[possible] / p.sum(), n_rows)
        return x
