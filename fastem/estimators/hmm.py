"""A hidden Markov model of any family: mixed columns by their kinds, or a family of one's own."""

from __future__ import annotations

from typing import Any, ClassVar

from fastem.estimators._hmm import BaseHMM
from fastem.estimators.mixture import Mixture, ProductParameters


class HMM(ProductParameters, BaseHMM):
    """Hidden Markov model of any distributions: columns of different kinds, independent given the state, or your own.

    Parameters
    ----------
    family, n_categories, floor
        As of `Mixture`: kinds of columns, or a callable family(n_components, n_features).
    n_components : int, default 1
        Number of states.
    **settings
        Parameters that all hidden Markov models share: see `GaussianHMM`. The letters of `params` and `init_params`
        are "s", "t" and "e" (all parameters of the family).

    Attributes
    ----------
    startprob_, transmat_ : as of `GaussianHMM`
    params_ : NamedTuple
        Parameters of the family, as its kernels read them.
    means_, variances_, probabilities_
        As of `Mixture`, with kinds of columns only.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import HMM
    >>> random = np.random.default_rng(0)
    >>> calm = np.repeat(np.arange(40) % 2 == 0, 50)
    >>> X = np.column_stack([random.normal(np.where(calm, 0, 4)), random.poisson(np.where(calm, 2, 9))])
    >>> hmm = HMM(["normal", "poisson"], n_components=2, random_state=0).fit(X)
    >>> np.sort(hmm.means_[:, 1]).round().tolist()
    [2.0, 9.0]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseHMM._parameter_constraints,
        **{name: Mixture._parameter_constraints[name] for name in ("family", "n_categories", "floor")},
    }
    _letters: ClassVar[dict[str, str]] = {"e": "params_"}

    _needed = (*BaseHMM._needed, ("params_", "means_", "probabilities_"))
    _also_shown = ("variances_",)
    _structural = (*BaseHMM._structural, "family", "n_categories")

    params_: Any

    # What a family is made of does not depend on what is hidden.
    _distributions = Mixture._distributions
    _make_family = Mixture._make_family
    _family_of = Mixture._family_of
    _scaled_family = Mixture._scaled_family
    _show = Mixture._show

    def __init__(
        self,
        family: Any = "normal",
        n_components: int = 1,
        *,
        n_categories: Any = None,
        floor: float = 1e-10,
        **settings: Any,
    ):
        super().__init__(n_components, **settings)
        self.family = family
        self.n_categories = n_categories
        self.floor = floor

    def _with_given(self, family: Any, params: Any, given: str) -> Any:
        return self.params_
