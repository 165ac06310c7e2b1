"""Starts of hidden Markov chains: from a mixture of the rows, whatever their order, to first transitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from fastem.executors.reduction import add_each, reduced
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.sources.segments import segments_of
from fastem.starts.given import PIECE_ROWS, one_hot, params_about
from fastem.stats import Repair


class SequenceRows(Protocol):
    """What a start asks of sequences: chunks that hold whole ones."""

    def chunks(self, max_rows: int | None = None) -> Iterator[Any]: ...


def segments(lengths: np.ndarray, shares: np.ndarray) -> Callable[[int, int], np.ndarray]:
    """Responsibilities of a range of rows, when every sequence is cut into stretches of these shares (K,), in order."""
    ends, inner = np.cumsum(lengths), np.cumsum(shares)[:-1]

    def responsibilities(start: int, stop: int) -> np.ndarray:
        rows = np.arange(start, stop)
        sequence = np.searchsorted(ends, rows, side="right")
        place = rows - (ends[sequence] - lengths[sequence])
        # The middle of a row decides: no edge falls on it by rounding.
        return one_hot(np.searchsorted(inner, (place + 0.5) / lengths[sequence]), shares.size)

    return responsibilities


def start_of_chain(mixture: Model, params: Params, latent: Any, sequences: SequenceRows, n_rows: int) -> Any:
    """First parameters of a chain: how often labels of the mixture follow each other in some `n_rows` rows.

    One is added to each count, so that nothing that is allowed begins as impossible (Laplace).
    """
    start, transitions = count_labels(mixture, params, sequences, n_rows)
    if latent.emissions is None:
        return latent.params(1.0 + start, 1.0 + transitions)
    emissions = latent.emissions
    # A label stands for the first state that draws from its component, and tells nothing of others that do so, too.
    state = emissions.state[emissions.first_entry[:-1]]
    of_states = np.zeros((latent.n_components, latent.n_components))
    np.add.at(of_states, (state[:, None], state), transitions)
    rows = transitions.sum(axis=0) + start
    start = np.bincount(state, weights=start, minlength=latent.n_components)
    return latent.params(1.0 + start, 1.0 + of_states, 1.0 + rows[emissions.component])


def count_labels(mixture: Model, params: Params, sequences: SequenceRows, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """How many sequences begin with each label of a mixture (K,), and how often labels follow each other (K, K)."""
    k = mixture.latent.n_components

    def counts_of(segment: Any) -> list[np.ndarray]:
        start, transitions = np.zeros(k), np.zeros((k, k))
        for chunk in segment.chunks:
            label = np.empty(len(chunk), dtype=np.int64)
            mixture.label(params, chunk.X, label)
            ends = np.cumsum(chunk.lengths)
            start += np.bincount(label[ends - chunk.lengths], minlength=k)
            pairs = np.delete(label[:-1] * k + label[1:], ends[:-1] - 1)
            transitions += np.bincount(pairs, minlength=k * k).reshape(k, k)
            del chunk
        return [start, transitions]

    start, transitions = reduced(counts_of, segments_of(_first(sequences.chunks(n_rows), n_rows)), add_each)
    return start, transitions


def _first(chunks: Iterator[Any], n_rows: int) -> Iterator[Any]:
    """As many chunks as have so many rows."""
    n_seen = 0
    for chunk in chunks:
        n_seen += len(chunk)
        yield chunk
        del chunk
        if n_seen >= n_rows:
            return


def chain_from_chunks(
    model: Model, sequences: SequenceRows, responsibilities: Callable[[Any], np.ndarray], centre: np.ndarray
) -> tuple[Params, list[Repair]]:
    """As `start_from_chunks`, for a chain: how probable each state is at each row tells transitions, too.

    States of neighbouring rows are counted as if they were independent, given their probabilities, and one is added
    to each count.
    """
    k = model.latent.n_components
    mixture = Model(MixtureLatent(k), model.family)
    params = params_about(mixture, centre)

    def found_in(segment: Any) -> list[Any]:
        start, transitions = np.zeros(k), np.zeros((k, k))
        accumulator = mixture.accumulator(params)
        for chunk in segment.chunks:
            resp = responsibilities(chunk)
            weighted = resp if chunk.weight is None else resp * chunk.weight[:, None]
            ends = np.cumsum(chunk.lengths)
            start += weighted[ends - chunk.lengths].sum(axis=0)
            goes_on = np.ones(len(resp), dtype=bool)
            goes_on[ends - 1] = False
            transitions += weighted[goes_on].T @ resp[1:][goes_on[:-1]]
            accumulator.add_given(chunk, resp)
            del chunk
        return [accumulator.total(), start, transitions]

    stats, start, transitions = reduced(found_in, segments_of(sequences.chunks(max_rows=PIECE_ROWS)), add_each)
    found, repairs = mixture.m_step(stats, params)
    return found._replace(latent=model.latent.params(1.0 + start, 1.0 + transitions)), repairs


def is_left_right(latent: Any) -> bool:
    """Whether no state of a chain of several is followed by an earlier one."""
    if not latent.is_chain or latent.allowed is None or latent.n_components == 1:
        return False
    return not np.tril(latent.allowed, -1).any()
