"""Sums over segments, folded by a tree: the same bits whoever maps, in which order, and from which chunks."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from fastem import GaussianMixture
from fastem.executors.reduction import EpochState, Tree, add_each, reduced, sum_over, sums_over
from fastem.executors.serial import SERIAL
from fastem.fitting.archive import record_classes, require_state
from fastem.fitting.compress import Grid, compress
from fastem.fitting.information import empirical_information
from fastem.fitting.problem import Problem
from fastem.fitting.scan import scan_rows, single_of
from fastem.fitting.scores import total_weight, weighted_sums
from fastem.passes import units
from fastem.passes.threads import threads
from fastem.passes.units import PERIOD, ROWS_PER_RUN, TRACK_ROWS
from fastem.persistence import pack, unpack
from fastem.sources import ArraySource, Chunk, SequenceSource, as_source
from fastem.sources.segments import SEGMENT_ROWS, Segment, in_pieces, segments_of
from tests.cases import CASES, fields, memory_of, unit_lengths

ROWS, CHAIN = (
    next(case for case in CASES if case.name == f"{kind} of exponential columns") for kind in ("mixture", "chain")
)
SHORT = "fastem.sources.segments.SEGMENT_ROWS"


class Backwards:
    """Works on the last part first, from chunks that it holds, and yields in order."""

    def map(self, function, parts, /):
        held = [Segment(part.number, [*part.chunks]) for part in parts]
        return reversed([function(part) for part in reversed(held)])


class Pool:
    """Two threads that work on parts as they come."""

    def map(self, function, parts, /):
        with ThreadPoolExecutor(2) as pool:
            yield from pool.map(function, [Segment(part.number, [*part.chunks]) for part in parts])


def assert_same_bits(found, expected):
    for (name, a), (_, b) in zip(fields(found), fields(expected), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


# The tree.


def joined(a, b):
    return f"({a}{b})"


def fold(totals):
    """The tree, level by level: pairs are joined, and one that is left over moves up."""
    while len(totals) > 1:
        pairs = [joined(*totals[i : i + 2]) if i + 1 < len(totals) else totals[i] for i in range(0, len(totals), 2)]
        totals = pairs
    return totals[0]


@pytest.mark.parametrize("n_parts", [1, 2, 3, 4, 5, 7, 8, 13, 100])
def test_totals_are_folded_by_a_binary_tree(n_parts):
    totals = [f"<{number}>" for number in range(n_parts)]
    tree = Tree(add=joined)
    for done, total in enumerate(totals, start=1):
        tree.take(total)
        assert len(tree.nodes) == done.bit_count()
        again = Tree(tree.n_parts, tree.nodes, joined)
        for later in totals[done:]:
            again.take(later)
        assert again.total() == fold(totals)
    assert tree.total() == fold(totals)


@pytest.mark.parametrize("executor", [SERIAL, Backwards(), Pool()])
def test_any_executor_yields_in_order(executor):
    parts = [Segment(number, [number]) for number in range(11)]
    found = reduced(lambda part: f"<{part.number}>", parts, joined, executor=executor)
    assert found == fold([f"<{number}>" for number in range(11)])


# Segments.


@given(data=st.data())
def test_segments_are_the_same_however_rows_are_cut(data):
    n_rows = data.draw(st.integers(1, 400))
    X = np.arange(n_rows, dtype=np.float64)[:, None]
    lengths = None
    if data.draw(st.booleans()):
        lengths = np.diff(sorted({0, n_rows, *data.draw(st.sets(st.integers(1, n_rows), max_size=20))}))
    ends = np.arange(1, n_rows + 1) if lengths is None else np.cumsum(lengths)
    cuts = sorted({0, n_rows, *data.draw(st.sets(st.sampled_from(ends.tolist()), max_size=8))})

    def chunks():
        for start, stop in pairwise(cuts):
            mine = None if lengths is None else lengths[(ends > start) & (ends <= stop)]
            yield Chunk(X[start:stop], None, start, mine)

    # The segment that each row, or each sequence, begins in.
    starts = np.arange(n_rows) if lengths is None else np.repeat(ends - lengths, lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SHORT, 64)
        done = data.draw(st.sampled_from([0, *ends[:-1].tolist()]))
        after = None if done == 0 else (done, int(starts[done - 1] // 64))
        found = [(part.number, [*part.chunks]) for part in segments_of(chunks(), after)]
    numbers = [number for number, _ in found]
    assert numbers == sorted({*(starts[done:] // 64).tolist(), *([] if after is None else [after[1]])})
    assert sum(len(piece) for _, pieces in found for piece in pieces) == n_rows - done
    for number, pieces in found:
        rows = np.concatenate([piece.X[:, 0] for piece in pieces]) if pieces else []
        np.testing.assert_array_equal(rows, np.flatnonzero(starts // 64 == number)[-len(rows) or n_rows :])
        assert all(piece.first_row == piece.X[0, 0] for piece in pieces)
        assert lengths is None or all(piece.lengths.sum() == len(piece) for piece in pieces)


def test_a_segment_has_whole_runs_and_whole_units():
    assert SEGMENT_ROWS % ROWS_PER_RUN == SEGMENT_ROWS % PERIOD == 0
    assert len([*segments_of([])]) == 1


def test_rows_of_a_stream_are_not_lost():
    chunks = ArraySource(np.zeros((3 * SEGMENT_ROWS, 1), dtype=np.float32)).chunks()
    with pytest.raises(RuntimeError, match="segment 0 was not read before the next one was asked for"):
        [*segments_of(chunks)]


@pytest.mark.parametrize("n_rows", [1, 7, 10, 64, 1000])
def test_pieces_do_not_show_how_rows_were_cut(n_rows):
    X, weight = np.arange(300.0).reshape(100, 3), np.arange(100.0)
    cut = [Chunk(X[a:b], weight[a:b], a) for a, b in pairwise((0, 3, 4, 37, 100))]
    found = [*in_pieces(cut, n_rows)]
    assert [len(piece) for piece in found[:-1]] == [n_rows] * (len(found) - 1)
    assert [piece.first_row for piece in found] == [*range(0, 100, n_rows)]
    np.testing.assert_array_equal(np.concatenate([piece.X for piece in found]), X)
    np.testing.assert_array_equal(np.concatenate([piece.weight for piece in found]), weight)


# Sums.


def rows_of(case, n_rows):
    """A model, parameters and rows; random numbers of a million rows take long to draw."""
    model = case.model(2, 1)
    params = case.params(model)
    X = np.resize(case.rows(model, 5003), (n_rows, 1)) * np.linspace(1.0, 2.0, n_rows)[:, None]
    return model, params, X


def test_more_than_three_segments_have_the_same_bits_however_they_are_summed(tmp_path):
    model, params, X = rows_of(ROWS, 3 * SEGMENT_ROWS + 1234)
    np.save(tmp_path / "rows.npy", X)
    np.save(tmp_path / "0.npy", X[:1_000_003])
    np.save(tmp_path / "1.npy", X[1_000_003:])
    begin = partial(model.accumulator, params, None)
    of_parts = [model.e_step(params, chunk) for chunk in ArraySource(X).chunks(SEGMENT_ROWS)]
    expected = (of_parts[0] + of_parts[1]) + (of_parts[2] + of_parts[3])
    sources = [
        ArraySource(X), as_source(tmp_path / "rows.npy"), as_source([tmp_path / "0.npy", tmp_path / "1.npy"]),
        as_source([X[:5], X[5:2_000_001], X[2_000_001:]]),
    ]  # fmt: skip
    for source in sources:
        assert_same_bits(Problem(model, source).e_step(params)._replace(log_prior=0.0), expected)
    for executor in (Backwards(), Pool()):
        assert_same_bits(sum_over(segments_of(sources[0].chunks()), begin, executor=executor), expected)
    for one in sums_over(segments_of(sources[0].chunks(20 * ROWS_PER_RUN)), lambda: [begin(), begin()]):
        assert_same_bits(one, expected)
    with threads(1):
        assert_same_bits(sum_over(segments_of(sources[0].chunks()), begin), expected)
    alone = ArraySource(X[:SEGMENT_ROWS])
    assert_same_bits(sum_over(segments_of(alone.chunks()), begin), of_parts[0])


class Broken(Exception):
    pass


@pytest.mark.parametrize("own", [ROWS, CHAIN], ids=["rows", "sequences"])
def test_a_sum_that_was_broken_off_goes_on_to_the_same_bits(own, monkeypatch):
    monkeypatch.setattr(SHORT, 4 * TRACK_ROWS)
    monkeypatch.setattr(units, "PERIOD", 4 * TRACK_ROWS)
    model, params, X = rows_of(own, 17 * TRACK_ROWS + 100)
    source = ArraySource(X)
    if model.latent.is_chain:
        # One sequence is longer than a segment.
        n_left = len(X) - 5000 - 5 * TRACK_ROWS
        lengths = [unit_lengths(model, 5000), [5 * TRACK_ROWS], unit_lengths(model, n_left)]
        source = SequenceSource(source, np.concatenate(lengths))
    source.rows_per_chunk = TRACK_ROWS
    expected = Problem(model, source).e_step(params)
    states = []
    for n_chunks in range(1, 60):
        left = n_chunks

        def notify(n_rows):
            nonlocal left
            left -= 1
            if left == 0:
                raise Broken

        problem = Problem(model, source, notify)
        try:
            problem.e_step(params)
        except Broken:
            arrays = {}
            packed = pack(problem.state, "state", arrays)
            state = unpack(packed, arrays, record_classes(model))
            require_state(state, EpochState, model)
            assert_same_bits(Problem(model, source, state=state).e_step(params), expected)
            states.append(state)
        else:
            break
    assert states[-1].n_rows == len(X)
    assert states[-1].n_parts >= 3
    with pytest.raises(ValueError, match="does not have the totals of its parts"):
        require_state(states[-1]._replace(nodes=()), EpochState, model)


@pytest.fixture
def cut():
    """Rows of one column with weights, in one chunk, and in chunks of odd sizes; segments have two runs each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SHORT, 2 * ROWS_PER_RUN)
        n_rows = 7 * ROWS_PER_RUN + 77
        X = np.random.default_rng(0).exponential(size=(n_rows, 1))
        weight = np.random.default_rng(1).uniform(0.0, 2.0, n_rows) * (np.arange(n_rows) % 5 > 0)
        places = (0, 1, 5000, 40_000, 40_001, 99_999, n_rows)
        pieces = [Chunk(X[a:b], weight[a:b], a) for a, b in pairwise(places)]
        yield Chunk(X, weight, 0), pieces


