"""What a family, a latent structure, an executor and a backend are asked, each method written down once.

`Family` and `Latent` name what every pass and every fit needs, and have bodies for all of it but what makes a
family: two records, two block operations, an M-step, draws and a count of parameters. What is optional is a
capability of its own (`HasUnconstrained` and the others below): where a family lacks it, the package does without, more
slowly, or says what is missing.

Shapes: K components, D features, N rows, P numbers. Logarithms are natural; densities are in nats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np

from fastem.stats import ExpectedStats, Repair

if TYPE_CHECKING:
    # Whoever derives from this is a frozen dataclass.
    from _typeshed import DataclassInstance as _Dataclass

    from fastem.families._marginal import Marginal
else:
    _Dataclass = object


class Family(_Dataclass):
    """A distribution of the rows of each component, and how its parameters follow from expected statistics.

    A frozen dataclass: what it holds (priors, floors, fixed values) is what it was told, and never an estimate. Of the
    methods it writes `m_step`, `sample` and `n_parameters`; the others have bodies that are right for any family, but
    that of `pruning` is in `fastem.families.base.FamilyBase`, from which a family derives.

    Attributes
    ----------
    n_components, n_features : int
        K and D, the columns of X.
    stats_type : class
        The record of its statistics. Where every field has one number for each component, it says enough to make an
        empty one; otherwise write `zero_stats_like`.
    """

    n_components: int
    n_features: int
    stats_type: ClassVar[Any]

    @property
    def kind(self) -> str:
        """What it is, in words: families of one kind have parameters of the same names."""
        return type(self).__name__

    # EM.

    def zero_stats_like(self, params: Any) -> Any:
        """An empty record for the statistics of an E-step at these parameters."""
        return self.stats_type(*np.zeros((len(self.stats_type._fields), self.n_components)))

    def m_step(self, stats: Any, params: Any) -> tuple[Any, list[Repair]]:
        """Parameters of highest expected likelihood, given statistics that were taken at `params`.

        They are proper for any statistics, those of no rows included: never NaN. What had to be repaired is told.
        Statistics may hold the pseudo-rows of the prior.
        """
        raise NotImplementedError(f"{type(self).__name__} must say how its parameters follow: write m_step.")

    def n_parameters(self) -> int:
        """Number of free parameters."""
        raise NotImplementedError

    def sample(self, params: Any, component: int, n_rows: int, random: np.random.Generator) -> np.ndarray:
        """Draw rows (n_rows, D) of one component."""
        raise NotImplementedError

    def in_float32(self, params: Any) -> Any | None:
        """A record for a pass over float32 rows that computes in float32; None where its error has no bound."""
        return None

    def pruning(self, params: Any, log_share: np.ndarray) -> Any:
        """Which components a pass may leave out, block by block; `NO_PRUNING` where none can be."""
        raise NotImplementedError

    # Priors: a constant record of rows that were never seen.

    def prior_stats(self, weight: float) -> Any | None:
        """Statistics that stand for the prior, beside rows of this total weight; None without a prior."""
        return None

    def log_prior(self, params: Any, weight: float) -> float:
        """Logarithm of the prior's density at these parameters, up to a constant, in nats."""
        stats = self.prior_stats(weight)
        return 0.0 if stats is None else self.expected_log_prob(params, stats)  # type: ignore[attr-defined]

    # Starts, and what is learnt from the data before the first iteration.

    def neutral_params(self, centre: np.ndarray) -> Any:
        """Parameters that any rows can be read with; `centre` (D,) is a point amid the data."""
        return self.m_step(self.zero_stats_like(None), None)[0]

    def features(self, X: np.ndarray) -> np.ndarray:
        """Rows X (N, D) as points between which distances mean something."""
        return X

    def mean_of(self, stats: Any) -> np.ndarray:
        """Mean (D,) of the rows of one-component statistics; zero where it means nothing."""
        return np.zeros(self.n_features)

    def may_stray(self) -> np.ndarray:
        """In which columns (D,) single values may lie far from all others."""
        return np.zeros(self.n_features, dtype=bool)

    def with_bulk(self, stats: Any, bulk: Any) -> Any:
        """One-component statistics of the scale of the data: of all rows, or of their bulk."""
        return stats

    def with_data_scale(self, stats: Any) -> Self:
        """This family with floors and priors in the units of the data of these one-component statistics."""
        return self

    def constraints(self) -> dict[str, np.ndarray]:
        """What `with_data_scale` learnt, by name, as a file keeps it."""
        return {}

    def with_constraints(self, constraints: dict[str, Any]) -> Self:
        """This family with what another one of the same kind learnt."""
        return replace(self, **constraints)

    def with_components(self, n_components: int) -> Self:
        """This family with another number of components."""
        return replace(self, n_components=n_components)

    def at_start(self) -> Self:
        """The family that first parameters are made with."""
        return self

    def regularised(self) -> Self:
        """The family for a small sample: its components are kept from collapsing."""
        return self

    # Which rows it takes, and what is shown of it.

    def outside(self, X: np.ndarray) -> np.ndarray | None:
        """Which finite values of X (N, D) no row can have, (N, D) bool; None: any may be."""
        return None

    def support(self, column: int) -> str:
        """What a value of the column must be, in words."""
        return "finite"

    def roots(self) -> np.ndarray:
        """Which coordinates are square roots of what must not be negative: none."""
        return np.zeros((), dtype=bool)

    def rebuilt(self, params: Any) -> Any:
        """The record made anew from its own numbers alone: what is derived is computed, never read.

        Raises
        ------
        ValueError, numpy.linalg.LinAlgError
            For numbers that are no parameters.
        """
        return params

    def estimates(self, params: Any) -> dict[str, Any]:
        """What is shown of the parameters, by name."""
        return dict(params._asdict())


