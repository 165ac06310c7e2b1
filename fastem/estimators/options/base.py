"""Options that belong together are one frozen record; a plain word stands for a default one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import InvalidParameterError, StrOptions, validate_parameter_constraints

from fastem._text import meant
from fastem.families._value import Value, options_of


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

    def constraints(self) -> list[Any]:
        """The choice, as scikit-learn checks parameters."""
        named = {word for word in self.words if isinstance(word, str)}
        words: list[Any] = [StrOptions(named)] if named else []
        return [*words, *([None] if None in self.words else []), *self.plain, *self.kinds]


class HasChoices:
    """What has settings, some of which are records of options."""

    _choices: ClassVar[dict[str, Choice]] = {}

    def _record(self, name: str, value: Any) -> Any:
        """The record that a value of a setting is, or stands for; None for others."""
        return self._choices[name].record(value) if name in self._choices else None

    def _require_valid(self, constraints: Mapping[str, list[Any]], values: Mapping[str, Any]) -> None:
        """Check each setting by itself.

        A word that is none of those to choose from is an error that names the one that may be meant. Its other words
        are scikit-learn's, which its checks of estimators look for.
        """
        name = type(self).__name__
        constraints = {**constraints, **{setting: each.constraints() for setting, each in self._choices.items()}}
        for setting, value in values.items():
            allowed = constraints.get(setting, [])
            words = sorted(word for each in allowed if isinstance(each, StrOptions) for word in each.options)
            if words and isinstance(value, str) and value not in words and str not in allowed:
                word = meant(value, words)
                hint = f" Do you mean {word!r}?" if word else ""
                raise InvalidParameterError(
                    f"The {setting!r} parameter of {name} must be among {', '.join(map(repr, words))}. Got {value!r} "
                    f"instead.{hint}"
                )
        validate_parameter_constraints(constraints, values, caller_name=name)

    def _deep(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Settings, and the options of those that are records or stand for one, as `schedule__batch_size`."""
        deep = dict(values)
        for name, value in values.items():
            record = self._record(name, value)
            if record is not None:
                deep.update({f"{name}__{inner}": option for inner, option in _options_in(record, deep=True).items()})
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
    """A frozen record of options, checked when it is made.

    A subclass is a frozen dataclass whose `_constraints` say, as scikit-learn's do, what each field may be.
    """

    _constraints: ClassVar[dict[str, list[Any]]] = {}

    def __post_init__(self) -> None:
        self._require_valid(self._constraints, self.get_params(deep=False))

    @classmethod
    def _names(cls) -> list[str]:
        return [field.name for field in fields(cls)]  # type: ignore[arg-type]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The options by name; `deep`, options of options as well, as `subsample__min_rows`."""
        values = {name: getattr(self, name) for name in self._names()}
        return self._deep(values) if deep else values

    def __repr__(self) -> str:
        defaults: dict[str, Any] = {field.name: field.default for field in fields(self)}  # type: ignore[arg-type]
        values = self.get_params(deep=False).items()
        changed = [f"{name}={value!r}" for name, value in values if not np.array_equal(value, defaults[name])]
        return f"{type(self).__name__}({', '.join(changed)})"


def _options_in(record: Any, deep: bool = False) -> dict[str, Any]:
    """What users may choose of a record, or of a family, by name."""
    return record.get_params(deep) if isinstance(record, Options) else options_of(record)


def _changed(where: str, value: Any, record: Any, kinds: tuple[type[Any], ...], changes: Mapping[str, Any]) -> Any:
    """The record that a value stands for, with other options; ValueError names the record that has them, if any."""
    known = {} if record is None else _options_in(record)
    for key in changes:
        name = key.partition("__")[0]
        if name in known:
            continue
        for kind in kinds:
            if name in kind._names():
                made = f"{where}={kind.__name__}"
                raise ValueError(
                    f"{name} is an option of {kind.__name__}, but {where} is {value!r}. Set {made}(...) first, or in "
                    f"the same call: {made}({name}={changes.get(name, '...')!r})."
                )
        word = meant(name, list(known))
        hint = f"Do you mean {word!r}?" if word else f"It has {', '.join(known) or 'no options'}."
        raise ValueError(f"{where}={value!r} has no option {name!r}. {hint}")
    if isinstance(record, HasChoices):
        changes = record._flat(changes, known, f"{where}__")
    return replace(record, **changes)


class OptionHolder(HasChoices, BaseEstimator):
    """An estimator some of whose settings are records of options."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    def _keep(self, settings: Mapping[str, Any]) -> None:
        """Set the parameters of the constructor, whose local variables these are."""
        for name, value in settings.items():
            if name != "self":
                setattr(self, name, value)

    def _option(self, name: str) -> Any:
        """The record that a setting is, or stands for."""
        return self._record(name, getattr(self, name))

    def _spelt_out(self) -> dict[str, Any]:
        """All settings and options; what is or stands for a record, by the name of its kind."""
        kinds = {name: self._option(name) for name in self._choices}
        return {**self.get_params(), **{name: kind and type(kind).__name__ for name, kind in kinds.items()}}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings by name; `deep`, the options of records as well, as `schedule__batch_size`."""
        values = super().get_params(deep=False)
        return self._deep(values) if deep else values

    def set_params(self, **params: Any) -> Self:
        """Set settings, and options of records: `set_params(schedule__batch_size=500)` makes a new record.

        Raises
        ------
        ValueError
            For names that are not there, and for options of another record than the setting has.
        """
        super().set_params(**self._flat(params, self.get_params(deep=False)))
        return self

    def _validate_params(self) -> None:
        """Check each setting by itself; a record was checked when it was made."""
        self._require_valid(self._parameter_constraints, self.get_params(deep=False))
