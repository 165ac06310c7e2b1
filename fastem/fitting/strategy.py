"""From the options of a schedule to the engine that runs it."""

from __future__ import annotations

from typing import Any

from fastem._options import Choice
from fastem.fitting.batch import BatchStrategy, Strategy
from fastem.fitting.bins import BinnedStrategy
from fastem.fitting.incremental import IncrementalStrategy
from fastem.fitting.online import OnlineStrategy
from fastem.fitting.scan import DataSummary
from fastem.fitting.subsample import SubsampleStrategy
from fastem.schedules.batch import Batch
from fastem.schedules.incremental import Incremental
from fastem.schedules.online import Online

_PLAIN = Batch(acceleration=None, subsample=None)
CHAIN_SCHEDULES = Choice((Batch, Incremental), {"batch": Batch(), "plain": _PLAIN, "incremental": Incremental()})
SCHEDULES = Choice((*CHAIN_SCHEDULES.kinds, Online), {**CHAIN_SCHEDULES.words, "online": Online()})


def strategy_of(
    schedule: Batch | Online | Incremental,
    summary: DataSummary,
    *,
    tol: float,
    max_iter: int,
    sample_bytes: int,
    precision: str,
) -> Strategy:
    """The engine of a schedule.

    Samples of a batch schedule take so much memory at most, of none there are none; its arithmetic is of a `precision`.
    """
    if isinstance(schedule, Incremental):
        return IncrementalStrategy(tol=tol, max_iter=max_iter)
    if isinstance(schedule, Online):
        settings = schedule.settings(summary.model.family.n_features)
        return OnlineStrategy(
            tol=tol, max_iter=max_iter, settings=settings, weight=summary.weight, batch_size=schedule.batch_size
        )
    shared: dict[str, Any] = {
        "tol": tol, "max_iter": max_iter, "acceleration": schedule.acceleration, "precision": precision,
    }  # fmt: skip
    if schedule.bins is not None:
        return BinnedStrategy(**shared, n_bins=schedule.bins)
    sizes = schedule.sampling()
    if sizes is not None and sample_bytes:
        return SubsampleStrategy(**shared, sizes=sizes, sample_bytes=sample_bytes)
    return BatchStrategy(**shared)
