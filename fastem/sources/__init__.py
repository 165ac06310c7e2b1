"""Where rows come from: arrays, frames and tables in memory; files, folders and anything that can be iterated again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from itertools import chain
from typing import Any

import numpy as np

from fastem._naming import named
from fastem.given import converted, floats, in_reach, is_dtype, plain_array
from fastem.sources.array import ArraySource
from fastem.sources.csv_format import CsvFormat
from fastem.sources.files import readers_of
from fastem.sources.frame import array_view, is_frame
from fastem.sources.iterable import IterableReader, reader_class
from fastem.sources.reader import Reader, SourceError
from fastem.sources.sequences import SequenceSource, lengths_of_files, run_lengths
from fastem.sources.sliced import SlicedReader
from fastem.sources.source import Chunk, Source
from fastem.sources.spool import is_file, is_file_object, once
from fastem.sources.streamed import StreamedSource, column_position

__all__ = [
    "ArraySource", "Chunk", "CsvFormat", "SequenceSource", "Source", "SourceError", "StreamedSource", "as_source",
    "in_chunks_of", "is_streamed", "open_source", "proper_lengths", "require_repeatable", "table_of",
    "with_known_columns",
]  # fmt: skip

Columns = Sequence[str | int] | None
_SOURCES = ArraySource | StreamedSource | SequenceSource


def open_source(
    X: Any,
    columns: Columns = None,
    weight: str | np.ndarray | None = None,
    *,
    lengths: Any = None,
    sequence_column: str | int | None = None,
    csv: CsvFormat | None = None,
) -> Source:
    """Rows of anything that `fit`, `score` and `predict` accept, with a choice of columns.

    Parameters
    ----------
    X : path, glob pattern, folder, list of those, table, or object that gives rows again and again
        Files: ``.npy``, Parquet (``.parquet``, ``.pq``, partitioned folders), Arrow IPC (``.arrow``, ``.feather``,
        ``.ipc``), HDF5 (``.h5``, ``.hdf5``; ``file.h5::dataset`` where there are several), Zarr (``.zarr``), and CSV
        (``.csv``, ``.tsv``, ``.txt``, also compressed as ``.gz``, ``.bz2`` or ``.zst``). A folder is read with all
        folders within it. Pipes, open files, and ``"-"`` for the standard input, are kept in a temporary file, as rows
        are read several times.
        Tables: NumPy arrays (structured ones have a column for each field), data frames of pandas or polars, tables of
        pyarrow, datasets of h5py, arrays of Zarr.
        Objects: an iterable over arrays (N_i, D) that can be iterated again, or a function that returns a new iterator.
    columns : sequence of str or int, optional
        The features, by name or by position from 0; by default all columns but that of the weights.
    weight : str or array-like (N,), optional
        Name of the column of row weights, or the weights.
    lengths : array-like (S,) of int or "files", optional
        For hidden Markov models: the rows are sequences of these lengths, one after the other; "files" stands for
        one sequence in each file.
    sequence_column : str or int, optional
        The same by a column that names the sequence of each row, by name or by position: numbers, texts, dates or
        categories. The rows of a sequence follow each other: a name that comes back later is an error, and so is one
        that is missing. The column is no feature.
    csv : CsvFormat, optional
        How text files are written, where that is not recognised: their delimiter, decimal mark, encoding, and so on.

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
    if csv is not None and not isinstance(csv, CsvFormat):
        raise TypeError(f"csv must be a fastem.CsvFormat, such as fastem.CsvFormat(delimiter=';'), not {csv!r}.")
    X = once(X)
    if sequence_column is not None:
        if lengths is not None:
            raise TypeError("lengths and sequence_column say the same thing in two ways. Give one of them.")
        return _by_column(X, columns, proper, sequence_column, csv)
    source = as_source(X, proper, columns, csv=csv)
    if lengths is None:
        return source
    if isinstance(lengths, str):
        if lengths != "files":
            raise SourceError(f"lengths must be the lengths of sequences, or 'files'; got {lengths!r}.")
        return SequenceSource(source, lengths_of_files(source))
    return SequenceSource(source, proper_lengths(lengths, source.n_rows))


