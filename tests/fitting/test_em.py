"""The course of EM: stopping, rescue, restarts, interruption."""

from __future__ import annotations

import pickle
import re
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from fastem import GaussianMixture, Mixture
from fastem.families.gaussian.matrices import floored_whitening
from fastem.fitting import problem
from fastem.schedules.batch import fit_batch
from fastem.schedules.result import Reason
from fastem.schedules.stopping import remaining_gain
from fastem.stats import ExpectedStats
from tests.cases import e_step

COVARIANCE_TYPES = ["full", "tied", "diag", "spherical"]
STARTS = ["k-means++", "kmeans", "random_from_data", "random"]


class Scripted:
    """A problem whose objective after iteration t is `objective[t]`; parameters are the iteration."""

    def __init__(self, objective, interrupt_at=None):
        self.objective = objective
        self.interrupt_at = interrupt_at

    def e_step(self, params):
        if params == self.interrupt_at:
            raise KeyboardInterrupt
        objective = self.objective[params]
        return ExpectedStats(objective, 1.0, 0.0 if np.isfinite(objective) else 1.0, params, None)

    def m_step(self, stats, params):
        return stats.latent + 1, []


def test_a_fit_that_is_gone_on_with_at_its_end_has_converged():
    kept = []
    watch = lambda state: kept.append(pickle.dumps(state))  # noqa: E731
    whole = fit_batch(Scripted(geometric(0.5, 60)), 0, tol=1e-3, max_iter=50, watch=watch)
    again = fit_batch(Scripted(geometric(0.5, 60)), pickle.loads(kept[-1]), tol=1e-3, max_iter=50)
    assert (again.reason, again.n_iter) == (whole.reason, whole.n_iter) == (Reason.CONVERGED, whole.params)
    assert again.trace == whole.trace


def geometric(rate, n):
    return [-(rate**t) for t in range(n)]


@pytest.mark.parametrize("rate", [0.3, 0.9, 0.99, 0.999])
def test_stops_when_less_than_tol_is_left_to_gain(rate):
    objective = geometric(rate, 20_000)
    result = fit_batch(Scripted(objective), 0, tol=1e-4, max_iter=19_000)
    assert result.reason is Reason.CONVERGED
    left = -result.objective
    assert left < 1e-4
    assert left > 1e-4 * rate**3, "stops as soon as the promise holds"
    assert result.trace.remaining == pytest.approx(left, rel=1e-6)


def test_a_slow_start_is_not_convergence():
    """Small but growing gains, as when EM leaves a saddle: one gain is below tol, yet all is to come."""
    objective = [-1.0 + 1e-9 * 1.5**t for t in range(45)] + [-0.5 * 0.5**t for t in range(60)]
    result = fit_batch(Scripted(objective), 0, tol=1e-5, max_iter=len(objective) - 1)
    assert result.reason is Reason.CONVERGED
    assert result.objective > -1e-5


def test_an_iteration_that_lowers_the_objective_is_undone_and_not_called_converged():
    result = fit_batch(Scripted([-3.0, -2.0, -1.5, -1.6, -1.0]), 0, tol=1e-3, max_iter=10)
    assert result.reason is Reason.OBJECTIVE_DECREASED
    assert (result.params, result.objective, result.n_iter) == (2, -1.5, 3)
    assert result.trace.decrease == pytest.approx(0.1)


@pytest.mark.parametrize("seed", range(12))
def test_a_fit_that_starts_at_its_end_tells_what_its_iteration_did(seed):
    """From the winner of a race, or the last fit, an iteration may change nothing but rounding."""
    random = np.random.default_rng(seed)
    X = np.concatenate([random.normal(c, 1, (100, 2)) for c in (0, 30, 60)])
    again = GaussianMixture(3, random_state=seed, tol=1e-14, max_iter=3000, warm_start=True).fit(X)
    for mixture in (GaussianMixture(3, n_init=4, random_state=seed).fit(X), again.fit(X)):
        assert mixture.converged_
        assert len(mixture.lower_bounds_) == mixture.n_iter_ - mixture.fit_report_.n_rejected + 1 >= 2
        assert np.diff(mixture.lower_bounds_).min() >= 0.0
        assert "unknown" not in str(mixture.fit_report_)


def test_a_fall_within_rounding_ends_at_the_better_parameters():
    result = fit_batch(Scripted([-3.0, -2.0, -2.0 - 1e-14]), 0, tol=0.0, max_iter=10)
    assert result.reason is Reason.CONVERGED
    assert (result.params, result.objective) == (1, -2.0)


def test_impossible_rows_are_no_convergence():
    result = fit_batch(Scripted([-np.inf, -np.inf, -np.inf, -5.0, -4.0, -3.9]), 0, tol=1e-9, max_iter=5)
    assert result.reason is Reason.MAX_ITER
    assert result.objective == -3.9


