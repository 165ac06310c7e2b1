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
    """Raise when the fields of a record have other shapes than those that are expected.

    Raises
    ------
    ValueError
        Naming the first such field, and what its shape follows from.
    """
    found = shapes_of(record)
    if found == expected:
        return
    for name, one, other in zip(record._fields, found, expected, strict=False):
        if one != other:
            given = "is no array" if one is None else f"has the shape {one}"
            raise ValueError(f"{name} of {type(record).__name__} {given}, but {other} follows from {why}.")
    raise ValueError(f"{type(record).__name__} has {len(found)} fields, but there must be {len(expected)}.")


def require_params(family_params: Any, latent_params: Any, rows: Rows) -> int:
    """Raise when parameters do not fit rows (N, D), or each other; return the number of components.

    A record of parameters tells what its shapes must be by a method ``shapes(n_components, n_features)``.

    Raises
    ------
    ValueError
    """
    n_components = _n_hidden(latent_params)
    for record in (latent_params, family_params):
        _require_record(record, n_components, rows, "components")
    return n_components


def require_chain_params(family_params: Any, latent_params: Any, rows: Rows) -> tuple[int, int]:
    """As `require_params`, of a chain; return the numbers of states and of components.

    Raises
    ------
    ValueError
    """
    n_states = _n_hidden(latent_params)
    _require_record(latent_params, n_states, rows, "states")
    n_components = latent_params.first_entry.size - 1 if latent_params.first_entry.size else n_states
    _require_record(family_params, n_components, rows, "components")
    return n_states, n_components


def _n_hidden(latent_params: Any) -> int:
    """Number of the components, or of the states, of a latent structure."""
    first = latent_params[0]
    n_hidden = first.shape[0] if getattr(first, "ndim", 0) else 0
    if n_hidden == 0:
        raise ValueError(f"{type(latent_params).__name__} has no components.")
    return int(n_hidden)


def _require_record(record: Any, n: int, rows: Rows, of_what: str) -> None:
    if hasattr(record, "shapes"):
        expected = record.shapes(n, rows.n_columns)
        require_shapes(record, expected, f"{n} {of_what} and rows of {rows.n_columns} columns")


def require_rows(rows: Rows) -> None:
    """Raise when rows reach beyond the array that they lie in.

    Raises
    ------
    ValueError
    """
    if rows.n_rows <= 0 or rows.n_columns <= 0:
        return
    down, across = (rows.n_rows - 1) * rows.row_stride, (rows.n_columns - 1) * rows.column_stride
    first = rows.offset + min(down, 0) + min(across, 0)
    last = rows.offset + max(down, 0) + max(across, 0)
    if first < 0 or last >= (rows.float64.shape[0] or rows.float32.shape[0]):
        raise ValueError("The rows reach beyond the array that they lie in. Make them by fastem.passes.rows.rows_of.")


def require_weight(weight: np.ndarray, n_rows: int) -> None:
    """Raise unless there is one weight for each row, or none at all.

    Raises
    ------
    ValueError
    """
    if weight.shape not in ((0,), (n_rows,)):
        raise ValueError(f"There are weights of shape {weight.shape} for {n_rows} rows. Give one a row, or none.")


def require_units(units: Units, n_rows: int) -> None:
    """Raise unless units are as many as their parts say, and end with the last row.

    Raises
    ------
    ValueError
    """
    n_units = units.first.shape
    told = units.ends[-1] if units.ends.size else 0
    if units.stop.shape != n_units or units.sequence.shape != n_units or told != n_rows:
        raise ValueError(f"The lengths of the sequences sum to {told}, but there are {n_rows} rows.")


def require_given(given: Rows, n_rows: int, n_components: int) -> None:
    """Raise unless responsibilities are those of all rows and components, or none at all.

    Raises
    ------
    ValueError
    """
    if given.n_columns and (given.n_rows, given.n_columns) != (n_rows, n_components):
        raise ValueError(
            f"The responsibilities have the shape {given.n_rows, given.n_columns}, but there are {n_rows} rows and "
            f"{n_components} components."
        )


def require_output(name: str, out: np.ndarray, shape: Shape, dtype: Any) -> None:
    """Raise unless an array that a pass fills has the shape and the dtype of what is written.

    Raises
    ------
    ValueError
    """
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(
            f"The array for {name} has the shape {out.shape} and the dtype {out.dtype}, but {shape} and "
            f"{np.dtype(dtype)} are written."
        )


def require_lanes(
    lanes: ExpectedStats, family_params: Any, latent_params: Any, n_hidden: int, n_components: int
) -> None:
    """Raise unless all private accumulators are as many, and of the shapes that statistics at these parameters have.

    Raises
    ------
    ValueError
    """
    shape = lanes.loglik.shape
    if not shape[0:1] > (0,) or lanes.weight.shape != shape or lanes.impossible.shape != shape:
        raise ValueError("The statistics have no lanes, or not as many of each. Make them by with_lanes.")
    require_stats(lanes.latent, latent_params, n_hidden, shape[0])
    require_stats(lanes.family, family_params, n_components, shape[0])


def require_stats(stats: Any, params: Any, n_components: int, n_lanes: int) -> None:
    """Raise unless statistics have so many lanes, and the shapes that belong to these parameters.

    A record of statistics tells what its shapes must be by a method ``shapes(params, n_components, n_lanes)``.

    Raises
    ------
    ValueError
    """
    if hasattr(stats, "shapes"):
        expected = stats.shapes(params, n_components, n_lanes)
        require_shapes(stats, expected, f"{n_lanes} lanes of {n_components} components")
        return
    for name, field in zip(stats._fields, stats, strict=True):
        if name not in stats.shared and field.shape[:1] != (n_lanes,):
            raise ValueError(f"{name} of {type(stats).__name__} has the shape {field.shape}, but {n_lanes} lanes.")
