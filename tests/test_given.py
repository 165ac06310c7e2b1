"""What users hand in: missing values, objects that are numbers, integers beyond float64, data not in memory."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse

from fastem import (
    GMMHMM,
    CategoricalHMM,
    GaussianHMM,
    GaussianMixture,
    Mixture,
    NormalInverseWishart,
    open_source,
    select,
)
from fastem.given import plain_array, require_exact

X = np.repeat([0.0, 8.0], 50) + np.resize([-1.0, 0.5, 1.0], 100)
MASK = np.arange(100) == 7
MASKED = np.ma.MaskedArray(np.where(MASK, -9999.0, X), MASK)
KNOWN = GaussianMixture.from_parameters([0.5, 0.5], [0.0, 8.0], [1.0, 1.0])
CHAIN = GaussianHMM.from_parameters([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], [0.0, 8.0], [1.0, 1.0])


def fit(rows, **settings):
    return GaussianMixture(1, random_state=0).fit(rows, **settings)


STEPS = np.arange(100) * 1e-3
TWO = np.ma.stack([MASKED, MASKED[::-1]], axis=1)
# What is made of rows, and such rows with masked values: the same as of NaN.
ROWS_WITH_MASKS = {
    "fit": (lambda rows: fit(rows).means_, MASKED),
    "fit to two columns": (lambda rows: fit(rows).covariances_, TWO),
    "fit to a list of masked rows": (lambda rows: fit(list(rows)).means_, TWO),
    "partial_fit": (lambda rows: GaussianMixture(2, random_state=0).partial_fit(rows + STEPS).means_, MASKED),
    "partial_fit of an iterator": (
        lambda rows: GaussianMixture(2, random_state=0).partial_fit(iter([(rows + STEPS)[:, None]])).means_, MASKED,
    ),
    "score_samples": (KNOWN.score_samples, MASKED),
    "open_source": (lambda rows: fit(open_source(rows)).means_, MASKED),
    "open_source of a column": (lambda rows: fit(open_source(rows[:, None], [0])).means_, MASKED),
    "pieces": (lambda rows: fit([rows[:50, None], rows[50:, None]]).means_, MASKED),
    "chain": (lambda rows: GaussianHMM(2, random_state=0).fit(rows).means_, MASKED),
    "a sequence": (lambda rows: np.array(CHAIN.score([X, rows])), MASKED),
    "select": (lambda rows: select(rows, n_components=[1]).best_estimator_.means_, MASKED),
}  # fmt: skip
NO_ROWS_WITH_MASKS = {
    "weights": lambda: fit(X, sample_weight=MASKED),
    "weights of a source": lambda: open_source(X[:, None], weight=MASKED),
    "lengths": lambda: GaussianHMM(2).fit(X, np.ma.MaskedArray([50, 50], [False, True])),
    "weights of sequences": lambda: GaussianHMM(2).fit(
        X, [50, 50], sample_weight=np.ma.MaskedArray([1.0, 1e6], [False, True])
    ),
    "init_params": lambda: GaussianMixture(2, init_params=np.ma.MaskedArray((X > 4).astype(int), MASK)).fit(X),
    "means_init": lambda: GaussianMixture(2, means_init=np.ma.MaskedArray([[0.0], [9.0]], [[0], [1]])).fit(X),
    "weights_init": lambda: GaussianMixture(2, weights_init=np.ma.MaskedArray([0.5, 0.5], [0, 1])).fit(X),
    "means of a known model": lambda: GaussianMixture.from_parameters([1.0], np.ma.MaskedArray([1.0], [1]), [1.0]),
    "covariances of a known chain": lambda: GaussianHMM.from_parameters(
        [1.0], [[1.0]], [1.0], np.ma.MaskedArray([1.0], [1])
    ),
    "a prior": lambda: GaussianHMM(means_prior=np.ma.MaskedArray([1.0], [1]), means_weight=1.0).fit(X),
    "histogram": lambda: GaussianMixture(1).fit_histogram(
        np.ma.MaskedArray([1, 5, 9], [0, 0, 1]), [0.0, 1.0, 2.0, 3.0]
    ),
}


@pytest.mark.parametrize("way", ROWS_WITH_MASKS)
def test_masked_values_of_rows_are_missing(way):
    function, masked = ROWS_WITH_MASKS[way]
    np.testing.assert_array_equal(function(masked), function(masked.filled(np.nan)))


@pytest.mark.parametrize("way", NO_ROWS_WITH_MASKS)
def test_masked_values_of_anything_else_are_refused(way):
    with pytest.raises(ValueError, match=r"NaN|finite|negative|integer|probabilit|positive|responsibilities"):
        NO_ROWS_WITH_MASKS[way]()


def test_masked_fields_of_records_are_missing():
    records = np.ma.MaskedArray(np.zeros(4, [("a", float), ("b", int)]), [(0, 0), (0, 1), (0, 0), (1, 0)])
    assert fit(records).fit_report_.missing.n_missing == (1, 1)


def test_masked_integers_are_exact():
    counts = np.ma.MaskedArray([[3], [-1], [4]], [[0], [1], [0]])
    np.testing.assert_array_equal(plain_array(counts), [[3.0], [np.nan], [4.0]])
    assert Mixture("poisson", 1).fit(counts).rates_[0, 0] == pytest.approx(3.5)
    with pytest.raises(ValueError, match=r"beyond 2\*\*53"):
        plain_array(np.ma.MaskedArray([2**60 + 1, 5], [0, 1]))
    assert np.isnan(plain_array(np.ma.MaskedArray([2**60 + 1, 5], [1, 0]))[0])


def test_an_array_without_masked_values_is_the_array():
    free = np.ma.MaskedArray(X, np.zeros(100, dtype=bool))
    np.testing.assert_array_equal(fit(free).means_, fit(X).means_)
    np.testing.assert_array_equal(KNOWN.score_samples(np.ma.array(X)), KNOWN.score_samples(X))
    np.testing.assert_array_equal(fit(X, sample_weight=np.ma.array(X + 2)).means_, fit(X, sample_weight=X + 2).means_)


LONG = 2**60 + np.resize([0, 1, 2, 3], 40)
INTEGERS = {
    "array": LONG,
    "unsigned": LONG.astype(np.uint64) + np.uint64(2**63),
    "negative": -LONG,
    "big endian": LONG.astype(">i8"),
    "by column": np.asfortranarray(np.stack([LONG, LONG], axis=1)),
    "list": LONG.tolist(),
    "objects": LONG.astype(object),
    "huge": [10**30 + 1, 10**30],
    "pandas": pd.DataFrame({"a": LONG, "b": np.arange(40.0)}),
    "nullable": pd.DataFrame({"a": pd.array(LONG, dtype="Int64")}),
    "nullable series": pd.Series(LONG, dtype="Int64"),
    "pandas of Arrow": pd.DataFrame({"a": pd.array(LONG, dtype="int64[pyarrow]")}),
    "polars": pl.DataFrame({"a": LONG}),
    "polars series": pl.Series(LONG),
    "table": pa.table({"a": LONG}),
    "Arrow array": pa.array(LONG),
    "records": np.array([(value, 1.0) for value in LONG.tolist()], dtype=[("a", "i8"), ("b", "f8")]),
    "pieces": [LONG[:20, None], LONG[20:, None]],
}


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_that_float64_would_round_are_refused(kind):
    with pytest.raises(ValueError, match=r"beyond 2\*\*53.*Subtract a constant"):
        fit(INTEGERS[kind])


@pytest.mark.parametrize("suffix", ["npy", "by_column.npy", "parquet", "arrow", "csv", "h5", "zarr"])
def test_integers_of_files_that_float64_would_round_are_refused(tmp_path, suffix):
    path = str(tmp_path / f"x.{suffix}")
    table = np.stack([LONG, LONG], axis=1)
    if suffix.endswith("npy"):
        np.save(path, np.asfortranarray(table) if "column" in suffix else table)
    elif suffix == "parquet":
        pq.write_table(pa.table({"a": LONG}), path)
    elif suffix == "arrow":
        pl.DataFrame({"a": LONG}).write_ipc(path)
    elif suffix == "csv":
        pd.DataFrame({"a": LONG}).to_csv(path, index=False)
    elif suffix == "h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file["x"] = table
    else:
        zarr = pytest.importorskip("zarr")
        zarr.create_array(store=path, data=table)
    with pytest.raises(ValueError, match=r"beyond 2\*\*53.*Subtract a constant"):
        fit(path)


def test_numbers_that_float64_holds_pass():
    for values in ([2**53, 1], [2**60, 2**60 + 256], [-(2**63), 0]):
        require_exact(np.array(values))
    require_exact(np.array([2**63 + 2048], dtype=np.uint64))
    for values in ([2**53 + 1], [-(2**63) + 1]):
        with pytest.raises(ValueError, match="beyond"):
            require_exact(np.array(values))
    assert fit([2.0**60, 2.0**60 + 256, 2.0**60]).means_[0, 0] == pytest.approx(2.0**60)
    assert fit(np.array([2**60, 2**60 + 256] * 3)).n_features_in_ == 1


def test_weights_and_columns_of_csv_files_are_as_exact(tmp_path):
    with pytest.raises(ValueError, match=r"sample_weight holds the integer .* beyond 2\*\*53"):
        fit(X, sample_weight=np.resize(LONG, 100))
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1.5e300,9007199254740993\n2,3\n")
    assert next(iter(open_source(path, ["a"]).chunks())).X[0, 0] == 1.5e300
    with pytest.raises(ValueError, match="9007199254740993"):
        list(open_source(path).chunks())
    path.write_text("a\n1\n-9007199254740993\n")
    with pytest.raises(ValueError, match="column a, holds the integer -9007199254740993"):
        list(open_source(path).chunks())


OBJECTS = {
    "floats": lambda x: x.astype(object),
    "decimals": lambda x: np.array([Decimal(str(value)) for value in x]),
    "fractions": lambda x: np.array([Fraction(value) for value in x]),
    "mixed": lambda x: np.array([int(v) if v == int(v) else np.float32(v) for v in x.tolist()], dtype=object),
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_objects_that_are_numbers_are_read(kind):
    expected = fit(np.stack([X, X[::-1] ** 2], axis=1))
    a = OBJECTS[kind](X)
    frame = pd.DataFrame({"a": pd.Series(a, dtype=object), "b": X[::-1] ** 2})
    for rows in (frame, open_source(frame), open_source(frame.to_numpy(), [0, 1]), frame.to_numpy(), [frame]):
        np.testing.assert_allclose(fit(rows).covariances_, expected.covariances_, rtol=1e-12)
    np.testing.assert_allclose(KNOWN.score(frame["a"]), KNOWN.score(X), rtol=1e-12)


TYPES = {
    "nullable": lambda x: pd.DataFrame({"a": pd.array(x, dtype="Float64")}),
    "of Arrow": lambda x: pd.DataFrame({"a": pd.array(x, dtype="double[pyarrow]")}),
    "decimals of Arrow": lambda x: pd.DataFrame(
        {"a": pd.Series([Decimal(str(v)) for v in x], dtype=pd.ArrowDtype(pa.decimal128(9, 2)))}
    ),
    "nullable series": lambda x: pd.Series(x, dtype="Float64"),
    "array of Arrow": lambda x: pa.array(x),
    "chunked array": lambda x: pa.chunked_array([x[:30], x[30:]]),
    "record batch": lambda x: pa.record_batch({"a": x}),
    "decimals of Arrow's tables": lambda x: pa.table({"a": pa.array([Decimal(str(v)) for v in x])}),
    "decimals of polars": lambda x: pl.DataFrame({"a": [Decimal(str(v)) for v in x]}),
    "records": lambda x: np.array([(v,) for v in x], dtype=[("a", float)]),
    "recarray": lambda x: np.rec.fromarrays([x], names="a"),
    "sparse columns": lambda x: pd.DataFrame({"a": pd.arrays.SparseArray(x)}),
    "matrix": lambda x: np.asmatrix(x).T,
    "float16": lambda x: x.astype(np.float16),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("kind", TYPES)
def test_types_of_other_libraries_are_read(kind):
    np.testing.assert_allclose(fit(TYPES[kind](X)).covariances_, fit(X).covariances_, rtol=1e-12)


MISSING = {
    "nullable": pd.DataFrame({"a": pd.array([1.0, None, 3.0], dtype="Float64")}),
    "nullable integers": pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64")}),
    "nullable booleans": pd.DataFrame({"a": pd.array([True, None, False], dtype="boolean")}),
    "nullable series": pd.Series([1, None, 3], dtype="Int64"),
    "of Arrow": pd.DataFrame({"a": pd.array([1, None, 3], dtype="int64[pyarrow]")}),
    "objects": pd.DataFrame({"a": pd.Series([1.0, None, pd.NA], dtype=object)}),
    "array of objects": np.array([[1.0], [None], [3.0]], dtype=object),
    "list": [[1.0], [None], [3.0]],
    "polars": pl.DataFrame({"a": [1, None, 3]}),
    "polars booleans": pl.DataFrame({"a": [True, None, False]}),
    "polars decimals": pl.DataFrame({"a": [Decimal("1.5"), None, Decimal("2.5")]}),
    "polars series": pl.Series([1, None, 3]),
    "array of Arrow": pa.array([1.0, None, 3.0]),
    "integers of Arrow": pa.chunked_array([[1, None, 3]]),
    "table": pa.table({"a": [1.0, None, 3.0]}),
}


@pytest.mark.parametrize("kind", MISSING)
def test_missing_values_are_seen_as_missing(kind):
    assert fit(MISSING[kind]).fit_report_.missing.n_empty in (1, 2)
    with pytest.raises(ValueError, match="contains NaN, and missing='error'"):
        GaussianMixture(missing="error").fit(MISSING[kind])


REFUSED = {
    "text in objects": (np.array([["1.5"], ["2"]], dtype=object), "text"),
    "text in frames": (pd.DataFrame({"a": ["1.5", "2"]}), "do not hold numbers"),
    "text in objects of frames": (pd.DataFrame({"a": pd.Series(["x", 2], dtype=object)}), "do not hold numbers"),
    "categories": (pd.DataFrame({"a": pd.Categorical([1, 2])}), "do not hold numbers"),
    "durations": (np.array([1, 2], dtype="m8[s]"), "does not hold real numbers"),
    "durations in frames": (pd.DataFrame({"a": pd.to_timedelta([1, 2])}), "do not hold numbers"),
    "nested records": (np.zeros(3, dtype=[("a", float, 2)]), "several values"),
    "records of records": (np.zeros((3, 2), dtype=[("a", float)]), "structured"),
    "sparse": (scipy.sparse.csr_array(np.eye(3)), "toarray"),
    "dict": ({"a": [1.0, 2.0]}, "pandas.DataFrame"),
    "lazy": (pl.LazyFrame({"a": [1.0, 2.0]}), "collect"),
    "text": (["up", "down", "up"], "Encode"),
    "bytes": (b"x.csv", "fsdecode"),
    "names of two types": (pd.DataFrame(np.eye(3), columns=["a", 1, 2]), "astype"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_read_is_told_with_the_remedy(kind):
    rows, words = REFUSED[kind]
    with pytest.raises((ValueError, TypeError), match=words):
        fit(rows)


def test_a_closed_file_of_hdf5_is_told(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("x", data=np.zeros((5, 1)))
    with pytest.raises(ValueError, match="closed"):
        fit(data)


def test_two_columns_of_one_name():
    frame = pd.DataFrame(np.stack([X, X[::-1] ** 2], axis=1), columns=["a", "a"])
    mixture = fit(frame)
    assert mixture.score(frame) == fit(frame.to_numpy()).score(frame.to_numpy())
    with pytest.raises(ValueError, match="several columns a"):
        fit(pd.DataFrame({"a": X})).predict(frame)


class Tensor:
    """A tensor of a library that keeps dtypes of its own, as PyTorch's are."""

    dtype, ndim = "its.float32", 2

    def __init__(self, values, device=1, fails=False):
        self.values, self.device, self.fails = values, device, fails
        self.shape = values.shape

    def __getitem__(self, rows):
        raise AssertionError("a tensor is not read piece by piece")

    def __dlpack_device__(self):
        return self.device, 0

    def detach(self):
        return self

    def __array__(self, dtype=None, copy=None):
        if self.fails:
            raise RuntimeError("unsupported ScalarType BFloat16")
        return self.values


