"""What a fit remembers of its starts, races, repairs and batches."""

from __future__ import annotations

from dataclasses import dataclass

_STATES = {
    "empty": "was empty",
    "collapsed": "had collapsed",
    "undetermined": "did not determine all its coefficients",
}


@dataclass(frozen=True)
class RepairNote:
    """A component that had to be kept proper.

    Attributes
    ----------
    component : int
        -1 when all components share the parameter.
    cause : {"empty", "collapsed", "undetermined"}
    remedy : str
    first_iteration, last_iteration : int
        0 is the start. Of online EM, updates are counted.
    """

    component: int
    cause: str
    remedy: str
    first_iteration: int
    last_iteration: int

    def __str__(self) -> str:
        return self.describe("iteration")

    def describe(self, step: str) -> str:
        """In words, with the word for what is counted."""
        who = "the shared covariance" if self.component < 0 else f"component {self.component}"
        state = _STATES[self.cause]
        first, last = self.first_iteration, self.last_iteration
        when = f"{step} {first}" if first == last else f"{step}s {first} to {last}"
        return f"{who} {state} at {when}: {self.remedy}"


@dataclass(frozen=True)
class RunNote:
    """One start and where it led: objective in nats per unit of weight."""

    objective: float
    n_iter: int
    stop_reason: str


@dataclass(frozen=True)
class SwapNote:
    """A component that was taken away where it was hardly missed, and put where it was needed.

    Attributes
    ----------
    component : int
    to : int
        The component that it took one half of.
    gain : float
        Of the swap, in nats per unit of weight of the sample; of swaps that were made at once, the mean.
    was_empty : bool
        Whether less than one row of the sample belonged to it.
    """

    component: int
    to: int
    gain: float
    was_empty: bool

    def __str__(self) -> str:
        state = ", which was empty," if self.was_empty else ""
        return f"component {self.component}{state} took one half of component {self.to}: {self.gain:+.2g} nats per row"


@dataclass(frozen=True)
class RaceNote:
    """How the start of a run was chosen, on a sample.

    Attributes
    ----------
    n_rows : int
        Of the sample.
    heats : tuple of tuple of float
        Objectives, in nats per unit of weight, of the starts that ran in each heat; the better half went on.
    winner : int
        Index of the start that won.
    swaps : tuple of SwapNote
    """

    n_rows: int
    heats: tuple[tuple[float, ...], ...]
    winner: int
    swaps: tuple[SwapNote, ...]

    def __str__(self) -> str:
        lines = []
        if self.heats:
            heats = " -> ".join(f"{len(heat)} from {min(heat):.6g} to {max(heat):.6g}" for heat in self.heats)
            lines.append(f"raced on {counted(self.n_rows, 'row')}: {heats}; start {self.winner} won")
        lines.extend(f"swapped: {swap}" for swap in self.swaps)
        return "\n".join(lines)


@dataclass(frozen=True)
class CollapseNote:
    """A component that sits on a point, or on a plane.

    Attributes
    ----------
    component : int
    share : float
        Of its rows that agree in some direction.
    width : float
        Its standard deviation there, in those of the data.
    """

    component: int
    share: float
    width: float

    def __str__(self) -> str:
        return (
            f"component {self.component} has collapsed: {self.share:.0%} of its rows agree in a direction in which it "
            f"is {self.width:.1g} times as wide as the data"
        )


@dataclass(frozen=True)
class MissingNote:
    """What was missing in the rows.

    Attributes
    ----------
    n_missing : tuple of int
        Values of each column, of rows that count and have some value.
    n_patterns : int or None
        Different ways in which rows miss values, that of complete rows included; None for more than 10 000.
    n_empty : int
        Rows without any value. Those of a mixture count as absent; those of a chain are gaps in time.
    apart : tuple of (int, int)
        Pairs of columns that no row has both of: nothing tells how they go together.
    """

    n_missing: tuple[int, ...]
    n_patterns: int | None
    n_empty: int
    apart: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        most = max(range(len(self.n_missing)), key=self.n_missing.__getitem__)
        patterns = "more than 10000 patterns" if self.n_patterns is None else counted(self.n_patterns, "pattern")
        lines = [
            f"missing: {counted(sum(self.n_missing), 'value')} in "
            f"{counted(sum(n > 0 for n in self.n_missing), 'column')}, most ({self.n_missing[most]}) in column {most}; "
            f"{patterns}"
        ]
        if self.n_empty:
            lines.append(f"empty: {counted(self.n_empty, 'row')} without any value")
        if self.apart:
            first = " and ".join(map(str, self.apart[0]))
            lines.append(f"apart: {counted(len(self.apart), 'pair')} of columns that no row has both of, as {first}")
        return "\n".join(lines)


@dataclass(frozen=True)
class OnlineNote:
    """How online EM went.

    Attributes
    ----------
    n_updates : int
        Batches that were learnt from.
    weight : float
        Of their rows; each epoch counts.
    prequential_rows, prequential_loglik : tuple of float
        The course of the log-likelihood of batches before they were learnt from, in nats per row, against the
        weight seen; at most a thousand points.
    held_out_gains, held_out_bounds : tuple of float
        Mean gain of the held-out rows in each epoch, and its upper confidence bound (95 %), in nats per row; NaN
        without such rows.
    alarms : tuple of float
        The weight seen when rows were found to have changed (Page & Hinkley).
    skipped_weight : float
        Of rows of zero density under every component.
    n_skipped : int
        Batches left out because their statistics were not finite.
    """

    n_updates: int
    weight: float
    prequential_rows: tuple[float, ...]
    prequential_loglik: tuple[float, ...]
    held_out_gains: tuple[float, ...]
    held_out_bounds: tuple[float, ...]
    alarms: tuple[float, ...]
    skipped_weight: float
    n_skipped: int


def counted(n: int, noun: str) -> str:
    """A number and its noun."""
    return f"{n} {noun}{'' if n == 1 else 's'}"
