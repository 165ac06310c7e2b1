"""A mixture of any family: a kind of column, columns of several kinds, or a family of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils._param_validation import StrOptions

from fastem._text import no_setting
from fastem.estimators._em import BaseEM
from fastem.estimators._mixture import BaseMixture
from fastem.estimators._uncertain import UncertainMixture
from fastem.families import KINDS, REGRESSIONS
from fastem.families.columns.base import Columns
from fastem.families.columns.product import Product
from fastem.fitting import family_params as by_name
from fastem.fitting import family_values as families
from fastem.fitting.checkpoint import Checkpoint
from fastem.fitting.fixed import Fixed
from fastem.fitting.parameters import share_size, table_sizes
from fastem.fitting.priors import Dirichlet
from fastem.given import require_count
from fastem.model import Model, Params
from fastem.schedules.batch import Batch
from fastem.schedules.incremental import Incremental
from fastem.schedules.online import Online
from fastem.search.options import Race, Restarts
from fastem.sources import Source

_SPREADS = ("variances", "covariances")
# Every name that a family may show; what the last family showed goes with it.
_SHOWN = {f"{name}_" for family in (*(kind() for kind in by_name.NAMED), []) for name in by_name.names_of(family)}


class OfFamily(BaseEM):
    """An estimator that is given a family, or makes one of its settings."""

    n_components: int

    # Number of categories of each column that parameters set by hand tell, if any.
    _category_sizes: Callable[[], list[int] | None]

    @property
    def _spec(self) -> Any:
        """The family without its size, as users give it."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        given = _family_or_none(self._spec)
        kinds = [kind for kind in (given if isinstance(given, list) else [given]) if not isinstance(kind, str)]
        tags.input_tags.positive_only = all(isinstance(kind, Columns) for kind in kinds)
        # scikit-learn's word for integers, which all columns hold whose values are no measurements.
        tags.input_tags.categorical = all(isinstance(kind, Columns) and kind.is_discrete for kind in kinds)
        return tags

    def _distributions(self) -> str:
        return families.in_words(self._spec)

    def _make_family(self, n_features: int, n_components: int) -> Any:
        return families.sized(self._spec, n_components, n_features)

    def _family_of(self, source: Source) -> Any:
        # Kinds that are not as many as columns are an error before any row is read.
        self._make_family(source.n_features, self.n_components)
        return families.sized(families.counted(self._spec, source), self.n_components, source.n_features)

    def _scaled_family(self, family: Any, stats: Any, n_rows: int) -> Any:
        return family.with_data_scale(stats)

    def _given_family(self, n_features: int, n_components: int) -> Any:
        sizes = self._category_sizes()
        given = self._spec if sizes is None else families.with_categories(self._spec, sizes)
        return families.sized(given, n_components, n_features)

    def _fits(self, model: Model, n_components: int, n_features: int, changed: set[str]) -> bool:
        sizes = self._category_sizes()
        return super()._fits(model, n_components, n_features, changed) and (
            sizes is None or sizes == families.categories_of(model.family)
        )


