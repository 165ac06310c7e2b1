"""What an estimator with parameters can do, whatever is hidden: it draws, it tells criteria, it is saved."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import DensityMixin
from sklearn.utils import check_random_state

from fastem.contracts import HasMarginals, HasScatter
from fastem.estimators._files import save
from fastem.estimators._known import KnownParameters
from fastem.estimators._validation import feature_index
from fastem.families._marginal import Marginal
from fastem.fitting.memory import limited
from fastem.fitting.numeric import drawn_marginal
from fastem.fitting.scores import room, said_of
from fastem.fitting.thread_limits import thread_limit
from fastem.given import require_count
from fastem.persistence import require_model_name
from fastem.sources import Source, refusing_missing


class Fitted(DensityMixin, KnownParameters):
    """An estimator with known parameters, `_params` of a `_model`, whether they were fitted, given or set by hand."""

    random_state: Any
    memory_limit: int | str | None
    n_threads: int | None
    verbose: int
    missing: str

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "mar"
        return tags

    def _as_asked(self, source: Source) -> Source:
        """A source in chunks that the memory limit allows, whose values may be missing or not."""
        source = limited(source, self.memory_limit)
        return source if self.missing == "mar" else refusing_missing(source)

    def __sklearn_is_fitted__(self) -> bool:
        return self._has_params()

    def _require_fitted(self) -> None:
        if not self._has_params():
            self._raise_unknown()

    # What the model is made of, in words.
    _distributions: Callable[[], str]

    def _work(self) -> str:
        return f"fits {self._distributions()}"

    def _scoring(self) -> AbstractContextManager[int | None]:
        """What surrounds the passes of a score or a prediction."""
        return thread_limit(self.n_threads, self.verbose, f"scores rows under {self._distributions()}")

    def _generator(self, random_state: Any = None) -> np.random.Generator:
        """A source of randomness that follows the given `random_state`, or that of the constructor."""
        given = self.random_state if random_state is None else random_state
        return np.random.default_rng(check_random_state(given).randint(2**32, dtype=np.uint64))

    def _room(self, n_rows: int, what: str) -> np.ndarray:
        return room(self._model, n_rows, what)

    def _said_of(self, source: Source, what: str) -> tuple[np.ndarray, list[Any]]:
        return said_of(self._model, self._params, source, what, self._scoring)

    def _drawn(self, n_samples: int, random_state: Any = None, **start: Any) -> tuple[np.ndarray, np.ndarray]:
        require_count("n_samples", n_samples)
        return self._model.sample(self._params, int(n_samples), self._generator(random_state), **start)

    def marginal(self, feature: int | str = 0) -> Marginal:
        """Distribution of one feature, given by its index or its name, under each component, or state.

        Returns
        -------
        marginal : Marginal
            `density(x)` gives the densities (K, G) of values x (G,), probabilities where `is_discrete`; `means` and
            `sds` (K,).

        Raises
        ------
        ValueError
            For a feature that is not there, and for counts that are distributed in another way in each row.
        TypeError
            For a family of your own that has no marginals.

        Examples
        --------
        >>> import numpy as np
        >>> from fastem import Mixture
        >>> mixture = Mixture.from_parameters("poisson", [0.3, 0.7], rates=[1.0, 4.0])
        >>> mixture.marginal().density(np.arange(3)).round(2).tolist()
        [[0.37, 0.37, 0.18], [0.02, 0.07, 0.15]]
        """
        self._require_fitted()
        family = self._model.family
        index = feature_index(self, feature, family.n_features)
        if isinstance(family, HasMarginals):
            return family.marginal(self._params.family, index)
        if family.n_features > 1:
            raise TypeError(
                f"{type(family).__name__} does not define the distribution of one of its {family.n_features} features. "
                "Write its method marginal (see fastem.contracts.HasMarginals)."
            )
        return drawn_marginal(self._model, self._params)

    def scatter(self, features: Sequence[int | str]) -> np.ndarray:
        """Covariances (K, d, d) of some features, given by index or name, under each component, of any covariance type.

        Of Student's t, the scale matrices. K counts states, and of a `GMMHMM` the components of all states.

        Raises
        ------
        ValueError
            For a feature that is not there.
        TypeError
            For a family without covariances, such as one of counts.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> mixture = GaussianMixture.from_parameters([1.0], [[0, 0, 0]], [[4, 2, 1]], covariance_type="diag")
        >>> mixture.scatter([0, 2]).tolist()
        [[[4.0, 0.0], [0.0, 1.0]]]
        """
        self._require_fitted()
        family = self._model.family
        if not isinstance(family, HasScatter):
            raise TypeError(f"{type(family).__name__} has no covariances of several features. Use marginal.")
        columns = [feature_index(self, feature, self.n_features_in_) for feature in features]
        return family.projected(self._params.family, np.eye(self.n_features_in_)[columns])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to a file that `fastem.load` reads: NumPy arrays and a JSON header, no pickle.

        Parameters
        ----------
        path : str or Path
            Of suffix ".npz". Written as a whole or not at all; an existing file is replaced, and keeps its mode. A
            symbolic link is followed.

        Raises
        ------
        ValueError
            For a place that cannot be written to, and for the suffix of another format.
        TypeError
            For a family of your own, which no file can hold. Pickle the estimator.
        """
        self._require_fitted()
        require_model_name(path)
        self._write(path)

    def _write(self, path: str | os.PathLike[str]) -> None:
        save(self, Path(path))

    def plot_objective(self, ax: Any = None) -> Any:
        """Draw the objective against the iteration; see `fastem.plotting.fit.plot_objective`."""
        from fastem.plotting import plot_objective

        return plot_objective(self, ax=ax)
