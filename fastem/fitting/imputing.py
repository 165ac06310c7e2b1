"""What rows miss, filled in by a model: expected, drawn, or most probable, given what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastem.fitting.checks import Checked
from fastem.fitting.scores import said_of
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.sources import Chunk, Source
from fastem.sources.segments import in_pieces
from fastem.starts.given import one_hot

METHODS = ("mean", "draw", "mode")
# Rows are filled in by pieces, which have their own randomness: draws do not show how rows were cut into chunks.
_PIECE_ROWS = 4096
# A component of less probability has no part in the mean of a row.
_NEGLIGIBLE = 1e-12

Scoring = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Filling:
    """How values that are missing are filled in.

    `seed` is that of draws, of which each row gets `n_draws`.
    """

    method: str = "mean"
    n_draws: int = 1
    seed: int = 0


class Piece(NamedTuple):
    """Rows (n_draws, N, D) that miss nothing, and how many values were filled in; `first_row` counts from the first."""

    first_row: int
    X: np.ndarray
    n_filled: int


def filled_pieces(model: Model, params: Params, source: Source, filling: Filling, scoring: Scoring) -> Iterator[Piece]:
    """All rows of a source in order, piece by piece, with values in the place of those that are missing.

    Those that are there stay as they are, to the bit. Rows of a chain are filled in by the smoothed probabilities of
    their states, for which the source is read once more.
    """
    smoothed = None
    if model.latent.is_chain:
        smoothed, _ = said_of(model, params, source, "posterior", scoring)
    for piece in in_pieces(Checked(source, model.family).chunks(), _PIECE_ROWS):
        resp = None if smoothed is None else smoothed[piece.first_row : piece.first_row + len(piece)]
        n_missing = int(np.count_nonzero(np.isnan(piece.X)))
        yield Piece(piece.first_row, _filled(model, params, piece, resp, filling, scoring), n_missing)


def _filled(
    model: Model, params: Params, piece: Chunk, states: np.ndarray | None, filling: Filling, scoring: Scoring
) -> np.ndarray:
    X = np.repeat(piece.X[None], filling.n_draws, axis=0)
    is_missing = np.isnan(piece.X)
    rows = np.flatnonzero(is_missing.any(axis=1))
    if rows.size == 0:
        return X
    gaps, known = model.for_rows(params, True)
    part = np.ascontiguousarray(piece.X[rows], dtype=np.float64)
    with scoring():
        resp = of_components(gaps, known, part, None if states is None else states[rows])
    random = np.random.default_rng([filling.seed, piece.first_row])
    for each in X:
        if filling.method == "draw":
            values = _drawn(gaps, known, part, resp, random)
        else:
            values = _expected(gaps, known, part, resp, filling.method == "mode")
        each[rows] = np.where(is_missing[rows], values, each[rows])
    return X


def of_components(model: Model, params: Params, X: np.ndarray, states: np.ndarray | None) -> np.ndarray:
    """Probabilities (N, K) of the components of rows X (N, D); of a chain, given those of its states (N, S)."""
    if states is None:
        resp = np.empty((len(X), model.latent.n_components))
        model.posterior(params, X, resp)
        # A row that is impossible under every component may be of any.
        lost = ~resp.any(axis=1)
        resp[lost] = params.latent.weights
        return resp
    emissions = model.latent.emissions
    if emissions is None:
        return states
    mixture = Model(MixtureLatent(model.family.n_components), model.family)
    density = np.empty((len(X), model.family.n_components))
    mixture.posterior(Params(mixture.latent.uniform(), params.family), X, density)
    entries = density[:, emissions.component] * params.latent.weights
    of_states = entries @ one_hot(emissions.state, states.shape[1])
    of_state = np.where(of_states > 0.0, of_states, 1.0)[:, emissions.state]
    # Where no component of a state reaches the row, its weights decide.
    share = np.where(of_states[:, emissions.state] > 0.0, entries / of_state, params.latent.weights)
    return (states[:, emissions.state] * share) @ one_hot(emissions.component, density.shape[1])


def _drawn(model: Model, params: Params, X: np.ndarray, resp: np.ndarray, random: np.random.Generator) -> np.ndarray:
    cumulative = np.cumsum(resp, axis=1)
    place = random.random((len(X), 1)) * cumulative[:, -1:]
    component = np.minimum((cumulative <= place).sum(axis=1), resp.shape[1] - 1)
    filled = X.copy()
    for k in np.unique(component).tolist():
        rows = np.flatnonzero(component == k)
        filled[rows] = model.family.completed(params.family, k, X[rows], random)
    return filled


def _expected(model: Model, params: Params, X: np.ndarray, resp: np.ndarray, is_mode: bool) -> np.ndarray:
    """Means over components, or those under the most probable one; of codes, the most probable one in either case."""
    family, is_missing = model.family, np.isnan(X)
    share = resp / resp.sum(axis=1, keepdims=True)
    used = one_hot(share.argmax(axis=1), share.shape[1]) > 0.0 if is_mode else share > _NEGLIGIBLE
    filled, total = np.zeros(X.shape), np.zeros((len(X), 1))
    for k in range(share.shape[1]):
        rows = np.flatnonzero(used[:, k])
        if rows.size:
            filled[rows] += share[rows, k, None] * family.completed(params.family, k, X[rows])
            total[rows, 0] += share[rows, k]
    filled /= total
    for j in np.flatnonzero(is_missing.any(axis=0)).tolist():
        of_codes = family.code_shares(params.family, j)
        if of_codes is not None:
            filled[:, j] = np.argmax(share @ of_codes, axis=1)
    return filled
