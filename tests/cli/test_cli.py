"""The command line against the Python interface, and every error in a user's words."""

from __future__ import annotations

import gzip
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import fastem
from fastem import GaussianHMM, GaussianMixture, Mixture
from fastem.cli import app
from fastem.cli.fit import fit_command
from fastem.fitting import thread_limits
from fastem.passes import cache, score_pass, threads

FAITHFUL = Path(__file__).parents[2] / "examples" / "faithful.csv"
LOGLIK_PER_ROW = -1130.26396018 / 272
PNG = b"\x89PNG\r\n\x1a\n"


def run(*arguments, columns=100):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": str(columns)})


def succeed(*arguments, columns=100):
    result = run(*arguments, columns=columns)
    assert result.exit_code == 0, (result.stdout, result.stderr, result.exception)
    return result


def succeed_json(*arguments):
    result = succeed(*arguments, "--json")
    return json.loads(result.stdout, parse_constant=lambda token: pytest.fail(f"{token} is not JSON"))


def fail(*arguments):
    """The one line of an expected error."""
    result = run(*arguments)
    assert result.exit_code == 1, (result.stdout, result.stderr, result.exception)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def write(tmp_path):
    """Write a file of this name and content."""

    def write_file(name, content):
        path = tmp_path / name
        if isinstance(content, np.ndarray):
            np.save(path, content, allow_pickle=True)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Two components, fitted to Old Faithful and saved."""
    path = tmp_path_factory.mktemp("model") / "model.npz"
    succeed("fit", FAITHFUL, "--components", 2, "--seed", 0, "--output", path)
    return path


@pytest.fixture(scope="module")
def mixture():
    """The same model by the Python interface."""
    return GaussianMixture(2, random_state=0).fit(np.loadtxt(FAITHFUL, delimiter=",", skiprows=1))


# Fit.


def test_fit_finds_the_reference_optimum(faithful, mixture):
    found = succeed_json("fit", FAITHFUL, "--components", 2, "--seed", 0)
    order = np.argsort(found["weights"])
    np.testing.assert_allclose(found["score"], LOGLIK_PER_ROW, atol=1e-4)
    np.testing.assert_allclose(np.array(found["weights"])[order], [0.35587, 0.64413], atol=1e-2)
    np.testing.assert_allclose(np.array(found["means"])[order], [[2.0364, 54.478], [4.2897, 79.968]], atol=1e-2)
    assert found["means"] == mixture.means_.tolist()
    assert found["covariances"] == mixture.covariances_.tolist()
    assert found["aic"] == pytest.approx(mixture.aic(faithful), rel=1e-12)
    assert found["bic"] == pytest.approx(mixture.bic(faithful), rel=1e-12)
    assert found["lower_bounds"] == mixture.lower_bounds_
    assert found["feature_names"] == ["eruptions", "waiting"]
    assert found["settings"]["random_state"] == 0


@pytest.mark.parametrize("columns", [80, 120])
def test_fit_prints_a_table(columns):
    result = succeed("fit", FAITHFUL, "-k", 2, "--seed", 0, columns=columns)
    for text in ("eruptions", "mean ± sd", "2.0364 ± 0.26", "79.9", "converged after", "272 rows", "AIC, BIC", "nats"):
        assert text in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= columns
    assert result.stderr == ""


def test_fit_prints_a_column_in_a_row_when_the_table_would_be_too_wide(write):
    rows = np.random.default_rng(0).normal(size=(60, 25))
    narrow = succeed("fit", write("narrow.npy", rows[:, :5]), "-k", 2, "--covariance", "diag", columns=80).stdout
    wide = succeed("fit", write("wide.npy", rows), "-k", 1, "--covariance", "diag", columns=200).stdout
    for printed in (narrow, wide):
        assert "mean ± sd" not in printed
        assert "…" not in printed
    assert "and 5 more (all by --json)" in wide


def test_fit_prints_names_as_they_are(write):
    file = write("odd.csv", "[bold]a,:smile:\n" + "1,2\n3,5\n2,9\n")
    printed = succeed("fit", file, "-k", 1).stdout
    assert "[bold]a" in printed
    assert ":smile:" in printed


def test_fit_prints_extreme_numbers_in_powers_of_ten(write):
    assert "e+40" in succeed("fit", write("large.npy", np.array([1e40, 2e40, 4e40])), "-k", 1).stdout


def test_fit_tells_rescues_in_words(write):
    file = write("constant.csv", "a\n" + "1\n" * 20)
    assert "component 0 had collapsed at iteration" in succeed("fit", file, "-k", 1).stdout
    assert succeed_json("fit", file, "-k", 1)["report"]["repairs"][0]["cause"] == "collapsed"


def test_fit_tells_of_several_starts():
    assert "best of 3 starts" in succeed("fit", FAITHFUL, "-k", 2, "--seed", 0, "--n-init", 3).stdout


@pytest.fixture(scope="module")
def visits(tmp_path_factory):
    """Counts, codes and numbers of three groups."""
    random = np.random.default_rng(0)
    group = np.arange(600) % 3
    columns = (
        random.poisson(np.array([2, 9, 20])[group]),
        (group + random.integers(0, 2, 600)) % 4,
        random.normal(5.0 * group),
    )
    path = tmp_path_factory.mktemp("visits") / "visits.csv"
    np.savetxt(path, np.column_stack(columns), delimiter=",", header="visits,region,spend", comments="", fmt="%g")
    return path


def test_columns_of_other_kinds(visits, tmp_path):
    model = tmp_path / "model.npz"
    command = ("fit", visits, "-k", 3, "--family", "poisson,categorical,normal", "--seed", 0)
    printed = succeed(*command, "--output", model).stdout
    assert "mixture of poisson, categorical, normal columns, 3 components" in printed
    assert "most probable" in printed
    assert re.search(r"category \d : 0\.\d+", printed)
    found = succeed_json(*command)
    mixture = Mixture(["poisson", "categorical", "normal"], 3, random_state=0).fit(visits)
    assert [row[0] for row in found["means"]] == mixture.means_[:, 0].tolist()
    assert found["probabilities"][1] == mixture.probabilities_[1].tolist()
    assert [row[1] for row in found["means"]] == [None] * 3
    assert found["bic"] == pytest.approx(mixture.bic(visits), rel=1e-12)
    assert succeed_json("score", model, visits)["loglik"] == pytest.approx(found["loglik"], rel=1e-12)
    assert succeed_json("predict", model, visits)["labels"] == mixture.predict(visits).tolist()
    assert "category" in succeed("info", model).stdout
    assert succeed("sample", model, "-n", 2, "--seed", 1).stdout.startswith("visits,region,spend")


def test_a_selection_of_other_kinds(visits, tmp_path):
    command = ("select", visits, "-k", "1-4", "--family", "poisson,categorical,normal", "--seed", 0)
    printed = succeed(*command, "--output", tmp_path / "model.npz").stdout
    assert "chosen by bic: mixture of poisson, categorical, normal columns, 3 components" in printed
    assert "covariance" not in printed
    assert fastem.load(tmp_path / "model.npz").n_components == 3


def test_one_kind_for_all_columns(visits):
    found = succeed_json("fit", visits, "-k", 2, "--family", "poisson", "--columns", "visits,region", "--seed", 0)
    assert np.shape(found["rates"]) == (2, 2)
    assert "means" not in found


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--family", "poison"), ["'poisson'", "Got 'poison' instead. Do you mean 'poisson'?"]),
        (("--family", "poisson,normal"), ["--family has 2 kinds", "has 3 columns"]),
        (("--family", "poisson"), ["must be a count", "column 'spend'"]),
        (("--family", "normal", "--bins", 400), ["--bins: for Gaussian mixtures only"]),
        (("--family", "normal", "-c", "diag", "--bins", 9), ["--covariance and --bins: for Gaussian"]),
        (
            ("--family", "poisson,multinomial,exposure", "--plot", "a.png"),
            ["--plot: regressions, and counts of a given total"],
        ),
    ],
)
def test_kinds_that_do_not_suit_are_named(visits, arguments, words):
    result = run("fit", visits, "-k", 2, *arguments)
    assert result.exit_code in (1, 2)
    # Of a usage that is wrong, the words stand in a box.
    message = " ".join(re.sub("[│╭╮╰╯─]", " ", result.stderr).split())
    for word in words:
        assert word in message


# Hidden Markov models.


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Three sequences of a number and a count."""
    truth = GaussianHMM.from_parameters([0.5, 0.5], [[0.95, 0.05], [0.1, 0.9]], [[0.0], [4.0]], [[1.0], [1.0]])
    path = tmp_path_factory.mktemp("days") / "days.csv"
    lines = ["market,change,trades"]
    for market in range(3):
        X, states = truth.sample(200, random_state=market)
        lines += [f"{market},{x:.6f},{3 + 20 * state}" for x, state in zip(X[:, 0], states, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


SEQUENCES = ("--columns", "change", "--sequence-column", "market")


def test_sequences_are_fitted_scored_and_decoded(days, tmp_path):
    model = tmp_path / "hmm.npz"
    command = ("fit", days, "-k", 2, "--hmm", *SEQUENCES, "--seed", 0)
    printed = succeed(*command, "--output", model).stdout
    for text in ("Gaussian hidden Markov model, 2 states, full covariance", "from state", "to 1", "share", "600 rows"):
        assert text in printed
    found = succeed_json(*command)
    source = fastem.open_source(days, ["change"], sequence_column="market")
    hmm = GaussianHMM(2, covariance_type="full", random_state=0).fit(source)
    assert found["transmat"] == hmm.transmat_.tolist()
    assert found["covars"] == hmm.covars_.tolist()
    assert found["bic"] == pytest.approx(hmm.bic(source), rel=1e-12)
    assert succeed_json("score", model, days, *SEQUENCES)["loglik"] == pytest.approx(found["loglik"], rel=1e-12)
    assert succeed_json("predict", model, days, *SEQUENCES)["labels"] == hmm.predict(source).tolist()
    probabilities = np.array(succeed_json("predict", model, days, "--proba", *SEQUENCES)["proba"])
    np.testing.assert_array_equal(probabilities, hmm.predict_proba(source))
    told = succeed("predict", model, days, *SEQUENCES, "--output", tmp_path / "states.csv").stdout
    assert told.splitlines()[1].startswith("state ")
    assert len((tmp_path / "states.csv").read_text().splitlines()) == 1 + 600
    assert "from state" in succeed("info", model).stdout
    assert len(succeed_json("sample", model, "-n", 5)["rows"]) == 5


def test_sequences_of_columns_of_other_kinds(days):
    found = succeed_json(
        "fit", days, "-k", 2, "--hmm", "--family", "normal,poisson", "--columns", "change,trades",
        "--sequence-column", "market", "--seed", 0,
    )  # fmt: skip
    np.testing.assert_allclose(np.sort(np.array(found["means"])[:, 1]), [3.0, 23.0], atol=0.1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "-k", 2, "--sequence-column", "market"), "--sequence-column: for hidden Markov models. Give --hmm"),
        (("fit", "-k", 2, "--hmm", "--online"), "--online: for mixtures only. Leave out --hmm"),
        (("fit", "-k", 2, "--hmm", "--bins", 512), "--bins: for mixtures only"),
        (("fit", "-k", 2, "--hmm", "--sequence-column", "shop"), "shop"),
    ],
)
def test_what_does_not_go_with_sequences_is_named(days, arguments, words):
    result = run(*arguments, days)
    assert result.exit_code in (1, 2)
    assert words in " ".join(re.sub("[│╭╮╰╯─]", " ", result.stderr).split())


