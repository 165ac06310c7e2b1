"""What a family derives from: the contract, and what it says of compiled passes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastem.contracts import Family
from fastem.passes.pruning import NO_PRUNING


class FamilyBase(Family):
    """A family, a frozen dataclass with the fields `n_components` and `n_features`, of which no component is pruned.

    Attributes
    ----------
    has_gaps : bool
        Whether rows may miss values, which are NaN.
    groups_patterns : bool
        Whether a pass is quicker where rows that miss the same values stand next to each other.
    """

    has_gaps = False
    groups_patterns: ClassVar[bool] = False

    def pruning(self, params: Any, log_share: np.ndarray) -> Any:
        return NO_PRUNING
