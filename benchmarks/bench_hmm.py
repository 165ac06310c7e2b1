"""Hidden Markov models: passes over sequences, long and short, and fits against hmmlearn.

python -m benchmarks.bench_hmm     a table of Baum-Welch iterations against hmmlearn, in one run
"""

from __future__ import annotations

import importlib
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks import common
from benchmarks.common import PROFILE, PROFILES
from fastem import GMMHMM, GaussianHMM
from fastem.model import Model, Params
from fastem.sources import Chunk
from fastem.stats import ExpectedStats


@dataclass(frozen=True, repr=False)
class Sequences:
    """A problem: how many sequences of how many rows, and a chain with diagonal covariances."""

    n_sequences: int
    n_rows: int
    n_states: int = 8
    n_features: int = 4

    def __repr__(self) -> str:
        return f"S={self.n_sequences} T={self.n_rows} K={self.n_states} D={self.n_features}"


def sized(problem: Sequences) -> Sequences:
    """A problem in the size of the profile: fewer sequences, or shorter ones where there is one only."""
    if PROFILE != "toy":
        return problem
    return replace(problem, n_sequences=min(problem.n_sequences, 20), n_rows=max(1, min(problem.n_rows, 20_000) // 20))


# The stated problem; a single long sequence; many short ones; ones of ten rows; many states.
STATED = sized(Sequences(200, 2_000))
LONG = sized(Sequences(1, 400_000))
MIXED = sized(Sequences(50, 2_000))
RACED = sized(Sequences(100, 1_000))
SHORT = sized(Sequences(40_000, 10))
PROBLEMS = [STATED, LONG, sized(Sequences(20_000, 20)), SHORT, sized(Sequences(50, 2_000, n_states=32))]


def hmm_of(problem: Sequences) -> GaussianHMM:
    """A chain that stays for ten rows on average, whose states overlap."""
    random = np.random.default_rng(0)
    k = problem.n_states
    transmat = np.full((k, k), 0.1 / max(1, k - 1)) + (0.9 - 0.1 / max(1, k - 1)) * np.eye(k)
    means = common.OVERLAPPING * random.normal(size=(k, problem.n_features))
    return GaussianHMM.from_parameters(np.full(k, 1 / k), transmat, means, np.ones_like(means))


def rows_of(problem: Sequences) -> tuple[np.ndarray, np.ndarray]:
    """Rows of all sequences, and their lengths."""
    lengths = np.full(problem.n_sequences, problem.n_rows)
    return hmm_of(problem).sample(int(lengths.sum()), random_state=1)[0], lengths


class Pass:
    """One E-step over sequences, and what it holds."""

    params = (PROBLEMS,)
    param_names = ("problem",)

    def setup(self, problem: Sequences) -> None:
        X, lengths = rows_of(problem)
        hmm = hmm_of(problem)
        self.model, self.start, self.chunk = hmm._model, hmm._params, Chunk(X, None, 0, lengths)
        self.time_e_step(problem)

    def time_e_step(self, problem: Sequences) -> ExpectedStats:
        return self.model.e_step(self.start, self.chunk)

    def time_best_path(self, problem: Sequences) -> None:
        states = np.empty(len(self.chunk), dtype=np.int64)
        self.model.best_path(self.start, self.chunk.X, states, self.chunk.lengths)

    def track_error_of_counts(self, problem: Sequences) -> float:
        """Every row and every transition is counted once."""
        stats = self.time_e_step(problem)
        n_rows, n_sequences = len(self.chunk), problem.n_sequences
        found = np.array([stats.latent.start.sum(), stats.latent.transitions.sum(), stats.family.n.sum()])
        return common.relative_error(found, np.array([n_sequences, n_rows - n_sequences, n_rows]))

    track_error_of_counts.unit = "relative"
    track_error_of_counts.bound = 1e-10

    def track_statistics_bytes(self, problem: Sequences) -> int:
        """NumPy's memory of an E-step, of which nothing may grow with the number of sequences but their ends."""
        tracemalloc.start()
        self.time_e_step(problem)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    track_statistics_bytes.unit = "bytes"


class Linear:
    """The time of a pass grows as the rows do."""

    def setup(self) -> None:
        self.passes = []
        for factor in (1, 4):
            problem = replace(LONG, n_rows=LONG.n_rows * factor // 4)
            X, lengths = rows_of(problem)
            hmm = hmm_of(problem)
            self.passes.append((hmm._model, hmm._params, Chunk(X, None, 0, lengths)))

    def track_four_times_the_rows(self) -> float:
        short, long = ((lambda model=m, start=p, chunk=c: model.e_step(start, chunk)) for m, p, c in self.passes)
        return common.ratio_of_times(long, short)

    track_four_times_the_rows.unit = "times"


class Short:
    """The time for a row of sequences of ten rows, divided by that for a row of long ones."""

    def setup(self) -> None:
        self.passes = []
        for problem in (STATED, SHORT):
            X, lengths = rows_of(problem)
            hmm = hmm_of(problem)
            self.passes.append((len(X), partial(hmm._model.e_step, hmm._params, Chunk(X, None, 0, lengths))))

    def track_short_against_long(self) -> float:
        (n_long, long), (n_short, short) = self.passes
        return common.ratio_of_times(short, long) * n_long / n_short

    track_short_against_long.unit = "times"


class Race:
    """Four starts that race on some of the sequences, against four that are fitted to all of them."""

    def setup(self) -> None:
        self.X, self.lengths = rows_of(RACED)

    def fit(self, search: str) -> GaussianHMM:
        with common.quiet():
            return GaussianHMM(RACED.n_states, n_init=4, search=search, random_state=0).fit(self.X, self.lengths)

    def track_ratio(self) -> float:
        return common.ratio_of_times(lambda: self.fit("restarts"), lambda: self.fit("race"))

    track_ratio.unit = "time of restarts / time of the race"

    def track_gap(self) -> float:
        """By how much the best of the restarts is better."""
        return self.fit("restarts").lower_bound_ - self.fit("race").lower_bound_

    track_gap.unit = "nats per row"
    # The race may end in another optimum, but not in a bad one.
    track_gap.bound = 0.1


def theirs(problem: Sequences, implementation: str) -> Any:
    """hmmlearn's chain with the same parameters, which a fit starts from."""
    hmmlearn = importlib.import_module("hmmlearn.hmm")
    ours = hmm_of(problem)
    other = hmmlearn.GaussianHMM(
        problem.n_states, "diag", n_iter=1, tol=-np.inf, init_params="", implementation=implementation, min_covar=0.0,
        covars_prior=0.0, covars_weight=1.0,
    )  # fmt: skip
    other.startprob_, other.transmat_, other.means_ = ours.startprob_, ours.transmat_, ours.means_.copy()
    other.covars_ = ours.covars_.copy()
    return other


Pair = tuple[Callable[[], Params], Callable[[], Any]]


def iteration(model: Model, start: Params, chunk: Chunk) -> Params:
    """One iteration of Baum and Welch."""
    return model.m_step(model.e_step(start, chunk), start)[0]


def mixed_of(problem: Sequences) -> GMMHMM:
    """The same chain with three components in each state."""
    plain, random = hmm_of(problem), np.random.default_rng(2)
    means = plain.means_[:, None, :] + common.OVERLAPPING * random.normal(
        size=(problem.n_states, 3, problem.n_features)
    )
    weights = np.full((problem.n_states, 3), 1 / 3)
    return GMMHMM.from_parameters(plain.startprob_, plain.transmat_, weights, means, np.ones_like(means))


def mixed_pair(implementation: str) -> Pair:
    """An iteration of ours and of hmmlearn's GMMHMM, from the same parameters."""
    hmm, lengths = mixed_of(MIXED), np.full(MIXED.n_sequences, MIXED.n_rows)
    X = hmm.sample(int(lengths.sum()), random_state=1)[0]
    other = importlib.import_module("hmmlearn.hmm").GMMHMM(
        MIXED.n_states, 3, n_iter=1, tol=-np.inf, init_params="", implementation=implementation, min_covar=0.0
    )

    def theirs() -> Any:
        other.startprob_, other.transmat_, other.weights_ = hmm.startprob_, hmm.transmat_, hmm.weights_
        other.means_, other.covars_ = hmm.means_.copy(), hmm.covars_.copy()
        # Its fit clusters the rows by k-means first, whatever it starts from: that is no iteration.
        other._check()
        other._do_mstep(other._do_estep(X, lengths)[0])
        return other

    return (lambda: iteration(hmm._model, hmm._params, Chunk(X, None, 0, lengths))), theirs


def plain_pair(implementation: str) -> Pair:
    """The same of hmmlearn's GaussianHMM."""
    X, lengths = rows_of(STATED)
    hmm = hmm_of(STATED)
    ours = partial(iteration, hmm._model, hmm._params, Chunk(X, None, 0, lengths))
    return ours, lambda: theirs(STATED, implementation).fit(X, lengths)


PAIRS = {"GaussianHMM": plain_pair, "GMMHMM": mixed_pair}


class Versus:
    """One iteration of Baum and Welch by hmmlearn, divided by the time of ours."""

    params = (list(PAIRS), ["log", "scaling"])
    param_names = ("hmm", "implementation")

    def setup(self, hmm: str, implementation: str) -> None:
        self.ours, self.theirs = PAIRS[hmm](implementation)

    def track_ratio(self, hmm: str, implementation: str) -> float:
        return common.ratio_of_times(self.theirs, self.ours)

    track_ratio.unit = "times"

    def track_difference(self, hmm: str, implementation: str) -> float:
        """Both come to the same transition matrix."""
        return common.relative_error(self.ours().latent.transmat, self.theirs().transmat_)

    track_difference.unit = "relative"
    track_difference.bound = 1e-10


def main() -> None:
    """Print the table."""
    for hmm, problem in (("GaussianHMM", STATED), ("GMMHMM", MIXED)):
        print(f"profile: {PROFILE}, problem: {problem}")
        for implementation in ("log", "scaling"):
            group = Versus()
            group.setup(hmm, implementation)
            ratios = [common.ratio_of_times(group.theirs, group.ours) for _ in range(PROFILES[PROFILE].rounds)]
            between = f"{min(ratios):.1f} to {max(ratios):.1f}"
            print(f"hmmlearn's {hmm}, {implementation}: {np.median(ratios):.1f} times ours ({between})")
    for problem in PROBLEMS:
        single = Pass()
        single.setup(problem)
        seconds = common.seconds_per_call(lambda single=single, problem=problem: single.time_e_step(problem))
        print(f"{problem}: {1e9 * seconds / len(single.chunk):.0f} ns a row")


if __name__ == "__main__":
    main()
