"""Mixtures of counts, binary values, categories and waiting times: independent columns of one family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils._param_validation import Interval

from fastem.estimators._mixture import BaseMixture
from fastem.estimators._uncertain import UncertainMixture
from fastem.estimators._validation import read_array, read_weights, table_sizes
from fastem.families.columns.base import Columns
from fastem.families.columns.bernoulli import Bernoulli
from fastem.families.columns.categorical import Categorical
from fastem.families.columns.exponential import Exponential
from fastem.families.columns.multinomial import Multinomial
from fastem.families.columns.poisson import Poisson
from fastem.fitting.checks import highest_codes
from fastem.given import floats, plain_array
from fastem.latents.mixture import Mixture
from fastem.model import Model, Params
from fastem.sources import Source


class ColumnMixture(UncertainMixture, BaseMixture):
    """What these mixtures share: a parameter `NAME_` of one number for each component and column, and `NAME_init`."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMixture._parameter_constraints,
        "prior_weight": [Interval(Real, 0.0, None, closed="left")],
    }
    _structural = (*BaseMixture._structural, "prior_weight")
    _words: ClassVar[str]
    _highest: ClassVar[float] = np.inf
    _holds_integers: ClassVar[bool] = True

    prior_weight: float

    def __init__(self, n_components: int = 1, *, prior_weight: float = 0.0, **settings: Any):
        super().__init__(n_components, **settings)
        self.prior_weight = prior_weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        # scikit-learn's word for integers, which all columns hold whose values are no measurements.
        tags.input_tags.categorical = self._holds_integers
        return tags

    def _distributions(self) -> str:
        return self._words

    def _scaled_family(self, family: Columns, stats: Any, n_rows: int) -> Columns:
        return family.scaled_to(stats)

    def _read_values(self, name: str, given: Any, family: Columns) -> np.ndarray:
        """The family's own parameters, as a user gives them, checked."""
        values = read_array(name, given, family.values_shape())
        if np.any(values < 0) or np.any(values > self._highest):
            limits = "must not be negative" if np.isinf(self._highest) else "must be between 0 and 1"
            raise ValueError(f"{name} {limits}, got values from {values.min():g} to {values.max():g}.")
        return values

    @property
    def _values_name(self) -> str:
        return self._needed[-1][0]

    def _given_sizes(self, changed: set[str]) -> tuple[int, int]:
        return table_sizes(self._values_name, getattr(self, self._values_name))

    def _given_values(self, family: Columns, changed: set[str]) -> Any:
        name = self._values_name
        return family.params(self._read_values(name, getattr(self, name), family))

    def _given_start(self, model: Model, params: Callable[[], Params]) -> Params:
        name = f"{model.family.shown}_init"
        given = getattr(self, name)
        weights = None if self.weights_init is None else read_weights(self.weights_init, self.n_components)
        values = None if given is None else self._read_values(name, given, model.family)
        start = params() if weights is None or values is None else None
        return Params(
            start.latent if weights is None else model.latent.params(weights),  # type: ignore[union-attr]
            start.family if values is None else model.family.estimated(values),  # type: ignore[union-attr]
        )

    def _show(self, params: Params) -> None:
        for name, values in self._model.family.estimates(params.family).items():
            setattr(self, f"{name}_", values)

    @classmethod
    def _of_values(
        cls, weights: Any, values: Any, n_components: int, n_features: int, settings: dict[str, Any]
    ) -> Self:
        """A model with known parameters."""
        mixture = cls(n_components, **settings)
        mixture._validate_params()
        model = Model(Mixture(n_components), mixture._make_family(n_features, n_components))
        latent = model.latent.params(read_weights(weights, n_components))
        family = model.family.params(mixture._read_values(model.family.shown, values, model.family))
        mixture._adopt(model, Params(latent, family))
        return mixture


def _table(name: str, given: Any) -> np.ndarray:
    """Parameters (K, D), or (K,) for one column."""
    table = floats(given, name)
    table = table.reshape(-1, 1) if table.ndim == 1 else table
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"{name} must have the shape (n_components, n_features), got {table.shape}.")
    return table


