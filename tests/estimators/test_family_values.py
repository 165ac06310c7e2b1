"""Families are values: equal by what they say, with options that scikit-learn's tools reach."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import fastem
from fastem import HMM, GaussianMixture, Mixture
from fastem.estimators.mixture import FamilyParameters
from fastem.families import Bernoulli, Categorical, Exponential, Gamma, Multinomial, Normal, Poisson, StudentT
from fastem.families.columns.product import Product
from fastem.families.gaussian.family import Gaussian
from tests.cases import assert_same_bits

RANDOM = np.random.default_rng(0)
COUNTS = RANDOM.poisson(np.where(np.arange(600) < 200, 2.0, 9.0)).astype(float)
CODES = RANDOM.integers(0, 3, (600, 2)).astype(float)
MIXED = np.column_stack([RANDOM.normal(size=600), COUNTS, CODES, RANDOM.exponential(size=600)])
CHANCES = [[0.9, 0.1], [0.2, 0.8]]


@pytest.mark.parametrize(
    "family",
    [Poisson(exposure=True), Bernoulli(prior_weight=2.0), Categorical([3, 4]), Multinomial(n_trials=7),
     Exponential(floor=1e-3), Normal(floor=1e-3)],
    ids=lambda family: type(family).__name__,
)  # fmt: skip
def test_a_family_is_a_value(family):
    options = {name.removeprefix("family__"): value for name, value in Mixture(family).get_params().items()}
    again = type(family)(
        **{name: options[name] for name in options if f"family__{name}" in Mixture(family).get_params()}
    )
    assert again == family
    assert hash(again) == hash(family)
    assert family != type(family)(**({"floor": 0.5} if hasattr(family, "floor") else {"prior_weight": 9.0}))
    assert family != Gaussian(covariance_type="diag")
    assert pickle.loads(pickle.dumps(family)) == family
    copy = clone(Mixture(family, 2, tol=1e-3))
    assert copy.family == family
    assert copy.tol == 1e-3
    assert type(family).__name__ in repr(copy)


def test_options_of_a_family_are_parameters_of_the_estimator():
    mixture = Mixture(Poisson(), 2)
    assert mixture.get_params()["family__exposure"] is False
    assert "family__n_components" not in mixture.get_params()
    mixture.set_params(family__exposure=True, family__prior_weight=2.0, n_components=3)
    assert (mixture.family, mixture.n_components) == (Poisson(exposure=True, prior_weight=2.0), 3)
    # A word stands for the family without options, and a new family comes before its options.
    assert Mixture("poisson").set_params(family__exposure=True).family == Poisson(exposure=True)
    assert HMM().set_params(family=Categorical(), family__n_categories=5).family == Categorical(5)
    with pytest.raises(ValueError, match=r"family=Poisson.* has no option 'rate'. It has prior_weight, exposure"):
        mixture.set_params(family__rate=1.0)
    with pytest.raises(ValueError, match="Invalid parameter"):
        mixture.set_params(families=1.0)
    search = GridSearchCV(Mixture(Poisson(), 2, random_state=0), {"family__prior_weight": [0.0, 1e6]}, cv=3).fit(
        COUNTS.reshape(-1, 1)
    )
    assert search.best_params_ == {"family__prior_weight": 0.0}


def test_a_fit_does_not_change_the_family():
    family = Categorical()
    mixture = Mixture(family, 2, random_state=0).fit(CODES)
    assert mixture.family is family
    assert family.n_categories is None
    assert mixture.n_categories_.tolist() == [3, 3]
    with pytest.raises(AttributeError, match="n_categories_ after a fit"):
        Mixture("categorical").n_categories_  # noqa: B018


@pytest.mark.parametrize(
    ("family", "error", "words"),
    [
        (Poisson, TypeError, r"family is the class Poisson. Pass a value of it, such as Poisson\(\)"),
        (3, TypeError, "family must be one of 'normal', .*a dataclass of your own"),
        (["poisson", "weibull"], ValueError, "family='weibull' is not known"),
        (Poisson(n_components=5), ValueError, "family has n_components=5, where the estimator needs 2"),
        (Categorical(n_features=1), ValueError, "family has n_features=1, where the estimator needs 2"),
        (["poisson", Gaussian(covariance_type="diag")], ValueError, r"Gaussian\(.*\) describes none by itself"),
        (["poisson", Poisson(exposure=True)], ValueError, r"Poisson\(.*exposure=True\) describes none by itself"),
        (
            ["poisson", Bernoulli(prior_weight=1.0)],
            ValueError,
            r"family has prior_weight=0.0 for the columns \[0\] and prior_weight=1.0 for the columns \[1\]",
        ),
        (
            [Normal(floor=0.1), Normal(floor=0.2)],
            ValueError,
            r"family has floor=0.1 for the columns \[0\] and floor=0.2 for the columns \[1\].* the same floor",
        ),
    ],
)
def test_what_is_no_family_is_refused(family, error, words):
    X = np.column_stack([COUNTS, COUNTS > 4.0])
    for estimator in (Mixture(family, 2), HMM(family, 2)):
        with pytest.raises(error, match=words):
            estimator.fit(X)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Poisson(prior_weight=-1.0), "prior_weight must be a finite number"),
        (lambda: Categorical(0), "n_categories must be a positive integer"),
        (lambda: Categorical([2.5]), "n_categories must be a positive integer"),
        (lambda: Multinomial(n_trials=0), "n_trials must be a positive integer"),
        (lambda: Exponential(floor=2.0), "floor must be between 0 and 1"),
        (lambda: Normal(floor=-1.0), "floor must be between 0 and 1"),
        (lambda: Normal(floor=[0.1, 0.2]), r"floor must be between 0 and 1.*got \[0.1, 0.2\]"),
        (lambda: Exponential(floor="small"), "floor must be between 0 and 1.*got 'small'"),
        (lambda: Normal(floor=np.nan), "floor must be between 0 and 1"),
        (lambda: Normal(floor=True), "floor must be between 0 and 1"),
        (lambda: Poisson(exposure="hours"), "exposure must be True or False; got 'hours'"),
        (lambda: Poisson(exposure=1.0), "exposure must be True or False; got 1.0"),
        (lambda: Poisson(exposure=[True]), "exposure must be True or False"),
        (lambda: Bernoulli(prior_weight="1"), "prior_weight must be a finite number, not negative; got '1'"),
        (lambda: Gamma(prior_weight=[1.0]), "prior_weight must be a finite number"),
        (lambda: Poisson(prior_weight=np.nan), "prior_weight must be a finite number"),
        (lambda: Poisson(prior_weight=True), "prior_weight must be a finite number"),
        (lambda: Multinomial(n_trials=True), "n_trials must be a positive integer"),
        (lambda: Categorical("many"), "n_categories must be a positive integer"),
        (lambda: Categorical([[2, 3], [2]]), "n_categories must be a positive integer"),
        (lambda: Categorical({"a": 2}), "n_categories must be a positive integer"),
        (lambda: StudentT(df="4"), "df='4' must be a finite number of at least 0.01"),
        (lambda: StudentT(df=[4.0]), "df=\\[4.0\\] must be"),
        (lambda: StudentT(covariance_type=["full"]), r"covariance_type=\['full'\] is not known. Choose among 'full'"),
        (lambda: StudentT(covariance_type=None), "covariance_type=None is not known"),
    ],
)
def test_options_are_checked_where_they_are_written(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_one_kind_of_column_runs_on_its_own_family():
    for kind, name, X in (("poisson", "rates_", COUNTS), ("normal", "variances_", MIXED), ("categorical", "", CODES)):
        mixture = Mixture(kind, 2, n_init=1, random_state=0).fit(X)
        assert not isinstance(mixture._model.family, Product)
        assert hasattr(mixture, name or "probabilities_")
    labels = (COUNTS > 5).astype(int)
    gaussian = GaussianMixture(2, covariance_type="diag", prior=None, init_params=labels).fit(MIXED)
    assert_same_bits(Mixture("normal", 2, init_params=labels).fit(MIXED)._params.family, gaussian._params.family)


def test_options_in_a_list_count():
    kinds = [Normal(floor=0.2), Poisson(prior_weight=2.0)]
    kinds += [Categorical(4, prior_weight=2.0), Categorical(prior_weight=2.0), Exponential(prior_weight=2.0)]
    mixture = Mixture(kinds, 2, random_state=0).fit(MIXED)
    assert mixture.n_categories_.tolist() == [1, 1, 4, 3, 1]
    assert mixture.variances_[:, 0].min() >= 0.2 * MIXED[:, 0].var() * (1 - 1e-9)
    assert {
        part.family.prior_weight for part in mixture._model.family.parts if hasattr(part.family, "prior_weight")
    } == {2.0}
    # Columns that say the same are described together.
    assert len(mixture._model.family.parts) == 4


@pytest.mark.parametrize("family", ["poisson", Categorical(), Normal(floor=1e-4), ["poisson", Categorical(9)]], ids=str)
def test_a_family_comes_back_from_a_file(family, tmp_path):
    X = np.column_stack([COUNTS, CODES[:, 0]])
    for estimator in (Mixture(family, 2, n_init=1, random_state=0), HMM(family, 2, random_state=0, tol=1e-2)):
        fitted = estimator.fit(X)
        fitted.save(tmp_path / "model.npz")
        loaded = fastem.load(tmp_path / "model.npz")
        assert loaded.family == family
        assert_same_bits(loaded._params, fitted._params)
        assert loaded.get_params()["n_components"] == 2
    started = Mixture("poisson", 2, params_init={"rates": [[1.0, 1.0], [5.0, 2.0]]}).fit(X)
    started.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(fastem.load(tmp_path / "model.npz").params_init["rates"], [[1.0, 1.0], [5.0, 2.0]])


def test_parameters_by_name():
    hmm = HMM.from_parameters("poisson", [0.5, 0.5], CHANCES, rates=[2.0, 9.0], random_state=0)
    X, states = hmm.sample(300)
    assert (hmm.predict(X) == states).mean() > 0.9
    mixed = ["normal", "categorical"]
    tables = [None, [[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]]]
    known = {
        "means": [[0.0, np.nan], [3.0, np.nan]],
        "variances": [[1.0, np.nan], [2.0, np.nan]],
        "probabilities": tables,
    }
    mixture = Mixture.from_parameters(mixed, [0.3, 0.7], **known)
    assert mixture.score_samples([[0.0, 2.0]]) == pytest.approx(np.log(0.49) - 0.5 * np.log(4.0 * np.pi) - 9.0 / 4.0)
    started = Mixture(mixed, 2, weights_init=[0.3, 0.7], params_init=known, tol=1e-3).fit(mixture.sample(500)[0])
    assert started.means_[0, 0] < started.means_[1, 0]
    again = Mixture.from_parameters(Normal(), mixture.weights_, means=[0.0, 3.0], variances=[1.0, 2.0])
    assert again.n_features_in_ == 1
    record = Gaussian(n_components=2, n_features=1, covariance_type="diag").params(
        np.array([[0.0], [3.0]]), np.array([[1.0], [2.0]])
    )
    own = Mixture.from_parameters(Gaussian(covariance_type="diag"), [0.3, 0.7], record=record)
    np.testing.assert_array_equal(own.score_samples([1.0, 2.0]), again.score_samples([1.0, 2.0]))
    with pytest.raises(TypeError, match=r"has no setting 'rate'\. Do you mean 'rates'"):
        Mixture.from_parameters("poisson", [1.0], rate=[2.0])
    with pytest.raises(ValueError, match="Poisson has the parameters rates; got 'means'"):
        Mixture("poisson", 2, params_init={"means": [1.0, 2.0]}).fit(COUNTS)


HALVES = [0.5, 0.5]
SPREAD = {"means": [[0.0, 1.0], [1.0, 2.0]], "variances": [[1.0, 1.0], [1.0, 1.0]]}
CODED = ["normal", "categorical"]
ROWS_OF_TABLES = r"probabilities_ must be a list with an array of the shape \(n_components, n_categories\)"


@pytest.mark.parametrize(
    ("family", "weights", "given", "words"),
    [
        ("normal", HALVES, {"means": [0.0, 1.0]}, r"Normal has means, variances: give variances, too.*\(n_comp"),
        ("normal", HALVES, {"variances": [1.0, 1.0]}, "give means, too"),
        ("normal", HALVES, {}, "give means, variances, too"),
        ("normal", HALVES, {"means": [0.0, 1.0], "variances": "one"}, r"variances_ must hold .* shape \(2, 1\)"),
        ("normal", HALVES, {"means": [0.0, 1.0], "variances": None}, r"variances_ is missing\. Give .* \(2, 1\)"),
        ("normal", HALVES, SPREAD | {"variances": [[1.0], [1.0, 2.0]]}, r"variances_ must have .* \(2, 2\), got lists"),
        (StudentT(), HALVES, {"means": [0.0, 1.0]}, "StudentT has means, covariances: give covariances, too"),
        (StudentT(), HALVES, {"covariances": [0.0, 1.0]}, "give means, too"),
        ("gamma", HALVES, {"shapes": [1.0, 1.0]}, "Gamma has shapes, scales: give scales, too"),
        ("poisson", HALVES, {}, "Poisson has rates: give rates, too"),
        ("poisson", HALVES, {"rates": "many"}, r"rates_ must hold numbers in the shape \(n_components, n_features\)"),
        ("poisson", HALVES, {"rates": [[1.0], [2.0, 3.0]]}, r"rates_ must have the shape .*, got lists of diff"),
        ("poisson", HALVES, {"rates": 3.0}, r"rates_ must have the shape \(n_components, n_features\), got \(\)"),
        ("poisson", None, {"rates": [1.0, 2.0]}, r"weights is missing\. Give numbers of the shape \(n_components,\)"),
        ("poisson", 1.0, {"rates": [1.0, 2.0]}, r"weights must have the shape \(n_components,\), got \(\)"),
        ("poisson", [], {"rates": [1.0, 2.0]}, r"weights must have the shape \(n_components,\), got \(0,\)"),
        ("poisson", [HALVES], {"rates": [1.0, 2.0]}, r"weights must have the shape \(n_components,\), got \(1, 2\)"),
        ("poisson", "half", {"rates": [1.0, 2.0]}, r"weights must hold numbers in the shape \(n_components,\)"),
        ("poisson", [0.2, 0.3, 0.5], {"rates": [1.0, 2.0]}, r"weights must have .* \(2,\), as rates says; got \(3,\)"),
        ("poisson", HALVES, {"rates": [1.0, 2.0], "n_features": "two"}, "n_features must be a positive integer"),
        ("poisson", HALVES, {"record": 3}, "record must be a NamedTuple"),
        ("categorical", HALVES, {}, r"has probabilities: .*list with an array \(n_components, n_categories\)"),
        ("categorical", HALVES, {"probabilities": 0.5}, ROWS_OF_TABLES + ".*got 0.5"),
        ("categorical", HALVES, {"probabilities": None}, ROWS_OF_TABLES),
        ("categorical", HALVES, {"probabilities": "ab"}, ROWS_OF_TABLES),
        ("categorical", HALVES, {"probabilities": ["ab", "cd"]}, r"probabilities_\[0\] has dtype <U2"),
        ("categorical", HALVES, {"probabilities": [HALVES, HALVES]}, ROWS_OF_TABLES),
        ("categorical", HALVES, {"probabilities": {"a": [HALVES, HALVES]}}, ROWS_OF_TABLES),
        ("categorical", HALVES, {"probabilities": [[HALVES, [0.1, 0.2, 0.7]]]}, r"probabilities_\[0\] is not a table"),
        ("categorical", HALVES, {"probabilities": [[HALVES, HALVES], [[1.0]]]}, ROWS_OF_TABLES),
        (CODED, HALVES, SPREAD, "A list of kinds has means, variances, probabilities: give probabilities, too"),
        (CODED, HALVES, {"probabilities": [None, [HALVES, HALVES]]}, "give means, variances, too"),
        (CODED, HALVES, SPREAD | {"probabilities": 0.5}, ROWS_OF_TABLES),
        (CODED, HALVES, SPREAD | {"probabilities": [[HALVES, HALVES]]}, "family has 2 kinds, but .* of 1 columns"),
        (["normal", "poisson"], HALVES, {"means": SPREAD["means"]}, "give variances, too"),
        (["normal", "poisson"], HALVES, SPREAD | {"means": "ab"}, "means_ must hold numbers in the shape"),
    ],
    ids=lambda value: None,
)  # fmt: skip
def test_parameters_that_are_none_are_named_with_their_shape(family, weights, given, words):
    with pytest.raises(ValueError, match=words):
        Mixture.from_parameters(family, weights, **given)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((None, [0.0, 1.0], [1.0, 1.0]), r"weights is missing\. Give numbers of the shape \(2,\)"),
        (("ab", [0.0, 1.0], [1.0, 1.0]), r"weights must hold numbers in the shape \(2,\)"),
        ((HALVES, None, [1.0, 1.0]), r"means is missing\. Give numbers of the shape \(n_components, n_features\)"),
        ((HALVES, "ab", [1.0, 1.0]), r"means must hold numbers in the shape \(n_components, n_features\)"),
        (
            (HALVES, [[0.0], [1.0, 2.0]], [1.0, 1.0]),
            r"means must have the shape \(n_components, n_features\), got lists of different lengths",
        ),
        ((HALVES, [0.0, 1.0], None), r"covariances is missing\. Give numbers of the shape \(2, 1, 1\)"),
        ((HALVES, [0.0, 1.0], [[1.0], [1.0, 2.0]]), r"covariances must have the shape \(2, 1, 1\), got lists of diff"),
    ],
    ids=lambda value: None,
)
def test_gaussian_parameters_that_are_none_are_named_with_their_shape(arguments, words):
    with pytest.raises(ValueError, match=words):
        GaussianMixture.from_parameters(*arguments)


def test_a_start_of_other_categories_than_the_rows_have_says_why():
    start = {"probabilities": [[HALVES, HALVES]]}
    words = r"probabilities_init\[.\] has 2 categories, but this column has 1: the codes of the rows.*n_categories=2"
    with pytest.raises(ValueError, match=words):
        Mixture("categorical", 2, params_init=start).fit(np.zeros((9, 1)))
    with pytest.raises(ValueError, match=words):
        Mixture(CODED, 2, params_init=start | SPREAD | {"probabilities": [None, [HALVES, HALVES]]}).fit(
            np.column_stack([COUNTS, 0.0 * COUNTS])
        )
    assert Mixture(Categorical(2), 2, params_init=start).fit([0, 0, 1]).n_categories_.tolist() == [2]


def test_what_mixtures_and_chains_share_are_settings_of_both():
    for estimator in (Mixture, HMM):
        assert set(FamilyParameters._parameter_constraints) <= set(estimator._get_param_names())


def test_another_family_leaves_nothing_of_the_last_one():
    mixture = Mixture("poisson", 2, random_state=0).fit(COUNTS)
    mixture.set_params(family="exponential").fit(COUNTS)
    assert not hasattr(mixture, "rates_")
    assert hasattr(mixture, "means_")
    before = mixture.score(COUNTS)
    mixture.means_ = mixture.means_ * 2.0
    assert mixture.score(COUNTS) < before
    assert mixture.params_.means == pytest.approx(mixture.means_)


@dataclass(frozen=True, eq=False)
class OwnFamily(Gaussian):
    """A family with an option of its own."""

    covariance_type: str = "diag"
    ridge: float = 0.0

    def m_step(self, stats, params):
        params, repairs = super().m_step(stats, params)
        return self.params(params.means, params.covariances + self.ridge), repairs


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_family_of_ones_own_has_options_too(tmp_path):
    labels = (COUNTS > 5).astype(int)
    plain = Mixture(OwnFamily(), 2, init_params=labels).fit(COUNTS)
    ridged = clone(plain).set_params(family__ridge=3.0).fit(COUNTS)
    assert ridged.params_.covariances.min() >= 3.0
    assert plain.params_.covariances.min() < 3.0
    assert pickle.loads(pickle.dumps(ridged)).score(COUNTS) == ridged.score(COUNTS)
    with pytest.raises(TypeError, match="a family that no file can hold"):
        ridged.save(tmp_path / "model.npz")
    assert HMM(OwnFamily(ridge=1.0), 2, random_state=0).fit(COUNTS).params_.covariances.min() >= 1.0


def test_tags_follow_the_family():
    tags = {family: Mixture(family).__sklearn_tags__().input_tags for family in ("normal", "poisson", "exponential")}
    assert [(each.positive_only, each.categorical) for each in tags.values()] == [
        (False, False), (True, True), (True, False)
    ]  # fmt: skip
    mixed = Mixture(["poisson", "normal"]).__sklearn_tags__().input_tags
    assert (mixed.positive_only, mixed.categorical) == (False, False)
