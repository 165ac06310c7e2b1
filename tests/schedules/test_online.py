"""Online EM: laws of the running statistics, forgetting, drift, stopping, going on."""

from __future__ import annotations

import math
import pickle
from dataclasses import fields as state_fields
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from fastem.model import Params
from fastem.schedules.epochs import fit_online, paired_gain
from fastem.schedules.online import OnlineSettings, OnlineState, batch_rows, estimate, online_update
from fastem.schedules.prequential import MAX_POINTS, PageHinkley, Prequential
from fastem.schedules.result import Reason
from fastem.schedules.steps import Forgetting, StepSize
from fastem.sources import Chunk
from tests.cases import GAUSSIAN_CASES, assert_close, assert_same_bits, e_step

# Streams that drift are made of rows that can be moved.
CASES = GAUSSIAN_CASES

FROZEN = OnlineSettings(StepSize(decay=1.0, offset=1.0), min_rows=math.inf, patience=math.inf)
MOVING = OnlineSettings(min_rows=3.0)


@pytest.fixture
def model(case):
    return case.model()


def cut(X, rows, weight=None):
    return [Chunk(X[a : a + rows], None if weight is None else weight[a : a + rows], a) for a in range(0, len(X), rows)]


def log_prob(model):
    def of(params, chunk):
        out = np.empty(len(chunk))
        model.log_prob(params, chunk.X, out)
        return out

    return of


def learn(model, params, batches, settings):
    state = OnlineState(params)
    for batch in batches:
        online_update(model, state, batch, settings)
    return state


def assert_same_state(a, b):
    for entry in state_fields(OnlineState):
        x, y = getattr(a, entry.name), getattr(b, entry.name)
        if hasattr(x, "_fields"):
            assert_same_bits(x, y)
        else:
            assert x == y or (x != x and y != y), entry.name


class Counting:
    """A model that does something at one of its E-steps."""

    def __init__(self, model, at, event):
        self.model, self.at, self.event = model, at, event
        self.with_prior = model.with_prior
        self.n = 0

    def e_step(self, params, part):
        self.n += 1
        if self.n == self.at:
            self.event()
        return self.model.e_step(params, part)

    def m_step(self, stats, params):
        return self.model.m_step(stats, params)


def interrupt():
    raise KeyboardInterrupt


def test_the_rows_of_a_batch_suit_the_data_and_the_model():
    assert batch_rows(3) == batch_rows(3, 10**7) == 2000
    assert batch_rows(3, 100_000) == 500
    assert batch_rows(3, 1000) == 200
    assert batch_rows(1000, 1000) == 20_000


# Records


def test_by_component_scales_each_component(case, model):
    stats = e_step(model, case.params(model), case.rows(model, 400))
    factors = np.array([0.5, 0.0, 3.0])
    scaled = stats.by_component(factors)
    assert scaled.latent is stats.latent
    np.testing.assert_array_equal(scaled.latent.by_component(factors).n, stats.latent.n * factors)
    for k, factor in enumerate(factors):
        assert scaled.family.n[k] == factor * stats.family.n[k]
        np.testing.assert_array_equal(scaled.family.sx[k], factor * stats.family.sx[k])
        if model.family.covariance_type != "tied":
            np.testing.assert_array_equal(scaled.family.sxx[k], factor * stats.family.sxx[k])


def test_factors_of_components_leave_a_shared_covariance_alone(case, model):
    """Those that are their own, too: each component's mean and covariance are ratios of its statistics."""
    params = case.params(model)
    stats = e_step(model, params, case.rows(model, 400))
    scaled = stats.by_component(np.array([0.5, 2.0, 3.0]))
    assert_close(model.m_step(scaled, params)[0].family, model.m_step(stats, params)[0].family)


def test_equal_factors_scale_the_record(case, model):
    stats = e_step(model, case.params(model), case.rows(model, 400))
    assert_close(stats.by_component(np.full(3, 0.3)).family, 0.3 * stats.family)


