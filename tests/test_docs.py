"""What the documents say runs."""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
import subprocess
import sys

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    "module",
    [
        "fastem.estimators.gaussian_mixture",
        "fastem.estimators._select",
        "fastem.estimators._uncertain",
        "fastem.plotting",
    ],
)
def test_examples_of_docstrings(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0


def test_python_of_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    assert sorted(names["mixture"].means_.ravel().round(-1)) == [20.0, 40.0]
    assert (tmp_path / "model.npz").exists()


def test_the_page_on_streaming(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    page = (ROOT / "docs" / "streaming.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "streaming.md", "exec"), names)
    for model in ("quick", "steady", "last", "stream"):
        assert names[model].score(names["X"]) == pytest.approx(names["exact"].score(names["X"]), abs=0.01), model
    assert names["last"].n_iter_ < names["exact"].n_iter_
    assert len(names["alarms"]) == 1
    assert names["compressed"].means_ == pytest.approx(names["binned"].means_, abs=0.1)
    commands = "".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL)).splitlines()
    assert len(commands) == 5
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "fastem"
        subprocess.run([sys.executable, "-m", "fastem", *arguments], check=True, capture_output=True)
    assert (tmp_path / "labels.parquet").exists()


def test_the_page_on_uncertainty():
    page = (ROOT / "docs" / "uncertainty.md").read_text()
    names = {}
    exec(compile(re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1), "uncertainty.md", "exec"), names)
    spread = names["replicates"].standard_errors()
    assert spread.means == pytest.approx(names["errors"].means, rel=0.25)
    assert len(names["errors"].names) == 6


def test_the_page_on_selection(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "select.md").read_text()
    names = {}
    exec(compile(re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1), "select.md", "exec"), names)
    assert names["selection"].best_params_["n_components"] == 3
    assert names["by_prediction"].best_params_["n_components"] == 3
    (command,) = re.findall(r"```sh\n(.*?)\n```", page, re.DOTALL)
    program, *arguments = shlex.split(command)
    assert program == "fastem"
    monkeypatch.chdir(tmp_path)
    arguments = [str(ROOT / argument) if "/" in argument else argument for argument in arguments]
    subprocess.run([sys.executable, "-m", "fastem", *arguments], check=True, capture_output=True)
    assert (tmp_path / "model.npz").exists()


def test_the_readme_has_two_commands_of_one_line():
    commands = [block.strip() for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)]
    assert len(commands) == 2
    assert all("\n" not in command and command.startswith("python3 -m venv .venv && ") for command in commands)
    assert "fastem fit examples/faithful.csv" in commands[0]
    assert commands[1].endswith("-m pytest -q")


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md"])
def test_links_between_documents(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_commands_of_ci_are_those_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in script
    assert "pytest" not in script.replace("pytest's", ""), "CI takes the test command from the README"
