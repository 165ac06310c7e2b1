"""Moments of a shared covariance: one scatter a row gives what one scatter a component gives."""

import numpy as np
import pytest

from fastem.families.gaussian.family import Gaussian
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.sources import ArraySource
from tests import naive


def statistics(X, resp, weight, means):
    n_components, n_features = means.shape
    family = Gaussian(n_components=n_components, n_features=n_features, covariance_type="tied")
    model = Model(MixtureLatent(n_components), family)
    params = Params(
        model.latent.params(np.full(n_components, 1.0 / n_components)), family.params(means, np.eye(n_features))
    )
    accumulator = model.accumulator(params)
    for chunk in ArraySource(X, weight).chunks():
        accumulator.add_given(chunk, resp[chunk.first_row : chunk.first_row + len(chunk)])
    return accumulator.total().family


@pytest.mark.parametrize("n_features", [2, 9, 10, 11, 12])
@pytest.mark.parametrize("n_components", [1, 2, 3, 4, 5, 6, 7, 40])
def test_moments_equal_those_of_each_component(n_components, n_features):
    random = np.random.default_rng(n_components)
    means = 3.0 * random.normal(size=(n_components, n_features))
    X = means[random.integers(n_components, size=700)] + random.normal(size=(700, n_features))
    weight = random.integers(0, 3, 700).astype(float)
    resp = random.dirichlet(np.full(n_components, 0.3), size=700)
    actual = statistics(X, resp, weight, means)
    expected = naive.moments(X, resp * weight[:, None], means)
    scatter = naive.reduce_scatter(expected.sxx, "tied")
    np.testing.assert_allclose(actual.n, expected.n, rtol=1e-12)
    np.testing.assert_allclose(actual.sx, expected.sx, atol=1e-11 * np.abs(expected.sx).max())
    np.testing.assert_allclose(np.tril(actual.sxx), np.tril(scatter), atol=1e-12 * np.abs(scatter).max())


def test_nothing_cancels_between_components_that_lie_far_apart():
    # A narrow pair, 1e9 of its standard deviations from the others: a scatter about one common mean would lose it.
    random = np.random.default_rng(0)
    centres = np.repeat(np.array([-1e9, 0.0, 1e9]), 2)
    means = centres[:, None] + random.normal(size=(6, 10))
    component = random.integers(6, size=900)
    X = means[component] + random.normal(size=(900, 10))
    resp = np.zeros((900, 6))
    other = component ^ 1
    share = random.uniform(size=900)
    resp[np.arange(900), component], resp[np.arange(900), other] = share, 1.0 - share
    scatter = naive.reduce_scatter(naive.moments(X, resp, means).sxx, "tied")
    actual = statistics(X, resp, None, means)
    np.testing.assert_allclose(np.tril(actual.sxx), np.tril(scatter), atol=1e-6 * np.abs(scatter).max())
