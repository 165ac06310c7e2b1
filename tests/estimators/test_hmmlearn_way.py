"""hmmlearn's way of working: what its own tests ask for, with fastem's classes; its priors, to the same numbers."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pytest
from hmmlearn import hmm as hmmlearn_hmm
from sklearn.datasets import make_spd_matrix
from sklearn.exceptions import ConvergenceWarning

from fastem import Batch, CategoricalHMM, GaussianHMM, GaussianMixture, Mixture, PoissonHMM

COVARIANCE_TYPES = ["diag", "full", "tied", "spherical"]
N_STATES = N_FEATURES = 3
WEATHER = ([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]])
COUNTS = ([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[3.1, 1.4, 4.5], [1.6, 5.3, 0.1]])


def quietly(fit, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(*arguments, **options)


def shares(rows):
    return rows / rows.sum(axis=-1, keepdims=True)


def covars_of(covariance_type, random, n=N_STATES, d=N_FEATURES):
    if covariance_type == "spherical":
        return (0.1 + 0.1 * random.random_sample(n)) ** 2
    if covariance_type == "diag":
        return (0.1 + 0.1 * random.random_sample((n, d))) ** 2
    matrices = np.array([make_spd_matrix(d, random_state=random) + 0.1 * np.eye(d) for _ in range(n)])
    return matrices[0] if covariance_type == "tied" else matrices


@pytest.fixture
def random():
    return np.random.RandomState(10)


def set_start(hmm, random, covariance_type):
    """As hmmlearn's users do, by hand."""
    hmm.startprob_ = shares(random.rand(N_STATES))
    hmm.transmat_ = shares(random.rand(N_STATES, N_STATES))
    hmm.means_ = random.randint(-20, 20, (N_STATES, N_FEATURES)).astype(float)
    hmm.covars_ = covars_of(covariance_type, random)
    return hmm


def truth_of(random, covariance_type):
    start = set_start(type("Start", (), {})(), random, covariance_type)
    return GaussianHMM.from_parameters(
        start.startprob_, start.transmat_, 20 * start.means_, start.covars_, covariance_type=covariance_type
    )


def require_rising(hmm, X, lengths, n_iter):
    """hmmlearn's own loop: one iteration at a time, from where the last one ended."""
    hmm.n_iter, hmm.init_params = 1, ""
    logliks = []
    for _ in range(n_iter):
        quietly(hmm.fit, X, lengths=lengths)
        logliks.append(hmm.score(X, lengths=lengths))
    assert np.diff(logliks).max() > np.sqrt(np.finfo(float).eps)


# The start alone, and starts that are not given.


@pytest.mark.parametrize("method", ["batch", "incremental"])
def test_no_iterations_leave_the_start(method, random):
    X = random.rand(100, 2)
    hmm = GaussianHMM(2, n_iter=0, random_state=0, schedule=method).fit(X)
    assert (hmm.converged_, hmm.n_iter_, hmm.stop_reason_) == (False, 0, "max_iter")
    assert hmm.lower_bounds_ == [hmm.lower_bound_]
    once = quietly(GaussianHMM(2, n_iter=1, n_init=1, random_state=0, tol=0.0).fit, X)
    assert once.lower_bounds_[0] == pytest.approx(hmm.lower_bound_, rel=1e-12)
    assert once.lower_bound_ > hmm.lower_bound_
    exact = GaussianHMM(2, n_iter=0, random_state=0, covars_prior=None).fit(X)
    assert exact.score(X) == pytest.approx(100 * exact.lower_bound_, rel=1e-12)
    assert "0 iterations" in str(hmm.fit_report_)


