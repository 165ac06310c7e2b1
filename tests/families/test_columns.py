"""Families of counts, binary values, positive numbers, categories, and products: densities, priors, coordinates."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, localcontext

import numpy as np
import pytest
import scipy.stats

from fastem.families.columns.base import Columns
from fastem.families.columns.bernoulli import Bernoulli
from fastem.families.columns.categorical import Categorical
from fastem.families.columns.exponential import Exponential
from fastem.families.columns.multinomial import Multinomial
from fastem.families.columns.poisson import Poisson
from fastem.families.columns.product import Part, Product
from fastem.families.gaussian.family import Gaussian
from fastem.families.gaussian.location_scatter import LocationScatter
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.sources import Chunk
from tests.cases import FAMILIES, assert_close, e_step, fields, of_size

# By what a family is, not by its name: one that is no family of columns has the laws, and tests of its own.
NEW = [case for case in FAMILIES if not isinstance(case.family(1, 1), LocationScatter)]
COLUMNS = [case for case in NEW if isinstance(case.family(1, 1), Columns | Product)]
PLAIN = [case for case in COLUMNS if isinstance(case.family(1, 1), Columns)]


def by_name(case):
    return case.name


def log_prob(family, family_params, X):
    """Log-density of each row under a single component."""
    latent = MixtureLatent(family.n_components)
    out = np.empty(len(X))
    Model(latent, family).log_prob(
        Params(latent.params(np.ones(family.n_components)), family_params), np.asarray(X, dtype=np.float64), out
    )
    return out


def test_densities_equal_scipy():
    random = np.random.default_rng(0)
    means = np.array([[0.3, 7.0, 900.0]])
    counts = random.poisson(means, (400, 3)).astype(float)
    assert log_prob(of_size(Poisson, 1, 3), of_size(Poisson, 1, 3).params(means), counts) == pytest.approx(
        scipy.stats.poisson(means).logpmf(counts).sum(axis=1), rel=1e-12
    )
    p = np.array([[0.1, 0.5, 0.999]])
    bits = (random.random((400, 3)) < p).astype(float)
    assert log_prob(of_size(Bernoulli, 1, 3), of_size(Bernoulli, 1, 3).params(p), bits) == pytest.approx(
        scipy.stats.bernoulli(p).logpmf(bits).sum(axis=1), rel=1e-12
    )
    times = random.exponential(means, (400, 3))
    assert log_prob(of_size(Exponential, 1, 3), of_size(Exponential, 1, 3).params(means), times) == pytest.approx(
        scipy.stats.expon(scale=means).logpdf(times).sum(axis=1), rel=1e-12
    )
    shares = np.array([[0.2, 0.3, 0.5]])
    for n_trials in (1, 40, 5000):
        words = random.multinomial(n_trials, shares[0], 400).astype(float)
        assert log_prob(of_size(Multinomial, 1, 3), of_size(Multinomial, 1, 3).params(shares), words) == pytest.approx(
            scipy.stats.multinomial(n_trials, shares[0]).logpmf(words), rel=1e-11, abs=1e-11
        )


def test_an_exposure_multiplies_the_rates():
    random = np.random.default_rng(0)
    exposure = random.uniform(0.1, 300.0, 500)
    rates = np.array([[0.2, 3.0]])
    X = np.column_stack([random.poisson(rates * exposure[:, None]), exposure])
    family = of_size(Poisson, 1, 3, exposure=True)
    expected = scipy.stats.poisson(rates * exposure[:, None]).logpmf(X[:, :2]).sum(axis=1)
    assert log_prob(family, family.params(rates), X) == pytest.approx(expected, rel=1e-12)
    # Few counts of a block are so large that it is computed in another way: both ways agree.
    small = X[:, 0] + X[:, 1] < 200
    assert 0 < small.sum() < 500
    assert log_prob(family, family.params(rates), X[small]) == pytest.approx(expected[small], rel=1e-12)
    model = Model(MixtureLatent(1), family)
    at = Params(model.latent.params([1.0]), family.params(rates))
    params, _ = model.m_step(e_step(model, at, X), at)
    np.testing.assert_allclose(params.family.values[0], X[:, :2].sum(axis=0) / exposure.sum(), rtol=1e-13)
    assert family.n_parameters() == 2


def exact_log_poisson(count, mean):
    """By Stirling's series in 60 digits."""
    with localcontext() as context:
        context.prec = 60
        x, m = Decimal(count), Decimal(mean)
        series = 1 / (12 * x) - 1 / (360 * x**3) + 1 / (1260 * x**5)
        pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
        log_factorial = x * x.ln() - x + (2 * pi * x).ln() / 2 + series
        return float(x * m.ln() - m - log_factorial)


