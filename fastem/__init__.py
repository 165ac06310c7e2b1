"""Expectation-maximisation at the speed of the hardware, on data that fits in memory and on data that does not."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from fastem.estimators import GaussianMixture, load

try:
    __version__ = version("fastem")
except PackageNotFoundError:
    __version__ = "unknown"

__all__ = ["GaussianMixture", "load"]
