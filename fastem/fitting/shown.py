"""Arrays that estimators show: which of them were set by hand, and whether these agree with the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.passes.rows import plain

# How far a value that was set may differ from what the model makes of it, in proportion to its largest number.
AGREEMENT = 1e-6


def is_same(value: Any, shown: Any) -> bool:
    """Whether an attribute is what was shown; of lists, whether each item is."""
    if type(shown) is not tuple:
        return value is shown
    return (
        type(value) is list
        and len(value) == len(shown)
        and all(one is other for one, other in zip(value, shown, strict=True))
    )


def remembered(value: Any) -> Any:
    """What `is_same` compares an attribute with."""
    return tuple(value) if type(value) is list else value


def frozen(value: Any) -> Any:
    """The same arrays, which cannot be written through what is returned; they share their memory."""
    if isinstance(value, np.ndarray):
        view = value.view()
        view.flags.writeable = False
        return view
    if type(value) is list:
        return [frozen(item) for item in value]
    if hasattr(value, "_fields"):
        return type(value)(*map(frozen, value))
    return value


def agree(given: Any, shown: Any) -> bool:
    """Whether what was set is what is shown, to rounding."""
    if isinstance(shown, list | tuple):
        return len(given) == len(shown) and all(agree(*pair) for pair in zip(given, shown, strict=True))
    if shown is None:
        return given is None
    given, shown = np.asarray(given, dtype=np.float64), np.asarray(shown, dtype=np.float64)
    if given.size != shown.size:
        return False
    # NaN stands for what a column has not.
    size = np.max(np.abs(shown), initial=0.0, where=np.isfinite(shown))
    return np.allclose(given.ravel(), shown.ravel(), rtol=0.0, atol=AGREEMENT * size + 1e-300, equal_nan=True)


def writable(record: Any) -> Any:
    """A record whose arrays may be written; others (joblib maps a model into memory) would compile kernels again."""
    return type(record)(*(plain(field) for field in record))
