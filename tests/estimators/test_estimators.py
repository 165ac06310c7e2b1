"""scikit-learn's conventions, every parameter, and what users hand in."""

from __future__ import annotations

import inspect
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastem
from fastem import Dirichlet, Fixed, GaussianHMM, GaussianMixture, Online, Race
from fastem.estimators._files import OPTIONS
from fastem.fitting.summary import summary_of

COVARIANCE_TYPES = ["full", "tied", "diag", "spherical"]


_OTHER_ROWS = """
    check_estimators_overwrite_params check_dont_overwrite_parameters
    check_estimators_fit_returns_self check_readonly_memmap_input check_n_features_in_after_fitting
    check_positive_only_tag_during_fit check_estimators_dtypes check_f_contiguous_array_estimator
    check_methods_sample_order_invariance check_methods_subset_invariance check_fit2d_1sample check_dict_unchanged
    check_fit_idempotent check_fit_check_is_fitted check_n_features_in check_fit2d_predict1d
    check_sample_weights_pandas_series check_sample_weights_not_an_array check_sample_weights_shape
    check_sample_weights_not_overwritten
"""
# Negative values are told first, whatever else is wrong.
_NOT_BINARY = set(_OTHER_ROWS.split()) - {"check_positive_only_tag_during_fit"}
_OF_SEQUENCES = {
    **dict.fromkeys(
        ["check_sample_weights_pandas_series", "check_sample_weights_not_an_array", "check_sample_weights_list",
         "check_all_zero_sample_weights_error", "check_sample_weights_shape", "check_sample_weights_not_overwritten",
         "check_sample_weight_equivalence_on_dense_data"],
        "a weight is one of a sequence: a row of a chain has none of its own",
    ),
    **dict.fromkeys(
        ["check_methods_sample_order_invariance", "check_methods_subset_invariance"],
        "rows of a chain depend on those around them, and score_samples tells the score of each sequence",
    ),
}  # fmt: skip
_NO_INTEGERS = {"check_sample_weight_equivalence_on_dense_data": "its rows are no integers, whatever the tags say"}
_INTEGER_Y = {
    "check_fit2d_1sample": "whole numbers in the second place are lengths, as in hmmlearn, and these are wrong"
}
_ONE_FEATURE = {"check_fit1d": "one-dimensional X is accepted as one feature, on purpose"}
# Families of a mixture whose rows are not any numbers.
KINDS = ("poisson", "bernoulli", "categorical", "multinomial", "exponential")
# What each class, or mixture of a family, cannot pass, and why; all else it passes.
EXCEPTIONS = {
    "GaussianMixture": _ONE_FEATURE,
    "Mixture": _ONE_FEATURE,
    "exponential": _ONE_FEATURE,
    "poisson": _NO_INTEGERS,
    "multinomial": {
        **_NO_INTEGERS,
        "check_estimators_pickle": "rows miss single counts, whose totals are not known then",
    },
    "categorical": _NO_INTEGERS,
    "bernoulli": {
        **dict.fromkeys([*_NOT_BINARY, "check_fit2d_1feature"], "its rows are not of 0 and 1"),
        **_NO_INTEGERS,
    },
    "GaussianHMM": {**_OF_SEQUENCES, **_ONE_FEATURE},
    "GMMHMM": {**_OF_SEQUENCES, **_ONE_FEATURE},
    "HMM": {**_OF_SEQUENCES, **_ONE_FEATURE},
    "PoissonHMM": {**_OF_SEQUENCES, **_INTEGER_Y},
    "CategoricalHMM": {
        **dict.fromkeys(
            [*_OTHER_ROWS.split(), "check_fit_score_takes_y", "check_dtype_object", "check_pipeline_consistency",
             "check_estimators_nan_inf",
             "check_estimators_pickle"],
            "its rows have several columns, and symbols stand in one, as in hmmlearn",
        ),
        **_OF_SEQUENCES,
        **_INTEGER_Y,
    },
}  # fmt: skip


def exceptions(estimator):
    family = getattr(estimator, "family", "")
    return EXCEPTIONS[family if family in KINDS else type(estimator).__name__]


