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
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

import joblib
import numba
import numpy as np
import pytest

import fastem
from fastem import GaussianMixture
from fastem.estimators import _warmup
from fastem.fitting import thread_limits
from fastem.passes import blocks, cache, row_pass, score_pass, threads
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")

PACKAGE = ROOT / "fastem"
LOOP = """
from numba import prange

def double(serial, x):
    if serial:
        for i in range(x.shape[0]):
            x[i] = 2 * x[i]
        return
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
        with cache.on_compile(told.append):
            fresh = threads.Pass(self.function, lambda sig: fingerprint)
            fresh(x)
            fresh(x)
        assert x.tolist() == [0, 4, 8, 12, 16]
        return told

    def kernels(self):
        return sorted(path for path in self.cache.rglob("*") if path.is_file())


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
    for damage in (lambda data: data[:40], lambda data: b"", lambda data: b"cfastem.gone\nGone\n."):
        (path,) = doubling.kernels()
        path.write_bytes(damage(path.read_bytes()))
        assert len(doubling.run()) == 1
        assert doubling.run() == []
        assert doubling.kernels() == [path]


def test_a_kernel_that_another_process_cannot_read_costs_no_other_one(doubling):
    """One of a family that a user wrote, say: numba's index of all kernels of a pass names its class."""
    doubling.run("a")
    doubling.run("b")
    first, _ = doubling.kernels()
    first.write_bytes(b"cmodule_of_a_user\nParams\n.")
    assert sorted(len(doubling.run(name)) for name in "ab") == [0, 1]


def test_a_kernel_of_other_types_under_the_same_name_is_not_run(doubling):
    """As of two classes of records of one name."""
    doubling.run(dtype=np.float64)
    doubling.run(dtype=np.int32)
    first, second = doubling.kernels()
    first.write_bytes(second.read_bytes())
    told = [doubling.run(dtype=dtype) for dtype in (np.float64, np.int32)]
    assert sorted(map(len, told)) == [0, 1]


def test_a_full_disk_is_no_error(doubling, monkeypatch):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    for module, name in ((os, "replace"), (Path, "write_bytes")):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, fail)
            assert len(doubling.run()) == len(doubling.run()) == 1
        assert doubling.kernels() == [], "no half file"


def test_sources_that_cannot_be_read_are_not_cached(doubling):
    def unreadable(sig):
        raise FileNotFoundError

    told = []
    for _ in range(2):
        fresh = threads.Pass(doubling.function, unreadable)
        with cache.on_compile(told.append):
            fresh(np.arange(3.0))
    assert doubling.kernels() == []
    assert told == [None, None], "every process compiles it"


def test_kernels_are_found_where_nothing_can_be_written(doubling, monkeypatch):
    """An image is made by one user and run by another."""
    doubling.run()
    monkeypatch.setattr(cache, "_can_be_written", lambda folder: False)
    assert doubling.run() == []
    assert doubling.run("b") == [None]
    assert len(doubling.kernels()) == 1


def test_a_kernel_that_holds_addresses_is_told_and_not_kept(doubling, monkeypatch):
    import ctypes

    doubling.function.__globals__["prange"] = numba.prange
    doubling.function.__globals__["address"] = ctypes.CFUNCTYPE(ctypes.c_double)(lambda: 2.0)
    code = "def double(serial, x):\n    for i in prange(x.shape[0]):\n        x[i] = address() * x[i]"
    exec(code, doubling.function.__globals__)
    doubling.function = doubling.function.__globals__["double"]
    with pytest.warns(RuntimeWarning, match="cannot be kept on disk"):
        doubling.run()
    assert doubling.kernels() == []


def folder_of_another_version(root, version, days):
    folder = root / f"fastem-{version}-{version:032x}"
    folder.mkdir(parents=True)
    for name in ("_fused_pass-0.kernel", "left.part"):
        (folder / name).touch()
    used = time.time() - 86_400 * days
    os.utime(folder, (used, used))
    return folder


