"""Columns of a model found by name in any file, and rows that a model cannot use: kept, marked and counted."""

from __future__ import annotations

import io

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from fastem import GaussianHMM, GaussianMixture, Mixture
from tests.cli.test_cli import FAITHFUL, fail, run, succeed, succeed_json

TABLE = pd.read_csv(FAITHFUL)
# Other columns, and those of the model in another order.
WIDE = TABLE.assign(place="a park", visitor=pd.date_range("2020-01-01", periods=272))[
    ["place", "waiting", "visitor", "eruptions"]
]
MISSING = [3, 100, 271]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.npz"
    succeed("fit", FAITHFUL, "-k", 2, "--seed", 0, "--output", path)
    return path


@pytest.fixture(scope="module")
def mixture():
    return GaussianMixture(2, random_state=0).fit(TABLE.to_numpy())


def written(table, path):
    """A table in a file of this suffix."""
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".arrow":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, pa.Table.from_pandas(table).schema) as writer:
            writer.write_table(pa.Table.from_pandas(table))
    elif path.suffix == ".feather":
        pyarrow.feather.write_feather(table, path)
    else:
        table.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow", ".feather"])
def test_columns_are_found_by_the_names_of_the_model(model, mixture, tmp_path, suffix):
    file = written(WIDE, tmp_path / f"wide{suffix}")
    assert succeed_json("predict", model, file)["labels"] == mixture.predict(TABLE.to_numpy()).tolist()
    assert succeed_json("score", model, file)["bic"] == mixture.bic(TABLE.to_numpy())
    assert "272 rows, 2 columns" in succeed("score", model, file, columns=300).stdout


