"""Laws that hold for every family under every latent structure."""

from __future__ import annotations

import pickle

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastem.model import Params
from fastem.reading import BLOCK
from fastem.sources import Chunk
from fastem.stats import ExpectedStats
from tests.cases import CASES, assert_close, assert_same_bits, e_step

SIZES = [(1, 1), (3, 1), (4, 2), (3, 3), (2, 4), (3, 7), (2, 9), (2, 12), (1, 14)]


def zero_stats(model, params):
    return ExpectedStats(0.0, 0.0, 0.0, model.latent.zero_stats(), model.family.zero_stats_like(params.family))


@pytest.fixture
def model(case):
    return case.model()


def test_zero_is_neutral(case, model):
    params = case.params(model)
    stats = e_step(model, params, case.rows(model, 500))
    zero = zero_stats(model, params)
    assert_same_bits(stats + zero, stats)
    assert_same_bits(zero + stats, stats)
    assert_close(stats - stats, zero, scale=500.0)


def test_zero_about_another_pivot_is_neutral(case, model):
    params, elsewhere = case.params(model), case.params(model, seed=5)
    stats = e_step(model, params, case.rows(model, 500))
    zero = zero_stats(model, elsewhere)
    assert_same_bits(stats + zero, stats)
    assert_same_bits(zero + stats, stats)


def test_addition_is_commutative_and_associative(case, model):
    records = [e_step(model, case.params(model, seed), case.rows(model, 300, seed)) for seed in range(3)]
    a, b, c = records
    assert_close(a + b, b + a)
    first, second = (a + b) + c, a + (b + c)
    assert_close(model.m_step(first)[0], model.m_step(second)[0])


def test_scaling_is_linear(case, model):
    stats = e_step(model, case.params(model), case.rows(model, 300))
    assert_close(2.0 * stats, stats + stats)
    assert_close(0.25 * stats + stats * 0.75, stats)
    assert_same_bits(np.float64(0.25) * stats, 0.25 * stats)


@pytest.mark.parametrize(("n_components", "n_features"), SIZES)
def test_statistics_about_different_pivots_add_up(case, n_components, n_features):
    if not case.observed.has_pivots:
        pytest.skip("the statistics have no pivots")
    model = case.model(n_components, n_features)
    params = case.params(model)
    X = case.rows(model, 700, seed=0)
    whole = e_step(model, params, X)
    left, right = e_step(model, params, X[:300]), e_step(model, params, X[300:])
    moved = right._replace(family=right.family.about(right.family.pivot + 3.0))
    assert_close(model.m_step(left + moved)[0], model.m_step(whole)[0], rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_chunking_gives_the_same_answer(data):
    case = data.draw(st.sampled_from(CASES))
    n_components, n_features = data.draw(st.sampled_from(SIZES))
    n_rows = data.draw(st.integers(1, 3000))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, n_rows - 1)), max_size=6)) - {n_rows})
    model = case.model(n_components, n_features)
    params, X = case.params(model), case.rows(model, n_rows)
    weight = np.random.default_rng(0).uniform(0.1, 2.0, n_rows)
    whole = e_step(model, params, X, weight)
    assert_close(e_step(model, params, X, weight, cuts), whole)
    parts = [
        model.e_step(params, Chunk(X[a:b], weight[a:b], a)) for a, b in zip([0, *cuts], [*cuts, n_rows], strict=True)
    ]
    assert_close(sum(parts[1:], start=parts[0]), whole)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_chunks_of_whole_blocks_give_the_same_bits(data):
    case = data.draw(st.sampled_from(CASES))
    n_blocks = data.draw(st.integers(1, 16))
    cuts = sorted(BLOCK * cut for cut in data.draw(st.sets(st.integers(1, n_blocks), max_size=5)))
    model = case.model()
    params, X = case.params(model), case.rows(model, n_blocks * BLOCK + 17)
    assert_same_bits(e_step(model, params, X, cuts=cuts), e_step(model, params, X))


def test_every_row_is_counted_once(case, model):
    """Enough rows to fill every lane, more than once."""
    params, X = case.params(model), case.rows(model, 150_000)
    stats = e_step(model, params, X)
    assert stats.weight == 150_000
    assert stats.family.n.sum() == pytest.approx(150_000, rel=1e-12)
    assert stats.latent.n.sum() == pytest.approx(150_000, rel=1e-12)
    loglik = np.empty(150_000)
    model.log_prob(params, X, loglik)
    assert stats.loglik == pytest.approx(loglik.sum(), rel=1e-12)


def test_a_row_of_weight_two_is_the_row_twice(case, model):
    params, X = case.params(model), case.rows(model, 400)
    weight = np.random.default_rng(3).integers(0, 4, size=400)
    weighted = e_step(model, params, X, weight.astype(np.float64))
    repeated = e_step(model, params, np.repeat(X, weight, axis=0))
    assert_close(weighted, repeated)
    assert weighted.weight == weight.sum()


