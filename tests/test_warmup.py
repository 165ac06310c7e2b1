"""Compilation: when it happens, what is told of it, and where its result is kept."""

from __future__ import annotations

import doctest
import errno
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import joblib
import numba
import numpy as np
import pytest
from numba.core.caching import IndexDataCacheFile

import fastem
from fastem import GaussianMixture, _jit, kernel
from fastem.estimators import _running, _warmup
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")

PACKAGE = ROOT / "fastem"
LOOP = """
from numba import prange

def double(x):
    for i in prange(x.shape[0]):
        x[i] = 2 * x[i]
"""


class Doubling:
    """A pass that is compiled in half a second, in a file and with a cache of its own."""

    def __init__(self, directory, monkeypatch, cache):
        path = directory / "loop.py"
        path.write_text(LOOP)
        spec = importlib.util.spec_from_file_location("loop", path)
        module = importlib.util.module_from_spec(spec)
        # numba imports it again to load a kernel whose first copy is gone.
        monkeypatch.setitem(sys.modules, "loop", module)
        spec.loader.exec_module(module)
        monkeypatch.setattr(numba.config, "CACHE_DIR", str(cache))
        self.function = module.double
        self.cache = cache

    def run(self, fingerprint="a", dtype=np.float64):
        """What is told by the pass as another process would meet it, once its result has been checked."""
        told = []
        x = np.arange(5, dtype=dtype)
        with _jit.telling(told.append):
            fresh = _jit.Pass(self.function, lambda sig: fingerprint)
            fresh(x)
            fresh(x)
        assert x.tolist() == [0, 4, 8, 12, 16]
        return told


@pytest.fixture
def doubling(tmp_path, monkeypatch):
    return Doubling(tmp_path, monkeypatch, tmp_path / "cache")


def test_a_compilation_is_told_once_and_a_load_is_not(doubling):
    (directory,) = doubling.run()
    assert Path(directory).is_relative_to(doubling.cache)
    assert doubling.run() == []


def test_another_fingerprint_or_type_is_another_kernel(doubling):
    assert len(doubling.run("a")) == 1
    assert len(doubling.run("b")) == 1
    assert len(doubling.run("a", np.float32)) == 1
    assert doubling.run("a") == doubling.run("b") == doubling.run("a", np.float32) == []


def test_damaged_files_are_written_anew(doubling):
    doubling.run()
    for suffix in ("nbi", "nbc"):
        for path in doubling.cache.rglob(f"*.{suffix}"):
            path.write_bytes(path.read_bytes()[:40])
        assert len(doubling.run()) == 1
        assert doubling.run() == []


def test_a_kernel_of_other_types_under_the_same_name_is_not_run(doubling):
    """Two processes that save at once may give two kernels one file."""
    doubling.run(dtype=np.float64)
    doubling.run(dtype=np.int32)
    first, second = sorted(doubling.cache.rglob("*.nbc"))
    first.write_bytes(second.read_bytes())
    told = [doubling.run(dtype=dtype) for dtype in (np.float64, np.int32)]
    assert sorted(map(len, told)) == [0, 1]


def test_a_full_disk_is_no_error(doubling, monkeypatch):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(IndexDataCacheFile, "save", fail)
    assert len(doubling.run()) == len(doubling.run()) == 1


def test_sources_that_cannot_be_read_are_not_cached(doubling):
    def unreadable(sig):
        raise FileNotFoundError

    for _ in range(2):
        fresh = _jit.Pass(doubling.function, unreadable)
        fresh(np.arange(3.0))
    assert not list(doubling.cache.rglob("*.nbc"))


def test_no_directory_at_all_is_told(tmp_path, monkeypatch):
    (tmp_path / "__pycache__").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "__pycache__"))
    if sys.platform != "linux":
        pytest.skip("the user's cache directory is elsewhere")
    doubling = Doubling(tmp_path, monkeypatch, tmp_path / "__pycache__" / "cache")
    assert doubling.run() == doubling.run() == [None]


