"""GMMHMM as its users meet it: agreement with hmmlearn and with a slow twin, starts, priors, files, words of errors."""

from __future__ import annotations

import inspect
import pickle
import warnings

import numpy as np
import pytest
from hmmlearn import hmm as hmmlearn_hmm
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import fastem
from fastem import GMMHMM, Batch, GaussianHMM, Race
from fastem.model import Params
from fastem.passes.units import TRACK_ROWS
from fastem.sources import Chunk
from tests import naive

COVARIANCE_TYPES = ["diag", "full", "tied", "spherical"]
LENGTHS = [400, 1, 250, 349]
START = np.array([0.6, 0.4])
TRANSMAT = np.array([[0.9, 0.1], [0.2, 0.8]])
WEIGHTS = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]])
MEANS = np.array([[[0.0, 0.0], [8.0, 1.0], [4.0, 9.0]], [[4.0, 0.0], [0.0, 5.0], [9.0, 9.0]]])
COVARS = {
    "full": np.array([[[[1.0, 0.3], [0.3, 0.8]]] * 3, [[[0.6, -0.2], [-0.2, 1.1]]] * 3]),
    "tied": np.array([[[1.0, 0.3], [0.3, 0.8]], [[0.6, -0.2], [-0.2, 1.1]]]),
    "diag": np.array([[[1.0, 0.5], [0.7, 0.9], [1.2, 1.0]], [[0.8, 0.8], [1.1, 0.6], [1.0, 1.3]]]),
    "spherical": np.array([[1.0, 0.7, 1.2], [0.8, 1.1, 0.9]]),
}


def truth(kind="diag", **settings):
    return GMMHMM.from_parameters(START, TRANSMAT, WEIGHTS, MEANS, COVARS[kind], covariance_type=kind, **settings)


@pytest.fixture(scope="module")
def X():
    model = truth()
    return np.concatenate([model.sample(n, random_state=n)[0] for n in LENGTHS])


def given(model, kind, shift=0.3):
    """A start that is set as hmmlearn's users do."""
    model.startprob_, model.transmat_, model.weights_ = START.copy(), TRANSMAT.copy(), WEIGHTS.copy()
    model.means_, model.covars_ = MEANS + shift, COVARS[kind].copy()
    return model