@pytest.mark.parametrize("method", ["batch", "incremental", "online"])
def test_no_iterations_leave_the_start_of_a_mixture(method, random):
    X = random.rand(1500, 1)
    start = {"weights_init": [0.25, 0.75], "means_init": [[0.1], [0.7]], "precisions_init": [[[30.0]], [[9.0]]]}
    mixture = GaussianMixture(2, max_iter=0, schedule=method, random_state=0, **start).fit(X)
    np.testing.assert_allclose(mixture.weights_, [0.25, 0.75], rtol=1e-12)
    np.testing.assert_allclose(mixture.means_, [[0.1], [0.7]], rtol=1e-12)
    assert (mixture.converged_, mixture.n_iter_) == (False, 0)
    assert mixture.fit_report_.loglik == pytest.approx(mixture.score(X), rel=1e-12)
    other = Mixture("poisson", 2, max_iter=0, schedule=method, random_state=0).fit(random.poisson(4, 1500))
    assert (other.converged_, other.n_iter_) == (False, 0)
    binned = GaussianMixture(2, max_iter=0, schedule=Batch(bins=100), **start).fit(X)
    np.testing.assert_allclose(binned.means_, [[0.1], [0.7]], rtol=1e-12)


@pytest.mark.parametrize("init_params", ["", "mc", "s"])
def test_what_is_neither_set_nor_named_gets_a_start(init_params, random):
    X = random.rand(200, 2)
    named = GaussianHMM(2, init_params=init_params, random_state=0).fit(X)
    plain = GaussianHMM(2, random_state=0).fit(X)
    np.testing.assert_array_equal(named.means_, plain.means_)
    np.testing.assert_array_equal(named.transmat_, plain.transmat_)


def test_a_start_that_is_overwritten_is_told(random, caplog):
    X = random.randn(100, 3)
    hmm = GaussianHMM(3, random_state=0)
    hmm.startprob_ = shares(random.rand(3))
    words = r"Even though the 'startprob_' attribute is set, it will be overwritten during initialization because"
    with caplog.at_level(logging.WARNING), pytest.warns(UserWarning, match=words):
        hmm.fit(X)
    assert any("will be overwritten" in record.getMessage() for record in caplog.records)
    hmm.fit(X)  # what the last fit left is nobody's start
    hmm.means_ = np.zeros((3, 3))
    with pytest.warns(UserWarning, match="Even though the 'means_' attribute"):
        hmm.fit(X)
    counts = PoissonHMM(2, random_state=0).fit(random.poisson(3, (50, 2)))
    counts.fit(random.poisson(3, (50, 2)))
    counts.lambdas_ = [[1.0, 2.0], [3.0, 4.0]]
    with pytest.warns(UserWarning, match=r"'lambdas_'.*contains 'l'"):
        counts.fit(random.poisson(3, (50, 2)))


# hmmlearn's attributes.


def test_the_monitor_tells_what_hmmlearns_does(random):
    X = np.concatenate([random.randn(150, 1), 4 + random.randn(150, 1)])
    assert GaussianHMM(2).monitor_.history == []
    hmm = GaussianHMM(2, random_state=0, covars_prior=None).fit(X)
    monitor = hmm.monitor_
    assert monitor.converged
    assert (monitor.iter, monitor.tol, monitor.n_iter) == (hmm.n_iter_, 1e-5, 1000)
    assert monitor.history[-1] == pytest.approx(hmm.score(X), rel=1e-12)
    assert np.all(np.diff(monitor.history) >= 0)
    short = quietly(GaussianHMM(2, n_iter=1, random_state=0, tol=0.0).fit, X)
    assert (short.monitor_.iter, short.monitor_.converged) == (1, False)


def test_n_features_may_be_set(random):
    hmm = GaussianHMM(2, random_state=0)
    with pytest.raises(AttributeError, match=r"n_features|number of features"):
        _ = hmm.n_features
    hmm.n_features = 2
    assert hmm.fit(random.rand(50, 2)).n_features == 2
    with pytest.raises(ValueError, match="n_features was set to 2, but X has 3 columns"):
        hmm.fit(random.rand(50, 3))
    assert GaussianHMM(2, random_state=0).fit(random.rand(50, 3)).n_features == 3
    poisson = PoissonHMM.from_parameters(*COUNTS)
    assert poisson.n_features == 3


