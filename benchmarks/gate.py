"""Does the package as it stands cost more than an earlier version? Exit code 1 if it does.

`python -m benchmarks.gate` measures the key benchmarks of both versions in turn. One that looks slower is measured
again in new processes, and is a regression only if it is slower every time. Counts, which have no noise, are
compared once; so are log-likelihoods, because a wrong kernel may be fast.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import interleaved
from benchmarks.interleaved import Version, git
from benchmarks.key import COUNTS, KEY

FACTOR = 1.15
REPEATS = 3
SECONDS = 2.0
# Log-likelihoods of equal arithmetic differ by rounding only.
TOLERANCE = 1e-6


class Finding(NamedTuple):
    """What is said of one benchmark: a line, and whether it is a regression."""

    name: str
    text: str
    failed: bool

    def __str__(self) -> str:
        return f"{self.name:<26}{self.text}{'  REGRESSION' if self.failed else ''}"


def default_base() -> str:
    """The last release, or else where this branch left main, or else the commit before this one."""
    releases = git("tag", "--list", "v[0-9]*", "--merged", "HEAD", "--sort=-creatordate").splitlines()
    if releases:
        return releases[0]
    here, merge_base = git("rev-parse", "HEAD"), git("merge-base", "HEAD", "main")
    return merge_base if merge_base != here else "HEAD^"


def compared_counts(base: Version, head: Version, factor: float) -> list[Finding]:
    """Counts of both versions, side by side."""
    return [
        Finding(name, f"{base.counts[name]:>12} -> {count:>12}", count > factor * base.counts[name])
        for name, count in head.counts.items()
        if name in base.counts
    ]


def compared_answers(base: Version, head: Version) -> list[Finding]:
    """Benchmarks that do not reach the log-likelihood that they reached."""
    return [
        Finding(name, f"log-likelihood {base.answers[name]:.9f} -> {answer:.9f} nats per row", True)
        for name, answer in head.answers.items()
        if name in base.answers and answer < base.answers[name] - TOLERANCE * abs(base.answers[name])
    ]


def lost(base: Version, head: Version) -> list[Finding]:
    """Benchmarks that this version does not run, which is a regression where the earlier one does."""
    return [Finding(name, f"does not run: {why}", name not in base.missing) for name, why in head.missing.items()]


class Gate:
    """Measures two versions until it is known which benchmarks are slower in the second one.

    Parameters
    ----------
    homes : sequence of Path
        The earlier version and the later one.
    factor : float
        By how much slower is too slow.
    seconds : float
        For each benchmark and repetition.
    notify : callable
        Takes lines of text, each as soon as it is known.
    """

    def __init__(self, homes: Sequence[Path], factor: float, seconds: float, notify: Callable[[str], None] = print):
        self.homes, self.factor, self.seconds, self.notify = homes, factor, seconds, notify

    def run(self, names: Sequence[str]) -> list[Finding]:
        """Findings that fail, after so many repetitions as it takes."""
        with interleaved.versions(self.homes, [*names, *COUNTS]) as (base, head):
            if set(names) == set(KEY):
                # Of fewer benchmarks, an earlier run may have left more kernels than this one needs.
                for version in (base, head):
                    version.counts["bytes of kernels"] = version.kernel_bytes()
            findings = lost(base, head) + compared_answers(base, head) + compared_counts(base, head, self.factor)
            common = [name for name in names if name in base.answers and name in head.answers]
            if not common:
                findings.append(Finding("nothing", "was measured: no benchmark runs in both versions", True))
            for finding in findings:
                self.notify(str(finding))
            suspected = self._slower(base, head, common)
        for repeat in range(1, REPEATS):
            if not suspected:
                break
            self.notify(f"Measured again in new processes, {repeat} of {REPEATS - 1}:")
            with interleaved.versions(self.homes, [finding.name for finding in suspected]) as (base, head):
                suspected = self._slower(base, head, [finding.name for finding in suspected])
        return [finding for finding in findings if finding.failed] + suspected

    def _slower(self, base: Version, head: Version, names: Iterable[str]) -> list[Finding]:
        findings = []
        for name in names:
            times = interleaved.measure(base, head, name, self.seconds)
            text = f"{1e3 * times.base.min():>9.2f} ms -> {1e3 * times.head.min():>9.2f} ms"
            text += f"  x {times.ratio:.2f}, of the best x {times.ratio_of_best:.2f}"
            self.notify(f"{name:<26}{text}{'  suspected' if times.slowdown > self.factor else ''}")
            findings.append(Finding(name, text, times.slowdown > self.factor))
        return [finding for finding in findings if finding.failed]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--base", help="revision to compare with (default: last release, merge base or parent)")
    parser.add_argument("--head", help="revision that is judged (default: the working tree as it stands)")
    parser.add_argument("--bench", default="", metavar="TEXT", help="only benchmarks whose names contain TEXT")
    parser.add_argument("--factor", type=float, default=FACTOR, help="slower by more fails (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each benchmark (default: %(default)s)")
    given = parser.parse_args(arguments)
    names = [name for name in KEY if given.bench in name]
    if not names:
        parser.error(f"no benchmark has {given.bench!r} in its name; there are: {', '.join(KEY)}")
    try:
        base = given.base or default_base()
        homes = [
            interleaved.checked_out(base),
            interleaved.checked_out(given.head) if given.head else interleaved.as_it_stands(),
        ]
    except ValueError as error:
        parser.error(str(error))
    print(f"{given.head or 'the working tree'} against {base} ({git('rev-parse', '--short', base)})", flush=True)
    regressions = Gate(homes, given.factor, given.seconds, lambda line: print(line, flush=True)).run(names)
    for finding in regressions:
        print(finding)
    print(f"{len(regressions) or 'no'} regression{'' if len(regressions) == 1 else 's'} beyond x {given.factor}")
    return 1 if regressions else 0


if __name__ == "__main__":
    sys.exit(main())