class Latent:
    """What is hidden: which component each row has, and how components follow each other."""

    is_chain: ClassVar[bool]

    def uniform(self) -> Any:
        """Parameters that prefer no component."""
        raise NotImplementedError

    def zero_stats(self) -> Any:
        """An empty record."""
        raise NotImplementedError

    def stats_of(self, params: Any) -> Any:
        """Statistics of one row, of which an M-step makes these parameters."""
        raise NotImplementedError

    def occupancy(self, params: Any) -> np.ndarray:
        """Expected share (K,) that each component has of the rows."""
        raise NotImplementedError

    def log_share(self, params: Any) -> np.ndarray | None:
        """Logarithms (K,) of the shares that a row has before it is seen; None where they change from row to row."""
        return None

    def m_step(self, stats: Any, params: Any) -> Any:
        """Parameters of highest expected likelihood, given statistics that were taken at `params`."""
        raise NotImplementedError

    def prior_stats(self, weight: float) -> Any | None:
        """Statistics that stand for the prior; None without one."""
        return None

    def log_prior(self, params: Any, weight: float) -> float:
        """Logarithm of the prior's density at these parameters, up to a constant, in nats."""
        stats = self.prior_stats(weight)
        return 0.0 if stats is None else self.expected_log_prob(params, stats)

    def expected_log_prob(self, params: Any, stats: Any) -> float:
        """Log-probability, in nats, of hidden components that have these statistics."""
        raise NotImplementedError

    def n_unconstrained(self) -> int:
        """P."""
        raise NotImplementedError

    def to_unconstrained(self, params: Any) -> np.ndarray:
        """Parameters as a point (P,): square roots of probabilities, of which any are valid."""
        raise NotImplementedError

    def from_unconstrained(self, point: np.ndarray) -> Any:
        """The parameters at any point (P,)."""
        raise NotImplementedError

    def constraints(self) -> dict[str, np.ndarray]:
        """What the structure was told, by the name of the field, as a file keeps it."""
        return {}

    def n_parameters(self) -> int:
        """Number of free parameters."""
        raise NotImplementedError

    def rebuilt(self, params: Any) -> Any:
        """The record made anew from its own numbers alone."""
        raise NotImplementedError


@runtime_checkable
class HasUnconstrained(Protocol):
    """A family whose fits can be accelerated: its parameters are points of a space in which any point is valid.

    The likelihood should bend about alike in all directions, as in square roots of probabilities.
    """

    def to_unconstrained(self, params: Any) -> np.ndarray:
        """Parameters as a point (P,)."""
        ...

    def from_unconstrained(self, point: np.ndarray) -> Any:
        """The parameters at any point (P,)."""
        ...

    def roots(self) -> np.ndarray:
        """Which coordinates are square roots of what must not be negative: (P,), or one answer for all."""
        ...


@runtime_checkable
class HasExpectedLogProb(Protocol):
    """A family whose statistics tell their log-likelihood: a sample can then stand for all rows (control variates)."""

    def expected_log_prob(self, params: Any, stats: Any) -> float:
        """Sum of the log-densities, in nats, of rows of these statistics under the components they belong to."""
        ...


