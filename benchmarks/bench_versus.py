"""fastem and its peers, in the same process from the same parameters: time per iteration of EM and log-likelihood.

`python -m benchmarks.bench_versus` prints the table; with `--markdown`, ready for docs/performance.md. How a time is
taken: `fastem.bench.versus`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import ClassVar

from benchmarks import common
from benchmarks.common import PROFILE, PROFILES, Workload
from benchmarks.peers import PEERS
from fastem.bench import versus
from fastem.bench.peers import Parameters, fit_ours
from fastem.bench.versus import Outcome, Pair, rounded

WORKLOADS = common.stated_workloads()


def start_of(workload: Workload) -> Parameters:
    """First parameters of a fit, as peers take them."""
    kind, start = workload.covariance_type, common.start_of(workload)
    return Parameters(kind, start.weights, start.means, start.covariances_as(kind))


def measure(workload: Workload, peers: Iterable[str], *, rounds: int, seconds: float) -> Mapping[str, Outcome]:
    """fastem and peers measured in turn, on all rows of the workload."""
    X, start = common.rows_of(workload), start_of(workload)
    chosen = {"fastem": fit_ours} | {peer: PEERS[peer].fit for peer in peers}
    return versus.measure(
        {name: partial(fit, X, start) for name, fit in chosen.items()},
        lambda fitted: common.mean_log_likelihood(X, common.Parameters.of_type(*fitted)),
        rounds=rounds,
        seconds=seconds,
    )


@cache
def compare(workload: Workload, peers: tuple[str, ...], *, rounds: int, seconds: float) -> dict[str, Pair]:
    """fastem against those peers that are installed and can do the workload."""
    able = [peer for peer in peers if PEERS[peer].is_usable() and workload.covariance_type not in PEERS[peer].limits]
    return versus.compare(
        {peer: PEERS[peer].most_rows(workload.n_rows, workload.n_components) for peer in able},
        lambda n_rows, names: measure(replace(workload, n_rows=n_rows), names, rounds=rounds, seconds=seconds),
    )


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
        return self.pair.log_likelihood_difference / PEERS[peer].tolerance(workload.dtype)

    track_log_likelihood_difference.unit = "relative difference / what the arithmetic of the peer explains"
    track_log_likelihood_difference.bound = 1.0


# The table.

HEADER = ("workload", "peer", "fastem, ns a row", "peer, ns a row", "ratio", "log-likelihood a row", "difference")
_WIDTHS = (32, 14, 18, 16, 8, 22, 12)


def cells_of(workload: Workload, peer: str, pair: Pair) -> tuple[str, ...]:
    """One line of the table."""
    times = (rounded(ns) for ns in pair.ns_per_row)
    difference = "own start" if PEERS[peer].own_start else f"{pair.log_likelihood_difference:.0e}"
    log_likelihood = f"{pair.theirs.log_likelihood:.6f}"
    return (repr(replace(workload, n_rows=pair.n_rows)), peer, *times, rounded(pair.ratio), log_likelihood, difference)


def lines(workloads: Iterable[Workload], peers: tuple[str, ...], *, rounds: int, seconds: float) -> Iterator[tuple]:
    """Cells of the comparison, a workload as soon as it is measured; of one that a peer cannot do, the reason."""
    for workload in workloads:
        pairs = compare(workload, peers, rounds=rounds, seconds=seconds)
        for peer in peers:
            if peer in pairs:
                yield cells_of(workload, peer, pairs[peer])
            elif PEERS[peer].is_usable():
                yield (repr(workload), peer, PEERS[peer].limits[workload.covariance_type])


def as_text(cells: tuple[str, ...]) -> str:
    return "".join(f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=False)).rstrip()


def as_markdown(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells + ("",) * (len(HEADER) - len(cells))) + " |"


def table(
    workloads: Iterable[Workload], peers: tuple[str, ...], *, rounds: int, seconds: float, markdown: bool = False
) -> Iterator[str]:
    """Lines of text, or of Markdown, each as soon as it is known."""
    layout = as_markdown if markdown else as_text
    yield versus.described(versus.machine(), ((peer, PEERS[peer]) for peer in peers))
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
