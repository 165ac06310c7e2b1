"""The parameters of an estimator: fitted, given, or set by hand as attributes. What is shown is what counts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple, NoReturn, Self

import numpy as np
from sklearn.exceptions import NotFittedError

from fastem._naming import named
from fastem._options import Options
from fastem.estimators._options import OptionHolder
from fastem.fitting.shown import AGREEMENT, agree, frozen, is_same, remembered, writable
from fastem.model import Model, Params


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

    # Of the subclass: what sets the attributes of the latent structure, and those of the family; the model that the
    # attributes are parameters of (the known one, or one that the constructor describes), and the parameters that they
    # say, where those of some names were set by hand.
    _show_latent: Callable[[Any], None]
    _show: Callable[[Params], None]
    _given_model: Callable[[Known | None, set[str]], Model]
    _given_params: Callable[[Model, set[str]], Params]

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
            changed = {name for name in known.shown if self._is_set_by_hand(name)}
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

    def _is_set_by_hand(self, name: str) -> bool:
        """Whether an attribute holds something else than what was shown there."""
        if self._known is None:
            return name in vars(self)
        return not is_same(vars(self).get(name), self._known.shown.get(name))

    def _needed_attributes(self) -> tuple[tuple[str, ...], ...]:
        """The attributes that parameters are made of, where they depend on more than the class."""
        return self._needed

    def _attributes(self) -> tuple[str, ...]:
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
                if not agree(given[name], getattr(self, name)):
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
            if not np.allclose(np.where(np.isnan(value), now, value), now, rtol=AGREEMENT, atol=0):
                raise ValueError(
                    f"{name}_ was set where {named(f'fixed=Fixed({name}=...)')} holds it. Make a new model by "
                    "from_parameters, or fit again."
                )

    def _adopt(self, model: Model, params: Params, settings: dict[str, Any] | None = None) -> None:
        """Become a model with these parameters, that was made with the present settings, or with those given."""
        if settings is None:
            settings = {name: _own(getattr(self, name)) for name in self._structural}
        if model.family.has_gaps:
            # Who reads rows with missing values prepares them for that.
            model = model.with_gaps(False)
            params = model.prepared(params)
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
                own[name] = frozen(own[name])
        shown = {name: remembered(own[name]) for name in self._attributes() if name in own}
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
            params = Params(*(writable(record) for record in self._known.params))
            self._known = self._known._replace(params=params)
            self._reveal()


def _own(value: Any) -> Any:
    """A setting that later changes of an array or a list do not reach."""
    return copy.deepcopy(value) if isinstance(value, np.ndarray | list | Options) else value