def test_options_have_the_defaults_of_the_estimator():
    estimator = inspect.signature(GaussianMixture).parameters
    options = inspect.signature(fit_command).parameters
    for name in ("n_init", "tol", "max_iter", "reg_covar"):
        assert options[name].default == estimator[name].default
    found = succeed_json("fit", FAITHFUL, "-k", 2)["settings"]
    assert found["covariance_type"] == estimator["covariance_type"].default
    assert found["init_params"] == estimator["init_params"].default


@pytest.mark.parametrize(
    ("option", "value", "parameter"),
    [
        ("--covariance", "tied", "covariance_type"),
        ("--init", "kmeans", "init_params"),
        ("--n-init", 2, "n_init"),
        ("--tol", 1e-3, "tol"),
        ("--max-iter", 77, "max_iter"),
        ("--reg-covar", 1e-9, "reg_covar"),
        ("--seed", 5, "random_state"),
        ("--threads", 1, "n_threads"),
        ("--memory", "1MB", "memory_limit"),
    ],
)
def test_options_reach_the_estimator(option, value, parameter):
    assert succeed_json("fit", FAITHFUL, "-k", 2, option, value)["settings"][parameter] == value


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "-k", 2, "--checkpoint-interval", 5), "--checkpoint-interval: only with --checkpoint"),
        (("fit", "-k", 2, "--batch-size", 50), "--batch-size: only with --online"),
        (("fit", "-k", 2, "--half-life", 50, "--incremental"), "--half-life: only with --online"),
        (("fit", "-k", 2, "--progress", "--verbose"), "--progress and --verbose are different ways"),
        (("fit", "-k", 2, "--hmm", "--init", "k-means++"), "--init: for mixtures only"),
        (("fit", "-k", 2, "--family", "normal", "-c", "full"), "--covariance: for Gaussian mixtures only"),
        (("select", "--min-gain", 0.1), "--min-gain: only with --criterion heldout"),
    ],
)
def test_options_that_would_not_count_are_refused(arguments, words):
    command, *others = arguments
    result = run(command, FAITHFUL, *others)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.replace("│", " ").split())


