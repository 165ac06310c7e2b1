"""How far the fitted parameters may lie from the truth, in a user's words."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastem._naming import warn
from fastem.estimators._fitted_mixture import FittedMixture
from fastem.estimators._validation import read_groups
from fastem.fitting.bootstrap import Bootstrap, bootstrap, refits_of_rows, require_replicates
from fastem.fitting.imputing import Filling, filled_pieces
from fastem.fitting.information import StandardErrors, standard_errors
from fastem.fitting.intervals import ConfidenceIntervals, intervals, require_level
from fastem.fitting.thread_limits import blas_single_threaded, thread_limit

# A fit that stopped so many standard errors short of the maximum is told of.
_FAR = 0.5


class UncertainMixture(FittedMixture):
    """A mixture that tells the errors of its parameters, where its family has gradients."""

    max_iter: int

    def standard_errors(
        self,
        X: Any,
        sample_weight: Any = None,
        *,
        information: str = "empirical",
        max_rows: int | None = 200_000,
    ) -> StandardErrors:
        """Standard errors of the fitted parameters, from the information in the rows; see docs/uncertainty.md.

        Parameters
        ----------
        X, sample_weight
            As in `fit`: the rows that the model was fitted to.
        information : {"empirical", "observed", "robust"}, default "empirical"
            "empirical": the sum of the rows' squared gradients, in one pass. "observed": the curvature of the
            log-likelihood; two passes for each parameter. "robust": both (Huber's sandwich).
        max_rows : int or None, default 200000
            Of more rows a random sample, drawn by `random_state`, stands for all of them. None: all rows.

        Returns
        -------
        errors : StandardErrors
            `weights`, `means`, `covariances` and their like, in the shapes of the fitted attributes; zero for what is
            fixed. `covariance_matrix` and `names` of all parameters; `newton_distance` to the maximum.

        Raises
        ------
        ValueError
            When the rows do not determine a parameter, a component has collapsed, or has rates or probabilities of
            zero; the message names it.
        TypeError
            For a family of your own whose free parameters are not the numbers of its record.

        Warns
        -----
        ConvergenceWarning
            When the maximum of the likelihood of these rows is further away than half a standard error.

        References
        ----------
        Louis (1982), J. R. Statist. Soc. B 44, 226-233; White (1982), Econometrica 50, 1-25.

        Examples
        --------
        >>> import numpy as np
        >>> from fastem import GaussianMixture
        >>> x = np.random.default_rng(0).normal(20, 5, 10_000)
        >>> GaussianMixture().fit(x).standard_errors(x).means.round(2).tolist()  # 5 / sqrt(10 000)
        [[0.05]]
        """
        self._require_fitted()
        rows = self._rows(X, sample_weight)
        with thread_limit(self.n_threads, self.verbose, self._work()) as n_threads, blas_single_threaded(n_threads):
            errors = standard_errors(self._model, self._params, rows, information, max_rows, self._generator)
        if errors.newton_distance > _FAR:
            warn(
                f"The maximum of the likelihood lies about {errors.newton_distance:.1f} standard errors from the "
                "fitted parameters. Fit with a smaller tol, and give the rows that the model was fitted to.",
                ConvergenceWarning,
            )
        return errors

    def confidence_intervals(
        self,
        X: Any,
        sample_weight: Any = None,
        *,
        level: float = 0.95,
        information: str = "empirical",
        max_rows: int | None = 200_000,
    ) -> ConfidenceIntervals:
        """Confidence intervals of the fitted parameters, each taken alone, from their standard errors.

        They are symmetric on the scale on which an estimate is nearly normal: limits stay inside the parameter space.

        Parameters
        ----------
        X, sample_weight, information, max_rows
            As in `standard_errors`.
        level : float, default 0.95

        Returns
        -------
        intervals : ConfidenceIntervals
            `lower` and `upper`, each with what `standard_errors` has, in the shapes of the fitted attributes.

        Raises
        ------
        ValueError, TypeError
            As `standard_errors` does.

        Examples
        --------
        >>> import numpy as np
        >>> from fastem import GaussianMixture
        >>> x = np.random.default_rng(0).normal(20, 5, 10_000)
        >>> limits = GaussianMixture().fit(x).confidence_intervals(x, level=0.99)
        >>> bool(limits.lower.covariances[0, 0, 0] < 25 < limits.upper.covariances[0, 0, 0])
        True
        """
        require_level(level)
        errors = self.standard_errors(X, sample_weight, information=information, max_rows=max_rows)
        return intervals(self._model, self._params, errors, level)

    def bootstrap(
        self,
        X: Any,
        sample_weight: Any = None,
        *,
        n_replicates: int = 100,
        max_rows: int = 100_000,
        groups: Any = None,
    ) -> Bootstrap:
        """Refit the model to randomly weighted rows, again and again: the weighted-likelihood bootstrap.

        Each replicate gives every row a random weight of exponential distribution, drawn by `random_state`, and goes
        on from the fitted parameters, so that components keep their numbers.

        Parameters
        ----------
        X, sample_weight
            As in `standard_errors`.
        n_replicates : int, default 100
            For percentiles take 1000.
        max_rows : int, default 100000
            Of more rows a random sample is held in memory, and weighted such that the spread is that of all rows.
        groups : array-like (N,), optional
            Which rows depend on each other, repeated measurements of one person, say: those with equal labels are
            weighted together. X must be in memory, and is read as a whole.

        Returns
        -------
        replicates : Bootstrap
            `weights` (B, K), `means` (B, K, D), `covariances` (B, ...) and their like; `standard_errors()` and
            `confidence_intervals(level)` sum them up.

        Raises
        ------
        ValueError, TypeError
            As `standard_errors` does, and for unusable arguments.

        Warns
        -----
        ConvergenceWarning
            When refits stopped at `max_iter`: their spread is too small.

        References
        ----------
        Newton & Raftery (1994), J. R. Statist. Soc. B 56, 3-48.

        Examples
        --------
        >>> import numpy as np
        >>> from fastem import GaussianMixture
        >>> x = np.random.default_rng(0).normal(20, 5, 1000)
        >>> errors = GaussianMixture(random_state=0).fit(x).bootstrap(x, n_replicates=200).standard_errors()
        >>> bool(abs(errors.means[0, 0] - 5 / np.sqrt(1000)) < 0.03)
        True
        """
        self._require_fitted()
        require_replicates(n_replicates, max_rows)
        rows, random = self._rows(X, sample_weight), self._generator()
        labels = None if groups is None else read_groups(groups, rows)
        with thread_limit(self.n_threads, self.verbose, self._work()) as n_threads, blas_single_threaded(n_threads):
            replicates, n_unfinished = bootstrap(
                self._model, self._params, rows, int(n_replicates), max_rows, self.max_iter, random, labels
            )
        self._warn_of_unfinished(n_unfinished, n_replicates + 1)
        return replicates

    def multiple_imputation(
        self, X: Any, n: int = 20, sample_weight: Any = None, *, max_rows: int = 100_000
    ) -> np.ndarray:
        """Fill in what rows miss several times, by draws that are as uncertain as the model; see docs/missing.md.

        For each data set the model is refitted to randomly weighted rows, as by `bootstrap`, and what is missing is
        drawn from that. What is computed from each of them is put together by `fastem.pool`.

        Parameters
        ----------
        X, sample_weight
            As in `fit`: the rows that the model was fitted to.
        n : int, default 20
            Number of data sets.
        max_rows : int, default 100000
            Of more rows a random sample, drawn by `random_state`, is held in memory for the refits.

        Returns
        -------
        filled : (n, N, D) ndarray
            What was there is there, to the bit.

        Raises
        ------
        ValueError, TypeError
            For unusable rows or arguments, and for a family of your own that does not know how.

        Warns
        -----
        ConvergenceWarning
            When refits stopped at `max_iter`.

        References
        ----------
        Rubin (1987), *Multiple Imputation for Nonresponse in Surveys*; Newton & Raftery (1994), J. R. Statist. Soc. B
        56, 3-48.

        Examples
        --------
        >>> import numpy as np
        >>> from fastem import GaussianMixture
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> X[:50, 0] = np.nan
        >>> GaussianMixture(random_state=0).fit(X).multiple_imputation(X, n=5).shape
        (5, 200, 2)
        """
        self._require_fitted()
        require_replicates(n, max_rows, "n")
        rows, random = self._rows(X, sample_weight), self._generator()
        filled = []
        with thread_limit(self.n_threads, self.verbose, self._work()) as n_threads, blas_single_threaded(n_threads):
            refits = refits_of_rows(self._model, self._params, rows, max_rows, self.max_iter, random)
            for _ in range(int(n)):
                drawn = Filling("draw", seed=int(random.integers(2**63)))
                pieces = filled_pieces(refits.model, refits.next_params(), rows, drawn, self._scoring)
                filled.append(np.concatenate([piece.X[0] for piece in pieces]))
        self._warn_of_unfinished(refits.n_unfinished, int(n) + 1)
        return np.stack(filled)

    def _warn_of_unfinished(self, n_unfinished: int, n_refits: int) -> None:
        if n_unfinished:
            warn(
                f"{n_unfinished} of {n_refits} refits did not converge in max_iter={self.max_iter} iterations: "
                "the spread is too small. Increase max_iter.",
                ConvergenceWarning,
            )
