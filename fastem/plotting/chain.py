"""Chains: states over time, transitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

from fastem.plotting.drawable import column_of, feature_names, labels_of, read_features, read_table
from fastem.plotting.style import COLOURS, MOST_LABELS, axes_or_new, finished

_MOST_NUMBERS = 12


def plot_states(
    hmm: Any, X: Any, lengths: Any = None, ax: Axes | None = None, *, feature: Any = 0, sequence: int = 0
) -> Axes:
    """Draw a feature of one sequence over its most probable states.

    Parameters
    ----------
    hmm : fitted hidden Markov model
    X : array-like (N, D), or (N,) for one feature, or data frame
    lengths : array-like (S,) of int, optional
        Lengths of the sequences in X; by default there is one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    feature : int or str, default 0
        Index or name of the feature to show.
    sequence : int, default 0
        Index of the sequence to show.

    Returns
    -------
    ax : matplotlib.axes.Axes
        Bands have the colours of states; lines are the means of states that have such.

    Raises
    ------
    ValueError
        For a model without parameters, data that do not fit it, and a feature or sequence that is not there.
    MissingExtraError
        Without matplotlib.

    Examples
    --------
    >>> from fastem import GaussianHMM
    >>> hmm = GaussianHMM.from_parameters([1, 0], [[0.9, 0.1], [0.2, 0.8]], [0.0, 9.0], [1.0, 1.0])
    >>> x, _ = hmm.sample(100, random_state=0)
    >>> ax = plot_states(hmm, x)
    >>> ax.figure.savefig("states.png")
    """
    _require_chain(hmm)
    X = read_table(hmm, X)
    names = feature_names(hmm, X)
    column = read_features(feature, names)[0]
    ends = np.cumsum([X.shape[0]] if lengths is None else lengths)
    if not 0 <= sequence < len(ends) or ends[-1] != X.shape[0]:
        raise ValueError(f"There is no sequence {sequence} in {X.shape[0]} rows of {len(ends)} sequences.")
    rows = np.arange(ends[sequence - 1] if sequence else 0, ends[sequence])
    values, states = column_of(X, column, rows), labels_of(hmm, X, rows)
    ax = axes_or_new(ax)
    time = np.arange(rows.size)
    ax.plot(time, values, color="#4D4D4D", linewidth=1.0, label="data")
    _draw_bands(ax, states, hmm.transmat_.shape[0])
    if hasattr(hmm, "means_"):
        means = hmm.marginal(column).means
        ax.step(time, means[states], where="mid", color="black", linewidth=1.5, label="mean of the state")
    ax.set(xlabel="row of the sequence", ylabel=names[column], xlim=(-0.5, rows.size - 0.5))
    return finished(ax)


def plot_transitions(hmm: Any, ax: Axes | None = None) -> Axes:
    """Draw the transition matrix as a heat map.

    Parameters
    ----------
    hmm : fitted hidden Markov model
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    ValueError
        For a model without parameters.
    MissingExtraError
        Without matplotlib.

    Examples
    --------
    >>> from fastem import GaussianHMM
    >>> hmm = GaussianHMM.from_parameters([1, 0], [[0.9, 0.1], [0.2, 0.8]], [0.0, 9.0], [1.0, 1.0])
    >>> ax = plot_transitions(hmm)
    >>> ax.figure.savefig("transitions.png")
    """
    _require_chain(hmm)
    ax = axes_or_new(ax)
    matrix = hmm.transmat_
    image = ax.imshow(matrix, vmin=0.0, vmax=1.0, cmap="Blues")
    ax.figure.colorbar(image, ax=ax, label="probability")
    states = np.arange(len(matrix))
    ax.set(xlabel="to state", ylabel="from state", xticks=states, yticks=states)
    if len(matrix) <= _MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(matrix):
            colour = "white" if value > 0.6 else "black"
            ax.text(column, row, f"{value:.2g}", ha="center", va="center", color=colour, fontsize="small")
    return ax


def _require_chain(hmm: Any) -> None:
    if not hasattr(hmm, "transmat_"):
        raise ValueError("There is no chain to draw: this model has no parameters. Call fit first.")


def _draw_bands(ax: Axes, states: np.ndarray, n_states: int) -> None:
    starts = np.flatnonzero(np.diff(states, prepend=-1))
    stops = np.append(starts[1:], states.size)
    seen = set()
    for start, stop in zip(starts, stops, strict=True):
        state = int(states[start])
        label = f"state {state}" if state not in seen and n_states <= MOST_LABELS else None
        seen.add(state)
        colour = COLOURS[state % len(COLOURS)]
        ax.axvspan(start - 0.5, stop - 0.5, color=colour, alpha=0.25, linewidth=0, label=label, zorder=0)
