"""What a mixture with parameters can do: scores, predictions, criteria, samples."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from fastem.estimators._running import running
from fastem.estimators._validation import read_rows, require_finite
from fastem.model import Model, Params
from fastem.rows import plain
from fastem.sources import Source

# Scores of this many rows are held at a time when only their sum is asked for.
_SCORE_ROWS = 2**18


class FittedMixture(DensityMixin, BaseEstimator):
    """A mixture with known parameters, `_params` of a `_model`, whether they were fitted or given."""

    random_state: Any
    n_threads: int | None
    verbose: int

    _model: Model
    _params: Params

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if hasattr(self, "_params"):
            self._params = Params(*(_writable(record) for record in self._params))

    def _distributions(self) -> str:
        """What the mixture is made of, in words."""
        raise NotImplementedError

    def _scoring(self) -> AbstractContextManager[int | None]:
        """What surrounds the passes of a score or a prediction."""
        return running(self.n_threads, self.verbose, f"scores rows under {self._distributions()}")

    def _generator(self) -> np.random.Generator:
        """A source of randomness that follows `random_state`."""
        return np.random.default_rng(check_random_state(self.random_state).randint(2**32, dtype=np.uint64))

    def _rows(self, X: Any, sample_weight: Any = None) -> Source:
        check_is_fitted(self)
        return read_rows(self, X, sample_weight, reset=False)

    def _score_rows(self, source: Source, fill: Callable[..., None], out: np.ndarray) -> np.ndarray:
        with self._scoring():
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
        return self._score_rows(
            source, self._model.posterior, np.empty((source.n_rows, self._model.latent.n_components))
        )

    def _weighted_sum(
        self, X: Any, sample_weight: Any, fill: Callable[[np.ndarray, np.ndarray], None]
    ) -> tuple[float, float]:
        """Sum over rows of weight * value, and of weight; `fill(X, values)` computes the values of some rows."""
        source = self._rows(X, sample_weight)
        total, weight = 0.0, 0.0
        values = np.empty(min(_SCORE_ROWS, source.n_rows))
        for chunk in source.chunks(max_rows=_SCORE_ROWS):
            require_finite(chunk, getattr(self, "feature_names_in_", None))
            part = values[: len(chunk)]
            with self._scoring():
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
        step = max(1, _SCORE_ROWS // self._model.latent.n_components)
        for start in range(0, X.shape[0], step):
            part = X[start : start + step]
            resp = np.empty((part.shape[0], self._model.latent.n_components))
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
        return self._model.sample(self._params, int(n_samples), self._generator())


def _writable(record: Any) -> Any:
    """A record whose arrays may be written; others (joblib maps a model into memory) would compile kernels again."""
    return type(record)(*(plain(field) for field in record))
