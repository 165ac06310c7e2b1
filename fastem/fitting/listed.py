"""Sequences that users hand in as a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastem._naming import warn
from fastem.given import SourceError, plain_array
from fastem.sources import ArraySource, Source
from fastem.sources.frame import is_frame

_AMBIGUOUS = (
    "X is a list of {n} arrays of {size} numbers each, and each is taken for a sequence of one feature. If they are "
    "rows of a table, pass numpy.stack(X); if they are sequences, pass arrays of shape (N, 1)."
)


def is_list_of_sequences(X: Any, n_features: int | None = None) -> bool:
    """Whether X is a list of tables, or of arrays of one dimension, each of which is a sequence.

    Lists of lists of numbers are tables; so are lists of arrays with one number for each of the `n_features` that the
    model was fitted to, where these are several.
    """
    if isinstance(X, np.ndarray) and X.dtype.kind == "O" and X.ndim == 1:
        X = list(X)
    if not isinstance(X, list | tuple) or not X:
        return False
    depths = {_depth(item) for item in X}
    if depths == {1} and n_features is not None and n_features > 1:
        return any(np.shape(item) != (n_features,) for item in X)
    return depths <= {1, 2}


def _depth(item: Any) -> int:
    """Dimensions of an item that is a table or an array; 0 for anything else."""
    if is_frame(item) or hasattr(item, "num_columns"):
        return 2
    if hasattr(item, "ndim"):
        return item.ndim
    nested = isinstance(item, list | tuple) and len(item) > 0 and np.ndim(item[0]) == 1
    return 2 if nested else 0


def sizes_of(X: Any) -> np.ndarray:
    """Number of rows (S,) of each sequence of a list."""
    return np.array([item.num_rows if hasattr(item, "num_rows") else len(item) for item in X], dtype=np.int64)


# Reads rows; of the first ones it may learn which columns there are.
Read = Callable[[Any, bool], Source]


def join_sequences(read: Read, X: Any, *, reset: bool) -> tuple[Source, np.ndarray]:
    """Rows of all sequences of a list, in one array, and the lengths (S,), zeros among them.

    An error names the sequence that cannot be read, or has other columns, by its place in the list.
    """
    sizes = sizes_of(X)
    if not sizes.any():
        raise ValueError("X is a list of sequences without rows: a minimum of 1 is required, there is nothing to read.")
    if reset:
        _warn_of_rows(X)
    places, joined, names = np.flatnonzero(sizes).tolist(), [], None
    # All that is plain at once: there may be many thousands.
    if all(isinstance(item, np.ndarray) for item in X):
        joined = [_as_column(plain_array(X[place], f"X[{place}]")) for place in places]
        for place, item in zip(places, joined, strict=True):
            if item.shape[1] != joined[0].shape[1]:
                raise ValueError(
                    f"Sequence {place} of the list X has {item.shape[1]} features, where the first has "
                    f"{joined[0].shape[1]}. All need the same."
                )
    else:
        for place in places:
            source = _read_one(read, X[place], place, reset and not joined)
            joined.append(np.concatenate([chunk.X for chunk in source.chunks()]))
            names = source.names
    table = np.concatenate(joined)
    if names is None:
        return read(table, reset), sizes
    return ArraySource(table, None, names), sizes


def _as_column(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, 1) if array.ndim == 1 else array


def _read_one(read: Read, item: Any, place: int, reset: bool) -> Any:
    try:
        is_plain = not (is_frame(item) or hasattr(item, "num_columns"))
        return read(_as_column(plain_array(item)) if is_plain else item, reset)
    except (ValueError, TypeError) as error:
        kind = next(kind for kind in (SourceError, TypeError, ValueError) if isinstance(error, kind))
        raise kind(f"Sequence {place} of the list X: {error}") from error


def _warn_of_rows(X: Any) -> None:
    """Tell of arrays that look more like the rows of a table than like sequences."""
    shapes = {np.shape(item) for item in X} if all(getattr(item, "ndim", 0) == 1 for item in X) else set()
    if len(shapes) == 1:
        ((size,),) = shapes
        if len(X) > size:
            warn(_AMBIGUOUS.format(n=len(X), size=size), UserWarning)
