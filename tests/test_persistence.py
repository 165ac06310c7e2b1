"""Models on disk."""

from __future__ import annotations

import json
import signal
import zipfile

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning

import fastem
from fastem import Checkpoint, GaussianMixture
from fastem.persistence import ModelFileError

COVARIANCE_TYPES = ["full", "tied", "diag", "spherical"]


@pytest.fixture
def X():
    random = np.random.default_rng(0)
    return np.concatenate([random.normal(size=(150, 2)), [4.0, 1.0] + random.normal(size=(250, 2))])


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_loaded_model_equals_the_saved_one_to_the_bit(covariance_type, X, tmp_path):
    saved = GaussianMixture(2, covariance_type=covariance_type, random_state=0, means_init=[[0, 0], [4, 1]], tol=1e-4)
    saved.fit(pd.DataFrame(X, columns=["width", "height"])).save(tmp_path / "model.npz")
    loaded = fastem.load(tmp_path / "model.npz")
    frame = pd.DataFrame(X, columns=["width", "height"])
    assert isinstance(loaded, GaussianMixture)
    np.testing.assert_array_equal(loaded.score_samples(frame), saved.score_samples(frame))
    np.testing.assert_array_equal(loaded.sample(5)[0], saved.sample(5)[0])
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_", "feature_names_in_"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name), err_msg=name)
    for name in (
        "converged_",
        "stop_reason_",
        "n_iter_",
        "lower_bound_",
        "lower_bounds_",
        "fit_report_",
        "n_features_in_",
    ):
        assert getattr(loaded, name) == getattr(saved, name), name
    ours, theirs = loaded.get_params(), saved.get_params()
    np.testing.assert_array_equal(ours.pop("means_init"), theirs.pop("means_init"))
    assert ours == theirs
    # Four iterations tell that there is nothing left to gain.
    assert loaded.set_params(warm_start=True).fit(frame).n_iter_ <= max(4, saved.n_iter_)


def test_a_model_of_known_parameters_has_no_story(tmp_path):
    GaussianMixture.from_parameters([1.0], [0.0], [1.0], random_state=np.random.RandomState(0)).save(tmp_path / "m.npz")
    loaded = fastem.load(tmp_path / "m.npz")
    assert not hasattr(loaded, "converged_")
    assert loaded.random_state is None
    assert loaded.score_samples([0.0])[0] == pytest.approx(-0.5 * np.log(2 * np.pi))


def test_an_existing_file_is_replaced_and_nothing_else_is_left(X, tmp_path):
    path = tmp_path / "model.npz"
    path.write_text("old")
    GaussianMixture().fit(X).save(str(path))
    assert [file.name for file in tmp_path.iterdir()] == ["model.npz"]
    fastem.load(str(path))


def test_a_failed_save_leaves_the_old_file(X, tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    mixture = GaussianMixture().fit(X)
    mixture.save(path)
    before = path.read_bytes()

    def fail(*arguments, **options):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="disk full"):
        mixture.save(path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_an_interrupt_waits_until_a_file_is_written(X, tmp_path, monkeypatch):
    path = tmp_path / "fit.ckpt"
    settings = {"n_components": 2, "random_state": 0, "tol": 0.0, "checkpoint": Checkpoint(path, every=0.0)}
    with pytest.warns(ConvergenceWarning):
        whole = GaussianMixture(**settings, max_iter=3).fit(X)
    path.unlink()
    before, opened, n_opened = signal.getsignal(signal.SIGINT), zipfile.ZipFile._open_to_write, 0
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupted(archive, entry, **options):
        nonlocal n_opened
        handle = opened(archive, entry, **options)
        n_opened += 1
        # By then there is a model.
        if n_opened == 200:
            signal.raise_signal(signal.SIGINT)
        return handle

    try:
        with monkeypatch.context() as patch:
            patch.setattr(zipfile.ZipFile, "_open_to_write", interrupted)
            with pytest.warns(ConvergenceWarning, match="interrupted"):
                stopped = GaussianMixture(**settings, max_iter=3).fit(X)
            assert stopped.stop_reason_ == "interrupted"
            assert n_opened > 200
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert [file.name for file in tmp_path.iterdir()] == ["fit.ckpt"]
    with pytest.warns(ConvergenceWarning):
        resumed = GaussianMixture(**settings, max_iter=3).fit(X, resume=True)
    np.testing.assert_array_equal(resumed.means_, whole.means_)


def rewrite(path, **changes):
    with np.load(path) as archive:
        arrays = dict(archive)
    for name, change in changes.items():
        name = name.replace("__", "/")
        if change is None:
            del arrays[name]
        else:
            arrays[name] = change(arrays[name])
    np.savez(path, **arrays)


def edit_header(**changes):
    return lambda header: np.array(json.dumps({**json.loads(str(header)), **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"header": None}, "no header"),
        ({"header": edit_header(format="other")}, "no header of this format"),
        ({"header": edit_header(version=99)}, "version 99.*Upgrade"),
        ({"header": edit_header(**{"class": "Unknown"})}, "damaged"),
        ({"header": edit_header(settings={"n_components": -1})}, "damaged"),
        ({"family__means": None}, "damaged"),
        ({"family__whitening": lambda a: a[:1]}, "damaged.*whitening"),
        ({"family__means": lambda a: a * np.nan}, "damaged.*means"),
        ({"family__means": lambda a: a.astype(np.float32)}, "damaged"),
    ],
)
def test_a_damaged_model_is_refused(changes, message, X, tmp_path):
    path = tmp_path / "model.npz"
    GaussianMixture(2, random_state=0).fit(X).save(path)
    rewrite(path, **changes)
    with pytest.raises(ModelFileError, match=message):
        fastem.load(path)


def test_other_files_are_refused(X, tmp_path):
    with pytest.raises(FileNotFoundError):
        fastem.load(tmp_path / "nothing.npz")
    text = tmp_path / "text.npz"
    text.write_text("hello")
    with pytest.raises(ModelFileError, match="not a model"):
        fastem.load(text)
    np.save(tmp_path / "array.npy", np.ones(3))
    with pytest.raises(ModelFileError, match="not a model"):
        fastem.load(tmp_path / "array.npy")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(ModelFileError, match="no header"):
        fastem.load(tmp_path / "other.npz")
    with zipfile.ZipFile(tmp_path / "objects.npz", "w") as archive, archive.open("header.npy", "w") as file:
        np.lib.format.write_array(file, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ModelFileError):
        fastem.load(tmp_path / "objects.npz")
    path = tmp_path / "model.npz"
    GaussianMixture().fit(X).save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelFileError):
        fastem.load(path)
