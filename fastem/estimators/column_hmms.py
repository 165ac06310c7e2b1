"""Hidden Markov models of counts and of symbols, with hmmlearn's names."""

from __future__ import annotations

import os
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils._param_validation import Interval

from fastem._naming import named
from fastem.estimators._hmm import BaseHMM
from fastem.estimators.mixture import OfFamily
from fastem.families import Categorical, Poisson
from fastem.families.columns.base import Columns
from fastem.fitting.checkpoint import Checkpoint
from fastem.fitting.family_params import require_proper
from fastem.fitting.parameters import read_array, sizes_of, table_sizes
from fastem.model import Params
from fastem.schedules.batch import Batch
from fastem.schedules.incremental import Incremental
from fastem.search.options import Race, Restarts


class ColumnHMM(OfFamily, BaseHMM):
    """What these models share: one parameter of the family, an array with a number for each state and column."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseHMM._parameter_constraints,
        "prior_weight": [Interval(Real, 0.0, None, closed="left")],
    }
    _structural = (*BaseHMM._structural, "prior_weight")

    prior_weight: float

    @property
    def _attribute(self) -> str:
        return next(iter(self._letters.values()))

    def _category_sizes(self) -> list[int] | None:
        return None

    def _with_given(self, family: Columns, params: Any, given: str) -> Any:
        values = read_array(self._attribute, getattr(self, self._attribute), family.values_shape())
        return family.params(require_proper(self._attribute, values, family))

    def _given_sizes(self, changed: set[str]) -> tuple[int, int]:
        return table_sizes(self._attribute, getattr(self, self._attribute))

    def _given_values(self, family: Columns, changed: set[str]) -> Any:
        return self._with_given(family, None, "")

    def _show(self, params: Params) -> None:
        setattr(self, self._attribute, params.family.values)


class PoissonHMM(ColumnHMM):
    """Hidden Markov model whose states have Poisson distributions of counts, independent across columns.

    Parameters
    ----------
    n_components : int, default 1
        Number of states.
    prior_weight : float, default 0
        Rows of the mean of the data that each state is given beforehand: a gamma prior of the rates.
    startprob_prior, transmat_prior, algorithm, n_iter, tol, params, init_params, n_init, random_state, verbose
        As of `GaussianHMM`. The letters of `params` and `init_params` are "s", "t" and "l" (lambdas).
    schedule, search, memory_limit, n_threads, missing, checkpoint
        As of `GaussianHMM`.

    Attributes
    ----------
    startprob_, transmat_ : as of `GaussianHMM`
    lambdas_ : (K, D) ndarray
        Expected counts in each state.

    See Also
    --------
    hmmlearn.hmm.PoissonHMM

    References
    ----------
    Zucchini & MacDonald (2009), *Hidden Markov Models for Time Series*.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import PoissonHMM
    >>> truth = PoissonHMM.from_parameters([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [2.0, 9.0])
    >>> x, _ = truth.sample(5000, random_state=0)
    >>> np.sort(PoissonHMM(n_components=2, random_state=0).fit(x).lambdas_[:, 0]).round().tolist()
    [2.0, 9.0]
    """

    _needed = (*ColumnHMM._needed, ("lambdas_",))
    _letters: ClassVar[dict[str, str]] = {"l": "lambdas_"}

    lambdas_: np.ndarray

    def __init__(
        self,
        n_components: int = 1,
        *,
        startprob_prior: Any = 1.0,
        transmat_prior: Any = 1.0,
        prior_weight: float = 0.0,
        algorithm: str = "viterbi",
        n_iter: int = 1000,
        tol: float = 1e-5,
        params: str | None = None,
        init_params: str | None = None,
        n_init: int | str = "auto",
        random_state: Any = None,
        verbose: int = 0,
        schedule: str | Batch | Incremental = "batch",
        search: str | Race | Restarts = "race",
        memory_limit: int | str | None = None,
        n_threads: int | None = None,
        missing: str = "mar",
        checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    ):
        self._keep(locals())

    @property
    def _spec(self) -> Poisson:
        return Poisson(prior_weight=self.prior_weight)

    @classmethod
    def from_parameters(cls, startprob: Any, transmat: Any, lambdas: Any, **settings: Any) -> Self:
        """A model with known parameters, for use without a fit. Errors are as of `GaussianHMM.from_parameters`.

        Parameters
        ----------
        startprob : array-like (K,)
        transmat : array-like (K, K)
        lambdas : array-like (K, D), or (K,) for one column
        **settings
            As of the constructor.
        """
        hmm = cls(table_sizes("lambdas", lambdas)[0], **settings)
        return hmm._known_by(startprob_=startprob, transmat_=transmat, lambdas_=lambdas)


class CategoricalHMM(ColumnHMM):
    """Hidden Markov model of symbols: one column of codes 0, 1, 2, …

    Parameters
    ----------
    n_components : int, default 1
        Number of states.
    n_categories : int or None, default None
        Number of symbols. None: one more than the highest code that `fit` meets, which takes one more pass over files.
    n_features : int or None, default None
        hmmlearn's name for `n_categories`.
    prior_weight : float, default 0
        Rows of the shares of the data that each state is given beforehand: a Dirichlet prior of the probabilities.
    startprob_prior, transmat_prior, algorithm, n_iter, tol, params, init_params, n_init, random_state, verbose
        As of `GaussianHMM`. The letters of `params` and `init_params` are "s", "t" and "e" (emissionprob).
    schedule, search, memory_limit, n_threads, missing, checkpoint
        As of `GaussianHMM`.

    Attributes
    ----------
    startprob_, transmat_ : as of `GaussianHMM`
    emissionprob_ : (K, C) ndarray
        Probability of each symbol in each state.

    See Also
    --------
    hmmlearn.hmm.CategoricalHMM

    Examples
    --------
    >>> from fastem import CategoricalHMM
    >>> emissionprob = [[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]]
    >>> weather = CategoricalHMM.from_parameters([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], emissionprob)
    >>> weather.decode([0, 1, 2])[1].tolist()
    [1, 0, 0]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ColumnHMM._parameter_constraints,
        "n_categories": [Interval(Integral, 1, None, closed="left"), None],
    }
    _needed = (*ColumnHMM._needed, ("emissionprob_",))
    _structural = (*ColumnHMM._structural, "n_categories")
    _letters: ClassVar[dict[str, str]] = {"e": "emissionprob_"}

    emissionprob_: np.ndarray

    def __init__(
        self,
        n_components: int = 1,
        *,
        n_categories: int | None = None,
        n_features: int | None = None,
        startprob_prior: Any = 1.0,
        transmat_prior: Any = 1.0,
        prior_weight: float = 0.0,
        algorithm: str = "viterbi",
        n_iter: int = 1000,
        tol: float = 1e-5,
        params: str | None = None,
        init_params: str | None = None,
        n_init: int | str = "auto",
        random_state: Any = None,
        verbose: int = 0,
        schedule: str | Batch | Incremental = "batch",
        search: str | Race | Restarts = "race",
        memory_limit: int | str | None = None,
        n_threads: int | None = None,
        missing: str = "mar",
        checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    ):
        n_categories = _either(n_categories, n_features)
        settings = dict(locals())
        del settings["n_features"]
        self._keep(settings)

    @classmethod
    def _get_param_names(cls) -> list[str]:
        # One setting, of two names.
        return [name for name in super()._get_param_names() if name != "n_features"]

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the constructor, by either name of the number of symbols.

        Raises
        ------
        ValueError
            For names that are not there, and for a number of symbols that an `emissionprob_` that was given has not.
        """
        if "n_features" in params:
            params["n_categories"] = _either(params.get("n_categories"), params.pop("n_features"))
        # Another fit may have other symbols than the last one.
        if "n_categories" in params and "emissionprob_" in vars(self) and not hasattr(self, "fit_report_"):
            self._require_symbols(params["n_categories"])
        return super().set_params(**params)

    def _require_symbols(self, n_categories: int | None) -> None:
        """Raise when `emissionprob_` has another number of symbols."""
        n_given = table_sizes("emissionprob_", self.emissionprob_)[1]
        if n_categories not in (None, n_given):
            raise ValueError(
                f"n_categories={n_categories} (or n_features) contradicts emissionprob_, which has {n_given} symbols. "
                "Set emissionprob_ first, or leave out the number."
            )

    def _with_given(self, family: Columns, params: Any, given: str) -> Any:
        self._require_symbols(self.n_categories)
        return super()._with_given(family, params, given)

    @property  # type: ignore[override]
    def n_features(self) -> int | None:
        """Number of symbols, as hmmlearn calls it. It may be set before a fit, as `n_categories`."""
        return self.emissionprob_.shape[1] if self._has_params() else self.n_categories

    @n_features.setter
    def n_features(self, n_features: int | None) -> None:
        self.set_params(n_categories=n_features)

    @property
    def _spec(self) -> Categorical:
        return Categorical(self.n_categories, prior_weight=self.prior_weight)

    def _make_family(self, n_features: int, n_components: int) -> Columns:
        if n_features != 1:
            raise ValueError(
                f"{named('X')} must have one column, of codes, not {n_features}. Use HMM('categorical') for several."
            )
        return super()._make_family(n_features, n_components)

    def _category_sizes(self) -> list[int]:
        return [table_sizes("emissionprob_", self.emissionprob_)[1]]

    def _given_sizes(self, changed: set[str]) -> tuple[int, int]:
        return super()._given_sizes(changed)[0], 1

    @classmethod
    def from_parameters(cls, startprob: Any, transmat: Any, emissionprob: Any, **settings: Any) -> Self:
        """A model with known parameters, for use without a fit. Errors are as of `GaussianHMM.from_parameters`.

        Parameters
        ----------
        startprob : array-like (K,)
        transmat : array-like (K, K)
        emissionprob : array-like (K, C)
        **settings
            As of the constructor.
        """
        n_components, n_categories = sizes_of("emissionprob", emissionprob, ("n_components", "n_categories"))
        hmm = cls(n_components, **{"n_categories": n_categories, **settings})
        return hmm._known_by(startprob_=startprob, transmat_=transmat, emissionprob_=emissionprob)


def _either(n_categories: int | None, n_features: int | None) -> int | None:
    """The number of symbols, by whichever name it is given."""
    if n_features is not None and n_categories is not None and not np.array_equal(n_categories, n_features):
        raise ValueError(f"n_categories={n_categories} and n_features={n_features} both name the number of symbols.")
    return n_categories if n_features is None else n_features
