"""Mixtures of regressions: covariates and a response, in the words of scikit-learn's regressors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, column_or_1d, validate_data

from fastem._naming import named
from fastem.estimators._options import OptionHolder
from fastem.estimators.mixture import Mixture
from fastem.families import REGRESSIONS
from fastem.families.regression.family import Regression
from fastem.fitting.checkpoint import Checkpoint
from fastem.fitting.family_values import read_family
from fastem.fitting.fixed import Fixed
from fastem.fitting.priors import Dirichlet
from fastem.schedules.batch import Batch
from fastem.schedules.incremental import Incremental
from fastem.schedules.online import Online
from fastem.search.options import Race, Restarts
from fastem.sources import as_source, in_order, is_streamed, with_known_columns
from fastem.sources.source import Source

# Rows whose means are computed at a time.
_PIECE_ROWS = 65_536
# What follows the parameters of the inner mixture.
_STORY = ("converged_", "stop_reason_", "n_iter_", "lower_bound_", "lower_bounds_", "fit_report_")


class RegressionMixture(RegressorMixin, OptionHolder):
    """Mixture of regressions: each component has its own line, or generalised linear model, of y given X.

    Also called clusterwise regression, or a latent class regression: rows of several kinds whose response depends on
    the covariates in different ways, where nobody knows which row is of which kind.

    Parameters
    ----------
    n_components : int, default 1
    family : {"linear", "poisson_regression", "binomial_regression", "gamma_regression"} or family, default "linear"
        What the response is: a number; a count; 0 or 1, or successes of several trials; a positive number. Or a value
        such as ``PoissonRegression(exposure=True)`` or ``Linear(prior_weight=1.0)`` of `fastem.families`.
    params_init : dict, optional
        First parameters: ``{"coef": ..., "intercept": ...}``, and "variances" or "shapes".
    tol, max_iter, n_init, init_params, weights_init, random_state, warm_start, verbose, verbose_interval
        As of `Mixture`. Seeds are looked for among the residuals of one regression of all rows, and their products with
        the covariates.
    prior, fixed, schedule, search, memory_limit, n_threads, missing, checkpoint
        As of `Mixture`.

    Attributes
    ----------
    weights_ : (K,) ndarray
    coef_ : (K, P) ndarray
    intercept_ : (K,) ndarray
        For all families but "linear", of the logarithm of the mean, or of the logit of a probability.
    variances_ : (K,) ndarray
        Of the noise of linear regressions.
    shapes_ : (K,) ndarray
        Of gamma regressions: the variance is mean^2 / shape.
    mixture_ : Mixture
        The same model of rows that hold the covariates, then the response: for `save`, `select`, and what else a
        mixture can do.
    n_features_in_ : int
        P, the number of covariates.
    converged_, stop_reason_, n_iter_, lower_bound_, lower_bounds_, fit_report_
        As of `Mixture`.

    See Also
    --------
    Mixture : with a family such as `fastem.families.Linear`, for rows whose last column is the response; from streams.
    HMM : with such a family, for regimes that follow each other: Markov-switching regression.

    References
    ----------
    DeSarbo & Cron (1988), *A maximum likelihood methodology for clusterwise linear regression*, J. Classification 5,
    249-282; Leisch (2004), *FlexMix*, J. Statistical Software 11(8).

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import RegressionMixture
    >>> random = np.random.default_rng(0)
    >>> x, line = random.uniform(0, 10, (2000, 1)), random.integers(0, 2, 2000)
    >>> y = np.where(line, 3.0 * x[:, 0], 20.0 - x[:, 0]) + random.normal(size=2000)
    >>> regression = RegressionMixture(2, random_state=0).fit(x, y)
    >>> np.sort(regression.coef_[:, 0]).round().tolist()
    [-1.0, 3.0]
    >>> regression.predict([[5.0]]).round().tolist()
    [15.0]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Mixture._parameter_constraints,
        "family": [StrOptions(set(REGRESSIONS)), Regression],
    }
    _choices = Mixture._choices

    n_features_in_: int
    feature_names_in_: np.ndarray

    def __init__(
        self,
        n_components: int = 1,
        *,
        family: str | Regression = "linear",
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

    def _record(self, name: str, value: Any) -> Any:
        if name != "family":
            return super()._record(name, value)
        family = read_family(value) if isinstance(value, str) and value in REGRESSIONS else value
        return family if isinstance(family, Regression) else None

    @property
    def _family(self) -> Regression:
        return read_family(self.family)

    # Fitting.

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, size: Any = None, resume: bool = False) -> Self:
        """Estimate weights and coefficients by expectation-maximisation.

        Parameters
        ----------
        X : array-like (N, P), data frame, or whatever `fastem.open_source` reads
            Covariates; no value may be missing.
        y : array-like (N,) or str
            The response, NaN where it is missing; or the name of its column in X, which is then read as a stream.
        sample_weight : array-like (N,) or str, optional
            Non-negative weights, or the name of their column; a row of weight 2 counts as the row twice.
        size : array-like (N,) or str, optional
            The exposure of each count, or the number of trials, where `family` says that there is one.
        resume : bool, default False
            As of `Mixture.fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For unusable data or settings, naming the problem and the remedy.

        Warns
        -----
        ConvergenceWarning
            When fitting stopped for another reason than convergence.
        """
        self._validate_params()
        rows, sample_weight = self._weighted(X, y, size, sample_weight, reset=True)
        known = getattr(self, "mixture_", None)
        mixture = known if self.warm_start and known is not None else Mixture()
        self._adopt(
            mixture.set_params(**self.get_params(deep=False)).fit(rows, sample_weight=sample_weight, resume=resume)
        )
        return self

    @classmethod
    def from_mixture(cls, mixture: Mixture) -> Self:
        """The regression that a `Mixture` of a regression family is, one from a file, say.

        Parameters
        ----------
        mixture : Mixture
            With parameters; its rows hold covariates, then the response.

        Raises
        ------
        TypeError
            For another family.
        NotFittedError
            Without parameters.
        """
        if not isinstance(mixture, Mixture) or not isinstance(mixture._of_family, Regression):
            raise TypeError(
                f"from_mixture takes a Mixture whose family is one of {', '.join(map(repr, REGRESSIONS))}, or a value "
                "such as Linear()."
            )
        mixture._require_known()
        made = cls(**mixture.get_params(deep=False))
        made.n_features_in_ = mixture._of_family.n_covariates
        names = getattr(mixture, "feature_names_in_", None)
        if names is not None:
            made.feature_names_in_ = names[: made.n_features_in_]
        made._adopt(mixture)
        return made

    def _adopt(self, mixture: Mixture) -> None:
        self.mixture_ = mixture
        for name in ("weights_", *(f"{name}_" for name in mixture._of_family.shown), *_STORY):
            if hasattr(mixture, name):
                setattr(self, name, getattr(mixture, name))

    def _weighted(self, X: Any, y: Any, size: Any, sample_weight: Any, reset: bool = False) -> tuple[Any, Any]:
        """Rows of covariates, the response, and its size; and their weights, unless a source has them."""
        if not isinstance(sample_weight, str):
            return self._joined(X, y, size, reset), sample_weight
        if not isinstance(y, str):
            raise ValueError(
                f"sample_weight={sample_weight!r} is the name of a column of X: give y by its name, too, or the "
                "weights themselves."
            )
        return self._joined(as_source(X, sample_weight), y, size, reset), None

    def _joined(self, X: Any, y: Any, size: Any, reset: bool = False) -> Any:
        """Rows of covariates, the response, and its size."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None. Pass the response, or the "
                "name of its column."
            )
        family = self._family
        if family.has_size and size is None:
            raise ValueError(f"{named('family')}={family!r} needs the {family.size} of each row: pass size=...")
        if size is not None and not family.has_size:
            other = next((name for name in ("exposure", "trials") if hasattr(family, name)), "")
            remedy = f"Set family={type(family).__name__}({other}=True)" if other else "Leave it out"
            raise ValueError(f"size was given, but {named('family')}={family!r} has none. {remedy}.")
        if isinstance(y, str):
            return self._by_name(X, [y] if size is None else [y, size], reset)
        X = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32])
        columns = [_column(y, "y", allow_nan=self.missing == "mar")]
        if size is not None:
            columns.append(_column(size, "size", allow_nan=False))
        check_consistent_length(X, *columns)
        return np.column_stack([X, *columns])

    def _by_name(self, X: Any, last: list[Any], reset: bool) -> Source:
        """Rows of a source whose response, and its size, have names; these columns come last."""
        source = as_source(X)
        missing = [name for name in last if name not in source.labels]
        if missing:
            raise ValueError(f"X has no column {missing[0]!r}. Its columns: {', '.join(source.labels)}.")
        places = [source.labels.index(name) for name in last]
        covariates = [place for place in range(source.n_features) if place not in places]
        if not reset and hasattr(self, "feature_names_in_") and source.names is not None:
            return with_known_columns(source, [*self.feature_names_in_, *last])
        if reset:
            self.n_features_in_ = len(covariates)
            self.__dict__.pop("feature_names_in_", None)
            if source.names is not None:
                self.feature_names_in_ = np.array([source.names[place] for place in covariates], dtype=object)
        return in_order(source, [*covariates, *places])

    # What a fitted model says of covariates alone.

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Expected response, of size one, over all components.

        Parameters
        ----------
        X : array-like (N, P), or as in `fit`
        return_std : bool, default False
            Whether the standard deviation of the response is returned, too.

        Returns
        -------
        mean : (N,) ndarray
        sd : (N,) ndarray
            With `return_std`.
        """
        found = [self._moments(piece) for piece in self._pieces(X)]
        means, sds = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return (means, sds) if return_std else means

    def predict_by_component(self, X: Any) -> np.ndarray:
        """Expected response (N, K), of size one, under each component, of covariates X (N, P)."""
        mixture = self._fitted()
        family, params = mixture._model.family, mixture._params.family
        return np.concatenate([family.expected(params, piece) for piece in self._pieces(X)])

    def _moments(self, covariates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        family, params = self.mixture_._model.family, self.mixture_._params.family
        means = family.expected(params, covariates)
        mean = means @ self.weights_
        variance = (family.variance(means, params.dispersion) + np.square(means - mean[:, None])) @ self.weights_
        return mean, np.sqrt(variance)

    def _pieces(self, X: Any) -> Iterator[np.ndarray]:
        """Covariates, some rows at a time."""
        self._fitted()
        if is_streamed(X) and not hasattr(X, "columns"):
            source = as_source(X)
            if hasattr(self, "feature_names_in_"):
                source = with_known_columns(source, list(self.feature_names_in_))
            if source.n_features != self.n_features_in_:
                raise ValueError(
                    f"X has {source.n_features} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                    "features as input: the covariates."
                )
            yield from (np.asarray(chunk.X, dtype=np.float64) for chunk in source.chunks(_PIECE_ROWS))
            return
        values = validate_data(self, X, reset=False, dtype=np.float64)
        yield from (values[start : start + _PIECE_ROWS] for start in range(0, len(values), _PIECE_ROWS))

    def _fitted(self) -> Mixture:
        check_is_fitted(self, "mixture_")
        return self.mixture_

    # What it says of covariates and responses.

    def predict_component(self, X: Any, y: Any, *, size: Any = None) -> np.ndarray:
        """Most probable component (N,), int64, of each row, given its response."""
        return self._fitted().predict(self._joined(X, y, size))

    def predict_component_proba(self, X: Any, y: Any, *, size: Any = None) -> np.ndarray:
        """Probability (N, K) of each component, given the response; the weights where that is missing."""
        return self._fitted().predict_proba(self._joined(X, y, size))

    def log_prob(self, X: Any, y: Any, *, size: Any = None) -> np.ndarray:
        """Log-likelihood (N,) of each response given its covariates, in nats."""
        return self._fitted().score_samples(self._joined(X, y, size))

    def criteria(self, X: Any, y: Any, sample_weight: Any = None, *, size: Any = None) -> dict[str, float]:
        """Log-likelihood and information criteria: `weight`, `loglik`, `score` (mean, in nats), `aic` and `bic`."""
        return self._fitted().criteria(*self._weighted(X, y, size, sample_weight))

    def aic(self, X: Any, y: Any, sample_weight: Any = None, *, size: Any = None) -> float:
        """Akaike's information criterion: -2 loglik + 2 parameters. Lower is better."""
        return self.criteria(X, y, sample_weight, size=size)["aic"]

    def bic(self, X: Any, y: Any, sample_weight: Any = None, *, size: Any = None) -> float:
        """Bayesian information criterion: -2 loglik + parameters * log(weight). Lower is better."""
        return self.criteria(X, y, sample_weight, size=size)["bic"]

    def standard_errors(self, X: Any, y: Any, sample_weight: Any = None, *, size: Any = None, **options: Any) -> Any:
        """Standard errors of `weights`, `coef`, `intercept` and their like; as `Mixture.standard_errors`."""
        return self._fitted().standard_errors(*self._weighted(X, y, size, sample_weight), **options)

    def confidence_intervals(
        self, X: Any, y: Any, sample_weight: Any = None, *, size: Any = None, **options: Any
    ) -> Any:
        """Confidence intervals of the parameters; as `Mixture.confidence_intervals`."""
        return self._fitted().confidence_intervals(*self._weighted(X, y, size, sample_weight), **options)

    def bootstrap(self, X: Any, y: Any, sample_weight: Any = None, *, size: Any = None, **options: Any) -> Any:
        """Refits to rows that are weighted at random; as `Mixture.bootstrap`."""
        return self._fitted().bootstrap(*self._weighted(X, y, size, sample_weight), **options)

    def plot(self, X: Any, y: Any, feature: int | str = 0, ax: Any = None, **options: Any) -> Any:
        """Draw responses and the regressions; see `fastem.plotting.regression.plot_regression`."""
        from fastem.plotting import plot_regression

        return plot_regression(self, X, y, feature, ax=ax, **options)


def _column(values: Any, name: str, allow_nan: bool) -> np.ndarray:
    """A column (N,) of numbers."""
    column = column_or_1d(values, warn=True)
    finite: Any = "allow-nan" if allow_nan else True
    return check_array(column, ensure_2d=False, dtype=np.float64, ensure_all_finite=finite, input_name=name)
