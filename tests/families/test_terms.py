"""A family of columns is its terms: gamma in all that the package does, and terms of every function."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.stats
from scipy.optimize import brentq
from scipy.special import digamma
from sklearn.exceptions import ConvergenceWarning

import fastem
from fastem import HMM, Incremental, Mixture, Online, select
from fastem.families.columns.beta import Beta
from fastem.families.columns.gamma import Gamma
from fastem.families.columns.inverse_gaussian import InverseGaussian
from fastem.families.columns.log_normal import LogNormal
from fastem.families.columns.product import Part, Product
from fastem.families.columns.von_mises import VonMises
from fastem.families.gaussian.family import Gaussian
from fastem.fitting.information import row_gradients, total_gradient
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from tests.cases import assert_same_bits, e_step, of_size
from tests.families.test_columns import log_prob

GROUP = np.random.default_rng(0).uniform(size=3000) < 0.4
AMOUNTS = np.random.default_rng(1).gamma(np.where(GROUP, 3.0, 30.0), np.where(GROUP, 2.0, 1.0))[:, None]


def fitted(**options):
    return Mixture("gamma", 2, **{"random_state": 0, **options}).fit(AMOUNTS)


def means(mixture):
    return mixture.shapes_ * mixture.scales_


# The density, and its maximum.


def test_gamma_densities_equal_scipy():
    random = np.random.default_rng(0)
    shapes, scales = np.array([[0.05, 1.0, 3.7, 900.0]]), np.array([[1e-80, 1.0, 1e90, 0.1]])
    X = np.maximum(random.gamma(shapes, scales, (400, 4)), 1e-300)
    expected = scipy.stats.gamma(shapes, scale=scales).logpdf(X).sum(axis=1)
    family = of_size(Gamma, 1, 4)
    assert log_prob(family, family.params(np.concatenate([shapes, scales], axis=1)), X) == pytest.approx(
        expected, rel=1e-11
    )


def test_a_nearly_normal_gamma_keeps_its_digits():
    """At the largest shape that an M-step gives: what cancels is of the order of shape * log x * 1e-16."""
    x = 50.0 * (1.0 + 1e-3 * np.linspace(-4, 4, 100))
    family = of_size(Gamma, 1, 1)
    found = log_prob(family, family.params(np.array([[1e6, 50.0 / 1e6]])), x[:, None])
    t = x / 50.0 - 1.0
    exact = 1e6 * (np.log1p(t) - t) - np.log(x) + 0.5 * np.log(1e6 / (2.0 * np.pi)) - 1.0 / 12e6
    np.testing.assert_allclose(found, exact, atol=1e-8)


@pytest.mark.parametrize("s", 10.0 ** np.arange(-6, 3))
def test_the_shape_is_the_root_of_its_equation(s):
    shape, scale = of_size(Gamma, 1, 1).estimate(np.array([[2.0]]), np.array([[np.log(2.0) - s]]))
    exact = np.exp(brentq(lambda log_shape: log_shape - digamma(np.exp(log_shape)) - s, -10.0, 17.0, xtol=1e-15))
    assert shape[0, 0] == pytest.approx(exact, rel=1e-8 if s < 1e-5 else 1e-10)
    assert shape[0, 0] * scale[0, 0] == pytest.approx(2.0, rel=1e-14)


def test_one_component_is_that_of_scipy():
    x = AMOUNTS[~GROUP, 0]
    mixture = Mixture("gamma", 1).fit(x)
    shape, _, scale = scipy.stats.gamma.fit(x, floc=0)
    np.testing.assert_allclose((mixture.shapes_[0, 0], mixture.scales_[0, 0]), (shape, scale), rtol=1e-4)
    assert mixture.score(x) >= scipy.stats.gamma(shape, scale=scale).logpdf(x).mean() - 1e-12
    np.testing.assert_allclose(means(mixture)[0, 0], x.mean(), rtol=1e-12)
    np.testing.assert_allclose(mixture.marginal().sds ** 2, means(mixture)[0] * mixture.scales_[0], rtol=1e-14)


@pytest.mark.parametrize(
    ("column", "n_components", "loglik", "shapes", "scales"),
    [
        (1, 1, -1102.92512014, [25.12315864], [2.821980303]),
        (1, 2, -1033.05821248, [79.7056795, 199.70436], [0.689658805, 0.402035604]),
        (0, 2, -276.83357469, [63.8357498, 103.72954], [0.0319127923, 0.0413574158]),
    ],
)
def test_faithful(faithful, column, n_components, loglik, shapes, scales):
    """Maxima that plain EM in R and mixtools' gammamixEM find."""
    x = faithful[:, column]
    mixture = Mixture("gamma", n_components, tol=1e-13, max_iter=20_000, random_state=0).fit(x)
    assert mixture.score(x) * len(x) == pytest.approx(loglik, abs=2e-8)
    order = np.argsort(means(mixture)[:, 0])
    np.testing.assert_allclose(mixture.shapes_[order, 0], shapes, rtol=1e-4)
    np.testing.assert_allclose(mixture.scales_[order, 0], scales, rtol=1e-4)