def quick(make):
    return make(**{"n_iter" if "HMM" in make.__name__ else "max_iter": 5})


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [GaussianMixture(schedule=method, max_iter=5) for method in ("online", "incremental")]
    + [quick(getattr(fastem, name)) for name in EXCEPTIONS if name not in KINDS]
    + [fastem.Mixture(kind, max_iter=5) for kind in KINDS],
    expected_failed_checks=exceptions,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture
def X():
    random = np.random.default_rng(0)
    return np.concatenate([random.normal(size=(150, 2)), [4.0, 1.0] + random.normal(size=(250, 2))])


def test_the_checks_leave_out_no_estimator():
    # Of the imputer and regressions, see test_imputing.py and test_regression_mixture.py.
    others = {
        "CsvFormat",
        "Imputer",
        "RegressionMixture",
        "Selection",
        "load",
        "open_source",
        "pool",
        "select",
        "warmup",
    }
    others |= {kind.__name__ for kind in OPTIONS}
    assert set(EXCEPTIONS) - set(KINDS) == set(fastem.__all__) - others


CHANGES = {
    "n_components": 3,
    "covariance_type": "diag",
    "tol": 1e-1,
    "reg_covar": 0.5,
    "covariance_floor": 0.5,
    "schedule": "plain",
    "schedule__acceleration": "squarem",
    "schedule__batch_size": 50,
    "schedule__decay": 0.9,
    "schedule__offset": 20.0,
    "schedule__averaging_start": 1,
    "schedule__forgetting_factor": 0.9,
    "schedule__half_life": 10.0,
    "prior": None,
    "prior__weight_concentration": 20.0,
    "prior__mean": [50.0, 50.0],
    "prior__mean_precision": 5.0,
    "prior__degrees_of_freedom": 30.0,
    "prior__covariance": 100.0 * np.eye(2),
    "fixed": Fixed(weights="equal"),
    "search": "restarts",
    "search__swaps": 3,
    "max_iter": 2,
    "n_init": 4,
    "init_params": "random",
    "weights_init": [0.9, 0.1],
    "means_init": [[4.0, 1.0], [0.0, 0.0]],
    "precisions_init": np.stack([20.0 * np.eye(2)] * 2),
    "random_state": 5,
}
OF_ONLINE_EM = {f"schedule__{name}" for name in Online().get_params()}


def state(mixture):
    return np.concatenate([np.ravel(v) for v in (mixture.weights_, mixture.means_, mixture.covariances_)])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", CHANGES)
def test_every_parameter_changes_the_fit(name, X):
    base = {"n_components": 2, "random_state": 0, "tol": 1e-3, "init_params": "random_from_data", "n_init": 1}
    if name in ("schedule", "schedule__acceleration"):
        base["tol"] = 1e-6
    if name in ("init_params", "weights_init"):
        base["max_iter"] = 3
    if name in ("n_init", "search", "search__swaps"):
        base |= {"n_components": 8}
    if name == "search":
        base |= {"n_init": 4}
    if name in OF_ONLINE_EM:
        base |= {"schedule": "online", "max_iter": 3}
    before = GaussianMixture(**base).fit(X)
    after = GaussianMixture(**base).set_params(**{name: CHANGES[name]}).fit(X)
    same = state(before).shape == state(after).shape and np.allclose(state(before), state(after), rtol=1e-9)
    assert not same


def test_no_parameter_is_left_without_a_test():
    elsewhere = {
        "warm_start",
        "verbose",
        "verbose_interval",
        "n_threads",
        "memory_limit",
        "precision",
        "checkpoint",
        "missing",
    }
    # See test_em.py, test_float32.py, test_priors.py, test_subsample.py, test_threads.py, test_bins.py,
    # test_learning.py, test_missing.py and others.
    changed = {name for name in CHANGES if "__" not in name}
    assert set(inspect.signature(GaussianMixture).parameters) == changed | elsewhere


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_components", 0), ("n_components", 1.5), ("covariance_type", "round"), ("tol", -1.0), ("reg_covar", -1.0),
     ("covariance_floor", 2.0), ("max_iter", -1), ("n_init", 0), ("n_init", "best"), ("search", "best"),
     ("search", Online()), ("prior", "l2"), ("prior", Dirichlet()), ("fixed", True), ("schedule", "fast"),
     ("schedule", Race()), ("init_params", "nearest"), ("random_state", "a"), ("warm_start", "yes"), ("n_threads", 0),
     ("memory_limit", 0), ("checkpoint", 5), ("precision", "float32"), ("verbose", -1), ("verbose_interval", 0)],
)  # fmt: skip
def test_invalid_parameters_are_named(name, value, X):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        GaussianMixture(**{name: value}).fit(X)