@pytest.mark.parametrize("mean", [2e3, 1e6, 3e9, 1e12])
def test_large_counts_keep_their_digits(mean):
    """Where x log m - m - log x! has lost them: at 1e12 it is wrong by 1e-4 nats."""
    family = of_size(Poisson, 1, 1)
    counts = np.floor(mean + np.sqrt(mean) * np.array([-30.0, -3.0, 0.0, 1.0, 8.0]))
    counts = np.append(counts, np.floor(mean * np.array([0.3, 0.7, 1.5])))
    exact = [exact_log_poisson(int(count), mean) for count in counts]
    assert log_prob(family, family.params(np.array([[mean]])), counts[:, None]) == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize(
    ("name", "good", "support"),
    [
        ("Poisson counts", [0.0, 99.0], "a count, an integer from 0 up"),
        ("multinomial counts", [0.0, 99.0], "a count, an integer from 0 up"),
        ("binary columns", [0.0, 1.0], "0 or 1"),
        ("exponential columns", [0.0, 0.5, 99.0], "0 or positive"),
        ("categories", [0.0, 6.0], "a code, an integer from 0 to 6"),
    ],
)
def test_values_outside_are_named_and_never_probable(name, good, support):
    observed = next(case for case in PLAIN if case.name == name)
    family = observed.family(2, 3)
    params = observed.params(family, np.random.default_rng(0))
    X = family.sample(params, 0, 5, np.random.default_rng(1))
    assert not family.outside(X).any()
    assert family.support(1) == support
    for value in (-1.0, 0.0, 0.5, 1.0, 6.0, 7.0, 99.0):
        changed = X.copy()
        changed[2, 1] = value
        is_good = value in good or (value in (1.0, 6.0, 7.0) and 99.0 in good) or (value == 1.0 and 6.0 in good)
        assert list(zip(*np.nonzero(family.outside(changed)), strict=True)) == ([] if is_good else [(2, 1)])
        densities = log_prob(family, params, changed)
        assert np.isfinite(densities[[0, 1, 3, 4]]).all()
        # Zeros, ones and positive numbers are linear in the compiled pass, which does not look whether they are.
        if name not in ("binary columns", "exponential columns"):
            assert np.isneginf(densities[2]) != is_good


def test_an_exposure_is_positive():
    family = of_size(Poisson, 1, 2, exposure=True)
    np.testing.assert_array_equal(
        family.outside(np.array([[0.0, 0.0], [1.0, 0.5], [-1.0, -1.0]])), [[False, True], [False, False], [True, True]]
    )
    assert family.support(1) == "a positive exposure"
    assert "count" in family.support(0)


@pytest.mark.parametrize("observed", COLUMNS, ids=by_name)
def test_an_empty_component_takes_the_distribution_of_all_rows(observed):
    family = observed.family(3, 7)
    params = observed.params(family, np.random.default_rng(0))
    model = Model(MixtureLatent(3), family)
    X = model.sample(Params(model.latent.params(np.ones(3)), params), 500, np.random.default_rng(1))[0]
    at = Params(model.latent.params(np.ones(3)), params)
    accumulator = model.accumulator(at)
    accumulator.add_given(Chunk(X, None, 0), np.tile([0.6, 0.0, 0.4], (500, 1)))
    fitted, repairs = model.m_step(accumulator.total(), at)
    assert [(repair.component, repair.cause) for repair in repairs] == [(1, "empty")]
    assert all(np.isfinite(value).all() for _, value in fields(fitted))
    if observed.name != "mixed columns":
        np.testing.assert_allclose(fitted.family.means[1], fitted.family.means[0], rtol=1e-12)
        np.testing.assert_allclose(fitted.family.values[1], fitted.family.values[0], rtol=1e-12)


@pytest.mark.parametrize("observed", PLAIN, ids=by_name)
def test_statistics_without_rows_give_finite_parameters(observed):
    family = observed.family(2, 6)
    at = observed.params(family, np.random.default_rng(0))
    params, repairs = family.m_step(family.zero_stats_like(at), at)
    assert all(np.isfinite(value).all() for _, value in fields(params))
    assert len([repair for repair in repairs if repair.cause == "empty"]) == 2


