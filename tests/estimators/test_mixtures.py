"""Mixtures of counts, binary values, categories, waiting times and mixed columns, as users meet them."""

from __future__ import annotations

import functools
import pickle
import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import fastem
from fastem import Dirichlet, Fixed, GaussianMixture, Mixture, Online
from fastem.families import Bernoulli, Categorical, Exponential, Multinomial, Poisson
from fastem.families.gaussian.family import Gaussian
from tests import naive
from tests.cases import assert_same_bits

FEW, MANY = 400, 600


def _stack(draw):
    random = np.random.default_rng(0)
    X = np.concatenate([draw(random, FEW, 0), draw(random, MANY, 1)]).astype(np.float64)
    return X[random.permutation(len(X))]


def _categories(random, n, k):
    shares = ([0.8, 0.1, 0.1], [0.1, 0.2, 0.7])[k]
    return random.choice(3, (n, 7), p=shares)


def _mixed(random, n, k):
    return np.column_stack(
        [random.normal((0.0, 4.0)[k], 1.0, n), random.poisson((2.0, 9.0)[k], n), _categories(random, n, k)[:, 0],
         random.random(n) < (0.2, 0.7)[k], random.exponential((1.0, 9.0)[k], n)]
    )  # fmt: skip


MIXED = ["normal", "poisson", "categorical", "bernoulli", "exponential"]


@dataclass(frozen=True)
class Kind:
    """An estimator, rows of two components of 40 and 60 %, and what tells one component from the other."""

    make: Callable[..., Any]
    X: np.ndarray
    mark: Callable[[Any], np.ndarray]
    truth: tuple[float, float]


def _mixture_of(family):
    return functools.partial(Mixture, family=family)


KINDS = {
    "Poisson": Kind(
        _mixture_of("poisson"),
        _stack(lambda r, n, k: r.poisson((2.0, 9.0)[k], (n, 2))),
        lambda m: m.rates_[:, 0],
        (2.0, 9.0),
    ),
    "Bernoulli": Kind(
        _mixture_of("bernoulli"),
        _stack(lambda r, n, k: r.random((n, 12)) < (0.2, 0.7)[k]),
        lambda m: m.probabilities_[:, 0],
        (0.2, 0.7),
    ),
    "categorical": Kind(
        _mixture_of("categorical"), _stack(_categories), lambda m: m.probabilities_[1][:, 2], (0.1, 0.7)
    ),
    "multinomial": Kind(
        _mixture_of(Multinomial(n_trials=20)),
        _stack(lambda r, n, k: r.multinomial(20, ([0.2, 0.3, 0.5], [0.6, 0.3, 0.1])[k], n)),
        lambda m: m.probabilities_[:, 0],
        (0.2, 0.6),
    ),
    "exponential": Kind(
        _mixture_of("exponential"),
        _stack(lambda r, n, k: r.exponential((1.0, 20.0)[k], (n, 2))),
        lambda m: m.means_[:, 0],
        (1.0, 20.0),
    ),
    "mixed": Kind(_mixture_of(MIXED), _stack(_mixed), lambda m: m.means_[:, 1], (2.0, 9.0)),
}


@pytest.fixture(params=KINDS, ids=str)
def kind(request):
    return KINDS[request.param]


def fitted(kind, **options):
    return kind.make(n_components=2, **{"random_state": 0, **options}).fit(kind.X)


def assert_is_true(kind, mixture, tolerance=0.1):
    order = np.argsort(kind.mark(mixture))
    np.testing.assert_allclose(kind.mark(mixture)[order], kind.truth, rtol=tolerance, atol=0.05)

    np.testing.assert_allclose(mixture.weights_[order], (0.4, 0.6), atol=0.06)


