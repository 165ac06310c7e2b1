"""How every mixture is fitted: at once, or from rows as they come."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from fastem._naming import named
from fastem._options import Choice
from fastem.estimators._em import BaseEM
from fastem.estimators._fitted_mixture import FittedMixture
from fastem.estimators._known import Known
from fastem.estimators._validation import heed_y, read_rows
from fastem.fitting.archive import STORY
from fastem.fitting.fixed import FIXED
from fastem.fitting.memory import sample_bytes
from fastem.fitting.parameters import read_weights
from fastem.fitting.priors import WEIGHT_PRIORS, mixture_of
from fastem.fitting.report import report_on_stream
from fastem.fitting.spec import MakeStart, ModelSpec
from fastem.fitting.starting import LastParams, MixtureStart, given_responsibilities
from fastem.fitting.stream import FittedModel, Learner, Stream, items_of
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.schedules.batch import Batch
from fastem.schedules.online import OnlineState, estimate
from fastem.search.options import INIT
from fastem.sources import Source
from fastem.starts.start import STARTS


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

    def _given_weights(self) -> np.ndarray | None:
        return None if self.weights_init is None else read_weights(self.weights_init, self.n_components)

    def _make_latent(self) -> Any:
        weights = self._given_weights()
        last = self._last_start()
        if weights is None and last is not None:
            weights = last.latent.weights
        return mixture_of(self._option("prior"), self._option("fixed"), self.n_components, weights)

    def _latent_of(self, params: dict[str, np.ndarray]) -> Any:
        return mixture_of(self._option("prior"), self._option("fixed"), self.n_components, params["weights"])

    def _given_latent_structure(self, known: Known | None, changed: set[str]) -> Any:
        return MixtureLatent(self.n_components)

    def _given_latent(self, latent: Any) -> Any:
        return latent.params(read_weights(self.weights_, latent.n_components, "weights_"))

    def _show_latent(self, params: Any) -> None:
        self.weights_ = params.weights

    # Settings that give parts of a start.
    _given_parts: ClassVar[tuple[str, ...]] = ("weights_init",)

    # First parameters: those that the user gave, completed by those that a function returns.
    _given_start: Callable[[Model, Callable[[], Params]], Params]

    # Fitting.

    def _require_sensible(self) -> None:
        super()._require_sensible()
        name = type(self).__name__
        fixed, schedule, search = (self._option(setting) for setting in ("fixed", "schedule", "search"))
        for other in {*fixed.get_params()} - {*self._fixable}:
            if np.any(getattr(fixed, other)):
                raise ValueError(
                    f"{name} can fix {', '.join(self._fixable)}, not {other}. Leave {other} out of "
                    f"{named('fixed=Fixed(...)')}."
                )
        if isinstance(schedule, Batch) and schedule.bins is not None and not self._has_bins:
            raise ValueError(
                f"{named('bins')} are of GaussianMixture, not of {name}. Use {named('schedule=Batch(bins=None)')}."
            )
        if search.init != INIT:
            raise ValueError(
                f"init is an option of hidden Markov models, not of {name}. Use {named('init_params')} in the place of "
                f"{named(f'search={type(search).__name__}(init=...)')}."
            )

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, resume: bool = False) -> Self:
        """Estimate the parameters by expectation-maximisation.

        Parameters
        ----------
        X : array-like (N, D) or (N,), data frame, path, or whatever `fastem.open_source` reads
            Rows, of any real dtype and memory order; files are read piece by piece at each pass. One dimension stands
            for one feature. float32 stays float32.
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
            For unusable data, weights or parameters, naming the problem and the remedy. When a file fails in the middle
            of a fit, the model of the last whole iteration stays; before the first one, the estimator stays as it was.
        OSError
            For files that cannot be opened.

        Warns
        -----
        ConvergenceWarning
            When fitting stopped for another reason than convergence, such as a keyboard interrupt between iterations.
        """
        self._validate_params()
        self._require_sensible()

        def read() -> Source:
            source = read_rows(self, X, sample_weight, reset=True)
            heed_y(y, source.n_rows)
            return self._as_asked(source)

        return self._fit_to(read, resume)

    def _model_spec(self) -> ModelSpec:
        spec = super()._model_spec()
        # The parameters of the last fit are the only start.
        return spec if self._last_start() is None else replace(spec, n_init=1, races=False, swaps=0)

    def _sample_bytes(self) -> int:
        return sample_bytes(self.memory_limit)

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn from each row once, by online EM, and go on with the next call; see docs/streaming.md.

        The first rows are held back until there are enough different ones to start from. After `fit`, `load` or
        `from_parameters`, learning goes on from the parameters. `converged_` and its like are only there after `fit`.

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
        has_params = self._has_params()
        is_first = not has_params and (self._stream is None or self._stream.n_rows == 0)
        with self._fitting():
            source = self._as_asked(read_rows(self, X, sample_weight, reset=is_first))
            fitted = FittedModel(self._model, self._params, getattr(self, "fit_report_", None)) if has_params else None
            learner = Learner(self._model_spec(), fitted, self._publish_stream, self._notify_drift)
            self._stream = learner.begin(source, self._stream)
            learner.learn(source, self._stream)

    def _publish_stream(self, model: Model, stream: Stream) -> None:
        state: OnlineState = stream.state
        self._adopt(model, estimate(model, state))
        # A stream has no iterations over the same rows.
        for name in STORY:
            self.__dict__.pop(name, None)
        self.n_steps_ = state.n_updates
        self.fit_report_ = report_on_stream(model, state, stream.n_rows)

    def _keep_stream(self, at_once: bool = False) -> None:
        """Write a checkpoint of a stream: at once, or when enough time has passed since the last one."""
        checkpoint, now = self._option("checkpoint"), time.monotonic()
        if checkpoint is None or not self._has_params():
            return
        if at_once or now - self._last_kept >= checkpoint.every:
            self._write(checkpoint.path)
            self._last_kept = now

    def _last_start(self) -> Params | None:
        return self._params if self.warm_start and self._has_params() else None

    def _make_start(self) -> MakeStart:
        if self._last_start() is not None:
            return LastParams(self._last_params, self._ending)
        way = self.init_params
        if not isinstance(way, str):
            way = partial(given_responsibilities, self.init_params, self.n_components)
        is_free = all(getattr(self, name) is None for name in self._given_parts)
        return MixtureStart(way, self._given_start, is_free)

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
        kind = _kind(Model(MixtureLatent(self.n_components), self._make_family(known.n_features, self.n_components)))
        if kind != _kind(self._model):
            raise ValueError(
                f"partial_fit continues from {_kind(self._model)}, but this is {kind}. Use a new estimator, or fit."
            )

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Fit the model, as `fit` does, and return the most probable component (N,), int64, of each row."""
        return self.fit(X, y, sample_weight=sample_weight).predict(X)


def _kind(model: Model) -> str:
    family = model.family
    return f"{family.kind} with {model.latent.n_components} components and {family.n_features} features"