def test_weights_of_sequences_count_in_scores_of_chains(tmp_path, write):
    model = tmp_path / "hmm.npz"
    means, covars = [[0.0], [3.0]], np.ones((2, 1))
    hmm = GaussianHMM.from_parameters([0.5, 0.5], np.full((2, 2), 0.5), means, covars)
    hmm.save(model)
    rows = write("rows.csv", "x,id,w\n1,a,1\n2,a,1\n4,b,3\n")
    columns = ("--columns", "x", "--sequence-column", "id", "--weight-column", "w")
    found = succeed_json("score", model, rows, *columns)
    assert found["weight"] == 5.0
    expected = hmm.score([[1.0], [2.0]]) + 3.0 * hmm.score([[4.0]])
    assert found["loglik"] == pytest.approx(expected, rel=1e-12)


def test_options_of_online_em_reach_the_estimator():
    options = ("--online", "--batch-size", 50, "--half-life", 1000, "--max-iter", 2)
    found = succeed_json("fit", FAITHFUL, "-k", 2, *options)["settings"]
    online = found["schedule"]["Online"]
    assert (online["batch_size"], online["half_life"]) == (50, 1000.0)
    found = succeed_json("fit", FAITHFUL, "-k", 2, "--incremental")
    assert found["settings"]["schedule"] == "incremental"


def test_options_of_a_checkpoint_reach_the_estimator(tmp_path):
    options = ("--checkpoint", tmp_path / "fit.npz", "--checkpoint-interval", 5.0)
    found = succeed_json("fit", FAITHFUL, "-k", 2, *options)["settings"]
    assert found["checkpoint"] == {"Checkpoint": {"path": str(tmp_path / "fit.npz"), "every": 5.0}}


def test_an_online_fit_is_told(write):
    random = np.random.default_rng(0)
    data = write("rows.npy", random.normal(size=(4000, 2)) + 5.0 * random.integers(0, 2, size=(4000, 1)))
    arguments = ("fit", data, "-k", 2, "--seed", 0, "--online", "--tol", 1e-3)
    printed = succeed(*arguments).stdout
    found = succeed_json(*arguments)
    assert re.search(r"converged after \d+ epochs, \d+ updates", printed)
    assert found["converged"]
    assert found["n_steps"] == found["report"]["online"]["n_updates"] == 19 * found["n_iter"]
    expected = GaussianMixture(2, random_state=0, schedule="online", tol=1e-3).fit(np.load(data))
    assert found["means"] == expected.means_.tolist()
    assert found["loglik"] == pytest.approx(expected.score(np.load(data)) * 4000)
    warned = run(*arguments, "--max-iter", 1).stderr
    assert warned.endswith("Increase --max-iter or --tol, or leave out --online.\n")


def test_no_iterations_leave_the_start(tmp_path):
    np.save(tmp_path / "rows.npy", [[1.0], [2.0], [9.0], [10.0]])
    found = succeed_json("fit", tmp_path / "rows.npy", "-k", 2, "--seed", 0, "--max-iter", 0)
    assert (found["converged"], found["n_iter"]) == (False, 0)


def test_a_compressed_fit_is_told():
    printed = succeed("fit", FAITHFUL, "-k", 2, "--columns", "waiting", "--bins", 64).stdout
    assert re.search(r"converged after \d+ iterations?, and \d+ before them on bins", printed)
    message = fail("fit", FAITHFUL, "-k", 2, "--bins", 64)
    assert "--bins=64 is for one feature" in message
    assert "Use no --bins" in message


