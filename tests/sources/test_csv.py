"""Text files as they are written: delimiters, decimal marks, encodings, comments, headers, and what is a number."""

from __future__ import annotations

import bz2
import gzip
import io

import numpy as np
import pyarrow as pa
import pytest

from fastem import CsvFormat, GaussianMixture, open_source
from fastem.sources.csv import CsvReader
from fastem.sources.reader import SourceError

AUTO = None


def read(tmp_path, content, form=None, columns=None, name="a.csv"):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    source = open_source(path, columns, csv=form)
    return source.names, np.concatenate([chunk.X for chunk in source.chunks()]).tolist()


def saved(rows, **how):
    file = io.BytesIO()
    np.savetxt(file, rows, **how)
    return file.getvalue()


ROWS = [[1.5, 2.0], [-3.0, 4e10]]


@pytest.mark.parametrize(
    ("content", "names", "rows"),
    [
        ("a;b\n1.5;2\n", "ab", [[1.5, 2]]),
        ("a;b\n1,5;2\n0,25;3\n", "ab", [[1.5, 2], [0.25, 3]]),
        ("1,5;2,5\n3,5;4,5\n", None, [[1.5, 2.5], [3.5, 4.5]]),
        ("a\tb\n1,5\t2\n", "ab", [[1.5, 2]]),
        ("a|b\n1|2\n", "ab", [[1, 2]]),
        ("   1   2\n  10\t20  \n", None, [[1, 2], [10, 20]]),
        ("a  b\n1  2\n", "ab", [[1, 2]]),
        ("1, 2\n3, 4\n", None, [[1, 2], [3, 4]]),
        ("a\n1\n2\n", "a", [[1], [2]]),
        (saved(ROWS), None, ROWS),
        (saved(ROWS, header="a b"), "ab", ROWS),
        (saved(ROWS, header="a,b", delimiter=","), "ab", ROWS),
        (saved(ROWS, header="measured\nin May\na;b", delimiter=";"), "ab", ROWS),
        (saved(ROWS, delimiter="\t"), None, ROWS),
        ("# measured, in May, by us\na,b\n1,2\n", "ab", [[1, 2]]),
        ("#, of 3\n" * 900 + "a,b\n1,2\n", "ab", [[1, 2]]),
        ("a,b\n1,2\n".encode("utf-16"), "ab", [[1, 2]]),
        ("a;b\n1,5;2\n".encode("utf-32"), "ab", [[1.5, 2]]),
        ("\ufeffa;b\n1;2\n", "ab", [[1, 2]]),
        ("a,b\r1,2\r3,4\r", "ab", [[1, 2], [3, 4]]),
        ("a;b\r\n1,5;2\r\n\r\n", "ab", [[1.5, 2]]),
        ("a,b\n1,2\n\n   \n\n", "ab", [[1, 2]]),
        ("a,b,\n1,2,\n3,4,\n", "ab", [[1, 2], [3, 4]]),
        ("1;2;\n3;4;\n", None, [[1, 2], [3, 4]]),
        (gzip.compress(b"a;b\n1;2\n", mtime=0), "ab", [[1, 2]]),
        (bz2.compress(b"1 2\n3 4\n"), None, [[1, 2], [3, 4]]),
        (pa.compress(b"a\tb\n1\t2\n", "zstd", asbytes=True), "ab", [[1, 2]]),
        ("a,b\n" + ",".join(["1" * 5, "2"]) + "\n" + " " * 3_000_000 + "3,4\n", "ab", [[11111, 2], [3, 4]]),
    ],
)
def test_what_is_plain_is_recognised(tmp_path, content, names, rows):
    assert read(tmp_path, content) == (names and list(names), rows)


def test_what_is_compressed_is_told_by_its_first_bytes(tmp_path):
    assert read(tmp_path, "a;b\n1;2\n", name="a.csv.gz") == (["a", "b"], [[1, 2]])
    assert read(tmp_path, bz2.compress(b"a;b\n1;2\n"), name="a.csv.gz") == (["a", "b"], [[1, 2]])


def test_tabs_are_usual_in_tsv(tmp_path):
    assert read(tmp_path, "x, y\tb\nfoo, bar\t1\n", columns=["b"], name="a.tsv") == (["b"], [[1]])