def test_rows_that_agree_end_at_the_largest_shape():
    x = np.concatenate([np.full(200, 3.0), AMOUNTS[:, 0]])
    mixture = Mixture("gamma", 2, init_params=(x != 3.0).astype(int)).fit(x)
    nearest = np.argmax(mixture.shapes_[:, 0])
    assert mixture.shapes_[nearest, 0] == 1e6
    assert means(mixture)[nearest, 0] == pytest.approx(3.0, rel=1e-6)
    assert {note.cause for note in mixture.fit_report_.repairs} == {"collapsed"}
    with pytest.raises(ValueError, match="has shapes or scales at the limit"):
        mixture.standard_errors(x)


@pytest.mark.parametrize("value", [0.0, -1.0, 1e-310, 1e300])
def test_what_no_gamma_value_is_is_named(value):
    bad = AMOUNTS.copy()
    bad[7] = value
    with pytest.raises(ValueError, match=r"row 7, column 0 is .*, but must be a positive number, from 1e-300 to 1e290"):
        Mixture("gamma", 2).fit(bad)
    weight = np.ones(len(bad))
    weight[7] = 0.0
    model = Model(MixtureLatent(2), of_size(Gamma, 2, 1))
    at = Params(model.latent.params(np.ones(2)), model.family.params(np.array([[3.0, 2.0], [30.0, 1.0]])))
    assert e_step(model, at, bad, weight).is_finite()


# All that the package does.


