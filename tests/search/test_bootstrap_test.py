"""The bootstrap likelihood-ratio test of one more component."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastem import GaussianHMM, GaussianMixture, Mixture, select
from fastem.estimators import _bootstrap_test

random = np.random.default_rng(0)
X = np.concatenate([random.normal(0.0, 1.0, 150), random.normal(6.0, 1.0, 150)])
TERMS = {"criterion": "blrt", "covariance_types": "full", "random_state": 1, "n_replicates": 19}


def test_the_smallest_mixture_that_is_not_rejected_is_chosen():
    selection = select(X, n_components=range(1, 5), **TERMS)
    assert selection.best_params_ == {"n_components": 2, "covariance_type": "full"}
    assert selection.table[0]["blrt"] == 1 / 20
    assert selection.table[1]["blrt"] > 0.05
    assert selection.best_score_ == selection.table[1]["blrt"]
    best = selection.best_estimator_
    assert best.predict(X).shape == (300,)
    row = selection.table[1]
    assert row["bic"] == pytest.approx(best.bic(X), rel=1e-10)
    assert "chosen by blrt" in str(selection)
    assert selection.plot().get_ylabel() == "p-value of one more component"
    # At a level that hardly anything is above, the largest is chosen.
    largest = select(X, n_components=range(1, 4), **TERMS, alpha=0.999)
    assert largest.best_params_["n_components"] == 3
    again = select(X, n_components=range(1, 5), **TERMS)
    assert [row["blrt"] for row in again.table] == [row["blrt"] for row in selection.table]


def test_a_p_value_is_the_share_of_draws_that_gain_as_much(monkeypatch):
    """The likelihoods of fits one after the other: of the rows, then of each draw under both mixtures."""
    gains = [5.0, *[9.0, 1.0, 6.0, 2.0] * 5]
    values = iter([each for gain in gains for each in (gain, 0.0)])
    monkeypatch.setattr(_bootstrap_test, "_loglik", lambda mixture: next(values))
    null, other = (GaussianMixture(k, n_init=1).fit(X) for k in (1, 2))

    def p_value(n_replicates):
        source = type("Rows", (), {"n_rows": 20})()
        generator = np.random.default_rng(0)
        return _bootstrap_test._p_value(GaussianMixture(n_init=1), source, null, other, {}, n_replicates, generator)

    assert p_value(8) == (4 + 1) / (8 + 1)
    # Where the answer is clear, draws end: the tenth that gains as much is the nineteenth.
    gains = [5.0, *[9.0, 1.0] * 50]
    values = iter([each for gain in gains for each in (gain, 0.0)])
    assert p_value(99) == 10 / 19


def test_classes_of_a_questionnaire():
    one = random.random((300, 1)) < 0.5
    items = np.where(one, random.random((300, 8)) < 0.85, random.random((300, 8)) < 0.2).astype(float)
    selection = select(
        items, Mixture("bernoulli"), n_components=[1, 2], criterion="blrt", n_replicates=19, random_state=0
    )
    assert selection.best_params_ == {"n_components": 2}
    assert math.isnan(selection.table[-1]["blrt"])


@pytest.mark.parametrize(
    ("estimator", "changes", "message"),
    [(GaussianHMM(), {}, "is for mixtures, whose rows are independent"),
     (None, {"covariance_types": None}, "of one covariance type, got full, tied. Set covariance_types to one"),
     (None, {"sample_weight": np.ones(300)}, "Leave out sample_weight"),
     (None, {"max_rows": 100}, "has no max_rows"),
     (None, {"n_replicates": 0}, "n_replicates must be a positive integer"),
     (None, {"alpha": 1.0}, "alpha must be between 0 and 1")],
)  # fmt: skip
def test_what_a_test_cannot_compare_is_named(estimator, changes, message):
    with pytest.raises(ValueError, match=message):
        select(X, estimator, n_components=[1, 2], **{**TERMS, **changes})


def test_rows_that_cannot_be_drawn_are_not_tested():
    rows = np.column_stack([random.normal(size=300), X])
    with pytest.raises(ValueError, match="knows no covariates or exposures to draw"):
        select(rows, Mixture("linear"), n_components=[1, 2], criterion="blrt")
    rows[3, 0] = np.nan
    with pytest.raises(ValueError, match="draws complete rows, but some values are missing"):
        select(rows, n_components=[1, 2], **TERMS)
