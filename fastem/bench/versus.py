"""Time per iteration of EM and log-likelihood of several implementations, in one process from the same parameters.

The time per iteration is the difference between a longer and a shorter fit, divided by the iterations between them.
So whatever a fit does once cancels: validation, the scan of the data, the start, the last E-step.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np

from fastem.bench.peers import Parameters, Peer

SHORT, LONG = 1, 6

Fits = Mapping[str, Callable[[int], Parameters]]


class Outcome(NamedTuple):
    """Seconds per iteration, one value for each round; log-likelihood per row after `LONG` iterations."""

    seconds: list[float]
    log_likelihood: float


class Pair(NamedTuple):
    """fastem and a peer on the same number of rows."""

    n_rows: int
    ours: Outcome
    theirs: Outcome

    @property
    def ratio(self) -> float:
        """Time of the peer / time of fastem: the median over the rounds."""
        return float(np.median(np.divide(self.theirs.seconds, self.ours.seconds)))

    @property
    def ns_per_row(self) -> tuple[float, float]:
        """Of an iteration of fastem, and of one of the peer."""
        ours, theirs = (1e9 * float(np.median(outcome.seconds)) for outcome in (self.ours, self.theirs))
        return ours / self.n_rows, theirs / self.n_rows

    @property
    def log_likelihood_difference(self) -> float:
        """Relative difference of the peer from fastem."""
        return abs(self.theirs.log_likelihood / self.ours.log_likelihood - 1.0)


def seconds_per_call(function: Callable[[], Any], seconds: float) -> float:
    """Median time of calls that are repeated for about `seconds`."""
    samples: list[float] = []
    while not samples or sum(samples) < seconds:
        start = time.perf_counter()
        function()
        samples.append(time.perf_counter() - start)
    return float(np.median(samples))


def seconds_per_iteration(fit: Callable[[int], Any], seconds: float) -> float:
    """Time of one iteration; fits are repeated for at least `seconds`, so that short ones are not lost in noise."""
    short = seconds_per_call(partial(fit, SHORT), seconds / 2)
    return (seconds_per_call(partial(fit, LONG), seconds / 2) - short) / (LONG - SHORT)


def measure(
    fits: Fits,
    log_likelihood: Callable[[Parameters], float],
    *,
    rounds: int,
    seconds: float,
    budget: float = float("inf"),
) -> dict[str, Outcome]:
    """Measure implementations, functions of the number of iterations, in turn: `seconds` for each in each round.

    No further round begins after `budget` seconds. `log_likelihood` maps fitted parameters to nats per row.
    """
    outcomes = {name: Outcome([], log_likelihood(fit(LONG))) for name, fit in fits.items()}
    end = time.perf_counter() + budget
    for done in range(rounds):
        if done and time.perf_counter() > end:
            break
        for name, fit in fits.items():
            outcomes[name].seconds.append(seconds_per_iteration(fit, seconds))
    return outcomes


def compare(n_rows: Mapping[str, int], measured: Callable[[int, list[str]], Mapping[str, Outcome]]) -> dict[str, Pair]:
    """fastem against peers, each on the `n_rows` that it can cope with.

    `measured` maps a number of rows and the peers that get so many to the outcomes of "fastem" and of these peers.
    """
    pairs: dict[str, Pair] = {}
    for rows, group in groupby(sorted(n_rows, key=n_rows.__getitem__, reverse=True), key=n_rows.__getitem__):
        names = list(group)
        outcomes = measured(rows, names)
        pairs |= {name: Pair(rows, outcomes["fastem"], outcomes[name]) for name in names}
    return pairs


def rounded(value: float) -> str:
    """A time or a ratio to three digits, in plain notation."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def machine() -> dict[str, Any]:
    """What a time depends on: processor, threads, versions."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    models = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": numba.get_num_threads(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("fastem", "numba", "numpy")},
    }


def described(machine: Mapping[str, Any], peers: Iterable[tuple[str, Peer]]) -> str:
    """The same on one line, with the versions of those peers that are installed."""
    facts = dict(machine)
    where = f"{facts.pop('processor')}, {facts.pop('cores')} cores, threads of fastem: {facts.pop('threads')}"
    versions = {"Python": facts.pop("python"), **facts}
    versions |= {name: peer.version() for name, peer in peers if peer.is_usable()}
    return f"{where}; " + ", ".join(f"{name} {version}" for name, version in versions.items())
