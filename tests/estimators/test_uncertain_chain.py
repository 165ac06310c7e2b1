"""The bootstrap of hidden Markov models, over sequences."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from fastem import GMMHMM, HMM, GaussianHMM, PoissonHMM

LENGTHS = np.full(60, 40)
random = np.random.default_rng(0)
STATES = ((random.random((60, 40)) < np.r_[0.5, np.full(39, 0.1)]).cumsum(axis=1) % 2).ravel()
X = np.where(STATES, 10.0, 0.0) + np.where(STATES, 2.0, 1.0) * random.normal(size=STATES.size)


@pytest.fixture(scope="module")
def hmm():
    return GaussianHMM(2, random_state=0).fit(X[:, None], LENGTHS)


def test_errors_of_states_that_are_known_are_those_of_their_rows(hmm):
    """States lie so far apart that each row tells its own: means and transitions are averages, and counts."""
    replicates = hmm.bootstrap(X[:, None], LENGTHS, n_replicates=200)
    assert replicates.means.shape == (200, 2, 1)
    assert replicates.startprob.shape == (200, 2)
    errors, order = replicates.standard_errors(), np.argsort(hmm.means_[:, 0])
    n = np.bincount(STATES)
    np.testing.assert_allclose(errors.means[order, 0], np.array([1.0, 2.0]) / np.sqrt(n), rtol=0.25)
    stays = hmm.transmat_[order[0], order[0]]
    from_first = np.sum(STATES.reshape(60, 40)[:, :-1] == 0)
    binomial = np.sqrt(stays * (1.0 - stays) / from_first)
    assert errors.transmat[order[0], order[0]] == pytest.approx(binomial, rel=0.3)
    assert errors.startprob[0] == pytest.approx(0.5 / np.sqrt(60), rel=0.3)
    limits = replicates.confidence_intervals(0.9)
    assert np.all(limits.lower.means <= hmm.means_ + 0.2)
    np.testing.assert_allclose(replicates.transmat.sum(axis=2), 1.0, atol=1e-9)


def test_draws_follow_the_random_state_and_leave_the_model(hmm):
    before = hmm.means_.copy()
    one, other = (hmm.bootstrap(X[:, None], LENGTHS, n_replicates=3) for _ in range(2))
    np.testing.assert_array_equal(one.means, other.means)
    np.testing.assert_array_equal(hmm.means_, before)


def test_a_sequence_of_weight_two_is_the_sequence_twice(hmm):
    """The spread is that of as many sequences: smaller by the root of two."""
    X2 = X[:, None]
    once = hmm.bootstrap(X2, LENGTHS, n_replicates=150).standard_errors()
    twice = hmm.bootstrap(X2, LENGTHS, n_replicates=150, sample_weight=np.full(60, 2.0)).standard_errors()
    np.testing.assert_allclose(once.means / twice.means, np.sqrt(2.0), rtol=0.3)


@pytest.mark.parametrize(
    ("estimator", "rows", "names"),
    [(PoissonHMM(2, random_state=0), np.abs(X).round()[:, None], {"startprob", "transmat", "lambdas"}),
     (HMM("gamma", 2, random_state=0), np.abs(X[:, None]) + 0.1, {"startprob", "transmat", "shapes", "scales"}),
     (GMMHMM(2, 2, random_state=0), X[:, None], {"startprob", "transmat", "weights", "means", "covars"})],
    ids=["Poisson", "gamma", "mixed"],
)  # fmt: skip
def test_parameters_have_the_names_of_the_fitted_attributes(estimator, rows, names):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = estimator.fit(rows, LENGTHS)
        errors = fitted.bootstrap(rows, LENGTHS, n_replicates=4).standard_errors()
    assert vars(errors).keys() == names
    for name in names:
        assert getattr(errors, name).shape == getattr(fitted, f"{name}_").shape
        assert np.isfinite(getattr(errors, name)).all()


def test_rows_with_gaps(hmm):
    gaps = X.copy()[:, None]
    gaps[random.random(gaps.shape) < 0.2] = np.nan
    fitted = GaussianHMM(2, random_state=0).fit(gaps, LENGTHS)
    wider, full = (
        model.bootstrap(rows, LENGTHS, n_replicates=60).standard_errors()
        for model, rows in ((fitted, gaps), (hmm, X[:, None]))
    )
    assert np.all(np.sort(wider.means, axis=0) > 0.9 * np.sort(full.means, axis=0))


def test_what_a_bootstrap_cannot_tell_is_named(hmm):
    with pytest.raises(ValueError, match="there is only one"):
        hmm.bootstrap(X[:, None])
    with pytest.raises(ValueError, match=r"n_replicates must be .*2"):
        hmm.bootstrap(X[:, None], LENGTHS, n_replicates=1)
    with pytest.raises(NotFittedError):
        GaussianHMM(2).bootstrap(X[:, None], LENGTHS)
    with pytest.warns(UserWarning, match="2 sequences tell little"):
        hmm.bootstrap(X[:80, None], [40, 40], n_replicates=2)
