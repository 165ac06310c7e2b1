"""A huge column in a few thousand bins: the same optimum with few passes over all rows."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import fastem
from fastem import Batch, GaussianMixture
from fastem.fitting import bins
from fastem.fitting.compress import Grid, compress
from fastem.schedules.batch import fit_batch
from fastem.schedules.result import FitResult, FitState, Reason
from fastem.sources import ArraySource

N_ROWS = 30_000


def overlapping(seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal(N_ROWS) + 3.0 * random.choice(3, N_ROWS, p=[0.3, 0.4, 0.3])


def with_outliers():
    x = overlapping()
    x[:20] = np.where(np.arange(20) % 2, 3e6, -1e6)
    return x


def far_cluster():
    x = overlapping()
    x[:600] += 1e6
    return x


def weights(n_rows):
    return np.random.default_rng(1).exponential(size=n_rows) * (np.arange(n_rows) % 7 > 0)


@pytest.mark.parametrize("n_bins", [1, 2, 97, 4096])
@pytest.mark.parametrize("weight", [None, weights(N_ROWS)], ids=["unweighted", "weighted"])
def test_stand_ins_keep_weight_mean_and_variance(n_bins, weight):
    for x in (overlapping(), with_outliers(), 1e9 + overlapping(), np.round(overlapping())):
        row_weight = np.ones(N_ROWS) if weight is None else weight
        chunks = ArraySource(x[:, None], weight).chunks(max_rows=7001)
        values, stand_in_weight = compress(chunks, Grid.around(x[:500], n_bins))
        assert len(values) <= 2 * n_bins
        assert stand_in_weight.sum() == pytest.approx(row_weight.sum())
        mean, pivot = np.average(x - x[-1], weights=row_weight), x[-1]
        assert np.average(values - pivot, weights=stand_in_weight) == pytest.approx(mean, abs=2e-7)
        variance = np.average(np.square(x - pivot - mean), weights=row_weight)
        found = np.average(np.square(values - pivot - mean), weights=stand_in_weight)
        assert found == pytest.approx(variance, rel=1e-6)


def test_every_value_lies_in_the_bin_around_its_middle():
    for grid in (Grid(3.0, 0.1, 64), Grid(-1e9, 2.0, 501)):
        np.testing.assert_array_equal(grid.bin_of(grid.middles()), np.arange(grid.n_bins))
        ends = np.array([-1e150, 1e150])
        assert grid.bin_of(ends).tolist() == [0, grid.n_bins - 1]


def test_a_grid_of_few_different_values_has_a_scale():
    assert Grid.around(np.zeros(9), 8).scale == 1.0
    assert Grid.around(np.array([0, 0, 0, 0, 0, 4.0, 0, 0]), 8).scale == 0.5


DATA = {
    "overlapping": overlapping(),
    "float32": overlapping().astype(np.float32),
    "shifted": 1e9 + overlapping(),
    "small": 1e-140 * overlapping(),
    "outliers": with_outliers(),
    "a far cluster": far_cluster(),
    "integers": np.round(overlapping()).astype(np.int64),
    "mostly one value": np.where(np.arange(N_ROWS) % 10 < 7, 0.0, overlapping()),
    "constant": np.full(N_ROWS, 7.0),
}


@pytest.mark.filterwarnings("ignore:component . has collapsed")
@pytest.mark.parametrize("weight", [None, weights(N_ROWS)], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("data", DATA)
def test_the_optimum_is_that_of_the_plain_fit(data, weight):
    # One component more takes what lies far out.
    n_components = 4 if data in ("outliers", "a far cluster") else 3
    settings = {"n_components": n_components, "random_state": 0, "tol": 1e-5}
    plain = GaussianMixture(**settings).fit(DATA[data], sample_weight=weight)
    quick = GaussianMixture(**settings, schedule=Batch(bins=1024)).fit(DATA[data], sample_weight=weight)
    assert quick.converged_
    # The stand-in is fitted more closely than the plain fit asks of itself.
    assert quick.lower_bound_ >= plain.lower_bound_ - 1e-6
    assert quick.lower_bound_ <= plain.lower_bound_ + 2e-5
    assert np.all(np.diff(quick.lower_bounds_) >= 0)
    assert quick.n_iter_ <= 5
    assert quick.n_iter_ < plain.n_iter_ or plain.n_iter_ <= 4


def test_too_few_bins_are_repaired_by_passes_over_all_rows():
    """A narrow component within one of few bins."""
    random = np.random.default_rng(0)
    x = np.concatenate([random.normal(0, 1, 20_000), random.normal(2, 0.02, 10_000)])
    settings = {"n_components": 2, "means_init": [0, 2], "random_state": 0, "tol": 1e-7}
    plain = GaussianMixture(**settings).fit(x)
    quick = GaussianMixture(**settings, schedule=Batch(bins=64)).fit(x)
    assert quick.lower_bounds_[0] < plain.lower_bound_ - 1e-4
    assert quick.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-6)


@pytest.mark.parametrize("covariance_type", ["tied", "diag", "spherical"])
def test_every_covariance_type(covariance_type):
    settings = {
        "n_components": 3,
        "covariance_type": covariance_type,
        "random_state": 0,
        "n_init": 2,
        "search": "restarts",
    }
    plain = GaussianMixture(**settings).fit(overlapping())
    quick = GaussianMixture(**settings, schedule=Batch(bins=512)).fit(overlapping())
    assert quick.lower_bound_ == pytest.approx(plain.lower_bound_, abs=2e-5)
    assert len(quick.fit_report_.runs) == 2


def test_the_report_tells(tmp_path):
    quick = GaussianMixture(3, random_state=0, schedule=Batch(bins=512)).fit(overlapping())
    report = quick.fit_report_
    assert report.n_iter == quick.n_iter_
    assert report.n_iter_reduced > quick.n_iter_
    assert f"binning: {report.n_iter_reduced} iterations on bins" in str(report)
    quick.save(tmp_path / "model.npz")
    loaded = fastem.load(tmp_path / "model.npz")
    # The estimated remaining improvement may be unknown, and NaN is not equal to itself.
    assert str(loaded.fit_report_) == str(report)
    assert loaded.schedule == Batch(bins=512)
    assert "binning" not in str(GaussianMixture().fit(overlapping()).fit_report_)


def test_bits_do_not_depend_on_the_number_of_threads():
    fits = [
        GaussianMixture(3, random_state=0, schedule=Batch(bins=512), n_threads=n).fit(overlapping()) for n in (1, 2)
    ]
    assert fits[0].lower_bounds_ == fits[1].lower_bounds_


def test_several_features_and_too_few_bins_are_told():
    with pytest.raises(ValueError, match=r"bins=512 is for one feature, but X has 2\. Use schedule=Batch\(bins=None\)"):
        GaussianMixture(schedule=Batch(bins=512)).fit(np.ones((9, 2)))
    with pytest.raises(ValueError, match=r"bins=64 is too few for n_components=3\. Use at least 96"):
        GaussianMixture(3, schedule=Batch(bins=64)).fit(overlapping())


def test_interruption_of_the_stand_in_is_passed_on(monkeypatch):
    """All rows have not been looked at yet: there is no objective to tell."""

    def interrupted(problem, *arguments, **options):
        e_step = type(problem).e_step
        n_calls = itertools.count()

        def e_step_or_stop(self, params):
            if next(n_calls) == 7:
                raise KeyboardInterrupt
            return e_step(self, params)

        monkeypatch.setattr(type(problem), "e_step", e_step_or_stop)
        return fit_batch(problem, *arguments, **options)

    monkeypatch.setattr(bins, "fit_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        GaussianMixture(3, random_state=0, schedule=Batch(bins=512)).fit(overlapping())


def test_a_compressed_fit_goes_on_from_its_checkpoint(tmp_path):
    """Bins are not fitted again once all rows are."""
    settings = {"n_components": 3, "random_state": 0, "schedule": Batch(bins=512), "n_init": 2, "search": "restarts"}
    whole = GaussianMixture(**settings).fit(overlapping())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        GaussianMixture(**settings, checkpoint=tmp_path / "fit.npz").set_params(max_iter=1).fit(overlapping())
    resumed = GaussianMixture(**settings, checkpoint=tmp_path / "fit.npz").fit(overlapping(), resume=True)
    assert resumed.fit_report_.n_iter_reduced == 1
    assert resumed.lower_bound_ == pytest.approx(whole.lower_bound_, abs=2e-5)


def test_max_iter_bounds_both_stages():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quick = GaussianMixture(3, random_state=0, schedule=Batch(bins=512), max_iter=2).fit(overlapping())
    assert (quick.n_iter_, quick.fit_report_.n_iter_reduced) == (2, 2)


def test_a_fit_of_bins_that_fails_ends_the_fit(monkeypatch):
    def broken(problem, params, **_):
        return FitResult(FitState(params), Reason.FAILED, 1, OSError("gone"))

    monkeypatch.setattr(bins, "fit_batch", broken)
    with pytest.raises(OSError, match="gone"):
        GaussianMixture(3, random_state=0, schedule=Batch(bins=512)).fit(overlapping())
