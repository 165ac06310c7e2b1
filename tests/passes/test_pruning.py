"""Components that are out of reach are left out, and nothing else changes."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastem.model import Params
from fastem.passes import score_pass
from fastem.passes.pruning import MIN_COMPONENTS, NO_PRUNING, is_worthwhile
from fastem.passes.rows import rows_of
from fastem.passes.units import BLOCK, ROWS_PER_RUN
from fastem.sources import Chunk
from tests.cases import GAUSSIAN_CASES, assert_close, assert_same_bits

# The families that have a reach.
CASES = GAUSSIAN_CASES
K = 48


def model_and_params(case, n_features, separation, seed=0):
    """K components whose means lie `separation` apart, in an order that says nothing."""
    model = case.model(K, n_features)
    params = case.params(model, seed)
    random = np.random.default_rng(seed)
    side = int(np.ceil(K ** (1 / n_features)))
    lattice = np.array([[k // side**j % side for j in range(n_features)] for k in random.permutation(K)])
    family = model.family.params(separation * lattice, params.family.covariances)
    return model, Params(params.latent, family)


def pruning_of(model, params):
    return model.family.pruning(params.family, model.latent.log_share(params.latent))


def rows_from(model, params, n_rows, seed=1):
    return model.sample(params, n_rows, np.random.default_rng(seed))[0]


def gathered(model, params, X, pruning, weight=None, cuts=()):
    accumulator = model.accumulator(params, pruning)
    for part in np.split(np.arange(len(X)), cuts):
        accumulator.add(Chunk(X[part[0] : part[-1] + 1], None if weight is None else weight[part], int(part[0])))
    return accumulator.total()


def scores(model, params, X, pruning):
    latent_stats = model.latent.zero_stats().with_lanes(8)
    loglik, resp, label = np.empty(len(X)), np.empty((len(X), K)), np.empty(len(X), dtype=np.int64)
    score_pass.score_pass(
        params.family, params.latent, rows_of(X), latent_stats, loglik=loglik, resp=resp, label=label, pruning=pruning
    )
    return loglik, resp, label


@pytest.mark.parametrize("separation", [2.0, 12.0, 60.0])
@pytest.mark.parametrize("n_features", [1, 2, 5, 11])
def test_the_statistics_are_those_of_all_components(case, n_features, separation):
    model, params = model_and_params(case, n_features, separation)
    X = rows_from(model, params, ROWS_PER_RUN + 1234)
    pruning = pruning_of(model, params)
    assert pruning.upper_bound.size == K
    weight = np.random.default_rng(2).integers(0, 3, size=len(X)).astype(np.float64)
    for w in (None, weight):
        assert_close(gathered(model, params, X, pruning, w), gathered(model, params, X, NO_PRUNING, w), rtol=1e-12)
    assert_close(
        gathered(model, params, np.asfortranarray(X, dtype=np.float32), pruning),
        gathered(model, params, X.astype(np.float32), NO_PRUNING),
        rtol=1e-12,
    )


def test_scores_stay_with_their_rows(case):
    model, params = model_and_params(case, 3, 14.0)
    X = rows_from(model, params, ROWS_PER_RUN + 777)
    loglik, resp, label = scores(model, params, X, pruning_of(model, params))
    all_loglik, all_resp, all_label = scores(model, params, X, NO_PRUNING)
    np.testing.assert_allclose(loglik, all_loglik, rtol=1e-13)
    np.testing.assert_allclose(resp, all_resp, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(label, all_label)
    left_out = (resp == 0.0) & (all_resp > 0.0)
    assert left_out.mean() > 0.05, "nothing was left out"
    assert all_resp[left_out].max() < 2.3e-16 / K


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_component_within_reach_is_left_out(data):
    """Rows anywhere: between components, far from all, on a mean; covariances of very different sizes."""
    case = data.draw(st.sampled_from(CASES))
    n_features = data.draw(st.sampled_from([1, 2, 5, 9]))
    seed = data.draw(st.integers(0, 2**20))
    random = np.random.default_rng(seed)
    model, params = model_and_params(case, n_features, data.draw(st.sampled_from([1.0, 8.0, 1e3, 1e7])), seed)
    scale = 10.0 ** random.uniform(-2, 2, size=params.family.covariances.shape[0])
    covariances = params.family.covariances
    if len(covariances) == K:
        covariances = covariances * scale.reshape(-1, *[1] * (covariances.ndim - 1))
    params = Params(params.latent, model.family.params(params.family.means, covariances))
    means = params.family.means
    a, b, share = random.integers(0, K, 600), random.integers(0, K, 600), random.uniform(-0.2, 1.2, size=(600, 1))
    X = means[a] + share * (means[b] - means[a]) + random.normal(size=(600, n_features)) * 10.0 ** random.uniform(-2, 1)
    pruning = pruning_of(model, params)
    loglik, resp, _ = scores(model, params, X, pruning)
    all_loglik, all_resp, _ = scores(model, params, X, NO_PRUNING)
    np.testing.assert_allclose(loglik, all_loglik, rtol=1e-12)
    np.testing.assert_allclose(resp, all_resp, rtol=1e-9, atol=1e-14)


def test_neither_threads_nor_whole_runs_change_a_bit(case):
    model, params = model_and_params(case, 2, 20.0)
    X = rows_from(model, params, 3 * ROWS_PER_RUN + 100)
    pruning = pruning_of(model, params)
    whole = gathered(model, params, X, pruning)
    assert_same_bits(gathered(model, params, X, pruning, cuts=[ROWS_PER_RUN, 3 * ROWS_PER_RUN]), whole)
    assert_close(gathered(model, params, X, pruning, cuts=[17, 5000, 2 * ROWS_PER_RUN]), whole, rtol=1e-12)
    n_threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert_same_bits(gathered(model, params, X, pruning), whole)
    finally:
        numba.set_num_threads(n_threads)


def test_an_impossible_row_is_counted(case):
    model, params = model_and_params(case, 2, 20.0)
    X = rows_from(model, params, 1000)
    X[7] = 1e200
    stats = gathered(model, params, X, pruning_of(model, params))
    assert stats.zero_density == 1.0
    assert stats.latent.n.sum() == pytest.approx(999.0)


def test_only_models_that_gain_are_sorted(case):
    model, params = model_and_params(case, 4, 40.0)
    assert model.pruning(params).upper_bound.size == K
    _, their_params = model_and_params(case, 4, 1.0)
    assert model.pruning(their_params) is NO_PRUNING
    few = case.model(MIN_COMPONENTS - 1, 4)
    assert few.pruning(case.params(few)) is NO_PRUNING
    assert not is_worthwhile(NO_PRUNING, 4, BLOCK, ROWS_PER_RUN)
