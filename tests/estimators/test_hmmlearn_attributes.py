"""Parameters that are set by hand, without a fit: the numbers of hmmlearn and of scikit-learn given the same ones."""

from __future__ import annotations

import numpy as np
import pytest
from hmmlearn import hmm as hmmlearn_hmm
from sklearn.mixture import GaussianMixture as TheirMixture

import fastem

STARTPROB = np.array([0.6, 0.4])
TRANSMAT = np.array([[0.7, 0.3], [0.4, 0.6]])
MEANS = np.array([[0.0, 1.0], [3.0, -1.0]])
FULL = np.array([[[1.0, 0.3], [0.3, 2.0]], [[1.5, -0.2], [-0.2, 0.5]]])
COVARS = {"full": FULL, "tied": FULL[0], "diag": np.array([[1.0, 2.0], [0.5, 3.0]]), "spherical": np.array([1.0, 2.0])}
X = np.random.default_rng(0).normal(1.0, 2.0, (40, 2))
COUNTS = np.random.default_rng(1).integers(0, 6, (40, 2))
SYMBOLS = np.random.default_rng(2).integers(0, 3, (40, 1))
LENGTHS = [25, 15]
RATES = np.array([[1.0, 4.0], [3.0, 0.5]])
EMISSIONS = np.array([[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]])


def with_set(model, **attributes):
    for name, value in attributes.items():
        setattr(model, name, value)
    return model


def chain(model, **emissions):
    return with_set(model, startprob_=STARTPROB, transmat_=TRANSMAT, **emissions)


def gaussian(module, kind, **settings):
    covars = COVARS[kind][:, None] if kind == "spherical" and module is hmmlearn_hmm else COVARS[kind]
    return chain(module.GaussianHMM(2, covariance_type=kind, **settings), means_=MEANS, covars_=covars)


CHAINS = {
    **{f"Gaussian, {kind}": (gaussian(fastem, kind), gaussian(hmmlearn_hmm, kind), X) for kind in COVARS},
    "Poisson": (*(chain(m.PoissonHMM(2), lambdas_=RATES) for m in (fastem, hmmlearn_hmm)), COUNTS),
    "categorical": (*(chain(m.CategoricalHMM(2), emissionprob_=EMISSIONS) for m in (fastem, hmmlearn_hmm)), SYMBOLS),
}


def require_the_same(ours, theirs, rows):
    assert ours.score(rows, lengths=LENGTHS) == pytest.approx(theirs.score(rows, lengths=LENGTHS), rel=1e-12)
    expected = theirs.predict_proba(rows, lengths=LENGTHS)
    np.testing.assert_allclose(ours.predict_proba(rows, lengths=LENGTHS), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(ours.predict(rows, lengths=LENGTHS), theirs.predict(rows, lengths=LENGTHS))
    for algorithm in ("viterbi", "map"):
        found = ours.decode(rows, lengths=LENGTHS, algorithm=algorithm)
        expected = theirs.decode(rows, lengths=LENGTHS, algorithm=algorithm)
        assert found[0] == pytest.approx(expected[0], rel=1e-12)
        np.testing.assert_array_equal(found[1], expected[1])
    stationary = theirs.get_stationary_distribution()
    np.testing.assert_allclose(ours.get_stationary_distribution(), stationary, rtol=1e-12)
    drawn, states = ours.sample(7, random_state=0)
    assert drawn.shape == (7, rows.shape[1])
    assert set(states) <= {0, 1}


@pytest.mark.parametrize("kind", CHAINS)
def test_a_chain_set_by_hand_is_that_of_hmmlearn(kind):
    require_the_same(*CHAINS[kind])


@pytest.mark.parametrize("kind", CHAINS)
@pytest.mark.filterwarnings("ignore")
def test_a_chain_that_is_changed_after_a_fit_is_that_of_hmmlearn(kind):
    ours, theirs, rows = CHAINS[kind]
    fitted = ours.__class__(**{**ours.get_params(deep=False), "n_iter": 2, "random_state": 0}).fit(rows)
    names = [
        "startprob_",
        "transmat_",
        *{"P": ["lambdas_"], "c": ["emissionprob_"]}.get(kind[0], ["means_", "covars_"]),
    ]
    require_the_same(with_set(fitted, **{name: np.array(getattr(ours, name)) for name in names}), theirs, rows)


@pytest.mark.parametrize("source", ["covariances_", "precisions_cholesky_", "precisions_"])
@pytest.mark.parametrize("kind", COVARS)
def test_a_mixture_set_by_hand_is_that_of_scikit_learn(kind, source):
    from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

    cholesky = _compute_precision_cholesky(COVARS[kind], kind)
    theirs = TheirMixture(2, covariance_type=kind)
    with_set(theirs, weights_=STARTPROB, means_=MEANS, covariances_=COVARS[kind], precisions_cholesky_=cholesky)
    precisions = np.linalg.inv(COVARS[kind]) if kind in ("full", "tied") else 1 / COVARS[kind]
    value = {"covariances_": COVARS[kind], "precisions_cholesky_": cholesky, "precisions_": precisions}[source]
    ours = with_set(
        fastem.GaussianMixture(2, covariance_type=kind), weights_=STARTPROB, means_=MEANS, **{source: value}
    )
    for name in ("predict", "predict_proba", "score_samples", "score"):
        np.testing.assert_allclose(getattr(ours, name)(X), getattr(theirs, name)(X), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.covariances_, COVARS[kind], rtol=1e-10)
    assert ours.sample(5)[0].shape == (5, 2)


COLUMNS = [
    ("poisson", {"rates_": RATES}, COUNTS),
    ("exponential", {"means_": RATES}, np.abs(X)),
    ("bernoulli", {"probabilities_": EMISSIONS[:, :2]}, COUNTS % 2),
    ("multinomial", {"probabilities_": EMISSIONS}, np.c_[COUNTS, COUNTS[:, 0]]),
    ("categorical", {"probabilities_": [EMISSIONS]}, SYMBOLS),
]


@pytest.mark.parametrize(("family", "values", "rows"), COLUMNS)
def test_a_mixture_of_columns_set_by_hand_is_that_of_from_parameters(family, values, rows):
    ours = with_set(fastem.Mixture(family, 2), weights_=STARTPROB, **values)
    named = {name.removesuffix("_"): value for name, value in values.items()}
    made = fastem.Mixture.from_parameters(family, STARTPROB, **named)
    for name in ("predict", "predict_proba", "score_samples", "score"):
        np.testing.assert_array_equal(getattr(ours, name)(rows), getattr(made, name)(rows))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("make", "share"), [(fastem.Mixture, "weights_"), (fastem.HMM, "startprob_")])
def test_what_is_changed_in_any_family_counts(make, share):
    fitted = make("normal", 2, random_state=0).fit(X)
    before = fitted.score(X)
    setattr(fitted, share, np.array([0.99, 0.01]))
    assert fitted.score(X) != before
