"""Replicates of a fit to resampled rows."""

from __future__ import annotations

from collections.abc import Callable
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
from fastem.sources import ArraySource, SequenceSource, Source

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


class Refits:
    """Refits a model to rows in memory, or sequences, that are weighted anew at random.

    `centre` are the parameters that fit the rows as they are, and `n_unfinished` refits did not converge.
    """

    def __init__(
        self,
        model: Model,
        params: Params,
        rows: Any,
        total: float,
        max_iter: int,
        new_weights: Callable[[], np.ndarray],
        has_missing: bool,
    ):
        self._rows, self._new_weights = rows, new_weights
        self._tol, self._max_iter = _RESOLUTION * model.n_parameters() / (2.0 * total), max_iter
        self.n_unfinished = 0
        self.model, start = model.for_rows(params, has_missing)
        self.centre = self._refit(rows, start)

    def next_params(self) -> Params:
        """The parameters of another replicate."""
        return self._refit(self._rows.weighted(self._new_weights()), self.centre)

    def _refit(self, rows: Source, start: Params) -> Params:
        problem = Problem(self.model, rows)
        accelerator = accelerator_of("squarem", self.model, self._tol)
        result = fit_batch(
            problem, start, tol=self._tol, max_iter=self._max_iter, accelerator=accelerator,
            halfway=self.model.halfway(),
        ).unbroken()  # fmt: skip
        self.n_unfinished += result.reason is Reason.MAX_ITER
        return result.params


def refits_of_rows(
    model: Model, params: Params, rows: Source, max_rows: int, max_iter: int, random: np.random.Generator
) -> Refits:
    """Refits to rows, or a sample of them; see `bootstrap`."""
    total = total_weight(Checked(rows, model.family).chunks())
    sample = rows.sample(max_rows, random)
    ratio = total / total_weight(sample.chunks())
    weight = np.ones(len(sample.X)) if sample.weight is None else sample.weight

    def new_weights() -> np.ndarray:
        return random.standard_gamma(ratio * weight) / ratio

    return Refits(model, params, sample, total, max_iter, new_weights, bool(np.isnan(sample.X).any()))


def refits_of_groups(
    model: Model, params: Params, rows: ArraySource, groups: np.ndarray, max_iter: int, random: np.random.Generator
) -> Refits:
    """Refits to rows in memory, of which those of a group (N,) are weighted together."""
    total = total_weight(Checked(rows, model.family).chunks())
    weight = np.ones(len(rows.X)) if rows.weight is None else rows.weight
    of_rows = np.unique(groups, return_inverse=True)[1]
    n_groups = int(of_rows.max()) + 1

    def new_weights() -> np.ndarray:
        return random.standard_exponential(n_groups)[of_rows] * weight

    return Refits(model, params, rows, total, max_iter, new_weights, bool(np.isnan(rows.X).any()))


def refits_of_sequences(
    model: Model, params: Params, sequences: SequenceSource, max_iter: int, random: np.random.Generator
) -> Refits:
    """Refits to sequences, each of which is weighted as a whole."""
    has_missing = Checked(sequences, model.family).look_over()
    lengths, weight = sequences.lengths, sequences.row_weights()
    of_sequences = weight[np.cumsum(lengths) - lengths]

    def new_weights() -> np.ndarray:
        return np.repeat(random.standard_gamma(of_sequences), lengths)

    return Refits(model, params, sequences, float(weight.sum()), max_iter, new_weights, has_missing)


def bootstrap(
    model: Model,
    params: Params,
    rows: Source,
    n_replicates: int,
    max_rows: int,
    max_iter: int,
    random: np.random.Generator,
    groups: np.ndarray | None = None,
) -> tuple[Bootstrap, int]:
    """Estimates from rows, or a sample of them, that are weighted anew at random; and how many refits did not converge.

    A row of the whole data has a weight of exponential distribution, of mean one. A row of weight w of a sample stands
    for w * `ratio` of them, the sum of whose weights has a gamma distribution. So a row of weight 2 is the row twice,
    and the spread is that of all rows. The optimum of a sample lies elsewhere, and the replicates about it: they are
    moved to the fitted parameters. All rows of a group, where there are `groups` (N,), have one random weight.

    References
    ----------
    Newton & Raftery (1994), *Approximate Bayesian inference with the weighted likelihood bootstrap*, J. R. Statist.
    Soc. B 56, 3-48.
    """
    known = with_gradients(model)
    require_interior(known, params)
    if groups is None:
        refits = refits_of_rows(model, params, rows, max_rows, max_iter, random)
    else:
        refits = refits_of_groups(model, params, rows, groups, max_iter, random)  # type: ignore[arg-type]
    return _about_fitted(refits, n_replicates, estimates(known, params), partial(estimates, known)), refits.n_unfinished


def bootstrap_sequences(
    model: Model,
    params: Params,
    sequences: SequenceSource,
    n_replicates: int,
    max_iter: int,
    random: np.random.Generator,
    shown: Callable[[Model, Params], dict[str, Any]],
) -> tuple[Bootstrap, int]:
    """As `bootstrap`, of whole sequences; `shown` tells the parameters by name."""
    refits = refits_of_sequences(model, params, sequences, max_iter, random)
    replicates = _about_fitted(refits, n_replicates, shown(model, params), partial(shown, refits.model))
    return replicates, refits.n_unfinished


def _about_fitted(
    refits: Refits, n_replicates: int, fitted: dict[str, Any], shown: Callable[[Params], dict[str, Any]]
) -> Bootstrap:
    """Replicates that are moved from the optimum of the rows that were refitted to the fitted parameters."""
    found = [shown(refits.next_params()) for _ in range(n_replicates)]
    middle = shown(refits.centre)

    def about(value: np.ndarray, centre: np.ndarray, *replicates: np.ndarray) -> np.ndarray:
        return value + (np.array(replicates) - centre)

    return Bootstrap(
        **{name: mapped(about, fitted[name], middle[name], *(each[name] for each in found)) for name in fitted}
    )
