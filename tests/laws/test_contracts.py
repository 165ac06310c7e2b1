"""The contracts of families and latent structures: each method by a law, over every one of them."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

from fastem import Mixture as MixtureModel
from fastem import contracts
from fastem.families.base import FamilyBase
from fastem.fitting.numeric import ByDifferences, stats_of
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.passes.blocks import register_family
from fastem.stats import Additive
from tests.cases import FAMILIES, MIXTURE_CASES, assert_close, e_step

CAPABILITIES = [
    contracts.HasUnconstrained,
    contracts.HasExpectedLogProb,
    contracts.HasStats,
    contracts.HasMarginals,
    contracts.HasGradients,
]


def methods_of(contract):
    return {name: value for name, value in vars(contract).items() if inspect.isfunction(value) and name[0] != "_"}


def require_methods(kind, contract):
    for name, asked in methods_of(contract).items():
        own, n_asked = inspect.signature(getattr(kind, name)).parameters, len(inspect.signature(asked).parameters)
        assert list(own)[:n_asked] == list(inspect.signature(asked).parameters), f"{kind.__name__}.{name}"
        assert all(more.default is not more.empty for more in list(own.values())[n_asked:])


@pytest.mark.parametrize("observed", FAMILIES, ids=lambda case: case.name)
def test_a_family_has_every_method_as_the_contract_names_it(observed):
    family = observed.family(3, 2)
    require_methods(type(family), contracts.Family)
    for capability in CAPABILITIES:
        if capability is contracts.HasExpectedLogProb and not observed.tells_log_prob:
            assert not isinstance(family, capability)
            continue
        assert isinstance(family, capability)
        require_methods(type(family), capability)


@pytest.mark.parametrize("module", ["mixture", "hmm"])
def test_a_latent_structure_has_every_method_as_the_contract_names_it(module):
    kind = {"mixture": "MixtureLatent", "hmm": "HmmLatent"}[module]
    require_methods(getattr(importlib.import_module(f"fastem.latents.{module}"), kind), contracts.Latent)


def test_coordinates_lead_back(case):
    for n_components, n_features in [(1, 1), (3, 2), (2, 5)]:
        model = case.model(n_components, n_features)
        params = case.params(model)
        point = model.to_unconstrained(params)
        assert point.ndim == 1
        assert model.roots(point).shape == point.shape
        assert_close(model.from_unconstrained(point), params, rtol=1e-12)


@pytest.mark.parametrize("own", [own for own in MIXTURE_CASES if own.observed.tells_log_prob], ids=lambda own: own.name)
def test_statistics_tell_by_how_much_their_likelihood_changes(own):
    """One component: the log-likelihood of rows, and of their statistics, differ by what no parameter changes."""
    model = own.model(1)
    X = own.rows(model, 300)
    here, there = own.params(model, 0), own.params(model, 5)
    stats = e_step(model, here, X)
    change = e_step(model, there, X).loglik - stats.loglik
    told = model.expected_log_prob(there, stats) - model.expected_log_prob(here, stats)
    assert told == pytest.approx(change, rel=1e-9, abs=1e-7)


def test_an_m_step_of_no_rows_is_proper(case):
    model = case.model()
    params = case.params(model)
    zero = 0.0 * e_step(model, params, case.rows(model, 50))
    again, _ = model.m_step(zero, params)
    assert all(np.all(np.isfinite(field)) for field in again.family)


@pytest.mark.parametrize("observed", FAMILIES, ids=lambda case: case.name)
def test_what_was_learnt_from_data_can_be_handed_on(observed):
    family = observed.family(1, 2)
    model = Model(MixtureLatent(1), family)
    params = Params(model.latent.params([1.0]), observed.params(family, np.random.default_rng(0)))
    X = model.sample(params, 200, np.random.default_rng(1))[0]
    stats = e_step(model, params, X).family
    learnt = family.with_data_scale(stats)
    again = observed.family(1, 2).with_constraints(learnt.constraints())
    assert_close(again.m_step(stats, params.family)[0], learnt.m_step(stats, params.family)[0])
    assert again.constraints().keys() == learnt.constraints().keys()
    assert again.with_components(4).n_components == 4


class _Described(NamedTuple):
    total: np.ndarray
    unit: np.ndarray


class Described(Additive, _Described):
    __slots__ = ()
    shared = ("unit",)


def test_records_that_are_described_otherwise_do_not_add():
    grams, pounds = Described(np.ones(2), np.array([1.0])), Described(np.ones(2), np.array([453.6]))
    assert (grams + grams).total.tolist() == [2.0, 2.0]
    with pytest.raises(ValueError, match=r"Two records of Described differ in unit"):
        grams + pounds


# A family that says six things.


class GeometricParams(NamedTuple):
    success: np.ndarray


class _Fields(NamedTuple):
    n: np.ndarray
    failures: np.ndarray


class GeometricStats(Additive, _Fields):
    __slots__ = ()


@dataclass(frozen=True)
class Geometric(FamilyBase):
    n_components: int = 0
    n_features: int = 0

    stats_type = GeometricStats

    def m_step(self, stats, params):
        success = (stats.n + 1e-9) / (stats.n + stats.failures + 2e-9)
        return GeometricParams(np.clip(success, 1e-12, 1.0 - 1e-12)), []

    def sample(self, params, component, n_rows, random):
        return random.geometric(params.success[component], size=(n_rows, 1)) - 1.0

    def n_parameters(self):
        return self.n_components


def _log_prob_block(family_params, components, x, log_prob, scratch):
    for a in range(components.shape[0]):
        success = family_params.success[components[a]]
        for i in range(x.shape[1]):
            log_prob[a, i] = np.log(success) + x[0, i] * np.log1p(-success)


def _accumulate_block(family_params, components, x, resp, scratch, family_stats, lane):
    for a in range(components.shape[0]):
        for i in range(x.shape[1]):
            family_stats.n[lane, components[a]] += resp[a, i]
            family_stats.failures[lane, components[a]] += resp[a, i] * x[0, i]


register_family(GeometricParams, log_prob_block=_log_prob_block, accumulate_block=_accumulate_block)


@pytest.fixture(scope="module")
def failures():
    return np.random.default_rng(0).geometric(0.3, size=(4000, 1)) - 1.0


@pytest.mark.parametrize("information", ["empirical", "observed", "robust"])
def test_six_things_have_standard_errors(failures, information):
    mixture = MixtureModel(Geometric(), 1).fit(failures)
    p = mixture.params_.success[0]
    assert p == pytest.approx(1.0 / (1.0 + failures.mean()), rel=1e-9)
    errors = mixture.standard_errors(failures, information=information)
    assert errors.success[0] == pytest.approx(np.sqrt(p**2 * (1.0 - p) / 4000), rel=0.05)
    assert errors.names == ("weights[0]", "success[0]")
    limits = mixture.confidence_intervals(failures, information=information)
    assert limits.lower.success[0] < p < limits.upper.success[0]


def test_six_things_have_a_marginal_that_can_be_drawn(failures):
    marginal = MixtureModel(Geometric(), 1).fit(failures).marginal()
    p = 1.0 / (1.0 + failures.mean())
    np.testing.assert_allclose(marginal.density(np.arange(4.0)), [p * (1.0 - p) ** np.arange(4.0)], rtol=1e-9)
    assert marginal.is_discrete
    assert marginal.means[0] == pytest.approx(failures.mean(), rel=0.1)


def test_six_things_have_statistics_of_their_parameters():
    model = Model(MixtureLatent(2), Geometric(2, 1))
    params = Params(model.latent.params([0.3, 0.7]), GeometricParams(np.array([0.2, 0.6])))
    again, _ = model.m_step(stats_of(model, params), params)
    np.testing.assert_allclose(again.latent.weights, [0.3, 0.7], rtol=1e-12)
    np.testing.assert_allclose(again.family.success, [0.2, 0.6], rtol=0.05)


def test_differences_are_the_derivatives():
    model = Model(MixtureLatent(2), Geometric(2, 1))
    params = Params(model.latent.params([0.3, 0.7]), GeometricParams(np.array([0.2, 0.6])))
    X = model.sample(params, 50, np.random.default_rng(0))[0]
    resp = np.random.default_rng(1).dirichlet([1.0, 1.0], 50)
    p = params.family.success
    exact = resp * (1.0 / p - X / (1.0 - p)) * p
    np.testing.assert_allclose(
        ByDifferences(model.family).gradients(params.family, X, resp), exact, rtol=1e-6, atol=1e-9
    )
