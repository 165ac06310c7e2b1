"""Hidden Markov models with Gaussian rows, with hmmlearn's names."""

from __future__ import annotations

import os
from dataclasses import replace
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from fastem.estimators._hmm import BaseHMM
from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.location_scatter import STRUCTURES
from fastem.fitting.checkpoint import Checkpoint
from fastem.fitting.parameters import proper_params, read_array, read_covars, read_means, table_sizes
from fastem.fitting.priors import covariance_prior, with_mean_prior, with_penalty
from fastem.model import Params
from fastem.schedules.batch import Batch
from fastem.schedules.incremental import Incremental
from fastem.search.options import Race, Restarts


class GaussianStates(BaseHMM):
    """What chains of Gaussians and chains of mixtures of these share: the settings of covariances, and priors."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseHMM._parameter_constraints,
        "covariance_type": [StrOptions(set(STRUCTURES))],
        "covariance_floor": [Interval(Real, 0.0, 1.0, closed="both")],
        "means_prior": [Real, "array-like"],
        "means_weight": [Interval(Real, 0.0, None, closed="left"), "array-like"],
    }
    _needed = (*BaseHMM._needed, ("means_",), ("covars_",))
    _structural = (*BaseHMM._structural, "covariance_type")
    _letters: ClassVar[dict[str, str]] = {"m": "means_", "c": "covars_"}

    covariance_type: str
    covariance_floor: float
    means_prior: Any
    means_weight: Any
    covars_prior: Any
    covars_weight: Any

    means_: np.ndarray
    covars_: np.ndarray

    def _counts(self) -> tuple[int, ...]:
        """The shape in which components are counted."""
        return (self.n_components,)

    def _covariance_prior(self, family: Gaussian, prior: Any) -> tuple[np.ndarray, float]:
        """What hmmlearn's prior of covariances adds to the scatter of each component, and of how many rows it is."""
        raise NotImplementedError

    def _scaled_family(self, family: Gaussian, stats: Any, n_rows: int) -> Gaussian:
        family = family.with_data_scale(stats, self.covariance_floor)
        with_means = with_mean_prior(family, self.means_prior, self.means_weight, self._counts())
        # What is not learnt needs no prior.
        family = with_means if "m" in self._learnt else family
        prior = None if isinstance(self.covars_prior, str) else self.covars_prior
        if prior is None and self.covars_weight is None:
            is_penalised = "c" in self._learnt and self.covars_prior is not None
            return with_penalty(family, stats, n_rows) if is_penalised else family
        scatter, rows = self._covariance_prior(family, prior)
        return replace(family, own_prior_scatter=scatter, own_prior_rows=rows) if "c" in self._learnt else family

    def _given_values(self, family: Gaussian, changed: set[str]) -> Any:
        return self._with_given(family, None, "mc")


