"""Numbers of threads, concurrent fits, forks and caches, most of them in a process of its own."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numba
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import fastem
from fastem import GaussianHMM, GaussianMixture
from fastem.fitting.thread_limits import blas_single_threaded
from fastem.passes import messages, row_pass, sequence_pass, threads
from fastem.passes.units import TRACK_ROWS
from tests.conftest import ROOT

SETUP = """
import os, threading, multiprocessing, numpy as np, numba, warnings
from fastem import GaussianMixture
warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(20_000, 2))
def fit():
    return GaussianMixture(2, n_init=1, random_state=0, max_iter=20).fit(X).means_
"""


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", SETUP + code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
    )


LAYERS = {"omp": "omppool", "tbb": "tbbpool", "workqueue": "workqueue"}


def run_under(layer, code, **environment):
    try:
        importlib.import_module(f"numba.np.ufunc.{LAYERS[layer]}")
    except ImportError:
        pytest.skip(f"the threading layer {layer} is not installed")
    return run(code, NUMBA_THREADING_LAYER=layer, **environment)


@pytest.mark.parametrize("layer", LAYERS)
def test_concurrent_fits_finish_right(layer):
    result = run_under(
        layer,
        """
alone = fit()
results = [None] * 6
threads = [threading.Thread(target=lambda i=i: results.__setitem__(i, fit())) for i in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(all(np.array_equal(result, alone) for result in results))
""",
    )
    assert (result.returncode, result.stdout.strip()) == (0, "True"), result.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("layer", LAYERS)
def test_a_forked_child_fits_after_its_parent_did(layer):
    result = run_under(
        layer,
        """
from fastem.passes.cache import on_compile
alone = fit()
compiled = []
def fit_in_child():
    with on_compile(compiled.append):
        queue.put((fit(), compiled))
context = multiprocessing.get_context("fork")
queue = context.Queue()
child = context.Process(target=fit_in_child)
child.start()
means, compiled = queue.get(timeout=200)
print(np.array_equal(means, alone), compiled)
child.join()
print(child.exitcode)
""",
    )
    assert result.stdout.split() == ["True", "[]", "0"], result.stderr


@pytest.fixture(scope="module")
def fitted_cache(tmp_path_factory):
    """A directory with all that one fit has compiled."""
    directory = tmp_path_factory.mktemp("kernels")
    result = run("fit()", NUMBA_CACHE_DIR=str(directory))
    assert result.returncode == 0, result.stderr
    return directory


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_compiles_for_its_parent_too(fitted_cache, tmp_path):
    """What its parent has not run is compiled once, and kept."""
    shutil.copytree(fitted_cache, tmp_path, dirs_exist_ok=True)
    result = run(
        """
from fastem.passes.cache import on_compile
fit()
X = X[:, :1] % 1.0
def predict_in(directories):
    with on_compile(directories.append):
        return GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [1.0]], np.ones((2, 1, 1))).predict(X).sum()
in_child = []
if os.fork() == 0:
    predict_in(in_child)
    os._exit(len(in_child))
print(os.waitstatus_to_exitcode(os.wait()[1]))
here = []
predict_in(here)
print(here)
""",
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    assert result.stdout.split() == ["1", "[]"], result.stderr


def everything(X):
    """The bits of all that the passes compute, of rows and of sequences that are cut into units."""
    mixture = GaussianMixture(2, random_state=0, max_iter=5).fit(X)
    chain = GaussianHMM(2, random_state=0, n_iter=3).fit(X)
    results = (mixture.means_, mixture.predict_proba(X), mixture.predict(X), mixture.score_samples(X))
    results += (chain.means_, chain.transmat_, chain.predict_proba(X), chain.predict(X), np.array(chain.score(X)))
    return [result.tobytes() for result in results]


@pytest.mark.parametrize("mixing", [True, False])
def test_one_thread_alone_gives_the_same_bits(monkeypatch, mixing):
    if not mixing:
        original = messages.unit_messages
        monkeypatch.setattr(sequence_pass, "unit_messages", lambda *arguments: original(*arguments[:-1], False))
    random = np.random.default_rng(0)
    X = random.normal(size=(3 * TRACK_ROWS, 2)) + 4.0 * (random.random((3 * TRACK_ROWS, 1)) > 0.5)
    together = everything(X)
    monkeypatch.setattr(threads._state, "threads_lost", True)
    monkeypatch.setattr(numba, "set_num_threads", None)
    assert everything(X) == together


def test_joblib_workers_give_the_same_bits():
    result = run(
        """
import joblib
def fit_seed(seed):
    return GaussianMixture(3, n_init=1, random_state=seed, max_iter=20).fit(X).means_
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


# The parameter `n_threads`.

