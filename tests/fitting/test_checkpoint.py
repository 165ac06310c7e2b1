"""Fits that are ended from outside go on from their checkpoint, to the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import fastem
from fastem import Checkpoint, GaussianHMM, GaussianMixture
from fastem.fitting import problem
from fastem.passes.backend import RowAccumulator
from fastem.persistence import ModelFileError, pack, unpack
from fastem.schedules.result import FitState, Trace
from fastem.sources.segments import SEGMENT_ROWS
from fastem.stats import Repair
from tests.cases import memory_of

SETTINGS = {"n_components": 4, "random_state": 0, "max_iter": 12, "tol": 0.0, "init_params": "random_from_data"}


@pytest.fixture
def X():
    random = np.random.default_rng(0)
    return random.normal(size=(6000, 2)) + 3.0 * random.integers(0, 3, size=(6000, 1))


def fitted(X, resume=False, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(**{**SETTINGS, **settings}).fit(X, resume=resume)


def assert_same_fit(a, b):
    for name in ("weights_", "means_", "covariances_", "lower_bounds_", "n_iter_", "stop_reason_"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert a.fit_report_.runs == b.fit_report_.runs


def interrupted_after(n_iter, X, path, **settings):
    """A fit that a keyboard interrupt ends in a later E-step."""

    original = problem.Problem.e_step
    calls = []

    def e_step(self, params):
        calls.append(1)
        if len(calls) > n_iter + 1:
            raise KeyboardInterrupt
        return original(self, params)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(problem.Problem, "e_step", e_step)
        return fitted(X, checkpoint=Checkpoint(path, every=0.0), **settings)


@pytest.mark.parametrize("n_iter", [0, 1, 5, 11])
def test_an_interrupted_fit_goes_on_to_the_same_bits(X, tmp_path, n_iter):
    path = tmp_path / "fit.npz"
    stopped = interrupted_after(n_iter, X, path)
    assert (stopped.stop_reason_, stopped.n_iter_) == ("interrupted", n_iter)
    assert_same_fit(fastem.load(path), stopped)
    assert_same_fit(fitted(X, resume=True, checkpoint=path), fitted(X))


@pytest.mark.parametrize("n_iter", [3, 14, 29])
def test_an_interrupted_search_goes_on_with_the_start_it_was_at(X, tmp_path, n_iter):
    path = tmp_path / "fit.npz"
    interrupted_after(n_iter, X, path, n_init=3, search="restarts")
    assert_same_fit(
        fitted(X, resume=True, checkpoint=path, n_init=3, search="restarts"), fitted(X, n_init=3, search="restarts")
    )


@pytest.mark.parametrize("segment_rows", [SEGMENT_ROWS, 3 * 528])
@pytest.mark.parametrize("n_chunks", [1, 5, 11, 12, 13, 40, 77])
def test_an_e_step_that_was_cut_goes_on_where_it_was(X, tmp_path, monkeypatch, n_chunks, segment_rows):
    """Killed after so many chunks; twelve of them make an epoch, of one segment or of four."""
    monkeypatch.setattr("fastem.sources.segments.SEGMENT_ROWS", segment_rows)
    path = tmp_path / "fit.npz"
    original = RowAccumulator.add
    calls = []

    def dying(self, chunk):
        if len(calls) == n_chunks:
            raise SystemExit
        calls.append(1)
        original(self, chunk)

    options = {"memory_limit": memory_of(528, X), "checkpoint": Checkpoint(path, every=0.0)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RowAccumulator, "add", dying)
        with pytest.raises(SystemExit):
            fitted(X, **options)
        known = fastem.load(path)
        assert known.n_iter_ == max(0, n_chunks // 12 - 1)
        assert np.isnan(known.lower_bound_) == (n_chunks < 12)
        done, n_chunks = n_chunks, -1
        calls.clear()
        resumed = fitted(X, resume=True, **options)
    assert len(calls) == 13 * 12 - done
    assert_same_fit(resumed, fitted(X))


def test_more_iterations_go_on_where_a_fit_ended(X, tmp_path):
    path = tmp_path / "fit.npz"
    fitted(X, checkpoint=path, max_iter=5)
    assert_same_fit(fitted(X, resume=True, checkpoint=path), fitted(X))


def test_a_fit_that_has_converged_is_not_repeated(X, tmp_path, monkeypatch):
    path = tmp_path / "fit.npz"
    done = fitted(X, checkpoint=path, tol=1e-3, max_iter=500)
    assert done.converged_
    monkeypatch.setattr("fastem.fitting.batch.fit_batch", lambda *_, **__: pytest.fail("fitted again"))
    assert_same_fit(fitted(X, resume=True, checkpoint=path, tol=1e-3, max_iter=500), done)


def test_resuming_without_a_file_begins(X, tmp_path):
    path = tmp_path / "fit.npz"
    assert_same_fit(fitted(X, resume=True, checkpoint=path), fitted(X))
    assert path.exists()


def test_checkpoints_keep_their_distance(X, tmp_path, monkeypatch):
    from fastem.estimators import _em

    written = []
    original = _em.save
    monkeypatch.setattr(_em, "save", lambda *args: (written.append(1), original(*args)))
    fitted(X, checkpoint=Checkpoint(tmp_path / "often.npz", every=0.0))
    often = len(written)
    fitted(X, checkpoint=Checkpoint(tmp_path / "once.npz", every=3600.0))
    assert often == 27, "after each chunk, of the start and of 12 iterations, and each of these, and at the end"
    assert len(written) == often + 1, "at the end"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_components": 3}, "n_components=4, but now it is 3"),
        ({"covariance_type": "diag"}, "covariance_type='full', but now it is 'diag'"),
        ({"covariance_floor": 1e-3}, "covariance_floor"),
    ],
)
def test_a_checkpoint_of_another_fit_is_refused(X, tmp_path, changed, message):
    path = tmp_path / "fit.npz"
    fitted(X, checkpoint=path, max_iter=2)
    with pytest.raises(ValueError, match=message):
        fitted(X, resume=True, checkpoint=path, **changed)
    with pytest.raises(ValueError, match="6000 rows of total weight 6000, but now there are 5000"):
        fitted(X[np.r_[:5000]], resume=True, checkpoint=path)


def test_a_checkpoint_of_other_data_is_refused(X, tmp_path):
    path = tmp_path / "fit.npz"
    fitted(X, checkpoint=path, max_iter=2)
    with pytest.raises(ValueError, match="other data: their variance_floor was another"):
        fitted(2.0 * X, resume=True, checkpoint=path)


def test_what_is_no_checkpoint_is_refused(X, tmp_path):
    path = tmp_path / "fit.npz"
    with pytest.raises(ValueError, match="resume=True continues from a checkpoint, but none is named"):
        fitted(X, resume=True)
    fitted(X).save(path)
    with pytest.raises(ModelFileError, match="holds a model, but no fit to resume"):
        fitted(X, resume=True, checkpoint=path)
    path.write_bytes(b"nonsense")
    with pytest.raises(ModelFileError, match="not a model file"):
        fitted(X, resume=True, checkpoint=path)


@pytest.mark.parametrize(("name", "message"), [("nowhere/fit.npz", "no directory"), ("", "is a directory")])
def test_a_checkpoint_that_cannot_be_written_is_told_before_the_fit(X, tmp_path, monkeypatch, name, message):
    monkeypatch.setattr(GaussianMixture, "_fit", lambda *_: pytest.fail("fitted"))
    with pytest.raises(OSError, match=f"cannot be written: .*{message}"):
        fitted(X, checkpoint=tmp_path / name)


def test_a_disk_that_is_full_leaves_the_model_so_far(X, tmp_path, monkeypatch):
    from fastem.estimators import _em

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(_em, "save", full)
    mixture = GaussianMixture(
        **SETTINGS, memory_limit=memory_of(5280, X), checkpoint=Checkpoint(tmp_path / "fit.npz", every=0.0)
    )
    with pytest.raises(OSError, match="no space left"):
        mixture.fit(X)
    assert np.isfinite(mixture.predict_proba(X)).all()


def test_packed_values_are_unpacked():
    state = FitState(
        {"a": (1, None, "x"), "b": [np.arange(3.0), np.float64(2.5)]}, Trace([1.0], [(1, Repair(0, "c", "r"))])
    )
    arrays = {}
    packed = pack(state, "place", arrays)
    found = unpack(packed, arrays, [FitState, Trace, Repair])
    np.testing.assert_array_equal(found.params["b"][0], np.arange(3.0))
    assert found.params["a"] == (1, None, "x")
    assert found.trace.repairs == state.trace.repairs
    with pytest.raises(KeyError, match="Trace"):
        unpack(packed, arrays, [FitState, Repair])


# The process kills itself before or after it puts the n-th file in its place; with n = 0 it does not.
DYING = """
import os, signal, sys, warnings
from fastem import Checkpoint, GaussianMixture, Online
warnings.simplefilter("ignore")
path, checkpoint, result, when, n_files, *more = sys.argv[1:]
replace, left = os.replace, int(n_files)