def test_several_files_a_pattern_and_a_folder_are_one_table(tmp_path, faithful):
    folder = tmp_path / "parts"
    folder.mkdir()
    for n, part in enumerate(np.array_split(faithful, 3)):
        pd.DataFrame(part, columns=["eruptions", "waiting"]).to_parquet(folder / f"part-{n}.parquet")
    files = sorted(folder.iterdir())
    expected = succeed_json("fit", FAITHFUL, "-k", 2, "--seed", 0)["means"]
    for given in (files, [folder / "part-*.parquet"], [folder]):
        found = succeed_json("fit", *given, "-k", 2, "--seed", 0)
        assert found["means"] == expected
        assert found["n_rows"] == 272
    assert "3 files: 272 rows, 2 columns" in succeed("fit", *files, "-k", 2, "--seed", 0).stdout


def test_a_fit_is_resumed_from_its_checkpoint(tmp_path):
    checkpoint = tmp_path / "fit.ckpt"
    arguments = ("fit", FAITHFUL, "-k", 3, "--seed", 0, "--checkpoint", checkpoint)
    for options in ((), ("--online", "--max-iter", 7), ("--incremental",)):
        checkpoint.unlink(missing_ok=True)
        succeed(*arguments, *options, "--max-iter", 3)
        whole = succeed_json("fit", FAITHFUL, "-k", 3, "--seed", 0, *options)
        resumed = succeed_json(*arguments, *options, "--resume")
        assert resumed["means"] == whole["means"]
        assert resumed["lower_bounds"] == whole["lower_bounds"]
    assert "--resume continues from a --checkpoint, but none is named" in fail("fit", FAITHFUL, "-k", 2, "--resume")
    message = fail("fit", FAITHFUL, "-k", 2, "--checkpoint", checkpoint, "--resume")
    assert "of a fit with --components=3, but now it is 2" in message