def test_n_features_of_symbols_are_their_number():
    x = CategoricalHMM.from_parameters(*WEATHER, random_state=0).sample(500)[0]
    model = CategoricalHMM(2, random_state=0)
    require_rising(model, x, [500], 10)
    assert model.n_features == 3
    wider = CategoricalHMM(2, n_features=5, random_state=0)
    require_rising(wider, x, [500], 10)
    assert wider.n_features == 5
    assert wider.emissionprob_.shape == (2, 5)
    set_later = CategoricalHMM(2, random_state=0)
    set_later.n_features = 4
    assert quietly(set_later.fit, x).emissionprob_.shape == (2, 4)
    assert wider.get_params()["n_categories"] == 5
    with pytest.raises(ValueError, match="both name the number of symbols"):
        CategoricalHMM(2, n_features=5, n_categories=3)


SHAPES = [
    ("spherical", [[4.0], [3.0]], 1, [4.0, 3.0]),
    ("spherical", [[[[4.0]]], [[[3.0]]]], 1, [4.0, 3.0]),
    ("spherical", [[4.0, 4.0], [3.0, 3.0]], 2, [4.0, 3.0]),
    ("spherical", [4 * np.eye(2), 3 * np.eye(2)], 2, [4.0, 3.0]),
    ("diag", [4.0, 3.0], 1, [[4.0], [3.0]]),
    ("diag", [[[4.0]], [[3.0]]], 1, [[4.0], [3.0]]),
    ("diag", [np.diag([4.0, 1.0]), np.diag([3.0, 2.0])], 2, [[4.0, 1.0], [3.0, 2.0]]),
    ("tied", [[[4.0, 1.0], [1.0, 2.0]]] * 2, 2, [[4.0, 1.0], [1.0, 2.0]]),
    ("tied", [4.0], 1, [[4.0]]),
    ("full", [[4.0], [3.0]], 1, [[[4.0]], [[3.0]]]),
]


@pytest.mark.parametrize(("covariance_type", "covars", "n_features", "expected"), SHAPES)
def test_covariances_of_any_shape_of_hmmlearn(covariance_type, covars, n_features, expected):
    means = np.array([[3.0] * n_features, [5.0] * n_features])
    made = GaussianHMM.from_parameters(*WEATHER[:2], means, covars, covariance_type=covariance_type)
    np.testing.assert_array_equal(made.covars_, expected)
    hmm = GaussianHMM(2, covariance_type, init_params="", params="", n_iter=0)
    hmm.startprob_, hmm.transmat_ = map(np.array, WEATHER[:2])
    hmm.means_, hmm.covars_ = means, covars
    hmm.fit(made.sample(50, random_state=0)[0])
    np.testing.assert_allclose(hmm.covars_, expected)


@pytest.mark.parametrize(
    ("covariance_type", "covars", "message"),
    [
        ("diag", [[[4.0, 1.0], [1.0, 2.0]]] * 2, "not diagonal.*Use 'full'"),
        ("spherical", [np.diag([4.0, 1.0])] * 2, "differ between features.*Use 'diag'"),
        ("spherical", [[4.0, 1.0]] * 2, "differ between features.*Use 'diag'"),
        ("tied", [np.eye(2), 2 * np.eye(2)], "matrices that differ.*Use 'full'"),
        ("full", [1.0, 2.0, 3.0], r"covars_ must have the shape \(2, 2, 2\)"),
    ],
)
def test_covariances_that_do_not_fit_are_named(covariance_type, covars, message):
    with pytest.raises(ValueError, match=message):
        GaussianHMM.from_parameters(*WEATHER[:2], np.zeros((2, 2)), covars, covariance_type=covariance_type)


# hmmlearn's priors.


