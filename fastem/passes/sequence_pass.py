"""The pass over sequences: statistics, smoothed and filtered states."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.passes import blocks
from fastem.passes.lanes import Totals
from fastem.passes.messages import unit_messages
from fastem.passes.outputs import NO_OUTPUTS, Outputs, require_outputs
from fastem.passes.reading import VECTOR
from fastem.passes.rows import Rows
from fastem.passes.shapes import require_lanes, require_params, require_units, require_weight
from fastem.passes.sweep import compiled_sweep_pass
from fastem.passes.units import BLOCK, Units
from fastem.stats import ExpectedStats


def sequence_pass(
    family_params: Any,
    latent_params: Any,
    rows: Rows,
    weight: np.ndarray,
    units: Units,
    lanes: ExpectedStats,
    first_unit: int = 0,
    outputs: Outputs = NO_OUTPUTS,
    *,
    learns: bool = True,
    mixing: bool = True,
) -> None:
    """Add the expected statistics of the sequences of a chunk (N, D) to `lanes`, and write what is asked of their rows.

    Parameters
    ----------
    family_params, latent_params : NamedTuple of arrays
        Of registered classes; the first field of `latent_params` has one entry for each state, and three others map
        states to components (see `fastem.passes.emissions`).
    weight : ndarray
        From `weights_of`; the same for all rows of a sequence.
    first_unit : int
        Number of units that earlier chunks added to the same lanes.
    learns : bool
        Without, nothing is added to the statistics of the family.
    mixing : bool
        Without, tracks learn of the rest of their sequences from their neighbours only: slow, and a check.
    """
    blocks.require_registered(family_params, latent_params, "chain")
    n_states, n_components = require_params(family_params, latent_params, rows, is_chain=True)
    require_weight(weight, rows.n_rows)
    require_units(units, rows.n_rows)
    require_lanes(lanes, family_params, latent_params, n_states, n_components)
    require_outputs(outputs, rows.n_rows, n_states)
    totals = Totals(lanes.loglik, lanes.weight, lanes.zero_density)
    sizes = blocks.scratch_lines(rows.n_columns), BLOCK // VECTOR
    messages = unit_messages(family_params, latent_params, rows, units, lanes, sizes, mixing)
    # As in `fused_pass`: to wake a thread that has nothing to do takes time. One unit is enough to do.
    compiled_sweep_pass.on(
        units.n_units, family_params, latent_params, rows, weight, units, messages, first_unit, *sizes, learns, outputs,
        totals, lanes.latent, lanes.family,
    )  # fmt: skip
