"""What users hand in, made plain arrays: without masks, text and objects; and numbers that float64 can hold.

Libraries are known by their names, and none is imported.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any, NoReturn

import numpy as np

from fastem._naming import named
from fastem._text import shown


class SourceError(ValueError):
    """Rows that cannot be read; the message names the file and the range of rows."""

    def __init__(self, message: str):
        # It may quote what is in the file.
        super().__init__(shown(message))


# Larger integers are not all numbers of float64.
EXACT = 2**53
_MISSING = {"NoneType", "NAType", "NaTType", "MaskedConstant"}
_LAZY = {
    "dask": "X.compute() where that fits into memory; otherwise a function that returns an iterator over the computed "
    "partitions, or X.to_parquet(folder) and the name of the folder",
    "polars": "X.collect() where that fits into memory; otherwise X.sink_parquet(path) and the path",
    "pyspark": "X.toPandas() where that fits into memory; otherwise X.write.parquet(folder) and the name of the folder",
    "duckdb": "X.df() where that fits into memory; otherwise X.write_parquet(path) and the path",
    "ibis": "X.to_pandas() where that fits into memory; otherwise X.to_parquet(path) and the path",
}
_OLD_NAMES = {"dask_expr": "dask", "_duckdb": "duckdb"}
# Kinds of memory in DLPack's numbers that a processor reads: its own, its own pinned for CUDA and ROCm, and managed.
_OF_PROCESSORS = {1, 3, 11, 13}


def _library_of(X: Any) -> str:
    root = type(X).__module__.partition(".")[0]
    return _OLD_NAMES.get(root, root)


def in_reach(X: Any, name: str = "X") -> Any:
    """X without its wrapping of narwhals or xarray, if its rows are in memory or can be read piece by piece.

    Data that would be computed or fetched as a whole, silently, are a TypeError; those that are gone a ValueError.
    """
    library = _library_of(X)
    if library == "narwhals":
        return in_reach(X.to_native(), name)
    if library == "xarray" and hasattr(X, "dtype"):
        return in_reach(X.data, name)
    # Of these libraries, dask's arrays are read chunk by chunk, and most of polars is in memory.
    is_array = library == "dask" and type(X).__name__ == "Array" and hasattr(X, "chunks")
    if library in _LAZY and not is_array and (library != "polars" or type(X).__name__ == "LazyFrame"):
        raise TypeError(
            f"{name} is a {type(X).__name__} of {library}: its rows are not in memory, and to read them would load all "
            f"of them. Pass {_LAZY[library].replace('X.', f'{name}.')}."
        )
    if library == "dask" and any(size != size for size in X.shape):
        raise ValueError(
            f"{name} is an array of dask whose number of rows is not known. Call {name}.compute_chunk_sizes() first."
        )
    if library == "h5py" and not X:
        raise ValueError(f"{name} is a dataset of an HDF5 file that is closed. Open the file again, or pass its path.")
    device = getattr(X, "__dlpack_device__", None)
    if device is not None and library not in ("numpy", "dask") and int(device()[0]) not in _OF_PROCESSORS:
        raise TypeError(
            f"{name} is a {type(X).__name__} of {library} in the memory of another device. Copy it to that of the "
            f"processor first, as by {name}.cpu() or {name}.get()."
        )
    return X


def plain_array(given: Any, name: str = "X") -> np.ndarray:
    """An array of what a user gave; no copy of an array that is plain already.

    Missing values of objects, and masked values, become NaN. What has no shape of an array is a ValueError; kinds of
    data that NumPy would misread, or refuse in its own words, a TypeError.
    """
    if type(given) is np.ndarray:
        return given
    given = in_reach(given, name)
    if hasattr(given, "toarray") or (hasattr(given, "todense") and hasattr(given, "nnz")):
        raise TypeError(f"{name} is sparse ({type(given).__name__}), and rows must be dense. Pass {name}.toarray().")
    if isinstance(given, dict | set | frozenset):
        raise TypeError(f"{name} is a {type(given).__name__}. Pass its columns as a table: pandas.DataFrame({name}).")
    if isinstance(given, list | tuple):
        # One of each class is enough: it says what library the data are of.
        for item in {type(item): item for item in given}.values():
            in_reach(item, name)
    if isinstance(given, list | tuple) and any(isinstance(item, np.ma.MaskedArray) for item in given):
        given = np.ma.array([np.ma.filled(item, 0) for item in given], mask=[np.ma.getmaskarray(x) for x in given])
    if isinstance(given, np.ma.MaskedArray):
        return _unmasked(given, name)
    if isinstance(given, np.memmap):
        return given
    if _library_of(given) == "pandas" and hasattr(given, "isna"):
        return _of_pandas(given)
    return _asked(given, name)


def _of_pandas(given: Any) -> np.ndarray:
    """Values of a series or an array of pandas, whose own dtypes have missing values that are objects."""
    dtype = getattr(given, "dtype", None)
    stored = getattr(dtype, "numpy_dtype", None)
    if str(dtype).startswith("decimal"):
        return given.to_numpy(dtype=object)
    if stored is None or stored.kind not in "biuf":
        return np.asarray(given)
    if not given.isna().any():
        return given.to_numpy(dtype=stored)
    if stored.kind in "iu":
        # As floats, they would be rounded.
        return given.to_numpy(dtype=object)
    return given.to_numpy(dtype=np.float64, na_value=np.nan)


def _asked(given: Any, name: str) -> np.ndarray:
    """The array that an object makes of itself."""
    try:
        if hasattr(given, "detach"):
            # A tensor that learns does not show its values.
            given = given.detach()
        if _library_of(given) == "pyarrow":
            return given.to_numpy() if hasattr(given, "chunks") else given.to_numpy(zero_copy_only=False)
        if hasattr(given, "__dlpack__") and not hasattr(given, "__array__"):
            return np.from_dlpack(given)
        return np.asarray(given)
    except ValueError as error:
        raise ValueError(
            f"{name} is not a table of numbers; do all rows have the same length? ({error}) Several sequences of "
            "different lengths are a list of arrays, for hidden Markov models."
        ) from error
    # Whatever makes an array has errors of its own.
    except Exception as error:
        raise TypeError(
            f"{name} is a {type(given).__name__} of {_library_of(given)} that cannot be made an array ({error}). Pass "
            "a NumPy array: a tensor as float32 in the memory of the processor, say."
        ) from error


def _unmasked(given: np.ma.MaskedArray, name: str) -> np.ndarray:
    """The values, floats with NaN in the place of masked ones where there are some."""
    values, mask = np.asarray(given.data), np.ma.getmaskarray(given)
    if values.dtype.names:
        fields = {field: _unmasked(given[field], name) for field in values.dtype.names}
        filled = np.empty(values.shape, dtype=[(field, column.dtype) for field, column in fields.items()])
        for field, column in fields.items():
            filled[field] = column
        return filled
    if not mask.any():
        return values
    require_real(values, name)
    require_exact(np.where(mask, values.dtype.type(0), values), name)
    return np.where(mask, np.nan, values.astype(np.float64))


def floats(given: Any, name: str) -> np.ndarray:
    """Numbers that a user gave, as float64; see `plain_array` and `converted`."""
    return converted(plain_array(given, name), name)


def converted(values: np.ndarray, name: str = "X", dtype: Any = np.float64) -> np.ndarray:
    """Values as floats; the array itself where it is of this dtype.

    Text, complex numbers, and integers that float64 would round, are a ValueError or TypeError.
    """
    if values.dtype.kind == "O":
        return numbers_of_objects(values, name).astype(dtype, copy=False)
    require_real(values, name)
    require_exact(values, name)
    return values.astype(dtype, copy=False)


def is_dtype(dtype: Any) -> bool:
    """Whether NumPy knows a dtype."""
    try:
        np.dtype(dtype)
    except TypeError:
        return False
    return True


def require_real(values: np.ndarray, name: str = "X") -> None:
    """Raise ValueError for a dtype that holds something else than real numbers or objects."""
    if values.dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} must hold real numbers. Pass {name}.real, or {name}.real and "
            f"{name}.imag."
        )
    if values.dtype.names:
        raise ValueError(
            f"{name} is a structured array of the fields {', '.join(values.dtype.names)}; plain numbers are expected. "
            "Pass numpy.lib.recfunctions.structured_to_unstructured of it."
        )
    if values.dtype.kind not in "biufO":
        raise ValueError(
            f"{name} has dtype {values.dtype}, which does not hold real numbers. Encode text, dates and categories as "
            "numbers."
        )


def holds_numbers(values: np.ndarray) -> bool:
    """Whether objects are real numbers or missing."""
    try:
        numbers_of_objects(values, "", exact=False)
    except (TypeError, ValueError):
        return False
    return True


def numbers_of_objects(values: np.ndarray, name: str, exact: bool = True) -> np.ndarray:
    """Objects that are real numbers (of Python, Decimal, Fraction, NumPy) as float64; missing ones become NaN.

    Anything else is a ValueError or TypeError, and so are integers that float64 would round, unless `exact` is false.
    """
    kinds = set(map(type, values.ravel()))
    if any(issubclass(kind, str | bytes) for kind in kinds):
        # Python may read it as a number, but tables do not.
        text = next(value for value in values.ravel() if isinstance(value, str | bytes))
        raise ValueError(
            f"{name} has dtype object and does not hold real numbers throughout: {text!r} is text. Encode text as "
            f"numbers; where it stands for numbers, convert it by {name}.astype(float)."
        )
    if any(kind.__name__ in _MISSING for kind in kinds):
        flat = [np.nan if type(value).__name__ in _MISSING else value for value in values.ravel()]
        values = np.array([*flat, None], dtype=object)[:-1].reshape(values.shape)
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"{name} has dtype object and does not hold real numbers throughout: {error}. Pass numbers only."
        ) from error
    if exact and any(issubclass(kind, int | np.integer) for kind in kinds) and is_beyond(numbers):
        for value in values.ravel():
            if isinstance(value, int | np.integer):
                require_exact_integer(int(value), name)
    return numbers


def is_missing(values: np.ndarray) -> np.ndarray:
    """Which values (n,) of any dtype are not there: NaN, None, and what libraries have for them."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind in "mM":
        return np.isnat(values)
    if values.dtype.kind != "O":
        return np.zeros(values.shape, dtype=bool)
    return np.array([type(value).__name__ in _MISSING or value != value for value in values], dtype=bool)


