"""What a first pass over the data finds: their scale, how many rows there are, and whether every value is usable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastem.contracts import Accumulator
from fastem.executors.reduction import add_each, reduced
from fastem.fitting.checks import Checked
from fastem.fitting.missing import Missing, OneComponent, one_component_of
from fastem.fitting.scores import total_weight
from fastem.fitting.strays import Strays, strays_of
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.sources import ArraySource, Chunk, Source
from fastem.sources.segments import Segment, segments_of
from fastem.sources.shuffle import RowOrder
from fastem.sources.thinned import Thinned
from fastem.starts.bulk import Bulk, bulk_of
from fastem.stats import ExpectedStats


class DataSummary(NamedTuple):
    """What a first pass over the data finds: the model for them, their mean (D,), and how many they are.

    `excerpt` holds some of the rows, spread evenly over all, and `is_whole` says whether it holds all; `digest` is that
    of the statistics; `strays` are the rows that lie far from all others, if there are any. `missing` says what is
    missing, and `one` draws it, where something is: in the excerpt it is drawn.
    """

    model: Model
    centre: np.ndarray
    n_rows: int
    weight: float
    excerpt: ArraySource
    is_whole: bool
    digest: str = ""
    strays: Strays | None = None
    missing: Missing | None = None
    one: OneComponent | None = None

    def completed(self, sample: Any, random: np.random.Generator) -> Any:
        """A sample in memory whose missing values are drawn; nothing is drawn where none is missing."""
        return sample if self.one is None else self.one.completed(sample, random)


class Scan(NamedTuple):
    """What a pass over rows finds: statistics of one component, and how many rows there are.

    `n_positive` counts those of positive weight; `scale` are statistics of the same weight, of the bulk of the rows
    where far values would rule those of all (see `fastem.starts.bulk`); `excerpt`, `is_whole`, `strays`, `missing` and
    `one` as in `DataSummary`.
    """

    stats: Any
    scale: Any
    n_rows: int
    n_positive: int
    weight: float
    excerpt: ArraySource
    is_whole: bool
    strays: Strays | None = None
    missing: Missing | None = None
    one: OneComponent | None = None


class _Found(NamedTuple):
    """What adds up: statistics of complete chunks under each model, rows, those of positive weight, what is missing."""

    totals: list[ExpectedStats]
    n_rows: int
    n_positive: int
    missing: Missing
    has_missing: bool


def scan_rows(source: Source, singles: Sequence[Model], order: RowOrder | None = None) -> list[Scan]:
    """Statistics of all rows under several models of one component, of one kind of rows, in one pass.

    Raises
    ------
    ValueError
        When there are no rows, or one has an unusable value.
    """
    rows = Checked(source, singles[0].family)
    first = next(rows.chunks(max_rows=1), None)
    if first is None:
        raise ValueError("There are no rows to read.")
    centre = np.nan_to_num(first.X[0].astype(np.float64))
    thinned = Thinned(source.n_features)
    notes = [thinned] if order is None else [thinned, order]
    found = reduced(partial(_found_in, singles, centre), segments_of(_noted(rows.chunks(), notes)), _added)
    excerpt, extremes = ArraySource(*thinned.rows()), thinned.extremes()
    missing, weight = None, float(found.totals[0].weight)
    if found.has_missing:
        missing = found.missing.beside_complete(found.n_positive)
        missing.require_values(source.labels)
        weight = total_weight(rows.chunks()) if source.is_weighted else float(found.n_positive)
    scans = []
    for single, total in zip(singles, found.totals, strict=True):
        stats, one, known = total.family, None, excerpt
        if missing is not None:
            one = one_component_of(single, excerpt, extremes[0])
            stats = (weight / float(one.stats.weight)) * one.stats.family
            # It decides on scale and starts alone, and takes no part in the user's randomness.
            known = one.completed(excerpt, np.random.default_rng(0))
        bulk = _bulk(single.family, stats, known)
        strays = None if bulk is None else strays_of(bulk, excerpt, extremes, found.n_positive)
        scale = _scale(single, stats, known, bulk)
        counts = found.n_rows, found.n_positive, weight
        scans.append(Scan(stats, scale, *counts, known, thinned.is_whole, strays, missing, one))
    return scans


def _found_in(singles: Sequence[Model], centre: np.ndarray, segment: Segment) -> _Found:
    accumulators = [_accumulator(single, centre) for single in singles]
    n_rows, n_positive, missing, has_missing = 0, 0, Missing.none(centre.size), False
    for chunk in segment.chunks:
        n_rows += len(chunk)
        n_positive += len(chunk) if chunk.weight is None else int(np.count_nonzero(chunk.weight))
        if chunk.has_missing:
            # Its sums would be of no use, and NaN is no code.
            missing, has_missing = missing.with_chunk(chunk), True
        else:
            for accumulator in accumulators:
                accumulator.add_given(chunk, np.broadcast_to(1.0, (len(chunk), 1)))
        del chunk
    return _Found([accumulator.total() for accumulator in accumulators], n_rows, n_positive, missing, has_missing)


def _added(one: _Found, other: _Found) -> _Found:
    return _Found(
        add_each(one.totals, other.totals), one.n_rows + other.n_rows, one.n_positive + other.n_positive,
        one.missing + other.missing, one.has_missing or other.has_missing,
    )  # fmt: skip


def _noted(chunks: Iterator[Chunk], notes: Sequence[Any]) -> Iterator[Chunk]:
    """The chunks, of which notes are taken in the order of the rows: what depends on it does not add up."""
    for chunk in chunks:
        for note in notes:
            note.add(chunk)
        yield chunk
        del chunk


def _accumulator(single: Model, centre: np.ndarray) -> Accumulator:
    """An empty sum over rows that all belong to the one component."""
    return single.accumulator(Params(single.latent.params(np.ones(1)), single.family.neutral_params(centre)))


def _bulk(family: Any, stats: Any, excerpt: ArraySource) -> Bulk | None:
    """Where most rows are; None for a family without columns whose values may lie far from all others."""
    if not family.may_stray().any():
        return None
    if len(excerpt.X) == 0 or not all(np.all(np.isfinite(field)) for field in stats):
        return None
    bulk = bulk_of(excerpt.X, excerpt.weight)
    return bulk._replace(reach=np.where(family.may_stray(), bulk.reach, np.inf))


def _scale(single: Model, stats: Any, excerpt: ArraySource, bulk: Bulk | None) -> Any:
    """Statistics that tell the scale of the data, of the bulk of the rows where far values would rule it."""
    family = single.family
    if bulk is None:
        return stats
    near = ArraySource(bulk.called_in(excerpt.X), excerpt.weight)
    (found,) = reduced(partial(_found_in, [single], bulk.centre), segments_of(near.chunks()), _added).totals
    return family.with_bulk(stats, float(stats.n.sum() / found.family.n.sum()) * found.family)


def single_of(family: Any) -> Model:
    """One component of a family, that all rows belong to."""
    return Model(MixtureLatent(1), family.with_components(1))
