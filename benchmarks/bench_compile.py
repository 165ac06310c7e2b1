"""First calls: processor time of a fit whose kernels are compiled, and of one that finds them on disk."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from benchmarks.common import PROFILE

CODE = """
import time, warnings, numpy as np, sklearn.mixture, fastem
warnings.simplefilter("ignore")
X = np.abs(np.random.default_rng(0).normal(size=(200, 4)))
models = {{
    "poisson": lambda: fastem.Mixture("poisson", 3, max_iter=5, random_state=0),
    "hmm": lambda: fastem.GaussianHMM(3, n_iter=5, random_state=0),
}}
name = {name!r}
fastem.GaussianHMM, fastem.GaussianMixture, fastem.Mixture
start = time.process_time()
model = models.get(name, lambda: fastem.GaussianMixture(3, covariance_type=name, max_iter=5, random_state=0))()
model.fit(np.floor(4.0 * X) if name == "poisson" else X)
print(time.process_time() - start)
"""


class FirstFit:
    """In a process of its own, on one thread, where the packages are imported already."""

    params = (["full"] if PROFILE == "toy" else ["full", "tied", "diag", "spherical", "poisson", "hmm"],)
    param_names = ("model",)
    number, repeat, timeout = 1, 3, 600

    def setup(self, name: str) -> None:
        self.cold = tempfile.TemporaryDirectory()

    def teardown(self, name: str) -> None:
        self.cold.cleanup()

    def seconds(self, name: str) -> float:
        environment = {**os.environ, "NUMBA_CACHE_DIR": self.cold.name, "NUMBA_NUM_THREADS": "1"}
        command = [sys.executable, "-c", CODE.format(name=name)]
        return float(subprocess.check_output(command, env=environment, text=True))

    def track_compiling(self, name: str) -> float:
        return self.seconds(name)

    track_compiling.unit = "seconds"

    def track_loading(self, name: str) -> float:
        self.seconds(name)
        return min(self.seconds(name) for _ in range(3))

    track_loading.unit = "seconds"