@pytest.mark.parametrize("init_params", ["k-means++", "kmeans", "random_from_data", "random"])
def test_every_start_finds_the_truth(kind, init_params):
    mixture = fitted(kind, init_params=init_params, n_init=3 if "random" in init_params else 1)
    assert_is_true(kind, mixture)
    assert mixture.converged_
    assert not mixture.fit_report_.repairs
    assert np.diff(mixture.lower_bounds_).min() >= 0.0
    assert "nats per row" in str(mixture.fit_report_)


def test_labels_and_scores_belong_together(kind):
    mixture = fitted(kind)
    X = kind.X
    resp = mixture.predict_proba(X)
    np.testing.assert_allclose(resp.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(mixture.predict(X), resp.argmax(axis=1))
    assert mixture.score_samples(X).mean() == pytest.approx(mixture.score(X), rel=1e-12)
    assert mixture.score(X) == pytest.approx(mixture.lower_bound_, rel=1e-12)
    assert mixture.bic(X) > mixture.aic(X)
    drawn, component = mixture.sample(2000)
    assert drawn.shape == (2000, X.shape[1])
    again = kind.make(n_components=2, random_state=1).fit(drawn)
    np.testing.assert_allclose(np.sort(kind.mark(again)), np.sort(kind.mark(mixture)), rtol=0.15, atol=0.05)
    assert np.mean(component) == pytest.approx(mixture.weights_[1], abs=0.05)


def test_weights_count_as_copies(kind):
    weight = np.random.default_rng(0).integers(1, 4, len(kind.X))
    labels = np.arange(len(kind.X)) % 2
    start = kind.make(n_components=2, init_params=labels, max_iter=4, tol=0.0, schedule="plain")
    again = clone(start).set_params(init_params=np.repeat(labels, weight))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        weighted = start.fit(kind.X, sample_weight=weight)
        copies = again.fit(np.repeat(kind.X, weight, axis=0))
    np.testing.assert_allclose(weighted.lower_bounds_, copies.lower_bounds_, rtol=1e-10)
    np.testing.assert_allclose(kind.mark(weighted), kind.mark(copies), rtol=1e-9)


def test_files_and_pieces_give_the_bits_of_the_array(kind, tmp_path):
    expected = fitted(kind)
    np.save(tmp_path / "x.npy", kind.X)
    from_file = kind.make(n_components=2, random_state=0).fit(tmp_path / "x.npy")
    pieces = np.split(kind.X, [100, 628])
    from_pieces = kind.make(n_components=2, random_state=0).fit(lambda: iter(pieces))
    for mixture in (from_file, from_pieces):
        assert_same_bits(mixture._params, expected._params)


@pytest.mark.parametrize("schedule", [Online(batch_size=50), "incremental"], ids=["online", "incremental"])
def test_other_schedules_end_at_the_same_optimum(kind, schedule):
    exact = fitted(kind, tol=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        other = fitted(kind, schedule=schedule, max_iter=30)
    assert other.score(kind.X) == pytest.approx(exact.score(kind.X), abs=2e-3)


def test_rows_as_they_come(kind):
    stream = kind.make(n_components=2, random_state=0, schedule=Online(batch_size=50))
    for _ in range(6):
        for part in np.split(kind.X, 10):
            stream.partial_fit(part)
    assert_is_true(kind, stream, 0.15)
    known = fitted(kind)
    before = known.score(kind.X)
    known.partial_fit(kind.X[:50])
    assert known.score(kind.X) == pytest.approx(before, abs=0.05)


def test_a_model_comes_back_from_a_file(kind, tmp_path):
    mixture = fitted(kind)
    mixture.save(tmp_path / "model.npz")
    loaded = fastem.load(tmp_path / "model.npz")
    assert type(loaded) is type(mixture)
    assert_same_bits(loaded._params, mixture._params)
    np.testing.assert_array_equal(kind.mark(loaded), kind.mark(mixture))
    assert loaded.fit_report_ == mixture.fit_report_
    drawn, _ = loaded.sample(20)
    np.testing.assert_array_equal(drawn, mixture.sample(20)[0])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(mixture)).predict(kind.X), mixture.predict(kind.X))