def test_aligned_statistics_are_the_same_about_another_pivot(case, model):
    params = case.params(model)
    stats = e_step(model, params, case.rows(model, 400))
    other = e_step(model, case.params(model, seed=4), case.rows(model, 400))
    aligned = stats.aligned(other)
    np.testing.assert_array_equal(aligned.family.pivot, other.family.pivot)
    assert_close(model.m_step(aligned, params)[0], model.m_step(stats, params)[0], rtol=1e-9)
    assert_same_bits(stats.aligned(stats), stats)


def test_statistics_know_whether_they_are_finite(case, model):
    X = case.rows(model, 50)
    stats = e_step(model, case.params(model), X)
    assert stats.is_finite()
    assert not stats._replace(loglik=np.nan).is_finite()
    X[7, 1] = np.nan
    assert not e_step(model, case.params(model), X).is_finite()


# Running averages


@pytest.mark.parametrize("sizes", [[500, 500, 500], [1, 700, 20, 779]])
def test_steps_of_one_over_t_give_the_batch_statistics(case, model, sizes):
    """For batches of any weights, every row counts the same."""
    params, X = case.params(model), case.rows(model, 1500)
    weight = np.random.default_rng(0).uniform(0.1, 3.0, 1500)
    edges = np.cumsum([0, *sizes])
    batches = [Chunk(X[a:b], weight[a:b], a) for a, b in pairwise(edges)]
    state = learn(model, params, batches, FROZEN)
    assert state.frozen
    assert state.params is params
    whole = e_step(model, params, X, weight)
    assert_close(state.weight * state.stats, whole)
    assert state.n_rows_effective == pytest.approx(whole.weight)
    assert_close(estimate(model, state), model.m_step(whole, params)[0], rtol=1e-9)


def test_equal_batches_take_the_published_steps():
    step = StepSize(0.6, 2.0)
    for t in range(1, 50):
        assert step.gain(t * 700.0, 700.0) == (t + 2.0) ** -0.6
    assert step.gain(0.0, 700.0) == 1.0
    assert step.gain(7000.0, 1.0) < 0.05 * step.gain(7000.0, 700.0), "a rest of one row is no whole batch"


@pytest.mark.parametrize("bad", [0.5, 1.1, math.nan])
def test_steps_that_never_settle_are_refused(bad):
    with pytest.raises(ValueError, match="decay"):
        StepSize(decay=bad)
    with pytest.raises(ValueError, match="offset"):
        StepSize(offset=bad if bad < 1 else math.nan)
    with pytest.raises(ValueError, match="factor"):
        Forgetting(bad if bad > 1 else math.nan)
    with pytest.raises(ValueError, match="half-life"):
        Forgetting.from_half_life(-1.0)


@pytest.mark.parametrize("step", [StepSize(), Forgetting.from_half_life(2000)])
def test_weights_count_as_copies(case, model, step):
    params, X = case.params(model), case.rows(model, 2000)
    settings = OnlineSettings(step, min_rows=3.0)
    copies = np.random.default_rng(0).integers(0, 4, size=2000)
    weighted = learn(model, params, cut(X, 200, copies.astype(float)), settings)
    repeated = learn(
        model, params, [Chunk(np.repeat(X[a : a + 200], copies[a : a + 200], axis=0), None, 0) for a in
        range(0, 2000, 200)], settings,
    )  # fmt: skip
    assert_close(weighted.params, repeated.params, rtol=1e-8)
    assert weighted.weight == repeated.weight
    assert weighted.n_rows_effective == pytest.approx(repeated.n_rows_effective)


@pytest.mark.parametrize("step", [StepSize(), Forgetting.from_half_life(2000)])
def test_batches_that_say_nothing_change_nothing(case, model, step):
    settings = OnlineSettings(step, min_rows=3.0)
    state = learn(model, case.params(model), cut(case.rows(model, 1000), 200), settings)
    X = case.rows(model, 10, seed=3)
    broken = X.copy()
    broken[4, 0] = np.nan
    # Far enough for density zero; and so far that squares overflow.
    silent = [
        (Chunk(X, np.zeros(10), 0), {}),
        (Chunk(broken, None, 0), {"n_skipped": 1}),
        (Chunk(np.full((10, 2), 1e160), None, 0), {"skipped_weight": 10.0}),
    ]
    for chunk, told in silent:
        before = replace(state)
        assert math.isnan(online_update(model, state, chunk, settings))
        assert_same_state(state, replace(before, n_batches=before.n_batches + 1, **told))
        state = before


