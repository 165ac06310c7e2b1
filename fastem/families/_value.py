"""Options of families, checked in the words of those who set them."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from fastem._naming import named


def is_number(value: Any) -> bool:
    """Whether a value is one finite number, and no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool) and abs(float(value)) < np.inf


def require_fraction(name: str, value: Any) -> None:
    """Raise ValueError for what is no number from 0 to 1."""
    if not is_number(value) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{named(name)} must be between 0 and 1, as a fraction of the data; got {value!r}.")


def require_not_negative(name: str, value: Any) -> None:
    """Raise ValueError for what is no finite number, or a negative one."""
    if not is_number(value) or value < 0.0:
        raise ValueError(f"{named(name)} must be a finite number, not negative; got {value!r}.")


def require_flag(name: str, value: Any) -> None:
    """Raise ValueError for what is neither True nor False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{named(name)} must be True or False; got {value!r}.")