def test_an_interrupted_fit_goes_on_to_the_same_bits(kind, tmp_path):
    options = {"init_params": "random", "tol": 1e-9}
    whole = fitted(kind, **options)
    path = tmp_path / "fit.ckpt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted(kind, **options, checkpoint=path, max_iter=5)
    resumed = kind.make(n_components=2, random_state=0, **options, checkpoint=path).fit(kind.X, resume=True)
    assert_same_bits(resumed._params, whole._params)
    assert resumed.n_iter_ == whole.n_iter_
    with pytest.raises(ValueError, match="The checkpoint is of a fit with n_components=2, but now it is 3"):
        kind.make(n_components=3, random_state=0, **options, checkpoint=path).fit(kind.X, resume=True)


def test_parameters_of_the_constructor_are_those_of_its_base_too(kind):
    mixture = kind.make(n_components=2, tol=1e-3, n_threads=1)
    shared = set(GaussianMixture().get_params()) - {
        "covariance_type", "reg_covar", "covariance_floor", "means_init", "precisions_init", "prior", "precision",
        *(name for name in GaussianMixture().get_params() if name.startswith("prior__")),
    }  # fmt: skip
    assert shared <= set(mixture.get_params())
    for name in shared - {"n_components", "tol", "n_threads"}:
        assert mixture.get_params()[name] == GaussianMixture().get_params()[name], name
    copy = clone(mixture).set_params(max_iter=7)
    assert (copy.tol, copy.n_threads, copy.max_iter) == (1e-3, 1, 7)
    assert re.search(r"n_components=2, n_threads=1, tol=0.001\)$", re.sub(r"\s+", " ", repr(mixture)))
    with pytest.raises(TypeError, match="covariance_type"):
        kind.make(n_components=2, covariance_type="full")
    with pytest.raises(ValueError, match="max_iter"):
        kind.make(n_components=2, max_iter=-1).fit(kind.X)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("Poisson", -1.0, "must be a count, an integer from 0 up"),
        ("Poisson", 1.5, "must be a count, an integer from 0 up"),
        ("Bernoulli", 2.0, "must be 0 or 1"),
        ("categorical", 0.5, "must be a code, an integer from 0 to 2"),
        ("categorical", 1e7, "sklearn.preprocessing.OrdinalEncoder"),
        ("multinomial", -3.0, "must be a count, an integer from 0 up"),
        ("exponential", -0.1, "must be 0 or positive"),
        ("mixed", 0.5, "must be a count, an integer from 0 up"),
    ],
)
def test_values_that_do_not_suit_are_named(name, value, words):
    kind = KINDS[name]
    bad = kind.X.copy()
    bad[700, 1] = value
    with pytest.raises(ValueError, match=re.escape(words)) as told:
        kind.make(n_components=2, random_state=0).fit(bad)
    assert "row 700, column 1" in str(told.value) or value == 1e7
    mixture = fitted(kind)
    with pytest.raises(ValueError, match="row 700, column 1"):
        mixture.score(bad)
    with pytest.raises(ValueError, match="row 700, column 1"):
        mixture.partial_fit(bad)
    with pytest.raises(ValueError, match="contains NaN, and missing='error': row 700, column 1"):
        kind.make(n_components=2, missing="error").fit(np.where(bad != kind.X, np.nan, kind.X))


