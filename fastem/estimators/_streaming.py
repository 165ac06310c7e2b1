"""Learning from rows as they come, each of them once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastem.estimators._learning import online_note
from fastem.estimators._report import FitReport
from fastem.estimators._search import Stream
from fastem.estimators._validation import require_finite
from fastem.schedules.online import OnlineState, batch_rows, estimate, online_update
from fastem.sources import ArraySource, Chunk, Source

# Different rows that a start takes for each component, in parameters of one of them; and how many times as many rows
# are waited for at most, should they hold few different ones.
_ROWS_PER_PARAMETER = 2
_LEAST_ROWS = 10
_PATIENCE = 50


def rows_to_start(n_components: int, n_features: int) -> int:
    """How many different rows it takes to start so many components."""
    return n_components * max(_LEAST_ROWS, _ROWS_PER_PARAMETER * (n_features + 1))


def learn(estimator: Any, source: Source) -> None:
    """Learn from each row of a source once; rows are held back until there are enough of them for a start."""
    if estimator._stream is None:
        estimator._stream = _continued(estimator) if hasattr(estimator, "_params") else Stream()
    stream: Stream = estimator._stream
    for batch in source.chunks(_batch_rows(estimator)):
        require_finite(batch, source.labels)
        stream.n_rows += len(batch)
        if stream.state is not None:
            _update(estimator, stream.state, batch)
            continue
        # The caller may use its memory again.
        stream.held.append(np.array(batch.X, dtype=np.float64, order="C"))
        stream.held_weight.append(np.ones(len(batch)) if batch.weight is None else batch.weight.copy())
        if _is_enough(stream, estimator.n_components, source.n_features):
            _start(estimator, stream, source.names)
    if stream.state is not None:
        publish(estimator, stream)


def publish(estimator: Any, stream: Stream) -> None:
    """Set the fitted attributes from what was learnt."""
    state: OnlineState = stream.state
    estimator._adopt(estimator._model, estimate(estimator._model, state))
    note = online_note(state)
    estimator.n_steps_ = state.n_updates
    estimator.fit_report_ = FitReport(
        stop_reason="partial_fit", n_iter=0, objective=note.prequential_loglik[-1] if state.n_updates else np.nan,
        remaining=np.nan, fall=0.0, impossible_weight=state.skipped_weight,
        constraints={name: value.tolist() for name, value in estimator._model.family.constraints().items()},
        rescues=(), runs=(), n_rows=stream.n_rows, weight=state.weight, online=note,
    )  # fmt: skip


def _continued(estimator: Any) -> Stream:
    """A stream that goes on from fitted parameters, as heavy as the rows that they were fitted to."""
    state = OnlineState(estimator._params)
    report = getattr(estimator, "fit_report_", None)
    family = estimator._model.family
    weight = float(rows_to_start(family.n_components, family.n_features) if report is None else report.weight)
    state.stats = estimator._model.stats_of(estimator._params)
    state.weight = state.n_rows_effective = weight
    state.frozen = False
    return Stream(state, n_rows=0 if report is None else report.n_rows)


def _batch_rows(estimator: Any) -> int:
    return estimator.batch_size or batch_rows(estimator.n_components)


def _is_enough(stream: Stream, n_components: int, n_features: int) -> bool:
    needed = rows_to_start(n_components, n_features)
    weight = np.concatenate(stream.held_weight)
    n_rows = int(np.count_nonzero(weight))
    if n_rows < needed:
        return False
    if n_rows >= _PATIENCE * needed:
        return True
    rows = np.concatenate(stream.held)[weight > 0]
    return len(np.unique(rows, axis=0)) >= needed


def _start(estimator: Any, stream: Stream, names: list[str] | None) -> None:
    """Start from the rows that were held back, and learn from them."""
    rows = ArraySource(np.concatenate(stream.held), np.concatenate(stream.held_weight), names)
    survey = estimator._survey(rows)
    params, _ = estimator._start(survey.model, rows, survey.centre, estimator._generator())
    estimator._model = survey.model
    stream.state, stream.held, stream.held_weight = OnlineState(params), [], []
    for batch in rows.chunks(_batch_rows(estimator)):
        _update(estimator, stream.state, batch)


def _update(estimator: Any, state: OnlineState, batch: Chunk) -> None:
    n_alarms = len(state.alarms)
    online_update(estimator._model, state, batch, estimator._online_settings(estimator._model))
    if len(state.alarms) > n_alarms and estimator.on_drift is not None:
        estimator.on_drift(estimator)


def items_of(X: Any, sample_weight: Any) -> Iterator[tuple[Any, Any]]:
    """What an iterator yields: rows, or pairs of rows and their weights.

    Raises
    ------
    ValueError
    """
    if sample_weight is not None:
        raise ValueError("The rows of an iterator take their weights along: let it yield pairs (rows, weights).")
    for item in X:
        yield item if isinstance(item, tuple) and len(item) == 2 else (item, None)
