"""fastem and its peers, in the same process from the same parameters: time per iteration of EM and log-likelihood.

`python -m benchmarks.bench_versus` prints the table; with `--markdown`, ready for docs/performance.md.

The time per iteration is the difference between a longer and a shorter fit, divided by the iterations between them.
So whatever a fit does once cancels: validation, the survey of the data, the start, the last E-step.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from functools import cache, partial
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numba
import numpy as np

from benchmarks import common
from benchmarks.common import PROFILE, PROFILES, Workload
from benchmarks.peers import PEERS, Fit, fit_estimator
from fastem import GaussianMixture

WORKLOADS = common.stated_workloads()
SHORT, LONG = 1, 6


class Outcome(NamedTuple):
    """Seconds per iteration, one value for each round; log-likelihood per row after `LONG` iterations."""

    seconds: list[float]
    log_likelihood: float

    def ratio_to(self, other: Outcome) -> float:
        """Median over the rounds of the ratio of the times in that round."""
        return float(np.median(np.divide(self.seconds, other.seconds)))


class Pair(NamedTuple):
    """fastem and a peer on the same rows: those of the workload, or the fewer rows that the peer can cope with."""

    workload: Workload
    ours: Outcome
    theirs: Outcome

    @property
    def ratio(self) -> float:
        return self.theirs.ratio_to(self.ours)

    @property
    def ns_per_row(self) -> tuple[float, float]:
        ours, theirs = (1e9 * float(np.median(outcome.seconds)) for outcome in (self.ours, self.theirs))
        return ours / self.workload.n_rows, theirs / self.workload.n_rows

    @property
    def log_likelihood_difference(self) -> float:
        return common.relative_error(self.theirs.log_likelihood, self.ours.log_likelihood)


def seconds_per_iteration(fit: Callable[[int], Any], seconds: float) -> float:
    """Time of one iteration; fits are repeated for at least `seconds`, so that short ones are not lost in noise."""
    short = common.seconds_per_call(partial(fit, SHORT), seconds / 2)
    return (common.seconds_per_call(partial(fit, LONG), seconds / 2) - short) / (LONG - SHORT)


def measure(workload: Workload, peers: Collection[str], *, rounds: int, seconds: float) -> dict[str, Pair]:
    """fastem and peers measured in turn, on all rows of the workload."""
    X = common.rows_of(workload)
    chosen: dict[str, Fit] = {"fastem": partial(fit_estimator, GaussianMixture)}
    chosen |= {peer: PEERS[peer].fit for peer in peers}
    fits = {name: partial(fit, X, workload) for name, fit in chosen.items()}
    outcomes = {name: Outcome([], common.mean_log_likelihood(X, fit(LONG))) for name, fit in fits.items()}
    for _ in range(rounds):
        for name, fit in fits.items():
            outcomes[name].seconds.append(seconds_per_iteration(fit, seconds))
    return {peer: Pair(workload, outcomes["fastem"], outcomes[peer]) for peer in peers}


@cache
def compare(workload: Workload, peers: tuple[str, ...], *, rounds: int, seconds: float) -> dict[str, Pair]:
    """fastem against those peers that are installed and can do the workload."""
    able = [peer for peer in peers if PEERS[peer].is_usable() and workload.covariance_type not in PEERS[peer].limits]
    pairs: dict[str, Pair] = {}
    n_rows = {peer: PEERS[peer].n_rows(workload) for peer in able}
    for rows, group in groupby(sorted(able, key=n_rows.__getitem__, reverse=True), key=n_rows.__getitem__):
        pairs |= measure(replace(workload, n_rows=rows), list(group), rounds=rounds, seconds=seconds)
    return pairs


Pairs = dict[Workload, dict[str, Pair]]


class _Compared:
    """Workloads × peers, all measured once for all benchmarks."""

    params: ClassVar = (WORKLOADS, list(PEERS))
    param_names = ("workload", "peer")

    def setup_cache(self) -> Pairs:
        profile = PROFILES[PROFILE]
        return {
            workload: compare(workload, tuple(PEERS), rounds=profile.rounds, seconds=profile.seconds)
            for workload in self.params[0]
        }

    setup_cache.timeout = 14400

    def setup(self, pairs: Pairs, workload: Workload, peer: str) -> None:
        if peer not in pairs[workload]:
            raise NotImplementedError(f"{peer} is not installed, or has no {workload.covariance_type} covariances")
        self.pair = pairs[workload][peer]


class Speed(_Compared):
    """The time of each peer against that of fastem."""

    def track_ratio(self, pairs: Pairs, workload: Workload, peer: str) -> float:
        return self.pair.ratio

    track_ratio.unit = "time of the peer / time of fastem"

    def track_ns_per_row(self, pairs: Pairs, workload: Workload, peer: str) -> float:
        return self.pair.ns_per_row[1]

    track_ns_per_row.unit = "ns"


class Agreement(_Compared):
    """The log-likelihood of fastem against that of each peer that accepts first parameters."""

    params: ClassVar = (WORKLOADS, [name for name, peer in PEERS.items() if not peer.own_start])

    def track_log_likelihood_difference(self, pairs: Pairs, workload: Workload, peer: str) -> float:
        return self.pair.log_likelihood_difference / PEERS[peer].tolerance(workload)

    track_log_likelihood_difference.unit = "relative difference / what the arithmetic of the peer explains"
    track_log_likelihood_difference.bound = 1.0


# The table.

HEADER = ("workload", "peer", "fastem, ns a row", "peer, ns a row", "ratio", "log-likelihood a row", "difference")
_WIDTHS = (32, 14, 18, 16, 8, 22, 12)


def rounded(value: float) -> str:
    """A time or a ratio to three digits, in plain notation."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def cells_of(peer: str, pair: Pair) -> tuple[str, ...]:
    """One line of the table."""
    times = (rounded(ns) for ns in pair.ns_per_row)
    difference = "own start" if PEERS[peer].own_start else f"{pair.log_likelihood_difference:.0e}"
    log_likelihood = f"{pair.theirs.log_likelihood:.6f}"
    return (repr(pair.workload), peer, *times, rounded(pair.ratio), log_likelihood, difference)


