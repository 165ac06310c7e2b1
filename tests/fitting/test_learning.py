"""Online and incremental fits, and streams: the batch optimum, interruption, checkpoints, drift, bounded memory."""

from __future__ import annotations

import gc
import pickle
import warnings
from itertools import count

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import fastem
from fastem import Checkpoint, GaussianMixture, Online
from fastem.fitting import incremental, problem
from fastem.schedules import online
from fastem.schedules.prequential import MAX_POINTS
from fastem.sources import shuffle
from tests.cases import memory_of
from tests.fitting.test_checkpoint import DYING, killed, undisturbed

COVARIANCE_TYPES = ["full", "tied", "diag", "spherical"]
METHODS = ["online", "incremental"]
START = {"means_init": [[0.5, 0.5], [3.0, 2.0], [1.0, 4.0]], "weights_init": [0.3, 0.3, 0.4], "random_state": 0}
# Many small batches: threads that wait for each other on a busy machine would take all the time.
SETTINGS = {"n_components": 3, "random_state": 0, "n_threads": 1}
FITTED = ("weights_", "means_", "covariances_")


def rows(n_rows=20_000, seed=0, is_sorted=False):
    random = np.random.default_rng(seed)
    component = random.choice(3, size=n_rows, p=[0.2, 0.3, 0.5])
    if is_sorted:
        component.sort()
    means = np.array([[0.0, 0.0], [4.0, 1.0], [0.0, 5.0]])
    return means[component] + random.normal(size=(n_rows, 2))


