"""The pictures of the command line, in files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastem._extras import require
from fastem._replacing import replacing

if TYPE_CHECKING:
    from fastem import Selection
    from fastem.estimators._em import BaseEM
    from fastem.sources import Source

_DRAWN_ROWS = 200_000


def require_picture(path: Path) -> None:
    """Raise before the fit when the picture could not be drawn."""
    kinds = _figure().canvas.get_supported_filetypes()
    if _kind(path) not in kinds:
        raise ValueError(f"Cannot draw {path}: its name must end in one of {', '.join(f'.{kind}' for kind in kinds)}.")


def draw(path: Path, mixture: BaseEM, source: Source) -> None:
    """Data and density, and the objective."""
    import numpy as np

    from fastem.plotting import plot_density, plot_objective

    figure = _figure(figsize=(12, 4.5), layout="constrained")
    density, objective = figure.subplots(1, 2)
    rows = source.sample(_DRAWN_ROWS, np.random.default_rng(0))
    plot_density(mixture, rows.X, ax=density, sample_weight=rows.weight)
    plot_objective(mixture, ax=objective)
    _write(figure, path)


def draw_selection(path: Path, selection: Selection) -> None:
    """The criterion of all candidates."""
    figure = _figure(figsize=(7, 4.5), layout="constrained")
    selection.plot(ax=figure.subplots())
    _write(figure, path)


def _figure(**options: Any) -> Any:
    # A figure apart from pyplot needs no display.
    return require("matplotlib.figure", "plot", "--plot").Figure(**options)


def _kind(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")


def _write(figure: Any, path: Path) -> None:
    with replacing(path) as file:
        figure.savefig(file, format=_kind(path), dpi=150)
