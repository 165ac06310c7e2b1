"""Hidden Markov models whose states are mixtures of Gaussians, with hmmlearn's names."""

from __future__ import annotations

import os
from collections.abc import Container
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from fastem.estimators.gaussian_hmm import GaussianStates
from fastem.families._marginal import Marginal, mixed_marginal
from fastem.families.gaussian.family import Gaussian, GaussianGrouped
from fastem.fitting.chains import probabilities
from fastem.fitting.checkpoint import Checkpoint
from fastem.fitting.mixed_states import covars_shape, mixed_params, of_components, shown_of_mixed
from fastem.fitting.parameters import sizes_of
from fastem.fitting.priors import at_least, mixed_covariance_prior
from fastem.fitting.starting import MixedChainStart
from fastem.latents.emissions import Emissions
from fastem.latents.hmm import HmmLatent
from fastem.model import Model, Params
from fastem.schedules.batch import Batch
from fastem.schedules.incremental import Incremental
from fastem.search.options import Race, Restarts

_AXES = ("n_components", "n_mix", "n_features")


class GMMHMM(GaussianStates):
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
        Dirichlet priors of the rows of `weights_`, at least 1 (none): a number, (M,), or (S, M).
    means_prior, means_weight : float or array-like, default 0
        As of `GaussianHMM`, for each component: (D,) or (S, M, D), and (S, M).
    covars_prior, covars_weight : float, array-like, "vanishing" or None, default "vanishing" and None
        As of `GaussianHMM`, but with `GMMHMM`'s meaning in hmmlearn: see `docs/hmm.md`.
    startprob_prior, transmat_prior, algorithm, covariance_floor
        As of `GaussianHMM`.
    params, init_params : str or None, default None
        As of `GaussianHMM`; the letters are "s", "t", "m", "c", and "w" for the weights.
    n_iter, tol, n_init, random_state, verbose, schedule, search, memory_limit, n_threads, missing, checkpoint
        As of `GaussianHMM`.

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

    References
    ----------
    Rabiner (1989), Proc. IEEE 77, 257-286, section IV.A.

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
        **GaussianStates._parameter_constraints,
        "n_mix": [Interval(Integral, 1, None, closed="left")],
        "weights_prior": [Interval(Real, 1.0, None, closed="left"), "array-like"],
        "covars_prior": [StrOptions({"vanishing"}), Real, "array-like", None],
        "covars_weight": [Real, "array-like", None],
    }
    _needed = (*GaussianStates._needed, ("weights_",))
    _structural = (*GaussianStates._structural, "n_mix", "weights_prior")
    _letters: ClassVar[dict[str, str]] = {**GaussianStates._letters, "w": "weights_"}
    _start_kind = MixedChainStart

    n_mix: int
    weights_prior: Any

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
        return f"chains of mixtures of {self.covariance_type} Gaussians"

    def _counts(self) -> tuple[int, ...]:
        return self.n_components, self.n_mix

    def _make_family(self, n_features: int, n_components: int) -> Gaussian:
        """The family of all components of so many states."""
        n_all = n_components * self.n_mix
        if self.covariance_type == "tied":
            return GaussianGrouped(n_components=n_all, n_features=n_features, group_size=self.n_mix)
        return Gaussian(n_components=n_all, n_features=n_features, covariance_type=self.covariance_type)

    def _covariance_prior(self, family: Gaussian, prior: Any) -> tuple[np.ndarray, float]:
        shape = covars_shape(family, self._counts())
        scatter, rows = mixed_covariance_prior(
            self.covariance_type, shape, self.n_mix, family.n_features, prior, self.covars_weight
        )
        return of_components(scatter, family, self.n_mix), rows

    def _make_latent(self) -> HmmLatent:
        prior = at_least("weights_prior", self.weights_prior, 1.0, self._counts()).ravel()
        emissions = Emissions.mixtures(self.n_components, self.n_mix, prior if "w" in self._learnt else 1.0)
        return replace(super()._make_latent(), emissions=emissions)

    def _with_given(self, family: Gaussian, params: Any, given: str) -> Any:
        means = self.means_ if "m" in given else None
        return mixed_params(family, self._counts(), params, means, self.covars_ if "c" in given else None)

    def _given_shares(self, k: int) -> tuple[np.ndarray, ...]:
        return *super()._given_shares(k), probabilities("weights_", self.weights_, self._counts()).ravel()

    def _given_sizes(self, changed: set[str]) -> tuple[int, int]:
        n_components, n_mix, n_features = sizes_of("means_", self.means_, _AXES)
        if n_mix != self.n_mix:
            raise ValueError(f"means_ must have the shape ({', '.join(_AXES)}) with n_mix={self.n_mix}, got {n_mix}.")
        return n_components, n_features

    def _fits(self, model: Model, n_components: int, n_features: int, changed: set[str]) -> bool:
        mixed = model.family.n_components == n_components * self.n_mix
        return mixed and super()._fits(model, n_components, n_features, changed)

    def _show_latent(self, params: Any) -> None:
        super()._show_latent(params)
        self.weights_ = params.weights.reshape(params.startprob.size, -1)

    def _show(self, params: Params) -> None:
        self.means_, self.covars_ = shown_of_mixed(self._model.family, params.family, params.latent.startprob.size)

    def _latent_given(self, letters: Container[str]) -> dict[str, np.ndarray]:
        weights = {"weights": np.ravel(self.weights_)} if "w" in letters else {}
        return super()._latent_given(letters) | weights

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
        """A model with known parameters, for use without a fit. Errors are as of `GaussianHMM.from_parameters`.

        Parameters
        ----------
        startprob : array-like (S,)
        transmat : array-like (S, S)
        weights : array-like (S, M)
        means : array-like (S, M, D)
        covars : array-like
            In the shape of `covars_` for the `covariance_type`.
        covariance_type, **settings
            As of the constructor.
        """
        n_components, n_mix, _ = sizes_of("means", means, _AXES)
        hmm = cls(n_components, n_mix, covariance_type=covariance_type, **settings)
        given = {"startprob_": startprob, "transmat_": transmat, "weights_": weights}
        return hmm._known_by(**given, means_=means, covars_=covars)
