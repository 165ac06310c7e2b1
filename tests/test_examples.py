"""The examples run, print what is true, and draw."""

from __future__ import annotations

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


def number_after(text, output):
    return float(re.search(rf"{re.escape(text)}\s*(-?[\d.]+)", output).group(1))


def test_two_processes_are_found(run):
    output, table = run("two_processes")
    # About four standard errors of weight, mean and sd.
    np.testing.assert_allclose(table, [[0.3, 20, 5], [0.7, 40, 5]], atol=0.5)
    np.testing.assert_allclose(table[:, 0], [0.3, 0.7], atol=0.025)
    # The best rule errs where the weighted densities cross: 2.1% of the rows.
    assert 0.97 < number_after("accuracy of the labels:", output) < 0.99


def test_density_and_objective(run):
    output, table = run("density_and_objective")
    np.testing.assert_allclose(table, [[0.75, -1, 0.8], [0.25, 2, 1]], atol=0.4)
    np.testing.assert_allclose(table[:, 0], [0.75, 0.25], atol=0.08)
    assert number_after("iterations:", output) > 5
    assert number_after("of which lowered it:", output) == 0


def test_pictures_of_the_examples_are_stored():
    for name in (*(path.stem for path in EXAMPLES.glob("*.py")), "faithful"):
        assert (EXAMPLES.parent / "docs" / "images" / f"{name}.png").read_bytes().startswith(PNG)
