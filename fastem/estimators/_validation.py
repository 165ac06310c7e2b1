"""What users hand in, checked in their own words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from numbers import Integral
from typing import Any, NoReturn

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_array, validate_data

from fastem.sources import Chunk, Source, StreamedSource, as_source, is_streamed, require_repeatable
from fastem.sources.frame import is_frame, non_numeric_columns
from fastem.sources.source import whole_runs

NO_WEIGHT = "All sample weights are zero: no row is left to learn from. Give some row a positive weight."

# Chunks of a stream that are in memory at a time: one is worked on, and one is read, of two pieces at worst. A sample
# that leads a fit is as large as one of them at most, where memory is limited.
_CHUNKS_HELD = 3
_PARTS_HELD = _CHUNKS_HELD + 1
_SAMPLE_BYTES = 64 * 2**20
# More are hardly codes: each takes a probability for each component.
_MOST_CATEGORIES = 1_000_000
# Values are compared in pieces that stay in the cache.
_ROWS_CHECKED = 4096
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def no_setting(owner: str, name: str, known: Sequence[str], otherwise: str = "") -> TypeError:
    """The error for a setting that `owner` does not have, with the name of one that is meant, or `otherwise`."""
    close = get_close_matches(name, known, n=1)
    hint = f"Do you mean {close[0]!r}?" if close else otherwise or f"It has {', '.join(known)}."
    return TypeError(f"{owner} has no setting {name!r}. {hint}")


def read_rows(estimator: BaseEstimator, X: Any, sample_weight: Any = None, *, reset: bool) -> Source:
    """Check rows and weights, and wrap them as a source; no copy of float arrays.

    Parameters
    ----------
    estimator : BaseEstimator
        Learns the number and names of features when `reset`, and compares them otherwise.
    X : array-like (N, D) or (N,), data frame, or whatever `fastem.open_source` reads
        One dimension stands for one feature.
    sample_weight : array-like (N,) or str, optional
        A string names the column of the weights.
    reset : bool

    Raises
    ------
    ValueError, TypeError
        Naming what is wrong with the data and what to do about it. Values that are not finite are
        looked for later, in the first pass (see `raise_not_finite`).
    """
    require_repeatable(X)
    if isinstance(sample_weight, str) or (is_streamed(X) and not is_frame(X)):
        return _read_stream(estimator, X, sample_weight, reset)
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


def _read_stream(estimator: BaseEstimator, X: Any, sample_weight: Any, reset: bool) -> Source:
    """A source of the features that the estimator was fitted to, or of all of them when `reset`."""
    known = None if reset else getattr(estimator, "feature_names_in_", None)
    by_column = isinstance(sample_weight, str)
    source = as_source(X, sample_weight if by_column else None)
    chosen = getattr(source, "is_chosen", False)
    if known is not None and source.names is not None and source.names != list(known) and not chosen:
        missing = [str(name) for name in known if name not in source.names]
        if missing:
            raise ValueError(
                f"X has no column {', '.join(missing)}, which the model was fitted to. Its columns: "
                f"{', '.join(source.names)}. Choose columns by fastem.open_source(X, columns=[...])."
            )
        if isinstance(source, StreamedSource):
            source = source.select([source.names.index(name) for name in known])
    if reset:
        estimator.n_features_in_ = source.n_features
        if source.names is not None:
            estimator.feature_names_in_ = np.array(source.names, dtype=object)
        elif hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
    elif source.n_features != estimator.n_features_in_:
        raise ValueError(
            f"X has {source.n_features} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input. Choose columns by fastem.open_source(X, columns=[...])."
        )
    if by_column or (sample_weight is None and getattr(source, "weight", None) is None):
        return source
    if sample_weight is not None and source.is_weighted:
        raise ValueError("The rows have weights already, from fastem.open_source. Leave out sample_weight.")
    if source.n_rows is None:
        # The length of the weights is known only against a whole pass.
        for _ in source.chunks():
            pass
    weight = getattr(source, "weight", None) if sample_weight is None else sample_weight
    return source.weighted(read_weight(weight, source.n_rows or 0))


def rows_per_chunk(source: Source, chunk_rows: int | None, memory_limit: int | str | None) -> int | None:
    """How many rows a chunk may have, by number or by memory; None when neither is limited.

    Raises
    ------
    ValueError
        For a limit that does not hold one row.
    """
    if chunk_rows is not None:
        return whole_runs(int(chunk_rows))
    if memory_limit is None:
        return None
    rows = parse_bytes(memory_limit) // (_PARTS_HELD * source.row_bytes)
    if rows == 0:
        raise ValueError(
            f"memory_limit={memory_limit!r} does not hold {_PARTS_HELD} chunks of one row of {source.row_bytes} "
            "bytes. Raise it."
        )
    return whole_runs(rows)


def sample_bytes(memory_limit: int | str | None) -> int:
    """How much memory a sample may take that leads a fit."""
    return _SAMPLE_BYTES if memory_limit is None else min(_SAMPLE_BYTES, parse_bytes(memory_limit) // _PARTS_HELD)


def parse_bytes(size: int | str) -> int:
    """A number of bytes from a number, or from a text such as "512MB" (10^6) or "512MiB" (2^20).

    Raises
    ------
    ValueError
    """
    if isinstance(size, Integral):
        return int(size)
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([KMGT]?I?)B?\s*", str(size).upper())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{size!r} is no size of memory. Give a number of bytes, or a text such as '512MB' or '2GiB'.")
    return int(float(match[1]) * _UNITS[match[2]])


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
        raise ValueError(NO_WEIGHT)
    if not np.isfinite(total):
        raise ValueError("The sum of the sample weights is not a finite number. Divide them by a constant.")
    return weight


def require_finite(chunk: Chunk, labels: Sequence[str] | None = None) -> None:
    """Raise ValueError when a chunk holds NaN or infinity, naming the first place by the labels of the columns."""
    with np.errstate(over="ignore", invalid="ignore"):
        suspect = not np.isfinite(chunk.X.sum())
    if suspect:
        finite = np.isfinite(chunk.X)
        if not finite.all():
            _raise_not_finite(chunk, finite, labels)


def _raise_not_finite(chunk: Chunk, finite: np.ndarray, labels: Sequence[str] | None) -> NoReturn:
    row, column = np.argwhere(~finite)[0]
    kind = "NaN" if np.isnan(chunk.X[row, column]) else "infinity"
    raise ValueError(
        f"Input X contains {kind} (NaN or inf is not supported): {_place(chunk, row, column, labels)}; "
        f"{_extent(chunk, ~finite)}. Drop these rows, or fill in the missing values."
    )


def _place(chunk: Chunk, row: int, column: int, labels: Sequence[str] | None) -> str:
    label = str(column) if labels is None else labels[column]
    return (
        f"row {chunk.first_row + row}, column {label if label.isdecimal() else repr(label)} is {chunk.X[row, column]}"
    )


def _extent(chunk: Chunk, wrong: np.ndarray) -> str:
    return f"{np.count_nonzero(wrong)} such value(s) in rows {chunk.first_row} to {chunk.first_row + len(chunk) - 1}"


def require_support(chunk: Chunk, family: Any, labels: Sequence[str] | None = None) -> None:
    """Raise ValueError when a chunk holds a finite value that no row of the family can have, naming the first place."""
    if not hasattr(family, "outside"):
        return
    for start in range(0, len(chunk), _ROWS_CHECKED):
        part = chunk.X[start : start + _ROWS_CHECKED]
        wrong = family.outside(part)
        if wrong.any():
            require_finite(chunk, labels)
            row, column = np.argwhere(wrong)[0]
            which = "Negative values" if part[row, column] < 0 else "Some values"
            raise ValueError(
                f"{which} in data do not suit the distribution: {_place(chunk, start + row, column, labels)}, but must "
                f"be {family.support(column)}. Drop or mend such rows, or choose another distribution."
            )


def highest_codes(source: Source, coded: np.ndarray) -> np.ndarray:
    """The highest value (D,) of each column that holds codes, in one pass over a source.

    Raises
    ------
    ValueError
        For values that are not finite, or so large that they cannot be codes.
    """
    highest = np.zeros(source.n_features)
    for chunk in source.chunks():
        require_finite(chunk, source.labels)
        np.maximum(highest, chunk.X.max(axis=0, initial=0.0), out=highest)
    if highest[coded].max() >= _MOST_CATEGORIES:
        raise ValueError(
            f"X holds the code {highest[coded].max():g}, but codes are the integers from 0 up, one for each category. "
            "Encode the columns, by sklearn.preprocessing.OrdinalEncoder, say."
        )
    return highest.astype(np.int64)


def read_array(name: str, given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Finite numbers of a shape that a user gave; one feature needs no axis of its own.

    Raises
    ------
    ValueError
    """
    # Another memory order would compile the kernels again.
    array = np.array(given, dtype=np.float64, order="C")
    one_feature = shape[1:] == (1,) * (len(shape) - 1)
    if array.shape != shape and not (one_feature and array.shape == shape[:1]):
        raise ValueError(f"{name} must have the shape {shape}, got {array.shape}.")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must hold finite numbers.")
    return array.reshape(shape)


def read_weights(given: Any, n_components: int) -> np.ndarray:
    """Mixing weights (K,) that a user gave.

    Raises
    ------
    ValueError
    """
    weights = read_array("weights", given, (n_components,))
    if np.any(weights < 0) or not np.isclose(weights.sum(), 1.0, atol=1e-6):
        raise ValueError(f"weights must be between 0 and 1 and sum to 1, got {weights.tolist()}.")
    return weights
