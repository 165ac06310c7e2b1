"""Replicates of a fit to resampled rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from fastem.fitting.information import ParameterArrays, estimates, mapped, require_interior
from fastem.fitting.intervals import ConfidenceIntervals, require_level
from fastem.fitting.numeric import with_gradients
from fastem.model import Model, Params
from fastem.sources.source import Sample, Source


class Bootstrap(ParameterArrays):
    """ParameterArrays from rows that were weighted anew at random.

    Attributes
    ----------
    weights, and means, covariances, rates or probabilities : ndarray, or list of these
        One estimate for each replicate, along a first axis.
    """

    def standard_errors(self) -> ParameterArrays:
        """Standard deviations over the replicates."""
        return ParameterArrays(
            **{name: mapped(lambda array: array.std(axis=0, ddof=1), values) for name, values in vars(self).items()}
        )

    def confidence_intervals(self, level: float = 0.95) -> ConfidenceIntervals:
        """Percentiles of the replicates.

        Parameters
        ----------
        level : float, default 0.95
        """
        require_level(level)
        tails = (0.5 - 0.5 * level, 0.5 + 0.5 * level)
        lower, upper = (
            ParameterArrays(
                **{name: mapped(partial(np.quantile, q=tail, axis=0), values) for name, values in vars(self).items()}
            )
            for tail in tails
        )
        return ConfidenceIntervals(level=level, lower=lower, upper=upper)


def bootstrap(
    model: Model,
    params: Params,
    sample: Sample,
    ratio: float,
    n_replicates: int,
    random: np.random.Generator,
    refit: Callable[[Source, Params], Params],
) -> Bootstrap:
    """Estimates from rows that are weighted anew at random, by `refit(rows, start)`.

    A row of the whole data has a weight of exponential distribution, of mean one. A row of weight w of a sample stands
    for w * `ratio` of them, the sum of whose weights has a gamma distribution. So a row of weight 2 is the row twice,
    and the spread is that of all rows. The optimum of a sample lies elsewhere, and the replicates about it: they are
    moved to the fitted parameters.

    References
    ----------
    Newton & Raftery (1994), *Approximate Bayesian inference with the weighted likelihood bootstrap*, J. R. Statist.
    Soc. B 56, 3-48.
    """
    model = with_gradients(model)
    require_interior(model, params)
    weight = np.ones(len(sample.X)) if sample.weight is None else sample.weight
    centre = refit(sample, params)
    refits = [
        estimates(model, refit(sample.weighted(random.standard_gamma(ratio * weight) / ratio), centre))
        for _ in range(n_replicates)
    ]
    fitted, middle = estimates(model, params), estimates(model, centre)

    def about(value: np.ndarray, centre: np.ndarray, *replicates: np.ndarray) -> np.ndarray:
        return value + (np.array(replicates) - centre)

    return Bootstrap(
        **{name: mapped(about, fitted[name], middle[name], *(refit[name] for refit in refits)) for name in fitted}
    )