def _by_column(
    X: Any, columns: Columns, weight: Any, sequence_column: str | int, csv: CsvFormat | None
) -> SequenceSource:
    readers = _readers(X, csv)
    positions = [column_position(reader, sequence_column) for reader in readers]
    if columns is None:
        taken = [positions[0], *([column_position(readers[0], weight)] if isinstance(weight, str) else [])]
        columns = [index for index in range(readers[0].n_columns) if index not in taken]
    rows = StreamedSource(readers, columns, weight)
    ids = chain.from_iterable(reader.ids(position) for reader, position in zip(readers, positions, strict=True))
    return SequenceSource(rows, run_lengths(ids, readers[0].label, sequence_column))


def proper_lengths(lengths: Any, n_rows: int | None) -> np.ndarray:
    """The lengths of sequences (S,) as int64, which must sum to the number of rows where that is known."""
    array = plain_array(lengths, "lengths")
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu" or array.min() < 1:
        raise SourceError("lengths must be one positive integer for each sequence: the number of its rows.")
    if n_rows is not None and array.sum() != n_rows:
        raise SourceError(
            f"lengths sum to {array.sum()}, but there are {n_rows} rows. Give the length of every sequence, in the "
            "order of the rows."
        )
    return array.astype(np.int64)


def _proper_weight(weight: Any) -> np.ndarray:
    array = floats(weight, "weight")
    if array.ndim != 1 or not (np.all(np.isfinite(array)) and np.all(array >= 0)):
        raise SourceError("weight must be a column's name, or one finite number for each row that is not negative.")
    return array


def as_source(
    X: Any,
    weight: np.ndarray | str | None = None,
    columns: Columns = None,
    known: Sequence[str] | None = None,
    csv: CsvFormat | None = None,
) -> Source:
    """The source that reads `X`, as `open_source` describes it.

    Where X names its columns and no others are chosen, those that are `known` are read, in this order.
    """
    if csv is not None and not _are_files(X):
        raise TypeError(f"csv says how text files are written, but X is a {type(X).__name__}. Leave csv out.")
    if isinstance(X, _SOURCES) and weight is None and columns is None:
        return X
    X = _required(X)
    chosen = columns is not None or isinstance(weight, str)
    view = array_view(X) if is_frame(X) and not chosen else None
    if view is not None and (known is None or list(known) == list(X.columns)):
        return ArraySource(view, weight, [str(name) for name in X.columns])  # type: ignore[arg-type]
    if chosen or _opener(X, csv) is not None:
        readers = _readers(X, csv)
        if columns is None and known is not None and readers[0].names is not None:
            columns = places_of(known, readers[0].names, chosen=False)
        return StreamedSource(readers, columns, weight)
    array = table_of(X)
    return ArraySource(array if array.dtype.kind in "biuf" else converted(array), weight)  # type: ignore[arg-type]


def table_of(X: Any) -> np.ndarray:
    """An array (N, D) or more dimensions of what is no stream; one dimension is one column."""
    array = plain_array(X)
    return array.reshape(-1, 1) if array.ndim == 1 else array


def _readers(X: Any, csv: CsvFormat | None = None) -> Sequence[Reader]:
    """What reads X, whatever it is."""
    X = _required(X)
    open_readers = _opener(X, csv)
    return [SlicedReader(table_of(X), "the array")] if open_readers is None else open_readers()


def _required(X: Any) -> Any:
    """X without its wrapping, if it is no source and its rows can be read as often as asked."""
    require_repeatable(X)
    if isinstance(X, _SOURCES):
        raise TypeError("X is a source already: choose its columns and weights when it is opened, by open_source.")
    return in_reach(X)


def places_of(known: Sequence[str], names: Sequence[str], *, chosen: bool) -> list[int] | None:
    """Positions of the columns that a model was fitted to among the columns of other data.

    None where all columns are read as they are: also where the user has chosen columns, and they have other names.
    Columns that are missing, or of which there are several, are a SourceError.
    """
    if list(known) == list(names):
        return None
    missing = [str(name) for name in known if name not in names]
    if missing and chosen:
        return None
    if missing:
        raise SourceError(
            f"{named('X')} has no column {', '.join(missing)}, which the model was fitted to. Its columns: "
            f"{', '.join(names)}. Choose columns by {named('fastem.open_source(X, columns=[...])')}."
        )
    double = [str(name) for name in known if names.count(name) > 1]
    if double:
        raise SourceError(f"{named('X')} has several columns {', '.join(double)}. Give each column a name of its own.")
    return [names.index(name) for name in known]


