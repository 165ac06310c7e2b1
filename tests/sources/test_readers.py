"""Every reader under the same laws: the same rows, however they are cut, and errors that name file and place."""

from __future__ import annotations

import bz2
import gc
import gzip
import os
import random as pyrandom
import subprocess
import sys
import time
import tracemalloc
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.dataset
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import zarr

from fastem._extras import MissingExtraError
from fastem.sources import as_source
from fastem.sources.arrow import TableReader, is_table
from fastem.sources.csv import CsvReader
from fastem.sources.files import readers_of
from fastem.sources.frame import FrameReader
from fastem.sources.hdf5 import Hdf5Reader
from fastem.sources.ipc import IpcReader
from fastem.sources.iterable import IterableReader
from fastem.sources.npy import Lease, NpyReader
from fastem.sources.parquet import ParquetReader
from fastem.sources.reader import PIECE_BYTES, SourceError
from fastem.sources.shared import Recycler, even_spans
from fastem.sources.sliced import SlicedReader
from fastem.sources.zarr import ZarrReader

ROWS, COLUMNS = 250, 3
NAMES = ["a", "b", "c"]


def rows_of(dtype=np.float64, n_rows=ROWS):
    random = np.random.default_rng(0)
    if np.dtype(dtype).kind == "b":
        return random.random((n_rows, COLUMNS)) < 0.5
    return (100 * random.normal(size=(n_rows, COLUMNS))).astype(dtype)


def table_of(rows):
    return pa.table({name: np.ascontiguousarray(rows[:, i]) for i, name in enumerate(NAMES)})


def write_npy(path, rows):
    np.save(path, rows)


def write_npy_by_column(path, rows):
    np.save(path, np.asfortranarray(rows))


def write_npy_swapped(path, rows):
    np.save(path, rows.astype(rows.dtype.newbyteorder(">")))


def write_parquet(path, rows):
    pq.write_table(table_of(rows), path, row_group_size=64)


def write_arrow(path, rows):
    table = table_of(rows)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=64)


def write_stream(path, rows):
    table = table_of(rows)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=64)


def write_feather(path, rows):
    pa.feather.write_feather(table_of(rows), path, compression="lz4", chunksize=64)


