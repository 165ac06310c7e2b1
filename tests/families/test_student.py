"""Student-t components: their densities, their maxima, what estimators make of them, and what they refuse."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.stats
from sklearn.base import clone

import fastem
from fastem import HMM, Batch, Mixture
from fastem.families import StudentT
from fastem.families.gaussian.location_scatter import STRUCTURES
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.sources import Chunk
from tests import naive
from tests.cases import FAMILIES, assert_close, of_size
from tests.conftest import ROOT

KINDS = list(STRUCTURES)
CASES = {case.name.split()[0]: case for case in FAMILIES if isinstance(case.family(1, 1), StudentT)}


def model_and_params(kind, df=4.0, n_components=2, n_features=3, seed=0):
    random = np.random.default_rng(seed)
    model = Model(MixtureLatent(n_components), of_size(StudentT, n_components, n_features, df=df, covariance_type=kind))
    of_latent = model.latent.params(random.uniform(0.5, 1.0, n_components))
    return model, Params(of_latent, CASES[kind].params(model.family, random))


def rows_of(model, params, n_rows=500, seed=1):
    return model.sample(params, n_rows, np.random.default_rng(seed))[0]


@pytest.mark.parametrize("df", [0.3, 4, 1e4, 1e12])
@pytest.mark.parametrize("kind", KINDS)
def test_densities_equal_scipy(kind, df):
    model, params = model_and_params(kind, df, n_components=1)
    X = rows_of(model, params)
    X[0] = 1e9
    scale = naive.covariance_matrix(kind, params.family.covariances, 0, 3)
    expected = scipy.stats.multivariate_t(params.family.means[0], scale, df=df).logpdf(X)
    if df > 1e10:
        expected = scipy.stats.multivariate_normal(params.family.means[0], scale).logpdf(X)
        expected[0] = np.nan
    found = np.empty(len(X))
    model.log_prob(params, X, found)
    near = np.isfinite(expected)
    # SciPy takes the difference of two large gamma functions, and eigenvectors of the scale.
    np.testing.assert_allclose(found[near], expected[near], rtol=1e-7 if df > 1e3 else 1e-11, atol=1e-10)
    np.testing.assert_allclose(model.family.log_prob(params.family, X)[0], found, rtol=1e-12)


def test_returns_of_four_markets_at_the_maximum():
    """Converged by ECME with free degrees of freedom: at these the rest is a maximum, too."""
    prices = np.loadtxt(ROOT / "examples" / "eustockmarkets.csv", delimiter=",", skiprows=1, usecols=(0, 1, 2, 3))
    returns = 100.0 * np.diff(np.log(prices), axis=0)
    mixture = Mixture(StudentT(df=6.179999485), tol=1e-14).fit(returns)
    assert mixture.score(returns) * len(returns) == pytest.approx(-7873.31820214, abs=2e-8)
    location = [0.078978584, 0.0959264734, 0.0479072895, 0.0381271771]
    np.testing.assert_allclose(mixture.means_[0], location, atol=2e-6)
    scale = [
        [0.675508029, 0.408489845, 0.535888203, 0.342630514],
        [0.408489845, 0.54463029, 0.396460669, 0.27827335],
        [0.535888203, 0.396460669, 0.821952865, 0.386061673],
        [0.342630514, 0.27827335, 0.386061673, 0.432122589],
    ]
    np.testing.assert_allclose(mixture.covariances_[0], scale, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_log_likelihood(kind):
    model, params = model_and_params(kind)
    X = rows_of(model, params)
    random = np.random.default_rng(3)
    family = model.family
    gradient = family.gradient(params.family, model.e_step(params, Chunk(X, None, 0)).family)
    resp = np.empty((len(X), 2))
    model.posterior(params, X, resp)
    np.testing.assert_allclose(family.gradients(params.family, X, resp).sum(axis=0), gradient, rtol=1e-9, atol=1e-9)
    tangent = 1e-5 * random.normal(size=gradient.size)

    def loglik(sign):
        out = np.empty(len(X))
        model.log_prob(params._replace(family=family.at_tangent(params.family, sign * tangent)), X, out)
        return out.sum()

    assert 0.5 * (loglik(1) - loglik(-1)) == pytest.approx(gradient @ tangent, rel=1e-4, abs=1e-8)
    assert_close(family.from_unconstrained(family.to_unconstrained(params.family)), params.family, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("df", [3.0, 30.0])
def test_a_prior_keeps_the_objective_rising(kind, df):
    model, params = model_and_params(kind, df)
    X = rows_of(model, params)
    at = Params(params.latent, model.family.neutral_params(X[0]))
    accumulator = model.accumulator(at)
    accumulator.add_given(Chunk(X, None, 0), np.full((len(X), 2), 0.5))
    one = accumulator.total().family
    scaled = model.family.with_data_scale(one, 1e-10)
    model = Model(model.latent, scaled.regularised())
    objective = []
    for _ in range(30):
        stats = model.with_prior(model.e_step(params, Chunk(X, None, 0)), params)
        objective.append(stats.objective)
        params, repairs = model.m_step(stats, params)
        assert not repairs
    assert np.diff(objective).min() > -1e-12 * np.abs(objective).max()
    assert objective[-1] > objective[0]


@pytest.mark.parametrize("kind", KINDS)
def test_weights_have_the_mean_one_at_the_maximum(kind):
    """So that the scatter may be divided by their sum as well as by the number of rows."""
    model, params = model_and_params(kind, df=1.5, n_components=1)
    X = rows_of(model, params)
    for _ in range(200):
        stats = model.e_step(params, Chunk(X, None, 0))
        params, _ = model.m_step(stats, params)
    assert stats.family.u.sum() == pytest.approx(len(X), rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_drawn_have_the_distribution(kind):
    model, params = model_and_params(kind, df=3.0, n_components=1, n_features=2)
    X = rows_of(model, params, 20_000)
    scale = naive.covariance_matrix(kind, params.family.covariances, 0, 2)
    offset = X - params.family.means[0]
    distances = (offset @ np.linalg.inv(scale) * offset).sum(axis=1)
    assert scipy.stats.kstest(distances / 2, scipy.stats.f(2, 3.0).cdf).pvalue > 0.01
    marginal = model.family.marginal(params.family, 1)
    x = np.linspace(-9, 9, 50)
    expected = scipy.stats.t(3.0, params.family.means[0, 1], np.sqrt(scale[1, 1])).pdf(x)
    np.testing.assert_allclose(marginal.density(x)[0], expected, rtol=1e-12)


def two_clusters(random, n_rows=600):
    """Two clusters of heavy tails, and rows that belong to neither."""
    X = np.repeat([[0.0, 0.0], [9.0, 3.0]], n_rows // 2, axis=0) + random.standard_t(4, size=(n_rows, 2))
    return np.concatenate([X, 60.0 * random.normal(size=(5, 2))])


@pytest.mark.parametrize("kind", KINDS)
def test_far_rows_hardly_move_a_mixture(kind):
    X = two_clusters(np.random.default_rng(0))
    mixture = Mixture(StudentT(df=3.0, covariance_type=kind), 2, n_init=5, random_state=0).fit(X)
    means = mixture.means_[np.argsort(mixture.means_[:, 0])]
    np.testing.assert_allclose(means, [[0.0, 0.0], [9.0, 3.0]], atol=0.3)
    np.testing.assert_allclose(mixture.weights_, 0.5, atol=0.02)
    assert mixture.bic(X) < Mixture("normal", 2, random_state=0).fit(X).bic(X)


def test_a_chain_has_t_distributed_states():
    random = np.random.default_rng(0)
    states = np.repeat(np.arange(60) % 2, 20)
    X = np.where(states[:, None] == 0, 0.0, [6.0, 2.0]) + random.standard_t(3, size=(1200, 2))
    hmm = HMM(StudentT(df=3.0), 2, random_state=0).fit(X)
    path = hmm.predict(X)
    assert max(np.mean(path == states), np.mean(path != states)) > 0.98
    np.testing.assert_allclose(np.diag(hmm.transmat_), 0.95, atol=0.02)


def test_standard_errors_are_those_of_the_fisher_information():
    """Lange, Little & Taylor (1989), J. Amer. Statist. Assoc. 84, 881-896: of the location (df + D) / (df + D + 2)."""
    random = np.random.default_rng(0)
    family = of_size(StudentT, 1, 2, df=4.0)
    params = family.params(np.array([[3.0, -1.0]]), np.array([[[4.0, 1.0], [1.0, 1.0]]]))
    X = family.sample(params, 0, 40_000, random)
    mixture = Mixture(StudentT(df=4.0)).fit(X)
    expected = np.sqrt(np.diag(mixture.covariances_[0]) * (8.0 / 6.0) / len(X))
    for information in ("empirical", "observed", "robust"):
        errors = mixture.standard_errors(X, information=information)
        np.testing.assert_allclose(errors.means[0], expected, rtol=0.03)
    limits = mixture.confidence_intervals(X)
    assert np.all(limits.lower.covariances < mixture.covariances_)


def test_acceleration_and_schedules_reach_the_same_optimum():
    X = two_clusters(np.random.default_rng(0))
    plain = Mixture(StudentT(df=2.0), 2, random_state=0, tol=1e-10, schedule="plain").fit(X)
    for options in ({}, {"schedule": Batch(acceleration="anderson")}, {"schedule": "incremental"}):
        other = Mixture(StudentT(df=2.0), 2, random_state=0, tol=1e-10, **options).fit(X)
        assert other.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-8)


def test_many_degrees_of_freedom_are_a_gaussian():
    X = np.random.default_rng(0).normal(size=(500, 2)) + 5.0 * (np.arange(500) % 2)[:, None]
    ours = Mixture(StudentT(df=1e9, covariance_type="diag"), 2, n_init=1, random_state=0, tol=1e-10).fit(X)
    gaussian = Mixture("normal", 2, n_init=1, random_state=0, tol=1e-10).fit(X)
    np.testing.assert_allclose(ours.means_, gaussian.means_, rtol=1e-5)
    np.testing.assert_allclose(ours.covariances_, gaussian.variances_, rtol=1e-5)


@pytest.mark.parametrize("estimator", [Mixture, HMM])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_value(estimator, kind, tmp_path):
    model = estimator(StudentT(3.0, covariance_type=kind), 2, random_state=0)
    assert clone(model).family == model.family == StudentT(df=3.0, covariance_type=kind)
    assert model.family != StudentT(df=3.5, covariance_type=kind)
    assert repr(model.family) == f"StudentT(df=3.0, covariance_type={kind!r})"
    assert model.get_params()["family__df"] == 3.0
    assert clone(model).set_params(family__df=5.0).family == StudentT(df=5.0, covariance_type=kind)
    X = two_clusters(np.random.default_rng(0))
    model.fit(X).save(tmp_path / "model.npz")
    for copied in (pickle.loads(pickle.dumps(model)), fastem.load(tmp_path / "model.npz")):
        assert copied.family == model.family
        np.testing.assert_array_equal(copied.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(copied.covariances_, model.covariances_)


@pytest.mark.parametrize("df", [0.0, -1.0, np.nan, np.inf, "four", True])
def test_degrees_of_freedom_that_cannot_be(df):
    with pytest.raises(ValueError, match=r"df=.* must be a finite number of at least 0.01"):
        StudentT(df=df)


def test_a_covariance_type_that_is_not_known():
    with pytest.raises(ValueError, match="Do you mean 'full'"):
        StudentT(covariance_type="ful")


def test_its_parameters_have_names():
    means, covariances = [[0.0, 0.0], [9.0, 3.0]], np.array([np.eye(2), 2.0 * np.eye(2)])
    known = Mixture.from_parameters(StudentT(3.0), [0.5, 0.5], means=means, covariances=covariances)
    X = two_clusters(np.random.default_rng(0))
    before = known.score(X)
    known.covariances_ = 9.0 * covariances
    assert known.score(X) < before
    np.testing.assert_array_equal(known.params_.covariances, 9.0 * covariances)
    given = {"means": means, "covariances": covariances}
    mixture = Mixture(StudentT(3.0), 2, params_init=given, random_state=0).fit(X)
    np.testing.assert_allclose(mixture.means_, means, atol=0.3)
    with pytest.raises(ValueError, match="StudentT has means, covariances: give covariances, too"):
        Mixture(StudentT(3.0), 2, params_init={"means": means}).fit(X)
    with pytest.raises(ValueError, match="covariances_init must be positive definite"):
        Mixture(StudentT(3.0), 2, params_init={"means": means, "covariances": -covariances}).fit(X)


def test_it_is_no_kind_of_column():
    X = two_clusters(np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"StudentT\(.*\) describes none by itself"):
        Mixture(["normal", StudentT()], 2).fit(X)


# Degrees of freedom that are estimated.


@pytest.fixture(scope="module")
def returns():
    prices = np.loadtxt(ROOT / "examples" / "eustockmarkets.csv", delimiter=",", skiprows=1)
    return 100.0 * np.diff(np.log(prices), axis=0)


def test_df_of_returns_is_that_of_ecme(returns):
    """Converged values of an ECME algorithm, which reads the rows twice in an iteration."""
    mixture = Mixture(StudentT(df=None), tol=1e-12).fit(returns)
    assert mixture.score(returns) * len(returns) == pytest.approx(-7873.31820214, abs=1e-7)
    assert mixture.df_[0] == pytest.approx(6.179999485, rel=1e-6)
    np.testing.assert_allclose(mixture.means_[0], [0.078978584, 0.0959264734, 0.0479072895, 0.0381271771], rtol=1e-5)
    np.testing.assert_allclose(
        np.diagonal(mixture.covariances_[0]), [0.675508029, 0.54463029, 0.821952865, 0.432122589], rtol=1e-6
    )
    # Plain EM needs 40 passes and more where the degrees of freedom are augmented.
    plain = Mixture(StudentT(df=None), schedule="plain", tol=1e-9).fit(returns)
    assert plain.n_iter_ < 30
    assert plain.df_[0] == pytest.approx(mixture.df_[0], rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_free_df_in_every_structure(kind, tmp_path, returns):
    mixture = Mixture(StudentT(df=None, covariance_type=kind), 2, n_init=1, random_state=0).fit(returns)
    assert np.all(np.diff(mixture.lower_bounds_) >= 0.0)
    fixed = [
        Mixture(StudentT(df=df, covariance_type=kind), 2, init_params=mixture.predict(returns)).fit(returns)
        for df in (0.8 * mixture.df_[0], 1.25 * mixture.df_[0])
    ]
    assert all(other.lower_bound_ < mixture.lower_bound_ for other in fixed)
    mixture.save(tmp_path / "model.npz")
    again = fastem.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.score_samples(returns), mixture.score_samples(returns))
    np.testing.assert_array_equal(again.df_, mixture.df_)
    known = Mixture.from_parameters(
        StudentT(df=None, covariance_type=kind), mixture.weights_, means=mixture.means_,
        covariances=mixture.covariances_, df=mixture.df_,
    )  # fmt: skip
    np.testing.assert_allclose(known.score_samples(returns), mixture.score_samples(returns), rtol=1e-9)
    one, other = mixture.standard_errors(returns).df, mixture.standard_errors(returns, information="observed").df
    assert one[0] == pytest.approx(other[0], rel=0.5)
    assert mixture._model.n_parameters() == fixed[0]._model.n_parameters() + 1


def test_free_df_of_rows_with_gaps_is_that_of_what_is_there(returns):
    gaps = returns.copy()
    gaps[np.random.default_rng(0).random(gaps.shape) < 0.2] = np.nan
    mixture = Mixture(StudentT(df=None), tol=1e-10).fit(gaps)
    near = [Mixture(StudentT(df=factor * mixture.df_[0]), tol=1e-10).fit(gaps).lower_bound_ for factor in (0.97, 1.03)]
    assert max(near) < mixture.lower_bound_
    errors = mixture.standard_errors(gaps)
    assert errors.newton_distance < 1e-2
    assert np.isfinite(mixture.impute(gaps, method="draw", random_state=0)).all()


def test_free_df_finds_heavy_tails_light_ones_and_none(tmp_path):
    random = np.random.default_rng(0)
    heavy = Mixture(StudentT(df=None)).fit(random.standard_t(3.0, (4000, 2)) / np.sqrt(1.0))
    normal = Mixture(StudentT(df=None)).fit(random.normal(size=(4000, 2)))
    assert 2.0 < heavy.df_[0] < 5.0
    assert normal.df_[0] > 40.0
    narrow = Mixture(StudentT(df=None)).fit(random.uniform(size=(500, 2)))
    assert narrow.converged_
    assert narrow.df_[0] == pytest.approx(1e4)
    with pytest.raises(ValueError, match="Component 0 has, as all others, degrees of freedom at the limit"):
        narrow.standard_errors(random.uniform(size=(500, 2)))
    chain = HMM(StudentT(df=None), 2, n_init=1, random_state=0).fit(two_clusters(random))
    assert chain.df_.shape == (1,)
    with pytest.raises(ValueError, match=r"df_ must be from 0\.5 to 10000"):
        Mixture.from_parameters(StudentT(df=None), [1.0], means=[[0.0]], covariances=[[[1.0]]], df=[0.1])
    with pytest.raises(ValueError, match="give df, too"):
        Mixture.from_parameters(StudentT(df=None), [1.0], means=[[0.0]], covariances=[[[1.0]]])
