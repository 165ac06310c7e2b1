"""Laws that hold for every family under every latent structure."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastem.families.columns.tabled import TabledCounts
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params, zero_stats
from fastem.passes.units import BLOCK, unit_cuts
from fastem.sources import Chunk
from tests.cases import (
    CASES,
    assert_close,
    assert_same_bits,
    chunks_of,
    e_step,
    sequences,
    unit_lengths,
    unit_weights,
)

SIZES = [(1, 1), (3, 1), (4, 2), (3, 3), (2, 4), (3, 7), (2, 9), (2, 12), (1, 14)]


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
    params = case.params(model)
    assert_close(model.m_step(first, params)[0], model.m_step(second, params)[0])


def test_scaling_is_linear(case, model):
    stats = e_step(model, case.params(model), case.rows(model, 300))
    assert_close(2.0 * stats, stats + stats)
    assert_close(0.25 * stats + stats * 0.75, stats)
    assert_same_bits(np.float64(0.25) * stats, 0.25 * stats)


@pytest.mark.parametrize("own", [own for own in CASES if own.observed.has_pivots], ids=lambda own: own.name)
def test_statistics_about_different_pivots_add_up(own):
    for n_components, n_features in SIZES:
        model = own.model(n_components, n_features)
        params = own.params(model)
        X = own.rows(model, 700, seed=0)
        whole = e_step(model, params, X)
        left, right = (model.e_step(params, chunk) for chunk in chunks_of(model, X, cuts=[100]))
        moved = right._replace(family=right.family.about(right.family.pivot + 3.0))
        assert_close(model.m_step(left + moved, params)[0], model.m_step(whole, params)[0], rtol=1e-8)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_chunking_gives_the_same_answer(data):
    case = data.draw(st.sampled_from(CASES))
    n_components, n_features = data.draw(st.sampled_from(SIZES))
    n_rows = data.draw(st.integers(1, 3000))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, n_rows - 1)), max_size=6)) - {n_rows})
    model = case.model(n_components, n_features)
    params, X = case.params(model), case.rows(model, n_rows)
    weight = unit_weights(model, n_rows, np.random.default_rng(0))
    whole = e_step(model, params, X, weight)
    assert_close(e_step(model, params, X, weight, cuts), whole)
    parts = [model.e_step(params, chunk) for chunk in chunks_of(model, X, weight, cuts)]
    assert_close(sum(parts[1:], start=parts[0]), whole)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_chunks_of_whole_blocks_or_units_give_the_same_bits(data):
    case = data.draw(st.sampled_from(CASES))
    n_blocks = data.draw(st.integers(1, 32))
    model = case.model()
    params, X = case.params(model), case.rows(model, n_blocks * BLOCK + 17)
    places = BLOCK * np.arange(1, n_blocks + 1)
    if model.latent.is_chain:
        places = unit_cuts(unit_lengths(model, X.shape[0]))
    cuts = sorted(data.draw(st.sets(st.sampled_from(places.tolist()), max_size=5)))
    assert_same_bits(e_step(model, params, X, cuts=cuts), e_step(model, params, X))


def test_every_row_is_counted_once(case, model):
    """Enough rows to fill every lane, more than once."""
    params, X = case.params(model), case.rows(model, 150_000)
    stats = e_step(model, params, X)
    assert stats.weight == 150_000
    assert stats.family.n.sum() == pytest.approx(150_000, rel=1e-12)
    n_units = unit_lengths(model, 150_000).size
    if model.latent.is_chain:
        assert stats.latent.start.sum() == pytest.approx(n_units, rel=1e-12)
        assert stats.latent.transitions.sum() == pytest.approx(150_000 - n_units, rel=1e-12)
    else:
        assert stats.latent.n.sum() == pytest.approx(150_000, rel=1e-12)
    loglik = np.empty(150_000)
    model.log_prob(params, X, loglik, sequences(model, 150_000))
    assert stats.loglik == pytest.approx(loglik.sum(), rel=1e-12)


def units_taken(model, n_rows, times):
    """Row numbers of all units of rows, each taken so many times, and the lengths of these units."""
    lengths = unit_lengths(model, n_rows)
    rows = np.split(np.arange(n_rows), np.cumsum(lengths)[:-1])
    taken = [unit for unit, n in zip(rows, times, strict=True) for _ in range(n)]
    return np.concatenate(taken), np.array([len(unit) for unit in taken])


def test_a_row_or_sequence_of_weight_two_is_that_twice(case, model):
    params, X = case.params(model), case.rows(model, 400)
    lengths = unit_lengths(model, 400)
    times = np.random.default_rng(3).integers(0, 4, size=lengths.size)
    weight = np.repeat(times, lengths).astype(np.float64)
    taken, repeated = units_taken(model, 400, times)
    weighted = e_step(model, params, X, weight)
    assert_close(weighted, model.e_step(params, Chunk(X[taken], None, 0, repeated)))
    assert weighted.weight == weight.sum()


def test_a_row_or_sequence_of_weight_zero_is_absent(case, model):
    params, X = case.params(model), case.rows(model, 400)
    lengths = unit_lengths(model, 400)
    times = np.where(np.arange(lengths.size) % 3 == 0, 0, 1)
    weight = 1.5 * np.repeat(times, lengths)
    taken, left = units_taken(model, 400, times)
    far = np.where(weight[:, None] > 0, X, 1e8)
    assert_close(e_step(model, params, far, weight), model.e_step(params, Chunk(X[taken], weight[taken], 0, left)))


def test_the_same_bits_for_any_number_of_threads(case, model):
    params, X = case.params(model), case.rows(model, 40_000)
    before = numba.get_num_threads()
    results = []
    try:
        for n_threads in sorted({1, min(2, before), before}):
            numba.set_num_threads(n_threads)
            resp = np.empty((40_000, 3))
            model.posterior(params, X, resp, sequences(model, 40_000))
            results.append((e_step(model, params, X), resp))
    finally:
        numba.set_num_threads(before)
    for stats, resp in results[1:]:
        assert_same_bits(stats, results[0][0])
        np.testing.assert_array_equal(resp, results[0][1])


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
    accumulator = model.accumulator(params)
    if model.latent.is_chain:
        with pytest.raises(NotImplementedError, match="start from a mixture"):
            accumulator.add_given(Chunk(X, weight, 0), resp)
        return
    accumulator.add_given(Chunk(X, weight, 0), resp)
    given_stats, expected = accumulator.total(), e_step(model, params, X, weight)
    assert_close(given_stats.family, expected.family)
    assert_close(given_stats.latent, expected.latent)
    assert given_stats.loglik == 0.0


# Maps x -> scale x + offset, by what a family goes along with.
MAPS = {
    "scale": [(1e-3, 0.0), (1e-150, 0.0), (1e140, 0.0)],
    "affine": [(1e-3, 1e9), (1e6, -1e9), (1e-150, 0.0), (1e140, 0.0), (-2.0, 1.0)],
}


@pytest.mark.parametrize(
    ("own", "scale", "offset"),
    [
        pytest.param(own, *numbers, id=f"{own.name} {numbers}")
        for own in CASES
        for numbers in MAPS.get(own.observed.equivariance, [])
    ],
)
def test_shift_and_scale_equivariance(own, scale, offset):
    """EM on a x + b follows EM on x, to the resolution that float64 leaves the data at the offset."""
    equivariance = own.observed.equivariance
    model = own.model(3, 2)
    X = np.round(own.rows(model, 2000) * 2**10) / 2**10
    gradient_rounding = 8 * np.finfo(float).eps * (abs(offset) / abs(scale) + 10)
    resp = np.random.default_rng(2).dirichlet(np.ones(3), size=2000)

    def run(data, centre):
        mixture = Model(MixtureLatent(3), model.family)
        at = Params(mixture.latent.params(np.ones(3)), model.family.neutral_params(centre))
        accumulator = mixture.accumulator(at)
        accumulator.add_given(Chunk(data, None, 0), resp)
        params = Params(own.params(model).latent, mixture.m_step(accumulator.total(), at)[0].family)
        for _ in range(5):
            stats = e_step(model, params, data)
            params, _ = model.m_step(stats, params)
        return params, stats

    base, base_stats = run(X, X[0])
    moved, moved_stats = run(scale * X + offset, scale * X[0] + offset)
    tolerance = max(1e-9, 100 * gradient_rounding)
    assert_close(moved.latent, base.latent, rtol=tolerance)
    np.testing.assert_allclose((moved.family.means - offset) / scale, base.family.means, atol=tolerance)
    if equivariance == "affine":
        np.testing.assert_allclose(
            moved.family.covariances / scale / scale, base.family.covariances, rtol=tolerance, atol=tolerance
        )
    jacobian = X.shape[1] * np.log(abs(scale))
    assert moved_stats.objective + jacobian == pytest.approx(base_stats.objective, abs=tolerance)


def test_the_objective_never_falls(case):
    for seed in range(5):
        model = case.model(4, 3)
        X = case.rows(model, 500, seed)
        if case.observed.equivariance == "affine":
            # A floor that moves with the parameters, as without this one, is no constraint of the maximum.
            model = replace(model, family=replace(model.family, variance_floor=1e-6 * X.var(axis=0)))
        params = case.params(model, seed + 100)
        objective = []
        for _ in range(40):
            stats = e_step(model, params, X)
            objective.append(stats.objective)
            params, _ = model.m_step(stats, params)
        gains = np.diff(objective)
        assert gains.min() > -1e-12 * abs(objective[-1])
        assert objective[-1] > objective[0] + 0.01


def test_parameters_come_back_from_the_statistics_that_stand_for_them(case, model):
    params = case.params(model)
    # By tables, sizes are found to the rounding of sums over all counts.
    rtol = 1e-9 if isinstance(model.family, TabledCounts) else 1e-12
    assert_close(model.m_step(model.stats_of(params), params)[0], params, rtol=rtol)
    assert_close(model.m_step(1e6 * model.stats_of(params), params)[0], params, rtol=rtol)


def test_an_expected_log_density_is_the_log_likelihood_of_one_component(case):
    """Up to what does not depend on the parameters; a t-distribution has none of so few statistics."""
    model = case.model(1, 3)
    if model.latent.is_chain or not hasattr(model.family, "expected_log_prob"):
        pytest.skip("there is none, or the other latent structure has the law")
    X = case.rows(model, 400)
    at = [case.params(model, seed) for seed in (0, 5)]
    stats = [e_step(model, params, X) for params in at]
    expected = [model.family.expected_log_prob(params.family, stats[0].family) for params in at]
    assert expected[1] - expected[0] == pytest.approx(stats[1].loglik - stats[0].loglik, rel=1e-9)
