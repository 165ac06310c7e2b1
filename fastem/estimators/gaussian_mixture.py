"""Gaussian mixtures with scikit-learn's names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from fastem.estimators._beliefs import with_fixed, with_priors
from fastem.estimators._histogram import read_histogram
from fastem.estimators._mixture import BaseMixture
from fastem.estimators._uncertain import UncertainMixture
from fastem.estimators._validation import read_array, read_weights, symmetric, table_sizes
from fastem.families.gaussian.diag import GaussianDiag
from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.full import GaussianFull
from fastem.families.gaussian.spherical import GaussianSpherical
from fastem.families.gaussian.tied import GaussianTied
from fastem.fitting.batch import Learning
from fastem.fitting.binned import Bins
from fastem.fitting.bins import CompressedLearning, HistogramLearning
from fastem.fitting.scan import Survey
from fastem.fitting.thread_limits import holding_libraries, running
from fastem.given import floats
from fastem.latents.mixture import Mixture
from fastem.model import Model, Params
from fastem.schedules.result import FitResult
from fastem.sources import ArraySource

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

FAMILIES: dict[str, type[Gaussian]] = {
    family.covariance_type: family for family in (GaussianFull, GaussianTied, GaussianDiag, GaussianSpherical)
}


class GaussianMixture(UncertainMixture, BaseMixture):
    """Mixture of Gaussian distributions, fitted by expectation-maximisation in one fused parallel pass.

    Parameters
    ----------
    n_components : int, default 1
    covariance_type : {"full", "tied", "diag", "spherical"}, default "full"
        A covariance matrix for each component; one for all of them; a variance for each component and
        feature; one variance for each component.
    acceleration : {"auto", "squarem", "anderson"} or None, default "auto"
        How steps that are worth many iterations are found, once the first, quick gains are made: by squared
        extrapolation, or by mixing the last ten iterations; "auto" mixes where there are no more than 32 free
        parameters. A step that would lower the objective is undone. None: plain EM.
    growth : {"auto", True, False}, default "auto"
        Whether many rows (from a million on, more for many parameters) are fitted by way of samples: EM runs on
        samples of growing size, and each pass over all rows then tells by how much their statistics differ from those
        of the largest sample. Stopping rule and objective are those of all rows. "auto": unless `acceleration` is None.
    regularization : {"vanishing"} or None, default "vanishing"
        "vanishing": each covariance is fitted to 2 / n more rows, n being the number of rows, which have the covariance
        of the data (the penalty of Chen & Tan, with a = 1 / n): enough to bound the likelihood, and far less than the
        errors of estimates. The objective counts it. None: maximum likelihood. A prior of covariances takes its place.
    weight_concentration_prior : float or None, default None
        Concentration, at least 1, of a symmetric Dirichlet prior of the weights.
    mean_prior : array-like (D,), optional
        Mean of a normal prior of the means; by default that of the data, where the precision is given.
    mean_precision_prior : float or None, default None
        As many rows at `mean_prior` count for each mean; 1 where only that is given.
    degrees_of_freedom_prior : float or None, default None
        Of an inverse Wishart prior of the covariances, more than D - 1; D where only `covariance_prior` is given.
    covariance_prior : array-like or float, optional
        Scale matrix of that prior: (D, D) for "full" and "tied", (D,) for "diag", a number for "spherical"; by
        default the covariance of the data, where the degrees of freedom are given. With priors, the mode of the
        posterior density is found.
    fix_weights : bool, array-like (K,) of bool, or "equal", default False
        Weights that stay at `weights_init`, all or some; or equal ones.
    fix_means : bool or array-like (K,) of bool, default False
        Means that stay at `means_init`.
    fix_covariances : bool or array-like (K,) of bool, default False
        Covariances that stay the inverses of `precisions_init`. With `warm_start`, what is fixed stays as it was.
    tol : float, default 1e-5
        Fitting stops when what further iterations would still gain, estimated from how fast gains shrink,
        is below `tol` nats per row. (scikit-learn's `tol` bounds the gain of one iteration, which says
        little about what is left.)
    reg_covar : float, default 0
        Added to the diagonal of covariances in every M-step, in squared units of the data. Not needed
        to keep components proper (see `covariance_floor`); there for comparison with scikit-learn,
        whose default is 1e-6.
    covariance_floor : float, default 1e-10
        Least variance of a component in any direction, as a fraction of the variance of the data.
        Unlike `reg_covar` it follows the units of the data and leaves proper components alone.
    max_iter : int, default 1000
        Largest number of iterations; 0 for the start alone.
    n_init : int, default 1
        Number of starts (see `search`).
    search : {"race", "restarts"}, default "race"
        "race": several starts run on a sample of the rows for a few iterations; the better half goes on for twice as
        many, and so on; the one that is left is fitted to all rows. "restarts": every start is fitted to all rows to
        its end, and the fit with the highest objective is kept. A race of eight costs about as much as one fit.
    n_moves : int or "auto", default "auto"
        Before all rows are fitted, a component of the sample that is hardly missed (an empty one, at best) is put where
        one component seems to stand for two, in at most so many rounds, as long as the objective rises. This leads
        from one local optimum to a better one, from a single start too. "auto": as many as there are components after
        a race of starts whose parameters are free, otherwise none.
    init_params : str or array-like, default "k-means++"
        The start: "k-means++", "kmeans", "random_from_data" (random rows), "random" (random
        responsibilities) or "quantile" (equal shares of one feature), each on a sample of rows; or
        integer labels (N,); or responsibilities (N, K).
    weights_init : array-like (K,), optional
    means_init : array-like (K, D), optional
    precisions_init : array-like, optional
        Inverse covariances in the shape of `covariances_`. What is given replaces that part of the start.
    compress : int or None, default None
        For one feature and very many rows: put the rows into so many bins first (4096, say), in one pass,
        iterate on the bins until convergence, and on all rows from there. The stopping rule and the objective
        are those of all rows; mostly three or four iterations on them are left. `max_iter` bounds either
        stage. At least 32 bins for each component.
    random_state : int, RandomState instance or None, default None
        Source of all randomness.
    warm_start : bool, default False
        Continue from the last fit. When the rows turn out to be the same, what that fit saw counts for convergence.
    learning_method : {"batch", "online", "incremental"}, default "batch"
        "batch": each iteration reads all rows, and then moves the parameters. "online": parameters move
        after each batch of shuffled rows, along a running average of the statistics (stepwise EM); quickest
        from a poor start. "incremental": they move after each block of rows, in the order of the data, and the
        statistics of all blocks are kept; no step size, and rows may be sorted. With both, an iteration is an
        epoch, `tol` bounds what an epoch gains (online: on held-out rows), and the objective of the result
        takes one more pass.
    batch_size : int or None, default None
        Rows of a batch of online EM; None stands for 2000, or fewer when there are few rows.
    learning_decay, learning_offset : float, default 0.6 and 2
        Steps of online EM: (t + learning_offset) ** -learning_decay after t batches.
    averaging_start : int or None, default None
        Number of updates after which online EM averages its statistics, and makes its estimate of the
        average. Before the parameters have settled this does harm. None: never.
    forgetting_factor : float or None, default None
        For streams that drift: online EM discounts every row by this factor, near 1, for each row that
        follows, and each component by its own rows. It takes the place of the steps.
    half_life : float or None, default None
        The same, as the number of rows after which a row counts half.
    on_drift : callable or None, default None
        Called with the estimator when online EM finds that the rows have changed (test of Page & Hinkley
        on how well each batch was predicted); see also `fit_report_.online.alarms`.
    chunk_rows : int or None, default None
        Rows of a chunk of data that are read at a time, rounded down to whole blocks of 528 where they
        are more; None leaves it to the kind of data.
    memory_limit : int, str or None, default None
        Most memory that rows being read and worked on may take together, in bytes or as a text such as
        "512MB"; it decides the rows of a chunk where `chunk_rows` does not, and bounds the sample of `growth`
        (64 MiB otherwise).
    checkpoint : path or None, default None
        File that keeps the state of a fit, for `fit(..., resume=True)`, and the model so far, for
        `fastem.load`. Replaced as a whole, so that it is there at any moment.
    checkpoint_interval : float, default 60
        Least seconds between two checkpoints: what is lost at worst, with the iteration under way.
    n_threads : int or None, default None
        Most threads of a fit, a score or a prediction; None stands for all that numba may use (see
        `numba.set_num_threads`). The results have the same bits for any number. In a worker process of
        joblib or Dask, to which fewer may be allotted, those are used.
    verbose : int, default 0
        Print the objective every `verbose_interval` iterations, and a line before a kernel is compiled.
    verbose_interval : int, default 10
    progress : bool, default False
        Show a progress bar (needs the extra `progress`).

    Attributes
    ----------
    weights_ : (K,) ndarray
    means_ : (K, D) ndarray
    covariances_ : ndarray
        (K, D, D) for "full", (D, D) for "tied", (K, D) for "diag", (K,) for "spherical".
    precisions_, precisions_cholesky_ : ndarray
        Inverse covariances P P', and their factors P, in the same shapes.
    converged_ : bool
        Whether nothing worth `tol` was left to gain; never True after the objective fell.
    stop_reason_ : {"converged", "max_iter", "objective_fell", "interrupted", "failed"}
    n_iter_ : int
        Iterations that were run; with `compress` and `growth`, those that read all rows.
    lower_bound_ : float
        What was maximised, at the fitted parameters: mean log-likelihood per row (per unit of weight), and the
        logarithm of priors or minus the penalty, in nats; `fit_report_.loglik` is the first alone.
    lower_bounds_ : list of float
        The same at the start and after each iteration that was kept; it never falls. An accelerated step that
        would lower it is undone; an iteration that lowers it, too, and is the last. With online and incremental
        learning: the mean over each epoch, of rows before they were learnt from, and the exact value at the end.
    n_steps_ : int
        Number of times that the parameters were moved by online EM; otherwise `n_iter_`.
    fit_report_ : FitReport
        What happened, including every rescue of a component. Print it.
    n_features_in_ : int
    feature_names_in_ : (D,) ndarray of str
        Only after a fit of a data frame.

    See Also
    --------
    sklearn.mixture.GaussianMixture

    Notes
    -----
    Memory beyond the data does not grow with the number of rows: no N x K array is ever made.
    One-dimensional X is taken as one feature, where scikit-learn asks for a reshape.
    Parameters can be set by hand, before or after a fit: `weights_`, `means_`, and one of `covariances_`,
    `precisions_cholesky_` and `precisions_`. They are checked, and copied, when the model is used next, and count
    everywhere from then on. The arrays that are shown cannot be written: give a new array in place of a changed one.

    References
    ----------
    Dempster, Laird & Rubin (1977), J. Roy. Statist. Soc. B 39, 1-38;
    Bishop (2006), *Pattern Recognition and Machine Learning*, section 9.2.2;
    Varadhan & Roland (2008), Scand. J. Statist. 35, 335-353; Chen & Tan (2009), J. Multivariate Analysis 100,
    1367-1383. See the documentation of `fastem.schedules.accelerate` and `fastem.schedules.grow`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import GaussianMixture
    >>> random = np.random.default_rng(0)
    >>> x = np.concatenate([random.normal(20, 5, 3000), random.normal(40, 5, 7000)])
    >>> mixture = GaussianMixture(n_components=2, random_state=0).fit(x)
    >>> np.sort(mixture.means_[:, 0]).round().tolist()
    [20.0, 40.0]
    >>> bool(mixture.converged_)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMixture._parameter_constraints,
        "covariance_type": [StrOptions(set(FAMILIES))],
        "regularization": [StrOptions({"vanishing"}), None],
        "mean_prior": ["array-like", None],
        "mean_precision_prior": [Interval(Real, 0.0, None, closed="neither"), None],
        "degrees_of_freedom_prior": [Interval(Real, 0.0, None, closed="neither"), None],
        "covariance_prior": ["array-like", Interval(Real, 0.0, None, closed="neither"), None],
        "fix_means": ["boolean", "array-like"],
        "fix_covariances": ["boolean", "array-like"],
        "reg_covar": [Interval(Real, 0.0, None, closed="left")],
        "covariance_floor": [Interval(Real, 0.0, 1.0, closed="both")],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "compress": [Interval(Integral, 1, None, closed="left"), None],
    }

    _needed = (*BaseMixture._needed, ("means_",), ("covariances_", "precisions_cholesky_", "precisions_"))
    _structural = (*BaseMixture._structural, "covariance_type", "reg_covar")

    means_: np.ndarray
    covariances_: np.ndarray

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        regularization: str | None = "vanishing",
        mean_prior: Any = None,
        mean_precision_prior: float | None = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: Any = None,
        fix_means: Any = False,
        fix_covariances: Any = False,
        reg_covar: float = 0.0,
        covariance_floor: float = 1e-10,
        means_init: Any = None,
        precisions_init: Any = None,
        compress: int | None = None,
        **settings: Any,
    ):
        super().__init__(n_components, **settings)
        self.covariance_type = covariance_type
        self.regularization = regularization
        self.mean_prior = mean_prior
        self.mean_precision_prior = mean_precision_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior
        self.fix_means = fix_means
        self.fix_covariances = fix_covariances
        self.reg_covar = reg_covar
        self.covariance_floor = covariance_floor
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.compress = compress

    def _distributions(self) -> str:
        return f"{self.covariance_type} Gaussians"

    def _make_family(self, n_features: int, n_components: int) -> Gaussian:
        return FAMILIES[self.covariance_type](n_components, n_features, self.reg_covar)

    def _scaled_family(self, family: Gaussian, stats: Any, n_rows: int) -> Gaussian:
        family = with_priors(self, family.scaled_to(stats, self.covariance_floor), stats, n_rows)
        last = self._last_start()
        means, covariances = self._given_means(family), self._given_covariances(family)
        if last is not None:
            means = last.family.means if means is None else means
            covariances = last.family.covariances if covariances is None else covariances
        return with_fixed(self, family, means, covariances)

    def _given_means(self, family: Gaussian) -> np.ndarray | None:
        if self.means_init is None:
            return None
        return read_array("means_init", self.means_init, (self.n_components, family.n_features))

    def _given_covariances(self, family: Gaussian) -> np.ndarray | None:
        if self.precisions_init is None:
            return None
        return _inverse(family, read_array("precisions_init", self.precisions_init, family.covariance_shape()))

    def _given_start(self, model: Model, params: Callable[[], Params]) -> Params:
        family = model.family
        weights = None if self.weights_init is None else read_weights(self.weights_init, self.n_components)
        means, covariances = self._given_means(family), self._given_covariances(family)
        if weights is None or means is None or covariances is None:
            start = params()
            if weights is None and means is None and covariances is None:
                return start
            weights = start.latent.weights if weights is None else weights
            means = start.family.means if means is None else means
            covariances = start.family.covariances if covariances is None else covariances
        return Params(model.latent.params(weights), proper_params(family, means, covariances))

    def _learning(self, survey: Survey) -> Learning:
        if self.compress is None:
            return super()._learning(survey)
        if self.learning_method != "batch":
            raise ValueError(
                f"compress={self.compress} is for learning_method='batch', not {self.learning_method!r}. "
                "Leave out one of the two."
            )
        return CompressedLearning(
            tol=self.tol, max_iter=self.max_iter, acceleration=self.acceleration, n_bins=self.compress
        )

    def _why_it_fell(self) -> str:
        if self.reg_covar == 0:
            return super()._why_it_fell()
        return (
            "reg_covar widens covariances beyond the likelihood's maximum. "
            "Use reg_covar=0 (covariance_floor keeps components proper) or a smaller one"
        )

    def _show(self, params: Params) -> None:
        family = self._model.family
        self.means_ = params.family.means
        self.covariances_ = params.family.covariances
        self.precisions_cholesky_ = family.precisions_cholesky(params.family)
        if family.covariance_type in ("full", "tied"):
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
            values = family.of_precisions_cholesky(values)
        if name == "precisions_":
            values = _inverse(family, values, name)
        return proper_params(family, means, values, name)

    def _source_of_covariances(self, changed: set[str]) -> str:
        """The attribute that covariances are read from: one that was set by hand, if any."""
        return next((name for name in self._needed[-1] if name in changed), "covariances_")

    def _following(self, changed: set[str]) -> set[str]:
        source = self._source_of_covariances(changed)
        return changed if source == "covariances_" else changed - {source}

    def fit_histogram(self, counts: Any, edges: Any) -> Self:
        """Estimate the parameters from a histogram of one feature, by exact expectation-maximisation.

        The likelihood of a bin is the probability of its interval, so that coarse bins bias nothing (midpoints
        taken for rows widen components and merge them), and the cost is that of the bins, not of the rows.

        Parameters
        ----------
        counts : array-like (B,)
            Number, or weight, of the rows in each bin; not negative. A bin without rows counts for nothing.
        edges : array-like (B + 1,)
            Increasing; bin b lies between edges b and b + 1. The first edge may be -inf and the last one inf:
            the tail beyond the first or last bin. All rows are taken to lie in some bin; give open bins
            rather than leave out rows beyond the edges.

        Returns
        -------
        self
            As after `fit` with one feature, in the same four covariance types and with the same starts (labels
            and responsibilities in `init_params` are of bins). `lower_bound_` is the mean, over rows, of the
            log-probability of the row's bin, in nats; it grows by the logarithm of their width when bins do.

        Raises
        ------
        ValueError
            For an unusable histogram or unusable parameters, naming the problem and the remedy.

        Warns
        -----
        ConvergenceWarning
            As `fit` does.

        References
        ----------
        McLachlan & Jones (1988), Biometrics 44, 571-578.

        Examples
        --------
        >>> import numpy as np
        >>> from fastem import GaussianMixture
        >>> random = np.random.default_rng(0)
        >>> x = np.concatenate([random.normal(20, 5, 30_000), random.normal(40, 5, 70_000)])
        >>> counts, edges = np.histogram(x, bins=12)
        >>> mixture = GaussianMixture(n_components=2, random_state=0).fit_histogram(counts, edges)
        >>> np.sort(mixture.means_[:, 0]).round().tolist()
        [20.0, 40.0]
        """
        self._validate_params()
        if self.learning_method != "batch":
            raise ValueError(
                f"fit_histogram learns by learning_method='batch' only, not {self.learning_method!r}: a pass over bins "
                "takes no time."
            )
        bins = read_histogram(counts, edges, self.n_components)
        with self._all_or_nothing():
            best = self._fit_bins(bins)
        self._warn_unless_converged(best)
        return self

    def _fit_bins(self, bins: Bins) -> FitResult:
        """Fit to bins that were checked."""
        if hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self.n_features_in_ = 1
        values, weight = bins.spread()
        middles = ArraySource(bins.midpoints()[:, None], bins.counts)
        work = f"starts mixtures of {self._distributions()}"
        with running(self.n_threads, self.verbose, work) as n_threads, holding_libraries(n_threads):
            survey = self._survey(ArraySource(values[:, None], weight))
            # A start sees the midpoints only: it must not take the rows of a bin for equal.
            width = survey.model.family.reg_covar + bins.typical_variance()
            wide = replace(survey.model, family=replace(survey.model.family, reg_covar=width))
            learning = HistogramLearning(
                tol=self.tol, max_iter=self.max_iter, acceleration=self.acceleration, bins=bins
            )
            # Passes over bins take no time: every start is taken to its end.
            starts = self._starts(wide, middles, survey.centre, may_race=False)
            return self._fit(survey, middles, learning, starts)

    @classmethod
    def from_parameters(
        cls, weights: Any, means: Any, covariances: Any, *, covariance_type: str = "full", **settings: Any
    ) -> Self:
        """A model with known parameters, that scores, predicts and samples without a fit.

        Parameters
        ----------
        weights : array-like (K,)
            Positive; they must sum to one.
        means : array-like (K, D), or (K,) for one feature
        covariances : array-like
            In the shape of `covariances_` for the `covariance_type`; with one feature, the variances (K,).
        covariance_type : {"full", "tied", "diag", "spherical"}, default "full"
        **settings
            Other parameters of the constructor.

        Returns
        -------
        mixture : GaussianMixture
            `fit` with warm_start=True would continue from these parameters.

        Raises
        ------
        ValueError
            For weights that do not sum to one, shapes that do not match, or improper covariances.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([0.3, 0.7], [20.0, 40.0], [25.0, 25.0])
        >>> mixture.predict([18.0, 41.0]).tolist()
        [0, 1]
        """
        means = floats(means, "means")
        means = means.reshape(-1, 1) if means.ndim == 1 else means
        if means.ndim != 2 or means.size == 0:
            raise ValueError(f"means must have the shape (n_components, n_features), got {means.shape}.")
        n_components, n_features = means.shape
        mixture = cls(n_components, covariance_type=covariance_type, **settings)
        mixture._validate_params()
        family = mixture._make_family(n_features, n_components)
        model = Model(Mixture(n_components), family)
        mixture._adopt(
            model,
            Params(
                model.latent.params(read_weights(weights, n_components)),
                proper_params(
                    family,
                    read_array("means", means, (n_components, n_features)),
                    read_array("covariances", covariances, family.covariance_shape()),
                ),
            ),
        )
        return mixture

    def to_sklearn(self) -> SklearnGaussianMixture:
        """The fitted model as a `sklearn.mixture.GaussianMixture`, with the same parameters and predictions."""
        from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

        self._require_fitted()
        family = self._model.family
        other = SklearnGaussianMixture(
            family.n_components, covariance_type=family.covariance_type, tol=self.tol, reg_covar=self.reg_covar,
            max_iter=self.max_iter, n_init=self.n_init, random_state=self.random_state, warm_start=self.warm_start,
        )  # fmt: skip
        names = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_", "n_features_in_")
        story = ("feature_names_in_", "converged_", "n_iter_", "lower_bound_", "lower_bounds_")
        for name in (*names, *(name for name in story if hasattr(self, name))):
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
        settings = ("tol", "reg_covar", "max_iter", "n_init", "random_state", "warm_start")
        other = cls.from_parameters(
            np.float64(mixture.weights_) / np.float64(mixture.weights_).sum(), mixture.means_, mixture.covariances_,
            covariance_type=mixture.covariance_type, **{name: getattr(mixture, name) for name in settings},
        )  # fmt: skip
        if hasattr(mixture, "feature_names_in_"):
            other.feature_names_in_ = mixture.feature_names_in_.copy()
        return other


def proper_params(
    family: Gaussian, means: np.ndarray, covariances: np.ndarray, name: str = "covariances and precisions"
) -> Any:
    """Parameters of a family, from means and covariances that a user gave by this name.

    Raises
    ------
    ValueError
        For matrices that are not symmetric, or not positive definite.
    """
    if family.covariance_type in ("full", "tied"):
        covariances = symmetric(name, covariances)
    try:
        return family.proper_params(means, covariances)
    except np.linalg.LinAlgError as error:
        raise ValueError(f"{name} must be positive definite: {error}.") from None


def _inverse(family: Gaussian, precisions: np.ndarray, name: str = "precisions_init") -> np.ndarray:
    if family.covariance_type in ("full", "tied"):
        precisions = symmetric("precisions_init", precisions)
        try:
            inverse = np.linalg.inv(precisions)
        except np.linalg.LinAlgError:
            raise ValueError(f"{name} must be positive definite; a matrix is singular.") from None
        return 0.5 * (inverse + np.swapaxes(inverse, -1, -2))
    if np.any(precisions <= 0):
        raise ValueError(f"{name} must be positive.")
    return 1.0 / precisions