def extreme_rows(observed, family):
    """Rows that are all the same: rates, probabilities and means at their limits."""
    ones = np.ones((40, family.n_features))
    # No gamma value is zero.
    zeros = np.where(family.outside(0.0 * ones), 1e-300, 0.0)
    return (zeros, ones) if "multinomial" not in observed.name else (ones, np.eye(family.n_features)[np.zeros(40, int)])


@pytest.mark.parametrize("observed", COLUMNS, ids=by_name)
def test_rows_at_the_limits_keep_parameters_and_densities_finite(observed):
    for n_features in (1, 7):
        family = observed.family(2, n_features)
        if observed.name == "mixed columns":
            family = replace(
                family, parts=tuple(Part(replace(f, variance_floor=np.full(f.n_features, 1e-10)), c)
                                    if isinstance(f, Gaussian) else Part(f, c) for f, c in family.parts)
            )  # fmt: skip
        model = Model(MixtureLatent(2), family)
        for X in extreme_rows(observed, family):
            params = Params(model.latent.params(np.ones(2)), observed.params(family, np.random.default_rng(0)))
            objective = []
            for _ in range(4):
                stats = e_step(model, params, X)
                objective.append(stats.objective)
                params, _ = model.m_step(stats, params)
                assert all(np.isfinite(value).all() for _, value in fields(params))
            assert np.isfinite(objective).all()
            # Terms of the size of the slopes cancel in narrow columns.
            cancelled = np.where(np.isfinite(params.family.slope), params.family.slope, 0.0)
            largest = max(1.0, abs(objective[-1]), 1e-3 * np.abs(cancelled).max(initial=0.0))
            assert np.diff(objective).min() >= -1e-12 * largest


def test_exponential_components_do_not_collapse_onto_zeros():
    """A component that holds only zeros has no likelihood maximum: the floor keeps the objective finite."""
    random = np.random.default_rng(0)
    X = np.concatenate([np.zeros((50, 1)), random.exponential(3.0, (200, 1))])
    single = Model(MixtureLatent(1), of_size(Exponential, 1, 1))
    at = Params(single.latent.params([1.0]), single.family.neutral_params(np.ones(1)))
    family = of_size(Exponential, 2, 1, floor=1e-3).with_data_scale(e_step(single, at, X).family)
    np.testing.assert_allclose(family.mean_floor, 1e-3 * X.mean())
    assert family.constraints().keys() == {"mean_floor", "prior_mean"}
    model = Model(MixtureLatent(2), family)
    params = Params(model.latent.params([0.5, 0.5]), family.params(np.array([[0.01], [3.0]])))
    objective = []
    for _ in range(50):
        stats = e_step(model, params, X)
        objective.append(stats.objective)
        params, repairs = model.m_step(stats, params)
    assert min(np.diff(objective)) > -1e-12
    assert params.family.means[0, 0] == family.mean_floor[0]
    assert [(repair.component, repair.cause) for repair in repairs] == [(0, "collapsed")]


@pytest.mark.parametrize("observed", COLUMNS, ids=by_name)
def test_samples_have_the_moments_of_the_family(observed):
    family = observed.family(2, 6)
    params = observed.params(family, np.random.default_rng(3))
    X = family.sample(params, 1, 40_000, np.random.default_rng(0))
    assert not family.outside(X).any()
    model = Model(MixtureLatent(2), family)
    at = Params(model.latent.params(np.ones(2)), params)
    resp = np.tile([0.0, 1.0], (40_000, 1))
    accumulator = model.accumulator(at)
    accumulator.add_given(Chunk(X, None, 0), resp)
    learnt = family.m_step(accumulator.total().family, params)[0]
    for name in ("means", "values"):
        actual, expected = getattr(learnt, name)[1], getattr(params, name)[1]
        np.testing.assert_allclose(actual, expected, rtol=0.1, atol=0.05, err_msg=name)


# Priors.