def is_beyond(numbers: np.ndarray) -> bool:
    """Whether some floats are so large that they may be rounded integers."""
    return bool((numbers >= EXACT).any() or (numbers <= -EXACT).any())


def require_exact(values: np.ndarray, name: str = "X") -> None:
    """Raise SourceError for integers of 64 bits that float64 would round.

    Differences of a few between such integers are lost: of time stamps in nanoseconds, say.
    """
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8 or values.size == 0:
        return
    if values.max() <= EXACT and values.min() >= -EXACT:
        return
    integers = values.astype(values.dtype.newbyteorder("="), copy=False).ravel()
    # The least integer is its own negative, and right without its sign.
    magnitudes = np.where(integers < 0, np.negative(integers), integers).astype(np.uint64)
    lowest_bit = magnitudes & (~magnitudes + np.uint64(1))
    rounded = magnitudes // np.maximum(lowest_bit, 1) > EXACT
    if rounded.any():
        _refuse_rounding(int(integers[np.argmax(rounded)]), name)


def require_exact_integer(value: int, name: str) -> None:
    """Raise SourceError for an integer that float64 would round."""
    if int(float(value)) != value:
        _refuse_rounding(value, name)


def _refuse_rounding(value: int, name: str) -> NoReturn:
    raise SourceError(
        f"{name} holds the integer {value}, which is beyond 2**53: float64 would round it, and differences would be "
        "lost. Subtract a constant while they are integers (X - X.min(), say); or convert them to float64 yourself, "
        "where the last digits do not matter."
    )


def require_count(name: str, value: Any, least: int = 1, otherwise: str = "") -> None:
    """Raise ValueError for what is no integer of at least `least`; `otherwise` says what else may stand there."""
    if not isinstance(value, Integral) or isinstance(value, bool | np.bool_) or int(value) < least:
        wanted = "a positive integer" if least == 1 else f"an integer of at least {least}"
        raise ValueError(f"{named(name)} must be {wanted}{otherwise}, got {value!r}.")
