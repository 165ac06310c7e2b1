"""Missing values in fits, scores and predictions: what a user may count on."""

from __future__ import annotations

import csv
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning

import fastem
from fastem import Batch, GaussianHMM, GaussianMixture, Mixture
from fastem.estimators._views import fitted_of
from fastem.families import StudentT
from fastem.fitting.scan import scan_rows, single_of
from fastem.sources import ArraySource
from tests import naive

KINDS = ["full", "tied", "diag", "spherical"]


def rows_of(n=600, share=0.2, seed=0, d=3):
    """Complete rows of three components, the same with values missing at random, and their components."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n)
    X = random.normal(size=(n, d)) @ np.linalg.cholesky(0.5 * np.eye(d) + 0.5).T + 4.0 * np.eye(3, d)[labels]
    gaps = X.copy()
    gaps[random.random(X.shape) < share] = np.nan
    return X, gaps, labels


def observed_loglik(X, mixture):
    """Mean log-likelihood of what is there, by the densities of the marginals."""
    covariances = mixture.scatter(range(X.shape[1]))
    total = 0.0
    for x in X:
        seen = ~np.isnan(x)
        parts = [
            np.log(w) + (naive.log_prob(x[seen], m[seen], c[np.ix_(seen, seen)]) if seen.any() else 0.0)
            for w, m, c in zip(mixture.weights_, mixture.means_, covariances, strict=True)
        ]
        total += np.logaddexp.reduce(parts)
    return total / len(X)


@pytest.mark.parametrize("kind", KINDS)
def test_fits_maximise_the_likelihood_of_what_is_there(kind):
    X = rows_of()[1]
    mixture = GaussianMixture(3, covariance_type=kind, random_state=0, tol=1e-10, prior=None).fit(X)
    X = X[~np.isnan(X).all(axis=1)]
    best = observed_loglik(X, mixture)
    assert mixture.lower_bound_ == pytest.approx(best, abs=1e-12)
    assert mixture.score(X) == pytest.approx(best, abs=1e-12)
    # No step from there leads higher.
    for change in (1e-4, -1e-4):
        for k in range(3):
            for j in range(3):
                means = mixture.means_.copy()
                means[k, j] += change
                other = GaussianMixture.from_parameters(
                    mixture.weights_, means, mixture.covariances_, covariance_type=kind
                )
                assert observed_loglik(X, other) < best + 1e-11


def test_a_normal_of_air_quality_is_lavaans():
    with open("examples/airquality.csv") as file:
        rows = [
            [float(row[name] or "nan") for name in ("Ozone", "Solar.R", "Wind", "Temp")] for row in csv.DictReader(file)
        ]
    normal = GaussianMixture(1, prior=None, tol=1e-12).fit(np.array(rows))
    assert normal.score(np.array(rows)) * 153 == pytest.approx(-2326.69738280, abs=1e-7)
    assert normal.fit_report_.missing.n_missing == (37, 7, 0, 0)


def test_murrays_rows_have_two_maxima_and_a_saddle():
    nan = np.nan
    rows = [
        (1, 1),
        (1, -1),
        (-1, 1),
        (-1, -1),
        (2, nan),
        (2, nan),
        (-2, nan),
        (-2, nan),
        (nan, 2),
        (nan, 2),
        (nan, -2),
        (nan, -2),
    ]
    X = np.array(rows, dtype=float)
    for rho, loglik, variance, correlation in ((0.3, -29.97428641, 8 / 3, 0.5), (0.0, -30.03334239, 2.5, 0.0)):
        normal = GaussianMixture(
            1, prior=None, tol=1e-14, max_iter=5000, means_init=[[0.0, 0.0]], schedule="plain",
            precisions_init=np.linalg.inv([[[2.0, 2.0 * rho], [2.0 * rho, 2.0]]]),
        ).fit(X)  # fmt: skip
        assert normal.score(X) * 12 == pytest.approx(loglik, abs=1e-7)
        covariance = normal.covariances_[0]
        assert covariance[0, 0] == pytest.approx(variance, rel=1e-5)
        assert covariance[0, 1] / covariance[0, 0] == pytest.approx(correlation, abs=1e-5)


def test_nothing_missing_changes_nothing():
    X = rows_of()[0]
    mixture, strict = (GaussianMixture(3, random_state=0, missing=how).fit(X) for how in ("mar", "error"))
    np.testing.assert_array_equal(mixture.means_, strict.means_)
    assert mixture.fit_report_.missing is None
    # Complete rows score to the same bits beside rows with gaps.
    np.testing.assert_array_equal(
        mixture.score_samples(X), mixture.score_samples(np.concatenate([X, [[np.nan, 1.0, 2.0]]]))[:-1]
    )


def test_a_row_without_values_counts_as_absent():
    X = rows_of()[1]
    X = X[~np.isnan(X).all(axis=1)]
    more = np.insert(X, [3, 70, 70], np.nan, axis=0)
    mixture, other = (GaussianMixture(3, random_state=0, tol=1e-9).fit(rows) for rows in (X, more))
    np.testing.assert_allclose(
        other.means_[np.argsort(other.weights_)], mixture.means_[np.argsort(mixture.weights_)], atol=1e-4
    )
    assert other.fit_report_.missing.n_empty == 3
    assert other.fit_report_.weight == len(X)
    assert "3 rows without any value" in str(other.fit_report_)
    assert mixture.score_samples(more)[3] == pytest.approx(0.0, abs=1e-15)
    np.testing.assert_allclose(mixture.predict_proba(more)[3], mixture.weights_, rtol=1e-14)
    assert mixture.criteria(more) == pytest.approx(mixture.criteria(X))


def test_one_column_with_gaps_is_the_column_without_them():
    x = np.random.default_rng(0).normal(size=500)
    x[250:] += 5.0
    gaps = np.insert(x, range(0, 500, 3), np.nan)
    for schedule in ("batch", Batch(bins=256)):
        whole, other = (GaussianMixture(2, random_state=0, schedule=schedule).fit(rows) for rows in (x, gaps))
        np.testing.assert_allclose(np.sort(other.means_, axis=0), np.sort(whole.means_, axis=0), rtol=1e-6)


@pytest.mark.parametrize("settings", [
    {"schedule": "plain"}, {"schedule": "incremental"}, {"n_init": 3}, {"n_init": 2, "search": "restarts"},
    {"init_params": "labels"}, {"init_params": "random"}, {"covariance_type": "tied"}, {"precision": "float64"},
])  # fmt: skip
def test_every_way_to_fit_finds_the_optimum(settings):
    _, X, labels = rows_of()
    best = GaussianMixture(3, covariance_type=settings.get("covariance_type", "full"), random_state=0, n_init=8).fit(X)
    settings = settings | ({"init_params": labels} if settings.get("init_params") == "labels" else {})
    mixture = GaussianMixture(3, random_state=0, max_iter=3000, **settings).fit(X)
    assert mixture.lower_bound_ == pytest.approx(best.lower_bound_, abs=1e-4)


def test_streams_learn_from_rows_with_gaps():
    X = rows_of(20_000)[1]
    mixture = GaussianMixture(3, random_state=0)
    for start in range(0, len(X), 500):
        mixture.partial_fit(X[start : start + 500])
    fitted = GaussianMixture(3, random_state=0).fit(X)
    assert mixture.score(X) == pytest.approx(fitted.score(X), abs=0.01)
    # Learning goes on from complete rows to others, and back.
    complete = rows_of(4000, seed=1)[0]
    other = GaussianMixture(3, random_state=0).partial_fit(complete).partial_fit(X).partial_fit(complete)
    assert other.score(X) == pytest.approx(fitted.score(X), abs=0.05)


def test_online_em_learns_from_rows_with_gaps():
    X = rows_of(5000)[1]
    fitted = GaussianMixture(3, random_state=0).fit(X)
    assert GaussianMixture(3, random_state=0, schedule="online").fit(X).score(X) == pytest.approx(
        fitted.score(X), abs=0.01
    )


def test_warm_starts_go_between_rows_with_gaps_and_without():
    X, gaps, _ = rows_of()
    mixture = GaussianMixture(3, random_state=0, warm_start=True)
    bounds = [mixture.fit(rows).lower_bound_ for rows in (X, gaps, X)]
    assert bounds[2] == pytest.approx(bounds[0], abs=1e-5)
    assert bounds[1] == pytest.approx(GaussianMixture(3, random_state=0).fit(gaps).lower_bound_, abs=1e-4)


def test_a_fit_is_resumed_to_the_same_bits(tmp_path):
    X = rows_of()[1]
    path = tmp_path / "fit.npz"
    short = GaussianMixture(3, random_state=0, n_init=1, tol=1e-10, max_iter=3, checkpoint=path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        short.fit(X)
    resumed = short.set_params(max_iter=1000).fit(X, resume=True)
    whole = GaussianMixture(3, random_state=0, n_init=1, tol=1e-10).fit(X)
    np.testing.assert_array_equal(resumed.means_, whole.means_)
    assert fastem.load(path).fit_report_.missing == whole.fit_report_.missing


def test_files_give_the_bits_of_arrays(tmp_path):
    X = rows_of(5000)[1]
    np.save(tmp_path / "X.npy", X)
    in_memory = GaussianMixture(3, random_state=0).fit(X)
    for rows in (tmp_path / "X.npy", np.load(tmp_path / "X.npy", mmap_mode="r"), [X[:700], X[700:]]):
        mixture = GaussianMixture(3, random_state=0).fit(rows)
        np.testing.assert_array_equal(mixture.means_, in_memory.means_)
        np.testing.assert_array_equal(mixture.score_samples(rows), in_memory.score_samples(X))


def test_nulls_of_a_folder_are_missing_to_the_bits_of_nan(tmp_path):
    X = rows_of(3000)[1]
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    for part in range(3):
        own = frame[part * 1000 : (part + 1) * 1000].astype(dict.fromkeys("abc", "Float64"))
        own.to_parquet(tmp_path / f"{part}.parquet")
    assert pd.read_parquet(tmp_path / "0.parquet").isna().any().all()
    in_memory, from_files = (GaussianMixture(3, random_state=0).fit(rows) for rows in (frame, tmp_path))
    np.testing.assert_array_equal(from_files.means_, in_memory.means_)
    np.testing.assert_array_equal(from_files.impute(tmp_path), in_memory.impute(frame))
    draws = (
        fitted.impute(rows, "draw", random_state=1) for fitted, rows in ((from_files, tmp_path), (in_memory, frame))
    )
    np.testing.assert_array_equal(*draws)


def test_weight_two_is_the_row_twice():
    X = rows_of()[1]
    weight = np.random.default_rng(1).integers(0, 3, len(X)).astype(float)
    labels = rows_of()[2]
    settings = {"n_components": 3, "schedule": "plain", "max_iter": 500}
    one = GaussianMixture(init_params=labels, **settings).fit(X, sample_weight=weight)
    twice = np.repeat(np.arange(len(X)), weight.astype(int))
    other = GaussianMixture(init_params=labels[twice], **settings).fit(X[twice])
    np.testing.assert_allclose(one.means_, other.means_, atol=1e-6)


@pytest.mark.parametrize("shift", [0.0, 1e9])
def test_offsets_do_not_matter(shift):
    X = np.round(rows_of()[1] * 1024) / 1024
    labels = rows_of()[2]
    mixture = GaussianMixture(3, init_params=labels, tol=1e-9).fit(X)
    moved = GaussianMixture(3, init_params=labels, tol=1e-9).fit(X + shift)
    np.testing.assert_allclose(moved.means_ - shift, mixture.means_, atol=1e-4)


def test_chains_have_gaps_in_time():
    random = np.random.default_rng(0)
    states = np.repeat([0, 1, 0, 1, 0, 1], 50)
    X = random.normal(size=(300, 2)) + 6.0 * states[:, None]
    X[random.random(X.shape) < 0.3] = np.nan
    X[20:25] = np.nan
    hmm = GaussianHMM(2, random_state=0).fit(X)
    found = hmm.predict(X)
    assert max(np.mean(found == states), np.mean(found != states)) > 0.99
    # A gap within a stretch is smoothed through.
    assert hmm.predict_proba(X)[22].max() > 0.99
    # By enumeration of the paths of a short sequence.
    short = X[18:27]
    total = naive_loglik_of_chain(short, hmm)
    assert hmm.score(short) == pytest.approx(total, abs=1e-9)


def naive_loglik_of_chain(X, hmm):
    """By the sum over all paths of states."""
    covariances = hmm.scatter(range(X.shape[1]))
    emission = np.zeros((len(X), 2))
    for i, x in enumerate(X):
        seen = ~np.isnan(x)
        for k in range(2):
            if seen.any():
                emission[i, k] = naive.log_prob(x[seen], hmm.means_[k][seen], covariances[k][np.ix_(seen, seen)])
    totals = []
    for path in np.ndindex(*(2,) * len(X)):
        log_prob = np.log(hmm.startprob_[path[0]]) + emission[np.arange(len(X)), path].sum()
        totals.append(log_prob + sum(np.log(hmm.transmat_[a, b]) for a, b in pairwise(path)))
    return np.logaddexp.reduce(totals)


def test_t_components_take_gaps():
    X = rows_of()[1]
    X[0] = [50.0, np.nan, -50.0]
    mixture = Mixture(StudentT(df=4), 3, random_state=0).fit(X)
    assert mixture.converged_
    assert np.abs(mixture.means_).max() < 6.0


def test_selection_sees_the_components_behind_gaps():
    X = rows_of(1500)[1]
    for criterion in ("bic", "icl", "heldout"):
        found = fastem.select(
            X, GaussianMixture(random_state=0), n_components=range(1, 5), covariance_types="tied", criterion=criterion
        )
        assert found.best_params_["n_components"] == 3
    # Only rows that are held out miss values.
    complete = rows_of(1500)[0]
    complete[:4, 0] = np.nan
    found = fastem.select(
        complete, GaussianMixture(random_state=0), n_components=[1, 3], covariance_types="tied", criterion="heldout"
    )
    assert found.best_params_["n_components"] == 3


@pytest.mark.parametrize(("share", "n_components"), [(0.01, 3), (0.5, 3), (0.9, 1)])
def test_parameters_stay_proper_however_much_is_missing(share, n_components):
    X = rows_of(2000, share)[1]
    for kind in KINDS:
        mixture = GaussianMixture(n_components, covariance_type=kind, random_state=0).fit(X)
        assert mixture.converged_
        assert all(np.isfinite(value).all() for value in (mixture.weights_, mixture.means_, mixture.covariances_))


def test_a_column_may_be_missing_in_one_component():
    X, _, labels = rows_of(1500)
    X[labels == 1, 2] = np.nan
    mixture = GaussianMixture(3, random_state=0).fit(X)
    assert np.isfinite(mixture.covariances_).all()
    assert np.mean(mixture.predict(X) == mixture.predict(np.where(np.isnan(X), np.nan, X))) == 1.0


def test_what_cannot_be_used_is_told_of():
    X = rows_of()[1]
    with pytest.raises(
        ValueError, match=r"contains NaN, and missing='error': row \d+, column \d is nan.*missing='mar'"
    ):
        GaussianMixture(3, missing="error").fit(X)
    mixture = GaussianMixture(3, missing="error").fit(rows_of()[0])
    with pytest.raises(ValueError, match="contains NaN, and missing='error'"):
        mixture.predict(X)
    with pytest.raises(ValueError, match="contains infinity: row 0, column 1 is inf"):
        GaussianMixture(3).fit([[1.0, np.inf], [np.nan, 2.0]])
    with pytest.raises(ValueError, match=r"no value in column\(s\) 3: nothing can be learnt of them. Leave them out"):
        GaussianMixture(2).fit(np.column_stack([X, np.full(len(X), np.nan)]))
    with pytest.raises(ValueError, match=r"no value in column\(s\) 0, 1"):
        GaussianMixture(1).fit(np.full((5, 2), np.nan))
    with pytest.raises(ValueError, match="'missing' parameter"):
        GaussianMixture(3, missing="drop").fit(X)


def test_columns_that_no_row_has_together_are_warned_of():
    X = rows_of()[0]
    X[::2, 0], X[1::2, 2] = np.nan, np.nan
    with pytest.warns(
        UserWarning, match=r"No row has a value both in column 0 and in column 2: .*covariance_type='diag'"
    ):
        mixture = GaussianMixture(1).fit(X)
    assert mixture.fit_report_.missing.apart == ((0, 2),)
    assert mixture.fit_report_.missing.n_patterns == 2
    GaussianMixture(1, covariance_type="diag").fit(X)


def test_what_is_published_is_prepared_for_complete_rows():
    X, gaps, _ = rows_of()
    complete, other = fitted_of(GaussianMixture(3).fit(X)), fitted_of(GaussianMixture(3).fit(gaps))
    assert not other[0].family.has_gaps
    assert type(other[1].family) is type(complete[1].family)
    stream = GaussianMixture(3, random_state=0).partial_fit(X).partial_fit(gaps)
    assert type(fitted_of(stream)[1].family) is type(complete[1].family)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_scale_of_rows_with_gaps_is_that_of_one_component(is_weighted):
    X, gaps, _ = rows_of(6000, 0.4)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, 6000) if is_weighted else None
    single = single_of(GaussianMixture(1)._make_family(3, 1))
    found, whole = (scan_rows(ArraySource(rows, weight), [single])[0] for rows in (gaps, X))
    # What is missing in the excerpt is drawn, and what is there is there.
    counts = ~np.isnan(gaps).all(axis=1)
    there = ~np.isnan(gaps[counts])
    assert not np.isnan(found.excerpt.X).any()
    np.testing.assert_array_equal(found.excerpt.X[there], gaps[counts][there])
    assert found.weight == pytest.approx(np.sum(counts if weight is None else weight[counts]))
    moments = [single.family.m_step(scan.stats, None)[0] for scan in (found, whole)]
    np.testing.assert_allclose(moments[0].means, moments[1].means, atol=0.15)
    np.testing.assert_allclose(moments[0].covariances, moments[1].covariances, atol=0.3)
    assert found.missing.n_missing.tolist() == (~there).sum(axis=0).tolist()
