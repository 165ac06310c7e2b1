"""Values of real data that are hidden at random and filled in again, beside scikit-learn's imputers.

``python -m benchmarks.bench_missing`` prints the table of docs/missing.md.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn import datasets
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from benchmarks.common import PROFILE
from fastem import GaussianMixture, Imputer, select

_EXAMPLES = Path(__file__).parents[1] / "examples"
DATA = ("iris", "wine", "breast cancer", "diabetes", "stock markets")
SHARES = (0.1, 0.3)
# Half of the intervals of 90 % lie on either side of the middle.
_LEVEL = 0.9
_DRAWS = 5 if PROFILE == "toy" else 100
# Rows that are filled in in the slow way, too.
_CHECKED = 50


@cache
def rows_of(name: str) -> np.ndarray:
    """Rows (N, D), each column of variance one."""
    if name == "stock markets":
        prices = np.loadtxt(_EXAMPLES / "eustockmarkets.csv", delimiter=",", skiprows=1)
        X = np.diff(np.log(prices), axis=0)
    else:
        X = getattr(datasets, f"load_{name.replace(' ', '_')}")().data
    return (X - X.mean(axis=0)) / X.std(axis=0)


def hidden(X: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """The rows, of which a share of the values is hidden at random; no row loses all."""
    random = np.random.default_rng(seed)
    gone = random.random(X.shape) < share
    gone[np.arange(len(X)), random.integers(0, X.shape[1], len(X))] = False
    return np.where(gone, np.nan, X)


class Found(NamedTuple):
    """How well hidden values are found: error and density of one, coverage of intervals, seconds.

    NaN where a way to fill in tells no distribution.
    """

    rmse: float
    surprise: float
    coverage: float
    seconds: float


def _normal(X: np.ndarray) -> GaussianMixture:
    return GaussianMixture(random_state=0).fit(X)


def _chosen(X: np.ndarray) -> GaussianMixture:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return select(X, n_components=range(1, 6), random_state=0).best_estimator_


MIXTURES: dict[str, Callable[[np.ndarray], GaussianMixture]] = {"one normal": _normal, "mixture by BIC": _chosen}
IMPUTERS: dict[str, Callable[[], Any]] = {
    "IterativeImputer": lambda: IterativeImputer(random_state=0),
    "KNNImputer": KNNImputer,
    "mean": SimpleImputer,
}


def by_mixture(make: Callable[[np.ndarray], GaussianMixture], X: np.ndarray, gaps: np.ndarray) -> Found:
    """By a mixture that is fitted to the rows that have gaps."""
    gone = np.isnan(gaps)
    begin = time.perf_counter()
    mixture = make(gaps)
    filled = mixture.impute(gaps)
    seconds = time.perf_counter() - begin
    draws = mixture.impute(gaps, "draw", n_draws=_DRAWS, random_state=0)[:, gone]
    low, high = np.quantile(draws, [0.5 - 0.5 * _LEVEL, 0.5 + 0.5 * _LEVEL], axis=0)
    inside = (low <= X[gone]) & (X[gone] <= high)
    return Found(_rmse(filled, X, gone), _surprise(mixture, X, gaps), float(inside.mean()), seconds)


def by_imputer(make: Callable[[], Any], X: np.ndarray, gaps: np.ndarray) -> Found:
    """By one of scikit-learn's imputers; one that tells standard deviations is taken by its word."""
    gone, begin = np.isnan(gaps), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filled = make().fit_transform(gaps)
    return Found(_rmse(filled, X, gone), np.nan, np.nan, time.perf_counter() - begin)


def _rmse(filled: np.ndarray, X: np.ndarray, gone: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(filled - X)[gone])))


def _surprise(mixture: GaussianMixture, X: np.ndarray, gaps: np.ndarray) -> float:
    """Mean negative log-density of a hidden value, each alone, given what is left of its row; in nats."""
    rows = np.flatnonzero(np.isnan(gaps).any(axis=1))
    total = n = 0.0
    for start in range(0, rows.size, 500):
        part = rows[start : start + 500]
        found = mixture.conditional(gaps[part])
        for j in range(X.shape[1]):
            gone = np.isnan(gaps[part, j])
            sd = np.sqrt(found.covariances[gone, :, j, j])
            density = norm.logpdf(X[part][gone, j, None], found.means[gone, :, j], sd)
            total -= float(logsumexp(density, b=found.weights[gone], axis=1).sum())
            n += float(np.count_nonzero(gone))
    return total / n


