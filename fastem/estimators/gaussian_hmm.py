"""Hidden Markov models with Gaussian rows, with hmmlearn's names."""

from __future__ import annotations

import os
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from fastem.estimators._gaussian_params import proper_params
from fastem.estimators._hmm import BaseHMM
from fastem.estimators._hmmlearn import has_covariance_prior, read_covars, with_hmmlearn_priors
from fastem.estimators._priors import with_penalty
from fastem.estimators._validation import read_array, table_sizes
from fastem.estimators.options import Batch, Checkpoint, Incremental, Race, Restarts
from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.location_scatter import STRUCTURES
from fastem.given import floats
from fastem.model import Model, Params


class GaussianHMM(BaseHMM):
    """Hidden Markov model whose states have Gaussian distributions, fitted by expectation-maximisation.

    Parameters
    ----------
    n_components : int, default 1
        Number of states.
    covariance_type : {"full", "tied", "diag", "spherical"}, default "diag"
        A covariance matrix for each state; one for all of them; a variance for each state and feature; one variance
        for each state.
    startprob_prior : float, (K,) array-like or "stationary", default 1
        Parameters of a Dirichlet prior of `startprob_`, at least 1, where there is no prior: they count as so many less
        one sequences that were seen. "stationary": the first state of a sequence has the stationary distribution of
        the chain, as sequences begin anywhere in time.
    transmat_prior : float, (K, K) array-like or "left-right", default 1
        Parameters of Dirichlet priors of the rows of `transmat_`, as many less one transitions that were seen. Where
        they are 0 (or False), a transition is impossible and its probability stays zero; so do zeros in a `transmat_`
        of your own. In a "left-right" chain no state is followed by an earlier one, and the first one comes first.
    means_prior, means_weight : float or array-like, default 0
        Normal prior of the means, as hmmlearn's: each state has seen `means_weight` rows (a number, or (K,)) at
        `means_prior` (a number, (D,) or (K, D)).
    covars_prior : float, array-like, "vanishing" or None, default "vanishing"
    covars_weight : float or None, default None
        Inverse gamma ("diag", "spherical") or Wishart prior of the covariances, as hmmlearn's: `covars_prior` is added
        to the scatter of each state, and `covars_weight` less 1 (for matrices, less D), if positive, to its rows. A
        number, or an array of the shape of `covars_`, or one that NumPy repeats to it: a number is added to every
        entry of a matrix. Of one alone, the other is hmmlearn's default, 0.01 and 1. "vanishing": the penalty that
        `GaussianMixture` has, which keeps covariances away from singular ones, and vanishes as rows are added. None:
        the maximum of the likelihood.
    algorithm : {"viterbi", "map"}, default "viterbi"
        How `predict` and `decode` choose states.
    n_iter : int, default 1000
        Largest number of iterations; 0 for the start alone.
    tol : float, default 1e-5
        Fitting stops when what further iterations would still gain is estimated to be below `tol` nats per row.
    params : str or None, default None
        What is learnt, by default "stmc": startprob ("s"), transmat ("t"), means ("m"), covars ("c"). The others stay
        as they start.
    init_params : str or None, default None
        What gets a start of its own, by default everything. For the others `fit` starts from `startprob_`, `transmat_`,
        `means_` and `covars_`, where they are set.
    n_init : int, default 1
        Number of starts; the best is kept.
    random_state : int, RandomState instance or None, default None
        Source of all randomness.
    verbose : int, default 0
        1: print the objective every ten iterations. 2: show a progress bar (needs the extra `progress`).
    schedule : {"batch", "plain", "incremental"}, Batch or Incremental, default "batch"
        "batch": each iteration reads all sequences, and then moves the parameters; steps are accelerated. "plain":
        textbook EM. "incremental": they move after each block of sequences, and the statistics of all blocks are kept.
    search : {"race", "restarts"}, Race or Restarts, default "race"
        "race": starts run on some sequences (on pieces of long ones), and the one that leads is fitted to all; see
        `fit_report_.races`. "restarts": each is fitted to all, and the one with the highest objective is kept.
        `Race(init="kmeans")` says how starts are drawn.
    covariance_floor : float, default 1e-10
        Least variance of a state in any direction, as a fraction of the variance of the data.
    memory_limit, n_threads, checkpoint
        As of `GaussianMixture`.

    Attributes
    ----------
    startprob_ : (K,) ndarray
    transmat_ : (K, K) ndarray
        Probability of the state in the column after that in the row.
    means_ : (K, D) ndarray
    covars_ : ndarray
        (K, D, D) for "full", (D, D) for "tied", (K, D) for "diag", (K,) for "spherical". (hmmlearn shows matrices
        whatever the type.) Those that you set may be matrices (K, D, D), too, or have axes of length one more or less.
    monitor_ : Monitor
        hmmlearn's view of the fit: `history`, `iter`, `converged`, `tol`, `n_iter`.
    n_features : int
        Number of columns, as `n_features_in_`; it may be set before a fit.
    converged_, stop_reason_, n_iter_, lower_bound_, lower_bounds_, fit_report_, n_features_in_, feature_names_in_
        As of `GaussianMixture`: objectives are in nats per row.

    See Also
    --------
    hmmlearn.hmm.GaussianHMM

    Notes
    -----
    Probabilities are scaled at each row; where a chain with impossible transitions would leave the range of float64,
    logarithms are taken. Sequences are worked on in parallel, and long ones in parallel parts.

    References
    ----------
    Rabiner (1989), *A tutorial on hidden Markov models and selected applications in speech recognition*, Proc. IEEE
    77, 257-286; Baum, Petrie, Soules & Weiss (1970), Ann. Math. Statist. 41, 164-171.

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
        **BaseHMM._parameter_constraints,
        "covariance_type": [StrOptions(set(STRUCTURES))],
        "covariance_floor": [Interval(Real, 0.0, 1.0, closed="both")],
        "means_prior": [Real, "array-like"],
        "means_weight": [Interval(Real, 0.0, None, closed="left"), "array-like"],
        "covars_prior": [StrOptions({"vanishing"}), Interval(Real, 0.0, None, closed="left"), "array-like", None],
        "covars_weight": [Interval(Real, 0.0, None, closed="left"), None],
    }
    _needed = (*BaseHMM._needed, ("means_",), ("covars_",))
    _structural = (*BaseHMM._structural, "covariance_type")
    _letters: ClassVar[dict[str, str]] = {"m": "means_", "c": "covars_"}

    covariance_type: str
    covariance_floor: float
    means_prior: Any
    means_weight: Any
    covars_prior: Any
    covars_weight: float | None

    means_: np.ndarray
    covars_: np.ndarray

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
        n_init: int = 1,
        random_state: Any = None,
        verbose: int = 0,
        schedule: str | Batch | Incremental = "batch",
        search: str | Race | Restarts = "race",
        covariance_floor: float = 1e-10,
        memory_limit: int | str | None = None,
        n_threads: int | None = None,
        checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    ):
        self._keep(locals())

    def _distributions(self) -> str:
        return f"chains of {self.covariance_type} Gaussians"

    def _make_family(self, n_features: int, n_components: int) -> Gaussian:
        return Gaussian(n_components=n_components, n_features=n_features, covariance_type=self.covariance_type)

    def _scaled_family(self, family: Gaussian, stats: Any, n_rows: int) -> Gaussian:
        family = with_hmmlearn_priors(self, family.scaled_to(stats, self.covariance_floor))
        if self.covars_prior is None or has_covariance_prior(self) or "c" not in self._learnt:
            return family
        return with_penalty(family, stats, n_rows)

    def _with_given(self, family: Gaussian, params: Any, given: str) -> Any:
        shape = family.n_components, family.n_features
        means = read_array("means_", self.means_, shape) if "m" in given else params.means
        covars = read_covars(self.covars_, family) if "c" in given else params.covariances
        return proper_params(family, means, covars, "covars_")

    def _given_sizes(self, changed: set[str]) -> tuple[int, int]:
        return table_sizes("means_", self.means_)

    def _given_values(self, family: Gaussian, changed: set[str]) -> Any:
        return self._with_given(family, None, "mc")

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
            In the shape of `covars_` for the `covariance_type`; with one feature, the variances (K,).
        covariance_type : {"full", "tied", "diag", "spherical"}, default "diag"
        **settings
            Other parameters of the constructor.

        Returns
        -------
        hmm : GaussianHMM

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
        means = floats(means, "means")
        means = means.reshape(-1, 1) if means.ndim == 1 else means
        if means.ndim != 2 or means.size == 0:
            raise ValueError(f"means must have the shape (n_components, n_features), got {means.shape}.")
        n_components, n_features = means.shape
        hmm = cls(n_components, covariance_type, **settings)
        hmm._validate_params()
        hmm.startprob_, hmm.transmat_, hmm.means_, hmm.covars_ = startprob, transmat, means, covars
        family = hmm._make_family(n_features, n_components)
        model = Model(hmm._make_latent(), family)
        hmm._adopt(
            model,
            Params(
                hmm._given_latent(model.latent), hmm._with_given(family, family.first_look(np.zeros(n_features)), "mc")
            ),
        )
        return hmm
