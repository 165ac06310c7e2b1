"""How a pass becomes machine code, and how its loop runs."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import numba
import numpy as np
import pytest

from fastem.passes import linking, threads
from fastem.passes.flags import block_function
from fastem.passes.lanes import WORK_OF_THREAD, useful_threads
from fastem.passes.loop import over_lanes
from fastem.passes.rows import rows_of

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")

BITS = """
import hashlib, numpy as np
from fastem import GaussianMixture
from fastem.passes.cache import on_compile
told, bits = [], []
for n_features, n_components in (1, 3), (3, 2), (9, 5):
    X = np.random.default_rng(0).normal(size=(5000, n_features))
    mixture = GaussianMixture(
        n_components, covariance_type="spherical", random_state=0, max_iter=3, tol=0, n_threads={n_threads}
    )
    with on_compile(told.append):
        mixture.fit(X)
        for result in (mixture.means_, mixture.covariances_, mixture.score_samples(X), mixture.predict_proba(X)):
            bits.append(result.tobytes())
print(len(told), hashlib.sha256(b"".join(bits)).hexdigest())
"""


def test_a_process_that_compiles_gives_the_bits_of_one_that_loads(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONWARNINGS": "ignore"}

    def run(n_threads):
        command = [sys.executable, "-c", BITS.format(n_threads=n_threads)]
        return subprocess.check_output(command, env=environment, text=True, timeout=600).split()

    n_compiled, bits = run(None)
    assert n_compiled == "2", "the pass of the fit, and that of predictions"
    assert run(None) == run(1) == ["0", bits]


AFTER = """
import numpy as np
from fastem import GaussianMixture
GaussianMixture(covariance_type="{}", max_iter=0).fit(np.arange(9.0))
"""


def test_a_pass_from_disk_has_its_threads_where_the_loop_came_from_disk_first(tmp_path):
    """The second process compiles a pass with the loop that the first one kept; the third one finds both."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    for covariance_type in ("diag", "spherical", "spherical"):
        command = [sys.executable, "-c", AFTER.format(covariance_type)]
        subprocess.run(command, env=environment, check=True, timeout=600)


@block_function
def _doubled(x):
    return 2.0 * x


@block_function
def _double_one(x, lane):
    x[lane] = _doubled(x[lane])


_double_all = over_lanes(_double_one)


def _double(serial, x):
    return _double_all(serial, x.shape[0], (x,))


@block_function
def _fail_at_three(x, lane):
    if lane == 3:
        raise ValueError("a block function of a user says no")


_fail_all = over_lanes(_fail_at_three)


def _fail(serial, x):
    return _fail_all(serial, x.shape[0], (x,))


def new_pass(function):
    return threads.Pass(function, lambda sig: "of this test")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))


def test_only_the_outermost_function_becomes_machine_code(empty_cache, monkeypatch):
    generated = []
    original = linking._Library._generate
    monkeypatch.setattr(
        linking._Library, "_generate", lambda library: (generated.append(library.name), original(library))
    )
    x = np.arange(5.0)
    new_pass(_double)(x)
    assert x.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert "_double" in generated
    assert not {"_doubled", "_double_one"} & set(generated)


def test_functions_of_others_are_compiled_as_ever(empty_cache):
    """What numba has put together for a pass, as its own functions of arrays, must serve everybody else."""
    new_pass(_double)(np.arange(5.0))

    @numba.njit
    def others(x):
        _double_one(x, 1)
        return _doubled(np.sum(x))

    assert others(np.arange(3.0)) == 8.0
    assert gc.isenabled()


@pytest.mark.parametrize("n_rows", [1, 5])
def test_a_later_numba_compiles_passes_as_everything_else(empty_cache, monkeypatch, n_rows):
    monkeypatch.setattr(linking, "_LAST_KNOWN", (0, 0))
    generated = []
    monkeypatch.setattr(linking._Library, "_generate", lambda library: generated.append(library.name))
    x = np.arange(float(n_rows))
    new_pass(_double)(x)
    assert x.tolist() == [2.0 * i for i in range(n_rows)]
    assert generated == []


@pytest.mark.parametrize("n_threads", [1, None])
def test_an_exception_in_a_block_function_is_told(n_threads):
    kind, words = (ValueError, "says no") if n_threads == 1 else (RuntimeError, "n_threads=1 tells which")
    with threads.threads(n_threads), pytest.raises(kind, match=words):
        new_pass(_fail)(np.arange(8.0))
    new_pass(_fail)(np.arange(3.0))


def test_threads_are_no_more_than_have_enough_to_do(monkeypatch):
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 8)
    monkeypatch.setattr(numba, "get_num_threads", lambda: in_numba)
    in_numba = 8

    def n_threads(n_rows, n_components, user=None):
        with threads.threads(user):
            return threads.threads_for(useful_threads(rows_of(np.empty((n_rows, 2))), n_components))

    rows_of_one = WORK_OF_THREAD // 4
    assert n_threads(100, 1) == n_threads(rows_of_one, 1) == n_threads(2000, 1000) == 1
    assert n_threads(3 * rows_of_one, 1) == 3
    assert n_threads(3 * rows_of_one, 1, user=2) == 2
    assert n_threads(8 * rows_of_one, 1) is None
    in_numba = 4
    assert n_threads(3 * rows_of_one, 1) == 3
    assert n_threads(5 * rows_of_one, 1) is None


@pytest.mark.skipif(sys.platform != "linux", reason="GNU OpenMP tells how its threads wait")
@pytest.mark.parametrize("said", [{}, {"GOMP_SPINCOUNT": "77"}])
def test_threads_of_openmp_sleep_unless_the_user_says_how_they_wait(said):
    pytest.importorskip("numba.np.ufunc.omppool")
    code = "import os; from fastem.passes import threads; threads._load_openmp(); import numba.np.ufunc.omppool"
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    result = subprocess.run(
        [sys.executable, "-c", f"{code}; print('OMP_WAIT_POLICY' in os.environ)"],
        env={**environment, **said, "OMP_DISPLAY_ENV": "verbose"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.stdout.split() == ["False"], result.stderr
    assert f"GOMP_SPINCOUNT = '{said.get('GOMP_SPINCOUNT', 0)}'" in result.stderr
