"""Regressions: against least squares, generalised linear models of scikit-learn, SciPy and published mixtures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, gammaln
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor

from fastem import HMM, Batch, Mixture, Subsample, load, select
from fastem.families import BinomialRegression, GammaRegression, Linear, PoissonRegression
from tests import naive

EXAMPLES = Path(__file__).parents[2] / "examples"
X = np.random.default_rng(0).normal(size=(400, 3))
COEF = np.array([0.5, -0.3, 0.1])


def table(name):
    return np.loadtxt(EXAMPLES / name, delimiter=",", skiprows=1)


def responses(kind, x=X, seed=0):
    random, eta = np.random.default_rng(seed), 0.4 + x @ COEF
    return {
        Linear: lambda: eta + random.normal(size=len(x)),
        PoissonRegression: lambda: random.poisson(np.exp(eta)).astype(float),
        BinomialRegression: lambda: random.binomial(1, expit(eta)).astype(float),
        GammaRegression: lambda: random.gamma(3.0, np.exp(eta) / 3.0),
    }[kind]()


def fitted(family, rows, n_components=1, **settings):
    return Mixture(family, n_components, **{"tol": 1e-13, "random_state": 0, **settings}).fit(rows)


def by_rank(values, n_groups):
    """Responsibilities of 0.8 and 0.2 / K more for each component: by the rank of values."""
    labels = np.empty(len(values), dtype=int)
    for k, part in enumerate(np.array_split(np.argsort(values, kind="stable"), n_groups)):
        labels[part] = k
    return 0.2 / n_groups + 0.8 * np.eye(n_groups)[labels]


# One component.


def test_one_line_is_that_of_least_squares():
    y = responses(Linear)
    mixture, peer = fitted(Linear(), np.column_stack([X, y])), LinearRegression().fit(X, y)
    np.testing.assert_allclose(mixture.coef_[0], peer.coef_, rtol=1e-12)
    assert mixture.intercept_[0] == pytest.approx(peer.intercept_, rel=1e-12)
    residuals = y - peer.predict(X)
    assert mixture.variances_[0] == pytest.approx(np.mean(residuals**2), rel=1e-12)
    design = np.column_stack([X, np.ones(len(X))])
    textbook = np.sqrt(np.diagonal(np.linalg.inv(design.T @ design)) * np.mean(residuals**2))
    errors = mixture.standard_errors(np.column_stack([X, y]), information="observed")
    np.testing.assert_allclose([*errors.coef[0], errors.intercept[0]], textbook, rtol=1e-5)


@pytest.mark.parametrize(
    ("family", "peer"),
    [(PoissonRegression(), PoissonRegressor(alpha=0.0, tol=1e-12, max_iter=10_000)),
     (BinomialRegression(), LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000))],
    ids=["Poisson", "binomial"],
)  # fmt: skip
def test_one_generalised_linear_model_is_that_of_scikit_learn(family, peer):
    y = responses(type(family))
    mixture, peer = fitted(family, np.column_stack([X, y])), peer.fit(X, y)
    np.testing.assert_allclose(mixture.coef_[0], np.ravel(peer.coef_), atol=1e-6)
    assert mixture.intercept_[0] == pytest.approx(np.ravel(peer.intercept_)[0], abs=1e-6)


def test_one_gamma_regression_has_the_highest_likelihood():
    y = responses(GammaRegression)

    def loss(point):
        eta, shape = point[0] + X @ point[1:4], np.exp(point[4])
        return -np.mean((shape - 1) * np.log(y) - shape * (y * np.exp(-eta) + eta) + shape * np.log(shape)) + gammaln(
            shape
        )

    best = minimize(loss, [0.0, 0.0, 0.0, 0.0, 1.0], method="BFGS", options={"gtol": 1e-9})
    mixture = fitted(GammaRegression(), np.column_stack([X, y]))
    assert mixture.lower_bound_ == pytest.approx(-best.fun, abs=1e-10)
    np.testing.assert_allclose(mixture.coef_[0], best.x[1:4], atol=1e-5)
    assert mixture.shapes_[0] == pytest.approx(np.exp(best.x[4]), rel=1e-5)


# Published mixtures.


def test_two_lines_of_old_faithful():
    rows = table("faithful.csv")
    residuals = rows[:, 1] - np.polyval(np.polyfit(rows[:, 0], rows[:, 1], 1), rows[:, 0])
    mixture = fitted(Linear(), rows, 2, init_params=by_rank(residuals, 2))
    assert len(rows) * mixture.lower_bound_ == pytest.approx(-864.29962407, abs=1e-7)
    np.testing.assert_allclose(mixture.weights_, [0.1676928, 0.8323072], atol=1e-5)
    np.testing.assert_allclose(mixture.intercept_, [26.8187897, 34.8917153], atol=1e-3)
    np.testing.assert_allclose(mixture.coef_[:, 0], [10.677712, 10.7181714], atol=1e-3)
    np.testing.assert_allclose(mixture.variances_, [6.08905608, 29.1739671], rtol=1e-4)


@pytest.mark.parametrize("schedule", ["plain", "batch"])
def test_two_poisson_regressions_of_earthquakes_as_flexmix_has_them(schedule):
    years = table("earthquakes.csv")
    rows = np.column_stack([(years[:, 0] - 1953) / 50, years[:, 1]])
    start = by_rank(rows[:, 1], 2)
    mixture = fitted(PoissonRegression(), rows, 2, init_params=start, schedule=schedule, max_iter=5000)
    assert len(rows) * mixture.lower_bound_ == pytest.approx(-355.21636875, abs=1e-7)
    order = np.argsort(mixture.intercept_)
    np.testing.assert_allclose(mixture.weights_[order], [0.3986577, 0.6013423], atol=1e-5)
    np.testing.assert_allclose(mixture.intercept_[order], [2.65352662, 3.11417813], atol=1e-5)
    np.testing.assert_allclose(mixture.coef_[order, 0], [-0.0924512646, -0.267604787], atol=1e-5)


# Sizes, and responses that are missing.


def test_an_exposure_is_an_offset():
    random = np.random.default_rng(1)
    exposure = random.uniform(0.1, 300.0, len(X))
    y = random.poisson(exposure * np.exp(0.4 + X @ COEF)).astype(float)
    mixture = fitted(PoissonRegression(exposure=True), np.column_stack([X, y, exposure]))
    peer = PoissonRegressor(alpha=0.0, tol=1e-12, max_iter=10_000).fit(X, y / exposure, sample_weight=exposure)
    np.testing.assert_allclose(mixture.coef_[0], peer.coef_, atol=1e-6)
    # Large counts and small ones take different ways.
    own = mixture.score_samples(np.column_stack([X, y, exposure]))
    eta = mixture.intercept_[0] + X @ mixture.coef_[0]
    expected = [naive.poisson(n, e * np.exp(each)) for n, e, each in zip(y, exposure, eta, strict=True)]
    np.testing.assert_allclose(own, expected, rtol=1e-11)


def test_trials_are_successes_and_failures_one_by_one():
    random = np.random.default_rng(1)
    trials = random.integers(1, 400, len(X))
    successes = random.binomial(trials, expit(0.4 + X @ COEF)).astype(float)
    rows = np.column_stack([X, successes, trials])
    mixture = fitted(BinomialRegression(trials=True), rows)
    twice = np.concatenate([np.column_stack([X, np.ones(len(X))]), np.column_stack([X, np.zeros(len(X))])])
    peer = Mixture(BinomialRegression(), tol=1e-13).fit(twice, sample_weight=[*successes, *(trials - successes)])
    np.testing.assert_allclose(mixture.coef_, peer.coef_, rtol=1e-8)
    eta = mixture.intercept_[0] + X @ mixture.coef_[0]
    expected = [naive.binomial(n, m, each) for n, m, each in zip(successes, trials, eta, strict=True)]
    np.testing.assert_allclose(mixture.score_samples(rows), expected, rtol=1e-11)


@pytest.mark.parametrize("kind", [Linear, PoissonRegression, BinomialRegression, GammaRegression])
def test_rows_without_a_response_are_absent(kind):
    y = responses(kind)
    rows, gaps = np.column_stack([X, y]), np.column_stack([X, y])
    gaps[::3, 3] = np.nan
    kept = np.arange(len(X)) % 3 > 0
    with_gaps, without = fitted(kind(), gaps), fitted(kind(), rows[kept])
    np.testing.assert_allclose(with_gaps.coef_, without.coef_, rtol=1e-6, atol=1e-9)
    filled = with_gaps.impute(gaps)
    np.testing.assert_array_equal(filled[kept], rows[kept])
    expected = with_gaps._model.family.expected(with_gaps._params.family, X[::3])[:, 0]
    np.testing.assert_allclose(filled[::3, 3], expected, rtol=1e-12)
    drawn = with_gaps.impute(gaps, method="draw", random_state=0)
    assert not with_gaps._model.family.outside(drawn).any()


def test_a_covariate_must_be_there():
    rows = np.column_stack([X, responses(Linear)])
    rows[7, 1] = np.nan
    with pytest.raises(ValueError, match=r"misses a covariate: row 7, column 1 is nan.*Drop these rows, or fill in"):
        Mixture(Linear()).fit(rows)
    exposed = np.column_stack([X, responses(PoissonRegression), np.ones(len(X))])
    exposed[5, 4] = np.nan
    with pytest.raises(ValueError, match=r"misses its exposure: row 5, column 4"):
        Mixture(PoissonRegression(exposure=True)).fit(exposed)


# Numbers.


@pytest.mark.parametrize("kind", [Linear, PoissonRegression, BinomialRegression, GammaRegression])
def test_covariates_may_lie_far_from_zero_and_have_any_unit(kind):
    y = responses(kind)
    near, far = fitted(kind(), np.column_stack([X, y])), fitted(kind(), np.column_stack([1e5 + 0.1 * X, y]))
    np.testing.assert_allclose(0.1 * far.coef_, near.coef_, rtol=1e-6, atol=1e-8)
    assert far.lower_bound_ == pytest.approx(near.lower_bound_, abs=1e-10)


def test_a_perfect_line_stops_at_the_floor():
    rows = np.column_stack([X[:, :1], 2.0 * X[:, :1] + 1.0])
    mixture = Mixture(Linear(floor=1e-6)).fit(rows)
    np.testing.assert_allclose([mixture.coef_[0, 0], mixture.intercept_[0]], [2.0, 1.0], rtol=1e-9)
    assert mixture.variances_[0] == pytest.approx(1e-6 * rows[:, 1].var(), rel=1e-9)
    assert mixture.fit_report_.repairs[0].cause == "collapsed"
    with pytest.raises(ValueError, match="explain without a rest"):
        mixture.standard_errors(rows)


@pytest.mark.parametrize("kind", [Linear, PoissonRegression, BinomialRegression, GammaRegression])
def test_covariates_that_follow_from_others_share_their_effect(kind):
    y = responses(kind)
    doubled = np.column_stack([X[:, :1], X[:, :1], np.full(len(X), 7.0), y])
    mixture, single = fitted(kind(), doubled), fitted(kind(), np.column_stack([X[:, :1], y]))
    assert mixture.lower_bound_ == pytest.approx(single.lower_bound_, abs=1e-10)
    np.testing.assert_allclose(mixture.coef_[0], [*[single.coef_[0, 0] / 2] * 2, 0.0], rtol=1e-5, atol=1e-9)
    assert {repair.cause for repair in mixture.fit_report_.repairs} == {"undetermined"}
    assert "did not determine all its coefficients" in str(mixture.fit_report_)


def test_without_covariates_it_is_the_distribution_of_the_response():
    y = responses(PoissonRegression)[:, None]
    regression, counts = fitted(PoissonRegression(), y), fitted("poisson", y)
    assert regression.coef_.shape == (1, 0)
    assert np.exp(regression.intercept_[0]) == pytest.approx(counts.rates_[0, 0])
    assert regression.lower_bound_ == pytest.approx(counts.lower_bound_, abs=1e-12)


def test_a_step_that_is_too_long_is_halved():
    """Few rows weigh much at the start: a whole step of least squares leads far beyond the maximum."""
    x = np.concatenate([np.full(200, -6.0), [0.0, 6.0]])
    rows = np.column_stack([x, np.concatenate([np.zeros(199), [3.0], [2.0], [2000.0]])])
    mixture = Mixture(
        PoissonRegression(), params_init={"coef": [[-2.5]], "intercept": [-9.0]}, schedule="plain", tol=1e-12
    ).fit(rows)
    assert mixture.converged_
    assert np.all(np.diff(mixture.lower_bounds_) >= 0.0)
    peer = fitted(PoissonRegression(), rows)
    assert mixture.lower_bound_ == pytest.approx(peer.lower_bound_, abs=1e-9)


def test_a_prior_keeps_separated_successes_finite():
    x = np.linspace(-1.0, 1.0, 40)
    rows = np.column_stack([x, x > 0])
    mixture = fitted(BinomialRegression(prior_weight=2.0), rows)
    assert 0.0 < mixture.coef_[0, 0] < 20.0
    weight = 2.0 * 0.25 * np.var(x)

    def loss(point):
        eta = point[0] + point[1] * x
        penalty = 0.5 * (2.0 * 0.25 * point[0] ** 2 + weight * point[1] ** 2)
        return np.logaddexp(0.0, eta).sum() - (rows[:, 1] * eta).sum() + penalty

    best = minimize(loss, [0.0, 1.0], options={"gtol": 1e-9})
    assert mixture.coef_[0, 0] == pytest.approx(best.x[1], rel=1e-4)


@pytest.mark.parametrize("kind", [Linear, PoissonRegression, BinomialRegression, GammaRegression])
def test_a_strong_prior_leaves_the_mean_alone_and_em_still_climbs(kind):
    y = responses(kind)
    rows = np.column_stack([X, y])
    strong = fitted(kind(prior_weight=1e9), rows)
    np.testing.assert_allclose(strong.coef_, 0.0, atol=1e-3)
    null = fitted(kind(), y[:, None])
    assert strong.intercept_[0] == pytest.approx(null.intercept_[0], abs=0.05)
    plain = fitted(kind(prior_weight=20.0), rows, 2, schedule="plain", tol=1e-9, n_init=1, max_iter=5000)
    assert np.all(np.diff(plain.lower_bounds_) >= 0.0)
    free = fitted(kind(), rows)
    weak = fitted(kind(prior_weight=20.0), rows)
    assert np.linalg.norm(weak.coef_) < np.linalg.norm(free.coef_)


# Wherever a family may stand.


def two_lines(n_rows=3000, seed=0, stays=None):
    random = np.random.default_rng(seed)
    x = random.uniform(0.0, 10.0, n_rows)
    line = random.integers(0, 2, n_rows)
    if stays is not None:
        line = np.cumsum(random.random(n_rows) > stays) % 2
    return np.column_stack([x, np.where(line, 3.0 * x, 20.0 - x) + random.normal(size=n_rows)]), line


def test_regimes_of_a_chain_have_lines_of_their_own():
    rows, line = two_lines(stays=0.98)
    chain = HMM(Linear(), 2, random_state=0).fit(rows)
    np.testing.assert_allclose(np.sort(chain.coef_[:, 0]), [-1.0, 3.0], atol=0.05)
    states = chain.predict(rows)
    right = np.mean(states == line)
    assert max(right, 1.0 - right) > 0.98
    assert np.diagonal(chain.transmat_).min() > 0.95


def test_a_stream_and_online_em_find_the_lines():
    # A stream has one start, which finds the lines of four in five such data.
    rows, _ = two_lines(20_000, seed=1)
    stream = Mixture(Linear(), 2, random_state=1)
    for batch in np.array_split(rows, 20):
        stream.partial_fit(batch)
    np.testing.assert_allclose(np.sort(stream.coef_[:, 0]), [-1.0, 3.0], atol=0.1)
    counts = rows.copy()
    counts[:, 1] = np.random.default_rng(0).poisson(np.exp(0.2 * rows[:, 0]))
    online = Mixture(PoissonRegression(), 1, schedule="online", random_state=0).fit(counts)
    assert online.coef_[0, 0] == pytest.approx(0.2, abs=0.01)


def test_samples_lead_a_fit_of_many_rows_and_files_give_the_same_bits(tmp_path):
    rows, _ = two_lines(40_000)
    schedule = Batch(subsample=Subsample(min_rows=1000, sample_rows=2000))
    whole = Mixture(Linear(), 2, schedule=schedule, random_state=0).fit(rows)
    assert whole.fit_report_.n_rows_subsample > 0
    np.testing.assert_allclose(np.sort(whole.coef_[:, 0]), [-1.0, 3.0], atol=0.05)
    np.save(tmp_path / "rows.npy", rows)
    read = Mixture(Linear(), 2, schedule=schedule, random_state=0).fit(str(tmp_path / "rows.npy"))
    np.testing.assert_array_equal(whole.coef_, read.coef_)


@pytest.mark.parametrize("family", [Linear(), PoissonRegression(exposure=True), GammaRegression()])
def test_files_and_parameters_by_name(tmp_path, family):
    rows = np.column_stack([X, responses(type(family))] + [np.full(len(X), 2.0)] * int(family.has_size))
    mixture = Mixture(family, 2, random_state=0).fit(rows)
    mixture.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.score_samples(rows), mixture.score_samples(rows))
    shown = {name: getattr(mixture, f"{name}_") for name in mixture._model.family.shown}
    by_name = Mixture.from_parameters(family, mixture.weights_, **shown)
    np.testing.assert_allclose(by_name.score_samples(rows), mixture.score_samples(rows), rtol=1e-10, atol=1e-10)
    started = Mixture(family, 2, weights_init=mixture.weights_, params_init=shown, max_iter=0).fit(rows)
    np.testing.assert_allclose(started.coef_, mixture.coef_, rtol=1e-9)


def test_the_number_of_lines_is_found():
    rows, _ = two_lines()
    assert select(rows, Mixture(Linear()), n_components=range(1, 4), random_state=0).best_params_["n_components"] == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [(lambda: Linear(prior_weight=-1.0), "prior_weight must be a finite number, not negative"),
     (lambda: Linear(floor=2.0), "floor must be between 0 and 1"),
     (lambda: PoissonRegression(exposure="yes"), "exposure must be True or False"),
     (lambda: BinomialRegression(trials=3), "trials must be True or False"),
     (lambda: Mixture(PoissonRegression(exposure=True)).fit(X[:, :1]), "from the last two columns, but X has 1"),
     (lambda: Mixture("poisson_regression").fit(X), "must be a count"),
     (lambda: Mixture("binomial_regression").fit(np.full((5, 2), 2.0)), "must be 0 or 1"),
     (lambda: Mixture("gamma_regression").fit(np.zeros((5, 2))), "must be a positive number"),
     (lambda: Mixture(BinomialRegression(trials=True)).fit(np.full((5, 3), 1.5)), "must be an integer from 0 to"),
     (lambda: Mixture(["linear", "normal"]).fit(X[:, :2]), "describes none by itself"),
     (lambda: Mixture.from_parameters("linear", [1.0], coef=[[1.0]], intercept=[0.0]), "give variances, too"),
     (lambda: Mixture.from_parameters("linear", [1.0], coef=[[1.0]], intercept=[0.0], variances=[-1.0]),
      "variances_ must be positive")],
)  # fmt: skip
def test_what_cannot_be_is_an_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_of_a_row_without_any_value_nothing_is_expected():
    rows = np.column_stack([X, responses(PoissonRegression)])
    rows[5], rows[6, 3] = np.nan, np.nan
    mixture = fitted(PoissonRegression(), rows)
    for method in ("mean", "draw"):
        filled = mixture.impute(rows, method=method, random_state=0)
        assert np.isnan(filled[5]).all()
        assert np.isfinite(np.delete(filled, 5, axis=0)).all()
