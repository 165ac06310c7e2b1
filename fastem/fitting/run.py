"""A fit: every start is improved, and the best is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastem.fitting.checkpoint import CheckpointFile, digest_of
from fastem.fitting.progress import reporting
from fastem.fitting.runs import Search
from fastem.fitting.scan import DataSummary
from fastem.fitting.spec import ModelSpec, Starts
from fastem.model import Model
from fastem.schedules.online import OnlineState
from fastem.schedules.result import FitResult, FitState, Reason
from fastem.sources import SequenceSource


class Owner(NamedTuple):
    """Whoever has the fitted model.

    `publish` shows the best start that is done, with the summary once the fit is over; `save(path, progress, arrays)`
    writes what was published last, with the progress of its fit; `on_drift` is called when rows have changed.
    """

    publish: Callable[[Model, Search, DataSummary | None], None]
    save: Callable[[Path, Any, dict[str, np.ndarray]], None]
    on_drift: Callable[[], None]


@dataclass(frozen=True)
class Fit:
    """A fit of a model to the rows, or the sequences, of a source."""

    spec: ModelSpec
    summary: DataSummary
    source: Any
    owner: Owner

    def run(self, starts: Starts, resume: bool = False) -> FitResult:
        """Improve every start, and publish the best; `resume` goes on with the fit that the checkpoint holds.

        Raises
        ------
        ValueError, ModelFileError
            For a checkpoint that is damaged, or of another fit.
        """
        checkpoint, strategy = self._checkpoint(), self.spec.make_learning(self.summary)
        new = Search(self.summary.n_rows, self.summary.weight, self.spec.generator().bit_generator.state)
        search = checkpoint.read(new) if resume else new
        while search.best is None or len(search.runs) < starts.n:
            if search.current is None:
                generator = search.generator()
                start = starts.make(generator)
                search.begin(strategy.begin(start.params), start.repairs, generator, start.chosen)
                if isinstance(search.current, FitState):
                    search.current.before = start.before
            result = self._improve(strategy, search, checkpoint)
            unfinished, search = search, search.with_result(result)
            if result.reason in (Reason.INTERRUPTED, Reason.FAILED) or len(search.runs) == starts.n:
                self.owner.publish(self.summary.model, search, self.summary)
                # A start that has not converged may be taken up again, with more iterations or mended data.
                checkpoint.write(search if result.reason is Reason.CONVERGED else unfinished)
                if result.error is not None:
                    raise result.error
                return result if result.reason is Reason.INTERRUPTED else search.best  # type: ignore[return-value]
        self.owner.publish(self.summary.model, search, self.summary)
        return search.best

    def _checkpoint(self) -> CheckpointFile:
        # The result depends on the order of rows where these are sequences.
        lengths = (self.source.lengths,) if isinstance(self.source, SequenceSource) else ()
        data = digest_of(self.summary.digest, *lengths)
        return CheckpointFile(self.spec.keeping, self.summary.model, data, self.owner.save)

    def _improve(self, strategy: Any, search: Search, checkpoint: CheckpointFile) -> FitResult:
        """Improve the start under way."""
        spec, model = self.spec, self.summary.model
        n_alarms = len(_alarms(search.current))

        def after_step() -> None:
            nonlocal n_alarms
            is_due, changed = checkpoint.is_due(), len(_alarms(search.current)) > n_alarms
            if is_due or changed:
                result = FitResult(search.current, Reason.INTERRUPTED, search.current.n_iter)
                self.owner.publish(model, search.with_result(strategy.finalised(model, result, None)), None)
            if is_due:
                checkpoint.write(search)
            if changed:
                n_alarms = len(_alarms(search.current))
                self.owner.on_drift()

        seed = int(search.generator().integers(2**63))
        with reporting(spec.verbose, spec.verbose_interval, spec.tol, self.source.n_rows, after_step) as reporter:
            result = strategy.run(model, self.source, search.current, seed, reporter)
        try:
            is_done = result.reason in (Reason.CONVERGED, Reason.MAX_ITER)
            return strategy.finalised(model, result, self.source if is_done else None)
        except KeyboardInterrupt:
            return strategy.finalised(model, replace(result, reason=Reason.INTERRUPTED), None)
        except Exception as error:
            return strategy.finalised(model, replace(result, reason=Reason.FAILED, error=error), None)


def _alarms(schedule: Any) -> tuple[float, ...]:
    return schedule.alarms if isinstance(schedule, OnlineState) else ()