@pytest.mark.parametrize("options", [(), ("--online",)])
def test_an_interrupt_prints_the_best_model_so_far(tmp_path, options):
    random = np.random.default_rng(0)
    np.save(tmp_path / "rows.npy", random.normal(size=(200_000, 4)))
    fit = [sys.executable, "-m", "fastem", "fit", "rows.npy", "-k", "8", "--seed", "0", "--tol", "0", *options]
    endless = [*fit, "--max-iter", "1000000", "--checkpoint", "fit.ckpt", "--output", "model.npz"]
    endless += ["--checkpoint-interval", "0"]
    process = subprocess.Popen(
        endless, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    # The first checkpoints may be of the first pass, after which there is a model.
    versions = set()
    while len(versions) < 5:
        assert process.poll() is None
        if (tmp_path / "fit.ckpt").exists():
            versions.add((tmp_path / "fit.ckpt").stat().st_mtime_ns)
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "not converged: interrupted after" in stdout
    assert "written to model.npz" in stdout
    assert "warning: EM was interrupted after" in stderr
    assert "continue with --resume" in stderr
    stopped = fastem.load(tmp_path / "model.npz")
    assert stopped.stop_reason_ == "interrupted"
    more = str(stopped.n_iter_ + 2)
    resume = [*fit, "--max-iter", more, "--checkpoint", "fit.ckpt", "--resume", "--json"]
    resumed = subprocess.run(resume, cwd=tmp_path, capture_output=True, text=True, check=True)
    whole = subprocess.run(
        [*fit, "--max-iter", more, "--json"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(resumed.stdout)["means"] == json.loads(whole.stdout)["means"]


def test_an_interrupt_before_there_is_a_model(monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(GaussianMixture, "fit", interrupt)
    result = run("fit", FAITHFUL, "-k", 2)
    assert result.exit_code == 130
    assert result.stderr == "error: interrupted\n"


def test_info_of_a_fit_that_failed_and_of_a_stream(tmp_path, faithful):
    calls = []

    def rows():
        calls.append(1)
        if len(calls) > 8:
            raise OSError("gone")
        return iter([faithful])

    with pytest.raises(OSError, match="gone"):
        GaussianMixture(3, random_state=0, checkpoint=tmp_path / "fit.ckpt").fit(rows)
    printed = succeed("info", tmp_path / "fit.ckpt").stdout
    assert "not converged: the data could not be read to the end" in printed
    GaussianMixture(2, random_state=0).partial_fit(faithful).save(tmp_path / "stream.npz")
    printed = succeed("info", tmp_path / "stream.npz").stdout
    assert "partial_fit of 272 rows, 1 update" in printed
    assert "nan" not in printed
    found = succeed_json("info", tmp_path / "stream.npz")
    assert found["report"]["stop_reason"] == "partial_fit"
    assert "converged" not in found


def test_a_fit_that_has_not_converged_prints_its_result_and_warns():
    arguments = ("fit", FAITHFUL, "-k", 3, "--seed", 0, "--max-iter", 1)
    result = succeed(*arguments)
    assert "not converged: iterations ran out after 1 iteration" in result.stdout
    assert result.stderr.startswith("warning: EM did not converge in --max-iter=1 iterations")
    assert result.stderr.count("\n") == 1
    strict = run(*arguments, "--strict")
    assert strict.exit_code == 3
    assert strict.stdout == result.stdout
    assert run("fit", FAITHFUL, "-k", 2, "--strict").exit_code == 0


def test_what_a_fit_tells_while_it_runs_goes_to_stderr():
    result = succeed("fit", FAITHFUL, "-k", 2, "--verbose", "--json")
    assert "nats per row" in result.stderr
    json.loads(result.stdout)
    result = succeed("fit", FAITHFUL, "-k", 2, "--n-init", 1, "--progress", "--json")
    assert "epoch" in result.stderr
    assert "estimated remaining improvement" in result.stderr
    json.loads(result.stdout)


def test_threads_of_a_prediction_and_a_score(model, monkeypatch):
    seen = []
    original = threads.threads
    monkeypatch.setattr(thread_limits, "threads", lambda n: (seen.append(n), original(n))[1])
    succeed("predict", model, FAITHFUL, "--threads", 1)
    succeed("score", model, FAITHFUL, "--threads", 1)
    assert set(seen) == {1}
    seen.clear()
    succeed("predict", model, FAITHFUL)
    assert set(seen) == {None}


def test_too_many_threads_are_told_by_the_option(model):
    for arguments in (("fit", FAITHFUL, "-k", 2), ("predict", model, FAITHFUL), ("score", model, FAITHFUL)):
        message = fail(*arguments, "--threads", 4096)
        assert message.startswith("error: --threads=4096 is more than numba may start")
        assert "NUMBA_NUM_THREADS=4096" in message


def test_a_compilation_is_told_on_stderr(model, monkeypatch):
    original = score_pass.score_pass

    def compile_and_score(*arguments, **outputs):
        cache._notify("directory")
        original(*arguments, **outputs)

    monkeypatch.setattr(score_pass, "score_pass", compile_and_score)
    result = succeed("predict", model, FAITHFUL, "--json")
    json.loads(result.stdout)
    assert result.stderr.startswith("compiling the kernel that scores rows under full Gaussians")


# Warming up.


def test_warmup_tells_each_covariance_and_its_time():
    fastem.warmup(("diag", "full"))
    printed = succeed("warmup", "--covariance", "diag", "-c", "full").stdout
    assert re.sub(r"\d+\.\d", "#", printed).splitlines() == [
        "diag ... # s, found on disk", "full ... # s, found on disk",
    ]  # fmt: skip


def test_warmup_takes_whatever_python_takes_and_passes_warnings_on(monkeypatch):
    asked = []

    def warn(families=None, *, hmm, float32, verbose):
        asked.append((families, hmm, float32, verbose))
        warnings.warn("nothing is kept", RuntimeWarning, stacklevel=2)

    monkeypatch.setattr(fastem.estimators, "warmup", warn)
    assert succeed("warmup").stderr == "warning: nothing is kept\n"
    succeed("warmup", "--columns", "--hmm")
    succeed("warmup", "-c", "tied", "--columns")
    succeed("warmup", "-c", "full", "--float32")
    assert asked == [
        (None, False, False, True),
        (["columns"], True, False, True),
        (["tied", "columns"], False, False, True),
        (["full"], False, True, True),
    ]


# Files.


def test_columns_by_name_and_by_position(faithful):
    for column in ("waiting", "1"):
        found = succeed_json("fit", FAITHFUL, "-k", 2, "--seed", 0, "--columns", column)
        assert found["feature_names"] == ["waiting"]
        assert found["means"] == GaussianMixture(2, random_state=0).fit(faithful[:, 1]).means_.tolist()


def test_a_quoted_name_may_hold_a_comma(write):
    file = write("quoted.csv", '"a,b",c\n1,2\n2,4\n4,1\n')
    assert succeed_json("fit", file, "-k", 1, "--columns", '"a,b"')["feature_names"] == ["a,b"]


def test_weight_column(write, faithful):
    weight = np.arange(272) % 3
    text = "\n".join(f"{a},{w},{b}" for (a, b), w in zip(faithful, weight, strict=True))
    file = write("weighted.csv", f"eruptions,w,waiting\n{text}\n")
    model = file.with_suffix(".npz")
    found = succeed_json("fit", file, "-k", 2, "--seed", 0, "--weight-column", "w", "--output", model)
    mixture = GaussianMixture(2, random_state=0).fit(faithful, sample_weight=weight)
    assert found["feature_names"] == ["eruptions", "waiting"]
    assert found["weight"] == weight.sum()
    assert found["means"] == mixture.means_.tolist()
    score = succeed_json("score", model, file, "--weight-column", "w")
    assert score["bic"] == mixture.bic(faithful, sample_weight=weight)
    printed = succeed("score", model, file, "--weight-column", "w", columns=300).stdout
    assert f"272 rows of total weight {weight.sum()}, 2 columns" in printed


@pytest.mark.parametrize("header", ["", "eruptions,waiting\n"])
def test_csv_with_and_without_a_header_and_compressed(write, header):
    body = header.encode() + FAITHFUL.read_bytes().split(b"\n", 1)[1]
    expected = succeed_json("fit", FAITHFUL, "-k", 2, "--seed", 0)["means"]
    for file in (write("plain.csv", b"\xef\xbb\xbf" + body), write("packed.csv.gz", gzip.compress(body))):
        found = succeed_json("fit", file, "-k", 2, "--seed", 0)
        assert found["means"] == expected
        assert found["feature_names"] == (["eruptions", "waiting"] if header else None)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_npy(write, faithful, dtype):
    rows = faithful.astype(dtype)
    found = succeed_json("fit", write("rows.npy", rows), "-k", 2, "--seed", 0)
    assert found["means"] == GaussianMixture(2, random_state=0).fit(rows).means_.tolist()
    assert found["feature_names"] is None


# Saved models.


def test_saved_model_equals_the_python_interface(model, mixture, faithful):
    loaded = fastem.load(model)
    np.testing.assert_array_equal(loaded.means_, mixture.means_)
    assert loaded.feature_names_in_.tolist() == ["eruptions", "waiting"]

    info = succeed_json("info", model)
    assert info["means"] == mixture.means_.tolist()
    assert info["stop_reason"] == "converged"
    assert info["report"]["n_iter"] == info["n_iter"] == mixture.n_iter_

    score = succeed_json("score", model, FAITHFUL)
    assert score["score"] == mixture.score(faithful)
    assert score["aic"] == mixture.aic(faithful)
    assert score["bic"] == mixture.bic(faithful)
    assert score["loglik"] == pytest.approx(mixture.score_samples(faithful).sum())

    predicted = succeed_json("predict", model, FAITHFUL)
    assert predicted["labels"] == mixture.predict(faithful).tolist()
    assert succeed_json("predict", model, FAITHFUL, "--proba")["proba"] == mixture.predict_proba(faithful).tolist()

    sample = succeed_json("sample", model, "-n", 20, "--seed", 3)
    X, labels = fastem.load(model).set_params(random_state=3).sample(20)
    assert sample["rows"] == X.tolist()
    assert sample["labels"] == labels.tolist()


def test_tables_of_saved_models(model):
    info = succeed("info", model, columns=80).stdout
    for text in ("2 components, full covariance", "eruptions", "converged after", "random_state=0", "model.npz"):
        assert text in info
    score = succeed("score", model, FAITHFUL).stdout
    for text in ("-4.1553", "-1130.26", "272 rows", "AIC, BIC"):
        assert text in score


def test_info_of_a_model_from_parameters(tmp_path):
    path = tmp_path / "given.npz"
    GaussianMixture.from_parameters([0.5, 0.5], [[0.0, 1.0], [4.0, 5.0]], [1.0, 2.0], covariance_type="spherical").save(
        path
    )
    printed = succeed("info", path).stdout
    assert "none: the parameters were given" in printed
    assert "feature 1" in printed
    assert succeed_json("info", path)["report"] is None


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".npy", ".parquet"])
def test_results_are_written_piece_by_piece(model, mixture, faithful, tmp_path, suffix):
    def read(path):
        if suffix == ".parquet":
            return pd.read_parquet(path).to_numpy()
        return np.load(path) if suffix == ".npy" else np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)

    rows = np.tile(faithful, (20, 1))
    np.save(tmp_path / "rows.npy", rows)
    output = tmp_path / f"output{suffix}"
    # 528 rows at a time.
    arguments = ("predict", model, tmp_path / "rows.npy", "--memory", "40kB", "--output", output)
    succeed(*arguments)
    np.testing.assert_array_equal(read(output).ravel(), mixture.predict(rows))
    succeed(*arguments, "--proba")
    np.testing.assert_array_equal(read(output), mixture.predict_proba(rows))
    # What is there stays when the rows turn out to be damaged.
    before = output.read_bytes()
    lines = ["eruptions,waiting", *(f"{a},{b}" for a, b in rows)]
    lines[5000] = "2.5,long"
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    assert "(line 5001: 'long')" in fail("predict", model, tmp_path / "rows.csv", *arguments[3:])
    assert output.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"rows.csv", "rows.npy", output.name}


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".npy"])
def test_results_as_files(model, mixture, faithful, tmp_path, suffix):
    def read(path):
        return np.load(path) if suffix == ".npy" else np.loadtxt(path, delimiter=",", skiprows=1)

    output = tmp_path / f"output{suffix}"
    printed = succeed("predict", model, FAITHFUL, "--output", output).stdout
    assert "component" in printed
    assert "0.6434" in printed
    np.testing.assert_array_equal(read(output), mixture.predict(faithful))
    assert "0.6441" in succeed("predict", model, FAITHFUL, "--proba", "--output", output).stdout
    np.testing.assert_array_equal(read(output), mixture.predict_proba(faithful))
    succeed("sample", model, "-n", 50, "--seed", 1, "--output", output)
    np.testing.assert_array_equal(read(output), fastem.load(model).set_params(random_state=1).sample(50)[0])
    found = succeed_json("sample", model, "-n", 50, "--output", output)
    assert found["written"]["output"] == str(output)
    assert "rows" not in found


