"""What pictures ask of a fitted model, and of rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastem.given import floats, in_reach, plain_array

if TYPE_CHECKING:
    from fastem.families._marginal import Marginal


class Drawable(Protocol):
    """A mixture that can be drawn. A hidden Markov model has `transmat_` in place of `weights_`."""

    n_features_in_: int
    weights_: np.ndarray

    def marginal(self, feature: int) -> Marginal:
        """One feature under each component; ValueError where it has no one distribution."""
        ...

    def scatter(self, features: Sequence[int]) -> np.ndarray:
        """Covariances (K, d, d) of some features; TypeError where the family has none of several features."""
        ...

    def predict(self, X: Any) -> np.ndarray:
        """The component (N,) of each row."""
        ...


def scatter_of(mixture: Drawable, features: Sequence[int]) -> np.ndarray | None:
    """Covariances (K, d, d) of some features; None where they have none."""
    with suppress(TypeError):
        return mixture.scatter(features)
    return None


def first_with_a_curve(mixture: Drawable) -> int:
    """The first feature whose distribution can be drawn, or the first of all."""
    for feature in range(mixture.n_features_in_):
        with suppress(ValueError):
            mixture.marginal(feature)
            return feature
    return 0


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


def labels_of(mixture: Drawable, X: Any, rows: np.ndarray) -> np.ndarray:
    """The most probable component of some rows."""
    with warnings.catch_warnings():
        # Where only one of model and data knows names, columns go by their place, as in the rest of the picture.
        warnings.filterwarnings("ignore", message="X (has|does not have valid) feature names")
        return mixture.predict(X.iloc[rows] if hasattr(X, "iloc") else X[rows])
