"""Options that belong together are one frozen record; a plain word stands for a default one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, replace
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastem._naming import named
from fastem._text import meant


class Value:
    """A frozen dataclass that may hold arrays, with equality by value."""

    # The fields that users choose; by default all that the representation shows.
    options: ClassVar[tuple[str, ...]] = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in names)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in options_of(self).items())
        return f"{type(self).__name__}({shown})"

    def __hash__(self) -> int:
        return hash(type(self))


def options_of(value: Any, deep: bool = False) -> dict[str, Any]:
    """What users may choose of a record, or of a family without its size and what it learns from data, by name."""
    if isinstance(value, Options):
        return value.get_params(deep)
    names = getattr(value, "options", ()) or [field.name for field in fields(value) if field.repr and field.init]
    return {name: getattr(value, name) for name in names if name not in ("n_components", "n_features")}


# What an option may be.


class Allowed(NamedTuple):
    """What an option may be, in words; `choices` are the texts to choose from, if these are some."""

    words: str
    holds: Callable[[Any], bool]
    choices: tuple[str, ...] = ()


def texts(*choices: str) -> Allowed:
    """One of these texts."""
    return Allowed(
        f"a str among {{{', '.join(map(repr, choices))}}}", lambda v: isinstance(v, str) and v in choices, choices
    )


def instance(*kinds: type) -> Allowed:
    """A value of one of these classes."""
    return Allowed(
        " or ".join(f"an instance of {kind.__name__!r}" for kind in kinds), lambda value: isinstance(value, kinds)
    )


def integers(least: int) -> Allowed:
    """An integer of at least so much."""
    return _range("an int", Integral, least, math.inf, "[)")


def numbers(least: float, most: float = math.inf, ends: str = "[)") -> Allowed:
    """A number of a range, which includes its ends where `ends` has square brackets."""
    return _range("a float", Real, float(least), float(most), ends)


def _range(noun: str, kind: type, least: float, most: float, ends: str) -> Allowed:
    def holds(value: Any) -> bool:
        if not isinstance(value, kind) or isinstance(value, bool):
            return False
        number: Any = value
        above = number >= least if ends[0] == "[" else number > least
        return bool(above and (number <= most if ends[1] == "]" else number < most))

    return Allowed(f"{noun} in the range {ends[0]}{least}, {most}{ends[1]}", holds)


NOTHING = Allowed("None", lambda value: value is None)
FLAG = Allowed("True or False", lambda value: isinstance(value, bool | np.bool_))
ARRAY = Allowed(
    "an array-like", lambda value: not np.isscalar(value) and (hasattr(value, "__len__") or hasattr(value, "__array__"))
)
FUNCTION = Allowed("a callable", callable)


class Choice(NamedTuple):
    """What a setting may be: records, and plain values that stand for one."""

    kinds: tuple[type[Any], ...]
    words: Mapping[Any, Any] = {}
    # The first kind of record is made of these.
    plain: tuple[type, ...] = ()

    def record(self, value: Any) -> Any:
        """The record that a value is or stands for; None where it stands for none."""
        if isinstance(value, self.kinds):
            return value
        if isinstance(value, self.plain):
            return self.kinds[0](value)
        return self.words.get(value) if value is None or isinstance(value, str) else None

    def texts(self) -> list[str]:
        """The texts to choose from."""
        return [word for word in self.words if isinstance(word, str)]

    def allowed(self) -> tuple[Allowed, ...]:
        """The choice, as options are checked."""
        words = (texts(*self.texts()),) if self.texts() else ()
        return (*words, *((NOTHING,) if None in self.words else ()), instance(*self.plain, *self.kinds))


class HasChoices:
    """What has settings, some of which are records of options."""

    _choices: ClassVar[dict[str, Choice]] = {}

    def _record(self, name: str, value: Any) -> Any:
        """The record that a value of a setting is, or stands for; None for others."""
        return self._choices[name].record(value) if name in self._choices else None

    def _deep(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Settings, and the options of those that are records or stand for one, as `schedule__batch_size`."""
        deep = dict(values)
        for name, value in values.items():
            record = self._record(name, value)
            if record is not None:
                deep.update({f"{name}__{inner}": option for inner, option in options_of(record, deep=True).items()})
        return deep

    def _flat(self, changes: Mapping[str, Any], values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
        """Settings out of changes of settings and of their options: new records in the place of those of `values`."""
        flat: dict[str, Any] = {}
        nested: dict[str, dict[str, Any]] = {}
        for key, change in changes.items():
            name, is_nested, inner = key.partition("__")
            if is_nested:
                nested.setdefault(name, {})[inner] = change
            else:
                flat[key] = change
        for name, options in nested.items():
            if name not in values:
                raise ValueError(f"Invalid parameter {name!r} for {type(self).__name__}: it has {', '.join(values)}.")
            value = flat.get(name, values[name])
            kinds = self._choices[name].kinds if name in self._choices else ()
            flat[name] = _changed(f"{where}{name}", value, self._record(name, value), kinds, options)
        return flat


class Options(HasChoices, Value):
    """A frozen record of options, checked when it is made: ValueError for a value that is out of range.

    A subclass is a frozen dataclass; `_allowed` says what each field may be that is no choice of records.
    """

    _allowed: ClassVar[dict[str, tuple[Allowed, ...]]] = {}

    def __post_init__(self) -> None:
        ranges = {**self._allowed, **{name: choice.allowed() for name, choice in self._choices.items()}}
        for name, allowed in ranges.items():
            _require_allowed(type(self).__name__, name, getattr(self, name), allowed)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The options by name; `deep`, options of options as well, as `subsample__min_rows`."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return self._deep(values) if deep else values

    def __repr__(self) -> str:
        defaults: dict[str, Any] = {field.name: field.default for field in fields(self)}  # type: ignore[arg-type]
        values = self.get_params(deep=False).items()
        changed = [f"{name}={value!r}" for name, value in values if not np.array_equal(value, defaults[name])]
        return f"{type(self).__name__}({', '.join(changed)})"


def _require_allowed(owner: str, name: str, value: Any, allowed: tuple[Allowed, ...]) -> None:
    if any(each.holds(value) for each in allowed):
        return
    choices = [choice for each in allowed for choice in each.choices]
    first, last = [each.words for each in allowed[:-1]], allowed[-1].words
    wanted = f"{', '.join(first)} or {last}" if first else last
    raise ValueError(
        f"The {named(name)!r} parameter of {owner} must be {wanted}. Got {value!r} instead.{meaning(value, choices)}"
    )


def meaning(value: Any, choices: list[str]) -> str:
    """A hint at the text that may be meant, after a space; nothing where none is near."""
    word = meant(value, choices) if isinstance(value, str) else None
    return f" Do you mean {word!r}?" if word else ""


def _changed(where: str, value: Any, record: Any, kinds: tuple[type[Any], ...], changes: Mapping[str, Any]) -> Any:
    """The record that a value stands for, with other options; ValueError names the record that has them, if any."""
    known = {} if record is None else options_of(record)
    for key in changes:
        name = key.partition("__")[0]
        if name in known:
            continue
        for kind in kinds:
            if name in kind.__dataclass_fields__:
                made = f"{where}={kind.__name__}"
                needed = [f"{each.name}=..." for each in fields(kind) if each.default is MISSING and each.name != name]
                given = ", ".join([*needed, f"{name}={changes.get(name, '...')!r}"])
                raise ValueError(
                    f"{name} is an option of {kind.__name__}, but {where} is {value!r}. Set {made}(...) first, or in "
                    f"the same call: {made}({given})."
                )
        word = meant(name, list(known))
        hint = f"Do you mean {word!r}?" if word else f"It has {', '.join(known) or 'no options'}."
        raise ValueError(f"{where}={value!r} has no option {name!r}. {hint}")
    if isinstance(record, HasChoices):
        changes = record._flat(changes, known, f"{where}__")
    return replace(record, **changes)
