"""Densities of mixtures over their data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastem._extras import require
from fastem._text import unknown_choice
from fastem.plotting.drawable import (
    Drawable,
    column_of,
    feature_names,
    first_with_a_curve,
    labels_of,
    read_features,
    read_rows,
    read_table,
    scatter_of,
    spread,
)
from fastem.plotting.style import COLOURS, axes_or_new, component_label, component_style, finished

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastem.families._marginal import Marginal

MOST_ROWS = 200_000
# More points hide each other; a kernel density estimate costs rows times grid.
MOST_POINTS = 5_000
_MOST_BINS = 100


def plot_density(
    mixture: Drawable,
    X: Any,
    ax: Axes | None = None,
    *,
    sample_weight: Any = None,
    features: Any = None,
    kind: str = "auto",
    bins: Any = None,
    kde: bool = False,
) -> Axes:
    """Draw data and the fitted mixture: a histogram with densities, or rows in the plane with ellipses.

    Parameters
    ----------
    mixture : GaussianMixture, Mixture, ...
        Fitted, or made from parameters. Those without covariances show the means of components in the plane, and the
        probabilities of discrete features.
    X : array-like (N, D), or (N,) for one feature, or data frame
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    sample_weight : array-like (N,), optional
        Weights of rows in the histogram, the hexagons and the kernel density estimate. Points are drawn
        alike, without those of weight zero.
    features : int, str, or one or two of them, optional
        Indices or names of the features to show, with the marginal distribution of the mixture. One
        feature gives a histogram, two give a plane. By default the first two, or the only one; of mixtures
        that are not Gaussian, the first that has a curve.
    kind : {"auto", "scatter", "hexbin"}, default "auto"
        In the plane: points coloured by their most probable component, or shares of rows in hexagons.
        "auto" takes points up to 5 000 rows.
    bins : int, sequence or str, optional
        As in `numpy.histogram_bin_edges`, by default "rice", or whole numbers. In the plane an int, the number of
        hexagons across, by default 40.
    kde : bool, default False
        Add a Gaussian kernel density estimate (`scipy.stats.gaussian_kde`) to a histogram.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    ValueError
        For a model without parameters, data that do not fit it, or options that do not fit the picture; and for counts
        with an exposure or of a given total, which have no one density.
    TypeError
        For a family of your own that has no marginals.
    MissingExtraError
        Without matplotlib.

    Notes
    -----
    Ellipses lie 1 and 2 standard deviations from the mean (in Mahalanobis distance): they hold 39.3% and
    86.5% of the probability of their component.

    Of a row that misses a value, in a picture of points, the model's expectation is drawn, by a cross; other
    pictures leave it out.

    X is never copied as a whole: a histogram or hexagons show at most 200 000 rows, points and the kernel
    density estimate at most 5 000, taken evenly from all of X with a fixed seed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import GaussianMixture
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> ax = plot_density(GaussianMixture(random_state=0).fit(X), X, features=(0, 2))
    >>> ax.figure.savefig("density.png")
    """
    if not hasattr(mixture, "weights_"):
        raise ValueError(
            "There is no mixture to draw: this model has no weights. Call fit first. Chains have plot_states."
        )
    X = read_table(mixture, X)
    names = feature_names(mixture, X)
    has_ellipses = scatter_of(mixture, [0]) is not None
    if features is None and not has_ellipses:
        features = first_with_a_curve(mixture)
    columns = read_features(features, names)
    kind = _read_kind(kind, kde, len(columns), X.shape[0])
    rows, weight = read_rows(sample_weight, X.shape[0], MOST_POINTS if kind == "scatter" else MOST_ROWS)
    points = np.stack([column_of(X, column, rows) for column in columns])
    if np.any(np.isinf(points)):
        raise ValueError("Only finite numbers can be drawn: drop the rows of X that hold infinity.")
    gaps = rows[np.isnan(points).any(axis=0)]
    rows, weight, points = _that_are_there(rows, weight, points)
    marginals = [mixture.marginal(column) for column in columns]
    if kde and marginals[0].is_discrete:
        raise ValueError("kde=True needs a feature that is no count or code.")
    ax = axes_or_new(ax)
    if len(columns) == 1:
        if bins is None and marginals[0].is_discrete:
            bins = _whole_bins(points[0])
        _draw_histogram(ax, points[0], weight, bins)
        _draw_curves(ax, points[0], weight if kde else None, mixture.weights_, marginals[0])
        ax.set(xlabel=names[columns[0]], ylabel="share of rows" if marginals[0].is_discrete else "density")
        return finished(ax)
    if kind == "scatter":
        _draw_points(ax, points, labels_of(mixture, X, rows))
        _draw_filled(ax, mixture, X, gaps, columns)
    else:
        _draw_hexagons(ax, points, weight, bins)
    means = np.stack([marginal.means for marginal in marginals], axis=1)
    if has_ellipses:
        _draw_ellipses(ax, means, mixture.scatter(columns))
    _draw_means(ax, mixture.weights_, means)
    if has_ellipses:
        ax.plot([], [], color="#4D4D4D", label="1 and 2 standard deviations")
    ax.set(xlabel=names[columns[0]], ylabel=names[columns[1]])
    return finished(ax)


def _that_are_there(rows: np.ndarray, weight: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rows (N,), their weights and points (d, N), without those that miss a value."""
    there = ~np.isnan(points).any(axis=0)
    if not there.any():
        raise ValueError("No row of X has the values that are to be drawn.")
    return rows[there], weight[there], points[:, there]


