"""Gaussian mixtures with scikit-learn's names."""

from __future__ import annotations

import os
from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from fastem._naming import named
from fastem._options import Choice
from fastem.estimators._histogram import HistogramMixture
from fastem.estimators._uncertain import UncertainMixture
from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.location_scatter import STRUCTURES
from fastem.fitting.checkpoint import Checkpoint
from fastem.fitting.fixed import Fixed
from fastem.fitting.parameters import inverse, proper_params, read_array, read_means, read_weights, table_sizes
from fastem.fitting.priors import GAUSSIAN_PRIORS, NormalInverseWishart, with_fixed, with_priors
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.schedules.batch import Batch
from fastem.schedules.incremental import Incremental
from fastem.schedules.online import Online
from fastem.search.options import Race, Restarts

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

# Settings that mean the same to scikit-learn, or nearly so.
_SHARED = ("tol", "reg_covar", "max_iter", "n_init", "random_state", "warm_start")


class GaussianMixture(UncertainMixture, HistogramMixture):
    """Mixture of Gaussian distributions, fitted by expectation-maximisation in one fused parallel pass.

    No N x K array is ever made. One-dimensional X is one feature.

    Parameters
    ----------
    n_components : int, default 1
    covariance_type : {"full", "tied", "diag", "spherical"}, default "full"
        A covariance matrix for each component; one for all of them; a variance for each component and feature; one
        variance for each component.
    tol : float, default 1e-5
        The fit stops when the estimated remaining improvement is below `tol` nats per row (docs/convergence.md).
        scikit-learn's `tol` bounds the gain of one iteration.
    reg_covar : float, default 0
        Added to the diagonal of covariances in every M-step, in squared units of the data. `covariance_floor` keeps
        components proper without it.
    max_iter : int, default 1000
        Largest number of iterations; 0 for the start alone.
    n_init : int or "auto", default "auto"
        Number of starts (see `search`). "auto": with few rows, as many as cost little; they race, side by side.
        One where passes over the rows are long, parts of the start are given, or `schedule` is "online".
    init_params : str or array-like, default "k-means++"
        The start: "k-means++", "kmeans", "random_from_data" (random rows), "random" (random responsibilities) or
        "quantile" (equal shares of one feature), on a sample of rows; or integer labels (N,); or responsibilities
        (N, K).
    weights_init : array-like (K,), optional
    means_init : array-like (K, D), optional
    precisions_init : array-like, optional
        Inverse covariances in the shape of `covariances_`. What is given replaces that part of the start.
    random_state : int, RandomState instance or None, default None
    warm_start : bool, default False
        Continue from the last fit. When the rows turn out to be the same, what that fit saw counts for convergence.
    verbose : int, default 0
        1: print the objective every `verbose_interval` iterations, and what is compiled. 2: show a progress bar.
    verbose_interval : int, default 10
    prior : {"vanishing"}, None or NormalInverseWishart, default "vanishing"
        "vanishing": the penalty of Chen & Tan, which bounds the likelihood and vanishes as rows grow in number
        (docs/convergence.md). None: maximum likelihood.
    fixed : None or Fixed, default None
        Weights, means and covariances that stay as they start.
    schedule : {"batch", "plain", "online", "incremental"}, Batch, Online or Incremental, default "batch"
        The order of E- and M-steps (docs/streaming.md). "plain" is textbook EM, `Batch(acceleration=None,
        subsample=None)`. `partial_fit` learns by the `Online` that is given here.
    search : {"race", "restarts"}, Race or Restarts, default "race"
        Whether the best of several starts on a sample is fitted, or each to its end (docs/local_optima.md).
    covariance_floor : float, default 1e-10
        Least variance of a component in any direction, as a fraction of the variance of the data.
    memory_limit : int, str or None, default None
        Most memory of rows being read and worked on, in bytes or as a text such as "512MB". It also bounds the sample
        that a fit begins on (64 MiB otherwise).
    n_threads : int or None, default None
        Most threads; None stands for all that numba, joblib or Dask allow. Results have the same bits for any number.
    missing : {"mar", "error"}, default "mar"
        NaN and null: "mar": values that are missing at random, given those of the row that are there
        (docs/missing.md). "error": a mistake, which is told of.
    precision : {"auto", "float64"}, default "auto"
        "auto": batch EM of many float32 rows, of eight features or more, computes components in float32 whose error
        is bounded, and sums in float64. Its last iterations, which gain less than a millionth of a nat per row, are in
        float64, and so is all else (docs/performance.md).
    checkpoint : path, Checkpoint or None, default None
        File that keeps the state of a fit, for `fit(..., resume=True)`, and the model so far, for `fastem.load`.

    Attributes
    ----------
    weights_ : (K,) ndarray
    means_ : (K, D) ndarray
    covariances_ : ndarray
        (K, D, D) for "full", (D, D) for "tied", (K, D) for "diag", (K,) for "spherical".
    precisions_, precisions_cholesky_ : ndarray
        Inverse covariances P P', and their factors P, in the same shapes.
    converged_ : bool
        Whether the estimated remaining improvement was below `tol`; never True after the objective fell.
    stop_reason_ : {"converged", "max_iter", "objective_decreased", "interrupted", "failed"}
    n_iter_ : int
        Iterations that were run; with bins or a subsample, those that read all rows.
    lower_bound_ : float
        What was maximised: mean log-likelihood per row (per unit of weight), and the logarithm of priors or minus the
        penalty, in nats; `fit_report_.loglik` is the first alone.
    lower_bounds_ : list of float
        The same at the start and after each iteration that was kept; it never falls. With online and incremental
        learning: the mean over each epoch, of rows before they were learnt from, and the exact value at the end.
    n_steps_ : int
        Number of times that online EM moved the parameters; otherwise `n_iter_`.
    fit_report_ : FitReport
        What happened, including every repair of a component. Print it.
    n_features_in_ : int
    feature_names_in_ : (D,) ndarray of str
        Only after a fit of a data frame.

    Notes
    -----
    Parameters can be set by hand: `weights_`, `means_`, and one of `covariances_`, `precisions_cholesky_` and
    `precisions_`. They are checked, and copied, when the model is used next. The arrays that are shown cannot be
    written: give a new array in place of a changed one.

    References
    ----------
    Dempster, Laird & Rubin (1977), J. Roy. Statist. Soc. B 39, 1-38; Bishop (2006), *Pattern Recognition and Machine
    Learning*, section 9.2.2; Varadhan & Roland (2008), Scand. J. Statist. 35, 335-353; Chen & Tan (2009),
    J. Multivariate Analysis 100, 1367-1383.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import GaussianMixture
    >>> random = np.random.default_rng(0)
    >>> x = np.concatenate([random.normal(20, 5, 3000), random.normal(40, 5, 7000)])
    >>> mixture = GaussianMixture(n_components=2, random_state=0).fit(x)
    >>> np.sort(mixture.means_[:, 0]).round().tolist()
    [20.0, 40.0]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **HistogramMixture._parameter_constraints,
        "covariance_type": [StrOptions(set(STRUCTURES))],
        "reg_covar": [Interval(Real, 0.0, None, closed="left")],
        "precision": [StrOptions({"auto", "float64"})],
        "covariance_floor": [Interval(Real, 0.0, 1.0, closed="both")],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
    }
    _choices: ClassVar[dict[str, Choice]] = {**HistogramMixture._choices, "prior": GAUSSIAN_PRIORS}
    _fixable = ("weights", "means", "covariances")
    _given_parts = ("weights_init", "means_init", "precisions_init")
    _has_bins = True

    _needed = (*HistogramMixture._needed, ("means_",), ("covariances_", "precisions_cholesky_", "precisions_"))
    _structural = (*HistogramMixture._structural, "covariance_type", "reg_covar")

    covariance_type: str
    reg_covar: float
    covariance_floor: float
    precision: str
    means_init: Any
    precisions_init: Any
    means_: np.ndarray
    covariances_: np.ndarray

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-5,
        reg_covar: float = 0.0,
        max_iter: int = 1000,
        n_init: int | str = "auto",
        init_params: Any = "k-means++",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        prior: str | NormalInverseWishart | None = "vanishing",
        fixed: Fixed | None = None,
        schedule: str | Batch | Online | Incremental = "batch",
        search: str | Race | Restarts = "race",
        covariance_floor: float = 1e-10,
        memory_limit: int | str | None = None,
        n_threads: int | None = None,
        missing: str = "mar",
        precision: str = "auto",
        checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    ):
        self._keep(locals())

    def _distributions(self) -> str:
        return f"{self.covariance_type} Gaussians"

    def _make_family(self, n_features: int, n_components: int) -> Gaussian:
        return Gaussian(
            n_components=n_components,
            n_features=n_features,
            covariance_type=self.covariance_type,
            reg_covar=self.reg_covar,
        )

    def _precision(self) -> str:
        return self.precision

    def _scaled_family(self, family: Gaussian, stats: Any, n_rows: int) -> Gaussian:
        scaled = family.with_data_scale(stats, self.covariance_floor)
        family = with_priors(self._option("prior"), scaled, stats, n_rows)
        last = self._last_start()
        means, covariances = self._given_means(family), self._given_covariances(family)
        if last is not None:
            means = last.family.means if means is None else means
            covariances = last.family.covariances if covariances is None else covariances
        return with_fixed(self._option("fixed"), family, means, covariances)

    def _given_means(self, family: Gaussian) -> np.ndarray | None:
        if self.means_init is None:
            return None
        return read_array("means_init", self.means_init, (self.n_components, family.n_features))

    def _given_covariances(self, family: Gaussian) -> np.ndarray | None:
        if self.precisions_init is None:
            return None
        return inverse(family, read_array("precisions_init", self.precisions_init, family.covariance_shape()))

    def _given_start(self, model: Model, params: Callable[[], Params]) -> Params:
        family = model.family
        given: tuple[Any, ...] = self._given_weights(), self._given_means(family), self._given_covariances(family)
        if all(part is None for part in given):
            return params()
        if any(part is None for part in given):
            start = params()
            others = start.latent.weights, start.family.means, start.family.covariances
            given = tuple(b if a is None else a for a, b in zip(given, others, strict=True))
        weights, means, covariances = given
        return Params(model.latent.params(weights), proper_params(family, means, covariances))

    def _why_it_decreased(self) -> str:
        if self.reg_covar == 0:
            return super()._why_it_decreased()
        return (
            f"{named('reg_covar')} widens covariances beyond the likelihood's maximum. "
            f"Use {named('reg_covar')}=0 (covariance_floor keeps components proper) or a smaller one"
        )

    def _show(self, params: Params) -> None:
        family = self._model.family
        self.means_ = params.family.means
        self.covariances_ = params.family.covariances
        self.precisions_cholesky_ = family.structure.precisions_cholesky(params.family)
        if family.structure.is_matrix:
            self.precisions_ = self.precisions_cholesky_ @ np.swapaxes(self.precisions_cholesky_, -1, -2)
        else:
            self.precisions_ = np.square(self.precisions_cholesky_)

    def _given_sizes(self, changed: set[str]) -> tuple[int, int]:
        return table_sizes("means_", self.means_)

    def _given_values(self, family: Gaussian, changed: set[str]) -> Any:
        means = read_array("means_", self.means_, (family.n_components, family.n_features))
        name = self._source_of_covariances(changed)
        values = read_array(name, getattr(self, name), family.covariance_shape())
        if name == "precisions_cholesky_":
            values = family.structure.of_precisions_cholesky(values)
        if name == "precisions_":
            values = inverse(family, values, name)
        return proper_params(family, means, values, name)

    def _source_of_covariances(self, changed: set[str]) -> str:
        """The attribute that covariances are read from: one that was set by hand, if any."""
        return next((name for name in self._needed[-1] if name in changed), "covariances_")

    def _following(self, changed: set[str]) -> set[str]:
        source = self._source_of_covariances(changed)
        return changed if source == "covariances_" else changed - {source}

    @classmethod
    def from_parameters(
        cls, weights: Any, means: Any, covariances: Any, *, covariance_type: str = "full", **settings: Any
    ) -> Self:
        """A model with known parameters, that scores, predicts and samples without a fit.

        `fit` with warm_start=True would continue from these parameters.

        Parameters
        ----------
        weights : array-like (K,)
            Positive; they must sum to one.
        means : array-like (K, D), or (K,) for one feature
        covariances : array-like
            In the shape of `covariances_` for the `covariance_type`; with one feature, the variances (K,).
        covariance_type, **settings
            As of the constructor.

        Raises
        ------
        ValueError
            For weights that do not sum to one, shapes that do not match, or improper covariances.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> GaussianMixture.from_parameters([0.3, 0.7], [20.0, 40.0], [25.0, 25.0]).predict([18.0, 41.0]).tolist()
        [0, 1]
        """
        means = read_means(means)
        mixture = cls(len(means), covariance_type=covariance_type, **settings)
        mixture._validate_params()
        latent, family = MixtureLatent(len(means)), mixture._make_family(means.shape[1], len(means))
        covariances = read_array("covariances", covariances, family.covariance_shape())
        params = proper_params(family, read_array("means", means, means.shape), covariances)
        weights = latent.params(read_weights(weights, len(means)))
        mixture._adopt(Model(latent, family), Params(weights, params))
        return mixture

    def to_sklearn(self) -> SklearnGaussianMixture:
        """The fitted model as a `sklearn.mixture.GaussianMixture`, with the same parameters and predictions."""
        from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

        self._require_fitted()
        family = self._model.family
        settings = {name: getattr(self, name) for name in _SHARED}
        if self.n_init == "auto":
            settings["n_init"] = 1
        other = SklearnGaussianMixture(family.n_components, covariance_type=family.covariance_type, **settings)
        names = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_", "n_features_in_")
        fit_attributes = ("feature_names_in_", "converged_", "n_iter_", "lower_bound_", "lower_bounds_")
        for name in (*names, *(name for name in fit_attributes if hasattr(self, name))):
            value = getattr(self, name)
            setattr(other, name, value.copy() if isinstance(value, np.ndarray) else value)
        return other

    @classmethod
    def from_sklearn(cls, mixture: SklearnGaussianMixture) -> Self:
        """A model with the parameters of a fitted `sklearn.mixture.GaussianMixture`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
        """
        check_is_fitted(mixture)
        weights, settings = np.float64(mixture.weights_), {name: getattr(mixture, name) for name in _SHARED}
        other = cls.from_parameters(
            weights / weights.sum(),
            mixture.means_,
            mixture.covariances_,
            covariance_type=mixture.covariance_type,
            **settings,
        )
        if hasattr(mixture, "feature_names_in_"):
            other.feature_names_in_ = mixture.feature_names_in_.copy()
        return other
