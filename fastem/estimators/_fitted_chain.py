"""What a hidden Markov model with parameters can do, with hmmlearn's names: scores, paths, probabilities, samples."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from fastem._text import unknown_choice
from fastem.estimators._imputing import Conditional, Imputes
from fastem.estimators._validation import WEIGHTED, are_fractions, heed_y, read_rows
from fastem.fitting.criteria import criteria_of
from fastem.fitting.listed import is_list_of_sequences, join_sequences, sizes_of
from fastem.fitting.scores import weighted
from fastem.fitting.summary import NO_WEIGHT
from fastem.given import floats, plain_array
from fastem.latents.hmm import stationary_distribution
from fastem.sources import SequenceSource, SourceError, proper_lengths
from fastem.sources.source import rows_in


class FittedChain(Imputes):
    """A hidden Markov model with known parameters. X and `lengths` are everywhere as in `fit`."""

    algorithm: str

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
                raise ValueError("X already defines sequence lengths. Leave out lengths.")
            X, lengths = X.rows, X.lengths
        weights = sample_weight
        if is_list_of_sequences(X, None if reset else getattr(self, "n_features_in_", None)):
            if lengths is not None or y is not None:
                raise ValueError("X is a list of sequences, which defines their lengths. Leave out lengths.")
            rows, sizes = join_sequences(lambda X, is_first: read_rows(self, X, None, reset=is_first), X, reset=reset)
            weights = None if sample_weight is None else _weights(sample_weight, sizes.size)[sizes > 0]
            lengths = sizes[sizes > 0]
        else:
            rows = read_rows(self, X, None, reset=reset)
        n_rows = rows_in(rows)
        lengths = _lengths_in_place_of(y, n_rows) if y is not None else lengths
        lengths = np.array([n_rows]) if lengths is None else proper_lengths(lengths, n_rows)
        if weights is not None:
            if rows.is_weighted:
                raise ValueError(WEIGHTED)
            rows = rows.weighted(np.repeat(_weights(weights, lengths.size), lengths))
        return SequenceSource(self._as_asked(rows), lengths)

    def _scored(self, X: Any, lengths: Any, what: str, y: Any = None) -> tuple[np.ndarray, np.ndarray, list[Any]]:
        """What a method of `Model` fills in for all rows, the lengths of the sequences, and what it returns."""
        self._require_fitted()
        source = self._sequences(X, lengths, reset=False, y=y)
        out, results = self._said_of(source, what)
        return out, source.lengths, results

    def _weighted_loglik(self, X: Any, lengths: Any, sample_weight: Any = None, y: Any = None) -> tuple[float, float]:
        """The log-likelihood of all rows, in nats, and their weight, each by the weight of its sequence."""
        self._require_fitted()
        source = self._sequences(X, lengths, sample_weight, reset=False, y=y)
        loglik = self._said_of(source, "log_prob")[0]
        if not source.is_weighted:
            return float(loglik.sum()), float(loglik.size)
        weight = source.row_weights()
        return float(weighted(loglik, weight).sum()), float(weight.sum())

    # Using.

    def score(self, X: Any, y: Any = None, *, lengths: Any = None, sample_weight: Any = None) -> float:
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
        return self._weighted_loglik(X, lengths, sample_weight, y)[0]

    def score_samples(self, X: Any, lengths: Any = None) -> tuple[float, np.ndarray]:
        """Log-likelihood of all sequences together, in nats, and `predict_proba(X, lengths)`, as hmmlearn's."""
        return self.score(X, lengths=lengths), self.predict_proba(X, lengths)

    def log_prob(self, X: Any, lengths: Any = None) -> np.ndarray:
        """Log-likelihood (N,) of each row, in nats, given those of its sequence before it; X, lengths as in `fit`."""
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
        """The most probable states (N,), int64, by the `algorithm` of the constructor; X, lengths as in `fit`."""
        return self.decode(X, lengths)[1]

    def predict_proba(self, X: Any, lengths: Any = None) -> np.ndarray:
        """Smoothed probabilities (N, K) of the states, given all rows of the sequence; X, lengths as in `fit`."""
        return self._scored(X, lengths, "posterior")[0]

    def filter_proba(self, X: Any, lengths: Any = None) -> np.ndarray:
        """Filtered probabilities (N, K) of the states: given a row and those of its sequence before; X as in `fit`."""
        return self._scored(X, lengths, "filtered")[0]

    def predict_next_proba(self, X: Any, lengths: Any = None) -> np.ndarray:
        """Probabilities (S, K) of the state one step after the end of each sequence; X, lengths as in `fit`."""
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
        """Log-likelihood and information criteria, in one pass; X, lengths as in `fit`.

        Returns
        -------
        criteria : dict
            `weight` (of all rows), `loglik`, `score` (its mean), `aic`, `bic`, `caic` and `sabic`.
        """
        return criteria_of(self._model, *self._weighted_loglik(X, lengths))

    def aic(self, X: Any, lengths: Any = None) -> float:
        """Akaike's information criterion on X: -2 loglik + 2 parameters. Lower is better."""
        return self.criteria(X, lengths)["aic"]

    def bic(self, X: Any, lengths: Any = None) -> float:
        """Bayesian information criterion on X: -2 loglik + parameters * log(weight). Lower is better."""
        return self.criteria(X, lengths)["bic"]

    def impute(
        self, X: Any, lengths: Any = None, method: str = "mean", n_draws: int = 1, random_state: Any = None
    ) -> np.ndarray:
        """Fill in what rows miss, given all that is there of their sequences; see docs/missing.md.

        Parameters
        ----------
        X, lengths
            As in `fit`. NaN, and null, are missing.
        method, n_draws, random_state
            As of `GaussianMixture.impute`. States are smoothed; each row is drawn by itself.

        Returns
        -------
        filled : (N, D) ndarray, or (n_draws, N, D) for several draws
            What was there is there, to the bit.
        """
        self._require_fitted()
        return self._imputed(self._sequences(X, lengths, reset=False), method, n_draws, random_state)

    def conditional(self, X: Any, lengths: Any = None) -> Conditional:
        """The distribution of what rows miss, given all that is there of their sequences; as of `GaussianMixture`."""
        self._require_fitted()
        return self._conditional(self._sequences(X, lengths, reset=False))

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
        n_states = self._model.latent.n_components
        if currstate is not None and not (isinstance(currstate, Integral) and 0 <= currstate < n_states):
            raise ValueError(f"currstate must be a state from 0 to {n_states - 1}, got {currstate!r}.")
        return self._drawn(n_samples, random_state, first=currstate)

    def get_stationary_distribution(self) -> np.ndarray:
        """Share (K,) of the time that the chain spends in each state in the long run."""
        self._require_fitted()
        return stationary_distribution(self._params.latent.transmat)

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


def _weights(sample_weight: Any, n_sequences: int) -> np.ndarray:
    weight = floats(sample_weight, "sample_weight")
    if weight.shape != (n_sequences,) or not (np.all(np.isfinite(weight)) and np.all(weight >= 0)):
        raise SourceError(
            f"sample_weight must be one finite number for each of the {n_sequences} sequences, and not negative."
        )
    if not weight.any():
        raise SourceError(NO_WEIGHT)
    return weight


def _lengths_in_place_of(y: Any, n_rows: int) -> Any:
    """The lengths that stand in the place of y, as hmmlearn takes them; None for a y of one value for each row."""
    values = plain_array(y, "y")
    if values.shape[:1] != (n_rows,) or n_rows == 1:
        return y
    if values.ndim == 1 and values.dtype.kind in "iu" and np.all(values == 1):
        raise ValueError(
            f"The second argument holds {n_rows} ones for {n_rows} rows: they may be labels, or the lengths of "
            "sequences of one row. Pass lengths=... for the latter, and leave out the former."
        )
    if are_fractions(values):
        heed_y(y, n_rows)
    return None
