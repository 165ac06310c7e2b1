"""Local optima: how far fits of hard problems end below the best known optimum, and in which time.

``python -m benchmarks.bench_search`` prints the table of docs/local_optima.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

from benchmarks import common
from benchmarks.common import PROFILE
from fastem import GaussianMixture, Race, Restarts

N_ROWS = {"toy": 400, "regular": 4_000, "large": 20_000}[PROFILE]
N_DATA_SETS = 1 if PROFILE == "toy" else 5


class Problem(NamedTuple):
    """Rows, the components that they were drawn from, and settings of a start where one is given."""

    X: np.ndarray
    labels: np.ndarray
    n_components: int
    start: Mapping[str, np.ndarray] = MappingProxyType({})


def grid(random: np.random.Generator) -> Problem:
    """Twenty-five round clusters on a grid, 3 standard deviations apart."""
    means = 3.0 * np.stack(np.meshgrid(np.arange(5), np.arange(5)), axis=-1).reshape(-1, 2)
    labels = random.integers(25, size=N_ROWS)
    return Problem(means[labels] + random.normal(size=(N_ROWS, 2)), labels, 25)


def scattered(random: np.random.Generator) -> Problem:
    """Forty round clusters of different size anywhere in a square, many of them on top of each other."""
    means, sd = random.uniform(0.0, 18.0, size=(40, 2)), random.uniform(0.4, 1.2, size=40)
    labels = random.integers(40, size=N_ROWS)
    return Problem(means[labels] + sd[labels, None] * random.normal(size=(N_ROWS, 2)), labels, 40)


def unbalanced(random: np.random.Generator) -> Problem:
    """Ten clusters, each with six tenths of the rows of the one before."""
    weights = 0.6 ** np.arange(10)
    means, sd = random.uniform(-8.0, 8.0, size=(10, 2)), random.uniform(0.3, 1.5, size=10)
    labels = random.choice(10, size=N_ROWS, p=weights / weights.sum())
    return Problem(means[labels] + sd[labels, None] * random.normal(size=(N_ROWS, 2)), labels, 10)


def correlated(random: np.random.Generator) -> Problem:
    """Sixteen correlated, overlapping clusters in eight dimensions."""
    means = 1.6 * random.normal(size=(16, 8))
    factors = 0.8 / np.sqrt(8) * random.normal(size=(16, 8, 8)) + 0.6 * np.eye(8)
    labels = random.integers(16, size=N_ROWS)
    noise = np.einsum("nij,nj->ni", factors[labels], random.normal(size=(N_ROWS, 8)))
    return Problem(means[labels] + noise, labels, 16)


def saddle(random: np.random.Generator) -> Problem:
    """Nine clusters, and a given start whose components are all equal: EM never leaves it."""
    means = 5.0 * np.stack(np.meshgrid(np.arange(3), np.arange(3)), axis=-1).reshape(-1, 2)
    labels = random.integers(9, size=N_ROWS)
    X = means[labels] + random.normal(size=(N_ROWS, 2))
    equal = {
        "weights_init": np.full(9, 1.0 / 9.0),
        "means_init": np.repeat(X.mean(axis=0)[None], 9, axis=0),
        "precisions_init": np.repeat(np.linalg.inv(np.cov(X.T))[None], 9, axis=0),
    }
    return Problem(X, labels, 9, equal)


PROBLEMS: dict[str, Callable[[np.random.Generator], Problem]] = {
    function.__name__: function for function in (grid, scattered, unbalanced, correlated, saddle)
}
PEER = "scikit-learn, 10 restarts"
SEARCHES: dict[str, dict[str, Any]] = {
    "one start": {"n_init": 1},
    "race of 8": {"n_init": 8, "search": Race(swaps=0)},
    "race of 8, moves": {"n_init": 8, "search": Race(swaps=20)},
    "8 restarts": {"n_init": 8, "search": Restarts(swaps=0)},
    PEER: {},
}


class Run(NamedTuple):
    """Mean log-likelihood per row, in nats, seconds, and the error of the former relative to its slow value."""

    score: float
    seconds: float
    error: float


def fit(problem: Problem, search: str, seed: int) -> Run:
    """One fit of a problem by one search."""
    settings = {"random_state": seed, **problem.start, **SEARCHES[search]}
    if search == PEER:
        mixture = SklearnGaussianMixture(problem.n_components, n_init=10, **settings)
    else:
        mixture = GaussianMixture(problem.n_components, **settings)
    start = time.perf_counter()
    with common.quiet():
        mixture.fit(problem.X)
    return run_of(problem, mixture, time.perf_counter() - start)


def run_of(problem: Problem, mixture: Any, seconds: float) -> Run:
    """What is told of a fitted estimator."""
    score = float(mixture.score(problem.X))
    exact = common.mean_log_likelihood(problem.X, common.parameters_of(mixture))
    return Run(score, seconds, common.relative_error(score, exact))


def runs_of(name: str, searches: list[str]) -> dict[str, list[Run]]:
    """Fits of all data sets of a problem; under "truth" that from the true components, which also compiles."""
    runs: dict[str, list[Run]] = {search: [] for search in ["truth", *searches]}
    for seed in range(N_DATA_SETS):
        problem = PROBLEMS[name](np.random.default_rng(seed))
        with common.quiet():
            truth = GaussianMixture(problem.n_components, init_params=problem.labels).fit(problem.X)
        runs["truth"].append(run_of(problem, truth, 0.0))
        for search in searches:
            runs[search].append(fit(problem, search, seed))
    return runs


def gaps(runs: dict[str, list[Run]], search: str) -> np.ndarray:
    """Nats per row, for each data set, below the best fit of any search."""
    scores = np.array([[run.score for run in of_search] for of_search in runs.values()])
    return scores.max(axis=0) - np.array([run.score for run in runs[search]])


def ratio_of_times(runs: dict[str, list[Run]], search: str) -> float:
    """Median time of a search, divided by that of scikit-learn."""
    seconds = {name: np.median([run.seconds for run in of_search]) for name, of_search in runs.items()}
    return float(seconds[search] / seconds[PEER])


class Search:
    """Gaps and times of searches on hard problems, with scikit-learn's on the same data."""

    params = (list(PROBLEMS), [search for search in SEARCHES if search != PEER])
    param_names = ("problem", "search")

    def setup_cache(self) -> dict[str, dict[str, list[Run]]]:
        return {name: runs_of(name, list(SEARCHES)) for name in PROBLEMS}

    setup_cache.timeout = 3600

    def track_gap(self, runs: dict[str, dict[str, list[Run]]], problem: str, search: str) -> float:
        return float(np.median(gaps(runs[problem], search)))

    track_gap.unit = "nats per row"

    def track_gap_below_scikit_learn(self, runs: dict[str, dict[str, list[Run]]], problem: str, search: str) -> float:
        """Median of how much better ten restarts of scikit-learn are; negative where they are worse."""
        return float(np.median(gaps(runs[problem], search) - gaps(runs[problem], PEER)))

    track_gap_below_scikit_learn.unit = "nats per row"

    def track_time_ratio(self, runs: dict[str, dict[str, list[Run]]], problem: str, search: str) -> float:
        """Time divided by that of ten restarts of scikit-learn."""
        return ratio_of_times(runs[problem], search)

    track_time_ratio.unit = "time / time of scikit-learn"

    def track_log_likelihood_error(self, runs: dict[str, dict[str, list[Run]]], problem: str, search: str) -> float:
        return max(run.error for run in runs[problem][search])

    track_log_likelihood_error.unit = "relative"
    track_log_likelihood_error.bound = 1e-10


def main() -> None:
    """Print the table."""
    print("| problem | search | median gap | largest gap | time / scikit-learn's |\n|---|---|---|---|---|")
    for name in PROBLEMS:
        runs = runs_of(name, list(SEARCHES))
        for search in SEARCHES:
            gap, ratio = gaps(runs, search), ratio_of_times(runs, search)
            print(f"| {name} | {search} | {np.median(gap):.4f} | {gap.max():.4f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
