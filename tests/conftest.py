"""Where kernels are kept, how threads wait, and what all tests share."""

from __future__ import annotations

import getpass
import os
import tempfile
from pathlib import Path

import matplotlib
import pytest

# Test processes run side by side. Threads of OpenMP that wait for the next loop would take the processor from them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"fastem-kernels-{getpass.getuser()}"))
matplotlib.use("Agg")

from tests.cases import CASES

ROOT = Path(__file__).parent.parent


def pytest_generate_tests(metafunc):
    """A test with an argument `case` runs for every family under every latent structure, or for its module's cases."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", getattr(metafunc.module, "CASES", CASES), ids=lambda case: case.name)


@pytest.fixture
def faithful():
    import numpy as np

    return np.loadtxt(ROOT / "examples" / "faithful.csv", delimiter=",", skiprows=1)
