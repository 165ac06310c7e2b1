"""Defaults of a family: right for any, if slower or less informed than what a family can say of itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from fastem.passes.pruning import NO_PRUNING
from fastem.stats import Repair

if TYPE_CHECKING:
    # Whoever derives from this is a frozen dataclass.
    from _typeshed import DataclassInstance as _Dataclass
else:
    _Dataclass = object


class FamilyBase(_Dataclass):
    """All of `fastem.contracts.Family` but what makes a family: `m_step`, `sample`, `n_parameters` and its records.

    A family is a frozen dataclass that derives from this, with the fields `n_components` and `n_features`.

    Attributes
    ----------
    stats_type : class
        The record of its statistics. Where every field has one number for each component, it says enough to make an
        empty one; otherwise write `zero_stats_like`.
    """

    n_components: int
    n_features: int
    stats_type: ClassVar[Any]

    @property
    def kind(self) -> str:
        """The name of the class."""
        return type(self).__name__

    def m_step(self, stats: Any, params: Any) -> tuple[Any, list[Repair]]:
        """Parameters of highest expected likelihood."""
        raise NotImplementedError(f"{type(self).__name__} must say how its parameters follow: write m_step.")

    def zero_stats_like(self, params: Any) -> Any:
        """An empty record, one number of each field for each component."""
        return self.stats_type(*np.zeros((len(self.stats_type._fields), self.n_components)))

    def neutral_params(self, centre: np.ndarray) -> Any:
        """What the M-step makes of no rows at all."""
        return self.m_step(self.zero_stats_like(None), None)[0]

    def pruning(self, params: Any, log_share: np.ndarray) -> Any:
        """No component is left out."""
        return NO_PRUNING

    def prior_stats(self, weight: float) -> Any | None:
        """No prior."""
        return None

    def log_prior(self, params: Any, weight: float) -> float:
        """The log-density of the prior's pseudo-rows, where there are any."""
        stats = self.prior_stats(weight)
        return 0.0 if stats is None else self.expected_log_prob(params, stats)  # type: ignore[attr-defined]

    def features(self, X: np.ndarray) -> np.ndarray:
        """The rows themselves."""
        return X

    def mean_of(self, stats: Any) -> np.ndarray:
        """Zero: the statistics of this family need not know."""
        return np.zeros(self.n_features)

    def may_stray(self) -> np.ndarray:
        """In no column."""
        return np.zeros(self.n_features, dtype=bool)

    def with_bulk(self, stats: Any, bulk: Any) -> Any:
        """The scale is that of all rows."""
        return stats

    def with_data_scale(self, stats: Any) -> Self:
        """Nothing is learnt from the data."""
        return self

    def constraints(self) -> dict[str, np.ndarray]:
        """Nothing was learnt from the data."""
        return {}

    def with_constraints(self, constraints: dict[str, Any]) -> Self:
        """This family with what another one of the same kind learnt."""
        return replace(self, **constraints)

    def with_components(self, n_components: int) -> Self:
        """This family with another number of components."""
        return replace(self, n_components=n_components)

    def at_start(self) -> Self:
        """This family as it is."""
        return self

    def regularised(self) -> Self:
        """This family as it is."""
        return self

    def outside(self, X: np.ndarray) -> np.ndarray | None:
        """Any finite value may be one of a row."""
        return None

    def support(self, column: int) -> str:
        """Any finite number."""
        return "finite"

    def roots(self) -> np.ndarray:
        """No coordinate is a square root."""
        return np.zeros((), dtype=bool)

    def rebuilt(self, params: Any) -> Any:
        """The record as it is: none of its numbers is derived."""
        return params

    def estimates(self, params: Any) -> dict[str, Any]:
        """The fields of the record."""
        return dict(params._asdict())
