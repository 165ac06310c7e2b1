"""How far the fitted parameters of a hidden Markov model may lie from the truth, in a user's words."""

from __future__ import annotations

from copy import copy
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from fastem._naming import named, warn
from fastem.estimators._fitted_chain import FittedChain
from fastem.fitting.bootstrap import Bootstrap, bootstrap_sequences
from fastem.fitting.thread_limits import blas_single_threaded, thread_limit
from fastem.given import require_count
from fastem.model import Model, Params

# From fewer sequences hardly anything is learnt of how they differ.
_FEW = 10


class UncertainChain(FittedChain):
    """A hidden Markov model that tells the errors of its parameters."""

    n_iter: int

    def bootstrap(
        self, X: Any, lengths: Any = None, *, n_replicates: int = 100, sample_weight: Any = None
    ) -> Bootstrap:
        """Refit the model to randomly weighted sequences, again and again: the weighted-likelihood bootstrap.

        Each replicate gives every sequence a random weight of exponential distribution, drawn by `random_state`, and
        goes on from the fitted parameters, so that states keep their numbers. It takes sequences as independent, and
        says nothing of how rows within one depend on each other.

        Parameters
        ----------
        X, lengths, sample_weight
            As in `fit`: the sequences that the model was fitted to, at least two of them.
        n_replicates : int, default 100
            For percentiles take 1000.

        Returns
        -------
        replicates : Bootstrap
            `startprob` (B, K), `transmat` (B, K, K), and the parameters of the states by the names of the fitted
            attributes; `standard_errors()` and `confidence_intervals(level)` sum them up.

        Raises
        ------
        ValueError
            For a single sequence, and for unusable data or arguments.

        Warns
        -----
        UserWarning
            For fewer than ten sequences.
        ConvergenceWarning
            When refits stopped at `n_iter`: their spread is too small.

        References
        ----------
        Newton & Raftery (1994), *Approximate Bayesian inference with the weighted likelihood bootstrap*, J. R. Statist.
        Soc. B 56, 3-48.

        Examples
        --------
        >>> import numpy as np
        >>> from fastem import PoissonHMM
        >>> truth = PoissonHMM.from_parameters([0.6, 0.4], [[0.9, 0.1], [0.2, 0.8]], [2.0, 9.0])
        >>> counts = np.concatenate([truth.sample(50, random_state=seed)[0] for seed in range(40)])
        >>> hmm = PoissonHMM(2, random_state=0).fit(counts, [50] * 40)
        >>> errors = hmm.bootstrap(counts, [50] * 40, n_replicates=50).standard_errors()
        >>> bool(np.all((errors.transmat > 0.005) & (errors.transmat < 0.05)))
        True
        """
        self._require_fitted()
        require_count("n_replicates", n_replicates, least=2)
        sequences = self._sequences(X, lengths, sample_weight, reset=False)
        n_sequences = sequences.lengths.size
        if n_sequences < 2:
            raise ValueError(
                "A bootstrap weighs whole sequences anew, and there is only one. Cut it into pieces that hardly depend "
                f"on each other, and give their {named('lengths')}."
            )
        if n_sequences < _FEW:
            warn(f"{n_sequences} sequences tell little of how sequences differ: errors are rough.", UserWarning)
        with thread_limit(self.n_threads, self.verbose, self._work()) as n_threads, blas_single_threaded(n_threads):
            replicates, n_unfinished = bootstrap_sequences(
                self._model, self._params, sequences, int(n_replicates), self.n_iter, self._generator(), self._shown_at
            )
        if n_unfinished:
            warn(
                f"{n_unfinished} of {n_replicates + 1} refits did not converge in n_iter={self.n_iter} iterations: the "
                "spread is too small. Increase n_iter.",
                ConvergenceWarning,
            )
        return replicates

    def _shown_at(self, model: Model, params: Params) -> dict[str, Any]:
        """The fitted attributes that parameters have, by their names without the underscore."""
        shown: Any = copy(self)
        shown._adopt(model, params)
        names = [name for name in shown._attributes() if name != "params_" and hasattr(shown, name)]
        return {name.removesuffix("_"): getattr(shown, name) for name in names}
