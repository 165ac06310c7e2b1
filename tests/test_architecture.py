"""The arrows between rooms, and the house rules that a text search can check."""

from __future__ import annotations

import ast
import logging
import re

import pytest
from importlinter.cli import lint_imports

from tests.conftest import ROOT

SOURCES = sorted((ROOT / "fastem").rglob("*.py"))


def test_import_contracts(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    # The linter sets up logging anew, which would silence this logger in later tests.
    monkeypatch.setattr(logging.getLogger("fastem"), "disabled", False)
    exit_code = lint_imports(no_cache=True)
    assert exit_code == 0, capsys.readouterr().out


def names(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=names)
def test_compiler_flags_live_in_one_file(path):
    if names(path) != "fastem/passes/flags.py":
        assert not re.search(r"fastmath\s*=|\bnjit\b|\bexec\(|\beval\(", path.read_text())


@pytest.mark.parametrize("path", SOURCES, ids=names)
def test_no_assert_guards_against_a_users_mistake(path):
    tree = ast.parse(path.read_text())
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]


@pytest.mark.parametrize("path", SOURCES, ids=names)
def test_files_and_public_definitions_have_docstrings(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "the file"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node) or "block_function" in ast.unparse(node.decorator_list[:1] or []), node.name


@pytest.mark.parametrize("path", [p for p in SOURCES if "cli" not in p.parts], ids=names)
def test_rooms_are_small(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            body = [statement for statement in node.body if not isinstance(statement, ast.Expr)] or node.body
            assert node.end_lineno - body[0].lineno < 60, f"{node.name} is long"


def test_only_the_kernels_hold_parallel_loops():
    with_prange = [names(path) for path in SOURCES if "prange(" in path.read_text()]
    assert with_prange == [
        f"fastem/passes/{name}.py" for name in ("messages", "row_pass", "score_pass", "sweep", "viterbi")
    ]
