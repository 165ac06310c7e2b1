"""The first pass over the data, by which a spec becomes a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem._naming import named
from fastem.fitting.checkpoint import digest_of
from fastem.fitting.checks import require_finite
from fastem.fitting.scan import Look, Survey, look_over, single_of
from fastem.fitting.spec import ModelSpec
from fastem.sources import SequenceSource, Source
from fastem.sources.shuffle import RowOrder

NO_WEIGHT = "All sample weights are zero: no row is left to learn from. Give some row a positive weight."


def rows_of(source: Any) -> Source:
    """The rows of a source, whether or not they hang together in sequences."""
    return source.rows if isinstance(source, SequenceSource) else source


def survey_of(spec: ModelSpec, source: Any, order: RowOrder | None = None) -> Survey:
    """One pass that checks every value, and learns the scale of the data from one component, and their order.

    Raises
    ------
    ValueError
        For unusable values, and for fewer rows than components.
    """
    rows = rows_of(source)
    family = spec.make_family(rows)
    return surveyed(spec, look_over(rows, [single_of(family)], order)[0], rows, family)


def surveyed(spec: ModelSpec, look: Look, source: Any, family: Any) -> Survey:
    """The model for rows that were looked over.

    Raises
    ------
    ValueError
    """
    if look.n_positive == 0:
        raise ValueError(NO_WEIGHT)
    if look.n_positive < spec.n_components:
        raise ValueError(
            f"{named('n_components')}={spec.n_components} is larger than n_samples={look.n_positive}, the number of "
            f"rows{' of positive weight' if look.n_positive < look.n_rows else ''}. Ask for fewer components."
        )
    if not all(np.all(np.isfinite(field)) for field in look.stats):
        for chunk in source.chunks():
            require_finite(chunk, source.labels)
        raise ValueError(
            f"{named('X')} holds values so large that their squares overflow. Divide them by a constant; values up to "
            "1e150 work."
        )
    model = spec.model(family, look.scale, look.n_positive)
    digest = digest_of(*look.stats, look.n_rows, look.n_positive, look.weight)
    centre = family.centre_of(look.scale)
    return Survey(model, centre, look.n_rows, look.weight, look.excerpt, look.is_whole, digest, look.strays)