def test_an_objective_that_stands_still_is_converged():
    result = fit_batch(Scripted([-3.0, -2.0, -2.0, -1.0]), 0, tol=0.0, max_iter=3)
    assert result.reason is Reason.CONVERGED
    assert result.objective == -2.0


def test_max_iter_is_told():
    result = fit_batch(Scripted(geometric(0.99, 50)), 0, tol=1e-9, max_iter=20)
    assert result.reason is Reason.MAX_ITER
    assert result.n_iter == 20
    assert len(result.trace.objective) == 21


def test_interruption_keeps_the_last_whole_iteration():
    result = fit_batch(Scripted(geometric(0.9, 50), interrupt_at=7), 0, tol=1e-9, max_iter=40)
    assert result.reason is Reason.INTERRUPTED
    assert result.params == 6


def test_interruption_before_anything_is_known_is_passed_on():
    with pytest.raises(KeyboardInterrupt):
        fit_batch(Scripted([-1.0], interrupt_at=0), 0, tol=1e-9, max_iter=40)


def test_remaining_gain_without_an_estimate():
    assert np.isnan(remaining_gain([-3.0, -2.0]))
    assert np.isnan(remaining_gain([-3.0, -2.0, -0.5])), "gains that grow"
    assert np.isnan(remaining_gain([-np.inf, -2.0, -1.0]))
    assert remaining_gain([-3.0, -2.0, -2.0]) == 0.0


def two_processes(random):
    return np.concatenate([random.normal(20, 5, 300), random.normal(40, 5, 700)])


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_the_fit_is_near_the_truth_and_the_start_was_not(covariance_type):
    random = np.random.default_rng(0)
    X = np.concatenate([random.normal(size=(4000, 2)), [6.0, 0.0] + random.normal(size=(6000, 2))])
    means = np.array([[2.5, 3.0], [3.5, 3.0]])
    start = GaussianMixture(2, covariance_type=covariance_type, means_init=means, max_iter=1, random_state=0)
    with pytest.warns(ConvergenceWarning):
        start.fit(X)
    fitted = GaussianMixture(2, covariance_type=covariance_type, means_init=means, random_state=0).fit(X)
    truth = np.array([[0.0, 0.0], [6.0, 0.0]])
    assert np.abs(means - truth).max() > 2.0
    np.testing.assert_allclose(fitted.means_[np.argsort(fitted.means_[:, 0])], truth, atol=0.1)
    np.testing.assert_allclose(np.sort(fitted.weights_), [0.4, 0.6], atol=0.02)
    assert fitted.lower_bound_ > start.lower_bounds_[0] + 0.1


@pytest.mark.parametrize("init_params", [*STARTS, "quantile", "labels", "responsibilities"])
def test_every_start_reaches_the_same_optimum_of_an_easy_mixture(init_params):
    x = two_processes(np.random.default_rng(0))
    labels = np.repeat([0, 1], [300, 700])
    given = {"labels": labels, "responsibilities": 0.1 + 0.8 * np.eye(2)[labels]}
    mixture = GaussianMixture(2, init_params=given.get(init_params, init_params), tol=1e-12, random_state=1).fit(x)
    reference = GaussianMixture(2, init_params=labels, tol=1e-12).fit(x)
    assert mixture.lower_bound_ == pytest.approx(reference.lower_bound_, abs=1e-9)
    assert mixture.converged_


def test_starts_differ():
    X = np.random.default_rng(0).normal(size=(500, 2))
    first = {}
    for init_params in STARTS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture = GaussianMixture(4, init_params=init_params, random_state=0, max_iter=1).fit(X)
        first[init_params] = mixture.lower_bounds_[0]
    assert len(set(first.values())) == len(STARTS)


def test_more_starts_find_no_worse_an_optimum():
    random = np.random.default_rng(5)
    centres = random.uniform(0, 10, size=(12, 2))
    X = (centres[:, None, :] + 0.4 * random.normal(size=(12, 80, 2))).reshape(-1, 2)
    single = [
        GaussianMixture(12, init_params="random_from_data", n_init=1, random_state=seed, tol=1e-4).fit(X).lower_bound_
        for seed in range(3)
    ]
    settings = {"init_params": "random_from_data", "n_init": 6, "search": "restarts", "random_state": 0, "tol": 1e-4}
    best = GaussianMixture(12, **settings).fit(X)
    assert len(best.fit_report_.runs) == 6
    assert best.lower_bound_ == max(run.objective for run in best.fit_report_.runs)
    assert best.lower_bound_ == best.lower_bounds_[-1]
    assert best.fit_report_.loglik == pytest.approx(best.score(X), abs=1e-12)
    assert best.lower_bound_ >= min(single)
    assert len({round(run.objective, 6) for run in best.fit_report_.runs}) > 1, "the problem has local optima"


