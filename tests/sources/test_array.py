"""Rows from arrays, memory maps and frames, in chunks, without copies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

from fastem import GaussianMixture
from fastem.passes.rows import rows_of
from fastem.passes.units import ROWS_PER_RUN
from fastem.sources import ArraySource, StreamedSource, as_source


def containers(X):
    return {
        "float64": X,
        "float32": X.astype(np.float32),
        "int64": (1000 * X).astype(np.int64),
        "bool": X > 0,
        "float16": X.astype(np.float16),
        "big endian": X.astype(">f8"),
        "pandas": pd.DataFrame(X),
        "pandas of two dtypes": pd.DataFrame({"a": X[:, 0], "b": (1000 * X[:, 1]).astype(int), "c": X[:, 2] > 0}),
        "polars": pl.DataFrame(X, schema=["a", "b", "c"]),
        "polars of two dtypes": pl.DataFrame({"a": X[:, 0], "b": (1000 * X[:, 1]).astype(int), "c": X[:, 2] > 0}),
    }


NAMES = list(containers(np.zeros((2, 3))))


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(10_000, 3))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("max_rows", [None, 1, 777, 10_000, 20_000])
def test_chunks_hold_all_rows_in_order(name, max_rows, X):
    X = X[:50] if max_rows == 1 else X
    table = containers(X)[name]
    weight = np.arange(float(len(X)))
    source = as_source(table, weight)
    expected = np.asarray(table.to_numpy() if hasattr(table, "to_numpy") else table, dtype=np.float64)
    for _ in range(2):
        chunks = list(source.chunks(max_rows))
        assert all(len(chunk) <= (max_rows or 10_000) for chunk in chunks)
        assert all(chunk.X.dtype in (np.float32, np.float64) and chunk.X.dtype.isnative for chunk in chunks)
        np.testing.assert_array_equal(np.concatenate([chunk.X for chunk in chunks]), expected)
        np.testing.assert_array_equal(np.concatenate([chunk.weight for chunk in chunks]), weight)
        assert [chunk.first_row for chunk in chunks] == list(np.cumsum([0] + [len(chunk) for chunk in chunks])[:-1])
    assert (source.n_rows, source.n_features) == X.shape


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_made_of_rows_of_positive_weight(name, X):
    weight = (np.arange(10_000) % 2).astype(float)
    table = containers(X)[name]
    sample = as_source(table, weight).sample(500, np.random.default_rng(0))
    assert sample.X.shape == (500, 3)
    assert sample.X.dtype == np.float64
    assert np.all(sample.weight > 0)
    expected = np.asarray(table.to_numpy() if hasattr(table, "to_numpy") else table, dtype=np.float64)[1::2]
    rows = {row.tobytes() for row in np.ascontiguousarray(expected)}
    assert all(row.tobytes() in rows for row in sample.X)
    everything = as_source(table, weight).sample(9_999, np.random.default_rng(0))
    np.testing.assert_array_equal(everything.X, expected)


def test_floats_are_never_copied(X, tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for table in (X, X.astype(np.float32), np.asfortranarray(X), X[::2], mapped, mapped[:, 1:]):
        for chunk in ArraySource(table).chunks():
            assert np.shares_memory(chunk.X, table)
            rows = rows_of(chunk.X)
            assert any(np.shares_memory(flat, table) for flat in (rows.float64, rows.float32))


def test_frames_of_one_block_are_not_copied(X):
    frame = pd.DataFrame(X)
    source = as_source(frame)
    assert isinstance(source, ArraySource)
    assert np.shares_memory(source.X, frame.iloc[:, 0].to_numpy())
    assert isinstance(as_source(pd.DataFrame({"a": X[:, 0], "b": X[:, 1].astype(np.float32)})), StreamedSource)


def test_rows_of_reads_any_strides():
    base = np.arange(240.0).reshape(12, 20)
    for view in (base, base.T, base[::-1], base[:, ::-3], base[1::2, 4:9], base[::-2, ::-1].T, base[:1], base[:, :1],
                 np.broadcast_to(base[0], (5, 20)), base[:0]):  # fmt: skip
        rows = rows_of(view)
        got = [
            [rows.float64[rows.offset + i * rows.row_stride + j * rows.column_stride] for j in range(view.shape[1])]
            for i in range(view.shape[0])
        ]
        np.testing.assert_array_equal(np.array(got).reshape(view.shape), view)
    packed = np.zeros(7, dtype=[("a", "i1"), ("x", "f8", 2)])
    packed["x"] = np.arange(14.0).reshape(7, 2)
    rows = rows_of(packed["x"])
    assert rows.float64[rows.offset + 3 * rows.row_stride + rows.column_stride] == 7.0


def test_a_memory_map_fits_as_the_array(X, tmp_path):
    np.save(tmp_path / "x.npy", X.astype(np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    in_memory = GaussianMixture(2, random_state=0, tol=1e-3).fit(X.astype(np.float32))
    from_file = GaussianMixture(2, random_state=0, tol=1e-3).fit(mapped)
    np.testing.assert_array_equal(from_file.means_, in_memory.means_)
    np.testing.assert_array_equal(from_file.predict_proba(mapped), in_memory.predict_proba(X.astype(np.float32)))


def test_chunks_are_whole_runs():
    for n_features in (1, 7, 64, 5000):
        source = ArraySource(np.broadcast_to(np.float64(1.0), (10**8, n_features)))
        first = next(source.chunks())
        assert len(first) % ROWS_PER_RUN == 0
        assert first.X.nbytes <= 2**28 or len(first) == ROWS_PER_RUN