@pytest.mark.parametrize(
    ("content", "form", "names", "rows"),
    [
        ("a:b\n1:2\n", {"delimiter": ":"}, "ab", [[1, 2]]),
        ("a\x01b\n1\x012\n", {"delimiter": "\x01"}, "ab", [[1, 2]]),
        ("1,234;2\n", {"delimiter": ";", "decimal": ","}, None, [[1.234, 2]]),
        ("1,234;2\n", {"thousands": ","}, None, [[1234, 2]]),
        ("1.234.567,5;2\n", {"thousands": "."}, None, [[1234567.5, 2]]),
        ("a,b\n1,2\n".encode("utf-16-le"), {"encoding": "utf-16-le"}, "ab", [[1, 2]]),
        ("ü,b\n1,2\n".encode("cp1252"), {"encoding": "cp1252"}, "üb", [[1, 2]]),
        ("a,b\n1,2\n#3,4\n  # 5\n6,7\n", {"comment": "#"}, "ab", [[1, 2], [6, 7]]),
        ("% a b\n1 2\n% it's\n3 4\n", {"comment": "%"}, "ab", [[1, 2], [3, 4]]),
        ("// x\r1,2\r// y\r3,4", {"comment": "//"}, None, [[1, 2], [3, 4]]),
        ("1,2\n3,4\n", {"header": True}, "12", [[3, 4]]),
        ("2019,2020\n1.5,2.5\n", {"header": False}, None, [[2019, 2020], [1.5, 2.5]]),
        ("'1',2\n", {"quote": "'"}, None, [[1, 2]]),
    ],
)
def test_what_is_said_counts(tmp_path, content, form, names, rows):
    assert read(tmp_path, content, CsvFormat(**form)) == (names and list(names), rows)


@pytest.mark.parametrize(
    ("content", "columns", "form", "rows"),
    [
        ("name,b\nMüller,2.5\nx,3\n".encode("latin-1"), ["b"], {}, [[2.5], [3]]),
        ('a,t\n1,"x\n# y"\n2,"#"\n', ["a"], {"comment": "#"}, [[1], [2]]),
        ("t,b\n#1,2\n#2,3\n", ["b"], {}, [[2], [3]]),
        ('t b\n"New  York" 2\n"x" 3\n', ["b"], {}, [[2], [3]]),
        ('t,b\n5",2\n', ["b"], {"quote": ""}, [[2]]),
        ("t,b\n" + "x" * 3_000_000 + ",2\n", ["b"], {}, [[2]]),
    ],
)
def test_text_beside_the_chosen_columns_is_no_reason_to_refuse(tmp_path, content, columns, form, rows):
    assert read(tmp_path, content, CsvFormat(**form), columns)[1] == rows


def test_names_that_are_no_utf8_are_shown_and_can_be_passed_over(tmp_path):
    names, rows = read(tmp_path, "größe,b\n1,2\n".encode("latin-1"))
    assert names == ["gr\\xf6\\xdfe", "b"]
    assert rows == [[1, 2]]


NUMBERS = {
    "1": 1, " 12 ": 12, "+3": 3, "-0.5": -0.5, "1.": 1, ".5": 0.5, "1e5": 1e5, "-.5E-3": -0.0005, "1e+2": 100, "\t7": 7,
    "007": 7, "123456789012345678901234567890": 123456789012345678901234567890.0,
}  # fmt: skip
TEXTS = [
    "2020_01", "12_3", "1_000", "0x1F", "0b1", "\uff11\uff12", "\u0661\u0662", "1d5", "--3", "+-3", "1,234", "1 2",
    "e5", "1e", "1e+", ".", "+", "nan(1)", "1f", "True", "$5", "5%", "\u22125", "\xa01", "1\xa0000", "1e5.5", "1.2.3",
    "\u0131nf", "infinit", "2020-01", "12:30", "1e1_0",
]  # fmt: skip


@pytest.mark.parametrize("ahead", ["", "+1"])
@pytest.mark.parametrize("field", NUMBERS)
def test_numbers(tmp_path, field, ahead):
    """`ahead`: a number that Arrow does not read, so that Python's reader takes over."""
    before = f"{ahead},0\n" if ahead else ""
    assert read(tmp_path, f"a,b\n{before}{field},1\n3,2\n")[1][-2:] == [[NUMBERS[field], 1], [3, 2]]


