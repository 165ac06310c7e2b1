"""The simplest hidden structure: each row comes from one of K components, independently of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastem.contracts import Latent
from fastem.passes.blocks import register_latent
from fastem.passes.flags import exact_function
from fastem.passes.precision import by_dtype, in_parts
from fastem.passes.vector_math import exp_nonpositive, exp_nonpositive_float32
from fastem.stats import Additive


class MixtureParams(NamedTuple):
    """Mixing weights, (K,), which sum to one, and their logarithms."""

    weights: np.ndarray
    log_weights: np.ndarray

    def shapes(self, k: int, d: int) -> tuple[tuple[int, ...], ...]:
        return (k,), (k,)


class _MixtureFields(NamedTuple):
    n: np.ndarray


class MixtureStats(Additive, _MixtureFields):
    """Expected number of rows of each component: `n` (K,)."""

    __slots__ = ()

    def shapes(self, params: Any, k: int, n_lanes: int) -> tuple[tuple[int, ...], ...]:
        return ((n_lanes, k),)


@dataclass(frozen=True, eq=False)
class MixtureLatent(Latent):
    """Independent rows, each from one of `n_components` components.

    Parameters
    ----------
    n_components : int
    concentration : float
        Of a symmetric Dirichlet prior of the weights, at least 1: each component has `concentration - 1` rows more
        than were seen.
    fixed_weights : (K,) ndarray, optional
        Weights that no M-step changes; NaN where they are free.
    """

    n_components: int
    concentration: float = 1.0
    fixed_weights: np.ndarray | None = None

    # Rows are independent of each other.
    is_chain: ClassVar[bool] = False

    def params(self, weights: np.ndarray) -> MixtureParams:
        """Parameters from mixing weights in any scale; one of zero excludes its component."""
        return _record(np.asarray(weights, dtype=np.float64) / np.sum(weights))

    def rebuilt(self, params: MixtureParams) -> MixtureParams:
        return _record(params.weights)

    def probabilities(self, params: MixtureParams) -> tuple[np.ndarray, ...]:
        """What `params` takes to make these parameters."""
        return (params.weights,)

    def uniform(self) -> MixtureParams:
        return self.params(np.ones(self.n_components))

    def log_share(self, params: MixtureParams) -> np.ndarray:
        return params.log_weights

    def zero_stats(self) -> MixtureStats:
        return MixtureStats(np.zeros(self.n_components))

    def given_stats(self, resp: np.ndarray) -> MixtureStats:
        """Statistics of rows whose weighted responsibilities (N, K) are known."""
        return MixtureStats(resp.sum(axis=0))

    def stats_of(self, params: MixtureParams) -> MixtureStats:
        return MixtureStats(params.weights)

    def occupancy(self, params: MixtureParams) -> np.ndarray:
        return params.weights

    def m_step(self, stats: MixtureStats, params: MixtureParams) -> MixtureParams:
        """Maximum likelihood: weights are mean responsibilities; the free ones share what fixed ones leave."""
        return self._params_of_shares(stats.n)

    def _params_of_shares(self, shares: np.ndarray) -> MixtureParams:
        total = shares.sum()
        if self.fixed_weights is None and total > 0.0:
            return _record(_floored(shares / total))
        # What is fixed is no share of a sum, which rounding may leave a little beside one.
        # Without any rows, as where all of them are impossible, the free ones are equal.
        fixed = self._fixed()
        weights = _completed(fixed, shares)
        return _record(np.where(np.isnan(fixed), _floored(weights), weights))

    def prior_stats(self, weight: float) -> MixtureStats | None:
        if self.concentration == 1.0:
            return None
        return MixtureStats(np.full(self.n_components, self.concentration - 1.0))

    def log_prior(self, params: MixtureParams, weight: float) -> float:
        """Logarithm of the Dirichlet density, up to a constant, in nats."""
        if self.concentration == 1.0:
            return 0.0
        return float((self.concentration - 1.0) * (params.log_weights + np.log(self.n_components)).sum())

    def expected_log_prob(self, params: MixtureParams, stats: MixtureStats) -> float:
        return float((stats.n * np.where(stats.n != 0, params.log_weights, 0.0)).sum())

    def n_unconstrained(self) -> int:
        return self.n_components

    def to_unconstrained(self, params: MixtureParams) -> np.ndarray:
        """The logarithm of a weight that dies would run away for ever, though nothing depends on it any more."""
        return np.sqrt(params.weights)

    def from_unconstrained(self, point: np.ndarray) -> MixtureParams:
        return self._params_of_shares(point**2)

    def n_parameters(self) -> int:
        return max(0, self._free().size - 1)

    # Tangents of the parameters: free shares are multiplied by exp(tangent), that of the last of them by one, and
    # their sum is made again what it was.

    def _fixed(self) -> np.ndarray:
        """The weights (K,) that are fixed; NaN where they are free."""
        return np.full(self.n_components, np.nan) if self.fixed_weights is None else self.fixed_weights

    def _free(self) -> np.ndarray:
        """The components (F,) whose weights are not fixed; all but the last move."""
        return np.flatnonzero(np.isnan(self._fixed()))

    def _conditional(self, params: MixtureParams) -> np.ndarray:
        """Weights (F,) of the free components among themselves."""
        weights = params.weights[self._free()]
        return weights / weights.sum()

    def gradients(self, params: MixtureParams, resp: np.ndarray) -> np.ndarray:
        """Derivatives (N, F - 1) of the rows' expected log-density, in nats, by tangents; `resp` is (N, K)."""
        resp = resp[:, self._free()]
        return (resp - resp.sum(axis=1, keepdims=True) * self._conditional(params))[:, :-1]

    def gradient(self, params: MixtureParams, stats: MixtureStats) -> np.ndarray:
        """Sum (F - 1,) of the `gradients` of rows, from their expected statistics."""
        n = stats.n[self._free()]
        return (n - n.sum() * self._conditional(params))[:-1]

    def at_tangent(self, params: MixtureParams, tangent: np.ndarray) -> MixtureParams:
        """Parameters after a tangent (F - 1,)."""
        shares = params.weights.copy()
        shares[self._free()[:-1]] *= np.exp(tangent)
        return self._params_of_shares(shares)

    def jvp(self, params: MixtureParams, tangents: np.ndarray) -> dict[str, np.ndarray]:
        """What small tangents (M, F - 1) change in the weights (M, K)."""
        free = self._free()
        relative = np.zeros((len(tangents), self.n_components))
        relative[:, free[:-1]] = tangents
        relative[:, free] -= relative[:, free] @ self._conditional(params)[:, None]
        return {"weights": params.weights * relative}

    def tangent_components(self) -> np.ndarray:
        """The component (F - 1,) of which each tangent moves the share."""
        return self._free()[:-1]

    def estimates(self, params: MixtureParams) -> dict[str, np.ndarray]:
        return {"weights": params.weights}

    def scales(self) -> dict[str, np.ndarray]:
        return {"weights": np.full(self.n_components, "logit")}

    def sample(self, params: MixtureParams, n_rows: int, random: np.random.Generator) -> np.ndarray:
        """Component of each of `n_rows` rows, (n_rows,) integers."""
        return random.choice(self.n_components, size=n_rows, p=params.weights / params.weights.sum())

    def components(self, params: MixtureParams, hidden: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """The components (N,) that rows come from: what is hidden."""
        return hidden


def _completed(fixed: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Fixed weights (K,), in which what they leave takes the place of NaN, in proportion to shares (K,)."""
    free = np.isnan(fixed)
    weights = np.where(free, 0.0, fixed)
    if free.any():
        total = shares[free].sum()
        weights[free] = (1.0 - weights.sum()) * (shares[free] / total if total > 0 else 1.0 / free.sum())
    return weights


def _floored(weights: np.ndarray) -> np.ndarray:
    """Estimated weights: that no row was seen is no reason to exclude a component."""
    return np.maximum(weights, np.finfo(np.float64).tiny)


def _record(weights: np.ndarray) -> MixtureParams:
    with np.errstate(divide="ignore"):
        return MixtureParams(weights, np.log(weights))


# Less than the log-density of any row that is possible at all.
_LEAST, _LEAST_FLOAT32 = -1.7e308, np.float32(-3e38)


def _softmax(log_prob, latent_params, components, weight, shift, norm, scratch, latent_stats, lane):
    n_rows = log_prob.shape[1]
    n_components = components.shape[0]
    inverse = scratch[0]
    log_weight = latent_params.log_weights[components[0]]
    for i in range(n_rows):
        joint = log_prob[0, i] + log_weight
        shift[i] = joint if joint > _LEAST else _LEAST
    for a in range(1, n_components):
        log_weight = latent_params.log_weights[components[a]]
        for i in range(n_rows):
            joint = log_prob[a, i] + log_weight
            shift[i] = joint if joint > shift[i] else shift[i]
    for i in range(n_rows):
        norm[i] = 0.0
    for a in range(n_components):
        log_weight = latent_params.log_weights[components[a]]
        for i in range(n_rows):
            term = exp_nonpositive((log_prob[a, i] + log_weight) - shift[i])
            log_prob[a, i] = term
            norm[i] += term
    n_zero_density = 0.0
    for i in range(n_rows):
        n_zero_density += 1.0 if norm[i] == 0.0 else 0.0
        inverse[i] = weight[i] / norm[i]
    if n_zero_density > 0.0:
        for i in range(n_rows):
            if norm[i] == 0.0:
                shift[i], norm[i], inverse[i] = -np.inf, 1.0, 0.0
    for a in range(n_components):
        n = 0.0
        for i in range(n_rows):
            resp = log_prob[a, i] * inverse[i]
            log_prob[a, i] = resp
            n += resp
        latent_stats.n[lane, components[a]] += n


@exact_function
def _above(log_prob, coarse, fine, top):
    """How far a row's log-density, and the parts of a logarithm, are above the row's highest."""
    return ((log_prob + coarse) - top) + fine


def _softmax_float32(log_prob, latent_params, components, weight, shift, norm, scratch, latent_stats, lane):
    n_rows = log_prob.shape[1]
    n_components = components.shape[0]
    top, total, inverse = scratch[0], scratch[1], scratch[2]
    for i in range(n_rows):
        top[i] = _LEAST_FLOAT32
        total[i] = np.float32(0.0)
    for a in range(n_components):
        coarse, _ = in_parts(latent_params.log_weights[components[a]])
        for i in range(n_rows):
            joint = log_prob[a, i] + coarse
            top[i] = joint if joint > top[i] else top[i]
    for a in range(n_components):
        coarse, fine = in_parts(latent_params.log_weights[components[a]])
        for i in range(n_rows):
            term = exp_nonpositive_float32(_above(log_prob[a, i], coarse, fine, top[i]))
            log_prob[a, i] = term
            total[i] += term
    n_zero_density = 0.0
    for i in range(n_rows):
        n_zero_density += 1.0 if total[i] == 0.0 else 0.0
        shift[i], norm[i] = top[i], total[i]
        inverse[i] = np.float32(weight[i] / norm[i])
    if n_zero_density > 0.0:
        for i in range(n_rows):
            if norm[i] == 0.0:
                shift[i], norm[i], inverse[i] = -np.inf, 1.0, np.float32(0.0)
    for a in range(n_components):
        n = np.float32(0.0)
        for i in range(n_rows):
            resp = log_prob[a, i] * inverse[i]
            log_prob[a, i] = resp
            n += resp
        latent_stats.n[lane, components[a]] += n


_soften = by_dtype(_softmax, _softmax_float32)


def _posterior_block(latent_params, components, log_prob, weight, shift, norm, scratch, latent_stats, lane):
    """Softmax down the components, after subtracting each row's maximum."""
    _soften(log_prob, latent_params, components, weight, shift, norm, scratch, latent_stats, lane)


register_latent(MixtureParams, posterior_block=_posterior_block)