class PoissonMixture(ColumnMixture):
    """Mixture of Poisson distributions of counts, independent across columns.

    Parameters
    ----------
    n_components : int, default 1
    exposure : bool, default False
        Whether the last column of X is the exposure of the row, a positive number (time at risk, area, population) that
        multiplies the rates. An offset, as generalised linear models have it, is the logarithm of an exposure.
    rates_init : array-like (K, D), optional
        Rates to start from.
    weights_init : array-like (K,), optional
    prior_weight : float, default 0
        Rows of the mean of the data that each component is given beforehand: a gamma prior of the rates. With one or
        two of them no component excludes counts where it has seen none.
    **settings
        Parameters that all mixtures share, such as tol, max_iter, n_init, init_params, random_state, learning_method
        and n_threads: see `GaussianMixture`.

    Attributes
    ----------
    weights_ : (K,) ndarray
    rates_ : (K, D) ndarray
        Expected counts, for one unit of exposure; without the column of the exposure.
    converged_, stop_reason_, n_iter_, lower_bound_, lower_bounds_, fit_report_, n_features_in_
        As `GaussianMixture` has them.

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
    >>> from fastem import PoissonMixture
    >>> random = np.random.default_rng(0)
    >>> x = np.concatenate([random.poisson(2, 3000), random.poisson(9, 7000)])
    >>> mixture = PoissonMixture(n_components=2, random_state=0).fit(x)
    >>> np.sort(mixture.rates_[:, 0]).round().tolist()
    [2.0, 9.0]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ColumnMixture._parameter_constraints,
        "exposure": ["boolean"],
        "rates_init": ["array-like", None],
    }
    _needed = (*ColumnMixture._needed, ("rates_",))
    _structural = (*ColumnMixture._structural, "exposure")
    _words = "Poisson counts"

    rates_: np.ndarray

    def __init__(self, n_components: int = 1, *, exposure: bool = False, rates_init: Any = None, **settings: Any):
        super().__init__(n_components, **settings)
        self.exposure = exposure
        self.rates_init = rates_init

    def _given_sizes(self, changed: set[str]) -> tuple[int, int]:
        n_components, n_counts = super()._given_sizes(changed)
        exposure = self.exposure if self._known is None else self._known.model.family.exposure
        return n_components, n_counts + bool(exposure)

    def _make_family(self, n_features: int, n_components: int) -> Poisson:
        if self.exposure and n_features == 1:
            raise ValueError("exposure=True takes the last column for exposures, but X has only one. Add the counts.")
        return Poisson(n_components, n_features, self.prior_weight, exposure=bool(self.exposure))

    @classmethod
    def from_parameters(cls, weights: Any, rates: Any, **settings: Any) -> Self:
        """A model with known parameters, that scores, predicts and samples without a fit.

        Parameters
        ----------
        weights : array-like (K,)
            Not negative; they must sum to one.
        rates : array-like (K, D), or (K,) for one column of counts
        **settings
            Other parameters of the constructor.

        Returns
        -------
        mixture : PoissonMixture

        Raises
        ------
        ValueError
            For parameters that are out of range, or shapes that do not match.

        Examples
        --------
        >>> from fastem import PoissonMixture
        >>> PoissonMixture.from_parameters([0.5, 0.5], [2.0, 9.0]).predict([1, 12]).tolist()
        [0, 1]
        """
        rates = _table("rates", rates)
        return cls._of_values(weights, rates, len(rates), rates.shape[1] + bool(settings.get("exposure")), settings)


class BernoulliMixture(ColumnMixture):
    """Mixture of Bernoulli distributions of zeros and ones, independent across columns: latent classes of binary items.

    Parameters
    ----------
    n_components : int, default 1
    probabilities_init : array-like (K, D), optional
        Probabilities of ones to start from.
    weights_init : array-like (K,), optional
    prior_weight : float, default 0
        Rows of the mean of the data that each component is given beforehand: a beta prior of the probabilities.
    **settings
        Parameters that all mixtures share, such as tol, max_iter, n_init, init_params, random_state, learning_method
        and n_threads: see `GaussianMixture`.

    Attributes
    ----------
    weights_ : (K,) ndarray
    probabilities_ : (K, D) ndarray
        Probabilities of ones.
    converged_, stop_reason_, n_iter_, lower_bound_, lower_bounds_, fit_report_, n_features_in_
        As `GaussianMixture` has them.

    References
    ----------
    Bishop (2006), *Pattern Recognition and Machine Learning*, section 9.3.3.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import BernoulliMixture
    >>> random = np.random.default_rng(0)
    >>> X = random.random((5000, 12)) < np.repeat([[0.1], [0.8]], [2000, 3000], axis=0)
    >>> mixture = BernoulliMixture(n_components=2, random_state=0).fit(X)
    >>> np.sort(mixture.weights_).round(1).tolist()
    [0.4, 0.6]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ColumnMixture._parameter_constraints,
        "probabilities_init": ["array-like", None],
    }
    _needed = (*ColumnMixture._needed, ("probabilities_",))
    _words = "binary columns"
    _highest = 1.0

    probabilities_: np.ndarray

    def __init__(self, n_components: int = 1, *, probabilities_init: Any = None, **settings: Any):
        super().__init__(n_components, **settings)
        self.probabilities_init = probabilities_init

    def _make_family(self, n_features: int, n_components: int) -> Bernoulli:
        return Bernoulli(n_components, n_features, self.prior_weight)

    @classmethod
    def from_parameters(cls, weights: Any, probabilities: Any, **settings: Any) -> Self:
        """A model with known parameters, that scores, predicts and samples without a fit.

        Parameters
        ----------
        weights : array-like (K,)
            Not negative; they must sum to one.
        probabilities : array-like (K, D), or (K,) for one column
            Of ones.
        **settings
            Other parameters of the constructor.

        Returns
        -------
        mixture : BernoulliMixture

        Raises
        ------
        ValueError
            For parameters that are out of range, or shapes that do not match.
        """
        probabilities = _table("probabilities", probabilities)
        return cls._of_values(weights, probabilities, len(probabilities), probabilities.shape[1], settings)


