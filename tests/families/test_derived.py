"""Columns whose densities are linear in functions of them: against SciPy, their equations, and converged values."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from scipy.special import digamma, i0e, i1e
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning

import fastem
from fastem import HMM, Mixture, Online
from fastem.families import Beta, Geometric, InverseGaussian, LogNormal, VonMises
from tests.cases import of_size

EXAMPLES = Path(__file__).parents[2] / "examples"
random = np.random.default_rng(0)
GROUP = random.uniform(size=3000) < 0.4
# For each family rows of two kinds, and the parameters of either.
ROWS = {
    LogNormal: (np.exp(np.where(GROUP, -1.0, 3.0) + np.where(GROUP, 0.5, 1.0) * random.normal(size=3000)),
                {"mean_logs": [-1.0, 3.0], "sd_logs": [0.5, 1.0]}),
    InverseGaussian: (random.wald(np.where(GROUP, 1.0, 30.0), np.where(GROUP, 5.0, 400.0)),
                      {"means": [1.0, 30.0], "shapes": [5.0, 400.0]}),
    Beta: (random.beta(np.where(GROUP, 2.0, 30.0), np.where(GROUP, 20.0, 10.0)),
           {"alphas": [2.0, 30.0], "betas": [20.0, 10.0]}),
    VonMises: (random.vonmises(np.where(GROUP, -3.0, 0.5), np.where(GROUP, 9.0, 3.0)),
               {"directions": [-3.0, 0.5], "concentrations": [9.0, 3.0]}),
    Geometric: (random.geometric(1.0 / (1.0 + np.where(GROUP, 0.5, 40.0))) - 1.0, {"means": [0.5, 40.0]}),
}  # fmt: skip
KINDS = list(ROWS)
WORDS = {"LogNormal": "log_normal", "InverseGaussian": "inverse_gaussian", "VonMises": "von_mises"}


def fitted(kind, n_components=2, **options):
    return Mixture(kind(), n_components, **{"random_state": 0, **options}).fit(ROWS[kind][0])


def shown(mixture, kind):
    """Values by name, the components in the order of the truth."""
    truth = ROWS[kind][1]
    first = next(iter(truth))
    found = getattr(mixture, f"{first}_")[:, 0]
    order = np.argsort(found) if truth[first][0] < truth[first][1] else np.argsort(-found)
    return {name: getattr(mixture, f"{name}_")[order, 0] for name in truth}


# Converged values.


@pytest.mark.parametrize(
    ("column", "loglik", "mean_log", "sd_log"), [(1, -1108.30002639, 4.241194985, 0.2048451261)], ids=["waiting"]
)
def test_log_normal_waiting_times(faithful, column, loglik, mean_log, sd_log):
    x = faithful[:, column]
    mixture = Mixture("log_normal").fit(x)
    assert mixture.score(x) * len(x) == pytest.approx(loglik, abs=1e-7)
    assert mixture.mean_logs_[0, 0] == pytest.approx(mean_log, rel=1e-9)
    assert mixture.sd_logs_[0, 0] == pytest.approx(sd_log, rel=1e-9)


def test_von_mises_times_of_day():
    """R's circular inverts the ratio of Bessel functions by an approximation: it comes near to the maximum."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flights = np.genfromtxt(EXAMPLES / "flights.csv.gz", delimiter=",", names=True, max_rows=5000)
    angles = 2.0 * np.pi * (flights["hour"] + flights["minute"] / 60.0) / 24.0
    mixture = Mixture("von_mises").fit(angles)
    direction, concentration = 3.54493283, 0.9309461358
    peer = scipy.stats.vonmises.logpdf(angles, concentration, loc=direction).sum()
    assert peer == pytest.approx(-8253.70119919, abs=1e-6)
    assert peer < mixture.score(angles) * 5000 < peer + 0.01
    assert mixture.directions_[0, 0] % (2.0 * np.pi) == pytest.approx(direction, abs=1e-7)
    assert mixture.concentrations_[0, 0] == pytest.approx(concentration, rel=3e-3)


def test_beta_shares_of_cells():
    cells = load_breast_cancer(as_frame=True).data
    smooth = cells["mean smoothness"].to_numpy()
    one = Mixture("beta").fit(smooth)
    assert one.score(smooth) * len(smooth) == pytest.approx(1626.24547467, abs=1e-7)
    np.testing.assert_allclose([one.alphas_[0, 0], one.betas_[0, 0]], [42.94348498, 402.7044716], rtol=1e-7)
    concave = cells["mean concavity"].to_numpy()
    concave = concave[concave > 0]
    ranks = np.argsort(np.argsort(concave, kind="stable"), kind="stable")
    two = Mixture("beta", 2, init_params=(ranks >= 278).astype(int), tol=1e-13, max_iter=20_000).fit(concave)
    assert two.score(concave) * len(concave) == pytest.approx(790.28202892, abs=1e-6)
    np.testing.assert_allclose(two.weights_, [0.5579005, 0.4420995], atol=1e-4)
    np.testing.assert_allclose(two.alphas_[:, 0], [1.56564282, 2.76631784], rtol=1e-3)
    np.testing.assert_allclose(two.betas_[:, 0], [33.9975226, 15.6756178], rtol=1e-3)