def test_a_row_of_weight_zero_is_absent(case, model):
    params, X = case.params(model), case.rows(model, 400)
    weight = np.where(np.arange(400) % 3 == 0, 0.0, 1.5)
    kept = weight > 0
    far = np.where(kept[:, None], X, 1e8)
    assert_close(e_step(model, params, far, weight), e_step(model, params, X[kept], weight[kept]))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_same_bits_for_any_number_of_threads(case, model, n_threads):
    params, X = case.params(model), case.rows(model, 40_000)
    everything = e_step(model, params, X)
    resp, alone = np.empty((40_000, 3)), np.empty((40_000, 3))
    model.posterior(params, X, resp)
    before = numba.get_num_threads()
    if n_threads > before:
        pytest.skip("this machine has one core")
    numba.set_num_threads(n_threads)
    try:
        assert_same_bits(e_step(model, params, X), everything)
        model.posterior(params, X, alone)
        np.testing.assert_array_equal(alone, resp)
    finally:
        numba.set_num_threads(before)


def test_memory_order_and_flags_change_no_bit(case):
    model = case.model(3, 4)
    params, X = case.params(model), case.rows(model, 1000)
    expected = e_step(model, params, X)
    padded = np.zeros((2000, 9))
    padded[::2, 1::2] = X
    read_only = X.copy()
    read_only.flags.writeable = False
    for same in (np.asfortranarray(X), padded[::2, 1::2], X[::-1, ::-1].copy()[::-1, ::-1], read_only):
        assert_same_bits(e_step(model, params, same), expected)


def test_float32_rows_give_the_statistics_of_their_values(case, model):
    params, X = case.params(model), case.rows(model, 1000).astype(np.float32)
    assert_same_bits(e_step(model, params, X), e_step(model, params, X.astype(np.float64)))
    assert_same_bits(e_step(model, params, np.asfortranarray(X)), e_step(model, params, X))


def test_pickled_statistics_and_parameters_keep_every_bit(case, model):
    params = case.params(model)
    stats = e_step(model, params, case.rows(model, 300))
    assert_same_bits(pickle.loads(pickle.dumps(stats)), stats)
    copied = pickle.loads(pickle.dumps((model, params)))
    assert_same_bits(e_step(*copied, case.rows(model, 300)), stats)


def test_given_responsibilities_count_as_posteriors(case, model):
    params, X = case.params(model), case.rows(model, 600)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 600)
    resp = np.empty((600, 3))
    model.posterior(params, X, resp)
    gathering = model.gathering(params)
    gathering.add_given(Chunk(X, weight, 0), resp)
    given_stats, expected = gathering.total(), e_step(model, params, X, weight)
    assert_close(given_stats.family, expected.family)
    assert_close(given_stats.latent, expected.latent)
    assert given_stats.loglik == 0.0


@pytest.mark.parametrize(("scale", "offset"), [(1e-3, 1e9), (1e6, -1e9), (1e-150, 0.0), (1e140, 0.0), (-2.0, 1.0)])
def test_shift_and_scale_equivariance(case, scale, offset):
    """EM on a x + b follows EM on x, to the resolution that float64 leaves the data at the offset."""
    moves = case.observed.moves
    if not moves or (moves == "scale" and (offset != 0.0 or scale < 0.0)):
        pytest.skip("the family does not go along")
    model = case.model(3, 2)
    X = np.round(case.rows(model, 2000) * 2**10) / 2**10
    resolution = 8 * np.finfo(float).eps * (abs(offset) / abs(scale) + 10)
    resp = np.random.default_rng(2).dirichlet(np.ones(3), size=2000)

    def run(data, centre):
        gathering = model.gathering(Params(model.latent.params(np.ones(3)), model.family.first_look(centre)))
        gathering.add_given(Chunk(data, None, 0), resp)
        params, _ = model.m_step(gathering.total())
        for _ in range(5):
            stats = e_step(model, params, data)
            params, _ = model.m_step(stats)
        return params, stats

    base, base_stats = run(X, X[0])
    moved, moved_stats = run(scale * X + offset, scale * X[0] + offset)
    tolerance = max(1e-9, 100 * resolution)
    np.testing.assert_allclose(moved.latent.weights, base.latent.weights, rtol=tolerance)
    np.testing.assert_allclose((moved.family.means - offset) / scale, base.family.means, atol=tolerance)
    if moves == "affine":
        np.testing.assert_allclose(
            moved.family.covariances / scale / scale, base.family.covariances, rtol=tolerance, atol=tolerance
        )
    jacobian = X.shape[1] * np.log(abs(scale))
    assert moved_stats.objective + jacobian == pytest.approx(base_stats.objective, abs=tolerance)


def test_the_objective_never_falls(case):
    for seed in range(5):
        model = case.model(4, 3)
        X = case.rows(model, 500, seed)
        params = case.params(model, seed + 100)
        objective = []
        for _ in range(40):
            stats = e_step(model, params, X)
            objective.append(stats.objective)
            params, _ = model.m_step(stats)
        gains = np.diff(objective)
        assert gains.min() > -1e-12 * abs(objective[-1])
        assert objective[-1] > objective[0] + 0.01


def test_parameters_come_back_from_the_statistics_that_stand_for_them(case, model):
    params = case.params(model)
    assert_close(model.m_step(model.stats_of(params))[0], params, rtol=1e-12)
    assert_close(model.m_step(1e6 * model.stats_of(params))[0], params, rtol=1e-12)
