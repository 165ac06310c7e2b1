"""What a mixture with parameters can do: scores, predictions, criteria, samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError

from fastem.estimators._imputing import Conditional, Imputes
from fastem.estimators._validation import heed_y, read_rows
from fastem.fitting.criteria import criteria_of, label_doubt, label_entropy
from fastem.fitting.scores import weighted_sum
from fastem.model import Model
from fastem.sources import Source


class FittedMixture(Imputes):
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
        return self._as_asked(read_rows(self, X, sample_weight, reset=False))

    def _loglik(self, X: Any, sample_weight: Any) -> tuple[float, float]:
        """Log-likelihood, in nats, and weight of all rows."""
        rows = self._rows(X, sample_weight)
        return weighted_sum(Model.log_prob, self._model, self._params, rows, self._scoring)

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-likelihood (N,) of each row of X (N, D), in nats."""
        return self._said_of(self._rows(X), "log_prob")[0]

    def predict(self, X: Any) -> np.ndarray:
        """Most probable component (N,), int64, of each row of X (N, D)."""
        return self._said_of(self._rows(X), "label")[0]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability (N, K) of each component, given each row of X (N, D).

        Probabilities sum to one; they are all zero for a row that has density zero under every component.
        """
        return self._said_of(self._rows(X), "posterior")[0]

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log-likelihood per row of X (N, D), or per unit of `sample_weight` (N,), in nats; `y` is ignored."""
        heed_y(y, None)
        return self.criteria(X, sample_weight)["score"]

    def criteria(self, X: Any, sample_weight: Any = None) -> dict[str, float]:
        """Score and information criteria, in one pass.

        `weight` (the sum), `loglik`, `score` (its mean); and, lower being better, `aic`, `bic`, `caic` and `sabic`,
        the BIC adjusted for the size of samples.
        """
        return criteria_of(self._model, *self._loglik(X, sample_weight))

    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Akaike's information criterion on X, as in `score`: -2 loglik + 2 parameters. Lower is better."""
        return self.criteria(X, sample_weight)["aic"]

    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Bayesian information criterion on X, as in `score`: -2 loglik + parameters * log(weight). Lower is better."""
        return self.criteria(X, sample_weight)["bic"]

    def icl(self, X: Any, sample_weight: Any = None) -> float:
        """Integrated completed likelihood on X: BIC - 2 sum log p(label | row). Lower is better.

        It punishes overlap, and so counts clusters rather than components.

        References
        ----------
        Biernacki, Celeux & Govaert (2000), IEEE Trans. PAMI 22, 719-725, with each row's most
        probable component for its label, as mclust does.
        """
        rows = self._rows(X, sample_weight)
        doubt, _ = weighted_sum(label_doubt, self._model, self._params, rows, self._scoring)
        return self.bic(X, sample_weight) + 2.0 * doubt

    def entropy_r2(self, X: Any, sample_weight: Any = None) -> float:
        """How well rows X tell their components: 1 when each is certain, 0 when none says anything.

        One minus the mean entropy of the component given a row, in units of that of K equally probable ones. Called
        relative entropy, or entropy R-squared, in latent class analysis (Ramaswamy et al. 1993, Marketing Science 12).
        It is 1 for a single component.
        """
        n_components = self._model.latent.n_components if self._has_params() else 1
        rows = self._rows(X, sample_weight)
        if n_components == 1:
            return 1.0
        entropy, weight = weighted_sum(label_entropy, self._model, self._params, rows, self._scoring)
        return 1.0 - entropy / (weight * float(np.log(n_components)))

    def impute(self, X: Any, method: str = "mean", n_draws: int = 1, random_state: Any = None) -> np.ndarray:
        """Fill in what rows miss, given what is there; see docs/missing.md.

        Parameters
        ----------
        X : array-like (N, D), or as in `fit`
            NaN, and null, are missing.
        method : {"mean", "draw", "mode"}, default "mean"
            "mean": what is expected, over all components. "draw": drawn from the conditional distribution, as for
            multiple imputation. "mode": what is expected under the most probable component. Of codes (categories, and
            zeros and ones), "mean" and "mode" give the most probable one.
        n_draws : int, default 1
            Of "draw".
        random_state : int, RandomState instance or None, optional
            Of "draw"; by default that of the constructor.

        Returns
        -------
        filled : (N, D) ndarray, or (n_draws, N, D) for several draws
            What was there is there, to the bit.

        Raises
        ------
        ValueError
            For unusable rows or arguments.
        TypeError
            For a family of your own that does not know it.

        Examples
        --------
        >>> import numpy as np
        >>> from fastem import GaussianMixture
        >>> normal = GaussianMixture.from_parameters([1.0], [[0, 0]], [[[1, 0.5], [0.5, 1]]])
        >>> normal.impute([[2.0, np.nan], [np.nan, np.nan]]).tolist()
        [[2.0, 1.0], [0.0, 0.0]]
        """
        return self._imputed(self._rows(X), method, n_draws, random_state)

    def conditional(self, X: Any) -> Conditional:
        """The distribution of what some rows miss, given what is there: for components with covariances.

        Parameters
        ----------
        X : array-like (N, D)
            A few rows: the result has N K D^2 numbers.

        Returns
        -------
        conditional : Conditional
            `weights` (N, K), `means` (N, K, D) and `covariances` (N, K, D, D) under each component; `mean` (N, D) and
            `covariance` (N, D, D) over all.

        Raises
        ------
        TypeError
            For a family without covariances.

        Examples
        --------
        >>> import numpy as np
        >>> from fastem import GaussianMixture
        >>> normal = GaussianMixture.from_parameters([1.0], [[0, 0]], [[[1, 0.5], [0.5, 1]]])
        >>> normal.conditional([[2.0, np.nan]]).covariance.round(2).tolist()
        [[[0.0, 0.0], [0.0, 0.75]]]
        """
        return self._conditional(self._rows(X))

    def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows from the fitted distribution; an integer `random_state` gives the same ones at each call.

        Returns
        -------
        X : (n_samples, D) float64 ndarray
        y : (n_samples,) int64 ndarray
            The component of each row.
        """
        self._require_fitted()
        return self._drawn(n_samples)

    def plot(self, X: Any, ax: Any = None, **options: Any) -> Any:
        """Draw the fitted density over the data; see `fastem.plotting.density.plot_density`."""
        from fastem.plotting import plot_density

        return plot_density(self, X, ax=ax, **options)