# Densities and their maxima.


@pytest.mark.parametrize(
    ("kind", "values", "twin"),
    [(LogNormal, (-300.0, 2.0), lambda x, m, s: scipy.stats.lognorm.logpdf(x, s, scale=np.exp(m))),
     (InverseGaussian, (2e-40, 7e-39), lambda x, m, s: scipy.stats.invgauss.logpdf(x, m / s, scale=s)),
     (Beta, (0.02, 900.0), lambda x, a, b: scipy.stats.beta.logpdf(x, a, b)),
     (VonMises, (1.0, 5e4), lambda x, m, k: scipy.stats.vonmises.logpdf(x, k, loc=m)),
     (Geometric, (2000.0,), lambda x, m: scipy.stats.geom.logpmf(x + 1, 1 / (1 + m)))],
    ids=lambda each: getattr(each, "__name__", ""),
)  # fmt: skip
def test_densities_of_wide_and_narrow_columns_equal_scipy(kind, values, twin):
    family = of_size(kind, 1, 1)
    params = family.params(np.array([values]))
    x = family.sample(params, 0, 300, np.random.default_rng(0))
    truth = {f"{name}": [[value]] for name, value in zip(family.shown, values, strict=True)}
    mixture = Mixture.from_parameters(kind(), [1.0], **truth)
    np.testing.assert_allclose(mixture.score_samples(x), twin(x[:, 0], *values), rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_values_have_the_averages_that_they_are_estimated_from(kind):
    family = of_size(kind, 1, 5)
    values = np.array([[0.01, 0.3, 2.0, 50.0, 900.0], [900.0, 0.4, 1.0, 7.0, 0.2]])
    if kind in (VonMises, LogNormal):
        values[0] = [-2.0, 0.0, 0.1, 3.0, -1e-9]
    own = [each[None] for each in values[: len(family.shown)]]
    averages = family.averages(*own)
    found = family.estimate(*(averages if isinstance(averages, tuple) else (averages,)))
    for one, other in zip(found if isinstance(found, tuple) else (found,), own, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_averages_are_those_of_draws(kind):
    values = np.array([[each[0]] for each in ROWS[kind][1].values()]).T
    family = of_size(kind, 1, 1)
    params = family.params(values)
    x = family.sample(params, 0, 400_000, np.random.default_rng(0))
    T = family.statistics(x)
    np.testing.assert_allclose(T.mean(axis=0), family.averages_of(params)[0], atol=6.0 * T.std(axis=0).max() / 632)
    if kind is not VonMises:
        means, variances = family.moments(params)
        assert x.mean() == pytest.approx(means[0, 0], rel=0.03)
        assert x.var() == pytest.approx(variances[0, 0], rel=0.1)


def test_equations_of_circles_and_shares():
    """The maximum likelihood equations, in the words of a textbook."""
    mixture = fitted(VonMises, 1)
    x = ROWS[VonMises][0]
    k = mixture.concentrations_[0, 0]
    assert i1e(k) / i0e(k) == pytest.approx(np.hypot(np.cos(x).mean(), np.sin(x).mean()), rel=1e-9)
    shares, x = fitted(Beta, 1), ROWS[Beta][0]
    a, b = shares.alphas_[0, 0], shares.betas_[0, 0]
    assert digamma(a) - digamma(a + b) == pytest.approx(np.log(x).mean(), rel=1e-9)


# All that the package does.


@pytest.mark.parametrize("kind", KINDS)
def test_a_mixture_finds_both_kinds(kind):
    mixture = fitted(kind)
    for name, values in shown(mixture, kind).items():
        np.testing.assert_allclose(values, ROWS[kind][1][name], rtol=0.25, atol=0.1)
    errors = mixture.standard_errors(ROWS[kind][0])
    truth = ROWS[kind][1]
    own = {name: getattr(errors, name) for name in truth}
    assert all(np.all((error > 0.0) & (error < 20.0)) for error in own.values())
    by_observed = mixture.standard_errors(ROWS[kind][0], information="observed")
    for name in truth:
        np.testing.assert_allclose(getattr(by_observed, name), own[name], rtol=0.3)


@pytest.mark.parametrize("kind", KINDS)
def test_words_files_parameters_and_pictures(kind, tmp_path):
    mixture, x = fitted(kind), ROWS[kind][0]
    word = WORDS.get(kind.__name__, kind.__name__.lower())
    np.testing.assert_array_equal(Mixture(word, 2, random_state=0).fit(x).score_samples(x), mixture.score_samples(x))
    mixture.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(fastem.load(tmp_path / "model.npz").score_samples(x), mixture.score_samples(x))
    values = {name: getattr(mixture, f"{name}_") for name in ROWS[kind][1]}
    known = Mixture.from_parameters(kind(), mixture.weights_, **values)
    np.testing.assert_allclose(known.score_samples(x), mixture.score_samples(x), rtol=1e-9, atol=1e-9)
    assert mixture.plot(x).get_ylabel() in ("density", "probability")
    drawn, _ = mixture.sample(3000)
    assert mixture.score(drawn) == pytest.approx(mixture.score(x), abs=0.15)
    gaps = x.copy()[:, None]
    gaps[::3] = np.nan
    assert np.isfinite(Mixture(kind(), 2, random_state=0).fit(gaps).impute(gaps)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_streams_chains_and_columns_beside_others(kind):
    x = ROWS[kind][0]
    stream = Mixture(kind(), 2, schedule=Online(batch_size=100), random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for part in np.split(x, 6):
            stream.partial_fit(part)
    assert stream.score(x) == pytest.approx(fitted(kind).score(x), abs=0.05)
    in_time = np.argsort(GROUP, kind="stable")
    states = HMM(kind(), 2, random_state=0).fit(x[in_time]).predict(x[in_time])
    assert np.mean(states == GROUP[in_time]) in (pytest.approx(1.0, abs=0.01), pytest.approx(0.0, abs=0.01))
    both = Mixture([kind(), "normal"], 2, random_state=0).fit(
        np.column_stack([x, 9.0 * GROUP + random.normal(size=3000)])
    )
    assert np.mean(both.predict(np.column_stack([x, 9.0 * GROUP])) == GROUP) in (
        pytest.approx(1.0, abs=0.01), pytest.approx(0.0, abs=0.01),
    )  # fmt: skip
    moments = {"means": both.means_, "variances": both.variances_}
    again = Mixture.from_parameters([kind(), "normal"], both.weights_, **moments)
    rows = np.column_stack([x, 9.0 * GROUP])
    np.testing.assert_allclose(again.score_samples(rows), both.score_samples(rows), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_prior_stands_for_rows_of_the_data(kind):
    x = ROWS[kind][0]
    strong, one = fitted(kind, 2, init_params=GROUP.astype(int)), fitted(kind, 1)
    drawn = Mixture(kind(prior_weight=1e9), 2, random_state=0).fit(x)
    for name in ROWS[kind][1]:
        np.testing.assert_allclose(getattr(drawn, f"{name}_"), getattr(one, f"{name}_")[[0, 0]], rtol=1e-4, atol=1e-5)
    assert strong.lower_bound_ > one.lower_bound_


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [(LogNormal, 0.0, "must be a positive number"), (InverseGaussian, -1.0, "must be a positive number"),
     (Beta, 1.0, "must be between 0 and 1, both of which are excluded"), (Geometric, 2.5, "must be a count")],
)  # fmt: skip
def test_what_no_value_is_is_named(kind, value, words):
    bad = ROWS[kind][0][:50].copy()
    bad[7] = value
    with pytest.raises(ValueError, match=rf"row 7, column 0 is {value}, but {words}"):
        Mixture(kind(), 2).fit(bad)


@pytest.mark.parametrize("kind", [LogNormal, InverseGaussian, Beta, VonMises])
def test_rows_that_agree_end_at_a_limit_that_is_told(kind):
    x = ROWS[kind][0].copy()
    x[:400] = x[0]
    with warnings.catch_warnings():
        # What is left of a density that is a thousand times narrower than its mean is mostly rounding.
        warnings.filterwarnings("ignore", message="EM stopped: an iteration lowered the objective by .*e-")
        mixture = Mixture(kind(), 2, init_params=(np.arange(3000) >= 400).astype(int)).fit(x)
    assert all(np.all(np.isfinite(getattr(mixture, f"{name}_"))) for name in ROWS[kind][1])
    assert {note.cause for note in mixture.fit_report_.repairs} == {"collapsed"}
    with pytest.raises(ValueError, match="at the limit of what they may be"):
        mixture.standard_errors(x)


def test_angles_may_be_of_any_turn():
    x = ROWS[VonMises][0]
    turned = x + 2.0 * np.pi * random.integers(-3, 4, len(x))
    np.testing.assert_allclose(fitted(VonMises).score_samples(turned), fitted(VonMises).score_samples(x), atol=1e-9)
    with pytest.raises(
        ValueError, match=r"directions_ and concentrations_ must be from -pi to pi, and from 1e-6 to 1e6"
    ):
        Mixture.from_parameters("von_mises", [1.0], directions=[[7.0]], concentrations=[[2.0]])