class MultinomialMixture(ColumnMixture):
    """Mixture of multinomial distributions: rows of counts whose totals are taken as given, such as words in documents.

    Parameters
    ----------
    n_components : int, default 1
    n_trials : int, default 1
        Total of the counts of a row that `sample` draws.
    probabilities_init : array-like (K, D), optional
        Probabilities of the columns to start from; each line must sum to one.
    weights_init : array-like (K,), optional
    prior_weight : float, default 0
        Counts, in the shares of the data, that each component is given beforehand: a Dirichlet prior.
    **settings
        Parameters that all mixtures share, such as tol, max_iter, n_init, init_params, random_state, learning_method
        and n_threads: see `GaussianMixture`.

    Attributes
    ----------
    weights_ : (K,) ndarray
    probabilities_ : (K, D) ndarray
        They sum to one for each component.
    converged_, stop_reason_, n_iter_, lower_bound_, lower_bounds_, fit_report_, n_features_in_
        As `GaussianMixture` has them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import MultinomialMixture
    >>> random = np.random.default_rng(0)
    >>> X = np.concatenate([random.multinomial(40, [0.7, 0.2, 0.1], 300), random.multinomial(40, [0.2, 0.2, 0.6], 700)])
    >>> mixture = MultinomialMixture(n_components=2, random_state=0).fit(X)
    >>> np.sort(mixture.weights_).round(1).tolist()
    [0.3, 0.7]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ColumnMixture._parameter_constraints,
        "n_trials": [Interval(Integral, 1, None, closed="left")],
        "probabilities_init": ["array-like", None],
    }
    _needed = (*ColumnMixture._needed, ("probabilities_",))
    _structural = (*ColumnMixture._structural, "n_trials")
    _words = "multinomial counts"
    _highest = 1.0

    probabilities_: np.ndarray

    def __init__(self, n_components: int = 1, *, n_trials: int = 1, probabilities_init: Any = None, **settings: Any):
        super().__init__(n_components, **settings)
        self.n_trials = n_trials
        self.probabilities_init = probabilities_init

    def _make_family(self, n_features: int, n_components: int) -> Multinomial:
        return Multinomial(n_components, n_features, self.prior_weight, n_trials=self.n_trials)

    def _read_values(self, name: str, given: Any, family: Columns) -> np.ndarray:
        return _sums_to_one(name, super()._read_values(name, given, family))

    @classmethod
    def from_parameters(cls, weights: Any, probabilities: Any, **settings: Any) -> Self:
        """A model with known parameters, that scores, predicts and samples without a fit.

        Parameters
        ----------
        weights : array-like (K,)
            Not negative; they must sum to one.
        probabilities : array-like (K, D)
            Each line must sum to one.
        **settings
            Other parameters of the constructor.

        Returns
        -------
        mixture : MultinomialMixture

        Raises
        ------
        ValueError
            For parameters that are out of range, or shapes that do not match.
        """
        probabilities = _table("probabilities", probabilities)
        return cls._of_values(weights, probabilities, len(probabilities), probabilities.shape[1], settings)


class CategoricalMixture(ColumnMixture):
    """Mixture of categorical distributions, independent across columns: latent class analysis.

    Parameters
    ----------
    n_components : int, default 1
    n_categories : int, array-like (D,) or None, default None
        Number of categories of each column, whose codes are the integers below. None: one more than the highest code
        that `fit` meets, which takes one more pass over files.
    probabilities_init : list of D array-likes (K, C), optional
        For each column, the probabilities of its categories to start from.
    weights_init : array-like (K,), optional
    prior_weight : float, default 0
        Rows of the mean of the data that each component is given beforehand: a Dirichlet prior of the probabilities.
    **settings
        Parameters that all mixtures share, such as tol, max_iter, n_init, init_params, random_state, learning_method
        and n_threads: see `GaussianMixture`.

    Attributes
    ----------
    weights_ : (K,) ndarray
    n_categories_ : (D,) ndarray
    probabilities_ : list of D ndarrays (K, C)
        Of the categories of each column; they sum to one for each component.
    converged_, stop_reason_, n_iter_, lower_bound_, lower_bounds_, fit_report_, n_features_in_
        As `GaussianMixture` has them.

    References
    ----------
    Goodman (1974), *Exploratory latent structure analysis using both identifiable and unidentifiable models*,
    Biometrika 61, 215-231.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import CategoricalMixture
    >>> random = np.random.default_rng(0)
    >>> few, many = random.choice(3, (3000, 8), p=[0.8, 0.1, 0.1]), random.choice(3, (7000, 8), p=[0.1, 0.3, 0.6])
    >>> mixture = CategoricalMixture(n_components=2, random_state=0).fit(np.concatenate([few, many]))
    >>> np.sort(mixture.weights_).round(1).tolist()
    [0.3, 0.7]
    >>> np.sort(mixture.probabilities_[0][:, 0]).round(1).tolist()
    [0.1, 0.8]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ColumnMixture._parameter_constraints,
        "n_categories": [Interval(Integral, 1, None, closed="left"), "array-like", None],
        "probabilities_init": ["array-like", None],
    }
    _needed = (*ColumnMixture._needed, ("probabilities_",))
    _also_shown = ("n_categories_",)
    _structural = (*ColumnMixture._structural, "n_categories")
    _words = "categories"
    _highest = 1.0

    n_categories_: np.ndarray
    probabilities_: list[np.ndarray]

    def __init__(
        self, n_components: int = 1, *, n_categories: Any = None, probabilities_init: Any = None, **settings: Any
    ):
        super().__init__(n_components, **settings)
        self.n_categories = n_categories
        self.probabilities_init = probabilities_init

    def _make_family(self, n_features: int, n_components: int) -> Categorical:
        sizes = np.broadcast_to(np.ones(1, dtype=np.int64), (n_features,))
        if self.n_categories is not None:
            sizes = plain_array(self.n_categories, "n_categories")
            if sizes.dtype.kind not in "iu" or sizes.shape not in ((), (n_features,)) or np.any(sizes < 1):
                raise ValueError(
                    f"n_categories must be a positive integer, or one for each of the {n_features} columns; got "
                    f"{self.n_categories!r}."
                )
        return Categorical(n_components, n_features, self.prior_weight, n_categories=sizes)

    def _tables(self) -> list[np.ndarray]:
        return [_table(f"probabilities_[{j}]", table) for j, table in enumerate(self.probabilities_)]

    def _given_sizes(self, changed: set[str]) -> tuple[int, int]:
        tables = self._tables()
        if not tables or len({len(table) for table in tables}) > 1:
            raise ValueError("probabilities_ must hold an array (n_components, n_categories) for each column.")
        return len(tables[0]), len(tables)

    def _fits(self, model: Model, n_components: int, n_features: int, changed: set[str]) -> bool:
        sizes = [table.shape[1] for table in self._tables()]
        return super()._fits(model, n_components, n_features, changed) and sizes == list(model.family.group_sizes())

    def _given_family(self, n_features: int, n_components: int) -> Categorical:
        family = self._make_family(n_features, n_components)
        if self.n_categories is not None:
            return family
        return replace(family, n_categories=np.array([table.shape[1] for table in self._tables()]))

    def _family_of(self, source: Source) -> Categorical:
        family = super()._family_of(source)
        if self.n_categories is not None:
            return family
        return replace(family, n_categories=highest_codes(source, np.ones(source.n_features, dtype=bool)) + 1)

    def _read_values(self, name: str, given: Any, family: Any) -> np.ndarray:
        sizes = np.diff(family.first_code)
        lists = list(given)
        if len(lists) != sizes.size:
            raise ValueError(f"{name} must hold one array for each of the {sizes.size} columns, got {len(lists)}.")
        arrays = [
            read_array(f"{name}[{j}]", array, (family.n_components, size))
            for j, (array, size) in enumerate(zip(lists, sizes, strict=True))
        ]
        for array in arrays:
            _sums_to_one(name, array)
        return np.concatenate(arrays, axis=1)

    def _show(self, params: Params) -> None:
        super()._show(params)
        self.n_categories_ = self._model.family.group_sizes()

    @classmethod
    def from_parameters(cls, weights: Any, probabilities: Any, **settings: Any) -> Self:
        """A model with known parameters, that scores, predicts and samples without a fit.

        Parameters
        ----------
        weights : array-like (K,)
            Not negative; they must sum to one.
        probabilities : list of D array-likes (K, C)
            For each column, those of its categories; each line must sum to one.
        **settings
            Other parameters of the constructor.

        Returns
        -------
        mixture : CategoricalMixture

        Raises
        ------
        ValueError
            For parameters that are out of range, or shapes that do not match.

        Examples
        --------
        >>> from fastem import CategoricalMixture
        >>> mixture = CategoricalMixture.from_parameters([0.5, 0.5], [[[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]]])
        >>> mixture.predict([0, 2]).tolist()
        [0, 1]
        """
        tables = [_table(f"probabilities[{j}]", table) for j, table in enumerate(probabilities)]
        if not tables or len({len(table) for table in tables}) > 1:
            raise ValueError("probabilities must hold an array (n_components, n_categories) for each column.")
        settings.setdefault("n_categories", [table.shape[1] for table in tables])
        return cls._of_values(weights, tables, len(tables[0]), len(tables), settings)


