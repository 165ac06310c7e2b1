"""Names from files on terminals: without control sequences or markup, and in few characters."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

import fastem
from fastem import Batch, GaussianMixture, _naming
from fastem._text import meant, shown, writing_any_text
from fastem.persistence import ModelFileError
from fastem.sources import SourceError
from fastem.sources.shared import read_ahead
from tests.cli.test_cli import FAITHFUL, fail, run, succeed, succeed_json

ESCAPE = "\x1b[31m"
HARMFUL = [ESCAPE + "red", "\x9b31mred", "a\x7fb", "\u202egnp", "\u2066x", "a\x07b", "a\rb", "a\x08b"]
# Whatever comes from a file and moves a terminal.
MOVES = {*map(chr, range(0x20)), "\x7f", *map(chr, range(0x80, 0xA0)), "\u202e", "\u2066"} - {"\n"}


def is_harmless(text):
    return not MOVES & set(text)


def named(path, name):
    """A table one of whose columns has a name; text files hold no control characters."""
    columns = {name: np.arange(40) % 7 + 0.5, "b": np.arange(40) * 3 % 5 + 0.25}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


@pytest.mark.parametrize(("name", "columns"), [(HARMFUL[0], 20), *((name, 200) for name in HARMFUL)], ids=ascii)
def test_names_of_columns_reach_no_terminal(tmp_path, name, columns):
    file, model = named(tmp_path / "x.parquet", name), tmp_path / "model.npz"
    results = [succeed("fit", file, "-k", 1, "--output", model, columns=columns)]
    results += [succeed(*arguments, columns=columns) for arguments in (("info", model), ("sample", model, "-n", 2))]
    results += [run("fit", file, "-k", 1, "--columns", "nothing"), run("predict", model, FAITHFUL)]
    for result in results:
        assert is_harmless(result.stdout), result.stdout
        assert is_harmless(result.stderr), result.stderr
    if columns == 200:
        assert shown(name) in results[0].stdout
    # For machines the name is as it was.
    found = succeed("info", model, "--json").stdout
    assert is_harmless(found.replace("\x7f", ""))
    assert json.loads(found)["feature_names"][0] == fastem.load(model).feature_names_in_[0]


def test_names_of_files_and_texts_in_them_reach_no_terminal(tmp_path):
    folder = tmp_path / f"{ESCAPE}folder"
    folder.mkdir()
    file = folder / "x.csv"
    file.write_text(f"a,b\n1,2\n2,{ESCAPE}three\n")
    for arguments in (("fit", file, "-k", 1), ("fit", folder / "none.csv", "-k", 1), ("info", file)):
        message = fail(*arguments)
        assert is_harmless(message)
        assert r"\x1b[31m" in message
    usage = run("info", file, file)
    assert usage.exit_code == 2
    assert is_harmless(usage.stderr)
    file.write_bytes(FAITHFUL.read_bytes())
    printed = succeed("fit", file, "-k", 1, "--output", folder / "model.npz", columns=300).stdout
    assert is_harmless(printed)
    assert r"\x1b[31mfolder/x.csv" in printed


def test_markup_in_names_is_not_obeyed(tmp_path):
    file = named(tmp_path / "x.parquet", "[red]a[/red]")
    assert "[red]a[/red]" in succeed("fit", file, "-k", 1).stdout
    assert "[red]c" in fail("fit", file, "-k", 1, "--columns", "[red]c")


def test_a_line_break_in_a_name_breaks_no_table(tmp_path):
    printed = succeed("fit", named(tmp_path / "x.parquet", "one\ntwo"), "-k", 1, columns=200).stdout
    assert r"one\ntwo" in printed


def test_errors_in_python_are_harmless():
    for kind in (SourceError, ModelFileError):
        assert str(kind(f"{ESCAPE}red")) == r"\x1b[31mred"


FEW = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
}


@pytest.mark.parametrize("few", FEW)
def test_few_characters_end_no_command(tmp_path, few):
    file, model = named(tmp_path / "x.parquet", "größe ☃"), tmp_path / "model.npz"
    environment = {**os.environ, **FEW[few], "COLUMNS": "100"}
    encoding = {"C": "ascii"}.get(few, few)

    def printed(*arguments, code=0):
        command = [sys.executable, "-m", "fastem", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, check=False, env=environment)
        assert done.returncode == code, done.stderr
        return done.stdout.decode(encoding), done.stderr.decode(encoding)

    table, _ = printed("fit", file, "-k", 1, "--output", model)
    assert r"\u2603" in table
    assert "─" not in table
    assert "mean" in table
    printed("--help")
    _, error = printed("fit", tmp_path / "☃.csv", "-k", 1, code=1)
    assert ".csv: No such file" in error
    printed("fit", file, "-k", "☃", code=2)
    found, _ = printed("info", model, "--json")
    assert json.loads(found)["feature_names"] == ["größe ☃", "b"]


def test_a_name_that_is_no_text_ends_no_command(tmp_path):
    try:
        path = os.fsencode(tmp_path) + b"/rows-\xff.npy"
        with open(path, "wb") as file:
            np.save(file, np.arange(20.0))
    except OSError:
        pytest.skip("such names are not allowed here")
    command = [sys.executable, "-m", "fastem", "fit", path, "-k", "1"]
    done = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "COLUMNS": "300"})
    assert done.returncode == 0, done.stderr
    assert rb"rows-\udcff.npy" in done.stdout


def test_streams_are_as_before():
    import io

    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with writing_any_text(stream, None):
        stream.write("± ☃\x1b")
    stream.flush()
    assert stream.buffer.getvalue() == b"+- \\u2603\x1b"
    assert stream.errors == "strict"
    with pytest.raises(UnicodeEncodeError):
        stream.write("☃")


# Names of settings in messages.


def test_a_name_is_that_of_whoever_reads_the_message():
    with _naming.naming({"tol": "--tol", "X": "a.csv"}):
        with _naming.naming({"X": "b.csv"}):
            assert [_naming.named(name) for name in ("tol", "X", "max_iter")] == ["--tol", "b.csv", "max_iter"]
        assert _naming.named("X") == "a.csv"
    assert _naming.named("tol") == "tol"


def test_a_thread_that_reads_ahead_says_the_same():
    def items():
        yield _naming.named("X")

    with _naming.naming({"X": "a.csv"}):
        assert list(read_ahead(items())) == ["a.csv"]


def test_the_same_error_in_python_and_on_a_terminal():
    with pytest.raises(ValueError, match=r"^n_components=300 is larger"):
        GaussianMixture(300).fit(FAITHFUL)
    assert fail("fit", FAITHFUL, "-k", 300).startswith("error: --components=300 is larger than")


def test_a_selection_names_its_own_options():
    arguments = ("select", FAITHFUL, "-k", "3", "-c", "full", "--seed", 0, "--max-iter", 1)
    assert "Raise --max-iter=1 or --tol.\n" in succeed(*arguments).stderr
    assert succeed_json(*arguments)["model"]["settings"]["max_iter"] == 1


# Misspelt words.


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        ("ful", ["full", "tied", "diag", "spherical"], "full"),
        ("diagonal", ["full", "tied", "diag", "spherical"], "diag"),
        ("sphercal", ["full", "tied", "diag", "spherical"], "spherical"),
        ("Full", ["full", "tied"], "full"),
        ("BIC", ["bic", "aic"], "bic"),
        ("kmeans++", ["k-means++", "kmeans", "random"], "k-means++"),
        ("n_componets", ["n_components", "n_init"], "n_components"),
        ("covars_prior", ["transmat_prior", "startprob_prior", "means_prior", "covars_weight"], None),
        ("round", ["full", "tied", "diag", "spherical", "random"], None),
        ("", ["full"], None),
    ],
)
def test_the_word_that_is_meant(word, known, found):
    assert meant(word, known) == found


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"covariance_type": "ful"}, "'full', 'spherical', 'tied'. Got 'ful' instead. Do you mean 'full'?"),
        ({"covariance_type": "diagonal"}, "Do you mean 'diag'?"),
        ({"schedule": "on-line"}, "Do you mean 'online'?"),
        ({"init_params": "kmeans+"}, "Do you mean 'k-means++'?"),
        ({"search": "restart"}, "Do you mean 'restarts'?"),
        ({"covariance_type": "round"}, "The 'covariance_type' parameter of GaussianMixture must be among"),
    ],
)  # fmt: skip
def test_misspelt_values_of_estimators(settings, words):
    with pytest.raises(ValueError, match="must be among") as caught:
        GaussianMixture(2, **settings).fit(np.arange(20.0))
    assert words in str(caught.value)


def test_misspelt_options():
    with pytest.raises(ValueError, match=r"Got 'Squarem' instead\. Do you mean 'squarem'\?"):
        Batch(acceleration="Squarem")


def test_misspelt_values_elsewhere():
    X = np.arange(40.0)
    hmm = fastem.GaussianHMM.from_parameters([0.5, 0.5], np.full((2, 2), 0.5), [[0.0], [9.0]], [[1.0], [1.0]])
    mixture = GaussianMixture(1).fit(X)
    for call, words in (
        (lambda: fastem.select(X, criterion="BIC"), "criterion='BIC' is not known. Do you mean 'bic'?"),
        (lambda: fastem.select(X, covariance_types=["diagonal"]), "Do you mean 'diag'?"),
        (lambda: fastem.GaussianHMM(2, covariance_type="spheric").fit(X), "Do you mean 'spherical'?"),
        (lambda: fastem.GaussianHMM(2, algorithm="Viterbi").fit(X), "Do you mean 'viterbi'?"),
        (lambda: hmm.decode(X, algorithm="Map"), "Do you mean 'map'?"),
        (lambda: mixture.standard_errors(X, information="robost"), "Do you mean 'robust'?"),
        (lambda: fastem.Mixture("poison", 2).fit(X), "Do you mean 'poisson'?"),
        (lambda: fastem.Mixture(["Normal"], 2).fit(X), "Do you mean 'normal'?"),
        (lambda: fastem.warmup("spheric"), "Do you mean 'spherical'?"),
        (lambda: mixture.plot(X, kind="scater"), "Do you mean 'scatter'?"),
    ):
        with pytest.raises(ValueError, match=r"is not known|must be among") as caught:
            call()
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", FAITHFUL, "-k", 2, "--covariance", "ful"), "'ful' is not known. Do you mean 'full'? Choose among"),
        (("fit", FAITHFUL, "-k", 2, "--covariance", "diagonal"), "Do you mean 'diag'?"),
        (("fit", FAITHFUL, "-k", 2, "--init", "kmeans+"), "Do you mean 'k-means++'?"),
        (("select", FAITHFUL, "--criterion", "BIC"), "Do you mean 'bic'? Choose among 'bic', 'aic', 'caic', 'sabic',"),
        (("warmup", "-c", "round"), "'round' is not known. Choose among 'full', 'tied', 'diag', 'spherical'"),
    ],
)  # fmt: skip
def test_misspelt_choices_of_options(arguments, words):
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.translate(str.maketrans("│╭╮╰╯─", "      ")).split())


@pytest.mark.parametrize(
    "command", [(), *((name,) for name in ("fit", "select", "predict", "score", "sample", "info"))]
)
def test_help_shows_no_types_of_python(command):
    printed = succeed(*command, "--help", columns=160).stdout
    for text in ("<bool>", "list[", "<Path>", "Most iterations", "Least time"):
        assert text not in printed
    if command == ():
        assert "hidden Markov models" in printed


def test_the_name_of_a_fit_is_valid_json(tmp_path):
    assert succeed_json("fit", named(tmp_path / "x.parquet", "a\u2028☃"), "-k", 1)["feature_names"][0] == "a\u2028☃"
