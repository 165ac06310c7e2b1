"""How the command line prints: tables for people, JSON for machines."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from fastem._text import shown


class _Harmless(Console):
    """A console whose texts, all of them, hold no control characters but line breaks."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(shown(text, kept="\n"), **options)


def make_console() -> Console:
    """A console that prints text as it is."""
    # Names of files and columns may hold what rich takes for markup or emoji.
    return _Harmless(markup=False, emoji=False, highlight=False)


def print_parts(*parts: RenderableType, title: str = "") -> None:
    """A title, and each part after an empty line."""
    console = make_console()
    if title:
        console.print(title, style="bold")
    for part in parts:
        console.print()
        console.print(part)


def grid(*columns: str) -> Grid:
    """A table whose columns after the first hold numbers."""
    table = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    return table


def facts_table(facts: dict[str, str]) -> Grid:
    """Names and values in two columns."""
    table = Grid.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, value)
    return table


def written_facts(written: dict[str, Path | None]) -> dict[str, str]:
    """Which files were written."""
    return {name: f"written to {path}" for name, path in written.items() if path is not None}


def count(n: int, noun: str) -> str:
    """A number and its noun."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def share(weight: float) -> str:
    """A part of one, to four decimals, or as a power of ten."""
    return f"{weight:.1e}" if 0 < weight < 1e-3 else f"{weight:.4f}"


def print_json(value: dict[str, Any]) -> None:
    """One line of strict JSON on stdout."""
    typer.echo(json.dumps(_plain(value), allow_nan=False))


def _plain(value: Any) -> Any:
    """Values that JSON has; null for NaN and infinity, which it has not."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if hasattr(value, "get_params"):
        return {type(value).__name__: _plain(value.get_params(deep=False))}
    return value if isinstance(value, str | int | float | None) else str(value)