def _draw_filled(ax: Axes, mixture: Any, X: Any, rows: np.ndarray, columns: list[int]) -> None:
    """Rows that miss one of the two values, where the model expects them."""
    if rows.size == 0:
        return
    known = np.stack([column_of(X, column, rows) for column in range(X.shape[1])], axis=1)
    x, y = mixture.impute(known)[:, columns].T
    ax.plot(x, y, "x", color="#4D4D4D", markersize=4, alpha=0.55, label="a value filled in")


def _read_kind(kind: str, kde: bool, n_shown: int, n_rows: int) -> str:
    """How two features are drawn, once the choice is checked."""
    kinds = ("auto", "scatter", "hexbin")
    if kind not in kinds:
        raise ValueError(unknown_choice("kind", kind, kinds))
    if n_shown == 1 and kind != "auto":
        raise ValueError(f"kind={kind!r} needs two features, and this picture shows one.")
    if n_shown == 2 and kde:
        raise ValueError("kde=True needs one feature, and this picture shows two: choose one by features.")
    if n_shown == 2 and kind == "auto":
        return "scatter" if n_rows <= MOST_POINTS else "hexbin"
    return kind


def _draw_histogram(ax: Axes, x: np.ndarray, weight: np.ndarray, bins: Any) -> None:
    # Edges are found apart because NumPy's rules for them do not take weights.
    edges = np.histogram_bin_edges(x, "rice" if bins is None else bins)
    density, _ = np.histogram(x, edges, weights=weight, density=True)
    ax.stairs(density, edges, fill=True, color="#D9D9D9", label="data")


def _whole_bins(x: np.ndarray) -> np.ndarray:
    """Edges of bins around whole numbers, as many in each, and not too many bins."""
    first, last = np.floor(x.min()), np.ceil(x.max())
    width = np.ceil((last - first + 1) / _MOST_BINS)
    return np.arange(first, last + width + 1, width) - 0.5


def _draw_curves(
    ax: Axes, x: np.ndarray, kde_weight: np.ndarray | None, weights: np.ndarray, marginal: Marginal
) -> None:
    # An even grid over everything would step over narrow components.
    near = (marginal.means[:, None] + marginal.sds[:, None] * np.linspace(-4, 4, 129)).ravel()
    grid = np.concatenate([near, np.linspace(x.min(), x.max(), 257)])
    grid = np.unique(np.round(grid) if marginal.is_discrete else grid)
    components = weights[:, None] * marginal.density(grid)
    # Values that cannot be are no part of the picture.
    possible = components.any(axis=0)
    grid, components = grid[possible], components[:, possible]
    marker = "o" if marginal.is_discrete and grid.size <= _MOST_BINS else None
    for k, component in enumerate(components):
        label = component_label(k, weights)
        ax.plot(grid, component, linewidth=1.5, marker=marker, markersize=4, label=label, **component_style(k))
    ax.plot(grid, components.sum(axis=0), color="black", linewidth=1.8, marker=marker, markersize=4, label="mixture")
    if kde_weight is not None:
        ax.plot(grid, _kernel_density(x, kde_weight, grid), ":", color=COLOURS[5], linewidth=2, label="kernel density")
    ax.set_ylim(bottom=0)


def _kernel_density(x: np.ndarray, weight: np.ndarray, grid: np.ndarray) -> np.ndarray:
    from scipy.stats import gaussian_kde

    if np.ptp(x) == 0:
        raise ValueError("kde=True needs rows that differ.")
    rows = spread(x.size, MOST_POINTS)
    return gaussian_kde(x[rows], weights=weight[rows])(grid)


def _draw_points(ax: Axes, points: np.ndarray, labels: np.ndarray) -> None:
    colours = np.array(COLOURS)[labels % len(COLOURS)]
    size = np.clip(20_000 / labels.size, 5, 24)
    ax.scatter(points[0], points[1], s=size, c=colours, alpha=0.55, linewidths=0)


def _draw_hexagons(ax: Axes, points: np.ndarray, weight: np.ndarray, bins: Any) -> None:
    percent, n_across = 100 * weight / weight.sum(), 40 if bins is None else bins
    hexagons = ax.hexbin(
        points[0], points[1], percent, gridsize=n_across, reduce_C_function=np.sum, mincnt=1, bins="log", cmap="Greys"
    )
    ax.figure.colorbar(hexagons, ax=ax, label="rows in a hexagon (% of all)", format="%g")


def _draw_ellipses(ax: Axes, means: np.ndarray, covariances: np.ndarray) -> None:
    patches = require("matplotlib.patches", "plot", "plotting")
    effects = require("matplotlib.patheffects", "plot", "plotting")
    # A rim of white sets the ellipses off from dark hexagons and from points of their own colour.
    line = {"fill": False, "linewidth": 1.8, "path_effects": [effects.withStroke(linewidth=3.5, foreground="white")]}
    for k, covariance in enumerate(covariances):
        variances, directions = np.linalg.eigh(covariance)
        minor, major = np.sqrt(np.maximum(variances, 0))
        angle = np.degrees(np.arctan2(directions[1, 1], directions[0, 1]))
        for n_sd in (1, 2):
            axes = 2 * n_sd * major, 2 * n_sd * minor
            ellipse = patches.Ellipse(means[k], *axes, angle=angle, **line, **component_style(k))
            ax.add_patch(ellipse).set_zorder(3)


def _draw_means(ax: Axes, weights: np.ndarray, means: np.ndarray) -> None:
    for k, mean in enumerate(means):
        label, colour = component_label(k, weights), component_style(k)["color"]
        ax.plot(*mean, "o", color=colour, markersize=8, markeredgecolor="white", label=label, zorder=4)
    ax.autoscale_view()
