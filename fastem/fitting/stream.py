"""Learning from rows as they come, each of them once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from fastem.fitting.checks import Checked
from fastem.fitting.numeric import stats_of
from fastem.fitting.report import FitReport
from fastem.fitting.spec import ModelSpec
from fastem.fitting.summary import summary_of
from fastem.model import Model, Params
from fastem.schedules.online import OnlineState, batch_rows, online_update
from fastem.sources import ArraySource, Chunk, Source

# Different rows that a start takes for each component, in parameters of one of them; and how many times as many rows
# are waited for at most, should they hold few different ones.
_ROWS_PER_PARAMETER = 2
_LEAST_ROWS = 10
_PATIENCE = 50


@dataclass
class Stream:
    """What `partial_fit` has learnt."""

    # An OnlineState; None while there are too few rows to start.
    state: Any = None
    # Rows (N, D) that wait for a start, and their weights (N,).
    pending: list[np.ndarray] = field(default_factory=list)
    pending_weight: list[np.ndarray] = field(default_factory=list)
    # At least so many more rows of positive weight are needed for a start.
    n_missing: int = 0
    # All rows so far.
    n_rows: int = 0

    def held_rows(self, names: list[str] | None) -> ArraySource:
        """The rows that wait for a start."""
        return ArraySource(np.concatenate(self.pending), np.concatenate(self.pending_weight), names)

    def copy(self) -> Stream:
        """A stream to go on with, of whose records none is changed in place."""
        state = None if self.state is None else replace(self.state)
        return replace(self, state=state, pending=[*self.pending], pending_weight=[*self.pending_weight])


class FittedModel(NamedTuple):
    """A model with parameters, and the report of their fit, if there is one."""

    model: Model
    params: Params
    report: FitReport | None


def rows_to_start(n_components: int, n_features: int) -> int:
    """How many different rows it takes to start so many components."""
    return n_components * max(_LEAST_ROWS, _ROWS_PER_PARAMETER * (n_features + 1))


@dataclass
class Learner:
    """Learns from each row of a source once; rows are held back until there are enough of them for a start.

    `fitted` is None before a start. `publish(model, stream)` shows what a stream has learnt, and `on_drift` is called
    when rows have changed.
    """

    spec: ModelSpec
    fitted: FittedModel | None
    publish: Callable[[Model, Stream], None]
    on_drift: Callable[[], None]

    def __post_init__(self) -> None:
        self._model: Any = None if self.fitted is None else self.fitted.model
        self._has_missing = False

    def begin(self, source: Source, known: Stream | None) -> Stream:
        """A stream to learn a source by: the known one, or one that goes on from what is fitted.

        Raises
        ------
        ValueError
            For unusable values of an array, which counts as a whole or not at all.
        """
        if isinstance(source, ArraySource):
            family = self.spec.make_family(source) if self._model is None else self._model.family
            self._has_missing = Checked(source, family).look_over()
        if known is not None and (known.state is not None or self.fitted is None):
            return known.copy()
        if self.fitted is None:
            return Stream()
        stream = _continued(self.fitted)
        if known is not None and known.pending:
            # Parameters were set by hand while rows waited for a start.
            self._learn_all(stream, known.held_rows(source.names))
        return stream

    def learn(self, source: Source, stream: Stream) -> None:
        """Learn from each row of the source that `begin` was given; however it ends, what was learnt is published."""
        # An array was checked when the stream began; but a start on its first rows may know less than all of them say.
        rows: Any = source
        if not isinstance(source, ArraySource) or stream.state is None or self._has_missing:
            rows = Checked(source, None if stream.state is None else self._model.family)
        try:
            for batch in rows.chunks(self._batch_rows):
                if stream.state is None:
                    self._hold(stream, batch, source.names)
                    rows.family = None if stream.state is None else self._model.family
                else:
                    if batch.has_missing:
                        self._prepare(stream, True)
                    self._update(stream, batch)
        finally:
            if stream.state is not None:
                self._prepare(stream, False)
                self.publish(self._model, stream)

    def _prepare(self, stream: Stream, has_gaps: bool) -> None:
        """Make what was learnt ready for rows that may miss values, or for others, files included."""
        if self._model.family.has_gaps != has_gaps:
            state, self._model = stream.state, self._model.with_gaps(has_gaps)
            state.params, state.before = self._model.prepared(state.params), self._model.prepared(state.before)

    @property
    def _batch_rows(self) -> int:
        return self.spec.batch_size or batch_rows(self.spec.n_components)

    def _learn_all(self, stream: Stream, rows: ArraySource) -> None:
        if np.isnan(rows.X).any():
            self._prepare(stream, True)
        for batch in rows.chunks(self._batch_rows):
            self._update(stream, batch)

    def _hold(self, stream: Stream, batch: Chunk, names: list[str] | None) -> None:
        """Keep rows for a start, and start when there are enough."""
        needed = rows_to_start(self.spec.n_components, batch.X.shape[1])
        if stream.n_rows == 0:
            stream.n_missing = needed
        # The caller may use its memory again.
        stream.pending.append(np.array(batch.X, dtype=np.float64, order="C"))
        weight = np.ones(len(batch)) if batch.weight is None else batch.weight.copy()
        stream.pending_weight.append(weight)
        stream.n_missing -= int(np.count_nonzero(weight))
        stream.n_rows += len(batch)
        if stream.n_missing <= 0:
            rows = stream.held_rows(names)
            stream.n_missing = _n_missing(rows, needed)
            if stream.n_missing == 0:
                self._start(stream, rows)

    def _start(self, stream: Stream, rows: ArraySource) -> None:
        """Start from the rows that were held back, and learn from them."""
        summary = summary_of(self.spec, rows)
        start = self.spec.make_start(summary, rows, rows, self.spec.generator())
        self._model = summary.model
        stream.state, stream.pending, stream.pending_weight, stream.n_rows = OnlineState(start.params), [], [], 0
        self._learn_all(stream, rows)

    def _update(self, stream: Stream, batch: Chunk) -> None:
        state: OnlineState = stream.state
        n_alarms = len(state.alarms)
        online_update(self._model, state, batch, self.spec.online(self._model))
        stream.n_rows += len(batch)
        if len(state.alarms) > n_alarms:
            self.publish(self._model, stream)
            self.on_drift()


def _continued(fitted: FittedModel) -> Stream:
    """A stream that goes on from fitted parameters, as heavy as the rows that they were fitted to."""
    state, report, family = OnlineState(fitted.params), fitted.report, fitted.model.family
    weight = float(rows_to_start(family.n_components, family.n_features) if report is None else report.weight)
    state.stats = stats_of(fitted.model, fitted.params)
    state.weight = state.n_rows_effective = weight
    state.frozen = False
    return Stream(state, n_rows=0 if report is None else report.n_rows)


def _n_missing(rows: ArraySource, needed: int) -> int:
    """How many different rows are missing; none when enough rows were waited for."""
    positive = rows.X[rows.weight > 0]  # type: ignore[operator]
    return 0 if len(positive) >= _PATIENCE * needed else max(0, needed - len(np.unique(positive, axis=0)))


def items_of(X: Any, sample_weight: Any) -> Iterator[tuple[Any, Any]]:
    """What an iterator yields: rows, or pairs of rows and their weights.

    Raises
    ------
    ValueError
    """
    if sample_weight is not None:
        raise ValueError("The rows of an iterator take their weights along: let it yield pairs (rows, weights).")
    for item in X:
        rows, weight = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
        if getattr(rows, "ndim", 0) == 1 or (isinstance(rows, list) and rows and isinstance(rows[0], Real)):
            raise ValueError(
                f"The iterator yields an array of {len(rows)} numbers, but rows and columns are expected. Reshape it: "
                "array.reshape(-1, 1) is one column, and array.reshape(1, -1) one row."
            )
        yield rows, weight
