"""Families as users give them: words, values, one for each column; and their parameters, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from fastem._naming import named
from fastem._text import unknown_choice
from fastem.families import KINDS, Categorical, Normal, Poisson, StudentT
from fastem.families.columns.base import Columns
from fastem.families.columns.gradients import IN_WHOLE
from fastem.families.columns.product import Part, Product
from fastem.fitting.archive import is_proper
from fastem.fitting.checks import highest_codes
from fastem.fitting.parameters import proper_params, read_array, table_sizes
from fastem.passes.shapes import require_shapes, shapes_of
from fastem.sources import Source

# Whose parameters have names; a list of kinds has those of all its columns.
NAMED = (*KINDS.values(), StudentT)
# A column of exposures goes to the family of the counts.
_EXPOSURE = "exposure"
# What is shown of columns of different kinds.
_TABLES = ("means", "variances", "probabilities")


def read_family(given: Any) -> Any:
    """The family value that a user means, or a list of one for each column, in which exposures stay a word."""
    if isinstance(given, list | tuple | np.ndarray):
        return [_EXPOSURE if isinstance(kind, str) and kind == _EXPOSURE else _read_kind(kind) for kind in given]
    return _read_kind(given)


def _read_kind(given: Any) -> Any:
    if isinstance(given, str):
        if given not in (*KINDS, _EXPOSURE):
            raise ValueError(unknown_choice("family", given, (*KINDS, _EXPOSURE)))
        if given == _EXPOSURE:
            raise ValueError(
                "family='exposure' is a column beside counts. Give a list with one kind for each column, or "
                "Poisson(exposure=True)."
            )
        return KINDS[given]()
    if isinstance(given, type):
        raise TypeError(f"family is the class {given.__name__}. Pass a value of it, such as {given.__name__}().")
    names = {field.name for field in fields(given)} if is_dataclass(given) else set()
    if not names >= {"n_components", "n_features"}:
        raise TypeError(
            f"family must be one of {', '.join(map(repr, KINDS))}, a value such as Poisson(), a list of these, or a "
            f"dataclass of your own with fields n_components and n_features; got {given!r}."
        )
    return given


def sized(given: Any, n_components: int, n_features: int) -> Any:
    """The family of so many components and columns; ValueError for one of another size."""
    family = read_family(given)
    if isinstance(family, list):
        return _product(family, n_components, n_features)
    for name, size in (("n_components", n_components), ("n_features", n_features)):
        if getattr(family, name) not in (0, size):
            raise ValueError(
                f"family has {name}={getattr(family, name)}, where the estimator needs {size}. Leave {name} out of "
                "the family: it follows the estimator and the data."
            )
    return replace(family, n_components=n_components, n_features=n_features)


def in_words(given: Any) -> str:
    """What rows are made of, in words."""
    kinds = given if isinstance(given, list | tuple | np.ndarray) else [given]
    names = dict.fromkeys(kind if isinstance(kind, str) else type(kind).__name__ for kind in kinds)
    words = {family.__name__: word for word, family in KINDS.items()}
    is_known = all(name in words or name in KINDS or name == _EXPOSURE for name in names)
    return f"{', '.join(words.get(name, name) for name in names)} {'columns' if is_known else 'distributions'}"


def _product(kinds: Sequence[Any], n_components: int, n_features: int) -> Product:
    """The family of columns of these kinds; those of equal kinds are described together."""
    if len(kinds) != n_features:
        raise ValueError(
            f"{named('family')} has {len(kinds)} kinds, but {named('X')} has {n_features} columns. "
            "Give one kind for each."
        )
    exposures = [j for j, kind in enumerate(kinds) if isinstance(kind, str)]
    own = [kind for kind in kinds if not isinstance(kind, str)]
    for kind in own:
        if not isinstance(kind, Columns | Normal) or getattr(kind, "exposure", False):
            raise ValueError(
                f"A list of families has one for each column, and {kind!r} describes none by itself. Choose among "
                f"{', '.join(map(repr, (*KINDS, _EXPOSURE)))}, or values of these families."
            )
    if len(exposures) > 1 or (exposures and not any(isinstance(kind, Poisson) for kind in own)):
        raise ValueError("family may have one column of kind 'exposure', beside columns of kind 'poisson'.")
    weights = sorted({kind.prior_weight for kind in own if isinstance(kind, Columns)})
    if len(weights) > 1:
        raise ValueError(
            f"All columns but normal ones share one prior, but family has the prior_weight {weights}. Give all of "
            "them the same."
        )
    order = list(dict.fromkeys([*KINDS.values(), *map(type, own)]))
    groups: list[tuple[Any, list[int]]] = []
    for j in sorted(set(range(n_features)) - set(exposures), key=lambda j: order.index(type(kinds[j]))):
        kind = replace(kinds[j], n_categories=None) if isinstance(kinds[j], Categorical) else kinds[j]
        columns = next((columns for other, columns in groups if other == kind), None)
        if columns is None:
            groups.append((kind, [j]))
        else:
            columns.append(j)
    return Product(tuple(_part(kind, columns, kinds, exposures, n_components) for kind, columns in groups))


def _part(family: Any, columns: list[int], kinds: Sequence[Any], exposures: list[int], n_components: int) -> Part:
    """Columns of one kind, with the exposure of counts."""
    options: dict[str, Any] = {}
    if isinstance(family, Categorical):
        sizes = [kinds[j].n_categories for j in columns]
        options["n_categories"] = np.concatenate([[1] if size is None else np.ravel(size) for size in sizes])
    if isinstance(family, Poisson) and exposures:
        columns = columns + exposures
        options["exposure"] = True
    return Part(replace(family, n_components=n_components, n_features=len(columns), **options), np.array(columns))


# Numbers of categories.


def counted(given: Any, source: Source) -> Any:
    """The family, with the numbers of categories that it leaves to the data; they take a pass over the rows."""
    unknown = _uncounted(read_family(given), source.n_features)
    return with_categories(given, highest_codes(source, unknown) + 1) if unknown.any() else given


def with_categories(given: Any, sizes: Sequence[int] | np.ndarray) -> Any:
    """The family with these numbers (D,) of categories, where it has none of its own."""
    family = read_family(given)
    unknown = _uncounted(family, len(sizes))
    if not unknown.any():
        return given
    if not isinstance(family, list):
        return replace(family, n_categories=np.asarray(sizes))
    choices = zip(family, unknown, sizes, strict=True)
    return [replace(kind, n_categories=int(size)) if wanted else kind for kind, wanted, size in choices]


def _uncounted(family: Any, n_features: int) -> np.ndarray:
    """Which columns (D,) have categories whose number is not known."""
    kinds = family if isinstance(family, list) else [family] * n_features
    return np.array([isinstance(kind, Categorical) and kind.n_categories is None for kind in kinds])


def categories_of(family: Any) -> list[int] | None:
    """Number of categories of each column, one where a column has none; None for a family without categories."""
    if isinstance(family, Categorical):
        return family.group_sizes().tolist()
    if not isinstance(family, Product):
        return None
    sizes = np.ones(family.n_features, dtype=np.int64)
    for part, columns in family.parts:
        if isinstance(part, Categorical):
            sizes[columns] = part.group_sizes()
    return sizes.tolist()


# Parameters, by the names of the fitted attributes.


def names_of(family: Any) -> tuple[str, ...]:
    """What is shown of the parameters of a family; nothing of one that has no such words."""
    if isinstance(family, list | Product):
        return _TABLES
    if isinstance(family, Normal):
        return _TABLES[:2]
    if isinstance(family, StudentT):
        return ("means", "covariances")
    return family.shown if isinstance(family, Columns) else ()


def shown_of(family: Any) -> tuple[str, ...]:
    """`names_of`, and what some kinds alone have among columns of several kinds."""
    kinds = family if isinstance(family, list) else [part.family for part in getattr(family, "parts", ())]
    own = (IN_WHOLE.get(name, name) for kind in kinds if isinstance(kind, Columns) for name in kind.shown)
    return tuple(dict.fromkeys((*names_of(family), *own)))


def sizes_in(family: Any, named: Mapping[str, Any]) -> tuple[int, int]:
    """Numbers of components and of columns of X that fitted attributes are for, by the names of `names_of`."""
    if isinstance(family, Categorical) or ("means" not in named and not isinstance(family, Columns)):
        tables = [np.shape(table) for table in named.get("probabilities", ()) if table is not None]
        if not tables or len({table[:1] for table in tables}) > 1 or not all(len(table) == 2 for table in tables):
            raise ValueError("probabilities_ must hold an array (n_components, n_categories) for each column.")
        return tables[0][0], len(named["probabilities"])
    name = next((each for each in names_of(family) if each in named), names_of(family)[0])
    n_components, n_values = table_sizes(f"{name}_", named[name])
    return n_components, n_values + (family.n_covariates if isinstance(family, Columns) else 0)


def category_sizes_in(named: Mapping[str, Any]) -> list[int] | None:
    """Number of categories of each column that named parameters tell; None where they tell of none."""
    tables = named.get("probabilities")
    if not isinstance(tables, list | tuple | np.ndarray):
        return None
    if not all(table is None or np.ndim(table) == 2 for table in tables):
        return None
    return [1 if table is None else np.shape(table)[1] for table in tables]


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
    params = _moment_params(family, named, end)
    # Statistics that give the parameters back, but for those that are nowhere.
    return family.m_step(family.stats_of(params, np.ones(family.n_components)), params)[0] if is_estimate else params


def _student_params(family: StudentT, named: Mapping[str, Any], end: str) -> Any:
    names = names_of(family)
    for name in names:
        if name not in named:
            raise ValueError(f"{name}{end} is missing: {type(family).__name__} has {' and '.join(names)}.")
    means = read_array(f"means{end}", named["means"], (family.n_components, family.n_features))
    covariances = read_array(f"covariances{end}", named["covariances"], family.covariance_shape())
    return proper_params(family, means, covariances, f"covariances{end}")


def _moment_params(family: Any, named: Mapping[str, Any], end: str) -> Any:
    """Parameters of normal columns, or of columns of several kinds; NaN and None stand for what a column has not."""
    shape, names = (family.n_components, family.n_features), names_of(family)
    tables = dict(named)
    for name in ("means", "variances"):
        table = np.array(named.get(name, np.full(shape, np.nan)), dtype=np.float64)
        tables[name] = table.reshape(-1, 1) if family.n_features == 1 and table.ndim == 1 else table
        if tables[name].shape != shape:
            raise ValueError(f"{name}{end} must have the shape {shape}, got {tables[name].shape}.")
    if "probabilities" in names:
        tables.setdefault("probabilities", [None] * family.n_features)
    try:
        params = family.of_moments(**tables)
    except (TypeError, ValueError, AttributeError, np.linalg.LinAlgError) as error:
        raise ValueError(
            f"{', '.join(f'{name}{end}' for name in names)} are no parameters of this family: {error}"
        ) from error
    return read_record(family, params)


def _column_values(family: Columns, named: Mapping[str, Any], end: str) -> np.ndarray:
    """The own parameters (K, V) of a family of columns, as a user gives them by name, checked."""
    patterns = family.named(np.empty(family.values_shape()))
    missing = [name for name in patterns if name not in named]
    if missing:
        raise ValueError(f"{type(family).__name__} has {', '.join(patterns)}: give {', '.join(missing)}, too.")
    values = [_read_table(f"{name}{end}", named[name], like) for name, like in patterns.items()]
    return require_proper(" and ".join(f"{name}{end}" for name in patterns), np.concatenate(values, axis=1), family)


def _read_table(name: str, given: Any, like: Any) -> np.ndarray:
    """One array for all columns, or one for each of them."""
    if not isinstance(like, list):
        return read_array(name, given, like.shape)
    tables = list(given)
    if len(tables) != len(like):
        raise ValueError(f"{name} must hold one array for each of the {len(like)} columns, got {len(tables)}.")
    pairs = enumerate(zip(tables, like, strict=True))
    return np.concatenate([read_array(f"{name}[{j}]", one, pattern.shape) for j, (one, pattern) in pairs], axis=1)


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
