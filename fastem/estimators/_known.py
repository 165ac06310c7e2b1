"""The parameters of an estimator: fitted, given, or set by hand as attributes. What is shown is what counts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple, NoReturn, Self

import numpy as np
from sklearn.exceptions import NotFittedError

from fastem.estimators.options.base import OptionHolder, Options
from fastem.model import Model, Params
from fastem.passes.rows import plain

# How far an attribute that was set may differ from what the model makes of it, in proportion to its largest number.
_AGREEMENT = 1e-6


class Known(NamedTuple):
    """A model and its parameters, and the `settings` of the constructor that it was made with.

    `shown` holds the attributes as the estimator set them: one that is another object now was set by hand. Lists are
    kept as tuples of their items.
    """

    model: Model
    params: Params
    settings: dict[str, Any]
    shown: dict[str, Any]


class KnownParameters(OptionHolder):
    """An estimator whose attributes are its parameters: those that are set by hand count from the next use on.

    An estimator says which attributes its parameters are made of (`_needed`), how to set them (`_show_latent`,
    `_show`), and how to read them (`_given_model`, `_given_params`).

    The arrays that are shown cannot be written: a change inside one of them is refused by NumPy. A new array that
    takes the place of one is read, checked, and copied when the estimator is used next.
    """

    # Each tuple holds attributes of which any one will do.
    _needed: ClassVar[tuple[tuple[str, ...], ...]]
    # Parameters of the constructor that say what a model is.
    _structural: ClassVar[tuple[str, ...]] = ("n_components",)

    _known: Known | None = None

    # Of the subclass.

    def _show_latent(self, params: Any) -> None:
        raise NotImplementedError

    def _show(self, params: Params) -> None:
        raise NotImplementedError

    def _given_model(self, known: Known | None, changed: set[str]) -> Model:
        """The model that the attributes are parameters of: the known one, or one that the constructor describes."""
        raise NotImplementedError

    def _given_params(self, model: Model, changed: set[str]) -> Params:
        """The parameters that the attributes say; those whose names are `changed` were set by hand."""
        raise NotImplementedError

    def _following(self, changed: set[str]) -> set[str]:
        """Which of the attributes that were set must come out again as they were set."""
        return changed

    # What is known.

    @property
    def _model(self) -> Model:
        return self._require_known().model

    @property
    def _params(self) -> Params:
        return self._require_known().params

    def _has_params(self) -> bool:
        """Whether there are parameters, fitted, given or set by hand."""
        return self._settled() is not None

    def _require_known(self) -> Known:
        known = self._settled()
        if known is None:
            self._raise_unknown()
        return known

    def _raise_unknown(self) -> NoReturn:
        name, needed = type(self).__name__, self._needed_attributes()
        missing = [names[0] for names in needed if not any(each in self.__dict__ for each in names)]
        if len(missing) < len(needed):
            raise NotFittedError(
                f"This {name} has no {', '.join(missing)} yet. Set them, too, call fit, or make it by "
                f"{name}.from_parameters."
            )
        raise NotFittedError(
            f"This {name} instance is not fitted yet. Call 'fit' with appropriate arguments before using this "
            "estimator, set its parameters as attributes, or make it by from_parameters."
        )

    def _settled(self) -> Known | None:
        """What is known, after attributes that were set by hand were read; None without parameters."""
        known, own = self._known, self.__dict__
        if known is not None:
            changed = {name for name, shown in known.shown.items() if not is_same(own.get(name), shown)}
            if not changed:
                return known
            if any(name not in own for name in changed):
                return None
        else:
            changed = {name for name in self._attributes() if name in own}
            if not all(any(name in changed for name in names) for names in self._needed_attributes()):
                return None
        self._take_over(known, changed)
        return self._known

    def _needed_attributes(self) -> tuple[tuple[str, ...], ...]:
        """The attributes that parameters are made of, where they depend on more than the class."""
        return self._needed

    def _attributes(self) -> tuple[str, ...]:
        """Names of the attributes that show parameters."""
        return tuple(name for names in self._needed_attributes() for name in names)

    def _take_over(self, known: Known | None, changed: set[str]) -> None:
        """Make attributes that were set by hand the parameters, or raise ValueError and leave all as it was."""
        given = dict(self.__dict__)
        try:
            model = self._given_model(known, changed)
            params = self._given_params(model, changed)
            self._require_unfixed(model, params)
            is_kept = known is not None and model is known.model
            self._adopt(model, params, known.settings if known is not None and is_kept else None)
            for name in sorted(self._following(changed)):
                if not _agree(given[name], getattr(self, name)):
                    raise ValueError(
                        f"{name} was set to values that contradict the other parameters of {type(self).__name__}, or "
                        f"its settings: they would be {getattr(self, name)}. Set all of them, so that they agree."
                    )
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(given)
            raise
        if hasattr(self, "feature_names_in_") and len(self.feature_names_in_) != model.family.n_features:
            del self.feature_names_in_
        if known is not None:
            # Statistics of rows that were learnt from belong to other parameters.
            self.__dict__.pop("_stream", None)

    @staticmethod
    def _require_unfixed(model: Model, params: Params) -> None:
        """Raise when a parameter that the fit holds fixed was set to another value."""
        for name, room in (("weights", "latent"), ("means", "family"), ("covariances", "family")):
            value = getattr(getattr(model, room), f"fixed_{name}", None)
            if value is None:
                continue
            now = getattr(getattr(params, room), name)
            if not np.allclose(np.where(np.isnan(value), now, value), now, rtol=_AGREEMENT, atol=0):
                raise ValueError(
                    f"{name}_ was set where fixed=Fixed({name}=...) holds it. Make a new model by from_parameters, or "
                    "fit again."
                )

    def _adopt(self, model: Model, params: Params, settings: dict[str, Any] | None = None) -> None:
        """Become a model with these parameters, that was made with the present settings, or with those given."""
        if settings is None:
            settings = {name: _own(getattr(self, name)) for name in self._structural}
        self._known = Known(model, params, settings, {})
        self.n_features_in_ = model.family.n_features
        self._reveal()

    def _reveal(self) -> None:
        """Set the attributes that show the parameters, as arrays that cannot be written."""
        known: Known = self._known  # type: ignore[assignment]
        self._show_latent(known.params.latent)
        self._show(known.params)
        own = self.__dict__
        for name in self._attributes():
            if name in own:
                own[name] = _frozen(own[name])
        shown = {name: _remembered(own[name]) for name in self._attributes() if name in own}
        self._known = known._replace(shown=shown)

    def _known_by(self, **attributes: Any) -> Self:
        """This estimator with the parameters that `from_parameters` was given, in any shape that it reads."""
        self._validate_params()
        self.__dict__.update(attributes)
        model = self._given_model(None, set(attributes))
        self._adopt(model, self._given_params(model, set(attributes)))
        return self

    @contextmanager
    def _all_or_nothing(self, is_better: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """Leave the estimator as it was when the block raises before a new model is there.

        `is_better` says whether that may take the place of parameters that were there before the block.
        """
        before = dict(self.__dict__)
        had_params = any(name in before for name in self._attributes())
        try:
            yield
        except BaseException:
            if self._known is before.get("_known") or (had_params and not is_better()):
                self.__dict__.clear()
                self.__dict__.update(before)
            raise

    # Copies.

    def _as_it_is(self) -> Self:
        """A copy with the attributes of now; later ones do not reach it."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __getstate__(self) -> dict[str, Any]:
        known = self._settled()
        state = dict(super().__getstate__())
        if known is not None:
            # They are shown anew: copies of arrays could be written.
            for name in known.shown:
                state.pop(name, None)
            state["_known"] = known._replace(shown={})
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self._known is not None:
            params = Params(*(_writable(record) for record in self._known.params))
            self._known = self._known._replace(params=params)
            self._reveal()


