"""How missing values are filled in, in a user's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastem._naming import named
from fastem._text import require_one_of
from fastem.estimators._fitted import Fitted
from fastem.fitting.checks import Checked
from fastem.fitting.imputing import METHODS, Filling, filled_pieces, of_components
from fastem.given import require_count
from fastem.sources import Source


@dataclass(frozen=True, eq=False)
class Conditional:
    """What some rows miss, given what is there: the distribution of whole rows (N, D).

    Attributes
    ----------
    weights : (N, K) ndarray
        Probability of each component.
    means : (N, K, D) ndarray
        Under each component; of a value that is there, this value.
    covariances : (N, K, D, D) ndarray
        Zero in the rows and columns of values that are there.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Over all components, (N, D)."""
        return np.einsum("nk,nkd->nd", self.weights, self.means)

    @property
    def covariance(self) -> np.ndarray:
        """Over all components, (N, D, D): within them and between them."""
        offsets = self.means - self.mean[:, None, :]
        within = np.einsum("nk,nkde->nde", self.weights, self.covariances)
        return within + np.einsum("nk,nkd,nke->nde", self.weights, offsets, offsets)


class Imputes(Fitted):
    """A model that fills in what rows miss."""

    def _pieces(self, source: Source, filling: Filling) -> Any:
        return filled_pieces(self._model, self._params, source, filling, self._scoring)

    def _filling(self, method: str, n_draws: int, random_state: Any) -> Filling:
        require_one_of("method", method, METHODS)
        require_count("n_draws", n_draws)
        if method != "draw" and n_draws != 1:
            raise ValueError(
                f"{named('n_draws')}={n_draws} are all the same with {named('method')}={method!r}. Use "
                f"{named('method')}='draw'."
            )
        seed = int(self._generator(random_state).integers(2**63)) if method == "draw" else 0
        return Filling(method, int(n_draws), seed)

    def _imputed(self, source: Source, method: str, n_draws: int, random_state: Any) -> np.ndarray:
        parts = [piece.X for piece in self._pieces(source, self._filling(method, n_draws, random_state))]
        filled = np.concatenate(parts, axis=1)
        return filled[0] if n_draws == 1 else filled

    def _conditional(self, source: Source) -> Conditional:
        family = self._model.family
        if not hasattr(family, "conditional_covariances"):
            raise TypeError(f"{type(family).__name__} has no covariances of several features. Use impute.")
        states = None
        if self._model.latent.is_chain:
            states = self._said_of(source, "posterior")[0]
        X = np.concatenate([chunk.X for chunk in Checked(source, family).chunks()]).astype(np.float64)
        model, params = self._model.for_rows(self._params, True)
        with self._scoring():
            weights = of_components(model, params, X, states)
        components = range(family.n_components)
        means = [family.completed(params.family, k, X) for k in components]
        covariances = [family.conditional_covariances(params.family, k, X) for k in components]
        return Conditional(weights, np.stack(means, axis=1), np.stack(covariances, axis=1))