def test_results_go_to_stdout_as_csv(model, mixture, faithful):
    labels = succeed("predict", model, FAITHFUL).stdout.splitlines()
    assert labels[0] == "label"
    assert [int(label) for label in labels[1:]] == mixture.predict(faithful).tolist()
    assert succeed("predict", model, FAITHFUL, "--proba").stdout.startswith("component 0,component 1\n")
    assert succeed("sample", model, "-n", 2).stdout.startswith("eruptions,waiting\n")


def test_columns_of_a_model_are_found_by_name(model, mixture, write, faithful):
    text = "\n".join(f"x,{b},{a}" for a, b in faithful)
    file = write("shuffled.csv", f"place,waiting,eruptions\n{text}\n")
    expected = mixture.predict(faithful).tolist()
    assert succeed_json("predict", model, file)["labels"] == expected
    assert succeed_json("predict", model, file, "--columns", "2,1")["labels"] == expected
    npy = write("rows.npy", np.column_stack([faithful, faithful]))
    assert succeed_json("predict", model, npy, "--columns", "2,3")["labels"] == expected


def test_numbers_that_json_has_not_are_null(tmp_path, write):
    model = tmp_path / "narrow.npz"
    GaussianMixture.from_parameters([1.0], [0.0], [1e-300]).save(model)
    found = succeed_json("score", model, write("far.csv", "a\n1e100\n2e100\n"))
    assert found["score"] is None
    assert found["n_rows"] == 2


# Pictures.


@pytest.mark.parametrize("columns", [("--columns", "waiting"), (), ("--weight-column", "waiting")])
def test_plot(tmp_path, columns):
    picture = tmp_path / "fit.png"
    result = succeed("fit", FAITHFUL, "-k", 2, "--plot", picture, *columns, columns=300)
    assert picture.read_bytes().startswith(PNG)
    assert f"written to {picture}" in result.stdout


def test_plot_of_many_columns(tmp_path, write):
    picture = tmp_path / "fit.png"
    rows = np.random.default_rng(0).normal(size=(80, 4))
    found = succeed_json("fit", write("rows.npy", rows), "-k", 2, "--plot", picture)
    assert picture.read_bytes().startswith(PNG)
    assert found["written"]["plot"] == str(picture)


@pytest.mark.parametrize("kinds", ["poisson,categorical,normal", "poisson,exposure,normal"])
def test_plot_of_columns_of_other_kinds(tmp_path, visits, kinds):
    picture = tmp_path / "fit.png"
    rows = pd.read_csv(visits)
    rows.iloc[:, 1] += "exposure" in kinds
    rows.to_csv(tmp_path / "rows.csv", index=False)
    succeed("fit", tmp_path / "rows.csv", "-k", 2, "--seed", 0, "--family", kinds, "--plot", picture, columns=300)
    assert picture.read_bytes().startswith(PNG)


