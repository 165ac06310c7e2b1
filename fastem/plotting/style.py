"""Colours, axes, labels, and what pictures read of models and rows."""

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


# Okabe & Ito's palette without the yellow, which is faint on white; beyond six components the line changes too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")

LINES = ("-", "--", "-.", ":")

# With more components a legend would hide the picture, and name the same colour twice.
MOST_LABELS = len(COLOURS)

MOST_ROWS = 200_000

# More points hide each other; a kernel density estimate costs rows times grid.
MOST_POINTS = 5_000


def read_table(mixture: Any, X: Any) -> Any:
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


def feature_names(mixture: Any, X: Any) -> list[str]:
    """Names of the features of rows."""
    names = list(getattr(mixture, "feature_names_in_", getattr(X, "columns", ())))
    if names and all(isinstance(name, str) for name in names):
        return names
    return ["x"] if X.shape[1] == 1 else [f"feature {column}" for column in range(X.shape[1])]


def first_with_a_curve(mixture: Any, n_features: int) -> int:
    """The first feature whose distribution can be drawn, or the first of all."""
    for feature in range(n_features):
        with suppress(ValueError):
            mixture.marginal(feature)
            return feature
    return 0


def read_features(features: Any, names: list[str]) -> list[int]:
    """Indices of the one or two features to draw."""
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


def read_kind(kind: str, kde: bool, n_shown: int, n_rows: int) -> str:
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


def read_rows(sample_weight: Any, n_rows: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices and weights of the rows to draw."""
    weight = np.broadcast_to(1.0, n_rows) if sample_weight is None else floats(sample_weight, "sample_weight")
    if weight.shape != (n_rows,) or not (np.all(np.isfinite(weight)) and np.all(weight >= 0)):
        raise ValueError(f"sample_weight must hold {n_rows} finite numbers, none negative.")
    rows = spread(n_rows, most)
    rows = rows[weight[rows] > 0]
    if rows.size == 0:
        raise ValueError("There is no row of positive weight to draw.")
    return rows, weight[rows]


def spread(n_rows: int, most: int) -> np.ndarray:
    """Indices of at most `most` rows: one at random from each of as many equal stretches."""
    if n_rows <= most:
        return np.arange(n_rows)
    places = np.arange(most) + np.random.default_rng(0).random(most)
    return (places * (n_rows / most)).astype(np.int64)


def column_of(X: Any, column: int, rows: np.ndarray) -> np.ndarray:
    """One column of some rows."""
    if hasattr(X, "iloc"):
        return X.iloc[rows, column].to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(X[:, column][rows], dtype=np.float64)


def labels_of(mixture: Any, X: Any, rows: np.ndarray) -> np.ndarray:
    """The most probable component of some rows."""
    with warnings.catch_warnings():
        # Where only one of model and data knows names, columns go by their place, as in the rest of the picture.
        warnings.filterwarnings("ignore", message="X (has|does not have valid) feature names")
        return mixture.predict(X.iloc[rows] if hasattr(X, "iloc") else X[rows])


def axes_or_new(ax: Axes | None) -> Axes:
    """The axes that are given, or those of a new figure."""
    require("matplotlib", "plot", "plotting")
    if ax is not None:
        return ax
    return require("matplotlib.pyplot", "plot", "plotting").subplots(figsize=(7, 4.5), layout="constrained")[1]


def finish(ax: Axes) -> None:
    """Give a picture its legend, and take its frame away."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize="small", framealpha=0.85, edgecolor="none")


def component_style(component: int) -> dict[str, Any]:
    """Colour and line of a component."""
    n_colours = len(COLOURS)
    return {"color": COLOURS[component % n_colours], "linestyle": LINES[component // n_colours % len(LINES)]}


def component_label(component: int, weights: np.ndarray) -> str | None:
    """The name of a component in the legend; None where there are too many for names of their own."""
    if len(weights) <= MOST_LABELS:
        return f"component {component} ({100 * weights[component]:.3g}%)"
    return f"{len(weights)} components" if component == 0 else None
