"""The examples run, print what is true, and draw."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
PNG = b"\x89PNG\r\n"


@pytest.fixture
def run(tmp_path):
    """Run an example as a user would; its output, and the numbers in the rows of its table."""

    def run_example(name):
        picture = tmp_path / "picture.png"
        command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), str(picture)]
        output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
        assert picture.read_bytes().startswith(PNG)
        assert list(tmp_path.iterdir()) == [picture]
        rows = [line.split() for line in output.splitlines() if re.match(r"\s+\d", line)]
        return output, np.array(rows, dtype=float)[:, 1:]

    return run_example


def run_plain(folder, name, *arguments):
    """Run an example in a folder; its output."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder, env=environment).stdout


def number_after(text, output):
    return float(re.search(rf"{re.escape(text)}\s*(-?[\d.]+)", output).group(1))


def test_two_processes_are_found(run):
    output, table = run("two_processes")
    # About four standard errors of weight, mean and sd.
    np.testing.assert_allclose(table, [[0.3, 20, 5], [0.7, 40, 5]], atol=0.5)
    np.testing.assert_allclose(table[:, 0], [0.3, 0.7], atol=0.025)
    # The best rule errs where the weighted densities cross: 2.1% of the rows.
    assert 0.97 < number_after("accuracy of the labels:", output) < 0.99


def test_rows_that_are_not_normal(tmp_path):
    output = run_plain(tmp_path, "beyond_normal", "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(PNG)
    assert number_after("minutes of waiting for a minute of eruption:", output) == pytest.approx(10.7, abs=0.1)
    assert 8.0 < number_after("earthquakes in 2007:", output) < 20.0
    assert number_after("departures gather about the hours:", output) == pytest.approx(7.9, abs=0.3)
    assert 4.0 < number_after("degrees of freedom:", output) < 15.0
    assert number_after("less that of t-distributions:", output) > 100.0


def test_density_and_objective(run):
    output, table = run("density_and_objective")
    np.testing.assert_allclose(table, [[0.75, -1, 0.8], [0.25, 2, 1]], atol=0.4)
    np.testing.assert_allclose(table[:, 0], [0.75, 0.25], atol=0.08)
    assert number_after("iterations:", output) > 5
    assert number_after("of which lowered it:", output) == 0


def test_flights(tmp_path):
    picture = tmp_path / "picture.png"
    output = run_plain(tmp_path, "flights", str(picture))
    assert picture.read_bytes().startswith(PNG)
    assert list(tmp_path.iterdir()) == [picture]
    # Counted by hand: rows of the file, less those without a delay.
    assert "complete rows: 327346 of 336776, in 12 files" in output
    assert "refused: Input X contains NaN, and missing='error': row 471, column 'arr_delay' is nan" in output
    assert len(re.findall("the same bits.*: True", output)) == 2
    assert "False" not in output
    exact = float(re.search(r"from files: .* s, (-[\d.]+) nats", output).group(1))
    assert exact == pytest.approx(-8.21, abs=0.02)
    for epochs in ("1", "5"):
        assert number_after(f"online, epochs: {epochs}:", output) == pytest.approx(exact, abs=0.05)
    # In the last week of April, furloughs of controllers delayed the flights of the whole country; the months with the
    # longest delays are June, July and December.
    assert re.search(r"drift: 2013-04-2\d, 2013-07-\d\d, 2013-12-\d\d\n", output)
    assert number_after("labels:", output) == 327346


def test_market_regimes(run):
    output, table = run("market_regimes")
    bic = [float(value) for value in re.findall(r"bic: ([\d.]+)", output)]
    assert bic[0] > bic[1] > bic[2], "each state is worth its parameters"
    # By volatility: the stormiest state has the highest correlation, and lasts for days.
    share, days, _, sd, correlation = table.T
    assert np.all(np.diff(sd) > 0)
    assert correlation.argmax() == 2
    assert share.sum() == pytest.approx(1.0, abs=0.002)
    assert days[2] > 4
    tomorrow = [float(value) for value in re.findall(r"state \d (\d\.\d+)", output)]
    assert sum(tomorrow) == pytest.approx(1.0, abs=0.002)


def test_larger_than_memory(tmp_path):
    output = run_plain(tmp_path, "larger_than_memory", "--gigabytes", "0.05", "--memory", "8MB", "--iterations", "40")
    assert list(tmp_path.iterdir()) == []
    truth = number_after("of the true parameters:", output)
    assert number_after("log-likelihood a row:", output) == pytest.approx(truth, abs=0.3)
    # The first E-step is no iteration.
    n_iter = int(re.search(r"stopped: .* after (\d+) iterations", output).group(1))
    assert len(re.findall(r"s, iteration \d+: .* nats", output)) == n_iter + 1
    assert re.search(r"a pass: .* s, \d\S* rows/s", output)
    if Path("/proc/self/clear_refs").exists():
        assert number_after("peak memory:", output) < 40
    kept = run_plain(tmp_path, "larger_than_memory", "--gigabytes", "0.001", "--iterations", "1", "--keep")
    assert re.search("stopped: .*after 1 iteration", kept)
    assert np.load(tmp_path / "larger_than_memory.npy", mmap_mode="r").shape[1] == 8


def test_pictures_of_the_examples_are_stored():
    drawn = [path.stem for path in EXAMPLES.glob("*.py") if ".png" in path.read_text()]
    assert {"flights", "two_processes"} < set(drawn)
    for name in (*drawn, "faithful"):
        assert (EXAMPLES.parent / "docs" / "images" / f"{name}.png").read_bytes().startswith(PNG)