def test_a_wrong_word_where_a_number_will_do_is_told_of_both(X):
    with pytest.raises(
        ValueError, match=r"'n_init' parameter .* an int in the range \[1, inf\) or a str among \{'auto'\}"
    ):
        GaussianMixture(2, n_init="best").fit(X)
    with pytest.raises(ValueError, match="Do you mean 'auto'"):
        GaussianMixture(2, n_init="Auto").fit(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"weights_init": [0.5, 0.6]}, "sum to 1"),
        ({"weights_init": [1.5, -0.5]}, "sum to 1"),
        ({"weights_init": [1.0]}, r"shape \(2,\)"),
        ({"means_init": [[0.0, 0.0]]}, r"means_init must have the shape \(2, 2\), got \(1, 2\)"),
        ({"means_init": [[0.0, np.nan], [0.0, 0.0]]}, "means_init must hold finite numbers"),
        ({"precisions_init": np.eye(2)}, r"precisions_init must have the shape \(2, 2, 2\)"),
        ({"precisions_init": np.stack([np.eye(2), -np.eye(2)])}, "component 1 is not positive definite"),
        ({"precisions_init": np.stack([np.eye(2), np.zeros((2, 2))])}, "singular"),
        ({"precisions_init": np.zeros((2, 2)), "covariance_type": "diag"}, "must be positive"),
        ({"init_params": np.array([0, 1, 2])}, "init_params must be one of"),
        ({"init_params": np.full(400, 2)}, "integers from 0 to n_components - 1 = 1"),
        ({"init_params": -np.ones((400, 2))}, "finite and not negative"),
        ({"init_params": "quantile"}, "one feature, but X has 2"),
    ],
)
def test_unusable_starts_are_named(parameters, message, X):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(2, **parameters).fit(X)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_negative_covariances_are_refused_where_a_floor_would_lift_them(covariance_type, X):
    mixture = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    mixture.covariances_ = -mixture.covariances_
    with pytest.raises(ValueError, match=r"must be positive definite: .* is not positive"):
        mixture.predict(X)


def bad_rows():
    good = np.ones((5, 2))
    with_nan = good.copy()
    with_nan[3, 1] = np.nan
    with_infinity = good.copy()
    with_infinity[0, 0] = np.inf
    return {
        "infinity": (with_infinity, ValueError, r"infinity.*row 0, column 0"),
        "no rows": (np.empty((0, 2)), ValueError, r"0 sample\(s\)"),
        "no features": (np.empty((3, 0)), ValueError, r"0 feature\(s\)"),
        "three dimensions": (np.ones((2, 2, 2)), ValueError, "Expected 2D array"),
        "a number": (np.float64(3.0), ValueError, "Expected 2D array"),
        "text": (np.array([["a", "b"]]), ValueError, "dtype <U1"),
        "text objects": (np.array([["a", "b"]], dtype=object), ValueError, "does not hold real numbers"),
        "dates": (np.array([["2020-01-01"]], dtype="datetime64[D]"), ValueError, "dates"),
        "complex": (np.ones((3, 2), dtype=complex), ValueError, "Complex data not supported"),
        "ragged": ([[1.0, 2.0], [3.0]], ValueError, "same length"),
        "sparse": (scipy.sparse.csr_matrix(np.eye(3)), TypeError, "[Ss]parse"),
        "too large": (np.array([[1e200], [-1e200]]), ValueError, "1e150"),
        "text column": (pd.DataFrame({"a": [1.0], "b": ["x"]}), ValueError, r"Columns \['b'\]"),
        "polars text column": (pl.DataFrame({"a": [1.0], "b": ["x"]}), ValueError, r"Columns \['b'\]"),
        "no value": (pd.DataFrame({"a": [None, None], "b": [1, 2]}), ValueError, r"no value in column\(s\) a"),
    }


