"""Starts that run side by side: how many they are, and that each runs as if it were alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning

from fastem import Fixed, GaussianHMM, GaussianMixture, Mixture, Race
from fastem.families import StudentT
from fastem.families.gaussian.family import Gaussian
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model
from fastem.search import side_by_side
from fastem.search.side_by_side import race_side_by_side, run_side_by_side
from fastem.sources import ArraySource
from fastem.starts.several import apart, is_separable, several_labels, stacked
from tests.cases import MIXTURE_CASES, assert_close

CASES = SEPARABLE = [case for case in MIXTURE_CASES if is_separable(case.model())]


def test_components_that_share_a_parameter_are_not_separable():
    shared = {case.observed.name for case in MIXTURE_CASES} - {case.observed.name for case in SEPARABLE}
    assert shared == {
        case.observed.name for case in MIXTURE_CASES if "tied" in case.name or "t-distributions" in case.name
    }


def test_starts_side_by_side_go_where_each_goes_alone(case):
    model = case.model()
    X, weight = case.rows(model, 700), np.random.default_rng(0).uniform(0.5, 2.0, 700)
    sample, starts = ArraySource(X, weight), [case.params(model, seed) for seed in range(4)]
    together = run_side_by_side(model, sample, stacked(model, starts), 4, 2)
    for lane, params in zip(together, starts, strict=True):
        for _ in range(2):
            stats = model.e_step(params, next(sample.chunks()))
            params, _ = model.m_step(stats, params)
        assert_close(lane.params, params, rtol=1e-8)
        stats = model.with_prior(model.e_step(params, next(sample.chunks())), params)
        assert lane.objective == pytest.approx(stats.objective, rel=1e-9)


def two_columns(n_components):
    return Model(MixtureLatent(n_components), Gaussian(n_components=n_components, n_features=2))


def test_what_stands_side_by_side_comes_apart_again():
    model, random = two_columns(3), np.random.default_rng(0)
    starts = [
        case_params._replace(latent=model.latent.params(random.uniform(0.5, 1.0, 3)))
        for case_params in (MIXTURE_CASES[0].params(model, seed) for seed in range(3))
    ]
    for back, start in zip(apart(model, stacked(model, starts), 3), starts, strict=True):
        assert_close(back, start, rtol=1e-15)


def test_a_row_that_one_start_cannot_see_is_left_to_its_weights():
    # Under the narrow start the row at 1000 has no density that could be told from zero beside the wide one's.
    X = np.concatenate([np.random.default_rng(0).normal(size=(50, 2)), [[1000.0, 0.0]]])
    model = two_columns(2)
    wide = model.family.params(np.array([[0.0, 0.0], [1000.0, 0.0]]), np.stack([np.eye(2)] * 2))
    narrow = model.family.params(np.array([[0.0, 0.0], [1.0, 0.0]]), np.stack([np.eye(2)] * 2))
    weights = model.latent.params(np.array([0.25, 0.75]))
    one = MIXTURE_CASES[0].params(model)
    starts = [one._replace(latent=weights, family=family) for family in (wide, narrow)]
    lanes = run_side_by_side(model, ArraySource(X), stacked(model, starts), 2, 1)
    for lane in lanes:
        assert all(np.all(np.isfinite(field)) for field in lane.params.family)
        assert lane.params.latent.weights.sum() == pytest.approx(1.0)
    assert lanes[0].objective > lanes[1].objective
    assert not lanes[0].is_proper


def test_the_best_third_goes_on_and_the_winner_is_the_best_of_them():
    X = datasets.load_iris().data
    model, sample = Model(MixtureLatent(3), Gaussian(n_components=3, n_features=4)), ArraySource(X)
    labels = several_labels(X, np.ones(len(X)), 3, 16, np.random.default_rng(0))
    starts = [_start_of(model, sample, each) for each in labels]
    winner = race_side_by_side(model, sample, stacked(model, starts), 16)
    assert [len(heat) for heat in winner.heats] == [16, 6, 2]
    assert winner.heats[0][winner.index] >= sorted(winner.heats[0])[-6]
    alone = run_side_by_side(model, sample, stacked(model, [starts[winner.index]]), 1, 56)[0]
    assert alone.objective == pytest.approx(max(winner.heats[-1]), abs=2e-3)


def _start_of(model, sample, labels):
    from fastem.starts.given import one_hot, start_from

    resp = one_hot(labels, model.latent.n_components)
    return start_from(model, sample, lambda start, stop: resp[start:stop], sample.X.mean(axis=0))[0]


def test_a_heat_ends_when_no_start_gains(monkeypatch):
    model, X = two_columns(2), np.random.default_rng(0).normal(size=(100, 2)) + np.repeat([[0.0], [50.0]], 50, axis=0)
    start = _start_of(model, ArraySource(X), np.repeat([0, 1], 50))
    calls = []
    m_step = side_by_side._SideBySide._stats
    monkeypatch.setattr(
        side_by_side._SideBySide, "_stats", lambda self, *arguments: calls.append(1) or m_step(self, *arguments)
    )
    run_side_by_side(model, ArraySource(X), stacked(model, [start] * 2), 2, 50)
    assert len(calls) == 1


def test_labels_are_of_four_kinds_and_leave_rows_enough_to_each_component():
    X = np.concatenate([np.random.default_rng(0).normal(size=(60, 3)), [[9.0, 9.0, 9.0]]])
    labels = several_labels(X, np.ones(61), 4, 10, np.random.default_rng(0))
    assert labels.shape == (10, 61)
    for each in labels:
        assert np.bincount(each, minlength=4).min() >= 2
    assert len({each.tobytes() for each in labels}) > 4


def test_weights_count_as_rows_do_in_clusters():
    X = np.random.default_rng(0).normal(size=(40, 2))
    weight = np.ones(40)
    weight[:5] = 0.0
    labels = several_labels(X, weight, 2, 4, np.random.default_rng(0))
    assert labels.shape == (4, 40)


# How many starts there are.


def n_raced(mixture):
    races = mixture.fit_report_.races
    return len(races[0].heats[0]) if races and races[0].heats else 1


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_number_of_starts_is_told_and_depends_on_sizes_alone(n_threads):
    X = datasets.load_iris().data
    mixture = GaussianMixture(3, random_state=0, n_threads=n_threads).fit(X)
    assert n_raced(mixture) == 16
    assert "raced on 150 rows: 16 from" in str(mixture.fit_report_)
    other = GaussianMixture(3, random_state=1).fit(np.random.default_rng(0).normal(size=X.shape))
    assert n_raced(other) == 16


def test_there_are_fewer_starts_the_longer_a_pass_is():
    random = np.random.default_rng(0)
    numbers = {}
    for n_rows in (100, 20_000, 400_000):
        with pytest.warns(ConvergenceWarning, match="did not converge"):
            mixture = GaussianMixture(3, random_state=0, max_iter=1, tol=0.0).fit(random.normal(size=(n_rows, 1)))
        numbers[n_rows] = n_raced(mixture)
    assert numbers == {100: 16, 20_000: 8, 400_000: 1}
    assert n_raced(GaussianMixture(3, random_state=0, max_iter=0).fit(random.normal(size=(100, 1)))) == 1


def test_threads_and_files_change_no_bit(tmp_path):
    X = datasets.load_wine().data
    np.save(tmp_path / "rows.npy", X)
    np.savetxt(tmp_path / "rows.csv", X, delimiter=",", fmt="%.17g")
    fits = [GaussianMixture(3, random_state=0, n_threads=n).fit(X) for n in (1, 2)]
    fits += [GaussianMixture(3, random_state=0).fit(tmp_path / name) for name in ("rows.npy", "rows.csv")]
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit.means_, fits[0].means_)
        assert fit.fit_report_.races == fits[0].fit_report_.races


@pytest.mark.parametrize(
    "settings",
    [
        {"n_components": 1}, {"n_init": 1}, {"search": "restarts"}, {"schedule": "online"}, {"init_params": "quantile"},
        {"init_params": [0, 1] * 50}, {"means_init": [[0.0], [1.0]]}, {"weights_init": [0.5, 0.5]},
    ],
    ids=str,
)  # fmt: skip
def test_what_leaves_nothing_to_chance_has_one_start(settings):
    X = np.random.default_rng(0).normal(size=(100, 1))
    settings = {name: np.array(value) if isinstance(value, list) else value for name, value in settings.items()}
    assert n_raced(GaussianMixture(**{"n_components": 2, "random_state": 0, "max_iter": 0, **settings}).fit(X)) == 1


@pytest.mark.parametrize("init_params", ["k-means++", "kmeans", "random_from_data", "random"])
def test_every_start_that_is_drawn_may_run_side_by_side(init_params):
    X = datasets.load_iris().data
    mixture = GaussianMixture(6, init_params=init_params, random_state=0).fit(X)
    assert n_raced(mixture) == 16
    assert len(set(np.round(mixture.fit_report_.races[0].heats[0], 12))) > 1


@pytest.mark.parametrize(
    "mixture",
    [
        GaussianMixture(2, covariance_type="tied", random_state=0),
        GaussianMixture(2, fixed=Fixed(weights="equal"), random_state=0),
        Mixture(StudentT(df=4.0), 2, random_state=0),
        GaussianHMM(2, random_state=0),
    ],
    ids=lambda mixture: type(mixture).__name__,
)
def test_others_race_in_turn(mixture):
    assert n_raced(mixture.fit(datasets.load_iris().data[:100, :2])) == 4


def test_a_left_right_chain_has_its_even_start():
    X = np.concatenate([np.zeros(30), np.ones(30)]) + np.random.default_rng(0).normal(size=60) / 9
    auto, one = (GaussianHMM(2, transmat_prior="left-right", n_init=n, random_state=0).fit(X) for n in ("auto", 1))
    np.testing.assert_array_equal(auto.means_, one.means_)


@pytest.mark.parametrize("n_init", ["many", 0, -1, 1.5, None])
@pytest.mark.parametrize("kind", [GaussianMixture, GaussianHMM])
def test_other_words_and_numbers_are_refused(kind, n_init):
    with pytest.raises(ValueError, match="'n_init' parameter"):
        kind(2, n_init=n_init).fit(np.arange(10.0))


def test_swaps_may_be_asked_for_beside():
    X = datasets.load_iris().data
    mixture = GaussianMixture(5, covariance_type="diag", search=Race(swaps=3), random_state=0).fit(X)
    assert n_raced(mixture) == 16


def test_far_rows_are_shared_out_in_every_way():
    random = np.random.default_rng(0)
    X = np.concatenate([random.normal(size=(150, 1)), random.normal(size=(150, 1)) + 8.0])
    X = np.concatenate([X, [[1e6 - 2.0], [1e6 + 2.0]]])
    mixture = GaussianMixture(3, random_state=0).fit(X)
    assert n_raced(mixture) == 16
    np.testing.assert_allclose(np.sort(mixture.means_[:, 0]), [0.0, 8.0, 1e6], atol=0.5)


# What it is for.


def test_a_model_of_real_data_is_not_stuck_where_one_start_is():
    X = datasets.load_wine().data
    for seed in range(3):
        one, auto = (
            GaussianMixture(5, covariance_type="diag", random_state=seed, n_init=n_init).fit(X)
            for n_init in (1, "auto")
        )
        assert auto.lower_bound_ > one.lower_bound_ + 0.05


def test_a_start_that_collapses_does_not_win():
    model, random = two_columns(2), np.random.default_rng(0)
    X = np.concatenate([random.normal(size=(60, 2)), random.normal(size=(60, 2)) + 3.0])
    X[1] = X[0]
    sample = ArraySource(X)
    spike = np.zeros(120, dtype=np.intp)
    spike[:2] = 1
    good = np.repeat([0, 1], 60)
    rough = replace(model, family=replace(model.family, variance_floor=np.full(2, 1e-30)))
    starts = [_start_of(rough, sample, labels) for labels in (spike, good)]
    winner = race_side_by_side(rough, sample, stacked(rough, starts), 2)
    assert winner.heats[0][0] > winner.heats[0][1]
    assert winner.index == 1
    assert winner.lane.repairs == []
    assert race_side_by_side(rough, sample, stacked(rough, starts), 2, has_far_rows=True).index == 0
