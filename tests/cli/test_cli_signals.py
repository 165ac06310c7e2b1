"""Commands that are asked to end: with what they have so far, their own exit codes, and no half-written files."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest

import fastem
from fastem.cli import app
from fastem.cli.commands import Ending, ending_softly
from tests.cli.test_cli import FAITHFUL, run

# The default of each signal: what starts the tests may have told it to be ignored.
_AS_USUAL = {
    "preexec_fn": lambda: [signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)]
}


@pytest.fixture
def rows(tmp_path):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(20_000, 3)))
    return tmp_path


def started(folder, *arguments, **options):
    """A command that runs, once it has printed a line of its progress."""
    command = [sys.executable, "-m", "fastem", *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **{**_AS_USUAL, **options}
    )
    line = ""
    while "nats per row" not in line and "still running" not in line:
        line = process.stderr.readline()
        assert line, "the command has ended"
    return process


ENDLESS = ("fit", "rows.npy", "-k", 8, "--seed", 0, "--tol", 0, "--max-iter", 10_000_000, "--verbose")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_fit_that_is_asked_to_end_prints_and_writes_the_best_model_so_far(rows, number, code):
    process = started(rows, *ENDLESS, "--output", "model.npz", "--plot", "fit.png", "--checkpoint", "fit.ckpt")
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == code
    assert "not converged: interrupted after" in stdout
    assert "written to model.npz" in stdout
    assert "warning: EM was interrupted after" in stderr
    assert fastem.load(rows / "model.npz").stop_reason_ == "interrupted"
    assert fastem.load(rows / "fit.ckpt").stop_reason_ == "interrupted"
    assert {path.name for path in rows.iterdir()} == {"rows.npy", "model.npz", "fit.png", "fit.ckpt"}


def test_a_selection_that_is_asked_to_end(rows):
    process = started(rows, "select", "rows.npy", "-k", "1-6", "--seed", 0, "--verbose", "--output", "model.npz")
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stdout) == (143, "")
    assert stderr.endswith("error: terminated\n")
    assert [path.name for path in rows.iterdir()] == ["rows.npy"]


def test_a_signal_that_is_ignored_stays_so(rows):
    nohup = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    process = started(rows, *ENDLESS, "--output", "model.npz", **nohup)
    process.send_signal(signal.SIGHUP)
    for _ in range(3):
        assert "nats per row" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 143


_DEAF = """
import os, signal, sys, time
from fastem import GaussianMixture
from fastem.__main__ import main
from fastem.persistence import replacing

def fit(mixture, *_, **__):
    with replacing("model.npz") as file:
        file.write(b"half")
        file.flush()
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        except KeyboardInterrupt:
            print(len(os.listdir(".")), file=sys.__stdout__, flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

GaussianMixture.fit = fit
sys.argv = ["fastem", "fit", sys.argv[1], "-k", "2"]
main()
"""


def test_a_second_signal_ends_at_once_and_leaves_no_half_of_a_file(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _DEAF, str(FAITHFUL)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        **_AS_USUAL,
    )
    assert done.returncode == -signal.SIGTERM
    assert done.stdout == "1\n"
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_prediction_that_is_asked_to_end_leaves_no_half_of_a_file(tmp_path, monkeypatch):
    from fastem import GaussianMixture
    from fastem.cli.marking import Marked

    model, labels = tmp_path / "model.npz", np.zeros(5, dtype=np.int64)
    GaussianMixture.from_parameters([1.0], [[2.0, 50.0]], [np.eye(2)]).save(model)

    def predicted(*_):
        yield labels, labels > 0
        assert len(list(tmp_path.iterdir())) == 2
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Marked, "predicted", predicted)
    result = run("predict", model, FAITHFUL, "--output", tmp_path / "labels.npy")
    assert result.exit_code == 143
    assert result.stderr == "error: terminated\n"
    assert list(tmp_path.iterdir()) == [model]


def test_an_error_after_a_signal_has_the_code_of_the_signal(monkeypatch):
    from fastem import GaussianMixture

    def fails(*_, **__):
        try:
            signal.raise_signal(signal.SIGHUP)
        except KeyboardInterrupt:
            # As a terminal that is gone.
            raise OSError(5, "Input/output error") from None

    monkeypatch.setattr(GaussianMixture, "fit", fails)
    result = run("fit", FAITHFUL, "-k", 2)
    assert result.exit_code == 129
    assert "Input/output error" in result.stderr


def test_handlers_are_put_back_and_those_of_a_user_stay():
    before = signal.getsignal(signal.SIGTERM)
    with ending_softly() as signals, pytest.raises(Ending):
        signal.raise_signal(signal.SIGTERM)
    assert signals.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    seen = []
    signal.signal(signal.SIGTERM, lambda *_: seen.append(1))
    try:
        with ending_softly():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [1]


def test_help_tells_the_codes():
    from typer.testing import CliRunner

    printed = CliRunner().invoke(app, ["--help"]).stdout
    for code in ("130", "143", "129"):
        assert code in printed