def with_known_columns(source: Source, known: Sequence[str]) -> Source:
    """A source with the features that a model was fitted to, where it names them."""
    if source.names is None:
        return source
    places = places_of(known, source.names, chosen=getattr(source, "is_chosen", False))
    return source if places is None else in_order(source, places)


def in_order(source: Source, places: Sequence[int]) -> Source:
    """The features of a source at these places, in this order."""
    if isinstance(source, StreamedSource):
        return source.select(places)
    if isinstance(source, SequenceSource):
        return SequenceSource(in_order(source.rows, places), source.lengths)
    reader = SlicedReader(source.X, "the array")  # type: ignore[attr-defined]
    reader.names = source.names
    return StreamedSource([reader], places, source.weight)  # type: ignore[attr-defined]


def is_streamed(X: Any) -> bool:
    """Whether X is a source, or something that is read piece by piece: no array, nested list or sparse matrix."""
    return isinstance(X, _SOURCES) or _opener(X) is not None


def in_chunks_of(source: Source, n_rows: int | None) -> Source:
    """The same source, with chunks of so many rows; None leaves it as it is."""
    if n_rows is None:
        return source
    sized = copy(source)
    sized.rows_per_chunk = n_rows
    return sized


def refusing_missing(source: Source) -> Source:
    """The same source, none of whose values may be missing."""
    refusing = copy(source)
    refusing.allows_missing = False
    return refusing


def require_repeatable(X: Any) -> None:
    """Raise TypeError for an iterator, whose rows are gone once they were read, and for a path of bytes."""
    if isinstance(X, bytes | bytearray):
        raise TypeError("X is of bytes, and a path is a str or a pathlib.Path. Pass os.fsdecode(X).")
    if isinstance(X, Iterator) and not is_file_object(X):
        raise TypeError(
            f"X is a {type(X).__name__}, which can be read once only, but its rows are needed many times. Pass a "
            "function that returns a new iterator, or something that can be iterated again and again; or call "
            "partial_fit, which learns from each row once."
        )


def _opener(X: Any, csv: CsvFormat | None = None) -> Callable[[], Sequence[Reader]] | None:
    """What opens the readers of X; None when X is to be made an array."""
    if _are_files(X):
        return lambda: _readers_of_paths(X, csv)
    of_table = reader_class(X)
    if of_table is not None:
        return lambda: [of_table(X)]
    if isinstance(X, np.ndarray | np.generic) or hasattr(X, "toarray") or hasattr(X, "to_numpy"):
        return None
    if all(hasattr(X, name) for name in ("shape", "dtype", "ndim", "__getitem__")):
        # A tensor, whose dtype is not NumPy's, is made an array.
        return (lambda: [SlicedReader(X, f"the {type(X).__name__}")]) if is_dtype(X.dtype) else None
    if callable(X):
        return lambda: [IterableReader(X, "the iterator")]
    is_sequence = isinstance(X, Sequence | dict | set | frozenset) or hasattr(X, "__array__")
    if _all_items(X, lambda item: getattr(item, "ndim", 0) == 2) or (isinstance(X, Iterable) and not is_sequence):
        return lambda: [IterableReader(lambda: iter(X), f"the {type(X).__name__}")]
    return None


def _are_files(X: Any) -> bool:
    return is_file(X) or _all_items(X, is_file)


def _readers_of_paths(X: Any, csv: CsvFormat | None) -> Sequence[Reader]:
    if isinstance(X, list | tuple) and not any(_looks_like_a_path(item) for item in X):
        raise SourceError(
            f"X is a list of {len(X)} texts, such as {X[0]!r}, and none of them is a path to rows. Encode symbols as "
            "numbers 0, 1, 2, ..., by sklearn.preprocessing.OrdinalEncoder, say."
        )
    return readers_of(X, csv)


def _looks_like_a_path(item: Any) -> bool:
    if is_file_object(item) or os.path.exists(item):
        return True
    return any(sign in os.fspath(item) for sign in "./\\*")


def _all_items(X: Any, condition: Callable[[Any], bool]) -> bool:
    return isinstance(X, list | tuple) and len(X) > 0 and all(condition(item) for item in X)