def is_same(value: Any, shown: Any) -> bool:
    """Whether an attribute is what was shown; of lists, whether each item is."""
    if type(shown) is not tuple:
        return value is shown
    return (
        type(value) is list
        and len(value) == len(shown)
        and all(one is other for one, other in zip(value, shown, strict=True))
    )


def _remembered(value: Any) -> Any:
    return tuple(value) if type(value) is list else value


def _frozen(value: Any) -> Any:
    """The same arrays, which cannot be written through what is returned; they share their memory."""
    if isinstance(value, np.ndarray):
        view = value.view()
        view.flags.writeable = False
        return view
    if type(value) is list:
        return [_frozen(item) for item in value]
    if hasattr(value, "_fields"):
        return type(value)(*map(_frozen, value))
    return value


def _agree(given: Any, shown: Any) -> bool:
    """Whether what was set is what is shown, to rounding."""
    if isinstance(shown, list | tuple):
        return len(given) == len(shown) and all(_agree(*pair) for pair in zip(given, shown, strict=True))
    if shown is None:
        return given is None
    given, shown = np.asarray(given, dtype=np.float64), np.asarray(shown, dtype=np.float64)
    if given.size != shown.size:
        return False
    # NaN stands for what a column has not.
    size = np.max(np.abs(shown), initial=0.0, where=np.isfinite(shown))
    return np.allclose(given.ravel(), shown.ravel(), rtol=0.0, atol=_AGREEMENT * size + 1e-300, equal_nan=True)


def _own(value: Any) -> Any:
    """A setting that later changes of an array or a list do not reach."""
    return copy.deepcopy(value) if isinstance(value, np.ndarray | list | Options) else value


def _writable(record: Any) -> Any:
    """A record whose arrays may be written; others (joblib maps a model into memory) would compile kernels again."""
    return type(record)(*(plain(field) for field in record))
