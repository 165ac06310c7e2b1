"""How every mixture is fitted: at once, or from rows as they come."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from fastem.estimators._em import BaseEM, Start, Starts
from fastem.estimators._fitted_mixture import FittedMixture
from fastem.estimators._known import Known
from fastem.estimators._priors import mixture_of
from fastem.estimators._schedules import online_settings
from fastem.estimators._validation import heed_y, read_rows, read_weights, rows_per_chunk, sample_bytes
from fastem.estimators.options import Batch, Online
from fastem.estimators.options.base import Choice
from fastem.estimators.options.priors import FIXED, WEIGHT_PRIORS
from fastem.estimators.options.running import INIT
from fastem.fitting.strays import Strays
from fastem.fitting.stream import Stream, items_of, learn
from fastem.fitting.thread_limits import holding_libraries, running
from fastem.given import plain_array
from fastem.latents.mixture import Mixture
from fastem.model import Model, Params
from fastem.schedules.online import OnlineSettings
from fastem.schedules.result import FitResult
from fastem.sources import Source, in_chunks_of
from fastem.sources.shuffle import RowOrder
from fastem.starts.given import one_hot, start_from
from fastem.starts.start import STARTS, sample_size, start_from_sample
from fastem.stats import Rescue

_SORTED = (
    "The rows seem to be sorted, and they can be read from the start only, so that online EM cannot shuffle them: it "
    "will describe the last rows best. Use schedule='incremental', or a shuffled copy of the data."
)


class BaseMixture(FittedMixture, BaseEM):
    """A mixture of `n_components` distributions of one family.

    A family's estimator says, besides what `BaseEM` asks for, how parts of the start may be given (`_given_start`).
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseEM._parameter_constraints,
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "init_params": [StrOptions(set(STARTS)), "array-like"],
        "weights_init": ["array-like", None],
        "warm_start": ["boolean"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
    }
    _choices: ClassVar[dict[str, Choice]] = {**BaseEM._choices, "prior": WEIGHT_PRIORS, "fixed": FIXED}
    # Options of records that this kind of mixture has.
    _fixable: ClassVar[tuple[str, ...]] = ("weights",)
    _has_bins: ClassVar[bool] = False

    prior: Any
    fixed: Any
    init_params: Any
    weights_init: Any
    warm_start: bool

    _needed: ClassVar[tuple[tuple[str, ...], ...]] = (("weights_",),)
    _structural: ClassVar[tuple[str, ...]] = ("n_components", "prior", "fixed")

    weights_: np.ndarray

    # What partial_fit has learnt; None after any other fit.
    _stream: Stream | None = None
    # When the last checkpoint of it was written.
    _last_kept = -math.inf

    # What the rows have in common.

    def _make_latent(self) -> Any:
        weights = None if self.weights_init is None else read_weights(self.weights_init, self.n_components)
        last = self._last_start()
        if weights is None and last is not None:
            weights = last.latent.weights
        return mixture_of(self, self.n_components, weights)

    def _latent_of(self, params: dict[str, np.ndarray]) -> Any:
        return mixture_of(self, self.n_components, params["weights"])

    def _given_latent_structure(self, known: Known | None, changed: set[str]) -> Any:
        return Mixture(self.n_components)

    def _given_latent(self, latent: Any) -> Any:
        return latent.params(read_weights(self.weights_, latent.n_components, "weights_"))

    def _show_latent(self, params: Any) -> None:
        self.weights_ = params.weights

    def _given_start(self, model: Model, params: Callable[[], Params]) -> Params:
        """First parameters: those that the user gave, completed by `params()`."""
        raise NotImplementedError

    # Fitting.

    def _require_sensible(self) -> None:
        super()._require_sensible()
        name, fixed, schedule = type(self).__name__, self._option("fixed"), self._option("schedule")
        for other in {*fixed.get_params()} - {*self._fixable}:
            if np.any(getattr(fixed, other)):
                raise ValueError(f"{name} can fix {', '.join(self._fixable)}, not {other}. Leave it out of Fixed.")
        if isinstance(schedule, Batch) and schedule.bins is not None and not self._has_bins:
            raise ValueError(f"bins are of GaussianMixture, not of {name}. Use Batch(bins=None).")
        if self._option("search").init != INIT:
            raise ValueError(f"init is an option of hidden Markov models. {name} has init_params in its place.")

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
            source = in_chunks_of(source, rows_per_chunk(source, self.memory_limit))
            order = RowOrder() if isinstance(self._option("schedule"), Online) and source.parts() is None else None
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

    def _fit(self, *arguments: Any) -> FitResult:
        self._stream = None
        return super()._fit(*arguments)

    def _sample_bytes(self) -> int:
        return sample_bytes(self.memory_limit)

    def _online(self) -> Online:
        """How rows are learnt from as they come."""
        schedule = self._option("schedule")
        return schedule if isinstance(schedule, Online) else Online()

    def _online_settings(self, model: Model) -> OnlineSettings:
        return online_settings(self._online(), model)

    def _tell_drift(self) -> None:
        on_drift = self._online().on_drift
        if on_drift is not None:
            on_drift(self)

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
            self._keep_stream()
            return self
        try:
            for rows, weight in items_of(X, sample_weight):
                self._learn_rows(rows, weight)
                self._keep_stream()
        except KeyboardInterrupt:
            if not self._has_params():
                raise
        self._keep_stream(at_once=True)
        return self

    def _learn_rows(self, X: Any, sample_weight: Any) -> None:
        is_first = not self._has_params() and (self._stream is None or self._stream.n_rows == 0)
        with (
            self._all_or_nothing(),
            running(self.n_threads, self.verbose, self._work()) as n_threads,
            holding_libraries(n_threads),
        ):
            learn(self, read_rows(self, X, sample_weight, reset=is_first))

    def _keep_stream(self, at_once: bool = False) -> None:
        """Write a checkpoint of a stream: at once, or when enough time has passed since the last one."""
        checkpoint, now = self._option("checkpoint"), time.monotonic()
        if checkpoint is None or not self._has_params():
            return
        if at_once or now - self._last_kept >= checkpoint.every:
            self._write(checkpoint.path)
            self._last_kept = now

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
        if self._last_start() is None:
            return super()._starts(model, source, centre, may_race, strays)
        # Taken now: a checkpoint publishes others.
        last, ending = _feasible(model, self._last_params(model)), self._ending
        return Starts(1, lambda random: Start(last, [], before=ending))

    def _most_swaps(self, model: Model, n_raced: int) -> int:
        swaps = self._option("search").swaps
        if swaps == "auto":
            return model.latent.n_components if n_raced > 1 and not _is_bound(model) else 0
        if swaps and _is_bound(model):
            raise ValueError(
                f"swaps={swaps} would move components whose parameters are fixed. Use swaps=0, or fix nothing."
            )
        return int(swaps)

    def _start(
        self,
        model: Model,
        source: Source,
        drawn_from: Source,
        centre: np.ndarray,
        random: np.random.Generator,
        strays: Strays | None = None,
    ) -> Start:
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


def _feasible(model: Model, params: Params) -> Params:
    """The parameters, with those that are fixed at their values."""
    return model.at_coordinates(model.coordinates(params)) if _is_bound(model) else params


def _is_bound(model: Model) -> bool:
    """Whether some parameters are fixed."""
    return model.latent.fixed_weights is not None or any("fixed" in name for name in model.family.constraints())


def _kind(model: Model) -> str:
    """What a model is made of, in words."""
    family = model.family
    return f"{family.kind} with {model.latent.n_components} components and {family.n_features} features"