# The digest of the sources.


@pytest.fixture
def copied(tmp_path):
    root = tmp_path / "fastem"
    shutil.copytree(PACKAGE, root, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def zipped(package, archive):
    with zipfile.ZipFile(archive, "w") as members:
        for path in package.rglob("*.py"):
            members.write(path, path.relative_to(package.parent))
    return archive


def test_an_edit_changes_the_digest_and_a_zip_archive_does_not(copied, tmp_path):
    digests = [_jit.source_digest(PACKAGE), _jit.source_digest(copied)]
    digests.append(_jit.source_digest(zipped(copied, tmp_path / "a.zip") / "fastem"))
    assert len(set(digests)) == 1
    family = copied / "families" / "gaussian_full.py"
    family.write_text(family.read_text() + "\n")
    edited = [_jit.source_digest(copied), _jit.source_digest(zipped(copied, tmp_path / "b.zip") / "fastem")]
    assert len({*digests, *edited}) == 2


def test_an_edit_of_what_is_not_compiled_keeps_the_digest(copied):
    (copied / "cli.py").write_text("")
    assert _jit.source_digest(copied) == _jit.source_digest(PACKAGE)


def test_no_sources_no_digest(tmp_path):
    with pytest.raises(FileNotFoundError, match="no sources"):
        _jit.source_digest(tmp_path)
    with pytest.raises(OSError, match="absent"):
        _jit.file_digest(tmp_path / "absent.py")


def test_every_file_with_compiled_code_is_in_the_digest():
    compiled = r"@(block|exact)_function|^\w* ?= (block|exact)_function\(|register_(family|latent)\(|prange\("
    files = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    missed = [path for path in files if re.search(compiled, (PACKAGE / path).read_text(), re.M)]
    assert len(missed) > 5
    assert [path for path in missed if not _jit._is_compiled(path)] == []


# Ways to install.

FIT = """
import numpy as np, fastem
X = np.concatenate([np.zeros(30), np.ones(30)]) + np.linspace(0, 0.1, 60)
mixture = fastem.GaussianMixture(
    2, covariance_type="spherical", init_params="random_from_data", random_state=0, verbose=1, verbose_interval=10**6
)
print(fastem.__file__)
print(np.sort(mixture.fit(X).means_[:, 0]).round(3).tolist())
"""


def run(code, installed, tmp_path, **environment):
    """Output of a process that imports the package from `installed`, where the user's own directories are empty."""
    clean = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    clean |= {"PYTHONPATH": str(installed), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, env=clean | environment, cwd=tmp_path, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_fit_from_a_zip_archive(tmp_path):
    archive = zipped(PACKAGE, tmp_path / "installed.zip")
    first, second = (run(FIT, archive, tmp_path) for _ in range(2))
    for output in (first, second):
        assert str(archive) in output
        assert output.splitlines()[-1] == "[0.025, 1.075]"
    assert "compiling the kernel that fits mixtures of spherical Gaussians" in first
    assert "once for each machine" in first
    assert "compiling" not in second


def test_a_fit_where_nothing_can_be_written(copied, tmp_path):
    # A file in the place of a directory stops even a superuser.
    locked = copied / "__pycache__"
    locked.touch()
    nowhere = str(locked / "cache")
    output = run(FIT, tmp_path, tmp_path, NUMBA_CACHE_DIR=nowhere, XDG_CACHE_HOME=nowhere, HOME=nowhere)
    assert str(copied) in output
    assert "in every process" in output
    assert "set the environment variable NUMBA_CACHE_DIR" in output
    assert output.splitlines()[-1] == "[0.025, 1.075]"


def test_a_read_only_installation_keeps_kernels_in_the_users_cache(copied, tmp_path):
    (copied / "__pycache__").touch()
    output = run(
        "from fastem import kernel; print(kernel._compiled_fused_pass._parallel._cache.cache_path)", tmp_path, tmp_path
    )
    assert Path(output.strip()).is_relative_to(tmp_path / "cache")


# Warming up, and what an estimator tells.


def kernels(covariance_type):
    name = f"Gaussian{covariance_type.capitalize()}Params"
    passes = (kernel._compiled_fused_pass, kernel._compiled_score_pass)
    return [sum(name in str(sig[0]) for sig in dispatcher._parallel.overloads) for dispatcher in passes]


def test_warmup_compiles_all_that_a_user_may_run(tmp_path):
    fastem.warmup("diag")
    assert kernels("diag") == [2, 2], "one for few components, one for many"
    labels = np.arange(400) % 40
    many = GaussianMixture(40, covariance_type="diag", init_params=labels, tol=1e-2)
    many.fit(np.column_stack([1e3 * labels, np.arange(400) // 40])).predict(np.ones((3, 2)))
    X = np.random.default_rng(0).normal(size=(400, 3))
    means = np.asfortranarray(X[:2])
    for rows in (X, X.astype(np.float32), np.asfortranarray(X), X[::2], X.astype(int)):
        mixture = GaussianMixture(2, covariance_type="diag", means_init=means, tol=1e-2).fit(rows)
        mixture.score(rows, sample_weight=np.ones(len(rows)))
        mixture.predict_proba(rows)
    mixture.save(tmp_path / "model.npz")
    fastem.load(tmp_path / "model.npz").predict(X)
    joblib.dump(mixture, tmp_path / "model.joblib")
    joblib.load(tmp_path / "model.joblib", mmap_mode="r").predict(X)
    mixture.set_params(warm_start=True, means_init=None).fit(X)
    given = GaussianMixture.from_parameters(
        [0.5, 0.5], means, np.asfortranarray(mixture.covariances_), covariance_type="diag"
    )
    given.score_samples(X)
    GaussianMixture.from_sklearn(given.to_sklearn()).predict(X)
    assert kernels("diag") == [2, 2]


def test_warmup_tells_what_was_found(capsys):
    fastem.warmup("diag")
    assert capsys.readouterr().out == ""
    fastem.warmup(("diag", "diag"), verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(r"\d+\.\d", "#", line) for line in lines] == ["diag ... # s, found on disk"] * 2


def test_the_example_of_warmup():
    assert doctest.testmod(_warmup) == (0, 2)


def test_warmup_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match=r"no family 'round'\. Choose among full, tied, diag, spherical"):
        fastem.warmup(("full", "round"))


def test_warmup_warns_when_nothing_is_kept(monkeypatch):
    monkeypatch.setattr(_warmup, "_warm", lambda name, hmm, verbose: [None])
    with pytest.warns(RuntimeWarning, match="serve this process only.*NUMBA_CACHE_DIR"):
        fastem.warmup("full")


@pytest.fixture
def compiling(monkeypatch):
    """Every pass tells that it is compiled into a directory."""

    class Compiling(_jit.Pass):
        def __init__(self, original):
            self._parallel = self._serial = lambda *arguments: (_jit._tell("directory"), original(*arguments))

    for name in ("_compiled_fused_pass", "_compiled_score_pass"):
        monkeypatch.setattr(kernel, name, Compiling(getattr(kernel, name)))


def test_a_verbose_estimator_tells_of_compilation(compiling, capsys):
    X = np.arange(6.0)
    quiet = GaussianMixture(covariance_type="diag").fit(X)
    quiet.predict(X)
    assert "compiling" not in capsys.readouterr().out
    mixture = GaussianMixture(covariance_type="diag", verbose=1).fit(X)
    assert "compiling the kernel that fits mixtures of diag Gaussians" in capsys.readouterr().out
    for method in (mixture.predict, mixture.predict_proba, mixture.score_samples, mixture.score, mixture.bic):
        method(X)
        assert "compiling the kernel that scores rows under diag Gaussians" in capsys.readouterr().out
    lines = []
    with _running.telling_compilations_to(lines.append):
        quiet.predict(X)
        mixture.predict(X)
    assert len(lines) == 2
    assert capsys.readouterr().out == ""
