"""How every hidden Markov model is fitted and used, with hmmlearn's names. It knows no distribution."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from fastem._naming import named
from fastem._options import Choice
from fastem.estimators._em import BaseEM
from fastem.estimators._hmmlearn import Monitor, monitor_of, tell_overwritten
from fastem.estimators._known import Known
from fastem.estimators._uncertain_chain import UncertainChain
from fastem.fitting.chains import chain_of, probabilities
from fastem.fitting.spec import AUTO, ModelSpec
from fastem.fitting.starting import ChainStart
from fastem.fitting.strategy import CHAIN_SCHEDULES
from fastem.latents.hmm import HmmLatent
from fastem.model import Model
from fastem.schedules.batch import Batch, Subsample
from fastem.sources import Source


class BaseHMM(UncertainChain, BaseEM):
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
    # The attribute of each letter of the family's parameters.
    _letters: ClassVar[dict[str, str]] = {}

    # Letters.

    def _names(self) -> dict[str, tuple[str, ...]]:
        """The attributes of each letter, of which any one sets its parameters."""
        return {letter: (name,) for letter, name in {"s": "startprob_", "t": "transmat_", **self._letters}.items()}

    @property
    def _learnt(self) -> str:
        """Letters of the parameters that are learnt."""
        return "".join(self._names()) if self.params is None else self.params

    @property
    def _named(self) -> str:
        """Letters of `init_params`."""
        return "".join(self._names()) if self.init_params is None else self.init_params

    def _begins_as_set(self) -> dict[str, tuple[str, ...]]:
        """The attributes that are set, of each letter that gets no start of its own."""
        unnamed = {letter: names for letter, names in self._names().items() if letter not in self._named}
        present = {letter: tuple(name for name in names if hasattr(self, name)) for letter, names in unnamed.items()}
        return {letter: names for letter, names in present.items() if names}

    # hmmlearn's names.

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
        given = {name: getattr(self, name) for names in self._begins_as_set().values() for name in names}
        return chain_of(self.n_components, self.startprob_prior, self.transmat_prior, self._learnt, given)

    def _latent_of(self, params: dict[str, np.ndarray]) -> HmmLatent:
        return self._make_latent()

    def _given_latent_structure(self, known: Known | None, changed: set[str]) -> HmmLatent:
        return self._make_latent()

    def _given_latent(self, latent: HmmLatent) -> Any:
        return latent.params(*self._given_shares(latent.n_components))

    def _given_shares(self, k: int) -> tuple[np.ndarray, ...]:
        """What the parameters of the chain are made of, as the attributes say."""
        start = probabilities("startprob_", self.startprob_, (k,))
        return start, probabilities("transmat_", self.transmat_, (k, k))

    def _given_model(self, known: Known | None, changed: set[str]) -> Model:
        model = super()._given_model(known, changed)
        if known is not None and model is known.model and changed & {"startprob_", "transmat_"}:
            # What was impossible in the last fit may be possible now.
            return replace(model, latent=self._make_latent())
        return model

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
            by_hand = [*filter(self._is_set_by_hand, self._names()[letter])]
            if by_hand:
                tell_overwritten(by_hand[0], letter)

        def read() -> Source:
            source: Any = self._sequences(X, lengths, sample_weight, reset=True, y=y)
            self._require_features(source.n_features)
            return source

        return self._fit_to(read, resume)

    def _model_spec(self) -> ModelSpec:
        fixed = "".join(letter for letter in self._names() if letter not in self._learnt)
        # Weights of the components in states are the chain's.
        holds_family = set(self._letters) - {"w"} <= set(fixed)
        return replace(super()._model_spec(), swaps=0, fixed=fixed, holds_family=holds_family)

    def _starting_attributes(self) -> dict[str, Any]:
        return {name: getattr(self, name) for names in self._begins_as_set().values() for name in names}

    def _require_sensible(self) -> None:
        super()._require_sensible()
        letters = set(self._names())
        for name in ("params", "init_params"):
            unknown = set(getattr(self, name) or "") - letters
            if unknown:
                raise ValueError(
                    f"{name} has letters {sorted(unknown)} that stand for nothing. Choose among {sorted(letters)}."
                )
        if isinstance(self.startprob_prior, str) and ("s" not in self._named or "t" not in self._learnt):
            raise ValueError(
                "startprob_prior='stationary' makes startprob_ of transmat_. Leave 's' in init_params, 't' in params."
            )
        schedule, search = self._option("schedule"), self._option("search")
        beside = "of mixtures, whose rows are independent. Use"
        if isinstance(schedule, Batch) and schedule.bins is not None:
            raise ValueError(f"{named('bins')} are {beside} {named('schedule=Batch(bins=None)')}.")
        if isinstance(schedule, Batch) and isinstance(schedule.subsample, Subsample):
            raise ValueError(f"Subsamples are {beside} {named('schedule=Batch(subsample=None)')}.")
        if search.swaps not in ("auto", 0):
            raise ValueError(f"{named('swaps')} are {beside} {named(f'search={type(search).__name__}(swaps=0)')}.")

    def _require_features(self, n_features: int) -> None:
        if self._n_features not in (None, n_features):
            raise ValueError(
                f"n_features was set to {self._n_features}, but X has {n_features} columns. Set it anew, or choose "
                "columns."
            )

    def _make_start(self) -> ChainStart:
        given = self._begins_as_set()
        of_family = set(self._letters) - {"w"}
        letters = "".join(letter for letter in given if letter in of_family)
        return self._start_kind(
            way=self._option("search").init,
            is_only=self.n_init in (1, AUTO),
            completed=(lambda family, params: self._with_given(family, params, letters)) if letters else None,
            gives_family=set(letters) == of_family,
            latent=self._latent_given(given),
            before=self._ending if len(given) == len(self._names()) else None,
        )

    def _latent_given(self, letters: Container[str]) -> dict[str, np.ndarray]:
        """Parameters of the chain that get no start of their own, as their letters say."""
        names = {"s": "startprob", "t": "transmat"}
        return {name: getattr(self, f"{name}_") for letter, name in names.items() if letter in letters}

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
