"""Nothing nasty ends in an exception, a NaN, a hang or an unclear warning, however it is fitted."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from fastem import Batch, GaussianMixture, NormalInverseWishart, Online, Race, Subsample

COVARIANCE_TYPES = ["full", "tied", "diag", "spherical"]


def nasty_inputs():
    """Rows, and their weights or None."""
    random = np.random.default_rng(0)
    line, plane = random.normal(size=120), random.normal(size=(120, 2))
    rows = {
        "duplicates": np.repeat(random.normal(size=(5, 2)), 30, axis=0),
        "more components than distinct rows": np.repeat(random.normal(size=(2, 2)), 50, axis=0),
        "all rows equal": np.full((60, 2), 3.7),
        "all zero": np.zeros((50, 2)),
        "a constant column": np.column_stack([line, np.full(120, 7.0)]),
        "collinear columns": np.column_stack([line, 2.0 * line]),
        "nearly collinear columns": np.column_stack([line, line + 1e-13 * random.normal(size=120)]),
        "clusters of one row": np.concatenate([plane, [[1e3, 0.0], [0.0, -1e4]]]),
        "an outlier at 1e100": np.concatenate([plane, [[1e100, 1e100]]]),
        "huge values": 1e150 * plane,
        "tiny values": 1e-150 * plane,
        "subnormal values": 1e-310 * plane,
        "huge beside tiny columns": plane * [1e-150, 1e150],
        "a large offset": 1e9 + 1e-3 * plane,
        "heavy tails": random.standard_cauchy(size=(400, 2)),
        "integers": random.integers(0, 4, size=(120, 2)),
        "as many components as rows": random.normal(size=(3, 2)),
        "more features than rows": random.normal(size=(6, 20)),
    }
    weights = {
        "weights from 1e-200 to 1e100": 10.0 ** random.uniform(-200, 100, size=120),
        "one row has all weight": np.where(np.arange(120) == 7, 1.0, 1e-300),
        "weights that are mostly zero": np.where(np.arange(120) % 30 == 0, 1.0, 0.0),
        "tiny weights": np.full(120, 1e-300),
    }
    return {name: (X, None) for name, X in rows.items()} | {name: (plane, weight) for name, weight in weights.items()}


INPUTS = nasty_inputs()
# Fits grow from samples of a few rows.
FEW = Subsample(min_rows=40, sample_rows=12, min_rows_per_parameter=0, rows_per_parameter=1)
WAYS = {
    "plain": {"schedule": "plain"},
    "kmeans": {"init_params": "kmeans"},
    "random rows": {"init_params": "random_from_data"},
    "random responsibilities": {"init_params": "random"},
    "squarem, no penalty": {"schedule": Batch(acceleration="squarem"), "prior": None},
    "anderson": {"schedule": Batch(acceleration="anderson"), "tol": 1e-8},
    "subsample": {"schedule": Batch(subsample=FEW)},
    "online": {"schedule": Online(batch_size=16)},
    "incremental": {"schedule": "incremental"},
    "a race and swaps": {"n_init": 2, "search": Race(swaps=1)},
    "priors": {"prior": NormalInverseWishart(weight_concentration=2.0, mean_precision=0.1, degrees_of_freedom=25.0)},
}


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("way", WAYS)
def test_nothing_nasty_ends_in_an_exception_or_a_nan(way, covariance_type):
    for name, (X, weight) in INPUTS.items():
        settings = {"max_iter": 12, "random_state": 0, "n_threads": 1, **WAYS[way]}
        mixture = GaussianMixture(3, covariance_type=covariance_type, **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            try:
                mixture.fit(X, sample_weight=weight)
            except Exception as error:
                error.add_note(name)
                raise
        for value in (mixture.weights_, mixture.means_, mixture.covariances_, mixture.precisions_):
            assert np.all(np.isfinite(value)), name
        assert np.isfinite(mixture.lower_bound_), name
        assert mixture.weights_.sum() == pytest.approx(1.0), name
        np.testing.assert_allclose(mixture.predict_proba(X).sum(axis=1), 1.0, err_msg=name)
        assert mixture.stop_reason_ in ("converged", "max_iter", "objective_decreased"), name
        if way not in ("online", "incremental"):
            assert np.all(np.diff(mixture.lower_bounds_) >= 0), name
        assert len(str(mixture.fit_report_).splitlines()) >= 2