def priors_of(covariance_type, kind, random):
    k, d = N_STATES, N_FEATURES
    if kind == "default":
        return {"covars_prior": 1e-2, "covars_weight": 1}
    matrices = covariance_type in ("full", "tied")
    priors = {"means_prior": 1.5, "means_weight": 2.0, "covars_prior": 0.3, "covars_weight": 7}
    if kind == "arrays":
        priors["means_prior"] = random.randn(k, d)
        priors["covars_prior"] = covars_of(covariance_type, random)
        if covariance_type == "spherical":
            priors["covars_prior"] = priors["covars_prior"][:, None] * np.ones(d)
    return {**priors, "covars_weight": 4 + d if matrices else 3}


@pytest.mark.parametrize("kind", ["default", "numbers", "arrays"])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_priors_are_those_of_hmmlearn(covariance_type, kind, random):
    truth = truth_of(random, covariance_type)
    X = truth.sample(300, random_state=1)[0] / 10
    priors = priors_of(covariance_type, kind, random)
    settings = {"n_components": 3, "covariance_type": covariance_type, "init_params": "", "n_iter": 4}
    ours = GaussianHMM(**settings, **priors, tol=0.0, schedule="plain")
    theirs = hmmlearn_hmm.GaussianHMM(**settings, **priors, tol=-np.inf, min_covar=0)
    begin = np.random.RandomState(3)
    means = X[begin.choice(len(X), 3, replace=False)]
    covars = np.ones_like(covars_of(covariance_type, begin)) if covariance_type in ("diag", "spherical") else np.eye(3)
    covars = 9.0 * (np.stack([covars] * 3) if covariance_type == "full" else covars)
    covars = covars[:, None] if covariance_type == "spherical" else covars
    for model in (ours, theirs):
        model.startprob_, model.transmat_ = np.full(3, 1 / 3), np.full((3, 3), 1 / 3)
        model.means_, model.covars_ = means, covars
        quietly(model.fit, X, [100, 200])
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-8, atol=1e-10)
    expected = theirs._covars_[:, 0] if covariance_type == "spherical" else theirs._covars_
    np.testing.assert_allclose(ours.covars_, expected, rtol=1e-8, atol=1e-10)
    assert np.all(np.diff(ours.lower_bounds_) >= 0), "the objective counts the priors"


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_the_objective_with_priors_is_at_a_maximum(covariance_type, random):
    X = truth_of(random, covariance_type).sample(60, random_state=1)[0] / 20
    priors = priors_of(covariance_type, "arrays", random)
    hmm = GaussianHMM(3, covariance_type, random_state=0, tol=1e-10, n_iter=5000, **priors).fit(X)
    model, params = hmm._model, hmm._params
    best, found = hmm.lower_bound_, []
    point = model.to_unconstrained(params)
    n = model.latent.n_unconstrained()
    for step in (1e-3, -1e-3):
        for i in range(n, point.size):
            moved = point.copy()
            moved[i] += step
            at = model.from_unconstrained(moved)
            out = np.empty(len(X))
            model.log_prob(at, X, out)
            found.append((out.sum() + model.log_prior(at, len(X))) / len(X))
    assert max(found) <= best + 1e-8