class DlpackOnly:
    shape, ndim, dtype = (100, 1), 2, "its.float64"

    def __dlpack__(self, **options):
        return X[:, None].__dlpack__(**options)

    def __dlpack_device__(self):
        return X.__dlpack_device__()


def test_tensors_are_read_or_refused_in_our_words():
    expected = fit(X).means_
    np.testing.assert_array_equal(fit(Tensor(X[:, None])).means_, expected)
    np.testing.assert_array_equal(fit([Tensor(X[:50, None]), Tensor(X[50:, None])]).means_, expected)
    np.testing.assert_array_equal(fit(DlpackOnly()).means_, expected)
    with pytest.raises(TypeError, match=r"memory of another device.*\.cpu\(\)"):
        fit(Tensor(X[:, None], device=2))
    with pytest.raises(TypeError, match="Pass a NumPy array"):
        fit(Tensor(X[:, None], fails=True))


def stand_in(module, name, **attributes):
    return type(name, (), {"__module__": module, **attributes})()


LAZY = {
    "dask": stand_in("dask.dataframe.core", "DataFrame", columns=["a"], iloc=None, to_numpy=None, shape=(3, 1)),
    "dask_expr": stand_in("dask_expr._collection", "DataFrame", columns=["a"], iloc=None, shape=(3, 1)),
    "bag": stand_in("dask.bag.core", "Bag", __iter__=lambda self: iter([])),
    "delayed": stand_in("dask.delayed", "Delayed", __call__=lambda self: None),
    "pyspark": stand_in("pyspark.sql.dataframe", "DataFrame", columns=["a"]),
    "duckdb": stand_in("_duckdb", "DuckDBPyRelation", columns=["a"]),
}


