"""Folders, patterns and lists of files: all rows, or an error; and streams that can be read once only."""

from __future__ import annotations

import errno
import gc
import gzip
import io
import os
import subprocess
import sys
import tempfile
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from fastem import CsvFormat, GaussianHMM, GaussianMixture, open_source
from fastem.sources import as_source, spool
from fastem.sources.reader import SourceError

TEXT = "a,b\n" + "".join(f"{i},{(7 * i) % 10}.5\n" for i in range(60))
ROWS = [[i, (7 * i) % 10 + 0.5] for i in range(60)]


def write(path, text="a\n1\n2\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def rows_of(X, **how):
    return np.concatenate([chunk.X for chunk in open_source(X, **how).chunks()]).tolist()


# Folders, patterns, lists.


def test_folders_within_folders_are_read_in_the_order_of_their_paths(tmp_path):
    for place, value in (("b.csv", 2), ("a/z.csv", 1), ("c/d/e.csv", 4), ("c/a.csv", 3)):
        write(tmp_path / place, f"x\n{value}\n")
    for name in (".hidden.csv", ".ipynb_checkpoints/a.csv", "_SUCCESS", "c/_started_1", ".b.csv.crc"):
        write(tmp_path / name, "x\n9\n")
    assert rows_of(tmp_path) == [[1], [2], [3], [4]]
    assert sorted(rows_of(str(tmp_path / "**" / "*.csv"))) == [[1], [2], [3], [4]]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_links_add_rows_once_and_loops_end(tmp_path, suffix):
    def put(path, value):
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == ".csv":
            path.write_text(f"x\n{value}\n")
        elif suffix == ".npy":
            np.save(path, np.array([[float(value)]]))
        else:
            pq.write_table(pa.table({"x": [float(value)]}), path)

    put(tmp_path / "data" / f"a{suffix}", 1)
    put(tmp_path / "elsewhere" / f"b{suffix}", 2)
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "other").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / f"latest{suffix}").symlink_to(tmp_path / "data" / f"a{suffix}")
    assert rows_of(tmp_path / "data") == [[1], [2]]
    assert rows_of(str(tmp_path / "data" / "**")) == [[1], [2]]
    assert rows_of(str(tmp_path / "data" / "**" / f"*{suffix}")) == [[1], [2]]


