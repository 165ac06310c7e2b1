"""How every mixture estimator is fitted: survey, starts, iterations, report. It knows no distribution."""

from __future__ import annotations

import inspect
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from inspect import Parameter
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions

from fastem.estimators._beliefs import mixture_of
from fastem.estimators._fitted import FittedMixture
from fastem.estimators._known import Known
from fastem.estimators._validation import (
    NO_WEIGHT,
    heed_y,
    no_setting,
    parse_bytes,
    read_rows,
    read_weights,
    require_known_words,
    rows_per_chunk,
    sample_bytes,
)
from fastem.fitting import archive
from fastem.fitting.batch import ACCELERATORS, BatchLearning, Learning
from fastem.fitting.checkpoint import Checkpoint, digest_of, require_place
from fastem.fitting.checks import require_finite
from fastem.fitting.collapse import collapsed, too_few_distinct
from fastem.fitting.incremental import IncrementalLearning
from fastem.fitting.notes import RaceNote
from fastem.fitting.online import OnlineLearning, online_note, step_of
from fastem.fitting.progress import following
from fastem.fitting.report import CollapseNote, FitReport, report_on
from fastem.fitting.runs import Search
from fastem.fitting.scan import Look, Survey, look_over, single_of
from fastem.fitting.strays import Strays
from fastem.fitting.stream import Stream, items_of, learn
from fastem.fitting.subsample import GrowingLearning
from fastem.fitting.thread_limits import holding_libraries, running
from fastem.given import plain_array
from fastem.latents.mixture import Mixture
from fastem.model import Model, Params
from fastem.persistence import require_model_name
from fastem.schedules.online import OnlineSettings, OnlineState
from fastem.schedules.result import Ending, FitResult, FitState, Reason
from fastem.search.sample_race import RaceTrack, race_sample
from fastem.sources import Source, in_chunks_of
from fastem.sources.shuffle import RowOrder
from fastem.starts.given import one_hot, start_from
from fastem.starts.start import STARTS, sample_size, start_from_sample
from fastem.stats import Rescue

_SORTED = (
    "The rows seem to be sorted, and they can be read from the start only, so that online EM cannot shuffle them: it "
    "will describe the last rows best. Use learning_method='incremental', or a shuffled copy of the data."
)


class Start(NamedTuple):
    """First parameters, what had to be rescued there, how they were chosen, and the end of the fit they come from."""

    params: Params
    rescues: list[Rescue]
    chosen: RaceNote | None = None
    before: Ending | None = None


class Starts(NamedTuple):
    """How many starts there are, and what makes the next one."""

    n: int
    make: Callable[[np.random.Generator], Start]


