"""Options are values: frozen records, seen and set through the estimator that holds them."""

from __future__ import annotations

import inspect
import pickle
import re
import warnings
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

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
from fastem._naming import naming
from fastem.estimators._files import OPTIONS
from fastem.families import Normal

HELD = {"means_init": [[1.0]], "fixed": Fixed(means=True)}
SAMPLES = Batch(subsample=Subsample())
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
    [(GaussianMixture, 24), (Mixture, 20), (GaussianHMM, 23), (HMM, 22), (PoissonHMM, 22), (CategoricalHMM, 22)],
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
    assert {type(record) for record in RECORDS} == set(OPTIONS)
    assert {kind.__name__ for kind in OPTIONS} <= set(fastem.__all__)


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
        (
            Mixture("normal", 2, fixed=Fixed(means=True)),
            "can fix weights, not means. Leave means out of fixed=Fixed",
        ),
        (
            Mixture("normal", 2, schedule=Batch(bins=64)),
            r"not of Mixture. Use schedule=Batch\(bins=None\)",
        ),
        (Mixture("normal", 2, prior=NormalInverseWishart()), "'prior' parameter of Mixture"),
        (
            GaussianMixture(2, search=Race(init="random")),
            r"is an option of hidden Markov models, .*search=Race\(init=",
        ),
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


