"""Laws of rows with missing values, that hold for every family."""

from __future__ import annotations

import numpy as np
import pytest

from fastem.families.columns.multinomial import Multinomial
from fastem.passes.threads import threads
from fastem.passes.units import ROWS_PER_RUN
from tests.cases import CASES, MIXTURE_CASES, assert_close, assert_same_bits, e_step, sequences

# A chain meets missing values in its families' blocks only.
IN_CHAINS = ("chain of diag Gaussians", "chain of mixed columns")
ALL = [*MIXTURE_CASES, *(case for case in CASES if case.name in IN_CHAINS)]


def gappy(own, n_rows, share=0.3, seed=0):
    """A model for rows that miss values, its parameters, and such rows."""
    complete = own.model(3, 4)
    X, random = own.rows(complete, n_rows), np.random.default_rng(seed)
    gone = random.random(X.shape) < share
    needed = complete.family.needed(np.where(gone, np.nan, X))
    if isinstance(complete.family, Multinomial):
        # Of a total that is given, all counts are missing or none.
        gone[:] = gone[:, :1]
    elif needed is not None:
        gone &= ~needed
    model = complete.with_gaps()
    return model, model.prepared(own.params(complete)), np.where(gone, np.nan, X)


@pytest.mark.parametrize("own", ALL, ids=lambda own: own.name)
def test_complete_rows_have_the_bits_of_complete_rows(own):
    model, params, _ = gappy(own, 10)
    complete = model.with_gaps(False)
    X = own.rows(complete, 2000)
    one, other = e_step(complete, complete.prepared(params), X), e_step(model, params, X)
    assert_same_bits(other._replace(family=None), one._replace(family=None))
    for a, b in zip(one.family, other.family, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("own", MIXTURE_CASES, ids=lambda own: own.name)
def test_a_row_of_weight_two_is_the_row_twice(own):
    model, params, X = gappy(own, 400)
    weight = np.resize([1.0, 2.0, 0.0], 400)
    twice = X[np.repeat(np.arange(400), weight.astype(int))]
    assert_close(e_step(model, params, X, weight), e_step(model, params, twice), rtol=1e-9, scale=400.0)


@pytest.mark.parametrize("own", ALL, ids=lambda own: own.name)
def test_bits_do_not_depend_on_threads_and_chunks(own):
    model, params, X = gappy(own, 2 * ROWS_PER_RUN + 700)
    whole = e_step(model, params, X)
    with threads(1):
        assert_same_bits(e_step(model, params, X), whole)
    if not model.latent.is_chain:
        assert_same_bits(e_step(model, params, X, cuts=[ROWS_PER_RUN, 2 * ROWS_PER_RUN]), whole)


@pytest.mark.parametrize("own", ALL, ids=lambda own: own.name)
def test_an_iteration_never_lowers_the_likelihood(own):
    model, params, X = gappy(own, 600)
    course = []
    for _ in range(8):
        stats = e_step(model, params, X)
        course.append(float(stats.loglik))
        params = model.m_step(stats, params)[0]
    assert np.all(np.diff(course) > -1e-9 * np.abs(course[:-1]))


@pytest.mark.parametrize("own", ALL, ids=lambda own: own.name)
def test_rows_without_values_say_nothing(own):
    model, params, _ = gappy(own, 10)
    X = np.full((50, 4), np.nan)
    out, resp = np.empty(50), np.empty((50, model.latent.n_components))
    lengths = sequences(model, 50)
    model.log_prob(params, X, out, lengths)
    model.posterior(params, X, resp, lengths)
    np.testing.assert_allclose(out, 0.0, atol=1e-13)
    assert resp.sum(axis=1) == pytest.approx(1.0)
    if not model.latent.is_chain:
        np.testing.assert_allclose(resp, np.broadcast_to(params.latent.weights, resp.shape), rtol=1e-12)
    # They are what the model expects already: an M-step of them alone changes nothing. Of totals nothing is expected.
    if not model.latent.is_chain and not isinstance(model.family, Multinomial):
        after = model.m_step(e_step(model, params, X), params)[0]
        shown, before = model.family.estimates(after.family), model.family.estimates(params.family)
        for name, value in before.items():
            pairs = zip(value, shown[name], strict=True) if isinstance(value, list) else [(value, shown[name])]
            for a, b in pairs:
                if a is not None:
                    np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-12)