@pytest.mark.parametrize("observed", PLAIN, ids=by_name)
def test_the_m_step_with_a_prior_is_the_maximum_of_the_penalised_likelihood(observed):
    family = observed.family(2, 3)
    params = observed.params(family, np.random.default_rng(0))
    mean = observed.params(family, np.random.default_rng(5)).values[0]
    family = replace(family, prior_weight=7.5, prior_mean=mean)
    model = Model(MixtureLatent(2), family)
    X = model.sample(Params(model.latent.params(np.ones(2)), params), 60, np.random.default_rng(1))[0]
    resp = np.random.default_rng(2).dirichlet([1.0, 1.0], 60)
    accumulator = model.accumulator(Params(model.latent.params(np.ones(2)), params))
    accumulator.add_given(Chunk(X, None, 0), resp)
    stats = accumulator.total().family
    best, _ = family.m_step(stats + family.prior_stats(60.0), params)

    def penalised(at):
        log_density = np.column_stack([log_prob(single(family), only(at, k), X) for k in range(2)])
        return (resp * log_density).sum() + family.log_prior(at, 60.0)

    highest = penalised(best)
    x = family.to_unconstrained(best)
    random = np.random.default_rng(3)
    for _ in range(20):
        other = family.from_unconstrained(x + 0.01 * random.normal(size=x.size))
        assert penalised(other) < highest
    plain, _ = family.m_step(stats, params)
    assert penalised(plain) < highest - 1e-3


def single(family):
    return replace(family, n_components=1)


def only(params, k):
    """Parameters of one component."""
    lists = ("linear", "source", "transform", "counted", "exposure", "squared", "coded", "first_code")
    return params._replace(**{name: getattr(params, name)[k : k + 1] for name in params._fields if name not in lists})


@pytest.mark.parametrize("observed", PLAIN, ids=by_name)
def test_the_mean_of_a_prior_is_that_of_the_data_by_default(observed):
    family = replace(observed.family(1, 3), prior_weight=2.0)
    assert family.prior_stats(10.0) is None
    assert family.log_prior(family.neutral_params(np.ones(3)), 10.0) == 0.0
    model = Model(MixtureLatent(1), family)
    X = model.sample(
        Params(model.latent.params([1.0]), observed.params(family, np.random.default_rng(0))),
        200,
        np.random.default_rng(1),
    )[0]
    at = Params(model.latent.params([1.0]), family.neutral_params(np.ones(3)))
    stats = e_step(model, at, X).family
    scaled = family.with_data_scale(stats)
    assert "prior_mean" in scaled.constraints()
    without, _ = family.m_step(stats, at.family)
    pulled, _ = family.m_step(stats + scaled.prior_stats(200.0), at.family)
    if observed.name != "multinomial counts":
        # By tables, sizes are found to the rounding of sums over all counts.
        assert_close(pulled, without, rtol=1e-10)
    again = observed.family(1, 3).with_constraints(scaled.constraints())
    np.testing.assert_array_equal(again.prior_mean, scaled.prior_mean)


def test_each_part_of_a_product_has_its_own_prior():
    random = np.random.default_rng(0)
    X = np.column_stack([random.normal(5.0, 2.0, 80), random.poisson(3.0, 80)])
    normal = Gaussian(
        n_components=2,
        n_features=1,
        covariance_type="diag",
        prior_mean=np.array([1.0]),
        prior_mean_rows=3.0,
        prior_covariance=np.array([4.0]),
        prior_rows=9.0,
    )
    counts = of_size(Poisson, 2, 1, prior_weight=7.0, prior_mean=np.array([2.0]))
    product = Product((Part(normal, np.array([0])), Part(counts, np.array([1]))))
    resp = random.dirichlet([1.0, 1.0], 80)

    def m_step(family, X):
        model = Model(MixtureLatent(2), family)
        at = Params(model.latent.params(np.ones(2)), family.neutral_params(X[0]))
        accumulator = model.accumulator(at)
        accumulator.add_given(Chunk(np.ascontiguousarray(X), None, 0), resp)
        return model.m_step(accumulator.total(), at)[0].family

    joined = m_step(product, X)
    alone = [m_step(normal, X[:, :1]), m_step(counts, X[:, 1:])]
    for actual, expected in zip(product.params_of(joined), alone, strict=True):
        assert_close(actual, expected, rtol=1e-12)
    expected = normal.log_prior(alone[0], 80.0) + counts.log_prior(alone[1], 80.0)
    assert product.log_prior(joined, 80.0) == pytest.approx(expected, rel=1e-12)
    only_counts = Product(
        (
            Part(Gaussian(n_components=2, n_features=1, covariance_type="diag"), np.array([0])),
            Part(counts, np.array([1])),
        )
    )
    assert_close(
        only_counts.params_of(m_step(only_counts, X))[0],
        m_step(Gaussian(n_components=2, n_features=1, covariance_type="diag"), X[:, :1]),
        rtol=1e-12,
    )
    with pytest.raises(ValueError, match="the same prior_weight"):
        Product(
            (
                Part(of_size(Bernoulli, 1, 1, prior_weight=2.0), np.array([0])),
                Part(of_size(Poisson, 1, 1), np.array([1])),
            )
        )


