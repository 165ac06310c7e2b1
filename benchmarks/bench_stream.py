"""Rows that are read piece by piece: the cost of a pass over a file, warm and cold, and the memory of a fit.

Ratios are taken in one run, a pass of each kind in turn, and so hold on a noisy machine too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import fastem
from benchmarks import common
from benchmarks.common import PROFILE, WORKLOADS, Workload
from fastem import GaussianMixture
from fastem.executors.reduction import sum_over
from fastem.model import Model, Params
from fastem.sources import ArraySource, Chunk, Source, as_source
from fastem.sources.segments import segments_of
from fastem.stats import ExpectedStats

# One feature, and 8 and 32: from passes that hardly compute to passes that hardly read.
STREAMED = [WORKLOADS[index] for index in (0, 2, 4)]
# Large enough for the disk to matter.
COLD = common.sized(Workload(8_000_000, 8, 16))
_PIECE_ROWS = 2**16


def _write_npy(X: np.ndarray, path: Path) -> None:
    np.save(path, X)


def _write_parquet(X: np.ndarray, path: Path) -> None:
    import pyarrow.parquet

    pyarrow.parquet.write_table(_table(X), path, row_group_size=_PIECE_ROWS)


def _write_arrow(X: np.ndarray, path: Path) -> None:
    import pyarrow

    table = _table(X)
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=_PIECE_ROWS)


def _write_csv(X: np.ndarray, path: Path) -> None:
    import pyarrow.csv

    pyarrow.csv.write_csv(_table(X), path)


def _write_hdf5(X: np.ndarray, path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("rows", data=X, chunks=(min(_PIECE_ROWS, len(X)), X.shape[1]))


def _table(X: np.ndarray) -> Any:
    import pyarrow

    return pyarrow.table({f"x{j}": np.ascontiguousarray(column) for j, column in enumerate(X.T)})


_WRITERS: dict[str, tuple[str, Callable[[np.ndarray, Path], None]]] = {
    "npy": (".npy", _write_npy),
    "parquet": (".parquet", _write_parquet),
    "arrow": (".arrow", _write_arrow),
    "hdf5": (".h5", _write_hdf5),
    "csv": (".csv", _write_csv),
}


def write_rows(X: np.ndarray, kind: str, name: str) -> Path:
    """A file of a kind in the present directory, which asv removes."""
    suffix, write = _WRITERS[kind]
    path = Path(name + suffix).absolute()
    write(X, path)
    return path


def numbers_of(stats: Any) -> np.ndarray:
    """All numbers of a record of statistics."""
    if isinstance(stats, tuple):
        return np.concatenate([numbers_of(field) for field in stats])
    return np.ravel(np.asarray(stats, dtype=np.float64))


def e_step(model: Model, params: Params, source: Source) -> ExpectedStats:
    """Expected statistics of all rows of a source."""
    return sum_over(segments_of(source.chunks()), lambda begun: model.accumulator(params, None, begun))


Files = dict[tuple[str, Workload], Path]


class Epoch:
    """One exact pass over a source that is read piece by piece, from files that the system has in memory."""

    params = ([*_WRITERS, "iterable"], STREAMED)
    param_names = ("kind", "workload")

    def setup_cache(self) -> Files:
        return {
            (kind, workload): write_rows(common.rows_of(workload), kind, f"{workload.n_features}")
            for workload in STREAMED
            for kind in _WRITERS
        }

    setup_cache.timeout = 1800

    def setup(self, files: Files, kind: str, workload: Workload) -> None:
        self.X = common.rows_of(workload)
        self.model, self.start = common.model_of(workload)
        self.source = as_source(self._pieces if kind == "iterable" else files[kind, workload])
        self.epoch()

    def _pieces(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self.X), _PIECE_ROWS):
            yield self.X[start : start + _PIECE_ROWS]

    def epoch(self) -> ExpectedStats:
        return e_step(self.model, self.start, self.source)

    def in_memory(self) -> ExpectedStats:
        return e_step(self.model, self.start, ArraySource(self.X))

    def time_epoch(self, files: Files, kind: str, workload: Workload) -> None:
        self.epoch()

    def track_rows_per_second(self, files: Files, kind: str, workload: Workload) -> float:
        return workload.n_rows / common.seconds_per_call(self.epoch)

    track_rows_per_second.unit = "rows/s"

    def track_ratio_to_memory(self, files: Files, kind: str, workload: Workload) -> float:
        return common.ratio_of_times(self.epoch, self.in_memory)

    track_ratio_to_memory.unit = "time of a pass over the file / time of a pass in memory"

    def track_difference(self, files: Files, kind: str, workload: Workload) -> float:
        """None: a file gives the bits of the array, because chunks are whole runs of blocks."""
        return float(np.max(np.abs(numbers_of(self.epoch()) - numbers_of(self.in_memory()))))

    track_difference.unit = "largest difference of a statistic from that in memory"
    track_difference.bound = 0.0


def read_all(source: Source) -> None:
    """Read every row, and do nothing with it."""
    for chunk in source.chunks():
        del chunk


def forget(path: Path) -> None:
    """Have the system drop a file from memory, so that the next pass reads the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class ColdFile:
    """A pass over a file that is on the disk only: reading and computing ought to hide behind each other."""

    params = (["npy", "parquet"],)
    param_names = ("kind",)

    def setup_cache(self) -> dict[str, Path]:
        return {kind: write_rows(common.rows_of(COLD), kind, "cold") for kind in self.params[0]}

    setup_cache.timeout = 1800

    def setup(self, files: dict[str, Path], kind: str) -> None:
        if not hasattr(os, "posix_fadvise"):
            raise NotImplementedError
        self.path = files[kind]
        self.source = as_source(self.path)
        self.model, self.start = common.model_of(COLD)
        self.epoch()

    def epoch(self) -> None:
        e_step(self.model, self.start, self.source)

    def cold(self, work: Callable[[], None]) -> float:
        """Seconds of a pass over the file, which is dropped from memory first."""
        forget(self.path)
        return common.seconds_per_call(work, seconds=0.0)

    def read_bytes(self) -> None:
        """As little as reading can be."""
        room = bytearray(2**20)
        with self.path.open("rb", buffering=0) as file:
            while file.readinto(room):
                pass

    def track_ratio_to_slower_half(self, files: dict[str, Path], kind: str) -> float:
        X = common.rows_of(COLD)

        def compute() -> None:
            self.model.e_step(self.start, Chunk(X, None, 0))

        def ratio() -> float:
            read = self.cold(lambda: read_all(self.source))
            return self.cold(self.epoch) / max(read, common.seconds_per_call(compute, seconds=0.0))

        return self._median(ratio)

    track_ratio_to_slower_half.unit = "time of a pass / time of reading alone or computing alone, the slower of them"

    def track_ratio_to_disk(self, files: dict[str, Path], kind: str) -> float:
        return self._median(lambda: self.cold(lambda: read_all(self.source)) / self.cold(self.read_bytes))

    track_ratio_to_disk.unit = "time of reading rows / time of reading the bytes of the file"

    def track_bytes_per_second(self, files: dict[str, Path], kind: str) -> float:
        return self._median(lambda: self.path.stat().st_size / self.cold(self.read_bytes))

    track_bytes_per_second.unit = "bytes/s of the disk"

    def _median(self, measure: Callable[[], float]) -> float:
        return float(np.median([measure() for _ in range(common.PROFILES[PROFILE].rounds)]))


