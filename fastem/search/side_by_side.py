"""Starts of a mixture that run side by side on few rows: one pass makes an iteration of all of them.

With few rows an iteration takes its time between two passes, whatever the number of components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastem.executors.reduction import reduced
from fastem.model import Model, Params, zero_stats
from fastem.passes.pruning import NO_PRUNING
from fastem.sources.segments import Segment, segments_of
from fastem.sources.source import Sample
from fastem.starts.several import apart, side_by_side, stacked
from fastem.stats import ExpectedStats, Repair

# Shares of a row below this are rounding: the row is left to the mixing weights.
_LEAST_SHARE = 1e-290
# Starts that gain less in an iteration, in nats per unit of weight, have arrived.
_SETTLED = 1e-4
# A component has rows enough when it has so many times those that describe it exactly.
_ENOUGH = 1.5
# Objectives are told apart by so many decimals: of starts that lead to one optimum the first wins, and not rounding.
_DIGITS = 6
# Iterations of the first heat of a race.
_FIRST_HEAT = 8


@dataclass(frozen=True)
class Lane:
    """One of several mixtures that run side by side.

    `is_proper` says whether each component has rows enough for its parameters; `repairs` are those of the last M-step.
    """

    params: Params
    objective: float
    is_proper: bool
    repairs: list[Repair]

    def rank(self, has_far_rows: bool = False) -> tuple[bool, float]:
        """The likelihood of a component on few rows knows no bound: what it gains is no reason to choose it.

        Unless some rows are far from all others: one component may be theirs.
        """
        objective = np.inf if np.isnan(self.objective) else -round(self.objective, _DIGITS)
        return not (self.is_proper or has_far_rows), objective


@dataclass(frozen=True)
class Winner:
    """The mixture that is left, its index at the start, and the objectives of all after each heat."""

    lane: Lane
    index: int
    heats: tuple[tuple[float, ...], ...]


def race_side_by_side(
    model: Model, sample: Sample, params: Params, n_starts: int, has_far_rows: bool = False
) -> Winner:
    """Race so many mixtures of one kind, whose parameters stand side by side, on the rows of a sample.

    The best third goes on for twice as many iterations, and so on.
    """
    places, heats, n_iter = list(range(n_starts)), [], _FIRST_HEAT
    while len(places) > 1:
        lanes = run_side_by_side(model, sample, params, len(places), n_iter)
        heats.append(tuple(lane.objective for lane in lanes))
        order = sorted(range(len(lanes)), key=lambda place: lanes[place].rank(has_far_rows))
        order = order[: -(-len(lanes) // 3)]
        places = [places[place] for place in order]
        best = [lanes[place] for place in order]
        params = stacked(model, [lane.params for lane in best])
        n_iter *= 2
    return Winner(best[0], places[0], tuple(heats))


def run_side_by_side(model: Model, sample: Sample, params: Params, n_starts: int, n_iter: int) -> list[Lane]:
    """Where so many iterations of EM lead each of the mixtures whose parameters stand side by side."""
    return _SideBySide(model, n_starts, sample).run(params, n_iter)


class _SideBySide:
    """Several mixtures of one kind on the rows of a sample, as one model."""

    def __init__(self, model: Model, n_starts: int, sample: Sample):
        self._model, self._n, self._sample = model, n_starts, sample
        self._together = side_by_side(model, n_starts)
        self._weight = np.ones(len(sample.X)) if sample.weight is None else sample.weight

    def run(self, params: Params, n_iter: int) -> list[Lane]:
        repairs: list[Repair] = []
        resp, loglik = self._posterior(params)
        for _ in range(n_iter):
            params, repairs = self._together.m_step(self._stats(params, resp), params)
            before = loglik
            resp, loglik = self._posterior(params)
            # An iteration that gains nothing says the same of those after it.
            if not (loglik - before > _SETTLED * self._weight.sum()).any():
                break
        return self._lanes(params, loglik, self._weight @ resp, repairs)

    def _posterior(self, params: Params) -> tuple[np.ndarray, np.ndarray]:
        """Responsibilities (N, S K) of the components, one to each mixture, and log-likelihoods (S,).

        They are those of one mixture of all, divided among the components of each: nothing has to be compiled anew.
        """
        X, model, n = self._sample.X, self._together, self._n
        resp, loglik = np.empty((len(X), model.latent.n_components)), np.empty(len(X))
        zero = zero_stats(model, params)
        model.backend.score(model.latent, params, zero, X, None, NO_PRUNING, resp=resp, loglik=loglik)
        each = resp.reshape(len(X), n, -1)
        share = each.sum(axis=2)
        lost = share < _LEAST_SHARE
        if lost.any():
            each[lost] = params.latent.weights.reshape(n, -1)[np.nonzero(lost)[1]]
            share[lost] = _LEAST_SHARE
            each /= each.sum(axis=2, keepdims=True)
        else:
            each /= share[:, :, None]
        with np.errstate(invalid="ignore"):
            return resp, self._weight @ (np.log(n * share) + loglik[:, None])

    def _stats(self, params: Params, resp: np.ndarray) -> ExpectedStats:
        def total_of(segment: Segment) -> ExpectedStats:
            accumulator = self._together.accumulator(params, NO_PRUNING)
            for chunk in segment.chunks:
                accumulator.add_given(chunk, resp[chunk.first_row : chunk.first_row + len(chunk)])
                del chunk
            return accumulator.total()

        return reduced(total_of, segments_of(self._sample.chunks()))

    def _lanes(self, params: Params, loglik: np.ndarray, n: np.ndarray, repairs: list[Repair]) -> list[Lane]:
        model, weight = self._model, float(self._weight.sum())
        k, d = model.latent.n_components, model.family.n_features
        of_component = (model.n_parameters() - model.latent.n_parameters()) / k
        # So many rows describe a component exactly: D + 1 where it has a matrix, otherwise two.
        least = _ENOUGH * (1.0 + (d if of_component > 2 * d else 1)) * weight / len(self._sample.X)
        of_lane: list[list[Repair]] = [[] for _ in range(self._n)]
        for repair in repairs:
            of_lane[repair.component // k].append(repair._replace(component=repair.component % k))
        return [
            Lane(each, (float(of_start) + model.log_prior(each, weight)) / weight, bool(rows.min() >= least), found)
            for each, of_start, rows, found in zip(
                apart(model, params, self._n), loglik, n.reshape(self._n, -1), of_lane, strict=True
            )
        ]
