"""Messages between units: sequences that are cut give the statistics of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from fastem.passes import sweep
from fastem.passes.messages import compiled_warm_start_pass
from fastem.passes.rows import rows_of
from fastem.passes.units import PERIOD, TRACK_ROWS, TRACKS, unit_cuts, units_of
from tests.cases import assert_close
from tests.latents.test_chain import LONG, MATRICES, chain_of, outputs_of, serial, statistics


@pytest.mark.parametrize("mixing", [True, False])
@pytest.mark.parametrize("name", MATRICES)
def test_parts_of_long_sequences_make_up_the_whole(name, mixing, monkeypatch):
    """Whether the chain forgets or not, and whether the rows tell its states or not."""
    matrix = MATRICES[name]
    spread = 0.05 if name in ("frozen", "cyclic") else 2.0
    model, params = chain_of([0.6, 0.3, 0.1], matrix, [0.0, spread, 2 * spread])
    X = np.concatenate([model.sample(params, n, np.random.default_rng(n))[0] for n in LONG])
    expected, expected_outputs = serial(model, params, X, LONG, monkeypatch)
    stats = statistics(model, params, X, LONG, mixing=mixing)
    assert stats.loglik == pytest.approx(expected.loglik, rel=1e-12)
    assert_close(stats, expected, rtol=1e-10)
    for actual, wanted in zip(outputs_of(model, params, X, np.array(LONG))[:3], expected_outputs[:3], strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-10)


def test_messages_are_found_by_forgetting_where_the_chain_forgets():
    lengths = np.array(LONG)
    cut = units_of(lengths)
    for name, mixing in (("lively", True), ("frozen", False)):
        model, params = chain_of([0.6, 0.3, 0.1], MATRICES[name], [0.0, 0.05, 0.1])
        X = model.sample(params, int(lengths.sum()), np.random.default_rng(0))[0]
        lanes = model.accumulator(params)._lanes
        shape = cut.first.size, 3
        inside = cut.begins_inside
        found = sweep.Messages(np.zeros(shape), np.zeros(shape), ~inside, ~np.append(inside[1:], False))
        compiled_warm_start_pass(params.family, params.latent, rows_of(X), cut, found, len(lanes.loglik), 10, 66)
        assert found.forward_known.all() == found.backward_known.all() == mixing


def test_units_hold_every_row_once_in_order():
    random = np.random.default_rng(0)
    for _ in range(50):
        lengths = random.choice([1, 3, 70, 900, TRACK_ROWS, TRACK_ROWS + 1, 4 * TRACK_ROWS + 9], size=30)
        first_row = int(random.choice([0, 123456]))
        cut = units_of(lengths, first_row)
        assert cut.first[0] == 0
        assert cut.stop[-1] == lengths.sum()
        np.testing.assert_array_equal(cut.first[1:], cut.stop[:-1])
        assert (cut.stop - cut.first).max() <= TRACK_ROWS
        assert cut.first_track[0] == 0
        assert cut.first_track[-1] == cut.first.size
        assert set(np.diff(cut.first_track)) <= set(range(1, TRACKS + 1))
        starts = cut.ends - lengths
        assert np.all((starts[cut.sequence] <= cut.first) & (cut.first < cut.ends[cut.sequence]))
        cuts = unit_cuts(lengths)
        assert set(cuts) <= set(cut.ends.tolist())
        # Chunks that end at these rows have the same units.
        place = int(random.choice(cuts))
        n = int(np.searchsorted(cut.ends, place)) + 1
        left = units_of(lengths[:n]) if first_row == 0 else cut
        if first_row == 0 and n < lengths.size:
            right = units_of(lengths[n:], place)
            np.testing.assert_array_equal(np.concatenate([left.first, right.first + place]), cut.first)
            of_right = right.first_track[1:] + left.first.size
            np.testing.assert_array_equal(np.append(left.first_track, of_right), cut.first_track)


def test_units_begin_anew_where_a_segment_may():
    lengths = np.full(1500, 1999)
    cuts = unit_cuts(lengths)
    begins = np.append(0, np.cumsum(lengths)[:-1])
    firsts = [int(begins[begins >= place].min()) for place in range(PERIOD, int(lengths.sum()), PERIOD)]
    assert set(firsts) <= set(cuts.tolist())


@pytest.mark.parametrize(
    ("lengths", "n_tracks", "n_rows"),
    [
        ([2000] * 200, [8] * 25, 2000),
        ([10] * 40_000, [8] * 24, 2110),
        ([200] * 8, [8], 200),
        ([TRACK_ROWS], [1], TRACK_ROWS),
        ([TRACK_ROWS + 8], [8], (TRACK_ROWS + 8) // 8),
        ([0, 5, 0, 0], [1], 5),
        ([], [], None),
    ],
)
def test_tracks_of_a_unit_are_equally_long_where_sequences_are(lengths, n_tracks, n_rows):
    """A track that has ended waits for the longest one."""
    cut = units_of(np.array(lengths, dtype=np.int64))
    assert np.diff(cut.first_track).tolist() == n_tracks
    if n_rows is not None:
        assert (cut.stop - cut.first).max() == n_rows
        assert np.median(cut.stop - cut.first) > 0.99 * n_rows
