"""Colours, axes and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastem._extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito's palette without the yellow, which is faint on white; beyond six components the line changes too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
LINES = ("-", "--", "-.", ":")
# With more components a legend would hide the picture, and name the same colour twice.
MOST_LABELS = len(COLOURS)


def axes_or_new(ax: Axes | None) -> Axes:
    """The axes that are given, or those of a new figure."""
    require("matplotlib", "plot", "plotting")
    if ax is not None:
        return ax
    return require("matplotlib.pyplot", "plot", "plotting").subplots(figsize=(7, 4.5), layout="constrained")[1]


def finished(ax: Axes) -> Axes:
    """A picture with its legend, and without its frame."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize="small", framealpha=0.85, edgecolor="none")
    return ax


def finished_course(ax: Axes) -> Axes:
    """A picture of a course over whole numbers."""
    ax.xaxis.set_major_locator(require("matplotlib.ticker", "plot", "plotting").MaxNLocator(integer=True))
    ax.ticklabel_format(axis="y", useOffset=False)
    return finished(ax)


def component_style(component: int) -> dict[str, Any]:
    """Colour and line of a component."""
    n_colours = len(COLOURS)
    return {"color": COLOURS[component % n_colours], "linestyle": LINES[component // n_colours % len(LINES)]}


def component_label(component: int, weights: np.ndarray) -> str | None:
    """The name of a component in the legend; None where there are too many for names of their own."""
    if len(weights) <= MOST_LABELS:
        return f"component {component} ({100 * weights[component]:.3g}%)"
    return f"{len(weights)} components" if component == 0 else None
