"""Replicates of a fit to resampled rows."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from fastem.fitting.batch import accelerator_of
from fastem.fitting.checks import Checked
from fastem.fitting.information import ParameterArrays, estimates, mapped, require_interior, require_rows
from fastem.fitting.intervals import ConfidenceIntervals, require_level
from fastem.fitting.numeric import with_gradients
from fastem.fitting.problem import Problem
from fastem.fitting.scores import total_weight
from fastem.given import require_count
from fastem.model import Model, Params
from fastem.schedules.batch import fit_batch
from fastem.schedules.result import Reason
from fastem.sources import Source

# A refit stops when it is so near its optimum, in proportion to how far it is expected to lie from the last one.
_RESOLUTION = 1e-3


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


def require_replicates(n_replicates: Any, max_rows: Any, name: str = "n_replicates") -> None:
    """Raise ValueError for too few replicates, and for what is no size of a sample that is held in memory."""
    require_count(name, n_replicates, least=2)
    if max_rows is None:
        raise ValueError("max_rows must be a number for a bootstrap, whose rows are held in memory.")
    require_rows(max_rows)


class Refitting:
    """Refits a model to rows, or a sample of them, that are weighted anew at random; see `bootstrap`.

    `centre` are the parameters that fit the sample as it is, and `n_unfinished` refits did not converge.
    """

    def __init__(
        self, model: Model, params: Params, rows: Source, max_rows: int, max_iter: int, random: np.random.Generator
    ):
        total = total_weight(Checked(rows, model.family).chunks())
        self._sample = rows.sample(max_rows, random)
        self._ratio = total / total_weight(self._sample.chunks())
        self._weight = np.ones(len(self._sample.X)) if self._sample.weight is None else self._sample.weight
        self._tol, self._max_iter = _RESOLUTION * model.n_parameters() / (2.0 * total), max_iter
        self._random, self.n_unfinished = random, 0
        self.model, start = model.for_rows(params, bool(np.isnan(self._sample.X).any()))
        self.centre = self._refit(self._sample, start)

    def next_params(self) -> Params:
        """The parameters of another replicate."""
        weight = self._random.standard_gamma(self._ratio * self._weight) / self._ratio
        return self._refit(self._sample.weighted(weight), self.centre)

    def _refit(self, rows: Source, start: Params) -> Params:
        problem = Problem(self.model, rows)
        accelerator = accelerator_of("squarem", self.model, self._tol)
        result = fit_batch(
            problem, start, tol=self._tol, max_iter=self._max_iter, accelerator=accelerator,
            halfway=self.model.halfway(),
        ).unbroken()  # fmt: skip
        self.n_unfinished += result.reason is Reason.MAX_ITER
        return result.params


def bootstrap(
    model: Model,
    params: Params,
    rows: Source,
    n_replicates: int,
    max_rows: int,
    max_iter: int,
    random: np.random.Generator,
) -> tuple[Bootstrap, int]:
    """Estimates from rows, or a sample of them, that are weighted anew at random; and how many refits did not converge.

    A row of the whole data has a weight of exponential distribution, of mean one. A row of weight w of a sample stands
    for w * `ratio` of them, the sum of whose weights has a gamma distribution. So a row of weight 2 is the row twice,
    and the spread is that of all rows. The optimum of a sample lies elsewhere, and the replicates about it: they are
    moved to the fitted parameters.

    References
    ----------
    Newton & Raftery (1994), *Approximate Bayesian inference with the weighted likelihood bootstrap*, J. R. Statist.
    Soc. B 56, 3-48.
    """
    known = with_gradients(model)
    require_interior(known, params)
    refitting = Refitting(model, params, rows, max_rows, max_iter, random)
    refits = [estimates(known, refitting.next_params()) for _ in range(n_replicates)]
    centre = refitting.centre
    fitted, middle = estimates(known, params), estimates(known, centre)

    def about(value: np.ndarray, centre: np.ndarray, *replicates: np.ndarray) -> np.ndarray:
        return value + (np.array(replicates) - centre)

    replicates = Bootstrap(
        **{name: mapped(about, fitted[name], middle[name], *(each[name] for each in refits)) for name in fitted}
    )
    return replicates, refitting.n_unfinished
