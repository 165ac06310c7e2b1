"""The gate that rows come through: what may pass, and how a value is named that may not."""

from __future__ import annotations

import numpy as np
import pytest

from fastem.fitting.checks import Checked, finite_rows, highest_codes, usable_rows
from fastem.sources import ArraySource, Chunk, SequenceSource, as_source
from tests.cases import CASES

COUNTS = next(case for case in CASES if case.name == "mixture of Poisson counts").model(2, 2).family


def counts():
    return np.random.default_rng(0).poisson(4.0, size=(1000, 2)).astype(np.float64)


def read(source):
    return np.concatenate([chunk.X for chunk in source.chunks(100)])


def test_rows_that_can_be_used_pass_as_they_are():
    X, weight = counts(), np.arange(1000.0)
    source = ArraySource(X, weight, ["a", "b"])
    checked = Checked(source, COUNTS)
    np.testing.assert_array_equal(read(checked), X)
    np.testing.assert_array_equal(np.concatenate([chunk.weight for chunk in checked.chunks(100)]), weight)
    lengths = np.array([300, 700])
    sequences = Checked(SequenceSource(source.weighted(None), lengths), COUNTS)
    np.testing.assert_array_equal(np.concatenate([chunk.lengths for chunk in sequences.chunks(100)]), lengths)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "contains NaN .*: row 777, column 'b' is nan; 1 such value.* in rows 700 to 799"),
        (-np.inf, "contains infinity .*: row 777, column 'b' is -inf"),
        (-1.0, "Negative values .*: row 777, column 'b' is -1.0, but must be"),
        (0.5, "Some values .*: row 777, column 'b' is 0.5, but must be"),
    ],
)
def test_the_first_value_that_cannot_be_used_is_named(value, message):
    X = counts()
    X[777, 1] = value
    X[999, 0] = value
    source = ArraySource(X, None, ["a", "b"])
    with pytest.raises(ValueError, match=message):
        read(Checked(source, COUNTS))
    with pytest.raises(ValueError, match="row 777"):
        Checked(source, COUNTS).look_over()
    if np.isfinite(value):
        np.testing.assert_array_equal(read(Checked(source)), X)
    else:
        with pytest.raises(ValueError, match="row 777"):
            read(Checked(source))


def test_a_family_may_become_known_while_rows_are_read():
    X = counts()
    X[[50, 150], 0] = 0.5
    checked = Checked(ArraySource(X))
    chunks = checked.chunks(100)
    next(chunks)
    checked.family = COUNTS
    with pytest.raises(ValueError, match=r"row 150, column 0 is 0\.5"):
        next(chunks)


def test_rows_are_told_apart_where_some_cannot_be_used():
    X = counts()
    X[[3, 7], [0, 1]] = np.nan, np.inf
    chunk = Chunk(X, None, 5000)
    expected = ~np.isin(np.arange(1000), [3, 7])
    np.testing.assert_array_equal(finite_rows(chunk), expected)
    np.testing.assert_array_equal(usable_rows(chunk, COUNTS, ["0", "1"]), expected)
    X[11, 1] = -2.0
    with pytest.raises(ValueError, match=r"row 5011, column 1 is -2\.0"):
        usable_rows(chunk, COUNTS, ["0", "1"])
    X[:] = np.nan
    assert not usable_rows(chunk, COUNTS, ["0", "1"]).any()


def test_the_highest_codes_are_those_of_all_rows():
    X = counts()
    X[0, 0], X[999, 1] = 50.0, 60.0
    source = as_source([X[:300], X[300:]])
    np.testing.assert_array_equal(highest_codes(source, np.array([True, True])), [50, 60])
    X[500, 0] = np.nan
    with pytest.raises(ValueError, match="row 500, column 0 is nan"):
        highest_codes(source, np.array([True, True]))
