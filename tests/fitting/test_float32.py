"""Fits of float32 rows: their first iterations may be in float32, what they tell is float64's."""

import warnings
from functools import partial

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from fastem import GaussianMixture, Mixture, open_source, warmup
from fastem.fitting import batch, problem
from fastem.model import Model
from fastem.passes.units import ROWS_PER_RUN
from fastem.schedules.result import FitState, Trace
from tests.cases import memory_of
from tests.fitting.test_checkpoint import assert_same_fit, interrupted_after

fit = partial(GaussianMixture, 3, random_state=0, init_params="random_from_data", search="restarts")


@pytest.fixture
def many(monkeypatch):
    """As if a pass over any rows took long."""
    monkeypatch.setattr(batch, "MUCH_WORK", 0)


@pytest.fixture
def used(monkeypatch):
    """Of each E-step of a fit: whether it is in float32, where rows are."""
    found, original = [], Model.accumulator

    def accumulator(self, params, pruning=None, begun=None, *, float32=False):
        if self.latent.n_components > 1:
            found.append(float32 and self.family.in_float32(params.family) is not None)
        return original(self, params, pruning, begun, float32=float32)

    monkeypatch.setattr(Model, "accumulator", accumulator)
    return found


def rows(n_rows=6000, n_features=9, distance=2.0, dtype=np.float32):
    random = np.random.default_rng(0)
    means = distance * random.normal(size=(3, n_features))
    return (means[random.integers(3, size=n_rows)] + random.normal(size=(n_rows, n_features))).astype(dtype)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical", "tied"])
def test_a_fit_ends_where_one_in_float64_does(covariance_type, many):
    X = rows(distance=0.8)
    plain = {"covariance_type": covariance_type, "schedule": "plain", "tol": 1e-7}
    near, exact = fit(**plain).fit(X), fit(**plain, precision="float64").fit(X)
    assert near.converged_
    assert near.n_iter_ > 10
    assert (covariance_type == "tied") == (near.lower_bounds_ == exact.lower_bounds_)
    np.testing.assert_allclose(near.lower_bounds_[:10], exact.lower_bounds_[:10], rtol=0, atol=1e-6)
    assert near.lower_bound_ == pytest.approx(exact.lower_bound_, abs=1e-8)
    np.testing.assert_allclose(near.means_, exact.means_, atol=1e-4)
    assert near.fit_report_.loglik == pytest.approx(near.score(X), abs=1e-12)
    assert np.diff(near.lower_bounds_).min() >= 0.0


def test_first_iterations_are_in_float32_and_the_last_in_float64(many, used):
    mixture = fit(schedule="plain", tol=1e-9).fit(rows(distance=0.8))
    # A start is made in float64.
    used = used[len(used) - mixture.n_iter_ - 1 :]
    gains = np.diff(mixture.lower_bounds_)
    n_first = used.index(False)
    assert all(used[:n_first])
    assert not any(used[n_first:])
    assert n_first > 5
    assert gains[: n_first - 2].min() > problem._FLOAT32_GAIN >= gains[n_first - 2]


@pytest.mark.parametrize(
    "make",
    [
        fit(precision="float64").fit,
        fit(schedule="incremental", max_iter=3).fit,
        fit(schedule="online", max_iter=3).fit,
        Mixture("normal", 3, random_state=0).fit,
    ],
)
def test_other_fits_are_in_float64(make, many, used):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        make(rows())
    assert used
    assert not any(used)


def test_few_rows_are_in_float64(used):
    X = rows()
    assert_same_fit(fit().fit(X), fit(precision="float64").fit(X))
    assert not any(used)


def test_rows_of_float64_have_the_bits_of_float64(many):
    X = rows(dtype=np.float64)
    assert_same_fit(fit().fit(X), fit(precision="float64").fit(X))


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_kernels_are_compiled_ahead_where_that_is_asked_for(covariance_type, used):
    warmup(covariance_type)
    assert not any(used)
    warmup(covariance_type, float32=True)
    assert any(used)


