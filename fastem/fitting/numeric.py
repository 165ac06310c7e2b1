"""What a family does not say of itself, from its density and its draws: derivatives, one column, statistics.

Right for any family whose log-density is smooth in the numbers of its record, and slower than what a family knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from fastem.contracts import HasGradients, HasStats
from fastem.families._marginal import Marginal
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.starts.given import Rows, one_hot
from fastem.stats import ExpectedStats

# Steps of central differences, relative to a number: their error and that of rounding are about alike.
_STEP = 1e-5
# A number of this size moves by the step itself.
_LEAST_SIZE = 1e-3
# Draws that tell where a column lies.
_DRAWS = 2000


class ByDifferences:
    """A family with the capability `fastem.contracts.HasGradients` that it lacks, by central differences.

    Its local parameters are the numbers of its record, each in units of its size. All else is the family's own.
    """

    def __init__(self, family: Any):
        self._family = family

    def __getattr__(self, name: str) -> Any:
        return getattr(self._family, name)

    @cached_property
    def _alone(self) -> Model:
        return Model(MixtureLatent(self._family.n_components), self._family)

    def _numbers(self, params: Any) -> np.ndarray:
        """All numbers (P,) of a record.

        Raises
        ------
        TypeError
            Where some of them follow from others.
        """
        numbers = np.concatenate([np.ravel(field) for field in params])
        n_free = self._family.n_parameters()
        if numbers.size != n_free:
            raise TypeError(
                f"{type(self._family).__name__} has {n_free} free parameters, but {type(params).__name__} holds "
                f"{numbers.size} numbers: which of them are free, only the family can say. Write the methods of "
                "fastem.contracts.HasGradients, or compare fits to rows that are weighted anew: "
                "fit(X, sample_weight=random.exponential(size=len(X)))."
            )
        return numbers

    def _record(self, params: Any, numbers: np.ndarray) -> Any:
        ends = np.cumsum([np.size(field) for field in params])[:-1]
        parts = zip(np.split(numbers, ends), params, strict=True)
        return type(params)(*(np.ascontiguousarray(part.reshape(np.shape(field))) for part, field in parts))

    def at_tangent(self, params: Any, tangent: np.ndarray) -> Any:
        numbers = self._numbers(params)
        return self._record(params, numbers + tangent * np.maximum(np.abs(numbers), _LEAST_SIZE))

    def tangent_components(self) -> np.ndarray:
        """The component (P,) of each number; -1 for those of fields without one entry for each component."""
        k = self._family.n_components
        pattern = self._family.neutral_params(np.zeros(self._family.n_features))
        tangent_components = [
            np.repeat(np.arange(k), np.size(field) // k) if np.shape(field)[:1] == (k,) else np.full(np.size(field), -1)
            for field in pattern
        ]
        return np.concatenate(tangent_components)

    def gradients(self, params: Any, X: np.ndarray, resp: np.ndarray) -> np.ndarray:
        tangent_components = self.tangent_components()
        gradients = np.empty((len(X), tangent_components.size))
        for place, (before, after) in enumerate(self._neighbours(params)):
            components = range(resp.shape[1]) if tangent_components[place] < 0 else [tangent_components[place]]
            change = sum(resp[:, k] * (self._log_prob(after, X, k) - self._log_prob(before, X, k)) for k in components)
            gradients[:, place] = change / (2.0 * _STEP)
        return gradients

    def _neighbours(self, params: Any) -> Iterator[tuple[Any, Any]]:
        for step in _STEP * np.eye(self._numbers(params).size):
            yield self.at_tangent(params, -step), self.at_tangent(params, step)

    def _log_prob(self, params: Any, X: np.ndarray, component: int) -> np.ndarray:
        out = np.empty(len(X))
        only = np.zeros(self._family.n_components)
        only[component] = 1.0
        self._alone.log_prob(Params(self._alone.latent.params(only), params), X, out)
        return out

    def jvp(self, params: Any, tangents: np.ndarray) -> dict[str, Any]:
        shown = [
            [self._family.estimates(self.at_tangent(params, step * tangent)) for step in (_STEP, -_STEP)]
            for tangent in tangents
        ]
        each = {
            name: [after[name] - before[name] for after, before in shown] for name in self._family.estimates(params)
        }
        return {name: np.array(changes) / (2.0 * _STEP) for name, changes in each.items()}

    def free_tangents(self) -> np.ndarray:
        return np.ones(self.tangent_components().size, dtype=bool)

    def scales(self) -> dict[str, Any]:
        shown = self._family.estimates(self._family.neutral_params(np.zeros(self._family.n_features)))
        return {name: np.full(np.shape(value), "identity") for name, value in shown.items()}

    def gradient_rounding(self, params: Any) -> float:
        return float(np.finfo(np.float64).eps) / _STEP

    def at_boundary(self, params: Any) -> list[tuple[int, str]]:
        return []


def with_gradients(model: Model) -> Model:
    """The model, whose family tells its derivatives: by differences where it does not know them."""
    if isinstance(model.family, HasGradients):
        return model
    return replace(model, family=ByDifferences(model.family))


def stats_of(model: Model, params: Params) -> ExpectedStats:
    """Statistics per unit of weight of which an M-step makes these parameters; of draws where the family cannot say."""
    if isinstance(model.family, HasStats):
        return model.stats_of(params)
    k, random = model.family.n_components, np.random.default_rng(0)
    rows = Model(MixtureLatent(k), model.family)
    accumulator = rows.accumulator(Params(rows.latent.uniform(), params.family))
    for component, share in enumerate(model.latent.occupancy(params.latent)):
        X = np.ascontiguousarray(model.family.sample(params.family, component, _DRAWS, random), dtype=np.float64)
        accumulator.add_given(Rows(X, None), share / _DRAWS * one_hot(np.full(_DRAWS, component), k))
    return ExpectedStats(0.0, 1.0, 0.0, model.latent.stats_of(params.latent), accumulator.total().family)


def drawn_marginal(model: Model, params: Params) -> Marginal:
    """The only column of a family that does not tell its distribution: its density, and where its draws lie."""
    family, by_differences = model.family, ByDifferences(model.family)
    random = np.random.default_rng(0)
    draws = np.array([family.sample(params.family, k, _DRAWS, random)[:, 0] for k in range(family.n_components)])

    def density(x: np.ndarray) -> np.ndarray:
        X = np.ascontiguousarray(x[:, None], dtype=np.float64)
        inside = np.ones(len(X), dtype=bool) if family.outside(X) is None else ~family.outside(X)[:, 0]
        rows = [np.exp(by_differences._log_prob(params.family, X, k)) for k in range(family.n_components)]
        return np.where(inside, rows, 0.0)

    is_discrete = bool(np.all(draws == np.round(draws)))
    return Marginal(density, draws.mean(axis=1), draws.std(axis=1), is_discrete)