RECORDING = """
import json
from fastem.passes import lanes, row_pass, score_pass
lanes.WORK_OF_THREAD = 1
seen = []
def recording(compiled):
    def run(serial, *arguments):
        if arguments[3].n_rows > 4 * 528:
            seen.append(1 if serial else numba.get_num_threads())
        compiled(serial, *arguments)
    return run
for each in (row_pass.compiled_fused_pass, score_pass.compiled_score_pass):
    each.dispatcher = recording(each.dispatcher)
def threads_of(call):
    seen.clear()
    call()
    assert numba.get_num_threads() == 3
    return sorted(set(seen))
"""


def test_n_threads_reaches_every_pass_and_changes_no_bit():
    result = run(
        RECORDING
        + """
used, bits = {}, {}
for n in (None, 1, 2, 3):
    mixture = GaussianMixture(2, n_init=1, random_state=0, max_iter=20, n_threads=n)
    used[n] = {"fit": threads_of(lambda: mixture.fit(X))}
    names = ("predict", "predict_proba", "score_samples", "score", "aic", "bic", "icl")
    used[n] |= {name: threads_of(lambda: getattr(mixture, name)(X)) for name in names}
    bits[n] = [mixture.means_.tobytes()] + [np.asarray(getattr(mixture, name)(X)).tobytes() for name in names]
print(json.dumps([list(used.items()), [bits[n] == bits[None] for n in bits]]))
""",
        NUMBA_NUM_THREADS="3",
    )
    used, same = json.loads(result.stdout)
    for n, calls in used:
        assert len(calls) == 8
        assert all(threads == [n or 3] for threads in calls.values()), (n, calls)
    assert same == [True] * 4


def test_rows_that_one_lane_takes_wake_no_other_thread():
    result = run(
        RECORDING.replace("> 4 * 528", "<= 4 * 528")
        + """
from fastem.sources import Chunk
mixture = GaussianMixture(2, random_state=0, max_iter=5).fit(X)
print(*(threads_of(lambda: mixture._model.e_step(mixture._params, Chunk(X[:n], None, 0))) for n in (1, 2112, 2113)))
""",
        NUMBA_NUM_THREADS="3",
    )
    assert result.stdout.strip() == "[1] [1] []", result.stderr


def test_none_leaves_the_users_own_setting():
    result = run(
        RECORDING.replace("== 3", "== 2")
        + """
numba.set_num_threads(2)
print(threads_of(fit), threads_of(lambda: GaussianMixture(2, n_init=1, n_threads=3).fit(X)))
""",
        NUMBA_NUM_THREADS="3",
    )
    assert result.stdout.strip() == "[2] [3]", result.stderr


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(600, 2))


def test_threads_are_given_back_after_an_error(X, monkeypatch):
    class BoomError(Exception):
        pass

    def fail(serial, *arguments):
        seen.append((serial, blas_threads()))
        raise BoomError

    seen = []
    before = numba.get_num_threads()
    monkeypatch.setattr(row_pass.compiled_fused_pass, "dispatcher", fail)
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(BoomError):
            GaussianMixture(n_threads=1).fit(X)
        assert blas_threads() == {2}
    assert seen == [(True, {1})]
    assert numba.get_num_threads() == before


def test_more_threads_than_numba_may_start_are_refused(X):
    most = numba.config.NUMBA_NUM_THREADS
    mixture = GaussianMixture(random_state=0).fit(X).set_params(n_threads=most + 1)
    for call in (mixture.fit, mixture.predict, mixture.score):
        with pytest.raises(
            ValueError, match=f"is {most}. Ask for at most {most}, or set .* NUMBA_NUM_THREADS={most + 1}"
        ):
            call(X)


@pytest.mark.parametrize("n_threads", [0, -1, 1.0, "2"])
def test_a_prediction_refuses_what_is_no_number_of_threads(n_threads, X):
    mixture = GaussianMixture(random_state=0).fit(X).set_params(n_threads=n_threads)
    with pytest.raises(ValueError, match="n_threads must be a positive integer, or None"):
        mixture.predict(X)


def test_a_number_of_threads_is_not_part_of_a_saved_model(X, tmp_path):
    GaussianMixture(n_threads=1).fit(X).save(tmp_path / "model.npz")
    assert fastem.load(tmp_path / "model.npz").n_threads is None


def test_a_worker_process_uses_the_threads_that_it_was_given():
    result = run(
        """
import joblib
def work(seed):
    return numba.config.NUMBA_NUM_THREADS, GaussianMixture(3, random_state=seed, max_iter=9, n_threads=3).fit(X).means_
here = [work(seed) for seed in range(2)]
with joblib.parallel_config("loky", inner_max_num_threads=1):
    there = joblib.Parallel(n_jobs=2)(joblib.delayed(work)(seed) for seed in range(2))
print([n for n, _ in here + there], all(np.array_equal(a, b) for (_, a), (_, b) in zip(here, there)))
""",
        NUMBA_NUM_THREADS="3",
    )
    assert result.stdout.strip() == "[3, 3, 1, 1] True", result.stderr


