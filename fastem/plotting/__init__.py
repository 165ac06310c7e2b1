"""Pictures, on matplotlib: the extra `plot`."""

from fastem.plotting.chain import plot_states, plot_transitions
from fastem.plotting.density import plot_density
from fastem.plotting.fit import plot_objective, plot_selection
from fastem.plotting.missing import plot_missing
from fastem.plotting.regression import plot_regression

__all__ = [
    "plot_density",
    "plot_missing",
    "plot_objective",
    "plot_regression",
    "plot_selection",
    "plot_states",
    "plot_transitions",
]
