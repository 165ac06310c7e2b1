"""Splits: a component, or a state, becomes two that share its rows."""

from __future__ import annotations

import numpy as np

from fastem import GaussianMixture
from fastem.families.gaussian.family import Gaussian
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model
from fastem.search.split import split_starts
from fastem.sources import ArraySource
from tests.search.test_select import clusters


def test_a_split_divides_the_rows_of_its_component():
    X = clusters()
    small = GaussianMixture(2, random_state=0).fit(X)
    weights = small.weights_
    rows, more = ArraySource(X), Model(MixtureLatent(3), Gaussian(n_components=3, n_features=2))
    for start, parent in zip(split_starts(more, small._model, small._params, rows, 2), (0, 0, 0, 1, 1, 1), strict=True):
        parent = np.argsort(-weights)[parent]
        assert start.latent.weights[2] > 0.0
        divided = start.latent.weights[:2].copy()
        divided[parent] += start.latent.weights[2]
        np.testing.assert_allclose(divided, weights, rtol=1e-6)
