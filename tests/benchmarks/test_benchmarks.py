"""Every benchmark runs at toy size, and what it checks about its own results holds."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import itertools
import json
import pickle
import re
import shlex
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
import scipy.stats
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from fastem import GaussianMixture
from fastem.bench.peers import PEERS as PACKAGED
from fastem.bench.peers import fit_ours

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="interpreted kernels take minutes at toy size")

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "benchmarks"
KINDS = ("time_", "track_", "peakmem_")
PEERS = ("scikit-learn", "oneDAL", "pomegranate", "mlpack", "OpenCV", "Armadillo")


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
    """Results by the name of the benchmark, each set up and torn down as under asv; none if the setup skips."""
    results = {}
    for name in names:
        try:
            getattr(group, "setup", lambda *arguments: None)(*arguments)
        except NotImplementedError:
            return {}
        results[name] = getattr(group, name)(*arguments)
        getattr(group, "teardown", lambda *arguments: None)(*arguments)
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


def test_counts_are_the_same_on_every_run(toy):
    counts = toy("bench_counts")
    group, workload = counts.Passes(), counts.WORKLOADS[2]
    group.setup(workload)
    first, again = group.count(), group.count()
    assert vars(first) == vars(again)
    # The scan, the bulk of the rows, five E-steps and the one that values the last parameters, the prediction.
    assert first.passes == 9
    assert first.blocks == 9 * -(-workload.n_rows // counts.BLOCK)
    assert first.bytes > 0


def test_components_out_of_reach_are_counted(toy):
    counts = toy("bench_counts")
    near, apart = (counts.Evaluations().track_share(separation) for separation in counts.Evaluations.params[0])
    assert near == 1.0
    assert 0.0 < apart < 0.6


def test_key_benchmarks_count_alike_on_every_run(toy):
    key = toy("key")
    with pytest.warns(ConvergenceWarning):
        first, again = key.reads(), key.reads()
    assert first == again
    assert first.passes == key.N_ITER + 4


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


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_commands_of_asv_in_the_documents_are_commands(name):
    commands = pytest.importorskip("asv.commands", reason="asv is not installed")
    parser, _ = commands.make_argparser()
    text = re.sub(r"\$\([^)]*\)", "hash", (ROOT / name).read_text(encoding="utf-8"))
    found = [shlex.split(command) for command in re.findall(r"bin/asv ([^&|#`\n]+)", text)]
    for words in found:
        assert callable(parser.parse_args(words).func)
    assert {words[0] for words in found} == {"machine", "run", "continuous", "publish", "preview"}


def test_asv_finds_every_benchmark(toy):
    discovery = pytest.importorskip("asv_runner.discovery", reason="asv is not installed")
    found = list(discovery.disc_benchmarks(str(SUITE)))
    assert {benchmark.name for benchmark in found} == {
        f"{path}.{name}" for path, names in CLASSES.items() for name in names
    }
    assert all(benchmark.check(str(SUITE)) for benchmark in found)


def test_versus_prints_a_line_for_each_workload_and_usable_peer(toy):
    versus = toy("bench_versus")
    one_dimensional, tied = versus.WORKLOADS[0], versus.WORKLOADS[8]
    _, _, header, *rows = versus.table([one_dimensional, tied], PEERS, rounds=1, seconds=0.0)
    assert header.startswith("workload")
    usable = [name for name in PEERS if versus.PEERS[name].is_usable()]
    assert [(row[:4], name in row) for row in rows for name in usable if name in row] == [
        (start, True) for start in ("D=1 ", "D=16") for name in usable
    ]
    assert all("cannot: no tied" in row for row in rows[len(usable) :] if "scikit-learn" not in row)


def test_versus_prints_markdown_with_as_many_cells_in_every_row(toy):
    versus = toy("bench_versus")
    machine, blank, *rows = versus.table(versus.WORKLOADS[:1], PEERS[:1], rounds=1, seconds=0.0, markdown=True)
    assert "numba" in machine
    assert not blank
    assert len(rows) == 3
    assert {row.count("|") for row in rows} == {len(versus.HEADER) + 1}


def usable_peer(toy, name):
    peer = toy("peers").PEERS[name]
    if not peer.is_usable():
        pytest.skip(f"{name} is not installed")
    return peer


def small_workload(toy, covariance_type, **changes):
    workload = toy("common").Workload(3000, 3, 4, covariance_type)
    return dataclasses.replace(workload, **changes)


def log_likelihoods(toy, peer, workload, n_iter=6):
    """Of fastem and of a peer, per row, after some iterations from the same parameters."""
    common, start = toy("common"), toy("bench_versus").start_of(workload)
    X = common.rows_of(workload)
    fits = (fit_ours, peer.fit)
    return [common.mean_log_likelihood(X, common.Parameters.of_type(*fit(X, start, n_iter))) for fit in fits]


def test_every_peer_is_tested(toy):
    assert set(toy("peers").PEERS) == set(PEERS)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("name", PEERS)
def test_peer_reaches_the_same_log_likelihood(name, covariance_type, toy):
    peer = usable_peer(toy, name)
    if covariance_type in peer.limits:
        pytest.skip(peer.limits[covariance_type])
    if peer.own_start:
        pytest.skip(f"{name} does not start at given parameters")
    ours, theirs = log_likelihoods(toy, peer, small_workload(toy, covariance_type))
    assert theirs == pytest.approx(ours, rel=1e-9)


@pytest.mark.parametrize("name", PEERS)
def test_peer_takes_float32(name, toy):
    peer = usable_peer(toy, name)
    if peer.own_start:
        pytest.skip(f"{name} does not start at given parameters")
    workload = small_workload(toy, "full", dtype="float32")
    ours, theirs = log_likelihoods(toy, peer, workload)
    # Sums in single precision keep five digits or more.
    assert theirs == pytest.approx(ours, rel=1e-5 if peer.keeps_float32 else 1e-9)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_mlpack_converges_to_the_same_log_likelihood(covariance_type, toy):
    mlpack, common = usable_peer(toy, "mlpack"), toy("common")
    # Two components far apart: whatever the start, a few iterations of k-means and EM find the same maximum.
    workload = small_workload(toy, covariance_type, n_components=2, separation=common.SEPARATED)
    X = common.rows_of(workload)
    with common.quiet():
        ours = GaussianMixture(**common.start_settings(workload), prior=None, tol=1e-12).fit(X)
    fitted = mlpack.fit(X, toy("bench_versus").start_of(workload), 100)
    theirs = common.mean_log_likelihood(X, common.Parameters.of_type(*fitted))
    assert theirs == pytest.approx(ours.lower_bound_, rel=1e-9)


def test_opencv_leaves_the_number_of_features_out_of_a_spherical_density(toy):
    usable_peer(toy, "OpenCV")
    cv2 = pytest.importorskip("cv2")
    workload = small_workload(toy, "spherical")
    X = toy("common").rows_of(workload)
    model = cv2.ml.EM_create()
    model.setClustersNumber(1)
    model.setCovarianceMatrixType(cv2.ml.EM_COV_MAT_SPHERICAL)
    _, log_likelihoods, _, _ = model.trainM(X, np.ones((len(X), 1)))
    variance = model.getCovs()[0][0, 0]
    exact = scipy.stats.multivariate_normal(model.getMeans()[0], variance * np.eye(3)).logpdf(X)
    assert log_likelihoods.ravel() - exact == pytest.approx(np.log(variance), rel=1e-6)


def test_a_peer_that_is_slow_competes_on_fewer_rows(toy):
    slow = dataclasses.replace(PACKAGED["scikit-learn"], max_posteriors=900)
    assert slow.most_rows(10_000, 3) == 300
    assert PACKAGED["scikit-learn"].most_rows(10_000, 3) == 10_000


def test_workloads_that_are_stated(toy):
    common = toy("common")
    assert {repr(workload) for workload in common.workloads("large")} < {
        repr(workload) for workload in common.stated_workloads("large")
    }
    assert all(workload.n_rows <= 2500 for workload in common.stated_workloads("toy"))
