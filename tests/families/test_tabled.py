"""Counts by tables: against SciPy, R's converged values, and rows one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats

import fastem
from fastem import HMM, Mixture
from fastem.families import Binomial, HurdlePoisson, NegativeBinomial, ZeroInflatedPoisson
from tests.cases import of_size

EXAMPLES = Path(__file__).parents[2] / "examples"
# Articles of 915 students (pscl's bioChemists): how many of each number.
ARTICLES = np.repeat([*range(13), 16, 19], [275, 246, 178, 84, 67, 27, 17, 12, 1, 2, 1, 1, 2, 1, 1])
random = np.random.default_rng(0)
GROUP = random.random(4000) < 0.4
CLAIMS = random.negative_binomial(np.where(GROUP, 2, 8), np.where(GROUP, 0.5, 0.1))
SPARE = np.where(random.random(4000) < np.where(GROUP, 0.2, 0.6), 0, random.poisson(np.where(GROUP, 2.0, 15.0)))
# Fewer zeros than Poisson counts have, and more.
POSITIVE = np.maximum(random.poisson(np.where(GROUP, 1.0, 15.0)), 1)
RARE = np.where(random.random(4000) < np.where(GROUP, 0.1, 0.3), 0, POSITIVE)
ROWS = {NegativeBinomial: CLAIMS, ZeroInflatedPoisson: SPARE, HurdlePoisson: RARE}
KINDS = list(ROWS)


def fitted(kind, n_components=2, **options):
    return Mixture(kind(), n_components, **{"random_state": 0, **options}).fit(ROWS[kind])


def own_names(kind):
    return of_size(kind, 1, 1).shown


@pytest.mark.parametrize(
    ("kind", "loglik", "values"),
    [(NegativeBinomial, -1609.93674317, (1.692896175, 1.706204571)),
     (ZeroInflatedPoisson, -1679.39108421, (2.133771992, 0.2066180478))],
)  # fmt: skip
def test_articles_as_mass_and_pscl_describe_them(kind, loglik, values):
    mixture = Mixture(kind()).fit(ARTICLES)
    assert mixture.score(ARTICLES) * 915 == pytest.approx(loglik, abs=1e-7)
    for name, value in zip(own_names(kind), values, strict=True):
        assert getattr(mixture, f"{name}_")[0, 0] == pytest.approx(value, rel=1e-7)


def test_earthquakes_as_mass_describes_them():
    counts = np.loadtxt(EXAMPLES / "earthquakes.csv", delimiter=",", skiprows=1)[:, 1]
    mixture = Mixture("negative_binomial").fit(counts)
    assert mixture.score(counts) * 107 == pytest.approx(-357.64995827, abs=1e-7)
    assert mixture.sizes_[0, 0] == pytest.approx(12.18709727, rel=1e-7)


@pytest.mark.parametrize(("mean", "size"), [(3.0, 0.01), (0.001, 5.0), (80.0, 1e7), (500.0, 2.0)])
def test_probabilities_equal_scipy(mean, size):
    known = Mixture.from_parameters(NegativeBinomial(n_counts=2000), [1.0], means=[[mean]], sizes=[[size]])
    counts = np.arange(0, 2000, 7)
    expected = scipy.stats.nbinom.logpmf(counts, size, size / (size + mean))
    np.testing.assert_allclose(known.score_samples(counts), expected, rtol=1e-9 if size < 1e6 else 1e-6)


def test_counts_that_vary_no_more_than_poisson_counts_are_poisson():
    counts = random.binomial(20, 0.4, 3000)
    mixture = Mixture("negative_binomial").fit(counts)
    assert mixture.sizes_[0, 0] == pytest.approx(1e6 * mixture.means_[0, 0])
    assert mixture.score(counts) == pytest.approx(Mixture("poisson").fit(counts).score(counts), abs=1e-5)
    plain = Mixture("zero_inflated_poisson").fit(counts)
    assert plain.zeros_[0, 0] < 1e-12
    assert plain.score(counts) == pytest.approx(Mixture("poisson").fit(counts).score(counts), abs=1e-9)
    for narrow in (mixture, plain):
        with pytest.raises(ValueError, match="at the limit of what they may be"):
            narrow.standard_errors(counts)


@pytest.mark.parametrize("kind", KINDS)
def test_an_m_step_is_a_maximum(kind):
    """No values near by describe the histogram better."""
    mixture, x = fitted(kind, 1), ROWS[kind]
    best = mixture.score(x)
    values = {name: getattr(mixture, f"{name}_") for name in own_names(kind)}
    for name, value in values.items():
        for factor in (0.99, 1.01):
            near = {**values, name: factor * value}
            assert Mixture.from_parameters(kind(n_counts=300), [1.0], **near).score(x) < best


@pytest.mark.parametrize("kind", KINDS)
def test_mixtures_chains_files_and_errors(kind, tmp_path):
    mixture, x = fitted(kind), ROWS[kind]
    agree = np.mean(mixture.predict(x)[x > 0] == GROUP[x > 0])
    assert max(agree, 1.0 - agree) > 0.85
    mixture.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(fastem.load(tmp_path / "model.npz").score_samples(x), mixture.score_samples(x))
    in_time = np.argsort(GROUP, kind="stable")
    chain = HMM(kind(), 2, random_state=0).fit(x[in_time])
    assert np.mean(chain.predict(x[in_time]) == GROUP[in_time]) in (
        pytest.approx(1.0, abs=0.02), pytest.approx(0.0, abs=0.02),
    )  # fmt: skip
    drawn, _ = mixture.sample(4000)
    assert mixture.score(drawn) == pytest.approx(mixture.score(x), abs=0.15)
    gaps = x[:, None].astype(float)
    gaps[::3] = np.nan
    assert np.isfinite(Mixture(kind(), 2, random_state=0).fit(gaps).impute(gaps)).all()
    assert mixture.plot(x).get_ylabel() == "share of rows"


def test_standard_errors_of_two_components():
    mixture = fitted(NegativeBinomial)
    one, other = mixture.standard_errors(CLAIMS), mixture.standard_errors(CLAIMS, information="observed")
    for name in ("means", "sizes"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0.4)
    # The zeros of one column do not say which component they are of; those of several columns do.
    with pytest.raises(ValueError, match="The rows do not determine the parameters of component"):
        fitted(ZeroInflatedPoisson).standard_errors(SPARE)
    again = np.where(random.random(4000) < np.where(GROUP, 0.2, 0.6), 0, random.poisson(np.where(GROUP, 2.0, 15.0)))
    several = np.column_stack([SPARE, again])
    errors = Mixture("zero_inflated_poisson", 2, random_state=0).fit(several).standard_errors(several)
    assert np.all((errors.zeros > 0.0) & (errors.zeros < 0.1))


def test_a_hurdle_is_the_share_of_zeros_and_the_mean_of_the_others():
    mixture = Mixture("hurdle_poisson").fit(ARTICLES)
    assert mixture.zeros_[0, 0] == pytest.approx(np.mean(ARTICLES == 0), rel=1e-12)
    rate = mixture.rates_[0, 0]
    assert rate / -np.expm1(-rate) == pytest.approx(ARTICLES[ARTICLES > 0].mean(), rel=1e-10)
    # Where zeros are more than Poisson counts have, it is the zero-inflated distribution in other words.
    other = Mixture("zero_inflated_poisson").fit(ARTICLES)
    assert mixture.score(ARTICLES) == pytest.approx(other.score(ARTICLES), abs=1e-12)
    few = np.where(ARTICLES == 0, random.integers(1, 3, 915) * (random.random(915) < 0.9), ARTICLES)
    assert Mixture("hurdle_poisson").fit(few).score(few) > Mixture("zero_inflated_poisson").fit(few).score(few)


def test_successes_of_trials(tmp_path):
    right = random.binomial(12, np.where(GROUP, 0.25, 0.8))
    mixture = Mixture(Binomial(n_trials=12), 2, random_state=0).fit(right)
    np.testing.assert_allclose(np.sort(mixture.means_[:, 0]), [3.0, 9.6], rtol=0.05)
    known = Mixture.from_parameters(Binomial(n_trials=12), [1.0], means=[[3.0]])
    expected = scipy.stats.binom.logpmf(np.arange(13), 12, 0.25)
    np.testing.assert_allclose(known.score_samples(np.arange(13)), expected, rtol=1e-12)
    mixture.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(fastem.load(tmp_path / "model.npz").predict(right), mixture.predict(right))
    both = Mixture([Binomial(n_trials=12), "normal"], 2, random_state=0).fit(
        np.column_stack([right, 9.0 * GROUP + random.normal(size=4000)])
    )
    np.testing.assert_allclose(np.sort(both.means_[:, 0]), [3.0, 9.6], rtol=0.05)
    one = Mixture(Binomial(n_trials=12)).fit(right[GROUP])
    share = one.means_[0, 0] / 12
    error = one.standard_errors(right[GROUP], information="observed").means[0, 0] / 12
    assert error == pytest.approx(np.sqrt(share * (1 - share) / (12 * GROUP.sum())), rel=1e-4)
    with pytest.raises(ValueError, match="must be a number of successes, an integer from 0 to 12"):
        mixture.score([13.0])
    with pytest.raises(ValueError, match="n_trials must be"):
        Binomial(n_trials=0)


def test_columns_of_several_sizes_stand_beside_others():
    rows = np.column_stack([CLAIMS, SPARE, 9.0 * GROUP + random.normal(size=4000)])
    mixed = Mixture(["negative_binomial", "zero_inflated_poisson", "normal"], 2, random_state=0).fit(rows)
    first = np.argmax(mixed.means_[:, 2])
    np.testing.assert_allclose(mixed.sizes_[first, 0], 2.0, rtol=0.15)
    np.testing.assert_allclose(mixed.zeros_[first, 1], 0.2, atol=0.05)
    assert np.isnan(mixed.sizes_[:, 1:]).all()
    again = Mixture.from_parameters(
        [NegativeBinomial(n_counts=400), ZeroInflatedPoisson(n_counts=200), "normal"], mixed.weights_,
        means=mixed.means_, variances=mixed.variances_,
    )  # fmt: skip
    np.testing.assert_allclose(again.score_samples(rows), mixed.score_samples(rows), rtol=1e-6, atol=1e-6)


def test_a_count_beyond_the_table_is_an_error_with_a_remedy():
    mixture = fitted(NegativeBinomial)
    most = 2 * CLAIMS.max() + 64
    assert np.isfinite(mixture.score([float(most - 1)]))
    with pytest.raises(ValueError, match=rf"must be a count, an integer from 0 to {most - 1}, .*n_counts={most}"):
        mixture.score([float(most)])
    wide = Mixture(NegativeBinomial(n_counts=3000), 2, random_state=0).fit(CLAIMS)
    assert np.isfinite(wide.score([2999.0]))
    assert wide.score(CLAIMS) == pytest.approx(mixture.score(CLAIMS), abs=1e-9)
    with pytest.raises(ValueError, match="for counts as large as this take 'poisson', 'gamma' or 'log_normal'"):
        Mixture("negative_binomial").fit(np.append(CLAIMS, 10_000_000))
    with pytest.raises(ValueError, match="n_counts must be a positive integer"):
        NegativeBinomial(n_counts=0)