def _sums_to_one(name: str, values: np.ndarray) -> np.ndarray:
    if np.any(values < 0) or not np.allclose(values.sum(axis=1), 1.0, atol=1e-6):
        raise ValueError(f"{name} must not be negative and sum to 1 for each component.")
    return values


class ExponentialMixture(ColumnMixture):
    """Mixture of exponential distributions, independent across columns: waiting times of several kinds.

    Parameters
    ----------
    n_components : int, default 1
    mean_floor : float, default 1e-10
        Least mean of a component, as a fraction of the mean of the data: rows that are zero would draw one to them
        without end.
    means_init : array-like (K, D), optional
        Means to start from.
    weights_init : array-like (K,), optional
    prior_weight : float, default 0
        Rows of the mean of the data that each component is given beforehand: a gamma prior of the rates.
    **settings
        Parameters that all mixtures share, such as tol, max_iter, n_init, init_params, random_state, learning_method
        and n_threads: see `GaussianMixture`.

    Attributes
    ----------
    weights_ : (K,) ndarray
    means_ : (K, D) ndarray
        Inverse rates.
    converged_, stop_reason_, n_iter_, lower_bound_, lower_bounds_, fit_report_, n_features_in_
        As `GaussianMixture` has them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import ExponentialMixture
    >>> random = np.random.default_rng(0)
    >>> x = np.concatenate([random.exponential(1, 30_000), random.exponential(50, 70_000)])
    >>> mixture = ExponentialMixture(n_components=2, random_state=0).fit(x)
    >>> np.sort(mixture.means_[:, 0]).round().tolist()
    [1.0, 50.0]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ColumnMixture._parameter_constraints,
        "mean_floor": [Interval(Real, 0.0, 1.0, closed="both")],
        "means_init": ["array-like", None],
    }
    _needed = (*ColumnMixture._needed, ("means_",))
    _words = "exponential columns"
    _holds_integers = False

    means_: np.ndarray

    def __init__(self, n_components: int = 1, *, mean_floor: float = 1e-10, means_init: Any = None, **settings: Any):
        super().__init__(n_components, **settings)
        self.mean_floor = mean_floor
        self.means_init = means_init

    def _make_family(self, n_features: int, n_components: int) -> Exponential:
        return Exponential(n_components, n_features, self.prior_weight)

    def _read_values(self, name: str, given: Any, family: Columns) -> np.ndarray:
        values = super()._read_values(name, given, family)
        if np.any(values == 0):
            raise ValueError(f"{name} must be positive: values that are all zero have no exponential density.")
        return values

    def _scaled_family(self, family: Columns, stats: Any, n_rows: int) -> Columns:
        return family.scaled_to(stats, self.mean_floor)

    @classmethod
    def from_parameters(cls, weights: Any, means: Any, **settings: Any) -> Self:
        """A model with known parameters, that scores, predicts and samples without a fit.

        Parameters
        ----------
        weights : array-like (K,)
            Not negative; they must sum to one.
        means : array-like (K, D), or (K,) for one column
        **settings
            Other parameters of the constructor.

        Returns
        -------
        mixture : ExponentialMixture

        Raises
        ------
        ValueError
            For parameters that are out of range, or shapes that do not match.
        """
        means = _table("means", means)
        return cls._of_values(weights, means, len(means), means.shape[1], settings)
