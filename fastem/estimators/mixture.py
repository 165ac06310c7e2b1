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
from fastem.estimators._validation import read_weights, require_one_of, table_sizes
from fastem.families.columns.bernoulli import Bernoulli
from fastem.families.columns.categorical import Categorical
from fastem.families.columns.exponential import Exponential
from fastem.families.columns.multinomial import Multinomial
from fastem.families.columns.poisson import Poisson
from fastem.families.columns.product import Part, Product
from fastem.families.gaussian.diag import GaussianDiag
from fastem.fitting.checks import highest_codes
from fastem.given import plain_array
from fastem.model import Model, Params
from fastem.passes.shapes import require_shapes, shapes_of
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


class ProductParameters:
    """How a mixture or a chain of any family reads the parameters that were set by hand."""

    _known: Any
    n_components: int
    params_: Any
    means_: Any
    variances_: Any
    probabilities_: Any

    def _given_sizes(self, changed: set[str]) -> tuple[int, int]:
        if "params_" in changed and hasattr(self.params_, "means"):
            return table_sizes("params_.means", self.params_.means)
        if "params_" in changed:
            if not hasattr(self, "n_features_in_"):
                raise ValueError("params_ was set by hand: set n_features_in_, the number of columns, too.")
            return self.n_components, self.n_features_in_
        if hasattr(self, "means_"):
            return table_sizes("means_", self.means_)
        tables = [table for table in self.probabilities_ if table is not None]
        return len(tables[0]), len(self.probabilities_)

    def _given_values(self, family: Any, changed: set[str]) -> Any:
        if "params_" in changed:
            return _read_record(family, self.params_)
        if not isinstance(family, Product):
            raise ValueError("Of a family of your own only params_ can be set.")
        shape = family.n_components, family.n_features
        means, variances = (
            np.array(getattr(self, name, np.full(shape, np.nan)), dtype=np.float64) for name in ("means_", "variances_")
        )
        for name, table in (("means_", means), ("variances_", variances)):
            if table.shape != shape:
                raise ValueError(f"{name} must have the shape {shape}, got {table.shape}.")
        try:
            params = family.of_moments(means, variances, getattr(self, "probabilities_", [None] * shape[1]))
        except (TypeError, ValueError, AttributeError, np.linalg.LinAlgError) as error:
            raise ValueError(
                f"means_, variances_ and probabilities_ are no parameters of this family: {error}"
            ) from error
        return _read_record(family, params)

    def _following(self, changed: set[str]) -> set[str]:
        return changed - {"params_"}


def _read_record(family: Any, given: Any) -> Any:
    """Parameters of a family, checked, in memory of their own."""
    pattern = family.first_look(np.zeros(family.n_features))
    if type(given) is not type(pattern):
        raise ValueError(f"params_ must be a {type(pattern).__name__}, got {type(given).__name__}.")
    require_shapes(given, shapes_of(pattern), f"{type(family).__name__}.first_look")
    for name, field, known in zip(pattern._fields, given, pattern, strict=True):
        if not np.all(np.isfinite(field)) or field.dtype != known.dtype:
            raise ValueError(f"{name} of params_ must hold finite numbers of dtype {known.dtype}.")
        if field.dtype.kind in "iu" and not np.array_equal(field, known):
            raise ValueError(f"{name} of params_ must be {known.tolist()}, as the kinds of the columns say.")
    record = type(given)(*(np.array(field, order="C") for field in given))
    return family.rebuilt(record) if hasattr(family, "rebuilt") else record


class Mixture(ProductParameters, UncertainMixture, BaseMixture):
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

    _needed = (*BaseMixture._needed, ("params_", "means_", "probabilities_"))
    _also_shown = ("variances_",)
    _structural = (*BaseMixture._structural, "family", "n_categories")

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

    def _write(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(self._model.family, Product):
            raise TypeError(f"{self._model.family!r} is a family that no file can hold. Pickle the estimator instead.")
        super()._write(path)

    def _show(self, params: Params) -> None:
        self.params_ = params.family
        family = self._model.family
        if isinstance(family, Product):
            self.means_, self.variances_ = family.moments(params.family)
            self.probabilities_ = family.probabilities(params.family)


def _kinds(family: Any, n_features: int) -> list[str]:
    """The kind of each column."""
    kinds = [family] * n_features if isinstance(family, str) else [str(kind) for kind in family]
    for kind in kinds:
        require_one_of("family", kind, (*_KINDS, _EXPOSURE))
    if len(kinds) != n_features:
        raise ValueError(f"family has {len(kinds)} kinds, but X has {n_features} columns. Give one kind for each.")
    if kinds.count(_EXPOSURE) > 1 or (_EXPOSURE in kinds and "poisson" not in kinds):
        raise ValueError("family may have one column of kind 'exposure', beside columns of kind 'poisson'.")
    return kinds


def _product(kinds: list[str], n_components: int, n_categories: Any) -> Product:
    """The family of columns of these kinds."""
    sizes = np.broadcast_to(plain_array(1 if n_categories is None else n_categories, "n_categories"), (len(kinds),))
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
