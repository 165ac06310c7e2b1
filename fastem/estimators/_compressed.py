"""Rows of one feature together with a few weighted values that stand in for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastem.compress import Grid, compress
from fastem.estimators._mixture import RowProblem
from fastem.sources import ArraySource

# Of fewer bins, some component may see only one, and collapse onto it.
_MIN_BINS = 32
_GRID_ROWS = 4096


@dataclass(frozen=True)
class CompressedProblem(RowProblem):
    """A problem, and another one of few rows that has nearly the same solution."""

    stand_in: RowProblem


def compressed(problem: RowProblem, n_bins: int) -> CompressedProblem:
    """The problem with a stand-in of at most twice `n_bins` rows.

    Raises
    ------
    ValueError
        For several features, or too few bins for the components.
    """
    model, source = problem.model, problem.source
    if source.n_features > 1:
        raise ValueError(f"compress={n_bins} is for one feature, but X has {source.n_features}. Use compress=None.")
    least = _MIN_BINS * model.latent.n_components
    if n_bins < least:
        raise ValueError(
            f"compress={n_bins} bins are too few for n_components={model.latent.n_components}. "
            f"Use at least {least}, or compress=None."
        )
    # Roughly right is enough for a grid: it takes no part in the user's randomness.
    sample = source.sample(_GRID_ROWS, np.random.default_rng(0))
    values, weight = compress(source.chunks(), Grid.around(sample.X[:, 0], n_bins))
    return CompressedProblem(model, source, RowProblem(model, ArraySource(values[:, None], weight)))