@pytest.mark.parametrize("kind", LAZY)
def test_rows_that_are_not_in_memory_are_not_loaded_silently(kind):
    for use in (fit, KNOWN.score, open_source, CHAIN.score, lambda rows: fit([rows, rows]), lambda rows: select(rows)):
        with pytest.raises((TypeError, ValueError), match="would load all of them"):
            use(LAZY[kind])
    with pytest.raises(TypeError, match="would load all of them"):
        plain_array(LAZY[kind])


def test_an_array_of_dask_of_unknown_length_is_told():
    unknown = stand_in("dask.array.core", "Array", chunks=((np.nan,), (1,)), shape=(np.nan, 1), ndim=2)
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        fit(unknown)


# Columns by name.


def test_a_model_that_knows_its_columns_picks_them(tmp_path):
    frame = pd.DataFrame({"a": X, "b": -X[::-1], "c": X**2, "text": "t"})
    mixture = GaussianMixture(2, n_init=1, random_state=0).fit(frame[["a", "b"]])
    expected = mixture.score_samples(frame[["a", "b"]])
    shuffled = frame[["text", "b", "c", "a"]]
    paths = {"parquet": shuffled.to_parquet, "csv": shuffled.to_csv, "feather": shuffled.to_feather}
    for suffix, write in paths.items():
        write(tmp_path / f"x.{suffix}", **({"index": False} if suffix == "csv" else {}))
    numbers = shuffled.drop(columns="text")
    kinds = {
        "pandas": shuffled,
        "pandas of numbers": numbers,
        "reordered": frame[["b", "a"]],
        "one block": pd.DataFrame(frame[["c", "b", "a"]].to_numpy(), columns=["c", "b", "a"]),
        "polars": pl.from_pandas(shuffled),
        "table": pa.table(shuffled),
        "record batch": pa.RecordBatch.from_pandas(shuffled),
        "records": numbers.to_records(index=False),
        "pieces": [shuffled[:30], shuffled[30:]],
        "source of an array": open_source(pd.DataFrame(numbers.to_numpy(), columns=numbers.columns)),
        "source of a table": open_source(pa.table(numbers)),
        "chosen source": open_source(shuffled, ["b", "c", "a"]),
        **{suffix: tmp_path / f"x.{suffix}" for suffix in paths},
    }
    for kind, rows in kinds.items():
        np.testing.assert_array_equal(mixture.score_samples(rows), expected, err_msg=kind)
    weighted = mixture.score(frame[["a", "b"]], sample_weight=frame["c"])
    assert mixture.score(shuffled, sample_weight="c") == pytest.approx(weighted, rel=1e-12)
    assert mixture.plot(shuffled).get_xlabel() == "a"
    # Other names that are chosen are read in their places.
    renamed = frame.rename(columns={"a": "u", "b": "v"})
    np.testing.assert_array_equal(mixture.score_samples(open_source(renamed, ["u", "v"])), expected)
    for rows in (renamed, pa.table(renamed), pl.from_pandas(renamed)):
        with pytest.raises(ValueError, match=r"X has no column a, b, which the model was fitted to"):
            mixture.predict(rows)
    chain = GaussianHMM(2, random_state=0).fit(frame[["a", "b"]])
    np.testing.assert_array_equal(chain.predict(shuffled), chain.predict(frame[["a", "b"]]))