@pytest.mark.parametrize("layer", LAYERS)
def test_a_fit_inside_a_parallel_loop(layer):
    result = run_under(
        layer,
        """
alone, inside = fit(), []
def append():
    inside.append(fit())
@numba.njit(parallel=True)
def loop(n):
    for i in numba.prange(n):
        with numba.objmode():
            append()
loop(4)
print(len(inside), all(np.array_equal(means, alone) for means in inside), numba.threading_layer())
""",
        NUMBA_NUM_THREADS="2",
    )
    assert result.stdout.split() == ["4", "True", layer], result.stderr


# Threads of the libraries that work between passes.


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def openmp_threads():
    return {library["num_threads"] for library in threadpool_info() if library["prefix"] == "libgomp"}


@pytest.fixture
def two_blas_threads():
    with threadpool_limits(2, user_api="blas"):
        yield


def hold_in_thread():
    """A hold on another thread, and the function that ends it."""
    begun, finish = threading.Event(), threading.Event()

    def hold():
        with blas_single_threaded(None):
            begun.set()
            finish.wait()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    begun.wait()

    def end():
        finish.set()
        thread.join()

    return end


@pytest.mark.usefixtures("two_blas_threads")
def test_blas_has_one_thread_while_any_fit_runs_in_whatever_order_they_end():
    assert blas_threads() == {2}
    first, second = hold_in_thread(), hold_in_thread()
    assert blas_threads() == {1}
    first()
    assert blas_threads() == {1}
    with blas_single_threaded(None):
        second()
        assert blas_threads() == {1}
    assert blas_threads() == {2}


@pytest.mark.skipif(not openmp_threads(), reason="scikit-learn has another OpenMP here")
def test_openmp_has_the_threads_of_the_fit():
    with threadpool_limits(3, user_api="openmp"):
        with blas_single_threaded(None):
            assert openmp_threads() == {3}
        with blas_single_threaded(1):
            assert openmp_threads() == {1}
        assert openmp_threads() == {3}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_keeps_the_holds_of_its_own_thread_only():
    result = run(
        """
from threadpoolctl import threadpool_limits
from tests.passes.test_threads import blas_threads, hold_in_thread, blas_single_threaded
threadpool_limits(2, user_api="blas")
end = hold_in_thread()
def in_child(report):
    if os.fork() == 0:
        report()
        os._exit(0)
    os.wait()
in_child(lambda: print(blas_threads(), flush=True))
with blas_single_threaded(None):
    if os.fork() == 0:
        print(blas_threads(), flush=True)
        holding = True
    else:
        os.wait()
        holding = False
if holding:
    print(blas_threads(), flush=True)
    os._exit(0)
end()
print(blas_threads())
""",
        PYTHONPATH=str(ROOT),
    )
    assert result.stdout.splitlines() == ["{2}", "{1}", "{2}", "{2}"], result.stderr


def cached(directory):
    return sorted(path.name for path in Path(directory).rglob("*.kernel"))


def test_a_second_process_compiles_nothing(fitted_cache):
    files = cached(fitted_cache)
    assert len(files) == 2, "one pass for one family, and the loop of all passes"
    compiled = run(
        """
fit()
GaussianMixture(3, n_init=1, random_state=0, max_iter=3).fit(X.astype(np.float32), sample_weight=np.ones(len(X)))
GaussianMixture(3, n_init=1, random_state=0, max_iter=3).fit(np.asfortranarray(X)[::2])
GaussianMixture(3, n_init=1, random_state=0, max_iter=3).fit(X[:, 0].astype(int))
from fastem.passes.row_pass import compiled_fused_pass
stats = compiled_fused_pass.dispatcher.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
""",
        NUMBA_CACHE_DIR=str(fitted_cache),
    )
    assert compiled.stdout.split() == ["1", "0"], compiled.stderr
    assert cached(fitted_cache) == files, "weights, dtypes and memory orders share one compiled pass"


def test_an_edited_family_is_compiled_again():
    """numba's own key knows nothing of the families; ours changes with their source."""
    from fastem.families.columns.base import ColumnParams
    from fastem.families.gaussian.family import GaussianFullParams
    from fastem.passes import blocks

    assert blocks.fingerprint(GaussianFullParams) == blocks.fingerprint(GaussianFullParams)
    assert blocks.fingerprint(GaussianFullParams) != blocks.fingerprint(ColumnParams)


def test_kernels_run_as_plain_python():
    """With the JIT switched off, where coverage and a debugger can follow, they agree with their naive twins too."""
    # One feature, few, and more than a tile has.
    sizes = "naive and (3-1 or 3-3 or 2-5 or weighted)"
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/laws/test_parity.py", "-k", sizes],
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=ROOT,
        timeout=600,
    )
    assert tests.returncode == 0, tests.stdout
    assert " passed" in tests.stdout