def test_impossible_rows_are_left_out(case, model):
    params, X = case.params(model), case.rows(model, 1000)
    batches = cut(X, 200)
    with_outlier = [*batches[:2], Chunk(np.vstack([batches[2].X, [[1e160, 0.0]]]), None, 0), *batches[3:]]
    state, expected = learn(model, params, with_outlier, MOVING), learn(model, params, batches, MOVING)
    assert state.skipped_weight == 1.0
    assert state.weight == expected.weight == 1000.0
    assert_close(state.stats, expected.stats)
    assert_close(state.params, expected.params)
    assert_close(state.trace, expected.trace)


def test_parameters_wait_for_enough_rows(case, model):
    params, X = case.params(model), case.rows(model, 2000)
    settings = OnlineSettings(StepSize(1.0, 1.0), min_rows=40.0)
    state = OnlineState(params)
    for batch in cut(X, 20):
        frozen = state.frozen
        online_update(model, state, batch, settings)
        least = (state.n_rows_effective * state.stats.occupancy).min()
        if frozen:
            assert state.frozen == (least < 40.0)
            assert state.frozen == (state.params is params)
    assert not state.frozen


def test_parameters_do_not_wait_for_ever(case, model):
    """A component that no row comes from is rescued by its family at last."""
    params, X = case.params(model), case.rows(model, 3000)
    far = np.array(params.family.means)
    far[1] += 1e4
    params = Params(params.latent, model.family.params(far, params.family.covariances))
    state = OnlineState(params)
    for n, batch in enumerate(cut(X, 50), start=1):
        online_update(model, state, batch, MOVING)
        assert state.frozen == (50 * n < 10 * 3 * 3)
    assert [(span.repair.component, span.repair.cause) for span in state.repairs] == [(1, "empty")]
    assert (state.repairs[0].first, state.repairs[0].last) == (2, 60)
    assert all(np.isfinite(field).all() for field in state.params.family)


def test_the_late_average_averages_statistics(case, model):
    params, batches = case.params(model), cut(case.rows(model, 3000), 100)
    settings = replace(MOVING, average_after=10)
    state, records = OnlineState(params), []
    for batch in batches:
        online_update(model, state, batch, settings)
        records.append(state.stats)
    assert state.n_averaged == 20
    mean = (1 / 20) * sum(records[11:], start=records[10])
    assert_close(estimate(model, state), model.m_step(mean, state.params)[0], rtol=1e-9)
    plain = learn(model, params, batches, MOVING)
    assert_same_bits(state.params, plain.params)
    assert_same_bits(estimate(model, plain), plain.params)


def test_a_pickled_state_goes_on_with_the_same_bits(case, model):
    settings = replace(MOVING, average_after=4)
    batches = cut(case.rows(model, 2000), 100)
    whole = learn(model, case.params(model), batches, settings)
    state = learn(model, case.params(model), batches[:7], settings)
    state = pickle.loads(pickle.dumps(state))
    for batch in batches[7:]:
        online_update(model, state, batch, settings)
    assert_same_state(state, whole)


# Forgetting


def test_forgetting_is_an_average_of_discounted_rows(case, model):
    """Row by row, and of one component, against the definition."""
    model = case.model(1, 2)
    params, X = case.params(model), case.rows(model, 60)
    step = Forgetting.from_half_life(8.0)
    frozen = OnlineSettings(step, min_rows=math.inf, patience=math.inf)
    state = learn(model, params, cut(X, 1), frozen)
    discounts = step.factor ** np.arange(59, -1, -1)
    assert_close(state.stats, (1 / discounts.sum()) * e_step(model, params, X, discounts))


def moving_rows(case, model, n_rows, shift):
    X = case.rows(model, n_rows, seed=0)
    return X + np.linspace(0.0, shift, n_rows)[:, None]


