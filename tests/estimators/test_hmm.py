"""GaussianHMM as its users meet it: agreement with hmmlearn, starts, structures, streams, files, words of errors."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
import warnings

import numba
import numpy as np
import pandas as pd
import pytest
from hmmlearn import hmm as hmmlearn_hmm
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import fastem
from fastem import (
    HMM,
    Batch,
    CategoricalHMM,
    Checkpoint,
    GaussianHMM,
    Online,
    PoissonHMM,
    Race,
    Restarts,
    Subsample,
    open_source,
)
from fastem.passes.units import TRACK_ROWS, TRACKS
from fastem.sources import ArraySource, SequenceSource, SourceError
from tests.cases import memory_of
from tests.conftest import ROOT

COVARIANCE_TYPES = ["diag", "full", "tied", "spherical"]
TRUTH = {
    "startprob": [0.5, 0.3, 0.2],
    "transmat": [[0.9, 0.06, 0.04], [0.1, 0.85, 0.05], [0.02, 0.08, 0.9]],
    "means": [[0.0, 0.0], [3.0, 1.0], [-2.0, 4.0]],
    "covars": [[1.0, 0.5], [0.7, 1.2], [1.5, 1.0]],
}
LENGTHS = [400, 1, 250, 700, 49]


@pytest.fixture(scope="module")
def truth():
    return GaussianHMM.from_parameters(**TRUTH)


@pytest.fixture(scope="module")
def X(truth):
    return np.concatenate([truth.sample(n, random_state=n)[0] for n in LENGTHS])


def fitted(X, lengths=LENGTHS, **settings):
    return GaussianHMM(**{"n_components": 3, "random_state": 0, **settings}).fit(X, lengths)


def quietly(fit, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(*arguments, **options)


def assert_same_model(a, b, **tolerance):
    for name in ("startprob_", "transmat_", "means_", "covars_"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), **(tolerance or {"rtol": 0}), err_msg=name)


def given(model, covariance_type):
    """A start for 2 features and 3 states, set as hmmlearn's users do."""
    model.startprob_ = np.array([0.5, 0.3, 0.2])
    model.transmat_ = np.array([[0.6, 0.2, 0.2], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    model.means_ = np.array([[-1.0, 0.0], [2.0, 2.0], [0.0, 3.0]])
    unit = np.eye(2)
    model.covars_ = {"diag": np.ones((3, 2)), "full": np.stack([unit] * 3), "tied": unit, "spherical": np.ones(3)}[
        covariance_type
    ]
    return model


@pytest.mark.parametrize("params", ["stmc", "st", "mc", "tm"])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_hmmlearn_agrees_after_the_same_iterations(covariance_type, params, X):
    settings = {"n_components": 3, "covariance_type": covariance_type, "init_params": "", "params": params, "n_iter": 5}
    ours = given(GaussianHMM(**settings, tol=0.0, schedule="plain", covars_prior=None), covariance_type)
    # Without its priors; the weights are such that it divides by counts.
    weight = 1 if covariance_type in ("diag", "spherical") else 0
    theirs = given(
        hmmlearn_hmm.GaussianHMM(**settings, tol=-np.inf, min_covar=0, covars_prior=0, covars_weight=weight),
        covariance_type,
    )
    quietly(ours.fit, X, LENGTHS)
    quietly(theirs.fit, X, LENGTHS)
    for name in ("startprob_", "transmat_", "means_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9, atol=1e-12, err_msg=name)
    covars = theirs._covars_.reshape(3, -1)[:, 0] if covariance_type == "spherical" else theirs._covars_
    np.testing.assert_allclose(ours.covars_, covars.reshape(ours.covars_.shape), rtol=1e-9, atol=1e-12)
    if params == "stmc":
        assert ours.score(X, LENGTHS) == pytest.approx(theirs.score(X, LENGTHS), rel=1e-11)
        np.testing.assert_allclose(ours.predict_proba(X, LENGTHS), theirs.predict_proba(X, LENGTHS), atol=1e-10)
        for algorithm in ("viterbi", "map"):
            log_prob, states = ours.decode(X, LENGTHS, algorithm=algorithm)
            expected, their_states = theirs.decode(X, LENGTHS, algorithm=algorithm)
            assert log_prob == pytest.approx(expected, rel=1e-11)
            np.testing.assert_array_equal(states, their_states)
        log_prob, posterior = ours.score_samples(X, LENGTHS)
        assert log_prob == pytest.approx(theirs.score_samples(X, LENGTHS)[0], rel=1e-11)
        np.testing.assert_array_equal(posterior, ours.predict_proba(X, LENGTHS))
        np.testing.assert_allclose(ours.get_stationary_distribution(), theirs.get_stationary_distribution(), rtol=1e-9)
        assert ours.aic(X, LENGTHS) == pytest.approx(theirs.aic(X, LENGTHS), rel=1e-11)
        assert ours.bic(X, LENGTHS) == pytest.approx(theirs.bic(X, LENGTHS), rel=1e-11)


def test_a_fit_without_thought_finds_the_truth(truth, X):
    found = fitted(X, covars_prior=None)
    assert found.converged_
    order = np.argsort(found.means_[:, 0])
    expected = np.argsort(truth.means_[:, 0])
    np.testing.assert_allclose(found.means_[order], truth.means_[expected], atol=0.25)
    np.testing.assert_allclose(found.transmat_[order][:, order], truth.transmat_[expected][:, expected], atol=0.06)
    assert found.lower_bound_ * len(X) == pytest.approx(found.score(X, LENGTHS), rel=1e-10)
    assert found.score(X, LENGTHS) > truth.score(X, LENGTHS)
    assert np.diff(found.lower_bounds_).min() >= 0
    assert fitted(X).score(X, LENGTHS) == pytest.approx(found.score(X, LENGTHS), abs=0.01), "the penalty hardly counts"
    assert found.log_prob(X, LENGTHS).sum() == pytest.approx(found.score(X, LENGTHS), rel=1e-12)


def test_more_starts_are_no_worse(X):
    settings = {"search": Restarts(init="random"), "n_iter": 15}
    single, several = (quietly(fitted, X, n_init=n, **settings) for n in (1, 4))
    assert len(several.fit_report_.runs) == 4
    assert several.lower_bound_ >= single.lower_bound_
    assert several.lower_bound_ == max(run.objective for run in several.fit_report_.runs)


def rings(lengths, seed=0):
    """Six states that follow each other around two rings, whose observations hardly tell them apart."""
    transmat = 0.85 * np.eye(6) + 0.15 * np.array([np.roll(np.eye(6)[k // 3 * 3], k % 3 + 1) for k in range(6)])
    transmat = 0.98 * transmat + 0.02 / 6
    means = np.array([[0.0], [4.0], [8.0], [2.0], [6.0], [10.0]])
    truth = GaussianHMM.from_parameters(
        np.full(6, 1 / 6), transmat / transmat.sum(1, keepdims=True), means, np.ones((6, 1))
    )
    return np.concatenate([truth.sample(n, random_state=seed + i)[0] for i, n in enumerate(lengths)])


@pytest.mark.parametrize("lengths", [[3000], [100] * 30])
def test_a_race_makes_one_start_of_several(lengths, tmp_path):
    X = rings(lengths)
    settings = {"n_components": 6, "random_state": 2, "n_iter": 3000}
    race, restarts = Race(init="random_from_data"), Restarts(init="random_from_data")
    single, raced, restarted = (
        GaussianHMM(**settings, **more).fit(X, lengths)
        for more in ({"search": race}, {"n_init": 4, "search": race}, {"n_init": 4, "search": restarts})
    )
    assert len(raced.fit_report_.runs) == 1
    (note,) = raced.fit_report_.races
    assert [len(heat) for heat in note.heats] == [4, 2]
    assert note.n_rows == 3000
    assert raced.lower_bound_ > single.lower_bound_ + 0.05
    assert raced.lower_bound_ > restarted.lower_bound_ - 1e-3
    np.save(tmp_path / "rows.npy", X)
    from_file = GaussianHMM(**settings, n_init=4, search=race).fit(tmp_path / "rows.npy", lengths)
    assert from_file.fit_report_.races == raced.fit_report_.races
    np.testing.assert_array_equal(from_file.means_, raced.means_)


def test_an_excerpt_has_whole_sequences_or_pieces_of_long_ones():
    lengths = np.array([5, 2500, 1, 40, 1000])
    X = np.arange(lengths.sum(), dtype=float)[:, None]
    source = SequenceSource(ArraySource(X), lengths)
    for longest, expected in ((None, {5, 2500, 1, 40, 1000}), (1000, {5, 1000, 500, 1, 40})):
        excerpt = source.excerpt(1600, longest, np.random.default_rng(0))
        assert set(excerpt.lengths.tolist()) <= expected
        assert excerpt.n_rows <= 1600 or excerpt.lengths.size == 1
        begins = np.cumsum(excerpt.lengths) - excerpt.lengths
        allowed = np.cumsum(lengths) - lengths if longest is None else [0, 5, 1005, 2005, 2505, 2506, 2546]
        rows = next(excerpt.chunks()).X[:, 0]
        assert set(rows[begins].astype(int).tolist()) <= set(np.asarray(allowed).tolist())
        for begin, n in zip(begins, excerpt.lengths, strict=True):
            np.testing.assert_array_equal(np.diff(rows[begin : begin + n]), 1.0)
    everything = source.excerpt(10**6, 1000, np.random.default_rng(0))
    assert everything.lengths.tolist() == [5, 1000, 1000, 500, 1, 40, 1000]
    assert source.excerpt(1, None, np.random.default_rng(0)).lengths.size == 1


def test_a_race_leaves_out_sequences_without_weight():
    X = rings([50] * 40)
    weight = np.zeros(40)
    weight[[3, 17, 31]] = 1.0
    settings = {"n_components": 2, "random_state": 0, "n_init": 4}
    weighted = GaussianHMM(**settings).fit(X, [50] * 40, sample_weight=weight)
    assert weighted.fit_report_.races[0].n_rows == 150
    rows = np.repeat(weight > 0, 50)
    alone = GaussianHMM(**settings).fit(X[rows], [50] * 3)
    assert weighted.score(X[rows], [50] * 3) == pytest.approx(alone.score(X[rows], [50] * 3), abs=1e-3)
    pieces = SequenceSource(ArraySource(X, rows.astype(float)), np.array([50] * 40)).excerpt(
        70, 20, np.random.default_rng(0)
    )
    assert next(pieces.chunks()).weight.min() == 1.0


def test_left_right_chains_race_on_whole_sequences(X):
    hmm = quietly(fitted, X, transmat_prior="left-right", n_init=3, n_iter=200)
    assert hmm.fit_report_.races[0].n_rows == len(X)
    assert len(set(hmm.fit_report_.races[0].heats[0])) == 3, "starts differ"
    assert np.all(np.tril(hmm.transmat_, -1) == 0)
    assert np.isfinite(hmm.lower_bound_)


def test_filtered_probabilities_and_the_next_state(truth, X):
    filtered = truth.filter_proba(X, LENGTHS)
    np.testing.assert_allclose(filtered.sum(axis=1), 1.0, rtol=1e-12)
    cut = 230
    np.testing.assert_allclose(filtered[:cut], truth.filter_proba(X[:cut]), rtol=1e-12)
    np.testing.assert_allclose(filtered[cut - 1], truth.predict_proba(X[:cut])[-1], rtol=1e-10, atol=1e-15)
    following = truth.predict_next_proba(X[:cut])
    np.testing.assert_allclose(following, [filtered[cut - 1] @ truth.transmat_], rtol=1e-12)
    assert truth.predict_next_proba(X, LENGTHS).shape == (len(LENGTHS), 3)


@pytest.mark.parametrize("params", ["", "s", "tmc", "stm", "stc"])
@pytest.mark.parametrize("covariance_type", ["diag", "tied"])
def test_what_params_does_not_name_stays(params, covariance_type, X):
    held = given(GaussianHMM(3, covariance_type, init_params="", params=params, n_iter=4, tol=0.0), covariance_type)
    before = {name: np.array(getattr(held, name)) for name in ("startprob_", "transmat_", "means_", "covars_")}
    quietly(held.fit, X, LENGTHS)
    for letter, name in zip("stmc", before, strict=True):
        stayed = np.allclose(getattr(held, name), before[name], rtol=1e-12, atol=0)
        assert stayed == (letter not in params), name


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_covariances_about_means_that_stay(covariance_type, X):
    """hmmlearn forgets the means here, so the oracle is the definition."""
    settings = {"init_params": "", "n_iter": 1, "covars_prior": None}
    hmm = given(GaussianHMM(3, covariance_type, params="c", tol=0.0, **settings), covariance_type)
    resp = given(GaussianHMM(3, covariance_type, params="", **settings), covariance_type)
    resp = quietly(resp.fit, X, LENGTHS).predict_proba(X, LENGTHS)
    quietly(hmm.fit, X, LENGTHS)
    offsets = X[:, None, :] - hmm.means_
    scatter = np.einsum("nk,nkd,nke->kde", resp, offsets, offsets)
    full = scatter / resp.sum(axis=0)[:, None, None]
    expected = {
        "full": full,
        "tied": scatter.sum(axis=0) / len(X),
        "diag": np.diagonal(full, axis1=1, axis2=2),
        "spherical": np.trace(full, axis1=1, axis2=2) / 2,
    }[covariance_type]
    np.testing.assert_allclose(hmm.covars_, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", ["batch", "incremental"])
def test_a_left_right_chain(method):
    truth = GaussianHMM.from_parameters(
        [1, 0, 0], [[0.95, 0.05, 0], [0, 0.9, 0.1], [0, 0, 1]], [0.0, 4.0, 1.0], [1.0, 1.0, 1.0]
    )
    lengths = [80] * 30
    X = np.concatenate([truth.sample(80, random_state=n)[0] for n in range(30)])
    hmm = GaussianHMM(3, schedule=method, transmat_prior="left-right", random_state=0).fit(X, lengths)
    assert np.all(hmm.transmat_[np.tril_indices(3, -1)] == 0.0)
    assert hmm.startprob_.tolist() == [1.0, 0.0, 0.0]
    np.testing.assert_allclose(hmm.means_.ravel(), [0.0, 4.0, 1.0], atol=0.2)
    for states in np.split(hmm.predict(X, lengths), 30):
        assert np.all(np.diff(states) >= 0)
    assert hmm._model.n_parameters() == 3 + 0 + 6
    back = pickle.loads(pickle.dumps(hmm))
    assert back.bic(X, lengths) == hmm.bic(X, lengths)


def test_zeros_of_a_given_matrix_stay_zeros(X):
    hmm = GaussianHMM(3, init_params="mc", random_state=0, n_iter=5, tol=0.0)
    hmm.startprob_ = np.array([1.0, 0.0, 0.0])
    hmm.transmat_ = np.array([[0.8, 0.2, 0.0], [0.0, 0.8, 0.2], [0.2, 0.0, 0.8]])
    quietly(hmm.fit, X, LENGTHS)
    assert np.all((hmm.transmat_ > 0) == [[True, True, False], [False, True, True], [True, False, True]])
    assert hmm.startprob_.tolist() == [1.0, 0.0, 0.0]
    assert hmm._model.n_parameters() == 0 + 3 + 12


def test_a_stationary_start(X):
    hmm = fitted(X, startprob_prior="stationary")
    np.testing.assert_allclose(hmm.startprob_, hmm.get_stationary_distribution(), atol=1e-12)
    assert np.diff(hmm.lower_bounds_).min() >= 0
    assert hmm._model.n_parameters() == 6 + 12
    assert hmm.lower_bound_ < fitted(X).lower_bound_


def test_a_sequence_of_weight_two_is_the_sequence_twice(X):
    start = {"init_params": "", "n_iter": 5, "tol": 0.0, "covariance_type": "diag"}
    parts = np.split(X, np.cumsum(LENGTHS)[:-1])
    weighted, repeated = given(GaussianHMM(3, **start), "diag"), given(GaussianHMM(3, **start), "diag")
    quietly(weighted.fit, X, LENGTHS, sample_weight=[2, 0, 1, 1, 3])
    taken = [0, 0, 2, 3, 4, 4, 4]
    quietly(repeated.fit, np.concatenate([parts[i] for i in taken]), [LENGTHS[i] for i in taken])
    assert_same_model(weighted, repeated, rtol=1e-10)
    # Those of a source count in scores, too.
    source = open_source(X, weight=np.repeat([2.0, 0.0, 1.0, 1.0, 3.0], LENGTHS), lengths=LENGTHS)
    expected = repeated.criteria([parts[i] for i in taken])
    for name, value in weighted.criteria(source).items():
        assert value == pytest.approx(expected[name], rel=1e-9), name
    assert weighted.score(source) == pytest.approx(expected["loglik"], rel=1e-9)
    with pytest.raises(ValueError, match="The rows have weights already"):
        weighted.score(source, sample_weight=np.ones(5))


# Sources.


def test_files_columns_and_iterables_give_the_bits_of_an_array(X, tmp_path):
    ids = np.repeat([5, 3, 4, 9, 7], LENGTHS)
    expected = quietly(fitted, X, n_iter=6)
    np.save(tmp_path / "x.npy", X)
    frame = pd.DataFrame({"patient": ids, "a": X[:, 0], "b": X[:, 1]})
    frame.to_parquet(tmp_path / "x.parquet")
    folder = tmp_path / "folder"
    folder.mkdir()
    for index, part in enumerate(np.split(X, np.cumsum(LENGTHS)[:-1])):
        np.save(folder / f"{index}.npy", part)
    pieces = [X[:300], X[300:301], X[301:]]
    for found in (
        quietly(fitted, str(tmp_path / "x.npy"), n_iter=6),
        quietly(fitted, open_source(X, lengths=LENGTHS), None, n_iter=6),
        quietly(fitted, open_source(tmp_path / "x.parquet", sequence_column="patient"), None, n_iter=6),
        quietly(fitted, open_source(frame, sequence_column="patient"), None, n_iter=6),
        quietly(fitted, open_source(str(folder / "*.npy"), lengths="files"), None, n_iter=6),
        quietly(fitted, lambda: iter(pieces), n_iter=6),
    ):
        assert_same_model(found, expected)
    source = open_source(tmp_path / "x.parquet", sequence_column="patient")
    assert source.names == ["a", "b"]
    assert source.lengths.tolist() == LENGTHS
    np.testing.assert_array_equal(expected.predict(source), expected.predict(X, LENGTHS))


def test_small_chunks_of_many_sequences_give_the_same_bits(truth):
    lengths = np.random.default_rng(0).integers(1, 900, size=240)
    X = truth.sample(int(lengths.sum()), random_state=0)[0]
    whole = quietly(fitted, X, lengths, n_iter=3)
    small = quietly(fitted, X, lengths, n_iter=3, memory_limit=memory_of(1000, X))
    assert_same_model(small, whole)
    source = SequenceSource(small._sequences(X, lengths, reset=False).rows, lengths)
    sizes = [len(chunk) for chunk in source.chunks(1000)]
    assert len(sizes) > 3
    assert max(sizes) < TRACKS * TRACK_ROWS
    assert sum(sizes) == len(X)


def test_an_interrupted_fit_goes_on_to_the_same_bits(X, tmp_path):
    settings = {"checkpoint": Checkpoint(tmp_path / "fit.ckpt", every=0.0), "memory_limit": memory_of(500, X)}
    expected = quietly(fitted, X, n_iter=8, memory_limit=memory_of(500, X))
    quietly(fitted, X, n_iter=3, **settings)
    resumed = quietly(GaussianHMM(3, random_state=0, n_iter=8, **settings).fit, X, LENGTHS, resume=True)
    assert_same_model(resumed, expected)
    assert resumed.n_iter_ == expected.n_iter_


@pytest.mark.parametrize("structure", [1.0, "left-right"])
def test_a_saved_model_is_the_model(structure, X, tmp_path):
    hmm = quietly(fitted, X, transmat_prior=structure, n_iter=3)
    hmm.save(tmp_path / "hmm.npz")
    back = fastem.load(tmp_path / "hmm.npz")
    assert_same_model(back, hmm)
    np.testing.assert_array_equal(back.predict_proba(X, LENGTHS), hmm.predict_proba(X, LENGTHS))
    assert back.bic(X, LENGTHS) == hmm.bic(X, LENGTHS)
    assert str(back.fit_report_) == str(hmm.fit_report_)
    assert_same_model(pickle.loads(pickle.dumps(hmm)), hmm)


@pytest.mark.parametrize("acceleration", ["auto", "squarem"])
def test_acceleration_reaches_the_same_optimum_in_fewer_iterations(acceleration):
    """States that overlap, so that EM is slow."""
    truth = GaussianHMM.from_parameters([0.5, 0.5], [[0.8, 0.2], [0.3, 0.7]], [0.0, 1.5], [1.0, 1.0])
    X = truth.sample(3000, random_state=0)[0]
    plain = GaussianHMM(2, random_state=0, tol=1e-8, n_iter=5000, schedule="plain").fit(X)
    quick = GaussianHMM(2, random_state=0, tol=1e-8, n_iter=5000, schedule=Batch(acceleration=acceleration)).fit(X)
    assert quick.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-6)
    assert quick.n_iter_ < 0.3 * plain.n_iter_


def test_incremental_learning_reaches_the_same_optimum(truth):
    lengths = [2000] * 20
    X = np.concatenate([truth.sample(2000, random_state=n)[0] for n in range(20)])
    batch = fitted(X, lengths, tol=1e-9)
    incremental = fitted(X, lengths, tol=1e-9, schedule="incremental")
    assert incremental.lower_bound_ == pytest.approx(batch.lower_bound_, abs=1e-6)


WARMED = """
import numpy as np, fastem
from fastem.passes import messages, sweep, viterbi
fastem.warmup("diag", hmm=True)
passes = [sweep.compiled_sweep_pass, messages.compiled_warm_start_pass, viterbi.compiled_path_pass]
counts = [len(one.dispatcher.signatures) for one in passes]
assert counts == [1, 1, 1], counts
X = np.random.default_rng(0).normal(size=(9000, 3)).astype(np.float32)
hmm = fastem.GaussianHMM(4, random_state=0, n_iter=1, tol=10.0)
hmm.fit(X, [100, 8900]).predict(X)
hmm.predict_proba(X), hmm.filter_proba(X, [1] * 9000), hmm.score(X)
assert [len(one.dispatcher.signatures) for one in passes] == counts
"""


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_warmup_leaves_nothing_to_compile():
    subprocess.run([sys.executable, "-c", WARMED], check=True)


# Every parameter of the constructor matters; wrong ones are named.


def test_every_parameter_is_stored_and_cloned():
    names = list(inspect.signature(GaussianHMM).parameters)
    hmm = GaussianHMM(4, "full", n_iter=7)
    assert set(hmm.get_params(deep=False)) == set(names)
    assert clone(hmm).get_params() == hmm.get_params()


CHANGES = [
    {"startprob_prior": 5.0}, {"transmat_prior": 50.0}, {"covariance_floor": 0.5}, {"n_iter": 1}, {"tol": 0.1},
    {"params": "mc"}, {"search": Race(init="random")}, {"random_state": 7, "search": Race(init="random")},
    {"startprob_prior": "stationary"}, {"transmat_prior": "left-right"}, {"covariance_type": "full"},
    {"schedule": "incremental"}, {"n_components": 4}, {"n_init": 3, "search": Race(init="random")},
    {"schedule": "plain", "n_iter": 30}, {"search": Restarts(init="random"), "n_init": 3}, {"covars_prior": None},
    {"covars_prior": 50.0}, {"covars_weight": 50.0}, {"means_weight": 20.0},
    {"means_prior": 5.0, "means_weight": 20.0},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_every_parameter_changes_the_fit(change, X):
    # Each change against the same fit without its first entry.
    name, *others = change
    common = {"n_iter": 8, "tol": 0.0, **{other: change[other] for other in others}}
    base = quietly(fitted, X, **common)
    other = quietly(fitted, X, **{**common, name: change[name]})
    names = ("startprob_", "transmat_", "means_", "covars_")
    same = all(np.array_equal(getattr(base, name), getattr(other, name)) for name in names)
    assert not same


@pytest.mark.parametrize(
    ("name", "value"),
    [("search", "best"), ("schedule", "online"), ("schedule", Online()), ("n_init", 0), ("n_iter", -1), ("tol", -1.0),
     ("covars_prior", "wide"), ("startprob_prior", "even"), ("transmat_prior", "ring"), ("covariance_floor", 2.0),
     ("memory_limit", 0), ("n_components", 0)],
)  # fmt: skip
def test_invalid_parameters_are_named(name, value, X):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        GaussianHMM(**{name: value}).fit(X)


def test_no_parameter_is_left_without_a_test():
    elsewhere = {
        "algorithm", "init_params", "memory_limit", "checkpoint", "n_threads", "verbose", "missing",
    }  # fmt: skip
    changed = {next(iter(change)) for change in CHANGES}
    assert set(inspect.signature(GaussianHMM).parameters) == changed | elsewhere


def test_algorithm_decides_how_states_are_predicted(truth, X):
    mapped = GaussianHMM.from_parameters(**TRUTH, algorithm="map")
    np.testing.assert_array_equal(mapped.predict(X, LENGTHS), truth.predict_proba(X, LENGTHS).argmax(axis=1))
    np.testing.assert_array_equal(truth.predict(X, LENGTHS), truth.decode(X, LENGTHS, "viterbi")[1])
    assert not np.array_equal(mapped.predict(X, LENGTHS), truth.predict(X, LENGTHS))


@pytest.mark.parametrize(
    ("settings", "lengths", "message"),
    [
        ({"params": "stx"}, None, r"params has letters \['x'\]"),
        ({"transmat_prior": [[1, 0], [0, 1]]}, None, "transmat_prior must be a number, 'left-right', or of shape"),
        ({"transmat_prior": np.full((3, 3), 0.5)}, None, "transmat_prior must be a finite number of at least 1"),
        ({"startprob_prior": "stationary", "params": "mc"}, None, "startprob_prior='stationary' makes startprob_"),
        ({"startprob_prior": [np.inf, 1.0, 1.0]}, None, "startprob_prior must be a finite number of at least 1"),
        ({"transmat_prior": np.full((3, 3), np.inf)}, None, "transmat_prior must be a finite number of at least 1"),
        ({"means_prior": np.nan}, None, "means_prior must hold finite numbers"),
        ({"schedule": Batch(bins=64)}, None, r"bins are of mixtures.* Use schedule=Batch\(bins=None\)"),
        ({"schedule": Batch(subsample=Subsample())}, None, r"Use schedule=Batch\(subsample=None\)"),
        ({"search": Race(swaps=2)}, None, r"swaps are of mixtures.* Use search=Race\(swaps=0\)"),
        ({"algorithm": "best"}, None, "The 'algorithm' parameter"),
        ({}, [1400], r"lengths sum to 1400, but there are 1401 rows"),
        ({}, [1401, 0], "one positive integer for each sequence"),
        ({}, [1401.0], "one positive integer for each sequence"),
    ],
)
def test_what_cannot_be_used_is_named(settings, lengths, message, X):
    with pytest.raises(ValueError, match=message):
        GaussianHMM(3, **settings).fit(X[:1401] if len(X) > 1401 else np.resize(X, (1401, 2)), lengths)


def test_more_errors(truth, X, tmp_path):
    with pytest.raises(NotFittedError):
        GaussianHMM(2).predict(X)
    with pytest.raises(ValueError, match="infinity"):
        fitted(np.where(np.arange(len(X))[:, None] == 5, np.inf, X))
    with pytest.raises(ValueError, match="startprob_ must have the shape"):
        GaussianHMM.from_parameters([0.5, 0.6], TRUTH["transmat"], TRUTH["means"], TRUTH["covars"])
    with pytest.raises(ValueError, match="one finite number for each of the 5 sequences"):
        GaussianHMM(3).fit(X, LENGTHS, sample_weight=[1, 2])
    with pytest.raises(ValueError, match="algorithm='best' is not known"):
        truth.decode(X, LENGTHS, algorithm="best")
    with pytest.raises(ValueError, match="n_samples must be a positive integer"):
        truth.sample(0)
    with pytest.raises(ValueError, match="currstate must be a state from 0 to 2"):
        truth.sample(3, currstate=3)
    with pytest.raises(AttributeError, match="no attribute 'partial_fit'"):
        truth.partial_fit(X)
    assert not hasattr(truth, "icl")
    with pytest.raises(TypeError, match="say the same thing"):
        open_source(X, lengths=LENGTHS, sequence_column=0)
    with pytest.raises(SourceError, match="lengths='files' takes each file"):
        open_source(X, lengths="files")
    weight = np.arange(float(len(X)))
    with pytest.raises(SourceError, match="Rows of one sequence have different weights, at row 1"):
        GaussianHMM(3).fit(open_source(X, weight=weight, lengths=LENGTHS))
    with pytest.warns(ConvergenceWarning, match="in n_iter=1 iterations"):
        GaussianHMM(3, n_iter=1, random_state=0).fit(X, LENGTHS)


def test_a_hint_of_a_record_is_code_that_runs():
    with pytest.raises(ValueError, match=r"checkpoint=Checkpoint\(path=\.\.\., every=3\)"):
        GaussianHMM().set_params(checkpoint__every=3)


CHAIN = ([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]])


@pytest.mark.parametrize(
    ("make", "good", "name", "shape"),
    [
        (PoissonHMM.from_parameters, [2.0, 9.0], "lambdas", r"\(n_components, n_features\)"),
        (CategoricalHMM.from_parameters, [[0.5, 0.5], [0.1, 0.9]], "emissionprob", r"\(n_components, n_categories\)"),
        (
            lambda *given: GaussianHMM.from_parameters(*given, [1.0, 1.0]),
            [0.0, 9.0],
            "means",
            r"\(n_components, n_feat",
        ),
        (lambda s, t, x: GaussianHMM.from_parameters(s, t, [0.0, 9.0], x), [1.0, 1.0], "covars_", r"\(2, 1\)"),
        (lambda s, t, x: PoissonHMM.from_parameters(x, t, [2.0, 9.0]), [0.5, 0.5], "startprob_", r"\(2,\)"),
        (lambda s, t, x: PoissonHMM.from_parameters(s, x, [2.0, 9.0]), CHAIN[1], "transmat_", r"\(2, 2\)"),
        (lambda s, t, x: HMM.from_parameters("poisson", x, t, rates=[2.0, 9.0]), [0.5, 0.5], "startprob", r"\(n_comp"),
    ],
    ids=["lambdas", "emissionprob", "means", "covars", "startprob", "transmat", "startprob of any family"],
)
@pytest.mark.parametrize(
    "bad", [None, "text", ["a", "b"], [[1.0], [2.0, 3.0]], [], 3.0, np.ones((2, 2, 2, 2))], ids=str
)
def test_parameters_of_another_shape_are_named(make, good, name, shape, bad):
    make(*CHAIN, good)
    with pytest.raises(ValueError, match=f"{name}.* the shape {shape}"):
        make(*CHAIN, bad)


def test_a_start_in_attributes_of_any_family(X):
    """By their own names, as of mixtures, and not by those of the last fit."""
    counts = np.array([1, 2, 1, 9, 8, 7, 9, 2])
    hmm = HMM("poisson", 2, init_params="st", n_iter=0, random_state=0)
    hmm.rates_ = np.array([[1.5], [8.5]])
    np.testing.assert_array_equal(hmm.fit(counts).rates_, [[1.5], [8.5]])
    hmm.rates_ = np.array([[2.5], [7.5]])
    np.testing.assert_array_equal(hmm.fit(counts).rates_, [[2.5], [7.5]])
    np.testing.assert_array_equal(hmm.fit(counts).rates_, [[2.5], [7.5]])
    hmm.params_ = HMM.from_parameters("poisson", *CHAIN, rates=[3.0, 4.0]).params_
    np.testing.assert_array_equal(hmm.fit(counts).rates_, [[3.0], [4.0]])
    hmm.rates_ = np.array([[1.0], [2.0], [3.0]])
    with pytest.raises(ValueError, match=r"rates_ must have the shape \(2, 1\)"):
        hmm.fit(counts)
    other = HMM("poisson", 2, random_state=0, n_iter=0)
    other.rates_ = np.array([[1.5], [8.5]])
    with pytest.warns(UserWarning, match="'rates_' attribute is set, it will be overwritten"):
        other.fit(counts)


def test_the_number_of_symbols_does_not_contradict_their_probabilities():
    table = [[0.5, 0.5], [0.1, 0.9]]
    hmm = CategoricalHMM.from_parameters(*CHAIN, table)
    for change in ({"n_features": 3}, {"n_categories": 3}):
        with pytest.raises(ValueError, match=r"n_categories=3 .*contradicts emissionprob_, which has 2 symbols"):
            hmm.set_params(**change)
    with pytest.raises(ValueError, match="contradicts emissionprob_"):
        hmm.n_features = 4
    with pytest.raises(ValueError, match="n_categories=2 and n_features=3 both name"):
        hmm.set_params(n_categories=2, n_features=3)
    assert hmm.set_params(n_features=2).n_categories == 2
    with pytest.raises(ValueError, match="contradicts emissionprob_"):
        CategoricalHMM.from_parameters(*CHAIN, table, n_categories=3)
    start = CategoricalHMM(2, n_categories=3, init_params="st")
    start.emissionprob_ = np.array(table)
    with pytest.raises(ValueError, match="contradicts emissionprob_"):
        start.fit([0, 1, 1, 0, 1, 1, 0])
    hmm.emissionprob_ = np.full((2, 3), 1 / 3)
    assert hmm.set_params(n_features=3).n_features == 3


@pytest.mark.parametrize("schedule", ["batch", "incremental"])
@pytest.mark.parametrize("transitions", ["left-right", [[1, 1], [0, 1]]], ids=["left-right", "zeros"])
def test_a_stationary_start_where_no_state_is_left_again(schedule, transitions):
    """All sequences begin, and stay, in the state that absorbs them: one Gaussian."""
    x = np.tile(np.r_[np.linspace(-1, 1, 10), np.linspace(7, 9, 20)], 4)
    settings = {"startprob_prior": "stationary", "transmat_prior": transitions, "schedule": schedule}
    hmm = GaussianHMM(2, random_state=0, covars_prior=None, **settings).fit(x, [30] * 4)
    assert hmm.startprob_.tolist() == [0.0, 1.0]
    np.testing.assert_allclose([hmm.means_[1, 0], hmm.covars_[1, 0]], [x.mean(), x.var()], rtol=1e-9)


# Other families.


EARTHQUAKES = ROOT / "examples" / "earthquakes.csv"
# Zucchini & MacDonald (2009), table 1.1; converged from several starts.
REFERENCE = {
    2: (341.878701, [15.420756, 26.018223], [[0.928374, 0.071626], [0.119034, 0.880966]]),
    3: (328.527483, [13.133762, 19.713166, 29.709727], None),
}


@pytest.mark.parametrize("n_components", [2, 3])
def test_earthquakes(n_components):
    counts = np.loadtxt(EARTHQUAKES, delimiter=",", skiprows=1)[:, 1]
    hmm = PoissonHMM(n_components, n_init=5, tol=1e-11, n_iter=3000, random_state=0).fit(counts)
    minus_loglik, rates, transmat = REFERENCE[n_components]
    order = hmm.lambdas_[:, 0].argsort()
    assert -hmm.score(counts) == pytest.approx(minus_loglik, abs=2e-6)
    np.testing.assert_allclose(hmm.lambdas_[order, 0], rates, rtol=2e-6)
    if transmat is not None:
        np.testing.assert_allclose(hmm.transmat_[order][:, order], transmat, atol=2e-6)
    assert hmm._model.n_parameters() == n_components - 1 + n_components * (n_components - 1) + n_components
    theirs = hmmlearn_hmm.PoissonHMM(n_components)
    theirs.startprob_, theirs.transmat_, theirs.lambdas_ = hmm.startprob_, hmm.transmat_, hmm.lambdas_
    theirs.n_features = 1
    whole = counts.astype(int)[:, None]
    assert hmm.score(counts) == pytest.approx(theirs.score(whole), rel=1e-11)
    np.testing.assert_array_equal(hmm.predict(counts), theirs.predict(whole))


def test_weather():
    """The textbook's example, whose eight paths can be listed by hand."""
    weather = CategoricalHMM.from_parameters([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]])
    log_prob, states = weather.decode([0, 1, 2])
    assert states.tolist() == [1, 0, 0]
    assert np.exp(log_prob) == pytest.approx(0.01344, rel=1e-12)
    assert np.exp(weather.score([0, 1, 2])) == pytest.approx(0.033612, rel=1e-12)
    expected = [0.007788 / 0.033612, 0.020976 / 0.033612, 0.02904 / 0.033612]
    np.testing.assert_allclose(weather.predict_proba([0, 1, 2])[:, 0], expected, rtol=1e-9)


def test_hmmlearn_agrees_on_symbols():
    truth = CategoricalHMM.from_parameters([0.6, 0.4], [[0.9, 0.1], [0.2, 0.8]], [[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]])
    x = truth.sample(600, random_state=0)[0]
    start = ([0.5, 0.5], [[0.7, 0.3], [0.4, 0.6]], [[0.2, 0.4, 0.4], [0.5, 0.3, 0.2]])
    ours = CategoricalHMM(2, init_params="", n_iter=5, tol=0.0)
    theirs = hmmlearn_hmm.CategoricalHMM(2, init_params="", n_iter=5, tol=-np.inf)
    for model in (ours, theirs):
        model.startprob_, model.transmat_, model.emissionprob_ = map(np.array, start)
    quietly(ours.fit, x, [200, 400])
    quietly(theirs.fit, x.astype(int), [200, 400])
    for name in ("startprob_", "transmat_", "emissionprob_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("params", [None, "st"])
def test_mixed_columns(params, tmp_path):
    random = np.random.default_rng(0)
    states = np.repeat(np.arange(40) % 2, 50)
    binary = random.random(2000) < 0.2 + 0.6 * states
    X = np.column_stack([random.normal(4.0 * states), random.poisson(2 + 7 * states), binary])
    hmm = HMM(["normal", "poisson", "bernoulli"], n_components=2, params=params, random_state=0, n_iter=200)
    quietly(hmm.fit, X, [1000, 1000])
    order = hmm.means_[:, 0].argsort()
    np.testing.assert_allclose(hmm.means_[order], [[0, 2, 0.2], [4, 9, 0.8]], atol=0.3)
    assert (hmm.predict(X, [1000, 1000]) == order[states]).mean() > 0.99
    hmm.save(tmp_path / "hmm.npz")
    back = fastem.load(tmp_path / "hmm.npz")
    np.testing.assert_array_equal(back.predict_proba(X), hmm.predict_proba(X))


def test_errors_of_other_families():
    with pytest.raises(ValueError, match="must be a count, an integer from 0 up"):
        PoissonHMM(2).fit([1.0, 2.5, 3.0])
    with pytest.raises(ValueError, match="X must have one column, of codes"):
        CategoricalHMM(2).fit(np.zeros((9, 2)))
    with pytest.raises(ValueError, match="emissionprob_ must not be negative and sum to 1"):
        CategoricalHMM.from_parameters([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.4], [0.6, 0.3]])
    with pytest.raises(ValueError, match="lambdas_ must not be negative"):
        PoissonHMM.from_parameters([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [-1.0, 2.0])


@pytest.mark.parametrize("covariance_type", ["full", "diag", "tied", "spherical"])
def test_covariances_stay_to_the_bit_beside_means_with_a_prior(covariance_type, X):
    """Statistics that gave the old covariances back would not, once a prior has its say in the means."""
    covars = {
        "full": np.eye(2)[None].repeat(2, axis=0),
        "diag": np.ones((2, 2)),
        "tied": np.eye(2),
        "spherical": np.ones(2),
    }
    hmm = GaussianHMM(
        2, covariance_type, params="stm", init_params="stm", means_prior=3.0, means_weight=20.0, n_iter=5, tol=0.0,
        random_state=0, schedule="plain",
    )  # fmt: skip
    hmm.covars_ = 1.7 * covars[covariance_type]
    quietly(hmm.fit, X, LENGTHS)
    np.testing.assert_array_equal(hmm.covars_, 1.7 * covars[covariance_type])
