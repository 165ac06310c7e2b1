"""The simplest hidden structure: each row comes from one of K components, independently of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from fastem._vector_math import exp_nonpositive
from fastem.blocks import register_latent
from fastem.stats import Additive


class MixtureParams(NamedTuple):
    """Mixing weights, (K,), which sum to one, and their logarithms."""

    weights: np.ndarray
    log_weights: np.ndarray


class _MixtureFields(NamedTuple):
    n: np.ndarray


class MixtureStats(Additive, _MixtureFields):
    """Expected number of rows of each component: `n` (K,)."""

    __slots__ = ()


@dataclass(frozen=True)
class Mixture:
    """Independent rows, each from one of `n_components` components."""

    n_components: int

    # Rows are independent of each other.
    is_chain: ClassVar[bool] = False

    def params(self, weights: np.ndarray) -> MixtureParams:
        """Parameters from mixing weights in any scale."""
        # A floor far below any meaningful weight keeps the logarithm finite.
        weights = np.maximum(np.asarray(weights, dtype=np.float64) / np.sum(weights), np.finfo(np.float64).tiny)
        return MixtureParams(weights, np.log(weights))

    def uniform(self) -> MixtureParams:
        """All components have the same weight."""
        return self.params(np.ones(self.n_components))

    def log_share(self, params: MixtureParams) -> np.ndarray:
        """Logarithms of the shares (K,) that the components have of all rows, the same for every row."""
        return params.log_weights

    def zero_stats(self) -> MixtureStats:
        return MixtureStats(np.zeros(self.n_components))

    def given_stats(self, resp: np.ndarray) -> MixtureStats:
        """Statistics of rows whose weighted responsibilities (N, K) are known."""
        return MixtureStats(resp.sum(axis=0))

    def stats_of(self, params: MixtureParams) -> MixtureStats:
        """Statistics of one row, of which an M-step makes these parameters."""
        return MixtureStats(params.weights)

    def occupancy(self, params: MixtureParams) -> np.ndarray:
        """Expected share (K,) that each component has of the rows."""
        return params.weights

    def m_step(self, stats: MixtureStats) -> MixtureParams:
        """Maximum likelihood: weights are mean responsibilities."""
        return self.params(stats.n)

    def constraints(self) -> dict[str, np.ndarray]:
        """What the structure was told, by the name of the field: nothing."""
        return {}

    def n_parameters(self) -> int:
        return self.n_components - 1

    def sample(self, params: MixtureParams, n_rows: int, random: np.random.Generator) -> np.ndarray:
        """Component of each of `n_rows` rows, (n_rows,) integers."""
        return random.choice(self.n_components, size=n_rows, p=params.weights / params.weights.sum())


# Less than the log-density of any row that is possible at all.
_LEAST = -1.7e308


def _posterior_block(latent_params, components, log_prob, weight, shift, norm, scratch, latent_stats, lane):
    """Softmax down the components, after subtracting each row's maximum."""
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
    n_impossible = 0.0
    for i in range(n_rows):
        n_impossible += 1.0 if norm[i] == 0.0 else 0.0
        inverse[i] = weight[i] / norm[i]
    if n_impossible > 0.0:
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


register_latent(MixtureParams, posterior_block=_posterior_block)