@runtime_checkable
class HasStats(Protocol):
    """A family that knows the statistics of its own parameters, so that a stream can go on from them."""

    def stats_of(self, params: Any, n: np.ndarray) -> Any:
        """Statistics of `n` (K,) rows of the components, of which an M-step makes these parameters."""
        ...


@runtime_checkable
class HasScatter(Protocol):
    """A family whose components have a location and a scatter, which can be seen from any side."""

    def projected(self, params: Any, axes: np.ndarray) -> np.ndarray:
        """Scatter (K, P, P) of ``axes @ row`` under each component, for axes (P, D)."""
        ...


@runtime_checkable
class HasMarginals(Protocol):
    """A family each of whose columns has a distribution that can be drawn."""

    def marginal(self, params: Any, column: int) -> Marginal:
        """One column under each component.

        Raises
        ------
        ValueError
            Where it has no distribution of its own.
        """
        ...


@runtime_checkable
class HasGradients(Protocol):
    """A family whose log-density has derivatives by local parameters: standard errors without finite differences.

    Local parameters are P numbers, zero at the parameters themselves, a step along which is about as large everywhere.
    """

    def gradients(self, params: Any, X: np.ndarray, resp: np.ndarray) -> np.ndarray:
        """Derivatives (N, P) of resp (N, K) times the log-density of each row, by the local parameters."""
        ...

    def gradient(self, params: Any, stats: Any) -> np.ndarray:
        """Their sum (P,) over rows of these statistics."""
        ...

    def at_tangent(self, params: Any, tangent: np.ndarray) -> Any:
        """Parameters after a step (P,) of the local ones."""
        ...

    def jvp(self, params: Any, tangents: np.ndarray) -> dict[str, Any]:
        """By how much steps (M, P) change what is shown, by the names of `estimates`."""
        ...

    def free_tangents(self) -> np.ndarray:
        """Which local parameters (P,) may change."""
        ...

    def tangent_components(self) -> np.ndarray:
        """The component (P,) that each local parameter belongs to; -1 where all share it."""
        ...

    def scales(self) -> dict[str, Any]:
        """On which scale limits of confidence are symmetric: "identity", "log" or "logit"; "none": stands twice."""
        ...

    def gradient_rounding(self, params: Any) -> float:
        """Relative rounding error of `gradient`, which finite differences must exceed."""
        ...

    def at_boundary(self, params: Any) -> list[tuple[int, str]]:
        """Components (-1: all) whose parameters lie on the border of what is allowed, and a remedy, in words."""
        ...


class Executor(Protocol):
    """Who maps a function over parts of the data; `concurrent.futures.Executor` says the same."""

    def map(self, function: Callable[[Any], Any], parts: Iterable[Any], /) -> Iterator[Any]:
        """`function(part)` of each part, in the order of the parts, whoever works on them, wherever and whenever.

        Parts of a stream are read before the next one is asked for: who maps them later holds their chunks first.
        """
        ...


class Accumulator(Protocol):
    """A sum of expected statistics at some parameters, in the making."""

    def add(self, chunk: Any) -> None:
        """Add the expected statistics of a chunk."""
        ...

    def add_given(self, chunk: Any, resp: np.ndarray) -> None:
        """Add the statistics of a chunk whose responsibilities (N, K) are known; no likelihood is gathered."""
        ...

    def partial(self) -> Any:
        """What was added so far, as a record from which a sum goes on; its arrays change with the next chunk."""
        ...

    def total(self) -> ExpectedStats:
        """The sum."""
        ...


class Backend(Protocol):
    """What computes: passes over chunks, for a latent structure and parameters of it and of a family.

    `zero` is an empty record for the statistics at these parameters, and `pruning` tells which components may be left
    out; a backend may compute them all the same.
    """

    def accumulator(
        self, latent: Any, params: Any, zero: ExpectedStats, pruning: Any, begun: Any,
        in_float32: Callable[[Any], Any | None] | None = None,
    ) -> Accumulator:  # fmt: skip
        """Begin a sum, or go on with a partial one; `in_float32` is the family's, where it is allowed."""
        ...

    def score(
        self, latent: Any, params: Any, zero: ExpectedStats, X: np.ndarray, lengths: np.ndarray | None, pruning: Any,
        **outputs: np.ndarray,
    ) -> None:  # fmt: skip
        """Fill the outputs of rows X (N, D): `loglik` and `label` (N,), `resp` and, of a chain, `filtered` (N, K)."""
        ...

    def best_path(self, params: Any, X: np.ndarray, lengths: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Fill `out` (N,) with the most probable states of sequences of these lengths (S,); their log-densities."""
        ...