def test_a_few_iterations_equal_the_naive_twin():
    X = KINDS["Poisson"].X[:200]
    weights, rates = np.array([0.5, 0.5]), np.array([[1.0, 4.0], [6.0, 5.0]])
    mixture = Mixture(
        "poisson", 2, weights_init=weights, params_init={"rates": rates}, max_iter=6, tol=0.0, schedule="plain"
    )
    with pytest.warns(ConvergenceWarning):
        mixture.fit(X)
    for _ in range(6):
        joint = naive.joint(X, weights, lambda x, k: sum(map(naive.poisson, x, rates[k])))  # noqa: B023
        resp = naive.responsibilities(joint)
        weights, rates = resp.mean(axis=0), resp.T @ X / resp.sum(axis=0)[:, None]
    np.testing.assert_allclose(mixture.weights_, weights, rtol=1e-11)
    np.testing.assert_allclose(mixture.rates_, rates, rtol=1e-11)


def test_an_exposure_is_the_last_column():
    random = np.random.default_rng(0)
    exposure = random.uniform(0.1, 50.0, 4000)
    rate = np.where(random.random(4000) < 0.4, 0.5, 3.0)
    X = np.column_stack([random.poisson(rate * exposure), exposure])
    mixture = Mixture(Poisson(exposure=True), 2, random_state=0).fit(X)
    np.testing.assert_allclose(np.sort(mixture.rates_[:, 0]), [0.5, 3.0], rtol=0.02)
    assert mixture.rates_.shape == (2, 1)
    known = Mixture.from_parameters(Poisson(exposure=True), mixture.weights_, rates=mixture.rates_)
    assert known.score(X) == pytest.approx(mixture.score(X), rel=1e-12)
    same = Mixture(["poisson", "exposure"], 2, random_state=0).fit(X)
    assert same.score(X) == pytest.approx(mixture.score(X), abs=1e-5)
    np.testing.assert_array_equal(same.variances_[:, 1], 0.0)
    with pytest.raises(ValueError, match="a positive exposure"):
        mixture.predict([[3.0, 0.0]])
    with pytest.raises(ValueError, match="Add the counts"):
        Mixture(Poisson(exposure=True)).fit(X[:, 1:])


def test_known_parameters_score_without_a_fit():
    x = np.array([[0.0], [1.0], [1.0]])
    known = {
        "poisson": ([2.0, 9.0], "rates"),
        "bernoulli": ([0.2, 0.9], "probabilities"),
        "exponential": ([1.0, 30.0], "means"),
        "categorical": ([[[0.3, 0.7], [0.9, 0.1]]], "probabilities"),
        "multinomial": ([[0.5, 0.5], [0.1, 0.9]], "probabilities"),
    }
    for family, (values, name) in known.items():
        rows = np.repeat(x, 2, axis=1) if family == "multinomial" else x
        mixture = Mixture.from_parameters(family, [0.5, 0.5], **{name: values})
        assert np.isfinite(mixture.score(rows))
        np.testing.assert_allclose(np.ravel(getattr(mixture, f"{name}_")), np.ravel(values))
        with pytest.raises(ValueError, match="sum to 1"):
            Mixture.from_parameters(family, [0.5, 0.6], **{name: values})
        with pytest.raises(ValueError, match=name):
            Mixture.from_parameters(family, [0.5, 0.5], **{name: -np.array(values)})
        with pytest.raises(ValueError, match=name):
            Mixture.from_parameters(family, [0.5, 0.5], **{name: np.full(np.shape(values), np.nan)})
        # A fit goes on from there.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.set_params(warm_start=True, max_iter=1).fit(np.repeat(rows, 9, axis=0))