# Rows of the smaller of two files, of 64 bytes each.
_MEMORY_ROWS = {"toy": 20_000, "regular": 2**22, "large": 2**26}[PROFILE]
_PEAK = """
import sys, warnings
from fastem import Batch, GaussianMixture

def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024

def fit(X):
    schedule = Batch(subsample="auto" if growth == "led" else None)
    GaussianMixture(16, max_iter=2, tol=0.0, random_state=0, schedule=schedule).fit(X)

warnings.simplefilter("ignore")
few, rows, growth = sys.argv[1:]
fit(few)  # imports what it takes to read such a file, and compiles
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the high-water mark starts again
before = status("VmRSS")
fit(rows)
print(status("VmHWM") - before)
"""


def peak_bytes(few: Path, rows: Path, growth: str = "alone") -> int:
    """Memory that a fit of a file takes at most, above what its process had after a fit of a few rows.

    With `growth="led"` a sample leads it, where the file has rows enough.
    """
    # Freed arrays go back to the system at once, or the fit could hide in memory that the process kept.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "PYTHONPATH": str(Path(fastem.__file__).parents[1])}
    command = [sys.executable, "-c", _PEAK, str(few), str(rows), growth]
    return int(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout)


class Memory:
    """Memory of a fit of 16 components in 8 features to a file, and how it grows when the rows are twice as many.

    asv's own figure is that of the whole process, with its interpreter and libraries.
    """

    params = (["npy", "parquet"],)
    param_names = ("kind",)

    def setup_cache(self) -> dict[tuple[str, str], Path]:
        sizes = {"few": 2000, "single": _MEMORY_ROWS, "double": 2 * _MEMORY_ROWS}
        return {
            (kind, size): self._write(kind, size, n_rows) for kind in self.params[0] for size, n_rows in sizes.items()
        }

    setup_cache.timeout = 3600

    def _write(self, kind: str, size: str, n_rows: int) -> Path:
        """Write rows in pieces: nobody holds all of them."""
        path = Path(f"memory_{size}.{kind}").absolute()
        piece = replace(WORKLOADS[2], n_rows=min(n_rows, 2**18), n_components=16)
        X = common.rows_of(piece)
        counts = [min(len(X), n_rows - start) for start in range(0, n_rows, len(X))]
        if kind == "npy":
            file = np.lib.format.open_memmap(path, "w+", np.float64, (n_rows, 8))
            for index, count in enumerate(counts):
                file[index * len(X) : index * len(X) + count] = X[:count]
            return path
        import pyarrow.parquet

        with pyarrow.parquet.ParquetWriter(path, _table(X).schema) as writer:
            for count in counts:
                writer.write_table(_table(X[:count]))
        return path

    def setup(self, files: dict[tuple[str, str], Path], kind: str) -> None:
        if not Path("/proc/self/clear_refs").exists():
            raise NotImplementedError

    def peakmem_fit(self, files: dict[tuple[str, str], Path], kind: str) -> None:
        with common.quiet():
            GaussianMixture(16, max_iter=2, tol=0.0, random_state=0, **common.PLAIN).fit(files[kind, "double"])

    def track_peak(self, files: dict[tuple[str, str], Path], kind: str) -> int:
        return peak_bytes(files[kind, "few"], files[kind, "double"])

    track_peak.unit = "bytes"
    # Parts of a file that is mapped, and row groups of Parquet, count.
    track_peak.bound = 2**28

    def track_peak_led(self, files: dict[tuple[str, str], Path], kind: str) -> int:
        """Of a fit that a sample leads, which takes 64 MiB, and as much again while it is drawn."""
        return peak_bytes(files[kind, "few"], files[kind, "double"], "led")

    track_peak_led.unit = "bytes"
    track_peak_led.bound = 2**28 + 2**27

    def track_growth(self, files: dict[tuple[str, str], Path], kind: str) -> int:
        single, double = (peak_bytes(files[kind, "few"], files[kind, size]) for size in ("single", "double"))
        return double - single

    track_growth.unit = "bytes for twice the rows"
    track_growth.bound = 2**26
