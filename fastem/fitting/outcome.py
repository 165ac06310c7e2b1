"""What users are warned of when a fit has ended, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastem._naming import named
from fastem.fitting.collapse import too_few_distinct
from fastem.fitting.notes import MissingNote
from fastem.fitting.scan import DataSummary
from fastem.schedules.result import FitResult, Reason


def why_stopped(result: FitResult, most: str, tol: float, *, is_online: bool, more: str, decreased: str) -> str:
    """Why a fit stopped before it converged, and the remedy; empty where it converged.

    `most` bounds the iterations, `more` continues the fit, and `decreased` says why the objective may fall.
    """
    left = result.trace.remaining
    gain = "unknown" if np.isnan(left) else f"{left:.1e} nats per row"
    other = f", or start nearer with other {named('init_params')}"
    if is_online:
        other = named("; from here on schedule='batch' with warm_start=True is quicker")
    remedy = f"Increase {most.partition('=')[0]} or {named('tol')}{other}."
    return {
        Reason.MAX_ITER: f"EM did not converge in {most} iterations: the estimated remaining improvement is {gain} "
        f"({named('tol')}={tol:g}). {remedy}",
        Reason.OBJECTIVE_DECREASED: f"EM stopped: an iteration lowered the objective by "
        f"{result.trace.decrease:.1e} nats per row, and was undone: {decreased}.",
        Reason.INTERRUPTED: f"EM was interrupted after {result.n_iter} iterations: the estimated remaining "
        f"improvement is {gain}. The model holds the best parameters so far; {named(f'continue with {more}')}.",
    }.get(result.reason, "")


def what_is_apart(note: MissingNote | None, labels: Sequence[str]) -> str:
    """Which columns no row has both of, and what that means; empty where there are none."""
    if note is None or not note.apart:
        return ""
    first, second = (labels[j] for j in note.apart[0])
    return (
        f"No row has a value both in column {first} and in column {second}"
        f"{f' (and {len(note.apart) - 1} more such pairs)' * (len(note.apart) > 1)}: the data do not tell how they go "
        "together, and what the model says of that comes from its start and its prior. Leave out one of them, or use "
        f"{named('covariance_type')}='diag'."
    )


def why_collapsed(notes: Sequence[Any], n_components: int, summary: DataSummary) -> str:
    """Which components describe rows that agree, and the remedy; empty where none does."""
    if notes:
        return (
            f"{notes[0]}{f' (and {len(notes) - 1} more)' * (len(notes) > 1)}. Its likelihood is unbounded, and says "
            "nothing about other rows. Ask for fewer components, or leave out rows or columns of one value."
        )
    if summary.is_whole and too_few_distinct(n_components, summary.excerpt.X):
        return (
            f"There are fewer different rows than {named('n_components')}={n_components}: some components describe the "
            "same ones. Ask for fewer components."
        )
    return ""