def test_plot_without_matplotlib_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    message = fail("fit", FAITHFUL, "-k", 2, "--plot", tmp_path / "fit.png")
    assert "--plot needs matplotlib" in message
    assert "pip install 'fastem[plot]'" in message


# Errors.


@pytest.mark.parametrize(
    ("name", "content", "options", "expected"),
    [
        ("a.csv", "", (), ["a.csv is empty"]),
        ("a.csv", "a,b\n", (), ["a header but no rows"]),
        ("a.csv", "a,b\n1,2\n", ("--columns", "a,c"), ["no column 'c'", "Its columns: a, b; or 0 to 1"]),
        ("a.csv", "1\n2\n", ("--columns", "1"), ["no column '1'", "Its columns: 0."]),
        ("a.csv", "a,b\n1,2\n", ("--weight-column", "c"), ["no column 'c'"]),
        ("a.csv", "a\n1\n", ("--weight-column", "a"), ["no column left"]),
        ("a.csv", "a,a\n1,2\n", ("--columns", "a"), ["several columns 'a'", "[0, 1]"]),
        ("a.csv", "a,kind,place\n1,x,y\n2,z,y\n", (), ["text in columns kind, place", "'x'", "--columns (a)"]),
        ("a.csv", "a:b\n1:2\n", (), ["text in column a:b", "separate fields by commas"]),
        ("a.csv", "a,b\n1,\n2,NA\n", (), ["no value in column(s) b"]),
        ("a.csv", "1,2\n-inf,4\n", (), ["a.csv contains infinity", "row 1, column 0 is -inf"]),
        ("a.csv", "a,b\n1,2\n1,2,3\n", (), ["line 3: 3 fields where the first line has 2", "commas"]),
        ("a.csv", "a,b\n1,2\n1\n", ("--columns", "b"), ["line 3: 1 fields where the first line has 2"]),
        ("a.csv", bytes(range(256)), (), ["not text in UTF-8"]),
        ("a.csv", "a\n" + "1" * 200_000 + "\n", (), ["contains infinity", "row 0, column 'a'"]),
        # Without a time stamp: the bytes name the test, and every process must collect the same names.
        ("a.csv.gz", gzip.compress(b"a\n" + b"1\n2\n" * 9000, mtime=0)[:50], (), ["is not a CSV file", "damaged"]),
        ("a.csv", "a\n1e200\n2e200\n", (), ["so large"]),
        ("a.csv", "a,w\n1,-1\n2,1\n", ("--weight-column", "w"), ["row 0", "column 'w'", "not negative"]),
        ("a.csv", "a,w\n1,0\n2,0\n", ("--weight-column", "w"), ["eight"]),
        ("a.csv", "a,b\n1,2\n3,4\n", ("--init", "quantile"), ["--init='quantile' is for one feature"]),
        ("a.npy", b"", (), ["a.npy is empty"]),
        ("a.npy", b"nonsense", (), ["not a NumPy file"]),
        ("a.npy", np.empty((0, 3)), (), ["holds no rows"]),
        ("a.npy", np.zeros((2, 2, 2)), (), ["shape (2, 2, 2)"]),
        ("a.npy", np.array(["a", "b"]), (), ["dtype <U1", "real numbers"]),
        ("a.npy", np.ones(3) + 1j, (), ["dtype complex128"]),
        ("a.npy", np.array([1, None], dtype=object), (), ["not a NumPy file of numbers"]),
        ("a.npy", np.array([[1.0, 2.0], [3.0, -np.inf]]), (), ["a.npy contains infinity", "row 1, column 1"]),
        (
            "a.npy",
            np.array([[1, 2, 3.0], [3, 4, np.inf]]),
            ("--columns", "0,2"),
            ["a.npy contains infinity", "row 1, column 2"],
        ),
        ("a.npy", np.ones((2, 2)), ("--columns", "b"), ["no column 'b'", "Its columns: 0 to 1"]),
    ],
)
def test_unusable_data(write, name, content, options, expected):
    message = fail("fit", write(name, content), "-k", 1, *options)
    for text in expected:
        assert text in message


TEXT_ROWS = [[1.5, 2.0], [2.5, 3.0], [4.25, 3.0], [5.5, 1.0]]


def test_options_of_text_files(write, tmp_path):
    lines = [f"{a};{b}".replace(".", ",") for a, b in TEXT_ROWS]
    file = write("rows.dat", "% made in \xfc\na;b\n".encode("latin-1") + "\n".join(lines).encode())
    options = ("--delimiter", ";", "--decimal", ",", "--encoding", "latin-1", "--comment", "%", "--missing", "-999")
    plain = write("rows.npy", np.array(TEXT_ROWS))
    model = tmp_path / "model.npz"
    found = succeed_json("fit", file, "-k", 1, "--seed", 0, "-o", model, *options, "--header")
    assert found["feature_names"] == ["a", "b"]
    assert found["means"] == succeed_json("fit", plain, "-k", 1, "--seed", 0)["means"]
    assert succeed_json("score", model, file, *options)["n_rows"] == 4
    assert succeed_json("predict", model, file, *options)["labels"] == [0] * 4
    chosen = succeed_json("select", file, "-k", "1", "-c", "diag", "--seed", 0, *options)
    assert chosen["best"]["n_components"] == 1
    words = write("words.csv", "a b\n1 2\n3 4\n5 gone\n")
    found = succeed_json("fit", words, "-k", 1, "--delimiter", "space", "--missing", "gone")
    assert found["report"]["missing"]["n_missing"] == [0, 1]
    assert succeed_json("fit", write("tabs.csv", "1\t2\n3\t5\n4\t4\n"), "-k", 1, "--delimiter", "tab")["n_rows"] == 3


