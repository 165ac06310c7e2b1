"""How every hidden Markov model is fitted and used, with hmmlearn's names. It knows no distribution."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, NoReturn, Self

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from fastem._text import unknown_choice
from fastem.estimators._hmmlearn import Monitor, monitor_of, tell_overwritten
from fastem.estimators._known import Known, is_same
from fastem.estimators._listed import is_list_of_sequences, join_sequences, lengths_in_place_of, sizes_of
from fastem.estimators._mixture import BaseMixture, Start
from fastem.estimators._validation import NO_WEIGHT, read_rows, rows_per_chunk
from fastem.fitting.batch import BatchLearning, Learning
from fastem.fitting.checks import require_finite, require_support
from fastem.fitting.fixed import HeldModel, hold_family
from fastem.fitting.incremental import IncrementalLearning
from fastem.fitting.problem import Problem
from fastem.fitting.scan import Look, Survey
from fastem.fitting.strays import Strays
from fastem.fitting.thread_limits import holding_libraries, running
from fastem.given import floats, plain_array
from fastem.latents.hmm import Hmm, stationary_distribution
from fastem.latents.mixture import Mixture
from fastem.model import Model, Params
from fastem.schedules.batch import fit_batch
from fastem.schedules.result import Reason
from fastem.sources import Chunk, SequenceSource, Source, SourceError, in_chunks_of, proper_lengths
from fastem.starts.chain import is_left_right, segments, start_of_chain
from fastem.starts.given import start_from
from fastem.starts.start import STARTS, sample_size, start_from_sample
from fastem.stats import Rescue

# The mixture that a start grows from need not have converged.
_START_TOL, _START_ITERATIONS = 1e-3, 30
# Rows that the first transitions are counted on.
_COUNTED_ROWS = 2**20
# Shares of the stretches that several starts of a left-right chain begin with: parameter of a Dirichlet distribution.
_EVENNESS = 10.0


class BaseHMM(BaseMixture):
    """A hidden Markov model with `n_components` states, whose rows have distributions of one family.

    A family's estimator says how to make the family (`_make_family`, `_scaled_family`), which letters stand for its
    parameters (`_letters`), how the given ones replace those of a start (`_with_given`), and which fitted attributes
    to show (`_show`).
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "startprob_prior": [Interval(Real, 1.0, None, closed="left"), "array-like"],
        "transmat_prior": [Interval(Real, 1.0, None, closed="left"), "array-like"],
        "transmat_allowed": [StrOptions({"left-right"}), "array-like", None],
        "stationary_start": ["boolean"],
        "algorithm": [StrOptions({"viterbi", "map"})],
        "n_iter": [Interval(Integral, 0, None, closed="left")],
        "params": [str, None],
        "init_params": [str, None],
        "init": [StrOptions(set(STARTS) - {"quantile"})],
        "learning_method": [StrOptions({"batch", "incremental"})],
        **{
            name: BaseMixture._parameter_constraints[name]
            for name in (
                "tol", "n_init", "search", "random_state", "acceleration", "chunk_rows", "memory_limit", "checkpoint",
                "checkpoint_interval", "n_threads", "verbose", "verbose_interval", "progress",
            )
        },
    }  # fmt: skip

    startprob_prior: Any
    transmat_prior: Any
    transmat_allowed: Any
    stationary_start: bool
    algorithm: str
    n_iter: int
    params: str | None
    init: str

    startprob_: np.ndarray
    transmat_: np.ndarray

    # Columns that the user said X has.
    _n_features: int | None = None

    # Moves are scored by rows that are independent, and samples that lead are of such rows.
    n_moves = 0
    growth = False

    _needed: ClassVar[tuple[tuple[str, ...], ...]] = (("startprob_",), ("transmat_",))
    _structural: ClassVar[tuple[str, ...]] = (
        "n_components", "startprob_prior", "transmat_prior", "transmat_allowed", "stationary_start", "params",
        "init_params",
    )  # fmt: skip

    def __init__(
        self,
        n_components: int = 1,
        *,
        startprob_prior: Any = 1.0,
        transmat_prior: Any = 1.0,
        transmat_allowed: Any = None,
        stationary_start: bool = False,
        algorithm: str = "viterbi",
        n_iter: int = 1000,
        tol: float = 1e-5,
        params: str | None = None,
        init_params: str | None = None,
        init: str = "k-means++",
        n_init: int = 1,
        search: str = "race",
        random_state: Any = None,
        learning_method: str = "batch",
        acceleration: str | None = "auto",
        chunk_rows: int | None = None,
        memory_limit: int | str | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_interval: float = 60.0,
        n_threads: int | None = None,
        verbose: int = 0,
        verbose_interval: int = 10,
        progress: bool = False,
    ):
        self.n_components = n_components
        self.startprob_prior = startprob_prior
        self.transmat_prior = transmat_prior
        self.transmat_allowed = transmat_allowed
        self.stationary_start = stationary_start
        self.algorithm = algorithm
        self.n_iter = n_iter
        self.tol = tol
        self.params = params
        self.init_params = init_params
        self.init = init
        self.n_init = n_init
        self.search = search
        self.random_state = random_state
        self.learning_method = learning_method
        self.acceleration = acceleration
        self.chunk_rows = chunk_rows
        self.memory_limit = memory_limit
        self.checkpoint = checkpoint
        self.checkpoint_interval = checkpoint_interval
        self.n_threads = n_threads
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.progress = progress

    # A fit goes on from the attributes that `init_params` does not name.
    warm_start = False
    _iterations = "n_iter"
    _letters: ClassVar[dict[str, str]] = {}
    _hold: ClassVar[Callable[..., Any]] = staticmethod(hold_family)

    @property
    def _learnt(self) -> str:
        """Letters of the parameters that are learnt."""
        return "".join(("s", "t", *self._letters)) if self.params is None else self.params

    @property
    def _named(self) -> str:
        """Letters of `init_params`."""
        return "".join(("s", "t", *self._letters)) if self.init_params is None else self.init_params

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

    def _make_latent(self) -> Hmm:
        n_components = self.n_components
        allowed = self._allowed(n_components)
        allowed_start = np.ones(n_components, dtype=bool)
        if "t" not in self._started and hasattr(self, "transmat_"):
            allowed &= self._given("transmat_", (n_components, n_components)) > 0
            if not allowed.any(axis=1).all():
                raise ValueError("transmat_ is zero wherever transmat_allowed is true in some row. Change one of them.")
        if "s" not in self._started and hasattr(self, "startprob_"):
            allowed_start = self._given("startprob_", (n_components,)) > 0
        elif isinstance(self.transmat_allowed, str):
            allowed_start[1:] = False
        return Hmm(
            n_components,
            None if allowed.all() else allowed,
            None if allowed_start.all() else allowed_start,
            self._prior("startprob_prior", "s", (n_components,)),
            self._prior("transmat_prior", "t", (n_components, n_components)),
            self.stationary_start,
        )

    def _latent_of(self, params: dict[str, np.ndarray]) -> Hmm:
        return self._make_latent()

    def _allowed(self, n_components: int) -> np.ndarray:
        if self.transmat_allowed is None:
            return np.ones((n_components, n_components), dtype=bool)
        if isinstance(self.transmat_allowed, str):
            return np.triu(np.ones((n_components, n_components), dtype=bool))
        allowed = plain_array(self.transmat_allowed, "transmat_allowed").astype(bool)
        if allowed.shape != (n_components, n_components) or not allowed.any(axis=1).all():
            raise ValueError(
                f"transmat_allowed must be 'left-right', or have the shape {(n_components, n_components)} and a true "
                f"value in every row; got the shape {allowed.shape}."
            )
        return allowed

    def _prior(self, name: str, letter: str, shape: tuple[int, ...]) -> Any:
        prior = floats(getattr(self, name), name)
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

    def _given_latent(self, latent: Hmm) -> Any:
        """Parameters of the chain that the user set as attributes."""
        k = latent.n_components
        return latent.params(self._given("startprob_", (k,)), self._given("transmat_", (k, k)))

    def _given_model(self, known: Known | None, changed: set[str]) -> Model:
        model = super()._given_model(known, changed)
        if known is not None and model is known.model and changed & {"startprob_", "transmat_"}:
            # What was impossible in the last fit may be possible now.
            return replace(model, latent=self._make_latent())
        return model

    def _given_latent_structure(self, known: Known | None, changed: set[str]) -> Hmm:
        return self._make_latent()

    def _show_latent(self, params: Any) -> None:
        self.startprob_, self.transmat_ = params.startprob, params.transmat

    # Fitting.

    def fit(  # type: ignore[override]
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
        with (
            self._all_or_nothing(self._has_iterated),
            running(self.n_threads, self.verbose, self._work()) as n,
            holding_libraries(n),
        ):
            source = self._sequences(X, lengths, sample_weight, reset=True, y=y)
            self._require_features(source.n_features)
            survey = self._survey(source.rows)
            starts = self._starts(survey.model, source, survey.centre, strays=survey.strays)
            best = self._fit(survey, source, self._learning(survey), starts, resume)
        self._warn_unless_converged(best)
        self._warn_if_collapsed(survey)
        return self

    def _layout(self, source: Any) -> tuple[Any, ...]:
        return (source.lengths,)

    def _starting_attributes(self) -> dict[str, Any]:
        names = {"s": "startprob_", "t": "transmat_", **self._letters}
        return {name: getattr(self, name, None) for letter, name in names.items() if letter not in self._started}

    def _require_sensible(self) -> None:
        letters = {"s", "t", *self._letters}
        for name in ("params", "init_params"):
            unknown = set(getattr(self, name) or "") - letters
            if unknown:
                raise ValueError(
                    f"{name} has letters {sorted(unknown)} that stand for nothing. Choose among {sorted(letters)}."
                )
        if self.stationary_start and ("s" not in self._named or "t" not in self._learnt):
            raise ValueError(
                "stationary_start=True makes startprob_ of transmat_. Leave 's' in init_params and 't' in params."
            )

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

    def _work(self) -> str:
        return f"fits {self._distributions()}"

    def _learning(self, survey: Survey) -> Learning:
        if self.learning_method == "incremental":
            return IncrementalLearning(tol=self.tol, max_iter=self.n_iter)
        return BatchLearning(tol=self.tol, max_iter=self.n_iter, acceleration=self.acceleration)

    def _surveyed(self, look: Look, source: Source, family: Any) -> Survey:
        survey = super()._surveyed(look, source, family)
        held = "".join(letter for letter in ("s", "t", *self._letters) if letter not in self._learnt)
        if not held:
            return survey
        of_family = any(letter in self._letters for letter in held)
        model = survey.model
        return survey._replace(
            model=HeldModel(model.latent, model.family, held, type(self)._hold if of_family else None)
        )

    def _start(
        self,
        model: Model,
        source: Any,
        drawn_from: Any,
        centre: np.ndarray,
        random: np.random.Generator,
        strays: Strays | None = None,
    ) -> Start:
        """A mixture of the rows, whatever their order; then what its labels say of transitions."""
        given = "".join(letter for letter in self._letters if letter not in self._started)
        mixture = Model(Mixture(self.n_components), model.family)
        rescues: list[Rescue] = []
        if len(given) == len(self._letters):
            start = Params(mixture.latent.uniform(), model.family.first_look(centre))
        elif is_left_right(model.latent):
            # What follows each other in time need not lie apart.
            start, rescues = start_from(mixture, drawn_from, segments(drawn_from.lengths, self._shares(random)), centre)
        else:
            sample = drawn_from.sample(sample_size(self.n_components, source.n_features), random)
            sample = sample if strays is None else strays.put_into(sample)
            start, rescues = start_from_sample(self.init, mixture, sample, random)
            start = _improved(mixture, start, sample)
        if given:
            start = start._replace(family=self._with_given(model.family, start.family, given))
        chain = start_of_chain(mixture, start, model.latent, drawn_from, _COUNTED_ROWS)
        startprob = self.startprob_ if "s" not in self._started else chain.startprob
        transmat = self.transmat_ if "t" not in self._started else chain.transmat
        before = None if self._started else self._ending
        return Start(Params(model.latent.params(startprob, transmat), start.family), rescues, before=before)

    def _shares(self, random: np.random.Generator) -> np.ndarray:
        """Of the states of a left-right chain in each sequence: even for one start, and several are to differ."""
        k = self.n_components
        return np.full(k, 1.0 / k) if self.n_init == 1 else random.dirichlet(np.full(k, _EVENNESS))

    def fit_predict(  # type: ignore[override]
        self, X: Any, y: Any = None, *, lengths: Any = None, sample_weight: Any = None
    ) -> np.ndarray:
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

    @property
    def partial_fit(self) -> NoReturn:
        """Not there: a chain learns from all sequences at each iteration."""
        raise AttributeError(f"{type(self).__name__} has no partial_fit. Use fit, which reads files piece by piece.")

    @property
    def icl(self) -> NoReturn:
        """Not there: it is a criterion for clusters of independent rows."""
        raise AttributeError(f"{type(self).__name__} has no icl. Use bic.")

    # Data.

    def _sequences(
        self, X: Any, lengths: Any, sample_weight: Any = None, *, reset: bool, y: Any = None
    ) -> SequenceSource:
        """The sequences of X; those without rows are left out."""
        if y is not None and lengths is not None:
            # A pipeline hands on its y in any case.
            y = None
        if isinstance(X, SequenceSource):
            if lengths is not None or y is not None:
                raise ValueError("X tells the lengths of its sequences already. Leave out lengths.")
            X, lengths = X.rows, X.lengths
        weights = sample_weight
        if is_list_of_sequences(X, None if reset else getattr(self, "n_features_in_", None)):
            if lengths is not None or y is not None:
                raise ValueError("X is a list of sequences, which tell their lengths. Leave out lengths.")
            rows, sizes = join_sequences(self, X, reset=reset)
            weights = None if sample_weight is None else _weights(sample_weight, sizes.size)[sizes > 0]
            lengths = sizes[sizes > 0]
        else:
            rows = read_rows(self, X, None, reset=reset)
        if rows.n_rows is None:
            for _ in rows.chunks():
                pass
        n_rows = rows.n_rows or 0
        lengths = lengths_in_place_of(y, n_rows) if y is not None else lengths
        lengths = np.array([n_rows]) if lengths is None else proper_lengths(lengths, n_rows)
        if weights is not None:
            rows = rows.weighted(np.repeat(_weights(weights, lengths.size), lengths))
        rows = in_chunks_of(rows, rows_per_chunk(rows, self.chunk_rows, self.memory_limit))
        return SequenceSource(rows, lengths)

    def _scored(self, X: Any, lengths: Any, what: str, y: Any = None) -> tuple[np.ndarray, np.ndarray, Any]:
        """What a method of `Model` fills in for all rows, the lengths of the sequences, and what it returns."""
        self._require_fitted()
        source = self._sequences(X, lengths, reset=False, y=y)
        n_states = self._model.latent.n_components
        shape = (source.n_rows, n_states) if what in ("posterior", "filtered") else (source.n_rows,)
        out = np.empty(shape, dtype=np.int64 if what in ("label", "best_path") else np.float64)
        results = []
        for chunk in self._chunks_of_sequences(source):
            rows = slice(chunk.first_row, chunk.first_row + len(chunk))
            with self._scoring():
                results.append(getattr(self._model, what)(self._params, chunk.X, out[rows], chunk.lengths))
            del chunk
        return out, source.lengths, results

    def _chunks_of_sequences(self, source: SequenceSource) -> Iterator[Chunk]:
        for chunk in source.chunks():
            require_finite(chunk, source.labels)
            require_support(chunk, self._model.family, source.labels)
            yield chunk
            del chunk

    # Using.

    def score(  # type: ignore[override]
        self, X: Any, y: Any = None, *, lengths: Any = None, sample_weight: Any = None
    ) -> float:
        """Log-likelihood of all sequences together, in nats (as hmmlearn's; not the mean).

        Parameters
        ----------
        X : array-like (N, D), or list of sequences
        y, lengths
            As of `fit`: `score(X, lengths)` and `score(X, lengths=lengths)` are the same.
        sample_weight : array-like (S,), optional
            Weights of the sequences.

        Returns
        -------
        loglik : float
        """
        loglik, sizes, _ = self._scored(X, lengths, "log_prob", y)
        if sample_weight is None:
            return float(loglik.sum())
        return float(loglik @ np.repeat(_weights(sample_weight, len(sizes)), sizes))

    def score_samples(self, X: Any, lengths: Any = None) -> tuple[float, np.ndarray]:  # type: ignore[override]
        """Log-likelihood of all sequences together, and the smoothed probabilities of the states.

        Parameters
        ----------
        X : array-like (N, D), or list of sequences
        lengths : array-like (S,) of int, optional

        Returns
        -------
        loglik : float
            In nats.
        posteriors : (N, K) float64 ndarray
            As of `predict_proba`.
        """
        return self.score(X, lengths=lengths), self.predict_proba(X, lengths)

    def log_prob(self, X: Any, lengths: Any = None) -> np.ndarray:
        """Log-likelihood of each row, given the rows of its sequence before it.

        Parameters
        ----------
        X : array-like (N, D), or list of sequences
        lengths : array-like (S,) of int, optional

        Returns
        -------
        loglik : (N,) float64 ndarray
            In nats.
        """
        return self._scored(X, lengths, "log_prob")[0]

    def decode(self, X: Any, lengths: Any = None, algorithm: str | None = None) -> tuple[float, np.ndarray]:
        """The most probable states.

        Parameters
        ----------
        X : array-like (N, D), or list of sequences
        lengths : array-like (S,) of int, optional
        algorithm : {"viterbi", "map"}, optional
            "viterbi": the most probable path of each sequence. "map": the most probable state at each row, which
            together need not be a possible path. By default the `algorithm` of the constructor.

        Returns
        -------
        log_prob : float
            Log-density of rows and paths together, in nats; with "map", the sum of the states' probabilities.
        states : (N,) int64 ndarray
        """
        algorithm = self.algorithm if algorithm is None else algorithm
        if algorithm == "viterbi":
            states, _, results = self._scored(X, lengths, "best_path")
            return float(np.sum([part.sum() for part in results])), states
        if algorithm == "map":
            posterior = self.predict_proba(X, lengths)
            return float(posterior.max(axis=1).sum()), posterior.argmax(axis=1)
        raise ValueError(unknown_choice("algorithm", algorithm, ("viterbi", "map")))

    def predict(self, X: Any, lengths: Any = None) -> np.ndarray:
        """The most probable states, by the `algorithm` of the constructor.

        Parameters
        ----------
        X : array-like (N, D), or list of sequences
        lengths : array-like (S,) of int, optional

        Returns
        -------
        states : (N,) int64 ndarray
        """
        return self.decode(X, lengths)[1]

    def predict_proba(self, X: Any, lengths: Any = None) -> np.ndarray:
        """Smoothed probabilities of the states: given all rows of the sequence.

        Parameters
        ----------
        X : array-like (N, D), or list of sequences
        lengths : array-like (S,) of int, optional

        Returns
        -------
        posteriors : (N, K) float64 ndarray
        """
        return self._scored(X, lengths, "posterior")[0]

    def filter_proba(self, X: Any, lengths: Any = None) -> np.ndarray:
        """Filtered probabilities of the states: given the row and those of the sequence before it.

        Parameters
        ----------
        X : array-like (N, D), or list of sequences
        lengths : array-like (S,) of int, optional

        Returns
        -------
        probabilities : (N, K) float64 ndarray
        """
        return self._scored(X, lengths, "filtered")[0]

    def predict_next_proba(self, X: Any, lengths: Any = None) -> np.ndarray:
        """Probabilities of the state one step after the end of each sequence.

        Parameters
        ----------
        X : array-like (N, D), or list of sequences
        lengths : array-like (S,) of int, optional

        Returns
        -------
        probabilities : (S, K) float64 ndarray
        """
        filtered, lengths, _ = self._scored(X, lengths, "filtered")
        following = filtered[np.cumsum(lengths) - 1] @ self._params.latent.transmat
        if not is_list_of_sequences(X, self.n_features_in_):
            return following
        # Where there is no row yet, the first state comes next.
        is_empty = sizes_of(X) == 0
        every = np.tile(self._params.latent.startprob, (is_empty.size, 1))
        every[~is_empty] = following
        return every

    def criteria(self, X: Any, lengths: Any = None) -> dict[str, float]:
        """Log-likelihood and information criteria, in one pass over X.

        Parameters
        ----------
        X : array-like (N, D), or list of sequences
        lengths : array-like (S,) of int, optional

        Returns
        -------
        criteria : dict
            `weight` (the number of rows), `loglik`, `score` (its mean), `aic` and `bic`.
        """
        loglik = self._scored(X, lengths, "log_prob")[0]
        return self._criteria(float(loglik.sum()), float(loglik.size))

    def aic(self, X: Any, lengths: Any = None) -> float:
        """Akaike's information criterion on X: -2 loglik + 2 parameters. Lower is better.

        Parameters
        ----------
        X : array-like (N, D), or list of sequences
        lengths : array-like (S,) of int, optional
        """
        return self.criteria(X, lengths)["aic"]

    def bic(self, X: Any, lengths: Any = None) -> float:
        """Bayesian information criterion on X: -2 loglik + parameters * log(N). Lower is better.

        Parameters
        ----------
        X : array-like (N, D), or list of sequences
        lengths : array-like (S,) of int, optional
        """
        return self.criteria(X, lengths)["bic"]

    def sample(
        self, n_samples: int = 1, random_state: Any = None, currstate: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw one sequence.

        Parameters
        ----------
        n_samples : int, default 1
            Number of its rows.
        random_state : int, RandomState instance or None, optional
            By default that of the constructor.
        currstate : int, optional
            The state of the first row; by default it is drawn.

        Returns
        -------
        X : (n_samples, D) float64 ndarray
        states : (n_samples,) int64 ndarray
        """
        self._require_fitted()
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be a positive integer, got {n_samples!r}.")
        n_states = self._model.latent.n_components
        if currstate is not None and not (isinstance(currstate, Integral) and 0 <= currstate < n_states):
            raise ValueError(f"currstate must be a state from 0 to {n_states - 1}, got {currstate!r}.")
        random = self._generator()
        if random_state is not None:
            random = np.random.default_rng(check_random_state(random_state).randint(2**32, dtype=np.uint64))
        return self._model.sample(self._params, int(n_samples), random, first=currstate)

    def get_stationary_distribution(self) -> np.ndarray:
        """Share (K,) of the time that the chain spends in each state in the long run."""
        self._require_fitted()
        return stationary_distribution(self._params.latent.transmat)

    # Pictures.

    def plot(self, X: Any, ax: Any = None, **options: Any) -> Any:
        """Draw a series over its states, as `plot_states` does."""
        return self.plot_states(X, ax=ax, **options)

    def plot_states(self, X: Any, lengths: Any = None, ax: Any = None, **options: Any) -> Any:
        """Draw a series over its states; see `fastem.plotting.chain.plot_states`."""
        from fastem.plotting import plot_states

        if hasattr(self, "_params") and is_list_of_sequences(X, self.n_features_in_):
            source = self._sequences(X, lengths, reset=False)
            X, lengths = np.concatenate([chunk.X for chunk in source.chunks()]), source.lengths
        return plot_states(self, X, lengths, ax=ax, **options)

    def plot_transitions(self, ax: Any = None) -> Any:
        """Draw the transition matrix as a heat map; see `fastem.plotting.chain.plot_transitions`."""
        from fastem.plotting import plot_transitions

        return plot_transitions(self, ax=ax)


def _improved(mixture: Model, start: Params, sample: Source) -> Params:
    """Parameters of a mixture after some iterations on a sample."""
    result = fit_batch(Problem(mixture.cautious(), sample), start, tol=_START_TOL, max_iter=_START_ITERATIONS)
    if result.reason is Reason.INTERRUPTED:
        raise KeyboardInterrupt
    return result.params


def _weights(sample_weight: Any, n_sequences: int) -> np.ndarray:
    weight = floats(sample_weight, "sample_weight")
    if weight.shape != (n_sequences,) or not (np.all(np.isfinite(weight)) and np.all(weight >= 0)):
        raise SourceError(
            f"sample_weight must be one finite number for each of the {n_sequences} sequences, and not negative."
        )
    if not weight.any():
        raise SourceError(NO_WEIGHT)
    return weight