def fitted(X, sample_weight=None, resume=False, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture = GaussianMixture(**{**SETTINGS, **settings})
        return mixture.fit(X, sample_weight=sample_weight, resume=resume)


def assert_same_model(a, b, names=(*FITTED, "lower_bounds_", "n_iter_", "n_steps_", "stop_reason_")):
    for name in names:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


# The optimum.


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_the_optimum_is_that_of_batch_em(covariance_type, method):
    X = rows()
    batch = fitted(X, covariance_type=covariance_type, **START)
    mixture = fitted(X, covariance_type=covariance_type, schedule=method, tol=1e-4, **START)
    assert mixture.converged_
    assert mixture.lower_bound_ == pytest.approx(batch.lower_bound_, abs=2e-4)
    assert mixture.fit_report_.loglik == pytest.approx(mixture.score(X), abs=1e-12)
    assert mixture.lower_bound_ < mixture.fit_report_.loglik
    np.testing.assert_allclose(mixture.means_, batch.means_, atol=0.05)
    assert len(mixture.lower_bounds_) == mixture.n_iter_ + 1


@pytest.mark.parametrize("method", METHODS)
def test_weights_count_as_repeated_rows(method):
    X = rows()
    weight = np.where(X[:, 0] > 2, 3.0, 1.0)
    repeated = np.repeat(X, weight.astype(int), axis=0)
    settings = {"schedule": method, "tol": 1e-4, **START}
    weighted, expected = fitted(X, weight, **settings), fitted(repeated, **settings)
    assert weighted.lower_bound_ == pytest.approx(expected.lower_bound_, abs=1e-3)
    np.testing.assert_allclose(weighted.weights_, expected.weights_, atol=0.01)
    np.testing.assert_allclose(weighted.means_, expected.means_, atol=0.05)
    assert abs(weighted.weights_ - fitted(X, **settings).weights_).max() > 0.1


def test_an_online_fit_tells_its_course():
    mixture = fitted(rows(), schedule="online", tol=1e-3)
    report = mixture.fit_report_
    note = report.online
    # A twentieth is held out.
    assert mixture.n_steps_ == note.n_updates == 95 * mixture.n_iter_
    assert note.weight == 19_000 * mixture.n_iter_
    assert 0.0 <= report.remaining < 1e-3
    assert note.prequential_rows[-1] == note.weight
    assert len(note.held_out_gains) == len(note.held_out_bounds) == mixture.n_iter_
    assert all(gain <= bound for gain, bound in zip(note.held_out_gains, note.held_out_bounds, strict=True))
    assert note.held_out_bounds[-1] < mixture.tol <= min(note.held_out_bounds[:-1])
    assert note.prequential_loglik[-1] > note.prequential_loglik[0]
    assert note.alarms == ()
    assert f"stopped: converged after {mixture.n_iter_} epoch" in str(report)
    assert f"online: {note.n_updates} updates on rows of total weight {note.weight:.10g}" in str(report)
    long = fitted(rows(3000), schedule=Online(batch_size=10), tol=0.0, max_iter=5).fit_report_.online
    assert long.n_updates == 1425
    assert len(long.prequential_loglik) <= MAX_POINTS


def test_no_row_is_held_out_of_a_few():
    X = rows(600)
    mixture = fitted(X, schedule="online", max_iter=3)
    assert mixture.fit_report_.online.weight == 1800


def test_the_best_of_several_online_starts_is_kept():
    mixture = fitted(rows(), schedule="online", n_init=3, search="restarts", tol=1e-3, init_params="random_from_data")
    runs = mixture.fit_report_.runs
    assert len(runs) == 3
    assert mixture.lower_bound_ == max(run.objective for run in runs)
    assert mixture.fit_report_.loglik == pytest.approx(mixture.score(rows()), abs=1e-12)


def test_batch_size_is_the_number_of_rows_of_an_update():
    assert fitted(rows(), schedule=Online(batch_size=1900), max_iter=1).n_steps_ == 10


# The order of rows.


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_file_is_shuffled_like_the_array(tmp_path, dtype):
    X = rows(60_000, is_sorted=True).astype(dtype)
    np.save(tmp_path / "rows.npy", X)
    settings = {"schedule": "online", "max_iter": 2}
    array = fitted(X, **settings)
    assert_same_model(fitted(tmp_path / "rows.npy", **settings), array)
    sources = (tmp_path / "rows.npy", X)
    assert_same_model(*(fitted(source, **settings, memory_limit=memory_of(1000, source)) for source in sources))
    assert array.lower_bound_ == pytest.approx(fitted(X).lower_bound_, abs=1e-3)


@pytest.fixture
def small_windows(monkeypatch):
    """Rows are mixed within 8 chunks, as those of more than 64 MB are."""
    monkeypatch.setattr(shuffle, "_WINDOW_BYTES", 1)


def test_sorted_rows_that_cannot_be_shuffled_are_told(small_windows):
    pieces = np.array_split(rows(20_000, is_sorted=True), 11)
    settings = {"schedule": "online", "memory_limit": memory_of(528, pieces[0]), "max_iter": 2}
    with pytest.warns(UserWarning, match=r"seem to be sorted.*schedule='incremental', or a shuffled copy") as caught:
        fitted(lambda: iter(pieces), **settings)
    assert [warning.category for warning in caught] == [UserWarning]
    fitted(lambda: iter(np.array_split(rows(20_000), 11)), **settings)
    fitted(lambda: iter(np.array_split(rows(100), 3)), **settings)
    mixture = fitted(lambda: iter(pieces), schedule="incremental", tol=1e-6)
    assert mixture.lower_bound_ == pytest.approx(fitted(np.concatenate(pieces), tol=1e-6).lower_bound_, abs=1e-5)


def test_the_order_of_few_rows_in_many_columns_is_no_alarm(small_windows):
    order = shuffle.RowOrder()
    random = np.random.default_rng(0)
    for _ in range(16):
        order.add(fastem.sources.Chunk(random.normal(size=(20, 5000)), None, 0))
    assert not order.is_sorted()


# Ends from outside.


def stopping_at(monkeypatch, n, event):
    """Something happens instead of E-step number `n` of a batch or a block."""
    counter = count(1)

    def wrapped(original):
        def e_step(self, *arguments):
            if next(counter) == n:
                event()
            return original(self, *arguments)

        return e_step

    for owner in (fastem.model.Model, incremental._Blocks):
        monkeypatch.setattr(owner, "e_step", wrapped(owner.e_step))


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [30, 300])
def test_an_interrupted_fit_goes_on_to_the_same_bits(method, n, tmp_path, monkeypatch):
    X = rows(8000)
    settings = {
        "schedule": Online(batch_size=100) if method == "online" else method,
        "tol": 0.0,
        "max_iter": 6,
        "n_init": 2,
        "search": "restarts",
    }
    whole = fitted(X, **settings)
    path = tmp_path / "fit.npz"
    with monkeypatch.context() as patch:
        stopping_at(patch, n, interrupt)
        with pytest.warns(ConvergenceWarning, match=r"interrupted after \d+ iterations.*resume=True"):
            stopped = GaussianMixture(3, random_state=0, checkpoint=Checkpoint(path, every=0.0), **settings).fit(X)
    assert stopped.fit_report_.runs[-1].stop_reason == "interrupted"
    assert np.isfinite(stopped.score(X))
    assert_same_model(fastem.load(path), stopped)
    assert_same_model(fitted(X, resume=True, checkpoint=path, **settings), whole)