def test_offset_and_spread_are_recovered():
    random = np.random.default_rng(0)
    x = np.concatenate([random.normal(-1, 0.3, 4000), random.normal(1, 0.3, 6000)])
    plain = GaussianMixture(2, random_state=0).fit(x)
    moved = GaussianMixture(2, random_state=0).fit(1e9 + 1e-3 * x)
    np.testing.assert_allclose((moved.means_ - 1e9) * 1e3, plain.means_, atol=1e-3)
    np.testing.assert_allclose(moved.covariances_ * 1e6, plain.covariances_, rtol=1e-3)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_a_collapse_is_rescued_and_reported(covariance_type):
    random = np.random.default_rng(0)
    X = np.concatenate([random.normal(size=(200, 2)), np.full((30, 2), 5.0)])
    labels = np.repeat([0, 1], [200, 30])
    mixture = GaussianMixture(2, covariance_type=covariance_type, init_params=labels, prior=None)
    with pytest.warns(ConvergenceWarning, match="component 1 has collapsed: 100% of its rows agree"):
        mixture.fit(X)
    notes = [note for note in mixture.fit_report_.repairs if note.component == 1]
    assert [note.cause for note in notes] == ["collapsed"]
    assert notes[0].first_iteration == 0
    assert notes[0].last_iteration >= mixture.n_iter_ - 1, "to the end"
    assert "component 1 had collapsed" in str(mixture.fit_report_)
    floor = np.array(mixture.fit_report_.constraints["variance_floor"])
    assert np.all(np.abs(np.diag(np.atleast_2d(mixture.covariances_[1]))[:1] / floor[:1] - 1.0) < 0.5)
    np.testing.assert_allclose(mixture.means_[1], 5.0)


def test_the_floor_follows_the_units_of_the_data():
    X = np.concatenate([np.random.default_rng(0).normal(size=(200, 2)), np.full((30, 2), 5.0)])
    labels = np.repeat([0, 1], [200, 30])
    with pytest.warns(ConvergenceWarning, match="component 1 has collapsed"):
        metres, nanometres = (GaussianMixture(2, init_params=labels).fit(X * unit) for unit in (1.0, 1e9))
    np.testing.assert_allclose(nanometres.covariances_, metres.covariances_ * 1e18, rtol=1e-6)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_an_empty_component_is_rescued_and_reported(covariance_type):
    X = np.random.default_rng(0).normal(size=(300, 2))
    labels = np.zeros(300, dtype=int)
    mixture = GaussianMixture(2, covariance_type=covariance_type, init_params=labels, tol=1e-3).fit(X)
    notes = [note for note in mixture.fit_report_.repairs if note.cause == "empty"]
    assert notes
    assert notes[0].component == 1
    assert np.all(np.isfinite(mixture.covariances_))
    np.testing.assert_allclose(mixture.weights_, [1.0, 0.0], atol=1e-12)
    assert "component 1 was empty" in str(mixture.fit_report_)


def test_impossible_rows_are_reported_and_never_nan():
    """Rows 1e200 standard deviations away have density zero in float64."""
    mixture = GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [1.0]], [1e-300, 1e-300])
    X = np.array([[0.0], [1e10], [1.0]])
    np.testing.assert_array_equal(mixture.score_samples(X) == -np.inf, [False, True, False])
    np.testing.assert_array_equal(mixture.predict_proba(X), [[1, 0], [0, 0], [0, 1]])
    stats = e_step(mixture._model, mixture._params, X)
    assert stats.zero_density == 1.0
    assert stats.weight == 3.0
    assert np.isfinite(stats.loglik)
    assert stats.objective == -np.inf


def test_reg_covar_that_lowers_the_objective_is_told():
    x = two_processes(np.random.default_rng(0))
    mixture = GaussianMixture(2, reg_covar=30.0, tol=0.0, random_state=0)
    with pytest.warns(ConvergenceWarning, match="reg_covar=0"):
        mixture.fit(x)
    assert not mixture.converged_
    assert mixture.stop_reason_ == "objective_decreased"
    assert mixture.fit_report_.decrease > 0
    assert np.all(np.diff(mixture.lower_bounds_) >= 0)
    assert "undone" in str(mixture.fit_report_)


@pytest.mark.parametrize("n_features", [2, 9, 60])
def test_a_singular_covariance_is_lifted_to_the_floor(n_features):
    """Rank one plus rounding, as a collapsed component leaves it: the whitening still inverts what is returned."""
    random = np.random.default_rng(0)
    direction = random.normal(size=n_features) * 10.0 ** random.uniform(-3, 3, n_features)
    covariance = np.outer(direction, direction)[None]
    floor = 1e-10 * direction**2
    lifted, whitening, flags = floored_whitening(covariance, floor)
    scale = np.sqrt(np.outer(floor, floor))
    assert flags.tolist() == [True]
    assert np.linalg.eigvalsh(lifted[0] / scale)[0] > 0.5
    np.testing.assert_allclose(whitening[0] @ lifted[0] @ whitening[0].T, np.eye(n_features), atol=1e-3)
    assert np.all(np.triu(whitening[0], 1) == 0)
    np.testing.assert_array_equal(floored_whitening(lifted * 4.0, floor)[2], [False])


