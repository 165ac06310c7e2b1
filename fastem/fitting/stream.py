"""Learning from rows as they come, each of them once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np

from fastem.fitting.checks import require_finite, require_support
from fastem.fitting.numeric import stats_of
from fastem.fitting.online import online_note
from fastem.fitting.report import report_on_stream
from fastem.schedules.online import OnlineState, batch_rows, estimate, online_update
from fastem.sources import ArraySource, Chunk, Source

# Different rows that a start takes for each component, in parameters of one of them; and how many times as many rows
# are waited for at most, should they hold few different ones.
_ROWS_PER_PARAMETER = 2
_LEAST_ROWS = 10
_PATIENCE = 50

# What tells of iterations over the same rows, of which a stream has none.
_STORY = ("converged_", "stop_reason_", "n_iter_", "lower_bound_", "lower_bounds_")


@dataclass
class Stream:
    """What `partial_fit` has learnt.

    Attributes
    ----------
    state : OnlineState or None
        None while there are too few rows to start.
    held : list of (N, D) ndarray
        Rows that wait for a start.
    held_weight : list of (N,) ndarray
        Their weights.
    n_missing : int
        At least so many more rows of positive weight are needed for a start.
    n_rows : int
        All rows so far.
    """

    state: Any = None
    held: list[np.ndarray] = field(default_factory=list)
    held_weight: list[np.ndarray] = field(default_factory=list)
    n_missing: int = 0
    n_rows: int = 0


def rows_to_start(n_components: int, n_features: int) -> int:
    """How many different rows it takes to start so many components."""
    return n_components * max(_LEAST_ROWS, _ROWS_PER_PARAMETER * (n_features + 1))


def learn(estimator: Any, source: Source) -> None:
    """Learn from each row of a source once; rows are held back until there are enough of them for a start.

    However it ends, the fitted attributes are those of the rows that were learnt from.
    """
    if isinstance(source, ArraySource):
        for chunk in source.chunks():
            require_finite(chunk, source.labels)
            family = estimator._model.family if estimator._has_params() else estimator._family_of(source)
            require_support(chunk, family, source.labels)
    stream: Stream = _begun(estimator, source.names)
    # An array counts as a whole or not at all: what was learnt so far is left to those who keep it.
    estimator._stream = stream
    try:
        for batch in source.chunks(_batch_rows(estimator)):
            require_finite(batch, source.labels)
            if stream.state is None:
                _hold(estimator, stream, batch, source.names)
            else:
                require_support(batch, estimator._model.family, source.labels)
                _update(estimator, stream, batch)
    finally:
        if stream.state is not None:
            _publish(estimator, stream)


def _begun(estimator: Any, names: list[str] | None) -> Stream:
    """A stream to go on with: a copy of the one that there is, of whose records none is changed in place."""
    known: Stream | None = estimator._stream
    if known is not None and (known.state is not None or not estimator._has_params()):
        state = None if known.state is None else replace(known.state)
        return replace(known, state=state, held=[*known.held], held_weight=[*known.held_weight])
    if not estimator._has_params():
        return Stream()
    stream = _continued(estimator)
    if known is not None and known.held:
        # Parameters were set by hand while rows waited for a start.
        rows = ArraySource(np.concatenate(known.held), np.concatenate(known.held_weight), names)
        for batch in rows.chunks(_batch_rows(estimator)):
            _update(estimator, stream, batch)
    return stream


def _continued(estimator: Any) -> Stream:
    """A stream that goes on from fitted parameters, as heavy as the rows that they were fitted to."""
    state = OnlineState(estimator._params)
    report = getattr(estimator, "fit_report_", None)
    family = estimator._model.family
    weight = float(rows_to_start(family.n_components, family.n_features) if report is None else report.weight)
    state.stats = stats_of(estimator._model, estimator._params)
    state.weight = state.n_rows_effective = weight
    state.frozen = False
    return Stream(state, n_rows=0 if report is None else report.n_rows)


def _batch_rows(estimator: Any) -> int:
    return estimator._online().batch_size or batch_rows(estimator.n_components)


def _hold(estimator: Any, stream: Stream, batch: Chunk, names: list[str] | None) -> None:
    """Keep rows for a start, and start when there are enough."""
    if stream.n_rows == 0:
        stream.n_missing = rows_to_start(estimator.n_components, batch.X.shape[1])
    # The caller may use its memory again.
    stream.held.append(np.array(batch.X, dtype=np.float64, order="C"))
    weight = np.ones(len(batch)) if batch.weight is None else batch.weight.copy()
    stream.held_weight.append(weight)
    stream.n_missing -= int(np.count_nonzero(weight))
    stream.n_rows += len(batch)
    if stream.n_missing <= 0:
        rows = ArraySource(np.concatenate(stream.held), np.concatenate(stream.held_weight), names)
        stream.n_missing = _n_missing(rows, rows_to_start(estimator.n_components, rows.n_features))
        if stream.n_missing == 0:
            _start(estimator, stream, rows)


def _n_missing(rows: ArraySource, needed: int) -> int:
    """How many different rows are missing; none when enough rows were waited for."""
    positive = rows.X[rows.weight > 0]  # type: ignore[operator]
    return 0 if len(positive) >= _PATIENCE * needed else max(0, needed - len(np.unique(positive, axis=0)))


def _start(estimator: Any, stream: Stream, rows: ArraySource) -> None:
    """Start from the rows that were held back, and learn from them."""
    survey = estimator._survey(rows)
    params = estimator._start(survey.model, rows, rows, survey.centre, estimator._generator()).params
    estimator._adopt(survey.model, params)
    stream.state, stream.held, stream.held_weight, stream.n_rows = OnlineState(params), [], [], 0
    for batch in rows.chunks(_batch_rows(estimator)):
        _update(estimator, stream, batch)


def _update(estimator: Any, stream: Stream, batch: Chunk) -> None:
    state: OnlineState = stream.state
    n_alarms = len(state.alarms)
    online_update(estimator._model, state, batch, estimator._online_settings(estimator._model))
    stream.n_rows += len(batch)
    if len(state.alarms) > n_alarms:
        _publish(estimator, stream)
        estimator._tell_drift()


def _publish(estimator: Any, stream: Stream) -> None:
    """Set the fitted attributes from what was learnt."""
    state: OnlineState = stream.state
    estimator._adopt(estimator._model, estimate(estimator._model, state))
    for name in _STORY:
        vars(estimator).pop(name, None)
    estimator.n_steps_ = state.n_updates
    estimator.fit_report_ = report_on_stream(
        estimator._model.family.constraints(), stream.n_rows, state.rescues, online_note(state)
    )


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