class GaussianHMM(GaussianStates):
    """Hidden Markov model whose states have Gaussian distributions, fitted by expectation-maximisation.

    `docs/hmm.md` explains starts, priors and parts of chains at length.

    Parameters
    ----------
    n_components : int, default 1
        Number of states.
    covariance_type : {"full", "tied", "diag", "spherical"}, default "diag"
        A covariance matrix for each state; one for all; a variance for each state and feature; one for each state.
    startprob_prior : float, (K,) array-like or "stationary", default 1
        Dirichlet prior of `startprob_`, at least 1 (none). "stationary": sequences begin anywhere in time.
    transmat_prior : float, (K, K) array-like or "left-right", default 1
        Dirichlet priors of the rows of `transmat_`; 0 forbids a transition. "left-right": no state comes back.
    means_prior, means_weight : float or array-like, default 0
        hmmlearn's normal prior of the means: `means_weight` rows (a number, or (K,)) at `means_prior`.
    covars_prior : float, array-like, "vanishing" or None, default "vanishing"
    covars_weight : float or None, default None
        hmmlearn's prior of the covariances; "vanishing", the penalty of `GaussianMixture`; None, maximum likelihood.
    algorithm : {"viterbi", "map"}, default "viterbi"
        How `predict` and `decode` choose states.
    n_iter : int, default 1000
        Largest number of iterations; 0 for the start alone.
    tol : float, default 1e-5
        Fitting stops when further iterations would gain less than this, in nats per row.
    params : str or None, default None
        What is learnt, by default "stmc": startprob ("s"), transmat ("t"), means ("m"), covars ("c").
    init_params : str or None, default None
        What gets a start of its own, by default everything. The others start from the attributes, where they are set.
    n_init : int or "auto", default "auto"
        Number of starts; the best is kept. "auto": four with few rows, otherwise one, as in left-right chains.
    random_state : int, RandomState instance or None, default None
        Source of all randomness.
    verbose : int, default 0
        1: print the objective every ten iterations. 2: show a progress bar (needs the extra `progress`).
    schedule : {"batch", "plain", "incremental"}, Batch or Incremental, default "batch"
        Accelerated EM, textbook EM, or EM that moves the parameters after each block of sequences.
    search : {"race", "restarts"}, Race or Restarts, default "race"
        Whether starts run on some sequences first, and how they are drawn, as by `Race(init="kmeans")`.
    covariance_floor, memory_limit, n_threads, missing, checkpoint
        As of `GaussianMixture`.

    Attributes
    ----------
    startprob_ : (K,) ndarray
    transmat_ : (K, K) ndarray
        Probability of the state in the column after that in the row.
    means_ : (K, D) ndarray
    covars_ : ndarray
        (K, D, D) for "full", (D, D) for "tied", (K, D) for "diag", (K,) for "spherical". Any shape of hmmlearn's may
        be set.
    monitor_ : Monitor
        hmmlearn's view of the fit: `history`, `iter`, `converged`, `tol`, `n_iter`.
    n_features : int
        Number of columns, as `n_features_in_`; it may be set before a fit.
    converged_, stop_reason_, n_iter_, lower_bound_, lower_bounds_, fit_report_, n_features_in_, feature_names_in_
        As of `GaussianMixture`: objectives are in nats per row.

    See Also
    --------
    hmmlearn.hmm.GaussianHMM

    References
    ----------
    Rabiner (1989), Proc. IEEE 77, 257-286; Baum, Petrie, Soules & Weiss (1970), Ann. Math. Statist. 41, 164-171.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import GaussianHMM
    >>> truth = GaussianHMM.from_parameters([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [1.0, 4.0], [1.0, 1.0])
    >>> x, states = truth.sample(5000, random_state=0)
    >>> hmm = GaussianHMM(n_components=2, random_state=0).fit(x)
    >>> np.sort(hmm.means_[:, 0]).round().tolist()
    [1.0, 4.0]
    >>> np.sort(np.diag(hmm.transmat_)).round(1).tolist()
    [0.8, 0.9]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **GaussianStates._parameter_constraints,
        "covars_prior": [StrOptions({"vanishing"}), Interval(Real, 0.0, None, closed="left"), "array-like", None],
        "covars_weight": [Interval(Real, 0.0, None, closed="left"), None],
    }

    def __init__(
        self,
        n_components: int = 1,
        covariance_type: str = "diag",
        *,
        startprob_prior: Any = 1.0,
        transmat_prior: Any = 1.0,
        means_prior: Any = 0.0,
        means_weight: Any = 0.0,
        covars_prior: Any = "vanishing",
        covars_weight: float | None = None,
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
        covariance_floor: float = 1e-10,
        memory_limit: int | str | None = None,
        n_threads: int | None = None,
        missing: str = "mar",
        checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    ):
        self._keep(locals())

    def _distributions(self) -> str:
        return f"chains of {self.covariance_type} Gaussians"

    def _make_family(self, n_features: int, n_components: int) -> Gaussian:
        return Gaussian(n_components=n_components, n_features=n_features, covariance_type=self.covariance_type)

    def _covariance_prior(self, family: Gaussian, prior: Any) -> tuple[np.ndarray, float]:
        return covariance_prior(family, prior, self.covars_weight)

    def _with_given(self, family: Gaussian, params: Any, given: str) -> Any:
        shape = family.n_components, family.n_features
        means = read_array("means_", self.means_, shape) if "m" in given else params.means
        covars = read_covars(self.covars_, family) if "c" in given else params.covariances
        return proper_params(family, means, covars, "covars_")

    def _given_sizes(self, changed: set[str]) -> tuple[int, int]:
        return table_sizes("means_", self.means_)

    def _show(self, params: Params) -> None:
        self.means_, self.covars_ = params.family.means, params.family.covariances

    @classmethod
    def from_parameters(
        cls, startprob: Any, transmat: Any, means: Any, covars: Any, *, covariance_type: str = "diag", **settings: Any
    ) -> Self:
        """A model with known parameters, that scores, predicts and samples without a fit.

        Parameters
        ----------
        startprob : array-like (K,)
        transmat : array-like (K, K)
        means : array-like (K, D), or (K,) for one feature
        covars : array-like
            As `covars_` may be set; with one feature, the variances (K,).
        covariance_type, **settings
            As of the constructor.

        Raises
        ------
        ValueError
            For probabilities that do not sum to one, shapes that do not match, or improper covariances.

        Examples
        --------
        >>> from fastem import GaussianHMM
        >>> hmm = GaussianHMM.from_parameters([1, 0], [[0.9, 0.1], [0.2, 0.8]], [0.0, 9.0], [1.0, 1.0])
        >>> hmm.predict([0.1, 0.2, 8.9, 9.3, -0.4]).tolist()
        [0, 0, 1, 1, 0]
        """
        means = read_means(means)
        hmm = cls(len(means), covariance_type, **settings)
        return hmm._known_by(startprob_=startprob, transmat_=transmat, means_=means, covars_=covars)