# Coordinates.


@pytest.mark.parametrize("observed", NEW, ids=by_name)
def test_coordinates_are_parameters_and_any_point_is_valid(observed):
    family = observed.family(3, 6)
    params = observed.params(family, np.random.default_rng(0))
    x = family.to_unconstrained(params)
    assert x.dtype == np.float64
    assert x.ndim == 1
    assert_close(family.from_unconstrained(x), params, rtol=1e-12)
    X = family.sample(params, 0, 10, np.random.default_rng(1))
    for scale in (1.0, 50.0, 1e4):
        far = family.from_unconstrained(scale * np.random.default_rng(2).normal(size=x.size))
        assert all(np.isfinite(value).all() for _, value in fields(far))
        assert not np.isnan(log_prob(family, far, X)).any()
    assert np.isfinite(family.to_unconstrained(far)).all()


# Products.


def test_a_product_is_the_sum_of_its_parts():
    random = np.random.default_rng(0)
    parts = (
        Part(of_size(Poisson, 2, 3, exposure=True), np.array([5, 0, 3])),
        Part(of_size(Categorical, 2, 1, n_categories=12), np.array([1])),
        Part(Gaussian(n_components=2, n_features=2, covariance_type="diag"), np.array([4, 2])),
    )
    product = Product(parts)
    values = {Poisson: random.uniform(1, 9, (2, 2)), Categorical: random.uniform(0.1, 1, (2, 12))}
    own = [
        part.family.params(random.normal(size=(2, 2)), random.uniform(1, 2, (2, 2)))
        if isinstance(part.family, Gaussian)
        else part.family.params(values[type(part.family)])
        for part in product.parts
    ]
    params = product.params(own)
    X = product.sample(params, 1, 300, random)
    assert np.all(X[:, 3] == 1.0)
    X[:, 3] = random.uniform(0.5, 2.0, 300)
    expected = sum(
        log_prob(single(part.family), only_of(p, 1), X[:, part.columns])
        for part, p in zip(product.parts, own, strict=True)
    )
    weights = np.array([1e-300, 1.0])
    latent = MixtureLatent(2)
    out = np.empty(300)
    Model(latent, product).log_prob(Params(latent.params(weights), params), X, out)
    np.testing.assert_allclose(out, expected, rtol=1e-12)
    assert product.n_parameters() == sum(part.family.n_parameters() for part in parts)
    for actual, wanted in zip(product.params_of(params), own, strict=True):
        assert_close(actual, wanted, rtol=1e-13)


def only_of(params, k):
    return only(params, k) if hasattr(params, "linear") else type(params)(*(field[k : k + 1] for field in params))


def test_a_product_names_the_columns_of_its_parts():
    product = Product(
        (
            Part(of_size(Bernoulli, 1, 2), np.array([2, 0])),
            Part(of_size(Categorical, 1, 1, n_categories=4), np.array([1])),
        )
    )
    assert product.support(1) == "a code, an integer from 0 to 3"
    assert product.support(2) == "0 or 1"
    np.testing.assert_array_equal(
        product.outside(np.array([[3.0, 3.0, 1.0], [1.0, 4.0, 0.0]])).nonzero(), [[0, 1], [0, 1]]
    )


def test_parts_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="each column must belong to one part"):
        Product((Part(of_size(Bernoulli, 1, 2), np.array([0, 1])), Part(of_size(Poisson, 1, 1), np.array([1]))))
    with pytest.raises(ValueError, match="only counts of a product"):
        Product((Part(of_size(Poisson, 1, 1), np.array([0])), Part(of_size(Multinomial, 1, 2), np.array([1, 2]))))


def test_what_parts_learn_from_data_is_kept_by_their_number():
    product = Product(
        (
            Part(of_size(Exponential, 1, 1), np.array([1])),
            Part(Gaussian(n_components=1, n_features=1, covariance_type="diag"), np.array([0])),
        )
    )
    model = Model(MixtureLatent(1), product)
    X = np.column_stack([np.random.default_rng(0).normal(size=50), np.random.default_rng(1).exponential(size=50)])
    at = Params(model.latent.params([1.0]), product.neutral_params(X[0]))
    learnt = product.with_data_scale(e_step(model, at, X).family)
    assert {"0.mean_floor", "0.prior_mean", "1.variance_floor"} <= learnt.constraints().keys()
    again = product.with_constraints(learnt.constraints())
    for name, value in learnt.constraints().items():
        np.testing.assert_array_equal(again.constraints()[name], value)
