"""The gate sees a slowdown that was planted, and nothing where there is none."""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import contextmanager

import numba
import numpy as np
import pytest

from benchmarks import gate, interleaved
from benchmarks.gate import FACTOR, REPEATS, Gate
from benchmarks.interleaved import Times
from benchmarks.key import COUNTS, KEY
from tests.conftest import ROOT

ONE = "fit D=1 K=3"


class Noisy:
    """A version whose calls take a millisecond or so, on a machine where others work too."""

    def __init__(self, random, slowdown=1.0, **told):
        self.random, self.slowdown = random, slowdown
        self.missing = told.get("missing", {})
        self.counts = dict.fromkeys(COUNTS, 9) | told.get("counts", {})
        answers = dict.fromkeys(KEY, -2.0) | told.get("answers", {})
        self.answers = {name: answer for name, answer in answers.items() if name not in self.missing}

    def kernel_bytes(self):
        return 10**6

    def seconds(self, name):
        busy = 3.0 if self.random.random() < 0.2 else 1.0
        return 1e-3 * self.slowdown * busy * (1.0 + self.random.exponential(0.3))


@pytest.fixture
def judged(monkeypatch):
    """A function that lets the gate judge two noisy versions; it gives the names that failed, and the repetitions."""
    monkeypatch.setattr(interleaved, "MIN_ROUNDS", 60)

    def judge(seed, *, names=tuple(KEY), slowdown=(1.0,) * REPEATS, base=None, head=None):
        random, starts = np.random.default_rng(seed), []

        @contextmanager
        def versions(homes, names):
            starts.append(names)
            yield [Noisy(random, **base or {}), Noisy(random, slowdown[len(starts) - 1], **head or {})]

        monkeypatch.setattr(interleaved, "versions", versions)
        findings = Gate((), FACTOR, 0.0, lambda line: None).run(names)
        return [finding.name for finding in findings], len(starts)

    return judge


def test_no_change_is_quiet_ten_times_of_ten(judged):
    assert [judged(seed)[0] for seed in range(10)] == [[]] * 10


def test_a_slowdown_is_caught_ten_times_of_ten(judged):
    names = ["fit D=8 K=16"]
    assert [judged(seed, names=names, slowdown=(1.5,) * REPEATS) for seed in range(10)] == [(names, REPEATS)] * 10


def test_a_slowdown_that_does_not_repeat_is_no_regression(judged):
    assert judged(0, names=["fit D=8 K=16"], slowdown=(2.0, 1.0, 1.0)) == ([], 2)


@pytest.mark.parametrize(
    ("told", "failed"),
    [
        ({"answers": {ONE: -2.01}}, [ONE]),
        ({"answers": {ONE: -1.99}}, []),
        ({"counts": {"passes of a fit": 12}}, ["passes of a fit"]),
        ({"counts": {"passes of a fit": 10}}, []),
        ({"missing": {ONE: "TypeError: gone"}}, [ONE]),
    ],
)
def test_what_has_no_noise_is_compared_once(told, failed, judged):
    assert judged(0, names=["fit D=8 K=16"], head=told) == (failed, 1)


def test_what_neither_version_runs_is_no_regression_unless_it_is_everything(judged):
    neither = {"missing": {ONE: "TypeError: not yet"}}
    assert judged(0, names=["fit D=8 K=16"], base=neither, head=neither) == ([], 1)
    nothing = {"missing": dict.fromkeys(KEY, "ImportError: no numba")}
    assert judged(0, base=nothing, head=nothing)[0] == ["nothing"]


def test_slowdown_is_the_more_cautious_of_two_ratios():
    times = Times(np.array([1.0, 2.0, 2.0]), np.array([1.5, 4.0, 4.0]))
    assert (times.ratio, times.ratio_of_best, times.slowdown) == (2.0, 1.5, 1.5)


@pytest.fixture
def repository(tmp_path):
    """A git repository with two commits on main and one on a branch."""

    def git(*arguments):
        return interleaved.git("-c", "user.name=n", "-c", "user.email=e", *arguments, root=tmp_path)

    git("init", "-q", "-b", "main")
    (tmp_path / "fastem").mkdir()
    for number, branch in enumerate(("main", "main", "branch")):
        if branch != "main":
            git("checkout", "-q", "-b", branch)
        (tmp_path / "fastem" / "x.py").write_text(f"x = {number}\n")
        git("add", ".")
        git("commit", "-q", "-m", str(number))
    return tmp_path, git


def test_what_a_branch_is_compared_with(repository, monkeypatch):
    root, git = repository
    monkeypatch.setattr(gate, "git", lambda *arguments: interleaved.git(*arguments, root=root))
    assert gate.default_base() == git("rev-parse", "main")
    git("tag", "v0.1.0", "main^")
    assert gate.default_base() == "v0.1.0"
    git("tag", "-d", "v0.1.0")
    git("checkout", "-q", "main")
    assert gate.default_base() == "HEAD^"


def test_directories_hold_the_package_of_a_revision_and_of_the_working_tree(repository, tmp_path):
    root, _ = repository
    trees = tmp_path / "trees"
    homes = [interleaved.checked_out(revision, trees, root) for revision in ("main^", "main", "HEAD")]
    assert [(home / "fastem" / "x.py").read_text() for home in homes] == ["x = 0\n", "x = 1\n", "x = 2\n"]
    (root / "fastem" / "x.py").write_text("x = 3\n")
    assert (interleaved.as_it_stands(trees, root) / "fastem" / "x.py").read_text() == "x = 3\n"
    with pytest.raises(ValueError, match="nothing:fastem"):
        interleaved.checked_out("nothing", trees, root)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--base", "nothing"], "nothing:fastem"), (["--bench", "nothing"], "there are: fit D=1 K=3")],
)
def test_wrong_usage_is_told(arguments, message, capsys):
    with pytest.raises(SystemExit) as error:
        gate.main(arguments)
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_a_package_from_elsewhere_is_refused(tmp_path):
    with (
        pytest.raises(RuntimeError, match="was to be that of"),
        interleaved.versions([tmp_path], []),
    ):
        pass


def test_the_script_runs_the_gate():
    done = subprocess.run([ROOT / ".ci" / "gate", "--help"], capture_output=True, text=True)
    if "No such file" in done.stderr:
        pytest.skip("there is no .venv here")
    assert "--factor" in done.stdout


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="the gate measures compiled kernels")
def test_a_slowdown_planted_in_a_kernel_is_caught(tmp_path):
    sound, slow = tmp_path / "sound", tmp_path / "slow"
    for home in (sound, slow):
        shutil.copytree(ROOT / "fastem", home / "fastem", ignore=shutil.ignore_patterns("__pycache__"))
    kernel = slow / "fastem" / "passes" / "row_pass.py"
    evaluation = r"( +)(n_components = block_log_prob\(.*\))\n"
    text, n_planted = re.subn(evaluation, r"\1for _ in range(100):\n\1    \2\n", kernel.read_text())
    kernel.write_text(text)
    assert n_planted > 0
    # Far above what a busy machine makes of equal versions, and far below what was planted.
    findings = Gate((sound, slow), 2.0, 0.5).run([ONE])
    assert [finding.name for finding in findings if finding.failed] == [ONE]
    assert Gate((sound, sound), 2.0, 0.5).run([ONE]) == []