@pytest.mark.parametrize("ahead", ["", "+1"])
@pytest.mark.parametrize("field", TEXTS)
def test_what_is_no_number_is_text(tmp_path, field, ahead):
    before = f"{ahead},0\n" if ahead else ""
    with pytest.raises(SourceError, match="holds text in column a"):
        read(tmp_path, f'a,b\n{before}"{field}",1\n3,2\n')


@pytest.mark.parametrize("ahead", ["", "+1"])
@pytest.mark.parametrize("field", ["", "NA", "NaN", "-nan", "null", "nULL", "N/A", "?", " na "])
def test_missing_values_are_nan(tmp_path, field, ahead):
    before = f"{ahead},0\n" if ahead else ""
    found = read(tmp_path, f"a,b\n{before}1,2\n{field},4\n")[1][-2:]
    np.testing.assert_array_equal(found, [[1, 2], [np.nan, 4]])


@pytest.mark.parametrize("field", ["inf", "-Infinity", "1e999"])
def test_infinite_values_are_left_to_whoever_reads(tmp_path, field):
    assert np.isinf(read(tmp_path, f"a,b\n1,2\n{field},4\n")[1][-1][0])


@pytest.mark.parametrize("field", ["-999", "-999.0", "gone", " Gone ", "-9.99e2"])
@pytest.mark.parametrize("words", [["-999", "gone"], ("gone", "-999")])
def test_words_for_missing_values(tmp_path, field, words):
    found = read(tmp_path, f"a,b\n1,2\n{field},4\n", CsvFormat(missing_values=words))[1]
    np.testing.assert_array_equal(found, [[1, 2], [np.nan, 4]])
    assert read(tmp_path, f"a,b\n1,2\n{field},4\n", CsvFormat(missing_values=words), ["b"])[1] == [[2], [4]]


@pytest.mark.parametrize(
    ("content", "columns", "expected"),
    [
        ("2019,2020,2021\n1.5,2.5,3.5\n", AUTO, "line 1: 2019, 2020, 2021 may be the names.*header=True.*header=False"),
        ("2019,2020\n10,20\n30,40\n", AUTO, "may be the names"),
        ("2019,2020,2021\n1,2,3\n5,1,2\n", AUTO, "may be the names"),
        ("0,1,2\n0.5,-1.5,2.5\n", AUTO, "may be the names"),
        ("0\n0.5\n0.25\n0.125\n", AUTO, "may be the names"),
        ("name,2019\nx,1.5\ny,2.5\nz,3.5\n", [1], "name, 2019 may be the names"),
        ("0;1\n0,5;1,5\n", AUTO, "may be the names"),
        ("#1,2\n3,4\n", AUTO, "line 1: it begins with '#'.*may be a row.*comment='#'.*comment=''"),
        ("# a\n# b\n", AUTO, "all lines begin with '#'.*comment=''"),
        ("Foo;1,5\nBar;2,5\n", [1], "2 fields by commas or 2 fields by semicolons.*delimiter="),
        ("a;b\n1,234;2\n3,456;3\n", AUTO, r"'1,234'.*decimal=','.*thousands=','"),
        ('a,b\n"1,5",2\n', AUTO, "decimal=','"),
        ("a\n1,5\n2,5\n", AUTO, "line 2: 2 fields where the first line has 1.*decimal=','"),
        ("a,b\n1,2\n# end\n", AUTO, "line 3.*comment='#'"),
        ("1 2\n3 4\n# the end\n", AUTO, "line 3.*comment='#'"),
        ("a,b\n1,2\n1,gone\n", AUTO, r"line 3: 'gone'.*missing_values=\['gone'\]"),
        ("a;b\n1;2\n1;2;3\n", AUTO, "line 3: 3 fields where the first line has 2.*semicolons"),
        ("a b\nx 1 2\ny 3 4\n", AUTO, "line 2: 3 fields where the first line has 2.*spaces"),
        ("a,b,\n" + "1,2,\n" * 300 + "1,2,3\n", AUTO, "line 302: there is '3' behind the last delimiter"),
        ("a,b\n1,\x002\n", AUTO, r"control character.*encoding"),
        ("a,b\n1,2\n".encode("utf-16-le"), AUTO, "control character.*encoding"),
        ("", AUTO, "is empty"),
        ("\n\n  \n", AUTO, "is empty"),
        ("a;b\n", AUTO, "a header but no rows"),
    ],
)
def test_what_is_not_plain_is_an_error_with_the_remedy(tmp_path, content, columns, expected):
    with pytest.raises(SourceError, match=f"(?s)a.csv.*{expected}"):
        read(tmp_path, content, columns=columns)


