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
from fastem.latents.hmm import Hmm
from fastem.latents.mixture import Mixture
from fastem.model import Model, Params
from fastem.sources import Chunk


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


def _hmm_params(latent, random):
    k = latent.n_components
    return latent.params(random.uniform(0.5, 1.5, k), random.uniform(0.1, 1.0, (k, k)) + 2.0 * np.eye(k))


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


_FAMILIES = (GaussianFull, GaussianTied, GaussianDiag, GaussianSpherical)
CASES = [
    Case(f"{name} of {family.covariance_type} Gaussians", latent, family, latent_params, _gaussian_params)
    for name, latent, latent_params in (("mixture", Mixture, _mixture_params), ("chain", Hmm, _hmm_params))
    for family in _FAMILIES
]

# Of the sequences of a chain, in turn: some are single rows, some are longer than a block.
_LENGTHS = (1, 7, 40, 2, 150, 13, 1, 600, 60)


def unit_lengths(model, n_rows):
    """Rows that belong together, in order: single ones, or sequences (S,) of a chain."""
    if not model.latent.is_chain:
        return np.ones(n_rows, dtype=np.int64)
    lengths = np.resize(_LENGTHS, 1 + n_rows // min(_LENGTHS))
    before = np.cumsum(lengths) - lengths
    return np.minimum(lengths, n_rows - before)[before < n_rows]


def sequences(model, n_rows):
    """Lengths of the sequences of a chain; None for rows that are independent."""
    return unit_lengths(model, n_rows) if model.latent.is_chain else None


def unit_weights(model, n_rows, random):
    """Weights of rows (N,), the same for all that belong together."""
    lengths = unit_lengths(model, n_rows)
    return np.repeat(random.uniform(0.1, 2.0, lengths.size), lengths)


def chunks_of(model, X, weight=None, cuts=()):
    """Rows in chunks, cut at the given row numbers, or where the sequence ends that one of these lies in."""
    lengths = unit_lengths(model, X.shape[0])
    ends = np.cumsum(lengths)
    places = sorted({0, *(int(ends[np.searchsorted(ends, cut)]) for cut in cuts), X.shape[0]})
    for start, stop in pairwise(places):
        mine = lengths[(ends > start) & (ends <= stop)] if model.latent.is_chain else None
        yield Chunk(X[start:stop], None if weight is None else weight[start:stop], start, mine)


def e_step(model, params, X, weight=None, cuts=()):
    """Expected statistics of rows that arrive in chunks."""
    gathering = model.gathering(params)
    for chunk in chunks_of(model, X, weight, cuts):
        gathering.add(chunk)
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