def test_priors_that_make_no_sense_are_named(random):
    X = random.rand(50, 2)
    for settings, message in (
        ({"means_prior": [[1.0, 2.0, 3.0]], "means_weight": 1.0}, r"means_prior must be a number, or have the shape"),
        ({"covars_prior": [[-1.0, 1.0]]}, "covars_prior must not be negative"),
        ({"covars_prior": -1.0}, "'covars_prior' parameter"),
        ({"covars_prior": [[1.0, 2.0], [2.0, 1.0]], "covariance_type": "full"}, "without negative eigenvalues"),
        ({"covars_prior": [[1.0, 0.5], [0.0, 1.0]], "covariance_type": "tied"}, "symmetric"),
        ({"means_weight": [-1.0, 1.0]}, "means_weight must be a finite number of at least 0"),
        ({"covars_prior": np.nan * np.ones(2)}, "covars_prior must hold finite numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            GaussianHMM(2, **settings).fit(X)


def test_priors_of_what_is_not_learnt_do_not_count(random):
    X = random.rand(80, 3)
    hmm = set_start(GaussianHMM(3, "full", params="st", init_params="", n_iter=3, tol=0.0), random, "full")
    hmm.set_params(means_weight=5.0, covars_prior=3.0, covars_weight=9.0)
    means, covars = hmm.means_.copy(), hmm.covars_.copy()
    quietly(hmm.fit, X)
    np.testing.assert_allclose(hmm.means_, means, rtol=1e-12)
    np.testing.assert_allclose(hmm.covars_, covars, rtol=1e-12)


def test_a_model_with_priors_is_saved_and_read(random, tmp_path):
    import fastem

    X = random.rand(80, 3)
    hmm = quietly(GaussianHMM(2, covars_prior=np.ones(3), means_weight=2.0, random_state=0).fit, X)
    hmm.save(tmp_path / "hmm.npz")
    back = fastem.load(tmp_path / "hmm.npz")
    assert back.score(X) == hmm.score(X)
    np.testing.assert_array_equal(back.covars_, hmm.covars_)


def test_a_state_without_rows_keeps_a_covariance(random):
    """A prior of the mean alone tells nothing of it."""
    X = random.rand(80, 3)
    hmm = GaussianHMM(2, init_params="", means_weight=2.0, n_iter=3, tol=0.0)
    hmm.startprob_, hmm.transmat_ = [1.0, 0.0], [[1.0, 0.0], [0.5, 0.5]]
    hmm.means_, hmm.covars_ = np.zeros((2, 3)), np.ones((2, 3))
    quietly(hmm.fit, X)
    assert np.all(np.isfinite(hmm.covars_))
    assert np.isfinite(hmm.lower_bound_)


def test_few_rows_do_not_end_on_the_floor():
    """Of 20 fits to 12 rows by maximum likelihood 19 end there."""
    ended = {"vanishing": 0, None: 0}
    for seed in range(20):
        X = np.random.default_rng(seed).normal(size=(12, 3))
        for prior in ended:
            hmm = GaussianHMM(3, "full", random_state=seed, covars_prior=prior)
            quietly(hmm.fit, X)
            ended[prior] += any(note.cause == "collapsed" for note in hmm.fit_report_.repairs)
    assert ended["vanishing"] == 0
    assert ended[None] > 10


def test_hmmlearns_zero_variance(random):
    """Its issue 2: a constant column."""
    X = [
        [715.0, 585.0, 0.0, 0.0], [715.0, 520.0, 1.04705811, -60.3696289], [715.0, 455.0, 0.720886230, -52.7055664],
        [715.0, 390.0, -0.457946777, -65.7680605], [715.0, 325.0, -6.43127441, -55.9954834],
        [715.0, 260.0, -2.90063477, -78.022094], [715.0, 195.0, 8.45532227, -70.3294373],
        [715.0, 130.0, 4.09387207, -58.3621216], [715.0, 65.0, -1.21667480, -44.8131409],
    ]  # fmt: skip
    for covariance_type in COVARIANCE_TYPES:
        hmm = quietly(GaussianHMM(3, covariance_type, random_state=0).fit, X)
        assert np.isfinite(hmm.score(X))


# Fitting, as hmmlearn's tests do.


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_fits_of_sequences(covariance_type, random):
    truth = truth_of(random, covariance_type)
    for lengths in ([10] * 10, [3, 4, 5], [10, 8, 1]):
        X = truth.sample(sum(lengths), random_state=random)[0]
        hmm = quietly(GaussianHMM(3, covariance_type, random_state=0).fit, X, lengths=lengths)
        assert np.isfinite(hmm.score(X, lengths))
    with pytest.raises(ValueError, match="lengths sum to 18, but there are 19 rows"):
        hmm.score(X, [10, 8])


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_priors_and_an_iteration_at_a_time(covariance_type, random):
    """Its test of priors: n_iter=0 for the start, then one iteration after the other."""
    truth = truth_of(random, covariance_type)
    lengths = [200] * 10
    X = truth.sample(sum(lengths), random_state=random)[0]
    learn = GaussianHMM(3, covariance_type, init_params="mc", params="stmc", random_state=0)
    learn.startprob_, learn.transmat_ = np.full(3, 1 / 3), np.full((3, 3), 1 / 3)
    learn.n_iter = 0
    learn.fit(X, lengths=lengths)
    np.testing.assert_allclose(learn.startprob_, 1 / 3)
    before = learn.score(X, lengths)
    learn.n_iter, learn.init_params = 1, ""
    for _ in range(20):
        quietly(learn.fit, X, lengths=lengths)
        after = learn.score(X, lengths)
        assert after > before - 1e-6
        before = after
    np.testing.assert_allclose(np.sort(learn.means_.ravel()), np.sort(truth.means_.ravel()), rtol=0.01, atol=0.1)


@pytest.mark.parametrize("params", ["ste", "e"])
def test_symbols_an_iteration_at_a_time(params, random):
    x = CategoricalHMM.from_parameters(*WEATHER, random_state=0).sample(100)[0]
    hmm = CategoricalHMM(2, params=params)
    hmm.startprob_ = shares(random.rand(2))
    hmm.transmat_, hmm.emissionprob_ = shares(random.rand(2, 2)), shares(random.rand(2, 3))
    require_rising(hmm, x, [10] * 10, 5)


@pytest.mark.parametrize("params", ["stl", "l"])
def test_counts_an_iteration_at_a_time(params, random):
    x = PoissonHMM.from_parameters(*COUNTS, random_state=0).sample(100)[0]
    hmm = PoissonHMM(2, params=params)
    hmm.startprob_ = shares(random.rand(2))
    hmm.transmat_, hmm.lambdas_ = shares(random.rand(2, 2)), random.gamma(2.0, size=(2, 3))
    require_rising(hmm, x, [10] * 10, 5)


def test_a_left_right_start_of_ones_own(random):
    transmat = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]])
    X = random.rand(19, 3)
    hmm = GaussianHMM(3, params="mct", init_params="cm", random_state=0)
    hmm.startprob_, hmm.transmat_ = np.array([1.0, 0.0, 0.0]), transmat.copy()
    quietly(hmm.fit, X)
    assert hmm.startprob_.tolist() == [1.0, 0.0, 0.0]
    assert np.all(hmm.transmat_[transmat == 0.0] == 0.0)
    np.testing.assert_allclose(hmm.predict_proba(X).sum(axis=1), 1.0)
    assert np.isfinite(hmm.decode(X, algorithm="viterbi")[0])


