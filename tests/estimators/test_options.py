"""Options are values: frozen records, seen and set through the estimator that holds them."""

from __future__ import annotations

import inspect
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

import fastem
from fastem import (
    HMM,
    Batch,
    CategoricalHMM,
    Checkpoint,
    Dirichlet,
    Fixed,
    GaussianHMM,
    GaussianMixture,
    Incremental,
    Mixture,
    NormalInverseWishart,
    Online,
    PoissonHMM,
    Race,
    Restarts,
    Subsample,
    select,
)
from fastem.estimators.options import KINDS

RECORDS = [
    Batch(acceleration=None, bins=64),
    Batch(subsample=Subsample(min_rows=10)),
    Checkpoint("fit.npz", every=5.0),
    Dirichlet(2.0),
    Fixed(means=[True, False], weights="equal"),
    Incremental(),
    NormalInverseWishart(mean=np.array([1.0, 2.0]), covariance=None),
    Online(half_life=100.0, batch_size=50),
    Race(swaps=3),
    Restarts(init="random"),
    Subsample(part=4),
]


@pytest.fixture
def X():
    random = np.random.default_rng(0)
    return np.concatenate([random.normal(size=(150, 2)), [4.0, 1.0] + random.normal(size=(250, 2))])


@pytest.mark.parametrize(
    ("make", "most"),
    [(GaussianMixture, 24), (Mixture, 20), (GaussianHMM, 22), (HMM, 22), (PoissonHMM, 22), (CategoricalHMM, 22)],
)
def test_a_signature_names_every_keyword_and_not_too_many(make, most):
    parameters = inspect.signature(make).parameters
    assert len(parameters) <= most
    assert {p.kind for p in parameters.values()} <= {
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    }
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_componets'"):
        make(n_componets=2)


def test_all_records_are_tried_and_public():
    assert {type(record).__name__ for record in RECORDS} == set(KINDS)
    assert set(KINDS) <= set(fastem.__all__)


@pytest.mark.parametrize("record", RECORDS, ids=repr)
def test_a_record_is_a_value(record):
    again = type(record)(**record.get_params(deep=False))
    assert again == record
    assert clone(record) == record
    assert pickle.loads(pickle.dumps(record)) == record
    assert repr(again) == repr(record)
    assert record != object()
    name = next(iter(record.get_params()), "x")
    with pytest.raises((FrozenInstanceError, AttributeError)):
        setattr(record, name, None)
    changed = [Subsample(), Dirichlet(), Batch(), Online(), Fixed(), Race(), Restarts(), NormalInverseWishart()]
    assert type(record) is Incremental or record not in changed