def lines(workloads: Iterable[Workload], peers: tuple[str, ...], *, rounds: int, seconds: float) -> Iterator[tuple]:
    """Cells of the comparison, a workload as soon as it is measured; of one that a peer cannot do, the reason."""
    for workload in workloads:
        pairs = compare(workload, peers, rounds=rounds, seconds=seconds)
        for peer in peers:
            if peer in pairs:
                yield cells_of(peer, pairs[peer])
            elif PEERS[peer].is_usable():
                yield (repr(workload), peer, PEERS[peer].limits[workload.covariance_type])


def as_text(cells: tuple[str, ...]) -> str:
    return "".join(f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=False)).rstrip()


def as_markdown(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells + ("",) * (len(HEADER) - len(cells))) + " |"


def machine(peers: Iterable[str]) -> str:
    """One line on what the table was measured with: processor, threads, versions."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    models = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    versions = {name: metadata.version(name) for name in ("fastem", "numba", "numpy")}
    versions |= {peer: PEERS[peer].version() for peer in peers if PEERS[peer].is_usable()}
    model = models[0] if models else platform.processor() or platform.machine()
    threads = f"{os.cpu_count()} cores, threads of fastem: {numba.get_num_threads()}"
    python = f"Python {platform.python_version()}"
    return f"{model}, {threads}; " + ", ".join([python, *(f"{name} {version}" for name, version in versions.items())])


def table(
    workloads: Iterable[Workload], peers: tuple[str, ...], *, rounds: int, seconds: float, markdown: bool = False
) -> Iterator[str]:
    """Lines of text, or of Markdown, each as soon as it is known."""
    layout = as_markdown if markdown else as_text
    yield machine(peers)
    yield ""
    yield layout(HEADER)
    if markdown:
        yield "|---|---|--:|--:|--:|--:|--:|"
    yield from map(layout, lines(workloads, peers, rounds=rounds, seconds=seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description="Time per row and iteration of EM: fastem against installed peers.")
    parser.add_argument("--profile", choices=sorted(PROFILES), default=PROFILE, help="sizes (default: %(default)s)")
    parser.add_argument("--workload", default="", metavar="TEXT", help="only workloads that contain TEXT, as in 'D=8 '")
    parser.add_argument("--peer", action="append", choices=PEERS, help="only this peer (may be given again)")
    parser.add_argument("--repeat", type=int, help="rounds (default: the profile's)")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    given = parser.parse_args()
    profile = PROFILES[given.profile]
    chosen = [workload for workload in common.stated_workloads(given.profile) if given.workload in repr(workload)]
    rounds = given.repeat or profile.rounds
    peers = tuple(given.peer or PEERS)
    for line in table(chosen, peers, rounds=rounds, seconds=profile.seconds, markdown=given.markdown):
        print(line, flush=True)


if __name__ == "__main__":
    main()
