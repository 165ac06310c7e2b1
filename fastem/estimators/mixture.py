"""A mixture of any family: mixed columns by their kinds, or a family of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from fastem.estimators._mixture import BaseMixture
from fastem.estimators._uncertain import UncertainMixture
from fastem.estimators._validation import highest_codes, read_weights
from fastem.families.bernoulli import Bernoulli
from fastem.families.categorical import Categorical
from fastem.families.exponential import Exponential
from fastem.families.gaussian_diag import GaussianDiag
from fastem.families.multinomial import Multinomial
from fastem.families.poisson import Poisson
from fastem.families.product import Part, Product
from fastem.model import Model, Params
from fastem.sources import Source

_KINDS: dict[str, Any] = {
    "normal": GaussianDiag,
    "poisson": Poisson,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "exponential": Exponential,
    "multinomial": Multinomial,
}
# A column of exposures goes to the family of the counts.
_EXPOSURE = "exposure"


class Mixture(UncertainMixture, BaseMixture):
    """Mixture of any distributions: columns of different kinds, independent given the component, or your own family.

    Parameters
    ----------
    family : str, list of D str, or callable, default "normal"
        The kind of every column, or one kind for each: "normal", "poisson" (counts), "bernoulli" (0 or 1),
        "categorical" (codes from 0 up), "exponential" (waiting times), "multinomial" (all such columns together are
        counts whose total is given) or "exposure" (a positive number that multiplies the rates of the counts).
        Or what makes a family: family(n_components, n_features).
    n_components : int, default 1
    n_categories : list of D int or None, default None
        Number of categories of each column, for those that are categorical; None: one more than the highest code
        that `fit` meets, which takes one more pass over files.
    floor : float, default 1e-10
        Least variance of a normal column and least mean of an exponential one, as a fraction of those of the data.
    weights_init : array-like (K,), optional
    **settings
        Parameters that all mixtures share, such as tol, max_iter, n_init, init_params, random_state, learning_method
        and n_threads: see `GaussianMixture`.

    Attributes
    ----------
    weights_ : (K,) ndarray
    params_ : NamedTuple
        Parameters of the family, as its kernels read them.
    means_, variances_ : (K, D) ndarray
        Of each column under each component; NaN for categories. With kinds of columns only.
    probabilities_ : list of D ndarrays (K, C) or None
        Of the categories of each categorical column. With kinds of columns only.
    converged_, stop_reason_, n_iter_, lower_bound_, lower_bounds_, fit_report_, n_features_in_
        As `GaussianMixture` has them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> random = np.random.default_rng(0)
    >>> def rows(n, mean, rate, shares):
    ...     return np.column_stack([random.normal(mean, 1, n), random.poisson(rate, n), random.choice(3, n, p=shares)])
    >>> mixture = Mixture(["normal", "poisson", "categorical"], n_components=2, random_state=0)
    >>> mixture = mixture.fit(np.concatenate([rows(400, 0, 2, [0.8, 0.1, 0.1]), rows(600, 3, 9, [0.1, 0.1, 0.8])]))
    >>> np.sort(mixture.weights_).round(1).tolist()
    [0.4, 0.6]
    >>> np.sort(mixture.means_[:, 1]).round().tolist()
    [2.0, 9.0]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMixture._parameter_constraints,
        "family": [StrOptions(set(_KINDS)), "array-like", callable],
        "n_categories": [Interval(Integral, 1, None, closed="left"), "array-like", None],
        "floor": [Interval(Real, 0.0, 1.0, closed="both")],
    }

    params_: Any

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

    def _distributions(self) -> str:
        if callable(self.family):
            return f"{getattr(self.family, '__name__', 'your')} distributions"
        kinds = [self.family] if isinstance(self.family, str) else list(map(str, self.family))
        return f"{', '.join(dict.fromkeys(kinds))} columns"

    def _make_family(self, n_features: int, n_components: int) -> Any:
        if callable(self.family):
            return self.family(n_components, n_features)
        return _product(_kinds(self.family, n_features), n_components, self.n_categories)

    def _family_of(self, source: Source) -> Any:
        family = self._make_family(source.n_features, self.n_components)
        if callable(self.family) or self.n_categories is not None:
            return family
        kinds = _kinds(self.family, source.n_features)
        if "categorical" not in kinds:
            return family
        coded = np.array([kind == "categorical" for kind in kinds])
        return _product(kinds, self.n_components, np.where(coded, highest_codes(source, coded) + 1, 1))

    def _scaled_family(self, family: Any, stats: Any, n_rows: int) -> Any:
        return family.scaled_to(stats, self.floor)

    def _given_start(self, model: Model, params: Callable[[], Params]) -> Params:
        start = params()
        if self.weights_init is None:
            return start
        return start._replace(latent=model.latent.params(read_weights(self.weights_init, self.n_components)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to a file that `fastem.load` reads: NumPy arrays and a JSON header, no pickle.

        Parameters
        ----------
        path : str or Path
            Written as a whole or not at all; an existing file is replaced.

        Raises
        ------
        TypeError
            For a family of your own, which no file can hold. Pickle the estimator.
        """
        if callable(self.family):
            raise TypeError(f"{self.family!r} is a family that no file can hold. Pickle the estimator instead.")
        super().save(path)

    def _show(self, params: Params) -> None:
        self.params_ = params.family
        family = self._model.family
        if isinstance(family, Product):
            self.means_, self.variances_ = family.moments(params.family)
            self.probabilities_ = family.probabilities(params.family)


def _kinds(family: Any, n_features: int) -> list[str]:
    """The kind of each column."""
    kinds = [family] * n_features if isinstance(family, str) else [str(kind) for kind in family]
    unknown = sorted(set(kinds) - {*_KINDS, _EXPOSURE})
    if unknown:
        raise ValueError(f"family has the kinds {unknown}; choose among {sorted(_KINDS)} and {_EXPOSURE!r}.")
    if len(kinds) != n_features:
        raise ValueError(f"family has {len(kinds)} kinds, but X has {n_features} columns. Give one kind for each.")
    if kinds.count(_EXPOSURE) > 1 or (_EXPOSURE in kinds and "poisson" not in kinds):
        raise ValueError("family may have one column of kind 'exposure', beside columns of kind 'poisson'.")
    return kinds


def _product(kinds: list[str], n_components: int, n_categories: Any) -> Product:
    """The family of columns of these kinds."""
    sizes = np.broadcast_to(np.asarray(1 if n_categories is None else n_categories), (len(kinds),))
    parts = []
    for kind, family_class in _KINDS.items():
        columns = np.flatnonzero([each == kind for each in kinds])
        if columns.size == 0:
            continue
        options: dict[str, Any] = {}
        if kind == "categorical":
            options["n_categories"] = sizes[columns]
        if kind == "poisson" and _EXPOSURE in kinds:
            columns = np.append(columns, kinds.index(_EXPOSURE))
            options["exposure"] = True
        parts.append(Part(family_class(n_components, columns.size, **options), columns))
    return Product(tuple(parts))
