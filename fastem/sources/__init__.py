"""Where rows come from: arrays, frames and tables in memory; files, folders and anything that can be iterated again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from typing import Any

import numpy as np

from fastem.sources.array import ArraySource
from fastem.sources.arrow import TableReader, is_table
from fastem.sources.files import readers_of
from fastem.sources.frame import FrameReader, array_view, is_frame
from fastem.sources.iterable import IterableReader
from fastem.sources.reader import Reader, SourceError
from fastem.sources.sequences import SequenceSource, lengths_of_files, run_lengths
from fastem.sources.sliced import SlicedReader
from fastem.sources.source import Chunk, Source
from fastem.sources.streamed import StreamedSource

__all__ = [
    "ArraySource", "Chunk", "SequenceSource", "Source", "SourceError", "StreamedSource", "as_source", "in_chunks_of",
    "is_streamed", "open_source", "proper_lengths", "require_repeatable",
]  # fmt: skip

Columns = Sequence[str | int] | None


def open_source(
    X: Any,
    columns: Columns = None,
    weight: str | np.ndarray | None = None,
    *,
    lengths: Any = None,
    sequence_column: str | int | None = None,
) -> Source:
    """Rows of anything that `fit`, `score` and `predict` accept, with a choice of columns.

    Parameters
    ----------
    X : path, glob pattern, folder, list of those, table, or object that gives rows again and again
        Files: ``.npy``, Parquet (``.parquet``, ``.pq``, partitioned folders), Arrow IPC (``.arrow``, ``.feather``,
        ``.ipc``), HDF5 (``.h5``, ``.hdf5``; ``file.h5::dataset`` where there are several), Zarr (``.zarr``), and CSV
        (``.csv``, ``.tsv``, ``.txt``, also compressed as ``.gz``, ``.bz2`` or ``.zst``).
        Tables: NumPy arrays, data frames of pandas or polars, tables of pyarrow, datasets of h5py, arrays of Zarr.
        Objects: an iterable over arrays (N_i, D) that can be iterated again, or a function that returns a new iterator.
    columns : sequence of str or int, optional
        The features, by name or by position from 0; by default all columns but that of the weights.
    weight : str or array-like (N,), optional
        Name of the column of row weights, or the weights.
    lengths : array-like (S,) of int or "files", optional
        For hidden Markov models: the rows are sequences of these lengths, one after the other; "files" stands for
        one sequence in each file.
    sequence_column : str or int, optional
        The same by a column of numbers, by name or by position: a sequence begins wherever the number changes. It is
        no feature.

    Returns
    -------
    source : Source
        To be passed to estimators in place of X. Its `n_features` and `names` tell its columns, and `n_rows` the
        number of its rows, or None until it has been read once.

    Raises
    ------
    SourceError
        For files and columns that cannot be used.
    OSError
        For files that cannot be opened.
    TypeError
        For an iterator, whose rows could be read once only.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import GaussianMixture, open_source
    >>> random = np.random.default_rng(0)
    >>> chunks = [random.normal(size=(1000, 3)) for _ in range(4)]
    >>> source = open_source(lambda: iter(chunks), columns=[0, 2])
    >>> GaussianMixture(random_state=0).fit(source).means_.shape
    (1, 2)
    """
    proper = weight if weight is None or isinstance(weight, str) else _proper_weight(weight)
    if sequence_column is not None:
        if lengths is not None:
            raise TypeError("lengths and sequence_column say the same thing in two ways. Give one of them.")
        return _by_column(X, columns, proper, sequence_column)
    source = as_source(X, proper, columns)
    if lengths is None:
        return source
    if isinstance(lengths, str):
        if lengths != "files":
            raise SourceError(f"lengths must be the lengths of sequences, or 'files'; got {lengths!r}.")
        return SequenceSource(source, lengths_of_files(source))
    return SequenceSource(source, proper_lengths(lengths, source.n_rows))


def _by_column(X: Any, columns: Columns, weight: Any, sequence_column: str | int) -> SequenceSource:
    ids = as_source(X, None, [sequence_column])
    if columns is None:
        columns = ids.other_columns(sequence_column, *([weight] if isinstance(weight, str) else []))  # type: ignore[attr-defined]
    return SequenceSource(as_source(X, weight, columns), run_lengths(ids))


def proper_lengths(lengths: Any, n_rows: int | None) -> np.ndarray:
    """Check the lengths of sequences (S,), which must sum to the number of rows where that is known.

    Raises
    ------
    SourceError
    """
    array = np.asarray(lengths)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu" or array.min() < 1:
        raise SourceError("lengths must be one positive integer for each sequence: the number of its rows.")
    if n_rows is not None and array.sum() != n_rows:
        raise SourceError(
            f"lengths sum to {array.sum()}, but there are {n_rows} rows. Give the length of every sequence, in the "
            "order of the rows."
        )
    return array.astype(np.int64)


def _proper_weight(weight: Any) -> np.ndarray:
    array = np.asarray(weight, dtype=np.float64)
    if array.ndim != 1 or not (np.all(np.isfinite(array)) and np.all(array >= 0)):
        raise SourceError("weight must be a column's name, or one finite number for each row that is not negative.")
    return array


def as_source(X: Any, weight: np.ndarray | str | None = None, columns: Columns = None) -> Source:
    """The source that reads `X`, as `open_source` describes it."""
    require_repeatable(X)
    if isinstance(X, ArraySource | StreamedSource | SequenceSource):
        if weight is None and columns is None:
            return X
        raise TypeError("X is a source already: choose its columns and weights when it is opened, by open_source.")
    chosen = columns is not None or isinstance(weight, str)
    view = array_view(X) if is_frame(X) and not chosen else None
    if view is not None:
        return ArraySource(view, weight, [str(name) for name in X.columns])  # type: ignore[arg-type]
    open_readers = _opener(X)
    if open_readers is not None:
        return StreamedSource(open_readers(), columns, weight)
    array = np.asarray(X)
    if array.ndim == 1:
        array = array.reshape(-1, 1)
    return StreamedSource([SlicedReader(array, "the array")], columns, weight) if chosen else ArraySource(array, weight)  # type: ignore[arg-type]


def is_streamed(X: Any) -> bool:
    """Whether X is a source, or something that is read piece by piece: no array, nested list or sparse matrix."""
    return isinstance(X, ArraySource | StreamedSource | SequenceSource) or _opener(X) is not None


def in_chunks_of(source: Source, n_rows: int | None) -> Source:
    """The same source, with chunks of so many rows; None leaves it as it is."""
    if n_rows is None:
        return source
    sized = copy(source)
    sized.rows_per_chunk = n_rows
    return sized


def require_repeatable(X: Any) -> None:
    """Raise for an iterator, whose rows are gone once they were read.

    Raises
    ------
    TypeError
    """
    if isinstance(X, Iterator):
        raise TypeError(
            f"X is a {type(X).__name__}, which can be read once only, but its rows are needed many times. Pass a "
            "function that returns a new iterator, or something that can be iterated again and again; or call "
            "partial_fit, which learns from each row once."
        )


def _opener(X: Any) -> Callable[[], Sequence[Reader]] | None:
    """What opens the readers of X; None when X is to be made an array."""
    if isinstance(X, str | os.PathLike) or _all_items(X, lambda item: isinstance(item, str | os.PathLike)):
        return lambda: readers_of(X)
    if is_frame(X):
        return lambda: [FrameReader(X)]
    if is_table(X):
        return lambda: [TableReader(X)]
    if isinstance(X, np.ndarray | np.generic) or hasattr(X, "toarray") or hasattr(X, "to_numpy"):
        return None
    if all(hasattr(X, name) for name in ("shape", "dtype", "ndim", "__getitem__")):
        return lambda: [SlicedReader(X, f"the {type(X).__name__}")]
    if callable(X):
        return lambda: [IterableReader(X, "the iterator")]
    is_sequence = isinstance(X, Sequence) or hasattr(X, "__array__")
    if _all_items(X, lambda item: getattr(item, "ndim", 0) == 2) or (isinstance(X, Iterable) and not is_sequence):
        return lambda: [IterableReader(lambda: iter(X), f"the {type(X).__name__}")]
    return None


def _all_items(X: Any, condition: Callable[[Any], bool]) -> bool:
    return isinstance(X, list | tuple) and len(X) > 0 and all(condition(item) for item in X)