def text_of(rows, separator=","):
    lines = [separator.join(NAMES), *(separator.join(repr(float(value)) for value in row) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def write_csv(path, rows):
    text = text_of(rows, "\t" if ".tsv" in path.name else ",")
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": lambda b: pa.compress(b, "zstd", asbytes=True)}
    path.write_bytes(pack.get(path.suffix, bytes)(text))


def write_hdf5(path, rows):
    with h5py.File(path, "w") as file:
        file.create_dataset("group/rows", data=rows, chunks=(min(17, len(rows)), 2) if len(rows) else None)


def write_zarr(path, rows):
    if path.suffix == ".zip":
        with zarr.storage.ZipStore(path, mode="w") as store:
            fill_zarr(zarr.group(store), rows)
    else:
        fill_zarr(zarr.open_group(path, mode="w"), rows)


def fill_zarr(group, rows):
    array = group.create_array("rows", shape=rows.shape, dtype=rows.dtype, chunks=(17, 2))
    array[...] = rows


FILES = {
    "rows.npy": (NpyReader, write_npy),
    "by_column.npy": (NpyReader, write_npy_by_column),
    "swapped.npy": (NpyReader, write_npy_swapped),
    "rows.parquet": (ParquetReader, write_parquet),
    "rows.arrow": (IpcReader, write_arrow),
    "rows.feather": (IpcReader, write_feather),
    "stream.ipc": (IpcReader, write_stream),
    "rows.csv": (CsvReader, write_csv),
    "rows.tsv": (CsvReader, write_csv),
    "rows.csv.gz": (CsvReader, write_csv),
    "rows.csv.bz2": (CsvReader, write_csv),
    "rows.tsv.zst": (CsvReader, write_csv),
    "rows.h5": (Hdf5Reader, write_hdf5),
    "rows.zarr": (ZarrReader, write_zarr),
    "rows.zarr.zip": (ZarrReader, write_zarr),
}
BINARY = [name for name in FILES if ".csv" not in name and ".tsv" not in name and ".zarr" not in name]


def parts_of(rows):
    return [rows[:100], rows[100:101], rows[101:]]


OBJECTS = {
    "pandas": lambda rows: FrameReader(pd.DataFrame(dict(zip(NAMES, rows.T, strict=True)))),
    "polars": lambda rows: FrameReader(pl.DataFrame(dict(zip(NAMES, rows.T, strict=True)))),
    "table": lambda rows: TableReader(pa.concat_tables(map(table_of, parts_of(rows)))),
    "batch": lambda rows: TableReader(
        pa.RecordBatch.from_struct_array(table_of(rows).to_struct_array().combine_chunks())
    ),
    "dataset": lambda rows: TableReader(pa.dataset.dataset(table_of(rows))),
    "array": lambda rows: SlicedReader(rows, "array"),
    "arrays": lambda rows: IterableReader(lambda: iter(parts_of(rows)), "arrays"),
    "frames": lambda rows: IterableReader(lambda: (pd.DataFrame(p, columns=NAMES) for p in parts_of(rows)), "frames"),
    "tables": lambda rows: IterableReader(lambda: [table_of(part) for part in parts_of(rows)], "tables"),
}
NAMELESS = {"rows.npy", "by_column.npy", "swapped.npy", "rows.h5", "rows.zarr", "rows.zarr.zip", "array", "arrays"}
FROM_THE_START = {name for name in FILES if FILES[name][0] is CsvReader} | {"stream.ipc", "dataset"}
FROM_THE_START |= {"arrays", "frames", "tables"}
DTYPES = [np.float64, np.float32, np.float16, np.int32, np.bool_]


@pytest.fixture
def make(tmp_path):
    """A reader of a kind of data that holds these rows."""

    def make_reader(kind, rows):
        if kind in OBJECTS:
            return OBJECTS[kind](rows)
        reader, write = FILES[kind]
        write(tmp_path / kind, rows)
        return reader(tmp_path / kind)

    return make_reader


def read(reader, columns=range(COLUMNS), max_rows=1000, span=None):
    pieces = list(reader.pieces(list(columns), max_rows, span))
    assert all(0 < len(piece) <= max_rows and piece.ndim == 2 and piece.dtype.isnative for piece in pieces)
    return np.concatenate(pieces)


def open_files(folder):
    gc.collect()
    links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
    return [os.readlink(link) for link in links if os.path.lexists(link) and str(folder) in os.readlink(link)]


# The same rows.


@pytest.mark.parametrize("kind", [*FILES, *OBJECTS])
def test_facts(make, kind):
    reader = make(kind, rows_of())
    assert reader.names == (None if kind in NAMELESS else NAMES)
    assert reader.n_columns == COLUMNS
    assert reader.n_rows == (None if kind in FROM_THE_START else ROWS)
    assert (reader.spans() is None) == (kind in FROM_THE_START)
    assert reader.non_numeric(range(COLUMNS)) == []
    assert reader.stamp() == reader.stamp()
    assert (reader.stamp() is None) == (kind in OBJECTS)


@pytest.mark.parametrize("max_rows", [1, 7, 100, 1000])
@pytest.mark.parametrize("kind", [*FILES, *OBJECTS])
def test_pieces_are_the_rows(make, kind, max_rows):
    rows = rows_of()
    reader = make(kind, rows)
    np.testing.assert_array_equal(read(reader, max_rows=max_rows), rows)
    np.testing.assert_array_equal(read(reader, max_rows=max_rows), rows)


@pytest.mark.parametrize("columns", [[1], [2, 0], [0, 2], [2, 1, 0], [1, 1]])
@pytest.mark.parametrize("kind", [*FILES, *OBJECTS])
def test_columns_are_chosen_in_any_order(make, kind, columns):
    rows = rows_of()
    np.testing.assert_array_equal(read(make(kind, rows), columns, 60), rows[:, columns])


@pytest.mark.parametrize("kind", sorted({*FILES, *OBJECTS} - FROM_THE_START))
def test_spans_are_read_in_any_order(make, kind):
    rows = rows_of()
    reader = make(kind, rows)
    spans = reader.spans()
    assert (spans[0][0], spans[-1][1]) == (0, ROWS)
    assert all(one[1] == other[0] for one, other in pairwise(spans))
    if kind in ("rows.parquet", "rows.arrow", "rows.feather"):
        assert len(spans) == 4
    for start, stop in [*reversed(spans), (3, 200), (64, 65), (249, 250)]:
        np.testing.assert_array_equal(read(reader, [2, 1], 50, (start, stop)), rows[start:stop, [2, 1]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [*FILES, *OBJECTS])
def test_dtypes(make, kind, dtype):
    rows = rows_of(dtype)
    if dtype is np.float16 and kind in ("rows.feather", "polars"):
        pytest.skip("has no float16")
    single = dtype in (np.float32, np.float16) and FILES.get(kind, (None,))[0] is not CsvReader
    piece = read(make(kind, rows), max_rows=99)
    assert piece.dtype == (np.float32 if single else np.float64)
    np.testing.assert_array_equal(piece, rows)


@pytest.mark.parametrize("kind", ["pandas", "polars", "table", "rows.parquet", "rows.arrow"])
def test_one_column_of_float64_makes_the_piece_so(tmp_path, kind):
    table = pa.table({"a": np.ones(3, np.float32), "b": np.arange(3.0), "c": pa.array([1, 2, 3], pa.decimal128(5))})
    reader = {
        "pandas": lambda: FrameReader(table.drop(["c"]).to_pandas()),
        "polars": lambda: FrameReader(pl.from_arrow(table)),
        "table": lambda: TableReader(table),
        "rows.parquet": lambda: (pq.write_table(table, tmp_path / kind), ParquetReader(tmp_path / kind))[1],
        "rows.arrow": lambda: (pa.feather.write_feather(table, tmp_path / kind), IpcReader(tmp_path / kind))[1],
    }[kind]()
    assert read(reader, [0]).dtype == np.float32
    assert read(reader, [0, 1]).dtype == np.float64
    if reader.n_columns == 3:
        np.testing.assert_array_equal(read(reader, [2, 0]), [[1, 1], [2, 1], [3, 1]])


def test_one_dimension_is_one_column(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(5))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(5)
    for reader in (NpyReader(tmp_path / "a.npy"), Hdf5Reader(tmp_path / "a.h5"), SlicedReader(np.arange(5), "array")):
        assert reader.n_columns == 1
        np.testing.assert_array_equal(read(reader, [0], 2), np.arange(5)[:, None])


# Files are closed, and changes are seen.


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux lists them")
@pytest.mark.parametrize("kind", FILES)
def test_a_pass_that_ends_early_closes_its_file(make, tmp_path, kind):
    reader = make(kind, rows_of())
    assert open_files(tmp_path) == []
    pieces = reader.pieces([0, 1], 7)
    next(pieces)
    pieces.close()
    assert open_files(tmp_path) == []
    read(reader)
    assert open_files(tmp_path) == []


@pytest.mark.parametrize("kind", FILES)
def test_a_file_written_again_has_another_stamp(make, kind):
    before = make(kind, rows_of()).stamp()
    assert make(kind, rows_of(n_rows=ROWS + 1)).stamp() != before


# What cannot be read.


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_not_there(tmp_path, kind):
    with pytest.raises(FileNotFoundError) as caught:
        FILES[kind][0](tmp_path / kind)
    assert caught.value.filename == str(tmp_path / kind)


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind != "rows.zarr"])
def test_an_empty_file(tmp_path, kind):
    (tmp_path / kind).write_bytes(b"")
    with pytest.raises(SourceError, match=kind):
        FILES[kind][0](tmp_path / kind)


@pytest.mark.parametrize("kind", [*(kind for kind in FILES if ".tsv.zst" not in kind), *OBJECTS])
def test_no_rows(make, kind):
    if kind == "dataset":
        pytest.skip("is not read before the first pass")
    with pytest.raises(SourceError, match="no rows"):
        make(kind, rows_of(n_rows=0))


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind not in ("rows.zarr", "rows.csv", "rows.tsv")])
def test_half_a_file(make, tmp_path, kind):
    make(kind, rows_of(n_rows=5000))
    file = tmp_path / kind
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(SourceError, match=kind):
        read(FILES[kind][0](file))


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind not in ("rows.zarr", "rows.csv", "rows.tsv")])
def test_half_a_file_behind_an_open_reader(make, tmp_path, kind):
    reader = make(kind, rows_of(n_rows=5000))
    file = tmp_path / kind
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(SourceError, match=kind):
        read(reader)


