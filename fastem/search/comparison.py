"""Candidates of several sizes, compared: what the table says of each, and which is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fastem.fitting.collapse import collapsed
from fastem.fitting.criteria import criteria_of, label_doubt
from fastem.fitting.scores import weighted_sums
from fastem.model import Model, Params
from fastem.schedules.result import FitResult, Reason
from fastem.search.candidates import Candidates, Key
from fastem.search.heldout import HeldOut
from fastem.sources import Chunk, Source

# Rows whose labels are looked at together.
_LABEL_ROWS = 2**18


@dataclass(frozen=True)
class Choice:
    """Candidates, what is known of each (see `fastem.Selection`), and the place of the chosen one.

    `all_collapsed` says whether each of them has a component on rows that agree.
    """

    keys: list[Key]
    table: list[dict[str, Any]]
    best: int
    all_collapsed: bool


def compare(
    candidates: Candidates,
    results: Mapping[Key, FitResult],
    criterion: str,
    source: Source,
    heldout: HeldOut | None,
    min_gain: float,
    allow_collapsed: bool,
) -> Choice:
    """Choose among candidates that were fitted to a source, by a criterion of `fastem.select`, or by rows held out."""
    keys = candidates.keys()
    fits = [(candidates.model(key), results[key].params) for key in keys]
    table = [_row(candidates, key, results[key]) for key in keys]
    if criterion == "icl":
        for row, doubt in zip(table, _label_doubts(source, fits), strict=True):
            row["icl"] = row["bic"] + 2.0 * doubt
    proper = [index for index, row in enumerate(table) if allow_collapsed or not row["collapsed"]]
    eligible = proper or list(range(len(table)))
    if heldout is None:
        best = min(eligible, key=lambda index: table[index][criterion])
    else:
        best = compare_held_out(heldout, fits, table, min_gain, eligible)
    return Choice(keys, table, best, not proper)


def _row(candidates: Candidates, key: Key, result: FitResult) -> dict[str, Any]:
    """What the table says of a candidate."""
    summary = candidates.summary(key)
    model, rows = summary.model, summary.excerpt
    criteria = criteria_of(model, candidates.loglik(key, result), summary.weight)
    return {
        **key._asdict(),
        "n_parameters": model.n_parameters(),
        **{name: criteria[name] for name in ("loglik", "aic", "bic", "caic", "sabic")},
        "collapsed": len(collapsed(model, result.params, rows.X, rows.weight, summary.is_whole)),
        "n_iter": result.n_iter,
        "converged": result.reason is Reason.CONVERGED,
    }


def _label_doubts(source: Source, fits: Sequence[tuple[Model, Params]]) -> np.ndarray:
    """Sum over rows of -log p(most probable component | row) under each mixture, in one pass."""
    doubts = [partial(_doubt_of_chunk, model, params) for model, params in fits]
    return weighted_sums(doubts, source.chunks(_LABEL_ROWS))[0]


def _doubt_of_chunk(model: Model, params: Params, chunk: Chunk, out: np.ndarray) -> None:
    label_doubt(model, params, chunk.X, out)


def compare_held_out(
    heldout: HeldOut,
    fits: Sequence[tuple[Any, Any]],
    table: Sequence[dict[str, Any]],
    min_gain: float,
    eligible: Sequence[int],
) -> int:
    """Score what is held out under each model, and choose the smallest that no larger one beats by enough."""
    scores = [heldout.scores(model, params) for model, params in fits]
    for row, values in zip(table, scores, strict=True):
        row["heldout"], row["heldout_se"] = heldout.mean_and_error(values)

    def gains(smaller: int, larger: int) -> bool:
        differences = scores[larger] - scores[smaller]
        more = max(1, table[larger]["n_components"] - table[smaller]["n_components"])
        return heldout.mean_and_error(differences)[0] > more * min_gain and heldout.least_mean(differences) > 0.0

    # The sort is stable: of equally many parameters, the first is the one to beat.
    order = sorted(eligible, key=lambda index: table[index]["n_parameters"])
    return next(
        smaller
        for place, smaller in enumerate(order)
        if not any(gains(smaller, larger) for larger in order[place + 1 :])
    )
