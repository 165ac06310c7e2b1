"""How every mixture estimator is fitted: survey, starts, iterations, report. It knows no distribution."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions

from fastem.estimators._fitted import FittedMixture
from fastem.estimators._progress import watching
from fastem.estimators._report import RunNote, report_on
from fastem.estimators._running import holding_libraries, running
from fastem.estimators._validation import read_rows, require_finite
from fastem.executors.serial import sum_over
from fastem.init.given import one_hot, start_from
from fastem.init.start import STARTS, sample_size, start_from_sample
from fastem.latents.mixture import Mixture
from fastem.model import Model, Params
from fastem.schedules.batch import fit_batch
from fastem.schedules.result import FitResult, Reason, Watch
from fastem.sources import Source
from fastem.stats import ExpectedStats, Rescue


@dataclass(frozen=True)
class RowProblem:
    """A model and its data, as a schedule sees them."""

    model: Model
    source: Source

    def e_step(self, params: Params) -> ExpectedStats:
        return sum_over(self.source.chunks(), lambda: self.model.gathering(params))

    def m_step(self, stats: ExpectedStats) -> tuple[Params, list[Rescue]]:
        return self.model.m_step(stats)


class BaseMixture(FittedMixture):
    """A mixture of `n_components` distributions of one family, fitted by EM.

    A family's estimator says how to make the family (`_make_family`), how parts of the start may be
    given (`_given_start`), and which fitted attributes to show (`_show`).
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions(set(STARTS)), "array-like"],
        "weights_init": ["array-like", None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "progress": ["boolean"],
    }

    n_components: int
    tol: float
    max_iter: int
    n_init: int
    init_params: Any
    weights_init: Any
    random_state: Any
    warm_start: bool
    verbose_interval: int
    progress: bool

    n_features_in_: int
    weights_: np.ndarray

    # The family's part.

    def _make_family(self, n_features: int, n_components: int) -> Any:
        raise NotImplementedError

    def _scaled_family(self, family: Any, stats: Any) -> Any:
        """The family, adapted to data whose one-component statistics are given."""
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

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Estimate the parameters by expectation-maximisation.

        Parameters
        ----------
        X : array-like (N, D) or (N,), or pandas or polars data frame
            Rows, of any real dtype and memory order; a memory map is read in place. One dimension
            stands for one feature. float32 stays float32 in memory.
        y : None
            Ignored.
        sample_weight : array-like (N,), optional
            Non-negative weights; a row of weight 2 counts as the row twice.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For unusable data, weights or parameters, naming the problem and the remedy.

        Warns
        -----
        ConvergenceWarning
            When fitting stopped for another reason than convergence. A keyboard interrupt between
            iterations ends the fit in this way too, with the best parameters so far.
        """
        self._validate_params()
        work = f"fits mixtures of {self._distributions()}"
        with running(self.n_threads, self.verbose, work) as n_threads, holding_libraries(n_threads):
            best = self._fit(read_rows(self, X, sample_weight, reset=True))
        self._warn_unless_converged(best)
        return self

    def _fit(self, source: Source) -> FitResult:
        model, centre = self._survey(source)
        return self._fit_starts(self._problem(model, source), lambda random: self._start(model, source, centre, random))

    def _problem(self, model: Model, source: Source) -> RowProblem:
        """What a run is to solve; it has a `model`."""
        return RowProblem(model, source)

    def _fit_starts(
        self, problem: Any, first_params: Callable[[np.random.Generator], tuple[Params, list[Rescue]]]
    ) -> FitResult:
        """Run from each start, and publish the best."""
        random = self._generator()
        results: list[FitResult] = []
        start_rescues: list[list[Rescue]] = []
        for _ in range(self._n_starts()):
            start, rescues = first_params(random)
            with watching(self.verbose, self.verbose_interval, self.progress, self.max_iter) as watch:
                results.append(self._run(problem, start, watch))
            start_rescues.append(rescues)
            if results[-1].reason is Reason.INTERRUPTED:
                break
        best = max(range(len(results)), key=lambda run: results[run].objective)
        self._publish(problem.model, results, best, start_rescues[best])
        return results[best]

    def _run(self, problem: Any, start: Params, watch: Watch) -> FitResult:
        return fit_batch(problem, start, tol=self.tol, max_iter=self.max_iter, watch=watch)

    def _survey(self, source: Source) -> tuple[Model, np.ndarray]:
        """One pass that checks every value, and learns the scale of the data from one component."""
        first = next(source.chunks(max_rows=1))
        require_finite(first, getattr(self, "feature_names_in_", None))
        family = self._make_family(source.n_features, self.n_components)
        single = Model(Mixture(1), self._make_family(source.n_features, 1))
        centre = first.X[0].astype(np.float64)
        gathering = single.gathering(Params(single.latent.params(np.ones(1)), single.family.first_look(centre)))
        n_positive = 0
        for chunk in source.chunks():
            gathering.add_given(chunk, np.broadcast_to(np.float64(1.0), (len(chunk), 1)))
            n_positive += len(chunk) if chunk.weight is None else int(np.count_nonzero(chunk.weight))
        if n_positive < self.n_components:
            raise ValueError(
                f"n_components={self.n_components} is larger than n_samples={n_positive}, the number of rows"
                f"{' of positive weight' if n_positive < source.n_rows else ''}. Ask for fewer components."
            )
        stats = gathering.total().family
        if not all(np.all(np.isfinite(field)) for field in stats):
            for chunk in source.chunks():
                require_finite(chunk, getattr(self, "feature_names_in_", None))
            raise ValueError(
                "X holds values so large that their squares overflow. Divide X by a constant; values up to 1e150 work."
            )
        mean = centre + stats.sx[0] / stats.n[0]
        return Model(Mixture(self.n_components), self._scaled_family(family, stats)), mean

    def _n_starts(self) -> int:
        return 1 if self.warm_start and hasattr(self, "_params") else self.n_init

    def _start(
        self, model: Model, source: Source, centre: np.ndarray, random: np.random.Generator
    ) -> tuple[Params, list[Rescue]]:
        if self.warm_start and hasattr(self, "_params"):
            return self._last_params(model), []
        rescues: list[Rescue] = []

        def from_init_params() -> Params:
            if isinstance(self.init_params, str):
                if self.init_params == "quantile" and source.n_features > 1:
                    raise ValueError(
                        f"init_params='quantile' is for one feature, but X has {source.n_features}. "
                        "Use 'k-means++', or pass labels."
                    )
                sample = source.sample(sample_size(self.n_components, source.n_features), random)
                params, found = start_from_sample(self.init_params, model, sample, random)
            else:
                responsibilities = self._given_responsibilities(source.n_rows)
                params, found = start_from(model, source, responsibilities, centre)
            rescues.extend(found)
            return params

        return self._given_start(model, from_init_params), rescues

    def _last_params(self, model: Model) -> Params:
        kind, last = (
            f"{type(m.family).__name__} with {m.latent.n_components} components and {m.family.n_features} features"
            for m in (model, self._model)
        )
        if kind != last:
            raise ValueError(
                f"warm_start=True continues from the last fit, but that was {last}, and this is {kind}. "
                "Use a new estimator, or warm_start=False."
            )
        return self._params

    def _given_responsibilities(self, n_rows: int) -> Callable[[int, int], np.ndarray]:
        given = np.asarray(self.init_params)
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

    def _publish(self, model: Model, results: list[FitResult], best: int, start_rescues: list[Rescue]) -> None:
        result = results[best]
        self._model, self._params = model, result.params
        self.converged_ = result.reason is Reason.CONVERGED
        self.stop_reason_ = str(result.reason)
        self.n_iter_ = result.n_iter
        self.lower_bound_ = result.objective
        self.lower_bounds_ = list(result.trace.objective)
        constraints = {name: value.tolist() for name, value in model.family.constraints().items()}
        runs = [RunNote(r.objective, r.n_iter, str(r.reason)) for r in results]
        self.fit_report_ = report_on(result, runs, start_rescues, constraints)
        self.weights_ = result.params.latent.weights
        self._show(result.params)

    def _warn_unless_converged(self, result: FitResult) -> None:
        left = result.trace.remaining
        gain = "an unknown amount" if np.isnan(left) else f"about {left:.1e} nats per row"
        message = {
            Reason.MAX_ITER: f"EM did not converge in max_iter={self.max_iter} iterations: {gain} is left to gain "
            f"(tol={self.tol:g}). Increase max_iter or tol, or start nearer with other init_params.",
            Reason.OBJECTIVE_FELL: f"EM stopped because an iteration lowered the objective by {result.trace.fall:.1e} "
            f"nats per row, and undid it: {self._why_it_fell()}.",
            Reason.INTERRUPTED: f"EM was interrupted after {result.n_iter} iterations: {gain} is left to gain. "
            "The model holds the best parameters so far; continue with warm_start=True.",
        }.get(result.reason)
        if message:
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
        return self.fit(X, sample_weight=sample_weight).predict(X)