@pytest.mark.parametrize("name", bad_rows())
def test_unusable_rows_are_named(name):
    X, error, message = bad_rows()[name]
    with pytest.raises(error, match=message):
        GaussianMixture().fit(X)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_unusable_far_into_the_data_is_located(value):
    X = np.ones((10_000, 3), dtype=np.float32)
    X[7654, 2] = value
    for rows in (X, np.asfortranarray(X), X.astype(np.float16)):
        with pytest.raises(ValueError, match="row 7654, column 2"):
            GaussianMixture(missing="error").fit(rows)
    fitted = GaussianMixture.from_parameters([1.0], np.zeros((1, 3)), np.ones((1, 3)), covariance_type="diag")
    fitted.set_params(missing="error")
    for method in (fitted.predict, fitted.predict_proba, fitted.score_samples, fitted.score, fitted.bic):
        with pytest.raises(ValueError, match="row 7654, column 2"):
            method(X)


def test_more_components_than_rows():
    with pytest.raises(ValueError, match=r"n_components=5 is larger than n_samples=3"):
        GaussianMixture(5).fit(np.ones((3, 1)))
    with pytest.raises(ValueError, match=r"n_samples=1, the number of rows of positive weight"):
        GaussianMixture(2).fit(np.ones((3, 1)), sample_weight=[0.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("weight", "message"),
    [([1.0, -1.0, 1.0], "[Nn]egative"), ([0.0, 0.0, 0.0], "zero"), ([1.0, np.nan, 1.0], "NaN"), ([1.0, 1.0], "shape"),
     ([1e308, 1e308, 1e308], "Divide them"), (["a", "b", "c"], "does not hold real numbers")],
)  # fmt: skip
def test_unusable_weights_are_named(weight, message):
    X = np.arange(3.0)
    with pytest.raises(ValueError, match=message):
        GaussianMixture().fit(X, sample_weight=weight)
    with pytest.raises(ValueError, match=message):
        GaussianMixture().fit(X).score(X, sample_weight=weight)


def test_wrong_number_of_features(X):
    mixture = GaussianMixture().fit(X)
    with pytest.raises(ValueError, match="X has 3 features, but GaussianMixture is expecting 2"):
        mixture.predict(np.ones((2, 3)))
    with pytest.raises(ValueError, match="Reshape your data"):
        mixture.predict(np.ones(2))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "score", "aic", "bic", "icl"])
def test_unfitted_models_say_so(method, X):
    with pytest.raises(NotFittedError):
        getattr(GaussianMixture(), method)(X)
    for call in (GaussianMixture().sample, lambda: GaussianMixture().save("x"), GaussianMixture().to_sklearn):
        with pytest.raises(NotFittedError):
            call()


def test_one_dimension_is_one_feature():
    x = np.random.default_rng(0).normal(size=300)
    flat = GaussianMixture(2, random_state=0).fit(x)
    column = GaussianMixture(2, random_state=0).fit(x[:, None])
    np.testing.assert_array_equal(flat.means_, column.means_)
    assert flat.means_.shape == (2, 1)
    assert flat.n_features_in_ == 1
    for rows in (x, x.tolist(), pd.Series(x), pl.Series(x), tuple(x)):
        np.testing.assert_array_equal(flat.predict(rows), column.predict(x[:, None]))


def containers(X):
    frame = pd.DataFrame(X, columns=["a", "b"])
    mixed = frame.assign(b=frame["b"].astype(np.float32))
    return {
        "list": X.tolist(),
        "float32": X.astype(np.float32),
        "fortran": np.asfortranarray(X),
        "big endian": X.astype(">f8"),
        "longdouble": X.astype(np.longdouble),
        "objects": X.astype(object),
        "pandas": frame,
        "pandas of two dtypes": mixed,
        "pandas nullable": frame.convert_dtypes(),
        "polars": pl.DataFrame({"a": X[:, 0], "b": X[:, 1]}),
    }


