"""Options that belong together are one frozen record; a plain word stands for a default one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import StrOptions, validate_parameter_constraints

from fastem._text import meant
from fastem.estimators._validation import require_known_words
from fastem.families._value import Value, options_of


class Choice(NamedTuple):
    """What a setting may be.

    Attributes
    ----------
    kinds : tuple of type
        Records.
    words : mapping
        Plain values, and the record that each of them stands for.
    plain : tuple of type
        Of these values the first of the records is made.
    """

    kinds: tuple[type[Any], ...]
    words: Mapping[Any, Any] = {}
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


class Options(Value):
    """A frozen record of options, checked when it is made.

    A subclass is a frozen dataclass whose `_constraints` say, as scikit-learn's do, what each field may be.
    """

    _constraints: ClassVar[dict[str, list[Any]]] = {}
    _choices: ClassVar[dict[str, Choice]] = {}

    def __post_init__(self) -> None:
        name, values = type(self).__name__, self.get_params(deep=False)
        constraints = {**self._constraints, **{field: each.constraints() for field, each in self._choices.items()}}
        require_known_words(name, constraints, values)
        validate_parameter_constraints(constraints, values, caller_name=name)

    @classmethod
    def _names(cls) -> list[str]:
        return [field.name for field in fields(cls)]  # type: ignore[arg-type]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The options by name, as scikit-learn asks for them.

        Parameters
        ----------
        deep : bool, default True
            Whether options of options are there as well, as `subsample__min_rows`.

        Returns
        -------
        params : dict
        """
        values = {name: getattr(self, name) for name in self._names()}
        return with_nested(values, self._record) if deep else values

    def _record(self, name: str, value: Any) -> Any:
        """The record that an option is, or stands for; None for others."""
        return self._choices[name].record(value) if name in self._choices else None

    def __repr__(self) -> str:
        defaults: dict[str, Any] = {field.name: field.default for field in fields(self)}  # type: ignore[arg-type]
        values = self.get_params(deep=False).items()
        changed = [f"{name}={value!r}" for name, value in values if not np.array_equal(value, defaults[name])]
        return f"{type(self).__name__}({', '.join(changed)})"


def _options_in(record: Any, deep: bool = False) -> dict[str, Any]:
    """What users may choose of a record, or of a family, by name."""
    return record.get_params(deep) if isinstance(record, Options) else options_of(record)


def with_nested(values: Mapping[str, Any], record_of: Callable[[str, Any], Any]) -> dict[str, Any]:
    """Settings, and the options of those that are records or stand for one, as `schedule__batch_size`."""
    deep = dict(values)
    for name, value in values.items():
        record = record_of(name, value)
        if record is not None:
            deep.update({f"{name}__{inner}": option for inner, option in _options_in(record, deep=True).items()})
    return deep


def split_names(changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Settings, and options of settings by the setting that has them."""
    flat: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        name, is_nested, inner = key.partition("__")
        if is_nested:
            nested.setdefault(name, {})[inner] = value
        else:
            flat[key] = value
    return flat, nested


def _replaced(where: str, record: Any, changes: Mapping[str, Any]) -> Any:
    """The record that `where` holds, with other options."""
    flat, nested = split_names(changes)
    for name, inner in nested.items():
        choice = record._choices[name]
        value = flat.get(name, getattr(record, name))
        flat[name] = _changed(f"{where}__{name}", value, choice.record(value), choice.kinds, inner)
    return replace(record, **flat)


def _changed(where: str, value: Any, record: Any, kinds: tuple[type[Any], ...], changes: Mapping[str, Any]) -> Any:
    """The record that a value stands for, with other options.

    Raises
    ------
    ValueError
        For options that the record does not have; the message names the record that has them.
    """
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
    return _replaced(where, record, changes)


class OptionHolder(BaseEstimator):
    """An estimator some of whose settings are records of options."""

    _choices: ClassVar[dict[str, Choice]] = {}
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    def _keep(self, settings: Mapping[str, Any]) -> None:
        """Set the parameters of the constructor, whose local variables these are."""
        for name, value in settings.items():
            if name != "self":
                setattr(self, name, value)

    def _record(self, name: str, value: Any) -> Any:
        """The record that a value of a setting is, or stands for; None for others."""
        return self._choices[name].record(value) if name in self._choices else None

    def _option(self, name: str) -> Any:
        """The record that a setting is, or stands for."""
        return self._record(name, getattr(self, name))

    def _spelt_out(self) -> dict[str, Any]:
        """All settings and options; what is or stands for a record, by the name of its kind."""
        kinds = {name: self._option(name) for name in self._choices}
        return {**self.get_params(), **{name: kind and type(kind).__name__ for name, kind in kinds.items()}}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings by name; `deep`, the options of records as well, as `schedule__batch_size`.

        Parameters
        ----------
        deep : bool, default True

        Returns
        -------
        params : dict
        """
        values = super().get_params(deep=False)
        return with_nested(values, self._record) if deep else values

    def set_params(self, **params: Any) -> Self:
        """Set settings, and options of records: `set_params(schedule__batch_size=500)` makes a new record.

        Parameters
        ----------
        **params
            By the names that `get_params` has.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For names that are not there, and for options of another record than the setting has.
        """
        flat, nested = split_names(params)
        known = super().get_params(deep=False)
        for name, changes in nested.items():
            if name not in known:
                raise ValueError(f"Invalid parameter {name!r} for {type(self).__name__}: it has {', '.join(known)}.")
            value = flat.get(name, known[name])
            kinds = self._choices[name].kinds if name in self._choices else ()
            flat[name] = _changed(name, value, self._record(name, value), kinds, changes)
        super().set_params(**flat)
        return self

    def _validate_params(self) -> None:
        """Check each setting by itself; a record was checked when it was made."""
        constraints = {
            **self._parameter_constraints,
            **{name: each.constraints() for name, each in self._choices.items()},
        }
        values = self.get_params(deep=False)
        require_known_words(type(self).__name__, constraints, values)
        validate_parameter_constraints(constraints, values, caller_name=type(self).__name__)