@pytest.mark.parametrize(
    ("words", "use"),
    [
        ("schedule=Batch(bins=None)", lambda: Mixture("normal", 2, schedule=Batch(bins=64)).fit([0.0, 1.0])),
        ("schedule=Batch(bins=None)", lambda: GaussianMixture(2, schedule=Batch(bins=4)).fit(np.eye(9)[:, 0])),
        ("schedule=Batch(bins=None)", lambda: GaussianMixture(1, schedule=Batch(bins=64)).fit_histogram([1], [0, 1])),
        ("schedule=Batch(subsample=None)", lambda: GaussianMixture(1, schedule=SAMPLES).fit_histogram([1], [0, 1])),
        ("search=Race(swaps=0)", lambda: GaussianMixture(1, **HELD, search=Race(swaps=1)).fit([0.0, 1.0])),
        ("search=Race(init=...)", lambda: GaussianMixture(1, search=Race(init="random")).fit([0.0, 1.0])),
        ("fixed=Fixed(...)", lambda: Mixture("normal", 1, fixed=Fixed(means=True)).fit([0.0, 1.0])),
        ("fixed=Fixed(weights=...)", lambda: Mixture("normal", 1, fixed=Fixed(weights=True)).fit([0.0, 1.0])),
        ("fixed=Fixed(means=...)", lambda: GaussianMixture(1, fixed=Fixed(means=[1, 0])).fit([0.0, 1.0])),
        (
            "prior=NormalInverseWishart(mean=...)",
            lambda: GaussianMixture(1, prior=NormalInverseWishart(mean=[0.0, 1.0])).fit([0.0, 1.0]),
        ),
        ("family", lambda: Mixture(["normal", "weibull"], 1).fit(np.eye(2))),
        ("family", lambda: Mixture([Normal(floor=0.1), Normal(floor=0.2)], 1).fit(np.eye(2))),
        ("batch_size", lambda: Online(batch_size=0)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_messages_call_options_as_their_reader_does(words, use):
    """As the user writes them; or by the names of a program that hands them on."""
    for name, names in ((words, {}), ("--as-here", {words: "--as-here"})):
        with naming(names), pytest.raises(ValueError, match=re.escape(name)):
            use()


# The law: every option of a record changes the course of a fit; none is taken and ignored.

RANDOM = np.random.default_rng(0)
# Two clusters that overlap, so that EM is slow; and nine that lie apart, of which a start may miss some.
ROWS = np.concatenate([RANDOM.normal(0.0, 1.0, 2000), RANDOM.normal(2.5, 1.0, 4000)])[RANDOM.permutation(6000), None]
RANDOM_COUNTS = RANDOM.poisson(3.0, (400, 1)).astype(float)
FEW = ROWS[:300]
APART = (10.0 * np.arange(9)[:, None] + RANDOM.normal(size=(9, 30))).reshape(-1, 1)[RANDOM.permutation(270)]


def course(model):
    """All that a fit went through and came to."""
    report = model.fit_report_
    online = None if report.online is None else (report.online.n_updates, report.online.prequential_loglik)
    params = [model._params.latent, model._params.family]
    return (
        model.n_iter_ if hasattr(model, "n_iter_") else None,
        getattr(model, "lower_bounds_", None),
        (report.n_rows_subsample, report.n_iter_reduced, online),
        [np.asarray(field).tobytes() for record in params for field in record],
    )


def mixture(X=FEW, n_components=2, **settings):
    def fitted(**option):
        asked = {"init_params": "kmeans", "random_state": 0, "max_iter": 8, "tol": 1e-3, **settings, **option}
        return course(GaussianMixture(n_components, **asked).fit(X))

    return fitted


def chain(search):
    return course(GaussianHMM(3, random_state=0, n_iter=2, search=search).fit(APART))


def streamed(schedule):
    return course(GaussianMixture(2, random_state=0, schedule=schedule).partial_fit(ROWS))


def alarms(schedule):
    """How often a callable was called while the rows changed, if that is the option that was given."""
    calls = []
    schedule = replace(schedule, on_drift=schedule.on_drift and calls.append)
    GaussianMixture(2, random_state=0, schedule=schedule).partial_fit(np.concatenate([ROWS, ROWS + 1e3]))
    return len(calls)


def kept(checkpoint):
    """Whether the file was there at each pass."""
    path, seen = Path(checkpoint.path), []

    def read():
        seen.append(path.exists())
        return iter([FEW])

    mixture(read, schedule="plain")(checkpoint=checkpoint)
    path.unlink()
    return seen


def places(checkpoint):
    """Where a file was left."""
    mixture()(checkpoint=checkpoint)
    left = sorted(path.name for path in Path(checkpoint.path).parent.iterdir())
    Path(checkpoint.path).unlink()
    return left


def scheduled(X=FEW, **settings):
    return lambda schedule: mixture(X, **settings)(schedule=schedule)


def sampled(subsample):
    return mixture(ROWS)(schedule=Batch(subsample=subsample))


def with_prior(prior):
    return mixture()(prior=prior)


def counted(prior):
    rows = np.concatenate([RANDOM_COUNTS[:100], RANDOM_COUNTS[100:] + 9.0])
    return course(Mixture("poisson", 2, prior=prior, random_state=0, max_iter=8).fit(rows))


def with_fixed(fixed):
    start = {"weights_init": [0.3, 0.7], "means_init": [[0.0], [3.0]], "precisions_init": [[[1.0]], [[2.0]]]}
    return mixture(**start)(fixed=fixed)


def searching(search):
    # Two starts in the same cluster, so that there is something to swap.
    return mixture(APART, 9, init_params=np.minimum(np.arange(270) // 9, 8))(search=search)


PLAIN = Batch(acceleration=None, subsample=None)
SAMPLED = Subsample(min_rows=1, sample_rows=2400, rows_per_parameter=0, part=2, min_rows_per_parameter=0, growth=4)
STREAM = Online(batch_size=100)
PRIOR = NormalInverseWishart()

# Of each option a record, another value of it, and what is fitted.
LAW = {
    (Batch, "acceleration"): (PLAIN, "squarem", scheduled(tol=1e-9, max_iter=40)),
    (Batch, "subsample"): (Batch(subsample=None), SAMPLED, scheduled(ROWS)),
    (Batch, "bins"): (PLAIN, 64, scheduled(ROWS)),
    (Subsample, "min_rows"): (SAMPLED, 6001, sampled),
    (Subsample, "sample_rows"): (SAMPLED, 2000, sampled),
    (Subsample, "rows_per_parameter"): (SAMPLED, 500, sampled),
    (Subsample, "part"): (SAMPLED, 4, sampled),
    (Subsample, "min_rows_per_parameter"): (SAMPLED, 600, sampled),
    (Subsample, "growth"): (SAMPLED, 2, sampled),
    (Online, "batch_size"): (STREAM, 50, streamed),
    (Online, "decay"): (STREAM, 0.9, streamed),
    (Online, "offset"): (STREAM, 20.0, streamed),
    (Online, "averaging_start"): (STREAM, 3, streamed),
    (Online, "forgetting_factor"): (STREAM, 0.999, streamed),
    (Online, "half_life"): (STREAM, 500.0, streamed),
    (Online, "on_drift"): (STREAM, print, alarms),
    (NormalInverseWishart, "weight_concentration"): (PRIOR, 50.0, with_prior),
    (NormalInverseWishart, "mean"): (NormalInverseWishart(mean_precision=50.0), [9.0], with_prior),
    (NormalInverseWishart, "mean_precision"): (NormalInverseWishart(mean=[9.0]), 50.0, with_prior),
    (NormalInverseWishart, "degrees_of_freedom"): (NormalInverseWishart(covariance=[[9.0]]), 50.0, with_prior),
    (NormalInverseWishart, "covariance"): (PRIOR, None, with_prior),
    (Dirichlet, "weight_concentration"): (Dirichlet(), 50.0, counted),
    (Fixed, "weights"): (Fixed(), [True, True], with_fixed),
    (Fixed, "means"): (Fixed(), [True, False], with_fixed),
    (Fixed, "covariances"): (Fixed(), [False, True], with_fixed),
    (Race, "swaps"): (Race(swaps=0), 4, searching),
    (Race, "init"): (Race(), "random", chain),
    (Restarts, "swaps"): (Restarts(), 4, searching),
    (Restarts, "init"): (Restarts(), "random", chain),
    (Checkpoint, "path"): (Checkpoint("one.npz"), "other.npz", places),
    (Checkpoint, "every"): (Checkpoint("fit.npz", every=1e9), 0.0, kept),
}


def test_the_law_speaks_of_every_option():
    assert set(LAW) == {(kind, field.name) for kind in OPTIONS for field in fields(kind)}


@pytest.mark.parametrize(("kind", "name"), LAW, ids=lambda value: getattr(value, "__name__", value))
def test_an_option_changes_the_course_of_a_fit(kind, name, tmp_path):
    record, value, run = LAW[kind, name]
    other = replace(record, **{name: value})
    if kind is Checkpoint:
        record, other = (replace(each, path=tmp_path / each.path) for each in (record, other))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        before, again, after = run(record), run(record), run(other)
    assert before == again
    assert before != after
