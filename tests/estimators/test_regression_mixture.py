"""Mixtures of regressions in the words of scikit-learn's regressors."""

from __future__ import annotations

import inspect
import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastem import Dirichlet, Fixed, Mixture, RegressionMixture, load, open_source, select
from fastem.families import BinomialRegression, Linear, PoissonRegression

mpl.use("Agg")
random = np.random.default_rng(0)
LINE = random.integers(0, 2, 1500)
X = random.uniform(0.0, 10.0, (1500, 2))
Y = np.where(LINE, 3.0 * X[:, 0], 20.0 - X[:, 0] + X[:, 1]) + random.normal(size=1500)


@parametrize_with_checks([RegressionMixture(n_init=1)])
def test_it_is_an_estimator_of_scikit_learn(estimator, check):
    check(estimator)


CHANGES = {
    "family": Linear(prior_weight=1.0), "params_init": {"coef": np.zeros((2, 2)), "intercept": [0.0, 1.0],
    "variances": [1.0, 1.0]}, "tol": 1e-3, "max_iter": 7, "n_init": 2, "init_params": "random",
    "weights_init": [0.5, 0.5],
    "random_state": 3, "warm_start": True, "verbose": 1, "verbose_interval": 5, "prior": Dirichlet(2.0),
    "fixed": Fixed(weights="equal"), "schedule": "plain", "search": "restarts", "memory_limit": "1MB", "n_threads": 1,
    "missing": "error", "checkpoint": "fit.ckpt", "n_components": 2,
}  # fmt: skip


def test_settings_are_those_of_mixtures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own, of_mixture = (inspect.signature(kind).parameters for kind in (RegressionMixture, Mixture))
    assert own.keys() == of_mixture.keys() == CHANGES.keys()
    for name in own.keys() - {"family"}:
        assert own[name].default == of_mixture[name].default
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = RegressionMixture(**CHANGES).fit(X, Y).mixture_.get_params(deep=False)
    for name, value in CHANGES.items():
        assert found[name] is value


def test_a_fit_is_resumed_and_goes_on_from_given_parameters(tmp_path):
    settings = {"random_state": 0, "checkpoint": tmp_path / "fit.ckpt", "tol": 1e-10}
    with pytest.warns(ConvergenceWarning):
        first = RegressionMixture(2, max_iter=1, **settings).fit(X, Y)
    resumed = RegressionMixture(2, max_iter=100, **settings).fit(X, Y, resume=True)
    assert resumed.converged_
    assert resumed.lower_bound_ >= first.lower_bound_
    given = {"coef": resumed.coef_, "intercept": resumed.intercept_, "variances": resumed.variances_}
    started = RegressionMixture(2, params_init=given, weights_init=resumed.weights_, max_iter=0).fit(X, Y)
    np.testing.assert_allclose(started.coef_, resumed.coef_, rtol=1e-9)


@pytest.fixture(scope="module")
def regression():
    return RegressionMixture(2, random_state=0).fit(X, Y)


def test_it_is_the_mixture_of_joined_rows(regression):
    rows = np.column_stack([X, Y])
    mixture = Mixture(Linear(), 2, random_state=0).fit(rows)
    np.testing.assert_array_equal(regression.coef_, mixture.coef_)
    np.testing.assert_array_equal(regression.log_prob(X, Y), mixture.score_samples(rows))
    np.testing.assert_array_equal(regression.predict_component(X, Y), mixture.predict(rows))
    np.testing.assert_array_equal(regression.predict_component_proba(X, Y), mixture.predict_proba(rows))
    assert regression.criteria(X, Y) == mixture.criteria(rows)
    assert (regression.aic(X, Y), regression.bic(X, Y)) == (mixture.aic(rows), mixture.bic(rows))
    np.testing.assert_array_equal(regression.standard_errors(X, Y).coef, mixture.standard_errors(rows).coef)
    assert regression.confidence_intervals(X, Y).lower.coef.shape == (2, 2)
    replicates = regression.bootstrap(X, Y, n_replicates=20)
    ratio = replicates.standard_errors().coef / regression.standard_errors(X, Y, information="robust").coef
    assert np.all((ratio > 0.5) & (ratio < 2.0))


