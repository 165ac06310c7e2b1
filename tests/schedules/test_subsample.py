"""Samples that lead the fit of all rows: the same optimum, in few passes, however the rows are read."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from fastem import Batch, Checkpoint, GaussianMixture, Subsample
from fastem.fitting.problem import Problem, SampleProblem, first_rows, shuffled_sample
from fastem.schedules.accelerate.squarem import Squarem
from fastem.schedules.batch import fit_batch
from fastem.schedules.subsample import ControlVariate, _Corrected
from fastem.sources import ArraySource
from tests.cases import MIXTURE_CASES, assert_close

# Chains are not led by samples: their rows hang together. Nor are families whose statistics tell no log-density.
CASES = [case for case in MIXTURE_CASES if case.observed.tells_log_prob]
N_ROWS = 1_000_000


@pytest.fixture(scope="module")
def x():
    """Three components so near each other that EM takes hundreds of passes."""
    random = np.random.default_rng(0)
    return random.choice([0.0, 2.2, 5.0], p=[0.5, 0.3, 0.2], size=N_ROWS) + random.normal(size=N_ROWS)


START = {"n_components": 3, "means_init": [[-1.0], [1.0], [4.0]], "random_state": 0}


def fitted(X, weight=None, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(**{**START, **settings}).fit(X, sample_weight=weight)


@pytest.fixture(scope="module")
def optimum(x):
    return fitted(x, schedule=Batch(subsample=None), tol=1e-10)


def test_few_passes_reach_the_optimum(x, optimum):
    led = fitted(x, tol=1e-6)
    assert led.converged_
    assert led.n_iter_ + led.fit_report_.n_rejected <= 12
    assert led.lower_bound_ == pytest.approx(optimum.lower_bound_, abs=1e-6)
    np.testing.assert_allclose(led.means_, optimum.means_, atol=0.02)
    assert np.all(np.diff(led.lower_bounds_) >= 0)
    plain = fitted(x, schedule="plain", max_iter=50)
    assert plain.lower_bound_ < led.lower_bound_ - 1e-5


def test_the_report_tells_what_led(x):
    report = fitted(x).fit_report_
    assert report.n_rows_subsample == N_ROWS // 10
    assert report.n_iter_reduced > 10
    assert f"subsampling: {report.n_iter_reduced} iterations on up to {N_ROWS // 10} rows first" in str(report)


@pytest.mark.parametrize(
    ("settings", "n_rows"),
    [
        ({"schedule": Batch(subsample=None)}, N_ROWS),
        ({"schedule": "plain"}, N_ROWS),
        ({}, N_ROWS - 1),
        ({"memory_limit": "8kB"}, N_ROWS),
    ],
)
def test_where_nothing_leads(settings, n_rows, x):
    report = fitted(x[:n_rows], **settings, max_iter=2).fit_report_
    assert (report.n_rows_subsample, report.n_iter_reduced) == (0, 0)


def test_growth_without_acceleration_on_request(x):
    assert (
        fitted(x, schedule=Batch(subsample=Subsample(), acceleration=None), max_iter=2).fit_report_.n_rows_subsample
        == N_ROWS // 10
    )


def test_the_sample_takes_a_quarter_of_the_memory_at_most(x, optimum):
    led = fitted(x, memory_limit="400kB", tol=1e-6)
    assert led.fit_report_.n_rows_subsample == 400_000 // 4 // 8
    assert led.lower_bound_ == pytest.approx(optimum.lower_bound_, abs=5e-6)


def test_a_file_is_led_to_the_same_bits(x, tmp_path):
    np.save(tmp_path / "rows.npy", x)
    array, file = fitted(x), fitted(tmp_path / "rows.npy")
    np.testing.assert_array_equal(array.means_, file.means_)
    assert array.lower_bounds_ == file.lower_bounds_


def test_a_fit_that_was_led_goes_on_to_the_same_bits(x, tmp_path):
    settings = {"tol": 0.0, "checkpoint": Checkpoint(tmp_path / "fit.ckpt", every=0.0)}
    whole = fitted(x, tol=0.0, max_iter=6)
    fitted(x, max_iter=2, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        resumed = GaussianMixture(**START, max_iter=6, **settings).fit(x, resume=True)
    np.testing.assert_array_equal(resumed.covariances_, whole.covariances_)
    assert resumed.lower_bounds_ == whole.lower_bounds_
    assert resumed.fit_report_.n_iter_reduced == whole.fit_report_.n_iter_reduced


def test_weights_count_as_rows(x):
    weight = np.random.default_rng(1).integers(1, 4, size=N_ROWS).astype(float)
    weighted, repeated = fitted(x, weight, tol=1e-8), fitted(np.repeat(x, weight.astype(int)), tol=1e-8)
    assert weighted.fit_report_.n_rows_subsample > 0
    # Rows of weight zero are not there, and the penalty is of as many rows as there are.
    assert weighted.fit_report_.loglik == pytest.approx(repeated.fit_report_.loglik, abs=1e-7)


def test_a_component_that_no_sample_shows_is_not_lost(x):
    """Forty rows of a million: the sample has four, and misleads."""
    rows = np.append(x, np.random.default_rng(2).normal(60.0, 0.5, size=40))
    start = {"n_components": 4, "means_init": [[-1.0], [1.0], [4.0], [60.0]]}
    led, alone = fitted(rows, **start, tol=1e-6), fitted(rows, **start, schedule=Batch(subsample=None), tol=1e-6)
    assert led.fit_report_.n_rows_subsample > 0
    assert led.converged_
    assert led.weights_[3] * rows.size == pytest.approx(40.0, abs=0.01)
    assert led.lower_bound_ > alone.lower_bound_ - 2e-6
    assert np.all(np.diff(led.lower_bounds_) >= 0)


def test_a_corrected_sample_has_the_statistics_of_all_rows(case):
    model = case.model(3, 2)
    params, rows = case.params(model), ArraySource(case.rows(model, 3000, seed=0))
    sample = first_rows(shuffled_sample(rows, 3000, np.random.default_rng(0)), 500)
    everything = Problem(model, rows).e_step(params)
    correction = ControlVariate(model, SampleProblem(model, sample), 1e-6, Squarem(model))
    per_row = [(1.0 / float(stats.weight)) * stats for stats in (everything, correction.sample.e_step(params))]
    difference = (per_row[0] - per_row[1])._replace(loglik=0.0, weight=0.0)
    corrected = _Corrected(model, correction.sample, 3000.0, difference).e_step(params)
    assert corrected.weight == 3000.0
    assert_close(corrected.latent, everything.latent, rtol=1e-9)
    assert_close(corrected.family, everything.family, rtol=1e-9)


def test_em_on_a_corrected_sample_never_falls_and_stays_at_the_optimum(case):
    model = case.model(3, 2)
    rows = ArraySource(case.rows(model, 3000, seed=0))
    sample = SampleProblem(model, first_rows(shuffled_sample(rows, 3000, np.random.default_rng(0)), 1500))
    problem = Problem(model, rows)
    settings = {"tol": 1e-9, "max_iter": 300, "accelerator": Squarem(model)}
    params = fit_batch(problem, case.params(model, seed=0), **settings).params
    stats = problem.e_step(params)
    per_row = [(1.0 / float(one.weight)) * one for one in (stats, sample.e_step(params))]
    corrected = _Corrected(model, sample, 3000.0, (per_row[0] - per_row[1])._replace(loglik=0.0, weight=0.0))
    there, objective = params, []
    for _ in range(20):
        found = corrected.e_step(there)
        objective.append(found.objective)
        there = model.m_step(found, there)[0]
    assert np.all(np.diff(objective) > -1e-11 * abs(objective[0]))
    assert problem.e_step(there).objective > stats.objective - 1e-5
