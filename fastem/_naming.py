"""What messages call settings and rows: by their names in Python, or by those of a program that hands them on."""

from __future__ import annotations

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