class FamilyParameters(OfFamily):
    """What a mixture and a chain of any family have in common: the family, and its parameters by name."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "family": [StrOptions({*KINDS, *REGRESSIONS}), "array-like", object],
    }

    family: Any
    params_: Any

    @property
    def _spec(self) -> Any:
        return self.family

    def _category_sizes(self) -> list[int] | None:
        return by_name.category_sizes_in(self._shown_values())

    def _record(self, name: str, value: Any) -> Any:
        if name != "family":
            return super()._record(name, value)
        family = _family_or_none(value)
        return family if is_dataclass(family) else None

    # Its parameters, as attributes.

    @property
    def _of_family(self) -> Any:
        return _family_or_none(self.family) if self._known is None else self._known.model.family

    def _needed_attributes(self) -> tuple[tuple[str, ...], ...]:
        family = self._of_family
        names = [f"{name}_" for name in by_name.names_of(family)]
        if isinstance(family, Columns):
            return (*self._needed, *((name, "params_") for name in names))
        # Any one of these will do, but spreads alone say nothing.
        return (*self._needed, ("params_", *(name for name in names if name[:-1] not in _SPREADS)))

    def _attributes(self) -> tuple[str, ...]:
        shown = (f"{name}_" for name in by_name.shown_of(self._of_family))
        return tuple(dict.fromkeys((*super()._attributes(), *shown)))

    @property
    def n_categories_(self) -> np.ndarray:
        """Number of categories (D,) of each column, one where a column has none."""
        sizes = families.categories_of(self._model.family) if self._has_params() else None
        if sizes is None:
            raise AttributeError(f"{type(self).__name__} has n_categories_ after a fit of columns of categories.")
        return np.array(sizes)

    def _shown_values(self) -> dict[str, Any]:
        """The attributes that are there, by the names of the family's parameters."""
        own = vars(self)
        return {name: own[f"{name}_"] for name in by_name.names_of(self._of_family) if f"{name}_" in own}

    def _given_sizes(self, changed: set[str]) -> tuple[int, int]:
        if "params_" in changed and hasattr(self.params_, "means"):
            return table_sizes("params_.means", self.params_.means)
        if "params_" in changed:
            if not hasattr(self, "n_features_in_"):
                raise ValueError("params_ was set by hand: set n_features_in_, the number of columns, too.")
            return self.n_components, self.n_features_in_
        return by_name.sizes_in(self._of_family, self._shown_values())

    def _given_values(self, family: Any, changed: set[str]) -> Any:
        if "params_" in changed:
            return by_name.read_record(family, self.params_)
        return by_name.params_of(family, self._shown_values())

    def _following(self, changed: set[str]) -> set[str]:
        return changed - {"params_"}

    def _show(self, params: Params) -> None:
        self.params_ = params.family
        family = self._model.family
        names = by_name.shown_of(family)
        for name in _SHOWN - {f"{name}_" for name in names}:
            self.__dict__.pop(name, None)
        if names:
            shown = family.estimates(params.family)
            # Moments of all columns; estimates are those of columns that have some.
            if isinstance(family, Product):
                shown["means"], shown["variances"] = family.moments(params.family)
            self.__dict__.update({f"{name}_": shown[name] for name in names})

    def _write(self, path: str | os.PathLike[str]) -> None:
        family = self._model.family
        if type(family) not in (Product, *by_name.NAMED):
            raise TypeError(f"{family!r} is a family that no file can hold. Pickle the estimator instead.")
        super()._write(path)

    @classmethod
    def _from_names(
        cls, family: Any, record: Any, n_features: int | None, given: Mapping[str, Any], **shares: Any
    ) -> Self:
        """A model with `shares`, and with parameters of the family out of what is given; the rest are settings."""
        kinds = families.read_family(family)
        names = by_name.names_of(kinds)
        settings = {name: value for name, value in given.items() if name not in names}
        for name in settings:
            if name not in cls._get_param_names():
                raise no_setting(f"{cls.__name__}.from_parameters", name, [*names, *cls._get_param_names()])
        if n_features is not None:
            require_count("n_features", n_features)
        share, probabilities = next(iter(shares.items()))
        n_components = share_size(share, probabilities)
        made = cls(family, n_components, **settings)
        made._validate_params()
        values = {name: given[name] for name in names if name in given}
        if record is None:
            by_name.require_values(kinds, values, n_components, share)
            shown = {f"{name}_": value for name, value in values.items()}
        else:
            shown = {"params_": by_name.require_record(record, n_features)}
            if n_features is not None:
                made.n_features_in_ = n_features
        made.__dict__.update({f"{name}_": value for name, value in shares.items()}, **shown)
        made._require_known()
        return made


def _family_or_none(given: Any) -> Any:
    """The family value, or a list of them; None for what is no family."""
    try:
        return families.read_family(given)
    except (TypeError, ValueError):
        return None