def test_an_interrupt_of_the_last_pass_ends_cleanly(monkeypatch, tmp_path):
    X = rows(5000)
    settings = {"schedule": "online", "tol": 1e-3, "checkpoint": tmp_path / "fit.npz"}
    whole = fitted(X, **settings)
    with monkeypatch.context() as patch:
        patch.setattr(problem.Problem, "e_step", lambda self, params: interrupt())
        stopped = fitted(X, **settings)
    assert stopped.stop_reason_ == "interrupted"
    np.testing.assert_array_equal(stopped.means_, whole.means_)
    assert_same_model(fitted(X, resume=True, **settings), whole)


def test_an_online_fit_that_fails_keeps_what_it_learnt(monkeypatch):
    def fail():
        raise OSError("gone")

    stopping_at(monkeypatch, 50, fail)
    mixture = GaussianMixture(3, random_state=0, schedule="online")
    with pytest.raises(OSError, match="gone"):
        mixture.fit(rows())
    assert mixture.stop_reason_ == "failed"
    assert mixture.n_steps_ == 49


def test_a_checkpoint_does_not_end_a_search_with_warm_start(tmp_path):
    settings = {"n_init": 3, "search": "restarts", "init_params": "random_from_data", "max_iter": 5}
    kept = fitted(rows(), warm_start=True, checkpoint=Checkpoint(tmp_path / "fit.npz", every=0.0), **settings)
    assert_same_model(kept, fitted(rows(), **settings))
    assert len(kept.fit_report_.runs) == 3


def test_another_size_of_batches_is_another_fit(tmp_path):
    settings = {"checkpoint": tmp_path / "fit.npz", "max_iter": 1}
    fitted(rows(3000), schedule="online", **settings)
    with pytest.raises(ValueError, match="batch_size=None, but now it is 50"):
        fitted(rows(3000), resume=True, schedule=Online(batch_size=50), **settings)


