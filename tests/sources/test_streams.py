"""Rows that are read piece by piece: the same answer as in memory, and honest errors when they change."""

from __future__ import annotations

import os
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

import fastem
from fastem import GaussianMixture, open_source
from fastem.fitting.memory import parse_bytes
from fastem.passes.units import ROWS_PER_RUN
from fastem.sources import ArraySource, SequenceSource, SourceError, as_source
from fastem.sources.shared import read_ahead
from fastem.sources.shuffle import shuffled
from tests.cases import CASES, assert_close, e_step, memory_of, unit_lengths, unit_weights

SETTINGS = {"n_components": 3, "random_state": 0, "max_iter": 4, "tol": 0.0}
COVARIANCE_TYPES = ["full", "tied", "diag", "spherical"]


def rows(n_rows=40_000, n_features=2, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(n_rows, n_features))
    X[: n_rows // 3] += 4.0
    return X


def fitted(X, sample_weight=None, resume=False, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(**{**SETTINGS, **settings}).fit(X, sample_weight=sample_weight, resume=resume)


def assert_same_model(a, b):
    for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


# The same answer.


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_however_rows_arrive_the_bits_are_those_of_the_array(data):
    X = rows(data.draw(st.integers(50, 3 * ROWS_PER_RUN)))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(X) - 1), max_size=8)))
    kind = data.draw(st.sampled_from(COVARIANCE_TYPES))
    weight = np.random.default_rng(1).integers(0, 3, len(X)) + 0.5 if data.draw(st.booleans()) else None
    pieces = np.split(X, cuts)
    expected = fitted(X, weight, covariance_type=kind)
    assert_same_model(fitted(lambda: iter(pieces), weight, covariance_type=kind), expected)
    assert_same_model(fitted(pieces, weight, covariance_type=kind), expected)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_chunks_of_any_size_give_the_same_answer_to_rounding(data):
    case = data.draw(st.sampled_from(CASES))
    n_rows = data.draw(st.integers(1, 3000))
    model = case.model()
    params, X = case.params(model), case.rows(model, n_rows)
    weight = unit_weights(model, n_rows, np.random.default_rng(0))
    accumulator = model.accumulator(params)
    source = as_source([X[: n_rows // 2], X[n_rows // 2 :]] if n_rows > 1 else [X], weight)
    if model.latent.is_chain:
        source = SequenceSource(source, unit_lengths(model, n_rows))
    for chunk in source.chunks(data.draw(st.integers(1, 1000))):
        accumulator.add(chunk)
    assert_close(accumulator.total(), e_step(model, params, X, weight))


@pytest.mark.parametrize("n_rows", [100, 528, 5000, ROWS_PER_RUN + 1])
def test_memory_decides_the_size_of_chunks_and_nothing_else(n_rows):
    X = rows(max(8000, 2 * n_rows))
    limit = memory_of(n_rows, X)
    expected, found = fitted(X), fitted([X], memory_limit=limit)
    np.testing.assert_allclose(found.means_, expected.means_, rtol=1e-10)
    seen = []
    original = ArraySource.chunks

    def spy(self, max_rows=None):
        for chunk in original(self, max_rows):
            # The start samples the rows, and reads the sample in chunks of its own; the scan looks at one row.
            if len(self.X) == len(X) and max_rows is None:
                seen.append(len(chunk))
            yield chunk

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ArraySource, "chunks", spy)
        fitted(X, memory_limit=limit)
    whole = {100: 100, 528: 528, 5000: 9 * 528, ROWS_PER_RUN + 1: ROWS_PER_RUN}
    # The excerpt that tells the scale holds all rows here, and is no stream.
    assert set(seen[:-1]) - {len(X) % whole[n_rows], len(X)} == {whole[n_rows]}


def test_memory_limit_decides_the_size_of_chunks():
    X = rows()
    mixture = fitted([X], memory_limit="1.5MB")
    assert_same_model(mixture, fitted(X))
    sizes = [len(chunk) for chunk in mixture._rows([X]).chunks()]
    assert max(sizes) * 16 * 4 <= 1.5e6
    assert max(sizes) % ROWS_PER_RUN == 0
    assert len(next(fitted([X], memory_limit=16 * 4 * 1000)._rows([X]).chunks())) == 528
    with pytest.raises(ValueError, match="is too small for 4 chunks of one row of 16 bytes"):
        fitted([X], memory_limit=40)
    with pytest.raises(ValueError, match="'much' is not a valid memory size"):
        fitted(X, memory_limit="much")


@pytest.mark.parametrize(
    ("text", "size"), [("512MB", 512 * 10**6), ("2 GiB", 2**31), ("1.5k", 1500), (7, 7), ("12", 12), ("1tb", 10**12)]
)
def test_sizes_of_memory(text, size):
    assert parse_bytes(text) == size


def test_a_column_of_weights_counts_as_weights(tmp_path):
    X = rows(5000)
    weight = np.random.default_rng(1).integers(0, 3, 5000).astype(float)
    frame = pd.DataFrame({"a": X[:, 0], "w": weight, "b": X[:, 1]})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    expected = fitted(X, weight)
    for table in (frame, tmp_path / "rows.csv", str(tmp_path / "*.parquet"), open_source(frame, weight="w")):
        by_name = None if hasattr(table, "chunks") else "w"
        mixture = fitted(table, by_name)
        assert_same_model(mixture, expected)
        assert mixture.feature_names_in_.tolist() == ["a", "b"]
        assert mixture.score(table, sample_weight=by_name) == expected.score(X, sample_weight=weight)


def test_columns_are_found_by_name_in_a_prediction(tmp_path):
    X = rows(3000, 3)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    frame[["c", "a"]].to_parquet(tmp_path / "train.parquet")
    frame.to_parquet(tmp_path / "all.parquet")
    mixture = fitted(tmp_path / "train.parquet")
    expected = fitted(X[:, [2, 0]])
    np.testing.assert_array_equal(mixture.predict(tmp_path / "all.parquet"), expected.predict(X[:, [2, 0]]))
    chosen = open_source(tmp_path / "all.parquet", columns=["b", "a"])
    np.testing.assert_array_equal(mixture.predict(chosen), expected.predict(X[:, [1, 0]]))
    frame[["a", "b"]].to_parquet(tmp_path / "other.parquet")
    with pytest.raises(ValueError, match=r"X has no column c, which the model was fitted to\. Its columns: a, b"):
        mixture.predict(tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="X has 3 features, but GaussianMixture is expecting 2"):
        mixture.predict([X])


def test_scores_of_rows_whose_number_is_not_known():
    X = rows(20_000)
    mixture = fitted(X)
    stream = lambda: iter(np.array_split(X, 7))  # noqa: E731
    np.testing.assert_array_equal(mixture.score_samples(stream), mixture.score_samples(X))
    np.testing.assert_array_equal(mixture.predict(stream), mixture.predict(X))
    np.testing.assert_array_equal(mixture.predict_proba(stream), mixture.predict_proba(X))
    assert mixture.criteria(stream) == pytest.approx(mixture.criteria(X), rel=1e-12)
    assert mixture.icl(stream) == pytest.approx(mixture.icl(X), rel=1e-12)


def test_a_sample_is_that_of_the_array():
    X = rows(30_000)
    weight = (np.arange(30_000) % 3).astype(float)
    for given_weight in (None, weight):
        expected = as_source(X, given_weight).sample(500, np.random.default_rng(3))
        found = as_source(np.array_split(X, 5), given_weight).sample(500, np.random.default_rng(3))
        np.testing.assert_array_equal(found.X, expected.X)
        np.testing.assert_array_equal(found.weight, expected.weight)


def test_a_stream_may_fill_the_same_memory_again_and_again():
    X = rows(200_000, 8)
    buffer = np.empty((100_000, 8))

    def pieces():
        for half in np.split(X, 2):
            buffer[:] = half
            yield buffer

    assert_same_model(fitted(pieces), fitted(X))


def test_labels_and_responsibilities_start_a_stream():
    X = rows(5000)
    labels = np.arange(5000) % 3
    assert_same_model(fitted(np.array_split(X, 3), init_params=labels), fitted(X, init_params=labels))


# What is refused.


def test_an_iterator_is_refused_by_what_reads_many_times():
    with pytest.raises(TypeError, match=r"generator, which can be read once only.*partial_fit"):
        GaussianMixture().fit(piece for piece in [rows(100)])
    with pytest.raises(TypeError, match="can be read once only"):
        open_source(iter([rows(100)]))


def test_a_function_that_returns_the_same_iterator_is_found_out():
    pieces = iter([rows(600), rows(600)])
    with pytest.raises(ValueError, match=r"can be read once only.*Return a new iterator by each call"):
        fitted(lambda: pieces)


def test_a_stream_that_gives_other_rows_at_each_pass_is_found_out():
    n_rows = iter(range(500, 600))
    with pytest.raises(SourceError, match=r"rows 0 to 50. in an earlier pass.*same rows at every pass"):
        fitted(lambda: iter([rows(next(n_rows))]))


@pytest.mark.parametrize("weight", [-1.0, np.nan])
def test_improper_weights_in_a_column_are_named(weight):
    frame = pd.DataFrame({"a": np.arange(50.0), "w": np.where(np.arange(50) == 31, weight, 1.0)})
    with pytest.raises(ValueError, match=r"row 31.*weight in column 'w'"):
        fitted(frame, "w")


@pytest.mark.parametrize(("weight", "word"), [(-1.0, "-1.0"), (np.nan, "missing"), (np.inf, "inf")])
def test_improper_weights_are_named_by_their_file_and_its_own_row(tmp_path, weight, word):
    for name, improper in (("a.parquet", 1.0), ("b.parquet", weight)):
        frame = pd.DataFrame({"x": np.arange(50.0), "w": np.where(np.arange(50) == 31, improper, 1.0)})
        frame.to_parquet(tmp_path / name)
    both = open_source([str(tmp_path / name) for name in ("a.parquet", "b.parquet")], weight="w")
    with pytest.raises(SourceError, match=rf"b\.parquet.*, row 31: the weight in column 'w' is {word}\. Weights must"):
        fitted(both)


def test_all_weights_zero_in_a_column():
    with pytest.raises(ValueError, match="All sample weights are zero"):
        fitted(pd.DataFrame({"a": np.arange(50.0), "w": np.zeros(50)}), "w")


def test_weights_of_another_length_than_a_stream():
    with pytest.raises(ValueError, match=r"sample_weight.shape == \(10,\)"):
        fitted([rows(100)], np.ones(10))


@pytest.mark.parametrize("weight", [[1.0, -1.0], [1.0, np.nan], [[1.0, 2.0]]])
def test_improper_weights_of_a_source_are_refused(weight):
    with pytest.raises(SourceError, match="one finite number for each row"):
        open_source(rows(2), weight=weight)


def test_weights_of_a_source_are_counted_and_not_given_twice():
    X = rows(100)
    frame = pd.DataFrame({"a": X[:, 0], "w": 1.0})
    for table in (X, [X]):
        with pytest.raises(ValueError, match=r"sample_weight.shape == \(10,\)"):
            fitted(open_source(table, weight=np.ones(10)))
        assert_same_model(fitted(open_source(table, weight=np.arange(100.0))), fitted(X, np.arange(100.0)))
    for source in (open_source(X, weight=np.ones(100)), open_source(frame, weight="w")):
        with pytest.raises(ValueError, match="have weights already"):
            fitted(source, np.ones(100))


def test_a_part_of_a_file_that_has_changed_is_not_read(tmp_path):
    """Online epochs read parts; no whole pass would find out before the last."""
    path = tmp_path / "rows.npy"
    np.save(path, rows(60_000))
    source = as_source(path)
    part = source.parts()[-1]
    assert sum(len(chunk) for chunk in source.chunks_of(part)) > 0
    np.save(path, rows(60_000, seed=1))
    with pytest.raises(SourceError, match=r"rows.npy has changed since it was opened, so rows 0 to 59999"):
        next(source.chunks_of(part))


def test_values_that_are_not_finite_are_named_by_row_and_column():
    frame = pd.DataFrame(rows(100), columns=["a", "b"]).astype({"b": "float32"})
    frame.loc[77, "b"] = np.inf
    with pytest.raises(ValueError, match=r"contains infinity.*row 77, column 'b' is inf"):
        fitted(frame)


# Data that change under a fit.


class Tampering:
    """Pieces of rows; before pass number `when` something happens."""

    def __init__(self, X, when, what):
        self.X, self.when, self.what = X, when, what
        self.n_passes = 0

    def __call__(self):
        if self.n_passes == self.when:
            self.what()
        self.n_passes += 1
        return iter(np.array_split(self.X, 4))


def broken():
    raise OSError("the disk is gone")


def test_a_stream_that_breaks_leaves_the_model_of_the_last_whole_iteration(tmp_path):
    X = rows(4000)
    # Before the E-steps: two looks at the columns, one at a row, the scan, and the sample.
    source = Tampering(X, 5 + 4, broken)
    mixture = GaussianMixture(**{**SETTINGS, "max_iter": 10}, checkpoint=tmp_path / "fit.npz")
    with pytest.raises(OSError, match="the disk is gone"):
        mixture.fit(source)
    assert (mixture.stop_reason_, mixture.n_iter_) == ("failed", 3)
    assert_same_model(mixture, fitted(X, max_iter=mixture.n_iter_))
    assert_same_model(fastem.load(tmp_path / "fit.npz"), mixture)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(X, resume=True)
    assert_same_model(mixture, fitted(X, max_iter=10))


def slowly(change):
    """A follower of a fit that changes something after the third iteration."""
    from fastem.fitting import progress

    class Changing(progress.NullReporter):
        def epoch(self, n_done, trace):
            if n_done == 3:
                change()

    return Changing


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".parquet"])
@pytest.mark.parametrize("change", ["truncated", "rewritten", "removed"])
def test_a_file_that_changes_during_a_fit_is_named(tmp_path, monkeypatch, suffix, change):
    X = rows(60_000)
    path = tmp_path / f"rows{suffix}"

    def write(values):
        frame = pd.DataFrame(values, columns=["a", "b"])
        if suffix == ".npy":
            np.save(path, values)
        else:
            frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)

    def tamper():
        if change == "truncated":
            os.truncate(path, path.stat().st_size // 2)
        elif change == "rewritten":
            write(X + 1.0)
        else:
            path.unlink()

    write(X)
    expected = fitted(path, max_iter=3)
    monkeypatch.setattr("fastem.fitting.progress.NullReporter", slowly(tamper))
    mixture = GaussianMixture(**{**SETTINGS, "max_iter": 10})
    with pytest.raises((ValueError, OSError), match="rows") as caught:
        mixture.fit(path)
    assert str(path) in str(caught.value)
    if change != "removed":
        assert "rows 0 to" in str(caught.value)
    assert_same_model(mixture, expected)


def test_values_that_turn_to_nan_during_a_fit_are_named():
    X = rows(2000)
    source = Tampering(X, 5 + 2, lambda: X.__setitem__((77, 1), np.nan))
    with pytest.raises(ValueError, match=r"NaN.*row 77, column 1"):
        fitted(source)


# Reading ahead.


def test_reading_ahead_gives_the_items_in_order_and_its_errors_in_place():
    def items():
        yield from range(5)
        raise OSError("gone")

    seen = []
    with pytest.raises(OSError, match="gone"):
        seen.extend(read_ahead(items()))
    ahead = read_ahead(items())
    assert [next(ahead) for _ in range(5)] == list(range(5))
    with pytest.raises(OSError, match="gone"):
        next(ahead)


def test_reading_ahead_stops_with_its_consumer():
    closed = []

    def items():
        try:
            yield from range(10**9)
        finally:
            closed.append(True)

    before = threading.active_count()
    ahead = read_ahead(items())
    assert next(ahead) == 0
    ahead.close()
    assert closed == [True]
    assert threading.active_count() == before


def test_one_item_is_read_ahead_and_no_more():
    fetched = []

    def items():
        for item in range(10):
            fetched.append(item)
            yield item

    ahead = read_ahead(items())
    assert next(ahead) == 0
    assert next(ahead) == 1
    for _ in range(200):
        if len(fetched) == 3:
            break
        threading.Event().wait(0.01)
    threading.Event().wait(0.05)
    assert fetched == [0, 1, 2]
    ahead.close()


# Shuffling.


@pytest.mark.parametrize("stream", ["array", "pieces"])
def test_shuffled_batches_hold_every_row_once(stream):
    X = np.arange(2.0 * 50_000).reshape(-1, 2)
    weight = np.arange(50_000) + 1.0
    source = as_source(X if stream == "array" else np.array_split(X, 13), weight)
    without = np.array([0, 17, 49_999])
    batches = list(shuffled(source, 1000, np.random.default_rng(0), without))
    assert [len(batch) for batch in batches] == [1000] * 49 + [997]
    assert [batch.first_row for batch in batches] == list(range(0, 50_000, 1000))
    found = np.concatenate([batch.X for batch in batches])
    np.testing.assert_array_equal(found[:, 0], 2 * np.concatenate([batch.weight for batch in batches]) - 2)
    kept = np.delete(np.arange(50_000), without)
    np.testing.assert_array_equal(np.sort(found[:, 0]), 2.0 * kept)
    # A batch of a sorted file looks like the whole.
    means = [batch.X[:, 0].mean() for batch in batches[:-1]]
    assert np.std(means) < 2 * X[:, 0].std() / np.sqrt(1000)
    again = np.concatenate([batch.X for batch in shuffled(source, 1000, np.random.default_rng(0), without)])
    np.testing.assert_array_equal(again, found)
