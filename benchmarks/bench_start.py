"""What comes before the first iteration: import, compilation, first parameters."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from benchmarks import common
from benchmarks.common import CHECKED_ROWS, PROFILE, PROFILES, WORKLOADS
from fastem.families.gaussian.location_scatter import STRUCTURES
from fastem.sources import as_source
from fastem.starts.start import STARTS, sample_size, start_from_sample

_IMPORT = """
import time
start = time.perf_counter()
{statement}
print(time.perf_counter() - start)
"""

_FIRST_FIT = """
import time
import numpy as np
from fastem import GaussianMixture
X = np.random.default_rng(0).normal(size=(2000, 2))
start = time.perf_counter()
GaussianMixture(2, covariance_type={covariance_type!r}, max_iter=2, random_state=0).fit(X)
print(time.perf_counter() - start)
"""


_WARMUP = """
import time
import fastem
start = time.perf_counter()
fastem.warmup({covariance_type!r})
print(time.perf_counter() - start)
"""


def seconds_in_fresh_process(code: str, **environment: str) -> float:
    """Run code that prints a time in a new interpreter."""
    # An installer writes the bytecode of every package; ours would be compiled each time where nothing may write it.
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""} | environment
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return float(result.stdout)


class Import:
    """Time of the import, alone and relative to the imports that the estimator cannot do without."""

    statements: ClassVar[dict[str, str]] = {
        "package": "import fastem",
        "estimator": "from fastem import GaussianMixture",
        "needed": "import sklearn.mixture, numba",
    }

    def setup_cache(self) -> dict[str, list[float]]:
        """Times of the statements, taken in turn; the first round only fills caches of bytecode and of files."""
        rounds = [
            {name: seconds_in_fresh_process(_IMPORT.format(statement=code)) for name, code in self.statements.items()}
            for _ in range(1 + PROFILES[PROFILE].rounds)
        ]
        return {name: [seconds[name] for seconds in rounds[1:]] for name in self.statements}

    def track_package(self, seconds: dict[str, list[float]]) -> float:
        return float(np.median(seconds["package"]))

    track_package.unit = "s"

    def track_package_ratio(self, seconds: dict[str, list[float]]) -> float:
        return float(np.median(np.divide(seconds["package"], seconds["needed"])))

    track_package_ratio.unit = "time of the package / time of sklearn.mixture and numba"

    def track_estimator(self, seconds: dict[str, list[float]]) -> float:
        return float(np.median(seconds["estimator"]))

    track_estimator.unit = "s"

    def track_estimator_ratio(self, seconds: dict[str, list[float]]) -> float:
        return float(np.median(np.divide(seconds["estimator"], seconds["needed"])))

    track_estimator_ratio.unit = "time of the estimator / time of sklearn.mixture and numba"


class FirstFitRecord(NamedTuple):
    """Seconds of the first fit of a process with an empty and with a filled cache, and the size of the cache.

    `warmup` are the seconds to fill an empty cache with all that fits and predictions need.
    """

    cold: float
    warm: float
    warmup: float
    n_bytes: int
    n_files: int


class FirstFit:
    """The first small fit of a process, import not included."""

    params = (["diag"] if PROFILE == "toy" else list(STRUCTURES),)
    param_names = ("covariance_type",)

    def setup_cache(self) -> dict[str, FirstFitRecord]:
        return {covariance_type: self.record(covariance_type) for covariance_type in self.params[0]}

    setup_cache.timeout = 1800

    def record(self, covariance_type: str) -> FirstFitRecord:
        code = _FIRST_FIT.format(covariance_type=covariance_type)
        with tempfile.TemporaryDirectory() as directory:
            cold, *warm = (
                seconds_in_fresh_process(code, NUMBA_CACHE_DIR=directory, PYTHONWARNINGS="ignore")
                for _ in range(1 + PROFILES[PROFILE].rounds)
            )
            files = [path for path in Path(directory).rglob("*") if path.is_file()]
            size = sum(path.stat().st_size for path in files)
        with tempfile.TemporaryDirectory() as directory:
            warmup = seconds_in_fresh_process(
                _WARMUP.format(covariance_type=covariance_type), NUMBA_CACHE_DIR=directory
            )
        return FirstFitRecord(cold, float(np.median(warm)), warmup, size, len(files))

    def track_cold(self, records: dict[str, FirstFitRecord], covariance_type: str) -> float:
        return records[covariance_type].cold

    track_cold.unit = "s"

    def track_warm(self, records: dict[str, FirstFitRecord], covariance_type: str) -> float:
        return records[covariance_type].warm

    track_warm.unit = "s"

    def track_warmup(self, records: dict[str, FirstFitRecord], covariance_type: str) -> float:
        return records[covariance_type].warmup

    track_warmup.unit = "s"

    def track_cache_bytes(self, records: dict[str, FirstFitRecord], covariance_type: str) -> int:
        return records[covariance_type].n_bytes

    track_cache_bytes.unit = "bytes"

    def track_cache_files(self, records: dict[str, FirstFitRecord], covariance_type: str) -> int:
        return records[covariance_type].n_files

    track_cache_files.unit = "files"


class Start:
    """First parameters by each method; "quantile" on the one-dimensional rows that it is for."""

    params = (list(STARTS),)
    param_names = ("init_params",)

    def setup(self, method: str) -> None:
        self.workload = WORKLOADS[0 if method == "quantile" else 2]
        self.X = common.rows_of(self.workload)
        self.model, _ = common.model_of(self.workload)
        self.start(method)

    def start(self, method: str) -> common.Parameters:
        random = np.random.default_rng(0)
        sample = as_source(self.X).sample(sample_size(self.workload.n_components, self.workload.n_features), random)
        params, _ = start_from_sample(method, self.model, sample, random)
        return common.Parameters(params.latent.weights, params.family.means, params.family.covariances)

    def time_start(self, method: str) -> None:
        self.start(method)

    def track_distance(self, method: str) -> float:
        """Log-likelihood per row that the start leaves to gain, up to the true parameters."""
        checked = self.X[:CHECKED_ROWS]
        reached = common.mean_log_likelihood(checked, self.start(method))
        return common.mean_log_likelihood(checked, common.true_parameters(self.workload)) - reached

    track_distance.unit = "nats per row"
    track_distance.bound = 10.0
