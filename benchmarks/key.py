"""The key benchmarks: short, of the public interface alone, so that they run in every version of the package.

As a program it serves the version that PYTHONPATH names: it sets up what it is asked for, answers each name that
it reads with the seconds of one call, and so lets `benchmarks.interleaved` take turns between two versions.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

N_ITER = 5
# Far enough apart that components can be left out; so near that none can.
_APART, _NEAR = 30.0, 4.0
_START = "import numpy, fastem; fastem.GaussianMixture(2, max_iter=1, random_state=0).fit(numpy.eye(9)[:, :1])"


def cpu_seconds() -> float:
    """Time that the processors gave to this process, on all its threads, and to processes that it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class Prepared(NamedTuple):
    """A call that is timed, the log-likelihood per row, in nats, that it must reach, and the clock.

    Processor time is what a call costs however busy the machine is. The time that passes also tells whether the
    threads share the work, where nobody else wants the processors.
    """

    call: Callable[[], Any]
    answer: Callable[[], float]
    clock: Callable[[], float] = cpu_seconds


class Problem(NamedTuple):
    """Rows of a mixture with equal weights, and means to start from."""

    X: np.ndarray
    means: np.ndarray


def problem(n_rows: int, n_features: int, n_components: int, distance: float = _NEAR) -> Problem:
    """Rows about the points of a lattice that are `distance` standard deviations apart."""
    random = np.random.default_rng(0)
    side = int(np.ceil(n_components ** (1 / n_features)))
    powers = side ** np.arange(min(n_features, 32), dtype=np.float64)
    means = np.zeros((n_components, n_features))
    means[:, : len(powers)] = distance * (np.arange(n_components)[:, None] // powers % side)
    X = means[random.integers(n_components, size=n_rows)] + random.standard_normal((n_rows, n_features))
    return Problem(X, means + 0.3 * random.standard_normal(means.shape))


def mixture(start: Problem, **settings: Any) -> Any:
    """An estimator that iterates a fixed number of times from fixed parameters."""
    from fastem import GaussianMixture

    known = GaussianMixture().get_params()
    k, d = start.means.shape
    unit = {"full": np.broadcast_to(np.eye(d), (k, d, d)), "diag": np.ones((k, d))}
    defaults = {
        "weights_init": np.full(k, 1 / k),
        "means_init": start.means,
        "precisions_init": unit[settings.get("covariance_type", "full")],
        "max_iter": N_ITER,
        "tol": 0.0,
        "random_state": 0,
    }
    # Each version is given the names that it knows, of plain EM by maximum likelihood.
    plain = {"schedule": "plain", "prior": None, "acceleration": None, "growth": False, "regularization": None}
    defaults |= {name: value for name, value in plain.items() if name in known}
    return GaussianMixture(k, **{**defaults, **settings})


def _fit(start: Problem, rows: Any = None, **settings: Any) -> Prepared:
    rows = start.X if rows is None else rows

    def call() -> Any:
        return mixture(start, **settings).fit(rows)

    return Prepared(call, lambda: float(call().lower_bound_))


def _fit_few_rows() -> Prepared:
    """What an iteration costs however few the rows are."""
    return _fit(problem(2_000, 2, 3), max_iter=50)


def _fit_own_start() -> Prepared:
    start = problem(20_000, 8, 16)
    nothing = {"weights_init": None, "means_init": None, "precisions_init": None}
    return _fit(start, **nothing)


def _fit_file() -> Prepared:
    start = problem(50_000, 8, 16)
    directory = TemporaryDirectory()
    path = Path(directory.name, "rows.npy")
    np.save(path, start.X)
    fit = _fit(start, str(path))
    # The directory lives as long as the call.
    return Prepared(lambda directory=directory: fit.call(), fit.answer)


def _fit_online() -> Prepared:
    from fastem import GaussianMixture

    name = "schedule" if "schedule" in GaussianMixture().get_params() else "learning_method"
    return _fit(problem(50_000, 8, 16), **{name: "online"}, max_iter=1)


def _score() -> Prepared:
    start = problem(50_000, 8, 16)
    fitted = mixture(start).fit(start.X)
    return Prepared(lambda: fitted.score_samples(start.X), lambda: float(np.mean(fitted.score_samples(start.X))))


def _start() -> Prepared:
    def call() -> None:
        subprocess.run([sys.executable, "-P", "-W", "ignore", "-c", _START], check=True)

    return Prepared(call, lambda: 0.0)


KEY: dict[str, Callable[[], Prepared]] = {
    "fit D=1 K=3": lambda: _fit(problem(200_000, 1, 3)),
    "fit D=2 K=5": lambda: _fit(problem(100_000, 2, 5)),
    "fit D=8 K=16": lambda: _fit(problem(30_000, 8, 16)),
    "fit D=32 K=32": lambda: _fit(problem(2_500, 32, 32)),
    "fit D=16 K=16 diag": lambda: _fit(problem(20_000, 16, 16), covariance_type="diag"),
    "fit D=8 K=64 apart": lambda: _fit(problem(35_000, 8, 64, _APART)),
    "fit D=8 K=16 elapsed": lambda: _fit(problem(60_000, 8, 16))._replace(clock=time.perf_counter),
    "fit few rows": _fit_few_rows,
    "fit own start": _fit_own_start,
    "fit .npy file": _fit_file,
    "fit online": _fit_online,
    "score_samples": _score,
    "first fit of a process": _start,
}


class Reads(NamedTuple):
    """What a fit of `N_ITER` iterations has asked for."""

    passes: int
    bytes: int


def reads() -> Reads:
    """Passes over the rows, and the most bytes of arrays beside them that lived while one of them began."""
    start = problem(50_000, 8, 16)
    arrays = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
    bytes_at: list[int] = []

    def rows() -> Iterator[np.ndarray]:
        if tracemalloc.is_tracing():
            traces = tracemalloc.take_snapshot().filter_traces([arrays]).traces
            bytes_at.append(sum(trace.size for trace in traces))
        yield start.X

    # What is made on first use would count, and by chance what waits for the garbage collector.
    mixture(start).fit(rows)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        mixture(start).fit(rows)
    finally:
        tracemalloc.stop()
        gc.enable()
    return Reads(len(bytes_at), max(bytes_at))


# The twin of the times, without noise.
COUNTS: dict[str, Callable[[], int]] = {
    "passes of a fit": lambda: reads().passes,
    "bytes of a fit": lambda: reads().bytes,
}


def prepare(name: str) -> Prepared:
    """Set up a benchmark and run it, which compiles what it needs."""
    prepared = KEY[name]()
    prepared.call()
    return prepared


def serve(names: list[str]) -> None:
    """Answer names with seconds, until there are no more; first of all tell what this version can do."""
    import fastem

    ready: dict[str, Prepared] = {}
    answers: dict[str, float] = {}
    missing: dict[str, str] = {}
    counts: dict[str, int] = {}
    for name in names:
        try:
            if name in COUNTS:
                counts[name] = COUNTS[name]()
            else:
                ready[name] = prepare(name)
                answers[name] = ready[name].answer()
        except Exception as error:
            # An older version may lack a feature. What it lacks is told; whoever compares decides.
            missing[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    told = {"package": os.path.dirname(fastem.__file__), "answers": answers, "counts": counts, "missing": missing}
    print(json.dumps(told), flush=True)
    for line in sys.stdin:
        call, _, clock = ready[line.strip()]
        start = clock()
        call()
        print(clock() - start, flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(sys.argv[1:])
