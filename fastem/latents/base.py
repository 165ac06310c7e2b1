"""Defaults of a latent structure."""

from __future__ import annotations

from typing import Any

import numpy as np


class LatentBase:
    """What `fastem.contracts.Latent` asks, where the answer is the same for most structures."""

    def log_share(self, params: Any) -> np.ndarray | None:
        """None: what a row has before it is seen depends on the rows around it."""
        return None

    def prior_stats(self, weight: float) -> Any | None:
        """No prior."""
        return None

    def log_prior(self, params: Any, weight: float) -> float:
        """The log-probability of the prior's pseudo-counts, where there are any."""
        stats = self.prior_stats(weight)
        return 0.0 if stats is None else self.expected_log_prob(params, stats)  # type: ignore[attr-defined]

    def constraints(self) -> dict[str, np.ndarray]:
        """The structure was told nothing."""
        return {}
