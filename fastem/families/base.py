"""What a family derives from: the contract, and what it says of compiled passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from fastem.contracts import Family
from fastem.passes.pruning import NO_PRUNING


class FamilyBase(Family):
    """A family, a frozen dataclass with the fields `n_components` and `n_features`, of which no component is pruned.

    Attributes
    ----------
    has_gaps : bool
        Whether parameters are prepared for rows that miss values, which are NaN. A field of the families that know how.
    groups_patterns : bool
        Whether a pass is quicker where rows that miss the same values stand next to each other.
    has_exact_m_step : bool
        Whether M-steps are maxima. Others are steps uphill, too long now and then, which are halved in coordinates.
    """

    has_gaps = False
    groups_patterns: ClassVar[bool] = False
    has_exact_m_step: ClassVar[bool] = True

    @property
    def takes_gaps(self) -> bool:
        """Whether it knows what a row says that misses some values."""
        return "has_gaps" in type(self).__dataclass_fields__

    def with_gaps(self, has_gaps: bool = True) -> Self:
        """This family for rows that may miss values, or that miss none; it must know how."""
        return replace(self, has_gaps=has_gaps)

    def needed(self, X: np.ndarray) -> np.ndarray | None:
        """Which of the values that rows X (N, D) miss must be there, (N, D) bool; None: any may be missing."""
        return None

    def why_needed(self, column: int) -> str:
        """What a row does that misses such a value, in words."""
        return "misses a value that must be there"

    def completed(
        self, params: Any, component: int, X: np.ndarray, random: np.random.Generator | None = None
    ) -> np.ndarray:
        """Rows X (N, D) with what a component expects of the values they miss, given those that are there.

        With `random`, what is missing is drawn. Of codes nothing is expected: only draws mean anything.

        Raises
        ------
        TypeError
            For a family that does not know it.
        """
        raise TypeError(
            f"{type(self).__name__} does not say what is expected of a missing value. Write its method completed (see "
            "fastem.families.base.FamilyBase)."
        )

    def code_shares(self, params: Any, column: int) -> np.ndarray | None:
        """Probabilities (K, C) of the codes of a column under each component; None for a column of no codes."""
        return None

    def pruning(self, params: Any, log_share: np.ndarray) -> Any:
        return NO_PRUNING
