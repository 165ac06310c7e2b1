"""Pictures of fitted mixtures, their selection and hidden Markov models, by matplotlib (the extra `plot`).

Functions read the public attributes of an estimator, draw into given or new axes, and return the axes; none calls
`matplotlib.pyplot.show`. Colours are those of Okabe & Ito, which differ for every kind of colour vision.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from fastem._extras import require
from fastem._text import unknown_choice
from fastem.given import floats, in_reach, plain_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastem.families._marginal import Marginal

# Okabe & Ito's palette without the yellow, which is faint on white; beyond six components the line changes too.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_LINES = ("-", "--", "-.", ":")
# With more components a legend would hide the picture, and name the same colour twice.
_MOST_LABELS = len(_COLOURS)
# Numbers in the cells of a larger matrix could not be read.
_MOST_NUMBERS = 12
# More rows change no histogram that an eye can read.
_MOST_ROWS = 200_000
# More points hide each other; a kernel density estimate costs rows times grid.
_MOST_POINTS = 5_000
# Of whole numbers, more bars are as thin as lines.
_MOST_BINS = 100


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
    ax = _axes_or_new(ax)
    ticker = require("matplotlib.ticker", "plot", "plotting")
    last = len(objective) - 1
    ax.plot(range(len(objective)), objective, color=_COLOURS[0], linewidth=1.8, label="objective")
    ax.plot(0, objective[0], "o", color=_COLOURS[0], markerfacecolor="white", label=f"start: {objective[0]:.6g}")
    end = f"{mixture.stop_reason_.replace('_', ' ')} after {last} iterations: {objective[-1]:.6g}"
    ax.plot(last, objective[-1], "o", color=_COLOURS[5], label=end)
    ax.set(xlabel="iteration", ylabel="log-likelihood (nats per row)")
    ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    ax.ticklabel_format(axis="y", useOffset=False)
    _finish(ax)
    return ax


def plot_density(
    mixture: Any,
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
    mixture : GaussianMixture, PoissonMixture, Mixture, ...
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
    X = _read_table(mixture, X)
    names = _feature_names(mixture, X)
    has_ellipses = hasattr(mixture, "covariances_")
    if features is None and not has_ellipses:
        features = _first_with_a_curve(mixture, len(names))
    columns = _read_features(features, names)
    kind = _read_kind(kind, kde, len(columns), X.shape[0])
    rows, weight = _read_rows(sample_weight, X.shape[0], _MOST_POINTS if kind == "scatter" else _MOST_ROWS)
    points = np.stack([_column(X, column, rows) for column in columns])
    if not np.all(np.isfinite(points)):
        raise ValueError("Only finite numbers can be drawn: drop the rows of X that hold NaN or infinity.")
    marginals = [mixture.marginal(column) for column in columns]
    if kde and marginals[0].is_discrete:
        raise ValueError("kde=True needs a feature that is no count or code.")
    ax = _axes_or_new(ax)
    if len(columns) == 1:
        if bins is None and marginals[0].is_discrete:
            bins = _whole_bins(points[0])
        _draw_histogram(ax, points[0], weight, bins)
        _draw_curves(ax, points[0], weight if kde else None, mixture.weights_, marginals[0])
        ax.set(xlabel=names[columns[0]], ylabel="share of rows" if marginals[0].is_discrete else "density")
    else:
        if kind == "scatter":
            _draw_points(ax, points, _labels(mixture, X, rows))
        else:
            _draw_hexagons(ax, points, weight, bins)
        if has_ellipses:
            _draw_ellipses(ax, mixture.weights_, *_marginal(mixture, columns))
        else:
            _draw_means(ax, mixture.weights_, np.stack([marginal.means for marginal in marginals], axis=1))
        ax.set(xlabel=names[columns[0]], ylabel=names[columns[1]])
    _finish(ax)
    return ax


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
    if not hasattr(hmm, "transmat_"):
        raise ValueError("There is no chain to draw: this model has no parameters. Call fit first.")
    X = _read_table(hmm, X)
    names = _feature_names(hmm, X)
    column = _read_features(feature, names)[0]
    ends = np.cumsum([X.shape[0]] if lengths is None else lengths)
    if not 0 <= sequence < len(ends) or ends[-1] != X.shape[0]:
        raise ValueError(f"There is no sequence {sequence} in {X.shape[0]} rows of {len(ends)} sequences.")
    rows = np.arange(ends[sequence - 1] if sequence else 0, ends[sequence])
    values, states = _column(X, column, rows), _labels(hmm, X, rows)
    ax = _axes_or_new(ax)
    time = np.arange(rows.size)
    ax.plot(time, values, color="#4D4D4D", linewidth=1.0, label="data")
    _draw_bands(ax, states, hmm.transmat_.shape[0])
    if hasattr(hmm, "means_"):
        ax.step(time, hmm.means_[states, column], where="mid", color="black", linewidth=1.5, label="mean of the state")
    ax.set(xlabel="row of the sequence", ylabel=names[column], xlim=(-0.5, rows.size - 0.5))
    _finish(ax)
    return ax


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
    if not hasattr(hmm, "transmat_"):
        raise ValueError("There is no chain to draw: this model has no parameters. Call fit first.")
    ax = _axes_or_new(ax)
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
    ax = _axes_or_new(ax)
    ticker = require("matplotlib.ticker", "plot", "plotting")
    criterion = selection.criterion
    kinds = list(dict.fromkeys(row.get("covariance_type") for row in selection.table))
    for index, kind in enumerate(kinds):
        rows = [row for row in selection.table if row.get("covariance_type") == kind]
        sizes, values = ([row[name] for row in rows] for name in ("n_components", criterion))
        style = _style(index)
        ax.plot(sizes, values, "o", linestyle=style["linestyle"], color=style["color"], markersize=4, label=kind)
        if criterion == "heldout":
            errors = [row["heldout_se"] for row in rows]
            ax.errorbar(sizes, values, yerr=errors, fmt="none", ecolor=style["color"], elinewidth=1)
    best = selection.table[selection.best_index_]
    chosen = f"chosen: {', '.join(str(best[name]) for name in ('covariance_type', 'n_components') if name in best)}"
    size = best["n_components"]
    ax.plot(size, best[criterion], "o", color="black", markersize=10, markerfacecolor="none", label=chosen)
    label = (
        "held-out log-likelihood (nats per row)" if criterion == "heldout" else f"{criterion.upper()} (lower is better)"
    )
    ax.set(xlabel="number of components", ylabel=label)
    ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    ax.ticklabel_format(axis="y", useOffset=False)
    _finish(ax)
    return ax


# Reading.


def _read_table(mixture: Any, X: Any) -> Any:
    """X as a frame or an array with two dimensions, without a copy of either."""
    n_features = mixture.n_features_in_
    fitted = getattr(mixture, "feature_names_in_", None)
    X = in_reach(X)
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):
        if fitted is not None and set(fitted) <= set(X.columns) and len(set(X.columns)) == len(X.columns):
            X = X[list(fitted)]
    else:
        X = plain_array(X)
        X = X.reshape(-1, 1) if X.ndim == 1 and n_features == 1 else X
    if len(X.shape) != 2 or X.shape[1] != n_features:
        raise ValueError(f"X has the shape {X.shape}, but the model has n_features_in_={n_features}.")
    if fitted is not None and hasattr(X, "columns") and list(X.columns) != list(fitted):
        raise ValueError(f"The columns of X are {list(X.columns)}, but the model was fitted to {list(fitted)}.")
    return X


def _feature_names(mixture: Any, X: Any) -> list[str]:
    names = list(getattr(mixture, "feature_names_in_", getattr(X, "columns", ())))
    if names and all(isinstance(name, str) for name in names):
        return names
    return ["x"] if X.shape[1] == 1 else [f"feature {column}" for column in range(X.shape[1])]


def _first_with_a_curve(mixture: Any, n_features: int) -> int:
    for feature in range(n_features):
        with suppress(ValueError):
            mixture.marginal(feature)
            return feature
    return 0


def _read_features(features: Any, names: list[str]) -> list[int]:
    if features is None:
        return list(range(min(len(names), 2)))
    given: list[Any] = [features] if isinstance(features, str | int | np.integer) else list(features)
    columns: list[Any] = [names.index(feature) if feature in names else feature for feature in given]
    known = all(isinstance(column, int | np.integer) and 0 <= column < len(names) for column in columns)
    if not known or len(columns) not in (1, 2) or len(set(columns)) < len(columns):
        raise ValueError(
            f"features must be one or two different indices from 0 to {len(names) - 1}, or names out of {names}; "
            f"got {features!r}."
        )
    return columns


def _read_kind(kind: str, kde: bool, n_shown: int, n_rows: int) -> str:
    kinds = ("auto", "scatter", "hexbin")
    if kind not in kinds:
        raise ValueError(unknown_choice("kind", kind, kinds))
    if n_shown == 1 and kind != "auto":
        raise ValueError(f"kind={kind!r} needs two features, and this picture shows one.")
    if n_shown == 2 and kde:
        raise ValueError("kde=True needs one feature, and this picture shows two: choose one by features.")
    if n_shown == 2 and kind == "auto":
        return "scatter" if n_rows <= _MOST_POINTS else "hexbin"
    return kind


def _read_rows(sample_weight: Any, n_rows: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices and weights of the rows to draw."""
    weight = np.broadcast_to(1.0, n_rows) if sample_weight is None else floats(sample_weight, "sample_weight")
    if weight.shape != (n_rows,) or not (np.all(np.isfinite(weight)) and np.all(weight >= 0)):
        raise ValueError(f"sample_weight must hold {n_rows} finite numbers, none negative.")
    rows = _spread(n_rows, most)
    rows = rows[weight[rows] > 0]
    if rows.size == 0:
        raise ValueError("There is no row of positive weight to draw.")
    return rows, weight[rows]


