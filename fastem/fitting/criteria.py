"""What a model is judged by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import entr

from fastem.model import Model, Params

# Probabilities of so many numbers are held at a time.
_MOST_NUMBERS = 2**18


def criteria_of(model: Model, loglik: float, weight: float) -> dict[str, float]:
    """Score and information criteria of rows of a total weight whose log-likelihood, in nats, is given.

    Returns
    -------
    criteria : dict
        `weight`, `loglik`, `score` (nats per unit of weight), `aic`, `bic`, `caic` (Bozdogan 1987) and `sabic`
        (adjusted for the size of samples; Sclove 1987). Of the last four, lower is better.
    """
    deviance, n_parameters = -2.0 * loglik, model.n_parameters()
    log_weight = float(np.log(weight))
    return {
        "weight": weight,
        "loglik": loglik,
        "score": loglik / weight,
        "aic": deviance + 2.0 * n_parameters,
        "bic": deviance + n_parameters * log_weight,
        "caic": deviance + n_parameters * (log_weight + 1.0),
        "sabic": deviance + n_parameters * float(np.log((weight + 2.0) / 24.0)),
    }


def label_doubt(model: Model, params: Params, X: np.ndarray, out: np.ndarray) -> None:
    """Set `out` (N,) to -log p(most probable component | row), in nats, of rows X (N, D) under a mixture."""

    def doubt(resp: np.ndarray) -> np.ndarray:
        # A row of zero density belongs to no component; no label of it is doubted.
        highest = resp.max(axis=1)
        return -np.log(np.where(highest > 0, highest, 1.0))

    _of_posteriors(doubt, model, params, X, out)


def label_entropy(model: Model, params: Params, X: np.ndarray, out: np.ndarray) -> None:
    """Set `out` (N,) to the entropy of the component, in nats, given each row of X (N, D) under a mixture."""
    _of_posteriors(lambda resp: entr(resp).sum(axis=1), model, params, X, out)


def _of_posteriors(
    said: Callable[[np.ndarray], np.ndarray], model: Model, params: Params, X: np.ndarray, out: np.ndarray
) -> None:
    """Set `out` (N,) to what is said of the probabilities (rows, K) of components."""
    n_components = model.latent.n_components
    step = max(1, _MOST_NUMBERS // n_components)
    for start in range(0, X.shape[0], step):
        part = X[start : start + step]
        resp = np.empty((part.shape[0], n_components))
        model.posterior(params, part, resp)
        out[start : start + step] = said(resp)
