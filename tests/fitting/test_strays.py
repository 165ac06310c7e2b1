"""Rows that lie far from all others, and rows that agree: neither may rule a fit or a selection."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from fastem import GaussianMixture, Mixture, select
from fastem.sources.source import Chunk
from fastem.sources.thinned import Thinned
from fastem.starts.bulk import bulk_of


def clusters(seed=0, n=150, d=2):
    random = np.random.default_rng(seed)
    return np.concatenate([random.normal(c, 1, (n, d)) for c in (0, 8)])


@pytest.mark.parametrize("far", [1e2, 1e4, 1e6, -9999.0])
@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_a_far_row_does_not_merge_clusters(covariance_type, far):
    X = clusters()
    X[3] = far
    mixture = GaussianMixture(3, covariance_type=covariance_type, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(X)
    means = mixture.means_[np.argsort(np.abs(mixture.means_[:, 0]))]
    np.testing.assert_allclose(means[:, 0], [0.0, 8.0, far], atol=0.5)


@pytest.mark.parametrize("n_init", [1, 8])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("n", [2000, 12_000])
def test_a_far_row_that_a_sample_misses_is_known_to_the_start(n, covariance_type, n_init):
    X = np.random.default_rng(1).permutation(clusters(n=n))
    X[77] = [1e5, -1e4]
    mixture = GaussianMixture(3, covariance_type=covariance_type, n_init=n_init, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(X)
    np.testing.assert_allclose(np.sort(mixture.weights_) * len(X), [1, n, n], atol=0.02 * n)
    assert mixture.weights_.min() * len(X) == pytest.approx(1, abs=1e-3)


def test_select_finds_a_far_row_that_its_sample_misses():
    X = np.random.default_rng(1).permutation(clusters(n=5000))
    X[77] = [1e5, -1e4]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        selection = select(X, n_components=[3], covariance_types="full", random_state=0)
    assert selection.best_estimator_.weights_.min() * len(X) == pytest.approx(1, abs=1e-3)


def test_extremes_do_not_depend_on_chunks():
    X = np.random.default_rng(0).normal(size=(50_000, 3))
    weight = np.random.default_rng(1).integers(0, 3, len(X)).astype(float)
    found = []
    for step in (50_000, 777):
        thinned = Thinned(3)
        for first in range(0, len(X), step):
            thinned.add(Chunk(X[first : first + step], weight[first : first + step], first))
        rows, weights = thinned.extremes()
        order = np.lexsort(rows.T)
        found.append((rows[order], weights[order]))
    counted = X[weight > 0]
    np.testing.assert_array_equal(found[0][0].min(axis=0), counted.min(axis=0))
    np.testing.assert_array_equal(found[0][0].max(axis=0), counted.max(axis=0))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("far", [1e4, 1e6])
def test_the_scale_is_that_of_the_bulk_and_follows_units(far):
    X = clusters()
    plain = GaussianMixture(2, random_state=0).fit(X)
    X[3] = far
    limits = []
    for shift, scale in ((0.0, 1.0), (100.0, 1024.0)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture = GaussianMixture(2, random_state=0).fit(shift + scale * X)
        limits.append(np.array(mixture.fit_report_.constraints["data_covariance"]) / scale**2)
    np.testing.assert_allclose(limits[0], limits[1], rtol=1e-9)
    np.testing.assert_allclose(limits[0], plain.fit_report_.constraints["data_covariance"], rtol=0.1)


@pytest.mark.parametrize("seed", range(6))
def test_eight_starts_end_no_lower_than_one(seed):
    X = clusters(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        one, eight = (GaussianMixture(3, random_state=seed, n_init=n).fit(X) for n in (1, 8))
    assert eight.lower_bound_ > one.lower_bound_ - 1e-5


def test_a_first_start_that_wins_is_no_worse_for_the_race():
    X = clusters(4, d=4)
    X[3] = 100.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        one, eight = (GaussianMixture(3, n_init=n, random_state=0).fit(X) for n in (1, 8))
    assert eight.lower_bound_ > one.lower_bound_ - 1e-5


def test_the_bulk_counts_weights_as_repeated_rows():
    random = np.random.default_rng(0)
    X, weight = random.normal(size=(200, 3)), random.integers(1, 4, 200)
    X[:150, 2] = 7.0
    X[0] = 1e9
    weighted, repeated = bulk_of(X, weight.astype(float)), bulk_of(np.repeat(X, weight, axis=0), None)
    np.testing.assert_array_equal(weighted.centre, repeated.centre)
    np.testing.assert_array_equal(weighted.reach, repeated.reach)
    assert weighted.far(X).sum() == 3


def test_a_thinned_source_does_not_depend_on_chunks():
    X = np.arange(100_000.0)[:, None]
    found = []
    for step in (100_000, 777, 16_896):
        thinned = Thinned(1)
        for first in range(0, len(X), step):
            thinned.add(Chunk(X[first : first + step], None, first))
        found.append(thinned.rows()[0])
    assert 4096 <= len(found[0]) <= 16_384
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


# Components on rows that agree.


def zero_inflated():
    return np.concatenate([np.random.default_rng(0).normal(0, 1, 300), np.zeros(60)])


def test_a_component_on_a_point_is_told():
    with pytest.warns(ConvergenceWarning, match="has collapsed"):
        mixture = GaussianMixture(2, random_state=0, n_init=8).fit(zero_inflated())
    (note,) = mixture.fit_report_.collapsed
    assert mixture.weights_[note.component] == pytest.approx(1 / 6, abs=0.03)
    assert str(note) in str(mixture.fit_report_)


def test_select_leaves_out_collapsed_candidates_unless_asked():
    settings = {"n_components": range(1, 3), "covariance_types": "full", "random_state": 0}
    selection = select(zero_inflated(), **settings)
    assert selection.to_dict()["collapsed"] == [0, 1]
    assert selection.best_params_["n_components"] == 1
    assert select(zero_inflated(), allow_collapsed=True, **settings).best_params_["n_components"] == 2


@pytest.mark.parametrize("criterion", ["aic", "icl", "heldout"])
def test_no_criterion_chooses_a_collapsed_candidate(criterion):
    x = np.random.default_rng(1).permutation(zero_inflated())
    selection = select(x, n_components=[1, 2], covariance_types="full", criterion=criterion, random_state=0)
    assert not selection.table[selection.best_index_]["collapsed"]


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_a_component_on_a_plane_is_told(covariance_type):
    random = np.random.default_rng(0)
    X = np.concatenate([random.normal(0, 1, (200, 2)), np.c_[random.normal(9, 1, 100), np.full(100, 3.0)]])
    with pytest.warns(ConvergenceWarning, match="has collapsed"):
        GaussianMixture(2, covariance_type=covariance_type, random_state=0, n_init=4).fit(X)


def test_a_normal_column_of_mixed_data_is_looked_at():
    random = np.random.default_rng(0)
    X = np.c_[zero_inflated(), random.poisson(3, 360)]
    with pytest.warns(ConvergenceWarning, match="has collapsed"):
        Mixture(["normal", "poisson"], 2, random_state=0, n_init=8).fit(X)


def test_rounded_rows_have_not_collapsed():
    random = np.random.default_rng(0)
    X = np.round(np.concatenate([random.normal(0, 5, 300), random.normal(30, 1, 300), random.normal(100, 0.5, 300)]))
    assert GaussianMixture(3, random_state=0).fit(X).fit_report_.collapsed == ()


def test_fewer_rows_that_differ_than_components_get_a_word():
    with pytest.warns(ConvergenceWarning, match="fewer different rows|collapsed"):
        GaussianMixture(3, random_state=0).fit(np.repeat([[0.0], [1.0]], 3, axis=0))


def test_a_constant_column_is_in_the_report():
    X = clusters()
    X[:, 1] = 4.0
    mixture = GaussianMixture(2, random_state=0).fit(X)
    assert mixture.fit_report_.constant == (1,)
    assert "constant: 1 column of one value" in str(mixture.fit_report_)
