"""Priors of each component's own: a mean of so many rows, and a scatter of so many."""

from __future__ import annotations

from typing import Any

import numpy as np


def stats_of_beliefs(family: Any) -> Any | None:
    """The rows (statistics) that the own priors of the components stand for; None for none."""
    means, scatter = family.own_prior_means, family.own_prior_scatter
    if means is None and scatter is None:
        return None
    zero = family.zero_stats(np.zeros((family.n_components, family.n_features)) if means is None else means)
    n = zero.n if means is None else family.own_prior_mean_rows
    # A covariance that all components share has one prior.
    share = np.full(family.n_components, 1.0 / (family.n_components if family.is_shared() else 1))
    sxx = zero.sxx if scatter is None else family.scatter_of(scatter, share)
    return zero._replace(n=n, dof=family.own_prior_rows * share - n, sxx=sxx)


def log_density_of_beliefs(family: Any, params: Any) -> float:
    """Logarithm of the own priors' densities, up to a constant, in nats."""
    total = 0.0
    if family.own_prior_scatter is not None:
        # Without rows a scatter still keeps covariances from zero: an inverse gamma density of small shape.
        total -= 0.5 * float(np.sum(family.inner(params, family.own_prior_scatter)))
    if np.any(family.own_prior_rows):
        total += float(family.own_prior_rows) * float(params.log_norm.sum())
    if family.own_prior_means is not None:
        distances = family._squared_distances(params, params.means - family.own_prior_means)
        total -= 0.5 * float((family.own_prior_mean_rows * distances).sum())
    return total