def test_a_fit_of_chosen_columns_predicts_frames(tmp_path):
    frame = pd.DataFrame({"text": "t", "b": -X[::-1], "a": X})
    source = open_source(frame, columns=["a", "b"])
    mixture = GaussianMixture(2, n_init=1, random_state=0).fit(source)
    np.testing.assert_array_equal(mixture.predict(frame), mixture.predict(source))


# A wrong number of features, and names of features.


def test_the_number_of_features_is_told_first():
    mixture = GaussianMixture(2, random_state=0).fit(np.stack([X, np.sin(np.arange(100))], axis=1))
    with pytest.raises(ValueError, match=r"^X has 1 feature, but the model was fitted to 2\."):
        mixture.predict(X)
    with pytest.raises(ValueError, match=r"^X has 1 features, but GaussianMixture is expecting 2 features as input"):
        mixture.predict(X[:, None])
    named = GaussianMixture(2, random_state=0).fit(pd.DataFrame({"a": X, "b": np.sin(np.arange(100))}))
    with pytest.raises(ValueError, match=r"as many as it was fitted to \(a, b\)"):
        named.predict(np.ones((3, 3)))


def test_marginals_by_name():
    mixture = GaussianMixture(2, random_state=0).fit(pd.DataFrame({"a": X, "b": np.sin(np.arange(100))}))
    grid = np.linspace(-8, 8, 5)
    np.testing.assert_array_equal(mixture.marginal("b").density(grid), mixture.marginal(1).density(grid))
    with pytest.raises(ValueError, match=r"index from 0 to 1, or a name out of \['a', 'b'\]; got 'c'"):
        mixture.marginal("c")
    with pytest.raises(ValueError, match=r"index from 0 to 0; got 'a'"):
        KNOWN.marginal("a")