def test_an_outlier_does_not_underflow(random):
    X = np.concatenate([random.normal(5 * (i % 2), 1, 100) for i in range(4)])[:, None]
    X[40] = 10000
    hmm = GaussianHMM(2, "spherical", n_iter=100, init_params="")
    hmm.startprob_, hmm.transmat_ = [0.0, 1], [[0.4, 0.6], [0.6, 0.4]]
    hmm.means_, hmm.covars_ = [[0], [5]], [[1], [1]]
    quietly(hmm.fit, X, [400])
    assert np.isfinite(hmm.score(X))


def test_the_textbooks_weather():
    weather = CategoricalHMM.from_parameters(*WEATHER)
    x = [[0], [1], [2]]
    log_prob, states = weather.decode(x, algorithm="viterbi")
    assert round(np.exp(log_prob), 5) == 0.01344
    assert states.tolist() == [1, 0, 0]
    assert weather.decode(x, algorithm="map")[1].tolist() == [1, 0, 0]
    assert weather.predict(x).tolist() == [1, 0, 0]
    expected = [[0.23170303, 0.76829697], [0.62406281, 0.37593719], [0.86397706, 0.13602294]]
    np.testing.assert_allclose(weather.predict_proba(x), expected, atol=1e-6)


def test_samples_go_on_from_a_state(random):
    hmm = truth_of(random, "diag")
    _, states = hmm.sample(10, random_state=random)
    X, following = hmm.sample(10, random_state=random, currstate=states[-1])
    assert X.shape == (10, 3)
    assert following[0] == states[-1]
    stationary = hmm.get_stationary_distribution()
    np.testing.assert_allclose(stationary @ hmm.transmat_, stationary, rtol=1e-10)


