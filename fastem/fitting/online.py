"""Online EM over epochs of a source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fastem.fitting.batch import Reporter
from fastem.fitting.notes import OnlineNote
from fastem.fitting.problem import Problem
from fastem.model import Model, Params
from fastem.schedules.epochs import fit_online
from fastem.schedules.online import OnlineSettings, OnlineState, batch_rows, estimate
from fastem.schedules.result import FitResult, FitState, Trace
from fastem.sources import Chunk, Source
from fastem.sources.shuffle import shuffled, taken
from fastem.sources.source import draw_rows

# Rows that online EM is judged by and never learns from: at most so many, and this part of all rows. When there
# are fewer than the last number, it is judged by the rows that it learns from.
_MOST_HELD, _PART_HELD, _FEW_ROWS = 10_000, 20, 1000


@dataclass(kw_only=True)
class OnlineStrategy:
    """Online EM over shuffled batches of rows.

    Parameters
    ----------
    settings : OnlineSettings
    weight : float
        Total weight of the rows.
    batch_size : int or None
    """

    tol: float
    max_iter: int
    settings: OnlineSettings
    weight: float
    batch_size: int | None = None

    def begin(self, params: Params) -> OnlineState:
        return OnlineState(params, most_rows=self.weight)

    def run(self, model: Model, source: Source, state: OnlineState, seed: int, reporter: Reporter) -> FitResult:
        n_rows = source.n_rows or 0
        size = self.batch_size or batch_rows(model.latent.n_components, n_rows)
        without = None
        if n_rows >= _FEW_ROWS:
            random = np.random.default_rng([seed, 0])
            without = draw_rows(min(_MOST_HELD, n_rows // _PART_HELD), n_rows, None, random)
        holdout = next(taken(source, np.arange(n_rows) if without is None else without).chunks())

        def batches(epoch: int) -> Iterator[Chunk]:
            for batch in shuffled(source, size, np.random.default_rng([seed, epoch + 1]), without):
                yield batch
                reporter.rows(len(batch))
                del batch

        def watch(state: OnlineState) -> None:
            if state.n_batches == 0:
                reporter.epoch(state.epoch, _online_trace(state))
            reporter.step()

        def log_prob(params: Params, chunk: Chunk) -> np.ndarray:
            out = np.empty(len(chunk))
            model.log_prob(params, chunk.X, out)
            return out

        return fit_online(
            model, state, batches, settings=self.settings, tol=self.tol, max_epochs=self.max_iter, holdout=holdout,
            log_prob=log_prob, watch=watch,
        )  # fmt: skip

    def finalised(self, model: Model, result: FitResult, source: Source | None) -> FitResult:
        state = result.state
        params = estimate(model, state)
        shown = FitState(params, _online_trace(state), zero_density=state.skipped_weight)
        if source is not None:
            stats = Problem(model, source).e_step(params)
            shown.trace.objective.append(stats.objective)
            shown.zero_density, shown.log_prior = float(stats.zero_density), float(stats.log_prior)
        return FitResult(shown, result.reason, state.epoch, result.error)


def _online_trace(state: OnlineState) -> Trace:
    """The prequential log-likelihoods of whole epochs, and what is known of the gain to come."""
    repairs = [(when, span.repair) for span in state.repairs for when in (span.first, span.last)]
    objective = [epoch.loglik for epoch in state.epochs] or [state.epoch_loglik / max(state.epoch_weight, 1e-300)]
    # A bound below zero says no more than that nothing is left; NaN stays.
    return Trace(objective, repairs, float(np.maximum(0.0, state.epochs[-1].bound)) if state.epochs else float("nan"))


def online_note(state: OnlineState) -> OnlineNote:
    """What happened on the way, for the report."""
    rows, loglik = state.trace.curve()
    return OnlineNote(
        n_updates=state.n_updates,
        weight=state.weight,
        prequential_rows=tuple(rows.tolist()),
        prequential_loglik=tuple(loglik.tolist()),
        held_out_gains=tuple(epoch.gain for epoch in state.epochs),
        held_out_bounds=tuple(epoch.bound for epoch in state.epochs),
        alarms=state.alarms,
        skipped_weight=state.skipped_weight,
        n_skipped=state.n_skipped,
    )