@pytest.mark.parametrize("kind", ["rows.npy", "by_column.npy"])
def test_npy_cut_short_within_a_pass(make, tmp_path, kind, monkeypatch):
    monkeypatch.setattr("fastem.sources.npy.fcntl", None)
    reader = make(kind, rows_of())
    pieces = reader.pieces([0, 1, 2], 100)
    next(pieces)
    os.truncate(tmp_path / kind, 128 + 8 * 3 * 20)
    with pytest.raises(SourceError, match=f"{kind}, rows 100 to 199: the file is cut short"):
        next(pieces)


def test_rows_of_npy_are_the_same_mapped_and_read(make, tmp_path, monkeypatch):
    rows = rows_of()
    reader = make("rows.npy", rows)
    assert reader.piece_bytes > PIECE_BYTES, "this file system has leases"
    mapped = list(reader.pieces([0, 1, 2], 100))
    assert not mapped[0].flags.writeable
    monkeypatch.setattr("fastem.sources.npy.fcntl", None)
    reader = NpyReader(tmp_path / "rows.npy")
    assert reader.piece_bytes == PIECE_BYTES
    read_in = list(reader.pieces([0, 1, 2], 100))
    assert read_in[0].flags.writeable
    for one, other in zip(mapped, read_in, strict=True):
        np.testing.assert_array_equal(one, other)


