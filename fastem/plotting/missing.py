"""Which values rows miss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

from fastem.given import floats, in_reach, require_count
from fastem.plotting.style import COLOURS, axes_or_new

# Rows that are looked at together.
_PIECE_ROWS = 2**16


def plot_missing(X: Any, ax: Axes | None = None, *, most: int = 20) -> Axes:
    """Draw which values rows miss: a line for each pattern, the most frequent first, and how many rows have it.

    Parameters
    ----------
    X : array-like (N, D) or data frame
        NaN, and null, are missing.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    most : int, default 20
        Patterns that are drawn; others are counted together.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    ValueError
        For what is no table of numbers.
    MissingExtraError
        Without matplotlib.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> X[:50, 0] = np.nan
    >>> ax = plot_missing(X)
    >>> ax.figure.savefig("missing.png")
    """
    require_count("most", most)
    X = in_reach(X)
    names = [str(name) for name in getattr(X, "columns", ())]
    is_missing = _missing_in(X)
    names = names or [str(column) for column in range(is_missing.shape[1])]
    patterns, counts = np.unique(is_missing, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shown, n_other = order[:most], int(counts[order[most:]].sum())
    ax = axes_or_new(ax)
    ax.imshow(patterns[shown], aspect="auto", cmap=_two_colours(), vmin=0, vmax=1, interpolation="none")
    # Between the cells, lines of the background.
    ax.set_xticks(np.arange(-0.5, len(names)), minor=True)
    ax.set_yticks(np.arange(-0.5, len(shown)), minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="both", length=0)
    shares = is_missing.mean(axis=0)
    labels = [f"{name}\n{share:.1%}" for name, share in zip(names, shares, strict=True)]
    ax.set_xticks(range(len(names)), labels, rotation=90 if len(names) > 8 else 0)
    ax.set_yticks(range(len(shown)), [f"{count} rows" for count in counts[shown]])
    others = f"; {n_other} rows have one of {len(order) - most} other patterns" if n_other else ""
    ax.set_xlabel(f"missing values are dark{others}")
    ax.spines[:].set_visible(False)
    return ax


def _missing_in(X: Any) -> np.ndarray:
    """Which values (N, D) of a table are missing."""
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):
        parts = [X[name].isna() if hasattr(X[name], "isna") else X[name].is_null() for name in X.columns]
        nan = [np.isnan(floats(X[name], str(name))) for name in X.columns]
        return np.stack([np.asarray(part) | also for part, also in zip(parts, nan, strict=True)], axis=1)
    values = floats(X, "X")
    values = values.reshape(-1, 1) if values.ndim == 1 else values
    if values.ndim != 2 or len(values) == 0:
        raise ValueError(f"X must be a table of rows and columns, got an array of shape {values.shape}.")
    return np.concatenate([np.isnan(values[i : i + _PIECE_ROWS]) for i in range(0, len(values), _PIECE_ROWS)])


def _two_colours() -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap(["#E4E4E4", COLOURS[0]])
