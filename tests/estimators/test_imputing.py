"""Missing values are filled in: expected, drawn, many times; in a pipeline, too."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastem
from fastem import GMMHMM, GaussianHMM, GaussianMixture, Imputer, Mixture
from fastem.families import StudentT

COVARIANCE = np.array([[4.0, 1.5, 0.5], [1.5, 2.0, -0.3], [0.5, -0.3, 1.0]])
NORMAL = GaussianMixture.from_parameters([1.0], [[1.0, -2.0, 3.0]], [COVARIANCE])
TWO = GaussianMixture.from_parameters([0.3, 0.7], [[0.0, 0.0], [5.0, 3.0]], [np.eye(2), [[2.0, 1.2], [1.2, 1.0]]])


def gappy(X, share=0.3, seed=0):
    rows = X.copy()
    rows[np.random.default_rng(seed).random(X.shape) < share] = np.nan
    return rows


def test_one_normal_fills_in_its_regression():
    X = np.array([[2.0, np.nan, 1.0], [np.nan, np.nan, 4.0], [1.0, 2.0, 3.0], [np.nan] * 3])
    filled = NORMAL.impute(X)
    mean = np.array([1.0, -2.0, 3.0])
    slope = COVARIANCE[1, [0, 2]] @ np.linalg.inv(COVARIANCE[np.ix_([0, 2], [0, 2])])
    assert filled[0, 1] == pytest.approx(mean[1] + slope @ (np.array([2.0, 1.0]) - mean[[0, 2]]), abs=1e-12)
    np.testing.assert_allclose(filled[1, :2], mean[:2] + COVARIANCE[:2, 2] * (4.0 - 3.0), atol=1e-12)
    np.testing.assert_array_equal(filled[2], X[2])
    np.testing.assert_allclose(filled[3], mean, atol=1e-12)


def test_a_mixture_weighs_its_components():
    x = 2.5
    log_density = [np.log(0.3) + stats.norm.logpdf(x, 0.0, 1.0), np.log(0.7) + stats.norm.logpdf(x, 5.0, np.sqrt(2.0))]
    weights = np.exp(log_density - np.logaddexp.reduce(log_density))
    means = np.array([0.0, 3.0 + 0.6 * (x - 5.0)])
    row = [[x, np.nan]]
    assert TWO.impute(row)[0, 1] == pytest.approx(weights @ means, abs=1e-12)
    assert TWO.impute(row, method="mode")[0, 1] == pytest.approx(means[np.argmax(weights)], abs=1e-12)
    found = TWO.conditional(row)
    np.testing.assert_allclose(found.weights[0], weights, rtol=1e-12)
    np.testing.assert_allclose(found.means[0, :, 1], means, rtol=1e-12)
    np.testing.assert_allclose(found.covariances[0, :, 1, 1], [1.0, 1.0 - 1.2**2 / 2.0], rtol=1e-12)
    between = weights @ np.square(means) - (weights @ means) ** 2
    assert found.covariance[0, 1, 1] == pytest.approx(weights @ [1.0, 0.28] + between, rel=1e-12)
    assert found.covariance[0, 0].tolist() == [0.0, 0.0]
    draws = TWO.impute(np.repeat(row, 40_000, axis=0), "draw", random_state=0)[:, 1]
    assert draws.mean() == pytest.approx(weights @ means, abs=0.03)
    assert draws.var() == pytest.approx(found.covariance[0, 1, 1], rel=0.03)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_is_there_stays_to_the_bit(dtype):
    X = gappy(TWO.sample(9000)[0]).astype(dtype)
    for method in ("mean", "draw", "mode"):
        filled = TWO.impute(X, method, random_state=0)
        assert filled.dtype == dtype
        np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])
        assert not np.isnan(filled).any()
    np.testing.assert_array_equal(TWO.impute(X[~np.isnan(X).any(axis=1)]), X[~np.isnan(X).any(axis=1)])


def test_draws_do_not_show_how_rows_were_cut():
    X = gappy(TWO.sample(9000)[0])
    whole = TWO.impute(X, "draw", random_state=3)
    np.testing.assert_array_equal(whole, TWO.impute([X[:1234], X[1234:]], "draw", random_state=3))
    several = TWO.impute(X, "draw", n_draws=3, random_state=3)
    assert several.shape == (3, 9000, 2)
    assert np.mean(several[0] == several[1]) == pytest.approx(0.7, abs=0.02)
    assert not np.array_equal(whole, TWO.impute(X, "draw", random_state=4))


def test_codes_are_filled_in_by_codes():
    random = np.random.default_rng(0)
    group = random.integers(0, 2, 4000)
    codes = np.where(group == 0, random.choice(3, 4000, p=[0.8, 0.1, 0.1]), random.choice(3, 4000, p=[0.1, 0.1, 0.8]))
    X = np.column_stack(
        [random.normal(6.0 * group), codes, random.random(4000) < 0.1 + 0.8 * group, random.poisson(3 + 9 * group)]
    )
    X = X.astype(float)
    gaps = gappy(X)
    mixture = Mixture(["normal", "categorical", "bernoulli", "poisson"], 2, random_state=0).fit(gaps)
    missing = np.isnan(gaps)
    for method in ("mean", "draw", "mode"):
        filled = mixture.impute(gaps, method, random_state=0)
        assert set(np.unique(filled[:, 1])) <= {0.0, 1.0, 2.0}
        assert set(np.unique(filled[:, 2])) <= {0.0, 1.0}
        assert np.mean(filled[missing[:, 1], 1] == X[missing[:, 1], 1]) > (0.6 if method == "draw" else 0.72)
    assert np.all(mixture.impute(gaps, "draw")[:, 3] % 1 == 0)
    with pytest.raises(TypeError, match=r"has no covariances of several features\. Use impute"):
        mixture.conditional(gaps[:2])


def test_t_components_draw_from_conditional_t():
    student = Mixture.from_parameters(
        StudentT(df=5.0), [1.0], means=[[0.0, 0.0]], covariances=[[[1.0, 0.6], [0.6, 1.0]]]
    )
    row = [[3.0, np.nan]]
    draws = student.impute(np.repeat(row, 60_000, axis=0), "draw", random_state=0)[:, 1]
    scale = np.sqrt(0.64 * (5.0 + 9.0) / 6.0)
    assert stats.kstest((draws - 1.8) / scale, stats.t(6.0).cdf).pvalue > 0.001
    assert student.conditional(row).covariance[0, 1, 1] == pytest.approx(scale**2 * 6.0 / 4.0, rel=1e-12)


@pytest.mark.parametrize("make", [lambda: GaussianHMM(2, random_state=0), lambda: GMMHMM(2, n_mix=2, random_state=0)])
def test_chains_fill_in_by_smoothed_states(make):
    random = np.random.default_rng(0)
    states = np.repeat([0, 1] * 6, 40)
    X = random.normal(size=(480, 2)) * 0.5 + 5.0 * states[:, None]
    gaps = gappy(X)
    gaps[60:63] = np.nan
    hmm = make().fit(gaps)
    filled = hmm.impute(gaps)
    assert np.sqrt(np.mean(np.square(filled - X)[np.isnan(gaps)])) < 0.75
    # Nothing in a gap but its neighbours tells the state.
    np.testing.assert_allclose(filled[60:63], 5.0 * states[60:63, None] * np.ones((3, 2)), atol=0.4)
    assert hmm.conditional(gaps[:70]).mean[61] == pytest.approx(hmm.impute(gaps[:70])[61], abs=1e-9)
    np.testing.assert_array_equal(filled, hmm.impute(gaps, lengths=[480]))


def test_intervals_of_a_regression_on_imputed_rows_cover():
    random = np.random.default_rng(0)
    covered = []
    for _ in range(40):
        x = random.normal(size=150)
        y = 2.0 * x + random.normal(size=150)
        rows = np.column_stack([x, y])
        # Missing at random: where y is large, x is often missing.
        rows[random.random(150) < 0.6 / (1.0 + np.exp(-y)), 0] = np.nan
        normal = GaussianMixture(random_state=int(random.integers(2**31)), prior=None).fit(rows)
        slopes, variances = [], []
        for filled in normal.multiple_imputation(rows, n=10):
            design = np.column_stack([np.ones(150), filled[:, 0]])
            found, residual, *_ = np.linalg.lstsq(design, filled[:, 1])
            slopes.append(found[1])
            variances.append(residual[0] / 148 * np.linalg.inv(design.T @ design)[1, 1])
        low, high = fastem.pool(slopes, variances).confidence_interval()
        covered.append(low <= 2.0 <= high)
    # Of 40 intervals of 95 %, at least 34 cover with a probability of 0.9998.
    assert sum(covered) >= 34


def test_pooling_follows_rubins_rules():
    pooled = fastem.pool([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]], [[0.5, 0.1], [0.5, 0.1], [0.5, 0.1]])
    total = 0.5 + (4.0 / 3.0) * 1.0
    np.testing.assert_allclose(pooled.estimate, [2.0, 5.0])
    np.testing.assert_allclose(np.square(pooled.standard_error), [total, 0.1])
    share = (4.0 / 3.0) / total
    assert pooled.df[0] == pytest.approx(2.0 / share**2)
    assert pooled.fraction_missing[0] == pytest.approx(share + (1.0 - share) * 2.0 / (pooled.df[0] + 3.0))
    assert np.isinf(pooled.df[1])
    assert pooled.fraction_missing[1] == 0.0
    low, high = pooled.confidence_interval(0.9)
    assert high[1] - low[1] == pytest.approx(2.0 * stats.norm.ppf(0.95) * np.sqrt(0.1))
    with pytest.raises(ValueError, match=r"one shape, \(M, ...\) of at least two data sets"):
        fastem.pool([1.0], [1.0])
    with pytest.raises(ValueError, match="finite numbers, and variances not negative"):
        fastem.pool([1.0, 2.0], [1.0, -1.0])
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        pooled.confidence_interval(95)


def test_unusable_arguments_are_told():
    with pytest.raises(ValueError, match="method='median' is not known"):
        TWO.impute([[1.0, np.nan]], "median")
    with pytest.raises(ValueError, match="n_draws=3 are all the same with method='mean'"):
        TWO.impute([[1.0, np.nan]], n_draws=3)
    with pytest.raises(ValueError, match="n_draws must be a positive integer"):
        TWO.impute([[1.0, np.nan]], "draw", n_draws=0)
    with pytest.raises(ValueError, match="n must be an integer of at least 2"):
        TWO.multiple_imputation([[1.0, np.nan]], n=1)
    for method in (TWO.impute, TWO.conditional):
        with pytest.raises(ValueError, match="contains infinity"):
            method([[1.0, np.inf]])


with warnings.catch_warnings():
    warnings.simplefilter("ignore")

    @parametrize_with_checks([Imputer(), Imputer(GaussianMixture(2, max_iter=5, random_state=0), add_indicator=True)])
    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
    def test_the_imputer_passes_scikit_learns_checks(estimator, check):
        check(estimator)


def test_the_imputer_is_a_transformer():
    X = gappy(NORMAL.sample(500)[0])
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    frame["d"] = 1.0 + np.arange(500.0)
    imputer = Imputer(add_indicator=True).set_output(transform="pandas").fit(frame)
    filled = imputer.transform(frame)
    assert list(filled.columns) == ["a", "b", "c", "d", *(f"missingindicator_{name}" for name in "abc")]
    np.testing.assert_array_equal(filled["missingindicator_b"], frame["b"].isna())
    np.testing.assert_allclose(filled[list("abcd")], imputer.estimator_.impute(frame.to_numpy()))
    assert imputer.missing_features_.tolist() == [0, 1, 2]
    y = X[:, 0] > 0
    pipeline = make_pipeline(Imputer(GaussianMixture(2, random_state=0)), LinearRegression()).fit(X, y)
    assert pipeline.predict(X).shape == (500,)
    with pytest.raises(ValueError, match="no value in column"):
        Imputer().fit(np.column_stack([X, np.full(500, np.nan)]))
    with pytest.raises(ValueError, match="'method' parameter of Imputer"):
        Imputer(method="median").fit(X)
    with pytest.raises(ValueError, match="'estimator' parameter of Imputer"):
        Imputer(LinearRegression()).fit(X)
