"""What users hand in, checked in their own words."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_array, validate_data

from fastem.sources import Source, as_source
from fastem.sources.frame import is_frame, non_numeric_columns


def read_rows(estimator: BaseEstimator, X: Any, sample_weight: Any = None, *, reset: bool) -> Source:
    """Check rows and weights, and wrap them as a source; no copy of float arrays.

    Parameters
    ----------
    estimator : BaseEstimator
        Learns the number and names of features when `reset`, and compares them otherwise.
    X : array-like (N, D) or (N,), or data frame
        One dimension stands for one feature.
    sample_weight : array-like (N,), optional
    reset : bool

    Raises
    ------
    ValueError, TypeError
        Naming what is wrong with the data and what to do about it. Values that are not finite are
        looked for later, in the first pass (see `raise_not_finite`).
    """
    X = _as_table(estimator, X, reset)
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    n_rows, n_features = X.shape
    for n, unit in ((n_rows, "sample(s)"), (n_features, "feature(s)")):
        if n == 0:
            raise ValueError(
                f"Found array with 0 {unit} (shape=({n_rows}, {n_features})) while a minimum of 1 is required: "
                "there is nothing to read."
            )
    return as_source(X, read_weight(sample_weight, n_rows))


def _as_table(estimator: BaseEstimator, X: Any, reset: bool) -> Any:
    if is_frame(X):
        wrong = non_numeric_columns(X)
        if wrong:
            raise ValueError(
                f"Columns {wrong} do not hold numbers. Select the numeric columns, or encode these as numbers."
            )
        return X
    if hasattr(X, "to_numpy") and getattr(X, "ndim", 1) == 1:
        X = X.to_numpy()
    if not isinstance(X, np.ndarray):
        X = check_array(X) if hasattr(X, "toarray") else _from_sequence(X)
    _require_real(X)
    if X.dtype.kind == "O":
        X = _from_objects(X)
    if X.ndim == 1 and (reset or getattr(estimator, "n_features_in_", None) == 1):
        return X.reshape(-1, 1)
    if X.ndim != 2:
        raise ValueError(
            f"Expected 2D array of rows and features, got {X.ndim}D array of shape {X.shape} instead. "
            "Reshape your data: X.reshape(1, -1) for one row, X.reshape(-1, 1) for one feature."
        )
    return X


def _from_sequence(X: Any) -> np.ndarray:
    try:
        return np.asarray(X)
    except ValueError as error:
        raise ValueError(f"X is not a table of numbers; do all rows have the same length? ({error})") from error


def _require_real(X: np.ndarray) -> None:
    if X.dtype.kind == "c":
        raise ValueError("Complex data not supported: X must hold real numbers. Pass X.real, or X.real and X.imag.")
    if X.dtype.kind not in "biufO":
        raise ValueError(
            f"X has dtype {X.dtype}, which does not hold real numbers. Encode text, dates and categories as numbers."
        )


def _from_objects(X: np.ndarray) -> np.ndarray:
    try:
        return X.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise type(error)(f"X has dtype object and does not hold real numbers throughout: {error}") from error


def read_weight(sample_weight: Any, n_rows: int) -> np.ndarray | None:
    """Check row weights (N,); None stands for ones.

    Raises
    ------
    ValueError
        For weights that are negative, not finite, all zero, or of the wrong length.
    """
    if sample_weight is None:
        return None
    rows = np.broadcast_to(np.float64(0.0), (n_rows, 1))
    weight = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
    with np.errstate(over="ignore"):
        total = weight.sum()
    if total == 0.0:
        raise ValueError("All sample weights are zero: no row is left to learn from. Give some row a positive weight.")
    if not np.isfinite(total):
        raise ValueError("The sum of the sample weights is not a finite number. Divide them by a constant.")
    return weight


def require_finite(chunk: Any, feature_names: np.ndarray | None = None) -> None:
    """Raise ValueError when a chunk holds NaN or infinity."""
    with np.errstate(over="ignore", invalid="ignore"):
        suspect = not np.isfinite(chunk.X.sum())
    if suspect:
        finite = np.isfinite(chunk.X)
        if not finite.all():
            raise_not_finite(chunk, finite, feature_names)


def raise_not_finite(chunk: Any, finite: np.ndarray, feature_names: np.ndarray | None) -> NoReturn:
    """Tell where the first value is that is not finite, and how many there are in the chunk."""
    row, column = np.argwhere(~finite)[0]
    value = chunk.X[row, column]
    name = f"column {column}" if feature_names is None else f"column {feature_names[column]!r}"
    kind = "NaN" if np.isnan(value) else "infinity"
    raise ValueError(
        f"Input X contains {kind} (NaN or inf is not supported): row {chunk.first_row + row}, {name} is {value}; "
        f"{np.count_nonzero(~finite)} such value(s) in rows {chunk.first_row} to {chunk.first_row + len(chunk) - 1}. "
        "Drop these rows, or fill in the missing values."
    )
