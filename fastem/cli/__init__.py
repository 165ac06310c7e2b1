"""The command line: what a shell user types, in terms of estimators. One file for each group of commands."""

from fastem.cli import fit, select, saved, impute, machine  # noqa: F401, I001  (the help lists commands in this order)
from fastem.cli.app import app

__all__ = ["app"]
