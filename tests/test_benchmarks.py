"""Every benchmark runs at toy size, and what it checks about its own results holds."""

from __future__ import annotations

import ast
import importlib
import itertools
import json
import pickle
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="interpreted kernels take minutes at toy size")

ROOT = Path(__file__).parent.parent
SUITE = ROOT / "benchmarks"
KINDS = ("time_", "track_", "peakmem_")


def benchmark_names(class_node):
    return [node.name for node in class_node.body if isinstance(node, ast.FunctionDef) and node.name.startswith(KINDS)]


# Read from the source: the suite may be imported only once the toy profile is chosen.
CLASSES = {
    f"{path.stem}.{node.name}": names
    for path in sorted(SUITE.glob("bench_*.py"))
    for node in ast.parse(path.read_text(encoding="utf-8")).body
    if isinstance(node, ast.ClassDef) and (names := benchmark_names(node))
}


@pytest.fixture(scope="module")
def toy():
    """A function that imports a module of the suite in the toy profile."""
    # On a busy machine the threads of small matrix products mostly wait for each other.
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1, user_api="blas"):
        patch.setenv("FASTEM_BENCH", "toy")
        patch.syspath_prepend(ROOT)
        yield lambda name: importlib.import_module(f"benchmarks.{name}")
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        del sys.modules[name]


def run(group, names, arguments):
    """Results by the name of the benchmark, each with its own setup as under asv; none if the setup skips."""
    results = {}
    for name in names:
        try:
            getattr(group, "setup", lambda *arguments: None)(*arguments)
        except NotImplementedError:
            return {}
        results[name] = getattr(group, name)(*arguments)
    return results


@pytest.mark.parametrize("path", CLASSES)
def test_benchmark_runs_and_checks_itself(path, toy, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    module, name = path.split(".")
    group = getattr(toy(module), name)()
    # asv hands the cache from one process to another.
    cache = [pickle.loads(pickle.dumps(group.setup_cache()))] if hasattr(group, "setup_cache") else []
    for parameters in itertools.product(*getattr(group, "params", ())):
        for benchmark, result in run(group, CLASSES[path], [*cache, *parameters]).items():
            if benchmark.startswith("track_"):
                bound = getattr(getattr(group, benchmark), "bound", np.inf)
                assert np.isfinite(result), (benchmark, parameters)
                assert result <= bound, (benchmark, parameters)


@pytest.mark.parametrize("path", [path for path, names in CLASSES.items() if any("time_" in name for name in names)])
def test_a_check_stands_beside_every_time(path, toy):
    module, name = path.split(".")
    group = getattr(toy(module), name)
    assert any(hasattr(getattr(group, benchmark), "bound") for benchmark in CLASSES[path])


def test_settings_of_asv():
    settings = json.loads((ROOT / "asv.conf.json").read_text(encoding="utf-8"))
    assert (ROOT / settings["benchmark_dir"]).samefile(SUITE)
    assert settings["branches"] == ["main"]
    assert all(settings[f"{kind}_dir"].startswith(".asv/") for kind in ("env", "results", "html"))


def test_asv_finds_every_benchmark(toy):
    discovery = pytest.importorskip("asv_runner.discovery", reason="asv is not installed")
    found = list(discovery.disc_benchmarks(str(SUITE)))
    assert {benchmark.name for benchmark in found} == {
        f"{path}.{name}" for path, names in CLASSES.items() for name in names
    }
    assert all(benchmark.check(str(SUITE)) for benchmark in found)


def test_versus_prints_a_row_for_each_workload(toy):
    versus = toy("bench_versus")
    header, *rows = versus.table(versus.WORKLOADS[:2], rounds=1, seconds=0.0)
    assert header.startswith("workload")
    assert [row[:3] for row in rows if "sklearn" in row] == ["D=1", "D=2"]
