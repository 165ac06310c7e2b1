"""A fit of a file that is larger than the memory it may use.

The program writes a file piece by piece: rows of eight features from sixteen clusters. It fits a mixture with a given
memory limit, and prints the time of every iteration and of a single pass, and the peak memory above that of an
interpreter with all its libraries.

    python examples/larger_than_memory.py [--gigabytes 4] [--memory 64MB] [--iterations 10] [--directory .] [--keep]
"""

from __future__ import annotations

import argparse
import io
import resource
import sys
import time
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastem import GaussianMixture

N_FEATURES, N_COMPONENTS = 8, 16
PIECE_ROWS = 2**17
RESET = Path("/proc/self/clear_refs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--gigabytes", type=float, default=4.0, help="size of the file (default: 4)")
    parser.add_argument("--memory", default="64MB", help="most memory that rows may take at a time (default: 64MB)")
    parser.add_argument("--iterations", type=int, default=10, help="most iterations (default: 10)")
    parser.add_argument("--directory", type=Path, default=Path(), help="where to make the file (default: here)")
    parser.add_argument("--keep", action="store_true", help="leave the file there")
    arguments = parser.parse_args()

    path = arguments.directory / "larger_than_memory.npy"
    if path.exists():
        parser.error(f"{path} is there already")
    n_rows = max(PIECE_ROWS // 8, round(arguments.gigabytes * 1e9 / (8 * N_FEATURES)))
    truth = true_mixture()
    try:
        seconds = write_rows(path, truth, n_rows)
        print(f"file: {path.stat().st_size / 1e9:.2f} GB, {n_rows} rows, made in {seconds:.1f} s")
        fit(path, truth, n_rows, arguments.memory, arguments.iterations)
    finally:
        if not arguments.keep:
            path.unlink(missing_ok=True)


def true_mixture() -> GaussianMixture:
    """Clusters of different sizes and shapes at corners of a cube; they overlap a little."""
    random = np.random.default_rng(0)
    corners = np.array([[k >> j & 1 for j in range(N_FEATURES)] for k in range(N_COMPONENTS)], dtype=float)
    factors = np.eye(N_FEATURES) + 0.15 * random.normal(size=(N_COMPONENTS, N_FEATURES, N_FEATURES))
    weights = random.dirichlet(np.full(N_COMPONENTS, 10.0))
    return GaussianMixture.from_parameters(weights, 4 * corners, factors @ np.swapaxes(factors, 1, 2))


def write_rows(path: Path, truth: GaussianMixture, n_rows: int) -> float:
    """Draw and write rows, one piece in memory at a time; return the seconds that it took."""
    begin = time.perf_counter()
    with path.open("xb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (n_rows, N_FEATURES)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, n_rows, PIECE_ROWS):
            truth.set_params(random_state=start % 2**32)
            rows, _ = truth.sample(min(PIECE_ROWS, n_rows - start))
            file.write(np.ascontiguousarray(rows, dtype="<f8").data)
    return time.perf_counter() - begin


def fit(path: Path, truth: GaussianMixture, n_rows: int, memory: str, n_iter: int) -> None:
    settings = {"n_components": N_COMPONENTS, "n_init": 8, "memory_limit": memory, "random_state": 0}
    # A fit of a few rows compiles kernels and imports libraries first, so that neither is measured.
    truth.score(truth.sample(10_000)[0])
    few = GaussianMixture(**settings, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        few.fit(truth.sample(10_000)[0])
        before = begin_of_peak()
        laps = Laps()
        with redirect_stdout(laps):
            mixture = GaussianMixture(**settings, max_iter=n_iter, verbose=1, verbose_interval=1).fit(path)
    above = peak() - before

    for seconds, line in zip(np.diff(laps.times), laps.lines, strict=True):
        print(f"{seconds:6.1f} s, {line}")
    print(mixture.fit_report_)
    begin = time.perf_counter()
    print(f"log-likelihood a row: {mixture.score(path):.6f}; of the true parameters: {truth.score(path):.6f}")
    seconds = (time.perf_counter() - begin) / 2
    print(f"a pass: {seconds:.1f} s, {n_rows / seconds:.3g} rows/s")
    print(f"peak memory: {above / 1e6:.0f} MB above that of the interpreter, {before / 1e6:.0f} MB")


class Laps(io.StringIO):
    """Collects what a fit prints, with the time of each line; the first time is that of its creation."""

    def __init__(self) -> None:
        super().__init__()
        self.times, self.lines = [time.perf_counter()], list[str]()

    def write(self, text: str) -> int:
        if text.startswith("iteration"):
            self.times.append(time.perf_counter())
            self.lines.append(text)
        return len(text)


def begin_of_peak() -> int:
    """Reset the peak where the system allows it (Linux), and return the memory in use, in bytes."""
    if RESET.exists():
        RESET.write_text("5")
        return _status("VmRSS")
    return peak()


def peak() -> int:
    """Peak memory in use, in bytes."""
    if RESET.exists():
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


if __name__ == "__main__":
    main()