def test_kernels_of_old_versions_are_removed_and_nothing_else(doubling):
    old = [folder_of_another_version(doubling.cache, version, 2 + version) for version in range(9)]
    lately = [folder_of_another_version(doubling.cache, 100 + version, 0.5) for version in range(2)]
    mine = doubling.cache / "fastem-mine"
    mine.mkdir()
    with_mine = folder_of_another_version(doubling.cache, 200, 400)
    (with_mine / "notes.txt").touch()
    os.utime(with_mine, (0, 0))
    elsewhere = doubling.cache.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.kernel").touch()
    link = doubling.cache / f"fastem-1-{1:032x}"
    shutil.rmtree(link)
    link.symlink_to(elsewhere)
    (directory,) = doubling.run()
    kept = {Path(directory), *lately, mine, with_mine, link, old[0]}
    assert set(doubling.cache.iterdir()) == kept
    assert os.listdir(with_mine) == ["notes.txt"]
    assert os.listdir(elsewhere) == ["a.kernel"]


def test_a_folder_that_is_used_is_not_old(doubling):
    (directory,) = doubling.run()
    os.utime(directory, (0, 0))
    assert doubling.run() == []
    assert os.stat(directory).st_mtime > time.time() - 3600


@pytest.mark.skipif(sys.platform != "linux", reason="the user's cache directory is elsewhere")
def test_the_users_cache_directory(tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    for unset in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert cache._folders() == [], "a home that is not there is not made"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert [folder.parent for folder in cache._folders()] == [tmp_path / "x" / "fastem"]
    home.mkdir()
    monkeypatch.delenv("XDG_CACHE_HOME")
    (folder,) = cache._folders()
    assert folder.parent == home / ".cache" / "fastem"
    assert cache.source_digest() in folder.name
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "named"))
    assert [each.parent for each in cache._folders()] == [tmp_path / "named", folder.parent]
    assert not any(tmp_path.rglob("fastem*"))


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
    digests = [cache.source_digest(PACKAGE), cache.source_digest(copied)]
    digests.append(cache.source_digest(zipped(copied, tmp_path / "a.zip") / "fastem"))
    assert len(set(digests)) == 1
    family = copied / "families" / "gaussian" / "full.py"
    family.write_text(family.read_text() + "\n")
    edited = [
        cache.source_digest(copied),
        cache.source_digest(zipped(copied, tmp_path / "b.zip") / "fastem"),
    ]
    assert len({*digests, *edited}) == 2


def test_an_edit_of_what_is_not_compiled_keeps_the_digest(copied):
    (copied / "cli.py").write_text("")
    assert cache.source_digest(copied) == cache.source_digest(PACKAGE)


