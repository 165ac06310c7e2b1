"""What every mixture estimator shares: fit, scores, predictions, criteria. It knows no distribution."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from fastem.estimators._progress import watching
from fastem.estimators._report import RunNote, report_on
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

# Scores of this many rows are held at a time when only their sum is asked for.
_SCORE_ROWS = 2**18


@dataclass(frozen=True)
class _Problem:
    """A model and its data, as a schedule sees them."""

    model: Model
    source: Source

    def e_step(self, params: Params) -> ExpectedStats:
        return sum_over(self.source.chunks(), lambda: self.model.gathering(params))

    def m_step(self, stats: ExpectedStats) -> tuple[Params, list[Rescue]]:
        return self.model.m_step(stats)


class BaseMixture(DensityMixin, BaseEstimator):
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
    verbose: int
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
        source = read_rows(self, X, sample_weight, reset=True)
        model, centre = self._survey(source)
        random = np.random.default_rng(check_random_state(self.random_state).randint(2**32, dtype=np.uint64))
        problem = _Problem(model, source)
        results: list[FitResult] = []
        start_rescues: list[list[Rescue]] = []
        for _ in range(self._n_starts()):
            start, rescues = self._start(model, source, centre, random)
            with watching(self.verbose, self.verbose_interval, self.progress, self.max_iter) as watch:
                results.append(self._run(problem, start, watch))
            start_rescues.append(rescues)
            if results[-1].reason is Reason.INTERRUPTED:
                break
        best = max(range(len(results)), key=lambda run: results[run].objective)
        self._publish(model, results, best, start_rescues[best])
        self._warn_unless_converged(results[best])
        return self

    def _run(self, problem: _Problem, start: Params, watch: Watch) -> FitResult:
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
            if self._params.family.means.shape != (self.n_components, source.n_features):
                raise ValueError(
                    "warm_start=True continues from the last fit, which had another number of components or features: "
                    f"{self._params.family.means.shape} instead of {(self.n_components, source.n_features)}. "
                    "Use a new estimator, or warm_start=False."
                )
            return self._params, []
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
            "nats per row, and undid it: reg_covar widens covariances beyond the likelihood's maximum. "
            "Use reg_covar=0 (covariance_floor keeps components proper) or a smaller one.",
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

    # Using a fitted model.

    def _rows(self, X: Any, sample_weight: Any = None) -> Source:
        check_is_fitted(self)
        return read_rows(self, X, sample_weight, reset=False)

    def _score_rows(self, source: Source, fill: Callable[..., None], out: np.ndarray) -> np.ndarray:
        for chunk in source.chunks():
            require_finite(chunk, getattr(self, "feature_names_in_", None))
            fill(self._params, chunk.X, out[chunk.first_row : chunk.first_row + len(chunk)])
        return out

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-likelihood of each row.

        Parameters
        ----------
        X : array-like (N, D)

        Returns
        -------
        log_prob : (N,) float64 ndarray
            In nats.
        """
        source = self._rows(X)
        return self._score_rows(source, self._model.log_prob, np.empty(source.n_rows))

    def predict(self, X: Any) -> np.ndarray:
        """Most probable component of each row.

        Parameters
        ----------
        X : array-like (N, D)

        Returns
        -------
        labels : (N,) int64 ndarray
        """
        source = self._rows(X)
        return self._score_rows(source, self._model.label, np.empty(source.n_rows, dtype=np.int64))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each component, given each row.

        Parameters
        ----------
        X : array-like (N, D)

        Returns
        -------
        resp : (N, K) float64 ndarray
            Rows sum to one; all zeros for a row that has density zero under every component.
        """
        source = self._rows(X)
        return self._score_rows(source, self._model.posterior, np.empty((source.n_rows, self.n_components)))

    def _weighted_sum(self, X: Any, sample_weight: Any, fill: Callable[[np.ndarray, np.ndarray], None]) -> tuple:
        """Sum over rows of weight * value, and of weight; `fill(X, values)` computes the values of some rows."""
        source = self._rows(X, sample_weight)
        total, weight = 0.0, 0.0
        values = np.empty(min(_SCORE_ROWS, source.n_rows))
        for chunk in source.chunks(max_rows=_SCORE_ROWS):
            require_finite(chunk, getattr(self, "feature_names_in_", None))
            part = values[: len(chunk)]
            fill(chunk.X, part)
            if chunk.weight is not None:
                part = np.multiply(part, chunk.weight, out=part, where=chunk.weight > 0)
                part[chunk.weight == 0] = 0.0
            total += part.sum()
            weight += len(chunk) if chunk.weight is None else chunk.weight.sum()
        return float(total), float(weight)

    def _loglik(self, X: Any, sample_weight: Any) -> tuple[float, float]:
        return self._weighted_sum(X, sample_weight, lambda rows, out: self._model.log_prob(self._params, rows, out))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log-likelihood per row (per unit of weight), in nats.

        Parameters
        ----------
        X : array-like (N, D)
        y : None
            Ignored.
        sample_weight : array-like (N,), optional

        Returns
        -------
        score : float
        """
        loglik, weight = self._loglik(X, sample_weight)
        return loglik / weight

    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Akaike's information criterion on X: -2 loglik + 2 parameters. Lower is better.

        Parameters
        ----------
        X : array-like (N, D)
        sample_weight : array-like (N,), optional

        Returns
        -------
        aic : float
        """
        loglik, _ = self._loglik(X, sample_weight)
        return -2.0 * loglik + 2.0 * self._model.n_parameters()

    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Bayesian information criterion on X: -2 loglik + parameters * log(N). Lower is better.

        Parameters
        ----------
        X : array-like (N, D)
        sample_weight : array-like (N,), optional
            N is the sum of the weights.

        Returns
        -------
        bic : float
        """
        loglik, weight = self._loglik(X, sample_weight)
        return -2.0 * loglik + self._model.n_parameters() * float(np.log(weight))

    def icl(self, X: Any, sample_weight: Any = None) -> float:
        """Integrated completed likelihood on X: BIC - 2 sum log p(label | row). Lower is better.

        It punishes overlap, and so counts clusters rather than components.

        Parameters
        ----------
        X : array-like (N, D)
        sample_weight : array-like (N,), optional

        Returns
        -------
        icl : float

        References
        ----------
        Biernacki, Celeux & Govaert (2000), IEEE Trans. PAMI 22, 719-725, with each row's most
        probable component for its label, as mclust does.
        """
        doubt, _ = self._weighted_sum(X, sample_weight, self._label_doubt)
        return self.bic(X, sample_weight) + 2.0 * doubt

    def _label_doubt(self, X: np.ndarray, out: np.ndarray) -> None:
        """Set `out` to -log p(most probable component | row)."""
        step = max(1, _SCORE_ROWS // self.n_components)
        for start in range(0, X.shape[0], step):
            part = X[start : start + step]
            resp = np.empty((part.shape[0], self.n_components))
            self._model.posterior(self._params, part, resp)
            # An impossible row belongs to no component; no label of it is doubted.
            highest = resp.max(axis=1)
            out[start : start + step] = -np.log(np.where(highest > 0, highest, 1.0))

    def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows from the fitted distribution.

        Parameters
        ----------
        n_samples : int, default 1

        Returns
        -------
        X : (n_samples, D) float64 ndarray
        y : (n_samples,) int64 ndarray
            The component of each row.

        Notes
        -----
        An integer `random_state` gives the same rows at each call.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be a positive integer, got {n_samples!r}.")
        random = np.random.default_rng(check_random_state(self.random_state).randint(2**32, dtype=np.uint64))
        return self._model.sample(self._params, int(n_samples), random)