TRUNCATE = "import os, sys; os.truncate(sys.argv[1], 1000)"


def test_a_mapped_npy_file_cannot_be_cut_short_before_the_pass_has_noticed(make, tmp_path, monkeypatch):
    """Without the lease the process would end by SIGBUS."""
    rows = rows_of(n_rows=100_000)
    reader = make("rows.npy", rows)
    leases, original = [], Lease.__init__
    monkeypatch.setattr(Lease, "__init__", lambda self, file: original(self, file) or leases.append(self))
    pieces = reader.pieces([0, 1, 2], 10_000)
    first = next(pieces)
    writer = subprocess.Popen([sys.executable, "-c", TRUNCATE, tmp_path / "rows.npy"])
    while leases[-1].is_held():
        assert writer.poll() is None, "it waits"
        time.sleep(0.01)
    np.testing.assert_array_equal(first, rows[:10_000])
    with pytest.raises(SourceError, match=r"rows.npy, rows 10000 to 19999: someone writes to the file"):
        next(pieces)
    assert writer.poll() is None, "it waits for what is still mapped"
    del first
    assert writer.wait() == 0
    assert (tmp_path / "rows.npy").stat().st_size == 1000


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind != "rows.zarr"])
def test_nonsense(tmp_path, kind):
    (tmp_path / kind).write_bytes(np.random.default_rng(0).bytes(3000))
    with pytest.raises(SourceError, match=kind):
        FILES[kind][0](tmp_path / kind)


@pytest.mark.parametrize("kind", [kind for kind in FILES if ".zarr" not in kind])
def test_any_damage_gives_rows_or_an_error_that_names_the_file(make, tmp_path, kind):
    random = pyrandom.Random(0)
    make(kind, rows_of())
    file = tmp_path / kind
    sound = file.read_bytes()
    for trial in range(60):
        damaged = bytearray(sound)
        for _ in range(random.choice([1, 20])):
            # Headers and footers are where damage does most.
            place = random.choice([random.randrange(len(sound)), random.randrange(150), -1 - random.randrange(300)])
            damaged[place] = random.randrange(256)
        file.write_bytes(damaged)
        try:
            reader = FILES[kind][0](file)
            for piece in reader.pieces([0], 100):
                assert piece.shape[1] == 1, trial
        except SourceError as error:
            assert kind in str(error)  # noqa: PT017


def with_nulls():
    table = table_of(rows_of())
    values = [None if row == 130 else 1.0 for row in range(ROWS)]
    return table.set_column(1, "b", pa.array(values))


@pytest.mark.parametrize("kind", ["rows.parquet", "rows.arrow", "table", "tables"])
def test_nulls_are_nan(tmp_path, kind):
    table = with_nulls()
    if kind == "rows.parquet":
        pq.write_table(table, tmp_path / kind, row_group_size=64)
        reader = ParquetReader(tmp_path / kind)
    elif kind == "rows.arrow":
        pa.feather.write_feather(table, tmp_path / kind, chunksize=64)
        reader = IpcReader(tmp_path / kind)
    else:
        reader = TableReader(table, "table") if kind == "table" else IterableReader(lambda: [table], "tables")
    found = read(reader, max_rows=9)
    assert np.argwhere(np.isnan(found)).tolist() == [[130, 1]]
    assert read(reader, [0, 2]).shape == (ROWS, 2)