@pytest.mark.parametrize("name", containers(np.ones((2, 2))))
def test_every_container_gives_the_same_fit(name, X):
    X = np.round(X * 1024) / 1024  # exact in float32
    expected = GaussianMixture(2, random_state=0).fit(X)
    rows = containers(X)[name]
    mixture = GaussianMixture(2, random_state=0).fit(rows)
    np.testing.assert_allclose(mixture.means_, expected.means_, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(mixture.score_samples(rows), expected.score_samples(X), rtol=1e-12)
    named = hasattr(rows, "columns")
    assert hasattr(mixture, "feature_names_in_") == named
    if named:
        assert mixture.feature_names_in_.tolist() == ["a", "b"]
        reordered = pd.DataFrame(X[:, ::-1], columns=["b", "a"])
        np.testing.assert_array_equal(mixture.predict(reordered), mixture.predict(rows))
        with pytest.raises(ValueError, match="X has no column b, which the model was fitted to"):
            mixture.predict(pd.DataFrame(X, columns=["a", "c"]))


def test_integers_and_booleans_are_converted():
    counts = np.random.default_rng(0).integers(0, 50, size=(300, 2))
    expected = GaussianMixture(2, random_state=0, max_iter=5000).fit(counts.astype(float))
    for dtype in (np.int64, np.uint8, np.int32, np.float16):
        mixture = GaussianMixture(2, random_state=0, max_iter=5000).fit(counts.astype(dtype))
        np.testing.assert_array_equal(mixture.means_, expected.means_)
    assert GaussianMixture().fit(counts > 20).means_[0, 0] == pytest.approx(np.mean(counts[:, 0] > 20))


def test_weights_count_as_repetitions(X):
    weight = np.random.default_rng(0).integers(0, 4, size=len(X))
    start = {"weights_init": [0.5, 0.5], "means_init": [[0, 0], [4, 1]], "precisions_init": np.stack([np.eye(2)] * 2)}
    weighted = GaussianMixture(2, **start).fit(X, sample_weight=weight)
    rows = np.repeat(X, weight, axis=0)
    repeated = GaussianMixture(2, **start).fit(rows)
    np.testing.assert_allclose(weighted.means_, repeated.means_, rtol=1e-9)
    for name in ("score", "aic", "bic", "icl"):
        assert getattr(weighted, name)(X, sample_weight=weight) == pytest.approx(getattr(weighted, name)(rows))
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, abs=1e-12)
    assert weighted.fit_report_.loglik == pytest.approx(weighted.score(X, sample_weight=weight), abs=1e-12)
    labels = GaussianMixture(2, **start).fit_predict(X, sample_weight=weight)
    np.testing.assert_array_equal(labels, weighted.predict(X))


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_samples_have_the_moments_of_the_model(covariance_type):
    covariances = {
        "full": [[[2.0, 0.8], [0.8, 1.0]], [[0.5, -0.2], [-0.2, 0.3]]],
        "tied": [[2.0, 0.8], [0.8, 1.0]],
        "diag": [[2.0, 1.0], [0.5, 0.3]],
        "spherical": [2.0, 0.3],
    }[covariance_type]
    mixture = GaussianMixture.from_parameters(
        [0.3, 0.7], [[0.0, 0.0], [5.0, -5.0]], covariances, covariance_type=covariance_type, random_state=0
    )
    rows, labels = mixture.sample(200_000)
    assert rows.shape == (200_000, 2)
    assert np.mean(labels == 0) == pytest.approx(0.3, abs=0.005)
    from tests.naive import covariance_matrix

    for k in range(2):
        np.testing.assert_allclose(rows[labels == k].mean(axis=0), mixture.means_[k], atol=0.03)
        expected = covariance_matrix(covariance_type, mixture.covariances_, k, 2)
        np.testing.assert_allclose(np.cov(rows[labels == k].T), expected, atol=0.04)
    np.testing.assert_array_equal(mixture.sample(5)[0], mixture.sample(5)[0])
    for n in (0, -1, 1.5):
        with pytest.raises(ValueError, match="positive integer"):
            mixture.sample(n)