class BaseMixture(FittedMixture):
    """A mixture of `n_components` distributions of one family, fitted by EM.

    A family's estimator says how to make the family (`_make_family`), how parts of the start may be
    given (`_given_start`), and which fitted attributes to show (`_show`).
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "acceleration": [StrOptions(set(ACCELERATORS)), None],
        "weight_concentration_prior": [Interval(Real, 1.0, None, closed="left"), None],
        "fix_weights": [StrOptions({"equal"}), "boolean", "array-like"],
        "growth": [StrOptions({"auto"}), "boolean"],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "search": [StrOptions({"race", "restarts"})],
        "n_moves": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "init_params": [StrOptions(set(STARTS)), "array-like"],
        "weights_init": ["array-like", None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "learning_method": [StrOptions({"batch", "online", "incremental"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "learning_decay": [Interval(Real, 0.5, 1.0, closed="right")],
        "learning_offset": [Interval(Real, 1.0, None, closed="left")],
        "averaging_start": [Interval(Integral, 0, None, closed="left"), None],
        "forgetting_factor": [Interval(Real, 0.0, 1.0, closed="neither"), None],
        "half_life": [Interval(Real, 0.0, None, closed="neither"), None],
        "on_drift": [callable, None],
        "chunk_rows": [Interval(Integral, 1, None, closed="left"), None],
        "memory_limit": [Interval(Integral, 1, None, closed="left"), str, None],
        "checkpoint": [str, os.PathLike, None],
        "checkpoint_interval": [Interval(Real, 0.0, None, closed="left")],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "progress": ["boolean"],
    }

    n_components: int
    acceleration: str | None
    growth: str | bool
    weight_concentration_prior: float | None
    fix_weights: Any
    tol: float
    max_iter: int
    n_init: int
    search: str
    n_moves: int | str
    init_params: Any
    weights_init: Any
    random_state: Any
    warm_start: bool
    learning_method: str
    batch_size: int | None
    learning_decay: float
    learning_offset: float
    averaging_start: int | None
    forgetting_factor: float | None
    half_life: float | None
    on_drift: Callable[[Any], Any] | None
    chunk_rows: int | None
    memory_limit: int | str | None
    checkpoint: str | os.PathLike[str] | None
    checkpoint_interval: float
    verbose_interval: int
    progress: bool

    _needed: ClassVar[tuple[tuple[str, ...], ...]] = (("weights_",),)
    _structural: ClassVar[tuple[str, ...]] = ("n_components", "weight_concentration_prior", "fix_weights")

    n_features_in_: int
    weights_: np.ndarray
    fit_report_: FitReport

    # What partial_fit has learnt; None after any other fit.
    _stream: Stream | None = None
    # When the last checkpoint of it was written.
    _last_kept = -math.inf
    # How the last fit ended; what a fit that goes on from there is judged with.
    _ending: Ending | None = None

    def __init__(
        self,
        n_components: int = 1,
        *,
        acceleration: str | None = "auto",
        growth: str | bool = "auto",
        weight_concentration_prior: float | None = None,
        fix_weights: Any = False,
        tol: float = 1e-5,
        max_iter: int = 1000,
        n_init: int = 1,
        search: str = "race",
        n_moves: int | str = "auto",
        init_params: Any = "k-means++",
        weights_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        learning_method: str = "batch",
        batch_size: int | None = None,
        learning_decay: float = 0.6,
        learning_offset: float = 2.0,
        averaging_start: int | None = None,
        forgetting_factor: float | None = None,
        half_life: float | None = None,
        on_drift: Callable[[Any], Any] | None = None,
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
        self.acceleration = acceleration
        self.growth = growth
        self.weight_concentration_prior = weight_concentration_prior
        self.fix_weights = fix_weights
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.search = search
        self.n_moves = n_moves
        self.init_params = init_params
        self.weights_init = weights_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.learning_method = learning_method
        self.batch_size = batch_size
        self.learning_decay = learning_decay
        self.learning_offset = learning_offset
        self.averaging_start = averaging_start
        self.forgetting_factor = forgetting_factor
        self.half_life = half_life
        self.on_drift = on_drift
        self.chunk_rows = chunk_rows
        self.memory_limit = memory_limit
        self.checkpoint = checkpoint
        self.checkpoint_interval = checkpoint_interval
        self.n_threads = n_threads
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.progress = progress

    def __init_subclass__(cls, **options: Any) -> None:
        """Let the signature of a constructor name what it hands on as keywords: scikit-learn reads parameters there."""
        super().__init_subclass__(**options)
        own = inspect.signature(cls.__init__)
        handed = {p.kind for p in own.parameters.values()} & {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
        if not handed or "__init__" not in vars(cls):
            return
        kept = [p for p in own.parameters.values() if p.kind not in handed]
        names = {p.name for p in kept}
        base = inspect.signature(super(cls, cls).__init__).parameters
        shared = [p for name, p in base.items() if name not in names]
        if Parameter.VAR_KEYWORD not in handed:
            shared = [p for p in shared if p.kind is not p.KEYWORD_ONLY]
        if Parameter.VAR_POSITIONAL not in handed:
            shared = [p.replace(kind=p.KEYWORD_ONLY) for p in shared]
        parameters = sorted([*kept, *shared], key=lambda p: p.kind)
        cls.__init__.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]

    def __new__(cls, *arguments: Any, **settings: Any) -> Self:
        """Refuse unknown settings in the name of this class: those that it hands on would be in that of another."""
        known = inspect.signature(cls.__init__).parameters
        for name in settings:
            if name not in known:
                raise no_setting(cls.__name__, name, [other for other in known if other != "self"])
        return super().__new__(cls)

    def _validate_params(self) -> None:
        """Check each parameter by itself."""
        require_known_words(type(self).__name__, self._parameter_constraints, self.get_params(deep=False))
        super()._validate_params()

    # What the rows have in common.

    def _make_latent(self) -> Any:
        """The hidden structure, for a fit."""
        weights = None if self.weights_init is None else read_weights(self.weights_init, self.n_components)
        last = self._last_start()
        if weights is None and last is not None:
            weights = last.latent.weights
        return mixture_of(self, self.n_components, weights)

    def _latent_of(self, params: dict[str, np.ndarray]) -> Any:
        """The hidden structure that parameters of these names were fitted with."""
        return mixture_of(self, self.n_components, params["weights"])

    def _given_model(self, known: Known | None, changed: set[str]) -> Model:
        n_components, n_features = self._given_sizes(changed)
        if known is not None and self._fits(known.model, n_components, n_features, changed):
            return known.model
        if n_components != self.n_components:
            raise ValueError(
                f"{self._needed[0][0]} and the like were set for {n_components} components, but "
                f"n_components={self.n_components}. Call set_params(n_components={n_components}), too."
            )
        return Model(self._given_latent_structure(known, changed), self._given_family(n_features, n_components))

    def _fits(self, model: Model, n_components: int, n_features: int, changed: set[str]) -> bool:
        """Whether attributes that were set can be parameters of a model that is there."""
        return (n_components, n_features) == (model.latent.n_components, model.family.n_features)

    def _given_sizes(self, changed: set[str]) -> tuple[int, int]:
        """Numbers of components and of features that the attributes have."""
        raise NotImplementedError

    def _given_latent_structure(self, known: Known | None, changed: set[str]) -> Any:
        """The hidden structure of parameters that were set by hand, which no prior and no fit bound."""
        return Mixture(self.n_components)

    def _given_family(self, n_features: int, n_components: int) -> Any:
        """The family of parameters that were set by hand, which no data scaled."""
        return self._make_family(n_features, n_components)

    def _given_params(self, model: Model, changed: set[str]) -> Params:
        return Params(self._given_latent(model.latent), self._given_values(model.family, changed))

    def _given_latent(self, latent: Any) -> Any:
        """Parameters of the hidden structure that the attributes say."""
        return latent.params(read_weights(self.weights_, latent.n_components, "weights_"))

    def _given_values(self, family: Any, changed: set[str]) -> Any:
        """Parameters of the family that the attributes say."""
        raise NotImplementedError

    def _show_latent(self, params: Any) -> None:
        """Set the fitted attributes of the hidden structure."""
        self.weights_ = params.weights

    # What the constructor calls the largest number of iterations.
    _iterations: ClassVar[str] = "max_iter"

    # The family's part.

    def _make_family(self, n_features: int, n_components: int) -> Any:
        raise NotImplementedError

    def _family_of(self, source: Source) -> Any:
        """The family for rows of a source; one whose shape depends on their values reads them once."""
        return self._make_family(source.n_features, self.n_components)

    def _scaled_family(self, family: Any, stats: Any, n_rows: int) -> Any:
        """The family, adapted to so many rows of positive weight, whose one-component statistics are given."""
        raise NotImplementedError

    def _given_start(self, model: Model, params: Callable[[], Params]) -> Params:
        """First parameters: those that the user gave, completed by `params()`."""
        raise NotImplementedError

    def _show(self, params: Params) -> None:
        """Set the fitted attributes of the family."""
        raise NotImplementedError

    def _why_it_fell(self) -> str:
        """Why an iteration may lower the objective, and the remedy."""
        return "rounding. Subtract a constant from X, or divide it by one, so that its values are near one"

    # Fitting.

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, resume: bool = False) -> Self:
        """Estimate the parameters by expectation-maximisation.

        Parameters
        ----------
        X : array-like (N, D) or (N,), data frame, path, or whatever `fastem.open_source` reads
            Rows, of any real dtype and memory order; a memory map is read in place, and files are read
            piece by piece at each pass. One dimension stands for one feature. float32 stays float32.
        y : None
            Ignored.
        sample_weight : array-like (N,) or str, optional
            Non-negative weights, or the name of their column; a row of weight 2 counts as the row twice.
        resume : bool, default False
            Go on with the fit that `checkpoint` holds, to the same bits; where there is no such file yet, begin.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For unusable data, weights or parameters, naming the problem and the remedy. When a file fails in
            the middle of a fit, the model of the last whole iteration stays, here and in the checkpoint; before the
            first one, the estimator stays as it was.
        OSError
            For files that cannot be opened.

        Warns
        -----
        ConvergenceWarning
            When fitting stopped for another reason than convergence. A keyboard interrupt between
            iterations ends the fit in this way too, with the best parameters so far.
        """
        self._validate_params()
        self._require_sensible()
        with (
            self._all_or_nothing(self._has_iterated),
            running(self.n_threads, self.verbose, self._work()) as n_threads,
            holding_libraries(n_threads),
        ):
            source = read_rows(self, X, sample_weight, reset=True)
            heed_y(y, source.n_rows)
            source = in_chunks_of(source, rows_per_chunk(source, self.chunk_rows, self.memory_limit))
            order = RowOrder() if self.learning_method == "online" and source.parts() is None else None
            survey = self._survey(source, order)
            if order is not None and order.is_sorted():
                warnings.warn(_SORTED, UserWarning, stacklevel=2)
            best = self._fit(
                survey,
                source,
                self._learning(survey),
                self._starts(survey.model, source, survey.centre, strays=survey.strays),
                resume,
            )
        self._warn_unless_converged(best)
        self._warn_if_collapsed(survey)
        return self

    def _note_collapse(self, survey: Survey) -> None:
        """Tell in the report which components sit on a point or a plane, and which columns are constant."""
        rows = survey.excerpt
        found = collapsed(self._model, self._params, rows.X, rows.weight, survey.is_whole)
        constant = np.flatnonzero(np.all(rows.X[:1] == rows.X, axis=0)) if survey.is_whole else ()
        self.fit_report_ = replace(
            self.fit_report_,
            collapsed=tuple(CollapseNote(*each) for each in found),
            constant=tuple(int(column) for column in constant),
        )

    def _warn_if_collapsed(self, survey: Survey) -> None:
        """Warn of components that describe rows which agree."""
        notes = self.fit_report_.collapsed
        if notes:
            warnings.warn(
                f"{notes[0]}{f' (and {len(notes) - 1} more)' * (len(notes) > 1)}. Its likelihood has no bound, and "
                "tells nothing of the other rows. Ask for fewer components, or leave out rows or columns of one value.",
                ConvergenceWarning,
                stacklevel=3,
            )
        elif survey.is_whole and too_few_distinct(self.n_components, survey.excerpt.X):
            warnings.warn(
                f"There are fewer different rows than n_components={self.n_components}: some components describe the "
                "same ones. Ask for fewer components.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _fit(
        self,
        survey: Survey,
        source: Source,
        learning: Learning,
        starts: Starts,
        resume: bool = False,
    ) -> FitResult:
        """Improve every start, and publish the best."""
        self._stream = None
        checkpoint = Checkpoint(self, survey.model, digest_of(survey.digest, *self._layout(source)))
        new = Search(survey.n_rows, survey.weight, self._generator().bit_generator.state)
        search = checkpoint.read(new) if resume else new
        while search.best is None or len(search.runs) < starts.n:
            if search.current is None:
                generator = search.generator()
                start = starts.make(generator)
                search.begin(learning.begin(start.params), start.rescues, generator, start.chosen)
                if isinstance(search.current, FitState):
                    search.current.before = start.before
            result = self._run(survey.model, source, learning, search, checkpoint)
            unfinished, search = search, search.with_result(result)
            if result.reason in (Reason.INTERRUPTED, Reason.FAILED) or len(search.runs) == starts.n:
                self._publish(survey.model, search)
                self._note_collapse(survey)
                # A start that has not converged may be taken up again, with more iterations or mended data.
                checkpoint.write(search if result.reason is Reason.CONVERGED else unfinished)
                if result.error is not None:
                    raise result.error
                return result if result.reason is Reason.INTERRUPTED else search.best  # type: ignore[return-value]
        self._publish(survey.model, search)
        self._note_collapse(survey)
        return search.best

    def _layout(self, source: Any) -> tuple[Any, ...]:
        """What the result of a fit depends on in the order of rows."""
        return ()

    def _starting_attributes(self) -> dict[str, Any]:
        """Attributes that a fit starts from."""
        return {}

    def _run(
        self, model: Model, source: Source, learning: Learning, search: Search, checkpoint: Checkpoint
    ) -> FitResult:
        """Improve the start under way."""
        n_alarms = len(_alarms(search.current))

        def after_step() -> None:
            nonlocal n_alarms
            is_due, changed = checkpoint.is_due(), len(_alarms(search.current)) > n_alarms
            if is_due or changed:
                result = FitResult(search.current, Reason.INTERRUPTED, search.current.n_iter)
                self._publish(model, search.with_result(learning.shown(model, result, None)))
            if is_due:
                checkpoint.write(search)
            if changed:
                n_alarms = len(_alarms(search.current))
                self._tell_drift()

        seed = int(search.generator().integers(2**63))
        with following(
            self.verbose, self.verbose_interval, self.progress, self.tol, source.n_rows, after_step
        ) as follower:
            result = learning.run(model, source, search.current, seed, follower)
        try:
            is_done = result.reason in (Reason.CONVERGED, Reason.MAX_ITER)
            return learning.shown(model, result, source if is_done else None)
        except KeyboardInterrupt:
            return learning.shown(model, replace(result, reason=Reason.INTERRUPTED), None)
        except Exception as error:
            return learning.shown(model, replace(result, reason=Reason.FAILED, error=error), None)

    def _tell_drift(self) -> None:
        if self.on_drift is not None:
            self.on_drift(self)

    def _learning(self, survey: Survey) -> Learning:
        """How a start is improved."""
        if self.learning_method == "incremental":
            return IncrementalLearning(tol=self.tol, max_iter=self.max_iter)
        if self.learning_method == "batch":
            settings: dict[str, Any] = {"tol": self.tol, "max_iter": self.max_iter, "acceleration": self.acceleration}
            if self._may_grow():
                return GrowingLearning(**settings, sample_bytes=sample_bytes(self.memory_limit))
            return BatchLearning(**settings)
        return OnlineLearning(
            tol=self.tol, max_iter=self.max_iter, settings=self._online_settings(survey.model), weight=survey.weight,
            batch_size=self.batch_size,
        )  # fmt: skip

    def _may_grow(self) -> bool:
        """Whether many rows are fitted by samples first."""
        return self.growth is True or (self.growth == "auto" and self.acceleration is not None)

    def _online_settings(self, model: Model) -> OnlineSettings:
        step = step_of(self.learning_decay, self.learning_offset, self.forgetting_factor, self.half_life)
        return OnlineSettings(step, min_rows=model.family.n_features + 1.0, average_after=self.averaging_start)

    def _require_sensible(self) -> None:
        """Raise for parameters that do not go together."""
        if isinstance(self.memory_limit, str):
            parse_bytes(self.memory_limit)
        if self.checkpoint is not None:
            require_place(self.checkpoint)
        if self.forgetting_factor is not None and self.half_life is not None:
            raise ValueError("forgetting_factor and half_life say the same thing in two ways. Give one of them.")

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn from each row once, by online EM, and go on with the next call.

        The first rows are held back until there are enough different ones to start from (for each component ten,
        or two more than twice the number of features). After `fit`, `load` or `from_parameters`, learning goes on
        from the parameters. `fit_report_` tells how it goes; `converged_` and its like are only there after `fit`.

        Parameters
        ----------
        X : as in `fit`, or an iterator over arrays (N_i, D), data frames, or pairs of these and their weights (N_i,)
            An iterator may go on for ever; a keyboard interrupt ends it with what was learnt so far. An array or
            a data frame with an unusable value teaches nothing; rows of a file before that value do.
        y : None
            Ignored.
        sample_weight : array-like (N,) or str, optional

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For unusable data, weights or parameters, naming the problem and the remedy.

        Examples
        --------
        >>> import numpy as np
        >>> from fastem import GaussianMixture
        >>> random = np.random.default_rng(0)
        >>> mixture = GaussianMixture(2, random_state=0)
        >>> for _ in range(50):
        ...     _ = mixture.partial_fit(np.concatenate([random.normal(20, 5, 300), random.normal(40, 5, 700)]))
        >>> np.sort(mixture.means_[:, 0]).round().tolist()
        [20.0, 40.0]
        """
        self._validate_params()
        self._require_sensible()
        heed_y(y, None)
        if self._has_params():
            self._require_learnt_kind()
        if not isinstance(X, Iterator):
            self._learn_rows(X, sample_weight)
            self._keep_stream(self.checkpoint_interval)
            return self
        try:
            for rows, weight in items_of(X, sample_weight):
                self._learn_rows(rows, weight)
                self._keep_stream(self.checkpoint_interval)
        except KeyboardInterrupt:
            if not self._has_params():
                raise
        self._keep_stream(0.0)
        return self

    def _learn_rows(self, X: Any, sample_weight: Any) -> None:
        is_first = not self._has_params() and (self._stream is None or self._stream.n_rows == 0)
        with (
            self._all_or_nothing(),
            running(self.n_threads, self.verbose, self._work()) as n_threads,
            holding_libraries(n_threads),
        ):
            learn(self, read_rows(self, X, sample_weight, reset=is_first))

    def _keep_stream(self, interval: float) -> None:
        """Write a checkpoint of a stream when so many seconds have passed since the last one."""
        now = time.monotonic()
        if self.checkpoint is not None and self._has_params() and now - self._last_kept >= interval:
            self._write(self.checkpoint)
            self._last_kept = now

    def _survey(self, source: Source, order: RowOrder | None = None) -> Survey:
        """One pass that checks every value, and learns the scale of the data from one component, and their order."""
        family = self._family_of(source)
        look = look_over(source, [single_of(family)], order)[0]
        return self._surveyed(look, source, family)

    def _surveyed(self, look: Look, source: Source, family: Any) -> Survey:
        """The model for rows that were looked over."""
        if look.n_positive == 0:
            raise ValueError(NO_WEIGHT)
        if look.n_positive < self.n_components:
            raise ValueError(
                f"n_components={self.n_components} is larger than n_samples={look.n_positive}, the number of rows"
                f"{' of positive weight' if look.n_positive < look.n_rows else ''}. Ask for fewer components."
            )
        stats = look.stats
        if not all(np.all(np.isfinite(field)) for field in stats):
            for chunk in source.chunks():
                require_finite(chunk, source.labels)
            raise ValueError(
                "X holds values so large that their squares overflow. Divide X by a constant; values up to 1e150 work."
            )
        model = Model(self._make_latent(), self._scaled_family(family, look.scale, look.n_positive))
        centre = family.centre_of(look.scale)
        digest = digest_of(*stats, look.n_rows, look.n_positive, look.weight)
        return Survey(model, centre, look.n_rows, look.weight, look.excerpt, look.is_whole, digest, look.strays)

    def _last_start(self) -> Params | None:
        """The parameters of the last fit, where this one goes on from them."""
        return self._params if self.warm_start and self._has_params() else None

    def _starts(
        self,
        model: Model,
        source: Source,
        centre: np.ndarray,
        may_race: bool = True,
        strays: Strays | None = None,
    ) -> Starts:
        if self._last_start() is not None:
            # Taken now: a checkpoint publishes others.
            last, ending = _feasible(model, self._last_params(model)), self._ending
            return Starts(1, lambda random: Start(last, [], before=ending))
        n_raced = self.n_init if may_race and self.search == "race" else 1
        n_moves = self._most_moves(model, n_raced)

        # Later starts read what was set by hand, too, which a checkpoint hides.
        given = self._as_it_is()

        def make(random: np.random.Generator) -> Start:
            if n_raced == 1 and n_moves == 0:
                return given._start(model, source, source, centre, random, strays)
            sample = race_sample(source, model, random)
            if strays is not None and not model.latent.is_chain:
                sample = strays.put_into(sample)
            starts = [given._start(model, source, sample, centre, random, strays) for _ in range(n_raced)]
            is_whole = sample.n_rows == source.n_rows
            params, chosen = RaceTrack(model, sample, is_whole).run([start.params for start in starts], n_moves)
            return Start(params, starts[chosen.winner].rescues, chosen)

        return Starts(1 if n_raced > 1 else self.n_init, make)

    def _most_moves(self, model: Model, n_raced: int) -> int:
        """The most rounds of moves of a start."""
        if self.n_moves == "auto":
            return model.latent.n_components if n_raced > 1 and not _is_bound(model) else 0
        if self.n_moves and _is_bound(model):
            raise ValueError(
                f"n_moves={self.n_moves} would move components whose parameters are fixed. "
                "Use n_moves=0, or fix nothing."
            )
        return int(self.n_moves)

    def _start(
        self,
        model: Model,
        source: Source,
        drawn_from: Source,
        centre: np.ndarray,
        random: np.random.Generator,
        strays: Strays | None = None,
    ) -> Start:
        """One start, of all rows or of a sample of those that it is `drawn_from`, with far rows."""
        rescues: list[Rescue] = []

        def from_init_params() -> Params:
            if isinstance(self.init_params, str):
                if self.init_params == "quantile" and source.n_features > 1:
                    raise ValueError(
                        f"init_params='quantile' is for one feature, but X has {source.n_features}. "
                        "Use 'k-means++', or pass labels."
                    )
                sample = drawn_from.sample(sample_size(self.n_components, source.n_features), random)
                sample = sample if strays is None else strays.put_into(sample)
                params, found = start_from_sample(self.init_params, model, sample, random)
            else:
                responsibilities = self._given_responsibilities(source.n_rows or 0)
                params, found = start_from(model, source, responsibilities, centre)
            rescues.extend(found)
            return params

        return Start(_feasible(model, self._given_start(model, from_init_params)), rescues)

    def _last_params(self, model: Model) -> Params:
        kind, last = _kind(model), _kind(self._model)
        if kind != last:
            raise ValueError(
                f"warm_start=True continues from the last fit, but that was {last}, and this is {kind}. "
                "Use a new estimator, or warm_start=False."
            )
        return self._params

    def _require_learnt_kind(self) -> None:
        """Raise when parameters of the constructor say something else than what `partial_fit` goes on from."""
        known = self._model.family
        kind = _kind(Model(Mixture(self.n_components), self._make_family(known.n_features, self.n_components)))
        if kind != _kind(self._model):
            raise ValueError(
                f"partial_fit goes on from {_kind(self._model)}, but this is {kind}. Use a new estimator, or fit."
            )

    def _given_responsibilities(self, n_rows: int) -> Callable[[int, int], np.ndarray]:
        given = plain_array(self.init_params, "init_params")
        if given.shape == (n_rows,) and given.dtype.kind in "iu":
            if given.min() < 0 or given.max() >= self.n_components:
                raise ValueError(
                    f"Labels in init_params must be integers from 0 to n_components - 1 = {self.n_components - 1}, "
                    f"got values from {given.min()} to {given.max()}."
                )
            return lambda start, stop: one_hot(given[start:stop], self.n_components)
        if given.shape == (n_rows, self.n_components) and given.dtype.kind in "biuf":
            if not (np.all(np.isfinite(given)) and np.all(given >= 0)):
                raise ValueError("Responsibilities in init_params must be finite and not negative.")
            return lambda start, stop: np.asarray(given[start:stop], dtype=np.float64)
        raise ValueError(
            f"init_params must be one of {sorted(STARTS)}, integer labels of shape ({n_rows},), or responsibilities "
            f"of shape ({n_rows}, {self.n_components}); got an array of dtype {given.dtype} and shape {given.shape}."
        )

    def _publish(self, model: Model, search: Search) -> None:
        """Set the fitted attributes from the best start that is done."""
        result: FitResult = search.best  # type: ignore[assignment]
        self._adopt(model, result.params)
        self.converged_ = result.reason is Reason.CONVERGED
        self.stop_reason_ = str(result.reason)
        self.n_iter_ = result.n_iter
        self.lower_bound_ = result.objective
        self.lower_bounds_ = list(result.trace.objective)
        self._ending = result.state.ending(self.tol)
        schedule = search.best_schedule
        online = online_note(schedule) if isinstance(schedule, OnlineState) else None
        self.fit_report_ = report_on(search, model.family.constraints(), online)
        self.n_steps_ = result.n_iter if online is None else online.n_updates

    def _has_iterated(self) -> bool:
        """Whether what was published last is more than a start."""
        return getattr(self, "n_iter_", 0) > 0

    def _warn_unless_converged(self, result: FitResult) -> None:
        left = result.trace.remaining
        gain = "an unknown amount" if np.isnan(left) else f"about {left:.1e} nats per row"
        remedy = f"Increase {self._iterations} or tol, or start nearer with other init_params."
        if self.learning_method == "online":
            remedy = "Increase max_iter or tol; from here on learning_method='batch' with warm_start=True is quicker."
        message = {
            Reason.MAX_ITER: f"EM did not converge in {self._iterations}={self.max_iter} iterations: {gain} is left "
            f"to gain (tol={self.tol:g}). {remedy}",
            Reason.OBJECTIVE_FELL: f"EM stopped because an iteration lowered the objective by {result.trace.fall:.1e} "
            f"nats per row, and undid it: {self._why_it_fell()}.",
            Reason.INTERRUPTED: f"EM was interrupted after {result.n_iter} iterations: {gain} is left to gain. "
            "The model holds the best parameters so far; continue with "
            f"{'warm_start=True' if self.checkpoint is None else 'fit(..., resume=True)'}.",
        }.get(result.reason)
        is_asked_for = result.reason is Reason.MAX_ITER and self.max_iter == 0
        if message and not is_asked_for:
            warnings.warn(message, ConvergenceWarning, stacklevel=3)

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Fit the model, and return the most probable component of each row.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        labels : (N,) int64 ndarray
        """
        return self.fit(X, y, sample_weight=sample_weight).predict(X)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to a file that `fastem.load` reads: NumPy arrays and a JSON header, no pickle.

        Parameters
        ----------
        path : str or Path
            Of suffix ".npz". Written as a whole or not at all; an existing file is replaced, and keeps its mode. A
            symbolic link is followed.

        Raises
        ------
        ValueError
            For a place that cannot be written to, and for the suffix of another format.
        TypeError
            For a family of your own, which no file can hold. Pickle the estimator.
        """
        self._require_fitted()
        require_model_name(path)
        self._write(path)

    def _write(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model, whatever the file is called."""
        archive.save(self, Path(path))

    def plot(self, X: Any, ax: Any = None, **options: Any) -> Any:
        """Draw the fitted density over the data; see `fastem.plotting.density.plot_density`."""
        from fastem.plotting import plot_density

        return plot_density(self, X, ax=ax, **options)

    def plot_objective(self, ax: Any = None) -> Any:
        """Draw the objective against the iteration; see `fastem.plotting.fit.plot_objective`."""
        from fastem.plotting import plot_objective

        return plot_objective(self, ax=ax)


def _feasible(model: Model, params: Params) -> Params:
    """The parameters, with those that are fixed at their values."""
    return model.at_coordinates(model.coordinates(params)) if _is_bound(model) else params


def _is_bound(model: Model) -> bool:
    """Whether some parameters are fixed."""
    return model.latent.fixed_weights is not None or any("fixed" in name for name in model.family.constraints())


def _kind(model: Model) -> str:
    """What a model is made of, in words."""
    family = model.family
    return f"{type(family).__name__} with {model.latent.n_components} components and {family.n_features} features"


def _alarms(schedule: Any) -> tuple[float, ...]:
    return schedule.alarms if isinstance(schedule, OnlineState) else ()
