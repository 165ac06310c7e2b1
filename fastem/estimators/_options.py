"""Settings of estimators, some of which are records of options, in scikit-learn's words."""

from __future__ import annotations

from collections.abc import Mapping
from operator import is_
from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions, validate_parameter_constraints

from fastem._options import Choice, HasChoices, Options, meaning

# Settings of these kinds are what they are: one that was checked need not be looked at again.
_UNCHANGING = (bool, int, float, str, type(None), Options)


class OptionHolder(HasChoices, BaseEstimator):
    """An estimator some of whose settings are records of options."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    # The settings of each class that were checked last.
    _checked: ClassVar[dict[type, tuple[Any, ...]]] = {}

    # Of each class: scikit-learn reads the signature of the constructor each time.
    _setting_names: ClassVar[dict[type, list[str]]] = {}

    @classmethod
    def _get_param_names(cls) -> list[str]:
        if cls not in cls._setting_names:
            cls._setting_names[cls] = super()._get_param_names()
        return cls._setting_names[cls]

    def _keep(self, settings: Mapping[str, Any]) -> None:
        """Set the parameters of the constructor, whose local variables these are."""
        for name, value in settings.items():
            if name != "self":
                setattr(self, name, value)

    def _option(self, name: str) -> Any:
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
        """Check each setting by itself; a record was checked when it was made, and the same settings are but once.

        A word that is none of those to choose from is an error that names the one that may be meant. Its other words
        are scikit-learn's, which its checks of estimators look for.
        """
        values = self.get_params(deep=False)
        settings, checked = tuple(values.values()), self._checked.get(type(self), ())
        if len(settings) == len(checked) and all(map(is_, settings, checked)):
            return
        self._validate(values)
        if all(isinstance(value, _UNCHANGING) for value in settings):
            self._checked[type(self)] = settings

    def _validate(self, values: dict[str, Any]) -> None:
        name = type(self).__name__
        choices = {setting: _constraints(choice) for setting, choice in self._choices.items()}
        constraints = {**self._parameter_constraints, **choices}
        for setting, value in values.items():
            allowed = constraints.get(setting, [])
            words = sorted(word for each in allowed if isinstance(each, StrOptions) for word in each.options)
            if not isinstance(value, str) or not words or value in words or str in allowed:
                continue
            if not any(isinstance(each, Interval) for each in allowed) or meaning(value, words):
                raise InvalidParameterError(
                    f"The {setting!r} parameter of {name} must be among {', '.join(map(repr, words))}. Got {value!r} "
                    f"instead.{meaning(value, words)}"
                )
        validate_parameter_constraints(constraints, values, caller_name=name)


def _constraints(choice: Choice) -> list[Any]:
    words: list[Any] = [StrOptions(set(choice.texts()))] if choice.texts() else []
    return [*words, *([None] if None in choice.words else []), *choice.plain, *choice.kinds]