def _spread(n_rows: int, most: int) -> np.ndarray:
    """Indices of at most `most` rows: one at random from each of as many equal stretches."""
    if n_rows <= most:
        return np.arange(n_rows)
    places = np.arange(most) + np.random.default_rng(0).random(most)
    return (places * (n_rows / most)).astype(np.int64)


def _column(X: Any, column: int, rows: np.ndarray) -> np.ndarray:
    if hasattr(X, "iloc"):
        return X.iloc[rows, column].to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(X[:, column][rows], dtype=np.float64)


def _labels(mixture: Any, X: Any, rows: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        # Where only one of model and data knows names, columns go by their place, as in the rest of the picture.
        warnings.filterwarnings("ignore", message="X (has|does not have valid) feature names")
        return mixture.predict(X.iloc[rows] if hasattr(X, "iloc") else X[rows])


def _marginal(mixture: Any, columns: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Means (K, d) and covariances (K, d, d) of the d chosen features."""
    means, covariances, identity = mixture.means_[:, columns], mixture.covariances_, np.eye(len(columns))
    chosen = {
        "full": lambda: covariances[:, columns][:, :, columns],
        "tied": lambda: covariances[columns][:, columns],
        "diag": lambda: covariances[:, columns, None] * identity,
        "spherical": lambda: covariances[:, None, None] * identity,
    }[mixture.covariance_type]()
    return means, np.broadcast_to(chosen, (len(means), *identity.shape))


# Drawing.


def _axes_or_new(ax: Axes | None) -> Axes:
    require("matplotlib", "plot", "plotting")
    if ax is not None:
        return ax
    return require("matplotlib.pyplot", "plot", "plotting").subplots(figsize=(7, 4.5), layout="constrained")[1]


def _finish(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize="small", framealpha=0.85, edgecolor="none")


def _style(component: int) -> dict[str, Any]:
    n_colours = len(_COLOURS)
    return {"color": _COLOURS[component % n_colours], "linestyle": _LINES[component // n_colours % len(_LINES)]}


def _component_label(component: int, weights: np.ndarray) -> str | None:
    if len(weights) <= _MOST_LABELS:
        return f"component {component} ({100 * weights[component]:.3g}%)"
    return f"{len(weights)} components" if component == 0 else None


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
        label = _component_label(k, weights)
        ax.plot(grid, component, linewidth=1.5, marker=marker, markersize=4, label=label, **_style(k))
    ax.plot(grid, components.sum(axis=0), color="black", linewidth=1.8, marker=marker, markersize=4, label="mixture")
    if kde_weight is not None:
        ax.plot(grid, _kernel_density(x, kde_weight, grid), ":", color=_COLOURS[5], linewidth=2, label="kernel density")
    ax.set_ylim(bottom=0)


def _kernel_density(x: np.ndarray, weight: np.ndarray, grid: np.ndarray) -> np.ndarray:
    from scipy.stats import gaussian_kde

    if np.ptp(x) == 0:
        raise ValueError("kde=True needs rows that differ.")
    rows = _spread(x.size, _MOST_POINTS)
    return gaussian_kde(x[rows], weights=weight[rows])(grid)


def _draw_points(ax: Axes, points: np.ndarray, labels: np.ndarray) -> None:
    colours = np.array(_COLOURS)[labels % len(_COLOURS)]
    size = np.clip(20_000 / labels.size, 5, 24)
    ax.scatter(points[0], points[1], s=size, c=colours, alpha=0.55, linewidths=0)


def _draw_hexagons(ax: Axes, points: np.ndarray, weight: np.ndarray, bins: Any) -> None:
    percent, n_across = 100 * weight / weight.sum(), 40 if bins is None else bins
    hexagons = ax.hexbin(
        points[0], points[1], percent, gridsize=n_across, reduce_C_function=np.sum, mincnt=1, bins="log", cmap="Greys"
    )
    ax.figure.colorbar(hexagons, ax=ax, label="rows in a hexagon (% of all)", format="%g")


def _draw_ellipses(ax: Axes, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> None:
    patches = require("matplotlib.patches", "plot", "plotting")
    effects = require("matplotlib.patheffects", "plot", "plotting")
    # A rim of white sets the ellipses off from dark hexagons and from points of their own colour.
    line = {"fill": False, "linewidth": 1.8, "path_effects": [effects.withStroke(linewidth=3.5, foreground="white")]}
    for k, covariance in enumerate(covariances):
        variances, directions = np.linalg.eigh(covariance)
        minor, major = np.sqrt(np.maximum(variances, 0))
        angle = np.degrees(np.arctan2(directions[1, 1], directions[0, 1]))
        for n_sd in (1, 2):
            ellipse = patches.Ellipse(means[k], 2 * n_sd * major, 2 * n_sd * minor, angle=angle, **line, **_style(k))
            ax.add_patch(ellipse).set_zorder(3)
    _draw_means(ax, weights, means)
    ax.plot([], [], color="#4D4D4D", label="1 and 2 standard deviations")
    ax.autoscale_view()


def _draw_means(ax: Axes, weights: np.ndarray, means: np.ndarray) -> None:
    for k, mean in enumerate(means):
        label, colour = _component_label(k, weights), _style(k)["color"]
        ax.plot(*mean, "o", color=colour, markersize=8, markeredgecolor="white", label=label, zorder=4)


def _draw_bands(ax: Axes, states: np.ndarray, n_states: int) -> None:
    """Colour the background by runs of equal states."""
    starts = np.flatnonzero(np.diff(states, prepend=-1))
    stops = np.append(starts[1:], states.size)
    seen = set()
    for start, stop in zip(starts, stops, strict=True):
        state = int(states[start])
        label = f"state {state}" if state not in seen and n_states <= _MOST_LABELS else None
        seen.add(state)
        colour = _COLOURS[state % len(_COLOURS)]
        ax.axvspan(start - 0.5, stop - 0.5, color=colour, alpha=0.25, linewidth=0, label=label, zorder=0)
