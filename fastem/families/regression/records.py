"""Records of the regressions: parameters of each response, and the sums that one step needs."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from fastem.families.gaussian.matrices import symmetric
from fastem.families.gaussian.moments import MIN_OCCUPANCY
from fastem.families.regression.blocks import BINOMIAL, GAMMA, NORMAL, POISSON, blocks_of
from fastem.passes.blocks import register_family
from fastem.stats import Additive, Repair


class _ParamsFields(NamedTuple):
    means: np.ndarray
    values: np.ndarray
    dispersion: np.ndarray
    log_norm: np.ndarray
    counted: np.ndarray
    exposure: np.ndarray


class RegressionParams(_ParamsFields):
    """Parameters of K components for P covariates, a response and, where there is one, its size.

    Shapes::

        means       (K, D)      the centre of the covariates; the mean response there; one for a size
        values      (K, 1 + P)  the linear predictor at the centre, and the coefficients
        dispersion  (K,)        variance of normal responses, squared coefficient of variation of gamma ones, or one
        log_norm    (K,)        what log-densities have of the component alone
        counted     (1,)        int64, the column of the response
        exposure    (1,)        int64, the column of the size; -1 for none
    """

    __slots__ = ()

    def shapes(self, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the fields for k components and d columns."""
        n_sizes = 1 if d > self.values.shape[1] else 0
        return (k, d), (k, d - n_sizes), (k,), (k,), (1,), (1,)


class NormalResponseParams(RegressionParams):
    """Of normal responses."""

    __slots__ = ()


class PoissonResponseParams(RegressionParams):
    """Of counts."""

    __slots__ = ()


class BinomialResponseParams(RegressionParams):
    """Of successes."""

    __slots__ = ()


class GammaResponseParams(RegressionParams):
    """Of amounts."""

    __slots__ = ()


for _record, _response in (
    (NormalResponseParams, NORMAL),
    (PoissonResponseParams, POISSON),
    (BinomialResponseParams, BINOMIAL),
    (GammaResponseParams, GAMMA),
):
    _log_prob_block, _accumulate_block = blocks_of(_response)
    register_family(_record, log_prob_block=_log_prob_block, accumulate_block=_accumulate_block)


class _StatsFields(NamedTuple):
    n: np.ndarray
    loss: np.ndarray
    score: np.ndarray
    mass: np.ndarray
    sx: np.ndarray
    sxx: np.ndarray
    centre: np.ndarray
    pivot: np.ndarray


class RegressionStats(Additive, _StatsFields):
    """What a step of the coefficients needs, of K components: sums at the `pivot`, the coefficients of the E-step.

    With x~ = (1, x - centre), eta = pivot' x~, and resp * loss(eta) what a row takes from the log-density, times the
    dispersion::

        n       (K,)          sum of resp
        loss    (K,)          sum of resp * loss; zero for responses without a dispersion
        score   (K, 1 + P)    minus its derivative: sum of resp * pull * x~
        mass    (K,)          its second derivative, or what is expected of it: sum of resp * weight
        sx, sxx (K, P), (K, P, P)   and sums of resp * weight * (x - centre), and of the products; lower triangles
        centre  (K, P)
        pivot   (K, 1 + P)

    A record stands for a quadratic in the coefficients, exactly so for normal responses, which may be written about any
    pivot: so records add up.
    """

    __slots__ = ()
    shared = ("centre", "pivot")

    def shapes(self, params: RegressionParams, k: int, n_lanes: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the fields with so many lanes."""
        q = params.values.shape[1]
        each = (n_lanes, k)
        return each, each, (*each, q), each, (*each, q - 1), (*each, q - 1, q - 1), (k, q - 1), (k, q)

    @property
    def information(self) -> np.ndarray:
        """The second derivatives (K, 1 + P, 1 + P) of the loss."""
        k, q = self.score.shape
        information = np.empty((k, q, q))
        information[:, 0, 0] = self.mass
        information[:, 0, 1:] = information[:, 1:, 0] = self.sx
        information[:, 1:, 1:] = symmetric(self.sxx)
        return information

    def about(self, values: np.ndarray) -> Self:
        """The same quadratic about other coefficients (K, 1 + P)."""
        if np.array_equal(self.pivot, values):
            return self
        step = values - self.pivot
        pull = np.einsum("kij,kj->ki", self.information, step)
        loss = self.loss + (step * (0.5 * pull - self.score)).sum(axis=1)
        return self._replace(loss=loss, score=self.score - pull, pivot=values)

    def centred(self, centre: np.ndarray) -> Self:
        """The same sums, with covariates about another centre (K, P)."""
        if np.array_equal(self.centre, centre):
            return self
        shift = self.centre - centre
        first = self.mass[:, None] * shift
        sxx = (
            symmetric(self.sxx) + shift[:, :, None] * (self.sx + first)[:, None] + self.sx[:, :, None] * shift[:, None]
        )
        score, pivot = self.score.copy(), self.pivot.copy()
        score[:, 1:] += score[:, :1] * shift
        pivot[:, 0] -= (pivot[:, 1:] * shift).sum(axis=1)
        return self._replace(score=score, sx=self.sx + first, sxx=sxx, centre=centre, pivot=pivot)

    def aligned(self, other: Self) -> Self:
        """The same statistics about the centre and the pivot of other ones."""
        return self.centred(other.centre).about(other.pivot)

    def __add__(self, other: Self) -> Self:  # type: ignore[override]
        if np.array_equal(self.pivot, other.pivot) and np.array_equal(self.centre, other.centre):
            return Additive.__add__(self, other)
        # Less is lost where the lighter record moves, component by component.
        heavier = (np.abs(self.mass) >= np.abs(other.mass))[:, None]
        centre = np.where(heavier, self.centre, other.centre)
        one, two = self.centred(centre), other.centred(centre)
        pivot = np.where(heavier, one.pivot, two.pivot)
        return Additive.__add__(one.about(pivot), two.about(pivot))

    def filled(self) -> tuple[Self, list[Repair]]:
        """Statistics in which an empty component has those of all rows, and a message about it."""
        total = self.n.sum()
        empty = self.n <= MIN_OCCUPANCY * total
        if total == 0.0 or not empty.any():
            return self, []
        share = self.n / total
        centre = np.broadcast_to(share @ self.centre, self.centre.shape)
        moved = self.centred(np.ascontiguousarray(centre))
        moved = moved.about(np.ascontiguousarray(np.broadcast_to(share @ moved.pivot, moved.pivot.shape)))

        def chosen(own: np.ndarray, of_all: np.ndarray) -> np.ndarray:
            return np.where(empty.reshape(-1, *[1] * (own.ndim - 1)), of_all, own)

        sums = {name: chosen(getattr(self, name), getattr(moved, name).sum(axis=0)) for name in self._fields[:-2]}
        sums["sxx"] = chosen(symmetric(self.sxx), symmetric(moved.sxx.sum(axis=0)))
        places = {name: chosen(getattr(self, name), getattr(moved, name)) for name in self.shared}
        repairs = [Repair(int(k), "empty", "took the regression of all rows") for k in np.flatnonzero(empty)]
        return self._replace(**sums, **places), repairs