def test_a_link_that_leads_nowhere_is_told(tmp_path):
    write(tmp_path / "a.csv")
    (tmp_path / "b.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(FileNotFoundError, match=r"b\.csv"):
        open_source(tmp_path)


def test_several_kinds_of_files_are_an_error_that_names_them(tmp_path):
    write(tmp_path / "a.csv")
    (tmp_path / "more").mkdir()
    pq.write_table(pa.table({"a": [3.0]}), tmp_path / "more" / "b.parquet")
    with pytest.raises(SourceError, match=r"several kinds: \.csv, \.parquet \(a\.csv, more/b\.parquet\)"):
        open_source(tmp_path)
    assert rows_of(str(tmp_path / "**" / "*.csv")) == [[1], [2]]
    write(tmp_path / "more" / "b.csv.part")
    (tmp_path / "more" / "b.parquet").unlink()
    with pytest.raises(SourceError, match=r"several kinds: \.csv, \.part \(a\.csv, more/b\.csv\.part\)"):
        open_source(tmp_path)


@pytest.mark.parametrize("name", ["_b.csv", "_temporary/0/b.csv", "_delta_log/1.parquet"])
def test_rows_that_other_programs_have_not_finished_are_named(tmp_path, name):
    write(tmp_path / "a.csv")
    write(tmp_path / name)
    with pytest.raises(SourceError, match=f"begin with an underscore.*{name}"):
        open_source(tmp_path)


def test_a_pipe_within_a_folder_is_named(tmp_path):
    write(tmp_path / "a.csv")
    os.mkfifo(tmp_path / "b.csv")
    with pytest.raises(SourceError, match=r"b\.csv is no file, but a pipe"):
        open_source(tmp_path)


@pytest.mark.parametrize("text", ["", "\n\n", "a\n", "# nothing\n\n"[10:]])
def test_parts_without_rows_are_passed_over(tmp_path, text):
    write(tmp_path / "a.csv")
    write(tmp_path / "b.csv", text)
    paths = [tmp_path / "b.csv", tmp_path / "a.csv"]
    for given in (tmp_path, str(tmp_path / "*.csv"), paths):
        assert rows_of(given) == [[1], [2]]
    (tmp_path / "a.csv").unlink()
    with pytest.raises(SourceError, match=r"b\.csv"):
        open_source(tmp_path)
    write(tmp_path / "a.csv", text)
    with pytest.raises(SourceError, match=r"None of 2 files holds rows"):
        open_source(paths)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_in_another_order_are_found_by_their_names(tmp_path, suffix):
    def put(name, columns):
        if suffix == ".csv":
            text = ",".join(columns) + "\n" + ",".join(str(value[0]) for value in columns.values()) + "\n"
            (tmp_path / name).write_text(text)
        else:
            pq.write_table(pa.table(columns), tmp_path / name)

    put(f"1{suffix}", {"a": [1.0], "w": [0.5], "b": [2.0]})
    put(f"2{suffix}", {"b": [4.0], "a": [3.0], "w": [1.5]})
    assert rows_of(tmp_path) == [[1, 0.5, 2], [3, 1.5, 4]]
    (chunk,) = open_source(tmp_path, weight="w").chunks()
    assert chunk.X.tolist() == [[1, 2], [3, 4]]
    assert chunk.weight.tolist() == [0.5, 1.5]
    put(f"3{suffix}", {"a": [1.0], "w": [1.0], "c": [2.0]})
    with pytest.raises(SourceError, match=rf"3\{suffix} are .*'c'"):
        open_source(tmp_path)
    put(f"3{suffix}", {"a": [1.0], "w": [1.0], "b": ["x"]})
    with pytest.raises(SourceError, match=rf"3\{suffix}.*b"):
        rows_of(tmp_path)


def test_a_part_without_a_header_is_told(tmp_path):
    write(tmp_path / "1.csv")
    write(tmp_path / "2.csv", "3\n4\n")
    with pytest.raises(SourceError, match=r"2\.csv are None, but those of .*1\.csv are \['a'\]"):
        open_source(tmp_path)


def test_parts_that_are_written_in_several_ways(tmp_path):
    write(tmp_path / "1.csv", "a;b\n1,5;2\n")
    write(tmp_path / "2.csv", "a,b\n3,4\n")
    assert rows_of(tmp_path) == [[1.5, 2], [3, 4]]


def test_folders_of_zarr_are_files(tmp_path):
    for name in ("b.zarr", "in/a.zarr"):
        zarr.open_group(tmp_path / name, mode="w").create_array("x", shape=(2, 1), dtype=float, chunks=(1, 1))
    assert rows_of(tmp_path) == [[0]] * 4
    assert rows_of(str(tmp_path / "**")) == [[0]] * 4


# Streams.


@pytest.fixture
def told():
    lines = []
    with spool.spool_lines_to(lines.append):
        yield lines


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where temporary files are; none of them is left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    gc.collect()
    assert list(folder.iterdir()) == []


def feed(path, content, before=lambda: None):
    def work():
        before()
        with open(path, "wb") as file:
            file.write(content)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def contents():
    parquet, arrow, npy = io.BytesIO(), io.BytesIO(), io.BytesIO()
    table = pa.table({"a": [row[0] for row in ROWS], "b": [row[1] for row in ROWS]})
    pq.write_table(table, parquet)
    with pa.ipc.new_stream(arrow, table.schema) as writer:
        writer.write_table(table)
    np.save(npy, np.array(ROWS, dtype=float))
    files = {"parquet": parquet, "arrow": arrow, "npy": npy}
    return {"csv": TEXT.encode(), "gz": gzip.compress(TEXT.encode())} | {k: f.getvalue() for k, f in files.items()}


@pytest.mark.parametrize("kind", ["csv", "gz", "parquet", "arrow", "npy"])
def test_a_named_pipe_is_read_once_and_kept(tmp_path, temporary, told, kind):
    pipe = tmp_path / "rows.csv"
    os.mkfifo(pipe)
    thread = feed(pipe, contents()[kind])
    source = open_source(pipe)
    thread.join()
    for _ in range(2):
        assert np.concatenate([chunk.X for chunk in source.chunks()]).tolist() == ROWS
    assert told == [line for line in told if line.startswith(f"{pipe} is kept in a temporary file in {temporary}")]


@pytest.mark.parametrize(
    "make",
    [
        lambda path: io.BytesIO(TEXT.encode()),
        lambda path: io.StringIO(TEXT),
        lambda path: open(path, "rb"),  # noqa: SIM115
        lambda path: open(path, encoding="utf-8"),  # noqa: SIM115
        lambda path: [io.StringIO(TEXT)],
    ],
)
def test_open_files(tmp_path, temporary, make):
    write(tmp_path / "rows.csv", TEXT)
    file = make(tmp_path / "rows.csv")
    expected = GaussianMixture(2, random_state=0).fit(np.array(ROWS))
    found = GaussianMixture(2, random_state=0).fit(file)
    np.testing.assert_array_equal(found.means_, expected.means_)
    if not isinstance(file, list):
        file.close()


def test_a_stream_is_read_once_though_it_gives_rows_and_sequences(tmp_path, temporary):
    pipe = tmp_path / "rows.csv"
    os.mkfifo(pipe)
    feed(pipe, b"id,x\n1,0\n1,1\n2,5\n2,7\n2,6\n")
    source = open_source(pipe, sequence_column="id", weight=None)
    assert source.lengths.tolist() == [2, 3]
    assert next(iter(source.chunks())).X.tolist() == [[0], [1], [5], [7], [6]]
    GaussianHMM(1, random_state=0).fit(source)


def test_errors_name_the_stream(tmp_path, temporary):
    with pytest.raises(SourceError, match=r"^the StringIO .*line 3: 'x'"):
        rows_of(io.StringIO("a,b\n1,2\nx,3\n"))
    with pytest.raises(SourceError, match=r"^the BytesIO is empty"):
        open_source(io.BytesIO(b""))
    with pytest.raises(SourceError, match=r"^the StringIO, line 1: 2019, 2020 may be the names"):
        open_source(io.StringIO("2019,2020\n1.5,2.5\n"))
    assert rows_of(io.StringIO("2019,2020\n1.5,2.5\n"), csv=CsvFormat(header=True)) == [[1.5, 2.5]]


@pytest.mark.parametrize("kind", ["gz", "parquet", "arrow", "npy"])
def test_errors_of_damaged_streams_name_the_stream(temporary, kind):
    with pytest.raises(SourceError, match=r"^the BytesIO") as caught:
        rows_of(io.BytesIO(contents()[kind][:-40]))
    assert "/proc/self/fd" not in str(caught.value)


def test_a_pipe_that_nobody_writes_to_is_given_up(tmp_path, temporary, told, monkeypatch):
    monkeypatch.setattr(spool, "NO_WRITER_SECONDS", 0.2)
    monkeypatch.setattr(spool, "_TOLD_SECONDS", 0.05)
    os.mkfifo(tmp_path / "rows.csv")
    with pytest.raises(SourceError, match="is a pipe that nobody writes to"):
        open_source(tmp_path / "rows.csv")
    assert told == [f"waiting for rows from {tmp_path / 'rows.csv'}; Ctrl-C ends it"]


def test_a_writer_that_comes_late_or_stays_silent_is_waited_for(tmp_path, temporary, monkeypatch):
    monkeypatch.setattr(spool, "_TOLD_SECONDS", 0.01)
    waiting = threading.Event()
    os.mkfifo(tmp_path / "rows.csv")
    feed(tmp_path / "rows.csv", TEXT.encode(), lambda: waiting.wait(60))
    with spool.spool_lines_to(lambda line: waiting.set()):
        assert rows_of(tmp_path / "rows.csv") == ROWS


def test_a_disk_without_room(tmp_path, temporary, monkeypatch):
    monkeypatch.setattr(spool, "_SPARE_BYTES", 2**62)
    with pytest.raises(SourceError, match=f"does not fit into {temporary}.*TMPDIR"):
        open_source(io.StringIO(TEXT))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_nothing_is_left_of_a_stream_that_ends_early(temporary, error):
    class Breaking(io.StringIO):
        def read(self, size=-1):
            raise error

    with pytest.raises((KeyboardInterrupt, SourceError)):
        open_source(Breaking())


def test_without_a_file_system_of_processes_the_temporary_file_is_removed(temporary, monkeypatch):
    monkeypatch.setattr(spool, "_is_linux", lambda: False)
    source = as_source(io.StringIO(TEXT))
    assert len(list(temporary.iterdir())) == 1
    assert len(next(iter(source.chunks()))) == 60
    del source
    with pytest.raises(SourceError):
        as_source(io.StringIO(""))


def test_devices_are_refused():
    with pytest.raises(SourceError, match="/dev/zero is a terminal or another device"):
        open_source("/dev/zero")
    with pytest.raises(SourceError, match="/dev/null is empty"):
        open_source("/dev/null")
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "r") as terminal, pytest.raises(SourceError, match="is a terminal"):
        open_source(terminal)
    os.close(ours)


SCRIPT = """
import sys, numpy as np, fastem
source = fastem.open_source(sys.argv[1])
print(np.concatenate([chunk.X for chunk in source.chunks()]).tolist())
"""


@pytest.mark.parametrize("path", ["-", "/dev/stdin", "/dev/fd/0"])
@pytest.mark.parametrize("way", ["pipe", "file", "half a file"])
def test_standard_input(tmp_path, path, way):
    write(tmp_path / "rows.csv", "x\n" + TEXT if way == "half a file" else TEXT)
    command = [sys.executable, "-c", SCRIPT, path]
    with open(tmp_path / "rows.csv", "rb", buffering=0) as file:
        if way == "half a file":
            file.read(2)
        given = {"input": TEXT} if way == "pipe" else {"stdin": file}
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **given)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([[float(a), b] for a, b in ROWS])


def test_standard_input_that_is_empty_or_closed():
    command = [sys.executable, "-c", SCRIPT, "-"]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=False, timeout=300)
    assert "the standard input is empty" in done.stderr
    done = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" - <&-', *command[::2]], capture_output=True, text=True, check=False, timeout=300
    )
    assert "The standard input is closed" in done.stderr
