"""What a family derives from: the contract, and what it says of compiled passes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.contracts import Family
from fastem.passes.pruning import NO_PRUNING


class FamilyBase(Family):
    """A family, a frozen dataclass with the fields `n_components` and `n_features`, of which no component is pruned."""

    def pruning(self, params: Any, log_share: np.ndarray) -> Any:
        return NO_PRUNING
