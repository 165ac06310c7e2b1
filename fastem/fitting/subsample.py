"""Batch EM that converges on samples first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastem.fitting.batch import BatchLearning, led_by
from fastem.fitting.problem import Problem, first_rows, shuffled_sample
from fastem.model import Model
from fastem.schedules.accelerate.protocol import Accelerator
from fastem.schedules.grow import fit_samples
from fastem.schedules.result import FitState
from fastem.sources import ArraySource, Source
from fastem.starts.start import sample_size

# Samples that lead the fit of all rows: each is so many times larger than the one before, and all rows at least so
# many times than the last.
_GROWTH, _PART_LEADING = 4, 8

_MANY_ROWS = 1_000_000

_LEAST_SAMPLE = 100_000

_ROWS_PER_PARAMETER, _LEAST_ROWS_PER_PARAMETER = 1000, 50


@dataclass(kw_only=True)
class GrowingLearning(BatchLearning):
    """EM on samples of growing size, and on all rows from where that ends, led by the largest sample.

    The samples decide where the fit of all rows goes, and nothing else: its stopping rule and its objective are those
    of all rows.

    Parameters
    ----------
    sample_bytes : int
        The largest sample takes no more memory.
    """

    sample_bytes: int

    def _accelerator(self, model: Model, source: Source, state: FitState, seed: int) -> Accelerator | None:
        after = super()._accelerator(model, source, state, seed)
        n_rows = sample_rows(source, [model], self.sample_bytes)
        if n_rows == 0:
            return after
        # Drawn by the seed: a fit that is gone on with finds the same rows.
        rows = shuffled_sample(source, n_rows, np.random.default_rng([seed, 0]))
        if self._is_at_start(state):
            problems = growing(model, rows)
            state.candidate, state.n_iter_ahead = fit_samples(
                problems, state.candidate, model.n_parameters(), model, tol=self.tol
            )
            state.n_rows_ahead = n_rows
        return led_by(rows, model, self.tol, after)


def sample_rows(source: Source, models: Sequence[Model], most_bytes: int) -> int:
    """Rows of the sample that leads the fits of all rows; zero when there are too few rows for it to pay.

    A family from outside may do without the log-density of statistics, by which a sample is corrected.
    """
    if not all(hasattr(model.family, "expected_log_prob") for model in models):
        return 0
    n_rows, n_parameters = source.n_rows or 0, max(model.n_parameters() for model in models)
    most = most_bytes // (8 * source.n_features)
    rows = min(n_rows // _PART_LEADING, max(_ROWS_PER_PARAMETER * n_parameters, _LEAST_SAMPLE), most)
    return rows if n_rows >= _MANY_ROWS and rows >= _LEAST_ROWS_PER_PARAMETER * n_parameters else 0


def growing(model: Model, rows: ArraySource) -> list[tuple[Problem, float]]:
    """Parts of a shuffled sample, each so many times larger than the one before, with their numbers of rows."""
    sizes = [len(rows.X)]
    while sizes[0] // _GROWTH >= sample_size(model.latent.n_components, rows.n_features):
        sizes.insert(0, sizes[0] // _GROWTH)
    cautious = model.cautious()
    return [(Problem(cautious, first_rows(rows, size)), size) for size in sizes]