def test_nan_is_let_through(tmp_path):
    rows = rows_of()
    rows[3, 1] = np.nan
    for kind, (reader, write) in FILES.items():
        if reader is not CsvReader:
            write(tmp_path / kind, rows)
            np.testing.assert_array_equal(read(reader(tmp_path / kind)), rows)
    frame = pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64")})
    np.testing.assert_array_equal(read(FrameReader(frame), [0]), [[1], [np.nan], [3]])
    frame = pl.DataFrame({"a": [1, None, 3], "b": [True, None, False]})
    np.testing.assert_array_equal(read(FrameReader(frame), [0, 1]), [[1, 1], [np.nan, np.nan], [3, 0]])


@pytest.mark.parametrize("kind", ["pandas", "polars", "table", "dataset", "tables", "rows.parquet", "rows.arrow"])
def test_columns_of_text_are_told_before_reading(tmp_path, kind):
    table = pa.table({"a": [1.0, 2.0], "kind": ["x", "y"], "when": pa.array([0, 1], pa.timestamp("s"))})
    reader = {
        "pandas": lambda: FrameReader(table.to_pandas()),
        "polars": lambda: FrameReader(pl.from_arrow(table)),
        "table": lambda: TableReader(table),
        "dataset": lambda: TableReader(pa.dataset.dataset(table)),
        "tables": lambda: IterableReader(lambda: [table], "tables"),
        "rows.parquet": lambda: (pq.write_table(table, tmp_path / kind), ParquetReader(tmp_path / kind))[1],
        "rows.arrow": lambda: (pa.feather.write_feather(table, tmp_path / kind), IpcReader(tmp_path / kind))[1],
    }[kind]()
    assert reader.non_numeric([0, 1, 2]) == ["kind", "when"]
    assert reader.non_numeric([0]) == []
    with pytest.raises(SourceError, match=r"columns \['kind', 'when'\] do not hold numbers"):
        read(reader)
    assert read(reader, [0]).tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"nonsense", "not a NumPy file"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.array(["a"]), "dtype <U1"),
        (np.ones(3) + 1j, "dtype complex128"),
        (np.array([1, None], dtype=object), "not a NumPy file of numbers"),
        (np.empty((0, 3)), "holds no rows"),
    ],
)
def test_unusable_npy(tmp_path, content, expected):
    file = tmp_path / "a.npy"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        np.save(file, content, allow_pickle=True)
    with pytest.raises(SourceError, match=f"a.npy .*{expected}"):
        NpyReader(file)


# CSV.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n", "a header but no rows"),
        ("a,kind,place\n1,x,y\n2,z,y\n", r"text in columns kind, place \(line 2: 'x'\).*columns=\[\.\.\.\] \(a\)"),
        ("a:b\n1:2\n", "text in column a:b.*separate fields by commas"),
        ("a,b\n1,2\n1,2,3\n", "line 3: 3 fields where the first line has 2.*commas"),
        ("a,b\n1,2\n1\n", "line 3: 1 fields where the first line has 2"),
        ('"a\nb",c\n1,2\n"x",4\n', "line 4: 'x'"),
        ("a\n" + "1\n" * 3_000_000 + "x\n", r"column a \(line 3000002: 'x'\)"),
    ],
)
def test_unusable_csv(tmp_path, text, expected):
    file = tmp_path / "a.csv"
    file.write_text(text)
    with pytest.raises(SourceError, match=f"(?s)a.csv.*{expected}"):
        read(CsvReader(file), range(CsvReader(file).n_columns), 10**6)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("\ufeffa,b\n1,2\n", [[1, 2]]),
        ("\n\n a ,b\n\n1,2\n\n3,4", [[1, 2], [3, 4]]),
        ("1,2\r\n3,4\r\n", [[1, 2], [3, 4]]),
        ('"a,x",b\n"1", 2 \n+3,4e0\n', [[1, 2], [3, 4]]),
        ("a,b\n1,2\n+1,-.5\n", [[1, 2], [1, -0.5]]),
    ],
)
def test_csv_as_it_comes(tmp_path, text, rows):
    file = tmp_path / "a.csv"
    file.write_bytes(text.encode())
    assert read(CsvReader(file), [0, 1], 1).tolist() == rows


