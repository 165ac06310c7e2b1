"""Hidden Markov models whose states are mixtures of Gaussians, with hmmlearn's names."""

from __future__ import annotations

import os
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from fastem.estimators._em import Start
from fastem.estimators._gaussian_params import proper_params
from fastem.estimators._hmm import BaseHMM, _improved
from fastem.estimators._hmmlearn import _broadcast
from fastem.estimators._priors import with_penalty
from fastem.estimators._validation import read_array
from fastem.estimators.options import Batch, Checkpoint, Incremental, Race, Restarts
from fastem.families._marginal import Marginal, mixed_marginal
from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.grouped import GaussianGrouped
from fastem.families.gaussian.location_scatter import STRUCTURES
from fastem.given import floats
from fastem.latents.emissions import Emissions
from fastem.latents.hmm import Hmm
from fastem.latents.mixture import Mixture
from fastem.model import Model, Params
from fastem.starts.chain import is_left_right, segments, start_of_chain
from fastem.starts.mixed_chain import start_from_segments, start_from_successors
from fastem.starts.start import sample_size, start_from_sample
from fastem.stats import Rescue

# Rows that the first transitions are counted on.
_COUNTED_ROWS = 2**20


class GMMHMM(BaseHMM):
    """Hidden Markov model whose states are mixtures of Gaussian distributions, fitted by expectation-maximisation.

    Parameters
    ----------
    n_components : int, default 1
        Number of states S.
    n_mix : int, default 1
        Number of Gaussian components M of each state.
    covariance_type : {"full", "tied", "diag", "spherical"}, default "diag"
        A covariance matrix for each component; one for all components of a state; a variance for each component and
        feature; one variance for each component.
    weights_prior : float or array-like, default 1
        Parameters of Dirichlet priors of the rows of `weights_`, at least 1, where there is no prior: a number, (M,),
        or (S, M).
    means_prior, means_weight : float or array-like, default 0
        Normal prior of the means, as hmmlearn's: each component has seen `means_weight` rows (a number, or (S, M)) at
        `means_prior` (a number, (D,), or (S, M, D)).
    covars_prior, covars_weight : float, array-like, "vanishing" or None, default "vanishing" and None
        Prior of the covariances: "vanishing" is the penalty that `GaussianMixture` has, and None the maximum of the
        likelihood; numbers are hmmlearn's. For matrices it is inverse Wishart: `covars_prior` is the scale (a
        number, or the shape of `covars_`), and `covars_weight`, a number, the degrees of freedom. Otherwise it is
        inverse gamma: `covars_prior`, a number, is the shape, and `covars_weight` (a number, or the shape of
        `covars_`) the scale. Of one alone, the other is that of a flat prior.
    startprob_prior, transmat_prior, algorithm, covariance_floor
        As of `GaussianHMM`.
    params, init_params : str or None, default None
        As of `GaussianHMM`; the letters are "s", "t", "m", "c", and "w" for the weights.
    n_iter, tol, n_init, random_state, verbose, schedule, search, memory_limit, n_threads, checkpoint
        As of `GaussianHMM`. A start is a mixture of S * M components of a sample of the rows. Components that are
        followed by the same others make up a state; in left-right chains, time tells the states.

    Attributes
    ----------
    startprob_ : (S,) ndarray
    transmat_ : (S, S) ndarray
    weights_ : (S, M) ndarray
        Weights of the components in each state; rows sum to one.
    means_ : (S, M, D) ndarray
    covars_ : ndarray
        (S, M, D, D) for "full", (S, D, D) for "tied", (S, M, D) for "diag", (S, M) for "spherical".
    fit_report_ : FitReport
        As of `GaussianMixture`. It counts the components of all states in order: ``s * M + m`` is number m of state s.
    monitor_, n_features, converged_, stop_reason_, n_iter_, lower_bound_, lower_bounds_
        As of `GaussianHMM`.

    See Also
    --------
    hmmlearn.hmm.GMMHMM

    Notes
    -----
    A row costs S * M densities and S * S transitions, not (S * M) * (S * M) as a chain of all components would. What
    fastem maximises never falls: an M-step takes second moments about the new means, where hmmlearn's takes them about
    the old ones.

    References
    ----------
    Rabiner (1989), *A tutorial on hidden Markov models and selected applications in speech recognition*, Proc. IEEE
    77, 257-286, section IV.A.

    Examples
    --------
    Two states, each with two places where its rows lie; between them lies one of the other state.

    >>> import numpy as np
    >>> from fastem import GMMHMM
    >>> truth = GMMHMM.from_parameters(
    ...     [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], [[0.5, 0.5], [0.3, 0.7]], [[[0.0], [8.0]], [[4.0], [12.0]]],
    ...     np.ones((2, 2, 1)),
    ... )
    >>> x, states = truth.sample(5000, random_state=0)
    >>> hmm = GMMHMM(2, n_mix=2, random_state=0).fit(x)
    >>> sorted(np.sort(means).round().tolist() for means in hmm.means_[:, :, 0])
    [[0.0, 8.0], [4.0, 12.0]]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseHMM._parameter_constraints,
        "n_mix": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions(set(STRUCTURES))],
        "covariance_floor": [Interval(Real, 0.0, 1.0, closed="both")],
        "weights_prior": [Interval(Real, 1.0, None, closed="left"), "array-like"],
        "means_prior": [Real, "array-like"],
        "means_weight": [Interval(Real, 0.0, None, closed="left"), "array-like"],
        "covars_prior": [StrOptions({"vanishing"}), Real, "array-like", None],
        "covars_weight": [Real, "array-like", None],
    }
    _needed = (*BaseHMM._needed, ("weights_",), ("means_",), ("covars_",))
    _structural = (*BaseHMM._structural, "n_mix", "covariance_type", "weights_prior")
    _letters: ClassVar[dict[str, str]] = {"m": "means_", "c": "covars_", "w": "weights_"}

    n_mix: int
    covariance_type: str
    covariance_floor: float
    weights_prior: Any
    means_prior: Any
    means_weight: Any
    covars_prior: Any
    covars_weight: Any

    means_: np.ndarray
    covars_: np.ndarray

    def __init__(
        self,
        n_components: int = 1,
        n_mix: int = 1,
        *,
        covariance_type: str = "diag",
        startprob_prior: Any = 1.0,
        transmat_prior: Any = 1.0,
        weights_prior: Any = 1.0,
        means_prior: Any = 0.0,
        means_weight: Any = 0.0,
        covars_prior: Any = "vanishing",
        covars_weight: Any = None,
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
        return f"chains of mixtures of {self.covariance_type} Gaussians"

    def _mixed_shape(self) -> tuple[int, int]:
        return self.n_components, self.n_mix

    def _make_family(self, n_features: int, n_components: int) -> Gaussian:
        """The family of all components of so many states."""
        n_all = n_components * self.n_mix
        if self.covariance_type == "tied":
            return GaussianGrouped(n_components=n_all, n_features=n_features, group_size=self.n_mix)
        return Gaussian(n_components=n_all, n_features=n_features, covariance_type=self.covariance_type)

    def _scaled_family(self, family: Gaussian, stats: Any, n_rows: int) -> Gaussian:
        family = self._with_priors(family.scaled_to(stats, self.covariance_floor))
        if self.covars_prior is None or self._has_covariance_prior() or "c" not in self._learnt:
            return family
        return with_penalty(family, stats, n_rows)

    def _has_covariance_prior(self) -> bool:
        return self._scale_or_shape is not None or self.covars_weight is not None

    @property
    def _scale_or_shape(self) -> Any:
        """`covars_prior`, where it is hmmlearn's."""
        return None if isinstance(self.covars_prior, str) else self.covars_prior

    def _with_priors(self, family: Gaussian) -> Gaussian:
        """The family with hmmlearn's priors of what is learnt."""
        if "m" in self._learnt and np.any(np.asarray(self.means_weight) != 0):
            shape = (*self._mixed_shape(), family.n_features)
            rows = _broadcast("means_weight", self.means_weight, shape[:2]).ravel()
            if np.any(rows < 0):
                raise ValueError("means_weight must not be negative: it counts as so many rows.")
            means = _broadcast("means_prior", self.means_prior, shape).reshape(-1, family.n_features)
            family = replace(family, own_prior_means=means, own_prior_mean_rows=rows)
        if "c" in self._learnt and self._has_covariance_prior():
            scatter, count = self._covariance_prior(family.n_features)
            family = replace(family, own_prior_scatter=scatter, own_prior_rows=count)
        return family

    def _covariance_prior(self, d: int) -> tuple[np.ndarray, float]:
        """The scatter of each component that the prior of covariances stands for, and of how many rows it is."""
        m, kind = self.n_mix, self.covariance_type
        matrices = kind in ("full", "tied")
        of_scale, of_count = ("covars_prior", "covars_weight") if matrices else ("covars_weight", "covars_prior")
        given = {"covars_prior": self._scale_or_shape, "covars_weight": self.covars_weight}
        scale, count = given[of_scale], given[of_count]
        # hmmlearn adds some rows besides the count, which a flat prior takes back; some divide all of it by themselves.
        beside = {"full": d + 2.0, "tied": m + d + 1.0, "diag": 3.0, "spherical": d + 2.0}[kind]
        share = {"full": 1, "tied": m, "diag": 1, "spherical": d}[kind]
        factor = 1.0 if matrices else 2.0
        if np.ndim(count) > 0:
            raise ValueError(
                f"{of_count} must be a number for covariance_type={kind!r}, got the shape {np.shape(count)}."
            )
        rows = 0.0 if count is None else factor * float(count) + beside
        if rows < 0.0:
            raise ValueError(f"{of_count} must be at least {-beside / factor:g}, which is a flat prior, got {count!r}.")
        scatter = factor * _broadcast(of_scale, 0.0 if scale is None else scale, self._covars_shape(d))
        least = np.linalg.eigvalsh(scatter) if matrices else scatter
        if np.any(least < -1e-8 * np.abs(scatter).max()):
            raise ValueError(f"{of_scale} must not be negative, nor hold matrices with negative eigenvalues.")
        return self._of_components(scatter) / share, rows / share

    def _covars_shape(self, d: int) -> tuple[int, ...]:
        """Shape of `covars_` for so many features."""
        s, m = self._mixed_shape()
        return {"full": (s, m, d, d), "tied": (s, d, d), "diag": (s, m, d), "spherical": (s, m)}[self.covariance_type]

    def _of_components(self, covars: np.ndarray) -> np.ndarray:
        """Covariances of all components, from those in the shape of `covars_`."""
        if self.covariance_type == "tied":
            return np.repeat(covars, self.n_mix, axis=0)
        return covars.reshape(-1, *covars.shape[2:])

    def _make_latent(self) -> Hmm:
        latent, shape = super()._make_latent(), self._mixed_shape()
        prior = _broadcast("weights_prior", self.weights_prior, shape)
        if np.any(prior < 1.0):
            raise ValueError("weights_prior must nowhere be below 1.")
        prior = prior.ravel() if "w" in self._learnt else np.ones(prior.size)
        return replace(latent, emissions=Emissions.mixtures(*shape, prior))

    def _with_given(self, family: Gaussian, params: Any, given: str) -> Any:
        (s, m), d = self._mixed_shape(), family.n_features
        means = params.means if "m" not in given else read_array("means_", self.means_, (s, m, d)).reshape(-1, d)
        covars = (
            params.covariances
            if "c" not in given
            else self._of_components(read_array("covars_", self.covars_, self._covars_shape(d)))
        )
        return proper_params(family, means, np.ascontiguousarray(covars), "covars_")

    def _given_latent(self, latent: Hmm) -> Any:
        k = latent.n_components
        weights = self._given("weights_", self._mixed_shape()).ravel()
        return latent.params(self._given("startprob_", (k,)), self._given("transmat_", (k, k)), weights)

    def _given_sizes(self, changed: set[str]) -> tuple[int, int]:
        shape = np.shape(self.means_)
        if len(shape) != 3 or shape[1] != self.n_mix or 0 in shape:
            raise ValueError(
                f"means_ must have the shape (n_components, n_mix, n_features) with n_mix={self.n_mix}, got {shape}."
            )
        return shape[0], shape[2]

    def _fits(self, model: Model, n_components: int, n_features: int, changed: set[str]) -> bool:
        mixed = model.family.n_components == n_components * self.n_mix
        return mixed and super()._fits(model, n_components, n_features, changed)

    def _given_values(self, family: Gaussian, changed: set[str]) -> Any:
        return self._with_given(family, None, "mc")

    def _show_latent(self, params: Any) -> None:
        super()._show_latent(params)
        self.weights_ = params.weights.reshape(params.startprob.size, -1)

    def _show(self, params: Params) -> None:
        states, family = params.latent.startprob.size, params.family
        self.means_ = family.means.reshape(states, -1, family.means.shape[1])
        covars = family.covariances.reshape(states, -1, *family.covariances.shape[1:])
        self.covars_ = covars[:, 0] if self.covariance_type == "tied" else covars

    def _start(
        self, model: Model, source: Any, drawn_from: Any, centre: np.ndarray, random: Any, strays: Any = None
    ) -> Any:
        """A mixture of the rows, whatever their order; then what its labels say of states, transitions and weights."""
        given = "".join(letter for letter in "mc" if letter not in self._started)
        rescues: list[Rescue] = []
        if given == "mc":
            family = model.family.first_look(centre)
        else:
            family, rescues = self._family_start(model, drawn_from, centre, random, strays)
        if given:
            family = self._with_given(model.family, family, given)
        mixture = Model(Mixture(model.family.n_components), model.family)
        start = Params(mixture.latent.uniform(), family)
        chain = start_of_chain(mixture, start, model.latent, drawn_from, _COUNTED_ROWS)
        startprob = self.startprob_ if "s" not in self._started else chain.startprob
        transmat = self.transmat_ if "t" not in self._started else chain.transmat
        weights = np.ravel(self.weights_) if "w" not in self._started else chain.weights
        latent = model.latent.params(startprob, transmat, weights)
        return Start(Params(latent, family), rescues, before=None if self._started else self._ending)

    def _family_start(
        self, model: Model, drawn_from: Any, centre: np.ndarray, random: Any, strays: Any
    ) -> tuple[Any, list[Any]]:
        in_time = is_left_right(model.latent)
        n_components = self.n_mix if in_time else model.family.n_components
        # Which components share a state, a covariance or a prior is not known yet.
        apart = replace(model.family, own_prior_means=None, own_prior_scatter=None, own_prior_rows=0.0)
        if isinstance(apart, GaussianGrouped):
            apart = replace(apart, group_size=1)
        mixture = Model(Mixture(n_components), apart.with_components(n_components))
        sample = drawn_from.sample(sample_size(n_components, model.family.n_features), random)
        sample = sample if strays is None else strays.put_into(sample)
        params = _improved(mixture, start_from_sample(self._option("search").init, mixture, sample, random)[0], sample)
        if in_time:
            segment = segments(drawn_from.lengths, self._shares(random))
            return start_from_segments(model, mixture, params, drawn_from, segment, centre)
        return start_from_successors(model, mixture, params, drawn_from, sample, centre, _COUNTED_ROWS, random)

    def marginal(self, feature: int | str = 0) -> Marginal:
        """Distribution of one feature in each state; as of `GaussianHMM`."""
        return mixed_marginal(super().marginal(feature), self.weights_)

    @classmethod
    def from_parameters(
        cls,
        startprob: Any,
        transmat: Any,
        weights: Any,
        means: Any,
        covars: Any,
        *,
        covariance_type: str = "diag",
        **settings: Any,
    ) -> Self:
        """A model with known parameters, that scores, predicts and samples without a fit.

        Parameters
        ----------
        startprob : array-like (S,)
        transmat : array-like (S, S)
        weights : array-like (S, M)
        means : array-like (S, M, D)
        covars : array-like
            In the shape of `covars_` for the `covariance_type`.
        covariance_type : {"full", "tied", "diag", "spherical"}, default "diag"
        **settings
            Other parameters of the constructor.

        Returns
        -------
        hmm : GMMHMM

        Raises
        ------
        ValueError
            For probabilities that do not sum to one, shapes that do not match, or improper covariances.

        Examples
        --------
        >>> from fastem import GMMHMM
        >>> hmm = GMMHMM.from_parameters(
        ...     [1, 0], [[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [1, 0]], [[[0.0], [9.0]], [[4.0], [5.0]]],
        ...     [[[1.0], [1.0]], [[1.0], [1.0]]],
        ... )
        >>> hmm.predict([0.1, 9.2, 4.1, 3.9, -0.4]).tolist()
        [0, 0, 1, 1, 0]
        """
        shape = np.shape(means)
        if len(shape) != 3 or 0 in shape:
            raise ValueError(f"means must have the shape (n_components, n_mix, n_features), got {shape}.")
        hmm = cls(shape[0], shape[1], covariance_type=covariance_type, **settings)
        hmm._validate_params()
        hmm.startprob_, hmm.transmat_, hmm.weights_ = startprob, transmat, weights
        hmm.means_, hmm.covars_ = floats(means, "means"), floats(covars, "covars")
        model = Model(hmm._make_latent(), hmm._make_family(shape[2], shape[0]))
        hmm._adopt(model, hmm._given_params(model, set()))
        return hmm
