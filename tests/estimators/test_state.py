"""The state of an estimator: what is shown is what counts, and what fails changes nothing."""

from __future__ import annotations

import copy
import json
import pickle
import warnings

import numpy as np
import pytest

import fastem
from fastem import Checkpoint, GaussianHMM, GaussianMixture, Mixture
from fastem.passes import row_pass, score_pass
from fastem.passes.rows import rows_of, weights_of
from fastem.persistence import ModelFileError

X = np.repeat([[0.0, 0.0], [8.0, 8.0]], 20, axis=0) + np.resize([-1.0, 0.5, 1.0], (40, 2))


def fitted(make=GaussianMixture, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(2, random_state=0, **settings).fit(X)


def by_hand():
    mixture = GaussianMixture(2)
    mixture.weights_, mixture.means_ = [0.5, 0.5], [[0.0], [9.0]]
    mixture.covariances_ = np.ones((2, 1, 1))
    hmm = GaussianHMM(2)
    hmm.startprob_, hmm.transmat_ = [0.5, 0.5], np.full((2, 2), 0.5)
    hmm.means_, hmm.covars_ = [[0.0], [9.0]], np.ones((2, 1))
    poisson = Mixture("poisson", 2)
    poisson.weights_, poisson.rates_ = [0.5, 0.5], [[1.0], [9.0]]
    return [mixture, hmm, poisson]


@pytest.mark.parametrize("model", by_hand(), ids=lambda model: type(model).__name__)
def test_parameters_set_by_hand_need_no_fit(model, tmp_path):
    assert model.predict([[0.0], [9.0]]).tolist() == [0, 1]
    model.save(tmp_path / "model.npz")
    assert fastem.load(tmp_path / "model.npz").predict([[0.0], [9.0]]).tolist() == [0, 1]
    assert len(model.sample(3)[0]) == 3


def test_a_factor_of_the_precision_stands_for_a_covariance():
    mixture = GaussianMixture(1)
    mixture.weights_, mixture.means_, mixture.precisions_cholesky_ = [1.0], [[0.0, 0.0]], [[[2.0, 1.0], [0.0, 1.0]]]
    factor = np.array([[2.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(mixture.precisions_cholesky_ if mixture.sample(1) else 0, factor[None], rtol=1e-12)
    np.testing.assert_allclose(mixture.covariances_[0], np.linalg.inv(factor @ factor.T), rtol=1e-12)


@pytest.mark.parametrize("make", [GaussianMixture, GaussianHMM])
def test_a_changed_attribute_counts_and_one_in_place_is_refused(make):
    model = fitted(make)
    before = model.predict(X)
    for changed in (model, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        with pytest.raises(ValueError, match="read-only"):
            changed.means_[0] = 5.0
        changed.means_ = changed.means_[::-1]
        if make is GaussianHMM:
            changed.startprob_ = changed.startprob_[::-1]
        np.testing.assert_array_equal(changed.predict(X), 1 - before)
        changed.means_ = np.full((3, 2), 1.0)
        with pytest.raises(ValueError, match=r"3 components|must have the shape"):
            changed.predict(X)


def test_attributes_that_contradict_each_other_are_refused():
    mixture = fitted()
    mixture.covariances_, mixture.precisions_ = mixture.covariances_ * 2.0, mixture.precisions_ * 2.0
    with pytest.raises(ValueError, match="precisions_ was set to values that contradict"):
        mixture.predict(X)


@pytest.mark.parametrize("make", [GaussianMixture, GaussianHMM])
@pytest.mark.parametrize("width", [1, 5])
def test_a_fit_that_is_refused_changes_nothing(make, width):
    model = fitted(make)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="infinity"):
        model.fit(np.full((40, width), np.inf))
    assert vars(model) == before
    with pytest.raises(ValueError, match="features"):
        model.predict(np.zeros((3, width)))


def test_rows_that_are_refused_teach_nothing():
    mixture = Mixture("poisson", 1, random_state=0).partial_fit(np.arange(60.0))
    before = mixture.rates_
    with pytest.raises(ValueError, match="do not suit"):
        mixture.partial_fit(np.append(np.full(5000, 50.0), -1.0))
    assert mixture.rates_ is before


@pytest.mark.parametrize("make", [GaussianMixture, GaussianHMM])
def test_settings_that_were_changed_do_not_change_the_model(make, tmp_path):
    model = fitted(make)
    before = model.predict_proba(X)
    model.set_params(n_components=3, covariance_type="spherical")
    np.testing.assert_array_equal(model.predict_proba(X), before)
    model.save(tmp_path / "model.npz")
    loaded = fastem.load(tmp_path / "model.npz")
    assert loaded.n_components == 2
    np.testing.assert_array_equal(loaded.predict_proba(X), before)


@pytest.mark.parametrize("what", ["columns", "weights", "outputs", "params", "lanes"])
def test_a_pass_refuses_arrays_that_do_not_fit(what):
    model = fitted()
    params, rows, weight = model._params, rows_of(X), weights_of(None)
    lanes, family = model._model.accumulator(params)._lanes, params.family
    if what == "columns":
        rows = rows_of(np.zeros((40, 5)))
    if what == "weights":
        weight = weights_of(np.ones(3))
    if what == "params":
        family = family._replace(tiles=family.tiles[:1])
    if what == "lanes":
        lanes = lanes._replace(weight=lanes.weight[:0])
    out = np.empty(3, dtype=np.int64)
    with pytest.raises(ValueError, match=r"shape|lanes|weights"):
        score_pass.score_pass(family, params.latent, rows, lanes.latent, label=out) if what == "outputs" else (
            row_pass.fused_pass(family, params.latent, rows, weight, lanes)
        )


def rewritten(path, change):
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(str(arrays.pop("header")))
    change(header, arrays)
    np.savez(path, header=np.array(json.dumps(header)), **arrays)


@pytest.mark.parametrize(
    "change",
    [
        lambda header, arrays: header["fitted"].update(predict=5),
        lambda header, arrays: header["fitted"].update(__dict__={}),
        lambda header, arrays: header["fitted"].update(n_iter_="many"),
        lambda header, arrays: header["settings"].update(unheard_of=1),
        lambda header, arrays: header["settings"].update(checkpoint="elsewhere"),
        lambda header, arrays: header.update(version="new"),
        lambda header, arrays: arrays["latent/weights"].__setitem__(0, -1.0),
        lambda header, arrays: arrays["latent/weights"].__setitem__(0, 1e300),
        lambda header, arrays: arrays["family/covariances"].__imul__(-1.0),
        lambda header, arrays: arrays["constraint/variance_floor"].__imul__(-1.0),
    ],
)
def test_a_file_is_not_trusted(change, tmp_path):
    path = tmp_path / "model.npz"
    fitted().save(path)
    rewritten(path, change)
    with pytest.raises(ModelFileError):
        fastem.load(path)


def test_factors_are_made_anew(tmp_path):
    path, model = tmp_path / "model.npz", fitted()
    model.save(path)
    rewritten(path, lambda header, arrays: arrays["family/whitening"].__imul__(3.0))
    np.testing.assert_array_equal(fastem.load(path).score_samples(X), model.score_samples(X))


@pytest.mark.parametrize("seed", range(60))
def test_a_file_of_random_changes_is_refused_or_works(seed, tmp_path):
    path, random = tmp_path / "model.npz", np.random.default_rng(seed)
    fitted().save(path)
    content = bytearray(path.read_bytes())
    for place in random.integers(len(content), size=3):
        content[place] = random.integers(256)
    path.write_bytes(bytes(content))
    try:
        model = fastem.load(path)
    except (ModelFileError, OSError):
        return
    assert np.isfinite(model.predict_proba(np.zeros((3, model.n_features_in_)))).all()


@pytest.mark.parametrize("changed", [{"startprob_prior": 2.0}, {"transmat_prior": "left-right"}, {"lengths": [10, 30]}])
def test_a_checkpoint_of_another_chain_is_refused(changed, tmp_path):
    settings = {"n_components": 2, "random_state": 0, "checkpoint": str(tmp_path / "fit.npz"), "n_iter": 2, "tol": 0.0}
    changed = dict(changed)
    lengths = changed.pop("lengths", [20, 20])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        GaussianHMM(**settings).fit(X, [20, 20])
        with pytest.raises(ValueError, match="The checkpoint is of"):
            GaussianHMM(**{**settings, **changed}).fit(X, lengths, resume=True)


def failing(n_pieces):
    """A function that gives rows piece by piece; its source breaks at a piece, counted over all passes."""
    given = []

    def pieces():
        for start in range(0, len(X), 10):
            given.append(start)
            if len(given) == n_pieces:
                raise OSError("the disk is gone")
            yield 3.0 * X[start : start + 10] + 1.0

    return pieces


@pytest.mark.parametrize("settings", [{}, {"schedule": "incremental"}], ids=["batch", "incremental"])
@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("make", [GaussianMixture, GaussianHMM])
def test_a_fit_that_fails_before_its_first_iteration_keeps_the_old_model(make, checkpoint, settings, tmp_path):
    n_iter = []
    for n_pieces in range(1, 40):
        model = fitted(make, **settings)
        if checkpoint:
            model.set_params(checkpoint=Checkpoint(tmp_path / f"{n_pieces}.npz", every=0.0))
        before = dict(vars(model))
        try:
            model.fit(failing(n_pieces))
        except OSError:
            if vars(model) != before:
                n_iter.append(model.n_iter_)
        except Warning:
            break
        assert np.isfinite(model.score(X))
    assert 0 not in n_iter
    assert n_iter == sorted(n_iter)