def test_a_representation_leaves_out_defaults():
    assert repr(Batch()) == "Batch()"
    assert repr(Online(batch_size=50, decay=0.6)) == "Online(batch_size=50)"
    assert repr(Checkpoint("a")) == "Checkpoint(path='a')"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Online(batch_size=0),
            r"'batch_size' parameter of Online must be an int in the range \[1, inf\) or None",
        ),
        (lambda: Online(decay=0.5), "'decay' parameter of Online"),
        (lambda: Online(offset=0.5), "'offset' parameter of Online"),
        (lambda: Online(averaging_start=-1), "'averaging_start' parameter of Online"),
        (lambda: Online(forgetting_factor=1.0), "'forgetting_factor' parameter of Online"),
        (lambda: Online(half_life=0.0), "'half_life' parameter of Online"),
        (lambda: Online(on_drift=1), "'on_drift' parameter of Online"),
        (lambda: Online(half_life=9.0, forgetting_factor=0.9), "same thing in two ways"),
        (lambda: Online(half_life=9.0, decay=0.9), "not in force with forgetting_factor or half_life"),
        (lambda: Batch(acceleration="squarm"), "'acceleration' parameter of Batch .* Do you mean 'squarem'"),
        (lambda: Batch(subsample=True), "'subsample' parameter of Batch"),
        (lambda: Batch(bins=0), "'bins' parameter of Batch"),
        (lambda: Batch(bins=64, subsample=Subsample()), "bins or a subsample, not both"),
        (lambda: Subsample(growth=1), "'growth' parameter of Subsample"),
        (lambda: Race(swaps=-1), "'swaps' parameter of Race"),
        (lambda: Restarts(swaps="auto"), "'swaps' parameter of Restarts"),
        (lambda: Race(init="quantile"), "'init' parameter of Race"),
        (lambda: NormalInverseWishart(weight_concentration=0.5), "'weight_concentration' parameter"),
        (lambda: NormalInverseWishart(mean="mean"), "'mean' parameter of NormalInverseWishart"),
        (lambda: NormalInverseWishart(mean_precision=0.0), "'mean_precision' parameter"),
        (lambda: NormalInverseWishart(degrees_of_freedom=-1.0), "'degrees_of_freedom' parameter"),
        (lambda: NormalInverseWishart(covariance="data"), "'covariance' parameter of NormalInverseWishart"),
        (lambda: Dirichlet(0.5), "'weight_concentration' parameter of Dirichlet"),
        (lambda: Fixed(weights="some"), "'weights' parameter of Fixed"),
        (lambda: Fixed(means=3), "'means' parameter of Fixed"),
        (lambda: Fixed(covariances="all"), "'covariances' parameter of Fixed"),
        (lambda: Checkpoint(5), "'path' parameter of Checkpoint"),
        (lambda: Checkpoint("a", every=-1.0), "'every' parameter of Checkpoint"),
    ],
)
def test_a_record_that_makes_no_sense_cannot_be_written(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_options_of_a_word_are_those_of_its_record():
    params = GaussianMixture(schedule="online").get_params()
    assert params["schedule"] == "online"
    assert {name: params[f"schedule__{name}"] for name in Online().get_params()} == Online().get_params()
    assert params["fixed__weights"] is False
    assert params["schedule__batch_size"] is None
    assert "schedule__acceleration" not in params
    assert GaussianMixture().get_params()["schedule__subsample__min_rows"] == 1_000_000
    assert not any("__" in name for name in GaussianMixture().get_params(deep=False))
    assert GaussianMixture(checkpoint="fit.npz").get_params()["checkpoint__every"] == 60.0


@pytest.mark.parametrize(
    ("settings", "changes", "name", "expected"),
    [
        ({"schedule": "online"}, {"schedule__batch_size": 5}, "schedule", Online(batch_size=5)),
        ({}, {"schedule": "online", "schedule__batch_size": 5}, "schedule", Online(batch_size=5)),
        ({}, {"schedule__acceleration": None}, "schedule", Batch(acceleration=None)),
        ({"schedule": "plain"}, {"schedule__bins": 64}, "schedule", Batch(acceleration=None, subsample=None, bins=64)),
        ({}, {"schedule__subsample__part": 4}, "schedule", Batch(subsample=Subsample(part=4))),
        ({}, {"prior__mean_precision": 2.0}, "prior", NormalInverseWishart(mean_precision=2.0)),
        (
            {"prior": None},
            {"prior__mean_precision": 2.0},
            "prior",
            NormalInverseWishart(mean_precision=2.0, covariance=None),
        ),
        ({}, {"fixed__weights": "equal"}, "fixed", Fixed(weights="equal")),
        ({"search": "restarts"}, {"search__swaps": 2}, "search", Restarts(swaps=2)),
        ({"checkpoint": "a.npz"}, {"checkpoint__every": 1.0}, "checkpoint", Checkpoint("a.npz", every=1.0)),
    ],
)
def test_an_option_is_set_through_its_owner(settings, changes, name, expected):
    mixture = GaussianMixture(**settings)
    before = getattr(mixture, name)
    assert mixture.set_params(**changes) is mixture
    assert getattr(mixture, name) == expected
    assert getattr(GaussianMixture(**settings), name) == before
    assert clone(mixture).get_params(deep=False)[name] == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"schedule__batch_size": 5},
            r"batch_size is an option of Online, but schedule is 'batch'\. Set schedule=Online",
        ),
        ({"schedule__acceleratio": None}, "schedule='batch' has no option 'acceleratio'. Do you mean 'acceleration'"),
        ({"search__steps": 3}, "search='race' has no option 'steps'. It has swaps, init"),
        ({"checkpoint__every": 3.0}, "every is an option of Checkpoint, but checkpoint is None"),
        ({"tol__x": 3}, "tol=1e-05 has no option 'x'. It has no options"),
        ({"colour": 3}, "Invalid parameter 'colour'"),
        ({"schedule": "online", "schedule__batch_size": 0}, "'batch_size' parameter of Online"),
    ],
)
def test_an_option_that_is_not_in_force_is_refused_and_nothing_changes(changes, message):
    mixture = GaussianMixture()
    with pytest.raises(ValueError, match=message):
        mixture.set_params(**changes)
    assert mixture.get_params(deep=False) == GaussianMixture().get_params(deep=False)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (Mixture("normal", 2, fixed=Fixed(means=True)), "Mixture can fix weights, not means"),
        (Mixture("normal", 2, schedule=Batch(bins=64)), "bins are of GaussianMixture, not of Mixture"),
        (Mixture("normal", 2, prior=NormalInverseWishart()), "'prior' parameter of Mixture"),
        (GaussianMixture(2, search=Race(init="random")), "init is an option of hidden Markov models"),
        (GaussianHMM(2, schedule=Batch(bins=64)), "of mixtures, whose rows are independent"),
        (GaussianHMM(2, schedule=Batch(subsample=Subsample())), "of mixtures, whose rows are independent"),
        (GaussianHMM(2, search=Race(swaps=1)), "swaps are of mixtures"),
        (GaussianHMM(2, schedule=Online()), "'schedule' parameter of GaussianHMM"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_another_model_has_is_refused(estimator, message, X):
    with pytest.raises(ValueError, match=message):
        estimator.fit(X)


def test_a_selection_learns_by_batches(X):
    for schedule in ("online", "incremental", Batch(bins=512)):
        with pytest.raises(ValueError, match=r"select fits by batch EM, not by schedule=.*Batch\(...\) without bins"):
            select(X, n_components=[1, 2], schedule=schedule)
    with pytest.raises(TypeError, match="no setting 'checkpoint', which is of a single fit"):
        select(X, checkpoint="fit.npz")
    found = select(X, n_components=[1, 2], covariance_types="full", random_state=0, schedule__acceleration="squarem")
    assert found.best_estimator_.schedule == Batch(acceleration="squarem")


def test_a_search_over_an_option(X):
    grid = {"schedule__batch_size": [20, 50], "prior__weight_concentration": [1.0, 5.0]}
    mixture = GaussianMixture(2, schedule="online", max_iter=2, random_state=0)
    with pytest.warns(ConvergenceWarning):
        found = GridSearchCV(mixture, grid, cv=2).fit(X)
    assert found.best_params_.keys() == grid.keys()
    assert found.best_estimator_.schedule == Online(batch_size=found.best_params_["schedule__batch_size"])
    assert mixture.schedule == "online"


def test_options_survive_pickle_and_file(tmp_path, X):
    prior = NormalInverseWishart(mean=[0.0, 1.0], covariance=np.eye(2))
    schedule = Batch(acceleration="squarem", subsample=Subsample(min_rows=50))
    mixture = GaussianMixture(
        2, means_init=X[:2], prior=prior, schedule=schedule, fixed=Fixed(means=[True, False]), search=Restarts(),
        checkpoint=Checkpoint(tmp_path / "fit.npz", every=9.0), random_state=0,
    ).fit(X)  # fmt: skip
    assert pickle.loads(pickle.dumps(mixture)).schedule == schedule
    mixture.save(tmp_path / "model.npz")
    loaded = fastem.load(tmp_path / "model.npz")
    assert (loaded.schedule, loaded.search, loaded.checkpoint) == (schedule, Restarts(), None)
    assert np.array_equal(loaded.prior.mean, prior.mean)
    assert np.array_equal(loaded.prior.covariance, prior.covariance)
    assert np.array_equal(loaded.fixed.means, [True, False])
    assert loaded.fixed.weights is False
    stream = GaussianMixture(2, schedule=Online(batch_size=50, on_drift=print), random_state=0).partial_fit(X)
    stream.save(tmp_path / "stream.npz")
    # What is called belongs to a process, not to a model.
    assert fastem.load(tmp_path / "stream.npz").schedule == Online(batch_size=50)


def test_a_word_and_its_record_fit_alike(X):
    for word, record in (("batch", Batch()), ("plain", Batch(acceleration=None, subsample=None)), ("online", Online())):
        one, other = (
            GaussianMixture(2, schedule=schedule, tol=1e-3, random_state=0).fit(X) for schedule in (word, record)
        )
        assert one.lower_bounds_ == other.lower_bounds_
    one, other = (
        GaussianMixture(2, prior=prior, random_state=0).fit(X) for prior in ("vanishing", NormalInverseWishart())
    )
    assert one.lower_bounds_ == other.lower_bounds_


def test_partial_fit_learns_by_the_schedule_where_it_is_online(X):
    slow = GaussianMixture(2, schedule=Online(batch_size=200), random_state=0).partial_fit(X)
    quick = GaussianMixture(2, schedule=Online(batch_size=40), random_state=0).partial_fit(X)
    assert quick.n_steps_ == 5 * slow.n_steps_
    plain, other = (GaussianMixture(2, schedule=s, random_state=0).partial_fit(X) for s in ("batch", Online()))
    np.testing.assert_array_equal(plain.means_, other.means_)


def test_a_checkpoint_is_bound_by_options_not_by_their_spelling(tmp_path, X):
    settings = {"checkpoint": tmp_path / "fit.npz", "random_state": 0}
    GaussianMixture(2, **settings).fit(X)
    GaussianMixture(2, **settings, schedule=Batch()).fit(X, resume=True)
    with pytest.raises(ValueError, match="schedule__acceleration='auto', but now it is None"):
        GaussianMixture(2, **settings, schedule="plain").fit(X, resume=True)
    with pytest.raises(ValueError, match="schedule='Batch', but now it is 'Online'"):
        GaussianMixture(2, **settings, schedule="online").fit(X, resume=True)


def test_transitions_with_a_prior_of_zero_are_impossible():
    truth = GaussianHMM.from_parameters([1, 0], [[0.9, 0.1], [0.2, 0.8]], [0.0, 6.0], [1.0, 1.0])
    x, _ = truth.sample(400, random_state=0)
    hmm = GaussianHMM(2, transmat_prior=[[3.0, 2.0], [0.0, 1.0]], random_state=0, n_iter=5, tol=0.0)
    with pytest.warns(ConvergenceWarning):
        hmm.fit(x)
    assert hmm.transmat_[1, 0] == 0.0
    np.testing.assert_array_equal(hmm._model.latent.transition_prior, [[3.0, 2.0], [1.0, 1.0]])
