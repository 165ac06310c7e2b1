"""exp and log against extended precision, in units in the last place."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from fastem.passes.vector_math import exp_nonpositive, exp_nonpositive_float32, log1p_nonnegative, log_positive

pytestmark = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 60, reason="needs a long double that is wider than float64"
)


@numba.njit
def _exp(x):
    return np.array([exp_nonpositive(value) for value in x])


@numba.njit
def _exp_float32(x):
    return np.array([exp_nonpositive_float32(value) for value in x])


@numba.njit
def _log(x):
    return np.array([log_positive(value) for value in x])


@numba.njit
def _log1p(x):
    return np.array([log1p_nonnegative(value) for value in x])


def ulps(actual, exact):
    return np.max(np.abs(actual - exact) / np.spacing(np.abs(exact).astype(np.float64)))


def test_exp_is_as_accurate_as_it_says():
    random = np.random.default_rng(0)
    x = -np.concatenate([random.uniform(0, 708, 200_000), random.exponential(1.0, 200_000), np.logspace(-300, 0, 1000)])
    exact = np.exp(x.astype(np.longdouble))
    assert np.max(np.abs(_exp(x) - exact) / exact / (7e-16 + 3.4e-17 * np.abs(x))) < 1.0
    assert ulps(_exp(x[x > -1.0]), np.exp(x[x > -1.0].astype(np.longdouble))) < 5.0


def test_exp_at_the_edges():
    x = np.array([0.0, -0.0, -707.999, -708.0, -1e300, -np.inf, np.nan])
    np.testing.assert_allclose(_exp(x), [1.0, 1.0, np.exp(-707.999), np.exp(-708.0), 0.0, 0.0, np.nan], rtol=3e-14)


def test_exp_of_float32_is_as_accurate_as_it_says():
    x = -np.concatenate([np.linspace(0, 87, 1_000_000), np.logspace(-30, 0, 100_000), [-1e-6]]).astype(np.float32)
    exact = np.exp(x.astype(float))
    error = _exp_float32(x) / exact - 1.0
    assert np.max(np.abs(error)) < 1.2e-7
    # Where the log-likelihood would feel a bias.
    assert abs(np.mean(error[x > -5.0])) < 1e-8


def test_exp_of_float32_at_the_edges():
    x = np.array([0.0, -0.0, -87.0, -87.01, -3e38, -np.inf, np.nan], dtype=np.float32)
    found = _exp_float32(x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [1.0, 1.0, np.exp(-87.0), 0.0, 0.0, 0.0, np.nan], rtol=1.2e-7)


def test_log_is_within_one_ulp():
    random = np.random.default_rng(1)
    x = np.concatenate([random.uniform(0.5, 2.0, 200_000), np.exp(random.uniform(-700, 700, 200_000))])
    x = x[x != 1.0]
    assert ulps(_log(x), np.log(x.astype(np.longdouble))) < 1.0


def test_log_at_the_edges():
    x = np.array([0.0, 1.0, 5e-324, 1e308, np.inf, np.nan, -1.0])
    np.testing.assert_array_equal(_log(x), [-np.inf, 0.0, -np.inf, np.log(1e308), np.inf, np.nan, np.nan])


def test_log1p_is_as_accurate_as_it_says():
    random = np.random.default_rng(0)
    x = np.concatenate([random.exponential(1.0, 200_000), np.logspace(-300, 300, 100_000), [0.0]])
    exact = np.log1p(x.astype(np.longdouble))
    assert ulps(_log1p(x[x > 0]), exact[x > 0]) < 2.0
    np.testing.assert_array_equal(_log1p(np.array([0.0, np.inf, np.nan])), [0.0, np.inf, np.nan])
