"""Histograms: exact moments within bins, and fits that coarse bins do not bias."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import ndtr
from sklearn.exceptions import ConvergenceWarning

import fastem
from fastem import Batch, GaussianMixture, Race, Subsample
from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.location_scatter import STRUCTURES
from fastem.fitting.binned import BinnedProblem, Bins, bin_moments
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from tests import naive
from tests.cases import assert_close

COVARIANCE_TYPES = list(STRUCTURES)
TIGHT = {"tol": 1e-12, "max_iter": 20_000}


def two_processes(n_rows, seed=0):
    random = np.random.default_rng(seed)
    n_left = 3 * n_rows // 10
    return np.concatenate([random.normal(20, 5, n_left), random.normal(40, 5, n_rows - n_left)])


def ordered(mixture):
    """Weights, means and standard deviations (3, K), by the size of the means."""
    order = np.argsort(mixture.means_[:, 0])
    sd = np.sqrt(np.broadcast_to(np.ravel(mixture.covariances_), order.shape))
    return np.array([mixture.weights_[order], mixture.means_[order, 0], sd[order]])


def model_of(covariance_type, weights, means, variances):
    family = Gaussian(n_components=len(weights), n_features=1, covariance_type=covariance_type)
    variances = variances[:1] if covariance_type == "tied" else variances
    family_params = family.params(means[:, None], np.reshape(variances, family.covariance_shape()))
    model = Model(MixtureLatent(len(weights)), family)
    return model, Params(model.latent.params(weights), family_params)


@pytest.mark.parametrize(
    ("lower", "upper"),
    [(-np.inf, np.inf), (-np.inf, 1.0), (8.0, np.inf), (37.0, np.inf), (-1.0, 2.0), (-0.3, 0.75), (0.0, 9.0)]
    + [(place, place + width) for place in (-30.0, -3.0, 0.1, 2.0, 60.0) for width in (1e-9, 1e-3, 0.1, 0.9, 1.1, 5.0)],
)  # fmt: skip
@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (0.7, 0.2), (-3.0, 20.0)])
def test_moments_within_a_bin(lower, upper, mean, sd):
    fast = bin_moments(*(np.array([value]) for value in (lower, upper, mean, sd)))
    log_prob, first, second = naive.bin_moments(lower, upper, mean, sd)
    assert fast.log_prob[0] == pytest.approx(log_prob, rel=1e-12, abs=1e-12)
    assert sd * fast.first[0] == pytest.approx(first, abs=1e-12 * np.sqrt(second))
    assert sd**2 * fast.second[0] == pytest.approx(second, rel=1e-12)


def test_moments_where_densities_underflow():
    """A thousand standard deviations out, against the asymptotic series of the tail."""
    z = 1e3
    tail = bin_moments(np.array([z, -np.inf]), np.array([np.inf, -z]), np.zeros(1), np.ones(1))
    expected = -0.5 * z**2 - np.log(z) - 0.5 * np.log(2 * np.pi) - 1 / z**2
    np.testing.assert_allclose(tail.log_prob, expected, rtol=1e-15)
    np.testing.assert_allclose(tail.first, [z + 1 / z, -z - 1 / z], rtol=1e-11)
    np.testing.assert_allclose(tail.second, z**2 + 2, rtol=1e-11)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_e_step_against_numerical_integration(covariance_type):
    random = np.random.default_rng(0)
    edges = np.concatenate([[-np.inf], np.sort(random.normal(0, 6, 30)), [np.inf]])
    counts = random.uniform(0, 9, edges.size - 1).round(1)
    weights, means, variances = np.array([0.2, 0.5, 0.3]), np.array([-4.0, 0.5, 1.0]), np.array([1.5, 0.3, 6.0])
    if covariance_type == "tied":
        variances[:] = variances[0]
    model, params = model_of(covariance_type, weights, means, variances)
    stats = BinnedProblem(model, Bins(counts, edges)).e_step(params)
    slow = naive.binned_e_step(counts, edges, weights, means, variances)
    assert stats.loglik == pytest.approx(slow.loglik, rel=1e-9)
    assert stats.weight == pytest.approx(counts.sum())
    np.testing.assert_allclose(stats.latent.n, slow.n, rtol=1e-9)
    np.testing.assert_allclose(stats.family.sx[:, 0], slow.sx, atol=1e-9 * np.abs(slow.sx).max())
    sxx = naive.reduce_scatter(slow.sxx[:, None, None], covariance_type)
    np.testing.assert_allclose(stats.family.sxx, sxx, rtol=1e-9)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_fine_bins_give_the_fit_of_the_rows(covariance_type):
    x = two_processes(2000)
    start = {"weights_init": [0.5, 0.5], "means_init": [25, 35], "covariance_type": covariance_type, "random_state": 0}
    rows = GaussianMixture(2, **start, **TIGHT).fit(x)
    distance = []
    for width in (1.0, 0.1, 0.01):
        edges = np.arange(np.floor(x.min()), x.max() + 1 + width, width)
        binned = GaussianMixture(2, **start, **TIGHT).fit_histogram(np.histogram(x, edges)[0], edges)
        distance.append(np.abs(ordered(binned) - ordered(rows)).max())
        assert binned.lower_bound_ - np.log(width) == pytest.approx(rows.lower_bound_, abs=0.02 * width)
    # Rounding rows to bins moves each by up to half a width, in no direction on average.
    assert np.all(np.array(distance) < [0.1, 0.01, 0.001]), distance


def test_coarse_bins_do_not_bias_where_midpoints_do():
    x = two_processes(100_000)
    counts, edges = np.histogram(x, bins=np.arange(-10, 80, 9.0))
    truth = np.array([[0.3, 0.7], [20, 40], [5, 5]])
    tolerance = np.array([[0.01], [0.2], [0.15]])
    binned = ordered(GaussianMixture(2, random_state=0, **TIGHT).fit_histogram(counts, edges))
    midpoints = GaussianMixture(2, random_state=0, **TIGHT).fit(0.5 * (edges[1:] + edges[:-1]), sample_weight=counts)
    assert np.all(np.abs(binned - truth) < tolerance), binned
    # Sheppard: 9² / 12 more variance.
    assert np.all(np.abs(ordered(midpoints) - truth)[2] > 2 * tolerance[2]), ordered(midpoints)


def test_the_maximum_is_that_of_direct_maximisation(faithful):
    counts, edges = np.histogram(faithful[:, 1], bins=[-np.inf, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, np.inf])
    settings = {"tol": 1e-14, "max_iter": 50_000, "prior": None}
    mixture = GaussianMixture(2, random_state=0, **settings).fit_histogram(counts, edges)

    def loss(theta):
        share, means, sds = 1 / (1 + np.exp(-theta[0])), theta[1:3], np.exp(theta[3:5])
        probability = np.diff(ndtr((edges[:, None] - means) / sds), axis=0) @ [share, 1 - share]
        return -(counts @ np.log(probability)) / counts.sum()

    best = minimize(loss, [0.0, 55.0, 80.0, 1.5, 1.5], method="Nelder-Mead",
                    options={"xatol": 1e-9, "fatol": 1e-15, "maxiter": 20_000, "maxfev": 20_000})  # fmt: skip
    assert mixture.lower_bound_ == pytest.approx(-best.fun, abs=1e-10)
    np.testing.assert_allclose(ordered(mixture)[1:], [best.x[1:3], np.exp(best.x[3:5])], rtol=1e-4)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_objective_never_falls(data):
    """Whatever the histogram: far tails, empty bins, open ends, any place and scale."""
    draw = data.draw
    n_bins = draw(st.integers(4, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    edges = np.cumsum(10.0 ** random.uniform(*draw(st.sampled_from([(0, 0), (-6, 1), (-1, 3)])), n_bins + 1))
    offset, scale = draw(st.sampled_from([(0.0, 1.0), (1e9, 1.0), (0.0, 1e-140), (0.0, 1e130), (-1e5, 1e-3)]))
    edges = np.unique(offset + scale * edges)
    if draw(st.booleans()):
        edges[0], edges[-1] = -np.inf, np.inf
    counts = np.where(random.random(edges.size - 1) < draw(st.sampled_from([0.0, 0.7])), 0.0, 1.0)
    counts *= 10.0 ** random.uniform(-3, 6, counts.size)
    counts[[0, 1, -2]] = [1.0, 2.0, 3.0]
    mixture = GaussianMixture(
        draw(st.integers(1, 3)), covariance_type=draw(st.sampled_from(COVARIANCE_TYPES)), max_iter=60,
        init_params=draw(st.sampled_from(["k-means++", "random", "quantile", "random_from_data"])), random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit_histogram(counts, edges)
    assert mixture.stop_reason_ in ("converged", "max_iter")
    assert mixture.lower_bound_ <= 1e-12
    assert np.all(np.isfinite(mixture.means_))
    assert np.all(mixture.covariances_ > 0)


@pytest.mark.parametrize(("scale", "offset"), [(1e-3, 1e6), (1e6, -1e9), (1e-140, 0.0), (1e140, 0.0), (-2.0, 1.0)])
@pytest.mark.parametrize("n_components", [1, 2])
def test_shift_and_scale_equivariance(scale, offset, n_components):
    counts, edges = np.histogram(np.round(two_processes(5000)), bins=np.arange(-0.5, 80, 4.0))
    open_edges = edges.copy()
    open_edges[0], open_edges[-1] = -np.inf, np.inf
    settings = {"init_params": "quantile", "tol": 1e-9}
    for these in (edges, open_edges):
        base = GaussianMixture(n_components, **settings).fit_histogram(counts, these)
        moved = GaussianMixture(n_components, **settings)
        step = int(np.sign(scale))
        moved.fit_histogram(counts[::step], (scale * these + offset)[::step])
        assert moved.lower_bound_ == pytest.approx(base.lower_bound_, abs=1e-7)
        back = np.array([0.0, -offset, 0.0])[:, None] + ordered(moved)
        back[1:] /= [[scale], [abs(scale)]]
        np.testing.assert_allclose(back[:, ::step], ordered(base), rtol=1e-4)


def test_a_lone_bin_has_the_scale_of_its_width():
    for scale in (1e-120, 1.0, 1e120):
        mixture = GaussianMixture(prior=None).fit_histogram([0, 7, 0], scale * np.array([0.0, 1.0, 2.0, 3.0]))
        assert mixture.means_[0, 0] == pytest.approx(1.5 * scale)
        assert np.exp(mixture.lower_bound_) > 0.999


def test_a_count_of_two_is_the_bin_twice():
    random = np.random.default_rng(0)
    edges, counts = np.sort(random.normal(size=9)), np.array([3.0, 0, 5, 2, 8, 1, 4, 6])
    model, params = model_of("full", np.array([0.4, 0.6]), np.array([-1.0, 1.0]), np.array([0.5, 2.0]))
    once, twice = (BinnedProblem(model, Bins(factor * counts, edges)).e_step(params) for factor in (1.0, 2.0))
    assert_close(once + once, twice, rtol=1e-14)
    settings = {"init_params": "quantile", "tol": 1e-4, "prior": None}
    fits = [GaussianMixture(2, **settings).fit_histogram(factor * counts, edges) for factor in (1, 2)]
    assert fits[0].lower_bound_ == pytest.approx(fits[1].lower_bound_, abs=1e-12)
    np.testing.assert_allclose(fits[0].means_, fits[1].means_, rtol=1e-9)


@pytest.mark.parametrize("init_params", ["k-means++", "kmeans", "random", "quantile", "labels", "responsibilities"])
def test_every_start_reaches_the_same_optimum(init_params):
    counts, edges = np.histogram(two_processes(10_000), bins=np.arange(-4, 68, 4.0))
    labels = (edges[:-1] > 30).astype(int)
    given = {"labels": labels, "responsibilities": 0.1 + 0.8 * np.eye(2)[labels]}
    start = given.get(init_params, init_params)
    mixture = GaussianMixture(2, init_params=start, random_state=1, **TIGHT).fit_histogram(counts, edges)
    reference = GaussianMixture(2, means_init=[20, 40], random_state=0, **TIGHT).fit_histogram(counts, edges)
    assert mixture.lower_bound_ == pytest.approx(reference.lower_bound_, abs=1e-9)
    assert mixture.converged_


def test_warm_start_restarts_reports_and_files(tmp_path):
    counts, edges = np.histogram(two_processes(10_000), bins=20)
    mixture = GaussianMixture(2, random_state=0, n_init=3, warm_start=True).fit_histogram(counts, edges)
    assert len(mixture.fit_report_.runs) == 3
    before = mixture.lower_bound_
    mixture.fit_histogram(counts, edges)
    assert mixture.n_iter_ <= 4
    assert mixture.lower_bound_ >= before
    assert mixture.predict([15.0, 45.0]).tolist() == np.argsort(mixture.means_[:, 0]).tolist()
    mixture.save(tmp_path / "model.npz")
    assert fastem.load(tmp_path / "model.npz").fit_report_ == mixture.fit_report_


def test_a_fit_of_rows_can_continue_that_of_a_histogram():
    x = two_processes(10_000)
    counts, edges = np.histogram(x, bins=200)
    mixture = GaussianMixture(2, random_state=0, warm_start=True, tol=1e-9).fit_histogram(counts, edges)
    assert mixture.fit(x).n_iter_ < 15


@pytest.mark.parametrize(
    ("counts", "edges", "words"),
    [
        ([1, 2, 3], [0, 1, 2], "one value more than counts, got 3 edges and 3 counts"),
        ([[1, 2]], [0, 1, 2], "counts must be one line of real numbers"),
        ([], [0], "counts must be one line"),
        (["a", "b"], [0, 1, 2], "counts must be one line of real numbers"),
        ([1, 2], [[0, 1, 2]], "edges must be one line"),
        ([1, -2], [0, 1, 2], "not negative, but that of bin 1 is -2"),
        ([np.nan, 2], [0, 1, 2], "finite and not negative, but that of bin 0 is nan"),
        ([1, 2], [0, np.nan, 2], "edge 1 is NaN"),
        ([1, 2], [0, 0, 2], "edges must increase, but edge 0 is 0"),
        ([1, 2], [0, np.inf, np.inf], "edges must increase, but edge 1 is inf"),
        ([1, 2], [-np.inf, 0, np.inf], "No bin has two finite edges"),
        ([1, 2], [0, 1, 1e200], "Divide them by a constant"),
        ([0, 0], [0, 1, 2], "All counts are zero"),
        ([1e308, 1e308], [0, 1, 2], "Divide them by a constant"),
        ([0, 5, 0], [0, 1, 2, 3], "n_components=2 is larger than 1, the number of bins that hold rows"),
    ],
)
def test_unusable_histograms_are_told(counts, edges, words):
    with pytest.raises(ValueError, match=words):
        GaussianMixture(2).fit_histogram(counts, edges)


def test_labels_are_of_bins():
    with pytest.raises(ValueError, match=r"integer labels of shape \(3,\)"):
        GaussianMixture(1, init_params=[0, 0]).fit_histogram([1, 2, 3], [0, 1, 2, 3])


@pytest.mark.parametrize("method", ["online", "incremental"])
def test_a_histogram_is_learnt_in_batch(method):
    with pytest.raises(ValueError, match=f"batch EM only, not by schedule='{method}'"):
        GaussianMixture(2, schedule=method).fit_histogram([3, 5, 4], [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"schedule": Batch(bins=64)},
            r"schedule=Batch\(bins=64\) says.*Use schedule=Batch\(bins=None\)",
        ),
        ({"schedule": Batch(subsample=Subsample())}, r"samples rows, .*Use schedule=Batch\(subsample=None\)"),
        ({"search": Race(init="random")}, "init is an option of hidden Markov models"),
        ({"memory_limit": "much"}, "'much' is not a valid memory size"),
        ({"tol": -1.0}, "'tol' parameter of GaussianMixture"),
    ],
)
def test_settings_are_checked_as_those_of_fit_are(settings, words):
    with pytest.raises(ValueError, match=words):
        GaussianMixture(2, **settings).fit_histogram([3, 5, 4], [0, 1, 2, 3])


def test_a_place_where_no_checkpoint_can_be_is_refused(tmp_path):
    with pytest.raises(OSError, match="cannot be written"):
        GaussianMixture(2, checkpoint=tmp_path / "none" / "fit.npz").fit_histogram([3, 5, 4], [0, 1, 2, 3])
