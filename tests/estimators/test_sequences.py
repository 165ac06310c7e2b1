"""Sequences as users hand them in: lists of arrays, columns of names, lengths through pipelines."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastem import CategoricalHMM, GaussianHMM, open_source, select

LENGTHS = [12, 30, 1, 17]
RANDOM = np.random.default_rng(0)
X = np.concatenate([np.repeat([[0.0, 1.0], [6.0, -3.0]], [n // 2, n - n // 2], axis=0) for n in LENGTHS])
X = X + RANDOM.normal(size=X.shape)
PARTS = np.split(X, np.cumsum(LENGTHS)[:-1])
KNOWN = GaussianHMM.from_parameters([0.6, 0.4], [[0.9, 0.1], [0.2, 0.8]], [[0.0, 1.0], [6.0, -3.0]], np.ones((2, 2)))


def hmm(**settings):
    return GaussianHMM(2, random_state=0, tol=1e-3, **settings)


def frames(parts):
    return [pd.DataFrame(part, columns=["a", "b"]) for part in parts]


LISTS = {
    "arrays": PARTS,
    "tuple": tuple(PARTS),
    "float32 and float64": [PARTS[0], *(part.astype(np.float64) for part in PARTS[1:])],
    "with empty ones": [PARTS[0], np.empty((0, 2)), *PARTS[1:], np.empty((0, 2))],
    "lists of lists": [part.tolist() for part in PARTS],
    "frames": frames(PARTS),
    "polars": [pl.DataFrame(part, schema=["a", "b"]) for part in PARTS],
    "tables": [pa.table({"a": part[:, 0], "b": part[:, 1]}) for part in PARTS],
    "array of arrays": np.array([*PARTS, None], dtype=object)[:-1],
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_is_a_list_of_sequences(kind):
    rows = LISTS[kind]
    expected = hmm().fit(X, LENGTHS)
    fitted = hmm().fit(rows)
    np.testing.assert_array_equal(fitted.transmat_, expected.transmat_)
    np.testing.assert_array_equal(fitted.means_, expected.means_)
    for method in ("score", "predict", "predict_proba", "filter_proba", "log_prob", "aic", "bic"):
        np.testing.assert_array_equal(getattr(fitted, method)(rows), getattr(expected, method)(X, LENGTHS), method)
    for ours, theirs in zip(fitted.score_samples(rows), expected.score_samples(X, LENGTHS), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(fitted.decode(rows), expected.decode(X, LENGTHS), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert fitted.criteria(rows) == expected.criteria(X, LENGTHS)
    np.testing.assert_array_equal(hmm().fit_predict(rows), expected.predict(X, LENGTHS))


def test_sequences_without_rows_keep_their_places():
    rows = [PARTS[0], np.empty((0, 2)), PARTS[1]]
    following = KNOWN.predict_next_proba(rows)
    np.testing.assert_array_equal(following[[0, 2]], KNOWN.predict_next_proba(X[:42], [12, 30]))
    np.testing.assert_array_equal(following[1], KNOWN.startprob_)
    weighted = hmm().fit(rows, sample_weight=[1.0, 5.0, 2.0])
    np.testing.assert_array_equal(weighted.means_, hmm().fit(X[:42], [12, 30], sample_weight=[1.0, 2.0]).means_)
    with pytest.raises(ValueError, match="without rows"):
        KNOWN.score([np.empty((0, 2))])


def test_arrays_of_one_dimension_are_sequences_of_one_feature():
    parts = [part[:, 0] for part in PARTS]
    expected = hmm().fit(X[:, 0], LENGTHS)
    np.testing.assert_array_equal(hmm().fit(parts).means_, expected.means_)
    np.testing.assert_array_equal(expected.predict(parts), expected.predict(X[:, 0], LENGTHS))
    symbols = [np.array([0, 1, 1, 0]), np.array([1, 1, 0])]
    assert CategoricalHMM(1).fit(symbols).fit_report_.n_rows == 7
    series = [pd.Series(part) for part in parts]
    np.testing.assert_array_equal(expected.predict(series), expected.predict(X[:, 0], LENGTHS))
    equal = [X[:10, 0], X[10:20, 0]]
    assert expected.score(equal) == expected.score(X[:20, 0], [10, 10])


def test_rows_stay_rows():
    expected = KNOWN.score(X)
    assert KNOWN.score(X.tolist()) == expected
    assert KNOWN.score(list(X)) == expected
    np.testing.assert_array_equal(hmm().fit(X.tolist()).means_, hmm().fit(X).means_)
    with pytest.warns(UserWarning, match="numpy.stack"):
        hmm(n_iter=500).fit([np.array([1.0, 2.0]), np.array([8.0, 9.0]), np.array([1.5, 9.5])])


def test_lists_are_selected_and_drawn():
    chosen = select(PARTS, hmm(), n_components=[1, 2])
    assert chosen.table == select(X, hmm(), n_components=[1, 2], lengths=LENGTHS).table
    assert KNOWN.plot_states(PARTS, sequence=1).get_xlim() == (-0.5, 29.5)


@pytest.mark.parametrize(
    ("rows", "lengths", "words"),
    [
        (PARTS, LENGTHS, "Leave out lengths"),
        ([PARTS[0], PARTS[1][:, :1]], None, "Sequence 1 of the list X has 1 features, where the first has 2"),
        ([PARTS[0], pd.DataFrame({"a": ["x"], "b": ["y"]})], None, "Sequence 1 of the list X: .*do not hold numbers"),
        ([PARTS[0], PARTS[1].astype(complex)], None, "Complex data"),
        (frames(PARTS[:1]) + [frames(PARTS)[1].rename(columns={"a": "c"})], None, "Sequence 1 .*has no column a"),
    ],
)
def test_lists_that_cannot_be_read_are_told(rows, lengths, words):
    with pytest.raises((ValueError, TypeError), match=words):
        hmm().fit(rows, lengths)
    with pytest.raises((ValueError, TypeError), match=words):
        hmm().fit(rows, lengths=lengths)


# Columns of names.


NAMES = {
    "long integers": [2**60, 2**60 + 1, 2**60 + 2],
    "integers": [3, 1, 2],
    "texts": ["b", "a", "c"],
    "dates": [datetime.datetime(2020, 1, day) for day in (1, 3, 2)],
    "booleans": [True, False],
    "floats": [0.5, 0.25, 1.5],
}


def sources_of(frame, folder):
    frame.to_parquet(folder / "x.parquet")
    frame.to_csv(folder / "x.csv", index=False)
    pl.from_pandas(frame).write_ipc(folder / "x.arrow", compression="uncompressed")
    with pa.ipc.new_stream(folder / "stream.arrow", pa.Schema.from_pandas(frame)) as file:
        file.write_table(pa.Table.from_pandas(frame), max_chunksize=7)
    yield frame
    yield pl.from_pandas(frame)
    yield pa.table(frame)
    yield pa.RecordBatch.from_pandas(frame, preserve_index=False)
    yield [frame[:5], frame[5:17], frame[17:]]
    yield from (folder / name for name in ("x.parquet", "x.csv", "x.arrow", "stream.arrow"))


@pytest.mark.parametrize("kind", NAMES)
def test_sequences_by_names_of_any_kind(kind, tmp_path):
    lengths = [9, 11, 10][: len(NAMES[kind])]
    ids = np.repeat(np.array(NAMES[kind], dtype=object if kind in ("texts", "dates") else None), lengths)
    frame = pd.DataFrame({"x": np.arange(float(sum(lengths))), "id": ids}).infer_objects()
    for rows in sources_of(frame, tmp_path):
        assert open_source(rows, sequence_column="id").lengths.tolist() == lengths
    if kind != "texts":
        records = frame.to_records(index=False)
        assert open_source(records, sequence_column="id").lengths.tolist() == lengths


def test_sequences_by_categories_and_types_of_pandas():
    ids = pd.Series(np.repeat(["b", "a", "c"], 10))
    for given in (ids.astype("category"), ids.astype("string"), ids.astype(pd.ArrowDtype(pa.string()))):
        frame = pd.DataFrame({"x": np.arange(30.0), "id": given})
        assert open_source(frame, sequence_column="id").lengths.tolist() == [10, 10, 10]
        assert open_source(pa.table(frame), sequence_column="id").lengths.tolist() == [10, 10, 10]
    long = pd.Series(np.repeat([2**60, 2**60 + 1], 5), dtype="Int64")
    assert open_source(pd.DataFrame({"x": np.arange(10.0), "id": long}), sequence_column="id").lengths.tolist() == [
        5,
        5,
    ]
    frame = pl.DataFrame({"x": np.arange(4.0), "id": pl.Series(list("aabb"), dtype=pl.Categorical)})
    assert open_source(frame, sequence_column="id").lengths.tolist() == [2, 2]


def test_sequences_by_a_column_of_an_array(tmp_path):
    table = np.stack([np.arange(6), 2**60 + np.repeat([0, 1], 3)], axis=1)
    np.save(tmp_path / "x.npy", table)
    for rows in (table, tmp_path / "x.npy"):
        assert open_source(rows, columns=[0], sequence_column=1).lengths.tolist() == [3, 3]
    mixed = np.array([[1.0, "a"], [2.0, "a"], [3.0, "b"]], dtype=object)
    assert open_source(mixed, sequence_column=1).lengths.tolist() == [2, 1]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NaT])
def test_a_sequence_without_a_name_is_told(missing, tmp_path):
    names = {None: ["a", None, "c"], np.nan: [1.0, np.nan, 3.0], pd.NaT: list(pd.to_datetime(["2020", None, "2021"]))}
    frame = pd.DataFrame({"x": np.arange(30.0), "id": pd.Series(names[missing]).repeat(10).to_numpy()})
    for rows in sources_of(frame, tmp_path):
        with pytest.raises(ValueError, match=r"row 10, column 'id': the name of the sequence is missing"):
            open_source(rows, sequence_column="id")


@pytest.mark.parametrize("names", [[1, 2, 1], ["a", "b", "a"]])
def test_a_sequence_that_comes_back_is_told(names, tmp_path):
    frame = pd.DataFrame({"x": np.arange(30.0), "id": np.repeat(names, 10)})
    for rows in sources_of(frame, tmp_path):
        with pytest.raises(ValueError, match=r"begins at row 0, and comes back at row 20 after another one.*stable"):
            open_source(rows, sequence_column="id")


def test_names_that_are_none_are_told():
    table = pa.table({"x": [1.0, 2.0], "id": [[1], [2]]})
    with pytest.raises(ValueError, match="names no sequence"):
        open_source(table, sequence_column="id")


# Pipelines.


def test_lengths_pass_through_a_pipeline():
    scaled = StandardScaler().fit_transform(X)
    expected = hmm().fit(scaled, LENGTHS)
    pipe = make_pipeline(StandardScaler(), hmm())
    pipe.fit(X, gaussianhmm__lengths=LENGTHS)
    np.testing.assert_array_equal(pipe[-1].means_, expected.means_)
    np.testing.assert_array_equal(pipe.predict(X, lengths=LENGTHS), expected.predict(scaled, LENGTHS))
    assert pipe.score(X, LENGTHS) == expected.score(scaled, LENGTHS)
    # Labels, as pipelines hand them on, are nothing to a chain.
    labels = (X[:, 0] > 3).astype(int)
    pipe.fit(X, labels, gaussianhmm__lengths=LENGTHS)
    np.testing.assert_array_equal(pipe[-1].means_, expected.means_)
    np.testing.assert_array_equal(pipe.fit(X, labels)[-1].means_, hmm().fit(scaled).means_)


def test_lengths_are_routed():
    scaled = StandardScaler().fit_transform(X)
    expected = hmm().fit(scaled, LENGTHS)
    with sklearn.config_context(enable_metadata_routing=True):
        chain = hmm().set_fit_request(lengths=True, sample_weight=True).set_score_request(lengths=True)
        chain.set_predict_request(lengths=True).set_predict_proba_request(lengths=True)
        pipe = make_pipeline(StandardScaler(), chain).fit(X, lengths=LENGTHS)
        np.testing.assert_array_equal(pipe[-1].means_, expected.means_)
        np.testing.assert_array_equal(pipe.predict(X, lengths=LENGTHS), expected.predict(scaled, LENGTHS))
        np.testing.assert_array_equal(pipe.predict_proba(X, lengths=LENGTHS), expected.predict_proba(scaled, LENGTHS))
        assert pipe.score(X, lengths=LENGTHS) == expected.score(scaled, LENGTHS)
        weighted = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), chain)
        weighted.fit(X, lengths=LENGTHS, sample_weight=[1.0, 2.0, 1.0, 1.0])
        again = hmm().fit(scaled, LENGTHS, sample_weight=[1.0, 2.0, 1.0, 1.0])
        np.testing.assert_array_equal(weighted[-1].means_, again.means_)


def test_a_search_splits_lists_of_sequences():
    parts = [part for part in PARTS if len(part) > 1]
    search = GridSearchCV(hmm(), {"covariance_type": ["diag", "spherical"]}, cv=3).fit(parts)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_lengths_stay_in_the_second_place():
    np.testing.assert_array_equal(hmm().fit(X, LENGTHS).means_, hmm().fit(X, lengths=LENGTHS).means_)
    assert KNOWN.score(X, LENGTHS) == KNOWN.score(X, lengths=LENGTHS)
    with pytest.raises(ValueError, match="labels, or the lengths of sequences of one row"):
        hmm().fit(X, np.ones(len(X), dtype=int))
    with pytest.raises(ValueError, match="lengths sum to 12"):
        hmm().fit(X, [12])
    with pytest.warns(UserWarning, match="sample_weight"):
        hmm().fit(X, np.linspace(0.1, 1.0, len(X)))
