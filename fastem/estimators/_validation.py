"""What users hand in, checked in their own words."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, validate_data

from fastem._naming import named, warn
from fastem.fitting.summary import NO_WEIGHT
from fastem.given import converted, floats, in_reach, plain_array, require_real
from fastem.sources import ArraySource, Source, as_source, is_streamed, require_repeatable, with_known_columns
from fastem.sources.frame import is_frame, non_numeric_columns
from fastem.sources.source import rows_in

WEIGHTED = "The rows have weights already, from fastem.open_source. Leave out sample_weight."


def read_rows(estimator: BaseEstimator, X: Any, sample_weight: Any = None, *, reset: bool) -> Source:
    """Check rows and weights, and wrap them as a source; no copy of float arrays.

    The estimator learns the number and names of features when `reset`, and compares them otherwise. X is an array
    (N, D) or (N,), a data frame, or whatever `fastem.open_source` reads; a string names the column of the weights.
    Values that are not finite are looked for later, in the first pass (see `fastem.fitting.checks`).
    """
    require_repeatable(X)
    X = in_reach(X)
    if isinstance(sample_weight, str) or is_streamed(X):
        if is_frame(X):
            return _read_frame(estimator, X, sample_weight, reset)
        return _read_stream(estimator, X, sample_weight, reset)
    X = _as_table(estimator, X, reset)
    _require_rows(*X.shape)
    if not reset:
        require_features(estimator, X.shape[1])
    # A plain array has no names to learn or to compare.
    if reset or type(X) is not np.ndarray or hasattr(estimator, "feature_names_in_"):
        validate_data(estimator, X, reset=reset, skip_check_array=True)
    return as_source(X, read_weight(sample_weight, X.shape[0]))


def _require_rows(n_rows: int, n_features: int) -> None:
    for n, unit in ((n_rows, "sample(s)"), (n_features, "feature(s)")):
        if n == 0:
            raise ValueError(
                f"Found array with 0 {unit} (shape=({n_rows}, {n_features})) while a minimum of 1 is required: "
                "there is nothing to read."
            )


def require_features(estimator: BaseEstimator, n_features: int) -> None:
    """Raise ValueError for rows of another number of features than the estimator was fitted to."""
    fitted = getattr(estimator, "n_features_in_", n_features)
    if n_features != fitted:
        names = getattr(estimator, "feature_names_in_", None)
        which = "" if names is None else f" ({', '.join(map(str, names))})"
        raise ValueError(
            f"{named('X')} has {n_features} features, but {type(estimator).__name__} is expecting {fitted} features as "
            f"input, as many as it was fitted to{which}. Choose columns by "
            f"{named('fastem.open_source(X, columns=[...])')}."
        )


def _read_frame(estimator: BaseEstimator, X: Any, sample_weight: Any, reset: bool) -> Source:
    """A source of the columns of a data frame that the estimator was fitted to, or of all of them when `reset`."""
    by_column = isinstance(sample_weight, str)
    names = _names_of(X)
    _require_rows(*X.shape)
    known = None if reset or names is None else getattr(estimator, "feature_names_in_", None)
    if known is None and not by_column:
        wrong = non_numeric_columns(X)
        if wrong:
            raise ValueError(
                f"Columns {wrong} do not hold numbers. Select the numeric columns, or encode these as numbers."
            )
    weight = sample_weight if by_column else read_weight(sample_weight, X.shape[0])
    source = as_source(X, weight, known=known)
    if not reset:
        require_features(estimator, source.n_features)
    if known is None:
        _learn_or_compare(estimator, source, names, reset)
    return source


def _names_of(frame: Any) -> list[str] | None:
    """The names of columns; None where they are no texts, as numbers are."""
    kinds = {isinstance(name, str) for name in frame.columns}
    if len(kinds) == 2:
        raise TypeError(
            "Feature names are only supported if all input features have string names, but the columns of X have "
            f"names of several types: {list(frame.columns)}. Convert them by X.columns = X.columns.astype(str)."
        )
    return list(frame.columns) if kinds == {True} else None


def _learn_or_compare(estimator: BaseEstimator, source: Source, names: list[str] | None, reset: bool) -> None:
    """Set what an estimator knows of its features; otherwise warn where only one of the two has names."""
    if reset:
        estimator.n_features_in_ = source.n_features
        if names is not None:
            estimator.feature_names_in_ = np.array(source.names, dtype=object)
        elif hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
    elif (names is None) == hasattr(estimator, "feature_names_in_"):
        has, had = ("has", "without") if names is not None else ("does not have valid", "with")
        warn(f"X {has} feature names, but {type(estimator).__name__} was fitted {had} feature names", UserWarning)


def _read_stream(estimator: BaseEstimator, X: Any, sample_weight: Any, reset: bool) -> Source:
    """A source of the features that the estimator was fitted to, or of all of them when `reset`."""
    known = None if reset else getattr(estimator, "feature_names_in_", None)
    by_column = isinstance(sample_weight, str)
    source = as_source(X, sample_weight if by_column else None, known=known)
    if known is not None:
        source = with_known_columns(source, known)
    if reset:
        _learn_or_compare(estimator, source, source.names, reset)
    else:
        require_features(estimator, source.n_features)
    if by_column or (sample_weight is None and getattr(source, "weight", None) is None):
        return source
    if sample_weight is not None and source.is_weighted:
        raise ValueError(WEIGHTED)
    weight = getattr(source, "weight", None) if sample_weight is None else sample_weight
    return source.weighted(read_weight(weight, rows_in(source)))


def _as_table(estimator: BaseEstimator, X: Any, reset: bool) -> Any:
    X = plain_array(X)
    require_real(X)
    if X.dtype.kind == "O":
        X = converted(X)
    fitted = None if reset else getattr(estimator, "n_features_in_", None)
    if X.ndim == 1 and (fitted is None or fitted == 1):
        return X.reshape(-1, 1)
    if X.ndim != 2:
        mismatch = f"X has 1 feature, but the model was fitted to {fitted}. " if X.ndim == 1 and fitted else ""
        raise ValueError(
            f"{mismatch}Expected 2D array of rows and features, got {X.ndim}D array of shape {X.shape} instead. "
            "Reshape your data: X.reshape(1, -1) for one row, X.reshape(-1, 1) for one feature."
        )
    return X


def read_weight(sample_weight: Any, n_rows: int) -> np.ndarray | None:
    """Row weights (N,), or ValueError for improper ones; None stands for ones."""
    if sample_weight is None:
        return None
    rows = np.broadcast_to(np.float64(0.0), (n_rows, 1))
    if not isinstance(sample_weight, Real):
        sample_weight = floats(sample_weight, "sample_weight")
    weight = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
    with np.errstate(over="ignore"):
        total = weight.sum()
    if total == 0.0:
        raise ValueError(NO_WEIGHT)
    if not np.isfinite(total):
        raise ValueError("The sum of the sample weights is not a finite number. Divide them by a constant.")
    return weight


def read_groups(groups: Any, rows: Source) -> np.ndarray:
    """Labels (N,) of which rows belong together; ValueError for improper ones, and for rows that are not in memory."""
    if not isinstance(rows, ArraySource):
        raise ValueError("groups are labels of rows in memory, but X is read piece by piece. Pass an array or a frame.")
    labels = np.asarray(groups)
    if labels.shape != (len(rows.X),):
        raise ValueError(
            f"groups must have one label for each of the {len(rows.X)} rows, got the shape {labels.shape}."
        )
    if len(np.unique(labels)) < 2:
        raise ValueError("groups are all the same: there is nothing to draw. Leave them out, or give their labels.")
    return labels


def feature_index(estimator: BaseEstimator, feature: Any, n_features: int) -> int:
    """The index of a feature that is given by its index or its name; ValueError for one that is not there."""
    names = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    if isinstance(feature, str) and names.count(feature) == 1:
        return names.index(feature)
    if not isinstance(feature, Integral) or isinstance(feature, bool) or not 0 <= int(feature) < n_features:
        known = f", or a name out of {names}" if names else ""
        raise ValueError(f"feature must be an index from 0 to {n_features - 1}{known}; got {feature!r}.")
    return int(feature)


def heed_y(y: Any, n_rows: int | None) -> None:
    """Raise for a `y` that can be nothing but a misplaced argument, and warn of one that looks like weights.

    Labels are ignored, as scikit-learn's conventions ask for: a pipeline or a search hands on its y. Fractions that
    are not negative are hardly labels; but they may be the targets of a regression, so that they are no error.
    """
    if y is None:
        return
    if isinstance(y, str):
        raise TypeError(
            f"y is ignored, and {y!r} stands in its place. Pass the column of weights as sample_weight={y!r}."
        )
    values = np.asarray(y)
    if values.ndim and n_rows is not None and values.shape[0] != n_rows:
        raise ValueError(
            f"y has {values.shape[0]} values for {n_rows} rows. It is ignored: leave it out. Weights are passed as "
            "sample_weight=..., and lengths of sequences are for hidden Markov models."
        )
    if are_fractions(values):
        warn(
            "y is ignored, and it holds fractions that are not negative, as weights are. Pass weights as "
            "sample_weight=..., and leave out y.",
            UserWarning,
        )


def are_fractions(values: np.ndarray) -> bool:
    """Whether values (N,) are floats that weights may be and labels are not."""
    if values.ndim != 1 or values.dtype.kind != "f" or not np.all(np.isfinite(values)) or np.any(values < 0):
        return False
    return bool(np.any(values != np.floor(values)))