def quietly(fit, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(*arguments, **options)


def plain(kind, **settings):
    """Maximum likelihood by plain iterations."""
    return GMMHMM(
        2,
        3,
        covariance_type=kind,
        **{"schedule": "plain", "covars_prior": None, "covariance_floor": 0.0, **settings},
    )


NAMES = ("startprob_", "transmat_", "weights_", "means_", "covars_")


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_hmmlearn_agrees_at_equal_parameters(kind, X):
    ours, theirs = truth(kind), given(hmmlearn_hmm.GMMHMM(2, 3, covariance_type=kind), kind, shift=0.0)
    assert ours.score(X, LENGTHS) == pytest.approx(theirs.score(X, LENGTHS), rel=1e-11)
    np.testing.assert_allclose(ours.predict_proba(X, LENGTHS), theirs.predict_proba(X, LENGTHS), atol=1e-9)
    for algorithm in ("viterbi", "map"):
        log_prob, states = ours.decode(X, LENGTHS, algorithm=algorithm)
        expected, their_states = theirs.decode(X, LENGTHS, algorithm=algorithm)
        assert log_prob == pytest.approx(expected, rel=1e-11)
        np.testing.assert_array_equal(states, their_states)
    log_prob, posterior = ours.score_samples(X, LENGTHS)
    assert log_prob == pytest.approx(ours.score(X, LENGTHS), rel=1e-13)
    np.testing.assert_array_equal(posterior, ours.predict_proba(X, LENGTHS))


@pytest.mark.parametrize("params", ["stmcw", "mcw", "stw", "st"])
@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_hmmlearn_agrees_after_an_iteration_where_it_is_right(kind, params, X):
    """Its covariances are about the old means: the squares of how far these moved are taken off here."""
    settings = {"params": params, "init_params": "", "n_iter": 1}
    ours, theirs = (
        given(model, kind)
        for model in (
            plain(kind, **settings, tol=0.0),
            # Flat, as its default is for one feature less than components alone.
            hmmlearn_hmm.GMMHMM(
                2, 3, covariance_type=kind, **settings, tol=-np.inf, min_covar=0.0,
                covars_prior=-2.0 if kind == "spherical" else None,
            ),
        )
    )  # fmt: skip
    quietly(ours.fit, X, LENGTHS)
    quietly(theirs.fit, X, LENGTHS)
    for name in NAMES[:-1]:
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9, atol=1e-12, err_msg=name)
    moved = ours.means_ - MEANS - 0.3
    share = ours.weights_
    excess = {
        "full": lambda: moved[..., :, None] * moved[..., None, :],
        "tied": lambda: np.einsum("sm,smi,smj->sij", share, moved, moved),
        "diag": lambda: moved**2,
        "spherical": lambda: np.square(moved).mean(axis=2),
    }[kind]()
    if params != "st" and params != "stw":
        np.testing.assert_allclose(ours.covars_, theirs.covars_ - excess, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_an_iteration_is_that_of_a_chain_of_all_components(kind, X):
    hmm = given(plain(kind, init_params="", n_iter=1, tol=0.0), kind)
    quietly(hmm.fit, X, LENGTHS)
    matrices = np.stack(
        [naive.covariance_matrix({"tied": "full"}.get(kind, kind), _components(kind), k, 2) for k in range(6)]
    )
    means = (MEANS + 0.3).reshape(6, 2)
    log_prob = np.array([[naive.log_prob(x, means[k], matrices[k]) for k in range(6)] for x in X])
    latent = truth(kind)._params.latent
    twins = [naive.chain_of_entries(part, latent, np.arange(6)) for part in np.split(log_prob, np.cumsum(LENGTHS)[:-1])]
    resp = np.concatenate([twin.smoothed for twin in twins])
    n = resp.sum(axis=0)
    np.testing.assert_allclose(hmm.weights_, (n.reshape(2, 3).T / n.reshape(2, 3).sum(axis=1)).T, rtol=1e-9)
    new = (resp.T @ X) / n[:, None]
    np.testing.assert_allclose(hmm.means_.reshape(6, 2), new, rtol=1e-9)
    scatter = np.einsum("nk,nki,nkj->kij", resp, X[:, None] - new, X[:, None] - new)
    expected = {
        "full": lambda: (scatter / n[:, None, None]).reshape(2, 3, 2, 2),
        "tied": lambda: scatter.reshape(2, 3, 2, 2).sum(axis=1) / n.reshape(2, 3).sum(axis=1)[:, None, None],
        "diag": lambda: (np.diagonal(scatter, axis1=1, axis2=2) / n[:, None]).reshape(2, 3, 2),
        "spherical": lambda: (np.trace(scatter, axis1=1, axis2=2) / n / 2).reshape(2, 3),
    }[kind]()
    np.testing.assert_allclose(hmm.covars_, expected, rtol=1e-9)
    transitions = np.sum([twin.transitions for twin in twins], axis=0).reshape(2, 3, 2, 3).sum(axis=(1, 3))
    np.testing.assert_allclose(hmm.transmat_, transitions / transitions.sum(axis=1, keepdims=True), rtol=1e-9)


def _components(kind):
    covars = COVARS[kind]
    return np.repeat(covars, 3, axis=0) if kind == "tied" else covars.reshape(6, *covars.shape[2:])


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_a_fit_without_thought_finds_the_truth(kind, X):
    hmm = GMMHMM(2, 3, covariance_type=kind, random_state=0).fit(X, LENGTHS)
    assert hmm.converged_
    assert np.diff(hmm.lower_bounds_).min() >= 0
    assert hmm.score(X, LENGTHS) > (-np.inf if kind == "tied" else truth(kind).score(X, LENGTHS))
    state = 0 if np.abs(hmm.means_[0] - [0.0, 0.0]).sum(axis=1).min() < 1.0 else 1
    for found, expected in zip((hmm.means_[state], hmm.means_[1 - state]), MEANS, strict=True):
        distance = np.abs(found[:, None] - expected).sum(axis=2)
        assert distance.min(axis=0).max() < 0.8
    assert hmm.transmat_[state, state] == pytest.approx(0.9, abs=0.05)
    assert all(np.all(np.isfinite(getattr(hmm, name))) for name in NAMES)
    np.testing.assert_allclose(hmm.weights_.sum(axis=1), 1.0)


@pytest.mark.parametrize("acceleration", [None, "auto", "squarem"])
@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_the_likelihood_never_falls_however_poor_the_start(kind, acceleration):
    """More components than there are clusters, rows that agree, and one far away: hmmlearn's falls, or is NaN."""
    random = np.random.default_rng(1)
    X = np.concatenate([random.normal(size=(60, 2)), np.zeros((8, 2)), [[50.0, 50.0]], random.normal(3, 1, (40, 2))])
    hmm = GMMHMM(
        3,
        3,
        covariance_type=kind,
        search=Race(init="random"),
        random_state=0,
        schedule=Batch(acceleration=acceleration),
        n_iter=40,
        tol=0.0,
    )
    quietly(hmm.fit, X)
    history = np.array(hmm.lower_bounds_)
    assert np.diff(history).min() >= 0
    assert all(np.all(np.isfinite(getattr(hmm, name))) for name in NAMES)


def test_states_with_one_component_are_a_gaussian_chain(X):
    settings = {
        "random_state": 0,
        "covars_prior": None,
        "schedule": "plain",
        "n_iter": 20,
        "tol": 0.0,
        "params": "stmc",
    }
    start = {"startprob_": START, "transmat_": TRANSMAT, "means_": MEANS[:, 0]}
    mixed, single = GMMHMM(2, 1, init_params="", **settings), GaussianHMM(2, init_params="", **settings)
    for name, value in start.items():
        setattr(single, name, value)
        setattr(mixed, name, value[:, None] if name == "means_" else value)
    mixed.weights_, mixed.covars_, single.covars_ = np.ones((2, 1)), np.ones((2, 1, 2)), np.ones((2, 2))
    quietly(mixed.fit, X, LENGTHS)
    quietly(single.fit, X, LENGTHS)
    np.testing.assert_allclose(mixed.means_[:, 0], single.means_, rtol=1e-9)
    np.testing.assert_allclose(mixed.transmat_, single.transmat_, rtol=1e-9)
    assert mixed.score(X, LENGTHS) == pytest.approx(single.score(X, LENGTHS), rel=1e-12)


@pytest.mark.parametrize("letter", "stmcw")
@pytest.mark.parametrize("kind", ["diag", "tied"])
def test_what_params_does_not_name_stays(letter, kind, X):
    hmm = given(plain(kind, init_params="", params="stmcw".replace(letter, ""), n_iter=3, tol=0.0), kind)
    quietly(hmm.fit, X, LENGTHS)
    names = dict(zip("stwmc", NAMES, strict=True))
    start = given(plain(kind), kind)
    for other, name in names.items():
        same = np.allclose(getattr(hmm, name), getattr(start, name), rtol=1e-10)
        assert same == (other == letter), name


def test_a_left_right_chain():
    random = np.random.default_rng(0)
    means = np.array([[0.0, 6.0], [3.0, 9.0], [0.0, 12.0]])
    lengths = np.full(40, 60)
    X = np.concatenate([random.choice(means[i // 20]) + random.normal(size=(1, 1)) for _ in lengths for i in range(60)])
    hmm = GMMHMM(3, 2, transmat_prior="left-right", random_state=0).fit(X, lengths)
    assert hmm.startprob_.tolist() == [1.0, 0.0, 0.0]
    assert np.all(np.tril(hmm.transmat_, -1) == 0.0)
    np.testing.assert_allclose(np.sort(hmm.means_[..., 0], axis=1), means, atol=0.5)


def test_a_sequence_of_weight_two_is_the_sequence_twice(X):
    start = {"init_params": "", "n_iter": 3, "tol": 0.0}
    one, twice = (given(plain("diag", **start), "diag") for _ in range(2))
    quietly(one.fit, X, LENGTHS, sample_weight=[2.0, 1.0, 1.0, 1.0])
    quietly(twice.fit, np.concatenate([X[:400], X]), [400, *LENGTHS])
    for name in NAMES:
        np.testing.assert_allclose(getattr(one, name), getattr(twice, name), rtol=1e-9)


def test_chunks_give_the_same_bits(X):
    long = np.concatenate([X] * 20)
    lengths = [len(X)] * 20
    whole = quietly(GMMHMM(2, 3, random_state=0, n_iter=3).fit, long, lengths)
    pieces = quietly(GMMHMM(2, 3, random_state=0, n_iter=3, memory_limit=TRACK_ROWS * 64).fit, long, lengths)
    for name in NAMES:
        np.testing.assert_array_equal(getattr(whole, name), getattr(pieces, name))


def test_incremental_learning_reaches_the_same_optimum(X):
    start = {"init_params": "", "n_iter": 300, "tol": 1e-9}
    batch = given(GMMHMM(2, 3, **start), "diag").fit(X, LENGTHS)
    blocks = given(GMMHMM(2, 3, schedule="incremental", **start), "diag").fit(X, LENGTHS)
    assert blocks.lower_bound_ == pytest.approx(batch.lower_bound_, abs=1e-6)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_a_saved_model_is_the_model(kind, X, tmp_path):
    prior = {"weights_prior": [2.0, 1.5, 1.0], "means_weight": 1.0}
    hmm = quietly(GMMHMM(2, 3, covariance_type=kind, random_state=0, n_iter=5, **prior).fit, X, LENGTHS)
    hmm.save(tmp_path / "hmm.npz")
    for other in (fastem.load(tmp_path / "hmm.npz"), pickle.loads(pickle.dumps(hmm))):
        for name in NAMES:
            np.testing.assert_array_equal(getattr(other, name), getattr(hmm, name))
        np.testing.assert_array_equal(other.predict_proba(X, LENGTHS), hmm.predict_proba(X, LENGTHS))
        assert other.n_mix == 3
        assert other.bic(X, LENGTHS) == hmm.bic(X, LENGTHS)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_parameters_are_counted(kind, X):
    hmm = truth(kind)
    n_covariance = {"full": 6 * 3, "tied": 2 * 3, "diag": 6 * 2, "spherical": 6}[kind]
    n_parameters = 1 + 2 * 1 + 2 * 2 + 6 * 2 + n_covariance
    assert hmm.aic(X, LENGTHS) == pytest.approx(-2 * hmm.score(X, LENGTHS) + 2 * n_parameters, rel=1e-12)


def test_samples_come_from_the_states():
    hmm = truth()
    X, states = hmm.sample(40_000, random_state=0)
    for state in (0, 1):
        mean, covariance = X[states == state].mean(axis=0), np.cov(X[states == state].T, bias=True)
        marginals = [hmm.marginal(column) for column in (0, 1)]
        np.testing.assert_allclose(mean, WEIGHTS[state] @ MEANS[state], atol=0.1)
        np.testing.assert_allclose(mean, [m.means[state] for m in marginals], atol=0.1)
        np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [m.sds[state] for m in marginals], atol=0.1)
    grid = np.linspace(-30, 40, 7001)
    np.testing.assert_allclose(hmm.marginal(0).density(grid).sum(axis=1) * 0.01, 1.0, atol=1e-9)
    assert hmm.sample(3, random_state=0, currstate=1)[1][0] == 1


PRIORS = {
    "full": {"covars_prior": np.eye(2), "covars_weight": 5.0},
    "tied": {"covars_prior": np.eye(2), "covars_weight": 5.0},
    "diag": {"covars_prior": 2.0, "covars_weight": 1.5},
    "spherical": {"covars_prior": 2.0, "covars_weight": 1.5},
}


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_priors_are_those_of_hmmlearn(kind, X):
    """Of weights, means and covariances; with means that stay, so that hmmlearn's covariances are right."""
    settings = {
        "init_params": "", "n_iter": 1, "weights_prior": [2.0, 3.0, 1.0], "means_prior": 1.0, "means_weight": 4.0,
        **PRIORS[kind],
    }  # fmt: skip
    for params in ("mw", "c"):
        ours = given(plain(kind, params=params, tol=0.0, **settings), kind)
        theirs = given(hmmlearn_hmm.GMMHMM(2, 3, covariance_type=kind, params=params, tol=-np.inf, **settings), kind)
        if params == "c":
            # What is not learnt has no prior: hmmlearn's of the means goes into covariances all the same.
            ours.means_weight = theirs.means_weight = 0.0
        quietly(ours.fit, X, LENGTHS)
        quietly(theirs.fit, X, LENGTHS)
        for name in {"mw": ("weights_", "means_"), "c": ("covars_",)}[params]:
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_the_objective_with_priors_never_falls(kind, X):
    hmm = GMMHMM(
        2, 3, covariance_type=kind, weights_prior=2.0, means_prior=1.0, means_weight=4.0, random_state=0, n_iter=30,
        startprob_prior=2.0, transmat_prior=3.0, schedule="plain", tol=0.0, **PRIORS[kind],
    )  # fmt: skip
    quietly(hmm.fit, X, LENGTHS)
    assert np.diff(hmm.lower_bounds_).min() >= 0
    assert hmm.stop_reason_ != "objective_decreased"
    # At a maximum, small changes lower what is maximised.
    hmm.set_params(n_iter=3000, tol=1e-12, schedule="batch")
    quietly(hmm.fit, X, LENGTHS)
    model, params = hmm._model, hmm._params
    chunk = Chunk(X, None, 0, np.array(LENGTHS))
    best = model.with_prior(model.e_step(params, chunk), params).objective
    point, random = model.to_unconstrained(params), np.random.default_rng(0)
    for _ in range(5):
        other = model.from_unconstrained(point + 1e-3 * random.normal(size=point.size))
        assert model.with_prior(model.e_step(other, chunk), other).objective < best


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_coordinates_give_the_parameters_back(kind):
    model, params = truth(kind)._model, truth(kind)._params
    again = model.from_unconstrained(model.to_unconstrained(params))
    for one, other in zip(again.family, params.family, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    assert isinstance(again, Params)


def test_every_parameter_is_stored_and_cloned():
    hmm = GMMHMM(4, 2, covariance_type="full", n_iter=7)
    assert set(hmm.get_params(deep=False)) == set(inspect.signature(GMMHMM).parameters)
    assert clone(hmm).get_params() == hmm.get_params()


CHANGES = [
    {"n_mix": 2}, {"covariance_floor": 0.5}, {"covars_prior": None}, {"weights_prior": 30.0},
    {"means_prior": 5.0, "means_weight": 20.0}, {"means_weight": 20.0}, {"covars_prior": 50.0}, {"covars_weight": 50.0},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_every_parameter_of_its_own_changes_the_fit(change, X):
    name, *others = change
    common = {"n_iter": 5, "tol": 0.0, "random_state": 0, **{other: change[other] for other in others}}
    base = quietly(GMMHMM(2, 3, **common).fit, X, LENGTHS)
    other = quietly(GMMHMM(2, **{"n_mix": 3, **common, name: change[name]}).fit, X, LENGTHS)
    assert base.score(X, LENGTHS) != other.score(X, LENGTHS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_mix": 0}, "'n_mix' parameter"),
        ({"covariance_type": "round"}, "covariance_type"),
        ({"weights_prior": [0.5, 1.0, 1.0]}, "weights_prior must be a finite number of at least 1"),
        ({"weights_prior": np.ones((3, 3))}, "weights_prior must be a number, or have the shape"),
        ({"means_weight": [-1.0, 1.0, 1.0]}, "means_weight must be a finite number of at least 0"),
        ({"means_weight": 1.0, "means_prior": np.ones(3)}, "means_prior must be a number, or have the shape"),
        ({"covars_prior": np.ones(2)}, "covars_prior must be a number for"),
        ({"covars_prior": -2.0}, "covars_prior must be a finite number of at least -1.5"),
        ({"covars_weight": -2.0}, "covars_weight must not be negative"),
        ({"covariance_type": "full", "covars_weight": -5.0}, "covars_weight must be a finite number of at least -4"),
        ({"covariance_type": "full", "covars_prior": -1.0}, "covars_prior must not be negative"),
        ({"params": "stx"}, "letters"),
        ({"weights_prior": [np.nan, 1.0, 1.0]}, "weights_prior must hold finite numbers"),
        ({"means_prior": np.nan}, "means_prior must hold finite numbers"),
        ({"means_prior": [0.0, np.inf]}, "means_prior must hold finite numbers"),
        ({"means_weight": [np.inf, 1.0, 1.0]}, "means_weight must hold finite numbers"),
        ({"covars_prior": np.nan}, "covars_prior must be a finite number of at least -1.5"),
        ({"covars_prior": np.inf}, "covars_prior must be a finite number of at least -1.5"),
        ({"covariance_type": "tied", "covars_weight": np.inf}, "covars_weight must be a finite number of at least"),
        ({"covars_weight": np.nan}, "covars_weight must hold finite numbers"),
        ({"startprob_prior": [np.inf, 1.0]}, "startprob_prior must be a finite number of at least 1"),
        ({"transmat_prior": [[np.inf, 1.0], [1.0, 1.0]]}, "transmat_prior must be a finite number of at least 1"),
    ],
)
def test_what_cannot_be_used_is_named(settings, message, X):
    with pytest.raises(ValueError, match=message):
        GMMHMM(2, **{"n_mix": 3, **settings}).fit(X, LENGTHS)


def test_parameters_that_do_not_fit_are_named(X):
    with pytest.raises(ValueError, match=r"means must have the shape \(n_components, n_mix, n_features\)"):
        GMMHMM.from_parameters(START, TRANSMAT, WEIGHTS, MEANS[0], COVARS["diag"])
    with pytest.raises(ValueError, match="weights_ must have the shape"):
        GMMHMM.from_parameters(START, TRANSMAT, 2 * WEIGHTS, MEANS, COVARS["diag"])
    with pytest.raises(ValueError, match="covars_ must have the shape"):
        GMMHMM.from_parameters(START, TRANSMAT, WEIGHTS, MEANS, COVARS["spherical"])
    hmm = truth()
    hmm.means_ = MEANS[:, :2]
    with pytest.raises(ValueError, match="n_mix=3"):
        hmm.score(X)
    hmm = truth()
    hmm.weights_ = np.full((2, 3), 1 / 3)
    assert hmm.score(X, LENGTHS) != truth().score(X, LENGTHS)
    with pytest.raises(ValueError, match=r"n_components \* n_mix=40 is larger than n_samples=30"):
        quietly(GMMHMM(20, 2).fit, X[:30])


def test_a_fit_that_ran_out_says_so(X):
    with pytest.warns(ConvergenceWarning, match="n_iter=2"):
        GMMHMM(2, 3, n_iter=2, random_state=0).fit(X, LENGTHS)


def test_pictures_show_the_means_of_states(X):
    lines = truth().plot_states(X[:400]).get_lines()
    found = set(np.round(lines[1].get_ydata(), 6))
    assert found <= set(np.round(np.einsum("sm,sm->s", WEIGHTS, MEANS[..., 0]), 6))


def test_select_chooses_the_number_of_states(X):
    selection = fastem.select(
        X, GMMHMM(n_mix=3), n_components=range(1, 4), covariance_types="diag", lengths=LENGTHS, random_state=0
    )
    assert selection.best_params_ == {"n_components": 2, "covariance_type": "diag"}
    assert selection.best_estimator_.means_.shape == (2, 3, 2)
    loglik = [row["loglik"] for row in selection.table]
    assert np.diff(loglik).min() > 0