@pytest.mark.parametrize(
    "content",
    [
        "1,2\n3,4\n5,6\n7,8\n",
        "0,1\n1,0\n1,1\n0,0\n",
        "2019,2020\n2018,2021\n",
        "1\n2\n3\n4\n",
        "5\n1.5\n",
        "3,1\n1.5,2.5\n",
    ],
)
def test_rows_of_numbers_are_no_header(tmp_path, content):
    names, rows = read(tmp_path, content)
    assert names is None
    assert len(rows) == content.count("\n")


def test_a_wrong_encoding_is_told(tmp_path):
    with pytest.raises(SourceError, match=r"a\.csv is not text in shift-jis.*encoding="):
        read(tmp_path, b"\x80\xff,b\n1,2\n", CsvFormat(encoding="shift-jis"))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"delimiter": ";;"}, "delimiter must be a single character"),
        ({"delimiter": ""}, "delimiter must be a single character"),
        ({"delimiter": "\n"}, "delimiter must be a single character"),
        ({"delimiter": "é"}, "delimiter must be an ASCII character"),
        ({"decimal": ";"}, "decimal must be"),
        ({"delimiter": ",", "decimal": ","}, "both"),
        ({"thousands": ".", "decimal": "."}, "thousands is '.'"),
        ({"thousands": "1"}, "part of a number"),
        ({"encoding": "klingon"}, "no encoding 'klingon'"),
        ({"encoding": "rot13"}, "no encoding of text"),
        ({"header": "yes"}, "header must be"),
        ({"quote": ";", "delimiter": ";"}, "delimiter and quote"),
    ],
)
def test_settings_that_do_not_go_together(settings, expected):
    with pytest.raises(SourceError, match=expected):
        CsvFormat(**settings)


def test_csv_is_for_text_files(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    with pytest.raises(SourceError, match=r"a.npy is none. Leave it out"):
        open_source(tmp_path / "a.npy", csv=CsvFormat())
    with pytest.raises(TypeError, match="X is a ndarray"):
        open_source(np.ones((3, 2)), csv=CsvFormat())
    with pytest.raises(TypeError, match=r"csv must be a fastem\.CsvFormat"):
        open_source(tmp_path / "a.csv", csv={"delimiter": ";"})
    (tmp_path / "a.dat").write_text("1 2\n3 4\n")
    assert open_source(tmp_path / "a.dat", csv=CsvFormat()).n_features == 2


def test_pieces_of_any_size_and_order_are_the_same_however_a_file_is_written(tmp_path):
    rows = np.random.default_rng(0).normal(size=(5000, 3))
    forms = {
        "plain": ({"delimiter": ","}, {}),
        "spaces": ({"delimiter": "   "}, {}),
        "comments": ({"delimiter": ",", "footer": "end", "header": "x"}, {"comment": "#"}),
        "semicolons": ({"delimiter": ";"}, {}),
        "utf-16": ({"delimiter": "\t", "encoding": "utf-16"}, {}),
    }
    for name, (how, form) in forms.items():
        path = tmp_path / f"{name}.csv"
        np.savetxt(path, rows, fmt="%.17g", **how)
        for max_rows in (7, 1000, 10**6):
            pieces = list(CsvReader(path, CsvFormat(**form)).pieces([2, 0], max_rows))
            np.testing.assert_array_equal(np.concatenate(pieces), rows[:, [2, 0]])


def test_a_fit_of_semicolons_is_that_of_the_rows(tmp_path):
    rows = np.random.default_rng(0).normal(size=(500, 2)).round(3)
    np.savetxt(tmp_path / "a.csv", rows, fmt="%.3f", delimiter=";")
    text = (tmp_path / "a.csv").read_text().replace(".", ",")
    (tmp_path / "a.csv").write_text(text)
    found = GaussianMixture(1, random_state=0).fit(tmp_path / "a.csv")
    np.testing.assert_array_equal(found.means_, GaussianMixture(1, random_state=0).fit(rows).means_)
