"""Derivatives of the log-densities of independent columns, with respect to tangents of the parameters.

A log-density ``slope * T(x) + base`` has the derivative ``T(x) - E T`` by its slope. A tangent adds to the logarithm of
a rate, of a mean or of a scale, to the logit of a probability, or to a location in its own unit. Of probabilities that
sum to one each but the last is multiplied by exp(tangent), and the sum made one again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, logit

from fastem.families.columns.records import OfColumns

# Probabilities so small are zero: EM comes there step by step, and stops on the way.
_ZERO = 1e-8
# Values this near to a limit, in proportion, lie on it.
_MARGIN = 1e-6
_STEP = 1e-100

# What the whole calls parameters of its parts.
IN_WHOLE = {"rates": "means", "probabilities": "means", "covariances": "variances"}


class ColumnTangents(OfColumns):
    """What the families of independent columns say of tangents; a mix-in for `Columns`.

    The order of tangents: component by component, those of its values from the first to the last.
    """

    n_components: int
    # What the values are called: those of all columns by the first name, then those by the next.
    shown: ClassVar[tuple[str, ...]]
    # How many of these, the first ones, are locations, which may have any sign; all others are positive.
    n_locations: ClassVar[int] = 0
    # On which scale an estimate is nearly normal that is no location.
    scale: ClassVar[str] = "log"

    # What a family says of itself.

    def by_tangents(self, values: Any, above: Any) -> Any:
        """Derivatives by tangents of the values, of which the arguments have an array (..., K, C) for each name.

        `above` has those by the slopes: T less its average. How slopes follow the values is found by a step along the
        imaginary axis, where nothing cancels (Squire & Trapp 1998).
        """
        own: Any = self
        found, units = [], self.by_name(self._units(self.joined(tuple(values))))
        for name in range(len(values)):
            near = [value + 1j * _STEP * units[name] if n == name else value for n, value in enumerate(values)]
            slopes = own.slopes(*near)
            each = zip(slopes if isinstance(slopes, tuple) else (slopes,), above, strict=True)
            found.append(sum(slope.imag / _STEP * difference for slope, difference in each))
        return found

    def free_values(self) -> np.ndarray:
        """Which values (V,) have a tangent of their own."""
        return np.ones(self.values_shape()[1], dtype=bool)  # type: ignore[attr-defined]

    def free_terms(self) -> Any:
        """Which of the T tell more than the others: all, but for shares."""
        return slice(None)

    def values_at_tangent(self, values: np.ndarray, tangents: np.ndarray) -> np.ndarray:
        """Values (K, V) after tangents (K, V)."""
        n = self.n_location_values(values)
        moved = values[:, :n] + self._units(values)[:, :n] * tangents[:, :n]
        return np.concatenate([moved, values[:, n:] * np.exp(tangents[:, n:])], axis=1)

    def value_jvp(self, values: np.ndarray, tangents: np.ndarray) -> np.ndarray:
        """What small tangents (M, K, V) change in the values."""
        return self._units(values) * tangents

    def location_units(self, *values: np.ndarray) -> np.ndarray:
        """By how much a tangent of one moves locations."""
        return np.ones_like(values[0])

    def n_location_values(self, values: np.ndarray) -> int:
        """How many of the values (..., V) are locations."""
        return self.n_locations * values.shape[-1] // len(self.shown)

    def _units(self, values: np.ndarray) -> np.ndarray:
        """By how much small tangents of one move values (..., V)."""
        if not self.n_locations:
            return values
        n = self.n_location_values(values)
        return np.concatenate([self.location_units(*self.by_name(values)), values[..., n:]], axis=-1)

    def at_limit(self, values: np.ndarray) -> np.ndarray:
        """Which of the values (K, V) are at the limit of what they may be: those that `bounded` changed."""
        own: Any = self
        near = [values * (1.0 - _MARGIN), values * (1.0 + _MARGIN)]
        return np.any([self.joined(own.bounded(*self.by_name(each))) != each for each in near], axis=0)

    def named(self, values: np.ndarray) -> dict[str, Any]:
        """Values (..., V) by the names of the fitted attributes, in their shapes."""
        return dict(zip(self.shown, np.split(values, len(self.shown), axis=-1), strict=True))

    def of_moments(self, means: np.ndarray, variances: np.ndarray) -> Any:
        """Values, by name, that have these moments (..., C)."""
        return means

    # What follows from it.

    def by_name(self, values: np.ndarray) -> list[np.ndarray]:
        """Values (..., V) as one array for each name."""
        return [values] if len(self.shown) == 1 else np.split(values, len(self.shown), axis=-1)

    @staticmethod
    def joined(parts: Any) -> np.ndarray:
        """What a family gives: one array, or several side by side."""
        if isinstance(parts, tuple):
            return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
        return parts

    def averages_of(self, params: Any) -> np.ndarray:
        """What each T is on average, (K, L), for one unit of exposure."""
        own: Any = self
        return self.joined(own.averages(*self.by_name(params.values)))

    def estimates(self, params: Any) -> dict[str, Any]:
        return self.named(params.values)

    def n_parameters(self) -> int:
        return self.n_components * int(self.free_values().sum())

    def gradients(self, params: Any, X: np.ndarray, resp: np.ndarray) -> np.ndarray:
        own: Any = self
        free = self.free_terms()
        expected = own.exposures(X)[:, None, None] * self.averages_of(params)[:, free]
        above = own.statistics(X)[:, None, free] - expected
        # Of what is missing, T is what it is on average.
        above[np.isnan(above)] = 0.0
        return (resp[:, :, None] * self._by_tangents(params, above)).reshape(len(X), -1)

    def gradient(self, params: Any, stats: Any) -> np.ndarray:
        own: Any = self
        above = stats.sums - own.units(stats)[:, None] * self.averages_of(params)
        return self._by_tangents(params, above[:, self.free_terms()]).ravel()

    def _by_tangents(self, params: Any, above: np.ndarray) -> np.ndarray:
        own: Any = self
        each = np.split(above, len(own.terms), axis=-1)
        return np.concatenate(self.by_tangents(self.by_name(params.values), each), axis=-1)

    def _of_values(self, tangents: np.ndarray) -> np.ndarray:
        """Tangents (..., P) as those of all values (..., K, V)."""
        free = self.free_values()
        every = np.zeros((*tangents.shape[:-1], self.n_components, free.size))
        every[..., free] = tangents.reshape(*tangents.shape[:-1], self.n_components, -1)
        return every

    def jvp(self, params: Any, tangents: np.ndarray) -> dict[str, Any]:
        return self.named(self.value_jvp(params.values, self._of_values(tangents)))

    def at_tangent(self, params: Any, tangent: np.ndarray) -> Any:
        return self.params(self.values_at_tangent(params.values, self._of_values(tangent)))  # type: ignore[attr-defined]

    def free_tangents(self) -> np.ndarray:
        return np.ones(self.n_parameters(), dtype=bool)

    def gradient_rounding(self, params: Any) -> float:
        return float(np.finfo(np.float64).eps)

    def tangent_components(self) -> np.ndarray:
        return np.repeat(np.arange(self.n_components), int(self.free_values().sum()))

    def scales(self) -> dict[str, Any]:
        scales = np.full(self.values_shape(), self.scale, dtype="U8")  # type: ignore[attr-defined]
        scales[:, : self.n_location_values(scales)] = "identity"
        return self.named(scales)

    def at_boundary(self, params: Any) -> list[tuple[int, str]]:
        wrong = self.at_limit(params.values).any(axis=1)
        words = f"has {' or '.join(self.shown)} at the limit of what they may be"
        remedy = "Fit with fewer components, or with prior_weight=1 where the family has it"
        return [(int(k), f"{words}, where standard errors mean nothing. {remedy}.") for k in np.flatnonzero(wrong)]


class ProbabilityTangents(ColumnTangents):
    """Of probabilities, each between zero and one by itself."""

    shown = ("probabilities",)
    scale = "logit"

    def by_tangents(self, values: Any, above: Any) -> Any:
        # A tangent adds to the slope.
        return above

    def values_at_tangent(self, values: np.ndarray, tangents: np.ndarray) -> np.ndarray:
        return expit(logit(values) + tangents)

    def value_jvp(self, values: np.ndarray, tangents: np.ndarray) -> np.ndarray:
        return values * (1.0 - values) * tangents

    def at_limit(self, values: np.ndarray) -> np.ndarray:
        return (values < _ZERO) | (values > 1.0 - _ZERO)


class ShareTangents(ProbabilityTangents):
    """Of probabilities that sum to one over each of several groups of values."""

    wanted = "must not be negative and sum to 1 for each component"

    # Number of values of each group, in order.
    group_sizes: Callable[[], np.ndarray]

    def proper(self, values: np.ndarray) -> np.ndarray:
        """Probabilities (K, V) from any scale of each group; equal ones where all of a group are zero."""
        sizes, values = self.group_sizes(), np.maximum(values, 0.0)
        totals = np.repeat(np.add.reduceat(values, np.cumsum(sizes) - sizes, axis=1), sizes, axis=1)
        return np.where(totals > 0, values, 1.0) / np.where(totals > 0, totals, np.repeat(sizes, sizes))

    def free_values(self) -> np.ndarray:
        sizes = self.group_sizes()
        free = np.ones(sizes.sum(), dtype=bool)
        free[np.cumsum(sizes) - 1] = False
        return free

    def free_terms(self) -> np.ndarray:
        return self.free_values()

    def values_at_tangent(self, values: np.ndarray, tangents: np.ndarray) -> np.ndarray:
        return values * np.exp(tangents)

    def value_jvp(self, values: np.ndarray, tangents: np.ndarray) -> np.ndarray:
        sizes = self.group_sizes()
        means = np.add.reduceat(values * tangents, np.cumsum(sizes) - sizes, axis=-1)
        return values * (tangents - np.repeat(means, sizes, axis=-1))

    def at_limit(self, values: np.ndarray) -> np.ndarray:
        # The only one of a group is certain, and no estimate.
        sizes = self.group_sizes()
        return super().at_limit(values) & np.repeat(sizes > 1, sizes)


class ProductTangents(OfColumns):
    """What a product of families says of tangents: what its parts say, side by side; a mix-in for `Product`."""

    parts: tuple[Any, ...]
    _ask: Any
    _columns: Any
    _stats_of: Any
    params_of: Any
    params: Any

    def _split(self, tangents: np.ndarray) -> list[np.ndarray]:
        return np.split(tangents, np.cumsum([free.size for free in self._ask("free_tangents")])[:-1], axis=-1)

    def _joined(self, shown: list[dict[str, Any]], missing: Any) -> dict[str, Any]:
        """What each part shows, by the names of the whole: `missing` where a column has no such parameter."""
        first = next(iter(shown[0].values()))
        lead = (first[0] if isinstance(first, list) else first).shape[:-1]
        whole: dict[str, Any] = {name: np.full((*lead, self.n_features), missing) for name in ("means", "variances")}
        whole["probabilities"] = [None] * self.n_features
        for (_, columns), own in zip(self.parts, shown, strict=True):
            for name, values in own.items():
                if isinstance(values, list):
                    for column, table in zip(columns, values, strict=True):
                        whole[name][column] = table
                    continue
                # A covariate has no parameters.
                table = whole.setdefault(IN_WHOLE.get(name, name), np.full((*lead, self.n_features), missing))
                table[..., columns[: values.shape[-1]]] = values
        return whole

    def estimates(self, params: Any) -> dict[str, Any]:
        """What is shown of the parameters, by name; NaN, or None, for those that a column has not."""
        return self._joined(self._ask("estimates", self.params_of(params)), np.nan)

    def gradients(self, params: Any, X: np.ndarray, resp: np.ndarray) -> np.ndarray:
        own = self.params_of(params), self._columns(X), [resp] * len(self.parts)
        return np.concatenate(self._ask("gradients", *own), axis=1)

    def gradient(self, params: Any, stats: Any) -> np.ndarray:
        return np.concatenate(self._ask("gradient", self.params_of(params), self._stats_of(stats)))

    def at_tangent(self, params: Any, tangent: np.ndarray) -> Any:
        return self.params(self._ask("at_tangent", self.params_of(params), self._split(tangent)))

    def jvp(self, params: Any, tangents: np.ndarray) -> dict[str, Any]:
        return self._joined(self._ask("jvp", self.params_of(params), self._split(tangents)), np.nan)

    def free_tangents(self) -> np.ndarray:
        return np.concatenate(self._ask("free_tangents"))

    def tangent_components(self) -> np.ndarray:
        return np.concatenate(self._ask("tangent_components"))

    def scales(self) -> dict[str, Any]:
        """On which scale the estimate of each entry is nearly normal; "none" where there is no parameter of its own."""
        return self._joined(self._ask("scales"), np.array("none", dtype="U8"))

    def gradient_rounding(self, params: Any) -> float:
        return max(self._ask("gradient_rounding", self.params_of(params)))

    def at_boundary(self, params: Any) -> list[tuple[int, str]]:
        return [found for own in self._ask("at_boundary", self.params_of(params)) for found in own]
