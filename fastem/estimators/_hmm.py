"""How every hidden Markov model is fitted and used, with hmmlearn's names. It knows no distribution."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from fastem.estimators._em import BaseEM
from fastem.estimators._fitted_chain import FittedChain
from fastem.estimators._hmmlearn import Monitor, monitor_of, tell_overwritten
from fastem.estimators._known import Known, is_same
from fastem.estimators.options import Batch, Subsample
from fastem.estimators.options.base import Choice
from fastem.estimators.options.schedules import CHAIN_SCHEDULES
from fastem.fitting.spec import ModelSpec
from fastem.fitting.starting import ChainStart
from fastem.given import floats
from fastem.latents.hmm import HmmLatent
from fastem.model import Model
from fastem.sources import Source


class BaseHMM(FittedChain, BaseEM):
    """A hidden Markov model with `n_components` states, whose rows have distributions of one family.

    A family's estimator says how to make the family (`_make_family`, `_scaled_family`), which letters stand for its
    parameters (`_letters`), how the given ones replace those of a start (`_with_given`), and which fitted attributes
    to show (`_show`).
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseEM._parameter_constraints,
        "startprob_prior": [Interval(Real, 1.0, None, closed="left"), StrOptions({"stationary"}), "array-like"],
        "transmat_prior": [Interval(Real, 1.0, None, closed="left"), StrOptions({"left-right"}), "array-like"],
        "algorithm": [StrOptions({"viterbi", "map"})],
        "n_iter": [Interval(Integral, 0, None, closed="left")],
        "params": [str, None],
        "init_params": [str, None],
    }
    _choices: ClassVar[dict[str, Choice]] = {**BaseEM._choices, "schedule": CHAIN_SCHEDULES}

    startprob_prior: Any
    transmat_prior: Any
    n_iter: int
    params: str | None
    init_params: str | None

    startprob_: np.ndarray
    transmat_: np.ndarray

    # Columns that the user said X has.
    _n_features: int | None = None

    # Lines of `verbose` come so often.
    verbose_interval = 10

    _needed: ClassVar[tuple[tuple[str, ...], ...]] = (("startprob_",), ("transmat_",))
    _structural: ClassVar[tuple[str, ...]] = (
        "n_components", "startprob_prior", "transmat_prior", "params", "init_params",
    )  # fmt: skip

    _iterations = "n_iter"
    _start_kind: ClassVar[type[ChainStart]] = ChainStart
    _letters: ClassVar[dict[str, str]] = {}

    @property
    def _learnt(self) -> str:
        """Letters of the parameters that are learnt."""
        return "".join(self._attributes_of_letters()) if self.params is None else self.params

    @property
    def _named(self) -> str:
        """Letters of `init_params`."""
        return "".join(self._attributes_of_letters()) if self.init_params is None else self.init_params

    @property
    def _started(self) -> str:
        """Letters of the parameters that get a start of their own: those that are named, and those that are not set."""
        return "".join(
            x for x, name in self._attributes_of_letters().items() if x in self._named or not hasattr(self, name)
        )

    def _attributes_of_letters(self) -> dict[str, str]:
        """The attribute of each letter."""
        return {"s": "startprob_", "t": "transmat_", **self._letters}

    @property
    def max_iter(self) -> int:  # type: ignore[override]
        """Largest number of iterations."""
        return self.n_iter

    @property
    def monitor_(self) -> Monitor:
        """How the fit went, as hmmlearn tells it: `history`, `iter`, `converged`, `tol` and `n_iter`."""
        return monitor_of(self)

    @property
    def n_features(self) -> int:
        """Number of columns, as hmmlearn calls it. One that is set before a fit is what X must have."""
        if hasattr(self, "n_features_in_"):
            return self.n_features_in_
        if self._n_features is None:
            raise AttributeError(f"{type(self).__name__} knows the number of features after fit, or when it is set.")
        return self._n_features

    @n_features.setter
    def n_features(self, n_features: int) -> None:
        self._n_features = int(n_features)

    # The family's part.

    def _with_given(self, family: Any, params: Any, given: str) -> Any:
        """Parameters of the family, in which the attributes that letters name take the place of those of `params`."""
        raise NotImplementedError

    # The chain.

    def _make_latent(self) -> HmmLatent:
        k = self.n_components
        allowed, transmat_prior = self._transitions(k)
        allowed_start = np.ones(k, dtype=bool)
        if "t" not in self._started and hasattr(self, "transmat_"):
            allowed &= self._given("transmat_", (k, k)) > 0
            if not allowed.any(axis=1).all():
                raise ValueError("transmat_ is zero wherever transmat_prior allows one in some row. Change one.")
        if "s" not in self._started and hasattr(self, "startprob_"):
            allowed_start = self._given("startprob_", (k,)) > 0
        elif isinstance(self.transmat_prior, str):
            allowed_start[1:] = False
        return HmmLatent(
            k,
            None if allowed.all() else allowed,
            None if allowed_start.all() else allowed_start,
            1.0 if self._is_stationary() else self._concentration("startprob_prior", "s", (k,)),
            transmat_prior,
            self._is_stationary(),
        )

    def _latent_of(self, params: dict[str, np.ndarray]) -> HmmLatent:
        return self._make_latent()

    def _is_stationary(self) -> bool:
        """Whether the first state has the stationary distribution of the chain."""
        return isinstance(self.startprob_prior, str)

    def _transitions(self, k: int) -> tuple[np.ndarray, Any]:
        """Which transitions (K, K) are possible, and the parameters of the Dirichlet priors of their probabilities."""
        if isinstance(self.transmat_prior, str):
            return np.triu(np.ones((k, k), dtype=bool)), 1.0
        given = floats(self.transmat_prior, "transmat_prior")
        if given.ndim == 0:
            return np.ones((k, k), dtype=bool), self._concentration("transmat_prior", "t", (k, k))
        allowed = given != 0
        if given.shape != (k, k) or not allowed.any(axis=1).all():
            raise ValueError(
                f"transmat_prior must be a number, 'left-right', or of shape {(k, k)} with a positive value in every "
                f"row (zero stands for a transition that is impossible); got the shape {given.shape}."
            )
        prior = np.where(allowed, given, 1.0)
        return allowed, 1.0 if np.all(prior == 1.0) else self._concentration("transmat_prior", "t", (k, k), prior)

    def _concentration(self, name: str, letter: str, shape: tuple[int, ...], given: Any = None) -> Any:
        """Parameters of Dirichlet priors that a user gave; no prior of what is not learnt."""
        prior = floats(getattr(self, name) if given is None else given, name)
        if not np.all(prior >= 1.0) or prior.shape not in ((), shape):
            raise ValueError(f"{name} must be a number, or of shape {shape}, and nowhere below 1.")
        if letter not in self._learnt:
            return 1.0
        return float(prior) if prior.ndim == 0 else prior

    def _given(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Probabilities that the user set as an attribute, before the fit."""
        given = np.array(floats(getattr(self, name), name))
        if given.shape != shape or not np.all(given >= 0) or not np.allclose(given.sum(axis=-1), 1.0, atol=1e-6):
            raise ValueError(f"{name} must have the shape {shape}, and rows of probabilities that sum to 1.")
        return given

    def _given_latent(self, latent: HmmLatent) -> Any:
        """Parameters of the chain that the user set as attributes."""
        k = latent.n_components
        return latent.params(self._given("startprob_", (k,)), self._given("transmat_", (k, k)))

    def _given_model(self, known: Known | None, changed: set[str]) -> Model:
        model = super()._given_model(known, changed)
        if known is not None and model is known.model and changed & {"startprob_", "transmat_"}:
            # What was impossible in the last fit may be possible now.
            return replace(model, latent=self._make_latent())
        return model

    def _given_latent_structure(self, known: Known | None, changed: set[str]) -> HmmLatent:
        return self._make_latent()

    def _show_latent(self, params: Any) -> None:
        self.startprob_, self.transmat_ = params.startprob, params.transmat

    # Fitting.

    def fit(
        self, X: Any, y: Any = None, *, lengths: Any = None, sample_weight: Any = None, resume: bool = False
    ) -> Self:
        """Estimate the parameters by expectation-maximisation (Baum & Welch).

        Parameters
        ----------
        X : array-like (N, D) or (N,), data frame, path, or whatever `fastem.open_source` reads; or a list of sequences
            Rows of all sequences, one after the other; or a list of arrays (N_i, D) or (N_i,), data frames or tables,
            each of which is a sequence (they are copied into one array). A list of lists of numbers is a table.
        y : None, or array-like (S,) of int
            The lengths, as hmmlearn takes them: `fit(X, lengths)`. Anything with one value for each row, as pipelines
            hand on, is ignored.
        lengths : array-like (S,) of int, optional
            Number of rows of each sequence. By default those that X tells (see `fastem.open_source`), or a single
            sequence.
        sample_weight : array-like (S,), optional
            Weights of the sequences; one of weight 2 counts as the sequence twice.
        resume : bool, default False
            Go on with the fit that `checkpoint` holds, to the same bits; where there is no such file yet, begin.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For unusable data, lengths, weights or parameters, naming the problem and the remedy.
        OSError
            For files that cannot be opened.

        Warns
        -----
        ConvergenceWarning
            When fitting stopped for another reason than convergence.
        """
        self._validate_params()
        self._require_sensible()
        for letter in self._named:
            if self._is_set_by_hand(self._attributes_of_letters()[letter]):
                tell_overwritten(self._attributes_of_letters()[letter], letter)

        def read() -> Source:
            source: Any = self._sequences(X, lengths, sample_weight, reset=True, y=y)
            self._require_features(source.n_features)
            return source

        return self._fit_to(read, resume)

    def _model_spec(self) -> ModelSpec:
        fixed = "".join(letter for letter in self._attributes_of_letters() if letter not in self._learnt)
        # Weights of the components in states are the chain's.
        holds_family = set(self._letters) - {"w"} <= set(fixed)
        return replace(super()._model_spec(), swaps=0, fixed=fixed, holds_family=holds_family)

    def _starting_attributes(self) -> dict[str, Any]:
        names = self._attributes_of_letters().items()
        return {name: getattr(self, name, None) for letter, name in names if letter not in self._started}

    def _require_sensible(self) -> None:
        super()._require_sensible()
        letters = set(self._attributes_of_letters())
        for name in ("params", "init_params"):
            unknown = set(getattr(self, name) or "") - letters
            if unknown:
                raise ValueError(
                    f"{name} has letters {sorted(unknown)} that stand for nothing. Choose among {sorted(letters)}."
                )
        if self._is_stationary() and ("s" not in self._named or "t" not in self._learnt):
            raise ValueError(
                "startprob_prior='stationary' makes startprob_ of transmat_. Leave 's' in init_params, 't' in params."
            )
        schedule, search = self._option("schedule"), self._option("search")
        if isinstance(schedule, Batch) and (schedule.bins is not None or isinstance(schedule.subsample, Subsample)):
            raise ValueError(
                "bins and subsample are of mixtures, whose rows are independent. Leave them out of Batch(...)."
            )
        if search.swaps not in ("auto", 0):
            raise ValueError("swaps are of mixtures, whose rows are independent. Leave them out of the search.")

    def _require_features(self, n_features: int) -> None:
        if self._n_features not in (None, n_features):
            raise ValueError(
                f"n_features was set to {self._n_features}, but X has {n_features} columns. Set it anew, or choose "
                "columns."
            )

    def _is_set_by_hand(self, name: str) -> bool:
        """Whether an attribute holds something else than what the last fit left there."""
        if self._known is None:
            return name in vars(self)
        return not is_same(vars(self).get(name), self._known.shown.get(name))

    def _make_start(self) -> ChainStart:
        letters = set(self._letters) - {"w"}
        given = "".join(letter for letter in self._letters if letter in letters and letter not in self._started)
        return self._start_kind(
            way=self._option("search").init,
            is_only=self.n_init == 1,
            completed=(lambda family, params: self._with_given(family, params, given)) if given else None,
            gives_family=len(given) == len(letters),
            latent=self._latent_given(),
            before=None if self._started else self._ending,
        )

    def _latent_given(self) -> dict[str, np.ndarray]:
        """Parameters of the chain that get no start of their own."""
        names = {"s": "startprob", "t": "transmat"}
        return {name: getattr(self, f"{name}_") for letter, name in names.items() if letter not in self._started}

    def fit_predict(self, X: Any, y: Any = None, *, lengths: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Fit the model, and return the state of each row, as `predict` does.

        Parameters
        ----------
        X, y, lengths, sample_weight
            As in `fit`.

        Returns
        -------
        states : (N,) int64 ndarray
        """
        source = self.fit(X, y, lengths=lengths, sample_weight=sample_weight)._sequences(X, lengths, reset=False, y=y)
        return self.predict(source)
