"""Starts as estimators ask for them: named ways and given parameters, of mixtures and of chains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from fastem._naming import named
from fastem.families.gaussian.family import GaussianGrouped
from fastem.fitting.problem import Problem
from fastem.fitting.scan import DataSummary
from fastem.fitting.spec import Start
from fastem.given import plain_array
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.schedules.batch import fit_batch
from fastem.schedules.result import Ending
from fastem.starts.chain import is_left_right, segments, start_of_chain
from fastem.starts.given import one_hot, start_from
from fastem.starts.mixed_chain import start_from_segments, start_from_successors
from fastem.starts.start import DRAWN, STARTS, sample_size, several_from_sample, start_from_sample
from fastem.stats import Repair

# The mixture that a start grows from need not have converged.
_START_TOL, _START_ITERATIONS = 1e-3, 30
# Rows that the first transitions are counted on.
_COUNTED_ROWS = 2**20
# Shares of the stretches that several starts of a left-right chain begin with: parameter of a Dirichlet distribution.
_EVENNESS = 10.0

# Maps a range of rows to their responsibilities (rows, K).
Responsibilities = Callable[[int, int], np.ndarray]


def is_bound(model: Model) -> bool:
    """Whether some parameters of a mixture are fixed."""
    return model.latent.fixed_weights is not None or any("fixed" in name for name in model.family.constraints())


def _feasible(model: Model, params: Params) -> Params:
    """The parameters, with those that are fixed at their values."""
    return model.from_unconstrained(model.to_unconstrained(params)) if is_bound(model) else params


def _as_read(model: Model, params: Params) -> Params:
    """Parameters that another model may have made, of rows that miss nothing."""
    return model.prepared(params) if model.family.has_gaps else params


def _rows_for(summary: DataSummary, sample: Any, n_components: int, random: np.random.Generator) -> Any:
    """Rows that a start of so many components looks at, far rows among them, and without a missing value."""
    rows = sample.sample(sample_size(n_components, summary.centre.size), random)
    rows = rows if summary.strays is None else summary.strays.put_into(rows)
    return summary.completed(rows, random)


@dataclass(frozen=True)
class LastParams:
    """The start at the parameters of an earlier fit, which must suit the model that they are asked for."""

    params_for: Callable[[Model], Params]
    before: Ending | None

    def __call__(self, summary: DataSummary, source: Any, sample: Any, random: np.random.Generator) -> Start:
        params = _as_read(summary.model, self.params_for(summary.model))
        return Start(_feasible(summary.model, params), [], self.before)


@dataclass(frozen=True)
class MixtureStart:
    """The start of a mixture by a named way, or from given responsibilities.

    `way` is a name of `fastem.starts.start.STARTS`, or makes responsibilities for so many rows; `completed` puts
    parameters that are given in the place of those of the start, which it is handed as a function; `is_free` says that
    none are.
    """

    way: str | Callable[[int], Responsibilities]
    completed: Callable[[Model, Callable[[], Params]], Params]
    is_free: bool = False

    @property
    def is_drawn(self) -> bool:
        """Whether nothing of the start is given, and another one is found each time."""
        return self.is_free and self.way in DRAWN

    def several(self, model: Model, sample: Any, n_starts: int, random: np.random.Generator) -> Params:
        """So many starts that are drawn, side by side, from all rows of a sample that misses nothing."""
        return several_from_sample(str(self.way), model, sample, n_starts, random)[0]

    def __call__(self, summary: DataSummary, source: Any, sample: Any, random: np.random.Generator) -> Start:
        repairs: list[Repair] = []

        def by_way() -> Params:
            if callable(self.way):
                given = self.way(source.n_rows or 0)
                params, found = start_from(summary.model, source, given, summary.centre)
            else:
                rows = _rows_for(summary, sample, summary.model.latent.n_components, random)
                params, found = start_from_sample(self.way, summary.model, rows, random)
            repairs.extend(found)
            return params

        return Start(_feasible(summary.model, self.completed(summary.model, by_way)), repairs)


@dataclass(frozen=True, kw_only=True)
class ChainStart:
    """The start of a chain: a mixture of the rows, whatever their order; then what its labels say of transitions.

    States of a left-right chain begin with even shares of each sequence if the start `is_only` one: several are to
    differ. `completed(family, params)` puts parameters that are given in the place of others, where some are;
    `gives_family` says whether all of the family are. `latent` has those of the chain that are given, by their names.
    """

    way: str
    is_only: bool
    completed: Callable[[Any, Any], Any] | None
    gives_family: bool
    latent: dict[str, np.ndarray]
    before: Ending | None

    @property
    def is_drawn(self) -> bool:
        """Whether nothing of the start is given, and another one is found each time."""
        return not self.gives_family and self.completed is None and not self.latent

    # What the latent structure makes its parameters of.
    _shares: ClassVar[tuple[str, ...]] = ("startprob", "transmat")

    def __call__(self, summary: DataSummary, source: Any, sample: Any, random: np.random.Generator) -> Start:
        model, family = summary.model, summary.model.family
        mixture = Model(MixtureLatent(family.n_components), family)
        repairs: list[Repair] = []
        if self.gives_family:
            start = Params(mixture.latent.uniform(), family.neutral_params(summary.centre))
        else:
            start, repairs = self._mixture_params(mixture, summary, sample, random)
        if self.completed is not None:
            start = _as_read(mixture, start._replace(family=self.completed(family, start.family)))
        counted = start_of_chain(mixture, start, model.latent, sample, _COUNTED_ROWS)
        shares = (self.latent.get(name, getattr(counted, name)) for name in self._shares)
        return Start(Params(model.latent.params(*shares), start.family), repairs, self.before)

    def _mixture_params(
        self, mixture: Model, summary: DataSummary, sample: Any, random: np.random.Generator
    ) -> tuple[Params, list[Repair]]:
        """A mixture of all components, and what had to be repaired."""
        if is_left_right(summary.model.latent):
            # What follows each other in time need not lie apart.
            return start_from(mixture, sample, self._stretches(summary.model, sample, random), summary.centre)
        rows = _rows_for(summary, sample, mixture.latent.n_components, random)
        start, repairs = start_from_sample(self.way, mixture, rows, random)
        return _improved(mixture, start, rows), repairs

    def _stretches(self, model: Model, sample: Any, random: np.random.Generator) -> Responsibilities:
        """The states of a left-right chain, by stretches of each sequence."""
        k = model.latent.n_components
        shares = np.full(k, 1.0 / k) if self.is_only else random.dirichlet(np.full(k, _EVENNESS))
        return segments(sample.lengths, shares)


class MixedChainStart(ChainStart):
    """The start of a chain whose states are mixtures: also, which components make up a state."""

    _shares = (*ChainStart._shares, "weights")

    def _mixture_params(
        self, mixture: Model, summary: DataSummary, sample: Any, random: np.random.Generator
    ) -> tuple[Params, list[Repair]]:
        model, family = summary.model, summary.model.family
        in_time = is_left_right(model.latent)
        n_components = family.n_components // model.latent.n_components if in_time else family.n_components
        # Which components share a state, a covariance or a prior is not known yet.
        apart = replace(family, own_prior_means=None, own_prior_scatter=None, own_prior_rows=0.0)
        if isinstance(apart, GaussianGrouped):
            apart = replace(apart, group_size=1)
        alone = Model(MixtureLatent(n_components), apart.with_components(n_components))
        rows = _rows_for(summary, sample, n_components, random)
        params = _improved(alone, start_from_sample(self.way, alone, rows, random)[0], rows)
        if in_time:
            segment = self._stretches(model, sample, random)
            found, repairs = start_from_segments(model, alone, params, sample, segment, summary.centre)
        else:
            found, repairs = start_from_successors(
                model, alone, params, sample, rows, summary.centre, _COUNTED_ROWS, random
            )
        return Params(mixture.latent.uniform(), found), repairs


def _improved(mixture: Model, start: Params, sample: Any) -> Params:
    """Parameters of a mixture after some iterations on a sample."""
    problem = Problem(mixture.regularised(), sample)
    return fit_batch(problem, start, tol=_START_TOL, max_iter=_START_ITERATIONS).unbroken().params


def given_responsibilities(init_params: Any, n_components: int, n_rows: int) -> Responsibilities:
    """Responsibilities that a user gave, or those of labels; ValueError for what is neither."""
    given = plain_array(init_params, "init_params")
    if given.shape == (n_rows,) and given.dtype.kind in "iu":
        if given.min() < 0 or given.max() >= n_components:
            raise ValueError(
                f"Labels in {named('init_params')} must be integers from 0 to n_components - 1 = {n_components - 1}, "
                f"got values from {given.min()} to {given.max()}."
            )
        return lambda start, stop: one_hot(given[start:stop], n_components)
    if given.shape == (n_rows, n_components) and given.dtype.kind in "biuf":
        if not (np.all(np.isfinite(given)) and np.all(given >= 0)):
            raise ValueError(f"Responsibilities in {named('init_params')} must be finite and not negative.")
        return lambda start, stop: np.asarray(given[start:stop], dtype=np.float64)
    raise ValueError(
        f"{named('init_params')} must be one of {sorted(STARTS)}, integer labels of shape ({n_rows},), or "
        f"responsibilities of shape ({n_rows}, {n_components}); got an array of dtype {given.dtype} and shape "
        f"{given.shape}."
    )
