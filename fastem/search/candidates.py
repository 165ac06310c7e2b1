"""Candidates of a selection: each starts from a smaller one, and all are fitted in the same reads of the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property, partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from fastem.fitting.batch import accelerator_of, control_variate
from fastem.fitting.problem import Problem, SharedProblem, first_rows, shuffled_sample
from fastem.fitting.scan import DataSummary, scan_rows, single_of
from fastem.fitting.spec import AUTO, ModelSpec
from fastem.fitting.starting import MixtureStart
from fastem.fitting.subsample import growing, sample_rows
from fastem.fitting.summary import rows_of, summarised
from fastem.model import Model, Params
from fastem.schedules.accelerate.protocol import Accelerator
from fastem.schedules.batch import fit_batch
from fastem.schedules.result import FitResult, FitState
from fastem.schedules.stopping import rounding_slack
from fastem.schedules.subsample import fit_samples
from fastem.schedules.together import Course, fit_together
from fastem.search.sample_race import race_sample
from fastem.search.side_by_side import Lane, run_side_by_side
from fastem.search.split import copied_start, rows_and_posterior, split_side_by_side, split_starts, whole_start
from fastem.sources import ArraySource, SequenceSource, Source
from fastem.sources.holdout import WithoutEmpty
from fastem.starts.several import apart, is_separable, stacked
from fastem.starts.start import sample_size

# A larger mixture is begun by splitting each of so many components of a smaller one, the heaviest, and so many times
# anew for each of `n_init`; a start has so many iterations, and so many of the best go on.
_MOST_SPLIT, _N_ANEW, _SHORT, _N_BEST = 6, 3, 8, 4
# Side by side more of them cost little, as long as there are no more responsibilities than these, of all together.
_ANEW_BESIDE, _BEST_BESIDE, _MOST_RESP = 6, 6, 2**22
# In how many ways each component is cut, at most.
_MOST_CUTS = 3
# These go on for so many more, and the better half of them for twice as many.
_LONG = 20
# On the sample that starts are found on: at least so many rows; the fit of all rows goes on from there.
_LEAST_SAMPLE = 5000
_START_TOL = 1e-4


class Key(NamedTuple):
    """The name of a candidate; the type of its covariances is empty where components have none to choose."""

    covariance_type: str
    n_components: int


class Candidates:
    """Mixtures, or chains, of several sizes and covariance types, and the rows, or sequences, that they are fitted to.

    The candidates differ in their size (increasing) and type only; `seed` is that of all randomness.
    """

    def __init__(
        self,
        spec_of: Callable[[Key], ModelSpec],
        source: Source,
        n_components: Sequence[int],
        covariance_types: Sequence[str],
        seed: int,
    ):
        self._spec_of, self._source, self._seed = cache(spec_of), source, seed
        self._sizes, self._kinds = n_components, covariance_types
        # Of the settings that all share, any candidate tells.
        self._common = self._spec_of(Key(covariance_types[0], 1))
        rows = rows_of(source)
        self._families = {kind: self._spec_of(Key(kind, 1)).make_family(rows) for kind in covariance_types}
        singles = [single_of(family) for family in self._families.values()]
        self._looks = dict(zip(covariance_types, scan_rows(rows, singles), strict=True))
        missing = self._looks[covariance_types[0]].missing
        if missing is not None and missing.n_empty and not isinstance(source, SequenceSource):
            self._source = WithoutEmpty(source)
        # The largest first: whatever is wrong with the data is told before any work.
        self._summaries: dict[Key, DataSummary] = {}
        for key in reversed(self.keys()):
            self.summary(key)

    def keys(self) -> list[Key]:
        """The candidates: sizes within covariance types, in the order that was given."""
        return [Key(kind, size) for kind in self._kinds for size in self._sizes]

    def summary(self, key: Key) -> DataSummary:
        """What is known of the rows before a candidate is fitted."""
        if key not in self._summaries:
            scan = self._looks[key.covariance_type]
            family = self._families[key.covariance_type]
            family = family.with_components(key.n_components * family.n_components)
            self._summaries[key] = summarised(self._spec_of(key), scan, family)
        return self._summaries[key]

    def model(self, key: Key) -> Model:
        return self.summary(key).model

    def loglik(self, key: Key, result: FitResult) -> float:
        """Log-likelihood of all rows at the parameters of a result, in nats."""
        return result.objective * self.summary(key).weight - result.state.log_prior

    def fit(self, watch: Callable[[int], None], found: Callable[[Key], None]) -> dict[Key, FitResult]:
        """Fit all candidates; `found` is told whenever one has its start, and `watch` after each read of the rows how
        many go on.
        """
        starts = {key: params for kind in self._kinds for key, params in self._climb(kind, found).items()}
        results = self._fitted(starts, watch, ahead=True)
        refitted: set[Key] = set()
        while dominated := self._dominated(results, refitted):
            refitted |= dominated.keys()
            for key, result in self._from_below(dominated, results, watch).items():
                if self.loglik(key, result) > self.loglik(key, results[key]):
                    results[key] = result
        return results

    def _fitted(self, starts: Mapping[Any, Params], watch: Callable[[int], None], ahead: bool) -> dict[Any, FitResult]:
        """Fit all rows from starts, whose names begin with those of candidates; `ahead`, on samples of them first."""
        models = {name: self.model(Key(*name[:2])) for name in starts}
        courses = {}
        for name, params in starts.items():
            state = FitState(params)
            if ahead and self._lead is not None:
                model = models[name]
                state.candidate, state.n_iter_reduced = fit_samples(
                    growing(model, self._lead, self._common.samples.growth),  # type: ignore[union-attr]
                    params,
                    model.n_parameters(),
                    accelerator_of("squarem", model, self._common.tol),
                    tol=self._common.tol,
                )
                state.n_rows_subsample = len(self._lead.X)
            courses[name] = Course(models[name].m_step, state, self._accelerator(models[name]), models[name].halfway())
        problem, common = SharedProblem(models, self._source), self._common
        return fit_together(courses, problem.e_steps, tol=common.tol, max_iter=common.max_iter, watch=watch)

    def _accelerator(self, model: Model) -> Accelerator | None:
        tol = self._common.tol
        alone = accelerator_of(self._common.acceleration, model, tol)
        return alone if self._lead is None else control_variate(self._lead, model, tol, alone)

    @cached_property
    def _lead(self) -> ArraySource | None:
        """A sample that leads the fit of very many rows, the same for all candidates."""
        samples, most_bytes = self._common.samples, self._common.sample_bytes
        if samples is None or not most_bytes:
            return None
        models = [self.model(key) for key in self.keys()]
        n_rows = sample_rows(self._source, models, samples, most_bytes)
        return shuffled_sample(self._source, n_rows, self._random(0)) if n_rows else None

    @cached_property
    def _sample(self) -> Any:
        """The rows, or the sequences, that starts are found on; in memory, and without a missing value."""
        summary, random = self.summary(self.keys()[0]), self._random(1)
        if isinstance(self._source, SequenceSource):
            return summary.completed(race_sample(self._source, self.model(self.keys()[-1]), random), random)
        n_rows = max(_LEAST_SAMPLE, sample_size(max(self._sizes), self._source.n_features))
        lead = self._lead
        sample = self._source.sample(n_rows, random) if lead is None else first_rows(lead, n_rows)
        sample = sample if summary.strays is None else summary.strays.put_into(sample)
        return summary.completed(sample, random)

    def _random(self, *path: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, *path])

    # Starts, on a sample.

    def _climb(self, kind: str, found: Callable[[Key], None]) -> dict[Key, Params]:
        """A start for each size, from the one before it."""
        below = Key(kind, 1)
        if self._is_mixed(below):
            params = self._start_from_below(below, below, None)
        else:
            params = whole_start(self.model(below).regularised(), self._sample, self.summary(below).centre)
        starts = {below: params}
        found(below)
        for key in self._steps(below, self._sizes):
            starts[key] = params = self._start_from_below(key, below, params)
            below = key
            found(key)
        return {key: params for key, params in starts.items() if key.n_components in self._sizes}

    def _ascend(self, key: Key, below: Key, params: Params) -> Params:
        """A start of one candidate, from a smaller one."""
        for step in self._steps(below, [key.n_components]):
            below, params = step, self._start_from_below(step, below, params)
        return params

    def _steps(self, below: Key, sizes: Sequence[int]) -> list[Key]:
        return [Key(below.covariance_type, size) for size in stages(below.n_components, sizes)]

    def _is_mixed(self, key: Key) -> bool:
        """Whether states have several components each: no state is split, and every candidate begins anew."""
        return self._families[key.covariance_type].n_components > 1

    def _start_from_below(self, key: Key, below: Key, params: Any) -> Params:
        """The best start of a candidate: components of a smaller one are split, or it begins anew."""
        model, smaller, starts = self.model(key).regularised(), self.model(below), []
        make_start = self._spec_of(key).make_start
        if isinstance(make_start, MixtureStart) and make_start.is_drawn and is_separable(model):
            n_beside = _MOST_CUTS * _MOST_SPLIT + _ANEW_BESIDE * self._n_asked()
            if len(self._sample.X) * n_beside * model.latent.n_components <= _MOST_RESP:
                return self._start_side_by_side(key, below, params, make_start)
        if not self._is_mixed(key):
            starts = list(split_starts(model, smaller, params, self._sample, _MOST_SPLIT))
        summary, random = self.summary(key)._replace(model=model), self._random_of(key)
        for _ in range(_N_ANEW * self._n_asked()):
            starts.append(make_start(summary, self._sample, self._sample, random).params)
        regularised = Problem(model, self._sample)
        short = [fit_batch(regularised, start, tol=_START_TOL, max_iter=_SHORT).unbroken() for start in starts]
        short.sort(key=lambda result: -result.objective)
        return self._best_of(Problem(self.model(key), self._sample), [result.params for result in short[:_N_BEST]])

    def _n_asked(self) -> int:
        return 1 if self._common.n_init == AUTO else int(self._common.n_init)

    def _random_of(self, key: Key) -> np.random.Generator:
        return self._random(2, self._kinds.index(key.covariance_type), *key[1:])

    def _start_side_by_side(self, key: Key, below: Key, params: Params, make_start: MixtureStart) -> Params:
        """The same of mixtures that share no parameter: all starts run together, and so do the best of them."""
        model, smaller, sample = self.model(key), self.model(below), self._sample
        cautious, n = model.regularised(), _ANEW_BESIDE * self._n_asked()
        split, n_split = split_side_by_side(cautious, smaller, params, sample, _MOST_SPLIT)
        anew = make_start.several(cautious, sample, n, self._random_of(key))
        starts = [*apart(cautious, split, n_split), *apart(cautious, anew, n)]
        short = run_side_by_side(cautious, sample, stacked(model, starts), len(starts), _SHORT)
        best = [lane.params for lane in sorted(short, key=lambda lane: -lane.objective)[:_BEST_BESIDE]]
        ends = run_side_by_side(model, sample, stacked(model, best), len(best), _LONG)
        ends.sort(key=Lane.rank)
        return self._best_of(Problem(model, sample), [end.params for end in ends[: _BEST_BESIDE // 2]])

    def _best_of(self, problem: Problem, starts: Sequence[Params]) -> Params:
        """Where the best of cautious starts leads without caution, of which the better half goes on for longer; the
        first start when none has a proper end.

        The likelihood of a component of few rows knows no bound: what it gains is no reason to choose it.
        """
        model = problem.model
        accelerator = accelerator_of("squarem", model, _START_TOL)
        running, n_iter = [FitState(start) for start in starts], _LONG
        while True:
            for state in running:
                most = state.n_iter + n_iter
                fit_batch(problem, state, tol=_START_TOL, max_iter=most, accelerator=accelerator).unbroken()
            running = sorted(filter(partial(self._is_proper, model), running), key=lambda state: -state.objective)
            if len(running) < 2:
                return running[0].params if running else starts[0]
            running, n_iter = running[: (len(running) + 1) // 2], 2 * n_iter

    def _is_proper(self, model: Model, state: FitState) -> bool:
        _, weight, resp = rows_and_posterior(model, state.params, self._sample)
        return bool((weight @ resp).min() > model.family.n_features + 1 and not state.trace.repairs)

    # No candidate describes the rows worse than a smaller one, of which it is a generalisation.

    def _dominated(self, results: Mapping[Key, FitResult], refitted: set[Key]) -> dict[Key, Key]:
        """Of each covariance type the smallest candidate that is worse than the one below it, and that one."""
        dominated = {}
        for kind in self._kinds:
            for below, key in pairwise(Key(kind, size) for size in self._sizes):
                least, found = self.loglik(below, results[below]), self.loglik(key, results[key])
                weight = self.summary(key).weight
                if key not in refitted and found < least - weight * rounding_slack(least / weight):
                    dominated[key] = below
                    break
        return dominated

    def _from_below(
        self, dominated: Mapping[Key, Key], results: Mapping[Key, FitResult], watch: Callable[[int], None]
    ) -> dict[Key, FitResult]:
        """Fit candidates again, from the smaller ones that turned out better."""
        starts: dict[tuple[Any, ...], Params] = {}
        for key, below in dominated.items():
            params = results[below].params
            starts[*key, "split"] = self._ascend(key, below, params)
            if self._is_mixed(key):
                continue
            model, smaller = self.model(key), self.model(below)
            # A long sequence has no place for the probabilities of its states.
            rows = self._sample if isinstance(self._source, SequenceSource) else self._source
            starts[*key, "copied"] = copied_start(model, smaller, params, rows, self.summary(key).centre)
        # A sample would lead away from a start that is as good as the smaller candidate.
        ends = self._fitted(starts, watch, ahead=False)
        return {
            key: max((ends[name] for name in starts if name[:2] == key), key=lambda result: self.loglik(key, result))
            for key in dominated
        }


def stages(first: int, sizes: Sequence[int]) -> list[int]:
    """The sizes (increasing) beyond `first`, and others between, so that none is more than twice the one before it."""
    found = [first]
    for size in sizes:
        while size > found[-1]:
            found.append(min(size, 2 * found[-1]))
    return found[1:]
