"""Text of others, made harmless, and words that somebody may have meant."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import SequenceMatcher, get_close_matches
from typing import Any

from fastem._naming import named

# Control characters (C0, DELETE, C1), separators of lines and paragraphs, and what turns the direction of writing.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# Less alike than this, another word is meant.
_ALIKE = 0.8
_LEAST_PREFIX = 3
# Parts of names that have less in common than this are other words.
_SAME_WORD = 0.5


def shown(text: str, kept: str = "") -> str:
    r"""A text whose control characters, but for those that are `kept`, a terminal cannot obey.

    Names of columns, files and categories come from files of unknown origin.

    >>> print(shown("\x1b[31mred"))
    \x1b[31mred
    """
    return _HARMFUL.sub(lambda match: match[0] if match[0] in kept else _escaped(match[0]), text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


# What stands for characters of ours where there are few.
_PLAIN = {"±": "+-", "…": "...", "─": "-", "━": "-", "│": "|", "╭": "+", "╮": "+", "╰": "+", "╯": "+", "•": "*"}
_ANY = "fastem-any-text"


@contextmanager
def writing_any_text(*streams: Any) -> Iterator[None]:
    """Let text streams write characters that their encodings have not, as others that say the same."""
    before = [(stream, stream.errors) for stream in streams if hasattr(stream, "reconfigure")]
    for stream, _ in before:
        stream.reconfigure(errors=_ANY)
    try:
        yield
    finally:
        for stream, errors in before:
            if not stream.closed:
                stream.reconfigure(errors=errors)


def _as_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, _escaped(character)) for character in missing), error.end


codecs.register_error(_ANY, _as_ascii)


def meant(word: str, known: Iterable[str]) -> str | None:
    """The known word that is nearly this one, or begins like it; None where no word is near.

    >>> meant("BIC", ["aic", "bic"]), meant("diagonal", ["diag", "full"]), meant("round", ["full", "tied"])
    ('bic', 'diag', None)
    """
    by_core = {_core(name): name for name in sorted(known, reverse=True) if not _says_another(word, name)}
    core = _core(word)
    if core in by_core:
        return by_core[core]
    close = get_close_matches(core, by_core, n=1, cutoff=_ALIKE)
    beginnings = [other for other in by_core if _begins(core, other) or _begins(other, core)]
    found = close or sorted(beginnings, key=lambda other: (abs(len(other) - len(core)), other))
    return by_core[found[0]] if found else None


def _core(word: str) -> str:
    """A word without what is easily mistaken: case, hyphens, underscores and spaces."""
    return re.sub(r"[-_\s]", "", word).casefold()


def _says_another(word: str, other: str) -> bool:
    """Whether names of as many parts have a part that is another word: `covariance_prior` is no `covariance_floor`."""
    parts, others = (name.casefold().split("_") for name in (word, other))
    if len(parts) != len(others):
        return False
    return any(SequenceMatcher(None, *pair).ratio() < _SAME_WORD for pair in zip(parts, others, strict=True))


def _begins(start: str, word: str) -> bool:
    return len(start) >= _LEAST_PREFIX and word.startswith(start)


def unknown_choice(name: str, value: object, known: Iterable[str]) -> str:
    """The words for a value that is none of those to choose from; without a name where the message has it already.

    >>> unknown_choice("covariance_type", "ful", ["full", "tied"])
    "covariance_type='ful' is not known. Do you mean 'full'? Choose among 'full', 'tied'."
    """
    choices = list(known)
    word = meant(value, choices) if isinstance(value, str) else None
    hint = f"Do you mean {word!r}? " if word else ""
    given = f"{name}={value!r}" if name else repr(value)
    return f"{given} is not known. {hint}Choose among {', '.join(map(repr, choices))}."


def no_setting(owner: str, name: str, known: Iterable[str], otherwise: str = "") -> TypeError:
    """The error for a setting that `owner` does not have, with the name of one that is meant, or `otherwise`."""
    word = meant(name, known)
    hint = f"Do you mean {word!r}?" if word else otherwise or f"It has {', '.join(known)}."
    return TypeError(f"{owner} has no setting {name!r}. {hint}")


def require_one_of(name: str, value: Any, known: Iterable[str]) -> None:
    """Raise ValueError for a value that is none of those to choose from, with the one that may be meant."""
    choices = list(known)
    if value not in choices:
        raise ValueError(unknown_choice(named(name), value, choices))