def test_predictions_are_means_over_components(regression):
    each, (mean, sd) = regression.predict_by_component(X), regression.predict(X, return_std=True)
    by_hand = regression.intercept_ + X @ regression.coef_.T
    np.testing.assert_allclose(each, by_hand, rtol=1e-12)
    np.testing.assert_allclose(mean, by_hand @ regression.weights_, rtol=1e-12)
    spread = ((by_hand - mean[:, None]) ** 2 + regression.variances_) @ regression.weights_
    np.testing.assert_allclose(sd, np.sqrt(spread), rtol=1e-12)
    np.testing.assert_array_equal(regression.predict(X), mean)
    assert regression.score(X, Y) == pytest.approx(1.0 - np.var(Y - mean) / np.var(Y), abs=0.01)


def test_frames_files_and_sources_name_the_response(tmp_path, regression):
    frame = pd.DataFrame({"y": Y, "a": X[:, 0], "b": X[:, 1]})
    frame.to_parquet(tmp_path / "rows.parquet")
    places = [frame, tmp_path / "rows.parquet", open_source(str(tmp_path / "rows.parquet"))]
    for rows in places:
        named = RegressionMixture(2, random_state=0).fit(rows, "y")
        np.testing.assert_array_equal(named.coef_, regression.coef_)
        assert (named.feature_names_in_.tolist(), named.n_features_in_) == (["a", "b"], 2)
        np.testing.assert_array_equal(named.predict(frame[["a", "b"]]), regression.predict(X))
        np.testing.assert_array_equal(named.predict(tmp_path / "rows.parquet"), regression.predict(X))
        np.testing.assert_array_equal(named.log_prob(tmp_path / "rows.parquet", "y"), regression.log_prob(X, Y))
    framed = RegressionMixture(2, random_state=0).fit(frame[["a", "b"]], frame["y"])
    assert framed.feature_names_in_.tolist() == ["a", "b"]
    np.testing.assert_array_equal(framed.coef_, regression.coef_)
    with pytest.raises(ValueError, match=r"X has no column 'z'. Its columns: y, a, b"):
        RegressionMixture().fit(frame, "z")


def test_weights_have_a_name_beside_the_response(tmp_path):
    weight = random.integers(0, 3, 1500).astype(float)
    frame = pd.DataFrame({"w": weight, "y": Y, "a": X[:, 0], "b": X[:, 1]})
    given = RegressionMixture(2, random_state=0).fit(X, Y, sample_weight=weight)
    named = RegressionMixture(2, random_state=0).fit(frame, "y", sample_weight="w")
    np.testing.assert_array_equal(named.coef_, given.coef_)
    assert named.feature_names_in_.tolist() == ["a", "b"]
    assert named.criteria(frame, "y", "w") == given.criteria(X, Y, weight)
    with pytest.raises(ValueError, match="give y by its name, too"):
        RegressionMixture(2).fit(frame[["a", "b"]], frame["y"], sample_weight="w")


