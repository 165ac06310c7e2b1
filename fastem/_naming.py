"""What messages call settings, in Python or in a program that hands them on, and whom warnings reach."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

_NONE: Mapping[str, str] = MappingProxyType({})
_names: ContextVar[Mapping[str, str]] = ContextVar("fastem_names", default=_NONE)


def named(words: str) -> str:
    """The words of Python for a setting, or what stands for them where the message will be read.

    Whatever raises an error or warns passes names of parameters through here, and thinks of no other reader.

    Examples
    --------
    >>> print(f"{named('n_components')}=3 is too many.")
    n_components=3 is too many.
    >>> with naming({"n_components": "--components"}):
    ...     print(f"{named('n_components')}=3 is too many.")
    --components=3 is too many.
    """
    return _names.get().get(words, words)


@contextmanager
def naming(names: Mapping[str, str]) -> Iterator[None]:
    """Let messages use these names for words of Python, besides those that are in use already."""
    token = _names.set({**_names.get(), **names})
    try:
        yield
    finally:
        _names.reset(token)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside this package that called it, however many calls lie between."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
