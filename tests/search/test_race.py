"""Races of starts, and swaps that lead from one optimum to another."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

import fastem
from fastem import Fixed, GaussianMixture, Race
from fastem.families.gaussian.family import Gaussian
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model
from fastem.search.halving import race
from fastem.search.swaps import apply, ranked, split, usage_of
from fastem.sources import ArraySource
from fastem.starts.given import one_hot, start_from
from tests.cases import GAUSSIAN_CASES, MIXTURE_CASES, e_step

# Components of chains stay where they are.
CASES = MIXTURE_CASES
SETTINGS = {"random_state": 0, "n_threads": 1}


@dataclass(frozen=True)
class Car:
    """Comes as far as its limit, by one speed."""

    speed: float
    limit: float
    n_iter: int = 0

    @property
    def objective(self) -> float:
        return min(self.limit, self.speed * self.n_iter)


def drive(car, n_iter):
    return replace(car, n_iter=car.n_iter + n_iter)


def test_each_heat_costs_the_same_and_the_better_half_goes_on():
    driven = []

    def counted(car, n_iter):
        driven.append(n_iter)
        return drive(car, n_iter)

    winner = race([Car(float(speed), 1e9) for speed in range(8)], counted, 5)
    assert [len(heat) for heat in winner.heats] == [8, 4, 2]
    assert driven == [5] * 8 + [10] * 4 + [20] * 2
    assert winner.index == 7
    assert winner.contestant.n_iter == 35
    assert winner.heats[0] == [5.0 * speed for speed in range(8)]


def test_who_is_slow_at_first_may_win_and_nan_never_does():
    cars = [Car(np.nan, 1.0), Car(3.0, 20.0), Car(2.0, 100.0), Car(1.0, 100.0), Car(0.5, 100.0)]
    assert race(cars, drive, 5).index == 2
    assert race([Car(1.0, 9.0)] * 3, drive).index == 0, "of equals the first"
    alone = race([Car(1.0, 9.0)], drive)
    assert (alone.contestant.n_iter, alone.heats) == (0, [])


def problem(case, n_rows=400):
    """A model, parameters, and rows of whole weights."""
    model = case.model(n_components=3)
    sample = ArraySource(case.rows(model, n_rows), np.random.default_rng(2).integers(1, 4, size=n_rows).astype(float))
    return model, case.params(model), sample


def test_a_removal_loses_what_the_look_says(case):
    model, params, sample = problem(case)
    usage = usage_of(model, params, sample)
    all_resp = posterior(model, params, sample.X)
    for k in range(3):
        others = np.delete(all_resp, k, axis=1).sum(axis=1)
        # Of a row that no other component reaches, as much is lost as float64 can tell.
        loss = sample.weight @ -np.log(np.maximum(others, np.finfo(np.float64).eps))
        assert usage.losses[k] == pytest.approx(loss, rel=1e-3)
        resp = all_resp[:, k]
        np.testing.assert_array_equal(usage.rows[k], np.flatnonzero(resp > 1e-3))
        np.testing.assert_allclose(usage.resp[k], (resp * sample.weight)[usage.rows[k]], rtol=1e-9)
    assert usage.weight == sample.weight.sum()


def posterior(model, params, X):
    out = np.empty((len(X), model.latent.n_components))
    model.posterior(params, X, out)
    return out


@pytest.mark.parametrize("gaussian", GAUSSIAN_CASES, ids=lambda case: case.name)
def test_a_split_of_two_clusters_gains_and_weights_are_repeated_rows(gaussian):
    model = gaussian.model(n_components=3)
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 2)) + np.where(np.arange(300) < 100, 0.0, 8.0)[:, None]
    weight = random.integers(1, 4, size=300).astype(float)
    found = split(model, X, weight)
    labels = posterior(found.model, found.params, X).argmax(axis=1)
    assert len(set(labels[:100])) == len(set(labels[100:])) == 1
    assert labels[0] != labels[-1]
    repeated = np.repeat(X, weight.astype(int), axis=0)
    again = split(model, repeated, np.ones(len(repeated)))
    assert again.gain == pytest.approx(found.gain, rel=1e-9)
    # Two halves of one normal distribution are hardly better than the whole.
    assert found.gain / weight.sum() > 10 * split(model, X[100:], weight[100:]).gain / weight[100:].sum()


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_a_move_gains_at_least_what_was_foretold(covariance_type):
    """Two components share a cluster, and one lies between two others."""
    random = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [9.0, 0.0], [9.0, 9.0]])
    X = centres[np.arange(600) % 3] + random.normal(size=(600, 2))
    sample = ArraySource(X)
    model = Model(MixtureLatent(3), Gaussian(n_components=3, n_features=2, covariance_type=covariance_type))
    labels = np.where(X[:, 0] > 4.5, 2, X[:, 0] > 0.0).astype(int)
    params, _ = start_from(model, sample, lambda start, stop: one_hot(labels[start:stop], 3), X.mean(axis=0))
    usage = usage_of(model, params, sample)
    splits = {k: split(model, X[rows], resp) for k, (rows, resp) in enumerate(zip(usage.rows, usage.resp, strict=True))}
    best = ranked(usage, splits)[0]
    assert best.split == 2
    assert best.gain > 0.1
    with_swaps = apply(model, params, sample, [best], splits)
    # One M-step cannot lose what the responsibilities have gained.
    gained = e_step(model, with_swaps, X).objective - e_step(model, params, X).objective
    assert gained >= best.gain


def clusters(n_rows=3000, n_components=9, seed=0):
    random = np.random.default_rng(seed)
    means = 6.0 * np.stack(np.meshgrid(np.arange(3), np.arange(3)), axis=-1).reshape(-1, 2)
    return means[random.integers(n_components, size=n_rows)] + random.normal(size=(n_rows, 2))


BAD = {"means_init": [[-0.5, 0], [0.5, 0], [0, 0.5], [12, 12], [12, 11], [6, 6], [5, 6], [3, 12], [9, 0]]}


def test_moves_lead_out_of_a_bad_optimum_and_are_told(tmp_path):
    X = clusters()
    stuck = GaussianMixture(9, **BAD, **SETTINGS).fit(X)
    mixture = GaussianMixture(9, search=Race(swaps=9), **BAD, **SETTINGS).fit(X)
    assert mixture.lower_bound_ > stuck.lower_bound_ + 0.05
    np.testing.assert_allclose(mixture.weights_, 1 / 9, atol=0.03)
    (note,) = mixture.fit_report_.races
    assert note.n_rows == 3000
    assert note.heats == ()
    assert all(swap.gain > 0 and not swap.was_empty for swap in note.swaps)
    assert f"swapped: component {note.swaps[0].component} took one half of component {note.swaps[0].to}: +" in str(
        mixture.fit_report_
    )
    mixture.save(tmp_path / "model.npz")
    assert fastem.load(tmp_path / "model.npz").fit_report_ == mixture.fit_report_
    assert stuck.fit_report_.races == ()


def test_an_empty_component_is_put_where_it_is_needed():
    X = clusters()
    means = 6.0 * np.stack(np.meshgrid(np.arange(3), np.arange(3)), axis=-1).reshape(-1, 2)
    means[4] = 1e4
    settings = {"means_init": means, "precisions_init": np.stack([np.eye(2)] * 9), "weights_init": np.full(9, 1 / 9)}
    dead = GaussianMixture(9, **settings, **SETTINGS).fit(X)
    assert dead.weights_[4] < 1e-9
    mixture = GaussianMixture(9, search=Race(swaps=1), **settings, **SETTINGS).fit(X)
    assert mixture.weights_[4] > 0.02
    assert mixture.lower_bound_ > dead.lower_bound_ + 0.05
    assert "component 4, which was empty, took one half of component" in str(mixture.fit_report_)


def test_a_symmetric_start_is_left():
    X = clusters()
    equal = {"weights_init": np.full(9, 1 / 9), "means_init": np.zeros((9, 2)) + X.mean(axis=0)}
    equal["precisions_init"] = np.stack([np.linalg.inv(np.cov(X.T))] * 9)
    best = GaussianMixture(9, n_init=4, **SETTINGS).fit(X)
    assert GaussianMixture(9, **equal, **SETTINGS).fit(X).lower_bound_ < best.lower_bound_ - 0.5
    assert GaussianMixture(9, search=Race(swaps=20), **equal, **SETTINGS).fit(X).lower_bound_ == pytest.approx(
        best.lower_bound_, abs=1e-4
    )


@pytest.mark.parametrize("settings", [{}, {"schedule": "incremental"}, {"schedule": "online"}])
def test_a_race_makes_one_start_for_every_way_to_learn(settings):
    X, weight = clusters(), np.random.default_rng(1).integers(1, 3, size=3000).astype(float)
    common = {"n_init": 4, "init_params": "random_from_data", "tol": 1e-3, **SETTINGS, **settings}
    raced = GaussianMixture(9, **common).fit(X, sample_weight=weight)
    assert len(raced.fit_report_.runs) == 1
    (note,) = raced.fit_report_.races
    assert [len(heat) for heat in note.heats] == [4, 2]
    assert f"raced on 3000 rows: 4 from {min(note.heats[0]):.6g} to" in str(raced.fit_report_)
    assert raced.lower_bound_ > GaussianMixture(9, **{**common, "n_init": 1}).fit(X, sample_weight=weight).lower_bound_
    restarted = GaussianMixture(9, search="restarts", **common).fit(X, sample_weight=weight)
    assert len(restarted.fit_report_.runs) == 4
    assert restarted.fit_report_.races == ()
    assert raced.lower_bound_ > restarted.lower_bound_ - 1e-3


def test_a_file_is_raced_like_the_array(tmp_path):
    X = clusters()
    np.save(tmp_path / "rows.npy", X)
    array, file = (GaussianMixture(9, n_init=3, **SETTINGS).fit(data) for data in (X, tmp_path / "rows.npy"))
    np.testing.assert_array_equal(array.means_, file.means_)
    assert array.fit_report_.races == file.fit_report_.races


def test_what_is_fixed_is_not_moved():
    X = clusters()
    fixed = {"weights_init": np.full(9, 1 / 9), "fixed": Fixed(weights=True)}
    mixture = GaussianMixture(9, n_init=2, **fixed, **SETTINGS).fit(X)
    np.testing.assert_allclose(mixture.weights_, 1 / 9)
    assert mixture.fit_report_.races[0].swaps == ()
    with pytest.raises(ValueError, match=r"swaps=2 would move components .* fixed. Use search=Race\(swaps=0\)"):
        GaussianMixture(9, search=Race(swaps=2), **fixed, **SETTINGS).fit(X)
    # Means of zero are fixed, too.
    at_zero = {"means_init": np.zeros((2, X.shape[1])), "fixed": Fixed(means=True)}
    with pytest.raises(ValueError, match="swaps=2 would move components"):
        GaussianMixture(2, search=Race(swaps=2), **at_zero, **SETTINGS).fit(X)


def test_a_sample_of_one_piece_or_many_says_the_same(case, monkeypatch):
    from fastem.search import swaps

    model, params, sample = problem(case)
    whole = usage_of(model, params, sample)
    monkeypatch.setattr(swaps, "_PIECE_NUMBERS", 100)
    pieces = usage_of(model, params, sample)
    np.testing.assert_allclose(pieces.losses, whole.losses, rtol=1e-12)
    for a, b in zip(pieces.rows, whole.rows, strict=True):
        np.testing.assert_array_equal(a, b)
