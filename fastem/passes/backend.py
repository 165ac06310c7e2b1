"""The compiled passes, as a model calls them: sums in lanes, scores and paths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from fastem.passes import lanes, row_pass, score_pass, sequence_pass, viterbi
from fastem.passes.outputs import NO_OUTPUTS
from fastem.passes.pruning import NO_PRUNING, NoPruning, Plan
from fastem.passes.rows import NO_ROWS, Rows, rows_of, weights_of
from fastem.passes.units import BLOCK, units_of
from fastem.stats import ExpectedStats


class Partial(NamedTuple):
    """An unfinished sum of expected statistics: its private accumulators, and the number of blocks (units) in them."""

    lanes: ExpectedStats
    n_blocks: int


# Weights whose products with responsibilities and squares float32 holds.
_LEAST_WEIGHT, _LARGEST_WEIGHT = 1e-6, 1e6


def _are_moderate(weight: np.ndarray | None) -> bool:
    """Whether weights are of a size for float32; None stands for ones."""
    if weight is None or weight.size == 0:
        return True
    least = np.min(weight, where=weight > 0.0, initial=1.0)
    return bool(least >= _LEAST_WEIGHT and np.max(weight) <= _LARGEST_WEIGHT)


class RowAccumulator:
    """Statistics in the making: the private accumulators that chunks of independent rows fill."""

    def __init__(
        self,
        latent: Any,
        params: Any,
        zero: ExpectedStats,
        pruning: Plan = NO_PRUNING,
        begun: Partial | None = None,
        in_float32: Callable[[Any], Any | None] | None = None,
    ):
        self._latent = latent
        self._params = params
        self._pruning = pruning
        # Bounds that leave components out are of float64.
        self._in_float32 = in_float32 if isinstance(pruning, NoPruning) else None
        self._most_lanes = lanes.n_lanes(zero)
        self._lanes, self._n_blocks = begun or Partial(zero.with_lanes(1), 0)

    def add(self, chunk: Any) -> None:
        """Add the expected statistics of a chunk."""
        self._pass(chunk, self._family_params(chunk), NO_ROWS, self._pruning)

    def _family_params(self, chunk: Any) -> Any:
        """Parameters of the family in the arithmetic of a chunk."""
        if self._in_float32 is None or chunk.X.dtype != np.float32 or not _are_moderate(chunk.weight):
            return self._params.family
        return self._params.family if self._float32_params is None else self._float32_params

    @cached_property
    def _float32_params(self) -> Any | None:
        return self._in_float32(self._params.family)  # type: ignore[misc]

    def add_given(self, chunk: Any, resp: np.ndarray) -> None:
        """Add the statistics of a chunk whose responsibilities (N, K) are known; no likelihood is gathered."""
        self._pass(chunk, self._params.family, rows_of(resp), NO_PRUNING)
        weighted = resp if chunk.weight is None else resp * chunk.weight[:, None]
        for total, part in zip(self._lanes.latent, self._latent.given_stats(weighted), strict=True):
            total[0] += part

    def _pass(self, chunk: Any, family_params: Any, given: Rows, pruning: Plan) -> None:
        rows, weight = rows_of(chunk.X), weights_of(chunk.weight)
        n_blocks = self._n_blocks + -(-rows.n_rows // BLOCK)
        self._reserve(lanes.lanes_filled(self._most_lanes, n_blocks))
        row_pass.fused_pass(
            family_params, self._params.latent, rows, weight, self._lanes, self._n_blocks, given, pruning
        )
        self._n_blocks = n_blocks

    def _reserve(self, n_lanes: int) -> None:
        """See to so many lanes: few rows fill the first ones only."""
        n = len(self._lanes.loglik)
        if n < n_lanes:
            while n < n_lanes:
                n *= 2
            self._lanes = self._lanes.more_lanes(n)

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
        self._reserve(min(self._most_lanes, self._n_blocks + units.n_units))
        sequence_pass.sequence_pass(
            self._params.family, self._params.latent, rows_of(chunk.X), weights_of(chunk.weight), units, self._lanes,
            self._n_blocks,
        )  # fmt: skip
        self._n_blocks += units.n_units

    def add_given(self, chunk: Any, resp: np.ndarray) -> None:
        raise NotImplementedError("The states of a chain are not given row by row: start from a mixture.")

    def total(self) -> ExpectedStats:
        return self._lanes.collapse(min(len(self._lanes.loglik), self._n_blocks))


@dataclass(frozen=True)
class Compiled:
    """The backend of kernels that numba compiles; see `fastem.contracts.Backend`."""

    def accumulator(
        self,
        latent: Any,
        params: Any,
        zero: ExpectedStats,
        pruning: Plan,
        begun: Partial | None,
        in_float32: Callable[[Any], Any | None] | None = None,
    ) -> RowAccumulator:
        """Begin a sum in lanes, or go on with one.

        It has the same bits for any number of threads, and however the rows are cut into chunks of whole blocks (of
        whole runs, `ROWS_PER_RUN`, where components can be left out).
        """
        if latent.is_chain:
            return ChainAccumulator(latent, params, zero, begun=begun)
        return RowAccumulator(latent, params, zero, pruning, begun, in_float32)

    def score(
        self,
        latent: Any,
        params: Any,
        zero: ExpectedStats,
        X: np.ndarray,
        lengths: np.ndarray | None,
        pruning: Plan,
        **outputs: np.ndarray,
    ) -> None:
        """Fill the outputs, in a pass."""
        if not latent.is_chain:
            in_lanes = zero.latent.with_lanes(max(1, lanes.lanes_filled(lanes.MAX_LANES, -(-len(X) // BLOCK))))
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