def test_not_converging_warns_once_and_names_the_remedy():
    X = np.random.default_rng(0).normal(size=(500, 2))
    mixture = GaussianMixture(5, max_iter=2, n_init=3, search="restarts", random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mixture.fit(X)
    assert [warning.category for warning in caught] == [ConvergenceWarning]
    assert "Increase max_iter" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert not mixture.converged_
    assert mixture.stop_reason_ == "max_iter"
    assert mixture.n_iter_ == 2
    assert len(mixture.lower_bounds_) == 3


def test_interrupting_a_fit_leaves_a_usable_model(monkeypatch):
    X = np.random.default_rng(0).normal(size=(500, 2))
    mixture = GaussianMixture(5, random_state=0, n_init=4, search="restarts")
    calls = []

    def interrupt(self, params):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return original(self, params)

    original = problem.Problem.e_step
    monkeypatch.setattr(problem.Problem, "e_step", interrupt)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        mixture.fit(X)
    assert mixture.stop_reason_ == "interrupted"
    assert mixture.n_iter_ == 4
    assert not mixture.converged_
    assert len(mixture.fit_report_.runs) == 1
    assert mixture.score(X) == pytest.approx(mixture.fit_report_.loglik)


def test_warm_start_continues():
    X = np.random.default_rng(0).normal(size=(400, 2))
    whole = GaussianMixture(3, n_init=1, random_state=0, max_iter=20, tol=0.0)
    piecewise = GaussianMixture(3, n_init=1, random_state=0, max_iter=10, tol=0.0, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        whole.fit(X)
        piecewise.fit(X).fit(X)
    np.testing.assert_array_equal(piecewise.means_, whole.means_)
    for change in ({"n_components": 2}, {"covariance_type": "diag"}):
        with pytest.raises(ValueError, match="warm_start=True continues"):
            GaussianMixture(3, random_state=0, max_iter=2000, warm_start=True).fit(X).set_params(**change).fit(X)
    with pytest.raises(ValueError, match="warm_start=True continues"):
        piecewise.fit(X[:, :1])


@pytest.mark.parametrize(
    ("before", "after"), [("exponential", "gamma"), (["normal", "exponential"], ["exponential", "normal"])]
)
def test_warm_start_refuses_another_family(before, after):
    X = np.random.default_rng(0).exponential(size=(200, 2))
    mixture = Mixture(before, 2, random_state=0, warm_start=True).fit(X)
    with pytest.raises(ValueError, match="warm_start=True continues"):
        mixture.set_params(family=after).fit(X)


def test_verbose_prints_the_course(capsys):
    X = np.random.default_rng(0).normal(size=(400, 2))
    GaussianMixture(3, random_state=0, verbose=1, verbose_interval=5, tol=1e-6).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("iteration 0: ")
    assert lines[1].startswith("iteration 5: ")
    assert "estimated remaining improvement" in lines[1]


@pytest.mark.parametrize("schedule", ["batch", "online", "incremental"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_progress_shows_a_bar(capsys, schedule, is_stream):
    X = np.random.default_rng(0).normal(size=(4000, 2)) + 4.0 * (np.arange(4000) % 2)[:, None]
    settings = {"schedule": schedule, "max_iter": 5, "tol": 1e-9}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture = GaussianMixture(3, random_state=0, verbose=2, **settings).fit((lambda: iter([X])) if is_stream else X)
    shown = capsys.readouterr().err.split("\r")
    full = [line for line in shown if "100%" in line and "nats per row" in line]
    # Batch EM takes a pass before its first iteration.
    n_passes = mixture.n_iter_ + (schedule == "batch")
    for n in range(1, n_passes + 1):
        assert any(line.startswith(f"epoch {n}: 100%") for line in full)
    n_rows = "3.80k/3.80k" if schedule == "online" else "4.00k/4.00k"
    pattern = rf"{n_rows} \[\d\d:\d\d<00:00, [\d.]+[kM]? rows/s, -\d\.\d+ nats per row"
    assert all(re.search(pattern, line) for line in full), full
    assert any(re.search(r"estimated remaining improvement \d\S+, \d\d:\d\d left", line) for line in full)


def test_progress_without_tqdm_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
    with pytest.raises(ImportError, match=r"fastem\[progress\]"):
        GaussianMixture(verbose=2).fit(np.ones((5, 1)))
