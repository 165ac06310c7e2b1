"""The pass over rows that fills scores, posteriors and labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.passes.blocks import require_registered
from fastem.passes.flags import block_function
from fastem.passes.lanes import fingerprint, useful_threads
from fastem.passes.loop import over_lanes
from fastem.passes.pruning import NO_PRUNING, Plan, new_sorter
from fastem.passes.reading import VECTOR, layout_of, new_buffers, read_block, sort_run
from fastem.passes.row_pass import block_log_prob, block_posterior, require_reach
from fastem.passes.rows import Rows
from fastem.passes.shapes import require_output, require_params, require_stats
from fastem.passes.threads import Pass
from fastem.passes.vector_math import log_positive


@block_function
def _most_probable(components, resp, highest, best):
    """Set `best` to the component of the highest responsibility of each row, the first one of equals."""
    n_rows = resp.shape[1]
    for i in range(n_rows):
        highest[i] = resp[0, i]
        best[i] = np.float64(components[0])
    for a in range(1, components.shape[0]):
        label = np.float64(components[a])
        for i in range(n_rows):
            better = resp[a, i] > highest[i] or (resp[a, i] == highest[i] and label < best[i])
            best[i] = label if better else best[i]
            highest[i] = resp[a, i] if better else highest[i]


@block_function
def _write_scores(n_components, buffers, place, loglik, resp_out, label):
    """Write the scores of a block to the rows `place` of the outputs; an output of no rows is not asked for."""
    components, resp, scratch = buffers.components[:n_components], buffers.resp[:n_components], buffers.scratch
    if loglik.shape[0] > 0:
        value = scratch[0]
        for i in range(value.shape[0]):
            value[i] = buffers.shift[i] + log_positive(buffers.norm[i])
        for i in range(place.shape[0]):
            loglik[place[i]] = value[i]
    if resp_out.shape[0] > 0:
        for i in range(place.shape[0]):
            if n_components < resp_out.shape[1]:
                for k in range(resp_out.shape[1]):
                    resp_out[place[i], k] = 0.0
            for a in range(n_components):
                resp_out[place[i], components[a]] = resp[a, i]
    if label.shape[0] > 0:
        _most_probable(components, resp, scratch[0], scratch[1])
        for i in range(place.shape[0]):
            label[place[i]] = np.int64(scratch[1, i])


@block_function
def _n_runs(rows, layout):
    return -(-rows.n_rows // (layout.blocks_per_run * layout.vectors_per_block * VECTOR))


@block_function
def _n_parts(rows, layout, latent_stats):
    """How many lanes have a run."""
    return min(_n_runs(rows, layout), latent_stats[0].shape[0])


@block_function
def _score_lane(family_params, latent_params, pruning, rows, layout, latent_stats, loglik, resp_out, label, lane):
    """Score the runs of a lane, which lie next to each other."""
    block_rows = layout.vectors_per_block * VECTOR
    rows_per_run = layout.blocks_per_run * block_rows
    n_runs, n_lanes = _n_runs(rows, layout), _n_parts(rows, layout, latent_stats)
    buffers = new_buffers(rows.n_columns, latent_params[0].shape[0], layout)
    sorter = new_sorter(pruning, block_rows, rows_per_run)
    place = np.empty(block_rows, dtype=np.int64)
    for run in range(lane * n_runs // n_lanes, (lane + 1) * n_runs // n_lanes):
        start = run * rows_per_run
        n = min(start + rows_per_run, rows.n_rows) - start
        sort_run(pruning, rows, start, n, buffers, sorter)
        for begin in range(0, n, block_rows):
            end = min(begin + block_rows, n)
            for i in range(begin, end):
                place[i - begin] = start + (sorter.order[i] if sorter.order.shape[0] > 0 else i)
            read_block(rows, start, begin, end, sorter, buffers.x)
            n_components = block_log_prob(pruning, family_params, begin, end, buffers, sorter)
            block_posterior(latent_params, n_components, buffers, latent_stats, lane)
            _write_scores(n_components, buffers, place[: end - begin], loglik, resp_out, label)


_score_lanes = over_lanes(_score_lane)


def _score_pass(serial, family_params, latent_params, pruning, rows, layout, latent_stats, loglik, resp_out, label):
    arguments = family_params, latent_params, pruning, rows, layout, latent_stats, loglik, resp_out, label
    return _score_lanes(serial, _n_parts(rows, layout, latent_stats), arguments)


compiled_score_pass = Pass(_score_pass, fingerprint)


def score_pass(
    family_params: Any,
    latent_params: Any,
    rows: Rows,
    latent_stats: Any,
    *,
    loglik: np.ndarray | None = None,
    resp: np.ndarray | None = None,
    label: np.ndarray | None = None,
    pruning: Plan = NO_PRUNING,
) -> None:
    """Fill the given outputs for a chunk of rows (N, D), in one read of the chunk.

    Parameters
    ----------
    latent_stats : Additive
        With lanes, one for each part that may run in parallel; its sums are by-products.
    loglik : (N,) float64 ndarray, optional
        Log-likelihood of each row, in nats.
    resp : (N, K) float64 ndarray, optional
        Responsibilities.
    label : (N,) int64 ndarray, optional
        The component of highest responsibility.
    pruning : Plan
        Of these parameters, to leave components out; none by default.
    """
    require_registered(family_params, latent_params)
    n_components, _ = require_params(family_params, latent_params, rows)
    require_stats(latent_stats, latent_params, n_components, latent_stats[0].shape[0])
    require_reach(pruning, n_components, rows.n_columns)
    known = {"loglik": ((), np.float64), "resp": ((n_components,), np.float64), "label": ((), np.int64)}
    outputs = []
    for (name, (width, dtype)), out in zip(known.items(), (loglik, resp, label), strict=True):
        if out is not None:
            require_output(name, out, (rows.n_rows, *width), dtype)
        outputs.append(np.empty((0, *width), dtype=dtype) if out is None else out)
    layout = layout_of(rows.n_columns, pruning, rows.n_rows)
    compiled_score_pass.on(
        useful_threads(rows, n_components), family_params, latent_params, pruning, rows, layout, latent_stats, *outputs
    )
