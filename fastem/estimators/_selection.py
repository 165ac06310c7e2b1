"""What a comparison of models has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastem._extras import require
from fastem.estimators._em import BaseEM


@dataclass(frozen=True, eq=False)
class Selection:
    """What `select` found. Print it to see the table.

    Attributes
    ----------
    criterion : {"bic", "aic", "icl", "heldout"}
    table : tuple of dict
        A row for each candidate: `covariance_type` of a Gaussian one, `n_components`, `n_parameters`; `loglik` of the
        rows that it was fitted to, in nats, and `bic` and `aic` of it (lower is better); `collapsed`, the number of
        components that sit on rows which agree; `icl`, or `heldout` and
        `heldout_se` (nats per row, higher is better, and its standard error) where these were asked for; `n_iter`;
        `converged`.
    best_index_ : int
        The place of the chosen candidate in the table.
    best_estimator_ : GaussianMixture, or what was asked for
        Fitted to all rows.
    """

    criterion: str
    table: tuple[dict[str, Any], ...]
    best_index_: int
    best_estimator_: BaseEM

    @property
    def best_params_(self) -> dict[str, Any]:
        """`n_components` of the chosen candidate, and `covariance_type` of a Gaussian one."""
        best = self.table[self.best_index_]
        return {name: best[name] for name in ("n_components", "covariance_type") if name in best}

    @property
    def best_score_(self) -> float:
        """The criterion of the chosen candidate."""
        return self.table[self.best_index_][self.criterion]

    def to_dict(self) -> dict[str, list[Any]]:
        """The table by columns."""
        return {name: [row[name] for row in self.table] for name in self.table[0]}

    def to_pandas(self) -> Any:
        """The table as a `pandas.DataFrame`.

        Raises
        ------
        MissingExtraError
            Without pandas.
        """
        return require("pandas", "pandas", "to_pandas()").DataFrame(self.to_dict())

    def plot(self, ax: Any = None) -> Any:
        """Draw the criterion against the number of components; see `fastem.plotting.fit.plot_selection`."""
        from fastem.plotting import plot_selection

        return plot_selection(self, ax=ax)

    def __str__(self) -> str:
        cells = [[_cell(value) for value in row.values()] for row in self.table]
        table = [["", *self.to_dict()]]
        table += [["*" if index == self.best_index_ else "", *row] for index, row in enumerate(cells)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
        chosen = ", ".join(f"{name}={value!r}" for name, value in self.best_params_.items())
        return "\n".join([*lines, f"chosen by {self.criterion}: {chosen}"])


def _cell(value: Any) -> str:
    return f"{value:.8g}" if isinstance(value, float) else str(value)