def test_criteria_of_several_numbers_of_states(random):
    X = truth_of(random, "diag").sample(500, random_state=random)[0]
    for n_components in (2, 3):
        hmm = quietly(GaussianHMM(n_components, n_iter=50, random_state=random).fit, X)
        assert hmm.aic(X) < hmm.bic(X)
        n_parameters = n_components**2 - 1 + 6 * n_components
        assert hmm.aic(X) == pytest.approx(-2 * hmm.score(X) + 2 * n_parameters)


# Convergence over fits of one iteration each.


@pytest.mark.parametrize("acceleration", ["auto", None])
@pytest.mark.parametrize("max_iter", [1, 3])
def test_a_loop_of_warm_fits_sees_convergence(max_iter, acceleration):
    X = np.concatenate([np.random.default_rng(0).normal(c, 1.0, (300, 2)) for c in (0.0, 4.0)])
    whole = GaussianMixture(2, random_state=0, schedule="plain").fit(X)
    mixture = GaussianMixture(
        2, random_state=0, warm_start=True, max_iter=max_iter, schedule=Batch(acceleration=acceleration)
    )
    n_fits = 0
    while n_fits < 200 and not (n_fits and mixture.converged_):
        quietly(mixture.fit, X)
        n_fits += 1
    assert mixture.converged_
    assert n_fits <= whole.n_iter_ + 2
    assert mixture.lower_bound_ == pytest.approx(whole.lower_bound_, abs=2e-5)
    mixture.fit(X)
    # One iteration, so that lower_bounds_ always shows a difference: nothing is left to gain, as before.
    assert (mixture.converged_, mixture.n_iter_, len(mixture.lower_bounds_)) == (True, 1, 2)


def test_other_data_begin_anew():
    random = np.random.default_rng(0)
    X = np.concatenate([random.normal(c, 1.0, (300, 2)) for c in (0.0, 4.0)])
    mixture = GaussianMixture(2, random_state=0, warm_start=True).fit(X)
    other = mixture.fit(3.0 * X + random.normal(size=X.shape))
    assert other.n_iter_ > 1
    fresh = GaussianMixture(2, random_state=0).fit(X)
    assert fresh.fit(X).n_iter_ == GaussianMixture(2, random_state=0).fit(X).n_iter_ > 0


def test_a_tighter_tolerance_goes_on():
    X = np.random.default_rng(1).normal(size=(400, 1)) + 2.0 * (np.arange(400) % 2)[:, None]
    mixture = GaussianMixture(2, random_state=0, warm_start=True, tol=1e-3).fit(X)
    loose = mixture.lower_bound_
    tight = quietly(mixture.set_params(tol=1e-9, max_iter=5000).fit, X)
    assert tight.n_iter_ > 0
    assert tight.lower_bound_ > loose


def test_a_loop_of_chains_sees_convergence():
    truth = GaussianHMM.from_parameters([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [0.0, 3.0], [1.0, 1.0])
    X = truth.sample(500, random_state=0)[0]
    hmm = quietly(GaussianHMM(2, random_state=0, n_iter=1).fit, X)
    hmm.init_params = ""
    n_fits = 1
    while n_fits < 200 and not hmm.monitor_.converged:
        quietly(hmm.fit, X)
        n_fits += 1
    assert hmm.converged_
    assert n_fits < 60
    whole = GaussianHMM(2, random_state=0, tol=1e-8).fit(X)
    assert hmm.lower_bound_ == pytest.approx(whole.lower_bound_, abs=2e-5)


def test_a_fit_that_ran_out_says_so(random):
    with pytest.warns(ConvergenceWarning, match="in n_iter=1 iterations"):
        GaussianHMM(2, n_iter=1, random_state=0, tol=0.0).fit(random.rand(50, 2))