def test_forgetting_follows_a_drift(case, model):
    params, X = case.params(model), moving_rows(case, model, 12_000, 20.0)
    latest = Chunk(X[-600:], None, 0)
    score = {}
    for step in (StepSize(1.0, 1.0), StepSize(), Forgetting.from_half_life(300)):
        state = learn(model, params, cut(X, 100), OnlineSettings(step, min_rows=3.0))
        score[step] = model.e_step(state.params, latest).objective
    assert score[Forgetting.from_half_life(300)] > max(list(score.values())[:2]) + 0.05


def test_a_component_that_is_absent_for_a_while_is_not_erased(case, model):
    """Its weight is forgotten; what it looks like is not."""
    random = np.random.default_rng(0)
    base = case.params(model)
    means = np.array([[0.0, 0.0], [30.0, 0.0], [0.0, 30.0]])
    params = Params(base.latent, model.family.params(means, base.family.covariances))
    X, component = model.sample(params, 12_000, random)
    settings = OnlineSettings(Forgetting.from_half_life(150), min_rows=3.0)
    state = learn(model, params, cut(X, 50), settings)
    known = state.params
    for batch in cut(X[component != 1][:5000], 50):
        online_update(model, state, batch, settings)
    assert state.params.latent.weights[1] < 1e-6
    np.testing.assert_allclose(state.params.family.means[1], known.family.means[1], rtol=1e-9, atol=1e-9)
    if model.family.covariance_type != "tied":
        np.testing.assert_allclose(state.params.family.covariances[1], known.family.covariances[1], rtol=1e-6)
    assert state.stats.occupancy[1] > 0.1
    for batch in cut(X[:2500], 50):
        online_update(model, state, batch, settings)
    assert state.params.latent.weights[1] == pytest.approx(known.latent.weights[1], abs=0.15)
    assert not state.repairs


def test_statistics_follow_a_drift_far_from_where_they_began(case, model):
    """A thousand standard deviations per half-life: sums about the first mean would have lost all digits."""
    model = case.model(1, 2)
    X = case.rows(model, 20_000, seed=0)
    settings = OnlineSettings(Forgetting.from_half_life(10))
    params = case.params(model)
    state = OnlineState(model.m_step(e_step(model, params, X), params)[0])
    still = np.asarray(state.params.family.covariances)
    for n in range(2000):
        online_update(model, state, Chunk(X[10 * n : 10 * n + 10] + 1e6 * np.sin(n / 100) * 100, None, 0), settings)
    for n in range(200):
        online_update(model, state, Chunk(X[100 * n : 100 * n + 100] + 1e8, None, 0), settings)
    assert np.all(state.params.family.covariances < 10 * np.abs(still).max())
    assert np.all(np.diag(np.atleast_2d(state.params.family.covariances.squeeze())) > 0)


# Epochs


def overlapping(case, model, n_rows):
    """Rows, and a start that is some way off."""
    X = case.rows(model, n_rows, seed=0)
    return X, case.params(model, seed=3)


def run(model, start, X, n_batch=100, **options):
    options = {"settings": MOVING, "tol": 0.0, "max_epochs": 3} | options
    return fit_online(model, start, lambda epoch: cut(np.roll(X, 17 * epoch, axis=0), n_batch), **options)


def test_online_em_learns_more_than_batch_em_from_one_pass(case, model):
    X, start = overlapping(case, model, 20_000)
    online = run(model, start, X, max_epochs=1)
    params = start
    for _ in range(1):
        params, _ = model.m_step(e_step(model, params, X), params)
    assert e_step(model, online.params, X).objective > e_step(model, params, X).objective
    assert online.state.epochs[0].loglik < e_step(model, online.params, X).objective


def test_fitting_stops_when_held_out_rows_gain_nothing_more(case, model):
    X, start = overlapping(case, model, 5000)
    holdout = Chunk(X[:2000], np.random.default_rng(0).uniform(0.5, 2.0, 2000), 0)
    result = run(model, start, X[2000:], tol=1e-2, max_epochs=50, holdout=holdout, log_prob=log_prob(model))
    *earlier, last = result.state.epochs
    assert result.reason is Reason.CONVERGED
    assert result.n_iter == len(earlier) + 1 < 50
    assert last.gain < last.bound < 1e-2
    assert all(epoch.bound >= 1e-2 for epoch in earlier)