KILLED = f"""{DYING}
(method,) = more
mixture = GaussianMixture(
    3, random_state=0, max_iter=4, tol=0.0, schedule=Online(batch_size=500) if method == "online" else method,
    checkpoint=Checkpoint(checkpoint, every=0.0), n_threads=1,
)
mixture.fit(path, resume=True).save(result)
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_fit_goes_on_to_the_same_bits(tmp_path, method):
    np.save(tmp_path / "rows.npy", rows(10_000))
    path, checkpoint, result = (str(tmp_path / name) for name in ("rows.npy", "fit.npz", "result.npz"))
    whole = undisturbed(KILLED, path, str(tmp_path), method)
    killed(KILLED, path, checkpoint, result, [("after", 1), ("before", 9)], method)
    assert_same_model(fastem.load(result), whole)


# Streams.


def learnt(batches, **settings):
    mixture = GaussianMixture(**{**SETTINGS, **settings})
    for batch in batches:
        mixture.partial_fit(batch)
    return mixture


def test_rows_are_held_back_until_there_are_enough():
    X = rows(200)
    mixture = learnt([X[:13], X[13:20]])
    with pytest.raises(NotFittedError, match=r"has seen 20, and needs at least 10 more that are different"):
        mixture.predict(X)
    with pytest.raises(NotFittedError, match="waits for rows"):
        mixture.save("nowhere")
    mixture.partial_fit(X[:9])
    mixture.partial_fit(X[20:21])
    with pytest.raises(NotFittedError, match=r"has seen 30, and needs at least 9 more"):
        mixture.sample()
    mixture.partial_fit(X[21:30])
    assert mixture.n_steps_ == 1
    assert mixture.fit_report_.n_rows == 39


def test_the_way_rows_are_cut_hardly_matters():
    X = rows(6000)
    whole = learnt([X], schedule=Online(batch_size=200))
    assert whole.score(X) == pytest.approx(fitted(X).lower_bound_, abs=0.01)
    random = np.random.default_rng(0)
    cuts = np.cumsum(random.integers(1, 8, size=3000))
    small = learnt(np.split(X, cuts[cuts < 6000]))
    assert small.score(X) == pytest.approx(fitted(X).lower_bound_, abs=0.02)
    assert small.fit_report_.n_rows == 6000


def test_equal_rows_start_in_the_end():
    mixture = learnt(np.ones((1600, 1, 2)))
    np.testing.assert_allclose(mixture.means_, 1.0)
    assert np.isfinite(mixture.score_samples(np.ones((1, 2)))).all()
    assert "collapsed at update" in str(mixture.fit_report_)


def test_weights_of_a_stream():
    X = rows(4000)
    weight = np.random.default_rng(1).integers(0, 3, 4000).astype(float)
    mixture = GaussianMixture(3, random_state=0)
    for part, of_part in zip(np.split(X, 8), np.split(weight, 8), strict=True):
        mixture.partial_fit(part, sample_weight=of_part)
    assert mixture.fit_report_.weight == weight.sum()
    assert mixture.score(X, sample_weight=weight) == pytest.approx(fitted(X, weight).lower_bound_, abs=0.02)


def test_what_does_not_fit_a_stream_is_told():
    frame = pd.DataFrame(rows(100), columns=["a", "b"])
    mixture = GaussianMixture(3, random_state=0).partial_fit(frame)
    assert mixture.feature_names_in_.tolist() == ["a", "b"]
    twin = GaussianMixture(3, random_state=0).partial_fit(frame).partial_fit(frame)
    np.testing.assert_array_equal(mixture.partial_fit(frame[["b", "a"]]).means_, twin.means_, "columns go by name")
    with pytest.raises(ValueError, match="X has no column b"):
        mixture.partial_fit(frame[["a"]])
    with pytest.raises(ValueError, match="X has 3 features, but GaussianMixture is expecting 2"):
        learnt([rows(100), np.ones((5, 3))])
    with pytest.raises(ValueError, match="X has 3 features, but GaussianMixture is expecting 2"):
        learnt([rows(5), np.ones((5, 3))])
    for change in ({"n_components": 2}, {"covariance_type": "diag"}):
        with pytest.raises(ValueError, match=r"partial_fit continues from .*\. Use a new estimator, or fit\."):
            learnt([rows(100)]).set_params(**change).partial_fit(rows(10))
    assert learnt([rows(100)]).set_params(n_components=2).fit(rows(500)).partial_fit(rows(10)).means_.shape == (2, 2)


def test_an_array_with_an_unusable_value_teaches_nothing():
    X = rows(5000)
    mixture, twin = learnt([X]), learnt([X])
    broken = X.copy()
    broken[4500, 1] = np.inf
    with pytest.raises(ValueError, match="row 4500, column 1"):
        mixture.partial_fit(broken)
    assert_same_model(mixture.partial_fit(X), twin.partial_fit(X), FITTED)
    fresh = GaussianMixture(3, random_state=0)
    with pytest.raises(ValueError, match="row 4500, column 1"):
        fresh.partial_fit(broken)
    fresh.partial_fit(X[:, :1])


def test_an_iterator_is_learnt_from_piece_by_piece():
    X, weight = rows(4000), np.random.default_rng(0).uniform(0.5, 2.0, 4000)
    expected = learnt(np.split(X, 8))
    assert_same_model(GaussianMixture(3, random_state=0).partial_fit(iter(np.split(X, 8))), expected, FITTED)
    weighted = GaussianMixture(3, random_state=0).partial_fit(zip(np.split(X, 8), np.split(weight, 8), strict=True))
    assert weighted.fit_report_.weight == pytest.approx(weight.sum())
    with pytest.raises(ValueError, match=r"let it yield pairs \(rows, weights\)"):
        GaussianMixture().partial_fit(iter([X]), sample_weight=weight)
    with pytest.raises(ValueError, match="an array of 2 numbers, but rows and columns are expected"):
        GaussianMixture().partial_fit(iter(X))
    with pytest.raises(ValueError, match="an array of 2 numbers"):
        GaussianMixture().partial_fit(iter(X.tolist()))


def test_an_interrupt_ends_an_endless_stream(tmp_path):
    def endless(n_pieces):
        for seed in range(n_pieces):
            yield rows(500, seed)
        raise KeyboardInterrupt

    mixture = GaussianMixture(3, random_state=0, checkpoint=tmp_path / "stream.npz").partial_fit(endless(20))
    assert mixture.fit_report_.n_rows == 10_000
    assert fastem.load(tmp_path / "stream.npz").fit_report_.n_rows == 10_000
    with pytest.raises(KeyboardInterrupt):
        GaussianMixture(3).partial_fit(endless(0))


def test_attributes_follow_what_was_learnt_before_an_interrupt(monkeypatch):
    mixture = learnt([rows(2000)])
    stopping_at(monkeypatch, 3, interrupt)
    with pytest.raises(KeyboardInterrupt):
        mixture.partial_fit(rows(10_000, seed=1))
    monkeypatch.undo()
    assert mixture.fit_report_.n_rows == 6000
    assert_same_model(mixture, learnt([rows(2000), rows(10_000, seed=1)[:4000]]), FITTED)


@pytest.mark.parametrize("before", ["fit", "load", "from_parameters"])
def test_a_stream_goes_on_from_known_parameters(before, tmp_path):
    X = rows(20_000)
    mixture = fitted(X)
    known = mixture.means_
    if before == "load":
        mixture.save(tmp_path / "model.npz")
        mixture = fastem.load(tmp_path / "model.npz")
    elif before == "from_parameters":
        mixture = GaussianMixture.from_parameters(mixture.weights_, known, mixture.covariances_)
    mixture.partial_fit(rows(50, seed=1))
    atol = 1.0 if before == "from_parameters" else 0.1
    np.testing.assert_allclose(mixture.means_, known, atol=atol)
    assert not np.array_equal(mixture.means_, known)
    assert not hasattr(mixture, "converged_")
    assert not hasattr(mixture, "lower_bounds_")
    assert mixture.fit_report_.n_rows == (50 if before == "from_parameters" else 20_050)


@pytest.mark.parametrize(("how", "n_before"), [("pickle", 20), ("pickle", 700), ("file", 700)])
def test_a_stream_that_was_put_away_goes_on_with_the_same_bits(how, n_before, tmp_path):
    X = rows(3000)
    settings = {"schedule": Online(half_life=500.0, averaging_start=3)}
    mixture = learnt([X[:n_before]], **settings)
    if how == "pickle":
        mixture = pickle.loads(pickle.dumps(mixture))
    else:
        mixture.save(tmp_path / "stream.npz")
        mixture = fastem.load(tmp_path / "stream.npz")
    twin = learnt([X[:n_before]], **settings)
    for part in np.split(X[n_before:2900], 4):
        mixture.partial_fit(part)
        twin.partial_fit(part)
    assert_same_model(mixture, twin, (*FITTED, "n_steps_"))
    assert mixture.fit_report_.online == twin.fit_report_.online


def test_a_checkpoint_of_a_stream_goes_on(tmp_path):
    path = tmp_path / "stream.npz"
    parts = np.split(rows(4000), 8)
    learnt(parts[:5], checkpoint=Checkpoint(path, every=0.0))
    mixture = fastem.load(path)
    for part in parts[5:]:
        mixture.partial_fit(part)
    assert_same_model(mixture, learnt(parts), (*FITTED, "n_steps_"))


# Drift.


def test_a_change_calls_on_drift_once_and_is_in_the_report():
    told = []

    def notify(mixture):
        told.append((mixture.fit_report_.online.alarms, mixture.score(rows(100))))

    mixture = GaussianMixture(3, random_state=0, schedule=Online(half_life=5000.0, batch_size=200, on_drift=notify))
    for seed in range(20):
        mixture.partial_fit(rows(2000, seed))
    assert told == []
    for seed in range(20):
        mixture.partial_fit(rows(2000, seed) + [6.0, -3.0])
    assert len(told) == 1
    alarms = mixture.fit_report_.online.alarms
    assert told[0][0] == alarms
    assert 40_000 < alarms[0] < 46_000
    assert f"drift: detected after rows of total weight {alarms[0]:.10g}" in str(mixture.fit_report_)


@pytest.mark.parametrize("jump", [0.0, 1.0, 3.0, 50.0, 1e3, 1e6])
def test_a_jump_of_any_size_alarms_once(jump):
    """A batch does not move what it is judged by."""
    random = np.random.default_rng(1)
    told = []
    mixture = GaussianMixture(2, random_state=0, schedule=Online(batch_size=200, on_drift=lambda m: told.append(m)))
    for n in range(200):
        batch = np.concatenate([random.normal(-4, 1, 100), random.normal(4, 1, 100)])
        mixture.partial_fit(batch[:, None] + (jump if n >= 100 else 0.0))
    assert len(told) == len(mixture.fit_report_.online.alarms) == (jump > 0.0)
    if jump:
        assert 20_000 < mixture.fit_report_.online.alarms[0] < 22_000


def test_a_change_during_an_online_fit_is_told_with_a_fitted_model(small_windows):
    told = []
    X = rows(120_000)
    X[60_000:] += [8.0, -4.0]
    pieces = np.array_split(X, 7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixture = GaussianMixture(
            3,
            random_state=0,
            schedule=Online(on_drift=lambda m: told.append(m.means_)),
            max_iter=1,
            memory_limit=memory_of(528, X),
        ).fit(lambda: iter(pieces))
    assert len(told) == len(mixture.fit_report_.online.alarms) == 1


def test_forgetting_follows_a_drift():
    batches = [rows(500, seed) + 0.1 * seed for seed in range(100)]
    score = {
        half_life: learnt(batches, schedule=Online(half_life=half_life)).score(batches[-1])
        for half_life in (None, 1000.0)
    }
    assert score[1000.0] > score[None] + 0.05


def test_a_half_life_is_a_forgetting_factor():
    batches = np.split(rows(4000), 8)
    a, b = (
        learnt(batches, schedule=Online(half_life=700.0)),
        learnt(batches, schedule=Online(forgetting_factor=2.0 ** (-1.0 / 700.0))),
    )
    assert_same_model(a, b, FITTED)
    with pytest.raises(ValueError, match="forgetting_factor and half_life say the same thing"):
        learnt(batches, schedule=Online(half_life=700.0, forgetting_factor=0.9))


# Long streams.


def test_memory_does_not_grow():
    X = rows(2000)
    mixture = learnt([X])
    sizes, n_objects = [], []
    for n in range(2600):
        mixture.partial_fit(X[n % 2000 : n % 2000 + 1])
        if n in (1100, 2599):
            sizes.append(len(pickle.dumps(mixture)))
            gc.collect()
            n_objects.append(len(gc.get_objects()))
    assert sizes[1] < sizes[0] + 20_000 < 100_000
    assert n_objects[1] < n_objects[0] + 100
    assert len(mixture.fit_report_.online.prequential_loglik) <= MAX_POINTS


def test_the_report_of_a_stream_reads_well():
    report = str(learnt([rows(500)]).fit_report_)
    assert report.startswith("partial_fit: 500 rows so far\nobjective: -3.")
    assert "online: 1 update on rows of total weight 500" in report
    assert "nan" not in report
    assert "iterations" not in report
    quiet = fitted(rows(500)).partial_fit(rows(5), sample_weight=np.full(5, 1e-300)).fit_report_
    assert "nan" not in str(quiet)


def test_rows_of_a_batch_are_those_of_the_schedule():
    assert learnt([rows(2 * online.MAX_ROWS + 1)]).n_steps_ == 3
    assert learnt([rows(2 * online.MAX_ROWS + 1)], schedule=Online(batch_size=500)).n_steps_ == 9


def test_a_code_that_a_start_does_not_know_is_told():
    """The first rows of an array begin the model, and a later batch of it holds a category that they have not."""
    random = np.random.default_rng(0)
    model = fastem.Mixture("categorical", 2, random_state=0).partial_fit(random.integers(0, 3, (5, 2)).astype(float))
    X = np.concatenate([random.integers(0, 3, (6000, 2)), [[7, 1]]]).astype(float)
    with pytest.raises(ValueError, match=r"row 6000, column 0 is 7\.0"):
        model.partial_fit(X)
