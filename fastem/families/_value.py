"""Families are values: they are equal when all that they hold is."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar

import numpy as np


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


def options_of(value: Any) -> dict[str, Any]:
    """What users may choose of a family, a dataclass, by name: not its size, nor what it learns from data."""
    names = getattr(value, "options", ()) or [field.name for field in fields(value) if field.repr and field.init]
    return {name: getattr(value, name) for name in names if name not in ("n_components", "n_features")}


def require_fraction(name: str, value: Any) -> None:
    """Raise ValueError for what is no number from 0 to 1."""
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must be between 0 and 1, as a fraction of the data; got {value!r}.")
