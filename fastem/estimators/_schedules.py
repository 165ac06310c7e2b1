"""From the options of a schedule to the engine that runs it."""

from __future__ import annotations

from typing import Any

from fastem.estimators.options import Batch, Incremental, Online
from fastem.fitting.batch import BatchStrategy, Strategy
from fastem.fitting.bins import BinnedStrategy
from fastem.fitting.incremental import IncrementalStrategy
from fastem.fitting.online import OnlineStrategy
from fastem.fitting.scan import DataSummary
from fastem.fitting.subsample import SubsampleStrategy
from fastem.model import Model
from fastem.schedules.online import OnlineSettings
from fastem.schedules.steps import Forgetting, StepSize


def strategy_of(
    schedule: Batch | Online | Incremental, summary: DataSummary, *, tol: float, max_iter: int, sample_bytes: int
) -> Strategy:
    """The engine of a schedule; samples of a batch schedule take so much memory at most, of none there are none."""
    if isinstance(schedule, Incremental):
        return IncrementalStrategy(tol=tol, max_iter=max_iter)
    if isinstance(schedule, Online):
        settings = online_settings(schedule, summary.model)
        return OnlineStrategy(
            tol=tol, max_iter=max_iter, settings=settings, weight=summary.weight, batch_size=schedule.batch_size
        )
    shared: dict[str, Any] = {"tol": tol, "max_iter": max_iter, "acceleration": schedule.acceleration}
    if schedule.bins is not None:
        return BinnedStrategy(**shared, n_bins=schedule.bins)
    sizes = schedule.sampling()
    if sizes is not None and sample_bytes:
        return SubsampleStrategy(**shared, sizes=sizes, sample_bytes=sample_bytes)
    return BatchStrategy(**shared)


def online_settings(online: Online, model: Model) -> OnlineSettings:
    """What does not change while a model learns online."""
    step: StepSize | Forgetting = StepSize(online.decay, online.offset)
    if online.forgetting_factor is not None:
        step = Forgetting(online.forgetting_factor)
    elif online.half_life is not None:
        step = Forgetting.from_half_life(online.half_life)
    return OnlineSettings(step, min_rows=model.family.n_features + 1.0, average_after=online.averaging_start)