def test_sizes_stand_beside_responses():
    exposure = random.uniform(0.5, 8.0, 1500)
    counts = random.poisson(exposure * np.exp(0.2 * X[:, 0]))
    family = PoissonRegression(exposure=True)
    found = RegressionMixture(family=family).fit(X, counts, size=exposure)
    np.testing.assert_allclose(found.coef_[0], [0.2, 0.0], atol=0.01)
    np.testing.assert_allclose(found.predict(X), np.exp(found.intercept_[0] + X @ found.coef_[0]), rtol=1e-12)
    assert found.log_prob(X, counts, size=exposure).shape == (1500,)
    drawn = np.concatenate(
        [line.get_ydata() for line in found.plot(X, counts, size=exposure).lines if len(line.get_xdata()) == 1500]
    )
    np.testing.assert_allclose(np.sort(drawn), np.sort(counts / exposure))
    with pytest.raises(ValueError, match=r"needs the exposure of each row: pass size="):
        RegressionMixture(family=family).fit(X, counts)
    with pytest.raises(ValueError, match=r"size was given.*Set family=PoissonRegression\(exposure=True\)"):
        RegressionMixture(family="poisson_regression").fit(X, counts, size=exposure)
    with pytest.raises(ValueError, match=r"size was given.*Leave it out"):
        RegressionMixture().fit(X, counts, size=exposure)
    trials = RegressionMixture(family=BinomialRegression(trials=True)).fit(X, counts % 3, size=np.full(1500, 2))
    assert trials.coef_.shape == (1, 2)


def test_a_missing_response_is_no_row(regression):
    gaps = Y.copy()
    gaps[::2] = np.nan
    found = RegressionMixture(2, random_state=0).fit(X, gaps)
    np.testing.assert_allclose(np.sort(found.coef_[:, 0]), np.sort(regression.coef_[:, 0]), atol=0.1)
    nothing = found.predict_component_proba(X[:2], [np.nan, np.nan])
    np.testing.assert_allclose(nothing, np.tile(found.weights_, (2, 1)))
    with pytest.raises(ValueError, match="NaN"):
        RegressionMixture(2, missing="error").fit(X, gaps)


def test_it_goes_on_and_comes_back_from_a_file(tmp_path, regression):
    regression.mixture_.save(tmp_path / "model.npz")
    again = RegressionMixture.from_mixture(load(tmp_path / "model.npz"))
    np.testing.assert_array_equal(again.predict(X), regression.predict(X))
    assert again.converged_
    with pytest.raises(TypeError, match="from_mixture takes a Mixture whose family is one of 'linear'"):
        RegressionMixture.from_mixture(Mixture("poisson"))
    with pytest.raises(NotFittedError):
        RegressionMixture.from_mixture(Mixture("linear"))
    warm = RegressionMixture(2, random_state=0, warm_start=True).fit(X, Y)
    assert warm.fit(X, Y).n_iter_ <= 2


def test_pipelines_searches_and_selection(regression):
    scaled = make_pipeline(StandardScaler(), RegressionMixture(2, random_state=0)).fit(X, Y)
    np.testing.assert_allclose(scaled.predict(X), regression.predict(X), rtol=1e-4)
    search = GridSearchCV(RegressionMixture(2, random_state=0), {"family__prior_weight": [0.0, 5.0]}, cv=2).fit(X, Y)
    assert set(search.best_params_) == {"family__prior_weight"}
    chosen = select(np.column_stack([X, Y]), Mixture("linear"), n_components=[1, 2], random_state=0)
    assert RegressionMixture.from_mixture(chosen.best_estimator_).n_components == 2


def test_a_picture_has_points_and_lines(regression):
    ax = regression.plot(X, Y)
    assert len(ax.lines) == 4
    assert ax.get_xlabel() == "feature 0"
    assert regression.plot(X, pd.Series(Y, name="price"), feature=1).get_ylabel() == "price"
    with pytest.raises(ValueError, match=r"feature must be an index from 0 to 1; got 'z'"):
        regression.plot(X, Y, feature="z")


def test_what_cannot_be_is_an_error(regression):
    with pytest.raises(ValueError, match="requires y to be passed"):
        RegressionMixture().fit(X)
    with pytest.raises(NotFittedError):
        RegressionMixture().predict(X)
    with pytest.raises(ValueError, match="Do you mean 'linear'"):
        RegressionMixture(family="linaer").fit(X, Y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        RegressionMixture().fit(X, Y[:-1])
    with pytest.raises(ValueError, match="expecting 2 features"):
        regression.predict(X[:, :1])
