"""Families as users give them: words, values, one for each column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from fastem._naming import named
from fastem._text import unknown_choice
from fastem.families import KINDS, REGRESSIONS, Categorical, Normal, Poisson
from fastem.families.columns.base import Columns
from fastem.families.columns.coded import Coded
from fastem.families.columns.product import Part, Product
from fastem.families.regression.family import Regression
from fastem.fitting.checks import highest_codes
from fastem.sources import Source

# A column of exposures goes to the family of the counts.
_EXPOSURE = "exposure"
_WORDS = KINDS | REGRESSIONS


def read_family(given: Any) -> Any:
    """The family value that a user means, or a list of one for each column, in which exposures stay a word."""
    if isinstance(given, list | tuple | np.ndarray):
        return [_EXPOSURE if isinstance(kind, str) and kind == _EXPOSURE else _read_kind(kind) for kind in given]
    return _read_kind(given)


def _read_kind(given: Any) -> Any:
    if isinstance(given, str):
        if given not in (*_WORDS, _EXPOSURE):
            raise ValueError(unknown_choice(named("family"), given, (*_WORDS, _EXPOSURE)))
        if given == _EXPOSURE:
            raise ValueError(
                f"{named('family')}='exposure' is a column beside counts. Give a list with one kind for each column, "
                "or Poisson(exposure=True)."
            )
        return _WORDS[given]()
    if isinstance(given, type):
        raise TypeError(
            f"{named('family')} is the class {given.__name__}. Pass a value of it, such as {given.__name__}()."
        )
    names = {field.name for field in fields(given)} if is_dataclass(given) else set()
    if not names >= {"n_components", "n_features"}:
        raise TypeError(
            f"{named('family')} must be one of {', '.join(map(repr, _WORDS))}, a value such as Poisson(), a list of "
            f"these, or a dataclass of your own with fields n_components and n_features; got {given!r}."
        )
    return given


def sized(given: Any, n_components: int, n_features: int) -> Any:
    """The family of so many components and columns; ValueError for one of another size."""
    family = read_family(given)
    if isinstance(family, list):
        return _product(family, n_components, n_features)
    if isinstance(family, Regression) and n_features < 1 + family.has_size:
        raise ValueError(
            f"{named('family')}={family!r} reads the response, and its {family.size}, from the last two columns, but "
            f"{named('X')} has {n_features}."
        )
    for name, size in (("n_components", n_components), ("n_features", n_features)):
        if getattr(family, name) not in (0, size):
            raise ValueError(
                f"{named('family')} has {name}={getattr(family, name)}, where the estimator needs {size}. Leave {name} "
                "out of the family: it follows the estimator and the data."
            )
    return replace(family, n_components=n_components, n_features=n_features)


def in_words(given: Any) -> str:
    """What rows are made of, in words."""
    kinds = given if isinstance(given, list | tuple | np.ndarray) else [given]
    names = dict.fromkeys(kind if isinstance(kind, str) else type(kind).__name__ for kind in kinds)
    words = {family.__name__: word for word, family in _WORDS.items()}
    if names.keys() & {*REGRESSIONS, *(family.__name__ for family in REGRESSIONS.values())}:
        word = words.get(next(iter(names)), next(iter(names)))
        return f"{word.removesuffix('_regression')} regressions"
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
        raise ValueError(f"{named('family')} may have one column of kind 'exposure', beside columns of kind 'poisson'.")
    _require_shared("prior_weight", "columns other than normal ones", kinds, Columns)
    _require_shared("floor", "normal columns", kinds, Normal)
    order = list(dict.fromkeys([*KINDS.values(), *map(type, own)]))
    groups: list[tuple[Any, list[int]]] = []
    for j in sorted(set(range(n_features)) - set(exposures), key=lambda j: order.index(type(kinds[j]))):
        kind = replace(kinds[j], **{kinds[j].size_name: None}) if isinstance(kinds[j], Coded) else kinds[j]
        columns = next((columns for other, columns in groups if other == kind), None)
        if columns is None:
            groups.append((kind, [j]))
        else:
            columns.append(j)
    return Product(tuple(_part(kind, columns, kinds, exposures, n_components) for kind, columns in groups))


def _require_shared(option: str, which: str, kinds: Sequence[Any], of: type) -> None:
    """Raise ValueError for columns of a class that differ in an option which all of them must share."""
    columns: dict[float, list[int]] = {}
    for j, kind in enumerate(kinds):
        if isinstance(kind, of):
            columns.setdefault(getattr(kind, option), []).append(j)
    if len(columns) > 1:
        name = named(option)
        each = " and ".join(f"{name}={value!r} for the columns {places}" for value, places in columns.items())
        raise ValueError(f"{named('family')} has {each}, but all {which} share one. Give all of them the same {name}.")


def _part(family: Any, columns: list[int], kinds: Sequence[Any], exposures: list[int], n_components: int) -> Part:
    """Columns of one kind, with the exposure of counts."""
    options: dict[str, Any] = {}
    if isinstance(family, Coded):
        sizes = [getattr(kinds[j], family.size_name) for j in columns]
        unknown = [family.unknown_size]
        options[family.size_name] = np.concatenate([unknown if size is None else np.ravel(size) for size in sizes])
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
        return _with_sizes(family, np.asarray(sizes))
    if len(family) != len(sizes):
        raise ValueError(
            f"{named('family')} has {len(family)} kinds, but the parameters are those of {len(sizes)} columns."
        )
    choices = zip(family, unknown, sizes, strict=True)
    return [_with_sizes(kind, int(size)) if wanted else kind for kind, wanted, size in choices]


def _with_sizes(kind: Coded, sizes: Any) -> Coded:
    """A family of codes, for as many as are known of."""
    return replace(kind, **{kind.size_name: kind.size_for(sizes - 1)})


def _uncounted(family: Any, n_features: int) -> np.ndarray:
    """Which columns (D,) have categories whose number is not known."""
    kinds = family if isinstance(family, list) else [family] * n_features
    return np.array([isinstance(kind, Coded) and getattr(kind, kind.size_name) is None for kind in kinds])


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