def test_sums_of_scores_do_not_show_how_rows_were_cut(cut):
    whole, pieces = cut
    (total,), weight = weighted_sums([lambda chunk, out: np.log(chunk.X[:, 0], out=out)], [whole])
    assert total == pytest.approx(np.log(whole.X[:, 0]) @ whole.weight, rel=1e-12)
    assert weight == pytest.approx(whole.weight.sum(), rel=1e-14)
    assert weighted_sums([lambda chunk, out: np.log(chunk.X[:, 0], out=out)], pieces) == ([total], weight)
    assert total_weight(pieces) == total_weight([whole]) == weight


def test_bins_do_not_show_how_rows_were_cut(cut):
    whole, pieces = cut
    grid = Grid.around(whole.X[:100, 0], 50)
    for a, b in zip(compress([whole], grid), compress(pieces, grid), strict=True):
        np.testing.assert_array_equal(a, b)


def test_information_does_not_show_how_rows_were_cut(cut):
    whole, pieces = cut
    model = ROWS.model(2, 1)
    params = ROWS.params(model)
    assert_same_bits(empirical_information(model, params, pieces), empirical_information(model, params, [whole]))


def test_the_first_pass_does_not_show_how_rows_were_cut(cut):
    whole, _ = cut
    family = ROWS.model(2, 1).family
    found, expected = (
        scan_rows(source, [single_of(family)])[0]
        for source in (
            as_source([whole.X[:50_000], whole.X[50_000:]], whole.weight),
            ArraySource(whole.X, whole.weight),
        )
    )
    assert_same_bits(found.stats, expected.stats)
    assert (found.n_rows, found.n_positive, found.weight) == (expected.n_rows, expected.n_positive, expected.weight)
    assert found.n_positive == np.count_nonzero(whole.weight)


