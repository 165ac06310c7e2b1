"""Rows that models are compared on, and never learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from fastem.model import Model, Params
from fastem.sources import ArraySource, SequenceSource, Source
from fastem.sources.holdout import WithoutRows
from fastem.sources.sequences import rows_of_runs
from fastem.sources.shuffle import taken
from fastem.sources.source import draw_rows, rows_in

# At most so many, in at most so much memory.
_MOST_ROWS, _MOST_BYTES = 100_000, 64 * 2**20
# Less than any log-density that a difference should be taken of.
_LEAST_LOG_PROB = -1e100


@dataclass(frozen=True)
class HeldOut:
    """Rows that are held out, in memory; they count one by one, or by sequences of these lengths (S,)."""

    rows: ArraySource
    lengths: np.ndarray | None = None

    def scores(self, model: Model, params: Params) -> np.ndarray:
        """Log-likelihood of each row, or of each sequence, in nats."""
        out = np.empty(len(self.rows.X))
        model.log_prob(params, self.rows.X, out, self.lengths)
        if self.lengths is not None:
            out = np.add.reduceat(out, _begins(self.lengths))
        return np.maximum(out, _LEAST_LOG_PROB)

    def mean_and_error(self, values: np.ndarray) -> tuple[float, float]:
        """Weighted mean per row of sums over rows or sequences, and its standard error; weights count these."""
        sizes = np.ones(len(values)) if self.lengths is None else self.lengths
        weight = self._weights()
        total, n_rows = weight.sum(), weight @ sizes
        mean = weight @ values / n_rows
        # Of one in all there is no telling.
        variance = weight @ np.square(values - mean * sizes) / total / max(total - 1.0, 1e-300)
        return float(mean), float(np.sqrt(variance) * total / n_rows)

    def least_mean(self, values: np.ndarray) -> float:
        """What the mean is above with a probability of 97.5 %, by Student's t: of a few sequences little is sure."""
        mean, error = self.mean_and_error(values)
        return mean - error * float(stdtrit(max(1.0, self._weights().sum() - 1.0), 0.975))

    def _weights(self) -> np.ndarray:
        """Of rows, or of sequences."""
        n = len(self.rows.X) if self.lengths is None else len(self.lengths)
        weight = self.rows.weight
        if weight is None:
            return np.ones(n)
        return weight if self.lengths is None else weight[_begins(self.lengths)]


def _begins(lengths: np.ndarray) -> np.ndarray:
    return np.cumsum(lengths) - lengths


def hold_out(source: Source, fraction: float, random: np.random.Generator) -> tuple[Source, HeldOut]:
    """The source without a random part of its rows, or of its sequences, and these.

    Their values are not checked here: the source keeps them, with weight zero, and whoever reads it checks them.

    Raises
    ------
    ValueError
        When there are too few, or those that were drawn have no weight.
    """
    most = min(_MOST_ROWS, max(1, _MOST_BYTES // (8 * source.n_features)))
    if isinstance(source, SequenceSource):
        return _divide_sequences(source, fraction, most, random)
    return _divide_rows(source, fraction, most, random)


def _divide_rows(source: Source, fraction: float, most: int, random: np.random.Generator) -> tuple[Source, HeldOut]:
    n_rows = rows_in(source)
    rows = draw_rows(min(most, round(fraction * n_rows)), n_rows, None, random)
    drawn = taken(source, rows) if rows.size else None
    if drawn is None or len(rows) < 2 or (drawn.weight is not None and not drawn.weight.sum() > 0.0):
        raise ValueError(
            f"criterion='heldout' finds no two rows of positive weight to hold out of {n_rows} with "
            f"validation_fraction={fraction:g}. Raise it, or use criterion='bic'."
        )
    return WithoutRows(source, rows), HeldOut(drawn)


def _divide_sequences(
    source: SequenceSource, fraction: float, most: int, random: np.random.Generator
) -> tuple[Source, HeldOut]:
    order = random.permutation(np.flatnonzero(source.has_weight()))
    affordable = int(np.searchsorted(np.cumsum(source.lengths[order]), most, side="right"))
    chosen = np.sort(order[: min(round(fraction * len(order)), affordable)])
    if len(chosen) < 2:
        raise ValueError(
            f"criterion='heldout' finds no two sequences to hold out of {len(order)} with "
            f"validation_fraction={fraction:g}. Raise it, cut sequences into shorter ones (lengths), or use "
            "criterion='bic'."
        )
    rows = rows_of_runs(source.lengths, chosen)
    rest = SequenceSource(WithoutRows(source.rows, rows), source.lengths)
    return rest, HeldOut(taken(source.rows, rows), source.lengths[chosen])
