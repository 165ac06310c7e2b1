"""The table that the laws run over: one row for each family under each latent structure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from fastem.families.gaussian_diag import GaussianDiag
from fastem.families.gaussian_full import GaussianFull
from fastem.families.gaussian_spherical import GaussianSpherical
from fastem.families.gaussian_tied import GaussianTied
from fastem.latents.mixture import Mixture
from fastem.model import Model, Params
from fastem.sources import Chunk

# Settings of an estimator that leave plain EM, of maximum likelihood.
PLAIN = {"acceleration": None, "growth": False, "regularization": None}


def _gaussian_params(family, random):
    k, d = family.n_components, family.n_features
    factors = np.tril(random.normal(size=(k, d, d))) / np.sqrt(d) + 0.7 * np.eye(d)
    full = factors @ np.swapaxes(factors, 1, 2)
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": np.diagonal(full, axis1=1, axis2=2),
        "spherical": full[:, 0, 0],
    }[family.covariance_type]
    return family.params(2.0 * random.normal(size=(k, d)), np.ascontiguousarray(covariances))


def _mixture_params(latent, random):
    return latent.params(random.uniform(0.5, 1.5, size=latent.n_components))


@dataclass(frozen=True)
class Case:
    """A model, and how to draw parameters and rows for it."""

    name: str
    latent: Callable[[int], Any]
    family: Callable[[int, int], Any]
    latent_params: Callable[[Any, np.random.Generator], Any]
    family_params: Callable[[Any, np.random.Generator], Any]

    def model(self, n_components: int = 3, n_features: int = 2) -> Model:
        return Model(self.latent(n_components), self.family(n_components, n_features))

    def params(self, model: Model, seed: int = 0) -> Params:
        random = np.random.default_rng(seed)
        return Params(self.latent_params(model.latent, random), self.family_params(model.family, random))

    def rows(self, model: Model, n_rows: int, seed: int = 1) -> np.ndarray:
        return model.sample(self.params(model, seed), n_rows, np.random.default_rng(seed))[0]


CASES = [
    Case(f"mixture of {family.covariance_type} Gaussians", Mixture, family, _mixture_params, _gaussian_params)
    for family in (GaussianFull, GaussianTied, GaussianDiag, GaussianSpherical)
]


def e_step(model, params, X, weight=None, cuts=()):
    """Expected statistics of rows that arrive in chunks, cut at the given row numbers."""
    gathering = model.gathering(params)
    edges = [0, *cuts, X.shape[0]]
    for start, stop in pairwise(edges):
        gathering.add(Chunk(X[start:stop], None if weight is None else weight[start:stop], start))
    return gathering.total()


def fields(record, prefix=""):
    """All arrays of a nested record, by name."""
    for name, value in zip(record._fields, record, strict=True):
        if hasattr(value, "_fields"):
            yield from fields(value, f"{prefix}{name}.")
        else:
            yield prefix + name, np.asarray(value)


def assert_close(actual, expected, rtol=1e-10, scale=1.0):
    """Records agree to rounding: relative to the largest number of each field."""
    for (name, a), (_, b) in zip(fields(actual), fields(expected), strict=True):
        atol = rtol * max(scale, float(np.abs(b).max(initial=0.0)))
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=name)


def assert_same_bits(actual, expected):
    for (name, a), (_, b) in zip(fields(actual), fields(expected), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)
