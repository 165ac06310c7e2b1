"""Batch EM that converges on samples first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from fastem.fitting.batch import BatchStrategy, accelerator_of, control_variate
from fastem.fitting.problem import Problem, first_rows, shuffled_sample
from fastem.model import Model
from fastem.schedules.accelerate.protocol import Accelerator
from fastem.schedules.batch import Subsample
from fastem.schedules.result import FitState
from fastem.schedules.subsample import fit_samples
from fastem.sources import ArraySource, Source
from fastem.starts.start import sample_size


@dataclass(kw_only=True)
class SubsampleStrategy(BatchStrategy):
    """EM on samples of growing size, and on all rows from where that ends, with the largest sample as control variate.

    The samples decide where the fit of all rows goes, and nothing else: its stopping rule and its objective are those
    of all rows.

    Parameters
    ----------
    sizes : Subsample
    sample_bytes : int
        The largest sample takes no more memory.
    """

    sizes: Subsample
    sample_bytes: int

    def _accelerator(self, model: Model, source: Source, state: FitState, seed: int) -> Accelerator | None:
        after = super()._accelerator(model, source, state, seed)
        n_rows = sample_rows(source, [model], self.sizes, self.sample_bytes)
        if n_rows == 0:
            return after
        # Drawn by the seed: a fit that is gone on with finds the same rows.
        rows = shuffled_sample(source, n_rows, np.random.default_rng([seed, 0]))
        if self._is_at_start(state):
            problems = growing(model, rows, self.sizes.growth, self._is_float32(model, source))
            state.candidate, state.n_iter_reduced = fit_samples(
                problems,
                state.candidate,
                model.n_parameters(),
                accelerator_of("squarem", model, self.tol),
                tol=self.tol,
            )
            state.n_rows_subsample = n_rows
        return control_variate(rows, model, self.tol, after)


def sample_rows(source: Source, models: Sequence[Model], sizes: Subsample, most_bytes: int) -> int:
    """Rows of the sample that leads the fits of all rows; zero when there are too few rows for it to pay."""
    n_rows, n_parameters = source.n_rows or 0, max(model.n_parameters() for model in models)
    most = most_bytes // (8 * source.n_features)
    rows = min(n_rows // sizes.part, max(sizes.rows_per_parameter * n_parameters, sizes.sample_rows), most)
    return rows if n_rows >= sizes.min_rows and rows >= sizes.min_rows_per_parameter * n_parameters else 0


def growing(
    model: Model, rows: ArraySource, factor: int, float32: bool = False
) -> list[tuple[Callable[[FitState], Problem], float]]:
    """Parts of a shuffled sample, each `factor` times larger than the one before, with their numbers of rows.

    What makes the problem of a part is told the state of its fit.
    """
    sizes = [len(rows.X)]
    while sizes[0] // factor >= sample_size(model.latent.n_components, rows.n_features):
        sizes.insert(0, sizes[0] // factor)
    regularised = model.regularised()

    def problem(size: int, fit: FitState) -> Problem:
        return Problem(regularised, first_rows(rows, size), fit=fit if float32 else None)

    return [(partial(problem, size), size) for size in sizes]
