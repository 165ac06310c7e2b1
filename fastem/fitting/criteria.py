"""What a model is judged by."""

from __future__ import annotations

import numpy as np

from fastem.model import Model, Params

# Probabilities of so many numbers are held at a time.
_MOST_NUMBERS = 2**18


def criteria_of(model: Model, loglik: float, weight: float) -> dict[str, float]:
    """Score and information criteria of rows of a total weight whose log-likelihood, in nats, is given.

    Returns
    -------
    criteria : dict
        `weight`, `loglik`, `score` (nats per unit of weight), `aic` and `bic`.
    """
    deviance, n_parameters = -2.0 * loglik, model.n_parameters()
    return {
        "weight": weight,
        "loglik": loglik,
        "score": loglik / weight,
        "aic": deviance + 2.0 * n_parameters,
        "bic": deviance + n_parameters * float(np.log(weight)),
    }


def label_doubt(model: Model, params: Params, X: np.ndarray, out: np.ndarray) -> None:
    """Set `out` (N,) to -log p(most probable component | row), in nats, of rows X (N, D) under a mixture."""
    n_components = model.latent.n_components
    step = max(1, _MOST_NUMBERS // n_components)
    for start in range(0, X.shape[0], step):
        part = X[start : start + step]
        resp = np.empty((part.shape[0], n_components))
        model.posterior(params, part, resp)
        # A row of zero density belongs to no component; no label of it is doubted.
        highest = resp.max(axis=1)
        out[start : start + step] = -np.log(np.where(highest > 0, highest, 1.0))
