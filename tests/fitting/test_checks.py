"""The gate that rows come through: what may pass, and how a value is named that may not."""

from __future__ import annotations

import numpy as np
import pytest

from fastem.families import Multinomial, Poisson
from fastem.fitting.checks import Checked, highest_codes, readable_rows, usable_rows
from fastem.sources import ArraySource, Chunk, SequenceSource, as_source, refusing_missing
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
        (-np.inf, "contains infinity: row 777, column 'b' is -inf; 1 such value.* in rows 700 to 799"),
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


def test_missing_values_pass_where_they_mean_something():
    X, weight = counts(), np.full(1000, 2.0)
    X[777, 1], X[778] = np.nan, np.nan
    source = ArraySource(X, weight, ["a", "b"])
    chunks = list(Checked(source, COUNTS).chunks(100))
    assert [chunk.has_missing for chunk in chunks] == [False] * 7 + [True] + [False] * 2
    # A row without any value counts as absent.
    assert np.flatnonzero(np.concatenate([chunk.weight for chunk in chunks]) != 2.0).tolist() == [778]
    assert Checked(source, COUNTS).look_over()
    assert not Checked(ArraySource(counts()), COUNTS).look_over()
    place = "row 777, column 'b' is nan; 3 such value.* in rows 700 to 799"
    with pytest.raises(ValueError, match=f"contains NaN, and missing='error': {place}.* set missing='mar'"):
        read(Checked(refusing_missing(source), COUNTS))
    with pytest.raises(ValueError, match=f"contains NaN, and NoGaps does not say what .*: {place}.* teach the family"):
        read(Checked(source, NoGaps()))


class NoGaps:
    """A family that knows nothing of missing values."""

    takes_gaps = False

    def outside(self, X):
        return COUNTS.outside(X)

    def support(self, column):
        return COUNTS.support(column)


@pytest.mark.parametrize(
    "family", [Multinomial(n_components=2, n_features=2), Poisson(exposure=True, n_components=2, n_features=2)]
)
def test_totals_and_exposures_must_be_there(family):
    X = counts() + 1.0
    X[5] = np.nan
    read(Checked(ArraySource(X), family))
    X[7, 1] = np.nan
    with pytest.raises(
        ValueError,
        match=r"misses (its exposure|one of the counts whose total is taken as given): row 7, column 1 is nan",
    ):
        read(Checked(ArraySource(X), family))


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
    for family, unusable in ((COUNTS, [7]), (NoGaps(), [3, 7])):
        expected = ~np.isin(np.arange(1000), unusable)
        np.testing.assert_array_equal(readable_rows(chunk.X, family), expected)
        np.testing.assert_array_equal(usable_rows(chunk, family, ["0", "1"]), expected)
    X[11, 1] = -2.0
    for family in (COUNTS, NoGaps()):
        with pytest.raises(ValueError, match=r"row 5011, column 1 is -2\.0"):
            usable_rows(chunk, family, ["0", "1"])
    X[:] = np.nan
    assert not usable_rows(chunk, NoGaps(), ["0", "1"]).any()


def test_the_highest_codes_are_those_of_all_rows():
    X = counts()
    X[0, 0], X[999, 1] = 50.0, 60.0
    source = as_source([X[:300], X[300:]])
    np.testing.assert_array_equal(highest_codes(source, np.array([True, True])), [50, 60])
    X[500, 0] = np.nan
    np.testing.assert_array_equal(highest_codes(source, np.array([True, True])), [50, 60])
    X[500, 0] = np.inf
    with pytest.raises(ValueError, match="row 500, column 0 is inf"):
        highest_codes(source, np.array([True, True]))
