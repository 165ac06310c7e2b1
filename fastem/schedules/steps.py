"""How much a batch counts: step sizes that fall, or a memory of constant length."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fastem.stats import ExpectedStats

# Stands for the rows of a component without any, and can be divided by.
_NO_ROWS = 1e-100


@dataclass(frozen=True)
class StepSize:
    """Step sizes (t + offset) ** -decay, where t is the weight seen so far in units of the batch's own.

    With batches of equal weight t counts batches. A batch of half the weight, such as the last one of a file,
    takes a smaller step. With decay 1 and offset 1 every row counts the same, whatever the batches.

    Parameters
    ----------
    decay : float
        In (0.5, 1]. Near 1 what was learnt from a bad start is hardly forgotten.
    offset : float
        At least 1.

    References
    ----------
    Cappé & Moulines (2009), *On-line expectation-maximization algorithm for latent data models*, J. R. Statist.
    Soc. B 71, 593-613; Liang & Klein (2009), *Online EM for unsupervised models*, NAACL, 611-619.
    """

    decay: float = 0.6
    offset: float = 2.0

    def __post_init__(self) -> None:
        if not 0.5 < self.decay <= 1.0:
            raise ValueError(f"decay must be in (0.5, 1], for the estimates to settle; it is {self.decay}")
        if not 1.0 <= self.offset < math.inf:
            raise ValueError(f"offset must be at least 1, so that no step is larger than 1; it is {self.offset}")

    def gain(self, seen: float, weight: float) -> float:
        """Share of a batch of this weight in the running average, after rows of weight `seen`."""
        return float((seen / weight + self.offset) ** -self.decay) if seen > 0 else 1.0

    def blend(self, running: ExpectedStats, batch: ExpectedStats, seen: float, weight: float) -> ExpectedStats:
        """The running average, per unit of weight, after a batch whose average is `batch`."""
        gain = self.gain(seen, weight)
        return (1.0 - gain) * running.aligned(batch) + gain * batch


@dataclass(frozen=True)
class Forgetting:
    """A memory of constant length: every row is discounted by `factor` for each row that follows.

    Each component forgets by the rows that it takes itself, so that one that is rarely visited is not erased;
    what the components share (the mixing weights) forgets by all rows.

    Parameters
    ----------
    factor : float
        In (0, 1), for each unit of weight.

    References
    ----------
    Celaya & Agostini (2015), *Online EM with weight-based forgetting*, Neural Computation 27, 1142-1157.
    """

    factor: float

    def __post_init__(self) -> None:
        if not 0.0 < self.factor < 1.0:
            raise ValueError(f"the factor of forgetting must be between 0 and 1; it is {self.factor}")

    @classmethod
    def from_half_life(cls, rows: float) -> Forgetting:
        """Forgetting after which a row counts half when so many rows have followed."""
        if not 0.0 < rows < math.inf:
            raise ValueError(f"the half-life must be a positive number of rows; it is {rows}")
        return cls(2.0 ** (-1.0 / rows))

    def gain(self, seen: float, weight: float) -> float:
        """Share of a batch of this weight in the running average, after rows of weight `seen`."""
        return float(self._discounted(weight) / self._discounted(seen + weight))

    def blend(self, running: ExpectedStats, batch: ExpectedStats, seen: float, weight: float) -> ExpectedStats:
        """The running average, per unit of weight, after a batch whose average is `batch`."""
        gain = self.gain(seen, weight)
        running = running.aligned(batch)
        mixed = (1.0 - gain) * running + gain * batch
        # The rows of a component discount each other, too: of n of them, as much is left as `_discounted` says.
        n = np.maximum(weight * batch.occupancy, _NO_ROWS)
        held = self._discounted(seen + weight)
        keep = np.exp(n * math.log(self.factor)) * (self._discounted(seen) / held)
        take = self._discounted(n) / n * (weight / held)
        return mixed._replace(family=running.family.by_component(keep) + batch.family.by_component(take))

    def _discounted(self, weight: float | np.ndarray) -> float | np.ndarray:
        """What is left of rows of so much weight in sum, when each has been discounted for those after it."""
        rate = math.log(self.factor)
        return np.expm1(weight * rate) / rate