@pytest.mark.parametrize(
    ("text", "options", "remedy"),
    [
        ("2019,2020\n1.5,2.5\n", (), "Say which, by --header or --no-header."),
        ("a;b\n1,234;2\n3,456;3\n", (), "--decimal ','; if its ',' separates thousands, say so by --thousands ','"),
        ("Foo;1,5\nBar;2,5\n", ("--columns", "1"), "Say what separates fields, by --delimiter."),
        ("#1,2\n3,4\n", (), "Say which, by --comment '#' or --comment ''."),
        ("a,b\n1,2\n1,gone\n", (), "--missing 'gone'"),
        ("a,b\n1,2\n", ("--encoding", "klingon"), "no encoding 'klingon'"),
        ("a,b\n1,2\n".encode("utf-16-le"), (), "say so by --encoding."),
    ],
)
def test_remedies_are_options(write, text, options, remedy):
    assert remedy in fail("fit", write("a.csv", text), "-k", 1, *options)


@pytest.mark.parametrize("given", ["-", "/dev/stdin"])
def test_rows_from_standard_input(tmp_path, given):
    text = "a;b\n" + "".join(f"{a};{b}\n".replace(".", ",") for a, b in TEXT_ROWS)
    model = tmp_path / "model.npz"
    for command in (("fit", given, "-k", 1, "-o", model), ("score", model, given), ("predict", model, given)):
        arguments = [sys.executable, "-m", "fastem", *map(str, command), "--json"]
        done = subprocess.run(arguments, input=text, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["n_rows"] == 4
        assert "is kept in a temporary file" in done.stderr


def test_missing_file_and_directory(tmp_path):
    assert "none.csv: No such file" in fail("fit", tmp_path / "none.csv", "-k", 1)
    assert "none.npy: No such file" in fail("fit", tmp_path / "none.npy", "-k", 1)
    assert "is a directory" in fail("fit", tmp_path, "-k", 1)


def test_names_in_messages_are_not_taken_for_parameters(tmp_path):
    assert fail("fit", tmp_path / "tol.csv", "-k", 1).startswith(f"error: {tmp_path / 'tol.csv'}: No such")


def test_more_components_than_rows():
    message = fail("fit", FAITHFUL, "--components", 300)
    assert "--components=300 is larger" in message
    assert "272" in message


def test_unwritable_output_is_told_before_the_fit(tmp_path, write, model, monkeypatch):
    monkeypatch.setattr(GaussianMixture, "fit", lambda *_, **__: pytest.fail("fitted"))
    data = write("rows.csv", FAITHFUL.read_bytes())
    nowhere = tmp_path / "nowhere" / "file"
    assert "there is no directory" in fail("fit", data, "-k", 2, "--output", nowhere)
    assert "there is no directory" in fail("fit", data, "-k", 2, "--plot", nowhere)
    assert "there is no directory" in fail("predict", model, data, "--output", nowhere)
    assert "there is no directory" in fail("sample", model, "-n", 1, "--output", nowhere)
    assert "it is a directory" in fail("fit", data, "-k", 2, "--output", tmp_path)
    assert "overwrite an input" in fail("fit", data, "-k", 2, "--output", data)
    assert "overwrite an input" in fail("predict", model, data, "--output", model)
    assert "must end in one of" in fail("fit", data, "-k", 2, "--plot", tmp_path / "fit.doc")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "permission denied" in fail("fit", data, "-k", 2, "--output", tmp_path / "model.npz")


def test_files_that_do_not_fit_the_model(write, model, tmp_path):
    other = write("other.csv", "a,waiting\n1,2\n3,4\n")
    message = fail("predict", model, other)
    assert "no column eruptions, which" in message
    assert "Its columns: a, waiting" in message
    assert "rows.npy has 3 features, but" in fail("score", model, write("rows.npy", np.ones((4, 3))))
    message = fail("score", model, write("gap.csv", "eruptions,waiting\n1,inf\n"))
    assert "Every row of" in message
    assert "gap.csv has a value that cannot be used" in message
    for command in (("info", other), ("score", other, FAITHFUL)):
        assert "not a model file" in fail(*command)
    assert "No such file" in fail("info", tmp_path / "none.npz")


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit",),
        ("fit", FAITHFUL),
        ("fit", FAITHFUL, "-k", "two"),
        ("fit", FAITHFUL, "-k", 0),
        ("fit", FAITHFUL, "-k", 2, "--covariance", "round"),
        ("fit", FAITHFUL, "-k", 2, "--seed", -1),
        ("fit", FAITHFUL, "-k", 2, "--online", "--incremental"),
        ("fit", FAITHFUL, "-k", 1, "--incremental", "--bins", 64),
        ("fit", FAITHFUL, "-k", 2, "--batch-size", 50),
        ("fit", FAITHFUL, "-k", 2, "--incremental", "--half-life", 50),
        ("sample", "model.npz"),
        ("dance",),
    ],
)
def test_wrong_usage(arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error" in result.stderr


# The command itself.


def test_help_tells_files_exit_codes_and_an_example_of_each_command():
    printed = succeed("--help").stdout
    for text in (
        ".csv.gz",
        ".npy",
        "Exit codes",
        "not converged",
        "fit",
        "predict",
        "score",
        "sample",
        "info",
        "warmup",
        "bench",
    ):
        assert text in printed
    for command in ("fit", "predict", "score", "sample", "info", "warmup", "bench"):
        assert f"fastem {command} " in succeed(command, "--help").stdout


def test_version():
    assert succeed("--version").stdout == f"fastem {fastem.__version__}\n"


def test_as_a_process(tmp_path):
    command = [sys.executable, "-m", "fastem"]
    fit = [*command, "fit", str(FAITHFUL), "-k", "2", "--output", "model.npz", "--plot", "fit.png", "--json"]
    done = subprocess.run(fit, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["converged"] is True
    assert done.stderr == ""
    assert (tmp_path / "fit.png").read_bytes().startswith(PNG)
    failed = subprocess.run([*command, "info", "none.npz"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr == "error: none.npz: No such file or directory\n"