@pytest.mark.parametrize("schedule", ["batch", "incremental"])
def test_a_fit_and_its_scores_do_not_show_how_rows_were_cut(monkeypatch, schedule):
    monkeypatch.setattr(SHORT, ROWS_PER_RUN)
    random = np.random.default_rng(0)
    n_rows = 5 * ROWS_PER_RUN + 321
    X, weight = random.normal(size=(n_rows, 2)), random.uniform(0.0, 2.0, n_rows)
    X[::2] += 3.0
    found = []
    for rows, options in (
        (X, {}),
        (lambda: iter([X[:20_000], X[20_000:]]), {"memory_limit": memory_of(ROWS_PER_RUN, X)}),
    ):
        mixture = GaussianMixture(2, schedule=schedule, max_iter=3, random_state=0, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(rows, sample_weight=weight)
            errors = mixture.standard_errors(rows, weight).covariance_matrix
        found.append(
            [
                mixture.means_,
                mixture.covariances_,
                mixture.lower_bounds_,
                mixture.score(rows, sample_weight=weight),
                errors,
            ]
        )
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_sums_at_the_same_place_are_added():
    assert add_each([1, 2.5], (3, 4)) == [4, 6.5]


def test_nobody_watches_a_sum_whose_parts_are_mapped_ahead():
    with pytest.raises(ValueError, match="leave out watch"):
        sum_over([], lambda begun: None, watch=lambda n_rows, state: None, executor=Backwards())
