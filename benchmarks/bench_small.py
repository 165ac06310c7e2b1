"""Small data: how far default fits end below the best optimum that is known, and in which time.

``python -m benchmarks.bench_small --gaps`` prints the table of docs/local_optima.md. More data are read from the CSV
files of numbers (with a header, empty for a missing value) in the folder that FASTEM_DATA names, if it does.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import eigvalsh
from sklearn import datasets
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

from benchmarks import common
from benchmarks.common import PROFILE
from fastem import GaussianMixture

SIZES = (2, 3) if PROFILE == "toy" else (2, 3, 5, 8)
COVARIANCES = ("full", "diag")
SEEDS = range(1 if PROFILE == "toy" else 6)
# Columns of the files that say something of kinds, and columns of cycles, are no mixtures of normal distributions.
_NOT_MEASURED = {"Month", "Day", "year"}
# A fit with a component that is narrower than this, relative to the variance of all rows in its narrowest direction, or
# that has fewer rows than a covariance has dimensions, has collapsed: its likelihood says nothing.
NARROW = 1e-4


def drawn(n_rows: int, n_features: int, n_components: int, apart: float, seed: int) -> np.ndarray:
    """Rows of correlated normal components of unequal weights, whose means are drawn `apart` from each other."""
    random = np.random.default_rng(seed)
    weights = random.dirichlet(np.full(n_components, 3.0))
    means = apart * random.normal(size=(n_components, n_features))
    factors = random.normal(size=(n_components, n_features, n_features)) / np.sqrt(n_features)
    factors += 0.5 * np.eye(n_features)
    labels = random.choice(n_components, size=n_rows, p=weights)
    return means[labels] + np.einsum("nij,nj->ni", factors[labels], random.normal(size=(n_rows, n_features)))


def principal(X: np.ndarray, n: int) -> np.ndarray:
    """The first principal components of rows."""
    centred = X - X.mean(axis=0)
    return centred @ np.linalg.svd(centred, full_matrices=False)[2][:n].T


def _cancer() -> np.ndarray:
    X = datasets.load_breast_cancer().data
    return principal((X - X.mean(axis=0)) / X.std(axis=0), 8)


DATA: dict[str, Callable[[], np.ndarray]] = {
    "iris": lambda: datasets.load_iris().data,
    "wine": lambda: datasets.load_wine().data,
    "cancer, 8 components": _cancer,
    "cancer, means": lambda: datasets.load_breast_cancer().data[:, :10],
    "digits, 10 components": lambda: principal(datasets.load_digits().data, 10),
    "diabetes": lambda: 10.0 * datasets.load_diabetes().data,
    "moons": lambda: datasets.make_moons(500, noise=0.1, random_state=0)[0],
    "drawn, 3 columns": lambda: drawn(600, 3, 5, 1.5, 1),
    "drawn, 6 columns": lambda: drawn(1500, 6, 8, 1.2, 2),
    "scattered": lambda: drawn(400, 2, 12, 3.0, 3),
}


def data_sets() -> dict[str, np.ndarray]:
    """All rows, by name."""
    names = list(DATA)[:1] if PROFILE == "toy" else list(DATA)
    found = {name: np.ascontiguousarray(DATA[name](), dtype=np.float64) for name in names}
    folder = os.environ.get("FASTEM_DATA")
    if folder and PROFILE != "toy":
        found |= {path.stem: X for path in sorted(Path(folder).glob("*.csv")) if (X := _rows_of(path)).size}
    return found


def _rows_of(path: Path) -> np.ndarray:
    """The columns of numbers of a file, without rows that lack one; of prices, the returns in per cent."""
    table = np.genfromtxt(path, delimiter=",", names=True, dtype=None, encoding="utf-8")
    kinds = [name for name in table.dtype.names if table[name].dtype.kind in "if" and name not in _NOT_MEASURED]
    X = np.column_stack([table[name].astype(np.float64) for name in kinds])
    X = X[np.isfinite(X).all(axis=1)]
    return 100.0 * np.diff(np.log(X), axis=0) if path.stem == "eustockmarkets" else X


class Run(NamedTuple):
    """Mean log-likelihood per row, and of rows that were held out, in nats; seconds; whether the fit has collapsed."""

    score: float
    held_out: float
    seconds: float
    has_collapsed: bool


def has_collapsed(mixture: Any, X: np.ndarray) -> bool:
    """Whether a component is too narrow, or has too few rows, by the same rule for either package."""
    n_rows, n_features = X.shape
    is_full = mixture.covariance_type == "full"
    if (mixture.weights_ * n_rows).min() < (n_features + 2 if is_full else 2):
        return True
    of_data = np.atleast_2d(np.cov(X.T))
    if is_full:
        return any(eigvalsh(each, of_data)[0] < NARROW for each in mixture.covariances_)
    return bool((mixture.covariances_ / np.diag(of_data)).min() < NARROW)


def run(kind: Any, X: np.ndarray, n_components: int, covariance_type: str, seed: int) -> Run:
    """A default fit of all rows, and one without a fifth of them."""
    settings = {"covariance_type": covariance_type, "random_state": seed}
    order = np.random.default_rng([seed, 1]).permutation(len(X))
    out, rest = X[order[: len(X) // 5]], X[order[len(X) // 5 :]]
    with common.quiet():
        held_out = float(kind(n_components, **settings).fit(rest).score(out))
        begin = time.process_time()
        mixture = kind(n_components, **settings).fit(X)
        seconds = time.process_time() - begin
    return Run(float(mixture.score(X)), held_out, seconds, has_collapsed(mixture, X))


class Compared(NamedTuple):
    """One problem: mean gaps to the best fit of either package, in nats per row; how much better rows that were held
    out are described by ours, and the ratio of times, both in the median of all seeds.

    The gaps are NaN where all fits of one of them have collapsed.
    """

    gap: float
    gap_of_peer: float
    held_out: float
    time_ratio: float


def compared(ours: list[Run], peers: list[Run]) -> Compared:
    """Fits of all seeds of one problem."""
    scores = [np.array([run.score for run in runs if not run.has_collapsed]) for runs in (ours, peers)]
    gaps = [np.nan, np.nan]
    if all(each.size for each in scores):
        best = max(each.max() for each in scores)
        gaps = [float(best - each.mean()) for each in scores]
    held_out, seconds = ([np.median([run[field] for run in runs]) for runs in (ours, peers)] for field in (1, 2))
    return Compared(*gaps, float(held_out[0] - held_out[1]), float(seconds[0] / seconds[1]))


def problems(X: np.ndarray) -> Iterator[tuple[int, str]]:
    """Sizes and covariance types."""
    return ((k, covariance) for k in SIZES for covariance in COVARIANCES)


def compare(X: np.ndarray) -> list[Compared]:
    """All problems of one data set."""
    found = []
    for k, covariance in problems(X):
        with common.quiet():
            GaussianMixture(k, covariance_type=covariance, random_state=0).fit(X)
        runs = (
            [run(kind, X, k, covariance, seed) for seed in SEEDS] for kind in (GaussianMixture, SklearnGaussianMixture)
        )
        found.append(compared(*runs))
    return found


# Another one of the two is worse by more than this, in nats per row.
SAME = 1e-4


def summary(found: list[Compared]) -> str:
    """A line of the table."""
    gap, peer, held_out, ratio = np.array(found).T
    known = np.isfinite(gap)
    if not known.any():
        return f"- | - | - | {np.median(held_out):+.3f} | {np.median(ratio):.2f} |"
    worse = np.mean(gap[known] > peer[known] + SAME)
    return (
        f"{gap[known].mean():.4f} | {peer[known].mean():.4f} | {worse:.0%} | {np.median(held_out):+.4f} | "
        f"{np.median(ratio):.2f} |"
    )


@cache
def _timed(name: str) -> np.ndarray:
    return np.ascontiguousarray(DATA[name](), dtype=np.float64)


class Small:
    """Time and likelihood of default fits."""

    params = (["iris", "digits, 10 components"], list(COVARIANCES))
    param_names = ("data", "covariance")

    def setup(self, data: str, covariance: str) -> None:
        self.X, self.n_components = _timed(data), 3 if data == "iris" else 10
        self.mixture = GaussianMixture(self.n_components, covariance_type=covariance, random_state=0)
        with common.quiet():
            self.mixture.fit(self.X)

    def time_fit(self, data: str, covariance: str) -> None:
        with common.quiet():
            self.mixture.fit(self.X)

    def track_score(self, data: str, covariance: str) -> float:
        return float(self.mixture.score(self.X))

    track_score.unit = "nats per row"

    def track_log_likelihood_error(self, data: str, covariance: str) -> float:
        exact = common.mean_log_likelihood(self.X, common.parameters_of(self.mixture))
        return common.relative_error(float(self.mixture.score(self.X)), exact)

    track_log_likelihood_error.unit = "relative"
    track_log_likelihood_error.bound = 1e-10


def main() -> None:
    """Print the table."""
    print("| data | gap | scikit-learn's gap | larger than it | held-out rows | time / scikit-learn's |")
    print("|---|---|---|---|---|---|")
    every: list[Compared] = []
    for name, X in data_sets().items():
        found = compare(X)
        every += found
        print(f"| {name}, {X.shape[0]} × {X.shape[1]} | {summary(found)}", flush=True)
    print(f"| **all** | {summary(every)}")
    ratios = np.array([each.time_ratio for each in every])
    print(f"\nFaster than scikit-learn in {np.mean(ratios < 1.0):.0%} of {len(every)} problems.")


if __name__ == "__main__":
    if sys.argv[1:] != ["--gaps"]:
        raise SystemExit("usage: python -m benchmarks.bench_small --gaps")
    main()