def test_a_folder_and_a_missing_column(model, mixture, tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    for n in range(2):
        written(WIDE.iloc[136 * n : 136 * (n + 1)], folder / f"part-{n}.parquet")
    assert succeed_json("predict", model, folder)["labels"] == mixture.predict(TABLE.to_numpy()).tolist()
    file = written(WIDE.drop(columns="waiting"), tmp_path / "narrow.parquet")
    message = fail("predict", model, file)
    assert "has no column waiting, which the model was fitted to. Its columns: place, visitor, eruptions" in message


def test_sequences_are_found_by_names(tmp_path):
    days = pd.DataFrame({"note": "x", "market": np.repeat([0, 1], 30), "change": np.tile([0.0, 0.1, 4.0], 20)})
    csv, parquet = written(days, tmp_path / "days.csv"), written(days, tmp_path / "days.parquet")
    model = tmp_path / "hmm.npz"
    command = ("--columns", "change", "--sequence-column", "market")
    succeed("fit", csv, "-k", 2, "--hmm", *command, "--seed", 0, "--output", model)
    found = [succeed_json("predict", model, file, "--sequence-column", "market")["labels"] for file in (csv, parquet)]
    assert found[0] == found[1]
    scores = [succeed_json("score", model, file, "--sequence-column", "market")["score"] for file in (csv, parquet)]
    assert scores[0] == scores[1]


# Missing values.


def gappy():
    table = WIDE.copy()
    table.loc[MISSING[:2], "eruptions"] = np.inf
    table["waiting"] = table["waiting"].astype(float)
    table.loc[MISSING[2], "waiting"] = -np.inf
    # A null of a column that the model does not know is nobody's business.
    table.loc[7, "place"] = None
    return table


def storage(path):
    """Columns with infinite values in every kind of file."""
    rows = gappy()[["eruptions", "waiting"]].to_numpy()
    if path.suffix == ".npy":
        np.save(path, rows)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["rows"] = rows
    else:
        written(gappy(), path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow", ".npy", ".h5"])
def test_rows_that_cannot_be_used_are_kept_and_marked(model, mixture, tmp_path, suffix):
    file = storage(tmp_path / f"gappy{suffix}")
    labels = mixture.predict(TABLE.to_numpy()).astype(float)
    labels[MISSING] = np.nan
    told = "warning: 3 of 272 rows have values that cannot be used: "
    result = succeed("predict", model, file, "--output", tmp_path / "labels.parquet")
    assert result.stderr == f"{told}kept in place, without a label.\n"
    column = pa.parquet.read_table(tmp_path / "labels.parquet").column("label")
    assert column.null_count == 3
    assert str(column.type) == "int64"
    np.testing.assert_array_equal(column.to_pandas(), labels)
    found = succeed_json("predict", model, file)
    assert (found["n_rows"], found["n_unusable"]) == (272, 3)
    assert [label for label in found["labels"] if label is None] == [None] * 3
    assert found["labels"][4] == labels[4]
    score = run("score", model, file, "--json")
    assert score.stderr == f"{told}left out of the score.\n"
    complete = mixture.criteria(np.delete(TABLE.to_numpy(), MISSING, axis=0))
    assert succeed_json("score", model, file) | complete == succeed_json("score", model, file)
    assert (
        "272 rows, 2 columns, 3 with values that cannot be used left out"
        in succeed("score", model, file, columns=300).stdout
    )


def test_how_each_format_says_that_a_label_is_not_there(model, mixture, tmp_path):
    file = storage(tmp_path / "gappy.parquet")
    labels = mixture.predict(TABLE.to_numpy())
    proba = mixture.predict_proba(TABLE.to_numpy())
    proba[MISSING] = np.nan
    succeed("predict", model, file, "--output", tmp_path / "labels.npy")
    labels[MISSING] = -1
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), labels)
    succeed("predict", model, file, "--proba", "--output", tmp_path / "proba.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "proba.npy"), proba)
    for name in ("labels.csv", "labels.csv.gz"):
        succeed("predict", model, file, "--output", tmp_path / name)
        found = pd.read_csv(tmp_path / name)["label"]
        np.testing.assert_array_equal(found.fillna(-1), labels)
    lines = succeed("predict", model, file).stdout.splitlines()
    assert (len(lines), lines[1 + MISSING[0]]) == (273, '""')
    text = succeed("predict", model, file, "--proba").stdout
    assert text.splitlines()[1 + MISSING[0]] == ","
    np.testing.assert_array_equal(pd.read_csv(io.StringIO(text)), proba)
    assert succeed_json("predict", model, file, "--proba")["proba"][MISSING[0]] == [None, None]
    # Marks are the same however the rows are cut.
    assert succeed("predict", model, file, "--memory", "20kB").stdout.splitlines() == lines


def test_integers_and_booleans_with_nulls(tmp_path):
    table = pd.DataFrame({"n": pd.array([1, None, 3, 5], dtype="Int64"), "b": pd.array([True, False, None, True])})
    file, model = written(table, tmp_path / "x.parquet"), tmp_path / "model.npz"
    succeed("fit", written(table.dropna(), tmp_path / "whole.parquet"), "-k", 1, "--output", model)
    found = succeed_json("predict", model, file)
    assert (found["labels"], found["n_unusable"]) == ([0] * 4, 0)


def test_one_row_all_rows_and_infinity(model, tmp_path):
    one = tmp_path / "one.npy"
    np.save(one, np.array([[1, 50], [np.inf, 50], [2, 60.0]]))
    result = succeed("predict", model, one)
    assert result.stdout.splitlines()[2] == '""'
    assert result.stderr == "warning: 1 of 3 rows has values that cannot be used: kept in place, without a label.\n"
    every = tmp_path / "every.npy"
    np.save(every, np.full((4, 2), np.inf))
    assert succeed("predict", model, every).stdout.splitlines() == ["label", *['""'] * 4]
    assert "Every row of" in fail("score", model, every)


def test_values_that_do_not_suit_are_still_errors(tmp_path):
    model = tmp_path / "model.npz"
    Mixture.from_parameters("poisson", [1.0], rates=[3.0]).save(model)
    np.save(tmp_path / "x.npy", [1.0, np.nan, -2.0])
    assert "row 2, column 0 is -2.0" in fail("predict", model, tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", [1.0, np.inf, 2.0])
    assert succeed_json("predict", model, tmp_path / "x.npy")["labels"] == [0, None, 0]


def test_weights_of_rows_that_are_left_out_do_not_count(model, mixture, tmp_path):
    table = gappy().assign(w=np.arange(272.0))
    weight = np.delete(np.arange(272.0), MISSING)
    found = succeed_json("score", model, written(table, tmp_path / "x.parquet"), "--weight-column", "w")
    expected = mixture.criteria(np.delete(TABLE.to_numpy(), MISSING, axis=0), sample_weight=weight)
    assert found["weight"] == weight.sum()
    assert found["bic"] == pytest.approx(expected["bic"], rel=1e-12)


def test_sequences_that_cannot_be_used_have_no_states(tmp_path):
    hmm = GaussianHMM.from_parameters([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], [[0.0], [4.0]], [[1.0], [1.0]])
    hmm.save(tmp_path / "hmm.npz")
    x = np.tile([0.1, 0.2, 4.1, 3.9], 6)
    rows = np.column_stack([np.repeat([0, 1, 2], 8), x])
    rows[10, 1] = np.inf
    np.save(tmp_path / "x.npy", rows)
    command = (tmp_path / "hmm.npz", tmp_path / "x.npy", "--columns", "1", "--sequence-column", "0")
    result = run("predict", *command, "--json")
    assert result.stderr == "warning: 8 of 24 rows are in sequences with values that cannot be used: kept in place, " \
        "without a label.\n"  # fmt: skip
    kept = np.r_[0:8, 16:24]
    states = hmm.predict(x[kept, None], lengths=[8, 8])
    found = succeed_json("predict", *command)["labels"]
    assert [found[i] for i in kept] == states.tolist()
    assert found[8:16] == [None] * 8
    assert succeed_json("score", *command)["loglik"] == hmm.criteria(x[kept, None], lengths=[8, 8])["loglik"]
    proba = succeed_json("predict", *command, "--proba")["proba"]
    assert [proba[i] for i in kept] == hmm.predict_proba(x[kept, None], lengths=[8, 8]).tolist()


def test_missing_values_are_left_to_what_is_there(model, mixture, tmp_path):
    rows = TABLE.to_numpy().copy()
    rows[MISSING, 0] = np.nan
    for suffix in (".csv", ".parquet", ".npy"):
        file = tmp_path / f"rows{suffix}"
        if suffix == ".npy":
            np.save(file, rows)
        else:
            written(pd.DataFrame(rows, columns=TABLE.columns), file)
        found = succeed_json("predict", model, file)
        assert (found["labels"], found["n_unusable"]) == (mixture.predict(rows).tolist(), 0)
        score = succeed_json("score", model, file)
        assert score["loglik"] == pytest.approx(mixture.criteria(rows)["loglik"], rel=1e-12)


def test_missing_values_are_filled_in(model, mixture, tmp_path):
    rows = TABLE.to_numpy().copy()
    rows[MISSING, 0] = np.nan
    file = written(pd.DataFrame(rows, columns=TABLE.columns), tmp_path / "rows.parquet")
    expected = mixture.impute(rows)
    output = tmp_path / "filled.parquet"
    told = succeed("impute", model, file, "--output", output).stdout
    assert "values filled in" in told
    found = pd.read_parquet(output)
    assert list(found.columns) == list(TABLE.columns)
    np.testing.assert_array_equal(found.to_numpy(), expected)
    np.testing.assert_array_equal(pd.read_csv(io.StringIO(succeed("impute", model, file).stdout)).to_numpy(), expected)
    drawn = mixture.impute(rows, "draw", random_state=3)
    succeed("impute", model, file, "-o", output, "--method", "draw", "--seed", 3)
    np.testing.assert_array_equal(pd.read_parquet(output).to_numpy(), drawn)
    facts = succeed_json("impute", model, file, "-o", tmp_path / "filled.npy")
    assert (facts["n_rows"], facts["n_filled"]) == (272, 3)
    np.testing.assert_array_equal(np.load(tmp_path / "filled.npy"), expected)
    assert "Give --output, too" in run("impute", model, file, "--json").stderr
    assert "is not known" in run("impute", model, file, "--method", "median").stderr
    assert "overwrite an input" in fail("impute", model, file, "--output", file)


def test_missing_values_are_refused_where_they_are_to_be(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("a,b\n1,2\n3,\n5,6\n")
    message = fail("fit", file, "-k", 1, "--refuse-missing")
    assert "contains NaN, and --refuse-missing: row 1, column 'b' is nan" in message
    assert "leave out --refuse-missing" in message
    assert succeed_json("fit", file, "-k", 1)["report"]["missing"]["n_missing"] == [0, 1]


def test_missing_values_of_chains_are_filled_in(tmp_path):
    hmm = GaussianHMM.from_parameters([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], [[0.0], [4.0]], [[1.0], [1.0]])
    hmm.save(tmp_path / "hmm.npz")
    rows = np.column_stack([np.repeat([0, 1, 2], 8), np.tile([0.1, 0.2, 4.1, 3.9], 6)])
    rows[[3, 10], 1] = np.nan
    np.save(tmp_path / "x.npy", rows)
    command = (tmp_path / "hmm.npz", tmp_path / "x.npy", "--columns", "1", "--sequence-column", "0")
    succeed("impute", *command, "-o", tmp_path / "filled.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "filled.npy"), hmm.impute(rows[:, 1:], lengths=[8, 8, 8]))
