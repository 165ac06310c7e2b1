"""How every estimator is fitted: scan, starts, iterations, report. It knows no distribution, nor what is hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions

from fastem._naming import named, warn
from fastem._options import Choice
from fastem.estimators._files import save
from fastem.estimators._fitted import Fitted
from fastem.estimators._known import Known
from fastem.fitting.checkpoint import CHECKPOINTS, Keeping, require_place
from fastem.fitting.memory import parse_bytes
from fastem.fitting.outcome import what_is_apart, why_collapsed, why_stopped
from fastem.fitting.report import FitReport, report_on
from fastem.fitting.run import Fit, Owner
from fastem.fitting.runs import Search
from fastem.fitting.scan import DataSummary
from fastem.fitting.spec import AUTO, MakeStart, ModelSpec, Starts
from fastem.fitting.strategy import SCHEDULES, strategy_of
from fastem.fitting.summary import summary_of
from fastem.fitting.thread_limits import blas_single_threaded, thread_limit
from fastem.model import Model, Params
from fastem.schedules.batch import Batch
from fastem.schedules.online import Online
from fastem.schedules.result import Ending, FitResult, Reason
from fastem.search.options import SEARCHES, Race
from fastem.search.sample_race import starts_of
from fastem.sources import Source
from fastem.sources.holdout import WithoutEmpty
from fastem.sources.shuffle import RowOrder

# Settings that say how a fit is run, and how a model is used: they may be others when a fit is gone on with.
_RUN = {
    "tol", "max_iter", "n_iter", "verbose", "verbose_interval", "n_threads", "checkpoint", "memory_limit", "on_drift",
    "algorithm", "warm_start", "missing",
}  # fmt: skip
_SORTED = (
    "The rows seem to be sorted, and they can be read from the start only, so that online EM cannot shuffle them: it "
    "will describe the last rows best."
)


# How online EM goes where no schedule says it.
_ONLINE = Online()


class BaseEM(Fitted):
    """A model of `n_components` distributions of one family, fitted by EM.

    What is hidden (`BaseMixture`, `BaseHMM`) says how to make the latent structure and a start; a family's estimator,
    how to make the family (`_make_family`), how parts of the start may be given, and which fitted attributes to show
    (`_show`). All that the engine is told is in `_model_spec`.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left"), StrOptions({AUTO})],
        "random_state": ["random_state"],
        "memory_limit": [Interval(Integral, 1, None, closed="left"), str, None],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "missing": [StrOptions({"mar", "error"})],
        "verbose": ["verbose"],
    }
    _choices: ClassVar[dict[str, Choice]] = {"schedule": SCHEDULES, "search": SEARCHES, "checkpoint": CHECKPOINTS}

    n_components: int
    tol: float
    max_iter: int
    n_init: int | str
    schedule: Any
    search: Any
    checkpoint: Any
    verbose_interval: int

    n_features_in_: int
    fit_report_: FitReport

    # How the last fit ended; what a fit that goes on from there is judged with.
    _ending: Ending | None = None

    # What is hidden: for a fit; of parameters of these names; of parameters that were set by hand, which nothing bound;
    # the parameters of it that the attributes say; and how a start is made.
    _make_latent: Callable[[], Any]
    _latent_of: Callable[[dict[str, np.ndarray]], Any]
    _given_latent_structure: Callable[[Known | None, set[str]], Any]
    _given_latent: Callable[[Any], Any]
    _make_start: Callable[[], MakeStart]

    # The family: of a size (features, components); adapted to data of these one-component statistics, and so many rows
    # of positive weight. The size that the attributes have, and their parameters of the family.
    _make_family: Callable[[int, int], Any]
    _scaled_family: Callable[[Any, Any, int], Any]
    _given_sizes: Callable[[set[str]], tuple[int, int]]
    _given_values: Callable[[Any, set[str]], Any]

    # What the constructor calls the largest number of iterations.
    _iterations: ClassVar[str] = "max_iter"

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

    def _given_family(self, n_features: int, n_components: int) -> Any:
        """The family of parameters that were set by hand, which no data scaled."""
        return self._make_family(n_features, n_components)

    def _given_params(self, model: Model, changed: set[str]) -> Params:
        return Params(self._given_latent(model.latent), self._given_values(model.family, changed))

    def _family_of(self, source: Source) -> Any:
        """The family for rows of a source; one whose shape depends on their values reads them once."""
        return self._make_family(source.n_features, self.n_components)

    def _why_it_decreased(self) -> str:
        """Why an iteration may lower the objective, and the remedy."""
        return "rounding. Subtract a constant from X, or divide it by one, so that its values are near one"

    # Fitting.

    def _require_sensible(self) -> None:
        if isinstance(self.memory_limit, str):
            parse_bytes(self.memory_limit)
        checkpoint = self._option("checkpoint")
        if checkpoint is not None:
            require_place(checkpoint.path)

    def _model_spec(self) -> ModelSpec:
        """What the engine is to fit, as the settings and attributes are now: later ones do not reach it."""
        given, online = self._as_it_is(), self._online()
        schedule, search, checkpoint = (self._option(name) for name in ("schedule", "search", "checkpoint"))
        is_batch, sample_bytes = isinstance(schedule, Batch), self._sample_bytes()
        return ModelSpec(
            n_components=self.n_components,
            make_latent=given._make_latent,
            make_family=given._family_of,
            scale_family=given._scaled_family,
            make_start=given._make_start(),
            make_learning=partial(
                strategy_of,
                schedule,
                tol=self.tol,
                max_iter=self.max_iter,
                sample_bytes=sample_bytes,
                precision=self._precision(),
            ),
            online=lambda model: online.settings(model.family.n_features),
            generator=self._generator,
            tol=self.tol,
            max_iter=self.max_iter,
            # Iterations of a race would leave nothing to learn from rows as they come.
            n_init=1 if self.n_init == AUTO and isinstance(schedule, Online) else self.n_init,
            races=isinstance(search, Race),
            swaps=search.swaps,
            acceleration=schedule.acceleration if is_batch else None,
            samples=schedule.sampling() if is_batch else None,
            sample_bytes=sample_bytes,
            batch_size=online.batch_size,
            keeping=None if checkpoint is None else Keeping(checkpoint.path, checkpoint.every, self._binding()),
            verbose=self.verbose,
            verbose_interval=self.verbose_interval,
        )

    def _sample_bytes(self) -> int:
        """Most memory of samples that fits of many rows begin on; zero where there are none."""
        return 0

    def _precision(self) -> str:
        """The arithmetic of a fit: "float64", or "auto", for families that know better of float32 rows."""
        return "float64"

    def _online(self) -> Online:
        schedule = self._option("schedule")
        return schedule if isinstance(schedule, Online) else _ONLINE

    def _binding(self) -> dict[str, Any]:
        """All that the result of a fit depends on: settings, and attributes that it starts from."""
        settings = {name: value for name, value in self._spelt_out().items() if not {*name.split("__")} & _RUN}
        # A generator has moved on; its state is kept with the search.
        if not isinstance(settings.get("random_state"), int | np.integer):
            settings.pop("random_state", None)
        return settings | self._starting_attributes()

    def _starting_attributes(self) -> dict[str, Any]:
        return {}

    @contextmanager
    def _fitting(self, work: str | None = None, is_better: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """What surrounds a fit, whose `work` is told; see `_all_or_nothing`."""
        with (
            self._all_or_nothing(is_better),
            thread_limit(self.n_threads, self.verbose, work or self._work()) as n_threads,
            blas_single_threaded(n_threads),
        ):
            yield

    def _fit_to(self, read: Callable[[], Source], resume: bool) -> Self:
        """Fit to the rows, or the sequences, that `read` returns."""
        # Before the first iteration there is nothing better than parameters that were there.
        with self._fitting(is_better=lambda: getattr(self, "n_iter_", 0) > 0):
            source, spec = read(), self._model_spec()
            is_shuffled = isinstance(self._option("schedule"), Online) and source.parts() is None
            order = RowOrder() if is_shuffled else None
            summary = summary_of(spec, source, order)
            if order is not None and order.is_sorted():
                other = named("schedule='incremental'")
                warn(f"{_SORTED} Use {other}, or a shuffled copy of the data.", UserWarning)
            if summary.missing is not None and summary.missing.n_empty and not summary.model.latent.is_chain:
                source = WithoutEmpty(source)
            best = self._fit(spec, summary, source, starts_of(spec, summary, source), resume)
        self._warn_of(best)
        self._warn_if_collapsed(summary)
        apart = what_is_apart(self.fit_report_.missing, source.labels)
        if apart and summary.model.family.groups_patterns:
            warn(apart, UserWarning)
        return self

    def _fit(
        self, spec: ModelSpec, summary: DataSummary, source: Any, starts: Starts, resume: bool = False
    ) -> FitResult:
        """Improve every start, and publish the best."""
        owner = Owner(self._publish, partial(save, self), self._notify_drift)
        return Fit(spec, summary, source, owner).run(starts, resume)

    def _notify_drift(self) -> None:
        on_drift = self._online().on_drift
        if on_drift is not None:
            on_drift(self)

    def _publish(self, model: Model, search: Search, summary: DataSummary | None = None) -> None:
        """Set the fitted attributes from the best start that is done."""
        result: FitResult = search.best  # type: ignore[assignment]
        self.__dict__.pop("_stream", None)
        self._adopt(model, result.params)
        self.converged_ = result.reason is Reason.CONVERGED
        self.stop_reason_ = str(result.reason)
        self.n_iter_ = result.n_iter
        self.lower_bound_ = result.objective
        self.lower_bounds_ = list(result.trace.objective)
        self._ending = result.state.ending(self.tol)
        self.fit_report_ = report_on(search, model, summary)
        online = self.fit_report_.online
        self.n_steps_ = result.n_iter if online is None else online.n_updates

    def _warn_of(self, result: FitResult) -> None:
        message = why_stopped(
            result,
            f"{named(self._iterations)}={self.max_iter}",
            self.tol,
            is_online=isinstance(self._option("schedule"), Online),
            more="warm_start=True" if self.checkpoint is None else "fit(..., resume=True)",
            decreased=self._why_it_decreased(),
        )
        is_asked_for = result.reason is Reason.MAX_ITER and self.max_iter == 0
        if message and not is_asked_for:
            warn(message, ConvergenceWarning)

    def _warn_if_collapsed(self, summary: DataSummary) -> None:
        message = why_collapsed(self.fit_report_.collapsed, self.n_components, summary)
        if message:
            warn(message, ConvergenceWarning)