def test_parts_of_a_start_may_be_given():
    X = KINDS["Poisson"].X
    rates = [[20.0, 20.0], [0.1, 0.1]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        first = Mixture("poisson", 2, params_init={"rates": rates}, weights_init=[0.01, 0.99], max_iter=1).fit(X)
        second = Mixture("poisson", 2, params_init={"rates": rates}, random_state=0, max_iter=1).fit(X)
        third = Mixture("poisson", 2, weights_init=[0.01, 0.99], random_state=0, max_iter=1).fit(X)
    assert first.rates_[0, 0] > first.rates_[1, 0]
    assert len({m.lower_bounds_[0] for m in (first, second, third)}) == 3
    with pytest.raises(ValueError, match=r"rates_init must have the shape \(2, 2\)"):
        Mixture("poisson", 2, params_init={"rates": [1.0, 2.0]}).fit(X)
    with pytest.raises(ValueError, match="probabilities_init must be between 0 and 1"):
        Mixture("bernoulli", 1, params_init={"probabilities": [1.5]}).fit([0, 1, 1])
    with pytest.raises(ValueError, match="probabilities_init must hold one array for each of the 7 columns"):
        Mixture("categorical", 2, params_init={"probabilities": [[[1.0], [1.0]]]}).fit(KINDS["categorical"].X)


def test_numbers_of_categories_are_learnt_or_given():
    X = KINDS["categorical"].X
    assert fitted(KINDS["categorical"]).n_categories_.tolist() == [3] * 7
    more = Mixture(Categorical(n_categories=5), 2, random_state=0).fit(X)
    assert more.probabilities_[0].shape == (2, 5)
    np.testing.assert_allclose(more.probabilities_[0][:, 3:], 0.0, atol=1e-300)
    each = Mixture(Categorical(n_categories=[3, 4, 3, 3, 3, 3, 3]), 2, random_state=0).fit(X)
    assert each.probabilities_[1].shape == (2, 4)
    with pytest.raises(ValueError, match="an integer from 0 to 1"):
        Mixture(Categorical(n_categories=2), 2).fit(X)
    with pytest.raises(ValueError, match="n_categories must be a positive integer"):
        Mixture(Categorical(n_categories=[2, 3]), 2).fit(X)
    with pytest.raises(ValueError, match="n_categories must be a positive integer"):
        Mixture(Categorical(n_categories=[2.5] * 7), 2).fit(X)


def test_the_floor_of_exponential_means_is_a_fraction_of_the_data():
    x = np.concatenate([np.zeros(200), np.random.default_rng(0).exponential(3.0, 300)])
    mixture = Mixture(Exponential(floor=1e-4), 2, random_state=0).fit(x)
    assert mixture.means_.min() == pytest.approx(1e-4 * x.mean())
    assert [note.cause for note in mixture.fit_report_.repairs] == ["collapsed"]
    lower = Mixture(Exponential(floor=1e-6), 2, random_state=0).fit(x)
    assert lower.lower_bound_ > mixture.lower_bound_ + 1.0


def test_kinds_of_columns_are_checked():
    X = KINDS["mixed"].X
    with pytest.raises(ValueError, match=r"family='weibull' is not known\. Choose among 'normal'"):
        Mixture(["weibull"] * 5).fit(X)
    with pytest.raises(ValueError, match="family has 2 kinds, but X has 5 columns"):
        Mixture(["normal", "normal"]).fit(X)
    with pytest.raises(ValueError, match="one column of kind 'exposure'"):
        Mixture(["normal", "exposure"]).fit(X[:, :2])
    with pytest.raises(ValueError, match="'family' parameter"):
        Mixture("weibull").fit(X)


def test_normal_columns_are_those_of_a_gaussian_mixture_with_diagonal_covariances():
    X = np.random.default_rng(0).normal(size=(500, 3)) + 3.0 * (np.arange(500) % 2)[:, None]
    labels = np.arange(500) % 2
    ours = Mixture("normal", 2, init_params=labels, tol=1e-10).fit(X)
    gaussian = GaussianMixture(2, covariance_type="diag", init_params=labels, tol=1e-10, prior=None).fit(X)
    np.testing.assert_allclose(ours.means_, gaussian.means_, rtol=1e-7)
    np.testing.assert_allclose(ours.variances_, gaussian.covariances_, rtol=1e-6)
    assert ours.score(X) == pytest.approx(gaussian.score(X), rel=1e-12)


def test_a_family_of_ones_own_is_made_by_what_is_given(tmp_path):
    X = np.random.default_rng(0).normal(size=(500, 2)) + 4.0 * (np.arange(500) % 2)[:, None]
    ours = Mixture(Gaussian(), 2, random_state=0, tol=1e-9).fit(X)
    gaussian = GaussianMixture(2, random_state=0, tol=1e-9, prior=None).fit(X)
    np.testing.assert_array_equal(ours.params_.means, gaussian.means_)
    assert "Gaussian" in ours._distributions()
    with pytest.raises(TypeError, match="family"):
        ours.save(tmp_path / "model.npz")
    assert not hasattr(ours, "means_")


def test_a_prior_keeps_components_from_excluding_what_they_have_not_seen():
    X = KINDS["Bernoulli"].X[:40]
    plain = Mixture("bernoulli", 8, random_state=0, tol=1e-9).fit(X)
    prior = Mixture(Bernoulli(prior_weight=2.0), 8, random_state=0, tol=1e-9).fit(X)
    assert plain.probabilities_.min() < 1e-6
    assert prior.probabilities_.min() > 0.01
    assert prior.score(KINDS["Bernoulli"].X) > plain.score(KINDS["Bernoulli"].X) + 0.5
    np.testing.assert_allclose(prior.fit_report_.constraints["prior_mean"], X.mean(axis=0))
    stronger = Mixture(Bernoulli(prior_weight=1e9), 8, random_state=0).fit(X)
    np.testing.assert_allclose(stronger.probabilities_, np.tile(X.mean(axis=0), (8, 1)), rtol=1e-6)


def test_priors_hold_however_rows_are_learnt():
    kind = KINDS["Poisson"]
    options = {"family": Poisson(prior_weight=300.0), "tol": 1e-9}
    exact = fitted(kind, **options)
    assert fitted(kind, tol=1e-9).rates_[:, 0].max() > exact.rates_[:, 0].max() + 0.5
    for schedule in (Online(batch_size=50), "incremental"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            other = fitted(kind, **options, schedule=schedule, max_iter=60)
        np.testing.assert_allclose(np.sort(kind.mark(other)), np.sort(kind.mark(exact)), rtol=0.05)


def test_weights_may_have_a_prior_or_be_fixed(kind):
    fixed = fitted(kind, fixed=Fixed(weights="equal"))
    np.testing.assert_allclose(fixed.weights_, 0.5)
    prior = fitted(kind, prior=Dirichlet(1e6))
    np.testing.assert_allclose(prior.weights_, 0.5, atol=1e-3)


def test_many_rows_are_fitted_by_samples_first():
    random = np.random.default_rng(0)
    x = np.concatenate([random.poisson(3.0, 130_000), random.poisson(6.0, 130_000)])
    grown = Mixture("poisson", 2, random_state=0, tol=1e-7).fit(x)
    plain = Mixture("poisson", 2, random_state=0, tol=1e-7, schedule="plain", max_iter=3000).fit(x)
    assert grown.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-6)
    assert grown.n_iter_ < 30 < plain.n_iter_


def test_one_pass_is_compiled_for_all_of_them_and_found_by_another_process():
    for kind in KINDS.values():
        fitted(kind, max_iter=1000).predict(kind.X[:5])
    fastem.warmup("columns")
    code = """
        import numpy as np
        from fastem import Mixture
        from fastem.passes.cache import on_compile
        told = []
        with on_compile(told.append):
            Mixture('poisson', 2, random_state=0).fit(np.arange(20.0)).predict(np.arange(3))
            Mixture('categorical', 2, random_state=0).fit(np.arange(40).reshape(-1, 2) % 3)
            rows = np.column_stack([np.arange(40.0), np.arange(40) % 4])
            Mixture(["normal", "categorical"], 2, random_state=0).fit(rows.astype(np.float32)).predict_proba(rows)
        print(len(told))
    """
    output = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True
    ).stdout
    assert output.strip() == "0"
