"""What the command line asks of a fitted estimator, beside its public methods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastem.estimators._em import BaseEM
from fastem.fitting.imputing import Piece
from fastem.model import Model, Params
from fastem.sources import SequenceSource, Source


def fitted_of(estimator: BaseEM) -> tuple[Model, Params]:
    """The model and its parameters."""
    return estimator._model, estimator._params


def distributions_of(estimator: BaseEM) -> str:
    """What the model is made of, in words."""
    return estimator._distributions().removeprefix("chains of ")


def loglik_of(mixture: Any, source: Source) -> tuple[float, float]:
    """Log-likelihood of the rows of a source, in nats, and their total weight."""
    return mixture._loglik(source, None)


def rows_of(mixture: Any, source: Source) -> Source:
    """The rows of a source in the columns that a mixture knows, in chunks that its memory limit allows."""
    return mixture._rows(source)


def sequences_of(hmm: Any, source: Source) -> SequenceSource:
    """The sequences of a source in the columns that a hidden Markov model knows."""
    return hmm._sequences(source, None, reset=False)


def room_for(estimator: BaseEM, n_rows: int, what: str) -> np.ndarray:
    """An array for labels ("label") or probabilities ("posterior") of so many rows."""
    return estimator._room(n_rows, what)


def fill_scores(mixture: BaseEM, X: np.ndarray, what: str, out: np.ndarray) -> None:
    """Fill labels or probabilities of rows X (N, D) into `out`."""
    model, params = mixture._model.for_rows(mixture._params, bool(np.isnan(X).any()))
    with mixture._scoring():
        getattr(model, what)(params, X, out)


def filled_pieces_of(estimator: Any, source: Source, method: str, seed: int | None) -> Iterator[Piece]:
    """The rows of a source, in the columns that a model knows, with values in the place of those that are missing."""
    is_chain = isinstance(source, SequenceSource) or estimator._model.latent.is_chain
    rows: Any = sequences_of(estimator, source) if is_chain else rows_of(estimator, source)
    return estimator._pieces(rows, estimator._filling(method, 1, seed))