def test_an_edit_of_a_family_that_runs_is_not_what_runs(tmp_path, monkeypatch):
    """Else old machine code would be kept as that of the new file."""
    path = tmp_path / "own_family.py"
    block = "def {}(family_params, components, x, {}):\n    pass\n"
    path.write_text(
        block.format("log_prob_block", "log_prob, scratch")
        + block.format("accumulate_block", "resp, scratch, family_stats, lane")
    )
    spec = importlib.util.spec_from_file_location("own_family", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    class OwnParams(NamedTuple):
        means: np.ndarray

    for registry in ("_implementations", "_digests"):
        monkeypatch.setattr(blocks, registry, dict(getattr(blocks, registry)))

    def registered():
        blocks.register_family(
            OwnParams, log_prob_block=module.log_prob_block, accumulate_block=module.accumulate_block
        )
        return blocks.fingerprint(OwnParams)

    before = registered()
    path.write_text(path.read_text() + "\n")
    assert blocks.fingerprint(OwnParams) == before
    assert registered() != before
    path.unlink()
    with pytest.raises(OSError, match="cannot be read"):
        registered()


def test_no_sources_no_digest(tmp_path):
    with pytest.raises(FileNotFoundError, match="no sources"):
        cache.source_digest(tmp_path)
    with pytest.raises(OSError, match="absent"):
        cache.file_digest(tmp_path / "absent.py")


def test_every_file_with_compiled_code_is_in_the_digest():
    compiled = r"@(block|exact)_function|^\w* ?= (block|exact)_function\(|register_(family|latent)\(|prange\("
    files = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    missed = [path for path in files if re.search(compiled, (PACKAGE / path).read_text(), re.M)]
    assert len(missed) > 5
    assert [path for path in missed if not cache._is_compiled(path)] == []


# Ways to install.

FIT = """
import numpy as np, fastem
X = np.concatenate([np.zeros(30), np.ones(30)]) + np.linspace(0, 0.1, 60)
mixture = fastem.GaussianMixture(
    2, n_init=1, covariance_type="spherical", init_params="random_from_data", random_state=0, verbose=1,
    verbose_interval=10**6,
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


def files_of(package):
    return {path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_a_fit_where_nothing_can_be_written(copied, tmp_path):
    # A file in the place of a directory stops even a superuser.
    locked = copied / "__pycache__"
    locked.touch()
    nowhere = str(locked / "cache")
    before = files_of(copied)
    output = run(FIT, tmp_path, tmp_path, NUMBA_CACHE_DIR=nowhere, XDG_CACHE_HOME=nowhere, HOME=nowhere)
    assert str(copied) in output
    assert "in every process" in output
    assert "set the environment variable NUMBA_CACHE_DIR" in output
    assert output.splitlines()[-1] == "[0.025, 1.075]"
    # An uninstallation would leave kernels behind, and an empty package with them.
    assert files_of(copied) == before


def test_equal_installations_share_kernels(tmp_path):
    """A zip archive, which compiles, and two copies, of which one has other times of files."""
    archive = zipped(PACKAGE, tmp_path / "installed.zip")
    output = run(FIT, archive, tmp_path)
    assert str(archive) in output
    assert "compiling the kernel that fits mixtures of spherical Gaussians" in output
    assert "once for each machine" in output
    (folder,) = (tmp_path / "cache" / "fastem").iterdir()
    kernels = files_of(folder)
    assert len(kernels) == 2, "the pass, and the loop that all passes share"
    for name, copy in (("one", shutil.copy2), ("other", shutil.copyfile)):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGE, tmp_path / name / "fastem", ignore=ignored, copy_function=copy)
    for installed in (archive, tmp_path / "one", tmp_path / "other"):
        output = run(FIT, installed, tmp_path)
        assert str(installed) in output
        assert "compiling" not in output
        assert output.splitlines()[-1] == "[0.025, 1.075]"
    assert files_of(folder) == kernels


# Warming up, and what an estimator tells.


def kernels(covariance_type):
    name = f"Gaussian{covariance_type.capitalize()}Params"
    passes = (row_pass.compiled_fused_pass, score_pass.compiled_score_pass)
    return [sum(name in str(sig[1]) for sig in one.dispatcher.overloads) for one in passes]


def test_warmup_compiles_all_that_a_user_may_run(tmp_path):
    fastem.warmup("diag")
    assert kernels("diag") == [2, 2], "one for few components, one for many"
    labels = np.arange(400) % 40
    many = GaussianMixture(40, covariance_type="diag", init_params=labels, tol=1e-2)
    narrow = np.random.default_rng(0).normal(size=400)
    many.fit(np.column_stack([1e3 * labels + narrow, narrow[::-1]])).predict(np.ones((3, 2)))
    X = 10.0 * np.random.default_rng(0).normal(size=(400, 3))
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
    with pytest.raises(ValueError, match=r"families='round' is not known\. Choose among 'full', 'tied'"):
        fastem.warmup(("full", "round"))


def test_warmup_warns_when_nothing_is_kept(monkeypatch):
    monkeypatch.setattr(_warmup, "_warm", lambda name, hmm, float32, verbose: [None])
    with pytest.warns(RuntimeWarning, match="serve this process only.*NUMBA_CACHE_DIR"):
        fastem.warmup("full")


@pytest.fixture
def compiling(monkeypatch):
    """Every pass tells that it is compiled into a directory."""

    class Compiling(threads.Pass):
        def __init__(self, original):
            self.dispatcher = lambda serial, *arguments: (cache._notify("directory"), original(*arguments))

    for module, name in ((row_pass, "compiled_fused_pass"), (score_pass, "compiled_score_pass")):
        monkeypatch.setattr(module, name, Compiling(getattr(module, name)))


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
    with thread_limits.compilation_lines_to(lines.append):
        quiet.predict(X)
        mixture.predict(X)
    assert len(lines) == 2
    assert capsys.readouterr().out == ""