def test_csv_of_text_beside_numbers(tmp_path):
    file = tmp_path / "a.csv"
    line = '"several\nlines, ""quoted""",{}\n'
    file.write_text("text,x\n" + "".join(line.format(i) for i in range(200_000)))
    reader = CsvReader(file)
    assert reader.names == ["text", "x"]
    np.testing.assert_array_equal(read(reader, [1], 10**6)[:, 0], np.arange(200_000))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b\n1,2\n", ["a", "b"]),
        ("a,b,c\n1,x,\n", ["a", "b", "c"]),
        ('\n\n" a ",2\n1,2\n', ["a", "2"]),
        ("1,2\n3,4\n", None),
        ("x,2\ny,4\n", None),
        ("NA,2\n3,4\n", None),
        ("1e3\n", None),
    ],
)
def test_header_is_detected(tmp_path, text, names):
    (tmp_path / "a.csv").write_text(text)
    assert CsvReader(tmp_path / "a.csv").names == names


# HDF5 and Zarr.


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".h5", "rows.h5"), (".zarr", "rows.zarr"), (".zarr.zip", "rows.zarr.zip")]
)
def test_arrays_by_name(tmp_path, suffix, kind):
    path = str(tmp_path / f"many{suffix}")
    arrays = {"one": np.ones((4, 2)), "inner/two": np.arange(6.0).reshape(3, 2), "cube": np.zeros((2, 2, 2))}
    if suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    else:
        store = zarr.storage.ZipStore(path, mode="w") if suffix == ".zarr.zip" else zarr.storage.LocalStore(path)
        group = zarr.group(store)
        for name, array in arrays.items():
            group.create_array(name, shape=array.shape, dtype=array.dtype)[...] = array
        store.close()
    with pytest.raises(SourceError, match=rf"many{suffix} holds 2 arrays.*inner/two \(3, 2\) float64.*Name one: .*::"):
        readers_of(path)
    with pytest.raises(SourceError, match=r"no array 'three'.*inner/two"):
        readers_of(path + "::three")
    with pytest.raises(SourceError, match=r"::cube holds an array of shape \(2, 2, 2\)"):
        readers_of(path + "::cube")
    (reader,) = readers_of(path + "::inner/two")
    assert reader.label == path + "::inner/two"
    np.testing.assert_array_equal(read(reader, [1, 0]), arrays["inner/two"][:, ::-1])


def test_an_array_that_fails_or_shrinks_is_told_by_rows():
    class Failing:
        shape, dtype, ndim, chunks = (10, 2), np.dtype(float), 2, (5, 2)

        def __getitem__(self, rows):
            if rows.stop > 5:
                raise RuntimeError("lost")
            return np.ones((2, 2))

    reader = SlicedReader(Failing(), "failing")
    with pytest.raises(SourceError, match="failing, rows 5 to 9: cannot be read: lost"):
        read(reader, [0, 1], 5, (5, 10))
    with pytest.raises(SourceError, match="failing, rows 0 to 4: there are only 2 rows"):
        read(reader, [0, 1], 5)


def test_chunks_are_read_once():
    seen = []

    class Chunked:
        shape, dtype, ndim, chunks = (1000, 2), np.dtype(float), 2, (100, 2)

        def __getitem__(self, rows):
            seen.append((rows.start, rows.stop))
            return np.ones((rows.stop - rows.start, 2))

    read(SlicedReader(Chunked(), "chunked"), [0, 1], 30)
    assert seen == [(start, start + 100) for start in range(0, 1000, 100)]
    Chunked.chunks = ((400, 600), (2,))
    assert SlicedReader(Chunked(), "chunked").spans() == [(0, 400), (400, 1000)]


# Iterables.