def replace_and_die(*places):
    global left
    left -= 1
    if left == 0 and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*places)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = replace_and_die
"""
KILLED = f"""{DYING}
mixture = GaussianMixture(
    4, random_state=0, max_iter=60, tol=0.0, init_params="random_from_data", n_init=2, search="restarts",
    checkpoint=Checkpoint(checkpoint, every=0.0),
)
mixture.fit(path, resume=True).save(result)
"""


def killed(script, path, checkpoint, result, deaths, *more):
    """Run a script until it dies, once for each death, and then to its end; the fits that were found in between."""
    found = []
    for when, n_files in deaths:
        command = [sys.executable, "-c", script, path, checkpoint, result, when, str(n_files), *more]
        assert subprocess.run(command).returncode == -signal.SIGKILL
        found.append(fastem.load(checkpoint).fit_report_.runs)
    assert not os.path.exists(result)
    subprocess.run([sys.executable, "-c", script, path, checkpoint, result, "", "0", *more], check=True)
    return found


def undisturbed(script, path, directory, *arguments):
    """The model that a script fits when nobody kills it.

    The process that compiles a kernel may differ in the last bit from those that find it on disk: the second run
    is one of the latter.
    """
    for name in ("first", "second"):
        result = f"{directory}/{name}.npz"
        command = [sys.executable, "-c", script, path, f"{directory}/{name}.ckpt", result, "", "0", *arguments]
        subprocess.run(command, check=True)
    return fastem.load(result)


def test_a_killed_fit_loses_at_most_one_interval(tmp_path):
    """Killed again and again, before or after a checkpoint takes its place, and taken up again, until it is done."""
    random = np.random.default_rng(0)
    X = random.normal(size=(10_000, 2)) + 3.0 * random.integers(0, 3, size=(10_000, 1))
    np.save(tmp_path / "rows.npy", X)
    path, checkpoint, result = (str(tmp_path / name) for name in ("rows.npy", "fit.npz", "result.npz"))
    whole = undisturbed(KILLED, path, str(tmp_path))
    deaths = [("after", 1), ("before", 2), ("after", 30), ("before", 40), ("after", 9)]
    reached = [(len(runs), runs[-1].n_iter) for runs in killed(KILLED, path, checkpoint, result, deaths)]
    assert reached == sorted(reached), "no run goes back behind the one before"
    assert len([name for name in os.listdir(tmp_path) if name.endswith(".part")]) <= 2
    assert_same_fit(fastem.load(result), whole)


def chain(X, given=("startprob_", "transmat_"), resume=False, **settings):
    """A chain with several starts, of which some parameters were set by hand."""
    hmm = GaussianHMM(
        3,
        n_iter=4,
        tol=0.0,
        random_state=0,
        search="restarts",
        n_init=3,
        init_params="m",
        schedule="plain",
        **settings,
    )
    values = {"startprob_": np.full(3, 1 / 3), "transmat_": np.full((3, 3), 0.1) + 0.7 * np.eye(3)}
    for name in given:
        setattr(hmm, name, values[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return hmm.fit(X, resume=resume)


def test_checkpoints_do_not_change_what_later_starts_begin_with(X, tmp_path):
    rows = X[:900]
    plain, kept = chain(rows), chain(rows, checkpoint=Checkpoint(tmp_path / "fit.npz", every=0.0))
    assert plain.fit_report_.runs == kept.fit_report_.runs
    np.testing.assert_array_equal(plain.means_, kept.means_)


@pytest.mark.parametrize("given", [(), ("startprob_",), ("transmat_",)])
def test_a_checkpoint_of_other_given_parameters_is_refused(X, tmp_path, given):
    rows, path = X[:900], tmp_path / "fit.npz"
    chain(rows, checkpoint=path)
    with pytest.raises(
        ValueError, match=r"The checkpoint is of a fit with (startprob|transmat)_=\[.*but now it is None"
    ):
        chain(rows, given, resume=True, checkpoint=path)
