"""Memory beyond the data does not grow with the number of rows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PEAK = """
import sys, warnings
import numpy as np
from fastem import Batch, GaussianMixture, Subsample

LED = Batch(subsample=Subsample(min_rows=100_000, sample_rows=10_000))
kind, n_rows = sys.argv[1], int(sys.argv[2])
X = np.random.default_rng(0).integers(-3, 4, size=(n_rows, 8), dtype=np.int32)
X = X.astype(kind, copy=False)
weight = np.ones(n_rows)
labels = np.arange(n_rows) % 16
warnings.simplefilter("ignore")

def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024

def peak_of(call):
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the high-water mark starts again
    before = status("VmRSS")
    result = call()
    return status("VmHWM") - before

def methods(mixture, n):
    rows = X[:n]
    yield "fit", lambda: mixture.fit(rows)
    yield "fit led by a sample", lambda: GaussianMixture(2, max_iter=1, random_state=0, schedule=LED).fit(rows)
    yield "weighted fit", lambda: mixture.fit(rows, sample_weight=weight[:n])
    yield "fit from labels", lambda: GaussianMixture(
        16, max_iter=2, schedule=Batch(subsample=None), init_params=labels[:n]
    ).fit(rows)
    yield "score", lambda: mixture.score(rows)
    yield "bic", lambda: mixture.bic(rows)
    yield "icl", lambda: mixture.icl(rows)
    yield "score_samples", lambda: mixture.score_samples(rows)
    yield "predict", lambda: mixture.predict(rows)
    yield "predict_proba", lambda: mixture.predict_proba(rows)

mixture = GaussianMixture(16, max_iter=2, schedule=Batch(subsample=None), random_state=0)
for _, call in methods(mixture, 100_000):
    call()
result_bytes = {"score_samples": 8, "predict": 8, "predict_proba": 8 * 16}
for name, call in methods(mixture, n_rows):
    print(name, peak_of(call) - result_bytes.get(name, 0) * n_rows, sep=":")
"""


def peaks(kind, n_rows, script=PEAK):
    # Freed arrays go back to the system at once, or a later one would hide in memory that the process kept.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", script, kind, str(n_rows)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return {name: int(peak) for name, peak in (line.split(":") for line in run.stdout.splitlines())}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the high-water mark of memory is Linux's")
@pytest.mark.parametrize("kind", ["float64", "float32", "int32"])
def test_peak_memory_does_not_grow_with_the_rows(kind):
    # More than eight times the sample that leads a fit.
    few, many = 250_000, 1_000_000
    small, large = peaks(kind, few), peaks(kind, many)
    assert len(small) == 10
    for name in small:
        growth = (large[name] - small[name]) / (many - few)
        # A second copy of the rows would take 64 bytes a row, responsibilities 128.
        assert growth < 12, f"{name} grew by {growth:.1f} bytes a row, from {small[name]} to {large[name]}"
        assert large[name] < 100e6, f"{name} takes {large[name]} bytes"


STREAM = """
import os, sys, warnings
import numpy as np
from fastem import Batch, GaussianMixture

path, n_rows = sys.argv[1], int(sys.argv[2])
random = np.random.default_rng(0)
pieces = lambda n: (random.integers(-3, 4, size=(100_000, 8)).astype(float) for _ in range(n // 100_000))

def write(path, n):
    if path.endswith(".npy"):
        rows = np.lib.format.open_memmap(path, "w+", float, (n, 8))
        for index, piece in enumerate(pieces(n)):
            rows[index * 100_000 : (index + 1) * 100_000] = piece
        rows.flush()
    else:
        import pyarrow as pa, pyarrow.csv, pyarrow.parquet
        schema = pa.schema([(name, pa.float64()) for name in "abcdefgh"])
        kind = pyarrow.parquet.ParquetWriter if path.endswith(".parquet") else pyarrow.csv.CSVWriter
        with kind(path, schema) as writer:
            for piece in pieces(n):
                writer.write_table(pa.table(list(piece.T), schema=schema))

def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024

def peak_of(call):
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = status("VmRSS")
    call()
    return status("VmHWM") - before

def calls(mixture, path, n):
    yield "fit", lambda: mixture.fit(path)
    yield "predict", lambda: mixture.predict(path)
    if path.endswith(".csv"):
        return
    yield "fit led by a sample", lambda: GaussianMixture(2, max_iter=1, random_state=0).fit(path)
    yield "online", lambda: GaussianMixture(16, max_iter=1, random_state=0, schedule="online").fit(path)
    yield "incremental", lambda: GaussianMixture(
        16, max_iter=1, random_state=0, schedule="incremental"
    ).fit(path)
    yield "partial_fit", lambda: GaussianMixture(16, random_state=0).partial_fit(path)

warnings.simplefilter("ignore")
warm = os.path.join(os.path.dirname(path), "warm" + os.path.splitext(path)[1])
write(warm, 100_000)
mixture = GaussianMixture(16, max_iter=1, schedule=Batch(subsample=None), random_state=0)
for name, call in calls(mixture, warm, 100_000):
    call()
write(path, n_rows)
for name, call in calls(mixture, path, n_rows):
    print(name, peak_of(call) - (8 * n_rows if name == "predict" else 0), sep=":")
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the high-water mark of memory is Linux's")
@pytest.mark.parametrize("suffix", [".npy", ".parquet", ".csv"])
def test_peak_memory_of_a_stream_does_not_grow_with_the_file(tmp_path, suffix):
    # Rows enough that what a reader's threads have at hand, some 50 MB more or less, is little beside them.
    few, many = (500_000, 1_000_000) if suffix == ".csv" else (1_000_000, 4_000_000)
    small = peaks(str(tmp_path / f"few{suffix}"), few, STREAM)

    def is_steady(large):
        # The rows themselves take 64 bytes. Buffers, above all of a CSV reader, grow to their full size slowly.
        return all((large[name] - small[name]) / (many - few) < 32 or large[name] < 110e6 for name in small)

    large = peaks(str(tmp_path / f"many{suffix}"), many, STREAM)
    # On a busy machine a reader's threads run ahead by more now and then; what grows with the rows does so every time.
    for _ in range(3):
        if is_steady(large):
            break
        again = peaks(str(tmp_path / f"many{suffix}"), many, STREAM)
        large = {name: min(large[name], again[name]) for name in large}
    assert is_steady(large), f"from {small} with {few} rows to {large} with {many}"
    assert max(large.values()) < 200e6, large