def test_parameters_that_still_wait_have_not_converged(case, model):
    X, start = overlapping(case, model, 300)
    settings = OnlineSettings(min_rows=200.0)
    result = run(model, start, X, settings=settings, tol=1e-3, holdout=Chunk(X, None, 0), log_prob=log_prob(model))
    assert result.reason is Reason.MAX_ITER
    assert result.state.frozen
    assert_close(estimate(model, result.state), model.m_step(result.state.stats, result.state.params)[0])


def test_paired_gains_respect_weights_and_impossible_rows():
    random = np.random.default_rng(0)
    before, after = random.normal(size=50), random.normal(size=50)
    copies = random.integers(0, 4, size=50)
    np.testing.assert_allclose(
        paired_gain(before, after, copies.astype(float)),
        paired_gain(np.repeat(before, copies), np.repeat(after, copies), None),
    )
    gain, bound = paired_gain(before, after, None)
    assert gain == pytest.approx((after - before).mean())
    assert bound == pytest.approx(gain + 1.645 * (after - before).std() / np.sqrt(50))
    lost = np.append(before, -np.inf)
    assert paired_gain(lost, np.append(after, -np.inf), None)[0] == pytest.approx(gain * 50 / 51)
    assert not paired_gain(np.append(before, 0.0), np.append(after, -np.inf), None)[1] < 1.0
    assert not paired_gain(lost, np.append(after, 0.0), None)[1] < 1.0