# y.


@pytest.mark.parametrize("method", ["fit", "partial_fit", "fit_predict", "score"])
def test_weights_in_the_place_of_y_are_told(method):
    use = getattr(GaussianMixture(2, random_state=0).fit(X), method)
    with pytest.warns(UserWarning, match="sample_weight"):
        use(X, np.linspace(0.1, 2.0, 100))
    with pytest.raises(TypeError, match="sample_weight='w'"):
        use(X, "w")
    for labels in (None, (X > 4).astype(int), np.where(X > 4, "up", "down"), (X > 4).astype(float), X - 5.0):
        use(X, labels)


def test_lengths_in_the_place_of_y_are_told():
    with pytest.raises(ValueError, match="lengths of sequences are for hidden Markov models"):
        GaussianMixture(2).fit(X, [50, 50])


# Symmetric matrices.


def test_covariances_may_be_symmetric_to_the_rounding_of_float32():
    from sklearn.mixture import GaussianMixture as Other

    random = np.random.default_rng(0)
    x = (random.normal(size=(500, 6)) @ random.normal(size=(6, 6))).astype(np.float32)
    for kind in ("full", "tied", "diag", "spherical"):
        other = Other(3, covariance_type=kind, random_state=0).fit(x)
        ours = GaussianMixture.from_sklearn(other)
        assert ours.score(x) == pytest.approx(other.score(x), abs=1e-3)
        assert kind in ("diag", "spherical") or np.array_equal(
            ours.covariances_, np.swapaxes(ours.covariances_, -1, -2)
        )
    start = GaussianMixture(3, precisions_init=Other(3, random_state=0).fit(x).precisions_, random_state=0)
    assert np.isfinite(start.fit(x).means_).all()


