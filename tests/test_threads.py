"""Concurrent fits, forks and caches, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastem
from tests.conftest import ROOT

SETUP = """
import os, threading, multiprocessing, numpy as np, numba, warnings
from fastem import GaussianMixture
warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(20_000, 2))
def fit():
    return GaussianMixture(2, random_state=0, max_iter=20).fit(X).means_
"""


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", SETUP + code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
    )


LAYERS = ["omp", "tbb", "workqueue"]


def require_layer(layer):
    probe = run("numba.njit(parallel=True)(lambda x: x + 1)(np.ones(9))", NUMBA_THREADING_LAYER=layer)
    if probe.returncode:
        pytest.skip(f"the threading layer {layer} is not installed")


@pytest.mark.parametrize("layer", LAYERS)
def test_concurrent_fits_finish_right(layer):
    require_layer(layer)
    result = run(
        """
alone = fit()
results = [None] * 6
threads = [threading.Thread(target=lambda i=i: results.__setitem__(i, fit())) for i in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(all(np.array_equal(result, alone) for result in results))
""",
        NUMBA_THREADING_LAYER=layer,
    )
    assert (result.returncode, result.stdout.strip()) == (0, "True"), result.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("layer", LAYERS)
def test_a_forked_child_fits_after_its_parent_did(layer):
    require_layer(layer)
    result = run(
        """
alone = fit()
context = multiprocessing.get_context("fork")
queue = context.Queue()
child = context.Process(target=lambda: queue.put(fit()))
child.start()
print(np.allclose(queue.get(timeout=200), alone, rtol=1e-9))
child.join()
print(child.exitcode)
""",
        NUMBA_THREADING_LAYER=layer,
    )
    assert result.stdout.split() == ["True", "0"], result.stderr


def test_joblib_workers_give_the_same_bits():
    result = run(
        """
import joblib
def fit_seed(seed):
    return GaussianMixture(3, random_state=seed, max_iter=20).fit(X).means_
here = [fit_seed(seed) for seed in range(4)]
for backend in ("loky", "threading"):
    there = joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(fit_seed)(seed) for seed in range(4))
    print(all(np.array_equal(a, b) for a, b in zip(here, there)))
"""
    )
    assert result.stdout.split() == ["True", "True"], result.stderr


def test_the_number_of_threads_changes_no_bit_of_a_fit():
    outputs = {run("print(fit().tobytes().hex())", NUMBA_NUM_THREADS=str(n)).stdout for n in (1, 2, 5)}
    assert len(outputs) == 1
    assert len(outputs.pop()) > 10


def cached(directory):
    return sorted(path.name for path in Path(directory).rglob("*.nbc"))


def test_a_second_process_compiles_nothing(tmp_path):
    assert run("fit()", NUMBA_CACHE_DIR=str(tmp_path)).returncode == 0
    files = cached(tmp_path)
    assert len(files) == 1, "one pass for one family"
    compiled = run(
        """
fit()
GaussianMixture(3, random_state=0, max_iter=3).fit(X.astype(np.float32), sample_weight=np.ones(len(X)))
GaussianMixture(3, random_state=0, max_iter=3).fit(np.asfortranarray(X)[::2])
GaussianMixture(3, random_state=0, max_iter=3).fit(X[:, 0].astype(int))
from fastem.kernel import _compiled_fused_pass
stats = _compiled_fused_pass._parallel.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
""",
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    assert compiled.stdout.split() == ["1", "0"], compiled.stderr
    assert cached(tmp_path) == files, "weights, dtypes and memory orders share one compiled pass"


def test_an_edited_family_is_compiled_again():
    """numba's own key knows nothing of the families; ours changes with their source."""
    from fastem import blocks
    from fastem.families.gaussian_diag import GaussianDiagParams
    from fastem.families.gaussian_full import GaussianFullParams

    assert blocks.fingerprint(GaussianFullParams) == blocks.fingerprint(GaussianFullParams)
    assert blocks.fingerprint(GaussianFullParams) != blocks.fingerprint(GaussianDiagParams)


def test_an_unwritable_cache_is_no_error(tmp_path):
    locked = tmp_path / "file"
    locked.write_text("not a directory")
    result = run("print(fit().shape)", NUMBA_CACHE_DIR=str(locked / "cache"), HOME="/nonexistent")
    assert result.stdout.strip() == "(2, 2)", result.stderr


def test_a_stale_digest_is_noticed(tmp_path, monkeypatch):
    from fastem import _jit

    package = tmp_path / "fastem"
    (package / "families").mkdir(parents=True)
    for name in ("_jit.py", "families/gaussian_full.py"):
        (package / name).write_text((Path(fastem.__file__).parent / name).read_text())
    monkeypatch.setattr(_jit, "__file__", str(package / "_jit.py"))
    before = _jit.source_digest()
    family = package / "families" / "gaussian_full.py"
    family.write_text(family.read_text().replace("0.5", "0.6"))
    assert _jit.source_digest() != before


def test_kernels_run_as_plain_python():
    """With the JIT switched off, where coverage and a debugger can follow, they agree with their naive twins too."""
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_parity.py", "-k", "naive"],
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=ROOT,
        timeout=600,
    )
    assert tests.returncode == 0, tests.stdout
    assert " passed" in tests.stdout
