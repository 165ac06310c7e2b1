"""What a model says cannot be has the log-density minus infinity; zeros that a user gives stay zeros."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

import fastem
from fastem import HMM, CategoricalHMM, GaussianMixture, Mixture, PoissonHMM
from fastem.families import Categorical
from fastem.latents.mixture import MixtureLatent

POISSON = Mixture.from_parameters("poisson", [0.3, 0.7], rates=[[0.0, 2.0], [3.0, 0.0]])
BERNOULLI = Mixture.from_parameters("bernoulli", [0.5, 0.5], probabilities=[[0.0, 1.0, 0.3], [1.0, 0.5, 0.2]])
MULTINOMIAL = Mixture.from_parameters("multinomial", [0.5, 0.5], probabilities=[[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]])
CATEGORICAL = Mixture.from_parameters("categorical", [0.5, 0.5], probabilities=[[[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]])
UNUSED = GaussianMixture.from_parameters([0.0, 1.0], [0.0, 1000.0], [1.0, 1.0])
SYMBOLS = CategoricalHMM.from_parameters([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
COUNTS = PoissonHMM.from_parameters([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [0.0, 4.0])
MODELS = [POISSON, BERNOULLI, MULTINOMIAL, CATEGORICAL, UNUSED, SYMBOLS, COUNTS]

pytestmark = pytest.mark.filterwarnings("ignore:EM did not converge")


def by_class(model):
    return type(model).__name__


def mixed(*joint):
    with np.errstate(divide="ignore"):
        return np.log(np.sum(joint, axis=0))


def test_counts_where_a_rate_is_zero():
    X = np.array([[0, 1], [2, 0], [1, 1], [0, 0], [1000, 0], [0, 3000], [5, 400]])
    first, second = (scipy.stats.poisson(rates).pmf(X).prod(axis=1) for rates in ([0.0, 2.0], [3.0, 0.0]))
    expected = mixed(0.3 * first, 0.7 * second)
    is_large = X.max(axis=1) >= 1000
    scores = POISSON.score_samples(X)
    assert scores[~is_large] == pytest.approx(expected[~is_large], rel=1e-12)
    assert scores[4] == pytest.approx(np.log(0.7) + scipy.stats.poisson(3.0).logpmf(1000), rel=1e-12)
    assert scores[5] == pytest.approx(np.log(0.3) + scipy.stats.poisson(2.0).logpmf(3000), rel=1e-12)
    assert POISSON.predict_proba(X)[[0, 1, 2]].tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    assert POISSON.score(X) == -np.inf
    criteria = POISSON.criteria(X)
    assert (criteria["loglik"], criteria["aic"], criteria["bic"]) == (-np.inf, np.inf, np.inf)


def test_binary_values_that_are_certain():
    X = np.array([[0, 1, 1], [1, 1, 0], [0, 0, 1], [1, 0, 0]])
    expected = mixed([0.15, 0.0, 0.0, 0.0], [0.0, 0.2, 0.0, 0.2])
    np.testing.assert_allclose(BERNOULLI.score_samples(X), expected, rtol=1e-12)
    assert BERNOULLI.predict_proba(X).tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 1.0]]


def test_shares_of_zero():
    X = np.array([[0, 1, 1], [2, 0, 0], [1, 1, 0], [0, 300, 2], [300, 0, 1]])
    scores = MULTINOMIAL.score_samples(X)
    expected = np.log(0.5) + scipy.stats.multinomial(302, [0.0, 0.5, 0.5]).logpmf(X[3])
    assert scores[[0, 1, 3]] == pytest.approx([np.log(0.25), np.log(0.5), expected], rel=1e-11)
    assert scores[[2, 4]].tolist() == [-np.inf, -np.inf]


def test_categories_that_are_impossible():
    np.testing.assert_allclose(
        CATEGORICAL.score_samples([[0], [1], [2]]), [np.log(0.25), np.log(0.75), -np.inf], rtol=1e-12
    )
    assert set(CATEGORICAL.sample(200)[0].ravel()) <= {0.0, 1.0}


def test_a_component_of_weight_zero_has_no_rows():
    assert UNUSED.score_samples([0.0])[0] == pytest.approx(-0.5 * 1000.0**2 - 0.5 * np.log(2 * np.pi))
    assert UNUSED.predict([0.0, 1000.0]).tolist() == [1, 1]
    assert UNUSED.predict_proba([0.0]).tolist() == [[0.0, 1.0]]
    assert set(UNUSED.sample(100)[1]) == {1}


def test_many_components_of_which_some_have_no_weight():
    """Where components may be left out of a pass, too."""
    means = np.arange(64.0)[:, None] * 50.0
    weights = np.where(np.arange(64) % 2, 1.0 / 32, 0.0)
    mixture = GaussianMixture.from_parameters(weights, means, np.ones((64, 1, 1)))
    X = np.repeat(means, 20, axis=0)
    assert np.all(mixture.predict(X) % 2 == 1)
    assert np.all(np.isfinite(mixture.score_samples(X)))


def test_mixed_columns_keep_their_zeros():
    counts = Mixture(["poisson", "bernoulli"], 2, random_state=0).fit(
        np.column_stack([np.resize([0, 1, 5, 6], 80), np.resize([0, 0, 1, 1], 80)])
    )
    means = np.array([[0.0, 1.0], [5.0, 0.0]])
    counts.means_ = means
    counts.variances_ = np.array([[0.0, 0.0], [5.0, 0.0]])
    scores = counts.score_samples([[0, 1], [1, 1], [5, 0], [5, 1]])
    assert np.isfinite(scores).tolist() == [True, False, True, False]


def test_sequences_with_an_impossible_symbol():
    never = CategoricalHMM.from_parameters([1.0], [[1.0]], [[0.5, 0.5, 0.0]])
    rarely = CategoricalHMM.from_parameters([1.0], [[1.0]], [[0.1, 0.1, 0.8]])
    x = np.append(np.resize([0, 1], 600), 2)
    assert never.score(x) == -np.inf < rarely.score(x)
    assert never.decode(x)[0] == -np.inf
    assert np.isfinite(never.predict_proba(x)).all()


def test_zeros_of_emissions_are_exact_in_a_chain():
    x = [0, 1, 2, 0]
    path = SYMBOLS.decode(x)[1]
    assert path[2] == 1
    assert SYMBOLS.predict_proba(x)[2].tolist() == [0.0, 1.0]
    assert COUNTS.predict_proba([0, 3, 0])[1].tolist() == [0.0, 1.0]
    joint = 0.5 * np.array([0.5, 0.2])
    transmat, emission = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    for symbol in x[1:]:
        joint = (joint @ transmat) * emission[:, symbol]
    assert SYMBOLS.score(x) == pytest.approx(np.log(joint.sum()), rel=1e-12)


@pytest.mark.parametrize("model", MODELS, ids=by_class)
def test_zeros_survive_a_file(model, tmp_path):
    model.save(tmp_path / "model.npz")
    loaded = fastem.load(tmp_path / "model.npz")
    for record, other in zip(model._params, loaded._params, strict=True):
        for name, value in record._asdict().items():
            np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)


@pytest.mark.parametrize("n_rows", [10, 3000])
def test_a_fit_goes_on_from_zeros(n_rows):
    """Zeros of a start, or of parameters that partial_fit goes on from, end nothing and make nothing NaN."""
    random = np.random.default_rng(0)
    X = random.poisson(np.resize([[1.0, 5.0], [6.0, 2.0]], (n_rows, 2)))
    mixture = Mixture("poisson", 2, params_init={"rates": [[0.0, 2.0], [3.0, 0.0]]}, weights_init=[0.5, 0.5]).fit(X)
    assert np.isfinite(mixture.rates_).all()
    assert np.isfinite(mixture.lower_bound_)
    streamed = Mixture.from_parameters("poisson", [0.3, 0.7], rates=[[0.0, 2.0], [3.0, 0.0]]).partial_fit(X)
    assert np.isfinite(streamed.rates_).all()


def test_estimates_exclude_nothing():
    """A symbol that no row had is improbable, not impossible."""
    mixture = Mixture(Categorical(n_categories=3), 1).fit(np.resize([0, 1], 40))
    assert -1000 < mixture.score_samples([[2]])[0] < -500
    chain = HMM(["categorical"], 1).fit(np.resize([0, 1, 2], 40))
    assert np.isfinite(chain.score([[2], [0]]))


def test_without_any_possible_row_weights_are_equal():
    latent = MixtureLatent(3)
    assert np.all(latent.m_step(latent.zero_stats(), latent.uniform()).weights == 1 / 3)
    fixed = MixtureLatent(3, fixed_weights=np.array([0.0, np.nan, np.nan]))
    assert fixed.m_step(fixed.zero_stats(), latent.uniform()).weights.tolist() == [0.0, 0.5, 0.5]


def test_an_exponential_mean_of_zero_is_refused():
    with pytest.raises(ValueError, match="must be positive"):
        Mixture.from_parameters("exponential", [1.0], means=[0.0])
    with pytest.raises(ValueError, match="must be positive"):
        Mixture("exponential", 1, params_init={"means": [0.0]}).fit([1.0, 2.0, 3.0])


def test_a_fit_from_parameters_under_which_every_row_is_impossible():
    nothing = Mixture.from_parameters("poisson", [0.5, 0.5], rates=[0.0, 0.0], warm_start=True)
    X = np.arange(1, 200) % 7 + 1
    assert nothing.score(X) == -np.inf
    nothing.fit(X)
    assert nothing.weights_ == pytest.approx([0.5, 0.5])
    assert nothing.rates_ == pytest.approx(X.mean())