ASYMMETRIC = np.array([[2.0, 0.5], [0.4, 2.0]])


def with_precisions(precisions):
    mixture = GaussianMixture.from_parameters([1.0], [[0.0, 0.0]], [np.eye(2)])
    mixture.precisions_ = precisions
    return mixture


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("covariances and precisions", lambda: GaussianMixture.from_parameters([1.0], [[0.0, 0.0]], [ASYMMETRIC])),
        ("precisions_init", lambda: GaussianMixture(1, precisions_init=[ASYMMETRIC]).fit(np.stack([X, -(X**2)], 1))),
        (
            r"prior=NormalInverseWishart\(covariance=...\)",
            lambda: GaussianMixture(1, prior=NormalInverseWishart(covariance=ASYMMETRIC)).fit(
                np.stack([X, -(X**2)], 1)
            ),
        ),
        (
            "covars_",
            lambda: GaussianHMM.from_parameters([1.0], [[1.0]], [[0.0, 0.0]], [ASYMMETRIC], covariance_type="full"),
        ),
        ("precisions_", lambda: with_precisions([ASYMMETRIC]).predict(np.zeros((1, 2)))),
        (
            "covars_prior",
            lambda: GMMHMM(1, 2, covariance_type="full", covars_prior=ASYMMETRIC).fit(np.stack([X, -(X**2)], 1)),
        ),
    ],
)
def test_matrices_that_are_not_symmetric_are_named(name, use):
    with pytest.raises(
        ValueError, match=rf"{name} must be symmetric, but the entry \(0, 1\) is 0.5, and \(1, 0\) is 0.4"
    ):
        use()


def test_symbols_that_are_texts_are_told():
    with pytest.raises(ValueError, match="Encode symbols as numbers"):
        CategoricalHMM(2).fit(["up", "down", "up"])