def test_known_parameters_score_without_a_fit():
    mixture = GaussianMixture.from_parameters([0.3, 0.7], [20.0, 40.0], [25.0, 25.0])
    x = np.array([18.0, 41.0])
    from scipy.stats import norm

    density = 0.3 * norm(20, 5).pdf(x) + 0.7 * norm(40, 5).pdf(x)
    np.testing.assert_allclose(mixture.score_samples(x), np.log(density), rtol=1e-13)
    assert mixture.predict(x).tolist() == [0, 1]
    assert not hasattr(mixture, "converged_"), "no fit, no story"
    refit = mixture.set_params(warm_start=True, random_state=0).fit(mixture.sample(1000)[0])
    assert refit.converged_
    assert refit.n_iter_ < 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.6], [0.0, 1.0], [1.0, 1.0]), "sum to 1"),
        (([0.5, 0.5], [0.0, 1.0], [1.0, 0.0]), "positive definite"),
        (([0.5, 0.5], [0.0, 1.0], [1.0]), "covariances must have the shape"),
        (([0.5, 0.5], [0.0, np.inf], [1.0, 1.0]), "finite"),
        (([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.0, 1.0]]]), "symmetric"),
        (([1.0], [], []), "means must have the shape"),
    ],
)
def test_improper_known_parameters_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture.from_parameters(*arguments)


@pytest.mark.parametrize("given", ["weights_init", "means_init", "precisions_init"])
def test_a_partly_given_start_keeps_the_rest(given, X):
    values = {"weights_init": [0.9, 0.1], "means_init": [[9.0, 9.0], [-9.0, -9.0]], "precisions_init": [3.0, 5.0]}
    attributes = {"weights_init": "weights_", "means_init": "means_", "precisions_init": "precisions_"}
    shown = {}
    for parameters in ({}, {given: values[given]}):
        mixture = GaussianMixture(2, covariance_type="spherical", random_state=0, **parameters)
        mixture._validate_params()
        from fastem.estimators._validation import read_rows

        source = read_rows(mixture, X, None, reset=True)
        spec = mixture._model_spec()
        summary = summary_of(spec, source)
        start = spec.make_start(summary, source, source, np.random.default_rng(0))
        mixture._adopt(summary.model, start.params)
        shown[bool(parameters)] = {name: getattr(mixture, name) for name in attributes.values()}
    for parameter, attribute in attributes.items():
        if parameter == given:
            np.testing.assert_allclose(shown[True][attribute], values[given])
        else:
            np.testing.assert_array_equal(shown[True][attribute], shown[False][attribute])


def test_cloned_pickled_piped_and_searched(X):
    mixture = GaussianMixture(2, random_state=0, means_init=[[0.0, 0.0], [4.0, 1.0]])
    copied = pickle.loads(pickle.dumps(clone(mixture).fit(X)))
    np.testing.assert_array_equal(copied.predict(X), mixture.fit(X).predict(X))
    labels = make_pipeline(StandardScaler(), GaussianMixture(2, random_state=0)).fit_predict(X)
    assert set(labels) == {0, 1}
    shuffled = np.random.default_rng(0).permutation(X)
    search = GridSearchCV(GaussianMixture(random_state=0), {"n_components": [1, 2]}, cv=2).fit(shuffled)
    assert search.best_params_ == {"n_components": 2}


def test_same_seed_same_bits(X):
    for init_params in ("k-means++", "kmeans", "random", "random_from_data"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fits = [GaussianMixture(3, init_params=init_params, random_state=3).fit(X) for _ in range(2)]
        np.testing.assert_array_equal(fits[0].means_, fits[1].means_)


COUNTED = np.histogram(np.random.default_rng(0).normal(size=900), bins=20)


@pytest.mark.parametrize(
    "call",
    [
        lambda X: GaussianMixture(2, max_iter=1, tol=0.0, random_state=0).fit(X),
        lambda X: GaussianMixture(2, max_iter=1, tol=0.0, random_state=0).fit_predict(X),
        lambda X: GaussianMixture(2, max_iter=1, tol=0.0, random_state=0).fit_histogram(*COUNTED),
        lambda X: GaussianMixture().fit(X, np.full(len(X), 0.5)),
        lambda X: GaussianMixture().fit(X).score(X, np.full(len(X), 0.5)),
        lambda X: GaussianHMM(1, n_iter=1).fit([*X.reshape(-1, 2)]),
        lambda X: fastem.select(X, n_components=[2], max_iter=1, tol=0.0, random_state=0),
    ],
)
def test_a_warning_names_the_line_that_called(call):
    X = np.random.default_rng(0).normal(size=(200, 1))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call(X)
    assert {warning.filename for warning in found} == {__file__}
