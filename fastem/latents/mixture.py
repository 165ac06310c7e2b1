"""The simplest hidden structure: each row comes from one of K components, independently of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastem._vector_math import exp_nonpositive, log_positive
from fastem.blocks import BLOCK, register_latent
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

    def params(self, weights: np.ndarray) -> MixtureParams:
        """Parameters from mixing weights in any scale."""
        # A floor far below any meaningful weight keeps the logarithm finite.
        weights = np.maximum(np.asarray(weights, dtype=np.float64) / np.sum(weights), np.finfo(np.float64).tiny)
        return MixtureParams(weights, np.log(weights))

    def zero_stats(self) -> MixtureStats:
        return MixtureStats(np.zeros(self.n_components))

    def given_stats(self, resp: np.ndarray) -> MixtureStats:
        """Statistics of rows whose weighted responsibilities (N, K) are known."""
        return MixtureStats(resp.sum(axis=0))

    def m_step(self, stats: MixtureStats) -> MixtureParams:
        """Maximum likelihood: weights are mean responsibilities."""
        return self.params(stats.n)

    def n_parameters(self) -> int:
        return self.n_components - 1

    def sample(self, params: MixtureParams, n_rows: int, random: np.random.Generator) -> np.ndarray:
        """Component of each of `n_rows` rows, (n_rows,) integers."""
        return random.choice(self.n_components, size=n_rows, p=params.weights / params.weights.sum())


def _posterior_block(latent_params, log_prob, weight, row_loglik, scratch, latent_stats, lane):
    """Softmax down the components, after subtracting each row's maximum."""
    n_components = latent_params.log_weights.shape[0]
    highest = scratch[0]
    total = scratch[1]
    for i in range(BLOCK):
        highest[i] = -np.inf
        total[i] = 0.0
    for k in range(n_components):
        log_weight = latent_params.log_weights[k]
        for i in range(BLOCK):
            joint = log_prob[k, i] + log_weight
            log_prob[k, i] = joint
            highest[i] = joint if joint > highest[i] else highest[i]
    for i in range(BLOCK):
        # A row impossible under every component: subtract nothing, every term becomes exp(-inf) = 0.
        highest[i] = highest[i] if highest[i] > -np.inf else 0.0
    for k in range(n_components):
        for i in range(BLOCK):
            term = exp_nonpositive(log_prob[k, i] - highest[i])
            log_prob[k, i] = term
            total[i] += term
    for i in range(BLOCK):
        row_loglik[i] = highest[i] + log_positive(total[i])
        total[i] = weight[i] / total[i] if total[i] > 0.0 else 0.0
    for k in range(n_components):
        n = 0.0
        for i in range(BLOCK):
            resp = log_prob[k, i] * total[i]
            log_prob[k, i] = resp
            n += resp
        latent_stats.n[lane, k] += n


register_latent(MixtureParams, posterior_block=_posterior_block)
