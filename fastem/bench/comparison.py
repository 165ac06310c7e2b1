"""A few problems on which fastem is measured against whatever other implementations are installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastem.bench import versus
from fastem.bench.peers import Parameters, Peer, fit_ours
from fastem.bench.versus import Outcome, Pair
from fastem.estimators import GaussianMixture

ROUNDS = 5
# Of a fit that is repeated because it is short.
SECONDS = 0.2
_JUDGED_ROWS = 20_000


@dataclass(frozen=True)
class Problem:
    """Rows of overlapping clusters, and a mixture to fit to them."""

    n_rows: int
    n_features: int
    n_components: int
    covariance_type: str = "full"

    def __str__(self) -> str:
        size = f"{self.n_rows:.1e}".replace(".0e", "e").replace("e+0", "e")
        return f"D={self.n_features} N={size} K={self.n_components} {self.covariance_type}"

    def means(self) -> np.ndarray:
        """Of the clusters: points of a lattice, four standard deviations apart. The covariance is the unit matrix."""
        k, d = self.n_components, self.n_features
        side = int(np.ceil(k ** (1.0 / d)))
        return 4.0 * np.array(
            [[component // side**j % side for j in range(d)] for component in range(k)], dtype=np.float64
        )

    def rows(self) -> np.ndarray:
        random = np.random.default_rng(1)
        label = random.integers(self.n_components, size=self.n_rows)
        return self.means()[label] + random.standard_normal((self.n_rows, self.n_features))

    def start(self) -> Parameters:
        """The true parameters, displaced and widened."""
        k, d = self.n_components, self.n_features
        means = self.means() + 0.3 * np.random.default_rng(2).standard_normal((k, d))
        unit = {"full": np.broadcast_to(np.eye(d), (k, d, d)), "diag": np.ones((k, d))}[self.covariance_type]
        return Parameters(self.covariance_type, np.full(k, 1.0 / k), means, 1.3 * unit)


PROBLEMS = (
    Problem(1_000_000, 1, 3),
    Problem(250_000, 2, 5),
    Problem(50_000, 8, 16),
    Problem(10_000, 32, 32),
    Problem(25_000, 16, 64, "diag"),
)


class Result(NamedTuple):
    """One line of the table."""

    # With as many rows as the peer was given; fastem had the same.
    problem: Problem
    peer: str
    # Nanoseconds per row and iteration.
    ours: float
    theirs: float
    # Time of the peer / time of fastem: the median over the rounds.
    ratio: float
    # Of the peer after a few iterations, in nats per row.
    log_likelihood: float
    # Relative to that of fastem; None for a peer that insists on first parameters of its own.
    difference: float | None

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self.problem),
            "peer": self.peer,
            "fastem_ns_per_row": self.ours,
            "peer_ns_per_row": self.theirs,
            "ratio": self.ratio,
            "log_likelihood": self.log_likelihood,
            "difference": self.difference,
        }


def log_likelihood(X: np.ndarray, parameters: Parameters) -> float:
    """Nats per row, as scikit-learn reckons it."""
    kind, *arrays = parameters
    return float(GaussianMixture.from_parameters(*arrays, covariance_type=kind).to_sklearn().score(X[:_JUDGED_ROWS]))


def measure(problem: Problem, peers: Mapping[str, Peer], budget: float) -> Mapping[str, Outcome]:
    """fastem and peers in turn, for about `budget` seconds."""
    X, start = problem.rows(), problem.start()
    fits = {"fastem": fit_ours} | {name: peer.fit for name, peer in peers.items()}
    bound = {name: partial(fit, X, start) for name, fit in fits.items()}
    return versus.measure(bound, partial(log_likelihood, X), rounds=ROUNDS, seconds=SECONDS, budget=budget)


def _pairs(problem: Problem, peers: Mapping[str, Peer], budget: float) -> dict[str, Pair]:
    def measured(n_rows: int, names: list[str]) -> Mapping[str, Outcome]:
        return measure(replace(problem, n_rows=n_rows), {name: peers[name] for name in names}, budget)

    n_rows = {name: peer.most_rows(problem.n_rows, problem.n_components) for name, peer in peers.items()}
    return versus.compare(n_rows, measured)


def _can(name: str, peer: Peer, problem: Problem, notify: Callable[[str], None]) -> bool:
    """Whether a peer has such covariances and does not fail on a few rows; if it fails, that is told."""
    if problem.covariance_type in peer.limits:
        return False
    few = replace(problem, n_rows=100 * problem.n_components)
    try:
        peer.fit(few.rows(), few.start(), 1)
    except Exception as error:
        # Versions of other people's packages: one that is broken must not end the comparison.
        notify(f"{problem}: {name} fails: {type(error).__name__}: {error}".splitlines()[0])
        return False
    return True


def comparison(
    problems: tuple[Problem, ...],
    peers: Mapping[str, Peer],
    seconds: float,
    notify: Callable[[str], None] = lambda line: None,
) -> Iterator[Result]:
    """Measure fastem against peers that are usable, on each problem whose type of covariances they have.

    It takes about `seconds` in all, but each problem is measured once however long that takes; `notify` takes a line
    before each problem begins.
    """
    for problem in problems:
        able = {name: peer for name, peer in peers.items() if _can(name, peer, problem, notify)}
        notify(f"{problem}: fastem, {', '.join(able)}")
        for name, pair in _pairs(problem, able, seconds / len(problems)).items():
            given = replace(problem, n_rows=pair.n_rows)
            difference = None if able[name].own_start else pair.log_likelihood_difference
            yield Result(given, name, *pair.ns_per_row, pair.ratio, pair.theirs.log_likelihood, difference)