@pytest.mark.parametrize("n_iter", [0, 1, 5])
def test_an_interrupted_fit_goes_on_to_the_same_bits(many, tmp_path, n_iter):
    X, path = rows(distance=0.8), tmp_path / "fit.npz"
    settings = {"n_components": 3, "random_state": 0, "schedule": "plain", "max_iter": 30}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        interrupted_after(n_iter, X, path, **settings)
        resumed = GaussianMixture(**settings, tol=0.0, init_params="random_from_data", checkpoint=path).fit(
            X, resume=True
        )
        whole = GaussianMixture(**settings, tol=0.0, init_params="random_from_data").fit(X)
    assert_same_fit(resumed, whole)
    with pytest.raises(ValueError, match="precision='auto', but now it is 'float64'"):
        GaussianMixture(**settings, tol=0.0, init_params="random_from_data", checkpoint=path, precision="float64").fit(
            X, resume=True
        )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_beyond_the_range_of_float32_are_of_float64(many, used):
    X = rows()
    start = {
        "means_init": X[:3], "precisions_init": np.stack([np.eye(9)] * 3), "covariance_floor": 0.0, "prior": None,
        "schedule": "plain",
    }  # fmt: skip
    # Rows whose squares float32 does not hold.
    for far in (1e21, 1e30):
        X[-1] = far
        near, exact = (fit(precision=each, max_iter=5, **start).fit(X) for each in ("auto", "float64"))
        assert np.isfinite(near.covariances_).all()
        assert_same_fit(near, exact)
    assert used.count(True) == 2


def test_components_that_are_far_apart_converge_at_once(many):
    # From one iteration to the next the gain falls from much to less than the noise of float32.
    X = rows(distance=30.0)
    for seed in range(5):
        mixture = GaussianMixture(3, random_state=seed).fit(X)
        assert mixture.converged_


def test_a_fit_goes_on_from_one_in_float32(many, used):
    X = rows()
    for tol in (1e-5, 1e-9):
        mixture = fit(warm_start=True, tol=tol).fit(X)
        exact = fit(warm_start=True, tol=tol, precision="float64").fit(X)
        assert mixture.n_iter_ == exact.n_iter_
        used.clear()
        for _ in range(2):
            assert mixture.fit(X).n_iter_ == exact.fit(X).n_iter_ <= 2
            assert mixture.converged_
    # The last one had converged, so that nothing was left to gain.
    assert not any(used)


@pytest.mark.parametrize(
    ("objective", "enough"),
    [
        ([], True),
        ([-9.0], True),
        ([-9.0, -8.0], True),
        ([-9.0, -9.0 + 1e-7], False),
        ([-9.0, -8.0, -7.0], True),
        # An extrapolation gained much, where iterations gain little.
        ([-9.0, -9.0 + 1e-7, -8.0], False),
        ([-10.0, -10.0 + 1e-7, -9.0, -8.0], True),
    ],
)
def test_both_of_the_last_iterations_must_gain_enough(objective, enough):
    of_rows = problem.Problem(None, None, fit=FitState(None, Trace(objective)))
    assert of_rows._gains_enough(0) == enough


def test_chunks_change_no_bit(many):
    X = rows(3 * ROWS_PER_RUN)
    whole = fit(max_iter=5).fit
    limited = fit(max_iter=5, memory_limit=memory_of(ROWS_PER_RUN, X)).fit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert_same_fit(whole(X), limited(open_source(X)))


def test_samples_that_lead_are_in_float32_too(many, monkeypatch):
    X = rows(40_000, distance=0.8)
    settings = {"schedule__subsample__min_rows": 10_000, "schedule__subsample__min_rows_per_parameter": 1}
    found, original = [], problem.Problem.e_step

    def e_step(self, params):
        found.append((self.fit is not None, self.source.n_rows))
        return original(self, params)

    monkeypatch.setattr(problem.Problem, "e_step", e_step)
    near = fit().set_params(**settings).fit(X)
    assert {is_float32 for is_float32, n_rows in found if n_rows < 40_000} == {True}
    exact = fit(precision="float64").set_params(**settings).fit(X)
    assert near.lower_bound_ == pytest.approx(exact.lower_bound_, abs=1e-4)
    assert near.fit_report_.n_rows_subsample == 5000