def test_unusable_iterables():
    with pytest.raises(SourceError, match="it yields no rows"):
        IterableReader(lambda: iter([]), "it")
    generator = iter([np.ones((2, 2))])
    with pytest.raises(SourceError, match="it can be read once only"):
        IterableReader(lambda: generator, "it")
    with pytest.raises(SourceError, match=r"shape is \(3,\).*reshape\(-1, 1\)"):
        IterableReader(lambda: [np.ones(3)], "it")
    with pytest.raises(SourceError, match="dtype <U1"):
        IterableReader(lambda: [[["a"]]], "it")
    reader = IterableReader(lambda: [np.ones((3, 2)), np.ones((4, 3))], "it")
    with pytest.raises(SourceError, match="it, rows 3 to 6: 3 columns, where the first rows have 2 columns"):
        read(reader, [0, 1])
    pool = [np.ones((3, 2))]
    reader = IterableReader(lambda: _emptying(pool), "it")
    with pytest.raises(SourceError, match="yields no rows any more: it was exhausted"):
        read(reader, [0, 1])


def _emptying(pool):
    while pool:
        yield pool.pop()


def test_iterables_of_lists_and_of_tables_without_rows():
    reader = IterableReader(lambda: [np.empty((0, 2)), [[1, 2]], np.ones((2, 2), np.float32)], "it")
    assert read(reader, [1, 0]).tolist() == [[2, 1], [1, 1], [1, 1]]


# Folders, patterns, lists.


def test_readers_of_files_patterns_and_folders(tmp_path):
    for i in (2, 1):
        np.save(tmp_path / f"part{i}.npy", np.full((2, 2), i))
    (tmp_path / ".hidden").write_text("")
    paths = [str(tmp_path / f"part{i}.npy") for i in (1, 2)]
    for given in (tmp_path, str(tmp_path / "*.npy"), paths, map(Path, paths)):
        assert [reader.label for reader in readers_of(given)] == paths
    (tmp_path / "odd[1].npy").write_bytes((tmp_path / "part1.npy").read_bytes())
    assert len(readers_of(tmp_path / "odd[1].npy")) == 1


@pytest.mark.parametrize("kind", FILES)
def test_every_suffix_finds_its_reader(make, tmp_path, kind):
    made = make(kind, rows_of())
    (found,) = readers_of(tmp_path / kind)
    assert type(found) is type(made)
    (upper,) = readers_of((tmp_path / kind).rename(tmp_path / kind.upper()))
    assert type(upper) is type(made)


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        readers_of(str(tmp_path / "*.npy"))
    assert caught.value.filename == str(tmp_path / "*.npy")
    assert "No file matches" in caught.value.strerror
    with pytest.raises(FileNotFoundError, match=r"a\.xlsx"):
        readers_of(tmp_path / "a.xlsx")
    with pytest.raises(SourceError, match="is a directory without files"):
        readers_of(tmp_path)
    (tmp_path / "a.xlsx").write_text("x")
    with pytest.raises(SourceError, match=r"a.xlsx: files of this kind.*\.npy, \.parquet.*\.zarr"):
        readers_of(tmp_path / "a.xlsx")
    with pytest.raises(SourceError, match=r"a\.xlsx: files of this kind"):
        readers_of(tmp_path)
    with pytest.raises(SourceError, match=r"a.npy::x: only files of \.h5"):
        readers_of(f"{tmp_path}/a.npy::x")
    np.save(tmp_path / "a.npy", np.ones(3))
    with pytest.raises(SourceError, match=r"files of several kinds: \.npy, \.xlsx"):
        readers_of(tmp_path)
    with pytest.raises(SourceError, match="no files"):
        readers_of([])


def test_parquet_folder(tmp_path):
    frame = pd.DataFrame({"a": np.arange(6.0), "year": [2013, 2013, 2014, 2014, 2015, 2015], "place": list("xyxyxy")})
    frame.to_parquet(tmp_path / "table", partition_cols=["year", "place"])
    pq.write_table(pa.table({"a": pa.array([], pa.float64())}), tmp_path / "table" / "year=2013" / "empty.parquet")
    (tmp_path / "table" / "_SUCCESS").write_text("")
    readers = readers_of(tmp_path / "table")
    assert [reader.names for reader in readers] == [["a", "year"]] * 6
    assert np.concatenate([read(r, [1, 0]) for r in readers]).tolist() == [
        [y, a] for a, y in frame[["a", "year"]].values
    ]
    assert np.concatenate([read(r, [1], 1) for r in readers])[:, 0].tolist() == frame["year"].tolist()
    other = tmp_path / "table" / "year=2015" / "place=z"
    other.mkdir()
    pq.write_table(pa.table({"b": [1.0]}), other / "odd.parquet")
    with pytest.raises(SourceError, match=r"odd\.parquet are \['b', 'year'\], but those of .* are \['a', 'year'\]"):
        as_source(tmp_path / "table")


