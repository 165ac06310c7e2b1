"""How every estimator is fitted: survey, starts, iterations, report. It knows no distribution, nor what is hidden."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval

from fastem.estimators._fitted import Fitted
from fastem.estimators._known import Known
from fastem.estimators._schedules import learning_of
from fastem.estimators._validation import NO_WEIGHT, parse_bytes
from fastem.estimators.options import Online, Race
from fastem.estimators.options.base import Choice
from fastem.estimators.options.running import CHECKPOINTS, SEARCHES
from fastem.estimators.options.schedules import SCHEDULES
from fastem.fitting.batch import Learning
from fastem.fitting.checkpoint import CheckpointFile, digest_of, require_place
from fastem.fitting.checks import require_finite
from fastem.fitting.collapse import collapsed, too_few_distinct
from fastem.fitting.notes import RaceNote
from fastem.fitting.online import online_note
from fastem.fitting.progress import following
from fastem.fitting.report import CollapseNote, FitReport, report_on
from fastem.fitting.runs import Search
from fastem.fitting.scan import Look, Survey, look_over, single_of
from fastem.fitting.strays import Strays
from fastem.model import Model, Params
from fastem.schedules.online import OnlineState
from fastem.schedules.result import Ending, FitResult, FitState, Reason
from fastem.search.sample_race import RaceTrack, race_sample
from fastem.sources import Source
from fastem.sources.shuffle import RowOrder
from fastem.stats import Rescue


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


class BaseEM(Fitted):
    """A model of `n_components` distributions of one family, fitted by EM.

    What is hidden (`BaseMixture`, `BaseHMM`) says how to make the latent structure; a family's estimator, how to make
    the family (`_make_family`), how parts of the start may be given, and which fitted attributes to show (`_show`).
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "memory_limit": [Interval(Integral, 1, None, closed="left"), str, None],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "verbose": ["verbose"],
    }
    _choices: ClassVar[dict[str, Choice]] = {"schedule": SCHEDULES, "search": SEARCHES, "checkpoint": CHECKPOINTS}

    n_components: int
    tol: float
    max_iter: int
    n_init: int
    schedule: Any
    search: Any
    checkpoint: Any
    verbose_interval: int

    n_features_in_: int
    fit_report_: FitReport

    # How the last fit ended; what a fit that goes on from there is judged with.
    _ending: Ending | None = None

    # What is hidden.

    def _make_latent(self) -> Any:
        """The hidden structure, for a fit."""
        raise NotImplementedError

    def _latent_of(self, params: dict[str, np.ndarray]) -> Any:
        """The hidden structure that parameters of these names were fitted with."""
        raise NotImplementedError

    def _given_latent_structure(self, known: Known | None, changed: set[str]) -> Any:
        """The hidden structure of parameters that were set by hand, which no prior and no fit bound."""
        raise NotImplementedError

    def _given_latent(self, latent: Any) -> Any:
        """Parameters of the hidden structure that the attributes say."""
        raise NotImplementedError

    def _start(
        self,
        model: Model,
        source: Any,
        drawn_from: Any,
        centre: np.ndarray,
        random: np.random.Generator,
        strays: Strays | None = None,
    ) -> Start:
        """One start, of all rows or of a sample of those that it is `drawn_from`, with far rows."""
        raise NotImplementedError

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

    def _given_family(self, n_features: int, n_components: int) -> Any:
        """The family of parameters that were set by hand, which no data scaled."""
        return self._make_family(n_features, n_components)

    def _given_params(self, model: Model, changed: set[str]) -> Params:
        return Params(self._given_latent(model.latent), self._given_values(model.family, changed))

    def _given_values(self, family: Any, changed: set[str]) -> Any:
        """Parameters of the family that the attributes say."""
        raise NotImplementedError

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

    def _show(self, params: Params) -> None:
        """Set the fitted attributes of the family."""
        raise NotImplementedError

    def _why_it_fell(self) -> str:
        """Why an iteration may lower the objective, and the remedy."""
        return "rounding. Subtract a constant from X, or divide it by one, so that its values are near one"

    # Fitting.

    def _require_sensible(self) -> None:
        """Raise for settings that do not go together."""
        if isinstance(self.memory_limit, str):
            parse_bytes(self.memory_limit)
        checkpoint = self._option("checkpoint")
        if checkpoint is not None:
            require_place(checkpoint.path)

    def _learning(self, survey: Survey) -> Learning:
        """How a start is improved."""
        return learning_of(
            self._option("schedule"), survey, tol=self.tol, max_iter=self.max_iter, sample_bytes=self._sample_bytes()
        )

    def _sample_bytes(self) -> int:
        """Most memory of samples that fits of many rows begin on; zero where there are none."""
        return 0

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
        checkpoint = self._checkpoint_file(survey.model, digest_of(survey.digest, *self._layout(source)))
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

    def _checkpoint_file(self, model: Model, data: str) -> CheckpointFile:
        record = self._option("checkpoint")
        return CheckpointFile(self, model, data, *(() if record is None else (record.path, record.every)))

    def _layout(self, source: Any) -> tuple[Any, ...]:
        """What the result of a fit depends on in the order of rows."""
        return ()

    def _starting_attributes(self) -> dict[str, Any]:
        """Attributes that a fit starts from."""
        return {}

    def _run(
        self, model: Model, source: Source, learning: Learning, search: Search, checkpoint: CheckpointFile
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
        with following(self.verbose, self.verbose_interval, self.tol, source.n_rows, after_step) as follower:
            result = learning.run(model, source, search.current, seed, follower)
        try:
            is_done = result.reason in (Reason.CONVERGED, Reason.MAX_ITER)
            return learning.shown(model, result, source if is_done else None)
        except KeyboardInterrupt:
            return learning.shown(model, replace(result, reason=Reason.INTERRUPTED), None)
        except Exception as error:
            return learning.shown(model, replace(result, reason=Reason.FAILED, error=error), None)

    def _tell_drift(self) -> None:
        """Call what the schedule calls when rows have changed."""

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

    def _starts(
        self,
        model: Model,
        source: Source,
        centre: np.ndarray,
        may_race: bool = True,
        strays: Strays | None = None,
    ) -> Starts:
        n_raced = self.n_init if may_race and isinstance(self._option("search"), Race) else 1
        n_swaps = self._most_swaps(model, n_raced)

        # Later starts read what was set by hand, too, which a checkpoint hides.
        given = self._as_it_is()

        def make(random: np.random.Generator) -> Start:
            if n_raced == 1 and n_swaps == 0:
                return given._start(model, source, source, centre, random, strays)
            sample = race_sample(source, model, random)
            if strays is not None and not model.latent.is_chain:
                sample = strays.put_into(sample)
            starts = [given._start(model, source, sample, centre, random, strays) for _ in range(n_raced)]
            is_whole = sample.n_rows == source.n_rows
            params, chosen = RaceTrack(model, sample, is_whole).run([start.params for start in starts], n_swaps)
            return Start(params, starts[chosen.winner].rescues, chosen)

        return Starts(1 if n_raced > 1 else self.n_init, make)

    def _most_swaps(self, model: Model, n_raced: int) -> int:
        """The most rounds of swaps of a start."""
        return 0

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
        if isinstance(self._option("schedule"), Online):
            remedy = "Increase max_iter or tol; from here on schedule='batch' with warm_start=True is quicker."
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


def _alarms(schedule: Any) -> tuple[float, ...]:
    return schedule.alarms if isinstance(schedule, OnlineState) else ()
