"""What a mixture with parameters can do: scores, predictions, criteria, samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError

from fastem.estimators._fitted import Fitted
from fastem.estimators._validation import heed_y, read_rows, rows_per_chunk
from fastem.sources import Chunk, Source, in_chunks_of

# Scores of this many rows are held at a time when only their sum is asked for.
_SCORE_ROWS = 2**18


class FittedMixture(Fitted):
    """A mixture with known parameters."""

    def _require_fitted(self) -> None:
        """Raise NotFittedError; it says how many rows `partial_fit` waits for."""
        stream = getattr(self, "_stream", None)
        if stream is not None and not self._has_params():
            raise NotFittedError(
                f"This {type(self).__name__} waits for rows: partial_fit has seen {stream.n_rows}, and needs at least "
                f"{stream.n_missing} more that are different before it can start."
            )
        super()._require_fitted()

    def _work(self) -> str:
        return f"fits mixtures of {self._distributions()}"

    def _rows(self, X: Any, sample_weight: Any = None) -> Source:
        self._require_fitted()
        source = read_rows(self, X, sample_weight, reset=False)
        return in_chunks_of(source, rows_per_chunk(source, self.memory_limit))

    def _score_rows(self, X: Any, what: str) -> np.ndarray:
        """What `Model.log_prob`, `Model.label` or `Model.posterior` says of all rows."""
        source = self._rows(X)
        if source.n_rows is None:
            parts = [scores for _, scores in self._scores(source, what)]
            return np.concatenate(parts) if parts else self._room(0, what)
        out = self._room(source.n_rows, what)
        for _ in self._scores(source, what, out):
            pass
        return out

    def _scores(self, source: Source, what: str, out: np.ndarray | None = None) -> Iterator[tuple[Chunk, np.ndarray]]:
        """Each chunk, and what is said of its rows: in their place in `out`, or in a new array."""
        for chunk in self._chunks(source):
            rows = slice(chunk.first_row, chunk.first_row + len(chunk))
            scores = self._room(len(chunk), what) if out is None else out[rows]
            with self._scoring():
                getattr(self._model, what)(self._params, chunk.X, scores)
            yield chunk, scores
            del chunk

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
        return self._score_rows(X, "log_prob")

    def predict(self, X: Any) -> np.ndarray:
        """Most probable component of each row.

        Parameters
        ----------
        X : array-like (N, D)

        Returns
        -------
        labels : (N,) int64 ndarray
        """
        return self._score_rows(X, "label")

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
        return self._score_rows(X, "posterior")

    def _weighted_sum(
        self, X: Any, sample_weight: Any, fill: Callable[[np.ndarray, np.ndarray], None]
    ) -> tuple[float, float]:
        """Sum over rows of weight * value, and of weight; `fill(X, values)` computes the values of some rows."""
        source = self._rows(X, sample_weight)
        total, weight = 0.0, 0.0
        values = np.empty(_SCORE_ROWS if source.n_rows is None else min(_SCORE_ROWS, source.n_rows))
        for chunk in self._chunks(source, _SCORE_ROWS):
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
        heed_y(y, None)
        return self.criteria(X, sample_weight)["score"]

    def criteria(self, X: Any, sample_weight: Any = None) -> dict[str, float]:
        """Score and information criteria, in one pass over X.

        Parameters
        ----------
        X, sample_weight
            As in `score`.

        Returns
        -------
        criteria : dict
            `weight` (the sum of the weights), `loglik`, `score`, `aic` and `bic`.
        """
        return self._criteria(*self._loglik(X, sample_weight))

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
        return self.criteria(X, sample_weight)["aic"]

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
        return self.criteria(X, sample_weight)["bic"]

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
        self._require_fitted()
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be a positive integer, got {n_samples!r}.")
        return self._model.sample(self._params, int(n_samples), self._generator())

    def plot(self, X: Any, ax: Any = None, **options: Any) -> Any:
        """Draw the fitted density over the data; see `fastem.plotting.density.plot_density`."""
        from fastem.plotting import plot_density

        return plot_density(self, X, ax=ax, **options)
