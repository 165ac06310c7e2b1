"""Batch EM on the bins of one feature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastem._naming import named
from fastem.fitting.batch import BatchStrategy, Reporter
from fastem.fitting.binned import BinnedProblem, Bins
from fastem.fitting.compress import Grid, compress
from fastem.fitting.problem import Problem
from fastem.model import Model
from fastem.schedules.batch import fit_batch
from fastem.schedules.result import FitResult, FitState
from fastem.sources import ArraySource, Source

# Of fewer bins, some component may see only one, and collapse onto it.
_MIN_BINS = 32

_GRID_ROWS = 4096

_CLOSER = 0.1


@dataclass(kw_only=True)
class BinnedStrategy(BatchStrategy):
    """EM on the bins of one feature, and on all rows from where that ends.

    The bins decide where the fit of all rows starts, and nothing else.
    """

    n_bins: int
    stand_in: Source | None = None

    def run(self, model: Model, source: Source, state: FitState, seed: int, reporter: Reporter) -> FitResult:
        if self._is_at_start(state):
            if self.stand_in is None:
                self.stand_in = _bins_of(source, self.n_bins, model.latent.n_components)
            # The bins are so cheap that they are fitted more closely than will be asked of all rows.
            ahead = fit_batch(
                Problem(model, self.stand_in), state.candidate, tol=_CLOSER * self.tol, max_iter=self.max_iter,
                accelerator=self._accelerator(model, source, state, seed),
            ).unbroken()  # fmt: skip
            state.candidate, state.n_iter_reduced = ahead.params, ahead.n_iter
        return super().run(model, source, state, seed, reporter)


def _bins_of(source: Source, n_bins: int, n_components: int) -> Source:
    if source.n_features > 1:
        raise ValueError(
            f"{named('bins')}={n_bins} is for one feature, but {named('X')} has {source.n_features}. "
            f"Use {named('schedule=Batch(bins=None)')}."
        )
    least = _MIN_BINS * n_components
    if n_bins < least:
        raise ValueError(
            f"{named('bins')}={n_bins} is too few for {named('n_components')}={n_components}. Use at least {least}, "
            f"or {named('schedule=Batch(bins=None)')}."
        )
    # Roughly right is enough for a grid: it takes no part in the user's randomness.
    sample = source.sample(_GRID_ROWS, np.random.default_rng(0))
    values, weight = compress(source.chunks(), Grid.around(sample.X[:, 0], n_bins))
    return ArraySource(values[:, None], weight)


@dataclass(kw_only=True)
class HistogramStrategy(BatchStrategy):
    """Exact EM for a histogram."""

    bins: Bins

    def run(self, model: Model, source: Source, state: FitState, seed: int, reporter: Reporter) -> FitResult:
        accelerator = self._accelerator(model, source, state, seed)
        return self._improve(BinnedProblem(model, self.bins), state, reporter, accelerator)