def found_by(way: str, data: str, share: float) -> Found:
    """How well one way finds the values that are hidden in some data."""
    X = rows_of(data)
    gaps = hidden(X, share)
    if way in MIXTURES:
        return by_mixture(MIXTURES[way], X, gaps)
    return by_imputer(IMPUTERS[way], X, gaps)


class Imputation:
    """Error of values that are filled in."""

    params: ClassVar = [list(DATA[:2] if PROFILE == "toy" else DATA), list(SHARES), [*MIXTURES, *IMPUTERS]]
    param_names: ClassVar = ["data", "share", "way"]

    def track_rmse(self, data: str, share: float, way: str) -> float:
        return found_by(way, data, share).rmse

    track_rmse.unit = "standard deviations"


class Coverage:
    """How many intervals of 90 % hold the hidden values that they are of."""

    params: ClassVar = [Imputation.params[0], list(SHARES), list(MIXTURES)]
    param_names: ClassVar = ["data", "share", "way"]

    def track_coverage(self, data: str, share: float, way: str) -> float:
        return found_by(way, data, share).coverage

    track_coverage.unit = "share of intervals of 90 %"


class Time:
    """A fit of one normal distribution and what it fills in, beside scikit-learn's IterativeImputer in one run."""

    params: ClassVar = [[1000, 20_000]]
    param_names: ClassVar = ["n_rows"]

    def setup(self, n_rows: int) -> None:
        random, d = np.random.default_rng(0), 16
        self.X = random.normal(size=(n_rows if PROFILE != "toy" else 200, d)) @ random.normal(size=(d, d))
        self.X[random.random(self.X.shape) < 0.1] = np.nan
        Imputer().fit_transform(self.X)

    def time_imputer(self, n_rows: int) -> None:
        Imputer().fit_transform(self.X)

    def track_ratio(self, n_rows: int) -> float:
        begin = time.perf_counter()
        Imputer().fit_transform(self.X)
        own = time.perf_counter() - begin
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            IterativeImputer(random_state=0).fit_transform(self.X)
        return own / (time.perf_counter() - begin - own)

    track_ratio.unit = "time / time of IterativeImputer"

    def track_error(self, n_rows: int) -> float:
        imputer = Imputer().fit(self.X)
        filled, (mean,), (covariance,) = (
            imputer.transform(self.X[:_CHECKED]), imputer.estimator_.means_, imputer.estimator_.covariances_,
        )  # fmt: skip
        error = 0.0
        for row, found in zip(self.X[:_CHECKED], filled, strict=True):
            gone = np.isnan(row)
            slopes = np.linalg.solve(covariance[np.ix_(~gone, ~gone)], covariance[np.ix_(~gone, gone)])
            expected = mean[gone] + (row[~gone] - mean[~gone]) @ slopes
            error = max(error, float(np.abs(found[gone] - expected).max(initial=0.0)))
        return error / float(np.sqrt(covariance.diagonal()).max())

    track_error.unit = "standard deviations"
    track_error.bound = 1e-9


def main() -> None:
    """Print what each way finds."""
    ways = [*MIXTURES, *IMPUTERS]
    for way in MIXTURES:
        found_by(way, "iris", 0.1)
    print("| data | hidden | " + " | ".join(ways) + " |")
    print("|---" * (len(ways) + 2) + "|")
    for data in DATA:
        for share in SHARES:
            cells = []
            for way in ways:
                found = found_by(way, data, share)
                more = "" if np.isnan(found.surprise) else f"; {found.surprise:.2f}; {found.coverage:.0%}"
                cells.append(f"{found.rmse:.3f}{more}; {found.seconds:.2g} s")
            print(f"| {data} | {share:.0%} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
