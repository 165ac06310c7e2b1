"""Whether the arrays of a pass fit together: a compiled loop writes wherever it is told, without asking.

Each check takes constant time: it looks at shapes, never at values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.passes.rows import Rows
from fastem.passes.units import Units
from fastem.stats import ExpectedStats

Shape = tuple[int, ...]


def shapes_of(record: Any) -> tuple[Any, ...]:
    """Shapes of the fields of a record; None for what is no array."""
    return tuple([getattr(field, "shape", None) for field in record])


def require_shapes(record: Any, expected: tuple[Shape, ...], why: str) -> None:
    """Raise ValueError for a record of other shapes, naming the first such field and what its shape follows from."""
    found = shapes_of(record)
    if found == expected:
        return
    for name, one, other in zip(record._fields, found, expected, strict=False):
        if one != other:
            given = "is no array" if one is None else f"has the shape {one}"
            raise ValueError(f"{name} of {type(record).__name__} {given}, but {other} follows from {why}.")
    raise ValueError(f"{type(record).__name__} has {len(found)} fields, but there must be {len(expected)}.")


def require_params(family_params: Any, latent_params: Any, rows: Rows, is_chain: bool = False) -> tuple[int, int]:
    """Raise ValueError when parameters do not fit rows (N, D), or each other; or when rows leave their array.

    A record of parameters tells what its shapes must be by a method ``shapes(n_components, n_features)``. Returns the
    number of hidden states and that of components, which only a chain has another one of.
    """
    first = latent_params[0]
    n_hidden = first.shape[0] if getattr(first, "ndim", 0) else 0
    if n_hidden == 0:
        raise ValueError(f"{type(latent_params).__name__} has no components.")
    _require_record(latent_params, n_hidden, rows, "states" if is_chain else "components")
    n_components = n_hidden
    if is_chain and latent_params.first_entry.size:
        n_components = latent_params.first_entry.size - 1
    _require_record(family_params, n_components, rows, "components")
    _require_rows(rows)
    return n_hidden, n_components


def _require_record(record: Any, n: int, rows: Rows, of_what: str) -> None:
    if hasattr(record, "shapes"):
        expected = record.shapes(n, rows.n_columns)
        require_shapes(record, expected, f"{n} {of_what} and rows of {rows.n_columns} columns")


def _require_rows(rows: Rows) -> None:
    """Raise ValueError when rows reach beyond the array that they lie in."""
    if rows.n_rows <= 0 or rows.n_columns <= 0:
        return
    down, across = (rows.n_rows - 1) * rows.row_stride, (rows.n_columns - 1) * rows.column_stride
    first = rows.offset + min(down, 0) + min(across, 0)
    last = rows.offset + max(down, 0) + max(across, 0)
    if first < 0 or last >= (rows.float64.shape[0] or rows.float32.shape[0]):
        raise ValueError("The rows reach beyond the array that they lie in. Make them by fastem.passes.rows.rows_of.")


def require_weight(weight: np.ndarray, n_rows: int) -> None:
    """Raise ValueError unless there is one weight for each row, or none at all."""
    if weight.shape not in ((0,), (n_rows,)):
        raise ValueError(f"There are weights of shape {weight.shape} for {n_rows} rows. Give one a row, or none.")


def require_units(units: Units, n_rows: int) -> None:
    """Raise ValueError unless units are as many as their parts say, and end with the last row."""
    n_tracks = units.first.shape
    told = units.ends[-1] if units.ends.size else 0
    is_whole = units.stop.shape == n_tracks == units.sequence.shape and units.first_track[-1] == n_tracks[0]
    if not is_whole or told != n_rows:
        raise ValueError(f"The lengths of the sequences sum to {told}, but there are {n_rows} rows.")


def require_given(given: Rows, n_rows: int, n_components: int) -> None:
    """Raise ValueError unless responsibilities are those of all rows and components, or none at all."""
    if given.n_columns and (given.n_rows, given.n_columns) != (n_rows, n_components):
        raise ValueError(
            f"The responsibilities have the shape {given.n_rows, given.n_columns}, but there are {n_rows} rows and "
            f"{n_components} components."
        )


def require_output(name: str, out: np.ndarray, shape: Shape, dtype: Any) -> None:
    """Raise ValueError unless an array that a pass fills has the shape and the dtype of what is written."""
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(
            f"The array for {name} has the shape {out.shape} and the dtype {out.dtype}, but {shape} and "
            f"{np.dtype(dtype)} are written."
        )


def require_lanes(
    lanes: ExpectedStats, family_params: Any, latent_params: Any, n_hidden: int, n_components: int
) -> None:
    """Raise ValueError unless all lanes are as many, and of the shapes that statistics at these parameters have."""
    shape = lanes.loglik.shape
    if not shape[0:1] > (0,) or lanes.weight.shape != shape or lanes.zero_density.shape != shape:
        raise ValueError("The statistics have no lanes, or not as many of each. Make them by with_lanes.")
    require_stats(lanes.latent, latent_params, n_hidden, shape[0])
    require_stats(lanes.family, family_params, n_components, shape[0])


def require_stats(stats: Any, params: Any, n_components: int, n_lanes: int) -> None:
    """Raise ValueError unless statistics have so many lanes, and the shapes that belong to these parameters.

    A record of statistics tells what its shapes must be by a method ``shapes(params, n_components, n_lanes)``.
    """
    if hasattr(stats, "shapes"):
        expected = stats.shapes(params, n_components, n_lanes)
        require_shapes(stats, expected, f"{n_lanes} lanes of {n_components} components")
        return
    for name, field in zip(stats._fields, stats, strict=True):
        if name not in stats.shared and field.shape[:1] != (n_lanes,):
            raise ValueError(f"{name} of {type(stats).__name__} has the shape {field.shape}, but {n_lanes} lanes.")
