"""How a fit or a selection went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

from fastem.plotting.style import COLOURS, axes_or_new, component_style, finished_course


def plot_objective(mixture: Any, ax: Axes | None = None) -> Axes:
    """Draw the objective at the start and after each iteration of the fit.

    Parameters
    ----------
    mixture : fitted estimator
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    ValueError
        For a model that was not fitted, for instance one made from parameters.
    MissingExtraError
        Without matplotlib.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import GaussianMixture
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> ax = plot_objective(GaussianMixture(random_state=0).fit(X))
    >>> ax.figure.savefig("objective.png")
    """
    objective = getattr(mixture, "lower_bounds_", None)
    if objective is None:
        raise ValueError("There is no objective to draw: this model was not fitted. Call fit first.")
    ax = axes_or_new(ax)
    last = len(objective) - 1
    ax.plot(range(len(objective)), objective, color=COLOURS[0], linewidth=1.8, label="objective")
    ax.plot(0, objective[0], "o", color=COLOURS[0], markerfacecolor="white", label=f"start: {objective[0]:.6g}")
    end = f"{mixture.stop_reason_.replace('_', ' ')} after {last} iterations: {objective[-1]:.6g}"
    ax.plot(last, objective[-1], "o", color=COLOURS[5], label=end)
    ax.set(xlabel="iteration", ylabel="log-likelihood (nats per row)")
    return finished_course(ax)


def plot_selection(selection: Any, ax: Axes | None = None) -> Axes:
    """Draw the criterion of a selection against the number of components, a line for each type of covariance.

    Parameters
    ----------
    selection : fastem.Selection
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    MissingExtraError
        Without matplotlib.

    Notes
    -----
    Of held-out log-likelihoods, bars show a standard error on either side.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import select
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> ax = plot_selection(select(X, n_components=[1, 2], covariance_types=["diag", "tied"], random_state=0))
    >>> ax.figure.savefig("selection.png")
    """
    ax = axes_or_new(ax)
    criterion = selection.criterion
    kinds = list(dict.fromkeys(row.get("covariance_type") for row in selection.table))
    for index, kind in enumerate(kinds):
        rows = [row for row in selection.table if row.get("covariance_type") == kind]
        sizes, values = ([row[name] for row in rows] for name in ("n_components", criterion))
        style = component_style(index)
        ax.plot(sizes, values, "o", linestyle=style["linestyle"], color=style["color"], markersize=4, label=kind)
        if criterion == "heldout":
            errors = [row["heldout_se"] for row in rows]
            ax.errorbar(sizes, values, yerr=errors, fmt="none", ecolor=style["color"], elinewidth=1)
    best = selection.table[selection.best_index_]
    chosen = f"chosen: {', '.join(str(best[name]) for name in ('covariance_type', 'n_components') if name in best)}"
    size = best["n_components"]
    ax.plot(size, best[criterion], "o", color="black", markersize=10, markerfacecolor="none", label=chosen)
    labels = {"heldout": "held-out log-likelihood (nats per row)", "blrt": "p-value of one more component"}
    label = labels.get(criterion, f"{criterion.upper()} (lower is better)")
    ax.set(xlabel="number of components", ylabel=label)
    return finished_course(ax)
