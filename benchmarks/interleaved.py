"""Two versions of the package measured in turn: one process each, call by call, so that noise meets both alike."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SERVER = Path(__file__).with_name("key.py")
TREES = ROOT / ".asv" / "trees"
MIN_ROUNDS = 7


# Versions of the package, each in a directory of its own.


def git(*arguments: str, root: Path = ROOT) -> str:
    """What git prints.

    Raises
    ------
    ValueError
        With git's own words, when it fails.
    """
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def checked_out(revision: str, trees: Path = TREES, root: Path = ROOT) -> Path:
    """A directory with the package as of a revision; its kernels are kept beside it, for the next time.

    Raises
    ------
    ValueError
        When there is no such revision.
    """
    home = trees / git("rev-parse", f"{revision}:fastem", root=root)[:16]
    if not (home / "fastem").exists():
        home.mkdir(parents=True, exist_ok=True)
        archive = subprocess.run(["git", "archive", revision, "fastem"], cwd=root, check=True, stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", str(home)], input=archive.stdout, check=True)
    return home


def as_it_stands(trees: Path = TREES, root: Path = ROOT) -> Path:
    """A directory with the package as it stands in the working tree, committed or not."""
    files = sorted((root / "fastem").rglob("*.py"))
    digest = hashlib.blake2b(digest_size=8)
    for path in files:
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    home = trees / digest.hexdigest()
    if not (home / "fastem").exists():
        shutil.copytree(root / "fastem", home / "fastem", ignore=shutil.ignore_patterns("__pycache__"))
    return home


# Processes.


@dataclass
class Version:
    """A process that runs the benchmarks in one version of the package.

    Attributes
    ----------
    answers : dict
        The log-likelihood, in nats per row, that each benchmark reaches.
    counts : dict
        Counts that are the same on every run.
    missing : dict
        Why a benchmark cannot run in this version.
    """

    process: subprocess.Popen[str]
    home: Path
    answers: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def wait_until_ready(self) -> None:
        """Read what it tells when all is set up and compiled."""
        told = self._read()
        if not Path(told["package"]).is_relative_to(self.home):
            raise RuntimeError(f"The package was to be that of {self.home}, and is {told['package']}.")
        self.answers, self.counts, self.missing = told["answers"], told["counts"], told["missing"]

    def kernel_bytes(self) -> int:
        """Machine code on disk, of this process and of earlier ones with the same package."""
        # Those of versions that left them to numba have another suffix.
        files = [path for suffix in ("kernel", "nbc") for path in (self.home / "kernels").rglob(f"*.{suffix}")]
        return sum(path.stat().st_size for path in files)

    def seconds(self, name: str) -> float:
        """Time of one call."""
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        return float(self._read())

    def _read(self) -> Any:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"The benchmarks of {self.home} ended with exit code {self.process.wait()}.")
        return json.loads(line)


def _started(home: Path, names: Sequence[str]) -> Version:
    environment = os.environ | {
        "PYTHONPATH": str(home),
        "NUMBA_CACHE_DIR": str(home / "kernels"),
        "PYTHONHASHSEED": "0",
        # Threads that wait for each other must not take processor time for it.
        "OMP_WAIT_POLICY": "passive",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-P", str(SERVER), *names]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return Version(subprocess.Popen(command, env=environment, text=True, **pipes), home)


@contextmanager
def versions(homes: Iterable[Path], names: Sequence[str]) -> Iterator[list[Version]]:
    """Processes for some directories, set up at the same time, and ended when the block is left."""
    started: list[Version] = []
    try:
        for home in homes:
            started.append(_started(home, names))
        for version in started:
            version.wait_until_ready()
        yield started
    finally:
        for version in started:
            version.process.kill()
            version.process.communicate()


# Measuring.


class Times(NamedTuple):
    """Seconds of calls of two versions, taken in turn: the n-th of one is next to the n-th of the other."""

    base: np.ndarray
    head: np.ndarray

    @property
    def ratio(self) -> float:
        """Median of head / base over neighbours: what lasts longer than a pair of calls meets both."""
        return float(np.median(self.head / self.base))

    @property
    def ratio_of_best(self) -> float:
        """Best of head / best of base: what only comes and goes meets neither."""
        return float(self.head.min() / self.base.min())

    @property
    def slowdown(self) -> float:
        """The smaller of both: noise seldom moves them the same way."""
        return min(self.ratio, self.ratio_of_best)


def measure(base: Version, head: Version, name: str, seconds: float, base_name: str | None = None) -> Times:
    """Call both in turn for about so many seconds; who goes first alternates.

    `base_name` is what the base is to run instead, where it has nothing of that name.
    """
    of_base = base_name or name
    pairs: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(pairs) < MIN_ROUNDS or time.perf_counter() < end:
        if len(pairs) % 2:
            after, before = head.seconds(name), base.seconds(of_base)
            pairs.append((before, after))
        else:
            pairs.append((base.seconds(of_base), head.seconds(name)))
    times = np.array(pairs)
    return Times(times[:, 0], times[:, 1])
