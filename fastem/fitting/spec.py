"""What an estimator hands to the engine: how a model is made, where it starts, and how it is fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from fastem.fitting.batch import Strategy
from fastem.fitting.checkpoint import Keeping
from fastem.fitting.fixed import FixedModel
from fastem.fitting.notes import RaceNote
from fastem.fitting.scan import DataSummary
from fastem.model import Model, Params
from fastem.schedules.batch import Subsample
from fastem.schedules.online import OnlineSettings
from fastem.schedules.result import Ending
from fastem.sources import Source
from fastem.stats import Repair

# As many starts as cost little.
AUTO = "auto"


class Start(NamedTuple):
    """First parameters, what had to be repaired there, the end of the fit they come from, and how they were chosen."""

    params: Params
    repairs: list[Repair]
    before: Ending | None = None
    chosen: RaceNote | None = None


class MakeStart(Protocol):
    """Makes one start of the model of a summary, of all rows or of a sample of them."""

    def __call__(self, summary: DataSummary, source: Any, sample: Any, random: np.random.Generator) -> Start: ...


class Starts(NamedTuple):
    """How many starts there are, and what makes the next one."""

    n: int
    make: Callable[[np.random.Generator], Start]


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model before it has seen data, and how it is fitted.

    Attributes
    ----------
    n_components : int
        Components, or states.
    make_latent : callable
        Makes the latent structure.
    make_family : callable
        Makes the family for the rows of a source, which is read where the family's shape depends on values.
    scale_family : callable
        Adapts a family to data: `scale_family(family, stats, n_rows)`, of the statistics of one component and the
        number of rows of positive weight.
    make_start : MakeStart
        The start that was asked for, as far as parameters are not given.
    make_learning : callable
        How a start is improved, once the rows were scanned.
    online : callable
        How a model learns from rows as they come.
    generator : callable
        The source of all randomness.
    tol : float
        In nats per unit of weight.
    max_iter : int
    n_init : int or "auto"
        Starts; "auto": as many as cost little.
    races : bool
        Whether the starts race on a sample, so that one of them is fitted to all rows.
    swaps : int or "auto"
        Rounds of swaps of a start; "auto": as many as there are components when several starts race.
    acceleration : str or None
        A name of `fastem.schedules.accelerate.automatic.ACCELERATORS`.
    samples : Subsample or None
        How samples grow that lead the fit of many rows; of at most `sample_bytes`.
    batch_size : int or None
        Rows that it learns from at a time, as they come.
    fixed : str
        Letters of the parameters that stay as they start, as of `FixedModel`; `holds_family`, whether all of the
        family.
    keeping : Keeping or None
        Where the state of the fit is kept.
    verbose, verbose_interval : int
    """

    n_components: int
    make_latent: Callable[[], Any]
    make_family: Callable[[Source], Any]
    scale_family: Callable[[Any, Any, int], Any]
    make_start: MakeStart
    make_learning: Callable[[DataSummary], Strategy]
    online: Callable[[Model], OnlineSettings]
    generator: Callable[[], np.random.Generator]
    tol: float
    max_iter: int
    n_init: int | str = 1
    races: bool = False
    swaps: int | str = 0
    acceleration: str | None = None
    samples: Subsample | None = None
    sample_bytes: int = 0
    batch_size: int | None = None
    fixed: str = ""
    holds_family: bool = False
    keeping: Keeping | None = None
    verbose: int = 0
    verbose_interval: int = 10

    def model(self, family: Any, stats: Any, n_rows: int) -> Model:
        """The model for data whose one-component statistics, and number of rows of positive weight, are given."""
        latent, scaled = self.make_latent(), self.scale_family(family, stats, n_rows)
        return FixedModel(latent, scaled, self.fixed, self.holds_family) if self.fixed else Model(latent, scaled)