@pytest.mark.parametrize("schedule", [Online(batch_size=50), Incremental()])
def test_other_ways_to_learn_end_at_the_same_optimum(schedule):
    exact = fitted(tol=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        other = fitted(schedule=schedule, max_iter=30)
    assert other.score(AMOUNTS) == pytest.approx(exact.score(AMOUNTS), abs=2e-3)
    order = np.argsort(means(exact)[:, 0])
    np.testing.assert_allclose(exact.shapes_[order, 0], [3.0, 30.0], rtol=0.15)
    np.testing.assert_allclose(exact.scales_[order, 0], [2.0, 1.0], rtol=0.15)


def test_a_gamma_mixture_is_saved_drawn_and_taken_up_again(tmp_path):
    mixture = fitted()
    mixture.save(tmp_path / "model.npz")
    loaded = fastem.load(tmp_path / "model.npz")
    assert_same_bits(loaded._params, mixture._params)
    np.testing.assert_array_equal(loaded.shapes_, mixture.shapes_)
    grid = np.linspace(0.1, 60.0, 50)
    densities = mixture.weights_ @ mixture.marginal().density(grid)
    np.testing.assert_allclose(densities, np.exp(mixture.score_samples(grid)), rtol=1e-11)
    assert not mixture.marginal().density(np.array([-1.0, 0.0])).any()
    assert mixture.plot(AMOUNTS).get_ylabel() == "density"
    drawn, _ = mixture.sample(20_000)
    again = Mixture("gamma", 2, random_state=0).fit(drawn)
    np.testing.assert_allclose(np.sort(means(again)[:, 0]), np.sort(means(mixture)[:, 0]), rtol=0.05)
    stream = Mixture("gamma", 2, random_state=0, schedule=Online(batch_size=100))
    for part in np.split(AMOUNTS, 10):
        stream.partial_fit(part)
    assert stream.score(AMOUNTS) == pytest.approx(mixture.score(AMOUNTS), abs=0.02)


def test_gamma_parameters_have_two_names():
    mixture = Mixture.from_parameters("gamma", [0.4, 0.6], shapes=[1.0, 27.0], scales=[2.0, 1.0 / 3.0])
    assert mixture.predict([1.0, 9.0]).tolist() == [0, 1]
    mixture.shapes_ = [27.0, 3.0]
    assert mixture.predict([54.0, 1.0]).tolist() == [0, 1]
    np.testing.assert_allclose(mixture.params_.values, [[27.0, 2.0], [3.0, 1.0 / 3.0]])
    given = {"shapes": [[3.0], [30.0]], "scales": [[2.0], [1.0]]}
    start = Mixture("gamma", 2, params_init=given, max_iter=1, tol=0.0, schedule="plain", random_state=0)
    with pytest.warns(ConvergenceWarning):
        start.fit(AMOUNTS)
    assert start.score(AMOUNTS) == pytest.approx(fitted().score(AMOUNTS), abs=1e-3)
    with pytest.raises(ValueError, match=r"Gamma has shapes, scales: give scales, too\."):
        Mixture("gamma", 2, params_init={"shapes": [3.0, 30.0]}).fit(AMOUNTS)
    with pytest.raises(ValueError, match="shapes_init and scales_init must be positive"):
        Mixture("gamma", 2, params_init={**given, "scales": [[0.0], [1.0]]}).fit(AMOUNTS)
    with pytest.raises(ValueError, match=r"Gamma has shapes, scales: give scales, too\."):
        Mixture.from_parameters("gamma", [0.4, 0.6], shapes=[1.0, 27.0])


def test_gamma_columns_beside_others_follow_moments():
    """Moments that are set by hand are other shapes and scales, which are shown beside them."""
    X = np.column_stack([AMOUNTS, GROUP])
    mixture = Mixture(["gamma", "bernoulli"], 2, random_state=0).fit(X)
    np.testing.assert_allclose(mixture.shapes_[:, 0], mixture.means_[:, 0] ** 2 / mixture.variances_[:, 0])
    assert np.isnan(mixture.scales_[:, 1]).all()
    mixture.means_, mixture.variances_ = [[2.0, 0.5], [9.0, 0.5]], [[4.0, 0.25], [3.0, 0.25]]
    assert mixture.predict([[1.0, 0.0], [9.0, 0.0]]).tolist() == [0, 1]
    np.testing.assert_allclose(mixture.shapes_[:, 0], [1.0, 27.0])
    np.testing.assert_allclose(mixture.scales_[:, 0], [2.0, 1.0 / 3.0])
    mixture.shapes_ = mixture.shapes_ + 1.0
    with pytest.raises(ValueError, match="shapes_ was set to values that contradict"):
        mixture.predict(X)


def test_gamma_columns_are_selected_and_follow_chains():
    selection = select(AMOUNTS, Mixture("gamma"), n_components=[1, 2, 3], random_state=0)
    assert selection.best_estimator_.n_components == 2
    states = np.repeat(np.arange(40) % 2, 50)
    x = np.random.default_rng(3).gamma(np.where(states, 3.0, 30.0), 1.0)
    hmm = HMM(["gamma"], 2, random_state=0).fit(x)
    np.testing.assert_allclose(np.sort(hmm.shapes_[:, 0]), [3.0, 30.0], rtol=0.15)
    assert np.mean(hmm.predict(x) == states) in (pytest.approx(1.0, abs=0.05), pytest.approx(0.0, abs=0.05))


def test_standard_errors_of_one_gamma_have_a_closed_form():
    x = AMOUNTS[~GROUP]
    mixture = Mixture("gamma", 1).fit(x)
    shape, scale = mixture.shapes_[0, 0], mixture.scales_[0, 0]
    information = len(x) * np.array([[scipy.special.polygamma(1, shape), 1.0 / scale], [1.0 / scale, shape / scale**2]])
    expected = np.sqrt(np.diagonal(np.linalg.inv(information)))
    errors = mixture.standard_errors(x, information="observed")
    np.testing.assert_allclose((errors.shapes[0, 0], errors.scales[0, 0]), expected, rtol=1e-5)
    assert errors.names == ("weights[0]", "shapes[0, 0]", "scales[0, 0]")
    assert errors.newton_distance < 1e-5
    lower = mixture.confidence_intervals(x).lower
    assert 0.0 < lower.shapes[0, 0] < shape


def test_columns_beside_counts_with_an_exposure_have_errors_of_their_own():
    random = np.random.default_rng(0)
    hours = random.uniform(0.5, 20.0, 4000)
    counts, amounts = random.poisson(3.0 * hours), random.gamma(4.0, size=4000)
    X = np.column_stack([counts, hours, random.uniform(size=4000) < 0.3, amounts])
    mixture = Mixture(["poisson", "exposure", "bernoulli", "gamma"], 1).fit(X)
    errors = mixture.standard_errors(X, information="observed")
    p = X[:, 2].mean()
    expected = [np.sqrt(mixture.means_[0, 0] / hours.sum()), np.nan, np.sqrt(p * (1.0 - p) / 4000), np.nan]
    np.testing.assert_allclose(errors.means[0], expected, rtol=1e-6)
    assert errors.newton_distance < 1e-5
    np.testing.assert_array_equal(mixture.means_[:, 1], 1.0)
    np.testing.assert_array_equal(mixture.variances_[:, 1], 0.0)


# Terms of every function.

OWN = [
    (VonMises, [[0.5, 2.0, 1.0, 1.5]], lambda v, x: scipy.stats.vonmises.logpdf(x, v[1], loc=v[0])),
    (Beta, [[0.5, 2.0, 3.0, 1.5]], lambda v, x: scipy.stats.beta.logpdf(x, *v)),
    (InverseGaussian, [[0.5, 2.0, 3.0, 1.5]], lambda v, x: scipy.stats.invgauss.logpdf(x, v[0] / v[1], scale=v[1])),
    (LogNormal, [[0.5, -2.0, 3.0, 1.5]], lambda v, x: scipy.stats.lognorm.logpdf(x, v[1], scale=np.exp(v[0]))),
]


@pytest.mark.parametrize(("kind", "values", "twin"), OWN, ids=lambda each: getattr(each, "__name__", ""))
def test_terms_of_every_function_are_computed_and_summed_in_the_pass(kind, values, twin):
    X = np.random.default_rng(0).uniform(0.05, 0.95, (500, 2))
    family = of_size(kind, 1, 2)
    params = family.params(np.array(values))
    found = log_prob(family, params, X)
    expected = sum(twin(np.array(values[0]).reshape(2, 2)[:, j], X[:, j]) for j in range(2))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    model = Model(MixtureLatent(1), family)
    stats = e_step(model, Params(model.latent.params([1.0]), params), X).family
    np.testing.assert_allclose(stats.sums[0], family.statistics(X).sum(axis=0), rtol=1e-12)


def test_derived_terms_of_several_parts_lie_side_by_side():
    """Von Mises, beta and gamma columns beside a normal one: gradients of rows and of sums agree, too."""
    random = np.random.default_rng(0)
    families = (
        of_size(VonMises, 2, 1),
        Gaussian(n_components=2, n_features=1, covariance_type="diag"),
        of_size(Gamma, 2, 2),
        of_size(Beta, 2, 1),
    )
    parts = tuple(map(Part, families, (np.array([3]), np.array([0]), np.array([4, 1]), np.array([2]))))
    product = Product(parts)
    values = [random.uniform(0.5, 3.0, size) for size in ((2, 2), (2, 4), (2, 2))]
    own = [
        parts[0].family.params(values[0]),
        Gaussian(n_components=2, n_features=1, covariance_type="diag").params(np.zeros((2, 1)), np.ones((2, 1))),
    ]
    own += [parts[2].family.params(values[1]), parts[3].family.params(values[2])]
    at = Params(MixtureLatent(2).params([0.4, 0.6]), product.params(own))
    X = random.uniform(0.05, 0.95, (700, 5))
    for found, expected in zip(product.params_of(at.family), own, strict=True):
        assert_same_bits(found, expected)
    model = Model(MixtureLatent(2), product)
    pairs = zip(parts, own, strict=True)
    each = [log_prob(part.family.with_components(1), _only(p, 0), X[:, part.columns]) for part, p in pairs]
    single = product.with_components(1)
    np.testing.assert_allclose(
        log_prob(single, single.params([_only(p, 0) for p in own]), X), np.sum(each, axis=0), rtol=1e-12
    )
    total = total_gradient(model, at, e_step(model, at, X))
    np.testing.assert_allclose(row_gradients(model, at, X).sum(axis=0), total, rtol=1e-9, atol=1e-9)


def _only(params, k):
    lists = ("linear", "source", "transform", "counted", "exposure", "squared", "coded", "first_code")
    return params._replace(**{name: getattr(params, name)[k : k + 1] for name in params._fields if name not in lists})
