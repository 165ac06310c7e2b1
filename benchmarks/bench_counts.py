"""Work that is counted instead of timed: the same on every run, however busy the machine is.

Files and bytes of compiled kernels are counted in `bench_start`.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import numpy as np

import fastem
from benchmarks import common
from benchmarks.common import OVERLAPPING, SEPARATED, WORKLOADS, Workload
from fastem import GaussianMixture
from fastem.passes import row_pass, score_pass
from fastem.passes.units import BLOCK


class Counted:
    """What the passes of a fit have read, and the most bytes of arrays that lived while one of them began."""

    def __init__(self) -> None:
        self.passes = self.blocks = self.bytes = 0

    def add(self, n_rows: int) -> None:
        """Count a pass over so many rows."""
        self.passes += 1
        self.blocks += -(-n_rows // BLOCK)
        arrays = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
        traces = tracemalloc.take_snapshot().filter_traces([arrays]).traces
        self.bytes = max(self.bytes, sum(trace.size for trace in traces))


@contextmanager
def counting() -> Iterator[Counted]:
    """Count the passes, of fits and of scores."""
    counted = Counted()

    def watched(function: Any, place: int) -> Any:
        def call(*arguments: Any, **options: Any) -> None:
            counted.add(arguments[place].n_rows)
            function(*arguments, **options)

        return call

    # Garbage counts, or not, by chance.
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        with (
            mock.patch.object(row_pass, "fused_pass", watched(row_pass.fused_pass, 2)),
            mock.patch.object(score_pass, "score_pass", watched(score_pass.score_pass, 2)),
        ):
            yield counted
    finally:
        tracemalloc.stop()
        gc.enable()


class Passes:
    """Counts of a fit of five iterations and a prediction."""

    params = (WORKLOADS,)
    param_names = ("workload",)

    def setup(self, workload: Workload) -> None:
        self.X = common.rows_of(workload)
        self.settings = {**common.start_settings(workload), **common.PLAIN, "max_iter": 5, "tol": 0.0}
        # Whatever is imported, compiled or kept on first use belongs to no count.
        self.count()

    def count(self) -> Counted:
        with common.quiet(), counting() as counted:
            GaussianMixture(**self.settings).fit(self.X).predict(self.X)
        return counted

    def track_passes(self, workload: Workload) -> int:
        return self.count().passes

    track_passes.unit = "passes"

    def track_blocks(self, workload: Workload) -> int:
        return self.count().blocks

    track_blocks.unit = "blocks"

    def track_bytes(self, workload: Workload) -> int:
        """Of arrays, beside the rows themselves, at the beginning of the pass at which they are most."""
        return self.count().bytes

    track_bytes.unit = "bytes"


_EVALUATIONS = """
import json, sys
from benchmarks import common
from fastem.passes import row_pass
from fastem.sources import Chunk

evaluated = blocks = 0
log_prob = row_pass.block_log_prob

def counted(*arguments):
    global evaluated, blocks
    n_components = log_prob(*arguments)
    evaluated, blocks = evaluated + n_components, blocks + 1
    return n_components

row_pass.block_log_prob = counted
workload = common.Workload(1056, 2, 36, "diag", separation=float(sys.argv[1]))
model, start = common.model_of(workload)
model.e_step(start, Chunk(common.rows_of(workload), None, 0))
print(json.dumps(evaluated / (blocks * workload.n_components)))
"""


class Evaluations:
    """The share of components whose densities are evaluated in a block, counted by interpreted kernels."""

    params: ClassVar = ([OVERLAPPING, SEPARATED],)
    param_names = ("separation",)

    def track_share(self, separation: float) -> float:
        places = [Path(fastem.__file__).parents[1], Path(__file__).parents[1]]
        environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(map(str, places))}
        command = [sys.executable, "-P", "-c", _EVALUATIONS, str(separation)]
        return float(json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout))

    track_share.unit = "evaluated / all"
    track_share.bound = 1.0
