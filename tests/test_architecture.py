"""The arrows between rooms, and the house rules that a text search can check."""

from __future__ import annotations

import ast
import logging
import re

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


def offenders(breaks):
    """The sources of which `breaks`, given a path and its text, says something: what it says, by name."""
    found = {names(path): breaks(path, path.read_text()) for path in SOURCES}
    return {name: said for name, said in found.items() if said}


def test_compiler_flags_live_in_one_file():
    flags = r"fastmath\s*=|\bnjit\b|\bexec\(|\beval\("
    assert list(offenders(lambda path, text: re.findall(flags, text))) == ["fastem/passes/flags.py"]


def test_no_assert_guards_against_a_users_mistake():
    def lines(path, text):
        return [node.lineno for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Assert)]

    assert offenders(lines) == {}


def test_files_and_public_definitions_have_docstrings():
    def undescribed(path, text):
        tree = ast.parse(text)
        public = [
            node
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and "block_function" not in ast.unparse(node.decorator_list[:1] or [])
        ]
        return [getattr(node, "name", "the file") for node in (tree, *public) if not ast.get_docstring(node)]

    assert offenders(undescribed) == {}


def test_rooms_are_small():
    def long(path, text):
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
        return [node.name for node in functions if n_lines(node) >= 60 and "cli" not in path.parts]

    assert offenders(long) == {}
    assert offenders(lambda path, text: text.count("\n") > 400) == {}


def n_lines(function):
    """Lines below the docstring."""
    body = [statement for statement in function.body if not isinstance(statement, ast.Expr)] or function.body
    return function.end_lineno - body[0].lineno


def test_there_is_one_parallel_loop():
    with_prange = [names(path) for path in SOURCES if "prange(" in path.read_text()]
    assert with_prange == ["fastem/passes/loop.py"]


# What estimators are called where they are used.
ESTIMATORS = {"estimator", "mixture", "hmm", "template", "chosen", "model"}
ABOVE = ("cli", "bench", "estimators")


def private_reads(text):
    """Attributes with a leading underscore of what is called as an estimator is."""
    reads = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    private = [node for node in reads if node.attr.startswith("_") and not node.attr.startswith("__")]
    return [ast.unparse(node) for node in private if ast.unparse(node.value).rpartition(".")[2] in ESTIMATORS]


def test_private_reads_are_found():
    assert private_reads("def learn(estimator): return self.mixture._params, estimator.fit, self._params") == [
        "self.mixture._params"
    ]


def test_no_other_room_knows_private_names_of_estimators():
    def reads(path, text):
        # A `model` is a Model in its own file.
        is_exempt = "estimators" in path.parts or names(path) == "fastem/model.py"
        return [] if is_exempt else private_reads(text)

    assert offenders(reads) == {}


def test_the_engine_is_handed_no_estimator():
    def handed(path, text):
        arguments = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.arg)]
        found = [node for node in arguments if node.arg == "estimator" or "BaseEM" in ast.unparse(node)]
        return [] if {*ABOVE} & {*path.parts} else [node.lineno for node in found]

    assert offenders(handed) == {}


def calls_of(text, name):
    """The calls of a function, or of a method, of this name; and of each, the names of the calls that it is within."""
    found = []

    def walk(node, outer):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == name:
                found.append((node, outer))
            outer = (*outer, called)
        for child in ast.iter_child_nodes(node):
            walk(child, outer)

    walk(ast.parse(text), ())
    return found


def test_calls_are_found_with_those_around_them():
    ((node, outer),) = calls_of("total = sum_over(segments_of(source.chunks(5)), begin)", "chunks")
    assert (ast.unparse(node), outer) == ("source.chunks(5)", ("sum_over", "segments_of"))


def test_one_gate_looks_at_the_values_of_rows():
    def looks(path, text):
        return [ast.unparse(node) for node, _ in calls_of(text, "isfinite") if ".X" in ast.unparse(node)]

    # Readers look at the fields of a text, and leave out the rows that they are told to.
    assert list(offenders(looks)) == ["fastem/fitting/checks.py"]


# Reductions: what they are handed they cut into segments, and fold by the tree.
REDUCTIONS = {"segments_of", "compress", "total_weight", "weighted_sums", "empirical_information"}
# Who else reads rows, and why.
READERS = {
    "fastem/cli/marking.py": "what is said of each row",
    "fastem/estimators/_fitted_chain.py": "a series to draw, in memory",
    "fastem/estimators/_imputing.py": "a few rows, in memory",
    "fastem/estimators/regression_mixture.py": "what is said of each row",
    "fastem/fitting/listed.py": "sequences joined in memory",
    "fastem/fitting/checks.py": "the gate",
    "fastem/fitting/imputing.py": "what is said of each row",
    "fastem/fitting/incremental.py": "blocks, each of which is a reduction",
    "fastem/fitting/online.py": "held-out rows, in memory",
    "fastem/fitting/scan.py": "the first row",
    "fastem/fitting/scores.py": "what is said of each row",
    "fastem/fitting/stream.py": "batches, each of which is learnt from",
}


def test_sums_over_rows_are_reductions():
    def reads(path, text):
        return [ast.unparse(node) for node, outer in calls_of(text, "chunks") if not REDUCTIONS & {*outer}]

    found = {name: said for name, said in offenders(reads).items() if not name.startswith("fastem/sources/")}
    assert found.keys() == READERS.keys()


def test_tests_mirror_the_package():
    rooms = {path.name for path in (ROOT / "tests").iterdir() if (path / "__init__.py").exists()}
    assert {room for room in rooms if not (ROOT / "fastem" / room).is_dir()} == {"laws", "benchmarks"}
