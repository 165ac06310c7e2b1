"""A model: a latent structure paired with a family. It maps parameters and chunks to statistics, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from fastem.contracts import Accumulator, Backend, HasUnconstrained
from fastem.passes.backend import COMPILED
from fastem.passes.patterns import PATTERNS
from fastem.passes.pruning import MIN_COMPONENTS, NO_PRUNING, Plan, is_worthwhile
from fastem.passes.shapes import require_shapes, shapes_of
from fastem.passes.units import BLOCK, ROWS_PER_RUN
from fastem.stats import ExpectedStats, Repair


class Params(NamedTuple):
    """Parameters of the latent structure and of the family, as kernels read them."""

    latent: Any
    family: Any


class Chunk(Protocol):
    """Rows X (N, D), float32 or float64, and their weights (N,) or None.

    For a chain, `lengths` (S,) are those of the sequences that the rows make up, one after the other; None stands for
    a single one. The weights of all rows of a sequence are the same.
    """

    @property
    def X(self) -> np.ndarray: ...

    @property
    def weight(self) -> np.ndarray | None: ...

    @property
    def lengths(self) -> np.ndarray | None: ...

    @property
    def first_row(self) -> int: ...


@dataclass(frozen=True)
class Model:
    """A latent structure and a family with the same number of components, unless a chain maps its states to others.

    Attributes
    ----------
    latent : Latent
    family : Family
    backend : Backend
        What computes.
    """

    latent: Any
    family: Any
    backend: Backend = field(default=COMPILED, repr=False, kw_only=True)

    @cached_property
    def _pattern(self) -> tuple[type, tuple[Any, ...]]:
        """Class and shapes of the parameters of the family, as any proper ones have them."""
        pattern = self.family.neutral_params(np.zeros(self.family.n_features))
        return type(pattern), shapes_of(pattern)

    def _require_fitting(self, params: Params) -> None:
        """Raise for parameters of another shape than those of this family, whose record need not tell it.

        Raises
        ------
        ValueError
        """
        if not hasattr(params.family, "shapes"):
            kind, shapes = self._pattern
            # The pass itself refuses a class that it does not know.
            if isinstance(params.family, kind):
                require_shapes(params.family, shapes, f"{type(self.family).__name__}.neutral_params")

    def e_step(self, params: Params, chunk: Chunk) -> ExpectedStats:
        """Expected statistics of one chunk at `params`."""
        accumulator = self.accumulator(params)
        accumulator.add(chunk)
        return accumulator.total()

    def accumulator(
        self, params: Params, pruning: Plan | None = None, begun: Any = None, *, float32: bool = False
    ) -> Accumulator:
        """Begin a sum of expected statistics at `params`, over several chunks.

        `pruning` says which components may be left out, by default `self.pruning(params)`. A sum that was `begun`
        earlier at the same parameters is gone on with, to the same bits. With `float32`, float32 rows are computed in
        float32 where the error of that is bounded.

        The sum has the same bits for any number of threads, and however the rows are cut into chunks
        of whole blocks (of whole runs, `ROWS_PER_RUN`, where components can be left out).
        """
        self._require_fitting(params)
        pruning = self.pruning(params) if pruning is None else pruning
        in_float32 = self.family.in_float32 if float32 else None
        return self.backend.accumulator(self.latent, params, zero_stats(self, params), pruning, begun, in_float32)

    def with_gaps(self, has_gaps: bool = True) -> Self:
        """This model for rows that may miss values, or for rows that miss none."""
        return self if self.family.has_gaps == has_gaps else replace(self, family=self.family.with_gaps(has_gaps))

    def prepared(self, params: Params) -> Params:
        """Parameters as this model reads them, which another one made: `self.with_gaps(...)`."""
        return params._replace(family=self.family.rebuilt(params.family))

    def for_rows(self, params: Params, has_missing: bool) -> tuple[Self, Params]:
        """This model and its parameters, as rows need them that may miss values."""
        if not has_missing or self.family.has_gaps:
            return self, params
        model = self.with_gaps()
        return model, model.prepared(params)

    def pruning(self, params: Params) -> Plan:
        """Which components a pass at `params` may leave out; an empty record when looking is not worth its time."""
        k, d = self.family.n_components, self.family.n_features
        if self.family.has_gaps:
            return PATTERNS if self.family.groups_patterns and not self.latent.is_chain else NO_PRUNING
        if k < MIN_COMPONENTS or self.latent.is_chain:
            return NO_PRUNING
        log_share = self.latent.log_share(params.latent)
        if log_share is None or not np.all(np.isfinite(log_share)):
            return NO_PRUNING
        pruning = self.family.pruning(params.family, log_share)
        return pruning if is_worthwhile(pruning, d, BLOCK, ROWS_PER_RUN) else NO_PRUNING

    def m_step(self, stats: ExpectedStats, params: Params) -> tuple[Params, list[Repair]]:
        """Parameters of highest expected likelihood and prior, given statistics that were taken at `params`.

        And what had to be repaired to keep them proper.

        A prior is a record of rows that were never seen, and is added to the statistics of those that were.
        """
        weight = float(stats.weight)
        latent_prior, family_prior = self.latent.prior_stats(weight), self.family.prior_stats(weight)
        latent = stats.latent if latent_prior is None else stats.latent + latent_prior
        family = stats.family if family_prior is None else stats.family + family_prior
        family_params, repairs = self.family.m_step(family, params.family)
        return Params(self.latent.m_step(latent, params.latent), family_params), repairs

    def halfway(self) -> Callable[[Params, Params], Params] | None:
        """What halves a step of an M-step that is no maximum; None where each is one, and without coordinates."""
        if self.family.has_exact_m_step or not isinstance(self.family, HasUnconstrained):
            return None
        return lambda params, image: self.from_unconstrained(
            0.5 * (self.to_unconstrained(params) + self.to_unconstrained(image))
        )

    def log_prior(self, params: Params, weight: float) -> float:
        """Logarithm of the prior density at `params`, up to a constant, for rows of this total weight; in nats."""
        return float(self.latent.log_prior(params.latent, weight) + self.family.log_prior(params.family, weight))

    def regularised(self) -> Model:
        """This model for a small sample: its components are kept from collapsing, if the family knows how."""
        return replace(self, family=self.family.regularised())

    def expected_log_prob(self, params: Params, stats: ExpectedStats) -> float:
        """Joint log-density, in nats, of rows and components that have these statistics."""
        latent = self.latent.expected_log_prob(params.latent, stats.latent)
        return float(latent + self.family.expected_log_prob(params.family, stats.family))

    def with_prior(self, stats: ExpectedStats, params: Params) -> ExpectedStats:
        """Statistics of all rows at `params`, whose objective counts the prior."""
        return stats._replace(log_prior=self.log_prior(params, float(stats.weight)))

    def to_unconstrained(self, params: Params) -> np.ndarray:
        """Parameters as a point (P,) of a space in which every point is valid."""
        parts = (self.latent.to_unconstrained(params.latent), self.family.to_unconstrained(params.family))
        return np.concatenate(parts)

    def from_unconstrained(self, point: np.ndarray) -> Params:
        """The parameters at a point (P,) of that space."""
        n = self.latent.n_unconstrained()
        return Params(self.latent.from_unconstrained(point[:n]), self.family.from_unconstrained(point[n:]))

    def roots(self, point: np.ndarray) -> np.ndarray:
        """Which coordinates of a point are square roots of what must not be negative, as probabilities."""
        n = self.latent.n_unconstrained()
        roots = np.zeros(point.size, dtype=bool)
        roots[:n] = True
        roots[n:] = self.family.roots()
        return roots

    def stats_of(self, params: Params) -> ExpectedStats:
        """Statistics per unit of weight, of which an M-step makes these parameters."""
        family = self.family.stats_of(params.family, self.latent.occupancy(params.latent))
        return ExpectedStats(0.0, 1.0, 0.0, self.latent.stats_of(params.latent), family)

    def n_parameters(self) -> int:
        """Number of free parameters."""
        return self.latent.n_parameters() + self.family.n_parameters()

    def log_prob(self, params: Params, X: np.ndarray, out: np.ndarray, lengths: np.ndarray | None = None) -> None:
        """Fill `out` (N,) with the log-likelihood of each row of X (N, D), in nats; of a chain, given those before."""
        self._score(params, X, lengths, loglik=out)

    def posterior(self, params: Params, X: np.ndarray, out: np.ndarray, lengths: np.ndarray | None = None) -> None:
        """Fill `out` (N, K) with p(component | row); of a chain, given all rows of the sequence."""
        self._score(params, X, lengths, resp=out)

    def label(self, params: Params, X: np.ndarray, out: np.ndarray, lengths: np.ndarray | None = None) -> None:
        """Fill `out` (N,) with the component of the highest posterior of each row."""
        self._score(params, X, lengths, label=out)

    def filtered(self, params: Params, X: np.ndarray, out: np.ndarray, lengths: np.ndarray | None = None) -> None:
        """Fill `out` (N, K) with p(state | row and the rows of the sequence before it)."""
        self._score(params, X, lengths, filtered=out)

    def best_path(self, params: Params, X: np.ndarray, out: np.ndarray, lengths: np.ndarray | None = None) -> Any:
        """Fill `out` (N,) with the most probable path of states of each sequence; the log-densities (S,) with these."""
        self._require_fitting(params)
        return self.backend.best_path(params, X, np.array([X.shape[0]]) if lengths is None else lengths, out)

    def _score(self, params: Params, X: np.ndarray, lengths: np.ndarray | None, **outputs: np.ndarray) -> None:
        self._require_fitting(params)
        zero, pruning = zero_stats(self, params), self.pruning(params)
        self.backend.score(self.latent, params, zero, X, lengths, pruning, **outputs)

    def sample(
        self, params: Params, n_rows: int, random: np.random.Generator, **start: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows (n_rows, D), and their components (n_rows,); of a chain, one sequence, and its states."""
        hidden = self.latent.sample(params.latent, n_rows, random, **start)
        component = self.latent.components(params.latent, hidden, random)
        X = np.empty((n_rows, self.family.n_features))
        for k in range(self.family.n_components):
            rows = np.flatnonzero(component == k)
            X[rows] = self.family.sample(params.family, k, rows.size, random)
        return X, hidden


def zero_stats(model: Model, params: Params) -> ExpectedStats:
    """An empty record for the statistics of an E-step at these parameters."""
    return ExpectedStats(0.0, 0.0, 0.0, model.latent.zero_stats(), model.family.zero_stats_like(params.family))
