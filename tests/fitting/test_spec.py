"""What the engine is handed: a value that says all, without an estimator behind it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from fastem import Batch, GaussianHMM, GaussianMixture, Online, Race
from fastem.families.gaussian.family import Gaussian
from fastem.fitting.batch import BatchStrategy
from fastem.fitting.fixed import FixedModel
from fastem.fitting.run import Fit, Owner
from fastem.fitting.spec import ModelSpec
from fastem.fitting.starting import LastParams, MixtureStart
from fastem.fitting.stream import Learner
from fastem.fitting.summary import summary_of
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model
from fastem.schedules.online import OnlineSettings, estimate
from fastem.schedules.result import Reason
from fastem.schedules.steps import StepSize
from fastem.search.sample_race import starts_of
from fastem.sources import ArraySource

PLAIN = {"prior": None, "schedule": Batch(subsample=None), "random_state": 0}


def rows(n_rows=400):
    random = np.random.default_rng(0)
    return random.normal(size=(n_rows, 1)) + np.repeat([0.0, 6.0], n_rows // 2)[:, None]


def two_gaussians(**changes):
    """Two Gaussians of one feature, as `GaussianMixture(2, **PLAIN)` tells them."""
    spec = ModelSpec(
        n_components=2,
        make_latent=lambda: MixtureLatent(2),
        make_family=lambda source: Gaussian(n_components=2, n_features=source.n_features, covariance_type="full"),
        scale_family=lambda family, stats, n_rows: family.with_data_scale(stats, 1e-10),
        make_start=MixtureStart("k-means++", lambda model, start: start()),
        make_learning=lambda summary: BatchStrategy(tol=1e-5, max_iter=1000, acceleration="auto"),
        online=lambda model: OnlineSettings(StepSize(0.6, 2.0), min_rows=2.0),
        generator=GaussianMixture(random_state=0)._generator,
        tol=1e-5,
        max_iter=1000,
    )
    return replace(spec, **changes)


@pytest.mark.parametrize(("n_init", "search"), [(1, "restarts"), (3, "restarts"), (3, Race(swaps=0))])
def test_a_fit_needs_no_estimator(n_init, search):
    source, shown = ArraySource(rows()), []
    spec = two_gaussians(n_init=n_init, races=isinstance(search, Race))
    summary = summary_of(spec, source)
    owner = Owner(lambda model, search, summary: shown.append((search, summary)), None, None)
    best = Fit(spec, summary, source, owner).run(starts_of(spec, summary, source))
    assert best.reason is Reason.CONVERGED
    mixture = GaussianMixture(2, n_init=n_init, search=search, **PLAIN).fit(source.X)
    np.testing.assert_array_equal(best.params.family.means, mixture.means_)
    ((told, last),) = shown
    assert told.best is best
    assert last is summary, "it is there when the fit is over"


def test_a_stream_needs_no_estimator():
    X, shown = rows(), []
    learner = Learner(two_gaussians(batch_size=50), None, lambda model, stream: shown.append((model, stream)), None)
    source = ArraySource(np.random.default_rng(1).permutation(X))
    stream = learner.begin(source, None)
    learner.learn(source, stream)
    ((model, told),) = shown
    assert told is stream
    assert stream.n_rows == len(X)
    schedule = Online(batch_size=50)
    mixture = GaussianMixture(2, **{**PLAIN, "schedule": schedule}).partial_fit(source.X)
    np.testing.assert_array_equal(estimate(model, stream.state).family.means, mixture.means_)


def test_it_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        two_gaussians().tol = 1.0


def test_attributes_that_are_set_later_do_not_reach_it():
    hmm = GaussianHMM(2, params="mc", init_params="mc")
    hmm.startprob_, hmm.transmat_ = [1.0, 0.0], [[0.5, 0.5], [0.0, 1.0]]
    spec = hmm._model_spec()
    hmm.transmat_ = [[0.5, 0.5], [0.5, 0.5]]
    np.testing.assert_array_equal(spec.make_latent().allowed, [[True, True], [False, True]])


@pytest.mark.parametrize(
    ("params", "fixed", "holds_family"),
    [(None, "", False), ("mc", "st", False), ("st", "mc", True), ("sm", "tc", False)],
)
def test_what_is_fixed_makes_another_model(params, fixed, holds_family):
    spec = GaussianHMM(2, params=params)._model_spec()
    assert (spec.fixed, spec.holds_family) == (fixed, holds_family)
    model = summary_of(spec, ArraySource(rows(20))).model
    assert type(model) is (FixedModel if fixed else Model)
    if fixed:
        assert (model.fixed, model.whole_family) == (fixed, holds_family)


def test_the_last_fit_is_the_only_start_that_goes_on_from_it():
    mixture = GaussianMixture(2, n_init=3, warm_start=True, **PLAIN)
    assert isinstance(mixture._model_spec().make_start, MixtureStart)
    mixture.fit(rows())
    spec = mixture._model_spec()
    assert isinstance(spec.make_start, LastParams)
    assert (spec.n_init, spec.races, spec.swaps) == (1, False, 0)


def test_what_must_be_the_same_is_told_without_what_may_change():
    mixture = GaussianMixture(2, checkpoint="fit.npz", schedule=Batch(acceleration=None), random_state=0)
    keeping = mixture._model_spec().keeping
    assert (keeping.path, keeping.every) == ("fit.npz", 60.0)
    assert keeping.binding["schedule"] == "Batch"
    assert keeping.binding["schedule__acceleration"] is None
    assert keeping.binding["random_state"] == 0
    assert not {"tol", "max_iter", "checkpoint", "n_threads", "verbose"} & set(keeping.binding)
    assert "random_state" not in mixture.set_params(random_state=None)._model_spec().keeping.binding
    assert GaussianMixture()._model_spec().keeping is None
