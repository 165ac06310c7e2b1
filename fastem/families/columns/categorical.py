"""Columns of categories, in codes 0, 1, 2, …: latent class analysis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastem.families._marginal import Marginal, table_marginal
from fastem.families.columns.coded import Coded
from fastem.families.columns.gradients import ShareTangents


@dataclass(frozen=True, eq=False)
class Categorical(ShareTangents, Coded):
    """Codes 0, 1, 2, … of categories, independent across columns: latent class analysis. It shows `probabilities_`.

    Parameters
    ----------
    n_categories : int, array-like (D,) or None, default None
        Number of categories of each column, whose codes are the integers below. None: one more than the highest code
        that `fit` meets, which takes one more pass over files.
    prior_weight : float, default 0
        Rows of the shares of the data that each component is given beforehand: a Dirichlet prior of the probabilities.

    Raises
    ------
    ValueError
        For n_categories that are no positive integers, or not as many as columns, and for a negative prior_weight.

    Notes
    -----
    `probabilities_` is a list of D tables (K, C). Inside, the probabilities of all columns stand side by side, in lines
    of as many as there are categories in all.

    References
    ----------
    Goodman (1974), *Exploratory latent structure analysis using both identifiable and unidentifiable models*,
    Biometrika 61, 215-231.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import Categorical
    >>> random = np.random.default_rng(0)
    >>> few, many = random.choice(3, (3000, 8), p=[0.8, 0.1, 0.1]), random.choice(3, (7000, 8), p=[0.1, 0.3, 0.6])
    >>> mixture = Mixture(Categorical(3), 2, random_state=0).fit(np.concatenate([few, many]))
    >>> np.sort(mixture.probabilities_[0][:, 0]).round(1).tolist()
    [0.1, 0.8]
    """

    n_categories: Any = None

    size_name: ClassVar[str] = "n_categories"

    def values_shape(self) -> tuple[int, int]:
        return self.n_components, int(self.first_code[-1])

    def values_at(self, centre: np.ndarray) -> np.ndarray:
        return np.ones(self.first_code[-1])

    def slopes(self, values: np.ndarray) -> np.ndarray:
        logarithms = np.full_like(values, -np.inf)
        return np.log(values, out=logarithms, where=values > 0)

    features = Coded.statistics

    def named(self, values: np.ndarray) -> dict[str, Any]:
        """A table (..., C) for each column."""
        return {"probabilities": np.split(values, self.first_code[1:-1], axis=-1)}

    def means(self, values: np.ndarray) -> np.ndarray:
        return np.zeros((values.shape[0], self.n_features))

    def code_shares(self, params: Any, column: int) -> np.ndarray:
        return self.named(params.values)["probabilities"][column]

    def moments(self, params: Any) -> tuple[np.ndarray, np.ndarray]:
        nothing = np.full_like(params.means, np.nan)
        return nothing, nothing

    def curve(self, values: np.ndarray, column: int) -> Marginal:
        return table_marginal(self.named(values)["probabilities"][column])

    def support(self, column: int) -> str:
        return f"a code, an integer from 0 to {self.group_sizes()[column] - 1}"

    def draw(self, values: np.ndarray, n_rows: int, random: np.random.Generator) -> np.ndarray:
        tables = np.split(values[0], self.first_code[1:-1])
        return np.stack([random.choice(p.size, size=n_rows, p=p / p.sum()) for p in tables], axis=1).astype(np.float64)
