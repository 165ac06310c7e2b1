"""The compiled passes, as a model calls them: sums in lanes, scores and paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastem.passes import lanes, row_pass, score_pass, sequence_pass, viterbi
from fastem.passes.pruning import NO_PRUNING, NoPruning, Pruning
from fastem.passes.rows import NO_ROWS, Rows, rows_of, weights_of
from fastem.passes.sweep import NO_OUTPUTS
from fastem.passes.units import BLOCK, units_of
from fastem.stats import ExpectedStats


class Partial(NamedTuple):
    """An unfinished sum of expected statistics: its private accumulators, and the number of blocks (units) in them."""

    lanes: ExpectedStats
    n_blocks: int


class RowAccumulator:
    """Statistics in the making: the private accumulators that chunks of independent rows fill."""

    def __init__(
        self,
        latent: Any,
        params: Any,
        zero: ExpectedStats,
        pruning: Pruning | NoPruning = NO_PRUNING,
        begun: Partial | None = None,
    ):
        self._latent = latent
        self._params = params
        self._pruning = pruning
        self._lanes, self._n_blocks = begun or Partial(zero.with_lanes(lanes.n_lanes(zero)), 0)

    def add(self, chunk: Any) -> None:
        """Add the expected statistics of a chunk."""
        self._pass(chunk, NO_ROWS, self._pruning)

    def add_given(self, chunk: Any, resp: np.ndarray) -> None:
        """Add the statistics of a chunk whose responsibilities (N, K) are known; no likelihood is gathered."""
        self._pass(chunk, rows_of(resp), NO_PRUNING)
        weighted = resp if chunk.weight is None else resp * chunk.weight[:, None]
        for total, part in zip(self._lanes.latent, self._latent.given_stats(weighted), strict=True):
            total[0] += part

    def _pass(self, chunk: Any, given: Rows, pruning: Pruning | NoPruning) -> None:
        rows, weight = rows_of(chunk.X), weights_of(chunk.weight)
        row_pass.fused_pass(
            self._params.family, self._params.latent, rows, weight, self._lanes, self._n_blocks, given, pruning
        )
        self._n_blocks += -(-chunk.X.shape[0] // BLOCK)

    def partial(self) -> Partial:
        """What was added so far; the arrays change with the next chunk."""
        return Partial(self._lanes, self._n_blocks)

    def total(self) -> ExpectedStats:
        """Sum the private accumulators, in a fixed order."""
        return self._lanes.collapse(lanes.lanes_filled(len(self._lanes.loglik), self._n_blocks))


class ChainAccumulator(RowAccumulator):
    """The same for rows that hang together in sequences, which chunks do not cut."""

    def add(self, chunk: Any) -> None:
        units = units_of(_lengths(chunk.lengths, chunk.X), chunk.first_row)
        sequence_pass.sequence_pass(
            self._params.family, self._params.latent, rows_of(chunk.X), weights_of(chunk.weight), units, self._lanes,
            self._n_blocks,
        )  # fmt: skip
        self._n_blocks += units.first.size

    def add_given(self, chunk: Any, resp: np.ndarray) -> None:
        raise NotImplementedError("The states of a chain are not given row by row: start from a mixture.")

    def total(self) -> ExpectedStats:
        return self._lanes.collapse(min(len(self._lanes.loglik), self._n_blocks))


@dataclass(frozen=True)
class Compiled:
    """The backend of kernels that numba compiles; see `fastem.contracts.Backend`."""

    def accumulator(
        self, latent: Any, params: Any, zero: ExpectedStats, pruning: Pruning | NoPruning, begun: Partial | None
    ) -> RowAccumulator:
        """Begin a sum in lanes, or go on with one.

        It has the same bits for any number of threads, and however the rows are cut into chunks of whole blocks (of
        whole runs, `ROWS_PER_RUN`, where components can be left out).
        """
        if latent.is_chain:
            return ChainAccumulator(latent, params, zero, begun=begun)
        return RowAccumulator(latent, params, zero, pruning, begun)

    def score(
        self,
        latent: Any,
        params: Any,
        zero: ExpectedStats,
        X: np.ndarray,
        lengths: np.ndarray | None,
        pruning: Pruning | NoPruning,
        **outputs: np.ndarray,
    ) -> None:
        """Fill the outputs, in a pass."""
        if not latent.is_chain:
            in_lanes = zero.latent.with_lanes(lanes.MAX_LANES)
            score_pass.score_pass(params.family, params.latent, rows_of(X), in_lanes, pruning=pruning, **outputs)
            return
        if "resp" in outputs:
            outputs["smoothed"] = outputs.pop("resp")
        sequence_pass.sequence_pass(
            params.family, params.latent, rows_of(X), weights_of(None), units_of(_lengths(lengths, X)),
            zero.with_lanes(lanes.MAX_LANES), outputs=NO_OUTPUTS._replace(**outputs), learns=False,
        )  # fmt: skip

    def best_path(self, params: Any, X: np.ndarray, lengths: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Fill the most probable path of states of each sequence."""
        loglik = np.empty(len(lengths))
        viterbi.path_pass(params.family, params.latent, rows_of(X), units_of(lengths), out, loglik)
        return loglik


COMPILED = Compiled()


def _lengths(lengths: np.ndarray | None, X: np.ndarray) -> np.ndarray:
    return np.array([X.shape[0]]) if lengths is None else lengths
