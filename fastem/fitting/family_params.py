"""Parameters of families as users give them, by the names of the fitted attributes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fastem._naming import named
from fastem.families import KINDS, REGRESSIONS, Binomial, Categorical, Gamma, Normal, StudentT
from fastem.families.columns.base import Columns
from fastem.families.columns.gradients import IN_WHOLE
from fastem.families.columns.product import Product
from fastem.families.regression.family import Regression
from fastem.fitting.archive import is_proper
from fastem.fitting.family_values import categories_of
from fastem.fitting.parameters import proper_params, read_array, table_sizes
from fastem.given import floats
from fastem.passes.shapes import require_shapes, shapes_of

# Whose parameters have names; a list of kinds has those of all its columns.
NAMED = (*KINDS.values(), *REGRESSIONS.values(), Binomial, StudentT)
_ARRAY = "an array of the shape (n_components, n_features)"
_WANTED_TABLES = (
    "{} must be a list with an array of the shape (n_components, n_categories) for each column, which is None where a "
    "column has no categories; got {}."
)
# What is shown of columns of different kinds.
_TABLES = ("means", "variances", "probabilities")


def names_of(family: Any) -> tuple[str, ...]:
    """What is shown of the parameters of a family; nothing of one that has no such words."""
    if isinstance(family, list | Product):
        return _TABLES
    if isinstance(family, Normal):
        return _TABLES[:2]
    if isinstance(family, StudentT):
        return ("means", "covariances", *(("df",) if family.df is None else ()))
    return family.shown if isinstance(family, Columns | Regression) else ()


def needed_of(family: Any) -> tuple[str, ...]:
    """Those of `names_of` without which there are no parameters."""
    if not isinstance(family, list | Product):
        return names_of(family)
    kinds = [kind for kind in _kinds_of(family) if not isinstance(kind, str)]
    wants = {
        "means": any(not isinstance(kind, Categorical) for kind in kinds),
        "variances": any(isinstance(kind, Normal | Gamma) for kind in kinds),
        "probabilities": any(isinstance(kind, Categorical) for kind in kinds),
    }
    return tuple(name for name, is_needed in wants.items() if is_needed)


def _kinds_of(family: Any) -> list[Any]:
    return family if isinstance(family, list) else [part.family for part in getattr(family, "parts", ())]


def shown_of(family: Any) -> tuple[str, ...]:
    """`names_of`, and what some kinds alone have among columns of several kinds."""
    own = (IN_WHOLE.get(name, name) for kind in _kinds_of(family) if isinstance(kind, Columns) for name in kind.shown)
    return tuple(dict.fromkeys((*names_of(family), *own)))


def sizes_in(family: Any, named: Mapping[str, Any]) -> tuple[int, int]:
    """Numbers of components and of columns of X that fitted attributes are for, by the names of `names_of`."""
    if isinstance(family, Regression):
        n_components, n_covariates = table_sizes("coef_", named.get("coef"))
        return n_components, n_covariates + 1 + family.has_size
    if isinstance(family, Categorical) or ("means" not in named and not isinstance(family, Columns)):
        tables = read_tables("probabilities_", named.get("probabilities"))
        sizes = {len(table) for table in tables if table is not None}
        if len(sizes) != 1:
            raise ValueError(_WANTED_TABLES.format("probabilities_", "none" if not sizes else f"{sizes} components"))
        return sizes.pop(), len(tables)
    name = next((each for each in names_of(family) if each in named), names_of(family)[0])
    n_components, n_values = table_sizes(f"{name}_", named[name])
    return n_components, n_values + (family.n_covariates if isinstance(family, Columns) else 0)


def category_sizes_in(named: Mapping[str, Any]) -> list[int] | None:
    """Number of categories of each column that named parameters tell; None where they tell of none."""
    try:
        tables = read_tables("probabilities", named.get("probabilities"))
    except (TypeError, ValueError):
        return None
    return [1 if table is None else table.shape[1] for table in tables]


def read_tables(name: str, given: Any) -> list[np.ndarray | None]:
    """Probabilities (K, C) of the categories of each column; None for a column that has none."""
    if not isinstance(given, list | tuple | np.ndarray):
        raise ValueError(_WANTED_TABLES.format(name, repr(given)))
    tables = [None if table is None else floats(table, f"{name}[{j}]") for j, table in enumerate(given)]
    shapes = [table.shape for table in tables if table is not None]
    if not all(len(shape) == 2 and 0 not in shape for shape in shapes):
        raise ValueError(_WANTED_TABLES.format(name, f"the shapes {shapes}"))
    return tables


def params_of(family: Any, named: Mapping[str, Any], end: str = "_", *, is_estimate: bool = False) -> Any:
    """Parameters of a family from those that a user names, as `names_of` does; messages put `end` behind these names.

    In an estimate zero means that nothing was seen; otherwise, that it is impossible.
    """
    names = names_of(family)
    if not named or not set(named) <= set(names):
        has = f"has the parameters {', '.join(names)}" if names else "has no names for parameters: give their record"
        raise ValueError(f"{type(family).__name__} {has}; got {', '.join(map(repr, named)) or 'none'}.")
    if isinstance(family, Columns):
        values = _column_values(family, named, end)
        return family.estimated(values) if is_estimate else family.params(values)
    if isinstance(family, StudentT):
        return _student_params(family, named, end)
    if isinstance(family, Regression):
        return _regression_params(family, named, end)
    params = _moment_params(family, named, end)
    # Statistics that give the parameters back, but for those that are nowhere.
    return family.m_step(family.stats_of(params, np.ones(family.n_components)), params)[0] if is_estimate else params


def _student_params(family: StudentT, named: Mapping[str, Any], end: str) -> Any:
    require_all(family, named)
    means = read_array(f"means{end}", named["means"], (family.n_components, family.n_features))
    covariances = read_array(f"covariances{end}", named["covariances"], family.covariance_shape())
    if family.df is None:
        df = float(read_array(f"df{end}", np.ravel(named["df"]), (1,))[0])
        if not 0.5 <= df <= 1e4:
            raise ValueError(f"df{end} must be from 0.5 to 10000; got {df:g}.")
        family = replace(family, start_df=df)
    return proper_params(family, means, covariances, f"covariances{end}")


def _regression_params(family: Regression, named: Mapping[str, Any], end: str) -> Any:
    require_all(family, named)
    k = family.n_components
    coef = read_array(f"coef{end}", named["coef"], (k, family.n_covariates))
    others = [read_array(f"{name}{end}", named[name], (k,)) for name in family.shown[1:]]
    if len(others) > 1 and not np.all(others[1] > 0.0):
        raise ValueError(f"{family.shown[2]}{end} must be positive; got {others[1].min():g}.")
    return family.params(coef, *others)


def _moment_params(family: Any, named: Mapping[str, Any], end: str) -> Any:
    """Parameters of normal columns, or of columns of several kinds; NaN and None stand for what a column has not."""
    shape, names = (family.n_components, family.n_features), names_of(family)
    require_all(family, named)
    tables = dict(named)
    for name in ("means", "variances"):
        tables[name] = read_array(f"{name}{end}", named.get(name, np.full(shape, np.nan)), shape, may_miss=True)
    if "probabilities" in names:
        tables["probabilities"] = _tables_of(family, named.get("probabilities"), f"probabilities{end}")
    try:
        params = family.of_moments(**tables)
    except (TypeError, ValueError, AttributeError, np.linalg.LinAlgError) as error:
        raise ValueError(
            f"{', '.join(f'{name}{end}' for name in names)} are no parameters of this family: {error}"
        ) from error
    return read_record(family, params)


def _tables_of(family: Product, given: Any, name: str) -> list[np.ndarray | None]:
    """Probabilities (K, C) for the columns that have categories."""
    if given is None:
        return [None] * family.n_features
    tables, sizes = read_tables(name, given), categories_of(family) or []
    if len(tables) != len(sizes):
        raise ValueError(f"{name} must hold one array, or None, for each of the {len(sizes)} columns: {len(tables)}.")
    for part, columns in family.parts:
        for j in columns if isinstance(part, Categorical) else ():
            _read_shares(f"{name}[{j}]", tables[j], (family.n_components, sizes[j]))
    return tables


def require_all(family: Any, given: Collection[str]) -> None:
    """Raise ValueError when a name is missing without which there are no parameters."""
    needed = needed_of(family)
    missing = [name for name in needed if name not in given]
    if missing:
        is_list = missing == ["probabilities"] and isinstance(family, list | Product | Categorical)
        if isinstance(family, Regression):
            raise ValueError(
                f"{type(family).__name__} has {', '.join(needed)}: give {', '.join(missing)}, too. coef is an array of "
                "the shape (n_components, n_covariates), the others have one number for each component."
            )
        owner = "A list of kinds" if isinstance(family, list | Product) else type(family).__name__
        raise ValueError(
            f"{owner} has {', '.join(needed)}: give {', '.join(missing)}, too. "
            f"Each is {'a list with an array (n_components, n_categories) for each column' if is_list else _ARRAY}."
        )


def require_values(family: Any, given: Mapping[str, Any], n_components: int, share: str) -> None:
    """Raise ValueError for parameters, by name, that are not all there, or not for as many components as shares."""
    if not names_of(family):
        raise ValueError(f"{type(family).__name__} has no names for its parameters: give their record, a NamedTuple.")
    require_all(family, given)
    found = sizes_in(family, given)[0]
    if found != n_components:
        raise ValueError(f"{share} must have the shape ({found},), as {next(iter(given))} says; got ({n_components},).")


def require_record(given: Any, n_features: Any) -> Any:
    """The record of parameters that a user gave, a NamedTuple, for so many columns where that is said."""
    if not hasattr(given, "_fields"):
        raise ValueError(f"record must be a NamedTuple of the parameters of the family, got {given!r}.")
    if n_features is None and not hasattr(given, "means"):
        raise ValueError("record does not say how many columns rows have: give n_features, too.")
    return given


def _column_values(family: Columns, named: Mapping[str, Any], end: str) -> np.ndarray:
    """The own parameters (K, V) of a family of columns, as a user gives them by name, checked."""
    require_all(family, named)
    patterns = family.named(np.empty(family.values_shape()))
    values = [_read_table(f"{name}{end}", named[name], like) for name, like in patterns.items()]
    return require_proper(" and ".join(f"{name}{end}" for name in patterns), np.concatenate(values, axis=1), family)


def _read_table(name: str, given: Any, like: Any) -> np.ndarray:
    """One array for all columns, or one for each of them."""
    if not isinstance(like, list):
        return read_array(name, given, like.shape)
    tables = read_tables(name, given)
    if len(tables) != len(like):
        raise ValueError(f"{name} must hold one array for each of the {len(like)} columns, got {len(tables)}.")
    pairs = enumerate(zip(tables, like, strict=True))
    return np.concatenate([_read_shares(f"{name}[{j}]", one, pattern.shape) for j, (one, pattern) in pairs], axis=1)


def _read_shares(name: str, given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Probabilities of the categories of one column."""
    if given is not None and given.shape[0] == shape[0] and given.shape[1] != shape[1]:
        raise ValueError(
            f"{name} has {given.shape[1]} categories, but this column has {shape[1]}: the codes of the rows, or "
            f"{named('n_categories')}, say so. Give the number of categories that there may be: "
            f"{named(f'family=Categorical(n_categories={given.shape[1]})')}."
        )
    return read_array(name, given, shape)


def require_proper(name: str, values: np.ndarray, family: Columns) -> np.ndarray:
    """The values, which must be within the limits of the family."""
    if not family.are_proper(values):
        raise ValueError(f"{name} {family.wanted}; got values from {values.min():g} to {values.max():g}.")
    return values


def read_record(family: Any, given: Any, name: str = "params_") -> Any:
    """Parameters of a family, a NamedTuple, checked, in memory of their own; ValueError for what is none."""
    pattern = family.neutral_params(np.zeros(family.n_features))
    if type(given) is not type(pattern):
        raise ValueError(f"{name} must be a {type(pattern).__name__}, got {type(given).__name__}.")
    require_shapes(given, shapes_of(pattern), f"{type(family).__name__}.neutral_params")
    for field_name, field, known in zip(pattern._fields, given, pattern, strict=True):
        if field.dtype != known.dtype or not is_proper(field_name, field):
            raise ValueError(f"{field_name} of {name} must hold finite numbers of dtype {known.dtype}.")
        if field.dtype.kind in "iu" and not np.array_equal(field, known):
            raise ValueError(f"{field_name} of {name} must be {known.tolist()}, as the kinds of the columns say.")
    record = type(given)(*(np.array(field, order="C") for field in given))
    return family.rebuilt(record)
