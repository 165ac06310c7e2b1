"""What a family and a latent structure are asked, each method written down once.

`Family` and `Latent` name what every pass and every fit needs; `fastem.families.base.FamilyBase` has a default for all
of it but the six things that make a family: two records, two block operations, an M-step, draws and a count of
parameters. What is optional is a capability of its own (`HasUnconstrained` and the others below): where a family lacks
it, the package does without, more slowly, or says what is missing.

Shapes: K components, D features, N rows, P numbers. Logarithms are natural; densities are in nats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np

from fastem.stats import Repair

if TYPE_CHECKING:
    from fastem.families._marginal import Marginal


class Family(Protocol):
    """A distribution of the rows of each component, and how its parameters follow from expected statistics.

    A frozen dataclass: what it holds (priors, floors, fixed values) is what it was told, and never an estimate.
    """

    @property
    def n_components(self) -> int:
        """K."""
        ...

    @property
    def n_features(self) -> int:
        """D, the columns of X."""
        ...

    @property
    def kind(self) -> str:
        """What it is, in words: families of one kind have parameters of the same names."""
        ...

    # EM.

    def zero_stats_like(self, params: Any) -> Any:
        """An empty record for the statistics of an E-step at these parameters."""
        ...

    def m_step(self, stats: Any, params: Any) -> tuple[Any, list[Repair]]:
        """Parameters of highest expected likelihood, given statistics that were taken at `params`.

        They are proper for any statistics, those of no rows included: never NaN. What had to be repaired is told.
        Statistics may hold the pseudo-rows of the prior.
        """
        ...

    def n_parameters(self) -> int:
        """Number of free parameters."""
        ...

    def sample(self, params: Any, component: int, n_rows: int, random: np.random.Generator) -> np.ndarray:
        """Draw rows (n_rows, D) of one component."""
        ...

    def pruning(self, params: Any, log_share: np.ndarray) -> Any:
        """Which components a pass may leave out, block by block; `NO_PRUNING` where none can be."""
        ...

    # Priors: a constant record of rows that were never seen.

    def prior_stats(self, weight: float) -> Any | None:
        """Statistics that stand for the prior, beside rows of this total weight; None without a prior."""
        ...

    def log_prior(self, params: Any, weight: float) -> float:
        """Logarithm of the prior's density at these parameters, up to a constant, in nats."""
        ...

    # Starts, and what is learnt from the data before the first iteration.

    def neutral_params(self, centre: np.ndarray) -> Any:
        """Parameters that any rows can be read with; `centre` (D,) is a point amid the data."""
        ...

    def features(self, X: np.ndarray) -> np.ndarray:
        """Rows X (N, D) as points between which distances mean something."""
        ...

    def mean_of(self, stats: Any) -> np.ndarray:
        """Mean (D,) of the rows of one-component statistics; zero where it means nothing."""
        ...

    def may_stray(self) -> np.ndarray:
        """In which columns (D,) single values may lie far from all others."""
        ...

    def with_bulk(self, stats: Any, bulk: Any) -> Any:
        """One-component statistics of the scale of the data: of all rows, or of their bulk."""
        ...

    def with_data_scale(self, stats: Any) -> Self:
        """This family with floors and priors in the units of the data of these one-component statistics."""
        ...

    def constraints(self) -> dict[str, np.ndarray]:
        """What `with_data_scale` learnt, by name, as a file keeps it."""
        ...

    def with_constraints(self, constraints: dict[str, Any]) -> Self:
        """This family with what another one of the same kind learnt."""
        ...

    def with_components(self, n_components: int) -> Self:
        """This family with another number of components."""
        ...

    def at_start(self) -> Self:
        """The family that first parameters are made with."""
        ...

    def regularised(self) -> Self:
        """The family for a small sample: its components are kept from collapsing."""
        ...

    # Which rows it takes, and what is shown of it.

    def outside(self, X: np.ndarray) -> np.ndarray | None:
        """Which finite values of X (N, D) no row can have, (N, D) bool; None: any may be."""
        ...

    def support(self, column: int) -> str:
        """What a value of the column must be, in words."""
        ...

    def rebuilt(self, params: Any) -> Any:
        """The record made anew from its own numbers alone: what is derived is computed, never read.

        Raises
        ------
        ValueError, numpy.linalg.LinAlgError
            For numbers that are no parameters.
        """
        ...

    def estimates(self, params: Any) -> dict[str, Any]:
        """What is shown of the parameters, by name."""
        ...


class Latent(Protocol):
    """What is hidden: which component each row has, and how components follow each other."""

    is_chain: ClassVar[bool]

    @property
    def n_components(self) -> int:
        """K."""
        ...

    def uniform(self) -> Any:
        """Parameters that prefer no component."""
        ...

    def zero_stats(self) -> Any:
        """An empty record."""
        ...

    def stats_of(self, params: Any) -> Any:
        """Statistics of one row, of which an M-step makes these parameters."""
        ...

    def occupancy(self, params: Any) -> np.ndarray:
        """Expected share (K,) that each component has of the rows."""
        ...

    def log_share(self, params: Any) -> np.ndarray | None:
        """Logarithms (K,) of the shares that a row has before it is seen; None where they change from row to row."""
        ...

    def m_step(self, stats: Any, params: Any) -> Any:
        """Parameters of highest expected likelihood, given statistics that were taken at `params`."""
        ...

    def prior_stats(self, weight: float) -> Any | None:
        """Statistics that stand for the prior; None without one."""
        ...

    def log_prior(self, params: Any, weight: float) -> float:
        """Logarithm of the prior's density at these parameters, up to a constant, in nats."""
        ...

    def expected_log_prob(self, params: Any, stats: Any) -> float:
        """Log-probability, in nats, of hidden components that have these statistics."""
        ...

    def n_unconstrained(self) -> int:
        """P."""
        ...

    def to_unconstrained(self, params: Any) -> np.ndarray:
        """Parameters as a point (P,): square roots of probabilities, of which any are valid."""
        ...

    def from_unconstrained(self, point: np.ndarray) -> Any:
        """The parameters at any point (P,)."""
        ...

    def constraints(self) -> dict[str, np.ndarray]:
        """What the structure was told, by the name of the field, as a file keeps it."""
        ...

    def n_parameters(self) -> int:
        """Number of free parameters."""
        ...

    def rebuilt(self, params: Any) -> Any:
        """The record made anew from its own numbers alone."""
        ...


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
        """Components whose parameters lie on the border of what is allowed, and what to do about it, in words."""
        ...