def test_an_index_stored_by_pandas_is_no_column(tmp_path):
    frame = pd.DataFrame({"a.x": [1.0, 2.0, 3.0], "a": [4.0, 5.0, 6.0]})[1:]
    frame.to_parquet(tmp_path / "a.parquet")
    frame.iloc[[1, 0]].to_parquet(tmp_path / "a.parquet")
    reader = ParquetReader(tmp_path / "a.parquet")
    assert reader.names == ["a.x", "a"]
    assert read(reader, [1, 0]).tolist() == [[6, 3], [5, 2]]


def test_is_table():
    table = table_of(rows_of())
    assert is_table(table)
    assert is_table(table.to_batches()[0])
    assert is_table(pa.dataset.dataset(table))
    assert not any(is_table(X) for X in (pa.array([1]), pd.DataFrame(), pl.DataFrame(), np.ones(2), "a"))


# Memory.


def test_memory_is_used_again_only_when_nothing_refers_to_it():
    recycler = Recycler()
    first = recycler.array((100, 2), np.dtype(float))
    address = first.ctypes.data
    column = first[:, 1][10:]
    del first
    second = recycler.array((100, 2), np.dtype(np.float32), order="F")
    assert not np.shares_memory(second, column)
    del column
    third = recycler.array((90, 2), np.dtype(float))
    assert third.ctypes.data == address
    assert third.flags.c_contiguous
    assert second.flags.f_contiguous


def test_memory_that_is_kept_is_bounded():
    recycler = Recycler(kept_bytes=1000)
    alive = [recycler.array((10, 5), np.dtype(float)) for _ in range(9)]
    assert len(recycler._buffers) == 2
    assert not any(np.shares_memory(a, b) for i, a in enumerate(alive) for b in alive[:i])
    del alive
    recycler.array((100, 1), np.dtype(float))
    assert [buffer.nbytes for buffer in recycler._buffers] == [800]


@pytest.mark.parametrize("kind", ["rows.npy", "by_column.npy", "rows.parquet", "rows.arrow", "rows.csv", "rows.h5"])
def test_memory_does_not_grow_with_the_file(tmp_path, kind):
    reader, write = FILES[kind]
    if kind == "rows.parquet":
        pq.write_table(table_of(rows_of(n_rows=400_000)), tmp_path / kind, row_group_size=20_000)
    else:
        write(tmp_path / kind, rows_of(n_rows=400_000 if kind != "rows.csv" else 100_000))
    opened = reader(tmp_path / kind)
    gc.collect()
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    most_arrow = 0
    tracemalloc.start()
    try:
        for piece in opened.pieces([0, 1, 2], 10_000):
            assert piece.shape[0] <= 10_000
            most_arrow = max(most_arrow, pool.bytes_allocated() - before)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * 2**20
    assert most_arrow < (24 if kind == "rows.csv" else 4) * 2**20


def test_spans_are_whole_runs_where_they_fit():
    assert even_spans(10**6, 24)[:2] == [(0, 168960), (168960, 337920)]
    assert even_spans(10**6, 4096)[0] == (0, 1024)
    assert even_spans(5, 2**30) == [(i, i + 1) for i in range(5)]


# Libraries that are not installed.


@pytest.mark.parametrize(
    ("kind", "module", "purpose"),
    [
        ("rows.parquet", "pyarrow", "reading Parquet files needs pyarrow"),
        ("rows.arrow", "pyarrow", "reading Arrow files needs pyarrow"),
        ("rows.csv", "pyarrow", "reading CSV files needs pyarrow"),
        ("rows.h5", "h5py", "reading HDF5 files needs h5py"),
        ("rows.zarr", "zarr", "reading Zarr arrays needs zarr"),
    ],
)
def test_a_missing_library_is_told_with_the_remedy(make, tmp_path, monkeypatch, kind, module, purpose):
    make(kind, rows_of())
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{purpose}.*pip install 'fastem\[io\]'"):
        read(FILES[kind][0](tmp_path / kind))