@pytest.mark.parametrize("at", [2, 25, 30, 31, 77])
def test_an_interrupted_fit_goes_on_with_the_same_bits(case, model, at):
    X, start = overlapping(case, model, 3000)
    options = {"holdout": Chunk(X[:200], None, 0), "log_prob": log_prob(model)}
    whole = run(model, start, X, **options)
    first = run(Counting(model, at, interrupt), start, X, **options)
    assert first.reason is Reason.INTERRUPTED
    assert (first.state.epoch, first.state.n_batches) == ((at - 1) // 30, (at - 1) % 30) or at == 31
    kept = pickle.dumps(first.state)
    second = run(model, pickle.loads(kept), X, **options)
    assert_same_state(second.state, whole.state)
    assert_same_bits(second.params, whole.params)
    third = run(model, first.state, X, **options)
    assert_same_bits(third.params, whole.params)
    assert_same_state(first.state, whole.state)


def test_an_interrupt_before_the_first_update_is_passed_on(case, model):
    X, start = overlapping(case, model, 1000)
    with pytest.raises(KeyboardInterrupt):
        run(Counting(model, 1, interrupt), start, X)


def test_a_fit_that_is_gone_on_with_at_its_end_has_converged(case, model):
    """The state that is kept after the last epoch leads to the same end."""
    X, start = overlapping(case, model, 5000)
    options = {"tol": 1e-2, "max_epochs": 50, "holdout": Chunk(X[:2000], None, 0), "log_prob": log_prob(model)}
    kept = []
    whole = run(model, start, X[2000:], watch=lambda state: kept.append(replace(state)), **options)
    again = run(model, kept[-1], X[2000:], **options)
    assert (again.reason, again.n_iter) == (whole.reason, whole.n_iter) == (Reason.CONVERGED, whole.state.epoch)
    assert_same_state(again.state, whole.state)


def test_watching_sees_every_batch(case, model):
    X, start = overlapping(case, model, 1000)
    seen = []
    run(model, start, X, watch=lambda state: seen.append((state.epoch, state.n_batches)))
    assert seen[:12] == [*((0, n) for n in range(1, 11)), (1, 0), (1, 1)]


def test_epochs_without_rows_and_without_scores_are_refused(case, model):
    with pytest.raises(ValueError, match="no batches"):
        fit_online(model, case.params(model), lambda _: [], settings=MOVING, tol=0.0, max_epochs=2)
    with pytest.raises(ValueError, match="log_prob is needed"):
        run(model, case.params(model), case.rows(model, 100), holdout=Chunk(case.rows(model, 10), None, 0))


# Prequential scores and drift


def test_scores_are_those_before_learning(case, model):
    params, X = case.params(model), case.rows(model, 1000)
    state = OnlineState(params)
    for batch in cut(X, 100):
        expected = model.e_step(state.params, batch).objective
        assert online_update(model, state, batch, MOVING) == pytest.approx(expected, rel=1e-12)
    rows, mean = state.trace.curve()
    np.testing.assert_allclose(rows, np.arange(100, 1001, 100))
    assert mean[-1] == pytest.approx(expected)


@pytest.mark.parametrize("n", [1, 999, 1000, 1001, 4321, 20_000])
def test_the_prequential_trace_is_bounded_and_loses_no_sum(n):
    random = np.random.default_rng(0)
    weight, loglik = random.uniform(1, 2, n), random.normal(size=n)
    trace = Prequential()
    for w, value in zip(weight, loglik, strict=True):
        trace = trace.after(w * value, w)
    rows, mean = trace.curve()
    assert len(rows) == min(-(-n // trace.stride), MAX_POINTS)
    assert len(rows) > MAX_POINTS // 2 or n <= MAX_POINTS // 2
    assert rows[-1] == pytest.approx(weight.sum())
    assert trace.sums[:, 1].sum() == pytest.approx((weight * loglik).sum())
    head = slice(0, trace.stride)
    assert mean[0] == pytest.approx(np.average(loglik[head], weights=weight[head]))


def alarms_of(values, weights):
    test, alarms = PageHinkley(), []
    for n, (value, weight) in enumerate(zip(values, weights, strict=True)):
        test, alarm = test.after(float(value), float(weight))
        if alarm:
            alarms.append(n)
    return alarms


@pytest.mark.parametrize("seed", range(20))
def test_no_alarm_on_a_stationary_stream(seed):
    """Unequal batches, skewed scores, and a rise at the beginning, as while a model learns."""
    random = np.random.default_rng(seed)
    weight = random.integers(50, 500, size=2000).astype(float)
    skewed = 1.0 - random.gamma(20.0, 1 / 20.0, size=2000)
    rise = -3.0 * np.exp(-np.arange(2000) / 40.0)
    assert alarms_of(rise + skewed / np.sqrt(weight), weight) == []


@pytest.mark.parametrize("decrease", [1.5, 5.0, 1000.0])
@pytest.mark.parametrize("seed", range(5))
def test_an_alarm_soon_after_a_fall(decrease, seed):
    values = np.random.default_rng(seed).normal(size=1500)
    values[1000:] -= decrease
    alarms = alarms_of(values, np.full(1500, 100.0))
    assert len(alarms) == 1
    assert 1003 <= alarms[0] < 1040


def test_batches_without_a_possible_row_alarm_once():
    values = np.random.default_rng(0).normal(size=200)
    values[10], values[100:] = -np.inf, -np.inf
    alarms = alarms_of(values, np.ones(200))
    assert len(alarms) == 1
    assert 102 <= alarms[0] < 108


def test_a_rise_a_single_outlier_and_constants_never_alarm():
    values = np.random.default_rng(0).normal(size=1500)
    values[700] = -1e6
    values[1000:] += 50.0
    assert alarms_of(values, np.ones(1500)) == []
    assert alarms_of(np.zeros(200), np.ones(200)) == []


def test_a_stream_that_changes_raises_an_alarm_with_its_rows(case, model):
    X = case.rows(model, 60_000, seed=0)
    X[30_000:] += 4.0
    settings = OnlineSettings(Forgetting.from_half_life(5000), min_rows=3.0)
    state = learn(model, case.params(model, seed=0), cut(X, 200), settings)
    assert len(state.alarms) == 1
    assert 30_000 < state.alarms[0] < 36_000
    stationary = learn(model, case.params(model, seed=0), cut(X[:30_000], 200), settings)
    assert stationary.alarms == ()
