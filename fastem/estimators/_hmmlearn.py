"""What is hmmlearn's way of saying things: its monitor and its warnings."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from fastem._naming import warn

# hmmlearn tells by a logger what fastem tells by a warning: both are there, and only one is shown by default.
_LOG = logging.getLogger("fastem")
_LOG.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Monitor:
    """How a fit went, as hmmlearn's `ConvergenceMonitor` tells it.

    Attributes
    ----------
    history : list of float
        Objective of all rows together, in nats, at the start and after each iteration that was kept.
    iter : int
        Iterations that were run.
    converged : bool
        Whether no improvement remains. (hmmlearn's is true as well when iterations ran out.)
    tol : float
    n_iter : int
        Largest number of iterations.
    """

    history: list[float]
    iter: int
    converged: bool
    tol: float
    n_iter: int


def monitor_of(hmm: Any) -> Monitor:
    """The monitor of the last fit of a chain; an empty one before."""
    if not hasattr(hmm, "fit_report_"):
        return Monitor([], 0, False, hmm.tol, hmm.n_iter)
    history = [objective * hmm.fit_report_.weight for objective in hmm.lower_bounds_]
    return Monitor(history, hmm.n_iter_, hmm.converged_, hmm.tol, hmm.n_iter)


def tell_overwritten(name: str, letter: str) -> None:
    """Warn that a start that was set by hand is not used, in hmmlearn's words."""
    message = (
        f"Even though the {name!r} attribute is set, it will be overwritten during initialization because "
        f"'init_params' contains {letter!r}. Leave that letter out of init_params to start there."
    )
    _LOG.warning(message)
    warn(message, UserWarning)
