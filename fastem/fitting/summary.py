"""The first pass over the data, by which a spec becomes a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem._naming import named
from fastem.fitting.checkpoint import digest_of
from fastem.fitting.scan import DataSummary, Scan, scan_rows, single_of
from fastem.fitting.spec import ModelSpec
from fastem.sources import SequenceSource, Source
from fastem.sources.shuffle import RowOrder

NO_WEIGHT = "All sample weights are zero: there is nothing to fit. Give at least one row a positive weight."


def rows_of(source: Any) -> Source:
    """The rows of a source, whether or not they hang together in sequences."""
    return source.rows if isinstance(source, SequenceSource) else source


def summary_of(spec: ModelSpec, source: Any, order: RowOrder | None = None) -> DataSummary:
    """One pass that checks every value, and learns the scale of the data from one component, and their order.

    Raises
    ------
    ValueError
        For unusable values, and for fewer rows than components.
    """
    rows = rows_of(source)
    family = spec.make_family(rows)
    return summarised(spec, scan_rows(rows, [single_of(family)], order)[0], family)


def summarised(spec: ModelSpec, scan: Scan, family: Any) -> DataSummary:
    """The model for rows that were scanned.

    Raises
    ------
    ValueError
    """
    if scan.n_positive == 0:
        raise ValueError(NO_WEIGHT)
    # Of a chain whose states are mixtures, all components of all states.
    n_components = family.n_components
    if scan.n_positive < n_components:
        asked = named("n_components") + (" * n_mix" if n_components > spec.n_components else "")
        raise ValueError(
            f"{asked}={n_components} is larger than n_samples={scan.n_positive}, the number of "
            f"rows{' of positive weight' if scan.n_positive < scan.n_rows else ''}. Ask for fewer components."
        )
    if not all(np.all(np.isfinite(field)) for field in scan.stats):
        raise ValueError(
            f"{named('X')} holds values so large that their squares overflow. Divide them by a constant; values up to "
            "1e150 work."
        )
    model = spec.model(family, scan.scale, scan.n_positive).with_gaps(scan.missing is not None)
    found = () if scan.missing is None else (scan.missing.n_missing,)
    digest = digest_of(*scan.stats, scan.n_rows, scan.n_positive, scan.weight, *found)
    centre = family.mean_of(scan.scale)
    return DataSummary(
        model,
        centre,
        scan.n_rows,
        scan.weight,
        scan.excerpt,
        scan.is_whole,
        digest,
        scan.strays,
        scan.missing,
        scan.one,
    )