class Mixture(FamilyParameters, UncertainMixture, BaseMixture):
    """Mixture of any distributions: of counts, binary values, categories, waiting times; of mixed columns; of your own.

    Parameters
    ----------
    family : str, family, or list of D of these, default "normal"
        A kind of column: "normal", "poisson" (counts), "bernoulli" (0 or 1), "categorical" (codes from 0 up),
        "exponential" (waiting times), "gamma", "log_normal" or "inverse_gaussian" (positive numbers), "beta" (shares),
        "von_mises" (angles), "negative_binomial", "zero_inflated_poisson", "hurdle_poisson" or "geometric" (counts), or
        "multinomial" (counts whose total is given); or a value of `fastem.families`, such as
        ``Poisson(exposure=True)``. A list has one kind for each column, and "exposure" for one that multiplies the
        rates of the counts. Or a regression of the last column on the others, such as "linear" (see
        `RegressionMixture`); or a family of your own (docs/families.md, docs/user_families.md).
    n_components : int, default 1
    params_init : dict or NamedTuple, optional
        First parameters of the family, by the names of the fitted attributes: ``{"rates": [[2.0], [9.0]]}``; for a
        family of your own the record of its parameters.
    prior : None or Dirichlet, default None
        A prior of the weights.
    fixed : None or Fixed, default None
        Weights that stay as they start, or that are equal.
    tol, max_iter, n_init, init_params, weights_init, random_state, warm_start, verbose, verbose_interval
        As of `GaussianMixture`.
    schedule, search, memory_limit, n_threads, missing, checkpoint
        As of `GaussianMixture`.

    Attributes
    ----------
    weights_ : (K,) ndarray
    params_ : NamedTuple
        Parameters of the family, as its kernels read them.
    rates_ : (K, D) ndarray
        Of counts; with an exposure, for one unit of it, and without its column.
    probabilities_ : (K, D) ndarray, or list of D ndarrays (K, C)
        Of ones, or of multinomial columns; of categories one table for each column, which is None in a list of kinds
        for the others.
    n_categories_ : (D,) ndarray
        Where columns have categories.
    means_ : (K, D) ndarray
        Of normal and exponential columns, and of all columns in a list of kinds; there NaN for categories. Locations of
        t-distributions.
    covariances_ : ndarray
        Scale matrices of t-distributions, in the shape of the covariances of a `GaussianMixture`.
    df_ : (1,) ndarray
        Degrees of freedom of t-distributions, where they are estimated.
    variances_ : (K, D) ndarray
        Of normal columns, and of all columns in a list of kinds.
    coef_, intercept_ : (K, P) and (K,) ndarray
        Of regressions, with `variances_` or `shapes_` (K,).
    shapes_, scales_ : (K, D) ndarray
        Of gamma columns; NaN for others in a list of kinds, where they follow `means_` and `variances_`.
    mean_logs_, sd_logs_, alphas_, betas_, directions_, concentrations_, sizes_, zeros_ : (K, D) ndarray
        Likewise, of other kinds of columns (docs/families.md).
    converged_, stop_reason_, n_iter_, lower_bound_, lower_bounds_, fit_report_, n_features_in_
        As `GaussianMixture` has them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> random = np.random.default_rng(0)
    >>> x = np.concatenate([random.poisson(2, 3000), random.poisson(9, 7000)])
    >>> np.sort(Mixture("poisson", 2, random_state=0).fit(x).rates_[:, 0]).round().tolist()
    [2.0, 9.0]

    Columns of different kinds:

    >>> X = np.column_stack([x, random.normal(np.arange(10_000) // 3000 > 0)])
    >>> np.sort(Mixture(["poisson", "normal"], 2, random_state=0).fit(X).means_[:, 0]).round().tolist()
    [2.0, 9.0]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMixture._parameter_constraints,
        **FamilyParameters._parameter_constraints,
        "params_init": [dict, tuple, None],
    }
    params_init: Any

    _structural = (*BaseMixture._structural, "family")
    _given_parts = ("weights_init", "params_init")

    def __init__(
        self,
        family: Any = "normal",
        n_components: int = 1,
        *,
        params_init: Any = None,
        tol: float = 1e-5,
        max_iter: int = 1000,
        n_init: int | str = "auto",
        init_params: Any = "k-means++",
        weights_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        prior: Dirichlet | None = None,
        fixed: Fixed | None = None,
        schedule: str | Batch | Online | Incremental = "batch",
        search: str | Race | Restarts = "race",
        memory_limit: int | str | None = None,
        n_threads: int | None = None,
        missing: str = "mar",
        checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    ):
        self._keep(locals())

    def _given_start(self, model: Model, params: Callable[[], Params]) -> Params:
        weights, given = self._given_weights(), self.params_init
        if isinstance(given, dict):
            given = by_name.params_of(model.family, given, "_init", is_estimate=True)
        elif given is not None:
            given = by_name.read_record(model.family, given, "params_init")
        start = params() if weights is None or given is None else None
        return Params(
            start.latent if weights is None else model.latent.params(weights),  # type: ignore[union-attr]
            start.family if given is None else given,  # type: ignore[union-attr]
        )

    @classmethod
    def from_parameters(
        cls, family: Any, weights: Any, *, record: Any = None, n_features: int | None = None, **values: Any
    ) -> Self:
        """A model with known parameters, that scores, predicts and samples without a fit.

        Parameters
        ----------
        family : str, family, or list of D of these
            As of the constructor.
        weights : array-like (K,)
            Not negative; they must sum to one.
        record : NamedTuple, optional
            Parameters of a family of your own.
        n_features : int, optional
            Number of columns, which the parameters of a family of your own may not tell.
        **values
            Parameters of the family, by the names of the fitted attributes without "_": `rates`, `probabilities`,
            `means`, `variances`, `shapes`, `scales`, of shape (K, D), or (K,) for one column. And settings of the
            constructor.

        Raises
        ------
        ValueError
            For parameters that are missing or out of range, or shapes that do not match.
        TypeError
            For a name that is none of the family's parameters and no setting.

        Examples
        --------
        >>> from fastem import Mixture
        >>> Mixture.from_parameters("poisson", [0.5, 0.5], rates=[2.0, 9.0]).predict([1, 12]).tolist()
        [0, 1]
        """
        return cls._from_names(family, record, n_features, values, weights=weights)
